/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file may have holes, blocks that were never written, blocks that it shares with a copy, or bytes that lie in its
 * inode: what is written there goes to another place than what was, or has no place yet. SEEK_HOLE is of no use here:
 * it takes what was allocated but never written for a hole. So the file system's own map is asked.
 */
#include "media/file_map.h"

#include "base/cleanup.h"

#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>

enum { EXTENTS_MAX = 64 };

static const uint32_t homeless = FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_ENCODED |
        FIEMAP_EXTENT_NOT_ALIGNED | FIEMAP_EXTENT_DATA_INLINE | FIEMAP_EXTENT_DATA_TAIL | FIEMAP_EXTENT_SHARED;

/* Returns up to where the file is mapped without a gap from `at` on. */
static uint64_t note_extents(struct file_map *map, const struct fiemap *part, uint64_t at) {
        for (uint32_t i = 0; i < MIN(part->fm_mapped_extents, (uint32_t)EXTENTS_MAX); i++) {
                const struct fiemap_extent *e = &part->fm_extents[i];
                if (e->fe_logical > at || (e->fe_flags & homeless))
                        map->complete = false;
                bool unwritten = e->fe_flags & FIEMAP_EXTENT_UNWRITTEN;
                map->any_unwritten |= unwritten;
                map->all_unwritten &= unwritten;
                at = MAX(at, e->fe_logical + e->fe_length);
        }
        return at;
}

int file_map_read(struct file_map *ret, int fd, uint64_t size_bytes) {
        struct file_map map = { .complete = true, .all_unwritten = true };
        CLEANUP_FREE struct fiemap *part = calloc(1, sizeof *part + EXTENTS_MAX * sizeof part->fm_extents[0]);
        if (!part)
                return -ENOMEM;
        for (uint64_t at = 0; at < size_bytes && map.complete;) {
                *part = (struct fiemap){ .fm_start = at,
                        .fm_length = size_bytes - at,
                        .fm_flags = FIEMAP_FLAG_SYNC,
                        .fm_extent_count = EXTENTS_MAX };
                if (ioctl(fd, FS_IOC_FIEMAP, part) < 0)
                        return -errno;
                uint64_t before = at;
                at = note_extents(&map, part, at);
                map.complete &= at > before;
        }
        *ret = map;
        return 0;
}
