/* SPDX-License-Identifier: Apache-2.0 */
/* names: looks a word up in a table of names; the tables themselves are private to the records' modules. */
#pragma once

#include <stdbool.h>
#include <string.h>

/* The index of `word`, or -1. Entries may be NULL. */
static inline int names_index(const char *const *table, int count, const char *word) {
        for (int i = 0; i < count; i++)
                if (table[i] && strcmp(table[i], word) == 0)
                        return i;
        return -1;
}
