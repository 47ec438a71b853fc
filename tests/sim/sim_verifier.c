/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job is verified only when it is taken back: a sweep that touched its buffer before would be found out by a unit
 * that is suddenly bad.
 */
#include "sim_verifier.h"

#include "base/cleanup.h"
#include "failure.h"

static size_t hand_over(struct verifier *verifier, struct verify_job *const *jobs, size_t count) {
        struct sim_verifier *v = (void *)verifier; /* its first member */
        bool any = v->dismissed != BIT(v->workers) - 1;
        size_t room = any ? VERIFIER_JOBS_MAX - v->count : 0, n = MIN(count, room);
        if (n > 0 && chance_one_in(v->chance, 3))
                n = chance_below(v->chance, n + 1);
        for (size_t i = 0; i < n; i++)
                v->jobs[v->count++] = jobs[i];
        return n;
}

static size_t take_back(struct verifier *verifier, struct verify_job **jobs, size_t max) {
        struct sim_verifier *v = (void *)verifier;
        size_t n = 0;
        while (v->count > 0 && n < max && !chance_one_in(v->chance, 3)) {
                size_t which = chance_below(v->chance, v->count);
                jobs[n] = v->jobs[which];
                v->jobs[which] = v->jobs[--v->count];
                unsigned worker = (unsigned)chance_below(v->chance, v->workers);
                if (!(v->dismissed & BIT(worker)))
                        verify_job_run(jobs[n]);
                else
                        jobs[n]->done = false;
                jobs[n++]->worker = worker + 1;
        }
        return n;
}

static void dismiss(struct verifier *verifier, unsigned worker) {
        struct sim_verifier *v = (void *)verifier;
        MUST(worker > 0 && worker <= v->workers, "there is no worker %u to dismiss", worker);
        v->dismissed |= (unsigned)BIT(worker - 1);
}

static struct verifier *unfreeable(struct verifier *verifier) {
        failure("the sweep freed a verifier that it borrowed");
}

static const struct verifier_ops ops = {
        .hand_over = hand_over, .take_back = take_back, .dismiss = dismiss, .free = unfreeable
};

void sim_verifier_init(struct sim_verifier *v, struct chance *chance, unsigned workers) {
        *v = (struct sim_verifier){ .verifier.ops = &ops, .chance = chance, .workers = workers };
}
