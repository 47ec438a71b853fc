/* SPDX-License-Identifier: Apache-2.0 */
/* failure: how a simulation ends when something is not as it must be. */
#pragma once

#include <stdint.h>

/* From now on it is this seed (number); option: how the program is told to play it again, with a space behind it. */
void failure_begin(uint64_t number, const char *option);

/* Prints the seed and what went wrong, and ends the process. */
void failure(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* What happens, where the user asked to see it. */
void story(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define MUST(condition, ...)                  \
        do {                                  \
                if (!(condition))             \
                        failure(__VA_ARGS__); \
        } while (0)
