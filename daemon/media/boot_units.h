/* SPDX-License-Identifier: Apache-2.0 */
/* boot_units: which units of systemd use a device: mount it, swap to it, or unlock it. */
#pragma once

#include "media/device_names.h"

struct target_facts;

/* Fills in boot_use where a unit names the target, or boot mounts a partition of it for its type. */
void boot_units_probe(struct target_facts *facts, const struct device_names *names);

/*
 * Each unit that uses what the names are of, and each check of a file system that such a unit asks for, by its full
 * name; one may come more than once.
 */
void boot_units_each(const struct device_names *names, void (*take)(void *userdata, const char *unit, const char *file),
        void *userdata);
