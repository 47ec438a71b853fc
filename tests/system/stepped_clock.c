/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked into a daemon of its own, in front of the clock on the wall (--wrap): that is off by as many microseconds as
 * the first 8 bytes of the file that WALL_STEP names say at the moment. So tests can set it, as people and NTP do.
 */
#include "base/clock.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

uint64_t __real_clock_wall_us(void);
uint64_t __wrap_clock_wall_us(void);

static _Atomic int64_t *step_us;

static void open_step(void) {
        const char *path = getenv("WALL_STEP");
        assert(path);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert(fd >= 0);
        step_us = mmap(NULL, sizeof *step_us, PROT_READ, MAP_SHARED, fd, 0);
        assert(step_us != MAP_FAILED);
        close(fd);
}

uint64_t __wrap_clock_wall_us(void) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        pthread_once(&once, open_step);
        return __real_clock_wall_us() + (uint64_t)atomic_load(step_us);
}
