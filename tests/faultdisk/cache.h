/* SPDX-License-Identifier: Apache-2.0 */
/* cache: the bytes of a fault disk: the image, a volatile write cache before it, and a snapshot. In 512-byte sectors.
 */
#pragma once

#include <stdint.h>

enum { SECTOR_BYTES = 512 };

enum cache_mode {
        CACHE_OFF,      /* what is written is in the image at once */
        CACHE_VOLATILE, /* until a flush it is in memory alone */
        CACHE_LYING     /* flushes are acknowledged, and do nothing */
};

enum cache_loss { LOSS_DROP, LOSS_KEEP, LOSS_RANDOM };

struct cache;

/* image_path NULL: in memory. The file is made, or grown, to size_bytes. Negative errno. */
int cache_new(struct cache **ret, const char *image_path, uint64_t size_bytes);

/* What was not flushed is lost. Accepts NULL; returns NULL. */
struct cache *cache_free(struct cache *cache);

void cache_set_mode(struct cache *cache, enum cache_mode mode);

void cache_read(const struct cache *cache, uint64_t sector, uint8_t *to);
void cache_write(struct cache *cache, uint64_t sector, const uint8_t *from);
void cache_flush(struct cache *cache);

/* What was not flushed when the power fails: each sector is dropped or kept by itself. */
void cache_lose(struct cache *cache, enum cache_loss loss, uint64_t seed);

/* Keeps a copy of the disk as it reads now, in place of the one before. -ENOMEM. */
int cache_snapshot(struct cache *cache);

/* As cache_read(); zeros where no snapshot was taken. */
void cache_read_snapshot(const struct cache *cache, uint64_t sector, uint8_t *to);

/* The next number of a sequence that its seed determines (SplitMix64, Steele, Lea and Flood 2014). */
uint64_t cache_random(uint64_t *state);
