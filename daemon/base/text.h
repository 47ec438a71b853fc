/* SPDX-License-Identifier: Apache-2.0 */
/* text: bounded strings, human sizes and spans to and from numbers, and the nearest of several words. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies with an end, cutting off what does not fit. True: it fitted. */
bool text_copy(char *to, size_t to_bytes, const char *from);

/* What stands before that suffix. False: there is none, or nothing before it, or too much. */
bool text_before_suffix(char *to, size_t to_bytes, const char *from, const char *suffix);

/* snprintf() that cannot leave the buffer without an end and asserts that the format is valid. True: it fitted. */
bool text_format(char *to, size_t to_bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Appends to what is there; true: it fitted. */
bool text_append(char *to, size_t to_bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* "512", "256K", "1M", "2G", "1T": binary multiples, bytes. -EINVAL: not a size; -ERANGE: more than 2^63 - 1. */
int text_parse_size(uint64_t *ret_bytes, const char *text);

/* "500ms" "30s" "15m" "12h" "30d" "2w", microseconds. -EINVAL, -ERANGE as above. */
int text_parse_span(uint64_t *ret_us, const char *text);

/* "512 B", "4.0 KiB", "1.5 TiB". */
void text_format_size(char *to, size_t to_bytes, uint64_t bytes);

/* "42 s", "3 min", "2 h 10 min", "5 d 3 h". */
void text_format_span(char *to, size_t to_bytes, uint64_t span_us);

/* "90s", "3h", "30d": as text_parse_span() reads it, in the largest unit that fits; rounded up to seconds. */
void text_format_span_key(char *to, size_t to_bytes, uint64_t span_us);

/* "2026-11-22T15:04:05Z"; "?" where no calendar has it. Microseconds since 1970-01-01 UTC. */
void text_format_utc(char *to, size_t to_bytes, uint64_t at_us);

/* "Sun 2026-11-22 16:04": as clocks on the wall show it here. "?" as above. */
void text_format_local(char *to, size_t to_bytes, uint64_t at_us);

/*
 * The one of `words` (ended by NULL) that is nearest to `word` by edit distance (Levenshtein), or NULL where none is
 * near enough to be a slip: at most a third of its letters, and two at least.
 */
const char *text_nearest(const char *word, const char *const *words);
