/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal must outlive what the target does not. What could go wrong: that it lies on the target's own disk, in
 * memory, or behind a server that goes down with us; that there is no room for it when it is needed; that it is written
 * over somebody's data, or a journal that is still armed is taken for a used one. So its place is examined down to the
 * disks, it is written through when it is made and gets its name only then, and what isn't empty and isn't a journal of
 * this very target is left alone.
 */
#include "sweep/undo_store.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "media/disk_set.h"
#include "media/engine_libaio.h"
#include "media/mounts.h"
#include "media/target.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>

enum { CHUNK_BYTES = 1 << 20, BLANK_BYTES = 1 << 20 };

const char undo_store_damaged_remedy[] =
        "If no sweep was cut short, remove it; else keep it: it may hold the only copy of data.";

struct undo_store {
        int fd;
        bool is_device, look_only;
        uint64_t size_bytes;
        char path[PATH_MAX];
        struct undo_head head;
        uint8_t *chunk; /* CHUNK_BYTES, aligned */
        void (*progress)(void *userdata);
        void *userdata;
};

DEFINE_FREEP(struct undo_store, undo_store_close, undo_store_closep)

#define REFUSE(reason, rule, remedy, ...) (reason_set(reason, rule, remedy, __VA_ARGS__), UNDO_STORE_E_REFUSED)

static int failed(struct reason *reason, const char *what, const char *path, int error) {
        reason_set(reason, "journal_missing", "See dmesg for the disk of the journal, and the key `journal`.",
                "%s %s failed: %s.", what, path, strerror(error));
        return -error;
}

static int read_at(const struct undo_store *s, void *bytes, size_t length, uint64_t offset) {
        ssize_t n = pread(s->fd, bytes, length, (off_t)offset);
        return n == (ssize_t)length ? 0 : n < 0 ? -errno : -EIO;
}

static int write_at(const struct undo_store *s, const void *bytes, size_t length, uint64_t offset) {
        ssize_t n = pwrite(s->fd, bytes, length, (off_t)offset);
        return n == (ssize_t)length ? 0 : n < 0 ? -errno : -EIO;
}

static int write_zeros(struct undo_store *s, uint64_t from, uint64_t to) {
        memset(s->chunk, 0, CHUNK_BYTES);
        for (uint64_t at = from; at < to; at += CHUNK_BYTES) {
                int r = write_at(s, s->chunk, MIN(CHUNK_BYTES, to - at), at);
                if (r < 0)
                        return r;
                if (s->progress)
                        s->progress(s->userdata);
        }
        return 0;
}

/* Where the bytes that are written are not on a disk, or not when fdatasync() says so. */
static const char *unfit_file_system(int fd) {
        static const struct {
                unsigned long magic;
                const char *name;
        } unfit[] = {
                { TMPFS_MAGIC, "tmpfs, which is memory" },
                { RAMFS_MAGIC, "ramfs, which is memory" },
                { FUSE_SUPER_MAGIC, "a FUSE file system, whose server may die with us" },
                { NFS_SUPER_MAGIC, "NFS: a network file system" },
                { 0xff534d42, "CIFS: a network file system" },
                { 0xfe534d42, "SMB: a network file system" },
                { 0x01021997, "9p: a file system of another system" },
                { 0x00c36400, "Ceph: a network file system" },
                { 0x5346414f, "AFS: a network file system" },
                { 0x2fc12fc1, "ZFS, which caches what is written directly" },
        };
        struct statfs fs;
        if (fstatfs(fd, &fs) < 0)
                return "one that does not tell what it is";
        for (size_t i = 0; i < ELEMENTS(unfit); i++)
                if ((unsigned long)fs.f_type == unfit[i].magic)
                        return unfit[i].name;
        return NULL;
}

/* ext4 takes direct writes with data=journal, and caches them. */
static bool journals_data(const char *directory) {
        struct statx st;
        CLEANUP(mounts_close)
        struct mounts mounts = { 0 };
        if (statx(AT_FDCWD, directory, 0, STATX_MNT_ID, &st) < 0 || mounts_open(&mounts) < 0)
                return false;
        while (mounts_next(&mounts))
                if (mounts.entry.id == st.stx_mnt_id)
                        return strstr(mounts.entry.options, "data=journal") != NULL;
        return false;
}

static int shares_disk(struct reason *reason, const struct undo_store_options *o, const struct disk_set *journal) {
        struct disk_set target = { .through_loops = true };
        disk_set_add(&target, o->target->device);
        if (!disk_set_meets(&target, journal))
                return UNDO_STORE_OK;
        return REFUSE(reason, "journal_shared_disk",
                "Set `journal` to a directory, or a block device, on another disk.",
                "The undo journal at %s lies on the same disk as %s, or that can't be told.", o->journal,
                o->target->path);
}

static int examine_directory(struct reason *reason, const struct undo_store_options *o, int fd) {
        const char *unfit = unfit_file_system(fd);
        if (unfit)
                return REFUSE(reason, "journal_file_system",
                        "Set `journal` to a directory on a disk, or to a block device.",
                        "The undo journal can't be in %s: it is on %s.", o->journal, unfit);
        if (journals_data(o->journal))
                return REFUSE(reason, "journal_no_direct_io",
                        "Mount it with data=ordered, or set `journal` to another place.",
                        "The undo journal can't be in %s: it is mounted with data=journal, where direct writes are cached.",
                        o->journal);
        struct disk_set set = { .through_loops = true };
        disk_set_add_directory(&set, o->journal);
        return shares_disk(reason, o, &set);
}

static bool is_ours(const struct stat *st) {
        return S_ISREG(st->st_mode) && st->st_uid == geteuid() && st->st_nlink == 1 && (st->st_mode & 0077) == 0;
}

/* Who only looks must neither keep others out nor be kept out, and reads far: the kernel reads ahead for it. What it
 * kept from an earlier look may be older than what was written past it. */
static int open_flags(const struct undo_store *s) {
        return O_CLOEXEC | (s->look_only ? O_RDONLY : O_RDWR | O_DIRECT);
}

static void drop_cache(const struct undo_store *s) {
        if (s->look_only)
                (void)posix_fadvise(s->fd, 0, 0, POSIX_FADV_DONTNEED);
}

static int lock(struct undo_store *s, struct reason *reason) {
        if (s->look_only)
                return UNDO_STORE_OK;
        struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        if (flock(s->fd, LOCK_EX | LOCK_NB) == 0 && (s->is_device || fcntl(s->fd, F_OFD_SETLK, &range) == 0))
                return UNDO_STORE_OK;
        return REFUSE(reason, "journal_in_use", "End the other program that uses it.",
                "Another process has locked the undo journal %s.", s->path);
}

/* What a killed predecessor wrote last may be in caches only; nothing may be built on it before it is durable. */
static int make_durable(struct undo_store *s, struct reason *reason, int directory) {
        if (fsync(s->fd) < 0 || (directory >= 0 && fsync(directory) < 0))
                return failed(reason, "flushing", s->path, errno);
        return UNDO_STORE_OK;
}

static int open_failed(struct undo_store *s, struct reason *reason, const struct undo_store_options *o, int error) {
        if (error == ENOENT && !o->make)
                return UNDO_STORE_E_NONE;
        if (error == EINVAL)
                return REFUSE(reason, "journal_no_direct_io", "Set `journal` to a place that allows direct I/O.",
                        "%s can't be opened for direct I/O.", s->path);
        if (error == EACCES || error == EPERM || error == EROFS)
                return REFUSE(reason, "journal_not_permitted", "Let the daemon write there (see its unit's sandbox).",
                        "The undo journal %s can't be opened: %s.", s->path, strerror(error));
        if (error == EBUSY)
                return REFUSE(reason, "journal_in_use",
                        "Unmount or stop what uses it, or set `journal` to another place.",
                        "The undo journal %s is in use: another process has claimed it.", s->path);
        if (error == ELOOP)
                return REFUSE(reason, "journal_damaged", "Remove the link.", "%s is a symbolic link.", s->path);
        return failed(reason, "opening", s->path, error);
}

/* A whole head, of either copy. -EUCLEAN: there is none; or why that is not known. */
static int read_head(struct undo_store *s) {
        int error = -EUCLEAN;
        for (unsigned copy = 0; copy < 2; copy++) {
                int r = read_at(s, s->chunk, UNDO_PAGE_BYTES, undo_head_offset(copy));
                if (r == 0 && undo_head_read(&s->head, s->chunk))
                        return 0;
                if (r < 0)
                        error = r;
        }
        return error;
}

static void fill_head(struct undo_head *head, const struct undo_store_options *o) {
        *head = (struct undo_head){
                .created_us = clock_wall_us(),
                .segment_bytes = o->segment_bytes,
                .target_bytes = o->target->size_bytes,
                .identity = o->target->identity,
        };
        text_copy(head->device, sizeof head->device, o->device);
        while (head->journal_id == 0)
                if (getrandom(&head->journal_id, sizeof head->journal_id, 0) < 0)
                        head->journal_id = 0;
}

/* Both copies of each, so that one of them is whole whatever becomes of the first one that is written. */
static int write_free_markers(struct undo_store *s) {
        int r = 0;
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++)
                for (unsigned copy = 0; r == 0 && copy < UNDO_MARKER_COPIES; copy++) {
                        struct undo_marker marker = { .slot = slot };
                        undo_marker_write(s->chunk, s->head.journal_id, &marker);
                        r = write_at(
                                s, s->chunk, UNDO_PAGE_BYTES, undo_marker_offset(s->head.segment_bytes, slot, copy));
                }
        return r == 0 && fdatasync(s->fd) < 0 ? -errno : r;
}

/* Every block is written once: what a disk, or a file system, does not have it says now. The head comes last. */
static int write_through(struct undo_store *s, const struct undo_store_options *o) {
        int r = write_zeros(s, 0, undo_journal_bytes(o->segment_bytes));
        if (r == 0 && fdatasync(s->fd) < 0)
                r = -errno;
        fill_head(&s->head, o);
        if (r == 0)
                r = write_free_markers(s);
        for (unsigned copy = 0; r == 0 && copy < 2; copy++) {
                undo_head_write(s->chunk, &s->head);
                r = write_at(s, s->chunk, UNDO_PAGE_BYTES, undo_head_offset(copy));
        }
        if (r == 0 && fsync(s->fd) < 0)
                r = -errno;
        return r;
}

static int no_room(struct undo_store *s, struct reason *reason, const struct undo_store_options *o, int error) {
        uint64_t bytes = undo_journal_bytes(o->segment_bytes);
        if (error != ENOSPC && error != EDQUOT && error != EFBIG)
                return failed(reason, "writing", s->path, error);
        return REFUSE(reason, "journal_space", "Make room, set a smaller `segment`, or set `journal` to another place.",
                "The undo journal %s needs %" PRIu64 " bytes: %s.", s->path, bytes, strerror(error));
}

/* Where the mount options don't tell: a file system may journal data by default, or this file's. */
static int examine_file(struct undo_store *s, struct reason *reason) {
        struct statx st;
        if (statx(s->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) < 0 || !(st.stx_mask & STATX_DIOALIGN) ||
                st.stx_dio_mem_align > 0)
                return UNDO_STORE_OK;
        return REFUSE(reason, "journal_no_direct_io",
                "Where it is ext4: tune2fs -o ^journal_data, chattr -j. Or set `journal` to another place.",
                "The file system of the undo journal %s caches direct writes to it.", s->path);
}

/* Under another name until it is whole: a file of the right name has a head, or was damaged. */
static int make_file(struct undo_store *s, struct reason *reason, const struct undo_store_options *o, int directory) {
        char name[DEVICE_NAME_BYTES + 8], made[DEVICE_NAME_BYTES + 8];
        text_format(name, sizeof name, "%s.new", o->device);
        text_format(made, sizeof made, "%s.undo", o->device);
        (void)unlinkat(directory, name, 0);
        close_fd(s->fd);
        s->fd = openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_DIRECT | O_CLOEXEC, 0600);
        if (s->fd < 0)
                return open_failed(s, reason, o, errno);
        int r = examine_file(s, reason);
        if (r != UNDO_STORE_OK) {
                (void)unlinkat(directory, name, 0);
                return r;
        }
        r = fallocate(s->fd, 0, 0, (off_t)undo_journal_bytes(o->segment_bytes)) < 0 ? -errno : 0;
        if (r == 0)
                r = write_through(s, o);
        if (r == 0 && (renameat(directory, name, directory, made) < 0 || fsync(directory) < 0))
                r = -errno;
        if (r == 0)
                return lock(s, reason);
        (void)unlinkat(directory, name, 0);
        return no_room(s, reason, o, -r);
}

static int open_directory(struct reason *reason, const struct undo_store_options *o, int *ret) {
        /* A directory there would keep udev from making the node, or the link, when the disk is back. */
        bool is_node = strncmp(o->journal, "/dev/", 5) == 0 && strncmp(o->journal, "/dev/shm/", 9) != 0;
        if (o->make && !is_node && mkdir(o->journal, 0700) < 0 && errno != EEXIST && errno != ENOENT)
                return failed(reason, "creating", o->journal, errno);
        int fd = open(o->journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT && !o->make)
                return UNDO_STORE_E_NONE;
        if (fd < 0)
                return failed(reason, "opening", o->journal, errno);
        *ret = fd;
        return UNDO_STORE_OK;
}

static bool is_in_use(const struct undo_store *s) {
        struct undo_store_state state;
        return undo_store_state(s, &state) < 0 || undo_store_holds(&state) + state.shelved > 0;
}

static int open_file(struct undo_store *s, struct reason *reason, const struct undo_store_options *o) {
        CLEANUP_CLOSE int directory = -1;
        int r = open_directory(reason, o, &directory);
        if (r == UNDO_STORE_OK && o->make)
                r = examine_directory(reason, o, directory);
        if (r != UNDO_STORE_OK)
                return r;
        char name[DEVICE_NAME_BYTES + 8];
        struct stat st;
        text_format(name, sizeof name, "%s.undo", o->device);
        text_format(s->path, sizeof s->path, "%s/%s", o->journal, name);
        s->fd = openat(directory, name, open_flags(s) | O_NOFOLLOW);
        if (s->fd < 0 && errno == ENOENT && o->make)
                return make_file(s, reason, o, directory);
        if (s->fd < 0 || fstat(s->fd, &st) < 0)
                return open_failed(s, reason, o, errno);
        if (!is_ours(&st))
                return REFUSE(reason, "journal_damaged",
                        "Look at it, and move it away if it isn't a journal of this daemon.",
                        "%s is no plain file of the daemon's own, with mode 0600 and one link.", s->path);
        drop_cache(s);
        r = lock(s, reason);
        if (r == UNDO_STORE_OK)
                r = make_durable(s, reason, directory);
        if (r != UNDO_STORE_OK)
                return r;
        s->size_bytes = (uint64_t)st.st_size;
        r = read_head(s);
        if (r < 0 && r != -EUCLEAN)
                return failed(reason, "reading", s->path, -r);
        if (r < 0 || s->size_bytes < undo_journal_bytes(s->head.segment_bytes))
                return REFUSE(
                        reason, "journal_damaged", undo_store_damaged_remedy, "%s is no whole undo journal.", s->path);
        bool other = o->make && (s->head.segment_bytes != o->segment_bytes || !undo_store_is_of(s, o->target));
        if (other && !is_in_use(s))
                return make_file(s, reason, o, directory);
        return o->make ? examine_file(s, reason) : UNDO_STORE_OK; /* what is there already goes back from there */
}

/* 1, 0; negative errno. */
static int is_blank(struct undo_store *s) {
        int r = read_at(s, s->chunk, BLANK_BYTES, 0);
        if (r < 0)
                return r;
        for (size_t i = 0; i < BLANK_BYTES; i++)
                if (s->chunk[i])
                        return 0;
        return 1;
}

static int make_on_device(struct undo_store *s, struct reason *reason, const struct undo_store_options *o) {
        if (s->size_bytes < undo_journal_bytes(o->segment_bytes))
                return no_room(s, reason, o, ENOSPC);
        int r = write_through(s, o);
        return r < 0 ? no_room(s, reason, o, -r) : UNDO_STORE_OK;
}

/* There is no journal on it. */
static int take_device(struct undo_store *s, struct reason *reason, const struct undo_store_options *o) {
        if (!o->make)
                return UNDO_STORE_E_NONE;
        int blank = s->size_bytes < BLANK_BYTES ? 0 : is_blank(s);
        if (blank < 0)
                return failed(reason, "reading", s->path, -blank);
        if (!blank)
                return REFUSE(reason, "journal_foreign",
                        "If nothing on it is needed, overwrite its first MiB with zeros (blkdiscard -z -l 1M); else set another `journal`.",
                        "%s holds something that is no undo journal.", s->path);
        return make_on_device(s, reason, o);
}

/* Only a device whose beginning is empty is made a journal: this one may be anybody's, by a slip of the pen. */
static int open_device(struct undo_store *s, struct reason *reason, const struct undo_store_options *o, dev_t device) {
        text_copy(s->path, sizeof s->path, o->journal);
        s->is_device = true;
        if (o->make) {
                struct disk_set set = { .through_loops = true };
                disk_set_add(&set, device);
                int r = shares_disk(reason, o, &set);
                if (r != UNDO_STORE_OK)
                        return r;
        }
        s->fd = open(o->journal, open_flags(s) | (s->look_only ? 0 : O_EXCL));
        if (s->fd < 0 || ioctl(s->fd, BLKGETSIZE64, &s->size_bytes) < 0)
                return open_failed(s, reason, o, errno);
        drop_cache(s);
        int r = lock(s, reason);
        if (r == UNDO_STORE_OK)
                r = make_durable(s, reason, -1);
        if (r != UNDO_STORE_OK)
                return r;
        r = read_head(s);
        if (r == -EUCLEAN)
                return take_device(s, reason, o);
        if (r < 0) /* what can't be read may hold originals */
                return failed(reason, "reading", s->path, -r);
        if (s->size_bytes < undo_journal_bytes(s->head.segment_bytes))
                return REFUSE(reason, "journal_damaged", "See what became of its size before anything else.",
                        "%s is smaller than the undo journal that it holds.", s->path);
        bool other = o->make && (s->head.segment_bytes != o->segment_bytes || !undo_store_is_of(s, o->target));
        return other && !is_in_use(s) ? make_on_device(s, reason, o) : UNDO_STORE_OK;
}

/* The copy that counts: its index; -EUCLEAN: neither is whole, so that nobody knows what they said; or why that could
 * not be read. */
static int read_marker(const struct undo_store *s, unsigned slot, struct undo_marker *ret) {
        int counts = -EUCLEAN;
        for (unsigned copy = 0; copy < UNDO_MARKER_COPIES; copy++) {
                struct undo_marker marker;
                int r = read_at(s, s->chunk, UNDO_PAGE_BYTES, undo_marker_offset(s->head.segment_bytes, slot, copy));
                if (r < 0 && r != -EIO)
                        return r; /* not of this place: the journal is gone */
                if (r < 0 && counts < 0)
                        counts = r;
                if (r < 0 || !undo_marker_read(&marker, s->chunk, s->head.journal_id) || marker.slot != slot ||
                        (counts >= 0 && marker.sequence <= ret->sequence))
                        continue;
                *ret = marker;
                counts = (int)copy;
        }
        return counts;
}

/*
 * A crash while a marker was written leaves its copies unequal. The one that does not count may be of a record that is
 * long over, and would count again if the other one got lost while it is written next: so it is made equal before that.
 */
static int even_out(struct undo_store *s, struct reason *reason) {
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++) {
                struct undo_marker marker;
                int copy = read_marker(s, slot, &marker);
                if (copy < 0 && copy != -EUCLEAN)
                        return failed(reason, "reading", s->path, -copy);
                if (copy < 0)
                        return REFUSE(reason, "journal_damaged", undo_store_damaged_remedy,
                                "No marker of slot %u in the undo journal %s is whole.", slot, s->path);
                if (marker.state != UNDO_FREE)
                        continue; /* recovery's */
                undo_marker_write(s->chunk, s->head.journal_id, &marker);
                int r = write_at(s, s->chunk, UNDO_PAGE_BYTES,
                        undo_marker_offset(s->head.segment_bytes, slot, copy == 0 ? 1 : 0));
                if (r < 0)
                        return failed(reason, "writing", s->path, -r);
        }
        return fdatasync(s->fd) < 0 ? failed(reason, "flushing", s->path, errno) : UNDO_STORE_OK;
}

int undo_store_open(struct undo_store **ret, struct reason *reason, const struct undo_store_options *o) {
        assert(!o->make || o->target);
        assert(!o->make || !o->look_only);
        CLEANUP(undo_store_closep)
        struct undo_store *s = calloc(1, sizeof *s);
        if (!s)
                return -ENOMEM;
        s->fd = -1;
        s->look_only = o->look_only;
        s->progress = o->progress;
        s->userdata = o->userdata;
        s->chunk = aligned_alloc(UNDO_PAGE_BYTES, CHUNK_BYTES);
        if (!s->chunk)
                return -ENOMEM;
        struct stat st;
        bool there = stat(o->journal, &st) == 0;
        int r = there && S_ISBLK(st.st_mode) ? open_device(s, reason, o, st.st_rdev) : open_file(s, reason, o);
        if (r != UNDO_STORE_OK)
                return r;
        if (o->target && !undo_store_is_of(s, o->target))
                return REFUSE(reason, "journal_foreign",
                        "Plug in the device that it belongs to, so that its data is put back; or set another `journal`.",
                        "The undo journal %s belongs to another device: %s %s%s.", s->path, s->head.device,
                        s->head.identity.serial, s->head.identity.backing_file);
        r = o->make ? even_out(s, reason) : UNDO_STORE_OK;
        if (r != UNDO_STORE_OK)
                return r;
        *ret = STEAL(s);
        return UNDO_STORE_OK;
}

const struct undo_head *undo_store_head(const struct undo_store *s) {
        return &s->head;
}

bool undo_store_is_device(const struct undo_store *s) {
        return s->is_device;
}

/* The head keeps only so much of a path. */
static bool same_file(const char *a, const char *b) {
        return strncmp(a, b, 1023) == 0;
}

bool undo_store_is_of(const struct undo_store *s, const struct target_facts *target) {
        const struct identity *a = &s->head.identity, *b = &target->identity;
        return a->kind == b->kind && s->head.target_bytes == target->size_bytes && strcmp(a->serial, b->serial) == 0 &&
                strcmp(a->wwn, b->wwn) == 0 && strcmp(a->partuuid, b->partuuid) == 0 &&
                same_file(a->backing_file, b->backing_file) && a->partition_offset_bytes == b->partition_offset_bytes;
}

/* A single copy never says more than the other: a slot is armed only when both do. */
static int count_slot(const struct undo_store *s, unsigned slot, struct undo_store_state *state) {
        struct undo_marker marker;
        int r = read_marker(s, slot, &marker);
        if (r < 0) {
                state->unknown += r == -EUCLEAN;
                return r == -EUCLEAN ? 0 : r;
        }
        state->sequence = MAX(state->sequence, marker.sequence);
        state->record = MAX(state->record, marker.record);
        state->armed += marker.state == UNDO_ARMED;
        state->pinned += marker.state == UNDO_PINNED;
        return 0;
}

static void count_shelved(const struct undo_store *s, const uint8_t *page, struct undo_store_state *state) {
        struct undo_shelved shelved;
        if (!undo_shelved_read(&shelved, page, s->head.journal_id))
                return;
        state->shelved++;
        state->record = MAX(state->record, shelved.record);
}

/* In long reads, as each start of a sweep waits for them; what can't be read so is read one by one. */
static void count_shelf(const struct undo_store *s, struct undo_store_state *state) {
        enum { ENTRY_BYTES = 2 * UNDO_PAGE_BYTES, ENTRIES = CHUNK_BYTES / ENTRY_BYTES };
        for (unsigned i = 0; i < UNDO_SHELF_UNITS; i += ENTRIES) {
                unsigned count = MIN(ENTRIES, UNDO_SHELF_UNITS - i);
                uint64_t at = undo_shelf_offset(s->head.segment_bytes, i);
                bool whole = read_at(s, s->chunk, (size_t)count * ENTRY_BYTES, at) == 0;
                for (unsigned n = 0; n < count; n++) {
                        const uint8_t *page = whole ? s->chunk + (size_t)n * ENTRY_BYTES : s->chunk;
                        if (whole || read_at(s, s->chunk, UNDO_PAGE_BYTES, at + (uint64_t)n * ENTRY_BYTES) == 0)
                                count_shelved(s, page, state);
                }
        }
}

int undo_store_state(const struct undo_store *s, struct undo_store_state *ret) {
        struct undo_store_state state = { 0 };
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++) {
                int r = count_slot(s, slot, &state);
                if (r < 0)
                        return r;
        }
        count_shelf(s, &state);
        *ret = state;
        return 0;
}

static int look(void *userdata, struct engine_look *ret) {
        const struct undo_store *s = userdata;
        struct stat st;
        if (fstat(s->fd, &st) < 0)
                return -errno;
        *ret = (struct engine_look){ .size_bytes = s->size_bytes };
        return 0;
}

int undo_store_engine(struct undo_store *s, struct engine **ret, unsigned depth, int wake_fd) {
        struct engine_libaio_source source = { .fd = s->fd, .look = look, .userdata = s };
        return engine_libaio_new(ret, &source, depth, wake_fd);
}

/* Nothing else of ours destroys originals, so it takes nobody's word: what the markers say, durably, counts. */
int undo_store_erase(struct undo_store *s) {
        struct undo_store_state state = { 0 };
        if (fdatasync(s->fd) < 0)
                return -errno;
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++) {
                int r = count_slot(s, slot, &state);
                if (r < 0)
                        return r;
        }
        if (state.armed + state.pinned > 0)
                return -EBUSY;
        if (state.unknown > 0)
                return -EUCLEAN;
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++) {
                uint64_t from = undo_table_offset(s->head.segment_bytes, slot);
                uint64_t to = undo_marker_offset(s->head.segment_bytes, slot, 1);
                int r = write_zeros(s, from, to);
                if (r < 0)
                        return r;
        }
        return fdatasync(s->fd) < 0 ? -errno : 0;
}

int undo_store_fd(const struct undo_store *s) {
        return s->fd;
}

struct undo_store *undo_store_close(struct undo_store *s) {
        if (!s)
                return NULL;
        close_fd(s->fd);
        free(s->chunk);
        free(s);
        return NULL;
}
