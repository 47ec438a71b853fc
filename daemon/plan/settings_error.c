/* SPDX-License-Identifier: Apache-2.0 */
/* A message quotes a file that may hold anything: bytes that could harm a terminal or a JSON reply are replaced. */
#include "plan/settings_error.h"

#include "base/text.h"
#include "plan/utf8.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

int settings_error_set(struct settings_error *error, const char *file, int line, const char *format, ...) {
        assert(line >= 0);
        text_copy(error->file, sizeof error->file, file);
        error->line = line;
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
        utf8_make_printable(error->text);
        return SETTINGS_E_INVALID;
}

void settings_error_place(char to[static SETTINGS_PLACE_BYTES], const struct settings_error *error) {
        if (error->line > 0)
                text_format(to, SETTINGS_PLACE_BYTES, "%s:%d", error->file, error->line);
        else
                text_copy(to, SETTINGS_PLACE_BYTES, error->file);
}
