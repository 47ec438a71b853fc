/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write_counts: how many bytes were written to a device, by whomever, as the kernel counts them in sysfs; and what that
 * count is worth as a proof. Growth beyond one's own is always somebody else's. That nobody else wrote is proved by no
 * growth only where every writer of this host goes through the counter:
 *
 *   a disk with hardware behind it   yes
 *   a partition of one               with what was written to the whole disk past all its partitions, if that is known
 *   a loop device, or what stacks    never: what is below it can be written by other ways
 *
 * Nobody counts what another host writes to shared storage, or what is sent to a disk as a command of its own (sg).
 */
#pragma once

struct engine_look;

/* dir: the device's directory in sysfs; whole: that of its whole disk. Sets the counts of *look, if they are known. */
void write_counts_read(struct engine_look *look, int dir, int whole);
