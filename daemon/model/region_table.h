/* SPDX-License-Identifier: Apache-2.0 */
/*
 * region_table: a map of an extent of a target, in 1,024 regions of equal length (an extent under 1 MiB has fewer):
 * when each was last checked (all of it was read, or told as a fault) and verified (all of it was compared), and the
 * longest read there.
 */
#pragma once

#include "model/extent.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REGIONS_MAX = 1024 };

/* Wall time; 0: never. */
struct region {
        uint64_t checked_us, verified_us;
        uint64_t latency_max_us; /* by the sweep that checked it last; 0: unknown */
};

struct region_table {
        uint64_t size_bytes;  /* of the target; 0: nothing is known */
        struct extent extent; /* of it, that is cut into regions */
        struct region regions[REGIONS_MAX];
};

/* Of each region of an extent but the last one, which may be shorter. */
uint64_t region_table_step(uint64_t length_bytes);

size_t region_table_count(const struct region_table *t);
struct extent region_table_place(const struct region_table *t, size_t index);

/* Into a map what another one, of the same target, knows of regions that lie in its extent wholly. */
void region_table_join(struct region_table *t, const struct region_table *other);

/* What a sweep found, into what was known before. Regions that it did not wholly check stay as they were. A target of
 * another size than before is another map; another extent is cut anew. */
void region_table_update(struct region_table *known, const struct region_table *fresh);

/* A place was found to be bad then, which is told: that of it which was to be verified was, as far as it can be. */
void region_table_tell(struct region_table *t, struct extent place, uint64_t at_us);

/* No time that is known lies outside of these two. */
void region_table_date(struct region_table *t, uint64_t from_us, uint64_t to_us);

/* Of all regions that the place touches: the oldest times (0 where one of them never was, or the place is not all in
 * the extent), the longest read. */
struct region region_table_at(const struct region_table *t, struct extent place);

/* The share of the place's bytes that was verified (or else checked) at this time or later: 0 to 1. */
double region_table_share(const struct region_table *t, struct extent place, bool verified, uint64_t since_us);

/* A part of a map as it is asked for. */
struct region_record {
        struct extent place;
        struct region known;
        uint64_t findings; /* that are not over and touch it */
};

/* As bytes. Returns the length. */
enum { REGIONS_PACKED_MAX = 32 + REGIONS_MAX * 3 * 10 };
size_t region_table_pack(uint8_t bytes[static REGIONS_PACKED_MAX], const struct region_table *t);

/* False: these bytes are no such table, and *ret is untouched. */
bool region_table_unpack(struct region_table *ret, const void *bytes, size_t length);
