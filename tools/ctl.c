/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands ask and print; between the two stand replies that are missing, late, of the wrong shape, or endless. All of
 * that is dealt with here, so that a command that got an answer can rely on its outer shape, and on nothing else.
 */
#include "ctl.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "explain.h"
#include "field.h"
#include "must.h"
#include "printable.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

enum { ITEMS_MAX = 1000000 };

int ctl_complain(const char *format, ...) {
        va_list arguments;
        va_start(arguments, format);
        CLEANUP_FREE char *text = must_format(format, arguments);
        va_end(arguments);
        CLEANUP_FREE char *safe = printable_text(text);
        fprintf(stderr, "sweepctl: %s\n", safe);
        return STATUS_FAILED;
}

bool ctl_open(struct ctl *ctl, const char *socket_path, bool json) {
        *ctl = (struct ctl){ .socket_path = socket_path, .json = json };
        int r = client_open(&ctl->client, socket_path);
        if (r < 0)
                explain_no_connection(socket_path, r);
        return r == 0;
}

void ctl_close(struct ctl *ctl) {
        ctl->client = client_free(ctl->client);
}

static bool check_connection(struct ctl *ctl, int r) {
        if (r != CLIENT_OK)
                explain_broken_connection(ctl->socket_path, r);
        return r == CLIENT_OK;
}

static bool send_call(struct ctl *ctl, const char *method, json_t *parameters, bool more) {
        char full_name[128];
        bool fits = text_format(full_name, sizeof full_name, "io.sweepd.%s", method);
        assert(fits);
        return check_connection(ctl, client_send(ctl->client, full_name, parameters, more));
}

/* What a command gets of a reply's field or parameters: a new reference. */
static json_t *taken(const struct ctl *ctl, json_t *json) {
        return ctl->json ? json_incref(json) : printable_json(json);
}

bool ctl_ask_unless(struct ctl *ctl, const char *method, json_t *parameters, const char *error, json_t **ret) {
        CLEANUP_JSON json_t *owned = must(parameters);
        CLEANUP(reply_deinit)
        struct reply reply = { 0 };
        if (!send_call(ctl, method, owned, false) || !check_connection(ctl, client_receive(ctl->client, &reply)))
                return false;
        if (!reply.error) {
                *ret = taken(ctl, reply.parameters);
                return true;
        }
        if (error && strcmp(reply.error, error) == 0) {
                *ret = NULL;
                return true;
        }
        explain_error(method, reply.error, reply.parameters);
        return false;
}

bool ctl_ask(struct ctl *ctl, const char *method, json_t *parameters, json_t **ret) {
        return ctl_ask_unless(ctl, method, parameters, NULL, ret);
}

/* Adds what a reply has in a field, if anything. False: stderr says why. */
static bool take_item(struct ctl *ctl, const json_t *parameters, const char *field, json_t *array) {
        json_t *item = json_object_get(parameters, field);
        if (!item || json_is_null(item))
                return true;
        if (!json_is_object(item))
                return check_connection(ctl, CLIENT_E_GARBAGE);
        if (json_array_size(array) == ITEMS_MAX) {
                ctl_complain("there are over %d: name a DEVICE", ITEMS_MAX);
                return false;
        }
        must_succeed(json_array_append_new(array, taken(ctl, item)));
        return true;
}

/* All replies. *failed: one of them was an error, which is explained unless it may be. False: stderr says why. */
static bool list_all(
        struct ctl *ctl, const char *method, const char *field, json_t *array, bool may_fail, bool *failed) {
        for (bool continues = true; continues;) {
                CLEANUP(reply_deinit)
                struct reply reply = { 0 };
                if (!check_connection(ctl, client_receive(ctl->client, &reply)))
                        return false;
                if (reply.error) {
                        if (!may_fail)
                                explain_error(method, reply.error, reply.parameters);
                        *failed = true;
                        return may_fail;
                }
                continues = reply.continues;
                if (!take_item(ctl, reply.parameters, field, array))
                        return false;
        }
        return true;
}

static bool list(
        struct ctl *ctl, const char *method, json_t *parameters, const char *field, bool may_fail, json_t **ret) {
        CLEANUP_JSON json_t *owned = must(parameters);
        CLEANUP_JSON json_t *array = must(json_array());
        bool failed = false;
        if (!send_call(ctl, method, owned, true) || !list_all(ctl, method, field, array, may_fail, &failed))
                return false;
        *ret = failed ? NULL : STEAL(array);
        return true;
}

bool ctl_list(struct ctl *ctl, const char *method, json_t *parameters, const char *field, json_t **ret) {
        return list(ctl, method, parameters, field, false, ret);
}

bool ctl_list_if(struct ctl *ctl, const char *method, json_t *parameters, const char *field, json_t **ret) {
        return list(ctl, method, parameters, field, true, ret);
}

bool ctl_each(struct ctl *ctl, const char *method, json_t *parameters, ctl_take_fn *take, void *userdata) {
        CLEANUP_JSON json_t *owned = must(parameters);
        if (!send_call(ctl, method, owned, true))
                return false;
        for (bool continues = true; continues;) {
                CLEANUP(reply_deinit)
                struct reply reply = { 0 };
                if (!check_connection(ctl, client_receive(ctl->client, &reply)))
                        return false;
                if (reply.error) {
                        explain_error(method, reply.error, reply.parameters);
                        return false;
                }
                continues = reply.continues;
                CLEANUP_JSON json_t *safe = taken(ctl, reply.parameters);
                if (!take(userdata, safe))
                        return false;
        }
        return true;
}

json_t *ctl_object(struct ctl *ctl, json_t *reply, const char *field) {
        json_t *object = json_object_get(reply, field);
        if (json_is_object(object))
                return object;
        explain_broken_connection(ctl->socket_path, CLIENT_E_GARBAGE);
        return NULL;
}

json_t *ctl_for_device(const char *device) {
        json_t *parameters = must(json_object());
        ctl_set(parameters, "device", device);
        return parameters;
}

void ctl_set(json_t *parameters, const char *name, const char *text) {
        if (text && json_object_set_new(parameters, name, json_string(text)) < 0) {
                ctl_complain("what was given as %s is not UTF-8", name);
                exit(STATUS_FAILED);
        }
}

void ctl_print_document(json_t *document) {
        CLEANUP_JSON json_t *owned = must(document);
        /* Pure ASCII: what is in the strings can't reach the terminal as an escape sequence. */
        CLEANUP_FREE char *text = must(json_dumps(owned, JSON_INDENT(2) | JSON_ENSURE_ASCII));
        puts(text);
}
