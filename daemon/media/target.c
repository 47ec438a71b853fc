/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A path is a promise that nobody keeps: the disk behind it can be unplugged, renamed or mounted between one look and
 * the next. So a device is looked at without opening it (a fifo would hang us, a tape would rewind), opened through
 * that very look, claimed in the same step, and only then are the facts gathered, all by its number.
 */
#include "media/target.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "media/canary.h"
#include "media/disk_probe.h"
#include "media/disk_set.h"
#include "media/engine.h"
#include "media/fstab.h"
#include "media/identity_probe.h"
#include "media/locks.h"
#include "media/loop_probe.h"
#include "media/sysfs.h"
#include "media/topology.h"
#include "media/users.h"
#include "media/write_counts.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/major.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

/* Long enough for what udev does about an event of the disk. */
#define LOCK_WAIT_US UINT64_C(3000000)

struct target {
        int fd;
        int disk_fd; /* holds the lock on the whole disk; -1: none, or fd does */
        struct target_facts facts;
};

DEFINE_FREEP(struct target, target_close, target_closep)

struct target *target_close(struct target *t) {
        if (!t)
                return NULL;
        close_fd(t->fd);
        close_fd(t->disk_fd);
        free(t);
        return NULL;
}

const struct target_facts *target_facts(const struct target *t) {
        return &t->facts;
}

int target_fd(const struct target *t) {
        return t->fd;
}

static int missing(struct reason *reason, const char *path, int error) {
        reason_set(reason, "missing", "Check that the device is plugged in and powered, and that its path is right.",
                "There is no device behind %s (%s).", path, strerror(error));
        return TARGET_E_MISSING;
}

/* Who holds a device that could not be claimed, as far as that can be told from outside. */
static int busy(struct reason *reason, struct target *t) {
        struct target_facts *facts = &t->facts;
        users_gather(facts, facts->device);
        static const char remedy[] = "Unmount or stop what uses it, or choose mode read, which needs no claim.";
        char *users = facts->identity.users;
        for (char *p = users; *p; p++)
                if (*p == '\n')
                        *p = ';';
        if (users[0])
                reason_set(reason, "in_use", remedy, "%s is in use: %s.", facts->path, users);
        else
                reason_set(reason, "in_use", remedy, "%s is in use: another process has claimed it for itself.",
                        facts->path);
        return TARGET_E_BUSY;
}

/* The channel of an errno of open(2). */
static int open_failed(struct reason *reason, struct target *t, int error) {
        const char *path = t->facts.path;
        switch (error) {
        case ENOENT:
        case ENOTDIR:
        case ENXIO:
        case ENODEV:
        case ENOMEDIUM:
                return missing(reason, path, error);
        case EBUSY:
                return busy(reason, t);
        case EROFS:
                reason_set(reason, "read_only", "Lift the write protection, or choose mode read.",
                        "%s is read-only and can't be opened for writing.", path);
                return TARGET_E_READ_ONLY;
        case EACCES:
        case EPERM:
                reason_set(reason, "not_permitted",
                        "Let the daemon open it: run it as root, and allow the device in its unit (DeviceAllow=).",
                        "%s may not be opened by the daemon (%s).", path, strerror(error));
                return TARGET_E_NOT_PERMITTED;
        default:
                return -error;
        }
}

/* Opens through a descriptor that leads to the node alone, so that what is opened is what was looked at. */
static int open_claimed(struct target *t, struct reason *reason, bool writable) {
        CLEANUP_CLOSE int node = open(t->facts.path, O_PATH | O_CLOEXEC);
        struct stat st;
        if (node < 0 || fstat(node, &st) < 0)
                return open_failed(reason, t, errno);
        if (!S_ISBLK(st.st_mode)) {
                reason_set(reason, "not_block_device",
                        "Give the path of a block device, such as /dev/disk/by-id/...; a file needs create_size.",
                        "%s is not a block device.", t->facts.path);
                return TARGET_E_NOT_BLOCK;
        }
        t->facts.device = st.st_rdev;
        char path[64];
        text_format(path, sizeof path, "/proc/self/fd/%d", node);
        t->fd = open(path, O_DIRECT | O_CLOEXEC | (writable ? O_RDWR | O_EXCL : O_RDONLY));
        return t->fd < 0 ? open_failed(reason, t, errno) : TARGET_OK;
}

/* What the device says of itself by its descriptor. */
static int ask_device(struct target_facts *facts, int fd) {
        int logical, read_only;
        unsigned physical;
        if (ioctl(fd, BLKGETSIZE64, &facts->size_bytes) < 0 || ioctl(fd, BLKSSZGET, &logical) < 0 ||
                ioctl(fd, BLKPBSZGET, &physical) < 0 || ioctl(fd, BLKROGET, &read_only) < 0)
                return -errno;
        facts->logical_block_bytes = (uint32_t)logical;
        facts->physical_block_bytes = physical;
        facts->read_only = read_only != 0;
        if (ioctl(fd, BLKGETDISKSEQ, &facts->diskseq) < 0)
                facts->diskseq = 0;
        return 0;
}

static void gather_identity(struct target *t, int dir, int whole, const struct disk_set *below) {
        struct target_facts *facts = &t->facts;
        identity_probe(&facts->identity, facts->device, dir, whole);
        users_gather(facts, facts->device);
        disk_probe(facts, whole);
        if (major(facts->disk) == LOOP_MAJOR)
                loop_probe(facts, t->fd, whole);
        else
                identity_twin(facts->twin, sizeof facts->twin, &facts->identity, below);
}

/* All that follows from the device's number. Without sysfs little is known, and the facts' zeros refuse to write. */
static void gather(struct target *t, const char *state_dir) {
        struct target_facts *facts = &t->facts;
        struct disk_set below = { 0 };
        facts->disk = facts->counted = facts->device;
        disk_set_add(&below, facts->device);
        CLEANUP_CLOSE int dir = sysfs_open(facts->device);
        CLEANUP_CLOSE int whole = dir >= 0 ? sysfs_open_whole(dir) : -1;
        if (whole >= 0) {
                sysfs_device(whole, &facts->disk);
                facts->counted = topology_counted("/sys", facts->disk);
                gather_identity(t, dir, whole, &below);
        }
        if (state_dir) {
                struct disk_set state = { 0 };
                disk_set_add_directory(&state, state_dir);
                facts->holds_state = disk_set_meets(&below, &state);
        }
}

static int open_file(struct target *t, struct reason *reason, const struct target_options *options) {
        bool made = false;
        int r = canary_open(&t->fd, &made, reason, options->path, options->writable, options->create_bytes);
        return r == TARGET_OK ? canary_probe(&t->facts, t->fd, made, options->create_bytes) : r;
}

int target_keep(struct target *t) {
        return t->facts.is_file && t->facts.file.made ? canary_name(t->fd, t->facts.path) : 0;
}

int target_open(struct target **ret, struct reason *reason, const struct target_options *options) {
        CLEANUP(target_closep)
        struct target *t = calloc(1, sizeof *t);
        if (!t)
                return -ENOMEM;
        t->fd = t->disk_fd = -1;
        if (!text_copy(t->facts.path, sizeof t->facts.path, options->path))
                return -ENAMETOOLONG;
        if (options->create_bytes > 0) {
                int r = open_file(t, reason, options);
                if (r == TARGET_OK)
                        *ret = STEAL(t);
                return r;
        }
        int r = open_claimed(t, reason, options->writable);
        if (r != TARGET_OK)
                return r;
        r = ask_device(&t->facts, t->fd);
        if (r < 0)
                return r;
        if (t->facts.size_bytes == 0) /* a loop device without a file, a reader without a card */
                return missing(reason, options->path, ENOMEDIUM);
        gather(t, options->state_dir);
        if (options->journal)
                fstab_probe(&t->facts, options->journal);
        *ret = STEAL(t);
        return TARGET_OK;
}

static void look_at_counts(const struct target *t, struct engine_look *look) {
        CLEANUP_CLOSE int dir = sysfs_open(t->facts.device);
        CLEANUP_CLOSE int whole = dir >= 0 ? sysfs_open_whole(dir) : -1;
        if (whole >= 0)
                write_counts_read(look, dir, whole);
}

int target_lock(struct target *t, struct reason *reason) {
        assert(t->disk_fd < 0);
        int r = t->facts.is_file ? locks_take_file(t->fd, LOCK_WAIT_US)
                                 : locks_take(&t->disk_fd, t->fd, t->facts.disk, LOCK_WAIT_US);
        if (r != LOCKS_E_HELD)
                return r;
        reason_set(reason, "in_use", "See who it is (lslocks), and end that; or choose mode read, which needs no lock.",
                "%s is in use: another process holds a lock on it or on its whole disk.", t->facts.path);
        return TARGET_E_BUSY;
}

static int look_at_file(const struct target *t, struct engine_look *ret) {
        struct engine_look look = { 0 };
        struct statvfs fs;
        struct stat st, named;
        if (fstat(t->fd, &st) < 0 || fstatvfs(t->fd, &fs) < 0)
                return -errno;
        look.size_bytes = (uint64_t)st.st_size;
        look.read_only = fs.f_flag & ST_RDONLY;
        look.gone = lstat(t->facts.path, &named) < 0;
        look.replaced = !look.gone && (named.st_dev != st.st_dev || named.st_ino != st.st_ino);
        look.cached_bytes = canary_cached_bytes(t->fd, look.size_bytes);
        *ret = look;
        return 0;
}

int target_look(const struct target *t, struct engine_look *ret) {
        if (t->facts.is_file)
                return look_at_file(t, ret);
        struct engine_look look = { 0 };
        int read_only;
        if (ioctl(t->fd, BLKGETSIZE64, &look.size_bytes) < 0 || ioctl(t->fd, BLKROGET, &read_only) < 0)
                return -errno;
        look.read_only = read_only != 0;
        if (ioctl(t->fd, BLKGETDISKSEQ, &look.diskseq) < 0)
                look.diskseq = 0;
        struct stat st;
        bool named = stat(t->facts.path, &st) == 0 && S_ISBLK(st.st_mode);
        look.gone = look.size_bytes == 0 || !named;
        look_at_counts(t, &look);
        look.replaced = named && st.st_rdev != t->facts.device;
        *ret = look;
        return 0;
}

bool target_traffic(const struct target *t, struct engine_traffic *ret) {
        uint64_t fields[SYSFS_STAT_COUNT] = { 0 };
        CLEANUP_CLOSE int dir = t->facts.iostats ? sysfs_open(t->facts.counted) : -1;
        if (dir < 0 || sysfs_stat(dir, fields) <= SYSFS_STAT_IN_FLIGHT)
                return false;
        *ret = (struct engine_traffic){
                .read_bytes = fields[SYSFS_STAT_READ_SECTORS] * SYSFS_SECTOR_BYTES,
                .written_bytes = (fields[SYSFS_STAT_WRITTEN_SECTORS] + fields[SYSFS_STAT_DISCARDED_SECTORS]) *
                        SYSFS_SECTOR_BYTES,
                .changes = fields[SYSFS_STAT_WRITES] + fields[SYSFS_STAT_DISCARDS] + fields[SYSFS_STAT_FLUSHES],
                .in_flight = fields[SYSFS_STAT_IN_FLIGHT],
        };
        return true;
}
