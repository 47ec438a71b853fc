/* SPDX-License-Identifier: Apache-2.0 */
/* survey: what one sweep measured, beside what it found. */
#pragma once

#include "model/latency.h"
#include "model/region_table.h"

/*
 * Of the requests that a sweep sets out to make, as far as they were answered without an error. What is tried again
 * (the ladder, narrowing, the second read of a slow place) and the look before the first write are not in it.
 */
struct survey {
        struct latency_histogram latency[LATENCY_OPERATIONS];
        struct region_table regions; /* checked and verified by this sweep */
        uint64_t late_reads;         /* that were right, and later than slow_after */
        uint64_t late_untried;       /* of those: what was not read once more alone */
};
