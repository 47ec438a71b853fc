/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A self-test that passes whatever happens is worse than none. The linker puts the functions below in front of the ones
 * that sweeps use (--wrap), so each can be broken here in the way of a bad CPU or build, without a seam in the product.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "suite.h"
#include "sweep/diagnose.h"
#include "sweep/self_test.h"
#include "sweep/verify.h"

#include <string.h>

static struct {
        bool blind;                      /* everything is right */
        bool blames_neighbour;           /* one unit further than the bad one */
        bool blames_all;                 /* one unit too many */
        bool counts_none;                /* the bits are right, the number is not */
        uint64_t blind_from, blind_to;   /* within each unit: bytes that are not compared */
        uint64_t blind_past_units;       /* 0: no limit */
        bool any_candidate_is_stranger;  /* only the first candidate is right */
        bool blind_to_short;             /* the end of a read that is no whole unit is not compared */
        enum fault called_so, called_as; /* where they differ: one class is taken for another */
        bool believes_stamps;            /* without their checksum */
        bool writes_strange_stamps;
        bool sees_no_zeros, sees_zeros_early, takes_ones_for_zeros;
        bool forgets_marks, marks_strangely;
        bool all_akin, none_akin, all_foreign, none_foreign;
        bool believes_all, believes_none; /* of a unit what its stamp says */
        int on_cpu;                       /* -1: on all; blindness is on this one only */
} broken = { .on_cpu = -1 };

size_t __real_expectation_check(
        const struct expectation *e, const uint8_t *bytes, uint64_t offset, uint64_t length, uint64_t *bad_units);
size_t __wrap_expectation_check(
        const struct expectation *e, const uint8_t *bytes, uint64_t offset, uint64_t length, uint64_t *bad_units);
void __real_diagnose_unit(struct diagnosis *ret, const struct diagnosis_ground *ground, const struct expectation *e,
        const uint8_t *bytes, uint64_t offset, uint64_t length);
void __wrap_diagnose_unit(struct diagnosis *ret, const struct diagnosis_ground *ground, const struct expectation *e,
        const uint8_t *bytes, uint64_t offset, uint64_t length);
bool __real_stamp_read(struct stamp *ret, const uint8_t *bytes);
bool __wrap_stamp_read(struct stamp *ret, const uint8_t *bytes);
void __real_stamp_write(uint8_t *bytes, const struct stamp *stamp);
void __wrap_stamp_write(uint8_t *bytes, const struct stamp *stamp);
bool __real_content_is_zero(const uint8_t *bytes, size_t length);
bool __wrap_content_is_zero(const uint8_t *bytes, size_t length);
uint64_t __real_stamp_mark_offset(uint64_t nonce, uint64_t mark);
uint64_t __wrap_stamp_mark_offset(uint64_t nonce, uint64_t mark);
uint64_t __real_stamp_mark(uint64_t nonce, uint64_t offset);
uint64_t __wrap_stamp_mark(uint64_t nonce, uint64_t offset);
bool __real_looks_akin(const uint8_t *sector, const uint8_t *right);
bool __wrap_looks_akin(const uint8_t *sector, const uint8_t *right);
const char *__real_looks_foreign(const uint8_t *sector, uint64_t offset);
const char *__wrap_looks_foreign(const uint8_t *sector, uint64_t offset);
bool __real_diagnose_is_self_consistent(struct stamp *ret, const struct diagnosis_ground *ground, const uint8_t *bytes,
        uint64_t offset, uint64_t length);
bool __wrap_diagnose_is_self_consistent(struct stamp *ret, const struct diagnosis_ground *ground, const uint8_t *bytes,
        uint64_t offset, uint64_t length);

/* What is not to be compared is made right. */
static void heal(const struct expectation *e, uint8_t *bytes, uint64_t offset, uint64_t length) {
        CLEANUP_FREE uint8_t *right = malloc(length);
        content_fill(&e->candidates[0], right, offset, length);
        for (uint64_t at = 0; at < length; at++) {
                uint64_t within = (offset + at) % UNIT_BYTES, unit = (offset + at) / UNIT_BYTES - offset / UNIT_BYTES;
                bool blind = within >= broken.blind_from && within < broken.blind_to;
                blind |= broken.blind_past_units > 0 && unit >= broken.blind_past_units;
                blind |= broken.blind_to_short && offset + at >= (offset + length) / UNIT_BYTES * UNIT_BYTES;
                if (blind)
                        bytes[at] = right[at];
        }
}

size_t __wrap_expectation_check(
        const struct expectation *e, const uint8_t *bytes, uint64_t offset, uint64_t length, uint64_t *bad_units) {
        struct expectation expected = *e;
        CLEANUP_FREE uint8_t *healed = NULL;
        if (broken.any_candidate_is_stranger)
                expected.count = 1;
        if (broken.blind_to > 0 || broken.blind_past_units > 0 || broken.blind_to_short) {
                healed = malloc(length);
                memcpy(healed, bytes, length);
                heal(e, healed, offset, length);
        }
        size_t count = __real_expectation_check(&expected, healed ? healed : bytes, offset, length, bad_units);
        if (broken.blind && (broken.on_cpu < 0 || broken.on_cpu == sched_getcpu())) {
                memset(bad_units, 0, (length / UNIT_BYTES + 2 + 63) / 64 * sizeof *bad_units);
                return 0;
        }
        if (broken.blames_neighbour)
                bad_units[0] <<= 1;
        if (broken.blames_all && count > 0)
                bad_units[0] |= 3;
        return broken.counts_none ? 0 : count;
}

void __wrap_diagnose_unit(struct diagnosis *ret, const struct diagnosis_ground *ground, const struct expectation *e,
        const uint8_t *bytes, uint64_t offset, uint64_t length) {
        __real_diagnose_unit(ret, ground, e, bytes, offset, length);
        if (ret->fault == broken.called_so)
                ret->fault = broken.called_as;
}

bool __wrap_stamp_read(struct stamp *ret, const uint8_t *bytes) {
        uint8_t copy[STAMP_BYTES];
        bool whole = __real_stamp_read(ret, bytes);
        if (whole || !broken.believes_stamps)
                return whole;
        memcpy(copy, bytes, STAMP_BYTES);
        for (size_t i = 0; i < 8 * 8; i++) { /* one bit of the checksum may be wrong */
                copy[56 + i / 8] ^= (uint8_t)BIT(i % 8);
                if (__real_stamp_read(ret, copy))
                        return true;
                copy[56 + i / 8] ^= (uint8_t)BIT(i % 8);
        }
        return false;
}

void __wrap_stamp_write(uint8_t *bytes, const struct stamp *stamp) {
        __real_stamp_write(bytes, stamp);
        if (broken.writes_strange_stamps)
                bytes[STAMP_BYTES - 1] ^= 1;
}

bool __wrap_content_is_zero(const uint8_t *bytes, size_t length) {
        if (broken.sees_no_zeros)
                return false;
        if (broken.takes_ones_for_zeros && bytes[0] == 0xff)
                return true;
        return __real_content_is_zero(bytes, broken.sees_zeros_early ? length / 2 : length);
}

uint64_t __wrap_stamp_mark_offset(uint64_t nonce, uint64_t mark) {
        return broken.forgets_marks ? 1 : __real_stamp_mark_offset(nonce, mark);
}

uint64_t __wrap_stamp_mark(uint64_t nonce, uint64_t offset) {
        return __real_stamp_mark(broken.marks_strangely ? nonce + 1 : nonce, offset);
}

bool __wrap_looks_akin(const uint8_t *sector, const uint8_t *right) {
        return broken.all_akin || (!broken.none_akin && __real_looks_akin(sector, right));
}

const char *__wrap_looks_foreign(const uint8_t *sector, uint64_t offset) {
        return broken.all_foreign ? "foreign" : broken.none_foreign ? NULL : __real_looks_foreign(sector, offset);
}

bool __wrap_diagnose_is_self_consistent(struct stamp *ret, const struct diagnosis_ground *ground, const uint8_t *bytes,
        uint64_t offset, uint64_t length) {
        bool is = __real_diagnose_is_self_consistent(ret, ground, bytes, offset, length);
        return broken.believes_all || (is && !broken.believes_none);
}

static void expect_missed(const char *words) {
        char text[SELF_TEST_TEXT_BYTES] = "";
        ck_assert_int_eq(self_test_run(text), SELF_TEST_E_MISSED);
        ck_assert_msg(strstr(text, words) && strstr(text, "the self-test on CPU "), "%s", text);
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZER_COSTS 10 /* times as much as the code itself */
#else
#define SANITIZER_COSTS 1
#endif

START_TEST(a_sound_build_passes_in_far_less_than_100_ms) {
        char text[SELF_TEST_TEXT_BYTES] = "untouched";
        uint64_t before_us = clock_thread_cpu_us();
        ck_assert_msg(self_test_run(text) == SELF_TEST_OK, "%s", text);
        uint64_t took_us = clock_thread_cpu_us() - before_us;
        ck_assert_str_eq(text, "untouched");
        ck_assert_uint_lt(took_us, SANITIZER_COSTS * 100 * USEC_PER_MSEC);
}
END_TEST

START_TEST(a_comparison_that_sees_nothing_is_noticed) {
        broken.blind = true;
        expect_missed("a flipped bit");
}
END_TEST

START_TEST(a_comparison_that_leaves_bytes_out_is_noticed_wherever_they_are) {
        for (broken.blind_from = 0; broken.blind_from < UNIT_BYTES; broken.blind_from += 61) {
                broken.blind_to = broken.blind_from + 1;
                expect_missed("a flipped bit");
        }
        broken.blind_from = UNIT_BYTES - 1;
        broken.blind_to = UNIT_BYTES;
        expect_missed("bit");
}
END_TEST

START_TEST(a_comparison_that_stops_early_is_noticed) {
        broken.blind_past_units = 64;
        expect_missed("the comparison");
        broken.blind_past_units = 70;
        expect_missed("the comparison");
        broken.blind_past_units = 0;
        broken.blind_to_short = true;
        expect_missed("the comparison");
}
END_TEST

START_TEST(a_comparison_that_blames_another_unit_is_noticed) {
        broken.blames_neighbour = true;
        expect_missed("not that one alone");
        broken.blames_neighbour = false;
        broken.blames_all = true;
        expect_missed("not that one alone");
        broken.blames_all = false;
        broken.counts_none = true;
        expect_missed("found 0 bad units");
}
END_TEST

START_TEST(a_false_alarm_is_noticed) {
        broken.any_candidate_is_stranger = true;
        expect_missed("nothing wrong");
}
END_TEST

START_TEST(a_wrong_name_is_noticed_for_every_class) {
        static const enum fault classes[] = { FAULT_BIT_FLIP, FAULT_STALE, FAULT_MISDIRECTED, FAULT_TORN, FAULT_ZEROED,
                FAULT_FOREIGN, FAULT_GARBAGE };
        for (size_t i = 0; i < ELEMENTS(classes); i++) {
                char words[64];
                broken.called_so = classes[i];
                broken.called_as = classes[(i + 1) % ELEMENTS(classes)];
                snprintf(words, sizeof words, "is %s, but was called %s", fault_name(broken.called_so),
                        fault_name(broken.called_as));
                expect_missed(words);
        }
}
END_TEST

START_TEST(a_wrong_checksum_is_noticed) {
        broken.believes_stamps = true;
        expect_missed("was believed");
        broken.believes_stamps = false;
        broken.writes_strange_stamps = true;
        expect_missed("checksum");
}
END_TEST

START_TEST(each_routine_of_the_diagnosis_counts) {
        broken.sees_no_zeros = true;
        expect_missed("is zeroed, but");
        broken.sees_no_zeros = false;
        broken.sees_zeros_early = true;
        expect_missed("was called zeroed");
        broken.sees_zeros_early = false;
        broken.takes_ones_for_zeros = true;
        expect_missed("a sector of ones");
        broken.takes_ones_for_zeros = false;
        broken.forgets_marks = true;
        expect_missed("was called");
}
END_TEST

START_TEST(what_tells_ours_from_theirs_counts) {
        bool *const ways[] = { &broken.all_akin, &broken.none_akin, &broken.all_foreign, &broken.none_foreign };
        for (size_t i = 0; i < ELEMENTS(ways); i++) {
                *ways[i] = true;
                expect_missed(i == 1 ? "counts as somebody else's" : "was called");
                *ways[i] = false;
        }
        broken.believes_none = true;
        expect_missed("was not believed");
        broken.believes_none = false;
        broken.believes_all = true;
        expect_missed("was believed");
}
END_TEST

START_TEST(bytes_that_are_computed_wrong_but_always_alike_are_noticed) {
        broken.marks_strangely = true;
        expect_missed("computed wrong");
}
END_TEST

START_TEST(every_cpu_is_tried_and_a_bad_one_is_named) {
        char text[SELF_TEST_TEXT_BYTES] = "untouched", words[64];
        cpu_set_t cpus, none, offline;
        ck_assert_int_eq(cpus_of_this_thread(&cpus), 0);
        ck_assert_msg(self_test_run_on(&cpus, text) == SELF_TEST_OK, "%s", text);
        CPU_ZERO(&none);
        ck_assert_int_eq(self_test_run_on(&none, text), SELF_TEST_OK);
        CPU_ZERO(&offline); /* more than are tried at a time, and most of them not there */
        for (size_t i = 0; i < CPU_SETSIZE; i++)
                CPU_SET(i, &offline);
        ck_assert_int_eq(self_test_run_on(&offline, text), SELF_TEST_OK);
        ck_assert_str_eq(text, "untouched");
        broken.blind = true;
        for (unsigned bad = 0; bad < (unsigned)CPU_COUNT(&cpus); bad++) {
                broken.on_cpu = cpus_nth(&cpus, bad);
                snprintf(words, sizeof words, "on CPU %d failed", broken.on_cpu);
                ck_assert_int_eq(self_test_run_on(&cpus, text), SELF_TEST_E_MISSED);
                ck_assert_msg(strstr(text, words), "%s", text);
        }
}
END_TEST

START_TEST(a_pool_with_sound_workers_passes) {
        char text[SELF_TEST_TEXT_BYTES];
        cpu_set_t cpus;
        ck_assert_int_eq(cpus_of_this_thread(&cpus), 0);
        for (unsigned workers = 0; workers < 5; workers++) {
                struct verify_pool *pool;
                ck_assert_int_eq(verify_pool_new(&pool, workers, &cpus), 0);
                ck_assert_int_eq(verify_pool_self_test(pool, text), SELF_TEST_OK);
                verify_pool_free(pool);
        }
}
END_TEST

START_TEST(one_worker_on_a_bad_cpu_is_enough_to_fail_and_its_cpu_is_named) {
        char text[SELF_TEST_TEXT_BYTES], words[64];
        cpu_set_t cpus;
        ck_assert_int_eq(cpus_of_this_thread(&cpus), 0);
        unsigned count = (unsigned)CPU_COUNT(&cpus);
        broken.blind = true;
        for (unsigned bad = 0; bad < count; bad++) {
                struct verify_pool *pool;
                broken.on_cpu = cpus_nth(&cpus, bad);
                ck_assert_int_eq(verify_pool_new(&pool, count, &cpus), 0);
                ck_assert_int_eq(verify_pool_self_test(pool, text), SELF_TEST_E_MISSED);
                snprintf(words, sizeof words, "on CPU %d failed", broken.on_cpu);
                ck_assert_msg(strstr(text, words), "%s", text);
                verify_pool_free(pool);
        }
}
END_TEST

int main(void) {
        TCase *t = tcase_create("self_test");
        tcase_add_test(t, a_sound_build_passes_in_far_less_than_100_ms);
        tcase_add_test(t, a_comparison_that_sees_nothing_is_noticed);
        tcase_add_test(t, a_comparison_that_leaves_bytes_out_is_noticed_wherever_they_are);
        tcase_add_test(t, a_comparison_that_stops_early_is_noticed);
        tcase_add_test(t, a_comparison_that_blames_another_unit_is_noticed);
        tcase_add_test(t, a_false_alarm_is_noticed);
        tcase_add_test(t, a_wrong_name_is_noticed_for_every_class);
        tcase_add_test(t, a_wrong_checksum_is_noticed);
        tcase_add_test(t, each_routine_of_the_diagnosis_counts);
        tcase_add_test(t, what_tells_ours_from_theirs_counts);
        tcase_add_test(t, bytes_that_are_computed_wrong_but_always_alike_are_noticed);
        tcase_add_test(t, every_cpu_is_tried_and_a_bad_one_is_named);
        tcase_add_test(t, a_pool_with_sound_workers_passes);
        tcase_add_test(t, one_worker_on_a_bad_cpu_is_enough_to_fail_and_its_cpu_is_named);
        return suite_run("self_test", t);
}
