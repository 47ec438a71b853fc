/* SPDX-License-Identifier: Apache-2.0 */
/* chance: everything that a simulation leaves to chance follows from one seed. */
#pragma once

#include "sweep/layout.h"

#include <stdbool.h>
#include <stdint.h>

struct chance {
        uint64_t state;
};

/* splitmix64 (Steele, Lea and Flood, 2014). */
static inline uint64_t chance_next(struct chance *c) {
        c->state += UINT64_C(0x9e3779b97f4a7c15);
        return layout_mix(c->state);
}

static inline uint64_t chance_below(struct chance *c, uint64_t n) {
        return chance_next(c) % n;
}

/* Both ends included. */
static inline uint64_t chance_between(struct chance *c, uint64_t low, uint64_t high) {
        return low + chance_below(c, high - low + 1);
}

/* n = 0: never. */
static inline bool chance_one_in(struct chance *c, uint64_t n) {
        return n > 0 && chance_below(c, n) == 0;
}
