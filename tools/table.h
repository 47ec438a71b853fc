/* SPDX-License-Identifier: Apache-2.0 */
/* table: rows of printable text in columns that fit a width. */
#pragma once

#include "paint.h"

#include <stddef.h>
#include <stdio.h>

struct table;

enum column_kind {
        COLUMN_PLAIN,    /* cut off where it does not fit */
        COLUMN_KEY,      /* typed again, so not cut off on 40 columns or more: a long one gets a line to itself */
        COLUMN_OPTIONAL, /* left out where the table is too wide, the last one first */
};

struct column {
        const char *title;
        enum column_kind kind;
};

enum { TABLE_COLUMNS_MAX = 12 };

/* The columns are borrowed. */
struct table *table_new(const struct column *columns, size_t count);

/* Accepts NULL; returns NULL. */
struct table *table_free(struct table *t);

/* Copies as many cells as there are columns. */
void table_add(struct table *t, const char *const *cells);

/* The colour of the last row, where it is wanted. */
void table_paint(struct table *t, enum paint paint);

/* Text that follows the last row, indented, in as many lines as it needs. */
void table_note(struct table *t, const char *note);

void table_print(const struct table *t, FILE *to, size_t width);
