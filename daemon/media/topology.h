/* SPDX-License-Identifier: Apache-2.0 */
/*
 * topology: what a block device shares with others, as sysfs shows it. Only links and directories of sysfs are read,
 * which are memory: no disk is asked.
 */
#pragma once

#include "model/disk_place.h"

#include <sys/types.h>

/*
 * Disks: the device, its whole disk, and what that stacks on; loop devices are not looked through. Controllers, one for
 * each disk: the PCI device of an ATA port (which is a SCSI host of its own), the SCSI host, the NVMe controller or
 * subsystem, the hub that a USB disk is plugged into, or what else it hangs on; and whatever stacks on the disk or on a
 * partition of it (md, dm), since those that one array needs wait for each other. sysfs: the path of /sys, another one
 * in tests.
 */
void topology_read(struct disk_place *ret, const char *sysfs, dev_t device);

/*
 * The disk whose statistics tell of all who use the hardware: below dm-crypt and logical volumes that rest on one disk
 * alone and pass on each byte as it is; else the disk itself.
 */
dev_t topology_counted(const char *sysfs, dev_t disk);
