/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a sweep is cut short, and gone on with under its number: after a kill, a pause, a closed window. What could go
 * wrong: a checkpoint that counts what was not judged, so that a part of the disk is never looked at; one that is
 * durable before the faults in front of it, so that they are lost; and numbers of which a part is counted twice. So a
 * place is saved only while nothing is out, or without what lies behind it (INV-13), and after all faults before it
 * were told. What was done behind it does not count and is done again.
 */
#include "sweep/sweep_private.h"

#include <assert.h>
#include <string.h>

#define CHECKPOINT_EVERY_US USEC_PER_SEC
#define HALT_LIMIT_US       USEC_PER_SEC /* what is longer away is done again */

static void restore_faults(struct sweep *s, const struct sweep_resume *resume) {
        for (size_t i = 0; i < resume->finding_count; i++) {
                const struct finding *f = &resume->findings[i];
                struct fault_run run = {
                        .pass = s->pass_number, /* an earlier one than all that follow */
                        .fault = f->fault,
                        .persistence = f->persistence,
                        .cause = INT64_MIN + (int64_t)i,
                        .place = f->place,
                        .detail = f->detail,
                        .sample = f->sample,
                };
                text_copy(run.text, sizeof run.text, f->text);
                if (!fault_table_restore(s->faults, &run))
                        break; /* so many make no other verdict */
        }
        s->pass_number++;
}

void sweep_resume_begin(struct sweep *s, const struct sweep_resume *resume) {
        const struct checkpoint *from = &resume->from;
        assert(from->size_bytes == s->o.size_bytes && from->at_bytes <= extent_end(s->o.extent));
        assert(from->extent.offset_bytes == s->o.extent.offset_bytes && from->at_bytes >= s->o.extent.offset_bytes);
        restore_faults(s, resume);
        s->record.running_us = resume->record.running_us;
        s->record.generation = resume->record.generation;
        s->record.bytes = from->bytes;
        s->record.stamps_seen = from->stamps_seen;
        s->covered_bytes = from->covered_bytes;
        s->lost_bytes = from->lost_bytes;
        memcpy(s->survey.latency, resume->latency, sizeof s->survey.latency);
        s->survey.late_reads = from->late_reads;
        s->survey.late_untried = from->late_untried;
        s->rest.from = s->rest.saved = *from;
        /* At the start of the first round nothing is behind it: what is looked at before may decide anew. */
        s->rest.resumed = from->round != ROUND_CHECK || from->at_bytes > from->extent.offset_bytes;
        if (from->round == ROUND_SWEEP) {
                assert(from->pass <= s->record.patterns.count);
                s->fixed_over = from->pass;
                s->reached_end = from->at_bytes;
        }
}

/* Where this round begins, and the pass of it that is under way. */
uint64_t sweep_resume_at(const struct sweep *s, enum sweep_round round) {
        const struct checkpoint *from = &s->rest.from;
        bool here = s->rest.resumed && from->round == round && (round != ROUND_SWEEP || from->pass == s->fixed_over);
        return here ? from->at_bytes : s->o.extent.offset_bytes;
}

/* Of the region that was cut in two, the first half. */
void sweep_resume_regions(struct sweep *s, uint64_t at_bytes) {
        const struct checkpoint *from = &s->rest.from;
        if (!s->rest.resumed || at_bytes == s->o.extent.offset_bytes)
                return;
        size_t i = sweep_region_at(s, from->at_bytes);
        if (i >= REGIONS_MAX)
                return;
        /* Checkpoints of an earlier version may be of larger regions: those of the target. */
        uint64_t before = (from->at_bytes - s->o.extent.offset_bytes) % s->region_step;
        s->region_checked[i] = MIN(from->region_checked_bytes, before);
        s->region_verified[i] = MIN(from->region_verified_bytes, before);
}

/* Whether something before that place was met and can't be told yet. What the sample saw is seen again by the next. */
static bool keeps_back(const struct sweep *s, uint64_t at_bytes) {
        for (size_t i = 0; i < fault_table_count(s->faults); i++) {
                const struct fault_run *run = fault_table_at(s->faults, i);
                if ((run->doubtful || (run->withheld && !run->sampled)) && run->place.offset_bytes < at_bytes)
                        return true;
        }
        return false;
}

static void take_counts(struct sweep *s, enum sweep_round round, uint64_t at_bytes, const struct uncounted *beyond) {
        const struct sweep_bytes *b = &s->record.bytes;
        size_t region = sweep_region_at(s, at_bytes);
        s->rest.saved = (struct checkpoint){
                .round = round,
                .size_bytes = s->o.size_bytes,
                .extent = s->o.extent,
                .at_bytes = at_bytes,
                .pass = round == ROUND_SWEEP ? s->fixed_over : 0,
                .covered_bytes = s->covered_bytes - beyond->covered_bytes,
                .lost_bytes = s->lost_bytes - beyond->lost_bytes,
                .bytes = {
                        .total = b->total,
                        .read = b->read - beyond->bytes.read,
                        .written = b->written - beyond->bytes.written,
                        .verified = b->verified - beyond->bytes.verified,
                        .skipped = b->skipped - beyond->bytes.skipped,
                },
                .stamps_seen = s->record.stamps_seen,
                .late_reads = s->survey.late_reads,
                .late_untried = s->survey.late_untried,
        };
        if (region < REGIONS_MAX && at_bytes > s->o.extent.offset_bytes) {
                s->rest.saved.region_checked_bytes = s->region_checked[region] - beyond->region_bytes;
                s->rest.saved.region_verified_bytes = s->region_verified[region] - beyond->region_bytes;
        }
}

/* All before that place was judged. beyond: what was counted behind it; NULL: nothing, as nothing is out. */
void sweep_save(struct sweep *s, enum sweep_round round, uint64_t at_bytes, const struct uncounted *beyond) {
        static const struct uncounted nothing;
        assert(beyond || s->blocks_out == 0); /* INV-13: a checkpoint counts what was judged, and only that */
        sweep_settle_doubts(s, beyond ? at_bytes : UINT64_MAX);
        if (keeps_back(s, at_bytes))
                return;
        take_counts(s, round, at_bytes, beyond ? beyond : &nothing);
        if (s->now_us - s->rest.told_us < CHECKPOINT_EVERY_US || !sweep_report(s, true))
                return;
        s->rest.told_us = s->now_us;
        sweep_post(s, NEWS_CHECKPOINT, false, NULL);
}

/* Where it would begin anew, if it got no further. */
void sweep_save_start(struct sweep *s, enum sweep_step first) {
        static const struct uncounted nothing;
        if (!s->rest.resumed)
                take_counts(s, first == STEP_CHECK ? ROUND_CHECK : ROUND_SWEEP, s->o.extent.offset_bytes, &nothing);
}

/* In a pass that only reads. True: something was done. */
bool sweep_save_when_quiet(struct sweep *s) {
        if (!s->rest.due || s->blocks_out > 0 || sweep_is_ending(s))
                return false;
        if (s->slow.count > 0 && !s->rest.halting) {
                s->slow.due = true; /* what was late is tried first */
                return false;
        }
        s->rest.due = false;
        if (s->slow.count == 0 && sweep_device_is_there(s))
                sweep_save(s, s->step == STEP_CHECK ? ROUND_CHECK : ROUND_SWEEP, s->cursor, NULL);
        return true;
}

/* What is out comes back within a moment, or is done again. What failed is narrowed down first, or it would be told as
 * coarsely as it is known; that ends with narrow_budget. */
static bool is_worth_waiting(const struct sweep *s, bool reads, bool at_once) {
        if (!at_once && sweep_io_narrows(s))
                return true;
        return reads && s->rest.due && s->slow.count == 0 && s->now_us - s->rest.halting_us < HALT_LIMIT_US;
}

void sweep_suspend(struct sweep *s, bool at_once) {
        struct resting *r = &s->rest;
        if (sweep_is_ending(s) || s->record.end != END_NONE || r->suspended)
                return;
        if (s->step == STEP_REWRITE) {
                r->suspended = true;
                keeper_stop(s->keeper); /* what is armed goes back first */
                return;
        }
        bool reads = s->step == STEP_READ || s->step == STEP_CHECK;
        if (reads && !r->halting) {
                r->halting = r->due = true;
                r->halting_us = s->now_us;
                sweep_io_take_back(s);
        }
        if (is_worth_waiting(s, reads, at_once))
                return;
        r->suspended = true;
        sweep_enter(s, STEP_DRAIN);
}

bool sweep_is_suspended(const struct sweep *s) {
        return sweep_comes_again(s);
}

struct checkpoint sweep_checkpoint(const struct sweep *s) {
        return s->rest.saved;
}
