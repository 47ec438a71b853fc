/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is a disk is not written anywhere: the kernel lists everything that takes blocks, and links in /dev come from
 * rules that may be late or lead elsewhere by now. So a disk is told by what is behind it, and a link counts for the
 * device that it leads to, not for what its name promises. What vanishes while it is looked at is left out.
 */
#include "media/disks.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "media/identity_probe.h"
#include "media/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/major.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <systemd/sd-device.h>

enum { DISKS_MAX = 4096 };

DEFINE_FREEP(struct disk_list, disk_list_free, disk_list_freep)

/* Its properties and links come when udev has finished with it, and so does an event. */
static bool udev_has_finished(dev_t device) {
        sd_device *d = NULL;
        bool finished = true;
        if (access("/run/udev/control", F_OK) == 0 && sd_device_new_from_devnum(&d, 'b', device) >= 0)
                finished = sd_device_get_is_initialized(d) != 0;
        sd_device_unref(d);
        return finished;
}

static bool is_disk(int dir, dev_t device) {
        uint64_t hidden = 0, sectors = 0;
        sysfs_number(dir, "hidden", &hidden); /* a path below a disk that is listed itself (NVMe) */
        if (hidden || !sysfs_number(dir, "size", &sectors) || sectors == 0)
                return false;
        if (major(device) == LOOP_MAJOR)
                return sysfs_exists(dir, "loop/backing_file");
        return sysfs_exists(dir, "device") && major(device) != SCSI_CDROM_MAJOR && major(device) != FLOPPY_MAJOR;
}

/* A namespace but the first, or a logical unit but the first (the name of a SCSI device is host:channel:target:LUN). */
static bool shares_serial(int dir) {
        char link[PATH_MAX];
        uint64_t namespace;
        if (sysfs_number(dir, "nsid", &namespace))
                return namespace != 1;
        ssize_t n = readlinkat(dir, "device", link, sizeof link - 1);
        if (n <= 0 || !sysfs_exists(dir, "device/scsi_disk"))
                return false;
        link[n] = '\0';
        const char *lun = strrchr(link, ':');
        return lun && strcmp(lun, ":0") != 0;
}

/* NULL: it is none, or none any more. -ENOMEM. */
static int take_disk(struct disk_record **ret, int dir) {
        dev_t device;
        *ret = NULL;
        if (!sysfs_device(dir, &device) || !is_disk(dir, device) || !udev_has_finished(device))
                return 0;
        struct disk_record *disk = calloc(1, sizeof *disk);
        if (!disk)
                return -ENOMEM;
        uint64_t sectors = 0;
        sysfs_number(dir, "size", &sectors);
        sysfs_name(disk->name, device);
        disk->device = device;
        disk->size_bytes = sectors * SYSFS_SECTOR_BYTES;
        disk->shares_serial = shares_serial(dir);
        identity_probe(&disk->identity, device, dir, dir);
        *ret = disk;
        return 0;
}

static struct disk_record *find(const struct disk_list *list, dev_t device) {
        for (size_t i = 0; i < list->count; i++)
                if (list->disks[i]->device == device)
                        return list->disks[i];
        return NULL;
}

static int add_links(struct disk_list *list, int dir, const char *path) {
        CLEANUP_CLOSEDIR DIR *links = sysfs_list(dir, ".");
        const char *name;
        while (links && (name = sysfs_next(links)) != NULL) {
                struct stat st;
                if (fstatat(dir, name, &st, 0) < 0 || !S_ISBLK(st.st_mode))
                        continue;
                struct disk_record *disk = find(list, st.st_rdev);
                char link[PATH_MAX];
                if (!disk || disk->link_count == DISK_LINKS_MAX || !text_format(link, sizeof link, "%s/%s", path, name))
                        continue;
                disk->links[disk->link_count] = strdup(link);
                if (!disk->links[disk->link_count])
                        return -ENOMEM;
                disk->link_count++;
        }
        return 0;
}

/* All of /dev/disk/by-*. */
static int add_all_links(struct disk_list *list) {
        CLEANUP_CLOSEDIR DIR *kinds = sysfs_list(AT_FDCWD, "/dev/disk");
        const char *name;
        int r = 0;
        while (r == 0 && kinds && (name = sysfs_next(kinds)) != NULL) {
                char path[PATH_MAX];
                CLEANUP_CLOSE int dir = strncmp(name, "by-", 3) == 0 ? sysfs_open_entry(dirfd(kinds), name) : -1;
                if (dir >= 0 && text_format(path, sizeof path, "/dev/disk/%s", name))
                        r = add_links(list, dir, path);
        }
        return r;
}

static int by_name(const void *a, const void *b) {
        const struct disk_record *const *x = a, *const *y = b;
        return strverscmp((*x)->name, (*y)->name);
}

int disks_list(struct disk_list **ret) {
        CLEANUP(disk_list_freep)
        struct disk_list *list = calloc(1, sizeof *list);
        if (list)
                list->disks = calloc(DISKS_MAX, sizeof(struct disk_record *));
        if (!list || !list->disks)
                return -ENOMEM;
        CLEANUP_CLOSEDIR DIR *all = sysfs_list(AT_FDCWD, "/sys/block");
        if (!all)
                return -errno;
        const char *name;
        while ((name = sysfs_next(all)) != NULL && list->count < DISKS_MAX) {
                CLEANUP_CLOSE int dir = sysfs_open_entry(dirfd(all), name);
                int r = dir < 0 ? 0 : take_disk(&list->disks[list->count], dir);
                if (r < 0)
                        return r;
                list->count += dir >= 0 && list->disks[list->count];
        }
        qsort(list->disks, list->count, sizeof(struct disk_record *), by_name);
        int r = add_all_links(list);
        if (r == 0)
                *ret = STEAL(list);
        return r;
}

/* FNV-1a (Fowler, Noll, Vo). */
static uint64_t hash_on(uint64_t h, const char *text) {
        for (const char *p = text; *p; p++)
                h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
        return h;
}

/* Over name, diskseq and size; summed, as the kernel lists in no order. */
static uint64_t hash(const char *name, uint64_t diskseq, uint64_t sectors) {
        char text[DISK_NAME_BYTES + 48];
        text_format(text, sizeof text, "%s/%llx/%llx", name, (unsigned long long)diskseq, (unsigned long long)sectors);
        return hash_on(UINT64_C(0xcbf29ce484222325), text);
}

uint64_t disks_fingerprint(void) {
        CLEANUP_CLOSEDIR DIR *all = sysfs_list(AT_FDCWD, "/sys/block");
        const char *name;
        uint64_t sum = 0;
        while (all && (name = sysfs_next(all)) != NULL) {
                CLEANUP_CLOSE int dir = sysfs_open_entry(dirfd(all), name);
                uint64_t diskseq = 0, sectors = 0;
                if (dir < 0)
                        continue;
                sysfs_number(dir, "diskseq", &diskseq);
                sysfs_number(dir, "size", &sectors);
                sum += hash(name, diskseq, sectors);
        }
        return sum;
}

/* The directories of the block device at a path and of its whole disk. False: there is none; nothing is open. */
static bool open_at(const char *path, dev_t *ret_device, int *ret_dir, int *ret_whole) {
        struct stat st;
        if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
                return false;
        int dir = sysfs_open(st.st_rdev), whole = dir < 0 ? -1 : sysfs_open_whole(dir);
        if (whole < 0) {
                close_fd(dir);
                return false;
        }
        *ret_device = st.st_rdev;
        *ret_dir = dir;
        *ret_whole = whole;
        return true;
}

/* Old kernels have no diskseq: there the file behind a loop device tells. */
uint64_t disks_sighting(const char *path) {
        char name[64], file[PATH_MAX];
        uint64_t diskseq = 0, sectors = 0, start = 0;
        dev_t device;
        CLEANUP_CLOSE int dir = -1;
        CLEANUP_CLOSE int whole = -1;
        if (!open_at(path, &device, &dir, &whole))
                return 0;
        sysfs_number(whole, "diskseq", &diskseq);
        sysfs_number(dir, "size", &sectors);
        sysfs_number(dir, "start", &start);
        text_format(name, sizeof name, "%u:%u/%llx", major(device), minor(device), (unsigned long long)start);
        uint64_t h = hash(name, diskseq, sectors);
        return major(device) == LOOP_MAJOR && sysfs_path(whole, "loop/backing_file", file, sizeof file)
                ? hash_on(h, file)
                : h;
}

bool disks_recognise(const char *path, struct identity *identity, uint64_t *size_bytes) {
        uint64_t sectors = 0;
        dev_t device;
        CLEANUP_CLOSE int dir = -1;
        CLEANUP_CLOSE int whole = -1;
        if (!open_at(path, &device, &dir, &whole) || !udev_has_finished(device) ||
                !sysfs_number(dir, "size", &sectors) || sectors == 0)
                return false;
        identity_probe(identity, device, dir, whole);
        *size_bytes = sectors * SYSFS_SECTOR_BYTES;
        return true;
}
