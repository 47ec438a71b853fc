/* SPDX-License-Identifier: Apache-2.0 */
/* engine_libaio: the real engine, Linux native AIO on an O_DIRECT descriptor. */
#pragma once

#include "media/engine.h"

struct target;

/*
 * depth: requests in flight at most. wake_fd: an eventfd (borrowed) that is signalled by each completion. The target is
 * borrowed, and must outlive the engine. -EAGAIN: /proc/sys/fs/aio-max-nr is exhausted; -ENOMEM.
 */
int engine_libaio_new(struct engine **ret, struct target *target, unsigned depth, int wake_fd);
