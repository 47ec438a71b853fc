/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one screen that people look at, and the exit status that monitoring looks at. It must not look better than
 * things are: the daemon decides what needs attention, a ledger that is not good always does, and every device that
 * needs attention is named with what was found and what to do.
 */
#include "commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "field.h"
#include "must.h"
#include "page.h"
#include "table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { CELL_BYTES = 128, WORKERS_SHOWN_MAX = 16 };

DEFINE_FREEP(struct table, table_free, table_freep)

static void show_workers(const json_t *daemon, size_t width) {
        const json_t *workers = json_object_get(daemon, "workers");
        if (json_array_size(workers) == 0) {
                page_fact(stdout, width, "workers", "none: the sweeps verify by themselves");
                return;
        }
        char text[2048] = "";
        for (size_t i = 0; i < json_array_size(workers); i++) {
                const json_t *worker = json_array_get(workers, i);
                if (i == WORKERS_SHOWN_MAX) {
                        text_append(text, sizeof text, ", and %zu more", json_array_size(workers) - i);
                        break;
                }
                text_append(text, sizeof text, "%s%" PRIu64 " on CPU %s%s", i ? ", " : "", field_count(worker, "index"),
                        field_text_or(worker, "cpus", "?"),
                        field_true(worker, "in_service") ? "" : " (NOT IN SERVICE)");
        }
        page_fact(stdout, width, "workers", "%s", text);
}

static bool ledger_is_good(const json_t *daemon) {
        return field_is(daemon, "ledger", "good");
}

static void show_daemon(const json_t *daemon, size_t width) {
        char since[TIME_TEXT_BYTES], tested[TIME_TEXT_BYTES], up[64] = "?";
        uint64_t started_us, now_us = clock_wall_us();
        field_time_short(since, daemon, "started_at", "?");
        if (field_number(daemon, "started_at", &started_us))
                text_format_span(up, sizeof up, now_us > started_us ? now_us - started_us : 0);
        page_fact(stdout, width, "sweepd", "%s, process %" PRIu64 ", up for %s, since %s",
                field_text_or(daemon, "version", "(version unknown)"), field_count(daemon, "pid"), up, since);
        const char *ledger_text = field_text(daemon, "ledger_text");
        page_fact(stdout, width, "ledger", "%s%s%s", field_text_or(daemon, "ledger", "unknown"),
                ledger_text ? ": " : "", ledger_text ? ledger_text : "");
        field_time(tested, daemon, "self_test_at", "");
        page_fact(stdout, width, "self-test", "%s%s", tested[0] ? "passed at " : "unknown", tested);
        show_workers(daemon, width);
}

static void add_device_row(struct table *table, const json_t *device) {
        char state[CELL_BYTES], verdict[VERDICT_TEXT_BYTES], open[CELL_BYTES];
        char swept[TIME_TEXT_BYTES], next[TIME_TEXT_BYTES];
        int percent = field_percent(field_object(device, "progress"));
        text_copy(state, sizeof state, field_text_or(device, "state", "?"));
        if (percent >= 0)
                text_append(state, sizeof state, " %d %%", percent);
        field_verdict(verdict, device);
        field_time_short(swept, device, "last_sweep_ended_at", "never");
        field_time_short(next, device, "next_start_at", "-");
        text_format(open, sizeof open, "%" PRIu64, field_count(device, "findings_open"));
        table_add(table,
                (const char *const[]){ field_text_or(device, "name", "?"), field_text_or(device, "mode", "?"), state,
                        verdict, swept, open, next });
}

static void show_devices(const json_t *devices, size_t width) {
        static const struct column columns[] = { { "DEVICE", COLUMN_KEY }, { "MODE", COLUMN_PLAIN },
                { "STATE", COLUMN_PLAIN }, { "VERDICT", COLUMN_PLAIN }, { "SWEPT", COLUMN_PLAIN },
                { "OPEN", COLUMN_PLAIN }, { "NEXT", COLUMN_OPTIONAL } };
        CLEANUP(table_freep)
        struct table *table = table_new(columns, ELEMENTS(columns));
        for (size_t i = 0; i < json_array_size(devices); i++)
                add_device_row(table, json_array_get(devices, i));
        table_print(table, stdout, width);
}

static void show_reason(const json_t *reason, size_t width) {
        page_fact(stdout, width, "  found", "%s", field_text_or(reason, "found", "-"));
        page_fact(stdout, width, "  what to do", "%s", field_text_or(reason, "remedy", "-"));
}

/* Why a device needs attention, and the next command to type. */
static void show_attention(const json_t *device, size_t width) {
        const char *name = field_text_or(device, "name", "?");
        const json_t *reason = field_object(device, "reason");
        uint64_t open = field_count(device, "findings_open");
        printf("\n%s needs attention:\n", name);
        if (open > 0)
                printf("  %" PRIu64 " open finding%s: sweepctl errors %s\n", open, open == 1 ? "" : "s", name);
        if (field_true(device, "overdue")) {
                char due[TIME_TEXT_BYTES];
                field_time(due, device, "next_due_at", "a time unknown");
                printf("  overdue: the next sweep was due at %s\n", due);
        }
        if (reason) {
                printf("  %s (rule %s)\n", field_text_or(device, "state", "?"),
                        field_text_or(reason, "rule", "unknown"));
                show_reason(reason, width);
        }
        if (open == 0 && !field_true(device, "overdue") && !reason)
                printf("  %s: sweepctl status %s\n", field_text_or(device, "state", "?"), name);
}

static void show_ledger_attention(const json_t *daemon, size_t width) {
        const char *ledger = field_text_or(daemon, "ledger", "unknown");
        puts("\nThe ledger needs attention:");
        page_fact(stdout, width, "  found", "%s", field_text_or(daemon, "ledger_text", ledger));
        page_fact(stdout, width, "  what to do", "%s",
                strcmp(ledger, "replaced") == 0
                        ? "what was known of earlier sweeps and findings is gone; look for the reason in: "
                          "journalctl -u sweepd"
                        : "check the disk that holds the state directory; writing sweeps stop until the ledger can "
                          "be written; more in: journalctl -u sweepd");
}

static void show_unowned_attention(const json_t *daemon, size_t width) {
        const json_t *journals = json_object_get(daemon, "unowned_journals");
        for (size_t i = 0; i < json_array_size(journals); i++) {
                const char *journal = json_string_value(json_array_get(journals, i));
                puts("\nAn undo journal needs attention:");
                page_fact(stdout, width, "  found", "%s holds data of a device that is not configured",
                        journal ? journal : "?");
                page_fact(stdout, width, "  what to do",
                        "add an entry of that name to /etc/sweepd/sweepd.conf, then: sweepctl reload; or look at what "
                        "it holds: sweepctl rescue list");
        }
}

static void show_all(const json_t *daemon, const json_t *devices, int status) {
        size_t width = page_width();
        show_daemon(daemon, width);
        puts("");
        if (json_array_size(devices) == 0)
                puts("There are no devices. Add some to /etc/sweepd/sweepd.conf (sudo sweepd --list-disks prints entries) and run: "
                     "sweepctl reload");
        else
                show_devices(devices, width);
        if (!ledger_is_good(daemon))
                show_ledger_attention(daemon, width);
        show_unowned_attention(daemon, width);
        for (size_t i = 0; i < json_array_size(devices); i++)
                if (field_true(json_array_get(devices, i), "needs_attention"))
                        show_attention(json_array_get(devices, i), width);
        if (status == STATUS_FINE && json_array_size(devices) > 0)
                puts("\nNothing needs attention.");
}

static void show_identity(const json_t *device, size_t width) {
        static const struct {
                const char *field, *label;
        } facts[] = { { "kind", "kind" }, { "model", "model" }, { "serial", "serial" }, { "wwn", "WWN" },
                { "firmware", "firmware" }, { "partuuid", "PARTUUID" }, { "backing_file", "backing file" },
                { "slot", "slot" } };
        const json_t *identity = field_object(device, "identity");
        if (!identity)
                page_fact(stdout, width, "identity", "unknown");
        for (size_t i = 0; i < ELEMENTS(facts); i++)
                if (field_text(identity, facts[i].field))
                        page_fact(stdout, width, facts[i].label, "%s", field_text(identity, facts[i].field));
        const json_t *users = json_object_get(identity, "users");
        for (size_t i = 0; i < json_array_size(users); i++) {
                const char *user = json_string_value(json_array_get(users, i));
                page_fact(stdout, width, i ? "" : "in use", "%s", user ? user : "?");
        }
}

static void show_place(const json_t *device, size_t width) {
        char size[PLACE_TEXT_BYTES] = "unknown", from[PLACE_TEXT_BYTES], length[PLACE_TEXT_BYTES];
        uint64_t size_bytes = 0, length_bytes, offset_bytes = field_count(device, "extent_offset");
        if (field_number(device, "size", &size_bytes))
                page_place(size, size_bytes);
        page_fact(stdout, width, "size", "%s", size);
        if (!field_number(device, "extent_length", &length_bytes) || length_bytes == size_bytes)
                return;
        page_place(from, offset_bytes);
        page_place(length, length_bytes);
        page_fact(stdout, width, "swept", "%s from offset %s", length, from);
}

static void show_progress(const json_t *device, size_t width) {
        const json_t *progress = field_object(device, "progress");
        if (!progress)
                return;
        char done[PLACE_TEXT_BYTES], total[PLACE_TEXT_BYTES], rate[PLACE_TEXT_BYTES], ends[TIME_TEXT_BYTES];
        int percent = field_percent(progress);
        field_size(done, progress, "bytes_done", "?");
        field_size(total, progress, "bytes_total", "?");
        field_size(rate, progress, "rate", "?");
        field_time(ends, progress, "eta_at", "an unknown time");
        page_fact(stdout, width, "sweep", "%" PRIu64 ", phase %s, %d %% (%s of %s), %s/s, ends at %s",
                field_count(progress, "sweep_id"), field_text_or(progress, "phase", "?"), MAX(percent, 0), done, total,
                rate, ends);
}

static void show_times(const json_t *device, size_t width) {
        static const struct {
                const char *field, *label, *otherwise;
        } facts[] = { { "last_sweep_ended_at", "last sweep", "never" }, { "next_due_at", "next due", "never" },
                { "next_start_at", "next start", "not planned" }, { "oldest_checked_at", "all checked", "never" },
                { "oldest_verified_at", "all verified", "never" } };
        char time[TIME_TEXT_BYTES];
        for (size_t i = 0; i < ELEMENTS(facts); i++) {
                field_time(time, device, facts[i].field, facts[i].otherwise);
                const char *since = strncmp(facts[i].field, "oldest", strlen("oldest")) == 0 &&
                                strcmp(time, facts[i].otherwise) != 0
                        ? "since "
                        : "";
                page_fact(stdout, width, facts[i].label, "%s%s%s", since, time,
                        i == 1 && field_true(device, "overdue") ? " (overdue)" : "");
        }
        double coverage = json_number_value(json_object_get(device, "coverage"));
        if (coverage >= 0 && coverage <= 1)
                page_fact(stdout, width, "coverage", "%d %% within its period", (int)(coverage * 100));
}

static void show_cache(const json_t *device, size_t width) {
        const json_t *cache = json_object_get(device, "write_cache");
        char written[PLACE_TEXT_BYTES];
        if (json_is_boolean(cache))
                page_fact(stdout, width, "write cache", "%s%s", json_is_true(cache) ? "on" : "off",
                        !json_is_true(cache)                           ? ""
                                : field_true(device, "cache_defeated") ? ", defeated by the size of a segment"
                                                                       : ", may answer for what was just written");
        field_size(written, device, "bytes_written_total", "unknown");
        page_fact(stdout, width, "written", "%s in all", written);
}

static void show_findings(const json_t *device, size_t width) {
        uint64_t open = field_count(device, "findings_open");
        page_fact(stdout, width, "findings", "%" PRIu64 " open, %" PRIu64 " acknowledged, %" PRIu64 " resolved%s%s",
                open, field_count(device, "findings_acknowledged"), field_count(device, "findings_resolved"),
                open ? ": sweepctl errors " : "", open ? field_text_or(device, "name", "?") : "");
}

static void show_one(const json_t *daemon, const json_t *device) {
        size_t width = page_width();
        char verdict[VERDICT_TEXT_BYTES];
        const json_t *reason = field_object(device, "reason");
        page_fact(stdout, width, "device", "%s", field_text_or(device, "name", "?"));
        page_fact(stdout, width, "path", "%s", field_text_or(device, "path", "?"));
        show_identity(device, width);
        show_place(device, width);
        page_fact(stdout, width, "mode", "%s", field_text_or(device, "mode", "?"));
        page_fact(stdout, width, "state", "%s", field_text_or(device, "state", "?"));
        if (reason) {
                page_fact(stdout, width, "  rule", "%s", field_text_or(reason, "rule", "unknown"));
                show_reason(reason, width);
        }
        show_progress(device, width);
        field_verdict(verdict, device);
        page_fact(stdout, width, "verdict", "%s", verdict);
        show_times(device, width);
        show_cache(device, width);
        show_findings(device, width);
        page_fact(stdout, width, "attention", "%s", field_true(device, "needs_attention") ? "needed" : "not needed");
        if (!ledger_is_good(daemon))
                show_ledger_attention(daemon, width);
}

/* one: a device was named. */
static int attention(const json_t *daemon, const json_t *devices, bool one) {
        if (!ledger_is_good(daemon))
                return STATUS_ATTENTION;
        if (!one && json_array_size(json_object_get(daemon, "unowned_journals")) > 0)
                return STATUS_ATTENTION;
        for (size_t i = 0; i < json_array_size(devices); i++)
                if (field_true(json_array_get(devices, i), "needs_attention"))
                        return STATUS_ATTENTION;
        return STATUS_FINE;
}

int command_status(struct ctl *ctl, const struct arguments *arguments) {
        CLEANUP_JSON json_t *answer = NULL, *devices = NULL;
        if (!ctl_ask(ctl, "GetDaemon", must(json_object()), &answer))
                return STATUS_FAILED;
        json_t *daemon = ctl_object(ctl, answer, "daemon");
        if (!daemon || !ctl_list(ctl, "ListDevices", ctl_for_device(arguments->device), "device", &devices))
                return STATUS_FAILED;
        int status = attention(daemon, devices, arguments->device);
        if (arguments->device && json_array_size(devices) != 1)
                return ctl_complain("sweepd gave no answer about %s: sweepctl status", arguments->device);
        if (ctl->json)
                ctl_print_document(json_pack("{s:O, s:O}", "daemon", daemon, "devices", devices));
        else if (arguments->device)
                show_one(daemon, json_array_get(devices, 0));
        else
                show_all(daemon, devices, status);
        return status;
}
