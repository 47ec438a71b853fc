/* SPDX-License-Identifier: Apache-2.0 */
#include "report/ledger_store_private.h"

#include <errno.h>

int records_put_sweep(struct ledger_store *store, struct ledger_request *request) {
        const struct sweep_record *sweep = &request->sweep;
        if (sweep->id == 0 || !*sweep->device)
                return store_refuse(store, -EINVAL, "a sweep needs an id and a device");
        int r = targets_add_written(store, sweep->target_row, sweep->id, sweep->bytes.written);
        if (r < 0 && r != -ENOENT) /* not known yet, or started while the ledger was not usable */
                return r;
        r = store_run_with_number(store, ST_DROP_CHECKPOINT, sweep->id);
        if (r == 0)
                r = store_run_with_number(store, ST_DROP_PLACE, sweep->id);
        if (r < 0)
                return r;
        struct query q = query_begin(store, ST_PUT_SWEEP);
        char patterns[PATTERN_LIST_TEXT_BYTES];
        pattern_list_format(patterns, &sweep->patterns);
        row_write_sweep(&q, sweep, patterns);
        r = query_run(&q);
        return r < 0 ? r : targets_put_survey(store, sweep->target_row, sweep->id, request->survey);
}

int records_start_sweep(struct ledger_store *store, struct ledger_request *request) {
        int r = records_put_sweep(store, request);
        return r < 0 || request->place.at.size_bytes == 0 ? r
                                                          : targets_put_place(store, &request->sweep, &request->place);
}

/* Where nothing is wanted there is no row. */
int records_put_intent(struct ledger_store *store, struct ledger_request *request) {
        const struct ledger_intent *intent = &request->intent;
        bool any = intent->held || intent->wish_sweep_id != 0 || intent->unchecked_us != 0;
        char patterns[PATTERN_LIST_TEXT_BYTES];
        pattern_list_format(patterns, &intent->wish_patterns);
        if (!*intent->device)
                return store_refuse(store, -EINVAL, "an intent needs a device");
        struct query q = query_begin(store, any ? ST_PUT_INTENT : ST_DROP_INTENT);
        query_put_text(&q, intent->device);
        if (any) {
                query_put_number(&q, intent->held);
                query_put_number(&q, intent->wish_sweep_id);
                query_put_text(&q, sweep_mode_name(intent->wish_mode));
                query_put_text(&q, intent->wish_overwrite);
                query_put_text(&q, patterns);
                query_put_number(&q, intent->unchecked_us);
        }
        return query_run(&q);
}

int records_put_finding(struct ledger_store *store, struct ledger_request *request) {
        if (request->finding.id == 0)
                return store_refuse(store, -EINVAL, "a finding needs an id");
        struct query q = query_begin(store, ST_PUT_FINDING);
        row_write_finding(&q, &request->finding);
        return query_run(&q);
}

int records_put_event(struct ledger_store *store, struct ledger_request *request) {
        const struct event *event = &request->event;
        if (event->id == 0)
                return store_refuse(store, -EINVAL, "an event needs an id");
        struct query q = query_begin(store, ST_PUT_EVENT);
        query_put_number(&q, event->id);
        query_put_text(&q, event_kind_name(event->kind));
        query_put_number(&q, (uint64_t)event->priority);
        query_put_number(&q, event->at_us);
        query_put_text(&q, event->device);
        query_put_text(&q, event->text);
        query_put_number(&q, event->sweep_id);
        query_put_number(&q, event->has_finding ? event->finding.id : 0);
        query_put_text(&q, event->serial);
        query_put_text(&q, event->slot);
        return query_run(&q);
}

static bool page_is_sane(const struct ledger_request *request) {
        return request->page_max > 0 && request->page_max <= LEDGER_PAGE;
}

int records_list_findings(struct ledger_store *store, struct ledger_request *request) {
        if (!page_is_sane(request))
                return store_refuse(store, -EINVAL, "not a size of a page");
        struct query q = query_begin(store, ST_LIST_FINDINGS);
        query_put_number(&q, request->page_after);
        query_put_text(&q, request->page_device);
        query_put_number(&q, request->page_all);
        query_put_number(&q, request->page_max);
        int r = rows_read_findings(&q, &request->findings, &request->page_count);
        query_end(&q);
        return r;
}

int records_list_sweeps(struct ledger_store *store, struct ledger_request *request) {
        if (!page_is_sane(request))
                return store_refuse(store, -EINVAL, "not a size of a page");
        struct query q = query_begin(store, request->page_newest ? ST_LIST_NEWEST_SWEEPS : ST_LIST_SWEEPS);
        query_put_number(&q, request->page_after);
        query_put_text(&q, request->page_device);
        query_put_number(&q, request->page_max);
        int r = rows_read_sweeps(&q, &request->sweeps, &request->page_count);
        query_end(&q);
        return r;
}

int records_find_sweep(struct ledger_store *store, uint64_t id, struct sweep_record *ret) {
        struct query q = query_begin(store, ST_GET_SWEEP);
        query_put_number(&q, id);
        int found = query_step(&q), r = found > 0 ? row_read_sweep(&q, ret) : found;
        query_end(&q);
        return r < 0 ? r : found;
}

/* A finding or a sweep that was pruned meanwhile is left out. */
static int add_records(struct ledger_store *store, struct event *event) {
        int r = 0;
        if (event->finding.id > 0) {
                struct query q = query_begin(store, ST_GET_FINDING);
                query_put_number(&q, event->finding.id);
                r = query_step(&q);
                event->has_finding = r > 0;
                if (r > 0)
                        r = row_read_finding(&q, &event->finding);
                query_end(&q);
        }
        if (r < 0 || event->kind != EVENT_SWEEP_ENDED)
                return r;
        r = records_find_sweep(store, event->sweep_id, &event->sweep);
        event->has_sweep = r > 0;
        return MIN(r, 0);
}

int records_list_events(struct ledger_store *store, struct ledger_request *request) {
        if (!page_is_sane(request))
                return store_refuse(store, -EINVAL, "not a size of a page");
        struct query q = query_begin(store, ST_LIST_EVENTS);
        query_put_number(&q, request->page_after);
        query_put_number(&q, request->page_max);
        int r = rows_read_events(&q, &request->events, &request->page_count);
        query_end(&q);
        for (size_t i = 0; r == 0 && i < request->page_count; i++)
                r = add_records(store, &request->events[i]);
        return r;
}

int records_get_finding(struct ledger_store *store, struct ledger_request *request) {
        struct query q = query_begin(store, ST_GET_FINDING);
        query_put_number(&q, request->page_after);
        int r = rows_read_findings(&q, &request->findings, &request->page_count);
        query_end(&q);
        return r;
}

int records_get_sweep(struct ledger_store *store, struct ledger_request *request) {
        struct query q = query_begin(store, ST_GET_SWEEP);
        query_put_number(&q, request->page_after);
        int r = rows_read_sweeps(&q, &request->sweeps, &request->page_count);
        query_end(&q);
        return r;
}
