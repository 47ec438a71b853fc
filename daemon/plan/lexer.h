/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lexer: cuts configuration text into words, as far as is needed to find includes, text without an end, and the place
 * of a mistake that libconfig only hints at. The grammar is libconfig's (its manual, "Configuration Files").
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum token {
        TOKEN_END,
        TOKEN_NAME,
        TOKEN_ASSIGN,  /* = or : */
        TOKEN_OPEN,    /* one of { ( [ */
        TOKEN_CLOSE,   /* one of } ) ] */
        TOKEN_INCLUDE, /* text and length are those of the file's name */
        TOKEN_OTHER,
        TOKEN_BAD /* lexer.mistake says why */
};

struct lexer {
        const char *at;
        const char *line_begin;
        int at_line;

        /* The last token. */
        const char *text;
        size_t length;
        int line;
        const char *mistake;
};

/* text: ended by NUL, borrowed. */
void lexer_init(struct lexer *l, const char *text);

/* After TOKEN_END or TOKEN_BAD it must not be called again. */
enum token lexer_next(struct lexer *l);

struct lexer_duplicate {
        const char *name;
        int name_length;
        int first_line, second_line;
};

/* Finds the first key that stands twice in one group. */
bool lexer_find_duplicate(struct lexer_duplicate *ret, const char *text);

struct lexer_dotted {
        const char *group, *key;
        int group_length, key_length;
};

/* Finds "group.key" in this line, where a key would have to stand. */
bool lexer_find_dotted(struct lexer_dotted *ret, const char *text, int line);
