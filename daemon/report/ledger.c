/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread between main and the state disk. It must not lose a request, answer before the commit, or hold anybody up
 * but itself: a slow disk fills its queue, and whoever finds the queue full waits or goes on without. What waits is
 * committed together, since a commit costs a flush of the disk; when that fails, each request is tried alone, so that
 * one that can't be stored takes no other with it.
 */
#include "report/ledger.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/queue.h"
#include "base/text.h"
#include "report/boots.h"
#include "report/ledger_store.h"
#include "report/reporter.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { BATCH_MAX = 64 };

struct ledger {
        struct ledger_store *store;
        char *directory;
        bool booted;
        struct queue *requests;
        struct queue *answers;
        struct ledger_request *first; /* LEDGER_LOAD, made before the thread, which so can't fail to send it */
        uint64_t tried_us;            /* when opening was last tried; monotonic, 0: never */
        int open_error;               /* of that try */
        pthread_t thread;
        atomic_bool ending; /* written by ledger_free(), read by the thread: nobody takes answers any more */
};

static const char *const state_names[] = {
        [LEDGER_GOOD] = "good",
        [LEDGER_UNAVAILABLE] = "unavailable",
        [LEDGER_REPLACED] = "replaced",
};

const char *ledger_state_name(enum ledger_state state) {
        assert(state < ELEMENTS(state_names));
        return state_names[state];
}

int ledger_request_new(struct ledger_request **ret, enum ledger_op op) {
        struct ledger_request *request = calloc(1, sizeof *request);
        if (!request)
                return -ENOMEM;
        request->op = op;
        *ret = request;
        return 0;
}

static void drop_device(struct ledger_device *d) {
        free(d->regions);
        free(d->last_key);
        free(d->intent.wish_overwrite);
        sweep_resume_free(d->resume);
}

static void drop_answer(struct ledger_request *request) {
        free(request->target);
        free(request->regions);
        for (size_t i = 0; i < request->load.device_count; i++)
                drop_device(&request->load.devices[i]);
        free(request->load.devices);
        free(request->load.findings);
        free(request->findings);
        free(request->sweeps);
        free(request->events);
        request->target = NULL;
        request->regions = NULL;
        request->load = (struct ledger_load){ 0 };
        request->findings = NULL;
        request->sweeps = NULL;
        request->events = NULL;
        request->page_count = 0;
}

struct ledger_request *ledger_request_free(struct ledger_request *request) {
        if (!request)
                return NULL;
        drop_answer(request);
        free(request->survey);
        free(request->place.overwrite);
        free(request->intent.wish_overwrite);
        free(request);
        return NULL;
}

/* At most once a second: a directory that is missing is no reason to be busy. */
static int open_store(struct ledger *ledger) {
        if (ledger_store_is_open(ledger->store))
                return 0;
        uint64_t now_us = clock_monotonic_us();
        if (ledger->tried_us != 0 && now_us - ledger->tried_us < USEC_PER_SEC)
                return ledger->open_error;
        ledger->tried_us = now_us;
        ledger->open_error = ledger_store_open(ledger->store, clock_wall_us());
        return ledger->open_error;
}

/* Nothing of them is stored where it fails. */
static int run(struct ledger *ledger, struct ledger_request *const *requests, size_t count) {
        int r = open_store(ledger);
        if (r == 0) {
                r = ledger_store_run(ledger->store, requests, count);
                if (!ledger_store_is_open(ledger->store))
                        ledger->open_error = r; /* until the next try */
        }
        if (r < 0)
                for (size_t i = 0; i < count; i++)
                        drop_answer(requests[i]);
        return r;
}

static void conclude(struct ledger *ledger, struct ledger_request *request, int status) {
        request->status = status;
        text_copy(request->text, sizeof request->text, status < 0 ? ledger_store_text(ledger->store) : "");
        request->load.state = ledger_store_state(ledger->store);
        request->load.newer = ledger_store_is_newer(ledger->store);
        request->load.booted = ledger->booted;
        text_copy(request->load.text, sizeof request->load.text, ledger_store_state_text(ledger->store));
}

static void answer(struct ledger *ledger, struct ledger_request *request) {
        if (!reporter_hand_back(ledger->answers, request, &ledger->ending))
                ledger_request_free(request);
}

static void serve(struct ledger *ledger, struct ledger_request *const *requests, size_t count) {
        bool together = count > 1 && run(ledger, requests, count) == 0;
        for (size_t i = 0; i < count; i++) {
                conclude(ledger, requests[i], together ? 0 : run(ledger, &requests[i], 1));
                answer(ledger, requests[i]);
        }
}

void ledger_load_numbers(struct ledger_load *load, uint64_t wall_us) {
        uint64_t unused = wall_us / USEC_PER_MSEC;
        load->next_sweep_id = unused;
        load->next_finding_id = unused;
        load->next_event_id = unused;
}

/* A ledger that opens but can't be read is put aside by the second try. Without a ledger the daemon goes on. */
static void serve_first(struct ledger *ledger) {
        struct ledger_request *request = STEAL(ledger->first);
        ledger->booted = boots_is_first_start(ledger->directory);
        int r = run(ledger, &request, 1);
        if (r == -EUCLEAN) {
                ledger->tried_us = 0;
                r = run(ledger, &request, 1);
        }
        conclude(ledger, request, r);
        if (r < 0)
                ledger_load_numbers(&request->load, clock_wall_us());
        else
                (void)boots_note(ledger->directory); /* else the next start puts off, once more, what waits */
        answer(ledger, request);
}

static void *ledger_thread(void *userdata) {
        struct ledger *ledger = userdata;
        struct ledger_request *batch[BATCH_MAX];
        size_t count;
        pthread_setname_np(pthread_self(), "ledger");
        serve_first(ledger);
        while ((count = queue_pop(ledger->requests, (void **)batch, ELEMENTS(batch))) > 0)
                serve(ledger, batch, count);
        return NULL;
}

static struct ledger *release(struct ledger *ledger) {
        if (!ledger)
                return NULL;
        ledger_request_free(ledger->first);
        ledger_store_free(ledger->store);
        free(ledger->directory);
        queue_free(ledger->requests);
        free(ledger);
        return NULL;
}

DEFINE_FREEP(struct ledger, release, releasep)

int ledger_new(struct ledger **ret, const char *directory, size_t capacity, struct queue *answers) {
        assert(answers);
        CLEANUP(releasep)
        struct ledger *ledger = calloc(1, sizeof *ledger);
        if (!ledger)
                return -ENOMEM;
        ledger->answers = answers;
        ledger->directory = strdup(directory);
        if (!ledger->directory)
                return -ENOMEM;
        int r = ledger_request_new(&ledger->first, LEDGER_LOAD);
        if (r == 0)
                r = ledger_store_new(&ledger->store, directory);
        if (r == 0)
                r = queue_new(&ledger->requests, capacity, -1);
        if (r == 0)
                r = reporter_start(&ledger->thread, ledger_thread, ledger);
        if (r < 0)
                return r;
        *ret = STEAL(ledger);
        return 0;
}

bool ledger_send(struct ledger *ledger, struct ledger_request *request) {
        assert(request);
        return queue_push_one(ledger->requests, request);
}

int ledger_free(struct ledger *ledger, uint64_t timeout_us) {
        if (!ledger)
                return 0;
        atomic_store(&ledger->ending, true);
        queue_close(ledger->requests);
        int r = reporter_join(ledger->thread, timeout_us);
        if (r < 0)
                return r; /* the thread still uses all of it */
        release(ledger);
        return 0;
}
