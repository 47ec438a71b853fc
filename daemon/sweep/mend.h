/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mend: puts back what an undo journal holds, on the calling thread, before anything else is done to a target: opens
 * the journal, and if something in it is armed, claims the target, makes sure that it is the journal's, takes the locks
 * that a sweep takes, and runs the recovery to its end. May block for as long as the disks do, and up to 30 s for a
 * lock.
 *
 * Where the note (undo_note.h) says that a journal may hold originals, that one is worked on, wherever it lies, and it
 * is waited for: not to see it does not mean that it is empty.
 *
 * Rules of refusals: those of undo_store.h and target_open(); recovery rescue recovery_busy logical_block.
 */
#pragma once

#include "media/engine.h"
#include "model/device_config.h"
#include "model/reason.h"
#include "sweep/recovery.h"

#include <stdbool.h>

struct mend_options {
        const struct device_config *config;
        const char *state_dir;
        bool by_hand; /* also what is pinned (`rescue retry`) */
        int wake_fd;  /* an eventfd, borrowed */
        void (*note)(void *userdata, const struct recovery_note *note);
        /* Before anything that may block, and now and then. oldest: the request that is out longest, or NULL; what
         * blocks is the journal, or else the target. False: it is to end; what is armed stays so. */
        bool (*may_go_on)(void *userdata, const struct engine_io *oldest, bool on_journal);
        bool (*may_wait)(void *userdata); /* for somebody else's lock, while nothing has been done yet */
        void *userdata;
};

enum {
        MEND_OK,       /* nothing is armed or pinned (any more) */
        MEND_E_REFUSED /* something is, and the reason says what stands against it */
};

struct mend_result {
        bool tried; /* something was armed, and its target was there */
        struct recovery_result recovery;
        unsigned left_armed, left_pinned;
};

/* The directory of journals that are configured nowhere else, and of all notes. */
void mend_directory(char path[static PATH_MAX], const char *state_dir);

/* Where the journal of a device is to be: what its configuration says, or that directory. */
void mend_journal_path(char path[static PATH_MAX], const struct device_config *config, const char *state_dir);

/* Negative errno: unexpected. *ret and *reason are written in any case. */
int mend_run(struct mend_result *ret, struct reason *reason, const struct mend_options *options);
