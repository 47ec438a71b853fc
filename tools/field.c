/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon may be newer or older than this program: fields may be missing, and words may be unknown. Such a record
 * is still shown, with what is in it, and nothing that is not in it is ever made up: "clean" least of all.
 */
#include "field.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#include <string.h>

const char *field_text(const json_t *record, const char *name) {
        const char *text = json_string_value(json_object_get(record, name));
        return text && *text ? text : NULL;
}

const char *field_text_or(const json_t *record, const char *name, const char *otherwise) {
        const char *text = field_text(record, name);
        return text ? text : otherwise;
}

bool field_is(const json_t *record, const char *name, const char *text) {
        return strcmp(field_text_or(record, name, ""), text) == 0;
}

bool field_number(const json_t *record, const char *name, uint64_t *ret) {
        const json_t *value = json_object_get(record, name);
        if (!json_is_integer(value) || json_integer_value(value) < 0)
                return false;
        *ret = (uint64_t)json_integer_value(value);
        return true;
}

uint64_t field_count(const json_t *record, const char *name) {
        uint64_t n = 0;
        field_number(record, name, &n);
        return n;
}

bool field_true(const json_t *record, const char *name) {
        return json_is_true(json_object_get(record, name));
}

const json_t *field_object(const json_t *record, const char *name) {
        const json_t *value = json_object_get(record, name);
        return json_is_object(value) ? value : NULL;
}

void field_time(char to[static TIME_TEXT_BYTES], const json_t *record, const char *name, const char *otherwise) {
        uint64_t at_us;
        if (field_number(record, name, &at_us))
                page_time(to, at_us);
        else
                text_copy(to, TIME_TEXT_BYTES, otherwise);
}

void field_time_short(char to[static TIME_TEXT_BYTES], const json_t *record, const char *name, const char *otherwise) {
        uint64_t at_us;
        if (field_number(record, name, &at_us))
                page_time_short(to, at_us, clock_wall_us());
        else
                text_copy(to, TIME_TEXT_BYTES, otherwise);
}

void field_size(char to[static PLACE_TEXT_BYTES], const json_t *record, const char *name, const char *otherwise) {
        uint64_t bytes;
        if (field_number(record, name, &bytes))
                text_format_size(to, PLACE_TEXT_BYTES, bytes);
        else
                text_copy(to, PLACE_TEXT_BYTES, otherwise);
}

int field_percent(const json_t *progress) {
        uint64_t total = field_count(progress, "bytes_total"), done = field_count(progress, "bytes_done");
        if (total == 0)
                return -1;
        int percent = (int)((double)done * 100 / (double)total);
        return done >= total ? 100 : MIN(percent, 99);
}

void field_verdict(char to[static VERDICT_TEXT_BYTES], const json_t *record) {
        if (field_is(record, "verdict", "clean"))
                text_format(
                        to, VERDICT_TEXT_BYTES, "clean (%s)", field_text_or(record, "assurance", "assurance unknown"));
        else
                text_copy(to, VERDICT_TEXT_BYTES, field_text_or(record, "verdict", "unknown"));
}
