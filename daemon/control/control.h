/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control: the control socket. Speaks Varlink to clients, checks what they send, and hands well-formed, permitted
 * requests to the manager, which answers now or later through the call. Runs on main's event loop. Knows nothing of
 * what the requests mean.
 */
#pragma once

#include "model/device_record.h"
#include "model/event.h"
#include "model/finding.h"
#include "model/region_table.h"
#include "model/rescue_record.h"
#include "model/sweep_record.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct control;
struct call;

enum control_method {
        METHOD_GET_DAEMON,
        METHOD_LIST_DEVICES,
        METHOD_LIST_FINDINGS,
        METHOD_GET_FINDING,
        METHOD_LIST_SWEEPS,
        METHOD_GET_SWEEP,
        METHOD_GET_MAP,
        METHOD_MONITOR,
        METHOD_START_SWEEP,
        METHOD_PAUSE_SWEEP,
        METHOD_RESUME_SWEEP,
        METHOD_CANCEL_SWEEP,
        METHOD_RETIRE,
        METHOD_ACKNOWLEDGE,
        METHOD_TEST_ALERT,
        METHOD_RELOAD,
        METHOD_LIST_RESCUES,
        METHOD_EXPORT_RESCUE,
        METHOD_RETRY_RESCUE,
        METHOD_FORGET_RESCUE,
        METHOD_COUNT
};

enum { CONTROL_IDS_MAX = 512, CONTROL_REGIONS_MAX = 65536, CONTROL_REGIONS_A_REPLY = 1024 };

/* The parameters of a request; what the method does not have, or was null, is zero, "" or the COUNT of its enum. */
struct control_request {
        enum control_method method;
        bool more;                      /* the client takes several replies */
        char device[DEVICE_NAME_BYTES]; /* "": all; a name that no device can have was answered already */
        uint64_t id;
        bool all;
        uint64_t after;
        bool has_after;   /* Monitor: not from now on */
        uint64_t limit;   /* 0: no limit */
        uint64_t regions; /* 1 to CONTROL_REGIONS_MAX */
        enum sweep_mode mode;
        bool has_patterns; /* StartSweep's were given, perhaps none */
        struct pattern_list patterns;
        int64_t ids[CONTROL_IDS_MAX]; /* at least one, above zero */
        size_t id_count;
        char comment[FINDING_COMMENT_BYTES];
        char overwrite[4096];
        char serial[4096];
};

/*
 * How the manager hears of requests. on_request: a new call; the request is borrowed for the time of the function.
 * on_drained: a call that was not finished, and whose last reply said `continues`, has room for more replies.
 * on_gone: the peer of an unfinished call went away; the call is dead when the function returns.
 */
struct control_handlers {
        void (*on_request)(void *userdata, struct call *call, const struct control_request *request);
        void (*on_drained)(void *userdata, struct call *call);
        void (*on_gone)(void *userdata, struct call *call);
        void *userdata;
};

struct control_options {
        sd_event *event;
        const char *socket_path;    /* bound by the daemon where listen_fd is -1 */
        int listen_fd;              /* from systemd, or -1; taken over on success */
        const char *interface_text; /* what GetInterfaceDescription answers for io.sweepd: interface_text_sweepd */
        const char *version;        /* this and the other texts but the path are borrowed for as long as it lives */
        const char *url;
        struct control_handlers handlers;
};

enum { CONTROL_OK, CONTROL_E_IN_USE /* somebody answers on that socket */ };

/*
 * Negative errno: of bind, listen, epoll; -EEXIST: the path is a file that is no socket. A stale socket file is
 * replaced, one that answers is not.
 */
int control_new(struct control **ret, const struct control_options *options);

/*
 * Cuts all connections off (unfinished calls get on_gone) and unlinks the socket where we bound it. Not from within a
 * handler. Accepts NULL; returns NULL.
 */
struct control *control_free(struct control *c);

/* The manager's own pointer, carried by an unfinished call. */
void call_set_data(struct call *call, void *data);
void *call_data(const struct call *call);

/*
 * Replies. `continues`: more will follow (allowed only where the client asked for more: see call_takes_more()); the
 * last reply of a call ends it, and the call must not be touched any more. Memory that cannot be had cuts the
 * connection off.
 */
bool call_takes_more(const struct call *call);
/* True while so much is queued that the manager should wait for on_drained before it replies further. */
bool call_is_full(const struct call *call);
/* "It is done", for a method that returns nothing. */
void call_reply_empty(struct call *call);
/* Ends a list without an item: the last reply has no fields. So an empty list ends, or one that turns out to be over.
 */
void call_reply_end(struct call *call);
void call_reply_daemon(struct call *call, const struct daemon_record *daemon);
void call_reply_device(struct call *call, const struct device_record *device, bool continues);
void call_reply_finding(struct call *call, const struct finding *finding, bool continues);
/* GetFinding: the finding with its sample as hexadecimal text. */
void call_reply_finding_with_sample(struct call *call, const struct finding *finding);
void call_reply_sweep(struct call *call, const struct sweep_record *sweep, bool continues);
void call_reply_rescue(struct call *call, const struct rescue_record *rescue, bool continues);
void call_reply_rescue_bytes(struct call *call, const struct rescue_bytes *bytes, bool continues);
void call_reply_sweep_id(struct call *call, uint64_t sweep_id);
/* One of Monitor's, which never end by themselves. */
void call_reply_event(struct call *call, const struct event *event);
void call_reply_regions(struct call *call, const struct region_record *regions, size_t count, bool continues);

/* Errors of io.sweepd and of org.varlink.service. Each ends the call. */
void call_fail_no_such_device(struct call *call, const char *device, const char *nearest);
void call_fail_no_such_id(struct call *call, uint64_t id);
void call_fail_refused(struct call *call, const char *device, const struct reason *reason);
void call_fail_busy(struct call *call, const char *device, const char *state);
void call_fail_not_running(struct call *call, const char *device);
void call_fail_invalid_config(struct call *call, const char *file, int line, const char *text);
void call_fail_ledger_unavailable(struct call *call, const char *text);
void call_fail_too_many(struct call *call, unsigned limit);
void call_fail_expected_more(struct call *call);
void call_fail_invalid_parameter(struct call *call, const char *parameter);
