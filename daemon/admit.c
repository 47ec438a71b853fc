/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may start is decided by plan/admission; here is gathered what that needs to know. A device is placed by its path
 * before it is opened for the first time, and by what was opened from then on: a path may lead elsewhere the next day.
 */
#include "manager_private.h"

#include "media/topology.h"
#include "plan/admission.h"

#include <string.h>
#include <sys/stat.h>

/* Only in /dev, which is memory: elsewhere a dead server could keep us waiting. */
static void know_place(struct device *d) {
        struct stat st;
        if (d->placed || !device_is_watched(d) || stat(d->config->path, &st) < 0 || !S_ISBLK(st.st_mode))
                return;
        topology_read(&d->place, "/sys", st.st_rdev);
        d->placed = true;
}

void admit_identified(struct device *d, uint64_t disk) {
        topology_read(&d->place, "/sys", (dev_t)disk);
        d->placed = true;
}

static struct admission_sweep running(const struct device *d) {
        return (struct admission_sweep){
                .name = d->config->name,
                .place = &d->place,
                .hangs = d->stall.since_us > 0,
        };
}

/* All that run but one. The caller frees them; NULL: no memory. */
static struct admission_sweep *gather(
        const struct manager *m, const struct device *except, struct admission_host *ret) {
        size_t count = m->device_count, n = 0;
        struct admission_sweep *sweeps = calloc(count + m->leaving_count + 1, sizeof *sweeps);
        for (size_t i = 0; sweeps && i < count; i++)
                if (m->devices[i] != except && m->devices[i]->thread)
                        sweeps[n++] = running(m->devices[i]);
        for (size_t i = 0; sweeps && i < m->leaving_count; i++)
                if (m->leaving[i] != except)
                        sweeps[n++] = running(m->leaving[i]);
        *ret = (struct admission_host){
                .sweeps = sweeps,
                .sweep_count = n,
                .concurrent_sweeps = m->settings->concurrent_sweeps,
                .per_controller = m->settings->per_controller,
        };
        return sweeps;
}

struct device *admit_next(struct manager *m, uint64_t now_us) {
        struct admission_host host;
        size_t count = m->device_count, n = 0;
        CLEANUP_FREE struct admission_sweep *sweeps = gather(m, NULL, &host);
        CLEANUP_FREE struct admission_candidate *candidates = calloc(count + 1, sizeof *candidates);
        CLEANUP_FREE struct device **devices = calloc(count + 1, sizeof(struct device *));
        if (!sweeps || !candidates || !devices)
                return NULL; /* the clock tries again */
        for (size_t i = 0; i < count; i++) {
                struct device *d = m->devices[i];
                if (!manager_may_start(m, d))
                        continue;
                uint64_t start_us = d->wish.wanted ? 0 : device_turn_us(d, now_us);
                if (start_us > now_us)
                        continue;
                know_place(d);
                devices[n] = d;
                candidates[n++] = (struct admission_candidate){
                        .name = d->config->name,
                        .next_start_us = start_us,
                        .deadline_us = device_deadline_us(d, now_us),
                        .by_hand = d->wish.wanted,
                        .place = &d->place,
                };
        }
        int chosen = admission_choose(candidates, n, &host, now_us);
        return chosen < 0 ? NULL : devices[chosen];
}

bool admit_explain(const struct manager *m, const struct device *d, struct reason *ret) {
        struct admission_host host;
        CLEANUP_FREE struct admission_sweep *sweeps = gather(m, d, &host);
        if (!sweeps || !admission_explain(ret, &d->place, &host))
                return false;
        device_add_deadline(d, ret);
        return true;
}

const struct device *admit_same_disk(const struct manager *m, const struct device *d) {
        for (size_t i = 0; i < m->device_count; i++) {
                const struct device *other = m->devices[i];
                if (other != d && other->thread && other->identified &&
                        disk_place_shares_disk(&other->place, &d->place))
                        return other;
        }
        for (size_t i = 0; i < m->leaving_count; i++)
                if (m->leaving[i] != d && disk_place_shares_disk(&m->leaving[i]->place, &d->place))
                        return m->leaving[i];
        return NULL;
}
