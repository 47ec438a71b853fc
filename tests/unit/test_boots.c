/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the host was started anew: by what a daemon left behind, in any state that this may be in. */
#include "base/text.h"
#include "report/boots.h"
#include "suite.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OTHER "01234567-89ab-cdef-0123-456789abcdef"

static char directory[64], note[PATH_MAX];

static void setup(void) {
        text_format(directory, sizeof directory, "/tmp/sweepd-boots-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(directory));
        text_format(note, sizeof note, "%s/boot", directory);
}

static void teardown(void) {
        unlink(note);
        ck_assert_int_eq(rmdir(directory), 0);
}

static void write_note(const char *text) {
        FILE *f = fopen(note, "w");
        ck_assert_ptr_nonnull(f);
        ck_assert_int_ge(fputs(text, f), 0);
        ck_assert_int_eq(fclose(f), 0);
}

START_TEST(the_first_start_of_all_is_none_after_a_boot_and_neither_is_the_next) {
        ck_assert(!boots_is_first_start(directory));
        ck_assert_int_eq(boots_note(directory), 0);
        ck_assert(!boots_is_first_start(directory));
}
END_TEST

START_TEST(another_boot_is_seen_until_this_one_is_noted) {
        write_note(OTHER "\n");
        ck_assert(boots_is_first_start(directory));
        ck_assert(boots_is_first_start(directory));
        ck_assert_int_eq(boots_note(directory), 0);
        ck_assert(!boots_is_first_start(directory));
}
END_TEST

START_TEST(what_is_no_note_is_no_other_boot) {
        static const char *const texts[] = { "", "\n", OTHER, OTHER "\n\n", OTHER "x\n", "g" OTHER "\n",
                "0123456789abcdef0123456789abcdefXXXX\n" };
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
                write_note(texts[i]);
                ck_assert_msg(!boots_is_first_start(directory), "%zu", i);
        }
        unlink(note);
        ck_assert_int_eq(mkfifo(note, 0600), 0);
        ck_assert(!boots_is_first_start(directory)); /* and it comes back */
        ck_assert_int_eq(boots_note(directory), 0);
        ck_assert_int_eq(access(note, R_OK), 0);
}
END_TEST

START_TEST(a_directory_that_is_gone_is_told) {
        ck_assert_int_lt(boots_note("/nowhere/at/all"), 0);
        ck_assert(!boots_is_first_start("/nowhere/at/all"));
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("boots");
        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, the_first_start_of_all_is_none_after_a_boot_and_neither_is_the_next);
        tcase_add_test(tests, another_boot_is_seen_until_this_one_is_noted);
        tcase_add_test(tests, what_is_no_note_is_no_other_boot);
        tcase_add_test(tests, a_directory_that_is_gone_is_told);
        return suite_run("boots", tests);
}
