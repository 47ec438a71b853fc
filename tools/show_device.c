/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whoever opens this page decides whether to pull a disk: which one it is, what is wrong, what the verdict is worth and
 * how old it is must all be there, and what is not known must say so rather than be left out.
 */
#include "show_device.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "daemon_facts.h"
#include "field.h"
#include "page.h"
#include "show_sweeps.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LINE_BYTES = 1024, SWEEPS_SHOWN = 3, FINDINGS_SHOWN = 3 };

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

/* Where sweepd names no moment: what has a period, and was never swept, is due already. */
static const char *due_otherwise(const json_t *device) {
        const json_t *every = json_object_get(device, "every_us");
        if (!every)
                return "unknown";
        return json_is_integer(every) ? "now" : "never";
}

static bool is_moving(const json_t *device) {
        return field_is(device, "state", "sweeping") || field_is(device, "state", "yielding");
}

/* Where sweepd names no moment. */
static const char *start_otherwise(const json_t *device) {
        if (is_moving(device))
                return "it is being swept";
        if (field_is(device, "state", "missing") && field_count(device, "every_us") > 0)
                return "when it is due, and there again";
        return "not planned";
}

static void show_times(const json_t *device, size_t width) {
        const struct {
                const char *field, *label, *otherwise;
        } facts[] = { { "last_sweep_ended_at", "last ended", "never" },
                { "next_due_at", "next due", due_otherwise(device) },
                { "next_start_at", "next start", start_otherwise(device) },
                { "oldest_checked_at", "all checked", "never" }, { "oldest_verified_at", "all verified", "never" } };
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
                page_fact(stdout, width, "coverage", "%d %% %s", (int)(coverage * 100),
                        field_count(device, "every_us") > 0 ? "within its period" : "at any time");
}

/* Daemons of before these fields say nothing of it. */
static void show_schedule(const json_t *device, size_t width) {
        const json_t *every = json_object_get(device, "every_us");
        char period[64], opens[TIME_TEXT_BYTES], closes[TIME_TEXT_BYTES];
        if (json_is_integer(every))
                text_format_span_key(period, sizeof period, field_count(device, "every_us"));
        if (every)
                page_fact(stdout, width, "schedule", "%s%s", json_is_integer(every) ? "every " : "by hand only",
                        json_is_integer(every) ? period : "");
        field_time(opens, device, "window_opens_at", "");
        field_time(closes, device, "window_closes_at", "");
        if (opens[0])
                page_fact(stdout, width, "next window", "%s to %s", opens, closes);
        else if (closes[0])
                page_fact(stdout, width, "window", "open until %s", closes);
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

static void show_state(const json_t *device, size_t width) {
        const json_t *reason = field_object(device, "reason");
        page_fact(stdout, width, "mode", "%s", field_text_or(device, "mode", "?"));
        page_fact(stdout, width, "state", "%s%s", field_text_or(device, "state", "?"),
                field_true(device, "needs_attention") ? ", needs attention" : "");
        if (!reason)
                return;
        page_fact(stdout, width, "  rule", "%s", field_text_or(reason, "rule", "unknown"));
        page_fact(stdout, width, "  found", "%s", field_text_or(reason, "found", "-"));
        page_fact(stdout, width, "  what to do", "%s", field_text_or(reason, "remedy", "-"));
}

/* Daemons of before that field, and for a moment each daemon, don't say what sets the rate. */
static const char *rule_text(const json_t *progress) {
        static const char *const rules[][2] = {
                { "deadline", "which is enough to end in time" },
                { "per_controller", "so that those that wait for limits.per_controller end in time, too" },
                { "concurrent_sweeps", "so that those that wait for limits.concurrent_sweeps end in time, too" },
                { "window", "which gets a segment through in its longest window" },
                { "rate_min", "its rate_min: to end in time it needs less" },
                { "rate_max", "its rate_max" },
                { "limits_rate", "its share of limits.rate" },
        };
        for (size_t i = 0; i < ELEMENTS(rules); i++)
                if (field_is(progress, "rate_rule", rules[i][0]))
                        return rules[i][1];
        return "which is enough to end in time, or the most that is allowed";
}

/* How fast it may go, and who says so. */
static void show_pace(const json_t *device, const json_t *progress, size_t width) {
        char rate[PLACE_TEXT_BYTES], most[PLACE_TEXT_BYTES];
        field_size(rate, progress, "rate", "?");
        field_size(most, progress, "rate_target", "");
        if (field_is(device, "state", "yielding"))
                page_fact(stdout, width, "pace", "%s/s: it makes way for others%s%s%s", rate,
                        most[0] ? ", at most " : "", most, most[0] ? "/s" : "");
        else if (!field_is(device, "state", "sweeping"))
                page_fact(stdout, width, "pace", "%s/s: it is %s", rate, field_text_or(device, "state", "?"));
        else if (most[0])
                page_fact(stdout, width, "pace", "%s/s: held to %s/s, %s", rate, most, rule_text(progress));
        else
                page_fact(stdout, width, "pace", "%s/s: as fast as the device goes", rate);
}

static void show_progress(const json_t *device, size_t width) {
        const json_t *progress = field_object(device, "progress");
        if (!progress)
                return;
        char done[PLACE_TEXT_BYTES], total[PLACE_TEXT_BYTES], ends[TIME_TEXT_BYTES];
        int percent = field_percent(progress);
        field_size(done, progress, "bytes_done", "?");
        field_size(total, progress, "bytes_total", "?");
        field_time(ends, progress, "eta_at", is_moving(device) ? "an unknown time" : "");
        page_fact(stdout, width, "sweep", "%" PRIu64 ", phase %s, %d %% (%s of %s)%s%s",
                field_count(progress, "sweep_id"), field_text_or(progress, "phase", "?"), MAX(percent, 0), done, total,
                ends[0] ? ", ends at " : "", ends);
        show_pace(device, progress, width);
}

/* The word, and what it stands for. */
static void show_verdict(const json_t *device, size_t width) {
        char verdict[VERDICT_TEXT_BYTES];
        const char *worth = "";
        field_verdict(verdict, device);
        if (field_is(device, "verdict", "clean") && field_is(device, "assurance", "verified"))
                worth = ": every byte was compared with what must be there";
        else if (field_is(device, "verdict", "clean") && field_is(device, "assurance", "readable"))
                worth = ": every byte came back without an error; none was compared";
        else if (field_is(device, "verdict", "faulty"))
                worth = ": a fault is open, or was found by the last sweep";
        else if (field_is(device, "verdict", "incomplete"))
                worth = ": the last sweep did not reach all of it";
        else if (field_is(device, "verdict", "unknown"))
                worth = ": no sweep of what is there now has ended";
        page_fact(stdout, width, "verdict", "%s%s", verdict, worth);
}

static void show_finding(const json_t *finding, const char *label, size_t width) {
        char seen[TIME_TEXT_BYTES], place[PLACE_TEXT_BYTES];
        field_time_short(seen, finding, "last_seen_at", "?");
        page_place(place, field_count(finding, "offset"));
        page_fact(stdout, width, label, "%" PRIu64 ", %s at %s, %s, %s, seen %s: %s", field_count(finding, "id"),
                field_text_or(finding, "fault", "?"), place, field_text_or(finding, "persistence", "?"),
                field_text_or(finding, "state", "?"), seen, field_text_or(finding, "text", "-"));
}

static void show_findings(const json_t *device, const json_t *findings, size_t width) {
        uint64_t open = field_count(device, "findings_open"), known = field_count(device, "findings_acknowledged");
        size_t count = json_array_size(findings);
        page_fact(stdout, width, "findings", "%" PRIu64 " open, %" PRIu64 " acknowledged, %" PRIu64 " resolved%s%s",
                open, known, field_count(device, "findings_resolved"), open + known ? ": sweepctl errors " : "",
                open + known ? field_text_or(device, "name", "?") : "");
        for (size_t i = count - MIN(count, FINDINGS_SHOWN); i < count; i++)
                show_finding(json_array_get(findings, i), "", width);
}

static void show_sweep(const json_t *sweep, const char *label, size_t width) {
        char result[RESULT_TEXT_BYTES], began[TIME_TEXT_BYTES], took[SPAN_SHORT_BYTES];
        uint64_t findings = field_count(sweep, "findings");
        sweep_result(result, sweep);
        field_time_short(began, sweep, "started_at", "?");
        page_span(took, field_count(sweep, "running_us"));
        const char *found = field_text(field_object(sweep, "reason"), "found");
        page_fact(stdout, width, label, "%" PRIu64 ", %s, %s, in %s: %s, %" PRIu64 " finding%s%s%s",
                field_count(sweep, "id"), field_text_or(sweep, "mode", "?"), began, took, result, findings,
                findings == 1 ? "" : "s", found ? ": " : "", found ? found : "");
}

static void show_latency(const json_t *sweep, size_t width) {
        static const char *const figures[][2] = { { "p50_us", "50 %" }, { "p90_us", "90 %" }, { "p99_us", "99 %" },
                { "p999_us", "99.9 %" }, { "max_us", "all" } };
        const json_t *all = json_object_get(sweep, "latency");
        for (size_t i = 0; i < json_array_size(all); i++) {
                const json_t *latency = json_array_get(all, i);
                char text[LINE_BYTES];
                text_format(text, sizeof text, "%s", field_text_or(latency, "operation", "?"));
                for (size_t j = 0; j < ELEMENTS(figures); j++) {
                        char span[SPAN_SHORT_BYTES];
                        page_span_short(span, field_count(latency, figures[j][0]));
                        text_append(text, sizeof text, "%s %s within %s", j ? "," : "", figures[j][1], span);
                }
                page_fact(stdout, width, i ? "" : "latency", "%s", text);
        }
}

static void show_sweeps(const json_t *device, const json_t *sweeps, size_t width) {
        size_t count = json_array_size(sweeps);
        if (!sweeps)
                page_fact(stdout, width, "last sweeps", "unknown: the ledger can't be read at the moment");
        else if (count == 0 && field_object(device, "reason")) /* it stands above */
                page_fact(stdout, width, "last sweeps", "none");
        else if (count == 0)
                page_fact(stdout, width, "last sweeps", "none: sweepctl start %s", field_text_or(device, "name", "?"));
        for (size_t i = count - MIN(count, SWEEPS_SHOWN); i < count; i++)
                show_sweep(
                        json_array_get(sweeps, i), i == count - MIN(count, SWEEPS_SHOWN) ? "last sweeps" : "", width);
        /* A sweep that has only begun has no figures yet. */
        for (size_t i = count; i-- > 0;)
                if (json_array_size(json_object_get(json_array_get(sweeps, i), "latency")) > 0) {
                        show_latency(json_array_get(sweeps, i), width);
                        break;
                }
}

void show_device(const json_t *daemon, const json_t *device, const json_t *sweeps, const json_t *findings) {
        size_t width = page_width();
        page_fact(stdout, width, "device", "%s", field_text_or(device, "name", "?"));
        page_fact(stdout, width, "path", "%s", field_text_or(device, "path", "?"));
        show_identity(device, width);
        show_place(device, width);
        show_state(device, width);
        show_progress(device, width);
        show_verdict(device, width);
        show_findings(device, findings, width);
        show_schedule(device, width);
        show_times(device, width);
        show_sweeps(device, sweeps, width);
        show_cache(device, width);
        daemon_show_workers(daemon, stdout, width);
        daemon_show_attention(daemon, true, stdout, width);
}
