/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When recovery has done what it could, a person decides about the rest. What could go wrong: bytes are handed out as
 * originals that are not, and the wrong thing is forgotten because the journal has moved on since it was listed. So
 * every unit is checked against the table, and what is forgotten is read again first and must be the same.
 */
#include "sweep/rescue.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { NAME_CHARACTERS = 1023 }; /* that the head keeps of the longest name */

struct rescue {
        int fd;
        struct undo_head head;
        uint8_t *page; /* for a marker, a description, or a unit */
        uint8_t *table_page;
};

/* Whole pages at a time. */
static int read_page(const struct rescue *r, uint8_t *page, uint64_t offset) {
        for (size_t done = 0; done < UNDO_PAGE_BYTES;) {
                ssize_t n = pread(r->fd, page + done, UNDO_PAGE_BYTES - done, (off_t)(offset + done));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                done += (size_t)n;
        }
        return 0;
}

static int write_page(const struct rescue *r, const uint8_t *page, uint64_t offset) {
        for (size_t done = 0; done < UNDO_PAGE_BYTES;) {
                ssize_t n = pwrite(r->fd, page + done, UNDO_PAGE_BYTES - done, (off_t)(offset + done));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                done += (size_t)n;
        }
        return 0;
}

DEFINE_FREEP(struct rescue, rescue_free, rescue_freep)

int rescue_new(struct rescue **ret, int fd) {
        CLEANUP(rescue_freep)
        struct rescue *r = calloc(1, sizeof *r);
        if (!r)
                return -ENOMEM;
        r->fd = fd;
        r->page = aligned_alloc(UNDO_PAGE_BYTES, UNDO_PAGE_BYTES);
        r->table_page = aligned_alloc(UNDO_PAGE_BYTES, UNDO_PAGE_BYTES);
        if (!r->page || !r->table_page)
                return -ENOMEM;
        int error = 0;
        for (unsigned copy = 0; copy < 2; copy++) {
                int e = read_page(r, r->page, undo_head_offset(copy));
                if (e == 0 && undo_head_read(&r->head, r->page)) {
                        *ret = STEAL(r);
                        return RESCUE_OK;
                }
                error = MIN(error, e);
        }
        return error < 0 ? error : RESCUE_E_NO_JOURNAL;
}

struct rescue *rescue_free(struct rescue *r) {
        if (!r)
                return NULL;
        free(r->page);
        free(r->table_page);
        free(r);
        return NULL;
}

const struct undo_head *rescue_head(const struct rescue *r) {
        return &r->head;
}

/* The marker that counts. False: there is none. An error is kept where there was none before. */
static bool read_marker(struct rescue *r, unsigned slot, struct undo_marker *ret, int *error) {
        bool found = false;
        for (unsigned copy = 0; copy < UNDO_MARKER_COPIES; copy++) {
                struct undo_marker m;
                int e = read_page(r, r->page, undo_marker_offset(r->head.segment_bytes, slot, copy));
                if (e < 0)
                        *error = -e;
                else if (undo_marker_read(&m, r->page, r->head.journal_id) && m.slot == slot &&
                        (!found || m.sequence > ret->sequence)) {
                        *ret = m;
                        found = true;
                }
        }
        if (!found && *error == 0)
                *error = EUCLEAN; /* nobody knows what it said */
        return found;
}

static bool read_shelved(struct rescue *r, unsigned index, struct undo_shelved *ret, int *error) {
        int e = read_page(r, r->page, undo_shelf_offset(r->head.segment_bytes, index));
        if (e < 0) {
                *error = -e;
                return false;
        }
        return undo_shelved_read(ret, r->page, r->head.journal_id);
}

size_t rescue_list(struct rescue *r, struct rescue_entry *entries, int *ret_error) {
        size_t count = 0;
        int error = 0;
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++) {
                struct rescue_entry e = { .index = slot };
                if (read_marker(r, slot, &e.marker, &error) && e.marker.state != UNDO_FREE)
                        entries[count++] = e;
        }
        for (unsigned i = 0; i < UNDO_SHELF_UNITS; i++) {
                struct rescue_entry e = { .is_shelf = true, .index = i };
                if (read_shelved(r, i, &e.shelved, &error))
                        entries[count++] = e;
        }
        *ret_error = error;
        return count;
}

uint64_t rescue_id(const struct rescue *r, const struct rescue_entry *entry) {
        const struct undo_marker *m = &entry->marker;
        const struct undo_shelved *s = &entry->shelved;
        const uint64_t parts[] = {
                r->head.journal_id,
                entry->is_shelf,
                entry->index,
                entry->is_shelf ? s->record : m->record,
                entry->is_shelf ? s->place.offset_bytes : m->place.offset_bytes,
                entry->is_shelf ? s->crc : m->table_crc,
        };
        return MAX(undo_crc((const uint8_t *)parts, sizeof parts) & (BIT(52) - 1), 1);
}

static void describe_slot(const struct undo_marker *m, struct rescue_record *ret) {
        ret->place = m->place;
        ret->armed_us = m->armed_us;
        ret->units_lost = m->state == UNDO_PINNED ? m->units_lost : 0;
        if (m->state == UNDO_ARMED)
                text_copy(ret->text, sizeof ret->text,
                        "originals of a sweep that was cut short; they go back by themselves when the device is there");
        else if (m->units_lost > 0)
                text_format(ret->text, sizeof ret->text,
                        "originals; units of 4096 bytes that could not be put back: %" PRIu32, m->units_lost);
        else
                text_copy(ret->text, sizeof ret->text,
                        "originals; where they belong, somebody else has written meanwhile, or that can't be told");
}

void rescue_describe(const struct rescue *r, const struct rescue_entry *entry, struct rescue_record *ret) {
        ret->id = rescue_id(r, entry);
        ret->is_copy = entry->is_shelf;
        if (!entry->is_shelf) {
                describe_slot(&entry->marker, ret);
                return;
        }
        ret->place = entry->shelved.place;
        ret->armed_us = entry->shelved.met_us;
        ret->units_lost = 0;
        text_copy(ret->text, sizeof ret->text,
                "a copy of what somebody else wrote during a sweep; it was left in its place as well");
}

const char *rescue_identity(const struct rescue *r) {
        const char *name = identity_most_specific(&r->head.identity);
        return name[0] ? name : r->head.device;
}

bool rescue_is_meant(const struct rescue *r, const char *identity) {
        const struct identity *i = &r->head.identity;
        const char *const names[] = { rescue_identity(r), i->serial, i->wwn, i->partuuid, i->backing_file };
        for (size_t n = 0; n < ELEMENTS(names); n++)
                if (names[n][0] && strncmp(names[n], identity, NAME_CHARACTERS) == 0)
                        return true;
        return false;
}

/* The page that the piece's bytes are on is read, and judged by the checksum. */
static void read_piece(struct rescue *r, struct rescue_piece *piece, uint64_t offset, const uint64_t *crc) {
        int e = read_page(r, r->page, offset);
        if (e < 0) {
                piece->error = -e;
                return;
        }
        piece->bytes = r->page;
        piece->is_right = crc && undo_crc(r->page, piece->place.length_bytes) == *crc;
}

static int export_shelved(struct rescue *r, const struct rescue_entry *entry, rescue_take_fn *take, void *userdata) {
        struct rescue_piece piece = { .place = entry->shelved.place };
        uint64_t offset = undo_shelf_offset(r->head.segment_bytes, entry->index) + UNDO_PAGE_BYTES;
        read_piece(r, &piece, offset, &entry->shelved.crc);
        return take(userdata, &piece);
}

/* Units whose page of the table can't be read are handed out with a warning: they may be all that there is. */
static int export_table_page(struct rescue *r, const struct rescue_entry *entry, struct undo_table *table, size_t page,
        rescue_take_fn *take, void *userdata) {
        const struct undo_marker *m = &entry->marker;
        uint64_t tables = undo_table_offset(r->head.segment_bytes, entry->index);
        uint64_t data = undo_data_offset(r->head.segment_bytes, entry->index);
        bool known = read_page(r, r->table_page, tables + page * UNDO_PAGE_BYTES) == 0 &&
                undo_table_read(table, r->table_page, r->head.journal_id, m->record, page);
        size_t from = page * UNDO_TABLE_UNITS, to = MIN(from + UNDO_TABLE_UNITS, table->units);
        for (size_t unit = from; unit < to; unit++) {
                uint64_t at = (uint64_t)unit * UNIT_BYTES;
                struct rescue_piece piece = {
                        .place = { m->place.offset_bytes + at, MIN(m->place.length_bytes - at, UNIT_BYTES) },
                };
                if (known && undo_table_is_absent(table, unit))
                        piece.is_right = true;
                else
                        read_piece(r, &piece, data + at, known ? &table->crcs[unit] : NULL);
                int e = take(userdata, &piece);
                if (e < 0)
                        return e;
        }
        return 0;
}

static int export_slot(struct rescue *r, const struct rescue_entry *entry, rescue_take_fn *take, void *userdata) {
        CLEANUP(undo_table_deinit)
        struct undo_table table = { 0 };
        uint64_t length = MIN(entry->marker.place.length_bytes, r->head.segment_bytes);
        int e = undo_table_init(&table, undo_units(length));
        if (e < 0)
                return e;
        table.units = undo_units(length);
        for (size_t page = 0; page < undo_table_pages(length); page++) {
                e = export_table_page(r, entry, &table, page, take, userdata);
                if (e < 0)
                        return e;
        }
        return 0;
}

int rescue_export(struct rescue *r, const struct rescue_entry *entry, rescue_take_fn *take, void *userdata) {
        return entry->is_shelf ? export_shelved(r, entry, take, userdata) : export_slot(r, entry, take, userdata);
}

static uint64_t next_sequence(struct rescue *r) {
        uint64_t highest = 0;
        int error = 0;
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++) {
                struct undo_marker m;
                if (read_marker(r, slot, &m, &error))
                        highest = MAX(highest, m.sequence);
        }
        return highest + 1;
}

static int forget_slot(struct rescue *r, const struct rescue_entry *entry) {
        struct undo_marker m;
        int error = 0;
        if (!read_marker(r, entry->index, &m, &error))
                return error ? -error : RESCUE_E_CHANGED;
        if (m.state == UNDO_FREE || m.sequence != entry->marker.sequence || m.record != entry->marker.record)
                return RESCUE_E_CHANGED;
        m.sequence = next_sequence(r);
        m.state = UNDO_FREE;
        undo_marker_write(r->page, r->head.journal_id, &m);
        for (unsigned copy = 0; copy < UNDO_MARKER_COPIES; copy++) {
                int e = write_page(r, r->page, undo_marker_offset(r->head.segment_bytes, entry->index, copy));
                if (e == 0 && fdatasync(r->fd) < 0) /* one of them is whole at any time */
                        e = -errno;
                if (e < 0)
                        return e;
        }
        return 0;
}

static int forget_shelved(struct rescue *r, const struct rescue_entry *entry) {
        struct undo_shelved s;
        int error = 0;
        if (!read_shelved(r, entry->index, &s, &error))
                return error ? -error : RESCUE_E_CHANGED;
        if (s.record != entry->shelved.record || s.crc != entry->shelved.crc ||
                s.place.offset_bytes != entry->shelved.place.offset_bytes)
                return RESCUE_E_CHANGED;
        uint64_t description = undo_shelf_offset(r->head.segment_bytes, entry->index);
        memset(r->page, 0, UNDO_PAGE_BYTES);
        int e = write_page(r, r->page, description);
        return e < 0 ? e : write_page(r, r->page, description + UNDO_PAGE_BYTES);
}

int rescue_forget(struct rescue *r, const struct rescue_entry *entry) {
        assert(entry->index < (entry->is_shelf ? UNDO_SHELF_UNITS : UNDO_SLOTS));
        int e = entry->is_shelf ? forget_shelved(r, entry) : forget_slot(r, entry);
        if (e != 0)
                return e;
        return fdatasync(r->fd) < 0 ? -errno : RESCUE_OK;
}
