/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stamp must tell a stranger with nothing but the disk whose it is, and must never be believed when damaged: so each
 * carries its own CRC. Marks let a lone sector say where it belongs, without room for a checksum: there are 2^64 of
 * them, and whoever asks compares the rest of the sector too.
 */
#include "sweep/stamp.h"

#include <endian.h>
#include <isa-l/crc64.h>
#include <string.h>

static const char magic[6] = { 'S', 'W', 'E', 'E', 'P', 'D' };
enum { VERSION = 1, CRC_AT = 56 };

static const uint64_t step = UINT64_C(0x9e3779b97f4a7c15);
static const uint64_t step_inverse = UINT64_C(0xf1de83e19937733d); /* step * step_inverse = 1 modulo 2^64 */

static void put64(uint8_t *to, uint64_t value) {
        value = htole64(value);
        memcpy(to, &value, sizeof value);
}

static uint64_t get64(const uint8_t *from) {
        uint64_t value;
        memcpy(&value, from, sizeof value);
        return le64toh(value);
}

void stamp_write(uint8_t bytes[static STAMP_BYTES], const struct stamp *stamp) {
        memcpy(bytes, magic, sizeof magic);
        bytes[6] = VERSION;
        bytes[7] = (uint8_t)stamp->mode;
        put64(bytes + 8, stamp->target_id);
        put64(bytes + 16, stamp->offset_bytes);
        put64(bytes + 24, stamp->generation);
        put64(bytes + 32, stamp->nonce);
        put64(bytes + 40, stamp->started_us);
        put64(bytes + 48, 0);
        put64(bytes + CRC_AT, crc64_ecma_refl(0, bytes, CRC_AT));
}

bool stamp_read(struct stamp *ret, const uint8_t bytes[static STAMP_BYTES]) {
        if (memcmp(bytes, magic, sizeof magic) != 0 || bytes[6] != VERSION || bytes[7] >= MODE_COUNT)
                return false;
        if (get64(bytes + CRC_AT) != crc64_ecma_refl(0, bytes, CRC_AT))
                return false;
        *ret = (struct stamp){
                .mode = (enum sweep_mode)bytes[7],
                .target_id = get64(bytes + 8),
                .offset_bytes = get64(bytes + 16),
                .generation = get64(bytes + 24),
                .nonce = get64(bytes + 32),
                .started_us = get64(bytes + 40),
        };
        return true;
}

uint64_t stamp_mark(uint64_t nonce, uint64_t offset_bytes) {
        return htole64(layout_mix(nonce + (offset_bytes / SECTOR_BYTES + 1) * step));
}

uint64_t stamp_mark_offset(uint64_t nonce, uint64_t mark) {
        uint64_t sector = (layout_unmix(le64toh(mark)) - nonce) * step_inverse - 1;
        return sector * SECTOR_BYTES;
}

void stamp_destroy(uint8_t *bytes, uint64_t offset_bytes, uint64_t length_bytes, bool marks) {
        static const uint8_t ruin[MARK_BYTES] = { 0xd5, 0xd5, 0xd5, 0xd5, 0x2a, 0x2a, 0x2a, 0x2a };
        for (uint64_t at = 0; at < length_bytes; at += SECTOR_BYTES) {
                bool head = (offset_bytes + at) % UNIT_BYTES == 0;
                if (head || marks)
                        memcpy(bytes + at, ruin, sizeof ruin);
        }
}
