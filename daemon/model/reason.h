/* SPDX-License-Identifier: Apache-2.0 */
/* reason: why something is not done. A rule for programs, what was found and what to do for people. */
#pragma once

enum { REASON_RULE_BYTES = 32, REASON_TEXT_BYTES = 512 };

struct reason {
        char rule[REASON_RULE_BYTES]; /* "" : no reason */
        char found[REASON_TEXT_BYTES];
        char remedy[REASON_TEXT_BYTES];
};

/* Fills in a reason; what does not fit is cut off. */
void reason_set(struct reason *reason, const char *rule, const char *remedy, const char *found_format, ...)
        __attribute__((format(printf, 4, 5)));
