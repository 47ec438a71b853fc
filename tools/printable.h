/* SPDX-License-Identifier: Apache-2.0 */
/* printable: strings of unknown origin, made safe for a terminal. */
#pragma once

#include <jansson.h>
#include <stddef.h>

/*
 * A copy of a UTF-8 string in which each control character, and each character that is invisible or turns the
 * direction of writing, is a '?'. Line breaks are control characters too. The caller frees it.
 */
char *printable_text(const char *text);

/* A deep copy with all strings and keys printable. A new reference. */
json_t *printable_json(const json_t *json);

/* How many columns a printable string takes: one a code point. */
size_t printable_columns(const char *text);

/* The bytes of the first `columns` columns of a printable string. */
size_t printable_bytes(const char *text, size_t columns);
