/* SPDX-License-Identifier: Apache-2.0 */
/* subject: what a sweep was of: which target, how large it was, and which part of it. */
#pragma once

#include "model/extent.h"

#include <stdbool.h>
#include <stdint.h>

struct subject {
        const char *key;      /* identity_key(); NULL: not known */
        uint64_t size_bytes;  /* of the target; 0: not known */
        struct extent extent; /* length 0: not known */
};

enum subject_change {
        SUBJECT_SAME,         /* as far as it can be told */
        SUBJECT_OTHER_EXTENT, /* of the same target, or that has another size now */
        SUBJECT_OTHER_TARGET
};

/* What was learnt of one, in a sweep, says nothing of the other unless they are the same. */
enum subject_change subject_compare(const struct subject *swept, const struct subject *now);

/* Whether it is certain that another target took its place: both have an identity, and not only a path. */
bool subject_is_replaced(const struct subject *swept, const struct subject *now);
