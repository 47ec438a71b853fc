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
#include "report/ranges.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

enum {
        BUSY_TIMEOUT_MS = 3000,
        STORE_TEXT_BYTES = 512,
        PRUNE_ROWS = 100,     /* that one request looks at: a millisecond or so, in which nobody else is served */
        VACUUM_PAGES = 64,    /* that one request gives back */
        SPARE_PAGES_MAX = 256 /* that stay: what is pruned today is written anew tomorrow */
};

/*
 * Schema 1; what came later is in `upgrades`. 0 stands for "none" and "never", "" for "no text". Unsigned 64-bit
 * numbers are kept as the signed ones with the same bits. A running sweep has one checkpoint, replaced at each mark: it
 * tells when the sweep was last alive, and where. target_row of sweeps and findings is no reference: they outlive a
 * ledger that was lost under a running daemon.
 */
#define SCHEMA                                                                                                     \
        "CREATE TABLE ledger(first_id INTEGER NOT NULL);"                                                          \
        "CREATE TABLE targets(row INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, target_id INTEGER NOT NULL,"      \
        " last_generation INTEGER NOT NULL, size_bytes INTEGER NOT NULL, bytes_written INTEGER NOT NULL,"          \
        " first_seen_us INTEGER NOT NULL, last_seen_us INTEGER NOT NULL);"                                         \
        "CREATE TABLE ranges(target_row INTEGER NOT NULL REFERENCES targets(row) ON DELETE CASCADE,"               \
        " offset_bytes INTEGER NOT NULL, length_bytes INTEGER NOT NULL, generation INTEGER NOT NULL,"              \
        " nonce INTEGER NOT NULL, started_us INTEGER NOT NULL, settled INTEGER NOT NULL,"                          \
        " PRIMARY KEY(target_row, offset_bytes, generation, nonce)) WITHOUT ROWID;"                                \
        "CREATE TABLE sweeps(id INTEGER PRIMARY KEY, device TEXT NOT NULL, target_row INTEGER NOT NULL,"           \
        " mode TEXT NOT NULL, generation INTEGER NOT NULL, nonce INTEGER NOT NULL, started_us INTEGER NOT NULL,"   \
        " ended_us INTEGER NOT NULL, running_us INTEGER NOT NULL, verdict TEXT NOT NULL, assurance TEXT NOT NULL," \
        " ended_as TEXT NOT NULL, rule TEXT NOT NULL, found TEXT NOT NULL, remedy TEXT NOT NULL,"                  \
        " bytes_total INTEGER NOT NULL, bytes_read INTEGER NOT NULL, bytes_written INTEGER NOT NULL,"              \
        " bytes_verified INTEGER NOT NULL, bytes_skipped INTEGER NOT NULL, findings INTEGER NOT NULL,"             \
        " stamps_seen INTEGER NOT NULL);"                                                                          \
        "CREATE INDEX sweeps_by_device ON sweeps(device, id);"                                                     \
        "CREATE TABLE findings(id INTEGER PRIMARY KEY, device TEXT NOT NULL, target_row INTEGER NOT NULL,"         \
        " sweep_id INTEGER NOT NULL, offset_bytes INTEGER NOT NULL, length_bytes INTEGER NOT NULL,"                \
        " fault TEXT NOT NULL, persistence TEXT NOT NULL, state TEXT NOT NULL, text TEXT NOT NULL,"                \
        " detail TEXT NOT NULL, sample_offset_bytes INTEGER NOT NULL, sample_expected BLOB NOT NULL,"              \
        " sample_found BLOB NOT NULL, count INTEGER NOT NULL, first_seen_us INTEGER NOT NULL,"                     \
        " last_seen_us INTEGER NOT NULL, acknowledged_us INTEGER NOT NULL, comment TEXT NOT NULL);"                \
        "CREATE INDEX findings_by_device ON findings(device, id);"                                                 \
        "CREATE INDEX findings_by_sweep ON findings(sweep_id);"                                                    \
        "CREATE INDEX findings_open ON findings(id) WHERE state IN ('open', 'acknowledged');"                      \
        "CREATE TABLE checkpoints(sweep_id INTEGER PRIMARY KEY REFERENCES sweeps(id) ON DELETE CASCADE,"           \
        " at_us INTEGER NOT NULL, generation INTEGER NOT NULL, nonce INTEGER NOT NULL,"                            \
        " settled_offset_bytes INTEGER NOT NULL, settled_length_bytes INTEGER NOT NULL,"                           \
        " ahead_offset_bytes INTEGER NOT NULL, ahead_length_bytes INTEGER NOT NULL);"                              \
        "CREATE TABLE events(id INTEGER PRIMARY KEY, kind TEXT NOT NULL, priority INTEGER NOT NULL,"               \
        " at_us INTEGER NOT NULL, device TEXT NOT NULL, text TEXT NOT NULL, sweep_id INTEGER NOT NULL,"            \
        " finding_id INTEGER NOT NULL, serial TEXT NOT NULL, slot TEXT NOT NULL);"

/*
 * From schema i + 1 to the next. A new ledger goes through all of them, so that it is the same as one that grew old.
 * Schema 2: what sweeps measured, in the formats of model/latency.h and model/region_table.h; empty: nothing is known.
 * Schema 3: where a sweep that is not over goes on, and what people want of a device.
 * Schema 4: what was pruned, where a sum needs it.
 * Schema 5: the fixed patterns of sweeps, as of model/pattern_list.h, and how many of them are over.
 * Schema 6: when people were told of a finding last, and since when a device waits for its first check.
 * Schema 7: the extent of a sweep; length 0: not known.
 * Schema 8: how large its target was; 0: not known.
 * Schema 9: maps are of extents. Those of whole targets that had smaller ones took a part of a region for all of it.
 * Schema 10: up to when history has aged.
 */
static const char *const upgrades[] = {
        "ALTER TABLE sweeps ADD COLUMN latency BLOB NOT NULL DEFAULT x'';"
        "ALTER TABLE targets ADD COLUMN regions BLOB NOT NULL DEFAULT x'';",
        "CREATE TABLE places(sweep_id INTEGER PRIMARY KEY REFERENCES sweeps(id) ON DELETE CASCADE, round TEXT NOT NULL,"
        " size_bytes INTEGER NOT NULL, extent_offset_bytes INTEGER NOT NULL, extent_length_bytes INTEGER NOT NULL,"
        " at_bytes INTEGER NOT NULL, covered_bytes INTEGER NOT NULL,"
        " lost_bytes INTEGER NOT NULL, bytes_total INTEGER NOT NULL, bytes_read INTEGER NOT NULL,"
        " bytes_written INTEGER NOT NULL, bytes_verified INTEGER NOT NULL, bytes_skipped INTEGER NOT NULL,"
        " stamps_seen INTEGER NOT NULL, region_checked_bytes INTEGER NOT NULL, region_verified_bytes INTEGER NOT NULL,"
        " late_reads INTEGER NOT NULL, late_untried INTEGER NOT NULL, running_us INTEGER NOT NULL,"
        " by_hand INTEGER NOT NULL, overwrite TEXT NOT NULL);"
        "CREATE TABLE intents(device TEXT PRIMARY KEY, held INTEGER NOT NULL, wish_sweep_id INTEGER NOT NULL,"
        " wish_mode TEXT NOT NULL, wish_overwrite TEXT NOT NULL) WITHOUT ROWID;",
        "CREATE TABLE pruned(device TEXT PRIMARY KEY, bytes_written INTEGER NOT NULL, findings INTEGER NOT NULL)"
        " WITHOUT ROWID;"
        "CREATE INDEX sweeps_by_target ON sweeps(target_row, id);",
        "ALTER TABLE sweeps ADD COLUMN patterns TEXT NOT NULL DEFAULT '';"
        "ALTER TABLE places ADD COLUMN pass INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE intents ADD COLUMN wish_patterns TEXT NOT NULL DEFAULT '';",
        "ALTER TABLE findings ADD COLUMN told_us INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE intents ADD COLUMN unchecked_us INTEGER NOT NULL DEFAULT 0;",
        "ALTER TABLE sweeps ADD COLUMN extent_offset_bytes INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE sweeps ADD COLUMN extent_length_bytes INTEGER NOT NULL DEFAULT 0;",
        "ALTER TABLE sweeps ADD COLUMN size_bytes INTEGER NOT NULL DEFAULT 0;",
        "CREATE TABLE maps(target_row INTEGER NOT NULL REFERENCES targets(row) ON DELETE CASCADE,"
        " size_bytes INTEGER NOT NULL, offset_bytes INTEGER NOT NULL, length_bytes INTEGER NOT NULL,"
        " regions BLOB NOT NULL, PRIMARY KEY(target_row, offset_bytes)) WITHOUT ROWID;"
        "INSERT INTO maps SELECT row, size_bytes, 0, size_bytes, regions FROM targets WHERE regions <> x''"
        " AND NOT EXISTS (SELECT 1 FROM sweeps WHERE target_row = row AND extent_length_bytes <> 0"
        "  AND extent_length_bytes <> targets.size_bytes);"
        "UPDATE targets SET regions = x'';",
        "ALTER TABLE ledger ADD COLUMN aged_us INTEGER NOT NULL DEFAULT 0;",
};
static_assert(ELEMENTS(upgrades) == LEDGER_FILE_SCHEMA - 1, "one for each schema");

/* In the order of write_sweep() and read_sweep(), write_finding() and read_finding(). */
#define SWEEP_COLUMNS                                                                                                      \
        "id, device, target_row, mode, generation, nonce, started_us, ended_us, running_us, verdict, assurance, ended_as," \
        " rule, found, remedy, bytes_total, bytes_read, bytes_written, bytes_verified, bytes_skipped, findings,"           \
        " stamps_seen, patterns, extent_offset_bytes, extent_length_bytes, size_bytes, latency"
#define FINDING_COLUMNS                                                                                             \
        "id, device, target_row, sweep_id, offset_bytes, length_bytes, fault, persistence, state, text, detail,"    \
        " sample_offset_bytes, sample_expected, sample_found, count, first_seen_us, last_seen_us, acknowledged_us," \
        " comment, told_us"

/*
 * Of the rows above ?1 up to ?2 those that are older than ?3 and may go. Of events and findings the last stays, as the
 * next number is counted from it. Of sweeps stays what something is still told or decided by: the last of a device and
 * of each mode, the last of each that ended well, the one that says which disk it was, the last that was skipped; those
 * by whose generations a disk's bytes are known; those that have findings which are not over.
 */
#define OLD_EVENTS                                                   \
        "id > ?1 AND id <= ?2 AND id < (SELECT max(id) FROM events)" \
        " AND (at_us < ?3 OR id <= ?4)"
#define OLD_FINDINGS                                                       \
        "id > ?1 AND id <= ?2 AND max(last_seen_us, acknowledged_us) < ?3" \
        " AND state NOT IN ('open', 'acknowledged') AND id < (SELECT max(id) FROM findings)"
#define OLD_SWEEPS                                                                                                       \
        "id > ?1 AND id <= ?2 AND ended_us <> 0 AND max(started_us, ended_us) < ?3"                                      \
        " AND id < (SELECT max(id) FROM sweeps AS s WHERE s.device = sweeps.device AND s.ended_us <> 0)"                 \
        " AND id <> coalesce((SELECT max(id) FROM sweeps AS s WHERE s.device = sweeps.device AND s.mode = sweeps.mode"   \
        "  AND s.ended_us <> 0 AND NOT (s.target_row = 0 AND s.bytes_total = 0)), 0)"                                    \
        " AND id <> coalesce((SELECT max(id) FROM sweeps AS s WHERE s.device = sweeps.device AND s.mode = sweeps.mode"   \
        "  AND s.ended_as = 'finished'), 0)"                                                                             \
        " AND id <> coalesce((SELECT max(id) FROM sweeps AS s WHERE s.device = sweeps.device"                            \
        "  AND s.rule = '" LEDGER_SKIPPED "'), 0)"                                                                       \
        " AND id <> coalesce((SELECT max(id) FROM sweeps AS s WHERE s.device = sweeps.device AND s.target_row <> 0), 0)" \
        " AND id <> coalesce((SELECT max(id) FROM sweeps AS s WHERE s.device = sweeps.device"                            \
        "  AND s.ended_as = 'finished' AND s.assurance = 'verified'), 0)"                                                \
        " AND id <> coalesce((SELECT max(id) FROM sweeps AS s WHERE s.device = sweeps.device"                            \
        "  AND s.ended_as = 'finished' AND s.assurance <> ''), 0)"                                                       \
        " AND (generation = 0 OR ?4 <= (SELECT count(*) FROM sweeps AS s WHERE s.target_row = sweeps.target_row"         \
        "  AND s.id > sweeps.id AND s.generation > 0))"                                                                  \
        " AND NOT EXISTS (SELECT 1 FROM findings AS f WHERE f.sweep_id = sweeps.id"                                      \
        "  AND f.state IN ('open', 'acknowledged'))"
#define PRUNED_SUMS                                                                                   \
        " GROUP BY device ON CONFLICT(device) DO UPDATE SET findings = findings + excluded.findings," \
        " bytes_written = bytes_written + excluded.bytes_written"

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

/* Others are in the history because somebody has their number: they say nothing of the device. */
#define BEGAN "NOT (target_row = 0 AND bytes_total = 0)"

/* What a device ?1 of mode ?2 is due for (sweep_mode_serves), of the target ?3 and its extent ?4, ?5; 0: not known. */
#define SERVES                                                                          \
        "device = ?1 AND ended_us <> 0 AND " BEGAN                                      \
        " AND (?2 = 'read' OR mode = ?2 OR (?2 = 'refresh' AND mode <> 'read'))"        \
        " AND (?3 = 0 OR target_row IN (?3, 0)) AND (?5 = 0 OR extent_length_bytes = 0" \
        "  OR (extent_offset_bytes = ?4 AND extent_length_bytes = ?5))"

static const char *const statements[ST_COUNT] = {
        [ST_BEGIN] = "BEGIN IMMEDIATE",
        [ST_COMMIT] = "COMMIT",
        [ST_NEXT_IDS] = "SELECT max(first_id, (SELECT coalesce(max(id), 0) + 1 FROM sweeps),"
                        " (SELECT coalesce(max(wish_sweep_id), 0) + 1 FROM intents)),"
                        " max(first_id, (SELECT coalesce(max(id), 0) + 1 FROM findings)),"
                        " max(first_id, (SELECT coalesce(max(id), 0) + 1 FROM events)), aged_us FROM ledger",
        [ST_AGE_FIRST] = "UPDATE ledger SET aged_us ="
                         " coalesce((SELECT at_us FROM events ORDER BY id DESC LIMIT 1), ?1) WHERE aged_us = 0",
        [ST_AGE] = "UPDATE ledger SET aged_us = ?1",
        [ST_DEVICES] = "SELECT device FROM sweeps UNION SELECT device FROM findings UNION SELECT device FROM intents"
                       " UNION SELECT device FROM pruned ORDER BY 1",
        [ST_DEVICE_SUMS] = "SELECT"
                           " coalesce((SELECT started_us FROM sweeps WHERE device = ?1 AND ended_as = 'finished'"
                           "  AND assurance = 'verified' ORDER BY id DESC LIMIT 1), 0),"
                           " coalesce((SELECT started_us FROM sweeps WHERE device = ?1 AND ended_as = 'finished'"
                           "  AND assurance <> '' ORDER BY id DESC LIMIT 1), 0),"
                           " (SELECT count(*) FROM findings WHERE device = ?1 AND state IN ('resolved', 'retired'))"
                           "  + coalesce((SELECT findings FROM pruned WHERE device = ?1), 0),"
                           " coalesce((SELECT sum(bytes_written) FROM sweeps WHERE device = ?1), 0)"
                           "  + coalesce((SELECT bytes_written FROM pruned WHERE device = ?1), 0),"
                           " coalesce((SELECT max(ended_us) FROM sweeps WHERE device = ?1 AND rule = '" LEDGER_SKIPPED
                           "'), 0)",
        [ST_LAST_SWEEP] = "SELECT " SWEEP_COLUMNS " FROM sweeps WHERE device = ?1 AND ended_us <> 0 AND " BEGAN
                          " ORDER BY id DESC LIMIT 1",
        [ST_LAST_WRITES] = "SELECT * FROM (SELECT started_us, bytes_written, id FROM sweeps WHERE device = ?1"
                           " AND ended_us <> 0 AND bytes_written > 0 ORDER BY id DESC LIMIT ?2) ORDER BY id",
        [ST_PAST_OF_MODE] = "SELECT started_us, ended_us, ended_as,"
                            " coalesce((SELECT started_us FROM sweeps WHERE " SERVES " AND ended_as = 'finished'"
                            "  ORDER BY id DESC LIMIT 1), 0),"
                            " (SELECT count(*) FROM sweeps WHERE " SERVES " AND ended_as = 'failed' AND id >"
                            "  coalesce((SELECT max(id) FROM sweeps WHERE " SERVES
                            "   AND ended_as IN ('finished', 'cancelled')), 0))"
                            " FROM sweeps WHERE " SERVES " ORDER BY id DESC LIMIT 1",
        [ST_TARGET_KEY] = "SELECT key FROM targets WHERE row = ?1",
        [ST_OPEN_FINDINGS] = "SELECT " FINDING_COLUMNS
                             " FROM findings WHERE state IN ('open', 'acknowledged') ORDER BY id",
        [ST_END_KILLED] = "UPDATE sweeps SET ended_as = 'killed', ended_us = max(started_us,"
                          " coalesce((SELECT at_us FROM checkpoints WHERE sweep_id = sweeps.id), 0)) WHERE ended_us = 0"
                          " AND (id NOT IN (SELECT sweep_id FROM places)"
                          "  OR id < (SELECT max(id) FROM sweeps AS later WHERE later.device = sweeps.device))",
        [ST_DROP_ENDED_PLACES] = "DELETE FROM places WHERE sweep_id IN (SELECT id FROM sweeps WHERE ended_us <> 0)",
        [ST_PUT_PLACE] =
                "INSERT OR REPLACE INTO places SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,"
                " ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22 WHERE EXISTS (SELECT 1 FROM sweeps WHERE id = ?1 AND ended_us = 0)",
        [ST_DROP_PLACE] = "DELETE FROM places WHERE sweep_id = ?1",
        [ST_GET_PLACE] =
                "SELECT * FROM places WHERE sweep_id = (SELECT max(id) FROM sweeps WHERE device = ?1 AND ended_us = 0)",
        [ST_GET_LATENCY] = "SELECT latency, coalesce((SELECT key FROM targets WHERE row = target_row), '') FROM sweeps"
                           " WHERE id = ?1",
        [ST_PUT_INTENT] = "INSERT OR REPLACE INTO intents VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        [ST_DROP_INTENT] = "DELETE FROM intents WHERE device = ?1",
        [ST_GET_INTENT] =
                "SELECT held, wish_sweep_id, wish_mode, wish_overwrite, wish_patterns, unchecked_us FROM intents WHERE device = ?1",
        [ST_JUDGE_KILLED] = "UPDATE sweeps SET running_us = max(running_us, ended_us - started_us), assurance = '',"
                            " verdict = CASE WHEN EXISTS (SELECT 1 FROM findings"
                            "  WHERE sweep_id = sweeps.id AND fault <> 'slow') THEN 'faulty' ELSE 'incomplete' END,"
                            " findings = max(findings, (SELECT count(*) FROM findings WHERE sweep_id = sweeps.id)),"
                            " rule = 'killed', found = 'sweepd ended before this sweep did',"
                            " remedy = 'nothing: a new sweep is due at once' WHERE ended_as = 'killed' AND rule = ''",
        [ST_DROP_CHECKPOINTS] = "DELETE FROM checkpoints",
        [ST_DROP_CHECKPOINT] = "DELETE FROM checkpoints WHERE sweep_id = ?1",
        [ST_PUT_CHECKPOINT] = "INSERT OR REPLACE INTO checkpoints VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        [ST_FIND_TARGET] = "SELECT row FROM targets WHERE key = ?1",
        [ST_GET_TARGET] = "SELECT target_id, last_generation, size_bytes, bytes_written FROM targets WHERE row = ?1",
        [ST_NEW_TARGET] =
                "INSERT INTO targets(row, key, target_id, last_generation, size_bytes, bytes_written,"
                " first_seen_us, last_seen_us) SELECT max(first_id, (SELECT coalesce(max(row), 0) + 1 FROM targets)),"
                " ?1, 0, 0, ?2, 0, ?3, ?3 FROM ledger",
        [ST_SEEN_TARGET] = "UPDATE targets SET size_bytes = ?2, last_seen_us = ?3 WHERE row = ?1",
        [ST_STAMP_TARGET] = "UPDATE targets SET target_id = ?2, last_generation = ?3 WHERE row = ?1",
        [ST_ADD_WRITTEN] = "UPDATE targets SET bytes_written = bytes_written + ?2 WHERE row = ?1",
        [ST_RANGES] =
                "SELECT offset_bytes, length_bytes, generation, nonce, started_us, settled FROM ranges WHERE target_row = ?1",
        [ST_REGIONS] = "SELECT regions FROM maps WHERE target_row = ?1",
        [ST_LAST_EXTENT] = "SELECT target_row, extent_offset_bytes, extent_length_bytes,"
                           " coalesce((SELECT size_bytes FROM targets WHERE row = target_row), 0)"
                           " FROM sweeps WHERE device = ?1 AND target_row <> 0 ORDER BY id DESC LIMIT 1",
        [ST_DROP_REGIONS] = "DELETE FROM maps WHERE target_row = ?1 AND (size_bytes <> ?2"
                            " OR (offset_bytes < ?3 + ?4 AND ?3 < offset_bytes + length_bytes))",
        [ST_PUT_REGIONS] = "INSERT INTO maps(target_row, size_bytes, offset_bytes, length_bytes, regions)"
                           " VALUES (?1, ?2, ?3, ?4, ?5)",
        [ST_PAST] = "SELECT generation, nonce, started_us, patterns, bytes_written, extent_offset_bytes,"
                    " extent_length_bytes FROM sweeps"
                    " WHERE target_row = ?1 AND generation > 0"
                    " ORDER BY id DESC LIMIT ?2",
        [ST_DROP_RANGES] = "DELETE FROM ranges WHERE target_row = ?1",
        [ST_PUT_RANGE] = "INSERT INTO ranges VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        [ST_PUT_SWEEP] =
                "INSERT OR REPLACE INTO sweeps(" SWEEP_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,"
                " ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, coalesce((SELECT latency FROM sweeps WHERE id = ?1), x''))",
        [ST_SWEEP_WRITTEN] = "SELECT bytes_written FROM sweeps WHERE id = ?1",
        [ST_SET_SWEEP_BYTES] = "UPDATE sweeps SET bytes_total = ?2, bytes_read = ?3, bytes_written = ?4,"
                               " bytes_verified = ?5, bytes_skipped = ?6, generation = max(generation, ?7),"
                               " nonce = CASE WHEN ?7 = 0 THEN nonce ELSE ?8 END WHERE id = ?1",
        [ST_SET_LATENCY] = "UPDATE sweeps SET latency = ?2 WHERE id = ?1",
        [ST_GET_SWEEP] = "SELECT " SWEEP_COLUMNS " FROM sweeps WHERE id = ?1",
        [ST_LIST_SWEEPS] = "SELECT " SWEEP_COLUMNS
                           " FROM sweeps WHERE id > ?1 AND (?2 = '' OR device = ?2) ORDER BY id LIMIT ?3",
        [ST_LIST_NEWEST_SWEEPS] = "SELECT " SWEEP_COLUMNS " FROM (SELECT * FROM sweeps WHERE id > ?1"
                                  " AND (?2 = '' OR device = ?2) ORDER BY id DESC LIMIT ?3) ORDER BY id",
        [ST_PUT_FINDING] = "INSERT OR REPLACE INTO findings(" FINDING_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7,"
                           " ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
        [ST_GET_FINDING] = "SELECT " FINDING_COLUMNS " FROM findings WHERE id = ?1",
        [ST_LIST_FINDINGS] = "SELECT " FINDING_COLUMNS " FROM findings WHERE id > ?1 AND (?2 = '' OR device = ?2)"
                             " AND (?3 OR state IN ('open', 'acknowledged')) ORDER BY id LIMIT ?4",
        [ST_LIST_EVENTS] = "SELECT id, kind, priority, at_us, device, text, sweep_id, finding_id, serial, slot"
                           " FROM events WHERE id > ?1 ORDER BY id LIMIT ?2",
        [ST_PUT_EVENT] = "INSERT OR REPLACE INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        [ST_NEXT_EVENTS] = "SELECT max(id) FROM (SELECT id FROM events WHERE id > ?1 ORDER BY id LIMIT ?2)",
        [ST_NEXT_FINDINGS] = "SELECT max(id) FROM (SELECT id FROM findings WHERE id > ?1 ORDER BY id LIMIT ?2)",
        [ST_NEXT_SWEEPS] = "SELECT max(id) FROM (SELECT id FROM sweeps WHERE id > ?1 ORDER BY id LIMIT ?2)",
        [ST_SUM_OLD_FINDINGS] =
                "INSERT INTO pruned(device, bytes_written, findings) SELECT device, 0, count(*) FROM findings"
                " WHERE " OLD_FINDINGS PRUNED_SUMS,
        [ST_SUM_OLD_SWEEPS] =
                "INSERT INTO pruned(device, bytes_written, findings) SELECT device, sum(bytes_written), 0 FROM sweeps"
                " WHERE " OLD_SWEEPS PRUNED_SUMS,
        [ST_EVENTS_BEYOND] = "SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?1",
        [ST_PRUNE_EVENTS] = "DELETE FROM events WHERE " OLD_EVENTS,
        [ST_PRUNE_FINDINGS] = "DELETE FROM findings WHERE " OLD_FINDINGS,
        [ST_PRUNE_SWEEPS] = "DELETE FROM sweeps WHERE " OLD_SWEEPS,
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

/* Failures. */

static int fail(struct ledger_store *store, int error, enum severity severity, const char *what, const char *remedy) {
        assert(error < 0);
        text_format(store->text, sizeof store->text, "%s: %s; %s", store->path, what, remedy);
        store->failed = MAX(store->failed, severity);
        return error;
}

static int refuse(struct ledger_store *store, int error, const char *what) {
        return fail(store, error, FAILED_REQUEST, what, "nothing was stored");
}

static int damaged(struct ledger_store *store, const char *what) {
        return fail(store, -EUCLEAN, FAILED_FILE, what, "it is checked when opened next, and put aside if damaged");
}

static int system_error(struct ledger_store *store, int error) {
        bool full = error == -ENOSPC || error == -EDQUOT;
        const char *remedy = "sweepd tries again by itself";
        if (full)
                remedy = "free some space there";
        else if (error == -ENOENT)
                remedy = "create the directory";
        else if (error == -EACCES || error == -EPERM || error == -EROFS)
                remedy = "make the directory writable for sweepd";
        return fail(store, error, full ? FAILED_FOR_NOW : FAILED_FILE, strerrordesc_np(-error), remedy);
}

/* SQLite's result codes: https://www.sqlite.org/rescode.html */
static int sqlite_error(struct ledger_store *store, int code) {
        int system = store->db ? sqlite3_system_errno(store->db) : 0;
        switch (code & 0xff) {
        case SQLITE_NOMEM:
                return fail(store, -ENOMEM, FAILED_FOR_NOW, "out of memory", "sweepd tries again by itself");
        case SQLITE_FULL:
                return system_error(store, -ENOSPC);
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return fail(store, -EBUSY, FAILED_FOR_NOW, "another process holds it locked", "end that process");
        case SQLITE_READONLY:
                return system_error(store, -EROFS);
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return damaged(store, "the file is damaged");
        case SQLITE_CANTOPEN:
        case SQLITE_IOERR:
        case SQLITE_PERM:
        case SQLITE_AUTH:
                return system_error(store, system > 0 ? -system : -EIO);
        case SQLITE_CONSTRAINT:
        case SQLITE_TOOBIG:
                return refuse(store, -EINVAL, store->db ? sqlite3_errmsg(store->db) : "not valid");
        default:
                return fail(store, -EIO, FAILED_FILE, sqlite3_errstr(code), "sweepd tries again by itself");
        }
}

/* A use of one statement: values in and columns out in their order. The first error sticks. */

struct query {
        struct ledger_store *store;
        sqlite3_stmt *statement;
        int next;
        int code;
};

static struct query query_begin(struct ledger_store *store, enum statement which) {
        assert(store->db);
        struct query q = { .store = store, .code = SQLITE_OK };
        if (!store->prepared[which])
                q.code = sqlite3_prepare_v3(
                        store->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT, &store->prepared[which], NULL);
        q.statement = store->prepared[which];
        return q;
}

static void put_number(struct query *q, uint64_t value) {
        if (q->code == SQLITE_OK)
                q->code = sqlite3_bind_int64(q->statement, ++q->next, (sqlite3_int64)value);
}

/* The text must stay until query_end(). */
static void put_text(struct query *q, const char *value) {
        if (q->code == SQLITE_OK)
                q->code = sqlite3_bind_text(q->statement, ++q->next, value ? value : "", -1, SQLITE_STATIC);
}

static void put_bytes(struct query *q, const void *value, size_t bytes) {
        if (q->code == SQLITE_OK)
                q->code = sqlite3_bind_blob64(q->statement, ++q->next, bytes > 0 ? value : "", bytes, SQLITE_STATIC);
}

static uint64_t take_number(struct query *q) {
        return (uint64_t)sqlite3_column_int64(q->statement, q->next++);
}

/* Valid until the next step. */
static const char *take_words(struct query *q) {
        const unsigned char *text = sqlite3_column_text(q->statement, q->next++);
        return text ? (const char *)text : "";
}

static void take_text(struct query *q, char *to, size_t to_bytes) {
        text_copy(to, to_bytes, take_words(q));
}

static size_t take_bytes(struct query *q, void *to, size_t to_bytes) {
        const void *bytes = sqlite3_column_blob(q->statement, q->next);
        int n = sqlite3_column_bytes(q->statement, q->next++);
        size_t length = MIN(n > 0 ? (size_t)n : 0, to_bytes);
        if (bytes && length > 0)
                memcpy(to, bytes, length);
        return bytes ? length : 0;
}

/* 1: a row; 0: no more; negative errno. */
static int query_step(struct query *q) {
        if (q->code == SQLITE_OK || q->code == SQLITE_ROW)
                q->code = sqlite3_step(q->statement);
        q->next = 0;
        if (q->code == SQLITE_ROW)
                return 1;
        return q->code == SQLITE_DONE ? 0 : sqlite_error(q->store, q->code);
}

static void query_end(struct query *q) {
        if (!q->statement)
                return; /* it could not be prepared */
        sqlite3_reset(q->statement);
        sqlite3_clear_bindings(q->statement);
        q->statement = NULL;
}

/* For statements that return no row, or none that matters. */
static int query_run(struct query *q) {
        int r = query_step(q);
        query_end(q);
        return MIN(r, 0);
}

static int run_plain(struct ledger_store *store, enum statement which) {
        struct query q = query_begin(store, which);
        return query_run(&q);
}

static int run_with_number(struct ledger_store *store, enum statement which, uint64_t number) {
        struct query q = query_begin(store, which);
        put_number(&q, number);
        return query_run(&q);
}

/* Records to and from rows. */

/* patterns: those of the sweep in words, as texts must stay until query_end(). */
static void write_sweep(struct query *q, const struct sweep_record *s, const char *patterns) {
        put_number(q, s->id);
        put_text(q, s->device);
        put_number(q, s->target_row);
        put_text(q, sweep_mode_name(s->mode));
        put_number(q, s->generation);
        put_number(q, s->nonce);
        put_number(q, s->started_us);
        put_number(q, s->ended_us);
        put_number(q, s->running_us);
        put_text(q, verdict_name(s->verdict));
        put_text(q, assurance_name(s->assurance));
        put_text(q, sweep_end_name(s->end));
        put_text(q, s->reason.rule);
        put_text(q, s->reason.found);
        put_text(q, s->reason.remedy);
        put_number(q, s->bytes.total);
        put_number(q, s->bytes.read);
        put_number(q, s->bytes.written);
        put_number(q, s->bytes.verified);
        put_number(q, s->bytes.skipped);
        put_number(q, s->findings);
        put_number(q, s->stamps_seen);
        put_text(q, patterns);
        put_number(q, s->extent.offset_bytes);
        put_number(q, s->extent.length_bytes);
        put_number(q, s->size_bytes);
}

/* Valid until the next step. */
static const void *take_blob(struct query *q, size_t *ret_bytes) {
        const void *bytes = sqlite3_column_blob(q->statement, q->next);
        int n = sqlite3_column_bytes(q->statement, q->next++);
        *ret_bytes = bytes && n > 0 ? (size_t)n : 0;
        return bytes;
}

/* What makes no sense is not known: a measurement that is lost makes no disk look better. */
static void take_latency(struct query *q, struct latency_summary *ret) {
        struct latency_histogram all[LATENCY_OPERATIONS];
        size_t bytes;
        const void *blob = take_blob(q, &bytes);
        if (bytes == 0 || !latency_unpack(all, blob, bytes))
                return;
        for (size_t i = 0; i < LATENCY_OPERATIONS; i++)
                ret[i] = latency_summarize(&all[i]);
}

/* SQLite's integers end at 2^63 - 1, and so does every extent. */
static bool extent_is_sane(struct extent e) {
        return e.offset_bytes <= INT64_MAX && e.length_bytes <= INT64_MAX - e.offset_bytes;
}

static int read_sweep(struct query *q, struct sweep_record *s) {
        *s = (struct sweep_record){ .id = take_number(q) };
        take_text(q, s->device, sizeof s->device);
        s->target_row = take_number(q);
        bool known = sweep_mode_from_name(&s->mode, take_words(q)) == 0;
        s->generation = take_number(q);
        s->nonce = take_number(q);
        s->started_us = take_number(q);
        s->ended_us = take_number(q);
        s->running_us = take_number(q);
        known = verdict_from_name(&s->verdict, take_words(q)) && known;
        const char *word = take_words(q);
        known = (!*word || assurance_from_name(&s->assurance, word)) && known;
        word = take_words(q);
        known = (!*word || sweep_end_from_name(&s->end, word)) && known;
        take_text(q, s->reason.rule, sizeof s->reason.rule);
        take_text(q, s->reason.found, sizeof s->reason.found);
        take_text(q, s->reason.remedy, sizeof s->reason.remedy);
        s->bytes.total = take_number(q);
        s->bytes.read = take_number(q);
        s->bytes.written = take_number(q);
        s->bytes.verified = take_number(q);
        s->bytes.skipped = take_number(q);
        s->findings = take_number(q);
        s->stamps_seen = take_number(q);
        known = pattern_list_parse(&s->patterns, take_words(q)) && known;
        s->extent.offset_bytes = take_number(q);
        s->extent.length_bytes = take_number(q);
        known = extent_is_sane(s->extent) && known;
        s->size_bytes = take_number(q);
        take_latency(q, s->latency);
        return known ? 0 : damaged(q->store, "the record of a sweep makes no sense");
}

static void write_finding(struct query *q, const struct finding *f) {
        assert(f->sample.length_bytes <= FINDING_SAMPLE_BYTES);
        put_number(q, f->id);
        put_text(q, f->device);
        put_number(q, f->target_row);
        put_number(q, f->sweep_id);
        put_number(q, f->place.offset_bytes);
        put_number(q, f->place.length_bytes);
        put_text(q, fault_name(f->fault));
        put_text(q, persistence_name(f->persistence));
        put_text(q, finding_state_name(f->state));
        put_text(q, f->text);
        put_text(q, f->detail.lines);
        put_number(q, f->sample.offset_bytes);
        put_bytes(q, f->sample.expected, f->sample.length_bytes);
        put_bytes(q, f->sample.found, f->sample.length_bytes);
        put_number(q, f->count);
        put_number(q, f->first_seen_us);
        put_number(q, f->last_seen_us);
        put_number(q, f->acknowledged_us);
        put_text(q, f->comment);
        put_number(q, f->told_us);
}

static int read_finding(struct query *q, struct finding *f) {
        *f = (struct finding){ .id = take_number(q) };
        take_text(q, f->device, sizeof f->device);
        f->target_row = take_number(q);
        f->sweep_id = take_number(q);
        f->place.offset_bytes = take_number(q);
        f->place.length_bytes = take_number(q);
        bool known = fault_from_name(&f->fault, take_words(q));
        known = persistence_from_name(&f->persistence, take_words(q)) && known;
        known = finding_state_from_name(&f->state, take_words(q)) && known;
        take_text(q, f->text, sizeof f->text);
        take_text(q, f->detail.lines, sizeof f->detail.lines);
        f->sample.offset_bytes = take_number(q);
        size_t expected = take_bytes(q, f->sample.expected, sizeof f->sample.expected);
        size_t found = take_bytes(q, f->sample.found, sizeof f->sample.found);
        f->sample.length_bytes = (uint32_t)MIN(expected, found);
        f->count = take_number(q);
        f->first_seen_us = take_number(q);
        f->last_seen_us = take_number(q);
        f->acknowledged_us = take_number(q);
        take_text(q, f->comment, sizeof f->comment);
        f->told_us = take_number(q);
        return known ? 0 : damaged(q->store, "the record of a finding makes no sense");
}

/* Lists that grow while rows come. */

#define DEFINE_READ_ALL(name, type, read_row)                                          \
        static int name(struct query *q, type **ret, size_t *ret_count) {              \
                CLEANUP_FREE type *list = NULL;                                        \
                size_t count = 0, room = 0;                                            \
                int r;                                                                 \
                while ((r = query_step(q)) > 0) {                                      \
                        if (count == room) {                                           \
                                room = MAX(2 * room, (size_t)16);                      \
                                type *grown = reallocarray(list, room, sizeof *grown); \
                                if (!grown)                                            \
                                        return sqlite_error(q->store, SQLITE_NOMEM);   \
                                list = grown;                                          \
                        }                                                              \
                        r = read_row(q, &list[count]);                                 \
                        if (r < 0)                                                     \
                                return r;                                              \
                        count++;                                                       \
                }                                                                      \
                if (r < 0)                                                             \
                        return r;                                                      \
                *ret_count = count;                                                    \
                *ret = STEAL(list);                                                    \
                return 0;                                                              \
        }

static int read_device_name(struct query *q, struct ledger_device *device) {
        *device = (struct ledger_device){ 0 };
        take_text(q, device->device, sizeof device->device);
        return 0;
}

static int read_range(struct query *q, struct stamped_range *range) {
        range->extent.offset_bytes = take_number(q);
        range->extent.length_bytes = take_number(q);
        range->generation = take_number(q);
        range->nonce = take_number(q);
        range->started_us = take_number(q);
        range->settled = take_number(q) != 0;
        bool sane = extent_is_sane(range->extent) && range->extent.length_bytes > 0;
        return sane ? 0 : damaged(q->store, "the record of a stamped range makes no sense");
}

DEFINE_READ_ALL(read_stamped_ranges, struct stamped_range, read_range)
DEFINE_READ_ALL(read_findings, struct finding, read_finding)
DEFINE_READ_ALL(read_sweeps, struct sweep_record, read_sweep)
/* A kind that is not known here is told as one of the daemon's own: its text says what it is. */
static int read_event(struct query *q, struct event *event) {
        *event = (struct event){ 0 };
        event->id = take_number(q);
        if (!event_kind_from_name(&event->kind, take_words(q)))
                event->kind = EVENT_DAEMON;
        uint64_t priority = take_number(q);
        event->priority = (int)MIN(priority, (uint64_t)LOG_DEBUG);
        event->at_us = take_number(q);
        take_text(q, event->device, sizeof event->device);
        take_text(q, event->text, sizeof event->text);
        event->sweep_id = take_number(q);
        event->finding.id = take_number(q);
        take_text(q, event->serial, sizeof event->serial);
        take_text(q, event->slot, sizeof event->slot);
        return 0;
}

DEFINE_READ_ALL(read_events, struct event, read_event)
DEFINE_READ_ALL(read_device_names, struct ledger_device, read_device_name)

/* Targets and their ranges. */

/* row must be set; everything but the ranges is filled in. -ENOENT: there is none. */
static int get_target(struct ledger_store *store, struct target_record *target) {
        struct query q = query_begin(store, ST_GET_TARGET);
        put_number(&q, target->row);
        int r = query_step(&q);
        if (r > 0) {
                target->target_id = take_number(&q);
                target->last_generation = take_number(&q);
                target->size_bytes = take_number(&q);
                target->bytes_written = take_number(&q);
        }
        query_end(&q);
        if (r == 0)
                return refuse(store, -ENOENT, "the ledger has no such target");
        return MIN(r, 0);
}

static int get_ranges(struct ledger_store *store, uint64_t row, struct ranges *ret) {
        struct query q = query_begin(store, ST_RANGES);
        put_number(&q, row);
        struct stamped_range *list = NULL;
        size_t count = 0;
        int r = read_stamped_ranges(&q, &list, &count);
        query_end(&q);
        if (r < 0)
                return r;
        ranges_adopt(ret, list, count);
        return 0;
}

/* The generations of its last sweeps. */
static int get_past(struct ledger_store *store, struct target_record *target) {
        struct query q = query_begin(store, ST_PAST);
        put_number(&q, target->row);
        put_number(&q, TARGET_PAST_MAX);
        int r;
        while ((r = query_step(&q)) > 0) {
                struct past_generation *past = &target->past[target->past_count++];
                past->generation = take_number(&q);
                past->nonce = take_number(&q);
                past->started_us = take_number(&q);
                (void)pattern_list_parse(&past->patterns, take_words(&q)); /* else what they left is a stranger's */
                past->bytes_written = take_number(&q);
                past->extent.offset_bytes = take_number(&q);
                past->extent.length_bytes = take_number(&q);
        }
        query_end(&q);
        return r;
}

static int put_ranges(struct ledger_store *store, uint64_t row, const struct ranges *ranges) {
        int r = run_with_number(store, ST_DROP_RANGES, row);
        for (size_t i = 0; i < ranges->count && r == 0; i++) {
                const struct stamped_range *range = &ranges->items[i];
                struct query q = query_begin(store, ST_PUT_RANGE);
                put_number(&q, row);
                put_number(&q, range->extent.offset_bytes);
                put_number(&q, range->extent.length_bytes);
                put_number(&q, range->generation);
                put_number(&q, range->nonce);
                put_number(&q, range->started_us);
                put_number(&q, range->settled);
                r = query_run(&q);
        }
        return r;
}

/* What makes no sense is not known, as of other measurements. */
static bool read_regions(struct query *q, struct region_table *ret) {
        size_t bytes;
        const void *blob = take_blob(q, &bytes);
        return bytes > 0 && region_table_unpack(ret, blob, bytes);
}

/*
 * Of an extent, from the maps of it or of others that lie there: a map is that of the last sweep of its place. NULL in
 * *ret: nothing is known.
 */
static int get_regions(struct ledger_store *store, uint64_t row, uint64_t size_bytes, struct extent extent,
        struct region_table **ret) {
        CLEANUP_FREE struct region_table *all = calloc(1, sizeof *all);
        CLEANUP_FREE struct region_table *one = calloc(1, sizeof *one);
        if (!all || !one)
                return sqlite_error(store, SQLITE_NOMEM);
        *all = (struct region_table){ .size_bytes = size_bytes, .extent = extent };
        bool any = false;
        struct query q = query_begin(store, ST_REGIONS);
        put_number(&q, row);
        int r;
        while ((r = query_step(&q)) > 0) {
                if (!read_regions(&q, one) || one->size_bytes != size_bytes || !extent_overlaps(one->extent, extent))
                        continue;
                region_table_join(all, one);
                any = true;
        }
        query_end(&q);
        if (r < 0)
                return r;
        *ret = any ? STEAL(all) : NULL;
        return 0;
}

static int put_regions(struct ledger_store *store, uint64_t row, const struct region_table *regions) {
        uint8_t bytes[REGIONS_PACKED_MAX];
        for (enum statement which = ST_DROP_REGIONS; which <= ST_PUT_REGIONS; which++) {
                struct query q = query_begin(store, which);
                put_number(&q, row);
                put_number(&q, regions->size_bytes);
                put_number(&q, regions->extent.offset_bytes);
                put_number(&q, regions->extent.length_bytes);
                if (which == ST_PUT_REGIONS)
                        put_bytes(&q, bytes, region_table_pack(bytes, regions));
                int r = query_run(&q);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A target that the ledger has not got, as it followed a lost one, has no map. */
static int update_regions(struct ledger_store *store, uint64_t row, const struct region_table *fresh) {
        CLEANUP_FREE struct region_table *known = NULL;
        struct target_record target = { .row = row };
        if (fresh->size_bytes == 0 || !extent_is_sane(fresh->extent))
                return 0;
        int r = get_target(store, &target);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        r = get_regions(store, row, fresh->size_bytes, fresh->extent, &known);
        if (r < 0)
                return r;
        if (known)
                region_table_update(known, fresh);
        return put_regions(store, row, known ? known : fresh);
}

static int put_survey(struct ledger_store *store, uint64_t row, uint64_t sweep_id, const struct survey *survey) {
        uint8_t bytes[LATENCY_PACKED_MAX];
        if (!survey)
                return 0;
        struct query q = query_begin(store, ST_SET_LATENCY);
        put_number(&q, sweep_id);
        put_bytes(&q, bytes, latency_pack(bytes, survey->latency));
        int r = query_run(&q);
        return r < 0 ? r : update_regions(store, row, &survey->regions);
}

static int find_or_create_target(struct ledger_store *store, const struct ledger_request *request, uint64_t *ret_row) {
        struct query q = query_begin(store, ST_FIND_TARGET);
        put_text(&q, request->key);
        int r = query_step(&q);
        uint64_t row = r > 0 ? take_number(&q) : 0;
        query_end(&q);
        if (r < 0)
                return r;
        if (r == 0) {
                q = query_begin(store, ST_NEW_TARGET);
                put_text(&q, request->key);
        } else {
                q = query_begin(store, ST_SEEN_TARGET);
                put_number(&q, row);
        }
        put_number(&q, request->size_bytes);
        put_number(&q, request->at_us);
        bool is_new = r == 0;
        r = query_run(&q);
        if (r < 0)
                return r;
        *ret_row = is_new ? (uint64_t)sqlite3_last_insert_rowid(store->db) : row;
        return 0;
}

static int identify(struct ledger_store *store, struct ledger_request *request) {
        if (!*request->key)
                return refuse(store, -EINVAL, "a target without a key can't be told from others");
        struct target_record head = { 0 };
        CLEANUP(ranges_deinit)
        struct ranges ranges = { 0 };
        int r = find_or_create_target(store, request, &head.row);
        if (r == 0)
                r = get_target(store, &head);
        if (r == 0)
                r = get_ranges(store, head.row, &ranges);
        if (r == 0)
                r = get_regions(store, head.row, request->size_bytes, request->extent, &request->regions);
        if (r == 0)
                r = get_past(store, &head);
        if (r < 0)
                return r;
        struct target_record *target = malloc(sizeof *target + ranges.count * sizeof ranges.items[0]);
        if (!target)
                return sqlite_error(store, SQLITE_NOMEM);
        *target = head;
        target->range_count = ranges.count;
        if (ranges.count > 0)
                memcpy(target->ranges, ranges.items, ranges.count * sizeof ranges.items[0]);
        request->target = target;
        return 0;
}

/* A target keeps the id of its first stamping, and its generation only grows. */
static int stamp_target(
        struct ledger_store *store, const struct target_record *target, const struct ledger_mark *mark) {
        if (target->target_id != 0 && mark->target_id != 0 && target->target_id != mark->target_id)
                return refuse(store, -EINVAL, "the target has another id");
        uint64_t id = target->target_id ? target->target_id : mark->target_id;
        if (id == 0)
                return refuse(store, -EINVAL, "the target has no id yet");
        uint64_t generation = MAX(target->last_generation, mark->generation);
        if (id == target->target_id && generation == target->last_generation)
                return 0;
        struct query q = query_begin(store, ST_STAMP_TARGET);
        put_number(&q, target->row);
        put_number(&q, id);
        put_number(&q, generation);
        return query_run(&q);
}

static int mark_ranges(struct ledger_store *store, uint64_t row, const struct ledger_mark *mark) {
        if (mark->settled.length_bytes == 0 && mark->ahead.length_bytes == 0)
                return 0;
        CLEANUP(ranges_deinit)
        struct ranges ranges = { 0 };
        int r = get_ranges(store, row, &ranges);
        if (r < 0)
                return r;
        struct stamped_range stamp = {
                .generation = mark->generation,
                .nonce = mark->nonce,
                .started_us = mark->started_us,
        };
        r = ranges_settle(&ranges, mark->settled, &stamp);
        if (r == 0)
                r = ranges_announce(&ranges, mark->ahead, &stamp);
        if (r < 0)
                return sqlite_error(store, SQLITE_NOMEM);
        ranges_limit(&ranges, TARGET_RANGES_MAX);
        return put_ranges(store, row, &ranges);
}

static int mark_target(struct ledger_store *store, uint64_t row, const struct ledger_mark *mark) {
        if (!extent_is_sane(mark->settled) || !extent_is_sane(mark->ahead))
                return refuse(store, -EINVAL, "a stretch ends beyond 2^63 - 1 bytes");
        struct target_record target = { .row = row };
        int r = get_target(store, &target);
        if (r < 0)
                return r;
        if (mark->generation == 0 || mark->generation < target.last_generation)
                return refuse(store, -EINVAL, "a later generation was stamped there already");
        r = stamp_target(store, &target, mark);
        return r < 0 ? r : mark_ranges(store, row, mark);
}

/* What a sweep wrote since it was last stored counts for its target. -ENOENT: the ledger has no such sweep. */
static int add_written(struct ledger_store *store, uint64_t row, uint64_t sweep_id, uint64_t written) {
        struct query q = query_begin(store, ST_SWEEP_WRITTEN);
        put_number(&q, sweep_id);
        int known = query_step(&q);
        uint64_t before = known > 0 ? take_number(&q) : 0;
        query_end(&q);
        if (known < 0)
                return known;
        if (written > before) {
                q = query_begin(store, ST_ADD_WRITTEN);
                put_number(&q, row);
                put_number(&q, written - before);
                int r = query_run(&q);
                if (r < 0)
                        return r;
        }
        return known ? 0 : -ENOENT;
}

static int put_checkpoint(struct ledger_store *store, const struct ledger_request *request) {
        const struct ledger_mark *mark = &request->mark;
        struct query q = query_begin(store, ST_PUT_CHECKPOINT);
        put_number(&q, request->sweep.id);
        put_number(&q, request->at_us);
        put_number(&q, mark->generation);
        put_number(&q, mark->nonce);
        put_number(&q, mark->settled.offset_bytes);
        put_number(&q, mark->settled.length_bytes);
        put_number(&q, mark->ahead.offset_bytes);
        put_number(&q, mark->ahead.length_bytes);
        return query_run(&q);
}

static int checkpoint_sweep(struct ledger_store *store, const struct ledger_request *request) {
        const struct sweep_record *sweep = &request->sweep;
        int r = add_written(store, request->target_row, sweep->id, sweep->bytes.written);
        if (r == -ENOENT)
                return refuse(store, r, "the ledger has no such sweep");
        if (r < 0)
                return r;
        /* One that rests tells what counts; what was written behind that is in the sum of the target. */
        const struct sweep_bytes *bytes = request->op == LEDGER_SWEEP_RESTS ? &request->place.at.bytes : &sweep->bytes;
        struct query q = query_begin(store, ST_SET_SWEEP_BYTES);
        put_number(&q, sweep->id);
        put_number(&q, bytes->total);
        put_number(&q, bytes->read);
        put_number(&q, bytes->written);
        put_number(&q, bytes->verified);
        put_number(&q, bytes->skipped);
        put_number(&q, request->mark.generation);
        put_number(&q, request->mark.nonce);
        r = query_run(&q);
        if (r == 0)
                r = put_survey(store, request->target_row, sweep->id, request->survey);
        return r < 0 ? r : put_checkpoint(store, request);
}

/* Of a sweep that writes nothing, a mark is its checkpoint alone. */
static int mark(struct ledger_store *store, struct ledger_request *request) {
        const struct ledger_mark *m = &request->mark;
        bool writes = m->generation != 0 || m->settled.length_bytes > 0 || m->ahead.length_bytes > 0;
        int r = writes ? mark_target(store, request->target_row, m) : 0;
        if (r == 0 && request->sweep.id != 0)
                r = checkpoint_sweep(store, request);
        return r;
}

static int put_place(struct ledger_store *store, const struct sweep_record *sweep, const struct ledger_place *place) {
        const struct checkpoint *at = &place->at;
        struct query q = query_begin(store, ST_PUT_PLACE);
        put_number(&q, sweep->id);
        put_text(&q, sweep_round_name(at->round));
        put_number(&q, at->size_bytes);
        put_number(&q, at->extent.offset_bytes);
        put_number(&q, at->extent.length_bytes);
        put_number(&q, at->at_bytes);
        put_number(&q, at->covered_bytes);
        put_number(&q, at->lost_bytes);
        put_number(&q, at->bytes.total);
        put_number(&q, at->bytes.read);
        put_number(&q, at->bytes.written);
        put_number(&q, at->bytes.verified);
        put_number(&q, at->bytes.skipped);
        put_number(&q, at->stamps_seen);
        put_number(&q, at->region_checked_bytes);
        put_number(&q, at->region_verified_bytes);
        put_number(&q, at->late_reads);
        put_number(&q, at->late_untried);
        put_number(&q, sweep->running_us);
        put_number(&q, place->by_hand);
        put_text(&q, place->overwrite);
        put_number(&q, at->pass);
        return query_run(&q);
}

static int forget_ranges(struct ledger_store *store, const struct ledger_request *request) {
        CLEANUP(ranges_deinit)
        struct ranges ranges = { 0 };
        if (!extent_is_sane(request->mark.clears))
                return refuse(store, -EINVAL, "a stretch ends beyond 2^63 - 1 bytes");
        int r = get_ranges(store, request->target_row, &ranges);
        if (r < 0)
                return r;
        if (ranges_forget(&ranges, request->mark.clears) < 0)
                return sqlite_error(store, SQLITE_NOMEM);
        ranges_limit(&ranges, TARGET_RANGES_MAX);
        return put_ranges(store, request->target_row, &ranges);
}

static int stamp(struct ledger_store *store, struct ledger_request *request) {
        struct target_record target = { .row = request->target_row };
        int r = get_target(store, &target);
        if (r == 0)
                r = stamp_target(store, &target, &request->mark);
        if (r < 0 || request->mark.clears.length_bytes == 0)
                return r;
        r = forget_ranges(store, request);
        if (r == 0)
                r = checkpoint_sweep(store, request);
        return r < 0 ? r : put_place(store, &request->sweep, &request->place);
}

/* A request that comes late, when the sweep is over, changes nothing. */
static int checkpoint(struct ledger_store *store, struct ledger_request *request) {
        int r = checkpoint_sweep(store, request);
        return r < 0 ? r : put_place(store, &request->sweep, &request->place);
}

static int forget(struct ledger_store *store, struct ledger_request *request) {
        struct target_record target = { .row = request->target_row };
        int r = get_target(store, &target);
        return r < 0 ? r : forget_ranges(store, request);
}

/* Sweeps, findings, events. */

static int put_sweep(struct ledger_store *store, struct ledger_request *request) {
        const struct sweep_record *sweep = &request->sweep;
        if (sweep->id == 0 || !*sweep->device)
                return refuse(store, -EINVAL, "a sweep needs an id and a device");
        int r = add_written(store, sweep->target_row, sweep->id, sweep->bytes.written);
        if (r < 0 && r != -ENOENT) /* not known yet, or started while the ledger was not usable */
                return r;
        r = run_with_number(store, ST_DROP_CHECKPOINT, sweep->id);
        if (r == 0)
                r = run_with_number(store, ST_DROP_PLACE, sweep->id);
        if (r < 0)
                return r;
        struct query q = query_begin(store, ST_PUT_SWEEP);
        char patterns[PATTERN_LIST_TEXT_BYTES];
        pattern_list_format(patterns, &sweep->patterns);
        write_sweep(&q, sweep, patterns);
        r = query_run(&q);
        return r < 0 ? r : put_survey(store, sweep->target_row, sweep->id, request->survey);
}

static int start_sweep(struct ledger_store *store, struct ledger_request *request) {
        int r = put_sweep(store, request);
        return r < 0 || request->place.at.size_bytes == 0 ? r : put_place(store, &request->sweep, &request->place);
}

/* Where nothing is wanted there is no row. */
static int put_intent(struct ledger_store *store, struct ledger_request *request) {
        const struct ledger_intent *intent = &request->intent;
        bool any = intent->held || intent->wish_sweep_id != 0 || intent->unchecked_us != 0;
        char patterns[PATTERN_LIST_TEXT_BYTES];
        pattern_list_format(patterns, &intent->wish_patterns);
        if (!*intent->device)
                return refuse(store, -EINVAL, "an intent needs a device");
        struct query q = query_begin(store, any ? ST_PUT_INTENT : ST_DROP_INTENT);
        put_text(&q, intent->device);
        if (any) {
                put_number(&q, intent->held);
                put_number(&q, intent->wish_sweep_id);
                put_text(&q, sweep_mode_name(intent->wish_mode));
                put_text(&q, intent->wish_overwrite);
                put_text(&q, patterns);
                put_number(&q, intent->unchecked_us);
        }
        return query_run(&q);
}

static int put_finding(struct ledger_store *store, struct ledger_request *request) {
        if (request->finding.id == 0)
                return refuse(store, -EINVAL, "a finding needs an id");
        struct query q = query_begin(store, ST_PUT_FINDING);
        write_finding(&q, &request->finding);
        return query_run(&q);
}

static int put_event(struct ledger_store *store, struct ledger_request *request) {
        const struct event *event = &request->event;
        if (event->id == 0)
                return refuse(store, -EINVAL, "an event needs an id");
        struct query q = query_begin(store, ST_PUT_EVENT);
        put_number(&q, event->id);
        put_text(&q, event_kind_name(event->kind));
        put_number(&q, (uint64_t)event->priority);
        put_number(&q, event->at_us);
        put_text(&q, event->device);
        put_text(&q, event->text);
        put_number(&q, event->sweep_id);
        put_number(&q, event->has_finding ? event->finding.id : 0);
        put_text(&q, event->serial);
        put_text(&q, event->slot);
        return query_run(&q);
}

static bool page_is_sane(const struct ledger_request *request) {
        return request->page_max > 0 && request->page_max <= LEDGER_PAGE;
}

static int list_findings(struct ledger_store *store, struct ledger_request *request) {
        if (!page_is_sane(request))
                return refuse(store, -EINVAL, "not a size of a page");
        struct query q = query_begin(store, ST_LIST_FINDINGS);
        put_number(&q, request->page_after);
        put_text(&q, request->page_device);
        put_number(&q, request->page_all);
        put_number(&q, request->page_max);
        int r = read_findings(&q, &request->findings, &request->page_count);
        query_end(&q);
        return r;
}

static int list_sweeps(struct ledger_store *store, struct ledger_request *request) {
        if (!page_is_sane(request))
                return refuse(store, -EINVAL, "not a size of a page");
        struct query q = query_begin(store, request->page_newest ? ST_LIST_NEWEST_SWEEPS : ST_LIST_SWEEPS);
        put_number(&q, request->page_after);
        put_text(&q, request->page_device);
        put_number(&q, request->page_max);
        int r = read_sweeps(&q, &request->sweeps, &request->page_count);
        query_end(&q);
        return r;
}

/* 1: it is filled in; 0: there is none. */
static int find_sweep(struct ledger_store *store, uint64_t id, struct sweep_record *ret) {
        struct query q = query_begin(store, ST_GET_SWEEP);
        put_number(&q, id);
        int found = query_step(&q), r = found > 0 ? read_sweep(&q, ret) : found;
        query_end(&q);
        return r < 0 ? r : found;
}

/* A finding or a sweep that was pruned meanwhile is left out. */
static int add_records(struct ledger_store *store, struct event *event) {
        int r = 0;
        if (event->finding.id > 0) {
                struct query q = query_begin(store, ST_GET_FINDING);
                put_number(&q, event->finding.id);
                r = query_step(&q);
                event->has_finding = r > 0;
                if (r > 0)
                        r = read_finding(&q, &event->finding);
                query_end(&q);
        }
        if (r < 0 || event->kind != EVENT_SWEEP_ENDED)
                return r;
        r = find_sweep(store, event->sweep_id, &event->sweep);
        event->has_sweep = r > 0;
        return MIN(r, 0);
}

static int list_events(struct ledger_store *store, struct ledger_request *request) {
        if (!page_is_sane(request))
                return refuse(store, -EINVAL, "not a size of a page");
        struct query q = query_begin(store, ST_LIST_EVENTS);
        put_number(&q, request->page_after);
        put_number(&q, request->page_max);
        int r = read_events(&q, &request->events, &request->page_count);
        query_end(&q);
        for (size_t i = 0; r == 0 && i < request->page_count; i++)
                r = add_records(store, &request->events[i]);
        return r;
}

static int get_finding(struct ledger_store *store, struct ledger_request *request) {
        struct query q = query_begin(store, ST_GET_FINDING);
        put_number(&q, request->page_after);
        int r = read_findings(&q, &request->findings, &request->page_count);
        query_end(&q);
        return r;
}

static int get_sweep(struct ledger_store *store, struct ledger_request *request) {
        struct query q = query_begin(store, ST_GET_SWEEP);
        put_number(&q, request->page_after);
        int r = read_sweeps(&q, &request->sweeps, &request->page_count);
        query_end(&q);
        return r;
}

/* The past that is too old. */

static int execute(struct ledger_store *store, const char *sql) {
        int code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
        return code == SQLITE_OK ? 0 : sqlite_error(store, code);
}

/* The first column of the first row; "" where there is none. */
static int ask(struct ledger_store *store, const char *sql, char *answer, size_t answer_bytes) {
        sqlite3_stmt *statement = NULL;
        int code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
        if (code == SQLITE_OK)
                code = sqlite3_step(statement);
        const unsigned char *text = code == SQLITE_ROW ? sqlite3_column_text(statement, 0) : NULL;
        text_copy(answer, answer_bytes, text ? (const char *)text : "");
        int r = code == SQLITE_ROW || code == SQLITE_DONE ? 0 : sqlite_error(store, code);
        sqlite3_finalize(statement);
        return r;
}

/* The statements of each kind of row; sum: ST_COUNT where nothing is summed up. */
struct prune_statements {
        enum statement next, sum, drop;
};

static int prune_rows(struct ledger_store *store, enum statement which, const struct ledger_prune *p, uint64_t last) {
        struct query q = query_begin(store, which);
        put_number(&q, p->after);
        put_number(&q, last);
        put_number(&q, p->before_us);
        if (which == ST_SUM_OLD_SWEEPS || which == ST_PRUNE_SWEEPS)
                put_number(&q, TARGET_PAST_MAX);
        if (which == ST_PRUNE_EVENTS)
                put_number(&q, p->events_to);
        return query_run(&q);
}

/* Looks at the next few rows. Behind the last of a kind the next one begins. */
static int prune_some(struct ledger_store *store, const struct prune_statements *s, struct ledger_prune *p) {
        struct query q = query_begin(store, s->next);
        put_number(&q, p->after);
        put_number(&q, PRUNE_ROWS);
        int r = query_step(&q);
        uint64_t last = r > 0 ? take_number(&q) : 0;
        query_end(&q);
        if (r < 0)
                return r;
        if (last == 0) {
                p->after = 0;
                p->stage++;
                return 0;
        }
        r = s->sum == ST_COUNT ? 0 : prune_rows(store, s->sum, p, last);
        if (r == 0)
                r = prune_rows(store, s->drop, p, last);
        if (r == 0)
                p->after = last;
        return r;
}

/* A ledger of an early version has no map of its pages, and gives none back: what is free there is only used again. */
static int give_back_pages(struct ledger_store *store, struct ledger_prune *p) {
        char mode[16], answer[32], give[64];
        int r = ask(store, "PRAGMA auto_vacuum", mode, sizeof mode);
        if (r == 0)
                r = ask(store, "PRAGMA freelist_count", answer, sizeof answer);
        if (r < 0)
                return r;
        if (strcmp(mode, "2") != 0 || strtol(answer, NULL, 10) <= SPARE_PAGES_MAX) {
                p->stage++;
                return 0;
        }
        text_format(give, sizeof give, "PRAGMA incremental_vacuum(%d)", VACUUM_PAGES);
        return execute(store, give);
}

/* Once for all of them: it is a walk over those that stay. */
static int find_events_beyond(struct ledger_store *store, struct ledger_prune *p) {
        struct query q = query_begin(store, ST_EVENTS_BEYOND);
        put_number(&q, LEDGER_EVENTS_MAX);
        int r = query_step(&q);
        if (r > 0)
                p->events_to = take_number(&q);
        query_end(&q);
        return MIN(r, 0);
}

static int prune(struct ledger_store *store, struct ledger_request *request) {
        static const struct prune_statements of[] = {
                [LEDGER_PRUNE_EVENTS] = { ST_NEXT_EVENTS, ST_COUNT, ST_PRUNE_EVENTS },
                [LEDGER_PRUNE_FINDINGS] = { ST_NEXT_FINDINGS, ST_SUM_OLD_FINDINGS, ST_PRUNE_FINDINGS },
                [LEDGER_PRUNE_SWEEPS] = { ST_NEXT_SWEEPS, ST_SUM_OLD_SWEEPS, ST_PRUNE_SWEEPS },
        };
        struct ledger_prune *p = &request->prune;
        assert(p->stage < LEDGER_PRUNE_OVER);
        if (p->stage == LEDGER_PRUNE_EVENTS && p->after == 0) {
                int r = run_with_number(store, ST_AGE, p->aged_us);
                if (r == 0)
                        r = find_events_beyond(store, p);
                if (r < 0)
                        return r;
        }
        return p->stage == LEDGER_PRUNE_FILE ? give_back_pages(store, p) : prune_some(store, &of[p->stage], p);
}

/* What the daemon starts from. */

static int take_words_copy(struct query *q, char **ret) {
        const char *words = take_words(q);
        *ret = *words ? strdup(words) : NULL;
        return *words && !*ret ? sqlite_error(q->store, SQLITE_NOMEM) : 0;
}

static bool place_is_sane(const struct checkpoint *at) {
        return at->size_bytes > 0 && at->size_bytes <= INT64_MAX && extent_is_sane(at->extent) &&
                at->extent.offset_bytes <= at->at_bytes && at->at_bytes <= extent_end(at->extent) &&
                extent_end(at->extent) <= at->size_bytes && at->covered_bytes <= at->size_bytes &&
                at->bytes.verified <= at->bytes.read;
}

static int read_place(struct query *q, struct sweep_resume *r) {
        struct checkpoint *at = &r->from;
        r->record.id = take_number(q);
        bool known = sweep_round_from_name(&at->round, take_words(q));
        at->size_bytes = take_number(q);
        at->extent.offset_bytes = take_number(q);
        at->extent.length_bytes = take_number(q);
        at->at_bytes = take_number(q);
        at->covered_bytes = take_number(q);
        at->lost_bytes = take_number(q);
        at->bytes.total = take_number(q);
        at->bytes.read = take_number(q);
        at->bytes.written = take_number(q);
        at->bytes.verified = take_number(q);
        at->bytes.skipped = take_number(q);
        at->stamps_seen = take_number(q);
        at->region_checked_bytes = take_number(q);
        at->region_verified_bytes = take_number(q);
        at->late_reads = take_number(q);
        at->late_untried = take_number(q);
        r->record.running_us = take_number(q);
        r->by_hand = take_number(q) != 0;
        int error = take_words_copy(q, &r->overwrite);
        at->pass = (unsigned)take_number(q);
        if (!known || !place_is_sane(at))
                return damaged(q->store, "the place of a sweep makes no sense");
        return error;
}

/* What was measured is not known where it makes no sense, as elsewhere. */
static int fill_resume(struct ledger_store *store, struct sweep_resume *resume) {
        uint64_t running_us = resume->record.running_us;
        int r = find_sweep(store, resume->record.id, &resume->record);
        if (r >= 0 && resume->from.pass > resume->record.patterns.count)
                r = damaged(store, "the place of a sweep is in a pass that it has not got");
        resume->record.running_us = running_us;
        resume->record.bytes = resume->from.bytes;
        resume->record.stamps_seen = resume->from.stamps_seen;
        if (r < 0)
                return r;
        struct query q = query_begin(store, ST_GET_LATENCY);
        put_number(&q, resume->record.id);
        r = query_step(&q);
        if (r > 0) {
                size_t bytes;
                const void *blob = take_blob(&q, &bytes);
                if (bytes > 0)
                        (void)latency_unpack(resume->latency, blob, bytes);
                take_text(&q, resume->key, sizeof resume->key);
        }
        query_end(&q);
        return MIN(r, 0);
}

DEFINE_FREEP(struct sweep_resume, sweep_resume_free, sweep_resume_freep)

static int load_resume(struct ledger_store *store, struct ledger_device *device) {
        CLEANUP(sweep_resume_freep)
        struct sweep_resume *resume = NULL;
        struct query q = query_begin(store, ST_GET_PLACE);
        put_text(&q, device->device);
        int r = query_step(&q);
        if (r > 0 && sweep_resume_new(&resume) < 0)
                r = sqlite_error(store, SQLITE_NOMEM);
        if (r > 0)
                r = read_place(&q, resume);
        query_end(&q);
        if (r == 0 && resume)
                r = fill_resume(store, resume);
        if (r == 0)
                device->resume = STEAL(resume);
        return r;
}

static int load_intent(struct ledger_store *store, struct ledger_device *device) {
        struct ledger_intent *intent = &device->intent;
        struct query q = query_begin(store, ST_GET_INTENT);
        put_text(&q, device->device);
        int r = query_step(&q);
        if (r > 0) {
                intent->held = take_number(&q) != 0;
                intent->wish_sweep_id = take_number(&q);
                bool known = sweep_mode_from_name(&intent->wish_mode, take_words(&q)) == 0;
                r = take_words_copy(&q, &intent->wish_overwrite);
                known = pattern_list_parse(&intent->wish_patterns, take_words(&q)) && known;
                intent->unchecked_us = take_number(&q);
                if (!known)
                        r = damaged(store, "what is wanted of a device makes no sense");
        }
        query_end(&q);
        return r;
}

static int load_past(struct ledger_store *store, struct ledger_device *device, enum sweep_mode mode) {
        struct ledger_past *past = &device->past[mode];
        const struct sweep_record *last = &device->last;
        struct query q = query_begin(store, ST_PAST_OF_MODE);
        put_text(&q, device->device);
        put_text(&q, sweep_mode_name(mode));
        put_number(&q, last->target_row);
        put_number(&q, last->extent.offset_bytes);
        put_number(&q, last->extent.length_bytes);
        int r = query_step(&q);
        if (r > 0) {
                past->started_us = take_number(&q);
                past->ended_us = take_number(&q);
                (void)sweep_end_from_name(&past->end, take_words(&q)); /* else it is due */
                past->finished_us = take_number(&q);
                past->failures_in_a_row = (unsigned)take_number(&q);
        }
        query_end(&q);
        return MIN(r, 0);
}

/* NULL stays where there is no such target, as in a ledger that followed a lost one. */
static int load_key(struct ledger_store *store, struct ledger_device *device) {
        struct query q = query_begin(store, ST_TARGET_KEY);
        put_number(&q, device->last.target_row);
        int r = query_step(&q);
        if (r > 0)
                r = take_words_copy(&q, &device->last_key);
        query_end(&q);
        return MIN(r, 0);
}

/* The last sweep need not have written anything. */
static int load_writes(struct ledger_store *store, struct ledger_device *device) {
        struct query q = query_begin(store, ST_LAST_WRITES);
        put_text(&q, device->device);
        put_number(&q, LEDGER_WRITES);
        int r;
        while ((r = query_step(&q)) > 0 && device->write_count < LEDGER_WRITES) {
                device->writes[device->write_count].started_us = take_number(&q);
                device->writes[device->write_count++].bytes = take_number(&q);
        }
        query_end(&q);
        return MIN(r, 0);
}

/* Of what was swept last, or is to be gone on with. */
static int load_regions(struct ledger_store *store, struct ledger_device *device) {
        struct query q = query_begin(store, ST_LAST_EXTENT);
        put_text(&q, device->device);
        int r = query_step(&q);
        uint64_t row = r > 0 ? take_number(&q) : 0;
        struct extent extent = { 0 };
        extent.offset_bytes = r > 0 ? take_number(&q) : 0;
        extent.length_bytes = r > 0 ? take_number(&q) : 0;
        uint64_t size_bytes = r > 0 ? take_number(&q) : 0;
        query_end(&q);
        if (extent.length_bytes == 0) /* of an earlier version */
                extent = (struct extent){ 0, size_bytes };
        if (r <= 0 || size_bytes == 0 || !extent_is_sane(extent))
                return MIN(r, 0);
        return get_regions(store, row, size_bytes, extent, &device->regions);
}

static int load_device(struct ledger_store *store, struct ledger_device *device) {
        struct query q = query_begin(store, ST_LAST_SWEEP);
        put_text(&q, device->device);
        int r = query_step(&q);
        if (r > 0)
                r = read_sweep(&q, &device->last);
        query_end(&q);
        if (r < 0)
                return r;
        q = query_begin(store, ST_DEVICE_SUMS);
        put_text(&q, device->device);
        r = query_step(&q);
        if (r > 0) {
                device->last_verified_us = take_number(&q);
                device->last_checked_us = take_number(&q);
                device->findings_resolved = take_number(&q);
                device->bytes_written = take_number(&q);
                device->skipped_us = take_number(&q);
        }
        query_end(&q);
        if (r >= 0)
                r = load_writes(store, device);
        for (enum sweep_mode mode = 0; r >= 0 && mode < MODE_COUNT; mode++)
                r = load_past(store, device, mode);
        if (r >= 0)
                r = load_key(store, device);
        if (r < 0)
                return r;
        r = load_resume(store, device);
        if (r == 0)
                r = load_intent(store, device);
        if (r < 0)
                return r;
        return load_regions(store, device);
}

static int load_devices(struct ledger_store *store, struct ledger_load *load) {
        struct query q = query_begin(store, ST_DEVICES);
        int r = read_device_names(&q, &load->devices, &load->device_count);
        query_end(&q);
        for (size_t i = 0; i < load->device_count && r == 0; i++)
                r = load_device(store, &load->devices[i]);
        return r;
}

static int load_next_ids(struct ledger_store *store, struct ledger_load *load) {
        struct query q = query_begin(store, ST_NEXT_IDS);
        int r = query_step(&q);
        if (r > 0) {
                load->next_sweep_id = take_number(&q);
                load->next_finding_id = take_number(&q);
                load->next_event_id = take_number(&q);
                load->aged_us = take_number(&q);
        }
        query_end(&q);
        if (r == 0)
                return damaged(store, "its first record is gone");
        return MIN(r, 0);
}

/*
 * All of it is read, or the ledger counts as damaged: a history with holes would let a faulty disk look clean. Here
 * quick_check found nothing, so the file is put aside without asking it once more.
 */
static int load(struct ledger_store *store, struct ledger_request *request) {
        struct ledger_load *l = &request->load;
        int r = load_next_ids(store, l);
        if (r == 0)
                r = load_devices(store, l);
        if (r == 0) {
                struct query q = query_begin(store, ST_OPEN_FINDINGS);
                r = read_findings(&q, &l->findings, &l->finding_count);
                query_end(&q);
        }
        store->unreadable = r == -EUCLEAN;
        return r;
}

static int (*const operations[])(struct ledger_store *, struct ledger_request *) = {
        [LEDGER_LOAD] = load,
        [LEDGER_IDENTIFY] = identify,
        [LEDGER_SWEEP_STARTED] = start_sweep,
        [LEDGER_CHECKPOINT] = checkpoint,
        [LEDGER_SWEEP_RESTS] = checkpoint,
        [LEDGER_DEVICE] = put_intent,
        [LEDGER_STAMP] = stamp,
        [LEDGER_MARK] = mark,
        [LEDGER_FORGET] = forget,
        [LEDGER_SWEEP_ENDED] = put_sweep,
        [LEDGER_FINDING] = put_finding,
        [LEDGER_EVENT] = put_event,
        [LEDGER_PRUNE] = prune,
        [LEDGER_LIST_FINDINGS] = list_findings,
        [LEDGER_LIST_SWEEPS] = list_sweeps,
        [LEDGER_LIST_EVENTS] = list_events,
        [LEDGER_GET_FINDING] = get_finding,
        [LEDGER_GET_SWEEP] = get_sweep,
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
        return code == SQLITE_OK ? 0 : sqlite_error(store, code);
}

static int newer(struct ledger_store *store) {
        store->newer = true;
        return fail(store, -ENOTSUP, FAILED_FILE, "it is of a later version of sweepd",
                "install that version, or move the file away");
}

static int ask_schema(struct ledger_store *store, long *ret) {
        char answer[32];
        int r = ask(store, "PRAGMA user_version", answer, sizeof answer);
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
        r = execute(store,
                "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096; PRAGMA synchronous = FULL;"
                "PRAGMA journal_size_limit = 16777216");
        if (r < 0)
                return r;
        r = ask(store, "PRAGMA journal_mode = WAL", answer, sizeof answer);
        if (r < 0)
                return r;
        if (strcmp(answer, "wal") != 0)
                return fail(store, -ENOTSUP, FAILED_FILE, "its file system can't share memory between processes",
                        "move the state directory to a local file system");
        r = ask(store, "PRAGMA quick_check(1)", answer, sizeof answer);
        if (r < 0)
                return r;
        return strcmp(answer, "ok") == 0 ? 0 : damaged(store, answer);
}

/* The steps that are missing, inside of a transaction. */
static int run_upgrades(struct ledger_store *store, long schema) {
        char version[64];
        if (schema < 1)
                return damaged(store, "it has no schema");
        int r = 0;
        for (size_t i = (size_t)schema - 1; i < ELEMENTS(upgrades) && r == 0; i++)
                r = execute(store, upgrades[i]);
        text_format(version, sizeof version, "PRAGMA user_version = %d", LEDGER_FILE_SCHEMA);
        return r < 0 ? r : execute(store, version);
}

/* All of it or nothing: a kill on the way leaves the ledger of the version before. */
static int upgrade(struct ledger_store *store) {
        long schema = 0;
        int r = ask_schema(store, &schema);
        if (r < 0 || schema == LEDGER_FILE_SCHEMA)
                return r;
        r = run_plain(store, ST_BEGIN);
        if (r == 0)
                r = run_upgrades(store, schema);
        if (r == 0)
                r = run_plain(store, ST_COMMIT);
        if (r < 0)
                return r;
        /* So that it can give pages back. Where there is no room for the copy that this makes, it does without. */
        (void)sqlite3_exec(store->db, "PRAGMA auto_vacuum = INCREMENTAL; VACUUM", NULL, NULL, NULL);
        return 0;
}

static int remember_file(struct ledger_store *store) {
        struct stat status;
        if (stat(store->path, &status) < 0)
                return system_error(store, -errno);
        store->file_device = status.st_dev;
        store->file_inode = status.st_ino;
        return 0;
}

/* A sweep that was running when a daemon died has ended when it was last heard of. Only before this daemon has any. */
static int end_killed(struct ledger_store *store) {
        if (store->was_open)
                return 0;
        int r = run_plain(store, ST_BEGIN);
        if (r == 0)
                r = run_plain(store, ST_END_KILLED);
        if (r == 0)
                r = run_plain(store, ST_JUDGE_KILLED);
        if (r == 0)
                r = run_plain(store, ST_DROP_ENDED_PLACES);
        if (r == 0)
                r = run_plain(store, ST_DROP_CHECKPOINTS);
        return r < 0 ? r : run_plain(store, ST_COMMIT);
}

/* Of a ledger that does not have it yet; later events may be by a clock that is wrong. */
static int note_age(struct ledger_store *store, uint64_t now_us) {
        return run_with_number(store, ST_AGE_FIRST, now_us);
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
                r = execute(store, head);
        if (r == 0)
                r = execute(store, SCHEMA);
        if (r == 0)
                r = run_upgrades(store, 1);
        if (r == 0)
                r = execute(store, tail);
        close_database(store);
        return r;
}

static int create(struct ledger_store *store, uint64_t first_id) {
        CLEANUP_FREE char *path = NULL;
        if (asprintf(&path, "%s/" LEDGER_FILE_NEW, store->directory) < 0) {
                path = NULL;
                return sqlite_error(store, SQLITE_NOMEM);
        }
        int r = ledger_file_begin(store->directory);
        if (r < 0)
                return system_error(store, r);
        r = fill_new(store, path, first_id);
        if (r < 0)
                return r;
        r = ledger_file_publish(store->directory);
        return r < 0 ? system_error(store, r) : 0;
}

/* Puts aside what is there and begins anew. */
static int replace(struct ledger_store *store, uint64_t now_us, const char *why) {
        char name[NAME_MAX], what[STORE_TEXT_BYTES / 2];
        text_copy(what, sizeof what, why); /* it may be the text of the failure that brought us here */
        int r = ledger_file_set_aside(store->directory, now_us, name, sizeof name);
        if (r < 0)
                return system_error(store, r);
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
                return system_error(store, look);
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
        return fail(store, -ESTALE, FAILED_FILE, "it was moved or deleted", "sweepd opens it anew by itself");
}

static int run_all(struct ledger_store *store, struct ledger_request *const *requests, size_t count) {
        int r = still_there(store);
        if (r == 0)
                r = run_plain(store, ST_BEGIN);
        for (size_t i = 0; i < count && r == 0; i++) {
                assert(requests[i]->op < ELEMENTS(operations));
                r = operations[requests[i]->op](store, requests[i]);
        }
        return r < 0 ? r : run_plain(store, ST_COMMIT);
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
