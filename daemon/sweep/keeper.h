/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper: the part of a sweep that overwrites data and puts it back (modes refresh and preserve). It walks the extent
 * in segments, two at a time, each in a slot of the undo journal. It knows the way that goes well and the faults of a
 * disk; whatever else happens, it stops, and recovery mends what is armed. State diagram in ARCHITECTURE.md.
 */
#pragma once

#include "media/engine.h"
#include "model/extent.h"
#include "model/sweep_record.h"

#include <stdbool.h>
#include <stdint.h>

struct keeper;
struct sweep;

/* For a sweep whose options have a journal. -ENOMEM. */
int keeper_new(struct keeper **ret, struct sweep *s);

/* Generation and nonce are known, and durable. */
void keeper_begin(struct keeper *k);

/* Reaps, advances, submits. True: something was done. Once the sweep is ending, it only takes back what is out. */
bool keeper_pump(struct keeper *k);

/* From now on nothing is begun: segments that were not yet written to are let go, the others are left armed. */
void keeper_stop(struct keeper *k);

/* Nothing is in flight, and nothing will be done any more. */
bool keeper_is_over(const struct keeper *k);

/* Slots whose segment may not be what it was: recovery's. */
unsigned keeper_left_armed(const struct keeper *k);

/* A segment of those may not be what it was. Of the others the marker may not be durable: no reason to write. */
bool keeper_has_written(const struct keeper *k);

/* A flush of the target failed, and what it should have covered was not all written and flushed again. */
bool keeper_lost_a_flush(const struct keeper *k);

/* Nobody else wrote to the target while segments were being written: the kernel's count misses nobody, and nothing that
 * was read speaks against it. */
bool keeper_was_alone(struct keeper *k);

/* True: somebody else wrote, there or somewhere in that segment, or may have. */
bool keeper_met_foreign(const struct keeper *k, struct extent *ret);

/* May have: only what was read speaks for it, and recovery tells what that is. */
bool keeper_suspects(const struct keeper *k);

/* Requests to the target that are not answered. */
unsigned keeper_out_to_target(const struct keeper *k);

enum sweep_phase keeper_phase(const struct keeper *k);

/* The request that has been out longest; NULL: none. */
const struct engine_io *keeper_oldest(const struct keeper *k);

/* Whether that one is of the undo journal, and not of the target. */
bool keeper_is_of_journal(const struct keeper *k, const struct engine_io *io);

/* Nothing may be in flight. Accepts NULL; returns NULL. */
struct keeper *keeper_free(struct keeper *k);
