/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookout: one look at the disks that there are, and at who stands at the paths of named devices, on a thread of its
 * own, as a driver may have to ask its disk, and what is remembered lies on the state disk.
 */
#pragma once

#include "model/disk_record.h"

#include <stdbool.h>

struct lookout;

/* Who stands at a path in /dev. */
struct lookout_sight {
        char *path;        /* heap */
        uint64_t sighting; /* disks_sighting() that it holds for */
        bool known;        /* else it can't be told yet */
        struct identity identity;
        uint64_t size_bytes;
};

struct lookout_options {
        const char *state_dir;    /* copied */
        const char *store;        /* what is to be remembered from now on; copied; NULL: what is stored holds */
        bool recall;              /* what is remembered is wanted */
        bool list;                /* and the disks that there are */
        const char *const *paths; /* of those who are to be recognised; copied */
        size_t path_count;
        int done_fd; /* an eventfd (borrowed) that is signalled when the result is there */
};

struct lookout_result {
        int status;              /* of the look: 0, or negative errno */
        struct disk_list *disks; /* NULL: not asked for */
        struct lookout_sight *sights;
        size_t sight_count;
        int store_status;
        char *remembered; /* heap; NULL: not asked for, or there is nothing */
};

/* -ENOMEM, -EAGAIN. */
int lookout_start(struct lookout **ret, const struct lookout_options *options);

/* After done_fd was signalled: joins the thread and moves its result out. Returns NULL. */
struct lookout *lookout_finish(struct lookout *l, struct lookout_result *ret);

void lookout_result_done(struct lookout_result *result);
