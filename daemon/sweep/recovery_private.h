/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recovery_private: what the files of recovery share. recovery.c has the slots and their phases, recovery_io.c the way
 * of a request, recovery_judge.c what is made of the bytes, recovery_shelf.c the copies of foreign bytes.
 */
#pragma once

#include "base/cleanup.h"
#include "sweep/content.h"
#include "sweep/recovery.h"

enum recovery_phase {
        RECOVERY_MARKERS,        /* both copies of each slot's are read */
        RECOVERY_TABLE,          /* of the next armed slot */
        RECOVERY_NOTE,           /* the markers are written: a flush of the target failed */
        RECOVERY_CLASSIFY,       /* the whole segment is looked at */
        RECOVERY_SHELF,          /* what is on the shelf is read, once */
        RECOVERY_COPY,           /* foreign bytes are written to the shelf, */
        RECOVERY_COPY_FLUSH,     /* made durable, */
        RECOVERY_DESCRIBE,       /* and only then described */
        RECOVERY_DESCRIBE_FLUSH, /* of the journal */
        RECOVERY_RESTORE,        /* originals are written */
        RECOVERY_FLUSH,          /* of the target */
        RECOVERY_CHECK,          /* of what was written */
        RECOVERY_CLOSE,          /* the marker is written: free, or pinned */
        RECOVERY_OVER,
        RECOVERY_PHASE_COUNT
};

enum {
        UNIT_DOUBT = 1,    /* not as the table says: the saved bytes are needed */
        UNIT_LOST = 2,     /* its original can't be put back */
        UNIT_BLIND = 4,    /* its page of the table can't be read */
        UNIT_UNJUDGED = 8, /* blind, and neither as saved nor pattern: left alone */
        UNIT_TOUCHED = 16, /* was pattern or unreadable, and is to be restored */
        UNIT_UNSHELVED = 32,
        UNIT_JOURNAL = 64 /* the error is the journal's */
};

/* What is known of a unit. The masks have a bit for each sector, and always those of whole logical blocks. */
struct recovery_unit {
        uint8_t restore; /* to be written; cleared when it has been read back right */
        uint8_t foreign;
        uint8_t unreadable;
        uint8_t strange; /* as an earlier look found it: who can't be read any more is foreign still */
        uint8_t flags;
        uint8_t error; /* the last one; positive errno */
};

enum lane_state { LANE_IDLE, LANE_READY, LANE_OUT };
enum lane_step { LANE_READ, LANE_SAVED, LANE_WRITE, LANE_DONE };

/* One stretch of the segment with its buffers, and at most one request. Lane 0 also makes the single requests. */
struct recovery_lane {
        struct engine_io io;
        enum lane_state state;
        bool is_single;
        bool on_journal;
        enum engine_op op;
        uint64_t origin; /* where `at` is counted from on the device */
        uint64_t at, to; /* what is left of the run */
        uint8_t *buffer; /* for the byte at buffer_at */
        uint64_t buffer_at;
        uint32_t limit;            /* of one request: after an error, units and then logical blocks go by themselves */
        unsigned tries, our_tries; /* of one piece; after errors that are the kernel's or ours */
        enum lane_step step;
        struct extent stretch; /* from the segment's beginning */
        uint64_t cursor;       /* where the next run is looked for */
        bool again;            /* what looked wrong is read once more */
        uint8_t *found, *saved;
};

struct recovery_slot {
        struct undo_marker marker; /* the copy that counts, */
        unsigned copy;             /* and which one that is */
        bool valid;
        int error; /* of a copy that can't be read */
};

enum shelf_state { SHELF_EMPTY, SHELF_USED, SHELF_NEW, SHELF_BAD };

struct recovery_shelf {
        bool is_read;
        bool failed; /* a copy of this slot's foreign bytes could not be made durable */
        size_t empty;
        struct {
                enum shelf_state state;
                struct undo_shelved shelved;
        } entries[UNDO_SHELF_UNITS];
};

struct recovery {
        struct recovery_options o;
        struct recovery_result result;
        enum recovery_phase phase;
        bool stopped; /* nothing is submitted any more */
        uint64_t diskseq;
        struct engine_look before; /* what the kernel had counted when recovery began */
        unsigned out[2];           /* requests, to the target and to the journal */

        struct recovery_slot slots[UNDO_SLOTS];
        struct recovery_slot *todo[UNDO_SLOTS]; /* the older one first */
        size_t todo_count, todo_next;

        struct recovery_slot *slot;   /* that is being recovered */
        struct recovery_slot *noting; /* whose marker is written in NOTE */
        struct undo_table table;
        struct recovery_unit *units;
        struct table_cache *tables;
        struct table *pattern; /* NULL: none was written */
        struct content content;
        uint64_t table_crc;
        size_t table_bad; /* pages */
        bool table_again;
        int table_error;
        bool foreign_met; /* somewhere in the segment */
        bool changed;     /* the target is no longer as it was classified */
        unsigned restarts, rounds;
        int flush_error;
        bool lost_a_flush;   /* of the segment, and it is not told yet: this recovery, or one that was cut short */
        int unflushed_error; /* why; 0: that is not known */

        size_t index; /* of the phase: how many requests it has made, or where it is */
        bool asked;   /* of the phase: it has made a request */
        int single_error;
        enum { COPY_SEARCHING, COPY_READING, COPY_WRITING } copying;
        struct extent run; /* of foreign bytes, on the target */
        uint64_t next_stretch;
        struct recovery_shelf shelf;
        size_t lane_count;
        struct recovery_lane *lanes;
        uint8_t *memory;
};

static inline size_t recovery_units(const struct recovery *r) {
        return r->table.units;
}

static inline size_t recovery_unit_bytes(const struct recovery *r, size_t unit) {
        uint64_t left = r->slot->marker.place.length_bytes - (uint64_t)unit * UNIT_BYTES;
        return (size_t)MIN(left, UNIT_BYTES);
}

/* A bit for each sector that the unit has. */
static inline uint8_t recovery_unit_mask(const struct recovery *r, size_t unit) {
        return (uint8_t)(BIT(recovery_unit_bytes(r, unit) / SECTOR_BYTES) - 1);
}

static inline void recovery_unit_error(struct recovery_unit *u, int error, bool on_journal) {
        u->error = error <= UINT8_MAX ? (uint8_t)error : 5; /* EIO */
        u->flags = (uint8_t)(on_journal ? u->flags | UNIT_JOURNAL : u->flags & ~UNIT_JOURNAL);
}

/* recovery.c */
void recovery_enter(struct recovery *r, enum recovery_phase next);

/* recovery_io.c */
int recovery_io_init(struct recovery *r);
void recovery_io_deinit(struct recovery *r);
bool recovery_io_reap(struct recovery *r);
bool recovery_io_submit(struct recovery *r);
bool recovery_io_idle(const struct recovery *r); /* no lane has anything to do */

/* One request on lane 0, which must be idle; its outcome is in single_error. place: on the device. */
void recovery_single(struct recovery *r, bool on_journal, enum engine_op op, struct extent place, uint8_t *buffer);

/* Gives idle lanes the next stretches of the segment. False: there are none any more, and all lanes are idle. */
bool recovery_io_spread(struct recovery *r);

/* False: the target is not what it was; recovery has been stopped. */
bool recovery_target_is_there(struct recovery *r);

/* recovery_judge.c */
uint8_t recovery_wants(const struct recovery *r, const struct recovery_lane *l, size_t unit);
void recovery_step_done(struct recovery *r, struct recovery_lane *l); /* sets the next one */
void recovery_piece_read(struct recovery *r, struct extent piece);    /* of the target */
void recovery_piece_failed(struct recovery *r, const struct recovery_lane *l, struct extent piece, int error);
void recovery_decide(struct recovery *r);                         /* what of the segment is restored */
void recovery_doubt_all(struct recovery *r);                      /* a flush failed: nothing is known to be durable */
bool recovery_is_left(const struct recovery *r);                  /* to be restored */
void recovery_lose_rest(struct recovery *r);                      /* tried often enough */
uint32_t recovery_conclude(struct recovery *r, bool *ret_pinned); /* tells; units lost */

/* recovery_shelf.c */
void recovery_step_shelf(struct recovery *r);
void recovery_step_copy(struct recovery *r);
void recovery_step_copy_flush(struct recovery *r);
void recovery_step_describe(struct recovery *r);
void recovery_step_describe_flush(struct recovery *r);
