/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names, models and serial numbers come from devices and configuration files. An escape sequence in one of them could
 * repaint the terminal and turn "faulty" into "clean", so none of them is printed as it is.
 */
#include "printable.h"

#include "base/cleanup.h"
#include "must.h"

#include <stdbool.h>
#include <string.h>

/* The length of the sequence that a byte begins; 1 also for bytes that begin none. */
static size_t sequence_bytes(unsigned char first) {
        if (first >= 0xf0)
                return 4;
        if (first >= 0xe0)
                return 3;
        return first >= 0xc0 ? 2 : 1;
}

static unsigned code_point(const char *text, size_t bytes) {
        unsigned char first = (unsigned char)text[0];
        if (bytes == 1)
                return first;
        unsigned code = first & (0xffU >> (bytes + 1));
        for (size_t i = 1; i < bytes; i++)
                code = code << 6 | ((unsigned char)text[i] & 0x3fU);
        return code;
}

/* Control characters (C0, DEL, C1), and Unicode's invisible and direction-turning ones. */
static bool is_unsafe(unsigned code) {
        return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xad || code == 0x61c ||
                (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
                (code >= 0x2060 && code <= 0x206f) || code == 0xfeff || (code >= 0xe0000 && code <= 0xe007f);
}

char *printable_text(const char *text) {
        char *copy = must(malloc(strlen(text) + 1));
        char *to = copy;
        while (*text) {
                size_t wanted = sequence_bytes((unsigned char)*text);
                size_t bytes = strnlen(text, wanted);
                bool broken = bytes < wanted || (bytes == 1 && (unsigned char)*text >= 0x80);
                if (broken || is_unsafe(code_point(text, bytes)))
                        *to++ = '?';
                else
                        to = mempcpy(to, text, bytes);
                text += bytes;
        }
        *to = '\0';
        return copy;
}

static json_t *printable_object(const json_t *json) {
        json_t *copy = must(json_object());
        const char *key;
        json_t *value;
        /* Reading needs no change of the object, but jansson's iterator isn't declared so. */
        json_object_foreach((json_t *)json, key, value) {
                CLEANUP_FREE char *safe_key = printable_text(key);
                must_succeed(json_object_set_new(copy, safe_key, printable_json(value)));
        }
        return copy;
}

json_t *printable_json(const json_t *json) {
        if (json_is_object(json))
                return printable_object(json);
        if (json_is_string(json)) {
                CLEANUP_FREE char *text = printable_text(json_string_value(json));
                return must(json_string(text));
        }
        if (!json_is_array(json))
                return must(json_deep_copy(json));
        json_t *copy = must(json_array());
        for (size_t i = 0; i < json_array_size(json); i++)
                must_succeed(json_array_append_new(copy, printable_json(json_array_get(json, i))));
        return copy;
}

size_t printable_columns(const char *text) {
        size_t columns = 0;
        for (; *text; text++)
                columns += ((unsigned char)*text & 0xc0) != 0x80;
        return columns;
}

size_t printable_bytes(const char *text, size_t columns) {
        size_t i = 0;
        for (; text[i]; i++)
                if (((unsigned char)text[i] & 0xc0) != 0x80 && columns-- == 0)
                        break;
        return i;
}
