/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes come and go with devices, drivers and kernel versions, and drives put odd bytes into theirs. So a missing
 * one is an ordinary answer, every read has a bound, and no text is trusted to end where it should.
 */
#include "media/sysfs.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

int sysfs_open_entry(int dir, const char *entry) {
        int fd = openat(dir, entry, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int sysfs_open(dev_t device) {
        char path[64];
        text_format(path, sizeof path, "/sys/dev/block/%u:%u", major(device), minor(device));
        return sysfs_open_entry(AT_FDCWD, path);
}

int sysfs_open_whole(int dir) {
        return sysfs_open_entry(dir, sysfs_exists(dir, "partition") ? ".." : ".");
}

void sysfs_name(char name[static SYSFS_NAME_BYTES], dev_t device) {
        char path[64], link[PATH_MAX];
        text_format(path, sizeof path, "/sys/dev/block/%u:%u", major(device), minor(device));
        ssize_t n = readlink(path, link, sizeof link - 1);
        if (n > 0) {
                link[n] = '\0';
                const char *slash = strrchr(link, '/');
                text_copy(name, SYSFS_NAME_BYTES, slash ? slash + 1 : link);
                /* Names hold '!' where the device's own has a slash (cciss!c0d0). */
                for (char *p = name; *p; p++)
                        if (*p == '!')
                                *p = '/';
        } else {
                text_format(name, SYSFS_NAME_BYTES, "%u:%u", major(device), minor(device));
        }
}

bool sysfs_multipath(int dir) {
        char uuid[160];
        return sysfs_text(dir, "dm/uuid", uuid, sizeof uuid) && strncmp(uuid, "mpath-", strlen("mpath-")) == 0;
}

int sysfs_open_hardware(int whole) {
        CLEANUP_CLOSEDIR DIR *slaves = sysfs_multipath(whole) ? sysfs_list(whole, "slaves") : NULL;
        const char *first = slaves ? sysfs_next(slaves) : NULL;
        return first ? sysfs_open_entry(dirfd(slaves), first) : sysfs_open_entry(whole, ".");
}

bool sysfs_exists(int dir, const char *entry) {
        return faccessat(dir, entry, F_OK, 0) == 0;
}

size_t sysfs_bytes(int dir, const char *attribute, uint8_t *bytes, size_t max) {
        CLEANUP_CLOSE int fd = openat(dir, attribute, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return 0;
        ssize_t n = read(fd, bytes, max);
        return n > 0 ? (size_t)n : 0;
}

bool sysfs_path(int dir, const char *attribute, char *path, size_t path_bytes) {
        size_t n = sysfs_bytes(dir, attribute, (uint8_t *)path, path_bytes - 1);
        path[n] = '\0';
        n = strlen(path);
        if (n > 0 && path[n - 1] == '\n')
                path[n - 1] = '\0';
        return path[0] != '\0';
}

bool sysfs_text(int dir, const char *attribute, char *text, size_t text_bytes) {
        if (!sysfs_path(dir, attribute, text, text_bytes))
                return false;
        size_t from = strspn(text, " \t\n"), length = strlen(text);
        while (length > from && strchr(" \t\n", text[length - 1]))
                length--;
        memmove(text, text + from, length - from);
        text[length - from] = '\0';
        /* Drives pad and mark with what they like; what is shown and compared is printable. */
        for (char *p = text; *p; p++)
                if ((unsigned char)*p < 0x20 || *p == 0x7f)
                        *p = '?';
        return text[0] != '\0';
}

bool sysfs_number(int dir, const char *attribute, uint64_t *ret) {
        char text[32], *end;
        if (!sysfs_text(dir, attribute, text, sizeof text) || text[0] < '0' || text[0] > '9')
                return false;
        errno = 0;
        uint64_t n = strtoull(text, &end, 10);
        if (errno || *end)
                return false;
        *ret = n;
        return true;
}

size_t sysfs_stat(int dir, uint64_t fields[static SYSFS_STAT_COUNT]) {
        char text[512], *at = text;
        if (!sysfs_text(dir, "stat", text, sizeof text))
                return 0;
        size_t count = 0;
        for (char *end; count < SYSFS_STAT_COUNT; count++, at = end) {
                uint64_t n = strtoull(at, &end, 10);
                if (end == at)
                        break;
                fields[count] = n;
        }
        return count;
}

bool sysfs_device(int dir, dev_t *ret) {
        char text[32];
        unsigned device_major, device_minor;
        if (!sysfs_text(dir, "dev", text, sizeof text) || sscanf(text, "%u:%u", &device_major, &device_minor) != 2)
                return false;
        *ret = makedev(device_major, device_minor);
        return true;
}

DIR *sysfs_list(int dir, const char *entry) {
        CLEANUP_CLOSE int fd = sysfs_open_entry(dir, entry);
        if (fd < 0)
                return NULL;
        DIR *list = fdopendir(fd);
        if (list)
                fd = -1; /* belongs to the list now */
        return list;
}

const char *sysfs_next(DIR *list) {
        struct dirent *entry;
        while ((entry = readdir(list)) != NULL)
                if (entry->d_name[0] != '.')
                        return entry->d_name;
        return NULL;
}

int sysfs_open_node(dev_t device) {
        char name[SYSFS_NAME_BYTES], path[SYSFS_NAME_BYTES + 8];
        sysfs_name(name, device);
        text_format(path, sizeof path, "/dev/%s", name);
        /* Not blocking: only to ask, also where there is no medium. */
        CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        struct stat st;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISBLK(st.st_mode) || st.st_rdev != device)
                return -ENODEV;
        return STEAL_FD(fd);
}
