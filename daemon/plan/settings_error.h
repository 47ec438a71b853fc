/* SPDX-License-Identifier: Apache-2.0 */
/* settings_error: how the parts of the configuration's reader say what is wrong with it. */
#pragma once

#include "plan/settings.h"

/* Always returns SETTINGS_E_INVALID. line 0: of the file as a whole. What can't be shown becomes '?'. */
int settings_error_set(struct settings_error *error, const char *file, int line, const char *format, ...)
        __attribute__((format(printf, 4, 5)));
