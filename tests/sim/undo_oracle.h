/* SPDX-License-Identifier: Apache-2.0 */
/*
 * undo_oracle: what must be true of the two disks, known from the case alone and from the bytes that are there.
 */
#pragma once

#include "undo_case.h"

/* Of a slot, as durable in this image of the journal. */
struct armed_slot {
        bool armed; /* or pinned */
        struct undo_marker marker;
};

/* The marker on this page, if it is whole. */
bool oracle_marker(const struct undo_case *c, uint32_t id, struct undo_marker *ret);

void oracle_slots(const struct undo_case *c, const struct image *journal, struct armed_slot ret[static UNDO_SLOTS]);

/* The promises of the journal, at the moment in which a write is handed over: what is overwritten is armed and whole,
 * what belongs to an armed slot is not. NULL, or what is broken. */
const char *oracle_rule_broken(
        const struct undo_case *c, const struct world *w, const struct crash_disk *d, const struct flight *f);

/* The same for a sweep that nothing disturbs, so that no recovery is part of it. */
const char *oracle_keeper_rule_broken(
        const struct undo_case *c, const struct world *w, const struct crash_disk *d, const struct flight *f);

/* For a write by the keeper: of a marker, only one copy is armed. */
const char *oracle_has_lone_copy(
        const struct undo_case *c, const struct world *w, const struct crash_disk *d, const struct flight *f);

/* Whether the slot that is armed for a unit says that a flush of the target failed. */
bool oracle_is_noted(const struct undo_case *c, const struct image *journal, size_t unit);

/* Where the original of a unit still is, in a slot that is armed. */
bool oracle_is_saved(const struct undo_case *c, const struct image *journal, size_t unit, uint32_t original);

/* Whether that slot has this sector of it, whatever it has of the others. */
bool oracle_sector_is_saved(const struct undo_case *c, const struct image *journal, size_t unit, unsigned sector);
