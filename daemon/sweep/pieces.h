/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pieces: what is left of a failed request, to be tried again in halves until the logical blocks that are bad are
 * known. A stack: the lowest place comes first.
 */
#pragma once

#include "model/extent.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PIECES_MAX = 32 }; /* enough to halve 4 MiB down to 512 bytes twice over */

struct pieces {
        struct extent stack[PIECES_MAX];
        size_t depth;
};

/* An empty one is not kept. */
void pieces_push(struct pieces *p, uint64_t from, uint64_t to);

/* False: nothing is left. */
bool pieces_pop(struct pieces *p, struct extent *ret);

/* Cut at a unit's border where there is one. The piece must be longer than a logical block. */
void pieces_push_halves(struct pieces *p, struct extent piece, uint32_t logical_block_bytes);
