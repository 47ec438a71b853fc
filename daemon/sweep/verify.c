/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifying on other CPUs pays only where the hand-over costs less than the comparing, so: whole batches change hands
 * under one lock, a worker is woken only when the queue turns non-empty, a sweep is woken only when its own return
 * queue does, small blocks are declined, and so is everything beyond what the workers can begin at once. What goes
 * wrong elsewhere is guarded against here: workers drain before they end, pin themselves and not their parent, and go
 * on after a bad block.
 */
#include "sweep/verify.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "base/queue.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum {
        WORTHWHILE_BYTES = 64 << 10, /* comparing less takes no longer than waking somebody */
        POOL_QUEUE_MAX = 4096,
        BATCH_MAX = 4
};

struct worker {
        struct verify_pool *pool;
        unsigned index;
        int cpu;
        pthread_t thread;
        /* written before `ready`, then only read */
        char cpus[CPUS_TEXT_BYTES];
        char missed[SELF_TEST_TEXT_BYTES]; /* what its self-test missed; "": nothing */
        /* written by the worker, read by main for status */
        atomic_int ready; /* 0: not yet; 1: pinned and tested; negative errno: could not do that */
        atomic_uint_fast64_t blocks, bytes, busy_us;
        atomic_bool dismissed; /* written by the sweep that found it wrong, read by the worker and main */
};

struct verify_pool {
        struct queue *jobs;
        unsigned worker_count;
        unsigned started;
        atomic_uint verifiers;
        struct worker workers[];
};

struct pool_verifier {
        struct verifier base;
        struct verify_pool *pool;
        struct queue *returned;
        size_t capacity;
        size_t handed_over; /* not yet taken back; the sweep's thread alone */
};

bool verify_job_run_elsewhere(struct verify_job *job, cpu_set_t *tried) {
        cpu_set_t mine, others;
        if (cpus_of_this_thread(&mine) < 0)
                return false;
        CPU_AND(&others, &mine, tried);
        CPU_XOR(&others, &others, &mine);
        if (CPU_COUNT(&others) == 0)
                return false;
        int cpu = cpus_nth(&others, 0);
        if (cpus_pin_this_thread(cpu) < 0)
                return false;
        verify_job_run(job);
        (void)cpus_allow_this_thread(&mine); /* fails only where the CPUs are gone, and then the kernel has moved us */
        job->cpu = cpu;
        job->worker = 0;
        CPU_SET((size_t)cpu, tried);
        return true;
}

static void worker_verify(struct worker *w, struct verify_job *job) {
        if (!atomic_load(&w->dismissed)) {
                verify_job_run(job);
                job->worker = w->index + 1;
                atomic_fetch_add_explicit(&w->bytes, job->length_bytes, memory_order_relaxed);
                atomic_fetch_add_explicit(&w->blocks, 1, memory_order_relaxed);
        }
        struct pool_verifier *v = (struct pool_verifier *)job->verifier;
        bool pushed = queue_push_one(v->returned, job);
        assert(pushed); /* it has room for all that was handed over */
        (void)pushed;
}

static int worker_settle_down(struct worker *w) {
        char name[16];
        snprintf(name, sizeof name, "verify-%u", w->index);
        pthread_setname_np(pthread_self(), name);
        int r = cpus_pin_this_thread(w->cpu);
        if (r < 0)
                return r;
        cpu_set_t set;
        r = cpus_of_this_thread(&set);
        if (r < 0)
                return r;
        cpus_format(w->cpus, sizeof w->cpus, &set);
        r = self_test_run(w->missed);
        return r < 0 ? r : 1;
}

static bool has_worker_in_service(const struct verify_pool *pool) {
        for (unsigned i = 0; i < pool->worker_count; i++)
                if (!atomic_load(&pool->workers[i].dismissed))
                        return true;
        return false;
}

/*
 * The last ones stay though dismissed, and give back undone what was pushed before that was known: a worker leaves only
 * where it saw another in service, and that one will see none.
 */
static bool worker_may_leave(const struct worker *w) {
        return atomic_load(&w->dismissed) && has_worker_in_service(w->pool);
}

static void *worker_run(void *userdata) {
        struct worker *w = userdata;
        int r = worker_settle_down(w);
        atomic_store(&w->ready, r);
        if (r < 0)
                return NULL;
        void *jobs[BATCH_MAX];
        size_t n;
        while (!worker_may_leave(w) && (n = queue_pop(w->pool->jobs, jobs, BATCH_MAX)) > 0) {
                for (size_t i = 0; i < n; i++)
                        worker_verify(w, jobs[i]);
                atomic_store_explicit(&w->busy_us, clock_thread_cpu_us(), memory_order_relaxed);
        }
        return NULL;
}

DEFINE_FREEP(struct verify_pool, verify_pool_free, verify_pool_freep)

/* Pinning is part of starting: a worker on the wrong CPU is an error now, not a surprise in status. */
static int await_ready(struct worker *w) {
        int r;
        while ((r = atomic_load(&w->ready)) == 0)
                sched_yield();
        return MIN(r, 0);
}

int verify_pool_new(struct verify_pool **ret, unsigned workers, const cpu_set_t *cpus) {
        CLEANUP(verify_pool_freep)
        struct verify_pool *pool = calloc(1, sizeof *pool + workers * sizeof pool->workers[0]);
        if (!pool)
                return -ENOMEM;
        pool->worker_count = workers;
        int r = queue_new(&pool->jobs, POOL_QUEUE_MAX, -1);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < workers; i++) {
                struct worker *w = &pool->workers[i];
                *w = (struct worker){ .pool = pool, .index = i, .cpu = cpus_nth(cpus, i) };
                r = pthread_create(&w->thread, NULL, worker_run, w);
                if (r > 0)
                        return -r;
                pool->started++;
        }
        for (unsigned i = 0; i < workers; i++) {
                r = await_ready(&pool->workers[i]);
                if (r < 0)
                        return r;
        }
        *ret = STEAL(pool);
        return 0;
}

struct verify_pool *verify_pool_free(struct verify_pool *pool) {
        if (!pool)
                return NULL;
        assert(atomic_load(&pool->verifiers) == 0);
        if (pool->jobs)
                queue_close(pool->jobs);
        for (unsigned i = 0; i < pool->started; i++)
                pthread_join(pool->workers[i].thread, NULL);
        queue_free(pool->jobs);
        free(pool);
        return NULL;
}

int verify_pool_self_test(const struct verify_pool *pool, char text[static SELF_TEST_TEXT_BYTES]) {
        for (unsigned i = 0; i < pool->worker_count; i++)
                if (pool->workers[i].missed[0]) {
                        text_copy(text, SELF_TEST_TEXT_BYTES, pool->workers[i].missed);
                        return SELF_TEST_E_MISSED;
                }
        return SELF_TEST_OK;
}

unsigned verify_pool_workers(const struct verify_pool *pool) {
        return pool->worker_count;
}

void verify_pool_record(const struct verify_pool *pool, unsigned i, struct worker_record *ret) {
        assert(i < pool->worker_count);
        const struct worker *w = &pool->workers[i];
        *ret = (struct worker_record){
                .index = i,
                .in_service = !atomic_load(&w->dismissed),
                .blocks_verified = atomic_load_explicit(&w->blocks, memory_order_relaxed),
                .bytes_verified = atomic_load_explicit(&w->bytes, memory_order_relaxed),
                .busy_us = atomic_load_explicit(&w->busy_us, memory_order_relaxed),
        };
        text_copy(ret->cpus, sizeof ret->cpus, w->cpus);
}

static size_t pool_hand_over(struct verifier *base, struct verify_job *const *jobs, size_t count) {
        struct pool_verifier *v = (struct pool_verifier *)base;
        if (!has_worker_in_service(v->pool) || count == 0 || jobs[0]->length_bytes < WORTHWHILE_BYTES)
                return 0;
        size_t free_workers = queue_waiting(v->pool->jobs), room = v->capacity - v->handed_over;
        size_t n = MIN(count, MIN(room, free_workers * BATCH_MAX));
        if (n == 0)
                return 0;
        for (size_t i = 0; i < n; i++) {
                jobs[i]->verifier = base;
                jobs[i]->done = false;
        }
        n = queue_push(v->pool->jobs, (void *const *)jobs, n);
        v->handed_over += n;
        return n;
}

static size_t pool_take_back(struct verifier *base, struct verify_job **jobs, size_t max) {
        struct pool_verifier *v = (struct pool_verifier *)base;
        if (v->handed_over == 0)
                return 0;
        size_t n = queue_try_pop(v->returned, (void **)jobs, max);
        v->handed_over -= n;
        return n;
}

static void pool_dismiss(struct verifier *base, unsigned worker) {
        struct verify_pool *pool = ((struct pool_verifier *)base)->pool;
        assert(worker > 0 && worker <= pool->worker_count);
        atomic_store(&pool->workers[worker - 1].dismissed, true);
}

static struct verifier *pool_verifier_free(struct verifier *base) {
        struct pool_verifier *v = (struct pool_verifier *)base;
        assert(v->handed_over == 0);
        atomic_fetch_sub(&v->pool->verifiers, 1);
        queue_free(v->returned);
        free(v);
        return NULL;
}

static const struct verifier_ops pool_ops = {
        .hand_over = pool_hand_over,
        .take_back = pool_take_back,
        .dismiss = pool_dismiss,
        .free = pool_verifier_free,
};

int verify_pool_verifier(struct verifier **ret, struct verify_pool *pool, size_t capacity, int wake_fd) {
        CLEANUP_FREE struct pool_verifier *v = calloc(1, sizeof *v);
        if (!v)
                return -ENOMEM;
        *v = (struct pool_verifier){ .base.ops = &pool_ops, .pool = pool, .capacity = capacity };
        int r = queue_new(&v->returned, capacity, wake_fd);
        if (r < 0)
                return r;
        atomic_fetch_add(&pool->verifiers, 1);
        struct pool_verifier *done = STEAL(v);
        *ret = &done->base;
        return 0;
}
