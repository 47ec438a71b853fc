/* SPDX-License-Identifier: Apache-2.0 */
/* identity: what a target is, however it is called today. Identity decides, never the path. */
#pragma once

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

enum target_kind {
        TARGET_KIND_DISK,
        TARGET_KIND_PARTITION,
        TARGET_KIND_LOOP,
        TARGET_KIND_MAPPER,
        TARGET_KIND_MD,
        TARGET_KIND_FILE,
        TARGET_KIND_COUNT
};

const char *target_kind_name(enum target_kind kind);

enum { IDENTITY_TEXT_BYTES = 128, IDENTITY_USERS_BYTES = 1024, IDENTITY_KEY_BYTES = PATH_MAX + 64 };

/* An empty string is "unknown". Serial, WWN and model of a partition are those of its disk. */
struct identity {
        enum target_kind kind;
        char model[IDENTITY_TEXT_BYTES];
        char serial[IDENTITY_TEXT_BYTES];
        char wwn[IDENTITY_TEXT_BYTES]; /* as lsblk shows it: 0x5000..., eui...., naa. */
        char firmware[IDENTITY_TEXT_BYTES];
        char partuuid[IDENTITY_TEXT_BYTES];
        char slot[IDENTITY_TEXT_BYTES];   /* enclosure and bay */
        char backing_file[PATH_MAX];      /* of a loop device; the path itself for a file */
        char users[IDENTITY_USERS_BYTES]; /* one a line, as a person would name it: "mounted at /srv", "md0", "swap" */
        uint64_t partition_offset_bytes;  /* of a partition on its disk, else 0 */
};

/*
 * The stable name under which the ledger knows a target: the partition's UUID (or its disk's identity and its place
 * there), else WWN, else model and serial, else the backing file, else the device's path for the few devices that have
 * no identity at all.
 */
void identity_key(char key[static IDENTITY_KEY_BYTES], const struct identity *identity, const char *path);

/* The most specific name of what was opened: what `destroys_data` must equal (design 9). "" where there is none. */
const char *identity_most_specific(const struct identity *identity);
