/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An errno stands for one of a dozen different things (the kernel's table is blk_errors in block/blk-core.c). Taking
 * the transport or ourselves for the medium would accuse a good disk; taking the medium for ourselves would hide a
 * fault. What is not known counts as the medium: better one finding too many than a fault that is swallowed.
 */
#include "media/medium.h"

#include "base/text.h"

#include <errno.h>
#include <string.h>

enum medium_answer medium_judge(int error) {
        switch (error) {
        case ENOLINK:
        case ETIMEDOUT:
                return MEDIUM_TRANSPORT;
        case ENODEV:
        case ENXIO:
        case ENOMEDIUM:
                return MEDIUM_GONE;
        case EBADE:
                return MEDIUM_RESERVED;
        case ENOSPC:
                return MEDIUM_NO_SPACE;
        case EPERM:
        case EROFS:
                return MEDIUM_READ_ONLY;
        case ENOMEM:
        case EAGAIN:
        case EINTR:
                return MEDIUM_AGAIN;
        default:
                return MEDIUM_BAD;
        }
}

const char *medium_errno_name(int error) {
        static _Thread_local char number[16];
        const char *name = error > 0 ? strerrorname_np(error) : NULL;
        if (name)
                return name;
        text_format(number, sizeof number, "%d", error);
        return number;
}
