/* SPDX-License-Identifier: Apache-2.0 */
/* list_disks: `sweepd --list-disks`: what there is, what may be done with it, and a configuration entry for each.
 */
#pragma once

/*
 * Prints to stdout; reads disks and writes nothing anywhere. state_dir: where the daemon would keep its own. only:
 * paths of those that are wanted, ended by NULL; none: all. 0; LIST_DISKS_E_NONE, when that was said on stderr; or
 * negative errno where not even a list of disks can be had.
 */
enum { LIST_DISKS_OK, LIST_DISKS_E_NONE };
int list_disks(const char *state_dir, char *const *only);
