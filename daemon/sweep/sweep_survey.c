/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sweep measures on its way. It is done for every request, so it must cost next to nothing; and a region of the
 * map must never count as checked while a part of it that is to be swept was left out. So the bytes of each region are
 * counted, once a round: the retention pass is one, the passes that write and read back are another.
 */
#include "sweep/sweep_private.h"

#include <assert.h>
#include <string.h>

void sweep_survey_init(struct sweep *s) {
        s->survey.regions.size_bytes = s->o.size_bytes;
        s->survey.regions.extent = s->o.extent;
        s->region_step = region_table_step(s->o.extent.length_bytes);
}

size_t sweep_region_at(const struct sweep *s, uint64_t offset_bytes) {
        assert(offset_bytes >= s->o.extent.offset_bytes);
        return (size_t)((offset_bytes - s->o.extent.offset_bytes) / s->region_step);
}

void sweep_survey_begin_round(struct sweep *s) {
        memset(s->region_checked, 0, sizeof s->region_checked);
        memset(s->region_verified, 0, sizeof s->region_verified);
}

void sweep_survey_request(struct sweep *s, const struct engine_io *io) {
        static const enum latency_operation operations[] = {
                [ENGINE_READ] = LATENCY_READ,
                [ENGINE_WRITE] = LATENCY_WRITE,
                [ENGINE_FLUSH] = LATENCY_FLUSH,
        };
        if (s->pass_step == STEP_SAMPLE)
                return;
        uint64_t latency_us = io->completed_us - io->submitted_us;
        latency_add(&s->survey.latency[operations[io->op]], latency_us);
        if (io->op != ENGINE_READ)
                return;
        size_t last = sweep_region_at(s, io->offset_bytes + io->length_bytes - 1);
        for (size_t i = sweep_region_at(s, io->offset_bytes); i <= last; i++) {
                struct region *r = &s->survey.regions.regions[i];
                r->latency_max_us = MAX(r->latency_max_us, latency_us);
        }
}

/* Adds a place to the counts of its regions, and notes the time of those that are whole. */
static void count(struct sweep *s, uint64_t *bytes, size_t when_at, struct extent place) {
        assert(extent_contains(s->o.extent, place));
        for (uint64_t at = place.offset_bytes; at < extent_end(place);) {
                size_t i = sweep_region_at(s, at);
                struct extent region = region_table_place(&s->survey.regions, i);
                uint64_t end = MIN(extent_end(place), extent_end(region));
                bytes[i] += end - at;
                assert(bytes[i] <= region.length_bytes);
                if (bytes[i] == region.length_bytes)
                        memcpy((char *)&s->survey.regions.regions[i] + when_at, &s->wall_us, sizeof s->wall_us);
                at = end;
        }
}

void sweep_survey_checked(struct sweep *s, struct extent place) {
        count(s, s->region_checked, offsetof(struct region, checked_us), place);
}

void sweep_survey_verified(struct sweep *s, struct extent place) {
        count(s, s->region_verified, offsetof(struct region, verified_us), place);
}

struct survey *sweep_survey(const struct sweep *s) {
        struct survey *copy = malloc(sizeof *copy);
        if (copy)
                *copy = s->survey;
        return copy;
}
