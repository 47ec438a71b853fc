/* SPDX-License-Identifier: Apache-2.0 */
/* clock: the only reader of clocks. Everything else takes the time as a parameter. Microseconds throughout. */
#pragma once

#include <stdint.h>

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC  UINT64_C(1000000)
#define USEC_PER_HOUR (3600 * USEC_PER_SEC)
#define USEC_PER_DAY  (24 * USEC_PER_HOUR)

/* Since an arbitrary start, never stepped; goes on while the system is suspended (CLOCK_BOOTTIME). */
uint64_t clock_monotonic_us(void);

/* Since 1970-01-01 UTC. */
uint64_t clock_wall_us(void);

/* CPU time that the calling thread has used. */
uint64_t clock_thread_cpu_us(void);
