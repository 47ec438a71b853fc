/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysfs: what the kernel says of block devices below /sys/dev/block. A device is named by its number, never by a path
 * that may lead elsewhere a moment later. What can't be read is unknown; who asks decides what that means.
 */
#pragma once

#include "base/cleanup.h"

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { SYSFS_NAME_BYTES = 64 };

/* The directory of a device. Negative errno. */
int sysfs_open(dev_t device);

/* The directory of the whole disk: of the parent for a partition, else the same once more. Negative errno. */
int sysfs_open_whole(int dir);

/* Whether the device is a multipath one: it stacks on other paths to the very disk that it stands for. */
bool sysfs_multipath(int dir);

/* The directory of the disk that has the hardware behind it: of the first path for multipath, else the same once more.
 */
int sysfs_open_hardware(int whole);

/* The directory of an entry below, such as "slaves/sda". Negative errno. */
int sysfs_open_entry(int dir, const char *entry);

/* "sda": the kernel's name; the number ("8:0") where it can't be told. */
void sysfs_name(char name[static SYSFS_NAME_BYTES], dev_t device);

bool sysfs_exists(int dir, const char *entry);

/* An attribute without white space around it. False and "": there is none, or it is empty. */
bool sysfs_text(int dir, const char *attribute, char *text, size_t text_bytes);

/* An attribute that is a path: without its line end, with all else that a path may hold. */
bool sysfs_path(int dir, const char *attribute, char *path, size_t path_bytes);

/* A decimal attribute. False: there is none, *ret is untouched. */
bool sysfs_number(int dir, const char *attribute, uint64_t *ret);

/* Fields of `stat`, as in the kernel's Documentation/block/stat.rst. */
enum {
        SYSFS_STAT_READ_SECTORS = 2,
        SYSFS_STAT_WRITES = 4,
        SYSFS_STAT_WRITTEN_SECTORS = 6,
        SYSFS_STAT_IN_FLIGHT = 8,
        SYSFS_STAT_DISCARDS = 11,
        SYSFS_STAT_DISCARDED_SECTORS = 13,
        SYSFS_STAT_FLUSHES = 15,
        SYSFS_STAT_COUNT = 17,
        SYSFS_SECTOR_BYTES = 512
};

/* How many there are: old kernels have fewer. The others are untouched. */
size_t sysfs_stat(int dir, uint64_t fields[static SYSFS_STAT_COUNT]);

/* The bytes of a binary attribute, up to max; 0: there is none. */
size_t sysfs_bytes(int dir, const char *attribute, uint8_t *bytes, size_t max);

/* The number of the device whose directory this is. */
bool sysfs_device(int dir, dev_t *ret);

/* Walks over the entries of a directory below `dir` (or over an absolute path). NULL: there is none. */
DIR *sysfs_list(int dir, const char *entry);

/* The next name, or NULL at the end. */
const char *sysfs_next(DIR *list);

/* Opens the device itself, buffered and read-only, by the name that the kernel gave it; checks its number. */
int sysfs_open_node(dev_t device);

static inline void closedirp(DIR **list) {
        if (*list)
                closedir(*list);
        *list = NULL;
}

#define CLEANUP_CLOSEDIR CLEANUP(closedirp)
