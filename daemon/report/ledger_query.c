/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "report/ledger_store_private.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Failures. */

int store_fail(struct ledger_store *store, int error, enum severity severity, const char *what, const char *remedy) {
        assert(error < 0);
        text_format(store->text, sizeof store->text, "%s: %s; %s", store->path, what, remedy);
        store->failed = MAX(store->failed, severity);
        return error;
}

int store_refuse(struct ledger_store *store, int error, const char *what) {
        return store_fail(store, error, FAILED_REQUEST, what, "nothing was stored");
}

int store_damaged(struct ledger_store *store, const char *what) {
        return store_fail(
                store, -EUCLEAN, FAILED_FILE, what, "it is checked when opened next, and put aside if damaged");
}

int store_system_error(struct ledger_store *store, int error) {
        bool full = error == -ENOSPC || error == -EDQUOT;
        const char *remedy = "sweepd tries again by itself";
        if (full)
                remedy = "free some space there";
        else if (error == -ENOENT)
                remedy = "create the directory";
        else if (error == -EACCES || error == -EPERM || error == -EROFS)
                remedy = "make the directory writable for sweepd";
        return store_fail(store, error, full ? FAILED_FOR_NOW : FAILED_FILE, strerrordesc_np(-error), remedy);
}

/* SQLite's result codes: https://www.sqlite.org/rescode.html */
int store_sqlite_error(struct ledger_store *store, int code) {
        int system = store->db ? sqlite3_system_errno(store->db) : 0;
        switch (code & 0xff) {
        case SQLITE_NOMEM:
                return store_fail(store, -ENOMEM, FAILED_FOR_NOW, "out of memory", "sweepd tries again by itself");
        case SQLITE_FULL:
                return store_system_error(store, -ENOSPC);
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return store_fail(store, -EBUSY, FAILED_FOR_NOW, "another process holds it locked", "end that process");
        case SQLITE_READONLY:
                return store_system_error(store, -EROFS);
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return store_damaged(store, "the file is damaged");
        case SQLITE_CANTOPEN:
        case SQLITE_IOERR:
        case SQLITE_PERM:
        case SQLITE_AUTH:
                return store_system_error(store, system > 0 ? -system : -EIO);
        case SQLITE_CONSTRAINT:
        case SQLITE_TOOBIG:
                return store_refuse(store, -EINVAL, store->db ? sqlite3_errmsg(store->db) : "not valid");
        default:
                return store_fail(store, -EIO, FAILED_FILE, sqlite3_errstr(code), "sweepd tries again by itself");
        }
}

/* What is asked in words. */

int store_execute(struct ledger_store *store, const char *sql) {
        int code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
        return code == SQLITE_OK ? 0 : store_sqlite_error(store, code);
}

int store_ask(struct ledger_store *store, const char *sql, char *answer, size_t answer_bytes) {
        sqlite3_stmt *statement = NULL;
        int code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
        if (code == SQLITE_OK)
                code = sqlite3_step(statement);
        const unsigned char *text = code == SQLITE_ROW ? sqlite3_column_text(statement, 0) : NULL;
        text_copy(answer, answer_bytes, text ? (const char *)text : "");
        int r = code == SQLITE_ROW || code == SQLITE_DONE ? 0 : store_sqlite_error(store, code);
        sqlite3_finalize(statement);
        return r;
}

/* Statements that are kept. */

struct query query_begin(struct ledger_store *store, enum statement which) {
        assert(store->db);
        struct query q = { .store = store, .code = SQLITE_OK };
        if (!store->prepared[which])
                q.code = sqlite3_prepare_v3(store->db, ledger_sql_statements[which], -1, SQLITE_PREPARE_PERSISTENT,
                        &store->prepared[which], NULL);
        q.statement = store->prepared[which];
        return q;
}

void query_put_number(struct query *q, uint64_t value) {
        if (q->code == SQLITE_OK)
                q->code = sqlite3_bind_int64(q->statement, ++q->next, (sqlite3_int64)value);
}

void query_put_text(struct query *q, const char *value) {
        if (q->code == SQLITE_OK)
                q->code = sqlite3_bind_text(q->statement, ++q->next, value ? value : "", -1, SQLITE_STATIC);
}

void query_put_bytes(struct query *q, const void *value, size_t bytes) {
        if (q->code == SQLITE_OK)
                q->code = sqlite3_bind_blob64(q->statement, ++q->next, bytes > 0 ? value : "", bytes, SQLITE_STATIC);
}

uint64_t query_take_number(struct query *q) {
        return (uint64_t)sqlite3_column_int64(q->statement, q->next++);
}

const char *query_take_words(struct query *q) {
        const unsigned char *text = sqlite3_column_text(q->statement, q->next++);
        return text ? (const char *)text : "";
}

void query_take_text(struct query *q, char *to, size_t to_bytes) {
        text_copy(to, to_bytes, query_take_words(q));
}

size_t query_take_bytes(struct query *q, void *to, size_t to_bytes) {
        const void *bytes = sqlite3_column_blob(q->statement, q->next);
        int n = sqlite3_column_bytes(q->statement, q->next++);
        size_t length = MIN(n > 0 ? (size_t)n : 0, to_bytes);
        if (bytes && length > 0)
                memcpy(to, bytes, length);
        return bytes ? length : 0;
}

const void *query_take_blob(struct query *q, size_t *ret_bytes) {
        const void *bytes = sqlite3_column_blob(q->statement, q->next);
        int n = sqlite3_column_bytes(q->statement, q->next++);
        *ret_bytes = bytes && n > 0 ? (size_t)n : 0;
        return bytes;
}

int query_copy_words(struct query *q, char **ret) {
        const char *words = query_take_words(q);
        *ret = *words ? strdup(words) : NULL;
        return *words && !*ret ? store_sqlite_error(q->store, SQLITE_NOMEM) : 0;
}

int query_step(struct query *q) {
        if (q->code == SQLITE_OK || q->code == SQLITE_ROW)
                q->code = sqlite3_step(q->statement);
        q->next = 0;
        if (q->code == SQLITE_ROW)
                return 1;
        return q->code == SQLITE_DONE ? 0 : store_sqlite_error(q->store, q->code);
}

void query_end(struct query *q) {
        if (!q->statement)
                return; /* it could not be prepared */
        sqlite3_reset(q->statement);
        sqlite3_clear_bindings(q->statement);
        q->statement = NULL;
}

int query_run(struct query *q) {
        int r = query_step(q);
        query_end(q);
        return MIN(r, 0);
}

int store_run(struct ledger_store *store, enum statement which) {
        struct query q = query_begin(store, which);
        return query_run(&q);
}

int store_run_with_number(struct ledger_store *store, enum statement which, uint64_t number) {
        struct query q = query_begin(store, which);
        query_put_number(&q, number);
        return query_run(&q);
}
