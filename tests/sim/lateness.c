/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request is late here because a spot of the disk is slow, always or a few times, and for no other reason: then it is
 * known which places may be told, and which must be. A block may come in pieces, and counts as late where one of them
 * was; so what is asked of a finding is asked of each of its blocks.
 */
#include "lateness.h"

#include "base/cleanup.h"
#include "failure.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool *flags(uint64_t sectors) {
        bool *list = calloc(sectors, sizeof *list);
        MUST(list, "out of memory");
        return list;
}

void lateness_init(struct lateness *l, uint64_t sectors, struct chance *chance) {
        *l = (struct lateness){ .chance = chance, .sectors = sectors };
        l->late = flags(sectors);
        l->again = flags(sectors);
        l->due = flags(sectors);
        l->failed = flags(sectors);
        l->tried = flags(sectors);
}

void lateness_deinit(struct lateness *l) {
        free(l->late);
        free(l->again);
        free(l->due);
        free(l->failed);
        free(l->tried);
}

void lateness_begin_sweep(struct lateness *l) {
        struct chance *c = l->chance;
        memset(l->late, 0, l->sectors * sizeof(bool));
        memset(l->again, 0, l->sectors * sizeof(bool));
        memset(l->due, 0, l->sectors * sizeof(bool));
        memset(l->failed, 0, l->sectors * sizeof(bool));
        memset(l->tried, 0, l->sectors * sizeof(bool));
        l->counts = !chance_one_in(c, 6);
        l->busy = chance_one_in(c, 3) ? (unsigned)chance_between(c, 1, 4) : 0;
        l->was_disturbed = l->disturbed = false;
        l->on_trial = (struct extent){ 0 };
        l->spot_count = chance_one_in(c, 3) ? chance_between(c, 1, SLOW_SPOTS_MAX) : 0;
        for (size_t i = 0; i < l->spot_count; i++) {
                uint64_t first = chance_below(c, l->sectors), count = chance_between(c, 1, 40);
                l->spots[i] = (struct slow_spot){
                        .place = { first * SECTOR_BYTES, MIN(count, l->sectors - first) * SECTOR_BYTES },
                        .delay_us = LATENESS_SLOW_AFTER_US + chance_between(c, 1, 2000000),
                        .left = chance_one_in(c, 2) ? UINT32_MAX : (uint32_t)chance_between(c, 1, 3),
                };
                story("slow spot at sector %" PRIu64 ", %" PRIu64 " of them, left %" PRIu32, first,
                        l->spots[i].place.length_bytes / SECTOR_BYTES, l->spots[i].left);
        }
}

static void mark(bool *list, struct extent place) {
        for (uint64_t i = place.offset_bytes / SECTOR_BYTES; i < extent_end(place) / SECTOR_BYTES; i++)
                list[i] = true;
}

void lateness_disturb(struct lateness *l) {
        l->disturbed = l->was_disturbed = true;
}

static void disturb(struct lateness *l) {
        lateness_disturb(l);
        if (chance_one_in(l->chance, 2))
                l->traffic.read_bytes += UNIT_BYTES;
        else
                l->traffic.changes++;
}

uint64_t lateness_delay_us(struct lateness *l, struct extent place, bool trial) {
        uint64_t delay_us = 0;
        if (trial)
                mark(l->tried, place);
        if (trial && chance_one_in(l->chance, l->busy))
                disturb(l);
        for (size_t i = 0; i < l->spot_count; i++) {
                struct slow_spot *spot = &l->spots[i];
                if (spot->left == 0 || !extent_overlaps(spot->place, place))
                        continue;
                spot->left -= spot->left != UINT32_MAX;
                delay_us = MAX(delay_us, spot->delay_us);
        }
        return delay_us;
}

void lateness_counted(struct lateness *l, const struct engine_io *io) {
        if (io->op != ENGINE_READ)
                l->traffic.changes++;
        if (io->op == ENGINE_WRITE && io->result > 0)
                l->traffic.written_bytes += (uint64_t)io->result;
        else if (io->op == ENGINE_READ && io->result > 0)
                l->traffic.read_bytes += (uint64_t)io->result;
}

void lateness_read(struct lateness *l, struct extent place, uint64_t latency_us, bool trial, bool ending) {
        if (trial && ending)
                lateness_cut_short(l); /* its first part may have been late */
        if (latency_us <= LATENESS_SLOW_AFTER_US)
                return;
        if (!trial)
                mark(l->late, place);
        else if (!l->counts) /* then nobody can tell whether it was alone */
                mark(l->again, place);
        else if (!ending)
                l->on_trial = place;
}

void lateness_failed(struct lateness *l, struct extent place) {
        mark(l->tried, place); /* also one that was refused, and never sent */
        mark(l->failed, place);
}

void lateness_cut_short(struct lateness *l) {
        l->on_trial = (struct extent){ 0 };
}

bool lateness_has_failed(const struct lateness *l, uint64_t sector) {
        return l->failed[sector];
}

static bool any(const bool *list, uint64_t first, uint64_t end) {
        for (uint64_t i = first; i < end; i++)
                if (list[i])
                        return true;
        return false;
}

bool lateness_any_failed(const struct lateness *l) {
        return any(l->failed, 0, l->sectors);
}

/* Asked for before a place is timed, and after that where it was late. */
bool lateness_traffic(struct lateness *l, struct engine_traffic *ret) {
        if (!l->counts)
                return false;
        l->traffic.in_flight = chance_one_in(l->chance, 3) && chance_one_in(l->chance, l->busy);
        l->was_disturbed |= l->traffic.in_flight > 0;
        if (l->on_trial.length_bytes > 0 && !l->disturbed && l->traffic.in_flight == 0) {
                mark(l->again, l->on_trial);
                mark(l->due, l->on_trial);
        }
        l->on_trial = (struct extent){ 0 };
        l->disturbed = false;
        *ret = l->traffic;
        return true;
}

bool lateness_block_was_tried(const struct lateness *l, uint64_t sector, uint32_t block_bytes) {
        uint64_t count = block_bytes / SECTOR_BYTES, first = sector / count * count;
        return any(l->tried, first, MIN(first + count, l->sectors));
}

void lateness_check_run(const struct lateness *l, const struct finding *f, uint32_t block_bytes) {
        uint64_t end = extent_end(f->place);
        for (uint64_t at = f->place.offset_bytes; at < end;) {
                uint64_t next = MIN(end, at - at % block_bytes + block_bytes);
                MUST(any(l->late, at / SECTOR_BYTES, next / SECTOR_BYTES), "%" PRIu64 " was not late", at);
                MUST(any(l->again, at / SECTOR_BYTES, next / SECTOR_BYTES), "%" PRIu64 " was not late again", at);
                at = next;
        }
}
