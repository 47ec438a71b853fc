/* SPDX-License-Identifier: Apache-2.0 */
/* show_device: all that is known of one device, on a page. */
#pragma once

#include "ctl.h"

#include <jansson.h>

/* sweeps, findings: its newest ones, the newest last; NULL: they could not be asked for. */
void show_device(const json_t *daemon, const json_t *device, const json_t *sweeps, const json_t *findings);
