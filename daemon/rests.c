/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sweeps that rest: paused by somebody, or by a closed window, or as the daemon ended. They are not over, though nobody
 * works on them. What could go wrong: one that is forgotten, and its device is never swept to the end; one that is gone
 * with on another disk, or in another mode than the configuration now has; and an order that is lost with the daemon.
 * So what rests, and what people want, is in the ledger, and is taken up from there at the start.
 */
#include "manager_private.h"

#include "plan/calendar.h"

#include <inttypes.h>
#include <string.h>
#include <syslog.h>

static struct ledger_request *request_for(enum ledger_op op, uint64_t sweep_id) {
        struct ledger_request *request;
        if (ledger_request_new(&request, op) < 0)
                return NULL;
        request->number = sweep_id;
        request->at_us = clock_wall_us();
        return request;
}

void rests_fill_place(const struct device *d, const struct checkpoint *at, struct ledger_place *ret) {
        ret->at = *at;
        ret->by_hand = d->started_by_hand;
        ret->overwrite = d->running_overwrite ? strdup(d->running_overwrite) : NULL;
}

bool rests_store_intent(struct manager *m, struct device *d) {
        struct ledger_request *request = request_for(LEDGER_DEVICE, ++d->intent_number);
        if (!request)
                return false;
        struct ledger_intent *intent = &request->intent;
        text_copy(intent->device, sizeof intent->device, d->config->name);
        intent->held = d->held;
        intent->unchecked_us = d->unchecked_us;
        if (d->wish.wanted && !d->resume) {
                intent->wish_sweep_id = d->wish.sweep_id;
                intent->wish_mode = d->wish.mode;
                intent->wish_patterns = d->wish.patterns;
                intent->wish_overwrite = d->wish.overwrite ? strdup(d->wish.overwrite) : NULL;
        }
        return outbox_send(m, request);
}

void rests_intent_stored(struct manager *m, const struct ledger_request *request) {
        struct device *d = manager_device(m, request->intent.device);
        if (!d || !d->intent_call || request->number != d->intent_number)
                return;
        if (request->status < 0)
                call_fail_ledger_unavailable(STEAL(d->intent_call), request->text);
        else
                call_reply_empty(STEAL(d->intent_call));
}

/* The answer means that it outlives the daemon. */
static void answer_when_stored(struct manager *m, struct call *call, struct device *d) {
        if (d->intent_call)
                call_reply_empty(STEAL(d->intent_call)); /* it was overtaken */
        d->intent_call = call;
        if (!rests_store_intent(m, d))
                call_fail_ledger_unavailable(STEAL(d->intent_call), "too much is waiting for the state disk");
}

static void drop(struct device *d) {
        d->resume = sweep_resume_free(d->resume);
}

/* In percent of the work. */
static double done_of(const struct checkpoint *at) {
        const struct sweep_bytes *b = &at->bytes;
        uint64_t done = b->read + b->written + b->skipped + at->lost_bytes;
        return b->total > 0 ? 100.0 * (double)MIN(done, b->total) / (double)b->total : 0;
}

static void fill_resume(const struct device *d, struct news *news, struct sweep_resume *resume) {
        resume->record = news->record;
        resume->record.bytes = news->checkpoint.bytes;
        resume->record.stamps_seen = news->checkpoint.stamps_seen;
        resume->record.end = END_NONE;
        resume->record.verdict = VERDICT_UNKNOWN;
        resume->record.assurance = ASSURANCE_NONE;
        resume->record.ended_us = 0;
        resume->record.reason = (struct reason){ 0 };
        resume->from = news->checkpoint;
        resume->by_hand = d->started_by_hand;
        resume->overwrite = d->running_overwrite ? strdup(d->running_overwrite) : NULL;
        identity_key(resume->key, &d->identity, d->running_config->path);
        if (news->survey)
                memcpy(resume->latency, news->survey->latency, sizeof resume->latency);
}

static void why_it_rests(char *to, size_t to_bytes, const struct manager *m, const struct device *d) {
        if (m->stopping)
                text_copy(to, to_bytes, "the daemon ends; it goes on when the next one has started");
        else if (d->held)
                text_format(to, to_bytes, "it was paused; go on with: sweepctl resume %s", d->config->name);
        else
                text_copy(to, to_bytes, "its window has closed; it goes on in the next one");
}

void rests_begin(struct manager *m, struct device *d, struct news *news) {
        struct ledger_request *request = request_for(LEDGER_SWEEP_RESTS, d->sweep_id);
        if (request) {
                request->target_row = news->record.target_row;
                request->sweep = news->record;
                rests_fill_place(d, &news->checkpoint, &request->place);
        }
        if (news->survey)
                device_record_survey(d, news->survey);
        drop(d);
        if (sweep_resume_new(&d->resume) == 0) /* else the ledger has it, for the next daemon */
                fill_resume(d, news, d->resume);
        if (request) {
                request->survey = STEAL(news->survey);
                outbox_send(m, request);
        }
        char why[64 + DEVICE_NAME_BYTES];
        why_it_rests(why, sizeof why, m, d);
        routes_tell(m, EVENT_SWEEP_RESTS, LOG_INFO, d, NULL, "sweep %" PRIu64 " rests at %.1f %%: %s", d->sweep_id,
                done_of(&news->checkpoint), why);
}

static bool has_told_faults(struct manager *m, const struct device *d, uint64_t sweep_id) {
        bool any = false;
        const struct finding *f = finding_book_after(m->book, d->config->name, 0);
        for (; f; f = finding_book_after(m->book, d->config->name, f->id))
                any |= f->sweep_id == sweep_id && f->fault != FAULT_SLOW;
        return any;
}

uint64_t rests_count_findings(struct manager *m, const char *device, uint64_t sweep_id) {
        uint64_t count = 0;
        const struct finding *f = finding_book_after(m->book, device, 0);
        for (; f; f = finding_book_after(m->book, device, f->id))
                count += f->sweep_id == sweep_id;
        return count;
}

static void store_end(struct manager *m, struct device *d, const struct sweep_resume *resume, enum sweep_end end,
        const struct reason *reason) {
        struct ledger_request *request = request_for(LEDGER_SWEEP_ENDED, resume->record.id);
        struct sweep_record record = resume->record;
        record.end = end;
        record.ended_us = clock_wall_us();
        record.verdict = has_told_faults(m, d, record.id) ? VERDICT_FAULTY : VERDICT_INCOMPLETE;
        record.findings = rests_count_findings(m, d->config->name, record.id);
        record.reason = *reason;
        record.size_bytes = resume->from.size_bytes;
        record.extent = resume->from.extent;
        device_record_end(d, &record, resume->key[0] ? resume->key : NULL);
        if (request) {
                request->sweep = record;
                outbox_send(m, request);
        }
        routes_tell_end(m, LOG_WARNING, d, &record, "sweep %" PRIu64 " %s at %.1f %%: %s%s%s", record.id,
                sweep_end_name(end), done_of(&resume->from), verdict_name(record.verdict), reason->rule[0] ? "; " : "",
                reason->found);
}

void rests_end(struct manager *m, struct device *d, enum sweep_end end, const struct reason *reason) {
        store_end(m, d, d->resume, end, reason);
        drop(d);
}

void rests_drop_unfit(struct manager *m, struct device *d) {
        struct reason reason;
        if (!d->resume || d->thread || d->resume->by_hand || d->resume->record.mode == d->config->mode)
                return;
        reason_set(&reason, SWEEP_NOT_RESUMED, "Nothing: a new sweep begins when it is due.",
                "the configuration has another mode since the sweep was interrupted");
        rests_end(m, d, END_KILLED, &reason);
}

/* What it has found so far, newest numbers for all of it. Without memory for that it begins at the same place, and
 * what it told stays told. */
static void add_findings(struct manager *m, const struct device *d, struct sweep_resume *resume) {
        size_t count = (size_t)rests_count_findings(m, d->config->name, resume->record.id);
        count = MIN(count, (size_t)RESUME_FINDINGS_MAX);
        finding_book_recall(m->book, d->config->name, resume->record.id);
        resume->findings = count > 0 ? calloc(count, sizeof *resume->findings) : NULL;
        if (!resume->findings)
                return;
        const struct finding *f = finding_book_after(m->book, d->config->name, 0);
        for (; f && resume->finding_count < count; f = finding_book_after(m->book, d->config->name, f->id)) {
                if (f->sweep_id != resume->record.id || f->fault == FAULT_HUNG)
                        continue;
                resume->findings[resume->finding_count++] = *f;
                finding_book_number(m->book, f->id, resume->finding_count);
        }
}

int rests_hand_over(struct manager *m, struct device *d, struct sweep_resume **ret) {
        struct sweep_resume *resume;
        int r = sweep_resume_copy(&resume, d->resume);
        if (r < 0)
                return r;
        add_findings(m, d, resume);
        *ret = resume;
        return 0;
}

void rests_load(struct manager *m, struct device *d, struct ledger_device *past) {
        struct ledger_intent *intent = &past->intent;
        bool known = past->resume &&
                ((d->resume && d->resume->record.id == past->resume->record.id) ||
                        (d->thread && d->sweep_id == past->resume->record.id));
        if (known)
                return;
        d->held |= intent->held;
        if (intent->unchecked_us > 0)
                d->unchecked_us = intent->unchecked_us;
        if (past->resume && (d->thread || d->resume)) { /* the ledger came late: something else is under way */
                struct reason reason;
                reason_set(&reason, SWEEP_NOT_RESUMED, "Nothing: a new sweep is under way.",
                        "the ledger could not be read when the daemon started");
                store_end(m, d, past->resume, END_KILLED, &reason);
        } else if (past->resume) {
                d->resume = STEAL(past->resume);
                d->began_us = 0;
        }
        if (intent->wish_sweep_id == 0 || d->wish.wanted || d->thread || d->resume)
                return;
        d->wish = (struct device_wish){ .wanted = true,
                .sweep_id = intent->wish_sweep_id,
                .mode = intent->wish_mode,
                .patterns = intent->wish_patterns };
        d->wish.overwrite = STEAL(intent->wish_overwrite);
}

static void forget_intent(struct manager *m, const char *device) {
        struct ledger_request *request = request_for(LEDGER_DEVICE, 0);
        if (!request)
                return;
        text_copy(request->intent.device, sizeof request->intent.device, device);
        outbox_send(m, request);
}

void rests_let_go(struct manager *m, struct device *d) {
        struct reason reason;
        if (d->intent_call)
                call_fail_not_running(STEAL(d->intent_call), d->config->name);
        reason_set(&reason, SWEEP_NOT_RESUMED, "Nothing.", "its device left the configuration");
        if (d->resume && !d->thread)
                rests_end(m, d, END_KILLED, &reason); /* it is due at once if the entry comes back */
        if (d->held || d->wish.wanted || d->unchecked_us > 0)
                forget_intent(m, d->config->name);
}

/* Of a device that is not configured any more. */
void rests_forget(struct manager *m, struct ledger_device *past) {
        if (past->resume) {
                struct ledger_request *request = request_for(LEDGER_SWEEP_ENDED, past->resume->record.id);
                if (request) {
                        request->sweep = past->resume->record;
                        request->sweep.end = END_KILLED;
                        request->sweep.verdict = VERDICT_INCOMPLETE;
                        request->sweep.ended_us = clock_wall_us();
                        reason_set(&request->sweep.reason, SWEEP_NOT_RESUMED, "Nothing.",
                                "its device left the configuration");
                        outbox_send(m, request);
                }
        }
        if (past->intent.held || past->intent.wish_sweep_id != 0 || past->intent.unchecked_us != 0)
                forget_intent(m, past->device);
}

/* What the thread should do, by all who have a say. An order to end stands. */
void rests_steer(struct device *d) {
        enum sweep_order order = device_may_sweep(d) ? SWEEP_RUN : SWEEP_PAUSE;
        if (!device_is_sweeping(d) || order == d->order || d->order > SWEEP_PAUSE)
                return;
        d->order = order;
        sweep_thread_order(d->thread, order);
}

static bool heeds_windows(const struct device *d) {
        return (device_is_sweeping(d) && !d->started_by_hand) || (!d->thread && d->resume);
}

/* None begins outside of them, which the plan sees to; one that runs stops at once, and waits. */
void rests_look_at_windows(struct manager *m, uint64_t wall_us) {
        for (size_t i = 0; i < m->device_count; i++) {
                struct device *d = m->devices[i];
                d->window_closed = heeds_windows(d) && !calendar_is_open(d->config->calendar, wall_us);
                rests_steer(d);
        }
}

uint64_t rests_window_wait_us(const struct device *d, uint64_t wall_us) {
        if (!d->thread || !heeds_windows(d) || d->window_closed)
                return UINT64_MAX;
        uint64_t close_us = calendar_next_close(d->config->calendar, wall_us);
        return close_us > wall_us ? close_us - wall_us : 0;
}

void rests_pause(struct manager *m, struct call *call, struct device *d) {
        d->held = true;
        answer_when_stored(m, call, d);
        rests_steer(d);
        manager_notify_status(m);
}

void rests_resume(struct manager *m, struct call *call, struct device *d) {
        d->held = false;
        d->plan.after_boot = false;
        answer_when_stored(m, call, d);
        rests_steer(d);
        manager_admit(m);
        manager_set_clock(m);
        manager_notify_status(m);
}
