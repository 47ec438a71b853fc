/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: what must survive: targets, stamped ranges, sweeps, findings, events. A thread of its own, the only user of
 * SQLite, and the only one that may block on the state disk. Requests go in and come back by queues, in order; whoever
 * sends one keeps nothing of it until it returns. A request that returns with status 0 is durable (WAL,
 * synchronous=FULL): power may fail.
 */
#pragma once

#include "model/event.h"
#include "model/finding.h"
#include "model/identity.h"
#include "model/resume.h"
#include "model/survey.h"
#include "model/sweep_record.h"
#include "model/target_record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger;
struct queue;

enum ledger_state { LEDGER_GOOD, LEDGER_UNAVAILABLE, LEDGER_REPLACED };

const char *ledger_state_name(enum ledger_state state);

enum ledger_op {
        LEDGER_LOAD,     /* the first answer, not asked for: what the daemon starts from; may be asked again */
        LEDGER_IDENTIFY, /* key, size, extent -> target, regions: finds or creates the target, returns what is known */
        LEDGER_SWEEP_STARTED, /* sweep, place: begun, or gone on with */
        LEDGER_STAMP,      /* target_row, mark: target id and generation become known, before the first write; where the
                              mark clears also sweep and place: the ranges there are gone, and the sweep goes on from it */
        LEDGER_MARK,       /* target_row, mark, sweep (id and byte counts; id 0: none), at_us: settles one stretch,
                              announces the next, is the sweep's checkpoint; survey. A mark that is all zero: the rest alone
                            */
        LEDGER_FORGET,     /* target_row, mark (clears): the ranges there are gone: retention unknown */
        LEDGER_CHECKPOINT, /* sweep, place, survey: where it would go on; not stored of a sweep that is over */
        LEDGER_SWEEP_RESTS,   /* the same, and no thread works on it now */
        LEDGER_SWEEP_ENDED,   /* sweep, survey */
        LEDGER_DEVICE,        /* intent */
        LEDGER_FINDING,       /* finding: inserts or replaces by id */
        LEDGER_EVENT,         /* event */
        LEDGER_PRUNE,         /* prune: takes out a few rows that are old, and says where to go on */
        LEDGER_LIST_FINDINGS, /* page_after, page_device, page_all -> findings, newest last */
        LEDGER_LIST_EVENTS,   /* page_after -> events, oldest first, each with its finding and its sweep as they are
                                 now */
        LEDGER_LIST_SWEEPS,   /* page_after, page_device -> sweeps, newest last; page_newest: the last page_max */
        LEDGER_GET_FINDING,   /* page_after = id -> findings[0], or page_count = 0 */
        LEDGER_GET_SWEEP      /* page_after = id -> sweeps[0], or page_count = 0 */
};

/*
 * The durable promise before a write. `settled` (may be empty) now holds this generation alone, flushed; `ahead` (may
 * be empty) is about to be written and may from now on hold any of what it held and this generation.
 */
struct ledger_mark {
        uint64_t target_id;
        uint64_t generation;
        uint64_t nonce;
        uint64_t started_us; /* of the sweep, as in its stamps: stored with each range */
        struct extent settled;
        struct extent ahead;
        struct extent clears; /* with a stamp: of a sweep that writes fixed patterns first; may be empty */
};

/* Where a sweep goes on, and how it was started. */
struct ledger_place {
        struct checkpoint at;
        bool by_hand;
        char *overwrite; /* heap, taken over; NULL: none */
};

/* What people want of a device, and what must outlive the daemon. */
struct ledger_intent {
        char device[DEVICE_NAME_BYTES];
        bool held;              /* no sweep begins, or goes on */
        uint64_t wish_sweep_id; /* of a sweep that was asked for and has not begun; 0: none */
        enum sweep_mode wish_mode;
        struct pattern_list wish_patterns;
        char *wish_overwrite;  /* heap, taken over; NULL: none */
        uint64_t unchecked_us; /* since when a part of it waits to be judged for the first time; 0: none does */
};

/*
 * What is older than before_us goes, bit by bit, so that nobody else waits for it: begun with { before_us }, and sent
 * again with what came back until the stage is LEDGER_PRUNE_OVER. Nothing goes that is open or acknowledged, or by
 * which something is still decided; a device's sums and the ranges of targets stay.
 */
struct ledger_prune {
        uint64_t before_us;
        uint64_t aged_us; /* of ledger_load, from now on */
        enum {
                LEDGER_PRUNE_EVENTS,
                LEDGER_PRUNE_FINDINGS,
                LEDGER_PRUNE_SWEEPS,
                LEDGER_PRUNE_FILE, /* gives free pages back to the file system */
                LEDGER_PRUNE_OVER
        } stage;
        uint64_t after;     /* of this stage: ids up to here were looked at */
        uint64_t events_to; /* up to this id there are more events than are kept */
};

enum { LEDGER_WRITES = 16 };

/* The rule of a sweep that was cancelled before it began, though it was due. */
#define LEDGER_SKIPPED "period_skipped"

/* Of the sweeps, of what was swept last, that a device of a mode is due for (sweep_mode_serves). All zero: there are
 * none.
 */
struct ledger_past {
        uint64_t started_us, ended_us; /* of the newest that is over */
        enum sweep_end end;
        uint64_t finished_us; /* when the newest that finished was started */
        unsigned failures_in_a_row;
};

/* The past of one configured device, as the plan wants it. */
struct ledger_device {
        char device[DEVICE_NAME_BYTES];
        struct sweep_record last;    /* the newest sweep that is over, id 0: none. One that was running when the daemon
                                        died    is closed as killed where it can't be gone on with */
        char *last_key;              /* heap; of the target of that one; NULL: not known */
        struct sweep_resume *resume; /* heap; the one that is to be gone on with; NULL: none */
        struct ledger_intent intent;
        uint64_t last_verified_us;  /* started_us of the newest finished sweep with assurance verified; 0: never */
        uint64_t last_checked_us;   /* of the newest finished sweep of any assurance; 0: never */
        uint64_t findings_resolved; /* resolved and retired */
        uint64_t bytes_written;     /* by all sweeps of this device */
        struct ledger_past past[MODE_COUNT]; /* by the mode that it is configured for */
        uint64_t skipped_us;  /* when a sweep was cancelled last that was due and had not begun; 0: none was */
        unsigned write_count; /* of the newest sweeps that are over and wrote something, oldest first */
        struct {
                uint64_t started_us, bytes;
        } writes[LEDGER_WRITES];
        struct region_table *regions; /* heap; of the target that was swept last; NULL: nothing is known */
};

/* State and text are set in every answer: how the ledger was at this request. It may be replaced while we run. */
struct ledger_load {
        enum ledger_state state;
        bool newer;     /* it is of a later version, and was not touched */
        bool booted;    /* no daemon ran on it since the host was started, but one did before */
        char text[512]; /* where state is not good: what happened, and where the old file is kept */
        uint64_t next_sweep_id, next_finding_id, next_event_id;
        uint64_t aged_us; /* wall time; how old a thing is counts up to here, and not up to what a clock jumped to */
        size_t device_count;
        struct ledger_device *devices; /* by name */
        size_t finding_count;
        struct finding *findings; /* open and acknowledged, by id */
};

enum { LEDGER_PAGE = 256, LEDGER_EVENTS_MAX = 50000 /* those before them are pruned, however new */ };

struct ledger_request {
        enum ledger_op op;
        void *tag;                 /* the sender's own, untouched */
        uint64_t number, sequence; /* likewise */
        uint64_t mark_number;      /* likewise: of a mark, its sweep's own number for it */

        /* what goes in */
        char key[IDENTITY_KEY_BYTES];
        uint64_t size_bytes;
        struct extent extent;
        uint64_t at_us;
        uint64_t target_row;
        struct ledger_mark mark;
        struct ledger_place place;
        struct ledger_intent intent;
        struct sweep_record sweep;
        struct survey *survey; /* heap, or NULL: what is kept for it stays as it is. Its regions are those of
                                  target_row, or of the sweep's target */
        struct finding finding;
        struct event event;
        struct ledger_prune prune; /* comes back, too */
        uint64_t page_after;
        bool page_newest;
        char page_device[DEVICE_NAME_BYTES]; /* "": of all */
        bool page_all;
        size_t page_max; /* 1 to LEDGER_PAGE */

        /* what comes back */
        int status;     /* 0, or negative errno: nothing of it was stored */
        char text[512]; /* of the failure, for people */
        struct target_record *target;
        struct region_table *regions; /* NULL: nothing is known */
        struct ledger_load load;
        size_t page_count;
        struct finding *findings;
        struct sweep_record *sweeps;
        struct event *events;
};

/* Zeroed. -ENOMEM. */
int ledger_request_new(struct ledger_request **ret, enum ledger_op op);

/* With all that came back. Accepts NULL; returns NULL. */
struct ledger_request *ledger_request_free(struct ledger_request *request);

/*
 * Starts the thread, which opens (or creates, or sets aside and creates anew) directory/ledger.db and sends the answer
 * LEDGER_LOAD into `answers` (borrowed; must have room for `capacity` requests and that one). -ENOMEM, -EAGAIN.
 */
int ledger_new(struct ledger **ret, const char *directory, size_t capacity, struct queue *answers);

/* Ownership of the request moves. False: the queue is full, nothing was taken. */
bool ledger_send(struct ledger *ledger, struct ledger_request *request);

/* Numbers from the clock, which no ledger has given and none will give again: while there is none that can be read. */
void ledger_load_numbers(struct ledger_load *load, uint64_t wall_us);

/*
 * Lets the thread finish what was sent, ends and joins it. timeout_us: gives up joining a thread that is stuck in the
 * kernel (then it is left behind, and the return is -ETIMEDOUT; the process is about to end). Accepts NULL.
 */
int ledger_free(struct ledger *ledger, uint64_t timeout_us);
