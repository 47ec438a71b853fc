/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judge reads the journal by its layout alone, and knows nothing of the steps by which a keeper comes there.
 */
#include "undo_oracle.h"

#include "base/cleanup.h"
#include "failure.h"

#include <string.h>

bool oracle_marker(const struct undo_case *c, uint32_t id, struct undo_marker *ret) {
        const struct page *p = page_at(id);
        return p->bytes[0] == 'S' && !p->bad && undo_marker_read(ret, p->bytes, c->head.journal_id);
}

void oracle_slots(const struct undo_case *c, const struct image *journal, struct armed_slot ret[static UNDO_SLOTS]) {
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++) {
                ret[slot] = (struct armed_slot){ 0 };
                for (unsigned copy = 0; copy < UNDO_MARKER_COPIES; copy++) {
                        struct undo_marker m;
                        uint64_t place = undo_marker_offset(c->segment_bytes, slot, copy);
                        if (!oracle_marker(c, journal->pages[place / PAGE_BYTES], &m) || m.slot != slot ||
                                m.sequence <= ret[slot].marker.sequence)
                                continue;
                        ret[slot].marker = m;
                        ret[slot].armed = m.state != UNDO_FREE;
                }
        }
}

static uint64_t data_page(const struct undo_case *c, unsigned slot, const struct undo_marker *m, size_t unit) {
        return undo_data_offset(c->segment_bytes, slot) / PAGE_BYTES + unit - m->place.offset_bytes / UNIT_BYTES;
}

static bool holds(const struct undo_marker *m, size_t unit) {
        uint64_t at = (uint64_t)unit * UNIT_BYTES;
        return at >= m->place.offset_bytes && at < extent_end(m->place);
}

/* Whether the table, too, knows the unit as it was saved. */
static bool is_in_table(const struct undo_case *c, const struct image *journal, size_t unit) {
        struct armed_slot slots[UNDO_SLOTS];
        oracle_slots(c, journal, slots);
        for (unsigned i = 0; i < UNDO_SLOTS; i++) {
                const struct undo_marker *m = &slots[i].marker;
                if (!slots[i].armed || !holds(m, unit))
                        continue;
                size_t index = unit - m->place.offset_bytes / UNIT_BYTES, page = index / UNDO_TABLE_UNITS;
                uint64_t crcs[IMAGE_PAGES_MAX], absent[IMAGE_PAGES_MAX / 64 + 1] = { 0 };
                struct undo_table table = { IMAGE_PAGES_MAX, undo_units(m->place.length_bytes), crcs, absent };
                const struct page *p = page_at(
                        journal->pages[undo_table_offset(c->segment_bytes, i) / PAGE_BYTES + page]);
                size_t bytes = MIN(UNIT_BYTES, c->size_bytes - (uint64_t)unit * UNIT_BYTES);
                return !p->bad && undo_table_read(&table, p->bytes, c->head.journal_id, m->record, page) &&
                        !undo_table_is_absent(&table, index) &&
                        crcs[index] == undo_crc(page_at(journal->pages[data_page(c, i, m, unit)])->bytes, bytes);
        }
        return false;
}

bool oracle_is_noted(const struct undo_case *c, const struct image *journal, size_t unit) {
        struct armed_slot slots[UNDO_SLOTS];
        bool noted = false;
        oracle_slots(c, journal, slots);
        for (unsigned i = 0; i < UNDO_SLOTS; i++)
                noted |= slots[i].armed && holds(&slots[i].marker, unit) && slots[i].marker.units_lost > 0;
        return noted;
}

/* The bytes that the journal has of a unit that is armed; NULL: it has none that can be read. */
static const uint8_t *saved_bytes(const struct undo_case *c, const struct image *journal, size_t unit) {
        struct armed_slot slots[UNDO_SLOTS];
        oracle_slots(c, journal, slots);
        for (unsigned i = 0; i < UNDO_SLOTS; i++)
                if (slots[i].armed && holds(&slots[i].marker, unit)) {
                        uint64_t page = data_page(c, i, &slots[i].marker, unit);
                        const struct page *saved = page_at(journal->pages[page]);
                        return saved->bad ? NULL : saved->bytes;
                }
        return NULL;
}

bool oracle_is_saved(const struct undo_case *c, const struct image *journal, size_t unit, uint32_t original) {
        const uint8_t *saved = saved_bytes(c, journal, unit);
        size_t bytes = MIN(UNIT_BYTES, c->size_bytes - (uint64_t)unit * UNIT_BYTES);
        return saved && memcmp(saved, page_at(original)->bytes, bytes) == 0;
}

bool oracle_sector_is_saved(const struct undo_case *c, const struct image *journal, size_t unit, unsigned sector) {
        const uint8_t *saved = saved_bytes(c, journal, unit);
        size_t at = (size_t)sector * SECTOR_BYTES;
        return saved && memcmp(saved + at, page_at(c->target.pages[unit])->bytes + at, SECTOR_BYTES) == 0;
}

/* Of its physical block: nothing in it may be written. */
static bool is_left_out(const struct undo_case *c, size_t unit) {
        size_t group = c->physical_block_bytes / UNIT_BYTES, from = unit / group * group;
        bool zeros = c->discards;
        for (size_t i = from; i < from + group && i < c->target.count; i++) {
                const struct page *p = page_at(c->target.pages[i]);
                struct stamp stamp;
                bool unrestored = stamp_read(&stamp, p->bytes) && stamp.mode == MODE_PRESERVE &&
                        stamp.offset_bytes == i * UNIT_BYTES;
                if (p->bad || unrestored)
                        return true;
                zeros = zeros && c->target.pages[i] == 0;
        }
        return zeros;
}

static const char *target_rule(const struct undo_case *c, const struct world *w, const struct unflushed *write) {
        const struct image *journal = &w->disks[DISK_JOURNAL].durable;
        uint64_t first = write->first / PAGE_SECTORS, end = write->first + write->sectors;
        for (uint64_t unit = first; unit * PAGE_SECTORS < end; unit++) {
                if (!oracle_is_saved(c, journal, unit, c->target.pages[unit]) || !is_in_table(c, journal, unit))
                        return "the target is written to where nothing is durable, armed and whole in the journal";
                if (is_left_out(c, unit))
                        return "a physical block is written to that must be left out";
        }
        return NULL;
}

static const char *journal_rule(const struct undo_case *c, const struct world *w, const struct unflushed *write) {
        struct armed_slot slots[UNDO_SLOTS];
        uint64_t at = write->first * SECTOR_BYTES, end = at + (uint64_t)write->sectors * SECTOR_BYTES;
        oracle_slots(c, &w->disks[DISK_JOURNAL].durable, slots);
        for (unsigned i = 0; i < UNDO_SLOTS; i++) {
                uint64_t from = undo_table_offset(c->segment_bytes, i);
                uint64_t to = undo_marker_offset(c->segment_bytes, i, 1);
                if (slots[i].armed && at < to && end > from)
                        return "a slot is written to whose marker is not durably free";
        }
        struct undo_marker marker;
        if (!oracle_marker(c, write->pages[0], &marker))
                return NULL;
        oracle_slots(c, &w->disks[DISK_JOURNAL].now, slots);
        const struct undo_marker *before = &slots[marker.slot].marker;
        return marker.state != before->state && marker.sequence <= before->sequence
                ? "the sequence of a marker does not grow"
                : NULL;
}

/* A copy is enough to be armed; that both are is what keeps the originals when one of them goes bad. */
static bool has_lone_copy(const struct undo_case *c, const struct image *journal) {
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++) {
                struct undo_marker a, b;
                uint64_t first = undo_marker_offset(c->segment_bytes, slot, 0) / PAGE_BYTES;
                uint64_t second = undo_marker_offset(c->segment_bytes, slot, 1) / PAGE_BYTES;
                bool has_a = oracle_marker(c, journal->pages[first], &a) && a.state == UNDO_ARMED;
                bool has_b = oracle_marker(c, journal->pages[second], &b) && b.state == UNDO_ARMED;
                if (has_a && has_b && a.sequence == b.sequence)
                        return false;
        }
        return true;
}

static bool is_unflushed(const struct crash_disk *d, const struct engine_io *io) {
        for (size_t i = 0; i < d->write_count; i++) {
                const struct unflushed *w = &d->writes[i];
                if (w->first * SECTOR_BYTES < io->offset_bytes + io->length_bytes &&
                        io->offset_bytes < (w->first + w->sectors) * SECTOR_BYTES)
                        return true;
        }
        return false;
}

const char *oracle_has_lone_copy(
        const struct undo_case *c, const struct world *w, const struct crash_disk *d, const struct flight *f) {
        if (d->number == DISK_TARGET && f->io->op == ENGINE_WRITE && has_lone_copy(c, &w->disks[DISK_JOURNAL].durable))
                return "the target is written to where one copy of the marker is armed only";
        return NULL;
}

const char *oracle_keeper_rule_broken(
        const struct undo_case *c, const struct world *w, const struct crash_disk *d, const struct flight *f) {
        if (f->io->op == ENGINE_READ && is_unflushed(d, f->io))
                return "something is read back that was not flushed";
        return oracle_has_lone_copy(c, w, d, f);
}

const char *oracle_rule_broken(
        const struct undo_case *c, const struct world *w, const struct crash_disk *d, const struct flight *f) {
        if (f->io->op != ENGINE_WRITE)
                return NULL;
        const struct unflushed *write = &d->writes[f->write];
        return d->number == DISK_TARGET ? target_rule(c, w, write) : journal_rule(c, w, write);
}
