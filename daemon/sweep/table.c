/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table is what makes verification exact: both sides are computed, neither is remembered. It must not compress
 * (drives do), must differ between generations (or an old unit would pass for a new one), and must be the same on every
 * machine for the same nonce, whatever the byte order. Its memory is taken when a sweep starts, never later. A fixed
 * pattern is looked up apart: a nonce may be any number, that of a byte too.
 */
#include "sweep/table.h"

#include "base/cleanup.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

struct table_cache {
        size_t capacity;
        uint64_t clock;
        uint8_t *memory;
        struct table tables[];
};

static void compute(struct table *t, uint64_t nonce) {
        uint64_t state = layout_mix(~nonce);
        uint64_t *words = (void *)t->bytes; /* aligned: carved from page-aligned memory */
        for (size_t i = 0; i < TABLE_BYTES / sizeof *words; i++) {
                state += UINT64_C(0x9e3779b97f4a7c15);
                words[i] = htole64(layout_mix(state));
        }
}

DEFINE_FREEP(struct table_cache, table_cache_free, table_cache_freep)

int table_cache_new(struct table_cache **ret, size_t capacity) {
        assert(capacity > 0);
        CLEANUP(table_cache_freep)
        struct table_cache *cache = calloc(1, sizeof *cache + capacity * sizeof cache->tables[0]);
        if (!cache)
                return -ENOMEM;
        cache->memory = aligned_alloc(4096, capacity * TABLE_BYTES);
        if (!cache->memory)
                return -ENOMEM;
        cache->capacity = capacity;
        for (size_t i = 0; i < capacity; i++)
                cache->tables[i].bytes = cache->memory + i * TABLE_BYTES;
        *ret = STEAL(cache);
        return 0;
}

struct table_cache *table_cache_free(struct table_cache *cache) {
        if (!cache)
                return NULL;
        for (size_t i = 0; i < cache->capacity; i++)
                assert(cache->tables[i].references == 0);
        free(cache->memory);
        free(cache);
        return NULL;
}

static struct table *get(struct table_cache *cache, bool fixed, uint64_t nonce) {
        struct table *oldest = NULL;
        cache->clock++;
        for (size_t i = 0; i < cache->capacity; i++) {
                struct table *t = &cache->tables[i];
                if (t->used_at > 0 && t->fixed == fixed && t->nonce == nonce) {
                        t->used_at = cache->clock;
                        return table_ref(t);
                }
                if (t->references == 0 && (!oldest || t->used_at < oldest->used_at))
                        oldest = t;
        }
        if (!oldest)
                return NULL;
        if (fixed)
                memset(oldest->bytes, (int)nonce, TABLE_BYTES);
        else
                compute(oldest, nonce);
        oldest->fixed = fixed;
        oldest->nonce = nonce;
        oldest->used_at = cache->clock;
        return table_ref(oldest);
}

struct table *table_cache_get(struct table_cache *cache, uint64_t nonce) {
        return get(cache, false, nonce);
}

struct table *table_cache_get_fixed(struct table_cache *cache, uint8_t byte) {
        return get(cache, true, byte);
}

struct table *table_ref(struct table *t) {
        t->references++;
        return t;
}

struct table *table_unref(struct table *t) {
        if (t) {
                assert(t->references > 0);
                t->references--;
        }
        return NULL;
}
