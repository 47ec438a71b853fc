/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libconfig could follow includes by itself, but it ends the whole process where an included file can't be read (a
 * directory), waits forever for a FIFO, and takes names as seen from the working directory. A running daemon that is
 * told to reload must survive all that, so the files are read here: regular ones only, and no more than a
 * configuration can need.
 */
#include "plan/source.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "plan/lexer.h"
#include "plan/settings_error.h"
#include "plan/utf8.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

struct source {
        char *text;
        size_t length, room;
        struct place {
                uint32_t file;
                int line;
        } * lines;
        size_t line_count, line_room;
        char *files[SOURCE_FILES_MAX];
        size_t file_count;
        size_t bytes_read; /* of all files: what includes of includes can multiply */
};

DEFINE_FREEP(struct source, source_free, source_freep)

/* The file that is being read, and those that included it. */
struct chain {
        const struct chain *parent;
        int line; /* of the include, in the parent */
        uint32_t file;
        dev_t device;
        ino_t inode;
};

/* Room for `more` elements of `size`, and then some. */
static int make_room(void **array, size_t *room, size_t count, size_t more, size_t size) {
        if (count + more <= *room)
                return 0;
        size_t grown = MAX(*room * 2, count + more);
        void *p = realloc(*array, grown * size);
        if (!p)
                return -ENOMEM;
        *array = p;
        *room = grown;
        return 0;
}

static bool at_line_start(const struct source *s) {
        return s->length == 0 || s->text[s->length - 1] == '\n';
}

/* Appends bytes that stand in `file` from `line` on. */
static int append(struct source *s, uint32_t file, int line, const char *bytes, size_t length) {
        void *text = s->text;
        int r = make_room(&text, &s->room, s->length, length + 1, 1);
        s->text = text;
        for (size_t i = 0; r == 0 && i < length; i++) {
                if (at_line_start(s)) {
                        void *lines = s->lines;
                        r = make_room(&lines, &s->line_room, s->line_count, 1, sizeof *s->lines);
                        s->lines = lines;
                        if (r < 0)
                                break;
                        s->lines[s->line_count++] = (struct place){ file, line };
                }
                s->text[s->length++] = bytes[i];
                line += bytes[i] == '\n';
        }
        if (r == 0)
                s->text[s->length] = '\0';
        return r;
}

/* A file that can't be had: the mistake is where it was asked for. */
static int unreadable(const struct source *s, struct settings_error *error, const struct chain *c, const char *why) {
        const char *name = s->files[c->file];
        if (!c->parent)
                return settings_error_set(error, name, 0, "%s", why);
        return settings_error_set(
                error, s->files[c->parent->file], c->line, "the included file \"%.200s\" %s", name, why);
}

static int open_failed(const struct source *s, struct settings_error *error, const struct chain *c, int reason) {
        char why[256];
        const char *remedy = reason == ENOENT ? "check its name"
                : reason == EACCES            ? "make it readable for the user that sweepd runs as"
                                              : "see why";
        text_format(why, sizeof why, "can't be read: %s: %s", strerror(reason), remedy);
        return unreadable(s, error, c, why);
}

/* The whole file, ended by NUL. It may grow or shrink while it is read: what counts is what came. */
static int read_file(struct source *s, struct settings_error *error, struct chain *c, char **ret) {
        /* Non-blocking, so that a FIFO is refused below and not waited for. */
        CLEANUP_CLOSE int fd = open(s->files[c->file], O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0)
                return open_failed(s, error, c, errno);
        if (S_ISDIR(st.st_mode))
                return unreadable(s, error, c, "is a directory: name a file");
        if (!S_ISREG(st.st_mode))
                return unreadable(s, error, c, "is not a regular file: name one");
        c->device = st.st_dev;
        c->inode = st.st_ino;
        CLEANUP_FREE char *text = malloc(SOURCE_BYTES_MAX + 1);
        if (!text)
                return -ENOMEM;
        size_t length = 0;
        for (ssize_t n = 1; n != 0;) {
                n = read(fd, text + length, SOURCE_BYTES_MAX + 1 - length);
                if (n < 0 && errno != EINTR)
                        return open_failed(s, error, c, errno);
                length += n > 0 ? (size_t)n : 0;
                if (s->bytes_read + length > SOURCE_BYTES_MAX)
                        return unreadable(
                                s, error, c, "makes the configuration larger than 1 MiB: is it the right file?");
        }
        s->bytes_read += length;
        if (memchr(text, '\0', length))
                return unreadable(s, error, c, "holds a zero byte and so is no text: is it the right file?");
        text[length] = '\0';
        *ret = STEAL(text);
        return 0;
}

/* Takes over the name. */
static int add_file(struct source *s, char *name, uint32_t *ret) {
        if (!name)
                return -ENOMEM;
        assert(s->file_count < SOURCE_FILES_MAX);
        s->files[s->file_count] = name;
        *ret = (uint32_t)s->file_count++;
        return 0;
}

/* As seen from the file that includes it. */
static char *included_name(const char *from, const char *name, size_t name_length) {
        const char *slash = strrchr(from, '/');
        size_t directory = *name == '/' || !slash ? 0 : (size_t)(slash + 1 - from);
        char *joined = malloc(directory + name_length + 1);
        if (!joined)
                return NULL;
        memcpy(joined, from, directory);
        memcpy(joined + directory, name, name_length);
        joined[directory + name_length] = '\0';
        return joined;
}

static int load(struct source *s, struct settings_error *error, struct chain *c, int depth);

static int load_included(
        struct source *s, struct settings_error *error, const struct chain *c, const struct lexer *include, int depth) {
        const char *from = s->files[c->file];
        if (depth == SOURCE_DEPTH_MAX)
                return settings_error_set(error, from, include->line,
                        "files include each other more than %d deep: include fewer", SOURCE_DEPTH_MAX);
        if (s->file_count == SOURCE_FILES_MAX)
                return settings_error_set(
                        error, from, include->line, "more than %d files: include fewer", SOURCE_FILES_MAX);
        struct chain below = { .parent = c, .line = include->line };
        int r = add_file(s, included_name(from, include->text, include->length), &below.file);
        if (r < 0)
                return r;
        if (!utf8_all_printable(s->files[below.file]))
                return settings_error_set(error, from, include->line,
                        "the name of the included file holds a control character or is not UTF-8: rename it");
        r = load(s, error, &below, depth + 1);
        if (r == 0 && !at_line_start(s))
                r = append(s, below.file, 1, "\n", 1);
        return r;
}

static bool includes_itself(const struct chain *c) {
        for (const struct chain *above = c->parent; above; above = above->parent)
                if (above->device == c->device && above->inode == c->inode)
                        return true;
        return false;
}

/* Appends the file with all that it includes. */
static int load(struct source *s, struct settings_error *error, struct chain *c, int depth) {
        CLEANUP_FREE char *text = NULL;
        int r = read_file(s, error, c, &text);
        if (r != 0)
                return r;
        assert(text);
        if (includes_itself(c))
                return unreadable(s, error, c, "includes itself in the end: take one of the includes out");
        struct lexer l;
        lexer_init(&l, text);
        const char *done = text;
        int done_line = 1;
        for (;;) {
                enum token token = lexer_next(&l);
                if (token == TOKEN_BAD)
                        return settings_error_set(error, s->files[c->file], l.line, "%s", l.mistake);
                if (token != TOKEN_INCLUDE && token != TOKEN_END)
                        continue;
                const char *end = token == TOKEN_END ? l.at : l.line_begin;
                r = append(s, c->file, done_line, done, (size_t)(end - done));
                if (r == 0 && token == TOKEN_INCLUDE)
                        r = load_included(s, error, c, &l, depth);
                if (r != 0 || token == TOKEN_END)
                        return r;
                done = l.at;
                done_line = l.at_line;
        }
}

int source_load(struct source **ret, struct settings_error *error, const char *file) {
        CLEANUP(source_freep)
        struct source *s = calloc(1, sizeof *s);
        if (!s)
                return -ENOMEM;
        struct chain c = { 0 };
        int r = add_file(s, strdup(file), &c.file);
        if (r == 0)
                r = append(s, c.file, 1, "", 0);
        if (r == 0)
                r = load(s, error, &c, 0);
        if (r == 0)
                *ret = STEAL(s);
        return r;
}

const char *source_text(const struct source *s) {
        return s->text;
}

void source_place(const struct source *s, int line, const char **file, int *file_line) {
        assert(line >= 1);
        if (s->line_count == 0) {
                *file = s->files[0];
                *file_line = 1;
                return;
        }
        const struct place *place = &s->lines[MIN((size_t)line, s->line_count) - 1];
        *file = s->files[place->file];
        *file_line = place->line;
}

struct source *source_free(struct source *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->file_count; i++)
                free(s->files[i]);
        free(s->lines);
        free(s->text);
        free(s);
        return NULL;
}
