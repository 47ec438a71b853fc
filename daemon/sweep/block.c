/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A buffer that is reused too early is the classic way to verify garbage against garbage: a block changes hands only by
 * block_enter(), which knows the allowed steps. Filling a write buffer from the table costs as much as writing it to a
 * fast disk, so write blocks are sorted by the part of the table that they hold.
 */
#include "sweep/block.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const uint64_t next_phases[BLOCK_PHASE_COUNT] = {
        [BLOCK_FREE] = BIT(BLOCK_IN_FLIGHT),
        [BLOCK_IN_FLIGHT] = BIT(BLOCK_FREE) | BIT(BLOCK_ARRIVED) | BIT(BLOCK_FAILED),
        [BLOCK_ARRIVED] = BIT(BLOCK_FREE) | BIT(BLOCK_VERIFYING) | BIT(BLOCK_FAILED),
        [BLOCK_VERIFYING] = BIT(BLOCK_FREE) | BIT(BLOCK_DOUBTED),
        [BLOCK_DOUBTED] = BIT(BLOCK_FREE),
        [BLOCK_FAILED] = BIT(BLOCK_FREE),
};

struct block_pool {
        size_t count;
        size_t read_count;
        size_t classes;
        uint32_t block_bytes;
        uint8_t *memory;
        struct block *free_read;
        struct block **free_write; /* a list for each class */
        struct block blocks[];
};

void block_enter(struct block *b, enum block_phase next) {
        assert(b->phase < BLOCK_PHASE_COUNT);
        assert(next_phases[b->phase] & BIT(next));
        b->phase = next;
}

static void push(struct block **list, struct block *b) {
        b->next = *list;
        *list = b;
}

static struct block *pop(struct block **list) {
        struct block *b = *list;
        if (b)
                *list = b->next;
        return b;
}

static struct block **write_list(struct block_pool *pool, uint64_t offset_bytes) {
        return &pool->free_write[offset_bytes / pool->block_bytes % pool->classes];
}

DEFINE_FREEP(struct block_pool, block_pool_free, block_pool_freep)

int block_pool_new(struct block_pool **ret, size_t read_count, size_t write_count, uint32_t block_bytes) {
        assert(block_bytes % UNIT_BYTES == 0 && block_bytes <= BLOCK_BYTES_MAX);
        size_t classes = block_bytes < TABLE_BYTES ? TABLE_BYTES / block_bytes : 1;
        if (write_count > 0) /* as many of each class */
                write_count = (write_count + classes - 1) / classes * classes;
        size_t count = read_count + write_count;
        CLEANUP(block_pool_freep)
        struct block_pool *pool = calloc(1, sizeof *pool + count * sizeof pool->blocks[0]);
        if (!pool)
                return -ENOMEM;
        pool->free_write = calloc(classes, sizeof(struct block *));
        pool->memory = aligned_alloc(UNIT_BYTES, count * (size_t)block_bytes);
        if (!pool->free_write || !pool->memory)
                return -ENOMEM;
        pool->read_count = read_count;
        pool->classes = classes;
        pool->block_bytes = block_bytes;
        pool->count = count;
        memset(pool->memory, 0, count * (size_t)block_bytes); /* page faults now, not in the hot path */
        for (size_t i = count; i > 0; i--) {
                struct block *b = &pool->blocks[i - 1];
                b->bytes = pool->memory + (i - 1) * (size_t)block_bytes;
                b->is_write = i > read_count;
                push(b->is_write ? &pool->free_write[(i - 1 - read_count) % classes] : &pool->free_read, b);
        }
        *ret = STEAL(pool);
        return 0;
}

struct block_pool *block_pool_free(struct block_pool *pool) {
        if (!pool)
                return NULL;
        for (size_t i = 0; i < pool->count; i++)
                assert(pool->blocks[i].phase == BLOCK_FREE);
        free(pool->memory);
        free((void *)pool->free_write);
        free(pool);
        return NULL;
}

struct block *block_pool_take_read(struct block_pool *pool) {
        return pop(&pool->free_read);
}

struct block *block_pool_take_write(struct block_pool *pool, uint64_t offset_bytes) {
        return pop(write_list(pool, offset_bytes));
}

void block_pool_give_back(struct block_pool *pool, struct block *b) {
        block_enter(b, BLOCK_FREE);
        push(b->is_write ? write_list(pool, b->offset_bytes) : &pool->free_read, b);
}

size_t block_pool_count(const struct block_pool *pool) {
        return pool->count;
}

struct block *block_pool_at(struct block_pool *pool, size_t index) {
        assert(index < pool->count);
        return &pool->blocks[index];
}
