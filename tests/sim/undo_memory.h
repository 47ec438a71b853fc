/* SPDX-License-Identifier: Apache-2.0 */
/* undo_memory: what a sweep and a recovery get when they ask for memory. */
#pragma once

#include <stdint.h>

/* The n-th allocation from now on fails, and no other; 0: none does. */
void memory_fail(uint64_t n);

/* How many there were since the last memory_fail(). */
uint64_t memory_taken(void);
