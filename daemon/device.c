/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State that is stored goes stale; so a device's state is computed from its parts each time somebody asks. What could
 * go wrong is a reload in mid-sweep: the sweep must go on with the configuration that it began with, and status must
 * not mix the two. And a history that is another disk's, or of another part of this one: it goes by the device's name,
 * but what it says is of what was swept, so it counts while that is what is there, and else as if there were none.
 */
#include "device.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "plan/calendar.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* What takes longer at the rate of the moment has no end that is worth telling. */
#define ETA_MAX_US (3660.0 * USEC_PER_DAY)

int device_new(struct device **ret, struct device_config *config) {
        struct device *d = calloc(1, sizeof *d);
        if (!d)
                return -ENOMEM;
        d->config = device_config_ref(config);
        d->write_cache = -1;
        d->to_recover = d->unremembered = true;
        *ret = d;
        return 0;
}

void device_drop_wish(struct device *d) {
        free(d->wish.overwrite);
        d->wish = (struct device_wish){ 0 };
}

struct device *device_free(struct device *d) {
        if (!d)
                return NULL;
        assert(!d->thread);
        device_drop_wish(d);
        sweep_resume_free(d->resume);
        free(d->running_overwrite);
        device_config_unref(d->running_config);
        device_config_unref(d->config);
        free(d->regions);
        free(d->regions_key);
        free(d->history.key);
        free(d->key);
        free(d);
        return NULL;
}

void device_identify(struct device *d, const struct identity *identity, uint64_t size_bytes) {
        char key[IDENTITY_KEY_BYTES];
        identity_key(key, identity, device_shown_by(d)->path);
        free(d->key);
        d->key = strdup(key);
        d->identified = true;
        d->identity = *identity;
        d->size_bytes = size_bytes;
        d->strange = false;
        device_note_present(d);
}

void device_estrange(struct device *d) {
        free(d->key);
        d->key = NULL;
        d->identified = d->placed = false;
        d->strange = true;
        d->sighting = d->asked_sighting = 0;
}

/* A clock that was set meanwhile would date it wrongly for as long as it is away. */
void device_note_absent(struct device *d, uint64_t monotonic_us, uint64_t wall_us) {
        struct device_absence *a = &d->absence;
        if (a->since_us == 0)
                *a = (struct device_absence){ wall_us, monotonic_us, d->seen };
        uint64_t ago_us = monotonic_us - a->monotonic_us, since_us = wall_us > ago_us ? wall_us - ago_us : 1;
        uint64_t off_us = since_us > a->since_us ? since_us - a->since_us : a->since_us - since_us;
        if (off_us > 60 * USEC_PER_SEC)
                a->since_us = since_us;
}

void device_note_present(struct device *d) {
        d->seen = true;
        d->absence = (struct device_absence){ 0 };
}

/* The path that a sweep is at work on stays until it has ended. */
void device_reconfigure(struct device *d, struct device_config *config) {
        bool elsewhere = strcmp(d->config->path, config->path) != 0;
        if (elsewhere && !d->thread)
                device_estrange(d);
        if (elsewhere) {
                d->seen = false;
                d->absence = (struct device_absence){ 0 };
        }
        device_config_ref(config);
        device_config_unref(d->config);
        d->config = config;
        d->look_again_us = 0; /* what was refused may not be any more: until that was looked at, it is */
}

static uint64_t extent_bytes(const struct device *d) {
        return device_config_extent(d->config, device_known_bytes(d)).length_bytes;
}

static void note_write(struct device *d, uint64_t started_us, uint64_t bytes) {
        for (enum sweep_mode mode = 0; mode < MODE_COUNT; mode++)
                agenda_note_write(&d->history.schedule[mode], d->config, extent_bytes(d), started_us, bytes);
}

static struct schedule_history schedule_past(const struct ledger_past *past) {
        return (struct schedule_history){
                .last_started_us = past->started_us,
                .last_ended_us = past->ended_us,
                .last_end = past->end,
                .failures_in_a_row = past->failures_in_a_row,
                .last_finished_us = past->finished_us,
        };
}

void device_remember(struct device *d, const struct ledger_device *past) {
        /* That is counted with its progress, and again when it ends. */
        uint64_t resting_bytes = past->resume ? past->resume->record.bytes.written : 0;
        free(d->history.key);
        d->history = (struct device_history){
                .key = past->last_key ? strdup(past->last_key) : NULL,
                .size_bytes = past->last.size_bytes,
                .extent = past->last.extent,
                .last_ended_us = past->last.ended_us,
                .last_end = past->last.end,
                .swept = past->last.id > 0,
                .verdict = past->last.verdict,
                .assurance = past->last.assurance,
                .last_verified_us = past->last_verified_us,
                .last_checked_us = past->last_checked_us,
                .findings_resolved = past->findings_resolved,
                .bytes_written = past->bytes_written - MIN(resting_bytes, past->bytes_written),
        };
        for (enum sweep_mode mode = 0; mode < MODE_COUNT; mode++)
                d->history.schedule[mode] = schedule_past(&past->past[mode]);
        for (unsigned i = 0; i < past->write_count; i++)
                note_write(d, past->writes[i].started_us, past->writes[i].bytes);
        d->target_row = past->resume ? past->resume->record.target_row : past->last.target_row;
        d->history.skipped_us = past->skipped_us;
}

bool device_is_sweeping(const struct device *d) {
        return d->thread && !d->recovering && !d->looking;
}

const struct device_config *device_planned_by(const struct device *d) {
        return device_is_sweeping(d) ? d->running_config : d->config;
}

const struct device_config *device_shown_by(const struct device *d) {
        return d->thread ? d->running_config : d->config;
}

/* What is there now and is to be swept, as far as it is known. A file's identity is its path. */
static struct subject subject_of(const struct device *d, char file_key[static IDENTITY_KEY_BYTES]) {
        const struct device_config *config = device_shown_by(d);
        uint64_t size_bytes = d->identified ? d->size_bytes : config->create_size_bytes;
        struct subject now = { .key = d->key, .size_bytes = size_bytes };
        if (size_bytes > 0)
                now.extent = device_config_extent(config, size_bytes);
        if (!d->key && config->create_size_bytes > 0) {
                struct identity file = { .kind = TARGET_KIND_FILE };
                text_copy(file.backing_file, sizeof file.backing_file, config->path);
                identity_key(file_key, &file, config->path);
                now.key = file_key;
        }
        return now;
}

static struct subject subject_swept(const struct device *d) {
        const struct device_history *h = &d->history;
        return (struct subject){ .key = h->key, .size_bytes = h->size_bytes, .extent = h->extent };
}

/* Who stands at a path that main can't look at is only known when it is opened. */
static enum subject_change change_of(const struct device *d) {
        char file_key[IDENTITY_KEY_BYTES];
        if (!d->history.swept)
                return SUBJECT_SAME;
        struct subject swept = subject_swept(d), now = subject_of(d, file_key);
        if (d->strange && !d->identified && !now.key && !device_is_watched(d))
                return SUBJECT_OTHER_TARGET;
        return subject_compare(&swept, &now);
}

/* What stands there must be what the entry names: else it is in the way, and has replaced nothing. */
static bool is_meant(const struct device_config *c, const struct identity *i) {
        bool serial = !c->serial || strcmp(c->serial, i->serial) == 0 || strcmp(c->serial, i->wwn) == 0;
        return serial && (!c->destroys_data || strcmp(c->destroys_data, identity_most_specific(i)) == 0);
}

bool device_is_replaced(const struct device *d) {
        char file_key[IDENTITY_KEY_BYTES];
        struct subject swept = subject_swept(d), now = subject_of(d, file_key);
        return d->history.swept && d->identified && subject_is_replaced(&swept, &now) &&
                is_meant(device_shown_by(d), &d->identity);
}

/* Of what is there now: of another disk, or of another part of this one, it says nothing. */
static struct schedule_history schedule_of(const struct device *d) {
        struct schedule_history h = { 0 };
        if (change_of(d) == SUBJECT_SAME)
                h = d->history.schedule[device_planned_by(d)->mode];
        if (d->history.skipped_us > h.last_ended_us) {
                h.last_ended_us = d->history.skipped_us;
                h.last_end = END_CANCELLED;
                h.failures_in_a_row = 0;
        }
        return h;
}

uint64_t device_resting_bytes(const struct device *d) {
        const struct checkpoint *at = &d->resume->from;
        uint64_t done = at->bytes.read + at->bytes.written + at->bytes.skipped + at->lost_bytes;
        return at->bytes.total - MIN(done, at->bytes.total);
}

static bool rests_by_hand(const struct device *d) {
        return !d->thread && d->resume && d->resume->by_hand;
}

static struct agenda_question question_of(const struct device *d, const struct schedule_history *history) {
        const struct device_config *config = device_planned_by(d);
        uint64_t extent_bytes = device_config_extent(config, device_known_bytes(d)).length_bytes;
        return (struct agenda_question){
                .config = config,
                .history = history,
                .extent_bytes = extent_bytes,
                .left_bytes = d->resume ? device_resting_bytes(d)
                                        : agenda_work_bytes(config->mode, config->patterns.count, extent_bytes),
                .awake_us = d->plan.awake_us,
                .after_boot = d->plan.after_boot && !rests_by_hand(d),
                .seed = d->plan.seed,
                .started_us = device_is_sweeping(d) ? d->started_us
                        : d->resume                 ? d->resume->record.started_us
                                                    : 0,
                .waiting_us = d->unchecked_us,
        };
}

/* Of a sweep that ends, and is not in the history yet. */
static uint64_t planned_for(const struct device *d, const struct sweep_record *r) {
        struct schedule_history history = schedule_of(d);
        struct agenda_question question = question_of(d, &history);
        question.started_us = r->started_us;
        return r->started_us > 0 ? agenda_planned_for(&question, r->ended_us) : 0;
}

/* Before what is known of it is joined by what a sweep tells that ended. */
static void note_subject(struct device_history *h, const struct sweep_record *r, const char *key) {
        struct subject before = { .key = h->key, .size_bytes = h->size_bytes, .extent = h->extent };
        struct subject now = { .key = key, .size_bytes = r->size_bytes, .extent = r->extent };
        if (subject_compare(&before, &now) != SUBJECT_SAME) {
                memset(h->schedule, 0, sizeof h->schedule);
                h->last_verified_us = h->last_checked_us = 0;
        }
        free(h->key);
        h->key = key ? strdup(key) : NULL;
        h->size_bytes = r->size_bytes;
        h->extent = r->extent;
}

static void note_end(struct schedule_history *h, const struct sweep_record *r, uint64_t planned_us) {
        h->last_started_us = r->started_us;
        h->last_ended_us = r->ended_us;
        h->last_end = r->end;
        if (r->end == END_FAILED)
                h->failures_in_a_row++;
        else if (r->end != END_KILLED)
                h->failures_in_a_row = 0;
        if (r->end == END_FINISHED) {
                h->last_finished_us = r->started_us;
                h->finished_planned_us = planned_us;
        }
}

void device_record_end(struct device *d, const struct sweep_record *r, const char *key) {
        struct device_history *h = &d->history;
        uint64_t planned_us = planned_for(d, r);
        note_subject(h, r, key);
        h->swept = true;
        h->last_ended_us = r->ended_us;
        h->last_end = r->end;
        for (enum sweep_mode mode = 0; mode < MODE_COUNT; mode++)
                if (sweep_mode_serves(mode, r->mode))
                        note_end(&h->schedule[mode], r, planned_us);
        note_write(d, r->started_us, r->bytes.written);
        h->verdict = r->verdict;
        h->assurance = r->assurance;
        h->bytes_written += r->bytes.written;
        if (r->end == END_FINISHED && r->assurance != ASSURANCE_NONE)
                h->last_checked_us = r->started_us;
        if (r->end == END_FINISHED && r->assurance == ASSURANCE_VERIFIED)
                h->last_verified_us = r->started_us;
}

void device_take_regions(struct device *d, struct region_table *regions, const char *key) {
        free(d->regions);
        free(d->regions_key);
        d->regions = regions;
        d->regions_key = key ? strdup(key) : NULL;
}

void device_record_survey(struct device *d, const struct survey *survey) {
        if (!d->regions)
                device_take_regions(d, calloc(1, sizeof *d->regions), d->key);
        if (d->regions)
                region_table_update(d->regions, &survey->regions);
}

uint64_t device_known_bytes(const struct device *d) {
        if (d->identified)
                return d->size_bytes;
        if (d->regions)
                return d->regions->size_bytes;
        return d->config->create_size_bytes ? d->config->create_size_bytes : d->path_bytes;
}

struct agenda device_agenda(const struct device *d, uint64_t wall_us) {
        struct schedule_history history = schedule_of(d);
        struct agenda_question question = question_of(d, &history);
        return d->resume && !d->thread ? agenda_of_rest(&question, wall_us) : agenda_at(&question, wall_us);
}

bool device_is_due(const struct device *d, uint64_t wall_us) {
        struct schedule_history history = schedule_of(d);
        return schedule_next_start(&history, d->config->every_us, wall_us) <= wall_us;
}

void device_skip_period(struct device *d, uint64_t wall_us) {
        d->history.skipped_us = wall_us;
}

bool device_is_watched(const struct device *d) {
        return d->config->create_size_bytes == 0 && strncmp(d->config->path, "/dev/", 5) == 0;
}

static enum pace_state pace_of(const struct device *d) {
        uint64_t rate;
        return sweep_gauge_pace(sweep_thread_gauge(d->thread), &rate);
}

/* Who is started by hand ignores windows; who is held waits for the one who held it. */
bool device_may_sweep(const struct device *d) {
        bool by_hand = d->thread ? d->started_by_hand : d->wish.wanted || (d->resume && d->resume->by_hand);
        return !d->held && (!d->window_closed || by_hand);
}

enum device_state device_state(const struct device *d, uint64_t wall_us) {
        if (d->stall.since_us > 0 || d->held_by_pid > 0)
                return DEVICE_STALLED;
        bool at_work = d->thread && !d->refused;
        if (at_work && d->recovering)
                return DEVICE_RECOVERING;
        if (at_work)
                return pace_of(d) == PACE_FREE ? DEVICE_SWEEPING : DEVICE_YIELDING;
        if (d->absent)
                return DEVICE_MISSING;
        if (d->held)
                return d->resume ? DEVICE_PAUSED : DEVICE_HELD;
        if (d->resume && !device_may_sweep(d))
                return DEVICE_WAITING;
        if (d->wish.wanted)
                return DEVICE_QUEUED;
        if (strcmp(d->refusal.rule, "missing") == 0)
                return DEVICE_MISSING;
        if (d->refusal.rule[0])
                return DEVICE_REFUSED;
        return d->resume || device_is_due(d, wall_us) ? DEVICE_QUEUED : DEVICE_IDLE;
}

/* When a sweep that rests may go on. */
static uint64_t resume_start_us(const struct device *d, uint64_t wall_us) {
        if (d->held)
                return SCHEDULE_NEVER;
        return d->resume->by_hand ? 0 : device_agenda(d, wall_us).start_us;
}

uint64_t device_next_start_us(const struct device *d, uint64_t wall_us) {
        if (d->to_recover)
                return d->refusal.rule[0] ? d->look_again_us : 0;
        uint64_t start_us = d->resume ? resume_start_us(d, wall_us) : device_agenda(d, wall_us).start_us;
        if (start_us == SCHEDULE_NEVER || !d->refusal.rule[0])
                return start_us;
        return MAX(start_us, d->look_again_us);
}

/* Only what a sweep does before it begins. What was found by reading the medium, a look does not see. */
uint64_t device_next_look_us(const struct device *d, uint64_t wall_us) {
        bool seen = d->refusal.rule[0] && strcmp(d->refusal.rule, "foreign_data") != 0;
        if (!seen || d->to_recover || d->resume || d->wish.wanted || device_agenda(d, wall_us).start_us <= wall_us)
                return SCHEDULE_NEVER;
        return d->look_again_us;
}

/* Not by when they may start, which is the same for all when a window opens. */
uint64_t device_turn_us(const struct device *d, uint64_t wall_us) {
        if (device_next_look_us(d, wall_us) <= wall_us)
                return wall_us;
        uint64_t start_us = device_next_start_us(d, wall_us);
        if (start_us > wall_us)
                return SCHEDULE_NEVER;
        if (d->to_recover)
                return 0;
        return d->resume ? MIN(d->resume->record.started_us, wall_us) : device_agenda(d, wall_us).planned_us;
}

uint64_t device_deadline_us(const struct device *d, uint64_t wall_us) {
        if (d->to_recover)
                return 0;
        uint64_t deadline_us = device_agenda(d, wall_us).deadline_us;
        return deadline_us ? deadline_us : wall_us + device_planned_by(d)->every_us;
}

void device_sample_rate(struct device *d, uint64_t monotonic_us) {
        struct progress p;
        struct device_rate *r = &d->rate;
        if (!d->thread)
                return;
        unsigned last = (r->next + DEVICE_RATE_SAMPLES - 1) % DEVICE_RATE_SAMPLES;
        if (r->count > 0 && monotonic_us - r->at_us[last] < USEC_PER_SEC / 2)
                return;
        sweep_gauge_read(sweep_thread_gauge(d->thread), &p);
        if (p.bytes.total == 0) /* not under way yet: one that goes on would seem to do in no time what it did before */
                return;
        r->at_us[r->next] = monotonic_us;
        r->done_bytes[r->next] = p.bytes_done;
        r->next = (r->next + 1) % DEVICE_RATE_SAMPLES;
        r->count = MIN(r->count + 1, DEVICE_RATE_SAMPLES);
}

/* Bytes a second between the oldest sample and the newest. */
static uint64_t rate_of(const struct device_rate *r) {
        if (r->count < 2)
                return 0;
        unsigned newest = (r->next + DEVICE_RATE_SAMPLES - 1) % DEVICE_RATE_SAMPLES;
        unsigned oldest = (r->next + DEVICE_RATE_SAMPLES - r->count) % DEVICE_RATE_SAMPLES;
        uint64_t span_us = r->at_us[newest] - r->at_us[oldest];
        uint64_t bytes = r->done_bytes[newest] - r->done_bytes[oldest];
        return span_us ? (uint64_t)((double)bytes * 1e6 / (double)span_us) : 0;
}

/* Of a sweep that nobody works on now. */
static void fill_rest(const struct device *d, struct device_record *ret) {
        const struct sweep_resume *r = d->resume;
        ret->has_progress = true;
        ret->progress = (struct progress){
                .sweep_id = r->record.id,
                .phase = r->from.round == ROUND_CHECK       ? PHASE_CHECK
                        : sweep_mode_keeps(r->record.mode)  ? PHASE_SAVE
                        : sweep_mode_writes(r->record.mode) ? PHASE_WRITE
                                                            : PHASE_READ,
                .generation = r->record.generation,
                .started_us = r->record.started_us,
                .bytes = r->from.bytes,
        };
        const struct sweep_bytes *b = &r->from.bytes;
        ret->progress.bytes_done = MIN(b->read + b->written + b->skipped + r->from.lost_bytes, b->total);
}

/* In open time where it keeps to windows. 0: unknown. */
static uint64_t end_at_this_rate(const struct device *d, const struct device_record *r, uint64_t wall_us) {
        if (r->rate_bytes == 0)
                return 0;
        uint64_t left_bytes = r->progress.bytes.total - r->progress.bytes_done;
        double needed_us = (double)left_bytes / (double)r->rate_bytes * 1e6;
        if (needed_us > ETA_MAX_US)
                return 0;
        uint64_t end_us = calendar_after_open(
                d->started_by_hand ? NULL : d->config->calendar, wall_us, (uint64_t)needed_us);
        return end_us == CALENDAR_NEVER ? 0 : end_us;
}

/* Until its thread has taken up what the plan says, and for the sample before the first write, which has a rate of its
 * own, nobody knows. */
static enum pace_rule rule_of_rate(const struct device *d, const struct device_record *r) {
        if (r->state == DEVICE_YIELDING)
                return PACE_RULE_OTHERS;
        return r->rate_target_bytes == d->plan.rate ? d->plan.rate_rule : PACE_RULE_UNKNOWN;
}

static void fill_progress(const struct device *d, struct device_record *ret, uint64_t wall_us) {
        if (!d->thread && d->resume)
                fill_rest(d, ret);
        if (!device_is_sweeping(d))
                return;
        ret->has_progress = true;
        sweep_gauge_read(sweep_thread_gauge(d->thread), &ret->progress);
        ret->progress.sweep_id = d->sweep_id;
        ret->progress.started_us = d->started_us;
        ret->rate_bytes = rate_of(&d->rate);
        sweep_gauge_pace(sweep_thread_gauge(d->thread), &ret->rate_target_bytes);
        ret->rate_rule = rule_of_rate(d, ret);
        ret->eta_us = end_at_this_rate(d, ret, wall_us);
}

static void fill_yielding(const struct device *d, struct device_record *ret) {
        static const char remedy[] =
                "Nothing has to be done: it goes on at its rate when they were quiet for a second. yield = false; takes no notice of them.";
        if (pace_of(d) == PACE_FLOOR)
                reason_set(&ret->reason, "yielding", remedy,
                        "others have been using its disk for so long that it takes rate_min, and no more");
        else
                reason_set(
                        &ret->reason, "yielding", remedy, "others are using its disk: it takes what they don't notice");
}

/* It is due, and does not begin. */
static void fill_queued(const struct device *d, struct device_record *ret, uint64_t wall_us) {
        struct agenda agenda = device_agenda(d, wall_us);
        char when[64], now[128], raise[192];
        text_format_local(when, sizeof when, agenda.start_us);
        text_format(now, sizeof now, "It starts by itself; at once: sweepctl start %s.", d->config->name);
        text_format(raise, sizeof raise,
                "It starts by itself. To sweep as often as every says, raise write_limit; at once: sweepctl start %s.",
                d->config->name);
        if (d->wish.wanted || rests_by_hand(d) || agenda.start_us <= wall_us || agenda.hold == AGENDA_FREE)
                reason_set(&ret->reason, "admission", "It starts by itself.", "it is about to start");
        else if (agenda.hold == AGENDA_WINDOW)
                reason_set(&ret->reason, "window", now, "its next window opens on %s", when);
        else if (agenda.hold == AGENDA_WRITES)
                reason_set(&ret->reason, "write_limit", raise, "write_limit holds it back until %s", when);
        else
                reason_set(&ret->reason, "missed", now,
                        "what was missed, or cut short, is made up for by one device after the other; its turn is on %s",
                        when);
}

static void fill_paused(const struct device *d, struct device_record *ret) {
        char remedy[128];
        text_format(remedy, sizeof remedy, "To go on: sweepctl resume %s.", d->config->name);
        reason_set(&ret->reason, "paused", remedy,
                d->resume ? "its sweep was paused by hand" : "it was paused by hand, and no sweep begins");
}

void device_add_deadline(const struct device *d, struct reason *reason) {
        if (!d->plan.reason.rule[0])
                return;
        text_append(reason->found, sizeof reason->found, "; %s", d->plan.reason.found);
        text_append(reason->remedy, sizeof reason->remedy, " %s", d->plan.reason.remedy);
}

/* Of those that wait the deadline would be hidden by what they wait for. */
static bool waits(enum device_state state) {
        return state == DEVICE_YIELDING || state == DEVICE_WAITING || state == DEVICE_QUEUED ||
                state == DEVICE_PAUSED || state == DEVICE_HELD;
}

/* Of a file nobody knows before a sweep looks for it. */
static void fill_missing(const struct device *d, struct device_record *ret) {
        static const char remedy[] = "Check the path, the cabling and dmesg; sweepd looks again by itself.";
        char when[64];
        text_format_local(when, sizeof when, d->absence.since_us);
        if (!d->absent) {
                ret->reason = d->refusal;
                text_append(ret->reason.found, sizeof ret->reason.found, " It was missed first on %s.", when);
        } else if (d->absence.since_us == 0) {
                reason_set(&ret->reason, "missing", remedy, "there is no device at %s", d->config->path);
        } else if (d->absence.had_been_seen) {
                reason_set(&ret->reason, "missing", remedy, "there is no device at %s since %s", d->config->path, when);
        } else {
                reason_set(&ret->reason, "missing", remedy,
                        "there is no device at %s, nor was there one when sweepd began to look for it, on %s",
                        d->config->path, when);
        }
}

static void fill_reason(const struct device *d, struct device_record *ret, uint64_t wall_us) {
        if (ret->state == DEVICE_RECOVERING)
                reason_set(&ret->reason, "recovery", "Wait until it is done.",
                        "what its undo journal may hold is put back first");
        else if (ret->state == DEVICE_YIELDING)
                fill_yielding(d, ret);
        else if (ret->state == DEVICE_REFUSED)
                ret->reason = d->refusal;
        else if (ret->state == DEVICE_STALLED && d->held_by_pid > 0)
                reason_set(&ret->reason, "hung",
                        "See dmesg and the cabling; it is swept again when that I/O has come back.",
                        "the daemon before this one has ended, but the device%s keeps I/O of its process %d",
                        sweep_mode_keeps(d->config->mode) ? ", or its undo journal," : "", d->held_by_pid);
        else if (ret->state == DEVICE_STALLED && d->stall.request == REQUEST_JOURNAL)
                ret->reason = d->stall.reason;
        else if (ret->state == DEVICE_STALLED)
                reason_set(&ret->reason, "hung", sweep_hung_remedy, "the device does not answer: %s",
                        d->stall.finding.text);
        else if (ret->state == DEVICE_MISSING)
                fill_missing(d, ret);
        else if (ret->state == DEVICE_PAUSED || ret->state == DEVICE_HELD)
                fill_paused(d, ret);
        else if (ret->state == DEVICE_WAITING)
                reason_set(&ret->reason, "window", "It goes on by itself when the next one opens.",
                        "its window has closed in the middle of the sweep");
        else if (ret->state == DEVICE_QUEUED)
                fill_queued(d, ret, wall_us);
        else if (ret->state == DEVICE_IDLE || ret->state == DEVICE_SWEEPING)
                ret->reason = d->plan.reason;
        if (waits(ret->state))
                device_add_deadline(d, &ret->reason);
}

const struct region_table *device_regions(const struct device *d) {
        char file_key[IDENTITY_KEY_BYTES];
        struct subject now = subject_of(d, file_key);
        bool other = d->regions_key && now.key && strcmp(d->regions_key, now.key) != 0;
        if (!d->regions || other || (d->identified && d->size_bytes != d->regions->size_bytes))
                return NULL;
        return d->regions;
}

struct extent device_shown_extent(const struct device *d) {
        return device_config_extent(device_shown_by(d), device_known_bytes(d));
}

static struct extent mapped_extent(const struct device *d) {
        return device_config_extent(device_shown_by(d), d->regions->size_bytes);
}

/* Whether its sweeps compare what they read: to read it is then not what it is configured for. */
static bool is_verified(const struct device *d) {
        return d->config->mode != MODE_READ;
}

static uint64_t oldest_in(const struct device *d, const struct region_table *regions) {
        struct region all = region_table_at(regions, mapped_extent(d));
        return is_verified(d) ? all.verified_us : all.checked_us;
}

uint64_t device_oldest_judged_us(const struct device *d) {
        const struct region_table *regions = device_regions(d);
        if (regions)
                return oldest_in(d, regions);
        if (change_of(d) != SUBJECT_SAME)
                return 0;
        return is_verified(d) ? d->history.last_verified_us : d->history.last_checked_us;
}

/* That a place is bad was judged, too. A fault of no place (it hung, or another CPU was wrong) says nothing of one. */
static bool is_judgement(const struct finding *f) {
        return f->fault != FAULT_HUNG && f->fault != FAULT_HOST && f->fault != FAULT_SLOW;
}

static void add_told(const struct device *d, struct region_table *regions, const struct finding_book *book) {
        const struct finding *f = finding_book_after(book, d->config->name, 0);
        for (; f; f = finding_book_after(book, d->config->name, f->id))
                if (is_judgement(f))
                        region_table_tell(regions, f->place, f->last_seen_us);
}

/* Without memory for it, what was found bad counts as not verified. */
static uint64_t oldest_judged_or_told(const struct device *d, const struct finding_book *book) {
        const struct region_table *known = device_regions(d);
        CLEANUP_FREE struct region_table *regions = known && is_verified(d) ? malloc(sizeof *regions) : NULL;
        if (!regions)
                return device_oldest_judged_us(d);
        *regions = *known;
        add_told(d, regions, book);
        return oldest_in(d, regions);
}

static bool is_too_long(const struct device *d, uint64_t judged_us, uint64_t wall_us, uint64_t *since_us) {
        *since_us = judged_us ? judged_us : d->unchecked_us;
        return schedule_is_silent(*since_us, d->config->every_us, wall_us);
}

bool device_is_silent(const struct device *d, const struct finding_book *book, uint64_t wall_us, uint64_t *since_us) {
        return is_too_long(d, device_oldest_judged_us(d), wall_us, since_us) &&
                is_too_long(d, oldest_judged_or_told(d, book), wall_us, since_us);
}

/* From the map of regions; by the last whole sweep where a ledger of an earlier version has no map yet. */
static void fill_coverage(const struct device *d, struct device_record *ret, uint64_t wall_us) {
        const struct device_history *h = &d->history;
        bool verified = is_verified(d);
        uint64_t since_us = d->config->every_us < wall_us ? wall_us - d->config->every_us : 0;
        const struct region_table *regions = device_regions(d);
        if (regions) {
                struct region all = region_table_at(regions, mapped_extent(d));
                ret->oldest_checked_us = all.checked_us;
                ret->oldest_verified_us = all.verified_us;
                ret->coverage = region_table_share(regions, mapped_extent(d), verified, since_us);
                return;
        }
        if (change_of(d) != SUBJECT_SAME)
                return;
        ret->oldest_checked_us = h->last_checked_us;
        ret->oldest_verified_us = h->last_verified_us;
        uint64_t covered_us = verified ? h->last_verified_us : h->last_checked_us;
        ret->coverage = covered_us > 0 && covered_us >= since_us ? 1 : 0;
}

static void fill_ages(const struct device *d, struct device_record *ret, uint64_t wall_us) {
        struct schedule_history history = schedule_of(d);
        ret->last_sweep_ended_us = d->history.last_ended_us;
        fill_coverage(d, ret, wall_us);
        uint64_t start_us = device_next_start_us(d, wall_us);
        if (start_us != SCHEDULE_NEVER && !d->thread && !d->held && !d->absent)
                ret->next_start_us = MAX(start_us, wall_us);
        uint64_t due_us = schedule_next_due(&history, d->config->every_us, wall_us);
        if (due_us == SCHEDULE_NEVER)
                return;
        ret->next_due_us = due_us;
        ret->overdue = device_agenda(d, wall_us).missed;
}

static void fill_windows(const struct device_config *c, struct device_record *ret, uint64_t wall_us) {
        ret->every_us = c->every_us == EVERY_NEVER ? 0 : c->every_us;
        if (!c->calendar)
                return;
        uint64_t opens_us = calendar_next_open(c->calendar, wall_us);
        uint64_t closes_us = opens_us == CALENDAR_NEVER ? CALENDAR_NEVER : calendar_next_close(c->calendar, opens_us);
        if (closes_us == CALENDAR_NEVER)
                return;
        ret->window_opens_us = opens_us > wall_us ? opens_us : 0;
        ret->window_closes_us = closes_us;
}

/* Until it is known who stands there, nothing that was seen before is said of it. */
static void fill_verdict(const struct device *d, struct device_record *ret, const struct finding_counts *counts) {
        bool known = (!d->strange || d->config->create_size_bytes > 0) && change_of(d) == SUBJECT_SAME;
        ret->verdict = known ? d->history.verdict : VERDICT_UNKNOWN;
        if (counts->open_faults > 0)
                ret->verdict = VERDICT_FAULTY;
        if (ret->verdict == VERDICT_CLEAN)
                ret->assurance = d->history.assurance;
}

/* Nobody has come back to that since. */
static bool has_failed(const struct device *d) {
        const struct device_history *h = &d->history;
        return !d->thread && h->last_end == END_FAILED && h->last_ended_us >= h->skipped_us &&
                change_of(d) == SUBJECT_SAME;
}

void device_fill_record(
        const struct device *d, struct device_record *ret, const struct finding_counts *counts, uint64_t wall_us) {
        const struct device_config *config = device_shown_by(d);
        *ret = (struct device_record){
                .path = config->path,
                .mode = d->thread   ? d->running_mode
                        : d->resume ? d->resume->record.mode
                                    : d->config->mode,
                .identity = d->identified ? &d->identity : NULL,
                .size_bytes = d->identified ? d->size_bytes : 0,
                .extent_offset_bytes = config->offset_bytes,
                .extent_length_bytes = d->identified ? device_config_extent(config, d->size_bytes).length_bytes
                                                     : config->length_bytes,
                .state = device_state(d, wall_us),
                .write_cache = d->write_cache,
                .cache_defeated = -1,
                .bytes_written = d->history.bytes_written,
                .findings_open = counts->open,
                .findings_acknowledged = counts->acknowledged,
                .findings_resolved = d->history.findings_resolved,
        };
        text_copy(ret->name, sizeof ret->name, d->config->name);
        fill_progress(d, ret, wall_us);
        if (ret->has_progress)
                ret->bytes_written += ret->progress.bytes.written;
        fill_reason(d, ret, wall_us);
        fill_ages(d, ret, wall_us);
        fill_windows(d->config, ret, wall_us);
        fill_verdict(d, ret, counts);
        if (d->write_cache >= 0 && sweep_mode_writes(ret->mode))
                ret->cache_defeated = !d->write_cache ||
                        device_config_segment_bytes(config, ret->mode) >= DEVICE_CACHE_BYTES_MAX;
        ret->needs_attention = counts->open_faults > 0 || ret->state == DEVICE_REFUSED ||
                ret->state == DEVICE_MISSING || ret->state == DEVICE_STALLED || ret->overdue ||
                d->silence_told_us > 0 || has_failed(d);
}
