/* SPDX-License-Identifier: Apache-2.0 */
/* must: a short-lived program has nothing better to do without memory than to say so and end. */
#pragma once

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((noreturn)) static inline void must_give_up(void) {
        fputs("sweepctl: out of memory\n", stderr);
        exit(1);
}

/* Returns the pointer, unless it is NULL. */
static inline void *must(void *pointer) {
        if (!pointer)
                must_give_up();
        return pointer;
}

/* For functions that return a negative value where memory is lacking. */
static inline void must_succeed(int r) {
        if (r < 0)
                must_give_up();
}

/* The caller frees it. */
__attribute__((format(printf, 1, 0))) static inline char *must_format(const char *format, va_list arguments) {
        char *text;
        if (vasprintf(&text, format, arguments) < 0)
                must_give_up();
        return text;
}
