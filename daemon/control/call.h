/* SPDX-License-Identifier: Apache-2.0 */
/* call: one request on its way to an answer, and the answers of control.h put into Varlink's envelope. */
#pragma once

#include "control/connection.h"
#include "control/control.h"
#include "control/message.h"

/* One a connection, used again for each of its requests: they are answered one after the other. */
struct call {
        struct connection *connection;
        void *data;
        bool open;      /* asked and not answered to the end */
        bool more;      /* takes several replies */
        bool oneway;    /* takes none */
        bool continued; /* the last reply said that more will follow */
};

void call_begin(struct call *call, bool more, bool oneway);

/* Both take the parameters and end the call, but for a reply that continues. */
void call_reply(struct call *call, struct message *parameters, bool continues);
void call_fail(struct call *call, const char *error, struct message *parameters);

/* The errors of org.varlink.service that only the control room itself gives. */
void call_fail_interface_not_found(struct call *call, const char *interface);
void call_fail_method_not_found(struct call *call, const char *method);
void call_fail_permission_denied(struct call *call);

/* io.sweepd.TooMany as text, for a client that gets no connection. To be freed; NULL without memory. */
char *call_too_many_text(unsigned limit);
