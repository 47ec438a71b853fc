/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that a device can make wait happens here: a disk that hangs, in open or in the middle, costs this thread
 * and nothing else. The order of the steps is the safety of the whole: open and claim, identify, let main compare with
 * what else runs and with the ledger, ask the interlock on the open descriptor, look for signatures, and only then
 * build a sweep that could write.
 */
#include "sweep/sweep_thread.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/queue.h"
#include "base/text.h"
#include "media/boot_holds.h"
#include "media/engine_libaio.h"
#include "media/target.h"
#include "sweep/interlock.h"
#include "sweep/layout.h"
#include "sweep/mend.h"
#include "sweep/undo_note.h"
#include "sweep/undo_store.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/ioprio.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SETTLE_LIMIT_US (UINT64_C(600) * USEC_PER_SEC)

enum { ANSWERS_MAX = 16, NR_REQUESTS_DEFAULT = 128, POST_AGAIN_MS = 50 };

struct sweep_thread {
        struct sweep_thread_options o;
        char *overwrite;
        char *state_dir;
        pthread_t thread;
        int wake_fd; /* signalled by completions, verified blocks, answers and orders alike */
        struct queue *answers;
        struct sweep_gauge gauge;
        atomic_int order;          /* these two: written by main, read by the thread */
        atomic_uint_fast64_t rate; /* bytes a second; 0: no limit */
        struct news_port port;
        /* the thread's own from here on */
        struct target *target;
        struct undo_store *store; /* refresh, preserve: the undo journal */
        struct undo_store_state undo;
        struct engine *engine, *journal;
        uint64_t fault_serial; /* of what a recovery reports */
        struct verifier *verifier;
        struct sweep *sweep;
        struct target_record *record;
        struct sweep_record ended; /* what is told when there was no sweep */
        struct sweep_suspect suspects[TARGET_SIGNATURES_MAX];
        size_t suspect_count;
        struct reason suspect_reason;
        bool stands_back; /* in the class of I/O that comes last */
};

struct news *news_free(struct news *news) {
        if (news) {
                free(news->identified);
                free(news->survey);
                free(news);
        }
        return NULL;
}

struct answer *answer_free(struct answer *answer) {
        if (answer) {
                free(answer->target);
                free(answer);
        }
        return NULL;
}

static bool port_post(struct news_port *port, const struct news *news) {
        struct sweep_thread *t = (void *)((char *)port - offsetof(struct sweep_thread, port));
        struct news *copy = malloc(sizeof *copy);
        if (!copy)
                return false;
        *copy = *news;
        if (queue_push_one(t->o.news, copy))
                return true;
        free(copy);
        return false;
}

/* Waits for main to have room: outside of a sweep there is nothing else to do meanwhile. */
static void post_patiently(struct sweep_thread *t, const struct news *news) {
        while (!port_post(&t->port, news))
                poll(NULL, 0, POST_AGAIN_MS);
}

static void await_wake_up(struct sweep_thread *t, uint64_t patience_us) {
        struct pollfd p = { .fd = t->wake_fd, .events = POLLIN };
        if (poll(&p, 1, (int)((patience_us + USEC_PER_MSEC - 1) / USEC_PER_MSEC)) > 0) {
                eventfd_t unused;
                (void)eventfd_read(t->wake_fd, &unused);
        }
}

static void refuse(struct sweep_thread *t, const struct reason *reason) {
        t->ended.reason = *reason;
        t->ended.end = END_FAILED;
        struct news news = { .kind = NEWS_REFUSED, .sweep_id = t->o.id, .reason = *reason, .record = t->ended };
        post_patiently(t, &news);
}

static void fail(struct sweep_thread *t, const char *what, int error) {
        struct reason reason;
        reason_set(&reason, "failed", "See the daemon's log and dmesg; the sweep is tried again later.", "%s: %s", what,
                strerror(-error));
        refuse(t, &reason);
}

/* False: main wants an end, and has heard why where it was the device's fault. */
static bool may_go_on(struct sweep_thread *t) {
        enum sweep_order order = (enum sweep_order)atomic_load(&t->order);
        if (order == SWEEP_GIVE_UP) {
                struct reason reason;
                reason_set(&reason, "hung", sweep_hung_remedy, "the device did not answer within io_timeout");
                refuse(t, &reason);
        }
        return order == SWEEP_RUN;
}

static void owe(struct sweep_thread *t, enum sweep_request request) {
        sweep_gauge_owe(&t->gauge, request, clock_monotonic_us(), (struct extent){ 0 });
}

static void paid(struct sweep_thread *t) {
        sweep_gauge_paid(&t->gauge, clock_monotonic_us());
}

/* What a recovery tells: findings, as a sweep's, but of no sweep. */
static void on_note(void *userdata, const struct recovery_note *note) {
        struct sweep_thread *t = userdata;
        struct news news = { .kind = NEWS_FAULT, .sweep_id = t->o.id, .fault_serial = ++t->fault_serial };
        if (note->kind == RECOVERY_RESTORED)
                return;
        struct finding *f = &news.fault;
        f->sweep_id = t->o.id;
        text_copy(f->device, sizeof f->device, t->o.config->name);
        f->last_seen_us = clock_wall_us();
        recovery_describe(f, note);
        post_patiently(t, &news);
}

/* An order to stop is no reason to leave originals in the journal; a device that hangs is. */
static bool may_mend_on(void *userdata, const struct engine_io *oldest, bool on_journal) {
        struct sweep_thread *t = userdata;
        enum sweep_request request = on_journal ? REQUEST_JOURNAL : oldest ? REQUEST_WRITE : REQUEST_PROBE;
        uint64_t since_us = oldest ? MAX(oldest->submitted_us, 1) : clock_monotonic_us();
        sweep_gauge_owe(&t->gauge, request, since_us, (struct extent){ 0 });
        return (enum sweep_order)atomic_load(&t->order) != SWEEP_GIVE_UP;
}

/* Not for long, though, where nothing was begun. */
static bool may_wait_to_mend(void *userdata) {
        struct sweep_thread *t = userdata;
        return (enum sweep_order)atomic_load(&t->order) == SWEEP_RUN;
}

/* Before anything else is done to the device: what an undo journal holds of it goes back. */
static bool mend_first(struct sweep_thread *t) {
        struct reason reason;
        struct mend_result result;
        struct mend_options options = {
                .config = t->o.config,
                .state_dir = t->state_dir,
                .by_hand = t->o.by_hand,
                .wake_fd = t->wake_fd,
                .note = on_note,
                .may_go_on = may_mend_on,
                .may_wait = may_wait_to_mend,
                .userdata = t,
        };
        owe(t, REQUEST_JOURNAL); /* which is opened first */
        int r = mend_run(&result, &reason, &options);
        paid(t);
        struct news news = { .kind = NEWS_RECOVERED, .sweep_id = t->o.id };
        news.recovered = (struct news_recovered){
                .tried = result.tried,
                .units_restored = result.recovery.units_restored,
                .units_foreign = result.recovery.units_foreign,
                .units_lost = result.recovery.units_lost,
        };
        if (r == MEND_OK) /* what boot could not use may be used */
                boot_holds_release(BOOT_HOLDS_DIRECTORY, t->o.config->name);
        if (result.tried || (t->o.recover_only && r == MEND_OK))
                post_patiently(t, &news);
        if (!may_go_on(t))
                return false;
        if (r != MEND_OK)
                refuse(t, &reason);
        return r == MEND_OK;
}

static bool open_target(struct sweep_thread *t) {
        char journal[PATH_MAX];
        struct reason reason;
        mend_journal_path(journal, t->o.config, t->state_dir);
        struct target_options options = {
                .path = t->o.config->path,
                .create_bytes = t->o.config->create_size_bytes,
                .writable = sweep_mode_writes(t->o.mode),
                .state_dir = t->state_dir,
                .journal = sweep_mode_keeps(t->o.mode) ? journal : NULL,
        };
        owe(t, REQUEST_OPEN);
        int r = target_open(&t->target, &reason, &options);
        paid(t);
        if (!may_go_on(t))
                return false;
        if (r == TARGET_OK)
                return true;
        if (r < 0)
                fail(t, "opening the device", r);
        else
                refuse(t, &reason);
        return false;
}

/* A disk that a match took is known by its identity: the path may lead to another one by now. */
static bool is_the_one(struct sweep_thread *t) {
        char key[IDENTITY_KEY_BYTES];
        struct reason reason;
        identity_key(key, &target_facts(t->target)->identity, t->o.config->path);
        if (!t->o.config->key || strcmp(t->o.config->key, key) == 0)
                return true;
        reason_set(&reason, "missing",
                "It is looked for by itself. Check the cabling and dmesg if it does not come back.",
                "%s is another disk now.", t->o.config->path);
        refuse(t, &reason);
        return false;
}

/* Tells main what was opened, and waits for what the ledger knows of it. */
static bool identify(struct sweep_thread *t) {
        const struct target_facts *facts = target_facts(t->target);
        struct news_identified *identified = calloc(1, sizeof *identified);
        if (!identified) {
                fail(t, "identifying the device", -ENOMEM);
                return false;
        }
        *identified = (struct news_identified){
                .identity = facts->identity,
                .size_bytes = facts->size_bytes,
                .disk = facts->disk,
                .write_cache = facts->write_cache_known ? facts->write_cache : -1,
                .timeout_us = facts->timeout_us,
        };
        struct news news = { .kind = NEWS_IDENTIFIED, .sweep_id = t->o.id, .sequence = 1, .identified = identified };
        post_patiently(t, &news);
        for (;;) {
                void *item;
                if (!may_go_on(t))
                        return false;
                if (queue_try_pop(t->answers, &item, 1) == 0) {
                        await_wake_up(t, SWEEP_PATIENCE_US);
                        continue;
                }
                struct answer *answer = item;
                bool known = answer->kind == ANSWER_TARGET;
                if (known)
                        t->record = STEAL(answer->target);
                else
                        refuse(t, &answer->reason);
                answer_free(answer);
                return known;
        }
}

static void suspect(struct sweep_thread *t, const struct signature *signature, uint64_t size_bytes) {
        uint64_t from = signature->offset_bytes - signature->offset_bytes % UNIT_BYTES;
        uint64_t to = signature->offset_bytes + MAX(signature->length_bytes, 1);
        to = MIN((to + UNIT_BYTES - 1) / UNIT_BYTES * UNIT_BYTES, size_bytes);
        struct sweep_suspect *s = &t->suspects[t->suspect_count++];
        s->place = (struct extent){ from, to - from };
        text_copy(s->type, sizeof s->type, signature->type);
}

/* Signatures that may be our own bytes by chance are left to the sweep to compare. */
static bool examine_signatures(struct sweep_thread *t) {
        const struct target_facts *facts = target_facts(t->target);
        struct signature signatures[TARGET_SIGNATURES_MAX];
        owe(t, REQUEST_PROBE);
        int found = target_signatures(t->target, signatures, TARGET_SIGNATURES_MAX);
        paid(t);
        if (!may_go_on(t))
                return false;
        switch (interlock_signatures_permit(&t->suspect_reason, facts, t->o.mode, signatures, found)) {
        case SIGNATURES_NONE:
                return true;
        case SIGNATURES_COMPARE:
                for (int i = 0; i < found; i++)
                        suspect(t, &signatures[i], facts->size_bytes);
                return true;
        case SIGNATURES_FORBIDDEN:
                break;
        }
        refuse(t, &t->suspect_reason);
        return false;
}

/* Only now: until main has seen which disk it is, a sweep of another part of it may hold them. */
static bool lock(struct sweep_thread *t) {
        struct reason reason;
        if (!sweep_mode_writes(t->o.mode))
                return true;
        owe(t, REQUEST_OPEN);
        int r = target_lock(t->target, &reason);
        paid(t);
        if (!may_go_on(t))
                return false;
        if (r < 0)
                fail(t, "locking the device", r);
        else if (r != TARGET_OK)
                refuse(t, &reason);
        return r == TARGET_OK;
}

/* What was judged was judged of that very target. */
static bool may_resume(struct sweep_thread *t) {
        const struct target_facts *facts = target_facts(t->target);
        const struct sweep_resume *resume = t->o.resume;
        char key[IDENTITY_KEY_BYTES];
        struct reason reason;
        if (!resume)
                return true;
        struct extent extent = device_config_extent(t->o.config, facts->size_bytes);
        identity_key(key, &facts->identity, t->o.config->path);
        if (strcmp(key, resume->key) != 0)
                reason_set(&reason, SWEEP_NOT_RESUMED, "Nothing: a new sweep begins when it is due.",
                        "another disk is at %s since the sweep was interrupted", t->o.config->path);
        else if (facts->size_bytes != resume->from.size_bytes)
                reason_set(&reason, SWEEP_NOT_RESUMED, "Nothing: a new sweep begins when it is due.",
                        "the size changed from %" PRIu64 " to %" PRIu64 " bytes since the sweep was interrupted",
                        resume->from.size_bytes, facts->size_bytes);
        else if (extent.offset_bytes != resume->from.extent.offset_bytes ||
                extent.length_bytes != resume->from.extent.length_bytes)
                reason_set(&reason, SWEEP_NOT_RESUMED, "Nothing: a new sweep begins when it is due.",
                        "the configuration has another extent since the sweep was interrupted");
        else
                return true;
        refuse(t, &reason);
        return false;
}

static bool permitted(struct sweep_thread *t) {
        struct reason reason;
        struct device_config config = *t->o.config;
        config.mode = t->o.mode;
        if (!interlock_permits(&reason, target_facts(t->target), &config, t->overwrite)) {
                refuse(t, &reason);
                return false;
        }
        return !sweep_mode_writes(t->o.mode) || examine_signatures(t);
}

/* A file that was made gets its name only now that nothing is in the way. */
static bool keep_file(struct sweep_thread *t) {
        owe(t, REQUEST_OPEN);
        int r = target_keep(t->target);
        paid(t);
        if (!may_go_on(t))
                return false;
        if (r < 0)
                fail(t, "making the file", r);
        return r == 0;
}

static void on_journal_progress(void *userdata) {
        paid(userdata);
        owe(userdata, REQUEST_JOURNAL);
}

/* From here on until nothing is in it any more it is looked for there, whatever the configuration says. */
static int note_journal(struct sweep_thread *t, const char *path, struct reason *reason) {
        char directory[PATH_MAX];
        struct undo_note before, note = { .journal_id = undo_store_head(t->store)->journal_id };
        mend_directory(directory, t->state_dir);
        int r = undo_note_read(&before, directory, t->o.config->name);
        if (r == UNDO_NOTE_OK && strcmp(before.journal, path) != 0) {
                reason_set(reason, "rescue", "See: sweepctl rescue list. Then it can be given up (rescue forget).",
                        "The undo journal that was in use before, %s, keeps copies of what somebody else wrote.",
                        before.journal);
                return UNDO_STORE_E_REFUSED;
        }
        text_copy(note.journal, sizeof note.journal, path);
        r = undo_note_write(&note, directory, t->o.config->name);
        if (r == 0)
                return UNDO_STORE_OK;
        reason_set(reason, "journal_note", "Make room on, or mend, the disk of the state directory.",
                "Where the undo journal is can't be written down in %s: %s.", directory, strerror(-r));
        return UNDO_STORE_E_REFUSED;
}

static bool open_journal(struct sweep_thread *t) {
        char path[PATH_MAX];
        struct reason reason = { 0 };
        mend_journal_path(path, t->o.config, t->state_dir);
        struct undo_store_options options = {
                .journal = path,
                .device = t->o.config->name,
                .make = true,
                .segment_bytes = device_config_segment_bytes(t->o.config, t->o.mode),
                .target = target_facts(t->target),
                .progress = on_journal_progress,
                .userdata = t,
        };
        owe(t, REQUEST_JOURNAL);
        int r = undo_store_open(&t->store, &reason, &options);
        if (r == UNDO_STORE_OK)
                r = undo_store_state(t->store, &t->undo);
        paid(t);
        if (!may_go_on(t))
                return false;
        if (r == UNDO_STORE_OK && undo_store_holds(&t->undo) > 0) {
                /* mend_first() did not see that, for whatever reason: nothing may be saved there over it. */
                reason_set(&reason, "recovery", "It is worked through by itself.",
                        "The undo journal %s of %s holds something that was not there a moment ago.", path,
                        t->o.config->path);
                r = UNDO_STORE_E_REFUSED;
        }
        if (r == UNDO_STORE_OK)
                r = note_journal(t, path, &reason);
        if (r < 0 && !reason.rule[0])
                fail(t, "opening the undo journal", r);
        else if (r != UNDO_STORE_OK)
                refuse(t, &reason);
        return r == UNDO_STORE_OK;
}

/* Nobody else may have been at work on the device for a while: who writes now will write in a moment. */
static bool settle(struct sweep_thread *t) {
        uint64_t began_us = clock_monotonic_us(), quiet_us = began_us;
        struct engine_traffic before = { 0 }, now;
        bool counted = target_traffic(t->target, &before);
        while (counted && clock_monotonic_us() - quiet_us < t->o.config->settle_us) {
                await_wake_up(t, SWEEP_PATIENCE_US);
                if (!may_go_on(t))
                        return false;
                counted = target_traffic(t->target, &now);
                if (counted && (now.read_bytes != before.read_bytes || now.changes != before.changes))
                        quiet_us = clock_monotonic_us();
                before = now;
                if (clock_monotonic_us() - began_us < t->o.config->settle_us + SETTLE_LIMIT_US)
                        continue;
                struct reason reason;
                reason_set(&reason, "busy", "Let what uses it come to rest, or choose mode read.",
                        "Others kept reading or writing %s, so that it never settled.", t->o.config->path);
                refuse(t, &reason);
                return false;
        }
        return true;
}

/* In flight at most half of the device's own queue, counted after the kernel splits a block, or io_submit() blocks. */
static unsigned depth_for(const struct target_facts *facts, const struct device_config *config) {
        uint32_t max_io = facts->max_io_bytes ? facts->max_io_bytes : config->block_size_bytes;
        unsigned splits = (config->block_size_bytes + max_io - 1) / max_io;
        unsigned requests = facts->nr_requests ? facts->nr_requests : NR_REQUESTS_DEFAULT;
        unsigned most = requests / 2 / splits;
        return MAX(1, MIN(config->queue_depth, most));
}

static int build_sweep(struct sweep_thread *t) {
        const struct target_facts *facts = target_facts(t->target);
        unsigned depth = depth_for(facts, t->o.config);
        int r = engine_libaio_of_target(&t->engine, t->target, depth, t->wake_fd);
        if (r < 0)
                return r;
        r = verify_pool_verifier(&t->verifier, t->o.pool, 2 * depth + 64, t->wake_fd);
        if (r < 0)
                return r;
        if (t->store) {
                r = undo_store_engine(t->store, &t->journal, 2 * depth, t->wake_fd);
                if (r < 0)
                        return r;
        }
        struct extent extent = device_config_extent(t->o.config, facts->size_bytes);
        struct sweep_options options = {
                .id = t->o.id,
                .device = t->o.config->name,
                .mode = t->o.mode,
                .patterns = t->ended.patterns,
                .overwrite = t->overwrite != NULL,
                .fresh = facts->is_file && facts->file.all_unwritten,
                .only_ours = facts->is_file && !facts->file.all_unwritten,
                .started_us = t->ended.started_us,
                .resume = t->o.resume,
                .block_bytes = t->o.config->block_size_bytes,
                .segment_bytes = device_config_segment_bytes(t->o.config, t->o.mode),
                .segment_least_bytes = device_config_segment_least_bytes(t->o.config, t->o.mode, extent.length_bytes),
                .depth = depth,
                .size_bytes = facts->size_bytes,
                .extent = extent,
                .logical_block_bytes = facts->logical_block_bytes,
                .physical_block_bytes = facts->physical_block_bytes,
                .max_io_bytes = facts->max_io_bytes,
                .diskseq = facts->diskseq,
                .narrow_budget_us = t->o.config->narrow_budget_us,
                .slow_after_us = t->o.config->slow_after_us,
                .yield = t->o.config->yield,
                .in_use = facts->mounted[0] || facts->holders[0] || facts->swap,
                .rate_min = t->o.config->rate_min_bytes,
                .suspects = t->suspects,
                .suspect_count = t->suspect_count,
                .target = t->record,
                .undo_sequence = t->undo.sequence,
                .undo_record = t->undo.record,
                .discards = facts->discards,
                .journal_depth = 2 * depth,
                .journal = t->journal,
                .engine = t->engine,
                .verifier = t->verifier,
                .news = &t->port,
                .gauge = &t->gauge,
        };
        if (t->store)
                options.undo = *undo_store_head(t->store);
        if (getrandom(options.random, sizeof options.random, 0) != sizeof options.random)
                return -EIO;
        r = sweep_new(&t->sweep, &options);
        if (r < 0)
                return r;
        t->record = NULL; /* the sweep's now */
        t->o.resume = sweep_resume_free(t->o.resume);
        return 0;
}

/* Where the scheduler of the disk knows classes, others go first. Many don't: nothing depends on it. */
static void stand_back(struct sweep_thread *t, bool back) {
        if (t->stands_back == back)
                return;
        t->stands_back = back;
        int priority = back ? IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0) : IOPRIO_PRIO_VALUE(IOPRIO_CLASS_NONE, 0);
        (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, priority); /* of this thread */
}

static void run_sweep(struct sweep_thread *t) {
        for (;;) {
                void *item;
                while (queue_try_pop(t->answers, &item, 1) == 1) {
                        sweep_answer(t->sweep, item);
                        answer_free(item);
                }
                enum sweep_order order = (enum sweep_order)atomic_load(&t->order);
                if (order != SWEEP_RUN)
                        stand_back(t, false); /* what it still has to do is waited for */
                sweep_set_rate(t->sweep, atomic_load(&t->rate));
                switch (sweep_pump(t->sweep, order, clock_monotonic_us(), clock_wall_us())) {
                case SWEEP_BUSY:
                        break;
                case SWEEP_WAITING:
                        await_wake_up(t, sweep_patience_us(t->sweep));
                        break;
                case SWEEP_ENDED:
                        return;
                }
        }
}

static void sweep(struct sweep_thread *t) {
        if (!mend_first(t) || t->o.recover_only)
                return;
        if (!open_target(t) || !is_the_one(t) || !identify(t) || !lock(t) || !permitted(t) || !may_resume(t))
                return;
        if (t->o.look_only) {
                struct news news = { .kind = NEWS_PERMITTED, .sweep_id = t->o.id };
                post_patiently(t, &news);
                return;
        }
        if (!keep_file(t))
                return;
        if (sweep_mode_keeps(t->o.mode) && (!open_journal(t) || !settle(t)))
                return;
        t->ended.target_row = t->record->row;
        int r = build_sweep(t);
        if (r < 0) {
                fail(t,
                        r == -EAGAIN ? "setting up asynchronous I/O (see /proc/sys/fs/aio-max-nr)"
                                     : "setting up the sweep",
                        r);
                return;
        }
        stand_back(t, t->o.config->yield);
        run_sweep(t);
        t->ended = *sweep_record(t->sweep);
        if (sweep_was_refused(t->sweep)) {
                struct reason reason = t->ended.reason;
                refuse(t, &reason);
        }
}

/* Where that fails the next recovery does it. */
static void forget_journal(struct sweep_thread *t) {
        char directory[PATH_MAX];
        struct undo_store_state state;
        mend_directory(directory, t->state_dir);
        if (undo_store_state(t->store, &state) == 0 && undo_store_holds(&state) + state.shelved == 0)
                (void)undo_note_remove(directory, t->o.config->name);
}

/* What was saved is nobody's business any more. A daemon that is being stopped has no time for that: the next sweep
 * erases it, at its end. Positive errno: it could not be erased. */
static int close_journal(struct sweep_thread *t, unsigned left_armed) {
        bool stopping = (enum sweep_order)atomic_load(&t->order) == SWEEP_STOP;
        if (!t->store)
                return 0;
        owe(t, REQUEST_JOURNAL);
        t->journal = engine_free(t->journal);
        int r = left_armed == 0 && !stopping ? undo_store_erase(t->store) : 0;
        forget_journal(t);
        t->store = undo_store_close(t->store);
        paid(t);
        return r < 0 && r != -EBUSY ? -r : 0; /* busy: it holds what is told of otherwise */
}

/* Closing may block as well, so main hears of the end when it is over. */
static void *thread_run(void *userdata) {
        struct sweep_thread *t = userdata;
        char name[16];
        snprintf(name, sizeof name, "sweep-%.9s", t->o.config->name);
        pthread_setname_np(pthread_self(), name);
        sweep(t);
        struct news news = { .kind = NEWS_ENDED, .sweep_id = t->o.id };
        if (t->sweep) {
                news.reached = sweep_reached(t->sweep);
                news.left_armed = sweep_left_armed(t->sweep);
                news.survey = sweep_survey(t->sweep);
                news.suspended = sweep_is_suspended(t->sweep);
                news.checkpoint = sweep_checkpoint(t->sweep);
        }
        t->sweep = sweep_free(t->sweep);
        t->verifier = verifier_free(t->verifier);
        owe(t, REQUEST_CLOSE);
        t->engine = engine_free(t->engine);
        t->target = target_close(t->target);
        paid(t);
        news.erase_error = close_journal(t, news.left_armed);
        if (!t->ended.ended_us)
                t->ended.ended_us = clock_wall_us();
        news.record = t->ended;
        post_patiently(t, &news);
        return NULL;
}

static struct sweep_thread *sweep_thread_free(struct sweep_thread *t) {
        if (!t)
                return NULL;
        void *item;
        while (t->answers && queue_try_pop(t->answers, &item, 1) == 1)
                answer_free(item);
        queue_free(t->answers);
        close_fd(t->wake_fd);
        free(t->record);
        sweep_resume_free(t->o.resume);
        free(t->overwrite);
        free(t->state_dir);
        free(t);
        return NULL;
}

DEFINE_FREEP(struct sweep_thread, sweep_thread_free, sweep_thread_freep)

int sweep_thread_start(struct sweep_thread **ret, const struct sweep_thread_options *options) {
        CLEANUP(sweep_thread_freep)
        struct sweep_thread *t = calloc(1, sizeof *t);
        if (!t)
                return -ENOMEM;
        t->o = *options;
        t->o.resume = NULL; /* the caller's until we succeed */
        t->port.post = port_post;
        atomic_init(&t->rate, options->config->rate_max_bytes);
        t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (t->wake_fd < 0)
                return -errno;
        t->state_dir = strdup(options->state_dir);
        t->overwrite = options->overwrite ? strdup(options->overwrite) : NULL;
        if (!t->state_dir || (options->overwrite && !t->overwrite))
                return -ENOMEM;
        t->ended = (struct sweep_record){
                .id = options->id,
                .mode = options->mode,
                .patterns = options->mode == MODE_PATTERN ? options->patterns : (struct pattern_list){ 0 },
                .started_us = options->resume ? options->resume->record.started_us : clock_wall_us(),
        };
        text_copy(t->ended.device, sizeof t->ended.device, options->config->name);
        int r = queue_new(&t->answers, ANSWERS_MAX, t->wake_fd);
        if (r < 0)
                return r;
        t->o.resume = options->resume;
        r = pthread_create(&t->thread, NULL, thread_run, t);
        if (r > 0) {
                t->o.resume = NULL;
                return -r;
        }
        *ret = STEAL(t);
        return 0;
}

void sweep_thread_order(struct sweep_thread *t, enum sweep_order order) {
        atomic_store(&t->order, (int)order);
        eventfd_write(t->wake_fd, 1);
}

void sweep_thread_set_rate(struct sweep_thread *t, uint64_t rate) {
        if (atomic_exchange(&t->rate, rate) != rate)
                eventfd_write(t->wake_fd, 1);
}

bool sweep_thread_answer(struct sweep_thread *t, struct answer *answer) {
        return queue_push_one(t->answers, answer);
}

const struct sweep_gauge *sweep_thread_gauge(const struct sweep_thread *t) {
        return &t->gauge;
}

struct sweep_thread *sweep_thread_join(struct sweep_thread *t) {
        if (!t)
                return NULL;
        pthread_join(t->thread, NULL);
        return sweep_thread_free(t);
}
