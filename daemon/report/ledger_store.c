/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was acknowledged must be there after a power cut, and what is there must be true. What could go wrong: a file
 * that was damaged, belongs to somebody else or to a later version; a disk that is full or gone; a file that was
 * deleted or swapped under us, so that commits succeed into nowhere. And a successor that gives numbers a second time:
 * a target's row that main still remembers would then mean another disk. So a ledger that follows a lost one counts
 * from the time of its creation, where no number was ever given.
 */
#include "report/ledger_store.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "report/ledger_file.h"
#include "report/ledger_store_private.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BUSY_TIMEOUT_MS = 3000 };

static int (*const operations[])(struct ledger_store *, struct ledger_request *) = {
        [LEDGER_LOAD] = past_load,
        [LEDGER_IDENTIFY] = targets_identify,
        [LEDGER_SWEEP_STARTED] = records_start_sweep,
        [LEDGER_CHECKPOINT] = targets_checkpoint,
        [LEDGER_SWEEP_RESTS] = targets_checkpoint,
        [LEDGER_DEVICE] = records_put_intent,
        [LEDGER_STAMP] = targets_stamp,
        [LEDGER_MARK] = targets_mark,
        [LEDGER_FORGET] = targets_forget,
        [LEDGER_SWEEP_ENDED] = records_put_sweep,
        [LEDGER_FINDING] = records_put_finding,
        [LEDGER_EVENT] = records_put_event,
        [LEDGER_PRUNE] = past_prune,
        [LEDGER_LIST_FINDINGS] = records_list_findings,
        [LEDGER_LIST_SWEEPS] = records_list_sweeps,
        [LEDGER_LIST_EVENTS] = records_list_events,
        [LEDGER_GET_FINDING] = records_get_finding,
        [LEDGER_GET_SWEEP] = records_get_sweep,
};

/* Opening, creating, putting aside. */

static void close_database(struct ledger_store *store) {
        for (size_t i = 0; i < ST_COUNT; i++) {
                sqlite3_finalize(store->prepared[i]);
                store->prepared[i] = NULL;
        }
        int code = sqlite3_close(store->db);
        assert(code == SQLITE_OK); /* else a statement was left behind */
        (void)code;
        store->db = NULL;
}

static int open_file(struct ledger_store *store, const char *path) {
        int code = sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
        if (code == SQLITE_OK)
                code = sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MS);
        return code == SQLITE_OK ? 0 : store_sqlite_error(store, code);
}

static int newer(struct ledger_store *store) {
        store->newer = true;
        return store_fail(store, -ENOTSUP, FAILED_FILE, "it is of a later version of sweepd",
                "install that version, or move the file away");
}

static int ask_schema(struct ledger_store *store, long *ret) {
        char answer[32];
        int r = store_ask(store, "PRAGMA user_version", answer, sizeof answer);
        if (r == 0)
                *ret = strtol(answer, NULL, 10);
        return r;
}

/* The header told the schema already, but a later one may still be in the write-ahead log. */
static int check_schema(struct ledger_store *store) {
        long schema = 0;
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        int r = ask_schema(store, &schema);
        if (r < 0)
                return r;
        if (schema > LEDGER_FILE_SCHEMA)
                return newer(store);
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
        return 0;
}

static int configure(struct ledger_store *store) {
        char answer[128];
        int r = check_schema(store);
        if (r < 0)
                return r;
        r = store_execute(store,
                "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096; PRAGMA synchronous = FULL;"
                "PRAGMA journal_size_limit = 16777216");
        if (r < 0)
                return r;
        r = store_ask(store, "PRAGMA journal_mode = WAL", answer, sizeof answer);
        if (r < 0)
                return r;
        if (strcmp(answer, "wal") != 0)
                return store_fail(store, -ENOTSUP, FAILED_FILE, "its file system can't share memory between processes",
                        "move the state directory to a local file system");
        r = store_ask(store, "PRAGMA quick_check(1)", answer, sizeof answer);
        if (r < 0)
                return r;
        return strcmp(answer, "ok") == 0 ? 0 : store_damaged(store, answer);
}

/* The steps that are missing, inside of a transaction. */
static int run_upgrades(struct ledger_store *store, long schema) {
        char version[64];
        if (schema < 1)
                return store_damaged(store, "it has no schema");
        int r = 0;
        for (size_t i = (size_t)schema - 1; i < ELEMENTS(ledger_sql_upgrades) && r == 0; i++)
                r = store_execute(store, ledger_sql_upgrades[i]);
        text_format(version, sizeof version, "PRAGMA user_version = %d", LEDGER_FILE_SCHEMA);
        return r < 0 ? r : store_execute(store, version);
}

/* All of it or nothing: a kill on the way leaves the ledger of the version before. */
static int upgrade(struct ledger_store *store) {
        long schema = 0;
        int r = ask_schema(store, &schema);
        if (r < 0 || schema == LEDGER_FILE_SCHEMA)
                return r;
        r = store_run(store, ST_BEGIN);
        if (r == 0)
                r = run_upgrades(store, schema);
        if (r == 0)
                r = store_run(store, ST_COMMIT);
        if (r < 0)
                return r;
        /* So that it can give pages back. Where there is no room for the copy that this makes, it does without. */
        (void)sqlite3_exec(store->db, "PRAGMA auto_vacuum = INCREMENTAL; VACUUM", NULL, NULL, NULL);
        return 0;
}

static int remember_file(struct ledger_store *store) {
        struct stat status;
        if (stat(store->path, &status) < 0)
                return store_system_error(store, -errno);
        store->file_device = status.st_dev;
        store->file_inode = status.st_ino;
        return 0;
}

/* A sweep that was running when a daemon died has ended when it was last heard of. Only before this daemon has any. */
static int end_killed(struct ledger_store *store) {
        if (store->was_open)
                return 0;
        int r = store_run(store, ST_BEGIN);
        if (r == 0)
                r = store_run(store, ST_END_KILLED);
        if (r == 0)
                r = store_run(store, ST_JUDGE_KILLED);
        if (r == 0)
                r = store_run(store, ST_DROP_ENDED_PLACES);
        if (r == 0)
                r = store_run(store, ST_DROP_CHECKPOINTS);
        return r < 0 ? r : store_run(store, ST_COMMIT);
}

/* Of a ledger that does not have it yet; later events may be by a clock that is wrong. */
static int note_age(struct ledger_store *store, uint64_t now_us) {
        return store_run_with_number(store, ST_AGE_FIRST, now_us);
}

static int open_database(struct ledger_store *store, uint64_t now_us) {
        assert(!store->db);
        int r = open_file(store, store->path);
        if (r == 0)
                r = configure(store);
        if (r == 0)
                r = upgrade(store);
        if (r == 0)
                r = remember_file(store);
        if (r == 0)
                r = end_killed(store);
        if (r == 0)
                r = note_age(store, now_us);
        if (r < 0)
                close_database(store);
        return r;
}

static int fill_new(struct ledger_store *store, const char *path, uint64_t first_id) {
        char head[160];
        text_format(head, sizeof head,
                "PRAGMA synchronous = FULL; PRAGMA auto_vacuum = INCREMENTAL; BEGIN; PRAGMA application_id = %d",
                LEDGER_FILE_APPLICATION);
        char tail[80];
        text_format(tail, sizeof tail, "INSERT INTO ledger(first_id) VALUES (%" PRIu64 "); COMMIT", first_id);
        int r = open_file(store, path);
        if (r == 0)
                r = store_execute(store, head);
        if (r == 0)
                r = store_execute(store, ledger_sql_schema);
        if (r == 0)
                r = run_upgrades(store, 1);
        if (r == 0)
                r = store_execute(store, tail);
        close_database(store);
        return r;
}

static int create(struct ledger_store *store, uint64_t first_id) {
        CLEANUP_FREE char *path = NULL;
        if (asprintf(&path, "%s/" LEDGER_FILE_NEW, store->directory) < 0) {
                path = NULL;
                return store_sqlite_error(store, SQLITE_NOMEM);
        }
        int r = ledger_file_begin(store->directory);
        if (r < 0)
                return store_system_error(store, r);
        r = fill_new(store, path, first_id);
        if (r < 0)
                return r;
        r = ledger_file_publish(store->directory);
        return r < 0 ? store_system_error(store, r) : 0;
}

/* Puts aside what is there and begins anew. */
static int replace(struct ledger_store *store, uint64_t now_us, const char *why) {
        char name[NAME_MAX], what[STORE_TEXT_BYTES / 2];
        text_copy(what, sizeof what, why); /* it may be the text of the failure that brought us here */
        int r = ledger_file_set_aside(store->directory, now_us, name, sizeof name);
        if (r < 0)
                return store_system_error(store, r);
        bool first = !store->was_open && !*name;
        r = create(store, first ? 1 : now_us / USEC_PER_MSEC);
        if (r < 0)
                return r;
        store->unreadable = false;
        if (*name)
                text_format(store->replaced, sizeof store->replaced,
                        "the ledger %s %s; it is kept as %s, and a new one was begun without what was known before",
                        store->path, what, name);
        else if (!first)
                text_format(store->replaced, sizeof store->replaced,
                        "the ledger %s %s; a new one was begun without what was known before", store->path, what);
        return 0;
}

static int open_or_replace(struct ledger_store *store, uint64_t now_us) {
        int look = ledger_file_look(store->directory), r = 0;
        if (look < 0)
                return store_system_error(store, look);
        if (look == LEDGER_FILE_NEWER)
                return newer(store);
        if (look == LEDGER_FILE_MISSING)
                r = replace(store, now_us, "was gone");
        else if (look == LEDGER_FILE_FOREIGN)
                r = replace(store, now_us, "was not made by sweepd, or is damaged");
        else if (look == LEDGER_FILE_DAMAGED || store->unreadable)
                r = replace(store, now_us, "was damaged");
        if (r < 0)
                return r;
        r = open_database(store, now_us);
        if (r != -EUCLEAN)
                return r;
        r = replace(store, now_us, "was damaged");
        return r < 0 ? r : open_database(store, now_us);
}

/* Public. */

int ledger_store_new(struct ledger_store **ret, const char *directory) {
        struct ledger_store *store = calloc(1, sizeof *store);
        if (!store)
                return -ENOMEM;
        store->directory = strdup(directory);
        if (!store->directory || asprintf(&store->path, "%s/" LEDGER_FILE_NAME, directory) < 0) {
                store->path = NULL;
                ledger_store_free(store);
                return -ENOMEM;
        }
        *ret = store;
        return 0;
}

struct ledger_store *ledger_store_free(struct ledger_store *store) {
        if (!store)
                return NULL;
        close_database(store);
        free(store->path);
        free(store->directory);
        free(store);
        return NULL;
}

bool ledger_store_is_open(const struct ledger_store *store) {
        return store->db;
}

int ledger_store_open(struct ledger_store *store, uint64_t now_us) {
        assert(!store->db);
        store->failed = FAILED_NOT;
        store->newer = false;
        int r = open_or_replace(store, now_us);
        assert((r == 0) == (store->db != NULL));
        if (r < 0)
                store->failed = FAILED_FILE;
        else {
                store->failed = FAILED_NOT;
                store->was_open = true;
        }
        return r;
}

bool ledger_store_is_newer(const struct ledger_store *store) {
        return store->newer;
}

/* A file that was moved or deleted takes every commit, and keeps none for whoever opens it next. */
static int still_there(struct ledger_store *store) {
        struct stat status;
        if (stat(store->path, &status) == 0 && status.st_dev == store->file_device &&
                status.st_ino == store->file_inode)
                return 0;
        return store_fail(store, -ESTALE, FAILED_FILE, "it was moved or deleted", "sweepd opens it anew by itself");
}

static int run_all(struct ledger_store *store, struct ledger_request *const *requests, size_t count) {
        int r = still_there(store);
        if (r == 0)
                r = store_run(store, ST_BEGIN);
        for (size_t i = 0; i < count && r == 0; i++) {
                assert(requests[i]->op < ELEMENTS(operations));
                r = operations[requests[i]->op](store, requests[i]);
        }
        return r < 0 ? r : store_run(store, ST_COMMIT);
}

int ledger_store_run(struct ledger_store *store, struct ledger_request *const *requests, size_t count) {
        assert(store->db);
        store->failed = FAILED_NOT;
        int r = run_all(store, requests, count);
        if (r == 0)
                return 0;
        if (!sqlite3_get_autocommit(store->db)) {
                /* Where even this fails, closing it takes back what was not committed. */
                if (sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK)
                        store->failed = FAILED_FILE;
        }
        if (store->failed == FAILED_FILE)
                close_database(store);
        return r;
}

const char *ledger_store_text(const struct ledger_store *store) {
        return store->text;
}

enum ledger_state ledger_store_state(const struct ledger_store *store) {
        if (store->failed > FAILED_REQUEST)
                return LEDGER_UNAVAILABLE;
        return *store->replaced ? LEDGER_REPLACED : LEDGER_GOOD;
}

const char *ledger_store_state_text(const struct ledger_store *store) {
        return ledger_store_state(store) == LEDGER_UNAVAILABLE ? store->text : store->replaced;
}
