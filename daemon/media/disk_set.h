/* SPDX-License-Identifier: Apache-2.0 */
/* disk_set: all the devices that something rests on: itself, its whole disk, what that stacks on, and so on down. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { DISK_SET_MAX = 128 };

struct disk_set {
        size_t count;
        bool through_loops; /* set before anything is added: what a loop device's file rests on belongs to it, too */
        bool incomplete;    /* there were more, or some could not be told */
        dev_t devices[DISK_SET_MAX];
};

void disk_set_add(struct disk_set *set, dev_t device);

/*
 * Adds what a directory's file system rests on: through partitions, dm, md, the devices of a btrfs and the upper layer
 * of an overlay; loop devices are looked through where the set says so. tmpfs and network file systems rest on nothing.
 */
void disk_set_add_directory(struct disk_set *set, const char *directory);

bool disk_set_has(const struct disk_set *set, dev_t device);

/* Whether both rest on a common device; also where that can't be ruled out. */
bool disk_set_meets(const struct disk_set *a, const struct disk_set *b);
