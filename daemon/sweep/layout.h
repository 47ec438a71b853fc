/* SPDX-License-Identifier: Apache-2.0 */
/* layout: the sizes that what we write is made of. */
#pragma once

#include <stdint.h>

enum {
        SECTOR_BYTES = 512,
        UNIT_BYTES = 4096, /* what is judged by itself; the last one of an extent may be shorter */
        UNIT_SECTORS = UNIT_BYTES / SECTOR_BYTES,
        STAMP_BYTES = 64, /* at the head of each unit */
        MARK_BYTES = 8,   /* at the head of each further sector */
        TABLE_BYTES = 1 << 20,
        BLOCK_BYTES_MAX = 4 << 20,
        BLOCK_UNITS_MAX = BLOCK_BYTES_MAX / UNIT_BYTES
};

/* One mixing step that loses nothing and can be undone (the finalizer of splitmix64, Steele, Lea and Flood, 2014). */
static inline uint64_t layout_mix(uint64_t z) {
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

/* Its inverse: the factors are the inverses of the ones above modulo 2^64. */
static inline uint64_t layout_unmix(uint64_t z) {
        z = (z ^ (z >> 31) ^ (z >> 62)) * UINT64_C(0x319642b2d24d8ec3);
        z = (z ^ (z >> 27) ^ (z >> 54)) * UINT64_C(0x96de1b173f119089);
        return z ^ (z >> 30) ^ (z >> 60);
}
