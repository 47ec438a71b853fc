/* SPDX-License-Identifier: Apache-2.0 */
/* pager: what is longer than the screen goes through a pager, as in systemd's tools. */
#pragma once

#include <stdbool.h>

struct pager {
        int terminal_fd; /* where stdout went; -1: nothing is collected */
};

/* From now on stdout is collected, if it is a terminal. False: it could not be, and stderr says why. */
bool pager_begin(struct pager *p, bool wanted);

/*
 * Shows what was collected and flushed, by $SWEEPCTL_PAGER, $PAGER, or less; as it is where these are empty, "cat", or
 * don't work. False: it could not be shown, and stderr says why.
 */
bool pager_end(struct pager *p);
