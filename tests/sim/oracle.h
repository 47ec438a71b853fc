/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oracle: knows, from what the disk did and what the ledger held, what a sweep must report, what it may report, and
 * what would be a lie. It never looks at bytes, only at tags, so it shares no code with what it judges.
 */
#pragma once

#include "books.h"
#include "disk.h"
#include "lateness.h"
#include "sweep/sweep.h"

/* Who asked for an I/O. */
enum layer { LAYER_SAMPLE, LAYER_CHECK, LAYER_WRITE, LAYER_READ, LAYER_COUNT }; /* read: also reading back */

enum outcome {
        OUTCOME_NONE,
        OUTCOME_GOOD,
        OUTCOME_BAD,   /* a request of a single logical block failed */
        OUTCOME_COARSE /* a larger one failed, and nothing smaller was tried since */
};

enum { AGAIN_MAX = 2 };

/* What became of a sector in a layer. Wrong bytes are read again, and read back: that is kept apart. */
struct note {
        struct tag tag; /* as it was delivered */
        struct tag again[AGAIN_MAX];
        uint8_t delivered; /* how often */
        uint8_t outcome;
        bool failed;       /* ever, but for being tried again */
        bool again_failed; /* reading, writing or flushing it once more */
        bool again_missed; /* that was so before any of it was delivered */
        bool partly;       /* delivered by a request that came back short */
        bool varied;       /* of the sample: delivered twice, and not alike */
};

enum { FLUSH_FAILURES_MAX = 1024 };

/* A flush of a segment, and what became of flushing it once more. */
struct flush_failure {
        struct extent segment;
        bool tried, failed_again;
};

/* What trying again cost: past a limit the rest need not be tried. */
struct effort {
        unsigned reads;
        uint64_t spent_us;
};

struct oracle {
        const struct disk *disk;
        const struct history *history;
        const struct books *books;
        const struct lateness *lateness;
        uint32_t block_bytes;
        enum sweep_mode mode;
        bool overwrite;
        bool has_event;        /* the device changes in the middle, so errors need not be told */
        struct extent extent;  /* that is swept */
        struct extent suspect; /* length 0: none; anywhere on the disk */
        struct known *before;  /* what the ledger knew when the sweep began */
        uint64_t target_id, last_generation;
        size_t range_count;
        size_t past_count;
        uint8_t past[TARGET_PAST_MAX]; /* generations that the ledger knew by name */
        bool knows_stamps;             /* the ledger knew of stamps in the extent */
        struct extent past_extents[TARGET_PAST_MAX];
        struct note *notes[LAYER_COUNT];
        size_t flush_failure_count;
        struct flush_failure flush_failures[FLUSH_FAILURES_MAX];
        uint64_t budget_us;
        struct effort ladder[LAYER_COUNT]; /* write: with read, whose rungs it is */
        struct effort narrowing;
        unsigned ours;     /* failures for want of our own resources */
        int fatal_error;   /* an errno that must end the sweep was handed up */
        bool look_failed;  /* the device was looked at, and was no longer what it was */
        bool writes;       /* any write was submitted */
        bool rewriting;    /* what was read back wrong is being written once more */
        bool reread;       /* anything was */
        bool has_patience; /* time for trying again, more than enough */
};

void oracle_init(struct oracle *o, const struct disk *disk, const struct history *history, const struct books *books);
void oracle_deinit(struct oracle *o);
/* The books have begun it. */
void oracle_begin_sweep(
        struct oracle *o, enum sweep_mode mode, bool overwrite, struct extent suspect, uint64_t budget_us);

/* A request for a place that is none of the sweep's business ends the process. */
void oracle_check_place(const struct oracle *o, enum layer layer, struct extent place);

/* The next of several passes that write: what was noted of the one before is judged by others, or not at all. */
void oracle_begin_pass(struct oracle *o);

/* The layer that a request of this kind belongs to now. */
enum layer oracle_layer(const struct oracle *o, bool is_write);

void oracle_delivered(struct oracle *o, enum layer layer, uint64_t sector, struct tag tag, bool partly);
void oracle_failed(struct oracle *o, enum layer layer, struct extent place, int error);
void oracle_flushed(struct oracle *o);
void oracle_flush_failed(struct oracle *o, int error);

/* A request is about to have its effect, so long after it was sent. length 0: a flush. */
void oracle_spent(struct oracle *o, enum layer layer, struct extent place, uint64_t us);

/* The sweep has ended: everything is as it must be, or the process ends. */
void oracle_judge(struct oracle *o, const struct sweep *sweep);
