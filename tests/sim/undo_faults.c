/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each seed is a stretch of the life of one disk: sweeps, faults in the middle of them, crashes, recoveries that are
 * disturbed, too, until all is quiet. Then every original must be on the disk, or in a slot of the journal that is
 * armed and told of; what somebody else wrote must be where they wrote it. What could go wrong: an excuse for too much.
 * Bytes may be missing only where the journal itself went bad after it had been read back, and each of them must have
 * been told as lost; somebody else's only where they came between the last look at a place and the write to it. On one
 * disk of three nobody counts what somebody else writes, as below a loop device. Where only the process is killed the
 * disk goes on, with what a flush that failed has lost in its cache: the journal must say so before that is written
 * over.
 */
#include "undo_faults.h"

#include "base/cleanup.h"
#include "failure.h"
#include "undo_memory.h"
#include "undo_oracle.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS_MAX = 3, RECOVERIES_MAX = 4, SKIP_MAX = 6, NEAR_MOMENTS = 3 };

static const char *const mischief_names[MISCHIEF_COUNT] = { "none", "error", "lasting", "stops", "again", "refused",
        "nothing", "short", "phantom", "flipped", "rot", "gone", "replaced", "no count", "foreign", "cancel", "stop",
        "give up", "no memory", "kill", "cut" };

/* A fault that waits for its moment. */
struct plan {
        enum moment moment;
        enum mischief mischief;
        unsigned skip; /* requests of that moment before it */
        unsigned left; /* how often it still happens */
        int error;
        bool once;   /* was to happen */
        bool behind; /* not before the first plan's fault has happened */
        bool happened;
};

/* A place that stays bad. */
struct bad_place {
        bool bad;
        unsigned disk;
        enum engine_op op;
        uint64_t first, end; /* sectors */
        int error;
};

/* What somebody else wrote to a unit. */
struct foreign {
        uint8_t sectors; /* 0: nothing */
        uint32_t page;
        bool excused; /* it came where nobody could know of it */
        bool known;   /* the unit was read since, by this process */
};

static struct {
        struct undo_case c;
        struct chance chance;
        struct world world;
        struct moment_watch watch;
        struct swept swept;
        struct recovered recovered;
        struct plan plans[2];
        size_t plan_count;
        struct bad_place bad;
        struct foreign foreign[MOMENT_UNITS_MAX];
        bool read_armed[MOMENT_UNITS_MAX]; /* when it was last read, its slot was armed */
        bool rotten[MOMENT_UNITS_MAX];     /* its original in the journal went bad */
        bool told[MOMENT_UNITS_MAX];       /* that its original is not there, or in doubt */
        bool table_rotten, any_foreign, window, journal_lies, journal_flush_failed, misread, pattern_lost, uncertain;
        bool marker_unread;             /* a copy of a marker */
        bool marker_lost;               /* its write was */
        bool killed;                    /* and the disks kept their caches */
        bool journal_trouble;           /* something that was written there in this run failed, or was said to */
        uint64_t noted[UNDO_SLOTS];     /* the record of which the journal says that a flush failed; 0: none, or told */
        bool unnoted[MOMENT_UNITS_MAX]; /* killed before the journal could say so */
        bool replaced, uncounted;
        bool open_below;    /* somebody writes past the count, which says so of itself: a loop device */
        bool foreign_after; /* right after this request has had its effect, somebody else writes there */
        enum sweep_order order;
        bool crashed;
        struct image target, journal; /* what the last run left */
        struct fault_counts *counts;
} f;

static struct world before; /* the disks of the run that was killed */

static uint64_t first_of(const struct engine_io *io) {
        return io->offset_bytes / SECTOR_BYTES;
}

static uint64_t end_of(const struct engine_io *io) {
        return (io->offset_bytes + io->length_bytes) / SECTOR_BYTES;
}

static bool applies(enum moment m, enum mischief what) {
        enum engine_op op = moment_op(m);
        switch (what) {
        case MISCHIEF_NOTHING:
        case MISCHIEF_SHORT:
                return op != ENGINE_FLUSH;
        case MISCHIEF_PHANTOM: /* who lies about a flush lies about everything */
                return op != ENGINE_FLUSH;
        case MISCHIEF_FLIPPED:
                return op == ENGINE_READ;
        case MISCHIEF_ROT: /* of what was read back, and is still needed */
                return m == MOMENT_RESTORE_READ || m == MOMENT_UNDO_SAVED || m == MOMENT_UNDO_TABLE;
        case MISCHIEF_REPLACED: /* where a segment, or recovery, must notice before the first write */
                return m == MOMENT_SAVE_READ || m == MOMENT_COMPARE || m == MOMENT_UNDO_MARKERS ||
                        m == MOMENT_UNDO_TABLE;
        case MISCHIEF_CANCEL:
        case MISCHIEF_STOP:
        case MISCHIEF_GIVE_UP:
        case MISCHIEF_NO_MEMORY:
                return m < MOMENT_UNDO_MARKERS;
        case MISCHIEF_NONE:
        case MISCHIEF_COUNT:
                return false;
        default:
                return true;
        }
}

static int an_error(enum mischief what, struct chance *c) {
        static const int medium[] = { EIO, EIO, ENODATA, EILSEQ, ETIMEDOUT, ENOLINK },
                         ours[] = { ENOMEM, EAGAIN, EINTR }, stops[] = { ENOSPC, EBADE, EROFS, EPERM, ENODEV };
        switch (what) {
        case MISCHIEF_AGAIN:
                return ours[chance_below(c, ELEMENTS(ours))];
        case MISCHIEF_STOPS:
                return stops[chance_below(c, ELEMENTS(stops))];
        case MISCHIEF_REFUSED:
                return chance_one_in(c, 2) ? EIO : ours[chance_below(c, ELEMENTS(ours))];
        default:
                return medium[chance_below(c, ELEMENTS(medium))];
        }
}

static void note_hit(const struct plan *p) {
        f.counts->hits[p->moment][p->mischief]++;
        story("%s at: %s", mischief_names[p->mischief], moment_name(p->moment));
}

/* What the journal says of flushes that failed; and what of it the process did not come to say. */
static void note_flushes(const struct world *w) {
        const struct crash_disk *d = &w->disks[DISK_TARGET];
        struct armed_slot slots[UNDO_SLOTS];
        oracle_slots(&f.c, &f.journal, slots);
        for (unsigned i = 0; i < UNDO_SLOTS; i++)
                if (slots[i].marker.state == UNDO_ARMED && slots[i].marker.units_lost > 0)
                        f.noted[i] = slots[i].marker.record;
        for (size_t i = 0; f.killed && i < d->write_count; i++)
                for (uint64_t unit = d->writes[i].first / PAGE_SECTORS;
                        unit * PAGE_SECTORS < d->writes[i].first + d->writes[i].sectors; unit++)
                        f.unnoted[unit] |= d->writes[i].doubtful && !oracle_is_noted(&f.c, &f.journal, unit);
}

/* Each write meets a fate of its own. */
static void crash(struct world *w, bool power) {
        uint8_t fates[DISKS * WRITES_MAX];
        for (size_t i = 0; i < world_unflushed(w); i++)
                fates[i] = power ? (uint8_t)chance_below(&f.chance, FATE_COUNT) : FATE_NEW;
        world_cut(w, fates, (unsigned)chance_below(&f.chance, 64), &f.target, &f.journal);
        f.killed = !power;
        if (f.killed)
                before = *w;
        note_flushes(w);
        w->disks[DISK_TARGET].gone = w->disks[DISK_JOURNAL].gone = true;
        f.crashed = true;
        f.counts->crashes++;
}

static uint8_t sectors_in(uint64_t unit, uint64_t first, uint64_t end) {
        uint8_t mask = 0;
        for (unsigned i = 0; i < PAGE_SECTORS; i++)
                if (unit * PAGE_SECTORS + i >= first && unit * PAGE_SECTORS + i < end)
                        mask |= (uint8_t)(1u << i);
        return mask;
}

/* Where the request is on the target; anywhere, where it is none of its reads and writes. */
static void write_foreign(struct world *w, const struct crash_disk *of, const struct engine_io *io) {
        struct crash_disk *d = &w->disks[DISK_TARGET];
        bool there = of == d && io->op != ENGINE_FLUSH;
        uint64_t first = there ? first_of(io) : 0, end = there ? end_of(io) : d->sectors;
        uint8_t bytes[PAGE_BYTES];
        uint64_t logical = d->logical_sectors, at = first + chance_below(&f.chance, end - first) / logical * logical;
        size_t unit = at / PAGE_SECTORS;
        uint64_t room = MIN((unit + 1) * PAGE_SECTORS, d->sectors) - at;
        uint64_t count = chance_between(&f.chance, 1, room / logical) * logical;
        if (f.foreign[unit].sectors)
                return;
        for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = (uint8_t)chance_next(&f.chance);
        f.foreign[unit] = (struct foreign){
                .sectors = sectors_in(unit, at, at + count),
                .page = world_outsider_writes(w, at, (uint32_t)count, bytes),
        };
        if (f.open_below)
                d->written_bytes -= count * SECTOR_BYTES;
        for (size_t i = 0; i < d->flight_count; i++) {
                const struct engine_io *other = d->flights[i].io;
                if (other->op == ENGINE_WRITE && first_of(other) < at + count && end_of(other) > at)
                        f.foreign[unit].excused = f.window = ++f.counts->foreign_window > 0; /* at the same time */
        }
        f.any_foreign = true;
        f.counts->foreign_writes++;
        story("somebody writes %" PRIu64 " sectors from %" PRIu64, count, at);
}

/* The unit with what somebody else wrote to it. */
static uint32_t with_foreign(size_t unit) {
        return page_merge(f.c.target.pages[unit], f.foreign[unit].page, f.foreign[unit].sectors, 0);
}

/* Bytes of somebody else that were not saved may be overwritten only where they came after the last look at the place.
 */
static void check_foreign(const struct engine_io *io) {
        for (uint64_t unit = first_of(io) / PAGE_SECTORS; unit * PAGE_SECTORS < end_of(io); unit++) {
                struct foreign *one = &f.foreign[unit];
                if (!(one->sectors & sectors_in(unit, first_of(io), end_of(io))) || one->excused ||
                        oracle_is_saved(&f.c, &f.world.disks[DISK_JOURNAL].durable, unit, with_foreign(unit)))
                        continue;
                MUST(!one->known, "unit %" PRIu64 ": written over although somebody else's bytes had been read there",
                        unit);
                MUST(f.read_armed[unit] || f.bad.bad,
                        "unit %" PRIu64 ": written over without a look at it after it was armed", unit);
                one->excused = f.window = true;
                f.counts->foreign_window++;
        }
}

static void note_read(const struct engine_io *io) {
        for (uint64_t unit = first_of(io) / PAGE_SECTORS; unit * PAGE_SECTORS < end_of(io); unit++) {
                struct armed_slot slots[UNDO_SLOTS];
                f.foreign[unit].known |= f.foreign[unit].sectors & sectors_in(unit, first_of(io), end_of(io));
                oracle_slots(&f.c, &f.world.disks[DISK_JOURNAL].durable, slots);
                f.read_armed[unit] = false;
                for (unsigned i = 0; i < UNDO_SLOTS; i++) {
                        struct extent place = slots[i].marker.place;
                        f.read_armed[unit] |= slots[i].armed && unit * UNIT_BYTES >= place.offset_bytes &&
                                unit * UNIT_BYTES < extent_end(place);
                }
        }
}

/* What reads well again must not be all that is left of a flush that failed. */
static void check_noted(const struct world *w, const struct engine_io *io) {
        const struct crash_disk *d = &w->disks[DISK_TARGET];
        for (size_t i = 0; i < d->write_count; i++) {
                const struct unflushed *lost = &d->writes[i];
                uint64_t unit = MAX(first_of(io), lost->first) / PAGE_SECTORS;
                if (!lost->doubtful || lost->first >= end_of(io) || first_of(io) >= lost->first + lost->sectors)
                        continue;
                MUST(f.unnoted[unit] || f.journal_trouble ||
                                oracle_is_noted(&f.c, &w->disks[DISK_JOURNAL].durable, unit),
                        "unit %" PRIu64 ": written again, and the journal does not say that a flush failed", unit);
        }
}

static void submitted(struct world *w, struct crash_disk *d, struct flight *flight) {
        flight->moment = moment_of(&f.watch, &f.c, w, d, flight);
        MUST(!f.crashed, "a request after the crash");
        story("    %s: %" PRIu64 " bytes at %" PRIu64, moment_name((enum moment)flight->moment),
                (uint64_t)flight->io->length_bytes, flight->io->offset_bytes);
        if (flight->io->op != ENGINE_WRITE)
                return;
        struct undo_marker marker;
        if (d->number == DISK_JOURNAL && undo_marker_read(&marker, flight->io->buffer, f.c.head.journal_id))
                story("    marker of slot %u: state %d, sequence %" PRIu64, marker.slot, marker.state, marker.sequence);
        const char *broken = oracle_rule_broken(&f.c, w, d, flight);
        if (!broken && flight->moment == MOMENT_WRITE) /* nobody but the keeper writes the pattern */
                broken = oracle_has_lone_copy(&f.c, w, d, flight);
        if (f.marker_unread)
                broken = NULL; /* recovery goes by the copy of a marker that it can read, and that is the older one */
        MUST(!broken || f.any_foreign || f.journal_lies || f.journal_flush_failed || f.misread,
                "disk %u, offset %" PRIu64 ", %s: %s", d->number, flight->io->offset_bytes, moment_name(flight->moment),
                broken);
        if (d->number == DISK_TARGET) {
                MUST(!f.replaced, "a write to a device that took another one's place");
                check_foreign(flight->io);
                check_noted(w, flight->io);
        }
}

static bool is_bad(const struct crash_disk *d, const struct engine_io *io) {
        const struct bad_place *b = &f.bad;
        return b->bad && b->disk == d->number && b->op == io->op &&
                (io->op == ENGINE_FLUSH || (first_of(io) < b->end && end_of(io) > b->first));
}

static void make_bad(const struct crash_disk *d, const struct engine_io *io, int error) {
        f.bad = (struct bad_place){
                .bad = true,
                .disk = d->number,
                .op = io->op,
                .first = first_of(io),
                .end = first_of(io) + d->logical_sectors,
                .error = error,
        };
}

/* What was saved, or its table, goes bad where it lies. */
static void rot(struct crash_disk *d, const struct engine_io *io) {
        uint64_t page = io->offset_bytes / PAGE_BYTES;
        uint8_t bytes[PAGE_BYTES];
        struct armed_slot slots[UNDO_SLOTS];
        memcpy(bytes, page_at(d->durable.pages[page])->bytes, PAGE_BYTES);
        bytes[chance_below(&f.chance, PAGE_BYTES)] ^= (uint8_t)(1u << chance_below(&f.chance, 8));
        image_set(&d->durable, page, page_of(bytes, 0));
        image_set(&d->now, page, page_of(bytes, 0));
        oracle_slots(&f.c, &d->durable, slots);
        for (unsigned i = 0; i < UNDO_SLOTS; i++) {
                uint64_t data = undo_data_offset(f.c.segment_bytes, i) / PAGE_BYTES;
                uint64_t table = undo_table_offset(f.c.segment_bytes, i) / PAGE_BYTES;
                uint64_t end = undo_marker_offset(f.c.segment_bytes, i, 1) / PAGE_BYTES;
                uint64_t unit = slots[i].marker.place.offset_bytes / UNIT_BYTES;
                if (page >= data && page < end)
                        f.rotten[unit + page - data] = true;
                else if (page >= table && page < data)
                        f.table_rotten = true;
        }
}

static struct mishap mishap_of(
        struct world *w, struct crash_disk *d, const struct flight *flight, enum mischief what, int error) {
        uint32_t sectors = flight->io->length_bytes / SECTOR_BYTES, logical = d->logical_sectors;
        struct mishap m = { 0 };
        f.uncertain |= what != MISCHIEF_FOREIGN && what != MISCHIEF_CANCEL && what != MISCHIEF_STOP;
        switch (what) {
        case MISCHIEF_LASTING:
                make_bad(d, flight->io, error);
                m.error = error;
                f.journal_flush_failed |= d->number == DISK_JOURNAL && flight->io->op == ENGINE_FLUSH;
                break;
        case MISCHIEF_NOTHING:
                m.nothing = true;
                break;
        case MISCHIEF_SHORT:
                m.sectors = sectors > logical ? (uint32_t)chance_between(&f.chance, 1, sectors / logical - 1) * logical
                                              : sectors;
                break;
        case MISCHIEF_PHANTOM:
                m.phantom = true;
                f.journal_lies |= flight->moment == MOMENT_DISARM || flight->moment == MOMENT_UNDO_CLOSE;
                f.marker_lost |= flight->moment == MOMENT_ARM || flight->moment == MOMENT_DISARM ||
                        flight->moment == MOMENT_UNDO_CLOSE;
                f.pattern_lost |= flight->moment == MOMENT_WRITE;
                f.misread |= flight->moment == MOMENT_SAVE_READ || flight->moment == MOMENT_UNDO_MARKERS;
                break;
        case MISCHIEF_FLIPPED:
                m.flipped = true;
                f.misread |= flight->moment == MOMENT_SAVE_READ || flight->moment == MOMENT_UNDO_MARKERS;
                break;
        case MISCHIEF_ROT:
                rot(d, flight->io);
                break;
        case MISCHIEF_GONE:
                d->gone = true;
                m.error = ENODEV;
                break;
        case MISCHIEF_REPLACED:
                f.replaced = true;
                break;
        case MISCHIEF_UNCOUNTED:
                f.uncounted = true;
                break;
        case MISCHIEF_FOREIGN:
                f.uncertain |= f.order != SWEEP_RUN; /* recovery counts up to its first write only */
                f.foreign_after = chance_one_in(&f.chance, 2);
                if (!f.foreign_after)
                        write_foreign(w, d, flight->io);
                break;
        case MISCHIEF_NO_MEMORY:
                memory_fail(1);
                f.order = SWEEP_STOP;
                break;
        case MISCHIEF_STOP:
                f.order = SWEEP_STOP;
                break;
        case MISCHIEF_CANCEL:
                f.order = SWEEP_CANCEL;
                break;
        case MISCHIEF_GIVE_UP:
                f.order = SWEEP_GIVE_UP;
                break;
        case MISCHIEF_KILL:
        case MISCHIEF_CUT:
                crash(w, what == MISCHIEF_CUT);
                m.error = ENODEV;
                break;
        default: /* of errors, a part of the work may be done */
                f.journal_flush_failed |= d->number == DISK_JOURNAL && flight->io->op == ENGINE_FLUSH;
                f.marker_unread |= flight->moment == MOMENT_UNDO_MARKERS;
                m.error = error;
                m.some = chance_one_in(&f.chance, 2);
                break;
        }
        return m;
}

static struct plan *due(const struct crash_disk *d, enum moment moment, bool refusal) {
        for (size_t i = 0; i < f.plan_count; i++) {
                struct plan *p = &f.plans[i];
                if (p->left == 0 || p->moment != moment || (p->mischief == MISCHIEF_REFUSED) != refusal ||
                        (p->behind && !f.plans[0].happened))
                        continue;
                if (p->skip > 0) {
                        p->skip--;
                        continue;
                }
                p->left--;
                p->happened = true;
                note_hit(p);
                return p;
        }
        (void)d;
        return NULL;
}

static struct mishap completing(struct world *w, struct crash_disk *d, const struct flight *flight) {
        if (f.crashed || d->gone)
                return (struct mishap){ .error = ENODEV };
        if (is_bad(d, flight->io)) {
                f.journal_trouble |= d->number == DISK_JOURNAL && flight->io->op != ENGINE_READ;
                f.marker_unread |= flight->moment == MOMENT_UNDO_MARKERS || flight->moment == MOMENT_ARM_CHECK;
                return (struct mishap){ .error = f.bad.error };
        }
        const struct plan *p = due(d, (enum moment)flight->moment, false);
        f.journal_trouble |= p && d->number == DISK_JOURNAL && flight->io->op != ENGINE_READ;
        return p ? mishap_of(w, d, flight, p->mischief, p->error) : (struct mishap){ 0 };
}

static void completed(struct world *w, struct crash_disk *d, const struct flight *flight) {
        if (d->number == DISK_TARGET && flight->io->op == ENGINE_READ && flight->io->result > 0)
                note_read(flight->io);
        if (f.foreign_after)
                write_foreign(w, d, flight->io);
        f.foreign_after = false;
}

static int refusing(struct world *w, struct crash_disk *d, const struct engine_io *io) {
        struct moment_watch watch = f.watch; /* nothing is submitted yet */
        struct flight flight = { .io = (struct engine_io *)(uintptr_t)io };
        if (f.crashed || d->gone)
                return ENODEV;
        const struct plan *p = due(d, moment_of(&watch, &f.c, w, d, &flight), true);
        f.uncertain |= p != NULL;
        f.journal_trouble |= p && d->number == DISK_JOURNAL && io->op != ENGINE_READ;
        return p ? p->error : 0;
}

static void looked(struct world *w, struct crash_disk *d, struct engine_look *look) {
        (void)w;
        if (d->number != DISK_TARGET)
                return;
        look->replaced = f.replaced;
        look->counts_known &= !f.uncounted;
        look->counts_complete &= !f.open_below;
}

static enum sweep_order order_now(struct world *w) {
        (void)w;
        return f.crashed ? SWEEP_GIVE_UP : f.order;
}

static void begin_run(bool recovering) {
        struct world *w = &f.world;
        undo_case_begin(&f.c, w);
        if (recovering)
                world_init(w, &f.target, &f.journal, undo_case_sectors(&f.c), f.c.logical_block_bytes / SECTOR_BYTES,
                        f.c.depth);
        if (recovering && f.killed)
                world_take_over(w, &before);
        w->chance.state = chance_next(&f.chance);
        w->strict = true;
        w->submitted = submitted;
        w->completing = completing;
        w->completed = completed;
        w->refusing = refusing;
        w->looked = looked;
        f.watch = (struct moment_watch){ .recovering = recovering };
        f.order = SWEEP_RUN;
        for (size_t i = 0; i < MOMENT_UNITS_MAX; i++)
                f.foreign[i].known = false;
        f.crashed = f.replaced = f.uncounted = f.journal_trouble = f.killed = false;
}

/* What was not flushed may get lost, also at an orderly end. */
static void end_run(void) {
        memory_fail(0);
        if (!f.crashed)
                crash(&f.world, true);
}

static void draw_plan(struct plan *p, enum moment from, enum moment to) {
        struct chance *c = &f.chance;
        do {
                p->moment = (enum moment)chance_between(c, from, to);
                p->mischief = (enum mischief)chance_between(c, 1, MISCHIEF_COUNT - 1);
        } while (!applies(p->moment, p->mischief));
        p->error = an_error(p->mischief, c);
        p->skip = chance_one_in(c, 2) ? 0 : (unsigned)chance_below(c, SKIP_MAX);
        p->behind = p->happened = false;
        p->left = p->mischief == MISCHIEF_AGAIN ? (unsigned)chance_between(c, 1, 8) : 1;
        if (p->mischief == MISCHIEF_ERROR && chance_one_in(c, 2))
                p->left = (unsigned)chance_between(c, 1, 4);
        p->once = p->left == 1;
}

static void tell_extent(struct extent place) {
        for (uint64_t unit = place.offset_bytes / UNIT_BYTES; unit * UNIT_BYTES < extent_end(place); unit++)
                f.told[unit] = true;
}

static void hear_recovery(const struct recovered *r) {
        for (size_t i = 0; i < r->note_count; i++) {
                const struct recovery_note *n = &r->notes[i];
                story("  recovery: kind %d, slot %u, offset %" PRIu64 ", %" PRIu64 " bytes, errno %d%s", n->kind,
                        n->slot, n->place.offset_bytes, n->place.length_bytes, n->error,
                        n->journal ? " of the journal" : "");
                if (n->kind != RECOVERY_RESTORED && n->kind != RECOVERY_UNFLUSHED)
                        tell_extent(n->place);
                if (n->kind != RECOVERY_UNFLUSHED && n->kind != RECOVERY_LOST)
                        continue;
                f.counts->unflushed_told += n->kind == RECOVERY_UNFLUSHED && f.noted[n->slot] == n->record;
                f.noted[n->slot] = 0;
        }
        story("recovered: armed %u, freed %u, pinned %u, restored %" PRIu64 ", foreign %" PRIu64 ", lost %" PRIu64
              ", journal error %d%s",
                r->result.slots_armed, r->result.slots_freed, r->result.slots_pinned, r->result.units_restored,
                r->result.units_foreign, r->result.units_lost, r->result.journal_error, r->result.gone ? ", gone" : "");
}

/* A place that is bad before anything was overwritten there, or for a moment, stops nothing, however little time there
 * is to narrow it down. */
static bool passes_by(void) {
        const struct plan *p = &f.plans[0];
        bool of_target = BIT(p->moment) &
                (BIT(MOMENT_SAVE_READ) | BIT(MOMENT_COMPARE) | BIT(MOMENT_WRITE) | BIT(MOMENT_VERIFY) |
                        BIT(MOMENT_RESTORE_WRITE) | BIT(MOMENT_CHECK));
        if (p->mischief == MISCHIEF_LASTING)
                return p->moment == MOMENT_SAVE_READ || p->moment == MOMENT_WRITE;
        return p->mischief == MISCHIEF_ERROR && p->once && of_target;
}

static void hear_sweep(void) {
        bool told = strcmp(f.swept.record.reason.rule, "foreign_write") == 0;
        undo_tell(&f.swept);
        for (size_t i = 0; i < f.swept.fault_count; i++) {
                const struct finding *finding = &f.swept.faults[i].fault;
                told |= finding->fault == FAULT_FOREIGN;
                if (finding->fault == FAULT_UNRESTORED || finding->fault == FAULT_FOREIGN)
                        tell_extent(finding->place);
        }
        f.counts->foreign_told += told && f.any_foreign;
        bool faulty = false;
        for (size_t i = 0; i < f.swept.fault_count; i++)
                faulty |= f.swept.faults[i].fault.fault != FAULT_READ_ERROR &&
                        f.swept.faults[i].fault.fault != FAULT_UNRESTORED;
        MUST(!f.pattern_lost || f.plan_count > 1 || faulty, "a write of the pattern was lost, and nobody is told");
        MUST(!told || f.any_foreign || f.plan_count > 0, "a foreign write is told that there was not");
        MUST(f.plan_count != 1 || !passes_by() || f.swept.record.end == END_FINISHED, "a bad place ended the sweep: %s",
                f.swept.record.reason.found);
        MUST(told || !f.window || f.uncertain || f.open_below,
                "somebody else's bytes were overwritten, and nobody is told");
}

/* What is on the target at the end, sector by sector. strict: what is in the journal does not count. */
static void judge_unit(size_t unit, const struct armed_slot *slots, bool strict) {
        const struct foreign *one = &f.foreign[unit];
        const struct page *found = page_at(f.target.pages[unit]), *original = page_at(f.c.target.pages[unit]);
        bool saved = oracle_is_saved(&f.c, &f.journal, unit, f.c.target.pages[unit]) ||
                (one->sectors && oracle_is_saved(&f.c, &f.journal, unit, with_foreign(unit)));
        bool armed = false;
        for (unsigned i = 0; i < UNDO_SLOTS; i++)
                armed |= slots[i].armed && unit * UNIT_BYTES >= slots[i].marker.place.offset_bytes &&
                        unit * UNIT_BYTES < extent_end(slots[i].marker.place);
        for (unsigned i = 0; i < PAGE_SECTORS; i++) {
                const uint8_t *bytes = found->bytes + i * SECTOR_BYTES;
                bool bad = found->bad >> i & 1;
                bool theirs = !bad && one->sectors >> i & 1 &&
                        memcmp(bytes, page_at(one->page)->bytes + i * SECTOR_BYTES, SECTOR_BYTES) == 0;
                bool ours = bad == (original->bad >> i & 1) &&
                        memcmp(bytes, original->bytes + i * SECTOR_BYTES, SECTOR_BYTES) == 0;
                bool rotten = (f.rotten[unit] || f.table_rotten) && armed;
                MUST(theirs || one->excused || (saved && armed && !strict) || rotten || !(one->sectors >> i & 1),
                        "unit %zu, sector %u: somebody else's bytes are lost", unit, i);
                if (theirs || ours)
                        continue;
                bool in_part = f.misread && oracle_sector_is_saved(&f.c, &f.journal, unit, i);
                if (f.unnoted[unit])
                        continue;
                bool left = armed && (!strict || f.any_foreign || f.misread) && (saved || in_part || f.journal_lies);
                MUST(left || rotten, "unit %zu, sector %u: the original is lost%s", unit, i,
                        armed ? ", though its slot is armed" : "");
                MUST(!strict || f.told[unit], "unit %zu, sector %u: the original is not there, and nobody is told",
                        unit, i);
                f.counts->lost_units += strict && rotten;
        }
}

static bool judge(bool strict) {
        struct armed_slot slots[UNDO_SLOTS];
        oracle_slots(&f.c, &f.journal, slots);
        bool unsure = f.marker_unread || f.marker_lost || f.journal_lies || f.recovered.notes_lost;
        for (unsigned i = 0; i < UNDO_SLOTS; i++)
                MUST(f.noted[i] == 0 || slots[i].armed || unsure, "slot %u: a flush failed, and nobody is told", i);
        for (size_t unit = 0; unit < f.c.target.count; unit++)
                judge_unit(unit, slots, strict);
        return slots[0].armed || slots[1].armed;
}

static void recover(bool by_hand) {
        begin_run(true);
        undo_recover(&f.c, &f.world, false, by_hand, &f.recovered);
        f.counts->recoveries++;
        hear_recovery(&f.recovered);
        end_run();
}

/* Runs without memory: nothing may be touched, and nothing may be left behind. */
static void without_memory(void) {
        f.plan_count = 0;
        for (f.c.fail_memory = 1;; f.c.fail_memory++) {
                begin_run(false);
                undo_sweep(&f.c, &f.world, NULL, &f.swept);
                if (f.swept.begun)
                        break;
                MUST(f.world.disks[DISK_TARGET].events + f.world.disks[DISK_JOURNAL].events == 0,
                        "a sweep without memory does I/O");
                f.counts->memory++;
        }
        end_run();
        for (f.c.fail_memory = 1;; f.c.fail_memory++) {
                begin_run(true);
                undo_recover(&f.c, &f.world, false, false, &f.recovered);
                if (f.recovered.error == 0)
                        break;
                f.counts->memory++;
        }
        end_run();
        f.c.fail_memory = 0;
        MUST(!judge(true), "slots are armed after a sweep that nothing disturbed");
}

/*
 * As the journal's opener does it: the copy of a marker that does not count is made as the one that does. False: there
 * is none, as the journal's flushes failed while it was written, or one copy was lost and the other one torn; nothing
 * was overwritten then, or all is back, and a person must look.
 */
static bool tidy(void) {
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++) {
                struct undo_marker a, b;
                size_t first = undo_marker_offset(f.c.segment_bytes, slot, 0) / PAGE_BYTES;
                size_t second = undo_marker_offset(f.c.segment_bytes, slot, 1) / PAGE_BYTES;
                bool has_a = oracle_marker(&f.c, f.journal.pages[first], &a);
                bool has_b = oracle_marker(&f.c, f.journal.pages[second], &b);
                MUST(has_a || has_b || f.journal_flush_failed || f.marker_lost, "no copy of a marker is whole");
                if (!has_a && !has_b)
                        return false;
                if (has_a && (!has_b || a.sequence >= b.sequence))
                        image_set(&f.journal, second, f.journal.pages[first]);
                else
                        image_set(&f.journal, first, f.journal.pages[second]);
                f.c.sequence = MAX(f.c.sequence, MAX(has_a ? a.sequence : 0, has_b ? b.sequence : 0));
                f.c.record = MAX(f.c.record, MAX(has_a ? a.record : 0, has_b ? b.record : 0));
        }
        return true;
}

/* The disk as it is now is what the next sweep must keep. */
static bool go_on(void) {
        if (!tidy())
                return false;
        image_copy(&f.c.target, &f.target);
        image_copy(&f.c.journal, &f.journal);
        memset(f.foreign, 0, sizeof f.foreign);
        memset(f.rotten, 0, sizeof f.rotten);
        memset(f.told, 0, sizeof f.told);
        memset(f.unnoted, 0, sizeof f.unnoted);
        memset(f.noted, 0, sizeof f.noted);
        f.killed = false;
        f.table_rotten = f.any_foreign = f.window = f.journal_lies = f.journal_flush_failed = f.misread = f.uncertain =
                f.marker_unread = f.marker_lost = f.pattern_lost = false;
        f.bad.bad = false;
        return true;
}

/* Recoveries, the first ones disturbed, then one by hand on sound disks. True: all is as it was. */
static bool recover_all(void) {
        bool armed = judge(false);
        for (unsigned i = 0; i < RECOVERIES_MAX && armed; i++) {
                f.plan_count = i + 2 < RECOVERIES_MAX ? chance_below(&f.chance, 3) : 0;
                for (size_t k = 0; k < f.plan_count; k++)
                        draw_plan(&f.plans[k], MOMENT_UNDO_MARKERS, MOMENT_COUNT - 1);
                recover(false);
                armed = judge(false);
        }
        f.bad.bad = false;
        f.plan_count = 0;
        recover(armed);
        armed = judge(true);
        MUST(!armed || f.any_foreign || f.recovered.result.units_lost || f.table_rotten || f.journal_lies || f.misread,
                "slots are armed, and nothing stands against recovery");
        f.counts->pinned += armed;
        f.counts->restored += !armed;
        return !armed;
}

/* All that is tried at a place fails, so that it can't be compared, or verified: else there is no look. */
static void draw_look(void) {
        bool compared = f.plans[0].moment == MOMENT_LOOK_COMPARE;
        f.plans[1] = f.plans[0];
        f.plans[1].behind = true;
        f.plans[1].skip = 0;
        f.plans[0] = (struct plan){
                .moment = compared ? MOMENT_COMPARE : MOMENT_VERIFY,
                .mischief = MISCHIEF_ERROR,
                .error = EIO,
                .left = (unsigned)chance_between(&f.chance, 1, 8),
        };
        f.plan_count = 2;
}

static void one_round(void) {
        f.plan_count = chance_below(&f.chance, 8) == 0 ? 0 : chance_one_in(&f.chance, 4) ? 2 : 1;
        for (size_t i = 0; i < f.plan_count; i++)
                draw_plan(&f.plans[i], 0, MOMENT_UNDO_MARKERS - 1);
        if (f.plan_count == 2 && chance_one_in(&f.chance, 2)) { /* one after the other */
                int first = (int)f.plans[0].moment;
                draw_plan(&f.plans[1], (enum moment)MAX(first - NEAR_MOMENTS, 0),
                        (enum moment)MIN(first + NEAR_MOMENTS, MOMENT_UNDO_MARKERS - 1));
                f.plans[1].behind = chance_one_in(&f.chance, 2);
        }
        if (f.plan_count > 0 && (f.plans[0].moment == MOMENT_LOOK_COMPARE || f.plans[0].moment == MOMENT_LOOK_VERIFY))
                draw_look();
        begin_run(false);
        undo_sweep(&f.c, &f.world, order_now, &f.swept);
        f.counts->sweeps++;
        f.counts->finished += f.swept.record.end == END_FINISHED;
        MUST(f.plan_count > 0 || f.swept.record.end == END_FINISHED, "a sweep that nothing disturbs does not finish");
        hear_sweep();
        end_run();
}

void undo_faults_run(uint64_t seed, struct fault_counts *counts) {
        memset(&f, 0, sizeof f);
        f.counts = counts;
        f.chance.state = layout_mix(seed + 99);
        counts->seeds++;
        undo_case_large(&f.c, seed);
        f.open_below = chance_one_in(&f.chance, 3);
        if (chance_one_in(&f.chance, 64)) {
                without_memory();
                return;
        }
        for (unsigned round = 0; round < ROUNDS_MAX; round++) {
                one_round();
                if (!recover_all() || !go_on())
                        return;
        }
}

void undo_faults_add(struct fault_counts *sum, const struct fault_counts *counts) {
        uint64_t *to = (uint64_t *)sum;
        const uint64_t *from = (const uint64_t *)counts;
        for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
                to[i] += from[i];
}

static int column(unsigned mischief) {
        return (int)MAX(5, strlen(mischief_names[mischief]));
}

void undo_faults_print(const struct fault_counts *t) {
        printf("seeds %" PRIu64 ", sweeps %" PRIu64 " (finished %" PRIu64 "), crashes and cuts %" PRIu64
               ", recoveries %" PRIu64 "; restored %" PRIu64 ", left to a person %" PRIu64 "; without memory %" PRIu64
               "; flushes that failed before a crash, and were told after it %" PRIu64 "\n",
                t->seeds, t->sweeps, t->finished, t->crashes, t->recoveries, t->restored, t->pinned, t->memory,
                t->unflushed_told);
        printf("sectors told as lost, of journals that went bad: %" PRIu64 "; foreign writes %" PRIu64
               " (in the window: %" PRIu64 "; sweeps that told: %" PRIu64 ")\n\n",
                t->lost_units, t->foreign_writes, t->foreign_window, t->foreign_told);
        printf("How often each fault (across) was met at each moment of the protocol (down); -: there can be none.\n%-18s",
                "");
        for (unsigned k = 1; k < MISCHIEF_COUNT; k++)
                printf(" %*s", column(k), mischief_names[k]);
        for (unsigned m = 0; m < MOMENT_COUNT; m++) {
                printf("\n%-18s", moment_name((enum moment)m));
                for (unsigned k = 1; k < MISCHIEF_COUNT; k++)
                        if (applies((enum moment)m, (enum mischief)k))
                                printf(" %*" PRIu64, column(k), t->hits[m][k]);
                        else
                                printf(" %*s", column(k), "-");
        }
        putchar('\n');
}

void undo_faults_check(const struct fault_counts *t) {
        MUST(t->unflushed_told > 0, "a flush that failed before a crash was never told");
        for (unsigned m = 0; m < MOMENT_COUNT; m++)
                for (unsigned k = 1; k < MISCHIEF_COUNT; k++)
                        MUST(!applies((enum moment)m, (enum mischief)k) || t->hits[m][k] > 0, "%s was never met at: %s",
                                mischief_names[k], moment_name((enum moment)m));
}
