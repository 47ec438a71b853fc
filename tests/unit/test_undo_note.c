/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a journal is that may hold originals: what was noted is read back, and what can't be understood is never taken
 * for nothing.
 */
#include "suite.h"
#include "sweep/undo_note.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64], directory[128], file[192];

static void setup(void) {
        strcpy(root, "/tmp/undo-note-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(root));
        snprintf(directory, sizeof directory, "%s/undo", root);
        snprintf(file, sizeof file, "%s/spare-7%s", directory, UNDO_NOTE_SUFFIX);
}

static void teardown(void) {
        unlink(file);
        rmdir(directory);
        rmdir(root);
}

static void put(const char *text) {
        int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        close(fd);
}

START_TEST(what_was_noted_is_read_back_until_it_is_removed) {
        struct undo_note read = { 0 }, note = { .journal = "/dev/disk/by-id/some disk", .journal_id = UINT64_MAX - 7 };
        ck_assert_int_eq(undo_note_read(&read, directory, "spare-7"), UNDO_NOTE_E_NONE);
        ck_assert_int_eq(undo_note_remove(directory, "spare-7"), 0);
        for (unsigned i = 0; i < 2; i++) {
                ck_assert_int_eq(undo_note_write(&note, directory, "spare-7"), 0);
                ck_assert_int_eq(undo_note_read(&read, directory, "spare-7"), UNDO_NOTE_OK);
                ck_assert_str_eq(read.journal, note.journal);
                ck_assert_uint_eq(read.journal_id, note.journal_id);
                note.journal_id = 1;
        }
        struct stat st;
        ck_assert_int_eq(stat(file, &st), 0);
        ck_assert_int_eq(st.st_mode & 0777, 0600);
        ck_assert_int_eq(undo_note_read(&read, directory, "spare-8"), UNDO_NOTE_E_NONE);
        ck_assert_int_eq(undo_note_remove(directory, "spare-7"), 0);
        ck_assert_int_eq(undo_note_read(&read, directory, "spare-7"), UNDO_NOTE_E_NONE);
}
END_TEST

START_TEST(what_can_not_be_understood_is_not_nothing) {
        static const char *const texts[] = { "", "\n", "sweepd-undo-note 1\n", "sweepd-undo-note 2\n1\n/srv\n",
                "sweepd-undo-note 1\n0\n/srv\n", "sweepd-undo-note 1\nxyz\n/srv\n", "sweepd-undo-note 1\n12\n\n",
                "sweepd-undo-note 1\n12\n/srv", "sweepd-undo-note 1\n12" };
        struct undo_note note;
        ck_assert_int_eq(mkdir(directory, 0700), 0);
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
                put(texts[i]);
                ck_assert_msg(undo_note_read(&note, directory, "spare-7") == UNDO_NOTE_E_DAMAGED, "text %zu", i);
        }
        put("sweepd-undo-note 1\n1f\n/srv\n");
        ck_assert_int_eq(undo_note_read(&note, directory, "spare-7"), UNDO_NOTE_OK);
        ck_assert_uint_eq(note.journal_id, 0x1f);
}
END_TEST

START_TEST(what_can_not_be_read_or_written_is_said) {
        struct undo_note note = { .journal = "/srv\n/undo", .journal_id = 1 };
        ck_assert_int_eq(undo_note_write(&note, directory, "spare-7"), -EINVAL);
        strcpy(note.journal, "/srv");
        char deep[160];
        snprintf(deep, sizeof deep, "%s/undo", directory);
        ck_assert_int_eq(undo_note_write(&note, deep, "spare-7"), -ENOENT);
        ck_assert_int_eq(mkdir(directory, 0700), 0);
        ck_assert_int_eq(symlink("/etc/hostname", file), 0);
        ck_assert_int_eq(undo_note_read(&note, directory, "spare-7"), -ELOOP);
        ck_assert_int_eq(unlink(file), 0);
        ck_assert_int_eq(mkdir(file, 0700), 0);
        ck_assert_int_eq(undo_note_read(&note, directory, "spare-7"), -EISDIR);
        ck_assert_int_lt(undo_note_write(&note, directory, "spare-7"), 0);
        ck_assert_int_lt(undo_note_remove(directory, "spare-7"), 0);
        ck_assert_int_eq(rmdir(file), 0);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("undo_note");
        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, what_was_noted_is_read_back_until_it_is_removed);
        tcase_add_test(tests, what_can_not_be_understood_is_not_nothing);
        tcase_add_test(tests, what_can_not_be_read_or_written_is_said);
        return suite_run("undo_note", tests);
}
