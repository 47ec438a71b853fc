/* SPDX-License-Identifier: Apache-2.0 */
/* shell: words as a shell takes them. */
#pragma once

#include <stdio.h>

/* A space and the word, quoted so that every shell takes it for just that word (POSIX.1-2024, XCU 2.2). */
void shell_put(FILE *to, const char *word);
