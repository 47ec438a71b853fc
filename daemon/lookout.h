/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookout: one look at the disks that there are, on a thread of its own, as a driver may have to ask its disk, and what
 * is remembered lies on the state disk.
 */
#pragma once

#include "model/disk_record.h"

#include <stdbool.h>

struct lookout;

struct lookout_options {
        const char *state_dir; /* copied */
        const char *store;     /* what is to be remembered from now on; copied; NULL: what is stored holds */
        bool recall;           /* what is remembered is wanted */
        int done_fd;           /* an eventfd (borrowed) that is signalled when the result is there */
};

struct lookout_result {
        int status; /* of the look: 0, or negative errno */
        struct disk_list *disks;
        int store_status;
        char *remembered; /* heap; NULL: not asked for, or there is nothing */
};

/* -ENOMEM, -EAGAIN. */
int lookout_start(struct lookout **ret, const struct lookout_options *options);

/* After done_fd was signalled: joins the thread and moves its result out. Returns NULL. */
struct lookout *lookout_finish(struct lookout *l, struct lookout_result *ret);

void lookout_result_done(struct lookout_result *result);
