/* SPDX-License-Identifier: Apache-2.0 */
/* commands: what sweepctl can be told to do. Each returns an exit status. */
#pragma once

#include "ctl.h"

#include "model/pattern_list.h"

#include <stdbool.h>
#include <stdint.h>

/* What was typed; NULL, 0 or false where it was not. */
struct arguments {
        const char *device;
        uint64_t id;
        uint64_t *ids; /* owned by the options */
        size_t id_count;
        const char *comment;
        bool all;
        const char *mode;
        bool has_patterns; /* perhaps none */
        struct pattern_list patterns;
        const char *overwrite;
        const char *output;
        const char *serial;
        const char *exec;
        unsigned timeout_s;
};

int command_status(struct ctl *ctl, const struct arguments *arguments);
int command_errors(struct ctl *ctl, const struct arguments *arguments);
int command_finding(struct ctl *ctl, const struct arguments *arguments);
int command_start(struct ctl *ctl, const struct arguments *arguments);
int command_pause(struct ctl *ctl, const struct arguments *arguments);
int command_resume(struct ctl *ctl, const struct arguments *arguments);
int command_cancel(struct ctl *ctl, const struct arguments *arguments);
int command_wait(struct ctl *ctl, const struct arguments *arguments);
int command_watch(struct ctl *ctl, const struct arguments *arguments);
int command_follow(struct ctl *ctl, const struct arguments *arguments);
int command_history(struct ctl *ctl, const struct arguments *arguments);
int command_map(struct ctl *ctl, const struct arguments *arguments);
int command_report(struct ctl *ctl, const struct arguments *arguments);
int command_retire(struct ctl *ctl, const struct arguments *arguments);
int command_ack(struct ctl *ctl, const struct arguments *arguments);
int command_alert_test(struct ctl *ctl, const struct arguments *arguments);
int command_reload(struct ctl *ctl, const struct arguments *arguments);
int command_rescue_list(struct ctl *ctl, const struct arguments *arguments);
int command_rescue_export(struct ctl *ctl, const struct arguments *arguments);
int command_rescue_retry(struct ctl *ctl, const struct arguments *arguments);
int command_rescue_forget(struct ctl *ctl, const struct arguments *arguments);
