/* SPDX-License-Identifier: Apache-2.0 */
/* The words are those of the configuration where a key is meant, so that who reads one finds what to change. */
#include "model/pace_rule.h"

#include <assert.h>
#include <stddef.h>

static const char *const rule_names[PACE_RULE_COUNT] = {
        [PACE_RULE_UNKNOWN] = NULL,
        [PACE_RULE_DEVICE] = "device",
        [PACE_RULE_DEADLINE] = "deadline",
        [PACE_RULE_PER_CONTROLLER] = "per_controller",
        [PACE_RULE_CONCURRENT_SWEEPS] = "concurrent_sweeps",
        [PACE_RULE_WINDOW] = "window",
        [PACE_RULE_RATE_MIN] = "rate_min",
        [PACE_RULE_RATE_MAX] = "rate_max",
        [PACE_RULE_LIMITS_RATE] = "limits_rate",
        [PACE_RULE_OTHERS] = "others",
};

const char *pace_rule_name(enum pace_rule rule) {
        assert(rule < PACE_RULE_COUNT);
        return rule_names[rule];
}
