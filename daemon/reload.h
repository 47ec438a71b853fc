/* SPDX-License-Identifier: Apache-2.0 */
/* reload: reads the configuration on a thread of its own, as main must not wait for the disk that it lies on. */
#pragma once

#include "plan/settings.h"

struct reload;

struct reload_result {
        int status; /* as of settings_load() */
        struct settings *settings;
        struct settings_error error;
};

/* done_fd: an eventfd (borrowed) that is signalled when the result is there. -ENOMEM, -EAGAIN. */
int reload_start(struct reload **ret, const char *file, const struct settings_surroundings *surroundings, int done_fd);

/* After done_fd was signalled: joins the thread and moves its result out. Returns NULL. */
struct reload *reload_finish(struct reload *r, struct reload_result *ret);
