/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recovery: puts the originals of an undo journal back, and nothing else. Per armed slot it looks at every unit of the
 * segment before it writes any:
 *
 *   ORIGINAL    as saved: nothing to do
 *   PATTERN     each sector is what the sweep of that very nonce wrote there, or the original: restored
 *   UNREADABLE  restored, but only if nothing in the segment is foreign
 *   FOREIGN     anything else: copied to the journal's shelf, never touched; its blocks that are pattern are restored
 *
 * then restores, flushes, reads back, and frees the slot; or pins it, where units are lost or foreign. Idempotent: may
 * be ended at any point and begun again, any number of times. Never blocks; touches the world through two engines only.
 */
#pragma once

#include "media/engine.h"
#include "model/finding.h"
#include "sweep/undo_layout.h"

#include <stdbool.h>
#include <stdint.h>

enum recovery_kind {
        RECOVERY_RESTORED,   /* these units were pattern or unreadable, and are the originals again */
        RECOVERY_FOREIGN,    /* somebody else wrote here: left as it is, with a copy on the shelf */
        RECOVERY_UNREADABLE, /* left as it is, since the segment holds foreign bytes */
        RECOVERY_LOST,       /* the original could not be put back; error: what the target said, or 0: it reads back as
                                other bytes; or what the journal said, or 0: it holds other bytes than were saved */
        RECOVERY_TABLE_BAD,  /* what the journal says of this place can't be read (error: what it said, or 0: other
                                bytes), or can't be so: nothing is written there */
        RECOVERY_UNFLUSHED,  /* a flush of this segment failed (error: what the target said, or 0: it was an earlier
                                run's), and all of it was written again */
        RECOVERY_KIND_COUNT
};

/* News of a stretch of units of one kind. */
struct recovery_note {
        enum recovery_kind kind;
        unsigned slot;
        uint64_t record;
        struct extent place; /* on the target */
        int error;           /* positive errno, or 0 */
        bool journal;        /* it is the journal's error, not the target's */
        bool shelved;        /* foreign: there was room for a copy of all of it */
};

/* As a finding: fault, place, persistence, text and detail. Not of what was restored, which is none. */
void recovery_describe(struct finding *f, const struct recovery_note *note);

struct recovery_options {
        struct engine *target, *journal; /* borrowed */
        unsigned depth;                  /* requests in flight at most, on each */
        uint32_t block_bytes;            /* one request; a multiple of UNIT_BYTES */
        uint32_t logical_block_bytes;    /* of the target */
        uint64_t target_bytes;
        struct undo_head head; /* of the journal; its target was found by identity, and is the one that is open */
        bool alone;     /* the caller knows, by a count of sectors written that misses nobody (engine_counts_all), that
                           nobody else wrote: what is neither original nor pattern is then damage, and restored */
        bool unflushed; /* a flush of the target failed: what reads as the original may be lost from its cache, and a
                           later flush does not say so; all of it is written again */
        struct extent foreign; /* somebody else is known to have written here since it was saved; or empty: a segment
                                  that this touches holds foreign bytes, whether or not they can be read */
        bool by_hand;          /* also take up slots that are pinned (`rescue retry`) */
        uint64_t wall_us;      /* now */
        void (*note)(void *userdata, const struct recovery_note *note);
        void *userdata;
};

struct recovery_result {
        unsigned slots_armed; /* that were found armed, or pinned */
        unsigned slots_freed;
        unsigned slots_pinned;              /* left for a person */
        uint64_t bytes_read, bytes_written; /* on the target */
        uint64_t units_restored, units_foreign, units_lost;
        int journal_error; /* positive errno: the journal could not be read, written or flushed; 0. What it could not
                              take back is still armed */
        bool gone; /* the target went away, is another one, or takes no writes at all: it was left as it was then,
                      and its slots are armed */
        uint64_t sequence, record; /* the highest ones of the journal's markers */
};

struct recovery;

/* -ENOMEM. */
int recovery_new(struct recovery **ret, const struct recovery_options *options);

enum recovery_pumped { RECOVERY_BUSY, RECOVERY_WAITING, RECOVERY_ENDED };

/* give_up: submit nothing more, and end when what is out has come back; slots stay as they are. */
enum recovery_pumped recovery_pump(struct recovery *r, bool give_up);

const struct recovery_result *recovery_result(const struct recovery *r);

/* The request that has been out longest, for the judgement of hangs; NULL: none. */
const struct engine_io *recovery_oldest(const struct recovery *r);

/* Whether that one is of the undo journal, and not of the target. */
bool recovery_is_of_journal(const struct recovery *r, const struct engine_io *io);

/* Must have ended, or never been pumped. Accepts NULL; returns NULL. */
struct recovery *recovery_free(struct recovery *r);
