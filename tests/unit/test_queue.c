/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a queue can do wrong shows under load only: a lost item, a lost wake-up (then a test here hangs and times out),
 * an order that is not kept. So real threads push and pop in random batches, and every item is accounted for.
 */
#include "base/cleanup.h"
#include "base/queue.h"
#include "suite.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>

enum { PRODUCERS_MAX = 3, CONSUMERS_MAX = 3, ITEMS = 4000, BATCH_MAX = 9 };

/* An item is a number in a pointer's clothes: who pushed it, and as its how-manieth; never NULL. */
static void *item_of(size_t producer, size_t n) {
        return (void *)(uintptr_t)(producer * ITEMS + n + 1);
}

struct producer {
        pthread_t thread;
        struct queue *queue;
        uint64_t seed;
        size_t index;
};

struct consumer {
        pthread_t thread;
        struct queue *queue;
        uint64_t seed;
        size_t count;
        uintptr_t got[PRODUCERS_MAX * ITEMS];
};

static void *produce(void *argument) {
        struct producer *p = argument;
        uint64_t state = p->seed;
        for (size_t done = 0; done < ITEMS;) {
                void *batch[BATCH_MAX];
                size_t wanted = 1 + suite_random(&state) % BATCH_MAX;
                size_t count = MIN(wanted, ITEMS - done);
                for (size_t i = 0; i < count; i++)
                        batch[i] = item_of(p->index, done + i);
                size_t taken = queue_push(p->queue, batch, count);
                done += taken;
                if (taken < count)
                        sched_yield();
        }
        return NULL;
}

static void *consume(void *argument) {
        struct consumer *c = argument;
        uint64_t state = c->seed;
        void *batch[BATCH_MAX];
        for (size_t n; (n = queue_pop(c->queue, batch, 1 + suite_random(&state) % BATCH_MAX)) > 0;)
                for (size_t i = 0; i < n; i++)
                        c->got[c->count++] = (uintptr_t)batch[i];
        return NULL;
}

/* Nothing lost, nothing twice; and each consumer sees the items of one producer in their order. */
static void check_account(uint64_t seed, const struct consumer *consumers, size_t consumer_count, size_t producers) {
        static unsigned char seen[PRODUCERS_MAX * ITEMS + 1];
        memset(seen, 0, sizeof seen);
        for (size_t c = 0; c < consumer_count; c++) {
                uintptr_t last[PRODUCERS_MAX] = { 0 };
                for (size_t i = 0; i < consumers[c].count; i++) {
                        uintptr_t item = consumers[c].got[i];
                        ASSERT_SEEDED(seed, item >= 1 && item <= producers * ITEMS);
                        ASSERT_SEEDED(seed, !seen[item]++);
                        ASSERT_SEEDED(seed, item > last[(item - 1) / ITEMS]);
                        last[(item - 1) / ITEMS] = item;
                }
        }
        for (size_t item = 1; item <= producers * ITEMS; item++)
                ASSERT_SEEDED(seed, seen[item]);
}

START_TEST(nothing_is_lost_or_doubled_and_order_is_kept) {
        static struct consumer consumers[CONSUMERS_MAX];
        for (uint64_t seed = 0; seed < 30; seed++) {
                uint64_t state = seed;
                struct producer producers[PRODUCERS_MAX];
                size_t producer_count = 1 + suite_random(&state) % PRODUCERS_MAX;
                size_t consumer_count = 1 + suite_random(&state) % CONSUMERS_MAX;
                struct queue *q;
                ck_assert_int_eq(queue_new(&q, 1 + suite_random(&state) % 20, -1), 0);
                memset(consumers, 0, sizeof consumers);
                for (size_t i = 0; i < consumer_count; i++) {
                        consumers[i].queue = q;
                        consumers[i].seed = suite_random(&state);
                        ck_assert_int_eq(pthread_create(&consumers[i].thread, NULL, consume, &consumers[i]), 0);
                }
                for (size_t i = 0; i < producer_count; i++) {
                        producers[i] = (struct producer){ .queue = q, .seed = suite_random(&state), .index = i };
                        ck_assert_int_eq(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
                }
                for (size_t i = 0; i < producer_count; i++)
                        pthread_join(producers[i].thread, NULL);
                queue_close(q);
                for (size_t i = 0; i < consumer_count; i++)
                        pthread_join(consumers[i].thread, NULL);
                check_account(seed, consumers, consumer_count, producer_count);
                ASSERT_SEEDED(seed, queue_length(q) == 0 && queue_waiting(q) == 0);
                queue_free(q);
        }
}
END_TEST

START_TEST(a_single_thread_sees_a_plain_fifo) {
        for (uint64_t seed = 0; seed < 500; seed++) {
                uint64_t state = seed;
                size_t capacity = 1 + suite_random(&state) % 12, pushed = 0, popped = 0;
                struct queue *q;
                ck_assert_int_eq(queue_new(&q, capacity, -1), 0);
                for (int step = 0; step < 200; step++) {
                        void *batch[BATCH_MAX];
                        size_t count = suite_random(&state) % (BATCH_MAX + 1), n;
                        if (suite_random(&state) % 2) {
                                for (size_t i = 0; i < count; i++)
                                        batch[i] = item_of(0, pushed + i);
                                n = queue_push(q, batch, count);
                                ASSERT_SEEDED(seed, n == MIN(count, capacity - (pushed - popped)));
                                pushed += n;
                        } else {
                                n = queue_try_pop(q, batch, count);
                                ASSERT_SEEDED(seed, n == MIN(count, pushed - popped));
                                for (size_t i = 0; i < n; i++)
                                        ASSERT_SEEDED(seed, batch[i] == item_of(0, popped + i));
                                popped += n;
                        }
                        ASSERT_SEEDED(seed, queue_length(q) == pushed - popped);
                }
                queue_free(q);
        }
}
END_TEST

START_TEST(a_closed_queue_hands_out_what_it_holds_and_takes_nothing) {
        struct queue *q;
        void *items[] = { item_of(0, 0), item_of(0, 1), item_of(0, 2) }, *got[3];
        ck_assert_int_eq(queue_new(&q, 8, -1), 0);
        ck_assert_uint_eq(queue_push(q, items, 3), 3);
        queue_close(q);
        ck_assert(!queue_push_one(q, items[0]));
        ck_assert_uint_eq(queue_push(q, items, 3), 0);
        ck_assert_uint_eq(queue_pop(q, got, 2), 2);
        ck_assert_ptr_eq(got[0], items[0]);
        ck_assert_uint_eq(queue_pop(q, got, 2), 1);
        ck_assert_ptr_eq(got[0], items[2]);
        ck_assert_uint_eq(queue_pop(q, got, 2), 0);
        ck_assert_uint_eq(queue_try_pop(q, got, 2), 0);
        queue_free(q);
}
END_TEST

START_TEST(closing_wakes_all_who_wait) {
        static struct consumer consumers[CONSUMERS_MAX];
        struct queue *q;
        memset(consumers, 0, sizeof consumers);
        ck_assert_int_eq(queue_new(&q, 4, -1), 0);
        for (size_t i = 0; i < CONSUMERS_MAX; i++) {
                consumers[i].queue = q;
                ck_assert_int_eq(pthread_create(&consumers[i].thread, NULL, consume, &consumers[i]), 0);
        }
        while (queue_waiting(q) < CONSUMERS_MAX)
                sched_yield();
        queue_close(q);
        for (size_t i = 0; i < CONSUMERS_MAX; i++)
                pthread_join(consumers[i].thread, NULL);
        ck_assert_uint_eq(queue_waiting(q), 0);
        queue_free(q);
}
END_TEST

static eventfd_t wakes(int fd) {
        eventfd_t n = 0;
        return eventfd_read(fd, &n) == 0 ? n : 0;
}

START_TEST(the_eventfd_is_written_once_for_each_step_from_empty_to_filled) {
        for (uint64_t seed = 0; seed < 500; seed++) {
                uint64_t state = seed;
                CLEANUP_CLOSE int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
                struct queue *q;
                ck_assert_int_eq(queue_new(&q, 1 + suite_random(&state) % 6, fd), 0);
                eventfd_t expected = 0;
                for (int step = 0; step < 100; step++) {
                        void *batch[BATCH_MAX] = { NULL };
                        size_t count = suite_random(&state) % (BATCH_MAX + 1);
                        if (suite_random(&state) % 2) {
                                expected += queue_length(q) == 0 && count > 0;
                                queue_push(q, batch, count);
                        } else {
                                queue_try_pop(q, batch, count);
                        }
                }
                ASSERT_SEEDED(seed, wakes(fd) == expected);
                queue_close(q);
                queue_push_one(q, NULL);
                ASSERT_SEEDED(seed, wakes(fd) == 0);
                queue_free(q);
        }
}
END_TEST

/* The consumer of an eventfd sleeps until it is written, then drains: with one lost wake-up it would sleep for good. */
START_TEST(a_consumer_that_sleeps_on_the_eventfd_misses_nothing) {
        for (uint64_t seed = 0; seed < 10; seed++) {
                CLEANUP_CLOSE int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
                struct queue *q;
                ck_assert_int_eq(queue_new(&q, 1 + seed * 3, fd), 0);
                struct producer producer = { .queue = q, .seed = seed };
                ck_assert_int_eq(pthread_create(&producer.thread, NULL, produce, &producer), 0);
                size_t got = 0;
                while (got < ITEMS) {
                        struct pollfd p = { .fd = fd, .events = POLLIN };
                        ASSERT_SEEDED(seed, poll(&p, 1, 20000) == 1);
                        wakes(fd);
                        void *batch[BATCH_MAX];
                        for (size_t n; (n = queue_try_pop(q, batch, BATCH_MAX)) > 0;)
                                for (size_t i = 0; i < n; i++)
                                        ASSERT_SEEDED(seed, batch[i] == item_of(0, got++));
                }
                pthread_join(producer.thread, NULL);
                queue_free(q);
        }
}
END_TEST

START_TEST(freeing_nothing_is_fine) {
        ck_assert_ptr_null(queue_free(NULL));
}
END_TEST

int main(void) {
        TCase *t = tcase_create("queue");
        tcase_add_test(t, nothing_is_lost_or_doubled_and_order_is_kept);
        tcase_add_test(t, a_single_thread_sees_a_plain_fifo);
        tcase_add_test(t, a_closed_queue_hands_out_what_it_holds_and_takes_nothing);
        tcase_add_test(t, closing_wakes_all_who_wait);
        tcase_add_test(t, the_eventfd_is_written_once_for_each_step_from_empty_to_filled);
        tcase_add_test(t, a_consumer_that_sleeps_on_the_eventfd_misses_nothing);
        tcase_add_test(t, freeing_nothing_is_fine);
        return suite_run("queue", t);
}
