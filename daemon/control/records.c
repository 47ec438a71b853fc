/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients are written against the interface, not against this daemon: a field that is misnamed, missing, or 0 where it
 * should be null is read as a fact. So each type stands here once, in the order of io.sweepd.varlink, and what the
 * records keep as 0, "" or -1 for "unknown" becomes null.
 */
#include "control/records.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <assert.h>
#include <string.h>

/* 0 is "unknown" or "never". */
static void set_known(struct message *m, const char *key, uint64_t value) {
        if (value == 0)
                message_set_null(m, key);
        else
                message_set_integer(m, key, value);
}

static void set_text(struct message *m, const char *key, const char *value) {
        message_set_string(m, key, value && value[0] ? value : NULL);
}

static void set_tristate(struct message *m, const char *key, int value) {
        if (value < 0)
                message_set_null(m, key);
        else
                message_set_bool(m, key, value > 0);
}

static void set_reason(struct message *m, const char *key, const struct reason *reason) {
        if (!reason->rule[0]) {
                message_set_null(m, key);
                return;
        }
        struct message child = records_reason(reason);
        message_set_object(m, key, &child);
}

struct message records_reason(const struct reason *reason) {
        struct message m = message_begin();
        message_set_string(&m, "rule", reason->rule);
        message_set_string(&m, "found", reason->found);
        message_set_string(&m, "remedy", reason->remedy);
        return m;
}

static struct message worker(const struct worker_record *record) {
        struct message m = message_begin();
        message_set_integer(&m, "index", record->index);
        message_set_string(&m, "cpus", record->cpus);
        message_set_bool(&m, "in_service", record->in_service);
        message_set_integer(&m, "blocks_verified", record->blocks_verified);
        message_set_integer(&m, "bytes_verified", record->bytes_verified);
        message_set_integer(&m, "busy_us", record->busy_us);
        return m;
}

struct message records_daemon(const struct daemon_record *daemon) {
        struct message m = message_begin();
        message_set_string(&m, "version", daemon->version);
        message_set_integer(&m, "pid", (uint64_t)daemon->pid);
        message_set_integer(&m, "started_at", daemon->started_us);
        set_known(&m, "self_test_at", daemon->self_test_us);
        message_set_string(&m, "ledger", daemon->ledger);
        set_text(&m, "ledger_text", daemon->ledger_text);
        message_set_array(&m, "workers");
        for (size_t i = 0; i < daemon->worker_count; i++) {
                struct message child = worker(&daemon->workers[i]);
                message_add_object(&m, "workers", &child);
        }
        message_set_integer(&m, "devices", daemon->devices);
        message_set_integer(&m, "devices_needing_attention", daemon->devices_needing_attention);
        message_set_array(&m, "unowned_journals");
        for (size_t i = 0; i < daemon->unowned_count; i++)
                message_add_string(&m, "unowned_journals", daemon->unowned[i]);
        message_set_integer(&m, "last_event", daemon->last_event);
        return m;
}

/* One user a line. */
static void set_users(struct message *m, const char *users) {
        message_set_array(m, "users");
        while (*users) {
                size_t length = strcspn(users, "\n");
                char user[IDENTITY_USERS_BYTES];
                text_format(user, sizeof user, "%.*s", (int)length, users);
                if (length > 0)
                        message_add_string(m, "users", user);
                users += length + (users[length] == '\n');
        }
}

static void set_identity(struct message *m, const struct identity *identity) {
        if (!identity) {
                message_set_null(m, "identity");
                return;
        }
        struct message child = message_begin();
        message_set_string(&child, "kind", target_kind_name(identity->kind));
        set_text(&child, "model", identity->model);
        set_text(&child, "serial", identity->serial);
        set_text(&child, "wwn", identity->wwn);
        set_text(&child, "firmware", identity->firmware);
        set_text(&child, "partuuid", identity->partuuid);
        set_text(&child, "backing_file", identity->backing_file);
        set_text(&child, "slot", identity->slot);
        set_users(&child, identity->users);
        message_set_object(m, "identity", &child);
}

static void set_progress(struct message *m, const struct device_record *device) {
        if (!device->has_progress) {
                message_set_null(m, "progress");
                return;
        }
        const struct progress *p = &device->progress;
        struct message child = message_begin();
        message_set_integer(&child, "sweep_id", p->sweep_id);
        message_set_string(&child, "phase", sweep_phase_name(p->phase));
        message_set_integer(&child, "generation", p->generation);
        message_set_integer(&child, "started_at", p->started_us);
        message_set_integer(&child, "bytes_total", p->bytes.total);
        message_set_integer(&child, "bytes_done", p->bytes_done);
        message_set_integer(&child, "bytes_read", p->bytes.read);
        message_set_integer(&child, "bytes_written", p->bytes.written);
        message_set_integer(&child, "bytes_verified", p->bytes.verified);
        message_set_integer(&child, "rate", device->rate_bytes);
        set_known(&child, "rate_target", device->rate_target_bytes);
        message_set_string(&child, "rate_rule", pace_rule_name(device->rate_rule));
        set_known(&child, "eta_at", device->eta_us);
        message_set_object(m, "progress", &child);
}

static void set_device_times(struct message *m, const struct device_record *device) {
        set_known(m, "last_sweep_ended_at", device->last_sweep_ended_us);
        set_known(m, "next_due_at", device->next_due_us);
        set_known(m, "next_start_at", device->next_start_us);
        set_known(m, "every_us", device->every_us);
        set_known(m, "window_opens_at", device->window_opens_us);
        set_known(m, "window_closes_at", device->window_closes_us);
        set_known(m, "oldest_checked_at", device->oldest_checked_us);
        set_known(m, "oldest_verified_at", device->oldest_verified_us);
}

struct message records_device(const struct device_record *device) {
        struct message m = message_begin();
        message_set_string(&m, "name", device->name);
        message_set_string(&m, "path", device->path);
        message_set_string(&m, "mode", sweep_mode_name(device->mode));
        set_identity(&m, device->identity);
        set_known(&m, "size", device->size_bytes);
        message_set_integer(&m, "extent_offset", device->extent_offset_bytes);
        set_known(&m, "extent_length", device->extent_length_bytes);
        message_set_string(&m, "state", device_state_name(device->state));
        set_reason(&m, "reason", &device->reason);
        message_set_string(&m, "verdict", verdict_name(device->verdict));
        message_set_string(&m, "assurance", assurance_name(device->assurance));
        message_set_bool(&m, "needs_attention", device->needs_attention);
        message_set_bool(&m, "overdue", device->overdue);
        set_progress(&m, device);
        set_device_times(&m, device);
        message_set_real(&m, "coverage", device->coverage);
        set_tristate(&m, "write_cache", device->write_cache);
        set_tristate(&m, "cache_defeated", device->cache_defeated);
        message_set_integer(&m, "bytes_written_total", device->bytes_written);
        message_set_integer(&m, "findings_open", device->findings_open);
        message_set_integer(&m, "findings_acknowledged", device->findings_acknowledged);
        message_set_integer(&m, "findings_resolved", device->findings_resolved);
        return m;
}

/* Keys are ours and ASCII, but they come back from the ledger's file, which may be damaged. */
static void make_ascii(char *key) {
        for (; *key; key++)
                if ((unsigned char)*key < 0x20 || (unsigned char)*key > 0x7e)
                        *key = '?';
}

static void set_detail(struct message *m, const struct detail *detail) {
        struct message child = message_begin();
        char key[FINDING_DETAIL_BYTES], value[FINDING_DETAIL_BYTES];
        const char *cursor = detail->lines;
        while (detail_next(&cursor, key, sizeof key, value, sizeof value)) {
                make_ascii(key);
                message_set_string(&child, key, value);
        }
        message_set_object(m, "detail", &child);
}

struct message records_finding(const struct finding *finding) {
        struct message m = message_begin();
        message_set_integer(&m, "id", finding->id);
        message_set_string(&m, "device", finding->device);
        message_set_integer(&m, "sweep_id", finding->sweep_id);
        message_set_integer(&m, "offset", finding->place.offset_bytes);
        message_set_integer(&m, "length", finding->place.length_bytes);
        message_set_string(&m, "fault", fault_name(finding->fault));
        message_set_string(&m, "persistence", persistence_name(finding->persistence));
        message_set_string(&m, "state", finding_state_name(finding->state));
        message_set_string(&m, "text", finding->text);
        set_detail(&m, &finding->detail);
        message_set_integer(&m, "count", finding->count);
        message_set_integer(&m, "first_seen_at", finding->first_seen_us);
        message_set_integer(&m, "last_seen_at", finding->last_seen_us);
        set_known(&m, "acknowledged_at", finding->acknowledged_us);
        set_text(&m, "comment", finding->comment);
        return m;
}

static struct message latency(enum latency_operation operation, const struct latency_summary *l) {
        struct message m = message_begin();
        message_set_string(&m, "operation", latency_operation_name(operation));
        message_set_integer(&m, "count", l->count);
        message_set_integer(&m, "p50_us", l->p50_us);
        message_set_integer(&m, "p90_us", l->p90_us);
        message_set_integer(&m, "p99_us", l->p99_us);
        message_set_integer(&m, "p999_us", l->p999_us);
        message_set_integer(&m, "max_us", l->max_us);
        return m;
}

/* Operations that were never measured are left out; without any it is null. */
static void set_latencies(struct message *m, const struct latency_summary *all) {
        bool any = false;
        message_set_null(m, "latency");
        for (size_t i = 0; i < LATENCY_OPERATIONS; i++) {
                if (all[i].count == 0)
                        continue;
                if (!any)
                        message_set_array(m, "latency");
                any = true;
                struct message child = latency((enum latency_operation)i, &all[i]);
                message_add_object(m, "latency", &child);
        }
}

struct message records_rescue(const struct rescue_record *rescue) {
        struct message m = message_begin();
        message_set_integer(&m, "id", rescue->id);
        message_set_string(&m, "device", rescue->device);
        message_set_string(&m, "journal", rescue->journal);
        message_set_string(&m, "kind", rescue->is_copy ? "copy" : "originals");
        message_set_integer(&m, "offset", rescue->place.offset_bytes);
        message_set_integer(&m, "length", rescue->place.length_bytes);
        message_set_integer(&m, "armed_at", rescue->armed_us);
        message_set_integer(&m, "units_lost", rescue->units_lost);
        message_set_string(&m, "text", rescue->text);
        return m;
}

struct message records_region(const struct region_record *region) {
        struct message m = message_begin();
        message_set_integer(&m, "offset", region->place.offset_bytes);
        message_set_integer(&m, "length", region->place.length_bytes);
        set_known(&m, "checked_at", region->known.checked_us);
        set_known(&m, "verified_at", region->known.verified_us);
        set_known(&m, "latency_max_us", region->known.latency_max_us);
        message_set_integer(&m, "findings", region->findings);
        return m;
}

static void set_patterns(struct message *m, const struct pattern_list *list) {
        message_set_array(m, "patterns");
        for (size_t i = 0; i < list->count; i++) {
                char word[PATTERN_TEXT_BYTES];
                pattern_format(word, list->bytes[i]);
                message_add_string(m, "patterns", word);
        }
}

struct message records_sweep(const struct sweep_record *sweep) {
        struct message m = message_begin();
        message_set_integer(&m, "id", sweep->id);
        message_set_string(&m, "device", sweep->device);
        message_set_string(&m, "mode", sweep_mode_name(sweep->mode));
        set_patterns(&m, &sweep->patterns);
        message_set_integer(&m, "generation", sweep->generation);
        message_set_integer(&m, "started_at", sweep->started_us);
        set_known(&m, "ended_at", sweep->ended_us);
        message_set_integer(&m, "running_us", sweep->running_us);
        message_set_string(&m, "verdict", verdict_name(sweep->verdict));
        message_set_string(&m, "assurance", assurance_name(sweep->assurance));
        message_set_string(&m, "end", sweep_end_name(sweep->end));
        set_reason(&m, "reason", &sweep->reason);
        message_set_integer(&m, "bytes_total", sweep->bytes.total);
        message_set_integer(&m, "bytes_read", sweep->bytes.read);
        message_set_integer(&m, "bytes_written", sweep->bytes.written);
        message_set_integer(&m, "bytes_verified", sweep->bytes.verified);
        message_set_integer(&m, "bytes_skipped", sweep->bytes.skipped);
        message_set_integer(&m, "findings", sweep->findings);
        message_set_integer(&m, "stamps_seen", sweep->stamps_seen);
        set_latencies(&m, sweep->latency);
        return m;
}

struct message records_event(const struct event *event) {
        struct message m = message_begin();
        message_set_integer(&m, "event", event->id);
        message_set_integer(&m, "at", event->at_us);
        message_set_string(&m, "kind", event_kind_name(event->kind));
        message_set_integer(&m, "priority", (uint64_t)event->priority);
        set_text(&m, "device", event->device);
        set_text(&m, "serial", event->serial);
        set_text(&m, "slot", event->slot);
        set_known(&m, "count", event->count);
        message_set_null(&m, "finding");
        message_set_null(&m, "sweep");
        if (event->has_finding) {
                struct message child = records_finding(&event->finding);
                message_set_object(&m, "finding", &child);
        }
        if (event->has_sweep) {
                struct message child = records_sweep(&event->sweep);
                message_set_object(&m, "sweep", &child);
        }
        message_set_string(&m, "text", event->text);
        return m;
}

void records_hex(char text[static RECORDS_HEX_BYTES], const uint8_t *bytes, size_t length_bytes) {
        static const char digits[] = "0123456789abcdef";
        assert(length_bytes <= FINDING_SAMPLE_BYTES);
        for (size_t i = 0; i < length_bytes; i++) {
                text[2 * i] = digits[bytes[i] >> 4];
                text[2 * i + 1] = digits[bytes[i] & 15];
        }
        text[2 * length_bytes] = '\0';
}
