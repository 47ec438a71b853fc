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
#include "sweep/looks.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

enum sector_class {
        SECTOR_GOOD,
        SECTOR_ZERO,
        SECTOR_OLD,
        SECTOR_MOVED,
        SECTOR_FLIPPED,
        SECTOR_AKIN,
        SECTOR_STRANGE,
        SECTOR_OTHER,
        SECTOR_CLASS_COUNT
};

/* A random sector differs from the expected one in about 2,048 of its 4,096 bits; this is far from that. */
enum { FLIPPED_BITS_MAX = 256 };

struct sector_judgement {
        enum sector_class class;
        uint64_t belongs_bytes;
        uint64_t generation;
        uint64_t started_us;
        bool has_pattern; /* it is this one, all over */
        uint8_t pattern;
        const char *looks;
};

static uint32_t bits_different(const uint8_t *a, const uint8_t *b) {
        uint32_t count = 0;
        for (size_t i = 0; i < SECTOR_BYTES; i += sizeof(uint64_t)) {
                uint64_t left, right;
                memcpy(&left, a + i, sizeof left);
                memcpy(&right, b + i, sizeof right);
                count += (uint32_t)__builtin_popcountll(left ^ right);
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
                j->looks = "the stamp of another target";
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
        struct stamp known[EXPECTATION_MAX + OLDER_MAX + 1];
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

/* A sector of a fixed pattern that was there before. */
static bool judge_pattern(struct sector_judgement *j, const struct diagnosis_ground *g, const uint8_t *sector) {
        uint8_t byte = sector[0];
        if (!(g->patterns[byte / 64] & BIT(byte % 64)) || !content_is_fixed(sector, SECTOR_BYTES, byte))
                return false;
        j->class = byte == 0 ? SECTOR_ZERO : SECTOR_OLD;
        j->has_pattern = true;
        j->pattern = byte;
        return true;
}

/* Among the few values of a fixed pattern, what is somebody's is hardly ever far from it by bits. */
static bool judge_beside_pattern(
        struct sector_judgement *j, const struct content *meant, const uint8_t *sector, uint64_t offset) {
        const char *looks = meant->table->fixed ? looks_foreign(sector, offset) : NULL;
        if (!looks)
                return false;
        j->class = SECTOR_STRANGE;
        j->looks = looks;
        return true;
}

/* A sector that is, as a whole, nothing that we wrote. */
static void judge_bytes(
        struct sector_judgement *j, const struct expectation *expected, const uint8_t *sector, uint64_t offset) {
        if (judge_beside_pattern(j, &expected->candidates[0], sector, offset))
                return;
        for (size_t i = 0; i < expected->count; i++) {
                uint8_t right[SECTOR_BYTES];
                content_sector(&expected->candidates[i], right, offset);
                if (i == 0 && bits_different(sector, right) <= FLIPPED_BITS_MAX) {
                        j->class = SECTOR_FLIPPED;
                        return;
                }
                if (looks_akin(sector, right)) {
                        j->class = SECTOR_AKIN;
                        j->looks = "a damaged form of what was written";
                        return;
                }
        }
        j->looks = looks_foreign(sector, offset);
        j->class = j->looks ? SECTOR_STRANGE : SECTOR_OTHER;
        if (!j->looks)
                j->looks = looks_plain(sector);
}

static void judge_sector(struct sector_judgement *j, const struct diagnosis_ground *g,
        const struct expectation *expected, const struct stamp *found_stamp, const uint8_t *sector, uint64_t offset) {
        *j = (struct sector_judgement){ .class = SECTOR_GOOD };
        if (expectation_has_sector(expected, sector, offset))
                return;
        const struct content *meant = &expected->candidates[0];
        struct stamp stamp;
        if (judge_pattern(j, g, sector))
                return;
        if (content_is_zero(sector, SECTOR_BYTES)) {
                j->class = SECTOR_ZERO;
                return;
        }
        /* Any sector may have come to any place: heads to where none belong, others to where a head does. */
        if (stamp_read(&stamp, sector) && judge_stamp(j, g, meant, &stamp, sector, offset))
                return;
        if (judge_mark(j, g, expected, found_stamp, sector, offset))
                return;
        judge_bytes(j, expected, sector, offset);
}

/* The unit's fault by how many of its sectors are of which class: the most telling one decides. */
static enum fault unit_fault(const size_t counts[static SECTOR_CLASS_COUNT]) {
        if (counts[SECTOR_MOVED] > 0)
                return FAULT_MISDIRECTED;
        if (counts[SECTOR_STRANGE] > 0)
                return FAULT_FOREIGN;
        if (counts[SECTOR_AKIN] > 0 || counts[SECTOR_OTHER] > 0)
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

/* Those of a byte at a place of the unit. */
static void add_bits_of_byte(struct diagnosis *d, unsigned different, uint64_t at) {
        for (; different; different &= different - 1) {
                if (d->bits_flipped < ELEMENTS(d->bits))
                        d->bits[d->bits_flipped] = (uint16_t)(at * 8 + (unsigned)__builtin_ctz(different));
                d->bits_flipped++;
        }
}

static void add_bits(struct diagnosis *d, const struct content *meant, const uint8_t *sector, uint64_t offset) {
        enum { STRIDE = 64 }; /* most of it is right */
        uint8_t right[SECTOR_BYTES];
        content_sector(meant, right, offset);
        for (size_t from = 0; from < SECTOR_BYTES; from += STRIDE) {
                if (memcmp(sector + from, right + from, STRIDE) == 0)
                        continue;
                for (size_t i = from; i < from + STRIDE; i++)
                        add_bits_of_byte(d, sector[i] ^ right[i], offset % UNIT_BYTES + i);
        }
}

static void add_sector(struct diagnosis *d, const struct sector_judgement *j, const struct content *meant,
        const uint8_t *sector, uint64_t offset) {
        unsigned index = (unsigned)(offset % UNIT_BYTES / SECTOR_BYTES);
        if (d->bad_sectors == 0)
                take_sample(d, meant, sector, offset);
        d->bad_sectors |= (uint8_t)BIT(index);
        if (j->has_pattern && !d->has_pattern) {
                d->has_pattern = true;
                d->pattern = j->pattern;
        }
        if ((j->class == SECTOR_OLD || j->class == SECTOR_MOVED) && d->generation == 0) {
                d->generation = j->generation;
                d->started_us = j->started_us;
        }
        if (j->class == SECTOR_MOVED && d->displacement_bytes == 0) {
                d->displacement_bytes = (int64_t)(j->belongs_bytes - offset);
                d->belongs_bytes = j->belongs_bytes;
        }
        if (j->class == SECTOR_FLIPPED)
                add_bits(d, meant, sector, offset);
}

/* What we wrote speaks for a fault of the disk's; zeros do where nothing speaks for somebody's data. */
static bool is_ours(const size_t counts[static SECTOR_CLASS_COUNT]) {
        return counts[SECTOR_GOOD] || counts[SECTOR_OLD] || counts[SECTOR_MOVED] || counts[SECTOR_FLIPPED] ||
                counts[SECTOR_AKIN] || (counts[SECTOR_ZERO] && !counts[SECTOR_STRANGE]);
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
        size_t counts[SECTOR_CLASS_COUNT] = { 0 };
        const char *looks[2] = { NULL }; /* of the first strange sector, and of the first that nothing explains */
        bool was_bad = false;
        for (uint64_t at = 0; at < length_bytes; at += SECTOR_BYTES) {
                struct sector_judgement j;
                judge_sector(&j, ground, expected, has_stamp ? &found : NULL, bytes + at, offset_bytes + at);
                counts[j.class]++;
                bool bad = j.class != SECTOR_GOOD;
                if (bad)
                        add_sector(&d, &j, meant, bytes + at, offset_bytes + at);
                if (at > 0 && bad != was_bad && d.torn_at_sector == 0)
                        d.torn_at_sector = (unsigned)((offset_bytes + at) % UNIT_BYTES / SECTOR_BYTES);
                was_bad = bad;
                bool strange = j.class == SECTOR_STRANGE;
                if (!looks[strange])
                        looks[strange] = j.looks;
        }
        d.fault = unit_fault(counts);
        d.ours = is_ours(counts);
        d.strange = counts[SECTOR_STRANGE] > 0;
        d.exact = counts[SECTOR_GOOD] + counts[SECTOR_OLD] + counts[SECTOR_MOVED] == length_bytes / SECTOR_BYTES;
        if (d.fault == FAULT_FOREIGN || d.fault == FAULT_GARBAGE)
                d.looks = looks[d.fault == FAULT_FOREIGN];
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

static void describe_pattern(const struct diagnosis *d, struct detail *detail) {
        if (d->has_pattern)
                detail_set(detail, "pattern_found", "0x%02x", d->pattern);
}

static void describe_generation(const struct diagnosis *d, struct detail *detail) {
        char when[32];
        describe_pattern(d, detail);
        if (d->has_pattern && d->generation == 0)
                return;
        detail_set(detail, "generation_found", "%" PRIu64, d->generation);
        if (!d->started_us)
                return;
        text_format_utc(when, sizeof when, d->started_us);
        detail_set(detail, "generation_begun", "%s", when);
}

/* As byte:bit, the lowest bit being 0. */
static void describe_bits(const struct diagnosis *d, struct detail *detail) {
        char list[DIAGNOSIS_BITS_MAX * 8 + 4] = "";
        for (size_t i = 0; i < MIN(d->bits_flipped, ELEMENTS(d->bits)); i++)
                text_append(list, sizeof list, "%s%u:%u", i > 0 ? "," : "", d->bits[i] / 8U, d->bits[i] % 8U);
        if (d->bits_flipped > ELEMENTS(d->bits))
                text_append(list, sizeof list, ",...");
        detail_set(detail, "bits", "%" PRIu32, d->bits_flipped);
        detail_set(detail, "bits_at", "%s", list);
}

static void describe_looks(const struct diagnosis *d, char text[static FINDING_TEXT_BYTES], struct detail *detail) {
        const char *what = d->fault == FAULT_FOREIGN ? "holds what somebody else wrote"
                                                     : "holds what was never written there";
        text_format(text, FINDING_TEXT_BYTES, "%s%s%s", what, d->looks ? ": " : "", d->looks ? d->looks : "");
        if (d->looks)
                detail_set(detail, "looks", "%s", d->looks);
}

/* Who wrote what lies there in place of what must. */
static void name_writer(const struct diagnosis *d, char *to, size_t to_bytes) {
        if (d->has_pattern && d->generation == 0)
                text_format(to, to_bytes, "the pass with pattern 0x%02x", d->pattern);
        else
                text_format(to, to_bytes, "generation %" PRIu64, d->generation);
}

void diagnose_describe(const struct diagnosis *d, char text[static FINDING_TEXT_BYTES], struct detail *detail) {
        char writer[64];
        name_writer(d, writer, sizeof writer);
        describe_sectors(d, detail);
        detail_set(detail, "sample_at", "%" PRIu64, d->sample.offset_bytes);
        switch (d->fault) {
        case FAULT_BIT_FLIP:
                describe_bits(d, detail);
                text_format(text, FINDING_TEXT_BYTES, "%" PRIu32 " bit%s of the unit differ%s from what was written",
                        d->bits_flipped, d->bits_flipped == 1 ? "" : "s", d->bits_flipped == 1 ? "s" : "");
                break;
        case FAULT_STALE:
                describe_generation(d, detail);
                text_format(text, FINDING_TEXT_BYTES, "holds what %s wrote: a later write was lost", writer);
                break;
        case FAULT_TORN:
                describe_generation(d, detail);
                detail_set(detail, "torn_at_sector", "%u", d->torn_at_sector);
                text_format(text, FINDING_TEXT_BYTES, "part of the unit is new, part is of %s: torn at its sector %u",
                        writer, d->torn_at_sector);
                break;
        case FAULT_MISDIRECTED:
                describe_generation(d, detail);
                detail_set(detail, "belongs_at", "%" PRIu64, d->belongs_bytes);
                text_format(text, FINDING_TEXT_BYTES, "holds what was written for offset %" PRIu64, d->belongs_bytes);
                break;
        case FAULT_ZEROED:
                describe_pattern(d, detail);
                text_format(text, FINDING_TEXT_BYTES, "reads as zeros%s",
                        d->has_pattern ? ", which an earlier pass wrote there: a later write may have been lost" : "");
                break;
        default:
                describe_looks(d, text, detail);
                break;
        }
}
