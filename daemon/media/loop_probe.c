/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loop device is only as good as what is below it: without direct I/O the page cache answers for the disk, a hole
 * must still be allocated when it is written, and two loop devices over one file write over each other, past every
 * claim. What can't be examined counts as sparse: it is refused rather than trusted.
 */
#include "media/loop_probe.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "media/file_map.h"
#include "media/mounts.h"
#include "media/sysfs.h"
#include "media/target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static bool is_sparse(int fd, const struct stat *st) {
        struct file_map map;
        int r = file_map_read(&map, fd, (uint64_t)st->st_size);
        if (r == -EOPNOTSUPP || r == -ENOTTY)
                return (uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size;
        return r < 0 || !map.complete;
}

/* Opens the backing file by the path that the kernel tells, if that is still the file that the loop device uses. */
static int open_backing(const char *path, const struct loop_info64 *info, struct stat *st) {
        CLEANUP_CLOSE int found = open(path, O_PATH | O_CLOEXEC);
        if (found < 0 || fstat(found, st) < 0)
                return -errno;
        if (st->st_dev != info->lo_device || st->st_ino != info->lo_inode)
                return -ESTALE;
        if (!S_ISREG(st->st_mode))
                return -ENOTBLK;
        char again[64];
        text_format(again, sizeof again, "/proc/self/fd/%d", found);
        int fd = open(again, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* A loop device over a block device stacks on it, though sysfs lists no slave and the kernel takes no claim. */
static void name_backing_device(struct target_facts *facts) {
        struct stat st;
        if (stat(facts->identity.backing_file, &st) < 0 || !S_ISBLK(st.st_mode))
                return;
        char name[SYSFS_NAME_BYTES];
        sysfs_name(name, st.st_rdev);
        text_copy(facts->slaves, sizeof facts->slaves, name);
}

/* Whether another loop device leads to the same file: asked of itself, or by the path where it can't be asked. */
static bool same_file(const struct target_facts *facts, const struct loop_info64 *info, int other, const char *path) {
        dev_t device;
        CLEANUP_CLOSE int fd = sysfs_device(other, &device) ? sysfs_open_node(device) : -ENODEV;
        struct loop_info64 theirs;
        if (info && fd >= 0 && ioctl(fd, LOOP_GET_STATUS64, &theirs) == 0)
                return theirs.lo_device == info->lo_device && theirs.lo_inode == info->lo_inode;
        return strcmp(path, facts->identity.backing_file) == 0;
}

static void find_twin(struct target_facts *facts, const struct loop_info64 *info) {
        CLEANUP_CLOSEDIR DIR *list = sysfs_list(AT_FDCWD, "/sys/block");
        const char *name;
        while (list && (name = sysfs_next(list)) != NULL) {
                CLEANUP_CLOSE int other = sysfs_open_entry(dirfd(list), name);
                char path[PATH_MAX];
                dev_t device;
                if (other < 0 || !sysfs_path(other, "loop/backing_file", path, sizeof path) ||
                        !sysfs_device(other, &device) || device == facts->disk)
                        continue;
                dev_t file_system;
                if (info && mounts_may_hang(path, &file_system) && file_system != info->lo_device)
                        continue; /* another file system, and one whose server may be dead: it must not stop us */
                if (same_file(facts, info, other, path)) {
                        text_copy(facts->twin, sizeof facts->twin, name);
                        return;
                }
        }
}

void loop_probe(struct target_facts *facts, int fd, int whole) {
        struct loop_info64 info;
        bool known = ioctl(fd, LOOP_GET_STATUS64, &info) == 0;
        uint64_t direct = 0;
        facts->is_loop = true;
        facts->loop_direct_io = known ? (info.lo_flags & LO_FLAGS_DIRECT_IO) != 0
                                      : (sysfs_number(whole, "loop/dio", &direct) && direct != 0);
        struct stat st;
        CLEANUP_CLOSE int file = known ? open_backing(facts->identity.backing_file, &info, &st) : -ENODEV;
        facts->loop_sparse = file < 0 || is_sparse(file, &st);
        name_backing_device(facts);
        find_twin(facts, known ? &info : NULL);
}

void loop_probe_file(struct target_facts *facts, dev_t device, ino_t inode) {
        struct loop_info64 info = { .lo_device = device, .lo_inode = inode };
        find_twin(facts, &info);
}
