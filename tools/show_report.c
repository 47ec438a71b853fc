/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes into a ticket: read by people who have neither the disk nor sweepd at hand, months later. So it names the
 * disk by what is printed on it, says what was done and what the verdict is worth, leaves no finding out, and claims
 * nothing that was not measured: no speed is kept by region, but the longest read of each is.
 */
#include "commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "field.h"
#include "must.h"
#include "page.h"
#include "show_sweeps.h"
#include "table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { REGIONS = 16, CELL_BYTES = 32, NOTE_BYTES = 1024 };

struct report {
        json_t *daemon, *device, *sweep, *regions, *findings;
        uint64_t now_us;
        size_t width;
};

DEFINE_FREEP(struct table, table_free, table_freep)

static void report_deinit(struct report *r) {
        json_decref(r->daemon);
        json_decref(r->device);
        json_decref(r->sweep);
        json_decref(r->regions);
        json_decref(r->findings);
}

static void show_text(const struct report *r, const char *label, const json_t *record, const char *name) {
        if (field_text(record, name))
                page_fact(stdout, r->width, label, "%s", field_text(record, name));
}

static void show_device(const struct report *r) {
        const json_t *identity = field_object(r->device, "identity");
        char size[PLACE_TEXT_BYTES], from[PLACE_TEXT_BYTES], length[PLACE_TEXT_BYTES];
        uint64_t size_bytes = field_count(r->device, "size"), extent = field_count(r->device, "extent_length");
        page_fact(stdout, r->width, "device", "%s, %s", field_text_or(r->device, "name", "?"),
                field_text_or(r->device, "path", "?"));
        show_text(r, "kind", identity, "kind");
        show_text(r, "model", identity, "model");
        show_text(r, "serial", identity, "serial");
        show_text(r, "WWN", identity, "wwn");
        show_text(r, "firmware", identity, "firmware");
        show_text(r, "partition", identity, "partuuid");
        show_text(r, "file", identity, "backing_file");
        show_text(r, "slot", identity, "slot");
        if (!identity)
                page_fact(stdout, r->width, "identity", "unknown: sweepd has not opened it since it runs");
        page_place(size, size_bytes);
        page_fact(stdout, r->width, "size", "%s", size_bytes > 0 ? size : "unknown");
        if (extent == 0 || extent == size_bytes)
                return;
        page_place(from, field_count(r->device, "extent_offset"));
        page_place(length, extent);
        page_fact(stdout, r->width, "extent", "%s from offset %s; the rest is not swept", length, from);
}

/* What it is worth, in words that need no manual. */
static const char *worth(const json_t *sweep) {
        if (!field_count(sweep, "ended_at"))
                return "not everything was looked at yet";
        if (field_is(sweep, "verdict", "faulty"))
                return "faults were met, see the findings";
        if (!field_is(sweep, "verdict", "clean"))
                return "no fault was met, but not everything was looked at";
        return field_is(sweep, "assurance", "verified") ? "every byte was compared with what must be there"
                                                        : "every byte came back without an error";
}

static void show_verdict(const struct report *r) {
        char result[RESULT_TEXT_BYTES];
        sweep_result(result, r->sweep);
        page_fact(stdout, r->width, "verdict", "%s: %s", result, worth(r->sweep));
        const char *found = field_text(field_object(r->sweep, "reason"), "found");
        if (found)
                page_fact(stdout, r->width, "reason", "%s", found);
}

/* The fixed patterns in their order, and the stamps. */
static void show_passes(const struct report *r) {
        const json_t *patterns = json_object_get(r->sweep, "patterns");
        char text[NOTE_BYTES] = "";
        if (!field_is(r->sweep, "mode", "pattern"))
                return;
        for (size_t i = 0; i < json_array_size(patterns); i++) {
                const char *word = json_string_value(json_array_get(patterns, i));
                text_append(text, sizeof text, "%s, ", word ? word : "?");
        }
        page_fact(stdout, r->width, "passes", "%zu: %sstamps of generation %" PRIu64, json_array_size(patterns) + 1,
                text, field_count(r->sweep, "generation"));
}

static void show_bytes(const struct report *r, const char *label, const char *name) {
        char bytes[PLACE_TEXT_BYTES];
        page_place(bytes, field_count(r->sweep, name));
        page_fact(stdout, r->width, label, "%s", bytes);
}

static void show_speed(const struct report *r) {
        char took[SPAN_SHORT_BYTES], rate[PLACE_TEXT_BYTES];
        uint64_t running_us = field_count(r->sweep, "running_us");
        uint64_t moved = field_count(r->sweep, "bytes_read") + field_count(r->sweep, "bytes_written");
        page_span(took, running_us);
        page_fact(stdout, r->width, "at work for", "%s", took);
        if (running_us == 0)
                return;
        text_format_size(rate, sizeof rate, (uint64_t)((double)moved * (double)USEC_PER_SEC / (double)running_us));
        page_fact(stdout, r->width, "speed", "%s/s read and written, on the average of that time", rate);
}

static void show_sweep(const struct report *r) {
        char began[TIME_TEXT_BYTES], ended[TIME_TEXT_BYTES];
        field_time(began, r->sweep, "started_at", "?");
        field_time(ended, r->sweep, "ended_at", "not yet");
        page_fact(stdout, r->width, "sweep", "%" PRIu64 ", mode %s", field_count(r->sweep, "id"),
                field_text_or(r->sweep, "mode", "?"));
        page_fact(stdout, r->width, "began", "%s", began);
        page_fact(stdout, r->width, "ended", "%s", ended);
        show_passes(r);
        show_bytes(r, "written", "bytes_written");
        show_bytes(r, "read", "bytes_read");
        show_bytes(r, "verified", "bytes_verified");
        if (field_count(r->sweep, "bytes_skipped") > 0)
                show_bytes(r, "skipped", "bytes_skipped");
        show_speed(r);
        if (field_count(r->sweep, "bytes_written") > 0 && json_is_false(json_object_get(r->device, "cache_defeated")))
                page_fact(stdout, r->width, "write cache",
                        "on, and segments are small: what was verified may have come from it");
}

static void add_latency(struct table *table, const json_t *latency) {
        char cells[6][SPAN_SHORT_BYTES];
        static const char *const names[] = { "p50_us", "p90_us", "p99_us", "p999_us", "max_us" };
        text_format(cells[0], sizeof cells[0], "%" PRIu64, field_count(latency, "count"));
        for (size_t i = 0; i < ELEMENTS(names); i++)
                page_span_short(cells[i + 1], field_count(latency, names[i]));
        table_add(table,
                (const char *const[]){ field_text_or(latency, "operation", "?"), cells[0], cells[1], cells[2], cells[3],
                        cells[4], cells[5] });
}

static void show_latency(const struct report *r) {
        static const struct column columns[] = { { "LATENCY OF", COLUMN_PLAIN }, { "REQUESTS", COLUMN_PLAIN },
                { "P50", COLUMN_PLAIN }, { "P90", COLUMN_PLAIN }, { "P99", COLUMN_PLAIN }, { "P99.9", COLUMN_PLAIN },
                { "LONGEST", COLUMN_PLAIN } };
        const json_t *all = json_object_get(r->sweep, "latency");
        if (json_array_size(all) == 0)
                return;
        CLEANUP(table_freep)
        struct table *table = table_new(columns, ELEMENTS(columns));
        for (size_t i = 0; i < json_array_size(all); i++)
                add_latency(table, json_array_get(all, i));
        putchar('\n');
        table_print(table, stdout, r->width);
}

static void add_region(struct table *table, const json_t *region, const char *age) {
        char offset[CELL_BYTES], length[CELL_BYTES], at[TIME_TEXT_BYTES], longest[SPAN_SHORT_BYTES] = "-";
        char findings[CELL_BYTES];
        text_format_size(offset, sizeof offset, field_count(region, "offset"));
        text_format_size(length, sizeof length, field_count(region, "length"));
        field_time(at, region, age, "not all of it");
        if (field_count(region, "latency_max_us") > 0)
                page_span_short(longest, field_count(region, "latency_max_us"));
        text_format(findings, sizeof findings, "%" PRIu64, field_count(region, "findings"));
        table_add(table, (const char *const[]){ offset, length, longest, findings, at });
}

/* What the ledger has of the surface, whichever sweep it is from. */
static void show_regions(const struct report *r) {
        bool reads = field_is(r->device, "mode", "read");
        const struct column columns[] = { { "REGION AT", COLUMN_PLAIN }, { "LENGTH", COLUMN_PLAIN },
                { "LONGEST READ", COLUMN_PLAIN }, { "FINDINGS", COLUMN_PLAIN },
                { reads ? "LAST READ" : "LAST VERIFIED", COLUMN_PLAIN } };
        if (json_array_size(r->regions) == 0)
                return;
        CLEANUP(table_freep)
        struct table *table = table_new(columns, ELEMENTS(columns));
        for (size_t i = 0; i < json_array_size(r->regions); i++)
                add_region(table, json_array_get(r->regions, i), reads ? "checked_at" : "verified_at");
        putchar('\n');
        table_print(table, stdout, r->width);
}

static void add_finding(struct table *table, const json_t *finding) {
        char id[CELL_BYTES], offset[PLACE_TEXT_BYTES], length[PLACE_TEXT_BYTES], note[NOTE_BYTES];
        text_format(id, sizeof id, "%" PRIu64, field_count(finding, "id"));
        page_place(offset, field_count(finding, "offset"));
        field_size(length, finding, "length", "?");
        table_add(table,
                (const char *const[]){ id, offset, length, field_text_or(finding, "fault", "?"),
                        field_text_or(finding, "persistence", "?"), field_text_or(finding, "state", "?") });
        const char *pass = field_text(field_object(finding, "detail"), "pass");
        text_format(note, sizeof note, "%s; seen %" PRIu64 " time%s%s%s", field_text_or(finding, "text", "?"),
                field_count(finding, "count"), field_count(finding, "count") == 1 ? "" : "s", pass ? ", in pass " : "",
                pass ? pass : "");
        table_note(table, note);
}

static void show_findings(const struct report *r) {
        static const struct column columns[] = { { "FINDING", COLUMN_PLAIN }, { "OFFSET", COLUMN_KEY },
                { "LENGTH", COLUMN_PLAIN }, { "FAULT", COLUMN_PLAIN }, { "PERSISTENCE", COLUMN_PLAIN },
                { "STATE", COLUMN_PLAIN } };
        putchar('\n');
        if (json_array_size(r->findings) == 0) {
                page_fact(stdout, r->width, "findings", "none, neither of this sweep nor open ones of earlier sweeps");
                return;
        }
        CLEANUP(table_freep)
        struct table *table = table_new(columns, ELEMENTS(columns));
        for (size_t i = 0; i < json_array_size(r->findings); i++)
                add_finding(table, json_array_get(r->findings, i));
        table_print(table, stdout, r->width);
}

static void show_report(const struct report *r) {
        char now[TIME_TEXT_BYTES];
        page_time(now, r->now_us);
        page_fact(stdout, r->width, "report", "of sweepd %s, %s", field_text_or(r->daemon, "version", "?"), now);
        show_device(r);
        putchar('\n');
        show_verdict(r);
        show_sweep(r);
        show_latency(r);
        show_regions(r);
        show_findings(r);
}

static bool take_regions(void *userdata, const json_t *parameters) {
        const json_t *regions = json_object_get(parameters, "regions");
        if (json_array_size(userdata) + json_array_size(regions) > REGIONS) {
                ctl_complain("sweepd answered with more regions than were asked for");
                return false;
        }
        for (size_t i = 0; i < json_array_size(regions); i++)
                if (field_count(json_array_get(regions, i), "length") > 0)
                        must_succeed(json_array_append(userdata, json_array_get(regions, i)));
        return true;
}

/* Those of the sweep, also where they are over, and what is open of those before it. */
static json_t *choose_findings(const json_t *all, uint64_t sweep_id) {
        json_t *chosen = must(json_array());
        for (size_t i = 0; i < json_array_size(all); i++) {
                json_t *finding = json_array_get(all, i);
                bool over = field_is(finding, "state", "resolved") || field_is(finding, "state", "retired");
                if (!over || field_count(finding, "sweep_id") == sweep_id)
                        must_succeed(json_array_append(chosen, finding));
        }
        return chosen;
}

/* An object of a reply that has one field: a new reference, or NULL after a complaint. */
static json_t *ask_one(struct ctl *ctl, const char *method, json_t *parameters, const char *field) {
        CLEANUP_JSON json_t *answer = NULL;
        if (!ctl_ask(ctl, method, parameters, &answer))
                return NULL;
        return json_incref(ctl_object(ctl, answer, field));
}

/* The newest one; NULL after a complaint. */
static json_t *ask_sweep(struct ctl *ctl, const char *device, const json_t *record) {
        CLEANUP_JSON json_t *sweeps = NULL;
        char never[NEVER_TEXT_BYTES];
        json_t *parameters = ctl_for_device(device);
        must_succeed(json_object_set_new(parameters, "limit", json_integer(1)));
        if (!ctl_list(ctl, "ListSweeps", parameters, "sweep", &sweeps))
                return NULL;
        if (json_array_size(sweeps) > 0)
                return json_incref(json_array_get(sweeps, json_array_size(sweeps) - 1));
        sweep_never(never, record);
        ctl_complain("there is nothing to report: no sweep of %s has begun yet%s", device, never);
        return NULL;
}

static bool gather(struct ctl *ctl, const char *device, struct report *r) {
        CLEANUP_JSON json_t *all = NULL;
        r->daemon = ask_one(ctl, "GetDaemon", json_object(), "daemon");
        r->device = r->daemon ? ask_one(ctl, "ListDevices", ctl_for_device(device), "device") : NULL;
        r->sweep = r->device ? ask_sweep(ctl, device, r->device) : NULL;
        if (!r->sweep)
                return false;
        json_t *parameters = ctl_for_device(device);
        must_succeed(json_object_set_new(parameters, "regions", json_integer(REGIONS)));
        r->regions = must(json_array());
        if (!ctl_each(ctl, "GetMap", parameters, take_regions, r->regions))
                return false;
        parameters = ctl_for_device(device);
        must_succeed(json_object_set_new(parameters, "all", json_true()));
        if (!ctl_list(ctl, "ListFindings", parameters, "finding", &all))
                return false;
        r->findings = choose_findings(all, field_count(r->sweep, "id"));
        return true;
}

int command_report(struct ctl *ctl, const struct arguments *arguments) {
        CLEANUP(report_deinit)
        struct report r = { .now_us = clock_wall_us(), .width = 80 };
        if (!gather(ctl, arguments->device, &r))
                return STATUS_FAILED;
        if (ctl->json)
                ctl_print_document(json_pack("{s:I, s:O, s:O, s:O, s:O, s:O}", "at", (json_int_t)r.now_us, "daemon",
                        r.daemon, "device", r.device, "sweep", r.sweep, "regions", r.regions, "findings", r.findings));
        else
                show_report(&r);
        return STATUS_FINE;
}
