/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real sweep on a simulated disk, with a simulated ledger and verifier, on one thread and in simulated time: one
 * number decides all that happens, so what went wrong once goes wrong again. Each seed is the life of one disk: a few
 * sweeps, with faults in between and in the middle. A simulation that is too tame proves nothing, so --statistics tells
 * what happened how often.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "books.h"
#include "campaign.h"
#include "disk.h"
#include "extents.h"
#include "failure.h"
#include "oracle.h"
#include "parts.h"
#include "sim_engine.h"
#include "sim_verifier.h"
#include "sweep/sweep_private.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SWEEPS_MAX = 4, TABLES = HISTORY_MAX + 1, PUMPS_MAX = 20000000, IDLE_MAX = 40 };

static uint64_t seed;
static const char *replay_option = "";
static bool verbose;
static cpu_set_t cpus; /* that this process may use */

void failure_begin(uint64_t number, const char *option) {
        seed = number;
        replay_option = option;
}

void failure(const char *format, ...) {
        va_list arguments;
        va_start(arguments, format);
        fprintf(stderr, "seed %" PRIu64 ": ", seed);
        vfprintf(stderr, format, arguments);
        fprintf(stderr, "\nreplay: simulate %s--verbose --seed %" PRIu64 "\n", replay_option, seed);
        va_end(arguments);
        _exit(EXIT_FAILURE);
}

void story(const char *format, ...) {
        if (!verbose)
                return;
        va_list arguments;
        va_start(arguments, format);
        vprintf(format, arguments);
        va_end(arguments);
        putchar('\n');
        fflush(stdout);
}

/* A failed assertion of the sweep: its own text has been printed. */
static void on_abort(int number) {
        failure("signal %d", number);
}

enum event_kind {
        EVENT_DAMAGE,
        EVENT_TROUBLE,
        EVENT_CANCEL,
        EVENT_STOP,
        EVENT_KILL,
        EVENT_POWER_CUT,
        EVENT_GONE,
        EVENT_REPLACED,
        EVENT_RESIZED,
        EVENT_READ_ONLY,
        EVENT_KINDS
};

/* What happens in the middle of a sweep, when so many requests were submitted. */
struct event {
        enum event_kind kind;
        uint64_t at;
};

struct statistics {
        uint64_t seeds, sweeps, reads, ends[END_COUNT], verdicts[VERDICT_COUNT], refused, crashes, adopted, findings,
                paced, yielded;
        uint64_t faults[FAULT_COUNT], transient, events[EVENT_KINDS], bytes, of_parts;
};

static struct statistics statistics;

struct simulation {
        struct chance chance;
        struct history history;
        struct disk disk;
        struct books books;
        struct oracle oracle;
        struct sim_engine engine;
        struct sim_verifier verifier;
        uint64_t now_us;
        bool calm; /* no faults at all: whatever is told is a lie */
        bool refused_foreign;
        struct chance extent_chance; /* so that a disk is what it is, whatever parts of it are swept */
        size_t extent_count;
        struct extent extents[EXTENTS_MAX];
        /* of the sweep that runs */
        struct sweep *sweep;
        struct sweep_gauge gauge;
        struct progress progress;
        enum sweep_order order;
        size_t event_count;
        struct event events[3];
        bool crashed;
};

static uint64_t a_size(struct chance *c, uint32_t logical_sectors) {
        uint64_t sectors = chance_one_in(c, 8) ? chance_between(c, 1, 400)
                : chance_one_in(c, 12)         ? chance_between(c, 2048, 8000)
                                               : chance_between(c, 128, 2048);
        return MAX(sectors / logical_sectors, 1) * logical_sectors;
}

/* What the devices of this disk are: one with all of it, or several with a part each. */
static void choose_extents(struct simulation *s) {
        struct chance *c = &s->extent_chance;
        c->state = layout_mix(~s->chance.state);
        s->extent_count = 1;
        s->extents[0] = (struct extent){ 0, s->disk.sectors * SECTOR_BYTES };
        if (!chance_one_in(c, 3))
                return;
        s->extent_count = extents_cut(s->extents, c, s->disk.sectors);
        for (size_t i = 0; i < s->extent_count; i++)
                story("extent of %" PRIu64 " sectors at %" PRIu64, s->extents[i].length_bytes / SECTOR_BYTES,
                        s->extents[i].offset_bytes / SECTOR_BYTES);
}

static void simulation_init(struct simulation *s) {
        struct chance *c = &s->chance;
        MUST(table_cache_new(&s->history.tables, TABLES) == 0, "out of memory");
        uint64_t nonce = chance_next(c);
        s->history.of[0] = (struct content){
                .table = table_cache_get(s->history.tables, nonce),
                .stamp = { .mode = MODE_PATTERN, .target_id = chance_next(c), .generation = 3, .nonce = nonce },
        };
        s->history.count = 1;
        s->calm = chance_one_in(c, 5);
        s->now_us = chance_below(c, UINT64_C(1) << 40);
        uint32_t logical = chance_one_in(c, 3) ? UNIT_SECTORS : 1;
        uint64_t sectors = a_size(c, logical);
        bool has_cache = chance_one_in(c, 2), noise = chance_one_in(c, 2);
        disk_init(&s->disk, c, &s->history, sectors, logical, has_cache, noise);
        books_init(&s->books, c, &s->history, &s->disk);
        oracle_init(&s->oracle, &s->disk, &s->history, &s->books);
        sim_engine_init(&s->engine, &s->disk, &s->books, &s->oracle, c);
        s->oracle.lateness = &s->engine.lateness;
        sim_verifier_init(&s->verifier, c, (unsigned)chance_between(c, 1, 4));
        story("disk of %" PRIu64 " sectors, logical %" PRIu32 "%s%s%s", sectors, logical, has_cache ? ", cache" : "",
                noise ? ", in use before" : "", s->calm ? ", calm" : "");
        choose_extents(s);
}

static void simulation_deinit(struct simulation *s) {
        sim_engine_deinit(&s->engine);
        oracle_deinit(&s->oracle);
        books_deinit(&s->books);
        disk_deinit(&s->disk);
        for (size_t i = 0; i < s->history.count; i++)
                table_unref((struct table *)s->history.of[i].table);
        table_cache_free(s->history.tables);
}

static int an_error(struct chance *c, bool fatal_too) {
        static const int errors[] = { EIO, EIO, ENODATA, EILSEQ, ETIMEDOUT, ENOLINK, ENOMEM, EAGAIN, EINTR },
                         fatal[] = { ENOSPC, EBADE, EROFS, EPERM, ENODEV };
        if (fatal_too && chance_one_in(c, 12))
                return fatal[chance_below(c, ELEMENTS(fatal))];
        return errors[chance_below(c, ELEMENTS(errors))];
}

static struct shape a_shape(struct simulation *s) {
        struct chance *c = &s->chance;
        return (struct shape){
                .kind = chance_below(c, SHAPE_WRITTEN + 1),
                .sectors = chance_one_in(c, 2) ? 0xff : (uint8_t)chance_next(c),
                .bits = (uint16_t)chance_between(c, 1, 300),
                .generation = chance_below(c, s->history.count),
                .shift = chance_one_in(c, 2) ? 0 : chance_below(c, 64) * UNIT_SECTORS,
        };
}

static void add_trouble(struct simulation *s) {
        struct chance *c = &s->chance;
        struct trouble t = {
                .kind = (enum trouble_kind)chance_below(c, TROUBLE_FLUSH_ERROR + 1),
                .shape = a_shape(s),
                .first = disk_some_place(&s->disk),
                .count = chance_one_in(c, 3) ? chance_between(c, 1, 40) : chance_between(c, 1, 3),
                .bits = (uint16_t)(chance_one_in(c, 3) ? chance_between(c, 1, 300) : chance_between(c, 1, 3)),
                .error = an_error(c, true),
                .heals = chance_one_in(c, 2),
        };
        bool by_units = chance_one_in(c, 2);
        if (by_units) {
                t.first = t.first / UNIT_SECTORS * UNIT_SECTORS;
                t.count = (t.count + UNIT_SECTORS - 1) / UNIT_SECTORS * UNIT_SECTORS;
        }
        t.shift = (int64_t)chance_between(c, 1, 60) * (chance_one_in(c, 2) ? 1 : -1);
        if (by_units)
                t.shift *= UNIT_SECTORS;
        if (s->disk.sectors > TABLE_SECTORS && chance_one_in(c, 2)) /* where all but the marks is the same */
                t.shift = t.shift < 0 ? -TABLE_SECTORS : TABLE_SECTORS;
        t.left = (uint32_t)(chance_one_in(c, 2) ? t.count : chance_between(c, 1, 4));
        bool ours = t.error == ENOMEM || t.error == EAGAIN || t.error == EINTR;
        if (t.kind >= TROUBLE_READ_ERROR && t.kind <= TROUBLE_WRITE_ERROR && chance_one_in(c, 2))
                t.left = TROUBLE_ALWAYS;
        if (t.kind >= TROUBLE_READ_ERROR && ours)
                t.left = chance_one_in(c, 20) ? TROUBLE_ALWAYS : (uint32_t)chance_between(c, 1, 40);
        if (t.kind >= TROUBLE_PHANTOM && chance_one_in(c, 2))
                t.skip = (uint32_t)chance_between(c, 1, 4);
        if (disk_add_trouble(&s->disk, &t))
                story("trouble %d at sector %" PRIu64 ", %" PRIu64 " of them, left %" PRIu32 ", errno %d", t.kind,
                        t.first, t.count, t.left, t.error);
}

/* What may happen to a disk and its ledger while no sweep runs. */
static void between_sweeps(struct simulation *s) {
        struct chance *c = &s->chance;
        bool stamped = s->books.ledger.target_id != 0;
        if (chance_one_in(c, 3))
                disk_flush(&s->disk, false);
        for (size_t i = 0; i < s->disk.trouble_count; i++)
                if (chance_one_in(c, 3))
                        s->disk.troubles[i].left = 0;
        if (chance_one_in(c, 10))
                books_keep_copy(&s->books);
        if (s->calm)
                return;
        if (chance_one_in(c, 2))
                disk_damage(&s->disk, stamped && chance_one_in(c, 6));
        if (chance_one_in(c, 15)) {
                uint64_t first = chance_below(c, s->disk.sectors), count = chance_between(c, 1, s->disk.sectors);
                disk_scribble(&s->disk, first, count);
                story("somebody writes %" PRIu64 " sectors from %" PRIu64, count, first);
        }
        if (chance_one_in(c, 12)) {
                books_lose(&s->books);
                story("the ledger is lost");
        } else if (chance_one_in(c, 12)) {
                books_restore_copy(&s->books);
                story("an old copy of the ledger comes back");
        }
        for (uint64_t n = chance_below(c, 4); n > 0; n--)
                add_trouble(s);
}

static void plan_events(struct simulation *s, uint64_t requests) {
        struct chance *c = &s->chance;
        s->event_count = 0;
        if (chance_one_in(c, 2))
                return;
        for (uint64_t n = chance_between(c, 1, ELEMENTS(s->events)); n > 0; n--) {
                enum event_kind kind = (enum event_kind)chance_below(c, EVENT_KINDS);
                if (s->calm && kind != EVENT_CANCEL && kind != EVENT_STOP && kind != EVENT_KILL)
                        continue;
                if (kind >= EVENT_GONE && chance_one_in(c, 2))
                        kind = chance_one_in(c, 2) ? EVENT_DAMAGE : EVENT_TROUBLE;
                s->events[s->event_count++] = (struct event){ kind, chance_below(c, requests + 1) };
        }
}

static void happen(struct simulation *s, enum event_kind kind) {
        struct engine_look *look = &s->engine.look;
        statistics.events[kind]++;
        story("event %d after %" PRIu64 " requests", kind, s->engine.submitted);
        switch (kind) {
        case EVENT_DAMAGE:
                disk_damage(&s->disk, false);
                return;
        case EVENT_TROUBLE:
                add_trouble(s);
                return;
        case EVENT_CANCEL:
                s->order = SWEEP_CANCEL;
                return;
        case EVENT_STOP:
                s->order = SWEEP_STOP;
                return;
        case EVENT_KILL:
        case EVENT_POWER_CUT:
                sim_engine_crash(&s->engine);
                books_crash(&s->books);
                if (kind == EVENT_POWER_CUT)
                        disk_flush(&s->disk, true);
                s->crashed = true;
                return;
        case EVENT_GONE:
                look->gone = true;
                break;
        case EVENT_REPLACED:
                look->diskseq++;
                break;
        case EVENT_RESIZED:
                look->size_bytes += UNIT_BYTES;
                break;
        case EVENT_READ_ONLY:
        case EVENT_KINDS:
                if (s->oracle.mode == MODE_READ)
                        return;
                look->read_only = true;
                break;
        }
        s->engine.look_changed = s->oracle.has_event = true;
}

static void check_gauge(struct simulation *s) {
        struct progress now, before = s->progress;
        sweep_gauge_read(&s->gauge, &now);
        MUST(now.bytes.verified <= now.bytes.read && now.bytes_done <= now.bytes.total, "progress makes no sense");
        MUST(now.bytes.verified >= before.bytes.verified && now.bytes.read >= before.bytes.read &&
                        now.bytes.written >= before.bytes.written && now.bytes_done >= before.bytes_done,
                "progress goes back");
        s->progress = now;
}

/* How long nothing can happen. */
static uint64_t wait_us(const struct simulation *s) {
        uint64_t engine = sim_engine_next_us(&s->engine), books = books_next_us(&s->books), next = MIN(engine, books);
        uint64_t wait = next > s->now_us ? next - s->now_us : 1;
        return s->verifier.count > 0 ? 1 : MIN(wait, sweep_patience_us(s->sweep));
}

static bool waits_for_its_time(const struct simulation *s) {
        const struct sweep *sweep = s->sweep;
        return sweep->unsent_count > 0 && pace_next_us(&sweep->pacing.pace, s->now_us) > s->now_us;
}

static void set_clock(struct simulation *s, uint64_t add_us) {
        s->now_us += add_us;
        s->engine.now_us = s->books.now_us = s->now_us;
}

static void run_to_the_end(struct simulation *s) {
        unsigned idle = 0;
        for (uint64_t pumps = 0;; pumps++) {
                MUST(pumps < PUMPS_MAX, "it never ends");
                if (!s->crashed)
                        books_work(&s->books, s->sweep);
                for (size_t i = 0; i < s->event_count && !s->crashed; i++)
                        if (s->engine.submitted >= s->events[i].at) {
                                enum event_kind kind = s->events[i].kind;
                                s->events[i] = s->events[--s->event_count];
                                happen(s, kind);
                        }
                enum sweep_order order = s->crashed ? SWEEP_STOP : s->order;
                enum sweep_pumped pumped = sweep_pump(s->sweep, order, s->now_us, s->now_us + (UINT64_C(1) << 50));
                check_gauge(s);
                if (pumped == SWEEP_ENDED)
                        return;
                bool pending = s->engine.flight_count > 0 || s->verifier.count > 0 ||
                        books_next_us(&s->books) != UINT64_MAX || waits_for_its_time(s);
                idle = pumped == SWEEP_BUSY || pending ? 0 : idle + 1;
                MUST(idle < IDLE_MAX, "it waits for nothing");
                set_clock(s, pumped == SWEEP_BUSY ? chance_below(&s->chance, 50) : wait_us(s));
        }
}

static struct sweep_options some_options(struct simulation *s, uint64_t id) {
        struct chance *c = &s->chance;
        uint32_t block = UNIT_BYTES << chance_below(c, 5);
        if (chance_one_in(c, 40))
                block = 1 << 20;
        struct extent extent = s->extents[chance_below(&s->extent_chance, s->extent_count)];
        uint64_t blocks = (extent.length_bytes + block - 1) / block;
        struct sweep_options o = {
                .id = id,
                .device = "disk",
                .mode = chance_one_in(c, 4) ? MODE_READ : MODE_PATTERN,
                .overwrite = chance_one_in(c, 25) || (s->refused_foreign && chance_one_in(c, 2)),
                .started_us = s->now_us + id,
                .block_bytes = block,
                .segment_bytes = block * chance_between(c, 1, chance_one_in(c, 2) ? blocks + 1 : MIN(blocks, 8)),
                .depth = (unsigned)(chance_one_in(c, 4) ? 1 : chance_between(c, 1, 32)),
                .size_bytes = s->disk.sectors * SECTOR_BYTES,
                .extent = extent,
                .logical_block_bytes = s->disk.logical_sectors * SECTOR_BYTES,
                .diskseq = 7,
                .narrow_budget_us = chance_one_in(c, 10) ? chance_below(c, 5000) : 100 * USEC_PER_SEC,
                .slow_after_us = LATENESS_SLOW_AFTER_US,
                .yield = !chance_one_in(c, 3),
                .in_use = chance_one_in(c, 8),
                .rate_min = chance_one_in(c, 4) ? extent.length_bytes / chance_between(c, 1, 60) : 0,
                .random = { chance_next(c), chance_next(c), chance_next(c) },
                .engine = &s->engine.engine,
                .verifier = chance_one_in(c, 2) ? &s->verifier.verifier : NULL,
                .news = &s->books.port,
                .gauge = &s->gauge,
        };
        return o;
}

static struct extent a_suspect(struct simulation *s, enum sweep_mode mode) {
        struct chance *c = &s->chance;
        if (mode == MODE_READ || !chance_one_in(c, s->books.ledger.ranges.count > 0 ? 3 : 50))
                return (struct extent){ 0 };
        uint64_t size = s->disk.sectors * SECTOR_BYTES;
        uint64_t first = disk_some_place(&s->disk) / UNIT_SECTORS * UNIT_BYTES;
        uint64_t length = chance_between(c, 1, 5) * UNIT_BYTES;
        return (struct extent){ first, MIN(length, size - first) };
}

static void set_manners(struct simulation *s) {
        struct chance *c = &s->chance;
        struct sim_engine *e = &s->engine;
        e->latency_us = chance_one_in(c, 3) ? 10 : 5000;
        e->slow_one_in = chance_one_in(c, 4) ? 50 : 0;
        e->short_one_in = chance_one_in(c, 3) ? 4 : 0;
        e->odd_one_in = !s->calm && chance_one_in(c, 12) ? 50 : 0;
        e->refuse_one_in = !s->calm && chance_one_in(c, 8) ? 40 : 0;
        s->books.latency_us = chance_one_in(c, 2) ? 1000 : 400000;
        s->books.full_one_in = chance_one_in(c, 3) ? 4 : 0;
        s->books.fail_after = !s->calm && chance_one_in(c, 25) ? (unsigned)chance_between(c, 1, 6) : 0;
}

static void count(const struct simulation *s) {
        const struct sweep_record *r = sweep_record(s->sweep);
        statistics.sweeps++;
        statistics.reads += r->mode == MODE_READ;
        statistics.of_parts += s->oracle.extent.length_bytes < s->disk.sectors * SECTOR_BYTES;
        statistics.paced += s->engine.others.rate > 0;
        statistics.yielded += s->engine.others.bursts_met > 0;
        statistics.crashes += s->crashed;
        if (s->crashed)
                return;
        statistics.ends[r->end]++;
        statistics.verdicts[r->verdict]++;
        statistics.refused += sweep_was_refused(s->sweep);
        statistics.adopted += s->books.adopted;
        statistics.findings += s->books.run_count;
        statistics.bytes += r->bytes.read + r->bytes.written;
        for (size_t i = 0; i < s->books.run_count; i++) {
                statistics.faults[s->books.runs[i].fault.fault]++;
                statistics.transient += s->books.runs[i].fault.persistence == PERSISTENCE_TRANSIENT;
        }
}

static void tell(const struct simulation *s) {
        const struct sweep_record *r = sweep_record(s->sweep);
        for (size_t i = 0; i < s->books.run_count; i++) {
                const struct finding *f = &s->books.runs[i].fault;
                story("  %s, %s, at sector %" PRIu64 ", %" PRIu64 " of them: %s", fault_name(f->fault),
                        persistence_name(f->persistence), f->place.offset_bytes / SECTOR_BYTES,
                        f->place.length_bytes / SECTOR_BYTES, f->text);
        }
        story("%sended %s, %s, %s %s", s->books.adopted ? "adopted, " : "", sweep_end_name(r->end),
                verdict_name(r->verdict), r->reason.rule, r->reason.found);
}

/* Others come in bursts, and the rate is one at which it takes some seconds. */
static void set_pace(struct simulation *s, const struct sweep_options *o) {
        struct chance *c = &s->chance;
        uint64_t rate = chance_one_in(c, 4) ? o->extent.length_bytes / chance_between(c, 1, 20) + 1 : 0;
        s->engine.yields = o->yield;
        others_begin_sweep(&s->engine.others, c, chance_one_in(c, 4), rate, s->now_us);
        sweep_set_rate(s->sweep, rate);
}

static void one_sweep(struct simulation *s, uint64_t id) {
        struct sweep_options o = some_options(s, id);
        struct extent place = a_suspect(s, o.mode);
        struct sweep_suspect suspect = { .type = "ext4", .place = place };
        o.suspects = &suspect;
        o.suspect_count = place.length_bytes > 0;
        set_manners(s);
        plan_events(s, 4 * (o.extent.length_bytes / o.block_bytes + 1));
        books_begin_sweep(&s->books, id, o.extent);
        oracle_begin_sweep(&s->oracle, o.mode, o.overwrite, place, o.narrow_budget_us);
        s->oracle.block_bytes = o.block_bytes;
        s->oracle.has_patience = o.narrow_budget_us > USEC_PER_SEC;
        sim_engine_begin_sweep(&s->engine, o.depth);
        memset(&s->gauge, 0, sizeof s->gauge);
        s->progress = (struct progress){ 0 };
        s->order = SWEEP_RUN;
        s->crashed = false;
        set_clock(s, 0);
        story("sweep %" PRIu64 " of sector %" PRIu64 " and on, %s, block %" PRIu32 ", segment %" PRIu64
              ", depth %u%s%s",
                id, o.extent.offset_bytes / SECTOR_BYTES, sweep_mode_name(o.mode), o.block_bytes, o.segment_bytes,
                o.depth, o.overwrite ? ", overwrite" : "", o.suspect_count ? ", suspect" : "");
        o.target = books_target(&s->books);
        MUST(sweep_new(&s->sweep, &o) == 0, "sweep_new");
        s->engine.sweep = s->sweep;
        set_pace(s, &o);
        run_to_the_end(s);
        tell(s);
        count(s);
        if (!s->crashed)
                oracle_judge(&s->oracle, s->sweep);
        books_crash(&s->books); /* what was still under way; a daemon would go on and make all of it durable */
        s->refused_foreign = sweep_was_refused(s->sweep);
        s->sweep = sweep_free(s->sweep);
}

/* Bad blocks are compared on another CPU too. Getting there takes longer than all the rest, so few seeds may. */
static void choose_cpus(struct chance *c) {
        int r = chance_one_in(c, 16) ? cpus_allow_this_thread(&cpus)
                                     : cpus_pin_this_thread(cpus_nth(&cpus, chance_below(c, 64)));
        MUST(r == 0, "sched_setaffinity");
}

static void simulate(uint64_t number) {
        struct simulation *s = calloc(1, sizeof *s);
        MUST(s, "out of memory");
        failure_begin(number, "");
        s->chance.state = layout_mix(number + 1);
        choose_cpus(&s->chance);
        simulation_init(s);
        for (uint64_t id = 1, sweeps = chance_between(&s->chance, 1, SWEEPS_MAX); id <= sweeps; id++) {
                one_sweep(s, id);
                between_sweeps(s);
                set_clock(s, chance_below(&s->chance, USEC_PER_DAY));
        }
        simulation_deinit(s);
        free(s);
        statistics.seeds++;
}

static void print_statistics(void) {
        const struct statistics *t = &statistics;
        printf("seeds %" PRIu64 ", sweeps %" PRIu64 " (mode read %" PRIu64 ", of a part %" PRIu64 "), GiB %.1f\n",
                t->seeds, t->sweeps, t->reads, t->of_parts, (double)t->bytes / (1 << 30));
        printf("finished %" PRIu64 ", cancelled %" PRIu64 ", failed %" PRIu64 " (refused %" PRIu64 "), stopped %" PRIu64
               ", crashed %" PRIu64 ", adopted %" PRIu64 "\n",
                t->ends[END_FINISHED], t->ends[END_CANCELLED], t->ends[END_FAILED], t->refused, t->ends[END_KILLED],
                t->crashes, t->adopted);
        printf("at a rate %" PRIu64 ", beside others %" PRIu64 "\n", t->paced, t->yielded);
        printf("clean %" PRIu64 ", faulty %" PRIu64 ", incomplete %" PRIu64 "; findings %" PRIu64 " (transient %" PRIu64
               "):",
                t->verdicts[VERDICT_CLEAN], t->verdicts[VERDICT_FAULTY], t->verdicts[VERDICT_INCOMPLETE], t->findings,
                t->transient);
        for (size_t i = 0; i < FAULT_COUNT; i++)
                printf(" %s %" PRIu64, fault_name((enum fault)i), t->faults[i]);
        putchar('\n');
}

static _Noreturn void usage(int status) {
        fputs("Usage: simulate [--campaign | --parts] [--seeds COUNT] [--first SEED] [--seed SEED] [--verbose] [--statistics]\n",
                status == 0 ? stdout : stderr);
        exit(status);
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "seeds", required_argument, NULL, 'n' },
                { "first", required_argument, NULL, 'f' },
                { "seed", required_argument, NULL, 's' },
                { "verbose", no_argument, NULL, 'v' },
                { "statistics", no_argument, NULL, 't' },
                { "campaign", no_argument, NULL, 'c' },
                { "parts", no_argument, NULL, 'p' },
                { "help", no_argument, NULL, 'h' },
                { 0 },
        };
        uint64_t first = 1, seeds = 100;
        bool wants_statistics = false, is_campaign = false, is_parts = false;
        for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
                switch (option) {
                case 'n':
                        seeds = strtoull(optarg, NULL, 10);
                        break;
                case 'f':
                        first = strtoull(optarg, NULL, 10);
                        break;
                case 's':
                        first = strtoull(optarg, NULL, 10);
                        seeds = 1;
                        break;
                case 'v':
                        verbose = true;
                        break;
                case 't':
                        wants_statistics = true;
                        break;
                case 'c':
                        is_campaign = true;
                        break;
                case 'p':
                        is_parts = true;
                        break;
                default:
                        usage(option == 'h' ? EXIT_SUCCESS : EXIT_FAILURE);
                }
        struct sigaction action = { .sa_handler = on_abort };
        sigaction(SIGABRT, &action, NULL);
        sigaction(SIGSEGV, &action, NULL);
        MUST(cpus_of_this_thread(&cpus) == 0, "sched_getaffinity");
        if (is_parts)
                return parts_run(first, seeds) ? EXIT_SUCCESS : EXIT_FAILURE;
        if (is_campaign)
                return campaign_run(first, seeds) ? EXIT_SUCCESS : EXIT_FAILURE;
        for (uint64_t i = 0; i < seeds; i++)
                simulate(first + i);
        if (wants_statistics)
                print_statistics();
        return EXIT_SUCCESS;
}
