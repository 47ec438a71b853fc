/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel says of real loop devices, and what the interlock makes of it: each way in which a device may not be
 * overwritten, set up for real. Whatever is mounted is mounted in a namespace of the test's own.
 */
#include "media/target.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "loop_disk.h"
#include "media/engine.h"
#include "suite.h"
#include "sweep/interlock.h"

#include <linux/blkpg.h>
#include <linux/fs.h>
#include <sched.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

enum { DISK_BYTES = 16 << 20 };

static struct reason reason;

static int open_target(struct target **ret, const char *path, bool writable, const char *state_dir) {
        struct target_options options = { .path = path, .writable = writable, .state_dir = state_dir };
        memset(&reason, 0, sizeof reason);
        return target_open(ret, &reason, &options);
}

static struct target *opened(const char *path, bool writable) {
        struct target *t = NULL;
        ck_assert_msg(open_target(&t, path, writable, NULL) == TARGET_OK, "%s: %s", path, reason.found);
        return t;
}

/* The rule that refuses mode pattern, "" for none; destroys_data is what the target is. */
static const char *refusal(const struct target *t) {
        const struct target_facts *f = target_facts(t);
        struct device_config config = { .mode = MODE_PATTERN, .block_size_bytes = 512 << 10 };
        char identity[PATH_MAX];
        text_copy(identity, sizeof identity, identity_most_specific(&f->identity));
        config.destroys_data = identity;
        memset(&reason, 0, sizeof reason);
        ck_assert(interlock_permits(&reason, f, &config, NULL) == (reason.rule[0] == '\0'));
        return reason.rule;
}

static bool run(const char *program, const char *argument, const char *path) {
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
                int null = open("/dev/null", O_RDWR);
                dup2(null, STDOUT_FILENO);
                dup2(null, STDERR_FILENO);
                execlp(program, program, argument, path, (char *)NULL);
                _exit(127);
        }
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void private_mounts(void) {
        ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
        ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
}

static void new_directory(char path[static PATH_MAX], const char *name) {
        text_format(path, PATH_MAX, "%s/%s-%d", loop_disk_directory, name, (int)getpid());
        ck_assert_int_eq(mkdir(path, 0700), 0);
}

/* An ext4 on the device, mounted at a new directory. */
static void mount_ext4(const char *device, char point[static PATH_MAX], const char *name) {
        ck_assert_msg(run("mkfs.ext4", "-qF", device), "mkfs.ext4 does not work here");
        private_mounts();
        new_directory(point, name);
        ck_assert_int_eq(mount(device, point, "ext4", 0, NULL), 0);
}

static void write_at(int fd, const void *bytes, size_t length, off_t offset) {
        ck_assert_int_eq(pwrite(fd, bytes, length, offset), (ssize_t)length);
        ck_assert_int_eq(fsync(fd), 0);
}

START_TEST(a_loop_device_in_order_may_be_overwritten) {
        struct loop_disk disk;
        loop_disk_new(&disk, DISK_BYTES);
        struct target *t = opened(disk.path, true);
        const struct target_facts *f = target_facts(t);
        ck_assert_str_eq(refusal(t), "");
        ck_assert_uint_eq(f->size_bytes, DISK_BYTES);
        ck_assert_uint_eq(f->logical_block_bytes, 512);
        ck_assert_str_eq(f->identity.backing_file, disk.file);
        ck_assert_int_eq(f->identity.kind, TARGET_KIND_LOOP);
        ck_assert(f->disk == f->device && f->is_loop && f->loop_direct_io && !f->loop_sparse && !f->real);
        ck_assert(f->iostats && f->diskseq > 0 && f->nr_requests > 0 && f->max_io_bytes > 0 && f->write_cache_known);
        ck_assert_str_eq(f->identity.users, "");
        struct signature signatures[TARGET_SIGNATURES_MAX];
        ck_assert_int_eq(target_signatures(t, signatures, TARGET_SIGNATURES_MAX), 0);
        target_close(t);
}
END_TEST

START_TEST(what_is_no_block_device_is_refused_without_opening_it) {
        char fifo[PATH_MAX], file[PATH_MAX];
        struct target *t = NULL;
        text_format(fifo, sizeof fifo, "%s/fifo", loop_disk_directory);
        ck_assert_int_eq(mkfifo(fifo, 0600), 0);
        loop_disk_file(file, loop_disk_directory, 4096, true);
        const char *const paths[] = { fifo, file, "/dev/null", loop_disk_directory };
        for (size_t i = 0; i < ELEMENTS(paths); i++) {
                ck_assert_int_eq(open_target(&t, paths[i], i % 2 == 0, NULL), TARGET_E_NOT_BLOCK);
                ck_assert_str_eq(reason.rule, "not_block_device");
                ck_assert_ptr_nonnull(strstr(reason.found, paths[i]));
        }
        ck_assert_ptr_null(t);
}
END_TEST

START_TEST(a_device_that_is_not_there_is_missing) {
        struct target *t = NULL;
        ck_assert_int_eq(open_target(&t, "/dev/shm/no-such-device", false, NULL), TARGET_E_MISSING);
        ck_assert_str_eq(reason.rule, "missing");
        ck_assert_int_eq(open_target(&t, "/dev/null/below", true, NULL), TARGET_E_MISSING);
        ck_assert_ptr_null(t);
}
END_TEST

/* A node with a number that no driver has. */
START_TEST(a_node_without_a_device_is_missing) {
        char path[PATH_MAX];
        struct target *t = NULL;
        text_format(path, sizeof path, "/dev/sweepd-test-%d", (int)getpid());
        ck_assert_int_eq(mknod(path, S_IFBLK | 0600, makedev(4000, 1)), 0);
        int r = open_target(&t, path, false, NULL);
        unlink(path);
        ck_assert_int_eq(r, TARGET_E_MISSING);
        ck_assert_str_eq(reason.rule, "missing");
}
END_TEST

START_TEST(a_device_of_no_size_is_missing) {
        struct loop_disk disk;
        struct target *t = NULL;
        loop_disk_new(&disk, DISK_BYTES);
        ck_assert_int_eq(truncate(disk.file, 0), 0);
        ck_assert_int_eq(ioctl(disk.fd, LOOP_SET_CAPACITY, 0), 0);
        ck_assert_int_eq(open_target(&t, disk.path, false, NULL), TARGET_E_MISSING);
        ck_assert_str_eq(reason.rule, "missing");
}
END_TEST

START_TEST(a_file_with_a_hole_is_sparse) {
        struct loop_disk disk;
        char file[PATH_MAX];
        loop_disk_file(file, loop_disk_directory, DISK_BYTES, false);
        loop_disk_attach(&disk, file, LO_FLAGS_DIRECT_IO, 0);
        struct target *t = opened(disk.path, true);
        ck_assert_str_eq(refusal(t), "loop_sparse");
        target_close(t);
}
END_TEST

START_TEST(a_file_that_is_no_longer_there_counts_as_sparse) {
        struct loop_disk disk;
        loop_disk_new(&disk, DISK_BYTES);
        ck_assert_int_eq(unlink(disk.file), 0);
        struct target *t = opened(disk.path, true);
        ck_assert_str_eq(refusal(t), "loop_sparse");
        target_close(t);
        /* Another file in its place is not the one that is written to. */
        char taken[PATH_MAX + 16];
        text_format(taken, sizeof taken, "%s (deleted)", disk.file); /* as the kernel calls it now */
        int fd = open(taken, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        ck_assert_int_eq(fallocate(fd, 0, 0, DISK_BYTES), 0);
        close(fd);
        t = opened(disk.path, true);
        ck_assert_str_eq(refusal(t), "loop_sparse");
        target_close(t);
}
END_TEST

/* A file system with unwritten extents, where a search for holes would take what is allocated for one. */
START_TEST(allocated_but_never_written_is_not_sparse_on_ext4) {
        struct loop_disk below, full, holed;
        char point[PATH_MAX], file[PATH_MAX];
        loop_disk_new(&below, 4 * DISK_BYTES);
        mount_ext4(below.path, point, "ext4");
        loop_disk_file(file, point, DISK_BYTES, true);
        loop_disk_attach(&full, file, LO_FLAGS_DIRECT_IO, 0);
        struct target *t = opened(full.path, true);
        ck_assert_str_eq(refusal(t), "");
        target_close(t);
        /* One hole in the middle, and blocks past the end that make up for it in a mere count. */
        loop_disk_file(file, point, DISK_BYTES, true);
        int fd = open(file, O_RDWR | O_CLOEXEC);
        ck_assert_int_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 4096), 0);
        ck_assert_int_eq(fallocate(fd, FALLOC_FL_KEEP_SIZE, DISK_BYTES, 1 << 20), 0);
        close(fd);
        loop_disk_attach(&holed, file, LO_FLAGS_DIRECT_IO, 0);
        t = opened(holed.path, true);
        ck_assert_str_eq(refusal(t), "loop_sparse");
        target_close(t);
        close(full.fd);
        close(holed.fd);
}
END_TEST

START_TEST(a_loop_device_without_direct_io_is_refused) {
        struct loop_disk disk;
        char file[PATH_MAX];
        loop_disk_file(file, loop_disk_directory, DISK_BYTES, true);
        loop_disk_attach(&disk, file, 0, 0);
        struct target *t = opened(disk.path, true);
        ck_assert_str_eq(refusal(t), "loop_not_direct");
        target_close(t);
}
END_TEST

START_TEST(a_read_only_device_is_not_written_to) {
        struct loop_disk disk;
        char file[PATH_MAX];
        loop_disk_file(file, loop_disk_directory, DISK_BYTES, true);
        loop_disk_attach(&disk, file, LO_FLAGS_READ_ONLY | LO_FLAGS_DIRECT_IO, 0);
        struct target *t = NULL;
        int r = open_target(&t, disk.path, true, NULL);
        if (r == TARGET_OK)
                ck_assert_str_eq(refusal(t), "read_only");
        else
                ck_assert_int_eq(r, TARGET_E_READ_ONLY);
        ck_assert_str_eq(reason.rule, "read_only");
        target_close(t);
        t = opened(disk.path, false);
        ck_assert(target_facts(t)->read_only);
        target_close(t);
}
END_TEST

START_TEST(two_loop_devices_over_one_file_are_twins) {
        struct loop_disk a, b;
        char link_path[PATH_MAX];
        loop_disk_new(&a, DISK_BYTES);
        text_format(link_path, sizeof link_path, "%s.link", a.file);
        ck_assert_int_eq(link(a.file, link_path), 0); /* by another name: the file decides, not its path */
        loop_disk_attach(&b, link_path, LO_FLAGS_DIRECT_IO, 0);
        struct target *t = opened(a.path, true);
        ck_assert_str_eq(refusal(t), "twin");
        ck_assert_str_eq(target_facts(t)->twin, b.path + strlen("/dev/"));
        target_close(t);
        close(b.fd);
}
END_TEST

START_TEST(a_mounted_device_may_be_read_and_not_claimed) {
        struct loop_disk disk;
        char point[PATH_MAX];
        loop_disk_new(&disk, DISK_BYTES);
        mount_ext4(disk.path, point, "mounted at 100%");
        struct target *t = NULL;
        ck_assert_int_eq(open_target(&t, disk.path, true, NULL), TARGET_E_BUSY);
        ck_assert_ptr_null(t);
        ck_assert_str_eq(reason.rule, "in_use");
        ck_assert_msg(strstr(reason.found, point) != NULL, "%s", reason.found);
        t = opened(disk.path, false);
        ck_assert_str_eq(target_facts(t)->mounted, point);
        ck_assert_ptr_nonnull(strstr(target_facts(t)->identity.users, point));
        ck_assert_str_eq(refusal(t), "in_use");
        target_close(t);
}
END_TEST

START_TEST(a_claim_keeps_a_second_one_out) {
        struct loop_disk disk;
        loop_disk_new(&disk, DISK_BYTES);
        struct target *t = opened(disk.path, true), *second = NULL;
        ck_assert_int_eq(open_target(&second, disk.path, true, NULL), TARGET_E_BUSY);
        ck_assert_ptr_nonnull(strstr(reason.found, "claimed"));
        second = opened(disk.path, false);
        target_close(second);
        target_close(t);
        target_close(opened(disk.path, true));
}
END_TEST

static int opened_node(const char *path, int flags) {
        int fd = open(path, flags | O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        return fd;
}

/* As QEMU does: a read lock on bytes of its own, and a question for those of others. */
static bool machine_may_use(int fd) {
        struct flock bytes = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 4 };
        if (fcntl(fd, F_OFD_SETLK, &bytes) < 0)
                return false;
        bytes.l_type = F_WRLCK;
        ck_assert_int_eq(fcntl(fd, F_OFD_GETLK, &bytes), 0);
        return bytes.l_type == F_UNLCK;
}

static void assert_locked(const char *path, bool locked) {
        int as_udev = opened_node(path, O_RDONLY), as_machine = opened_node(path, O_RDWR);
        ck_assert_int_eq(flock(as_udev, LOCK_SH | LOCK_NB), locked ? -1 : 0);
        ck_assert(machine_may_use(as_machine) == !locked);
        close(as_udev);
        close(as_machine);
}

START_TEST(a_locked_target_keeps_out_those_who_ask_for_locks) {
        struct loop_disk disk;
        loop_disk_new(&disk, DISK_BYTES);
        struct target *t = opened(disk.path, true);
        assert_locked(disk.path, false);
        ck_assert_int_eq(target_lock(t, &reason), TARGET_OK);
        assert_locked(disk.path, true);
        /* Our own looks at it ask for none, and closing what they opened gives none back. */
        struct signature found[TARGET_SIGNATURES_MAX];
        ck_assert_int_eq(target_signatures(t, found, TARGET_SIGNATURES_MAX), 0);
        target_close(opened(disk.path, false));
        assert_locked(disk.path, true);
        target_close(t);
        assert_locked(disk.path, false);
}
END_TEST

START_TEST(a_lock_that_another_holds_is_refused) {
        struct loop_disk disk;
        loop_disk_new(&disk, DISK_BYTES);
        struct target *t = opened(disk.path, true);
        int other = opened_node(disk.path, O_RDONLY);
        ck_assert_int_eq(flock(other, LOCK_SH | LOCK_NB), 0);
        ck_assert_int_eq(target_lock(t, &reason), TARGET_E_BUSY);
        ck_assert_str_eq(reason.rule, "in_use");
        ck_assert_ptr_nonnull(strstr(reason.found, disk.path));
        target_close(t);
        ck_assert_int_eq(flock(other, LOCK_UN), 0);
        ck_assert(machine_may_use(other));
        t = opened(disk.path, true);
        ck_assert_int_eq(target_lock(t, &reason), TARGET_E_BUSY);
        close(other);
        ck_assert_int_eq(target_lock(t, &reason), TARGET_OK);
        target_close(t);
}
END_TEST

START_TEST(a_lock_that_udev_holds_for_a_moment_is_waited_for) {
        struct loop_disk disk;
        loop_disk_new(&disk, DISK_BYTES);
        struct target *t = opened(disk.path, true);
        int other = opened_node(disk.path, O_RDONLY);
        ck_assert_int_eq(flock(other, LOCK_SH | LOCK_NB), 0);
        pid_t child = fork();
        if (child == 0) {
                usleep(200000);
                flock(other, LOCK_UN); /* the lock is the open file's, whoever lets go */
                _exit(0);
        }
        ck_assert_int_eq(target_lock(t, &reason), TARGET_OK);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        close(other);
        target_close(t);
}
END_TEST

/* A file that the loop device's own file system holds is the state; and one that it does not. */
START_TEST(the_disk_under_the_state_directory_is_known) {
        struct loop_disk disk, other;
        char point[PATH_MAX], upper[PATH_MAX + 8], work[PATH_MAX + 8], merged[PATH_MAX], options[3 * PATH_MAX];
        loop_disk_new(&disk, DISK_BYTES);
        loop_disk_new(&other, DISK_BYTES);
        mount_ext4(disk.path, point, "state");
        struct target *t = NULL;
        ck_assert_int_eq(open_target(&t, disk.path, false, point), TARGET_OK);
        ck_assert(target_facts(t)->holds_state);
        t = target_close(t);
        ck_assert_int_eq(open_target(&t, other.path, true, point), TARGET_OK);
        ck_assert(!target_facts(t)->holds_state);
        t = target_close(t);
        ck_assert_int_eq(open_target(&t, other.path, true, loop_disk_directory), TARGET_OK);
        ck_assert_str_eq(refusal(t), "");
        t = target_close(t);
        ck_assert_int_eq(open_target(&t, other.path, true, "/no/such/directory"), TARGET_OK);
        ck_assert_str_eq(refusal(t), "state_disk"); /* can't be told */
        t = target_close(t);
        text_format(upper, sizeof upper, "%s/upper", point);
        text_format(work, sizeof work, "%s/work", point);
        new_directory(merged, "merged");
        ck_assert(mkdir(upper, 0700) == 0 && mkdir(work, 0700) == 0);
        text_format(options, sizeof options, "lowerdir=/usr,upperdir=%s,workdir=%s", upper, work);
        if (mount("overlay", merged, "overlay", 0, options) == 0) {
                ck_assert_int_eq(open_target(&t, disk.path, false, merged), TARGET_OK);
                ck_assert(target_facts(t)->holds_state);
                t = target_close(t);
                ck_assert_int_eq(open_target(&t, other.path, false, merged), TARGET_OK);
                ck_assert(!target_facts(t)->holds_state);
                t = target_close(t);
        }
}
END_TEST

START_TEST(an_odd_size_and_a_big_sector_are_told) {
        struct loop_disk odd, big;
        char file[PATH_MAX];
        loop_disk_new(&odd, DISK_BYTES + 512);
        struct target *t = opened(odd.path, true);
        ck_assert_uint_eq(target_facts(t)->size_bytes, DISK_BYTES + 512);
        ck_assert_str_eq(refusal(t), "");
        target_close(t);
        loop_disk_file(file, loop_disk_directory, DISK_BYTES, true);
        loop_disk_attach(&big, file, LO_FLAGS_DIRECT_IO, 4096);
        t = opened(big.path, true);
        ck_assert_uint_eq(target_facts(t)->logical_block_bytes, 4096);
        ck_assert_uint_eq(target_facts(t)->physical_block_bytes, 4096);
        ck_assert_str_eq(refusal(t), "");
        target_close(t);
}
END_TEST

START_TEST(a_path_that_leads_nowhere_or_elsewhere_is_noticed) {
        struct loop_disk a, b;
        char path[PATH_MAX];
        loop_disk_new(&a, DISK_BYTES);
        loop_disk_new(&b, DISK_BYTES);
        text_format(path, sizeof path, "%s/by-name", loop_disk_directory);
        ck_assert_int_eq(symlink(a.path, path), 0);
        struct target *t = opened(path, true);
        struct engine_look look;
        ck_assert_int_eq(target_look(t, &look), 0);
        ck_assert(!look.gone && !look.replaced && look.size_bytes == DISK_BYTES &&
                look.diskseq == target_facts(t)->diskseq);
        unlink(path);
        ck_assert_int_eq(target_look(t, &look), 0);
        ck_assert(look.gone && !look.replaced);
        ck_assert_int_eq(symlink(b.path, path), 0);
        ck_assert_int_eq(target_look(t, &look), 0);
        ck_assert(look.replaced && !look.gone);
        target_close(t);
}
END_TEST

START_TEST(a_changed_size_is_seen) {
        struct loop_disk disk;
        loop_disk_new(&disk, DISK_BYTES);
        struct target *t = opened(disk.path, true);
        ck_assert_int_eq(truncate(disk.file, DISK_BYTES / 2), 0);
        ck_assert_int_eq(ioctl(disk.fd, LOOP_SET_CAPACITY, 0), 0);
        struct engine_look look;
        ck_assert_int_eq(target_look(t, &look), 0);
        ck_assert_uint_eq(look.size_bytes, DISK_BYTES / 2);
        target_close(t);
}
END_TEST

/* Whoever looks at new devices may read it, too: but not each time. */
START_TEST(traffic_counts_every_byte_that_is_read_and_every_write) {
        enum { BYTES = 64 << 10, TRIES = 50 };
        struct loop_disk disk;
        loop_disk_new(&disk, DISK_BYTES);
        struct target *t = opened(disk.path, true);
        CLEANUP_FREE void *buffer = aligned_alloc(4096, BYTES);
        struct engine_traffic before, after;
        bool exact = false;
        for (int i = 0; i < TRIES && !exact; i++) {
                ck_assert(target_traffic(t, &before));
                ck_assert_int_eq(pread(target_fd(t), buffer, BYTES, 0), BYTES);
                ck_assert(target_traffic(t, &after));
                exact = after.read_bytes - before.read_bytes == BYTES && after.changes == before.changes;
        }
        ck_assert(exact);
        ck_assert_int_eq(pwrite(target_fd(t), buffer, BYTES, 0), BYTES);
        ck_assert(target_traffic(t, &after));
        ck_assert_uint_gt(after.changes, before.changes);
        target_close(t);
}
END_TEST

static struct signature signatures[TARGET_SIGNATURES_MAX];

static int find_signatures(const struct loop_disk *disk) {
        struct target *t = opened(disk->path, true);
        int found = target_signatures(t, signatures, TARGET_SIGNATURES_MAX);
        target_close(t);
        return found;
}

static bool found_type(int found, const char *type) {
        for (int i = 0; i < found; i++)
                if (strcmp(signatures[i].type, type) == 0)
                        return true;
        return false;
}

START_TEST(file_systems_and_swap_are_found_at_their_place) {
        struct loop_disk disk;
        loop_disk_new(&disk, DISK_BYTES);
        ck_assert(run("mkfs.ext4", "-qF", disk.path));
        ck_assert_int_eq(find_signatures(&disk), 1);
        ck_assert_str_eq(signatures[0].type, "ext4");
        ck_assert_uint_eq(signatures[0].offset_bytes, 1024 + 0x38);
        ck_assert_uint_eq(signatures[0].length_bytes, 2);
        ck_assert(!signatures[0].member);
        struct loop_disk swap;
        loop_disk_new(&swap, DISK_BYTES);
        ck_assert(run("mkswap", "-f", swap.path));
        ck_assert_int_eq(find_signatures(&swap), 1);
        ck_assert_str_eq(signatures[0].type, "swap");
}
END_TEST

/* A GPT, with its first copy whole, and with the one at the end alone. */
START_TEST(a_partition_table_is_found_also_at_the_end) {
        struct loop_disk disk;
        loop_disk_new(&disk, DISK_BYTES);
        if (!run("sh", "-c", "command -v sfdisk")) {
                printf("left out: needs sfdisk\n");
                return;
        }
        char command[PATH_MAX];
        text_format(command, sizeof command, "printf 'label: gpt\\nstart=2048,size=8192\\n' | sfdisk -q --no-reread %s",
                disk.path);
        run("sh", "-c", command); /* fails only in telling the kernel */
        int found = find_signatures(&disk);
        ck_assert_int_ge(found, 1);
        ck_assert(found_type(found, "gpt"));
        static const char zeros[64 << 10];
        write_at(disk.fd, zeros, sizeof zeros, 0);
        found = find_signatures(&disk);
        ck_assert_int_ge(found, 1);
        ck_assert(found_type(found, "gpt"));
        ck_assert_uint_ge(signatures[0].offset_bytes, DISK_BYTES - 512);
        write_at(disk.fd, zeros, sizeof zeros, DISK_BYTES - (off_t)sizeof zeros);
        ck_assert_int_eq(find_signatures(&disk), 0);
}
END_TEST

/* As laid down in the kernel's md_p.h: version 1.2 has its superblock at 4096, version 1.0 at the end. */
START_TEST(a_member_of_an_array_is_never_forgiven) {
        struct loop_disk disk;
        loop_disk_new(&disk, DISK_BYTES);
        uint32_t superblock[64] = { 0xa92b4efc, 1 };
        superblock[4] = 0x12345678; /* of the array's UUID */
        superblock[144 / 4] = 4096 / 512;
        write_at(disk.fd, superblock, sizeof superblock, 4096);
        int found = find_signatures(&disk);
        ck_assert_int_ge(found, 1);
        ck_assert_str_eq(signatures[0].type, "linux_raid_member");
        ck_assert(signatures[0].member);
        struct target *t = opened(disk.path, false);
        ck_assert_int_eq(interlock_signatures_permit(&reason, target_facts(t), MODE_PATTERN, signatures, found),
                SIGNATURES_FORBIDDEN);
        ck_assert_str_eq(reason.rule, "member");
        target_close(t);
}
END_TEST

START_TEST(random_bytes_are_no_signature) {
        struct loop_disk disk;
        loop_disk_new(&disk, DISK_BYTES);
        for (uint64_t seed = 1; seed <= 4; seed++) {
                CLEANUP_FREE uint64_t *bytes = malloc(DISK_BYTES);
                uint64_t state = seed;
                for (size_t i = 0; i < DISK_BYTES / sizeof *bytes; i++)
                        bytes[i] = suite_random(&state);
                write_at(disk.fd, bytes, DISK_BYTES, 0);
                ASSERT_SEEDED(seed, find_signatures(&disk) == 0);
        }
}
END_TEST

/* What was written past the page cache is found, whatever an earlier look has left there. */
START_TEST(a_signature_is_found_behind_a_stale_cache) {
        struct loop_disk disk;
        loop_disk_new(&disk, DISK_BYTES);
        ck_assert_int_eq(find_signatures(&disk), 0);
        CLEANUP_FREE char *cached = calloc(1, 1 << 20);
        ck_assert_int_eq(pread(disk.fd, cached, 1 << 20, 0), 1 << 20);
        int file = open(disk.file, O_RDWR | O_CLOEXEC);
        static const char magic[] = "SWAPSPACE2";
        uint32_t version = 1, last_page = 4095;
        write_at(file, magic, strlen(magic), 4096 - 10);
        write_at(file, &version, sizeof version, 1024);
        write_at(file, &last_page, sizeof last_page, 1028);
        close(file);
        int found = find_signatures(&disk);
        ck_assert_int_eq(found, 1);
        ck_assert_str_eq(signatures[0].type, "swap");
}
END_TEST

START_TEST(more_signatures_than_there_is_room_for_are_no_answer) {
        struct loop_disk disk;
        loop_disk_new(&disk, DISK_BYTES);
        ck_assert(run("mkfs.ext4", "-qF", disk.path));
        struct target *t = opened(disk.path, true);
        ck_assert_int_eq(target_signatures(t, signatures, 0), -E2BIG);
        target_close(t);
}
END_TEST

enum { PARTITION_START = 1 << 20, PARTITION_BYTES = 4 << 20 };

/* Adds the table's only partition to the kernel's view, where the kernel did not read the table by itself. */
static bool add_partition(const struct loop_disk *disk, char path[static 64]) {
        char command[PATH_MAX];
        text_format(command, sizeof command, "printf 'label: gpt\\nstart=2048,size=8192\\n' | sfdisk -q --no-reread %s",
                disk->path);
        run("sh", "-c", command);
        text_format(path, 64, "%sp1", disk->path);
        struct blkpg_partition p = { .start = PARTITION_START, .length = PARTITION_BYTES, .pno = 1 };
        struct blkpg_ioctl_arg argument = { .op = BLKPG_ADD_PARTITION, .datalen = sizeof p, .data = &p };
        if (access(path, F_OK) < 0 && ioctl(disk->fd, BLKPG, &argument) < 0)
                return false;
        for (unsigned tries = 0; tries < 100 && access(path, F_OK) < 0; tries++)
                usleep(10000);
        return access(path, F_OK) == 0;
}

static void remove_partition(const struct loop_disk *disk) {
        struct blkpg_partition p = { .pno = 1 };
        struct blkpg_ioctl_arg argument = { .op = BLKPG_DEL_PARTITION, .datalen = sizeof p, .data = &p };
        ck_assert_int_eq(ioctl(disk->fd, BLKPG, &argument), 0);
}

static void partitioned(struct loop_disk *disk, char path[static 64]) {
        char file[PATH_MAX];
        loop_disk_file(file, loop_disk_directory, DISK_BYTES, true);
        /* With a scan of partitions, so that they go when the device detaches. */
        loop_disk_attach(disk, file, LO_FLAGS_DIRECT_IO | LO_FLAGS_PARTSCAN, 0);
        ck_assert_msg(add_partition(disk, path), "no partitions here");
}

START_TEST(a_partition_knows_its_uuid_and_its_disk) {
        struct loop_disk disk;
        char path[64];
        partitioned(&disk, path);
        struct target *t = opened(path, true);
        const struct target_facts *f = target_facts(t);
        ck_assert_int_eq(f->identity.kind, TARGET_KIND_PARTITION);
        ck_assert_uint_eq(f->identity.partition_offset_bytes, PARTITION_START);
        ck_assert_uint_eq(f->size_bytes, PARTITION_BYTES);
        ck_assert_msg(strlen(f->identity.partuuid) == 36, "PARTUUID \"%s\"", f->identity.partuuid);
        ck_assert(f->device != f->disk && f->is_loop && f->loop_direct_io);
        ck_assert_str_eq(f->twin, "");
        ck_assert_str_eq(refusal(t), "");
        struct target *whole = NULL;
        ck_assert_int_eq(open_target(&whole, disk.path, true, NULL), TARGET_E_BUSY);
        whole = opened(disk.path, false);
        ck_assert_str_eq(target_facts(whole)->partitions, path + strlen("/dev/"));
        ck_assert(target_facts(whole)->device == f->disk);
        target_close(whole);
        target_close(t);
        remove_partition(&disk);
}
END_TEST

START_TEST(a_partition_locks_its_disk) {
        struct loop_disk disk;
        char path[64];
        partitioned(&disk, path);
        struct target *t = opened(path, true);
        ck_assert_int_eq(target_lock(t, &reason), TARGET_OK);
        assert_locked(disk.path, true);
        int partition = opened_node(path, O_RDWR);
        ck_assert(!machine_may_use(partition));
        close(partition);
        target_close(t);
        assert_locked(disk.path, false);
        t = opened(path, true);
        int other = opened_node(disk.path, O_RDWR);
        ck_assert(machine_may_use(other));
        ck_assert_int_eq(target_lock(t, &reason), TARGET_E_BUSY);
        close(other);
        target_close(t);
        remove_partition(&disk);
}
END_TEST

START_TEST(a_disk_is_in_use_when_a_partition_is_mounted) {
        struct loop_disk disk;
        char path[64], point[PATH_MAX];
        partitioned(&disk, path);
        mount_ext4(path, point, "partition");
        struct target *t = NULL;
        ck_assert_int_eq(open_target(&t, disk.path, true, point), TARGET_E_BUSY);
        ck_assert_msg(strstr(reason.found, point) != NULL, "%s", reason.found);
        ck_assert_int_eq(open_target(&t, disk.path, false, point), TARGET_OK);
        ck_assert_str_eq(refusal(t), "in_use");
        ck_assert(target_facts(t)->holds_state);
        t = target_close(t);
        ck_assert_int_eq(umount(point), 0);
        remove_partition(&disk);
}
END_TEST

static void add_signature_tests(TCase *tests) {
        tcase_add_test(tests, file_systems_and_swap_are_found_at_their_place);
        tcase_add_test(tests, a_partition_table_is_found_also_at_the_end);
        tcase_add_test(tests, a_member_of_an_array_is_never_forgiven);
        tcase_add_test(tests, random_bytes_are_no_signature);
        tcase_add_test(tests, a_signature_is_found_behind_a_stale_cache);
        tcase_add_test(tests, more_signatures_than_there_is_room_for_are_no_answer);
}

int main(void) {
        const char *missing = loop_disk_set_up();
        if (missing) {
                printf("skipped: %s\n", missing);
                return LOOP_DISK_SKIP;
        }
        TCase *tests = tcase_create("target");
        tcase_add_test(tests, a_loop_device_in_order_may_be_overwritten);
        tcase_add_test(tests, what_is_no_block_device_is_refused_without_opening_it);
        tcase_add_test(tests, a_device_that_is_not_there_is_missing);
        tcase_add_test(tests, a_node_without_a_device_is_missing);
        tcase_add_test(tests, a_device_of_no_size_is_missing);
        tcase_add_test(tests, a_file_with_a_hole_is_sparse);
        tcase_add_test(tests, a_file_that_is_no_longer_there_counts_as_sparse);
        tcase_add_test(tests, allocated_but_never_written_is_not_sparse_on_ext4);
        tcase_add_test(tests, a_loop_device_without_direct_io_is_refused);
        tcase_add_test(tests, a_read_only_device_is_not_written_to);
        tcase_add_test(tests, two_loop_devices_over_one_file_are_twins);
        tcase_add_test(tests, a_mounted_device_may_be_read_and_not_claimed);
        tcase_add_test(tests, a_claim_keeps_a_second_one_out);
        tcase_add_test(tests, a_locked_target_keeps_out_those_who_ask_for_locks);
        tcase_add_test(tests, a_lock_that_another_holds_is_refused);
        tcase_add_test(tests, a_lock_that_udev_holds_for_a_moment_is_waited_for);
        tcase_add_test(tests, the_disk_under_the_state_directory_is_known);
        tcase_add_test(tests, an_odd_size_and_a_big_sector_are_told);
        tcase_add_test(tests, a_path_that_leads_nowhere_or_elsewhere_is_noticed);
        tcase_add_test(tests, a_changed_size_is_seen);
        tcase_add_test(tests, traffic_counts_every_byte_that_is_read_and_every_write);
        tcase_add_test(tests, a_partition_knows_its_uuid_and_its_disk);
        tcase_add_test(tests, a_partition_locks_its_disk);
        tcase_add_test(tests, a_disk_is_in_use_when_a_partition_is_mounted);
        add_signature_tests(tests);
        int r = suite_run("target", tests);
        loop_disk_tear_down();
        return r;
}
