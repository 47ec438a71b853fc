/* SPDX-License-Identifier: Apache-2.0 */
/* paint: colour, on a terminal that has it and for people who want it (NO_COLOR is kept, see no-color.org). */
#pragma once

#include <stdbool.h>
#include <stdio.h>

enum paint { PAINT_PLAIN, PAINT_DIM, PAINT_GOOD, PAINT_WARNING, PAINT_ALARM };

/* Whether a terminal is there that takes escape sequences. */
bool paint_possible(int fd);

/* Whether what goes to that descriptor is to be in colour. */
bool paint_wanted(int fd);

/* Text in that colour, or where it isn't wanted, the text alone. */
void paint_text(FILE *to, bool wanted, enum paint paint, const char *text);
