/* SPDX-License-Identifier: Apache-2.0 */
/* medium: what an errno of an I/O means: the medium, the transport, the device being gone, or ourselves (design 7). */
#pragma once

enum medium_answer {
        MEDIUM_BAD, /* EIO, ENODATA, EILSEQ, and what is not known: a finding, after a look that the device is still
                       there */
        MEDIUM_TRANSPORT, /* ENOLINK, ETIMEDOUT: a finding */
        MEDIUM_GONE,      /* ENODEV, ENXIO, ENOMEDIUM: missing */
        MEDIUM_RESERVED,  /* EBADE: reserved by another host: stop */
        MEDIUM_NO_SPACE,  /* ENOSPC: the thin pool is full: stop */
        MEDIUM_READ_ONLY, /* EPERM, EROFS: turned read-only: stop */
        MEDIUM_AGAIN      /* ENOMEM, EAGAIN, EINTR: ours, to be tried again */
};

/* error: positive errno. */
enum medium_answer medium_judge(int error);

/* "EIO", "ENODATA"; the number where it has no name. Static storage or thread-local. */
const char *medium_errno_name(int error);
