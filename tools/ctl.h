/* SPDX-License-Identifier: Apache-2.0 */
/* ctl: asks the daemon, prints JSON documents, and turns what went wrong into sentences with the next thing to do. */
#pragma once

#include "client.h"

#include "base/cleanup.h"

#include <jansson.h>
#include <stdbool.h>

struct ctl {
        struct client *client;
        const char *socket_path;
        bool json;    /* answers go out as they came; else they are made printable on arrival */
        bool patient; /* that sweepd goes away is nothing to complain of: whoever asks goes on (ctl_reopen()) */
        bool away;    /* the last call failed by that */
};

/* Exit statuses of sweepctl. */
enum { STATUS_FINE, STATUS_FAILED, STATUS_ATTENTION, STATUS_INCOMPLETE };

/* "sweepctl: " and a sentence on stderr. Returns STATUS_FAILED. */
int ctl_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, with priority err where stderr is the journal: nobody else hears of it. */
void ctl_raise(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* False: it did not work, and stderr says why. */
bool ctl_open(struct ctl *ctl, const char *socket_path, bool json);
void ctl_close(struct ctl *ctl);

/* A new connection in place of one that broke. False: there is nobody to connect to yet. */
bool ctl_reopen(struct ctl *ctl);

/*
 * One call, one reply. parameters: a new reference that is taken over. *ret: a new reference to the reply's
 * parameters. False: stderr says why.
 */
bool ctl_ask(struct ctl *ctl, const char *method, json_t *parameters, json_t **ret);

/* The same; an error of that name is no failure, but gives NULL. */
bool ctl_ask_unless(struct ctl *ctl, const char *method, json_t *parameters, const char *error, json_t **ret);

/* One call, many replies: a new array of what each reply has in `field`. A reply without it is no item. */
bool ctl_list(struct ctl *ctl, const char *method, json_t *parameters, const char *field, json_t **ret);

/* The same; an error of the daemon is no failure, but gives NULL. */
bool ctl_list_if(struct ctl *ctl, const char *method, json_t *parameters, const char *field, json_t **ret);

/* The same, and the first ones only, where there are more: the rest is not waited for. */
bool ctl_list_some(
        struct ctl *ctl, const char *method, json_t *parameters, const char *field, size_t items_max, json_t **ret);

/* As ctl_list(), but each reply's parameters go to a function, and are kept by nobody. It returns false after a
 * complaint.
 */
typedef bool ctl_take_fn(void *userdata, const json_t *parameters);
bool ctl_each(struct ctl *ctl, const char *method, json_t *parameters, ctl_take_fn *take, void *userdata);

/* The object in that field of a reply, borrowed, or NULL after a complaint. */
json_t *ctl_object(struct ctl *ctl, json_t *reply, const char *field);

/* {} or {"device": NAME}. A new reference. */
json_t *ctl_for_device(const char *device);

/* Adds a string that the user typed; NULL adds nothing. Ends the program where it is not UTF-8. */
void ctl_set(json_t *parameters, const char *name, const char *text);

/* Takes a new reference over and prints the document with a line break. */
void ctl_print_document(json_t *document);

static inline void ctl_unrefp(json_t **p) {
        json_decref(*p);
        *p = NULL;
}

#define CLEANUP_JSON CLEANUP(ctl_unrefp)
