/* SPDX-License-Identifier: Apache-2.0 */
/* admission: which of the sweeps that are due may start now, and what the others wait for. No I/O, no clock. */
#pragma once

#include "model/disk_place.h"
#include "model/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct admission_candidate {
        const char *name;
        uint64_t next_start_us; /* by schedule_next_start(), or 0 for a start by hand */
        uint64_t deadline_us;   /* which may be over; SCHEDULE_NEVER */
        bool by_hand;
        const struct disk_place *place;
};

struct admission_sweep {
        const char *name;
        const struct disk_place *place;
        bool hangs; /* keeps its disk, but takes no part in the limits: it would keep all others from their sweeps */
};

/* Those that run, and how many may: 0 is no limit. */
struct admission_host {
        const struct admission_sweep *sweeps;
        size_t sweep_count;
        unsigned concurrent_sweeps;
        unsigned per_controller;
};

/*
 * The index of the candidate that may start now, or -1: none does on a disk that is being swept, nor where a limit is
 * reached. By hand before due, then the earliest deadline, which is that of the most overdue; then the one that was
 * planned first, then by name.
 */
int admission_choose(const struct admission_candidate *candidates, size_t candidate_count,
        const struct admission_host *host, uint64_t now_us);

/* What one waits for. False: nothing that is known here; *ret is untouched. */
bool admission_explain(struct reason *ret, const struct disk_place *place, const struct admission_host *host);
