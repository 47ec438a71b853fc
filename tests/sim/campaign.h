/* SPDX-License-Identifier: Apache-2.0 */
/*
 * campaign: faults that are exactly known, one to a sweep, at every kind of place and in every configuration that
 * matters, and the figures of what sweeps made of them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Prints a table. True: the figures are as they must be. */
bool campaign_run(uint64_t first_seed, uint64_t seeds);
