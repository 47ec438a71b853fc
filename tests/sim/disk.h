/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk: a disk in memory that fails on demand. Beside the bytes of each sector it keeps a tag that says what they are,
 * so that whoever judges a sweep needs none of the code that it judges. With a write cache, faults of writing come to
 * light only when the cache is emptied, as on a real disk.
 */
#pragma once

#include "chance.h"
#include "sweep/content.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tag_kind {
        TAG_ZERO,
        TAG_WRITTEN, /* as `generation` wrote it for `sector` */
        TAG_FLIPPED, /* that, with `bits` bits flipped */
        TAG_NOISE,
        TAG_FOREIGN, /* what somebody else wrote, and anybody sees that */
        TAG_PHANTOM  /* a read that transferred nothing */
};

struct tag {
        uint8_t kind;
        uint8_t generation; /* index into the history */
        uint16_t bits;
        uint32_t sector;
};

enum { HISTORY_MAX = 24 };

/* All generations that were ever begun, of this target and of another one. */
struct history {
        struct table_cache *tables;
        size_t count;
        struct content of[HISTORY_MAX];
};

enum trouble_kind {
        /* of writing, sector by sector; `left` counts sectors */
        TROUBLE_LOST,
        TROUBLE_ZEROED,
        TROUBLE_FLIPPED,
        TROUBLE_MISDIRECTED,
        TROUBLE_WRITTEN_AS, /* what is written becomes something else, by `shape` */
        /* of reading, sector by sector */
        TROUBLE_READ_FLIPPED,
        TROUBLE_READ_AS, /* what is read is something else, by `shape` */
        /* of requests; `left` counts them */
        TROUBLE_PHANTOM, /* a read that transfers nothing, and says that it did */
        TROUBLE_READ_ERROR,
        TROUBLE_WRITE_ERROR,
        TROUBLE_FLUSH_ERROR
};

enum { TROUBLES_MAX = 24, TABLE_SECTORS = TABLE_BYTES / SECTOR_BYTES };
#define TROUBLE_ALWAYS UINT32_MAX

/* What becomes of a sector. */
struct shape {
        enum { SHAPE_ZEROS, SHAPE_NOISE, SHAPE_FLIPPED, SHAPE_WRITTEN } kind;
        uint8_t sectors;   /* which sectors of a unit it concerns, a bit each */
        uint16_t bits;     /* flipped: how many */
        size_t generation; /* written: by which, */
        uint64_t shift;    /* and for a place so many sectors further on */
};

struct trouble {
        enum trouble_kind kind;
        uint64_t first, count; /* sectors */
        uint32_t skip;         /* how many requests it lets pass before */
        uint32_t left;         /* how often it still happens */
        int error;
        int64_t shift; /* misdirected: by how many sectors */
        uint16_t bits; /* flipped: how many */
        bool heals;    /* read error: until the sector is written */
        struct shape shape;
};

struct disk {
        struct chance *chance;
        struct history *history;
        uint64_t sectors;
        uint32_t logical_sectors;
        uint64_t hot; /* the sector around which most faults gather, so that they meet */
        bool has_cache;
        uint8_t *media, *cache;
        struct tag *media_tags, *cache_tags;
        bool *dirty;
        size_t trouble_count;
        struct trouble troubles[TROUBLES_MAX];
};

/* noise: full of somebody's bytes, else zeros. Both borrowed; memory is taken or the process ends. */
void disk_init(struct disk *d, struct chance *chance, struct history *history, uint64_t sectors,
        uint32_t logical_sectors, bool has_cache, bool noise);
void disk_deinit(struct disk *d);

/* One sector, as the host does. */
void disk_write(struct disk *d, uint64_t sector, const uint8_t *bytes, struct tag tag);
void disk_read(struct disk *d, uint64_t sector, uint8_t *bytes, struct tag *ret);

/* Everything is as this generation wrote it. */
void disk_fill(struct disk *d, size_t generation);

/* Changes a sector of the medium, behind everybody's back. */
void disk_change(struct disk *d, uint64_t sector, const struct shape *shape);

/* Empties the cache. lose: some of it is lost. */
void disk_flush(struct disk *d, bool lose);

/* The errno of the trouble of this kind that a request over these sectors meets; 0: none. */
int disk_error(struct disk *d, enum trouble_kind kind, uint64_t first, uint64_t count);

/* A sector where something may go wrong. */
uint64_t disk_some_place(struct disk *d);

bool disk_add_trouble(struct disk *d, const struct trouble *trouble);

/* Changes what is on the medium, at random and behind everybody's back: a few places, or a whole stretch. */
void disk_damage(struct disk *d, bool another_target);
void disk_scribble(struct disk *d, uint64_t first, uint64_t count);
