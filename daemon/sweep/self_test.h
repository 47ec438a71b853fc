/* SPDX-License-Identifier: Apache-2.0 */
/*
 * self_test: plants known damage in memory and asks the comparison and the diagnosis about it, on the CPU that it is
 * called on. Who cannot see damage that is there must not say "clean".
 */
#pragma once

#include <sched.h>

enum { SELF_TEST_OK, SELF_TEST_E_MISSED /* the text says what, and on which CPU */ };

enum { SELF_TEST_TEXT_BYTES = 256 };

/* Takes some 10 milliseconds and 5 MiB, which it gives back. text: written where something was missed. -ENOMEM. */
int self_test_run(char text[static SELF_TEST_TEXT_BYTES]);

/*
 * The same on each of these CPUs, in threads of their own, 64 at a time (320 MiB). One that can't be pinned is offline,
 * and nothing runs there. Negative errno where a thread could not be had.
 */
int self_test_run_on(const cpu_set_t *cpus, char text[static SELF_TEST_TEXT_BYTES]);
