/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table that wraps is unreadable, and one that cuts off a device's name can't be acted on. So optional columns go
 * first, then plain cells are shortened, and long keys get a line of their own.
 */
#include "table.h"

#include "base/cleanup.h"
#include "must.h"
#include "page.h"
#include "printable.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* WIDTH_NARROW: below, keys are cut off, too: a line that wraps is a picture that falls apart. */
enum { GAP = 2, WIDTH_MIN = 8, WIDTH_NARROW = 40, NOTE_INDENT = 4 };

struct row {
        char *cells[TABLE_COLUMNS_MAX];
        char *note;
        enum paint paint;
};

struct table {
        const struct column *columns;
        size_t column_count;
        struct row *rows;
        size_t row_count, row_room;
};

/* How a table is laid out: a width of 0 leaves the column out. */
struct layout {
        size_t widths[TABLE_COLUMNS_MAX];
        size_t last; /* the last column that is shown */
};

struct table *table_new(const struct column *columns, size_t count) {
        assert(count > 0);
        assert(count <= TABLE_COLUMNS_MAX);
        struct table *t = must(calloc(1, sizeof *t));
        t->columns = columns;
        t->column_count = count;
        return t;
}

struct table *table_free(struct table *t) {
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->row_count; i++) {
                for (size_t j = 0; j < t->column_count; j++)
                        free(t->rows[i].cells[j]);
                free(t->rows[i].note);
        }
        free(t->rows);
        free(t);
        return NULL;
}

void table_add(struct table *t, const char *const *cells) {
        if (t->row_count == t->row_room) {
                t->row_room = t->row_room ? 2 * t->row_room : 64;
                t->rows = must(reallocarray(t->rows, t->row_room, sizeof *t->rows));
        }
        struct row *row = &t->rows[t->row_count++];
        *row = (struct row){ 0 };
        for (size_t i = 0; i < t->column_count; i++)
                row->cells[i] = must(strdup(cells[i]));
}

void table_paint(struct table *t, enum paint paint) {
        assert(t->row_count > 0);
        t->rows[t->row_count - 1].paint = paint;
}

void table_note(struct table *t, const char *note) {
        assert(t->row_count > 0);
        struct row *row = &t->rows[t->row_count - 1];
        assert(!row->note);
        row->note = must(strdup(note));
}

static size_t total_width(const struct table *t, const struct layout *l) {
        size_t total = 0, shown = 0;
        for (size_t i = 0; i < t->column_count; i++) {
                total += l->widths[i];
                shown += l->widths[i] > 0;
        }
        return total + GAP * (shown - 1);
}

/* Takes from the columns of one kind what is too much, down to a least width. */
static void shrink(const struct table *t, struct layout *l, enum column_kind kind, size_t width) {
        for (size_t i = 0; i < t->column_count; i++) {
                size_t total = total_width(t, l);
                if (total <= width || t->columns[i].kind != kind || l->widths[i] <= WIDTH_MIN)
                        continue;
                l->widths[i] -= MIN(total - width, l->widths[i] - WIDTH_MIN);
        }
}

static struct layout lay_out(const struct table *t, size_t width) {
        struct layout l = { 0 };
        for (size_t i = 0; i < t->column_count; i++) {
                l.widths[i] = printable_columns(t->columns[i].title);
                for (size_t j = 0; j < t->row_count; j++)
                        l.widths[i] = MAX(l.widths[i], printable_columns(t->rows[j].cells[i]));
        }
        for (size_t i = t->column_count; i-- > 0;)
                if (t->columns[i].kind == COLUMN_OPTIONAL && total_width(t, &l) > width)
                        l.widths[i] = 0;
        shrink(t, &l, COLUMN_KEY, width);
        shrink(t, &l, COLUMN_PLAIN, width);
        for (size_t i = 0; i < t->column_count; i++)
                if (l.widths[i] > 0)
                        l.last = i;
        return l;
}

static void print_cut(FILE *to, const char *text, size_t width) {
        size_t dots = MIN(width, (size_t)3);
        fprintf(to, "%.*s%.*s", (int)printable_bytes(text, width - dots), text, (int)dots, "...");
}

/* Up to this column: a terminal narrower than the least widths gets the first columns. */
static void print_row(const struct table *t, const struct layout *l, char *const *cells, FILE *to, size_t end) {
        size_t at = 0, is_at = 0; /* where the cell belongs, and how far the line is */
        bool alone = false;       /* nothing goes behind the last cell any more */
        for (size_t i = 0; i <= l->last && at < end; i++) {
                size_t width = MIN(l->widths[i], end - at), columns = printable_columns(cells[i]);
                if (width == 0)
                        continue;
                fprintf(to, "%s%*s", alone ? "\n" : "", (int)(alone ? at : at - is_at), "");
                is_at = at + MIN(width, columns);
                alone = columns > width && t->columns[i].kind == COLUMN_KEY && end >= WIDTH_NARROW;
                if (columns <= width || alone)
                        fputs(cells[i], to);
                else
                        print_cut(to, cells[i], width);
                at += l->widths[i] + GAP;
        }
}

static void print_painted(
        const struct table *t, const struct layout *l, const struct row *row, FILE *to, size_t width) {
        CLEANUP_FREE char *line = NULL;
        size_t line_bytes;
        FILE *text = must(open_memstream(&line, &line_bytes));
        print_row(t, l, row->cells, text, width);
        must_succeed(fclose(text));
        paint_text(to, row->paint != PAINT_PLAIN && paint_wanted(page_output()), row->paint, line);
}

void table_print(const struct table *t, FILE *to, size_t width) {
        struct layout l = lay_out(t, width);
        char *titles[TABLE_COLUMNS_MAX];
        for (size_t i = 0; i < t->column_count; i++)
                titles[i] = (char *)t->columns[i].title;
        print_row(t, &l, titles, to, width);
        fputc('\n', to);
        for (size_t i = 0; i < t->row_count; i++) {
                print_painted(t, &l, &t->rows[i], to, width);
                fputc('\n', to);
                if (t->rows[i].note)
                        page_text(to, width, NOTE_INDENT, NOTE_INDENT, t->rows[i].note);
        }
}
