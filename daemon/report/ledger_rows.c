/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "report/ledger_store_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

bool row_extent_is_sane(struct extent e) {
        return e.offset_bytes <= INT64_MAX && e.length_bytes <= INT64_MAX - e.offset_bytes;
}

void row_write_sweep(struct query *q, const struct sweep_record *s, const char *patterns) {
        query_put_number(q, s->id);
        query_put_text(q, s->device);
        query_put_number(q, s->target_row);
        query_put_text(q, sweep_mode_name(s->mode));
        query_put_number(q, s->generation);
        query_put_number(q, s->nonce);
        query_put_number(q, s->started_us);
        query_put_number(q, s->ended_us);
        query_put_number(q, s->running_us);
        query_put_text(q, verdict_name(s->verdict));
        query_put_text(q, assurance_name(s->assurance));
        query_put_text(q, sweep_end_name(s->end));
        query_put_text(q, s->reason.rule);
        query_put_text(q, s->reason.found);
        query_put_text(q, s->reason.remedy);
        query_put_number(q, s->bytes.total);
        query_put_number(q, s->bytes.read);
        query_put_number(q, s->bytes.written);
        query_put_number(q, s->bytes.verified);
        query_put_number(q, s->bytes.skipped);
        query_put_number(q, s->findings);
        query_put_number(q, s->stamps_seen);
        query_put_text(q, patterns);
        query_put_number(q, s->extent.offset_bytes);
        query_put_number(q, s->extent.length_bytes);
        query_put_number(q, s->size_bytes);
}

/* What makes no sense is not known: a measurement that is lost makes no disk look better. */
static void take_latency(struct query *q, struct latency_summary *ret) {
        struct latency_histogram all[LATENCY_OPERATIONS];
        size_t bytes;
        const void *blob = query_take_blob(q, &bytes);
        if (bytes == 0 || !latency_unpack(all, blob, bytes))
                return;
        for (size_t i = 0; i < LATENCY_OPERATIONS; i++)
                ret[i] = latency_summarize(&all[i]);
}

int row_read_sweep(struct query *q, struct sweep_record *s) {
        *s = (struct sweep_record){ .id = query_take_number(q) };
        query_take_text(q, s->device, sizeof s->device);
        s->target_row = query_take_number(q);
        bool known = sweep_mode_from_name(&s->mode, query_take_words(q)) == 0;
        s->generation = query_take_number(q);
        s->nonce = query_take_number(q);
        s->started_us = query_take_number(q);
        s->ended_us = query_take_number(q);
        s->running_us = query_take_number(q);
        known = verdict_from_name(&s->verdict, query_take_words(q)) && known;
        const char *word = query_take_words(q);
        known = (!*word || assurance_from_name(&s->assurance, word)) && known;
        word = query_take_words(q);
        known = (!*word || sweep_end_from_name(&s->end, word)) && known;
        query_take_text(q, s->reason.rule, sizeof s->reason.rule);
        query_take_text(q, s->reason.found, sizeof s->reason.found);
        query_take_text(q, s->reason.remedy, sizeof s->reason.remedy);
        s->bytes.total = query_take_number(q);
        s->bytes.read = query_take_number(q);
        s->bytes.written = query_take_number(q);
        s->bytes.verified = query_take_number(q);
        s->bytes.skipped = query_take_number(q);
        s->findings = query_take_number(q);
        s->stamps_seen = query_take_number(q);
        known = pattern_list_parse(&s->patterns, query_take_words(q)) && known;
        s->extent.offset_bytes = query_take_number(q);
        s->extent.length_bytes = query_take_number(q);
        known = row_extent_is_sane(s->extent) && known;
        s->size_bytes = query_take_number(q);
        take_latency(q, s->latency);
        return known ? 0 : store_damaged(q->store, "the record of a sweep makes no sense");
}

void row_write_finding(struct query *q, const struct finding *f) {
        assert(f->sample.length_bytes <= FINDING_SAMPLE_BYTES);
        query_put_number(q, f->id);
        query_put_text(q, f->device);
        query_put_number(q, f->target_row);
        query_put_number(q, f->sweep_id);
        query_put_number(q, f->place.offset_bytes);
        query_put_number(q, f->place.length_bytes);
        query_put_text(q, fault_name(f->fault));
        query_put_text(q, persistence_name(f->persistence));
        query_put_text(q, finding_state_name(f->state));
        query_put_text(q, f->text);
        query_put_text(q, f->detail.lines);
        query_put_number(q, f->sample.offset_bytes);
        query_put_bytes(q, f->sample.expected, f->sample.length_bytes);
        query_put_bytes(q, f->sample.found, f->sample.length_bytes);
        query_put_number(q, f->count);
        query_put_number(q, f->first_seen_us);
        query_put_number(q, f->last_seen_us);
        query_put_number(q, f->acknowledged_us);
        query_put_text(q, f->comment);
        query_put_number(q, f->told_us);
}

int row_read_finding(struct query *q, struct finding *f) {
        *f = (struct finding){ .id = query_take_number(q) };
        query_take_text(q, f->device, sizeof f->device);
        f->target_row = query_take_number(q);
        f->sweep_id = query_take_number(q);
        f->place.offset_bytes = query_take_number(q);
        f->place.length_bytes = query_take_number(q);
        bool known = fault_from_name(&f->fault, query_take_words(q));
        known = persistence_from_name(&f->persistence, query_take_words(q)) && known;
        known = finding_state_from_name(&f->state, query_take_words(q)) && known;
        query_take_text(q, f->text, sizeof f->text);
        query_take_text(q, f->detail.lines, sizeof f->detail.lines);
        f->sample.offset_bytes = query_take_number(q);
        size_t expected = query_take_bytes(q, f->sample.expected, sizeof f->sample.expected);
        size_t found = query_take_bytes(q, f->sample.found, sizeof f->sample.found);
        f->sample.length_bytes = (uint32_t)MIN(expected, found);
        f->count = query_take_number(q);
        f->first_seen_us = query_take_number(q);
        f->last_seen_us = query_take_number(q);
        f->acknowledged_us = query_take_number(q);
        query_take_text(q, f->comment, sizeof f->comment);
        f->told_us = query_take_number(q);
        return known ? 0 : store_damaged(q->store, "the record of a finding makes no sense");
}

static int row_read_device_name(struct query *q, struct ledger_device *device) {
        *device = (struct ledger_device){ 0 };
        query_take_text(q, device->device, sizeof device->device);
        return 0;
}

static int row_read_range(struct query *q, struct stamped_range *range) {
        range->extent.offset_bytes = query_take_number(q);
        range->extent.length_bytes = query_take_number(q);
        range->generation = query_take_number(q);
        range->nonce = query_take_number(q);
        range->started_us = query_take_number(q);
        range->settled = query_take_number(q) != 0;
        bool sane = row_extent_is_sane(range->extent) && range->extent.length_bytes > 0;
        return sane ? 0 : store_damaged(q->store, "the record of a stamped range makes no sense");
}

/* A kind that is not known here is told as one of the daemon's own: its text says what it is. */
static int row_read_event(struct query *q, struct event *event) {
        *event = (struct event){ 0 };
        event->id = query_take_number(q);
        if (!event_kind_from_name(&event->kind, query_take_words(q)))
                event->kind = EVENT_DAEMON;
        uint64_t priority = query_take_number(q);
        event->priority = (int)MIN(priority, (uint64_t)LOG_DEBUG);
        event->at_us = query_take_number(q);
        query_take_text(q, event->device, sizeof event->device);
        query_take_text(q, event->text, sizeof event->text);
        event->count = event_sum_count(event);
        event->sweep_id = query_take_number(q);
        event->finding.id = query_take_number(q);
        query_take_text(q, event->serial, sizeof event->serial);
        query_take_text(q, event->slot, sizeof event->slot);
        return 0;
}

/* Lists that grow while rows come. */

#define DEFINE_READ_ALL(name, type, read_row)                                              \
        int name(struct query *q, type **ret, size_t *ret_count) {                         \
                CLEANUP_FREE type *list = NULL;                                            \
                size_t count = 0, room = 0;                                                \
                int r;                                                                     \
                while ((r = query_step(q)) > 0) {                                          \
                        if (count == room) {                                               \
                                room = MAX(2 * room, (size_t)16);                          \
                                type *grown = reallocarray(list, room, sizeof *grown);     \
                                if (!grown)                                                \
                                        return store_sqlite_error(q->store, SQLITE_NOMEM); \
                                list = grown;                                              \
                        }                                                                  \
                        r = read_row(q, &list[count]);                                     \
                        if (r < 0)                                                         \
                                return r;                                                  \
                        count++;                                                           \
                }                                                                          \
                if (r < 0)                                                                 \
                        return r;                                                          \
                *ret_count = count;                                                        \
                *ret = STEAL(list);                                                        \
                return 0;                                                                  \
        }

DEFINE_READ_ALL(rows_read_stamped_ranges, struct stamped_range, row_read_range)
DEFINE_READ_ALL(rows_read_findings, struct finding, row_read_finding)
DEFINE_READ_ALL(rows_read_sweeps, struct sweep_record, row_read_sweep)
DEFINE_READ_ALL(rows_read_events, struct event, row_read_event)
DEFINE_READ_ALL(rows_read_device_names, struct ledger_device, row_read_device_name)
