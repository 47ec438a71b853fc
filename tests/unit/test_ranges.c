/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic against a map that holds, for every single place, what may be there. Small numbers: that is where
 * ranges meet, overlap and fall apart.
 */
#include "base/cleanup.h"
#include "report/ranges.h"
#include "suite.h"

#include <string.h>

/* Check tells its runner of every assertion; there are millions of these. */
#define HOLDS(seed, condition)                                                              \
        do {                                                                                \
                if (!(condition))                                                           \
                        ck_abort_msg("seed %" PRIu64 ": %s", (uint64_t)(seed), #condition); \
        } while (0)

#define STAMP(g, n) (&(struct stamped_range){ .generation = (g), .nonce = (n) })

enum { PLACES = 40, SEEDS = 1000, STEPS = 60, STAMPS_MAX = 16 };

struct place {
        size_t count;
        struct stamped_range stamps[STAMPS_MAX]; /* extents unused */
};

struct map {
        struct place places[PLACES];
};

static bool is_same(const struct stamped_range *a, const struct stamped_range *b) {
        return a->generation == b->generation && a->nonce == b->nonce;
}

static const struct stamped_range *find(const struct place *place, const struct stamped_range *stamp) {
        for (size_t i = 0; i < place->count; i++)
                if (is_same(&place->stamps[i], stamp))
                        return &place->stamps[i];
        return NULL;
}

static void map_settle(struct map *map, struct extent e, struct stamped_range stamp) {
        stamp.settled = true;
        for (uint64_t at = e.offset_bytes; at < extent_end(e); at++)
                map->places[at] = (struct place){ .count = 1, .stamps = { stamp } };
}

static void map_announce(struct map *map, struct extent e, struct stamped_range stamp) {
        stamp.settled = false;
        for (uint64_t at = e.offset_bytes; at < extent_end(e); at++) {
                struct place *place = &map->places[at];
                if (!find(place, &stamp))
                        place->stamps[place->count++] = stamp;
                if (place->count > TARGET_OVERLAP_MAX)
                        place->count = 0;
        }
}

static void map_forget(struct map *map, struct extent e) {
        for (uint64_t at = e.offset_bytes; at < extent_end(e); at++)
                map->places[at].count = 0;
}

static struct map expand(uint64_t seed, const struct ranges *ranges) {
        struct map map = { 0 };
        for (size_t i = 0; i < ranges->count; i++) {
                const struct stamped_range *range = &ranges->items[i];
                HOLDS(seed, range->extent.length_bytes > 0);
                HOLDS(seed, extent_end(range->extent) <= PLACES);
                for (uint64_t at = range->extent.offset_bytes; at < extent_end(range->extent); at++) {
                        struct place *place = &map.places[at];
                        HOLDS(seed, !find(place, range));
                        HOLDS(seed, place->count < STAMPS_MAX);
                        place->stamps[place->count++] = *range;
                }
        }
        return map;
}

static bool holds(const struct place *place, const struct stamped_range *stamp) {
        const struct stamped_range *found = find(place, stamp);
        return found && found->settled == stamp->settled && found->started_us == stamp->started_us;
}

static bool is_subset(const struct place *a, const struct place *b) {
        for (size_t i = 0; i < a->count; i++)
                if (!holds(b, &a->stamps[i]))
                        return false;
        return true;
}

static void check_same(uint64_t seed, const struct map *a, const struct map *b) {
        for (size_t at = 0; at < PLACES; at++) {
                HOLDS(seed, a->places[at].count == b->places[at].count);
                HOLDS(seed, is_subset(&a->places[at], &b->places[at]));
        }
}

/* As few ranges as can say it, and in order. */
static void check_form(uint64_t seed, const struct ranges *ranges, const struct map *map) {
        size_t begins = 0;
        for (size_t at = 0; at < PLACES; at++)
                for (size_t i = 0; i < map->places[at].count; i++)
                        begins += at == 0 || !holds(&map->places[at - 1], &map->places[at].stamps[i]);
        HOLDS(seed, ranges->count == begins);
        for (size_t i = 1; i < ranges->count; i++) {
                const struct stamped_range *a = &ranges->items[i - 1], *b = &ranges->items[i];
                HOLDS(seed,
                        a->extent.offset_bytes < b->extent.offset_bytes ||
                                (a->extent.offset_bytes == b->extent.offset_bytes && a->generation <= b->generation));
        }
}

static struct extent random_extent(uint64_t *state) {
        uint64_t from = suite_random(state) % PLACES;
        return (struct extent){ from, suite_random(state) % (PLACES - from + 1) };
}

/* A random step on both; the generation grows now and then, and sometimes one generation has two nonces. */
static void step(uint64_t seed, uint64_t *state, uint64_t *generation, struct ranges *ranges, struct map *map) {
        *generation += suite_random(state) % 3 == 0;
        struct extent e = random_extent(state);
        struct stamped_range stamp = { e, *generation, suite_random(state) % 8 == 0, 5 * *generation, false };
        if (suite_random(state) % 10 == 0) {
                ck_assert_int_eq(ranges_forget(ranges, e), 0);
                map_forget(map, e);
        } else if (suite_random(state) % 3 == 0) {
                ck_assert_int_eq(ranges_settle(ranges, e, &stamp), 0);
                map_settle(map, e, stamp);
        } else {
                ck_assert_int_eq(ranges_announce(ranges, e, &stamp), 0);
                map_announce(map, e, stamp);
        }
}

START_TEST(ranges_say_of_every_place_what_the_map_says) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                uint64_t state = seed, generation = 1;
                CLEANUP(ranges_deinit)
                struct ranges ranges = { 0 };
                struct map map = { 0 };
                for (int i = 0; i < STEPS; i++) {
                        step(seed, &state, &generation, &ranges, &map);
                        struct map expanded = expand(seed, &ranges);
                        check_same(seed, &map, &expanded);
                        check_form(seed, &ranges, &map);
                }
        }
}
END_TEST

START_TEST(a_limit_forgets_but_never_claims_more) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                uint64_t state = seed, generation = 1;
                CLEANUP(ranges_deinit)
                struct ranges ranges = { 0 };
                struct map map = { 0 };
                for (int i = 0; i < STEPS; i++)
                        step(seed, &state, &generation, &ranges, &map);
                size_t before = ranges.count, max = suite_random(&state) % 12;
                ranges_limit(&ranges, max);
                HOLDS(seed, ranges.count <= max);
                HOLDS(seed, before > max || ranges.count == before);
                struct map left = expand(seed, &ranges);
                for (size_t at = 0; at < PLACES; at++) {
                        const struct place *now = &left.places[at], *then = &map.places[at];
                        HOLDS(seed, is_subset(now, then));
                        for (size_t k = 0; k < now->count; k++)
                                HOLDS(seed, !now->stamps[k].settled || is_subset(then, now));
                }
        }
}
END_TEST

START_TEST(a_small_range_is_forgotten_before_a_large_one) {
        CLEANUP(ranges_deinit)
        struct ranges ranges = { 0 };
        ck_assert_int_eq(ranges_settle(&ranges, (struct extent){ 0, 30 }, STAMP(1, 7)), 0);
        ck_assert_int_eq(ranges_settle(&ranges, (struct extent){ 30, 2 }, STAMP(2, 7)), 0);
        ck_assert_int_eq(ranges_settle(&ranges, (struct extent){ 32, 8 }, STAMP(3, 7)), 0);
        ranges_limit(&ranges, 2);
        ck_assert_uint_eq(ranges.count, 2);
        ck_assert_uint_eq(ranges.items[0].generation, 1);
        ck_assert_uint_eq(ranges.items[1].generation, 3);
}
END_TEST

START_TEST(places_near_the_end_of_numbers_do_not_overflow) {
        CLEANUP(ranges_deinit)
        struct ranges ranges = { 0 };
        struct extent last = { INT64_MAX - 4096, 4096 };
        ck_assert_int_eq(ranges_settle(&ranges, (struct extent){ 0, INT64_MAX }, STAMP(1, 1)), 0);
        ck_assert_int_eq(ranges_announce(&ranges, last, STAMP(2, 2)), 0);
        ck_assert_int_eq(ranges_settle(&ranges, last, STAMP(2, 2)), 0);
        ck_assert_uint_eq(ranges.count, 2);
        ck_assert_uint_eq(ranges.items[0].extent.length_bytes, INT64_MAX - 4096);
        ck_assert_uint_eq(ranges.items[1].extent.offset_bytes, INT64_MAX - 4096);
}
END_TEST

START_TEST(a_thousand_ranges_take_no_time_to_speak_of) {
        CLEANUP(ranges_deinit)
        struct ranges ranges = { 0 };
        for (uint64_t i = 0; i < 3 * TARGET_RANGES_MAX; i++) {
                ck_assert_int_eq(ranges_settle(&ranges, (struct extent){ 8192 * i, 4096 }, STAMP(1 + i, i)), 0);
                ck_assert_int_eq(
                        ranges_announce(&ranges, (struct extent){ 8192 * i + 4096, 8192 }, STAMP(1 + i, i)), 0);
                ranges_limit(&ranges, TARGET_RANGES_MAX);
        }
        ck_assert_uint_le(ranges.count, TARGET_RANGES_MAX);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("ranges");
        tcase_add_test(tests, ranges_say_of_every_place_what_the_map_says);
        tcase_add_test(tests, a_limit_forgets_but_never_claims_more);
        tcase_add_test(tests, a_small_range_is_forgotten_before_a_large_one);
        tcase_add_test(tests, places_near_the_end_of_numbers_do_not_overflow);
        tcase_add_test(tests, a_thousand_ranges_take_no_time_to_speak_of);
        return suite_run("ranges", tests);
}
