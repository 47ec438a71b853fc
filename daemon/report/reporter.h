/* SPDX-License-Identifier: Apache-2.0 */
/* reporter: what the threads of this room have in common: how they start, hand back what they are done with, and end.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct queue;

/* With all signals blocked: they are main's. -EAGAIN. */
int reporter_start(pthread_t *ret, void *(*run)(void *), void *userdata);

/*
 * Waits until there is room: the receiver is slower than we are, and losing an answer would be worse than waiting.
 * False: `ending` was set (by whoever ends the thread, and receives no more) and there was no room; the item still
 * belongs to the caller.
 */
bool reporter_hand_back(struct queue *queue, void *item, const atomic_bool *ending);

/* -ETIMEDOUT: the thread is stuck, and left behind with all that it uses. */
int reporter_join(pthread_t thread, uint64_t timeout_us);
