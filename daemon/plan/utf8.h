/* SPDX-License-Identifier: Apache-2.0 */
/* utf8: what may be shown to people and sent as JSON: valid UTF-8 (RFC 3629) without control characters. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The length in bytes of the printable character that text begins with; 0: none, or not UTF-8. */
size_t utf8_printable(const char *text);

bool utf8_all_printable(const char *text);

/* Puts a '?' in the place of every byte that can't be shown. */
void utf8_make_printable(char *text);
