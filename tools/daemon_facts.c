/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices are only as well known as the daemon that looks after them: a ledger that is lost, a worker that is out of
 * service, or a journal that nobody owns must be seen before anything good is believed.
 */
#include "daemon_facts.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "field.h"
#include "page.h"

#include <inttypes.h>
#include <string.h>

enum { WORKERS_SHOWN_MAX = 16 };

void daemon_show_workers(const json_t *daemon, FILE *to, size_t width) {
        const json_t *workers = json_object_get(daemon, "workers");
        if (json_array_size(workers) == 0) {
                page_fact(to, width, "workers", "none: the sweeps verify by themselves");
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
        page_fact(to, width, "workers", "%s", text);
}

bool daemon_ledger_is_good(const json_t *daemon) {
        return field_is(daemon, "ledger", "good");
}

bool daemon_needs_attention(const json_t *daemon, bool one) {
        return !daemon_ledger_is_good(daemon) ||
                (!one && json_array_size(json_object_get(daemon, "unowned_journals")) > 0);
}

static bool workers_are_good(const json_t *daemon) {
        const json_t *workers = json_object_get(daemon, "workers");
        for (size_t i = 0; i < json_array_size(workers); i++)
                if (!field_true(json_array_get(workers, i), "in_service"))
                        return false;
        return true;
}

void daemon_show_facts(const json_t *daemon, bool brief, FILE *to, size_t width) {
        char since[TIME_TEXT_BYTES], tested[TIME_TEXT_BYTES], up[64] = "?";
        uint64_t started_us, now_us = clock_wall_us();
        field_time_short(since, daemon, "started_at", "?");
        if (field_number(daemon, "started_at", &started_us))
                text_format_span(up, sizeof up, now_us > started_us ? now_us - started_us : 0);
        page_fact(to, width, "sweepd", "%s, process %" PRIu64 ", up for %s, since %s",
                field_text_or(daemon, "version", "(version unknown)"), field_count(daemon, "pid"), up, since);
        const char *ledger_text = field_text(daemon, "ledger_text");
        field_time(tested, daemon, "self_test_at", "");
        if (brief && daemon_ledger_is_good(daemon) && tested[0] && workers_are_good(daemon))
                return;
        page_fact(to, width, "ledger", "%s%s%s", field_text_or(daemon, "ledger", "unknown"), ledger_text ? ": " : "",
                ledger_text ? ledger_text : "");
        page_fact(to, width, "self-test", "%s%s", tested[0] ? "passed at " : "unknown", tested);
        daemon_show_workers(daemon, to, width);
}

static void show_ledger(const json_t *daemon, FILE *to, size_t width) {
        const char *ledger = field_text_or(daemon, "ledger", "unknown");
        fputs("\nThe ledger needs attention:\n", to);
        page_fact(to, width, "  found", "%s", field_text_or(daemon, "ledger_text", ledger));
        page_fact(to, width, "  what to do", "%s",
                strcmp(ledger, "replaced") == 0
                        ? "what was known of earlier sweeps and findings is gone; look for the reason in: "
                          "journalctl -u sweepd"
                        : "check the disk that holds the state directory; writing sweeps stop until the ledger can "
                          "be written; more in: journalctl -u sweepd");
}

void daemon_show_attention(const json_t *daemon, bool one, FILE *to, size_t width) {
        if (!daemon_ledger_is_good(daemon))
                show_ledger(daemon, to, width);
        const json_t *journals = json_object_get(daemon, "unowned_journals");
        for (size_t i = 0; !one && i < json_array_size(journals); i++) {
                const char *journal = json_string_value(json_array_get(journals, i));
                fputs("\nAn undo journal needs attention:\n", to);
                page_fact(to, width, "  found", "%s holds data of a device that is not configured",
                        journal ? journal : "?");
                page_fact(to, width, "  what to do",
                        "add an entry of that name to /etc/sweepd/sweepd.conf, then: sweepctl reload; or look at what "
                        "it holds: sweepctl rescue list");
        }
}
