/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A read that comes late may be a sector on its way out, or nothing: a neighbour's sector that the drive struggled with
 * while ours waited, somebody else's I/O, a computer that stood still. So a place that was late is read once more when
 * nothing else of ours is in flight; it counts only where the disk's own counters show that nobody else's was either,
 * and this thread ran all the while. Late again is `slow`.
 *
 * What could go wrong: a busy disk that keeps the sweep waiting for ever, and one that is slow everywhere and takes a
 * year. So there is a limit to places, tries and time; what is left over is counted.
 *
 *   noted -> [all of ours comes back] -> READ ALONE -> late again: told
 *                                          |  ^   \-> in time: forgotten
 *                       somebody else's I/O \-/ (a few times, then given up)
 */
#include "media/medium.h"
#include "sweep/sweep_private.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define AGAIN_AFTER_US UINT64_C(200000)
#define ASLEEP_US      (2 * SWEEP_PATIENCE_US) /* a thread that runs looks twice as often */

/* A block that was read, and is right. */
void sweep_slow_note(struct sweep *s, const struct block *b) {
        struct slow *w = &s->slow;
        if (b->latency_us <= s->o.slow_after_us || s->pass_step == STEP_SAMPLE)
                return;
        s->survey.late_reads++;
        if (sweep_is_ending(s) || w->count == SLOW_PLACES_MAX || w->spent_us > s->o.narrow_budget_us) {
                s->survey.late_untried++;
                return;
        }
        w->places[w->count++] = (struct slow_place){ { b->offset_bytes, b->length_bytes }, b->latency_us };
}

/* Whether the pass has to wait: for what is out to come back, and for the places to be tried. */
bool sweep_slow_holds(const struct sweep *s) {
        return s->slow.count > 0 && (s->slow.due || s->cursor == extent_end(s->pass));
}

/* The place on trial is known, one way or the other. */
static void conclude(struct sweep *s) {
        struct slow *w = &s->slow;
        assert(w->count > 0);
        if (w->began_us > 0)
                w->spent_us += s->now_us - w->began_us;
        w->began_us = 0;
        w->tries = 0;
        w->not_before = 0;
        w->count--;
        memmove(w->places, w->places + 1, w->count * sizeof w->places[0]);
        w->due = w->due && w->count > 0;
}

static void give_up(struct sweep *s) {
        while (s->slow.count > 0) {
                s->survey.late_untried++;
                conclude(s);
        }
}

/* Another try, a little later; where the others never rest, the rest of the places would fare no better. */
static void try_again(struct sweep *s) {
        struct slow *w = &s->slow;
        if (++w->tries >= SLOW_TRIES_MAX)
                give_up(s);
        else
                w->not_before = s->now_us + AGAIN_AFTER_US;
}

/* Asks for what is missing of the place. The ladder's memory is free: nothing is on it while nothing is out. */
static void ask(struct sweep *s) {
        struct slow *w = &s->slow;
        const struct extent *place = &w->places[0].place;
        assert(!s->ladder.block);
        w->io = (struct engine_io){
                .op = ENGINE_READ,
                .offset_bytes = place->offset_bytes + w->done_bytes,
                .length_bytes = (uint32_t)(place->length_bytes - w->done_bytes),
                .buffer = s->ladder.read_bytes + w->done_bytes,
                .owner = w,
        };
        w->out = true;
        sweep_io_enqueue(s, &w->io);
}

static void begin_try(struct sweep *s) {
        struct slow *w = &s->slow;
        if (w->began_us == 0)
                w->began_us = s->now_us;
        w->counted = engine_traffic(s->o.engine, &w->before);
        if (w->counted && w->before.in_flight > 0) {
                try_again(s);
                return;
        }
        w->done_bytes = 0;
        w->again_us = 0;
        w->asleep_us = 0;
        ask(s);
}

/* Whether the disk did nothing but what it was asked for, and this thread was there to see when it was done. */
static bool was_alone(struct sweep *s) {
        const struct slow *w = &s->slow;
        struct engine_traffic after;
        if (w->asleep_us > ASLEEP_US)
                return false;
        if (!w->counted)
                return true; /* it is said that nobody knows */
        return engine_traffic(s->o.engine, &after) && after.in_flight == 0 && after.changes == w->before.changes &&
                after.read_bytes - w->before.read_bytes == w->places[0].place.length_bytes;
}

static void tell(struct sweep *s) {
        const struct slow *w = &s->slow;
        const struct slow_place *p = &w->places[0];
        struct fault_run fault = { .fault = FAULT_SLOW, .place = p->place, .persistence = PERSISTENCE_PERSISTENT };
        text_format(fault.text, sizeof fault.text, "right, but read in %.1f s, and in %.1f s once more alone",
                (double)p->latency_us / 1e6, (double)w->again_us / 1e6);
        detail_set(&fault.detail, "latency_us", "%" PRIu64, p->latency_us);
        detail_set(&fault.detail, "again_us", "%" PRIu64, w->again_us);
        detail_set(&fault.detail, "slow_after_us", "%" PRIu64, s->o.slow_after_us);
        detail_set(&fault.detail, "foreign_io", "%s", w->counted ? "none" : "unknown");
        sweep_add_fault(s, &fault);
}

static void tell_failure(struct sweep *s, int error) {
        const struct slow *w = &s->slow;
        const struct slow_place *p = &w->places[0];
        const char *name = medium_errno_name(error);
        struct fault_run fault = { .fault = FAULT_READ_ERROR, .cause = error, .place = p->place, .lone = true };
        fault.place.offset_bytes += w->done_bytes;
        fault.place.length_bytes -= w->done_bytes;
        text_format(fault.text, sizeof fault.text,
                "reading failed: %s; it had been late (%.1f s) and right, and was read once more", name,
                (double)p->latency_us / 1e6);
        detail_set(&fault.detail, "errno", "%s", name);
        if (medium_judge(error) == MEDIUM_TRANSPORT)
                detail_set(&fault.detail, "cause", "transport");
        detail_set(&fault.detail, "narrowed", "no");
        sweep_add_fault(s, &fault);
}

/* It came back a while ago, late, and now not at all: that must be told. */
static void failed(struct sweep *s, int error) {
        if (medium_judge(error) == MEDIUM_AGAIN && !sweep_is_ending(s)) {
                try_again(s);
                return;
        }
        if (sweep_error_counts(s, error))
                tell_failure(s, error);
        conclude(s);
}

void sweep_slow_completed(struct sweep *s) {
        struct slow *w = &s->slow;
        int error = sweep_io_error(s, &w->io);
        w->out = false;
        if (error) {
                failed(s, error);
                return;
        }
        w->done_bytes += (uint64_t)w->io.result;
        w->again_us = MAX(w->again_us, w->io.completed_us - w->io.submitted_us);
        if (sweep_is_ending(s))
                return; /* what is left is counted at the end */
        if (w->done_bytes < w->places[0].place.length_bytes) {
                ask(s);
        } else if (w->again_us <= s->o.slow_after_us) {
                conclude(s);
        } else if (was_alone(s)) {
                tell(s);
                conclude(s);
        } else {
                try_again(s);
        }
}

/* The sweep is at its end. */
void sweep_slow_abandon(struct sweep *s) {
        assert(!s->slow.out);
        give_up(s);
}

/* One place at a time, with nothing of ours beside it. True: there was something to do. */
bool sweep_slow(struct sweep *s) {
        struct slow *w = &s->slow;
        if (w->out || sweep_is_ending(s) || !sweep_slow_holds(s) || s->now_us < w->not_before)
                return false;
        if (s->blocks_out > 0 || s->in_flight > 0 || s->unsent_count > 0)
                return false;
        if (w->spent_us > s->o.narrow_budget_us)
                give_up(s);
        else
                begin_try(s);
        return true;
}
