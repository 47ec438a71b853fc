/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long an end waits. What could go wrong: an end that comes too early leaves somebody's disk with our pattern on it
 * until the next start, and one that waits for a disk that never answers is ended by force, or keeps the host from
 * going down. So what puts originals back is waited for, on devices that answer, and up to a limit; past it the journal
 * stays armed, as after a crash, and the next start puts them back.
 */
#include "manager_private.h"

#define PUTTING_BACK_LIMIT_US (120 * USEC_PER_SEC)

/* Before its sweep is under way nothing is armed: what hangs in opening the device is not waited for. */
static bool puts_back(const struct device *d) {
        bool keeps = d->running_mode == MODE_REFRESH || d->running_mode == MODE_PRESERVE;
        return d->thread && (d->recovering || (d->under_way && keeps)) && d->stall.since_us == 0;
}

bool stopping_may_wait(const struct manager *m, uint64_t waited_us) {
        bool any = false;
        for (size_t i = 0; i < m->device_count; i++)
                any |= puts_back(m->devices[i]);
        for (size_t i = 0; i < m->leaving_count; i++)
                any |= puts_back(m->leaving[i]);
        return any && waited_us < PUTTING_BACK_LIMIT_US;
}
