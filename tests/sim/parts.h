/* SPDX-License-Identifier: Apache-2.0 */
/* parts: sweeps that are cut short and gone on with, beside the same ones in one piece. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Prints what happened. True: all went as it must. */
bool parts_run(uint64_t first_seed, uint64_t seeds);
