/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clients ask, answered from memory where it is there, and by pages of the ledger where it isn't. A client must
 * not make main wait or grow: lists are produced only as fast as they are taken.
 */
#include "manager_private.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* A list that is being sent. */
struct listing {
        enum control_method method;
        bool all;
        char device[DEVICE_NAME_BYTES];
        uint64_t after; /* the id of the last item sent */
        size_t index;   /* of devices, or regions */
        size_t regions; /* how many were asked for */
        bool asked;     /* a page is on its way */
        bool gone;      /* the client left meanwhile; the page frees the listing */
        struct call *call;
};

static struct manager *manager_of(void *userdata) {
        return userdata;
}

static const char *nearest_device(struct manager *m, const char *name) {
        CLEANUP_FREE const char **names = calloc(m->device_count + 1, sizeof *names);
        if (!names)
                return NULL; /* a hint, and no more */
        for (size_t i = 0; i < m->device_count; i++)
                names[i] = m->devices[i]->config->name;
        return text_nearest(name, names);
}

static struct device *device_or_fail(struct manager *m, struct call *call, const char *name) {
        struct device *d = manager_device(m, name);
        if (!d)
                call_fail_no_such_device(call, name, nearest_device(m, name));
        return d;
}

static void fill_device(struct manager *m, const struct device *d, struct device_record *ret) {
        struct finding_counts counts = finding_book_counts(m->book, d->config->name);
        device_fill_record(d, ret, &counts, clock_wall_us());
}

/* As somebody sees it who asks for it: also what it waits for, which depends on all others. */
static void show_device(struct manager *m, const struct device *d, struct device_record *ret) {
        fill_device(m, d, ret);
        bool admission = ret->state == DEVICE_QUEUED && strcmp(ret->reason.rule, "admission") == 0;
        if (admission && manager_is_leaving(m, d->config->name))
                reason_set(&ret->reason, "admission", "It starts by itself when that has ended.",
                        "its sweep from before it left the configuration is still ending");
        else if (admission)
                admit_explain(m, d, &ret->reason);
        if (routes_waits_for_ledger(m, d) && (ret->state == DEVICE_SWEEPING || ret->state == DEVICE_YIELDING))
                reason_set(&ret->reason, "ledger_unavailable",
                        "Make room on, or mend, the disk of the state directory: it goes on by itself then.",
                        "before it writes any further it waits for the ledger, which can't be used: %s",
                        m->ledger_text);
}

static void get_daemon(struct manager *m, struct call *call) {
        unsigned workers = verify_pool_workers(m->pool);
        size_t unowned = orphans_count(m);
        CLEANUP_FREE struct worker_record *records = calloc(workers + 1, sizeof *records);
        CLEANUP_FREE const char **journals = calloc(unowned + 1, sizeof *journals);
        if (!records || !journals) {
                call_fail_ledger_unavailable(call, "out of memory");
                return;
        }
        for (unsigned i = 0; i < workers; i++)
                verify_pool_record(m->pool, i, &records[i]);
        for (size_t i = 0; i < unowned; i++)
                journals[i] = orphans_journal(m, i);
        struct daemon_record daemon = {
                .version = SWEEPD_VERSION,
                .pid = getpid(),
                .started_us = m->started_us,
                .self_test_us = m->self_test_us,
                .ledger = ledger_state_name(m->ledger_state),
                .ledger_text = m->ledger_text[0] ? m->ledger_text : NULL,
                .worker_count = workers,
                .workers = records,
                .devices = m->device_count,
                .unowned_count = unowned,
                .unowned = journals,
                .last_event = m->next_event_id - 1,
        };
        for (size_t i = 0; i < m->device_count; i++) {
                struct device_record record;
                fill_device(m, m->devices[i], &record);
                daemon.devices_needing_attention += record.needs_attention;
        }
        call_reply_daemon(call, &daemon);
}

/* The call is about to be answered for the last time. */
static void finish_listing(struct listing *l) {
        call_set_data(l->call, NULL);
        free(l);
}

static void send_devices(struct manager *m, struct listing *l) {
        while (l->index < m->device_count) {
                if (call_is_full(l->call))
                        return;
                struct device_record record;
                show_device(m, m->devices[l->index++], &record);
                bool last = l->index == m->device_count;
                struct call *call = l->call;
                if (last)
                        finish_listing(l);
                call_reply_device(call, &record, !last);
                if (last)
                        return;
        }
        struct call *call = l->call; /* a reload left fewer than there were */
        finish_listing(l);
        call_reply_end(call);
}

static void send_open_findings(struct manager *m, struct listing *l) {
        const struct finding *f = finding_book_after(m->book, l->device, l->after), *next;
        for (; f; f = next) {
                if (call_is_full(l->call))
                        return;
                next = finding_book_after(m->book, l->device, f->id);
                l->after = f->id;
                if (!next)
                        break;
                call_reply_finding(l->call, f, true);
        }
        struct call *call = l->call;
        finish_listing(l);
        if (f)
                call_reply_finding(call, f, false);
        else
                call_reply_end(call);
}

/* The border before the region of this number, where `count` of them share the extent. */
static uint64_t border(struct extent e, size_t number, size_t count) {
        return e.offset_bytes + e.length_bytes / count * number + e.length_bytes % count * number / count;
}

/* To those of the next regions that it touches. */
static void add_finding(struct region_record *regions, size_t count, const struct finding *f) {
        if (!extent_overlaps(extent_hull(regions[0].place, regions[count - 1].place), f->place))
                return;
        for (size_t i = 0; i < count; i++)
                regions[i].findings += extent_overlaps(regions[i].place, f->place);
}

static size_t fill_regions(
        struct manager *m, const struct device *d, const struct listing *l, struct region_record *regions) {
        size_t count = MIN(l->regions - l->index, (size_t)CONTROL_REGIONS_A_REPLY);
        struct extent extent = device_shown_extent(d);
        const struct region_table *known = device_regions(d);
        if (extent.length_bytes == 0)
                return 0;
        for (size_t i = 0; i < count; i++) {
                uint64_t from = border(extent, l->index + i, l->regions);
                uint64_t to = border(extent, l->index + i + 1, l->regions);
                regions[i] = (struct region_record){ .place = { from, to - from } };
                if (known)
                        regions[i].known = region_table_at(known, regions[i].place);
        }
        const struct finding *f = finding_book_after(m->book, l->device, 0);
        for (; f; f = finding_book_after(m->book, l->device, f->id))
                add_finding(regions, count, f);
        return count;
}

static void send_regions(struct manager *m, struct listing *l) {
        CLEANUP_FREE struct region_record *regions = calloc(CONTROL_REGIONS_A_REPLY, sizeof *regions);
        struct call *call = l->call;
        for (bool last = false; !last && !call_is_full(call);) {
                const struct device *d = manager_device(m, l->device); /* a reload may have dropped it */
                size_t count = d && regions ? fill_regions(m, d, l, regions) : 0;
                l->index += count;
                last = count == 0 || l->index == l->regions;
                if (last)
                        finish_listing(l);
                call_reply_regions(call, regions, count, !last);
        }
}

/* NULL: no memory; the call was answered. */
static struct ledger_request *page_request(struct listing *l, enum ledger_op op) {
        struct ledger_request *request;
        struct call *call = l->call;
        if (ledger_request_new(&request, op) < 0) {
                finish_listing(l);
                call_fail_ledger_unavailable(call, "out of memory");
                return NULL;
        }
        request->tag = l;
        text_copy(request->page_device, sizeof request->page_device, l->device);
        return request;
}

static void ask(struct manager *m, struct listing *l, struct ledger_request *request) {
        struct call *call = l->call;
        l->asked = true;
        if (outbox_hangs(m))
                ledger_request_free(request);
        else if (outbox_send(m, request))
                return;
        finish_listing(l);
        call_fail_ledger_unavailable(call, outbox_hangs(m) ? m->ledger_text : "too much is waiting for the state disk");
}

/* The next items, the oldest first. */
static void ask_page(struct manager *m, struct listing *l) {
        bool findings = l->method == METHOD_LIST_FINDINGS;
        struct ledger_request *request = l->asked
                ? NULL
                : page_request(l, findings ? LEDGER_LIST_FINDINGS : LEDGER_LIST_SWEEPS);
        if (!request)
                return;
        request->page_after = l->after;
        request->page_all = true;
        request->page_max = LEDGER_PAGE;
        ask(m, l, request);
}

static void go_on(struct manager *m, struct listing *l) {
        if (l->method == METHOD_LIST_DEVICES)
                send_devices(m, l);
        else if (l->method == METHOD_GET_MAP)
                send_regions(m, l);
        else if (l->method == METHOD_LIST_FINDINGS && !l->all)
                send_open_findings(m, l);
        else
                ask_page(m, l);
}

/* The newest state of a finding or a running sweep is in memory. */
static void reply_stored_finding(struct manager *m, struct call *call, const struct finding *stored, bool continues) {
        const struct finding *now = finding_book_get(m->book, stored->id);
        call_reply_finding(call, now ? now : stored, continues);
}

/* Of one that rests, or is about to go on; NULL: it does neither. */
static const struct sweep_record *rest_of_sweep(const struct manager *m, uint64_t id) {
        for (size_t i = 0; i < m->device_count; i++)
                if (m->devices[i]->resume && m->devices[i]->resume->record.id == id)
                        return &m->devices[i]->resume->record;
        return NULL;
}

static void reply_stored_sweep(struct manager *m, struct call *call, struct sweep_record *stored, bool continues) {
        const struct device *d = manager_device_of_sweep(m, stored->id);
        const struct sweep_record *rests = rest_of_sweep(m, stored->id);
        if (rests) {
                stored->bytes = rests->bytes;
                stored->running_us = rests->running_us;
        } else if (d) {
                struct progress p;
                sweep_gauge_read(sweep_thread_gauge(d->thread), &p);
                stored->bytes = p.bytes;
                stored->generation = p.generation;
                stored->running_us = p.running_us;
        }
        call_reply_sweep(call, stored, continues);
}

static size_t page_count(const struct ledger_request *page) {
        return page->status < 0 ? 0 : page->page_count;
}

static void send_page(struct manager *m, struct listing *l, struct ledger_request *page) {
        size_t n = page_count(page);
        bool last_page = n < LEDGER_PAGE;
        struct call *call = l->call;
        if (n > 0)
                l->after = page->op == LEDGER_LIST_FINDINGS ? page->findings[n - 1].id : page->sweeps[n - 1].id;
        if (last_page)
                finish_listing(l);
        for (size_t i = 0; i < n; i++) {
                bool continues = !(last_page && i + 1 == n);
                if (page->op == LEDGER_LIST_FINDINGS)
                        reply_stored_finding(m, call, &page->findings[i], continues);
                else
                        reply_stored_sweep(m, call, &page->sweeps[i], continues);
        }
        if (n == 0)
                call_reply_end(call);
        else if (!last_page && !call_is_full(call))
                ask_page(m, l);
}

static void list_page(struct manager *m, struct listing *l, struct ledger_request *page) {
        l->asked = false;
        if (l->gone) {
                free(l);
                return;
        }
        struct call *call = l->call;
        if (page->status < 0) {
                finish_listing(l);
                call_fail_ledger_unavailable(call, page->text);
        } else if (page->page_count > 1 && !call_takes_more(call)) {
                finish_listing(l);
                call_fail_expected_more(call);
        } else {
                send_page(m, l, page);
        }
}

static void get_page(struct manager *m, struct call *call, struct ledger_request *page) {
        call_set_data(call, NULL);
        if (page->status < 0)
                call_fail_ledger_unavailable(call, page->text);
        else if (page->page_count == 0)
                call_fail_no_such_id(call, page->page_after);
        else if (page->op == LEDGER_GET_FINDING)
                call_reply_finding_with_sample(call, &page->findings[0]);
        else
                reply_stored_sweep(m, call, &page->sweeps[0], false);
}

void requests_page(struct manager *m, struct ledger_request *page) {
        struct listing *l = page->tag;
        if (page->op == LEDGER_LIST_FINDINGS || page->op == LEDGER_LIST_SWEEPS) {
                list_page(m, l, page);
        } else if (l->gone) {
                free(l);
        } else {
                struct call *call = l->call;
                free(l);
                get_page(m, call, page);
        }
        ledger_request_free(page);
}

static struct listing *listing_new(struct call *call, const struct control_request *r) {
        struct listing *l = calloc(1, sizeof *l);
        if (!l) {
                call_fail_ledger_unavailable(call, "out of memory");
                return NULL;
        }
        l->call = call;
        l->method = r->method;
        l->all = r->all;
        l->after = r->after;
        l->regions = r->regions;
        text_copy(l->device, sizeof l->device, r->device);
        call_set_data(call, l);
        return l;
}

static bool is_known_or_fail(struct manager *m, struct call *call, const char *device) {
        return !device[0] || device_or_fail(m, call, device);
}

static void list_devices(struct manager *m, struct call *call, const struct control_request *r) {
        if (r->device[0]) {
                struct device_record record;
                struct device *d = device_or_fail(m, call, r->device);
                if (!d)
                        return;
                show_device(m, d, &record);
                call_reply_device(call, &record, false);
                return;
        }
        if (m->device_count > 1 && !call_takes_more(call)) {
                call_fail_expected_more(call);
                return;
        }
        struct listing *l = listing_new(call, r);
        if (l)
                send_devices(m, l);
}

static void list_findings(struct manager *m, struct call *call, const struct control_request *r) {
        if (!is_known_or_fail(m, call, r->device))
                return;
        if (!r->all && !call_takes_more(call)) {
                const struct finding *first = finding_book_after(m->book, r->device, r->after);
                if (first && finding_book_after(m->book, r->device, first->id)) {
                        call_fail_expected_more(call);
                        return;
                }
        }
        struct listing *l = listing_new(call, r);
        if (l)
                go_on(m, l);
}

/* With a limit, the newest so many: at most what a page of the ledger has room for. */
static void list_sweeps(struct manager *m, struct call *call, const struct control_request *r) {
        if (!is_known_or_fail(m, call, r->device))
                return;
        if (r->limit > LEDGER_PAGE) {
                call_fail_too_many(call, LEDGER_PAGE);
                return;
        }
        struct listing *l = listing_new(call, r);
        if (!l)
                return;
        if (r->limit == 0) {
                go_on(m, l);
                return;
        }
        struct ledger_request *request = page_request(l, LEDGER_LIST_SWEEPS);
        if (!request)
                return;
        request->page_newest = true;
        request->page_max = r->limit;
        ask(m, l, request);
}

/* One finding or sweep, which only the ledger may still know. */
static void get_from_ledger(struct manager *m, struct call *call, const struct control_request *r, enum ledger_op op) {
        struct listing *l = listing_new(call, r);
        struct ledger_request *request = l ? page_request(l, op) : NULL;
        if (!request)
                return;
        request->page_after = r->id;
        request->page_max = 1;
        ask(m, l, request);
}

static void get_map(struct manager *m, struct call *call, const struct control_request *r) {
        if (!device_or_fail(m, call, r->device))
                return;
        if (r->regions > CONTROL_REGIONS_A_REPLY && !call_takes_more(call)) {
                call_fail_expected_more(call);
                return;
        }
        struct listing *l = listing_new(call, r);
        if (l)
                send_regions(m, l);
}

static void get_finding(struct manager *m, struct call *call, const struct control_request *r) {
        const struct finding *f = finding_book_get(m->book, r->id);
        if (f)
                call_reply_finding_with_sample(call, f);
        else
                get_from_ledger(m, call, r, LEDGER_GET_FINDING);
}

static struct pattern_list patterns_of(const struct device *d, enum sweep_mode mode, const struct control_request *r) {
        static const struct pattern_list none;
        return mode != MODE_PATTERN ? none : r->has_patterns ? r->patterns : d->config->patterns;
}

static void start_sweep(struct manager *m, struct call *call, const struct control_request *r) {
        struct device *d = device_or_fail(m, call, r->device);
        if (!d)
                return;
        enum sweep_mode mode = r->mode != MODE_COUNT ? r->mode : d->resume ? d->resume->record.mode : d->config->mode;
        if (r->has_patterns && r->patterns.count > 0 && mode != MODE_PATTERN) {
                call_fail_invalid_parameter(call, "patterns");
                return;
        }
        struct pattern_list patterns = patterns_of(d, mode, r);
        /* Than the sweep that is to go on has. */
        bool other = d->resume &&
                (d->resume->record.mode != mode ||
                        (r->has_patterns && !pattern_list_is(&d->resume->record.patterns, &patterns)));
        bool at_work = d->thread && !d->recovering && !d->refused;
        if (at_work || d->wish.wanted || d->held_by_pid > 0 || d->held || other || m->stopping) {
                call_fail_busy(call, d->config->name, device_state_name(device_state(d, clock_wall_us())));
                return;
        }
        d->wish = (struct device_wish){ .wanted = true, .mode = mode, .patterns = patterns, .call = call };
        d->wish.sweep_id = d->resume ? d->resume->record.id : m->next_sweep_id++;
        if (r->overwrite[0])
                d->wish.overwrite = strdup(r->overwrite);
        rests_store_intent(m, d);
        d->absent = false; /* somebody thinks that it is there: look */
        manager_admit(m);
        manager_set_clock(m);
        if (!d->thread && d->wish.call) /* queued */
                call_reply_sweep_id(STEAL(d->wish.call), d->wish.sweep_id);
}

/* So that the sweep that is not to begin has a number in the history. */
static void want_what_is_due(struct manager *m, struct device *d) {
        d->wish = (struct device_wish){
                .wanted = true,
                .mode = d->config->mode,
                .patterns = d->config->patterns,
                .sweep_id = m->next_sweep_id++,
        };
}

static void cancel_sweep(struct manager *m, struct call *call, const struct control_request *r) {
        struct device *d = device_or_fail(m, call, r->device);
        if (!d)
                return;
        uint64_t now_us = clock_wall_us();
        /* A recovery is no sweep: it goes on, and who asks for a sweep behind it is not to be told that his was
         * cancelled. */
        bool due = device_is_due(d, now_us), runs = device_is_sweeping(d);
        if (!runs && !d->wish.wanted && !d->resume && !due) {
                call_fail_not_running(call, d->config->name);
                return;
        }
        if (runs) {
                d->order = SWEEP_CANCEL;
                sweep_thread_order(d->thread, SWEEP_CANCEL);
        } else if (d->resume) {
                rests_end(m, d, END_CANCELLED, &(struct reason){ 0 });
        } else {
                struct reason skipped;
                reason_set(&skipped, LEDGER_SKIPPED, "Nothing: the next one begins in its time.",
                        "it was due, and was cancelled before it began");
                if (!d->wish.wanted)
                        want_what_is_due(m, d);
                routes_store_unbegun(m, d, END_CANCELLED, due ? &skipped : NULL);
                if (due)
                        device_skip_period(d, now_us);
        }
        if (!runs)
                device_drop_wish(d);
        d->held = false; /* what was paused is over */
        rests_store_intent(m, d);
        call_reply_empty(call);
}

static void pause_sweep(struct manager *m, struct call *call, const struct control_request *r) {
        struct device *d = device_or_fail(m, call, r->device);
        if (d)
                rests_pause(m, call, d);
}

static void resume_sweep(struct manager *m, struct call *call, const struct control_request *r) {
        struct device *d = device_or_fail(m, call, r->device);
        if (d)
                rests_resume(m, call, d);
}

/* Also those of a device that left the configuration and whose last sweep can't end. */
static void retire(struct manager *m, struct call *call, const struct control_request *r) {
        if (!finding_book_after(m->book, r->device, 0) && !device_or_fail(m, call, r->device))
                return;
        routes_retire(m, r->device);
        members_retire(m, r->device);
        manager_notify_status(m);
        call_reply_empty(call);
}

/* All of them, or none. */
static void acknowledge(struct manager *m, struct call *call, const struct control_request *r) {
        for (size_t i = 0; i < r->id_count; i++)
                if (!finding_book_get(m->book, (uint64_t)r->ids[i])) {
                        call_fail_no_such_id(call, (uint64_t)r->ids[i]);
                        return;
                }
        uint64_t now_us = clock_wall_us();
        for (size_t i = 0; i < r->id_count; i++)
                routes_store_finding(m, finding_book_acknowledge(m->book, (uint64_t)r->ids[i], r->comment, now_us));
        manager_notify_status(m);
        call_reply_empty(call);
}

static void test_alert(struct manager *m, struct call *call) {
        routes_tell(m, EVENT_TEST, LOG_ALERT, NULL, NULL,
                "this is a test of the alerts (sweepctl alert-test): nothing is wrong");
        call_reply_empty(call);
}

static void reload(struct manager *m, struct call *call) {
        if (m->reload_call) {
                call_fail_busy(call, "", "reloading");
                return;
        }
        m->reload_call = call;
        manager_reload(m);
}

void requests_reloaded(struct manager *m, const struct reload_result *result) {
        struct call *call = STEAL(m->reload_call);
        if (!call)
                return;
        if (result->status == SETTINGS_OK)
                call_reply_empty(call);
        else
                call_fail_invalid_config(call, result->error.file, result->error.line, result->error.text);
}

void requests_handle(void *userdata, struct call *call, const struct control_request *r) {
        struct manager *m = manager_of(userdata);
        switch (r->method) {
        case METHOD_GET_DAEMON:
                get_daemon(m, call);
                break;
        case METHOD_LIST_DEVICES:
                list_devices(m, call, r);
                break;
        case METHOD_LIST_FINDINGS:
                list_findings(m, call, r);
                break;
        case METHOD_GET_FINDING:
                get_finding(m, call, r);
                break;
        case METHOD_LIST_SWEEPS:
                list_sweeps(m, call, r);
                break;
        case METHOD_GET_SWEEP:
                get_from_ledger(m, call, r, LEDGER_GET_SWEEP);
                break;
        case METHOD_GET_MAP:
                get_map(m, call, r);
                break;
        case METHOD_MONITOR:
                monitors_request(m, call, r);
                break;
        case METHOD_START_SWEEP:
                start_sweep(m, call, r);
                break;
        case METHOD_CANCEL_SWEEP:
                cancel_sweep(m, call, r);
                break;
        case METHOD_PAUSE_SWEEP:
                pause_sweep(m, call, r);
                break;
        case METHOD_RESUME_SWEEP:
                resume_sweep(m, call, r);
                break;
        case METHOD_RETIRE:
                retire(m, call, r);
                break;
        case METHOD_ACKNOWLEDGE:
                acknowledge(m, call, r);
                break;
        case METHOD_TEST_ALERT:
                test_alert(m, call);
                break;
        case METHOD_RELOAD:
                reload(m, call);
                break;
        case METHOD_LIST_RESCUES:
                if (is_known_or_fail(m, call, r->device))
                        rescues_request(m, call, r);
                break;
        case METHOD_EXPORT_RESCUE:
        case METHOD_RETRY_RESCUE:
        case METHOD_FORGET_RESCUE:
                rescues_request(m, call, r);
                break;
        case METHOD_COUNT:
                break;
        }
}

void requests_drained(void *userdata, struct call *call) {
        struct listing *l = call_data(call);
        if (l)
                go_on(manager_of(userdata), l);
        else if (!monitors_drained(manager_of(userdata), call))
                rescues_handle(manager_of(userdata));
}

void requests_gone(void *userdata, struct call *call) {
        struct manager *m = manager_of(userdata);
        struct listing *l = call_data(call);
        rescues_gone(m, call);
        monitors_gone(m, call);
        if (m->reload_call == call)
                m->reload_call = NULL;
        for (size_t i = 0; i < m->device_count; i++) {
                if (m->devices[i]->wish.call == call)
                        m->devices[i]->wish.call = NULL;
                if (m->devices[i]->intent_call == call)
                        m->devices[i]->intent_call = NULL;
        }
        for (size_t i = 0; i < m->leaving_count; i++)
                if (m->leaving[i]->wish.call == call)
                        m->leaving[i]->wish.call = NULL;
        if (!l)
                return;
        if (l->asked)
                l->gone = true;
        else
                free(l);
}
