/* SPDX-License-Identifier: Apache-2.0 */
/* disk_record: a whole disk that is present, by all names that it has. */
#pragma once

#include "model/identity.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DISK_NAME_BYTES = 64, DISK_LINKS_MAX = 64 };

struct disk_record {
        char name[DISK_NAME_BYTES]; /* the kernel's: "sda" */
        uint64_t device;            /* its number */
        uint64_t size_bytes;
        bool shares_serial; /* one of several units behind one serial: a further NVMe namespace or SCSI LUN */
        struct identity identity;
        size_t link_count;
        char *links[DISK_LINKS_MAX]; /* heap; "/dev/disk/by-id/..." and the like, whole paths */
};

struct disk_list {
        size_t count;
        struct disk_record **disks; /* by kernel name, numbers in it by their value */
};

/* Accepts NULL; returns NULL. */
struct disk_list *disk_list_free(struct disk_list *list);
