/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal is read by a program that knows nothing but its bytes, after a crash in which any of them may have been
 * torn. Believing a wrong page would write wrong bytes over somebody's data. So each page says what it is and of which
 * journal, the checksum covers all of it, and what binds pages together (the record's number, the checksum over the
 * table) stands in the marker that arms them.
 */
#include "sweep/undo_layout.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <isa-l/crc64.h>
#include <stdlib.h>
#include <string.h>

static const char magic[6] = { 'S', 'W', 'E', 'E', 'P', 'U' };
enum { VERSION = 1, CRC_AT = UNDO_PAGE_BYTES - 8, ABSENT_AT = 32, ABSENT_BYTES = 60, CRCS_AT = 96 };
enum { NAME_AT = 64, SERIAL_AT = 192, WWN_AT = 320, PARTUUID_AT = 448, FILE_AT = 576, FILE_BYTES = 1024 };

static_assert(CRCS_AT + UNDO_TABLE_UNITS * 8 <= CRC_AT, "a page of a table has room for its units");
static_assert(ABSENT_BYTES * 8 == UNDO_TABLE_UNITS, "a bit for each unit");

static void put32(uint8_t *to, uint32_t value) {
        value = htole32(value);
        memcpy(to, &value, sizeof value);
}

static uint32_t get32(const uint8_t *from) {
        uint32_t value;
        memcpy(&value, from, sizeof value);
        return le32toh(value);
}

static void put64(uint8_t *to, uint64_t value) {
        value = htole64(value);
        memcpy(to, &value, sizeof value);
}

static uint64_t get64(const uint8_t *from) {
        uint64_t value;
        memcpy(&value, from, sizeof value);
        return le64toh(value);
}

uint64_t undo_crc(const uint8_t *bytes, size_t length_bytes) {
        return crc64_ecma_refl(0, bytes, length_bytes);
}

static uint64_t whole_pages(uint64_t bytes) {
        return (bytes + UNDO_PAGE_BYTES - 1) / UNDO_PAGE_BYTES * UNDO_PAGE_BYTES;
}

static uint64_t slot_bytes(uint64_t segment_bytes) {
        return (UNDO_MARKER_COPIES + undo_table_pages(segment_bytes)) * UNDO_PAGE_BYTES + whole_pages(segment_bytes);
}

static uint64_t slot_offset(uint64_t segment_bytes, unsigned slot) {
        return UINT64_C(2) * UNDO_PAGE_BYTES + slot * slot_bytes(segment_bytes);
}

uint64_t undo_journal_bytes(uint64_t segment_bytes) {
        return undo_shelf_offset(segment_bytes, UNDO_SHELF_UNITS);
}

uint64_t undo_head_offset(unsigned copy) {
        return (uint64_t)copy * UNDO_PAGE_BYTES;
}

uint64_t undo_marker_offset(uint64_t segment_bytes, unsigned slot, unsigned copy) {
        assert(slot < UNDO_SLOTS && copy < UNDO_MARKER_COPIES);
        uint64_t begin = slot_offset(segment_bytes, slot);
        return copy == 0 ? begin : begin + slot_bytes(segment_bytes) - UNDO_PAGE_BYTES;
}

uint64_t undo_table_offset(uint64_t segment_bytes, unsigned slot) {
        return slot_offset(segment_bytes, slot) + UNDO_PAGE_BYTES;
}

uint64_t undo_data_offset(uint64_t segment_bytes, unsigned slot) {
        return undo_table_offset(segment_bytes, slot) + undo_table_pages(segment_bytes) * UNDO_PAGE_BYTES;
}

uint64_t undo_shelf_offset(uint64_t segment_bytes, unsigned index) {
        return slot_offset(segment_bytes, UNDO_SLOTS) + (uint64_t)index * 2 * UNDO_PAGE_BYTES;
}

static void page_begin(uint8_t *page, char kind, uint64_t journal_id) {
        memset(page, 0, UNDO_PAGE_BYTES);
        memcpy(page, magic, sizeof magic);
        page[6] = (uint8_t)kind;
        page[7] = VERSION;
        put64(page + 8, journal_id);
}

static void page_end(uint8_t *page) {
        put64(page + CRC_AT, undo_crc(page, CRC_AT));
}

static bool page_is(const uint8_t *page, char kind) {
        return memcmp(page, magic, sizeof magic) == 0 && page[6] == (uint8_t)kind && page[7] == VERSION &&
                get64(page + CRC_AT) == undo_crc(page, CRC_AT);
}

static void get_text(char *to, size_t room, const uint8_t *from, size_t bytes) {
        size_t length = strnlen((const char *)from, MIN(bytes, room - 1));
        memcpy(to, from, length);
        to[length] = '\0';
}

void undo_head_write(uint8_t page[static UNDO_PAGE_BYTES], const struct undo_head *head) {
        const struct identity *i = &head->identity;
        page_begin(page, 'H', head->journal_id);
        put64(page + 16, head->created_us);
        put64(page + 24, head->segment_bytes);
        put64(page + 32, head->target_bytes);
        put64(page + 40, i->partition_offset_bytes);
        put32(page + 48, i->kind);
        text_copy((char *)page + NAME_AT, DEVICE_NAME_BYTES, head->device);
        text_copy((char *)page + SERIAL_AT, IDENTITY_TEXT_BYTES, i->serial);
        text_copy((char *)page + WWN_AT, IDENTITY_TEXT_BYTES, i->wwn);
        text_copy((char *)page + PARTUUID_AT, IDENTITY_TEXT_BYTES, i->partuuid);
        text_copy((char *)page + FILE_AT, FILE_BYTES, i->backing_file);
        page_end(page);
}

bool undo_head_read(struct undo_head *ret, const uint8_t page[static UNDO_PAGE_BYTES]) {
        if (!page_is(page, 'H') || get32(page + 48) >= TARGET_KIND_COUNT)
                return false;
        uint64_t segment_bytes = get64(page + 24);
        if (segment_bytes < UNIT_BYTES || segment_bytes > UINT64_C(1) << 48)
                return false;
        *ret = (struct undo_head){
                .journal_id = get64(page + 8),
                .created_us = get64(page + 16),
                .segment_bytes = segment_bytes,
                .target_bytes = get64(page + 32),
                .identity = { .kind = (enum target_kind)get32(page + 48), .partition_offset_bytes = get64(page + 40) },
        };
        struct identity *i = &ret->identity;
        get_text(ret->device, sizeof ret->device, page + NAME_AT, DEVICE_NAME_BYTES);
        get_text(i->serial, sizeof i->serial, page + SERIAL_AT, IDENTITY_TEXT_BYTES);
        get_text(i->wwn, sizeof i->wwn, page + WWN_AT, IDENTITY_TEXT_BYTES);
        get_text(i->partuuid, sizeof i->partuuid, page + PARTUUID_AT, IDENTITY_TEXT_BYTES);
        get_text(i->backing_file, sizeof i->backing_file, page + FILE_AT, FILE_BYTES);
        return true;
}

void undo_marker_write(uint8_t page[static UNDO_PAGE_BYTES], uint64_t journal_id, const struct undo_marker *marker) {
        page_begin(page, 'M', journal_id);
        put64(page + 16, marker->sequence);
        put64(page + 24, marker->record);
        put32(page + 32, marker->slot);
        put32(page + 36, marker->state);
        put32(page + 40, marker->mode);
        put64(page + 48, marker->place.offset_bytes);
        put64(page + 56, marker->place.length_bytes);
        put64(page + 64, marker->target_id);
        put64(page + 72, marker->generation);
        put64(page + 80, marker->nonce);
        put64(page + 88, marker->started_us);
        put64(page + 96, marker->armed_us);
        put32(page + 104, marker->units_lost);
        put64(page + 112, marker->table_crc);
        page_end(page);
}

bool undo_marker_read(struct undo_marker *ret, const uint8_t page[static UNDO_PAGE_BYTES], uint64_t journal_id) {
        if (!page_is(page, 'M') || get64(page + 8) != journal_id || get32(page + 32) >= UNDO_SLOTS ||
                get32(page + 36) >= UNDO_STATE_COUNT || get32(page + 40) >= MODE_COUNT)
                return false;
        *ret = (struct undo_marker){
                .sequence = get64(page + 16),
                .record = get64(page + 24),
                .slot = get32(page + 32),
                .state = (enum undo_state)get32(page + 36),
                .mode = (enum sweep_mode)get32(page + 40),
                .place = { get64(page + 48), get64(page + 56) },
                .target_id = get64(page + 64),
                .generation = get64(page + 72),
                .nonce = get64(page + 80),
                .started_us = get64(page + 88),
                .armed_us = get64(page + 96),
                .units_lost = get32(page + 104),
                .table_crc = get64(page + 112),
        };
        return true;
}

void undo_shelved_write(uint8_t page[static UNDO_PAGE_BYTES], uint64_t journal_id, const struct undo_shelved *shelved) {
        page_begin(page, 'S', journal_id);
        put64(page + 16, shelved->record);
        put64(page + 24, shelved->place.offset_bytes);
        put32(page + 32, (uint32_t)shelved->place.length_bytes);
        put64(page + 40, shelved->met_us);
        put64(page + 48, shelved->crc);
        page_end(page);
}

bool undo_shelved_read(struct undo_shelved *ret, const uint8_t page[static UNDO_PAGE_BYTES], uint64_t journal_id) {
        if (!page_is(page, 'S') || get64(page + 8) != journal_id || get32(page + 32) > UNIT_BYTES)
                return false;
        *ret = (struct undo_shelved){
                .record = get64(page + 16),
                .place = { get64(page + 24), get32(page + 32) },
                .met_us = get64(page + 40),
                .crc = get64(page + 48),
        };
        return true;
}

static size_t units_on_page(const struct undo_table *table, size_t index) {
        assert(index * UNDO_TABLE_UNITS < table->units);
        return MIN(UNDO_TABLE_UNITS, table->units - index * UNDO_TABLE_UNITS);
}

void undo_table_write(uint8_t page[static UNDO_PAGE_BYTES], uint64_t journal_id, uint64_t record,
        const struct undo_table *table, size_t index) {
        size_t first = index * UNDO_TABLE_UNITS, count = units_on_page(table, index);
        page_begin(page, 'T', journal_id);
        put64(page + 16, record);
        put32(page + 24, (uint32_t)index);
        put32(page + 28, (uint32_t)count);
        for (size_t i = 0; i < count; i++) {
                if (undo_table_is_absent(table, first + i))
                        page[ABSENT_AT + i / 8] |= (uint8_t)(1u << (i % 8));
                put64(page + CRCS_AT + i * 8, table->crcs[first + i]);
        }
        page_end(page);
}

bool undo_table_read(struct undo_table *table, const uint8_t page[static UNDO_PAGE_BYTES], uint64_t journal_id,
        uint64_t record, size_t index) {
        size_t first = index * UNDO_TABLE_UNITS, count = units_on_page(table, index);
        if (!page_is(page, 'T') || get64(page + 8) != journal_id || get64(page + 16) != record ||
                get32(page + 24) != index || get32(page + 28) != count)
                return false;
        for (size_t i = 0; i < count; i++) {
                uint64_t bit = BIT((first + i) % 64), *word = &table->absent[(first + i) / 64];
                *word = page[ABSENT_AT + i / 8] >> (i % 8) & 1 ? *word | bit : *word & ~bit;
                table->crcs[first + i] = get64(page + CRCS_AT + i * 8);
        }
        return true;
}

uint64_t undo_table_crc(uint64_t crc, const uint8_t page[static UNDO_PAGE_BYTES]) {
        return crc64_ecma_refl(crc, page + CRC_AT, 8);
}

int undo_table_init(struct undo_table *table, size_t room) {
        *table = (struct undo_table){ .room = room };
        table->crcs = calloc(room, sizeof *table->crcs);
        table->absent = calloc((room + 63) / 64, sizeof *table->absent);
        return table->crcs && table->absent ? 0 : -ENOMEM;
}

void undo_table_deinit(struct undo_table *table) {
        free(table->crcs);
        free(table->absent);
        *table = (struct undo_table){ 0 };
}
