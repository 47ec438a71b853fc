/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stamp that is believed when damaged, or a mark that names a wrong place, makes a wrong finding or a destroyed disk
 * of somebody else's. The format itself is pinned by a second implementation, as disks outlive programs.
 */
#include "base/cleanup.h"
#include "generation.h"
#include "sweep/stamp.h"

#include <string.h>

static struct stamp random_stamp(uint64_t *state) {
        return (struct stamp){
                .mode = (enum sweep_mode)(suite_random(state) % MODE_COUNT),
                .target_id = suite_random(state),
                .offset_bytes = suite_random(state),
                .generation = suite_random(state),
                .nonce = suite_random(state),
                .started_us = suite_random(state),
        };
}

static bool same(const struct stamp *a, const struct stamp *b) {
        return a->mode == b->mode && a->target_id == b->target_id && a->offset_bytes == b->offset_bytes &&
                a->generation == b->generation && a->nonce == b->nonce && a->started_us == b->started_us;
}

START_TEST(what_is_written_is_read) {
        uint64_t state = 1;
        for (int i = 0; i < 10000; i++) {
                struct stamp in = random_stamp(&state), out;
                uint8_t bytes[STAMP_BYTES];
                stamp_write(bytes, &in);
                HOLDS(i, stamp_read(&out, bytes));
                HOLDS(i, same(&in, &out));
        }
}
END_TEST

START_TEST(a_stamp_with_any_bit_flipped_is_never_read) {
        uint64_t state = 2;
        for (int i = 0; i < 50; i++) {
                struct stamp in = random_stamp(&state), out = { .nonce = 1 };
                uint8_t bytes[STAMP_BYTES];
                stamp_write(bytes, &in);
                for (size_t bit = 0; bit < STAMP_BYTES * 8; bit++) {
                        flip_bit(bytes, bit);
                        HOLDS(i, !stamp_read(&out, bytes));
                        HOLDS(i, out.nonce == 1); /* outputs are written on success only */
                        flip_bit(bytes, bit);
                }
                HOLDS(i, stamp_read(&out, bytes));
        }
}
END_TEST

START_TEST(noise_and_zeros_are_never_a_stamp) {
        uint64_t state = 3;
        struct stamp out;
        uint8_t bytes[STAMP_BYTES] = { 0 };
        ck_assert(!stamp_read(&out, bytes));
        for (int i = 0; i < 100000; i++) {
                random_bytes(&state, bytes, sizeof bytes);
                HOLDS(i, !stamp_read(&out, bytes));
        }
}
END_TEST

/* CRC-64 of ECMA-182, reflected, bit by bit. */
static uint64_t slow_crc64(const uint8_t *bytes, size_t length) {
        uint64_t crc = UINT64_MAX;
        for (size_t i = 0; i < length; i++) {
                crc ^= bytes[i];
                for (int bit = 0; bit < 8; bit++)
                        crc = crc >> 1 ^ (crc & 1 ? UINT64_C(0xc96c5795d7870f42) : 0);
        }
        return ~crc;
}

static void put(uint8_t *to, uint64_t value) {
        for (int i = 0; i < 8; i++)
                to[i] = (uint8_t)(value >> (8 * i));
}

START_TEST(the_format_is_the_one_in_the_header) {
        ck_assert_uint_eq(slow_crc64((const uint8_t *)"123456789", 9), UINT64_C(0x995dc9bbdf1939fa)); /* as .xz */
        uint64_t state = 4;
        for (int i = 0; i < 100; i++) {
                struct stamp s = random_stamp(&state);
                uint8_t bytes[STAMP_BYTES],
                        expected[STAMP_BYTES] = { 'S', 'W', 'E', 'E', 'P', 'D', 1, (uint8_t)s.mode };
                put(expected + 8, s.target_id);
                put(expected + 16, s.offset_bytes);
                put(expected + 24, s.generation);
                put(expected + 32, s.nonce);
                put(expected + 40, s.started_us);
                put(expected + 56, slow_crc64(expected, 56));
                stamp_write(bytes, &s);
                HOLDS(i, memcmp(bytes, expected, sizeof bytes) == 0);
        }
}
END_TEST

START_TEST(a_mark_gives_its_offset_back) {
        uint64_t state = 5;
        for (int i = 0; i < 100000; i++) {
                uint64_t nonce = suite_random(&state), offset = (suite_random(&state) >> 10) * SECTOR_BYTES;
                HOLDS(i, stamp_mark_offset(nonce, stamp_mark(nonce, offset)) == offset);
        }
        ck_assert_uint_eq(stamp_mark_offset(9, stamp_mark(9, 0)), 0);
        ck_assert_uint_eq(stamp_mark_offset(9, stamp_mark(9, UINT64_MAX - 511)), UINT64_MAX - 511);
}
END_TEST

START_TEST(a_mark_of_another_nonce_names_no_place_on_a_real_disk) {
        uint64_t state = 6;
        for (int i = 0; i < 100000; i++) {
                uint64_t mark = stamp_mark(suite_random(&state), (suite_random(&state) >> 40) * SECTOR_BYTES);
                HOLDS(i, stamp_mark_offset(suite_random(&state), mark) > UINT64_C(1) << 40);
        }
}
END_TEST

/* Wherever a read begins: what it did not transfer can't be taken for right, unit by unit, or sector by sector. */
START_TEST(destroyed_bytes_are_never_verified) {
        struct generations g;
        generations_init(&g, 7);
        struct expectation e = expecting(&g.of[0]);
        enum { LENGTH = 4 * UNIT_BYTES };
        uint8_t bytes[LENGTH];
        for (uint64_t offset = 0; offset < UNIT_BYTES; offset += SECTOR_BYTES) {
                uint64_t bad;
                size_t heads = 4; /* a read of four units' length meets four, wherever it begins */
                content_fill(&g.of[0], bytes, offset, LENGTH);
                stamp_destroy(bytes, offset, LENGTH, false);
                HOLDS(offset, expectation_check(&e, bytes, offset, LENGTH, &bad) == heads);
                content_fill(&g.of[0], bytes, offset, LENGTH);
                stamp_destroy(bytes, offset, LENGTH, true);
                for (size_t at = 0; at < LENGTH; at += SECTOR_BYTES)
                        HOLDS(offset, !expectation_has_sector(&e, bytes + at, offset + at));
        }
        generations_deinit(&g);
}
END_TEST

int main(void) {
        TCase *t = tcase_create("stamp");
        tcase_add_test(t, what_is_written_is_read);
        tcase_add_test(t, a_stamp_with_any_bit_flipped_is_never_read);
        tcase_add_test(t, noise_and_zeros_are_never_a_stamp);
        tcase_add_test(t, the_format_is_the_one_in_the_header);
        tcase_add_test(t, a_mark_gives_its_offset_back);
        tcase_add_test(t, a_mark_of_another_nonce_names_no_place_on_a_real_disk);
        tcase_add_test(t, destroyed_bytes_are_never_verified);
        return suite_run("stamp", t);
}
