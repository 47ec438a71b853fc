/* SPDX-License-Identifier: Apache-2.0 */
/* A refusal that does not say what to do is a dead end; so all three parts are set in one call. */
#include "model/reason.h"

#include "base/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

void reason_set(struct reason *reason, const char *rule, const char *remedy, const char *found_format, ...) {
        text_copy(reason->rule, sizeof reason->rule, rule);
        text_copy(reason->remedy, sizeof reason->remedy, remedy);
        va_list arguments;
        va_start(arguments, found_format);
        int n = vsnprintf(reason->found, sizeof reason->found, found_format, arguments);
        va_end(arguments);
        assert(n >= 0);
        (void)n;
}
