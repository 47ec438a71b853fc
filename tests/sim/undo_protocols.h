/* SPDX-License-Identifier: Apache-2.0 */
/* undo_protocols: what is tried in undo_explore: our own protocol, and three that are known to lose data. */
#pragma once

#include "undo_explore.h"

extern const struct protocol undo_protocol;

/* The same, but somebody uses the disk before recovery does. */
extern const struct protocol undo_used_between;

/* Originals in memory alone, as non-destructive tests of disks do it. */
extern const struct protocol naive_in_memory;

/* A journal whose header is not ordered behind its data, nor the target's bytes behind both. */
extern const struct protocol naive_unordered;

/* Well ordered, but recovery writes back whatever an armed header names, without a look at what is there. */
extern const struct protocol naive_blind;

/* The same where nobody else writes: it does not lose. */
extern const struct protocol naive_ordered;
