/* SPDX-License-Identifier: Apache-2.0 */
/*
 * undo_note: where the undo journal of a device is while it may hold originals: a file "NAME.where" in the state
 * directory's "undo", written before anything is armed there and removed when nothing is any more. Without it a journal
 * that can't be seen at the moment would look like one that never was.
 */
#pragma once

#include <limits.h>
#include <stdint.h>

#define UNDO_NOTE_SUFFIX ".where"

struct undo_note {
        char journal[PATH_MAX]; /* as in the configuration: a directory, or a block device */
        uint64_t journal_id;
};

enum {
        UNDO_NOTE_OK,
        UNDO_NOTE_E_NONE,   /* nothing of the device is armed anywhere, as far as this host knows */
        UNDO_NOTE_E_DAMAGED /* there is one, and it can't be understood */
};

/* directory: "undo" of the state directory. Negative errno. */
int undo_note_read(struct undo_note *ret, const char *directory, const char *device);

/* Durable when it returns; makes the directory. Negative errno. */
int undo_note_write(const struct undo_note *note, const char *directory, const char *device);

/* Also where there is none. Negative errno. */
int undo_note_remove(const char *directory, const char *device);
