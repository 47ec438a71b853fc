/* SPDX-License-Identifier: Apache-2.0 */
/* cleanup: scope-bound release of resources, and the small macros that every room uses. */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

/* Takes the pointer out of a variable, so that its cleanup has nothing left to release. */
#define STEAL(pointer)                                   \
        ({                                               \
                __typeof__(pointer) stolen_ = (pointer); \
                (pointer) = NULL;                        \
                stolen_;                                 \
        })

/* The same for a file descriptor. */
#define STEAL_FD(fd)                \
        ({                          \
                int stolen_ = (fd); \
                (fd) = -1;          \
                stolen_;            \
        })

#define ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))
#define BIT(n)          (UINT64_C(1) << (n))
#define MIN(a, b)       ((a) < (b) ? (a) : (b))
#define MAX(a, b)       ((a) > (b) ? (a) : (b))

/* Defines `name_freep`, for CLEANUP, from a destructor that takes and returns a pointer. */
#define DEFINE_FREEP(type, destructor, name) \
        static inline void name(type **p) {  \
                *p = destructor(*p);         \
        }

static inline void freep(void *p) {
        free(*(void **)p);
        *(void **)p = NULL;
}

static inline void closep(int *fd) {
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

static inline int close_fd(int fd) {
        if (fd >= 0)
                close(fd);
        return -1;
}

#define CLEANUP_FREE  CLEANUP(freep)
#define CLEANUP_CLOSE CLEANUP(closep)
