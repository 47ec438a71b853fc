/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disks: the whole disks that are there. A disk is what has hardware behind it, and a loop device with a file; not what
 * lies on other disks (dm, md), in memory (ram, zram), or is no place for data that lasts (CD, floppy), a card reader
 * without a card, nor a disk that udev has not finished with.
 */
#pragma once

#include "model/disk_record.h"

/*
 * Asks drivers for identities, some of which ask the disk: it may block for as long as a disk does. No disk is opened.
 * -ENOMEM; another negative errno where sysfs can't be read.
 */
int disks_list(struct disk_list **ret);

/* A number that changes when disks come or go, from the kernel's memory alone: main may ask for it at any time. */
uint64_t disks_fingerprint(void);

/* What stands at a path in /dev, as a number that changes when another device does, or another disk in it; likewise
 * from memory alone. 0: no block device. */
uint64_t disks_sighting(const char *path);

/*
 * Who it is: identity and size. Asks drivers, and where udev does not run the disk of a partition: it may block for as
 * long as a disk does. False: there is none, or udev has not finished with it.
 */
bool disks_recognise(const char *path, struct identity *identity, uint64_t *size_bytes);
