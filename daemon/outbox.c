/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What main wants stored, while the ledger can't take it: its disk is full, gone, slow, or does not answer at all. What
 * could go wrong: news that fill the memory; news that wait for room, so that alerts come no more; an older record that
 * is sent again and overwrites a newer one; and a loss that nobody hears of. So what waits is bounded, and what is
 * newer takes the place of what is older of the same finding, sweep or device; what the ledger refused is sent again
 * only when nothing is on its way to it; and what found no room is counted and said, and findings are stored anew from
 * the book when the ledger is back.
 *
 * What is stored for good or not at all is numbered as it comes. While any of it waits after a refusal, the rest waits
 * behind it, marks and checkpoints too: none of these must be durable before the findings that came before it (INV-13).
 * A sweep that writes waits as long as its mark does. So does the question what is known of a target, or it could be
 * answered before what the last sweep of it had to say.
 */
#include "manager_private.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define RETRY_US (5 * USEC_PER_SEC)
#define HUNG_US  (10 * USEC_PER_SEC) /* without any answer */

enum {
        TOLD_MAX = WAITING_MAX / 2,     /* findings and events that wait: the rest is for what sweeps need */
        NEWS_MAX = WAITING_MAX / 4 * 3, /* then no more news is taken */
        LATE_LOOKS = 2,                 /* a daemon that stood still itself finds the answers at its second look */
        AGAIN_MAX = 256                 /* findings that are stored anew at a time */
};

/* --- lists --- */

static bool is_told(const struct ledger_request *request) {
        return request->op == LEDGER_FINDING || request->op == LEDGER_EVENT;
}

static size_t count(const struct waiting *w) {
        return w->end - w->first;
}

static void put_at(struct waiting *w, size_t index, struct ledger_request *request) {
        assert(count(w) < WAITING_MAX);
        if (w->end == ELEMENTS(w->items)) {
                memmove(w->items, w->items + w->first, count(w) * sizeof w->items[0]);
                index -= w->first;
                w->end -= w->first;
                w->first = 0;
        }
        memmove(w->items + index + 1, w->items + index, (w->end - index) * sizeof w->items[0]);
        w->items[index] = request;
        w->end++;
        w->told += is_told(request);
}

/* By its number, where it has one of ours: the refused come back later than those behind them were put here. */
static size_t place_in(const struct outbox *o, const struct waiting *w, const struct ledger_request *request) {
        size_t index = w->end;
        while (w == &o->retries && index > w->first && w->items[index - 1]->sequence > request->sequence)
                index--;
        return index;
}

static struct ledger_request *take_at(struct waiting *w, size_t index) {
        struct ledger_request *request = w->items[index];
        w->told -= is_told(request);
        if (index == w->first) {
                w->first++;
        } else {
                w->end--;
                memmove(w->items + index, w->items + index + 1, (w->end - index) * sizeof w->items[0]);
        }
        return request;
}

/* --- what replaces what --- */

static bool is_of_target(enum ledger_op op) {
        return op == LEDGER_STAMP || op == LEDGER_MARK || op == LEDGER_FORGET;
}

static bool is_worth_a_retry(enum ledger_op op) {
        return op == LEDGER_FINDING || op == LEDGER_SWEEP_STARTED || op == LEDGER_SWEEP_RESTS || op == LEDGER_DEVICE ||
                op == LEDGER_SWEEP_ENDED || op == LEDGER_EVENT || is_of_target(op);
}

static bool is_numbered(enum ledger_op op) {
        return is_worth_a_retry(op) || op == LEDGER_CHECKPOINT || op == LEDGER_IDENTIFY;
}

static bool is_of_sweep(enum ledger_op op) {
        return op == LEDGER_SWEEP_STARTED || op == LEDGER_CHECKPOINT || op == LEDGER_SWEEP_RESTS ||
                op == LEDGER_SWEEP_ENDED;
}

static bool is_same_thing(const struct ledger_request *a, const struct ledger_request *b) {
        if (is_of_sweep(a->op) && is_of_sweep(b->op))
                return a->sweep.id == b->sweep.id;
        if (a->op != b->op)
                return false;
        return (a->op == LEDGER_FINDING && a->finding.id == b->finding.id) ||
                (a->op == LEDGER_DEVICE && strcmp(a->intent.device, b->intent.device) == 0);
}

/* The older one says nothing that the newer one, or what waits between them, does not. */
static bool replaces(const struct ledger_request *newer, const struct ledger_request *older) {
        if (!is_same_thing(newer, older))
                return false;
        switch (newer->op) {
        case LEDGER_SWEEP_STARTED: /* of one that goes on: the row that it needs is made by the first */
                return false;
        case LEDGER_CHECKPOINT:
                return older->op == LEDGER_CHECKPOINT;
        case LEDGER_SWEEP_RESTS:
                return older->op == LEDGER_CHECKPOINT || older->op == LEDGER_SWEEP_RESTS;
        default:
                return true;
        }
}

/*
 * A survey tells all that its sweep measured so far. A finding takes the older one's place: what waits behind that may
 * be a checkpoint. True: it did.
 */
static bool replace_older(struct waiting *w, struct ledger_request *newer) {
        for (size_t i = w->end; i-- > w->first;) {
                struct ledger_request *older = w->items[i];
                if (older->sequence >= newer->sequence || !replaces(newer, older))
                        continue;
                if (newer->op == LEDGER_FINDING || newer->op == LEDGER_DEVICE) {
                        w->items[i] = newer;
                        ledger_request_free(older);
                        return true;
                }
                if (!newer->survey)
                        newer->survey = STEAL(older->survey);
                ledger_request_free(take_at(w, i));
        }
        return false;
}

/* It was stored; what is older must not be stored after it. */
static void drop_older(struct waiting *w, const struct ledger_request *stored) {
        for (size_t i = w->end; i-- > w->first;)
                if (is_same_thing(stored, w->items[i]) && w->items[i]->sequence < stored->sequence)
                        ledger_request_free(take_at(w, i));
}

static bool is_replaced(const struct waiting *w, const struct ledger_request *older) {
        for (size_t i = w->first; i < w->end; i++)
                if (w->items[i]->sequence >= older->sequence && replaces(w->items[i], older))
                        return true;
        return false;
}

static void note_lost(struct outbox *o, const struct ledger_request *request) {
        o->events_lost += request->op == LEDGER_EVENT;
        o->findings_lost += request->op == LEDGER_FINDING;
}

/* Findings are worth more than the events that tell of them, which went to the alerts as well. */
static bool make_room(struct outbox *o, struct waiting *w, const struct ledger_request *request) {
        if (!is_told(request) || w->told < TOLD_MAX)
                return true;
        for (size_t i = w->first; i < w->end; i++) {
                if (w->items[i]->op != LEDGER_EVENT)
                        continue;
                struct ledger_request *event = take_at(w, i);
                note_lost(o, event);
                ledger_request_free(event);
                return true;
        }
        return false;
}

/* False: there was no room, and it was counted; it is freed. */
static bool wait_in(struct outbox *o, struct waiting *w, struct ledger_request *request) {
        if (replace_older(w, request))
                return true;
        if (make_room(o, w, request) && count(w) < WAITING_MAX) {
                put_at(w, place_in(o, w, request), request);
                return true;
        }
        note_lost(o, request);
        ledger_request_free(request);
        return false;
}

/* --- sending --- */

static bool hand_over(struct manager *m, struct ledger_request *request) {
        struct outbox *o = &m->outbox;
        if (!ledger_send(m->ledger, request))
                return false;
        if (o->out++ == 0)
                o->heard_us = clock_monotonic_us();
        return true;
}

static void flush(struct manager *m) {
        struct waiting *w = &m->outbox.backlog;
        while (count(w) > 0 && hand_over(m, w->items[w->first]))
                (void)take_at(w, w->first);
}

bool outbox_send(struct manager *m, struct ledger_request *request) {
        struct outbox *o = &m->outbox;
        flush(m);
        if (is_numbered(request->op)) {
                request->sequence = ++o->numbered;
                if (count(&o->retries) > 0)
                        return wait_in(o, &o->retries, request);
        }
        if (count(&o->backlog) == 0 && hand_over(m, request))
                return true;
        return wait_in(o, &o->backlog, request);
}

bool outbox_takes_news(const struct manager *m) {
        return count(&m->outbox.backlog) < NEWS_MAX;
}

bool outbox_hangs(const struct manager *m) {
        return m->outbox.hung;
}

/* Where the ledger can be used, it refused the request itself, and would again. */
static bool may_succeed_later(const struct ledger_request *request) {
        return is_worth_a_retry(request->op) && request->load.state == LEDGER_UNAVAILABLE;
}

bool outbox_keeps(const struct manager *m, const struct ledger_request *mark) {
        assert(is_of_target(mark->op)); /* nothing takes its place, or makes room for it */
        return mark->status < 0 && may_succeed_later(mark) && count(&m->outbox.retries) < WAITING_MAX;
}

void outbox_heard(struct manager *m) {
        struct outbox *o = &m->outbox;
        assert(o->out > 0);
        o->out--;
        o->heard_us = clock_monotonic_us();
        o->late_looks = 0;
        o->hung = false;
}

void outbox_answered(struct manager *m, struct ledger_request *request) {
        struct outbox *o = &m->outbox;
        bool again = request->status < 0 && may_succeed_later(request) && !is_replaced(&o->backlog, request) &&
                !is_replaced(&o->retries, request);
        if (request->status == 0 && is_worth_a_retry(request->op))
                drop_older(&o->retries, request);
        if (!again) {
                ledger_request_free(request);
                return;
        }
        request->status = 0;
        (void)wait_in(o, &o->retries, request);
}

/* --- when the ledger is back --- */

/* The first alone shows whether it can be used again. */
static void retry(struct manager *m, uint64_t monotonic_us) {
        struct outbox *o = &m->outbox;
        bool back = m->ledger_state != LEDGER_UNAVAILABLE;
        if (count(&o->retries) == 0 || o->out > 0 || count(&o->backlog) > 0)
                return;
        if (!back && monotonic_us - o->retried_us < RETRY_US)
                return;
        o->retried_us = monotonic_us;
        for (size_t n = back ? count(&o->retries) : 1; n > 0 && hand_over(m, o->retries.items[o->retries.first]); n--)
                (void)take_at(&o->retries, o->retries.first);
}

/* From the book: it has all that are not over. */
static void store_again(struct manager *m) {
        struct outbox *o = &m->outbox;
        const struct finding *f = NULL;
        for (size_t i = 0; i < AGAIN_MAX && (f = finding_book_after(m->book, NULL, o->again_after)); i++) {
                o->again_after = f->id;
                routes_store_finding(m, f);
        }
        o->again = f != NULL;
}

static void tell_lost(struct manager *m) {
        struct outbox *o = &m->outbox;
        uint64_t events = o->events_lost, findings = o->findings_lost;
        o->events_lost = o->findings_lost = 0;
        o->again |= findings > 0;
        o->again_after = findings > 0 ? 0 : o->again_after;
        routes_tell(m, EVENT_LEDGER, LOG_WARNING, NULL, NULL,
                "while the ledger could not be used, more came than could wait: %" PRIu64
                " events are not in it, and %" PRIu64
                " times a finding, or a change of one, found no room. Findings that are not over are stored now",
                events, findings);
}

static void catch_up(struct manager *m) {
        struct outbox *o = &m->outbox;
        if (m->ledger_state == LEDGER_UNAVAILABLE || o->out > 0 || count(&o->backlog) + count(&o->retries) > 0)
                return;
        if (o->events_lost + o->findings_lost > 0)
                tell_lost(m);
        else if (o->again)
                store_again(m);
}

/* --- the clock --- */

static void judge(struct manager *m, uint64_t monotonic_us) {
        struct outbox *o = &m->outbox;
        if (o->out == 0 || o->hung || monotonic_us - o->heard_us < HUNG_US || ++o->late_looks < LATE_LOOKS)
                return;
        o->hung = true;
        char text[sizeof m->ledger_text];
        text_format(text, sizeof text,
                "the disk of the state directory %s does not answer; see dmesg for what is wrong with it",
                m->settings->state_dir);
        if (m->ready)
                routes_note_ledger(m, LEDGER_UNAVAILABLE, text);
        else
                routes_start_without_ledger(m, text);
}

void outbox_look(struct manager *m, uint64_t monotonic_us) {
        const struct outbox *o = &m->outbox;
        judge(m, monotonic_us);
        if (o->hung || (m->ledger_state == LEDGER_UNAVAILABLE && count(&o->retries) > 0))
                routes_begin_without_past(m, m->ledger_text);
        outbox_go_on(m, monotonic_us);
}

void outbox_go_on(struct manager *m, uint64_t monotonic_us) {
        flush(m);
        retry(m, monotonic_us);
        catch_up(m);
}

uint64_t outbox_wait_us(const struct manager *m, uint64_t wait_us) {
        const struct outbox *o = &m->outbox;
        return o->out > 0 || count(&o->retries) > 0 ? MIN(wait_us, USEC_PER_SEC) : wait_us;
}

/* --- its life --- */

void outbox_open(struct manager *m) {
        m->outbox.out = 1; /* LEDGER_LOAD, which comes unasked */
        m->outbox.heard_us = clock_monotonic_us();
}

void outbox_drain(struct manager *m, uint64_t limit_us) {
        struct outbox *o = &m->outbox;
        uint64_t end_us = clock_monotonic_us() + limit_us;
        while (count(&o->retries) > 0 && count(&o->backlog) < WAITING_MAX)
                put_at(&o->backlog, o->backlog.end, take_at(&o->retries, o->retries.first));
        for (flush(m); count(&o->backlog) > 0 && clock_monotonic_us() < end_us; flush(m)) {
                void *item;
                while (queue_try_pop(m->ledger_answers, &item, 1) == 1)
                        ledger_request_free(item);
                usleep(1000);
        }
}

static void free_all(struct waiting *w) {
        while (count(w) > 0)
                ledger_request_free(take_at(w, w->first));
}

void outbox_free(struct manager *m) {
        free_all(&m->outbox.backlog);
        free_all(&m->outbox.retries);
}
