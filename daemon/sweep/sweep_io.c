/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of a block through the engine. What could go wrong: a short completion taken for a whole one, an error of
 * ours taken for one of the medium, a bad sector that hides its neighbours, and a disk that is gone taken for one that
 * is bad everywhere. So the rest of a short completion is asked again, every errno is judged, failed blocks are
 * narrowed to logical blocks piece by piece, and each error is followed by a look at the device.
 */
#include "media/medium.h"
#include "sweep/sweep_private.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { SUBMIT_BATCH = 64, REAP_BATCH = 64, DEBT_LOOK_US = 100000 };

int sweep_io_init(struct sweep *s) {
        unsigned depth = s->o.depth, spare = MAX(4, MIN(depth, 16));
        size_t part = s->o.mode == MODE_PATTERN ? 1 : 0, writes = s->o.mode == MODE_PATTERN ? depth : 0;
        int r = block_pool_new(&s->pool, depth + spare + part, writes, s->o.block_bytes);
        if (r < 0)
                return r;
        s->unsent_room = block_pool_count(s->pool) + 4; /* and a flush, a piece, a rung, and a slow place */
        s->unsent = calloc(s->unsent_room, sizeof(struct engine_io *));
        if (part)
                s->narrow.part = block_pool_take_read(s->pool);
        return s->unsent ? sweep_ladder_init(s) : -ENOMEM;
}

void sweep_io_enqueue(struct sweep *s, struct engine_io *io) {
        assert(s->unsent_count < s->unsent_room);
        s->unsent[(s->unsent_first + s->unsent_count) % s->unsent_room] = io;
        s->unsent_count++;
}

static struct engine_io *dequeue(struct sweep *s) {
        assert(s->unsent_count > 0);
        struct engine_io *io = s->unsent[s->unsent_first];
        s->unsent_first = (s->unsent_first + 1) % s->unsent_room;
        s->unsent_count--;
        return io;
}

/* Asks for what is still missing of the block. */
static void enqueue_rest(struct sweep *s, struct block *b) {
        b->io = (struct engine_io){
                .op = b->is_write ? ENGINE_WRITE : ENGINE_READ,
                .offset_bytes = b->offset_bytes + b->done_bytes,
                .length_bytes = b->length_bytes - b->done_bytes,
                .buffer = b->bytes + b->done_bytes,
                .owner = b,
        };
        sweep_io_enqueue(s, &b->io);
}

static void start_block(struct sweep *s, struct block *b, struct extent place) {
        block_enter(b, BLOCK_IN_FLIGHT);
        b->offset_bytes = place.offset_bytes;
        b->length_bytes = (uint32_t)place.length_bytes;
        b->done_bytes = 0;
        b->tries = 0;
        b->latency_us = 0;
        b->error = 0;
        s->blocks_out++;
        enqueue_rest(s, b);
}

/* False: no block is free, or its expectation has no room among the tables; what is out must come back first. */
bool sweep_io_read_next(struct sweep *s, struct extent place, const struct span *span) {
        struct expectation e = { 0 };
        if (s->in_flight + s->unsent_count >= s->o.depth)
                return false;
        if (span && !sweep_span_expect(s, &e, span))
                return false;
        struct block *b = block_pool_take_read(s->pool);
        if (!b) {
                sweep_expectation_release(&e);
                return false;
        }
        b->expectation = e;
        /* A fixed pattern is the same everywhere: no sector of yesterday's may pass for one that was read. */
        stamp_destroy(b->bytes, place.offset_bytes, place.length_bytes, span && span->fixed);
        start_block(s, b, place);
        return true;
}

bool sweep_io_write_next(struct sweep *s, struct extent place) {
        if (s->in_flight + s->unsent_count >= s->o.depth)
                return false;
        struct block *b = block_pool_take_write(s->pool, place.offset_bytes);
        if (!b)
                return false;
        uint64_t at = place.offset_bytes % TABLE_BYTES;
        if (b->filled_with == s->table && b->filled_at == at) {
                content_stamp(&s->content, b->bytes, place.offset_bytes, place.length_bytes);
        } else {
                content_fill(&s->content, b->bytes, place.offset_bytes, s->o.block_bytes);
                b->filled_with = s->table;
                b->filled_at = at;
        }
        start_block(s, b, place);
        return true;
}

void sweep_io_flush(struct sweep *s) {
        s->flush = (struct engine_io){ .op = ENGINE_FLUSH, .owner = &s->flush };
        sweep_io_enqueue(s, &s->flush);
}

bool sweep_device_is_there(struct sweep *s) {
        static const char remedy[] = "See dmesg and the cabling. The next sweep starts anew once the device is back.";
        struct engine_look look;
        int r = engine_look(s->o.engine, &look);
        if (r < 0 || look.gone)
                sweep_fail(s, END_FAILED, "missing", remedy, "the device went away in the middle of the sweep");
        else if (look.replaced || look.diskseq != s->o.diskseq)
                sweep_fail(s, END_FAILED, "replaced", remedy, "another disk took the device's place in mid-sweep");
        else if (look.size_bytes != s->o.size_bytes)
                sweep_fail(s, END_FAILED, "resized", "Let the next sweep start with the new size.",
                        "the size changed from %" PRIu64 " to %" PRIu64 " bytes in mid-sweep", s->o.size_bytes,
                        look.size_bytes);
        else if (look.read_only && sweep_mode_writes(s->o.mode))
                sweep_fail(s, END_FAILED, "read_only", "See dmesg for why the kernel or the device write-protected it.",
                        "the device turned read-only in mid-sweep");
        else if (look.cached_bytes > 0 && sweep_mode_writes(s->o.mode))
                sweep_fail(s, END_FAILED, "page_cached",
                        "End what keeps it in memory (a program that has it mapped or locked).",
                        "%" PRIu64 " bytes of the file stay in the page cache, which would answer for the disk",
                        look.cached_bytes);
        else
                return true;
        return false;
}

/* True: the error is the medium's or the transport's, and the device is there: a fault. Else the sweep has been ended.
 */
static bool error_is_a_fault(struct sweep *s, int error) {
        const char *name = medium_errno_name(error);
        switch (medium_judge(error)) {
        case MEDIUM_BAD:
        case MEDIUM_TRANSPORT:
                return sweep_device_is_there(s);
        case MEDIUM_GONE:
                sweep_fail(s, END_FAILED, "missing", "See dmesg and the cabling.", "the device went away: %s", name);
                return false;
        case MEDIUM_RESERVED:
                sweep_fail(s, END_FAILED, "reserved", "Find the host that holds the reservation.",
                        "another host has reserved the device: %s", name);
                return false;
        case MEDIUM_NO_SPACE: /* of a write behind the end, too, where the device has shrunk */
                if (sweep_device_is_there(s))
                        sweep_fail(s, END_FAILED, "no_space", "Extend the pool that the device takes its blocks from.",
                                "the pool behind the device is full: %s", name);
                return false;
        case MEDIUM_READ_ONLY:
                sweep_fail(s, END_FAILED, "read_only", "See dmesg for why the device is write-protected.",
                        "the device turned read-only: %s", name);
                return false;
        case MEDIUM_AGAIN:
                sweep_fail(s, END_FAILED, "resources", "Free memory, or sweep fewer devices at a time.",
                        "the kernel kept refusing I/O for want of resources: %s", name);
                return false;
        }
        return false;
}

/* What the kernel said, as a positive errno. A transfer of nothing, or of half a logical block, is an error too. */
int sweep_io_error(const struct sweep *s, const struct engine_io *io) {
        if (io->result < 0)
                return (int)-io->result;
        if (io->result == 0 || io->result % s->o.logical_block_bytes != 0 || io->result > io->length_bytes)
                return EIO;
        return 0;
}

void sweep_add_io_fault(struct sweep *s, const struct io_fault *f) {
        static const enum fault faults[] = {
                [ENGINE_READ] = FAULT_READ_ERROR,
                [ENGINE_WRITE] = FAULT_WRITE_ERROR,
                [ENGINE_FLUSH] = FAULT_FLUSH_ERROR,
        };
        static const char *const verbs[] = {
                [ENGINE_READ] = "reading",
                [ENGINE_WRITE] = "writing",
                [ENGINE_FLUSH] = "flushing the write cache",
        };
        bool transport = medium_judge(f->error) == MEDIUM_TRANSPORT;
        const char *name = medium_errno_name(f->error);
        struct fault_run fault = {
                .fault = faults[f->op],
                .cause = f->narrowed ? f->error : -f->error, /* so that they stay apart */
                .place = f->place,
                .persistence = f->persistence,
                .doubtful = f->persistence == PERSISTENCE_TRANSIENT && f->op != ENGINE_FLUSH,
        };
        text_format(fault.text, sizeof fault.text, "%s failed%s: %s%s", verbs[f->op],
                transport ? " in the transport" : "", name,
                f->persistence == PERSISTENCE_TRANSIENT ? ", and worked when it was tried again" : "");
        detail_set(&fault.detail, "errno", "%s", name);
        if (transport)
                detail_set(&fault.detail, "cause", "transport");
        if (!f->narrowed)
                detail_set(&fault.detail, "narrowed", "no");
        sweep_name_pass(s, &fault.detail);
        sweep_add_fault(s, &fault);
}

/* What a write did not reach holds what it held: the pass that reads back must not call that stale. */
static void remember_bad_write(struct sweep *s, struct extent place) {
        s->segment_spoiled = true;
        struct extent *last = s->bad_write_count ? &s->bad_writes[s->bad_write_count - 1] : NULL;
        if (last && (extent_end(*last) == place.offset_bytes || s->bad_write_count == BAD_WRITES_MAX))
                *last = extent_hull(*last, place);
        else
                s->bad_writes[s->bad_write_count++] = place;
}

/*
 * again: it failed once more when it was tried by itself. That is for good, but before the first write: what a write
 * does to it is seen when it is read back.
 */
static void add_bad_piece(struct sweep *s, struct block *b, int error, struct extent place, bool again) {
        bool for_good = again && s->pass_step != STEP_SAMPLE && s->pass_step != STEP_CHECK;
        struct io_fault fault = {
                .op = b->is_write ? ENGINE_WRITE : ENGINE_READ,
                .error = error,
                .place = place,
                .narrowed = place.length_bytes <= s->o.logical_block_bytes,
                .persistence = for_good ? PERSISTENCE_PERSISTENT : PERSISTENCE_UNKNOWN,
        };
        s->narrow.found = true;
        s->lost_bytes += place.length_bytes;
        if (!b->is_write && s->pass_step != STEP_SAMPLE)
                sweep_survey_checked(s, place);
        sweep_add_io_fault(s, &fault);
        if (b->is_write)
                remember_bad_write(s, place);
        else if (s->pass_step == STEP_SAMPLE) /* what can't be compared can't be forgiven */
                sweep_sample_unreadable(s, place);
}

/* Every piece of a block that had failed came through: the first failure is told all the same. */
static void add_transient(struct sweep *s, const struct block *b) {
        struct io_fault fault = {
                .op = b->is_write ? ENGINE_WRITE : ENGINE_READ,
                .error = b->error,
                .place = { b->offset_bytes + b->done_bytes, b->length_bytes - b->done_bytes },
                .persistence = PERSISTENCE_TRANSIENT,
        };
        sweep_add_io_fault(s, &fault);
}

/* Of the block that is being narrowed. What was read is judged before the next piece is asked for. */
static void piece_is_good(struct sweep *s, struct extent piece) {
        if (s->narrow.block->is_write)
                s->record.bytes.written += piece.length_bytes;
        else
                s->narrow.judging = piece;
}

void sweep_block_append(struct block **first, struct block **last, struct block *b) {
        b->next = NULL;
        if (*last)
                (*last)->next = b;
        else
                *first = b;
        *last = b;
}

/* Whether an error is to be told. Once the device is known to be gone, what it still fails is no news of the medium. */
bool sweep_error_counts(struct sweep *s, int error) {
        bool gave_up = strcmp(s->record.reason.rule, "hung") == 0; /* such a device may still be there */
        if (sweep_is_ending(s) && s->record.end == END_FAILED && !gave_up)
                return false;
        return error_is_a_fault(s, error);
}

/* The block is narrowed, where it failed, and judged in parts. */
void sweep_io_take_apart(struct sweep *s, struct block *b) {
        block_enter(b, BLOCK_FAILED);
        sweep_block_append(&s->failed_first, &s->failed_last, b);
}

static void block_failed(struct sweep *s, struct block *b, int error) {
        if (!sweep_error_counts(s, error)) {
                block_enter(b, BLOCK_FAILED);
                sweep_block_done(s, b);
                return;
        }
        b->error = error;
        sweep_io_take_apart(s, b);
}

static void block_completed(struct sweep *s, struct block *b) {
        int error = sweep_io_error(s, &b->io);
        if (error && medium_judge(error) == MEDIUM_AGAIN && b->tries < OURS_TRIES_MAX && !sweep_is_ending(s)) {
                b->tries++;
                enqueue_rest(s, b);
                return;
        }
        if (error) {
                block_failed(s, b, error);
                return;
        }
        b->done_bytes += (uint32_t)b->io.result;
        b->latency_us = MAX(b->latency_us, b->io.completed_us - b->io.submitted_us);
        sweep_survey_request(s, &b->io);
        if (b->done_bytes < b->length_bytes && !sweep_is_ending(s)) {
                if (!b->is_write) /* the rest may begin within a unit, where there is no stamp to destroy */
                        stamp_destroy(b->bytes + b->done_bytes, b->offset_bytes + b->done_bytes,
                                b->length_bytes - b->done_bytes, true);
                enqueue_rest(s, b);
                return;
        }
        if (b->is_write) {
                s->record.bytes.written += b->done_bytes;
                sweep_block_done(s, b);
                return;
        }
        b->length_bytes = b->done_bytes; /* shorter only when the sweep is ending */
        block_enter(b, BLOCK_ARRIVED);
        sweep_block_append(&s->arrived_first, &s->arrived_last, b);
        s->arrived_count++;
}

static void add_flush_fault(struct sweep *s, int error, enum persistence persistence) {
        struct io_fault fault = {
                .op = ENGINE_FLUSH,
                .error = error,
                .place = s->segment,
                .narrowed = true,
                .persistence = persistence,
        };
        s->flush_error = 0;
        sweep_add_io_fault(s, &fault);
}

/*
 * A flush that failed is tried once more, to tell whether flushing works at all. The segment does not become flushed by
 * that: the device may have thrown away what it could not write the first time.
 */
static void flush_completed(struct sweep *s) {
        int error = s->flush.result < 0 ? (int)-s->flush.result : 0, first = s->flush_error;
        s->segment_flushed = error == 0 && first == 0;
        if (error && medium_judge(error) == MEDIUM_AGAIN && s->flush_tries++ < OURS_TRIES_MAX && !sweep_is_ending(s)) {
                sweep_io_flush(s);
                return;
        }
        s->flush_tries = 0;
        if (!error)
                sweep_survey_request(s, &s->flush);
        bool counts = error && sweep_error_counts(s, error);
        if (first) {
                add_flush_fault(s, first,
                        counts          ? PERSISTENCE_PERSISTENT
                                : error ? PERSISTENCE_UNKNOWN
                                        : PERSISTENCE_TRANSIENT);
        } else if (counts && sweep_is_ending(s)) {
                add_flush_fault(s, error, PERSISTENCE_UNKNOWN);
        } else if (counts) {
                s->flush_error = error;
                sweep_io_flush(s);
        }
}

static void push_piece(struct narrowing *n, uint64_t from, uint64_t to) {
        assert(n->depth < NARROW_STACK_MAX);
        if (to > from)
                n->stack[n->depth++] = (struct extent){ from, to - from };
}

/* Halves, the lower one on top; cut at a unit's border where there is one. */
static void push_halves(struct sweep *s, struct extent e) {
        uint64_t grain = e.length_bytes > UNIT_BYTES ? MAX(UNIT_BYTES, s->o.logical_block_bytes)
                                                     : s->o.logical_block_bytes;
        uint64_t middle = e.offset_bytes + e.length_bytes / 2;
        middle -= middle % grain;
        if (middle <= e.offset_bytes)
                middle = e.offset_bytes + grain;
        push_piece(&s->narrow, middle, extent_end(e));
        push_piece(&s->narrow, e.offset_bytes, middle);
}

static bool is_smallest(const struct sweep *s, struct extent e) {
        return e.length_bytes <= s->o.logical_block_bytes;
}

static void narrow_enqueue(struct sweep *s) {
        struct narrowing *n = &s->narrow;
        struct block *b = n->block;
        n->io = (struct engine_io){
                .op = b->is_write ? ENGINE_WRITE : ENGINE_READ,
                .offset_bytes = n->piece.offset_bytes,
                .length_bytes = (uint32_t)n->piece.length_bytes,
                .buffer = b->bytes + (n->piece.offset_bytes - b->offset_bytes),
                .owner = n,
        };
        if (!b->is_write)
                stamp_destroy(n->io.buffer, n->piece.offset_bytes, n->piece.length_bytes, true);
        n->out = true;
        sweep_io_enqueue(s, &n->io);
}

static void narrow_completed(struct sweep *s) {
        struct narrowing *n = &s->narrow;
        n->out = false;
        n->spent_us += n->io.completed_us - n->io.submitted_us;
        int error = sweep_io_error(s, &n->io);
        if (error && medium_judge(error) == MEDIUM_AGAIN && n->tries++ < OURS_TRIES_MAX && !sweep_is_ending(s)) {
                push_piece(n, n->piece.offset_bytes, extent_end(n->piece));
                return;
        }
        n->tries = 0;
        if (error) {
                if (!sweep_error_counts(s, error))
                        return;
                if (is_smallest(s, n->piece))
                        add_bad_piece(s, n->block, error, n->piece, true);
                else
                        push_halves(s, n->piece);
                return;
        }
        uint64_t done = (uint64_t)n->io.result;
        push_piece(n, n->piece.offset_bytes + done, extent_end(n->piece));
        piece_is_good(s, (struct extent){ n->piece.offset_bytes, done });
}

static void narrow_begin(struct sweep *s) {
        struct narrowing *n = &s->narrow;
        struct block *b = s->failed_first;
        s->failed_first = b->next;
        if (!s->failed_first)
                s->failed_last = NULL;
        n->block = b;
        n->found = false;
        n->judging.length_bytes = 0;
        if (b->done_bytes > 0)
                piece_is_good(s, (struct extent){ b->offset_bytes, b->done_bytes });
        struct extent rest = { b->offset_bytes + b->done_bytes, b->length_bytes - b->done_bytes };
        if (rest.length_bytes == 0) /* all of it was read, but not all was written */
                return;
        if (is_smallest(s, rest)) /* nothing to tell apart, but it may come through */
                push_piece(n, rest.offset_bytes, extent_end(rest));
        else
                push_halves(s, rest);
}

bool sweep_io_narrows(const struct sweep *s) {
        return s->narrow.block || s->failed_first;
}

/* A sweep that rests comes to the place again, or is cancelled: so what failed is told as coarsely as it is known, but
 * where a part of it was found to be bad already. */
static void leave_rest(struct sweep *s) {
        struct narrowing *n = &s->narrow;
        struct extent rest = n->depth > 0 ? extent_hull(n->piece, n->stack[0]) : n->piece;
        n->depth = 0;
        if (!n->found && sweep_error_counts(s, n->block->error))
                add_bad_piece(s, n->block, n->block->error, rest, false);
        n->found = true;
}

/* One failed block at a time, one piece of it at a time. True: there was something to do. */
bool sweep_io_narrow(struct sweep *s) {
        struct narrowing *n = &s->narrow;
        if (!sweep_io_narrows(s))
                return false;
        if (!n->block)
                narrow_begin(s);
        if (n->out || !sweep_judge_piece(s, n->block, &n->judging))
                return false;
        if (n->depth == 0) {
                struct block *b = STEAL(n->block);
                if (b->error && !n->found && sweep_error_counts(s, b->error))
                        add_transient(s, b);
                sweep_block_done(s, b);
                return true;
        }
        n->piece = n->stack[--n->depth];
        if (!sweep_is_ending(s) && n->spent_us <= s->o.narrow_budget_us)
                narrow_enqueue(s);
        else if (sweep_comes_again(s))
                leave_rest(s);
        else if (sweep_error_counts(s, n->block->error))
                add_bad_piece(s, n->block, n->block->error, n->piece, false);
        return true;
}

static void completed(struct sweep *s, struct engine_io *io) {
        if (io == &s->flush)
                flush_completed(s);
        else if (io == &s->narrow.io)
                narrow_completed(s);
        else if (io == &s->ladder.io)
                sweep_ladder_completed(s);
        else if (io == &s->slow.io)
                sweep_slow_completed(s);
        else
                block_completed(s, io->owner);
}

bool sweep_io_reap(struct sweep *s) {
        struct engine_io *done[REAP_BATCH];
        if (s->in_flight == 0)
                return false;
        size_t n = engine_reap(s->o.engine, done, REAP_BATCH);
        assert(n <= s->in_flight);
        for (size_t i = 0; i < n; i++) {
                s->in_flight--;
                sweep_pace_answered(s, done[i]);
                completed(s, done[i]);
        }
        return n > 0;
}

static void older(const struct engine_io **oldest, const struct engine_io *io) {
        if (io->submitted_us > 0 && (!*oldest || io->submitted_us < (*oldest)->submitted_us))
                *oldest = io;
}

/* The one that was handed over first of those that the engine has; NULL: it has none, or has one just now. */
static const struct engine_io *oldest_in_flight(const struct sweep *s) {
        const struct engine_io *oldest = NULL;
        if (s->recovery || s->keeper)
                return s->recovery ? recovery_oldest(s->recovery) : keeper_oldest(s->keeper);
        for (size_t i = 0; i < block_pool_count(s->pool); i++) {
                const struct block *b = block_pool_at(s->pool, i);
                if (b->phase == BLOCK_IN_FLIGHT)
                        older(&oldest, &b->io);
        }
        if (s->narrow.out)
                older(&oldest, &s->narrow.io);
        if (s->ladder.out)
                older(&oldest, &s->ladder.io);
        if (s->slow.out)
                older(&oldest, &s->slow.io);
        if (!oldest && s->in_flight > 0)
                older(&oldest, &s->flush); /* never beside others */
        return oldest;
}

/*
 * The kernel makes one request of neighbours that are handed over together, and that request is what the disk owes: all
 * of it that has not come back. Blocks come in any order, so as long as there is one more that touches.
 */
static struct extent owed_with(const struct sweep *s, const struct engine_io *oldest) {
        struct extent place = { oldest->offset_bytes, oldest->length_bytes };
        for (bool grown = true; grown;) {
                grown = false;
                for (size_t i = 0; i < block_pool_count(s->pool); i++) {
                        const struct block *b = block_pool_at(s->pool, i);
                        struct extent other = { b->io.offset_bytes, b->io.length_bytes };
                        if (b->phase != BLOCK_IN_FLIGHT || b->io.submitted_us != oldest->submitted_us ||
                                extent_contains(place, other))
                                continue;
                        if (extent_end(other) != place.offset_bytes && extent_end(place) != other.offset_bytes)
                                continue;
                        place = extent_hull(place, other);
                        grown = true;
                }
        }
        return place;
}

static bool is_of_journal(const struct sweep *s, const struct engine_io *io) {
        if (s->recovery)
                return recovery_is_of_journal(s->recovery, io);
        return s->keeper && keeper_is_of_journal(s->keeper, io);
}

void sweep_io_owe(struct sweep *s, const struct engine_io *io, uint64_t since_us) {
        static const enum sweep_request requests[] = {
                [ENGINE_READ] = REQUEST_READ,
                [ENGINE_WRITE] = REQUEST_WRITE,
                [ENGINE_FLUSH] = REQUEST_FLUSH,
        };
        struct extent place = { io->offset_bytes, io->length_bytes }; /* none of a flush */
        if (is_of_journal(s, io)) {
                sweep_gauge_owe(s->o.gauge, REQUEST_JOURNAL, MAX(since_us, 1), (struct extent){ 0 });
                return;
        }
        if (!s->keeper)
                place = io == &s->flush ? s->segment : owed_with(s, io);
        sweep_gauge_owe(s->o.gauge, requests[io->op], MAX(since_us, 1), place);
}

/*
 * Told before each submission, which may block in the kernel, and not later than that. The search goes over all blocks,
 * so it is made now and then: what is told may be older than the truth by that much, never younger.
 */
void sweep_io_tell_debt(struct sweep *s) {
        bool owes = s->in_flight > 0 || oldest_in_flight(s);
        if (!owes)
                sweep_gauge_paid(s->o.gauge, s->now_us);
        if (!owes && s->unsent_count == 0)
                return;
        if (owes && s->now_us - s->debt_looked_us < DEBT_LOOK_US)
                return;
        s->debt_looked_us = s->now_us;
        const struct engine_io *io = owes ? oldest_in_flight(s) : NULL;
        uint64_t since_us = io ? io->submitted_us : s->now_us;
        if (!io)
                io = s->unsent_count > 0 ? s->unsent[s->unsent_first] : NULL;
        if (!io)
                return;
        struct sweep_debt told;
        if (sweep_gauge_debt(s->o.gauge, &told) && told.since_us != since_us)
                sweep_gauge_paid(s->o.gauge, s->now_us);
        sweep_io_owe(s, io, since_us);
}

/* As many as may go now, in their order. */
static size_t gather(struct sweep *s, struct engine_io *batch[static SUBMIT_BATCH]) {
        size_t n = 0, most = MIN(MIN(s->unsent_count, SUBMIT_BATCH), s->o.depth - s->in_flight);
        for (; n < most; n++) {
                batch[n] = s->unsent[(s->unsent_first + n) % s->unsent_room];
                if (!sweep_pace_takes(s, batch[n], s->in_flight + (unsigned)n))
                        break;
        }
        return n;
}

/* A sweep that is ending sends nothing more: the device may be another one by now. */
bool sweep_io_submit(struct sweep *s) {
        bool any = false;
        while (s->unsent_count > 0 && s->in_flight < s->o.depth && !sweep_is_ending(s)) {
                struct engine_io *batch[SUBMIT_BATCH];
                size_t n = gather(s, batch);
                int r = n > 0 ? engine_submit(s->o.engine, batch, n) : 0;
                for (size_t i = (size_t)MAX(r, 0); i < n; i++)
                        sweep_pace_took_back(s, batch[i]);
                if (r == 0)
                        return any;
                any = true;
                if (r < 0) { /* refused: as if it had been tried and failed */
                        struct engine_io *io = dequeue(s);
                        io->result = r;
                        completed(s, io);
                        continue;
                }
                for (int i = 0; i < r; i++)
                        dequeue(s);
                s->in_flight += (unsigned)r;
        }
        return any;
}

static bool is_fresh_block(const struct sweep *s, const struct engine_io *io) {
        if (io == &s->flush || io == &s->narrow.io || io == &s->ladder.io || io == &s->slow.io)
                return false;
        const struct block *b = io->owner;
        return b->done_bytes == 0 && b->tries == 0;
}

/*
 * The sweep rests: blocks of a pass that reads which the engine never had are begun anew when it goes on. They are
 * behind all that it had, as they are sent in their order. What it had a part of, or refused, is gone on with.
 */
void sweep_io_take_back(struct sweep *s) {
        for (size_t n = s->unsent_count; n > 0; n--) {
                struct engine_io *io = dequeue(s);
                if (!is_fresh_block(s, io)) {
                        sweep_io_enqueue(s, io);
                        continue;
                }
                struct block *b = io->owner;
                s->cursor = MIN(s->cursor, b->offset_bytes);
                sweep_block_done(s, b);
        }
}

/* The sweep is ending: what was not yet handed to the engine is never handed to it. */
void sweep_io_abandon(struct sweep *s) {
        while (s->unsent_count > 0) {
                struct engine_io *io = dequeue(s);
                if (io == &s->narrow.io) {
                        s->narrow.out = false;
                        push_piece(&s->narrow, s->narrow.piece.offset_bytes, extent_end(s->narrow.piece));
                } else if (io == &s->ladder.io) {
                        sweep_ladder_abandon(s);
                } else if (io == &s->slow.io) {
                        s->slow.out = false;
                } else if (io != &s->flush) {
                        sweep_block_done(s, io->owner);
                } else if (s->flush_error) {
                        add_flush_fault(s, s->flush_error, PERSISTENCE_UNKNOWN);
                }
        }
}

bool sweep_io_idle(const struct sweep *s) {
        return s->in_flight == 0 && s->unsent_count == 0 && s->blocks_out == 0;
}
