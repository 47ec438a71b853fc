/* SPDX-License-Identifier: Apache-2.0 */
/* remote: has the sweepctl of another host answer, through ssh. */
#pragma once

#include "options.h"

/* The exit status of that sweepctl; STATUS_FAILED where it could not be asked, and stderr says why. */
int remote_run(const struct options *options, char **argv);
