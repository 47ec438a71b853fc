/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte that is no UTF-8 would make the daemon's replies invalid JSON, and a control character in a message could
 * rewrite somebody's terminal. Overlong forms and surrogates are not UTF-8: let through, they would fail further on.
 */
#include "plan/utf8.h"

#include <stdint.h>

size_t utf8_printable(const char *text) {
        static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
        const unsigned char *p = (const unsigned char *)text;
        if (p[0] < 0x80)
                return p[0] >= 0x20 && p[0] != 0x7f;
        size_t length = p[0] >= 0xf8 ? 0 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc0 ? 2 : 0;
        if (length == 0)
                return 0;
        uint32_t character = p[0] & (0x7fU >> length);
        for (size_t i = 1; i < length; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                character = character << 6 | (p[i] & 0x3f);
        }
        if (character < smallest[length] || character > 0x10ffff)
                return 0;
        if (character < 0xa0 || (character >= 0xd800 && character <= 0xdfff))
                return 0;
        return length;
}

bool utf8_all_printable(const char *text) {
        while (*text) {
                size_t length = utf8_printable(text);
                if (length == 0)
                        return false;
                text += length;
        }
        return true;
}

void utf8_make_printable(char *text) {
        while (*text) {
                size_t length = utf8_printable(text);
                if (length == 0) {
                        *text = '?';
                        length = 1;
                }
                text += length;
        }
}
