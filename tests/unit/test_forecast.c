/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Years of a host with fifty disks, by the plan that the daemon follows: nothing is missed that can be done, nothing
 * runs outside of its windows or past its limits, and memory does not grow.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "plan/calendar.h"
#include "plan/forecast.h"
#include "suite.h"

#include <malloc.h>
#include <string.h>
#include <time.h>

#define FROM (UINT64_C(1772366400) * USEC_PER_SEC) /* 2026-03-01, 12:00 UTC */
#define DAY  USEC_PER_DAY
#define TIB  (UINT64_C(1) << 40)
#define MIB  (UINT64_C(1) << 20)

enum { DEVICES = 50 };

struct host {
        struct device_config configs[DEVICES];
        struct calendar calendars[DEVICES];
        struct forecast_device devices[DEVICES];
        uint64_t stretches, ended, short_told, held_told, last_end_us[DEVICES];
};

static void tell(void *userdata, const struct forecast_device *d, const struct forecast_event *e) {
        struct host *h = userdata;
        size_t i = (size_t)(d - h->devices);
        switch (e->kind) {
        case FORECAST_STRETCH:
                h->stretches++;
                ck_assert_uint_eq(calendar_open_us(d->config->calendar, e->from_us, e->to_us), e->to_us - e->from_us);
                ck_assert(d->config->rate_max_bytes == 0 ||
                        (double)e->bytes <=
                                (double)d->config->rate_max_bytes * 1.001 * ((double)(e->to_us - e->from_us) / 1e6) +
                                        1e6);
                break;
        case FORECAST_ENDED:
                h->ended++;
                ck_assert_msg(e->in_time || d->short_of != PACING_IN_TIME, "%s was late, and nobody said so",
                        d->config->name);
                h->last_end_us[i] = e->to_us;
                break;
        case FORECAST_MISSED:
                ck_assert_msg(
                        d->short_of != PACING_IN_TIME, "%s was not begun in time, and nobody said so", d->config->name);
                break;
        case FORECAST_SHORT:
                h->short_told++;
                break;
        case FORECAST_HELD:
                h->held_told++;
                break;
        }
}

static struct host *host_new(uint64_t seed, bool generous) {
        static const char *const windows[] = { NULL, "22:00-06:00", "Mon..Fri 20:00-07:30", "Sat,Sun", "01:30-03:30" };
        struct host *h = calloc(1, sizeof *h);
        ck_assert_ptr_nonnull(h);
        for (size_t i = 0; i < DEVICES; i++) {
                struct device_config *c = &h->configs[i];
                const char *window = windows[suite_random(&seed) % ELEMENTS(windows)];
                char problem[CALENDAR_PROBLEM_BYTES];
                snprintf(c->name, sizeof c->name, "d%zu", i);
                c->every_us = (7 + suite_random(&seed) % 54) * DAY;
                c->mode = (enum sweep_mode)(suite_random(&seed) % MODE_COUNT);
                c->rate_min_bytes = 8 * MIB;
                c->rate_max_bytes = generous || suite_random(&seed) % 2 ? 0
                                                                        : 20 * MIB + suite_random(&seed) % (400 * MIB);
                if (window) {
                        ck_assert_int_eq(calendar_add(&h->calendars[i], CALENDAR_WINDOWS, window, problem), 0);
                        c->calendar = &h->calendars[i];
                }
                h->devices[i] = (struct forecast_device){ .config = c,
                        .extent_bytes = MIB + suite_random(&seed) % ((generous ? 1 : 12) * TIB),
                        .place = { .disk_count = 1, .disks = { i + 1 } },
                        .controller = 1 + i % 4 };
        }
        return h;
}

static void run(struct host *h, uint64_t span_us, const struct pacing_limits *limits) {
        struct forecast_options options = {
                .limits = *limits, .from_us = FROM, .until_us = FROM + span_us, .seed = 3, .tell = tell, .userdata = h
        };
        ck_assert_int_eq(setenv("TZ", "Europe/Berlin", 1), 0);
        tzset();
        ck_assert_int_eq(forecast_run(h->devices, DEVICES, &options), 0);
}

START_TEST(two_years_of_fifty_disks_keep_their_deadlines) {
        struct host *h = host_new(1, true);
        run(h, 730 * DAY, &(struct pacing_limits){ .concurrent_sweeps = 0 });
        for (size_t i = 0; i < DEVICES; i++) {
                const struct forecast_device *d = &h->devices[i];
                uint64_t periods = 730 * DAY / d->config->every_us;
                ck_assert_msg(d->short_of == PACING_IN_TIME, "%s is short", d->config->name);
                ck_assert_uint_eq(d->missed, 0);
                ck_assert_msg(d->sweeps >= periods && d->sweeps <= periods + 1, "%s: %" PRIu64 " of %" PRIu64,
                        d->config->name, d->sweeps, periods);
                ck_assert_uint_ge(h->last_end_us[i] + 2 * d->config->every_us + 7 * DAY, FROM + 730 * DAY);
        }
        free(h);
}
END_TEST

START_TEST(who_is_late_was_told_before) {
        uint64_t late = 0, told = 0;
        for (uint64_t seed = 1; seed <= 4; seed++) {
                struct host *h = host_new(seed, false);
                run(h, 200 * DAY,
                        &(struct pacing_limits){
                                .rate = seed % 2 ? 0 : 2000 * MIB, .concurrent_sweeps = seed > 2 ? 12 : 0 });
                told += h->short_told;
                for (size_t i = 0; i < DEVICES; i++)
                        late += h->devices[i].missed;
                free(h);
        }
        ck_assert_uint_gt(late, 10);
        ck_assert_uint_gt(told, 10);
}
END_TEST

START_TEST(fifty_disks_of_which_two_run_at_a_time_keep_their_deadlines) {
        struct host *h = host_new(5, true);
        for (size_t i = 0; i < DEVICES; i++)
                h->configs[i].calendar = NULL;
        run(h, 150 * DAY, &(struct pacing_limits){ .concurrent_sweeps = 2 });
        for (size_t i = 0; i < DEVICES; i++) {
                const struct forecast_device *d = &h->devices[i];
                ck_assert_msg(d->missed == 0, "%s missed %" PRIu64 " deadlines", d->config->name, d->missed);
                ck_assert_uint_ge(d->sweeps, 150 * DAY / d->config->every_us);
        }
        free(h);
}
END_TEST

START_TEST(memory_does_not_grow_with_the_years) {
        struct host *h = host_new(2, true);
        struct pacing_limits limits = { 0 };
        run(h, 30 * DAY, &limits);
        size_t before = mallinfo2().uordblks;
        run(h, 200 * DAY, &limits);
        ck_assert_uint_le(mallinfo2().uordblks, before + 4096);
        free(h);
}
END_TEST

static void live(struct forecast_device *d, size_t count, uint64_t span_us, const struct pacing_limits *limits) {
        struct forecast_options options = { .limits = *limits, .from_us = FROM, .until_us = FROM + span_us, .seed = 3 };
        ck_assert_int_eq(setenv("TZ", "UTC", 1), 0);
        tzset();
        ck_assert_int_eq(forecast_run(d, count, &options), 0);
}

START_TEST(each_period_that_passes_without_a_sweep_counts_and_is_told_before) {
        struct device_config c = { .name = "a", .mode = MODE_PATTERN, .every_us = 5 * DAY, .write_limit = 12 };
        struct forecast_device d = { .config = &c, .extent_bytes = 1024 * MIB };
        live(&d, 1, 90 * DAY, &(struct pacing_limits){ 0 });
        ck_assert_uint_eq(d.sweeps, 3); /* on days 0, 30 and 60, which are in time for periods 0, 6 and 12 of 18 */
        ck_assert_uint_eq(d.missed, 14);
        ck_assert(d.short_of == PACING_NO_TIME && d.lost && d.lost_by == AGENDA_WRITES);

        struct calendar sundays = { 0 };
        char problem[CALENDAR_PROBLEM_BYTES];
        ck_assert_int_eq(calendar_add(&sundays, CALENDAR_WINDOWS, "Sun", problem), 0);
        c = (struct device_config){ .name = "a", .mode = MODE_READ, .every_us = DAY, .calendar = &sundays };
        d = (struct forecast_device){ .config = &c, .extent_bytes = 1024 * MIB };
        live(&d, 1, 70 * DAY, &(struct pacing_limits){ 0 });
        ck_assert_msg(d.missed >= 50 && d.missed <= 60, "%" PRIu64, d.missed);
        ck_assert(d.short_of == PACING_NO_TIME && d.lost && d.lost_by == AGENDA_WINDOW);
}
END_TEST

START_TEST(no_disk_is_taken_to_be_faster_than_is_said_of_it) {
        struct device_config c = { .name = "a", .mode = MODE_READ, .every_us = DAY / 24 };
        struct forecast_device d = { .config = &c, .extent_bytes = 20 * TIB };
        live(&d, 1, 30 * DAY, &(struct pacing_limits){ 0 });
        ck_assert_int_eq(d.short_of, PACING_SPEED);
        ck_assert_uint_ge(d.sweeps, 20); /* 29 hours each */
        ck_assert_uint_le(d.sweeps, 24);
        ck_assert_uint_ge(d.missed, 600);
        c.rate_max_bytes = 8 * AGENDA_SPEED; /* somebody knows better */
        d = (struct forecast_device){ .config = &c, .extent_bytes = 5 * TIB };
        live(&d, 1, 30 * DAY, &(struct pacing_limits){ 0 });
        ck_assert_int_eq(d.short_of, PACING_IN_TIME);
        ck_assert_uint_eq(d.missed, 0);
}
END_TEST

START_TEST(who_falls_behind_a_little_in_each_period_is_told_and_misses_deadlines) {
        struct device_config configs[4];
        struct forecast_device devices[4];
        for (size_t i = 0; i < 4; i++) {
                configs[i] = (struct device_config){ .mode = MODE_PATTERN, .every_us = DAY };
                snprintf(configs[i].name, sizeof configs[i].name, "d%zu", i);
                devices[i] = (struct forecast_device){ .config = &configs[i],
                        .extent_bytes = 100 * 1024 * MIB,
                        .place = { .disk_count = 1, .disks = { i + 1 } } };
        }
        live(devices, 4, 30 * DAY, &(struct pacing_limits){ .rate = 10 * MIB, .concurrent_sweeps = 1 });
        for (size_t i = 0; i < 4; i++) { /* 34 hours for all of them */
                ck_assert_msg(devices[i].missed + devices[i].sweeps >= 30 && devices[i].missed >= 8,
                        "%zu: %" PRIu64 " missed", i, devices[i].missed);
                ck_assert_int_ne(devices[i].short_of, PACING_IN_TIME);
        }
}
END_TEST

START_TEST(write_limit_is_kept_over_the_years_and_told) {
        struct host *h = host_new(3, true);
        for (size_t i = 0; i < DEVICES; i++) {
                h->configs[i].write_limit = 3;
                h->configs[i].every_us = 30 * DAY;
        }
        run(h, 730 * DAY, &(struct pacing_limits){ 0 });
        for (size_t i = 0; i < DEVICES; i++) {
                const struct forecast_device *d = &h->devices[i];
                ck_assert_uint_le(d->written_bytes, (2 * 3 + 2) * d->extent_bytes);
                if (d->config->mode == MODE_REFRESH || d->config->mode == MODE_PATTERN)
                        ck_assert_uint_ge(d->written_bytes, 5 * d->extent_bytes);
        }
        ck_assert_uint_gt(h->held_told, DEVICES);
        free(h);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("forecast");
        tcase_add_test(tests, two_years_of_fifty_disks_keep_their_deadlines);
        tcase_add_test(tests, fifty_disks_of_which_two_run_at_a_time_keep_their_deadlines);
        tcase_add_test(tests, who_is_late_was_told_before);
        tcase_add_test(tests, memory_does_not_grow_with_the_years);
        tcase_add_test(tests, each_period_that_passes_without_a_sweep_counts_and_is_told_before);
        tcase_add_test(tests, no_disk_is_taken_to_be_faster_than_is_said_of_it);
        tcase_add_test(tests, who_falls_behind_a_little_in_each_period_is_told_and_misses_deadlines);
        tcase_add_test(tests, write_limit_is_kept_over_the_years_and_told);
        return suite_run("forecast", tests);
}
