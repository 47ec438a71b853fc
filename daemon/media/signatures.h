/* SPDX-License-Identifier: Apache-2.0 */
/* signatures: what libblkid finds on a device. The signatures themselves are target_signatures() in target.h. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The UUID of the partition that begins and ends there, from the partition table of its whole disk; "" where it can't
 * be told. Sectors of 512 bytes, as in sysfs.
 */
void signatures_partuuid(char *uuid, size_t uuid_bytes, dev_t disk, uint64_t start_sectors, uint64_t size_sectors);

/*
 * Whether a device has that name: tag UUID or LABEL of a superblock on it, tag PARTUUID or PARTLABEL of it as a
 * partition. 1, 0, or negative errno: can't be told.
 */
int signatures_named(dev_t device, const char *tag, const char *value);

enum { PARTITION_TYPE_BYTES = 40 };

/* The type of a GPT partition, a UUID in lower case, and its flags. 1; 0: it is none; or negative errno. */
int signatures_partition_type(dev_t device, char type[static PARTITION_TYPE_BYTES], uint64_t *ret_flags);
