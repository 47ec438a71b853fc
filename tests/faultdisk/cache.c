/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk with a volatile write cache answers for bytes that a power cut takes away, and takes them sector by sector in
 * any order. Only the newest version of each sector is kept before the image: an older one that had arrived would
 * have been written over in the same way. The image is mapped, so that a test that writes to the file behind the disk's
 * back is seen at once; a sector that waits in the cache hides such a write.
 */
#include "cache.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct cache {
        uint64_t size_bytes;
        enum cache_mode mode;
        uint8_t *image;
        uint8_t *pending;  /* of the disk's size; only the sectors that are dirty count */
        uint8_t *dirty;    /* one byte a sector */
        uint8_t *snapshot; /* NULL: none */
};

static uint64_t sector_count(const struct cache *cache) {
        return cache->size_bytes / SECTOR_BYTES;
}

uint64_t cache_random(uint64_t *state) {
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

static void *map_memory(uint64_t bytes) {
        void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        return memory == MAP_FAILED ? NULL : memory;
}

static int map_image(struct cache *cache, const char *path) {
        CLEANUP_CLOSE int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)
                                    : memfd_create("disk", MFD_CLOEXEC);
        struct stat status;
        if (fd < 0 || fstat(fd, &status) < 0)
                return -errno;
        if ((uint64_t)status.st_size < cache->size_bytes && ftruncate(fd, (off_t)cache->size_bytes) < 0)
                return -errno;
        void *image = mmap(NULL, cache->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (image == MAP_FAILED)
                return -errno;
        cache->image = image;
        return 0;
}

DEFINE_FREEP(struct cache, cache_free, cache_freep)

int cache_new(struct cache **ret, const char *image_path, uint64_t size_bytes) {
        CLEANUP(cache_freep)
        struct cache *cache = calloc(1, sizeof *cache);
        if (!cache)
                return -ENOMEM;
        cache->size_bytes = size_bytes;
        int r = map_image(cache, image_path);
        if (r < 0)
                return r;
        cache->pending = map_memory(size_bytes);
        cache->dirty = map_memory(sector_count(cache));
        if (!cache->pending || !cache->dirty)
                return -ENOMEM;
        *ret = STEAL(cache);
        return 0;
}

struct cache *cache_free(struct cache *cache) {
        if (!cache)
                return NULL;
        if (cache->image)
                munmap(cache->image, cache->size_bytes);
        if (cache->pending)
                munmap(cache->pending, cache->size_bytes);
        if (cache->dirty)
                munmap(cache->dirty, sector_count(cache));
        if (cache->snapshot)
                munmap(cache->snapshot, cache->size_bytes);
        free(cache);
        return NULL;
}

static void write_back(struct cache *cache, uint64_t sector) {
        memcpy(cache->image + sector * SECTOR_BYTES, cache->pending + sector * SECTOR_BYTES, SECTOR_BYTES);
        cache->dirty[sector] = false;
}

void cache_set_mode(struct cache *cache, enum cache_mode mode) {
        cache->mode = mode;
        if (mode == CACHE_OFF)
                cache_lose(cache, LOSS_KEEP, 0);
}

void cache_read(const struct cache *cache, uint64_t sector, uint8_t *to) {
        assert(sector < sector_count(cache));
        const uint8_t *from = cache->dirty[sector] ? cache->pending : cache->image;
        memcpy(to, from + sector * SECTOR_BYTES, SECTOR_BYTES);
}

void cache_write(struct cache *cache, uint64_t sector, const uint8_t *from) {
        assert(sector < sector_count(cache));
        memcpy((cache->mode == CACHE_OFF ? cache->image : cache->pending) + sector * SECTOR_BYTES, from, SECTOR_BYTES);
        cache->dirty[sector] = cache->mode != CACHE_OFF;
}

void cache_flush(struct cache *cache) {
        if (cache->mode == CACHE_VOLATILE)
                cache_lose(cache, LOSS_KEEP, 0);
}

void cache_lose(struct cache *cache, enum cache_loss loss, uint64_t seed) {
        for (uint64_t sector = 0; sector < sector_count(cache); sector++) {
                if (!cache->dirty[sector])
                        continue;
                if (loss == LOSS_KEEP || (loss == LOSS_RANDOM && cache_random(&seed) & 1))
                        write_back(cache, sector);
                else
                        cache->dirty[sector] = false;
        }
}

int cache_snapshot(struct cache *cache) {
        if (!cache->snapshot)
                cache->snapshot = map_memory(cache->size_bytes);
        if (!cache->snapshot)
                return -ENOMEM;
        for (uint64_t sector = 0; sector < sector_count(cache); sector++)
                cache_read(cache, sector, cache->snapshot + sector * SECTOR_BYTES);
        return 0;
}

void cache_read_snapshot(const struct cache *cache, uint64_t sector, uint8_t *to) {
        assert(sector < sector_count(cache));
        if (cache->snapshot)
                memcpy(to, cache->snapshot + sector * SECTOR_BYTES, SECTOR_BYTES);
        else
                memset(to, 0, SECTOR_BYTES);
}
