/* SPDX-License-Identifier: Apache-2.0 */
/* target_record: what the ledger remembers of a target: its id, the generations that were written to it, and where. */
#pragma once

#include "model/extent.h"
#include "model/pattern_list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A stamped range. Ranges may overlap: where they do, a unit (or each sector of one) may hold any of them. That is so
 * only in the stretch between the last checkpoint and the high-water mark of a sweep that did not end by itself.
 */
struct stamped_range {
        struct extent extent;
        uint64_t generation;
        uint64_t nonce;
        uint64_t started_us; /* of the sweep that wrote it, as in its stamps */
        bool settled;        /* false: written only in part, perhaps not at all */
};

/* What a sweep wrote there once. Of its ranges nothing may be left, but its writes may come to light again. */
struct past_generation {
        uint64_t generation;
        uint64_t nonce;
        uint64_t started_us;
        struct extent extent;         /* that it swept; length 0: not known, and taken for the one in question */
        struct pattern_list patterns; /* that it wrote, or was to write, before its stamps */
        uint64_t bytes_written;
};

enum {
        TARGET_PAST_MAX = 4,
        TARGET_RANGES_MAX = 1024, /* past it the ledger forgets the smallest: their retention is unknown */
        TARGET_OVERLAP_MAX = 4    /* generations that one place may hold; past it the ledger forgets the stretch */
};

struct target_record {
        uint64_t row;             /* the ledger's number; 0: not in the ledger yet */
        uint64_t target_id;       /* random, as in the stamps; 0: never stamped */
        uint64_t last_generation; /* 0: never stamped */
        uint64_t size_bytes;      /* when last seen */
        uint64_t bytes_written;   /* since it is known */
        size_t past_count;
        struct past_generation past[TARGET_PAST_MAX]; /* the newest first */
        size_t range_count;
        struct stamped_range ranges[]; /* by offset, then generation */
};
