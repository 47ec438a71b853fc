/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a journal: what was written is read back, and nothing else is believed. */
#include "base/cleanup.h"
#include "suite.h"
#include "sweep/undo_layout.h"

#include <stdbool.h>
#include <string.h>

#define JOURNAL_ID UINT64_C(0x0123456789abcdef)

enum { TABLE_UNITS = UNDO_TABLE_UNITS + 7 };

static uint64_t random_state;

static uint64_t draw(void) {
        return suite_random(&random_state);
}

static struct undo_head some_head(void) {
        struct undo_head head = {
                .journal_id = JOURNAL_ID,
                .created_us = draw(),
                .segment_bytes = UINT64_C(512) << 20,
                .target_bytes = draw(),
                .device = "spare-7",
                .identity = { .kind = TARGET_KIND_PARTITION, .partition_offset_bytes = draw() },
        };
        snprintf(head.identity.serial, sizeof head.identity.serial, "ZA%u", (unsigned)draw());
        snprintf(head.identity.wwn, sizeof head.identity.wwn, "0x%u", (unsigned)draw());
        snprintf(head.identity.partuuid, sizeof head.identity.partuuid, "%u-%u", (unsigned)draw(), (unsigned)draw());
        snprintf(head.identity.backing_file, sizeof head.identity.backing_file, "/srv/%u", (unsigned)draw());
        return head;
}

static struct undo_marker some_marker(void) {
        return (struct undo_marker){
                .sequence = draw(),
                .record = draw(),
                .slot = draw() % UNDO_SLOTS,
                .state = draw() % UNDO_STATE_COUNT,
                .mode = MODE_REFRESH + draw() % 2,
                .place = { draw(), draw() },
                .target_id = draw(),
                .generation = draw(),
                .nonce = draw(),
                .started_us = draw(),
                .armed_us = draw(),
                .units_lost = (uint32_t)draw(),
                .table_crc = draw(),
        };
}

static struct undo_shelved some_shelved(void) {
        return (struct undo_shelved){
                .record = draw(),
                .place = { draw(), 1 + draw() % UNIT_BYTES },
                .met_us = draw(),
                .crc = draw(),
        };
}

static void some_table(struct undo_table *table) {
        ck_assert_int_eq(undo_table_init(table, TABLE_UNITS), 0);
        table->units = TABLE_UNITS;
        for (size_t i = 0; i < TABLE_UNITS; i++) {
                table->crcs[i] = draw();
                if (draw() % 4 == 0)
                        table->absent[i / 64] |= BIT(i % 64);
        }
}

static bool markers_agree(const struct undo_marker *a, const struct undo_marker *b) {
        return a->sequence == b->sequence && a->record == b->record && a->slot == b->slot && a->state == b->state &&
                a->mode == b->mode && a->place.offset_bytes == b->place.offset_bytes &&
                a->place.length_bytes == b->place.length_bytes && a->target_id == b->target_id &&
                a->generation == b->generation && a->nonce == b->nonce && a->started_us == b->started_us &&
                a->armed_us == b->armed_us && a->units_lost == b->units_lost && a->table_crc == b->table_crc;
}

START_TEST(what_was_written_is_read_back) {
        random_state = (uint64_t)_i;
        uint8_t page[UNDO_PAGE_BYTES];
        struct undo_head head = some_head(), head_read;
        undo_head_write(page, &head);
        ASSERT_SEEDED(_i, undo_head_read(&head_read, page));
        ASSERT_SEEDED(_i, head_read.journal_id == head.journal_id && head_read.created_us == head.created_us);
        ASSERT_SEEDED(_i, head_read.segment_bytes == head.segment_bytes);
        ASSERT_SEEDED(_i, head_read.target_bytes == head.target_bytes);
        ck_assert_str_eq(head_read.device, head.device);
        ck_assert_str_eq(head_read.identity.serial, head.identity.serial);
        ck_assert_str_eq(head_read.identity.wwn, head.identity.wwn);
        ck_assert_str_eq(head_read.identity.partuuid, head.identity.partuuid);
        ck_assert_str_eq(head_read.identity.backing_file, head.identity.backing_file);
        ASSERT_SEEDED(_i, head_read.identity.kind == head.identity.kind);
        ASSERT_SEEDED(_i, head_read.identity.partition_offset_bytes == head.identity.partition_offset_bytes);

        struct undo_marker marker = some_marker(), marker_read;
        undo_marker_write(page, JOURNAL_ID, &marker);
        ASSERT_SEEDED(_i, undo_marker_read(&marker_read, page, JOURNAL_ID));
        ASSERT_SEEDED(_i, markers_agree(&marker, &marker_read));

        struct undo_shelved shelved = some_shelved(), shelved_read;
        undo_shelved_write(page, JOURNAL_ID, &shelved);
        ASSERT_SEEDED(_i, undo_shelved_read(&shelved_read, page, JOURNAL_ID));
        ASSERT_SEEDED(_i, shelved_read.record == shelved.record && shelved_read.crc == shelved.crc);
        ASSERT_SEEDED(_i, shelved_read.place.offset_bytes == shelved.place.offset_bytes);
        ASSERT_SEEDED(_i, shelved_read.place.length_bytes == shelved.place.length_bytes);
        ASSERT_SEEDED(_i, shelved_read.met_us == shelved.met_us);
}
END_TEST

/* Into memory that held another table before. */
START_TEST(a_table_is_read_back_page_by_page) {
        random_state = (uint64_t)_i;
        uint8_t page[UNDO_PAGE_BYTES];
        struct undo_table table, other;
        some_table(&table);
        some_table(&other);
        for (size_t index = 0; index < 2; index++) {
                undo_table_write(page, JOURNAL_ID, 9, &table, index);
                ASSERT_SEEDED(_i, undo_table_read(&other, page, JOURNAL_ID, 9, index));
        }
        for (size_t i = 0; i < TABLE_UNITS; i++)
                ASSERT_SEEDED(_i,
                        table.crcs[i] == other.crcs[i] &&
                                undo_table_is_absent(&table, i) == undo_table_is_absent(&other, i));
        undo_table_deinit(&table);
        undo_table_deinit(&other);
}
END_TEST

/* Writes a page of each kind and says whether it is still believed. */
static bool believed(unsigned kind, struct undo_table *table, const uint8_t *page) {
        struct undo_head head;
        struct undo_marker marker;
        struct undo_shelved shelved;
        switch (kind) {
        case 0:
                return undo_head_read(&head, page);
        case 1:
                return undo_marker_read(&marker, page, JOURNAL_ID);
        case 2:
                return undo_shelved_read(&shelved, page, JOURNAL_ID);
        default:
                return undo_table_read(table, page, JOURNAL_ID, 9, 0);
        }
}

static void write_kind(unsigned kind, struct undo_table *table, uint8_t *page) {
        struct undo_head head = some_head();
        struct undo_marker marker = some_marker();
        struct undo_shelved shelved = some_shelved();
        if (kind == 0)
                undo_head_write(page, &head);
        else if (kind == 1)
                undo_marker_write(page, JOURNAL_ID, &marker);
        else if (kind == 2)
                undo_shelved_write(page, JOURNAL_ID, &shelved);
        else
                undo_table_write(page, JOURNAL_ID, 9, table, 0);
}

START_TEST(one_flipped_bit_makes_a_page_unbelievable) {
        random_state = (uint64_t)_i;
        uint8_t page[UNDO_PAGE_BYTES];
        struct undo_table table;
        some_table(&table);
        write_kind((unsigned)_i, &table, page);
        ck_assert(believed((unsigned)_i, &table, page));
        for (size_t bit = 0; bit < UNDO_PAGE_BYTES * 8; bit++) {
                page[bit / 8] ^= (uint8_t)BIT(bit % 8);
                ck_assert_msg(!believed((unsigned)_i, &table, page), "bit %zu", bit);
                page[bit / 8] ^= (uint8_t)BIT(bit % 8);
        }
        undo_table_deinit(&table);
}
END_TEST

START_TEST(a_page_of_one_kind_is_no_other) {
        uint8_t page[UNDO_PAGE_BYTES];
        struct undo_table table;
        some_table(&table);
        for (unsigned written = 0; written < 4; written++) {
                write_kind(written, &table, page);
                for (unsigned read = 0; read < 4; read++)
                        ck_assert_int_eq(believed(read, &table, page), read == written);
        }
        undo_table_deinit(&table);
}
END_TEST

START_TEST(pages_of_another_journal_record_or_place_are_refused) {
        uint8_t page[UNDO_PAGE_BYTES];
        struct undo_marker marker = some_marker();
        struct undo_shelved shelved = some_shelved();
        undo_marker_write(page, JOURNAL_ID + 1, &marker);
        ck_assert(!undo_marker_read(&marker, page, JOURNAL_ID));
        undo_shelved_write(page, JOURNAL_ID + 1, &shelved);
        ck_assert(!undo_shelved_read(&shelved, page, JOURNAL_ID));
        struct undo_table table;
        some_table(&table);
        undo_table_write(page, JOURNAL_ID, 9, &table, 0);
        ck_assert(!undo_table_read(&table, page, JOURNAL_ID + 1, 9, 0));
        ck_assert(!undo_table_read(&table, page, JOURNAL_ID, 8, 0));
        ck_assert(!undo_table_read(&table, page, JOURNAL_ID, 9, 1));
        table.units--; /* the last page has one unit less then */
        undo_table_write(page, JOURNAL_ID, 9, &table, 1);
        table.units++;
        ck_assert(!undo_table_read(&table, page, JOURNAL_ID, 9, 1));
        undo_table_deinit(&table);
}
END_TEST

/* A page may be whole and say what no writer of this version says. */
START_TEST(numbers_out_of_range_are_refused) {
        uint8_t page[UNDO_PAGE_BYTES];
        struct undo_marker marker = some_marker(), ignored;
        marker.slot = UNDO_SLOTS;
        undo_marker_write(page, JOURNAL_ID, &marker);
        ck_assert(!undo_marker_read(&ignored, page, JOURNAL_ID));
        marker.slot = 0;
        marker.state = UNDO_STATE_COUNT;
        undo_marker_write(page, JOURNAL_ID, &marker);
        ck_assert(!undo_marker_read(&ignored, page, JOURNAL_ID));
        marker.state = UNDO_ARMED;
        marker.mode = MODE_COUNT;
        undo_marker_write(page, JOURNAL_ID, &marker);
        ck_assert(!undo_marker_read(&ignored, page, JOURNAL_ID));
        struct undo_shelved shelved = some_shelved();
        shelved.place.length_bytes = UNIT_BYTES + 1;
        undo_shelved_write(page, JOURNAL_ID, &shelved);
        ck_assert(!undo_shelved_read(&shelved, page, JOURNAL_ID));
        struct undo_head head = some_head(), head_ignored;
        static const uint64_t sizes[] = { 0, UNIT_BYTES - 1, (UINT64_C(1) << 48) + 1 };
        for (size_t i = 0; i < ELEMENTS(sizes); i++) {
                head.segment_bytes = sizes[i];
                undo_head_write(page, &head);
                ck_assert(!undo_head_read(&head_ignored, page));
        }
        head = some_head();
        head.identity.kind = TARGET_KIND_COUNT;
        undo_head_write(page, &head);
        ck_assert(!undo_head_read(&head_ignored, page));
}
END_TEST

START_TEST(the_checksum_of_a_table_depends_on_each_page_and_their_order) {
        uint8_t pages[2][UNDO_PAGE_BYTES];
        struct undo_table table;
        some_table(&table);
        for (size_t i = 0; i < 2; i++)
                undo_table_write(pages[i], JOURNAL_ID, 9, &table, i);
        uint64_t right = undo_table_crc(undo_table_crc(0, pages[0]), pages[1]);
        ck_assert(right != undo_table_crc(undo_table_crc(0, pages[1]), pages[0]));
        table.crcs[3]++;
        undo_table_write(pages[0], JOURNAL_ID, 9, &table, 0);
        ck_assert(right != undo_table_crc(undo_table_crc(0, pages[0]), pages[1]));
        undo_table_deinit(&table);
}
END_TEST

struct part {
        uint64_t from, to;
};

static int by_place(const void *a, const void *b) {
        const struct part *x = a, *y = b;
        return x->from < y->from ? -1 : x->from > y->from;
}

/* The parts, sorted, follow one another without a gap to the journal's end. */
static void assert_parts_fit(uint64_t segment) {
        static struct part parts[2 + 4 * UNDO_SLOTS + UNDO_SHELF_UNITS];
        size_t n = 0;
        for (unsigned copy = 0; copy < 2; copy++)
                parts[n++] = (struct part){ undo_head_offset(copy), undo_head_offset(copy) + UNDO_PAGE_BYTES };
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++) {
                uint64_t table = undo_table_offset(segment, slot), data = undo_data_offset(segment, slot);
                for (unsigned copy = 0; copy < UNDO_MARKER_COPIES; copy++) {
                        uint64_t marker = undo_marker_offset(segment, slot, copy);
                        parts[n++] = (struct part){ marker, marker + UNDO_PAGE_BYTES };
                }
                parts[n++] = (struct part){ table, table + undo_table_pages(segment) * UNDO_PAGE_BYTES };
                parts[n++] = (struct part){ data, data + undo_units(segment) * UNIT_BYTES };
        }
        for (unsigned i = 0; i < UNDO_SHELF_UNITS; i++) {
                uint64_t at = undo_shelf_offset(segment, i);
                parts[n++] = (struct part){ at, at + 2 * UNDO_PAGE_BYTES };
        }
        qsort(parts, n, sizeof parts[0], by_place);
        uint64_t at = 0;
        for (size_t i = 0; i < n; i++) {
                ck_assert_msg(parts[i].from == at, "segment of %" PRIu64 " bytes", segment);
                ck_assert_uint_eq(parts[i].from % UNDO_PAGE_BYTES, 0);
                at = parts[i].to;
        }
        ck_assert_uint_eq(at, undo_journal_bytes(segment));
}

START_TEST(parts_of_a_journal_never_overlap) {
        for (uint64_t segment = 4096; segment < 8 << 20; segment += 512 * 37)
                assert_parts_fit(segment);
        for (unsigned shift = 12; shift <= 48; shift++)
                for (uint64_t more = 0; more <= 1024; more += 512)
                        assert_parts_fit((UINT64_C(1) << shift) + more);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("undo_layout");
        tcase_add_loop_test(tests, what_was_written_is_read_back, 0, 50);
        tcase_add_loop_test(tests, a_table_is_read_back_page_by_page, 0, 50);
        tcase_add_loop_test(tests, one_flipped_bit_makes_a_page_unbelievable, 0, 4);
        tcase_add_test(tests, a_page_of_one_kind_is_no_other);
        tcase_add_test(tests, pages_of_another_journal_record_or_place_are_refused);
        tcase_add_test(tests, numbers_out_of_range_are_refused);
        tcase_add_test(tests, the_checksum_of_a_table_depends_on_each_page_and_their_order);
        tcase_add_test(tests, parts_of_a_journal_never_overlap);
        return suite_run("undo_layout", tests);
}
