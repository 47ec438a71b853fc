/* SPDX-License-Identifier: Apache-2.0 */
/* Bursts of messages on a clock that the test sets. What is told one by one and what sums say must add up. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "report/burst.h"
#include "suite.h"

#include <string.h>
#include <syslog.h>

#define START  (1000 * USEC_PER_SEC)
#define SECOND USEC_PER_SEC
#define HOUR   USEC_PER_HOUR
#define QUIET  (BURST_QUIET_S * USEC_PER_SEC)

static struct burst_book *book;

static void setup(void) {
        ck_assert_int_eq(burst_book_new(&book), 0);
}

static void teardown(void) {
        book = burst_book_free(book);
}

/* What the ledger keeps of a sum is its text. */
static bool next_sum(const char *device, uint64_t now_us, struct event *ret) {
        if (!burst_book_sum(book, device, now_us, ret))
                return false;
        ck_assert_uint_eq(event_sum_count(ret), ret->count);
        return true;
}

static struct event make(enum event_kind kind, const char *device) {
        struct event event = { .kind = kind, .priority = LOG_WARNING };
        text_copy(event.device, sizeof event.device, device);
        return event;
}

static struct event finding(const char *device, enum fault fault, enum event_turn turn) {
        struct event event = make(EVENT_FINDING, device);
        event.has_finding = true;
        event.finding.fault = fault;
        event.turn = turn;
        return event;
}

static bool passes(struct event event, uint64_t now_us) {
        return burst_book_passes(book, &event, now_us);
}

START_TEST(ten_thousand_findings_are_a_few_messages_and_a_sum_with_exact_counts) {
        size_t told = 0;
        struct event sum;
        for (size_t i = 0; i < 10000; i++)
                told += passes(finding("d0", i % 4 == 3 ? FAULT_BIT_FLIP : FAULT_READ_ERROR,
                                       i % 10 == 9 ? EVENT_GREW : EVENT_FIRST),
                        START + i * 100);
        ck_assert_uint_eq(told, BURST_TOLD_MAX);
        ck_assert(next_sum(NULL, START + 20 * SECOND, &sum));
        ck_assert_uint_eq(sum.count, 10000 - BURST_TOLD_MAX);
        ck_assert_int_eq(sum.kind, EVENT_SUM);
        ck_assert_str_eq(sum.device, "d0");
        ck_assert_str_eq(sum.text,
                "9984 more messages of findings within 0 s, in one: 8985 new, 999 grown; read_error 7488, bit_flip 2496. Each of them: sweepctl errors d0");
        ck_assert(!next_sum(NULL, START + HOUR, &sum));
}
END_TEST

START_TEST(a_few_messages_are_told_at_once_and_each) {
        struct event sum;
        for (size_t i = 0; i < BURST_TOLD_MAX; i++)
                ck_assert(passes(finding("d0", FAULT_ZEROED, EVENT_FIRST), START));
        ck_assert(!next_sum(NULL, START + HOUR, &sum));
}
END_TEST

START_TEST(a_burst_of_one_device_or_kind_silences_no_other) {
        while (passes(finding("d0", FAULT_ZEROED, EVENT_FIRST), START))
                continue;
        ck_assert(passes(finding("d1", FAULT_ZEROED, EVENT_FIRST), START));
        ck_assert(passes(make(EVENT_DEVICE_MISSING, "d0"), START));
        ck_assert(!passes(finding("d0", FAULT_ZEROED, EVENT_FIRST), START));
}
END_TEST

START_TEST(what_somebody_asked_for_is_always_told) {
        for (size_t i = 0; i < 1000; i++) {
                ck_assert(passes(make(EVENT_TEST, ""), START));
                ck_assert(passes(make(EVENT_SWEEP_ENDED, "d0"), START));
        }
}
END_TEST

START_TEST(after_a_rest_messages_are_told_one_by_one_again) {
        struct event sum;
        for (size_t i = 0; i < 2 * BURST_TOLD_MAX; i++)
                passes(finding("d0", FAULT_ZEROED, EVENT_FIRST), START);
        ck_assert(!passes(finding("d0", FAULT_ZEROED, EVENT_FIRST), START + QUIET - 1));
        ck_assert(next_sum(NULL, START + QUIET, &sum));
        ck_assert(!passes(finding("d0", FAULT_ZEROED, EVENT_FIRST), START + 2 * QUIET - 2));
        ck_assert(next_sum(NULL, START + 2 * QUIET + HOUR, &sum));
        ck_assert(passes(finding("d0", FAULT_ZEROED, EVENT_FIRST), START + 3 * QUIET + HOUR));
}
END_TEST

START_TEST(a_sum_of_one_device_comes_when_it_is_asked_for) {
        struct event sum;
        for (size_t i = 0; i < BURST_TOLD_MAX + 3; i++) {
                passes(finding("d0", FAULT_ZEROED, EVENT_FIRST), START);
                passes(finding("d1", FAULT_ZEROED, EVENT_FIRST), START);
        }
        ck_assert(next_sum("d1", START, &sum));
        ck_assert_str_eq(sum.device, "d1");
        ck_assert_uint_eq(sum.count, 3);
        ck_assert(!next_sum("d1", START, &sum));
}
END_TEST

START_TEST(a_sum_has_the_gravest_priority) {
        struct event grave = finding("d0", FAULT_UNRESTORED, EVENT_FIRST), sum;
        grave.priority = LOG_ALERT;
        while (passes(finding("d0", FAULT_SLOW, EVENT_FIRST), START))
                continue;
        passes(grave, START);
        passes(finding("d0", FAULT_SLOW, EVENT_FIRST), START);
        ck_assert(next_sum(NULL, START + HOUR, &sum));
        ck_assert_int_eq(sum.priority, LOG_ALERT);
}
END_TEST

START_TEST(a_device_that_comes_and_goes_for_a_year_is_told_of_once_an_hour) {
        size_t told = 0, sums = 0;
        uint64_t counted = 0, sent = 0;
        struct event sum;
        for (uint64_t at_us = START; at_us < START + 365 * 24 * HOUR; at_us += 20 * SECOND, sent++) {
                told += passes(make(EVENT_DEVICE_MISSING, "d0"), at_us);
                for (; next_sum(NULL, at_us, &sum); sums++)
                        counted += sum.count;
        }
        for (; next_sum(NULL, UINT64_MAX, &sum); sums++)
                counted += sum.count;
        ck_assert_uint_eq(told, BURST_TOLD_MAX);
        ck_assert_uint_le(sums, 365 * 24 + 16);
        ck_assert_uint_eq(told + counted, sent);
}
END_TEST

START_TEST(each_kind_of_sum_begins_with_its_count) {
        struct event sum;
        size_t sums = 0;
        for (int kind = 0; kind < EVENT_COUNT; kind++)
                for (size_t i = 0; i <= BURST_TOLD_MAX; i++)
                        passes(make((enum event_kind)kind, "d0"), START);
        for (; next_sum(NULL, START + HOUR, &sum); sums++)
                ck_assert_uint_eq(sum.count, 1);
        ck_assert_uint_gt(sums, 5);
}
END_TEST

START_TEST(what_is_no_sum_has_no_count) {
        struct event event = make(EVENT_DAEMON, "");
        text_copy(event.text, sizeof event.text, "12 more messages");
        ck_assert_uint_eq(event_sum_count(&event), 0);
        static const char *const texts[] = { "", "more", "-1 more", " 1 more", "0 more", "99999999999999999999 more" };
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                event.kind = EVENT_SUM;
                text_copy(event.text, sizeof event.text, texts[i]);
                ck_assert_uint_eq(event_sum_count(&event), 0);
        }
}
END_TEST

/* Whatever comes when, nothing is lost, nothing is told twice, and an hour later all of it was told. */
START_TEST(what_is_told_and_what_sums_say_add_up) {
        for (uint64_t seed = 1; seed <= 300; seed++) {
                teardown();
                setup();
                uint64_t state = seed, now_us = START, sent = 0, told = 0;
                struct event sum;
                for (size_t step = 0; step < 400; step++) {
                        static const char *const devices[] = { "d0", "d1", "d2" };
                        uint64_t r = suite_random(&state);
                        now_us += r % 7 == 0 ? QUIET * (r >> 8) % 3 : (r >> 8) % (30 * SECOND);
                        for (uint64_t i = 0; i < (r >> 40) % 30; i++, sent++)
                                told += passes(
                                        finding(devices[r % 3], (enum fault)(i % FAULT_COUNT), EVENT_AGAIN), now_us);
                        while (next_sum(NULL, now_us, &sum))
                                told += sum.count;
                        ASSERT_SEEDED(seed, told <= sent);
                }
                now_us += HOUR;
                while (next_sum(NULL, now_us, &sum))
                        told += sum.count;
                ASSERT_SEEDED(seed, told == sent);
        }
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("burst");
        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, ten_thousand_findings_are_a_few_messages_and_a_sum_with_exact_counts);
        tcase_add_test(tests, a_few_messages_are_told_at_once_and_each);
        tcase_add_test(tests, a_burst_of_one_device_or_kind_silences_no_other);
        tcase_add_test(tests, what_somebody_asked_for_is_always_told);
        tcase_add_test(tests, after_a_rest_messages_are_told_one_by_one_again);
        tcase_add_test(tests, a_sum_of_one_device_comes_when_it_is_asked_for);
        tcase_add_test(tests, a_sum_has_the_gravest_priority);
        tcase_add_test(tests, a_device_that_comes_and_goes_for_a_year_is_told_of_once_an_hour);
        tcase_add_test(tests, each_kind_of_sum_begins_with_its_count);
        tcase_add_test(tests, what_is_no_sum_has_no_count);
        tcase_add_test(tests, what_is_told_and_what_sums_say_add_up);
        return suite_run("burst", tests);
}
