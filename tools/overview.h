/* SPDX-License-Identifier: Apache-2.0 */
/* overview: the daemon and all devices on one screen. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

/* all: every device has a line, and whatever needs attention is told in full, however long it gets. */
void overview_show(const json_t *daemon, const json_t *devices, bool all);
