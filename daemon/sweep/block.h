/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block: one I/O's worth of memory and where it stands in its life. The pool is fixed: all memory is taken when a sweep
 * starts, page-aligned. Write blocks are never read into; read blocks are never written from. State diagram in
 * ARCHITECTURE.md.
 */
#pragma once

#include "media/engine.h"
#include "sweep/verify.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum block_phase {
        BLOCK_FREE,
        BLOCK_IN_FLIGHT, /* the engine has it */
        BLOCK_ARRIVED,   /* read, not yet judged */
        BLOCK_VERIFYING, /* the verifier has it */
        BLOCK_DOUBTED,   /* wrong bytes: waits for the ladder, or is on it */
        BLOCK_FAILED,    /* waits to be narrowed and judged in parts, or is on that way */
        BLOCK_PHASE_COUNT
};

struct block {
        enum block_phase phase;
        bool is_write;
        uint8_t *bytes;
        uint64_t offset_bytes;
        uint32_t length_bytes;
        uint32_t done_bytes;     /* of a short completion */
        unsigned tries;          /* after errors that are ours */
        uint64_t latency_us;     /* of its slowest request */
        int error;               /* BLOCK_FAILED: what the kernel said, positive errno */
        const void *filled_with; /* write blocks: the table that fills it */
        uint64_t filled_at;      /* and from where in it */
        struct engine_io io;
        struct expectation expectation;
        struct verify_job job;
        struct block *next; /* in the list that it is in */
};

/* Checks that the step is one of the diagram. */
void block_enter(struct block *b, enum block_phase next);

struct block_pool;

/*
 * read_count, write_count: blocks; block_bytes: a multiple of UNIT_BYTES. The write blocks are kept in `classes` lists,
 * class = (offset / block_bytes) mod classes, so that a free one already holds the right part of the table.
 */
int block_pool_new(struct block_pool **ret, size_t read_count, size_t write_count, uint32_t block_bytes);

/* Every block must be free. Accepts NULL; returns NULL. */
struct block_pool *block_pool_free(struct block_pool *pool);

/* NULL: none is free. */
struct block *block_pool_take_read(struct block_pool *pool);
struct block *block_pool_take_write(struct block_pool *pool, uint64_t offset_bytes);

void block_pool_give_back(struct block_pool *pool, struct block *b);

/* All blocks, for looking through those that are out. */
size_t block_pool_count(const struct block_pool *pool);
struct block *block_pool_at(struct block_pool *pool, size_t index);
