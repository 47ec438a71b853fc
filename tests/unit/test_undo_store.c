/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a journal may lie, what is done at each error of making and opening one, and what is never done to one that
 * holds somebody's originals. The calls into the kernel are led here by the linker: so the directory can be on any file
 * system, a file can pass for a block device, and each call can fail.
 */
#include "suite.h"
#include "sweep/undo_store.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "media/disk_set.h"
#include "media/engine_libaio.h"
#include "media/mounts.h"
#include "media/target.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

enum { SEGMENT = 64 << 10, TARGET_BYTES = 1 << 20 };

/* The n-th use of a call fails (from 1), or transfers less than all. */
static struct {
        const char *call;
        unsigned nth;
        int error; /* 0: half of it is transferred */
} fault;

static char directory[64], device_path[128];
static bool passes_for_device, shares_disk, data_is_journaled, is_not_mounted, caches_direct_io;
static unsigned long file_system;
static struct target_facts target;
static unsigned progress_calls, written_bytes;

static bool fails(const char *call) {
        if (!fault.call || strcmp(fault.call, call) != 0 || fault.nth == 0 || --fault.nth > 0)
                return false;
        errno = fault.error;
        return true;
}

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker's names */
void *__real_calloc(size_t count, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
ssize_t __real_pread64(int fd, void *to, size_t length, off_t offset);
ssize_t __real_pwrite64(int fd, const void *from, size_t length, off_t offset);
int __real_open64(const char *path, int flags, ...);
int __real_openat64(int fd, const char *path, int flags, ...);
int __real_stat64(const char *path, struct stat *st);
int __real_fstat64(int fd, struct stat *st);
int __real_statx(int fd, const char *path, int flags, unsigned mask, struct statx *st);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_flock(int fd, int how);
int __real_fcntl64(int fd, int command, ...);
int __real_ioctl(int fd, unsigned long request, ...);
int __real_mkdir(const char *path, mode_t mode);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_fallocate64(int fd, int mode, off_t offset, off_t length);
ssize_t __real_getrandom(void *to, size_t length, unsigned flags);
int __real_mounts_open(struct mounts *mounts);

void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
ssize_t __wrap_pread64(int fd, void *to, size_t length, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t length, off_t offset);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_openat64(int fd, const char *path, int flags, ...);
int __wrap_stat64(const char *path, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st);
int __wrap_statx(int fd, const char *path, int flags, unsigned mask, struct statx *st);
int __wrap_fstatfs64(int fd, struct statfs *fs);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_flock(int fd, int how);
int __wrap_fcntl64(int fd, int command, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length);
ssize_t __wrap_getrandom(void *to, size_t length, unsigned flags);
int __wrap_mounts_open(struct mounts *mounts);
bool __wrap_mounts_next(struct mounts *mounts);
void __wrap_disk_set_add(struct disk_set *set, dev_t device);
void __wrap_disk_set_add_directory(struct disk_set *set, const char *path);
bool __wrap_disk_set_meets(const struct disk_set *a, const struct disk_set *b);

void *__wrap_calloc(size_t count, size_t bytes) {
        return fails("calloc") ? NULL : __real_calloc(count, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
        return fails("aligned_alloc") ? NULL : __real_aligned_alloc(alignment, bytes);
}

ssize_t __wrap_pread64(int fd, void *to, size_t length, off_t offset) {
        if (!fails("pread"))
                return __real_pread64(fd, to, length, offset);
        return fault.error ? -1 : __real_pread64(fd, to, length / 2, offset);
}

ssize_t __wrap_pwrite64(int fd, const void *from, size_t length, off_t offset) {
        written_bytes += (unsigned)length;
        if (!fails("pwrite"))
                return __real_pwrite64(fd, from, length, offset);
        return fault.error ? -1 : __real_pwrite64(fd, from, length / 2, offset);
}

static mode_t mode_of(int flags, va_list arguments) {
        return flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
}

int __wrap_open64(const char *path, int flags, ...) {
        va_list arguments;
        va_start(arguments, flags);
        mode_t mode = mode_of(flags, arguments);
        va_end(arguments);
        return fails("open") ? -1 : __real_open64(path, flags & ~(O_DIRECT | O_EXCL), mode);
}

/* Not directly: memory has no such files. */
int __wrap_openat64(int fd, const char *path, int flags, ...) {
        va_list arguments;
        va_start(arguments, flags);
        mode_t mode = mode_of(flags, arguments);
        va_end(arguments);
        return fails("openat") ? -1 : __real_openat64(fd, path, flags & ~O_DIRECT, mode);
}

int __wrap_stat64(const char *path, struct stat *st) {
        int r = __real_stat64(path, st);
        if (r == 0 && passes_for_device && strcmp(path, device_path) == 0) {
                st->st_mode = S_IFBLK | 0600;
                st->st_rdev = makedev(7, 99);
        }
        return r;
}

int __wrap_fstat64(int fd, struct stat *st) {
        return fails("fstat") ? -1 : __real_fstat64(fd, st);
}

int __wrap_statx(int fd, const char *path, int flags, unsigned mask, struct statx *st) {
        if (fails("statx"))
                return -1;
        int r = __real_statx(fd, path, flags, mask, st);
        st->stx_mnt_id = 42;
        if (caches_direct_io && mask & STATX_DIOALIGN) {
                st->stx_mask |= STATX_DIOALIGN;
                st->stx_dio_mem_align = 0;
        }
        return r;
}

int __wrap_fstatfs64(int fd, struct statfs *fs) {
        if (fails("fstatfs"))
                return -1;
        *fs = (struct statfs){ .f_type = (__typeof__(fs->f_type))file_system };
        return 0;
}

int __wrap_fsync(int fd) {
        return fails("fsync") ? -1 : __real_fsync(fd);
}

int __wrap_fdatasync(int fd) {
        return fails("fdatasync") ? -1 : __real_fdatasync(fd);
}

int __wrap_flock(int fd, int how) {
        return fails("flock") ? -1 : __real_flock(fd, how);
}

int __wrap_fcntl64(int fd, int command, ...) {
        va_list arguments;
        va_start(arguments, command);
        void *argument = va_arg(arguments, void *);
        va_end(arguments);
        return fails("fcntl") ? -1 : __real_fcntl64(fd, command, argument);
}

int __wrap_ioctl(int fd, unsigned long request, ...) {
        va_list arguments;
        va_start(arguments, request);
        void *argument = va_arg(arguments, void *);
        va_end(arguments);
        if (fails("ioctl"))
                return -1;
        if (request != BLKGETSIZE64)
                return __real_ioctl(fd, request, argument);
        struct stat st;
        if (__real_fstat64(fd, &st) < 0)
                return -1;
        *(uint64_t *)argument = (uint64_t)st.st_size;
        return 0;
}

int __wrap_mkdir(const char *path, mode_t mode) {
        return fails("mkdir") ? -1 : __real_mkdir(path, mode);
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to) {
        return fails("renameat") ? -1 : __real_renameat(from_fd, from, to_fd, to);
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length) {
        return fails("fallocate") ? -1 : __real_fallocate64(fd, mode, offset, length);
}

ssize_t __wrap_getrandom(void *to, size_t length, unsigned flags) {
        return fails("getrandom") ? -1 : __real_getrandom(to, length, flags);
}

int __wrap_mounts_open(struct mounts *mounts) {
        return fails("mounts_open") ? -EMFILE : __real_mounts_open(mounts);
}

/* Another mount, and that of the directory. */
bool __wrap_mounts_next(struct mounts *mounts) {
        static char plain[] = "rw,data=ordered", journaled[] = "rw,data=journal";
        if (mounts->entry.id == (is_not_mounted ? 41 : 42))
                return false;
        mounts->entry.id = mounts->entry.id == 0 ? 41 : 42;
        mounts->entry.options = mounts->entry.id == 41 || data_is_journaled ? journaled : plain;
        return true;
}

void __wrap_disk_set_add(struct disk_set *set, dev_t device) {
        ck_assert(set->through_loops);
        set->devices[set->count++] = device;
}

void __wrap_disk_set_add_directory(struct disk_set *set, const char *path) {
        ck_assert(set->through_loops);
        ck_assert_str_eq(path, directory);
        set->devices[set->count++] = makedev(8, 0);
}

bool __wrap_disk_set_meets(const struct disk_set *a, const struct disk_set *b) {
        ck_assert_uint_eq(a->count, 1);
        ck_assert_uint_eq(b->count, 1);
        return shares_disk;
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void setup(void) {
        text_copy(directory, sizeof directory, "/dev/shm/sweepd-store-XXXXXX");
        if (access("/dev/shm", W_OK) < 0)
                text_copy(directory, sizeof directory, "/tmp/sweepd-store-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(directory));
        text_format(device_path, sizeof device_path, "%s/device", directory);
        memset(&fault, 0, sizeof fault);
        passes_for_device = shares_disk = data_is_journaled = is_not_mounted = caches_direct_io = false;
        file_system = EXT4_SUPER_MAGIC;
        progress_calls = written_bytes = 0;
        target = (struct target_facts){ .path = "/dev/disk", .device = makedev(8, 16), .size_bytes = TARGET_BYTES };
        text_copy(target.identity.serial, sizeof target.identity.serial, "ZA1234");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk) {
        (void)st;
        (void)type;
        (void)walk;
        return remove(path);
}

static void teardown(void) {
        nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void count_progress(void *userdata) {
        ++*(unsigned *)userdata;
}

static struct undo_store_options making(void) {
        return (struct undo_store_options){
                .journal = passes_for_device ? device_path : directory,
                .device = "spare-7",
                .make = true,
                .segment_bytes = SEGMENT,
                .target = &target,
                .progress = count_progress,
                .userdata = &progress_calls,
        };
}

static struct undo_store_options finding(void) {
        return (struct undo_store_options){ .journal = passes_for_device ? device_path : directory,
                .device = "spare-7" };
}

static struct reason reason;

/* What opening says; the store is closed again. */
static int open_once(const struct undo_store_options *options) {
        struct undo_store *s = NULL;
        reason = (struct reason){ 0 };
        int r = undo_store_open(&s, &reason, options);
        ck_assert(r == UNDO_STORE_OK ? s != NULL : s == NULL);
        undo_store_close(s);
        fault.call = NULL;
        return r;
}

static void expect_refused(const struct undo_store_options *options, const char *rule) {
        ck_assert_int_eq(open_once(options), UNDO_STORE_E_REFUSED);
        ck_assert_str_eq(reason.rule, rule);
        ck_assert(reason.found[0] && reason.remedy[0]);
}

static void make(void) {
        struct undo_store_options options = making();
        int r = open_once(&options);
        ck_assert_msg(r == UNDO_STORE_OK, "%d: %s", r, reason.found);
}

/* All zeros, as large as a journal and more. */
static void make_device(uint64_t size) {
        passes_for_device = true;
        int fd = __real_open64(device_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
        close(fd);
}

static const char *journal_path(void) {
        static char path[128];
        text_format(path, sizeof path, "%s/spare-7.undo", directory);
        return passes_for_device ? device_path : path;
}

static bool is_there(const char *name) {
        char path[128];
        text_format(path, sizeof path, "%s/%s", directory, name);
        return access(path, F_OK) == 0;
}

static void put(uint64_t offset, const void *bytes, size_t length) {
        int fd = __real_open64(journal_path(), O_WRONLY | O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(__real_pwrite64(fd, bytes, length, (off_t)offset), (ssize_t)length);
        close(fd);
}

static void get(uint64_t offset, void *bytes, size_t length) {
        int fd = __real_open64(journal_path(), O_RDONLY | O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(__real_pread64(fd, bytes, length, (off_t)offset), (ssize_t)length);
        close(fd);
}

static struct undo_head head_now(void) {
        uint8_t page[UNDO_PAGE_BYTES];
        struct undo_head head;
        get(undo_head_offset(0), page, sizeof page);
        ck_assert(undo_head_read(&head, page));
        return head;
}

static struct undo_marker plant(unsigned slot, unsigned copy, enum undo_state state, uint64_t sequence) {
        uint8_t page[UNDO_PAGE_BYTES];
        struct undo_marker marker = { .slot = slot,
                .state = state,
                .sequence = sequence,
                .record = sequence + 100,
                .mode = MODE_PRESERVE,
                .place = { 0, SEGMENT } };
        undo_marker_write(page, head_now().journal_id, &marker);
        put(undo_marker_offset(SEGMENT, slot, copy), page, sizeof page);
        return marker;
}

static void plant_both(unsigned slot, enum undo_state state, uint64_t sequence) {
        plant(slot, 0, state, sequence);
        plant(slot, 1, state, sequence);
}

static void spoil(uint64_t offset) {
        static const char junk[UNDO_PAGE_BYTES] = "junk";
        put(offset, junk, sizeof junk);
}

START_TEST(a_journal_is_made_whole_private_and_once) {
        struct stat st;
        if (_i)
                make_device(undo_journal_bytes(SEGMENT) + 8192);
        make();
        struct undo_head head = head_now();
        ck_assert_uint_ne(head.journal_id, 0);
        ck_assert_uint_eq(head.segment_bytes, SEGMENT);
        ck_assert_uint_eq(head.target_bytes, TARGET_BYTES);
        ck_assert_str_eq(head.device, "spare-7");
        ck_assert_str_eq(head.identity.serial, "ZA1234");
        ck_assert_uint_ge(written_bytes, undo_journal_bytes(SEGMENT)); /* every block of it */
        ck_assert_uint_gt(progress_calls, 0);
        ck_assert_int_eq(__real_stat64(journal_path(), &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0600);
        ck_assert(!is_there("spare-7.new"));
        make();
        ck_assert_uint_eq(head_now().journal_id, head.journal_id);
}
END_TEST

START_TEST(a_new_journal_holds_nothing_and_tells_what_it_is) {
        struct undo_store_state state;
        struct undo_store *s = NULL;
        struct engine *engine = NULL;
        struct engine_look look;
        if (_i)
                make_device(undo_journal_bytes(SEGMENT));
        struct undo_store_options options = making();
        options.progress = NULL;
        ck_assert_int_eq(undo_store_open(&s, &reason, &options), UNDO_STORE_OK);
        ck_assert_int_eq(undo_store_state(s, &state), 0);
        ck_assert_uint_eq(state.armed + state.pinned + state.shelved + state.sequence + state.record, 0);
        ck_assert(undo_store_is_device(s) == (_i == 1));
        ck_assert_int_ge(undo_store_fd(s), 0);
        ck_assert_uint_eq(undo_store_head(s)->journal_id, head_now().journal_id);
        CLEANUP_CLOSE int wake_fd = eventfd(0, EFD_CLOEXEC);
        ck_assert_int_eq(undo_store_engine(s, &engine, 1, wake_fd), 0);
        ck_assert_int_eq(engine_look(engine, &look), 0);
        fault.call = "fstat", fault.nth = 1, fault.error = EIO;
        ck_assert_int_eq(engine_look(engine, &look), -EIO);
        engine_free(engine);
        undo_store_close(s);
        ck_assert_ptr_null(undo_store_close(NULL));
}
END_TEST

START_TEST(file_systems_that_do_not_keep_what_they_took_are_refused) {
        static const unsigned long unfit[] = { TMPFS_MAGIC, RAMFS_MAGIC, FUSE_SUPER_MAGIC, NFS_SUPER_MAGIC, 0xff534d42,
                0xfe534d42, 0x01021997, 0x00c36400, 0x5346414f, 0x2fc12fc1 };
        struct undo_store_options options = making();
        for (size_t i = 0; i < ELEMENTS(unfit); i++) {
                file_system = unfit[i];
                expect_refused(&options, "journal_file_system");
        }
        file_system = EXT4_SUPER_MAGIC;
        fault.call = "fstatfs", fault.nth = 1, fault.error = EIO;
        expect_refused(&options, "journal_file_system");
        data_is_journaled = true;
        expect_refused(&options, "journal_no_direct_io");
        ck_assert(!is_there("spare-7.undo"));
}
END_TEST

/* Then it is taken for a file system that does not. */
START_TEST(a_mount_that_can_not_be_told_is_no_hindrance) {
        static const char *const calls[] = { "statx", "mounts_open" };
        data_is_journaled = true;
        for (size_t i = 0; i < ELEMENTS(calls); i++) {
                fault.call = calls[i], fault.nth = 1, fault.error = EIO;
                make();
                (void)unlink(journal_path());
        }
        is_not_mounted = true;
        make();
}
END_TEST

START_TEST(a_journal_on_the_disk_of_its_target_is_refused) {
        if (_i)
                make_device(undo_journal_bytes(SEGMENT));
        struct undo_store_options options = making();
        shares_disk = true;
        expect_refused(&options, "journal_shared_disk");
        ck_assert_uint_eq(written_bytes, 0);
        shares_disk = false;
        make();
        shares_disk = true; /* what is there already is found by who does not make it */
        options = finding();
        ck_assert_int_eq(open_once(&options), UNDO_STORE_OK);
}
END_TEST

/* Also of one that is there already, but for who puts back what it holds. */
START_TEST(a_file_whose_direct_writes_are_cached_is_no_journal) {
        struct undo_store_options options = making();
        caches_direct_io = true;
        expect_refused(&options, "journal_no_direct_io");
        ck_assert(!is_there("spare-7.undo") && !is_there("spare-7.new"));
        caches_direct_io = false;
        make();
        caches_direct_io = true;
        expect_refused(&options, "journal_no_direct_io");
        options = finding();
        ck_assert_int_eq(open_once(&options), UNDO_STORE_OK);
}
END_TEST

/* Made there, a directory would keep udev from making the node when the disk is back. */
START_TEST(where_a_disk_belongs_no_directory_is_made) {
        static const char node[] = "/dev/sweepd-no-such-disk";
        struct undo_store_options options = making();
        options.journal = node;
        ck_assert_int_eq(open_once(&options), -ENOENT);
        ck_assert_str_eq(reason.rule, "journal_missing");
        ck_assert_int_ne(access(node, F_OK), 0);
}
END_TEST

START_TEST(where_there_is_none_none_is_found) {
        struct undo_store_options options = finding();
        ck_assert_int_eq(open_once(&options), UNDO_STORE_E_NONE);
        text_format(directory + strlen(directory), sizeof directory - strlen(directory), "/no");
        ck_assert_int_eq(open_once(&options), UNDO_STORE_E_NONE);
        directory[strlen(directory) - strlen("/no")] = '\0';
        make_device(undo_journal_bytes(SEGMENT));
        options = finding();
        ck_assert_int_eq(open_once(&options), UNDO_STORE_E_NONE);
}
END_TEST

START_TEST(a_directory_that_is_not_there_is_made) {
        char parent[64];
        text_copy(parent, sizeof parent, directory);
        text_format(directory, sizeof directory, "%s/undo", parent);
        make();
        ck_assert(is_there("spare-7.undo"));
        teardown();
        text_format(directory, sizeof directory, "%s/no/undo", parent);
        struct undo_store_options options = making();
        ck_assert_int_eq(open_once(&options), -ENOENT);
        ck_assert_str_eq(reason.rule, "journal_missing");
        text_copy(directory, sizeof directory, parent);
        fault.call = "mkdir", fault.nth = 1, fault.error = EROFS;
        ck_assert_int_eq(open_once(&options), -EROFS);
        fault.call = "open", fault.nth = 1, fault.error = EMFILE;
        ck_assert_int_eq(open_once(&options), -EMFILE);
}
END_TEST

static const struct {
        int error, result;
        const char *rule;
} refusals[] = {
        { EINVAL, UNDO_STORE_E_REFUSED, "journal_no_direct_io" },
        { EACCES, UNDO_STORE_E_REFUSED, "journal_not_permitted" },
        { EPERM, UNDO_STORE_E_REFUSED, "journal_not_permitted" },
        { EROFS, UNDO_STORE_E_REFUSED, "journal_not_permitted" },
        { EBUSY, UNDO_STORE_E_REFUSED, "journal_in_use" },
        { ELOOP, UNDO_STORE_E_REFUSED, "journal_damaged" },
        { EIO, -EIO, "journal_missing" },
};

START_TEST(each_error_of_opening_has_its_rule) {
        if (_i)
                make_device(undo_journal_bytes(SEGMENT));
        make();
        struct undo_store_options options = making();
        for (size_t i = 0; i < ELEMENTS(refusals); i++) {
                fault.call = _i ? "open" : "openat", fault.nth = 1, fault.error = refusals[i].error;
                ck_assert_int_eq(open_once(&options), refusals[i].result);
                ck_assert_str_eq(reason.rule, refusals[i].rule);
        }
        fault.call = _i ? "ioctl" : "fstat", fault.nth = 1, fault.error = EIO;
        ck_assert_int_eq(open_once(&options), -EIO);
}
END_TEST

START_TEST(without_memory_nothing_is_opened) {
        static const char *const calls[] = { "calloc", "aligned_alloc" };
        struct undo_store_options options = making();
        for (size_t i = 0; i < ELEMENTS(calls); i++) {
                fault.call = calls[i], fault.nth = 1, fault.error = ENOMEM;
                ck_assert_int_eq(open_once(&options), -ENOMEM);
        }
}
END_TEST

static int try_to_make(const char *call, unsigned nth, int error) {
        struct undo_store_options options = making();
        fault.call = call, fault.nth = nth, fault.error = error;
        return open_once(&options);
}

static bool is_space(int error) {
        return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

/* The calls by which one is made, and from which on they are of the making. */
static const struct {
        const char *call;
        unsigned first;
        bool of_file_only;
} steps[] = { { "pwrite", 1, false }, { "fdatasync", 1, false }, { "fsync", 2, false }, { "fallocate", 1, true },
        { "renameat", 1, true }, { "fsync", 1, true } };

/* Made already, it may fail to be opened. */
static void expect_not_made(int result, int error) {
        struct undo_store_options options = finding();
        struct reason told = reason;
        bool made = open_once(&options) == UNDO_STORE_OK;
        reason = told;
        if (is_space(error) && !made) {
                ck_assert_int_eq(result, UNDO_STORE_E_REFUSED);
                ck_assert_str_eq(reason.rule, "journal_space");
        } else {
                ck_assert(result == -error || (made && is_space(error)));
                ck_assert_str_eq(reason.rule, result < 0 ? "journal_missing" : "journal_space");
        }
}

START_TEST(what_fails_while_a_journal_is_made_is_told_and_the_next_one_makes_it) {
        static const int errors[] = { EIO, ENOSPC, EDQUOT, EFBIG };
        for (size_t i = 0; i < ELEMENTS(steps) * ELEMENTS(errors); i++) {
                int error = errors[i % ELEMENTS(errors)], r = -1;
                unsigned nth = steps[i / ELEMENTS(errors)].first, failures = 0;
                if (_i && steps[i / ELEMENTS(errors)].of_file_only)
                        continue;
                for (; nth < 64; nth++, failures++) {
                        (void)unlink(journal_path());
                        if (_i)
                                make_device(undo_journal_bytes(SEGMENT));
                        r = try_to_make(steps[i / ELEMENTS(errors)].call, nth, error);
                        if (r == UNDO_STORE_OK)
                                break;
                        expect_not_made(r, error);
                        ck_assert(!is_there("spare-7.new"));
                }
                ck_assert_int_eq(r, UNDO_STORE_OK);
                ck_assert_uint_gt(failures, 0);
        }
}
END_TEST

START_TEST(a_write_that_is_cut_short_makes_no_journal) {
        ck_assert_int_eq(try_to_make("pwrite", 1, 0), -EIO);
        ck_assert(!is_there("spare-7.undo"));
        struct undo_store_options options = making();
        fault.call = "openat", fault.nth = 2, fault.error = EIO; /* the first one looks for what is there */
        ck_assert_int_eq(open_once(&options), -EIO);
        fault.call = "openat", fault.nth = 2, fault.error = ENOENT; /* the directory went away */
        ck_assert_int_eq(open_once(&options), -ENOENT);
        make();
}
END_TEST

START_TEST(a_number_of_a_journal_is_never_zero) {
        fault.call = "getrandom", fault.nth = 1, fault.error = EINTR;
        make();
        ck_assert_uint_ne(head_now().journal_id, 0);
}
END_TEST

START_TEST(only_an_empty_device_is_made_a_journal) {
        static const uint64_t places[] = { 0, 4096, (1 << 20) - 512 };
        static const char byte = 1, zero = 0;
        make_device(undo_journal_bytes(SEGMENT));
        struct undo_store_options options = making();
        for (size_t i = 0; i < ELEMENTS(places); i++) {
                put(places[i], &byte, 1);
                expect_refused(&options, "journal_foreign");
                put(places[i], &zero, 1);
        }
        for (unsigned nth = 1; nth <= 3; nth++) { /* each head, and what is behind: nobody may be told to clear that */
                fault.call = "pread", fault.nth = nth, fault.error = EIO;
                ck_assert_int_eq(open_once(&options), -EIO);
                ck_assert_str_eq(reason.rule, "journal_missing");
        }
        options = finding();
        fault.call = "pread", fault.nth = 1, fault.error = EIO;
        ck_assert_int_eq(open_once(&options), -EIO); /* not: there is none */
        options = making();
        ck_assert_uint_eq(written_bytes, 0);
        make();
}
END_TEST

START_TEST(a_device_with_too_little_room_is_refused) {
        static const uint64_t sizes[] = { 64 << 10, 3 << 19 };
        static const char *const rules[] = { "journal_foreign", "journal_space" };
        make_device(sizes[_i]);
        struct undo_store_options options = making();
        expect_refused(&options, rules[_i]);
        ck_assert_uint_eq(written_bytes, 0);
}
END_TEST

START_TEST(a_journal_that_lost_its_end_is_damaged) {
        if (_i)
                make_device(undo_journal_bytes(SEGMENT));
        make();
        ck_assert_int_eq(truncate(journal_path(), (off_t)undo_journal_bytes(SEGMENT) - 4096), 0);
        struct undo_store_options options = making();
        expect_refused(&options, "journal_damaged");
}
END_TEST

START_TEST(a_file_of_somebody_else_is_not_touched) {
        struct undo_store_options options = making(), look = finding();
        char other[128];
        make();
        ck_assert_int_eq(chmod(journal_path(), 0640), 0);
        expect_refused(&options, "journal_damaged");
        ck_assert_int_eq(chmod(journal_path(), 0600), 0);
        text_format(other, sizeof other, "%s/other", directory);
        ck_assert_int_eq(link(journal_path(), other), 0);
        expect_refused(&options, "journal_damaged");
        ck_assert_int_eq(unlink(other), 0);
        if (geteuid() == 0) {
                ck_assert_int_eq(chown(journal_path(), 1, 1), 0);
                expect_refused(&options, "journal_damaged");
                ck_assert_int_eq(chown(journal_path(), 0, 0), 0);
        }
        ck_assert_int_eq(rename(journal_path(), other), 0);
        ck_assert_int_eq(symlink(other, journal_path()), 0);
        expect_refused(&options, "journal_damaged");
        ck_assert_int_eq(unlink(journal_path()), 0);
        ck_assert_int_eq(__real_mkdir(journal_path(), 0700), 0);
        look.look_only = true;
        expect_refused(&look, "journal_damaged");
}
END_TEST

START_TEST(what_is_no_journal_is_left_alone) {
        struct undo_store_options options = making();
        make();
        spoil(undo_head_offset(0));
        make(); /* one of the two is enough */
        spoil(undo_head_offset(1));
        expect_refused(&options, "journal_damaged");
        fault.call = "pread", fault.nth = 1, fault.error = EIO;
        ck_assert_int_eq(open_once(&options), -EIO);
}
END_TEST

START_TEST(a_journal_is_used_by_one_at_a_time_but_anybody_may_look) {
        if (_i)
                make_device(undo_journal_bytes(SEGMENT));
        struct undo_store_options options = making(), look = finding();
        struct undo_store *s = NULL;
        ck_assert_int_eq(undo_store_open(&s, &reason, &options), UNDO_STORE_OK);
        expect_refused(&options, "journal_in_use");
        look.look_only = true;
        ck_assert_int_eq(open_once(&look), UNDO_STORE_OK);
        undo_store_close(s);
        make();
        fault.call = "flock", fault.nth = 1, fault.error = EWOULDBLOCK;
        expect_refused(&options, "journal_in_use");
}
END_TEST

START_TEST(a_lock_of_either_kind_keeps_others_out) {
        struct undo_store_options options = making();
        fault.call = "fcntl", fault.nth = 1, fault.error = EAGAIN;
        expect_refused(&options, "journal_in_use"); /* of the file that was just made */
        fault.call = "fcntl", fault.nth = 1, fault.error = EAGAIN;
        expect_refused(&options, "journal_in_use");
        make();
}
END_TEST

/* What was written last may be in a cache only. */
START_TEST(a_journal_that_can_not_be_flushed_is_not_used) {
        if (_i)
                make_device(undo_journal_bytes(SEGMENT));
        make();
        struct undo_store_options options = making();
        for (unsigned nth = 1; nth <= (_i ? 1 : 2); nth++) { /* the file, and its directory */
                fault.call = "fsync", fault.nth = nth, fault.error = EIO;
                ck_assert_int_eq(open_once(&options), -EIO);
        }
}
END_TEST

static void make_target_another(unsigned how) {
        struct identity *i = &target.identity;
        switch (how) {
        case 0:
                i->kind = TARGET_KIND_PARTITION;
                break;
        case 1:
                target.size_bytes += 4096;
                break;
        case 2:
                text_copy(i->serial, sizeof i->serial, "ZA1235");
                break;
        case 3:
                text_copy(i->wwn, sizeof i->wwn, "0x5");
                break;
        case 4:
                text_copy(i->partuuid, sizeof i->partuuid, "77");
                break;
        case 5:
                text_copy(i->backing_file, sizeof i->backing_file, "/srv/image");
                break;
        default:
                i->partition_offset_bytes = 1 << 20;
                break;
        }
}

START_TEST(a_journal_of_another_target_is_made_anew_if_nothing_is_in_it) {
        if (_i >= 7)
                make_device(undo_journal_bytes(SEGMENT));
        make();
        uint64_t id = head_now().journal_id;
        make_target_another((unsigned)_i % 7);
        struct undo_store_options options = finding();
        options.target = &target;
        expect_refused(&options, "journal_foreign"); /* who only looks for it does not make one */
        make();
        ck_assert_uint_ne(head_now().journal_id, id);
}
END_TEST

enum { HELD_ARMED, HELD_PINNED, HELD_SHELVED, HELD_UNKNOWN, HELD_KINDS };

static void hold_something(unsigned kind) {
        uint8_t page[UNDO_PAGE_BYTES];
        struct undo_shelved shelved = { .record = 900, .place = { 4096, 512 }, .met_us = 1 };
        switch (kind) {
        case HELD_SHELVED:
                undo_shelved_write(page, head_now().journal_id, &shelved);
                put(undo_shelf_offset(SEGMENT, UNDO_SHELF_UNITS - 1), page, sizeof page);
                break;
        case HELD_ARMED:
        case HELD_PINNED:
                plant_both(1, kind == HELD_ARMED ? UNDO_ARMED : UNDO_PINNED, 5);
                break;
        default:
                break;
        }
}

START_TEST(a_journal_of_another_target_that_holds_something_is_refused) {
        unsigned kind = (unsigned)_i % HELD_KINDS;
        if (_i >= HELD_KINDS)
                make_device(undo_journal_bytes(SEGMENT));
        make();
        hold_something(kind);
        uint64_t id = head_now().journal_id;
        make_target_another(2);
        struct undo_store_options options = making();
        if (kind == HELD_UNKNOWN)
                fault.call = "pread", fault.nth = 2, fault.error = ENODEV; /* behind the head */
        written_bytes = 0;
        expect_refused(&options, "journal_foreign");
        ck_assert_uint_eq(written_bytes, 0);
        ck_assert_uint_eq(head_now().journal_id, id);
}
END_TEST

START_TEST(another_segment_makes_it_anew_only_if_nothing_is_in_it) {
        if (_i)
                make_device(undo_journal_bytes(2 * SEGMENT));
        make();
        plant_both(0, UNDO_ARMED, 5);
        struct undo_store_options options = making();
        options.segment_bytes = 2 * SEGMENT;
        ck_assert_int_eq(open_once(&options), UNDO_STORE_OK);
        ck_assert_uint_eq(head_now().segment_bytes, SEGMENT);
        plant_both(0, UNDO_FREE, 6);
        ck_assert_int_eq(open_once(&options), UNDO_STORE_OK);
        ck_assert_uint_eq(head_now().segment_bytes, 2 * SEGMENT);
}
END_TEST

START_TEST(the_head_keeps_enough_of_a_long_path) {
        memset(target.identity.backing_file, 'x', 1500);
        make();
        uint64_t id = head_now().journal_id;
        make();
        ck_assert_uint_eq(head_now().journal_id, id);
}
END_TEST

static struct undo_marker marker_at(unsigned slot, unsigned copy) {
        uint8_t page[UNDO_PAGE_BYTES];
        struct undo_marker marker = { 0 };
        get(undo_marker_offset(SEGMENT, slot, copy), page, sizeof page);
        ck_assert(undo_marker_read(&marker, page, head_now().journal_id));
        return marker;
}

START_TEST(copies_of_a_free_marker_that_differ_are_made_the_same) {
        unsigned newer = (unsigned)_i;
        make();
        plant(0, newer, UNDO_FREE, 9);
        plant(0, !newer, UNDO_ARMED, 8);
        spoil(undo_marker_offset(SEGMENT, 1, newer));
        make();
        for (unsigned copy = 0; copy < UNDO_MARKER_COPIES; copy++) {
                ck_assert_int_eq(marker_at(0, copy).state, UNDO_FREE);
                ck_assert_uint_eq(marker_at(0, copy).sequence, 9);
                ck_assert_uint_eq(marker_at(1, copy).sequence, 0);
        }
}
END_TEST

START_TEST(a_marker_that_is_armed_is_left_to_recovery) {
        make();
        plant(0, 0, UNDO_ARMED, 9);
        make();
        ck_assert_uint_eq(marker_at(0, 0).sequence, 9);
        ck_assert_uint_eq(marker_at(0, 1).sequence, 0);
}
END_TEST

START_TEST(one_copy_of_a_marker_that_can_be_read_is_enough) {
        struct undo_store_options options = making();
        make();
        for (unsigned nth = 2; nth <= 3; nth++) { /* behind the head: those of slot 0 */
                fault.call = "pread", fault.nth = nth, fault.error = EIO;
                ck_assert_int_eq(open_once(&options), UNDO_STORE_OK);
        }
}
END_TEST

START_TEST(a_slot_without_a_whole_marker_is_refused) {
        struct undo_store_options options = making();
        make();
        plant(1, 0, UNDO_FREE, 3);
        uint8_t page[UNDO_PAGE_BYTES];
        get(undo_marker_offset(SEGMENT, 1, 0), page, sizeof page);
        put(undo_marker_offset(SEGMENT, 0, 0), page, sizeof page); /* of the other slot */
        spoil(undo_marker_offset(SEGMENT, 0, 1));
        expect_refused(&options, "journal_damaged");
        options.segment_bytes *= 2; /* nor is it made anew */
        written_bytes = 0;
        expect_refused(&options, "journal_damaged");
        ck_assert_uint_eq(written_bytes, 0);
        fault.call = "pread", fault.nth = 2, fault.error = EIO; /* behind the head */
        options = making();
        ck_assert_int_eq(open_once(&options), -EIO);
}
END_TEST

START_TEST(markers_that_can_not_be_made_the_same_are_an_error) {
        struct undo_store_options options = making();
        make();
        fault.call = "pwrite", fault.nth = 1, fault.error = EIO;
        ck_assert_int_eq(open_once(&options), -EIO);
        fault.call = "fdatasync", fault.nth = 1, fault.error = EIO;
        ck_assert_int_eq(open_once(&options), -EIO);
        fault.call = "pwrite", fault.nth = 1, fault.error = 0;
        ck_assert_int_eq(open_once(&options), -EIO);
}
END_TEST

/* Opened to be looked at only, so that nothing is mended. */
static int state_of(struct undo_store_state *ret) {
        struct undo_store_options options = finding();
        struct undo_store *s = NULL;
        const char *call = STEAL(fault.call);
        ck_assert_int_eq(undo_store_open(&s, &reason, &options), UNDO_STORE_OK);
        fault.call = call;
        int r = undo_store_state(s, ret);
        undo_store_close(s);
        fault.call = NULL;
        return r;
}

START_TEST(what_a_journal_holds_is_counted) {
        struct undo_store_state state;
        make();
        plant(0, 0, UNDO_FREE, 7);
        plant(0, 1, UNDO_ARMED, 6); /* it was over */
        plant_both(1, UNDO_PINNED, 8);
        hold_something(HELD_SHELVED);
        ck_assert_int_eq(state_of(&state), 0);
        ck_assert_uint_eq(state.armed, 0);
        ck_assert_uint_eq(state.pinned, 1);
        ck_assert_uint_eq(state.shelved, 1);
        ck_assert_uint_eq(state.sequence, 8);
        ck_assert_uint_eq(state.record, 900);
        plant_both(0, UNDO_ARMED, 9);
        ck_assert_int_eq(state_of(&state), 0);
        ck_assert_uint_eq(state.armed, 1);
}
END_TEST

/* In the order of reads: both copies of slot 0, both of slot 1, the shelf. */
START_TEST(of_two_copies_one_is_enough_and_an_error_that_is_not_of_a_place_is_told) {
        struct undo_store_state state;
        make();
        plant_both(0, UNDO_ARMED, 6);
        for (unsigned copy = 1; copy <= 2; copy++) {
                fault.call = "pread", fault.nth = copy, fault.error = EIO;
                ck_assert_int_eq(state_of(&state), 0);
                ck_assert_uint_eq(state.armed, 1);
                fault.call = "pread", fault.nth = copy, fault.error = ENODEV;
                ck_assert_int_eq(state_of(&state), -ENODEV);
        }
        spoil(undo_marker_offset(SEGMENT, 0, 0));
        ck_assert_int_eq(state_of(&state), 0);
        ck_assert_uint_eq(state.armed, 1);
        hold_something(HELD_SHELVED);
        fault.call = "pread", fault.nth = 6, fault.error = EIO; /* the part of the shelf that holds the entry */
        ck_assert_int_eq(state_of(&state), 0);
        ck_assert_uint_eq(state.shelved, 1);
}
END_TEST

/* From the n-th on, all of them. */
static struct undo_store *broken_store;

START_TEST(two_copies_that_can_not_be_read_are_an_error) {
        struct undo_store_options options = making();
        struct undo_store_state state;
        ck_assert_int_eq(undo_store_open(&broken_store, &reason, &options), UNDO_STORE_OK);
        /* The file ends before its markers: both reads come back short. */
        ck_assert_int_eq(truncate(journal_path(), 8192), 0);
        ck_assert_int_eq(undo_store_state(broken_store, &state), -EIO);
        ck_assert_int_eq(undo_store_erase(broken_store), -EIO);
        undo_store_close(broken_store);
}
END_TEST

START_TEST(a_part_of_the_shelf_that_can_not_be_read_is_passed_by) {
        struct undo_store_options options = making();
        struct undo_store_state state;
        ck_assert_int_eq(undo_store_open(&broken_store, &reason, &options), UNDO_STORE_OK);
        ck_assert_int_eq(truncate(journal_path(), (off_t)undo_shelf_offset(SEGMENT, 3)), 0);
        ck_assert_int_eq(undo_store_state(broken_store, &state), 0);
        ck_assert_uint_eq(state.shelved, 0);
        undo_store_close(broken_store);
}
END_TEST

static void fill_slot(unsigned slot) {
        char bytes[4096];
        memset(bytes, 'o', sizeof bytes);
        put(undo_data_offset(SEGMENT, slot), bytes, sizeof bytes);
        put(undo_table_offset(SEGMENT, slot), bytes, sizeof bytes);
}

static bool is_zero(uint64_t offset) {
        char bytes[4096];
        static const char zeros[4096];
        get(offset, bytes, sizeof bytes);
        return memcmp(bytes, zeros, sizeof zeros) == 0;
}

START_TEST(originals_are_erased_once_nothing_is_armed) {
        struct undo_store_options options = finding();
        make();
        ck_assert_int_eq(undo_store_open(&broken_store, &reason, &options), UNDO_STORE_OK);
        static const enum undo_state states[] = { UNDO_ARMED, UNDO_PINNED, UNDO_FREE };
        for (size_t i = 0; i < ELEMENTS(states); i++)
                for (unsigned slot = 0; slot < UNDO_SLOTS; slot++) {
                        bool gone = states[i] == UNDO_FREE;
                        fill_slot(slot);
                        plant_both(slot, states[i], 10 + 2 * i + slot);
                        ck_assert_int_eq(undo_store_erase(broken_store), gone ? 0 : -EBUSY);
                        ck_assert(is_zero(undo_data_offset(SEGMENT, slot)) == gone);
                        ck_assert(is_zero(undo_table_offset(SEGMENT, slot)) == gone);
                        ck_assert_int_eq(marker_at(slot, 1).state, states[i]);
                        plant_both(slot, UNDO_FREE, 10 + 2 * i + slot);
                }
        undo_store_close(broken_store);
}
END_TEST

/* One copy was torn, and the other one of another slot, or unreadable. */
START_TEST(originals_of_a_slot_of_which_nobody_knows_are_kept) {
        struct undo_store_options options = finding();
        struct undo_store_state state;
        make();
        ck_assert_int_eq(undo_store_open(&broken_store, &reason, &options), UNDO_STORE_OK);
        fill_slot(0);
        uint8_t page[UNDO_PAGE_BYTES];
        get(undo_marker_offset(SEGMENT, 1, 0), page, sizeof page);
        put(undo_marker_offset(SEGMENT, 0, 0), page, sizeof page);
        spoil(undo_marker_offset(SEGMENT, 0, 1));
        ck_assert_int_eq(undo_store_state(broken_store, &state), 0);
        ck_assert_uint_eq(state.unknown, 1);
        ck_assert_int_eq(undo_store_erase(broken_store), -EUCLEAN);
        fault.call = "pread", fault.nth = 1, fault.error = EIO;
        ck_assert_int_eq(undo_store_erase(broken_store), -EIO);
        ck_assert(!is_zero(undo_data_offset(SEGMENT, 0)) && !is_zero(undo_table_offset(SEGMENT, 0)));
        fault.call = NULL;
        undo_store_close(broken_store);
}
END_TEST

START_TEST(an_error_while_erasing_is_told) {
        static const struct {
                const char *call;
                unsigned nth;
        } errors[] = { { "fdatasync", 1 }, { "fdatasync", 2 }, { "pwrite", 1 }, { "pwrite", 2 } };
        struct undo_store_options options = finding();
        make();
        ck_assert_int_eq(undo_store_open(&broken_store, &reason, &options), UNDO_STORE_OK);
        for (size_t i = 0; i < ELEMENTS(errors); i++) {
                fault.call = errors[i].call, fault.nth = errors[i].nth, fault.error = EIO;
                ck_assert_int_eq(undo_store_erase(broken_store), -EIO);
        }
        fault.call = NULL;
        ck_assert_int_eq(undo_store_erase(broken_store), 0);
        undo_store_close(broken_store);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("undo_store");
        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_loop_test(tests, a_journal_is_made_whole_private_and_once, 0, 2);
        tcase_add_loop_test(tests, a_new_journal_holds_nothing_and_tells_what_it_is, 0, 2);
        tcase_add_test(tests, file_systems_that_do_not_keep_what_they_took_are_refused);
        tcase_add_test(tests, a_mount_that_can_not_be_told_is_no_hindrance);
        tcase_add_loop_test(tests, a_journal_on_the_disk_of_its_target_is_refused, 0, 2);
        tcase_add_test(tests, a_file_whose_direct_writes_are_cached_is_no_journal);
        tcase_add_test(tests, where_a_disk_belongs_no_directory_is_made);
        tcase_add_test(tests, where_there_is_none_none_is_found);
        tcase_add_test(tests, a_directory_that_is_not_there_is_made);
        tcase_add_loop_test(tests, each_error_of_opening_has_its_rule, 0, 2);
        tcase_add_test(tests, without_memory_nothing_is_opened);
        tcase_add_loop_test(tests, what_fails_while_a_journal_is_made_is_told_and_the_next_one_makes_it, 0, 2);
        tcase_add_test(tests, a_write_that_is_cut_short_makes_no_journal);
        tcase_add_test(tests, a_number_of_a_journal_is_never_zero);
        tcase_add_test(tests, only_an_empty_device_is_made_a_journal);
        tcase_add_loop_test(tests, a_device_with_too_little_room_is_refused, 0, 2);
        tcase_add_loop_test(tests, a_journal_that_lost_its_end_is_damaged, 0, 2);
        tcase_add_test(tests, a_file_of_somebody_else_is_not_touched);
        tcase_add_test(tests, what_is_no_journal_is_left_alone);
        tcase_add_loop_test(tests, a_journal_is_used_by_one_at_a_time_but_anybody_may_look, 0, 2);
        tcase_add_test(tests, a_lock_of_either_kind_keeps_others_out);
        tcase_add_loop_test(tests, a_journal_that_can_not_be_flushed_is_not_used, 0, 2);
        tcase_add_loop_test(tests, a_journal_of_another_target_is_made_anew_if_nothing_is_in_it, 0, 14);
        tcase_add_loop_test(tests, a_journal_of_another_target_that_holds_something_is_refused, 0, 2 * HELD_KINDS);
        tcase_add_loop_test(tests, another_segment_makes_it_anew_only_if_nothing_is_in_it, 0, 2);
        tcase_add_test(tests, the_head_keeps_enough_of_a_long_path);
        tcase_add_loop_test(tests, copies_of_a_free_marker_that_differ_are_made_the_same, 0, 2);
        tcase_add_test(tests, a_marker_that_is_armed_is_left_to_recovery);
        tcase_add_test(tests, one_copy_of_a_marker_that_can_be_read_is_enough);
        tcase_add_test(tests, a_slot_without_a_whole_marker_is_refused);
        tcase_add_test(tests, markers_that_can_not_be_made_the_same_are_an_error);
        tcase_add_test(tests, what_a_journal_holds_is_counted);
        tcase_add_test(tests, of_two_copies_one_is_enough_and_an_error_that_is_not_of_a_place_is_told);
        tcase_add_test(tests, two_copies_that_can_not_be_read_are_an_error);
        tcase_add_test(tests, a_part_of_the_shelf_that_can_not_be_read_is_passed_by);
        tcase_add_test(tests, originals_are_erased_once_nothing_is_armed);
        tcase_add_test(tests, originals_of_a_slot_of_which_nobody_knows_are_kept);
        tcase_add_test(tests, an_error_while_erasing_is_told);
        return suite_run("undo_store", tests);
}
