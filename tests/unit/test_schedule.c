/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A schedule that is wrong is noticed after months. Start times are checked case by case.
 */
#include "base/clock.h"
#include "plan/schedule.h"
#include "suite.h"

#define NOW (UINT64_C(1700000000) * USEC_PER_SEC)
#define DAY USEC_PER_DAY

static struct schedule_history ended(enum sweep_end end, uint64_t started_us, uint64_t ended_us) {
        return (struct schedule_history){ .last_started_us = started_us,
                .last_ended_us = ended_us,
                .last_end = end,
                .failures_in_a_row = end == END_FAILED,
                .last_finished_us = end == END_FINISHED ? started_us : 0 };
}

START_TEST(a_device_that_was_never_swept_starts_at_once) {
        struct schedule_history h = { 0 };
        ck_assert_uint_eq(schedule_next_start(&h, 30 * DAY, NOW), 0);
        ck_assert_uint_eq(schedule_next_due(&h, 30 * DAY, NOW), 0);
}
END_TEST

START_TEST(a_period_begins_when_its_sweep_was_planned_unless_it_began_too_early_or_too_late) {
        struct schedule_history h = ended(END_FINISHED, NOW - 9 * DAY, NOW - 8 * DAY);
        static const struct {
                uint64_t planned_us, begins_us;
        } cases[] = { { 0, NOW - 9 * DAY }, { NOW - 12 * DAY, NOW - 12 * DAY }, { NOW - 18 * DAY, NOW - 18 * DAY },
                { NOW - 19 * DAY, NOW - 9 * DAY }, { NOW - 2 * DAY, NOW - 9 * DAY } };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                h.finished_planned_us = cases[i].planned_us;
                ck_assert_uint_eq(schedule_period_start(&h, 10 * DAY, NOW), cases[i].begins_us);
                ck_assert_uint_eq(schedule_next_start(&h, 10 * DAY, NOW), cases[i].begins_us + 10 * DAY);
                ck_assert_uint_eq(schedule_next_due(&h, 10 * DAY, NOW), cases[i].begins_us + 10 * DAY);
        }
        h.last_finished_us = NOW + 70 * 365 * DAY;
        ck_assert_uint_eq(schedule_period_start(&h, 10 * DAY, NOW), 0);
}
END_TEST

START_TEST(what_a_clock_that_was_not_set_tells_counts_until_it_is_set) {
        uint64_t unset = 300 * DAY;
        struct schedule_history h = ended(END_FINISHED, unset, unset + DAY);
        ck_assert_uint_eq(schedule_next_start(&h, 30 * DAY, unset + 2 * DAY), unset + 30 * DAY);
        ck_assert_uint_eq(schedule_next_due(&h, 30 * DAY, unset + 2 * DAY), unset + 30 * DAY);
        ck_assert_uint_eq(schedule_next_start(&h, 30 * DAY, NOW), 0);
        ck_assert_uint_eq(schedule_next_due(&h, 30 * DAY, NOW), 0);
}
END_TEST

START_TEST(every_never_never_starts) {
        for (enum sweep_end end = END_NONE; end < END_COUNT; end++) {
                struct schedule_history h = ended(end, NOW - 2 * DAY, NOW - DAY);
                ck_assert(schedule_next_start(&h, EVERY_NEVER, NOW) == SCHEDULE_NEVER);
                ck_assert(schedule_next_due(&h, EVERY_NEVER, NOW) == SCHEDULE_NEVER);
        }
}
END_TEST

START_TEST(a_finished_sweep_counts_from_its_start) {
        struct schedule_history h = ended(END_FINISHED, NOW - 9 * DAY, NOW - DAY);
        ck_assert_uint_eq(schedule_next_start(&h, 30 * DAY, NOW), NOW + 21 * DAY);
        ck_assert_uint_eq(schedule_next_due(&h, 30 * DAY, NOW), NOW + 21 * DAY);
}
END_TEST

START_TEST(a_cancelled_sweep_skips_its_period) {
        struct schedule_history h = ended(END_CANCELLED, NOW - 9 * DAY, NOW - DAY);
        h.last_finished_us = NOW - 40 * DAY;
        ck_assert_uint_eq(schedule_next_start(&h, 30 * DAY, NOW), NOW + 29 * DAY);
        ck_assert_uint_eq(schedule_next_due(&h, 30 * DAY, NOW), NOW + 29 * DAY);
}
END_TEST

START_TEST(a_killed_sweep_starts_again_at_once_and_keeps_its_deadline) {
        struct schedule_history h = ended(END_KILLED, NOW - DAY, NOW - DAY / 2);
        h.last_finished_us = NOW - 20 * DAY;
        ck_assert_uint_eq(schedule_next_start(&h, 30 * DAY, NOW), 0);
        ck_assert_uint_eq(schedule_next_due(&h, 30 * DAY, NOW), NOW + 10 * DAY);
}
END_TEST

START_TEST(failures_are_tried_again_after_doubling_pauses_up_to_a_day) {
        static const unsigned hours[] = { 1, 1, 2, 4, 8, 16, 24, 24, 24 };
        struct schedule_history h = ended(END_FAILED, NOW - DAY, NOW);
        for (unsigned n = 0; n < sizeof hours / sizeof *hours; n++) {
                h.failures_in_a_row = n;
                ck_assert_uint_eq(schedule_next_start(&h, 30 * DAY, NOW), NOW + hours[n] * USEC_PER_HOUR);
        }
        h.failures_in_a_row = UINT32_MAX;
        ck_assert_uint_eq(schedule_next_start(&h, 30 * DAY, NOW), NOW + DAY);
        ck_assert_uint_eq(schedule_next_start(&h, USEC_PER_SEC, NOW), NOW + USEC_PER_SEC);
}
END_TEST

START_TEST(a_failed_sweep_keeps_the_deadline) {
        struct schedule_history h = ended(END_FAILED, NOW - DAY, NOW - DAY);
        h.last_finished_us = NOW - 31 * DAY;
        ck_assert_uint_eq(schedule_next_due(&h, 30 * DAY, NOW), NOW - DAY);
}
END_TEST

START_TEST(a_past_from_a_wrong_clock_does_not_put_a_device_off) {
        uint64_t wrong = NOW + 70 * 365 * DAY;
        for (enum sweep_end end = END_FINISHED; end < END_COUNT; end++) {
                struct schedule_history h = ended(end, wrong, wrong + DAY);
                ck_assert_uint_eq(schedule_next_start(&h, 30 * DAY, NOW), 0);
                ck_assert_uint_eq(schedule_next_due(&h, 30 * DAY, NOW), 0);
        }
}
END_TEST

START_TEST(no_history_puts_a_device_off_for_more_than_two_periods) {
        for (uint64_t seed = 0; seed < 20000; seed++) {
                uint64_t state = seed, every = (1 + suite_random(&state) % 1000) * USEC_PER_HOUR;
                uint64_t spread = suite_random(&state) % 2 ? 4 * every : UINT64_MAX / 2;
                struct schedule_history h = ended((enum sweep_end)(suite_random(&state) % END_COUNT),
                        NOW - 2 * every + suite_random(&state) % spread,
                        NOW - 2 * every + suite_random(&state) % spread);
                h.failures_in_a_row = (unsigned)(suite_random(&state) % 40);
                ASSERT_SEEDED(seed, schedule_next_start(&h, every, NOW) <= NOW + 2 * every);
                ASSERT_SEEDED(seed, schedule_next_due(&h, every, NOW) <= NOW + 2 * every);
        }
}
END_TEST

START_TEST(a_huge_period_does_not_overflow) {
        struct schedule_history h = ended(END_FINISHED, UINT64_MAX - 5, UINT64_MAX - 1);
        ck_assert(schedule_next_start(&h, EVERY_NEVER - 1, NOW) == SCHEDULE_NEVER);
}
END_TEST

START_TEST(what_waits_for_more_than_three_periods_is_silent) {
        uint64_t then = 100 * USEC_PER_DAY, every = 30 * USEC_PER_DAY;
        ck_assert(!schedule_is_silent(then, every, then + 3 * every));
        ck_assert(schedule_is_silent(then, every, then + 3 * every + 1));
        ck_assert(!schedule_is_silent(then, EVERY_NEVER, UINT64_MAX));
        ck_assert(!schedule_is_silent(0, every, UINT64_MAX - 1));
        ck_assert(!schedule_is_silent(then + 1, every, then));
        ck_assert(!schedule_is_silent(then, UINT64_MAX / 2, UINT64_MAX));
}
END_TEST

int main(void) {
        TCase *t = tcase_create("schedule");
        tcase_add_test(t, a_device_that_was_never_swept_starts_at_once);
        tcase_add_test(t, a_period_begins_when_its_sweep_was_planned_unless_it_began_too_early_or_too_late);
        tcase_add_test(t, what_a_clock_that_was_not_set_tells_counts_until_it_is_set);
        tcase_add_test(t, every_never_never_starts);
        tcase_add_test(t, a_finished_sweep_counts_from_its_start);
        tcase_add_test(t, a_cancelled_sweep_skips_its_period);
        tcase_add_test(t, a_killed_sweep_starts_again_at_once_and_keeps_its_deadline);
        tcase_add_test(t, failures_are_tried_again_after_doubling_pauses_up_to_a_day);
        tcase_add_test(t, a_failed_sweep_keeps_the_deadline);
        tcase_add_test(t, a_past_from_a_wrong_clock_does_not_put_a_device_off);
        tcase_add_test(t, no_history_puts_a_device_off_for_more_than_two_periods);
        tcase_add_test(t, a_huge_period_does_not_overflow);
        tcase_add_test(t, what_waits_for_more_than_three_periods_is_silent);
        return suite_run("schedule", t);
}
