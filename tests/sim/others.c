/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When exactly a sweep must have noticed depends on how long its requests take; what can be said of every one is that
 * its pipeline is empty within a few seconds, so that a burst of more than that leaves it with one request at a time.
 */
#include "others.h"

#include "base/clock.h"
#include "failure.h"
#include "sweep/sweep_private.h"

#include <inttypes.h>

#define NOTICED_US (12 * USEC_PER_SEC) /* a look each second, and then the slowest requests that chance makes */

void others_begin_sweep(struct others *o, struct chance *chance, bool exist, uint64_t rate, uint64_t now_us) {
        *o = (struct others){ .chance = chance, .exist = exist, .rate = rate, .began_us = now_us, .turn_us = now_us };
        o->bursts_met = 0;
}

bool others_advance(struct others *o, struct engine_traffic *traffic, uint64_t now_us) {
        bool any = o->exist && o->busy && now_us > o->since_us;
        while (o->exist && o->turn_us <= now_us) {
                o->busy = !o->busy;
                any |= o->busy;
                o->since_us = o->turn_us;
                o->turn_us += chance_between(o->chance, 1, (o->busy ? 40 : 5) * USEC_PER_SEC);
        }
        if (!any)
                return false;
        if (chance_one_in(o->chance, 2))
                traffic->read_bytes += 4096;
        else
                traffic->written_bytes += 4096;
        traffic->changes++;
        return true;
}

/* The look before the first write has a rate of its own. */
static uint64_t begin_account(struct others *o, bool sampling, uint64_t now_us) {
        if (o->sampling != sampling) {
                o->sampling = sampling;
                o->sent_bytes = o->sent_count = 0;
                o->began_us = now_us;
        }
        return sampling && o->rate > 0 ? MAX(o->rate, SAMPLE_RATE_MIN) : o->rate;
}

void others_submitted(
        struct others *o, const struct engine_io *io, size_t beside, bool noticed, bool sampling, uint64_t now_us) {
        uint64_t rate = begin_account(o, sampling, now_us);
        o->sent_bytes += io->length_bytes;
        o->sent_count++;
        /* Each request takes whole nanoseconds, rounded down. */
        double us = (double)(now_us - o->began_us + PACE_BURST_US) + (double)o->sent_count / 1e3;
        double most = (double)rate * us / 1e6 + io->length_bytes + 1;
        MUST(rate == 0 || io->op == ENGINE_FLUSH || (double)o->sent_bytes <= most,
                "%" PRIu64 " bytes in %" PRIu64 " us, at a rate of %" PRIu64, o->sent_bytes, now_us - o->began_us,
                rate);
        if (!o->busy || !noticed || o->answers_failed || now_us - o->since_us < NOTICED_US || now_us >= o->turn_us)
                return;
        o->bursts_met++;
        MUST(beside == 0, "%zu requests are out while others use the disk", beside + 1);
}
