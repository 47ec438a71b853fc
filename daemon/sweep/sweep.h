/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweep: one run over the extent of one target, in one mode. A state machine that never blocks: whoever owns it calls
 * sweep_pump() whenever something may have happened. Touches the world through three seams only: engine, verifier and
 * news. State diagram in ARCHITECTURE.md.
 */
#pragma once

#include "media/engine.h"
#include "model/device_config.h"
#include "model/extent.h"
#include "model/resume.h"
#include "model/survey.h"
#include "model/sweep_record.h"
#include "model/target_record.h"
#include "sweep/news.h"
#include "sweep/pace.h"
#include "sweep/undo_layout.h"
#include "sweep/verify.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a device is asked to do; any of it may take for ever. */
enum sweep_request {
        REQUEST_NONE,
        REQUEST_OPEN,
        REQUEST_PROBE,
        REQUEST_READ,
        REQUEST_WRITE,
        REQUEST_FLUSH,
        REQUEST_CLOSE,
        REQUEST_JOURNAL /* anything that is asked of its undo journal, on another disk */
};

/* The oldest request that the device, or its undo journal, has not answered. REQUEST_NONE: it owes nothing. Times are
 * monotonic. */
struct sweep_debt {
        enum sweep_request request;
        uint64_t since_us;
        struct extent place; /* length 0: the request has none */
        uint64_t paid_us;    /* when it last answered the oldest; 0: never */
};

/* What others see of a running sweep. Written by the sweep's thread alone, read by main. */
struct sweep_gauge {
        atomic_uint_fast64_t owed_since, owed_request, owed_offset, owed_length, paid;
        atomic_uint_fast64_t phase, generation, pace, rate, running;
        atomic_uint_fast64_t verified, read, written, skipped, done, total;
};

/* A copy that never claims more verified than read, nor more done than there is. Fills phase, generation, bytes and
 * running_us. */
void sweep_gauge_read(const struct sweep_gauge *gauge, struct progress *ret);

/* The sweep's thread: told before anything that may block on the device, and when nothing is owed any more. */
void sweep_gauge_owe(struct sweep_gauge *gauge, enum sweep_request request, uint64_t since_us, struct extent place);
void sweep_gauge_paid(struct sweep_gauge *gauge, uint64_t now_us);

/* Main: false where the device answered in that very moment; *ret is untouched then. */
bool sweep_gauge_debt(const struct sweep_gauge *gauge, struct sweep_debt *ret);

/* Main: how it goes at the moment, and the rate that it keeps to; 0: as fast as it can. */
enum pace_state sweep_gauge_pace(const struct sweep_gauge *gauge, uint64_t *rate);

/* A unit-aligned stretch that bears a signature: forgiven only where it is ours to the byte. */
struct sweep_suspect {
        char type[32];
        struct extent place;
};

struct sweep_options {
        uint64_t id;
        const char *device;
        enum sweep_mode mode;
        struct pattern_list patterns;      /* mode pattern: fixed passes before the stamped one */
        bool fresh;                        /* a file without anything in it: nothing of the past is expected */
        bool only_ours;                    /* a file: written to only if it bears stamps of ours */
        bool overwrite;                    /* the user confirmed that foreign data may go */
        uint64_t started_us;               /* wall time; of the sweep's first part */
        const struct sweep_resume *resume; /* NULL: it begins. Read by sweep_new() alone */
        uint32_t block_bytes;
        uint64_t segment_bytes;
        uint64_t segment_least_bytes; /* mode pattern: to so much it is cut where that takes long; 0: not at all */
        unsigned depth;               /* requests in flight at most */
        uint64_t size_bytes;
        struct extent extent; /* what is swept, within the target and aligned to units; length 0: all of it */
        uint32_t logical_block_bytes;
        uint32_t physical_block_bytes;
        uint32_t max_io_bytes; /* the largest request that the kernel makes of several blocks; 0: unknown */
        uint64_t diskseq;
        uint64_t narrow_budget_us;
        uint64_t slow_after_us;
        bool yield;         /* to others who use the disk */
        bool in_use;        /* others have the target open */
        uint64_t rate_min;  /* pace.h */
        uint64_t random[3]; /* for the nonce, a target id, and the spread of the sample */
        const struct sweep_suspect *suspects;
        size_t suspect_count;
        struct target_record *target; /* taken over on success; NULL in mode read where it is not known */
        struct undo_head undo;        /* refresh, preserve: of the journal, whose slots are free */
        uint64_t undo_sequence;       /* the highest ones that the journal's markers bear; 0: none */
        uint64_t undo_record;
        bool discards; /* the device forgets blocks that are not used: zeros are not written to it */
        unsigned journal_depth;
        struct engine *journal; /* borrowed, as are the following; NULL in other modes */
        struct engine *engine;
        struct verifier *verifier; /* NULL: verify inline */
        struct news_port *news;
        struct sweep_gauge *gauge;
};

struct sweep;

/* -ENOMEM. */
int sweep_new(struct sweep **ret, const struct sweep_options *options);

/* What main wants. Levels: the last one counts. Once a sweep is ending, orders change nothing. */
enum sweep_order {
        SWEEP_RUN,
        SWEEP_PAUSE, /* end so that it can be gone on with */
        SWEEP_CANCEL,
        SWEEP_STOP,   /* as pause, and the daemon ends: be quick */
        SWEEP_GIVE_UP /* the device did not answer in time: end when what is out has come back */
};

extern const char sweep_hung_remedy[];

enum sweep_pumped {
        SWEEP_BUSY,    /* there is more to do at once */
        SWEEP_WAITING, /* call again when the engine, the verifier, an answer or an order has something, or after
                          sweep_patience_us() */
        SWEEP_ENDED    /* nothing is in flight, all news is out: sweep_record() tells how it ended */
};
#define SWEEP_PATIENCE_US UINT64_C(250000)

/* now_us: monotonic; wall_us: since 1970. */
enum sweep_pumped sweep_pump(struct sweep *s, enum sweep_order order, uint64_t now_us, uint64_t wall_us);

/* After SWEEP_WAITING: how long nothing is due. At most SWEEP_PATIENCE_US. */
uint64_t sweep_patience_us(const struct sweep *s);

/* Bytes a second, of all that goes to the target, from the next pump on; 0: no limit. */
void sweep_set_rate(struct sweep *s, uint64_t rate);

void sweep_answer(struct sweep *s, const struct answer *answer);

/* Its outcome so far. */
const struct sweep_record *sweep_record(const struct sweep *s);

/* A copy of what it measured so far, heap. NULL: no memory. */
struct survey *sweep_survey(const struct sweep *s);

/* It has ended to be gone on with from the checkpoint: neither a verdict nor an end. */
bool sweep_is_suspended(const struct sweep *s);

/* What it can be gone on with from, now or later. */
struct checkpoint sweep_checkpoint(const struct sweep *s);

/* The extent whose every unit was judged by the last pass. */
struct extent sweep_reached(const struct sweep *s);

/* Slots of the undo journal that are still armed, or pinned: to be recovered before anything else touches the target.
 */
unsigned sweep_left_armed(const struct sweep *s);

/* True: refused before anything was swept; the reason is in the record. */
bool sweep_was_refused(const struct sweep *s);

/* Must have ended, or never been pumped. Accepts NULL; returns NULL. */
struct sweep *sweep_free(struct sweep *s);
