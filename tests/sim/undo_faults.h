/* SPDX-License-Identifier: Apache-2.0 */
/*
 * undo_faults: larger cases of sweeps that keep the data, each with a fault at some moment of the protocol, some with a
 * crash and more sweeps behind it, and what recovery makes of it.
 */
#pragma once

#include "undo_moment.h"

enum mischief {
        MISCHIEF_NONE,
        MISCHIEF_ERROR,   /* an I/O error, once */
        MISCHIEF_LASTING, /* at this place from now on */
        MISCHIEF_STOPS,   /* an error after which a device is of no more use */
        MISCHIEF_AGAIN,   /* one of those that are ours, a few times */
        MISCHIEF_REFUSED, /* the kernel does not even take it */
        MISCHIEF_NOTHING, /* nothing is transferred, and said so */
        MISCHIEF_SHORT,
        MISCHIEF_PHANTOM,   /* nothing is transferred, and it is said to be done */
        MISCHIEF_FLIPPED,   /* a bit of what is read */
        MISCHIEF_ROT,       /* what is read is no longer what was written, for good */
        MISCHIEF_GONE,      /* the device */
        MISCHIEF_REPLACED,  /* another device has its name; the old one still answers */
        MISCHIEF_UNCOUNTED, /* the kernel no longer counts what is written */
        MISCHIEF_FOREIGN,   /* somebody else writes there right before */
        MISCHIEF_CANCEL,
        MISCHIEF_STOP,
        MISCHIEF_GIVE_UP,
        MISCHIEF_NO_MEMORY, /* stop, and no memory to recover with */
        MISCHIEF_KILL,      /* the process ends; what is in flight gets there */
        MISCHIEF_CUT,       /* the power */
        MISCHIEF_COUNT
};

struct fault_counts {
        uint64_t seeds, sweeps, recoveries, crashes, memory;
        uint64_t finished, restored, pinned, lost_units, foreign_writes, foreign_window, foreign_told;
        uint64_t unflushed_told; /* after a crash */
        uint64_t hits[MOMENT_COUNT][MISCHIEF_COUNT];
};

void undo_faults_run(uint64_t seed, struct fault_counts *counts);
void undo_faults_add(struct fault_counts *sum, const struct fault_counts *counts);
void undo_faults_print(const struct fault_counts *t);

/* Ends the process where a fault that can be was never met at a moment. */
void undo_faults_check(const struct fault_counts *t);
