/* SPDX-License-Identifier: Apache-2.0 */
/* cpus: CPU lists ("0-3,8") to and from masks, and threads that pin themselves. Format: cpuset(7), "List format". */
#pragma once

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

enum { CPUS_TEXT_BYTES = 256 };

/* -EINVAL: not a list, or empty; -ERANGE: a CPU number that no mask can hold. */
int cpus_parse(cpu_set_t *ret, const char *text);

/* Writes the shortest list, cut off with "..." where it does not fit. */
void cpus_format(char *text, size_t text_bytes, const cpu_set_t *set);

/* The nth CPU of the set, counting modulo its size. The set must not be empty. */
int cpus_nth(const cpu_set_t *set, size_t n);

/* The calling thread's own mask. Negative errno as of sched_getaffinity(2). */
int cpus_of_this_thread(cpu_set_t *ret);

/* Lets the calling thread run on all of these, as before it pinned itself. Negative errno as of sched_setaffinity(2).
 */
int cpus_allow_this_thread(const cpu_set_t *set);

/* Pins the calling thread to one CPU. -EINVAL where the CPU is offline or not allowed. */
int cpus_pin_this_thread(int cpu);
