/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reload replaces configurations while sweeps run on the old ones; counting references keeps each alive for as long
 * as somebody works by it. Only main counts, so the count needs no lock.
 */
#include "model/device_config.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "model/names.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const char *const mode_names[MODE_COUNT] = {
        [MODE_READ] = "read",
        [MODE_REFRESH] = "refresh",
        [MODE_PRESERVE] = "preserve",
        [MODE_PATTERN] = "pattern",
};

const char *sweep_mode_name(enum sweep_mode mode) {
        assert(mode < MODE_COUNT);
        return mode_names[mode];
}

int sweep_mode_from_name(enum sweep_mode *ret, const char *name) {
        int i = names_index(mode_names, MODE_COUNT, name);
        if (i < 0)
                return -EINVAL;
        *ret = (enum sweep_mode)i;
        return 0;
}

bool sweep_mode_serves(enum sweep_mode configured, enum sweep_mode swept) {
        return configured == swept || configured == MODE_READ || (configured == MODE_REFRESH && swept != MODE_READ);
}

DEFINE_FREEP(struct device_config, device_config_unref, device_config_unrefp)

int device_config_new(struct device_config **ret, const char *name, const char *path) {
        CLEANUP(device_config_unrefp)
        struct device_config *config = calloc(1, sizeof *config);
        if (!config)
                return -ENOMEM;
        config->references = 1;
        config->path = strdup(path);
        if (!config->path)
                return -ENOMEM;
        text_copy(config->name, sizeof config->name, name);
        config->mode = MODE_READ;
        config->block_size_bytes = 512 << 10;
        config->queue_depth = 16;
        config->narrow_budget_us = UINT64_C(60) * 1000000;
        config->io_timeout_us = UINT64_C(60) * 1000000;
        config->slow_after_us = UINT64_C(2) * 1000000;
        config->every_us = UINT64_C(30) * 24 * 3600 * 1000000;
        config->yield = true;
        config->settle_us = UINT64_C(60) * 1000000;
        config->rate_min_bytes = UINT64_C(8) << 20;
        *ret = STEAL(config);
        return 0;
}

/* Texts and the calendar are the entry's, which stays as long as the member. */
int device_config_member(
        struct device_config **ret, struct device_config *entry, const char *name, const char *path, const char *key) {
        CLEANUP(device_config_unrefp)
        struct device_config *config = NULL;
        int r = device_config_new(&config, name, path);
        if (r < 0)
                return r;
        char *own_path = config->path;
        *config = *entry;
        config->references = 1;
        config->entry = device_config_ref(entry);
        text_copy(config->name, sizeof config->name, name);
        config->path = own_path;
        config->match = config->exclude = NULL;
        config->key = strdup(key);
        if (!config->key)
                return -ENOMEM;
        *ret = STEAL(config);
        return 0;
}

static void free_texts(char **texts) {
        for (size_t i = 0; texts && texts[i]; i++)
                free(texts[i]);
        free(texts);
}

/* The smaller one is still as large as the caches of current drives, and two of them have to fit into a journal. */
uint64_t device_config_segment_bytes(const struct device_config *config, enum sweep_mode mode) {
        if (config->segment_bytes > 0)
                return config->segment_bytes;
        return sweep_mode_keeps(mode) ? DEVICE_CACHE_BYTES_MAX : UINT64_C(1) << 30;
}

uint64_t device_config_segment_least_bytes(
        const struct device_config *config, enum sweep_mode mode, uint64_t extent_bytes) {
        uint64_t most = device_config_segment_bytes(config, mode), share = extent_bytes / 100;
        if (config->segment_bytes > 0 || extent_bytes == 0)
                return most;
        share -= share % (UINT64_C(4) << 20); /* whole blocks of any size */
        return MIN(most, MAX(share, DEVICE_CACHE_BYTES_MAX));
}

struct extent device_config_extent(const struct device_config *config, uint64_t size_bytes) {
        uint64_t offset = config->offset_bytes, room = size_bytes > offset ? size_bytes - offset : 0;
        if (config->length_bytes > room)
                return (struct extent){ offset, 0 };
        return (struct extent){ offset, config->length_bytes ? config->length_bytes : room };
}

struct device_config *device_config_ref(struct device_config *config) {
        assert(config->references > 0);
        config->references++;
        return config;
}

static void free_own(struct device_config *config) {
        free_texts(config->match);
        free_texts(config->exclude);
        free(config->serial);
        free(config->destroys_data);
        free(config->journal);
        free(config->calendar);
}

struct device_config *device_config_unref(struct device_config *config) {
        if (!config)
                return NULL;
        assert(config->references > 0);
        if (--config->references > 0)
                return NULL;
        free(config->path);
        free(config->key);
        if (config->entry)
                device_config_unref(config->entry);
        else
                free_own(config);
        free(config);
        return NULL;
}
