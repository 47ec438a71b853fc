/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes in was written by anybody who may connect: the parser recurses, so the depth is counted before it runs;
 * of two values for one key different readers would believe different ones, so that is refused. What goes out holds
 * strings from disks and file names, which need not be UTF-8, and a parser at the other end would drop the whole reply.
 */
#include "control/message.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

/* Brackets count outside of strings only; whether the text is JSON at all is for the parser to say. */
static bool is_too_deep(const char *text, size_t length_bytes) {
        unsigned depth = 0;
        bool in_string = false;
        for (size_t i = 0; i < length_bytes; i++) {
                char c = text[i];
                if (in_string) {
                        if (c == '\\')
                                i++;
                        in_string = c != '"';
                } else if (c == '"')
                        in_string = true;
                else if (c == '{' || c == '[') {
                        if (++depth > MESSAGE_DEPTH_MAX)
                                return true;
                } else if ((c == '}' || c == ']') && depth > 0)
                        depth--;
        }
        return false;
}

int message_parse(struct message *ret, const char *text, size_t length_bytes) {
        if (is_too_deep(text, length_bytes))
                return MESSAGE_E_MALFORMED;
        json_error_t error;
        json_t *object = json_loadb(text, length_bytes, JSON_REJECT_DUPLICATES, &error);
        if (!object)
                return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM : MESSAGE_E_MALFORMED;
        if (!json_is_object(object)) {
                json_decref(object);
                return MESSAGE_E_MALFORMED;
        }
        *ret = (struct message){ .object = object };
        return MESSAGE_OK;
}

struct message message_begin(void) {
        json_t *object = json_object();
        return (struct message){ .object = object, .broken = !object };
}

void message_deinit(struct message *m) {
        json_decref(m->object);
        *m = (struct message){ 0 };
}

static enum message_field get(const struct message *m, const char *key, json_t **ret) {
        json_t *value = json_object_get(m->object, key);
        if (!value || json_is_null(value))
                return FIELD_ABSENT;
        *ret = value;
        return FIELD_PRESENT;
}

enum message_field message_get_string(const struct message *m, const char *key, const char **ret) {
        json_t *value;
        enum message_field field = get(m, key, &value);
        if (field != FIELD_PRESENT)
                return field;
        if (!json_is_string(value))
                return FIELD_MISTYPED;
        *ret = json_string_value(value);
        return FIELD_PRESENT;
}

enum message_field message_get_integer(const struct message *m, const char *key, int64_t *ret) {
        json_t *value;
        enum message_field field = get(m, key, &value);
        if (field != FIELD_PRESENT)
                return field;
        if (!json_is_integer(value))
                return FIELD_MISTYPED;
        *ret = json_integer_value(value);
        return FIELD_PRESENT;
}

enum message_field message_get_bool(const struct message *m, const char *key, bool *ret) {
        json_t *value;
        enum message_field field = get(m, key, &value);
        if (field != FIELD_PRESENT)
                return field;
        if (!json_is_boolean(value))
                return FIELD_MISTYPED;
        *ret = json_is_true(value);
        return FIELD_PRESENT;
}

enum message_field message_get_strings(
        const struct message *m, const char *key, const char **ret, size_t most, size_t *ret_count) {
        json_t *value;
        enum message_field field = get(m, key, &value);
        if (field != FIELD_PRESENT)
                return field;
        if (!json_is_array(value) || json_array_size(value) > most)
                return FIELD_MISTYPED;
        for (size_t i = 0; i < json_array_size(value); i++)
                if (!json_is_string(json_array_get(value, i)))
                        return FIELD_MISTYPED;
        for (size_t i = 0; i < json_array_size(value); i++)
                ret[i] = json_string_value(json_array_get(value, i));
        *ret_count = json_array_size(value);
        return FIELD_PRESENT;
}

enum message_field message_get_integers(
        const struct message *m, const char *key, int64_t *ret, size_t most, size_t *ret_count) {
        json_t *value;
        enum message_field field = get(m, key, &value);
        if (field != FIELD_PRESENT)
                return field;
        if (!json_is_array(value) || json_array_size(value) > most)
                return FIELD_MISTYPED;
        for (size_t i = 0; i < json_array_size(value); i++)
                if (!json_is_integer(json_array_get(value, i)))
                        return FIELD_MISTYPED;
        *ret_count = json_array_size(value);
        for (size_t i = 0; i < *ret_count; i++)
                ret[i] = json_integer_value(json_array_get(value, i));
        return FIELD_PRESENT;
}

enum message_field message_get_object(const struct message *m, const char *key, struct message *ret) {
        json_t *value;
        enum message_field field = get(m, key, &value);
        if (field != FIELD_PRESENT)
                return field;
        if (!json_is_object(value))
                return FIELD_MISTYPED;
        *ret = (struct message){ .object = value };
        return FIELD_PRESENT;
}

const char *message_key(const struct message *m, size_t n) {
        void *iterator = json_object_iter(m->object);
        for (size_t i = 0; i < n && iterator; i++)
                iterator = json_object_iter_next(m->object, iterator);
        return iterator ? json_object_iter_key(iterator) : NULL;
}

/* Takes the value; NULL says that there was no memory for it. */
static void set(struct message *m, const char *key, json_t *value) {
        if (json_object_set_new(m->object, key, value) < 0)
                m->broken = true;
}

/* The length of the UTF-8 sequence that begins here, or 0 where none does. RFC 3629, section 4. */
static size_t utf8_length(const char *text) {
        const unsigned char *s = (const unsigned char *)text;
        if (s[0] < 0x80)
                return 1;
        size_t length = s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                : (s[0] & 0xf0) == 0xe0             ? 3
                : s[0] >= 0xf0 && s[0] < 0xf5       ? 4
                                                    : 0;
        for (size_t i = 1; i < length; i++)
                if ((s[i] & 0xc0) != 0x80) /* stops at the end of the string, too */
                        return 0;
        bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
        bool surrogate_or_too_large = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
        return overlong || surrogate_or_too_large ? 0 : length;
}

/* NULL: no memory. */
static json_t *new_string(const char *value) {
        if (!value)
                return json_null();
        json_t *string = json_string(value);
        if (string)
                return string;
        CLEANUP_FREE char *clean = strdup(value);
        if (!clean)
                return NULL;
        for (char *p = clean; *p;) {
                size_t length = utf8_length(p);
                if (length == 0) {
                        *p = '?';
                        length = 1;
                }
                p += length;
        }
        return json_string(clean);
}

void message_set_null(struct message *m, const char *key) {
        set(m, key, json_null());
}

void message_set_string(struct message *m, const char *key, const char *value) {
        set(m, key, new_string(value));
}

void message_set_integer(struct message *m, const char *key, uint64_t value) {
        set(m, key, json_integer((json_int_t)MIN(value, (uint64_t)INT64_MAX)));
}

void message_set_real(struct message *m, const char *key, double value) {
        assert(isfinite(value));
        set(m, key, json_real(value));
}

void message_set_bool(struct message *m, const char *key, bool value) {
        set(m, key, json_boolean(value));
}

void message_set_array(struct message *m, const char *key) {
        set(m, key, json_array());
}

/* Without the array there was no memory for it, and the message is broken already. */
void message_add_string(struct message *m, const char *key, const char *value) {
        if (json_array_append_new(json_object_get(m->object, key), new_string(value)) < 0)
                m->broken = true;
}

void message_add_object(struct message *m, const char *key, struct message *child) {
        if (child->broken || json_array_append(json_object_get(m->object, key), child->object) < 0)
                m->broken = true;
        message_deinit(child);
}

void message_set_object(struct message *m, const char *key, struct message *child) {
        if (child->broken || json_object_set(m->object, key, child->object) < 0)
                m->broken = true;
        message_deinit(child);
}

int message_print(const struct message *m, char **ret_text) {
        if (m->broken)
                return -ENOMEM;
        char *text = json_dumps(m->object, JSON_COMPACT);
        if (!text)
                return -ENOMEM;
        *ret_text = text;
        return 0;
}
