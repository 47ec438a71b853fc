/* SPDX-License-Identifier: Apache-2.0 */
/* file_map: which blocks of a file there are. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct file_map {
        bool complete;      /* every byte has a block of its own */
        bool any_unwritten; /* a part has blocks, but reads as zeros without asking the disk */
        bool all_unwritten;
};

/* -EOPNOTSUPP, -ENOTTY: the file system has no map (tmpfs, ZFS). Another negative errno. */
int file_map_read(struct file_map *ret, int fd, uint64_t size_bytes);
