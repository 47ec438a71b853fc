/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweep_thread: the thread around one sweep. It alone touches the device: it opens, claims and examines it, asks the
 * interlock, runs the sweep and closes. Main talks to it by a level (the order), a queue of answers, and reads its
 * gauge.
 */
#pragma once

#include "model/device_config.h"
#include "model/resume.h"
#include "sweep/news.h"
#include "sweep/sweep.h"

struct queue;
struct sweep_thread;
struct verify_pool;

/* The rule of a refusal: what was to be gone on with is of another disk. */
#define SWEEP_NOT_RESUMED "not_resumed"

struct sweep_thread_options {
        uint64_t id;
        const struct device_config *config; /* must stay as long as the thread */
        enum sweep_mode mode;
        struct pattern_list patterns; /* of mode pattern */
        struct sweep_resume *resume;  /* what is to be gone on with, taken over on success; NULL: a new one */
        const char *overwrite;        /* identity given by hand, or NULL; copied */
        const char *state_dir;        /* copied */
        bool recover_only; /* put back what the undo journal holds, and end: NEWS_RECOVERED, or NEWS_REFUSED */
        bool by_hand;      /* with recover_only: also what was pinned */
        bool look_only;    /* only ask whether a sweep would be refused, and end: NEWS_PERMITTED, or NEWS_REFUSED */
        struct verify_pool *pool;
        struct queue *news; /* takes struct news *, heap */
};

/* -ENOMEM, -EAGAIN. The last news is NEWS_ENDED. */
int sweep_thread_start(struct sweep_thread **ret, const struct sweep_thread_options *options);

void sweep_thread_order(struct sweep_thread *t, enum sweep_order order);

/* Bytes a second, of all that the sweep does to its target; 0: no limit. It is obeyed at once. Until then: rate_max. */
void sweep_thread_set_rate(struct sweep_thread *t, uint64_t rate);

/* Ownership of the answer (heap) and of what is in it moves. False: no room, nothing was taken. */
bool sweep_thread_answer(struct sweep_thread *t, struct answer *answer);

const struct sweep_gauge *sweep_thread_gauge(const struct sweep_thread *t);

/* Only after NEWS_ENDED. Accepts NULL; returns NULL. */
struct sweep_thread *sweep_thread_join(struct sweep_thread *t);

/* Accept NULL; return NULL. With what they carry. */
struct news *news_free(struct news *news);
struct answer *answer_free(struct answer *answer);
