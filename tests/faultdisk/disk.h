/* SPDX-License-Identifier: Apache-2.0 */
/* disk: a disk that misbehaves by rules. May be called from many threads; a request waits in its own. */
#pragma once

#include "rules.h"

#include <stddef.h>
#include <stdint.h>

struct disk;

enum { DISK_REQUEST_BYTES = 1024 * 1024, DISK_ANSWER_BYTES = 512 };

/* image_path NULL: in memory. size_bytes: in whole sectors. Negative errno. */
int disk_new(struct disk **ret, const char *image_path, uint64_t size_bytes, uint64_t seed);

/* No request may be under way. Accepts NULL; returns NULL. */
struct disk *disk_free(struct disk *disk);

uint64_t disk_size_bytes(struct disk *disk);

/* In whole sectors, at most DISK_REQUEST_BYTES. 0, or the negative errno that the disk answers with. */
int disk_read(struct disk *disk, uint64_t offset_bytes, uint8_t *to, size_t length_bytes);
int disk_write(struct disk *disk, uint64_t offset_bytes, const uint8_t *from, size_t length_bytes);
int disk_flush(struct disk *disk);

/*
 * Does what one line says (faultdisk.c lists the commands), and fills in the answer: "ok", or "error", and a text. The
 * line is split in place.
 */
void disk_command(struct disk *disk, char *line, char answer[static DISK_ANSWER_BYTES]);

/* Lets all requests that wait fail, from now on. */
void disk_end(struct disk *disk);
