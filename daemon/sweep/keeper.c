/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every original byte of a disk goes through here and back, and any moment may be the last one. So the order of the
 * steps is everything: nothing is written over before its original is durable in the journal, was read back from there,
 * and is armed by a marker that was read back, too; and the marker goes only after the originals are durable in their
 * place and were read there again. The keeper does this one way only. Where something comes in between (another
 * writer, an original that doesn't go back, an order to stop) it lets go and leaves the slot armed.
 *
 * Two segments are under way at a time: while one has the target, the other one's journal work is done, so that the
 * target need not wait for the journal. Diagram and invariants are in ARCHITECTURE.md.
 */
#include "sweep/keeper_private.h"

#include "media/medium.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t next_steps[KEEP_STEP_COUNT] = {
        [KEEP_FREE] = BIT(KEEP_SAVE),
        [KEEP_SAVE] = BIT(KEEP_SEAL) | BIT(KEEP_COMPARE) | BIT(KEEP_FREE),
        [KEEP_SEAL] = BIT(KEEP_SEAL_FLUSH) | BIT(KEEP_FREE),
        [KEEP_SEAL_FLUSH] = BIT(KEEP_READ_BACK) | BIT(KEEP_FREE),
        [KEEP_READ_BACK] = BIT(KEEP_READ_TABLE) | BIT(KEEP_FREE),
        [KEEP_READ_TABLE] = BIT(KEEP_ARM) | BIT(KEEP_FREE),
        [KEEP_ARM] = BIT(KEEP_ARM_FLUSH) | BIT(KEEP_DISARM) | BIT(KEEP_LEFT),
        [KEEP_ARM_FLUSH] = BIT(KEEP_ARM) | BIT(KEEP_ARM_CHECK) | BIT(KEEP_DISARM) | BIT(KEEP_LEFT),
        [KEEP_ARM_CHECK] = BIT(KEEP_ARMED) | BIT(KEEP_RESTORE) | BIT(KEEP_DISARM) | BIT(KEEP_LEFT),
        [KEEP_ARMED] = BIT(KEEP_COMPARE) | BIT(KEEP_DISARM) | BIT(KEEP_LEFT),
        [KEEP_COMPARE] = BIT(KEEP_WRITE) | BIT(KEEP_RESTORE) | BIT(KEEP_DISARM) | BIT(KEEP_FREE) | BIT(KEEP_LEFT),
        [KEEP_WRITE] = BIT(KEEP_WRITE_FLUSH) | BIT(KEEP_LEFT),
        [KEEP_WRITE_FLUSH] = BIT(KEEP_VERIFY) | BIT(KEEP_ARM) | BIT(KEEP_LEFT),
        [KEEP_VERIFY] = BIT(KEEP_RESTORE) | BIT(KEEP_LEFT),
        [KEEP_RESTORE] = BIT(KEEP_RESTORE_FLUSH) | BIT(KEEP_LEFT),
        [KEEP_RESTORE_FLUSH] = BIT(KEEP_CHECK) | BIT(KEEP_RESTORE) | BIT(KEEP_ARM) | BIT(KEEP_DISARM) | BIT(KEEP_LEFT),
        [KEEP_CHECK] = BIT(KEEP_DISARM) | BIT(KEEP_LEFT),
        [KEEP_DISARM] = BIT(KEEP_DISARM_FLUSH) | BIT(KEEP_LEFT),
        [KEEP_DISARM_FLUSH] = BIT(KEEP_DISARM) | BIT(KEEP_FREE) | BIT(KEEP_LEFT),
};

static bool is_armed(const struct keep_slot *slot) {
        return slot->step >= KEEP_ARM && slot->marker.state != UNDO_FREE;
}

/* Where what is swept ends. */
static uint64_t end_bytes(const struct keeper *k) {
        return extent_end(k->s->o.extent);
}

static void clear_bits(const struct keep_slot *slot, uint64_t *bits) {
        memset(bits, 0, (slot->table.room + 63) / 64 * sizeof *bits);
}

/* One copy is written and flushed after the other, so that one is whole at any time. `copy` stays: where another marker
 * was being written, the copy that is in doubt comes first. */
static void set_marker(struct keeper *k, struct keep_slot *slot, enum undo_state state) {
        slot->marker.sequence = ++k->sequence;
        slot->marker.state = state;
        slot->copies_left = UNDO_MARKER_COPIES;
}

static uint64_t table_crc(struct keeper *k, struct keep_slot *slot) {
        uint8_t page[UNDO_PAGE_BYTES];
        uint64_t crc = 0;
        for (size_t i = 0; i < undo_table_pages(slot->place.length_bytes); i++) {
                undo_table_write(page, k->s->o.undo.journal_id, slot->marker.record, &slot->table, i);
                crc = undo_table_crc(crc, page);
        }
        return crc;
}

/* From here on the target's bytes may change. */
static void begin_writing(struct keeper *k, struct keep_slot *slot) {
        assert(k->owner == slot);
        assert(slot->marker.state == UNDO_ARMED); /* INV-9: armed, durably, before the first write */
        slot->written = true;
        (void)sweep_device_is_there(k->s); /* else the sweep is ending now, and nothing is sent */
}

/* From here to the end of the segment, what the kernel counts as written must be what we wrote. */
static void begin_counting(struct keeper *k, struct keep_slot *slot) {
        slot->own_bytes = 0;
        slot->uncertain = slot->incomplete = slot->mismatched = slot->strange = false;
        if (engine_look(k->s->o.engine, &slot->before) < 0)
                slot->before.counts_known = false;
}

static void on_enter(struct keeper *k, struct keep_slot *slot) {
        switch (slot->step) {
        case KEEP_SAVE:
                assert(slot->marker.state == UNDO_FREE); /* INV-11: only a free slot's area is written */
                k->owner = slot;
                break;
        case KEEP_SEAL:
                k->owner = NULL;
                break;
        case KEEP_COMPARE:
                k->owner = slot;
                clear_bits(slot, slot->bad);
                clear_bits(slot, slot->unseen);
                clear_bits(slot, slot->unverified);
                begin_counting(k, slot);
                break;
        case KEEP_RESTORE:
                clear_bits(slot, slot->unwritten);
                slot->left_unwritten = false;
                begin_writing(k, slot);
                break;
        case KEEP_WRITE:
                begin_writing(k, slot);
                break;
        case KEEP_CHECK:
                clear_bits(slot, slot->bad);
                break;
        case KEEP_SEAL_FLUSH:
        case KEEP_ARM_FLUSH:
        case KEEP_DISARM_FLUSH:
                keep_io_flush(k, slot, LANE_JOURNAL);
                break;
        case KEEP_WRITE_FLUSH:
        case KEEP_RESTORE_FLUSH:
                keep_io_flush(k, slot, LANE_TARGET);
                break;
        case KEEP_FREE:
        case KEEP_LEFT:
                if (k->owner == slot)
                        k->owner = NULL;
                break;
        default:
                break;
        }
}

static void enter(struct keeper *k, struct keep_slot *slot, enum keep_step next) {
        assert(slot->blocks_out == 0 && !slot->flushing); /* INV-4: passes never overlap */
        assert(next_steps[slot->step] & BIT(next));
        slot->step = next;
        slot->cursor = 0;
        on_enter(k, slot);
}

/* What the journal does not do is no fault of the target; without it nothing may be overwritten. error: or 0. */
void keep_journal_failed(struct keeper *k, const char *what, int error) {
        k->journal_failed = true;
        sweep_wind_down(k->s, END_FAILED, "journal_failed",
                "See dmesg for the disk that holds the journal. What was armed is restored from it as far as it can be read.",
                "%s the undo journal failed: %s", what, error ? medium_errno_name(error) : "the bytes are wrong");
        k->stopping = true;
}

void keep_foreign(struct keeper *k, struct extent place) {
        k->foreign = k->stopping = true;
        k->suspected = false;
        k->foreign_place = place;
        sweep_wind_down(k->s, END_FAILED, "foreign_write",
                "Find who writes to the device (fuser, lsof, a second loop device or host) before the next sweep.",
                "somebody else wrote to the device at or after offset %" PRIu64 " during the sweep",
                place.offset_bytes);
}

/* What was read there is nothing that we wrote, and who is not counted may have written it. Recovery, which has the
 * originals to compare with, tells whether it is somebody's. */
void keep_suspect(struct keeper *k, struct extent place) {
        if (!k->foreign) {
                k->foreign = k->suspected = true;
                k->foreign_place = place;
        }
        k->stopping = true;
        sweep_wind_down(k->s, END_FAILED, "foreign_write",
                "See sweepctl errors and sweepctl rescue list; if it is nobody's, the disk has damaged it.",
                "what was read at offset %" PRIu64 " was never written there: it may be somebody else's",
                place.offset_bytes);
}

/* The originals did not go back as they should: recovery tries again, unit by unit. */
void keep_leave_armed(struct keeper *k, struct keep_slot *slot) {
        assert(is_armed(slot));
        sweep_wind_down(k->s, END_FAILED, "restore_failed",
                "See sweepctl errors. What could not be put back is in the journal: sweepctl rescue list.",
                "originals did not go back at the first try, in the segment at offset %" PRIu64,
                slot->place.offset_bytes);
        k->stopping = true;
}

/* Bytes that somebody else wrote while this segment was written, as far as the kernel counts; 0 also for unknown. Once
 * it is unknown, or not of all writers, of all of the segment. */
uint64_t keep_others_wrote(struct keeper *k, struct keep_slot *slot) {
        struct engine_look now;
        if (slot->uncertain || !slot->before.counts_known)
                return 0;
        if (engine_look(k->s->o.engine, &now) < 0 || !now.counts_known) {
                slot->uncertain = true;
                return 0;
        }
        slot->incomplete |= !engine_counts_all(&slot->before, &now);
        return engine_others_wrote(&slot->before, &now, slot->own_bytes);
}

bool keep_counts_all(const struct keep_slot *slot) {
        return slot->before.counts_known && !slot->uncertain && !slot->incomplete;
}

/* By what was read: data is somebody's whatever was counted, as another host is counted nowhere; and anything is that
 * we never wrote, where not all are counted. */
static bool holds_foreign(const struct keep_slot *slot) {
        return slot->strange || (slot->mismatched && !keep_counts_all(slot));
}

/* What we never wrote is somebody's, or damage where nobody else wrote. False: the sweep is stopping, and recovery
 * tells theirs from ours. Nothing of ours may be out, as it would count as theirs. */
bool keep_is_damage(struct keeper *k, struct keep_slot *slot) {
        if (keep_others_wrote(k, slot) > 0) {
                keep_foreign(k, slot->place);
                sweep_settle_withheld(k->s, true);
                return false;
        }
        if (holds_foreign(slot)) {
                keep_suspect(k, slot->doubtful);
                return false;
        }
        slot->mismatched = false;
        sweep_settle_withheld(k->s, false);
        return true;
}

static void after_check(struct keeper *k, struct keep_slot *slot) {
        if (k->stopping) /* something did not go back */
                return;
        keep_settle(k, slot, PERSISTENCE_REPAIRED);
        if (keep_others_wrote(k, slot) > 0)
                keep_foreign(k, slot->place);
        assert(slot->step == KEEP_CHECK && !slot->unflushed); /* INV-10: durable in place, and read there */
        k->owner = NULL;
        slot->marker.units_lost = 0;
        set_marker(k, slot, UNDO_FREE);
        slot->written = false;
        enter(k, slot, KEEP_DISARM);
}

/* What a flush lost, a later one does not bring back, nor does it say so. So whoever comes after a crash must know of
 * it before all of the segment is written again, and looks as it should. */
static void restore_unflushed(struct keeper *k, struct keep_slot *slot) {
        if (slot->marker.units_lost > 0) {
                enter(k, slot, KEEP_RESTORE);
                return;
        }
        slot->marker.units_lost = (uint32_t)slot->present;
        set_marker(k, slot, UNDO_ARMED);
        enter(k, slot, KEEP_ARM);
}

static void after_restore_flush(struct keeper *k, struct keep_slot *slot) {
        if (!slot->flush_error && slot->unflushed && slot->left_unwritten) {
                keep_leave_armed(k, slot); /* what is read there now may be in the cache only: recovery is told so */
                return;
        }
        if (!slot->flush_error) {
                slot->unflushed = false;
                enter(k, slot, KEEP_CHECK);
                return;
        }
        if (++slot->restore_tries < RESTORE_TRIES_MAX) {
                restore_unflushed(k, slot);
                return;
        }
        keep_leave_armed(k, slot);
        slot->marker.units_lost = (uint32_t)slot->present;
        set_marker(k, slot, UNDO_PINNED);
        enter(k, slot, KEEP_DISARM);
}

static void flush_failed(struct keeper *k, struct keep_slot *slot) {
        struct io_fault fault = {
                .op = ENGINE_FLUSH, .error = slot->flush_error, .place = slot->place, .narrowed = true
        };
        bool of_target = slot->step == KEEP_WRITE_FLUSH || slot->step == KEEP_RESTORE_FLUSH;
        if (!of_target)
                keep_journal_failed(k, "flushing", slot->flush_error);
        else if (sweep_error_counts(k->s, slot->flush_error))
                sweep_add_io_fault(k->s, &fault);
}

/* The other segment is under way, and lies behind. */
static void save(struct keeper *k) {
        struct uncounted beyond = { 0 };
        for (size_t i = 0; i < UNDO_SLOTS; i++) {
                const struct uncounted *c = &k->slots[i].counted;
                beyond.bytes.read += c->bytes.read;
                beyond.bytes.written += c->bytes.written;
                beyond.bytes.verified += c->bytes.verified;
                beyond.bytes.skipped += c->bytes.skipped;
                beyond.covered_bytes += c->covered_bytes;
                beyond.lost_bytes += c->lost_bytes;
                if (sweep_region_at(k->s, k->slots[i].place.offset_bytes) == sweep_region_at(k->s, k->reached))
                        beyond.region_bytes += c->region_bytes;
        }
        sweep_save(k->s, ROUND_SWEEP, k->reached, &beyond);
}

static void segment_done(struct keeper *k, struct keep_slot *slot) {
        bool pinned = slot->marker.state == UNDO_PINNED;
        enter(k, slot, pinned ? KEEP_LEFT : KEEP_FREE);
        uint64_t reached = k->next_offset, before = k->reached;
        for (size_t i = 0; i < UNDO_SLOTS; i++)
                if (k->slots[i].step != KEEP_FREE)
                        reached = MIN(reached, k->slots[i].place.offset_bytes);
        k->reached = k->stopping ? k->reached : reached;
        k->s->reached_end = k->s->cursor = k->reached;
        slot->counted = (struct uncounted){ 0 };
        if (k->reached > before) /* else this one is ahead of the other, and done again if that is cut short */
                save(k);
}

static void after_compare(struct keeper *k, struct keep_slot *slot) {
        if (keep_others_wrote(k, slot) > 0)
                keep_foreign(k, slot->place);
        if (k->stopping)
                return;
        if (slot->present == 0)
                segment_done(k, slot);
        else
                enter(k, slot, k->s->o.mode == MODE_PRESERVE ? KEEP_WRITE : KEEP_RESTORE);
}

static void arm(struct keeper *k, struct keep_slot *slot) {
        slot->marker.place = slot->place;
        slot->marker.armed_us = k->s->wall_us;
        slot->marker.table_crc = table_crc(k, slot);
        set_marker(k, slot, UNDO_ARMED);
        enter(k, slot, KEEP_ARM);
}

/* A copy of the marker is durable. True: there is one more to be written. */
static bool next_copy(struct keeper *k, struct keep_slot *slot, enum keep_step write) {
        assert(slot->copies_left > 0);
        slot->copy = (slot->copy + 1) % UNDO_MARKER_COPIES;
        if (--slot->copies_left == 0)
                return false;
        enter(k, slot, write);
        return true;
}

/* A pass of the slot is over: what comes then. */
static void advance(struct keeper *k, struct keep_slot *slot) {
        switch (slot->step) {
        case KEEP_SAVE:
                enter(k, slot, slot->present > 0 ? KEEP_SEAL : KEEP_COMPARE);
                break;
        case KEEP_COMPARE:
                after_compare(k, slot);
                break;
        case KEEP_WRITE_FLUSH:
                if (slot->flush_error)
                        restore_unflushed(k, slot);
                else
                        enter(k, slot, KEEP_VERIFY);
                break;
        case KEEP_VERIFY:
                if (keep_is_damage(k, slot)) /* what was not the pattern */
                        enter(k, slot, KEEP_RESTORE);
                break;
        case KEEP_RESTORE_FLUSH:
                after_restore_flush(k, slot);
                break;
        case KEEP_CHECK:
                after_check(k, slot);
                break;
        case KEEP_READ_TABLE:
                arm(k, slot);
                break;
        case KEEP_ARM_FLUSH:
                if (!next_copy(k, slot, KEEP_ARM))
                        enter(k, slot, KEEP_ARM_CHECK);
                break;
        case KEEP_ARM_CHECK:
                enter(k, slot, slot->written ? KEEP_RESTORE : KEEP_ARMED);
                break;
        case KEEP_DISARM_FLUSH:
                if (!next_copy(k, slot, KEEP_DISARM))
                        segment_done(k, slot);
                break;
        default: /* the diagram has no other way */
                enter(k, slot, slot->step + 1);
                break;
        }
}

/* The slot is let go, as far as it has come. True: something was done. */
static bool let_go(struct keeper *k, struct keep_slot *slot) {
        switch (slot->step) {
        case KEEP_FREE:
        case KEEP_LEFT:
                return false;
        case KEEP_SAVE:
        case KEEP_SEAL:
        case KEEP_SEAL_FLUSH:
        case KEEP_READ_BACK:
        case KEEP_READ_TABLE:
                enter(k, slot, KEEP_FREE);
                return true;
        case KEEP_COMPARE:
                if (slot->present == 0) {
                        enter(k, slot, KEEP_FREE);
                        return true;
                }
                break;
        default:
                break;
        }
        if (slot->written || k->journal_failed) {
                enter(k, slot, KEEP_LEFT);
                return true;
        }
        assert(!slot->written);         /* INV-10 */
        set_marker(k, slot, UNDO_FREE); /* nothing was written yet, so there is nothing to put back */
        k->owner = k->owner == slot ? NULL : k->owner;
        enter(k, slot, KEEP_DISARM);
        return true;
}

static bool is_letting_go(const struct keeper *k, const struct keep_slot *slot) {
        bool disarming = slot->step == KEEP_DISARM || slot->step == KEEP_DISARM_FLUSH;
        return k->stopping && (!disarming || k->journal_failed);
}

static bool wants_to_save(const struct keeper *k, const struct keep_slot *slot) {
        bool soon = slot->step == KEEP_FREE || slot->step == KEEP_DISARM || slot->step == KEEP_DISARM_FLUSH;
        return soon && k->next_offset < end_bytes(k);
}

static bool begin_save(struct keeper *k, struct keep_slot *slot) {
        if (k->owner || k->next_offset >= end_bytes(k))
                return false;
        slot->place.offset_bytes = k->next_offset;
        slot->place.length_bytes = MIN(k->s->o.undo.segment_bytes, end_bytes(k) - k->next_offset);
        k->next_offset = extent_end(slot->place);
        slot->table.units = slot->present = undo_units(slot->place.length_bytes);
        clear_bits(slot, slot->table.absent);
        clear_bits(slot, slot->zero);
        clear_bits(slot, slot->bad);
        slot->marker.record = ++k->record;
        slot->counted = (struct uncounted){ 0 };
        slot->written = false;
        slot->unflushed = false;
        slot->restore_tries = 0;
        slot->marker.units_lost = 0;
        enter(k, slot, KEEP_SAVE);
        return true;
}

/* The other slot saves first, so that its journal work is done while this one has the target. */
static bool begin_compare(struct keeper *k, struct keep_slot *slot) {
        if (k->owner)
                return false;
        for (size_t i = 0; i < UNDO_SLOTS; i++)
                if (wants_to_save(k, &k->slots[i]))
                        return false;
        enter(k, slot, KEEP_COMPARE);
        return true;
}

static uint64_t stretch_bytes(const struct keep_slot *slot) {
        switch (slot->step) {
        case KEEP_SEAL:
        case KEEP_READ_TABLE:
                return undo_table_pages(slot->place.length_bytes) * UNDO_PAGE_BYTES;
        case KEEP_ARM:
        case KEEP_DISARM:
                return UNDO_PAGE_BYTES;
        case KEEP_ARM_CHECK:
                return (uint64_t)UNDO_MARKER_COPIES * UNDO_PAGE_BYTES;
        default:
                return slot->place.length_bytes;
        }
}

static uint32_t chunk_bytes(const struct keeper *k, const struct keep_slot *slot) {
        uint32_t block = k->s->o.block_bytes;
        uint64_t left = stretch_bytes(slot) - slot->cursor;
        if (slot->step == KEEP_ARM || slot->step == KEEP_ARM_CHECK || slot->step == KEEP_DISARM)
                return UNDO_PAGE_BYTES;
        return (uint32_t)MIN(block - slot->cursor % block, left);
}

static bool wants_journal(const struct keep_slot *slot) {
        bool data = slot->step == KEEP_SAVE || slot->step == KEEP_READ_BACK || slot->step == KEEP_RESTORE;
        return data && (slot->cursor < stretch_bytes(slot) || slot->blocks_out > 0);
}

/* A disk with a head would go to and fro between the two slots: so they take turns, an eighth of a segment each. */
static bool may_use_journal(struct keeper *k, struct keep_slot *slot, uint32_t length_bytes) {
        uint64_t turn_bytes = k->s->o.undo.segment_bytes / JOURNAL_TURNS;
        bool others = wants_journal(&k->slots[(slot->index + 1) % UNDO_SLOTS]);
        if (!wants_journal(slot))
                return true;
        if (k->turn && k->turn != slot && others && (k->turn_bytes < turn_bytes || k->turn->blocks_out > 0))
                return false;
        if (k->turn == slot && others && k->turn_bytes >= turn_bytes)
                return false;
        if (k->turn != slot || !others)
                k->turn_bytes = 0;
        k->turn = slot;
        k->turn_bytes += length_bytes;
        return true;
}

static bool pump_pass(struct keeper *k, struct keep_slot *slot) {
        bool any = false;
        while (slot->cursor < stretch_bytes(slot) && !sweep_is_ending(k->s)) {
                uint32_t length = chunk_bytes(k, slot);
                if (!keep_io_has_room(k, slot) || !may_use_journal(k, slot, length))
                        break;
                keep_io_begin(k, slot, slot->cursor, length);
                slot->cursor += length;
                any = true;
        }
        if (slot->cursor < stretch_bytes(slot) || slot->blocks_out > 0 || sweep_is_ending(k->s))
                return any;
        advance(k, slot);
        return true;
}

static bool is_flush(enum keep_step step) {
        return BIT(step) &
                (BIT(KEEP_SEAL_FLUSH) | BIT(KEEP_ARM_FLUSH) | BIT(KEEP_WRITE_FLUSH) | BIT(KEEP_RESTORE_FLUSH) |
                        BIT(KEEP_DISARM_FLUSH));
}

static bool pump_slot(struct keeper *k, struct keep_slot *slot) {
        if (sweep_is_ending(k->s))
                return false;
        if (is_letting_go(k, slot)) {
                if (slot->blocks_out > 0 || slot->flushing)
                        return false;
                if (is_flush(slot->step) && slot->flush_error) /* which was out when that began */
                        flush_failed(k, slot);
                return let_go(k, slot);
        }
        if (slot->step == KEEP_LEFT)
                return false;
        if (slot->step == KEEP_FREE)
                return begin_save(k, slot);
        if (slot->step == KEEP_ARMED)
                return begin_compare(k, slot);
        if (!is_flush(slot->step))
                return pump_pass(k, slot);
        if (slot->flushing)
                return false;
        if (slot->flush_error)
                flush_failed(k, slot);
        if (!sweep_is_ending(k->s) && !is_letting_go(k, slot))
                advance(k, slot);
        return true;
}

bool keeper_pump(struct keeper *k) {
        bool any = keep_io_pump(k);
        for (size_t i = 0; i < UNDO_SLOTS; i++)
                any |= pump_slot(k, &k->slots[i]);
        return keep_io_submit(k) || any;
}

void keeper_stop(struct keeper *k) {
        k->stopping = true;
}

bool keeper_is_over(const struct keeper *k) {
        bool over = k->stopping || k->next_offset >= end_bytes(k);
        for (size_t i = 0; i < UNDO_SLOTS; i++)
                over &= k->slots[i].step == KEEP_FREE || k->slots[i].step == KEEP_LEFT;
        return (over || sweep_is_ending(k->s)) && keep_io_idle(k);
}

unsigned keeper_left_armed(const struct keeper *k) {
        unsigned armed = 0;
        for (size_t i = 0; i < UNDO_SLOTS; i++)
                armed += is_armed(&k->slots[i]);
        return armed;
}

bool keeper_has_written(const struct keeper *k) {
        bool written = false;
        for (size_t i = 0; i < UNDO_SLOTS; i++)
                written |= is_armed(&k->slots[i]) && k->slots[i].written;
        return written;
}

bool keeper_lost_a_flush(const struct keeper *k) {
        bool lost = false;
        for (size_t i = 0; i < UNDO_SLOTS; i++)
                lost |= k->slots[i].written && k->slots[i].unflushed;
        return lost;
}

bool keeper_was_alone(struct keeper *k) {
        bool alone = !k->foreign;
        for (size_t i = 0; i < UNDO_SLOTS; i++) {
                struct keep_slot *slot = &k->slots[i];
                if (!slot->written) { /* what differs there was misread, or is somebody's: nothing of it is ours */
                        alone &= !is_armed(slot);
                        continue;
                }
                bool others = keep_others_wrote(k, slot) > 0, holds = holds_foreign(slot);
                if (!k->foreign && (others || holds)) {
                        k->foreign = true; /* told also where nothing of it is left */
                        k->suspected = !others;
                        k->foreign_place = others ? slot->place : slot->doubtful;
                }
                alone &= keep_counts_all(slot) && !others && !holds;
        }
        return alone;
}

bool keeper_suspects(const struct keeper *k) {
        return k->suspected;
}

bool keeper_met_foreign(const struct keeper *k, struct extent *ret) {
        if (k->foreign)
                *ret = k->foreign_place;
        return k->foreign;
}

enum sweep_phase keeper_phase(const struct keeper *k) {
        const struct keep_slot *slot = k->owner ? k->owner : &k->slots[0];
        switch (slot->step) {
        case KEEP_WRITE:
        case KEEP_WRITE_FLUSH:
                return PHASE_WRITE;
        case KEEP_VERIFY:
                return PHASE_VERIFY;
        case KEEP_RESTORE:
        case KEEP_RESTORE_FLUSH:
        case KEEP_CHECK:
                return PHASE_RESTORE;
        case KEEP_COMPARE:
                return PHASE_CHECK;
        default:
                return PHASE_SAVE;
        }
}

DEFINE_FREEP(struct keeper, keeper_free, keeper_freep)

void keeper_begin(struct keeper *k) {
        const struct stamp *stamp = &k->s->content.stamp;
        k->next_offset = k->reached = k->s->cursor = sweep_resume_at(k->s, ROUND_SWEEP);
        for (unsigned i = 0; i < UNDO_SLOTS; i++)
                k->slots[i].marker = (struct undo_marker){
                        .slot = i,
                        .mode = stamp->mode,
                        .target_id = stamp->target_id,
                        .generation = stamp->generation,
                        .nonce = stamp->nonce,
                        .started_us = stamp->started_us,
                };
}

static int init_slot(struct keeper *k, unsigned index) {
        struct keep_slot *slot = &k->slots[index];
        size_t room = undo_units(k->s->o.undo.segment_bytes), words = (room + 63) / 64;
        slot->index = index;
        int r = undo_table_init(&slot->table, room);
        slot->zero = calloc(words, sizeof *slot->zero);
        slot->bad = calloc(words, sizeof *slot->bad);
        slot->unseen = calloc(words, sizeof *slot->unseen);
        slot->unverified = calloc(words, sizeof *slot->unverified);
        slot->unwritten = calloc(words, sizeof *slot->unwritten);
        bool all = slot->zero && slot->bad && slot->unseen && slot->unverified && slot->unwritten;
        return r < 0 || !all ? -ENOMEM : 0;
}

int keeper_new(struct keeper **ret, struct sweep *s) {
        assert(s->o.journal && s->o.journal_depth > 0);
        assert(s->o.block_bytes % MAX(s->o.physical_block_bytes, UNIT_BYTES) == 0);
        CLEANUP(keeper_freep)
        struct keeper *k = calloc(1, sizeof *k);
        if (!k)
                return -ENOMEM;
        k->s = s;
        k->next_offset = k->reached = s->o.extent.offset_bytes;
        k->sequence = s->o.undo_sequence;
        k->record = s->o.undo_record;
        int r = keep_io_init(k);
        for (unsigned i = 0; r == 0 && i < UNDO_SLOTS; i++)
                r = init_slot(k, i);
        if (r < 0)
                return r;
        *ret = STEAL(k);
        return 0;
}

struct keeper *keeper_free(struct keeper *k) {
        if (!k)
                return NULL;
        for (size_t i = 0; i < UNDO_SLOTS; i++) {
                undo_table_deinit(&k->slots[i].table);
                free(k->slots[i].zero);
                free(k->slots[i].bad);
                free(k->slots[i].unseen);
                free(k->slots[i].unverified);
                free(k->slots[i].unwritten);
        }
        keep_io_deinit(k);
        free(k);
        return NULL;
}
