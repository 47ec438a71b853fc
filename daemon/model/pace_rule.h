/* SPDX-License-Identifier: Apache-2.0 */
/* pace_rule: which of all that has a say in it sets the rate of a sweep. */
#pragma once

enum pace_rule {
        PACE_RULE_UNKNOWN,
        PACE_RULE_DEVICE,            /* no limit: what the device gives */
        PACE_RULE_DEADLINE,          /* as fast as lets it end in time */
        PACE_RULE_PER_CONTROLLER,    /* faster than that, for those that wait for a place at its controller */
        PACE_RULE_CONCURRENT_SWEEPS, /* likewise, for a place in the host */
        PACE_RULE_WINDOW,            /* as fast as gets a segment through in a window */
        PACE_RULE_RATE_MIN,          /* less would do */
        PACE_RULE_RATE_MAX,
        PACE_RULE_LIMITS_RATE,
        PACE_RULE_OTHERS, /* they use the disk */
        PACE_RULE_COUNT
};

/* As in io.sweepd.varlink; NULL: unknown. */
const char *pace_rule_name(enum pace_rule rule);
