/* SPDX-License-Identifier: Apache-2.0 */
/* What sweeps measure: histograms and the map of regions, and both as the bytes that the ledger keeps. */
#include "base/cleanup.h"
#include "model/packed.h"
#include "model/survey.h"
#include "suite.h"

#include <string.h>

enum { SEEDS = 200, SAMPLES = 3000 };

static int by_value(const void *left, const void *right) {
        const uint64_t *a = left, *b = right;
        return (*a > *b) - (*a < *b);
}

/* Of every order of magnitude. */
static uint64_t a_latency(uint64_t *state) {
        return suite_random(state) >> (30 + suite_random(state) % 34);
}

START_TEST(a_percentile_is_never_too_low_and_at_most_a_sixteenth_too_high) {
        static uint64_t values[SAMPLES];
        static const unsigned asked[] = { 0, 1, 500, 900, 990, 999, 1000 };
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                uint64_t state = seed;
                size_t count = 1 + suite_random(&state) % SAMPLES;
                struct latency_histogram h = { 0 };
                for (size_t i = 0; i < count; i++) {
                        values[i] = a_latency(&state);
                        latency_add(&h, values[i]);
                }
                qsort(values, count, sizeof values[0], by_value);
                ASSERT_SEEDED(seed, h.count == count && h.max_us == values[count - 1]);
                for (size_t i = 0; i < ELEMENTS(asked); i++) {
                        size_t rank = (count * asked[i] + 999) / 1000;
                        uint64_t truth = values[rank > 0 ? rank - 1 : 0], told = latency_percentile(&h, asked[i]);
                        ASSERT_SEEDED(seed, told >= truth);
                        ASSERT_SEEDED(seed, told <= truth + truth / 16);
                }
        }
}
END_TEST

START_TEST(short_latencies_are_exact) {
        for (uint64_t us = 0; us < 32; us++) {
                struct latency_histogram h = { 0 };
                latency_add(&h, us);
                latency_add(&h, 1000);
                ck_assert_uint_eq(latency_percentile(&h, 500), us);
        }
}
END_TEST

START_TEST(what_takes_days_counts_and_is_the_maximum) {
        struct latency_histogram h = { 0 };
        latency_add(&h, UINT64_MAX);
        latency_add(&h, (UINT64_C(1) << 34) - 1);
        latency_add(&h, UINT64_C(1) << 34);
        ck_assert_uint_eq(h.count, 3);
        ck_assert_uint_eq(latency_percentile(&h, 999), UINT64_MAX);
}
END_TEST

START_TEST(merging_is_as_if_all_had_been_added_to_one) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                uint64_t state = seed;
                struct latency_histogram parts[3] = { 0 }, whole = { 0 };
                for (size_t i = 0; i < 500; i++) {
                        uint64_t us = a_latency(&state);
                        latency_add(&parts[1 + suite_random(&state) % 2], us);
                        latency_add(&whole, us);
                }
                latency_merge(&parts[0], &parts[1]);
                latency_merge(&parts[0], &parts[2]);
                ASSERT_SEEDED(seed, memcmp(&parts[0], &whole, sizeof whole) == 0);
        }
}
END_TEST

START_TEST(nothing_measured_is_nothing_told) {
        struct latency_histogram h = { 0 };
        struct latency_summary none = latency_summarize(&h);
        ck_assert_uint_eq(none.count + none.p50_us + none.p999_us + none.max_us, 0);
}
END_TEST

static void some_histograms(struct latency_histogram all[LATENCY_OPERATIONS], uint64_t seed) {
        uint64_t state = seed;
        memset(all, 0, LATENCY_OPERATIONS * sizeof *all);
        for (size_t k = 0; k < LATENCY_OPERATIONS; k++)
                for (size_t i = suite_random(&state) % 2000; i > 0; i--)
                        latency_add(&all[k], a_latency(&state));
}

START_TEST(histograms_come_back_from_their_bytes_as_they_were) {
        static uint8_t bytes[LATENCY_PACKED_MAX];
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                struct latency_histogram all[LATENCY_OPERATIONS], back[LATENCY_OPERATIONS];
                some_histograms(all, seed);
                size_t length = latency_pack(bytes, all);
                ASSERT_SEEDED(seed, latency_unpack(back, bytes, length));
                ASSERT_SEEDED(seed, memcmp(all, back, sizeof all) == 0);
        }
}
END_TEST

START_TEST(the_fullest_histogram_has_room) {
        static uint8_t bytes[LATENCY_PACKED_MAX];
        static struct latency_histogram all[LATENCY_OPERATIONS], back[LATENCY_OPERATIONS];
        for (size_t k = 0; k < LATENCY_OPERATIONS; k++) {
                for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
                        all[k].buckets[i] = UINT64_MAX / LATENCY_BUCKETS;
                        all[k].count += all[k].buckets[i];
                }
                all[k].max_us = UINT64_MAX;
        }
        ck_assert(latency_unpack(back, bytes, latency_pack(bytes, all)));
        ck_assert_mem_eq(all, back, sizeof all);
        ck_assert_uint_eq(latency_percentile(&back[0], 1000), UINT64_MAX);
}
END_TEST

/* With a checksum that is right, so that what is behind it is looked at. */
static size_t seal(uint8_t *bytes, size_t length) {
        struct packer p = { .bytes = bytes, .room = length + PACKED_SEAL + 1, .length = length };
        return packer_seal(&p);
}

START_TEST(bytes_that_are_none_of_ours_are_rejected) {
        static uint8_t good[LATENCY_PACKED_MAX], bad[LATENCY_PACKED_MAX + 16];
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                uint64_t state = seed;
                struct latency_histogram all[LATENCY_OPERATIONS], back[LATENCY_OPERATIONS] = { 0 }, none = { 0 };
                some_histograms(all, seed);
                size_t length = latency_pack(good, all), cut = suite_random(&state) % length;
                memcpy(bad, good, length);
                bad[cut] ^= (uint8_t)(1U << suite_random(&state) % 8);
                ASSERT_SEEDED(seed, !latency_unpack(back, bad, length));
                ASSERT_SEEDED(seed, !latency_unpack(back, good, cut));
                memcpy(bad, good, length - PACKED_SEAL);
                bad[length - PACKED_SEAL] = 0;
                ASSERT_SEEDED(seed, !latency_unpack(back, bad, seal(bad, length - PACKED_SEAL + 1)));
                ASSERT_SEEDED(seed, memcmp(&back[0], &none, sizeof none) == 0);
                for (size_t i = 0; i < sizeof bad; i++)
                        bad[i] = (uint8_t)suite_random(&state);
                bad[0] = 1; /* the version, and then chance */
                (void)latency_unpack(back, bad, seal(bad, suite_random(&state) % 200 + 1));
        }
}
END_TEST

START_TEST(histograms_that_contradict_themselves_are_rejected) {
        static const uint8_t cases[][16] = {
                { 1, 5, 0, 0, 0, 0, 0 },       /* a maximum of nothing */
                { 1, 5, 1, 4, 1, 0, 0, 0, 0 }, /* one that lies elsewhere than the last bucket */
                { 1, 5, 1, 5, 0, 0, 0, 0, 0 }, /* a bucket of nothing */
                { 1, 5, 2, 5, 1, 0, 1, 0, 0 }, /* one bucket twice */
                { 2, 0, 0, 0, 0, 0, 0 },       /* another version */
        };
        static const size_t lengths[] = { 7, 9, 9, 11, 7 };
        struct latency_histogram back[LATENCY_OPERATIONS];
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                uint8_t bytes[24];
                memcpy(bytes, cases[i], lengths[i]);
                ck_assert_msg(!latency_unpack(back, bytes, seal(bytes, lengths[i])), "case %zu", i);
        }
        uint8_t right[24] = { 1, 5, 1, 5, 1, 0, 0, 0, 0 };
        ck_assert(latency_unpack(back, right, seal(right, 9)));
}
END_TEST

/* Regions. */

START_TEST(regions_cover_the_extent_without_gap) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                uint64_t state = seed, end = 512 * (suite_random(&state) % 3000);
                struct region_table t = { .extent = { end, 512 * (1 + (suite_random(&state) >> (12 + seed % 50))) } };
                t.size_bytes = extent_end(t.extent) + 512 * (seed % 5);
                size_t count = region_table_count(&t);
                ASSERT_SEEDED(seed, count >= 1 && count <= REGIONS_MAX);
                ASSERT_SEEDED(seed, t.extent.length_bytes < 1 << 20 || count == REGIONS_MAX);
                for (size_t i = 0; i < count; i++) {
                        struct extent place = region_table_place(&t, i);
                        ASSERT_SEEDED(seed, place.offset_bytes == end && place.length_bytes > 0);
                        end = extent_end(place);
                }
                ASSERT_SEEDED(seed, end == extent_end(t.extent));
        }
}
END_TEST

START_TEST(the_oldest_speaks_for_all_and_never_is_older_than_any) {
        struct region_table t = { .size_bytes = 1 << 30, .extent = { 0, 1 << 30 } };
        uint64_t step = 1 << 20;
        for (size_t i = 0; i < REGIONS_MAX; i++)
                t.regions[i] = (struct region){ 1000 + i, 2000 + i, 10 };
        t.regions[7].verified_us = 0;
        t.regions[8].latency_max_us = 99;
        struct region all = region_table_at(&t, (struct extent){ 0, t.size_bytes });
        ck_assert_uint_eq(all.checked_us, 1000);
        ck_assert_uint_eq(all.verified_us, 0);
        ck_assert_uint_eq(all.latency_max_us, 99);
        struct region two = region_table_at(&t, (struct extent){ 9 * step - 1, 2 });
        ck_assert_uint_eq(two.checked_us, 1008);
        ck_assert_uint_eq(two.latency_max_us, 99);
        struct region one = region_table_at(&t, (struct extent){ 9 * step, 1 });
        ck_assert_uint_eq(one.checked_us, 1009);
        ck_assert_uint_eq(one.latency_max_us, 10);
        struct region beyond = region_table_at(&t, (struct extent){ t.size_bytes, 1 });
        ck_assert_uint_eq(beyond.checked_us, 0);
        struct extent every = { 0, t.size_bytes }, half = { 512 * step, 512 * step };
        ck_assert_double_eq_tol(region_table_share(&t, every, true, 1), 1023.0 / 1024, 1e-9);
        ck_assert_double_eq_tol(region_table_share(&t, every, false, 1000 + 512), 0.5, 1e-9);
        ck_assert_double_eq_tol(region_table_share(&t, half, false, 1000 + 512), 1, 1e-9);
}
END_TEST

START_TEST(what_is_told_of_a_place_counts_for_its_regions_and_makes_none_older) {
        struct region_table t = { .size_bytes = 1 << 30, .extent = { 0, 1 << 30 } };
        uint64_t step = 1 << 20;
        for (size_t i = 0; i < REGIONS_MAX; i++)
                t.regions[i] = (struct region){ 5, i == 3 ? 90 : 6, 10 };
        region_table_tell(&t, (struct extent){ 3 * step - 512, step + 513 }, 77);
        for (size_t i = 0; i < 6; i++)
                ck_assert_uint_eq(t.regions[i].verified_us, i == 3 ? 90 : i == 2 || i == 4 ? 77 : 6);
        ck_assert_uint_eq(t.regions[2].checked_us, 5);
        region_table_tell(&t, (struct extent){ t.size_bytes, 512 }, 99);
        ck_assert_uint_eq(t.regions[REGIONS_MAX - 1].verified_us, 6);
}
END_TEST

START_TEST(a_sweep_updates_only_what_it_wholly_checked) {
        struct region_table known = { .size_bytes = 1 << 30, .extent = { 0, 1 << 30 } }, fresh = known;
        known.regions[0] = known.regions[1] = known.regions[2] = (struct region){ 5, 6, 70 };
        fresh.regions[0] = (struct region){ 0, 0, 900 };
        fresh.regions[1] = (struct region){ 15, 0, 20 };
        fresh.regions[2] = (struct region){ 15, 16, 20 };
        region_table_update(&known, &fresh);
        ck_assert_uint_eq(known.regions[0].latency_max_us, 70);
        ck_assert_uint_eq(known.regions[0].checked_us, 5);
        ck_assert_uint_eq(known.regions[1].checked_us, 15);
        ck_assert_uint_eq(known.regions[1].verified_us, 6);
        ck_assert_uint_eq(known.regions[1].latency_max_us, 20);
        ck_assert_uint_eq(known.regions[2].verified_us, 16);

        fresh.size_bytes = fresh.extent.length_bytes = 2 << 20;
        region_table_update(&known, &fresh);
        ck_assert_uint_eq(known.size_bytes, 2 << 20);
        ck_assert_uint_eq(known.regions[0].checked_us, 0);
        ck_assert_uint_eq(known.regions[1].verified_us, 0);
        fresh.size_bytes = 0;
        region_table_update(&known, &fresh);
        ck_assert_uint_eq(known.size_bytes, 2 << 20);
}
END_TEST

START_TEST(a_place_that_is_not_all_in_the_extent_was_never_checked) {
        struct region_table t = { .size_bytes = 1 << 30, .extent = { 1 << 20, 4096 } };
        for (size_t i = 0; i < REGIONS_MAX; i++)
                t.regions[i] = (struct region){ 10, 20, 30 };
        ck_assert_uint_eq(region_table_at(&t, t.extent).checked_us, 10);
        ck_assert_uint_eq(region_table_at(&t, (struct extent){ (1 << 20) + 100, 1 }).verified_us, 20);
        static const struct extent beyond[] = { { 0, 4096 }, { 0, 1 << 21 }, { (1 << 20) - 1, 2 },
                { (1 << 20) + 4095, 2 }, { 1 << 29, 4096 }, { 0, 1 << 30 } };
        for (size_t i = 0; i < ELEMENTS(beyond); i++) {
                ck_assert_uint_eq(region_table_at(&t, beyond[i]).checked_us, 0);
                ck_assert_uint_eq(region_table_at(&t, beyond[i]).verified_us, 0);
        }
        ck_assert_double_eq_tol(
                region_table_share(&t, (struct extent){ 0, 1 << 30 }, false, 1), 4096.0 / (1 << 30), 1e-9);
}
END_TEST

START_TEST(another_extent_is_cut_anew_and_knows_what_was_wholly_seen) {
        struct region_table known = { .size_bytes = 1 << 30, .extent = { 0, 1 << 20 } };
        for (size_t i = 0; i < REGIONS_MAX; i++)
                known.regions[i] = (struct region){ 100 + i, 200 + i, 3 };
        /* Regions of 1,536 bytes, of which the 682nd ends where the old extent does, but for 1,024 bytes. */
        struct region_table fresh = { .size_bytes = 1 << 30, .extent = { 0, 3 << 19 } };
        fresh.regions[5].checked_us = 9999;
        region_table_update(&known, &fresh);
        ck_assert_uint_eq(known.extent.length_bytes, 3 << 19);
        ck_assert_uint_eq(known.regions[0].checked_us, 100);
        ck_assert_uint_eq(known.regions[1].checked_us, 101);
        ck_assert_uint_eq(known.regions[2].checked_us, 103);
        ck_assert_uint_eq(known.regions[2].verified_us, 203);
        ck_assert_uint_eq(known.regions[5].checked_us, 9999);
        ck_assert_uint_eq(known.regions[5].verified_us, 207);
        ck_assert_uint_gt(known.regions[681].checked_us, 0);
        ck_assert_uint_eq(known.regions[682].checked_us, 0);
        ck_assert_uint_eq(known.regions[683].checked_us, 0);
}
END_TEST

START_TEST(maps_of_whole_targets_are_still_read) {
        static const uint8_t bytes[] = { 1, 2, 10, 20, 3, 0, 2, 4 }; /* two bytes, a region each */
        uint8_t sealed[32];
        struct region_table t;
        memcpy(sealed, bytes, sizeof bytes);
        ck_assert(region_table_unpack(&t, sealed, seal(sealed, sizeof bytes)));
        ck_assert_uint_eq(t.size_bytes, 2);
        ck_assert_uint_eq(t.extent.offset_bytes, 0);
        ck_assert_uint_eq(t.extent.length_bytes, 2);
        ck_assert_uint_eq(t.regions[1].checked_us, 5);
        ck_assert_uint_eq(t.regions[1].verified_us, 11);
}
END_TEST

START_TEST(maps_come_back_from_their_bytes_and_damage_is_noticed) {
        static uint8_t bytes[REGIONS_PACKED_MAX];
        static struct region_table t, back;
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                uint64_t state = seed;
                uint64_t size_bytes = 1 + (suite_random(&state) >> (1 + seed % 63)),
                         from = (size_bytes - 1) / (1 + seed % 7) + 1;
                t = (struct region_table){ .size_bytes = size_bytes,
                        .extent = { size_bytes - from, 1 + suite_random(&state) % from } };
                for (size_t i = 0; i < region_table_count(&t); i++)
                        t.regions[i] = (struct region){ suite_random(&state) >> seed % 63,
                                suite_random(&state) >> seed % 61, suite_random(&state) >> seed % 59 };
                size_t length = region_table_pack(bytes, &t);
                ASSERT_SEEDED(seed, region_table_unpack(&back, bytes, length));
                ASSERT_SEEDED(seed, memcmp(&t, &back, sizeof t) == 0);
                ASSERT_SEEDED(seed, !region_table_unpack(&back, bytes, suite_random(&state) % length));
                bytes[suite_random(&state) % length] ^= (uint8_t)(1U << suite_random(&state) % 8);
                ASSERT_SEEDED(seed, !region_table_unpack(&back, bytes, length));
        }
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("survey");
        tcase_add_test(tests, a_percentile_is_never_too_low_and_at_most_a_sixteenth_too_high);
        tcase_add_test(tests, short_latencies_are_exact);
        tcase_add_test(tests, what_takes_days_counts_and_is_the_maximum);
        tcase_add_test(tests, merging_is_as_if_all_had_been_added_to_one);
        tcase_add_test(tests, nothing_measured_is_nothing_told);
        tcase_add_test(tests, histograms_come_back_from_their_bytes_as_they_were);
        tcase_add_test(tests, the_fullest_histogram_has_room);
        tcase_add_test(tests, bytes_that_are_none_of_ours_are_rejected);
        tcase_add_test(tests, histograms_that_contradict_themselves_are_rejected);
        tcase_add_test(tests, regions_cover_the_extent_without_gap);
        tcase_add_test(tests, the_oldest_speaks_for_all_and_never_is_older_than_any);
        tcase_add_test(tests, what_is_told_of_a_place_counts_for_its_regions_and_makes_none_older);
        tcase_add_test(tests, a_sweep_updates_only_what_it_wholly_checked);
        tcase_add_test(tests, a_place_that_is_not_all_in_the_extent_was_never_checked);
        tcase_add_test(tests, another_extent_is_cut_anew_and_knows_what_was_wholly_seen);
        tcase_add_test(tests, maps_of_whole_targets_are_still_read);
        tcase_add_test(tests, maps_come_back_from_their_bytes_and_damage_is_noticed);
        return suite_run("survey", tests);
}
