/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door: whatever passes here reaches the manager as a well-formed request of somebody who may make it. The order
 * matters: first whether the method exists, then whether this peer may call it, and only then its parameters, so that
 * a peer without rights learns nothing from how they are judged. Protocol: varlink.org, "Method Call".
 */
#include "control/varlink.h"

#include "base/cleanup.h"
#include "control/interface_text.h"
#include "control/methods.h"

#include <string.h>

#define SERVICE "org.varlink.service"
#define SWEEPD  "io.sweepd"

struct envelope {
        const char *method;
        struct message parameters; /* borrowed; empty where none were sent */
        bool more, oneway, upgrade;
};

/* The name of the field that is wrong, or NULL. */
static const char *read_envelope(struct envelope *ret, const struct message *m) {
        struct envelope e = { 0 };
        if (message_get_string(m, "method", &e.method) != FIELD_PRESENT)
                return "method";
        if (message_get_object(m, "parameters", &e.parameters) == FIELD_MISTYPED)
                return "parameters";
        if (message_get_bool(m, "more", &e.more) == FIELD_MISTYPED)
                return "more";
        if (message_get_bool(m, "oneway", &e.oneway) == FIELD_MISTYPED)
                return "oneway";
        if (message_get_bool(m, "upgrade", &e.upgrade) == FIELD_MISTYPED)
                return "upgrade";
        *ret = e;
        return NULL;
}

static void reply_info(struct call *call, const struct control_options *options) {
        struct message info = message_begin();
        message_set_string(&info, "vendor", "sweepd");
        message_set_string(&info, "product", "sweepd");
        message_set_string(&info, "version", options->version);
        message_set_string(&info, "url", options->url);
        message_set_array(&info, "interfaces");
        message_add_string(&info, "interfaces", SERVICE);
        message_add_string(&info, "interfaces", SWEEPD);
        call_reply(call, &info, false);
}

static void reply_description(
        struct call *call, const struct control_options *options, const struct message *parameters) {
        const char *interface;
        if (message_get_string(parameters, "interface", &interface) != FIELD_PRESENT) {
                call_fail_invalid_parameter(call, "interface");
                return;
        }
        const char *text = strcmp(interface, SWEEPD) == 0 ? options->interface_text
                : strcmp(interface, SERVICE) == 0         ? interface_text_service
                                                          : NULL;
        if (!text) {
                call_fail_interface_not_found(call, interface);
                return;
        }
        struct message description = message_begin();
        message_set_string(&description, "description", text);
        call_reply(call, &description, false);
}

static void serve_service(
        struct call *call, const struct control_options *options, const char *name, const struct envelope *e) {
        if (strcmp(name, "GetInfo") == 0)
                reply_info(call, options);
        else if (strcmp(name, "GetInterfaceDescription") == 0)
                reply_description(call, options, &e->parameters);
        else
                call_fail_method_not_found(call, e->method);
}

static void serve_sweepd(struct call *call, const struct control_options *options, bool is_root, const char *name,
        const struct envelope *e) {
        const struct method *method = methods_find(name);
        if (!method) {
                call_fail_method_not_found(call, e->method);
                return;
        }
        if (method->for_root && !is_root) {
                call_fail_permission_denied(call);
                return;
        }
        struct control_request request;
        const char *wrong;
        switch (methods_read(&request, &wrong, method, &e->parameters)) {
        case METHODS_OK:
                request.more = call->more;
                options->handlers.on_request(options->handlers.userdata, call, &request);
                break;
        case METHODS_E_DEVICE:
                call_fail_no_such_device(call, wrong, NULL);
                break;
        default:
                call_fail_invalid_parameter(call, wrong);
        }
}

static void serve_envelope(
        struct call *call, const struct control_options *options, bool is_root, const struct envelope *e) {
        const char *dot = strrchr(e->method, '.');
        size_t length = dot ? (size_t)(dot - e->method) : 0;
        call_begin(call, e->more, e->oneway);
        if (e->upgrade)
                call_fail_invalid_parameter(call, "upgrade");
        else if (!dot)
                call_fail_method_not_found(call, e->method);
        else if (length == strlen(SERVICE) && strncmp(e->method, SERVICE, length) == 0)
                serve_service(call, options, dot + 1, e);
        else if (length == strlen(SWEEPD) && strncmp(e->method, SWEEPD, length) == 0)
                serve_sweepd(call, options, is_root, dot + 1, e);
        else {
                CLEANUP_FREE char *interface = strndup(e->method, length);
                call_fail_interface_not_found(call, interface);
        }
}

/* Which field is at fault is all that the protocol can tell; "" is the message as a whole. */
static void refuse(struct call *call, const char *field) {
        call_begin(call, false, false);
        call_fail_invalid_parameter(call, field);
        connection_finish(call->connection);
}

void varlink_serve(
        struct call *call, const struct control_options *options, bool is_root, const char *text, size_t length_bytes) {
        struct message m = { 0 };
        if (length_bytes > CONNECTION_MESSAGE_BYTES_MAX || message_parse(&m, text, length_bytes) != MESSAGE_OK) {
                refuse(call, "");
                return;
        }
        struct envelope e;
        const char *wrong = read_envelope(&e, &m);
        if (wrong)
                refuse(call, wrong);
        else
                serve_envelope(call, options, is_root, &e);
        message_deinit(&m);
}
