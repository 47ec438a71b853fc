/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stamp: the self-describing first 64 bytes of a unit, and the marks of its further sectors. Layout, little-endian:
 *
 *    0  6  "SWEEPD"
 *    6  1  version, 1
 *    7  1  mode (enum sweep_mode)
 *    8  8  target id
 *   16  8  offset of the unit on the target, bytes
 *   24  8  generation
 *   32  8  nonce
 *   40  8  start of the sweep, microseconds since 1970-01-01 UTC
 *   48  8  zero
 *   56  8  CRC-64 of bytes 0 to 55 (ECMA-182, reflected, as in the .xz format)
 *
 * A mark is mix(nonce + (sector + 1) * 0x9e3779b97f4a7c15): no two sectors of a target have the same one, and with the
 * nonce the sector's number can be computed back from it.
 */
#pragma once

#include "model/device_config.h"
#include "sweep/layout.h"

#include <stdbool.h>
#include <stdint.h>

struct stamp {
        enum sweep_mode mode;
        uint64_t target_id;
        uint64_t offset_bytes;
        uint64_t generation;
        uint64_t nonce;
        uint64_t started_us;
};

void stamp_write(uint8_t bytes[static STAMP_BYTES], const struct stamp *stamp);

/* True: a whole, undamaged stamp of a version that we know. */
bool stamp_read(struct stamp *ret, const uint8_t bytes[static STAMP_BYTES]);

/* offset_bytes: of the sector, a multiple of 512. In the byte order of the disk. */
uint64_t stamp_mark(uint64_t nonce, uint64_t offset_bytes);

/* The offset of the sector that this mark was made for, if it was made with this nonce; any number at all if it wasn't.
 */
uint64_t stamp_mark_offset(uint64_t nonce, uint64_t mark);

/*
 * Makes the bytes unfit to be verified: overwrites the stamp of each unit and, with marks, every mark too; what is put
 * there is no fixed pattern either. offset_bytes and length_bytes are multiples of 512.
 */
void stamp_destroy(uint8_t *bytes, uint64_t offset_bytes, uint64_t length_bytes, bool marks);
