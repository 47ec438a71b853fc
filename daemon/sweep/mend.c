/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was cut short is put right here, and the danger is to put it right on the wrong disk. So the target is claimed
 * and identified by what it is, never by the path alone, and where that can't be done the journal stays as it is and
 * somebody is told.
 */
#include "sweep/mend.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "media/engine_libaio.h"
#include "media/target.h"
#include "sweep/undo_note.h"
#include "sweep/undo_store.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

/* Another part of the same disk may be recovered at the same time; that takes seconds. */
#define LOCK_PATIENCE_US (10 * USEC_PER_SEC)

enum { MEND_DEPTH = 16, PATIENCE_MS = 250 };

struct mending {
        const struct mend_options *o;
        struct mend_result *result;
        struct reason *reason;
        char directory[PATH_MAX]; /* of notes */
        struct undo_note note;
        bool noted;
        struct undo_store *store;
        struct target *target;
        struct recovery *recovery;
};

DEFINE_FREEP(struct undo_store, undo_store_close, store_closep)
DEFINE_FREEP(struct target, target_close, target_closep)
DEFINE_FREEP(struct engine, engine_free, engine_freep)

void mend_directory(char path[static PATH_MAX], const char *state_dir) {
        text_format(path, PATH_MAX, "%s/undo", state_dir);
}

void mend_journal_path(char path[static PATH_MAX], const struct device_config *config, const char *state_dir) {
        if (config->journal)
                text_copy(path, PATH_MAX, config->journal);
        else
                mend_directory(path, state_dir);
}

/* From here on the one or the other may block. */
static bool go_on(struct mending *m, bool on_journal) {
        return m->o->may_go_on(m->o->userdata, NULL, on_journal);
}

static bool pump_on(struct mending *m) {
        const struct engine_io *oldest = recovery_oldest(m->recovery);
        bool on_journal = oldest && recovery_is_of_journal(m->recovery, oldest);
        return m->o->may_go_on(m->o->userdata, oldest, on_journal);
}

static void pump(struct mending *m) {
        bool give_up = false;
        for (;;) {
                give_up |= !pump_on(m);
                enum recovery_pumped pumped = recovery_pump(m->recovery, give_up);
                if (pumped == RECOVERY_ENDED)
                        return;
                struct pollfd p = { .fd = m->o->wake_fd, .events = POLLIN };
                if (pumped == RECOVERY_WAITING && poll(&p, 1, PATIENCE_MS) > 0) {
                        eventfd_t unused;
                        (void)eventfd_read(m->o->wake_fd, &unused);
                }
        }
}

static int recover(struct mending *m) {
        const struct target_facts *facts = target_facts(m->target);
        CLEANUP(engine_freep)
        struct engine *target = NULL;
        CLEANUP(engine_freep)
        struct engine *journal = NULL;
        int r = engine_libaio_of_target(&target, m->target, MEND_DEPTH, m->o->wake_fd);
        if (r == 0)
                r = undo_store_engine(m->store, &journal, MEND_DEPTH, m->o->wake_fd);
        if (r < 0)
                return r;
        struct recovery_options options = {
                .target = target,
                .journal = journal,
                .depth = MEND_DEPTH,
                .block_bytes = m->o->config->block_size_bytes,
                .logical_block_bytes = facts->logical_block_bytes,
                .target_bytes = facts->size_bytes,
                .head = *undo_store_head(m->store),
                .by_hand = m->o->by_hand,
                .wall_us = clock_wall_us(),
                .note = m->o->note,
                .userdata = m->o->userdata,
        };
        r = recovery_new(&m->recovery, &options);
        if (r < 0)
                return r;
        pump(m);
        m->result->tried = true;
        m->result->recovery = *recovery_result(m->recovery);
        m->recovery = recovery_free(m->recovery);
        return 0;
}

static int open_target(struct mending *m) {
        struct target_options options = { .path = m->o->config->path, .writable = true };
        int r = target_open(&m->target, m->reason, &options);
        if (r > 0)
                return MEND_E_REFUSED;
        if (r < 0)
                return r;
        if (undo_store_is_of(m->store, target_facts(m->target)))
                return MEND_OK;
        const struct undo_head *head = undo_store_head(m->store);
        reason_set(m->reason, "recovery", "Plug in the disk that it belongs to; its data is put back by itself then.",
                "The undo journal of %s holds data of another disk than the one at %s: serial \"%s\" %s.", head->device,
                m->o->config->path, head->identity.serial, head->identity.backing_file);
        return MEND_E_REFUSED;
}

/* As a sweep does: udev, another host's program, or whoever mends another part of the disk must not come in between. */
static int lock_target(struct mending *m) {
        uint64_t until_us = clock_monotonic_us() + LOCK_PATIENCE_US;
        int r;
        do {
                if (!go_on(m, false))
                        return MEND_E_REFUSED;
                r = target_lock(m->target, m->reason);
        } while (r == TARGET_E_BUSY && clock_monotonic_us() < until_us && m->o->may_wait(m->o->userdata));
        if (r <= TARGET_OK)
                return r;
        reason_set(m->reason, "recovery_busy", "See who it is (lslocks), and end that; it is tried again by itself.",
                "Originals of %s wait in its undo journal: somebody else (a program, or the sweep or the recovery of another part of it) holds a lock on its disk.",
                m->o->config->path);
        return MEND_E_REFUSED;
}

/* Sweeps that keep the data are refused there; only one that was formatted anew can have come to this. */
static int check_blocks(struct mending *m) {
        uint32_t logical = target_facts(m->target)->logical_block_bytes;
        if (logical <= UNIT_BYTES)
                return MEND_OK;
        reason_set(m->reason, "logical_block", "Take out what the journal holds: sweepctl rescue list.",
                "The logical blocks of %s have %" PRIu32 " bytes; originals go back in blocks of at most %d.",
                m->o->config->path, logical, UNIT_BYTES);
        return MEND_E_REFUSED;
}

/* It may be late, as disks are at boot, or its path has another one now. */
static int miss_journal(struct mending *m, const char *path, const char *what) {
        char remedy[REASON_TEXT_BYTES];
        text_format(remedy, sizeof remedy,
                "Plug in, or mount, what it lies on: it is looked for again by itself. If it is lost for good, and the device is as it should be, remove %s/%s%s.",
                m->directory, m->o->config->name, UNDO_NOTE_SUFFIX);
        reason_set(m->reason, "journal_missing", remedy,
                "The undo journal of %s may hold originals that are not back in their place, and %s at %s.",
                m->o->config->path, what, path);
        return MEND_E_REFUSED;
}

static int find_journal(struct mending *m, char path[static PATH_MAX]) {
        const struct device_config *config = m->o->config;
        mend_directory(m->directory, m->o->state_dir);
        int r = undo_note_read(&m->note, m->directory, config->name);
        if (r < 0)
                return r;
        if (r == UNDO_NOTE_E_DAMAGED) {
                reason_set(m->reason, "journal_damaged",
                        "Remove it once you know that no sweep of the device was cut short; see sweepctl history, and what journals there are.",
                        "%s/%s%s, which says where the undo journal of %s is, is damaged.", m->directory, config->name,
                        UNDO_NOTE_SUFFIX, config->path);
                return MEND_E_REFUSED;
        }
        m->noted = r == UNDO_NOTE_OK;
        if (m->noted)
                text_copy(path, PATH_MAX, m->note.journal);
        else
                mend_journal_path(path, config, m->o->state_dir);
        return MEND_OK;
}

static int conclude(struct mending *m) {
        struct undo_store_state state;
        (void)go_on(m, true); /* likewise */
        int r = undo_store_state(m->store, &state);
        if (r < 0)
                return r;
        m->result->left_armed = state.armed;
        m->result->left_pinned = state.pinned;
        if (state.armed > 0) {
                reason_set(m->reason, "recovery", "See sweepctl errors and dmesg; it is tried again by itself.",
                        "Originals of %s are still in its undo journal: they could not be put back.",
                        m->o->config->path);
                return MEND_E_REFUSED;
        }
        if (state.unknown > 0) {
                reason_set(m->reason, "journal_damaged", undo_store_damaged_remedy,
                        "No marker of a slot in the undo journal of %s is whole.", m->o->config->path);
                return MEND_E_REFUSED;
        }
        if (state.pinned > 0) {
                reason_set(m->reason, "rescue", "See: sweepctl rescue list. Nothing is done to the device before that.",
                        "The undo journal of %s keeps originals that could not be put back, or where somebody else wrote.",
                        m->o->config->path);
                return MEND_E_REFUSED;
        }
        /* Copies of what somebody else wrote have to be found, too. */
        return m->noted && state.shelved == 0 ? undo_note_remove(m->directory, m->o->config->name) : MEND_OK;
}

static int mend(struct mending *m) {
        struct undo_store_state state;
        char path[PATH_MAX];
        (void)go_on(m, true); /* that is looked at in any case */
        int r = find_journal(m, path);
        if (r != MEND_OK)
                return r;
        struct undo_store_options options = { .journal = path, .device = m->o->config->name };
        CLEANUP(store_closep)
        struct undo_store *store = NULL;
        CLEANUP(target_closep)
        struct target *target = NULL;
        r = undo_store_open(&store, m->reason, &options);
        if (r == UNDO_STORE_E_NONE)
                return m->noted ? miss_journal(m, path, "there is none") : MEND_OK;
        if (r != UNDO_STORE_OK)
                return r < 0 ? r : MEND_E_REFUSED;
        m->store = store;
        if (m->noted && undo_store_head(store)->journal_id != m->note.journal_id)
                return miss_journal(m, path, "there is another one");
        r = undo_store_state(store, &state);
        if (r < 0)
                return r;
        if (state.armed > 0 || (state.pinned > 0 && m->o->by_hand)) {
                m->result->left_armed = state.armed;
                r = go_on(m, false) ? open_target(m) : MEND_E_REFUSED;
                target = m->target;
                if (r == MEND_OK)
                        r = check_blocks(m);
                if (r == MEND_OK)
                        r = lock_target(m);
                if (r == MEND_OK)
                        r = recover(m);
                if (r != MEND_OK)
                        return r;
        }
        return conclude(m);
}

int mend_run(struct mend_result *ret, struct reason *reason, const struct mend_options *options) {
        struct mending m = { .o = options, .result = ret, .reason = reason };
        *ret = (struct mend_result){ 0 };
        *reason = (struct reason){ 0 };
        int r = mend(&m);
        if (r < 0)
                reason_set(reason, "recovery", "See dmesg; it is tried again by itself.",
                        "The undo journal of %s could not be worked on: %s.", options->config->path, strerror(-r));
        return r;
}
