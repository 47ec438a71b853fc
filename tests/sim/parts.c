/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sweep in parts must come to what it would have come to in one: so each seed makes two disks that are the same, with
 * the same faults, sweeps one without interruption, and cuts the sweep of the other short again and again: paused,
 * killed with some of the last news not durable, or with a power cut that takes what is in the write cache. Then the
 * verdict, the places of the faults and all numbers are compared. A sweep with the strict oracle follows: it looks
 * whether the ledger knows what the parts left on the disk. Every third disk has several devices, each with an extent
 * of it; their sweeps take turns while they are cut short, so that each goes on after the others have written.
 */
#include "parts.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "books.h"
#include "disk.h"
#include "extents.h"
#include "failure.h"
#include "oracle.h"
#include "sim_engine.h"
#include "sim_verifier.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS_MAX = 10, FAULTS_MAX = 4, FOUND_MAX = 4096, PUMPS_MAX = 20000000, GENERATION_LAST = 2 };

enum fate { FATE_END, FATE_PAUSE, FATE_KILL, FATE_POWER_CUT };

/* What a sweep told, in order, as the ledger gets it. */
struct told {
        enum news_kind kind;
        uint64_t sequence, serial;
        bool has_place;
        struct finding fault;
        struct checkpoint checkpoint;
        struct latency_histogram reads;
        bool has_reads;
};

struct found {
        struct finding fault;
        uint64_t serial; /* in the part that runs */
};

/* A device: its sweep, and what the ledger has of that. */
struct lane {
        struct sweep_options options;
        size_t found_count;
        struct found *found; /* by all parts, as far as it is durable */
        struct checkpoint at;
        struct latency_histogram reads;
        bool begun, over;
        unsigned parts;
        uint64_t pumps, running_us;
        bool *looked_at; /* by sector, in the passes that the verdict comes from */
        struct sweep_record record;
};

struct world {
        struct news_port port;
        struct chance chance;
        struct history history;
        struct disk disk;
        struct books books;
        struct oracle oracle;
        struct sim_engine engine;
        struct sim_verifier verifier;
        struct sweep_gauge gauge;
        uint64_t now_us;
        size_t told_count, told_room;
        struct told *told; /* by this part */
        uint64_t rate;     /* bytes a second that sweeps keep to; 0: no limit */
        size_t lane_count;
        struct lane lanes[EXTENTS_MAX];
};

static struct {
        uint64_t seeds, several, fates[FATE_POWER_CUT + 1], resumed[ROUND_COUNT], in_the_middle, fixed, faults, clean;
} totals;

static cpu_set_t cpus;

static bool post(struct news_port *port, const struct news *news) {
        struct world *w = (void *)port; /* its first member */
        bool alive = !w->books.dead;
        struct told told = {
                .kind = news->kind,
                .sequence = news->sequence,
                .serial = news->fault_serial,
                .fault = news->fault,
                .checkpoint = news->checkpoint,
                .has_place = news->kind == NEWS_STARTED || news->kind == NEWS_CHECKPOINT ||
                        (news->kind == NEWS_STAMP && news->mark.clears.length_bytes > 0),
                .has_reads = news->survey != NULL,
        };
        if (news->survey)
                told.reads = news->survey->latency[LATENCY_READ];
        if (!w->books.port.post(&w->books.port, news))
                return false;
        if (!alive)
                return true;
        if (w->told_count == w->told_room) {
                w->told_room = MAX(2 * w->told_room, (size_t)64);
                w->told = reallocarray(w->told, w->told_room, sizeof w->told[0]);
                MUST(w->told, "out of memory");
        }
        w->told[w->told_count++] = told;
        return true;
}

static void make_history(struct world *w) {
        struct history *h = &w->history;
        MUST(table_cache_new(&h->tables, HISTORY_MAX + 1) == 0, "out of memory");
        uint64_t target = chance_next(&w->chance);
        for (size_t i = 0; i <= GENERATION_LAST; i++) {
                uint64_t nonce = chance_next(&w->chance);
                h->of[i] = (struct content){
                        .table = table_cache_get(h->tables, nonce),
                        .stamp = { .mode = MODE_PATTERN,
                                .target_id = target + (i == 0),
                                .generation = i + 3,
                                .nonce = nonce },
                };
        }
        h->count = GENERATION_LAST + 1;
}

/* Faults that last, each in a unit of its own: what they are does not depend on how often they are met. */
static void plant(struct world *w, enum sweep_mode mode) {
        struct chance *c = &w->chance;
        for (uint64_t n = chance_below(c, FAULTS_MAX + 1); n > 0; n--) {
                uint64_t units = w->disk.sectors / UNIT_SECTORS;
                uint64_t first = chance_below(c, units) * UNIT_SECTORS;
                struct shape shape = { .kind = chance_one_in(c, 2) ? SHAPE_ZEROS : SHAPE_FLIPPED, .sectors = 0xff };
                shape.bits = 2;
                if (chance_one_in(c, 3))
                        shape.kind = SHAPE_NOISE; /* which may be somebody's data */
                struct trouble t = {
                        .first = first, .count = UNIT_SECTORS, .left = TROUBLE_ALWAYS, .error = EIO, .shape = shape
                };
                uint64_t kind = chance_below(c, 3);
                if (kind == 0 && mode == MODE_PATTERN) {
                        for (uint64_t i = first; i < first + UNIT_SECTORS; i++)
                                disk_change(&w->disk, i, &shape);
                        continue;
                }
                t.kind = kind == 1 && mode == MODE_PATTERN ? TROUBLE_WRITTEN_AS : TROUBLE_READ_ERROR;
                (void)disk_add_trouble(&w->disk, &t);
        }
}

static void choose_patterns(struct sweep_options *o, struct chance *c) {
        static const uint8_t bytes[] = { 0xaa, 0x00, 0x55 };
        o->patterns.count = (uint8_t)chance_between(c, 1, ELEMENTS(bytes));
        memcpy(o->patterns.bytes, bytes, sizeof bytes);
}

/* Of the first lane, which has the whole disk: as it is, or one for each of several extents. Where the faults are of a
 * disk that is only read, all of them read. */
static void choose_lanes(struct world *w, uint64_t number) {
        struct chance chance = { number }, *c = &chance;
        struct extent extents[EXTENTS_MAX];
        w->lane_count = 1;
        if (!chance_one_in(c, 3))
                return;
        w->lane_count = extents_cut(extents, c, w->disk.sectors);
        for (size_t i = 0; i < w->lane_count; i++) {
                struct lane *lane = &w->lanes[i];
                struct sweep_options *o = &lane->options;
                *o = w->lanes[0].options;
                o->id += i;
                o->started_us += i;
                o->extent = extents[i];
                o->block_bytes = UNIT_BYTES << chance_below(c, 4);
                o->segment_bytes = o->block_bytes * chance_between(c, 1, 12);
                o->patterns.count = 0;
                if (chance_one_in(c, 4))
                        o->mode = MODE_READ;
                if (o->mode == MODE_PATTERN && chance_one_in(c, 2))
                        choose_patterns(o, c);
        }
}

static struct world *world_new(uint64_t seed) {
        struct world *w = calloc(1, sizeof *w);
        MUST(w, "out of memory");
        struct chance *c = &w->chance;
        c->state = layout_mix(seed + 1);
        w->port.post = post;
        make_history(w);
        uint32_t logical = chance_one_in(c, 3) ? UNIT_SECTORS : 1, block = UNIT_BYTES << chance_below(c, 4);
        uint64_t sectors = chance_between(c, 16, 256) * UNIT_SECTORS +
                (logical == 1 ? chance_below(c, UNIT_SECTORS) : 0);
        bool cache = chance_one_in(c, 2);
        disk_init(&w->disk, c, &w->history, sectors, logical, cache, false);
        disk_fill(&w->disk, GENERATION_LAST);
        books_init(&w->books, c, &w->history, &w->disk);
        books_preload(&w->books, GENERATION_LAST);
        oracle_init(&w->oracle, &w->disk, &w->history, &w->books);
        sim_engine_init(&w->engine, &w->disk, &w->books, &w->oracle, c);
        w->oracle.lateness = &w->engine.lateness;
        sim_verifier_init(&w->verifier, c, (unsigned)chance_between(c, 1, 4));
        struct lane *lane = &w->lanes[0];
        lane->options = (struct sweep_options){
                .id = 1,
                .device = "disk",
                .mode = chance_one_in(c, 3) ? MODE_READ : MODE_PATTERN,
                .started_us = 12345,
                .block_bytes = block,
                .segment_bytes = block * chance_between(c, 1, 12),
                .depth = (unsigned)chance_between(c, 1, 16),
                .size_bytes = sectors * SECTOR_BYTES,
                .extent = { 0, sectors * SECTOR_BYTES },
                .logical_block_bytes = logical * SECTOR_BYTES,
                .diskseq = 7,
                .narrow_budget_us = USEC_PER_DAY,
                .slow_after_us = USEC_PER_DAY,
                .engine = &w->engine.engine,
                .verifier = chance_one_in(c, 2) ? &w->verifier.verifier : NULL,
                .news = &w->port,
                .gauge = &w->gauge,
        };
        if (lane->options.mode == MODE_PATTERN && chance_one_in(c, 2))
                choose_patterns(&lane->options, c);
        plant(w, lane->options.mode);
        w->engine.latency_us = chance_one_in(c, 2) ? 400000 : 20000;
        w->books.latency_us = chance_one_in(c, 2) ? 1000 : 400000;
        w->rate = chance_one_in(c, 4) ? sectors * SECTOR_BYTES / chance_between(c, 1, 10) + 1 : 0;
        choose_lanes(w, layout_mix(~seed));
        for (size_t i = 0; i < w->lane_count; i++) {
                lane = &w->lanes[i];
                lane->found = calloc(FOUND_MAX, sizeof lane->found[0]);
                lane->looked_at = calloc(sectors, sizeof lane->looked_at[0]);
                MUST(lane->found && lane->looked_at, "out of memory");
        }
        return w;
}

static void world_free(struct world *w) {
        sim_engine_deinit(&w->engine);
        oracle_deinit(&w->oracle);
        books_deinit(&w->books);
        disk_deinit(&w->disk);
        for (size_t i = 0; i < w->history.count; i++)
                table_unref((struct table *)w->history.of[i].table);
        table_cache_free(w->history.tables);
        for (size_t i = 0; i < w->lane_count; i++) {
                free(w->lanes[i].found);
                free(w->lanes[i].looked_at);
        }
        free(w->told);
        free(w);
}

static void set_clock(struct world *w, uint64_t add_us) {
        w->now_us += add_us;
        w->engine.now_us = w->books.now_us = w->now_us;
}

static void pass_time(struct world *w, const struct sweep *sweep, enum sweep_pumped pumped) {
        uint64_t engine = sim_engine_next_us(&w->engine), books = books_next_us(&w->books), next = MIN(engine, books);
        uint64_t wait = next > w->now_us ? next - w->now_us : 1;
        if (w->verifier.count > 0)
                wait = 1;
        set_clock(w, pumped == SWEEP_BUSY ? chance_below(&w->chance, 50) : MIN(wait, sweep_patience_us(sweep)));
}

/* Pumps until it has ended; after so many pumps its fate strikes. */
static void run(struct world *w, struct lane *lane, struct sweep *sweep, enum fate fate, uint64_t after) {
        bool crashed = false;
        sweep_set_rate(sweep, w->rate);
        for (uint64_t pumps = 0;; pumps++) {
                MUST(pumps < PUMPS_MAX, "it never ends");
                lane->pumps++;
                if (!crashed)
                        books_work(&w->books, sweep);
                if (fate > FATE_PAUSE && pumps == after) {
                        sim_engine_crash(&w->engine);
                        books_crash(&w->books);
                        if (fate == FATE_POWER_CUT)
                                disk_flush(&w->disk, true);
                        crashed = true;
                }
                enum sweep_order order = fate == FATE_END || pumps < after ? SWEEP_RUN : SWEEP_PAUSE;
                w->engine.resting = order == SWEEP_PAUSE;
                enum sweep_pumped pumped = sweep_pump(sweep, order, w->now_us, w->now_us + (UINT64_C(1) << 50));
                if (pumped == SWEEP_ENDED)
                        return;
                pass_time(w, sweep, pumped);
        }
}

static void take_fault(struct lane *lane, const struct told *t) {
        for (size_t i = 0; i < lane->found_count; i++)
                if (lane->found[i].serial == t->serial) {
                        lane->found[i].fault = t->fault;
                        return;
                }
        MUST(lane->found_count < FOUND_MAX, "too many faults");
        lane->found[lane->found_count++] = (struct found){ t->fault, t->serial };
}

/* In order: what was told before something that is durable is durable, too. */
static size_t durable_count(struct world *w, bool killed) {
        if (!killed)
                return w->told_count;
        size_t least = 0, most = w->told_count;
        for (size_t i = 0; i < w->told_count; i++)
                if (w->told[i].sequence > 0 && w->told[i].sequence <= w->books.durable_sequence)
                        least = i + 1;
        for (size_t i = w->told_count; i > least; i--)
                if (w->told[i - 1].sequence > w->books.durable_sequence)
                        most = i - 1;
        return (size_t)chance_between(&w->chance, least, most);
}

static void take_told(struct world *w, struct lane *lane, size_t count) {
        for (size_t i = 0; i < count; i++) {
                const struct told *t = &w->told[i];
                if (t->kind == NEWS_FAULT)
                        take_fault(lane, t);
                if (t->has_place) {
                        lane->at = t->checkpoint;
                        lane->begun = true;
                }
                if (t->has_reads)
                        lane->reads = t->reads;
        }
        w->told_count = 0;
}

/* A pass with a fixed pattern is not what the verdict comes from. */
static void note_looks(const struct world *w, struct lane *lane) {
        if (books_is_fixed(&w->books))
                return;
        for (uint64_t i = 0; i < w->disk.sectors; i++) {
                const struct note *n = &w->oracle.notes[LAYER_READ][i];
                lane->looked_at[i] |= n->delivered || n->failed;
        }
}

static struct sweep_resume *resume_of(struct lane *lane) {
        struct sweep_resume *r;
        MUST(sweep_resume_new(&r) == 0, "out of memory");
        r->from = lane->at;
        r->record.running_us = lane->running_us;
        r->latency[LATENCY_READ] = lane->reads;
        r->finding_count = MIN(lane->found_count, (size_t)RESUME_FINDINGS_MAX);
        r->findings = calloc(r->finding_count + 1, sizeof r->findings[0]);
        MUST(r->findings, "out of memory");
        for (size_t i = 0; i < lane->found_count; i++) {
                lane->found[i].serial = i + 1;
                r->findings[i] = lane->found[i].fault;
        }
        return r;
}

/* True: it is over. */
static bool one_part(struct world *w, struct lane *lane, enum fate fate, uint64_t after) {
        struct sweep_options o = lane->options;
        struct sweep_resume *resume = lane->begun ? resume_of(lane) : NULL;
        for (size_t i = 0; i < ELEMENTS(o.random); i++)
                o.random[i] = chance_next(&w->chance);
        o.resume = resume;
        if (resume) {
                totals.resumed[lane->at.round]++;
                totals.in_the_middle += lane->at.at_bytes > o.extent.offset_bytes;
                totals.fixed += lane->at.round == ROUND_SWEEP && lane->at.pass < o.patterns.count;
        }
        books_begin_sweep(&w->books, o.id, o.extent);
        oracle_begin_sweep(&w->oracle, o.mode, false, (struct extent){ 0 }, o.narrow_budget_us);
        w->oracle.block_bytes = o.block_bytes;
        w->oracle.has_patience = true;
        sim_engine_begin_sweep(&w->engine, o.depth);
        w->engine.lateness.spot_count = 0; /* nothing is late */
        set_clock(w, USEC_PER_HOUR);
        o.target = books_target(&w->books);
        struct sweep *sweep;
        MUST(sweep_new(&sweep, &o) == 0, "sweep_new");
        sweep_resume_free(resume);
        w->engine.sweep = sweep;
        run(w, lane, sweep, fate, after);
        bool over = sweep_record(sweep)->end != END_NONE, killed = w->books.dead;
        MUST(over || sweep_is_suspended(sweep), "it ended without an end");
        take_told(w, lane, durable_count(w, killed));
        if (!killed) {
                lane->at = sweep_checkpoint(sweep);
                lane->record = *sweep_record(sweep);
                lane->running_us = lane->record.running_us;
        }
        if (!killed) {
                struct survey *survey = sweep_survey(sweep);
                MUST(survey, "out of memory");
                lane->reads = survey->latency[LATENCY_READ];
                free(survey);
        }
        note_looks(w, lane);
        books_crash(&w->books);
        sweep_free(sweep);
        return over && !killed;
}

/* Damage under writes that were cut short has another name: of what a unit held not all is left. */
static uint32_t class_of(enum fault fault) {
        bool data = fault >= FAULT_BIT_FLIP && fault <= FAULT_GARBAGE;
        return (uint32_t)BIT(data ? FAULT_GARBAGE : fault);
}

/* What was repaired, or there for a moment, in parts was so in one piece, too. */
static void check_passing(const struct lane *one, const struct lane *parts) {
        for (size_t i = 0; i < parts->found_count; i++) {
                const struct finding *f = &parts->found[i].fault;
                bool right = f->persistence != PERSISTENCE_REPAIRED && f->persistence != PERSISTENCE_TRANSIENT;
                for (size_t k = 0; k < one->found_count; k++) {
                        const struct finding *other = &one->found[k].fault;
                        right |= other->persistence == f->persistence && extent_overlaps(f->place, other->place);
                }
                MUST(right, "sector %" PRIu64 ": what lasts was called %s", f->place.offset_bytes / SECTOR_BYTES,
                        persistence_name(f->persistence));
        }
}

/* known: what is bad, by a sweep that could look closer; a place that was told whole, for want of time, is somewhere
 * in it. NULL: as it was told. */
static void fill_faults(const struct lane *lane, uint32_t *faults, const uint32_t *known) {
        for (size_t i = 0; i < lane->found_count; i++) {
                const struct finding *f = &lane->found[i].fault;
                MUST(extent_contains(lane->options.extent, f->place),
                        "sector %" PRIu64 ": a finding outside of the extent", f->place.offset_bytes / SECTOR_BYTES);
                const uint32_t *within = strstr(f->detail.lines, "narrowed=no") ? known : NULL;
                bool any = !within;
                for (uint64_t k = f->place.offset_bytes; k < extent_end(f->place); k += SECTOR_BYTES) {
                        uint32_t bad = within ? within[k / SECTOR_BYTES] : UINT32_MAX;
                        faults[k / SECTOR_BYTES] |= class_of(f->fault) & bad;
                        any |= class_of(f->fault) & bad;
                }
                MUST(any, "sector %" PRIu64 ": a false finding, of a place that was not narrowed down",
                        f->place.offset_bytes / SECTOR_BYTES);
        }
}

static void show(const char *who, const struct finding *f) {
        story("  %s: %s, %s, at sector %" PRIu64 ", %" PRIu64 " of them: %s", who, fault_name(f->fault),
                persistence_name(f->persistence), f->place.offset_bytes / SECTOR_BYTES,
                f->place.length_bytes / SECTOR_BYTES, f->text);
}

static void compare(const struct lane *one, const struct lane *parts) {
        const struct extent extent = one->options.extent;
        uint64_t sectors = one->options.size_bytes / SECTOR_BYTES;
        CLEANUP_FREE uint32_t *expected = calloc(sectors, sizeof *expected);
        CLEANUP_FREE uint32_t *got = calloc(sectors, sizeof *got);
        MUST(expected && got, "out of memory");
        for (size_t i = 0; i < one->found_count; i++)
                show("one", &one->found[i].fault);
        for (size_t i = 0; i < parts->found_count; i++)
                show("parts", &parts->found[i].fault);
        fill_faults(one, expected, NULL);
        fill_faults(parts, got, expected);
        for (uint64_t i = extent.offset_bytes / SECTOR_BYTES; i < extent_end(extent) / SECTOR_BYTES; i++) {
                MUST(!(got[i] & ~expected[i]), "sector %" PRIu64 ": a false finding, %" PRIx32 " for %" PRIx32, i,
                        got[i], expected[i]);
                MUST(got[i] == expected[i], "sector %" PRIu64 ": a fault was missed, %" PRIx32 " for %" PRIx32, i,
                        got[i], expected[i]);
                MUST(parts->looked_at[i], "sector %" PRIu64 " was never looked at", i);
        }
        check_passing(one, parts);
        const struct sweep_record *a = &one->record, *b = &parts->record;
        MUST(a->end == END_FINISHED && b->end == END_FINISHED, "ended %d and %d", a->end, b->end);
        MUST(a->verdict == b->verdict && a->assurance == b->assurance, "the verdict is %s, not %s",
                verdict_name(b->verdict), verdict_name(a->verdict));
        MUST(memcmp(&a->bytes, &b->bytes, sizeof a->bytes) == 0,
                "total %" PRIu64 " read %" PRIu64 " written %" PRIu64 " verified %" PRIu64 ", not %" PRIu64 " %" PRIu64
                " %" PRIu64 " %" PRIu64,
                b->bytes.total, b->bytes.read, b->bytes.written, b->bytes.verified, a->bytes.total, a->bytes.read,
                a->bytes.written, a->bytes.verified);
        MUST(a->stamps_seen == b->stamps_seen, "%" PRIu64 " stamps seen, not %" PRIu64, b->stamps_seen, a->stamps_seen);
        if (a->mode == MODE_READ && one->found_count == 0)
                MUST(one->reads.count <= parts->reads.count, "%" PRIu64 " reads measured, not %" PRIu64,
                        parts->reads.count, one->reads.count);
        totals.clean += a->verdict == VERDICT_CLEAN;
        totals.faults += one->found_count;
}

/* What the parts left: the ledger knows it, and the strict oracle has the say. */
static void sweep_once_more(struct world *w, struct lane *lane) {
        struct sweep_options o = lane->options;
        o.started_us += EXTENTS_MAX;
        o.patterns.count = 0;
        for (size_t i = 0; i < ELEMENTS(o.random); i++)
                o.random[i] = chance_next(&w->chance);
        books_begin_sweep(&w->books, o.id, o.extent);
        oracle_begin_sweep(&w->oracle, o.mode, false, (struct extent){ 0 }, o.narrow_budget_us);
        sim_engine_begin_sweep(&w->engine, o.depth);
        w->engine.lateness.spot_count = 0; /* nothing is late */
        set_clock(w, USEC_PER_HOUR);
        o.target = books_target(&w->books);
        struct sweep *sweep;
        MUST(sweep_new(&sweep, &o) == 0, "sweep_new");
        w->engine.sweep = sweep;
        run(w, lane, sweep, FATE_END, 0);
        oracle_judge(&w->oracle, sweep);
        books_crash(&w->books); /* what nobody waits for any more */
        sweep_free(sweep);
}

/* pumps: what it took in one piece. */
static void next_part(struct world *w, struct lane *lane, uint64_t pumps) {
        struct chance *c = &w->chance;
        enum fate fate = lane->parts < PARTS_MAX / w->lane_count
                ? (enum fate)chance_between(c, FATE_PAUSE, FATE_POWER_CUT)
                : FATE_END;
        uint64_t after = chance_below(c, pumps / chance_between(c, 1, 4) + 1);
        story("sweep %" PRIu64 ", part %u, fate %d after %" PRIu64 " pumps, at %" PRIu64 " of round %d",
                lane->options.id, lane->parts, fate, after, lane->at.at_bytes, lane->at.round);
        lane->over = one_part(w, lane, fate, after);
        lane->parts++;
        totals.fates[fate]++;
}

/* The sweeps take turns; which one is next is up to chance. */
static void sweep_in_parts(struct world *w, const struct world *one) {
        for (size_t left = w->lane_count, next = 0; left > 0;) {
                if (w->lane_count > 1)
                        next = chance_below(&w->chance, w->lane_count);
                if (w->lanes[next].over)
                        continue;
                next_part(w, &w->lanes[next], one->lanes[next].pumps);
                left -= w->lanes[next].over;
        }
}

static void try_seed(uint64_t seed) {
        failure_begin(seed, "--parts ");
        struct world *one = world_new(seed), *parts = world_new(seed);
        for (size_t i = 0; i < one->lane_count; i++)
                MUST(one_part(one, &one->lanes[i], FATE_END, 0), "it did not end");
        parts->chance.state ^= UINT64_C(0x5eed);
        sweep_in_parts(parts, one);
        for (size_t i = 0; i < one->lane_count; i++)
                compare(&one->lanes[i], &parts->lanes[i]);
        for (size_t i = 0; i < one->lane_count; i++)
                sweep_once_more(parts, &parts->lanes[i]);
        totals.several += one->lane_count > 1;
        world_free(one);
        world_free(parts);
        totals.seeds++;
}

bool parts_run(uint64_t first_seed, uint64_t seeds) {
        MUST(cpus_of_this_thread(&cpus) == 0, "sched_getaffinity");
        MUST(cpus_pin_this_thread(cpus_nth(&cpus, 0)) == 0, "sched_setaffinity");
        for (uint64_t i = 0; i < seeds; i++)
                try_seed(first_seed + i);
        printf("disks %" PRIu64 " (of several extents %" PRIu64 ", sweeps clean %" PRIu64 "), faults %" PRIu64
               "; paused %" PRIu64 ", killed %" PRIu64 ", power cut %" PRIu64
               "; gone on with in the retention pass %" PRIu64 ", later %" PRIu64 ", of those in the middle %" PRIu64
               ", with patterns left %" PRIu64 "\n",
                totals.seeds, totals.several, totals.clean, totals.faults, totals.fates[FATE_PAUSE],
                totals.fates[FATE_KILL], totals.fates[FATE_POWER_CUT], totals.resumed[ROUND_CHECK],
                totals.resumed[ROUND_SWEEP], totals.in_the_middle, totals.fixed);
        return true;
}
