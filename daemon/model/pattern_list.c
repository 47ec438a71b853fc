/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One spelling for people, the ledger and the interface. What is accepted too freely ("0x1" for 0x10, 256 for 0) would
 * be written all over a disk before somebody notices, so a word is taken only if it is whole.
 */
#include "model/pattern_list.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <assert.h>
#include <string.h>

static int digit_value(char digit) {
        static const char digits[] = "0123456789abcdef";
        const char *at = digit ? strchr(digits, digit >= 'A' && digit <= 'F' ? digit - 'A' + 'a' : digit) : NULL;
        return at ? (int)(at - digits) : -1;
}

int pattern_list_add(struct pattern_list *list, const char *word) {
        if (strlen(word) != PATTERN_TEXT_BYTES - 1 || word[0] != '0' || word[1] != 'x')
                return PATTERN_LIST_E_WORD;
        int high = digit_value(word[2]), low = digit_value(word[3]);
        if (high < 0 || low < 0)
                return PATTERN_LIST_E_WORD;
        uint8_t byte = (uint8_t)(high << 4 | low);
        if (list->count == PATTERN_LIST_MAX)
                return PATTERN_LIST_E_FULL;
        if (list->count > 0 && list->bytes[list->count - 1] == byte)
                return PATTERN_LIST_E_AGAIN;
        list->bytes[list->count++] = byte;
        return PATTERN_LIST_OK;
}

const char *pattern_list_problem(int problem) {
        static const char *const problems[] = {
                [PATTERN_LIST_E_WORD] = "is not a pattern: write a byte as 0x and two digits, \"0x00\" to \"0xff\"",
                [PATTERN_LIST_E_AGAIN] =
                        "stands twice in a row: nobody could tell whether it was written the second time",
                [PATTERN_LIST_E_FULL] = "is one too many: give at most 16 patterns",
        };
        static_assert(PATTERN_LIST_MAX == 16, "the text says so");
        assert(problem > 0 && (size_t)problem < ELEMENTS(problems));
        return problems[problem];
}

bool pattern_list_is(const struct pattern_list *list, const struct pattern_list *other) {
        return list->count == other->count && memcmp(list->bytes, other->bytes, list->count) == 0;
}

void pattern_format(char text[static PATTERN_TEXT_BYTES], uint8_t byte) {
        text_format(text, PATTERN_TEXT_BYTES, "0x%02x", byte);
}

void pattern_list_format(char text[static PATTERN_LIST_TEXT_BYTES], const struct pattern_list *list) {
        assert(list->count <= PATTERN_LIST_MAX);
        text[0] = '\0';
        for (size_t i = 0; i < list->count; i++)
                text_append(text, PATTERN_LIST_TEXT_BYTES, "%s0x%02x", i > 0 ? "," : "", list->bytes[i]);
}

bool pattern_list_parse(struct pattern_list *ret, const char *text) {
        struct pattern_list list = { 0 };
        for (bool more = *text; more;) {
                char word[PATTERN_TEXT_BYTES];
                size_t length = strcspn(text, ",");
                if (length >= sizeof word)
                        return false;
                memcpy(word, text, length);
                word[length] = '\0';
                if (pattern_list_add(&list, word) != PATTERN_LIST_OK)
                        return false;
                more = text[length] == ',';
                text += length + more;
        }
        *ret = list;
        return true;
}
