/* SPDX-License-Identifier: Apache-2.0 */
/* page: running text and labelled facts that fit a width; how times and places are written for people. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { TIME_TEXT_BYTES = 64, PLACE_TEXT_BYTES = 64, SPAN_SHORT_BYTES = 64 };

/* Where the answer goes in the end: stdout, or the terminal that it is collected for. */
int page_output(void);
void page_set_output(int fd);

/* The columns of that terminal; 80 where it is none. */
size_t page_width(void);

/* The lines of that terminal; 0 where it is none. */
size_t page_lines(void);

/* Text in lines that break between words, never within one: paths and commands stay whole, on 40 columns or more. */
void page_text(FILE *to, size_t width, size_t first_indent, size_t indent, const char *text);

/* "label:", then the text in a column of its own. An empty label goes on with the fact before. */
void page_fact(FILE *to, size_t width, const char *label, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

/* Local time: "Jan 02 13:00", with the year in place of the hour where it is far from now. */
void page_time_short(char to[static TIME_TEXT_BYTES], uint64_t at_us, uint64_t now_us);

/* Local time: "2025-01-02 13:00:05 CET". */
void page_time(char to[static TIME_TEXT_BYTES], uint64_t at_us);

/* "1.5 GiB (1610612736)"; just the bytes where that is all. */
void page_place(char to[static PLACE_TEXT_BYTES], uint64_t bytes);

/* A time that a request took: "700 us", "8.3 ms", "1.2 s". */
void page_span_short(char to[static SPAN_SHORT_BYTES], uint64_t us);

/* A time that a sweep took, which explains its rate: "437.2 ms", "2.6 s", "38 s", "1 min 58 s", "3 h 2 min". */
void page_span(char to[static SPAN_SHORT_BYTES], uint64_t us);
