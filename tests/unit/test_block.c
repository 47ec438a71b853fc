/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The phases are the guard against a buffer that is used by two at a time, so every step that is not in the diagram
 * must end the process, and every step that is must not.
 */
#include "base/cleanup.h"
#include "generation.h"
#include "sweep/block.h"

#include <signal.h>
#include <string.h>

static const bool allowed[BLOCK_PHASE_COUNT][BLOCK_PHASE_COUNT] = {
        [BLOCK_FREE] = { [BLOCK_IN_FLIGHT] = true },
        [BLOCK_IN_FLIGHT] = { [BLOCK_FREE] = true, [BLOCK_ARRIVED] = true, [BLOCK_FAILED] = true },
        [BLOCK_ARRIVED] = { [BLOCK_FREE] = true, [BLOCK_VERIFYING] = true, [BLOCK_FAILED] = true },
        [BLOCK_VERIFYING] = { [BLOCK_FREE] = true, [BLOCK_DOUBTED] = true },
        [BLOCK_DOUBTED] = { [BLOCK_FREE] = true },
        [BLOCK_FAILED] = { [BLOCK_FREE] = true },
};

START_TEST(a_step_of_the_diagram_is_taken) {
        struct block b = { .phase = (enum block_phase)(_i / BLOCK_PHASE_COUNT) };
        enum block_phase next = (enum block_phase)(_i % BLOCK_PHASE_COUNT);
        if (!allowed[b.phase][next])
                return;
        block_enter(&b, next);
        ck_assert_int_eq(b.phase, next);
}
END_TEST

START_TEST(any_other_step_ends_the_process) {
        struct block b = { .phase = (enum block_phase)(_i / BLOCK_PHASE_COUNT) };
        enum block_phase next = (enum block_phase)(_i % BLOCK_PHASE_COUNT);
        if (allowed[b.phase][next])
                abort(); /* not asked here */
        block_enter(&b, next);
}
END_TEST

START_TEST(a_pool_with_a_block_out_cannot_be_freed) {
        struct block_pool *pool;
        ck_assert_int_eq(block_pool_new(&pool, 1, 0, UNIT_BYTES), 0);
        block_enter(block_pool_take_read(pool), BLOCK_IN_FLIGHT);
        block_pool_free(pool);
}
END_TEST

START_TEST(each_block_has_memory_of_its_own_aligned_to_a_page) {
        enum { BLOCK = 2 * UNIT_BYTES, READS = 5 };
        struct block_pool *pool;
        ck_assert_int_eq(block_pool_new(&pool, READS, 1, BLOCK), 0);
        size_t count = block_pool_count(pool);
        for (size_t i = 0; i < count; i++) {
                ck_assert_uint_eq((uintptr_t)block_pool_at(pool, i)->bytes % UNIT_BYTES, 0);
                memset(block_pool_at(pool, i)->bytes, (int)i, BLOCK);
        }
        for (size_t i = 0; i < count; i++)
                for (size_t at = 0; at < BLOCK; at++)
                        HOLDS(i, block_pool_at(pool, i)->bytes[at] == (uint8_t)i);
        block_pool_free(pool);
        ck_assert_ptr_null(block_pool_free(NULL));
}
END_TEST

START_TEST(read_and_write_blocks_never_mix) {
        struct block_pool *pool;
        ck_assert_int_eq(block_pool_new(&pool, 3, 2, BLOCK_BYTES_MAX), 0);
        for (int i = 0; i < 3; i++)
                ck_assert(!block_pool_take_read(pool)->is_write);
        ck_assert_ptr_null(block_pool_take_read(pool));
        for (int i = 0; i < 2; i++)
                ck_assert(block_pool_take_write(pool, 0)->is_write);
        ck_assert_ptr_null(block_pool_take_write(pool, BLOCK_BYTES_MAX));
        block_pool_free(pool);
}
END_TEST

static struct block *take(struct block_pool *pool, uint64_t offset) {
        struct block *b = block_pool_take_write(pool, offset);
        if (b) {
                block_enter(b, BLOCK_IN_FLIGHT);
                b->offset_bytes = offset;
        }
        return b;
}

/* What is taken for a place was filled for the same part of the table, or never. */
START_TEST(a_write_block_comes_back_for_the_part_of_the_table_that_it_holds) {
        for (uint64_t seed = 1; seed <= 100; seed++) {
                uint64_t state = seed;
                uint32_t block_bytes = UNIT_BYTES << suite_random(&state) % 8;
                uint64_t classes = TABLE_BYTES / block_bytes;
                struct block_pool *pool;
                ck_assert_int_eq(block_pool_new(&pool, 1, 1 + suite_random(&state) % 300, block_bytes), 0);
                struct block *out[64] = { 0 };
                for (int i = 0; i < 2000; i++) {
                        size_t slot = suite_random(&state) % ELEMENTS(out);
                        if (out[slot]) {
                                block_pool_give_back(pool, STEAL(out[slot]));
                                continue;
                        }
                        uint64_t offset = suite_random(&state) % 10000 * block_bytes;
                        struct block *b = take(pool, offset);
                        if (!b)
                                continue;
                        HOLDS(seed, !b->filled_with || b->filled_at == offset / block_bytes % classes);
                        b->filled_with = pool;
                        b->filled_at = offset / block_bytes % classes;
                        out[slot] = b;
                }
                for (size_t i = 0; i < ELEMENTS(out); i++)
                        if (out[i])
                                block_pool_give_back(pool, out[i]);
                block_pool_free(pool);
        }
}
END_TEST

START_TEST(every_class_has_a_write_block) {
        struct block_pool *pool;
        ck_assert_int_eq(block_pool_new(&pool, 1, 1, 64 << 10), 0);
        for (uint64_t i = 0; i < 16; i++)
                ck_assert_ptr_nonnull(block_pool_take_write(pool, i * (64 << 10)));
        block_pool_free(pool);
}
END_TEST

int main(void) {
        TCase *t = tcase_create("block");
        int steps = BLOCK_PHASE_COUNT * BLOCK_PHASE_COUNT;
        tcase_add_loop_test(t, a_step_of_the_diagram_is_taken, 0, steps);
        tcase_add_loop_test_raise_signal(t, any_other_step_ends_the_process, SIGABRT, 0, steps);
        tcase_add_test_raise_signal(t, a_pool_with_a_block_out_cannot_be_freed, SIGABRT);
        tcase_add_test(t, each_block_has_memory_of_its_own_aligned_to_a_page);
        tcase_add_test(t, read_and_write_blocks_never_mix);
        tcase_add_test(t, a_write_block_comes_back_for_the_part_of_the_table_that_it_holds);
        tcase_add_test(t, every_class_has_a_write_block);
        return suite_run("block", t);
}
