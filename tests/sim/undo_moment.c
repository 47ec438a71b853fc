/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of the moments must not come from the program that is tried: a step that it leaves out would then just be
 * missing. So they are told by what the disks hold.
 */
#include "undo_moment.h"

#include "base/cleanup.h"

#include <string.h>

static const struct {
        const char *name;
        enum engine_op op;
} moments[MOMENT_COUNT] = {
        [MOMENT_SAVE_READ] = { "save: read", ENGINE_READ },
        [MOMENT_SAVE_WRITE] = { "save: write", ENGINE_WRITE },
        [MOMENT_SEAL] = { "seal", ENGINE_WRITE },
        [MOMENT_SEAL_FLUSH] = { "seal: flush", ENGINE_FLUSH },
        [MOMENT_READ_BACK] = { "read back", ENGINE_READ },
        [MOMENT_READ_TABLE] = { "read table", ENGINE_READ },
        [MOMENT_ARM] = { "arm", ENGINE_WRITE },
        [MOMENT_ARM_FLUSH] = { "arm: flush", ENGINE_FLUSH },
        [MOMENT_ARM_CHECK] = { "arm: check", ENGINE_READ },
        [MOMENT_COMPARE] = { "compare", ENGINE_READ },
        [MOMENT_WRITE] = { "write", ENGINE_WRITE },
        [MOMENT_WRITE_FLUSH] = { "write: flush", ENGINE_FLUSH },
        [MOMENT_VERIFY] = { "verify", ENGINE_READ },
        [MOMENT_RESTORE_READ] = { "restore: read", ENGINE_READ },
        [MOMENT_LOOK_COMPARE] = { "look: compare", ENGINE_READ },
        [MOMENT_LOOK_VERIFY] = { "look: verify", ENGINE_READ },
        [MOMENT_RESTORE_WRITE] = { "restore: write", ENGINE_WRITE },
        [MOMENT_RESTORE_FLUSH] = { "restore: flush", ENGINE_FLUSH },
        [MOMENT_CHECK] = { "check", ENGINE_READ },
        [MOMENT_DISARM] = { "disarm", ENGINE_WRITE },
        [MOMENT_DISARM_FLUSH] = { "disarm: flush", ENGINE_FLUSH },
        [MOMENT_UNDO_MARKERS] = { "recovery: markers", ENGINE_READ },
        [MOMENT_UNDO_TABLE] = { "recovery: table", ENGINE_READ },
        [MOMENT_UNDO_LOOK] = { "recovery: look", ENGINE_READ },
        [MOMENT_UNDO_SAVED] = { "recovery: saved", ENGINE_READ },
        [MOMENT_UNDO_WRITE] = { "recovery: restore", ENGINE_WRITE },
        [MOMENT_UNDO_FLUSH] = { "recovery: flush", ENGINE_FLUSH },
        [MOMENT_UNDO_CLOSE] = { "recovery: close", ENGINE_WRITE },
        [MOMENT_UNDO_CLOSE_FLUSH] = { "recovery: closed", ENGINE_FLUSH },
};

const char *moment_name(enum moment m) {
        return moments[m].name;
}

enum engine_op moment_op(enum moment m) {
        return moments[m].op;
}

enum place { PLACE_MARKER, PLACE_TABLE, PLACE_DATA, PLACE_ELSEWHERE };

static enum place place_of(const struct undo_case *c, uint64_t offset_bytes, unsigned *ret_slot) {
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++) {
                uint64_t first = undo_marker_offset(c->segment_bytes, slot, 0);
                uint64_t last = undo_marker_offset(c->segment_bytes, slot, 1);
                *ret_slot = slot;
                if (offset_bytes == first || offset_bytes == last)
                        return PLACE_MARKER;
                if (offset_bytes > first && offset_bytes < last)
                        return offset_bytes < undo_data_offset(c->segment_bytes, slot) ? PLACE_TABLE : PLACE_DATA;
        }
        return PLACE_ELSEWHERE;
}

/* What is armed as far as anybody can see now, durable or not. */
static const struct undo_marker *armed_at(
        const struct undo_case *c, const struct world *w, uint64_t offset_bytes, struct armed_slot *slots) {
        oracle_slots(c, &w->disks[DISK_JOURNAL].now, slots);
        for (unsigned i = 0; i < UNDO_SLOTS; i++) {
                struct extent place = slots[i].marker.place;
                if (slots[i].armed && offset_bytes >= place.offset_bytes && offset_bytes < extent_end(place))
                        return &slots[i].marker;
        }
        return NULL;
}

static enum moment journal_moment(
        struct moment_watch *watch, const struct undo_case *c, const struct world *w, const struct flight *f) {
        unsigned slot;
        struct armed_slot slots[UNDO_SLOTS];
        struct undo_marker marker;
        bool writes = f->io->op == ENGINE_WRITE;
        switch (place_of(c, f->io->offset_bytes, &slot)) {
        case PLACE_TABLE:
                return writes ? MOMENT_SEAL : MOMENT_READ_TABLE;
        case PLACE_DATA:
                oracle_slots(c, &w->disks[DISK_JOURNAL].now, slots);
                if (writes || !slots[slot].armed)
                        return writes ? MOMENT_SAVE_WRITE : MOMENT_READ_BACK;
                watch->restored[slot] = slots[slot].marker.record;
                return MOMENT_RESTORE_READ;
        default:
                if (!writes)
                        return MOMENT_ARM_CHECK;
                return undo_marker_read(&marker, f->io->buffer, c->head.journal_id) && marker.state == UNDO_ARMED
                        ? MOMENT_ARM
                        : MOMENT_DISARM;
        }
}

static bool writes_original(const struct undo_case *c, const struct engine_io *io) {
        const struct page *p = page_at(c->target.pages[io->offset_bytes / PAGE_BYTES]);
        return memcmp(io->buffer, p->bytes + io->offset_bytes % PAGE_BYTES, SECTOR_BYTES) == 0;
}

static enum moment target_moment(
        struct moment_watch *watch, const struct undo_case *c, const struct world *w, const struct flight *f) {
        struct armed_slot slots[UNDO_SLOTS];
        const struct undo_marker *marker = armed_at(c, w, f->io->offset_bytes, slots);
        size_t unit = f->io->offset_bytes / UNIT_BYTES;
        if (f->io->op == ENGINE_WRITE) {
                bool original = writes_original(c, f->io);
                for (size_t i = unit; i * UNIT_BYTES < f->io->offset_bytes + f->io->length_bytes; i++) {
                        watch->units[i].record = marker ? marker->record : 0;
                        watch->units[i].original = original;
                }
                return original ? MOMENT_RESTORE_WRITE : MOMENT_WRITE;
        }
        if (!marker)
                return MOMENT_SAVE_READ;
        bool restored = watch->restored[marker->slot] == marker->record;
        if (watch->units[unit].record != marker->record)
                return restored ? MOMENT_LOOK_COMPARE : MOMENT_COMPARE;
        if (watch->units[unit].original)
                return MOMENT_CHECK;
        return restored ? MOMENT_LOOK_VERIFY : MOMENT_VERIFY;
}

static enum moment flush_moment(const struct moment_watch *watch, const struct crash_disk *d) {
        enum moment last = watch->last_write[d->number];
        if (watch->recovering)
                return d->number == DISK_TARGET ? MOMENT_UNDO_FLUSH : MOMENT_UNDO_CLOSE_FLUSH;
        if (d->number == DISK_TARGET)
                return last == MOMENT_WRITE ? MOMENT_WRITE_FLUSH : MOMENT_RESTORE_FLUSH;
        return last == MOMENT_ARM ? MOMENT_ARM_FLUSH : last == MOMENT_DISARM ? MOMENT_DISARM_FLUSH : MOMENT_SEAL_FLUSH;
}

static enum moment of_recovery(enum moment m) {
        switch (m) {
        case MOMENT_ARM_CHECK:
                return MOMENT_UNDO_MARKERS;
        case MOMENT_READ_TABLE:
                return MOMENT_UNDO_TABLE;
        case MOMENT_RESTORE_READ:
        case MOMENT_READ_BACK:
                return MOMENT_UNDO_SAVED;
        case MOMENT_WRITE:
        case MOMENT_RESTORE_WRITE:
                return MOMENT_UNDO_WRITE;
        default:
                return moment_op(m) == ENGINE_READ ? MOMENT_UNDO_LOOK : MOMENT_UNDO_CLOSE;
        }
}

enum moment moment_of(struct moment_watch *watch, const struct undo_case *c, const struct world *w,
        const struct crash_disk *d, const struct flight *f) {
        if (f->io->op == ENGINE_FLUSH)
                return flush_moment(watch, d);
        enum moment m = d->number == DISK_TARGET ? target_moment(watch, c, w, f) : journal_moment(watch, c, w, f);
        if (f->io->op == ENGINE_WRITE)
                watch->last_write[d->number] = m;
        return watch->recovering ? of_recovery(m) : m;
}
