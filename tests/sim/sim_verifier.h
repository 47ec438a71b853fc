/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_verifier: the verifier's seam on one thread: jobs are taken or not, and come back late and in any order, from any
 * of so many workers.
 */
#pragma once

#include "chance.h"
#include "sweep/verify.h"

enum { VERIFIER_JOBS_MAX = 64 };

struct sim_verifier {
        struct verifier verifier;
        struct chance *chance;
        unsigned workers, dismissed; /* dismissed: a bit each */
        size_t count;
        struct verify_job *jobs[VERIFIER_JOBS_MAX];
};

/* workers: 1 to 31. */
void sim_verifier_init(struct sim_verifier *v, struct chance *chance, unsigned workers);
