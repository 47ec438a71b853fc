/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exclusive claim stops mount and mkfs, but not a program that simply opens the node and writes: a virtual machine,
 * a storage server, a partitioning tool. Those ask for locks. Which kind differs: udev, mkfs and Ceph call flock(2) on
 * the whole disk, QEMU locks bytes of its open file. And udev holds a lock for a moment after each event of a disk,
 * also of those that we cause: so one refusal is not yet an answer.
 */
#include "media/locks.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "media/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { TRY_AGAIN_MS = 20 };

/* type: F_WRLCK or F_RDLCK. Negative errno. */
static int lock_bytes(int fd, int command, short type, short *ret_type) {
        struct flock all = { .l_type = type, .l_whence = SEEK_SET }; /* length 0: to the end */
        if (fcntl(fd, command, &all) < 0)
                return errno == EACCES ? -EAGAIN : -errno;
        *ret_type = all.l_type;
        return 0;
}

/* A descriptor for reading can hold no more than a read lock: it stops those who want to write, and QEMU asks for it.
 */
static int lock_disk(int fd) {
        short found = F_UNLCK;
        int r = lock_bytes(fd, F_OFD_SETLK, F_RDLCK, &found);
        if (r == 0)
                r = lock_bytes(fd, F_OFD_GETLK, F_WRLCK, &found);
        if (r < 0)
                return r;
        return found == F_UNLCK ? 0 : -EAGAIN;
}

static int try_once(int fd, int disk_fd) {
        short unused;
        int r = lock_bytes(fd, F_OFD_SETLK, F_WRLCK, &unused);
        if (r == 0 && disk_fd >= 0)
                r = lock_disk(disk_fd);
        if (r < 0)
                return r;
        return flock(disk_fd >= 0 ? disk_fd : fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

static bool is_of(int fd, dev_t device) {
        struct stat st;
        return fstat(fd, &st) == 0 && st.st_rdev == device;
}

/* Locks belong to the node, not to the device: another node of the same number is locked apart. */
static bool same_node(int a, int b) {
        struct stat x, y;
        return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int try_for(int fd, int disk_fd, uint64_t until_us) {
        for (;;) {
                int r = try_once(fd, disk_fd);
                if (r != -EAGAIN && r != -EINTR)
                        return r;
                if (clock_monotonic_us() >= until_us)
                        return LOCKS_E_HELD;
                poll(NULL, 0, TRY_AGAIN_MS);
        }
}

int locks_take_file(int fd, uint64_t wait_us) {
        return try_for(fd, -1, clock_monotonic_us() + wait_us);
}

int locks_take(int *ret_disk_fd, int fd, dev_t disk, uint64_t wait_us) {
        uint64_t until_us = clock_monotonic_us() + wait_us;
        CLEANUP_CLOSE int disk_fd = sysfs_open_node(disk);
        if (disk_fd < 0 && !is_of(fd, disk))
                return disk_fd;
        if (disk_fd < 0 || same_node(fd, disk_fd))
                disk_fd = close_fd(disk_fd);
        int r = try_for(fd, disk_fd, until_us);
        if (r == LOCKS_OK)
                *ret_disk_fd = STEAL_FD(disk_fd);
        return r;
}
