/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person may do with a journal: a file in memory, whose reads and writes fail by rules. They fail in pread(),
 * pwrite() and fdatasync() themselves, which the linker leads here.
 */
#include "suite.h"
#include "sweep/rescue.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SEGMENT = 600 * UNIT_BYTES, PLACE_BYTES = 599 * UNIT_BYTES + 512, PIECES = 600 };

#define JOURNAL_ID UINT64_C(0x99)

static int fd;
static uint8_t page[UNDO_PAGE_BYTES];
static uint8_t originals[PIECES * UNIT_BYTES];
static struct undo_table table;
static struct undo_marker marker;
static struct undo_shelved shelved;

/* The fault of the moment: reads or writes that touch this place; 0: none. */
static struct {
        uint64_t at;
        int error; /* 0: the file ends there */
        unsigned times, after;
        bool reads, writes, flushes;
        size_t shorter; /* transfers at most so much */
} fault;

static bool hit(uint64_t offset, size_t length) {
        if (fault.times == 0 || fault.at < offset || fault.at >= offset + length)
                return false;
        if (fault.after > 0) {
                fault.after--;
                return false;
        }
        fault.times--;
        return true;
}

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker's names */
ssize_t __real_pread64(int file, void *to, size_t length, off_t offset);
ssize_t __real_pwrite64(int file, const void *from, size_t length, off_t offset);
void *__real_calloc(size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
ssize_t __wrap_pread64(int file, void *to, size_t length, off_t offset);
ssize_t __wrap_pwrite64(int file, const void *from, size_t length, off_t offset);
int __wrap_fdatasync(int file);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static ssize_t refuse(void) {
        errno = fault.error;
        return fault.error ? -1 : 0;
}

ssize_t __wrap_pread64(int file, void *to, size_t length, off_t offset) {
        if (fault.reads && hit((uint64_t)offset, length))
                return refuse();
        return __real_pread64(file, to, fault.shorter ? MIN(length, fault.shorter) : length, offset);
}

ssize_t __wrap_pwrite64(int file, const void *from, size_t length, off_t offset) {
        if (fault.writes && hit((uint64_t)offset, length))
                return refuse();
        return __real_pwrite64(file, from, fault.shorter ? MIN(length, fault.shorter) : length, offset);
}

static unsigned flushes;

int __wrap_fdatasync(int file) {
        flushes++;
        return fault.flushes ? (int)refuse() : 0;
}

static int allocations_left = -1;

static bool is_out_of_memory(void) {
        return allocations_left == 0 || (allocations_left > 0 && allocations_left-- == 0);
}

void *__wrap_calloc(size_t count, size_t size) {
        return is_out_of_memory() ? NULL : __real_calloc(count, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
        return is_out_of_memory() ? NULL : __real_aligned_alloc(alignment, size);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void put(uint64_t offset, const void *bytes, size_t length) {
        ck_assert_int_eq(__real_pwrite64(fd, bytes, length, (off_t)offset), (ssize_t)length);
}

static void put_marker(unsigned copy) {
        undo_marker_write(page, JOURNAL_ID, &marker);
        put(undo_marker_offset(SEGMENT, marker.slot, copy), page, sizeof page);
}

/* Slot 0 is free. Slot 1 is pinned; unit 2 was left out, the last one is short. The shelf has one entry, the fourth. */
static void setup(void) {
        uint64_t random = 1;
        memset(&fault, 0, sizeof fault);
        fd = memfd_create("journal", MFD_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(ftruncate(fd, (off_t)undo_journal_bytes(SEGMENT)), 0);
        struct undo_head head = { .journal_id = JOURNAL_ID, .segment_bytes = SEGMENT, .device = "spare-7" };
        undo_head_write(page, &head);
        put(undo_head_offset(0), page, sizeof page);
        put(undo_head_offset(1), page, sizeof page);

        for (size_t i = 0; i < sizeof originals; i++)
                originals[i] = (uint8_t)suite_random(&random);
        put(undo_data_offset(SEGMENT, 1), originals, sizeof originals);
        ck_assert_int_eq(undo_table_init(&table, PIECES), 0);
        table.units = PIECES;
        table.absent[0] = BIT(2);
        for (size_t i = 0; i < PIECES; i++)
                table.crcs[i] = undo_crc(originals + i * UNIT_BYTES, MIN(PLACE_BYTES - i * UNIT_BYTES, UNIT_BYTES));
        marker = (struct undo_marker){ .slot = 0 };
        put_marker(0);
        put_marker(1);
        marker = (struct undo_marker){ .sequence = 6,
                .record = 3,
                .slot = 1,
                .state = UNDO_PINNED,
                .mode = MODE_PRESERVE,
                .place = { 1 << 20, PLACE_BYTES } };
        for (size_t i = 0; i < 2; i++) {
                undo_table_write(page, JOURNAL_ID, marker.record, &table, i);
                put(undo_table_offset(SEGMENT, 1) + i * UNDO_PAGE_BYTES, page, sizeof page);
        }
        undo_table_deinit(&table);
        put_marker(0);
        put_marker(1);

        shelved = (struct undo_shelved){ .record = 3, .place = { (1 << 20) + 512, 1024 }, .met_us = 5 };
        shelved.crc = undo_crc(originals, 1024);
        undo_shelved_write(page, JOURNAL_ID, &shelved);
        put(undo_shelf_offset(SEGMENT, 3), page, sizeof page);
        put(undo_shelf_offset(SEGMENT, 3) + UNDO_PAGE_BYTES, originals, UNDO_PAGE_BYTES);
}

static void teardown(void) {
        close(fd);
}

static struct rescue_entry entries[RESCUE_ENTRIES_MAX];

static size_t list(struct rescue *r) {
        int error;
        return rescue_list(r, entries, &error);
}

static struct rescue *open_journal(void) {
        struct rescue *r;
        ck_assert_int_eq(rescue_new(&r, fd), RESCUE_OK);
        return r;
}

struct taken {
        size_t count, right, absent, bad, wrong;
        uint64_t at;
        size_t end_after;
};

/* Pieces follow one another, and what is called right is. */
static int take(void *userdata, const struct rescue_piece *piece) {
        struct taken *t = userdata;
        if (t->count == 0)
                t->at = piece->place.offset_bytes;
        ck_assert_uint_eq(piece->place.offset_bytes, t->at);
        t->at += piece->place.length_bytes;
        t->count++;
        t->right += piece->is_right && piece->bytes;
        t->absent += piece->is_right && !piece->bytes;
        t->bad += piece->error != 0;
        t->wrong += !piece->is_right && piece->bytes;
        if (piece->is_right && piece->bytes && piece->place.length_bytes != 1024)
                ck_assert(memcmp(piece->bytes, originals + piece->place.offset_bytes - (1 << 20),
                                  piece->place.length_bytes) == 0);
        return t->count == t->end_after ? -ECANCELED : 0;
}

START_TEST(a_journal_lists_what_it_holds) {
        fault.shorter = _i ? 512 : 0;
        struct rescue *r = open_journal();
        int error = -1;
        ck_assert_str_eq(rescue_head(r)->device, "spare-7");
        ck_assert_uint_eq(rescue_list(r, entries, &error), 2);
        ck_assert_int_eq(error, 0);
        ck_assert(!entries[0].is_shelf && entries[0].index == 1 && entries[0].marker.record == 3);
        ck_assert(entries[1].is_shelf && entries[1].index == 3 && entries[1].shelved.place.length_bytes == 1024);
        rescue_free(r);
}
END_TEST

START_TEST(one_head_is_enough) {
        memset(page, 0, sizeof page);
        put(undo_head_offset((unsigned)_i), page, sizeof page);
        rescue_free(open_journal());
        put(undo_head_offset(!_i), page, sizeof page);
        struct rescue *r = NULL;
        ck_assert_int_eq(rescue_new(&r, fd), RESCUE_E_NO_JOURNAL);
        fault.reads = true;
        fault.error = EIO;
        fault.times = 1;
        ck_assert_int_eq(rescue_new(&r, fd), -EIO);
        ck_assert_ptr_null(r);
}
END_TEST

START_TEST(without_memory_nothing_is_opened) {
        struct rescue *r = NULL;
        for (int n = 0; n < 3; n++) {
                allocations_left = n;
                ck_assert_int_eq(rescue_new(&r, fd), -ENOMEM);
                allocations_left = -1;
        }
        r = open_journal();
        list(r);
        allocations_left = 0;
        ck_assert_int_eq(rescue_export(r, &entries[0], take, &(struct taken){ 0 }), -ENOMEM);
        allocations_left = -1;
        rescue_free(r);
        ck_assert_ptr_null(rescue_free(NULL));
}
END_TEST

START_TEST(of_two_copies_of_a_marker_the_later_one_is_listed) {
        marker.sequence = _i < 2 ? 7 : 5;
        marker.state = UNDO_FREE;
        put_marker((unsigned)_i % 2);
        struct rescue *r = open_journal();
        ck_assert_uint_eq(list(r), _i < 2 ? 1 : 2);
        rescue_free(r);
}
END_TEST

START_TEST(what_can_not_be_read_is_told_and_the_rest_is_listed) {
        struct rescue *r = open_journal();
        int error;
        fault.reads = true;
        fault.error = _i ? 0 : ENODATA;
        fault.at = undo_shelf_offset(SEGMENT, 3);
        fault.times = 1;
        ck_assert_uint_eq(rescue_list(r, entries, &error), 1);
        ck_assert_int_eq(error, _i ? EIO : ENODATA);
        fault.at = undo_marker_offset(SEGMENT, 1, 0);
        fault.times = 1;
        ck_assert_uint_eq(rescue_list(r, entries, &error), 2);
        ck_assert_int_eq(error, _i ? EIO : ENODATA);
        rescue_free(r);
}
END_TEST

START_TEST(a_marker_in_the_wrong_slot_is_not_listed) {
        undo_marker_write(page, JOURNAL_ID, &marker);
        put(undo_marker_offset(SEGMENT, 0, 0), page, sizeof page);
        struct rescue *r = open_journal();
        ck_assert_uint_eq(list(r), 2);
        ck_assert_uint_eq(entries[0].index, 1);
        rescue_free(r);
}
END_TEST

START_TEST(an_export_is_the_originals_unit_by_unit) {
        struct rescue *r = open_journal();
        struct taken t = { 0 };
        list(r);
        ck_assert_int_eq(rescue_export(r, &entries[0], take, &t), 0);
        ck_assert_uint_eq(t.count, PIECES);
        ck_assert_uint_eq(t.right, PIECES - 1);
        ck_assert_uint_eq(t.absent, 1);
        ck_assert_uint_eq(t.at, (1 << 20) + PLACE_BYTES);
        t = (struct taken){ 0 };
        ck_assert_int_eq(rescue_export(r, &entries[1], take, &t), 0);
        ck_assert_uint_eq(t.count, 1);
        ck_assert_uint_eq(t.right, 1);
        rescue_free(r);
}
END_TEST

START_TEST(an_export_says_which_units_are_wrong) {
        struct rescue *r = open_journal();
        struct taken t = { 0 };
        list(r);
        put(undo_data_offset(SEGMENT, 1) + 9 * UNIT_BYTES, "x", 1);
        put(undo_table_offset(SEGMENT, 1) + UNDO_PAGE_BYTES + 100, "x", 1); /* the second page */
        fault.reads = true;
        fault.error = EIO;
        fault.at = undo_data_offset(SEGMENT, 1) + 7 * UNIT_BYTES;
        fault.times = 1;
        ck_assert_int_eq(rescue_export(r, &entries[0], take, &t), 0);
        ck_assert_uint_eq(t.bad, 1);
        ck_assert_uint_eq(t.wrong, 1 + PIECES - UNDO_TABLE_UNITS);
        fault.at = undo_table_offset(SEGMENT, 1); /* now the first page can't be read at all */
        fault.times = 1;
        t = (struct taken){ 0 };
        ck_assert_int_eq(rescue_export(r, &entries[0], take, &t), 0);
        ck_assert_uint_eq(t.wrong, PIECES);
        rescue_free(r);
}
END_TEST

START_TEST(a_slot_of_which_nobody_knows_is_an_error_and_not_free) {
        struct rescue *r = open_journal();
        int error = 0;
        for (unsigned copy = 0; copy < 2; copy++)
                put(undo_marker_offset(SEGMENT, 1, copy), originals, UNDO_PAGE_BYTES);
        ck_assert_uint_eq(rescue_list(r, entries, &error), 1); /* what is on the shelf */
        ck_assert_int_eq(error, EUCLEAN);
        rescue_free(r);
}
END_TEST

START_TEST(an_export_ends_when_nobody_takes_it) {
        struct rescue *r = open_journal();
        struct taken t = { .end_after = 5 };
        list(r);
        ck_assert_int_eq(rescue_export(r, &entries[0], take, &t), -ECANCELED);
        ck_assert_uint_eq(t.count, 5);
        rescue_free(r);
}
END_TEST

START_TEST(what_is_forgotten_is_gone_and_flushed) {
        fault.shorter = _i ? 512 : 0;
        struct rescue *r = open_journal();
        list(r);
        flushes = 0;
        ck_assert_int_eq(rescue_forget(r, &entries[0]), RESCUE_OK);
        ck_assert_uint_ge(flushes, 2); /* after each copy: one is whole at any time */
        for (unsigned copy = 0; copy < 2; copy++) {
                struct undo_marker m;
                ck_assert_int_eq(__real_pread64(fd, page, sizeof page, (off_t)undo_marker_offset(SEGMENT, 1, copy)),
                        UNDO_PAGE_BYTES);
                ck_assert(undo_marker_read(&m, page, JOURNAL_ID) && m.state == UNDO_FREE && m.sequence == 7);
        }
        struct rescue_entry on_shelf = entries[1];
        ck_assert_int_eq(rescue_forget(r, &on_shelf), RESCUE_OK);
        ck_assert_uint_eq(list(r), 0);
        ck_assert_int_eq(__real_pread64(fd, page, sizeof page, (off_t)undo_shelf_offset(SEGMENT, 3) + UNDO_PAGE_BYTES),
                UNDO_PAGE_BYTES);
        for (size_t i = 0; i < sizeof page; i++)
                ck_assert_uint_eq(page[i], 0);
        rescue_free(r);
}
END_TEST

START_TEST(what_has_changed_since_is_not_forgotten) {
        struct rescue *r = open_journal();
        struct rescue_entry slot, on_shelf;
        list(r);
        slot = entries[0];
        on_shelf = entries[1];
        slot.marker.sequence--;
        ck_assert_int_eq(rescue_forget(r, &slot), RESCUE_E_CHANGED);
        slot = entries[0];
        slot.marker.record--;
        ck_assert_int_eq(rescue_forget(r, &slot), RESCUE_E_CHANGED);
        on_shelf.shelved.crc++;
        ck_assert_int_eq(rescue_forget(r, &on_shelf), RESCUE_E_CHANGED);
        on_shelf = entries[1];
        on_shelf.shelved.record++;
        ck_assert_int_eq(rescue_forget(r, &on_shelf), RESCUE_E_CHANGED);
        on_shelf = entries[1];
        on_shelf.shelved.place.offset_bytes++;
        ck_assert_int_eq(rescue_forget(r, &on_shelf), RESCUE_E_CHANGED);
        on_shelf = entries[1];
        on_shelf.index = 4;
        ck_assert_int_eq(rescue_forget(r, &on_shelf), RESCUE_E_CHANGED);
        slot = entries[0];
        slot.index = 0;
        ck_assert_int_eq(rescue_forget(r, &slot), RESCUE_E_CHANGED);
        ck_assert_uint_eq(list(r), 2);
        ck_assert_int_eq(rescue_forget(r, &entries[0]), RESCUE_OK);
        ck_assert_int_eq(rescue_forget(r, &entries[0]), RESCUE_E_CHANGED);
        rescue_free(r);
}
END_TEST

/* Reading again, writing either copy, flushing. */
START_TEST(an_error_of_the_journal_is_told_when_forgetting) {
        struct rescue *r = open_journal();
        list(r);
        fault.error = _i == 6 ? 0 : EIO;
        fault.reads = _i == 0 || _i == 4;
        fault.writes = _i == 1 || _i == 2 || _i >= 5;
        fault.flushes = _i == 3;
        fault.times = _i == 0 ? 2 : 1;
        fault.at = undo_marker_offset(SEGMENT, 1, _i == 2);
        if (_i == 0) {
                undo_marker_write(page, JOURNAL_ID + 1, &marker);
                put(undo_marker_offset(SEGMENT, 1, 1), page, sizeof page);
        }
        if (_i >= 4)
                fault.at = undo_shelf_offset(SEGMENT, 3);
        ck_assert_int_eq(rescue_forget(r, &entries[_i >= 4]), -EIO);
        rescue_free(r);
}
END_TEST

START_TEST(an_interrupted_transfer_is_made_again) {
        struct rescue *r = open_journal();
        list(r);
        fault.error = EINTR;
        fault.reads = fault.writes = true;
        fault.times = 2;
        fault.at = undo_shelf_offset(SEGMENT, 3);
        ck_assert_int_eq(rescue_forget(r, &entries[1]), RESCUE_OK);
        fault.times = 1;
        fault.reads = false;
        fault.at = undo_marker_offset(SEGMENT, 1, 0);
        ck_assert_int_eq(rescue_forget(r, &entries[0]), RESCUE_OK);
        ck_assert_uint_eq(list(r), 0);
        rescue_free(r);
}
END_TEST

/* The same journal after a restart gives the same numbers; anything else in its place gives others. */
START_TEST(a_number_is_of_one_thing_alone) {
        uint64_t ids[5];
        struct rescue *r = open_journal();
        list(r);
        ids[0] = rescue_id(r, &entries[0]);
        ids[1] = rescue_id(r, &entries[1]);
        rescue_free(r);
        r = open_journal();
        list(r);
        ck_assert_uint_eq(rescue_id(r, &entries[0]), ids[0]);
        ck_assert_uint_eq(rescue_id(r, &entries[1]), ids[1]);
        entries[0].marker.state = UNDO_ARMED; /* by a retry that is under way */
        entries[0].marker.sequence++;
        ck_assert_uint_eq(rescue_id(r, &entries[0]), ids[0]);
        entries[0].marker.record++;
        ids[2] = rescue_id(r, &entries[0]);
        entries[1].index++;
        ids[3] = rescue_id(r, &entries[1]);
        rescue_free(r);
        struct undo_head head = { .journal_id = JOURNAL_ID + 1, .segment_bytes = SEGMENT };
        undo_head_write(page, &head);
        put(undo_head_offset(0), page, sizeof page);
        r = open_journal();
        entries[0].marker.record--;
        ids[4] = rescue_id(r, &entries[0]);
        rescue_free(r);
        for (size_t i = 0; i < ELEMENTS(ids); i++) {
                ck_assert_uint_gt(ids[i], 0);
                ck_assert_uint_lt(ids[i], UINT64_C(1) << 52);
                for (size_t k = 0; k < i; k++)
                        ck_assert_uint_ne(ids[i], ids[k]);
        }
}
END_TEST

START_TEST(it_is_said_what_an_entry_is) {
        struct rescue *r = open_journal();
        struct rescue_record record = { 0 };
        list(r);
        entries[0].marker.armed_us = 9;
        rescue_describe(r, &entries[0], &record);
        ck_assert_uint_eq(record.id, rescue_id(r, &entries[0]));
        ck_assert_uint_eq(record.place.length_bytes, PLACE_BYTES);
        ck_assert_uint_eq(record.armed_us, 9);
        ck_assert_ptr_nonnull(strstr(record.text, "somebody else has written"));
        entries[0].marker.units_lost = 2;
        rescue_describe(r, &entries[0], &record);
        ck_assert_uint_eq(record.units_lost, 2);
        ck_assert_ptr_nonnull(strstr(record.text, "could not be put back: 2"));
        entries[0].marker.state = UNDO_ARMED;
        rescue_describe(r, &entries[0], &record);
        ck_assert_ptr_nonnull(strstr(record.text, "cut short"));
        ck_assert_uint_eq(record.units_lost, 0); /* it says that a flush failed */
        rescue_describe(r, &entries[1], &record);
        ck_assert_uint_eq(record.place.offset_bytes, (1 << 20) + 512);
        ck_assert_uint_eq(record.armed_us, 5);
        ck_assert_uint_eq(record.units_lost, 0);
        ck_assert_ptr_nonnull(strstr(record.text, "a copy"));
        rescue_free(r);
}
END_TEST

START_TEST(a_disk_is_meant_by_any_of_its_names) {
        struct rescue *r = open_journal();
        ck_assert_str_eq(rescue_identity(r), "spare-7"); /* there is nothing better */
        ck_assert(rescue_is_meant(r, "spare-7"));
        ck_assert(!rescue_is_meant(r, ""));
        rescue_free(r);
        struct undo_head head = { .journal_id = JOURNAL_ID, .segment_bytes = SEGMENT, .device = "spare-7" };
        strcpy(head.identity.serial, "ZA1234");
        strcpy(head.identity.wwn, "0x5000c500a1b2c3d4");
        undo_head_write(page, &head);
        put(undo_head_offset(0), page, sizeof page);
        r = open_journal();
        ck_assert_str_eq(rescue_identity(r), "0x5000c500a1b2c3d4");
        ck_assert(rescue_is_meant(r, "0x5000c500a1b2c3d4"));
        ck_assert(rescue_is_meant(r, "ZA1234"));
        static const char *const others[] = { "", "spare-7", "ZA123", "ZA12345", "za1234" };
        for (size_t i = 0; i < ELEMENTS(others); i++)
                ck_assert(!rescue_is_meant(r, others[i]));
        rescue_free(r);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("rescue");
        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_loop_test(tests, a_journal_lists_what_it_holds, 0, 2);
        tcase_add_loop_test(tests, one_head_is_enough, 0, 2);
        tcase_add_test(tests, without_memory_nothing_is_opened);
        tcase_add_loop_test(tests, of_two_copies_of_a_marker_the_later_one_is_listed, 0, 4);
        tcase_add_loop_test(tests, what_can_not_be_read_is_told_and_the_rest_is_listed, 0, 2);
        tcase_add_test(tests, a_marker_in_the_wrong_slot_is_not_listed);
        tcase_add_test(tests, an_export_is_the_originals_unit_by_unit);
        tcase_add_test(tests, an_export_says_which_units_are_wrong);
        tcase_add_test(tests, a_slot_of_which_nobody_knows_is_an_error_and_not_free);
        tcase_add_test(tests, an_export_ends_when_nobody_takes_it);
        tcase_add_loop_test(tests, what_is_forgotten_is_gone_and_flushed, 0, 2);
        tcase_add_test(tests, what_has_changed_since_is_not_forgotten);
        tcase_add_loop_test(tests, an_error_of_the_journal_is_told_when_forgetting, 0, 7);
        tcase_add_test(tests, an_interrupted_transfer_is_made_again);
        tcase_add_test(tests, a_number_is_of_one_thing_alone);
        tcase_add_test(tests, it_is_said_what_an_entry_is);
        tcase_add_test(tests, a_disk_is_meant_by_any_of_its_names);
        return suite_run("rescue", tests);
}
