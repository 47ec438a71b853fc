/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libconfig takes some mistakes for good: a comment without an end swallows every device behind it, a number above
 * 2^31 loses its upper bits, a \x00 cuts a path off. Each would let a configuration pass that isn't the one written,
 * so they are found here, before libconfig sees the text.
 */
#include "plan/lexer.h"

#include "base/cleanup.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>

#define BLANKS      " \t\r\f\v"
#define DIGITS      "0123456789"
#define LETTERS     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ*"
#define INCLUDE     "@include"
#define NAME_OTHERS LETTERS DIGITS "-_"

void lexer_init(struct lexer *l, const char *text) {
        *l = (struct lexer){ .at = text, .line_begin = text, .at_line = 1, .line = 1, .text = text };
}

static void advance(struct lexer *l, size_t bytes) {
        for (const char *end = l->at + bytes; l->at < end; l->at++)
                if (*l->at == '\n') {
                        l->at_line++;
                        l->line_begin = l->at + 1;
                }
}

static enum token bad(struct lexer *l, const char *mistake) {
        l->mistake = mistake;
        return TOKEN_BAD;
}

/* False: a comment without an end, which begins at l->text. */
static bool skip_space(struct lexer *l) {
        for (;;) {
                l->text = l->at;
                l->line = l->at_line;
                if (*l->at && strchr(BLANKS "\n", *l->at)) {
                        advance(l, strspn(l->at, BLANKS "\n"));
                } else if (*l->at == '#' || strncmp(l->at, "//", 2) == 0) {
                        advance(l, strcspn(l->at, "\n"));
                } else if (strncmp(l->at, "/*", 2) == 0) {
                        const char *end = strstr(l->at + 2, "*/");
                        if (!end)
                                return false;
                        advance(l, (size_t)(end + 2 - l->at));
                } else {
                        return true;
                }
        }
}

static enum token string(struct lexer *l) {
        const char *p = l->at + 1;
        while (*p && *p != '"') {
                if (strncmp(p, "\\x00", 4) == 0)
                        return bad(l, "a string can't hold \\x00: take it out");
                p += *p == '\\' && p[1] ? 2 : 1;
        }
        if (!*p)
                return bad(l, "the string that begins here has no end: add the closing quote");
        advance(l, (size_t)(p + 1 - l->at));
        return TOKEN_OTHER;
}

/* libconfig keeps 32 bits; what it would cut off is refused. Floats pass: no key takes one. */
static enum token number(struct lexer *l) {
        bool hex = l->at[0] == '0' && (l->at[1] == 'x' || l->at[1] == 'X');
        const char *p = hex ? l->at + 2 : l->at;
        uint64_t value = 0;
        for (int digit; *p; p++) {
                if (*p >= '0' && *p <= '9')
                        digit = *p - '0';
                else if (hex && ((*p >= 'a' && *p <= 'f') || (*p >= 'A' && *p <= 'F')))
                        digit = (*p | 0x20) - 'a' + 10;
                else
                        break;
                value = value * (hex ? 16 : 10) + (uint64_t)digit;
                if (value > INT32_MAX)
                        return bad(l, "this number is too large for any key");
        }
        advance(l, (size_t)(p - l->at));
        return TOKEN_OTHER;
}

/* Nothing that libconfig could take for an include may remain: it would follow it (see source.c for why not). */
static enum token include(struct lexer *l) {
        bool begins_line = l->line_begin + strspn(l->line_begin, BLANKS) == l->at;
        if (!begins_line || strncmp(l->at, INCLUDE, strlen(INCLUDE)) != 0)
                return bad(l, "@ can only stand at the start of a line, in @include \"FILE\"");
        const char *p = l->at + strlen(INCLUDE);
        p += strspn(p, BLANKS);
        if (*p != '"')
                return bad(l, "expected @include \"FILE\"");
        l->text = p + 1;
        l->length = strcspn(l->text, "\"\\\n");
        if (l->text[l->length] != '"' || l->length == 0)
                return bad(l, "expected @include \"FILE\", on one line and without a backslash");
        advance(l, (size_t)(l->text + l->length + 1 - l->at));
        return TOKEN_INCLUDE;
}

static enum token of_length(struct lexer *l, enum token token, size_t length) {
        advance(l, length);
        return token;
}

enum token lexer_next(struct lexer *l) {
        if (!skip_space(l))
                return bad(l, "the comment that begins here has no end: add */");
        enum token token;
        if (!*l->at)
                token = TOKEN_END;
        else if (*l->at == '"')
                token = string(l);
        else if (strchr(DIGITS, *l->at))
                token = number(l);
        else if (strchr(LETTERS, *l->at))
                token = of_length(l, TOKEN_NAME, strspn(l->at, NAME_OTHERS));
        else if (strchr("=:", *l->at))
                token = of_length(l, TOKEN_ASSIGN, 1);
        else if (strchr("{([", *l->at))
                token = of_length(l, TOKEN_OPEN, 1);
        else if (strchr("})]", *l->at))
                token = of_length(l, TOKEN_CLOSE, 1);
        else if (*l->at == '@')
                return include(l);
        else
                token = of_length(l, TOKEN_OTHER, 1);
        l->length = (size_t)(l->at - l->text);
        return token;
}

/* The keys of the groups that are open at one place of the text: those of the innermost one last. */
enum { DEPTH_MAX = 64 };
struct open_keys {
        struct open_key {
                const char *name;
                size_t length;
                int line;
        } * keys;
        size_t count, room;
        size_t begin[DEPTH_MAX]; /* of each open group, in keys */
        size_t depth;
};

static const struct open_key *find_open(const struct open_keys *open, const struct open_key *key) {
        for (size_t i = open->begin[open->depth]; i < open->count; i++)
                if (open->keys[i].length == key->length && memcmp(open->keys[i].name, key->name, key->length) == 0)
                        return &open->keys[i];
        return NULL;
}

static bool remember(struct open_keys *open, struct open_key key) {
        if (open->count == open->room) {
                size_t room = open->room ? open->room * 2 : 64;
                struct open_key *keys = realloc(open->keys, room * sizeof *keys);
                if (!keys)
                        return false;
                open->keys = keys;
                open->room = room;
        }
        open->keys[open->count++] = key;
        return true;
}

/* False: deeper than any configuration, or more closed than opened. */
static bool enter_or_leave(struct open_keys *open, enum token token) {
        if (token == TOKEN_OPEN) {
                if (open->depth + 1 == DEPTH_MAX)
                        return false;
                open->begin[++open->depth] = open->count;
        } else if (token == TOKEN_CLOSE) {
                if (open->depth == 0)
                        return false;
                open->count = open->begin[open->depth--];
        }
        return true;
}

static bool find_duplicate(struct open_keys *open, struct lexer_duplicate *ret, const char *text) {
        struct lexer l;
        lexer_init(&l, text);
        struct open_key last = { 0 };
        for (;;) {
                enum token token = lexer_next(&l);
                if (token == TOKEN_END || token == TOKEN_BAD || !enter_or_leave(open, token))
                        return false;
                if (token == TOKEN_ASSIGN && last.name) {
                        const struct open_key *first = find_open(open, &last);
                        if (first) {
                                *ret = (struct lexer_duplicate){ last.name, (int)last.length, first->line, last.line };
                                return true;
                        }
                        if (!remember(open, last))
                                return false;
                }
                last = token == TOKEN_NAME ? (struct open_key){ l.text, l.length, l.line } : (struct open_key){ 0 };
        }
}

bool lexer_find_duplicate(struct lexer_duplicate *ret, const char *text) {
        struct open_keys open = { 0 };
        bool found = find_duplicate(&open, ret, text);
        free(open.keys);
        return found;
}

bool lexer_find_dotted(struct lexer_dotted *ret, const char *text, int line) {
        struct lexer l;
        lexer_init(&l, text);
        struct lexer group = l;
        for (bool dot = false;;) {
                enum token token = lexer_next(&l);
                if (token == TOKEN_END || token == TOKEN_BAD || l.line > line)
                        return false;
                if (token == TOKEN_NAME && dot && l.line == line) {
                        *ret = (struct lexer_dotted){ group.text, l.text, (int)group.length, (int)l.length };
                        return true;
                }
                dot = token == TOKEN_OTHER && *l.text == '.' && group.length > 0;
                if (token == TOKEN_NAME)
                        group = l;
                else if (!dot)
                        group.length = 0;
        }
}
