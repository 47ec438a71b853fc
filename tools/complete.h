/* SPDX-License-Identifier: Apache-2.0 */
/* complete: what could be typed next, for the completions of shells. */
#pragma once

#include "options.h"

/*
 * words: what follows "sweepctl" up to the cursor, ended by NULL; the last one is still being typed. Prints a line for
 * each word that it could become: the word, a tab, what it is; or ":file", ":host" where it is one of these.
 */
void complete(const struct command *commands, char **words);
