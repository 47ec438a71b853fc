/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two sweeps of one disk take each other's time, and worse, would read each other's writes as damage. Many on one
 * controller only share what it can carry. The trap is a sweep that is never admitted and nobody knows why: so what
 * holds one back is the very function that explains it.
 */
#include "plan/admission.h"

#include "base/cleanup.h"
#include "plan/schedule.h"

#include <string.h>

struct hindrance {
        const struct admission_sweep *disk; /* sweeps a disk that is wanted */
        const char *controller;             /* is full */
        bool host_full;
};

static unsigned running_on(const struct admission_host *h, const char *controller) {
        unsigned n = 0;
        for (size_t i = 0; i < h->sweep_count; i++)
                n += !h->sweeps[i].hangs && disk_place_has_controller(h->sweeps[i].place, controller);
        return n;
}

static unsigned running(const struct admission_host *h) {
        unsigned n = 0;
        for (size_t i = 0; i < h->sweep_count; i++)
                n += !h->sweeps[i].hangs;
        return n;
}

/* True: something does. What can't be waited for in a hurry comes first. */
static bool find_hindrance(struct hindrance *ret, const struct disk_place *place, const struct admission_host *h) {
        struct hindrance found = { 0 };
        for (size_t i = 0; i < h->sweep_count && !found.disk; i++)
                if (disk_place_shares_disk(place, h->sweeps[i].place))
                        found.disk = &h->sweeps[i];
        for (size_t i = 0; i < place->controller_count && !found.disk && !found.controller; i++)
                if (h->per_controller > 0 && running_on(h, place->controllers[i]) >= h->per_controller)
                        found.controller = place->controllers[i];
        found.host_full = h->concurrent_sweeps > 0 && running(h) >= h->concurrent_sweeps;
        *ret = found;
        return found.disk || found.controller || found.host_full;
}

static bool is_due(const struct admission_candidate *c, uint64_t now_us) {
        return c->by_hand || (c->next_start_us != SCHEDULE_NEVER && c->next_start_us <= now_us);
}

static bool goes_before(const struct admission_candidate *a, const struct admission_candidate *b) {
        if (a->by_hand != b->by_hand)
                return a->by_hand;
        if (a->deadline_us != b->deadline_us)
                return a->deadline_us < b->deadline_us;
        if (a->next_start_us != b->next_start_us)
                return a->next_start_us < b->next_start_us;
        return strcmp(a->name, b->name) < 0;
}

int admission_choose(const struct admission_candidate *candidates, size_t candidate_count,
        const struct admission_host *host, uint64_t now_us) {
        struct hindrance unused;
        int best = -1;
        if (host->concurrent_sweeps > 0 && running(host) >= host->concurrent_sweeps)
                return -1;
        for (size_t i = 0; i < candidate_count; i++) {
                const struct admission_candidate *c = &candidates[i];
                bool better = is_due(c, now_us) && (best < 0 || goes_before(c, &candidates[best]));
                if (better && !find_hindrance(&unused, c->place, host))
                        best = (int)i;
        }
        return best;
}

bool admission_explain(struct reason *ret, const struct disk_place *place, const struct admission_host *h) {
        static const char remedy[] = "It starts by itself when a sweep there has ended; limits sets how many may run.";
        struct hindrance found;
        if (!find_hindrance(&found, place, h))
                return false;
        if (found.disk)
                reason_set(ret, "admission", "It starts by itself when that sweep has ended.",
                        "the sweep of %s is using the same disk", found.disk->name);
        else if (found.controller)
                reason_set(ret, "admission", remedy,
                        "sweeps running on %s: %u, as many as limits.per_controller allows", found.controller,
                        running_on(h, found.controller));
        else
                reason_set(ret, "admission", remedy, "sweeps running: %u, as many as limits.concurrent_sweeps allows",
                        running(h));
        return true;
}
