/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scripts trust the answer of `wait`, so it must be about the right sweep: not about an older one while the sweep that
 * was asked for is still queued, nor about the next one when that begins at once. A sweep may also begin and end
 * between two looks. Hence: remember the last sweep first, then look at the device, and follow one id. A burn-in takes
 * days, and sweepd may be upgraded meanwhile: the sweep goes on, so the wait does.
 */
#include "commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "field.h"
#include "must.h"
#include "page.h"
#include "printable.h"
#include "show_sweeps.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

enum { POLL_SHORT_MS = 200, POLL_LONG_MS = 1000, POLL_SHORT_COUNT = 25 };

/* How long a sweep that is no longer running may take to be recorded as ended. */
enum { SETTLE_LOOKS_MAX = 30 };

/* How long sweepd may be away. */
enum { AWAY_MAX_S = 90 };

/* States in which a sweep can stay for long without any work being done. */
static const char *const resting[] = { "queued", "paused", "waiting", "held" };

struct waiting {
        struct ctl *ctl;
        const char *device;
        uint64_t id;       /* the sweep that is followed; 0: not known yet */
        uint64_t id_least; /* what is followed is no older than this */
        unsigned looks, idle_looks;
        uint64_t away_since_us; /* 0: sweepd answers */
        unsigned told;          /* BIT()s of `resting` that were said to be what is waited for */
        size_t line_columns;    /* of the progress line on the terminal; 0: none is shown */
};

/* A new reference to the device's last sweep, or NULL where there is none. False: stderr says why. */
static bool last_sweep(const struct waiting *w, json_t **ret) {
        CLEANUP_JSON json_t *sweeps = NULL;
        json_t *parameters = ctl_for_device(w->device);
        must_succeed(json_object_set_new(parameters, "limit", json_integer(1)));
        if (!ctl_list(w->ctl, "ListSweeps", parameters, "sweep", &sweeps))
                return false;
        size_t count = json_array_size(sweeps);
        *ret = count ? json_incref(json_array_get(sweeps, count - 1)) : NULL;
        return true;
}

/* A new reference to the sweep that is followed, or NULL where it is not recorded yet. */
static bool followed_sweep(const struct waiting *w, json_t **ret) {
        if (w->id == 0)
                return last_sweep(w, ret);
        CLEANUP_JSON json_t *answer = NULL;
        if (!ctl_ask_unless(
                    w->ctl, "GetSweep", json_pack("{s:I}", "id", (json_int_t)w->id), "io.sweepd.NoSuchId", &answer))
                return false;
        *ret = answer ? json_incref(json_object_get(answer, "sweep")) : NULL;
        return true;
}

static bool look_at_device(const struct waiting *w, json_t **ret) {
        CLEANUP_JSON json_t *answer = NULL;
        if (!ctl_ask(w->ctl, "ListDevices", ctl_for_device(w->device), &answer))
                return false;
        json_t *device = ctl_object(w->ctl, answer, "device");
        *ret = json_incref(device);
        return device;
}

static bool has_ended(const json_t *sweep) {
        uint64_t ended_us;
        return field_number(sweep, "ended_at", &ended_us);
}

/* States in which a sweep is under way, or will be. A stalled device may never come back: only its progress counts. */
static bool is_active(const json_t *device) {
        static const char *const states[] = { "queued", "sweeping", "yielding", "paused", "waiting", "recovering" };
        for (size_t i = 0; i < ELEMENTS(states); i++)
                if (field_is(device, "state", states[i]))
                        return true;
        return field_object(device, "progress");
}

static void clear_line(struct waiting *w) {
        if (w->line_columns > 0)
                fprintf(stderr, "\r%*s\r", (int)w->line_columns, "");
        w->line_columns = 0;
}

static size_t terminal_columns(void) {
        struct winsize size;
        return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1U : 79;
}

/* What is known of the way ahead: percent, rate, time left. */
static void describe_progress(char *to, size_t to_bytes, const json_t *device, uint64_t now_us) {
        const json_t *progress = field_object(device, "progress");
        int percent = field_percent(progress);
        uint64_t eta_us;
        char rate[PLACE_TEXT_BYTES], left[64];
        text_format(to, to_bytes, "%s: %s", field_text_or(device, "name", "?"), field_text_or(device, "state", "?"));
        if (!progress)
                return;
        field_size(rate, progress, "rate", "?");
        text_append(to, to_bytes, ", %s", field_text_or(progress, "phase", "?"));
        if (percent >= 0)
                text_append(to, to_bytes, ", %d %%", percent);
        text_append(to, to_bytes, ", %s/s", rate);
        if (!field_number(progress, "eta_at", &eta_us))
                return;
        text_format_span(left, sizeof left, eta_us > now_us ? eta_us - now_us : 0);
        text_append(to, to_bytes, ", %s left", left);
}

/* Without a terminal there is nothing to redraw, and a log wants no progress. */
static void show_progress(struct waiting *w, const json_t *device) {
        if (!isatty(STDERR_FILENO))
                return;
        char line[256];
        describe_progress(line, sizeof line, device, clock_wall_us());
        CLEANUP_FREE char *safe = printable_text(line);
        size_t bytes = printable_bytes(safe, terminal_columns());
        safe[bytes] = '\0';
        fputs(safe, stderr);
        w->line_columns = printable_columns(safe);
}

/* A log that ends here would look like a wait that hangs. Each state once: a window may close each morning. */
static void tell_why(struct waiting *w, const json_t *device) {
        const char *found = field_text(field_object(device, "reason"), "found");
        for (unsigned i = 0; i < ELEMENTS(resting); i++) {
                if (isatty(STDERR_FILENO) || w->told & BIT(i) || !field_is(device, "state", resting[i]))
                        continue;
                w->told |= (unsigned)BIT(i);
                ctl_complain("still waiting: %s is %s%s%s; more: sweepctl status %s", w->device, resting[i],
                        found ? ": " : "", found ? found : "", w->device);
        }
}

static void pause_a_little(struct waiting *w) {
        unsigned ms = w->looks++ < POLL_SHORT_COUNT ? POLL_SHORT_MS : POLL_LONG_MS;
        struct timespec span = { ms / 1000, (long)(ms % 1000) * 1000000 };
        nanosleep(&span, NULL);
}

static int never_ended(const struct waiting *w, const json_t *device) {
        const char *found = field_text(field_object(device, "reason"), "found");
        ctl_complain("the sweep of %s that was to be waited for did not run to an end; it is %s%s%s: sweepctl status "
                     "%s",
                w->device, field_text_or(device, "state", "?"), found ? ": " : "", found ? found : "", w->device);
        return STATUS_INCOMPLETE;
}

static int answer_by(const struct waiting *w, json_t *sweep, bool followed) {
        char result[RESULT_TEXT_BYTES], took[SPAN_SHORT_BYTES];
        int status = sweep_status(sweep);
        if (w->ctl->json) {
                ctl_print_document(json_pack("{s:[O]}", "sweeps", sweep));
                return status;
        }
        sweep_result(result, sweep);
        page_span(took, field_count(sweep, "running_us"));
        if (!followed)
                printf("No sweep of %s is queued or running. The last one:\n", w->device);
        uint64_t findings = field_count(sweep, "findings");
        printf("Sweep %" PRIu64 " of %s: %s, in %s, %" PRIu64 " finding%s\n", field_count(sweep, "id"), w->device,
                result, took, findings, findings == 1 ? "" : "s");
        const char *found = field_text(field_object(sweep, "reason"), "found");
        if (found)
                page_text(stdout, page_width(), 2, 2, found);
        if (findings > 0)
                printf("  What was found: sweepctl errors %s\n", w->device);
        return status;
}

/*
 * One look while a sweep is followed. *sweep: a new reference once it has ended, and then *over is true; *over alone:
 * it will not end any more. False: stderr says why.
 */
static bool look(struct waiting *w, json_t *device, json_t **sweep, bool *over) {
        const json_t *progress = field_object(device, "progress");
        uint64_t running_id = field_count(progress, "sweep_id");
        if (running_id > 0 && w->id == 0)
                w->id = running_id;
        if (running_id > 0 && w->id == running_id) {
                w->idle_looks = 0;
                return true;
        }
        CLEANUP_JSON json_t *candidate = NULL;
        if (!followed_sweep(w, &candidate))
                return false;
        bool right_one = w->id > 0 || field_count(candidate, "id") >= w->id_least;
        if (candidate && right_one && has_ended(candidate)) {
                *sweep = STEAL(candidate);
                *over = true;
                return true;
        }
        w->idle_looks = is_active(device) ? 0 : w->idle_looks + 1;
        *over = w->idle_looks > SETTLE_LOOKS_MAX;
        return true;
}

/* As look(), at the device as it is now, in place of how it was. */
static bool look_again(struct waiting *w, json_t **device, json_t **sweep, bool *over) {
        json_t *next = NULL;
        if (!look_at_device(w, &next))
                return false;
        json_decref(*device);
        *device = next;
        return look(w, next, sweep, over);
}

/* After a look that failed: the next sweepd that answers knows the same sweep. False: stderr says why not. */
static bool find_again(struct waiting *w) {
        uint64_t now_us = clock_monotonic_us();
        if (!w->ctl->away)
                return false;
        if (w->away_since_us == 0) {
                ctl_complain("sweepd went away; the wait goes on when it is back");
                w->away_since_us = now_us;
        }
        do {
                if (clock_monotonic_us() - w->away_since_us > AWAY_MAX_S * USEC_PER_SEC) {
                        ctl_complain("sweepd has been away for over %d s, and the sweep of %s was not over: systemctl "
                                     "status sweepd; when it runs again: sweepctl wait %s",
                                AWAY_MAX_S, w->device, w->device);
                        return false;
                }
                nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
        } while (!ctl_reopen(w->ctl));
        w->idle_looks = 0; /* the next one takes up its sweeps first */
        return true;
}

static void rest_between_looks(struct waiting *w, const json_t *device) {
        if (w->away_since_us > 0)
                ctl_complain("sweepd is back");
        w->away_since_us = 0;
        tell_why(w, device);
        show_progress(w, device);
        pause_a_little(w);
        clear_line(w);
}

/* Until the sweep that is queued or running has ended. first: the device as it was seen first. */
static int follow(struct waiting *w, json_t *first) {
        CLEANUP_JSON json_t *device = json_incref(first), *sweep = NULL;
        bool over = false;
        w->ctl->patient = true;
        for (bool seen = look(w, device, &sweep, &over); !over; seen = look_again(w, &device, &sweep, &over)) {
                if (seen)
                        rest_between_looks(w, device);
                else if (!find_again(w))
                        return STATUS_FAILED;
        }
        return sweep ? answer_by(w, sweep, true) : never_ended(w, device);
}

int command_wait(struct ctl *ctl, const struct arguments *arguments) {
        struct waiting w = { .ctl = ctl, .device = arguments->device };
        CLEANUP_JSON json_t *last = NULL, *device = NULL;
        if (!last_sweep(&w, &last) || !look_at_device(&w, &device))
                return STATUS_FAILED;
        bool unended = last && !has_ended(last);
        if (is_active(device) || unended) {
                w.id_least = field_count(last, "id") + (unended ? 0 : 1);
                return follow(&w, device);
        }
        /* One that was queued may have run between the two looks. */
        json_decref(last);
        last = NULL;
        if (!last_sweep(&w, &last))
                return STATUS_FAILED;
        if (!last) {
                char never[NEVER_TEXT_BYTES];
                sweep_never(never, device);
                return ctl_complain("no sweep of %s is queued or running, and none has ended%s", w.device, never);
        }
        return answer_by(&w, last, false);
}
