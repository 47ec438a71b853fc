/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boots: whether the host was started anew since a daemon last ran on a state directory, or only the daemon was. The
 * kernel's number of this boot is kept there in the file `boot`.
 */
#pragma once

#include <stdbool.h>

/* False also where no daemon ran before, or nobody can tell: then nothing has waited. */
bool boots_is_first_start(const char *directory);

/* From now on a start in this boot is none after it. 0, or negative errno: the next start looks like this one. */
int boots_note(const char *directory);
