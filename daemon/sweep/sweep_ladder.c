/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wrong bytes are not yet a bad disk. The CPU that compared them may be wrong: so another one compares the same memory.
 * The way from the disk may be: so the place is read once more. What was written may have been lost: so, where we may
 * write, it is written, flushed and read back once more. Before the first write that is what the sweep does anyway.
 *
 * What could go wrong: yesterday's bytes passing for the second reading, a re-write that reaches a disk that took the
 * place of ours, good bytes that hide what was found first, and a disk that is bad everywhere and takes a year. So the
 * memory of each reading is destroyed before it, the device is looked at before it is written to, the first bytes are
 * kept until they are judged, blocks and time on the ladder have a limit, and of a long stretch a sample is tried.
 *
 *   READ_AGAIN -> [WRITE_AGAIN -> FLUSH -> READ_BACK] -> judged
 */
#include "media/medium.h"
#include "sweep/sweep_private.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

int sweep_ladder_init(struct sweep *s) {
        size_t bytes = s->o.block_bytes;
        s->ladder.read_bytes = aligned_alloc(UNIT_BYTES, bytes);
        if (!s->ladder.read_bytes)
                return -ENOMEM;
        if (s->o.mode == MODE_READ)
                return 0;
        s->ladder.write_bytes = aligned_alloc(UNIT_BYTES, bytes);
        return s->ladder.write_bytes ? 0 : -ENOMEM;
}

void sweep_ladder_deinit(struct sweep *s) {
        free(s->ladder.read_bytes);
        free(s->ladder.write_bytes);
}

/* Far along in a streak nothing new is learnt of each block. reach: how far apart two of its blocks may be. */

static bool is_near(const struct streak *k, struct extent place, uint64_t reach_bytes) {
        return place.offset_bytes <= k->end_bytes + reach_bytes && k->end_bytes <= extent_end(place) + reach_bytes;
}

static bool streak_spares(struct streak *k, struct extent place, uint64_t reach_bytes) {
        if (k->length < STREAK_MIN || !is_near(k, place, reach_bytes) || k->spared == MIN(k->length, STREAK_SPARED_MAX))
                return false;
        k->spared++;
        k->end_bytes = MAX(k->end_bytes, extent_end(place));
        return true;
}

/* One was tried; alike: it came out like those before. */
static void streak_add(struct streak *k, struct extent place, bool alike, uint64_t reach_bytes) {
        bool goes_on = k->length > 0 && is_near(k, place, reach_bytes);
        k->length = !alike ? 0 : goes_on ? k->length + 1 : 1;
        k->spared = 0;
        k->end_bytes = goes_on ? MAX(k->end_bytes, extent_end(place)) : extent_end(place);
}

/* The first rung: another CPU. */

static size_t subtract(uint64_t left[static VERIFY_WORDS], const uint64_t *from, const uint64_t *what) {
        size_t count = 0;
        for (size_t i = 0; i < VERIFY_WORDS; i++) {
                left[i] = from[i] & ~what[i];
                count += (size_t)__builtin_popcountll(left[i]);
        }
        return count;
}

static size_t words_of(const struct verify_job *job) {
        return (job->length_bytes / UNIT_BYTES + 2 + 63) / 64;
}

static bool is_bad_all_over(const struct verify_job *job) {
        uint64_t first = job->offset_bytes / UNIT_BYTES, end = job->offset_bytes + job->length_bytes;
        return job->bad_count == (end + UNIT_BYTES - 1) / UNIT_BYTES - first;
}

static bool has_bit(const uint64_t *bits, size_t i) {
        return bits[i / 64] & BIT(i % 64);
}

/* The i-th unit of a place, or the part of it that lies there. */
static struct extent unit_of(struct extent place, size_t i) {
        uint64_t from = (place.offset_bytes / UNIT_BYTES + i) * UNIT_BYTES;
        return extent_common((struct extent){ from, UNIT_BYTES }, place);
}

/* A CPU that disagrees with the others on a unit was wrong there. */
static void blame(struct sweep *s, const struct verify_job *job, const uint64_t *verdict, int other_cpu) {
        struct extent place = { job->offset_bytes, job->length_bytes };
        bool wrong = false;
        for (size_t i = 0; i < words_of(job) * 64; i++) {
                if (has_bit(job->bad_units, i) == has_bit(verdict, i))
                        continue;
                wrong = true;
                struct fault_run fault = { .fault = FAULT_HOST, .cause = job->cpu, .place = unit_of(place, i) };
                text_format(fault.text, sizeof fault.text,
                        "CPU %d took %s bytes for %s: not the disk, but this computer", job->cpu,
                        has_bit(verdict, i) ? "wrong" : "right", has_bit(verdict, i) ? "right" : "wrong");
                detail_set(&fault.detail, "cpu", "%d", job->cpu);
                detail_set(&fault.detail, "other_cpu", "%d", other_cpu);
                if (job->worker > 0)
                        detail_set(&fault.detail, "worker", "%u, taken out of service", job->worker - 1);
                else
                        detail_set(&fault.detail, "worker", "none: the sweep's own thread");
                sweep_add_fault(s, &fault);
        }
        if (wrong)
                verifier_dismiss(s->o.verifier, job->worker);
}

static void note_cpu(cpu_set_t *set, int cpu) {
        if (cpu >= 0 && cpu < CPU_SETSIZE)
                CPU_SET((size_t)cpu, set);
}

static bool is_same_verdict(const struct verify_job *a, const struct verify_job *b) {
        return memcmp(a->bad_units, b->bad_units, words_of(a) * sizeof(uint64_t)) == 0;
}

/* Blocks come back in any order, but not from farther than what is out at one time. */
static uint64_t opinion_reach(const struct sweep *s) {
        return (uint64_t)s->o.depth * s->o.block_bytes;
}

/*
 * The way to another CPU costs more than to read a block from a fast disk. On a disk that is bad all along it is gone
 * for a sample of the blocks; the others are compared once more where we are. That is no proof against a CPU that is
 * always wrong, which the sample is, but it is one against a CPU that is wrong now and then.
 */
static bool is_believed(struct sweep *s, const struct verify_job *job) {
        struct extent place = { job->offset_bytes, job->length_bytes };
        if (!is_bad_all_over(job) || !streak_spares(&s->opinions, place, opinion_reach(s)))
                return false;
        struct verify_job again = *job;
        verify_job_run(&again);
        if (!is_same_verdict(&again, job))
                return false;
        return true;
}

/*
 * A job that found something bad is done again elsewhere, and again where the two disagree: the majority decides. With
 * two CPUs there is none, and the first is taken to be wrong: a disk that is at fault will show it again. The job's
 * bits are then what is agreed on. True: nothing is bad.
 */
bool sweep_verify_again(struct sweep *s, struct verify_job *job) {
        struct verify_job second = *job, third = *job;
        struct extent place = { job->offset_bytes, job->length_bytes };
        cpu_set_t tried;
        s->spared = job->spared = is_believed(s, job);
        if (job->spared)
                return false;
        CPU_ZERO(&tried);
        note_cpu(&tried, job->cpu);
        s->lone_cpu = !verify_job_run_elsewhere(&second, &tried);
        bool agreed = !s->lone_cpu && is_same_verdict(&second, job);
        streak_add(&s->opinions, place, agreed && is_bad_all_over(job), opinion_reach(s));
        if (agreed || s->lone_cpu)
                return job->bad_count == 0;
        bool has_third = verify_job_run_elsewhere(&third, &tried);
        uint64_t verdict[VERIFY_WORDS] = { 0 };
        for (size_t i = 0; i < words_of(job); i++) {
                uint64_t a = job->bad_units[i], b = second.bad_units[i], c = third.bad_units[i];
                verdict[i] = has_third ? (a & b) | (a & c) | (b & c) : b;
        }
        blame(s, job, verdict, second.cpu);
        blame(s, &second, verdict, job->cpu);
        if (has_third)
                blame(s, &third, verdict, job->cpu);
        job->bad_count = 0;
        for (size_t i = 0; i < words_of(job); i++)
                job->bad_count += (size_t)__builtin_popcountll(verdict[i]);
        memcpy(job->bad_units, verdict, words_of(job) * sizeof(uint64_t));
        return job->bad_count == 0;
}

/* Verifies here, and elsewhere where that finds something. True: all is right. */
bool sweep_verify(struct sweep *s, struct verify_job *job) {
        verify_job_run(job);
        return job->bad_count == 0 || sweep_verify_again(s, job);
}

/* The other rungs. */

void sweep_ladder_add(struct sweep *s, struct block *b) {
        block_enter(b, BLOCK_DOUBTED);
        size_t words = words_of(&b->job);
        memset(b->job.bad_units + words, 0, (VERIFY_WORDS - words) * sizeof(uint64_t));
        sweep_block_append(&s->ladder.first, &s->ladder.last, b);
}

static struct extent place_of(const struct block *b) {
        return (struct extent){ b->offset_bytes, b->length_bytes };
}

/* Asks for what is missing of this rung. */
static void ask(struct sweep *s) {
        static const enum engine_op ops[] = {
                [RUNG_READ_AGAIN] = ENGINE_READ,
                [RUNG_WRITE_AGAIN] = ENGINE_WRITE,
                [RUNG_FLUSH] = ENGINE_FLUSH,
                [RUNG_READ_BACK] = ENGINE_READ,
        };
        struct ladder *l = &s->ladder;
        l->io = (struct engine_io){ .op = ops[l->rung], .owner = l };
        if (l->rung != RUNG_FLUSH) {
                uint8_t *bytes = l->rung == RUNG_WRITE_AGAIN ? l->write_bytes : l->read_bytes;
                l->io.offset_bytes = l->place.offset_bytes + l->done_bytes;
                l->io.length_bytes = (uint32_t)(l->place.length_bytes - l->done_bytes);
                l->io.buffer = bytes + (l->io.offset_bytes - l->block->offset_bytes);
        }
        if (l->io.op == ENGINE_READ)
                stamp_destroy(l->io.buffer, l->io.offset_bytes, l->io.length_bytes, true);
        l->out = true;
        sweep_io_enqueue(s, &l->io);
}

static void climb(struct sweep *s, enum ladder_rung rung) {
        s->ladder.rung = rung;
        s->ladder.done_bytes = 0;
        s->ladder.tries = 0;
        ask(s);
}

/* Whether the block's first unit has the fault, and the cause, of the streak's. Else they become the streak's. */
static bool is_of_streak(struct sweep *s, const struct block *b) {
        struct streak *k = &s->ladder.streak;
        struct fault_run fault = { 0 };
        struct diagnosis d;
        sweep_diagnose(s, &d, &fault, &b->expectation, b->bytes, unit_of(place_of(b), 0));
        bool same = fault.fault == k->fault && fault.cause == k->cause;
        k->fault = fault.fault;
        k->cause = fault.cause;
        return same;
}

/* Whether the ladder would but show once more what it showed of the neighbours, whose fault this is as well. */
static bool is_known(struct sweep *s, const struct block *b) {
        struct streak *k = &s->ladder.streak;
        if (k->length < STREAK_MIN || !is_bad_all_over(&b->job))
                return false;
        if (!is_of_streak(s, b))
                k->length = 0;
        return streak_spares(k, place_of(b), 0);
}

/* A unit that came out right is never taken for others: it may have been right by itself, or was made so. */
static void note_answer(struct sweep *s, const struct block *b, bool all_the_same) {
        bool alike = all_the_same && s->ladder.answered && is_bad_all_over(&b->job);
        if (alike && !is_of_streak(s, b))
                s->ladder.streak.length = 0;
        streak_add(&s->ladder.streak, place_of(b), alike, 0);
}

/* Adds what is known of the block on the ladder, which leaves it. */
static void judge(struct sweep *s) {
        struct ladder *l = &s->ladder;
        struct block *b = STEAL(l->block);
        uint64_t unknown[VERIFY_WORDS];
        s->spared = b->job.spared;
        subtract(unknown, b->job.bad_units, l->transient);
        size_t still = subtract(unknown, unknown, l->repaired);
        if (l->answered)
                note_answer(s, b, still == b->job.bad_count);
        subtract(unknown, unknown, l->persistent);
        sweep_judge_units(s, &b->expectation, b->bytes, place_of(b), l->transient, PERSISTENCE_TRANSIENT);
        sweep_judge_units(s, &b->expectation, b->bytes, place_of(b), l->repaired, PERSISTENCE_REPAIRED);
        sweep_judge_units(s, &b->expectation, b->bytes, place_of(b), l->persistent, PERSISTENCE_PERSISTENT);
        sweep_judge_units(s, &b->expectation, b->bytes, place_of(b), unknown, PERSISTENCE_UNKNOWN);
        sweep_judge_end(s, b);
}

/* Verifies what was read. A unit that was right before and is wrong now is a fault as well. */
static void compare(
        struct sweep *s, uint64_t bad[static VERIFY_WORDS], const uint64_t *before, enum persistence fresh) {
        struct ladder *l = &s->ladder;
        const struct block *b = l->block;
        uint64_t skipped = l->place.offset_bytes - b->offset_bytes;
        uint64_t unit = l->place.offset_bytes / UNIT_BYTES - b->offset_bytes / UNIT_BYTES;
        struct verify_job job = {
                .expectation = &b->expectation,
                .bytes = l->read_bytes + skipped,
                .offset_bytes = l->place.offset_bytes,
                .length_bytes = (uint32_t)l->place.length_bytes,
        };
        memset(bad, 0, VERIFY_WORDS * sizeof *bad);
        if (sweep_verify(s, &job))
                return;
        for (size_t i = 0; i < words_of(&job) * 64 && i + unit < VERIFY_WORDS * UINT64_C(64); i++)
                if (has_bit(job.bad_units, i))
                        bad[(i + unit) / 64] |= BIT((i + unit) % 64);
        uint64_t new_bad[VERIFY_WORDS];
        if (subtract(new_bad, bad, before) > 0)
                sweep_judge_units(s, &b->expectation, l->read_bytes, place_of(b), new_bad, fresh);
}

/* The units that are still bad, and what lies between them, are written as they were. */
static void write_again(struct sweep *s) {
        struct ladder *l = &s->ladder;
        bool any = false;
        for (size_t i = 0; i < VERIFY_WORDS * UINT64_C(64); i++) {
                if (!has_bit(l->still_bad, i))
                        continue;
                struct extent unit = unit_of(place_of(l->block), i);
                l->place = any ? extent_hull(l->place, unit) : unit;
                any = true;
        }
        assert(any);
        uint64_t at = l->place.offset_bytes - l->block->offset_bytes;
        content_fill(&s->content, l->write_bytes + at, l->place.offset_bytes, l->place.length_bytes);
        climb(s, RUNG_WRITE_AGAIN);
}

static void after_reading_again(struct sweep *s, bool failed) {
        struct ladder *l = &s->ladder;
        const uint64_t *first = l->block->job.bad_units;
        uint64_t bad[VERIFY_WORDS], none[VERIFY_WORDS] = { 0 };
        if (failed)
                memcpy(bad, first, sizeof bad);
        else
                compare(s, bad, first, PERSISTENCE_TRANSIENT);
        subtract(l->transient, first, bad);
        /* INV-2: the device is looked at again; the sweep that is here has passed the interlock. */
        if (subtract(l->still_bad, first, l->transient) > 0 && s->pass_step == STEP_VERIFY && !sweep_is_ending(s) &&
                sweep_device_is_there(s)) {
                write_again(s);
                return;
        }
        subtract(l->still_bad, none, none);
        judge(s);
}

static void after_reading_back(struct sweep *s, bool failed) {
        struct ladder *l = &s->ladder;
        uint64_t bad[VERIFY_WORDS];
        if (failed)
                memcpy(bad, l->still_bad, sizeof bad);
        else
                compare(s, bad, l->block->job.bad_units, PERSISTENCE_UNKNOWN);
        subtract(l->repaired, l->still_bad, bad);
        subtract(l->persistent, l->still_bad, l->repaired);
        judge(s);
}

static void rung_is_over(struct sweep *s, bool failed) {
        struct ladder *l = &s->ladder;
        if (sweep_is_ending(s)) {
                judge(s);
                return;
        }
        l->answered = true;
        switch (l->rung) {
        case RUNG_READ_AGAIN:
                after_reading_again(s, failed);
                break;
        case RUNG_WRITE_AGAIN:
        case RUNG_FLUSH:
                if (failed) {
                        memcpy(l->persistent, l->still_bad, sizeof l->persistent);
                        judge(s);
                } else {
                        climb(s, l->rung == RUNG_FLUSH ? RUNG_READ_BACK : RUNG_FLUSH);
                }
                break;
        case RUNG_READ_BACK:
                after_reading_back(s, failed);
                break;
        }
}

void sweep_ladder_completed(struct sweep *s) {
        struct ladder *l = &s->ladder;
        bool is_flush = l->rung == RUNG_FLUSH;
        int error = is_flush ? (int)-MIN(l->io.result, 0) : sweep_io_error(s, &l->io);
        l->out = false;
        l->spent_us += l->io.completed_us - l->io.submitted_us;
        if (error && medium_judge(error) == MEDIUM_AGAIN && l->tries++ < OURS_TRIES_MAX && !sweep_is_ending(s)) {
                ask(s);
                return;
        }
        if (!error && !is_flush)
                l->done_bytes += (uint64_t)l->io.result;
        if (!error && !is_flush && l->done_bytes < l->place.length_bytes && !sweep_is_ending(s)) {
                ask(s);
                return;
        }
        if (error)
                (void)sweep_error_counts(s, error); /* ends the sweep where the device is gone */
        rung_is_over(s, error != 0);
}

/* Its request was never handed to the engine. */
void sweep_ladder_abandon(struct sweep *s) {
        s->ladder.out = false;
        judge(s);
}

/* What is written anew answers for itself. */
void sweep_ladder_forget(struct sweep *s) {
        s->ladder.taken = 0;
        s->ladder.spent_us = 0;
        s->ladder.streak.length = 0;
        s->opinions.length = 0;
}

/* Whether what lies before it may still be found wrong, and would come before it. */
static bool must_wait(const struct sweep *s, const struct block *b) {
        const unsigned coming = BIT(BLOCK_IN_FLIGHT) | BIT(BLOCK_ARRIVED) | BIT(BLOCK_VERIFYING);
        for (size_t i = 0; i < block_pool_count(s->pool); i++) {
                const struct block *other = block_pool_at(s->pool, i);
                if ((coming & BIT(other->phase)) && other->offset_bytes < b->offset_bytes)
                        return true;
        }
        return false;
}

/* In the order of their places, so that a streak is one. NULL: none that need not wait. */
static struct block *take_next(struct sweep *s) {
        struct ladder *l = &s->ladder;
        struct block *before = NULL, *next = l->first;
        for (struct block *b = l->first; b->next; b = b->next) {
                if (b->next->offset_bytes >= next->offset_bytes)
                        continue;
                before = b;
                next = b->next;
        }
        if (must_wait(s, next))
                return NULL;
        if (before)
                before->next = next->next;
        else
                l->first = next->next;
        if (l->last == next)
                l->last = before;
        return next;
}

/* One block at a time, one request of it at a time. True: there was something to do. */
bool sweep_ladder(struct sweep *s) {
        struct ladder *l = &s->ladder;
        if (l->block || !l->first || !(l->block = take_next(s)))
                return false;
        l->place = place_of(l->block);
        memset(l->still_bad, 0, sizeof l->still_bad);
        memset(l->transient, 0, sizeof l->transient);
        memset(l->repaired, 0, sizeof l->repaired);
        memset(l->persistent, 0, sizeof l->persistent);
        l->answered = false;
        if (sweep_is_ending(s) || l->taken >= LADDER_BLOCKS_MAX || l->spent_us > s->o.narrow_budget_us ||
                is_known(s, l->block)) {
                judge(s);
                return true;
        }
        l->taken++;
        climb(s, RUNG_READ_AGAIN);
        return true;
}

/* What the passes say of each other. */

static bool is_of_a_place(const struct fault_run *run) {
        return run->fault != FAULT_FLUSH_ERROR && run->fault != FAULT_HOST && run->fault != FAULT_SLOW;
}

/* Whether the pass found something at the place of a sampled run as well, or could not read it. */
static bool is_bad_still(const struct sweep *s, const struct fault_run *sampled) {
        for (size_t i = 0; i < fault_table_count(s->faults); i++) {
                const struct fault_run *run = fault_table_at(s->faults, i);
                if (!run->sampled && run->fault != FAULT_SLOW && run->pass == sampled->pass &&
                        run->persistence != PERSISTENCE_TRANSIENT && extent_overlaps(run->place, sampled->place))
                        return true;
        }
        return false;
}

/*
 * What the pass saw of a sampled run's place for a moment only: one fault, met twice. Which of the two stays is the one
 * that was told; where both were, both do. True: the sampled one is gone.
 */
static bool unite_passing(struct sweep *s, size_t at) {
        struct fault_run *sampled = fault_table_at(s->faults, at);
        for (size_t i = 0; i < fault_table_count(s->faults); i++) {
                const struct fault_run *run = fault_table_at(s->faults, i);
                if (run->sampled || run->doubtful || run->pass != sampled->pass || run->fault != sampled->fault ||
                        run->persistence != PERSISTENCE_TRANSIENT)
                        continue;
                if (sampled->reported_bytes == 0 && extent_contains(run->place, sampled->place)) {
                        fault_table_remove(s->faults, at);
                        return true;
                }
                if (run->reported_bytes == 0 && extent_contains(sampled->place, run->place)) {
                        fault_table_remove(s->faults, i);
                        return false;
                }
        }
        return false;
}

/* What the look before the sweep saw, and the retention pass did not where it came by, or not for long. */
void sweep_settle_sampled(struct sweep *s) {
        for (size_t i = fault_table_count(s->faults); i > 0; i--) {
                struct fault_run *run = fault_table_at(s->faults, i - 1);
                if (run->place.offset_bytes < sweep_resume_at(s, ROUND_CHECK))
                        continue; /* an earlier part of the sweep came by */
                if (!run->sampled || run->pass != s->pass_number || run->persistence != PERSISTENCE_UNKNOWN ||
                        !is_of_a_place(run) || sweep_span(s, run->place.offset_bytes)->count == 0 ||
                        is_bad_still(s, run) || unite_passing(s, i - 1))
                        continue;
                run->persistence = PERSISTENCE_TRANSIENT;
        }
        s->faults_dirty = true;
}

/* What the pass that read back says of a place that was bad before it was written. */
static enum persistence since_written(struct sweep *s, struct extent place) {
        enum persistence answer = PERSISTENCE_REPAIRED;
        for (size_t i = 0; i < fault_table_count(s->faults); i++) {
                const struct fault_run *run = fault_table_at(s->faults, i);
                /* A lone one came after the place was read back, and right. */
                if (run->pass != s->pass_number || run->doubtful || run->lone || !extent_overlaps(run->place, place))
                        continue;
                if (run->fault == FAULT_FLUSH_ERROR)
                        answer = PERSISTENCE_UNKNOWN; /* right, but perhaps from the drive's cache */
                else if (is_of_a_place(run) && run->persistence != PERSISTENCE_TRANSIENT &&
                        run->persistence != PERSISTENCE_REPAIRED)
                        return PERSISTENCE_PERSISTENT;
        }
        return answer;
}

/* A segment was read back: faults that were met there before it was written are repaired, or not. What an earlier part
 * of the sweep has written is not looked at again. */
void sweep_settle_repairs(struct sweep *s) {
        for (size_t i = 0; i < fault_table_count(s->faults); i++) {
                struct fault_run *run = fault_table_at(s->faults, i);
                if (run->pass == s->pass_number || run->persistence != PERSISTENCE_UNKNOWN || !is_of_a_place(run) ||
                        extent_end(run->place) > s->reached_end ||
                        run->place.offset_bytes < sweep_resume_at(s, ROUND_SWEEP))
                        continue;
                run->persistence = since_written(s, run->place);
                s->faults_dirty = true;
        }
}
