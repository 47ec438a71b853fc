/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device: the one place where a configured device's parts meet: its configuration, its history (changed by what the
 * ledger acknowledged alone), and the handle of its sweep. Its state is derived, never stored. Main's alone.
 */
#pragma once

#include "model/device_config.h"
#include "model/device_record.h"
#include "model/disk_place.h"
#include "model/identity.h"
#include "model/subject.h"
#include "plan/agenda.h"
#include "plan/pacing.h"
#include "plan/schedule.h"
#include "report/finding_book.h"
#include "report/ledger.h"
#include "sweep/sweep_thread.h"

#include <stdbool.h>
#include <stdint.h>

struct call;

/* After which one that is refused is looked at again. */
#define DEVICE_LOOK_AGAIN_US USEC_PER_HOUR

struct device_history {
        struct schedule_history
                schedule[MODE_COUNT]; /* by the mode that it is configured for: not all sweeps serve it */
        uint64_t last_ended_us;
        enum sweep_end last_end;
        bool swept;
        char *key; /* heap; of the target of the last sweep, or NULL; with what it had of it: */
        uint64_t size_bytes;
        struct extent extent;
        uint64_t skipped_us;  /* when what was due was cancelled before it began; 0: it never was */
        enum verdict verdict; /* of the last sweep */
        enum assurance assurance;
        uint64_t last_verified_us, last_checked_us;
        uint64_t findings_resolved;
        uint64_t bytes_written;
};

/* A start that was asked for by hand and has not begun. */
struct device_wish {
        bool wanted;
        uint64_t sweep_id;
        enum sweep_mode mode;
        struct pattern_list patterns; /* of mode pattern */
        char *overwrite;              /* NULL: none */
        uint64_t begun_us;            /* monotonic */
        struct call *call;            /* to be answered when the start succeeds or is refused; NULL: answered */
};

/* Seen at the last seconds of a running sweep, for its rate. */
enum { DEVICE_RATE_SAMPLES = 8 };
struct device_rate {
        uint64_t at_us[DEVICE_RATE_SAMPLES]; /* monotonic */
        uint64_t done_bytes[DEVICE_RATE_SAMPLES];
        unsigned count, next;
};

/* The device, or its undo journal, has not answered in time. */
struct device_stall {
        uint64_t since_us; /* monotonic; 0: it answers */
        enum sweep_request request;
        bool told;
        struct finding finding; /* of the device */
        struct reason reason;   /* of the journal: no fault of the device's */
};

/* That nothing is behind its path. */
struct device_absence {
        uint64_t since_us;     /* wall time at which that was seen first; 0: it is there, as far as is known */
        uint64_t monotonic_us; /* the same by the clock for spans */
        bool had_been_seen;    /* by this daemon, at this path, before that */
};

/* What the planner told people of a device's deadline. */
enum deadline_told { DEADLINE_FINE, DEADLINE_SHORT, DEADLINE_MISSED };

/* What the plan knows of a device, beside its history. Written by the planner. */
struct device_plan {
        uint64_t awake_us, seed; /* of agenda_question */
        bool after_boot;         /* likewise; until its sweep begins, or somebody lets it go on */
        uint64_t rate;           /* that its sweep was told last; 0: no limit */
        enum pace_rule rate_rule;
        uint64_t speed; /* that its sweep was seen to go at while it was told to go faster; 0: unknown */
        uint64_t seen_us, seen_bytes;
        unsigned short_looks; /* in a row at which its speed was too low */
        enum deadline_told told;
        struct reason reason; /* of a deadline that can't be met, or was not */
};

struct device {
        struct device_config *config;
        struct device_history history;
        struct device_wish wish;
        struct sweep_resume *resume; /* heap; a sweep that is to be gone on with; NULL: none, or it runs */
        struct call *intent_call;    /* who paused it or let it go on, until the ledger has it; NULL: nobody */
        uint64_t intent_number;      /* of the last request to store what is wanted */
        bool held;                   /* paused by somebody; in the ledger, too */
        uint64_t unchecked_us;       /* since when a part of it waits to be judged for the first time; likewise */
        uint64_t silence_told_us;    /* when it was told last that it is not checked any more; 0: it is */
        bool window_closed;          /* by the plan, which looks at it often */

        bool identified;
        struct identity identity;
        char *key; /* heap; identity_key() of what was identified; NULL: not known */
        uint64_t size_bytes;
        uint64_t sighting;       /* of what stands at its path, as of disks_sighting(); 0: nothing was seen yet */
        uint64_t asked_sighting; /* for which it was asked who that is */
        bool strange;            /* something else stands there than what was identified last */
        uint64_t path_bytes;     /* that its path leads to, before it was opened for the first time; 0: not known */
        bool placed;             /* as far as it can be told */
        struct disk_place place; /* of what was opened last, or is behind its path */
        int write_cache;         /* 1, 0; -1: unknown */
        uint64_t target_row;
        struct region_table *regions; /* heap; what is known of that target; NULL: nothing */
        char *regions_key;            /* heap; of that target; NULL: not known */

        bool unremembered; /* what the ledger knows of it was not read yet */
        bool unseen;       /* one that a match took: no such disk is there */
        bool absent;       /* nothing is behind its path */
        bool announced_absent;
        bool seen; /* something was behind its path */
        struct device_absence absence;
        struct reason refusal;  /* rule "": not refused */
        bool refusal_told;      /* and its end was not */
        uint64_t look_again_us; /* wall time; of a refusal */

        bool to_recover;      /* its undo journal was not looked into yet, or still holds something: before any sweep */
        bool by_hand;         /* then also what is pinned */
        bool recovering;      /* that is what its thread does */
        bool looking;         /* its thread only looks whether what is not due yet is still refused */
        uint64_t recovery_id; /* under which that reports findings; 0: none so far */

        struct sweep_thread *thread;          /* NULL: no sweep */
        struct device_config *running_config; /* what the sweep began with */
        enum sweep_mode running_mode;
        struct pattern_list running_patterns;
        bool goes_on;            /* its sweep was interrupted before */
        char *running_overwrite; /* given by hand; NULL: none */
        uint64_t sweep_id;
        uint64_t started_us;
        uint64_t began_us;        /* the same by the clock for spans; 0: another daemon began it */
        bool asks_ledger;         /* for what is known of its target; its thread waits */
        uint64_t awaits_mark;     /* the newest that its sweep wants durable before it writes any further; 0: none */
        uint64_t requests_before; /* outbox numbers up to here are of what ran before its thread */
        bool refused;             /* what its thread was started for was refused; the thread is about to end */
        bool started_by_hand;     /* then without a window or a deadline */
        struct device_plan plan;
        bool under_way; /* it passed the checks: it has a row in the ledger */
        enum sweep_order order;
        struct device_rate rate;
        struct device_stall stall;
        bool hung;                  /* its sweep, or the one that was to begin, has a finding `hung` */
        uint64_t late_since_us;     /* of the request that was late at the last look; 0: none */
        uint64_t kernel_timeout_us; /* of each command; 0: unknown */
        uint64_t told_timeout_us;   /* what was said to count in place of io_timeout */

        int held_by_pid;        /* a daemon that has ended, but for I/O that the device does not give back; 0: none */
        uint64_t held_by_start; /* of that process, in ticks since boot: pids are given again */
};

/* Takes a reference to the configuration. -ENOMEM. */
int device_new(struct device **ret, struct device_config *config);

/* Its sweep must have ended. Accepts NULL; returns NULL. */
struct device *device_free(struct device *d);

/* A reload: a running sweep keeps its own configuration; what is at a changed path is looked at anew. */
void device_reconfigure(struct device *d, struct device_config *config);

/* Who is at its path. */
void device_identify(struct device *d, const struct identity *identity, uint64_t size_bytes);

/* Its path leads elsewhere: who is there has to be found out. */
void device_estrange(struct device *d);

/* Nothing, or something, is behind its path: at each look. */
void device_note_absent(struct device *d, uint64_t monotonic_us, uint64_t wall_us);
void device_note_present(struct device *d);

/* It is certain that another disk took the place of the one that was swept last, and is meant to be there. */
bool device_is_replaced(const struct device *d);

/* What the ledger remembers. */
void device_remember(struct device *d, const struct ledger_device *past);

/* What the ledger has acknowledged of a sweep that ended. key: of its target; NULL: not known. */
void device_record_end(struct device *d, const struct sweep_record *record, const char *key);

/* What the ledger has of a target; takes regions (NULL: nothing) over. key: of that target; NULL: not known. */
void device_take_regions(struct device *d, struct region_table *regions, const char *key);

/* What a sweep measured so far. Without memory it is as if it had not been told. */
void device_record_survey(struct device *d, const struct survey *survey);

/* Whether its path lies where main may look at any time: in /dev, whose file system is memory. A file may lie anywhere,
 * and is made where it is not there. */
bool device_is_watched(const struct device *d);

/* Whether a sweep of it may run now, as far as people and windows have a say. */
bool device_may_sweep(const struct device *d);

enum device_state device_state(const struct device *d, uint64_t wall_us);

/* When its next sweep should start by the plan, 0: now; SCHEDULE_NEVER. Refused and absent ones: when they are looked
 * at again. */
uint64_t device_next_start_us(const struct device *d, uint64_t wall_us);

/* How large it is, as far as is known: 0. */
uint64_t device_known_bytes(const struct device *d);

/* Whether it is time for the next sweep, though something else may keep it from beginning. */
bool device_is_due(const struct device *d, uint64_t wall_us);

/* As if the sweep that is due had begun, and been cancelled. */
void device_skip_period(struct device *d, uint64_t wall_us);

/* Its thread is at work on a sweep, and neither recovers nor only looks. */
bool device_is_sweeping(const struct device *d);

/* By which it is planned now: a sweep that runs keeps the period, and so the deadline, that it began with. */
const struct device_config *device_planned_by(const struct device *d);

/* By which it is shown: likewise, and with the path that is open. */
const struct device_config *device_shown_by(const struct device *d);

/* What is swept of it, as far as its size is known: else length 0. */
struct extent device_shown_extent(const struct device *d);

/* The map of what is there now; NULL: there is none. */
const struct region_table *device_regions(const struct device *d);

/* What is left to do of a sweep that rests. */
uint64_t device_resting_bytes(const struct device *d);

/* What the plan says of it now. */
struct agenda device_agenda(const struct device *d, uint64_t wall_us);

/* When one that is refused, and is not due, is to be looked at again. SCHEDULE_NEVER: not before it is due. */
uint64_t device_next_look_us(const struct device *d, uint64_t wall_us);

/* For when the sweep was planned that may start now, or since when one has been under way that may go on; now, where
 * only a look is due. 0: at once; SCHEDULE_NEVER: none may. */
uint64_t device_turn_us(const struct device *d, uint64_t wall_us);

/* By when the sweep that is planned, or under way, has to be done, as far as is known: it may be over. 0: an undo
 * journal has something of the device; SCHEDULE_NEVER. */
uint64_t device_deadline_us(const struct device *d, uint64_t wall_us);

/* When the part of it was judged that has waited for longest: verified, or in mode read checked. 0: a part never was.
 */
uint64_t device_oldest_judged_us(const struct device *d);

/* Since when a part of it has not been judged, and whether that is too long. What was found bad there, and is not over,
 * counts as judged when it was seen last: a bad sector is never verified, and told by its finding. */
bool device_is_silent(const struct device *d, const struct finding_book *book, uint64_t wall_us, uint64_t *since_us);

/* What is wrong with its deadline, if anything is, behind a reason that tells what it waits for. */
void device_add_deadline(const struct device *d, struct reason *reason);

/* Notes the progress for the rate; at most once a second is enough. */
void device_sample_rate(struct device *d, uint64_t monotonic_us);

/* Takes the wish away: the caller answers or drops its call. */
void device_drop_wish(struct device *d);

void device_fill_record(
        const struct device *d, struct device_record *ret, const struct finding_counts *counts, uint64_t wall_us);
