/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table: 1 MiB of incompressible bytes that follow from a nonce: what the units of one generation are made of; or, for
 * a fixed pattern, of one byte. A cache keeps the few that a sweep needs at a time. One thread counts references and
 * looks tables up; any may read them.
 */
#pragma once

#include "sweep/layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
        bool fixed;     /* of one byte, without stamps and marks: */
        uint64_t nonce; /* that byte */
        unsigned references;
        uint64_t used_at;
        uint8_t *bytes; /* TABLE_BYTES */
};

/* The table's bytes for the sector at this offset of the target (a multiple of 512). */
static inline const uint8_t *table_sector(const struct table *t, uint64_t offset_bytes) {
        return t->bytes + offset_bytes % TABLE_BYTES;
}

struct table_cache;

/* capacity: tables that may be referenced at one time. -ENOMEM. */
int table_cache_new(struct table_cache **ret, size_t capacity);

/* Nothing may be referenced any more. Accepts NULL; returns NULL. */
struct table_cache *table_cache_free(struct table_cache *cache);

/* The table of this nonce with one more reference; NULL where all are in use. Computing one takes about 0.2 ms. */
struct table *table_cache_get(struct table_cache *cache, uint64_t nonce);

/* The same, of one byte. */
struct table *table_cache_get_fixed(struct table_cache *cache, uint8_t byte);

struct table *table_ref(struct table *t);

/* Accepts NULL; returns NULL. */
struct table *table_unref(struct table *t);
