/* SPDX-License-Identifier: Apache-2.0 */
/* pattern_list: the bytes that a sweep of mode pattern fills its extent with, one after the other, before its stamps.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        PATTERN_LIST_MAX = 16,
        PATTERN_TEXT_BYTES = 5, /* "0xaa" */
        PATTERN_LIST_TEXT_BYTES = PATTERN_LIST_MAX * PATTERN_TEXT_BYTES
};

struct pattern_list {
        uint8_t count;
        uint8_t bytes[PATTERN_LIST_MAX];
};

/* What keeps a pattern out of a list. */
enum {
        PATTERN_LIST_OK,
        PATTERN_LIST_E_WORD,  /* not 0x and two digits, 0x00 to 0xff */
        PATTERN_LIST_E_AGAIN, /* the same as the one before: nobody could tell whether it was written */
        PATTERN_LIST_E_FULL
};

int pattern_list_add(struct pattern_list *list, const char *word);

/* What to say of it, with the word in question: "... is not a pattern: ...". */
const char *pattern_list_problem(int problem);

void pattern_format(char text[static PATTERN_TEXT_BYTES], uint8_t byte);

bool pattern_list_is(const struct pattern_list *list, const struct pattern_list *other);

/* "0xaa,0x55"; "" for none. */
void pattern_list_format(char text[static PATTERN_LIST_TEXT_BYTES], const struct pattern_list *list);

/* The reverse. False: it is no such list, *ret is untouched. */
bool pattern_list_parse(struct pattern_list *ret, const char *text);
