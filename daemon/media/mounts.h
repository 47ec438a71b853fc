/* SPDX-License-Identifier: Apache-2.0 */
/* mounts: walks over what is mounted where. Format: proc_pid_mountinfo(5). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* Valid until the next step. Texts are unescaped. */
struct mount_entry {
        uint64_t id;
        dev_t device; /* of the file system; anonymous for btrfs, overlay and others */
        char *point;
        char *type;
        char *source;
        char *options; /* of the file system */
};

struct mounts {
        FILE *file;
        char *line;
        size_t line_bytes;
        struct mount_entry entry;
};

/* Negative errno. */
int mounts_open(struct mounts *mounts);

/* False: no more. Lines that are not understood are left out. */
bool mounts_next(struct mounts *mounts);

/* The block device that a file system was mounted from, where its source is one. */
bool mounts_source_device(const struct mount_entry *entry, dev_t *ret);

/*
 * Whether asking the file system that a path leads to may wait for a server that never answers (FUSE, network), told
 * without asking it. *ret_device is that file system's device. False where no mount is found.
 */
bool mounts_may_hang(const char *path, dev_t *ret_device);

/* Whether two devices, by the kernel's names, belong to one mounted btrfs. */
bool mounts_share_btrfs(const char *a, const char *b);

void mounts_close(struct mounts *mounts);

/* Turns \040 and its like back into what they stand for, in place. */
void mounts_unescape(char *text);
