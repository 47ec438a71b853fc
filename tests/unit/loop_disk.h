/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_disk: loop devices for tests, over files in a directory of their own. They detach by themselves when the last
 * descriptor closes, so a test that fails leaves nothing attached; whatever is mounted goes with its own namespace.
 */
#pragma once

#include "base/text.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOP_DISK_SKIP = 77 };

static char loop_disk_directory[] = "/dev/shm/sweepd-test-XXXXXX";

struct loop_disk {
        int fd;
        char path[32];
        char file[PATH_MAX];
};

/* 0, or why there can be no loop devices here. */
static inline const char *loop_disk_set_up(void) {
        if (geteuid() != 0)
                return "needs root";
        if (access("/dev/loop-control", R_OK | W_OK) < 0)
                return "needs /dev/loop-control";
        return mkdtemp(loop_disk_directory) ? NULL : "needs a writable /dev/shm";
}

static inline int loop_disk_remove(const char *path, const struct stat *st, int type, struct FTW *walk) {
        (void)st;
        (void)type;
        (void)walk;
        return remove(path);
}

static inline void loop_disk_tear_down(void) {
        nftw(loop_disk_directory, loop_disk_remove, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* A file of that size: allocated, or all one hole. Its path goes to `path`. */
static inline void loop_disk_file(char path[static PATH_MAX], const char *directory, off_t size, bool allocated) {
        static unsigned number;
        text_format(path, PATH_MAX, "%s/disk-%d-%u", directory, (int)getpid(), number++);
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(allocated ? fallocate(fd, 0, 0, size) : ftruncate(fd, size), 0);
        close(fd);
}

/* flags: LO_FLAGS_*. block_size: of a logical block; 0: the default. */
static inline void loop_disk_attach(struct loop_disk *disk, const char *file, unsigned flags, unsigned block_size) {
        int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
        ck_assert_int_ge(control, 0);
        int backing = open(file, (flags & LO_FLAGS_READ_ONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC);
        ck_assert_int_ge(backing, 0);
        text_copy(disk->file, sizeof disk->file, file);
        for (unsigned tries = 0;; tries++) {
                /* Others may take the free one before us. */
                int free_number = ioctl(control, LOOP_CTL_GET_FREE);
                ck_assert_int_ge(free_number, 0);
                text_format(disk->path, sizeof disk->path, "/dev/loop%d", free_number);
                disk->fd = open(disk->path, O_RDWR | O_CLOEXEC);
                ck_assert_int_ge(disk->fd, 0);
                struct loop_config config = { .fd = (unsigned)backing,
                        .block_size = block_size,
                        .info = { .lo_flags = flags | LO_FLAGS_AUTOCLEAR } };
                if (ioctl(disk->fd, LOOP_CONFIGURE, &config) == 0)
                        break;
                int error = errno;
                close(disk->fd);
                ck_assert_msg(error == EBUSY && tries < 100, "LOOP_CONFIGURE: errno %d", error);
        }
        close(backing);
        close(control);
}

/* One in order: allocated, with direct I/O. */
static inline void loop_disk_new(struct loop_disk *disk, off_t size) {
        char file[PATH_MAX];
        loop_disk_file(file, loop_disk_directory, size, true);
        loop_disk_attach(disk, file, LO_FLAGS_DIRECT_IO, 0);
}
