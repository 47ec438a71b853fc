/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "Verified" means what this module says, so it is asked about every bit of a unit, about every place and length at
 * which a read may begin and end, and about all the mixtures that a sweep that was cut short may have left.
 */
#include "base/cleanup.h"
#include "generation.h"

#include <string.h>

enum { UNITS = 6, ROOM = UNITS * UNIT_BYTES };

static uint64_t random_sectors(uint64_t *state, uint64_t from, uint64_t to) {
        return (from + suite_random(state) % (to - from + 1)) * SECTOR_BYTES;
}

START_TEST(what_was_filled_is_what_is_expected_at_every_offset_and_length) {
        struct generations g;
        generations_init(&g, 1);
        uint8_t bytes[ROOM];
        uint64_t bad[2], state = 1;
        for (uint64_t base = 0; base <= TABLE_BYTES; base += TABLE_BYTES - 2 * UNIT_BYTES)
                for (uint64_t first = 0; first < UNIT_SECTORS; first++)
                        for (uint64_t count = 1; count <= 2 * UNIT_SECTORS + 1; count++) {
                                uint64_t offset = base + first * SECTOR_BYTES, length = count * SECTOR_BYTES;
                                struct expectation e = expecting(&g.of[suite_random(&state) % GENERATIONS]);
                                content_fill(&e.candidates[0], bytes, offset, length);
                                HOLDS(offset, expectation_check(&e, bytes, offset, length, bad) == 0);
                                HOLDS(offset, bad[0] == 0);
                        }
        generations_deinit(&g);
}
END_TEST

START_TEST(a_read_may_begin_and_end_anywhere_in_what_was_written_elsewise) {
        struct generations g;
        generations_init(&g, 2);
        struct expectation e = expecting(&g.of[0]);
        uint8_t bytes[ROOM];
        uint64_t bad[2];
        for (uint64_t seed = 1; seed <= 2000; seed++) {
                uint64_t state = seed, base = random_sectors(&state, 0, 10000);
                content_fill(&g.of[0], bytes, base, ROOM);
                uint64_t from = random_sectors(&state, 0, ROOM / SECTOR_BYTES - 1);
                uint64_t length = random_sectors(&state, 1, (ROOM - from) / SECTOR_BYTES);
                HOLDS(seed, expectation_check(&e, bytes + from, base + from, length, bad) == 0);
        }
        generations_deinit(&g);
}
END_TEST

START_TEST(a_fixed_pattern_is_one_byte_everywhere_and_every_bit_of_it_is_compared) {
        struct table_cache *tables;
        ck_assert_int_eq(table_cache_new(&tables, 2), 0);
        for (unsigned byte = 0; byte < 256; byte++) {
                /* A generation whose nonce is that number is not the pattern. */
                struct table *other = table_cache_get(tables, byte), *t = table_cache_get_fixed(tables, (uint8_t)byte);
                ck_assert(other != t && !other->fixed && t->fixed);
                struct content c = { .table = t };
                struct expectation e = expecting(&c);
                uint8_t bytes[2 * UNIT_BYTES];
                uint64_t bad[2], offset = TABLE_BYTES - UNIT_BYTES;
                content_fill(&c, bytes, offset, sizeof bytes);
                HOLDS(byte, content_is_fixed(bytes, sizeof bytes, (uint8_t)byte));
                content_stamp(&c, bytes, offset, sizeof bytes);
                HOLDS(byte, expectation_check(&e, bytes, offset, sizeof bytes, bad) == 0);
                for (size_t bit = byte; bit < UNIT_BYTES * 8; bit += 97) {
                        flip_bit(bytes + UNIT_BYTES, bit);
                        HOLDS(byte, expectation_check(&e, bytes, offset, sizeof bytes, bad) == 1 && bad[0] == BIT(1));
                        flip_bit(bytes + UNIT_BYTES, bit);
                }
                stamp_destroy(bytes, offset, sizeof bytes, true); /* what was not read passes for no pattern */
                for (size_t at = 0; at < sizeof bytes; at += SECTOR_BYTES)
                        HOLDS(byte, !content_has_sector(&c, bytes + at, offset + at));
                table_unref(t);
                table_unref(other);
        }
        table_cache_free(tables);
}
END_TEST

START_TEST(one_flipped_bit_anywhere_makes_exactly_its_unit_bad) {
        struct generations g;
        generations_init(&g, 3);
        struct expectation e = expecting(&g.of[0]);
        uint8_t bytes[3 * UNIT_BYTES];
        uint64_t bad[2], offset = TABLE_BYTES - UNIT_BYTES; /* the middle unit is the first of the next table */
        content_fill(&g.of[0], bytes, offset, sizeof bytes);
        for (size_t bit = 0; bit < UNIT_BYTES * 8; bit++) {
                flip_bit(bytes + UNIT_BYTES, bit);
                HOLDS(bit, expectation_check(&e, bytes, offset, sizeof bytes, bad) == 1);
                HOLDS(bit, bad[0] == BIT(1));
                flip_bit(bytes + UNIT_BYTES, bit);
        }
        ck_assert_uint_eq(expectation_check(&e, bytes, offset, sizeof bytes, bad), 0);
        generations_deinit(&g);
}
END_TEST

START_TEST(bad_units_are_told_one_by_one_wherever_the_read_begins) {
        struct generations g;
        generations_init(&g, 4);
        struct expectation e = expecting(&g.of[0]);
        uint8_t bytes[ROOM];
        for (uint64_t seed = 1; seed <= 3000; seed++) {
                uint64_t state = seed, offset = random_sectors(&state, 0, 5000), bad[2], expected = 0;
                uint64_t length = random_sectors(&state, 1, ROOM / SECTOR_BYTES);
                content_fill(&g.of[0], bytes, offset, length);
                for (uint64_t i = suite_random(&state) % 5; i > 0; i--) {
                        uint64_t bit = suite_random(&state) % (length * 8);
                        flip_bit(bytes, bit); /* twice the same: one chance in 100,000, for a fixed set of seeds */
                        expected |= BIT((offset + bit / 8) / UNIT_BYTES - offset / UNIT_BYTES);
                }
                HOLDS(seed,
                        expectation_check(&e, bytes, offset, length, bad) == (size_t)__builtin_popcountll(expected));
                HOLDS(seed, bad[0] == expected);
        }
        generations_deinit(&g);
}
END_TEST

START_TEST(a_mixture_of_the_candidates_is_right_sector_by_sector_and_nothing_else_is) {
        struct generations g;
        generations_init(&g, 5);
        struct expectation e = { .count = 3, .candidates = { g.of[0], g.of[1], g.of[2] } };
        uint8_t bytes[2 * UNIT_BYTES];
        for (uint64_t seed = 1; seed <= 3000; seed++) {
                uint64_t state = seed, offset = random_sectors(&state, 0, 5000), bad[2];
                for (uint64_t at = 0; at < sizeof bytes; at += SECTOR_BYTES)
                        content_sector(&g.of[suite_random(&state) % 3], bytes + at, offset + at);
                HOLDS(seed, expectation_check(&e, bytes, offset, sizeof bytes, bad) == 0);
                /* Two halves of a sector from two candidates: nobody wrote that. */
                uint64_t at = random_sectors(&state, 0, sizeof bytes / SECTOR_BYTES - 1);
                uint8_t other[SECTOR_BYTES];
                content_sector(&g.of[0], bytes + at, offset + at);
                content_sector(&g.of[1], other, offset + at);
                memcpy(bytes + at + SECTOR_BYTES / 2, other + SECTOR_BYTES / 2, SECTOR_BYTES / 2);
                HOLDS(seed, expectation_check(&e, bytes, offset, sizeof bytes, bad) == 1);
                HOLDS(seed, bad[0] == BIT((offset + at) / UNIT_BYTES - offset / UNIT_BYTES));
                /* A generation that is no candidate. */
                content_sector(&g.of[3], bytes + at, offset + at);
                HOLDS(seed, expectation_check(&e, bytes, offset, sizeof bytes, bad) == 1);
        }
        generations_deinit(&g);
}
END_TEST

START_TEST(a_sector_of_another_place_or_target_is_never_right) {
        struct generations g;
        generations_init(&g, 6);
        struct content stranger = g.of[0];
        stranger.stamp.target_id++;
        uint8_t sector[SECTOR_BYTES];
        for (uint64_t here = 0; here < 20; here++)
                for (uint64_t there = 0; there < 20; there++)
                        for (uint64_t tables = 0; tables < 2; tables++) {
                                content_sector(&g.of[0], sector, there * SECTOR_BYTES + tables * TABLE_BYTES);
                                bool right = content_has_sector(&g.of[0], sector, here * SECTOR_BYTES);
                                HOLDS(here, right == (here == there && tables == 0));
                        }
        content_sector(&stranger, sector, 0);
        ck_assert(!content_has_sector(&g.of[0], sector, 0));
        generations_deinit(&g);
}
END_TEST

START_TEST(stamping_a_block_of_another_place_equals_filling_it) {
        struct generations g;
        generations_init(&g, 7);
        uint8_t stamped[ROOM], filled[ROOM];
        for (uint64_t offset = 0; offset < 3 * UNIT_BYTES; offset += SECTOR_BYTES) {
                content_fill(&g.of[0], stamped, offset, ROOM);
                content_stamp(&g.of[0], stamped, offset + 5 * (uint64_t)TABLE_BYTES, ROOM);
                content_fill(&g.of[0], filled, offset + 5 * (uint64_t)TABLE_BYTES, ROOM);
                HOLDS(offset, memcmp(stamped, filled, ROOM) == 0);
        }
        generations_deinit(&g);
}
END_TEST

START_TEST(only_zeros_are_zero) {
        uint8_t bytes[UNIT_BYTES] = { 0 };
        ck_assert(content_is_zero(bytes, sizeof bytes));
        ck_assert(content_is_zero(bytes, 1));
        for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
                flip_bit(bytes, bit);
                HOLDS(bit, !content_is_zero(bytes, sizeof bytes));
                flip_bit(bytes, bit);
        }
}
END_TEST

int main(void) {
        TCase *t = tcase_create("content");
        tcase_add_test(t, what_was_filled_is_what_is_expected_at_every_offset_and_length);
        tcase_add_test(t, a_read_may_begin_and_end_anywhere_in_what_was_written_elsewise);
        tcase_add_test(t, a_fixed_pattern_is_one_byte_everywhere_and_every_bit_of_it_is_compared);
        tcase_add_test(t, one_flipped_bit_anywhere_makes_exactly_its_unit_bad);
        tcase_add_test(t, bad_units_are_told_one_by_one_wherever_the_read_begins);
        tcase_add_test(t, a_mixture_of_the_candidates_is_right_sector_by_sector_and_nothing_else_is);
        tcase_add_test(t, a_sector_of_another_place_or_target_is_never_right);
        tcase_add_test(t, stamping_a_block_of_another_place_equals_filling_it);
        tcase_add_test(t, only_zeros_are_zero);
        return suite_run("content", t);
}
