/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables and units name devices in many ways, of which some mean nothing without udev: those are compared with what the
 * device itself says. A name that leads elsewhere must not match, and one that leads to a part of the device must: who
 * mounts a partition uses its disk.
 */
#include "media/device_names.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "media/signatures.h"
#include "media/sysfs.h"
#include "media/target.h"

#include <ctype.h>
#include <string.h>
#include <sys/stat.h>

static void add(struct device_names *names, dev_t device) {
        if (names->count < DEVICE_NAMES_MAX)
                names->devices[names->count++] = device;
}

void device_names_gather(struct device_names *names, const struct target_facts *facts) {
        *names = (struct device_names){ .path = facts->path, .backing_file = facts->identity.backing_file };
        add(names, facts->device);
        if (facts->disk != facts->device) {
                add(names, facts->disk);
                return;
        }
        CLEANUP_CLOSE int dir = sysfs_open(facts->device);
        CLEANUP_CLOSEDIR DIR *list = dir >= 0 ? sysfs_list(dir, ".") : NULL;
        const char *name;
        while (list && (name = sysfs_next(list)) != NULL) {
                CLEANUP_CLOSE int below = sysfs_open_entry(dirfd(list), name);
                dev_t partition;
                if (below >= 0 && sysfs_exists(below, "partition") && sysfs_device(below, &partition))
                        add(names, partition);
        }
}

static bool tag_is_ours(const struct device_names *names, const char *tag, const char *value) {
        for (size_t i = 0; i < names->count; i++)
                if (signatures_named(names->devices[i], tag, value) != 0)
                        return true;
        return false;
}

static int hex_digit(char c) {
        return isdigit((unsigned char)c)     ? c - '0'
                : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
                                             : -1;
}

/* udev writes what can't stand in a name of its links as \x20. */
static void undo_hex(char *text) {
        char *to = text;
        for (const char *from = text; *from;) {
                if (from[0] == '\\' && from[1] == 'x' && hex_digit(from[2]) >= 0 && hex_digit(from[3]) >= 0) {
                        *to++ = (char)(hex_digit(from[2]) * 16 + hex_digit(from[3]));
                        from += 4;
                } else {
                        *to++ = *from++;
                }
        }
        *to = '\0';
}

/* A link that udev would make, where udev does not run. */
static bool link_is_ours(const struct device_names *names, const char *path) {
        static const struct {
                const char *directory, *tag;
        } links[] = {
                { "/dev/disk/by-uuid/", "UUID" },
                { "/dev/disk/by-label/", "LABEL" },
                { "/dev/disk/by-partuuid/", "PARTUUID" },
                { "/dev/disk/by-partlabel/", "PARTLABEL" },
        };
        for (size_t i = 0; i < ELEMENTS(links); i++) {
                size_t n = strlen(links[i].directory);
                if (strncmp(path, links[i].directory, n) != 0)
                        continue;
                char value[PATH_MAX];
                text_copy(value, sizeof value, path + n);
                undo_hex(value);
                return tag_is_ours(names, links[i].tag, value);
        }
        return false;
}

static bool path_is_ours(const struct device_names *names, const char *path) {
        struct stat st;
        if (strcmp(path, names->path) == 0 || strcmp(path, names->backing_file) == 0)
                return true;
        if (strncmp(path, "/dev/", strlen("/dev/")) != 0) /* elsewhere a look may wait for a dead server */
                return false;
        if (stat(path, &st) < 0)
                return link_is_ours(names, path);
        for (size_t i = 0; i < names->count; i++)
                if (S_ISBLK(st.st_mode) && st.st_rdev == names->devices[i])
                        return true;
        return false;
}

bool device_names_have(const struct device_names *names, const char *name) {
        static const char *const tags[] = { "UUID", "LABEL", "PARTUUID", "PARTLABEL", "ID" };
        if (name[0] == '/')
                return path_is_ours(names, name);
        for (size_t i = 0; i < ELEMENTS(tags); i++) {
                size_t n = strlen(tags[i]);
                if (strncmp(name, tags[i], n) != 0 || name[n] != '=')
                        continue;
                char value[PATH_MAX], path[PATH_MAX + 32];
                const char *from = name + n + 1;
                text_copy(value, sizeof value, *from == '"' || *from == '\'' ? from + 1 : from);
                value[strcspn(value, "\"'")] = '\0';
                if (strcmp(tags[i], "ID") != 0)
                        return tag_is_ours(names, tags[i], value);
                text_format(path, sizeof path, "/dev/disk/by-id/%s", value);
                return path_is_ours(names, path);
        }
        return false;
}
