/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify: hands blocks that were read to whoever compares them, and takes them back. A seam: the real one is a pool of
 * pinned worker threads that all sweeps share; the tests' one verifies in a seeded order on one thread.
 */
#pragma once

#include "model/device_record.h"
#include "sweep/content.h"
#include "sweep/self_test.h"

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for the bits of expectation_check() over the largest block. */
enum { VERIFY_WORDS = (BLOCK_UNITS_MAX + 2 + 63) / 64 };

/* Belongs to the verifier from verifier_hand_over() until verifier_take_back() returns it. */
struct verify_job {
        const struct expectation *expectation;
        const uint8_t *bytes;
        uint64_t offset_bytes;
        uint32_t length_bytes;
        void *owner; /* the submitter's own, untouched */

        bool done; /* false when it comes back: its worker was taken out of service, and it is still to be verified */
        size_t bad_count;
        uint64_t bad_units[VERIFY_WORDS]; /* as of expectation_check() */
        bool spared;     /* it is as bad as its neighbours, and no other CPU was asked; the sweep's own note */
        int cpu;         /* where it was done; set where bad_count > 0; -1: unknown */
        unsigned worker; /* who did it, from 1; 0: the submitter's own thread */
        struct verifier *verifier; /* where it goes back to: the verifier's own */
};

/* Verifies on the calling thread. */
static inline void verify_job_run(struct verify_job *job) {
        job->bad_count = expectation_check(
                job->expectation, job->bytes, job->offset_bytes, job->length_bytes, job->bad_units);
        job->cpu = job->bad_count > 0 ? sched_getcpu() : -1;
        job->done = true;
}

/*
 * Verifies on the calling thread, but on a CPU that is not among `tried`, and adds that one to them. False: this thread
 * may run on no other, and nothing was done.
 */
bool verify_job_run_elsewhere(struct verify_job *job, cpu_set_t *tried);

struct verifier;

struct verifier_ops {
        size_t (*hand_over)(struct verifier *v, struct verify_job *const *jobs, size_t count);
        size_t (*take_back)(struct verifier *v, struct verify_job **jobs, size_t max);
        void (*dismiss)(struct verifier *v, unsigned worker); /* NULL: nobody can be dismissed */
        struct verifier *(*free)(struct verifier *v);
};

struct verifier {
        const struct verifier_ops *ops;
};

/* Takes as many as it is worth to take, in order, and returns how many; the caller verifies the others by itself. */
static inline size_t verifier_hand_over(struct verifier *v, struct verify_job *const *jobs, size_t count) {
        return v->ops->hand_over(v, jobs, count);
}

/* Up to max verified jobs, in any order, without waiting. */
static inline size_t verifier_take_back(struct verifier *v, struct verify_job **jobs, size_t max) {
        return v->ops->take_back(v, jobs, max);
}

/* A worker verified wrongly: it is taken out of service, for all sweeps. worker: as in its job. */
static inline void verifier_dismiss(struct verifier *v, unsigned worker) {
        if (v && v->ops->dismiss && worker > 0)
                v->ops->dismiss(v, worker);
}

/* Every job must have been taken back. Accepts NULL; returns NULL. */
static inline struct verifier *verifier_free(struct verifier *v) {
        return v ? v->ops->free(v) : NULL;
}

struct verify_pool;

/*
 * Starts the workers: worker i pins itself to the CPU i mod n of cpus. With 0 workers every hand-over is declined.
 * -EINVAL: a CPU that this process may not run on; -EAGAIN, -ENOMEM.
 */
int verify_pool_new(struct verify_pool **ret, unsigned workers, const cpu_set_t *cpus);

/*
 * Each worker tests itself on its CPU when it starts. SELF_TEST_E_MISSED: the text says what the first worker that
 * failed has missed; the pool must not be used.
 */
int verify_pool_self_test(const struct verify_pool *pool, char text[static SELF_TEST_TEXT_BYTES]);

/* No verifier may be left. Accepts NULL; returns NULL. */
struct verify_pool *verify_pool_free(struct verify_pool *pool);

unsigned verify_pool_workers(const struct verify_pool *pool);

/* Worker i as status shows it. */
void verify_pool_record(const struct verify_pool *pool, unsigned i, struct worker_record *ret);

/*
 * A sweep's own door to the pool. capacity: jobs that may be handed over at one time; wake_fd: an eventfd (borrowed)
 * that is signalled when jobs come back. -ENOMEM.
 */
int verify_pool_verifier(struct verifier **ret, struct verify_pool *pool, size_t capacity, int wake_fd);
