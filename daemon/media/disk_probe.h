/* SPDX-License-Identifier: Apache-2.0 */
/* disk_probe: what the kernel's queue and the drive itself say of how a disk works. */
#pragma once

struct target_facts;

/* Fills in nr_requests, max_io_bytes, zoned, iostats, discards, write_cache, thin and real. whole: the whole disk's
 * directory. */
void disk_probe(struct target_facts *facts, int whole);
