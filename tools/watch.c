/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A screen that somebody leaves open for days. The daemon is restarted under it, the terminal is resized, there are
 * more devices than lines: none of that may end it, hide a device that needs somebody, or leave stale figures that look
 * fresh. So each look is drawn anew from what was answered just now, what does not fit is counted, and while nobody
 * answers the screen says so. Where there is no screen, a line is written when something has changed.
 */
#include "commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "field.h"
#include "must.h"
#include "page.h"
#include "paint.h"
#include "printable.h"
#include "severity.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
        LINE_BYTES = 1024,
        NEW_MAX = 6,
        STEP_PERCENT = 10,
        BAR_MIN = 10,
        BAR_MAX = 40,
        BAR_LEAST = 4,
        NAME_COLUMNS_MAX = 30
};

/* A device's way is told at most as often as that where there is no screen. */
#define STEP_LEAST_US (10 * USEC_PER_SEC)

struct watch {
        const char *socket_path, *device;
        struct client *client; /* NULL: none is open */
        const char *trouble;   /* why the last look saw nothing, or NULL */
        json_t *devices;       /* as of the last look */
        json_t *before;        /* name: what was last said of it, where there is no screen */
        json_t *fresh;         /* findings that came since the beginning, the newest last, at most NEW_MAX */
        uint64_t newest_id;
        bool began, json, screen, colour;
};

/* Saved screen and cursor, as every terminal since the VT220 and xterm has them. */
static const char screen_begin[] = "\033[?1049h\033[?25l", screen_end[] = "\033[?25h\033[?1049l";

static void end_screen(int signal_number) {
        (void)signal_number;
        ssize_t written = write(STDOUT_FILENO, screen_end, strlen(screen_end));
        (void)written; /* there is nobody left to tell */
        _exit(STATUS_FINE);
}

static void wake(int signal_number) {
        (void)signal_number; /* the sleep is over; the screen is drawn for its new size */
}

static void begin_screen(void) {
        struct sigaction ending = { .sa_handler = end_screen }, resized = { .sa_handler = wake };
        sigaction(SIGINT, &ending, NULL);
        sigaction(SIGTERM, &ending, NULL);
        sigaction(SIGHUP, &ending, NULL);
        sigaction(SIGWINCH, &resized, NULL);
        fputs(screen_begin, stdout);
}

/* All items of a call's replies, or NULL and trouble. */
static json_t *ask_all(struct watch *w, const char *method, json_t *parameters, const char *field) {
        CLEANUP_JSON json_t *owned = must(parameters), *all = must(json_array());
        w->trouble = "sweepd does not answer";
        if (client_send(w->client, method, owned, true) != CLIENT_OK)
                return NULL;
        for (bool continues = true; continues;) {
                CLEANUP(reply_deinit)
                struct reply reply = { 0 };
                if (client_receive(w->client, &reply) != CLIENT_OK)
                        return NULL;
                if (reply.error) {
                        bool gone = strcmp(reply.error, "io.sweepd.NoSuchDevice") == 0;
                        w->trouble = gone ? "the device left the configuration" : "sweepd answers with an error";
                        return NULL;
                }
                json_t *item = json_object_get(reply.parameters, field);
                if (json_is_object(item))
                        must_succeed(json_array_append_new(all, w->json ? json_incref(item) : printable_json(item)));
                continues = reply.continues;
        }
        w->trouble = NULL;
        return STEAL(all);
}

static void add_fresh(struct watch *w, json_t *findings) {
        for (size_t i = 0; i < json_array_size(findings); i++) {
                json_t *finding = json_array_get(findings, i);
                w->newest_id = MAX(w->newest_id, field_count(finding, "id"));
                if (w->began)
                        must_succeed(json_array_append(w->fresh, finding));
        }
}

/* With trouble, all else is as of the look before. */
static void look(struct watch *w) {
        if (!w->client && client_open(&w->client, w->socket_path) < 0) {
                w->trouble = "sweepd is not running";
                return;
        }
        json_t *parameters = ctl_for_device(w->device);
        must_succeed(json_object_set_new(parameters, "after", json_integer((json_int_t)w->newest_id)));
        json_t *devices = ask_all(w, "io.sweepd.ListDevices", ctl_for_device(w->device), "device");
        CLEANUP_JSON json_t *findings = devices ? ask_all(w, "io.sweepd.ListFindings", parameters, "finding") : NULL;
        if (!findings) {
                json_decref(devices);
                w->client = client_free(w->client);
                return;
        }
        json_decref(w->devices);
        w->devices = devices;
        add_fresh(w, findings);
        w->began = true;
}

static void describe_finding(char to[static LINE_BYTES], const json_t *finding) {
        char seen[TIME_TEXT_BYTES], place[PLACE_TEXT_BYTES];
        field_time_short(seen, finding, "first_seen_at", "?");
        page_place(place, field_count(finding, "offset"));
        text_format(to, LINE_BYTES, "%s  finding %" PRIu64 "  %s  %s at %s, %s", seen, field_count(finding, "id"),
                field_text_or(finding, "device", "?"), field_text_or(finding, "fault", "?"), place,
                field_text_or(finding, "text", ""));
}

/* Behind the bar: how fast, how long still, or else the verdict; and what is wrong. */
static void describe_pace(char to[static LINE_BYTES], const json_t *device) {
        const json_t *progress = field_object(device, "progress");
        char rate[PLACE_TEXT_BYTES], left[64], verdict[VERDICT_TEXT_BYTES];
        uint64_t eta_us, now_us = clock_wall_us();
        to[0] = '\0';
        if (progress) {
                field_size(rate, progress, "rate", "?");
                text_append(to, LINE_BYTES, "%s/s", rate);
                if (field_number(progress, "eta_at", &eta_us)) {
                        text_format_span(left, sizeof left, eta_us > now_us ? eta_us - now_us : 0);
                        text_append(to, LINE_BYTES, ", %s left", left);
                }
        } else {
                field_verdict(verdict, device);
                text_append(to, LINE_BYTES, "%s", verdict);
        }
        uint64_t open = field_count(device, "findings_open");
        if (open > 0)
                text_append(to, LINE_BYTES, ", %" PRIu64 " finding%s", open, open == 1 ? "" : "s");
        if (field_true(device, "overdue"))
                text_append(to, LINE_BYTES, ", overdue");
}

/* The same, and why it does not go on. */
static void describe_rest(char to[static LINE_BYTES], const json_t *device) {
        const json_t *reason = field_object(device, "reason");
        describe_pace(to, device);
        if (reason)
                text_append(to, LINE_BYTES, "; %s", field_text_or(reason, "found", field_text_or(reason, "rule", "?")));
}

static void bar(char *to, size_t to_bytes, size_t columns, int percent) {
        size_t full = columns * (size_t)percent / 100;
        text_copy(to, to_bytes, "[");
        for (size_t i = 0; i < columns; i++)
                text_append(to, to_bytes, "%s", i < full ? "#" : "-");
        text_append(to, to_bytes, "]");
}

/* One line of the screen, cut off at its width. */
static void put_line(FILE *to, const struct watch *w, enum paint paint, size_t width, char *text) {
        text[printable_bytes(text, width)] = '\0';
        paint_text(to, w->colour, paint, text);
        fputs("\033[K\n", to);
}

/* What all lines of devices have in common, so that they can be compared. */
struct layout {
        size_t width, name_columns;
        size_t bar_columns; /* 0: there is none */
        bool phases;
};

/* As far as the percents: name, state and bar. */
static void describe_way(char to[static LINE_BYTES], const struct layout *l, const json_t *device) {
        const char *name = field_text_or(device, "name", "?");
        int percent = field_percent(field_object(device, "progress"));
        char done[BAR_MAX + 16] = "";
        text_format(to, LINE_BYTES, "%s%*s  %-10s  ", name,
                (int)(l->name_columns - MIN(printable_columns(name), l->name_columns)), "",
                field_text_or(device, "state", "?"));
        if (percent < 0)
                return;
        if (l->bar_columns > 0)
                bar(done, sizeof done, l->bar_columns, percent);
        text_append(to, LINE_BYTES, "%s%s%3d %% ", done, done[0] ? " " : "", percent);
}

static void put_device(FILE *to, const struct watch *w, const struct layout *l, const json_t *device) {
        const json_t *progress = field_object(device, "progress");
        char line[LINE_BYTES], rest[LINE_BYTES];
        describe_way(line, l, device);
        describe_rest(rest, device);
        if (l->phases && field_percent(progress) >= 0)
                text_append(line, sizeof line, "%s, ", field_text_or(progress, "phase", "?"));
        text_append(line, sizeof line, "%s", rest);
        put_line(to, w, severity_paint(device), l->width, line);
}

/* Of the lines of devices at work: how many columns are too many for the longest one; below zero: left over. */
static long columns_too_many(const struct layout *l, const json_t *devices, size_t count) {
        long most = LONG_MIN;
        for (size_t i = 0; i < count; i++) {
                const json_t *device = json_array_get(devices, i), *progress = field_object(device, "progress");
                char way[LINE_BYTES], pace[LINE_BYTES];
                if (field_percent(progress) < 0)
                        continue;
                describe_way(way, l, device);
                describe_pace(pace, device);
                size_t phase = l->phases ? printable_columns(field_text_or(progress, "phase", "?")) + 2 : 0;
                long columns = (long)(printable_columns(way) + phase + printable_columns(pace));
                most = MAX(most, columns - (long)l->width);
        }
        return most;
}

/* Before the rate, the time left, or what is wrong leave a line, its phase does, and then its bar. */
static void lay_out(struct layout *l, const json_t *devices, size_t count) {
        l->bar_columns = MIN(MAX(l->width / 5, (size_t)BAR_MIN), (size_t)BAR_MAX);
        l->phases = true;
        if (columns_too_many(l, devices, count) <= 0)
                return;
        l->phases = false;
        long over = columns_too_many(l, devices, count);
        if (over > 0)
                l->bar_columns = (long)l->bar_columns - over >= BAR_LEAST ? l->bar_columns - (size_t)over : 0;
}

static void put_devices(FILE *to, const struct watch *w, size_t width, size_t lines) {
        size_t count = json_array_size(w->devices);
        struct layout l = { .width = width };
        CLEANUP_JSON json_t *sorted = severity_sorted(w->devices);
        for (size_t i = 0; i < count; i++)
                l.name_columns = MAX(
                        l.name_columns, printable_columns(field_text_or(json_array_get(sorted, i), "name", "?")));
        l.name_columns = MIN(l.name_columns, (size_t)NAME_COLUMNS_MAX);
        size_t room = count <= lines ? count : lines - 1; /* the last line tells how many there are besides */
        lay_out(&l, sorted, room);
        for (size_t i = 0; i < room; i++)
                put_device(to, w, &l, json_array_get(sorted, i));
        char line[LINE_BYTES];
        text_format(line, sizeof line, "... and %zu more: sweepctl status", count - room);
        if (room < count)
                put_line(to, w, PAINT_DIM, width, line);
}

static void put_fresh(FILE *to, const struct watch *w, size_t width) {
        char line[LINE_BYTES];
        if (json_array_size(w->fresh) == 0)
                return;
        fputs("\033[K\n", to);
        for (size_t i = 0; i < json_array_size(w->fresh); i++) {
                describe_finding(line, json_array_get(w->fresh, i));
                put_line(to, w, PAINT_WARNING, width, line);
        }
}

/* As one write, so that it does not flicker. */
static void draw(const struct watch *w) {
        CLEANUP_FREE char *frame = NULL;
        size_t frame_bytes, width = page_width(), fresh = json_array_size(w->fresh), attention = 0;
        FILE *to = must(open_memstream(&frame, &frame_bytes));
        char line[LINE_BYTES], time[TIME_TEXT_BYTES];
        for (size_t i = 0; i < json_array_size(w->devices); i++)
                attention += field_true(json_array_get(w->devices, i), "needs_attention");
        page_time(time, clock_wall_us());
        text_format(line, sizeof line, "%s  %zu device%s, %zu need%s attention", time, json_array_size(w->devices),
                json_array_size(w->devices) == 1 ? "" : "s", attention, attention == 1 ? "s" : "");
        fputs("\033[H", to);
        put_line(to, w, PAINT_DIM, width, line);
        text_format(line, sizeof line, "%s%s", w->trouble ? w->trouble : "", w->trouble ? "; this is as it was" : "");
        put_line(to, w, PAINT_ALARM, width, line); /* empty, it is a gap */
        size_t used = 3 + (fresh ? fresh + 1 : 0), lines = page_lines();
        put_devices(to, w, width, lines > used + 2 ? lines - used : 2);
        put_fresh(to, w, width);
        fputs("\033[J", to);
        must_succeed(fclose(to));
        fwrite(frame, 1, frame_bytes, stdout);
}

static void print_document(const char *field, json_t *record) {
        CLEANUP_JSON json_t *document = must(json_pack("{s:O}", field, record));
        CLEANUP_FREE char *text = must(json_dumps(document, JSON_COMPACT | JSON_ENSURE_ASCII));
        puts(text);
}

/*
 * Whether there is something new to say of a device. Its state, verdict and findings are told at once; its phase, and
 * another tenth of the way, seldom: with small segments the phase changes each second, and the log is kept.
 */
static bool has_changed(struct watch *w, const json_t *device, uint64_t now_us) {
        const json_t *progress = field_object(device, "progress");
        const char *name = field_text_or(device, "name", "?");
        const json_t *before = field_object(w->before, name);
        char verdict[VERDICT_TEXT_BYTES], matter[LINE_BYTES], way[LINE_BYTES];
        field_verdict(verdict, device);
        text_format(matter, sizeof matter, "%s %s %" PRIu64, field_text_or(device, "state", "?"), verdict,
                field_count(device, "findings_open"));
        text_format(
                way, sizeof way, "%s %d", field_text_or(progress, "phase", ""), field_percent(progress) / STEP_PERCENT);
        bool matters = !field_is(before, "matter", matter);
        bool lately = now_us - field_count(before, "at") < STEP_LEAST_US;
        if (!matters && (lately || field_is(before, "way", way)))
                return false;
        json_t *now = json_pack("{s:s, s:s, s:I}", "matter", matter, "way", way, "at", (json_int_t)now_us);
        must_succeed(json_object_set_new(w->before, name, must(now)));
        return true;
}

static void print_device(const struct watch *w, json_t *device) {
        const json_t *progress = field_object(device, "progress");
        char rest[LINE_BYTES], time[TIME_TEXT_BYTES], done[64] = "";
        if (w->json) {
                print_document("device", device);
                return;
        }
        describe_rest(rest, device);
        page_time(time, clock_wall_us());
        if (field_percent(progress) >= 0)
                text_format(done, sizeof done, "%s, %d %%, ", field_text_or(progress, "phase", "?"),
                        field_percent(progress));
        printf("%s  %s  %s, %s%s\n", time, field_text_or(device, "name", "?"), field_text_or(device, "state", "?"),
                done, rest);
}

static void print_news(struct watch *w) {
        char line[LINE_BYTES];
        for (size_t i = 0; i < json_array_size(w->devices); i++)
                if (has_changed(w, json_array_get(w->devices, i), clock_monotonic_us()))
                        print_device(w, json_array_get(w->devices, i));
        for (size_t i = 0; i < json_array_size(w->fresh); i++) {
                json_t *finding = json_array_get(w->fresh, i);
                describe_finding(line, finding);
                if (w->json)
                        print_document("finding", finding);
                else
                        puts(line);
        }
        must_succeed(json_array_clear(w->fresh));
}

static void show(struct watch *w) {
        while (w->screen && json_array_size(w->fresh) > NEW_MAX)
                must_succeed(json_array_remove(w->fresh, 0));
        if (w->screen)
                draw(w);
        else if (!w->trouble)
                print_news(w);
}

/* A device that is not configured, or a socket that may not be used, is said at once. */
static bool first_look(struct ctl *ctl, const char *device) {
        CLEANUP_JSON json_t *devices = NULL;
        return ctl_list(ctl, "ListDevices", ctl_for_device(device), "device", &devices);
}

int command_watch(struct ctl *ctl, const struct arguments *arguments) {
        if (!first_look(ctl, arguments->device))
                return STATUS_FAILED;
        struct watch w = {
                .socket_path = ctl->socket_path,
                .device = arguments->device,
                .devices = must(json_array()),
                .before = must(json_object()),
                .fresh = must(json_array()),
                .json = ctl->json,
                .screen = !ctl->json && paint_possible(STDOUT_FILENO),
                .colour = paint_wanted(STDOUT_FILENO),
        };
        if (w.screen)
                begin_screen();
        for (const char *told = NULL;;) {
                look(&w);
                if (!w.screen && w.trouble != told)
                        fprintf(stderr, "sweepctl: %s\n", w.trouble ? w.trouble : "sweepd answers again");
                told = w.trouble;
                show(&w);
                if (fflush(stdout) != 0)
                        return ctl_complain("cannot write the answer: %s", strerror(errno));
                nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
        }
}
