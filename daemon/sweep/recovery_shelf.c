/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that somebody else wrote into an armed segment are kept twice: they stay where they are, and a copy goes to the
 * journal's shelf, as a person who undoes one side must have the other. A description whose bytes never became durable
 * would promise a copy that is not there; so the bytes are flushed before they are described. Recovery may run many
 * times over the same bytes: what is on the shelf already is not put there again.
 */
#include "sweep/recovery_private.h"

#include <assert.h>
#include <string.h>

static uint64_t description_offset(const struct recovery *r, size_t entry) {
        return undo_shelf_offset(r->o.head.segment_bytes, (unsigned)entry);
}

static uint8_t *page(const struct recovery *r) {
        return r->lanes[0].saved;
}

/* A place whose description can't be read may hold one: it is neither used nor written. */
static void take_description(struct recovery *r, size_t entry) {
        struct undo_shelved shelved;
        r->shelf.entries[entry].state = SHELF_EMPTY;
        if (r->single_error) {
                r->shelf.entries[entry].state = SHELF_BAD;
        } else if (undo_shelved_read(&shelved, page(r), r->o.head.journal_id)) {
                r->shelf.entries[entry].state = SHELF_USED;
                r->shelf.entries[entry].shelved = shelved;
        } else {
                r->shelf.empty++;
        }
}

void recovery_step_shelf(struct recovery *r) {
        if (r->index > 0)
                take_description(r, r->index - 1);
        r->shelf.is_read |= r->index == UNDO_SHELF_UNITS;
        if (r->shelf.is_read) {
                recovery_enter(r, RECOVERY_COPY);
                return;
        }
        struct extent place = { description_offset(r, r->index++), UNDO_PAGE_BYTES };
        recovery_single(r, true, ENGINE_READ, place, page(r));
}

static bool is_foreign(const struct recovery *r, size_t sector) {
        return r->units[sector / UNIT_SECTORS].foreign >> sector % UNIT_SECTORS & 1;
}

/* The next run of foreign sectors within one unit, from sector `index` of the segment on; its place on the target. */
static bool next_foreign(struct recovery *r) {
        size_t end = recovery_units(r) * UNIT_SECTORS, from = r->index;
        while (from < end && !is_foreign(r, from))
                from++;
        size_t to = from;
        while (to < end && to / UNIT_SECTORS == from / UNIT_SECTORS && is_foreign(r, to))
                to++;
        r->index = to;
        r->run = (struct extent){ r->slot->marker.place.offset_bytes + (uint64_t)from * SECTOR_BYTES,
                (uint64_t)(to - from) * SECTOR_BYTES };
        return to > from;
}

/* Whether these bytes are there already, or, without a checksum, whether any of this place are. */
static bool is_shelved(const struct recovery *r, const uint64_t *crc) {
        for (size_t i = 0; i < UNDO_SHELF_UNITS; i++) {
                const struct undo_shelved *s = &r->shelf.entries[i].shelved;
                if (r->shelf.entries[i].state != SHELF_USED && r->shelf.entries[i].state != SHELF_NEW)
                        continue;
                if (s->record == r->slot->marker.record && s->place.offset_bytes == r->run.offset_bytes &&
                        s->place.length_bytes == r->run.length_bytes && (!crc || s->crc == *crc))
                        return true;
        }
        return false;
}

static size_t empty_entry(const struct recovery *r) {
        size_t i = 0;
        while (r->shelf.entries[i].state != SHELF_EMPTY)
                i++;
        return i;
}

static void not_shelved(struct recovery *r) {
        r->units[(r->run.offset_bytes - r->slot->marker.place.offset_bytes) / UNIT_BYTES].flags |= UNIT_UNSHELVED;
}

/* The run's bytes are in the page. False: there is nothing to write. */
static bool copy(struct recovery *r) {
        uint64_t crc = undo_crc(page(r), r->run.length_bytes);
        if (is_shelved(r, &crc))
                return false;
        if (r->shelf.empty == 0) {
                not_shelved(r);
                return false;
        }
        size_t entry = empty_entry(r);
        r->shelf.empty--;
        r->shelf.entries[entry].state = SHELF_NEW;
        r->shelf.entries[entry].shelved = (struct undo_shelved){
                .record = r->slot->marker.record,
                .place = r->run,
                .met_us = r->o.wall_us,
                .crc = crc,
        };
        memset(page(r) + r->run.length_bytes, 0, UNDO_PAGE_BYTES - r->run.length_bytes);
        struct extent bytes = { description_offset(r, entry) + UNDO_PAGE_BYTES, UNDO_PAGE_BYTES };
        recovery_single(r, true, ENGINE_WRITE, bytes, page(r));
        return true;
}

/* An error of the journal's, if there was one: what is new on the shelf can't be relied on. */
static void take_error(struct recovery *r) {
        if (!r->single_error)
                return;
        r->result.journal_error = r->single_error;
        r->shelf.failed = true;
}

/* Each run is read and written in turn. */
void recovery_step_copy(struct recovery *r) {
        if (r->copying == COPY_READING && r->single_error) {
                not_shelved(r); /* it can't be read any more */
        } else if (r->copying == COPY_READING && copy(r)) {
                r->copying = COPY_WRITING;
                return;
        } else if (r->copying == COPY_WRITING) {
                take_error(r);
        }
        r->copying = COPY_SEARCHING;
        while (next_foreign(r)) {
                if (r->shelf.empty > 0 || is_shelved(r, NULL)) {
                        r->copying = COPY_READING;
                        recovery_single(r, false, ENGINE_READ, r->run, page(r));
                        return;
                }
                not_shelved(r);
        }
        recovery_enter(r, RECOVERY_COPY_FLUSH);
}

static bool next_new(struct recovery *r) {
        while (r->index < UNDO_SHELF_UNITS && r->shelf.entries[r->index].state != SHELF_NEW)
                r->index++;
        return r->index < UNDO_SHELF_UNITS;
}

/* Of the journal, if there is anything new in it; `asked` tells whether it was. */
static bool flush_shelf(struct recovery *r) {
        if (r->asked) {
                take_error(r);
                return false;
        }
        if (r->shelf.failed || !next_new(r))
                return false;
        r->asked = true;
        recovery_single(r, true, ENGINE_FLUSH, (struct extent){ 0 }, NULL);
        return true;
}

void recovery_step_copy_flush(struct recovery *r) {
        if (!flush_shelf(r))
                recovery_enter(r, RECOVERY_DESCRIBE);
}

void recovery_step_describe(struct recovery *r) {
        if (r->asked) {
                take_error(r);
                r->index++;
        }
        if (r->shelf.failed || !next_new(r)) {
                recovery_enter(r, RECOVERY_DESCRIBE_FLUSH);
                return;
        }
        r->asked = true;
        undo_shelved_write(page(r), r->o.head.journal_id, &r->shelf.entries[r->index].shelved);
        struct extent place = { description_offset(r, r->index), UNDO_PAGE_BYTES };
        recovery_single(r, true, ENGINE_WRITE, place, page(r));
}

/* What may have been made durable and what not, of that nothing is known: those places are not used any more. */
static void settle(struct recovery *r) {
        for (size_t i = 0; i < UNDO_SHELF_UNITS; i++)
                if (r->shelf.entries[i].state == SHELF_NEW)
                        r->shelf.entries[i].state = r->shelf.failed ? SHELF_BAD : SHELF_USED;
}

void recovery_step_describe_flush(struct recovery *r) {
        if (flush_shelf(r))
                return;
        settle(r);
        recovery_enter(r, RECOVERY_RESTORE);
}
