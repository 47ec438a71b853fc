/* SPDX-License-Identifier: Apache-2.0 */
/* rescue_record: what an undo journal still holds, as a client is told. As in io.sweepd.varlink. */
#pragma once

#include "model/device_config.h"
#include "model/extent.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

enum { RESCUE_TEXT_BYTES = 256 };

struct rescue_record {
        bool is_copy; /* of somebody else's bytes; else originals */
        uint64_t id;  /* stable for as long as the journal holds it */
        char device[DEVICE_NAME_BYTES];
        char journal[PATH_MAX]; /* the file or the block device */
        struct extent place;    /* on the target */
        uint64_t armed_us;
        uint32_t units_lost;
        char text[RESCUE_TEXT_BYTES];
};

/* Some of the bytes. */
struct rescue_bytes {
        uint64_t offset_bytes; /* on the target */
        char *base64;
        char text[RESCUE_TEXT_BYTES]; /* "": they are what was saved; else what is wrong with them */
};
