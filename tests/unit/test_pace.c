/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pace is wrong by a little, for weeks. So hours pass here in simulated time, with waits of chance between the looks,
 * and what was sent is compared with what the rate allows over every stretch.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "suite.h"
#include "sweep/pace.h"

#define BLOCK    (UINT32_C(512) << 10)
#define BEGIN    (UINT64_C(5000) * USEC_PER_SEC)
#define MIB      (UINT64_C(1) << 20)
#define RATE_MIN (8 * MIB)

enum { SEEDS = 40 };

static struct pace begin(bool yield, bool in_use, uint64_t rate_min) {
        struct pace p;
        struct pace_options options = { .yield = yield, .in_use = in_use, .rate_min = rate_min };
        pace_init(&p, &options, BEGIN);
        return p;
}

static bool may_send(const struct pace *p, uint64_t now_us) {
        return pace_next_us(p, now_us) <= now_us;
}

/* Sends as much as it may now, which takes no time. */
static uint64_t send_all(struct pace *p, uint64_t now_us, uint32_t bytes) {
        uint64_t sent = 0;
        for (; may_send(p, now_us); sent += bytes) {
                pace_sent(p, bytes, now_us);
                if (sent > UINT64_C(1) << 40)
                        ck_abort_msg("it never waits");
        }
        return sent;
}

START_TEST(a_rate_is_kept_over_every_stretch) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                uint64_t state = seed, now_us = BEGIN, total = 0, from_us = BEGIN, from = 0;
                uint64_t rate = MIB + suite_random(&state) % (2000 * MIB);
                uint32_t block = UINT32_C(4096) << suite_random(&state) % 8;
                struct pace p = begin(false, false, RATE_MIN);
                pace_set_rate(&p, rate, now_us);
                while (now_us < BEGIN + 60 * USEC_PER_SEC) {
                        total += send_all(&p, now_us, block);
                        double most = (double)rate * (double)(now_us - from_us + PACE_BURST_US) / 1e6 + block;
                        if ((double)(total - from) > most + 1)
                                ck_abort_msg("seed %" PRIu64 ": too fast", seed);
                        if (suite_random(&state) % 100 == 0) {
                                from_us = now_us;
                                from = total;
                        }
                        now_us += suite_random(&state) % 20000; /* within what may be caught up with */
                }
                ASSERT_SEEDED(seed, (double)total >= (double)rate * 59.9);
        }
}
END_TEST

START_TEST(a_machine_that_stood_still_brings_no_burst) {
        struct pace p = begin(true, false, RATE_MIN);
        pace_set_rate(&p, 100 * MIB, BEGIN);
        send_all(&p, BEGIN, BLOCK);
        uint64_t later_us = BEGIN + 21 * USEC_PER_DAY;
        ck_assert_uint_le(send_all(&p, later_us, BLOCK), 100 * MIB * PACE_BURST_US / USEC_PER_SEC + BLOCK);
}
END_TEST

START_TEST(without_a_rate_nothing_waits) {
        struct pace p = begin(true, false, RATE_MIN);
        for (unsigned i = 0; i < 1000; i++) {
                ck_assert(may_send(&p, BEGIN));
                pace_sent(&p, UINT32_MAX, BEGIN);
        }
        ck_assert_uint_eq(pace_depth(&p), 0);
        ck_assert_uint_eq(pace_rate(&p), 0);
}
END_TEST

START_TEST(a_new_rate_counts_at_once) {
        struct pace p = begin(false, false, RATE_MIN);
        pace_set_rate(&p, 1, BEGIN);
        send_all(&p, BEGIN, BLOCK); /* six days' worth */
        ck_assert_uint_gt(pace_next_us(&p, BEGIN), BEGIN + 5 * USEC_PER_DAY);
        pace_set_rate(&p, 100 * MIB, BEGIN);
        ck_assert_uint_le(pace_next_us(&p, BEGIN), BEGIN + 5100);
        ck_assert_uint_gt(pace_next_us(&p, BEGIN), BEGIN);
        pace_set_rate(&p, 0, BEGIN);
        ck_assert(may_send(&p, BEGIN));
        pace_set_rate(&p, MIB, BEGIN + 1);
        ck_assert_uint_le(send_all(&p, BEGIN + 1, BLOCK), BLOCK);
}
END_TEST

START_TEST(what_was_taken_back_was_never_sent) {
        struct pace p = begin(true, false, RATE_MIN);
        pace_set_rate(&p, MIB, BEGIN);
        pace_sent(&p, 4096, BEGIN);
        struct pace before = p;
        pace_sent(&p, BLOCK, BEGIN);
        ck_assert(!may_send(&p, BEGIN));
        pace_took_back(&p, BLOCK);
        ck_assert_uint_eq(p.level.next_ns, before.level.next_ns);
        ck_assert_uint_eq(p.floor.next_ns, before.floor.next_ns);
}
END_TEST

START_TEST(others_make_it_yield_until_a_second_was_quiet) {
        struct pace p = begin(true, false, RATE_MIN);
        uint64_t now_us = BEGIN;
        ck_assert(pace_wants_sample(&p, now_us));
        pace_sample(&p, false, now_us);
        ck_assert(!pace_wants_sample(&p, now_us));
        ck_assert_int_eq(pace_state(&p, now_us), PACE_FREE);
        now_us += PACE_SAMPLE_US;
        ck_assert(pace_wants_sample(&p, now_us));
        pace_sample(&p, true, now_us);
        uint64_t seen_us = now_us;
        for (; now_us < seen_us + PACE_QUIET_US; now_us += PACE_WARY_SAMPLE_US) {
                if (now_us > seen_us)
                        pace_sample(&p, false, now_us);
                ck_assert_int_eq(pace_state(&p, now_us), PACE_YIELDS);
                ck_assert_uint_eq(pace_depth(&p), 1);
                ck_assert(!may_send(&p, now_us));
        }
        ck_assert(pace_wants_sample(&p, now_us));
        pace_sample(&p, false, now_us);
        ck_assert_int_eq(pace_state(&p, now_us), PACE_FREE);
        ck_assert_uint_eq(pace_depth(&p), 0);
        ck_assert(may_send(&p, now_us));
}
END_TEST

START_TEST(it_looks_at_least_once_a_second_and_more_often_where_others_were) {
        struct pace p = begin(true, false, RATE_MIN);
        uint64_t now_us = BEGIN + USEC_PER_SEC;
        pace_sample(&p, false, now_us);
        ck_assert(!pace_wants_sample(&p, now_us + PACE_WARY_SAMPLE_US));
        ck_assert(pace_wants_sample(&p, now_us + USEC_PER_SEC));
        pace_sample(&p, true, now_us);
        ck_assert(pace_wants_sample(&p, now_us + PACE_WARY_SAMPLE_US));
        for (unsigned i = 0; i < 8; i++)
                pace_sample(&p, false, now_us += PACE_WARY_SAMPLE_US);
        ck_assert_int_eq(pace_state(&p, now_us), PACE_FREE);
        ck_assert(pace_wants_sample(&p, now_us + PACE_WARY_SAMPLE_US));
        pace_sample(&p, false, now_us += PACE_WARY_US);
        ck_assert(!pace_wants_sample(&p, now_us + PACE_WARY_SAMPLE_US));
}
END_TEST

/* A disk that is never idle, and answers each request after `took_us`. Returns the bytes that were swept until then. */
static uint64_t sweep_busy(struct pace *p, uint64_t *now_us, uint64_t until_us, uint64_t took_us, uint64_t *out_us) {
        uint64_t total = 0;
        for (; *now_us < until_us; *now_us += 1000) {
                if (pace_wants_sample(p, *now_us))
                        pace_sample(p, true, *now_us);
                if (!may_send(p, *now_us))
                        continue;
                pace_sent(p, BLOCK, *now_us);
                total += BLOCK;
                *now_us += took_us;
                *out_us += took_us;
                pace_answered(p, *now_us, took_us);
        }
        return total;
}

START_TEST(a_busy_disk_loses_half_a_percent_of_its_time) {
        for (uint64_t took_us = 100; took_us < 60000; took_us += took_us / 2) {
                struct pace p = begin(true, false, RATE_MIN);
                uint64_t now_us = BEGIN, out_us = 0, span_us = PACE_GRACE_US - USEC_PER_SEC;
                pace_sample(&p, true, now_us);
                uint64_t swept = sweep_busy(&p, &now_us, BEGIN + span_us, took_us, &out_us);
                ck_assert_uint_gt(swept, 0);
                ck_assert_uint_le(out_us, span_us / 199 + took_us);
        }
}
END_TEST

START_TEST(a_disk_that_is_busy_for_ever_is_swept_at_rate_min) {
        for (unsigned took_ms = 1; took_ms <= 60; took_ms += 10) {
                uint64_t rate_min = 8 * MIB, now_us = BEGIN, out_us = 0, total = 0;
                struct pace p = begin(true, true, rate_min);
                for (unsigned minute = 1; minute <= 120; minute++) {
                        total += sweep_busy(
                                &p, &now_us, BEGIN + minute * 60 * USEC_PER_SEC, took_ms * USEC_PER_MSEC, &out_us);
                        double owed_s = (double)(now_us - BEGIN) / 1e6 - 600;
                        ck_assert_msg((double)total >= owed_s * (double)rate_min - BLOCK, "minute %u: %" PRIu64, minute,
                                total);
                }
                ck_assert_uint_le(total, rate_min * 6601 + 2 * BLOCK);
                ck_assert_int_eq(pace_state(&p, now_us), PACE_FLOOR);
                ck_assert_uint_eq(pace_depth(&p), 1);
                ck_assert_uint_eq(pace_rate(&p), rate_min);
        }
}
END_TEST

START_TEST(what_was_swept_before_is_a_lead_of_a_day_at_most) {
        struct pace p = begin(true, false, 8 * MIB);
        uint64_t now_us = BEGIN, out_us = 0;
        for (unsigned i = 0; i < 200 * 60 * 30; i++, now_us += 5000) /* half an hour at 100 MiB/s */
                pace_sent(&p, BLOCK, now_us);
        pace_sample(&p, true, now_us);
        uint64_t until_us = now_us + 3600 * USEC_PER_SEC, swept = sweep_busy(&p, &now_us, until_us, 10000, &out_us);
        ck_assert_int_eq(pace_state(&p, now_us), PACE_YIELDS);
        ck_assert_uint_le(swept, 8 * MIB * 3600 / 20);
        for (unsigned i = 0; i < 2000000; i++) /* more than a day's worth, at once */
                pace_sent(&p, BLOCK, now_us);
        until_us = now_us + PACE_LEAD_US;
        sweep_busy(&p, &now_us, until_us - 2 * USEC_PER_SEC, 10000, &out_us);
        ck_assert_int_eq(pace_state(&p, now_us), PACE_YIELDS);
        /* The sips of that day are a part of it: three quarters of an hour. */
        uint64_t rest = sweep_busy(&p, &now_us, until_us + 7200 * USEC_PER_SEC, 10000, &out_us);
        ck_assert_uint_ge(rest, 8 * MIB * 4400);
        ck_assert_int_eq(pace_state(&p, now_us), PACE_FLOOR);
}
END_TEST

START_TEST(the_rate_holds_below_rate_min_too) {
        struct pace p = begin(true, true, 8 * MIB);
        uint64_t now_us = BEGIN + PACE_GRACE_US + USEC_PER_HOUR, out_us = 0, from_us = now_us;
        pace_set_rate(&p, MIB, now_us);
        uint64_t swept = sweep_busy(&p, &now_us, now_us + 60 * USEC_PER_SEC, 1000, &out_us);
        ck_assert_uint_le(swept, (now_us - from_us) * MIB / USEC_PER_SEC + 2 * BLOCK);
        ck_assert_uint_ge(swept, 50 * MIB);
        ck_assert_uint_eq(pace_rate(&p), MIB);
}
END_TEST

START_TEST(a_target_that_others_have_open_begins_at_depth_one) {
        struct pace p = begin(true, true, RATE_MIN);
        ck_assert_uint_eq(pace_depth(&p), 1);
        ck_assert_int_eq(pace_state(&p, BEGIN), PACE_YIELDS);
        ck_assert(may_send(&p, BEGIN));
        for (uint64_t now_us = BEGIN; now_us < BEGIN + PACE_QUIET_US; now_us += PACE_WARY_SAMPLE_US) {
                ck_assert_uint_eq(pace_depth(&p), 1);
                pace_sample(&p, false, now_us);
        }
        pace_sample(&p, false, BEGIN + PACE_QUIET_US);
        ck_assert_uint_eq(pace_depth(&p), 0);
}
END_TEST

START_TEST(where_nobody_counts_nobody_is_yielded_to) {
        struct pace p = begin(true, true, RATE_MIN);
        pace_sample_unknown(&p, BEGIN);
        ck_assert_uint_eq(pace_depth(&p), 0);
        ck_assert(!pace_wants_sample(&p, BEGIN));
        ck_assert(pace_wants_sample(&p, BEGIN + PACE_SAMPLE_US));
}
END_TEST

START_TEST(told_not_to_yield_it_never_looks) {
        struct pace p = begin(false, true, RATE_MIN);
        ck_assert_uint_eq(pace_depth(&p), 0);
        ck_assert(!pace_wants_sample(&p, BEGIN));
        ck_assert(!pace_wants_sample(&p, BEGIN + USEC_PER_DAY));
        ck_assert_int_eq(pace_state(&p, BEGIN), PACE_FREE);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("pace");
        tcase_add_test(tests, a_rate_is_kept_over_every_stretch);
        tcase_add_test(tests, a_machine_that_stood_still_brings_no_burst);
        tcase_add_test(tests, without_a_rate_nothing_waits);
        tcase_add_test(tests, a_new_rate_counts_at_once);
        tcase_add_test(tests, what_was_taken_back_was_never_sent);
        tcase_add_test(tests, others_make_it_yield_until_a_second_was_quiet);
        tcase_add_test(tests, it_looks_at_least_once_a_second_and_more_often_where_others_were);
        tcase_add_test(tests, a_busy_disk_loses_half_a_percent_of_its_time);
        tcase_add_test(tests, a_disk_that_is_busy_for_ever_is_swept_at_rate_min);
        tcase_add_test(tests, what_was_swept_before_is_a_lead_of_a_day_at_most);
        tcase_add_test(tests, the_rate_holds_below_rate_min_too);
        tcase_add_test(tests, a_target_that_others_have_open_begins_at_depth_one);
        tcase_add_test(tests, where_nobody_counts_nobody_is_yielded_to);
        tcase_add_test(tests, told_not_to_yield_it_never_looks);
        return suite_run("pace", tests);
}
