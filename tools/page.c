/* SPDX-License-Identifier: Apache-2.0 */
/*
 * People read this at night, over a slow line, on 80 columns: lines break between words, and what may be copied into
 * a command is never broken. Times far off or out of any calendar must not mislead.
 */
#include "page.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "must.h"
#include "printable.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH_DEFAULT = 80, LINES_DEFAULT = 24, WIDTH_LEAST = 20, WIDTH_NARROW = 40, FACT_INDENT = 18 };

static int output_fd = STDOUT_FILENO;

int page_output(void) {
        return output_fd;
}

void page_set_output(int fd) {
        output_fd = fd;
}

size_t page_width(void) {
        struct winsize size;
        if (!isatty(output_fd) || ioctl(output_fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
                return WIDTH_DEFAULT;
        return MAX(size.ws_col, WIDTH_LEAST);
}

size_t page_lines(void) {
        struct winsize size;
        if (!isatty(output_fd))
                return 0;
        return ioctl(output_fd, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : LINES_DEFAULT;
}

/* Goes on at column `at` of a line. */
static void wrap(FILE *to, size_t width, size_t at, size_t indent, const char *text) {
        bool empty = true;
        for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
                int bytes = (int)strcspn(text, " ");
                CLEANUP_FREE char *word = must(strndup(text, (size_t)bytes));
                if (width < WIDTH_NARROW)
                        word[printable_bytes(word, width - MIN(indent, width))] = '\0';
                size_t columns = printable_columns(word);
                bool alone = width < WIDTH_NARROW && at > indent && at + columns > width;
                if ((!empty && at + 1 + columns > width) || (empty && alone)) {
                        fprintf(to, "\n%*s%s", (int)indent, "", word);
                        at = indent + columns;
                } else {
                        fprintf(to, "%s%s", empty ? "" : " ", word);
                        at += !empty + columns;
                }
                empty = false;
                text += bytes;
        }
        fputc('\n', to);
}

void page_text(FILE *to, size_t width, size_t first_indent, size_t indent, const char *text) {
        fprintf(to, "%*s", (int)first_indent, "");
        wrap(to, width, first_indent, indent, text);
}

void page_fact(FILE *to, size_t width, const char *label, const char *format, ...) {
        va_list arguments;
        va_start(arguments, format);
        CLEANUP_FREE char *text = must_format(format, arguments);
        va_end(arguments);
        const char *colon = *label ? ":" : "";
        size_t label_columns = printable_columns(label) + strlen(colon);
        size_t indent = width < WIDTH_NARROW ? 2 : FACT_INDENT; /* there is no room for a column of its own */
        size_t at = MAX(label_columns + 1, indent);
        fprintf(to, "%s%s%*s", label, colon, (int)(at - label_columns), "");
        wrap(to, width, at, indent, text);
}

/* False: there is no such day. */
static bool local_time(struct tm *ret, uint64_t at_us) {
        time_t seconds = (time_t)(at_us / USEC_PER_SEC);
        return localtime_r(&seconds, ret);
}

void page_time_short(char to[static TIME_TEXT_BYTES], uint64_t at_us, uint64_t now_us) {
        struct tm day;
        uint64_t distance_us = at_us > now_us ? at_us - now_us : now_us - at_us;
        if (!local_time(&day, at_us))
                text_copy(to, TIME_TEXT_BYTES, "?");
        else if (distance_us > 300 * USEC_PER_DAY)
                strftime(to, TIME_TEXT_BYTES, "%b %d %Y", &day);
        else
                strftime(to, TIME_TEXT_BYTES, "%b %d %H:%M", &day);
}

void page_time(char to[static TIME_TEXT_BYTES], uint64_t at_us) {
        struct tm day;
        if (!local_time(&day, at_us) || strftime(to, TIME_TEXT_BYTES, "%Y-%m-%d %H:%M:%S %Z", &day) == 0)
                text_copy(to, TIME_TEXT_BYTES, "?");
}

void page_place(char to[static PLACE_TEXT_BYTES], uint64_t bytes) {
        text_format_size(to, PLACE_TEXT_BYTES, bytes);
        if (bytes >= 1024)
                text_append(to, PLACE_TEXT_BYTES, " (%" PRIu64 ")", bytes);
}

void page_span_short(char to[static SPAN_SHORT_BYTES], uint64_t us) {
        if (us < 1000)
                text_format(to, SPAN_SHORT_BYTES, "%" PRIu64 " us", us);
        else if (us < 999950) /* above, it would be 1000.0 */
                text_format(to, SPAN_SHORT_BYTES, "%.1f ms", (double)us / 1e3);
        else
                text_format(to, SPAN_SHORT_BYTES, "%.1f s", (double)us / 1e6);
}

void page_span(char to[static SPAN_SHORT_BYTES], uint64_t us) {
        uint64_t s = us / USEC_PER_SEC;
        if (us > 0 && s < 10)
                page_span_short(to, us);
        else if (s >= 60 && s < 3600)
                text_format(to, SPAN_SHORT_BYTES, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
        else
                text_format_span(to, SPAN_SHORT_BYTES, us);
}
