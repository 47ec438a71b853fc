/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of a file stays in the page cache, asked in both of the kernel's ways: the newer one is refused to a child
 * process by a system call filter, as services may have one.
 */
#include "base/cleanup.h"
#include "media/canary.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILE_BYTES = 130 << 20 | 4096, SKIPPED = 77, CACHESTAT = 451 };

/* On a file system whose pages can be dropped; sparse, as pages of holes are pages, too. */
static int new_file(void) {
        char path[] = "canary-XXXXXX";
        int fd = mkostemp(path, O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(ftruncate(fd, FILE_BYTES), 0);
        return fd;
}

static void forbid_cachestat(void) {
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CACHESTAT, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { ELEMENTS(filter), filter };
        ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* Each test has a process of its own: what is forbidden stays so. */
START_TEST(pages_that_can_be_dropped_do_not_count_and_those_that_can_not_do) {
        if (_i == 1)
                forbid_cachestat();
        CLEANUP_CLOSE int fd = new_file();
        char bytes[4096] = "x";
        const off_t places[] = { 0, 65 << 20, FILE_BYTES - 4096 };
        for (size_t i = 0; i < ELEMENTS(places); i++)
                ck_assert_int_eq(pwrite(fd, bytes, sizeof bytes, places[i]), sizeof bytes);
        ck_assert_int_eq(fsync(fd), 0);
        ck_assert_uint_eq(canary_cached_bytes(fd, FILE_BYTES), 0);
        for (size_t i = 0; i < ELEMENTS(places); i++) {
                char *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, places[i]);
                ck_assert(page != MAP_FAILED);
                ck_assert_int_eq(syscall(SYS_mlock, page, 4096), 0); /* the sanitizers' own mlock() does nothing */
                uint64_t cached = canary_cached_bytes(fd, FILE_BYTES);
                ck_assert_msg(cached >= 4096 && cached <= 4 << 20, "%" PRIu64, cached);
                ck_assert_int_eq(munmap(page, 4096), 0);
        }
        ck_assert_uint_eq(canary_cached_bytes(fd, FILE_BYTES), 0);
}
END_TEST

int main(void) {
        struct statfs fs;
        if (statfs(".", &fs) < 0 || fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC) {
                puts("the working directory is in memory");
                return SKIPPED;
        }
        TCase *tests = tcase_create("canary");
        tcase_add_loop_test(tests, pages_that_can_be_dropped_do_not_count_and_those_that_can_not_do, 0, 2);
        return suite_run("canary", tests);
}
