/* SPDX-License-Identifier: Apache-2.0 */
/*
 * undo_store: where an undo journal lies, and the only opener of it: a file "NAME.undo" in a directory, or a block
 * device of its own. It is made, and all its blocks are written once, before it is used. Every function may block for
 * as long as the disk does.
 *
 * Rules of refusals: journal_missing journal_not_permitted journal_file_system journal_no_direct_io journal_shared_disk
 * journal_space journal_in_use journal_foreign journal_damaged.
 */
#pragma once

#include "model/reason.h"
#include "sweep/undo_layout.h"

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct target_facts;
struct undo_store;

enum {
        UNDO_STORE_OK,
        UNDO_STORE_E_REFUSED, /* the reason says why */
        UNDO_STORE_E_NONE     /* there is no journal, and none was to be made */
};

struct undo_store_options {
        const char *journal; /* a directory or a block device */
        const char *device;  /* the configured name: that of the file in a directory */
        bool make;           /* where there is none; it must be `target`'s */
        bool look_only; /* not with make: to be read beside whoever uses it, with neither lock nor claim, and through
                           the page cache, which is dropped first */
        uint64_t segment_bytes;
        const struct target_facts *target; /* NULL: whose it is does not matter yet */
        void (*progress)(void *userdata);  /* NULL, or called now and then while it is being written through */
        void *userdata;
};

/* Of `journal_damaged`. */
extern const char undo_store_damaged_remedy[];

/* What the journal holds now. */
struct undo_store_state {
        unsigned armed, pinned; /* slots */
        unsigned unknown;       /* slots without a whole marker: nobody knows whether they are armed */
        unsigned shelved;       /* units of somebody else's that are kept on the shelf */
        uint64_t sequence;      /* the highest of its markers; 0: none was ever written */
        uint64_t record;
};

/* Slots that hold originals, or may. */
static inline unsigned undo_store_holds(const struct undo_store_state *state) {
        return state->armed + state->pinned + state->unknown;
}

/* Negative errno: unexpected, with *reason filled in all the same. */
int undo_store_open(struct undo_store **ret, struct reason *reason, const struct undo_store_options *options);

const struct undo_head *undo_store_head(const struct undo_store *s);

/* It is a block device, not a file in a directory. */
bool undo_store_is_device(const struct undo_store *s);

/* Whether it is this target's: every part of the identity that either knows, and the size, are the same. */
bool undo_store_is_of(const struct undo_store *s, const struct target_facts *target);

/* Negative errno. */
int undo_store_state(const struct undo_store *s, struct undo_store_state *ret);

/* An engine on it, which borrows the store. As engine_libaio_new(). */
int undo_store_engine(struct undo_store *s, struct engine **ret, unsigned depth, int wake_fd);

/* Overwrites what was saved with zeros. -EBUSY: a slot is armed, or pinned; -EUCLEAN: nobody knows whether one is; and
 * nothing was done. Negative errno. */
int undo_store_erase(struct undo_store *s);

/* O_DIRECT, but where it was opened to be looked at. */
int undo_store_fd(const struct undo_store *s);

/* Accepts NULL; returns NULL. */
struct undo_store *undo_store_close(struct undo_store *s);
