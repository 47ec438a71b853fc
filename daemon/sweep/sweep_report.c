/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sweep tells main. A fault that was seen must get there, and main must not drown: so faults are told as runs, a
 * run when it has ended or now and then while it grows, and when main has no room the sweep keeps its news and waits.
 */
#include "sweep/sweep_private.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

enum { REPORT_EVERY_US = 250000 };

void sweep_gauge_read(const struct sweep_gauge *gauge, struct progress *ret) {
        ret->bytes.verified = atomic_load_explicit(&gauge->verified, memory_order_acquire);
        ret->bytes.read = atomic_load_explicit(&gauge->read, memory_order_acquire);
        ret->bytes.written = atomic_load_explicit(&gauge->written, memory_order_acquire);
        ret->bytes.skipped = atomic_load_explicit(&gauge->skipped, memory_order_acquire);
        ret->bytes_done = atomic_load_explicit(&gauge->done, memory_order_acquire);
        ret->bytes.total = atomic_load_explicit(&gauge->total, memory_order_acquire);
        ret->phase = (enum sweep_phase)atomic_load_explicit(&gauge->phase, memory_order_relaxed);
        ret->generation = atomic_load_explicit(&gauge->generation, memory_order_relaxed);
        ret->running_us = atomic_load_explicit(&gauge->running, memory_order_relaxed);
}

enum pace_state sweep_gauge_pace(const struct sweep_gauge *gauge, uint64_t *rate) {
        *rate = atomic_load_explicit(&gauge->rate, memory_order_relaxed);
        return (enum pace_state)atomic_load_explicit(&gauge->pace, memory_order_relaxed);
}

/* owed_since goes to 0 before the rest changes and gets its value after it: who reads the same one twice has seen what
 * belongs to it. */
void sweep_gauge_owe(struct sweep_gauge *g, enum sweep_request request, uint64_t since_us, struct extent place) {
        assert(since_us > 0);
        uint64_t before = atomic_load(&g->owed_since);
        if (before == since_us && atomic_load(&g->owed_request) == (uint64_t)request &&
                atomic_load(&g->owed_offset) == place.offset_bytes &&
                atomic_load(&g->owed_length) == place.length_bytes)
                return;
        atomic_store(&g->owed_since, 0);
        atomic_store(&g->owed_request, (uint64_t)request);
        atomic_store(&g->owed_offset, place.offset_bytes);
        atomic_store(&g->owed_length, place.length_bytes);
        atomic_store(&g->owed_since, since_us);
}

void sweep_gauge_paid(struct sweep_gauge *g, uint64_t now_us) {
        if (atomic_load(&g->owed_since) == 0)
                return;
        atomic_store(&g->paid, now_us);
        atomic_store(&g->owed_since, 0);
}

bool sweep_gauge_debt(const struct sweep_gauge *g, struct sweep_debt *ret) {
        struct sweep_debt debt = { .since_us = atomic_load(&g->owed_since) };
        debt.request = (enum sweep_request)atomic_load(&g->owed_request);
        debt.place = (struct extent){ atomic_load(&g->owed_offset), atomic_load(&g->owed_length) };
        debt.paid_us = atomic_load(&g->paid);
        if (atomic_load(&g->owed_since) != debt.since_us)
                return false;
        if (debt.since_us == 0)
                debt.request = REQUEST_NONE;
        *ret = debt;
        return true;
}

static enum sweep_phase phase_of(const struct sweep *s) {
        switch (s->pass_step) {
        case STEP_REWRITE:
                return s->recovery ? PHASE_RESTORE : keeper_phase(s->keeper);
        case STEP_WRITE:
                return PHASE_WRITE;
        case STEP_VERIFY:
                return PHASE_VERIFY;
        case STEP_READ:
                return PHASE_READ;
        default:
                return PHASE_CHECK;
        }
}

/* Largest first, so that a reader that goes the other way never sees more verified than read. */
void sweep_publish(struct sweep *s) {
        struct sweep_gauge *g = s->o.gauge;
        const struct sweep_bytes *b = &s->record.bytes;
        uint64_t done = b->read + b->written + b->skipped + s->lost_bytes;
        atomic_store_explicit(&g->total, b->total, memory_order_release);
        atomic_store_explicit(&g->done, MIN(done, b->total), memory_order_release);
        atomic_store_explicit(&g->skipped, b->skipped, memory_order_release);
        atomic_store_explicit(&g->written, b->written, memory_order_release);
        atomic_store_explicit(&g->read, b->read, memory_order_release);
        atomic_store_explicit(&g->verified, b->verified, memory_order_release);
        atomic_store_explicit(&g->generation, s->record.generation, memory_order_relaxed);
        atomic_store_explicit(&g->phase, phase_of(s), memory_order_relaxed);
        atomic_store_explicit(&g->pace, pace_state(&s->pacing.pace, s->now_us), memory_order_relaxed);
        atomic_store_explicit(&g->running, s->record.running_us, memory_order_relaxed);
        atomic_store_explicit(&g->rate, pace_rate(&s->pacing.pace), memory_order_relaxed);
}

/* Into the outbox; it has room for all that one step may say. */
void sweep_post(struct sweep *s, enum news_kind kind, bool wants_answer, const struct news_mark *mark) {
        assert(s->outbox_count < OUTBOX_MAX);
        struct news *news = &s->outbox[s->outbox_count++];
        *news = (struct news){ .kind = kind, .sweep_id = s->o.id, .record = s->record };
        if (mark)
                news->mark = *mark;
        news->checkpoint = s->rest.saved;
        if (kind == NEWS_CHECKPOINT)
                news->survey = sweep_survey(s);
        if (wants_answer)
                news->sequence = ++s->sequence;
}

static bool post_outbox(struct sweep *s) {
        size_t sent = 0;
        while (sent < s->outbox_count && s->o.news->post(s->o.news, &s->outbox[sent]))
                sent++;
        s->outbox_count -= sent;
        memmove(s->outbox, s->outbox + sent, s->outbox_count * sizeof s->outbox[0]);
        return s->outbox_count == 0;
}

static void describe(struct finding *f, const struct fault_run *run) {
        text_copy(f->text, sizeof f->text, run->text);
        f->detail = run->detail;
        if (run->restored) /* its text is whole */
                return;
        if (run->bad_bytes > UNIT_BYTES && run->fault > FAULT_FLUSH_ERROR && run->fault != FAULT_SLOW) {
                text_append(f->text, sizeof f->text, " (the first of %" PRIu64 " units)",
                        (run->bad_bytes + UNIT_BYTES - 1) / UNIT_BYTES);
                detail_set(&f->detail, "bytes_bad", "%" PRIu64, run->bad_bytes);
        }
        if (run->coarse) {
                detail_set(&f->detail, "bytes_bad", "%" PRIu64, run->bad_bytes);
                detail_set(&f->detail, "coarse", "there were too many faults to keep them apart");
        }
}

static bool post_fault(struct sweep *s, struct fault_run *run) {
        struct news news = {
                .kind = NEWS_FAULT,
                .sweep_id = s->o.id,
                .fault_serial = run->serial,
                .record = s->record,
        };
        struct finding *f = &news.fault;
        text_copy(f->device, sizeof f->device, s->o.device);
        f->target_row = s->record.target_row;
        f->sweep_id = s->o.id;
        f->place = run->place;
        f->fault = run->fault;
        f->persistence = run->persistence;
        f->sample = run->sample;
        f->last_seen_us = s->wall_us;
        describe(f, run);
        if (!s->o.news->post(s->o.news, &news))
                return false;
        run->reported_bytes = run->bad_bytes;
        run->reported_as = run->persistence;
        return true;
}

/* Where every block before it has come back: a run that begins below it has no neighbours still to come in front. */
uint64_t sweep_frontier(const struct sweep *s) {
        uint64_t at = s->cursor;
        for (size_t i = 0; i < block_pool_count(s->pool); i++) {
                const struct block *b = block_pool_at(s->pool, i);
                if (b->phase != BLOCK_FREE)
                        at = MIN(at, b->offset_bytes);
        }
        return at;
}

static bool is_told(const struct fault_run *run) {
        return run->bad_bytes == run->reported_bytes && run->persistence == run->reported_as;
}

/* What is withheld may become one with it, and two runs that were told can't be made one any more. */
static bool touches_withheld(const struct sweep *s, const struct fault_run *run) {
        struct extent around = { MAX(run->place.offset_bytes, 1) - 1, run->place.length_bytes + 2 };
        for (size_t i = 0; i < fault_table_count(s->faults) && s->pass_step == STEP_CHECK; i++) {
                const struct fault_run *other = fault_table_at(s->faults, i);
                if (other->withheld && other->fault == run->fault && extent_overlaps(other->place, around))
                        return true;
        }
        return false;
}

static bool is_ripe(const struct sweep *s, const struct fault_run *run, uint64_t frontier_bytes, bool all) {
        if (run->withheld || run->doubtful || is_told(run) || touches_withheld(s, run))
                return false;
        return all || run->pass < s->pass_number || run->place.offset_bytes < frontier_bytes;
}

/*
 * Posts what waits; with all, every fault too. False: main has no room, or (with all) something is left. Runs of an
 * earlier pass are always ripe.
 */
bool sweep_report(struct sweep *s, bool all) {
        if (!post_outbox(s))
                return false;
        if (!s->faults_dirty || (!all && s->now_us - s->faults_reported_us < REPORT_EVERY_US))
                return true;
        uint64_t frontier_bytes = sweep_frontier(s);
        bool left = false;
        for (size_t i = 0; i < fault_table_count(s->faults); i++) {
                struct fault_run *run = fault_table_at(s->faults, i);
                if (is_ripe(s, run, frontier_bytes, all) && !post_fault(s, run))
                        return false;
                left |= !is_told(run);
        }
        s->faults_dirty = left;
        s->faults_reported_us = s->now_us;
        return true;
}

/* Whether something is bad for good so near that its request may have been one with that of the doubtful run. */
static bool has_bad_neighbour(const struct sweep *s, const struct fault_run *doubtful) {
        /* Only what is in flight together can be joined. */
        uint64_t together = MIN(s->o.max_io_bytes, (uint64_t)s->o.depth * s->o.block_bytes);
        uint64_t reach = MAX(together, s->o.block_bytes), from = doubtful->place.offset_bytes;
        struct extent around = { from > reach ? from - reach : 0, 0 };
        around.length_bytes = extent_end(doubtful->place) + reach - around.offset_bytes;
        for (size_t i = 0; i < fault_table_count(s->faults); i++) {
                const struct fault_run *run = fault_table_at(s->faults, i);
                bool for_good = !run->doubtful && !run->lone && run->persistence != PERSISTENCE_TRANSIENT;
                if (for_good && run->fault == doubtful->fault && run->pass == doubtful->pass &&
                        extent_overlaps(run->place, around))
                        return true;
        }
        return false;
}

/*
 * The kernel joins neighbouring blocks into one request, which fails as a whole: a block that failed once and then came
 * through is a fault of its own only where no neighbour is bad. Below `limit` all neighbours have come back.
 */
void sweep_settle_doubts(struct sweep *s, uint64_t limit_bytes) {
        if (!s->has_doubts)
                return;
        s->has_doubts = false;
        for (size_t i = fault_table_count(s->faults); i > 0; i--) {
                struct fault_run *run = fault_table_at(s->faults, i - 1);
                if (!run->doubtful)
                        continue;
                if (extent_end(run->place) + s->o.max_io_bytes > limit_bytes)
                        s->has_doubts = true;
                else if (has_bad_neighbour(s, run))
                        fault_table_remove(s->faults, i - 1);
                else
                        run->doubtful = false;
        }
        s->faults_dirty = true;
}

void sweep_add_fault(struct sweep *s, struct fault_run *fault) {
        fault->pass = s->pass_number;
        fault->sampled = s->pass_step == STEP_SAMPLE;
        fault_table_add(s->faults, fault);
        s->faults_dirty = true;
        s->has_doubts |= fault->doubtful;
        if (!fault->withheld || fault->sampled ||
                s->pass_step == STEP_REWRITE) /* sample and keeper weigh by themselves */
                return;
        size_t places = 0;
        for (size_t i = 0; i < fault_table_count(s->faults); i++) {
                const struct fault_run *run = fault_table_at(s->faults, i);
                if (!run->withheld || run->sampled)
                        continue;
                places++;
                if (run->bad_bytes < FOREIGN_ROW_BYTES && places < FOREIGN_PLACES)
                        continue;
                s->too_foreign = true;
                sweep_fail(s, END_FAILED, "foreign_data",
                        "If this data may be destroyed: sweepctl start NAME --overwrite IDENTITY (the value of destroys_data).",
                        "the target holds data that sweepd did not write, first at offset %" PRIu64,
                        run->place.offset_bytes);
                return;
        }
}
