/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wrong name sends people after the wrong cause, so a class is given only for what the bytes prove: a sector counts
 * as stale or misplaced when it equals, in all its bytes, what was written elsewhere or earlier. Each sector is judged
 * by itself, then the unit by its sectors. The stamp of the unit may be the damaged part, so nonces are looked for in
 * all that is at hand.
 */
#include "sweep/diagnose.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <assert.h>
#include <endian.h>
#include <inttypes.h>
#include <string.h>

enum sector_class { SECTOR_GOOD, SECTOR_ZERO, SECTOR_OLD, SECTOR_MOVED, SECTOR_FLIPPED, SECTOR_STRANGE, SECTOR_OTHER };

/* A random sector differs from the expected one in about 2,048 of its 4,096 bits; this is far from that. */
enum { FLIPPED_BITS_MAX = 256 };

struct sector_judgement {
        enum sector_class class;
        uint64_t belongs_bytes;
        uint64_t generation;
        uint64_t started_us;
        uint32_t bits;
};

/* In words: a disk that is bad everywhere has many bits to count. length: a multiple of 8. */
static uint32_t bits_different(const uint8_t *a, const uint8_t *b, size_t length, uint32_t *first) {
        uint32_t count = 0;
        for (size_t i = 0; i < length; i += sizeof(uint64_t)) {
                uint64_t x, y;
                memcpy(&x, a + i, sizeof x);
                memcpy(&y, b + i, sizeof y);
                uint64_t different = le64toh(x ^ y);
                if (different && count == 0)
                        *first = (uint32_t)(i * 8) + (uint32_t)__builtin_ctzll(different);
                count += different ? (uint32_t)__builtin_popcountll(different) : 0;
        }
        return count;
}

/* Whether a sector was made with this nonce for a place that does not begin a unit, and for which. Its every byte is
 * compared. */
static bool made_with(const struct diagnosis_ground *g, uint64_t nonce, const uint8_t *sector, uint64_t *ret_offset) {
        uint64_t mark;
        memcpy(&mark, sector, sizeof mark);
        uint64_t offset = stamp_mark_offset(nonce, mark);
        if (offset >= g->target_bytes || offset % UNIT_BYTES == 0 || stamp_mark(nonce, offset) != mark)
                return false;
        struct table *table = table_cache_get(g->tables, nonce);
        if (!table)
                return false;
        const uint8_t *rest = table_sector(table, offset) + MARK_BYTES;
        bool same = memcmp(sector + MARK_BYTES, rest, SECTOR_BYTES - MARK_BYTES) == 0;
        table_unref(table);
        if (same)
                *ret_offset = offset;
        return same;
}

/* Whether the head sector of a unit is, behind its stamp, what the stamp says. */
static bool head_is_whole(const struct diagnosis_ground *g, const struct stamp *stamp, const uint8_t *sector) {
        struct table *table = table_cache_get(g->tables, stamp->nonce);
        if (!table)
                return false;
        const uint8_t *rest = table_sector(table, stamp->offset_bytes) + STAMP_BYTES;
        bool same = memcmp(sector + STAMP_BYTES, rest, SECTOR_BYTES - STAMP_BYTES) == 0;
        table_unref(table);
        return same;
}

/* A sector with a valid stamp. False: the stamp is what is expected here, so it tells nothing. */
static bool judge_stamp(struct sector_judgement *j, const struct diagnosis_ground *g, const struct content *meant,
        const struct stamp *stamp, const uint8_t *sector, uint64_t offset) {
        if (stamp->target_id != g->target_id) {
                j->class = SECTOR_STRANGE;
                return true;
        }
        bool same_generation = stamp->generation == meant->stamp.generation && stamp->nonce == meant->stamp.nonce;
        if (same_generation && stamp->offset_bytes == offset)
                return false;
        if (stamp->offset_bytes % UNIT_BYTES != 0 || stamp->offset_bytes >= g->target_bytes ||
                !head_is_whole(g, stamp, sector))
                return false;
        j->class = stamp->offset_bytes == offset ? SECTOR_OLD : SECTOR_MOVED;
        j->belongs_bytes = stamp->offset_bytes;
        j->generation = stamp->generation;
        j->started_us = stamp->started_us;
        return true;
}

/* A sector with a mark: was it made for another place or by another generation that is at hand? */
static bool judge_mark(struct sector_judgement *j, const struct diagnosis_ground *g, const struct expectation *expected,
        const struct stamp *found_stamp, const uint8_t *sector, uint64_t offset) {
        struct stamp known[2 * EXPECTATION_MAX + 1];
        size_t count = 0;
        for (size_t i = 0; i < expected->count; i++)
                known[count++] = expected->candidates[i].stamp;
        for (size_t i = 0; i < g->older_count; i++)
                known[count++] = g->older[i];
        if (found_stamp)
                known[count++] = *found_stamp;
        for (size_t i = 0; i < count; i++) {
                uint64_t belongs;
                if (!made_with(g, known[i].nonce, sector, &belongs))
                        continue;
                j->class = belongs == offset ? SECTOR_OLD : SECTOR_MOVED;
                j->belongs_bytes = belongs;
                j->generation = known[i].generation;
                j->started_us = known[i].started_us;
                return true;
        }
        return false;
}

static void judge_sector(struct sector_judgement *j, const struct diagnosis_ground *g,
        const struct expectation *expected, const struct stamp *found_stamp, const uint8_t *sector, uint64_t offset) {
        *j = (struct sector_judgement){ .class = SECTOR_GOOD };
        if (expectation_has_sector(expected, sector, offset))
                return;
        const struct content *meant = &expected->candidates[0];
        struct stamp stamp;
        if (content_is_zero(sector, SECTOR_BYTES)) {
                j->class = SECTOR_ZERO;
                return;
        }
        /* Any sector may have come to any place: heads to where none belong, others to where a head does. */
        if (stamp_read(&stamp, sector) && judge_stamp(j, g, meant, &stamp, sector, offset))
                return;
        if (judge_mark(j, g, expected, found_stamp, sector, offset))
                return;
        uint8_t right[SECTOR_BYTES];
        uint32_t first;
        content_sector(meant, right, offset);
        j->bits = bits_different(sector, right, SECTOR_BYTES, &first);
        j->class = j->bits <= FLIPPED_BITS_MAX ? SECTOR_FLIPPED : SECTOR_OTHER;
}

/* The unit's fault by how many of its sectors are of which class: the most telling one decides. */
static enum fault unit_fault(const size_t counts[static SECTOR_OTHER + 1]) {
        if (counts[SECTOR_MOVED] > 0)
                return FAULT_MISDIRECTED;
        if (counts[SECTOR_STRANGE] > 0)
                return FAULT_FOREIGN;
        if (counts[SECTOR_OTHER] > 0)
                return FAULT_GARBAGE;
        if (counts[SECTOR_OLD] > 0)
                return counts[SECTOR_GOOD] > 0 ? FAULT_TORN : FAULT_STALE;
        if (counts[SECTOR_FLIPPED] > 0)
                return FAULT_BIT_FLIP;
        return FAULT_ZEROED;
}

static void take_sample(struct diagnosis *d, const struct content *meant, const uint8_t *bytes, uint64_t offset) {
        uint8_t right[SECTOR_BYTES];
        content_sector(meant, right, offset);
        size_t at = 0;
        while (at < SECTOR_BYTES - FINDING_SAMPLE_BYTES && bytes[at] == right[at])
                at++;
        at -= at % 16;
        if (at > SECTOR_BYTES - FINDING_SAMPLE_BYTES)
                at = SECTOR_BYTES - FINDING_SAMPLE_BYTES;
        d->sample.offset_bytes = offset + at;
        d->sample.length_bytes = FINDING_SAMPLE_BYTES;
        memcpy(d->sample.expected, right + at, FINDING_SAMPLE_BYTES);
        memcpy(d->sample.found, bytes + at, FINDING_SAMPLE_BYTES);
}

static void add_sector(struct diagnosis *d, const struct sector_judgement *j, uint64_t offset) {
        if ((j->class == SECTOR_OLD || j->class == SECTOR_MOVED) && d->generation == 0) {
                d->generation = j->generation;
                d->started_us = j->started_us;
        }
        if (j->class == SECTOR_MOVED && d->displacement_bytes == 0) {
                d->displacement_bytes = (int64_t)(j->belongs_bytes - offset);
                d->belongs_bytes = j->belongs_bytes;
        }
        d->bits_flipped += j->bits;
}

void diagnose_unit(struct diagnosis *ret, const struct diagnosis_ground *ground, const struct expectation *expected,
        const uint8_t *bytes, uint64_t offset_bytes, uint64_t length_bytes) {
        assert(length_bytes > 0 && length_bytes <= UNIT_BYTES && length_bytes % SECTOR_BYTES == 0);
        assert(offset_bytes % SECTOR_BYTES == 0);
        const struct content *meant = &expected->candidates[0];
        struct diagnosis d = { 0 };
        struct stamp found;
        /* Another target's sectors are not told from noise by its stamp, or they would pass for ours. */
        bool has_stamp = offset_bytes % UNIT_BYTES == 0 && stamp_read(&found, bytes) &&
                found.target_id == ground->target_id;
        size_t counts[SECTOR_OTHER + 1] = { 0 };
        for (uint64_t at = 0; at < length_bytes; at += SECTOR_BYTES) {
                struct sector_judgement j;
                judge_sector(&j, ground, expected, has_stamp ? &found : NULL, bytes + at, offset_bytes + at);
                counts[j.class]++;
                if (j.class == SECTOR_GOOD)
                        continue;
                if (d.bad_sectors == 0)
                        take_sample(&d, meant, bytes + at, offset_bytes + at);
                d.bad_sectors |= (uint8_t)BIT((offset_bytes + at) % UNIT_BYTES / SECTOR_BYTES);
                add_sector(&d, &j, offset_bytes + at);
        }
        d.fault = unit_fault(counts);
        size_t strange = counts[SECTOR_STRANGE] + counts[SECTOR_OTHER];
        d.ours = strange < length_bytes / SECTOR_BYTES;
        if (d.fault == FAULT_BIT_FLIP) {
                uint8_t right[UNIT_BYTES];
                content_fill(meant, right, offset_bytes, length_bytes);
                d.bits_flipped = bits_different(bytes, right, length_bytes, &d.first_bit);
        }
        *ret = d;
}

bool diagnose_is_self_consistent(struct stamp *ret, const struct diagnosis_ground *ground, const uint8_t *bytes,
        uint64_t offset_bytes, uint64_t length_bytes) {
        struct stamp stamp;
        if (offset_bytes % UNIT_BYTES != 0 || !stamp_read(&stamp, bytes) || stamp.offset_bytes != offset_bytes)
                return false;
        struct table *table = table_cache_get(ground->tables, stamp.nonce);
        if (!table)
                return false;
        struct expectation self = { .count = 1, .candidates = { { .table = table, .stamp = stamp } } };
        uint64_t bad[2];
        size_t bad_count = expectation_check(&self, bytes, offset_bytes, length_bytes, bad);
        table_unref(table);
        if (bad_count > 0)
                return false;
        *ret = stamp;
        return true;
}

static void describe_sectors(const struct diagnosis *d, struct detail *detail) {
        char list[32] = "";
        for (unsigned i = 0; i < UNIT_SECTORS; i++)
                if (d->bad_sectors & BIT(i))
                        text_append(list, sizeof list, "%s%u", list[0] ? "," : "", i);
        detail_set(detail, "sectors", "%s", list);
}

static void describe_generation(const struct diagnosis *d, struct detail *detail) {
        detail_set(detail, "generation_found", "%" PRIu64, d->generation);
        if (d->started_us)
                detail_set(detail, "generation_found_started_us", "%" PRIu64, d->started_us);
}

void diagnose_describe(const struct diagnosis *d, char text[static FINDING_TEXT_BYTES], struct detail *detail) {
        describe_sectors(d, detail);
        switch (d->fault) {
        case FAULT_BIT_FLIP:
                detail_set(detail, "bits", "%" PRIu32, d->bits_flipped);
                detail_set(detail, "first_bit", "%" PRIu32, d->first_bit);
                text_format(text, FINDING_TEXT_BYTES, "%" PRIu32 " bit%s of the unit differ%s from what was written",
                        d->bits_flipped, d->bits_flipped == 1 ? "" : "s", d->bits_flipped == 1 ? "s" : "");
                break;
        case FAULT_STALE:
                describe_generation(d, detail);
                text_format(text, FINDING_TEXT_BYTES, "holds what generation %" PRIu64 " wrote: a later write was lost",
                        d->generation);
                break;
        case FAULT_TORN:
                describe_generation(d, detail);
                detail_set(detail, "torn_at_sector", "%u", (unsigned)__builtin_ctz(d->bad_sectors));
                text_format(text, FINDING_TEXT_BYTES, "part of the unit is new, part is of generation %" PRIu64,
                        d->generation);
                break;
        case FAULT_MISDIRECTED:
                describe_generation(d, detail);
                detail_set(detail, "belongs_at", "%" PRIu64, d->belongs_bytes);
                text_format(text, FINDING_TEXT_BYTES, "holds what was written for offset %" PRIu64, d->belongs_bytes);
                break;
        case FAULT_ZEROED:
                text_copy(text, FINDING_TEXT_BYTES, "reads as zeros");
                break;
        case FAULT_FOREIGN:
                text_copy(text, FINDING_TEXT_BYTES, "holds the stamp of another target");
                break;
        default:
                text_copy(text, FINDING_TEXT_BYTES, "holds bytes that were never written there");
                break;
        }
}
