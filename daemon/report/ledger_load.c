/* SPDX-License-Identifier: Apache-2.0 */
#include "report/ledger_store_private.h"

#include <errno.h>

static bool place_is_sane(const struct checkpoint *at) {
        return at->size_bytes > 0 && at->size_bytes <= INT64_MAX && row_extent_is_sane(at->extent) &&
                at->extent.offset_bytes <= at->at_bytes && at->at_bytes <= extent_end(at->extent) &&
                extent_end(at->extent) <= at->size_bytes && at->covered_bytes <= at->size_bytes &&
                at->bytes.verified <= at->bytes.read;
}

static int read_place(struct query *q, struct sweep_resume *r) {
        struct checkpoint *at = &r->from;
        r->record.id = query_take_number(q);
        bool known = sweep_round_from_name(&at->round, query_take_words(q));
        at->size_bytes = query_take_number(q);
        at->extent.offset_bytes = query_take_number(q);
        at->extent.length_bytes = query_take_number(q);
        at->at_bytes = query_take_number(q);
        at->covered_bytes = query_take_number(q);
        at->lost_bytes = query_take_number(q);
        at->bytes.total = query_take_number(q);
        at->bytes.read = query_take_number(q);
        at->bytes.written = query_take_number(q);
        at->bytes.verified = query_take_number(q);
        at->bytes.skipped = query_take_number(q);
        at->stamps_seen = query_take_number(q);
        at->region_checked_bytes = query_take_number(q);
        at->region_verified_bytes = query_take_number(q);
        at->late_reads = query_take_number(q);
        at->late_untried = query_take_number(q);
        r->record.running_us = query_take_number(q);
        r->by_hand = query_take_number(q) != 0;
        int error = query_copy_words(q, &r->overwrite);
        at->pass = (unsigned)query_take_number(q);
        if (!known || !place_is_sane(at))
                return store_damaged(q->store, "the place of a sweep makes no sense");
        return error;
}

/* What was measured is not known where it makes no sense, as elsewhere. */
static int fill_resume(struct ledger_store *store, struct sweep_resume *resume) {
        uint64_t running_us = resume->record.running_us;
        int r = records_find_sweep(store, resume->record.id, &resume->record);
        if (r >= 0 && resume->from.pass > resume->record.patterns.count)
                r = store_damaged(store, "the place of a sweep is in a pass that it has not got");
        resume->record.running_us = running_us;
        resume->record.bytes = resume->from.bytes;
        resume->record.stamps_seen = resume->from.stamps_seen;
        if (r < 0)
                return r;
        struct query q = query_begin(store, ST_GET_LATENCY);
        query_put_number(&q, resume->record.id);
        r = query_step(&q);
        if (r > 0) {
                size_t bytes;
                const void *blob = query_take_blob(&q, &bytes);
                if (bytes > 0)
                        (void)latency_unpack(resume->latency, blob, bytes);
                query_take_text(&q, resume->key, sizeof resume->key);
        }
        query_end(&q);
        return MIN(r, 0);
}

DEFINE_FREEP(struct sweep_resume, sweep_resume_free, sweep_resume_freep)

static int load_resume(struct ledger_store *store, struct ledger_device *device) {
        CLEANUP(sweep_resume_freep)
        struct sweep_resume *resume = NULL;
        struct query q = query_begin(store, ST_GET_PLACE);
        query_put_text(&q, device->device);
        int r = query_step(&q);
        if (r > 0 && sweep_resume_new(&resume) < 0)
                r = store_sqlite_error(store, SQLITE_NOMEM);
        if (r > 0)
                r = read_place(&q, resume);
        query_end(&q);
        if (r == 0 && resume)
                r = fill_resume(store, resume);
        if (r == 0)
                device->resume = STEAL(resume);
        return r;
}

static int load_intent(struct ledger_store *store, struct ledger_device *device) {
        struct ledger_intent *intent = &device->intent;
        struct query q = query_begin(store, ST_GET_INTENT);
        query_put_text(&q, device->device);
        int r = query_step(&q);
        if (r > 0) {
                intent->held = query_take_number(&q) != 0;
                intent->wish_sweep_id = query_take_number(&q);
                bool known = sweep_mode_from_name(&intent->wish_mode, query_take_words(&q)) == 0;
                r = query_copy_words(&q, &intent->wish_overwrite);
                known = pattern_list_parse(&intent->wish_patterns, query_take_words(&q)) && known;
                intent->unchecked_us = query_take_number(&q);
                if (!known)
                        r = store_damaged(store, "what is wanted of a device makes no sense");
        }
        query_end(&q);
        return r;
}

static int load_past(struct ledger_store *store, struct ledger_device *device, enum sweep_mode mode) {
        struct ledger_past *past = &device->past[mode];
        const struct sweep_record *last = &device->last;
        struct query q = query_begin(store, ST_PAST_OF_MODE);
        query_put_text(&q, device->device);
        query_put_text(&q, sweep_mode_name(mode));
        query_put_number(&q, last->target_row);
        query_put_number(&q, last->extent.offset_bytes);
        query_put_number(&q, last->extent.length_bytes);
        int r = query_step(&q);
        if (r > 0) {
                past->started_us = query_take_number(&q);
                past->ended_us = query_take_number(&q);
                (void)sweep_end_from_name(&past->end, query_take_words(&q)); /* else it is due */
                past->finished_us = query_take_number(&q);
                past->failures_in_a_row = (unsigned)query_take_number(&q);
        }
        query_end(&q);
        return MIN(r, 0);
}

/* NULL stays where there is no such target, as in a ledger that followed a lost one. */
static int load_key(struct ledger_store *store, struct ledger_device *device) {
        struct query q = query_begin(store, ST_TARGET_KEY);
        query_put_number(&q, device->last.target_row);
        int r = query_step(&q);
        if (r > 0)
                r = query_copy_words(&q, &device->last_key);
        query_end(&q);
        return MIN(r, 0);
}

/* The last sweep need not have written anything. */
static int load_writes(struct ledger_store *store, struct ledger_device *device) {
        struct query q = query_begin(store, ST_LAST_WRITES);
        query_put_text(&q, device->device);
        query_put_number(&q, LEDGER_WRITES);
        int r;
        while ((r = query_step(&q)) > 0 && device->write_count < LEDGER_WRITES) {
                device->writes[device->write_count].started_us = query_take_number(&q);
                device->writes[device->write_count++].bytes = query_take_number(&q);
        }
        query_end(&q);
        return MIN(r, 0);
}

/* Of what was swept last, or is to be gone on with. */
static int load_regions(struct ledger_store *store, struct ledger_device *device) {
        struct query q = query_begin(store, ST_LAST_EXTENT);
        query_put_text(&q, device->device);
        int r = query_step(&q);
        uint64_t row = r > 0 ? query_take_number(&q) : 0;
        struct extent extent = { 0 };
        extent.offset_bytes = r > 0 ? query_take_number(&q) : 0;
        extent.length_bytes = r > 0 ? query_take_number(&q) : 0;
        uint64_t size_bytes = r > 0 ? query_take_number(&q) : 0;
        query_end(&q);
        if (extent.length_bytes == 0) /* of an earlier version */
                extent = (struct extent){ 0, size_bytes };
        if (r <= 0 || size_bytes == 0 || !row_extent_is_sane(extent))
                return MIN(r, 0);
        return targets_get_regions(store, row, size_bytes, extent, &device->regions);
}

static int load_device(struct ledger_store *store, struct ledger_device *device) {
        struct query q = query_begin(store, ST_LAST_SWEEP);
        query_put_text(&q, device->device);
        int r = query_step(&q);
        if (r > 0)
                r = row_read_sweep(&q, &device->last);
        query_end(&q);
        if (r < 0)
                return r;
        q = query_begin(store, ST_DEVICE_SUMS);
        query_put_text(&q, device->device);
        r = query_step(&q);
        if (r > 0) {
                device->last_verified_us = query_take_number(&q);
                device->last_checked_us = query_take_number(&q);
                device->findings_resolved = query_take_number(&q);
                device->bytes_written = query_take_number(&q);
                device->skipped_us = query_take_number(&q);
        }
        query_end(&q);
        if (r >= 0)
                r = load_writes(store, device);
        for (enum sweep_mode mode = 0; r >= 0 && mode < MODE_COUNT; mode++)
                r = load_past(store, device, mode);
        if (r >= 0)
                r = load_key(store, device);
        if (r < 0)
                return r;
        r = load_resume(store, device);
        if (r == 0)
                r = load_intent(store, device);
        if (r < 0)
                return r;
        return load_regions(store, device);
}

static int load_devices(struct ledger_store *store, struct ledger_load *load) {
        struct query q = query_begin(store, ST_DEVICES);
        int r = rows_read_device_names(&q, &load->devices, &load->device_count);
        query_end(&q);
        for (size_t i = 0; i < load->device_count && r == 0; i++)
                r = load_device(store, &load->devices[i]);
        return r;
}

static int load_next_ids(struct ledger_store *store, struct ledger_load *load) {
        struct query q = query_begin(store, ST_NEXT_IDS);
        int r = query_step(&q);
        if (r > 0) {
                load->next_sweep_id = query_take_number(&q);
                load->next_finding_id = query_take_number(&q);
                load->next_event_id = query_take_number(&q);
                load->aged_us = query_take_number(&q);
        }
        query_end(&q);
        if (r == 0)
                return store_damaged(store, "its first record is gone");
        return MIN(r, 0);
}

/*
 * All of it is read, or the ledger counts as damaged: a history with holes would let a faulty disk look clean. Here
 * quick_check found nothing, so the file is put aside without asking it once more.
 */
int past_load(struct ledger_store *store, struct ledger_request *request) {
        struct ledger_load *l = &request->load;
        int r = load_next_ids(store, l);
        if (r == 0)
                r = load_devices(store, l);
        if (r == 0) {
                struct query q = query_begin(store, ST_OPEN_FINDINGS);
                r = rows_read_findings(&q, &l->findings, &l->finding_count);
                query_end(&q);
        }
        store->unreadable = r == -EUCLEAN;
        return r;
}
