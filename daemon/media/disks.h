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
