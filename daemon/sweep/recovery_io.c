/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of a request of recovery. What could go wrong: a short transfer taken for a whole one, a read that transfers
 * nothing and leaves the bytes of an earlier one, one bad sector that hides its neighbours, and a target that was taken
 * away or replaced while its originals are being put back. So the rest is asked again, memory is poisoned before each
 * read, what fails is cut down to units and then to logical blocks, and each error is followed by a look at the target.
 */
#include "media/medium.h"
#include "sweep/recovery_private.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { TRIES_MAX = 3, OURS_TRIES_MAX = 64, BATCH = 64 };

int recovery_io_init(struct recovery *r) {
        size_t block = r->o.block_bytes;
        r->lane_count = r->o.depth;
        r->lanes = calloc(r->lane_count, sizeof *r->lanes);
        r->memory = aligned_alloc(UNDO_PAGE_BYTES, 2 * r->lane_count * block);
        if (!r->lanes || !r->memory)
                return -ENOMEM;
        for (size_t i = 0; i < r->lane_count; i++) {
                r->lanes[i].found = r->memory + 2 * i * block;
                r->lanes[i].saved = r->lanes[i].found + block;
        }
        return 0;
}

void recovery_io_deinit(struct recovery *r) {
        free(r->lanes);
        free(r->memory);
}

bool recovery_target_is_there(struct recovery *r) {
        struct engine_look look;
        int e = engine_look(r->o.target, &look);
        if (e < 0 || look.gone || look.replaced || look.read_only || look.size_bytes != r->o.target_bytes ||
                (r->diskseq > 0 && look.diskseq != r->diskseq)) {
                r->result.gone = true;
                r->stopped = true;
                return false;
        }
        r->diskseq = look.diskseq;
        return true;
}

/* Two reads must not agree because neither transferred anything: the journal's poison is not the target's. */
static void poison(uint8_t *bytes, size_t length_bytes, bool on_journal) {
        for (size_t at = 0; at < length_bytes; at += SECTOR_BYTES)
                memset(bytes + at, on_journal ? 0x5a : 0xa5, STAMP_BYTES);
}

static uint32_t grain(const struct recovery *r, const struct recovery_lane *l) {
        return l->on_journal ? UNDO_PAGE_BYTES : r->o.logical_block_bytes;
}

/* What went wrong as a whole is written block by block. */
static uint32_t first_limit(const struct recovery *r, const struct recovery_lane *l) {
        return l->op == ENGINE_WRITE && !l->on_journal && r->rounds > 0 ? r->o.logical_block_bytes : r->o.block_bytes;
}

static void ask(struct recovery_lane *l) {
        uint64_t length = MIN(l->to - l->at, l->limit);
        if (l->limit == UNIT_BYTES)
                length = MIN(length, UNIT_BYTES - l->at % UNIT_BYTES);
        l->io = (struct engine_io){
                .op = l->op,
                .offset_bytes = l->op == ENGINE_FLUSH ? 0 : l->origin + l->at,
                .length_bytes = (uint32_t)length,
                .owner = l,
        };
        if (l->op != ENGINE_FLUSH)
                l->io.buffer = l->buffer + (l->at - l->buffer_at);
        if (l->op == ENGINE_READ) {
                assert(l->io.buffer);
                poison(l->io.buffer, length, l->on_journal);
        }
        l->state = LANE_READY;
}

void recovery_single(struct recovery *r, bool on_journal, enum engine_op op, struct extent place, uint8_t *buffer) {
        struct recovery_lane *l = &r->lanes[0];
        assert(l->state == LANE_IDLE);
        r->single_error = 0;
        l->is_single = true;
        l->on_journal = on_journal;
        l->op = op;
        l->origin = 0;
        l->at = l->buffer_at = place.offset_bytes;
        l->to = extent_end(place);
        l->buffer = buffer;
        l->limit = first_limit(r, l);
        l->tries = l->our_tries = 0;
        ask(l);
}

/* The next run of sectors that the lane's step wants. False: there is none. */
static bool next_run(const struct recovery *r, struct recovery_lane *l) {
        uint64_t end = extent_end(l->stretch), from = 0, at = l->cursor;
        bool inside = false;
        for (; at < end; at += SECTOR_BYTES) {
                uint8_t wanted = recovery_wants(r, l, at / UNIT_BYTES);
                bool wants = wanted >> (at % UNIT_BYTES / SECTOR_BYTES) & 1;
                if (inside && !wants)
                        break;
                if (wants && !inside)
                        from = at;
                inside |= wants;
        }
        l->cursor = at;
        l->at = from;
        l->to = at;
        return inside;
}

static void begin_run(const struct recovery *r, struct recovery_lane *l) {
        l->on_journal = l->step == LANE_SAVED;
        l->op = l->step == LANE_WRITE ? ENGINE_WRITE : ENGINE_READ;
        l->origin = l->on_journal ? undo_data_offset(r->o.head.segment_bytes, r->slot->marker.slot)
                                  : r->slot->marker.place.offset_bytes;
        if (l->on_journal) /* which has whole pages */
                l->to = (l->to + UNDO_PAGE_BYTES - 1) / UNDO_PAGE_BYTES * UNDO_PAGE_BYTES;
        l->buffer = l->step == LANE_READ ? l->found : l->saved;
        l->buffer_at = l->stretch.offset_bytes;
        l->limit = first_limit(r, l);
        l->tries = l->our_tries = 0;
        ask(l);
}

/* Goes on with the lane's stretch until there is something to ask, or it is done. */
static void go_on(struct recovery *r, struct recovery_lane *l) {
        while (l->step != LANE_DONE) {
                if (next_run(r, l)) {
                        begin_run(r, l);
                        return;
                }
                recovery_step_done(r, l);
                l->cursor = l->stretch.offset_bytes;
        }
        l->state = LANE_IDLE;
}

bool recovery_io_idle(const struct recovery *r) {
        for (size_t i = 0; i < r->lane_count; i++)
                if (r->lanes[i].state != LANE_IDLE)
                        return false;
        return true;
}

bool recovery_io_spread(struct recovery *r) {
        uint64_t end = r->slot->marker.place.length_bytes;
        for (size_t i = 0; i < r->lane_count; i++) {
                struct recovery_lane *l = &r->lanes[i];
                while (l->state == LANE_IDLE && r->next_stretch < end) {
                        uint64_t length = MIN(r->o.block_bytes, end - r->next_stretch);
                        l->stretch = (struct extent){ r->next_stretch, length };
                        l->cursor = r->next_stretch;
                        r->next_stretch += length;
                        l->is_single = false;
                        l->again = false;
                        l->step = LANE_READ;
                        go_on(r, l);
                }
        }
        return !recovery_io_idle(r);
}

static int error_of(const struct recovery *r, const struct recovery_lane *l) {
        const struct engine_io *io = &l->io;
        if (io->result < 0)
                return (int)-io->result;
        if (io->op == ENGINE_FLUSH)
                return 0;
        uint32_t whole = grain(r, l);
        assert(whole > 0);
        return io->result == 0 || io->result % whole != 0 || io->result > io->length_bytes ? EIO : 0;
}

/* Whether an error is of one place. Otherwise there is no use in going on. */
static bool is_of_place(struct recovery *r, const struct recovery_lane *l, int error) {
        enum medium_answer answer = medium_judge(error);
        bool of_place = answer == MEDIUM_BAD || answer == MEDIUM_TRANSPORT;
        if (!l->on_journal && of_place)
                return recovery_target_is_there(r);
        if (of_place)
                return true;
        if (l->on_journal)
                r->result.journal_error = error;
        else
                r->result.gone = true;
        r->stopped = true;
        return false;
}

/* On to what is left of the run. A bad logical block is behind us at the end of its unit. */
static void advance(struct recovery *r, struct recovery_lane *l, uint64_t bytes) {
        l->at += bytes;
        l->tries = l->our_tries = 0;
        if (l->at % UNIT_BYTES == 0)
                l->limit = MAX(l->limit, MIN(first_limit(r, l), UNIT_BYTES));
        if (l->at < l->to) {
                ask(l);
                return;
        }
        l->state = LANE_IDLE;
        if (!l->is_single)
                go_on(r, l);
}

static void transferred(struct recovery *r, struct recovery_lane *l, uint64_t bytes) {
        if (!l->on_journal && l->op == ENGINE_READ)
                r->result.bytes_read += bytes;
        else if (!l->on_journal)
                r->result.bytes_written += bytes;
        if (!l->is_single && l->step == LANE_READ)
                recovery_piece_read(r, (struct extent){ l->at, bytes });
        advance(r, l, bytes);
}

/* The smallest piece failed often enough. */
static void piece_failed(struct recovery *r, struct recovery_lane *l, int error) {
        if (l->is_single)
                r->single_error = error;
        else
                recovery_piece_failed(r, l, (struct extent){ l->at, l->io.length_bytes }, error);
        advance(r, l, l->io.length_bytes);
}

static void failed(struct recovery *r, struct recovery_lane *l, int error) {
        unsigned tries = l->op == ENGINE_READ && !l->on_journal ? 1 : TRIES_MAX;
        if (medium_judge(error) == MEDIUM_AGAIN && l->our_tries++ < OURS_TRIES_MAX) {
                ask(l);
        } else if (!is_of_place(r, l, error)) {
                l->state = LANE_IDLE;
        } else if (l->io.length_bytes > grain(r, l)) {
                l->limit = l->io.length_bytes > UNIT_BYTES ? UNIT_BYTES : grain(r, l);
                ask(l);
        } else if (l->op != ENGINE_FLUSH && ++l->tries < tries) {
                ask(l);
        } else {
                piece_failed(r, l, error);
        }
}

static void completed(struct recovery *r, struct recovery_lane *l) {
        assert(l->state == LANE_OUT);
        int error = error_of(r, l);
        if (r->stopped)
                l->state = LANE_IDLE;
        else if (error)
                failed(r, l, error);
        else
                transferred(r, l, (uint64_t)l->io.result);
}

static struct engine *engine_of(const struct recovery *r, bool on_journal) {
        return on_journal ? r->o.journal : r->o.target;
}

bool recovery_io_reap(struct recovery *r) {
        bool any = false;
        for (unsigned e = 0; e < ELEMENTS(r->out); e++) {
                struct engine_io *done[BATCH];
                size_t n = r->out[e] > 0 ? engine_reap(engine_of(r, e), done, BATCH) : 0;
                assert(n <= r->out[e]);
                r->out[e] -= (unsigned)n;
                for (size_t i = 0; i < n; i++)
                        completed(r, done[i]->owner);
                any |= n > 0;
        }
        return any;
}

bool recovery_io_submit(struct recovery *r) {
        bool any = false, full[ELEMENTS(r->out)] = { false };
        for (size_t i = 0; i < r->lane_count; i++) {
                struct recovery_lane *l = &r->lanes[i];
                if (l->state != LANE_READY)
                        continue;
                if (r->stopped) {
                        l->state = LANE_IDLE;
                        continue;
                }
                if (full[l->on_journal])
                        continue;
                struct engine_io *io = &l->io;
                int taken = engine_submit(engine_of(r, l->on_journal), &io, 1);
                full[l->on_journal] = taken == 0;
                if (taken == 0)
                        continue;
                any = true;
                l->state = LANE_OUT;
                if (taken > 0) {
                        r->out[l->on_journal]++;
                } else { /* refused: as if it had been tried and failed */
                        io->result = taken;
                        completed(r, l);
                }
        }
        return any;
}

const struct engine_io *recovery_oldest(const struct recovery *r) {
        const struct engine_io *oldest = NULL;
        for (size_t i = 0; i < r->lane_count; i++) {
                const struct recovery_lane *l = &r->lanes[i];
                if (l->state == LANE_OUT && (!oldest || l->io.submitted_us < oldest->submitted_us))
                        oldest = &l->io;
        }
        return oldest;
}

bool recovery_is_of_journal(const struct recovery *r, const struct engine_io *io) {
        bool of_journal = false;
        for (size_t i = 0; i < r->lane_count; i++)
                of_journal |= io == &r->lanes[i].io && r->lanes[i].on_journal;
        return of_journal;
}
