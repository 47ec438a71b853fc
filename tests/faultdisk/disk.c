/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request passes three stations: what hits it is decided under the lock, in the order of arrival, so that a seed and
 * a serial caller repeat a run exactly; then it waits (delay, model, hang) without the lock, so that others pass;
 * then bytes move, under the lock. A fault on its way to the data is a change of where each sector goes: nowhere for a
 * lost one, elsewhere for a misdirected one. So faults that meet in one request compose.
 */
#include "disk_private.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REQUEST_SECTORS = DISK_REQUEST_BYTES / SECTOR_BYTES };

enum { MODEL_SORTED_BYTES = 16 << 20 }; /* what a disk's queue holds of one stream */

static const uint64_t NOWHERE = UINT64_MAX;

struct request {
        enum disk_op op;
        uint64_t offset_bytes;
        uint64_t length_bytes;
        uint64_t arrived_us;
        size_t hit_count;
        struct rule hits[RULES_HITS_MAX];
};

uint64_t disk_now_us(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void sleep_until(uint64_t until_us) {
        struct timespec until = { .tv_sec = (time_t)(until_us / 1000000),
                .tv_nsec = (long)(until_us % 1000000) * 1000 };
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
                ;
}

DEFINE_FREEP(struct disk, disk_free, disk_freep)

int disk_new(struct disk **ret, const char *image_path, uint64_t size_bytes, uint64_t seed) {
        CLEANUP(disk_freep)
        struct disk *disk = calloc(1, sizeof *disk);
        if (!disk)
                return -ENOMEM;
        pthread_mutex_init(&disk->lock, NULL);
        pthread_cond_init(&disk->released, NULL);
        disk->size_bytes = disk->shown_bytes = size_bytes;
        disk->seed = seed;
        int r = cache_new(&disk->cache, image_path, size_bytes);
        if (r < 0)
                return r;
        *ret = STEAL(disk);
        return 0;
}

struct disk *disk_free(struct disk *disk) {
        if (!disk)
                return NULL;
        if (disk->log)
                fclose(disk->log);
        cache_free(disk->cache);
        pthread_cond_destroy(&disk->released);
        pthread_mutex_destroy(&disk->lock);
        free(disk);
        return NULL;
}

uint64_t disk_size_bytes(struct disk *disk) {
        pthread_mutex_lock(&disk->lock);
        uint64_t bytes = disk->shown_bytes;
        pthread_mutex_unlock(&disk->lock);
        return bytes;
}

void disk_release(struct disk *disk, int error) {
        disk->releases++;
        disk->release_error = error;
        pthread_cond_broadcast(&disk->released);
}

void disk_end(struct disk *disk) {
        pthread_mutex_lock(&disk->lock);
        disk->ended = true;
        disk_release(disk, EIO);
        pthread_mutex_unlock(&disk->lock);
}

/*
 * Whether the head has to move for it. A disk sorts what waits in its queue: so requests of one stream that come a
 * little out of order, as those that are made at the same time do, are served in passing.
 */
static bool model_seeks(const struct model *model, const struct request *request) {
        uint64_t at = request->offset_bytes, head = model->position_bytes;
        bool waited = request->arrived_us <= model->busy_until_us;
        if (request->op == DISK_FLUSH || at == head)
                return false;
        return !waited || MAX(at, head) - MIN(at, head) > MODEL_SORTED_BYTES;
}

/* When the head will have done with this request. */
static uint64_t model_done_us(struct model *model, const struct request *request) {
        if (!model->bytes_per_s)
                return 0;
        uint64_t from = MAX(request->arrived_us, model->busy_until_us);
        if (model_seeks(model, request))
                from += model->seek_us;
        model->position_bytes = request->offset_bytes + request->length_bytes;
        model->busy_until_us = from + request->length_bytes * 1000000 / model->bytes_per_s;
        return model->busy_until_us;
}

/* Waits for release. 0, or the errno that the request is to fail with. */
static int hang(struct disk *disk) {
        uint64_t before = disk->releases;
        disk->hanging++;
        while (disk->releases == before && !disk->ended)
                pthread_cond_wait(&disk->released, &disk->lock);
        disk->hanging--;
        return disk->ended ? EIO : disk->release_error;
}

/* The first two stations, entered and left with the lock held. 0, or the errno that the request is to fail with. */
static int request_begin(struct disk *disk, struct request *request) {
        request->arrived_us = disk_now_us();
        if (disk->gone_error)
                return disk->gone_error;
        request->hit_count = rules_match(
                &disk->rules, request->op, request->offset_bytes, request->length_bytes, request->hits, RULES_HITS_MAX);
        uint64_t until_us = model_done_us(&disk->model, request);
        int error = 0;
        for (size_t i = 0; i < request->hit_count; i++) {
                const struct rule *rule = request->hits + i;
                if (rule->action == RULE_DELAY)
                        until_us = MAX(until_us, request->arrived_us) + rule->delay_us;
                else if (rule->action == RULE_HANG && !error)
                        error = hang(disk);
                else if (rule->action == RULE_ERROR && !error)
                        error = rule->error;
        }
        pthread_mutex_unlock(&disk->lock);
        if (until_us)
                sleep_until(until_us);
        pthread_mutex_lock(&disk->lock);
        /* What was under way when the power failed, or the disk was pulled, fails too. */
        return disk->gone_error ? disk->gone_error : error;
}

static void request_log(struct disk *disk, const struct request *request, int error) {
        if (disk->log)
                fprintf(disk->log, "%s %" PRIu64 " %" PRIu64 " %d %" PRIu64 " %" PRIu64 "\n", disk_op_name(request->op),
                        request->offset_bytes, request->length_bytes, error, request->arrived_us, disk_now_us());
}

static bool rule_has_sector(const struct rule *rule, uint64_t sector) {
        uint64_t offset_bytes = sector * SECTOR_BYTES;
        return offset_bytes < rule->offset_bytes + rule->length_bytes &&
                rule->offset_bytes < offset_bytes + SECTOR_BYTES;
}

/* Where each sector of a write goes. */
static void route(const struct request *request, uint64_t disk_sectors, uint64_t *to, size_t count) {
        uint64_t first = request->offset_bytes / SECTOR_BYTES;
        for (size_t i = 0; i < count; i++)
                to[i] = first + i;
        for (size_t h = 0; h < request->hit_count; h++) {
                const struct rule *rule = request->hits + h;
                unsigned arrived = 0;
                for (size_t i = 0; i < count; i++) {
                        uint64_t sector = first + i;
                        if (!rule_has_sector(rule, sector))
                                continue;
                        if (rule->action == RULE_LOSE || (rule->action == RULE_TEAR && arrived++ >= rule->sectors))
                                to[i] = NOWHERE;
                        if (rule->action == RULE_MISDIRECT)
                                to[i] = sector + rule->to_bytes / SECTOR_BYTES - rule->offset_bytes / SECTOR_BYTES;
                        if (to[i] >= disk_sectors)
                                to[i] = NOWHERE;
                }
        }
}

static void flip_bit(uint8_t *data, const struct request *request, uint64_t bit) {
        uint64_t byte = bit / 8;
        if (byte >= request->offset_bytes && byte - request->offset_bytes < request->length_bytes)
                data[byte - request->offset_bytes] ^= (uint8_t)BIT(bit % 8);
}

/* Flips what one rule flips: the bit that it names, or as many different ones as it says, of those that both cover. */
static void flip(const struct disk *disk, const struct request *request, const struct rule *rule, uint8_t *data) {
        if (rule->bit != UINT64_MAX) {
                flip_bit(data, request, rule->offset_bytes * 8 + rule->bit);
                return;
        }
        uint64_t from = MAX(rule->offset_bytes, request->offset_bytes);
        uint64_t to = MIN(rule->offset_bytes + rule->length_bytes, request->offset_bytes + request->length_bytes);
        uint64_t state = disk->seed ^ ((uint64_t)rule->number << 32) ^ rule->hits;
        uint64_t span_bits = (to - from) * 8;
        uint64_t stride = span_bits / rule->bits;
        if (stride == 0)
                return;
        /* One in each of as many equal parts: no two are the same, and none flips back. */
        for (unsigned i = 0; i < rule->bits; i++)
                flip_bit(data, request, from * 8 + i * stride + cache_random(&state) % stride);
}

static void read_sectors(struct disk *disk, const struct request *request, uint8_t *to) {
        uint64_t first = request->offset_bytes / SECTOR_BYTES;
        for (size_t i = 0; i < request->length_bytes / SECTOR_BYTES; i++)
                cache_read(disk->cache, first + i, to + i * SECTOR_BYTES);
        for (size_t h = 0; h < request->hit_count; h++) {
                const struct rule *rule = request->hits + h;
                if (rule->action == RULE_FLIP)
                        flip(disk, request, rule, to);
                if (rule->action != RULE_ZERO && rule->action != RULE_STALE)
                        continue;
                for (size_t i = 0; i < request->length_bytes / SECTOR_BYTES; i++) {
                        uint8_t *sector = to + i * SECTOR_BYTES;
                        if (!rule_has_sector(rule, first + i))
                                continue;
                        if (rule->action == RULE_ZERO)
                                memset(sector, 0, SECTOR_BYTES);
                        else
                                cache_read_snapshot(disk->cache, first + i, sector);
                }
        }
}

/* data is ours to change. */
static void write_sectors(struct disk *disk, const struct request *request, uint8_t *data) {
        uint64_t to[REQUEST_SECTORS];
        size_t count = request->length_bytes / SECTOR_BYTES;
        for (size_t h = 0; h < request->hit_count; h++)
                if (request->hits[h].action == RULE_FLIP)
                        flip(disk, request, request->hits + h, data);
        route(request, disk->size_bytes / SECTOR_BYTES, to, count);
        for (size_t i = 0; i < count; i++)
                if (to[i] != NOWHERE)
                        cache_write(disk->cache, to[i], data + i * SECTOR_BYTES);
}

static int check_range(const struct disk *disk, uint64_t offset_bytes, size_t length_bytes) {
        if (offset_bytes % SECTOR_BYTES || length_bytes % SECTOR_BYTES || length_bytes > DISK_REQUEST_BYTES)
                return EINVAL;
        return offset_bytes > disk->shown_bytes || length_bytes > disk->shown_bytes - offset_bytes ? EIO : 0;
}

int disk_read(struct disk *disk, uint64_t offset_bytes, uint8_t *to, size_t length_bytes) {
        struct request request = { .op = DISK_READ, .offset_bytes = offset_bytes, .length_bytes = length_bytes };
        pthread_mutex_lock(&disk->lock);
        int error = check_range(disk, offset_bytes, length_bytes);
        if (!error)
                error = request_begin(disk, &request);
        if (!error)
                read_sectors(disk, &request, to);
        request_log(disk, &request, error);
        pthread_mutex_unlock(&disk->lock);
        return -error;
}

int disk_write(struct disk *disk, uint64_t offset_bytes, const uint8_t *from, size_t length_bytes) {
        struct request request = { .op = DISK_WRITE, .offset_bytes = offset_bytes, .length_bytes = length_bytes };
        CLEANUP_FREE uint8_t *data = malloc(MAX(length_bytes, (size_t)1));
        if (!data)
                return -ENOMEM;
        memcpy(data, from, length_bytes);
        pthread_mutex_lock(&disk->lock);
        int error = check_range(disk, offset_bytes, length_bytes);
        if (!error)
                error = request_begin(disk, &request);
        if (!error)
                write_sectors(disk, &request, data);
        request_log(disk, &request, error);
        pthread_mutex_unlock(&disk->lock);
        return -error;
}

int disk_flush(struct disk *disk) {
        struct request request = { .op = DISK_FLUSH };
        pthread_mutex_lock(&disk->lock);
        int error = request_begin(disk, &request);
        if (!error)
                cache_flush(disk->cache);
        request_log(disk, &request, error);
        pthread_mutex_unlock(&disk->lock);
        return -error;
}
