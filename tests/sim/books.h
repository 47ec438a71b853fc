/* SPDX-License-Identifier: Apache-2.0 */
/*
 * books: plays main and the ledger towards a sweep. What was made durable is kept twice: as the ranges that a sweep is
 * given when it starts, and sector by sector as the judge reads it.
 */
#pragma once

#include "chance.h"
#include "disk.h"
#include "report/ranges.h"
#include "sweep/sweep.h"

enum { REQUESTS_MAX = 16, RUNS_MAX = 4200 };

/* What a sector may hold: any of these; `settled`: nothing else. */
struct known {
        bool settled;
        bool forgotten; /* it was announced, and may hold too many */
        uint8_t count;
        uint8_t generations[TARGET_OVERLAP_MAX + 1]; /* indices into the history */
};

struct ledger {
        uint64_t target_id;
        uint64_t last_generation;
        struct ranges ranges;
        struct known *known; /* a sector each */
        size_t past_count;
        uint8_t past[TARGET_PAST_MAX]; /* indices into the history, the newest first */
        struct pattern_list past_patterns[TARGET_PAST_MAX];
        struct extent past_extents[TARGET_PAST_MAX];
        uint64_t past_written[TARGET_PAST_MAX];
};

struct request {
        struct news news;
        uint64_t durable_us, answer_us;
        bool durable;
};

struct books {
        struct news_port port;
        struct chance *chance;
        struct history *history;
        struct disk *disk;
        uint64_t now_us;
        uint64_t latency_us; /* of the ledger, at most */
        uint64_t full_until_us;
        unsigned full_one_in;
        unsigned fail_after; /* answers; 0: never */
        bool dead;           /* the process was killed: nothing more is heard */

        struct ledger ledger, old; /* old: a copy that may come back */
        size_t request_count;
        struct request requests[REQUESTS_MAX];

        /* of the sweep that runs */
        uint64_t sweep_id;
        struct extent extent;
        bool started, stamped, adopted, failed;
        uint64_t sequence, durable_sequence; /* of the last request; of the last that became durable */
        size_t generation;                   /* index of what it writes; 0: not yet */
        size_t stamped_as;                   /* index of its stamps; generation, but while it writes fixed patterns */
        struct pattern_list patterns;
        unsigned pass;      /* how many of them are over */
        bool *written_well; /* by sector: this sweep wrote it, and a flush succeeded since */
        struct extent segment;
        size_t run_count;
        struct news *runs; /* by fault_serial, the latest of each */
};

void books_init(struct books *b, struct chance *chance, struct history *history, struct disk *disk);
void books_deinit(struct books *b);

/* The ledger has that this generation of the history wrote everything, and the one before it before. */
void books_preload(struct books *b, size_t generation);

void books_begin_sweep(struct books *b, uint64_t sweep_id, struct extent extent);

/* It writes a fixed pattern. */
static inline bool books_is_fixed(const struct books *b) {
        return b->stamped && b->generation != b->stamped_as;
}

/* Heap, for sweep_options. */
struct target_record *books_target(const struct books *b);

/* What is due by now becomes durable and is answered. */
void books_work(struct books *b, struct sweep *sweep);

/* When the next answer is due; UINT64_MAX: none. */
uint64_t books_next_us(const struct books *b);

/* The process dies: some of what was asked for is durable, in order, the rest never will be. */
void books_crash(struct books *b);

void books_keep_copy(struct books *b);
void books_restore_copy(struct books *b);
void books_lose(struct books *b);
