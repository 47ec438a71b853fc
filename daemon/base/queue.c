/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring under one mutex. What could go wrong: a wake-up that is lost (the consumer would sleep on a full queue), a
 * wake-up for each item (two context switches an item, the cost that makes fio's offload slow), and items that are
 * dropped at the end (fio's workers test the exit flag before they drain). So: a consumer is woken only if one waits,
 * the eventfd is written only on the step from empty to non-empty, and a closed queue still hands out what it holds.
 */
#include "base/queue.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>

struct queue {
        pthread_mutex_t lock;
        pthread_cond_t filled;
        size_t capacity;
        size_t first;
        size_t length;
        size_t waiting;
        int wake_fd;
        bool closed;
        void *items[];
};

int queue_new(struct queue **ret, size_t capacity, int wake_fd) {
        assert(capacity > 0);
        struct queue *q = calloc(1, sizeof *q + capacity * sizeof q->items[0]);
        if (!q)
                return -ENOMEM;
        q->capacity = capacity;
        q->wake_fd = wake_fd;
        pthread_mutex_init(&q->lock, NULL);
        pthread_cond_init(&q->filled, NULL);
        *ret = q;
        return 0;
}

struct queue *queue_free(struct queue *q) {
        if (!q)
                return NULL;
        assert(q->waiting == 0);
        pthread_cond_destroy(&q->filled);
        pthread_mutex_destroy(&q->lock);
        free(q);
        return NULL;
}

size_t queue_push(struct queue *q, void *const *items, size_t count) {
        pthread_mutex_lock(&q->lock);
        size_t room = q->closed ? 0 : q->capacity - q->length;
        size_t n = MIN(room, count);
        bool was_empty = q->length == 0;
        for (size_t i = 0; i < n; i++)
                q->items[(q->first + q->length + i) % q->capacity] = items[i];
        q->length += n;
        size_t sleepers = MIN(q->waiting, n);
        for (size_t i = 0; i < sleepers; i++)
                pthread_cond_signal(&q->filled);
        if (n > 0 && was_empty && q->wake_fd >= 0)
                eventfd_write(q->wake_fd, 1); /* can't fail short of 2^64 - 1 unread wake-ups */
        pthread_mutex_unlock(&q->lock);       /* last: whoever popped the items may free the queue at once */
        return n;
}

bool queue_push_one(struct queue *q, void *item) {
        return queue_push(q, &item, 1) == 1;
}

static size_t take(struct queue *q, void **items, size_t max) {
        size_t n = MIN(q->length, max);
        for (size_t i = 0; i < n; i++)
                items[i] = q->items[(q->first + i) % q->capacity];
        q->first = (q->first + n) % q->capacity;
        q->length -= n;
        return n;
}

size_t queue_pop(struct queue *q, void **items, size_t max) {
        assert(max > 0);
        pthread_mutex_lock(&q->lock);
        while (q->length == 0 && !q->closed) {
                q->waiting++;
                pthread_cond_wait(&q->filled, &q->lock);
                q->waiting--;
        }
        size_t n = take(q, items, max);
        pthread_mutex_unlock(&q->lock);
        return n;
}

size_t queue_try_pop(struct queue *q, void **items, size_t max) {
        pthread_mutex_lock(&q->lock);
        size_t n = take(q, items, max);
        pthread_mutex_unlock(&q->lock);
        return n;
}

void queue_close(struct queue *q) {
        pthread_mutex_lock(&q->lock);
        q->closed = true;
        pthread_mutex_unlock(&q->lock);
        pthread_cond_broadcast(&q->filled);
}

size_t queue_length(struct queue *q) {
        pthread_mutex_lock(&q->lock);
        size_t n = q->length;
        pthread_mutex_unlock(&q->lock);
        return n;
}

size_t queue_waiting(struct queue *q) {
        pthread_mutex_lock(&q->lock);
        size_t n = q->waiting;
        pthread_mutex_unlock(&q->lock);
        return n;
}
