/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger_store_private: what the files of the ledger's store share. ledger_store.c opens it and runs requests,
 * ledger_sql.c has its schema and the texts of its statements, ledger_query.c their use and what fails there,
 * ledger_rows.c records to and from rows; ledger_targets.c, ledger_records.c, ledger_prune.c and ledger_load.c do what
 * is asked for.
 */
#pragma once

#include "base/cleanup.h"
#include "report/ledger_file.h"
#include "report/ledger_store.h"
#include "report/ranges.h"

#include <sqlite3.h>
#include <sys/types.h>

enum { STORE_TEXT_BYTES = 512 };

enum statement {
        ST_BEGIN,
        ST_COMMIT,
        ST_NEXT_IDS,
        ST_AGE_FIRST,
        ST_AGE,
        ST_DEVICES,
        ST_DEVICE_SUMS,
        ST_LAST_SWEEP,
        ST_LAST_WRITES,
        ST_PAST_OF_MODE,
        ST_TARGET_KEY,
        ST_OPEN_FINDINGS,
        ST_END_KILLED,
        ST_JUDGE_KILLED,
        ST_DROP_CHECKPOINTS,
        ST_DROP_ENDED_PLACES,
        ST_DROP_CHECKPOINT,
        ST_PUT_CHECKPOINT,
        ST_PUT_PLACE,
        ST_DROP_PLACE,
        ST_GET_PLACE,
        ST_GET_LATENCY,
        ST_PUT_INTENT,
        ST_DROP_INTENT,
        ST_GET_INTENT,
        ST_FIND_TARGET,
        ST_GET_TARGET,
        ST_NEW_TARGET,
        ST_SEEN_TARGET,
        ST_STAMP_TARGET,
        ST_ADD_WRITTEN,
        ST_RANGES,
        ST_REGIONS,
        ST_LAST_EXTENT,
        ST_DROP_REGIONS,
        ST_PUT_REGIONS,
        ST_PAST,
        ST_DROP_RANGES,
        ST_PUT_RANGE,
        ST_PUT_SWEEP,
        ST_SWEEP_WRITTEN,
        ST_SET_SWEEP_BYTES,
        ST_SET_LATENCY,
        ST_GET_SWEEP,
        ST_LIST_SWEEPS,
        ST_LIST_NEWEST_SWEEPS,
        ST_PUT_FINDING,
        ST_GET_FINDING,
        ST_LIST_FINDINGS,
        ST_LIST_EVENTS,
        ST_PUT_EVENT,
        ST_NEXT_EVENTS,
        ST_NEXT_FINDINGS,
        ST_NEXT_SWEEPS,
        ST_SUM_OLD_FINDINGS,
        ST_SUM_OLD_SWEEPS,
        ST_EVENTS_BEYOND,
        ST_PRUNE_EVENTS,
        ST_PRUNE_FINDINGS,
        ST_PRUNE_SWEEPS,
        ST_COUNT
};

/* How bad a failure is: the request's own fault; the file can't be used now; and it must be opened anew. */
enum severity { FAILED_NOT, FAILED_REQUEST, FAILED_FOR_NOW, FAILED_FILE };

struct ledger_store {
        char *directory;
        char *path;
        sqlite3 *db; /* NULL: closed */
        sqlite3_stmt *prepared[ST_COUNT];
        dev_t file_device;
        ino_t file_inode;
        bool was_open;        /* once in this process */
        bool newer;           /* the file there is of a later version */
        bool unreadable;      /* its records make no sense: put it aside when it is opened next */
        enum severity failed; /* when last used */
        char text[STORE_TEXT_BYTES];
        char replaced[STORE_TEXT_BYTES]; /* "": it never was */
};

/* ledger_sql.c */

extern const char *const ledger_sql_schema;                           /* 1 */
extern const char *const ledger_sql_upgrades[LEDGER_FILE_SCHEMA - 1]; /* from i + 1 to the next */
extern const char *const ledger_sql_statements[ST_COUNT];

/* ledger_query.c: what fails leaves its text and its severity in the store, and returns its negative errno. */

int store_fail(struct ledger_store *store, int error, enum severity severity, const char *what, const char *remedy);
int store_refuse(struct ledger_store *store, int error, const char *what);
int store_damaged(struct ledger_store *store, const char *what);
int store_system_error(struct ledger_store *store, int error);
int store_sqlite_error(struct ledger_store *store, int code);

int store_execute(struct ledger_store *store, const char *sql);

/* The first column of the first row; "" where there is none. */
int store_ask(struct ledger_store *store, const char *sql, char *answer, size_t answer_bytes);

/* A use of one statement: values in and columns out in their order. The first error sticks. */
struct query {
        struct ledger_store *store;
        sqlite3_stmt *statement;
        int next;
        int code;
};

struct query query_begin(struct ledger_store *store, enum statement which);
void query_put_number(struct query *q, uint64_t value);
void query_put_text(struct query *q, const char *value); /* it must stay until query_end() */
void query_put_bytes(struct query *q, const void *value, size_t bytes);
int query_step(struct query *q); /* 1: a row; 0: no more; negative errno */
uint64_t query_take_number(struct query *q);
const char *query_take_words(struct query *q);                   /* valid until the next step */
const void *query_take_blob(struct query *q, size_t *ret_bytes); /* valid until the next step */
void query_take_text(struct query *q, char *to, size_t to_bytes);
size_t query_take_bytes(struct query *q, void *to, size_t to_bytes);
int query_copy_words(struct query *q, char **ret); /* NULL where they are empty */
void query_end(struct query *q);

/* For statements that return no row, or none that matters. */
int query_run(struct query *q);
int store_run(struct ledger_store *store, enum statement which);
int store_run_with_number(struct ledger_store *store, enum statement which, uint64_t number);

/* ledger_rows.c: a row that makes no sense is damage. */

/* SQLite's integers end at 2^63 - 1, and so does every extent. */
bool row_extent_is_sane(struct extent e);

/* patterns: those of the sweep in words, as texts must stay until query_end(). */
void row_write_sweep(struct query *q, const struct sweep_record *s, const char *patterns);
int row_read_sweep(struct query *q, struct sweep_record *s);
void row_write_finding(struct query *q, const struct finding *f);
int row_read_finding(struct query *q, struct finding *f);

/* Allocated, unless there are none. */
int rows_read_sweeps(struct query *q, struct sweep_record **ret, size_t *ret_count);
int rows_read_findings(struct query *q, struct finding **ret, size_t *ret_count);
int rows_read_events(struct query *q, struct event **ret, size_t *ret_count);
int rows_read_stamped_ranges(struct query *q, struct stamped_range **ret, size_t *ret_count);
int rows_read_device_names(struct query *q, struct ledger_device **ret, size_t *ret_count);

/* ledger_targets.c */

/*
 * Of an extent, from the maps of it or of others that lie there: a map is that of the last sweep of its place. NULL in
 * *ret: nothing is known.
 */
int targets_get_regions(
        struct ledger_store *store, uint64_t row, uint64_t size_bytes, struct extent extent, struct region_table **ret);

/* survey: NULL where nothing was measured. */
int targets_put_survey(struct ledger_store *store, uint64_t row, uint64_t sweep_id, const struct survey *survey);

int targets_put_place(struct ledger_store *store, const struct sweep_record *sweep, const struct ledger_place *place);

/* What a sweep wrote since it was last stored counts for its target. -ENOENT: the ledger has no such sweep. */
int targets_add_written(struct ledger_store *store, uint64_t row, uint64_t sweep_id, uint64_t written);

/* ledger_records.c */

/* 1: it is filled in; 0: there is none. */
int records_find_sweep(struct ledger_store *store, uint64_t id, struct sweep_record *ret);

/* What is asked for, one for each enum ledger_op. */

int past_load(struct ledger_store *store, struct ledger_request *request);
int targets_identify(struct ledger_store *store, struct ledger_request *request);
int targets_stamp(struct ledger_store *store, struct ledger_request *request);
int targets_mark(struct ledger_store *store, struct ledger_request *request);
int targets_checkpoint(struct ledger_store *store, struct ledger_request *request);
int targets_forget(struct ledger_store *store, struct ledger_request *request);
int records_start_sweep(struct ledger_store *store, struct ledger_request *request);
int records_put_sweep(struct ledger_store *store, struct ledger_request *request);
int records_put_intent(struct ledger_store *store, struct ledger_request *request);
int records_put_finding(struct ledger_store *store, struct ledger_request *request);
int records_put_event(struct ledger_store *store, struct ledger_request *request);
int records_list_findings(struct ledger_store *store, struct ledger_request *request);
int records_list_sweeps(struct ledger_store *store, struct ledger_request *request);
int records_list_events(struct ledger_store *store, struct ledger_request *request);
int records_get_finding(struct ledger_store *store, struct ledger_request *request);
int records_get_sweep(struct ledger_store *store, struct ledger_request *request);
int past_prune(struct ledger_store *store, struct ledger_request *request);
