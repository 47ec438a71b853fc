/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rates by the plan. A small host is lived through second by second: whatever the windows, limits and sizes, a deadline
 * that could be met is met, no limit is passed, and what can't be done is told before it is too late.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "plan/calendar.h"
#include "plan/pacing.h"
#include "plan/schedule.h"
#include "suite.h"

#include <string.h>
#include <time.h>

#define NOW  (UINT64_C(1795348800) * USEC_PER_SEC) /* Sunday, 2026-11-22, 12:00 UTC */
#define HOUR USEC_PER_HOUR
#define DAY  USEC_PER_DAY
#define MIB  (UINT64_C(1) << 20)

static const struct pacing_limits no_limits;

static struct pacing_job job(uint64_t left_bytes, uint64_t deadline_us) {
        return (struct pacing_job){
                .running = true, .left_bytes = left_bytes, .deadline_us = deadline_us, .rate_min = 8 * MIB
        };
}

static struct calendar nights(void) {
        struct calendar c = { 0 };
        char problem[CALENDAR_PROBLEM_BYTES];
        ck_assert_int_eq(setenv("TZ", "UTC", 1), 0);
        tzset();
        ck_assert_int_eq(calendar_add(&c, CALENDAR_WINDOWS, "22:00-06:00", problem), 0);
        return c;
}

static void plan(struct pacing_job *jobs, size_t count, const struct pacing_limits *limits) {
        ck_assert_int_eq(pacing_plan(jobs, count, limits, NOW), 0);
}

static bool is_near(uint64_t a, double b) {
        return (double)a > b * 0.999 && (double)a < b * 1.001;
}

START_TEST(a_sweep_goes_as_fast_as_lets_it_end_a_little_before_its_deadline) {
        struct pacing_job j = job(86400 * 100 * MIB, NOW + DAY);
        plan(&j, 1, &no_limits);
        ck_assert(is_near(j.rate, 100.0 * (double)MIB / 0.95));
        ck_assert_int_eq(j.rule, PACE_RULE_DEADLINE);
        ck_assert_int_eq(j.short_of, PACING_IN_TIME);
}
END_TEST

START_TEST(what_is_spared_is_kept_until_the_rest_is_over) {
        for (uint64_t left_us = DAY; left_us > HOUR; left_us -= HOUR / 2) {
                struct pacing_job j = job((left_us - HOUR / 4) / USEC_PER_SEC * 100 * MIB, NOW + left_us);
                j.spare_us = HOUR / 4;
                plan(&j, 1, &no_limits);
                ck_assert(is_near(j.rate, 100.0 * (double)MIB));
        }
        struct pacing_job j = job(100 * MIB, NOW + HOUR / 4);
        j.spare_us = HOUR / 4;
        plan(&j, 1, &no_limits);
        ck_assert(j.rate == 8 * MIB && j.short_of == PACING_IN_TIME);
}
END_TEST

START_TEST(only_open_time_counts) {
        struct calendar c = nights();
        struct pacing_job j = job(8 * 3600 * 100 * MIB, NOW + DAY);
        j.calendar = &c;
        plan(&j, 1, &no_limits);
        ck_assert_uint_eq(j.open_us, 8 * HOUR);
        ck_assert(is_near(j.rate, 100.0 * (double)MIB / 0.95));
}
END_TEST

static struct calendar ten_minutes(void) {
        struct calendar c = { 0 };
        char problem[CALENDAR_PROBLEM_BYTES];
        ck_assert_int_eq(setenv("TZ", "UTC", 1), 0);
        tzset();
        ck_assert_int_eq(calendar_add(&c, CALENDAR_WINDOWS, "22:00-22:10", problem), 0);
        return c;
}

START_TEST(a_segment_gets_through_in_one_window_or_it_is_told_that_none_is_long_enough) {
        struct calendar c = ten_minutes();
        struct pacing_advice advice;
        struct pacing_job j = job(10240 * MIB, NOW + 30 * DAY), before = j;
        j.calendar = &c;
        plan(&j, 1, &no_limits);
        ck_assert_uint_eq(j.rate, 8 * MIB); /* enough for all of it, but not for 6 GiB in 10 minutes */
        ck_assert_int_eq(j.rule, PACE_RULE_RATE_MIN);
        j.lump_bytes = 6144 * MIB;
        j.lump_wait_us = 60 * USEC_PER_SEC;
        before = j;
        plan(&j, 1, &no_limits);
        ck_assert_int_eq(j.short_of, PACING_IN_TIME);
        ck_assert(is_near(j.rate, 6144.0 * (double)MIB / (540 * 0.95)));
        ck_assert_int_eq(j.rule, PACE_RULE_WINDOW);

        j = before;
        j.rate_max = 10 * MIB;
        plan(&j, 1, &no_limits);
        ck_assert_int_eq(j.short_of, PACING_WINDOW);
        pacing_advise(&advice, &j, j.left_bytes, 30 * DAY, NOW);
        ck_assert_uint_eq(advice.rate, 12 * MIB);
        ck_assert_uint_eq(advice.window_minutes, 12); /* 1 to settle, and 614 s with a margin */
        j = before;
        j.rate_max = advice.rate;
        plan(&j, 1, &no_limits);
        ck_assert_int_eq(j.short_of, PACING_IN_TIME);

        j = before;
        j.lump_wait_us = 600 * USEC_PER_SEC;
        plan(&j, 1, &no_limits);
        ck_assert_int_eq(j.short_of, PACING_WINDOW);
        j = before;
        j.rate_max = 10 * MIB;
        j.left_bytes = 1024 * MIB; /* all that there is, or is left */
        plan(&j, 1, &no_limits);
        ck_assert_int_eq(j.short_of, PACING_IN_TIME);
        j = before;
        j.rate_max = 10 * MIB;
        j.calendar = NULL;
        plan(&j, 1, &no_limits);
        ck_assert_int_eq(j.short_of, PACING_IN_TIME);
        ck_assert_uint_eq(j.rate, 8 * MIB);
}
END_TEST

START_TEST(a_rate_lies_between_the_two_that_were_given) {
        struct pacing_job j = job(MIB, NOW + DAY);
        plan(&j, 1, &no_limits);
        ck_assert_uint_eq(j.rate, 8 * MIB);
        j = job(86400 * 100 * MIB, NOW + DAY);
        j.rate_max = 50 * MIB;
        plan(&j, 1, &no_limits);
        ck_assert_uint_eq(j.rate, 50 * MIB);
        ck_assert_int_eq(j.rule, PACE_RULE_RATE_MAX);
        ck_assert_int_eq(j.short_of, PACING_RATE_MAX);
        j.rate_min = j.rate_max;
        plan(&j, 1, &no_limits);
        ck_assert_int_eq(j.rule, PACE_RULE_RATE_MAX);
}
END_TEST

START_TEST(a_deadline_that_is_over_is_run_for_without_a_limit) {
        struct pacing_job j = job(MIB, NOW - 1);
        plan(&j, 1, &no_limits);
        ck_assert_uint_eq(j.rate, 0);
        ck_assert_int_eq(j.rule, PACE_RULE_DEVICE);
        ck_assert_int_eq(j.short_of, PACING_NO_TIME);
        j.rate_max = 50 * MIB;
        plan(&j, 1, &no_limits);
        ck_assert_uint_eq(j.rate, 50 * MIB);
        ck_assert_int_eq(j.rule, PACE_RULE_RATE_MAX);
}
END_TEST

START_TEST(a_sweep_by_hand_and_one_without_a_deadline_keep_to_rate_max_alone) {
        struct pacing_job j[2] = { job(MIB, NOW + DAY), job(MIB, SCHEDULE_NEVER) };
        j[0].by_hand = true;
        j[1].rate_max = 50 * MIB;
        plan(j, 2, &no_limits);
        ck_assert_uint_eq(j[0].rate, 0);
        ck_assert_int_eq(j[0].rule, PACE_RULE_DEVICE);
        ck_assert_uint_eq(j[1].rate, 50 * MIB);
        ck_assert_int_eq(j[1].rule, PACE_RULE_RATE_MAX);
        ck_assert_int_eq(j[0].short_of, PACING_IN_TIME);
}
END_TEST

START_TEST(who_runs_goes_faster_where_others_wait_for_its_place) {
        struct pacing_job j[4];
        for (size_t i = 0; i < 4; i++)
                j[i] = job(86400 * 10 * MIB, NOW + DAY);
        for (size_t i = 1; i < 4; i++)
                j[i].running = false;
        struct pacing_limits one = { .concurrent_sweeps = 1 };
        plan(j, 4, &one);
        ck_assert(is_near(j[0].rate, 40.0 * (double)MIB / 0.95));
        ck_assert_int_eq(j[0].rule, PACE_RULE_CONCURRENT_SWEEPS);
        plan(j, 4, &no_limits);
        ck_assert(is_near(j[0].rate, 10.0 * (double)MIB / 0.95));
        ck_assert_int_eq(j[0].rule, PACE_RULE_DEADLINE);
        struct pacing_limits two = { .per_controller = 2 };
        for (size_t i = 0; i < 4; i++)
                j[i].controller = 1 + i / 3; /* three on one, and one on another */
        j[1].running = true;
        plan(j, 4, &two);
        ck_assert(is_near(j[0].rate, 20.0 * (double)MIB / 0.95)); /* its place is wanted */
        ck_assert_int_eq(j[0].rule, PACE_RULE_PER_CONTROLLER);
        ck_assert(is_near(j[1].rate, 10.0 * (double)MIB / 0.95));
        ck_assert_int_eq(j[1].rule, PACE_RULE_DEADLINE);
}
END_TEST

/* What runs is not interrupted, however far its own deadline is. */
START_TEST(who_runs_is_through_in_time_for_what_is_due_earlier) {
        struct calendar c = nights();
        struct pacing_job j[3] = { job(86400 * 500 * MIB, NOW + 90 * DAY), job(86400 * 100 * MIB, NOW + 3 * DAY),
                job(86400 * 100 * MIB, NOW + 80 * DAY) };
        struct pacing_limits one = { .concurrent_sweeps = 1 }, two = { .per_controller = 2 };
        for (size_t i = 0; i < ELEMENTS(j); i++) {
                j[i].rate_min = MIB;
                j[i].controller = 7;
        }
        j[1].running = j[2].running = false;
        plan(j, 3, &one);
        ck_assert(is_near(j[0].rate, 200.0 * (double)MIB / 0.95));
        plan(j, 3, &no_limits);
        ck_assert(is_near(j[0].rate, 500.0 / 90 * (double)MIB / 0.95));
        j[2].running = true;
        plan(j, 3, &two); /* who is nearest to its end makes room */
        ck_assert(is_near(j[0].rate, 500.0 / 90 * (double)MIB / 0.95));
        ck_assert(is_near(j[2].rate, 200.0 / 3 * (double)MIB / 0.95));
        j[0].rate_max = j[2].rate_max = 60 * MIB; /* 1.7 days, and then 60 % of what is left */
        j[1].rate_max = 120 * MIB;
        plan(j, 3, &two);
        ck_assert_int_eq(j[1].short_of, PACING_IN_TIME);
        j[1].rate_max = 60 * MIB;
        plan(j, 3, &two);
        ck_assert_int_eq(j[1].short_of, PACING_CROWD);
        j[2].running = false;
        j[0].rate_max = 0;
        j[1].deadline_us = NOW + 8 * HOUR; /* no window opens until then: no hurry helps */
        j[1].calendar = &c;
        plan(j, 3, &one);
        ck_assert_int_eq(j[1].short_of, PACING_NO_TIME);
        ck_assert(is_near(j[0].rate, 600.0 / 80 * (double)MIB / 0.95));
}
END_TEST

START_TEST(a_near_deadline_of_one_does_not_hurry_the_others) {
        struct pacing_job j[2] = { job(3600 * 100 * MIB, NOW + HOUR), job(86400 * 10 * MIB, NOW + DAY) };
        struct pacing_limits two = { .concurrent_sweeps = 2 };
        plan(j, 2, &two);
        ck_assert(is_near(j[0].rate, 100.0 * (double)MIB / 0.95));
        ck_assert(is_near(j[1].rate, 10.0 * (double)MIB / 0.95));
}
END_TEST

START_TEST(one_that_is_late_does_not_hurry_the_others) {
        struct pacing_job jobs[] = { job(86400 * 10 * MIB, NOW - DAY), job(86400 * 10 * MIB, NOW + DAY) };
        plan(jobs, 2, &no_limits);
        ck_assert_uint_eq(jobs[0].rate, 0);
        ck_assert(is_near(jobs[1].rate, 10.0 * (double)MIB / 0.95));
}
END_TEST

START_TEST(all_together_keep_to_the_limit_of_the_host) {
        for (uint64_t name = 1; name <= 2000; name++) {
                uint64_t seed = name, sum = 0;
                struct pacing_job j[12];
                size_t count = 1 + suite_random(&seed) % ELEMENTS(j);
                for (size_t i = 0; i < count; i++) {
                        j[i] = job(suite_random(&seed) % (1000 * 86400 * MIB), NOW + suite_random(&seed) % (30 * DAY));
                        j[i].running = suite_random(&seed) % 4;
                        j[i].by_hand = j[i].running && suite_random(&seed) % 4 == 0;
                        j[i].rate_max = suite_random(&seed) % 2 ? 0 : 8 * MIB + suite_random(&seed) % (200 * MIB);
                        j[i].controller = suite_random(&seed) % 3;
                        if (suite_random(&seed) % 8 == 0)
                                j[i].deadline_us = SCHEDULE_NEVER;
                }
                struct pacing_limits limits = { .rate = 100 * MIB,
                        .concurrent_sweeps = (unsigned)(suite_random(&seed) % 4),
                        .per_controller = (unsigned)(suite_random(&seed) % 4) };
                plan(j, count, &limits);
                for (size_t i = 0; i < count; i++) {
                        if (!j[i].running)
                                continue;
                        ASSERT_SEEDED(name, j[i].rate > 0);
                        ASSERT_SEEDED(name, j[i].rate_max == 0 || j[i].rate <= j[i].rate_max);
                        sum += j[i].rate;
                }
                ASSERT_SEEDED(name, sum <= 100 * MIB + count);
        }
}
END_TEST

START_TEST(a_sweep_by_hand_leaves_most_of_the_limit_to_those_with_a_deadline) {
        struct pacing_job j[2] = { job(86400 * 90 * MIB, NOW + DAY), job(MIB, NOW + DAY) };
        struct pacing_limits limits = { .rate = 100 * MIB };
        j[1].by_hand = true;
        plan(j, 2, &limits);
        ck_assert(is_near(j[0].rate, 75.0 * (double)MIB));
        ck_assert(is_near(j[1].rate, 25.0 * (double)MIB));
        ck_assert_int_eq(j[0].rule, PACE_RULE_LIMITS_RATE);
        ck_assert_int_eq(j[1].rule, PACE_RULE_LIMITS_RATE);
}
END_TEST

START_TEST(who_has_to_wait_too_long_is_told_now) {
        struct pacing_job j[3] = { job(86400 * 60 * MIB, NOW + DAY), job(86400 * 60 * MIB, NOW + DAY + HOUR),
                job(86400 * 60 * MIB, NOW + 9 * DAY) };
        struct pacing_limits one = { .concurrent_sweeps = 1 }, two = { .concurrent_sweeps = 2 };
        for (size_t i = 0; i < ELEMENTS(j); i++) {
                j[i].running = i == 0;
                j[i].rate_max = 100 * MIB;
                j[i].controller = 7;
        }
        plan(j, 3, &one);
        ck_assert_int_eq(j[0].short_of, PACING_IN_TIME);
        ck_assert_int_eq(j[1].short_of, PACING_CROWD);
        ck_assert_int_eq(j[2].short_of, PACING_IN_TIME);
        struct pacing_advice advice;
        pacing_advise(&advice, &j[1], 86400 * 60 * MIB, DAY, NOW);
        ck_assert_uint_eq(advice.rate, 0);
        ck_assert_uint_gt(advice.every_us, DAY + DAY / 10);
        plan(j, 3, &two);
        ck_assert_int_eq(j[1].short_of, PACING_IN_TIME);
        plan(j, 3, &(struct pacing_limits){ .per_controller = 1 });
        ck_assert_int_eq(j[1].short_of, PACING_CROWD);
        j[1].rate_max = 0; /* it may be as fast as can be */
        plan(j, 3, &one);
        ck_assert_int_eq(j[1].short_of, PACING_IN_TIME);
}
END_TEST

START_TEST(what_begins_later_has_the_time_before_for_others) {
        struct pacing_job j[2] = { job(86400 * 9 * 100 * MIB, NOW + 10 * DAY),
                job(86400 * 8 * 100 * MIB, NOW + 18 * DAY) };
        j[1].running = false;
        j[1].from_us = NOW + 8 * DAY;
        j[0].rate_max = j[1].rate_max = 100 * MIB;
        plan(j, 2, &(struct pacing_limits){ .rate = 100 * MIB, .concurrent_sweeps = 1 });
        ck_assert_int_eq(j[0].short_of, PACING_IN_TIME);
        ck_assert_int_eq(j[1].short_of, PACING_IN_TIME);
}
END_TEST

START_TEST(windows_that_differ_are_more_time_together) {
        struct calendar c = nights();
        struct pacing_job j[2] = { job(86400 * 80 * MIB, NOW + 3 * DAY), job(86400 * 150 * MIB, NOW + 3 * DAY) };
        j[0].calendar = &c;
        plan(j, 2, &(struct pacing_limits){ .rate = 100 * MIB });
        ck_assert_int_eq(j[0].short_of, PACING_IN_TIME);
        ck_assert_int_eq(j[1].short_of, PACING_IN_TIME);
}
END_TEST

START_TEST(what_the_host_can_not_do_is_told_of_the_deadline_that_is_lost) {
        struct pacing_job j[3] = { job(86400 * 60 * MIB, NOW + DAY), job(86400 * 60 * MIB, NOW + DAY + HOUR),
                job(MIB, NOW + 9 * DAY) };
        struct pacing_limits limits = { .rate = 100 * MIB };
        plan(j, 3, &limits);
        ck_assert_int_eq(j[0].short_of, PACING_IN_TIME);
        ck_assert_int_eq(j[1].short_of, PACING_HOST);
        ck_assert_int_eq(j[2].short_of, PACING_IN_TIME);
}
END_TEST

START_TEST(windows_that_do_not_open_in_time_are_told) {
        struct calendar c = nights();
        struct pacing_job j = job(MIB, NOW + 9 * HOUR);
        j.calendar = &c;
        plan(&j, 1, &no_limits);
        ck_assert_int_eq(j.short_of, PACING_NO_TIME);
}
END_TEST

/* Follows the advice, each part of it alone, for a sweep that is about to begin. */
START_TEST(a_deadline_before_the_start_is_told_and_hurries_nobody) {
        struct pacing_limits two = { .concurrent_sweeps = 1 };
        struct pacing_job jobs[] = { job(86400 * 10 * MIB, NOW + 10 * DAY), job(86400 * 10 * MIB, NOW + 5 * DAY) };
        jobs[1].running = false;
        jobs[1].from_us = NOW + 3 * DAY;
        plan(jobs, 2, &two);
        uint64_t rate = jobs[0].rate;
        ck_assert_int_eq(jobs[1].short_of, PACING_IN_TIME);
        jobs[1].lost_us = NOW + 2 * DAY;
        plan(jobs, 2, &two);
        ck_assert_int_eq(jobs[1].short_of, PACING_NO_TIME);
        ck_assert_uint_eq(jobs[0].rate, rate);
        struct pacing_advice advice;
        pacing_advise(&advice, &jobs[1], jobs[1].left_bytes, 2 * DAY, NOW);
        ck_assert_uint_ge(advice.every_us, 3 * DAY); /* planned for now, and held back for so long */
}
END_TEST

START_TEST(each_advice_helps_when_it_is_followed) {
        unsigned rates = 0, windows = 0, spans = 0;
        struct calendar c = nights();
        for (uint64_t name = 1; name <= 500; name++) {
                uint64_t seed = name, every_us = (2 + suite_random(&seed) % 40) * DAY;
                struct pacing_job j = job(1 + suite_random(&seed) % (40 * 86400 * 100 * MIB), NOW + every_us);
                j.calendar = suite_random(&seed) % 2 ? &c : NULL;
                j.rate_max = 100 * MIB;
                plan(&j, 1, &no_limits);
                if (j.short_of == PACING_IN_TIME)
                        continue;
                struct pacing_advice advice;
                pacing_advise(&advice, &j, j.left_bytes, every_us, NOW);
                struct pacing_job again = j;
                ASSERT_SEEDED(name, advice.rate > 0 && advice.every_us > every_us);
                again.rate_max = advice.rate;
                plan(&again, 1, &no_limits);
                ASSERT_SEEDED(name, again.short_of == PACING_IN_TIME);
                again = j;
                again.deadline_us = NOW + advice.every_us;
                plan(&again, 1, &no_limits);
                ASSERT_SEEDED(name, again.short_of == PACING_IN_TIME);
                rates++;
                spans++;
                if (advice.open_minutes_a_week == 0)
                        continue;
                double open_us = (double)every_us * advice.open_minutes_a_week / CALENDAR_WEEK_MINUTES;
                ASSERT_SEEDED(name, advice.open_minutes_a_week > calendar_week_minutes(j.calendar));
                ASSERT_SEEDED(name, (double)j.left_bytes <= open_us / 1e6 * (double)j.rate_max * 1.15);
                windows++;
        }
        ck_assert_msg(rates > 50 && windows > 20 && spans > 50, "%u %u %u", rates, windows, spans);
}
END_TEST

/* Lives through the time until all deadlines, an hour at a time; the disks do what they are told. */
static void live(struct pacing_job *jobs, size_t count, const struct pacing_limits *limits, bool *met, bool *warned) {
        for (uint64_t now_us = NOW; now_us < NOW + 12 * DAY; now_us += HOUR / 2) {
                for (size_t i = 0; i < count; i++)
                        jobs[i].running = jobs[i].left_bytes > 0 && calendar_is_open(jobs[i].calendar, now_us);
                ck_assert_int_eq(pacing_plan(jobs, count, limits, now_us), 0);
                for (size_t i = 0; i < count; i++) {
                        if (jobs[i].left_bytes > 0 && now_us < jobs[i].deadline_us)
                                warned[i] |= jobs[i].short_of != PACING_IN_TIME;
                        if (jobs[i].left_bytes > 0 && now_us >= jobs[i].deadline_us)
                                met[i] = false;
                        uint64_t done = jobs[i].rate ? jobs[i].rate * 1800 : UINT64_MAX;
                        if (jobs[i].running)
                                jobs[i].left_bytes -= MIN(jobs[i].left_bytes, done);
                }
        }
}

START_TEST(a_deadline_is_met_or_it_is_told_before) {
        struct calendar c = nights();
        unsigned lost = 0;
        for (uint64_t name = 1; name <= 300; name++) {
                uint64_t seed = name;
                struct pacing_job jobs[6];
                bool met[6], warned[6] = { 0 };
                size_t count = 1 + suite_random(&seed) % ELEMENTS(jobs);
                struct pacing_limits limits = { .rate = suite_random(&seed) % 2 ? 0 : 400 * MIB };
                for (size_t i = 0; i < count; i++) {
                        uint64_t span_us = (2 + suite_random(&seed) % 9) * DAY;
                        jobs[i] = job(suite_random(&seed) % (span_us / USEC_PER_SEC * 100 * MIB), NOW + span_us);
                        jobs[i].rate_max = suite_random(&seed) % 2 ? 0 : 40 * MIB + suite_random(&seed) % (300 * MIB);
                        jobs[i].calendar = suite_random(&seed) % 2 ? &c : NULL;
                        met[i] = true;
                }
                live(jobs, count, &limits, met, warned);
                for (size_t i = 0; i < count; i++) {
                        ASSERT_SEEDED(name, met[i] || warned[i]);
                        lost += !met[i];
                }
        }
        ck_assert_uint_gt(lost, 20);
}
END_TEST

/* Places are given to the earliest deadline, and kept. The disks do whatever they are told. */
static void live_in_a_crowd(struct pacing_job *jobs, size_t count, unsigned at_a_time, bool *met) {
        const struct pacing_limits limits = { .concurrent_sweeps = at_a_time };
        size_t running = 0;
        for (uint64_t now_us = NOW; now_us < NOW + 41 * DAY; now_us += HOUR / 4) {
                for (size_t best = 0; running < at_a_time && best < count; running += best < count) {
                        best = count;
                        for (size_t i = 0; i < count; i++)
                                if (!jobs[i].running && jobs[i].left_bytes > 0 && jobs[i].from_us <= now_us &&
                                        (best == count || jobs[i].deadline_us < jobs[best].deadline_us))
                                        best = i;
                        if (best < count)
                                jobs[best].running = true;
                }
                ck_assert_int_eq(pacing_plan(jobs, count, &limits, now_us), 0);
                for (size_t i = 0; i < count; i++) {
                        uint64_t done = jobs[i].rate ? jobs[i].rate * 900 : UINT64_MAX;
                        met[i] &= jobs[i].left_bytes == 0 || now_us < jobs[i].deadline_us;
                        if (!jobs[i].running)
                                continue;
                        jobs[i].left_bytes -= MIN(jobs[i].left_bytes, done);
                        jobs[i].running = jobs[i].left_bytes > 0;
                        running -= !jobs[i].running;
                }
        }
}

START_TEST(disks_that_are_fast_enough_are_all_in_time_however_few_run_at_a_time) {
        for (uint64_t name = 1; name <= 100; name++) {
                uint64_t seed = name;
                struct pacing_job jobs[8];
                bool met[8];
                size_t count = 2 + suite_random(&seed) % (ELEMENTS(jobs) - 1);
                unsigned at_a_time = 1 + (unsigned)(suite_random(&seed) % (count - 1));
                for (size_t i = 0; i < count; i++) {
                        uint64_t from_us = NOW + (suite_random(&seed) % 3) * 5 * DAY;
                        uint64_t span_us = (2 + suite_random(&seed) % 29) * DAY;
                        jobs[i] = job(suite_random(&seed) % (span_us / USEC_PER_SEC * 100 * MIB), from_us + span_us);
                        jobs[i].from_us = from_us;
                        jobs[i].running = false;
                        jobs[i].rate_min = MIB;
                        met[i] = true;
                }
                live_in_a_crowd(jobs, count, at_a_time, met);
                for (size_t i = 0; i < count; i++)
                        ASSERT_SEEDED(name, met[i]);
        }
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("pacing");
        tcase_add_test(tests, a_sweep_goes_as_fast_as_lets_it_end_a_little_before_its_deadline);
        tcase_add_test(tests, what_is_spared_is_kept_until_the_rest_is_over);
        tcase_add_test(tests, only_open_time_counts);
        tcase_add_test(tests, a_segment_gets_through_in_one_window_or_it_is_told_that_none_is_long_enough);
        tcase_add_test(tests, a_rate_lies_between_the_two_that_were_given);
        tcase_add_test(tests, a_deadline_that_is_over_is_run_for_without_a_limit);
        tcase_add_test(tests, a_sweep_by_hand_and_one_without_a_deadline_keep_to_rate_max_alone);
        tcase_add_test(tests, who_runs_goes_faster_where_others_wait_for_its_place);
        tcase_add_test(tests, who_runs_is_through_in_time_for_what_is_due_earlier);
        tcase_add_test(tests, a_near_deadline_of_one_does_not_hurry_the_others);
        tcase_add_test(tests, one_that_is_late_does_not_hurry_the_others);
        tcase_add_test(tests, all_together_keep_to_the_limit_of_the_host);
        tcase_add_test(tests, a_sweep_by_hand_leaves_most_of_the_limit_to_those_with_a_deadline);
        tcase_add_test(tests, who_has_to_wait_too_long_is_told_now);
        tcase_add_test(tests, what_begins_later_has_the_time_before_for_others);
        tcase_add_test(tests, windows_that_differ_are_more_time_together);
        tcase_add_test(tests, what_the_host_can_not_do_is_told_of_the_deadline_that_is_lost);
        tcase_add_test(tests, windows_that_do_not_open_in_time_are_told);
        tcase_add_test(tests, a_deadline_before_the_start_is_told_and_hurries_nobody);
        tcase_add_test(tests, each_advice_helps_when_it_is_followed);
        tcase_add_test(tests, a_deadline_is_met_or_it_is_told_before);
        tcase_add_test(tests, disks_that_are_fast_enough_are_all_in_time_however_few_run_at_a_time);
        return suite_run("pacing", tests);
}
