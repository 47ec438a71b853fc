/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that hands something back can neither drop it nor keep it in a list without end. It waits, and its own queue
 * fills up behind it, which its senders notice. Only at the end, when nobody receives any more, may waiting stop. And
 * a thread that is stuck in the kernel, on a dead state disk, must not keep the daemon from ending.
 */
#include "report/reporter.h"

#include "base/clock.h"
#include "base/queue.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <time.h>

enum { PAUSE_NS = 2000000 };

static void pause_shortly(void) {
        struct timespec pause = { .tv_nsec = PAUSE_NS };
        nanosleep(&pause, NULL);
}

int reporter_start(pthread_t *ret, void *(*run)(void *), void *userdata) {
        sigset_t all, before;
        sigfillset(&all);
        int r = pthread_sigmask(SIG_SETMASK, &all, &before);
        assert(r == 0);
        pthread_t thread;
        r = pthread_create(&thread, NULL, run, userdata);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r != 0)
                return -r;
        *ret = thread;
        return 0;
}

bool reporter_hand_back(struct queue *queue, void *item, const atomic_bool *ending) {
        while (!queue_push_one(queue, item)) {
                if (atomic_load(ending))
                        return false;
                pause_shortly();
        }
        return true;
}

/* Asks again and again: pthread_timedjoin_np() goes by the wall clock, which may be stepped meanwhile. */
int reporter_join(pthread_t thread, uint64_t timeout_us) {
        uint64_t from_us = clock_monotonic_us();
        int r;
        while ((r = pthread_tryjoin_np(thread, NULL)) == EBUSY && clock_monotonic_us() - from_us < timeout_us)
                pause_shortly();
        assert(r == 0 || r == EBUSY);
        return r == 0 ? 0 : -ETIMEDOUT;
}
