/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rate of detection is worth what is known of the faults. So each seed is one sweep over a disk on which one fault
 * was planted: its class, its extent to the sector, and what becomes of it when it is tried again follow from the seed,
 * and nothing else goes wrong. A finding more is a false alarm, one less a fault that was missed; a place that was late
 * but once, or while somebody else used the disk, must not be found. In a sweep with fixed patterns the fault is there
 * in one of their passes alone, so that the others show what they make of it. The seeds go through a matrix of classes,
 * passes, positions, block sizes and workers, so that none of them is left to luck; one seed in 20 plants nothing.
 */
#include "campaign.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "books.h"
#include "disk.h"
#include "failure.h"
#include "oracle.h"
#include "sim_engine.h"
#include "sim_verifier.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum pass { PASS_READ, PASS_RETENTION, PASS_FIXED, PASS_VERIFY };
enum position { AT_FIRST, AT_LAST, AT_BLOCK_BORDER, AT_SEGMENT_BORDER, INSIDE, POSITIONS };
enum {
        GENERATION_STRANGER, /* another target's */
        GENERATION_OLD,
        GENERATION_LAST, /* what the disk holds when the sweep begins */
        GENERATIONS,
        PATTERNS = 4,
        NONCES = 8,
        EXPECTED_MAX = 2,
        CLEAN_ONE_IN = 20,
        LARGE_ONE_IN = 8, /* rounds in which large blocks take part: they cost the most */
        MISSES_SHOWN = 10
};

static const uint32_t blocks[] = { 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20 };
static const unsigned workers[] = { 0, 1, 2, 4 };
enum { SMALL_BLOCKS = 3 };

static const struct kind {
        enum fault fault;
        enum pass pass;
} kinds[] = {
        { FAULT_READ_ERROR, PASS_READ },
        { FAULT_SLOW, PASS_READ },
        { FAULT_READ_ERROR, PASS_RETENTION },
        { FAULT_BIT_FLIP, PASS_RETENTION },
        { FAULT_STALE, PASS_RETENTION },
        { FAULT_MISDIRECTED, PASS_RETENTION },
        { FAULT_TORN, PASS_RETENTION },
        { FAULT_ZEROED, PASS_RETENTION },
        { FAULT_FOREIGN, PASS_RETENTION },
        { FAULT_GARBAGE, PASS_RETENTION },
        { FAULT_SLOW, PASS_RETENTION },
        { FAULT_HOST, PASS_RETENTION },
        { FAULT_READ_ERROR, PASS_FIXED },
        { FAULT_WRITE_ERROR, PASS_FIXED },
        { FAULT_FLUSH_ERROR, PASS_FIXED },
        { FAULT_BIT_FLIP, PASS_FIXED },
        { FAULT_STALE, PASS_FIXED },
        { FAULT_TORN, PASS_FIXED },
        { FAULT_ZEROED, PASS_FIXED },
        { FAULT_FOREIGN, PASS_FIXED },
        { FAULT_GARBAGE, PASS_FIXED },
        { FAULT_SLOW, PASS_FIXED },
        { FAULT_HOST, PASS_FIXED },
        { FAULT_READ_ERROR, PASS_VERIFY },
        { FAULT_WRITE_ERROR, PASS_VERIFY },
        { FAULT_FLUSH_ERROR, PASS_VERIFY },
        { FAULT_BIT_FLIP, PASS_VERIFY },
        { FAULT_STALE, PASS_VERIFY },
        { FAULT_MISDIRECTED, PASS_VERIFY },
        { FAULT_TORN, PASS_VERIFY },
        { FAULT_ZEROED, PASS_VERIFY },
        { FAULT_FOREIGN, PASS_VERIFY },
        { FAULT_GARBAGE, PASS_VERIFY },
        { FAULT_SLOW, PASS_VERIFY },
        { FAULT_HOST, PASS_VERIFY },
};

enum { CELLS = ELEMENTS(kinds) * POSITIONS * ELEMENTS(blocks) * ELEMENTS(workers) };

struct expected {
        enum fault fault;
        struct extent place;
        enum persistence persistence;
};

struct row {
        uint64_t planted, detected, class_right, extent_right, persistence_right;
};

static struct {
        uint64_t sweeps, clean, false_alarms, wrong_verdicts, shown;
        uint32_t cells[CELLS];
        struct row rows[ELEMENTS(kinds)];
} totals;

static cpu_set_t cpus;

/* The sweep's thread takes a unit that is right for a wrong one, once. */
static struct {
        bool armed;
        uint64_t offset_bytes;
} lie;

size_t __real_expectation_check(const struct expectation *e, const uint8_t *bytes, uint64_t offset_bytes,
        uint64_t length_bytes, uint64_t *bad_units);
size_t __wrap_expectation_check(const struct expectation *e, const uint8_t *bytes, uint64_t offset_bytes,
        uint64_t length_bytes, uint64_t *bad_units);

size_t __wrap_expectation_check(const struct expectation *e, const uint8_t *bytes, uint64_t offset_bytes,
        uint64_t length_bytes, uint64_t *bad_units) {
        size_t bad = __real_expectation_check(e, bytes, offset_bytes, length_bytes, bad_units);
        if (!lie.armed || lie.offset_bytes < offset_bytes || lie.offset_bytes >= offset_bytes + length_bytes)
                return bad;
        uint64_t unit = lie.offset_bytes / UNIT_BYTES - offset_bytes / UNIT_BYTES;
        lie.armed = false;
        bad_units[unit / 64] |= BIT(unit % 64);
        return bad + 1;
}

struct trial {
        struct chance chance;
        struct kind kind;
        enum position position;
        bool clean;
        enum persistence persistence; /* as it must come out */
        bool busy;                    /* a slow place: somebody else uses the disk whenever it is timed */
        struct history *history;
        struct disk disk;
        struct books books;
        struct oracle oracle;
        struct sim_engine engine;
        struct sim_verifier verifier;
        struct sweep_options options;
        struct sweep_gauge gauge;
        uint64_t now_us;
        uint64_t first, count; /* sectors that the fault covers */
        unsigned fixed_pass;   /* in which it shows, where it is one of those */
        bool planted;
        size_t expected_count;
        struct expected expected[EXPECTED_MAX];
};

static bool is_io(enum fault fault) {
        return fault == FAULT_READ_ERROR || fault == FAULT_WRITE_ERROR || fault == FAULT_FLUSH_ERROR;
}

static uint64_t block_sectors(const struct trial *t) {
        return t->options.block_bytes / SECTOR_BYTES;
}

static uint64_t segment_sectors(const struct trial *t) {
        return t->options.segment_bytes / SECTOR_BYTES;
}

/* What can become of a fault of this kind. */
static enum persistence some_persistence(struct trial *t) {
        static const enum persistence all[] = { PERSISTENCE_TRANSIENT, PERSISTENCE_REPAIRED, PERSISTENCE_PERSISTENT };
        if (t->kind.fault == FAULT_HOST)
                return PERSISTENCE_UNKNOWN; /* there is nothing of the disk to try again */
        enum persistence p = all[chance_below(&t->chance, ELEMENTS(all))];
        bool never_repaired = t->kind.fault == FAULT_SLOW || (is_io(t->kind.fault) && t->kind.pass != PASS_RETENTION);
        return p == PERSISTENCE_REPAIRED && never_repaired ? PERSISTENCE_PERSISTENT : p;
}

/* A request that fails for a moment fails as a whole: then the fault keeps to one block. */
static bool is_whole_request(const struct trial *t) {
        return is_io(t->kind.fault) && t->persistence == PERSISTENCE_TRANSIENT;
}

/* In sectors, by steps of `grain`: those of units, or of logical blocks. */
static void choose_place(struct trial *t) {
        struct chance *c = &t->chance;
        uint64_t grain = is_io(t->kind.fault) ? t->disk.logical_sectors : UNIT_SECTORS;
        uint64_t all = t->disk.sectors, block = block_sectors(t), border = block;
        uint64_t most = MIN(3, block / grain), count = grain * chance_between(c, 1, most);
        if (t->kind.fault == FAULT_HOST)
                count = grain;
        uint64_t last = (all - 1) / grain * grain, begin = last - (count - grain);
        switch (t->position) {
        case AT_FIRST:
                begin = 0;
                break;
        case AT_LAST:
                if (is_whole_request(t) && begin / block != last / block)
                        begin = last;
                break;
        case AT_BLOCK_BORDER:
        case AT_SEGMENT_BORDER:
                border = t->position == AT_SEGMENT_BORDER ? segment_sectors(t) : block;
                border *= chance_between(c, 1, (all - 1) / border);
                if (!is_whole_request(t) && chance_one_in(c, 2)) /* on both sides */
                        count = MAX(count, t->kind.fault == FAULT_HOST ? grain : 2 * grain);
                begin = count > grain && !is_whole_request(t) ? border - grain
                        : chance_one_in(c, 2)                 ? border
                                                              : border - count;
                break;
        default:
                begin = block * chance_below(c, all / block);
                if (block > count + grain)
                        begin += grain * chance_between(c, 1, (block - count) / grain - 1);
                break;
        }
        t->first = begin;
        t->count = MIN(count, all - begin);
        if (is_whole_request(t))
                t->count = MIN(t->count, (begin / block + 1) * block - begin);
}

static struct extent extent_of(uint64_t first, uint64_t count) {
        return (struct extent){ first * SECTOR_BYTES, count * SECTOR_BYTES };
}

static struct extent around(const struct trial *t, uint64_t grain) {
        uint64_t from = t->first / grain * grain;
        return extent_of(from, MIN(grain, t->disk.sectors - from));
}

static struct extent around_last(const struct trial *t, uint64_t grain) {
        uint64_t from = (t->first + t->count - 1) / grain * grain;
        return extent_of(from, MIN(grain, t->disk.sectors - from));
}

/* Which sectors of a unit are hit: a bit each, at least one, and not all where others must stay right. */
static uint8_t some_sectors(struct trial *t, uint64_t count) {
        struct chance *c = &t->chance;
        uint8_t all = (uint8_t)(BIT(count) - 1), some;
        switch (t->kind.fault) {
        case FAULT_STALE:
                return all;
        case FAULT_TORN:
                if (chance_one_in(c, 4)) {
                        do
                                some = (uint8_t)chance_next(c) & all;
                        while (some == 0 || some == all);
                        return some;
                }
                return (uint8_t)(all & ~(BIT(chance_between(c, 1, count - 1)) - 1));
        default:
                if (chance_one_in(c, 2))
                        return all;
                do
                        some = (uint8_t)chance_next(c) & all;
                while (some == 0);
                return t->kind.fault == FAULT_FOREIGN ? some | 1 : some;
        }
}

/* By whole units, and such that all of it belongs on the disk. */
static uint64_t some_shift(struct trial *t) {
        uint64_t here = t->first / UNIT_SECTORS, places = (t->disk.sectors - t->count) / UNIT_SECTORS + 1;
        uint64_t there = chance_below(&t->chance, places - 1);
        there += there >= here;
        uint64_t further = here + TABLE_SECTORS / UNIT_SECTORS;
        if (further < places && chance_one_in(&t->chance, 2)) /* all but the marks is the same there */
                there = further;
        return (there - here) * UNIT_SECTORS; /* backwards: around the end of the number */
}

/* The pass that wrote it is over. */
static size_t index_of_pattern(const struct trial *t, unsigned pass) {
        size_t i = 0;
        while (i < t->history->count &&
                (!t->history->of[i].table->fixed || t->history->of[i].table->nonce != t->options.patterns.bytes[pass]))
                i++;
        MUST(i < t->history->count, "no pass wrote this pattern");
        return i;
}

static struct shape some_shape(struct trial *t) {
        struct shape shape = { .generation = GENERATION_LAST };
        switch (t->kind.fault) {
        case FAULT_BIT_FLIP:
                shape.kind = SHAPE_FLIPPED;
                shape.bits = (uint16_t)chance_between(&t->chance, 1, chance_one_in(&t->chance, 4) ? 200 : 3);
                break;
        case FAULT_ZEROED:
                shape.kind = SHAPE_ZEROS;
                break;
        case FAULT_GARBAGE:
                shape.kind = SHAPE_NOISE;
                break;
        case FAULT_FOREIGN:
                shape.kind = SHAPE_WRITTEN;
                shape.generation = GENERATION_STRANGER;
                break;
        case FAULT_MISDIRECTED:
                shape.kind = SHAPE_WRITTEN;
                shape.shift = some_shift(t);
                break;
        default: /* stale, torn: what an older generation wrote; in the retention pass, one older than the last */
                shape.kind = SHAPE_WRITTEN;
                if (t->kind.pass == PASS_FIXED && t->fixed_pass > 0 && chance_one_in(&t->chance, 2)) {
                        shape.generation = index_of_pattern(t, t->fixed_pass - 1);
                        break;
                }
                shape.generation = t->kind.pass == PASS_RETENTION || chance_one_in(&t->chance, 2) ? GENERATION_OLD
                                                                                                  : GENERATION_LAST;
                break;
        }
        return shape;
}

static void add(struct trial *t, const struct trouble *trouble) {
        MUST(disk_add_trouble(&t->disk, trouble), "too many troubles");
}

/* Wrong bytes, unit by unit, so that each goes wrong as often as it is to. */
static void plant_data(struct trial *t) {
        struct shape shape = some_shape(t);
        bool lasts = t->persistence == PERSISTENCE_PERSISTENT, moment = t->persistence == PERSISTENCE_TRANSIENT;
        for (uint64_t at = t->first; at < t->first + t->count; at += UNIT_SECTORS) {
                uint64_t count = MIN(UNIT_SECTORS, t->first + t->count - at);
                shape.sectors = some_sectors(t, count);
                struct trouble trouble = {
                        .kind = moment ? TROUBLE_READ_AS : TROUBLE_WRITTEN_AS,
                        .first = at,
                        .count = count,
                        .left = lasts ? TROUBLE_ALWAYS : (uint32_t)count,
                        .shape = shape,
                };
                if (lasts || moment || t->kind.pass >= PASS_FIXED)
                        add(t, &trouble);
                for (uint64_t i = at; i < at + count && !moment && t->kind.pass == PASS_RETENTION; i++)
                        disk_change(&t->disk, i, &shape);
        }
}

static void plant_io(struct trial *t) {
        static const enum trouble_kind of[] = {
                [FAULT_READ_ERROR] = TROUBLE_READ_ERROR,
                [FAULT_WRITE_ERROR] = TROUBLE_WRITE_ERROR,
                [FAULT_FLUSH_ERROR] = TROUBLE_FLUSH_ERROR,
        };
        static const int errors[] = { EIO, ENODATA, EILSEQ, ETIMEDOUT, ENOLINK };
        bool flush = t->kind.fault == FAULT_FLUSH_ERROR, moment = t->persistence == PERSISTENCE_TRANSIENT;
        struct trouble trouble = {
                .kind = of[t->kind.fault],
                .first = t->first,
                .count = t->count,
                .left = moment  ? 1
                        : flush ? 2
                                : TROUBLE_ALWAYS,
                .skip = flush ? (uint32_t)(t->first / segment_sectors(t)) : 0,
                .error = errors[chance_below(&t->chance, ELEMENTS(errors))],
                .heals = t->persistence == PERSISTENCE_REPAIRED,
        };
        add(t, &trouble);
}

static void plant_slow(struct trial *t) {
        struct lateness *l = &t->engine.lateness;
        l->spots[0] = (struct slow_spot){
                .place = extent_of(t->first, t->count),
                .delay_us = LATENESS_SLOW_AFTER_US + chance_between(&t->chance, 1, USEC_PER_SEC),
                .left = t->persistence == PERSISTENCE_TRANSIENT ? 1 : UINT32_MAX,
        };
        l->spot_count = 1;
        l->busy = t->busy;
        l->counts |= t->busy;
}

static void plant(struct trial *t) {
        t->planted = true;
        if (t->clean)
                return;
        if (t->kind.fault == FAULT_SLOW) {
                plant_slow(t);
                return;
        }
        if (t->kind.fault == FAULT_HOST) {
                lie.offset_bytes = t->first * SECTOR_BYTES;
                lie.armed = true;
        } else if (is_io(t->kind.fault)) {
                plant_io(t);
        } else {
                plant_data(t);
        }
}

/* What must be found. What lasts is found by the pass that reads back as well. */
static void expect(struct trial *t) {
        struct expected e = { t->kind.fault, extent_of(t->first, t->count), t->persistence };
        bool is_slow = t->kind.fault == FAULT_SLOW;
        if (t->clean || (is_slow && (t->persistence == PERSISTENCE_TRANSIENT || t->busy)))
                return;
        if (is_slow) /* blocks are late, and nobody asks what of them */
                e.place = extent_hull(around(t, block_sectors(t)), around_last(t, block_sectors(t)));
        if (t->kind.fault == FAULT_FLUSH_ERROR)
                e.place = around(t, segment_sectors(t));
        else if (is_whole_request(t))
                e.place = around(t, block_sectors(t));
        t->expected[t->expected_count++] = e;
        if (t->kind.pass == PASS_RETENTION && t->persistence == PERSISTENCE_PERSISTENT)
                t->expected[t->expected_count++] = e;
}

/* Whether it is time: a fault of one pass must not show in those before it. */
static bool is_due(const struct trial *t) {
        bool at_once = t->kind.pass == PASS_READ ||
                (t->kind.pass == PASS_RETENTION && t->persistence != PERSISTENCE_TRANSIENT &&
                        t->kind.fault != FAULT_HOST && t->kind.fault != FAULT_SLOW);
        if (t->kind.pass == PASS_FIXED)
                return !t->planted && t->books.stamped && t->books.pass == t->fixed_pass;
        return !t->planted && (at_once || (t->kind.pass == PASS_RETENTION ? t->books.started : t->books.stamped));
}

/* The pass in which the fault was is over, and so is the fault. */
static void look_at_pass(struct trial *t) {
        if (t->kind.pass != PASS_FIXED || !t->planted || t->books.pass == t->fixed_pass)
                return;
        for (size_t i = 0; i < t->disk.trouble_count; i++)
                t->disk.troubles[i].left = 0;
        t->engine.lateness.spot_count = t->engine.lateness.busy = 0;
}

static void set_clock(struct trial *t, uint64_t add_us) {
        t->now_us += add_us;
        t->engine.now_us = t->books.now_us = t->now_us;
}

static void run_sweep(struct trial *t, struct sweep *sweep) {
        for (uint64_t pumps = 0;; pumps++) {
                MUST(pumps < UINT64_C(20000000), "it never ends");
                books_work(&t->books, sweep);
                if (is_due(t))
                        plant(t);
                look_at_pass(t);
                enum sweep_pumped pumped = sweep_pump(sweep, SWEEP_RUN, t->now_us, t->now_us + (UINT64_C(1) << 50));
                if (pumped == SWEEP_ENDED)
                        return;
                uint64_t next = MIN(sim_engine_next_us(&t->engine), books_next_us(&t->books));
                uint64_t wait = next > t->now_us ? next - t->now_us : 1;
                if (pumped == SWEEP_BUSY || t->verifier.count > 0)
                        wait = 1;
                set_clock(t, MIN(wait, SWEEP_PATIENCE_US));
        }
}

/* Of the cell, the disk that it needs: two segments at least, and an end that is no whole block. */
static void choose_disk(struct trial *t, uint32_t block_bytes) {
        struct chance *c = &t->chance;
        uint64_t block = block_bytes / SECTOR_BYTES;
        bool large = block_bytes > 64 << 10;
        uint64_t per_segment = large ? 1 : chance_between(c, block_bytes == UNIT_BYTES ? 3 : 1, 4);
        uint64_t segments = large ? 2 : chance_between(c, 2, 4);
        uint32_t logical = chance_one_in(c, 3) ? UNIT_SECTORS : 1;
        uint64_t tail = chance_one_in(c, 3) ? 0 : chance_below(c, block);
        tail -= tail % logical;
        if (tail % UNIT_SECTORS == 1) /* one sector alone can't be torn */
                tail++;
        uint64_t sectors = block * (per_segment * segments + 1) + tail;
        bool has_cache = t->kind.fault != FAULT_FLUSH_ERROR && chance_one_in(c, 2); /* or more than the flush is lost */
        disk_init(&t->disk, c, t->history, sectors, logical, has_cache, false);
        disk_fill(&t->disk, GENERATION_LAST);
        t->options.block_bytes = block_bytes;
        t->options.segment_bytes = (uint64_t)block_bytes * per_segment;
}

/* Zeros come last, and no fault of zeros is there then: they would be right, or tell nothing of the time before. */
static void choose_patterns(struct trial *t) {
        static const uint8_t all[PATTERNS] = { 0xaa, 0x55, 0xff, 0x00 };
        struct pattern_list *list = &t->options.patterns;
        bool zeros_too = t->kind.fault != FAULT_ZEROED;
        list->count = (uint8_t)chance_between(&t->chance, 1, zeros_too ? PATTERNS : PATTERNS - 1);
        memcpy(list->bytes, all, sizeof all);
        t->fixed_pass = (unsigned)chance_below(&t->chance, list->count);
}

static void set_options(struct trial *t, uint64_t seed, unsigned worker_count) {
        struct chance *c = &t->chance;
        struct sweep_options *o = &t->options;
        o->id = 1;
        o->device = "disk";
        o->mode = t->kind.pass == PASS_READ ? MODE_READ : MODE_PATTERN;
        o->started_us = t->now_us + 1;
        if (t->kind.pass == PASS_FIXED)
                choose_patterns(t);
        o->depth = (unsigned)(chance_one_in(c, 4) ? 1 : chance_between(c, 1, o->block_bytes > 64 << 10 ? 4 : 32));
        o->size_bytes = t->disk.sectors * SECTOR_BYTES;
        o->logical_block_bytes = t->disk.logical_sectors * SECTOR_BYTES;
        o->diskseq = 7;
        o->narrow_budget_us = 1000 * USEC_PER_SEC;
        o->slow_after_us = LATENESS_SLOW_AFTER_US;
        o->random[0] = layout_mix(1000 + seed % NONCES);
        o->random[1] = chance_next(c);
        o->random[2] = chance_next(c);
        o->engine = &t->engine.engine;
        o->verifier = worker_count > 0 ? &t->verifier.verifier : NULL;
        o->news = &t->books.port;
        o->gauge = &t->gauge;
        o->target = books_target(&t->books);
        t->engine.latency_us = chance_one_in(c, 3) ? 10 : 5000;
        t->engine.slow_one_in = chance_one_in(c, 4) ? 50 : 0;
        t->engine.short_one_in = !is_whole_request(t) && chance_one_in(c, 3) ? 4 : 0;
        t->books.latency_us = chance_one_in(c, 2) ? 1000 : 400000;
        t->books.full_one_in = chance_one_in(c, 3) ? 4 : 0;
}

static void show(const struct trial *t, uint64_t seed, const char *what) {
        if (totals.shown++ >= MISSES_SHOWN)
                return;
        fprintf(stderr, "seed %" PRIu64 ": %s (simulate --campaign --first %" PRIu64 " --seeds 1)\n", seed, what, seed);
        for (size_t i = 0; i < t->expected_count; i++)
                fprintf(stderr, "  planted: %s, %s, %" PRIu64 "+%" PRIu64 "\n", fault_name(t->expected[i].fault),
                        persistence_name(t->expected[i].persistence), t->expected[i].place.offset_bytes,
                        t->expected[i].place.length_bytes);
        for (size_t i = 0; i < t->books.run_count; i++) {
                const struct finding *f = &t->books.runs[i].fault;
                fprintf(stderr, "  found:   %s, %s, %" PRIu64 "+%" PRIu64 ": %s\n", fault_name(f->fault),
                        persistence_name(f->persistence), f->place.offset_bytes, f->place.length_bytes, f->text);
        }
}

/* How well a finding fits what was planted; 0: not at all. */
static unsigned fit(const struct expected *e, const struct finding *f) {
        if (!extent_overlaps(e->place, f->place))
                return 0;
        bool exact = e->place.offset_bytes == f->place.offset_bytes && e->place.length_bytes == f->place.length_bytes;
        return 1 + 4 * (e->fault == f->fault) + 2 * exact + (e->persistence == f->persistence);
}

/* Counts what the sweep made of what was planted. Each finding is for one fault; those that are left are false. */
static void judge(struct trial *t, uint64_t seed, size_t kind, const struct sweep *sweep) {
        struct row *row = &totals.rows[kind];
        bool used[RUNS_MAX] = { false }, right = true;
        size_t left = t->books.run_count;
        for (size_t i = 0; i < t->expected_count; i++) {
                const struct expected *e = &t->expected[i];
                size_t best = 0;
                unsigned best_fit = 0;
                for (size_t k = 0; k < t->books.run_count; k++) {
                        unsigned fits = used[k] ? 0 : fit(e, &t->books.runs[k].fault);
                        if (fits > best_fit) {
                                best = k;
                                best_fit = fits;
                        }
                }
                row->planted++;
                right &= best_fit == 8;
                if (best_fit == 0)
                        continue;
                used[best] = true;
                left--;
                row->detected++;
                row->class_right += ((best_fit - 1) & 4) != 0;
                row->extent_right += ((best_fit - 1) & 2) != 0;
                row->persistence_right += ((best_fit - 1) & 1) != 0;
        }
        bool faulty = t->expected_count > 0 && t->kind.fault != FAULT_SLOW; /* which is a warning */
        enum verdict verdict = faulty ? VERDICT_FAULTY : VERDICT_CLEAN;
        bool verdict_right = sweep_record(sweep)->verdict == verdict && sweep_record(sweep)->end == END_FINISHED;
        totals.sweeps++;
        totals.clean += t->clean;
        totals.false_alarms += left;
        totals.wrong_verdicts += !verdict_right;
        if (!right || left > 0 || !verdict_right)
                show(t, seed, !right ? "not as it was planted" : left > 0 ? "a false alarm" : "a wrong verdict");
}

static size_t choose_cell(struct trial *t, uint64_t seed, size_t *ret_block, size_t *ret_workers) {
        size_t cell = seed % CELLS;
        uint64_t round = seed / CELLS;
        size_t rest = cell, kind = rest % ELEMENTS(kinds);
        rest /= ELEMENTS(kinds);
        t->position = (enum position)(rest % POSITIONS);
        rest /= POSITIONS;
        *ret_workers = rest % ELEMENTS(workers);
        *ret_block = rest / ELEMENTS(workers);
        if (*ret_block >= SMALL_BLOCKS && round % LARGE_ONE_IN != 0)
                *ret_block = (*ret_block + round) % SMALL_BLOCKS;
        t->kind = kinds[kind];
        t->clean = chance_one_in(&t->chance, CLEAN_ONE_IN) && round > 0;
        return kind;
}

static void count_cell(const struct trial *t, size_t kind, size_t block, size_t worker) {
        size_t cell = kind + ELEMENTS(kinds) * (t->position + POSITIONS * (worker + ELEMENTS(workers) * block));
        totals.cells[cell] += !t->clean;
}

static void try_seed(struct history *history, uint64_t seed) {
        struct trial *t = calloc(1, sizeof *t);
        MUST(t, "out of memory");
        t->chance.state = layout_mix(seed + 1);
        t->history = history;
        t->now_us = chance_below(&t->chance, UINT64_C(1) << 40);
        size_t block, worker, kind = choose_cell(t, seed, &block, &worker);
        t->persistence = some_persistence(t);
        t->busy = t->kind.fault == FAULT_SLOW && chance_one_in(&t->chance, 4);
        bool host = t->kind.fault == FAULT_HOST;
        int r = host ? cpus_allow_this_thread(&cpus)
                     : cpus_pin_this_thread(cpus_nth(&cpus, chance_below(&t->chance, 64)));
        MUST(r == 0, "sched_setaffinity");
        choose_disk(t, blocks[block]);
        choose_place(t);
        books_init(&t->books, &t->chance, history, &t->disk);
        books_preload(&t->books, GENERATION_LAST);
        oracle_init(&t->oracle, &t->disk, history, &t->books);
        sim_engine_init(&t->engine, &t->disk, &t->books, &t->oracle, &t->chance);
        t->oracle.lateness = &t->engine.lateness;
        sim_verifier_init(&t->verifier, &t->chance, MAX(workers[worker], 1));
        set_options(t, seed, workers[worker]);
        expect(t);
        books_begin_sweep(&t->books, 1, (struct extent){ 0, t->options.size_bytes });
        oracle_begin_sweep(&t->oracle, t->options.mode, false, (struct extent){ 0 }, t->options.narrow_budget_us);
        t->oracle.block_bytes = t->options.block_bytes;
        sim_engine_begin_sweep(&t->engine, t->options.depth);
        t->engine.lateness.spot_count = t->engine.lateness.busy =
                0; /* no place is late but for the one that is planted */
        set_clock(t, 0);
        struct sweep *sweep;
        MUST(sweep_new(&sweep, &t->options) == 0, "sweep_new");
        t->engine.sweep = sweep;
        run_sweep(t, sweep);
        MUST(t->planted && !lie.armed, "nothing was planted");
        judge(t, seed, kind, sweep);
        count_cell(t, kind, block, worker);
        if ((!host || t->clean) && t->kind.pass != PASS_FIXED) /* the oracle knows of one pass that writes */
                oracle_judge(&t->oracle, sweep);
        sweep_free(sweep);
        sim_engine_deinit(&t->engine);
        oracle_deinit(&t->oracle);
        books_deinit(&t->books);
        disk_deinit(&t->disk);
        free(t);
}

static void history_init(struct history *h) {
        uint64_t target = layout_mix(77);
        MUST(table_cache_new(&h->tables, GENERATIONS + PATTERNS + NONCES) == 0, "out of memory");
        for (size_t i = 0; i < GENERATIONS; i++) {
                uint64_t nonce = layout_mix(i + 1);
                h->of[i] = (struct content){
                        .table = table_cache_get(h->tables, nonce),
                        .stamp = {
                                .mode = MODE_PATTERN,
                                .target_id = i == GENERATION_STRANGER ? ~target : target,
                                .generation = 10 + i,
                                .nonce = nonce,
                                .started_us = 1000 * (i + 1),
                        },
                };
        }
        h->count = GENERATIONS;
}

/* Forgets the generations that sweeps began. */
static void history_rewind(struct history *h, size_t count) {
        while (h->count > count)
                table_unref((struct table *)h->of[--h->count].table);
}

static double percent(uint64_t part, uint64_t whole) {
        return whole > 0 ? 100.0 * (double)part / (double)whole : 100.0;
}

static void print_row(const char *fault, const char *pass, const struct row *row) {
        printf("%-13s %-10s %8" PRIu64 " %9.3f%% %9.3f%% %9.3f%% %9.3f%%\n", fault, pass, row->planted,
                percent(row->detected, row->planted), percent(row->class_right, row->planted),
                percent(row->extent_right, row->planted), percent(row->persistence_right, row->planted));
}

static struct row print_table(void) {
        static const char *const passes[] = { "read", "retention", "fixed", "verify" };
        struct row sum = { 0 };
        printf("%-13s %-10s %8s %10s %10s %10s %10s\n", "fault", "pass", "planted", "detected", "class", "extent",
                "persistence");
        for (size_t i = 0; i < ELEMENTS(kinds); i++) {
                const struct row *row = &totals.rows[i];
                print_row(fault_name(kinds[i].fault), passes[kinds[i].pass], row);
                sum.planted += row->planted;
                sum.detected += row->detected;
                sum.class_right += row->class_right;
                sum.extent_right += row->extent_right;
                sum.persistence_right += row->persistence_right;
        }
        print_row("all", "", &sum);
        return sum;
}

bool campaign_run(uint64_t first_seed, uint64_t seeds) {
        struct history history = { 0 };
        MUST(cpus_of_this_thread(&cpus) == 0, "sched_getaffinity");
        if (CPU_COUNT(&cpus) < 2) {
                fputs("campaign: faults of the host show only where there are two CPUs\n", stderr);
                return false;
        }
        history_init(&history);
        for (uint64_t i = 0; i < seeds; i++) {
                failure_begin(first_seed + i, "--campaign ");
                try_seed(&history, first_seed + i);
                history_rewind(&history, GENERATIONS);
        }
        history_rewind(&history, 0);
        table_cache_free(history.tables);
        struct row sum = print_table();
        uint32_t least = UINT32_MAX;
        for (size_t i = 0; i < CELLS; i++)
                least = MIN(least, totals.cells[i]);
        printf("%" PRIu64 " sweeps (%" PRIu64 " with nothing planted), %d cells, each hit %" PRIu32
               " times or more; false alarms %" PRIu64 ", wrong verdicts %" PRIu64 "\n",
                totals.sweeps, totals.clean, (int)CELLS, least, totals.false_alarms, totals.wrong_verdicts);
        bool has_all = first_seed <= 1 && seeds >= UINT64_C(2) * CELLS; /* later rounds leave out large blocks */
        return sum.detected == sum.planted && percent(sum.class_right, sum.planted) >= 99.9 &&
                sum.extent_right == sum.planted && sum.persistence_right == sum.planted && totals.false_alarms == 0 &&
                totals.wrong_verdicts == 0 && (least > 0 || !has_all);
}
