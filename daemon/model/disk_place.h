/* SPDX-License-Identifier: Apache-2.0 */
/* disk_place: which disks a device lies on, and what those share with others on their way to the computer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DISK_PLACE_DISKS_MAX = 64, DISK_PLACE_CONTROLLERS_MAX = 16, DISK_PLACE_NAME_BYTES = 32 };

/* All zero: nothing is known, and nothing is shared. What finds no room is left out. */
struct disk_place {
        size_t disk_count;
        uint64_t disks[DISK_PLACE_DISKS_MAX]; /* device numbers: itself, its whole disk, what that stacks on */
        size_t controller_count;
        char controllers[DISK_PLACE_CONTROLLERS_MAX][DISK_PLACE_NAME_BYTES];
};

/* Nothing is added twice. */
void disk_place_add_disk(struct disk_place *p, uint64_t disk);
void disk_place_add_controller(struct disk_place *p, const char *name);

bool disk_place_has_disk(const struct disk_place *p, uint64_t disk);
bool disk_place_has_controller(const struct disk_place *p, const char *name);
bool disk_place_shares_disk(const struct disk_place *a, const struct disk_place *b);

/* A number for its first controller; 0: it has none. Where there are several, all of them carry what it does. */
uint64_t disk_place_controller_number(const struct disk_place *p);
