/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the real engine can do, this one does, only more often. The effect of a request takes place when it completes,
 * so that requests which overlap in time come in any order, as they may on a device.
 */
#include "sim_engine.h"

#include "base/cleanup.h"
#include "failure.h"
#include "media/medium.h"
#include "sweep/sweep_private.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

static uint64_t first_sector(const struct engine_io *io) {
        return io->offset_bytes / SECTOR_BYTES;
}

/* Of the first bytes of each sector: that is where stamps and marks are. */
static uint64_t sum_of(const struct engine_io *io) {
        uint64_t sum = 0;
        for (uint32_t at = 0; at < io->length_bytes; at += SECTOR_BYTES) {
                uint64_t words[2];
                memcpy(words, (const uint8_t *)io->buffer + at, sizeof words);
                sum = layout_mix(sum + words[0]) + words[1];
        }
        return sum;
}

static void check_alignment(const struct sim_engine *e, const struct engine_io *io) {
        uint32_t logical = e->disk->logical_sectors * SECTOR_BYTES;
        MUST(io->length_bytes > 0 && io->length_bytes % logical == 0, "length %" PRIu32, io->length_bytes);
        MUST(io->offset_bytes % logical == 0, "offset %" PRIu64, io->offset_bytes);
        MUST((uintptr_t)io->buffer % logical == 0, "the buffer is not aligned");
        MUST(io->offset_bytes + io->length_bytes <= e->disk->sectors * SECTOR_BYTES, "beyond the end");
}

/* A fixed pattern is written only where no stamps are known any more. */
static bool has_ranges(const struct books *b) {
        for (size_t i = 0; i < b->ledger.ranges.count; i++)
                if (extent_overlaps(b->ledger.ranges.items[i].extent, b->extent))
                        return true;
        return false;
}

static void check_write(struct sim_engine *e, const struct engine_io *io) {
        const struct books *b = e->books;
        MUST(e->oracle->mode != MODE_READ, "a sweep in mode read writes");
        MUST(b->started && b->stamped, "a write before the sweep has started");
        e->oracle->writes = true;
        if (e->pass != b->pass)
                oracle_begin_pass(e->oracle);
        e->pass = b->pass;
        for (uint64_t at = 0; at < io->length_bytes; at += SECTOR_BYTES) {
                uint64_t sector = (io->offset_bytes + at) / SECTOR_BYTES;
                const struct known *k = &b->ledger.known[sector];
                MUST(books_is_fixed(b) ? k->count == 0 && !has_ranges(b)
                                       : k->forgotten || memchr(k->generations, (int)b->generation, k->count),
                        "sector %" PRIu64 " is written before its mark is durable", sector);
                MUST(content_has_sector(
                             &b->history->of[b->generation], (const uint8_t *)io->buffer + at, sector * SECTOR_BYTES),
                        "sector %" PRIu64 " is not what must be written", sector);
        }
}

static void check_read(struct sim_engine *e, const struct engine_io *io, enum layer layer) {
        for (uint64_t i = first_sector(io); i < first_sector(io) + io->length_bytes / SECTOR_BYTES; i++)
                MUST(layer != LAYER_READ || !e->unflushed[i], "sector %" PRIu64 " is read back before a flush", i);
}

static void check_flush(const struct sim_engine *e) {
        for (size_t i = 0; i < e->flight_count; i++)
                MUST(e->flights[i].io->op != ENGINE_WRITE, "a flush with a write in flight");
}

/* Of a place that was late: it was right already, and is only timed. */
static bool is_trial(const struct sim_engine *e, const struct engine_io *io) {
        return io->owner == &e->sweep->slow;
}

static void take_off(struct sim_engine *e, struct engine_io *io) {
        for (size_t i = 0; i < e->flight_count; i++)
                MUST(e->flights[i].io != io, "submitted twice");
        MUST(e->flight_count < e->depth, "more than its depth in flight");
        struct flight *f = &e->flights[e->flight_count++];
        *f = (struct flight){ .io = io, .layer = oracle_layer(e->oracle, io->op == ENGINE_WRITE) };
        f->due_us = e->now_us + chance_below(e->chance, e->latency_us + 1);
        if (chance_one_in(e->chance, e->slow_one_in))
                f->due_us += chance_below(e->chance, 2000000);
        if (io->op == ENGINE_READ)
                f->due_us += lateness_delay_us(
                        &e->lateness, (struct extent){ io->offset_bytes, io->length_bytes }, is_trial(e, io));
        io->submitted_us = e->now_us;
        others_submitted(&e->others, io, e->flight_count - 1, e->yields && e->lateness.counts,
                e->sweep->step == STEP_SAMPLE, e->now_us);
        if (io->op != ENGINE_FLUSH)
                f->sum = sum_of(io);
        e->submitted++;
}

/* Of a pass that only reads: once it was told to rest, nothing more of it is begun. */
static void check_rest(struct sim_engine *e, const struct engine_io *io) {
        if (io->op != ENGINE_READ || (e->sweep->step != STEP_READ && e->sweep->step != STEP_CHECK))
                return;
        uint64_t end = io->offset_bytes + io->length_bytes;
        MUST(!e->resting || end <= e->read_end_bytes, "sector %" PRIu64 " is read by a sweep that was told to rest",
                first_sector(io));
        e->read_end_bytes = MAX(e->read_end_bytes, end);
}

static void check(struct sim_engine *e, const struct engine_io *io) {
        MUST(sweep_record(e->sweep)->end == END_NONE, "a request of a sweep that is ending");
        MUST(!e->books->failed || io->op == ENGINE_READ, "a write after the ledger failed");
        if (io->op == ENGINE_FLUSH)
                check_flush(e);
        else
                check_alignment(e, io);
        if (io->op != ENGINE_FLUSH)
                oracle_check_place(e->oracle, oracle_layer(e->oracle, io->op == ENGINE_WRITE),
                        (struct extent){ io->offset_bytes, io->length_bytes });
        if (io->op == ENGINE_WRITE)
                check_write(e, io);
        check_rest(e, io);
        if (io->op == ENGINE_READ)
                check_read(e, io, oracle_layer(e->oracle, false));
}

static void fail(struct sim_engine *e, const struct engine_io *io, enum layer layer, int error) {
        enum medium_answer meaning = medium_judge(error);
        if (is_trial(e, io))
                lateness_cut_short(&e->lateness);
        if (is_trial(e, io) && (meaning == MEDIUM_BAD || meaning == MEDIUM_TRANSPORT)) {
                lateness_failed(&e->lateness, (struct extent){ io->offset_bytes, io->length_bytes });
                return;
        }
        if (io->op == ENGINE_FLUSH)
                oracle_flush_failed(e->oracle, error);
        else
                oracle_failed(e->oracle, layer, (struct extent){ io->offset_bytes, io->length_bytes }, error);
}

static int submit(struct engine *engine, struct engine_io *const *ios, size_t count) {
        struct sim_engine *e = (void *)engine; /* its first member */
        static const int refusals[] = { EAGAIN, ENOMEM, EINTR, EIO };
        if (!e->dead && chance_one_in(e->chance, e->refuse_one_in)) {
                int error = refusals[chance_below(e->chance, ELEMENTS(refusals))];
                check(e, ios[0]);
                fail(e, ios[0], oracle_layer(e->oracle, ios[0]->op == ENGINE_WRITE), error);
                if (ios[0]->op == ENGINE_FLUSH && error == EIO)
                        memset(e->unflushed, 0, e->disk->sectors * sizeof(bool));
                ios[0]->submitted_us = ios[0]->completed_us = e->now_us;
                return -error;
        }
        size_t n = 0;
        for (; n < count && e->flight_count < e->depth; n++) {
                if (chance_one_in(e->chance, 20))
                        break;
                if (!e->dead)
                        check(e, ios[n]);
                take_off(e, ios[n]);
        }
        return (int)n;
}

static int64_t do_read(struct sim_engine *e, struct flight *f, uint64_t sectors, bool partly) {
        uint8_t *to = f->io->buffer;
        uint64_t first = first_sector(f->io);
        bool phantom = disk_error(e->disk, TROUBLE_PHANTOM, first, sectors) != 0;
        for (uint64_t i = 0; i < sectors; i++) {
                struct tag tag = { .kind = TAG_PHANTOM };
                if (!phantom)
                        disk_read(e->disk, first + i, to + i * SECTOR_BYTES, &tag);
                if (!is_trial(e, f->io))
                        oracle_delivered(e->oracle, f->layer, first + i, tag, partly);
        }
        return (int64_t)(sectors * SECTOR_BYTES);
}

static void write_sector(struct sim_engine *e, const struct flight *f, uint64_t i) {
        uint64_t sector = first_sector(f->io) + i;
        struct tag tag = {
                .kind = TAG_WRITTEN,
                .generation = (uint8_t)e->books->generation,
                .sector = (uint32_t)sector,
        };
        disk_write(e->disk, sector, (const uint8_t *)f->io->buffer + i * SECTOR_BYTES, tag);
        e->unflushed[sector] = true;
}

static int64_t do_write(struct sim_engine *e, struct flight *f, uint64_t sectors, bool partly) {
        for (uint64_t i = 0; i < sectors; i++) {
                write_sector(e, f, i);
                oracle_delivered(e->oracle, LAYER_WRITE, first_sector(f->io) + i, (struct tag){ 0 }, partly);
        }
        return (int64_t)(sectors * SECTOR_BYTES);
}

static int64_t do_flush(struct sim_engine *e, int error) {
        if (error && medium_judge(error) == MEDIUM_AGAIN)
                return -error;
        disk_flush(e->disk, error != 0);
        if (!error)
                oracle_flushed(e->oracle);
        for (uint64_t i = 0; i < e->disk->sectors; i++) {
                const struct note *note = &e->oracle->notes[LAYER_WRITE][i];
                e->books->written_well[i] |= e->unflushed[i] && error == 0 && note->outcome == OUTCOME_GOOD;
                e->unflushed[i] = false;
        }
        return -error;
}

/* A request that fails may have done a part of its work. */
static void do_some(struct sim_engine *e, struct flight *f) {
        uint64_t sectors = f->io->length_bytes / SECTOR_BYTES, one_in = chance_between(e->chance, 1, 3);
        for (uint64_t i = 0; i < sectors && f->io->op == ENGINE_WRITE; i++)
                if (chance_one_in(e->chance, one_in))
                        write_sector(e, f, i);
}

static int error_of(struct sim_engine *e, const struct engine_io *io) {
        static const enum trouble_kind kinds[] = {
                [ENGINE_READ] = TROUBLE_READ_ERROR,
                [ENGINE_WRITE] = TROUBLE_WRITE_ERROR,
                [ENGINE_FLUSH] = TROUBLE_FLUSH_ERROR,
        };
        if (e->look.gone)
                return chance_one_in(e->chance, 2) ? EIO : ENODEV;
        return disk_error(e->disk, kinds[io->op], first_sector(io), MAX(io->length_bytes / SECTOR_BYTES, 1));
}

static int64_t perform(struct sim_engine *e, struct flight *f) {
        struct engine_io *io = f->io;
        MUST(io->op == ENGINE_FLUSH || f->sum == sum_of(io), "a buffer was touched in flight");
        oracle_spent(e->oracle, f->layer, (struct extent){ io->offset_bytes, io->length_bytes },
                e->now_us - io->submitted_us);
        int error = error_of(e, io);
        if (error)
                fail(e, io, f->layer, error);
        if (io->op == ENGINE_FLUSH)
                return do_flush(e, error);
        if (error) {
                do_some(e, f);
                return -error;
        }
        if (chance_one_in(e->chance, e->odd_one_in)) { /* nothing, or a part of a logical block */
                fail(e, io, f->layer, EIO);
                return chance_one_in(e->chance, 2) ? 0 : 100;
        }
        uint64_t sectors = io->length_bytes / SECTOR_BYTES, logical = e->disk->logical_sectors;
        bool partly = sectors > logical && chance_one_in(e->chance, e->short_one_in);
        if (partly)
                sectors = logical * chance_between(e->chance, 1, sectors / logical - 1);
        return io->op == ENGINE_READ ? do_read(e, f, sectors, partly) : do_write(e, f, sectors, partly);
}

static size_t next_flight(const struct sim_engine *e) {
        size_t next = 0;
        for (size_t i = 1; i < e->flight_count; i++)
                if (e->flights[i].due_us < e->flights[next].due_us)
                        next = i;
        return next;
}

static void time_read(struct sim_engine *e, const struct flight *f) {
        const struct engine_io *io = f->io;
        lateness_counted(&e->lateness, io);
        if (e->dead || io->op != ENGINE_READ || io->result <= 0 || f->layer == LAYER_SAMPLE)
                return;
        struct extent place = { io->offset_bytes, (uint64_t)io->result };
        if (is_trial(e, io))
                MUST(e->flight_count == 0, "a place is timed beside other requests");
        lateness_read(&e->lateness, place, io->completed_us - io->submitted_us, is_trial(e, io),
                sweep_record(e->sweep)->end != END_NONE);
}

static bool traffic(struct engine *engine, struct engine_traffic *ret) {
        struct sim_engine *e = (void *)engine;
        if (others_advance(&e->others, &e->lateness.traffic, e->now_us))
                lateness_disturb(&e->lateness);
        if (!e->sweep->slow.out)
                return lateness_traffic(&e->lateness, ret);
        /* The disk is looked at while a place waits to be timed. */
        if (e->lateness.counts)
                *ret = e->lateness.traffic;
        return e->lateness.counts;
}

static size_t reap(struct engine *engine, struct engine_io **done, size_t max) {
        struct sim_engine *e = (void *)engine;
        size_t n = 0;
        for (; n < max && e->flight_count > 0; n++) {
                size_t next = next_flight(e);
                struct flight f = e->flights[next];
                if (!e->dead && (f.due_us > e->now_us || chance_one_in(e->chance, 10)))
                        break;
                e->flights[next] = e->flights[--e->flight_count];
                f.io->result = e->dead ? -ENODEV : perform(e, &f);
                f.io->completed_us = e->now_us;
                e->others.answers_failed |= f.io->result < 0;
                time_read(e, &f);
                done[n] = f.io;
        }
        return n;
}

static int look(struct engine *engine, struct engine_look *ret) {
        struct sim_engine *e = (void *)engine;
        e->oracle->look_failed |= e->look_changed && sweep_record(e->sweep)->end == END_NONE &&
                !sweep_is_suspended(e->sweep);
        *ret = e->look;
        return e->dead ? -ENODEV : 0;
}

static struct engine *unfreeable(struct engine *engine) {
        failure("the sweep freed an engine that it borrowed");
}

static const struct engine_ops ops = {
        .submit = submit, .reap = reap, .look = look, .traffic = traffic, .free = unfreeable
};

void sim_engine_init(
        struct sim_engine *e, struct disk *disk, struct books *books, struct oracle *oracle, struct chance *chance) {
        *e = (struct sim_engine){
                .engine.ops = &ops, .disk = disk, .books = books, .oracle = oracle, .chance = chance
        };
        e->unflushed = calloc(disk->sectors, sizeof(bool));
        MUST(e->unflushed, "out of memory");
        lateness_init(&e->lateness, disk->sectors, chance);
}

void sim_engine_deinit(struct sim_engine *e) {
        free(e->unflushed);
        lateness_deinit(&e->lateness);
}

void sim_engine_begin_sweep(struct sim_engine *e, unsigned depth) {
        MUST(e->flight_count == 0, "requests are left over");
        e->depth = depth;
        e->dead = e->look_changed = false;
        e->submitted = 0;
        e->resting = false;
        e->read_end_bytes = 0;
        e->pass = UINT_MAX;
        lateness_begin_sweep(&e->lateness);
        e->look = (struct engine_look){ .size_bytes = e->disk->sectors * SECTOR_BYTES, .diskseq = 7 };
        memset(e->unflushed, 0, e->disk->sectors * sizeof(bool));
}

uint64_t sim_engine_next_us(const struct sim_engine *e) {
        return e->flight_count > 0 ? e->flights[next_flight(e)].due_us : UINT64_MAX;
}

void sim_engine_crash(struct sim_engine *e) {
        for (size_t i = 0; i < e->flight_count; i++)
                do_some(e, &e->flights[i]);
        e->dead = true;
}
