/* SPDX-License-Identifier: Apache-2.0 */
/* message: one JSON object, taken apart with its types checked, or built to be sent. The daemon's only user of jansson.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t;

enum { MESSAGE_DEPTH_MAX = 16 };

/* All zero is valid, and holds nothing. */
struct message {
        struct json_t *object;
        bool broken; /* memory ran out while it was built, so it is not whole */
};

/* MESSAGE_E_MALFORMED: no JSON object, one key twice, or nested deeper than MESSAGE_DEPTH_MAX. -ENOMEM. */
enum { MESSAGE_OK, MESSAGE_E_MALFORMED };

int message_parse(struct message *ret, const char *text, size_t length_bytes);

/* An empty object; without memory a broken one. */
struct message message_begin(void);

void message_deinit(struct message *m);

/* What a field holds. An output is written only where the field is FIELD_PRESENT, and lives as long as the message. */
enum message_field { FIELD_ABSENT /* missing, or null */, FIELD_PRESENT, FIELD_MISTYPED };

enum message_field message_get_string(const struct message *m, const char *key, const char **ret);
enum message_field message_get_integer(const struct message *m, const char *key, int64_t *ret);
enum message_field message_get_bool(const struct message *m, const char *key, bool *ret);
/* An array of strings, or of integers; mistyped where it holds something else, or more than `most`. *ret_count of ret[]
 * are written. */
enum message_field message_get_strings(
        const struct message *m, const char *key, const char **ret, size_t most, size_t *ret_count);
enum message_field message_get_integers(
        const struct message *m, const char *key, int64_t *ret, size_t most, size_t *ret_count);
/* The object inside is borrowed: no message_deinit(). */
enum message_field message_get_object(const struct message *m, const char *key, struct message *ret);

/* The nth key of the object in an order of its own, or NULL past the last one. */
const char *message_key(const struct message *m, size_t n);

/* Building. NULL is null, and bytes that are not UTF-8 become '?'. Numbers past 2^63 - 1 are cut off there. */
void message_set_null(struct message *m, const char *key);
void message_set_string(struct message *m, const char *key, const char *value);
void message_set_integer(struct message *m, const char *key, uint64_t value);
void message_set_real(struct message *m, const char *key, double value); /* must be finite */
void message_set_bool(struct message *m, const char *key, bool value);
void message_set_array(struct message *m, const char *key); /* an empty one, for the two below */
void message_add_string(struct message *m, const char *key, const char *value);
/* These take the child, which is empty afterwards. */
void message_add_object(struct message *m, const char *key, struct message *child);
void message_set_object(struct message *m, const char *key, struct message *child);

/* The object as one line, to be freed. -ENOMEM: also where the message is broken. */
int message_print(const struct message *m, char **ret_text);
