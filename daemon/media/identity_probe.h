/* SPDX-License-Identifier: Apache-2.0 */
/* identity_probe: reads a device's identity from udev where it runs, else from sysfs. Fills in all but the users. */
#pragma once

#include "media/disk_set.h"
#include "model/identity.h"

#include <stddef.h>
#include <sys/types.h>

/* dir, whole: the directories of the device and of its whole disk (media/sysfs.h). */
void identity_probe(struct identity *identity, dev_t device, int dir, int whole);

/*
 * Another present disk with hardware behind it that has the same WWN, or the same model and serial; "" where there is
 * none. Those that the target rests on (the paths of a multipath device) are no twins.
 */
void identity_twin(char *twin, size_t twin_bytes, const struct identity *identity, const struct disk_set *below);
