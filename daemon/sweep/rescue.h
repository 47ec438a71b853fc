/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rescue: what a person may do with an undo journal: see what it holds, take it out, let it go. Blocks on the journal's
 * device, so it has a thread of its own; nothing else may write to the journal meanwhile.
 */
#pragma once

#include "model/rescue_record.h"
#include "sweep/undo_layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RESCUE_ENTRIES_MAX = UNDO_SLOTS + UNDO_SHELF_UNITS };

enum {
        RESCUE_OK,
        RESCUE_E_NO_JOURNAL, /* neither head is one */
        RESCUE_E_CHANGED     /* the entry is no longer what it was when it was listed */
};

/* A slot that is armed or pinned, or bytes on the shelf. */
struct rescue_entry {
        bool is_shelf;
        unsigned index;              /* of the slot, or on the shelf */
        struct undo_marker marker;   /* of a slot */
        struct undo_shelved shelved; /* on the shelf */
};

/* Bytes of one unit. */
struct rescue_piece {
        struct extent place;  /* on the target */
        const uint8_t *bytes; /* NULL: the unit was left out, and never written; or they can't be read */
        bool is_right;        /* they have the checksum that was saved with them */
        int error;            /* reading them; positive errno */
};

/* Negative ends the export. */
typedef int rescue_take_fn(void *userdata, const struct rescue_piece *piece);

struct rescue;

/* fd: of the journal, borrowed, open for reading and writing, with or without O_DIRECT. -ENOMEM, -errno of reading. */
int rescue_new(struct rescue **ret, int fd);

const struct undo_head *rescue_head(const struct rescue *r);

/* entries: room for RESCUE_ENTRIES_MAX; slots first. Parts that can't be read are left out; *ret_error is what the
 * journal said then (positive errno), or 0. Returns how many there are. */
size_t rescue_list(struct rescue *r, struct rescue_entry *entries, int *ret_error);

/*
 * The number under which a person names an entry: 52 bits (so that it is exact where numbers are floating point) of the
 * checksum over journal id, which of the two it is, index, record, offset and checksum of what is saved. So it is the
 * same after a restart, differs from journal to journal, and is another one when the place holds something else.
 */
uint64_t rescue_id(const struct rescue *r, const struct rescue_entry *entry);

/* Fills in all but device and journal. */
void rescue_describe(const struct rescue *r, const struct rescue_entry *entry, struct rescue_record *ret);

/* The most specific name of the journal's target; where it has none, the name of the device. */
const char *rescue_identity(const struct rescue *r);

/* Whether a person who types this means the journal's target: any name of its identity, or as rescue_identity(). */
bool rescue_is_meant(const struct rescue *r, const char *identity);

/* Unit by unit, in order. What take returned when that was negative. */
int rescue_export(struct rescue *r, const struct rescue_entry *entry, rescue_take_fn *take, void *userdata);

/* The originals, or the copy, are given up. RESCUE_E_CHANGED, -errno: the entry may still be there. */
int rescue_forget(struct rescue *r, const struct rescue_entry *entry);

/* Accepts NULL; returns NULL. */
struct rescue *rescue_free(struct rescue *r);
