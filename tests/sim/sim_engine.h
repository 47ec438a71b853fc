/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_engine: a disk behind the engine's seam. Requests come back in any order, short, late or failed. It asserts what
 * a sweep owes to an engine: alignment, depth, hands off of buffers in flight, and above all what may be written when.
 */
#pragma once

#include "books.h"
#include "disk.h"
#include "lateness.h"
#include "media/engine.h"
#include "oracle.h"
#include "others.h"

enum { FLIGHTS_MAX = 64 };

struct flight {
        struct engine_io *io;
        uint64_t due_us;
        uint64_t sum; /* of the buffer when it was submitted */
        enum layer layer;
};

struct sim_engine {
        struct engine engine;
        struct disk *disk;
        struct books *books;
        struct oracle *oracle;
        struct chance *chance;
        const struct sweep *sweep;
        uint64_t now_us;
        unsigned depth;
        uint64_t latency_us; /* at most */
        unsigned slow_one_in, short_one_in, odd_one_in, refuse_one_in;
        struct lateness lateness;
        struct others others;
        bool dead; /* the process was killed: nothing reaches the disk */
        struct engine_look look;
        bool look_changed;
        bool yields;     /* it is told to */
        bool *unflushed; /* by sector: written since the last flush */
        uint64_t submitted;
        bool resting;            /* the sweep was told to pause */
        uint64_t read_end_bytes; /* of what a pass that only reads has sent */
        unsigned pass;           /* of the books, when it wrote last */
        size_t flight_count;
        struct flight flights[FLIGHTS_MAX];
};

void sim_engine_init(
        struct sim_engine *e, struct disk *disk, struct books *books, struct oracle *oracle, struct chance *chance);
void sim_engine_deinit(struct sim_engine *e);
void sim_engine_begin_sweep(struct sim_engine *e, unsigned depth);

/* When the next request is due; UINT64_MAX: none is in flight. */
uint64_t sim_engine_next_us(const struct sim_engine *e);

/* The process dies: of the writes in flight, any sectors may have reached the disk. */
void sim_engine_crash(struct sim_engine *e);
