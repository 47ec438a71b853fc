/* SPDX-License-Identifier: Apache-2.0 */
/*
 * finding_book: the life of a finding. Turns the faults that sweeps report into findings with ids, raises the count of
 * those that are seen again, and resolves those that a later pass reached and did not see. Holds the open and
 * acknowledged ones in memory. Main's alone; no I/O.
 */
#pragma once

#include "model/finding.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct finding_book;

/* first_id: the next id to give. -ENOMEM. */
int finding_book_new(struct finding_book **ret, uint64_t first_id);

/* Accepts NULL; returns NULL. */
struct finding_book *finding_book_free(struct finding_book *book);

/* Takes in (copies) an open or acknowledged finding from the ledger. -ENOMEM. */
int finding_book_load(struct finding_book *book, const struct finding *finding);

/*
 * A fault as its sweep reports it: `seen` has device, target_row, sweep_id, place, fault, persistence, text, detail,
 * sample and last_seen_us. serial: the sweep's own number of the run, so that a run that grows stays one finding.
 * The finding that it became is returned (borrowed, valid until the next call); *is_new tells whether it is to be
 * announced: a new one, or one that grew beyond the place it had. Seen before, with the same device, target and fault,
 * by another sweep at an overlapping or touching place, or by another run of this sweep at an overlapping one: the same
 * finding, count + 1 (once a sweep and run), place the hull of both, state as it was. NULL: -ENOMEM.
 */
const struct finding *finding_book_report(
        struct finding_book *book, const struct finding *seen, uint64_t serial, bool *is_new);

/*
 * A sweep ended: every open or acknowledged finding of this device and target (or of none: it hung before it was
 * known which one it is) whose place lies wholly in `reached` and
 * that this sweep did not report is over (resolved). Calls `over` for each, then drops it. Returns how many.
 */
typedef void (*finding_over_fn)(void *userdata, const struct finding *finding);
size_t finding_book_resolve(struct finding_book *book, const char *device, uint64_t target_row, uint64_t sweep_id,
        const struct extent *reached, size_t reached_count, uint64_t now_us, finding_over_fn over, void *userdata);

/* This sweep can't tell whether the device's findings of this fault are over: none of them is resolved by it. */
void finding_book_spare(struct finding_book *book, const char *device, enum fault fault, uint64_t sweep_id);

/*
 * A sweep is gone on with, perhaps by another daemon: what it saw so far counts as seen by it. finding_book_number():
 * the run of this number is that finding.
 */
void finding_book_recall(struct finding_book *book, const char *device, uint64_t sweep_id);
void finding_book_number(struct finding_book *book, uint64_t finding_id, uint64_t serial);

/* Retires what belongs to the device and another target than this one (0: all of the device's). Returns how many. */
size_t finding_book_retire(struct finding_book *book, const char *device, uint64_t except_target_row, uint64_t now_us,
        finding_over_fn over, void *userdata);

/* Somebody knows of it: silent, unless it grows, which opens it again. NULL: no open or acknowledged one has that id.
 */
const struct finding *finding_book_acknowledge(
        struct finding_book *book, uint64_t id, const char *comment, uint64_t now_us);

/* Calls `again` for each that is open, and of which people were last told so long ago. Returns how many. */
typedef void (*finding_again_fn)(void *userdata, const struct finding *finding);
size_t finding_book_remind(
        struct finding_book *book, uint64_t repeat_us, uint64_t now_us, finding_again_fn again, void *userdata);

/* The first with a higher id, of the device ("" or NULL: of any); NULL: none. By id upwards. */
const struct finding *finding_book_after(const struct finding_book *book, const char *device, uint64_t id);

const struct finding *finding_book_get(const struct finding_book *book, uint64_t id);

struct finding_counts {
        uint64_t open, acknowledged;
        uint64_t open_faults; /* open, and not a mere warning (slow): what makes a verdict faulty */
};
struct finding_counts finding_book_counts(const struct finding_book *book, const char *device);

/* The next id that would be given. */
uint64_t finding_book_next_id(const struct finding_book *book);
