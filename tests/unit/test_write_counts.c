/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel's counts prove, on a tree of files as sysfs has them: one disk, and partitions of it. What a kernel
 * really counts is test_engine's.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "media/engine.h"
#include "media/write_counts.h"
#include "suite.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/sweepd-counts-XXXXXX";

static void make_directory(const char *name) {
        char path[PATH_MAX];
        text_format(path, sizeof path, "%s/%s", root, name);
        ck_assert_int_eq(mkdir(path, 0755), 0);
}

static void make_file(const char *name, const char *text) {
        char path[PATH_MAX];
        text_format(path, sizeof path, "%s/%s", root, name);
        CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void set_written(const char *device, unsigned written, unsigned discarded) {
        char name[64], text[256];
        text_format(name, sizeof name, "%s/stat", device);
        text_format(text, sizeof text, "1 0 8 0 5 0 %u 0 0 1 1 1 0 %u 0 0 0\n", written, discarded);
        make_file(name, text);
}

static void set_number(const char *device, const char *attribute, unsigned number) {
        char name[64], text[32];
        text_format(name, sizeof name, "%s/%s", device, attribute);
        text_format(text, sizeof text, "%u\n", number);
        make_file(name, text);
}

static void make_partition(const char *device, unsigned number, unsigned first, unsigned count) {
        make_directory(device);
        set_number(device, "partition", number);
        set_number(device, "start", first);
        set_number(device, "size", count);
        set_written(device, 0, 0);
}

static struct engine_look look_at(const char *device) {
        char path[PATH_MAX];
        struct engine_look look = { 0 };
        text_format(path, sizeof path, "%s/%s", root, device);
        CLEANUP_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        text_format(path, sizeof path, "%s/disk", root);
        CLEANUP_CLOSE int whole = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        write_counts_read(&look, dir, whole);
        return look;
}

static void set_up(void) {
        text_copy(root, sizeof root, "/tmp/sweepd-counts-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(root));
        make_directory("disk");
        make_directory("disk/queue");
        make_directory("disk/device");
        set_number("disk/queue", "iostats", 1);
        make_partition("disk/disk1", 1, 2048, 4096);
        make_partition("disk/disk2", 2, 6144, 2048);
        set_written("disk", 100, 0);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
        (void)st, (void)flag, (void)ftw;
        return remove(path);
}

static void tear_down(void) {
        nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

START_TEST(a_disk_counts_all_that_goes_to_it_and_to_its_partitions) {
        struct engine_look before = look_at("disk");
        ck_assert(before.counts_known && before.counts_complete && before.around_of == 0);
        ck_assert_uint_eq(before.written_bytes, UINT64_C(100) * 512);
        set_written("disk", 120, 3);
        struct engine_look now = look_at("disk");
        ck_assert(engine_counts_all(&before, &now));
        ck_assert_uint_eq(engine_others_wrote(&before, &now, UINT64_C(20) * 512), UINT64_C(3) * 512);
        ck_assert_uint_eq(engine_others_wrote(&before, &now, UINT64_C(23) * 512), 0);
}
END_TEST

/* A loop device, dm, md: what is below can be written by other ways. Growth is somebody's all the same. */
START_TEST(what_has_no_hardware_behind_it_proves_nothing_by_standing_still) {
        char path[PATH_MAX];
        text_format(path, sizeof path, "%s/disk/device", root);
        ck_assert_int_eq(rmdir(path), 0);
        static const char *const devices[] = { "disk", "disk/disk1" };
        for (size_t i = 0; i < ELEMENTS(devices); i++) {
                struct engine_look before = look_at(devices[i]);
                ck_assert(before.counts_known && !before.counts_complete);
                set_written("disk", 120 + (unsigned)i, 0);
                struct engine_look now = look_at(devices[i]);
                ck_assert(!engine_counts_all(&before, &now));
                ck_assert_uint_gt(engine_others_wrote(&before, &now, 0), 0);
        }
}
END_TEST

START_TEST(a_write_to_the_whole_disk_is_seen_beside_those_to_its_partitions) {
        struct engine_look before = look_at("disk/disk1");
        ck_assert(before.counts_known && before.counts_complete && before.around_of != 0);
        set_written("disk/disk1", 16, 0); /* ours */
        set_written("disk/disk2", 7, 4);  /* lawful */
        set_written("disk", 123, 4);
        struct engine_look now = look_at("disk/disk1");
        ck_assert(engine_counts_all(&before, &now));
        ck_assert_uint_eq(engine_others_wrote(&before, &now, UINT64_C(16) * 512), 0);
        set_written("disk", 124, 4);
        now = look_at("disk/disk1");
        ck_assert_uint_eq(engine_others_wrote(&before, &now, UINT64_C(16) * 512), 512);
        set_written("disk/disk1", 24, 0); /* and somebody by way of it */
        set_written("disk", 132, 4);
        now = look_at("disk/disk1");
        ck_assert_uint_eq(engine_others_wrote(&before, &now, UINT64_C(16) * 512), UINT64_C(9) * 512);
}
END_TEST

START_TEST(partitions_that_come_and_go_or_overlap_leave_it_unknown) {
        struct engine_look before = look_at("disk/disk1");
        set_written("disk/disk2", 50, 0);
        make_partition("disk/disk3", 3, 8192, 2048);
        struct engine_look now = look_at("disk/disk1");
        ck_assert(now.counts_complete);
        ck_assert(!engine_counts_all(&before, &now));
        ck_assert_uint_eq(engine_others_wrote(&before, &now, 0), 0);
        for (unsigned first = 2047; first <= 6143; first += 4096) { /* a sector of its beginning, and of its end */
                set_number("disk/disk3", "start", first);
                set_number("disk/disk3", "size", first == 2047 ? 2 : 4);
                now = look_at("disk/disk1");
                ck_assert(now.counts_known && !now.counts_complete && now.around_of == 0);
        }
        set_number("disk/disk3", "start", 2047);
        set_number("disk/disk3", "size", 1);
        ck_assert(look_at("disk/disk1").counts_complete);
}
END_TEST

START_TEST(what_can_not_be_read_is_unknown) {
        static const char *const files[] = { "disk/disk2/stat", "disk/disk2/start", "disk/disk2/partition",
                "disk/disk1/size", "disk/stat" };
        for (size_t i = 0; i < ELEMENTS(files); i++) {
                make_file(files[i], "what?\n");
                struct engine_look look = look_at("disk/disk1");
                ck_assert(look.counts_known && !look.counts_complete && look.around_of == 0);
                tear_down();
                set_up();
        }
        make_file("disk/disk1/stat", "what?\n");
        ck_assert(!look_at("disk/disk1").counts_known);
        set_number("disk/queue", "iostats", 0);
        ck_assert(!look_at("disk").counts_known && !look_at("disk").counts_complete);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("write_counts");
        tcase_add_checked_fixture(tests, set_up, tear_down);
        tcase_add_test(tests, a_disk_counts_all_that_goes_to_it_and_to_its_partitions);
        tcase_add_test(tests, what_has_no_hardware_behind_it_proves_nothing_by_standing_still);
        tcase_add_test(tests, a_write_to_the_whole_disk_is_seen_beside_those_to_its_partitions);
        tcase_add_test(tests, partitions_that_come_and_go_or_overlap_leave_it_unknown);
        tcase_add_test(tests, what_can_not_be_read_is_unknown);
        return suite_run("write_counts", tests);
}
