/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text comes from people and devices, so nothing here trusts a length: every writer knows its room, and every parser
 * takes all of its input or refuses.
 */
#include "base/text.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

bool text_copy(char *to, size_t to_bytes, const char *from) {
        assert(to_bytes > 0);
        size_t n = strnlen(from, to_bytes);
        bool fits = n < to_bytes;
        if (!fits)
                n = to_bytes - 1;
        memcpy(to, from, n);
        to[n] = '\0';
        return fits;
}

__attribute__((format(printf, 4, 0))) static bool format_at(
        char *to, size_t to_bytes, size_t at, const char *format, va_list arguments) {
        assert(at < to_bytes);
        int n = vsnprintf(to + at, to_bytes - at, format, arguments);
        assert(n >= 0);
        return (size_t)n < to_bytes - at;
}

bool text_before_suffix(char *to, size_t to_bytes, const char *from, const char *suffix) {
        size_t length = strlen(from), end = strlen(suffix);
        return length > end && strcmp(from + length - end, suffix) == 0 &&
                text_format(to, to_bytes, "%.*s", (int)(length - end), from);
}

bool text_format(char *to, size_t to_bytes, const char *format, ...) {
        va_list arguments;
        va_start(arguments, format);
        bool fits = format_at(to, to_bytes, 0, format, arguments);
        va_end(arguments);
        return fits;
}

bool text_append(char *to, size_t to_bytes, const char *format, ...) {
        va_list arguments;
        va_start(arguments, format);
        bool fits = format_at(to, to_bytes, strnlen(to, to_bytes - 1), format, arguments);
        va_end(arguments);
        return fits;
}

/* Digits, then exactly one of the suffixes (which may be ""); the factor belongs to the suffix. */
static int parse_scaled(uint64_t *ret, const char *text, const char *const *suffixes, const uint64_t *factors) {
        uint64_t n = 0;
        const char *p = text;
        if (*p < '0' || *p > '9')
                return -EINVAL;
        for (; *p >= '0' && *p <= '9'; p++)
                if (__builtin_mul_overflow(n, UINT64_C(10), &n) || __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
                        return -ERANGE;
        for (size_t i = 0; suffixes[i]; i++)
                if (strcmp(p, suffixes[i]) == 0) {
                        if (__builtin_mul_overflow(n, factors[i], &n) || n > INT64_MAX)
                                return -ERANGE;
                        *ret = n;
                        return 0;
                }
        return -EINVAL;
}

int text_parse_size(uint64_t *ret_bytes, const char *text) {
        static const char *const suffixes[] = { "", "K", "M", "G", "T", NULL };
        static const uint64_t factors[] = { 1, UINT64_C(1) << 10, UINT64_C(1) << 20, UINT64_C(1) << 30,
                UINT64_C(1) << 40 };
        return parse_scaled(ret_bytes, text, suffixes, factors);
}

int text_parse_span(uint64_t *ret_us, const char *text) {
        static const char *const suffixes[] = { "ms", "s", "m", "h", "d", "w", NULL };
        static const uint64_t factors[] = { USEC_PER_MSEC, USEC_PER_SEC, 60 * USEC_PER_SEC, USEC_PER_HOUR, USEC_PER_DAY,
                7 * USEC_PER_DAY };
        return parse_scaled(ret_us, text, suffixes, factors);
}

void text_format_size(char *to, size_t to_bytes, uint64_t bytes) {
        static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
        if (bytes < 1024) {
                text_format(to, to_bytes, "%" PRIu64 " B", bytes);
                return;
        }
        double value = (double)bytes / 1024;
        size_t unit = 0;
        while (value >= 1023.5 && unit + 1 < ELEMENTS(units)) {
                value /= 1024;
                unit++;
        }
        text_format(to, to_bytes, value < 99.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

void text_format_span(char *to, size_t to_bytes, uint64_t span_us) {
        uint64_t s = span_us / USEC_PER_SEC;
        if (s < 60)
                text_format(to, to_bytes, "%" PRIu64 " s", s);
        else if (s < 3600)
                text_format(to, to_bytes, "%" PRIu64 " min", s / 60);
        else if (s < 86400)
                text_format(to, to_bytes, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
        else
                text_format(to, to_bytes, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s / 3600 % 24);
}

void text_format_span_key(char *to, size_t to_bytes, uint64_t span_us) {
        static const struct {
                uint64_t seconds;
                char letter;
        } units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
        uint64_t s = span_us / USEC_PER_SEC + (span_us % USEC_PER_SEC > 0);
        size_t unit = 0;
        while (s % units[unit].seconds != 0)
                unit++;
        text_format(to, to_bytes, "%" PRIu64 "%c", s / units[unit].seconds, units[unit].letter);
}

void text_format_utc(char *to, size_t to_bytes, uint64_t at_us) {
        time_t seconds = (time_t)(at_us / USEC_PER_SEC);
        struct tm utc;
        if (!gmtime_r(&seconds, &utc) || strftime(to, to_bytes, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
                text_copy(to, to_bytes, "?");
}

void text_format_local(char *to, size_t to_bytes, uint64_t at_us) {
        static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
        time_t seconds = (time_t)(at_us / USEC_PER_SEC);
        struct tm local;
        char date[32];
        if (!localtime_r(&seconds, &local) || strftime(date, sizeof date, "%Y-%m-%d %H:%M", &local) == 0)
                text_copy(to, to_bytes, "?");
        else
                text_format(to, to_bytes, "%s %s", days[local.tm_wday], date);
}

enum { WORD_MAX = 64 };

/* Levenshtein distance with two rows; words longer than WORD_MAX are as far as can be. */
static size_t distance(const char *a, const char *b) {
        size_t a_length = strnlen(a, WORD_MAX + 1), b_length = strnlen(b, WORD_MAX + 1);
        if (a_length > WORD_MAX || b_length > WORD_MAX)
                return SIZE_MAX;
        size_t row[WORD_MAX + 1];
        for (size_t j = 0; j <= b_length; j++)
                row[j] = j;
        for (size_t i = 1; i <= a_length; i++) {
                size_t diagonal = row[0];
                row[0] = i;
                for (size_t j = 1; j <= b_length; j++) {
                        size_t change = diagonal + (a[i - 1] != b[j - 1]);
                        size_t insert_or_delete = MIN(row[j], row[j - 1]) + 1;
                        diagonal = row[j];
                        row[j] = MIN(change, insert_or_delete);
                }
        }
        return row[b_length];
}

const char *text_nearest(const char *word, const char *const *words) {
        size_t near_enough = MAX(strnlen(word, WORD_MAX) / 3, 2);
        const char *best = NULL;
        for (; *words; words++) {
                size_t d = distance(word, *words);
                if (d <= near_enough) {
                        best = *words;
                        near_enough = d ? d - 1 : 0;
                        if (d == 0)
                                break;
                }
        }
        return best;
}
