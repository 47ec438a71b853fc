/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks come back in any order, so runs must merge in any order, into the very same runs. The oracle is a map of
 * places. When the table is full, places get coarse, but no byte may be lost from the counts.
 */
#include "base/cleanup.h"
#include "generation.h"
#include "sweep/fault_table.h"

#include <string.h>

enum { PLACES = 64, KINDS = 7, SEEDS = 2000 };

/* Kinds that must never merge: each differs from the next in one property. */
static struct fault_run of_kind(size_t kind) {
        static const struct fault_run kinds[KINDS] = {
                { .pass = 1, .fault = FAULT_STALE, .cause = 7 },
                { .pass = 2, .fault = FAULT_STALE, .cause = 7 },
                { .pass = 1, .fault = FAULT_TORN, .cause = 7 },
                { .pass = 1, .fault = FAULT_STALE, .cause = 8 },
                { .pass = 1, .fault = FAULT_STALE, .cause = 7, .persistence = PERSISTENCE_TRANSIENT },
                { .pass = 1, .fault = FAULT_STALE, .cause = 7, .withheld = true },
                { .pass = 1, .fault = FAULT_STALE, .cause = 7, .doubtful = true },
        };
        return kinds[kind];
}

static struct fault_run fault_at(size_t kind, uint64_t place, uint64_t length) {
        struct fault_run f = of_kind(kind);
        f.place = (struct extent){ place * UNIT_BYTES, length * UNIT_BYTES };
        snprintf(f.text, sizeof f.text, "%zu at %" PRIu64, kind, place);
        detail_set(&f.detail, "place", "%" PRIu64, place);
        f.sample.offset_bytes = place * UNIT_BYTES;
        return f;
}

static bool is_kind(const struct fault_run *run, size_t kind) {
        struct fault_run k = of_kind(kind);
        return run->pass == k.pass && run->fault == k.fault && run->cause == k.cause &&
                run->persistence == k.persistence && run->withheld == k.withheld && run->doubtful == k.doubtful;
}

/* Which kinds are at which place; a run is a stretch of places of one kind. */
struct map {
        bool bad[KINDS][PLACES];
};

static size_t map_runs(const struct map *m, size_t kind) {
        size_t runs = 0;
        for (size_t p = 0; p < PLACES; p++)
                runs += m->bad[kind][p] && (p == 0 || !m->bad[kind][p - 1]);
        return runs;
}

static const struct fault_run *run_from(struct fault_table *t, size_t kind, uint64_t place) {
        for (size_t i = 0; i < fault_table_count(t); i++)
                if (is_kind(fault_table_at(t, i), kind) &&
                        fault_table_at(t, i)->place.offset_bytes == place * UNIT_BYTES)
                        return fault_table_at(t, i);
        return NULL;
}

static void compare(uint64_t seed, struct fault_table *t, const struct map *m) {
        size_t runs = 0;
        for (size_t kind = 0; kind < KINDS; kind++) {
                runs += map_runs(m, kind);
                for (size_t p = 0, end; p < PLACES; p = end + 1) {
                        for (end = p; end < PLACES && m->bad[kind][end];)
                                end++;
                        if (end == p)
                                continue;
                        const struct fault_run *run = run_from(t, kind, p);
                        char text[FINDING_TEXT_BYTES];
                        snprintf(text, sizeof text, "%zu at %zu", kind, p);
                        HOLDS(seed, run && run->place.length_bytes == (end - p) * UNIT_BYTES);
                        HOLDS(seed, run->bad_bytes == run->place.length_bytes && !run->coarse);
                        HOLDS(seed, strcmp(run->text, text) == 0 && run->sample.offset_bytes == p * UNIT_BYTES);
                }
        }
        HOLDS(seed, fault_table_count(t) == runs);
        for (size_t i = 1; i < fault_table_count(t); i++)
                HOLDS(seed, fault_table_at(t, i - 1)->place.offset_bytes <= fault_table_at(t, i)->place.offset_bytes);
}

START_TEST(runs_are_the_same_in_any_order_of_arrival) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                uint64_t state = seed;
                struct map map = { 0 };
                struct fault_table *t;
                ck_assert_int_eq(fault_table_new(&t), 0);
                size_t kinds = 1 + suite_random(&state) % KINDS;
                for (size_t n = suite_random(&state) % (PLACES * 2); n > 0; n--) {
                        size_t kind = suite_random(&state) % kinds, place = suite_random(&state) % PLACES;
                        if (map.bad[kind][place])
                                continue;
                        map.bad[kind][place] = true;
                        struct fault_run f = fault_at(kind, place, 1);
                        fault_table_add(t, &f);
                }
                compare(seed, t, &map);
                fault_table_free(t);
        }
}
END_TEST

/* Pieces of any length, as narrowing makes them, and some over others: the sample and the pass behind it see one unit,
 * once in pieces and once as a whole. */
START_TEST(pieces_of_any_length_merge_in_any_order) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                uint64_t state = seed;
                struct map map = { 0 };
                struct fault_table *t;
                ck_assert_int_eq(fault_table_new(&t), 0);
                for (size_t n = suite_random(&state) % 60; n > 0; n--) {
                        size_t kind = suite_random(&state) % 2, place = suite_random(&state) % PLACES, length = 0;
                        size_t wanted = 1 + suite_random(&state) % 9, most = MIN(wanted, PLACES - place);
                        while (length < most)
                                map.bad[kind][place + length++] = true;
                        struct fault_run f = fault_at(kind, place, length);
                        fault_table_add(t, &f);
                }
                compare(seed, t, &map);
                fault_table_free(t);
        }
}
END_TEST

static void expect_the_same_words(uint64_t seed, struct fault_table *a, struct fault_table *b) {
        HOLDS(seed, fault_table_count(a) == fault_table_count(b));
        for (size_t i = 0; i < fault_table_count(a); i++) {
                const struct fault_run *one = fault_table_at(a, i), *other = fault_table_at(b, i);
                HOLDS(seed, strcmp(one->text, other->text) == 0);
                HOLDS(seed, strcmp(one->detail.lines, other->detail.lines) == 0);
                HOLDS(seed, one->sample.offset_bytes == other->sample.offset_bytes);
        }
}

/* Two tables, one of which gets words with each fault, in one order; one with room, and one that is full. */
START_TEST(words_that_are_not_wanted_are_never_missed) {
        enum { FAULTS = 6000, FEW = 100 };
        size_t unwanted = 0;
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                uint64_t state = seed;
                size_t faults = seed % 500 == 0 ? FAULTS : FEW, kinds = 1 + suite_random(&state) % KINDS;
                struct fault_table *all, *wanted;
                ck_assert_int_eq(fault_table_new(&all), 0);
                ck_assert_int_eq(fault_table_new(&wanted), 0);
                for (size_t n = 0; n < faults; n++) {
                        struct fault_run f = fault_at(
                                suite_random(&state) % kinds, suite_random(&state) % (2 * faults), 1 + n % 3);
                        f.sampled = suite_random(&state) % 4 == 0;
                        fault_table_add(all, &f);
                        if (!fault_table_wants_words(wanted, &f)) {
                                f.text[0] = f.detail.lines[0] = '\0';
                                f.sample = (struct sample){ 0 };
                                unwanted++;
                        }
                        fault_table_add(wanted, &f);
                }
                expect_the_same_words(seed, all, wanted);
                fault_table_free(all);
                fault_table_free(wanted);
        }
        ck_assert_uint_gt(unwanted, SEEDS);
}
END_TEST

/* A long run of one pass over many lone faults of an earlier one: it must stay a single run. */
START_TEST(a_run_is_found_again_however_many_others_begin_inside_it) {
        struct fault_table *t;
        ck_assert_int_eq(fault_table_new(&t), 0);
        for (uint64_t place = 0; place < 2000; place += 2) {
                struct fault_run f = fault_at(0, place, 1);
                fault_table_add(t, &f);
        }
        for (uint64_t place = 0; place < 2000; place++) {
                struct fault_run f = fault_at(1, place, 1);
                fault_table_add(t, &f);
        }
        ck_assert_uint_eq(fault_table_count(t), 1001);
        ck_assert_uint_eq(run_from(t, 1, 0)->place.length_bytes, 2000 * UNIT_BYTES);
        fault_table_free(t);
}
END_TEST

START_TEST(a_place_that_is_met_twice_counts_once) {
        struct fault_table *t;
        ck_assert_int_eq(fault_table_new(&t), 0);
        for (int again = 0; again < 3; again++)
                for (uint64_t place = 5; place < 9; place++) {
                        struct fault_run f = fault_at(0, place, 1);
                        fault_table_add(t, &f);
                }
        ck_assert_uint_eq(fault_table_count(t), 1);
        ck_assert_uint_eq(fault_table_at(t, 0)->bad_bytes, 4 * UNIT_BYTES);
        fault_table_free(t);
}
END_TEST

START_TEST(a_reported_run_keeps_its_serial_and_is_not_swallowed) {
        struct fault_table *t;
        ck_assert_int_eq(fault_table_new(&t), 0);
        struct fault_run low = fault_at(0, 1, 1), high = fault_at(0, 3, 1), middle = fault_at(0, 2, 1);
        fault_table_add(t, &low);
        fault_table_add(t, &high);
        fault_table_at(t, 1)->reported_bytes = UNIT_BYTES;
        uint32_t serial = fault_table_at(t, 1)->serial;
        fault_table_add(t, &middle);
        ck_assert_uint_eq(fault_table_count(t), 2);
        ck_assert_uint_eq(fault_table_at(t, 1)->serial, serial);
        ck_assert_uint_eq(fault_table_at(t, 0)->bad_bytes + fault_table_at(t, 1)->bad_bytes, 3 * UNIT_BYTES);
        fault_table_free(t);
}
END_TEST

/* Far more faults than there is room for, of all classes, in random order: memory stays, counts stay exact. */
START_TEST(a_full_table_loses_places_and_never_counts) {
        enum { FAULTS = 3 * FAULT_TABLE_RUNS_MAX };
        for (uint64_t seed = 1; seed <= 5; seed++) {
                uint64_t state = seed, expected[FAULT_COUNT] = { 0 }, got[FAULT_COUNT] = { 0 };
                struct fault_table *t;
                ck_assert_int_eq(fault_table_new(&t), 0);
                static uint16_t order[FAULTS];
                for (size_t i = 0; i < FAULTS; i++)
                        order[i] = (uint16_t)i;
                for (size_t i = FAULTS - 1; i > 0; i--) {
                        size_t other = suite_random(&state) % (i + 1);
                        uint16_t swapped = order[i];
                        order[i] = order[other];
                        order[other] = swapped;
                }
                for (size_t i = 0; i < FAULTS; i++) {
                        struct fault_run f = fault_at(0, 2 * (uint64_t)order[i], 1);
                        f.fault = (enum fault)(suite_random(&state) % FAULT_COUNT);
                        expected[f.fault] += UNIT_BYTES;
                        fault_table_add(t, &f);
                }
                HOLDS(seed, fault_table_count(t) >= FAULT_TABLE_RUNS_MAX);
                HOLDS(seed, fault_table_count(t) <= FAULT_TABLE_RUNS_MAX + FAULT_COUNT);
                for (size_t i = 0; i < fault_table_count(t); i++) {
                        const struct fault_run *run = fault_table_at(t, i);
                        got[run->fault] += run->bad_bytes;
                        HOLDS(seed, run->coarse == (run->bad_bytes < run->place.length_bytes));
                        HOLDS(seed, run->bad_bytes <= run->place.length_bytes);
                }
                for (size_t f = 0; f < FAULT_COUNT; f++)
                        HOLDS(seed, got[f] == expected[f]);
                fault_table_free(t);
        }
}
END_TEST

/* The look before the sweep and the pass behind it meet the same places, and the table is full long before. */
START_TEST(a_full_table_counts_once_what_is_seen_by_the_sample_and_again) {
        enum { FAULTS = 2 * FAULT_TABLE_RUNS_MAX };
        for (uint64_t seed = 1; seed <= 5; seed++) {
                uint64_t state = seed, expected[2] = { 0 }, got[2] = { 0 };
                static bool sampled[FAULTS];
                struct fault_table *t;
                ck_assert_int_eq(fault_table_new(&t), 0);
                for (int pass = 0; pass < 2; pass++) {
                        for (uint64_t i = 0; i < FAULTS; i++) {
                                struct fault_run f = fault_at(0, 2 * i, 1);
                                f.sampled = pass == 0;
                                if (pass == 0)
                                        sampled[i] = suite_random(&state) % 3 > 0;
                                if (pass == 0 && !sampled[i])
                                        continue;
                                if (i % 2)
                                        f.fault = FAULT_ZEROED;
                                if (pass == 1)
                                        expected[i % 2] += UNIT_BYTES;
                                fault_table_add(t, &f);
                        }
                }
                for (size_t i = 0; i < fault_table_count(t); i++) {
                        const struct fault_run *run = fault_table_at(t, i);
                        got[run->fault == FAULT_ZEROED] += run->bad_bytes;
                        HOLDS(seed, run->bad_bytes <= run->place.length_bytes && !run->sampled);
                }
                HOLDS(seed, got[0] == expected[0] && got[1] == expected[1]);
                fault_table_free(t);
        }
}
END_TEST

static uint64_t distance(struct extent a, struct extent b) {
        if (extent_end(a) < b.offset_bytes)
                return b.offset_bytes - extent_end(a);
        return extent_end(b) < a.offset_bytes ? a.offset_bytes - extent_end(b) : 0;
}

START_TEST(a_full_table_gives_a_fault_to_the_nearest_run_of_its_class) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
                uint64_t state = seed;
                struct fault_table *t;
                ck_assert_int_eq(fault_table_new(&t), 0);
                while (fault_table_count(t) < FAULT_TABLE_RUNS_MAX) {
                        struct fault_run f = fault_at(suite_random(&state) % 3, suite_random(&state) % 100000, 1);
                        fault_table_add(t, &f);
                }
                for (int n = 0; n < 100; n++) {
                        struct fault_run f = fault_at(suite_random(&state) % 3, suite_random(&state) % 100000, 1);
                        uint64_t nearest = UINT64_MAX, total = 0, after = 0, distance_after = UINT64_MAX;
                        static struct fault_run before[FAULT_TABLE_RUNS_MAX + FAULT_COUNT];
                        for (size_t i = 0; i < fault_table_count(t); i++) {
                                const struct fault_run *run = fault_table_at(t, i);
                                before[run->serial % ELEMENTS(before)] = *run;
                                total += run->bad_bytes;
                                if (run->fault == f.fault)
                                        nearest = MIN(nearest, distance(run->place, f.place));
                        }
                        fault_table_add(t, &f);
                        for (size_t i = 0; i < fault_table_count(t); i++) {
                                const struct fault_run *run = fault_table_at(t, i);
                                const struct fault_run *was = &before[run->serial % ELEMENTS(before)];
                                after += run->bad_bytes;
                                if (run->serial == was->serial && run->place.length_bytes != was->place.length_bytes)
                                        distance_after = distance(was->place, f.place);
                        }
                        HOLDS(seed, after == total || after == total + UNIT_BYTES); /* known, or new */
                        HOLDS(seed, distance_after == UINT64_MAX || distance_after == nearest);
                }
                fault_table_free(t);
        }
}
END_TEST

START_TEST(a_class_that_comes_last_finds_room_in_a_full_table) {
        struct fault_table *t;
        ck_assert_int_eq(fault_table_new(&t), 0);
        for (uint64_t i = 0; i < FAULT_TABLE_RUNS_MAX; i++) {
                struct fault_run f = fault_at(0, 2 * i, 1);
                fault_table_add(t, &f);
        }
        struct fault_run late = fault_at(2, 101, 1);
        fault_table_add(t, &late);
        const struct fault_run *run = run_from(t, 2, 101);
        ck_assert(run && !run->coarse && run->bad_bytes == UNIT_BYTES);
        fault_table_free(t);
}
END_TEST

START_TEST(removing_runs_leaves_the_others_as_they_are) {
        for (uint64_t seed = 1; seed <= 200; seed++) {
                uint64_t state = seed;
                struct map map = { 0 };
                struct fault_table *t;
                ck_assert_int_eq(fault_table_new(&t), 0);
                for (size_t n = 0; n < 150; n++) {
                        size_t kind = suite_random(&state) % KINDS, place = suite_random(&state) % PLACES;
                        struct fault_run f = fault_at(kind, place, 1);
                        fault_table_add(t, &f);
                        map.bad[kind][place] = true;
                }
                for (size_t i = fault_table_count(t); i > 0; i--)
                        if (fault_table_at(t, i - 1)->withheld)
                                fault_table_remove(t, i - 1);
                for (size_t kind = 0; kind < KINDS; kind++)
                        for (size_t p = 0; p < PLACES; p++)
                                map.bad[kind][p] &= !of_kind(kind).withheld;
                compare(seed, t, &map);
                fault_table_free(t);
        }
}
END_TEST

START_TEST(freeing_nothing_is_fine) {
        ck_assert_ptr_null(fault_table_free(NULL));
}
END_TEST

/* Withheld runs and told ones lie side by side until it is known that all of them are to be told. */
START_TEST(runs_that_become_of_one_kind_are_joined_and_a_reported_one_keeps_its_serial) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                uint64_t state = seed;
                struct map map = { 0 };
                struct fault_table *t;
                ck_assert_int_eq(fault_table_new(&t), 0);
                for (size_t n = suite_random(&state) % (PLACES * 2); n > 0; n--) {
                        size_t place = suite_random(&state) % PLACES;
                        struct fault_run f = fault_at(0, place, 1);
                        f.withheld = suite_random(&state) % 2;
                        if (map.bad[0][place])
                                continue;
                        map.bad[0][place] = true;
                        fault_table_add(t, &f);
                }
                struct fault_run told = { 0 };
                if (fault_table_count(t) > 0) {
                        struct fault_run *run = fault_table_at(t, suite_random(&state) % fault_table_count(t));
                        run->reported_bytes = run->bad_bytes;
                        told = *run;
                }
                for (size_t i = 0; i < fault_table_count(t); i++)
                        fault_table_at(t, i)->withheld = false;
                fault_table_join(t);
                compare(seed, t, &map);
                bool kept = told.serial == 0;
                for (size_t i = 0; i < fault_table_count(t); i++)
                        kept |= fault_table_at(t, i)->serial == told.serial &&
                                extent_contains(fault_table_at(t, i)->place, told.place);
                HOLDS(seed, kept);
                fault_table_free(t);
        }
}
END_TEST

int main(void) {
        TCase *t = tcase_create("fault_table");
        tcase_add_test(t, runs_are_the_same_in_any_order_of_arrival);
        tcase_add_test(t, pieces_of_any_length_merge_in_any_order);
        tcase_add_test(t, words_that_are_not_wanted_are_never_missed);
        tcase_add_test(t, a_run_is_found_again_however_many_others_begin_inside_it);
        tcase_add_test(t, a_place_that_is_met_twice_counts_once);
        tcase_add_test(t, a_reported_run_keeps_its_serial_and_is_not_swallowed);
        tcase_add_test(t, runs_that_become_of_one_kind_are_joined_and_a_reported_one_keeps_its_serial);
        tcase_add_test(t, a_full_table_loses_places_and_never_counts);
        tcase_add_test(t, a_full_table_counts_once_what_is_seen_by_the_sample_and_again);
        tcase_add_test(t, a_full_table_gives_a_fault_to_the_nearest_run_of_its_class);
        tcase_add_test(t, a_class_that_comes_last_finds_room_in_a_full_table);
        tcase_add_test(t, removing_runs_leaves_the_others_as_they_are);
        tcase_add_test(t, freeing_nothing_is_fine);
        return suite_run("fault_table", t);
}
