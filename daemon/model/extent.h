/* SPDX-License-Identifier: Apache-2.0 */
/* extent: a byte range [offset, offset + length) of a target. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct extent {
        uint64_t offset_bytes;
        uint64_t length_bytes;
};

static inline uint64_t extent_end(struct extent e) {
        return e.offset_bytes + e.length_bytes;
}

static inline bool extent_overlaps(struct extent a, struct extent b) {
        return a.offset_bytes < extent_end(b) && b.offset_bytes < extent_end(a);
}

static inline bool extent_contains(struct extent outer, struct extent inner) {
        return outer.offset_bytes <= inner.offset_bytes && extent_end(inner) <= extent_end(outer);
}

/* The smallest extent that holds both. */
static inline struct extent extent_hull(struct extent a, struct extent b) {
        uint64_t from = a.offset_bytes < b.offset_bytes ? a.offset_bytes : b.offset_bytes;
        uint64_t to = extent_end(a) > extent_end(b) ? extent_end(a) : extent_end(b);
        return (struct extent){ from, to - from };
}

/* What both have in common; of length 0 where they do not meet. */
static inline struct extent extent_common(struct extent a, struct extent b) {
        uint64_t from = a.offset_bytes > b.offset_bytes ? a.offset_bytes : b.offset_bytes;
        uint64_t to = extent_end(a) < extent_end(b) ? extent_end(a) : extent_end(b);
        return (struct extent){ from, to > from ? to - from : 0 };
}
