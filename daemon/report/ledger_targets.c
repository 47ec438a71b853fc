/* SPDX-License-Identifier: Apache-2.0 */
#include "report/ledger_store_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* row must be set; everything but the ranges is filled in. -ENOENT: there is none. */
static int get_target(struct ledger_store *store, struct target_record *target) {
        struct query q = query_begin(store, ST_GET_TARGET);
        query_put_number(&q, target->row);
        int r = query_step(&q);
        if (r > 0) {
                target->target_id = query_take_number(&q);
                target->last_generation = query_take_number(&q);
                target->size_bytes = query_take_number(&q);
                target->bytes_written = query_take_number(&q);
        }
        query_end(&q);
        if (r == 0)
                return store_refuse(store, -ENOENT, "the ledger has no such target");
        return MIN(r, 0);
}

static int get_ranges(struct ledger_store *store, uint64_t row, struct ranges *ret) {
        struct query q = query_begin(store, ST_RANGES);
        query_put_number(&q, row);
        struct stamped_range *list = NULL;
        size_t count = 0;
        int r = rows_read_stamped_ranges(&q, &list, &count);
        query_end(&q);
        if (r < 0)
                return r;
        ranges_adopt(ret, list, count);
        return 0;
}

/* The generations of its last sweeps. */
static int get_past(struct ledger_store *store, struct target_record *target) {
        struct query q = query_begin(store, ST_PAST);
        query_put_number(&q, target->row);
        query_put_number(&q, TARGET_PAST_MAX);
        int r;
        while ((r = query_step(&q)) > 0) {
                struct past_generation *past = &target->past[target->past_count++];
                past->generation = query_take_number(&q);
                past->nonce = query_take_number(&q);
                past->started_us = query_take_number(&q);
                (void)pattern_list_parse(
                        &past->patterns, query_take_words(&q)); /* else what they left is a stranger's */
                past->bytes_written = query_take_number(&q);
                past->extent.offset_bytes = query_take_number(&q);
                past->extent.length_bytes = query_take_number(&q);
        }
        query_end(&q);
        return r;
}

static int put_ranges(struct ledger_store *store, uint64_t row, const struct ranges *ranges) {
        int r = store_run_with_number(store, ST_DROP_RANGES, row);
        for (size_t i = 0; i < ranges->count && r == 0; i++) {
                const struct stamped_range *range = &ranges->items[i];
                struct query q = query_begin(store, ST_PUT_RANGE);
                query_put_number(&q, row);
                query_put_number(&q, range->extent.offset_bytes);
                query_put_number(&q, range->extent.length_bytes);
                query_put_number(&q, range->generation);
                query_put_number(&q, range->nonce);
                query_put_number(&q, range->started_us);
                query_put_number(&q, range->settled);
                r = query_run(&q);
        }
        return r;
}

/* What makes no sense is not known, as of other measurements. */
static bool read_regions(struct query *q, struct region_table *ret) {
        size_t bytes;
        const void *blob = query_take_blob(q, &bytes);
        return bytes > 0 && region_table_unpack(ret, blob, bytes);
}

int targets_get_regions(struct ledger_store *store, uint64_t row, uint64_t size_bytes, struct extent extent,
        struct region_table **ret) {
        CLEANUP_FREE struct region_table *all = calloc(1, sizeof *all);
        CLEANUP_FREE struct region_table *one = calloc(1, sizeof *one);
        if (!all || !one)
                return store_sqlite_error(store, SQLITE_NOMEM);
        *all = (struct region_table){ .size_bytes = size_bytes, .extent = extent };
        bool any = false;
        struct query q = query_begin(store, ST_REGIONS);
        query_put_number(&q, row);
        int r;
        while ((r = query_step(&q)) > 0) {
                if (!read_regions(&q, one) || one->size_bytes != size_bytes || !extent_overlaps(one->extent, extent))
                        continue;
                region_table_join(all, one);
                any = true;
        }
        query_end(&q);
        if (r < 0)
                return r;
        *ret = any ? STEAL(all) : NULL;
        return 0;
}

static int put_regions(struct ledger_store *store, uint64_t row, const struct region_table *regions) {
        uint8_t bytes[REGIONS_PACKED_MAX];
        for (enum statement which = ST_DROP_REGIONS; which <= ST_PUT_REGIONS; which++) {
                struct query q = query_begin(store, which);
                query_put_number(&q, row);
                query_put_number(&q, regions->size_bytes);
                query_put_number(&q, regions->extent.offset_bytes);
                query_put_number(&q, regions->extent.length_bytes);
                if (which == ST_PUT_REGIONS)
                        query_put_bytes(&q, bytes, region_table_pack(bytes, regions));
                int r = query_run(&q);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A target that the ledger has not got, as it followed a lost one, has no map. */
static int update_regions(struct ledger_store *store, uint64_t row, const struct region_table *fresh) {
        CLEANUP_FREE struct region_table *known = NULL;
        struct target_record target = { .row = row };
        if (fresh->size_bytes == 0 || !row_extent_is_sane(fresh->extent))
                return 0;
        int r = get_target(store, &target);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        r = targets_get_regions(store, row, fresh->size_bytes, fresh->extent, &known);
        if (r < 0)
                return r;
        if (known)
                region_table_update(known, fresh);
        return put_regions(store, row, known ? known : fresh);
}

int targets_put_survey(struct ledger_store *store, uint64_t row, uint64_t sweep_id, const struct survey *survey) {
        uint8_t bytes[LATENCY_PACKED_MAX];
        if (!survey)
                return 0;
        struct query q = query_begin(store, ST_SET_LATENCY);
        query_put_number(&q, sweep_id);
        query_put_bytes(&q, bytes, latency_pack(bytes, survey->latency));
        int r = query_run(&q);
        return r < 0 ? r : update_regions(store, row, &survey->regions);
}

static int find_or_create_target(struct ledger_store *store, const struct ledger_request *request, uint64_t *ret_row) {
        struct query q = query_begin(store, ST_FIND_TARGET);
        query_put_text(&q, request->key);
        int r = query_step(&q);
        uint64_t row = r > 0 ? query_take_number(&q) : 0;
        query_end(&q);
        if (r < 0)
                return r;
        if (r == 0) {
                q = query_begin(store, ST_NEW_TARGET);
                query_put_text(&q, request->key);
        } else {
                q = query_begin(store, ST_SEEN_TARGET);
                query_put_number(&q, row);
        }
        query_put_number(&q, request->size_bytes);
        query_put_number(&q, request->at_us);
        bool is_new = r == 0;
        r = query_run(&q);
        if (r < 0)
                return r;
        *ret_row = is_new ? (uint64_t)sqlite3_last_insert_rowid(store->db) : row;
        return 0;
}

int targets_identify(struct ledger_store *store, struct ledger_request *request) {
        if (!*request->key)
                return store_refuse(store, -EINVAL, "a target without a key can't be told from others");
        struct target_record head = { 0 };
        CLEANUP(ranges_deinit)
        struct ranges ranges = { 0 };
        int r = find_or_create_target(store, request, &head.row);
        if (r == 0)
                r = get_target(store, &head);
        if (r == 0)
                r = get_ranges(store, head.row, &ranges);
        if (r == 0)
                r = targets_get_regions(store, head.row, request->size_bytes, request->extent, &request->regions);
        if (r == 0)
                r = get_past(store, &head);
        if (r < 0)
                return r;
        struct target_record *target = malloc(sizeof *target + ranges.count * sizeof ranges.items[0]);
        if (!target)
                return store_sqlite_error(store, SQLITE_NOMEM);
        *target = head;
        target->range_count = ranges.count;
        if (ranges.count > 0)
                memcpy(target->ranges, ranges.items, ranges.count * sizeof ranges.items[0]);
        request->target = target;
        return 0;
}

/* A target keeps the id of its first stamping, and its generation only grows. */
static int stamp_target(
        struct ledger_store *store, const struct target_record *target, const struct ledger_mark *mark) {
        if (target->target_id != 0 && mark->target_id != 0 && target->target_id != mark->target_id)
                return store_refuse(store, -EINVAL, "the target has another id");
        uint64_t id = target->target_id ? target->target_id : mark->target_id;
        if (id == 0)
                return store_refuse(store, -EINVAL, "the target has no id yet");
        uint64_t generation = MAX(target->last_generation, mark->generation);
        if (id == target->target_id && generation == target->last_generation)
                return 0;
        struct query q = query_begin(store, ST_STAMP_TARGET);
        query_put_number(&q, target->row);
        query_put_number(&q, id);
        query_put_number(&q, generation);
        return query_run(&q);
}

static int mark_ranges(struct ledger_store *store, uint64_t row, const struct ledger_mark *mark) {
        if (mark->settled.length_bytes == 0 && mark->ahead.length_bytes == 0)
                return 0;
        CLEANUP(ranges_deinit)
        struct ranges ranges = { 0 };
        int r = get_ranges(store, row, &ranges);
        if (r < 0)
                return r;
        struct stamped_range stamp = {
                .generation = mark->generation,
                .nonce = mark->nonce,
                .started_us = mark->started_us,
        };
        r = ranges_settle(&ranges, mark->settled, &stamp);
        if (r == 0)
                r = ranges_announce(&ranges, mark->ahead, &stamp);
        if (r < 0)
                return store_sqlite_error(store, SQLITE_NOMEM);
        ranges_limit(&ranges, TARGET_RANGES_MAX);
        return put_ranges(store, row, &ranges);
}

static int mark_target(struct ledger_store *store, uint64_t row, const struct ledger_mark *mark) {
        if (!row_extent_is_sane(mark->settled) || !row_extent_is_sane(mark->ahead))
                return store_refuse(store, -EINVAL, "a stretch ends beyond 2^63 - 1 bytes");
        struct target_record target = { .row = row };
        int r = get_target(store, &target);
        if (r < 0)
                return r;
        if (mark->generation == 0 || mark->generation < target.last_generation)
                return store_refuse(store, -EINVAL, "a later generation was stamped there already");
        r = stamp_target(store, &target, mark);
        return r < 0 ? r : mark_ranges(store, row, mark);
}

int targets_add_written(struct ledger_store *store, uint64_t row, uint64_t sweep_id, uint64_t written) {
        struct query q = query_begin(store, ST_SWEEP_WRITTEN);
        query_put_number(&q, sweep_id);
        int known = query_step(&q);
        uint64_t before = known > 0 ? query_take_number(&q) : 0;
        query_end(&q);
        if (known < 0)
                return known;
        if (written > before) {
                q = query_begin(store, ST_ADD_WRITTEN);
                query_put_number(&q, row);
                query_put_number(&q, written - before);
                int r = query_run(&q);
                if (r < 0)
                        return r;
        }
        return known ? 0 : -ENOENT;
}

static int put_checkpoint(struct ledger_store *store, const struct ledger_request *request) {
        const struct ledger_mark *mark = &request->mark;
        struct query q = query_begin(store, ST_PUT_CHECKPOINT);
        query_put_number(&q, request->sweep.id);
        query_put_number(&q, request->at_us);
        query_put_number(&q, mark->generation);
        query_put_number(&q, mark->nonce);
        query_put_number(&q, mark->settled.offset_bytes);
        query_put_number(&q, mark->settled.length_bytes);
        query_put_number(&q, mark->ahead.offset_bytes);
        query_put_number(&q, mark->ahead.length_bytes);
        return query_run(&q);
}

static int checkpoint_sweep(struct ledger_store *store, const struct ledger_request *request) {
        const struct sweep_record *sweep = &request->sweep;
        int r = targets_add_written(store, request->target_row, sweep->id, sweep->bytes.written);
        if (r == -ENOENT)
                return store_refuse(store, r, "the ledger has no such sweep");
        if (r < 0)
                return r;
        /* One that rests tells what counts; what was written behind that is in the sum of the target. */
        const struct sweep_bytes *bytes = request->op == LEDGER_SWEEP_RESTS ? &request->place.at.bytes : &sweep->bytes;
        struct query q = query_begin(store, ST_SET_SWEEP_BYTES);
        query_put_number(&q, sweep->id);
        query_put_number(&q, bytes->total);
        query_put_number(&q, bytes->read);
        query_put_number(&q, bytes->written);
        query_put_number(&q, bytes->verified);
        query_put_number(&q, bytes->skipped);
        query_put_number(&q, request->mark.generation);
        query_put_number(&q, request->mark.nonce);
        r = query_run(&q);
        if (r == 0)
                r = targets_put_survey(store, request->target_row, sweep->id, request->survey);
        return r < 0 ? r : put_checkpoint(store, request);
}

/* Of a sweep that writes nothing, a mark is its checkpoint alone. */
int targets_mark(struct ledger_store *store, struct ledger_request *request) {
        const struct ledger_mark *m = &request->mark;
        bool writes = m->generation != 0 || m->settled.length_bytes > 0 || m->ahead.length_bytes > 0;
        int r = writes ? mark_target(store, request->target_row, m) : 0;
        if (r == 0 && request->sweep.id != 0)
                r = checkpoint_sweep(store, request);
        return r;
}

int targets_put_place(struct ledger_store *store, const struct sweep_record *sweep, const struct ledger_place *place) {
        const struct checkpoint *at = &place->at;
        struct query q = query_begin(store, ST_PUT_PLACE);
        query_put_number(&q, sweep->id);
        query_put_text(&q, sweep_round_name(at->round));
        query_put_number(&q, at->size_bytes);
        query_put_number(&q, at->extent.offset_bytes);
        query_put_number(&q, at->extent.length_bytes);
        query_put_number(&q, at->at_bytes);
        query_put_number(&q, at->covered_bytes);
        query_put_number(&q, at->lost_bytes);
        query_put_number(&q, at->bytes.total);
        query_put_number(&q, at->bytes.read);
        query_put_number(&q, at->bytes.written);
        query_put_number(&q, at->bytes.verified);
        query_put_number(&q, at->bytes.skipped);
        query_put_number(&q, at->stamps_seen);
        query_put_number(&q, at->region_checked_bytes);
        query_put_number(&q, at->region_verified_bytes);
        query_put_number(&q, at->late_reads);
        query_put_number(&q, at->late_untried);
        query_put_number(&q, sweep->running_us);
        query_put_number(&q, place->by_hand);
        query_put_text(&q, place->overwrite);
        query_put_number(&q, at->pass);
        return query_run(&q);
}

static int forget_ranges(struct ledger_store *store, const struct ledger_request *request) {
        CLEANUP(ranges_deinit)
        struct ranges ranges = { 0 };
        if (!row_extent_is_sane(request->mark.clears))
                return store_refuse(store, -EINVAL, "a stretch ends beyond 2^63 - 1 bytes");
        int r = get_ranges(store, request->target_row, &ranges);
        if (r < 0)
                return r;
        if (ranges_forget(&ranges, request->mark.clears) < 0)
                return store_sqlite_error(store, SQLITE_NOMEM);
        ranges_limit(&ranges, TARGET_RANGES_MAX);
        return put_ranges(store, request->target_row, &ranges);
}

int targets_stamp(struct ledger_store *store, struct ledger_request *request) {
        struct target_record target = { .row = request->target_row };
        int r = get_target(store, &target);
        if (r == 0)
                r = stamp_target(store, &target, &request->mark);
        if (r < 0 || request->mark.clears.length_bytes == 0)
                return r;
        r = forget_ranges(store, request);
        if (r == 0)
                r = checkpoint_sweep(store, request);
        return r < 0 ? r : targets_put_place(store, &request->sweep, &request->place);
}

/* A request that comes late, when the sweep is over, changes nothing. */
int targets_checkpoint(struct ledger_store *store, struct ledger_request *request) {
        int r = checkpoint_sweep(store, request);
        return r < 0 ? r : targets_put_place(store, &request->sweep, &request->place);
}

int targets_forget(struct ledger_store *store, struct ledger_request *request) {
        struct target_record target = { .row = request->target_row };
        int r = get_target(store, &target);
        return r < 0 ? r : forget_ranges(store, request);
}
