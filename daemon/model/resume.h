/* SPDX-License-Identifier: Apache-2.0 */
/* resume: how far a sweep has come, and what it needs to go on from there under its number. */
#pragma once

#include "model/extent.h"
#include "model/finding.h"
#include "model/identity.h"
#include "model/latency.h"
#include "model/sweep_record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The retention pass, or the passes that the verdict comes from. */
enum sweep_round { ROUND_CHECK, ROUND_SWEEP, ROUND_COUNT };

const char *sweep_round_name(enum sweep_round round);

/* False: no such name, *ret is untouched. */
bool sweep_round_from_name(enum sweep_round *ret, const char *name);

/*
 * In this round, and pass of it, all before `at_bytes` was judged, and its faults were told; nothing behind it counts.
 * The numbers are of what lies before it, and of the rounds before this one.
 */
struct checkpoint {
        enum sweep_round round;
        uint64_t size_bytes;  /* of the target */
        struct extent extent; /* that is swept; at_bytes lies in it, or at its end */
        uint64_t at_bytes;
        unsigned pass;          /* ROUND_SWEEP: how many of the fixed passes are over */
        uint64_t covered_bytes; /* judged by the last pass */
        uint64_t lost_bytes;    /* that could be neither read nor written */
        struct sweep_bytes bytes;
        uint64_t stamps_seen;
        uint64_t region_checked_bytes, region_verified_bytes; /* of the region that at_bytes lies in, before it */
        uint64_t late_reads, late_untried;
};

/* Past so many, what a sweep has told makes no other verdict. */
enum { RESUME_FINDINGS_MAX = 2048 };

/* Heap. */
struct sweep_resume {
        struct sweep_record record; /* as it is told while the sweep rests: no end, bytes as at the checkpoint */
        struct checkpoint from;
        bool by_hand;                 /* it was started by hand: no window holds it */
        char *overwrite;              /* identity given by hand; NULL: none */
        char key[IDENTITY_KEY_BYTES]; /* of the target; another one is not gone on with */
        struct latency_histogram latency[LATENCY_OPERATIONS];
        size_t finding_count;
        struct finding *findings; /* that it has told so far, with the numbers of their runs: 1 and up */
};

/* -ENOMEM. */
int sweep_resume_new(struct sweep_resume **ret);

/* With all that it has, but for the findings. -ENOMEM. */
int sweep_resume_copy(struct sweep_resume **ret, const struct sweep_resume *from);

/* Accepts NULL; returns NULL. */
struct sweep_resume *sweep_resume_free(struct sweep_resume *r);
