/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is made of bytes that were read. What must be there differs from place to place (several generations, stretches
 * that may hold either of two, places that were never written), and only what was compared may be counted as verified.
 */
#include "sweep/sweep_private.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

enum { TAKE_BACK_BATCH = 64, INLINE_BYTES = 64 << 10 };

/* Newest first: the generation that is meant, where there are several. */
static void span_add(struct span *span, const struct stamped_range *range, const struct sweep *s) {
        size_t at = span->count;
        assert(at < EXPECTATION_MAX);
        while (at > 0 && span->stamps[at - 1].generation < range->generation) {
                span->stamps[at] = span->stamps[at - 1];
                at--;
        }
        span->stamps[at] = (struct stamp){
                .mode = MODE_PATTERN,
                .target_id = s->o.target->target_id,
                .generation = range->generation,
                .nonce = range->nonce,
                .started_us = range->started_us,
        };
        span->count++;
}

/* What the ledger says of this place, and how far the same holds. Beyond EXPECTATION_MAX generations nothing is known.
 */
const struct span *sweep_span(struct sweep *s, uint64_t offset_bytes) {
        struct span *span = &s->span;
        if (span->place.length_bytes > 0 && offset_bytes >= span->place.offset_bytes &&
                offset_bytes < extent_end(span->place))
                return span;
        uint64_t from = 0, to = s->o.size_bytes;
        bool too_many = false, settled = false;
        *span = (struct span){ 0 };
        for (size_t i = 0; s->o.target && i < s->o.target->range_count; i++) {
                const struct stamped_range *range = &s->o.target->ranges[i];
                uint64_t begin = range->extent.offset_bytes, end = extent_end(range->extent);
                if (end <= offset_bytes) {
                        from = MAX(from, end);
                } else if (begin > offset_bytes) {
                        to = MIN(to, begin);
                } else {
                        from = MAX(from, begin);
                        to = MIN(to, end);
                        settled |= range->settled;
                        if (span->count == EXPECTATION_MAX)
                                too_many = true;
                        else
                                span_add(span, range, s);
                }
        }
        if (too_many || !settled) /* written in part over who knows what: the place may hold anything */
                span->count = 0;
        span->place = (struct extent){ from, to - from };
        return span;
}

void sweep_expectation_release(struct expectation *e) {
        for (size_t i = 0; i < e->count; i++)
                table_unref((struct table *)e->candidates[i].table);
        e->count = 0;
}

/* False: the tables are all in use. */
bool sweep_span_expect(struct sweep *s, struct expectation *e, const struct span *span) {
        *e = (struct expectation){ 0 };
        for (size_t i = 0; i < span->count; i++) {
                struct table *table = span->fixed ? table_cache_get_fixed(s->tables, span->pattern)
                                                  : table_cache_get(s->tables, span->stamps[i].nonce);
                if (!table) {
                        sweep_expectation_release(e);
                        return false;
                }
                e->candidates[e->count++] = (struct content){ .table = table, .stamp = span->stamps[i] };
        }
        return true;
}

static void add_patterns(struct diagnosis_ground *g, const struct pattern_list *list, size_t count) {
        for (size_t i = 0; i < MIN(count, list->count); i++)
                ground_add_pattern(g, list->bytes[i]);
}

/* Where a sweep of the past wrote, or was to write. */
struct extent sweep_past_extent(const struct sweep *s, const struct past_generation *past) {
        return past->extent.length_bytes > 0 ? past->extent : s->o.extent;
}

/* The fixed patterns that were written here before: by the sweeps before this one, as far as they came, and by this
 * one. Its own parts may have come farther than the place that it goes on from. */
static void add_past_patterns(const struct sweep *s, struct diagnosis_ground *g, uint64_t offset_bytes) {
        const struct target_record *t = s->o.target;
        bool any = s->pass_step == STEP_SAMPLE && s->rest.resumed;
        for (size_t i = 0; i < t->past_count; i++) {
                struct extent swept = sweep_past_extent(s, &t->past[i]);
                if (t->past[i].started_us != s->o.started_us &&
                        extent_contains(swept, (struct extent){ offset_bytes, 1 }))
                        add_patterns(
                                g, &t->past[i].patterns, (size_t)(t->past[i].bytes_written / swept.length_bytes) + 1);
        }
        add_patterns(g, &s->record.patterns, any ? PATTERN_LIST_MAX : s->fixed_over);
}

void sweep_ground(struct sweep *s, struct diagnosis_ground *g, uint64_t offset_bytes) {
        *g = (struct diagnosis_ground){ .tables = s->tables, .target_bytes = s->o.size_bytes };
        if (!s->o.target)
                return;
        static_assert(EXPECTATION_MAX + TARGET_PAST_MAX <= OLDER_MAX, "room for both");
        const struct target_record *t = s->o.target;
        const struct span *span = sweep_span(s, offset_bytes);
        g->target_id = t->target_id;
        for (size_t i = 0; i < span->count; i++)
                g->older[g->older_count++] = span->stamps[i];
        for (size_t i = 0; i < t->past_count; i++) /* a disk may fall back on what it should have forgotten */
                g->older[g->older_count++] = (struct stamp){
                        .generation = t->past[i].generation,
                        .nonce = t->past[i].nonce,
                        .started_us = t->past[i].started_us,
                };
        add_past_patterns(s, g, offset_bytes);
}

/* The fault of a unit, but for its words. */
void sweep_diagnose(struct sweep *s, struct diagnosis *ret, struct fault_run *fault, const struct expectation *e,
        const uint8_t *bytes, struct extent unit) {
        struct diagnosis_ground ground;
        sweep_ground(s, &ground, unit.offset_bytes);
        diagnose_unit(ret, &ground, e, bytes, unit.offset_bytes, unit.length_bytes);
        fault->fault = ret->fault;
        fault->place = unit;
        fault->cause = ret->fault == FAULT_MISDIRECTED ? ret->displacement_bytes : (int64_t)ret->generation;
}

static void describe(const struct sweep *s, struct fault_run *fault, const struct diagnosis *d) {
        fault->sample = d->sample;
        diagnose_describe(d, fault->text, &fault->detail);
        sweep_name_pass(s, &fault->detail);
        if (s->lone_cpu)
                detail_set(&fault->detail, "verified_again", "no: sweepd may use one CPU only");
        else if (s->spared)
                detail_set(&fault->detail, "verified_again", "no: other blocks of this stretch were");
}

/* Diagnoses and adds the fault. True: it is a damaged form of what we wrote. */
bool sweep_unit_is_bad(struct sweep *s, const struct expectation *e, const uint8_t *bytes, struct extent unit,
        enum persistence persistence) {
        struct diagnosis d;
        struct fault_run fault = { .persistence = persistence };
        sweep_diagnose(s, &d, &fault, e, bytes, unit);
        fault.withheld = !d.ours && persistence != PERSISTENCE_TRANSIENT &&
                (s->pass_step == STEP_SAMPLE || s->pass_step == STEP_CHECK || s->pass_step == STEP_REWRITE);
        fault.pass = s->pass_number;
        if (fault_table_wants_words(s->faults, &fault))
                describe(s, &fault, &d);
        /* A piece does not know whose unit it is of: where the sample can't tell, the pass behind it does. */
        bool whole = unit.length_bytes == UNIT_BYTES || extent_end(unit) == s->o.size_bytes;
        if (d.ours || s->pass_step != STEP_SAMPLE || (whole && unit.offset_bytes % UNIT_BYTES == 0))
                sweep_add_fault(s, &fault);
        return d.ours;
}

/* Adds a fault for each unit whose bit is set: bit 0 is the unit that holds the place's offset. */
void sweep_judge_units(struct sweep *s, const struct expectation *e, const uint8_t *bytes, struct extent piece,
        const uint64_t *bad_units, enum persistence persistence) {
        size_t unit = 0;
        for (uint64_t at = 0; at < piece.length_bytes; unit++) {
                uint64_t offset = piece.offset_bytes + at;
                uint64_t length = MIN(UNIT_BYTES - offset % UNIT_BYTES, piece.length_bytes - at);
                if (bad_units[unit / 64] & BIT(unit % 64))
                        (void)sweep_unit_is_bad(s, e, bytes + at, (struct extent){ offset, length }, persistence);
                at += length;
        }
}

/* Somebody's data was here, and it is in an undo journal that is not armed here. */
void sweep_add_unrestored(struct sweep *s, const struct stamp *stamp, struct extent unit) {
        struct fault_run fault = {
                .fault = FAULT_UNRESTORED,
                .place = unit,
                .cause = (int64_t)stamp->nonce,
                .persistence = PERSISTENCE_PERSISTENT,
        };
        text_copy(fault.text, sizeof fault.text,
                "bytes of a preserve sweep that never put the data back, and no journal that is armed here has it");
        detail_set(&fault.detail, "target_id", "%016" PRIx64, stamp->target_id);
        detail_set(&fault.detail, "generation", "%" PRIu64, stamp->generation);
        detail_set(&fault.detail, "nonce", "%016" PRIx64, stamp->nonce);
        detail_set(&fault.detail, "sweep_started_us", "%" PRIu64, stamp->started_us);
        sweep_add_fault(s, &fault);
}

/* Mode read: stamps are counted, not judged, but for those that mean that somebody's data is elsewhere. */
static void count_stamps(struct sweep *s, const uint8_t *bytes, struct extent piece) {
        uint64_t head = (UNIT_BYTES - piece.offset_bytes % UNIT_BYTES) % UNIT_BYTES;
        for (uint64_t at = head; at < piece.length_bytes; at += UNIT_BYTES) {
                struct stamp stamp;
                if (!stamp_read(&stamp, bytes + at))
                        continue;
                s->record.stamps_seen++;
                uint64_t offset = piece.offset_bytes + at;
                if (stamp.mode == MODE_PRESERVE && stamp.offset_bytes == offset)
                        sweep_add_unrestored(
                                s, &stamp, (struct extent){ offset, MIN(UNIT_BYTES, extent_end(piece) - offset) });
        }
}

static void count_read(struct sweep *s, struct extent place) {
        s->record.bytes.read += place.length_bytes;
        sweep_survey_checked(s, place);
}

static void count_verified(struct sweep *s, struct extent place) {
        s->record.bytes.verified += place.length_bytes;
        sweep_survey_verified(s, place);
        if (s->pass_step == STEP_VERIFY && !sweep_is_fixed(s))
                s->covered_bytes += place.length_bytes;
}

/* The part of a block goes up the ladder as a block of its own: what is beside it can't be read or was never written.
 */
static void doubt_part(struct sweep *s, const struct block *b, const struct verify_job *job) {
        struct block *part = s->narrow.part;
        block_enter(part, BLOCK_IN_FLIGHT);
        block_enter(part, BLOCK_ARRIVED);
        part->offset_bytes = job->offset_bytes;
        part->length_bytes = job->length_bytes;
        part->expectation = b->expectation;
        for (size_t i = 0; i < part->expectation.count; i++)
                table_ref((struct table *)part->expectation.candidates[i].table);
        memcpy(part->bytes, job->bytes, job->length_bytes);
        part->job = *job;
        s->blocks_out++;
        block_enter(part, BLOCK_VERIFYING);
        sweep_ladder_add(s, part);
}

static void judge_stretch(struct sweep *s, struct block *b, struct extent piece) {
        const uint8_t *bytes = b->bytes + (piece.offset_bytes - b->offset_bytes);
        if (s->pass_step == STEP_SAMPLE) { /* not part of the work that is counted */
                sweep_sample_judge(s, bytes, piece);
                return;
        }
        if (b->expectation.count > 0) {
                struct verify_job job = {
                        .expectation = &b->expectation,
                        .bytes = bytes,
                        .offset_bytes = piece.offset_bytes,
                        .length_bytes = (uint32_t)piece.length_bytes,
                };
                if (!sweep_verify(s, &job)) {
                        doubt_part(s, b, &job);
                        return;
                }
                count_verified(s, piece);
        }
        count_read(s, piece);
        if (s->o.mode == MODE_READ) {
                count_stamps(s, bytes, piece);
                s->covered_bytes += piece.length_bytes;
        }
}

static bool touches_bad_write(const struct sweep *s, const struct block *b) {
        struct extent place = { b->offset_bytes, b->length_bytes };
        for (size_t i = 0; i < s->bad_write_count; i++)
                if (extent_overlaps(place, s->bad_writes[i]))
                        return true;
        return false;
}

static bool part_is_on_the_ladder(const struct sweep *s) {
        return s->narrow.part && s->narrow.part->phase != BLOCK_FREE;
}

/*
 * A stretch of a block that was read, outside of the usual way: after an error, or beside a write that failed. What the
 * failed writes did not reach is left out; bad_writes are not sorted, so the nearest next one is looked for. False: a
 * part of it is on the ladder, and the rest, in *piece, must wait.
 */
bool sweep_judge_piece(struct sweep *s, struct block *b, struct extent *piece) {
        uint64_t end = extent_end(*piece);
        while (piece->length_bytes > 0 && !part_is_on_the_ladder(s)) {
                uint64_t at = piece->offset_bytes, next = end, behind = end;
                for (size_t i = 0; i < s->bad_write_count; i++) {
                        struct extent bad = s->bad_writes[i];
                        if (extent_end(bad) > at && bad.offset_bytes < next) {
                                next = MAX(bad.offset_bytes, at);
                                behind = MIN(extent_end(bad), end);
                        }
                }
                if (next > at)
                        judge_stretch(s, b, (struct extent){ at, next - at });
                if (behind > next)
                        count_read(s, (struct extent){ next, behind - next });
                *piece = (struct extent){ behind, end - behind };
        }
        return !part_is_on_the_ladder(s);
}

static void job_done(struct sweep *s, struct verify_job *job) {
        struct block *b = job->owner;
        if (!job->done)
                verify_job_run(job);
        if (job->bad_count > 0 && !sweep_verify_again(s, job))
                sweep_ladder_add(s, b);
        else {
                sweep_slow_note(s, b);
                sweep_judge_end(s, b);
        }
}

/* All that there is to say of the block was said. */
void sweep_judge_end(struct sweep *s, struct block *b) {
        struct extent place = { b->offset_bytes, b->length_bytes };
        count_read(s, place);
        count_verified(s, place);
        sweep_block_done(s, b);
}

static struct block *take_arrived(struct sweep *s) {
        struct block *b = s->arrived_first;
        s->arrived_first = b->next;
        if (!s->arrived_first)
                s->arrived_last = NULL;
        s->arrived_count--;
        return b;
}

/* Blocks that are not verified as a whole: nothing is expected of them, or a part of them was never written. */
static bool judge_otherwise(struct sweep *s, struct block *b) {
        if (b->expectation.count > 0 && b->length_bytes > 0 && !touches_bad_write(s, b))
                return false;
        if (b->expectation.count > 0 && b->length_bytes > 0) {
                sweep_io_take_apart(s, b);
                return true;
        }
        if (b->length_bytes > 0)
                judge_stretch(s, b, (struct extent){ b->offset_bytes, b->length_bytes });
        if (b->expectation.count == 0) /* what is beside a failed write is not judged by its time, too */
                sweep_slow_note(s, b);
        sweep_block_done(s, b);
        return true;
}

static void prepare_job(struct block *b) {
        b->job.expectation = &b->expectation;
        b->job.bytes = b->bytes;
        b->job.offset_bytes = b->offset_bytes;
        b->job.length_bytes = b->length_bytes;
        b->job.owner = b;
        b->job.worker = 0;
}

/*
 * Offers the verifier what this thread can't keep up with: the oldest arrived blocks, all but a few. A hand-over costs
 * two context switches and a cold cache, which a block that would be verified here at once can't win back; so a sweep
 * with workers is never slower than one without, and they get the more the further the device is ahead.
 */
static void offer(struct sweep *s) {
        struct verify_job *jobs[TAKE_BACK_BATCH];
        size_t count = 0, mine = MAX(1, s->o.depth / 8);
        if (!s->o.verifier || s->arrived_count <= mine)
                return;
        size_t most = MIN(s->arrived_count - mine, ELEMENTS(jobs));
        for (struct block *b = s->arrived_first; b && count < most; b = b->next) {
                if (b->expectation.count == 0 || b->length_bytes == 0 || touches_bad_write(s, b))
                        break;
                prepare_job(b);
                jobs[count++] = &b->job;
        }
        size_t taken = verifier_hand_over(s->o.verifier, jobs, count);
        for (size_t i = 0; i < taken; i++)
                block_enter(take_arrived(s), BLOCK_VERIFYING);
}

/*
 * Hands arrived blocks to the verifier; what it declines is verified here, a little at a time, so that completions are
 * seen and requests sent in between. True: something was done.
 */
bool sweep_judge_arrived(struct sweep *s) {
        if (!s->arrived_first)
                return false;
        offer(s);
        uint64_t here_bytes = 0;
        while (s->arrived_first && here_bytes < INLINE_BYTES) {
                struct block *b = take_arrived(s);
                here_bytes += b->length_bytes;
                if (judge_otherwise(s, b))
                        continue;
                prepare_job(b);
                block_enter(b, BLOCK_VERIFYING);
                verify_job_run(&b->job);
                job_done(s, &b->job);
        }
        return true;
}

bool sweep_judge_take_back(struct sweep *s) {
        struct verify_job *jobs[TAKE_BACK_BATCH];
        if (!s->o.verifier)
                return false;
        size_t n = verifier_take_back(s->o.verifier, jobs, ELEMENTS(jobs));
        for (size_t i = 0; i < n; i++)
                job_done(s, jobs[i]);
        return n > 0;
}

void sweep_block_done(struct sweep *s, struct block *b) {
        assert(s->blocks_out > 0);
        sweep_expectation_release(&b->expectation);
        if (b == s->narrow.part)
                block_enter(b, BLOCK_FREE);
        else
                block_pool_give_back(s->pool, b);
        s->blocks_out--;
}
