/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Escape sequences in a file or a pipe are garbage, and some people can't tell colours apart or don't want them. So
 * colour goes to terminals alone, and nothing is said by colour only.
 */
#include "paint.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool paint_possible(int fd) {
        const char *terminal = getenv("TERM");
        bool dumb = !terminal || !*terminal || strcmp(terminal, "dumb") == 0;
        return !dumb && isatty(fd);
}

bool paint_wanted(int fd) {
        const char *no_color = getenv("NO_COLOR");
        bool refused = no_color && *no_color;
        return !refused && paint_possible(fd);
}

void paint_text(FILE *to, bool wanted, enum paint paint, const char *text) {
        /* The eight colours that every terminal has, as its owner has set them (ECMA-48, SGR). */
        static const char *const begin[] = {
                [PAINT_DIM] = "\033[2m",
                [PAINT_GOOD] = "\033[32m",
                [PAINT_WARNING] = "\033[33m",
                [PAINT_ALARM] = "\033[1;31m",
        };
        if (paint == PAINT_PLAIN || !wanted)
                fputs(text, to);
        else
                fprintf(to, "%s%s\033[0m", begin[paint], text);
}
