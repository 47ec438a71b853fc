/* SPDX-License-Identifier: Apache-2.0 */
/* users: who uses a device, or a part of it: mounts, swap, and what stacks on it. */
#pragma once

#include <sys/types.h>

struct target_facts;

/* Fills in mounted, holders, slaves, swap, partitions and the identity's users. Needs no open device. */
void users_gather(struct target_facts *facts, dev_t device);
