/* SPDX-License-Identifier: Apache-2.0 */
/*
 * self_test: plants known damage in memory and asks the comparison and the diagnosis about it, on the CPU that it is
 * called on. Who cannot see damage that is there must not say "clean".
 */
#pragma once

enum { SELF_TEST_OK, SELF_TEST_E_MISSED /* the text says what, and on which CPU */ };

enum { SELF_TEST_TEXT_BYTES = 256 };

/* Takes a few milliseconds and 4 MiB, which it gives back. text: written where something was missed. -ENOMEM. */
int self_test_run(char text[static SELF_TEST_TEXT_BYTES]);
