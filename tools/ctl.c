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
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ITEMS_MAX = 1000000 };

__attribute__((format(printf, 2, 0))) static void complain(const char *prefix, const char *format, va_list arguments) {
        CLEANUP_FREE char *text = must_format(format, arguments);
        CLEANUP_FREE char *safe = printable_text(text);
        fprintf(stderr, "%ssweepctl: %s\n", prefix, safe);
}

int ctl_complain(const char *format, ...) {
        va_list arguments;
        va_start(arguments, format);
        complain("", format, arguments);
        va_end(arguments);
        return STATUS_FAILED;
}

/* Of a service: its manager names device and inode of what it connected stderr to (systemd.exec(5), JOURNAL_STREAM). */
static bool stderr_is_journal(void) {
        const char *named = getenv("JOURNAL_STREAM");
        struct stat st;
        char ours[64];
        if (!named || fstat(STDERR_FILENO, &st) < 0)
                return false;
        text_format(ours, sizeof ours, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
        return strcmp(named, ours) == 0;
}

void ctl_raise(const char *format, ...) {
        va_list arguments;
        va_start(arguments, format);
        complain(stderr_is_journal() ? "<3>" : "", format, arguments); /* sd-daemon(3), SD_ERR */
        va_end(arguments);
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

bool ctl_reopen(struct ctl *ctl) {
        ctl->client = client_free(ctl->client);
        return client_open(&ctl->client, ctl->socket_path) == 0;
}

static bool check_connection(struct ctl *ctl, int r) {
        ctl->away = r == CLIENT_E_CLOSED || r == CLIENT_E_TIMEOUT;
        if (r != CLIENT_OK && !(ctl->patient && ctl->away))
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

typedef bool take_fn(struct ctl *ctl, void *userdata, json_t *parameters);

/* All replies, as they came. *failed: one of them was an error, which is explained unless it may be. False: stderr says
 * why. */
static bool each_reply(struct ctl *ctl, const char *method, json_t *parameters, bool may_fail, bool *failed,
        take_fn *take, void *userdata) {
        CLEANUP_JSON json_t *owned = must(parameters);
        if (!send_call(ctl, method, owned, true))
                return false;
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
                if (!take(ctl, userdata, reply.parameters))
                        return false;
        }
        return true;
}

struct items {
        const char *field, *device; /* device: or NULL */
        json_t *array;
        size_t enough; /* 0: none are */
        bool cut_off;  /* there were enough */
};

/* Adds what a reply has in the field, if anything. */
static bool take_item(struct ctl *ctl, void *userdata, json_t *parameters) {
        struct items *items = userdata;
        json_t *item = json_object_get(parameters, items->field);
        if (items->enough > 0 && json_array_size(items->array) == items->enough) {
                items->cut_off = true;
                return false;
        }
        if (!item || json_is_null(item))
                return true;
        if (!json_is_object(item))
                return check_connection(ctl, CLIENT_E_GARBAGE);
        if (json_array_size(items->array) == ITEMS_MAX) {
                if (items->device)
                        ctl_complain("there are over %d of %s, more than can be shown; how many: sweepctl status",
                                ITEMS_MAX, items->device);
                else
                        ctl_complain("there are over %d: name a DEVICE, sweepctl status shows the names", ITEMS_MAX);
                return false;
        }
        must_succeed(json_array_append_new(items->array, taken(ctl, item)));
        return true;
}

static bool list(
        struct ctl *ctl, const char *method, json_t *parameters, const char *field, bool may_fail, json_t **ret) {
        CLEANUP_JSON json_t *array = must(json_array());
        struct items items = {
                .field = field, .device = json_string_value(json_object_get(parameters, "device")), .array = array
        };
        bool failed = false;
        if (!each_reply(ctl, method, parameters, may_fail, &failed, take_item, &items))
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

/* The connection is given up with the replies that are still to come. */
bool ctl_list_some(
        struct ctl *ctl, const char *method, json_t *parameters, const char *field, size_t items_max, json_t **ret) {
        CLEANUP_JSON json_t *array = must(json_array());
        struct items items = { .field = field, .array = array, .enough = items_max };
        bool failed = false;
        if (!each_reply(ctl, method, parameters, true, &failed, take_item, &items)) {
                if (!items.cut_off)
                        return false;
                if (!ctl_reopen(ctl))
                        return check_connection(ctl, CLIENT_E_CLOSED);
        }
        *ret = failed ? NULL : STEAL(array);
        return true;
}

struct taker {
        ctl_take_fn *take;
        void *userdata;
};

static bool take_all(struct ctl *ctl, void *userdata, json_t *parameters) {
        const struct taker *to = userdata;
        CLEANUP_JSON json_t *safe = taken(ctl, parameters);
        return to->take(to->userdata, safe);
}

bool ctl_each(struct ctl *ctl, const char *method, json_t *parameters, ctl_take_fn *take, void *userdata) {
        struct taker to = { take, userdata };
        bool failed = false;
        return each_reply(ctl, method, parameters, false, &failed, take_all, &to);
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
