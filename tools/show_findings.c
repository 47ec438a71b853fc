/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A finding is worth what it says about the place: the exact byte, how lasting it is, how often it was seen. Rounded
 * sizes alone can't be fed to another tool, so the exact number always stands beside them.
 */
#include "commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "field.h"
#include "must.h"
#include "page.h"
#include "printable.h"
#include "remedy.h"
#include "table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { HEX_ROW_BYTES = 8, NUMBER_BYTES = 24, SAMPLE_LINE_BYTES = 128 };

DEFINE_FREEP(struct table, table_free, table_freep)

/* A slow answer is a warning: by itself it needs nobody's attention. */
static bool needs_attention(const json_t *finding) {
        return field_is(finding, "state", "open") && !field_is(finding, "fault", "slow");
}

static void add_finding_row(struct table *table, const json_t *finding) {
        char id[NUMBER_BYTES], offset[PLACE_TEXT_BYTES], length[PLACE_TEXT_BYTES];
        char first[TIME_TEXT_BYTES], seen[TIME_TEXT_BYTES];
        uint64_t count = field_count(finding, "count");
        text_format(id, sizeof id, "%" PRIu64, field_count(finding, "id"));
        page_place(offset, field_count(finding, "offset"));
        field_size(length, finding, "length", "?");
        field_time_short(first, finding, "first_seen_at", "?");
        field_time_short(seen, finding, "last_seen_at", "?");
        table_add(table,
                (const char *const[]){ id, field_text_or(finding, "device", "?"), offset, length,
                        field_text_or(finding, "fault", "?"), field_text_or(finding, "persistence", "?") });
        char note[1024];
        const char *state = field_text_or(finding, "state", "?");
        bool open = strcmp(state, "open") == 0;
        const char *comment = field_text(finding, "comment");
        text_format(note, sizeof note, "%s%sfirst seen %s, last seen %s, seen %" PRIu64 " time%s. %s%s%s",
                open ? "" : state, open ? "" : ", ", first, seen, count, count == 1 ? "" : "s",
                field_text_or(finding, "text", ""), comment ? ". Comment: " : "", comment ? comment : "");
        table_note(table, note);
}

static void show_findings(const json_t *findings) {
        static const struct column columns[] = { { "ID", COLUMN_PLAIN }, { "DEVICE", COLUMN_KEY },
                { "OFFSET", COLUMN_KEY }, { "LENGTH", COLUMN_PLAIN }, { "FAULT", COLUMN_PLAIN },
                { "PERSISTENCE", COLUMN_PLAIN } };
        CLEANUP(table_freep)
        struct table *table = table_new(columns, ELEMENTS(columns));
        for (size_t i = 0; i < json_array_size(findings); i++)
                add_finding_row(table, json_array_get(findings, i));
        table_print(table, stdout, page_width());
        putchar('\n');
        page_text(stdout, page_width(), 0, 2, "One in full: sweepctl finding ID");
}

static int errors_status(const json_t *findings) {
        for (size_t i = 0; i < json_array_size(findings); i++)
                if (needs_attention(json_array_get(findings, i)))
                        return STATUS_ATTENTION;
        return STATUS_FINE;
}

int command_errors(struct ctl *ctl, const struct arguments *arguments) {
        CLEANUP_JSON json_t *findings = NULL;
        json_t *parameters = ctl_for_device(arguments->device);
        if (arguments->all)
                must_succeed(json_object_set_new(parameters, "all", json_true()));
        if (!ctl_list(ctl, "ListFindings", parameters, "finding", &findings))
                return STATUS_FAILED;
        if (ctl->json)
                ctl_print_document(json_pack("{s:O}", "findings", findings));
        else if (json_array_size(findings) > 0)
                show_findings(findings);
        else
                printf("No %sfindings%s%s.\n", arguments->all ? "" : "open ", arguments->device ? " of " : "",
                        arguments->device ? arguments->device : "");
        return errors_status(findings);
}

static int hex_digit(char c) {
        static const char digits[] = "0123456789abcdef";
        const char *at = c ? strchr(digits, c | 0x20) : NULL;
        return at ? (int)(at - digits) : -1;
}

/* False: the text is not pairs of hexadecimal digits. */
static bool is_hex(const char *text) {
        for (; *text; text += 2)
                if (hex_digit(text[0]) < 0 || hex_digit(text[1]) < 0)
                        return false;
        return true;
}

/* A row of bytes, from `at` on, as " 00 11 22"; shorter where there are no more. */
static void format_hex(char *to, size_t to_bytes, const char *text, size_t length, size_t at) {
        to[0] = '\0';
        for (size_t i = at; i < at + HEX_ROW_BYTES && 2 * i < length; i++)
                text_append(to, to_bytes, " %.2s", text + 2 * i);
}

/* As the characters that they are, where they are some: what somebody wrote is known by them. */
static void format_characters(char to[static HEX_ROW_BYTES + 1], const char *text, size_t length, size_t at) {
        size_t n = 0;
        for (size_t i = at; i < at + HEX_ROW_BYTES && 2 * i < length; i++) {
                int c = 16 * hex_digit(text[2 * i]) + hex_digit(text[2 * i + 1]);
                to[n++] = (char)(c >= 0x20 && c < 0x7f ? c : '.');
        }
        to[n] = '\0';
}

static void print_cut(char *line, size_t width) {
        line[printable_bytes(line, width)] = '\0';
        puts(line);
}

/* first: where on the device the first byte is. */
static void show_sample(const char *expected, const char *found, uint64_t first, size_t width) {
        size_t expected_length = strlen(expected), found_length = strlen(found);
        size_t bytes = MAX(expected_length, found_length) / 2;
        char line[SAMPLE_LINE_BYTES];
        text_format(line, sizeof line, "%13s %-*s   %s", "at byte", 3 * HEX_ROW_BYTES, " expected", " found");
        putchar('\n');
        print_cut(line, width);
        for (size_t at = 0; at < bytes; at += HEX_ROW_BYTES) {
                char left[3 * HEX_ROW_BYTES + 1], right[3 * HEX_ROW_BYTES + 1], characters[HEX_ROW_BYTES + 1];
                format_hex(left, sizeof left, expected, expected_length, at);
                format_hex(right, sizeof right, found, found_length, at);
                format_characters(characters, found, found_length, at);
                text_format(line, sizeof line, "%13" PRIu64 " %-*s   %-*s  %s%s", first + at, 3 * HEX_ROW_BYTES, left,
                        3 * HEX_ROW_BYTES, right, characters, strcasecmp(left, right) == 0 ? "" : "  <");
                print_cut(line, width);
        }
}

/* Moments among the details are UTC, for programs; here they stand beside others that are local. */
static void localise(char to[static TIME_TEXT_BYTES], const char *text) {
        struct tm day = { 0 };
        const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &day);
        time_t seconds = end && !*end ? timegm(&day) : -1;
        to[0] = '\0';
        if (seconds >= 0)
                page_time(to, (uint64_t)seconds * USEC_PER_SEC);
}

static void show_details(const json_t *finding, size_t width) {
        json_t *details = json_object_get(finding, "detail");
        const char *key;
        json_t *value;
        json_object_foreach(details, key, value) {
                char when[TIME_TEXT_BYTES];
                const char *text = json_is_string(value) ? json_string_value(value) : "?";
                localise(when, text);
                page_fact(stdout, width, key, "%s", when[0] ? when : text);
        }
}

static void show_place(const json_t *finding, size_t width) {
        char offset[PLACE_TEXT_BYTES], length[PLACE_TEXT_BYTES];
        page_place(offset, field_count(finding, "offset"));
        page_place(length, field_count(finding, "length"));
        page_fact(stdout, width, "offset", "%s", offset);
        page_fact(stdout, width, "length", "%s", length);
}

static uint64_t sample_at(const json_t *finding) {
        const char *at = field_text(field_object(finding, "detail"), "sample_at");
        return at ? strtoull(at, NULL, 10) : 0;
}

static void show_finding(const json_t *answer, const json_t *finding) {
        size_t width = page_width();
        char first[TIME_TEXT_BYTES], last[TIME_TEXT_BYTES], known[TIME_TEXT_BYTES], remedy[REMEDY_TEXT_BYTES];
        field_time(first, finding, "first_seen_at", "unknown");
        field_time(last, finding, "last_seen_at", "unknown");
        page_fact(stdout, width, "finding", "%" PRIu64, field_count(finding, "id"));
        page_fact(stdout, width, "device", "%s", field_text_or(finding, "device", "?"));
        page_fact(stdout, width, "fault", "%s", field_text_or(finding, "fault", "?"));
        page_fact(stdout, width, "what", "%s", field_text_or(finding, "text", "-"));
        show_place(finding, width);
        page_fact(stdout, width, "persistence", "%s", field_text_or(finding, "persistence", "?"));
        field_time(known, finding, "acknowledged_at", "");
        page_fact(stdout, width, "state", "%s%s%s", field_text_or(finding, "state", "?"),
                known[0] ? ", known since " : "", known);
        page_fact(stdout, width, "seen", "%" PRIu64 " time%s, last by sweep %" PRIu64, field_count(finding, "count"),
                field_count(finding, "count") == 1 ? "" : "s", field_count(finding, "sweep_id"));
        page_fact(stdout, width, "first seen", "%s", first);
        page_fact(stdout, width, "last seen", "%s", last);
        remedy_text(remedy, finding);
        if (remedy[0])
                page_fact(stdout, width, "what to do", "%s", remedy);
        if (field_text(finding, "comment"))
                page_fact(stdout, width, "comment", "%s", field_text(finding, "comment"));
        show_details(finding, width);
        const char *expected = field_text(answer, "expected"), *found = field_text(answer, "found");
        if (expected && found && is_hex(expected) && is_hex(found))
                show_sample(expected, found, sample_at(finding), width);
}

int command_finding(struct ctl *ctl, const struct arguments *arguments) {
        CLEANUP_JSON json_t *answer = NULL;
        if (!ctl_ask(ctl, "GetFinding", json_pack("{s:I}", "id", (json_int_t)arguments->id), &answer))
                return STATUS_FAILED;
        json_t *finding = ctl_object(ctl, answer, "finding");
        if (!finding)
                return STATUS_FAILED;
        if (ctl->json)
                ctl_print_document(json_pack("{s:O, s:O?, s:O?}", "finding", finding, "expected",
                        json_object_get(answer, "expected"), "found", json_object_get(answer, "found")));
        else
                show_finding(answer, finding);
        return STATUS_FINE;
}
