/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of a keeper's requests, to the target and to the journal. What could go wrong: a short transfer taken for a
 * whole one, a read that transfers nothing and leaves the bytes of an earlier one, a journal's error taken for the
 * disk's, and a request that is sent after the device was found to be another one. So the rest is asked again, memory
 * is poisoned before each read and never twice with the same bytes, errors are judged by where they come from, and once
 * the sweep is ending nothing is sent any more.
 */
#include "media/medium.h"
#include "sweep/keeper_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { KEEP_BATCH = 64 };

int keep_io_init(struct keeper *k) {
        const struct sweep_options *o = &k->s->o;
        k->block_count = 2 * (size_t)o->depth;
        k->blocks = calloc(k->block_count, sizeof *k->blocks);
        size_t buffers = k->block_count + 2;
        k->memory = aligned_alloc(UNDO_PAGE_BYTES, buffers * o->block_bytes);
        if (!k->blocks || !k->memory)
                return -ENOMEM;
        memset(k->memory, 0, buffers * o->block_bytes);
        for (size_t i = 0; i < k->block_count; i++) {
                k->blocks[i].bytes = k->memory + i * o->block_bytes;
                k->blocks[i].next = k->free_blocks;
                k->free_blocks = &k->blocks[i];
        }
        k->doubt.bytes = k->memory + k->block_count * o->block_bytes;
        k->narrow.there = k->doubt.bytes + o->block_bytes;
        k->lanes[LANE_TARGET] = (struct keep_lane){ .engine = o->engine, .depth = o->depth };
        k->lanes[LANE_JOURNAL] = (struct keep_lane){ .engine = o->journal, .depth = o->journal_depth };
        for (size_t i = 0; i < LANE_COUNT; i++) {
                struct keep_lane *lane = &k->lanes[i];
                lane->room = k->block_count + UNDO_SLOTS + 2; /* and a piece, and a second look */
                lane->unsent = calloc(lane->room, sizeof(struct engine_io *));
                if (!lane->unsent)
                        return -ENOMEM;
        }
        return 0;
}

void keep_io_deinit(struct keeper *k) {
        for (size_t i = 0; i < LANE_COUNT; i++)
                free(k->lanes[i].unsent);
        free(k->blocks);
        free(k->memory);
}

static void enqueue(struct keep_lane *lane, struct engine_io *io) {
        assert(lane->count < lane->room);
        lane->unsent[(lane->first + lane->count) % lane->room] = io;
        lane->count++;
}

static struct engine_io *dequeue(struct keep_lane *lane) {
        assert(lane->count > 0);
        struct engine_io *io = lane->unsent[lane->first];
        lane->first = (lane->first + 1) % lane->room;
        lane->count--;
        return io;
}

/* Where a byte of the block is, on the target or in the journal. */
static uint64_t offset_of(const struct keeper *k, const struct keep_block *b, uint64_t at, bool on_journal) {
        const struct keep_slot *slot = b->slot;
        uint64_t segment = k->s->o.undo.segment_bytes;
        if (!on_journal)
                return slot->place.offset_bytes + b->at + at;
        switch (slot->step) {
        case KEEP_SEAL:
        case KEEP_READ_TABLE:
                return undo_table_offset(segment, slot->index) + b->at + at;
        case KEEP_ARM:
        case KEEP_DISARM:
                return undo_marker_offset(segment, slot->index, slot->copy) + at;
        case KEEP_ARM_CHECK:
                return undo_marker_offset(segment, slot->index, (unsigned)(b->at / UNDO_PAGE_BYTES)) + at;
        default:
                return undo_data_offset(segment, slot->index) + b->at + at;
        }
}

/* Two looks at one place must not agree because neither read anything: each is poisoned with bytes of its own. */
static void poison(uint8_t *bytes, size_t length_bytes, enum keep_step step) {
        for (size_t at = 0; at < length_bytes; at += SECTOR_BYTES)
                memset(bytes + at, 0xa0 + step, MIN(STAMP_BYTES, length_bytes - at));
}

/* Asks for what is still missing of the run. */
static void ask(struct keeper *k, struct keep_block *b) {
        uint32_t at = b->run_at + b->done_bytes;
        b->io = (struct engine_io){
                .op = b->io.op,
                .offset_bytes = offset_of(k, b, at, b->on_journal),
                .length_bytes = b->run_bytes - b->done_bytes,
                .buffer = b->bytes + at,
                .owner = b,
        };
        enqueue(&k->lanes[b->on_journal], &b->io);
}

static bool is_saved(const struct keep_block *b, uint64_t at, uint64_t length_bytes) {
        size_t base = (size_t)(b->at / UNIT_BYTES), end = (size_t)((at + length_bytes + UNIT_BYTES - 1) / UNIT_BYTES);
        bool saved = b->slot->marker.state == UNDO_ARMED;
        for (size_t i = (size_t)(at / UNIT_BYTES); i < end; i++)
                saved &= !undo_table_is_absent(&b->slot->table, base + i);
        return saved;
}

void keep_io_request(
        struct keeper *k, struct keep_block *b, unsigned lane, enum engine_op op, uint32_t at, uint32_t length_bytes) {
        assert(lane != LANE_TARGET || k->owner == b->slot);                                 /* INV-12 */
        assert(lane != LANE_TARGET || op != ENGINE_WRITE || is_saved(b, at, length_bytes)); /* INV-8 */
        b->on_journal = lane == LANE_JOURNAL;
        b->run_at = at;
        b->run_bytes = length_bytes;
        if (b->on_journal) /* whole pages, so that a journal of any logical block takes them */
                b->run_bytes = (length_bytes + UNDO_PAGE_BYTES - 1) / UNDO_PAGE_BYTES * UNDO_PAGE_BYTES;
        if (op == ENGINE_READ)
                poison(b->bytes + at, b->run_bytes, b->slot->step);
        else
                memset(b->bytes + at + length_bytes, 0, b->run_bytes - length_bytes);
        b->done_bytes = 0;
        b->tries = 0;
        b->error = 0;
        b->io.op = op;
        ask(k, b);
}

/* Which request a block of a step begins with. */
static const struct {
        unsigned lane;
        enum engine_op op;
} first_requests[KEEP_STEP_COUNT] = {
        [KEEP_SAVE] = { LANE_TARGET, ENGINE_READ },
        [KEEP_SEAL] = { LANE_JOURNAL, ENGINE_WRITE },
        [KEEP_READ_BACK] = { LANE_JOURNAL, ENGINE_READ },
        [KEEP_READ_TABLE] = { LANE_JOURNAL, ENGINE_READ },
        [KEEP_ARM] = { LANE_JOURNAL, ENGINE_WRITE },
        [KEEP_ARM_CHECK] = { LANE_JOURNAL, ENGINE_READ },
        [KEEP_COMPARE] = { LANE_TARGET, ENGINE_READ },
        [KEEP_WRITE] = { LANE_TARGET, ENGINE_WRITE },
        [KEEP_VERIFY] = { LANE_TARGET, ENGINE_READ },
        [KEEP_RESTORE] = { LANE_JOURNAL, ENGINE_READ },
        [KEEP_CHECK] = { LANE_TARGET, ENGINE_READ },
        [KEEP_DISARM] = { LANE_JOURNAL, ENGINE_WRITE },
};

/* What is read back in the background leaves the blocks to the slot that has the target. */
static bool has_its_share(const struct keeper *k, const struct keep_slot *slot) {
        return slot->step == KEEP_READ_BACK && slot->blocks_out >= MAX(1, k->block_count / 4);
}

bool keep_io_has_room(const struct keeper *k, const struct keep_slot *slot) {
        const struct keep_lane *lane = &k->lanes[first_requests[slot->step].lane];
        return k->free_blocks && lane->in_flight + lane->count < lane->depth && !has_its_share(k, slot);
}

void keep_io_begin(struct keeper *k, struct keep_slot *slot, uint64_t at, uint32_t length_bytes) {
        assert(keep_io_has_room(k, slot));
        unsigned lane = first_requests[slot->step].lane;
        enum engine_op op = first_requests[slot->step].op;
        struct keep_block *b = k->free_blocks;
        k->free_blocks = b->next;
        b->slot = slot;
        b->at = at;
        b->length_bytes = length_bytes;
        b->second = b->looks = false;
        b->run_at = b->run_bytes = 0;
        slot->blocks_out++;
        if (op == ENGINE_WRITE)
                keep_make_bytes(k, b);
        if (lane == LANE_TARGET && slot->step != KEEP_SAVE)
                keep_next_run(k, b, op);
        else
                keep_io_request(k, b, lane, op, 0, length_bytes);
}

void keep_block_done(struct keeper *k, struct keep_block *b) {
        assert(b->slot && b->slot->blocks_out > 0);
        b->slot->blocks_out--;
        b->slot = NULL;
        b->next = k->free_blocks;
        k->free_blocks = b;
}

/* Units that a step goes over: what was not saved is never overwritten, and what could not be read is left alone. */
static bool is_of_step(const struct keep_slot *slot, size_t unit) {
        switch (slot->step) {
        case KEEP_COMPARE:
                return !undo_table_is_absent(&slot->table, unit) || keep_bit(slot->zero, unit);
        case KEEP_WRITE:
        case KEEP_VERIFY:
                return !undo_table_is_absent(&slot->table, unit) && !keep_bit(slot->bad, unit);
        default:
                return !undo_table_is_absent(&slot->table, unit);
        }
}

/* Asks for the next run of the block's units that the step goes over, behind the one before. */
void keep_next_run(struct keeper *k, struct keep_block *b, enum engine_op op) {
        uint32_t at = b->run_at + b->run_bytes;
        size_t base = (size_t)(b->at / UNIT_BYTES);
        while (at < b->length_bytes && !is_of_step(b->slot, base + at / UNIT_BYTES))
                at += UNIT_BYTES;
        uint32_t end = at;
        while (end < b->length_bytes && is_of_step(b->slot, base + end / UNIT_BYTES))
                end += UNIT_BYTES;
        end = MIN(end, b->length_bytes);
        if (sweep_is_ending(k->s))
                keep_block_done(k, b);
        else if (at < end)
                keep_io_request(k, b, LANE_TARGET, op, at, end - at);
        else
                keep_judge(k, b);
}

void keep_io_flush(struct keeper *k, struct keep_slot *slot, unsigned lane) {
        assert(slot->blocks_out == 0); /* INV-3: a flush covers what has completed before it */
        slot->flush = (struct engine_io){ .op = ENGINE_FLUSH, .owner = slot };
        slot->flushing = true;
        slot->flush_error = 0;
        enqueue(&k->lanes[lane], &slot->flush);
}

static void count_transfer(struct keeper *k, struct keep_slot *slot, enum engine_op op, uint64_t bytes) {
        if (op == ENGINE_READ) {
                k->s->record.bytes.read += bytes;
                slot->counted.bytes.read += bytes;
                return;
        }
        k->s->record.bytes.written += bytes;
        slot->counted.bytes.written += bytes;
        slot->own_bytes += bytes;
}

static int error_of(const struct keeper *k, const struct engine_io *io, bool on_journal) {
        if (!on_journal)
                return sweep_io_error(k->s, io);
        if (io->result < 0)
                return (int)-io->result;
        return io->result == 0 || io->result % SECTOR_BYTES != 0 || io->result > io->length_bytes ? EIO : 0;
}

static void append(struct keep_block **first, struct keep_block **last, struct keep_block *b) {
        b->next = NULL;
        if (*last)
                (*last)->next = b;
        else
                *first = b;
        *last = b;
}

static struct keep_block *take_first(struct keep_block **first, struct keep_block **last) {
        struct keep_block *b = *first;
        *first = b->next;
        if (!*first)
                *last = NULL;
        return b;
}

static void block_failed(struct keeper *k, struct keep_block *b, int error) {
        if (b->on_journal) {
                keep_journal_failed(k, b->io.op == ENGINE_READ ? "reading" : "writing", error);
                keep_block_done(k, b);
        } else if (!sweep_error_counts(k->s, error)) {
                keep_block_done(k, b);
        } else {
                b->error = error;
                b->slot->uncertain |= b->io.op == ENGINE_WRITE;
                append(&k->narrow.first, &k->narrow.last, b);
        }
}

static void block_completed(struct keeper *k, struct keep_block *b) {
        int error = error_of(k, &b->io, b->on_journal);
        if (!error && !b->on_journal)
                sweep_survey_request(k->s, &b->io);
        b->io.submitted_us = 0; /* nothing of it is out */
        if (sweep_is_ending(k->s)) {
                keep_block_done(k, b);
                return;
        }
        if (error && medium_judge(error) == MEDIUM_AGAIN && b->tries++ < OURS_TRIES_MAX) {
                ask(k, b);
                return;
        }
        if (error) {
                block_failed(k, b, error);
                return;
        }
        if (!b->on_journal)
                count_transfer(k, b->slot, b->io.op, (uint64_t)b->io.result);
        b->done_bytes += (uint32_t)b->io.result;
        if (b->done_bytes < b->run_bytes)
                ask(k, b);
        else
                keep_arrived(k, b);
}

static bool is_target_flush(const struct keep_slot *slot) {
        return slot->step == KEEP_WRITE_FLUSH || slot->step == KEEP_RESTORE_FLUSH;
}

static void flush_completed(struct keeper *k, struct keep_slot *slot) {
        int error = slot->flush.result < 0 ? (int)-slot->flush.result : 0;
        bool of_target = is_target_flush(slot);
        slot->flushing = false;
        slot->flush_error = error;
        if (!error && of_target)
                sweep_survey_request(k->s, &slot->flush);
        if (error && medium_judge(error) == MEDIUM_AGAIN && slot->flush_tries++ < OURS_TRIES_MAX &&
                !sweep_is_ending(k->s)) {
                keep_io_flush(k, slot, of_target ? LANE_TARGET : LANE_JOURNAL);
                return;
        }
        slot->flush_tries = 0;
        slot->unflushed |= of_target && error;
}

/* Narrowing: one failed block at a time, one piece of it at a time. */

static void narrow_ask(struct keeper *k, enum engine_op op, uint8_t *bytes, struct extent piece) {
        struct keep_narrowing *n = &k->narrow;
        assert(k->owner == n->block->slot);                                                       /* INV-12 */
        assert(op != ENGINE_WRITE || is_saved(n->block, piece.offset_bytes, piece.length_bytes)); /* INV-8 */
        n->io = (struct engine_io){
                .op = op,
                .offset_bytes = offset_of(k, n->block, piece.offset_bytes, false),
                .length_bytes = (uint32_t)piece.length_bytes,
                .buffer = bytes + piece.offset_bytes,
                .owner = n,
        };
        if (op == ENGINE_READ)
                poison(n->io.buffer, n->io.length_bytes, n->block->slot->step);
        n->out = true;
        enqueue(&k->lanes[LANE_TARGET], &n->io);
}

/* Where time is up, an original that could not be written is not tried again in halves: but what bears our pattern has
 * to go back, and took a write a moment ago. So it is looked for, and what is neither that nor the original is left. */
static void look_at_piece(struct keeper *k) {
        k->narrow.looking = true;
        narrow_ask(k, ENGINE_READ, k->narrow.there, k->narrow.piece);
}

static void looked_at_piece(struct keeper *k, int error) {
        struct keep_narrowing *n = &k->narrow;
        uint64_t from = n->piece.offset_bytes, to = extent_end(n->piece);
        n->looking = false;
        n->mending = true;
        n->mend = (struct extent){ from, 0 };
        n->singly = 0;
        if (error) {
                (void)sweep_error_counts(k->s, error); /* ends the sweep where the device is gone */
                n->mend.offset_bytes = to;
                return;
        }
        pieces_push(&n->pieces, from + (uint64_t)n->io.result, to);
        n->piece.length_bytes = (uint64_t)n->io.result;
}

/* True: the logical block holds the pattern where the original should be, all of it, or what was torn off it. */
static bool must_be_mended(const struct keeper *k, uint64_t at) {
        const struct keep_narrowing *n = &k->narrow;
        uint64_t place = keep_block_place(n->block).offset_bytes, end = at + k->s->o.logical_block_bytes;
        bool ours = k->s->o.mode == MODE_PRESERVE, differs = false;
        for (uint64_t i = at; ours && i < end; i += SECTOR_BYTES) {
                if (memcmp(n->there + i, n->block->bytes + i, SECTOR_BYTES) == 0)
                        continue;
                differs = true;
                ours = content_has_sector(&k->s->content, n->there + i, place + i);
        }
        return ours && differs;
}

/* The next run behind the last one. */
static void mend_next(struct keeper *k) {
        struct keep_narrowing *n = &k->narrow;
        uint64_t at = extent_end(n->mend), end = extent_end(n->piece), step = k->s->o.logical_block_bytes;
        while (at < end && !must_be_mended(k, at))
                at += step;
        n->mend = (struct extent){ at, 0 };
        while (at < end && must_be_mended(k, at) && (n->mend.length_bytes == 0 || at >= n->singly)) {
                at += step;
                n->mend.length_bytes += step;
        }
        if (n->mend.length_bytes > 0) {
                narrow_ask(k, ENGINE_WRITE, n->block->bytes, n->mend);
                return;
        }
        n->mending = false;
        keep_bad_piece(k, n->block, n->piece);
}

static void mended(struct keeper *k, int error) {
        struct keep_narrowing *n = &k->narrow;
        if (!error) {
                count_transfer(k, n->block->slot, ENGINE_WRITE, (uint64_t)n->io.result);
                n->mend.length_bytes = (uint64_t)n->io.result;
        } else if (sweep_error_counts(k->s, error) && n->mend.length_bytes > k->s->o.logical_block_bytes) {
                n->singly = extent_end(n->mend);
                n->mend.length_bytes = 0;
        } else { /* CHECK finds it, and recovery tries again */
                n->mend = (struct extent){ extent_end(n->piece), 0 };
        }
}

/* An error of ours: the same once more. */
static void narrow_again(struct keeper *k) {
        struct keep_narrowing *n = &k->narrow;
        if (n->looking)
                look_at_piece(k);
        else if (n->mending)
                n->mend.length_bytes = 0;
        else
                pieces_push(&n->pieces, n->piece.offset_bytes, extent_end(n->piece));
}

static void narrow_completed(struct keeper *k) {
        struct keep_narrowing *n = &k->narrow;
        n->out = false;
        n->spent_us += n->io.completed_us - n->io.submitted_us;
        uint64_t from = n->piece.offset_bytes, to = extent_end(n->piece);
        int error = sweep_io_error(k->s, &n->io);
        if (error && medium_judge(error) == MEDIUM_AGAIN && n->tries++ < OURS_TRIES_MAX) {
                narrow_again(k);
                return;
        }
        n->tries = 0;
        if (n->looking) {
                looked_at_piece(k, error);
        } else if (n->mending) {
                mended(k, error);
        } else if (!error) {
                count_transfer(k, n->block->slot, n->io.op, (uint64_t)n->io.result);
                pieces_push(&n->pieces, from + (uint64_t)n->io.result, to);
        } else if (sweep_error_counts(k->s, error)) {
                n->block->error = error;
                if (n->piece.length_bytes > k->s->o.logical_block_bytes) {
                        pieces_push_halves(&n->pieces, n->piece, k->s->o.logical_block_bytes);
                        return;
                }
                n->found = true;
                keep_bad_piece(k, n->block, n->piece);
        }
}

static void narrow_begin(struct keeper *k) {
        struct keep_narrowing *n = &k->narrow;
        n->block = take_first(&n->first, &n->last);
        n->found = false;
        struct extent rest = { n->block->run_at + n->block->done_bytes, n->block->run_bytes - n->block->done_bytes };
        if (rest.length_bytes > k->s->o.logical_block_bytes)
                pieces_push_halves(&n->pieces, rest, k->s->o.logical_block_bytes);
        else
                pieces_push(&n->pieces, rest.offset_bytes, extent_end(rest));
}

/* None of its pieces was told. */
static void add_failed_request(struct keeper *k, const struct keep_block *b, enum persistence persistence) {
        uint64_t from = keep_block_place(b).offset_bytes + b->run_at + b->done_bytes;
        struct io_fault fault = {
                .op = b->io.op,
                .error = b->error,
                .place = { from, b->run_bytes - b->done_bytes },
                .persistence = persistence,
        };
        sweep_add_io_fault(k->s, &fault);
}

static void narrow_end(struct keeper *k) {
        struct keep_block *b = STEAL(k->narrow.block);
        if (!k->narrow.found)
                add_failed_request(k, b, PERSISTENCE_TRANSIENT);
        keep_arrived(k, b);
}

/* The sweep is ending: what failed is told as coarsely as it is known. */
static void narrow_drop(struct keeper *k) {
        struct keep_narrowing *n = &k->narrow;
        if (!n->block) {
                n->block = take_first(&n->first, &n->last);
                n->found = false;
        }
        if (!n->found && sweep_error_counts(k->s, n->block->error))
                add_failed_request(k, n->block, PERSISTENCE_UNKNOWN);
        n->pieces.depth = 0;
        n->looking = n->mending = false;
        keep_block_done(k, STEAL(n->block));
}

/* Originals that were put back have to be read, whatever that takes, or it is not known that they are there. */
static bool may_narrow(const struct keeper *k) {
        const struct keep_narrowing *n = &k->narrow;
        return n->spent_us <= k->s->o.narrow_budget_us || (n->block->slot->step == KEEP_CHECK && !n->found);
}

static void narrow_next(struct keeper *k) {
        struct keep_narrowing *n = &k->narrow;
        if (n->mending) {
                mend_next(k);
        } else if (!pieces_pop(&n->pieces, &n->piece)) {
                narrow_end(k);
        } else if (may_narrow(k)) {
                narrow_ask(k, n->block->io.op, n->block->bytes, n->piece);
        } else {
                n->found = true;
                if (n->block->slot->step == KEEP_RESTORE)
                        look_at_piece(k);
                else
                        keep_bad_piece(k, n->block, n->piece);
        }
}

static bool narrow(struct keeper *k) {
        struct keep_narrowing *n = &k->narrow;
        if (n->out || (!n->block && !n->first))
                return false;
        if (sweep_is_ending(k->s)) {
                narrow_drop(k);
                return true;
        }
        if (!n->block)
                narrow_begin(k);
        narrow_next(k);
        return true;
}

/* A second look at units that were wrong, or that COMPARE or VERIFY could not read: one at a time. */

static void read_again(struct keeper *k) {
        struct keep_doubt *d = &k->doubt;
        struct keep_block *b = d->block;
        uint32_t at = d->unit * UNIT_BYTES, length = MIN(UNIT_BYTES, b->length_bytes - at);
        if (b->on_journal)
                length = UNIT_BYTES;
        if (d->piece_bytes > 0) {
                at += d->piece_at;
                length = d->piece_bytes;
        }
        d->io = (struct engine_io){
                .op = ENGINE_READ,
                .offset_bytes = offset_of(k, b, at, b->on_journal) + d->done_bytes,
                .length_bytes = length - d->done_bytes,
                .buffer = d->bytes + d->done_bytes,
                .owner = d,
        };
        if (d->done_bytes == 0) /* other bytes than those of the first look */
                poison(d->io.buffer, d->io.length_bytes, KEEP_STEP_COUNT);
        d->out = true;
        enqueue(&k->lanes[b->on_journal], &d->io);
}

static void doubt_completed(struct keeper *k) {
        struct keep_doubt *d = &k->doubt;
        d->out = false;
        bool failed = error_of(k, &d->io, d->block->on_journal) != 0;
        if (!failed && d->io.result < d->io.length_bytes) {
                d->done_bytes += (uint32_t)d->io.result;
                read_again(k);
                return;
        }
        d->done_bytes = 0;
        d->unit += sweep_is_ending(k->s) || keep_judge_again(k, failed);
}

/* Nothing goes where somebody may have written and nobody has looked: recovery does. */
static void give_up_looking(struct keeper *k) {
        struct keep_block *b = STEAL(k->doubt.block);
        if (keep_may_be_unseen(b)) {
                keep_judge_end(k, b);
                return;
        }
        keep_leave_armed(k, b->slot);
        keep_block_done(k, b);
}

/* True: there was something to do. */
static bool doubt(struct keeper *k) {
        struct keep_doubt *d = &k->doubt;
        if (d->out || (!d->block && !d->first))
                return false;
        if (!d->block) {
                d->block = take_first(&d->first, &d->last);
                d->unit = d->done_bytes = 0;
                d->piece_at = d->piece_bytes = 0;
                d->differed = d->waits = false;
                keep_recheck(k);
        }
        if (sweep_is_ending(k->s)) {
                keep_block_done(k, STEAL(d->block));
                return true;
        }
        if (d->waits) {
                if (k->lanes[LANE_TARGET].in_flight > 0)
                        return false;
                d->unit += keep_judge_strange(k);
        }
        uint32_t units = (uint32_t)undo_units(d->block->length_bytes);
        while (d->unit < units && !keep_bit(d->bad, d->unit))
                d->unit++;
        if (d->unit < units && d->looks < SECOND_LOOKS_MAX)
                d->looks++, read_again(k);
        else if (d->unit < units && d->block->looks)
                give_up_looking(k);
        else if (d->unit < units)
                keep_judge_again(k, true), d->unit++;
        else
                keep_judge_end(k, STEAL(d->block));
        return true;
}

static void completed(struct keeper *k, struct engine_io *io) {
        for (size_t i = 0; i < UNDO_SLOTS; i++)
                if (io == &k->slots[i].flush) {
                        flush_completed(k, &k->slots[i]);
                        return;
                }
        if (io == &k->narrow.io)
                narrow_completed(k);
        else if (io == &k->doubt.io)
                doubt_completed(k);
        else
                block_completed(k, io->owner);
}

/* Takes back what has completed, and looks closer at what was bad. */
bool keep_io_pump(struct keeper *k) {
        bool any = false;
        for (size_t i = 0; i < LANE_COUNT; i++) {
                struct keep_lane *lane = &k->lanes[i];
                struct engine_io *done[KEEP_BATCH];
                size_t n = lane->in_flight ? engine_reap(lane->engine, done, KEEP_BATCH) : 0;
                assert(n <= lane->in_flight);
                lane->in_flight -= (unsigned)n;
                for (size_t d = 0; d < n; d++) {
                        if (i == LANE_TARGET)
                                sweep_pace_answered(k->s, done[d]);
                        completed(k, done[d]);
                }
                any |= n > 0;
        }
        any |= narrow(k);
        any |= doubt(k);
        return any;
}

/* What was not handed over when the sweep began to end never is. */
static void abandon(struct keeper *k, struct engine_io *io) {
        if (io == &k->narrow.io) {
                k->narrow.out = false; /* its block goes with the next look at it */
                return;
        }
        if (io == &k->doubt.io) {
                k->doubt.out = false; /* as above */
                return;
        }
        for (size_t i = 0; i < UNDO_SLOTS; i++)
                if (io == &k->slots[i].flush) {
                        k->slots[i].flushing = false;
                        return;
                }
        keep_block_done(k, io->owner);
}

/* Handing over may block in the kernel: main must know of it before. */
static void tell(struct keeper *k, const struct engine_io *io) {
        if (k->lanes[LANE_TARGET].in_flight + k->lanes[LANE_JOURNAL].in_flight == 0)
                sweep_io_owe(k->s, io, k->s->now_us);
}

static bool is_target(const struct keeper *k, const struct keep_lane *lane) {
        return lane == &k->lanes[LANE_TARGET];
}

/* As many as may go now, in their order. The journal is on another disk. */
static size_t gather(struct keeper *k, const struct keep_lane *lane, struct engine_io *batch[static KEEP_BATCH]) {
        size_t n = 0, most = MIN(MIN(lane->count, (size_t)KEEP_BATCH), (size_t)(lane->depth - lane->in_flight));
        for (; n < most; n++) {
                batch[n] = lane->unsent[(lane->first + n) % lane->room];
                if (is_target(k, lane) && !sweep_pace_takes(k->s, batch[n], lane->in_flight + (unsigned)n))
                        break;
        }
        return n;
}

static bool submit_lane(struct keeper *k, struct keep_lane *lane) {
        bool any = false;
        while (lane->count > 0 && sweep_is_ending(k->s)) {
                abandon(k, dequeue(lane));
                any = true;
        }
        while (lane->count > 0 && lane->in_flight < lane->depth) {
                struct engine_io *batch[KEEP_BATCH];
                size_t n = gather(k, lane, batch);
                if (n == 0)
                        return any;
                tell(k, batch[0]);
                int r = engine_submit(lane->engine, batch, n);
                for (size_t i = (size_t)MAX(r, 0); is_target(k, lane) && i < n; i++)
                        sweep_pace_took_back(k->s, batch[i]);
                if (r == 0)
                        return any;
                any = true;
                if (r < 0) { /* refused: as if it had been tried and failed */
                        struct engine_io *io = dequeue(lane);
                        io->result = r;
                        completed(k, io);
                        if (sweep_is_ending(k->s))
                                return submit_lane(k, lane);
                        continue;
                }
                for (int i = 0; i < r; i++)
                        dequeue(lane);
                lane->in_flight += (unsigned)r;
        }
        return any;
}

bool keep_io_submit(struct keeper *k) {
        bool target = submit_lane(k, &k->lanes[LANE_TARGET]);
        return submit_lane(k, &k->lanes[LANE_JOURNAL]) || target;
}

bool keep_io_idle(const struct keeper *k) {
        unsigned out = 0;
        for (size_t i = 0; i < UNDO_SLOTS; i++)
                out += k->slots[i].blocks_out + k->slots[i].flushing;
        for (size_t i = 0; i < LANE_COUNT; i++)
                out += k->lanes[i].in_flight + (unsigned)k->lanes[i].count;
        return out == 0;
}

static void older(const struct engine_io **oldest, const struct engine_io *io) {
        if (io->submitted_us > 0 && (!*oldest || io->submitted_us < (*oldest)->submitted_us))
                *oldest = io;
}

const struct engine_io *keeper_oldest(const struct keeper *k) {
        const struct engine_io *oldest = NULL;
        if (k->lanes[LANE_TARGET].in_flight + k->lanes[LANE_JOURNAL].in_flight == 0)
                return NULL;
        for (size_t i = 0; i < k->block_count; i++)
                if (k->blocks[i].slot && !k->blocks[i].error)
                        older(&oldest, &k->blocks[i].io);
        if (k->narrow.out)
                older(&oldest, &k->narrow.io);
        if (k->doubt.out)
                older(&oldest, &k->doubt.io);
        for (size_t i = 0; i < UNDO_SLOTS; i++)
                if (k->slots[i].flushing)
                        older(&oldest, &k->slots[i].flush);
        return oldest;
}

bool keeper_is_of_journal(const struct keeper *k, const struct engine_io *io) {
        for (size_t i = 0; i < UNDO_SLOTS; i++)
                if (io == &k->slots[i].flush)
                        return !is_target_flush(&k->slots[i]);
        if (io == &k->narrow.io)
                return false;
        if (io == &k->doubt.io)
                return k->doubt.block->on_journal;
        const struct keep_block *b = io->owner;
        return b->on_journal;
}

unsigned keeper_out_to_target(const struct keeper *k) {
        return k->lanes[LANE_TARGET].in_flight;
}
