/* SPDX-License-Identifier: Apache-2.0 */
/*
 * undo_layout: the bytes of an undo journal, which holds the originals of what a sweep has overwritten for a while.
 * Version 1. A journal is a file or a block device, cut into pages of 4096 bytes:
 *
 *   2 pages              the head, twice
 *   for slot 0, slot 1:
 *     1 page             its marker, first copy
 *     T pages            the table of the units that it holds: 480 units a page
 *     S bytes            the units' bytes, S = segment size in whole pages
 *     1 page             its marker, second copy
 *   256 times 2 pages    the shelf: bytes of somebody else that were met, each with its description
 *
 * Every page but those of units begins with 8 bytes that tell what it is and end with a checksum; numbers are
 * little-endian:
 *
 *      0  6  "SWEEPU"
 *      6  1  'H' head, 'M' marker, 'T' table, 'S' description on the shelf
 *      7  1  version, 1
 *      8  8  journal id, random
 *   4088  8  CRC-64 of bytes 0 to 4087 (ECMA-182, reflected, as in the .xz format)
 *
 *   head:    16 created, us since 1970 | 24 segment bytes | 32 target size, bytes | 40 partition offset | 48 kind of
 *            target (4 bytes) | 64 device name (65) | 192 serial (128) | 320 WWN (128) | 448 PARTUUID (128) |
 *            576 backing file (1024)
 *   marker:  16 sequence | 24 record | 32 slot (4) | 36 state (4) | 40 mode (4) | 48 offset | 56 length |
 *            64 target id | 72 generation | 80 nonce | 88 start of the sweep | 96 armed at, us since 1970 |
 *            104 units lost (4): that could not be put back; while ARMED, not 0: a flush of the target failed since, so
 *            that what reads as the original may not be durable | 112 CRC-64 of the table's pages' checksums, in order
 *   table:   16 record | 24 number of the page in its table (4) | 28 units on it (4) | 32 a bit for each unit that was
 *            left out: it holds no saved bytes and was never written (60) | 96 CRC-64 of each unit (480 times 8)
 *   shelf:   16 record that was being restored | 24 offset | 32 length (4) | 40 met at, us since 1970 | 48 CRC-64 of
 *            the bytes, which are on the next page
 *
 * Of a marker's two copies the one with the higher sequence counts; a copy that is torn or unreadable counts for
 * nothing. A slot is armed from the moment at which a copy with the state ARMED (or PINNED) is durable until one of a
 * higher sequence with the state FREE is.
 */
#pragma once

#include "model/device_config.h"
#include "model/extent.h"
#include "model/identity.h"
#include "sweep/layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        UNDO_PAGE_BYTES = 4096,
        UNDO_SLOTS = 2,
        UNDO_MARKER_COPIES = 2,
        UNDO_TABLE_UNITS = 480, /* on a page of a table */
        UNDO_SHELF_UNITS = 256
};

enum undo_state {
        UNDO_FREE,
        UNDO_ARMED,
        UNDO_PINNED, /* armed, and its restore did not succeed: a person decides */
        UNDO_STATE_COUNT
};

struct undo_head {
        uint64_t journal_id;
        uint64_t created_us;
        uint64_t segment_bytes;
        uint64_t target_bytes;
        char device[DEVICE_NAME_BYTES];
        struct identity identity; /* kind, serial, wwn, partuuid, backing_file, partition_offset_bytes */
};

struct undo_marker {
        uint64_t sequence; /* grows with each marker that is written to the journal */
        uint64_t record;   /* the number of what is saved in the slot, as in its table */
        uint32_t slot;
        enum undo_state state;
        enum sweep_mode mode;
        struct extent place; /* on the target */
        uint64_t target_id;
        uint64_t generation;
        uint64_t nonce;
        uint64_t started_us;
        uint64_t armed_us;
        uint32_t units_lost;
        uint64_t table_crc;
};

/* What a slot holds, in memory: about 8.2 bytes for each unit. */
struct undo_table {
        size_t room;      /* units */
        size_t units;     /* in use */
        uint64_t *crcs;   /* of each unit's bytes */
        uint64_t *absent; /* a bit for each unit that was left out */
};

struct undo_shelved {
        uint64_t record;
        struct extent place; /* within one unit */
        uint64_t met_us;
        uint64_t crc;
};

/* Sizes and places in the journal, in bytes. segment_bytes: as configured; a slot has whole pages. */
uint64_t undo_journal_bytes(uint64_t segment_bytes);
uint64_t undo_head_offset(unsigned copy);
uint64_t undo_marker_offset(uint64_t segment_bytes, unsigned slot, unsigned copy);
uint64_t undo_table_offset(uint64_t segment_bytes, unsigned slot);
uint64_t undo_data_offset(uint64_t segment_bytes, unsigned slot);
uint64_t undo_shelf_offset(uint64_t segment_bytes, unsigned index); /* its description; the bytes are a page behind */

static inline size_t undo_units(uint64_t length_bytes) {
        return (size_t)((length_bytes + UNIT_BYTES - 1) / UNIT_BYTES);
}

static inline size_t undo_table_pages(uint64_t length_bytes) {
        return (undo_units(length_bytes) + UNDO_TABLE_UNITS - 1) / UNDO_TABLE_UNITS;
}

uint64_t undo_crc(const uint8_t *bytes, size_t length_bytes);

/* Each writes a whole page. Each reader returns false for a page that is not just that, whole, and of this journal. */
void undo_head_write(uint8_t page[static UNDO_PAGE_BYTES], const struct undo_head *head);
bool undo_head_read(struct undo_head *ret, const uint8_t page[static UNDO_PAGE_BYTES]); /* of any journal */
void undo_marker_write(uint8_t page[static UNDO_PAGE_BYTES], uint64_t journal_id, const struct undo_marker *marker);
bool undo_marker_read(struct undo_marker *ret, const uint8_t page[static UNDO_PAGE_BYTES], uint64_t journal_id);
void undo_shelved_write(uint8_t page[static UNDO_PAGE_BYTES], uint64_t journal_id, const struct undo_shelved *shelved);
bool undo_shelved_read(struct undo_shelved *ret, const uint8_t page[static UNDO_PAGE_BYTES], uint64_t journal_id);

/* One page of the table; index counts its pages. The reader fills in the page's part of the table, whose `units` is
 * set. */
void undo_table_write(uint8_t page[static UNDO_PAGE_BYTES], uint64_t journal_id, uint64_t record,
        const struct undo_table *table, size_t index);
bool undo_table_read(struct undo_table *table, const uint8_t page[static UNDO_PAGE_BYTES], uint64_t journal_id,
        uint64_t record, size_t index);

/* The checksum over the pages' checksums, built up page by page in order, from 0. */
uint64_t undo_table_crc(uint64_t crc, const uint8_t page[static UNDO_PAGE_BYTES]);

/* -ENOMEM. room: units. */
int undo_table_init(struct undo_table *table, size_t room);
void undo_table_deinit(struct undo_table *table);

static inline bool undo_table_is_absent(const struct undo_table *table, size_t unit) {
        return table->absent[unit / 64] >> (unit % 64) & 1;
}
