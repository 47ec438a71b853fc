/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes to the target, but for what recovery puts back, passes here. Others are seen by the statistics of the whole
 * disk: more bytes than were ours. While ours are out nobody knows which of them were counted yet, so once a
 * second, and more often where others are about, all of them are let come back first; a disk works on until then, and
 * what is lost is the moment between the last answer and the next requests.
 *
 * What could go wrong: our own bytes taken for somebody's, and the sweep yields to itself for ever. So what the kernel
 * counts late is set against the whole, not against the last look; and after a request that failed, of which nobody
 * knows how it is counted, the account begins anew.
 */
#include "sweep/sweep_private.h"

#include <assert.h>

static unsigned out_to_target(const struct sweep *s) {
        return s->keeper ? keeper_out_to_target(s->keeper) : s->in_flight;
}

static void begin_account(struct sweep *s, const struct engine_traffic *now) {
        struct pacing *p = &s->pacing;
        p->counted = true;
        p->uncertain = false;
        p->base = *now;
        p->own_read = p->own_written = 0;
        p->foreign_read = p->foreign_written = 0;
}

/* True: of these bytes, more are not ours than it was known. */
static bool grows(uint64_t *foreign, uint64_t counted, uint64_t own) {
        if (counted <= own || counted - own <= *foreign)
                return false;
        *foreign = counted - own;
        return true;
}

static void sample(struct sweep *s) {
        struct pacing *p = &s->pacing;
        struct engine_traffic now;
        if (!engine_traffic(s->o.engine, &now)) {
                p->counted = false;
                pace_sample_unknown(&p->pace, s->now_us);
                return;
        }
        bool foreign = false;
        if (!p->counted || p->uncertain) {
                begin_account(s, &now);
        } else {
                foreign = grows(&p->foreign_read, now.read_bytes - p->base.read_bytes, p->own_read);
                foreign |= grows(&p->foreign_written, now.written_bytes - p->base.written_bytes, p->own_written);
        }
        pace_sample(&p->pace, foreign, s->now_us);
}

static void keep_rate(struct sweep *s) {
        struct pacing *p = &s->pacing;
        uint64_t rate = s->step == STEP_SAMPLE && p->rate > 0 ? MAX(p->rate, SAMPLE_RATE_MIN) : p->rate;
        if (rate != p->pace.level.rate)
                pace_set_rate(&p->pace, rate, s->now_us);
}

/* At the beginning of each pump, when what came back has been taken. */
void sweep_pace_look(struct sweep *s) {
        struct pacing *p = &s->pacing;
        if (!p->begun) {
                struct pace_options options = {
                        .yield = s->o.yield,
                        .in_use = s->o.in_use,
                        .rate_min = s->o.rate_min,
                };
                pace_init(&p->pace, &options, s->now_us);
                p->begun = true;
        }
        keep_rate(s);
        if (!s->recovery && out_to_target(s) == 0 && pace_wants_sample(&p->pace, s->now_us))
                sample(s);
}

/* Whether the request may go now, beside so many that are out. Then it counts as sent. */
bool sweep_pace_takes(struct sweep *s, const struct engine_io *io, unsigned out) {
        struct pace *p = &s->pacing.pace;
        unsigned depth = pace_depth(p);
        keep_rate(s); /* the step may have changed */
        if (pace_wants_sample(p, s->now_us) || (depth > 0 && out >= depth))
                return false;
        if (io->op == ENGINE_FLUSH)
                return true;
        if (pace_next_us(p, s->now_us) > s->now_us)
                return false;
        pace_sent(p, io->length_bytes, s->now_us);
        return true;
}

void sweep_pace_took_back(struct sweep *s, const struct engine_io *io) {
        if (io->op != ENGINE_FLUSH)
                pace_took_back(&s->pacing.pace, io->length_bytes);
}

void sweep_pace_answered(struct sweep *s, const struct engine_io *io) {
        struct pacing *p = &s->pacing;
        if (io->result < 0) {
                p->uncertain = true;
                return;
        }
        pace_answered(&p->pace, s->now_us, io->completed_us - io->submitted_us);
        if (io->op == ENGINE_READ)
                p->own_read += (uint64_t)io->result;
        else
                p->own_written += (uint64_t)io->result;
}

void sweep_set_rate(struct sweep *s, uint64_t rate) {
        s->pacing.rate = rate;
}

/* Nothing is out, so that what is not sent waits for its time alone. */
uint64_t sweep_patience_us(const struct sweep *s) {
        const struct pace *p = &s->pacing.pace;
        if (!s->pacing.begun || out_to_target(s) > 0 || s->recovery)
                return SWEEP_PATIENCE_US;
        uint64_t next_us = pace_next_us(p, s->now_us);
        if (next_us <= s->now_us)
                return SWEEP_PATIENCE_US; /* then it waits for something else */
        return MIN(next_us - s->now_us, SWEEP_PATIENCE_US);
}
