/* SPDX-License-Identifier: Apache-2.0 */
/* remedy: which of many findings counts most, and what a person can do about it. */
#pragma once

#include <jansson.h>

enum { REMEDY_TEXT_BYTES = 256 };

/* Of those that are open, the one to look at first, borrowed; NULL: none is open. */
const json_t *remedy_worst(const json_t *findings);

/* A line; empty for a fault that is not known here. */
void remedy_text(char to[static REMEDY_TEXT_BYTES], const json_t *finding);
