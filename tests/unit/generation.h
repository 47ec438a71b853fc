/* SPDX-License-Identifier: Apache-2.0 */
/* generation: contents of several generations of one target, for tests that compare bytes. */
#pragma once

#include "suite.h"
#include "sweep/content.h"

enum { GENERATIONS = 4, GENERATION_TABLES = 12 };

#define GENERATION_TARGET UINT64_C(0x7461726765740001)

/* Check tells its runner of every assertion that it counts; loops have millions of these. */
#define HOLDS(seed, condition)                                                              \
        do {                                                                                \
                if (!(condition))                                                           \
                        ck_abort_msg("seed %" PRIu64 ": %s", (uint64_t)(seed), #condition); \
        } while (0)

struct generations {
        struct table_cache *tables;
        struct content of[GENERATIONS]; /* generation i + 1 */
};

static inline void generations_init(struct generations *g, uint64_t seed) {
        ck_assert_int_eq(table_cache_new(&g->tables, GENERATION_TABLES), 0);
        for (size_t i = 0; i < GENERATIONS; i++) {
                uint64_t nonce = suite_random(&seed);
                g->of[i] = (struct content){
                        .table = table_cache_get(g->tables, nonce),
                        .stamp = {
                                .mode = MODE_PATTERN,
                                .target_id = GENERATION_TARGET,
                                .generation = i + 1,
                                .nonce = nonce,
                                .started_us = UINT64_C(1700000000000000) + i,
                        },
                };
        }
}

static inline void generations_deinit(struct generations *g) {
        for (size_t i = 0; i < GENERATIONS; i++)
                table_unref((struct table *)g->of[i].table);
        g->tables = table_cache_free(g->tables);
}

static inline struct expectation expecting(const struct content *c) {
        return (struct expectation){ .count = 1, .candidates = { *c } };
}

static inline void flip_bit(uint8_t *bytes, size_t bit) {
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
}

static inline void random_bytes(uint64_t *state, uint8_t *bytes, size_t length) {
        for (size_t i = 0; i < length; i++)
                bytes[i] = (uint8_t)suite_random(state);
}
