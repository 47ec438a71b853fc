/* SPDX-License-Identifier: Apache-2.0 */
/* overview: the daemon and all devices on one screen. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

/* worst: for names of devices, the finding of each that somebody has to look at first; those of others are not known.
 * all: every device has a line, and whatever needs attention is told in full, however long it gets. */
void overview_show(const json_t *daemon, const json_t *devices, const json_t *worst, bool all);

/* How many of those that need attention can be told in full, at most. */
size_t overview_told_max(bool all);
