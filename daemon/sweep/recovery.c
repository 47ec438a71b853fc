/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a crash nobody knows how far a segment had come, whether it was overwritten, by whom, and whether an earlier
 * recovery was cut short, too. Replaying the journal blindly would destroy what somebody wrote since. So recovery
 * remembers nothing and decides by bytes alone: the whole segment is classified before its first byte is written, and a
 * slot is freed only after the originals were flushed and read back. Each phase ends with nothing in flight, so that
 * what the next one writes never overtakes it.
 */
#include "sweep/recovery_private.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { RESTARTS_MAX = 3, ROUNDS_MAX = 3 };

/* "Recovery" in ARCHITECTURE.md is this table. */
static const uint16_t next_phases[RECOVERY_PHASE_COUNT] = {
        [RECOVERY_MARKERS] = BIT(RECOVERY_TABLE),
        [RECOVERY_TABLE] = BIT(RECOVERY_CLASSIFY) | BIT(RECOVERY_NOTE),
        [RECOVERY_NOTE] = BIT(RECOVERY_NOTE) | BIT(RECOVERY_CLASSIFY) | BIT(RECOVERY_RESTORE),
        [RECOVERY_CLASSIFY] = BIT(RECOVERY_SHELF) | BIT(RECOVERY_RESTORE),
        [RECOVERY_SHELF] = BIT(RECOVERY_COPY),
        [RECOVERY_COPY] = BIT(RECOVERY_COPY_FLUSH),
        [RECOVERY_COPY_FLUSH] = BIT(RECOVERY_DESCRIBE),
        [RECOVERY_DESCRIBE] = BIT(RECOVERY_DESCRIBE_FLUSH),
        [RECOVERY_DESCRIBE_FLUSH] = BIT(RECOVERY_RESTORE),
        [RECOVERY_RESTORE] = BIT(RECOVERY_FLUSH) | BIT(RECOVERY_CLASSIFY),
        [RECOVERY_FLUSH] = BIT(RECOVERY_CHECK) | BIT(RECOVERY_RESTORE) | BIT(RECOVERY_NOTE),
        [RECOVERY_CHECK] = BIT(RECOVERY_CLOSE) | BIT(RECOVERY_RESTORE),
        [RECOVERY_CLOSE] = BIT(RECOVERY_TABLE),
};

void recovery_enter(struct recovery *r, enum recovery_phase next) {
        assert(next < RECOVERY_PHASE_COUNT);
        assert(next == RECOVERY_OVER || next_phases[r->phase] & BIT(next));
        assert(recovery_io_idle(r));
        r->phase = next;
        r->index = 0;
        r->asked = false;
        r->next_stretch = 0;
}

DEFINE_FREEP(struct recovery, recovery_free, recovery_freep)

int recovery_new(struct recovery **ret, const struct recovery_options *options) {
        assert(options->depth > 0 && options->block_bytes > 0 && options->block_bytes % UNIT_BYTES == 0);
        assert(options->logical_block_bytes >= SECTOR_BYTES && options->logical_block_bytes <= UNIT_BYTES);
        CLEANUP(recovery_freep)
        struct recovery *r = calloc(1, sizeof *r);
        if (!r)
                return -ENOMEM;
        r->o = *options;
        if (engine_look(options->target, &r->before) < 0 || !engine_counts_all(&r->before, &r->before))
                r->o.alone = false;
        size_t room = undo_units(MIN(options->head.segment_bytes, options->target_bytes));
        int e = undo_table_init(&r->table, room);
        if (e < 0)
                return e;
        r->units = calloc(room, sizeof *r->units);
        if (!r->units)
                return -ENOMEM;
        e = table_cache_new(&r->tables, 1);
        if (e < 0)
                return e;
        e = recovery_io_init(r);
        if (e < 0)
                return e;
        *ret = STEAL(r);
        return 0;
}

struct recovery *recovery_free(struct recovery *r) {
        if (!r)
                return NULL;
        assert(r->out[0] + r->out[1] == 0);
        table_unref(r->pattern);
        table_cache_free(r->tables);
        recovery_io_deinit(r);
        undo_table_deinit(&r->table);
        free(r->units);
        free(r);
        return NULL;
}

const struct recovery_result *recovery_result(const struct recovery *r) {
        return &r->result;
}

/* Which slots there are to do. */

static bool is_held(const struct recovery_slot *slot) {
        return slot->valid && slot->marker.state != UNDO_FREE;
}

/* A marker that is whole may still tell of a place that can't be. */
static bool is_believable(const struct recovery *r, const struct undo_marker *m) {
        struct extent target = { 0, r->o.target_bytes };
        return (m->mode == MODE_REFRESH || m->mode == MODE_PRESERVE) && m->place.length_bytes > 0 &&
                m->place.length_bytes <= r->o.head.segment_bytes && m->place.offset_bytes <= r->o.target_bytes &&
                extent_contains(target, m->place) && m->place.offset_bytes % UNIT_BYTES == 0 &&
                m->place.length_bytes % r->o.logical_block_bytes == 0;
}

static void tell_unbelievable(const struct recovery *r, const struct undo_marker *m) {
        struct recovery_note note = {
                .kind = RECOVERY_TABLE_BAD,
                .slot = m->slot,
                .record = m->record,
                .place = m->place,
                .journal = true,
        };
        r->o.note(r->o.userdata, &note);
}

static void choose(struct recovery *r) {
        struct recovery_slot *first = &r->slots[0], *second = &r->slots[1];
        bool overlap = is_held(first) && is_held(second) && extent_overlaps(first->marker.place, second->marker.place);
        for (unsigned i = 0; i < UNDO_SLOTS; i++) {
                struct recovery_slot *slot = &r->slots[i];
                if (!slot->valid && slot->error)
                        r->result.journal_error = slot->error; /* nobody knows what it holds */
                if (!is_held(slot))
                        continue;
                r->result.slots_armed++;
                bool odd = overlap || !is_believable(r, &slot->marker);
                if (odd)
                        tell_unbelievable(r, &slot->marker);
                if (odd || (slot->marker.state == UNDO_PINNED && !r->o.by_hand))
                        r->result.slots_pinned++;
                else
                        r->todo[r->todo_count++] = slot;
        }
        if (r->todo_count == UNDO_SLOTS && second->marker.record < first->marker.record) {
                r->todo[0] = second;
                r->todo[1] = first;
        }
}

/* A marker of another slot has no business here. */
static void take_marker(struct recovery *r, unsigned index, unsigned copy) {
        struct recovery_slot *slot = &r->slots[index];
        struct undo_marker marker;
        if (r->single_error)
                slot->error = r->single_error;
        if (!undo_marker_read(&marker, r->lanes[0].saved, r->o.head.journal_id) || marker.slot != index)
                return;
        if (!slot->valid || marker.sequence > slot->marker.sequence) {
                slot->marker = marker;
                slot->copy = copy;
        }
        slot->valid = true;
        r->result.sequence = MAX(r->result.sequence, marker.sequence);
        r->result.record = MAX(r->result.record, marker.record);
}

static void forget_verdicts(struct recovery *r) {
        for (size_t i = 0; i < recovery_units(r); i++) {
                const struct recovery_unit *u = &r->units[i];
                r->units[i] = (struct recovery_unit){ .strange = u->foreign | u->strange,
                        .flags = u->flags & UNIT_BLIND };
        }
        r->foreign_met = r->o.foreign.length_bytes > 0 && extent_overlaps(r->o.foreign, r->slot->marker.place);
        r->changed = r->shelf.failed = false;
        r->rounds = 0;
        r->copying = COPY_SEARCHING;
}

static void next_slot(struct recovery *r) {
        r->pattern = table_unref(r->pattern);
        if (r->todo_next == r->todo_count) {
                recovery_enter(r, RECOVERY_OVER);
                return;
        }
        r->slot = r->todo[r->todo_next++];
        const struct undo_marker *m = &r->slot->marker;
        r->table.units = undo_units(m->place.length_bytes);
        assert(r->table.units <= r->table.room);
        memset(r->table.absent, 0, (r->table.room + 63) / 64 * sizeof *r->table.absent);
        memset(r->units, 0, r->table.room * sizeof *r->units);
        forget_verdicts(r);
        r->restarts = 0;
        r->flush_error = 0;
        r->lost_a_flush = m->state == UNDO_ARMED && m->units_lost > 0 && !r->o.unflushed;
        r->table_error = 0;
        r->table_again = false;
        if (m->mode == MODE_PRESERVE) {
                r->pattern = table_cache_get(r->tables, m->nonce);
                r->content = (struct content){
                        .table = r->pattern,
                        .stamp = { .mode = m->mode,
                                .target_id = m->target_id,
                                .generation = m->generation,
                                .nonce = m->nonce,
                                .started_us = m->started_us },
                };
        }
        recovery_enter(r, RECOVERY_TABLE);
}

static void step_markers(struct recovery *r) {
        if (r->index > 0)
                take_marker(r, (unsigned)(r->index - 1) / UNDO_MARKER_COPIES,
                        (unsigned)(r->index - 1) % UNDO_MARKER_COPIES);
        if (r->index == (size_t)UNDO_SLOTS * UNDO_MARKER_COPIES) {
                choose(r);
                next_slot(r);
                return;
        }
        unsigned slot = (unsigned)r->index / UNDO_MARKER_COPIES, copy = (unsigned)r->index % UNDO_MARKER_COPIES;
        struct extent place = { undo_marker_offset(r->o.head.segment_bytes, slot, copy), UNDO_PAGE_BYTES };
        r->index++;
        recovery_single(r, true, ENGINE_READ, place, r->lanes[0].saved);
}

/* A slot that is not closed and whose marker does not say that a flush failed; NULL: none. Who flushes for one slot
 * flushes for all: what an earlier run wrote to the other one's place may be lost, too. */
static struct recovery_slot *unnoted(const struct recovery *r) {
        for (size_t i = r->todo_next - 1; i < r->todo_count; i++)
                if (r->todo[i]->marker.units_lost == 0)
                        return r->todo[i];
        return NULL;
}

/* The table of a slot. */

static void set_blind(struct recovery *r, size_t page, bool blind) {
        size_t from = page * UNDO_TABLE_UNITS, to = MIN(from + UNDO_TABLE_UNITS, recovery_units(r));
        for (size_t i = from; i < to; i++)
                r->units[i].flags = blind ? UNIT_BLIND : 0;
}

static size_t pages_at_once(const struct recovery *r) {
        return r->o.block_bytes / UNDO_PAGE_BYTES;
}

/* Up to `index` pages were read. */
static void take_table(struct recovery *r) {
        size_t first = (r->index - 1) / pages_at_once(r) * pages_at_once(r);
        if (first == 0) {
                r->table_crc = 0;
                r->table_bad = 0;
        }
        if (r->single_error)
                r->table_error = r->single_error;
        for (size_t page = first; page < r->index; page++) {
                const uint8_t *bytes = r->lanes[0].saved + (page - first) * UNDO_PAGE_BYTES;
                r->table_crc = undo_table_crc(r->table_crc, bytes);
                bool good = undo_table_read(&r->table, bytes, r->o.head.journal_id, r->slot->marker.record, page);
                set_blind(r, page, !good);
                r->table_bad += !good;
        }
}

/* All pages are there. True: they are to be read once more. */
static bool judge_table(struct recovery *r, size_t pages) {
        bool whole = r->table_bad == 0 && r->table_crc == r->slot->marker.table_crc;
        if (!whole && !r->table_again) {
                r->table_again = true;
                r->table_error = 0;
                return true;
        }
        /* Pages that are right by themselves and not together are another record's: none is believed. */
        if (!whole && r->table_bad == 0)
                for (size_t page = 0; page < pages; page++)
                        set_blind(r, page, true);
        return false;
}

static void step_table(struct recovery *r) {
        size_t pages = undo_table_pages(r->slot->marker.place.length_bytes);
        if (r->index > 0)
                take_table(r);
        if (r->index == pages && !judge_table(r, pages)) {
                recovery_enter(r, r->o.unflushed && unnoted(r) ? RECOVERY_NOTE : RECOVERY_CLASSIFY);
                return;
        }
        size_t from = r->index == pages ? 0 : r->index;
        r->index = MIN(from + pages_at_once(r), pages);
        struct extent place = {
                undo_table_offset(r->o.head.segment_bytes, r->slot->marker.slot) + (uint64_t)from * UNDO_PAGE_BYTES,
                (uint64_t)(r->index - from) * UNDO_PAGE_BYTES,
        };
        recovery_single(r, true, ENGINE_READ, place, r->lanes[0].saved);
}

/* The segment. */

static void step_classify(struct recovery *r) {
        if (recovery_io_spread(r))
                return;
        recovery_decide(r);
        if (r->slot->marker.units_lost > 0) /* a flush failed, in this run or before it */
                recovery_doubt_all(r);
        recovery_enter(r, r->foreign_met ? RECOVERY_SHELF : RECOVERY_RESTORE);
}

/* Somebody may have begun to write since the caller counted. */
static bool is_still_alone(const struct recovery *r) {
        struct engine_look look;
        return r->o.alone && engine_look(r->o.target, &look) == 0 && engine_counts_all(&r->before, &look) &&
                engine_others_wrote(&r->before, &look, r->result.bytes_written) == 0;
}

/* The last look at the device before the segment is written to. Where somebody else wrote, what is strange is theirs:
 * from here on every unit is looked at again before it is written to. */
static void step_restore(struct recovery *r) {
        if (!r->asked && !recovery_target_is_there(r))
                return;
        if (!r->asked)
                r->o.alone = is_still_alone(r);
        r->asked = true;
        if (recovery_io_spread(r))
                return;
        if (r->changed && r->restarts++ < RESTARTS_MAX) {
                forget_verdicts(r);
                recovery_enter(r, RECOVERY_CLASSIFY);
                return;
        }
        recovery_enter(r, RECOVERY_FLUSH);
}

/* Also where nothing was written: what was read as the original may be in the cache only. */
static void step_flush(struct recovery *r) {
        if (!r->asked) {
                r->asked = true;
                recovery_single(r, false, ENGINE_FLUSH, (struct extent){ 0 }, NULL);
                return;
        }
        r->flush_error = r->single_error;
        if (!r->flush_error) {
                recovery_enter(r, RECOVERY_CHECK);
                return;
        }
        r->lost_a_flush = true;
        r->unflushed_error = r->flush_error;
        recovery_doubt_all(r);
        if (r->rounds++ < ROUNDS_MAX) {
                recovery_enter(r, unnoted(r) ? RECOVERY_NOTE : RECOVERY_RESTORE);
                return;
        }
        recovery_lose_rest(r);
        recovery_enter(r, RECOVERY_CHECK);
}

static void step_check(struct recovery *r) {
        if (recovery_io_spread(r))
                return;
        if (recovery_is_left(r) && r->rounds++ < ROUNDS_MAX) {
                recovery_enter(r, RECOVERY_RESTORE);
                return;
        }
        recovery_lose_rest(r);
        recovery_enter(r, RECOVERY_CLOSE);
}

/* The marker. */

/*
 * One copy and a flush, then the other and a flush, so that one of them is whole at any time: the one that counts comes
 * last. True: both are there, or there was an error.
 */
static bool write_marker(struct recovery *r, struct recovery_slot *slot) {
        struct undo_marker *m = &slot->marker;
        if (r->index == 0) {
                m->sequence = ++r->result.sequence;
                undo_marker_write(r->lanes[0].saved, r->o.head.journal_id, m);
        } else if (r->single_error || r->index == (size_t)2 * UNDO_MARKER_COPIES) {
                return true;
        }
        unsigned request = (unsigned)r->index++;
        if (request % 2 == 1) {
                recovery_single(r, true, ENGINE_FLUSH, (struct extent){ 0 }, NULL);
                return false;
        }
        unsigned copy = (slot->copy + 1 + request / 2) % UNDO_MARKER_COPIES;
        uint64_t offset = undo_marker_offset(r->o.head.segment_bytes, m->slot, copy);
        recovery_single(r, true, ENGINE_WRITE, (struct extent){ offset, UNDO_PAGE_BYTES }, r->lanes[0].saved);
        return false;
}

/* Before anything is written again: a recovery that comes after a crash would not know that what it reads may be in the
 * cache only. */
static void step_note(struct recovery *r) {
        if (r->index == 0) {
                r->noting = unnoted(r);
                r->noting->marker.units_lost = (uint32_t)undo_units(r->noting->marker.place.length_bytes);
        }
        if (!write_marker(r, r->noting))
                return;
        if (r->single_error)
                r->result.journal_error = r->single_error;
        enum recovery_phase then = r->flush_error ? RECOVERY_RESTORE : RECOVERY_CLASSIFY;
        recovery_enter(r, unnoted(r) ? RECOVERY_NOTE : then);
}

static void compose_marker(struct recovery *r) {
        struct undo_marker *m = &r->slot->marker;
        bool pinned;
        m->units_lost = recovery_conclude(r, &pinned);
        m->state = pinned ? UNDO_PINNED : UNDO_FREE;
}

static void count_closed(struct recovery *r, int error) {
        if (error)
                r->result.journal_error = error;
        else if (r->slot->marker.state == UNDO_FREE)
                r->result.slots_freed++;
        else
                r->result.slots_pinned++;
}

/* After an error the slot is taken to be armed. */
static void step_close(struct recovery *r) {
        if (r->index == 0) {
                if (!recovery_target_is_there(r))
                        return;
                compose_marker(r);
        }
        if (!write_marker(r, r->slot))
                return;
        count_closed(r, r->single_error);
        next_slot(r);
}

static void step(struct recovery *r) {
        static void (*const steps[])(struct recovery * r) = {
                [RECOVERY_MARKERS] = step_markers,
                [RECOVERY_TABLE] = step_table,
                [RECOVERY_NOTE] = step_note,
                [RECOVERY_CLASSIFY] = step_classify,
                [RECOVERY_SHELF] = recovery_step_shelf,
                [RECOVERY_COPY] = recovery_step_copy,
                [RECOVERY_COPY_FLUSH] = recovery_step_copy_flush,
                [RECOVERY_DESCRIBE] = recovery_step_describe,
                [RECOVERY_DESCRIBE_FLUSH] = recovery_step_describe_flush,
                [RECOVERY_RESTORE] = step_restore,
                [RECOVERY_FLUSH] = step_flush,
                [RECOVERY_CHECK] = step_check,
                [RECOVERY_CLOSE] = step_close,
        };
        assert(r->phase < ELEMENTS(steps));
        steps[r->phase](r);
}

/* A phase that walks the segment gives idle lanes work while others are busy; the others make one request at a time. */
static bool is_wide(enum recovery_phase phase) {
        return phase == RECOVERY_CLASSIFY || phase == RECOVERY_RESTORE || phase == RECOVERY_CHECK;
}

enum recovery_pumped recovery_pump(struct recovery *r, bool give_up) {
        r->stopped |= give_up;
        bool any = recovery_io_reap(r);
        while (!r->stopped && r->phase != RECOVERY_OVER && (recovery_io_idle(r) || is_wide(r->phase))) {
                enum recovery_phase before = r->phase;
                step(r);
                any |= r->phase != before;
                if (is_wide(r->phase) && r->phase == before)
                        break;
        }
        any |= recovery_io_submit(r);
        if (r->stopped && r->out[0] + r->out[1] == 0)
                recovery_enter(r, RECOVERY_OVER);
        if (r->phase == RECOVERY_OVER)
                return RECOVERY_ENDED;
        return any || r->out[0] + r->out[1] == 0 ? RECOVERY_BUSY : RECOVERY_WAITING;
}
