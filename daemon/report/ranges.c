/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ledger says of a stretch decides whether a fault is raised there, so an error here is a false finding or a
 * missed one. The dangerous direction is knowing too much: a settled range that stays where another generation may
 * have been written. Every shortcut below therefore forgets rather than keeps.
 */
#include "report/ranges.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

void ranges_deinit(struct ranges *ranges) {
        free(ranges->items);
        *ranges = (struct ranges){ 0 };
}

static int push(struct ranges *ranges, struct stamped_range range) {
        if (ranges->count == ranges->capacity) {
                size_t capacity = MAX(2 * ranges->capacity, (size_t)16);
                struct stamped_range *grown = reallocarray(ranges->items, capacity, sizeof *grown);
                if (!grown)
                        return -ENOMEM;
                ranges->items = grown;
                ranges->capacity = capacity;
        }
        ranges->items[ranges->count++] = range;
        return 0;
}

static int compare_numbers(uint64_t a, uint64_t b) {
        return (a > b) - (a < b);
}

static int compare_stamps(const struct stamped_range *a, const struct stamped_range *b) {
        int order = compare_numbers(a->generation, b->generation);
        return order ? order : compare_numbers(a->nonce, b->nonce);
}

static int by_place(const void *left, const void *right) {
        const struct stamped_range *a = left, *b = right;
        int order = compare_numbers(a->extent.offset_bytes, b->extent.offset_bytes);
        return order ? order : compare_stamps(a, b);
}

static int by_stamp(const void *left, const void *right) {
        const struct stamped_range *a = left, *b = right;
        int order = compare_stamps(a, b);
        if (order == 0)
                order = (int)a->settled - (int)b->settled;
        return order ? order : compare_numbers(a->extent.offset_bytes, b->extent.offset_bytes);
}

static bool same_stamp(const struct stamped_range *a, const struct stamped_range *b) {
        return a->generation == b->generation && a->nonce == b->nonce;
}

static struct stamped_range stamped(const struct stamped_range *stamp, struct extent extent, bool settled) {
        struct stamped_range range = *stamp;
        range.extent = extent;
        range.settled = settled;
        return range;
}

static void sort(struct ranges *ranges, int (*order)(const void *, const void *)) {
        if (ranges->count > 1)
                qsort(ranges->items, ranges->count, sizeof *ranges->items, order);
}

/* Drops what became empty, joins what touches and says the same, and restores the order. */
static void tidy(struct ranges *ranges) {
        sort(ranges, by_stamp);
        size_t kept = 0;
        for (size_t i = 0; i < ranges->count; i++) {
                struct stamped_range *range = &ranges->items[i], *last = kept > 0 ? &ranges->items[kept - 1] : NULL;
                if (range->extent.length_bytes == 0)
                        continue;
                if (last && same_stamp(last, range) && last->settled == range->settled &&
                        range->extent.offset_bytes <= extent_end(last->extent))
                        last->extent = extent_hull(last->extent, range->extent);
                else
                        ranges->items[kept++] = *range;
        }
        ranges->count = kept;
        sort(ranges, by_place);
}

/* Removes what lies under the extent from one range, in place; what is left behind the extent becomes *tail. */
static void cut_one(struct stamped_range *range, struct extent extent, struct stamped_range *tail) {
        uint64_t from = range->extent.offset_bytes, to = extent_end(range->extent);
        *tail = *range;
        tail->extent.length_bytes = 0;
        if (!extent_overlaps(range->extent, extent))
                return;
        uint64_t cut_to = extent_end(extent);
        if (to > cut_to)
                tail->extent = (struct extent){ cut_to, to - cut_to };
        range->extent.length_bytes = extent.offset_bytes > from ? extent.offset_bytes - from : 0;
}

/* Removes everything under the extent. Leaves the order and empty ranges to tidy(). */
static int cut(struct ranges *ranges, struct extent extent) {
        size_t count = ranges->count;
        for (size_t i = 0; i < count; i++) {
                struct stamped_range tail;
                cut_one(&ranges->items[i], extent, &tail);
                int r = tail.extent.length_bytes > 0 ? push(ranges, tail) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

void ranges_adopt(struct ranges *ranges, struct stamped_range *items, size_t count) {
        assert(count == 0 || items);
        ranges_deinit(ranges);
        *ranges = (struct ranges){ .count = count, .capacity = count, .items = items };
        tidy(ranges);
}

int ranges_settle(struct ranges *ranges, struct extent extent, const struct stamped_range *stamp) {
        if (extent.length_bytes == 0)
                return 0;
        int r = cut(ranges, extent);
        if (r < 0)
                return r;
        r = push(ranges, stamped(stamp, extent, true));
        if (r < 0)
                return r;
        tidy(ranges);
        return 0;
}

/*
 * Adds the unsettled range wherever this very stamp is not settled already: writing the same bytes once more changes
 * nothing. Unsettled pieces that are there are joined by tidy().
 */
static int add_around_settled(struct ranges *ranges, struct extent extent, const struct stamped_range *stamp) {
        uint64_t from = extent.offset_bytes, to = extent_end(extent);
        size_t count = ranges->count;
        for (size_t i = 0; i < count && from < to; i++) {
                const struct stamped_range there = ranges->items[i];
                if (!there.settled || !same_stamp(&there, stamp))
                        continue;
                struct extent common = extent_common(there.extent, (struct extent){ from, to - from });
                if (common.length_bytes == 0)
                        continue;
                struct extent gap = { from, common.offset_bytes - from };
                int r = push(ranges, stamped(stamp, gap, false));
                if (r < 0)
                        return r;
                from = extent_end(common);
        }
        return push(ranges, stamped(stamp, (struct extent){ from, to - from }, false));
}

/* How many ranges cover the place, and how far from there on that does not change. */
static size_t depth_at(const struct ranges *ranges, uint64_t place, uint64_t end, uint64_t *ret_until) {
        size_t depth = 0;
        uint64_t until = end;
        for (size_t i = 0; i < ranges->count; i++) {
                struct extent e = ranges->items[i].extent;
                if (e.offset_bytes > place)
                        until = MIN(until, e.offset_bytes);
                else if (extent_end(e) > place) {
                        depth++;
                        until = MIN(until, extent_end(e));
                }
        }
        *ret_until = until;
        return depth;
}

static int forget_overfull(struct ranges *ranges, struct extent extent) {
        uint64_t end = extent_end(extent), until;
        for (uint64_t place = extent.offset_bytes; place < end; place = until) {
                if (depth_at(ranges, place, end, &until) <= TARGET_OVERLAP_MAX)
                        continue;
                int r = cut(ranges, (struct extent){ place, until - place });
                if (r < 0)
                        return r;
        }
        return 0;
}

int ranges_announce(struct ranges *ranges, struct extent extent, const struct stamped_range *stamp) {
        if (extent.length_bytes == 0)
                return 0;
        int r = add_around_settled(ranges, extent, stamp);
        if (r < 0)
                return r;
        tidy(ranges);
        r = forget_overfull(ranges, extent);
        if (r < 0)
                return r;
        tidy(ranges);
        return 0;
}

int ranges_forget(struct ranges *ranges, struct extent extent) {
        int r = cut(ranges, extent);
        if (r < 0)
                return r;
        tidy(ranges);
        return 0;
}

/* Cuts the extent out of every settled range; of one that would fall in two, only the longer piece is kept. */
static void forget_settled_under(struct ranges *ranges, struct extent extent) {
        for (size_t i = 0; i < ranges->count; i++) {
                struct stamped_range *range = &ranges->items[i], tail;
                if (!range->settled)
                        continue;
                cut_one(range, extent, &tail);
                if (tail.extent.length_bytes > range->extent.length_bytes)
                        *range = tail;
        }
}

void ranges_limit(struct ranges *ranges, size_t max) {
        while (ranges->count > max) {
                size_t smallest = 0;
                for (size_t i = 1; i < ranges->count; i++)
                        if (ranges->items[i].extent.length_bytes < ranges->items[smallest].extent.length_bytes)
                                smallest = i;
                struct stamped_range *range = &ranges->items[smallest];
                struct extent extent = range->extent;
                bool was_settled = range->settled;
                range->extent.length_bytes = 0;
                if (!was_settled)
                        forget_settled_under(ranges, extent);
                tidy(ranges);
        }
}
