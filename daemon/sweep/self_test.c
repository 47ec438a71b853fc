/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CPU with a bad lane, a miscompiled loop or a library that computes another checksum would let every fault pass, and
 * all that would be seen of it is that every disk is clean. So damage of each class that bytes can show is planted, at
 * the places where comparisons go wrong: the ends of a read, of a table, of a word of the bit map, units that are cut
 * short, places that may hold one of two generations. What is asked are the very functions that sweeps use. Not only
 * must the damage be found: nothing else may be, and it must be called by its name.
 */
#include "sweep/self_test.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "sweep/diagnose.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TIB UINT64_C(1099511627776)

enum { GENERATIONS = 3, ROOM_UNITS = 71, TARGET = 0x5e1f7e57 };

#define UNITS(n)   (UINT64_C(n) * UNIT_BYTES)
#define SECTORS(n) (UINT64_C(n) * SECTOR_BYTES)

/* Fixed patterns: that of this pass, and those of the passes before it. */
static const uint8_t patterns[] = { 0x55, 0xaa, 0xff };

/* A stretch as it is read. */
static const struct extent shapes[] = {
        { 0, UNITS(1) },
        { TABLE_BYTES - UNITS(2), UNITS(5) + SECTORS(3) }, /* over the table's end, the last unit short */
        { UNITS(5) + SECTORS(3), UNITS(1) + SECTORS(5) },  /* begins within a unit */
        { TIB + UNITS(7), UNITS(70) + SECTORS(1) },        /* more units than a word has bits */
};

struct bench {
        char *text; /* what was missed */
        struct table_cache *tables;
        struct content generations[GENERATIONS]; /* the newest first */
        struct expectation expected;
        struct diagnosis_ground ground;
        struct content stale; /* the newest generation that is not expected */
        struct content fixed[ELEMENTS(patterns)];
        uint8_t bytes[ROOM_UNITS * UNIT_BYTES];
};

/* A unit, or the part of one that lies in the shape, and what it was made to be. */
struct plot {
        uint8_t *bytes;
        uint64_t offset_bytes, length_bytes;
        uint32_t bits;          /* that were flipped */
        uint64_t belongs_bytes; /* where the first misplaced sector belongs */
        bool somebodys;         /* nothing of it is ours */
};

struct damage {
        const char *name;
        enum fault fault;
        bool (*plant)(const struct bench *b, struct plot *p); /* false: this part of a unit can't have it */
};

static bool missed(struct bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool missed(struct bench *b, const char *format, ...) {
        char what[SELF_TEST_TEXT_BYTES];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(what, sizeof what, format, arguments);
        va_end(arguments);
        text_format(b->text, SELF_TEST_TEXT_BYTES, "the self-test on CPU %d failed: %s", sched_getcpu(), what);
        return false;
}

static bool has_head(const struct plot *p) {
        return p->offset_bytes % UNIT_BYTES == 0;
}

static uint8_t *last_sector(const struct plot *p) {
        return p->bytes + p->length_bytes - SECTOR_BYTES;
}

static uint64_t last_offset(const struct plot *p) {
        return p->offset_bytes + p->length_bytes - SECTOR_BYTES;
}

static void fill_noise(uint8_t *bytes, size_t length_bytes) {
        for (size_t i = 0; i < length_bytes; i++)
                bytes[i] = (uint8_t)layout_mix(i + 1);
}

static bool flip_first(const struct bench *b, struct plot *p) {
        p->bytes[0] ^= 0x01;
        p->bits = 1;
        return true;
}

static bool flip_in_stamp(const struct bench *b, struct plot *p) {
        p->bytes[STAMP_BYTES - 1] ^= 0x80;
        p->bits = 1;
        return has_head(p);
}

static bool flip_two(const struct bench *b, struct plot *p) {
        p->bytes[p->length_bytes / 2 + MARK_BYTES] ^= 0x10;
        p->bytes[p->length_bytes - 1] ^= 0x80;
        p->bits = 2;
        return true;
}

static bool put_stale(const struct bench *b, struct plot *p) {
        content_fill(&b->stale, p->bytes, p->offset_bytes, p->length_bytes);
        return true;
}

static bool tear_after(const struct bench *b, struct plot *p) {
        uint64_t kept = p->length_bytes / SECTOR_BYTES / 2 * SECTOR_BYTES;
        content_fill(&b->stale, p->bytes + kept, p->offset_bytes + kept, p->length_bytes - kept);
        return kept > 0;
}

static bool tear_before(const struct bench *b, struct plot *p) {
        content_fill(&b->stale, p->bytes, p->offset_bytes, SECTOR_BYTES);
        return p->length_bytes > SECTOR_BYTES;
}

static bool misdirect(const struct bench *b, struct plot *p, uint64_t displacement_bytes) {
        p->belongs_bytes = p->offset_bytes + displacement_bytes;
        content_fill(&b->generations[0], p->bytes, p->belongs_bytes, p->length_bytes);
        return true;
}

static bool misdirect_unit(const struct bench *b, struct plot *p) {
        return misdirect(b, p, UNITS(3));
}

/* Only stamp and marks differ there. */
static bool misdirect_by_a_table(const struct bench *b, struct plot *p) {
        return misdirect(b, p, TABLE_BYTES);
}

static bool misdirect_sector(const struct bench *b, struct plot *p) {
        p->belongs_bytes = last_offset(p) + UNIT_BYTES;
        content_sector(&b->generations[0], last_sector(p), p->belongs_bytes);
        return true;
}

static bool zero_unit(const struct bench *b, struct plot *p) {
        memset(p->bytes, 0, p->length_bytes);
        return true;
}

static bool zero_sector(const struct bench *b, struct plot *p) {
        memset(last_sector(p), 0, SECTOR_BYTES);
        return true;
}

static bool zero_almost(const struct bench *b, struct plot *p) {
        memset(last_sector(p), 0, SECTOR_BYTES);
        p->bytes[p->length_bytes - 1] = 1;
        return true;
}

static bool put_ones(const struct bench *b, struct plot *p) {
        memset(last_sector(p), 0xff, SECTOR_BYTES);
        return true;
}

static bool put_foreign(const struct bench *b, struct plot *p) {
        struct content stranger = b->generations[GENERATIONS - 1];
        stranger.stamp.target_id = TARGET + 1;
        content_fill(&stranger, p->bytes, p->offset_bytes, p->length_bytes);
        return has_head(p);
}

static bool put_garbage(const struct bench *b, struct plot *p) {
        fill_noise(p->bytes, p->length_bytes);
        p->somebodys = true;
        return true;
}

static bool put_garbage_sector(const struct bench *b, struct plot *p) {
        fill_noise(last_sector(p), SECTOR_BYTES);
        return true;
}

/* Each half was written, but nobody wrote both. */
static bool tear_sector(const struct bench *b, struct plot *p) {
        uint8_t other[SECTOR_BYTES];
        content_sector(&b->generations[1], other, last_offset(p));
        memcpy(last_sector(p) + SECTOR_BYTES / 2, other + SECTOR_BYTES / 2, SECTOR_BYTES / 2);
        return true;
}

static bool put_text(const struct bench *b, struct plot *p) {
        static const char text[] = "What somebody keeps here, and needs. ";
        for (size_t i = 0; i < p->length_bytes; i++)
                p->bytes[i] = (uint8_t)text[i % (sizeof text - 1)];
        p->somebodys = true;
        return true;
}

static bool put_records(const struct bench *b, struct plot *p) {
        for (size_t i = 0; i < p->length_bytes; i++)
                p->bytes[i] = (uint8_t)layout_mix(layout_mix(i) % 20); /* few values, of no pattern */
        p->somebodys = true;
        return true;
}

static bool put_signature(const struct bench *b, struct plot *p) {
        static const char label[] = "LABELONE";
        fill_noise(last_sector(p), SECTOR_BYTES);
        memcpy(last_sector(p), label, sizeof label - 1);
        return true;
}

static bool invert(const struct bench *b, struct plot *p) {
        for (size_t i = 0; i < p->length_bytes; i++)
                p->bytes[i] ^= 0x5a;
        return true;
}

static bool rotate(const struct bench *b, struct plot *p) {
        uint8_t first = p->bytes[0];
        memmove(p->bytes, p->bytes + 1, p->length_bytes - 1);
        p->bytes[p->length_bytes - 1] = first;
        p->somebodys = true; /* nobody can tell */
        return true;
}

static const struct damage damages[] = {
        { "a flipped bit at the start", FAULT_BIT_FLIP, flip_first },
        { "a flipped bit in the stamp", FAULT_BIT_FLIP, flip_in_stamp },
        { "two flipped bits", FAULT_BIT_FLIP, flip_two },
        { "an older generation", FAULT_STALE, put_stale },
        { "an older generation in the second half", FAULT_TORN, tear_after },
        { "an older generation in the first sector", FAULT_TORN, tear_before },
        { "the unit of another place", FAULT_MISDIRECTED, misdirect_unit },
        { "the unit of a place one table away", FAULT_MISDIRECTED, misdirect_by_a_table },
        { "a sector of another place", FAULT_MISDIRECTED, misdirect_sector },
        { "zeros", FAULT_ZEROED, zero_unit },
        { "a sector of zeros", FAULT_ZEROED, zero_sector },
        { "another target's unit", FAULT_FOREIGN, put_foreign },
        { "text", FAULT_FOREIGN, put_text },
        { "records", FAULT_FOREIGN, put_records },
        { "a label", FAULT_FOREIGN, put_signature },
        { "inverted bit lines", FAULT_GARBAGE, invert },
        { "bytes that moved by one", FAULT_GARBAGE, rotate },
        { "noise", FAULT_GARBAGE, put_garbage },
        { "a sector of noise", FAULT_GARBAGE, put_garbage_sector },
        { "a sector of two generations", FAULT_GARBAGE, tear_sector },
        { "a sector of almost only zeros", FAULT_GARBAGE, zero_almost },
        { "a sector of ones", FAULT_GARBAGE, put_ones },
};

static size_t shape_units(const struct extent *shape) {
        uint64_t before = shape->offset_bytes % UNIT_BYTES;
        return (before + shape->length_bytes + UNIT_BYTES - 1) / UNIT_BYTES;
}

static struct plot plot_of(struct bench *b, const struct extent *shape, size_t unit) {
        uint64_t first = shape->offset_bytes / UNIT_BYTES * UNIT_BYTES + unit * UNIT_BYTES;
        uint64_t from = MAX(first, shape->offset_bytes), to = MIN(first + UNIT_BYTES, extent_end(*shape));
        return (struct plot){ b->bytes + (from - shape->offset_bytes), from, to - from, 0, 0, false };
}

static void restore(const struct bench *b, const struct plot *p) {
        content_fill(&b->generations[0], p->bytes, p->offset_bytes, p->length_bytes);
}

/* Exactly this unit (-1: none) is found. */
static bool finds(struct bench *b, const struct extent *shape, int unit, const char *name) {
        uint64_t bad[(ROOM_UNITS + 2 + 63) / 64 + 1] = { 0 };
        size_t count = expectation_check(&b->expected, b->bytes, shape->offset_bytes, shape->length_bytes, bad);
        bool exact = true;
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                exact &= bad[i] == (unit >= 0 && (size_t)unit / 64 == i ? BIT(unit % 64) : 0);
        if (exact && count == (unit >= 0))
                return true;
        if (unit < 0)
                return missed(b, "%s in %zu units at offset %" PRIu64 ": the comparison found %zu bad units", name,
                        shape_units(shape), shape->offset_bytes, count);
        return missed(b, "%s in unit %d of %zu at offset %" PRIu64 ": the comparison found %zu bad units%s", name,
                unit + 1, shape_units(shape), shape->offset_bytes, count,
                exact || count == 0 ? "" : ", and not that one alone");
}

static bool names(struct bench *b, const struct plot *p, const struct damage *damage) {
        struct diagnosis d;
        diagnose_unit(&d, &b->ground, &b->expected, p->bytes, p->offset_bytes, p->length_bytes);
        if (d.fault != damage->fault)
                return missed(b, "%s at offset %" PRIu64 " is %s, but was called %s", damage->name, p->offset_bytes,
                        fault_name(damage->fault), fault_name(d.fault));
        if ((d.fault == FAULT_BIT_FLIP && d.bits_flipped != p->bits) ||
                (d.fault == FAULT_MISDIRECTED && d.belongs_bytes != p->belongs_bytes))
                return missed(b, "%s at offset %" PRIu64 ": wrong bits (%" PRIu32 ") or place (%" PRIu64 ")",
                        damage->name, p->offset_bytes, d.bits_flipped, d.belongs_bytes);
        if (p->somebodys == d.ours && (p->somebodys || damage->plant == invert))
                return missed(b, "%s at offset %" PRIu64 " counts as %s", damage->name, p->offset_bytes,
                        d.ours ? "ours" : "somebody else's");
        return true;
}

static bool try_damages(
        struct bench *b, const struct extent *shape, size_t unit, const struct damage *list, size_t count) {
        for (size_t i = 0; i < count; i++) {
                struct plot p = plot_of(b, shape, unit);
                if (list[i].plant(b, &p) && (!finds(b, shape, (int)unit, list[i].name) || !names(b, &p, &list[i])))
                        return false;
                restore(b, &p);
        }
        return true;
}

/* Units at the ends of a long shape and of the words of its bit map stand for the others. */
static bool is_tried(size_t unit, size_t units) {
        return units < 10 || unit == 0 || unit == 63 || unit == 64 || unit == units - 1;
}

static bool try_shape(struct bench *b, const struct extent *shape, const struct damage *list, size_t count) {
        size_t units = shape_units(shape);
        content_fill(&b->generations[0], b->bytes, shape->offset_bytes, shape->length_bytes);
        if (!finds(b, shape, -1, "nothing"))
                return false;
        for (size_t unit = 0; unit < units; unit++)
                if (is_tried(unit, units) && !try_damages(b, shape, unit, list, count))
                        return false;
        return finds(b, shape, -1, "nothing any more");
}

/* Where one of several generations may be, sector by sector, all of them are right. */
static bool try_mixture(struct bench *b, const struct extent *shape) {
        for (uint64_t at = 0; at < shape->length_bytes; at += SECTOR_BYTES)
                content_sector(&b->expected.candidates[at / SECTOR_BYTES % b->expected.count], b->bytes + at,
                        shape->offset_bytes + at);
        return finds(b, shape, -1, "nothing wrong");
}

/* The first `count` generations are expected, the others are older. */
static bool try_expectation(struct bench *b, size_t count) {
        b->expected = (struct expectation){ .count = count };
        b->ground = (struct diagnosis_ground){ .tables = b->tables, .target_id = TARGET, .target_bytes = 2 * TIB };
        for (size_t i = 0; i < GENERATIONS; i++)
                if (i < count)
                        b->expected.candidates[i] = b->generations[i];
                else
                        b->ground.older[b->ground.older_count++] = b->generations[i].stamp;
        b->stale = b->generations[count];
        for (size_t i = 0; i < ELEMENTS(shapes); i++)
                if (!try_shape(b, &shapes[i], damages, ELEMENTS(damages)) || !try_mixture(b, &shapes[i]))
                        return false;
        return true;
}

/* No byte of a unit goes uncompared where one generation, or pattern, is expected. */
static bool try_every_byte(struct bench *b) {
        struct extent shape = { TIB, UNIT_BYTES };
        content_fill(&b->generations[0], b->bytes, shape.offset_bytes, shape.length_bytes);
        for (size_t i = 0; i < UNIT_BYTES; i++) {
                char name[64];
                b->bytes[i] ^= (uint8_t)BIT(i % 8);
                text_format(name, sizeof name, "a flipped bit in byte %zu", i);
                if (!finds(b, &shape, 0, name))
                        return false;
                b->bytes[i] ^= (uint8_t)BIT(i % 8);
        }
        return true;
}

/* What must be there is a fixed pattern, which has neither stamps nor marks. */
static const struct damage pattern_damages[] = {
        { "a flipped bit at the start", FAULT_BIT_FLIP, flip_first },
        { "two flipped bits", FAULT_BIT_FLIP, flip_two },
        { "an older pattern", FAULT_STALE, put_stale },
        { "an older pattern in the second half", FAULT_TORN, tear_after },
        { "an older pattern in the first sector", FAULT_TORN, tear_before },
        { "zeros", FAULT_ZEROED, zero_unit },
        { "a sector of zeros", FAULT_ZEROED, zero_sector },
        { "another target's unit", FAULT_FOREIGN, put_foreign },
        { "text", FAULT_FOREIGN, put_text },
        { "records", FAULT_FOREIGN, put_records },
        { "a label", FAULT_FOREIGN, put_signature },
        { "noise", FAULT_GARBAGE, put_garbage },
        { "a sector of noise", FAULT_GARBAGE, put_garbage_sector },
};

static bool try_pattern(struct bench *b) {
        struct content kept = b->generations[0];
        bool all = true;
        b->generations[0] = b->fixed[0];
        b->expected = (struct expectation){ .count = 1, .candidates = { b->fixed[0] } };
        b->ground = (struct diagnosis_ground){ .tables = b->tables, .target_id = TARGET, .target_bytes = 2 * TIB };
        for (size_t i = 1; i < ELEMENTS(patterns); i++)
                ground_add_pattern(&b->ground, patterns[i]);
        b->stale = b->fixed[1];
        for (size_t i = 0; all && i < ELEMENTS(shapes); i++)
                all = try_shape(b, &shapes[i], pattern_damages, ELEMENTS(pattern_damages));
        all = all && try_every_byte(b);
        b->generations[0] = kept;
        return all;
}

/* Whether a unit is what its own stamp says of it: what tells a lost ledger from somebody's data. */
static bool try_self_consistency(struct bench *b) {
        struct stamp stamp;
        uint64_t offset = TABLE_BYTES - UNITS(1);
        content_fill(&b->stale, b->bytes, offset, UNIT_BYTES);
        if (!diagnose_is_self_consistent(&stamp, &b->ground, b->bytes, offset, UNIT_BYTES) ||
                stamp.generation != b->stale.stamp.generation)
                return missed(b, "a unit that is what its stamp says was not believed");
        if (diagnose_is_self_consistent(&stamp, &b->ground, b->bytes, offset + UNIT_BYTES, UNIT_BYTES))
                return missed(b, "a unit was believed at another place");
        b->bytes[UNIT_BYTES - 1] ^= 0x01;
        if (diagnose_is_self_consistent(&stamp, &b->ground, b->bytes, offset, UNIT_BYTES))
                return missed(b, "a damaged unit was believed by its stamp");
        return true;
}

/* What is computed wrong, but always alike, would pass all else, and be strange to every other CPU: so a table's first
 * and last word and a mark are known beforehand. */
static bool try_known_bytes(struct bench *b) {
        static const uint8_t first[] = { 0x00, 0xc1, 0x7d, 0x6f, 0x6d, 0x63, 0x3d, 0x81 };
        static const uint8_t last[] = { 0x39, 0xaa, 0x73, 0x71, 0x00, 0x59, 0xf5, 0x41 };
        static const uint8_t mark[] = { 0x9e, 0xf8, 0xf3, 0x26, 0x0c, 0xeb, 0xe4, 0x7d };
        struct table *table = table_cache_get(b->tables, 4);
        assert(table); /* there is one more than generations */
        uint64_t found = stamp_mark(4, SECTORS(3));
        bool right = memcmp(table->bytes, first, sizeof first) == 0 &&
                memcmp(table->bytes + TABLE_BYTES - sizeof last, last, sizeof last) == 0 &&
                memcmp(&found, mark, sizeof mark) == 0;
        table_unref(table);
        return right || missed(b, "the bytes that a sweep writes are computed wrong");
}

/* A checksum that is wrong, but always alike, would pass here and make our stamps strange to every other machine: so
 * one is known beforehand. */
static bool try_stamp(struct bench *b) {
        static const uint8_t known_crc[] = { 0x54, 0xe1, 0x89, 0x2a, 0x63, 0x97, 0x4d, 0x31 };
        struct stamp stamp = { MODE_PATTERN, 1, UNITS(2), 3, 4, 5 }, found;
        uint8_t bytes[STAMP_BYTES];
        stamp_write(bytes, &stamp);
        if (memcmp(bytes + STAMP_BYTES - sizeof known_crc, known_crc, sizeof known_crc) != 0)
                return missed(b, "the checksum of a stamp is wrong");
        if (!stamp_read(&found, bytes) || found.target_id != 1 || found.offset_bytes != stamp.offset_bytes ||
                found.generation != 3 || found.nonce != 4 || found.started_us != 5)
                return missed(b, "a stamp that is whole was not understood");
        for (size_t i = 0; i < STAMP_BYTES; i++) {
                bytes[i] ^= (uint8_t)BIT(i % 8);
                if (stamp_read(&found, bytes))
                        return missed(b, "a stamp with a damaged byte %zu was believed", i);
                bytes[i] ^= (uint8_t)BIT(i % 8);
        }
        return true;
}

static void bench_freep(struct bench **b) {
        if (!*b)
                return;
        for (size_t i = 0; i < GENERATIONS; i++)
                table_unref((struct table *)(*b)->generations[i].table);
        for (size_t i = 0; i < ELEMENTS(patterns); i++)
                table_unref((struct table *)(*b)->fixed[i].table);
        table_cache_free((*b)->tables);
        free(*b);
}

int self_test_run(char text[static SELF_TEST_TEXT_BYTES]) {
        CLEANUP(bench_freep)
        struct bench *b = calloc(1, sizeof *b);
        if (!b)
                return -ENOMEM;
        b->text = text;
        int r = table_cache_new(&b->tables, GENERATIONS + 1 + ELEMENTS(patterns));
        if (r < 0)
                return r;
        for (size_t i = 0; i < GENERATIONS; i++) {
                uint64_t nonce = layout_mix(i + 1);
                b->generations[i] = (struct content){
                        .table = table_cache_get(b->tables, nonce),
                        .stamp = { MODE_PATTERN, TARGET, 0, GENERATIONS - i, nonce, GENERATIONS - i },
                };
        }
        for (size_t i = 0; i < ELEMENTS(patterns); i++)
                b->fixed[i].table = table_cache_get_fixed(b->tables, patterns[i]);
        bool all = try_stamp(b) && try_known_bytes(b) && try_expectation(b, 1) && try_every_byte(b) &&
                try_self_consistency(b) && try_expectation(b, 2) && try_pattern(b);
        return all ? SELF_TEST_OK : SELF_TEST_E_MISSED;
}
