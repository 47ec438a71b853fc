/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every request gets exactly one end: a last reply or an error. An answer more would be taken for that of the next
 * request on the same connection; one less, and the client waits for ever. So a call knows whether it is open, and
 * asserts it; where the answer can't be built for want of memory, the connection ends in its place.
 */
#include "control/call.h"

#include "base/cleanup.h"
#include "control/records.h"

#include <assert.h>

void call_begin(struct call *call, bool more, bool oneway) {
        assert(!call->open);
        call->data = NULL;
        call->open = true;
        call->more = more && !oneway;
        call->oneway = oneway;
        call->continued = false;
}

/* {"error": ..., "parameters": {...}, "continues": true}, each where it applies. NULL: no memory. */
static char *envelope(const char *error, struct message *parameters, bool continues) {
        struct message m = message_begin();
        if (error)
                message_set_string(&m, "error", error);
        message_set_object(&m, "parameters", parameters);
        if (continues)
                message_set_bool(&m, "continues", true);
        char *text = NULL;
        (void)message_print(&m, &text);
        message_deinit(&m);
        return text;
}

static void answer(struct call *call, const char *error, struct message *parameters, bool continues) {
        assert(call->open);
        CLEANUP_FREE char *text = envelope(error, parameters, continues);
        if (call->oneway)
                ;
        else if (text)
                connection_send(call->connection, text);
        else
                connection_cut(call->connection);
        call->continued = continues;
        if (continues)
                return;
        call->open = false;
        connection_next(call->connection);
}

void call_reply(struct call *call, struct message *parameters, bool continues) {
        assert(!continues || call->more);
        answer(call, NULL, parameters, continues);
}

void call_fail(struct call *call, const char *error, struct message *parameters) {
        answer(call, error, parameters, false);
}

void call_set_data(struct call *call, void *data) {
        call->data = data;
}

void *call_data(const struct call *call) {
        return call->data;
}

bool call_takes_more(const struct call *call) {
        return call->more;
}

bool call_is_full(const struct call *call) {
        return connection_is_full(call->connection);
}

/* A reply whose parameters are one record. */
static void reply_record(struct call *call, const char *field, struct message record, bool continues) {
        struct message parameters = message_begin();
        message_set_object(&parameters, field, &record);
        call_reply(call, &parameters, continues);
}

void call_reply_empty(struct call *call) {
        struct message parameters = message_begin();
        call_reply(call, &parameters, false);
}

/* The same on the wire: a client tells by the missing field that there is no item. */
void call_reply_end(struct call *call) {
        call_reply_empty(call);
}

void call_reply_daemon(struct call *call, const struct daemon_record *daemon) {
        reply_record(call, "daemon", records_daemon(daemon), false);
}

void call_reply_device(struct call *call, const struct device_record *device, bool continues) {
        reply_record(call, "device", records_device(device), continues);
}

void call_reply_finding(struct call *call, const struct finding *finding, bool continues) {
        reply_record(call, "finding", records_finding(finding), continues);
}

void call_reply_finding_with_sample(struct call *call, const struct finding *finding) {
        const struct sample *sample = &finding->sample;
        size_t length = MIN(sample->length_bytes, FINDING_SAMPLE_BYTES);
        char expected[RECORDS_HEX_BYTES], found[RECORDS_HEX_BYTES];
        records_hex(expected, sample->expected, length);
        records_hex(found, sample->found, length);

        struct message parameters = message_begin(), record = records_finding(finding);
        message_set_object(&parameters, "finding", &record);
        message_set_string(&parameters, "expected", length > 0 ? expected : NULL);
        message_set_string(&parameters, "found", length > 0 ? found : NULL);
        call_reply(call, &parameters, false);
}

void call_reply_sweep(struct call *call, const struct sweep_record *sweep, bool continues) {
        reply_record(call, "sweep", records_sweep(sweep), continues);
}

void call_reply_rescue(struct call *call, const struct rescue_record *rescue, bool continues) {
        reply_record(call, "rescue", records_rescue(rescue), continues);
}

void call_reply_rescue_bytes(struct call *call, const struct rescue_bytes *bytes, bool continues) {
        struct message parameters = message_begin();
        message_set_integer(&parameters, "offset", bytes->offset_bytes);
        message_set_string(&parameters, "data_base64", bytes->base64);
        message_set_string(&parameters, "text", bytes->text[0] ? bytes->text : NULL);
        call_reply(call, &parameters, continues);
}

void call_reply_sweep_id(struct call *call, uint64_t sweep_id) {
        struct message parameters = message_begin();
        message_set_integer(&parameters, "sweep_id", sweep_id);
        call_reply(call, &parameters, false);
}

void call_reply_event(struct call *call, const struct event *event) {
        struct message parameters = records_event(event);
        call_reply(call, &parameters, true);
}

void call_reply_regions(struct call *call, const struct region_record *regions, size_t count, bool continues) {
        struct message parameters = message_begin();
        message_set_array(&parameters, "regions");
        for (size_t i = 0; i < count; i++) {
                struct message child = records_region(&regions[i]);
                message_add_object(&parameters, "regions", &child);
        }
        call_reply(call, &parameters, continues);
}

/* An error with one string. */
static void fail_text(struct call *call, const char *error, const char *field, const char *value) {
        struct message parameters = message_begin();
        message_set_string(&parameters, field, value);
        call_fail(call, error, &parameters);
}

void call_fail_no_such_device(struct call *call, const char *device, const char *nearest) {
        struct message parameters = message_begin();
        message_set_string(&parameters, "device", device);
        message_set_string(&parameters, "nearest", nearest);
        call_fail(call, "io.sweepd.NoSuchDevice", &parameters);
}

void call_fail_no_such_id(struct call *call, uint64_t id) {
        struct message parameters = message_begin();
        message_set_integer(&parameters, "id", id);
        call_fail(call, "io.sweepd.NoSuchId", &parameters);
}

void call_fail_refused(struct call *call, const char *device, const struct reason *reason) {
        struct message parameters = message_begin(), child = records_reason(reason);
        message_set_string(&parameters, "device", device);
        message_set_object(&parameters, "reason", &child);
        call_fail(call, "io.sweepd.Refused", &parameters);
}

void call_fail_busy(struct call *call, const char *device, const char *state) {
        struct message parameters = message_begin();
        message_set_string(&parameters, "device", device);
        message_set_string(&parameters, "state", state);
        call_fail(call, "io.sweepd.Busy", &parameters);
}

void call_fail_not_running(struct call *call, const char *device) {
        fail_text(call, "io.sweepd.NotRunning", "device", device);
}

void call_fail_invalid_config(struct call *call, const char *file, int line, const char *text) {
        struct message parameters = message_begin();
        message_set_string(&parameters, "file", file);
        message_set_integer(&parameters, "line", (uint64_t)MAX(line, 0));
        message_set_string(&parameters, "text", text);
        call_fail(call, "io.sweepd.InvalidConfig", &parameters);
}

void call_fail_ledger_unavailable(struct call *call, const char *text) {
        fail_text(call, "io.sweepd.LedgerUnavailable", "text", text);
}

static struct message limit_parameters(unsigned limit) {
        struct message parameters = message_begin();
        message_set_integer(&parameters, "limit", limit);
        return parameters;
}

void call_fail_too_many(struct call *call, unsigned limit) {
        struct message parameters = limit_parameters(limit);
        call_fail(call, "io.sweepd.TooMany", &parameters);
}

char *call_too_many_text(unsigned limit) {
        struct message parameters = limit_parameters(limit);
        return envelope("io.sweepd.TooMany", &parameters, false);
}

void call_fail_expected_more(struct call *call) {
        struct message parameters = message_begin();
        call_fail(call, "org.varlink.service.ExpectedMore", &parameters);
}

void call_fail_invalid_parameter(struct call *call, const char *parameter) {
        fail_text(call, "org.varlink.service.InvalidParameter", "parameter", parameter);
}

void call_fail_interface_not_found(struct call *call, const char *interface) {
        fail_text(call, "org.varlink.service.InterfaceNotFound", "interface", interface);
}

void call_fail_method_not_found(struct call *call, const char *method) {
        fail_text(call, "org.varlink.service.MethodNotFound", "method", method);
}

void call_fail_permission_denied(struct call *call) {
        struct message parameters = message_begin();
        call_fail(call, "org.varlink.service.PermissionDenied", &parameters);
}
