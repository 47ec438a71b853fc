/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each kind of bus has its own words in the paths of sysfs. Here is a tree of links and directories as kernels make
 * them, with one disk of each kind that people have.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "media/topology.h"
#include "suite.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static char root[] = "/tmp/sweepd-topology-XXXXXX";

#define PCI "devices/pci0000:00/0000:00:1f.2"

static void make_directory(const char *path) {
        char part[PATH_MAX];
        for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                text_format(part, sizeof part, "%.*s", (int)(slash - path), path);
                mkdir(part, 0755);
        }
        mkdir(path, 0755);
}

static void make_file(const char *path, const char *text) {
        CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* A device's directory below the root, with its number and the link that leads from that to it. */
static void make_device(const char *at, unsigned number) {
        char path[PATH_MAX], dev[32], link[PATH_MAX];
        text_format(path, sizeof path, "%s/%s/holders", root, at);
        make_directory(path);
        text_format(path, sizeof path, "%s/%s/slaves", root, at);
        make_directory(path);
        text_format(dev, sizeof dev, "8:%u\n", number);
        text_format(path, sizeof path, "%s/%s/dev", root, at);
        make_file(path, dev);
        text_format(link, sizeof link, "../../%s", at);
        text_format(path, sizeof path, "%s/dev/block/8:%u", root, number);
        ck_assert_int_eq(symlink(link, path), 0);
}

static void make_partition(const char *at, unsigned number) {
        char path[PATH_MAX];
        make_device(at, number);
        text_format(path, sizeof path, "%s/%s/partition", root, at);
        make_file(path, "1\n");
}

/* upper stacks on lower. */
static void stack(const char *upper, const char *lower) {
        char path[PATH_MAX], target[PATH_MAX];
        text_format(path, sizeof path, "%s/%s/slaves/%s", root, upper, strrchr(lower, '/') + 1);
        text_format(target, sizeof target, "%s/%s", root, lower);
        ck_assert_int_eq(symlink(target, path), 0);
        text_format(path, sizeof path, "%s/%s/holders/%s", root, lower, strrchr(upper, '/') + 1);
        text_format(target, sizeof target, "%s/%s", root, upper);
        ck_assert_int_eq(symlink(target, path), 0);
}

enum {
        SDA = 1,
        SDB,
        SAS_1,
        SAS_2,
        NVME_1,
        NVME_2,
        NVME_SHARED,
        USB_DIRECT,
        USB_HUB_1,
        USB_HUB_2,
        VIRTIO,
        LOOP,
        MD,
        DM,
        ODD,
        SDA_1,
        SDB_1
};

static void set_up(void) {
        char path[PATH_MAX];
        ck_assert_ptr_nonnull(mkdtemp(root));
        text_format(path, sizeof path, "%s/dev/block", root);
        make_directory(path);
        make_device(PCI "/ata1/host0/target0:0:0/0:0:0:0/block/sda", SDA);
        make_partition(PCI "/ata1/host0/target0:0:0/0:0:0:0/block/sda/sda1", SDA_1);
        make_device(PCI "/ata2/host1/target1:0:0/1:0:0:0/block/sdb", SDB);
        make_partition(PCI "/ata2/host1/target1:0:0/1:0:0:0/block/sdb/sdb1", SDB_1);
        make_device(
                "devices/pci0000:80/0000:81:00.0/host6/port-6:0/end_device-6:0/target6:0:0/6:0:0:0/block/sdc", SAS_1);
        make_device(
                "devices/pci0000:80/0000:81:00.0/host6/port-6:1/end_device-6:1/target6:0:1/6:0:1:0/block/sdd", SAS_2);
        make_device("devices/pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1", NVME_1);
        make_device("devices/pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n2", NVME_2);
        make_device("devices/virtual/nvme-subsystem/nvme-subsys3/nvme3n1", NVME_SHARED);
        make_device("devices/pci0000:00/0000:00:14.0/usb2/2-3/2-3:1.0/host7/target7:0:0/7:0:0:0/block/sde", USB_DIRECT);
        make_device("devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1.4/2-1.4:1.0/host8/target8:0:0/8:0:0:0/block/sdf",
                USB_HUB_1);
        make_device("devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1.2/2-1.2:1.0/host9/target9:0:0/9:0:0:0/block/sdg",
                USB_HUB_2);
        make_device("devices/pci0000:00/0000:00:05.0/virtio2/block/vda", VIRTIO);
        make_device("devices/virtual/block/loop0", LOOP);
        make_device("devices/virtual/block/md0", MD);
        make_device("devices/virtual/block/dm-0", DM);
        make_device("devices/platform/odd/odd0", ODD);
        stack("devices/virtual/block/md0", PCI "/ata1/host0/target0:0:0/0:0:0:0/block/sda/sda1");
        stack("devices/virtual/block/md0", PCI "/ata2/host1/target1:0:0/1:0:0:0/block/sdb/sdb1");
        stack("devices/virtual/block/dm-0", "devices/virtual/block/md0");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static void tear_down(void) {
        nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        memcpy(root + strlen(root) - 6, "XXXXXX", 6);
}

static struct disk_place place_of(unsigned number) {
        struct disk_place p;
        topology_read(&p, root, makedev(8, number));
        return p;
}

static void assert_controllers(unsigned number, const char *all) {
        char found[1024] = "";
        struct disk_place p = place_of(number);
        for (size_t i = 0; i < p.controller_count; i++)
                text_append(found, sizeof found, "%s%s", i ? " " : "", p.controllers[i]);
        ck_assert_str_eq(found, all);
}

START_TEST(ports_of_one_ata_controller_belong_together) {
        assert_controllers(SDA, "0000:00:1f.2 md0");
        assert_controllers(SDB, "0000:00:1f.2 md0");
}
END_TEST

START_TEST(a_scsi_host_is_a_controller) {
        assert_controllers(SAS_1, "host6");
        assert_controllers(SAS_2, "host6");
}
END_TEST

START_TEST(namespaces_share_their_nvme_controller_or_subsystem) {
        assert_controllers(NVME_1, "nvme0");
        assert_controllers(NVME_2, "nvme0");
        assert_controllers(NVME_SHARED, "nvme-subsys3");
}
END_TEST

START_TEST(a_usb_disk_hangs_on_its_hub) {
        assert_controllers(USB_DIRECT, "usb2");
        assert_controllers(USB_HUB_1, "2-1");
        assert_controllers(USB_HUB_2, "2-1");
}
END_TEST

START_TEST(what_has_no_controller_shares_none) {
        assert_controllers(VIRTIO, "virtio2");
        assert_controllers(LOOP, "");
        assert_controllers(ODD, "");
        struct disk_place unknown = place_of(200);
        ck_assert_uint_eq(unknown.disk_count, 1);
        ck_assert_uint_eq(unknown.controller_count, 0);
}
END_TEST

START_TEST(an_array_is_its_disks_and_what_they_hang_on) {
        struct disk_place md = place_of(MD), dm = place_of(DM), sda = place_of(SDA), part = place_of(SDB_1);
        ck_assert(disk_place_has_controller(&md, "0000:00:1f.2"));
        ck_assert(disk_place_shares_disk(&md, &sda));
        ck_assert(disk_place_shares_disk(&dm, &sda));
        ck_assert(disk_place_shares_disk(&dm, &md));
        ck_assert(disk_place_shares_disk(&md, &part));
        ck_assert(!disk_place_shares_disk(&sda, &part));
        struct disk_place sas = place_of(SAS_1);
        ck_assert(!disk_place_shares_disk(&dm, &sas));
}
END_TEST

START_TEST(a_partition_is_on_its_disk) {
        struct disk_place sda = place_of(SDA), part = place_of(SDA_1);
        ck_assert(disk_place_shares_disk(&sda, &part));
        assert_controllers(SDA_1, "0000:00:1f.2 md0");
}
END_TEST

START_TEST(disks_of_one_array_wait_for_each_other) {
        struct disk_place sda = place_of(SDA), sdb = place_of(SDB);
        ck_assert(disk_place_has_controller(&sda, "md0"));
        ck_assert(disk_place_has_controller(&sdb, "md0"));
        ck_assert(!disk_place_shares_disk(&sda, &sdb));
}
END_TEST

static void set_text(const char *at, const char *attribute, const char *text) {
        char path[PATH_MAX];
        text_format(path, sizeof path, "%s/%s/%s", root, at, attribute);
        *strrchr(path, '/') = '\0';
        make_directory(path);
        path[strlen(path)] = '/';
        make_file(path, text);
}

/* A disk of its own, a partition of it, and dm devices one on the other. */
static dev_t counted_below(const char *const *uuids, size_t layers, const char *iostats) {
        static const char disk[] = "devices/virtio9/block/vdz", part[] = "devices/virtio9/block/vdz/vdz1";
        char below[PATH_MAX], at[PATH_MAX];
        unsigned number = 100;
        make_device(disk, number++);
        make_partition(part, number++);
        set_text(disk, "queue/iostats", iostats);
        text_copy(below, sizeof below, part);
        for (size_t i = 0; i < layers; i++) {
                text_format(at, sizeof at, "devices/virtual/block/dm-%zu", 10 + i);
                make_device(at, number);
                set_text(at, "dm/uuid", uuids[i]);
                set_text(at, "queue/iostats", "1\n");
                stack(at, below);
                text_copy(below, sizeof below, at);
                number++;
        }
        return topology_counted(root, makedev(8, number - 1));
}

START_TEST(a_volume_on_one_encrypted_disk_is_counted_there) {
        const char *uuids[] = { "CRYPT-LUKS2-0123-root\n", "LVM-abcdef\n" };
        ck_assert_uint_eq(counted_below(uuids, 2, "1\n"), makedev(8, 100));
}
END_TEST

START_TEST(what_changes_the_bytes_is_counted_itself) {
        const char *uuids[] = { "LVM-abcdef-vpool\n", "LVM-abcdef\n" };
        ck_assert_uint_eq(counted_below(uuids, 2, "1\n"), makedev(8, 103));
}
END_TEST

START_TEST(where_the_disk_below_counts_nothing_the_volume_does) {
        const char *uuids[] = { "LVM-abcdef\n" };
        ck_assert_uint_eq(counted_below(uuids, 1, "0\n"), makedev(8, 102));
}
END_TEST

START_TEST(arrays_and_plain_disks_are_counted_themselves) {
        set_text(PCI "/ata1/host0/target0:0:0/0:0:0:0/block/sda", "queue/iostats", "1\n");
        ck_assert_uint_eq(topology_counted(root, makedev(8, SDA)), makedev(8, SDA));
        ck_assert_uint_eq(topology_counted(root, makedev(8, MD)), makedev(8, MD));
        ck_assert_uint_eq(topology_counted(root, makedev(8, DM)), makedev(8, DM));
        ck_assert_uint_eq(topology_counted("/nonexistent", makedev(8, DM)), makedev(8, DM));
        set_text("devices/virtual/block/dm-0", "dm/uuid", "LVM-abcdef\n");
        ck_assert_uint_eq(topology_counted(root, makedev(8, DM)), makedev(8, DM));
}
END_TEST

START_TEST(without_sysfs_a_device_is_itself) {
        struct disk_place p;
        topology_read(&p, "/nonexistent", makedev(8, 16));
        ck_assert_uint_eq(p.disk_count, 1);
        ck_assert(disk_place_has_disk(&p, makedev(8, 16)));
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("topology");
        tcase_add_checked_fixture(tests, set_up, tear_down);
        tcase_add_test(tests, ports_of_one_ata_controller_belong_together);
        tcase_add_test(tests, a_scsi_host_is_a_controller);
        tcase_add_test(tests, namespaces_share_their_nvme_controller_or_subsystem);
        tcase_add_test(tests, a_usb_disk_hangs_on_its_hub);
        tcase_add_test(tests, what_has_no_controller_shares_none);
        tcase_add_test(tests, an_array_is_its_disks_and_what_they_hang_on);
        tcase_add_test(tests, a_partition_is_on_its_disk);
        tcase_add_test(tests, disks_of_one_array_wait_for_each_other);
        tcase_add_test(tests, a_volume_on_one_encrypted_disk_is_counted_there);
        tcase_add_test(tests, what_changes_the_bytes_is_counted_itself);
        tcase_add_test(tests, where_the_disk_below_counts_nothing_the_volume_does);
        tcase_add_test(tests, arrays_and_plain_disks_are_counted_themselves);
        tcase_add_test(tests, without_sysfs_a_device_is_itself);
        return suite_run("topology", tests);
}
