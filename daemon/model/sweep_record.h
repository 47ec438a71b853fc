/* SPDX-License-Identifier: Apache-2.0 */
/* sweep_record: what is kept of one sweep, and the progress of a running one. Names are those of io.sweepd.varlink. */
#pragma once

#include "model/device_config.h"
#include "model/extent.h"
#include "model/latency.h"
#include "model/pattern_list.h"
#include "model/reason.h"

#include <stdbool.h>
#include <stdint.h>

enum verdict { VERDICT_UNKNOWN, VERDICT_CLEAN, VERDICT_FAULTY, VERDICT_INCOMPLETE, VERDICT_COUNT };
enum assurance { ASSURANCE_NONE, ASSURANCE_READABLE, ASSURANCE_VERIFIED, ASSURANCE_COUNT };
enum sweep_end { END_NONE, END_FINISHED, END_CANCELLED, END_FAILED, END_KILLED, END_COUNT };
enum sweep_phase { PHASE_CHECK, PHASE_SAVE, PHASE_WRITE, PHASE_VERIFY, PHASE_RESTORE, PHASE_READ, PHASE_COUNT };

const char *verdict_name(enum verdict verdict);
const char *assurance_name(enum assurance assurance); /* NULL for ASSURANCE_NONE */
const char *sweep_end_name(enum sweep_end end);       /* NULL for END_NONE */
const char *sweep_phase_name(enum sweep_phase phase);

/* False: no such name, *ret is untouched. */
bool verdict_from_name(enum verdict *ret, const char *name);
bool assurance_from_name(enum assurance *ret, const char *name);
bool sweep_end_from_name(enum sweep_end *ret, const char *name);

/*
 * Byte counts are of work done, over all passes: a pattern sweep of E bytes with retention writes E and verifies
 * 2 E, and each fixed pattern adds E to both. `bytes_total` is the work that the sweep set out to do, so a sweep that
 * left nothing out has bytes_total = bytes_read + bytes_written + bytes_skipped.
 */
struct sweep_bytes {
        uint64_t total;
        uint64_t read;
        uint64_t written;
        uint64_t verified;
        uint64_t skipped;
};

struct sweep_record {
        uint64_t id;
        char device[DEVICE_NAME_BYTES];
        uint64_t target_row; /* the ledger's number of the target; 0: never identified */
        enum sweep_mode mode;
        uint64_t size_bytes;          /* of the target; 0: not known */
        struct extent extent;         /* of the target; length 0: not known */
        struct pattern_list patterns; /* its fixed passes, before the stamped one */
        uint64_t generation;          /* 0: the sweep never wrote */
        uint64_t nonce;
        uint64_t started_us;
        uint64_t ended_us; /* 0: still running */
        uint64_t running_us;
        enum verdict verdict;
        enum assurance assurance;
        enum sweep_end end;
        struct reason reason; /* why it did not finish; rule "" : none */
        struct sweep_bytes bytes;
        uint64_t findings;
        uint64_t stamps_seen;
        struct latency_summary latency[LATENCY_OPERATIONS]; /* as the ledger has it; count 0: nothing is known */
};

/* A consistent copy of what a running sweep publishes. */
struct progress {
        uint64_t sweep_id;
        enum sweep_phase phase;
        uint64_t generation;
        uint64_t started_us;
        struct sweep_bytes bytes;
        uint64_t bytes_done; /* read, written or skipped, and settled */
        uint64_t running_us; /* at work, in all its parts */
};
