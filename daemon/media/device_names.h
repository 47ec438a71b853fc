/* SPDX-License-Identifier: Apache-2.0 */
/* device_names: whether a name in a file of the system (fstab, a unit) is that of a device, or of a part of it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct target_facts;

enum { DEVICE_NAMES_MAX = 258 }; /* itself, its whole disk, and as many partitions as Linux knows on one */

struct device_names {
        const char *path, *backing_file; /* the target's: borrowed */
        size_t count;
        dev_t devices[DEVICE_NAMES_MAX]; /* all whose bytes are the target's, too */
};

/* identity, device and disk of the facts are there already, and stay. */
void device_names_gather(struct device_names *names, const struct target_facts *facts);

/* name: a path, or TAG=value, the value in quotes or not. What can't be told counts as a name of it. */
bool device_names_have(const struct device_names *names, const char *name);
