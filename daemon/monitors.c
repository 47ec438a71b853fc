/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that follow the events. What could go wrong: one is missed, or told twice, where what the ledger keeps meets
 * what happens now; a client that does not read makes the daemon grow, or wait; and where the ledger has lost some,
 * nobody hears of that. So each client has the number of the last event that it was given, and is given the next one
 * when it has room: from memory, where the newest are, and from the ledger where they are older. Numbers only grow, and
 * those in memory have no gaps: so a gap is one of the ledger's, and is told as an event of its own. What is not
 * durable yet is not told: after a crash its number would be given to another one. But where the ledger can't be used,
 * what happens is told at once, as nobody knows when it will be stored.
 */
#include "manager_private.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <syslog.h>

enum {
        EVENTS_KEPT = 64, /* in memory */
        EVENTS_A_PAGE = 32
};

struct monitor {
        struct call *call;
        uint64_t after; /* the number of the last event that it was given */
        bool asked;     /* a page is on its way */
        bool gone;      /* the client left meanwhile; the page frees it */
        struct monitor *next;
};

struct monitors {
        struct monitor *first;
        struct event kept[EVENTS_KEPT]; /* event n is at n % EVENTS_KEPT */
        uint64_t from, next;            /* from `from` on, up to but without `next` */
        uint64_t stored;                /* the newest that the ledger has */
};

int monitors_open(struct manager *m) {
        m->monitors = calloc(1, sizeof *m->monitors);
        return m->monitors ? 0 : -ENOMEM;
}

void monitors_free(struct manager *m) {
        for (struct monitor *o = m->monitors ? m->monitors->first : NULL, *next; o; o = next) {
                next = o->next;
                free(o);
        }
        free(STEAL(m->monitors));
}

/* The number of the oldest event in memory, or of the next one where there is none: the ledger may have come late, and
 * with it other numbers. */
static uint64_t oldest_kept(const struct manager *m) {
        const struct monitors *all = m->monitors;
        return all->next == m->next_event_id ? all->from : m->next_event_id;
}

static void give(struct monitor *o, const struct event *event) {
        assert(event->id > o->after);
        o->after = event->id;
        call_reply_event(o->call, event);
}

/* Up to `last`, none is to be had. */
static void tell_gap(struct monitor *o, uint64_t last) {
        struct event gap = { .id = last, .kind = EVENT_DAEMON, .priority = LOG_WARNING, .at_us = clock_wall_us() };
        text_format(gap.text, sizeof gap.text,
                "events from %" PRIu64 " to %" PRIu64
                " are not in the ledger: they are older than history, or the ledger was lost. See: sweepctl errors --all",
                o->after + 1, last);
        give(o, &gap);
}

static void end(struct manager *m, struct monitor *o) {
        for (struct monitor **at = &m->monitors->first; *at; at = &(*at)->next) {
                if (*at != o)
                        continue;
                *at = o->next;
                break;
        }
        free(o);
}

static void fail(struct manager *m, struct monitor *o, const char *text) {
        struct call *call = o->call;
        end(m, o);
        call_fail_ledger_unavailable(call, text);
}

static void ask_page(struct manager *m, struct monitor *o) {
        struct ledger_request *request;
        if (outbox_hangs(m)) {
                fail(m, o, m->ledger_text);
                return;
        }
        if (ledger_request_new(&request, LEDGER_LIST_EVENTS) < 0) {
                fail(m, o, "out of memory");
                return;
        }
        request->tag = o;
        request->page_after = o->after;
        request->page_max = EVENTS_A_PAGE;
        o->asked = true;
        if (!outbox_send(m, request))
                fail(m, o, "too much is waiting for the state disk");
}

/* The newest that may be told. */
static uint64_t newest(const struct manager *m) {
        bool usable = m->ledger_state != LEDGER_UNAVAILABLE && !outbox_hangs(m);
        return usable ? m->monitors->stored : m->next_event_id - 1;
}

static void go_on(struct manager *m, struct monitor *o) {
        while (!o->asked && !call_is_full(o->call) && o->after < newest(m)) {
                if (o->after + 1 < oldest_kept(m)) {
                        ask_page(m, o);
                        return;
                }
                give(o, &m->monitors->kept[(o->after + 1) % EVENTS_KEPT]);
        }
}

static void all_go_on(struct manager *m) {
        for (struct monitor *o = m->monitors->first, *next; o; o = next) {
                next = o->next;
                go_on(m, o);
        }
}

void monitors_note(struct manager *m, const struct event *event) {
        struct monitors *all = m->monitors;
        if (event->id != all->next)
                all->from = event->id;
        all->next = event->id + 1;
        if (all->next - all->from > EVENTS_KEPT)
                all->from = all->next - EVENTS_KEPT;
        all->kept[event->id % EVENTS_KEPT] = *event;
        all_go_on(m);
}

void monitors_stored(struct manager *m, uint64_t id) {
        m->monitors->stored = MAX(m->monitors->stored, id);
        all_go_on(m);
}

void monitors_request(struct manager *m, struct call *call, const struct control_request *r) {
        if (!call_takes_more(call)) {
                call_fail_expected_more(call);
                return;
        }
        struct monitor *o = calloc(1, sizeof *o);
        if (!o) {
                call_fail_ledger_unavailable(call, "out of memory");
                return;
        }
        o->call = call;
        o->after = r->has_after ? r->after : m->next_event_id - 1;
        if (o->after >= m->next_event_id) /* of a ledger that is lost */
                o->after = oldest_kept(m) - 1;
        o->next = m->monitors->first;
        m->monitors->first = o;
        go_on(m, o);
}

void monitors_page(struct manager *m, struct ledger_request *page) {
        struct monitor *o = page->tag;
        o->asked = false;
        if (o->gone) {
                end(m, o);
        } else if (page->status < 0) {
                fail(m, o, page->text);
        } else {
                for (size_t i = 0; i < page->page_count; i++) {
                        if (page->events[i].id > o->after + 1)
                                tell_gap(o, page->events[i].id - 1);
                        give(o, &page->events[i]);
                }
                if (page->page_count < EVENTS_A_PAGE && o->after + 1 < oldest_kept(m))
                        tell_gap(o, oldest_kept(m) - 1);
                go_on(m, o);
        }
        ledger_request_free(page);
}

static struct monitor *monitor_of(const struct manager *m, const struct call *call) {
        struct monitor *o = m->monitors->first;
        while (o && (o->gone || o->call != call))
                o = o->next;
        return o;
}

bool monitors_drained(struct manager *m, struct call *call) {
        struct monitor *o = monitor_of(m, call);
        if (o)
                go_on(m, o);
        return o;
}

void monitors_gone(struct manager *m, struct call *call) {
        struct monitor *o = monitor_of(m, call);
        if (o && o->asked)
                o->gone = true;
        else if (o)
                end(m, o);
}
