/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table takes 0.2 ms to compute, and a recovery a twentieth of that. So all caches of tables are one, which stays
 * (the linker puts these functions in their place). Allocations of the programs that are tried can be made to fail.
 */
#include "undo_memory.h"

#include "failure.h"
#include "sweep/table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

int __real_table_cache_new(struct table_cache **ret, size_t capacity);
int __wrap_table_cache_new(struct table_cache **ret, size_t capacity);
struct table_cache *__wrap_table_cache_free(struct table_cache *cache);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);

enum { TABLES = 24 };

static uint64_t fails, taken;

void memory_fail(uint64_t n) {
        fails = n;
        taken = 0;
}

uint64_t memory_taken(void) {
        return taken;
}

static bool is_refused(void) {
        return ++taken == fails;
}

void *__wrap_calloc(size_t count, size_t bytes) {
        return is_refused() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
        return is_refused() ? NULL : __real_aligned_alloc(alignment, bytes);
}

int __wrap_table_cache_new(struct table_cache **ret, size_t capacity) {
        static struct table_cache *all;
        (void)capacity;
        if (is_refused())
                return -ENOMEM;
        uint64_t failing = fails;
        fails = 0;
        if (!all)
                MUST(__real_table_cache_new(&all, TABLES) == 0, "out of memory");
        fails = failing;
        *ret = all;
        return 0;
}

struct table_cache *__wrap_table_cache_free(struct table_cache *cache) {
        (void)cache;
        return NULL;
}
