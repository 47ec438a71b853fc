/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks that no test machine has (SCSI, NVMe, multipath, enclosures), as trees laid out like the kernel's and put over
 * /sys in a mount namespace of the test's own.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "media/disk_probe.h"
#include "media/disk_set.h"
#include "media/identity_probe.h"
#include "media/mounts.h"
#include "media/sysfs.h"
#include "media/target.h"
#include "media/users.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static void make_parents(char *path) {
        for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                ck_assert(mkdir(path, 0755) == 0 || errno == EEXIST);
                *slash = '/';
        }
}

static void put_bytes(const char *below, const void *bytes, size_t length) {
        char path[PATH_MAX];
        text_format(path, sizeof path, "/sys/%s", below);
        make_parents(path);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        ck_assert_msg(fd >= 0, "%s", path);
        ck_assert_int_eq(write(fd, bytes, length), (ssize_t)length);
        close(fd);
}

static void put(const char *device, const char *attribute, const char *text) {
        char path[PATH_MAX];
        text_format(path, sizeof path, "devices/%s/%s", device, attribute);
        put_bytes(path, text, strlen(text));
}

static void put_link(const char *below, const char *to) {
        char path[PATH_MAX];
        text_format(path, sizeof path, "/sys/%s", below);
        make_parents(path);
        ck_assert_int_eq(symlink(to, path), 0);
}

/* A block device, known by name and by number. */
static void put_device(const char *device, unsigned device_major, unsigned device_minor, bool whole) {
        char text[64], path[PATH_MAX], to[PATH_MAX];
        text_format(text, sizeof text, "%u:%u\n", device_major, device_minor);
        put(device, "dev", text);
        text_format(path, sizeof path, "dev/block/%u:%u", device_major, device_minor);
        text_format(to, sizeof to, "../../devices/%s", device);
        put_link(path, to);
        if (!whole)
                return;
        text_format(path, sizeof path, "block/%s", device);
        text_format(to, sizeof to, "../devices/%s", device);
        put_link(path, to);
        put(device, "queue/iostats", "1\n");
        put(device, "queue/zoned", "none\n");
        put(device, "queue/max_sectors_kb", "1280\n");
        put(device, "queue/nr_requests", "64\n");
        put(device, "queue/write_cache", "write back\n");
}

static void put_scsi(
        const char *device, unsigned device_minor, const char *vendor, const char *serial, const char *wwid) {
        put_device(device, 8, device_minor, true);
        put(device, "device/vendor", vendor);
        put(device, "device/model", "ST4000NM0035-1V4\n");
        put(device, "device/rev", "TN03\n");
        put(device, "device/wwid", wwid);
        put(device, "device/scsi_disk/0:0:0:0/thin_provisioning", "0\n");
        uint8_t page[4 + 20] = { 0, 0x80, 0, 20 };
        memset(page + 4, ' ', 20);
        memcpy(page + 4 + 20 - strlen(serial), serial, strlen(serial));
        char path[PATH_MAX];
        text_format(path, sizeof path, "devices/%s/device/vpd_pg80", device);
        put_bytes(path, page, sizeof page);
}

/* As main() has found that it works. */
static void fake_sysfs(void) {
        ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
        ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        ck_assert_int_eq(mount("fake", "/sys", "tmpfs", 0, NULL), 0);
}

static void probe(struct identity *identity, struct target_facts *facts, dev_t device) {
        int dir = sysfs_open(device), whole = sysfs_open_whole(dir);
        ck_assert_int_ge(whole, 0);
        identity_probe(identity, device, dir, whole);
        *facts = (struct target_facts){ .device = device };
        disk_probe(facts, whole);
        close(whole);
        close(dir);
}

static struct identity identity;
static struct target_facts facts;

START_TEST(a_scsi_disk_is_known_by_its_pages) {
        put_scsi("sda", 0, "SEAGATE\n", "ZA1234", "naa.5000c500a1b2c3d4\n");
        put_link("class/enclosure/0:0:8:0/Slot 03/device/block/sda", "../../../../../../devices/sda");
        probe(&identity, &facts, makedev(8, 0));
        ck_assert_int_eq(identity.kind, TARGET_KIND_DISK);
        ck_assert_str_eq(identity.serial, "ZA1234");
        ck_assert_str_eq(identity.wwn, "0x5000c500a1b2c3d4");
        ck_assert_str_eq(identity.model, "ST4000NM0035-1V4");
        ck_assert_str_eq(identity.firmware, "TN03");
        ck_assert_str_eq(identity.slot, "enclosure 0:0:8:0, Slot 03");
        ck_assert(facts.real && facts.iostats && !facts.zoned && !facts.thin);
        ck_assert(facts.write_cache_known && facts.write_cache);
        ck_assert_uint_eq(facts.max_io_bytes, 1280 << 10);
        ck_assert_uint_eq(facts.nr_requests, 64);
        ck_assert(!facts.discards);
        put("sda", "queue/discard_max_bytes", "0\n");
        probe(&identity, &facts, makedev(8, 0));
        ck_assert(!facts.discards);
        put("sda", "queue/discard_max_bytes", "2147450880\n");
        probe(&identity, &facts, makedev(8, 0));
        ck_assert(facts.discards);
}
END_TEST

START_TEST(a_partition_has_the_identity_of_its_disk) {
        put_scsi("sda", 0, "SEAGATE\n", "ZA1234", "naa.5000c500a1b2c3d4\n");
        put_device("sda/sda1", 8, 1, false);
        put("sda/sda1", "partition", "1\n");
        put("sda/sda1", "start", "2048\n");
        put("sda/sda1", "size", "8192\n");
        probe(&identity, &facts, makedev(8, 1));
        ck_assert_int_eq(identity.kind, TARGET_KIND_PARTITION);
        ck_assert_str_eq(identity.serial, "ZA1234");
        ck_assert_uint_eq(identity.partition_offset_bytes, 1 << 20);
        ck_assert(facts.real && facts.iostats);
}
END_TEST

START_TEST(thin_is_what_the_page_says_and_never_a_sata_ssd) {
        uint8_t page[64] = { 0, 0xb2, 0, 4, 0, 0xe0, 2, 0 };
        put_scsi("sda", 0, "LIO-ORG\n", "1", "naa.6000000000000001\n");
        put("sda", "device/scsi_disk/0:0:0:0/thin_provisioning", "1\n");
        probe(&identity, &facts, makedev(8, 0));
        ck_assert(facts.thin); /* all that an old kernel tells */
        put("sda", "device/vendor", "ATA     \n");
        probe(&identity, &facts, makedev(8, 0));
        ck_assert(!facts.thin);
        put_bytes("devices/sda/device/vpd_pgb2", page, sizeof page);
        probe(&identity, &facts, makedev(8, 0));
        ck_assert(facts.thin);
        put("sda", "device/vendor", "HGST\n");
        page[6] = 1; /* resource-provisioned: every block is there */
        put_bytes("devices/sda/device/vpd_pgb2", page, sizeof page);
        probe(&identity, &facts, makedev(8, 0));
        ck_assert(!facts.thin);
}
END_TEST

START_TEST(an_nvme_namespace_is_known_by_its_wwid) {
        put_device("nvme0n1", 259, 0, true);
        put("nvme0n1", "wwid", "eui.0025385991b12345\n");
        put("nvme0n1", "device/serial", "S4EV   \n");
        put("nvme0n1", "device/model", "Samsung SSD 970   \n");
        put("nvme0n1", "device/firmware_rev", "2B2Q\n");
        probe(&identity, &facts, makedev(259, 0));
        ck_assert_str_eq(identity.wwn, "eui.0025385991b12345");
        ck_assert_str_eq(identity.serial, "S4EV");
        ck_assert_str_eq(identity.model, "Samsung SSD 970");
        ck_assert_str_eq(identity.firmware, "2B2Q");
}
END_TEST

START_TEST(odd_attributes_are_unknown) {
        put_device("sda", 8, 0, true);
        put("sda", "device/serial", "  \n");
        put("sda", "device/wwid", "t10.ATA     ST4000\n");
        put("sda", "device/model", "a\001b\n");
        put("sda", "queue/iostats", "many\n");
        put("sda", "queue/zoned", "host-managed\n");
        put("sda", "queue/nr_requests", "99999999999999999999999\n");
        put_bytes("devices/sda/device/vpd_pg80", "\0\x80\xff\xff", 4);
        put_bytes("devices/sda/device/vpd_pgb2", "\0", 1);
        probe(&identity, &facts, makedev(8, 0));
        ck_assert_str_eq(identity.serial, "");
        ck_assert_str_eq(identity.wwn, "");
        ck_assert_str_eq(identity.model, "a?b");
        ck_assert(!facts.iostats && facts.zoned && facts.nr_requests == 0 && !facts.thin);
}
END_TEST

static const char *twin_of(dev_t device) {
        static char twin[256];
        struct disk_set below = { 0 };
        disk_set_add(&below, device);
        probe(&identity, &facts, device);
        identity_twin(twin, sizeof twin, &identity, &below);
        return twin;
}

START_TEST(a_second_path_to_one_disk_is_a_twin) {
        put_scsi("sda", 0, "SEAGATE\n", "ZA1", "naa.5000c500a1b2c3d4\n");
        put_scsi("sdb", 16, "SEAGATE\n", "ZA2", "naa.5000c500a1b2ffff\n");
        ck_assert_str_eq(twin_of(makedev(8, 0)), "");
        put_scsi("sdc", 32, "SEAGATE\n", "ZA1", "naa.5000c500a1b2c3d4\n");
        ck_assert_str_eq(twin_of(makedev(8, 0)), "sdc");
        ck_assert_str_eq(twin_of(makedev(8, 32)), "sda");
        ck_assert_str_eq(twin_of(makedev(8, 16)), "");
        /* A hidden one is a path that nobody can open. */
        put("sdc", "hidden", "1\n");
        ck_assert_str_eq(twin_of(makedev(8, 0)), "");
}
END_TEST

START_TEST(without_a_wwn_model_and_serial_make_a_twin) {
        put_scsi("sda", 0, "SEAGATE\n", "ZA1", "\n");
        put_scsi("sdb", 16, "SEAGATE\n", "ZA1", "naa.5000c500a1b2ffff\n");
        ck_assert_str_eq(twin_of(makedev(8, 0)), "sdb");
        /* Units of one controller, told apart by their WWN. */
        put("sda", "device/wwid", "naa.5000c500a1b20000\n");
        ck_assert_str_eq(twin_of(makedev(8, 0)), "");
}
END_TEST

START_TEST(the_paths_of_a_multipath_device_are_no_twins_and_no_slaves) {
        put_scsi("sda", 0, "SEAGATE\n", "ZA1", "naa.5000c500a1b2c3d4\n");
        put_scsi("sdb", 16, "SEAGATE\n", "ZA1", "naa.5000c500a1b2c3d4\n");
        put_device("dm-0", 253, 0, true);
        put("dm-0", "dm/uuid", "mpath-35000c500a1b2c3d4\n");
        put_link("devices/dm-0/slaves/sda", "../../sda");
        put_link("devices/dm-0/slaves/sdb", "../../sdb");
        put_link("devices/sda/holders/dm-0", "../../dm-0");
        ck_assert_str_eq(twin_of(makedev(253, 0)), "");
        ck_assert_int_eq(identity.kind, TARGET_KIND_MAPPER);
        ck_assert_str_eq(identity.wwn, "0x5000c500a1b2c3d4");
        ck_assert(facts.real);
        users_gather(&facts, makedev(253, 0));
        ck_assert_str_eq(facts.slaves, "");
        facts = (struct target_facts){ 0 };
        users_gather(&facts, makedev(8, 0));
        ck_assert_str_eq(facts.holders, "dm-0");
        ck_assert_str_eq(facts.identity.users, "dm-0");
        /* A third path that it does not know of is one. */
        put_scsi("sdc", 32, "SEAGATE\n", "ZA1", "naa.5000c500a1b2c3d4\n");
        ck_assert_str_eq(twin_of(makedev(253, 0)), "sdc");
}
END_TEST

START_TEST(what_stacks_on_a_partition_holds_the_disk) {
        put_scsi("sda", 0, "SEAGATE\n", "ZA1", "naa.5000c500a1b2c3d4\n");
        put_device("sda/sda1", 8, 1, false);
        put("sda/sda1", "partition", "1\n");
        put_device("sda/sda2", 8, 2, false);
        put("sda/sda2", "partition", "2\n");
        put_device("md0", 9, 0, true);
        put("md0", "md/level", "raid1\n");
        put_link("devices/sda/sda1/holders/md0", "../../../md0");
        put_link("devices/md0/slaves/sda1", "../../sda/sda1");
        facts = (struct target_facts){ 0 };
        users_gather(&facts, makedev(8, 0));
        ck_assert_str_eq(facts.holders, "md0");
        ck_assert_str_eq(facts.identity.users, "md0 (sda1)");
        ck_assert(strcmp(facts.partitions, "sda1 sda2") == 0 || strcmp(facts.partitions, "sda2 sda1") == 0);
        facts = (struct target_facts){ 0 };
        users_gather(&facts, makedev(8, 2));
        ck_assert_str_eq(facts.holders, "");
        facts = (struct target_facts){ 0 };
        users_gather(&facts, makedev(9, 0));
        ck_assert_str_eq(facts.slaves, "sda1");
        /* And the array rests on the whole disk, so on its other partition too, in that they meet. */
        struct disk_set array = { 0 }, other = { 0 }, elsewhere = { 0 };
        disk_set_add(&array, makedev(9, 0));
        disk_set_add(&other, makedev(8, 2));
        ck_assert(disk_set_has(&array, makedev(8, 0)) && disk_set_meets(&array, &other));
        put_scsi("sdb", 16, "SEAGATE\n", "ZA2", "naa.5000c500a1b2ffff\n");
        disk_set_add(&elsewhere, makedev(8, 16));
        ck_assert(!disk_set_meets(&array, &elsewhere));
        /* What can't be told meets everything. */
        disk_set_add(&elsewhere, makedev(8, 200));
        ck_assert(elsewhere.incomplete && disk_set_meets(&array, &elsewhere));
}
END_TEST

START_TEST(devices_of_one_btrfs_are_known) {
        put_bytes("fs/btrfs/1234/devices/sda", "", 0);
        put_bytes("fs/btrfs/1234/devices/sdb", "", 0);
        put_bytes("fs/btrfs/5678/devices/sdc", "", 0);
        ck_assert(mounts_share_btrfs("sda", "sdb"));
        ck_assert(!mounts_share_btrfs("sda", "sdc"));
}
END_TEST

START_TEST(udev_is_asked_first_where_it_runs) {
        put_scsi("sda", 0, "SEAGATE\n", "ZA1", "naa.5000c500a1b2c3d4\n");
        put("sda", "uevent", "MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\n");
        put_link("devices/sda/subsystem", "../../class/block");
        ck_assert(mkdir("/sys/class", 0755) == 0 || errno == EEXIST);
        ck_assert(mkdir("/sys/class/block", 0755) == 0 || errno == EEXIST);
        ck_assert_int_eq(mount("fake", "/run", "tmpfs", 0, NULL), 0);
        ck_assert(mkdir("/run/udev", 0755) == 0 && mkdir("/run/udev/data", 0755) == 0);
        setenv("SYSTEMD_DEVICE_VERIFY_SYSFS", "0", 1);
        static const char data[] = "E:ID_SERIAL=long_ZA9\nE:ID_SERIAL_SHORT=ZA9\nE:ID_WWN=0x5000c500a1b2c3d4\n"
                                   "E:ID_WWN_WITH_EXTENSION=0x5000c500a1b2c3d40000000000000001\n";
        int fd = open("/run/udev/data/b8:0", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        ck_assert_int_eq(write(fd, data, strlen(data)), (ssize_t)strlen(data));
        close(fd);
        probe(&identity, &facts, makedev(8, 0));
        ck_assert_str_eq(identity.serial, "ZA9");
        ck_assert_str_eq(identity.wwn, "0x5000c500a1b2c3d40000000000000001");
}
END_TEST

START_TEST(escapes_in_mountinfo_are_undone) {
        char text[] = "/srv/a\\040b\\134c\\0x\\1";
        mounts_unescape(text);
        ck_assert_str_eq(text, "/srv/a b\\c\\0x\\1");
}
END_TEST

/* Whether a namespace and a mount of one's own are allowed here; tried in a child, so that nothing stays. */
static bool can_fake(void) {
        int status = system("unshare -m sh -c 'mount -t tmpfs fake /sys' 2>/dev/null");
        return status == 0;
}

int main(void) {
        if (!can_fake()) {
                printf("skipped: needs the right to mount\n");
                return 77;
        }
        TCase *tests = tcase_create("disk_facts");
        tcase_add_checked_fixture(tests, fake_sysfs, NULL);
        tcase_add_test(tests, a_scsi_disk_is_known_by_its_pages);
        tcase_add_test(tests, a_partition_has_the_identity_of_its_disk);
        tcase_add_test(tests, thin_is_what_the_page_says_and_never_a_sata_ssd);
        tcase_add_test(tests, an_nvme_namespace_is_known_by_its_wwid);
        tcase_add_test(tests, odd_attributes_are_unknown);
        tcase_add_test(tests, a_second_path_to_one_disk_is_a_twin);
        tcase_add_test(tests, without_a_wwn_model_and_serial_make_a_twin);
        tcase_add_test(tests, the_paths_of_a_multipath_device_are_no_twins_and_no_slaves);
        tcase_add_test(tests, what_stacks_on_a_partition_holds_the_disk);
        tcase_add_test(tests, devices_of_one_btrfs_are_known);
        tcase_add_test(tests, udev_is_asked_first_where_it_runs);
        tcase_add_test(tests, escapes_in_mountinfo_are_undone);
        return suite_run("disk_facts", tests);
}
