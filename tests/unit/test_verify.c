/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes wrong with a pool of verifiers elsewhere: the tail of a job is dropped at the end, workers stay on the CPU
 * of their parent, the first bad block ends a worker. Each of it is asked here, with real threads.
 */
#include "base/cleanup.h"
#include "base/cpus.h"
#include "generation.h"
#include "sweep/verify.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

enum { BLOCK = 64 << 10, BLOCK_UNITS = BLOCK / UNIT_BYTES, SLOTS = 24, JOBS = 400 };

static struct verify_pool *pool_of(unsigned workers) {
        cpu_set_t cpus;
        struct verify_pool *pool;
        ck_assert_int_eq(cpus_of_this_thread(&cpus), 0);
        ck_assert_int_eq(verify_pool_new(&pool, workers, &cpus), 0);
        return pool;
}

struct slot {
        struct verify_job job;
        bool out;
        uint64_t expected_bad; /* a bit for each unit */
        uint8_t bytes[BLOCK];
};

/* One sweep's part: hands over, takes back, and verifies by itself what is declined. */
struct client {
        pthread_t thread;
        struct verify_pool *pool;
        struct verifier *verifier;
        struct expectation expectation;
        const struct content *content;
        uint64_t seed, state;
        int wake_fd;
        size_t offloaded, inlined, in_service;
        bool every_block_bad;
        struct slot slots[SLOTS];
};

static void prepare(struct client *c, struct slot *s) {
        uint64_t offset = suite_random(&c->state) % 1000 * BLOCK;
        content_fill(c->content, s->bytes, offset, BLOCK);
        s->expected_bad = 0;
        if (c->every_block_bad || suite_random(&c->state) % 3 == 0)
                for (size_t n = 1 + suite_random(&c->state) % 3; n > 0; n--) {
                        size_t unit = suite_random(&c->state) % BLOCK_UNITS;
                        s->bytes[unit * UNIT_BYTES + suite_random(&c->state) % UNIT_BYTES] ^= 0x40;
                        s->expected_bad |= BIT(unit);
                }
        s->job = (struct verify_job){
                .expectation = &c->expectation,
                .bytes = s->bytes,
                .offset_bytes = offset,
                .length_bytes = BLOCK,
                .owner = s,
        };
        s->out = true;
}

/* Flips of one byte may undo each other, so bad units are a part of the planted ones, and the check here is exact. */
static void judge(struct client *c, struct verify_job *job) {
        struct slot *s = job->owner;
        uint64_t bad[(BLOCK_UNITS_MAX + 2 + 63) / 64];
        HOLDS(c->seed, s->out && job == &s->job);
        HOLDS(c->seed, expectation_check(&c->expectation, s->bytes, job->offset_bytes, BLOCK, bad) == job->bad_count);
        HOLDS(c->seed, job->bad_units[0] == bad[0] && (bad[0] & ~s->expected_bad) == 0);
        s->out = false;
        c->in_service--;
}

static void take_back(struct client *c, bool wait) {
        struct verify_job *jobs[5];
        struct pollfd p = { .fd = c->wake_fd, .events = POLLIN };
        if (wait) {
                eventfd_t unused;
                HOLDS(c->seed, poll(&p, 1, 60000) == 1); /* else a wake-up was lost */
                eventfd_read(c->wake_fd, &unused);
        }
        for (size_t n; (n = verifier_take_back(c->verifier, jobs, ELEMENTS(jobs))) > 0;)
                for (size_t i = 0; i < n; i++)
                        judge(c, jobs[i]);
}

static size_t hand_over(struct client *c, size_t wanted) {
        struct verify_job *jobs[SLOTS];
        size_t count = 0;
        for (size_t i = 0; i < SLOTS && count < wanted; i++)
                if (!c->slots[i].out) {
                        prepare(c, &c->slots[i]);
                        jobs[count++] = &c->slots[i].job;
                }
        c->in_service += count;
        size_t taken = verifier_hand_over(c->verifier, jobs, count);
        HOLDS(c->seed, taken <= count);
        for (size_t i = taken; i < count; i++) {
                verify_job_run(jobs[i]);
                judge(c, jobs[i]);
        }
        c->offloaded += taken;
        c->inlined += count - taken;
        return taken;
}

static void *client_run(void *argument) {
        struct client *c = argument;
        while (c->offloaded + c->inlined < JOBS) {
                size_t wanted = 1 + suite_random(&c->state) % 10;
                hand_over(c, MIN(wanted, JOBS - c->offloaded - c->inlined));
                take_back(c, c->in_service > 0 && suite_random(&c->state) % 2);
        }
        while (c->in_service > 0)
                take_back(c, true);
        return NULL;
}

static struct client *client_new(struct verify_pool *pool, const struct generations *g, uint64_t seed) {
        struct client *c = calloc(1, sizeof *c);
        ck_assert_ptr_nonnull(c);
        c->pool = pool;
        c->seed = c->state = seed;
        c->content = &g->of[seed % GENERATIONS];
        c->expectation = expecting(c->content);
        c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        ck_assert_int_eq(verify_pool_verifier(&c->verifier, pool, SLOTS, c->wake_fd), 0);
        return c;
}

static void client_free(struct client *c) {
        c->verifier = verifier_free(c->verifier);
        close_fd(c->wake_fd);
        free(c);
}

static uint64_t blocks_verified(const struct verify_pool *pool) {
        uint64_t blocks = 0, bytes = 0;
        for (unsigned i = 0; i < verify_pool_workers(pool); i++) {
                struct worker_record record;
                verify_pool_record(pool, i, &record);
                blocks += record.blocks_verified;
                bytes += record.bytes_verified;
        }
        ck_assert_uint_eq(bytes, blocks * BLOCK);
        return blocks;
}

START_TEST(nothing_is_lost_with_one_client) {
        struct generations g;
        generations_init(&g, 1);
        struct verify_pool *pool = pool_of((unsigned)_i);
        struct client *c = client_new(pool, &g, 1);
        client_run(c);
        ck_assert_uint_eq(c->offloaded + c->inlined, JOBS);
        if (_i == 0)
                ck_assert_uint_eq(c->offloaded, 0);
        ck_assert_uint_eq(blocks_verified(pool), c->offloaded);
        client_free(c);
        verify_pool_free(pool);
        generations_deinit(&g);
}
END_TEST

START_TEST(nothing_is_lost_or_mixed_up_with_many_clients) {
        enum { CLIENTS = 4 };
        struct generations g;
        generations_init(&g, 2);
        struct verify_pool *pool = pool_of((unsigned)_i);
        struct client *clients[CLIENTS];
        size_t offloaded = 0;
        for (uint64_t i = 0; i < CLIENTS; i++) {
                clients[i] = client_new(pool, &g, 100 + i);
                ck_assert_int_eq(pthread_create(&clients[i]->thread, NULL, client_run, clients[i]), 0);
        }
        for (size_t i = 0; i < CLIENTS; i++) {
                pthread_join(clients[i]->thread, NULL);
                offloaded += clients[i]->offloaded;
        }
        ck_assert_uint_eq(blocks_verified(pool), offloaded);
        for (size_t i = 0; i < CLIENTS; i++)
                client_free(clients[i]);
        verify_pool_free(pool);
        generations_deinit(&g);
}
END_TEST

START_TEST(bad_blocks_do_not_end_a_worker) {
        struct generations g;
        generations_init(&g, 3);
        struct verify_pool *pool = pool_of(1);
        struct client *c = client_new(pool, &g, 3);
        c->every_block_bad = true;
        while (c->offloaded < 20) { /* each of them bad, through one and the same worker */
                hand_over(c, 4);
                while (c->in_service > 0)
                        take_back(c, true);
        }
        client_free(c);
        verify_pool_free(pool);
        generations_deinit(&g);
}
END_TEST

START_TEST(workers_are_on_the_cpus_that_they_were_given_and_their_parent_is_not_moved) {
        cpu_set_t before, after;
        ck_assert_int_eq(cpus_of_this_thread(&before), 0);
        struct verify_pool *pool = pool_of(3);
        for (unsigned i = 0; i < 3; i++) {
                struct worker_record record;
                char expected[16];
                verify_pool_record(pool, i, &record);
                snprintf(expected, sizeof expected, "%d", cpus_nth(&before, i));
                ck_assert_str_eq(record.cpus, expected);
                ck_assert(record.in_service);
                ck_assert_int_eq(record.index, (int)i);
        }
        ck_assert_int_eq(cpus_of_this_thread(&after), 0);
        ck_assert(CPU_EQUAL(&before, &after));
        verify_pool_free(pool);
}
END_TEST

START_TEST(a_cpu_that_is_not_there_is_an_error_at_the_start) {
        cpu_set_t none;
        struct verify_pool *pool = NULL;
        CPU_ZERO(&none);
        CPU_SET(CPU_SETSIZE - 1, &none);
        ck_assert_int_eq(verify_pool_new(&pool, 2, &none), -EINVAL);
        ck_assert_ptr_null(pool);
        ck_assert_ptr_null(verify_pool_free(NULL));
        ck_assert_ptr_null(verifier_free(NULL));
}
END_TEST

/* The worker's CPU is then out of the question, and afterwards the caller may run where it might before. */
START_TEST(what_the_only_worker_found_is_verified_again_on_another_cpu) {
        cpu_set_t before, after, tried;
        ck_assert_int_eq(cpus_of_this_thread(&before), 0);
        if (CPU_COUNT(&before) < 2)
                return;
        struct verify_pool *pool = pool_of(1);
        struct table_cache *tables;
        ck_assert_int_eq(table_cache_new(&tables, 1), 0);
        struct content c = { .table = table_cache_get(tables, 3) };
        struct expectation e = { .count = 1, .candidates = { c } };
        static uint8_t bytes[BLOCK];
        content_fill(&c, bytes, 0, BLOCK);
        bytes[5 * UNIT_BYTES] ^= 1;
        struct verify_job job = { .expectation = &e, .bytes = bytes, .length_bytes = BLOCK }, *jobs[] = { &job };
        struct verifier *v;
        ck_assert_int_eq(verify_pool_verifier(&v, pool, 1, -1), 0);
        for (int tries = 0; verifier_hand_over(v, jobs, 1) == 0; tries++) { /* until the worker waits for work */
                ck_assert_int_lt(tries, 5000);
                poll(NULL, 0, 1);
        }
        struct verify_job *back[1];
        for (int tries = 0; verifier_take_back(v, back, 1) == 0; tries++) {
                ck_assert_int_lt(tries, 5000);
                poll(NULL, 0, 1);
        }
        ck_assert(job.done && job.worker == 1 && job.bad_count == 1);
        CPU_ZERO(&tried);
        CPU_SET((size_t)job.cpu, &tried);
        struct verify_job second = job;
        second.bad_count = 0;
        ck_assert(verify_job_run_elsewhere(&second, &tried));
        ck_assert_int_ne(second.cpu, job.cpu);
        ck_assert(second.bad_count == 1 && second.bad_units[0] == BIT(5) && CPU_ISSET((size_t)second.cpu, &tried));
        ck_assert_int_eq(cpus_of_this_thread(&after), 0);
        ck_assert(CPU_EQUAL(&before, &after));
        verifier_free(v);
        verify_pool_free(pool);
        table_unref((struct table *)c.table);
        table_cache_free(tables);
}
END_TEST

START_TEST(small_blocks_are_declined) {
        struct verify_pool *pool = pool_of(1);
        struct verifier *v;
        ck_assert_int_eq(verify_pool_verifier(&v, pool, 4, -1), 0);
        struct verify_job job = { .length_bytes = UNIT_BYTES }, *jobs[] = { &job };
        ck_assert_uint_eq(verifier_hand_over(v, jobs, 1), 0);
        ck_assert_uint_eq(verifier_hand_over(v, jobs, 0), 0);
        verifier_free(v);
        verify_pool_free(pool);
}
END_TEST

START_TEST(a_pool_that_somebody_uses_cannot_be_freed) {
        struct verify_pool *pool = pool_of(0);
        struct verifier *v;
        ck_assert_int_eq(verify_pool_verifier(&v, pool, 1, -1), 0);
        verify_pool_free(pool);
}
END_TEST

int main(void) {
        TCase *t = tcase_create("verify");
        tcase_add_loop_test(t, nothing_is_lost_with_one_client, 0, 3);
        tcase_add_loop_test(t, nothing_is_lost_or_mixed_up_with_many_clients, 0, 3);
        tcase_add_test(t, bad_blocks_do_not_end_a_worker);
        tcase_add_test(t, workers_are_on_the_cpus_that_they_were_given_and_their_parent_is_not_moved);
        tcase_add_test(t, a_cpu_that_is_not_there_is_an_error_at_the_start);
        tcase_add_test(t, what_the_only_worker_found_is_verified_again_on_another_cpu);
        tcase_add_test(t, small_blocks_are_declined);
        tcase_add_test_raise_signal(t, a_pool_that_somebody_uses_cannot_be_freed, SIGABRT);
        return suite_run("verify", t);
}
