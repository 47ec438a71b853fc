/* SPDX-License-Identifier: Apache-2.0 */
/* diagnose: what happened to a unit that is not what it must be, told from its bytes alone. */
#pragma once

#include "model/finding.h"
#include "model/pattern_list.h"
#include "sweep/content.h"

#include <stdbool.h>
#include <stdint.h>

enum { OLDER_MAX = 8 };

/* What is known of a target when a unit of it is judged. Tables are taken from the cache as stamps ask for them. */
struct diagnosis_ground {
        struct table_cache *tables;
        uint64_t target_id;
        uint64_t target_bytes; /* its size: a place beyond it is no place */
        size_t older_count;    /* what may have been there before what is expected now */
        struct stamp older[OLDER_MAX];
        uint64_t patterns[256 / 64]; /* a bit for each fixed pattern that was written there at some time before */
};

static inline void ground_add_pattern(struct diagnosis_ground *g, uint8_t byte) {
        g->patterns[byte / 64] |= UINT64_C(1) << byte % 64;
}

enum { DIAGNOSIS_BITS_MAX = 16 };

/*
 * The unit's fault is that of its most telling sector. A sector that differs is, in this order: zeros; of another place
 * or generation, in all its bytes; foreign by the stamp of another target; bit_flip, where at most 256 of its 4,096
 * bits differ; garbage, where it is akin to what must be there; foreign, where it looks like somebody's data; garbage.
 * looks.h has the last three rules and their error rates. A fixed pattern that was there before is an older generation,
 * but zeros, which many things leave. Beside a fixed pattern almost anything shares bytes and bits with what must be
 * there: so there somebody's data is looked for first.
 */
struct diagnosis {
        enum fault fault;
        bool ours;           /* holds something that we wrote, or zeros beside noise: not somebody else's data */
        bool strange;        /* a sector of it looks like somebody's data, whatever the fault is called by others */
        bool exact;          /* each of its sectors is, to the byte, what we wrote, there or elsewhere, now or before */
        const char *looks;   /* foreign, garbage: what it looks like, in words; NULL: like nothing known */
        uint64_t generation; /* stale, torn, misdirected: whose bytes were found; 0: unknown */
        uint64_t started_us; /* when that generation was begun; 0: unknown */
        bool has_pattern;    /* stale, torn: it is no generation's, but a fixed pattern; zeroed: one was of zeros */
        uint8_t pattern;
        int64_t displacement_bytes;        /* misdirected: where the bytes belong, less where they are */
        uint64_t belongs_bytes;            /* misdirected: the offset that the first misplaced sector was made for */
        uint32_t bits_flipped;             /* bit_flip: how many */
        uint16_t bits[DIAGNOSIS_BITS_MAX]; /* bit_flip: the first of them, counted from the unit's start */
        unsigned torn_at_sector; /* torn: of the unit, the first that is new after old ones, or old after new ones */
        uint8_t bad_sectors;     /* a bit for each sector of the unit */
        struct sample sample;    /* at the first difference */
};

/*
 * bytes: the unit at offset_bytes (or the part of one that could be read), length_bytes of it, both in whole sectors;
 * something in it differs from what is expected. The first candidate of the expectation is the one that is meant.
 */
void diagnose_unit(struct diagnosis *ret, const struct diagnosis_ground *ground, const struct expectation *expected,
        const uint8_t *bytes, uint64_t offset_bytes, uint64_t length_bytes);

/* Whether a unit is, to the byte, what its own stamp says that it is, for this place. Its stamp is returned. */
bool diagnose_is_self_consistent(struct stamp *ret, const struct diagnosis_ground *ground, const uint8_t *bytes,
        uint64_t offset_bytes, uint64_t length_bytes);

/* The facts in words for people, and as detail. sample_at: where on the target the sample's first byte is. */
void diagnose_describe(const struct diagnosis *d, char text[static FINDING_TEXT_BYTES], struct detail *detail);
