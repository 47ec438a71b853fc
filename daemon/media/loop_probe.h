/* SPDX-License-Identifier: Apache-2.0 */
/* loop_probe: what is behind a loop device, and whether another loop device leads to the same file. */
#pragma once

#include <sys/types.h>

struct target_facts;

/*
 * Fills in loop_direct_io, loop_sparse, twin, and slaves where the backing is a block device. fd: the open loop device,
 * or a partition on it; whole: the directory of the loop device.
 */
void loop_probe(struct target_facts *facts, int fd, int whole);

/* Fills in twin for a file: a loop device that leads to it. */
void loop_probe_file(struct target_facts *facts, dev_t device, ino_t inode);
