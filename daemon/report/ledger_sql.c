/* SPDX-License-Identifier: Apache-2.0 */
#include "report/ledger_store_private.h"

/*
 * Schema 1; what came later is in ledger_sql_upgrades. 0 stands for "none" and "never", "" for "no text". Unsigned
 * 64-bit numbers are kept as the signed ones with the same bits. A running sweep has one checkpoint, replaced at each
 * mark: it tells when the sweep was last alive, and where. target_row of sweeps and findings is no reference: they
 * outlive a ledger that was lost under a running daemon.
 */
const char *const ledger_sql_schema =
        "CREATE TABLE ledger(first_id INTEGER NOT NULL);"
        "CREATE TABLE targets(row INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, target_id INTEGER NOT NULL,"
        " last_generation INTEGER NOT NULL, size_bytes INTEGER NOT NULL, bytes_written INTEGER NOT NULL,"
        " first_seen_us INTEGER NOT NULL, last_seen_us INTEGER NOT NULL);"
        "CREATE TABLE ranges(target_row INTEGER NOT NULL REFERENCES targets(row) ON DELETE CASCADE,"
        " offset_bytes INTEGER NOT NULL, length_bytes INTEGER NOT NULL, generation INTEGER NOT NULL,"
        " nonce INTEGER NOT NULL, started_us INTEGER NOT NULL, settled INTEGER NOT NULL,"
        " PRIMARY KEY(target_row, offset_bytes, generation, nonce)) WITHOUT ROWID;"
        "CREATE TABLE sweeps(id INTEGER PRIMARY KEY, device TEXT NOT NULL, target_row INTEGER NOT NULL,"
        " mode TEXT NOT NULL, generation INTEGER NOT NULL, nonce INTEGER NOT NULL, started_us INTEGER NOT NULL,"
        " ended_us INTEGER NOT NULL, running_us INTEGER NOT NULL, verdict TEXT NOT NULL, assurance TEXT NOT NULL,"
        " ended_as TEXT NOT NULL, rule TEXT NOT NULL, found TEXT NOT NULL, remedy TEXT NOT NULL,"
        " bytes_total INTEGER NOT NULL, bytes_read INTEGER NOT NULL, bytes_written INTEGER NOT NULL,"
        " bytes_verified INTEGER NOT NULL, bytes_skipped INTEGER NOT NULL, findings INTEGER NOT NULL,"
        " stamps_seen INTEGER NOT NULL);"
        "CREATE INDEX sweeps_by_device ON sweeps(device, id);"
        "CREATE TABLE findings(id INTEGER PRIMARY KEY, device TEXT NOT NULL, target_row INTEGER NOT NULL,"
        " sweep_id INTEGER NOT NULL, offset_bytes INTEGER NOT NULL, length_bytes INTEGER NOT NULL,"
        " fault TEXT NOT NULL, persistence TEXT NOT NULL, state TEXT NOT NULL, text TEXT NOT NULL,"
        " detail TEXT NOT NULL, sample_offset_bytes INTEGER NOT NULL, sample_expected BLOB NOT NULL,"
        " sample_found BLOB NOT NULL, count INTEGER NOT NULL, first_seen_us INTEGER NOT NULL,"
        " last_seen_us INTEGER NOT NULL, acknowledged_us INTEGER NOT NULL, comment TEXT NOT NULL);"
        "CREATE INDEX findings_by_device ON findings(device, id);"
        "CREATE INDEX findings_by_sweep ON findings(sweep_id);"
        "CREATE INDEX findings_open ON findings(id) WHERE state IN ('open', 'acknowledged');"
        "CREATE TABLE checkpoints(sweep_id INTEGER PRIMARY KEY REFERENCES sweeps(id) ON DELETE CASCADE,"
        " at_us INTEGER NOT NULL, generation INTEGER NOT NULL, nonce INTEGER NOT NULL,"
        " settled_offset_bytes INTEGER NOT NULL, settled_length_bytes INTEGER NOT NULL,"
        " ahead_offset_bytes INTEGER NOT NULL, ahead_length_bytes INTEGER NOT NULL);"
        "CREATE TABLE events(id INTEGER PRIMARY KEY, kind TEXT NOT NULL, priority INTEGER NOT NULL,"
        " at_us INTEGER NOT NULL, device TEXT NOT NULL, text TEXT NOT NULL, sweep_id INTEGER NOT NULL,"
        " finding_id INTEGER NOT NULL, serial TEXT NOT NULL, slot TEXT NOT NULL);";

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
const char *const ledger_sql_upgrades[LEDGER_FILE_SCHEMA - 1] = {
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

/* In the order of row_write_sweep() and row_read_sweep(), row_write_finding() and row_read_finding(). */
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

/* Others are in the history because somebody has their number: they say nothing of the device. */
#define BEGAN "NOT (target_row = 0 AND bytes_total = 0)"

/* What a device ?1 of mode ?2 is due for (sweep_mode_serves), of the target ?3 and its extent ?4, ?5; 0: not known. */
#define SERVES                                                                          \
        "device = ?1 AND ended_us <> 0 AND " BEGAN                                      \
        " AND (?2 = 'read' OR mode = ?2 OR (?2 = 'refresh' AND mode <> 'read'))"        \
        " AND (?3 = 0 OR target_row IN (?3, 0)) AND (?5 = 0 OR extent_length_bytes = 0" \
        "  OR (extent_offset_bytes = ?4 AND extent_length_bytes = ?5))"

const char *const ledger_sql_statements[ST_COUNT] = {
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
