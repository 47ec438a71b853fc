/* SPDX-License-Identifier: Apache-2.0 */
/* An errno that is judged wrongly accuses a good disk or hides a bad one, so the table of the design is spelt out. */
#include "media/medium.h"

#include "base/cleanup.h"
#include "suite.h"

#include <errno.h>

static const struct {
        int error;
        enum medium_answer answer;
} table[] = {
        { EIO, MEDIUM_BAD },
        { ENODATA, MEDIUM_BAD },
        { EILSEQ, MEDIUM_BAD },
        { EREMOTEIO, MEDIUM_BAD },
        { EINVAL, MEDIUM_BAD },
        { 4000, MEDIUM_BAD },
        { ENOLINK, MEDIUM_TRANSPORT },
        { ETIMEDOUT, MEDIUM_TRANSPORT },
        { ENODEV, MEDIUM_GONE },
        { ENXIO, MEDIUM_GONE },
        { ENOMEDIUM, MEDIUM_GONE },
        { EBADE, MEDIUM_RESERVED },
        { ENOSPC, MEDIUM_NO_SPACE },
        { EPERM, MEDIUM_READ_ONLY },
        { EROFS, MEDIUM_READ_ONLY },
        { ENOMEM, MEDIUM_AGAIN },
        { EAGAIN, MEDIUM_AGAIN },
        { EINTR, MEDIUM_AGAIN },
};

START_TEST(each_errno_has_the_meaning_that_the_design_gives_it) {
        ck_assert_msg(
                medium_judge(table[_i].error) == table[_i].answer, "errno %s", medium_errno_name(table[_i].error));
}
END_TEST

START_TEST(an_errno_is_named_or_numbered) {
        ck_assert_str_eq(medium_errno_name(EIO), "EIO");
        ck_assert_str_eq(medium_errno_name(ENODATA), "ENODATA");
        ck_assert_str_eq(medium_errno_name(4000), "4000");
        ck_assert_str_eq(medium_errno_name(-5), "-5");
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("medium");
        tcase_add_loop_test(tests, each_errno_has_the_meaning_that_the_design_gives_it, 0, (int)ELEMENTS(table));
        tcase_add_test(tests, an_errno_is_named_or_numbered);
        return suite_run("medium", tests);
}
