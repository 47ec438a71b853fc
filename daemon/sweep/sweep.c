/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of a sweep. What could go wrong: writing before the look at what is there has ended, reading back before
 * the flush, calling an extent clean of which a part was never compared, and writing what the ledger does not know. So
 * a step begins only when the one before it has nothing in flight any more, the ledger's answer is awaited before each
 * segment, and the verdict is computed from the bytes that the last pass judged.
 *
 *   read:    READ -> DRAIN -> ENDED
 *   refresh, preserve: STAMP -> REWRITE -> [UNDO] -> DRAIN -> ENDED
 *   pattern: SAMPLE -> [ADOPT] -> [CHECK] -> STAMP -> { MARK -> WRITE -> FLUSH -> VERIFY } -> DRAIN -> ENDED
 *
 * Fixed patterns go over the whole extent, one after the other, in the same four steps; the stamps come last.
 */
#include "sweep/sweep_private.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* At most a minute of reading is lost with the daemon; half of it is what comes back late, and narrowing. */
#define LOOK_EVERY_US (30 * USEC_PER_SEC)

/* To write a segment and to read it back; as long again for a rate that falls meanwhile. */
#define SEGMENT_US (30 * USEC_PER_SEC)

static const uint64_t next_steps[STEP_COUNT] = {
        [STEP_SAMPLE] = BIT(STEP_ADOPT) | BIT(STEP_CHECK) | BIT(STEP_STAMP) | BIT(STEP_DRAIN),
        [STEP_ADOPT] = BIT(STEP_STAMP) | BIT(STEP_DRAIN),
        [STEP_CHECK] = BIT(STEP_STAMP) | BIT(STEP_DRAIN),
        [STEP_STAMP] = BIT(STEP_MARK) | BIT(STEP_REWRITE) | BIT(STEP_DRAIN),
        [STEP_MARK] = BIT(STEP_WRITE) | BIT(STEP_DRAIN),
        [STEP_WRITE] = BIT(STEP_FLUSH) | BIT(STEP_DRAIN),
        [STEP_FLUSH] = BIT(STEP_VERIFY) | BIT(STEP_DRAIN),
        [STEP_VERIFY] = BIT(STEP_MARK) | BIT(STEP_DRAIN),
        [STEP_READ] = BIT(STEP_DRAIN),
        [STEP_REWRITE] = BIT(STEP_UNDO) | BIT(STEP_DRAIN),
        [STEP_UNDO] = BIT(STEP_DRAIN),
        [STEP_DRAIN] = BIT(STEP_ENDED),
};

const char sweep_hung_remedy[] =
        "See dmesg, the cabling and the device's own log. A disk that hangs may be about to fail.";

static bool has_answer(const struct sweep *s) {
        return s->answered == s->sequence;
}

static uint64_t expected_bytes(struct sweep *s) {
        uint64_t bytes = 0;
        for (uint64_t at = s->o.extent.offset_bytes; at < extent_end(s->o.extent);) {
                const struct span *span = sweep_span(s, at);
                if (span->count > 0)
                        bytes += extent_common(span->place, s->o.extent).length_bytes;
                at = extent_end(span->place);
        }
        return bytes;
}

static void begin_pass(struct sweep *s, struct extent place) {
        assert(s->blocks_out == 0); /* INV-4: passes never overlap */
        s->pass_step = s->step;
        s->pass = place;
        s->cursor = place.offset_bytes;
        s->next_look = place.offset_bytes + s->o.segment_bytes;
}

/* What lies before was judged by an earlier part of the sweep. */
static void go_on_from(struct sweep *s, uint64_t at_bytes) {
        s->cursor = at_bytes;
        s->next_look = at_bytes + s->o.segment_bytes;
        sweep_resume_regions(s, at_bytes);
}

static void draw_generation(struct sweep *s) {
        struct target_record *t = s->o.target;
        if (t->target_id == 0)
                t->target_id = s->o.random[1] ? s->o.random[1] : 1;
        s->record.generation = t->last_generation + 1;
        s->record.nonce = s->o.random[0];
        s->content = (struct content){
                .stamp = {
                        .mode = s->o.mode,
                        .target_id = t->target_id,
                        .generation = s->record.generation,
                        .nonce = s->record.nonce,
                        .started_us = s->o.started_us,
                },
        };
}

/* What this pass writes. Write buffers hold what the one before it wrote. */
static void choose_content(struct sweep *s) {
        bool fixed = sweep_is_fixed(s);
        uint8_t pattern = fixed ? s->record.patterns.bytes[s->fixed_over] : 0;
        assert(s->blocks_out == 0); /* INV-4 */
        table_unref(s->table);
        s->table = fixed ? table_cache_get_fixed(s->tables, pattern) : table_cache_get(s->tables, s->record.nonce);
        assert(s->table); /* nothing else is referenced between passes */
        s->content.table = s->table;
        s->own = (struct span){
                .place = { 0, s->o.size_bytes },
                .count = 1,
                .fixed = fixed,
                .pattern = pattern,
                .stamps = { s->content.stamp },
        };
        for (size_t i = 0; i < block_pool_count(s->pool); i++)
                block_pool_at(s->pool, i)->filled_with = NULL;
}

/* In a finding: which of the passes that write met it, where there are several. */
void sweep_name_pass(const struct sweep *s, struct detail *detail) {
        bool writes = s->pass_step == STEP_WRITE || s->pass_step == STEP_VERIFY;
        unsigned count = s->record.patterns.count;
        if (count == 0 || !writes)
                return;
        if (sweep_is_fixed(s))
                detail_set(detail, "pass", "%u of %u, pattern 0x%02x", s->fixed_over + 1, count + 1,
                        s->record.patterns.bytes[s->fixed_over]);
        else
                detail_set(detail, "pass", "%u of %u, stamps", count + 1, count + 1);
}

/* Of a pass with a fixed pattern the ledger keeps no ranges. */
static void post_mark(struct sweep *s, enum news_kind kind, struct extent settled, struct extent ahead) {
        static const struct extent none;
        bool fixed = sweep_is_fixed(s);
        struct news_mark mark = {
                .target_id = s->content.stamp.target_id,
                .generation = s->record.generation,
                .nonce = s->record.nonce,
                .started_us = s->o.started_us,
                .settled = fixed ? none : settled,
                .ahead = fixed ? none : ahead,
                .clears = fixed && kind == NEWS_STAMP ? s->o.extent : none,
        };
        sweep_post(s, kind, true, &mark);
}

/* As much as was written and flushed of the last one in half of the time, in whole blocks. It is known before the next
 * one is announced, and does not change then: no write may lie outside of what was announced. */
static void size_segments(struct sweep *s) {
        uint64_t took_us = MAX(s->now_us - s->segment_began_us, 1);
        double in_time = (double)s->segment.length_bytes * ((double)SEGMENT_US / 2) / (double)took_us;
        uint64_t bytes = in_time < (double)s->o.segment_bytes ? (uint64_t)in_time : s->o.segment_bytes;
        bytes -= bytes % s->o.block_bytes;
        s->segment_bytes = MAX(bytes, s->o.segment_least_bytes);
}

static struct extent segment_at(const struct sweep *s, uint64_t offset_bytes) {
        uint64_t segment_bytes = s->segment_bytes -
                offset_bytes % s->o.block_bytes; /* the next one begins with a block */
        return (struct extent){ offset_bytes, MIN(segment_bytes, extent_end(s->o.extent) - offset_bytes) };
}

/* Each pass that writes is judged by itself. */
static void begin_round(struct sweep *s) {
        s->pass_number++;
        sweep_ladder_forget(s);
        sweep_survey_begin_round(s);
        sweep_resume_regions(s, sweep_resume_at(s, ROUND_SWEEP));
}

/* The next segment to be written is announced. */
static void begin_segment(struct sweep *s) {
        static const struct extent none;
        s->segment = segment_at(s, s->reached_end);
        post_mark(s, NEWS_MARK, none, s->segment);
        sweep_enter(s, STEP_MARK);
}

/* INV-1: that nothing of before counts any more is durable before the first fixed pattern is written. */
static void forget_ranges(struct sweep *s) {
        assert(has_answer(s));
        s->o.target->range_count = 0;
        s->span = (struct span){ 0 };
}

/* The pass with a fixed pattern is over. */
static void next_pass(struct sweep *s) {
        s->fixed_over++;
        s->reached_end = s->o.extent.offset_bytes;
        sweep_save(s, ROUND_SWEEP, s->reached_end, NULL);
        begin_round(s);
        choose_content(s);
        begin_segment(s);
}

/* What a step needs when it begins. */
static void on_enter(struct sweep *s) {
        switch (s->step) {
        case STEP_READ:
                s->record.bytes.total = s->o.extent.length_bytes;
                begin_pass(s, s->o.extent);
                go_on_from(s, sweep_resume_at(s, ROUND_SWEEP));
                break;
        case STEP_CHECK: /* in faults, one pass with the sample: it comes to the same places again */
                begin_pass(s, s->o.extent);
                go_on_from(s, sweep_resume_at(s, ROUND_CHECK));
                break;
        case STEP_STAMP:
                begin_round(s);
                draw_generation(s);
                choose_content(s);
                post_mark(s, NEWS_STAMP, (struct extent){ 0 }, (struct extent){ 0 });
                break;
        case STEP_REWRITE:
                assert(has_answer(s)); /* INV-1: ledger before disk */
                s->pass_step = s->step;
                keeper_begin(s->keeper);
                break;
        case STEP_UNDO:
                sweep_begin_undo(s);
                break;
        case STEP_WRITE:
                assert(has_answer(s));       /* INV-1: ledger before disk */
                assert(s->sample.concluded); /* INV-2: the interlock's last part */
                s->segment_flushed = s->segment_spoiled = false;
                s->bad_write_count = 0;
                s->segment_began_us = s->now_us;
                begin_pass(s, s->segment);
                break;
        case STEP_FLUSH:
                assert(s->blocks_out == 0); /* INV-3: flush after every write of the segment */
                sweep_io_flush(s);
                break;
        case STEP_VERIFY: {
                bool holds = s->segment_flushed && !s->segment_spoiled;
                uint64_t end = extent_end(s->segment);
                size_segments(s);
                begin_pass(s, s->segment);
                post_mark(s, NEWS_MARK, holds ? s->segment : (struct extent){ end, 0 }, segment_at(s, end));
                break;
        }
        default:
                break;
        }
}

void sweep_enter(struct sweep *s, enum sweep_step next) {
        assert(s->step < STEP_COUNT);
        assert(next_steps[s->step] & BIT(next));
        if (next != STEP_DRAIN) /* there, what is out comes back first */
                sweep_settle_doubts(s, UINT64_MAX);
        s->step = next;
        on_enter(s);
}

void sweep_finish(struct sweep *s, enum sweep_end end) {
        if (sweep_is_ending(s))
                return;
        s->record.end = end;
        sweep_enter(s, STEP_DRAIN);
}

void sweep_fail(struct sweep *s, enum sweep_end end, const char *rule, const char *remedy, const char *format, ...) {
        if (sweep_is_ending(s))
                return;
        char found[REASON_TEXT_BYTES];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(found, sizeof found, format, arguments);
        va_end(arguments);
        reason_set(&s->record.reason, rule, remedy, "%s", found);
        sweep_finish(s, end);
}

/* The part of a block's length from here to the next border of blocks, or to the end of what it belongs to. */
static struct extent next_place(const struct sweep *s, uint64_t end) {
        uint64_t length = MIN(s->o.block_bytes - s->cursor % s->o.block_bytes, end - s->cursor);
        return (struct extent){ s->cursor, length };
}

/*
 * Now and then a pass that has no segments of its own looks at the device and lets its place be saved: by the clock,
 * too, as at a low rate a segment takes minutes.
 */
static void checkpoint(struct sweep *s) {
        if (s->cursor < s->next_look && s->now_us < s->next_look_us)
                return;
        s->next_look = s->cursor + s->o.segment_bytes;
        s->next_look_us = s->now_us + LOOK_EVERY_US;
        sweep_settle_doubts(s, sweep_frontier(s));
        s->slow.due = s->slow.count > 0;
        s->rest.due = sweep_device_is_there(s);
}

/* Nothing more may be sent of this pass, now. */
static bool is_held_up(const struct sweep *s) {
        return sweep_is_ending(s) || sweep_slow_holds(s) || s->rest.due;
}

static bool pass_is_over(const struct sweep *s) {
        return s->cursor == extent_end(s->pass) && s->blocks_out == 0 && !sweep_slow_holds(s);
}

/* Somebody else's data is no fault; too little of it to be that is damage. */
void sweep_settle_withheld(struct sweep *s, bool foreign) {
        for (size_t i = fault_table_count(s->faults); i > 0; i--) {
                struct fault_run *run = fault_table_at(s->faults, i - 1);
                if (run->withheld && foreign)
                        fault_table_remove(s->faults, i - 1);
                else
                        run->withheld = false;
        }
        fault_table_join(s->faults);
        s->faults_dirty = true;
}

/* It may be written to. That is told first of all: what follows is stored with the sweep. */
void sweep_begin(struct sweep *s, enum sweep_step first) {
        uint64_t passes = 2 * (UINT64_C(1) + s->record.patterns.count);
        if (!s->rest.resumed)
                s->record.bytes.total = passes * s->o.extent.length_bytes +
                        (first == STEP_CHECK ? expected_bytes(s) : 0);
        sweep_save_start(s, first);
        sweep_post(s, NEWS_STARTED, false, NULL);
        sweep_enter(s, first);
}

static bool step_sample(struct sweep *s) {
        bool any = false;
        struct extent place;
        while (sweep_sample_place(s, &place) && sweep_io_read_next(s, place, NULL)) {
                s->sample.next++;
                any = true;
        }
        if (any || s->blocks_out > 0 || sweep_sample_place(s, &place))
                return any;
        sweep_sample_conclude(s);
        return true;
}

static bool step_check(struct sweep *s) {
        bool any = false;
        while (s->cursor < extent_end(s->pass) && !is_held_up(s)) {
                const struct span *span = sweep_span(s, s->cursor);
                uint64_t end = MIN(extent_end(span->place), extent_end(s->pass));
                if (span->count == 0) {
                        s->cursor = end;
                        any = true;
                        continue;
                }
                struct extent place = next_place(s, end);
                if (!sweep_io_read_next(s, place, span))
                        break;
                s->cursor = extent_end(place);
                any = true;
                checkpoint(s);
        }
        any |= sweep_save_when_quiet(s);
        if (!pass_is_over(s) || sweep_is_ending(s))
                return any;
        if (!sweep_device_is_there(s))
                return true;
        sweep_settle_withheld(s, s->too_foreign);
        sweep_settle_sampled(s);
        sweep_settle_doubts(s, UINT64_MAX);
        if (!sweep_report(s, true)) /* INV-13: news of the stamp has the place */
                return any;
        sweep_save(s, ROUND_SWEEP, s->o.extent.offset_bytes, NULL);
        sweep_enter(s, STEP_STAMP);
        return true;
}

static bool step_mark(struct sweep *s) {
        if (!has_answer(s))
                return false;
        if (sweep_device_is_there(s))
                sweep_enter(s, STEP_WRITE);
        return true;
}

static bool step_write(struct sweep *s) {
        bool any = false;
        while (s->cursor < extent_end(s->pass)) {
                struct extent place = next_place(s, extent_end(s->pass));
                if (!sweep_io_write_next(s, place))
                        break;
                s->cursor = extent_end(place);
                any = true;
        }
        if (!pass_is_over(s))
                return any;
        sweep_enter(s, STEP_FLUSH);
        return true;
}

static bool step_flush(struct sweep *s) {
        if (s->in_flight > 0 || s->unsent_count > 0)
                return false;
        if (sweep_device_is_there(s)) /* what is settled then was written to this very device */
                sweep_enter(s, STEP_VERIFY);
        return true;
}

static bool step_read(struct sweep *s) {
        bool any = false;
        bool verify = s->step == STEP_VERIFY;
        while (s->cursor < extent_end(s->pass) && !is_held_up(s)) {
                struct extent place = next_place(s, extent_end(s->pass));
                if (!sweep_io_read_next(s, place, verify ? &s->own : NULL))
                        break;
                s->cursor = extent_end(place);
                any = true;
                if (!verify)
                        checkpoint(s);
        }
        any |= sweep_save_when_quiet(s);
        if (!pass_is_over(s) || sweep_is_ending(s))
                return any;
        if (!sweep_device_is_there(s)) /* or what was read may be another's */
                return true;
        s->reached_end = extent_end(s->pass);
        if (verify && !sweep_is_fixed(s)) /* a cell that is stuck may be just what a pattern wants */
                sweep_settle_repairs(s);
        if (s->reached_end == extent_end(s->o.extent) && verify && sweep_is_fixed(s)) {
                next_pass(s);
        } else if (s->reached_end == extent_end(s->o.extent)) {
                sweep_finish(s, END_FINISHED);
        } else {
                sweep_save(s, ROUND_SWEEP, s->reached_end, NULL);
                s->segment = segment_at(s, s->reached_end);
                sweep_enter(s, STEP_MARK);
        }
        return true;
}

static void judge(struct sweep *s) {
        bool faulty = false;
        for (size_t i = 0; i < fault_table_count(s->faults); i++)
                faulty |= fault_table_at(s->faults, i)->fault != FAULT_SLOW;
        assert(s->covered_bytes <= s->o.extent.length_bytes); /* INV-5: each byte that was judged counts once */
        bool whole = s->record.end == END_FINISHED && s->covered_bytes == s->o.extent.length_bytes;
        s->record.findings = fault_table_count(s->faults);
        s->record.verdict = faulty ? VERDICT_FAULTY : whole ? VERDICT_CLEAN : VERDICT_INCOMPLETE;
        if (whole && !faulty)
                s->record.assurance = s->o.mode == MODE_READ ? ASSURANCE_READABLE : ASSURANCE_VERIFIED;
        s->record.ended_us = s->wall_us;
}

/* It may be cancelled while it rests: so what it saw is told, though all of it may turn out to be somebody's data. */
static void note_unweighed(struct sweep *s) {
        for (size_t i = 0; i < fault_table_count(s->faults); i++) {
                struct fault_run *run = fault_table_at(s->faults, i);
                if (run->withheld)
                        detail_set(&run->detail, "weighed", "no: it may be somebody's data; the sweep was interrupted");
        }
}

static bool step_drain(struct sweep *s) {
        bool any = s->unsent_count > 0;
        sweep_io_abandon(s);
        if (!sweep_io_idle(s) || !sweep_rewrite_is_idle(s))
                return any;
        sweep_slow_abandon(s);
        if (s->o.mode == MODE_PATTERN &&
                !s->sample.concluded) /* nothing was written, so what was damage is found again */
                sweep_sample_forget(s);
        if (sweep_comes_again(s))
                note_unweighed(s);
        sweep_settle_withheld(s, s->too_foreign);
        sweep_settle_doubts(s, UINT64_MAX);
        if (!sweep_report(s, true))
                return false;
        assert(!s->faults_dirty); /* INV-7: what was met is told */
        judge(s);
        s->table = table_unref(s->table);
        sweep_enter(s, STEP_ENDED);
        return true;
}

static bool step(struct sweep *s) {
        switch (s->step) {
        case STEP_SAMPLE:
                return step_sample(s);
        case STEP_ADOPT:
                if (!has_answer(s))
                        return false;
                sweep_enter(s, STEP_STAMP);
                return true;
        case STEP_CHECK:
                return step_check(s);
        case STEP_STAMP:
                if (!has_answer(s))
                        return false;
                if (s->keeper) {
                        sweep_enter(s, STEP_REWRITE);
                        return true;
                }
                if (sweep_is_fixed(s))
                        forget_ranges(s);
                begin_segment(s);
                return true;
        case STEP_MARK:
                return step_mark(s);
        case STEP_WRITE:
                return step_write(s);
        case STEP_FLUSH:
                return step_flush(s);
        case STEP_VERIFY:
        case STEP_READ:
                return step_read(s);
        case STEP_REWRITE:
                return sweep_step_rewrite(s);
        case STEP_UNDO:
                return sweep_step_undo(s);
        case STEP_DRAIN:
                return step_drain(s);
        case STEP_ENDED:
        case STEP_COUNT:
                break;
        }
        return false;
}

static void obey(struct sweep *s, enum sweep_order order) {
        if (order == SWEEP_RUN)
                s->rest.halting = false;
        else if (order == SWEEP_PAUSE || order == SWEEP_STOP)
                sweep_suspend(s, order == SWEEP_STOP);
        else if (order == SWEEP_CANCEL)
                sweep_wind_down(s, END_CANCELLED, NULL, NULL, "cancelled");
        else if (order == SWEEP_GIVE_UP)
                sweep_fail(s, END_FAILED, "hung", sweep_hung_remedy, "the device did not answer within io_timeout");
}

enum sweep_pumped sweep_pump(struct sweep *s, enum sweep_order order, uint64_t now_us, uint64_t wall_us) {
        if (s->pumped_us) {
                s->record.running_us += now_us - s->pumped_us;
                s->slow.asleep_us = MAX(s->slow.asleep_us, now_us - s->pumped_us);
        } else {
                s->next_look_us = now_us + LOOK_EVERY_US;
        }
        s->pumped_us = s->now_us = now_us;
        s->wall_us = wall_us;
        obey(s, order);
        bool any = sweep_io_reap(s);
        sweep_pace_look(s);
        any |= sweep_judge_take_back(s);
        if (s->outbox_count == 0) /* main has no room: this sweep alone waits */
                any |= step(s);
        any |= sweep_io_narrow(s);
        any |= sweep_ladder(s);
        any |= sweep_slow(s);
        sweep_io_tell_debt(s);
        any |= sweep_io_submit(s);
        any |= sweep_judge_arrived(s);
        sweep_report(s, false);
        sweep_publish(s);
        if (s->step == STEP_ENDED)
                return SWEEP_ENDED;
        return any ? SWEEP_BUSY : SWEEP_WAITING;
}

void sweep_answer(struct sweep *s, const struct answer *answer) {
        switch (answer->kind) {
        case ANSWER_DURABLE:
                s->answered = MAX(s->answered, answer->sequence);
                break;
        case ANSWER_FAILED:
                sweep_fail(s, END_FAILED, answer->reason.rule, answer->reason.remedy, "%s", answer->reason.found);
                break;
        case ANSWER_TARGET: /* asked for and used before a sweep exists */
        case ANSWER_DENIED:
                break;
        }
}

const struct sweep_record *sweep_record(const struct sweep *s) {
        return &s->record;
}

struct extent sweep_reached(const struct sweep *s) {
        uint64_t from = s->o.extent.offset_bytes;
        return (struct extent){ from, sweep_is_fixed(s) ? 0 : s->reached_end - from };
}

bool sweep_was_refused(const struct sweep *s) {
        return s->refused;
}

DEFINE_FREEP(struct sweep, sweep_free, sweep_freep)

int sweep_new(struct sweep **ret, const struct sweep_options *options) {
        bool keeps = options->mode == MODE_REFRESH || options->mode == MODE_PRESERVE;
        assert(options->mode == MODE_READ || options->target);
        assert(options->depth > 0 && options->size_bytes > 0);
        assert(options->patterns.count == 0 || options->mode == MODE_PATTERN);
        CLEANUP(sweep_freep)
        struct sweep *s = calloc(1, sizeof *s);
        if (!s)
                return -ENOMEM;
        s->o = *options;
        s->o.target = NULL; /* the caller's until we succeed */
        if (s->o.extent.length_bytes == 0)
                s->o.extent = (struct extent){ 0, options->size_bytes };
        assert(extent_end(s->o.extent) <= options->size_bytes);
        if (s->o.segment_least_bytes == 0)
                s->o.segment_least_bytes = s->o.segment_bytes;
        s->segment_bytes = s->o.segment_least_bytes; /* how fast it goes is not known yet */
        s->reached_end = s->o.extent.offset_bytes;
        s->record.id = options->id;
        s->record.mode = options->mode;
        s->record.size_bytes = options->size_bytes;
        s->record.extent = s->o.extent;
        s->record.patterns = options->patterns;
        s->record.started_us = options->started_us;
        s->record.target_row = options->target ? options->target->row : 0;
        text_copy(s->record.device, sizeof s->record.device, options->device);
        int r = table_cache_new(&s->tables, TABLES_MAX);
        if (r < 0)
                return r;
        r = fault_table_new(&s->faults);
        if (r < 0)
                return r;
        r = sweep_io_init(s);
        if (r < 0)
                return r;
        r = keeps ? keeper_new(&s->keeper, s) : 0;
        if (r < 0)
                return r;
        sweep_survey_init(s);
        if (options->resume)
                sweep_resume_begin(s, options->resume);
        s->o.resume = NULL;
        s->o.target = options->target;
        s->step = options->mode == MODE_READ ? STEP_READ : keeps ? STEP_STAMP : STEP_SAMPLE;
        s->pass_step = s->step;
        on_enter(s);
        if (keeps)
                s->record.bytes.total = (options->mode == MODE_PRESERVE ? 6 : 4) * s->o.extent.length_bytes;
        if (s->step != STEP_SAMPLE)
                sweep_save_start(s, s->step);
        if (s->step != STEP_SAMPLE)
                sweep_post(s, NEWS_STARTED, false, NULL);
        *ret = STEAL(s);
        return 0;
}

struct sweep *sweep_free(struct sweep *s) {
        if (!s)
                return NULL;
        recovery_free(s->recovery);
        keeper_free(s->keeper);
        table_unref(s->table);
        fault_table_free(s->faults);
        block_pool_free(s->pool);
        sweep_ladder_deinit(s);
        table_cache_free(s->tables);
        for (size_t i = 0; i < s->outbox_count; i++)
                free(s->outbox[i].survey);
        free(s->unsent);
        free(s->o.target);
        free(s);
        return NULL;
}
