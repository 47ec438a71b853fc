/* SPDX-License-Identifier: Apache-2.0 */
/* engine_libaio: the real engine, Linux native AIO on an O_DIRECT descriptor. */
#pragma once

#include "media/engine.h"

/* What it does I/O on, and how that is asked what it is; borrowed, and must outlive the engine. */
struct engine_libaio_source {
        int fd; /* O_DIRECT */
        int (*look)(void *userdata, struct engine_look *ret);
        bool (*traffic)(void *userdata, struct engine_traffic *ret); /* NULL: nobody counts */
        void *userdata;
};

/*
 * depth: requests in flight at most. wake_fd: an eventfd (borrowed) that is signalled by each completion. -EAGAIN:
 * /proc/sys/fs/aio-max-nr is exhausted; -ENOMEM.
 */
int engine_libaio_new(struct engine **ret, const struct engine_libaio_source *source, unsigned depth, int wake_fd);

struct target;

/* On a target, which is borrowed; else as above. */
int engine_libaio_of_target(struct engine **ret, struct target *target, unsigned depth, int wake_fd);
