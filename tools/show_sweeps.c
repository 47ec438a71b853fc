/* SPDX-License-Identifier: Apache-2.0 */
/*
 * History is evidence: a sweep that was cut short must never read like one that reached the end, so how it ended
 * stands beside its verdict unless it finished.
 */
#include "show_sweeps.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "commands.h"
#include "field.h"
#include "page.h"
#include "table.h"

#include <inttypes.h>
#include <stdio.h>

enum { NUMBER_BYTES = 24, LATENCY_TEXT_BYTES = 2 * SPAN_SHORT_BYTES + 4 };

DEFINE_FREEP(struct table, table_free, table_freep)

void sweep_result(char to[static RESULT_TEXT_BYTES], const json_t *sweep) {
        uint64_t ended_us;
        char verdict[VERDICT_TEXT_BYTES];
        if (!field_number(sweep, "ended_at", &ended_us)) {
                text_copy(to, RESULT_TEXT_BYTES, "not over"); /* at work, paused, or waiting for its window */
                return;
        }
        field_verdict(verdict, sweep);
        const char *end = field_text_or(sweep, "end", "end unknown");
        if (field_is(sweep, "end", "finished"))
                text_copy(to, RESULT_TEXT_BYTES, verdict);
        else
                text_format(to, RESULT_TEXT_BYTES, "%s, %s", verdict, end);
}

int sweep_status(const json_t *sweep) {
        if (field_is(sweep, "verdict", "faulty"))
                return STATUS_ATTENTION;
        bool whole = field_is(sweep, "verdict", "clean") && field_is(sweep, "end", "finished");
        return whole ? STATUS_FINE : STATUS_INCOMPLETE;
}

void sweep_never(char to[static NEVER_TEXT_BYTES], const json_t *device) {
        const char *name = field_text_or(device, "name", "?");
        const json_t *reason = field_object(device, "reason");
        if (reason)
                text_format(to, NEVER_TEXT_BYTES, "; it is %s: %s: sweepctl status %s",
                        field_text_or(device, "state", "?"), field_text_or(reason, "found", "?"), name);
        else
                text_format(to, NEVER_TEXT_BYTES, ": sweepctl start %s", name);
}

/* What 99 of 100 reads did not exceed, and the longest. */
static void read_latency(char to[static LATENCY_TEXT_BYTES], const json_t *sweep) {
        const json_t *all = json_object_get(sweep, "latency");
        text_copy(to, LATENCY_TEXT_BYTES, "-");
        for (size_t i = 0; i < json_array_size(all); i++) {
                const json_t *latency = json_array_get(all, i);
                char most[SPAN_SHORT_BYTES], longest[SPAN_SHORT_BYTES];
                if (!field_is(latency, "operation", "read"))
                        continue;
                page_span_short(most, field_count(latency, "p99_us"));
                page_span_short(longest, field_count(latency, "max_us"));
                text_format(to, LATENCY_TEXT_BYTES, "%s, %s", most, longest);
        }
}

static void add_sweep_row(struct table *table, const json_t *sweep) {
        char id[NUMBER_BYTES], findings[NUMBER_BYTES], started[TIME_TEXT_BYTES], took[SPAN_SHORT_BYTES];
        char result[RESULT_TEXT_BYTES], bytes[PLACE_TEXT_BYTES];
        char latency[LATENCY_TEXT_BYTES];
        text_format(id, sizeof id, "%" PRIu64, field_count(sweep, "id"));
        text_format(findings, sizeof findings, "%" PRIu64, field_count(sweep, "findings"));
        page_span(took, field_count(sweep, "running_us"));
        field_time_short(started, sweep, "started_at", "?");
        sweep_result(result, sweep);
        field_size(bytes, sweep, field_is(sweep, "mode", "read") ? "bytes_read" : "bytes_verified", "?");
        read_latency(latency, sweep);
        table_add(table,
                (const char *const[]){ id, field_text_or(sweep, "device", "?"), started, took, result, findings, bytes,
                        field_text_or(sweep, "mode", "?"), latency });
        const char *found = field_text(field_object(sweep, "reason"), "found");
        if (found)
                table_note(table, found);
}

static void show_sweeps(const json_t *sweeps) {
        static const struct column columns[] = { { "ID", COLUMN_PLAIN }, { "DEVICE", COLUMN_KEY },
                { "STARTED", COLUMN_PLAIN }, { "TOOK", COLUMN_PLAIN }, { "RESULT", COLUMN_PLAIN },
                { "FINDINGS", COLUMN_PLAIN }, { "CHECKED", COLUMN_OPTIONAL }, { "MODE", COLUMN_OPTIONAL },
                { "READ P99, MAX", COLUMN_OPTIONAL } };
        CLEANUP(table_freep)
        struct table *table = table_new(columns, ELEMENTS(columns));
        for (size_t i = 0; i < json_array_size(sweeps); i++)
                add_sweep_row(table, json_array_get(sweeps, i));
        table_print(table, stdout, page_width());
}

int command_history(struct ctl *ctl, const struct arguments *arguments) {
        CLEANUP_JSON json_t *sweeps = NULL;
        if (!ctl_list(ctl, "ListSweeps", ctl_for_device(arguments->device), "sweep", &sweeps))
                return STATUS_FAILED;
        if (ctl->json)
                ctl_print_document(json_pack("{s:O}", "sweeps", sweeps));
        else if (json_array_size(sweeps) > 0)
                show_sweeps(sweeps);
        else
                printf("No sweep %s%s%shas begun yet. When one will, or why not: sweepctl status%s%s\n",
                        arguments->device ? "of " : "", arguments->device ? arguments->device : "",
                        arguments->device ? " " : "", arguments->device ? " " : "",
                        arguments->device ? arguments->device : "");
        return STATUS_FINE;
}
