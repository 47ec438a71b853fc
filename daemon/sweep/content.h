/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content: what must be on the target, to the bit: what one generation wrote (stamps, marks and its table), or, where a
 * sweep was cut short, what one of several did. A fixed pattern is a table of one byte and nothing else. Offsets and
 * lengths are multiples of 512; units begin at multiples of 4096 of the target. Knows bytes, never devices.
 */
#pragma once

#include "sweep/stamp.h"
#include "sweep/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What one generation wrote. The stamp's offset is ignored: it follows from the place. Where the table is a fixed one
 * there is no stamp, and this one is that of the sweep. */
struct content {
        const struct table *table;
        struct stamp stamp;
};

enum { EXPECTATION_MAX = 4 };

/* A place may hold any of these, sector by sector; with one, exactly that. */
struct expectation {
        size_t count;
        struct content candidates[EXPECTATION_MAX];
};

/* Writes everything. */
void content_fill(const struct content *c, uint8_t *bytes, uint64_t offset_bytes, uint64_t length_bytes);

/* Writes stamps and marks only, where there are such: the rest must be there already (content_fill() of the same table
 * at a place TABLE_BYTES apart). */
void content_stamp(const struct content *c, uint8_t *bytes, uint64_t offset_bytes, uint64_t length_bytes);

/* The bytes that one sector must hold. */
void content_sector(const struct content *c, uint8_t sector[static SECTOR_BYTES], uint64_t offset_bytes);

bool content_has_sector(const struct content *c, const uint8_t *sector, uint64_t offset_bytes);

/*
 * Compares every byte. Sets one bit of bad_units for each unit that differs anywhere: bit 0 is the unit that holds
 * offset_bytes. Returns how many. bad_units has (length / UNIT_BYTES + 2) bits of room at least and is overwritten.
 */
size_t expectation_check(const struct expectation *e, const uint8_t *bytes, uint64_t offset_bytes,
        uint64_t length_bytes, uint64_t *bad_units);

bool content_is_zero(const uint8_t *bytes, size_t length_bytes);

/* True: all of them are this one, once or more. */
bool content_is_fixed(const uint8_t *bytes, size_t length_bytes, uint8_t byte);

/* True: the sector holds what one of the candidates wrote there. */
bool expectation_has_sector(const struct expectation *e, const uint8_t *sector, uint64_t offset_bytes);
