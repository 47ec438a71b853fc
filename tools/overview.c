/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one screen that people look at. It must not look better than things are, and what is wrong must not scroll away
 * behind what is well: the worst comes first, what does not fit is folded into a list of names, the good ones before
 * all others, and no device is ever left out without being counted.
 */
#include "overview.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "ctl.h"
#include "daemon_facts.h"
#include "field.h"
#include "must.h"
#include "page.h"
#include "paint.h"
#include "printable.h"
#include "remedy.h"
#include "severity.h"
#include "table.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* LINES_ELSEWHERE: what counts as a screen where there is none. LINES_LOW: below, the daemon takes no more lines than
 * it must. ROWS_LEAST: these are not folded before anything else is. */
enum {
        ATTENTION_LINES_LEAST = 4,
        CELL_BYTES = 128,
        LABEL_BYTES = 192,
        LINES_ELSEWHERE = 60,
        LINES_LEAST = 20,
        LINES_LOW = 40,
        NAMES_INDENT = 2,
        NAMES_LINES_ELSEWHERE = 8,
        ROWS_LEAST = 5
};

DEFINE_FREEP(struct table, table_free, table_freep)

/* Text that is laid out before it is known whether it is shown. */
struct part {
        char *text;
        size_t bytes, lines;
};

struct overview {
        json_t *sorted;
        const json_t *worst; /* findings by the names of their devices */
        size_t width;
        size_t counts[SEVERITY_GOOD + 1];
        bool colour;
};

/* How much of the devices is shown. */
struct layout {
        size_t rows;                          /* the first ones have a line each */
        size_t name_lines[SEVERITY_GOOD + 1]; /* of each group of the others, at most */
};

static FILE *part_open(struct part *p) {
        *p = (struct part){ 0 };
        return must(open_memstream(&p->text, &p->bytes));
}

static void part_close(struct part *p, FILE *to) {
        must_succeed(fclose(to));
        for (const char *at = p->text; (at = strchr(at, '\n')); at++)
                p->lines++;
}

static void part_deinit(struct part *p) {
        free(p->text);
}

static void add_device_row(struct table *table, const json_t *device) {
        char state[CELL_BYTES], verdict[VERDICT_TEXT_BYTES], open[CELL_BYTES];
        char swept[TIME_TEXT_BYTES], next[TIME_TEXT_BYTES];
        const json_t *identity = field_object(device, "identity");
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
                        verdict, swept, open, next, field_text_or(identity, "slot", "-"),
                        field_text_or(identity, "serial", "-") });
        table_paint(table, severity_paint(device));
}

/* The first ones have a line each. */
static void show_table(const struct overview *o, size_t rows, FILE *to) {
        static const struct column columns[] = { { "DEVICE", COLUMN_KEY }, { "MODE", COLUMN_PLAIN },
                { "STATE", COLUMN_PLAIN }, { "VERDICT", COLUMN_PLAIN }, { "SWEPT", COLUMN_PLAIN },
                { "OPEN", COLUMN_PLAIN }, { "NEXT", COLUMN_OPTIONAL }, { "SLOT", COLUMN_OPTIONAL },
                { "SERIAL", COLUMN_OPTIONAL } };
        CLEANUP(table_freep)
        struct table *table = table_new(columns, ELEMENTS(columns));
        for (size_t i = 0; i < rows; i++)
                add_device_row(table, json_array_get(o->sorted, i));
        if (rows > 0)
                table_print(table, to, o->width);
}

/* What is alike in the devices of a group. */
static void label_of(char to[static LABEL_BYTES], const json_t *device) {
        char verdict[VERDICT_TEXT_BYTES];
        field_verdict(verdict, device);
        text_format(to, LABEL_BYTES, "%s, %s%s", field_text_or(device, "state", "?"), verdict,
                field_true(device, "needs_attention") ? ", needs attention" : "");
}

static bool is_in_group(const json_t *device, const char *label) {
        char own[LABEL_BYTES];
        label_of(own, device);
        return strcmp(own, label) == 0;
}

/* The devices of a group, from the one at `first` on. A new reference. */
static json_t *group_new(const struct overview *o, size_t first, const char *label) {
        json_t *group = must(json_array());
        for (size_t i = first; i < json_array_size(o->sorted); i++)
                if (is_in_group(json_array_get(o->sorted, i), label))
                        must_succeed(json_array_append(group, json_array_get(o->sorted, i)));
        return group;
}

static const char *name_of(const json_t *group, size_t i) {
        return field_text_or(json_array_get(group, i), "name", "?");
}

/* How many names fit into so many lines, of which the last one has this much to hold besides. */
static size_t names_fitting(const json_t *group, size_t width, size_t lines, size_t besides) {
        size_t line = 1, at = NAMES_INDENT, count = json_array_size(group);
        for (size_t i = 0; i < count; i++) {
                size_t columns = printable_columns(name_of(group, i));
                if (at > NAMES_INDENT && at + 1 + columns > width) {
                        line++;
                        at = NAMES_INDENT;
                }
                at += (at > NAMES_INDENT) + columns;
                if (line > lines || (line == lines && at + besides > width))
                        return i;
        }
        return count;
}

/* How many there are, what is alike in them, and when they were swept. */
static void describe_group(char *to, size_t to_bytes, const json_t *group, const char *label) {
        uint64_t oldest_us = UINT64_MAX;
        size_t count = json_array_size(group);
        char since[TIME_TEXT_BYTES] = "";
        for (size_t i = 0; i < count; i++)
                oldest_us = MIN(oldest_us, field_count(json_array_get(group, i), "last_sweep_ended_at"));
        if (oldest_us > 0)
                page_time_short(since, oldest_us, clock_wall_us());
        const char *swept = !since[0] ? "" : count == 1 ? ", swept " : ", all swept since ";
        text_format(to, to_bytes, "%zu %s%s%s:", count, label, swept, since);
}

/* In one line where it fits: a group of one takes no more of them folded than it did in the table. */
static void show_group(const struct overview *o, const json_t *group, const char *label, size_t lines, FILE *to) {
        CLEANUP_FREE char *text = NULL;
        size_t bytes, count = json_array_size(group), named = names_fitting(group, o->width, lines, 0);
        if (named < count)
                named = names_fitting(group, o->width, lines, strlen(" and 1234567 more"));
        FILE *names = must(open_memstream(&text, &bytes));
        for (size_t i = 0; i < named; i++)
                fprintf(names, " %s", name_of(group, i));
        if (named < count)
                fprintf(names, " and %zu more", count - named);
        must_succeed(fclose(names));
        char heading[LABEL_BYTES + TIME_TEXT_BYTES + CELL_BYTES];
        describe_group(heading, sizeof heading, group, label);
        if (printable_columns(heading) + printable_columns(text) <= o->width) {
                fprintf(to, "%s%s\n", heading, text);
                return;
        }
        page_text(to, o->width, 0, NAMES_INDENT, heading);
        page_text(to, o->width, NAMES_INDENT, NAMES_INDENT, text);
}

/* Those behind the first ones have no line of their own. */
static void show_folded(const struct overview *o, const struct layout *l, FILE *to) {
        CLEANUP_JSON json_t *told = must(json_object());
        for (size_t i = l->rows; i < json_array_size(o->sorted); i++) {
                char label[LABEL_BYTES];
                const json_t *device = json_array_get(o->sorted, i);
                label_of(label, device);
                if (json_object_get(told, label))
                        continue;
                must_succeed(json_object_set_new(told, label, json_true()));
                CLEANUP_JSON json_t *group = group_new(o, i, label);
                show_group(o, group, label, l->name_lines[severity_class_of(device)], to);
        }
        if (l->rows < json_array_size(o->sorted))
                page_text(to, o->width, 0, 2, "A line for each: sweepctl status --all");
}

/* Where the disk is, and who feels it. */
static void show_whereabouts(const json_t *device, FILE *to, size_t width) {
        static const char *const fields[][2] = { { "slot", "slot " }, { "model", "" }, { "serial", "serial " },
                { "backing_file", "" } };
        const json_t *identity = field_object(device, "identity");
        const json_t *users = json_object_get(identity, "users");
        const char *path = field_text_or(device, "path", "path unknown"); /* of a file it is the backing file, too */
        char text[2048];
        text_copy(text, sizeof text, path);
        for (size_t i = 0; i < ELEMENTS(fields); i++)
                if (field_text(identity, fields[i][0]) && strcmp(field_text(identity, fields[i][0]), path) != 0)
                        text_append(text, sizeof text, ", %s%s", fields[i][1], field_text(identity, fields[i][0]));
        page_fact(to, width, "  which", "%s", text);
        text[0] = '\0';
        for (size_t i = 0; i < json_array_size(users); i++) {
                const char *user = json_string_value(json_array_get(users, i));
                text_append(text, sizeof text, "%s%s", i ? ", " : "", user ? user : "?");
        }
        if (text[0])
                page_fact(to, width, "  in use", "%s", text);
}

/* What is worst, whether it lasts, since when, and what to do. */
static void show_worst(const struct overview *o, const char *name, FILE *to) {
        char since[TIME_TEXT_BYTES], remedy[REMEDY_TEXT_BYTES];
        const json_t *finding = field_object(o->worst, name);
        if (!finding)
                return;
        uint64_t count = field_count(finding, "count");
        field_time_short(since, finding, "first_seen_at", "unknown");
        page_fact(to, o->width, "  worst", "%s, %s, since %s, seen %" PRIu64 " time%s: finding %" PRIu64,
                field_text_or(finding, "fault", "?"), field_text_or(finding, "persistence", "?"), since, count,
                count == 1 ? "" : "s", field_count(finding, "id"));
        remedy_text(remedy, finding);
        if (remedy[0])
                page_fact(to, o->width, "  what to do", "%s", remedy);
}

__attribute__((format(printf, 3, 4))) static void put_line(
        const struct overview *o, FILE *to, const char *format, ...) {
        va_list arguments;
        va_start(arguments, format);
        CLEANUP_FREE char *text = must_format(format, arguments);
        va_end(arguments);
        page_text(to, o->width, 2, 4, text);
}

/* Why a device needs attention, and the next command to type. */
static void show_attention(const struct overview *o, const json_t *device, FILE *to) {
        const char *name = field_text_or(device, "name", "?");
        const json_t *reason = field_object(device, "reason");
        uint64_t open = field_count(device, "findings_open");
        bool overdue = field_true(device, "overdue");
        char line[LABEL_BYTES];
        text_format(line, sizeof line, "%s needs attention:", name);
        fputc('\n', to);
        paint_text(to, o->colour, PAINT_ALARM, line);
        fputc('\n', to);
        if (open > 0) {
                put_line(o, to, "%" PRIu64 " open finding%s: sweepctl errors %s", open, open == 1 ? "" : "s", name);
                show_worst(o, name, to);
        }
        if (overdue) {
                char due[TIME_TEXT_BYTES];
                field_time(due, device, "next_due_at", "a time unknown");
                put_line(o, to, "overdue: the next sweep was due at %s", due);
        }
        if (reason) {
                put_line(o, to, "%s (rule %s)", field_text_or(device, "state", "?"),
                        field_text_or(reason, "rule", "unknown"));
                page_fact(to, o->width, "  found", "%s", field_text_or(reason, "found", "-"));
                page_fact(to, o->width, "  what to do", "%s", field_text_or(reason, "remedy", "-"));
        }
        if (open == 0 && !overdue && !reason)
                put_line(o, to, "%s: sweepctl status %s", field_text_or(device, "state", "?"), name);
        show_whereabouts(device, to, o->width);
}

/* As many as fit into these lines, but the worst one always; the others are counted. */
static void show_attentions(const struct overview *o, size_t lines) {
        size_t count = o->counts[SEVERITY_ATTENTION];
        for (size_t i = 0; i < count; i++) {
                CLEANUP(part_deinit)
                struct part part;
                FILE *to = part_open(&part);
                show_attention(o, json_array_get(o->sorted, i), to);
                part_close(&part, to);
                size_t needed = part.lines + (i + 1 < count ? 2 : 0);
                if (i > 0 && needed > lines) {
                        char line[LABEL_BYTES];
                        text_format(line, sizeof line,
                                "%zu more need%s attention: sweepctl status DEVICE, or sweepctl status --all",
                                count - i, count - i == 1 ? "s" : "");
                        putchar('\n');
                        page_text(stdout, o->width, 0, 2, line);
                        return;
                }
                fputs(part.text, stdout);
                lines -= MIN(part.lines, lines);
        }
}

/* The lines that it takes to tell of all, or of the worst one, that needs attention. */
static size_t attention_lines(const struct overview *o, size_t count_max) {
        size_t lines = 0, count = o->counts[SEVERITY_ATTENTION];
        for (size_t i = 0; i < MIN(count, count_max); i++) {
                CLEANUP(part_deinit)
                struct part part;
                FILE *to = part_open(&part);
                show_attention(o, json_array_get(o->sorted, i), to);
                part_close(&part, to);
                lines += part.lines;
        }
        return lines + (count > count_max ? 2 : 0);
}

static void show_head(const struct overview *o, const json_t *daemon, bool brief, FILE *to) {
        size_t count = json_array_size(o->sorted), needed = o->counts[SEVERITY_ATTENTION];
        daemon_show_facts(daemon, brief, to, o->width);
        if (count > 0)
                page_fact(to, o->width, "devices",
                        "%zu: %zu need%s attention, %zu at work or doubtful, %zu idle and sound", count, needed,
                        needed == 1 ? "s" : "", o->counts[SEVERITY_BUSY], o->counts[SEVERITY_GOOD]);
        daemon_show_attention(daemon, false, to, o->width);
        fputc('\n', to);
}

/* The devices, some of them in lines and the others folded, in place of an earlier attempt. */
static void lay_out(const struct overview *o, const struct layout *l, struct part *part) {
        part_deinit(part);
        FILE *to = part_open(part);
        show_table(o, l->rows, to);
        show_folded(o, l, to);
        part_close(part, to);
}

/* What goes to a file or another program keeps its names. */
static bool fewer_names(struct layout *l, enum severity_class class) {
        if (page_lines() == 0 || l->name_lines[class] <= 1)
                return false;
        l->name_lines[class]--;
        return true;
}

/* Whatever needs no attention: the lines of the good ones go first, then most of their names, and so on with those at
 * work. False: nothing is left to fold. */
static bool fold_others(const struct overview *o, struct layout *l) {
        size_t needed = o->counts[SEVERITY_ATTENTION], busy = o->counts[SEVERITY_BUSY];
        if (l->rows > needed + busy) {
                l->rows = needed + busy;
                return true;
        }
        if (fewer_names(l, SEVERITY_GOOD))
                return true;
        if (l->rows > MAX(needed, (size_t)ROWS_LEAST)) {
                l->rows = MAX(needed, (size_t)ROWS_LEAST);
                return true;
        }
        return fewer_names(l, SEVERITY_BUSY);
}

/* The least that is left on a low screen is the worst one, with a count of all others. */
static bool fold_attention(struct layout *l, size_t lines_too_many) {
        if (l->rows > ROWS_LEAST) {
                l->rows = MAX(l->rows - MIN(l->rows, lines_too_many), (size_t)ROWS_LEAST);
                return true;
        }
        if (fewer_names(l, SEVERITY_ATTENTION))
                return true;
        if (page_lines() == 0 || l->rows <= 1)
                return false;
        l->rows--;
        return true;
}

static struct layout layout_unfolded(const struct overview *o) {
        struct layout l = { .rows = json_array_size(o->sorted) };
        for (size_t i = 0; i < ELEMENTS(l.name_lines); i++)
                l.name_lines[i] = page_lines() > 0 ? page_lines() : NAMES_LINES_ELSEWHERE;
        return l;
}

/* So many of those that need attention are to be told in full, too. False: that does not fit. */
static bool fit(const struct overview *o, size_t room, size_t attention_max, struct part *part) {
        struct layout l = layout_unfolded(o);
        bool least = attention_max == 1;
        size_t below = attention_lines(o, attention_max);
        for (;;) {
                lay_out(o, &l, part);
                if (part->lines + below <= room)
                        return true;
                if (!fold_others(o, &l) && !(least && fold_attention(&l, part->lines + below - room)))
                        return false;
        }
}

static void show_devices(const struct overview *o, size_t room) {
        CLEANUP(part_deinit)
        struct part part = { 0 };
        if (!fit(o, room, SIZE_MAX, &part))
                (void)fit(o, room, 1, &part); /* the least there is */
        fputs(part.text, stdout);
        show_attentions(o, room - MIN(room, part.lines));
}

static size_t room_for_all(void) {
        size_t lines = page_lines();
        /* One for the prompt; and less -F stops at a text from a pipe that leaves no other one free. */
        return lines < LINES_LEAST + 2 ? (lines ? LINES_LEAST : LINES_ELSEWHERE) : lines - 2;
}

size_t overview_told_max(bool all) {
        return all ? SIZE_MAX : room_for_all() / ATTENTION_LINES_LEAST;
}

void overview_show(const json_t *daemon, const json_t *devices, const json_t *worst, bool all) {
        CLEANUP_JSON json_t *sorted = severity_sorted(devices);
        struct overview o = {
                .sorted = sorted, .worst = worst, .width = page_width(), .colour = paint_wanted(page_output())
        };
        for (size_t i = 0; i < json_array_size(sorted); i++)
                o.counts[severity_class_of(json_array_get(sorted, i))]++;
        bool fine = o.counts[SEVERITY_ATTENTION] == 0 && !daemon_needs_attention(daemon, false);
        size_t room = room_for_all();
        CLEANUP(part_deinit)
        struct part head;
        FILE *to = part_open(&head);
        show_head(&o, daemon, !all && page_lines() > 0 && room < MIN(LINES_LOW, json_array_size(sorted)), to);
        part_close(&head, to);
        fputs(head.text, stdout);
        size_t used = head.lines + (fine ? 2 : 0);
        if (json_array_size(sorted) == 0)
                page_text(stdout, o.width, 0, 0,
                        "There are no devices. Add some to /etc/sweepd/sweepd.conf (sudo sweepd --list-disks prints "
                        "entries) and run: sweepctl reload");
        else
                show_devices(&o, all ? SIZE_MAX : room - MIN(room, used));
        if (fine && json_array_size(sorted) > 0) {
                fputc('\n', stdout);
                paint_text(stdout, o.colour, PAINT_GOOD, "Nothing needs attention.");
                fputc('\n', stdout);
        }
}
