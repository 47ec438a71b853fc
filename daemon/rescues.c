/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ListRescues, ExportRescue, RetryRescue and ForgetRescue. Each is an errand to the journals, and some are two: first,
 * where is what has this number; then, what was asked for. What could go wrong: the device begins to be swept between
 * the two, or the client is gone when the answer comes. So what is held against a device is looked at before each step,
 * no sweep begins while its journal is being changed, and an errand whose call is gone is taken to its end all the
 * same.
 */
#include "manager_private.h"

#include "errand.h"
#include "sweep/mend.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

struct rescue_task {
        struct call *call; /* NULL: it was answered, or its client is gone */
        enum control_method method;
        uint64_t id;
        char *identity;
        bool finding;                   /* the first of two errands */
        char device[DEVICE_NAME_BYTES]; /* whose journal it is, once that was found */
        struct errand *errand;
        struct errand_item *held; /* taken, and not answered before it is known whether another one follows */
};

static struct rescue_task *task_free(struct rescue_task *t) {
        if (t) {
                errand_item_free(t->held);
                free(t->identity);
                free(t);
        }
        return NULL;
}

DEFINE_FREEP(struct errand_item, errand_item_free, errand_item_freep)

/* Ends what the client hears of it. */
static struct call *take_call(struct rescue_task *t) {
        if (t->errand)
                errand_cancel(t->errand);
        return STEAL(t->call);
}

static void refuse(struct rescue_task *t, const char *device, const struct reason *reason) {
        call_fail_refused(take_call(t), device, reason);
}

static void fail_start(struct rescue_task *t, const char *device, int error) {
        struct reason reason;
        reason_set(&reason, "resources", "Free memory, or end other programs.",
                "no thread for a look into the undo journal: %s", strerror(-error));
        refuse(t, device, &reason);
}

static void fill_place(const struct manager *m, const struct device *d, struct errand_place *ret) {
        text_copy(ret->device, sizeof ret->device, d->config->name);
        mend_journal_path(ret->journal, d->config, m->settings->state_dir);
        text_copy(ret->target, sizeof ret->target, d->config->path);
        ret->at_work = d->thread && !d->recovering;
}

/* device: "": of all of them. id: 0: whatever there is. */
static int start_list(struct manager *m, struct rescue_task *t, const char *device, uint64_t id) {
        CLEANUP_FREE struct errand_place *places = calloc(m->device_count + 1, sizeof *places);
        char directory[PATH_MAX];
        size_t count = 0;
        if (!places)
                return -ENOMEM;
        for (size_t i = 0; i < m->device_count; i++)
                if (!device[0] || strcmp(m->devices[i]->config->name, device) == 0)
                        fill_place(m, m->devices[i], &places[count++]);
        mend_directory(directory, m->settings->state_dir);
        struct errand_options options = {
                .kind = ERRAND_LIST,
                .id = id,
                .directory = directory,
                .only_places = device[0],
                .places = places,
                .place_count = count,
                .wake_fd = m->rescues_fd,
        };
        return errand_start(&t->errand, &options);
}

static bool is_busy(const struct manager *m, const struct device *d) {
        return d && (d->thread || d->held_by_pid > 0 || rescues_hold(m, d));
}

/* False: there is a reason why not, and the call was answered. */
static bool is_at_rest(struct manager *m, struct rescue_task *t, const char *name) {
        const struct device *d = manager_device(m, name);
        if (!is_busy(m, d) && !manager_is_leaving(m, name) && !m->stopping)
                return true;
        call_fail_busy(take_call(t), name, d ? device_state_name(device_state(d, clock_wall_us())) : "sweeping");
        return false;
}

static void start_work(struct manager *m, struct rescue_task *t, const struct errand_item *found) {
        if (!is_at_rest(m, t, found->place.device))
                return;
        struct errand_options options = {
                .kind = t->method == METHOD_EXPORT_RESCUE ? ERRAND_EXPORT : ERRAND_FORGET,
                .id = found->record.id,
                .identity = t->identity,
                .places = &found->place,
                .place_count = 1,
                .wake_fd = m->rescues_fd,
        };
        int r = errand_start(&t->errand, &options);
        if (r < 0)
                fail_start(t, found->record.device, r);
}

/* What was refused because of what the journal holds is looked at again now. */
static void look_again(struct manager *m, const char *device, bool by_hand) {
        struct device *d = manager_device(m, device);
        bool kept = d && (strcmp(d->refusal.rule, "rescue") == 0 || strcmp(d->refusal.rule, "recovery") == 0);
        if (!d || (!kept && !by_hand))
                return;
        d->to_recover = true;
        d->by_hand |= by_hand;
        if (by_hand)
                d->absent = false; /* somebody thinks that it is there: look */
        d->refusal = (struct reason){ 0 };
        d->look_again_us = 0;
        manager_admit(m);
        manager_notify_status(m);
        manager_set_clock(m);
}

static void retry(struct manager *m, struct rescue_task *t, const struct errand_item *found) {
        const char *name = found->record.device;
        struct reason reason;
        if (found->record.is_copy) {
                reason_set(&reason, "rescue_copy", "Take it out (sweepctl rescue export), or let it go (forget).",
                        "this is a copy of what somebody else wrote: there is nothing to put back");
                refuse(t, name, &reason);
        } else if (!found->place.target[0] || !manager_device(m, name)) {
                reason_set(&reason, "rescue_unconfigured",
                        "Add a device of that name to the configuration, with this journal, then: sweepctl reload",
                        "no device that is configured has the journal %s", found->record.journal);
                refuse(t, name, &reason);
        } else if (is_at_rest(m, t, name)) {
                struct call *call = take_call(t);
                look_again(m, name, true);
                call_reply_empty(call);
        }
}

static void reply_item(struct rescue_task *t, bool continues) {
        CLEANUP(errand_item_freep)
        struct errand_item *item = STEAL(t->held);
        struct call *call = continues ? t->call : take_call(t);
        if (item->is_bytes)
                call_reply_rescue_bytes(call, &item->bytes, continues);
        else
                call_reply_rescue(call, &item->record, continues);
}

static void on_item(struct manager *m, struct rescue_task *t, struct errand_item *item) {
        if (!t->call || (t->held && t->finding)) {
                errand_item_free(item);
                return;
        }
        if (t->held && !call_takes_more(t->call)) {
                call_fail_expected_more(take_call(t));
                errand_item_free(item);
                return;
        }
        if (t->held)
                reply_item(t, true);
        t->held = item;
        if (item->is_bytes) /* a sweep that has begun meanwhile may be using the journal for other data */
                (void)is_at_rest(m, t, t->device);
}

static void on_failed(struct rescue_task *t, const struct errand_result *result) {
        if (t->held && !t->finding && call_takes_more(t->call))
                reply_item(t, true);
        if (result->status == ERRAND_E_NO_SUCH_ID)
                call_fail_no_such_id(take_call(t), t->id);
        else
                refuse(t, result->device, &result->reason);
}

static void on_found(struct manager *m, struct rescue_task *t) {
        CLEANUP(errand_item_freep)
        struct errand_item *found = STEAL(t->held);
        assert(found);
        t->finding = false;
        text_copy(t->device, sizeof t->device, found->record.device);
        if (t->method == METHOD_RETRY_RESCUE)
                retry(m, t, found);
        else
                start_work(m, t, found);
}

/* The errand is over; another one may follow. */
static void on_ended(struct manager *m, struct rescue_task *t) {
        struct errand_result result;
        bool forgot = t->method == METHOD_FORGET_RESCUE && !t->finding;
        t->errand = errand_finish(t->errand, &result);
        if (forgot && result.status == ERRAND_OK) {
                look_again(m, t->device, false);
                orphans_look(m);
        }
        if (!t->call)
                return;
        if (result.status != ERRAND_OK)
                on_failed(t, &result);
        else if (t->finding)
                on_found(m, t);
        else if (t->held)
                reply_item(t, false);
        else
                call_reply_end(take_call(t));
}

/* As far as the client takes it. True: the task is over. */
static bool go_on(struct manager *m, struct rescue_task *t) {
        while (t->errand && (!t->call || !call_is_full(t->call))) {
                struct errand_item *item;
                switch (errand_take(t->errand, &item)) {
                case ERRAND_NOTHING:
                        return false;
                case ERRAND_ITEM:
                        on_item(m, t, item);
                        break;
                case ERRAND_ENDED:
                        on_ended(m, t);
                        break;
                }
        }
        return !t->errand;
}

void rescues_request(struct manager *m, struct call *call, const struct control_request *r) {
        size_t free_at = 0;
        if (r->method != METHOD_LIST_RESCUES && r->id == 0) {
                call_fail_no_such_id(call, 0);
                return;
        }
        while (free_at < RESCUE_TASKS_MAX && m->rescues[free_at])
                free_at++;
        if (free_at == RESCUE_TASKS_MAX) {
                call_fail_too_many(call, RESCUE_TASKS_MAX);
                return;
        }
        struct rescue_task *t = calloc(1, sizeof *t);
        char *identity = strdup(r->serial);
        if (!t || !identity) {
                free(t);
                free(identity);
                call_fail_ledger_unavailable(call, "out of memory");
                return;
        }
        t->call = call;
        t->method = r->method;
        t->id = r->id;
        t->identity = identity;
        t->finding = r->method != METHOD_LIST_RESCUES;
        int e = start_list(m, t, r->device, r->id);
        if (e < 0) {
                fail_start(t, r->device, e);
                task_free(t);
                return;
        }
        m->rescues[free_at] = t;
}

void rescues_handle(struct manager *m) {
        for (size_t i = 0; i < RESCUE_TASKS_MAX; i++)
                if (m->rescues[i] && go_on(m, m->rescues[i]))
                        m->rescues[i] = task_free(m->rescues[i]);
}

void rescues_gone(struct manager *m, struct call *call) {
        for (size_t i = 0; i < RESCUE_TASKS_MAX; i++)
                if (m->rescues[i] && m->rescues[i]->call == call) {
                        (void)take_call(m->rescues[i]);
                        eventfd_write(m->rescues_fd, 1); /* what is in its queue has nobody to wait for now */
                }
}

bool rescues_hold(const struct manager *m, const struct device *d) {
        for (size_t i = 0; i < RESCUE_TASKS_MAX; i++) {
                const struct rescue_task *t = m->rescues[i];
                bool changes = t && t->errand && t->method == METHOD_FORGET_RESCUE && !t->finding;
                if (changes && strcmp(t->device, d->config->name) == 0)
                        return true;
        }
        return false;
}

bool rescues_close(struct manager *m, uint64_t timeout_us) {
        bool all = true;
        for (size_t i = 0; i < RESCUE_TASKS_MAX; i++) {
                struct rescue_task *t = m->rescues[i];
                if (t && !errand_end(t->errand, timeout_us))
                        all = false;
                else
                        m->rescues[i] = task_free(t);
        }
        return all;
}
