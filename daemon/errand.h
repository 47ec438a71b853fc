/* SPDX-License-Identifier: Apache-2.0 */
/*
 * errand: a look into undo journals for a person, on a thread of its own: main must not wait for the disks that they
 * lie on. What it finds comes item by item through a bounded queue, so that nothing grows where nobody takes it.
 */
#pragma once

#include "model/reason.h"
#include "model/rescue_record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct errand;

/* Where an undo journal may be. */
struct errand_place {
        char device[DEVICE_NAME_BYTES];
        char journal[PATH_MAX]; /* a directory, or a block device */
        char target[PATH_MAX];  /* of the device; "": none is configured that has its journal there */
        bool at_work;           /* the device has a sweep, and no mere recovery: what is armed is that one's */
};

enum errand_kind {
        ERRAND_LIST,    /* what all the places hold; with an id, that one alone */
        ERRAND_ORPHANS, /* what the directory holds beside what is of the places */
        ERRAND_EXPORT,  /* the bytes of one, from the only place */
        ERRAND_FORGET   /* gives one up, at the only place; nobody else may use that journal meanwhile */
};

struct errand_options {
        enum errand_kind kind;
        uint64_t id;
        const char *identity; /* ERRAND_FORGET: as typed */
        const char *
                directory; /* where there may be journals of devices that are not configured, and notes of where else */
        bool only_places;  /* and not what else there is in the directory */
        const struct errand_place *places; /* copied */
        size_t place_count;
        int wake_fd; /* an eventfd, borrowed: signalled when there is something to take */
};

/* ERRAND_LIST and ERRAND_ORPHANS give records, ERRAND_EXPORT bytes. */
struct errand_item {
        bool is_bytes;
        struct rescue_record record;
        struct errand_place place; /* the record's */
        struct rescue_bytes bytes;
};

enum {
        ERRAND_OK,
        ERRAND_E_NO_SUCH_ID, /* nothing has that number (any more) */
        ERRAND_E_REFUSED     /* the reason says why; what could be told has been told */
};

struct errand_result {
        int status;
        char device[DEVICE_NAME_BYTES]; /* of the reason */
        struct reason reason;
};

/* -ENOMEM, -EAGAIN. */
int errand_start(struct errand **ret, const struct errand_options *options);

enum errand_taken { ERRAND_NOTHING, ERRAND_ITEM, ERRAND_ENDED };

/* The next item, to be freed with errand_item_free(). ERRAND_ENDED: the last one was taken; errand_finish() is next. */
enum errand_taken errand_take(struct errand *e, struct errand_item **ret);

/* Nobody wants the rest. It still has to be taken to its end. */
void errand_cancel(struct errand *e);

/* After ERRAND_ENDED. Returns NULL. */
struct errand *errand_finish(struct errand *e, struct errand_result *ret);

/* Cancels it. False: a disk does not let its thread go, which must be left alone. Accepts NULL. */
bool errand_end(struct errand *e, uint64_t timeout_us);

/* Accepts NULL; returns NULL. */
struct errand_item *errand_item_free(struct errand_item *item);
