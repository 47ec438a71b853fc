/* SPDX-License-Identifier: Apache-2.0 */
/*
 * undo_moment: at which step of the protocol a request is made, told from outside: by its place, by what is armed, and
 * by what was written there before.
 */
#pragma once

#include "undo_oracle.h"

enum moment {
        MOMENT_SAVE_READ,
        MOMENT_SAVE_WRITE,
        MOMENT_SEAL,
        MOMENT_SEAL_FLUSH,
        MOMENT_READ_BACK,
        MOMENT_READ_TABLE,
        MOMENT_ARM,
        MOMENT_ARM_FLUSH,
        MOMENT_ARM_CHECK,
        MOMENT_COMPARE,
        MOMENT_WRITE,
        MOMENT_WRITE_FLUSH,
        MOMENT_VERIFY,
        MOMENT_RESTORE_READ,
        MOMENT_LOOK_COMPARE, /* where nothing could be compared, before the original goes there */
        MOMENT_LOOK_VERIFY,  /* where the pattern could not be read back: the same */
        MOMENT_RESTORE_WRITE,
        MOMENT_RESTORE_FLUSH,
        MOMENT_CHECK,
        MOMENT_DISARM,
        MOMENT_DISARM_FLUSH,
        /* of a recovery after a crash */
        MOMENT_UNDO_MARKERS,
        MOMENT_UNDO_TABLE,
        MOMENT_UNDO_LOOK,
        MOMENT_UNDO_SAVED,
        MOMENT_UNDO_WRITE,
        MOMENT_UNDO_FLUSH,
        MOMENT_UNDO_CLOSE,
        MOMENT_UNDO_CLOSE_FLUSH,
        MOMENT_COUNT
};

const char *moment_name(enum moment m);
enum engine_op moment_op(enum moment m);

enum { MOMENT_UNITS_MAX = 256 };

/* What was seen of the requests so far. */
struct moment_watch {
        bool recovering;
        enum moment last_write[DISKS];
        uint64_t restored[UNDO_SLOTS]; /* the record that was read last to be put back */
        struct {
                uint64_t record; /* of the armed slot in which it was written last */
                bool original;   /* what was written then */
        } units[MOMENT_UNITS_MAX];
};

enum moment moment_of(struct moment_watch *watch, const struct undo_case *c, const struct world *w,
        const struct crash_disk *d, const struct flight *f);
