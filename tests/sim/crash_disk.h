/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash_disk: two disks with volatile caches behind the engine's seam, and all that a power cut may leave of them. What
 * was flushed is durable; each write since then may be there, not be there, be torn, or have left its sectors
 * unreadable, whatever became of the others.
 */
#pragma once

#include "chance.h"
#include "media/engine.h"
#include "pages.h"

enum { WRITES_MAX = 8192, FLIGHTS_MAX = 64, RUN_PAGES_MAX = 17, DISK_TARGET = 0, DISK_JOURNAL = 1, DISKS = 2 };

/* A write that no flush covers yet. */
struct unflushed {
        uint64_t first; /* sector */
        uint32_t sectors;
        bool completed;
        bool doubtful;                 /* a flush after it has failed: no later one makes it durable */
        uint64_t completed_at;         /* of the disk's events */
        uint32_t pages[RUN_PAGES_MAX]; /* what was written, each page at its own place */
};

struct flight {
        struct engine_io *io;
        uint64_t submitted_at; /* of the disk's events */
        size_t write;          /* index into the writes */
        unsigned moment;       /* what the owner of the world says of it */
};

struct world;

struct crash_disk {
        struct engine engine;
        struct world *world;
        unsigned number;
        uint64_t sectors;
        uint32_t logical_sectors;
        unsigned depth;
        struct image durable, now; /* now: with all that has completed */
        size_t write_count;
        struct unflushed writes[WRITES_MAX];
        size_t flight_count;
        struct flight flights[FLIGHTS_MAX];
        uint64_t events;
        bool gone;
        uint64_t written_bytes; /* as the kernel counts them */
};

/* What becomes of one request, where it isn't simply done. */
struct mishap {
        int error;        /* positive errno */
        uint32_t sectors; /* of a short completion; 0: all */
        bool nothing;     /* it transfers nothing, and says so */
        bool phantom;     /* it transfers nothing, and says that it did */
        bool flipped;     /* what was read differs in a bit */
        bool some;        /* a write that fails may have done a part of its work */
};

struct world {
        struct crash_disk disks[DISKS];
        struct chance chance; /* of the order of completions */
        uint64_t now_us;
        bool any_order; /* else they come in the order in which they were asked for */
        bool strict;    /* buffers in flight are watched, too */
        bool changed;   /* a crash would leave something else than at the last boundary */

        /* All may be NULL. */
        void (*boundary)(struct world *w); /* after each request that was taken or has completed, where `changed` */
        void (*submitted)(struct world *w, struct crash_disk *disk, struct flight *flight);
        struct mishap (*completing)(struct world *w, struct crash_disk *disk, const struct flight *flight);
        void (*completed)(struct world *w, struct crash_disk *disk, const struct flight *flight);
        int (*refusing)(struct world *w, struct crash_disk *disk, const struct engine_io *io); /* positive errno */
        void (*looked)(struct world *w, struct crash_disk *disk, struct engine_look *look);
        void *owner;
};

/* sectors, logical_sectors: of the target. The journal has whole pages. */
void world_init(struct world *w, const struct image *target, const struct image *journal, uint64_t sectors,
        uint32_t logical_sectors, unsigned depth);

/* A write of somebody else to one page, past the program that is tried, durable at once. Returns the page with what was
 * written, at its place. */
uint32_t world_outsider_writes(struct world *w, uint64_t first, uint32_t sectors, const uint8_t *bytes);

/* What another process finds when the one before was killed, and the journal's opener has flushed it: all that was
 * asked for, of the target none of it more durable than it was. Both have been initialised. */
void world_take_over(struct world *to, const struct world *from);

/* What may become of a write in a power cut. */
enum fate { FATE_OLD, FATE_NEW, FATE_HEAD, FATE_TAIL, FATE_UNREADABLE, FATE_COUNT };

/* Tells apart what is in the caches. */
uint64_t world_cache_sum(const struct world *w);

/* Of all writes of both disks that are not flushed, the target's first. */
size_t world_unflushed(const struct world *w);

/* What is left when each of them meets its fate; torn: after how many sectors, for the first write; others follow. */
void world_cut(const struct world *w, const uint8_t *fates, unsigned torn, struct image *target, struct image *journal);
