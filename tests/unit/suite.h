/* SPDX-License-Identifier: Apache-2.0 */
/* suite: what every unit test program shares: running one Check suite, and seeds that are printed on failure. */
#pragma once

#include <check.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Runs the tests of one case; the exit status for main(). */
static inline int suite_run(const char *name, TCase *tests) {
        Suite *suite = suite_create(name);
        tcase_set_timeout(tests, 100);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* A small generator of test data (splitmix64, Steele, Lea and Flood, 2014): the same on every machine for a seed. */
static inline uint64_t suite_random(uint64_t *state) {
        uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

/* An assertion that prints the seed with what went wrong. */
#define ASSERT_SEEDED(seed, condition) ck_assert_msg((condition), "seed %" PRIu64 ": %s", (uint64_t)(seed), #condition)
