/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper_private: what the files of the keeper share. keeper.c has the slots and their steps, keeper_io.c the way of a
 * request, keeper_judge.c what is made of the bytes.
 */
#pragma once

#include "sweep/keeper.h"
#include "sweep/pieces.h"
#include "sweep/sweep_private.h"
#include "sweep/undo_layout.h"

enum keep_step {
        KEEP_FREE,          /* the slot holds nothing */
        KEEP_SAVE,          /* the target is read, and written to the journal */
        KEEP_SEAL,          /* the table of what was saved is written */
        KEEP_SEAL_FLUSH,    /* of the journal */
        KEEP_READ_BACK,     /* what was saved is read from the journal */
        KEEP_READ_TABLE,    /* and its table */
        KEEP_ARM,           /* the marker is written */
        KEEP_ARM_FLUSH,     /* of the journal */
        KEEP_ARM_CHECK,     /* the marker is read back */
        KEEP_ARMED,         /* waits for its turn on the target */
        KEEP_COMPARE,       /* the target still holds what was saved */
        KEEP_WRITE,         /* preserve: the pattern */
        KEEP_WRITE_FLUSH,   /* of the target */
        KEEP_VERIFY,        /* of the pattern */
        KEEP_RESTORE,       /* the originals are read from the journal and written */
        KEEP_RESTORE_FLUSH, /* of the target */
        KEEP_CHECK,         /* of the originals */
        KEEP_DISARM,        /* the marker is written once more: free, or pinned */
        KEEP_DISARM_FLUSH,  /* of the journal */
        KEEP_LEFT,          /* armed, and nothing more is done: recovery's */
        KEEP_STEP_COUNT
};

enum { RESTORE_TRIES_MAX = 3, SECOND_LOOKS_MAX = 1024, JOURNAL_TURNS = 8 };

struct keep_slot {
        unsigned index;
        enum keep_step step;
        struct extent place;     /* on the target */
        struct undo_table table; /* absent: never written, and not in the journal */
        uint64_t *zero;       /* absent, as they are zeros on a device that discards; a bit for each unit, as below */
        uint64_t *bad;        /* could not be read or written in the pass: not judged in it */
        uint64_t *unseen;     /* COMPARE could not read it: looked at once more, right before its original goes there */
        uint64_t *unverified; /* VERIFY could not: the same */
        uint64_t *unwritten;  /* the original could not be written: CHECK tells whether it is there all the same */
        size_t present;       /* units that are not absent */
        struct undo_marker marker; /* as it was last written, or is being written */
        unsigned copy;             /* of the marker, that is written next or now */
        unsigned copies_left;      /* to be written of this marker */
        uint64_t cursor;           /* of the step's stretch, bytes from its beginning */
        unsigned blocks_out;
        struct engine_io flush;
        bool flushing;
        int flush_error;
        unsigned flush_tries;     /* after errors that are ours */
        bool unflushed;           /* a flush of the target failed, and none after it was for all of the segment */
        unsigned restore_tries;   /* how often the originals were written, and could not be flushed */
        bool written;             /* its segment may not be what it was */
        uint64_t own_bytes;       /* that were written to the target since `before` was taken */
        struct uncounted counted; /* of this segment; its region is that of the segment's beginning */
        struct engine_look before;
        bool left_unwritten;    /* some unit is `unwritten` */
        bool mismatched;        /* VERIFY read, for good, what we never wrote: damage, or somebody's */
        bool strange;           /* some of it looks like somebody's data */
        struct extent doubtful; /* the first of it */
        bool uncertain;         /* a write failed: the kernel's count can't be compared with ours */
        bool incomplete;        /* somebody may have written without being counted */
};

/* A block is one stretch of a step, and has at most one request out. */
struct keep_block {
        struct keep_slot *slot; /* NULL: free */
        uint8_t *bytes;
        uint64_t at; /* in the step's stretch */
        uint32_t length_bytes;
        bool second;     /* the second of the step's two requests: what was read is being written */
        bool looks;      /* what of it is unseen is looked at on the target */
        bool on_journal; /* where its request is */
        uint32_t run_at; /* what is being read or written of the block */
        uint32_t run_bytes;
        uint32_t done_bytes; /* of the run */
        unsigned tries;      /* after errors that are ours */
        int error;           /* that is being narrowed; positive errno */
        struct engine_io io;
        struct keep_block *next; /* in the list that it is in */
};

/* Units whose bytes were wrong, or could not be compared, are read once more, to another place; one at a time. */
struct keep_doubt {
        struct keep_block *first, *last; /* these wait */
        struct keep_block *block;        /* NULL: none */
        uint64_t bad[VERIFY_WORDS];      /* units that were wrong, or are looked at, of the block */
        uint32_t piece_at, piece_bytes;  /* a look: the logical block of the unit, where that can't be read; 0: all */
        bool differed;                   /* in a look: the piece is read once more, before that counts */
        bool waits;                      /* it did so again: judged when nothing of ours is out any more */
        uint8_t strange[UNIT_BYTES];     /* the pattern of its unit, with what differed in its place */
        uint32_t unit;                   /* that is being read again, to `bytes` */
        uint8_t *bytes;
        uint32_t done_bytes;
        unsigned looks; /* so far */
        bool out;
        struct engine_io io;
};

struct keep_narrowing {
        struct keep_block *first, *last;
        struct keep_block *block;
        struct pieces pieces;
        struct extent piece; /* bytes from the block's beginning */
        bool out, found;
        /* An original that could not be written, and time is up: what of the piece bears the pattern is written. */
        bool looking, mending;
        uint8_t *there;     /* what the target has; of the block's size, laid out as the block */
        struct extent mend; /* the part of the piece that is being written */
        uint64_t singly;    /* up to here by logical blocks, after an error */
        unsigned tries;
        uint64_t spent_us;
        struct engine_io io;
};

struct keep_lane { /* one an engine */
        struct engine *engine;
        unsigned depth, in_flight;
        struct engine_io **unsent; /* ring */
        size_t first, count, room;
};

enum { LANE_TARGET, LANE_JOURNAL, LANE_COUNT };

struct keeper {
        struct sweep *s;
        struct keep_lane lanes[LANE_COUNT];
        struct keep_slot slots[UNDO_SLOTS];
        struct keep_slot *owner;   /* who does I/O on the target; NULL: nobody */
        struct keep_slot *turn;    /* whose data the journal is reading or writing; NULL: nobody's yet */
        uint64_t turn_bytes;       /* in this turn, so far */
        uint64_t next_offset;      /* of the next segment */
        uint64_t reached;          /* all before it is done */
        uint64_t sequence, record; /* the last ones that were used */
        bool stopping;
        bool journal_failed;
        bool foreign;                /* somebody else wrote to the target, */
        bool suspected;              /* or may have: only what was read speaks for it */
        struct extent foreign_place; /* there, as far as it is known */
        size_t block_count;
        struct keep_block *blocks;
        uint8_t *memory;
        struct keep_block *free_blocks;
        struct keep_narrowing narrow;
        struct keep_doubt doubt;
};

static inline bool keep_bit(const uint64_t *bits, size_t i) {
        return bits[i / 64] >> (i % 64) & 1;
}

static inline void keep_set_bit(uint64_t *bits, size_t i) {
        bits[i / 64] |= BIT(i % 64);
}

/* keeper.c */
void keep_journal_failed(struct keeper *k, const char *what, int error);
void keep_foreign(struct keeper *k, struct extent place);
void keep_suspect(struct keeper *k, struct extent place);
void keep_leave_armed(struct keeper *k, struct keep_slot *slot);
uint64_t keep_others_wrote(struct keeper *k, struct keep_slot *slot); /* bytes, since COMPARE; 0 also for unknown */
bool keep_counts_all(const struct keep_slot *slot); /* as of the last time that was asked: 0 means that nobody wrote */
bool keep_is_damage(struct keeper *k, struct keep_slot *slot); /* what was read in place of the pattern; or nobody's */

/* keeper_io.c */
int keep_io_init(struct keeper *k);
void keep_io_deinit(struct keeper *k);
bool keep_io_has_room(const struct keeper *k, const struct keep_slot *slot); /* for a block of its step */
void keep_io_begin(struct keeper *k, struct keep_slot *slot, uint64_t at, uint32_t length_bytes);
void keep_io_flush(struct keeper *k, struct keep_slot *slot, unsigned lane);
bool keep_io_pump(struct keeper *k);
bool keep_io_submit(struct keeper *k);
bool keep_io_idle(const struct keeper *k);
void keep_block_done(struct keeper *k, struct keep_block *b);
void keep_next_run(struct keeper *k, struct keep_block *b, enum engine_op op);
void keep_io_request(
        struct keeper *k, struct keep_block *b, unsigned lane, enum engine_op op, uint32_t at, uint32_t length_bytes);

/* keeper_judge.c */
struct extent keep_block_place(const struct keep_block *b); /* on the target */
void keep_arrived(struct keeper *k, struct keep_block *b);  /* a request of the block is done, as a whole */
void keep_make_bytes(struct keeper *k, struct keep_block *b);
void keep_bad_piece(struct keeper *k, struct keep_block *b, struct extent piece);
void keep_judge(struct keeper *k, struct keep_block *b); /* all that a step asks of the block has been done */
void keep_recheck(struct keeper *k);
bool keep_judge_again(struct keeper *k, bool failed); /* true: that was the last look at the unit */
bool keep_judge_strange(struct keeper *k);            /* the same */
bool keep_may_be_unseen(const struct keep_block *b);
void keep_judge_end(struct keeper *k, struct keep_block *b);
void keep_settle(struct keeper *k, struct keep_slot *slot, enum persistence persistence);
