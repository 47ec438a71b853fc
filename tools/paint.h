/* SPDX-License-Identifier: Apache-2.0 */
/* paint: colour, on a terminal that has it and for people who want it (NO_COLOR is kept, see no-color.org). */
#pragma once

#include <stdio.h>

enum paint { PAINT_PLAIN, PAINT_DIM, PAINT_GOOD, PAINT_WARNING, PAINT_ALARM };

/* Text in that colour where `to` is a terminal, else the text alone. */
void paint_text(FILE *to, enum paint paint, const char *text);
