/* SPDX-License-Identifier: Apache-2.0 */
/* show_sweeps: how a sweep ended, in words and as an exit status. */
#pragma once

#include <jansson.h>

enum { RESULT_TEXT_BYTES = 128, NEVER_TEXT_BYTES = 1024 };

/* "not over", "clean (verified)", "faulty", "incomplete, cancelled". */
void sweep_result(char to[static RESULT_TEXT_BYTES], const json_t *sweep);

/* Behind "it was never swept": ": sweepctl start NAME"; or what keeps it from that, and where more is said. */
void sweep_never(char to[static NEVER_TEXT_BYTES], const json_t *device);

/* The exit status of `wait` for a sweep that has ended. */
int sweep_status(const json_t *sweep);
