/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of a sweep that keeps the data, on two disks in memory: that every byte is what it was at the end, that the
 * promises between journal and target are kept at each single request, and that each fault of a disk is told. What
 * happens when the power goes is tests/sim's.
 */
#include "base/cleanup.h"
#include "suite.h"
#include "sweep/sweep_private.h"

#include <errno.h>
#include <string.h>

enum {
        SEGMENT = 64 << 10,
        BLOCK = 16 << 10,
        SIZE = 5 * SEGMENT / 2 + 1536, /* the last segment is short, and its last unit, too */
        DEPTH = 4,
        QUEUE = 64,
        FAULTS_MAX = 64,
        JOURNAL_ID = 77
};

enum disk_fault {
        FAIL_NOTHING,
        FAIL_READ,
        FAIL_WRITE,
        FAIL_FLUSH,
        FLIP_READ,
        SHORT_READ, /* a logical block of it */
        ODD_READ,   /* it tells of `odd` bytes */
        LOSE_WRITE,
        FOREIGN_WRITE
};

struct memory_disk {
        struct engine engine;
        uint8_t *bytes;
        uint64_t size, written_bytes;
        enum disk_fault fault;
        int error; /* 0: EIO */
        int64_t odd;
        bool everywhere; /* else at: */
        uint64_t fault_at;
        unsigned after, times;
        uint32_t foreign_bytes;         /* that somebody else writes; 0: a unit */
        bool foreign_unread;            /* the read before which that happens fails */
        bool stops_counting, uncounted; /* from then on */
        bool open_below;                /* as a loop device: somebody may write past its count, and does */
        bool past_the_count;            /* of a disk that counts all: another host */
        bool counts_early;              /* what is out is counted already */
        uint64_t last_write,
                unflushed;    /* the segment of the last one, and of one whose flush failed; from 1; 0: none */
        uint64_t again_bytes; /* written since */
        bool for_recovery;    /* it was read by that, and not by the keeper */
        const char *theirs;   /* what that is, again and again; empty: zeros; NULL: f */
        enum disk_fault then; /* when that has happened */
        unsigned then_times;  /* 0: for good */
        uint64_t then_at;
        int then_error;
        unsigned look_fails; /* the n-th */
        bool is_reluctant;   /* every other time it takes nothing */
        bool refuses;        /* all writes to: */
        uint64_t refused_at;
        unsigned lands;       /* so many writes that fail are done but for the bad logical blocks */
        bool in_order;        /* else the newest request is done first */
        unsigned lazy, asked; /* answers only one time in so many; 0: always */
        struct engine_io *queue[QUEUE];
        size_t count;
        unsigned reads, writes, flushes;
        struct world *world;
};

struct world {
        struct memory_disk target, journal;
        struct news_port news;
        struct sweep *sweep;
        uint8_t *original;
        struct finding faults[FAULTS_MAX];
        uint64_t serials[FAULTS_MAX];
        size_t fault_count;
        uint64_t answer;
        const struct sweep_resume *resume;
        uint64_t narrow_budget_us;
        uint32_t physical_block_bytes;
        uint64_t rate;     /* bytes a second; 0: no limit */
        uint64_t ended_us; /* one for each time it was pumped */
};

static struct memory_disk *disk_of(struct engine *e) {
        return (struct memory_disk *)(void *)e;
}

static bool hit(struct memory_disk *d, const struct engine_io *io) {
        static const enum engine_op ops[] = {
                [FAIL_READ] = ENGINE_READ,
                [FAIL_WRITE] = ENGINE_WRITE,
                [FAIL_FLUSH] = ENGINE_FLUSH,
                [FLIP_READ] = ENGINE_READ,
                [SHORT_READ] = ENGINE_READ,
                [ODD_READ] = ENGINE_READ,
                [LOSE_WRITE] = ENGINE_WRITE,
                [FOREIGN_WRITE] = ENGINE_READ, /* somebody writes the unit before it is read */
        };
        bool here = io->op == ENGINE_FLUSH || d->everywhere ||
                (d->fault_at >= io->offset_bytes && d->fault_at < io->offset_bytes + io->length_bytes);
        if (d->fault == FAIL_NOTHING || io->op != ops[d->fault] || !here || d->times == 0)
                return false;
        if (d->after > 0) {
                d->after--;
                return false;
        }
        d->times--;
        return true;
}

static void go_over_to_the_next(struct memory_disk *d) {
        if (d->then == FAIL_NOTHING || d->times > 0)
                return;
        d->fault = d->then;
        d->fault_at = d->then_at;
        d->error = d->then_error;
        d->times = d->then_times ? d->then_times : UINT32_MAX;
        d->then = FAIL_NOTHING;
}

/* I1: what the target loses is durable in the journal, armed, and whole. */
static void check_promise(struct world *w, const struct engine_io *io) {
        uint64_t end = io->offset_bytes + io->length_bytes;
        for (uint64_t at = io->offset_bytes; at < end; at += UNIT_BYTES) {
                bool safe = false;
                for (unsigned slot = 0; slot < UNDO_SLOTS; slot++) {
                        struct undo_marker marker;
                        uint64_t place = undo_marker_offset(SEGMENT, slot, 0);
                        if (!undo_marker_read(&marker, w->journal.bytes + place, JOURNAL_ID) ||
                                marker.state != UNDO_ARMED || at < marker.place.offset_bytes ||
                                at >= extent_end(marker.place))
                                continue;
                        const uint8_t *saved = w->journal.bytes + undo_data_offset(SEGMENT, slot) +
                                (at - marker.place.offset_bytes);
                        safe = memcmp(saved, w->original + at, MIN(UNIT_BYTES, end - at)) == 0;
                        ck_assert_msg(w->target.unflushed != at / SEGMENT + 1 || marker.units_lost > 0,
                                "offset %" PRIu64 " is written again, and no marker says that a flush failed", at);
                }
                ck_assert_msg(safe, "offset %" PRIu64 " is written to, and its original is nowhere", at);
        }
}

static void land_around(struct memory_disk *d, const struct engine_io *io) {
        if (d->lands == 0 || io->op != ENGINE_WRITE)
                return;
        d->lands--;
        for (uint32_t at = 0; at < io->length_bytes; at += 512) {
                uint64_t place = io->offset_bytes + at;
                bool bad = (d->refuses && place == d->refused_at) || (d->fault == FAIL_WRITE && place == d->fault_at);
                if (!bad)
                        memcpy(d->bytes + place, (const uint8_t *)io->buffer + at, 512);
        }
}

static const char text[] = "Text that somebody wrote, and nobody else has. ";
static const char noise[] = "by number", moved[] = "the pattern of the next unit",
                  mixed[] = "a sector of the pattern, then the rest of its unit as it is, then noise";

static uint8_t pattern_byte(const struct memory_disk *d, uint64_t at) {
        uint8_t sector[SECTOR_BYTES];
        content_sector(&d->world->sweep->content, sector, at - at % SECTOR_BYTES);
        return sector[at % SECTOR_BYTES];
}

static uint8_t their_byte(const struct memory_disk *d, uint32_t i) {
        uint64_t number = i, at = d->fault_at + i;
        if (d->theirs == moved)
                return pattern_byte(d, at + UNIT_BYTES);
        if (d->theirs == mixed && i < UNIT_BYTES)
                return i < SECTOR_BYTES ? pattern_byte(d, at) : d->bytes[at];
        if (d->theirs == noise || d->theirs == mixed)
                return (uint8_t)suite_random(&number);
        size_t length = d->theirs ? strlen(d->theirs) : 0;
        return (uint8_t)(length > 0 ? d->theirs[i % length] : d->theirs ? 0 : 'f');
}

static void write_theirs(struct memory_disk *d, uint32_t bytes) {
        for (uint32_t i = 0; i < bytes; i++)
                d->bytes[d->fault_at + i] = their_byte(d, i);
        d->for_recovery = d->world->sweep->recovery != NULL;
        d->written_bytes += d->open_below || d->past_the_count ? 0 : bytes;
}

static void transfer(struct memory_disk *d, struct engine_io *io) {
        enum disk_fault fault = d->fault;
        bool is_hit = hit(d, io);
        io->result = io->length_bytes;
        if (d->refuses && io->op == ENGINE_WRITE && io->offset_bytes <= d->refused_at &&
                d->refused_at < io->offset_bytes + io->length_bytes) {
                io->result = -EIO;
                land_around(d, io);
                return;
        }
        if (is_hit && (fault == FAIL_READ || fault == FAIL_WRITE || fault == FAIL_FLUSH)) {
                io->result = d->error ? -d->error : -EIO;
                d->unflushed = fault == FAIL_FLUSH ? MAX(d->last_write, 1) : d->unflushed;
                land_around(d, io);
                go_over_to_the_next(d);
                return;
        }
        if (is_hit && fault == SHORT_READ)
                io->result = 512;
        switch (io->op) {
        case ENGINE_READ:
                d->reads++;
                if (is_hit && fault == FOREIGN_WRITE) {
                        uint32_t bytes = d->foreign_bytes ? d->foreign_bytes : UNIT_BYTES;
                        write_theirs(d, bytes);
                        d->uncounted = d->stops_counting;
                        if (d->foreign_unread)
                                io->result = -EIO;
                }
                if (is_hit && fault == FOREIGN_WRITE)
                        go_over_to_the_next(d);
                if (io->result < 0)
                        break;
                memcpy(io->buffer, d->bytes + io->offset_bytes, io->length_bytes);
                if (is_hit && fault == ODD_READ)
                        io->result = d->odd;
                if (is_hit && fault == FLIP_READ) {
                        ((uint8_t *)io->buffer)[d->fault_at - io->offset_bytes] ^= 1;
                        go_over_to_the_next(d);
                }
                break;
        case ENGINE_WRITE:
                if (d == &d->world->target)
                        check_promise(d->world, io);
                d->writes++;
                d->last_write = io->offset_bytes / SEGMENT + 1;
                d->again_bytes += d->unflushed ? io->length_bytes : 0;
                d->written_bytes += d->counts_early ? 0 : io->length_bytes;
                if (!is_hit)
                        memcpy(d->bytes + io->offset_bytes, io->buffer, io->length_bytes);
                else
                        go_over_to_the_next(d);
                break;
        case ENGINE_FLUSH:
                d->flushes++;
                break;
        }
}

static int disk_submit(struct engine *e, struct engine_io *const *ios, size_t count) {
        struct memory_disk *d = disk_of(e);
        static bool takes;
        takes = !takes;
        if (d->is_reluctant && !takes)
                return 0;
        for (size_t i = 0; i < count; i++) {
                ck_assert_uint_lt(d->count, QUEUE);
                ck_assert_uint_le(ios[i]->offset_bytes + ios[i]->length_bytes, d->size);
                ios[i]->submitted_us = 1;
                if (d->counts_early && ios[i]->op == ENGINE_WRITE)
                        d->written_bytes += ios[i]->length_bytes;
                d->queue[d->count++] = ios[i];
        }
        return (int)count;
}

static size_t disk_reap(struct engine *e, struct engine_io **done, size_t max) {
        struct memory_disk *d = disk_of(e);
        if (d->count == 0 || max == 0 || (d->lazy > 0 && ++d->asked % d->lazy != 0))
                return 0;
        done[0] = d->in_order ? d->queue[0] : d->queue[d->count - 1];
        d->count--;
        if (d->in_order)
                memmove(d->queue, d->queue + 1, d->count * sizeof(struct engine_io *));
        done[0]->completed_us = 2;
        transfer(d, done[0]);
        return 1;
}

static int disk_look(struct engine *e, struct engine_look *ret) {
        struct memory_disk *d = disk_of(e);
        if (d->look_fails > 0 && --d->look_fails == 0)
                return -EIO;
        *ret = (struct engine_look){
                .size_bytes = d->size,
                .counts_known = !d->uncounted,
                .counts_complete = !d->open_below,
                .written_bytes = d->written_bytes,
        };
        return 0;
}

static struct engine *disk_free(struct engine *e) {
        return e ? NULL : e;
}

static const struct engine_ops disk_ops = {
        .submit = disk_submit, .reap = disk_reap, .look = disk_look, .free = disk_free
};

static bool take_news(struct news_port *port, const struct news *news) {
        struct world *w = (struct world *)(void *)((char *)port - offsetof(struct world, news));
        if (news->sequence > 0)
                w->answer = news->sequence;
        if (news->kind != NEWS_FAULT)
                return true;
        size_t i = 0;
        while (i < w->fault_count && w->serials[i] != news->fault_serial)
                i++;
        ck_assert_uint_lt(i, FAULTS_MAX);
        w->fault_count = MAX(w->fault_count, i + 1);
        w->serials[i] = news->fault_serial;
        w->faults[i] = news->fault;
        return true;
}

static void disk_init(struct world *w, struct memory_disk *d, uint64_t size) {
        *d = (struct memory_disk){ .engine.ops = &disk_ops, .size = size, .world = w };
        d->bytes = calloc(1, size + UNDO_PAGE_BYTES);
        ck_assert_ptr_nonnull(d->bytes);
}

static struct world *world_new(uint64_t seed) {
        struct world *w = calloc(1, sizeof *w);
        ck_assert_ptr_nonnull(w);
        disk_init(w, &w->target, SIZE);
        disk_init(w, &w->journal, undo_journal_bytes(SEGMENT));
        w->news.post = take_news;
        w->narrow_budget_us = 1000000;
        w->physical_block_bytes = 4096;
        for (size_t i = 0; i < SIZE; i++)
                w->target.bytes[i] = (uint8_t)suite_random(&seed);
        w->original = malloc(SIZE);
        ck_assert_ptr_nonnull(w->original);
        memcpy(w->original, w->target.bytes, SIZE);
        return w;
}

static void world_free(struct world *w) {
        sweep_free(w->sweep);
        free(w->target.bytes);
        free(w->journal.bytes);
        free(w->original);
        free(w);
}

static const struct sweep_record *run(struct world *w, enum sweep_mode mode, enum sweep_order order, unsigned after) {
        static struct sweep_gauge gauge;
        struct target_record *target = calloc(1, sizeof *target);
        ck_assert_ptr_nonnull(target);
        target->target_id = 5;
        struct sweep_options options = {
                .id = 1,
                .device = "disk",
                .mode = mode,
                .started_us = 1000,
                .resume = w->resume,
                .block_bytes = BLOCK,
                .segment_bytes = SEGMENT,
                .depth = DEPTH,
                .size_bytes = SIZE,
                .logical_block_bytes = 512,
                .physical_block_bytes = w->physical_block_bytes,
                .max_io_bytes = BLOCK,
                .narrow_budget_us = w->narrow_budget_us,
                .random = { 11, 12, 13 },
                .undo = { .journal_id = JOURNAL_ID, .segment_bytes = SEGMENT, .target_bytes = SIZE },
                .journal_depth = DEPTH,
                .journal = &w->journal.engine,
                .target = target,
                .engine = &w->target.engine,
                .news = &w->news,
                .gauge = &gauge,
        };
        ck_assert_int_eq(sweep_new(&w->sweep, &options), 0);
        if (w->rate > 0)
                sweep_set_rate(w->sweep, w->rate);
        for (uint64_t now = 1;; now++) {
                if (w->answer) {
                        struct answer answer = { .kind = ANSWER_DURABLE, .sequence = w->answer };
                        sweep_answer(w->sweep, &answer);
                        w->answer = 0;
                }
                w->ended_us = now;
                if (sweep_pump(w->sweep, now > after ? order : SWEEP_RUN, now, now) == SWEEP_ENDED)
                        return sweep_record(w->sweep);
                ck_assert_uint_lt(now, 100000);
        }
}

static void assert_kept(const struct world *w, uint64_t seed) {
        for (size_t i = 0; i < SIZE; i++)
                if (w->target.bytes[i] != w->original[i])
                        ck_abort_msg("seed %" PRIu64 ": byte %zu is not what it was", seed, i);
}

static const enum sweep_mode modes[] = { MODE_REFRESH, MODE_PRESERVE };

START_TEST(a_good_disk_is_clean_and_keeps_every_byte) {
        for (size_t m = 0; m < ELEMENTS(modes); m++) {
                struct world *w = world_new(m);
                const struct sweep_record *record = run(w, modes[m], SWEEP_RUN, 0);
                ck_assert_int_eq(record->end, END_FINISHED);
                ck_assert_int_eq(record->verdict, VERDICT_CLEAN);
                ck_assert_int_eq(record->assurance, ASSURANCE_VERIFIED);
                ck_assert_uint_eq(record->bytes.total, record->bytes.read + record->bytes.written);
                ck_assert_uint_eq(record->bytes.written, (modes[m] == MODE_PRESERVE ? 2 : 1) * (uint64_t)SIZE);
                ck_assert_uint_eq(sweep_left_armed(w->sweep), 0);
                ck_assert_uint_eq(w->fault_count, 0);
                assert_kept(w, m);
                world_free(w);
        }
}
END_TEST

START_TEST(an_order_to_stop_leaves_nothing_of_ours_behind) {
        for (unsigned after = 0; after < 500; after += 3)
                for (size_t m = 0; m < ELEMENTS(modes); m++) {
                        struct world *w = world_new(after);
                        const struct sweep_record *record = run(w, modes[m], SWEEP_STOP, after);
                        ck_assert(sweep_is_suspended(w->sweep) || record->end == END_FINISHED);
                        ck_assert_uint_eq(sweep_left_armed(w->sweep), 0);
                        assert_kept(w, after);
                        world_free(w);
                }
}
END_TEST

/* The journal is slow, so that a segment may be done before the one in front of it is. */
static void cut_in_two(enum sweep_mode mode, unsigned lazy, unsigned after) {
        struct world *w = world_new(after);
        w->journal.lazy = lazy;
        const struct sweep_record *record = run(w, mode, SWEEP_PAUSE, after);
        struct sweep_resume resume = { .from = sweep_checkpoint(w->sweep) };
        if (sweep_is_suspended(w->sweep)) {
                assert_kept(w, after);
                w->sweep = sweep_free(w->sweep);
                w->resume = &resume;
                record = run(w, mode, SWEEP_RUN, 0);
        }
        ck_assert_int_eq(record->verdict, VERDICT_CLEAN);
        ck_assert_uint_eq(record->bytes.total, record->bytes.read + record->bytes.written);
        ck_assert_uint_eq(record->bytes.written, (mode == MODE_PRESERVE ? 2 : 1) * (uint64_t)SIZE);
        ck_assert_uint_eq(record->bytes.verified, record->bytes.written);
        assert_kept(w, after);
        world_free(w);
}

START_TEST(a_sweep_in_two_parts_counts_each_byte_once) {
        static const unsigned laziness[] = { 0, 2, 9, 60 };
        for (size_t i = 0; i < ELEMENTS(laziness); i++)
                for (unsigned after = 0; after < 400 + 60 * laziness[i]; after += 7 + laziness[i])
                        for (size_t m = 0; m < ELEMENTS(modes); m++)
                                cut_in_two(modes[m], laziness[i], after);
}
END_TEST

START_TEST(an_unreadable_sector_is_told_and_nothing_is_written_near_it) {
        for (size_t m = 0; m < ELEMENTS(modes); m++) {
                struct world *w = world_new(m);
                w->target.fault = FAIL_READ;
                w->target.fault_at = SEGMENT + 5 * 512;
                w->target.times = UINT32_MAX;
                const struct sweep_record *record = run(w, modes[m], SWEEP_RUN, 0);
                ck_assert_int_eq(record->end, END_FINISHED);
                ck_assert_int_eq(record->verdict, VERDICT_FAULTY);
                ck_assert_uint_eq(w->fault_count, 1);
                ck_assert_int_eq(w->faults[0].fault, FAULT_READ_ERROR);
                ck_assert_int_eq(w->faults[0].persistence, PERSISTENCE_PERSISTENT);
                ck_assert_uint_eq(w->faults[0].place.offset_bytes, SEGMENT + 5 * 512);
                ck_assert_uint_eq(w->faults[0].place.length_bytes, 512);
                assert_kept(w, m);
                world_free(w);
        }
}
END_TEST

START_TEST(a_lost_pattern_write_is_found_and_the_original_stays) {
        struct world *w = world_new(1);
        w->target.fault = LOSE_WRITE;
        w->target.fault_at = 2 * SEGMENT + UNIT_BYTES;
        w->target.times = 1;
        const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
        ck_assert_int_eq(record->end, END_FINISHED);
        ck_assert_int_eq(record->verdict, VERDICT_FAULTY);
        ck_assert_uint_ge(w->fault_count, 1);
        ck_assert_int_eq(w->faults[0].persistence, PERSISTENCE_REPAIRED);
        assert_kept(w, 1);
        world_free(w);
}
END_TEST

START_TEST(a_bit_that_flips_once_is_transient) {
        for (unsigned after = 1; after < 4; after++) {
                struct world *w = world_new(after);
                w->target.fault = FLIP_READ;
                w->target.fault_at = 100;
                w->target.after = after;
                w->target.times = 1;
                const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
                ck_assert_int_eq(record->end, END_FINISHED);
                ck_assert_uint_eq(w->fault_count, 1);
                ck_assert_int_eq(w->faults[0].fault, FAULT_BIT_FLIP);
                ck_assert_int_eq(w->faults[0].persistence, PERSISTENCE_TRANSIENT);
                assert_kept(w, after);
                world_free(w);
        }
}
END_TEST

START_TEST(what_somebody_else_writes_before_a_look_stays_and_ends_the_sweep) {
        for (size_t m = 0; m < ELEMENTS(modes); m++)
                for (unsigned after = 1; after < (modes[m] == MODE_PRESERVE ? 4 : 3); after++) {
                        struct world *w = world_new(after);
                        w->target.fault = FOREIGN_WRITE;
                        w->target.fault_at = SEGMENT + 2 * UNIT_BYTES;
                        w->target.after = after;
                        w->target.times = 1;
                        const struct sweep_record *record = run(w, modes[m], SWEEP_RUN, 0);
                        ck_assert_int_eq(record->end, END_FAILED);
                        ck_assert_str_eq(record->reason.rule, "foreign_write");
                        ck_assert_uint_eq(w->fault_count, 1);
                        ck_assert_int_eq(w->faults[0].fault, FAULT_FOREIGN);
                        ck_assert_uint_eq(w->faults[0].place.offset_bytes, SEGMENT + 2 * UNIT_BYTES);
                        ck_assert_uint_eq(w->faults[0].place.length_bytes, UNIT_BYTES);
                        memset(w->original + SEGMENT + 2 * UNIT_BYTES, 'f', UNIT_BYTES);
                        assert_kept(w, after);
                        world_free(w);
                }
}
END_TEST

/* It can't be told from the pattern any more, but for the sweep, which has seen it. */
START_TEST(what_somebody_else_wrote_and_nobody_can_read_any_more_stays) {
        for (unsigned after = 2; after < 4; after++) {
                struct world *w = world_new(after);
                w->target.fault = FOREIGN_WRITE;
                w->target.fault_at = w->target.then_at = SEGMENT + 2 * UNIT_BYTES;
                w->target.after = after;
                w->target.times = 1;
                w->target.foreign_bytes = 512;
                w->target.then = FAIL_READ;
                const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
                ck_assert_int_eq(record->end, END_FAILED);
                ck_assert_str_eq(record->reason.rule, "foreign_write");
                memset(w->original + SEGMENT + 2 * UNIT_BYTES, 'f', 512);
                assert_kept(w, after);
                world_free(w);
        }
}
END_TEST

/* Statistics may be turned off in the middle of a segment. */
START_TEST(what_somebody_else_writes_stays_where_the_kernel_stops_counting) {
        for (unsigned after = 1; after < 4; after++) {
                struct world *w = world_new(after);
                w->target.fault = FOREIGN_WRITE;
                w->target.stops_counting = true;
                w->target.fault_at = SEGMENT + 2 * UNIT_BYTES;
                w->target.after = after;
                w->target.times = 1;
                const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
                ck_assert_int_eq(record->end, END_FAILED);
                memset(w->original + SEGMENT + 2 * UNIT_BYTES, 'f', UNIT_BYTES);
                assert_kept(w, after);
                world_free(w);
        }
}
END_TEST

static void assert_theirs(struct world *w, uint64_t at, uint32_t bytes) {
        for (uint32_t i = 0; i < bytes; i++)
                w->original[at + i] = their_byte(&w->target, i);
        if (bytes % SECTOR_BYTES != 0) /* the rest of that sector is as they found it */
                memcpy(w->original + at + bytes, w->target.bytes + at + bytes, SECTOR_BYTES - bytes % SECTOR_BYTES);
}

/* Somebody writes before the read of that number, and no count says so. */
static struct world *write_uncounted(const char *theirs, uint32_t bytes, unsigned after) {
        struct world *w = world_new(after);
        w->target.fault = FOREIGN_WRITE;
        w->target.fault_at = SEGMENT + 2 * UNIT_BYTES;
        w->target.after = after;
        w->target.times = 1;
        w->target.theirs = theirs;
        w->target.foreign_bytes = bytes;
        return w;
}

static unsigned shelved_units(const struct world *w) {
        unsigned count = 0;
        for (unsigned i = 0; i < UNDO_SHELF_UNITS; i++) {
                struct undo_shelved shelved;
                count += undo_shelved_read(&shelved, w->journal.bytes + undo_shelf_offset(SEGMENT, i), JOURNAL_ID);
        }
        return count;
}

/* A loop device's file has other ways to it. A few bytes are what comes of a write through a page cache that has read
 * our pattern. */
START_TEST(what_is_read_of_an_uncounted_writer_stays_where_not_all_are_counted) {
        static const char *const theirs[] = { text, noise, NULL };
        static const uint32_t bytes[] = { 2, 60, 512, UNIT_BYTES, 2 * UNIT_BYTES };
        for (size_t m = 0; m < ELEMENTS(modes); m++)
                for (unsigned i = 0; i < ELEMENTS(theirs) * ELEMENTS(bytes); i++)
                        for (unsigned after = 1; after < (modes[m] == MODE_PRESERVE ? 4 : 3); after++) {
                                struct world *w = write_uncounted(
                                        theirs[i / ELEMENTS(bytes)], bytes[i % ELEMENTS(bytes)], after);
                                w->target.open_below = true;
                                const struct sweep_record *record = run(w, modes[m], SWEEP_RUN, 0);
                                ck_assert_msg(record->end == END_FAILED, "%u after %u: finished", i, after);
                                ck_assert_str_eq(record->reason.rule, "foreign_write");
                                bool told = false;
                                for (size_t f = 0; f < w->fault_count; f++)
                                        told |= w->faults[f].fault == FAULT_FOREIGN &&
                                                w->faults[f].place.offset_bytes == w->target.fault_at;
                                ck_assert(told);
                                if (after > 1) /* else nothing was written yet */
                                        ck_assert_uint_eq(shelved_units(w), undo_units(bytes[i % ELEMENTS(bytes)]));
                                else
                                        ck_assert_uint_eq(shelved_units(w), 0);
                                assert_theirs(w, w->target.fault_at, bytes[i % ELEMENTS(bytes)]);
                                assert_kept(w, after);
                                world_free(w);
                        }
}
END_TEST

/* Another host is counted nowhere: what looks like somebody's is, whatever the counts say; also where the sweep is told
 * to end just then. So is noise where not all are counted. */
START_TEST(data_that_is_read_in_place_of_the_pattern_stays_whatever_was_counted) {
        for (unsigned i = 0; i < 600; i++) {
                unsigned order = i / 2;
                struct world *w = write_uncounted(i % 2 ? noise : text, 1024, 2);
                w->target.past_the_count = i % 2 == 0;
                w->target.open_below = i % 2;
                const struct sweep_record *record = run(w, MODE_PRESERVE, order > 0 ? SWEEP_STOP : SWEEP_RUN, order);
                if (order == 0)
                        ck_assert_str_eq(record->reason.rule, "foreign_write");
                if (w->target.times == 0 && (w->target.open_below || !w->target.for_recovery))
                        assert_theirs(w, w->target.fault_at, 1024);
                assert_kept(w, order);
                world_free(w);
        }
}
END_TEST

/* The first look read the pattern, but for a bit. */
START_TEST(data_that_only_the_second_look_reads_stays) {
        struct world *w = write_uncounted(text, 1024, 2);
        w->target.past_the_count = true;
        w->target.fault = FLIP_READ;
        w->target.then = FOREIGN_WRITE;
        w->target.then_at = w->target.fault_at;
        w->target.then_times = 1;
        const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
        ck_assert_str_eq(record->reason.rule, "foreign_write");
        assert_theirs(w, w->target.fault_at, 1024);
        assert_kept(w, 1);
        world_free(w);
}
END_TEST

/* What looks like nobody's data, where each writer is counted and none was. */
START_TEST(noise_is_damage_and_repaired_where_all_are_counted) {
        static const char *const theirs[] = { noise, "" };
        for (size_t i = 0; i < 2 * ELEMENTS(theirs); i++) {
                struct world *w = write_uncounted(theirs[i / 2], i % 2 ? 512 : UNIT_BYTES, 2);
                w->target.past_the_count = true;
                const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
                ck_assert_msg(record->end == END_FINISHED, "%s", record->reason.found);
                ck_assert_int_eq(record->verdict, VERDICT_FAULTY);
                ck_assert_uint_eq(w->fault_count, 1);
                ck_assert_int_eq(w->faults[0].persistence, PERSISTENCE_REPAIRED);
                assert_kept(w, i);
                world_free(w);
        }
}
END_TEST

/* The original is there, text as it is, or is to the byte what we wrote: nobody else can have written that. */
START_TEST(a_lost_write_is_nobody_elses_whoever_is_counted) {
        for (unsigned open_below = 0; open_below < 2; open_below++) {
                struct world *w = world_new(1);
                w->target.open_below = open_below;
                for (size_t i = 0; i < SIZE; i++)
                        w->target.bytes[i] = w->original[i] = (uint8_t)text[i % strlen(text)];
                w->target.fault = LOSE_WRITE;
                w->target.fault_at = SEGMENT;
                w->target.times = 1;
                const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
                ck_assert_msg(record->end == END_FINISHED, "%s", record->reason.found);
                ck_assert_uint_eq(w->fault_count, 1);
                ck_assert_int_eq(w->faults[0].fault, FAULT_STALE);
                ck_assert_int_eq(w->faults[0].persistence, PERSISTENCE_REPAIRED);
                assert_kept(w, 1);
                world_free(w);
        }
}
END_TEST

START_TEST(what_is_to_the_byte_ours_is_nobody_elses_whoever_is_counted) {
        struct world *w = write_uncounted(moved, UNIT_BYTES, 2);
        w->target.open_below = true;
        const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
        ck_assert_msg(record->end == END_FINISHED, "%s", record->reason.found);
        ck_assert_uint_eq(w->fault_count, 1);
        ck_assert_int_eq(w->faults[0].fault, FAULT_MISDIRECTED);
        ck_assert_int_eq(w->faults[0].persistence, PERSISTENCE_REPAIRED);
        assert_kept(w, 1);
        world_free(w);
}
END_TEST

/* Behind originals that went back: one of them is the pattern again in part, another one is noise. */
START_TEST(damage_beside_somebodys_bytes_is_told_as_damage) {
        struct world *w = write_uncounted(mixed, UNIT_BYTES + SECTOR_BYTES, 3);
        w->target.open_below = true;
        const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
        ck_assert_str_eq(record->reason.rule, "foreign_write");
        ck_assert_uint_eq(w->fault_count, 2);
        for (size_t i = 0; i < 2; i++) {
                bool first = w->faults[i].place.offset_bytes == w->target.fault_at; /* and the one behind it */
                ck_assert_int_eq(w->faults[i].fault, first ? FAULT_GARBAGE : FAULT_FOREIGN);
        }
        for (uint32_t i = UNIT_BYTES; i < UNIT_BYTES + SECTOR_BYTES; i++) /* the other one went back */
                w->original[w->target.fault_at + i] = their_byte(&w->target, i);
        assert_kept(w, 1);
        world_free(w);
}
END_TEST

/* Torn between the pattern and an original that looks like somebody's data: recovery, which can compare, puts it right
 * and tells it as damage. */
START_TEST(what_only_looked_like_somebody_elses_is_put_right_and_told_as_damage) {
        struct world *w = world_new(1);
        w->target.open_below = true;
        w->target.fault = FOREIGN_WRITE;
        w->target.fault_at = SEGMENT + 2 * UNIT_BYTES;
        w->target.after = 2;
        w->target.times = 1;
        w->target.theirs = text;
        w->target.foreign_bytes = 512;
        for (size_t i = 0; i < 512; i++)
                w->target.bytes[w->target.fault_at + i] = w->original[w->target.fault_at + i] = (uint8_t)
                        text[i % strlen(text)];
        const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
        ck_assert_str_eq(record->reason.rule, "foreign_write");
        ck_assert_uint_eq(sweep_left_armed(w->sweep), 0);
        ck_assert_uint_eq(w->fault_count, 1);
        assert_kept(w, 1);
        world_free(w);
}
END_TEST

START_TEST(a_journal_that_fails_ends_the_sweep_and_loses_nothing) {
        static const enum disk_fault kinds[] = { FAIL_WRITE, FAIL_READ, FAIL_FLUSH, FLIP_READ };
        for (size_t kind = 0; kind < ELEMENTS(kinds); kind++)
                for (unsigned after = 0; after < 3; after++) {
                        struct world *w = world_new(after);
                        w->journal.fault = kinds[kind];
                        w->journal.fault_at = undo_data_offset(SEGMENT, 1) + 8192;
                        w->journal.after = kinds[kind] == FLIP_READ ? 0 : after;
                        w->journal.times = 2;
                        const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
                        if (w->journal.times == 2)
                                ck_assert_int_eq(record->end, END_FINISHED);
                        else
                                ck_assert_msg(strcmp(record->reason.rule, "journal_failed") == 0,
                                        "kind %zu after %u: rule %s", kind, after, record->reason.rule);
                        assert_kept(w, after);
                        world_free(w);
                }
}
END_TEST

static void refuse_writes(struct world *w, uint64_t at) {
        w->target.fault = FAIL_WRITE;
        w->target.fault_at = at;
        w->target.times = UINT32_MAX;
}

START_TEST(a_place_that_takes_no_writes_is_told_and_passed_by) {
        for (size_t m = 0; m < ELEMENTS(modes); m++)
                for (uint64_t at = 0; at + 512 <= SIZE; at += 37 * 512) {
                        struct world *w = world_new(at);
                        refuse_writes(w, at);
                        const struct sweep_record *record = run(w, modes[m], SWEEP_RUN, 0);
                        ck_assert_msg(record->end == END_FINISHED, "%s", record->reason.found);
                        ck_assert_int_eq(record->verdict, VERDICT_FAULTY);
                        ck_assert_uint_eq(sweep_left_armed(w->sweep), 0);
                        ck_assert_uint_eq(w->fault_count, 1);
                        ck_assert_int_eq(w->faults[0].fault, FAULT_WRITE_ERROR);
                        ck_assert_int_eq(w->faults[0].persistence, PERSISTENCE_PERSISTENT);
                        ck_assert_uint_eq(w->faults[0].place.offset_bytes, at);
                        ck_assert_uint_eq(w->faults[0].place.length_bytes, 512);
                        assert_kept(w, at);
                        world_free(w);
                }
}
END_TEST

static void assert_coarse(const struct world *w, enum fault fault) {
        ck_assert_uint_ge(w->fault_count, 1);
        for (size_t i = 0; i < w->fault_count; i++) {
                ck_assert_int_eq(w->faults[i].fault, fault);
                ck_assert_int_eq(w->faults[i].persistence, PERSISTENCE_UNKNOWN);
                ck_assert_ptr_nonnull(strstr(w->faults[i].detail.lines, "narrowed=no"));
        }
}

/* Part of a block may bear the pattern then: it goes back all the same. */
START_TEST(without_time_to_narrow_a_place_that_takes_no_writes_is_told_whole_and_passed_by) {
        for (size_t m = 0; m < ELEMENTS(modes); m++)
                for (uint64_t at = 0; at + 512 <= SIZE; at += 37 * 512) {
                        struct world *w = world_new(at);
                        refuse_writes(w, at);
                        w->narrow_budget_us = 0;
                        const struct sweep_record *record = run(w, modes[m], SWEEP_RUN, 0);
                        ck_assert_msg(record->end == END_FINISHED, "offset %" PRIu64 ": %s", at, record->reason.found);
                        ck_assert_int_eq(record->verdict, VERDICT_FAULTY);
                        ck_assert_uint_eq(sweep_left_armed(w->sweep), 0);
                        assert_coarse(w, FAULT_WRITE_ERROR);
                        assert_kept(w, at);
                        world_free(w);
                }
}
END_TEST

/* Two bad places in a block, so that what lies between them goes back by itself. */
START_TEST(without_time_to_narrow_the_pattern_goes_back_around_each_bad_place) {
        for (uint64_t at = 0; at < BLOCK; at += 512)
                for (unsigned odd = 0; odd < 2; odd++) {
                        struct world *w = world_new(at);
                        refuse_writes(w, at);
                        w->target.lands = 1; /* the pattern, and not what should take its place */
                        w->target.refuses = true;
                        w->target.refused_at = BLOCK / 2 + 512;
                        w->target.is_reluctant = odd;
                        w->narrow_budget_us = 0;
                        const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
                        ck_assert_msg(record->end == END_FINISHED, "offset %" PRIu64 ": %s", at, record->reason.found);
                        ck_assert_uint_eq(sweep_left_armed(w->sweep), 0);
                        assert_coarse(w, FAULT_WRITE_ERROR);
                        assert_kept(w, at);
                        world_free(w);
                }
}
END_TEST

/* The look at such a place, or what is put back around it, fails in turn: for a moment, for good, with the disk. */
static void fail_around_a_bad_place(enum disk_fault fault, int error, unsigned after, unsigned times) {
        struct world *w = world_new(after);
        w->target.refuses = true;
        w->target.refused_at = BLOCK / 2 + 512;
        w->target.lands = 1; /* the pattern */
        w->target.fault = fault;
        w->target.error = error;
        w->target.everywhere = true;
        w->target.after = after;
        w->target.times = times;
        w->narrow_budget_us = 0;
        const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
        ck_assert_int_ne(record->verdict, VERDICT_CLEAN);
        if (error == EAGAIN)
                ck_assert_msg(record->end == END_FINISHED, "after %u: %s", after, record->reason.found);
        if (sweep_left_armed(w->sweep) == 0)
                assert_kept(w, after);
        else
                ck_assert_int_eq(record->end, END_FAILED);
        world_free(w);
}

START_TEST(without_time_to_narrow_what_fails_beside_a_bad_place_loses_nothing) {
        static const enum disk_fault faults[] = { FAIL_READ, FAIL_WRITE };
        static const int errors[] = { EAGAIN, EIO, ENODEV };
        for (size_t f = 0; f < ELEMENTS(faults); f++)
                for (size_t e = 0; e < ELEMENTS(errors); e++)
                        for (unsigned after = 0; after < 40; after++) {
                                fail_around_a_bad_place(faults[f], errors[e], after, 1);
                                if (errors[e] != EAGAIN)
                                        fail_around_a_bad_place(faults[f], errors[e], after, UINT32_MAX);
                        }
}
END_TEST

/* What could not be written back at once is looked at, and by then somebody has written there. */
START_TEST(without_time_to_narrow_what_somebody_else_wrote_is_not_overwritten) {
        struct world *w = world_new(1);
        w->target.refuses = true;
        w->target.refused_at = BLOCK - 512;
        w->narrow_budget_us = 0;
        w->target.fault = FOREIGN_WRITE;
        w->target.fault_at = UNIT_BYTES;
        w->target.after = 3;
        w->target.times = 1;
        ck_assert_int_eq(run(w, MODE_PRESERVE, SWEEP_RUN, 0)->end, END_FAILED);
        ck_assert_uint_eq(w->target.times, 0);
        memset(w->original + UNIT_BYTES, 'f', UNIT_BYTES);
        assert_kept(w, 1);
        world_free(w);
}
END_TEST

/* It is read when the original is about to go there, and not before. */
static struct world *fail_a_look_back(unsigned after, enum disk_fault then, unsigned then_times) {
        struct world *w = world_new(after);
        w->narrow_budget_us = 0;
        w->target.fault = FAIL_READ;
        w->target.fault_at = w->target.then_at = 6 * UNIT_BYTES; /* in the half for which there is no time */
        w->target.after = after;                                 /* COMPARE, VERIFY */
        w->target.times = 1;
        w->target.then = then;
        w->target.then_times = then_times;
        return w;
}

START_TEST(what_could_not_be_read_is_looked_at_before_its_original_goes_there) {
        for (size_t m = 0; m < ELEMENTS(modes); m++)
                for (unsigned i = 0; i < (modes[m] == MODE_PRESERVE ? 10 : 5); i++) {
                        static const enum disk_fault faults[] = { FAIL_NOTHING, FLIP_READ, FAIL_READ, FLIP_READ,
                                FAIL_READ };
                        unsigned then = i % 5;
                        struct world *w = fail_a_look_back(1 + i / 5, faults[then], then < 3); /* else for good */
                        const struct sweep_record *record = run(w, modes[m], SWEEP_RUN, 0);
                        ck_assert_int_eq(record->end, then < 3 ? END_FINISHED : END_FAILED);
                        ck_assert_int_eq(record->verdict, VERDICT_FAULTY);
                        assert_kept(w, m);
                        world_free(w);
                }
}
END_TEST

/* Behind VERIFY, which could not read it; the look does. */
START_TEST(what_is_counted_right_before_a_look_stays) {
        struct world *w = fail_a_look_back(2, FOREIGN_WRITE, 1);
        w->target.foreign_bytes = 1024;
        w->target.theirs = noise;
        const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
        ck_assert_uint_eq(w->target.times, 0);
        ck_assert_str_eq(record->reason.rule, "foreign_write");
        ck_assert_uint_eq(shelved_units(w), 1);
        assert_theirs(w, w->target.fault_at, 1024);
        assert_kept(w, 1);
        world_free(w);
}
END_TEST

START_TEST(what_somebody_wrote_where_nothing_could_be_compared_stays) {
        for (size_t m = 0; m < ELEMENTS(modes); m++)
                for (uint64_t at = 0; at < SIZE; at += 5 * UNIT_BYTES) {
                        struct world *w = world_new(at);
                        w->narrow_budget_us = 0;
                        w->target.fault = FOREIGN_WRITE;
                        w->target.fault_at = at;
                        w->target.foreign_bytes = 512;
                        w->target.foreign_unread = true;
                        w->target.stops_counting = true; /* which would tell by itself */
                        w->target.after = 1;             /* COMPARE */
                        w->target.times = 1;
                        const struct sweep_record *record = run(w, modes[m], SWEEP_RUN, 0);
                        ck_assert_msg(strcmp(record->reason.rule, "foreign_write") == 0, "offset %" PRIu64 ": %s", at,
                                record->reason.rule);
                        memset(w->original + at, 'f', 512);
                        assert_kept(w, at);
                        world_free(w);
                }
}
END_TEST

/* A sector between that nobody can read any more keeps the unit from being compared. */
START_TEST(what_somebody_wrote_beside_an_unreadable_sector_stays) {
        for (size_t m = 0; m < ELEMENTS(modes); m++)
                for (unsigned bad = 0; bad < 8; bad++) {
                        uint64_t at = SEGMENT + 5 * UNIT_BYTES, theirs = at + (bad + 3) % 8 * 512;
                        struct world *w = world_new(bad);
                        w->target.fault = FOREIGN_WRITE;
                        w->target.fault_at = theirs;
                        w->target.foreign_bytes = 512;
                        w->target.foreign_unread = true;
                        w->target.stops_counting = true;
                        w->target.after = 1; /* COMPARE */
                        w->target.times = 1;
                        w->target.then = FAIL_READ;
                        w->target.then_at = at + bad * UINT64_C(512);
                        const struct sweep_record *record = run(w, modes[m], SWEEP_RUN, 0);
                        ck_assert_msg(strcmp(record->reason.rule, "foreign_write") == 0, "sector %u: %s", bad,
                                record->reason.rule);
                        memset(w->original + theirs, 'f', 512);
                        assert_kept(w, bad);
                        world_free(w);
                }
}
END_TEST

/* The same of VERIFY. The sector that can't be read keeps the pattern, as nobody can tell whose it is. */
START_TEST(what_nobody_counted_beside_a_sector_that_could_not_be_verified_stays) {
        static const char *const theirs[] = { text, noise, NULL, "" };
        static const uint32_t bytes[] = { 2, 512 };
        for (unsigned i = 0; i < 8 * ELEMENTS(theirs) * ELEMENTS(bytes); i++) {
                uint64_t unit = SEGMENT + 5 * UNIT_BYTES, bad = unit + i % 8 * 512, at = unit + (i + 3) % 8 * 512;
                struct world *w = write_uncounted(theirs[i / 8 % ELEMENTS(theirs)], bytes[i / 32], 2);
                w->target.open_below = w->target.foreign_unread = true;
                w->target.fault_at = at;
                w->target.then = FAIL_READ;
                w->target.then_at = bad;
                const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
                ck_assert_msg(strcmp(record->reason.rule, "foreign_write") == 0, "%u: %s", i, record->reason.rule);
                ck_assert_uint_eq(shelved_units(w), 1);
                bool told = false;
                for (size_t f = 0; f < w->fault_count; f++)
                        told |= w->faults[f].fault == FAULT_FOREIGN && w->faults[f].place.offset_bytes == unit;
                ck_assert_msg(told, "%u: nobody is told", i);
                w->target.fault_at = at;
                assert_theirs(w, at, bytes[i / 32]);
                memcpy(w->original + bad, w->target.bytes + bad, 512);
                assert_kept(w, i);
                world_free(w);
        }
}
END_TEST

/* The look reads it all: where all are counted it is damage, as it would have been to VERIFY. Our own writes are no
 * one else's, though they are counted before they are known to be done. */
START_TEST(noise_that_only_a_look_could_read_is_damage_where_all_are_counted) {
        for (unsigned i = 0; i < 8; i++) {
                struct world *w = write_uncounted(noise, 512, 2);
                w->target.past_the_count = w->target.foreign_unread = w->target.counts_early = true;
                w->target.fault_at = SEGMENT + i / 2 * BLOCK + 3 * UNIT_BYTES;
                w->target.in_order = i % 2;
                w->narrow_budget_us = 0;
                const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
                ck_assert_msg(record->end == END_FINISHED, "%s", record->reason.found);
                unsigned garbage = 0;
                for (size_t f = 0; f < w->fault_count; f++) {
                        garbage += w->faults[f].fault == FAULT_GARBAGE &&
                                w->faults[f].place.offset_bytes == w->target.fault_at;
                        ck_assert_int_eq(w->faults[f].persistence, PERSISTENCE_REPAIRED);
                }
                ck_assert_uint_eq(garbage, 1);
                assert_kept(w, 1);
                world_free(w);
        }
}
END_TEST

/* A place elsewhere has used up all time. */
START_TEST(without_time_to_narrow_an_original_that_went_back_is_read_all_the_same) {
        for (size_t m = 0; m < ELEMENTS(modes); m++) {
                struct world *w = world_new(m);
                w->target.refuses = true;
                w->narrow_budget_us = 0;
                w->target.fault = FAIL_READ;
                w->target.fault_at = SEGMENT + 5 * 512;
                w->target.after = modes[m] == MODE_PRESERVE ? 3 : 2; /* the look at what was put back */
                w->target.times = 1;
                const struct sweep_record *record = run(w, modes[m], SWEEP_RUN, 0);
                ck_assert_msg(record->end == END_FINISHED, "%s", record->reason.found);
                ck_assert_uint_eq(w->target.times, 0);
                unsigned transient = 0;
                for (size_t i = 0; i < w->fault_count; i++)
                        transient += w->faults[i].fault == FAULT_READ_ERROR &&
                                w->faults[i].persistence == PERSISTENCE_TRANSIENT;
                ck_assert_uint_eq(transient, 1);
                assert_kept(w, m);
                world_free(w);
        }
}
END_TEST

/* Only the first writes of a sweep fail: those of the pattern, say, and not those of the originals. */
START_TEST(a_write_error_after_which_the_originals_go_back_is_repaired) {
        struct world *w = world_new(1);
        w->target.fault = FAIL_WRITE;
        w->target.fault_at = 3 * UNIT_BYTES;
        w->target.times = 5; /* the block, its halves, down to the logical block */
        const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
        ck_assert_int_eq(record->end, END_FINISHED);
        ck_assert_uint_eq(w->target.times, 0);
        for (size_t i = 0; i < w->fault_count; i++) {
                ck_assert_int_eq(w->faults[i].fault, FAULT_WRITE_ERROR);
                ck_assert_int_ne(w->faults[i].persistence, PERSISTENCE_UNKNOWN);
                ck_assert_int_ne(w->faults[i].persistence, PERSISTENCE_PERSISTENT);
        }
        assert_kept(w, 1);
        world_free(w);
}
END_TEST

/* The pattern is written, and from then on the place takes no writes: its original is in the journal alone. */
static void keep_one_back(uint64_t narrow_budget_us) {
        struct world *w = world_new(1);
        w->target.fault = FAIL_WRITE;
        w->target.fault_at = 3 * UNIT_BYTES;
        w->target.after = 1;
        w->target.times = UINT32_MAX;
        w->narrow_budget_us = narrow_budget_us;
        const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
        ck_assert_int_eq(record->end, END_FAILED);
        ck_assert_str_eq(record->reason.rule, "restore_failed");
        ck_assert_uint_eq(sweep_left_armed(w->sweep), 1);
        bool told = false;
        for (size_t i = 0; i < w->fault_count; i++) {
                ck_assert_int_ne(w->faults[i].fault, FAULT_GARBAGE);
                told |= w->faults[i].fault == FAULT_UNRESTORED && w->faults[i].place.offset_bytes == 3 * UNIT_BYTES &&
                        w->faults[i].place.length_bytes == UNIT_BYTES;
        }
        ck_assert(told);
        memcpy(w->target.bytes + (size_t)3 * UNIT_BYTES, w->original + (size_t)3 * UNIT_BYTES, UNIT_BYTES);
        assert_kept(w, 1);
        world_free(w);
}

START_TEST(an_original_that_does_not_go_back_stays_armed_and_stops_the_sweep) {
        keep_one_back(1000000);
        keep_one_back(0);
}
END_TEST

START_TEST(a_failed_flush_is_in_the_marker_before_anything_is_written_again) {
        for (size_t m = 0; m < ELEMENTS(modes); m++)
                for (unsigned i = 0; i < 12; i++) {
                        struct world *w = world_new(i);
                        w->target.fault = FAIL_FLUSH;
                        w->target.after = i / 2;
                        w->target.times = 1 + i % 2;
                        const struct sweep_record *record = run(w, modes[m], SWEEP_RUN, 0);
                        ck_assert_msg(record->end == END_FINISHED, "%u: %s", i, record->reason.found);
                        ck_assert_uint_eq(w->fault_count > 0, w->target.times < 1 + i % 2);
                        for (size_t f = 0; f < w->fault_count; f++) {
                                ck_assert_int_eq(w->faults[f].fault, FAULT_FLUSH_ERROR);
                                ck_assert_int_eq(w->faults[f].persistence, PERSISTENCE_REPAIRED);
                        }
                        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++) {
                                struct undo_marker marker;
                                ck_assert(undo_marker_read(
                                        &marker, w->journal.bytes + undo_marker_offset(SEGMENT, slot, 0), JOURNAL_ID));
                                ck_assert(marker.state == UNDO_FREE && marker.units_lost == 0);
                        }
                        assert_kept(w, i);
                        world_free(w);
                }
}
END_TEST

/* The order comes while the flush is out, or at any other time. */
START_TEST(a_failed_flush_is_told_and_all_is_written_again_also_where_the_sweep_is_told_to_stop) {
        unsigned stopped = 0;
        for (unsigned order = 1; order < 300; order++)
                for (unsigned after = 0; after < 2; after++) { /* of the pattern, of the originals */
                        struct world *w = world_new(order);
                        w->target.fault = FAIL_FLUSH;
                        w->target.after = after;
                        w->target.times = 1;
                        (void)run(w, MODE_PRESERVE, SWEEP_STOP, order);
                        ck_assert_uint_eq(sweep_left_armed(w->sweep), 0);
                        assert_kept(w, order);
                        if (w->target.times == 0) {
                                bool told = false;
                                for (size_t f = 0; f < w->fault_count; f++)
                                        told |= w->faults[f].fault == FAULT_FLUSH_ERROR;
                                ck_assert_msg(told, "order at %u, after %u: nobody is told", order, after);
                                ck_assert_uint_ge(w->target.again_bytes, SEGMENT);
                                stopped += sweep_is_suspended(w->sweep);
                        }
                        world_free(w);
                }
        ck_assert_uint_gt(stopped, 0);
}
END_TEST

/* A flush of originals failed, and then one of them can't be written again: the cache answers for it, and may be wrong
 * of what is durable. */
START_TEST(what_a_failed_flush_may_have_lost_is_not_taken_from_a_cache) {
        struct world *w = world_new(1);
        w->target.fault = FAIL_FLUSH;
        w->target.after = 1; /* that of the pattern */
        w->target.times = 1;
        w->target.then = FAIL_WRITE;
        w->target.then_at = 3 * UNIT_BYTES;
        const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
        ck_assert_str_eq(record->reason.rule, "restore_failed");
        ck_assert_uint_eq(sweep_left_armed(w->sweep), 1);
        world_free(w);
}
END_TEST

/* Nothing is wrong with its markers and its table: what was not yet overwritten is let go, the rest is put back but for
 * the very units that can't be read, and those are told. */
START_TEST(a_journal_whose_data_can_not_be_read_costs_its_own_units_alone) {
        for (size_t m = 0; m < ELEMENTS(modes); m++)
                for (unsigned after = 0; after < 3; after++) {
                        struct world *w = world_new(after);
                        w->journal.fault = FAIL_READ;
                        w->journal.fault_at = undo_data_offset(SEGMENT, 1) + 2 * UNIT_BYTES;
                        w->journal.after = after;
                        w->journal.times = UINT32_MAX;
                        const struct sweep_record *record = run(w, modes[m], SWEEP_RUN, 0);
                        if (record->end == END_FINISHED) { /* it was not read as often */
                                assert_kept(w, after);
                                world_free(w);
                                continue;
                        }
                        ck_assert_str_eq(record->reason.rule, "journal_failed");
                        bool lost = memcmp(w->target.bytes + SEGMENT + (size_t)2 * UNIT_BYTES,
                                            w->original + SEGMENT + (size_t)2 * UNIT_BYTES, UNIT_BYTES) != 0;
                        ck_assert_int_eq(lost, modes[m] == MODE_PRESERVE && after == 1);
                        ck_assert_uint_ge(sweep_left_armed(w->sweep), lost);
                        ck_assert_uint_eq(w->fault_count, lost);
                        if (lost) {
                                ck_assert_int_eq(w->faults[0].fault, FAULT_UNRESTORED);
                                ck_assert_uint_eq(w->faults[0].place.offset_bytes, SEGMENT + 2 * UNIT_BYTES);
                                ck_assert_uint_eq(w->faults[0].place.length_bytes, UNIT_BYTES);
                                memcpy(w->original + SEGMENT + (size_t)2 * UNIT_BYTES,
                                        w->target.bytes + SEGMENT + (size_t)2 * UNIT_BYTES, UNIT_BYTES);
                        }
                        assert_kept(w, after);
                        world_free(w);
                }
}
END_TEST

/* Not even its markers: nobody can say what is armed, and what was overwritten is. */
START_TEST(a_journal_that_can_not_be_read_any_more_is_armed_all_the_same) {
        unsigned armed = 0;
        for (unsigned after = 0; after < 40; after++) {
                struct world *w = world_new(after);
                w->journal.fault = FAIL_READ;
                w->journal.everywhere = true;
                w->journal.after = after;
                w->journal.times = UINT32_MAX;
                const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
                if (sweep_left_armed(w->sweep) == 0)
                        assert_kept(w, after);
                else
                        ck_assert_int_eq(record->end, END_FAILED);
                armed += sweep_left_armed(w->sweep) > 0;
                world_free(w);
        }
        ck_assert_uint_gt(armed, 0);
}
END_TEST

/* The marker that frees a slot can't be written, while the other slot's segment is overwritten already. */
START_TEST(a_slot_that_can_not_be_freed_is_armed_beside_the_other_one) {
        unsigned both = 0;
        for (unsigned i = 0; i < 24; i++) {
                struct world *w = world_new(i);
                w->journal.fault = FAIL_WRITE;
                w->journal.fault_at = undo_marker_offset(SEGMENT, 0, i % 2);
                w->journal.after = 1; /* the one that arms it */
                w->journal.times = UINT32_MAX;
                w->journal.lazy = i / 2 * 4;
                const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
                ck_assert_str_eq(record->reason.rule, "journal_failed");
                both += sweep_left_armed(w->sweep) == 1 && w->target.writes > 8;
                assert_kept(w, i);
                world_free(w);
        }
        ck_assert_uint_gt(both, 0);
}
END_TEST

START_TEST(a_rate_is_kept_to_and_so_is_every_byte) {
        struct world *w = world_new(1);
        w->rate = 50000000;
        const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
        uint64_t least_us = (record->bytes.read + record->bytes.written) / 50;
        ck_assert_int_eq(record->verdict, VERDICT_CLEAN);
        ck_assert_uint_ge(w->ended_us, least_us * 9 / 10);
        assert_kept(w, 1);
        world_free(w);
}
END_TEST

START_TEST(physical_blocks_smaller_than_a_unit_are_good_enough) {
        struct world *w = world_new(1);
        w->physical_block_bytes = 512;
        ck_assert_int_eq(run(w, MODE_PRESERVE, SWEEP_RUN, 0)->verdict, VERDICT_CLEAN);
        assert_kept(w, 1);
        world_free(w);
}
END_TEST

START_TEST(an_engine_that_takes_nothing_now_and_then_is_asked_again) {
        struct world *w = world_new(1);
        w->target.is_reluctant = w->journal.is_reluctant = true;
        ck_assert_int_eq(run(w, MODE_PRESERVE, SWEEP_RUN, 0)->verdict, VERDICT_CLEAN);
        assert_kept(w, 1);
        world_free(w);
}
END_TEST

/* Those that the kernel asks to try again, for ever: on each disk, in each kind of request, also while a bad place is
 * narrowed down. */
START_TEST(errors_of_ours_that_never_end_end_the_sweep) {
        static const enum disk_fault kinds[] = { FAIL_READ, FAIL_WRITE, FAIL_FLUSH };
        for (size_t i = 0; i < 3 * ELEMENTS(kinds); i++) {
                struct world *w = world_new(i);
                struct memory_disk *d = i / ELEMENTS(kinds) == 1 ? &w->journal : &w->target;
                d->fault = kinds[i % ELEMENTS(kinds)];
                d->fault_at = d == &w->journal ? undo_data_offset(SEGMENT, 1) : SEGMENT + 512;
                d->error = EINTR;
                d->times = UINT32_MAX;
                if (i >= 2 * ELEMENTS(kinds)) {
                        d->error = EIO;
                        d->times = 1;
                        d->then = d->fault;
                        d->then_at = d->fault_at;
                        d->then_error = EINTR;
                }
                const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
                ck_assert_msg(record->end == END_FAILED, "%zu: ended %d", i, record->end);
                if (sweep_left_armed(w->sweep) == 0) /* else recovery's, before anything else is done there */
                        assert_kept(w, i);
                world_free(w);
        }
}
END_TEST

START_TEST(a_transfer_of_an_odd_length_is_an_error_of_the_journal) {
        static const int64_t odd[] = { 0, 100, BLOCK + 512 };
        for (size_t i = 0; i < ELEMENTS(odd); i++) {
                struct world *w = world_new(i);
                w->journal.fault = ODD_READ;
                w->journal.fault_at = undo_data_offset(SEGMENT, 1);
                w->journal.odd = odd[i];
                w->journal.times = 1;
                const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
                ck_assert_str_eq(record->reason.rule, "journal_failed");
                assert_kept(w, i);
                world_free(w);
        }
}
END_TEST

/* Whichever look it is: those that only count leave the sweep without counts, the others end it. */
START_TEST(a_look_at_the_device_that_fails_loses_nothing) {
        unsigned finished = 0, failed = 0;
        for (unsigned nth = 1; nth < 60; nth++) {
                struct world *w = world_new(nth);
                w->target.look_fails = nth;
                const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
                ck_assert(record->end == END_FINISHED || strcmp(record->reason.rule, "missing") == 0);
                finished += record->end == END_FINISHED && w->target.look_fails == 0;
                failed += record->end != END_FINISHED;
                if (record->end == END_FINISHED || sweep_left_armed(w->sweep) == 0)
                        assert_kept(w, nth);
                world_free(w);
        }
        ck_assert_uint_gt(finished, 0);
        ck_assert_uint_gt(failed, 0);
}
END_TEST

START_TEST(without_time_to_narrow_an_unreadable_place_its_persistence_is_unknown) {
        struct world *w = world_new(1);
        w->target.fault = FAIL_READ;
        w->target.fault_at = SEGMENT + 5 * 512;
        w->target.times = UINT32_MAX;
        w->narrow_budget_us = 0;
        ck_assert_int_eq(run(w, MODE_REFRESH, SWEEP_RUN, 0)->end, END_FINISHED);
        ck_assert_uint_ge(w->fault_count, 1);
        for (size_t i = 0; i < w->fault_count; i++) /* nothing was written there, so it is not repaired, either */
                ck_assert_int_eq(w->faults[i].persistence, PERSISTENCE_UNKNOWN);
        assert_kept(w, 1);
        world_free(w);
}
END_TEST

START_TEST(a_disk_that_takes_no_pattern_at_all_keeps_its_data) {
        for (unsigned i = 0; i < 2; i++) {
                struct world *w = world_new(i);
                w->target.fault = LOSE_WRITE;
                w->target.everywhere = true;
                w->target.times = UINT32_MAX;
                w->target.in_order = i > 0;
                const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
                ck_assert_int_eq(record->verdict, VERDICT_FAULTY);
                assert_kept(w, i);
                world_free(w);
        }
}
END_TEST

/* In the middle of whatever goes on then: second looks, narrowing, requests that were not taken yet. */
START_TEST(who_gives_up_beside_a_fault_leaves_the_rest_to_recovery) {
        static const enum disk_fault kinds[] = { LOSE_WRITE, FAIL_READ, FAIL_WRITE, FAIL_FLUSH };
        for (size_t i = 0; i < 2 * ELEMENTS(kinds); i++)
                for (unsigned after = 0; after < 300; after += 2) {
                        struct world *w = world_new(after);
                        w->target.fault = kinds[i % ELEMENTS(kinds)];
                        w->target.error = w->target.fault == FAIL_FLUSH ? EINTR : EIO;
                        w->target.everywhere = w->target.fault == LOSE_WRITE;
                        w->target.fault_at = SEGMENT + 512;
                        w->target.times = UINT32_MAX;
                        w->target.is_reluctant = i >= ELEMENTS(kinds);
                        (void)run(w, MODE_PRESERVE, SWEEP_GIVE_UP, after);
                        if (sweep_left_armed(w->sweep) == 0)
                                assert_kept(w, after);
                        world_free(w);
                }
}
END_TEST

/* The other one took the pattern only at a second try. */
START_TEST(of_two_places_in_a_segment_the_one_that_takes_no_writes_is_not_repaired) {
        struct world *w = world_new(1);
        w->target.refuses = true;
        w->target.refused_at = 512;
        w->target.fault = FAIL_WRITE;
        w->target.fault_at = (uint64_t)3 * BLOCK;
        w->target.times = 6; /* the block, its halves, down to the logical block */
        const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
        ck_assert_msg(record->end == END_FINISHED, "%s", record->reason.found);
        ck_assert_uint_ge(w->fault_count, 2);
        for (size_t i = 0; i < w->fault_count; i++)
                ck_assert_int_eq(w->faults[i].persistence == PERSISTENCE_PERSISTENT,
                        w->faults[i].place.offset_bytes == w->target.refused_at);
        assert_kept(w, 1);
        world_free(w);
}
END_TEST

START_TEST(a_second_look_may_come_in_parts) {
        struct world *w = world_new(1);
        w->target.fault = FLIP_READ;
        w->target.fault_at = w->target.then_at = 100;
        w->target.after = 2;
        w->target.times = 1;
        w->target.then = SHORT_READ;
        const struct sweep_record *record = run(w, MODE_PRESERVE, SWEEP_RUN, 0);
        ck_assert_int_eq(record->end, END_FINISHED);
        ck_assert_uint_eq(w->fault_count, 1);
        ck_assert_int_eq(w->faults[0].persistence, PERSISTENCE_TRANSIENT);
        assert_kept(w, 1);
        world_free(w);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("keeper");
        tcase_add_test(tests, a_good_disk_is_clean_and_keeps_every_byte);
        tcase_add_test(tests, an_order_to_stop_leaves_nothing_of_ours_behind);
        tcase_add_test(tests, a_sweep_in_two_parts_counts_each_byte_once);
        tcase_add_test(tests, an_unreadable_sector_is_told_and_nothing_is_written_near_it);
        tcase_add_test(tests, a_lost_pattern_write_is_found_and_the_original_stays);
        tcase_add_test(tests, a_bit_that_flips_once_is_transient);
        tcase_add_test(tests, what_somebody_else_writes_before_a_look_stays_and_ends_the_sweep);
        tcase_add_test(tests, what_somebody_else_wrote_and_nobody_can_read_any_more_stays);
        tcase_add_test(tests, what_somebody_else_writes_stays_where_the_kernel_stops_counting);
        tcase_add_test(tests, what_is_read_of_an_uncounted_writer_stays_where_not_all_are_counted);
        tcase_add_test(tests, data_that_is_read_in_place_of_the_pattern_stays_whatever_was_counted);
        tcase_add_test(tests, data_that_only_the_second_look_reads_stays);
        tcase_add_test(tests, noise_is_damage_and_repaired_where_all_are_counted);
        tcase_add_test(tests, a_lost_write_is_nobody_elses_whoever_is_counted);
        tcase_add_test(tests, what_is_to_the_byte_ours_is_nobody_elses_whoever_is_counted);
        tcase_add_test(tests, damage_beside_somebodys_bytes_is_told_as_damage);
        tcase_add_test(tests, what_only_looked_like_somebody_elses_is_put_right_and_told_as_damage);
        tcase_add_test(tests, a_journal_that_fails_ends_the_sweep_and_loses_nothing);
        tcase_add_test(tests, a_place_that_takes_no_writes_is_told_and_passed_by);
        tcase_add_test(tests, without_time_to_narrow_a_place_that_takes_no_writes_is_told_whole_and_passed_by);
        tcase_add_test(tests, without_time_to_narrow_the_pattern_goes_back_around_each_bad_place);
        tcase_add_test(tests, without_time_to_narrow_what_fails_beside_a_bad_place_loses_nothing);
        tcase_add_test(tests, without_time_to_narrow_what_somebody_else_wrote_is_not_overwritten);
        tcase_add_test(tests, without_time_to_narrow_an_original_that_went_back_is_read_all_the_same);
        tcase_add_test(tests, what_could_not_be_read_is_looked_at_before_its_original_goes_there);
        tcase_add_test(tests, what_is_counted_right_before_a_look_stays);
        tcase_add_test(tests, what_somebody_wrote_where_nothing_could_be_compared_stays);
        tcase_add_test(tests, what_somebody_wrote_beside_an_unreadable_sector_stays);
        tcase_add_test(tests, what_nobody_counted_beside_a_sector_that_could_not_be_verified_stays);
        tcase_add_test(tests, noise_that_only_a_look_could_read_is_damage_where_all_are_counted);
        tcase_add_test(tests, a_write_error_after_which_the_originals_go_back_is_repaired);
        tcase_add_test(tests, an_original_that_does_not_go_back_stays_armed_and_stops_the_sweep);
        tcase_add_test(tests, a_failed_flush_is_in_the_marker_before_anything_is_written_again);
        tcase_add_test(tests, a_failed_flush_is_told_and_all_is_written_again_also_where_the_sweep_is_told_to_stop);
        tcase_add_test(tests, what_a_failed_flush_may_have_lost_is_not_taken_from_a_cache);
        tcase_add_test(tests, a_journal_whose_data_can_not_be_read_costs_its_own_units_alone);
        tcase_add_test(tests, a_journal_that_can_not_be_read_any_more_is_armed_all_the_same);
        tcase_add_test(tests, a_slot_that_can_not_be_freed_is_armed_beside_the_other_one);
        tcase_add_test(tests, a_rate_is_kept_to_and_so_is_every_byte);
        tcase_add_test(tests, physical_blocks_smaller_than_a_unit_are_good_enough);
        tcase_add_test(tests, an_engine_that_takes_nothing_now_and_then_is_asked_again);
        tcase_add_test(tests, errors_of_ours_that_never_end_end_the_sweep);
        tcase_add_test(tests, a_transfer_of_an_odd_length_is_an_error_of_the_journal);
        tcase_add_test(tests, a_look_at_the_device_that_fails_loses_nothing);
        tcase_add_test(tests, without_time_to_narrow_an_unreadable_place_its_persistence_is_unknown);
        tcase_add_test(tests, a_disk_that_takes_no_pattern_at_all_keeps_its_data);
        tcase_add_test(tests, a_second_look_may_come_in_parts);
        tcase_add_test(tests, who_gives_up_beside_a_fault_leaves_the_rest_to_recovery);
        tcase_add_test(tests, of_two_places_in_a_segment_the_one_that_takes_no_writes_is_not_repaired);
        return suite_run("keeper", tests);
}
