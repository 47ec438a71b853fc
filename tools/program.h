/* SPDX-License-Identifier: Apache-2.0 */
/* program: runs a program of somebody else for an event: bounded in time and in what it may say. */
#pragma once

#include <stdbool.h>

enum { PROGRAM_OUTPUT_MAX = 64 << 10 };

/*
 * Runs the program at `path` with these environment variables ("NAME=VALUE", ended by NULL; borrowed), in a process
 * group of its own, with nothing to read, and waits for its end and for that of all who hold its output. What they say
 * goes to stderr, at most PROGRAM_OUTPUT_MAX bytes of it. After limit_s seconds the group is ended (SIGTERM, five
 * seconds later SIGKILL). False: it could not be run, failed, or took too long; stderr says which.
 */
bool program_run(const char *path, char *const *environment, unsigned limit_s);
