/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that is told from bytes rests on the table being the same on every machine and different for each nonce,
 * and on sectors that are never alike: two that were would hide a misdirected write for ever.
 */
#include "base/cleanup.h"
#include "generation.h"
#include "sweep/layout.h"

#include <signal.h>
#include <string.h>

START_TEST(unmix_undoes_mix) {
        uint64_t state = 1;
        const uint64_t edges[] = { 0, 1, 2, UINT64_MAX, UINT64_MAX - 1, BIT(63), BIT(31), BIT(32), BIT(30), BIT(27) };
        for (size_t i = 0; i < ELEMENTS(edges); i++)
                ck_assert_uint_eq(layout_unmix(layout_mix(edges[i])), edges[i]);
        for (int i = 0; i < 1000000; i++) {
                uint64_t z = suite_random(&state);
                HOLDS(i, layout_unmix(layout_mix(z)) == z);
                HOLDS(i, layout_mix(layout_unmix(z)) == z);
        }
}
END_TEST

START_TEST(a_table_is_the_same_for_the_same_nonce_and_in_every_cache) {
        struct table_cache *a, *b;
        ck_assert_int_eq(table_cache_new(&a, 2), 0);
        ck_assert_int_eq(table_cache_new(&b, 1), 0);
        struct table *first = table_cache_get(a, 7), *other = table_cache_get(a, 8), *again = table_cache_get(b, 7);
        ck_assert(memcmp(first->bytes, again->bytes, TABLE_BYTES) == 0);
        size_t same = 0;
        for (size_t i = 0; i < TABLE_BYTES; i++)
                same += first->bytes[i] == other->bytes[i];
        ck_assert_uint_lt(same, TABLE_BYTES / 256 + TABLE_BYTES / 1024); /* one byte in 256, by chance */
        table_unref(first);
        table_unref(other);
        table_unref(again);
        table_cache_free(a);
        table_cache_free(b);
}
END_TEST

/* What is on disks must be read by every later version. The first words of splitmix64 that starts at mix(~7). */
START_TEST(the_bytes_of_a_table_never_change) {
        struct table_cache *cache;
        ck_assert_int_eq(table_cache_new(&cache, 1), 0);
        struct table *t = table_cache_get(cache, 7);
        uint64_t state = layout_mix(~UINT64_C(7));
        for (size_t i = 0; i < TABLE_BYTES / 8; i++) {
                uint64_t word = suite_random(&state);
                for (size_t k = 0; k < 8; k++)
                        HOLDS(i, t->bytes[8 * i + k] == (uint8_t)(word >> (8 * k)));
        }
        table_unref(t);
        table_cache_free(cache);
}
END_TEST

START_TEST(a_table_in_use_is_never_replaced_and_one_that_is_not_may_be) {
        struct table_cache *cache;
        ck_assert_int_eq(table_cache_new(&cache, 2), 0);
        struct table *one = table_cache_get(cache, 1), *two = table_cache_get(cache, 2);
        ck_assert_ptr_null(table_cache_get(cache, 3));
        ck_assert_ptr_eq(table_cache_get(cache, 1), one);
        table_unref(one);
        ck_assert_ptr_null(table_cache_get(cache, 3)); /* there is a second reference */
        table_unref(one);
        struct table *three = table_cache_get(cache, 3);
        ck_assert_ptr_nonnull(three);
        ck_assert_uint_eq(three->nonce, 3);
        ck_assert_uint_eq(two->nonce, 2);
        table_unref(two);
        table_unref(three);
        ck_assert_ptr_null(table_unref(NULL));
        table_cache_free(cache);
        ck_assert_ptr_null(table_cache_free(NULL));
}
END_TEST

START_TEST(a_cache_with_a_table_in_use_cannot_be_freed) {
        struct table_cache *cache;
        ck_assert_int_eq(table_cache_new(&cache, 1), 0);
        table_cache_get(cache, 1);
        table_cache_free(cache);
}
END_TEST

static int compare_sectors(const void *a, const void *b) {
        return memcmp(*(uint8_t *const *)a, *(uint8_t *const *)b, SECTOR_BYTES);
}

/* Over three tables' length, so that each place of the table is used three times, in two generations. */
START_TEST(no_two_sectors_are_alike) {
        enum { SPAN = 3 * TABLE_BYTES, SECTORS = 2 * SPAN / SECTOR_BYTES };
        struct generations g;
        generations_init(&g, 11);
        uint8_t *bytes = malloc(2 * SPAN);
        uint8_t **sectors = calloc(SECTORS, sizeof(uint8_t *));
        ck_assert(bytes && sectors);
        content_fill(&g.of[0], bytes, 0, SPAN);
        content_fill(&g.of[1], bytes + SPAN, 0, SPAN);
        for (size_t i = 0; i < SECTORS; i++)
                sectors[i] = bytes + i * SECTOR_BYTES;
        qsort((void *)sectors, SECTORS, sizeof *sectors, compare_sectors);
        for (size_t i = 1; i < SECTORS; i++)
                HOLDS(i, memcmp(sectors[i - 1], sectors[i], SECTOR_BYTES) != 0);
        free((void *)sectors);
        free(bytes);
        generations_deinit(&g);
}
END_TEST

int main(void) {
        TCase *t = tcase_create("layout");
        tcase_add_test(t, unmix_undoes_mix);
        tcase_add_test(t, a_table_is_the_same_for_the_same_nonce_and_in_every_cache);
        tcase_add_test(t, the_bytes_of_a_table_never_change);
        tcase_add_test(t, a_table_in_use_is_never_replaced_and_one_that_is_not_may_be);
        tcase_add_test_raise_signal(t, a_cache_with_a_table_in_use_cannot_be_freed, SIGABRT);
        tcase_add_test(t, no_two_sectors_are_alike);
        return suite_run("layout", t);
}
