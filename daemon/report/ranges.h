/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ranges: the arithmetic of stamped ranges: what a stretch may hold after it was announced, written and settled. Pure.
 * Kept sorted by offset, generation, nonce; no range is empty; no place holds one (generation, nonce) twice; at most
 * one settled range at any place; touching ranges that say the same are one. An unsettled range without a settled one
 * under it means: this generation, or what nobody knows.
 */
#pragma once

#include "model/target_record.h"

#include <stddef.h>

/* Zeroed is empty. */
struct ranges {
        size_t count;
        size_t capacity;
        struct stamped_range *items;
};

void ranges_deinit(struct ranges *ranges);

/* Takes a heap array of ranges, in any order; it belongs to `ranges` from here on. */
void ranges_adopt(struct ranges *ranges, struct stamped_range *items, size_t count);

/*
 * The stretch holds this alone (of the stamp, generation, nonce and started_us count): whatever was known of it before
 * is replaced. -ENOMEM: half done, drop the ranges.
 */
int ranges_settle(struct ranges *ranges, struct extent extent, const struct stamped_range *stamp);

/*
 * The stretch may from now on hold this beside what it held. Places that would hold more than TARGET_OVERLAP_MAX are
 * forgotten. -ENOMEM as above.
 */
int ranges_announce(struct ranges *ranges, struct extent extent, const struct stamped_range *stamp);

/* Nothing is known of the stretch any more. -ENOMEM as above. */
int ranges_forget(struct ranges *ranges, struct extent extent);

/*
 * Forgets the smallest ranges until at most `max` are left. Never leaves a settled range where a forgotten unsettled
 * one was: that would claim to know what is there.
 */
void ranges_limit(struct ranges *ranges, size_t max);
