/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cases. What could go wrong: disks that are too tame. So they hold what a sweep might take for its own (patterns
 * of older generations, stamps of a preserve sweep), what it must leave out (zeros on a device that discards, sectors
 * that can't be read), and journals that are full of an earlier sweep's records.
 */
#include "undo_case.h"

#include "base/cleanup.h"
#include "failure.h"
#include "sweep/content.h"
#include "undo_memory.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
        MODES = 2,
        SEGMENTS = 2,
        BLOCKS = 4,
        DEPTHS = 4,
        LAYOUTS = 6,
        SHAPES = MODES * SEGMENTS * BLOCKS * DEPTHS * LAYOUTS,
        PUMPS_MAX = 1000000,
        IDLE_MAX = 64,
        ANSWER_DELAY = 3,
        TIME_ENOUGH_US = 100000000,
        TARGET_ID = 0x7a41
};

enum layout { LAYOUT_NOISE, LAYOUT_MIXED, LAYOUT_BAD, LAYOUT_ZEROS, LAYOUT_USED, LAYOUT_SHORT };

enum unit_kind { UNIT_NOISE, UNIT_ZERO, UNIT_OLD_PATTERN, UNIT_UNRESTORED, UNIT_MISPLACED, UNIT_KINDS };

static struct table_cache *tables;

static const struct table *table_of(uint64_t nonce) {
        if (!tables)
                MUST(table_cache_new(&tables, 4) == 0, "out of memory");
        struct table *t = table_cache_get(tables, nonce);
        (void)table_unref(t); /* one that is looked for often stays */
        return t;
}

static void stamped(uint8_t *bytes, enum sweep_mode mode, uint64_t offset_bytes, uint64_t place_bytes) {
        struct content content = {
                .table = table_of(3),
                .stamp = { .mode = mode, .target_id = TARGET_ID, .generation = 2, .nonce = 3 },
        };
        content_fill(&content, bytes, offset_bytes, UNIT_BYTES);
        content.stamp.offset_bytes = place_bytes;
        stamp_write(bytes, &content.stamp);
}

static uint32_t a_unit(struct chance *c, enum unit_kind kind, size_t unit, uint8_t bad) {
        uint8_t bytes[PAGE_BYTES] = { 0 };
        uint64_t offset = (uint64_t)unit * UNIT_BYTES;
        switch (kind) {
        case UNIT_NOISE:
        case UNIT_KINDS:
                for (size_t i = 0; i < PAGE_BYTES; i += 8) {
                        uint64_t word = chance_next(c);
                        memcpy(bytes + i, &word, sizeof word);
                }
                break;
        case UNIT_ZERO:
                break;
        case UNIT_OLD_PATTERN:
                stamped(bytes, MODE_PATTERN, offset, offset);
                break;
        case UNIT_UNRESTORED:
                stamped(bytes, MODE_PRESERVE, offset, offset);
                break;
        case UNIT_MISPLACED: /* somebody keeps a copy of such a disk here */
                stamped(bytes, MODE_PRESERVE, offset, offset + UNIT_BYTES);
                break;
        }
        return page_of(bytes, bad);
}

static enum unit_kind small_kind(enum layout layout, size_t unit) {
        static const enum unit_kind kinds[LAYOUTS][4] = {
                [LAYOUT_MIXED] = { UNIT_ZERO, UNIT_NOISE, UNIT_OLD_PATTERN, UNIT_MISPLACED },
                [LAYOUT_BAD] = { UNIT_NOISE, UNIT_NOISE, UNIT_UNRESTORED, UNIT_NOISE },
                [LAYOUT_ZEROS] = { UNIT_ZERO, UNIT_ZERO, UNIT_ZERO, UNIT_NOISE },
        };
        return kinds[layout][unit % 4];
}

/* What an earlier sweep left: free markers, and records that are whole and no longer hold. */
static void use_journal(struct undo_case *c, struct chance *chance) {
        struct undo_table table;
        uint8_t page[PAGE_BYTES];
        size_t units = undo_units(c->segment_bytes);
        c->sequence = 2 * UNDO_SLOTS + 1;
        c->record = UNDO_SLOTS;
        MUST(undo_table_init(&table, units) == 0, "out of memory");
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++) {
                size_t data = undo_data_offset(c->segment_bytes, slot) / PAGE_BYTES;
                size_t place = undo_table_offset(c->segment_bytes, slot) / PAGE_BYTES;
                struct undo_marker marker = {
                        .sequence = c->sequence - slot,
                        .record = c->record - slot,
                        .slot = slot,
                        .state = UNDO_FREE,
                        .mode = MODE_PRESERVE,
                        .place = { 0, c->segment_bytes },
                        .target_id = TARGET_ID,
                        .nonce = 3,
                };
                table.units = units;
                for (size_t i = 0; i < units; i++) {
                        uint32_t id = a_unit(chance, UNIT_NOISE, i, 0);
                        image_set(&c->journal, data + i, id);
                        table.crcs[i] = undo_crc(page_at(id)->bytes, PAGE_BYTES);
                }
                for (size_t i = 0; i < undo_table_pages(c->segment_bytes); i++) {
                        undo_table_write(page, c->head.journal_id, marker.record, &table, i);
                        marker.table_crc = undo_table_crc(marker.table_crc, page);
                        image_set(&c->journal, place + i, page_of(page, 0));
                }
                undo_marker_write(page, c->head.journal_id, &marker);
                for (unsigned copy = 0; copy < UNDO_MARKER_COPIES; copy++)
                        image_set(&c->journal, undo_marker_offset(c->segment_bytes, slot, copy) / PAGE_BYTES,
                                page_of(page, 0));
        }
        undo_table_deinit(&table);
}

static void make_journal(struct undo_case *c, struct chance *chance, bool used) {
        uint8_t page[PAGE_BYTES];
        c->head = (struct undo_head){
                .journal_id = 0x51,
                .segment_bytes = c->segment_bytes,
                .target_bytes = c->size_bytes,
                .device = "disk",
        };
        image_init(&c->journal, undo_journal_bytes(c->segment_bytes) / PAGE_BYTES);
        undo_head_write(page, &c->head);
        for (unsigned copy = 0; copy < 2; copy++)
                image_set(&c->journal, undo_head_offset(copy) / PAGE_BYTES, page_of(page, 0));
        c->sequence = c->record = 0;
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++)
                for (unsigned copy = 0; copy < UNDO_MARKER_COPIES; copy++) {
                        struct undo_marker marker = { .slot = slot };
                        undo_marker_write(page, c->head.journal_id, &marker);
                        image_set(&c->journal, undo_marker_offset(c->segment_bytes, slot, copy) / PAGE_BYTES,
                                page_of(page, 0));
                }
        if (used)
                use_journal(c, chance);
}

uint64_t undo_case_shapes(void) {
        return SHAPES;
}

/* The next digit of a number whose digits have different bases. */
static uint64_t digit(uint64_t *number, uint64_t base) {
        uint64_t value = *number % base;
        *number /= base;
        return value;
}

void undo_case_small(struct undo_case *c, uint64_t seed) {
        uint64_t left = seed % SHAPES;
        struct chance chance = { layout_mix(left + 1) }, order = { layout_mix(~seed) };
        memset(c, 0, offsetof(struct undo_case, target));
        c->seed = seed;
        c->shape = left;
        c->mode = digit(&left, MODES) ? MODE_REFRESH : MODE_PRESERVE;
        enum layout layout = (enum layout)digit(&left, LAYOUTS);
        size_t segments = digit(&left, SEGMENTS) + 1, blocks = BLOCKS - digit(&left, BLOCKS);
        c->depth = (unsigned)(DEPTHS - digit(&left, DEPTHS));
        c->block_bytes = layout == LAYOUT_BAD || layout == LAYOUT_ZEROS ? 2 * UNIT_BYTES : UNIT_BYTES;
        c->logical_block_bytes = layout == LAYOUT_MIXED ? UNIT_BYTES : SECTOR_BYTES;
        c->physical_block_bytes = c->block_bytes;
        c->discards = layout == LAYOUT_ZEROS;
        c->segment_bytes = blocks * c->block_bytes;
        c->size_bytes = segments * c->segment_bytes;
        image_init(&c->target, undo_units(c->size_bytes));
        for (size_t i = 0; i < c->target.count; i++)
                image_set(&c->target, i,
                        a_unit(&chance, small_kind(layout, i), i, layout == LAYOUT_BAD && i == 4 ? 4 : 0));
        if (layout == LAYOUT_SHORT)
                c->size_bytes -= 5 * SECTOR_BYTES;
        make_journal(c, &chance, layout == LAYOUT_USED);
        c->nonce = layout_mix(c->shape + 77) % 8 + 100; /* few, so that their tables are computed once */
        c->narrow_budget_us = TIME_ENOUGH_US;
        c->any_order = seed >= SHAPES;
        if (seed >= SHAPES && chance_one_in(&order, 2)) {
                c->order = chance_one_in(&order, 2) ? SWEEP_CANCEL : SWEEP_STOP;
                c->order_at = (unsigned)chance_below(&order, 120 * segments);
        }
}

static void large_contents(struct undo_case *c, struct chance *chance, size_t units) {
        image_init(&c->target, units);
        for (size_t i = 0; i < units; i++) {
                bool odd = chance_one_in(chance, 4);
                enum unit_kind kind = odd ? (enum unit_kind)chance_below(chance, UNIT_KINDS) : UNIT_NOISE;
                uint8_t bad = chance_one_in(chance, 40) ? (uint8_t)chance_next(chance) : 0;
                if (c->logical_block_bytes > SECTOR_BYTES && bad)
                        bad = PAGE_WHOLE;
                uint64_t sectors = MIN(undo_case_sectors(c) - i * PAGE_SECTORS, PAGE_SECTORS);
                bad &= (uint8_t)(BIT(sectors) - 1);
                image_set(&c->target, i, a_unit(chance, kind, i, bad));
        }
}

void undo_case_large(struct undo_case *c, uint64_t seed) {
        struct chance chance = { layout_mix(seed + 1) };
        memset(c, 0, offsetof(struct undo_case, target));
        c->seed = c->shape = seed;
        c->mode = chance_one_in(&chance, 3) ? MODE_REFRESH : MODE_PRESERVE;
        c->block_bytes = (uint32_t)UNIT_BYTES << chance_below(&chance, 5);
        c->logical_block_bytes = chance_one_in(&chance, 3) ? UNIT_BYTES : SECTOR_BYTES;
        c->physical_block_bytes = (uint32_t)UNIT_BYTES << chance_below(&chance, 3);
        c->physical_block_bytes = MIN(c->physical_block_bytes, c->block_bytes);
        uint64_t blocks = chance_between(&chance, 1, MAX(2, 64 * UNIT_BYTES / c->block_bytes));
        c->segment_bytes = blocks * c->block_bytes;
        uint64_t units = chance_between(&chance, 1, MIN(3 * undo_units(c->segment_bytes), 160));
        c->size_bytes = units * UNIT_BYTES;
        if (chance_one_in(&chance, 2) && c->logical_block_bytes == SECTOR_BYTES)
                c->size_bytes -= chance_below(&chance, PAGE_SECTORS) * SECTOR_BYTES;
        c->depth = (unsigned)(chance_one_in(&chance, 4) ? 1 : chance_between(&chance, 1, 16));
        c->discards = chance_one_in(&chance, 3);
        c->any_order = true;
        c->nonce = 100 + chance_below(&chance, 8);
        uint64_t haste = layout_mix(~seed);
        c->narrow_budget_us = haste % 4 ? TIME_ENOUGH_US : haste / 4 % 1000; /* for a few pieces, or for none */
        large_contents(c, &chance, units);
        make_journal(c, &chance, chance_one_in(&chance, 2));
}

void undo_case_begin(const struct undo_case *c, struct world *w) {
        memset(w, 0, sizeof *w);
        world_init(w, &c->target, &c->journal, undo_case_sectors(c), c->logical_block_bytes / SECTOR_BYTES, c->depth);
        w->any_order = c->any_order;
        w->chance.state = layout_mix(c->seed + 5);
}

/* What main and the ledger are to a sweep, at their kindest: all is durable a few pumps later. */
struct desk {
        struct news_port port;
        uint64_t sequence; /* of what waits for an answer */
        unsigned waits;
        struct swept *swept;
};

static bool post(struct news_port *port, const struct news *news) {
        struct desk *d = (void *)port; /* its first member */
        struct swept *s = d->swept;
        if (news->sequence > 0) {
                d->sequence = news->sequence;
                d->waits = ANSWER_DELAY;
        }
        if (news->kind != NEWS_FAULT)
                return true;
        size_t i = 0;
        while (i < s->fault_count && s->faults[i].fault_serial != news->fault_serial)
                i++;
        MUST(i < FAULTS_MAX, "more faults than a simulation can hold");
        s->faults[i] = *news;
        s->fault_count = MAX(s->fault_count, i + 1);
        return true;
}

static void answer(struct desk *d, struct sweep *sweep) {
        struct answer answer = { .kind = ANSWER_DURABLE, .sequence = d->sequence };
        if (d->waits == 0 || --d->waits > 0)
                return;
        sweep_answer(sweep, &answer);
}

static bool is_busy(const struct world *w) {
        return w->disks[DISK_TARGET].flight_count + w->disks[DISK_JOURNAL].flight_count > 0;
}

static void pump(const struct undo_case *c, struct world *w, enum sweep_order (*until)(struct world *w),
        struct sweep *sweep, struct desk *desk) {
        unsigned idle = 0;
        for (unsigned pumps = 0;; pumps++) {
                MUST(pumps < PUMPS_MAX, "the sweep never ends");
                answer(desk, sweep);
                enum sweep_order order = c->order != SWEEP_RUN && pumps >= c->order_at ? c->order : SWEEP_RUN;
                if (until && order == SWEEP_RUN)
                        order = until(w);
                enum sweep_pumped pumped = sweep_pump(sweep, order, w->now_us, w->now_us);
                if (pumped == SWEEP_ENDED)
                        break;
                idle = pumped == SWEEP_BUSY || is_busy(w) || desk->waits > 0 ? 0 : idle + 1;
                MUST(idle < IDLE_MAX, "the sweep waits for nothing");
                w->now_us += 100;
        }
        MUST(!is_busy(w), "the sweep ended with requests in flight");
}

void undo_sweep(
        const struct undo_case *c, struct world *w, enum sweep_order (*until)(struct world *w), struct swept *ret) {
        static struct sweep_gauge gauge;
        struct desk desk = { .port.post = post, .swept = ret };
        struct target_record *target = calloc(1, sizeof *target);
        MUST(target, "out of memory");
        *target = (struct target_record){ .row = 1, .target_id = TARGET_ID, .last_generation = 4 };
        struct sweep_options o = {
                .id = 1,
                .device = "disk",
                .mode = c->mode,
                .started_us = 1000,
                .block_bytes = c->block_bytes,
                .segment_bytes = c->segment_bytes,
                .depth = c->depth,
                .size_bytes = c->size_bytes,
                .logical_block_bytes = c->logical_block_bytes,
                .physical_block_bytes = c->physical_block_bytes,
                .diskseq = 7,
                .narrow_budget_us = c->narrow_budget_us,
                .random = { c->nonce, 2, 3 },
                .target = target,
                .undo = c->head,
                .undo_sequence = c->sequence,
                .undo_record = c->record,
                .discards = c->discards,
                .journal_depth = c->depth,
                .journal = &w->disks[DISK_JOURNAL].engine,
                .engine = &w->disks[DISK_TARGET].engine,
                .news = &desk.port,
                .gauge = &gauge,
        };
        memset(&gauge, 0, sizeof gauge);
        memset(ret, 0, offsetof(struct swept, faults));
        struct sweep *sweep = NULL;
        if (c->fail_memory)
                memory_fail(c->fail_memory);
        int r = sweep_new(&sweep, &o);
        MUST(r == 0 || r == -ENOMEM, "sweep_new: %d", r);
        if (r < 0) {
                free(target);
                return;
        }
        pump(c, w, until, sweep, &desk);
        ret->begun = true;
        ret->record = *sweep_record(sweep);
        ret->left_armed = sweep_left_armed(sweep);
        sweep_free(sweep);
}

void undo_tell(const struct swept *swept) {
        for (size_t i = 0; i < swept->fault_count; i++) {
                const struct finding *f = &swept->faults[i].fault;
                story("  %s, %s, at %" PRIu64 ", %" PRIu64 " bytes: %s", fault_name(f->fault),
                        persistence_name(f->persistence), f->place.offset_bytes, f->place.length_bytes, f->text);
        }
        story("ended %s, %s, %s: %s; slots left armed: %u", sweep_end_name(swept->record.end),
                verdict_name(swept->record.verdict), swept->record.reason.rule, swept->record.reason.found,
                swept->left_armed);
}

static void take_note(void *userdata, const struct recovery_note *note) {
        struct recovered *r = userdata;
        if (r->note_count == NOTES_MAX)
                r->notes_lost = true;
        else
                r->notes[r->note_count++] = *note;
}

void undo_recover(const struct undo_case *c, struct world *w, bool alone, bool by_hand, struct recovered *ret) {
        struct recovery_options o = {
                .target = &w->disks[DISK_TARGET].engine,
                .journal = &w->disks[DISK_JOURNAL].engine,
                .depth = c->depth,
                .block_bytes = c->block_bytes,
                .logical_block_bytes = c->logical_block_bytes,
                .target_bytes = c->size_bytes,
                .head = c->head,
                .alone = alone,
                .by_hand = by_hand,
                .wall_us = 5000,
                .note = take_note,
                .userdata = ret,
        };
        struct recovery *recovery = NULL;
        ret->note_count = 0;
        ret->notes_lost = false;
        if (c->fail_memory)
                memory_fail(c->fail_memory);
        ret->error = recovery_new(&recovery, &o);
        if (ret->error) {
                MUST(ret->error == -ENOMEM, "recovery_new: %d", ret->error);
                return;
        }
        unsigned idle = 0, pumps = 0;
        for (enum recovery_pumped p; (p = recovery_pump(recovery, false)) != RECOVERY_ENDED; pumps++) {
                MUST(pumps < PUMPS_MAX, "recovery never ends");
                idle = p == RECOVERY_BUSY || is_busy(w) ? 0 : idle + 1;
                MUST(idle < IDLE_MAX, "recovery waits for nothing");
                w->now_us += 100;
        }
        MUST(!is_busy(w), "recovery ended with requests in flight");
        ret->result = *recovery_result(recovery);
        recovery_free(recovery);
}
