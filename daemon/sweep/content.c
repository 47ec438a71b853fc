/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This is where "verified" gets its meaning, so it is one exact comparison of every byte with what was computed, never
 * of a checksum. It is also the hottest loop: a unit that is right costs one pass over it and over the table, which
 * stays in L2.
 */
#include "sweep/content.h"

#include "base/cleanup.h"

#include <assert.h>
#include <string.h>

static bool is_head(uint64_t offset_bytes) {
        return offset_bytes % UNIT_BYTES == 0;
}

static void write_stamp(const struct content *c, uint8_t *bytes, uint64_t offset_bytes) {
        struct stamp stamp = c->stamp;
        stamp.offset_bytes = offset_bytes;
        stamp_write(bytes, &stamp);
}

static void write_head(const struct content *c, uint8_t *sector, uint64_t offset_bytes) {
        if (is_head(offset_bytes)) {
                write_stamp(c, sector, offset_bytes);
        } else {
                uint64_t mark = stamp_mark(c->table->nonce, offset_bytes);
                memcpy(sector, &mark, sizeof mark);
        }
}

void content_stamp(const struct content *c, uint8_t *bytes, uint64_t offset_bytes, uint64_t length_bytes) {
        assert(offset_bytes % SECTOR_BYTES == 0 && length_bytes % SECTOR_BYTES == 0);
        for (uint64_t at = 0; at < length_bytes && !c->table->fixed; at += SECTOR_BYTES)
                write_head(c, bytes + at, offset_bytes + at);
}

void content_fill(const struct content *c, uint8_t *bytes, uint64_t offset_bytes, uint64_t length_bytes) {
        for (uint64_t at = 0; at < length_bytes; at += SECTOR_BYTES)
                memcpy(bytes + at, table_sector(c->table, offset_bytes + at), SECTOR_BYTES);
        content_stamp(c, bytes, offset_bytes, length_bytes);
}

void content_sector(const struct content *c, uint8_t sector[static SECTOR_BYTES], uint64_t offset_bytes) {
        content_fill(c, sector, offset_bytes, SECTOR_BYTES);
}

bool content_has_sector(const struct content *c, const uint8_t *sector, uint64_t offset_bytes) {
        const uint8_t *table = table_sector(c->table, offset_bytes);
        if (c->table->fixed)
                return memcmp(sector, table, SECTOR_BYTES) == 0;
        if (is_head(offset_bytes)) {
                uint8_t stamp[STAMP_BYTES];
                write_stamp(c, stamp, offset_bytes);
                return memcmp(sector, stamp, STAMP_BYTES) == 0 &&
                        memcmp(sector + STAMP_BYTES, table + STAMP_BYTES, SECTOR_BYTES - STAMP_BYTES) == 0;
        }
        uint64_t mark = stamp_mark(c->table->nonce, offset_bytes);
        return memcmp(sector, &mark, sizeof mark) == 0 &&
                memcmp(sector + MARK_BYTES, table + MARK_BYTES, SECTOR_BYTES - MARK_BYTES) == 0;
}

bool content_is_fixed(const uint8_t *bytes, size_t length_bytes, uint8_t byte) {
        return bytes[0] == byte && memcmp(bytes, bytes + 1, length_bytes - 1) == 0;
}

bool content_is_zero(const uint8_t *bytes, size_t length_bytes) {
        return content_is_fixed(bytes, length_bytes, 0);
}

bool expectation_has_sector(const struct expectation *e, const uint8_t *sector, uint64_t offset_bytes) {
        for (size_t i = 0; i < e->count; i++)
                if (content_has_sector(&e->candidates[i], sector, offset_bytes))
                        return true;
        return false;
}

/* One unit, or the part of one that lies in the range. */
static bool unit_is_good(const struct expectation *e, const uint8_t *bytes, uint64_t offset_bytes, uint64_t length) {
        for (uint64_t at = 0; at < length; at += SECTOR_BYTES)
                if (!expectation_has_sector(e, bytes + at, offset_bytes + at))
                        return false;
        return true;
}

size_t expectation_check(const struct expectation *e, const uint8_t *bytes, uint64_t offset_bytes,
        uint64_t length_bytes, uint64_t *bad_units) {
        assert(e->count > 0 && e->count <= EXPECTATION_MAX);
        assert(offset_bytes % SECTOR_BYTES == 0 && length_bytes % SECTOR_BYTES == 0);
        memset(bad_units, 0, (length_bytes / UNIT_BYTES + 2 + 63) / 64 * sizeof *bad_units);
        size_t bad = 0, unit = 0;
        for (uint64_t at = 0; at < length_bytes; unit++) {
                uint64_t to_next = UNIT_BYTES - (offset_bytes + at) % UNIT_BYTES;
                uint64_t length = MIN(to_next, length_bytes - at);
                if (!unit_is_good(e, bytes + at, offset_bytes + at, length)) {
                        bad_units[unit / 64] |= BIT(unit % 64);
                        bad++;
                }
                at += length;
        }
        return bad;
}
