/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked into a daemon of its own, in front of the real comparison (--wrap): on the CPU of SWEEPD_BLIND_CPU everything
 * is right, whatever it holds. So tests can see that a daemon with a broken comparison refuses to run.
 */
#include "base/cleanup.h"
#include "sweep/content.h"

#include <sched.h>
#include <string.h>

size_t __real_expectation_check(const struct expectation *e, const uint8_t *bytes, uint64_t offset_bytes,
        uint64_t length_bytes, uint64_t *bad_units);
size_t __wrap_expectation_check(const struct expectation *e, const uint8_t *bytes, uint64_t offset_bytes,
        uint64_t length_bytes, uint64_t *bad_units);

size_t __wrap_expectation_check(const struct expectation *e, const uint8_t *bytes, uint64_t offset_bytes,
        uint64_t length_bytes, uint64_t *bad_units) {
        const char *cpu = getenv("SWEEPD_BLIND_CPU");
        if (!cpu || atoi(cpu) != sched_getcpu())
                return __real_expectation_check(e, bytes, offset_bytes, length_bytes, bad_units);
        memset(bad_units, 0, (length_bytes / UNIT_BYTES + 2 + 63) / 64 * sizeof *bad_units);
        return 0;
}
