/* SPDX-License-Identifier: Apache-2.0 */
/* control: takes a fault disk's commands from a file, and from a Unix socket while it runs. */
#pragma once

#include "disk.h"

#include <stdbool.h>

struct control;

/* Runs the commands of a file, up to the first that fails: that one is named on stderr. Negative errno. */
int control_run_script(struct disk *disk, const char *path);

/*
 * Starts a thread that serves the socket, and that calls disk_end() once `ended` (of `userdata`) is true. Negative
 * errno.
 */
int control_new(struct control **ret, struct disk *disk, const char *path, bool (*ended)(void *), void *userdata);

/* Joins the thread and removes the socket; `ended` must be true by now. Accepts NULL; returns NULL. */
struct control *control_free(struct control *control);
