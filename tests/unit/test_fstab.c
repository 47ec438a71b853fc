/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Made-up tables and units in an /etc of the test's own, and real loop devices whose names are asked for: each way in
 * which a line can name one, and lines that look alike and mean another.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "loop_disk.h"
#include "media/boot_holds.h"
#include "media/fstab.h"
#include "media/target.h"
#include "suite.h"

#include <linux/blkpg.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

enum { DISK_BYTES = 16 << 20 };

#define UUID     "6c5e1a52-8c1b-4f4e-9d0e-2f7d3b1c9a10"
#define PARTUUID "0b5a7c1e-44d2-4f27-8a35-91c6e2d7f803"
#define JOURNAL  "/sweepd-no-such-directory/undo"

static struct target_facts facts;

static void put(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        ck_assert_msg(fd >= 0, "%s", path);
        ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        close(fd);
}

static void own_etc(void) {
        ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
        ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        ck_assert_int_eq(mount("fake", "/etc", "tmpfs", 0, NULL), 0);
}

static void probe(const char *path) {
        struct target *t = NULL;
        struct reason reason = { 0 };
        struct target_options options = { .path = path, .journal = JOURNAL };
        ck_assert_msg(target_open(&t, &reason, &options) == TARGET_OK, "%s: %s", path, reason.found);
        facts = *target_facts(t);
        ck_assert(facts.boot_known);
        target_close(t);
}

/* One line in fstab, after a comment and a line for another device. */
static bool is_named(const char *path, const char *line) {
        char text[PATH_MAX * 2];
        text_format(text, sizeof text, "# <device> <mount point>\n/dev/sda1 / ext4 defaults 0 1\n%s\n", line);
        put("/etc/fstab", text);
        probe(path);
        if (facts.boot_use[0])
                ck_assert_str_eq(facts.boot_use, "line 3 of /etc/fstab names it");
        return facts.boot_use[0] != '\0';
}

/* What is in a unit's file; facts.boot_use then. */
static const char *by_unit(const char *path, const char *unit, const char *text) {
        char file[PATH_MAX];
        text_format(file, sizeof file, "/etc/systemd/system/%s", unit);
        put(file, text);
        probe(path);
        ck_assert_int_eq(unlink(file), 0);
        return facts.boot_use;
}

static bool run(const char *command) {
        return system(command) == 0;
}

static void with_ext4(struct loop_disk *disk) {
        char command[PATH_MAX];
        loop_disk_new(disk, DISK_BYTES);
        text_format(command, sizeof command, "mkfs.ext4 -qF -U " UUID " -L 'my data' %s >/dev/null 2>&1", disk->path);
        ck_assert_msg(run(command), "mkfs.ext4 does not work here");
}

START_TEST(every_name_of_a_file_system_is_known) {
        struct loop_disk disk;
        char line[PATH_MAX];
        with_ext4(&disk);
        ck_assert(!is_named(disk.path, ""));
        static const char *const names[] = { "UUID=" UUID " /srv ext4 defaults 0 2",
                "\tUUID=\"6C5E1A52-8c1b-4f4e-9d0e-2f7d3b1c9a10\"\t/srv ext4 noauto 0 2", "LABEL=my\\040data /srv ext4",
                "LABEL=\"my\\040data\" /srv ext4", "/dev/disk/by-uuid/" UUID " /srv ext4",
                "/dev/disk/by-label/my\\134x20data /srv ext4", "/dev/sda9 /srv xfs logdev=UUID=" UUID " 0 0" };
        for (size_t i = 0; i < ELEMENTS(names); i++)
                ck_assert_msg(is_named(disk.path, names[i]), "%s", names[i]);
        text_format(line, sizeof line, "%s /srv ext4", disk.path);
        ck_assert(is_named(disk.path, line));
        text_format(line, sizeof line, "%s /srv ext4 loop", disk.file);
        ck_assert(is_named(disk.path, line));
        text_format(line, sizeof line, "/dev/sda9 /srv ext4 noatime,journal_path=%s 0 0", disk.path);
        ck_assert(is_named(disk.path, line));
        close(disk.fd);
}
END_TEST

START_TEST(a_line_that_looks_alike_names_another) {
        struct loop_disk disk;
        char line[PATH_MAX];
        with_ext4(&disk);
        static const char *const names[] = { "#UUID=" UUID " /srv ext4", "UUID=" UUID "0 /srv ext4",
                "LABEL=my /srv ext4", "LABEL=My\\040data /srv ext4", "PARTUUID=" UUID " /srv ext4",
                "PARTLABEL=my\\040data /srv ext4", "ID=" UUID " /srv ext4", "tmpfs /srv/" UUID " tmpfs",
                "server:/export /srv nfs", "/dev/disk/by-uuid/none /srv ext4" };
        for (size_t i = 0; i < ELEMENTS(names); i++)
                ck_assert_msg(!is_named(disk.path, names[i]), "%s", names[i]);
        text_format(line, sizeof line, "%s0 /srv ext4", disk.path);
        ck_assert(!is_named(disk.path, line));
        text_format(line, sizeof line, "/dev/sda9 %s ext4", disk.path);
        ck_assert(!is_named(disk.path, line));
        close(disk.fd);
}
END_TEST

START_TEST(what_is_unlocked_at_boot_is_known_by_crypttab) {
        struct loop_disk disk;
        with_ext4(&disk);
        put("/etc/crypttab", "# name device key options\nhome UUID=" UUID " none luks\n");
        probe(disk.path);
        ck_assert_str_eq(facts.boot_use, "line 2 of /etc/crypttab names it");
        put("/etc/crypttab", "home /dev/sda9 /key:UUID=" UUID " luks\n");
        probe(disk.path);
        ck_assert_str_eq(facts.boot_use, "line 1 of /etc/crypttab names it");
        put("/etc/crypttab", "home /dev/sda9 none luks,header=UUID=" UUID "\n");
        probe(disk.path);
        ck_assert_str_eq(facts.boot_use, "line 1 of /etc/crypttab names it");
        put("/etc/crypttab", "UUID=" UUID " /dev/sda9 none luks\n");
        probe(disk.path);
        ck_assert_str_eq(facts.boot_use, "");
        close(disk.fd);
}
END_TEST

START_TEST(a_unit_that_mounts_swaps_to_or_unlocks_it_names_it) {
        struct loop_disk disk;
        char text[PATH_MAX];
        with_ext4(&disk);
        ck_assert(mkdir("/etc/systemd", 0755) == 0 && mkdir("/etc/systemd/system", 0755) == 0);
        text_format(text, sizeof text, "[Mount]\nWhat=%s\nWhere=/srv\n", disk.path);
        ck_assert_str_eq(by_unit(disk.path, "srv.mount", text), "/etc/systemd/system/srv.mount names it");
        ck_assert_str_eq(by_unit(disk.path, "srv.service", text), "");
        ck_assert(by_unit(disk.path, "srv.mount", "[Mount]\n What = UUID=" UUID " \r\n")[0]);
        ck_assert(by_unit(disk.path, "x.swap", "[Swap]\nWhat=/dev/disk/by-uuid/" UUID "\n")[0]);
        ck_assert_str_eq(by_unit(disk.path, "srv.mount", "[Mount]\nWhat=/dev/sda9\n#What=UUID=" UUID "\n"), "");
        text_format(text, sizeof text, "[Unit]\nDescription=%s\n[Mount]\nWhat=tmpfs\n", disk.path);
        ck_assert_str_eq(by_unit(disk.path, "srv.mount", text), "");
        text_format(text, sizeof text,
                "[Service]\nExecStart=/usr/lib/systemd/systemd-cryptsetup attach 'home' '%s' 'none' 'luks'\n",
                disk.path);
        ck_assert(by_unit(disk.path, "systemd-cryptsetup@home.service", text)[0]);
        ck_assert_int_eq(mkdir("/etc/systemd/system/srv.mount.d", 0755), 0);
        ck_assert_str_eq(by_unit(disk.path, "srv.mount.d/10-disk.conf", "[Mount]\nWhat=LABEL=my data\n"),
                "/etc/systemd/system/srv.mount.d/10-disk.conf names it");
        close(disk.fd);
}
END_TEST

static void add_partition(struct loop_disk *disk, char path[static 64], const char *description) {
        char file[PATH_MAX], command[PATH_MAX];
        loop_disk_file(file, loop_disk_directory, DISK_BYTES, true);
        loop_disk_attach(disk, file, LO_FLAGS_DIRECT_IO | LO_FLAGS_PARTSCAN, 0);
        text_format(command, sizeof command,
                "printf 'label: gpt\\nstart=2048,size=8192,%s\\n' | sfdisk -q --no-reread %s", description, disk->path);
        (void)run(command); /* fails only in telling the kernel */
        text_format(path, 64, "%sp1", disk->path);
        struct blkpg_partition p = { .start = 1 << 20, .length = 4 << 20, .pno = 1 };
        struct blkpg_ioctl_arg argument = { .op = BLKPG_ADD_PARTITION, .datalen = sizeof p, .data = &p };
        if (access(path, F_OK) < 0 && ioctl(disk->fd, BLKPG, &argument) < 0)
                ck_assert_int_eq(errno, EBUSY); /* udev was faster, and had the kernel read the table */
        for (unsigned tries = 0; tries < 100 && access(path, F_OK) < 0; tries++)
                usleep(10000);
}

static void remove_partition(struct loop_disk *disk) {
        struct blkpg_partition p = { .pno = 1 };
        struct blkpg_ioctl_arg argument = { .op = BLKPG_DEL_PARTITION, .datalen = sizeof p, .data = &p };
        ck_assert_int_eq(ioctl(disk->fd, BLKPG, &argument), 0);
        close(disk->fd);
}

START_TEST(what_systemd_mounts_by_the_type_of_a_partition_is_known) {
        static const struct {
                const char *description;
                const char *use; /* NULL: none */
        } cases[] = { { "type=933AC7E1-2EB4-4F13-B844-0E14E2AEF915", "/home" },
                { "type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", "swap" },
                { "type=933AC7E1-2EB4-4F13-B844-0E14E2AEF915,attrs=\"GUID:63\"", NULL },
                { "type=0FC63DAF-8483-4772-8E79-3D69D8477DE4", NULL } };
        if (access("/usr/lib/systemd/system-generators/systemd-gpt-auto-generator", F_OK) < 0)
                return;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct loop_disk disk;
                char path[64];
                add_partition(&disk, path, cases[i].description);
                probe(path);
                if (cases[i].use)
                        ck_assert_msg(strstr(facts.boot_use, cases[i].use) != NULL, "%s", facts.boot_use);
                else
                        ck_assert_str_eq(facts.boot_use, "");
                probe(disk.path);
                ck_assert_int_eq(facts.boot_use[0] != '\0', cases[i].use != NULL);
                remove_partition(&disk);
        }
}
END_TEST

static void hold_for(const char *device, const char *path) {
        struct target *t = NULL;
        struct reason reason = { 0 };
        struct target_options options = { .path = path };
        ck_assert_int_eq(target_open(&t, &reason, &options), TARGET_OK);
        ck_assert_int_eq(boot_holds_set("/etc/holds", device, target_facts(t)), 0);
        target_close(t);
}

static bool is_held(const char *unit) {
        char path[PATH_MAX];
        text_format(path, sizeof path, "/etc/holds/%s", unit);
        return access(path, F_OK) == 0;
}

START_TEST(what_uses_a_device_is_held_with_its_check_until_it_is_released) {
        struct loop_disk disk, other;
        with_ext4(&disk);
        loop_disk_new(&other, DISK_BYTES);
        ck_assert(mkdir("/etc/systemd", 0755) == 0 && mkdir("/etc/systemd/system", 0755) == 0);
        ck_assert_int_eq(mkdir("/etc/holds", 0755), 0);
        put("/etc/systemd/system/srv.mount",
                "[Unit]\nRequires=x.service systemd-fsck@dev-srv.service\n[Mount]\nWhat=UUID=" UUID "\n");
        put("/etc/systemd/system/opt.mount",
                "[Unit]\nRequires=systemd-fsck@dev-opt.service\n[Mount]\nWhat=/dev/sda9\n");
        hold_for("a", disk.path);
        hold_for("a", disk.path); /* once more is not twice */
        hold_for("other", other.path);
        ck_assert(is_held("srv.mount") && is_held("systemd-fsck@dev-srv.service"));
        ck_assert(!is_held("x.service") && !is_held("opt.mount") && !is_held("systemd-fsck@dev-opt.service"));
        hold_for("b", disk.path);
        boot_holds_release("/etc/holds", "a");
        ck_assert(is_held("srv.mount"));
        boot_holds_release("/etc/holds", "b");
        ck_assert(!is_held("srv.mount") && !is_held("systemd-fsck@dev-srv.service"));
        /* One that is not there has its path alone. */
        struct target_facts *missing = calloc(1, sizeof *missing);
        text_copy(missing->path, sizeof missing->path, "/dev/sda9");
        ck_assert_int_eq(boot_holds_set("/etc/holds", "gone", missing), 0);
        ck_assert(is_held("opt.mount") && !is_held("srv.mount"));
        free(missing);
        boot_holds_clear("/etc/holds");
        ck_assert(!is_held("opt.mount"));
        close(disk.fd);
        close(other.fd);
}
END_TEST

START_TEST(a_partition_and_its_disk_go_by_each_others_names) {
        struct loop_disk disk;
        char command[PATH_MAX], path[64], line[PATH_MAX];
        add_partition(&disk, path, "uuid=" PARTUUID ",name=\"my part\"");
        text_format(command, sizeof command, "mkfs.ext4 -qF -U " UUID " %s >/dev/null 2>&1", path);
        ck_assert(run(command));
        static const char *const names[] = { "PARTUUID=" PARTUUID " /srv ext4", "PARTLABEL=my\\040part /srv ext4",
                "UUID=" UUID " /srv ext4" };
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                ck_assert_msg(is_named(path, names[i]), "%s", names[i]);
                ck_assert_msg(is_named(disk.path, names[i]), "%s, by its disk", names[i]);
        }
        text_format(line, sizeof line, "%s /srv ext4", path);
        ck_assert(is_named(disk.path, line));
        text_format(line, sizeof line, "%s /srv ext4", disk.path);
        ck_assert(is_named(path, line));
        ck_assert(!is_named(path, "PARTUUID=" UUID " /srv ext4"));
        remove_partition(&disk);
}
END_TEST

START_TEST(a_table_that_can_not_be_read_counts_as_naming) {
        struct loop_disk disk;
        loop_disk_new(&disk, DISK_BYTES);
        probe(disk.path);
        ck_assert_str_eq(facts.boot_use, ""); /* there is none: nothing is named */
        ck_assert_int_eq(mkdir("/etc/crypttab", 0755), 0);
        probe(disk.path);
        ck_assert_msg(strstr(facts.boot_use, "/etc/crypttab can't be read") != NULL, "%s", facts.boot_use);
        close(disk.fd);
}
END_TEST

START_TEST(a_recovery_is_enabled_by_a_link_and_not_masked) {
        struct loop_disk disk;
        loop_disk_new(&disk, DISK_BYTES);
        ck_assert(mkdir("/etc/systemd", 0755) == 0 && mkdir("/etc/systemd/system", 0755) == 0);
        ck_assert_int_eq(mkdir("/etc/systemd/system/local-fs.target.wants", 0755), 0);
        static const char unit[] = "/etc/systemd/system/sweepd-recover.service";
        put(unit, "");
        probe(disk.path);
        ck_assert(!facts.recovers_at_boot);
        ck_assert_int_eq(symlink(unit, "/etc/systemd/system/local-fs.target.wants/sweepd-recover.service"), 0);
        probe(disk.path);
        ck_assert(facts.recovers_at_boot);
        ck_assert(unlink(unit) == 0 && symlink("/dev/null", unit) == 0);
        probe(disk.path);
        ck_assert(!facts.recovers_at_boot);
        ck_assert_int_eq(unlink(unit), 0); /* the link is left of a package that is not there any more */
        probe(disk.path);
        ck_assert(!facts.recovers_at_boot);
        close(disk.fd);
}
END_TEST

START_TEST(only_the_root_file_system_and_raw_devices_are_there_at_boot) {
        struct loop_disk disk;
        char below[PATH_MAX];
        loop_disk_new(&disk, DISK_BYTES);
        probe(disk.path);
        ck_assert(facts.journal_at_boot); /* nothing of that path is there, but for the root */
        static const struct {
                const char *journal;
                bool there;
        } places[] = { { "/", true }, { "/etc/undo", false }, { loop_disk_directory, false }, { "/proc", false } };
        for (size_t i = 0; i < ELEMENTS(places); i++) {
                fstab_probe(&facts, places[i].journal);
                ck_assert_msg(facts.journal_at_boot == places[i].there, "%s", places[i].journal);
        }
        text_format(below, sizeof below, "%s/a/b/c", loop_disk_directory);
        fstab_probe(&facts, below);
        ck_assert(!facts.journal_at_boot);
        fstab_probe(&facts, disk.path); /* its file is not there yet */
        ck_assert(!facts.journal_at_boot);
        close(disk.fd);
}
END_TEST

int main(void) {
        const char *missing = loop_disk_set_up();
        if (missing) {
                printf("skipped: %s\n", missing);
                return LOOP_DISK_SKIP;
        }
        TCase *tests = tcase_create("fstab");
        tcase_add_checked_fixture(tests, own_etc, NULL);
        tcase_add_test(tests, every_name_of_a_file_system_is_known);
        tcase_add_test(tests, a_line_that_looks_alike_names_another);
        tcase_add_test(tests, what_is_unlocked_at_boot_is_known_by_crypttab);
        tcase_add_test(tests, a_unit_that_mounts_swaps_to_or_unlocks_it_names_it);
        tcase_add_test(tests, what_systemd_mounts_by_the_type_of_a_partition_is_known);
        tcase_add_test(tests, what_uses_a_device_is_held_with_its_check_until_it_is_released);
        tcase_add_test(tests, a_partition_and_its_disk_go_by_each_others_names);
        tcase_add_test(tests, a_table_that_can_not_be_read_counts_as_naming);
        tcase_add_test(tests, a_recovery_is_enabled_by_a_link_and_not_masked);
        tcase_add_test(tests, only_the_root_file_system_and_raw_devices_are_there_at_boot);
        int r = suite_run("fstab", tests);
        loop_disk_tear_down();
        return r;
}
