/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two wishes are at odds: that others notice nothing of a sweep, and that a sweep of a disk which is never idle comes
 * to an end. A rate that is harmless on one disk is a fifth of another. So while others use the disk the sweep takes
 * sips: one request, and then nothing for 200 times as long as it took; that is half a per cent of the disk's time, and
 * of the requests of others that can meet one. And it keeps account of rate_min: what it swept beyond that is its lead,
 * and only when that is used up does it insist on rate_min, one request at a time.
 *
 * What could go wrong: a burst after a wait, a suspended machine or a new rate, sums that overflow, and a rate that is
 * lost by rounding. So each gate is a point in time, in nanoseconds, that runs ahead with what is sent and never lags
 * behind the clock by more than a little.
 */
#include "sweep/pace.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <assert.h>

#define NSEC_PER_USEC UINT64_C(1000)
#define NSEC_PER_SEC  UINT64_C(1000000000)

/* Fits: a request has less than 2^32 bytes, and 2^32 * 10^9 < 2^62. */
static uint64_t span_ns(uint64_t rate, uint32_t bytes) {
        return (uint64_t)bytes * NSEC_PER_SEC / rate;
}

static void gate_spend(struct pace_gate *g, uint32_t bytes, uint64_t now_us) {
        if (g->rate == 0)
                return;
        uint64_t least_us = now_us > PACE_BURST_US ? now_us - PACE_BURST_US : 0;
        g->next_ns = MAX(g->next_ns, least_us * NSEC_PER_USEC) + span_ns(g->rate, bytes);
}

static void gate_refund(struct pace_gate *g, uint32_t bytes) {
        if (g->rate > 0)
                g->next_ns -= MIN(g->next_ns, span_ns(g->rate, bytes));
}

/* Rounded up: never before it opens. */
static uint64_t gate_opens_us(const struct pace_gate *g) {
        return g->rate == 0 ? 0 : (g->next_ns + NSEC_PER_USEC - 1) / NSEC_PER_USEC;
}

void pace_init(struct pace *p, const struct pace_options *options, uint64_t now_us) {
        *p = (struct pace){
                .yield = options->yield,
                .yielding = options->yield && options->in_use,
                .floor = { .rate = options->rate_min, .next_ns = (now_us + PACE_GRACE_US) * NSEC_PER_USEC },
                .foreign_us = now_us,
                .wary_until_us = now_us + (options->in_use ? PACE_WARY_US : PACE_WARY_SAMPLE_US + 1),
                .sip_us = now_us,
        };
}

void pace_set_rate(struct pace *p, uint64_t rate, uint64_t now_us) {
        uint64_t now_ns = now_us * NSEC_PER_USEC, ahead_ns = 0;
        if (p->level.rate > 0 && p->level.next_ns > now_ns)
                ahead_ns = p->level.next_ns - now_ns;
        if (rate > 0)
                p->level.next_ns = now_ns + (uint64_t)((double)ahead_ns * (double)p->level.rate / (double)rate);
        p->level.rate = rate;
}

unsigned pace_depth(const struct pace *p) {
        return p->yielding ? 1 : 0;
}

uint64_t pace_next_us(const struct pace *p, uint64_t now_us) {
        uint64_t next_us = gate_opens_us(&p->level);
        if (!p->yielding)
                return next_us;
        uint64_t turn_us = p->sip_us;
        if (p->floor.rate > 0)
                turn_us = MIN(turn_us, gate_opens_us(&p->floor));
        return MAX(next_us, turn_us);
}

void pace_sent(struct pace *p, uint32_t bytes, uint64_t now_us) {
        gate_spend(&p->level, bytes, now_us);
        gate_spend(&p->floor, bytes, now_us);
        p->floor.next_ns = MIN(p->floor.next_ns, (now_us + PACE_LEAD_US) * NSEC_PER_USEC);
}

void pace_took_back(struct pace *p, uint32_t bytes) {
        gate_refund(&p->level, bytes);
        gate_refund(&p->floor, bytes);
}

void pace_answered(struct pace *p, uint64_t now_us, uint64_t took_us) {
        took_us = MIN(took_us, PACE_SIP_WAIT_S * USEC_PER_SEC);
        p->sip_us = now_us + MIN(took_us * PACE_SIP_SHARE, PACE_SIP_WAIT_S * USEC_PER_SEC);
}

bool pace_wants_sample(const struct pace *p, uint64_t now_us) {
        bool wary = p->yielding || now_us < p->wary_until_us;
        uint64_t every_us = wary ? PACE_WARY_SAMPLE_US : PACE_SAMPLE_US;
        return p->yield && (p->sampled_us == 0 || now_us - p->sampled_us >= every_us);
}

void pace_sample(struct pace *p, bool foreign, uint64_t now_us) {
        assert(p->yield);
        p->sampled_us = now_us;
        if (foreign) {
                if (!p->yielding) /* that of before waited for its own kind */
                        p->sip_us = now_us + PACE_QUIET_US;
                p->yielding = true;
                p->foreign_us = now_us;
                p->wary_until_us = now_us + PACE_WARY_US;
        } else if (now_us - p->foreign_us >= PACE_QUIET_US) {
                p->yielding = false;
        }
}

void pace_sample_unknown(struct pace *p, uint64_t now_us) {
        p->sampled_us = now_us;
        p->yielding = false;
}

uint64_t pace_rate(const struct pace *p) {
        uint64_t level = p->level.rate, floor = p->floor.rate;
        if (!p->yielding || floor == 0)
                return level;
        return level > 0 ? MIN(level, floor) : floor;
}

enum pace_state pace_state(const struct pace *p, uint64_t now_us) {
        if (!p->yielding)
                return PACE_FREE;
        bool due = p->floor.rate > 0 && gate_opens_us(&p->floor) < now_us + PACE_QUIET_US;
        return due ? PACE_FLOOR : PACE_YIELDS;
}
