/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel escapes white space in octal, puts a varying number of fields in the middle of a line, and users choose
 * most of the texts. A line that is misread could hide that a disk is in use, so fields are taken by the rules alone.
 */
#include "media/mounts.h"

#include "base/text.h"
#include "media/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

int mounts_open(struct mounts *mounts) {
        FILE *file = fopen("/proc/self/mountinfo", "re");
        if (!file)
                return -errno;
        *mounts = (struct mounts){ .file = file };
        return 0;
}

void mounts_unescape(char *text) {
        char *to = text;
        for (const char *from = text; *from;) {
                unsigned byte = 0;
                size_t digits = 0;
                if (*from == '\\')
                        for (; digits < 3 && from[1 + digits] >= '0' && from[1 + digits] <= '7'; digits++)
                                byte = byte * 8 + (unsigned)(from[1 + digits] - '0');
                if (digits == 3) {
                        *to++ = (char)byte;
                        from += 4;
                } else {
                        *to++ = *from++;
                }
        }
        *to = '\0';
}

enum { FIELD_ID, FIELD_PARENT, FIELD_DEVICE, FIELD_ROOT, FIELD_POINT, FIELD_OPTIONS, FIELD_COUNT };

/* The fields before " - ", then type, source and options after it. */
static bool parse_line(struct mount_entry *entry, char *line) {
        line[strcspn(line, "\n")] = '\0';
        char *second = strstr(line, " - "), *rest, *fields[FIELD_COUNT];
        if (!second)
                return false;
        *second = '\0';
        rest = line;
        for (size_t i = 0; i < FIELD_COUNT; i++) {
                fields[i] = strsep(&rest, " ");
                if (!fields[i])
                        return false;
        }
        rest = second + 3;
        entry->type = strsep(&rest, " ");
        entry->source = strsep(&rest, " ");
        entry->options = strsep(&rest, " ");
        if (!entry->options)
                return false;
        unsigned device_major, device_minor;
        if (sscanf(fields[FIELD_ID], "%" SCNu64, &entry->id) != 1 ||
                sscanf(fields[FIELD_DEVICE], "%u:%u", &device_major, &device_minor) != 2)
                return false;
        entry->device = makedev(device_major, device_minor);
        entry->point = fields[FIELD_POINT];
        mounts_unescape(entry->point);
        mounts_unescape(entry->source);
        mounts_unescape(entry->options);
        return true;
}

bool mounts_next(struct mounts *mounts) {
        while (getline(&mounts->line, &mounts->line_bytes, mounts->file) >= 0)
                if (parse_line(&mounts->entry, mounts->line))
                        return true;
        return false;
}

bool mounts_source_device(const struct mount_entry *entry, dev_t *ret) {
        struct stat st;
        /* Only below /dev: looking at a path of a network or FUSE file system could take for ever. */
        if (strncmp(entry->source, "/dev/", strlen("/dev/")) != 0 || stat(entry->source, &st) < 0 ||
                !S_ISBLK(st.st_mode))
                return false;
        *ret = st.st_rdev;
        return true;
}

bool mounts_share_btrfs(const char *a, const char *b) {
        CLEANUP_CLOSEDIR DIR *all = sysfs_list(AT_FDCWD, "/sys/fs/btrfs");
        const char *uuid;
        while (all && (uuid = sysfs_next(all)) != NULL) {
                char entry_a[PATH_MAX], entry_b[PATH_MAX];
                text_format(entry_a, sizeof entry_a, "%s/devices/%s", uuid, a);
                text_format(entry_b, sizeof entry_b, "%s/devices/%s", uuid, b);
                if (sysfs_exists(dirfd(all), entry_a) && sysfs_exists(dirfd(all), entry_b))
                        return true;
        }
        return false;
}

void mounts_close(struct mounts *mounts) {
        if (mounts->file)
                fclose(mounts->file);
        free(mounts->line);
        *mounts = (struct mounts){ 0 };
}

static bool is_below(const char *path, const char *point) {
        size_t n = strlen(point);
        if (n == 1) /* the root */
                return path[0] == '/';
        return strncmp(path, point, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static bool type_may_hang(const char *type) {
        static const char *const local[] = { "ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "ramfs", "devtmpfs",
                "f2fs", "vfat", "exfat", "zfs", "overlay", "squashfs", "erofs", "bcachefs", "jfs", "reiserfs",
                "hugetlbfs" };
        for (size_t i = 0; i < ELEMENTS(local); i++)
                if (strcmp(type, local[i]) == 0)
                        return false;
        return true;
}

bool mounts_may_hang(const char *path, dev_t *ret_device) {
        CLEANUP(mounts_close)
        struct mounts mounts;
        size_t longest = 0;
        bool may_hang = false;
        if (mounts_open(&mounts) < 0)
                return false;
        while (mounts_next(&mounts)) {
                size_t n = strlen(mounts.entry.point);
                if (n < longest || !is_below(path, mounts.entry.point))
                        continue;
                longest = n; /* of several on one point the last one is on top */
                may_hang = type_may_hang(mounts.entry.type);
                *ret_device = mounts.entry.device;
        }
        return may_hang;
}
