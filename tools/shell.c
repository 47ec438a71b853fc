/* SPDX-License-Identifier: Apache-2.0 */
/* A comment with a quote or a dollar in it must reach the far side as it was typed, and never be run there. */
#include "shell.h"

#include <string.h>

static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:,+-";

void shell_put(FILE *to, const char *word) {
        fputc(' ', to);
        if (*word && word[strspn(word, plain)] == '\0') {
                fputs(word, to);
                return;
        }
        fputc('\'', to);
        for (; *word; word++)
                fputs(*word == '\'' ? "'\\''" : (const char[]){ *word, '\0' }, to);
        fputc('\'', to);
}
