/* SPDX-License-Identifier: Apache-2.0 */
/* simulate: `sweepd --simulate SPAN`: what the plan would do with the devices of a configuration. */
#pragma once

#include <stdint.h>

struct settings;

/* "2026-03-01T12:00" or "2026-03-01", local time. -EINVAL. */
int simulate_parse_time(uint64_t *ret_us, const char *text);

/* Prints which devices have no window that is long enough for a segment. Negative errno. */
int simulate_warn(const struct settings *settings, uint64_t now_us);

/* Prints to stdout. Sizes are those of the devices that are there; nothing is opened. Negative errno. */
int simulate(const struct settings *settings, uint64_t from_us, uint64_t span_us);
