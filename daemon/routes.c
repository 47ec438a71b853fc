/* SPDX-License-Identifier: Apache-2.0 */
/*
 * News comes in, and goes to all who must have it: that is all this file does, and a fault must not get lost in it. So
 * news is taken only while there is room for what follows from it, findings stay in the book until they are over, and
 * what the ledger could not store is sent again. Events that find no room are counted and said.
 */
#include "manager_private.h"

#include "sweep/mend.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <syslog.h>
#include <unistd.h>

#define MENDED_US (30 * USEC_PER_SEC) /* after which what was left armed is tried again */

static struct ledger_request *request_for(enum ledger_op op, uint64_t sweep_id) {
        struct ledger_request *request;
        if (ledger_request_new(&request, op) < 0)
                return NULL;
        request->number = sweep_id;
        request->at_us = clock_wall_us();
        return request;
}

static void send_event(struct manager *m, struct event *event) {
        event->id = m->next_event_id++;
        struct event *copy = malloc(sizeof *copy);
        if (!copy) {
                m->events_folded++;
                return;
        }
        *copy = *event;
        if (!alerts_send(m->alerts, copy)) {
                free(copy);
                m->events_folded++;
        }
        struct ledger_request *request = request_for(LEDGER_EVENT, event->sweep_id);
        if (request) {
                request->event = *event;
                outbox_send(m, request);
        }
        monitors_note(m, event);
}

static void fill_identity(struct event *event, const struct device *d) {
        text_copy(event->device, sizeof event->device, d->config->name);
        event->sweep_id = d->thread ? d->sweep_id : 0;
        if (d->identified) {
                text_copy(event->serial, sizeof event->serial, d->identity.serial);
                text_copy(event->slot, sizeof event->slot, d->identity.slot);
        }
}

/* Too many of one kind are told as sums. */
static void send_or_fold(struct manager *m, struct event *event) {
        if (burst_book_passes(m->bursts, event, clock_monotonic_us()))
                send_event(m, event);
}

static void fill_finding(struct event *event, const struct finding *finding) {
        event->has_finding = true;
        event->finding = *finding;
        text_copy(event->device, sizeof event->device, finding->device);
        event->sweep_id = finding->sweep_id;
}

void routes_tell_sums(struct manager *m, const char *device, uint64_t monotonic_us) {
        struct event event;
        while (burst_book_sum(m->bursts, device, monotonic_us, &event)) {
                event.at_us = clock_wall_us();
                send_event(m, &event);
        }
}

__attribute__((format(printf, 5, 0))) static void event_begin(struct event *ret, enum event_kind kind, int priority,
        const struct device *d, const char *format, va_list arguments) {
        *ret = (struct event){ .kind = kind, .priority = priority, .at_us = clock_wall_us() };
        vsnprintf(ret->text, sizeof ret->text, format, arguments);
        if (d)
                fill_identity(ret, d);
}

void routes_tell(struct manager *m, enum event_kind kind, int priority, const struct device *d,
        const struct finding *finding, const char *format, ...) {
        struct event event;
        va_list arguments;
        va_start(arguments, format);
        event_begin(&event, kind, priority, d, format, arguments);
        va_end(arguments);
        if (finding)
                fill_finding(&event, finding);
        send_or_fold(m, &event);
}

void routes_tell_end(struct manager *m, int priority, const struct device *d, const struct sweep_record *sweep,
        const char *format, ...) {
        struct event event;
        va_list arguments;
        va_start(arguments, format);
        event_begin(&event, EVENT_SWEEP_ENDED, priority, d, format, arguments);
        va_end(arguments);
        event.sweep_id = sweep->id;
        event.has_sweep = true;
        event.sweep = *sweep;
        send_or_fold(m, &event);
}

void routes_handle_alerts(struct manager *m) {
        void *items[32];
        size_t n;
        while ((n = queue_try_pop(m->alerts_done, items, ELEMENTS(items))) > 0)
                for (size_t i = 0; i < n; i++)
                        free(items[i]);
        if (m->events_folded == 0)
                return;
        uint64_t folded = m->events_folded;
        m->events_folded = 0;
        routes_tell(m, EVENT_DAEMON, LOG_WARNING, NULL, NULL,
                "%" PRIu64 " more message%s came faster than could be delivered. See: sweepctl errors", folded,
                folded == 1 ? "" : "s");
        if (m->events_folded > 0) /* nor could this one be */
                m->events_folded = folded;
}

static void answer(struct manager *m, uint64_t sweep_id, struct answer *a) {
        struct device *d = manager_device_of_sweep(m, sweep_id);
        if (!d || !sweep_thread_answer(d->thread, a))
                answer_free(a);
}

static struct answer *answer_new(enum answer_kind kind, uint64_t sequence) {
        struct answer *a = calloc(1, sizeof *a);
        if (a) {
                a->kind = kind;
                a->sequence = sequence;
        }
        return a;
}

static void deny(struct manager *m, uint64_t sweep_id, const char *rule, const char *remedy, const char *found) {
        struct answer *a = answer_new(ANSWER_DENIED, 1);
        if (!a)
                return;
        reason_set(&a->reason, rule, remedy, "%s", found);
        answer(m, sweep_id, a);
}

/* Without its past a target must not be written; reading it needs none. */
static void begin_without_past(struct manager *m, struct device *d, const char *why) {
        d->asks_ledger = false;
        if (sweep_mode_writes(d->running_mode)) {
                deny(m, d->sweep_id, "ledger_unavailable", "See status for what is wrong with the state directory.",
                        why);
                return;
        }
        struct answer *a = answer_new(ANSWER_TARGET, 1);
        if (a)
                a->target = calloc(1, sizeof *a->target);
        if (a && a->target) {
                answer(m, d->sweep_id, a);
                return;
        }
        answer_free(a);
        deny(m, d->sweep_id, "resources", "Free memory.", "out of memory");
}

void routes_begin_without_past(struct manager *m, const char *why) {
        for (size_t i = 0; i < m->device_count; i++)
                if (m->devices[i]->thread && m->devices[i]->asks_ledger)
                        begin_without_past(m, m->devices[i], why);
}

static void on_identified(struct manager *m, struct device *d, const struct news *news) {
        const struct news_identified *found = news->identified;
        device_identify(d, &found->identity, found->size_bytes);
        admit_identified(d, found->disk);
        d->write_cache = found->write_cache;
        stalls_note_timeout(m, d, found->timeout_us);
        const struct device *other = admit_same_disk(m, d);
        if (other) {
                char text[REASON_TEXT_BYTES];
                text_format(text, sizeof text, "the sweep of %s is using the same disk", other->config->name);
                deny(m, d->sweep_id, "disk_busy", "It starts by itself when the other sweep has ended.", text);
                return;
        }
        struct ledger_request *request = request_for(LEDGER_IDENTIFY, d->sweep_id);
        if (!request) {
                deny(m, d->sweep_id, "resources", "Free memory.", "out of memory");
                return;
        }
        identity_key(request->key, &d->identity, d->running_config->path);
        request->size_bytes = d->size_bytes;
        request->extent = device_config_extent(d->running_config, d->size_bytes);
        d->asks_ledger = outbox_send(m, request);
        if (!d->asks_ledger)
                begin_without_past(m, d, "too much is waiting for the state disk");
}

void routes_store_finding(struct manager *m, const struct finding *finding) {
        struct ledger_request *request = request_for(LEDGER_FINDING, 0);
        if (!request)
                return;
        request->finding = *finding;
        outbox_send(m, request);
}

struct over_context {
        struct manager *m;
        struct device *d; /* NULL: no longer configured */
        const char *why;
};

static void on_over(void *userdata, const struct finding *f) {
        struct over_context *c = userdata;
        if (c->d)
                c->d->history.findings_resolved++;
        routes_store_finding(c->m, f);
        routes_tell(c->m, EVENT_FINDING_OVER, LOG_NOTICE, c->d, f,
                "%s at offset %" PRIu64 ", length %" PRIu64 " is over: %s", fault_name(f->fault), f->place.offset_bytes,
                f->place.length_bytes, c->why);
}

void routes_retire(struct manager *m, const char *device) {
        struct over_context c = { m, manager_device(m, device), "it was retired by hand" };
        finding_book_retire(m->book, device, 0, clock_wall_us(), on_over, &c);
}

bool routes_load(struct manager *m) {
        struct ledger_request *request = request_for(LEDGER_LOAD, 0);
        return request && outbox_send(m, request);
}

static bool has_departed(struct manager *m, const char *name) {
        bool here = manager_device(m, name);
        for (size_t i = 0; i < m->leaving_count; i++)
                here |= strcmp(m->leaving[i]->config->name, name) == 0;
        return !here;
}

/* Nobody will come to their places again. */
void routes_retire_departed(struct manager *m) {
        struct over_context c = { m, NULL, "its device left the configuration" };
        const struct finding *f = m->book && members_are_known(m) ? finding_book_after(m->book, NULL, 0) : NULL;
        while (f) {
                char name[DEVICE_NAME_BYTES];
                uint64_t id = f->id;
                text_copy(name, sizeof name, f->device);
                if (has_departed(m, name))
                        finding_book_retire(m->book, name, 0, clock_wall_us(), on_over, &c);
                f = finding_book_after(m->book, NULL, id);
        }
}

/*
 * Another disk under this name: what was wrong with the old one is not wrong with this one. Only where it may be swept:
 * one that stands for a moment at the path of the configured one has replaced nothing.
 */
static void retire_replaced(struct manager *m, struct device *d, uint64_t target_row) {
        struct over_context c = { m, d, "the disk was replaced" };
        if (target_row != 0)
                finding_book_retire(m->book, d->config->name, target_row, clock_wall_us(), on_over, &c);
}

/* All but what is of no target: it was found where the new one stands, or nobody knows where. */
void routes_retire_replaced(struct manager *m, struct device *d) {
        if (m->book && device_is_replaced(d))
                retire_replaced(m, d, UINT64_MAX);
}

static void on_target(struct manager *m, struct device *d, struct ledger_request *request) {
        if (!d->asks_ledger)
                return; /* it has gone on without */
        d->asks_ledger = false;
        if (request->status < 0) {
                begin_without_past(m, d, request->text);
                return;
        }
        struct answer *a = answer_new(ANSWER_TARGET, 1);
        if (!a)
                return;
        a->target = STEAL(request->target);
        if (a->target) {
                if (a->target->row != 0 && a->target->row != d->target_row) {
                        d->target_row = a->target->row;
                        device_take_regions(d, NULL, NULL); /* another disk's */
                }
                if (!d->regions) /* else it knows more than the ledger, where that is behind */
                        device_take_regions(d, STEAL(request->regions), request->key);
                answer(m, d->sweep_id, a);
        } else {
                answer_free(a);
                deny(m, d->sweep_id, "resources", "Free memory.", "out of memory");
        }
}

static void end_refusal(struct manager *m, struct device *d) {
        if (d->refusal_told)
                routes_tell(m, EVENT_REFUSAL_OVER, LOG_NOTICE, d, NULL, "it is not refused any more");
        d->refusal_told = false;
        d->refusal = (struct reason){ 0 };
}

/* That it may be read says nothing of what else it is configured for: that is looked at when this sweep is over. */
static void judge_refusal(struct manager *m, struct device *d) {
        if (d->running_mode == d->config->mode || d->config->mode == MODE_READ)
                end_refusal(m, d);
        else
                d->look_again_us = 0;
}

static void on_started(struct manager *m, struct device *d, const struct news *news) {
        bool resumes = d->goes_on = d->resume;
        d->under_way = true;
        judge_refusal(m, d);
        d->resume = sweep_resume_free(d->resume);
        retire_replaced(m, d, news->record.target_row);
        struct ledger_request *request = request_for(LEDGER_SWEEP_STARTED, d->sweep_id);
        if (request) {
                request->sweep = news->record;
                request->sweep.bytes = news->checkpoint.bytes;
                rests_fill_place(d, &news->checkpoint, &request->place);
                outbox_send(m, request);
        }
        routes_tell(m, EVENT_SWEEP_STARTED, LOG_INFO, d, NULL, "sweep %" PRIu64 " %s, mode %s", d->sweep_id,
                resumes ? "goes on" : "started", sweep_mode_name(d->running_mode));
        if (d->wish.call)
                call_reply_sweep_id(STEAL(d->wish.call), d->sweep_id);
        bool stored = d->wish.wanted;
        device_drop_wish(d);
        if (stored)
                rests_store_intent(m, d);
}

/* A sweep whose number was given out, but which never began, is told of in the history: somebody may wait for it. */
void routes_store_unbegun(struct manager *m, const struct device *d, enum sweep_end end, const struct reason *reason) {
        static const enum ledger_op ops[] = { LEDGER_SWEEP_STARTED, LEDGER_SWEEP_ENDED };
        struct sweep_record record = {
                .id = d->wish.sweep_id,
                .mode = d->wish.mode,
                .patterns = d->wish.patterns,
                .started_us = clock_wall_us(),
                .ended_us = clock_wall_us(),
                .verdict = d->hung ? VERDICT_FAULTY : VERDICT_INCOMPLETE,
                .end = end,
                .findings = d->hung,
        };
        text_copy(record.device, sizeof record.device, d->config->name);
        if (reason)
                record.reason = *reason;
        for (size_t i = 0; i < ELEMENTS(ops); i++) {
                struct ledger_request *request = request_for(ops[i], record.id);
                if (!request)
                        return;
                request->sweep = record;
                outbox_send(m, request);
        }
}

static void answer_refused(struct manager *m, struct device *d, const struct reason *reason) {
        if (d->wish.call)
                call_fail_refused(STEAL(d->wish.call), d->config->name, reason);
        else if (d->wish.wanted && !d->resume)
                routes_store_unbegun(m, d, END_FAILED, reason);
        bool stored = d->wish.wanted;
        device_drop_wish(d);
        if (stored)
                rests_store_intent(m, d);
}

/* Originals are to go back, and somebody uses the disk: they must not wait for an hour when he has gone. */
static bool waits_for_others(const struct device *d) {
        const char *rule = d->refusal.rule;
        return (d->recovering && (strcmp(rule, "recovery_busy") == 0 || strcmp(rule, "in_use") == 0)) ||
                strcmp(rule, "recovery") == 0 || strcmp(rule, "journal_missing") == 0;
}

/* Asked for by somebody, and not what the device is configured for: no news of the device. */
static bool is_own_idea(const struct device *d) {
        const struct device_wish *w = &d->wish;
        if (!w->wanted || d->resume)
                return false;
        bool same = w->mode == d->config->mode &&
                (w->mode != MODE_PATTERN || pattern_list_is(&w->patterns, &d->config->patterns));
        return !same || w->overwrite;
}

static void on_refused(struct manager *m, struct device *d, const struct news *news) {
        if (strcmp(news->reason.rule, "disk_busy") == 0) { /* stays queued; only a caller must not wait for it */
                if (d->wish.call)
                        call_reply_sweep_id(STEAL(d->wish.call), d->wish.sweep_id);
                return;
        }
        if (d->resume && strcmp(news->reason.rule, SWEEP_NOT_RESUMED) == 0) {
                rests_end(m, d, END_KILLED, &news->reason);
                if (d->wish.call)
                        call_fail_refused(STEAL(d->wish.call), d->config->name, &news->reason);
                device_drop_wish(d);
                return; /* a new one begins when it is due */
        }
        bool changed = strcmp(d->refusal.rule, news->reason.rule) != 0 ||
                strcmp(d->refusal.found, news->reason.found) != 0;
        bool missing = strcmp(news->reason.rule, "missing") == 0 && device_is_watched(d);
        bool own_idea = is_own_idea(d) && !missing;
        d->refused = true;
        if (strcmp(news->reason.rule, "missing") == 0)
                device_note_absent(d, clock_monotonic_us(), clock_wall_us());
        if (own_idea) {
                answer_refused(m, d, &news->reason);
                return;
        }
        d->refusal = news->reason;
        d->look_again_us = clock_wall_us() + (waits_for_others(d) ? MENDED_US : DEVICE_LOOK_AGAIN_US);
        if (d->config != d->running_config) /* meanwhile it was configured anew */
                d->look_again_us = 0;
        answer_refused(m, d, &d->refusal);
        if (missing) {
                d->absent = true;
                d->refusal = (struct reason){ 0 };
                return; /* told by the look for absent devices */
        }
        if (!changed)
                return;
        d->refusal_told = true;
        size_t n = strlen(d->refusal.found);
        const char *stop = n > 0 && d->refusal.found[n - 1] == '.' ? "" : ".";
        routes_tell(m, EVENT_REFUSED, LOG_WARNING, d, NULL, "not swept (%s): %s%s %s", d->refusal.rule,
                d->refusal.found, stop, d->refusal.remedy);
}

static struct ledger_mark ledger_mark_of(const struct news_mark *mark) {
        return (struct ledger_mark){
                .target_id = mark->target_id,
                .generation = mark->generation,
                .nonce = mark->nonce,
                .started_us = mark->started_us,
                .settled = mark->settled,
                .ahead = mark->ahead,
                .clears = mark->clears,
        };
}

static void answer_mark(
        struct manager *m, struct device *d, enum answer_kind kind, uint64_t mark_number, const char *failure) {
        struct answer *a = answer_new(kind, mark_number);
        if (!a)
                return;
        if (kind == ANSWER_FAILED)
                reason_set(&a->reason, "ledger_unavailable", "Make room on, or mend, the disk of the state directory.",
                        "the ledger could not be written: %s", failure);
        if (mark_number == d->awaits_mark)
                d->awaits_mark = 0;
        answer(m, d->sweep_id, a);
}

static void send_mark(struct manager *m, struct device *d, enum ledger_op op, struct news *news) {
        if (news->survey)
                device_record_survey(d, news->survey);
        struct ledger_request *request = request_for(op, d->sweep_id);
        if (!request) {
                answer_mark(m, d, ANSWER_FAILED, news->sequence, "out of memory");
                return;
        }
        request->mark_number = news->sequence;
        request->target_row = news->record.target_row;
        request->mark = ledger_mark_of(&news->mark);
        request->sweep = news->record;
        request->survey = STEAL(news->survey);
        if (news->mark.clears.length_bytes > 0)
                rests_fill_place(d, &news->checkpoint, &request->place);
        d->awaits_mark = news->sequence;
        if (!outbox_send(m, request))
                answer_mark(m, d, ANSWER_FAILED, news->sequence, "too much is waiting for the state disk");
}

static void on_checkpoint(struct manager *m, struct device *d, struct news *news) {
        if (news->survey)
                device_record_survey(d, news->survey);
        struct ledger_request *request = request_for(LEDGER_CHECKPOINT, d->sweep_id);
        if (!request)
                return;
        request->target_row = news->record.target_row;
        request->sweep = news->record;
        rests_fill_place(d, &news->checkpoint, &request->place);
        request->survey = STEAL(news->survey);
        outbox_send(m, request);
}

static void on_adopted(struct manager *m, struct device *d, struct news *news) {
        struct ledger_request *forget = request_for(LEDGER_FORGET, 0);
        if (!forget)
                return;
        forget->target_row = news->record.target_row;
        forget->mark.clears = news->mark.clears;
        news->mark.clears = (struct extent){ 0 };
        outbox_send(m, forget);
        send_mark(m, d, LEDGER_STAMP, news);
        if (news->by_order)
                return;
        routes_tell(m, EVENT_TARGET_ADOPTED, LOG_NOTICE, d, NULL,
                "it bears stamps up to generation %" PRIu64
                " that the ledger does not account for; they are adopted. What was left there can't be verified this time",
                news->mark.generation);
}

static int priority_of(enum fault fault) {
        if (fault == FAULT_UNRESTORED)
                return LOG_ALERT;
        return fault == FAULT_SLOW ? LOG_WARNING : LOG_ERR;
}

/* The undo journal is empty again, or was. */
static void on_recovered(struct manager *m, struct device *d, const struct news *news) {
        static const char *const over[] = { "recovery", "recovery_busy", "rescue", "in_use" };
        const struct news_recovered *r = &news->recovered;
        d->to_recover = false;
        for (size_t i = 0; i < ELEMENTS(over); i++)
                if (strcmp(d->refusal.rule, over[i]) == 0)
                        end_refusal(m, d);
        if (r->tried)
                routes_tell(m, EVENT_RECOVERY, r->units_lost + r->units_foreign > 0 ? LOG_ALERT : LOG_WARNING, d, NULL,
                        "a sweep had been cut short; its undo journal was worked through: units of 4096 bytes restored %" PRIu64
                        ", written by somebody else %" PRIu64 ", not restored %" PRIu64,
                        r->units_restored, r->units_foreign, r->units_lost);
}

/* The sweep could not put everything back: that comes first now. */
static void note_left_armed(struct manager *m, struct device *d, unsigned left_armed) {
        if (left_armed == 0)
                return;
        d->to_recover = true;
        if (!d->refusal.rule[0])
                reason_set(&d->refusal, "recovery", "It is tried again by itself. See sweepctl errors and dmesg.",
                        "originals are in the undo journal, and not back in their place");
        d->look_again_us = clock_wall_us() + MENDED_US;
        routes_tell(m, EVENT_RECOVERY, LOG_ALERT, d, NULL,
                "the sweep ended before all originals were back in their place; they are in the undo journal");
}

/* It holds pieces of the device's data, which its owner may take to be gone. */
static void tell_not_erased(struct manager *m, const struct device *d, int error) {
        char journal[PATH_MAX];
        mend_journal_path(journal, d->running_config, m->settings->state_dir);
        routes_tell(m, EVENT_RECOVERY, LOG_WARNING, d, NULL,
                "what the sweep had saved could not be erased from its undo journal in %s: %s. It still holds parts of the data of the device until a later sweep has erased it. See dmesg for the disk of the journal",
                journal, strerror(error));
}

/* What a recovery finds is of no sweep, but has a number of its own. */
static void give_number(struct manager *m, struct device *d, struct finding *fault) {
        if (!d->recovering)
                return;
        if (d->recovery_id == 0)
                d->recovery_id = m->next_sweep_id++;
        fault->sweep_id = d->recovery_id;
        fault->target_row = d->target_row;
}

void routes_tell_finding(
        struct manager *m, const struct device *d, const struct finding *finding, enum event_turn turn) {
        struct event event = {
                .kind = EVENT_FINDING, .priority = priority_of(finding->fault), .at_us = clock_wall_us(), .turn = turn
        };
        char since[64];
        text_format_local(since, sizeof since, finding->first_seen_us);
        if (d)
                fill_identity(&event, d);
        fill_finding(&event, finding);
        text_format(event.text, sizeof event.text, "%s at offset %" PRIu64 ", length %" PRIu64 ": %s",
                fault_name(finding->fault), finding->place.offset_bytes, finding->place.length_bytes, finding->text);
        if (turn == EVENT_GREW)
                text_append(event.text, sizeof event.text, ". It has grown");
        else if (turn == EVENT_AGAIN)
                text_append(event.text, sizeof event.text,
                        ". It has been open since %s. To hear no more of it: sweepctl ack %" PRIu64, since,
                        finding->id);
        send_or_fold(m, &event);
}

static void on_fault(struct manager *m, struct device *d, struct news *news) {
        bool is_new;
        uint64_t next_id = finding_book_next_id(m->book);
        give_number(m, d, &news->fault);
        const struct finding *f = finding_book_report(m->book, &news->fault, news->fault_serial, &is_new);
        if (!f)
                return;
        routes_store_finding(m, f);
        if (is_new)
                routes_tell_finding(m, d, f, f->id >= next_id ? EVENT_FIRST : EVENT_GREW);
}

/* Reads that were late and of which nobody knows why. */
static void describe_untried(char *text, size_t text_bytes, const struct survey *survey) {
        text[0] = '\0';
        if (survey && survey->late_untried > 0)
                text_format(text, text_bytes,
                        "; %" PRIu64 " of %" PRIu64 " reads later than slow_after could not be read once more alone",
                        survey->late_untried, survey->late_reads);
}

/* What was acknowledged and has not grown since is known: who said so is not to be told each time. */
static bool is_no_news(const struct manager *m, const struct device *d, const struct sweep_record *r) {
        struct finding_counts counts = finding_book_counts(m->book, d->config->name);
        return r->verdict == VERDICT_CLEAN ||
                (r->verdict == VERDICT_FAULTY && r->end == END_FINISHED && counts.open_faults == 0 &&
                        counts.acknowledged > 0);
}

static void tell_end(struct manager *m, struct device *d, const struct sweep_record *r, const char *untried) {
        char verdict[64];
        const char *assurance = assurance_name(r->assurance);
        text_format(verdict, sizeof verdict, assurance ? "%s (%s)" : "%s", verdict_name(r->verdict), assurance);
        const char *end = sweep_end_name(r->end);
        routes_tell_sums(m, d->config->name, clock_monotonic_us());
        routes_tell_end(m, is_no_news(m, d, r) ? LOG_INFO : LOG_WARNING, d, r,
                "sweep %" PRIu64 " %s: %s, %" PRIu64 " finding%s; %" PRIu64 " bytes read, %" PRIu64 " written, %" PRIu64
                " verified in %.1f s%s%s%s",
                r->id, end ? end : "ended", verdict, r->findings, r->findings == 1 ? "" : "s", r->bytes.read,
                r->bytes.written, r->bytes.verified, (double)r->running_us / 1e6, untried,
                r->reason.rule[0] ? "; " : "", r->reason.found);
}

/* It hung before it began: as if refused, so that it is looked at again. */
static void note_hung_early(struct manager *m, struct device *d, const struct sweep_record *r) {
        if (d->under_way || strcmp(r->reason.rule, "hung") != 0 || strcmp(d->refusal.rule, "hung") == 0)
                return;
        d->refusal = r->reason;
        d->look_again_us = clock_wall_us() + DEVICE_LOOK_AGAIN_US;
        answer_refused(m, d, &d->refusal);
}

/* What main found while the sweep could not. */
static void count_hung(const struct device *d, struct sweep_record *record) {
        if (!d->hung)
                return;
        record->findings++;
        record->verdict = VERDICT_FAULTY;
        record->assurance = ASSURANCE_NONE;
}

/* What its last pass reached and did not see is over. It can't say so of slow places where it had no chance to look. */
static void resolve(struct manager *m, struct device *d, const struct news *news) {
        struct over_context c = { m, d, "a later pass reached the place and did not see it" };
        const struct sweep_record *r = &news->record;
        if (!news->survey || news->survey->late_untried > 0)
                finding_book_spare(m->book, d->config->name, FAULT_SLOW, r->id);
        if (news->reached.length_bytes > 0)
                finding_book_resolve(m->book, d->config->name, r->target_row, r->id, &news->reached, 1, clock_wall_us(),
                        on_over, &c);
}

static void on_ended(struct manager *m, struct device *d, struct news *news) {
        struct sweep_record record = news->record;
        const struct sweep_record *r = &record;
        stalls_sweep_ended(m, d);
        if (news->suspended && d->under_way && d->order != SWEEP_CANCEL) {
                rests_begin(m, d, news);
                note_left_armed(m, d, news->left_armed);
                manager_sweep_ended(m, d);
                return;
        }
        if (news->suspended)
                record.end = END_CANCELLED;
        if (record.end == END_CANCELLED && manager_is_leaving(m, d->config->name)) {
                record.end = END_KILLED; /* nobody wants to skip a period: it is due at once if the entry comes back */
                reason_set(&record.reason, SWEEP_NOT_RESUMED, "Nothing.", "its device left the configuration");
        }
        count_hung(d, &record);
        if (d->under_way && d->goes_on) /* its parts may have met the same one */
                record.findings = rests_count_findings(m, d->config->name, record.id);
        note_hung_early(m, d, r);
        if (d->under_way) {
                resolve(m, d, news);
                if (news->survey)
                        device_record_survey(d, news->survey);
                char untried[128];
                describe_untried(untried, sizeof untried, news->survey);
                struct ledger_request *request = request_for(LEDGER_SWEEP_ENDED, r->id);
                if (request) {
                        request->sweep = *r;
                        request->survey = STEAL(news->survey);
                        outbox_send(m, request);
                }
                device_record_end(d, r, d->key);
                tell_end(m, d, r, untried);
                if (strcmp(r->reason.rule, "foreign_data") == 0) {
                        d->refusal = r->reason;
                        d->look_again_us = clock_wall_us() + DEVICE_LOOK_AGAIN_US;
                }
                /* For other paths nobody would look whether it is back; the next try does. */
                if (strcmp(r->reason.rule, "missing") == 0 && device_is_watched(d)) {
                        d->absent = true;
                        device_note_absent(d, clock_monotonic_us(), clock_wall_us());
                }
                note_left_armed(m, d, news->left_armed);
        }
        if (news->erase_error)
                tell_not_erased(m, d, news->erase_error);
        manager_sweep_ended(m, d);
}

/* A sweep does not hear of a clock that was set (planner.c): what it dates lies between its start and now. */
static void correct_dates(const struct device *d, struct news *news) {
        uint64_t now_us = clock_wall_us();
        if (d->began_us == 0 || d->recovering || d->started_us > now_us)
                return;
        news->record.started_us = d->started_us;
        if (news->survey)
                region_table_date(&news->survey->regions, d->started_us, now_us);
}

static void handle(struct manager *m, struct device *d, struct news *news) {
        correct_dates(d, news);
        switch (news->kind) {
        case NEWS_IDENTIFIED:
                on_identified(m, d, news);
                break;
        case NEWS_STARTED:
                on_started(m, d, news);
                break;
        case NEWS_PERMITTED:
                end_refusal(m, d);
                break;
        case NEWS_REFUSED:
                on_refused(m, d, news);
                break;
        case NEWS_RECOVERED:
                on_recovered(m, d, news);
                break;
        case NEWS_ADOPTED:
                on_adopted(m, d, news);
                break;
        case NEWS_STAMP:
                send_mark(m, d, LEDGER_STAMP, news);
                break;
        case NEWS_MARK:
                send_mark(m, d, LEDGER_MARK, news);
                break;
        case NEWS_CHECKPOINT:
                on_checkpoint(m, d, news);
                break;
        case NEWS_FAULT:
                on_fault(m, d, news);
                break;
        case NEWS_ENDED:
                on_ended(m, d, news);
                break;
        }
}

void routes_handle_news(struct manager *m) {
        void *item;
        while (outbox_takes_news(m) && queue_try_pop(m->news, &item, 1) == 1) {
                struct news *news = item;
                struct device *d = manager_device_of_sweep(m, news->sweep_id);
                assert(d); /* a sweep's thread is there until its last news */
                handle(m, d, news);
                news_free(news);
        }
}

/* What was refused for want of it need not wait for the next look. */
static void go_on_with_ledger(struct manager *m) {
        for (size_t i = 0; i < m->device_count; i++)
                if (strcmp(m->devices[i]->refusal.rule, "ledger_unavailable") == 0)
                        m->devices[i]->look_again_us = 0;
        manager_admit(m);
}

/* Every answer tells how the ledger is now. One that could not be read when the daemon started is read as soon as it
 * can. */
void routes_note_ledger(struct manager *m, enum ledger_state state, const char *text) {
        if (state == m->ledger_state)
                return;
        m->ledger_state = state;
        text_copy(m->ledger_text, sizeof m->ledger_text, text);
        if (state == LEDGER_UNAVAILABLE)
                routes_tell(m, EVENT_LEDGER, LOG_CRIT, NULL, NULL,
                        "the ledger can't be used: %s. Write sweeps stop, read sweeps go on", text);
        else if (state == LEDGER_REPLACED)
                routes_tell(m, EVENT_LEDGER, LOG_CRIT, NULL, NULL, "the ledger was replaced: %s", text);
        else
                routes_tell(m, EVENT_LEDGER, LOG_NOTICE, NULL, NULL, "the ledger can be used again");
        if (state != LEDGER_UNAVAILABLE)
                go_on_with_ledger(m);
        if (!m->ledger_was_read)
                (void)routes_load(m);
}

/* A sweep that goes on has the number that it had, but a thread that asked for none of what was on its way. */
static void on_mark(struct manager *m, const struct ledger_request *request) {
        struct device *d = manager_device_of_sweep(m, request->number);
        if (!d || request->sequence <= d->requests_before || outbox_keeps(m, request))
                return;
        answer_mark(m, d, request->status < 0 ? ANSWER_FAILED : ANSWER_DURABLE, request->mark_number, request->text);
}

bool routes_waits_for_ledger(const struct manager *m, const struct device *d) {
        return d->thread && d->awaits_mark > 0 && m->ledger_state == LEDGER_UNAVAILABLE;
}

/* Of a later version: what it knows would be missing, and that version would miss what we did. */
static void refuse_newer(struct manager *m, const struct ledger_load *load) {
        routes_tell(m, EVENT_LEDGER, LOG_CRIT, NULL, NULL, "sweepd can't start: %s", load->text);
        sd_event_exit(m->event, EXIT_FAILURE);
}

static void on_load(struct manager *m, struct ledger_request *request) {
        const struct ledger_load *load = &request->load;
        if (load->newer && !m->ready) {
                refuse_newer(m, load);
                return;
        }
        m->next_sweep_id = MAX(m->next_sweep_id, load->next_sweep_id);
        m->next_event_id = MAX(m->next_event_id, load->next_event_id);
        if (request->status == 0)
                monitors_stored(m, load->next_event_id - 1);
        if (request->status == 0 && !m->ledger_was_read)
                m->aged_us = load->aged_us;
        bool for_the_first_time = !m->ledger_was_read;
        m->ledger_was_read |= request->status == 0;
        m->booted |= load->booted;
        if (!m->book && finding_book_new(&m->book, MAX(load->next_finding_id, 1)) < 0) {
                sd_event_exit(m->event, EXIT_FAILURE);
                return;
        }
        /* Later the book knows better: what is over there may still be on its way to the ledger. */
        for (size_t i = 0; for_the_first_time && i < load->finding_count; i++)
                if (!finding_book_get(m->book, load->findings[i].id))
                        (void)finding_book_load(m->book, &load->findings[i]);
        routes_retire_departed(m);
        for (size_t i = 0; i < load->device_count; i++) {
                struct device *d = manager_device(m, load->devices[i].device);
                if (manager_is_leaving(m, load->devices[i].device))
                        continue; /* its sweep is not over in the ledger yet, which is asked again when it is */
                if (!d) {
                        if (members_are_known(m))
                                rests_forget(m, &load->devices[i]);
                        continue;
                }
                if (d->unremembered || for_the_first_time) {
                        planner_note_boot(m, d, &load->devices[i]);
                        rests_load(m, d, &load->devices[i]);
                }
                if (m->ready && for_the_first_time) /* what was stored without knowing it is to be overwritten */
                        rests_store_intent(m, d);
                if (d->history.swept)
                        continue;
                device_remember(d, &load->devices[i]);
                if (!d->regions)
                        device_take_regions(d, STEAL(load->devices[i].regions), load->devices[i].last_key);
                routes_retire_replaced(m, d);
        }
        for (size_t i = 0; i < m->device_count; i++) {
                if (manager_is_leaving(m, m->devices[i]->config->name))
                        continue;
                if (m->devices[i]->unremembered)
                        planner_note_boot(m, m->devices[i], NULL);
                m->devices[i]->unremembered = false;
        }
        if (m->ready)
                manager_admit(m);
        else
                manager_ready(m);
        routes_note_ledger(m, load->state, load->text);
}

void routes_start_without_ledger(struct manager *m, const char *why) {
        struct ledger_request *none;
        if (ledger_request_new(&none, LEDGER_LOAD) < 0)
                return; /* the next look tries again */
        none->status = -ETIMEDOUT;
        none->load.state = LEDGER_UNAVAILABLE;
        text_copy(none->load.text, sizeof none->load.text, why);
        ledger_load_numbers(&none->load, clock_wall_us());
        on_load(m, none);
        ledger_request_free(none);
}

static void acknowledged(struct manager *m, struct ledger_request *request) {
        switch (request->op) {
        case LEDGER_LOAD:
                on_load(m, request);
                return;
        case LEDGER_IDENTIFY: {
                struct device *d = manager_device_of_sweep(m, request->number);
                if (d)
                        on_target(m, d, request);
                break;
        }
        case LEDGER_STAMP:
        case LEDGER_MARK:
                on_mark(m, request);
                break;
        case LEDGER_DEVICE:
                rests_intent_stored(m, request);
                break;
        case LEDGER_EVENT:
                if (request->status == 0)
                        monitors_stored(m, request->event.id);
                break;
        case LEDGER_PRUNE:
                history_pruned(m, request);
                break;
        default:
                break;
        }
        routes_note_ledger(m, request->load.state, request->load.text);
}

void routes_handle_ledger(struct manager *m) {
        void *item;
        while (queue_try_pop(m->ledger_answers, &item, 1) == 1) {
                struct ledger_request *request = item;
                outbox_heard(m);
                if (request->op == LEDGER_LIST_EVENTS) {
                        monitors_page(m, request);
                        continue;
                }
                if (request->op >= LEDGER_LIST_FINDINGS) {
                        requests_page(m, request);
                        continue;
                }
                acknowledged(m, request);
                outbox_answered(m, request);
        }
        outbox_go_on(m, clock_monotonic_us());
        routes_handle_news(m); /* there may be room again */
}

int routes_open(struct manager *m, bool lines_on_stderr) {
        int r = queue_new(&m->news, NEWS_QUEUE_MAX, m->news_fd);
        if (r < 0)
                return r;
        r = queue_new(&m->ledger_answers, LEDGER_QUEUE_MAX + 1, m->ledger_fd);
        if (r < 0)
                return r;
        r = queue_new(&m->alerts_done, ALERTS_QUEUE_MAX + 1, m->alerts_fd);
        if (r < 0)
                return r;
        r = burst_book_new(&m->bursts);
        if (r < 0)
                return r;
        r = monitors_open(m);
        if (r < 0)
                return r;
        struct alerts_options options = {
                .journal_socket = ALERTS_JOURNAL_SOCKET,
                .lines_on_stderr = lines_on_stderr,
                .capacity = ALERTS_QUEUE_MAX,
                .done = m->alerts_done,
        };
        r = alerts_new(&m->alerts, &options);
        if (r < 0)
                return r;
        outbox_open(m);
        return ledger_new(&m->ledger, m->settings->state_dir, LEDGER_QUEUE_MAX, m->ledger_answers);
}
