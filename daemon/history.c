/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon that runs for years must not fill the state disk with its past, nor lose any of it by mistake: what is taken
 * for old by a clock that is wrong would be gone for good. So nothing is pruned before the clock has stood for an hour;
 * one that is set at boot, or by NTP a little later, has then been set. And history does not jump with the clock, which
 * may be ahead by years: each time it is pruned it ages by a week at most. It is done once a day, a few rows a request,
 * and the next request waits for the answer to the one before, so that whoever waits for the ledger hardly notices.
 */
#include "manager_private.h"

#define STEADY_US USEC_PER_HOUR
#define EVERY_US  USEC_PER_DAY
#define AGES_US   (7 * USEC_PER_DAY)
#define SET_US    (UINT64_C(1577836800) * USEC_PER_SEC) /* 2020: what a clock showed before that was not set */

static void send(struct manager *m, const struct ledger_prune *prune) {
        struct ledger_request *request;
        if (ledger_request_new(&request, LEDGER_PRUNE) < 0)
                return; /* the next look tries again */
        request->prune = *prune;
        m->pruning = outbox_send(m, request);
}

/* After years without power it takes months to catch up, in which more is kept than need be. */
static uint64_t aged_us(const struct manager *m, uint64_t wall_us) {
        return m->aged_us < SET_US ? wall_us : MIN(wall_us, m->aged_us + AGES_US);
}

void history_look(struct manager *m, uint64_t monotonic_us, uint64_t wall_us) {
        uint64_t keep_us = m->settings->history_us, now_us = aged_us(m, wall_us);
        if (!m->ready || m->pruning || monotonic_us < m->prune_next_us || m->ledger_state == LEDGER_UNAVAILABLE)
                return;
        if (wall_us < m->planner.awake_us + STEADY_US || now_us <= keep_us)
                return;
        send(m, &(struct ledger_prune){ .before_us = now_us - keep_us, .aged_us = now_us });
}

void history_pruned(struct manager *m, const struct ledger_request *request) {
        m->pruning = false;
        if (request->status == 0)
                m->aged_us = request->prune.aged_us;
        if (request->status < 0)
                m->prune_next_us = clock_monotonic_us() + STEADY_US;
        else if (request->prune.stage == LEDGER_PRUNE_OVER)
                m->prune_next_us = clock_monotonic_us() + EVERY_US;
        else
                send(m, &request->prune);
}
