/* SPDX-License-Identifier: Apache-2.0 */
/* locks: the locks by which programs that write to a whole disk keep out of each other's way. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

enum {
        LOCKS_OK,
        LOCKS_E_HELD /* another process holds one, and did not let go while we waited */
};

/*
 * fd: of the device that is to be written, open for writing: a write lock on all of it. disk: its whole disk, by the
 * node that the kernel named: flock(2) for us alone, and no write lock of others. Waits for up to wait_us. Closing both
 * descriptors gives the locks back; *ret_disk_fd is -1 where fd itself is of the disk's node. Negative errno:
 * unexpected.
 */
int locks_take(int *ret_disk_fd, int fd, dev_t disk, uint64_t wait_us);

/* The same for a file alone. */
int locks_take_file(int fd, uint64_t wait_us);
