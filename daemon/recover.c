/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs alone, early at boot: what it leaves undone is mounted a moment later. So each device is tried, also after one
 * that failed, and a journal that no configured device owns is named rather than passed over.
 */
#include "recover.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "media/boot_holds.h"
#include "media/target.h"
#include "model/finding.h"
#include "plan/settings.h"
#include "sweep/mend.h"
#include "sweep/undo_note.h"
#include "sweep/undo_store.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

/* At boot systemd waits for 90 s for a device that it is to mount: one that comes later is not mounted, either. */
enum { TRY_AGAIN_MS = 250, PATIENCE_MS = 30000, BOOT_PATIENCE_MS = 100000 };

static void say(void *userdata, const struct recovery_note *note) {
        const struct device_config *config = userdata;
        struct finding f = { 0 };
        if (note->kind == RECOVERY_RESTORED)
                return;
        recovery_describe(&f, note);
        fprintf(stderr, "%s: %s at offset %" PRIu64 ", length %" PRIu64 ": %s\n", config->name, fault_name(f.fault),
                f.place.offset_bytes, f.place.length_bytes, f.text);
}

static bool go_on(void *userdata, const struct engine_io *oldest, bool on_journal) {
        return true;
}

static bool wait_on(void *userdata) {
        return true;
}

static bool may_turn_up(const struct reason *reason) {
        return strcmp(reason->rule, "missing") == 0 || strcmp(reason->rule, "journal_missing") == 0;
}

/* A disk may turn up a little later than we do. *patience_ms: what is left of it, for all devices together. */
static int mend(
        struct mend_result *result, struct reason *reason, const struct mend_options *options, int *patience_ms) {
        for (;;) {
                int r = mend_run(result, reason, options);
                if (r != MEND_E_REFUSED || !may_turn_up(reason) || *patience_ms <= 0)
                        return r;
                poll(NULL, 0, TRY_AGAIN_MS);
                *patience_ms -= TRY_AGAIN_MS;
        }
}

/* False: something is left. */
static bool recover(const struct device_config *config, const char *state_dir, int wake_fd, int *patience_ms) {
        struct mend_result result;
        struct reason reason;
        struct mend_options options = {
                .config = config,
                .state_dir = state_dir,
                .wake_fd = wake_fd,
                .note = say,
                .may_go_on = go_on,
                .may_wait = wait_on,
                .userdata = (void *)config,
        };
        int r = mend(&result, &reason, &options, patience_ms);
        if (result.tried)
                fprintf(stderr,
                        "%s: worked through the undo journal: units restored %" PRIu64
                        ", written by somebody else %" PRIu64 ", not restored %" PRIu64 "\n",
                        config->name, result.recovery.units_restored, result.recovery.units_foreign,
                        result.recovery.units_lost);
        if (r != MEND_OK)
                fprintf(stderr, "%s: %s %s\n", config->name, reason.found, reason.remedy);
        return r == MEND_OK;
}

/* Boot goes on behind us, also where we are killed, or wait for a disk that hangs: so what may be used too early is
 * held before the first of them is tried. */
static void hold(const char *directory, const struct device_config *config) {
        struct target_options options = { .path = config->path };
        struct target *target = NULL;
        struct target_facts *facts = calloc(1, sizeof *facts);
        struct reason reason;
        if (!directory || !facts) {
                free(facts);
                return;
        }
        if (target_open(&target, &reason, &options) == TARGET_OK)
                *facts = *target_facts(target);
        else
                text_copy(facts->path, sizeof facts->path, config->path);
        target_close(target);
        int r = boot_holds_set(directory, config->name, facts);
        if (r < 0)
                fprintf(stderr, "%s: what boot does with it could not be held back (%s): %s\n", config->name, directory,
                        strerror(-r));
        free(facts);
}

/* Whether its journal holds something, or can't be asked. */
static bool may_be_armed(const struct device_config *config, const char *state_dir) {
        char path[PATH_MAX], directory[PATH_MAX];
        struct reason reason;
        struct undo_note note;
        struct undo_store *store = NULL;
        struct undo_store_state state = { 0 };
        mend_directory(directory, state_dir);
        int r = undo_note_read(&note, directory, config->name);
        if (r != UNDO_NOTE_E_NONE)
                return true;
        mend_journal_path(path, config, state_dir);
        struct undo_store_options options = { .journal = path, .device = config->name, .look_only = true };
        r = undo_store_open(&store, &reason, &options);
        if (r == UNDO_STORE_OK)
                r = undo_store_state(store, &state);
        undo_store_close(store);
        return r != UNDO_STORE_E_NONE && (r != UNDO_STORE_OK || undo_store_holds(&state) > 0);
}

/* With its journal in that directory. */
static bool is_configured(const struct settings *settings, const char *directory, const char *name) {
        for (size_t i = 0; i < settings->device_count; i++) {
                char path[PATH_MAX];
                mend_journal_path(path, settings->devices[i], settings->state_dir);
                if (strcmp(settings->devices[i]->name, name) == 0 && strcmp(path, directory) == 0)
                        return true;
        }
        return false;
}

/* False: the journal of a device that is not configured (any more) holds something. */
static bool look_at_orphan(const char *journal, const char *name) {
        struct undo_store *store = NULL;
        struct undo_store_state state = { 0 };
        struct reason reason = { .found = "is not there" };
        struct undo_store_options options = { .journal = journal, .device = name };
        int r = undo_store_open(&store, &reason, &options);
        if (r == UNDO_STORE_OK)
                r = undo_store_state(store, &state);
        if (r == UNDO_STORE_OK && undo_store_holds(&state) == 0) {
                undo_store_close(store);
                return true;
        }
        const struct undo_head *head = r == UNDO_STORE_OK ? undo_store_head(store) : NULL;
        fprintf(stderr,
                "The undo journal of \"%s\" at %s belongs to no configured device, and %s (disk: serial \"%s\" %s). Add an "
                "entry of that name to the configuration, and run sweepd --recover.\n",
                name, journal,
                !head                                    ? reason.found
                        : state.armed + state.pinned > 0 ? "holds originals that are not back in their place"
                                                         : "may hold originals: the marker of a slot is damaged",
                head ? head->identity.serial : "", head ? head->identity.backing_file : "");
        undo_store_close(store);
        return false;
}

static void closedirp(DIR **dir) {
        if (*dir)
                closedir(*dir);
}

static bool is_device(const struct settings *settings, const char *name) {
        bool any = false;
        for (size_t i = 0; i < settings->device_count; i++)
                any |= strcmp(settings->devices[i]->name, name) == 0;
        return any;
}

/* In the directory itself, or where a note says that there is one. */
static bool look_for_orphans(const struct settings *settings) {
        char directory[PATH_MAX], name[DEVICE_NAME_BYTES];
        struct undo_note note;
        bool all = true;
        mend_directory(directory, settings->state_dir);
        CLEANUP(closedirp)
        DIR *list = opendir(directory);
        for (struct dirent *entry; list && (entry = readdir(list));) {
                if (text_before_suffix(name, sizeof name, entry->d_name, ".undo") &&
                        !is_configured(settings, directory, name))
                        all &= look_at_orphan(directory, name);
                else if (text_before_suffix(name, sizeof name, entry->d_name, UNDO_NOTE_SUFFIX) &&
                        !is_device(settings, name) && undo_note_read(&note, directory, name) == UNDO_NOTE_OK &&
                        strcmp(note.journal, directory) != 0)
                        all &= look_at_orphan(note.journal, name);
        }
        return all;
}

int recover_all(const struct settings *settings) {
        CLEANUP_CLOSE int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (wake_fd < 0)
                return -errno;
        bool all = true;
        const char *directory = getenv("RUNTIME_DIRECTORY"); /* of sweepd-recover.service */
        int patience_ms = directory ? BOOT_PATIENCE_MS : PATIENCE_MS;
        if (directory)
                boot_holds_clear(directory);
        for (size_t i = 0; i < settings->device_count; i++)
                if (directory && may_be_armed(settings->devices[i], settings->state_dir))
                        hold(directory, settings->devices[i]);
        for (size_t i = 0; i < settings->device_count; i++) {
                bool done = recover(settings->devices[i], settings->state_dir, wake_fd, &patience_ms);
                if (directory)
                        boot_holds_release(directory, settings->devices[i]->name);
                if (!done) /* again, as things are now: more devices may be there */
                        hold(directory, settings->devices[i]);
                all &= done;
        }
        all &= look_for_orphans(settings);
        return all ? 0 : 1;
}
