/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sixty disks behind one card are slower together than eight of them, and a disk behind three names may be swept three
 * times at once. Where a disk hangs is in the path to which sysfs links its number, but every kind of bus has its own
 * words there. What is not understood is its own controller, so that an odd disk is not held back by others.
 */
#include "media/topology.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "media/sysfs.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* "host6" by "host": a word and a number, and nothing else. */
static bool is_numbered(const char *name, const char *word) {
        size_t length = strlen(word);
        if (strncmp(name, word, length) != 0 || !isdigit((unsigned char)name[length]))
                return false;
        return name[length + strspn(name + length, "0123456789")] == '\0';
}

/* "2-1.4": bus and ports; its interfaces have a colon. */
static bool is_usb_device(const char *name) {
        size_t bus = strspn(name, "0123456789");
        if (bus == 0 || name[bus] != '-')
                return false;
        return isdigit((unsigned char)name[bus + 1]) && name[strspn(name, "0123456789.-")] == '\0';
}

/* What is known so far of a path, from its root on. */
struct walk {
        char before[DISK_PLACE_NAME_BYTES]; /* the part before this one */
        char hub[DISK_PLACE_NAME_BYTES], usb[DISK_PLACE_NAME_BYTES];
        char found[DISK_PLACE_NAME_BYTES];
};

static void walk_part(struct walk *w, const char *part) {
        bool has_host = w->found[0] != '\0';
        if (is_numbered(part, "usb")) {
                text_copy(w->usb, sizeof w->usb, part);
        } else if (w->usb[0] && is_usb_device(part)) {
                text_copy(w->hub, sizeof w->hub, w->usb);
                text_copy(w->usb, sizeof w->usb, part);
        } else if (!has_host && is_numbered(part, "ata")) {
                text_copy(w->found, sizeof w->found, w->before);
        } else if (!has_host &&
                (is_numbered(part, "host") || is_numbered(part, "nvme") || is_numbered(part, "nvme-subsys"))) {
                text_copy(w->found, sizeof w->found, part);
        } else if (!has_host && strcmp(part, "block") == 0) {
                text_copy(w->found, sizeof w->found, w->before);
        }
        text_copy(w->before, sizeof w->before, part);
}

static void add_hardware(struct disk_place *p, char *path) {
        struct walk w = { 0 };
        if (strstr(path, "/virtual/block/"))
                return; /* what it stacks on counts */
        for (char *rest = path, *part; (part = strsep(&rest, "/")) != NULL;)
                if (part[0] && strcmp(part, "..") != 0)
                        walk_part(&w, part);
        if (w.hub[0])
                disk_place_add_controller(p, w.hub);
        else if (w.found[0])
                disk_place_add_controller(p, w.found);
}

static void add_holders(struct disk_place *p, int dir) {
        CLEANUP_CLOSEDIR DIR *list = sysfs_list(dir, "holders");
        const char *name;
        while (list && (name = sysfs_next(list)) != NULL)
                disk_place_add_controller(p, name);
}

static void add_holders_of_partitions(struct disk_place *p, int whole) {
        CLEANUP_CLOSEDIR DIR *list = sysfs_list(whole, ".");
        const char *name;
        while (list && (name = sysfs_next(list)) != NULL) {
                CLEANUP_CLOSE int part = sysfs_open_entry(dirfd(list), name);
                if (part >= 0 && sysfs_exists(part, "partition"))
                        add_holders(p, part);
        }
}

/* Recursive, but each step adds a disk to a bounded set, so it ends. */
static void add_disk(struct disk_place *p, int links, dev_t device) {
        char name[32], path[PATH_MAX];
        size_t before = p->disk_count;
        disk_place_add_disk(p, device);
        if (p->disk_count == before)
                return;
        text_format(name, sizeof name, "%u:%u", major(device), minor(device));
        CLEANUP_CLOSE int dir = sysfs_open_entry(links, name);
        CLEANUP_CLOSE int whole = dir >= 0 ? sysfs_open_whole(dir) : -1;
        dev_t whole_device;
        if (whole < 0 || !sysfs_device(whole, &whole_device))
                return;
        if (whole_device != device) {
                add_disk(p, links, whole_device);
                return;
        }
        ssize_t n = readlinkat(links, name, path, sizeof path - 1);
        if (n > 0) {
                path[n] = '\0';
                add_hardware(p, path);
        }
        add_holders(p, whole);
        add_holders_of_partitions(p, whole);
        CLEANUP_CLOSEDIR DIR *slaves = sysfs_list(whole, "slaves");
        const char *slave;
        while (slaves && (slave = sysfs_next(slaves)) != NULL) {
                CLEANUP_CLOSE int below = sysfs_open_entry(dirfd(slaves), slave);
                dev_t lower;
                if (below >= 0 && sysfs_device(below, &lower))
                        add_disk(p, links, lower);
        }
}

void topology_read(struct disk_place *ret, const char *sysfs, dev_t device) {
        char path[PATH_MAX];
        *ret = (struct disk_place){ 0 };
        text_format(path, sizeof path, "%s/dev/block", sysfs);
        CLEANUP_CLOSE int links = sysfs_open_entry(AT_FDCWD, path);
        if (links >= 0)
                add_disk(ret, links, device);
        else
                disk_place_add_disk(ret, device);
}

/* What dm does with the bytes is not in sysfs, but who made the device is. VDO writes less, or more, than it is given.
 */
static bool passes_bytes_on(int whole) {
        char uuid[160];
        if (!sysfs_text(whole, "dm/uuid", uuid, sizeof uuid))
                return false;
        size_t length = strlen(uuid), tail = strlen("-vpool");
        if (length > tail && strcmp(uuid + length - tail, "-vpool") == 0)
                return false;
        return strncmp(uuid, "LVM-", strlen("LVM-")) == 0 || strncmp(uuid, "CRYPT-LUKS", strlen("CRYPT-LUKS")) == 0 ||
                strncmp(uuid, "CRYPT-PLAIN", strlen("CRYPT-PLAIN")) == 0;
}

/* The directory of the whole disk below the only slave. Negative: there is none, or more. */
static int open_only_slave(int whole) {
        CLEANUP_CLOSEDIR DIR *slaves = sysfs_list(whole, "slaves");
        const char *first = slaves ? sysfs_next(slaves) : NULL;
        if (!first)
                return -1;
        CLEANUP_CLOSE int slave = sysfs_open_entry(dirfd(slaves), first);
        if (slave < 0 || sysfs_next(slaves))
                return -1;
        return sysfs_open_whole(slave);
}

dev_t topology_counted(const char *sysfs, dev_t disk) {
        enum { LAYERS_MAX = 8 };
        char path[PATH_MAX];
        uint64_t counts;
        dev_t below;
        text_format(path, sizeof path, "%s/dev/block/%u:%u", sysfs, major(disk), minor(disk));
        CLEANUP_CLOSE int dir = sysfs_open_entry(AT_FDCWD, path);
        for (unsigned layer = 0; dir >= 0 && layer < LAYERS_MAX; layer++) {
                if (!sysfs_exists(dir, "dm")) /* the bottom */
                        return sysfs_number(dir, "queue/iostats", &counts) && counts && sysfs_device(dir, &below)
                                ? below
                                : disk;
                if (!passes_bytes_on(dir))
                        return disk;
                int next = open_only_slave(dir);
                close_fd(dir);
                dir = next;
        }
        return disk;
}
