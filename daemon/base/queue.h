/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue: a bounded queue of pointers between threads. Ownership of what is pushed moves to whoever pops it. The only
 * mutexes of the daemon live here. Consumers either block in queue_pop() (workers, ledger, alerts) or are woken
 * through an eventfd (main, a sweep).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct queue;

/*
 * capacity: items, at least 1. wake_fd: an eventfd (borrowed) that gets 1 added whenever the queue turns non-empty,
 * or -1. -ENOMEM.
 */
int queue_new(struct queue **ret, size_t capacity, int wake_fd);

/* Must be empty, or hold only items that somebody else frees. Accepts NULL; returns NULL. */
struct queue *queue_free(struct queue *q);

/* Takes as many of the items as have room, in order, and returns how many: never blocks. 0 after queue_close(). */
size_t queue_push(struct queue *q, void *const *items, size_t count);

/* The same for one item. False: full or closed, the item still belongs to the caller. */
bool queue_push_one(struct queue *q, void *item);

/* Up to max items, blocking until there is one. 0: closed and drained; what was pushed before the close always comes.
 */
size_t queue_pop(struct queue *q, void **items, size_t max);

/* The same without blocking. 0: nothing there now. */
size_t queue_try_pop(struct queue *q, void **items, size_t max);

/* Nothing more is accepted; poppers drain what is left and then get 0. */
void queue_close(struct queue *q);

size_t queue_length(struct queue *q);

/* How many consumers are blocked in queue_pop() now. A hint: it may have changed when the caller looks at it. */
size_t queue_waiting(struct queue *q);
