/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counts are read one after the other while others write: what belongs to two moments would look like a write that
 * there never was, or hide one. So all of them are read twice, and only if nothing has moved in between do they count.
 */
#include "media/write_counts.h"

#include "media/engine.h"
#include "media/sysfs.h"

#include <string.h>

enum { TRIES_MAX = 8 };

/* Counts of a disk at one moment. */
struct tally {
        uint64_t whole_bytes;
        uint64_t parts_bytes; /* by way of its partitions */
        uint64_t parts;       /* which ones these are */
};

struct sectors {
        uint64_t first, count;
};

/* A discard destroys like a write. */
static bool read_stat(int dir, uint64_t *ret) {
        uint64_t fields[SYSFS_STAT_COUNT] = { 0 };
        if (sysfs_stat(dir, fields) <= SYSFS_STAT_WRITTEN_SECTORS)
                return false;
        *ret = (fields[SYSFS_STAT_WRITTEN_SECTORS] + fields[SYSFS_STAT_DISCARDED_SECTORS]) * SYSFS_SECTOR_BYTES;
        return true;
}

static bool read_place(int dir, struct sectors *ret) {
        return sysfs_number(dir, "start", &ret->first) && sysfs_number(dir, "size", &ret->count);
}

/* Of any order of the same partitions the same sum; a number of splitmix64's kind, as sums of small numbers meet. */
static uint64_t mix(uint64_t x) {
        x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
        return x ^ x >> 31;
}

/* False: something can't be read, or two partitions share sectors, so that the count of one misses writes to it. */
static bool add_partition(struct tally *t, int part, const struct sectors *ours) {
        struct sectors place;
        uint64_t number, bytes;
        if (!sysfs_number(part, "partition", &number) || !read_place(part, &place) || !read_stat(part, &bytes))
                return false;
        bool same = place.first == ours->first && place.count == ours->count;
        if (!same && place.first < ours->first + ours->count && ours->first < place.first + place.count)
                return false;
        t->parts_bytes += bytes;
        t->parts += mix(mix(mix(number) + place.first) + place.count);
        return true;
}

static bool take_tally(struct tally *ret, int whole, const struct sectors *ours) {
        struct tally t = { 0 };
        CLEANUP_CLOSEDIR DIR *list = sysfs_list(whole, ".");
        const char *name;
        if (!list)
                return false;
        while ((name = sysfs_next(list)) != NULL) {
                CLEANUP_CLOSE int part = sysfs_open_entry(dirfd(list), name);
                if (part >= 0 && sysfs_exists(part, "partition") && !add_partition(&t, part, ours))
                        return false;
        }
        *ret = t;
        return read_stat(whole, &ret->whole_bytes);
}

/* What was written to the whole disk and by way of no partition. */
static void look_around(struct engine_look *look, int dir, int whole) {
        struct sectors ours;
        struct tally first, second;
        if (!read_place(dir, &ours) || !take_tally(&first, whole, &ours))
                return;
        for (unsigned i = 0; i < TRIES_MAX; i++, first = second) {
                if (!take_tally(&second, whole, &ours))
                        return;
                if (memcmp(&first, &second, sizeof first) != 0)
                        continue;
                look->around_of = second.parts ? second.parts : 1;
                look->around_bytes = second.whole_bytes - second.parts_bytes;
                return;
        }
}

/* Turned off, the counts stand still, and foreign writes would go unseen: so that is asked each time. */
void write_counts_read(struct engine_look *look, int dir, int whole) {
        uint64_t counting;
        if (!sysfs_number(whole, "queue/iostats", &counting) || counting == 0 || !read_stat(dir, &look->written_bytes))
                return;
        look->counts_known = true;
        look->counts_complete = sysfs_exists(whole, "device"); /* of no loop, dm (multipath, too) and md */
        if (!sysfs_exists(dir, "partition"))
                return;
        look_around(look, dir, whole);
        look->counts_complete = look->counts_complete && look->around_of != 0;
}
