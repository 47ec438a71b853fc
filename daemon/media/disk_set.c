/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger that must tell what a sweep did may not lie on the disk that the sweep overwrites, and a file system can
 * rest on a disk in many ways: a partition, a volume, an array, one of a btrfs' devices. What can't be told marks the
 * set as incomplete, and an incomplete set meets every other: a needless refusal is the smaller harm.
 */
#include "media/disk_set.h"

#include "base/text.h"
#include "media/mounts.h"
#include "media/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

bool disk_set_has(const struct disk_set *set, dev_t device) {
        for (size_t i = 0; i < set->count; i++)
                if (set->devices[i] == device)
                        return true;
        return false;
}

/* Adds the devices whose directories are entries of `entry`. */
static void add_entries(struct disk_set *set, int dir, const char *entry) {
        CLEANUP_CLOSEDIR DIR *list = sysfs_list(dir, entry);
        const char *name;
        while (list && (name = sysfs_next(list)) != NULL) {
                CLEANUP_CLOSE int below = sysfs_open_entry(dirfd(list), name);
                dev_t device;
                if (below >= 0 && sysfs_device(below, &device))
                        disk_set_add(set, device);
                else
                        set->incomplete = true;
        }
}

static void add_directory(struct disk_set *set, const char *directory, unsigned layer);

/* What the file behind a loop device rests on. Its own file system tells, also where the path leads elsewhere by now.
 */
static void add_backing(struct disk_set *set, int whole) {
        char path[PATH_MAX];
        if (!sysfs_path(whole, "loop/backing_file", path, sizeof path))
                return;
        struct stat st;
        if (stat(path, &st) == 0 && S_ISBLK(st.st_mode))
                disk_set_add(set, st.st_rdev);
        else
                add_directory(set, path, 0);
}

/* Recursive, but each step adds a device to a bounded set, so it ends. */
void disk_set_add(struct disk_set *set, dev_t device) {
        if (disk_set_has(set, device))
                return;
        if (set->count == DISK_SET_MAX) {
                set->incomplete = true;
                return;
        }
        set->devices[set->count++] = device;
        CLEANUP_CLOSE int dir = sysfs_open(device);
        CLEANUP_CLOSE int whole = dir >= 0 ? sysfs_open_whole(dir) : -1;
        dev_t whole_device;
        if (whole < 0 || !sysfs_device(whole, &whole_device)) {
                set->incomplete = true;
                return;
        }
        disk_set_add(set, whole_device);
        add_entries(set, whole, "slaves");
        if (set->through_loops)
                add_backing(set, whole);
}

/* All devices of the btrfs of which this is one. */
static void add_btrfs(struct disk_set *set, dev_t device) {
        disk_set_add(set, device);
        char name[SYSFS_NAME_BYTES];
        sysfs_name(name, device);
        CLEANUP_CLOSEDIR DIR *all = sysfs_list(AT_FDCWD, "/sys/fs/btrfs");
        const char *uuid;
        while (all && (uuid = sysfs_next(all)) != NULL) {
                char entry[PATH_MAX];
                text_format(entry, sizeof entry, "%s/devices/%s", uuid, name);
                if (!sysfs_exists(dirfd(all), entry))
                        continue;
                text_format(entry, sizeof entry, "%s/devices", uuid);
                add_entries(set, dirfd(all), entry);
        }
}

enum { LAYERS_MAX = 4 };

/* The value of upperdir= is escaped with backslashes; one that holds any is rare, and counts as unknown. */
static void add_overlay(struct disk_set *set, char *options, unsigned layer) {
        static const char key[] = "upperdir=";
        char *rest = options, *option;
        while ((option = strsep(&rest, ",")) != NULL) {
                if (strncmp(option, key, strlen(key)) != 0)
                        continue;
                if (strchr(option, '\\'))
                        set->incomplete = true;
                else
                        add_directory(set, option + strlen(key), layer + 1);
                return;
        }
}

static void add_mount(struct disk_set *set, struct mount_entry *mount, unsigned layer) {
        dev_t source;
        if (strcmp(mount->type, "overlay") == 0)
                add_overlay(set, mount->options, layer);
        else if (mounts_source_device(mount, &source))
                add_btrfs(set, source);
        else if (strcmp(mount->type, "btrfs") == 0 || strncmp(mount->source, "/dev/", 5) == 0)
                set->incomplete = true; /* several devices, say; elsewhere than on local disks there is none */
}

static void add_directory(struct disk_set *set, const char *directory, unsigned layer) {
        struct statx st;
        if (layer == LAYERS_MAX || statx(AT_FDCWD, directory, 0, STATX_BASIC_STATS | STATX_MNT_ID, &st) < 0) {
                set->incomplete = true;
                return;
        }
        if (st.stx_dev_major != 0) {
                disk_set_add(set, makedev(st.stx_dev_major, st.stx_dev_minor));
                return;
        }
        /* Anonymous: the mount tells what is below it. */
        CLEANUP(mounts_close)
        struct mounts mounts = { 0 };
        if (!(st.stx_mask & STATX_MNT_ID) || mounts_open(&mounts) < 0) {
                set->incomplete = true;
                return;
        }
        while (mounts_next(&mounts))
                if (mounts.entry.id == st.stx_mnt_id) {
                        add_mount(set, &mounts.entry, layer);
                        return;
                }
        set->incomplete = true;
}

void disk_set_add_directory(struct disk_set *set, const char *directory) {
        add_directory(set, directory, 0);
}

bool disk_set_meets(const struct disk_set *a, const struct disk_set *b) {
        if (a->incomplete || b->incomplete)
                return true;
        for (size_t i = 0; i < a->count; i++)
                if (disk_set_has(b, a->devices[i]))
                        return true;
        return false;
}
