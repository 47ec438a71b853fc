/* SPDX-License-Identifier: Apache-2.0 */
/* severity: which devices somebody has to look at first, and in which colour they are shown. */
#pragma once

#include "paint.h"

#include <jansson.h>

enum severity_class {
        SEVERITY_ATTENTION, /* the daemon says that somebody is needed */
        SEVERITY_BUSY,      /* at work, waiting, or not known to be good */
        SEVERITY_GOOD,      /* idle, clean, nothing open */
};

enum severity_class severity_class_of(const json_t *device);

enum paint severity_paint(const json_t *device);

/* A new array of the same records, the worst first; those that are alike stay in their order. */
json_t *severity_sorted(const json_t *devices);
