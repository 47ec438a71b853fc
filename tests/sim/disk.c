/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A simulated fault that does nothing, or more than its tag says, would make the judge blind or unjust. So bytes and
 * tags change together, in put(), put_noise(), flip() and reshape(), and nowhere else.
 */
#include "disk.h"

#include "base/cleanup.h"
#include "failure.h"

#include <inttypes.h>
#include <string.h>

static void *memory(size_t count, size_t bytes) {
        void *p = calloc(count, bytes);
        MUST(p, "out of memory");
        return p;
}

static void put(struct disk *d, uint64_t sector, const uint8_t *bytes, struct tag tag) {
        memcpy(d->media + sector * SECTOR_BYTES, bytes, SECTOR_BYTES);
        d->media_tags[sector] = tag;
}

static void noise(struct chance *chance, uint8_t *bytes) {
        for (size_t i = 0; i < SECTOR_BYTES; i += sizeof(uint64_t)) {
                uint64_t word = chance_next(chance);
                memcpy(bytes + i, &word, sizeof word);
        }
}

static void put_noise(struct disk *d, uint64_t sector) {
        noise(d->chance, d->media + sector * SECTOR_BYTES);
        d->media_tags[sector] = (struct tag){ .kind = TAG_NOISE };
}

static void put_text(struct disk *d, uint64_t sector) {
        uint8_t text[SECTOR_BYTES];
        for (size_t i = 0; i < sizeof text; i++)
                text[i] = (uint8_t)('a' + chance_below(d->chance, 26));
        put(d, sector, text, (struct tag){ .kind = TAG_FOREIGN });
}

static void put_zeros(struct disk *d, uint64_t sector) {
        static const uint8_t zeros[SECTOR_BYTES];
        put(d, sector, zeros, (struct tag){ .kind = TAG_ZERO });
}

/* What a generation wrote, for `from`, lies at `to`. */
static void put_written(struct disk *d, uint64_t to, size_t generation, uint64_t from) {
        uint8_t bytes[SECTOR_BYTES];
        content_sector(&d->history->of[generation], bytes, from * SECTOR_BYTES);
        put(d, to, bytes,
                (struct tag){ .kind = TAG_WRITTEN, .generation = (uint8_t)generation, .sector = (uint32_t)from });
}

/* So many different bits. A sector that is flipped already stays: the same bit twice would be no damage. So does text:
 * it may be text again. */
static void flip(struct chance *chance, uint8_t *bytes, struct tag *tag, unsigned bits) {
        uint8_t flipped[SECTOR_BYTES] = { 0 };
        if (tag->kind == TAG_FLIPPED || tag->kind == TAG_PHANTOM || tag->kind == TAG_FOREIGN)
                return;
        for (unsigned left = bits; left > 0;) {
                uint64_t bit = chance_below(chance, SECTOR_BYTES * 8);
                if (flipped[bit / 8] & BIT(bit % 8))
                        continue;
                flipped[bit / 8] |= (uint8_t)BIT(bit % 8);
                bytes[bit / 8] ^= (uint8_t)BIT(bit % 8);
                left--;
        }
        tag->bits = (uint16_t)bits;
        tag->kind = tag->kind == TAG_WRITTEN ? TAG_FLIPPED : TAG_NOISE;
}

void disk_init(struct disk *d, struct chance *chance, struct history *history, uint64_t sectors,
        uint32_t logical_sectors, bool has_cache, bool noise) {
        *d = (struct disk){
                .chance = chance,
                .history = history,
                .sectors = sectors,
                .logical_sectors = logical_sectors,
                .has_cache = has_cache,
                .media = memory(sectors, SECTOR_BYTES),
                .cache = memory(has_cache ? sectors : 1, SECTOR_BYTES),
                .media_tags = memory(sectors, sizeof(struct tag)),
                .cache_tags = memory(sectors, sizeof(struct tag)),
                .dirty = memory(sectors, sizeof(bool)),
        };
        d->hot = chance_below(chance, sectors);
        for (uint64_t i = 0; i < sectors && noise; i++)
                put_noise(d, i);
}

void disk_deinit(struct disk *d) {
        free(d->media);
        free(d->cache);
        free(d->media_tags);
        free(d->cache_tags);
        free(d->dirty);
        *d = (struct disk){ 0 };
}

/* Makes of a sector's bytes what the shape says, where it concerns that sector of its unit. */
static void reshape(struct disk *d, const struct shape *shape, uint64_t sector, uint8_t *bytes, struct tag *tag) {
        if (!(shape->sectors & BIT(sector % UNIT_SECTORS)))
                return;
        uint64_t from = (sector + shape->shift) % d->sectors;
        switch (shape->kind) {
        case SHAPE_ZEROS:
                memset(bytes, 0, SECTOR_BYTES);
                *tag = (struct tag){ .kind = TAG_ZERO };
                break;
        case SHAPE_NOISE:
                noise(d->chance, bytes);
                *tag = (struct tag){ .kind = TAG_NOISE };
                break;
        case SHAPE_FLIPPED:
                flip(d->chance, bytes, tag, shape->bits);
                break;
        case SHAPE_WRITTEN:
                content_sector(&d->history->of[shape->generation], bytes, from * SECTOR_BYTES);
                *tag = (struct tag){ TAG_WRITTEN, (uint8_t)shape->generation, 0, (uint32_t)from };
                break;
        }
}

void disk_fill(struct disk *d, size_t generation) {
        for (uint64_t i = 0; i < d->sectors; i++)
                put_written(d, i, generation, i);
}

void disk_change(struct disk *d, uint64_t sector, const struct shape *shape) {
        reshape(d, shape, sector, d->media + sector * SECTOR_BYTES, &d->media_tags[sector]);
}

static struct trouble *trouble_at(struct disk *d, enum trouble_kind low, enum trouble_kind high, uint64_t sector) {
        for (size_t i = 0; i < d->trouble_count; i++) {
                struct trouble *t = &d->troubles[i];
                if (t->kind >= low && t->kind <= high && t->left > 0 && sector >= t->first &&
                        sector < t->first + t->count)
                        return t;
        }
        return NULL;
}

static void use_up(struct trouble *t) {
        if (t->left != TROUBLE_ALWAYS)
                t->left--;
}

static void heal(struct disk *d, uint64_t sector) {
        for (size_t i = 0; i < d->trouble_count; i++) {
                struct trouble *t = &d->troubles[i];
                if (t->kind == TROUBLE_READ_ERROR && t->heals && sector >= t->first && sector < t->first + t->count)
                        t->left = 0;
        }
}

/* A sector reaches the medium, or what the fault of the moment makes of it. */
static void settle(struct disk *d, uint64_t sector, const uint8_t *bytes, struct tag tag) {
        struct trouble *t = trouble_at(d, TROUBLE_LOST, TROUBLE_WRITTEN_AS, sector);
        heal(d, sector);
        if (!t) {
                put(d, sector, bytes, tag);
                return;
        }
        use_up(t);
        switch (t->kind) {
        case TROUBLE_WRITTEN_AS:
                put(d, sector, bytes, tag);
                disk_change(d, sector, &t->shape);
                break;
        case TROUBLE_ZEROED:
                put_zeros(d, sector);
                break;
        case TROUBLE_FLIPPED:
                put(d, sector, bytes, tag);
                flip(d->chance, d->media + sector * SECTOR_BYTES, &d->media_tags[sector], t->bits);
                break;
        case TROUBLE_MISDIRECTED: {
                uint64_t to = sector + (uint64_t)t->shift;
                if (to < d->sectors)
                        put(d, to, bytes, tag);
                break;
        }
        default: /* lost */
                break;
        }
}

void disk_write(struct disk *d, uint64_t sector, const uint8_t *bytes, struct tag tag) {
        if (!d->has_cache) {
                settle(d, sector, bytes, tag);
                return;
        }
        memcpy(d->cache + sector * SECTOR_BYTES, bytes, SECTOR_BYTES);
        d->cache_tags[sector] = tag;
        d->dirty[sector] = true;
}

void disk_flush(struct disk *d, bool lose) {
        for (uint64_t i = 0; i < d->sectors && d->has_cache; i++) {
                if (!d->dirty[i])
                        continue;
                d->dirty[i] = false;
                if (!lose || chance_one_in(d->chance, 2))
                        settle(d, i, d->cache + i * SECTOR_BYTES, d->cache_tags[i]);
        }
}

void disk_read(struct disk *d, uint64_t sector, uint8_t *bytes, struct tag *ret) {
        const uint8_t *from = d->dirty[sector] ? d->cache : d->media;
        memcpy(bytes, from + sector * SECTOR_BYTES, SECTOR_BYTES);
        *ret = d->dirty[sector] ? d->cache_tags[sector] : d->media_tags[sector];
        struct trouble *t = trouble_at(d, TROUBLE_READ_FLIPPED, TROUBLE_READ_AS, sector);
        if (!t)
                return;
        use_up(t);
        if (t->kind == TROUBLE_READ_AS)
                reshape(d, &t->shape, sector, bytes, ret);
        else
                flip(d->chance, bytes, ret, t->bits);
}

int disk_error(struct disk *d, enum trouble_kind kind, uint64_t first, uint64_t count) {
        for (size_t i = 0; i < d->trouble_count; i++) {
                struct trouble *t = &d->troubles[i];
                bool meets = t->first < first + count && first < t->first + t->count;
                if (t->kind != kind || t->left == 0 || (kind != TROUBLE_FLUSH_ERROR && !meets))
                        continue;
                if (t->skip > 0) {
                        t->skip--;
                        continue;
                }
                use_up(t);
                return t->error;
        }
        return 0;
}

uint64_t disk_some_place(struct disk *d) {
        if (chance_one_in(d->chance, 2))
                return chance_below(d->chance, d->sectors);
        uint64_t place = d->hot + chance_below(d->chance, 40);
        return MIN(place, d->sectors - 1);
}

bool disk_add_trouble(struct disk *d, const struct trouble *trouble) {
        for (size_t i = 0; i < d->trouble_count; i++)
                if (d->troubles[i].left == 0) {
                        d->troubles[i] = *trouble;
                        return true;
                }
        if (d->trouble_count == TROUBLES_MAX)
                return false;
        d->troubles[d->trouble_count++] = *trouble;
        return true;
}

void disk_scribble(struct disk *d, uint64_t first, uint64_t count) {
        for (uint64_t i = first; i < first + count && i < d->sectors; i++) {
                d->dirty[i] = false;
                put_noise(d, i);
        }
}

static unsigned some_bits(struct chance *c) {
        static const unsigned most[] = { 1, 4, 256, 1500 };
        return (unsigned)chance_between(c, 1, most[chance_below(c, ELEMENTS(most))]);
}

/* A sector, a few, or units, as one thing. */
static void damage_stretch(struct disk *d, uint64_t first, uint64_t count, bool another_target) {
        unsigned kind = (unsigned)chance_below(d->chance, 6), bits = some_bits(d->chance);
        uint64_t from = chance_below(d->chance, d->sectors);
        if (chance_one_in(d->chance, 2)) /* by whole units */
                from = from / UNIT_SECTORS * UNIT_SECTORS + first % UNIT_SECTORS;
        if (d->sectors > TABLE_SECTORS && chance_one_in(d->chance, 2)) /* where all but the marks is the same */
                from = (first + TABLE_SECTORS) % d->sectors;
        size_t generation = another_target ? 0 : chance_below(d->chance, d->history->count);
        for (uint64_t i = 0; i < count && first + i < d->sectors; i++) {
                uint64_t to = first + i;
                d->dirty[to] = false;
                if (kind == 0)
                        put_zeros(d, to);
                else if (kind == 1)
                        put_noise(d, to);
                else if (kind == 5)
                        put_text(d, to);
                else if (kind == 2)
                        flip(d->chance, d->media + to * SECTOR_BYTES, &d->media_tags[to], bits);
                else if (another_target || generation > 0)
                        put_written(d, to, generation, kind == 3 ? to : (from + i) % d->sectors);
        }
}

void disk_damage(struct disk *d, bool another_target) {
        for (uint64_t n = chance_between(d->chance, 1, 4); n > 0; n--) {
                uint64_t first = disk_some_place(d), count = chance_between(d->chance, 1, 4);
                if (chance_one_in(d->chance, 2)) {
                        first = first / UNIT_SECTORS * UNIT_SECTORS;
                        count = UNIT_SECTORS * chance_between(d->chance, 1, 3);
                }
                damage_stretch(d, first, count, another_target);
                story("damage at sector %" PRIu64 ", %" PRIu64 " of them", first, count);
        }
}
