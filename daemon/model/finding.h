/* SPDX-License-Identifier: Apache-2.0 */
/* finding: a fault at a place. Data, not an error of ours. Names are those of io.sweepd.varlink. */
#pragma once

#include "model/device_config.h"
#include "model/extent.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fault {
        FAULT_READ_ERROR,
        FAULT_WRITE_ERROR,
        FAULT_FLUSH_ERROR,
        FAULT_BIT_FLIP,
        FAULT_STALE,
        FAULT_MISDIRECTED,
        FAULT_TORN,
        FAULT_ZEROED,
        FAULT_FOREIGN,
        FAULT_GARBAGE,
        FAULT_SLOW,
        FAULT_HUNG,
        FAULT_HOST,
        FAULT_UNRESTORED,
        FAULT_COUNT
};

enum persistence {
        PERSISTENCE_UNKNOWN,
        PERSISTENCE_TRANSIENT,
        PERSISTENCE_REPAIRED,
        PERSISTENCE_PERSISTENT,
        PERSISTENCE_COUNT
};

enum finding_state { FINDING_OPEN, FINDING_ACKNOWLEDGED, FINDING_RESOLVED, FINDING_RETIRED, FINDING_STATE_COUNT };

enum { FINDING_TEXT_BYTES = 256, FINDING_DETAIL_BYTES = 768, FINDING_COMMENT_BYTES = 256, FINDING_SAMPLE_BYTES = 64 };

/* Facts about a fault as "key=value\n" lines, in the order in which they were added. Values hold no line breaks. */
struct detail {
        char lines[FINDING_DETAIL_BYTES];
};

/* The first bytes at the first difference: what must be there, and what was. length 0: not known. */
struct sample {
        uint64_t offset_bytes;
        uint32_t length_bytes;
        uint8_t expected[FINDING_SAMPLE_BYTES];
        uint8_t found[FINDING_SAMPLE_BYTES];
};

struct finding {
        uint64_t id;
        char device[DEVICE_NAME_BYTES];
        uint64_t target_row; /* the ledger's number of the target, so that a replaced disk's findings are told apart; 0:
                                none */
        uint64_t sweep_id;   /* the sweep that saw it last */
        struct extent place;
        enum fault fault;
        enum persistence persistence;
        enum finding_state state;
        char text[FINDING_TEXT_BYTES];
        struct detail detail;
        struct sample sample;
        uint64_t count; /* sweeps' passes that saw it */
        uint64_t first_seen_us;
        uint64_t last_seen_us;
        uint64_t acknowledged_us; /* 0: never */
        uint64_t told_us;         /* when people were told of it last; 0: not known */
        char comment[FINDING_COMMENT_BYTES];
};

const char *fault_name(enum fault fault);
const char *persistence_name(enum persistence persistence);
const char *finding_state_name(enum finding_state state);

/* False: no such name, *ret is untouched. */
bool fault_from_name(enum fault *ret, const char *name);
bool persistence_from_name(enum persistence *ret, const char *name);
bool finding_state_from_name(enum finding_state *ret, const char *name);

/* Adds or replaces a fact; one that does not fit is left out whole. Control characters in the value become '?'. */
void detail_set(struct detail *detail, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));

/*
 * Walks over the facts: start with *cursor = detail->lines. False at the end. key and value are cut off at their room.
 */
bool detail_next(const char **cursor, char *key, size_t key_bytes, char *value, size_t value_bytes);
