/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault_table: the faults that one sweep has met, merged into runs. Bounded: when it is full, a new fault is added to
 * the nearest run of its class, whose extent then covers more than is bad, while its count of bad bytes stays exact.
 * Memory is taken once. One thread.
 */
#pragma once

#include "model/extent.h"
#include "model/finding.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FAULT_TABLE_RUNS_MAX = 4096 };

struct fault_run {
        uint32_t serial; /* the run's own number in this sweep, from 1 */
        uint32_t pass;   /* runs of different passes are never merged */
        enum fault fault;
        enum persistence persistence;
        int64_t cause; /* only faults of one cause are neighbours: errno, generation, displacement */
        struct extent place;
        uint64_t bad_bytes;            /* exact, also where place is coarse */
        bool coarse;                   /* place holds good bytes too, as the table was full */
        bool sampled;                  /* seen by the look before the sweep alone, not by its passes */
        bool withheld;                 /* not to be reported yet: perhaps somebody else's data */
        bool doubtful;                 /* not to be reported yet: perhaps a neighbour's failure */
        bool restored;                 /* told by an earlier part of this sweep */
        bool lone;                     /* met by a request that was alone: no neighbour's failure has to do with it */
        uint64_t reported_bytes;       /* bad_bytes when it was last reported; 0: never */
        enum persistence reported_as;  /* the persistence that was last reported */
        char text[FINDING_TEXT_BYTES]; /* of the first fault of the run */
        struct detail detail;
        struct sample sample;
};

struct fault_table;

/* -ENOMEM. */
int fault_table_new(struct fault_table **ret);

/* Accepts NULL; returns NULL. */
struct fault_table *fault_table_free(struct fault_table *t);

/*
 * Adds a fault, as a run of its own or to a run that it touches (same pass, fault, cause and persistence; where it is
 * persistent or repaired, what is not known to be either joins it). `fault` has pass, fault, persistence, cause, place,
 * sampled, withheld, doubtful, lone, text, detail and sample; the rest is the table's.
 */
void fault_table_add(struct fault_table *t, const struct fault_run *fault);

/*
 * Whether text, detail and sample of a fault that is to be added will be looked at: the words of a run are those of its
 * first fault, and a fault that the run goes on with needs none. They cost more than all else about it.
 */
bool fault_table_wants_words(struct fault_table *t, const struct fault_run *fault);

/* What an earlier part of the sweep has told: a run of its own, with the next number, which counts as reported. False:
 * there is no room. */
bool fault_table_restore(struct fault_table *t, const struct fault_run *run);

/* Runs may have become of one kind since they were added (no longer withheld, say): those that touch are made one. */
void fault_table_join(struct fault_table *t);

size_t fault_table_count(const struct fault_table *t);

/* By place, then in the order in which they came. */
struct fault_run *fault_table_at(struct fault_table *t, size_t index);

void fault_table_remove(struct fault_table *t, size_t index);
