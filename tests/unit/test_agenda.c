/* SPDX-License-Identifier: Apache-2.0 */
/* When one device is swept next, held back and due: case by case, as a mistake here is noticed after months. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "plan/agenda.h"
#include "plan/calendar.h"
#include "suite.h"

#include <string.h>
#include <time.h>

#define NOW   (UINT64_C(1795348800) * USEC_PER_SEC) /* Sunday, 2026-11-22, 12:00 UTC */
#define HOUR  USEC_PER_HOUR
#define DAY   USEC_PER_DAY
#define AWAKE (NOW - 3 * DAY)

struct scene {
        struct device_config config;
        struct calendar calendar;
        struct schedule_history history;
        struct agenda_question question;
};

static struct scene *scene(struct scene *s) {
        *s = (struct scene){
                .config = { .name = "a", .mode = MODE_PATTERN, .every_us = 10 * DAY },
                .history = { .last_started_us = NOW - 9 * DAY,
                        .last_ended_us = NOW - 8 * DAY,
                        .last_end = END_FINISHED,
                        .last_finished_us = NOW - 9 * DAY,
                        .wrote_us = NOW - 9 * DAY,
                        .wrote_bytes = 1 << 30 },
        };
        s->question = (struct agenda_question){
                .config = &s->config, .history = &s->history, .extent_bytes = 1 << 30, .awake_us = AWAKE, .seed = 7
        };
        ck_assert_int_eq(setenv("TZ", "UTC", 1), 0);
        tzset();
        return s;
}

static void window(struct scene *s, const char *text) {
        char problem[CALENDAR_PROBLEM_BYTES];
        ck_assert_int_eq(calendar_add(&s->calendar, CALENDAR_WINDOWS, text, problem), 0);
        s->config.calendar = &s->calendar;
}

START_TEST(what_is_done_in_one_go_is_a_segment_or_all_there_is) {
        struct device_config c = { .settle_us = 60 * USEC_PER_SEC };
        const uint64_t tib = UINT64_C(1) << 40, gib = 1 << 30;
        ck_assert_uint_eq(agenda_lump_bytes(&c, MODE_READ, tib), 0);
        ck_assert_uint_eq(agenda_lump_wait_us(&c, MODE_READ), 0);
        ck_assert_uint_eq(agenda_lump_bytes(&c, MODE_PATTERN, tib), 2 * gib);
        ck_assert_uint_eq(agenda_lump_bytes(&c, MODE_PATTERN, 0), 2 * gib);
        ck_assert_uint_eq(agenda_lump_bytes(&c, MODE_PATTERN, gib / 4), gib / 2);
        ck_assert_uint_eq(agenda_lump_bytes(&c, MODE_PRESERVE, tib), 3 * gib);
        ck_assert_uint_eq(agenda_lump_bytes(&c, MODE_REFRESH, tib), 2 * gib);
        ck_assert_uint_eq(agenda_lump_wait_us(&c, MODE_REFRESH), 60 * USEC_PER_SEC);
}
END_TEST

START_TEST(a_sweep_is_planned_a_period_after_the_last_and_due_a_period_later) {
        struct scene s;
        struct agenda a = agenda_at(&scene(&s)->question, NOW);
        ck_assert_uint_eq(a.planned_us, NOW + DAY);
        ck_assert_uint_eq(a.start_us, NOW + DAY);
        ck_assert_int_eq(a.hold, AGENDA_FREE);
        ck_assert_uint_eq(a.deadline_us, NOW + 11 * DAY);
        ck_assert(!a.missed);
}
END_TEST

START_TEST(a_device_that_was_never_swept_begins_at_once_and_has_a_deadline_from_then_on) {
        struct scene s;
        scene(&s)->history = (struct schedule_history){ 0 };
        struct agenda a = agenda_at(&s.question, NOW);
        ck_assert_uint_eq(a.start_us, 0);
        ck_assert_uint_eq(a.deadline_us, 0);
        s.question.started_us = NOW - HOUR;
        ck_assert_uint_eq(agenda_at(&s.question, NOW).deadline_us, NOW - HOUR + 10 * DAY);
}
END_TEST

START_TEST(a_device_that_was_never_swept_is_late_a_period_after_it_began_to_wait) {
        struct scene s;
        scene(&s)->history = (struct schedule_history){ 0 };
        s.question.waiting_us = NOW - 9 * DAY;
        struct agenda a = agenda_at(&s.question, NOW);
        ck_assert_uint_eq(a.start_us, 0);
        ck_assert_uint_eq(a.deadline_us, NOW + DAY);
        ck_assert(!a.missed);
        ck_assert(agenda_at(&s.question, NOW + DAY + 1).missed);
        s.question.started_us = NOW; /* what was waited is gone */
        ck_assert_uint_eq(agenda_at(&s.question, NOW + 1).deadline_us, NOW + DAY);
        s.question.started_us = NOW + 2 * DAY; /* too late: a period of its own, and late all the same */
        a = agenda_at(&s.question, NOW + 2 * DAY);
        ck_assert_uint_eq(a.deadline_us, NOW + 12 * DAY);
        ck_assert(a.missed);
        s.question.started_us = NOW - 10 * DAY + 1; /* it was seen to be unchecked when it was at work already */
        ck_assert_uint_eq(agenda_at(&s.question, NOW).deadline_us, NOW + 1);
        s.question.started_us = 0;
        s.question.waiting_us = DAY; /* a clock that was not set */
        ck_assert_uint_eq(agenda_at(&s.question, NOW).deadline_us, 0);
        s.history = (struct schedule_history){ .last_end = END_FAILED, .last_ended_us = NOW - 8 * DAY };
        s.question.waiting_us = NOW - 11 * DAY; /* a sweep that failed is none */
        ck_assert(agenda_at(&s.question, NOW).missed);
        s.history.last_finished_us = NOW - 15 * DAY; /* and of what was swept, its last sweep tells */
        ck_assert(!agenda_at(&s.question, NOW).missed);
}
END_TEST

START_TEST(a_window_that_is_closed_puts_the_start_off_until_it_opens) {
        struct scene s;
        window(scene(&s), "22:00-06:00");
        struct agenda a = agenda_at(&s.question, NOW);
        ck_assert_uint_eq(a.start_us, NOW + DAY + 10 * HOUR);
        ck_assert_int_eq(a.hold, AGENDA_WINDOW);
        ck_assert_uint_eq(a.planned_us, NOW + DAY);
        s.history.last_started_us = s.history.last_finished_us = NOW - 10 * DAY - 1;
        s.question.awake_us = NOW - 11 * DAY;
        ck_assert_uint_eq(agenda_at(&s.question, NOW).start_us, NOW + 10 * HOUR);
        a = agenda_at(&s.question, NOW + 11 * HOUR);
        ck_assert_uint_eq(a.start_us, a.planned_us);
        ck_assert_int_eq(a.hold, AGENDA_FREE);
}
END_TEST

START_TEST(what_was_missed_is_spread_over_minutes_and_always_the_same) {
        uint64_t least_us = UINT64_MAX, most_us = 0;
        for (uint64_t seed = 0; seed < 1000; seed++) {
                struct scene s;
                scene(&s)->question.seed = seed;
                s.history.last_started_us = s.history.last_finished_us = NOW - 14 * DAY;
                struct agenda a = agenda_at(&s.question, NOW - 3 * DAY);
                ASSERT_SEEDED(seed, a.hold == AGENDA_SPREAD || a.start_us == AWAKE);
                ASSERT_SEEDED(seed, a.start_us >= AWAKE && a.start_us <= AWAKE + 15 * 60 * USEC_PER_SEC);
                ASSERT_SEEDED(seed, agenda_at(&s.question, NOW).start_us == a.start_us);
                least_us = MIN(least_us, a.start_us);
                most_us = MAX(most_us, a.start_us);
        }
        ck_assert_uint_gt(most_us - least_us, 14 * 60 * USEC_PER_SEC);
}
END_TEST

/* One that is certainly spread, by the same host and name. */
static uint64_t turn_of(const struct scene *s) {
        struct schedule_history missed = { .last_end = END_CANCELLED,
                .last_ended_us = s->question.awake_us - 3 * s->config.every_us };
        struct agenda_question q = s->question;
        struct device_config config = s->config;
        config.calendar = NULL;
        q.config = &config;
        q.history = &missed;
        q.left_bytes = q.waiting_us = q.started_us = 0;
        return agenda_at(&q, q.awake_us).start_us;
}

/* Minute by minute of the clock: how much of what is left is done by the deadline if it begins then. */
static bool fits(const struct scene *s, uint64_t begin_us, uint64_t deadline_us) {
        const uint64_t minute_us = 60 * USEC_PER_SEC;
        double left = (double)s->question.left_bytes;
        for (uint64_t at_us = begin_us, step_us; at_us < deadline_us && left >= 0; at_us += step_us) {
                step_us = MIN(minute_us - at_us % minute_us, deadline_us - at_us);
                if (calendar_is_open(s->config.calendar, at_us))
                        left -= (double)s->config.rate_max_bytes * (double)step_us / (double)USEC_PER_SEC;
        }
        return left < 0;
}

/* What waited while the host was off: never swept, killed, or in the midst of a sweep that rests. */
static bool draw(struct scene *s, uint64_t seed) {
        static const uint64_t periods[] = { HOUR, DAY, 10 * DAY };
        uint64_t state = seed;
        scene(s)->config.every_us = periods[suite_random(&state) % ELEMENTS(periods)];
        s->config.rate_max_bytes = 1 << 20;
        if (suite_random(&state) % 2)
                window(s, "00:00-12:00");
        bool rests = suite_random(&state) % 2;
        uint64_t waits_us = suite_random(&state) % (2 * s->config.every_us / 60 / USEC_PER_SEC) * 60 * USEC_PER_SEC;
        s->history = (struct schedule_history){ .last_end = suite_random(&state) % 2 ? END_KILLED : END_NONE };
        s->question.awake_us = NOW - suite_random(&state) % 2 * 8 * HOUR;
        s->question.after_boot = suite_random(&state) % 4 > 0;
        s->question.seed = seed;
        s->question.left_bytes = suite_random(&state) % (s->config.every_us / USEC_PER_SEC) << 20;
        *(rests ? &s->question.started_us : &s->question.waiting_us) = s->question.awake_us - waits_us;
        return rests;
}

START_TEST(what_the_host_was_started_under_waits_for_its_turn_but_never_past_a_deadline_that_it_could_meet) {
        size_t waited = 0, hurried = 0, late = 0;
        for (uint64_t seed = 1; seed <= 3000; seed++) {
                struct scene s;
                bool rests = draw(&s, seed);
                uint64_t awake_us = s.question.awake_us, turn_us = turn_of(&s);
                uint64_t deadline_us = s.question.waiting_us + s.question.started_us + s.config.every_us;
                bool over = awake_us > deadline_us;
                bool spread = s.question.after_boot && (over || fits(&s, turn_us, deadline_us));
                struct agenda a = rests ? agenda_of_rest(&s.question, awake_us) : agenda_at(&s.question, awake_us);
                uint64_t begin_us = MAX(awake_us, spread ? turn_us : 0);
                ASSERT_SEEDED(seed, turn_us >= awake_us && turn_us <= awake_us + 15 * 60 * USEC_PER_SEC);
                ASSERT_SEEDED(seed, MAX(a.start_us, awake_us) == calendar_next_open(s.config.calendar, begin_us));
                ASSERT_SEEDED(seed, !a.lost || a.lost_by != AGENDA_SPREAD);
                waited += spread;
                hurried += s.question.after_boot && !spread;
                late += over;
        }
        ck_assert(waited > 500 && hurried > 300 && late > 300);
}
END_TEST

START_TEST(what_only_the_daemon_was_started_anew_under_goes_on_at_once) {
        struct scene s;
        scene(&s)->question.awake_us = NOW;
        s.question.started_us = NOW;
        s.history = (struct schedule_history){ 0 };
        ck_assert_uint_eq(agenda_at(&s.question, NOW).start_us, 0);
        ck_assert_uint_eq(agenda_of_rest(&s.question, NOW).start_us, 0);
        s.question.after_boot = true;
        uint64_t turn_us = turn_of(&s);
        ck_assert_uint_gt(turn_us, NOW);
        ck_assert_uint_eq(agenda_of_rest(&s.question, NOW).start_us, turn_us);
        ck_assert_int_eq(agenda_of_rest(&s.question, NOW).hold, AGENDA_SPREAD);
        s.config.every_us = EVERY_NEVER; /* no deadline, and of no length */
        ck_assert_uint_eq(agenda_of_rest(&s.question, NOW).planned_us, SCHEDULE_NEVER);
        ck_assert_uint_le(agenda_of_rest(&s.question, NOW).start_us, NOW + 15 * 60 * USEC_PER_SEC);
}
END_TEST

START_TEST(each_fixed_pattern_is_written_and_read_once_more) {
        ck_assert_uint_eq(agenda_written_bytes(MODE_PATTERN, 0, 1000), 1000);
        ck_assert_uint_eq(agenda_written_bytes(MODE_PATTERN, 4, 1000), 5000);
        ck_assert_uint_eq(agenda_work_bytes(MODE_PATTERN, 0, 1000), 3000);
        ck_assert_uint_eq(agenda_work_bytes(MODE_PATTERN, 4, 1000), 11000);
        ck_assert_uint_eq(agenda_written_bytes(MODE_READ, 4, 1000), 0);
        ck_assert_uint_eq(agenda_work_bytes(MODE_PRESERVE, 4, 1000), 6000);
}
END_TEST

START_TEST(what_was_cut_short_begins_at_once) {
        struct scene s;
        scene(&s)->history.last_end = END_KILLED;
        ck_assert_uint_eq(agenda_at(&s.question, NOW).start_us, 0);
}
END_TEST

START_TEST(a_history_in_the_future_is_no_reason_to_wait_for_it) {
        struct scene s;
        scene(&s);
        s.history.last_started_us = s.history.last_finished_us = NOW + 70 * 365 * DAY;
        struct agenda a = agenda_at(&s.question, NOW);
        ck_assert_uint_le(a.start_us, NOW);
        s.question.awake_us = NOW; /* the clock was set back just now: not all at the same moment */
        a = agenda_at(&s.question, NOW);
        ck_assert(a.start_us >= NOW && a.start_us <= NOW + 15 * 60 * USEC_PER_SEC);
        s.history.last_started_us = s.history.last_finished_us = NOW + DAY;
        ck_assert_uint_eq(agenda_at(&s.question, NOW).start_us, NOW + 11 * DAY);
}
END_TEST

START_TEST(a_clock_of_1970_starts_nothing_at_once_and_does_not_stall) {
        struct scene s;
        uint64_t now_us = 60 * USEC_PER_SEC;
        scene(&s)->question.awake_us = now_us;
        struct agenda a = agenda_at(&s.question, now_us);
        ck_assert(a.start_us >= now_us && a.start_us <= now_us + 15 * 60 * USEC_PER_SEC);
}
END_TEST

START_TEST(write_limit_holds_a_sweep_back_by_what_the_last_one_wrote) {
        struct scene s;
        scene(&s)->config.write_limit = 12;
        struct agenda a = agenda_at(&s.question, NOW);
        ck_assert_uint_eq(a.start_us, NOW - 9 * DAY + 365 * DAY / 12);
        ck_assert_int_eq(a.hold, AGENDA_WRITES);
        s.history.wrote_bytes = 1 << 20; /* it failed early */
        a = agenda_at(&s.question, NOW);
        ck_assert_int_eq(a.hold, AGENDA_FREE);
        s.history.wrote_bytes = 1 << 30;
        s.config.mode = MODE_READ;
        ck_assert_int_eq(agenda_at(&s.question, NOW).hold, AGENDA_FREE);
}
END_TEST

START_TEST(a_sweep_that_began_late_does_not_put_the_next_ones_off) {
        struct scene s;
        scene(&s)->question.started_us = NOW + 4 * DAY; /* planned for NOW + 1 d */
        ck_assert_uint_eq(agenda_planned_for(&s.question, NOW + 5 * DAY), NOW + DAY);
        s.question.started_us = NOW + 11 * DAY; /* the period is over: it gets one of its own */
        ck_assert_uint_eq(agenda_planned_for(&s.question, NOW + 12 * DAY), NOW + 11 * DAY);
        s.config.every_us = EVERY_NEVER;
        ck_assert_uint_eq(agenda_planned_for(&s.question, NOW + 12 * DAY), 0);
        s.config.every_us = 10 * DAY;
        s.question.started_us = 0;
        s.history.last_started_us = s.history.last_finished_us = NOW + 4 * DAY;
        s.history.finished_planned_us = NOW + DAY;
        struct agenda a = agenda_at(&s.question, NOW + 5 * DAY);
        ck_assert_uint_eq(a.planned_us, NOW + 11 * DAY);
        ck_assert_uint_eq(a.deadline_us, NOW + 21 * DAY);
        s.history.last_end = END_FAILED; /* after a try that failed, too */
        s.history.last_ended_us = NOW + 5 * DAY;
        ck_assert_uint_eq(agenda_at(&s.question, NOW + 5 * DAY).deadline_us, NOW + 21 * DAY);
}
END_TEST

START_TEST(what_writes_little_after_a_full_write_does_not_lift_the_limit) {
        struct scene s;
        uint64_t until_us = NOW - 9 * DAY + 365 * DAY / 12, gib = 1 << 30;
        scene(&s)->config.write_limit = 12;
        const uint64_t sizes[] = { 0, gib, 0 }; /* by the size that is known at that time */
        for (size_t i = 0; i < ELEMENTS(sizes); i++) {
                agenda_note_write(&s.history, &s.config, sizes[i], NOW - 2 * DAY, 0);
                agenda_note_write(&s.history, &s.config, sizes[i], NOW - DAY, gib / 8);
                ck_assert_uint_eq(agenda_at(&s.question, NOW).start_us, until_us);
        }
        agenda_note_write(&s.history, &s.config, gib, NOW - DAY, gib / 2 + gib / 4);
        ck_assert_uint_eq(agenda_at(&s.question, NOW).start_us, NOW - DAY + 365 * DAY / 16);
        s.config.write_limit = 0; /* it may come back */
        agenda_note_write(&s.history, &s.config, gib, NOW, gib / 8);
        ck_assert_uint_eq(s.history.wrote_us, NOW - DAY);
}
END_TEST

START_TEST(writes_that_a_wrong_clock_dates_hold_the_next_back_from_when_the_clock_is_right) {
        static const uint64_t wrong[] = { UINT64_C(86400) * USEC_PER_SEC, NOW + 70 * 365 * DAY };
        for (size_t i = 0; i < ELEMENTS(wrong); i++) {
                struct scene s;
                scene(&s)->config.write_limit = 12;
                s.history = (struct schedule_history){ 0 };
                agenda_note_write(&s.history, &s.config, 1 << 30, wrong[i], 1 << 30);
                struct agenda a = agenda_at(&s.question, NOW);
                ck_assert_uint_eq(a.start_us, AWAKE + 365 * DAY / 12);
                ck_assert_int_eq(a.hold, AGENDA_WRITES);
                agenda_note_write(&s.history, &s.config, 1 << 30, NOW - DAY, 1 << 20); /* that is later in any case */
                a = agenda_at(&s.question, NOW);
                ck_assert_uint_eq(a.start_us, NOW - DAY + 365 * DAY / 12);
        }
}
END_TEST

START_TEST(a_deadline_before_the_sweep_may_begin_is_lost_and_the_first_reason_counts) {
        struct scene s;
        ck_assert(!agenda_at(&scene(&s)->question, NOW).lost);
        s.config.write_limit = 12; /* 30 days, and the deadline is 20 after the last start */
        window(&s, "23:00-06:00");
        struct agenda a = agenda_at(&s.question, NOW);
        ck_assert(a.lost && !a.missed);
        ck_assert_int_eq(a.lost_by, AGENDA_WRITES);
        ck_assert_int_eq(a.hold, AGENDA_WINDOW);
        ck_assert_uint_lt(a.deadline_us, a.start_us);
        ck_assert(!agenda_at(&s.question, a.deadline_us + 1).lost); /* then it is missed */
        ck_assert_double_eq_tol(agenda_least_write_limit(&s.config), 36.5, 1e-9);
        s.config.write_limit = 36.5;
        ck_assert(!agenda_at(&s.question, NOW).lost);

        s.config.write_limit = 0;
        s.config.every_us = DAY; /* due since 8 days, with a deadline 7 days ago */
        ck_assert(!agenda_at(&s.question, NOW).lost);
        s.history.last_started_us = s.history.last_finished_us = NOW - 2 * DAY + HOUR;
        a = agenda_at(&s.question, NOW);
        ck_assert(a.lost);
        ck_assert_int_eq(a.lost_by, AGENDA_WINDOW);
        s.config.calendar = NULL;
        s.history.last_end = END_FAILED;
        s.history.last_ended_us = NOW - HOUR / 2;
        a = agenda_at(&s.question, NOW + HOUR / 2);
        ck_assert(!a.lost && a.start_us == NOW + HOUR / 2);
        s.history.failures_in_a_row = 3;
        a = agenda_at(&s.question, NOW + HOUR / 2);
        ck_assert(a.lost && a.lost_by == AGENDA_FREE);
}
END_TEST

START_TEST(a_period_that_ended_without_a_whole_sweep_is_missed) {
        struct scene s;
        scene(&s)->history.last_end = END_FAILED;
        s.history.last_finished_us = NOW - 20 * DAY;
        ck_assert(!agenda_at(&s.question, NOW).missed);
        ck_assert(agenda_at(&s.question, NOW + 1).missed);
        s.question.started_us = NOW + 1; /* it gets a period of its own, and stays late */
        ck_assert_uint_eq(agenda_at(&s.question, NOW + 2).deadline_us, NOW + 1 + 10 * DAY);
        ck_assert(agenda_at(&s.question, NOW + 2).missed);
}
END_TEST

START_TEST(never_is_neither_planned_nor_due) {
        struct scene s;
        scene(&s)->config.every_us = EVERY_NEVER;
        struct agenda a = agenda_at(&s.question, NOW);
        ck_assert(a.start_us == SCHEDULE_NEVER && a.deadline_us == SCHEDULE_NEVER && !a.missed);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("agenda");
        tcase_add_test(tests, what_is_done_in_one_go_is_a_segment_or_all_there_is);
        tcase_add_test(tests, a_sweep_is_planned_a_period_after_the_last_and_due_a_period_later);
        tcase_add_test(tests, a_device_that_was_never_swept_begins_at_once_and_has_a_deadline_from_then_on);
        tcase_add_test(tests, a_device_that_was_never_swept_is_late_a_period_after_it_began_to_wait);
        tcase_add_test(tests, a_window_that_is_closed_puts_the_start_off_until_it_opens);
        tcase_add_test(tests, what_was_missed_is_spread_over_minutes_and_always_the_same);
        tcase_add_test(
                tests, what_the_host_was_started_under_waits_for_its_turn_but_never_past_a_deadline_that_it_could_meet);
        tcase_add_test(tests, what_only_the_daemon_was_started_anew_under_goes_on_at_once);
        tcase_add_test(tests, each_fixed_pattern_is_written_and_read_once_more);
        tcase_add_test(tests, what_was_cut_short_begins_at_once);
        tcase_add_test(tests, a_history_in_the_future_is_no_reason_to_wait_for_it);
        tcase_add_test(tests, a_clock_of_1970_starts_nothing_at_once_and_does_not_stall);
        tcase_add_test(tests, write_limit_holds_a_sweep_back_by_what_the_last_one_wrote);
        tcase_add_test(tests, a_sweep_that_began_late_does_not_put_the_next_ones_off);
        tcase_add_test(tests, what_writes_little_after_a_full_write_does_not_lift_the_limit);
        tcase_add_test(tests, writes_that_a_wrong_clock_dates_hold_the_next_back_from_when_the_clock_is_right);
        tcase_add_test(tests, a_deadline_before_the_sweep_may_begin_is_lost_and_the_first_reason_counts);
        tcase_add_test(tests, a_period_that_ended_without_a_whole_sweep_is_missed);
        tcase_add_test(tests, never_is_neither_planned_nor_due);
        return suite_run("agenda", tests);
}
