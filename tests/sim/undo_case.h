/* SPDX-License-Identifier: Apache-2.0 */
/*
 * undo_case: a disk full of data, its undo journal, and how a sweep that keeps the data goes over it: all of it follows
 * from one number. And the two programs that are tried on it: the sweep, and the recovery after it.
 */
#pragma once

#include "crash_disk.h"
#include "sweep/recovery.h"
#include "sweep/sweep.h"

enum { NOTES_MAX = 64, FAULTS_MAX = 256 };

struct undo_case {
        uint64_t seed;
        uint64_t shape; /* cases of one shape have the same disk */
        enum sweep_mode mode;
        uint32_t block_bytes, logical_block_bytes, physical_block_bytes;
        uint64_t segment_bytes, size_bytes;
        unsigned depth;
        bool discards, any_order;
        enum sweep_order order; /* that comes at this pump; SWEEP_RUN: none */
        unsigned order_at;
        uint64_t fail_memory; /* the n-th allocation of the program fails; 0: none */
        uint64_t nonce;
        uint64_t narrow_budget_us;
        struct undo_head head;
        uint64_t sequence, record; /* of what the journal has seen before */
        struct image target, journal;
};

/* One of the small ones that are tried out in full; seeds beyond the number of shapes differ in order only. */
void undo_case_small(struct undo_case *c, uint64_t seed);
uint64_t undo_case_shapes(void);

/* A larger one, anything about it by chance. */
void undo_case_large(struct undo_case *c, uint64_t seed);

/* A world before anything has happened. */
void undo_case_begin(const struct undo_case *c, struct world *w);

static inline uint64_t undo_case_sectors(const struct undo_case *c) {
        return c->size_bytes / SECTOR_BYTES;
}

/* How a sweep ended. Faults are the last that was told of each. */
struct swept {
        bool begun; /* false: there was no memory */
        struct sweep_record record;
        unsigned left_armed;
        size_t fault_count;
        struct news faults[FAULTS_MAX];
};

/* until: an order that comes from outside, looked at before each pump; NULL: none but the case's own. */
void undo_sweep(
        const struct undo_case *c, struct world *w, enum sweep_order (*until)(struct world *w), struct swept *ret);

/* How it ended, and its faults, to the story. */
void undo_tell(const struct swept *swept);

struct recovered {
        int error; /* of recovery_new() */
        struct recovery_result result;
        size_t note_count;
        struct recovery_note notes[NOTES_MAX];
        bool notes_lost; /* there were more */
};

void undo_recover(const struct undo_case *c, struct world *w, bool alone, bool by_hand, struct recovered *ret);
