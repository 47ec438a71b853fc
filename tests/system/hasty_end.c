/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked into a daemon of its own, in front of the real decision (--wrap): once it is told to end, a second counts as
 * twenty. So tests can see what a daemon does that has waited for as long as it may.
 */
#include "manager_private.h"

enum { HASTE = 20 };

bool __real_stopping_may_wait(const struct manager *m, uint64_t waited_us);
bool __wrap_stopping_may_wait(const struct manager *m, uint64_t waited_us);

bool __wrap_stopping_may_wait(const struct manager *m, uint64_t waited_us) {
        return __real_stopping_may_wait(m, HASTE * waited_us);
}
