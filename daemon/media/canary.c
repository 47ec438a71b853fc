/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file can lie about the disk in ways that a block device can't: its file system may write to another place each
 * time, keep its pages in memory, share its blocks, or belong to a server. And a file that is overwritten by mistake
 * was somebody's. So the file is made here, with all of its blocks, and what can't be told of one that is there counts
 * against it.
 */
#include "media/canary.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "media/disk_probe.h"
#include "media/file_map.h"
#include "media/loop_probe.h"
#include "media/sysfs.h"
#include "media/target.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

/* Linux 6.5; structures as in its linux/mman.h, which libraries have not caught up with. The number is that of all
 * architectures. */
enum { NUMBER_CACHESTAT = 451 };

enum { CACHED_TRIES = 5, CACHED_PAUSE_MS = 10, WINDOW_BYTES = 64 << 20, PAGE_BYTES = 4096 };

/* Magic numbers that linux/magic.h has not got. */
enum { MAGIC_XFS = 0x58465342, MAGIC_ZFS = 0x2fc12fc1, MAGIC_BCACHEFS = 0xca451a4e };

static const struct file_system {
        uint32_t magic;
        const char *name;
        bool in_place; /* what is written goes to the block that the file had there before */
} file_systems[] = {
        { EXT4_SUPER_MAGIC, "ext4", true }, /* and ext2, ext3 */
        { MAGIC_XFS, "xfs", true },
        { BTRFS_SUPER_MAGIC, "btrfs", false }, /* unless the file has the attribute against it */
        { F2FS_SUPER_MAGIC, "f2fs", false },
        { MAGIC_BCACHEFS, "bcachefs", false },
        { MAGIC_ZFS, "zfs", false },
        { TMPFS_MAGIC, "tmpfs", false },
        { RAMFS_MAGIC, "ramfs", false },
        { FUSE_SUPER_MAGIC, "fuse", false },
        { OVERLAYFS_SUPER_MAGIC, "overlay", false },
        { NFS_SUPER_MAGIC, "nfs", false },
        { CIFS_SUPER_MAGIC, "cifs", false },
        { SMB2_SUPER_MAGIC, "smb3", false },
        { CEPH_SUPER_MAGIC, "ceph", false },
};

static const struct file_system *file_system_of(int fd, uint32_t *ret_magic) {
        struct statfs fs;
        if (fstatfs(fd, &fs) < 0)
                return NULL;
        *ret_magic = (uint32_t)fs.f_type;
        for (size_t i = 0; i < ELEMENTS(file_systems); i++)
                if (file_systems[i].magic == *ret_magic)
                        return &file_systems[i];
        return NULL;
}

static bool has_no_cow(int fd) {
        int flags = 0;
        return ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_NOCOW_FL);
}

/* Has an effect only on an empty file; where it has none, the file is refused for it. */
static void set_no_cow(int fd) {
        int flags = 0;
        if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
                flags |= FS_NOCOW_FL;
                (void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
        }
}

static bool writes_in_place(int fd) {
        uint32_t magic = 0;
        const struct file_system *fs = file_system_of(fd, &magic);
        return fs && (fs->in_place || (magic == BTRFS_SUPER_MAGIC && has_no_cow(fd)));
}

static int refuse(struct reason *reason, const char *path, int error) {
        switch (error) {
        case ENOENT:
        case ENOTDIR:
                reason_set(reason, "missing",
                        "Check the path. A file that is not there is made by a sweep in mode pattern, its directory is not.",
                        "There is no file %s, or no such directory.", path);
                return TARGET_E_MISSING;
        case ELOOP:
                reason_set(reason, "not_file", "Give the path of the file itself.", "%s is a symbolic link.", path);
                return TARGET_E_NOT_FILE;
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
                reason_set(reason, "no_space", "Make room, or choose a smaller create_size.",
                        "The file system has not got the room for %s (%s).", path, strerror(error));
                return TARGET_E_NOT_FILE;
        case EACCES:
        case EPERM:
        case EROFS:
                reason_set(reason, "not_permitted",
                        "Let the daemon write there: give its user the directory, and the unit ReadWritePaths=.",
                        "%s may not be opened or made by the daemon (%s).", path, strerror(error));
                return TARGET_E_NOT_FILE;
        default:
                return -error;
        }
}

static void directory_of(char directory[static PATH_MAX], const char *path) {
        char copy[PATH_MAX];
        text_copy(copy, sizeof copy, path);
        text_copy(directory, PATH_MAX, dirname(copy));
}

/* One that will be refused for its file system gets no blocks: on tmpfs they would be memory. */
static int make(int *ret_fd, const char *path, uint64_t bytes) {
        char directory[PATH_MAX];
        directory_of(directory, path);
        CLEANUP_CLOSE int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        set_no_cow(fd);
        if (writes_in_place(fd) && (fallocate(fd, 0, 0, (off_t)bytes) < 0 || fsync(fd) < 0))
                return -errno;
        *ret_fd = STEAL_FD(fd);
        return 0;
}

/* Opens again what a descriptor leads to. */
static int open_again(int *ret_fd, int found, int flags) {
        char again[64];
        text_format(again, sizeof again, "/proc/self/fd/%d", found);
        int fd = open(again, flags | O_CLOEXEC);
        if (fd < 0 && errno == EINVAL && (flags & O_DIRECT)) /* no direct I/O at all: the interlock will say so */
                fd = open(again, (flags & ~O_DIRECT) | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        *ret_fd = fd;
        return 0;
}

static int open_existing(int *ret_fd, struct reason *reason, const char *path, bool writable) {
        struct stat st;
        CLEANUP_CLOSE int found = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (found < 0 || fstat(found, &st) < 0)
                return -errno;
        if (S_ISLNK(st.st_mode))
                return -ELOOP;
        if (!S_ISREG(st.st_mode)) {
                reason_set(reason, "not_file", "Take create_size out of the entry, or choose another path.",
                        "%s is no file.", path);
                return TARGET_E_NOT_FILE;
        }
        return open_again(ret_fd, found, O_DIRECT | (writable ? O_RDWR : O_RDONLY));
}

int canary_open(
        int *ret_fd, bool *ret_made, struct reason *reason, const char *path, bool writable, uint64_t create_bytes) {
        CLEANUP_CLOSE int nameless = -1;
        int fd = -1;
        int r = open_existing(&fd, reason, path, writable);
        bool absent = r == -ENOENT && writable;
        if (absent) {
                r = make(&nameless, path, create_bytes);
                if (r == 0)
                        r = open_again(&fd, nameless, O_DIRECT | O_RDWR);
        }
        if (r < 0)
                return refuse(reason, path, -r);
        if (r != TARGET_OK)
                return r;
        *ret_fd = fd;
        *ret_made = absent;
        return TARGET_OK;
}

int canary_name(int fd, const char *path) {
        char from[64], directory[PATH_MAX];
        text_format(from, sizeof from, "/proc/self/fd/%d", fd);
        directory_of(directory, path);
        CLEANUP_CLOSE int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0 || linkat(AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 || fsync(dir) < 0)
                return -errno;
        return 0;
}

static void probe_file_system(struct target_facts *facts, int fd) {
        uint32_t magic = 0;
        const struct file_system *fs = file_system_of(fd, &magic);
        if (fs)
                text_copy(facts->file.system, sizeof facts->file.system, fs->name);
        else
                text_format(facts->file.system, sizeof facts->file.system, "0x%" PRIx32, magic);
        facts->file.in_place = writes_in_place(fd);
}

/* Of the disk below, where one can be told; the file's own rules stand in for its serial and its users. */
static void probe_disk(struct target_facts *facts) {
        CLEANUP_CLOSE int dir = sysfs_open(facts->device);
        CLEANUP_CLOSE int whole = dir >= 0 ? sysfs_open_whole(dir) : -1;
        if (whole < 0)
                return;
        sysfs_device(whole, &facts->disk);
        disk_probe(facts, whole);
        facts->real = facts->zoned = facts->discards = false;
}

/* What a file system says of its direct I/O; btrfs says nothing. There, a file without copy-on-write has no checksums
 * either, which is what sends direct I/O through the page cache; a block of it is a sector of the file system. */
static uint32_t direct_bytes(const struct statx *st, int fd) {
        uint32_t magic = 0;
        if (st->stx_mask & STATX_DIOALIGN)
                return st->stx_dio_mem_align <= PAGE_BYTES ? st->stx_dio_offset_align : 0;
        return file_system_of(fd, &magic) && magic == BTRFS_SUPER_MAGIC && has_no_cow(fd) ? st->stx_blksize : 0;
}

static int probe_alignment(struct target_facts *facts, int fd) {
        struct statx st;
        if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_DIOALIGN, &st) < 0)
                return -errno;
        uint32_t block_bytes = direct_bytes(&st, fd);
        bool direct = block_bytes > 0 && block_bytes <= PAGE_BYTES;
        facts->file.direct = direct && (fcntl(fd, F_GETFL) & O_DIRECT);
        facts->logical_block_bytes = direct ? MAX(block_bytes, 512U) : PAGE_BYTES;
        facts->physical_block_bytes = PAGE_BYTES;
        facts->size_bytes = st.stx_size;
        facts->file.links = st.stx_nlink;
        facts->file.inode = st.stx_ino;
        return 0;
}

int canary_probe(struct target_facts *facts, int fd, bool made, uint64_t create_bytes) {
        struct statvfs fs;
        struct stat st;
        struct file_map map = { 0 };
        if (fstat(fd, &st) < 0)
                return -errno;
        facts->is_file = true;
        facts->device = facts->disk = st.st_dev;
        facts->file.made = made;
        facts->file.wanted_bytes = create_bytes;
        int r = probe_alignment(facts, fd);
        if (r < 0)
                return r;
        probe_file_system(facts, fd);
        probe_disk(facts);
        facts->read_only = fstatvfs(fd, &fs) < 0 || (fs.f_flag & ST_RDONLY);
        r = facts->file.in_place ? file_map_read(&map, fd, facts->size_bytes) : -EOPNOTSUPP;
        facts->file.allocated = r == 0 && map.complete;
        facts->file.any_unwritten = r == 0 && map.any_unwritten;
        facts->file.all_unwritten = r == 0 && map.all_unwritten && map.complete;
        facts->file.cached_bytes = canary_cached_bytes(fd, facts->size_bytes);
        facts->identity.kind = TARGET_KIND_FILE;
        text_copy(facts->identity.backing_file, sizeof facts->identity.backing_file, facts->path);
        loop_probe_file(facts, st.st_dev, st.st_ino);
        return 0;
}

/* For kernels, and system call filters, that do not know cachestat. */
static uint64_t count_by_mincore(int fd, uint64_t size_bytes) {
        static const size_t window = WINDOW_BYTES;
        CLEANUP_FREE unsigned char *pages = malloc(window / PAGE_BYTES);
        uint64_t cached = 0;
        for (uint64_t at = 0; at < size_bytes; at += window) {
                size_t length = (size_t)MIN(size_bytes - at, (uint64_t)window);
                void *bytes = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, (off_t)at);
                bool told = pages && bytes != MAP_FAILED && mincore(bytes, length, pages) == 0;
                if (bytes != MAP_FAILED)
                        munmap(bytes, length);
                if (!told)
                        return size_bytes;
                for (size_t i = 0; i < (length + PAGE_BYTES - 1) / PAGE_BYTES; i++)
                        cached += pages[i] & 1 ? PAGE_BYTES : 0;
        }
        return cached;
}

static uint64_t count_cached(int fd, uint64_t size_bytes) {
        struct {
                uint64_t from, length; /* 0, 0: all of it */
        } range = { 0 };
        struct {
                uint64_t pages, dirty, in_writeback, evicted, recently_evicted;
        } counts;
        if (syscall(NUMBER_CACHESTAT, fd, &range, &counts, 0) == 0)
                return counts.pages * PAGE_BYTES;
        return count_by_mincore(fd, size_bytes);
}

/* Who reads the file meanwhile, say for a backup, has hold of pages for moments. */
uint64_t canary_cached_bytes(int fd, uint64_t size_bytes) {
        uint64_t cached = 0;
        for (int i = 0; i < CACHED_TRIES; i++) {
                if (i > 0)
                        poll(NULL, 0, CACHED_PAUSE_MS);
                posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
                cached = count_cached(fd, size_bytes);
                if (cached == 0)
                        break;
        }
        return cached;
}
