/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What could go wrong in a sweep of a part of a disk: a block or a segment that is cut at the wrong end, a place that
 * is told relative to the part, what is known of one part taken for another's. That shows where borders of parts fall
 * between those of blocks, and where parts touch. So sizes are odd here, one in three parts begins where the last one
 * ended, and some are as small as a unit.
 */
#include "extents.h"

#include "base/cleanup.h"

size_t extents_cut(struct extent *list, struct chance *chance, uint64_t sectors) {
        uint64_t units = (sectors + UNIT_SECTORS - 1) / UNIT_SECTORS, at = 0;
        size_t count = 0, most = (size_t)chance_between(chance, 1, EXTENTS_MAX);
        while (count < most) {
                uint64_t room = (units - at) / (most - count);
                uint64_t gap = chance_one_in(chance, 3) ? 0 : chance_below(chance, room / 3 + 1);
                uint64_t length = chance_one_in(chance, 8) ? 1 : chance_between(chance, 1, MAX(room - gap, 1));
                at += gap;
                if (at >= units)
                        break;
                length = MIN(length, units - at);
                list[count++] = (struct extent){ at * UNIT_BYTES, length * UNIT_BYTES };
                at += length;
        }
        struct extent *last = &list[count - 1];
        uint64_t end = sectors * SECTOR_BYTES;
        if (extent_end(*last) > end || chance_one_in(chance, 2))
                last->length_bytes = end - last->offset_bytes;
        return count;
}
