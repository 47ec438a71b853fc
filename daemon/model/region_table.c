/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "All of it was checked this month" is a claim about the oldest place, not about the last sweep. What could go wrong:
 * a map that is younger than the truth, because a part of a region stands for all of it, or because a disk that grew is
 * read as if it were the old one. So regions are those of the extent that is swept, not of the target, of which they
 * may be the smaller part; a region counts when the whole of it was reached, what is asked of several gets the oldest
 * answer, and another size is another map.
 */
#include "model/region_table.h"

#include "base/cleanup.h"
#include "model/packed.h"

#include <assert.h>

enum { PACKED_WHOLE = 1, PACKED_VERSION = 2 }; /* the first one was of whole targets */

uint64_t region_table_step(uint64_t length_bytes) {
        return length_bytes / REGIONS_MAX + (length_bytes % REGIONS_MAX != 0);
}

size_t region_table_count(const struct region_table *t) {
        uint64_t step = region_table_step(t->extent.length_bytes);
        return step > 0 ? (size_t)((t->extent.length_bytes - 1) / step + 1) : 0;
}

struct extent region_table_place(const struct region_table *t, size_t index) {
        uint64_t length = t->extent.length_bytes, step = region_table_step(length), from = index * step;
        assert(from < length);
        return (struct extent){ t->extent.offset_bytes + from, MIN(step, length - from) };
}

void region_table_join(struct region_table *t, const struct region_table *other) {
        for (size_t i = 0; i < region_table_count(t); i++) {
                struct region *to = &t->regions[i], from = region_table_at(other, region_table_place(t, i));
                if (from.checked_us > to->checked_us)
                        to->latency_max_us = from.latency_max_us;
                to->checked_us = MAX(to->checked_us, from.checked_us);
                to->verified_us = MAX(to->verified_us, from.verified_us);
        }
}

static bool same_extent(struct extent a, struct extent b) {
        return a.offset_bytes == b.offset_bytes && a.length_bytes == b.length_bytes;
}

void region_table_update(struct region_table *known, const struct region_table *fresh) {
        if (fresh->size_bytes == 0)
                return;
        if (known->size_bytes != fresh->size_bytes || !same_extent(known->extent, fresh->extent)) {
                struct region_table cut = { .size_bytes = fresh->size_bytes, .extent = fresh->extent };
                if (known->size_bytes == fresh->size_bytes)
                        region_table_join(&cut, known);
                *known = cut;
        }
        for (size_t i = 0; i < REGIONS_MAX; i++) {
                const struct region *from = &fresh->regions[i];
                struct region *to = &known->regions[i];
                if (from->checked_us > 0) {
                        to->checked_us = from->checked_us;
                        to->latency_max_us = from->latency_max_us;
                }
                if (from->verified_us > 0)
                        to->verified_us = from->verified_us;
        }
}

void region_table_tell(struct region_table *t, struct extent place, uint64_t at_us) {
        for (size_t i = 0; i < region_table_count(t); i++)
                if (extent_overlaps(region_table_place(t, i), place))
                        t->regions[i].verified_us = MAX(t->regions[i].verified_us, at_us);
}

static uint64_t between(uint64_t at_us, uint64_t from_us, uint64_t to_us) {
        return at_us == 0 ? 0 : MIN(MAX(at_us, from_us), to_us);
}

void region_table_date(struct region_table *t, uint64_t from_us, uint64_t to_us) {
        assert(from_us <= to_us);
        for (size_t i = 0; i < REGIONS_MAX; i++) {
                struct region *r = &t->regions[i];
                r->checked_us = between(r->checked_us, from_us, to_us);
                r->verified_us = between(r->verified_us, from_us, to_us);
        }
}

struct region region_table_at(const struct region_table *t, struct extent place) {
        struct region sum = { 0 };
        struct extent part = extent_common(t->extent, place);
        uint64_t step = region_table_step(t->extent.length_bytes), from = part.offset_bytes - t->extent.offset_bytes;
        if (part.length_bytes == 0)
                return sum;
        size_t first = (size_t)(from / step), last = (size_t)((from + part.length_bytes - 1) / step);
        sum = t->regions[first];
        for (size_t i = first + 1; i <= last; i++) {
                const struct region *r = &t->regions[i];
                sum.checked_us = MIN(sum.checked_us, r->checked_us);
                sum.verified_us = MIN(sum.verified_us, r->verified_us);
                sum.latency_max_us = MAX(sum.latency_max_us, r->latency_max_us);
        }
        if (part.length_bytes < place.length_bytes)
                sum.checked_us = sum.verified_us = 0;
        return sum;
}

double region_table_share(const struct region_table *t, struct extent place, bool verified, uint64_t since_us) {
        uint64_t bytes = 0;
        for (size_t i = 0; i < region_table_count(t); i++) {
                uint64_t when_us = verified ? t->regions[i].verified_us : t->regions[i].checked_us;
                if (when_us > 0 && when_us >= since_us)
                        bytes += extent_common(region_table_place(t, i), place).length_bytes;
        }
        return place.length_bytes > 0 ? (double)bytes / (double)place.length_bytes : 0;
}

/* Times differ little from region to region, either way; as unsigned numbers the small ones stay small. */
static uint64_t zigzag(uint64_t difference) {
        return difference << 1 ^ (difference >> 63 ? UINT64_MAX : 0);
}

static uint64_t zagzig(uint64_t packed) {
        return packed >> 1 ^ (packed & 1 ? UINT64_MAX : 0);
}

size_t region_table_pack(uint8_t bytes[static REGIONS_PACKED_MAX], const struct region_table *t) {
        struct packer p = { .bytes = bytes, .room = REGIONS_PACKED_MAX };
        struct region before = { 0 };
        packer_add(&p, PACKED_VERSION);
        packer_add(&p, t->size_bytes);
        packer_add(&p, t->extent.offset_bytes);
        packer_add(&p, t->extent.length_bytes);
        for (size_t i = 0; i < region_table_count(t); i++) {
                const struct region *r = &t->regions[i];
                packer_add(&p, zigzag(r->checked_us - before.checked_us));
                packer_add(&p, zigzag(r->verified_us - before.verified_us));
                packer_add(&p, r->latency_max_us);
                before = *r;
        }
        return packer_seal(&p);
}

bool region_table_unpack(struct region_table *ret, const void *bytes, size_t length) {
        struct region_table t = { 0 };
        struct region before = { 0 };
        struct unpacker u;
        uint64_t version = unpacker_begin(&u, bytes, length) ? unpacker_take(&u) : 0;
        if (version != PACKED_WHOLE && version != PACKED_VERSION)
                return false;
        t.size_bytes = unpacker_take(&u);
        t.extent.length_bytes = t.size_bytes;
        if (version == PACKED_VERSION) {
                t.extent.offset_bytes = unpacker_take(&u);
                t.extent.length_bytes = unpacker_take(&u);
        }
        if (t.extent.offset_bytes > t.size_bytes || t.extent.length_bytes > t.size_bytes - t.extent.offset_bytes)
                return false;
        for (size_t i = 0; i < region_table_count(&t); i++) {
                struct region *r = &t.regions[i];
                r->checked_us = before.checked_us + zagzig(unpacker_take(&u));
                r->verified_us = before.verified_us + zagzig(unpacker_take(&u));
                r->latency_max_us = unpacker_take(&u);
                before = *r;
        }
        if (!unpacker_end(&u))
                return false;
        *ret = t;
        return true;
}
