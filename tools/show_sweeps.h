/* SPDX-License-Identifier: Apache-2.0 */
/* show_sweeps: how a sweep ended, in words and as an exit status. */
#pragma once

#include <jansson.h>

enum { RESULT_TEXT_BYTES = 128 };

/* "running", "clean (verified)", "faulty", "incomplete, cancelled". */
void sweep_result(char to[static RESULT_TEXT_BYTES], const json_t *sweep);

/* The exit status of `wait` for a sweep that has ended. */
int sweep_status(const json_t *sweep);
