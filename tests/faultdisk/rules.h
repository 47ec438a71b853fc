/* SPDX-License-Identifier: Apache-2.0 */
/* rules: which requests a fault disk gets wrong, and how. One struct is one fault; they are matched in their order. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_OP_COUNT };

const char *disk_op_name(enum disk_op op);

enum rule_action {
        RULE_ERROR,     /* answers with `error`, and does nothing else */
        RULE_FLIP,      /* bit `bit` counted from `at`, or `bits` bits by chance */
        RULE_LOSE,      /* a write is acknowledged and never arrives */
        RULE_MISDIRECT, /* a write arrives at `to` instead */
        RULE_TEAR,      /* of what a write has within the range, only the first `sectors` arrive */
        RULE_ZERO,      /* a read returns zeros */
        RULE_STALE,     /* a read returns what the snapshot holds */
        RULE_DELAY,     /* `delay_us` late */
        RULE_HANG,      /* no answer until release */
        RULE_ACTION_COUNT
};

struct rule {
        unsigned number;
        enum rule_action action;
        unsigned ops; /* bit n: enum disk_op n */
        uint64_t offset_bytes, length_bytes;
        uint64_t times; /* requests that it still hits */
        uint64_t hits;
        uint64_t to_bytes;
        uint64_t bit; /* UINT64_MAX: by chance */
        unsigned bits;
        unsigned sectors;
        uint64_t delay_us;
        int error; /* positive errno */
};

enum { RULES_MAX = 4096, RULES_HITS_MAX = 32, RULES_TEXT_BYTES = 160 };

struct rules {
        size_t count;
        unsigned last_number;
        struct rule list[RULES_MAX];
};

/*
 * Adds "ACTION OPS [key=value]…". 0 and the rule's number, or -EINVAL with what is wrong in text; -ENOSPC when full.
 * The words are split in place.
 */
int rules_add(struct rules *rules, char *line, unsigned *ret_number, char text[static RULES_TEXT_BYTES]);

/* True where the word begins a rule. */
bool rules_is_action(const char *word);

/* Takes one out. False: no such rule. */
bool rules_drop(struct rules *rules, unsigned number);

const struct rule *rules_find(const struct rules *rules, unsigned number);

/*
 * Copies the rules that hit a request, in their order, and counts the hit. A flush is hit by its kind alone. Those past
 * `max` are left out, and don't count.
 */
size_t rules_match(struct rules *rules, enum disk_op op, uint64_t offset_bytes, uint64_t length_bytes,
        struct rule *hits, size_t max);

/* Positive errno of "EIO" and its like; 0: not known here. */
int rules_errno(const char *name);
