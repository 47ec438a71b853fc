/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parameter that is dropped in silence can turn a careful request into a careless one (a mode that is misspelt, a
 * name that is cut off and then fits another device). So a method names all that it takes, and whatever else comes,
 * or does not fit, is refused by its name.
 */
#include "control/methods.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <string.h>

enum parameter {
        PARAMETER_DEVICE,
        PARAMETER_ID,
        PARAMETER_ALL,
        PARAMETER_AFTER,
        PARAMETER_AFTER_EVENT,
        PARAMETER_LIMIT,
        PARAMETER_MODE,
        PARAMETER_PATTERNS,
        PARAMETER_OVERWRITE,
        PARAMETER_REGIONS,
        PARAMETER_SERIAL,
        PARAMETER_IDS,
        PARAMETER_COMMENT,
        PARAMETER_COUNT
};

static const char *const parameter_names[PARAMETER_COUNT] = {
        [PARAMETER_DEVICE] = "device",
        [PARAMETER_ID] = "id",
        [PARAMETER_ALL] = "all",
        [PARAMETER_AFTER] = "after",
        [PARAMETER_AFTER_EVENT] = "after_event",
        [PARAMETER_LIMIT] = "limit",
        [PARAMETER_MODE] = "mode",
        [PARAMETER_PATTERNS] = "patterns",
        [PARAMETER_OVERWRITE] = "overwrite",
        [PARAMETER_REGIONS] = "regions",
        [PARAMETER_SERIAL] = "serial",
        [PARAMETER_IDS] = "ids",
        [PARAMETER_COMMENT] = "comment",
};

enum {
        DEVICE = 1 << PARAMETER_DEVICE,
        ID = 1 << PARAMETER_ID,
        ALL = 1 << PARAMETER_ALL,
        AFTER = 1 << PARAMETER_AFTER,
        AFTER_EVENT = 1 << PARAMETER_AFTER_EVENT,
        LIMIT = 1 << PARAMETER_LIMIT,
        MODE = 1 << PARAMETER_MODE,
        PATTERNS = 1 << PARAMETER_PATTERNS,
        OVERWRITE = 1 << PARAMETER_OVERWRITE,
        REGIONS = 1 << PARAMETER_REGIONS,
        SERIAL = 1 << PARAMETER_SERIAL,
        IDS = 1 << PARAMETER_IDS,
        COMMENT = 1 << PARAMETER_COMMENT,
};

static const struct method methods[] = {
        { "GetDaemon", METHOD_GET_DAEMON },
        { "ListDevices", METHOD_LIST_DEVICES, .optional = DEVICE },
        { "ListFindings", METHOD_LIST_FINDINGS, .optional = DEVICE | ALL | AFTER },
        { "GetFinding", METHOD_GET_FINDING, .required = ID },
        { "ListSweeps", METHOD_LIST_SWEEPS, .optional = DEVICE | LIMIT },
        { "GetSweep", METHOD_GET_SWEEP, .required = ID },
        { "StartSweep", METHOD_START_SWEEP, true, .required = DEVICE, .optional = MODE | PATTERNS | OVERWRITE },
        { "PauseSweep", METHOD_PAUSE_SWEEP, true, .required = DEVICE },
        { "ResumeSweep", METHOD_RESUME_SWEEP, true, .required = DEVICE },
        { "CancelSweep", METHOD_CANCEL_SWEEP, true, .required = DEVICE },
        { "Retire", METHOD_RETIRE, true, .required = DEVICE },
        { "Reload", METHOD_RELOAD, true },
        { "GetMap", METHOD_GET_MAP, .required = DEVICE | REGIONS },
        { "Monitor", METHOD_MONITOR, .optional = AFTER_EVENT },
        { "Acknowledge", METHOD_ACKNOWLEDGE, true, .required = IDS, .optional = COMMENT },
        { "TestAlert", METHOD_TEST_ALERT, true },
        { "ListRescues", METHOD_LIST_RESCUES, .optional = DEVICE },
        { "ExportRescue", METHOD_EXPORT_RESCUE, true, .required = ID },
        { "RetryRescue", METHOD_RETRY_RESCUE, true, .required = ID },
        { "ForgetRescue", METHOD_FORGET_RESCUE, true, .required = ID | SERIAL },
};

const struct method *methods_find(const char *name) {
        for (size_t i = 0; i < ELEMENTS(methods); i++)
                if (strcmp(methods[i].name, name) == 0)
                        return &methods[i];
        return NULL;
}

static enum message_field read_device(struct control_request *request, const struct message *m) {
        const char *device;
        enum message_field field = message_get_string(m, "device", &device);
        if (field == FIELD_PRESENT)
                text_copy(request->device, sizeof request->device, device);
        return field;
}

/* Not below zero: no id, limit or event is. */
static enum message_field read_count(uint64_t *ret, const struct message *m, const char *key) {
        int64_t value;
        enum message_field field = message_get_integer(m, key, &value);
        if (field != FIELD_PRESENT)
                return field;
        if (value < 0)
                return FIELD_MISTYPED;
        *ret = (uint64_t)value;
        return FIELD_PRESENT;
}

static enum message_field read_after_event(struct control_request *request, const struct message *m) {
        enum message_field field = read_count(&request->after, m, "after_event");
        request->has_after = field == FIELD_PRESENT;
        return field;
}

static enum message_field read_mode(struct control_request *request, const struct message *m) {
        const char *name;
        enum message_field field = message_get_string(m, "mode", &name);
        if (field == FIELD_PRESENT && sweep_mode_from_name(&request->mode, name) < 0)
                return FIELD_MISTYPED;
        return field;
}

static enum message_field read_patterns(struct control_request *request, const struct message *m) {
        const char *words[PATTERN_LIST_MAX];
        size_t count;
        enum message_field field = message_get_strings(m, "patterns", words, ELEMENTS(words), &count);
        if (field != FIELD_PRESENT)
                return field;
        for (size_t i = 0; i < count; i++)
                if (pattern_list_add(&request->patterns, words[i]) != PATTERN_LIST_OK)
                        return FIELD_MISTYPED;
        request->has_patterns = true;
        return FIELD_PRESENT;
}

/* What is too long would be cut off, and then be another one. */
static enum message_field read_text(char *ret, size_t ret_bytes, const struct message *m, const char *key) {
        const char *text;
        enum message_field field = message_get_string(m, key, &text);
        if (field == FIELD_PRESENT && !text_copy(ret, ret_bytes, text))
                return FIELD_MISTYPED;
        return field;
}

static enum message_field read_ids(struct control_request *request, const struct message *m) {
        enum message_field field = message_get_integers(m, "ids", request->ids, CONTROL_IDS_MAX, &request->id_count);
        if (field != FIELD_PRESENT)
                return field;
        for (size_t i = 0; i < request->id_count; i++)
                if (request->ids[i] <= 0)
                        return FIELD_MISTYPED;
        return request->id_count > 0 ? FIELD_PRESENT : FIELD_MISTYPED;
}

static enum message_field read_regions(struct control_request *request, const struct message *m) {
        uint64_t regions;
        enum message_field field = read_count(&regions, m, "regions");
        if (field != FIELD_PRESENT)
                return field;
        if (regions == 0 || regions > CONTROL_REGIONS_MAX)
                return FIELD_MISTYPED;
        request->regions = regions;
        return FIELD_PRESENT;
}

static enum message_field read_parameter(
        struct control_request *request, enum parameter parameter, const struct message *m) {
        switch (parameter) {
        case PARAMETER_DEVICE:
                return read_device(request, m);
        case PARAMETER_ID:
                return read_count(&request->id, m, "id");
        case PARAMETER_ALL:
                return message_get_bool(m, "all", &request->all);
        case PARAMETER_AFTER:
                return read_count(&request->after, m, "after");
        case PARAMETER_AFTER_EVENT:
                return read_after_event(request, m);
        case PARAMETER_LIMIT:
                return read_count(&request->limit, m, "limit");
        case PARAMETER_MODE:
                return read_mode(request, m);
        case PARAMETER_PATTERNS:
                return read_patterns(request, m);
        case PARAMETER_OVERWRITE:
                return read_text(request->overwrite, sizeof request->overwrite, m, "overwrite");
        case PARAMETER_SERIAL:
                return read_text(request->serial, sizeof request->serial, m, "serial");
        case PARAMETER_IDS:
                return read_ids(request, m);
        case PARAMETER_COMMENT:
                return read_text(request->comment, sizeof request->comment, m, "comment");
        case PARAMETER_REGIONS:
                return read_regions(request, m);
        case PARAMETER_COUNT:
                break;
        }
        return FIELD_MISTYPED;
}

/* The first key that the method does not take, or NULL. */
static const char *find_unknown(const struct method *method, const struct message *parameters) {
        const char *key;
        for (size_t n = 0; (key = message_key(parameters, n)); n++) {
                bool known = false;
                for (unsigned i = 0; i < PARAMETER_COUNT; i++)
                        if ((method->required | method->optional) & BIT(i))
                                known = known || strcmp(key, parameter_names[i]) == 0;
                if (!known)
                        return key;
        }
        return NULL;
}

/* "" stands for all devices in a request, and what is longer than any name would be cut off there. */
static bool no_device_has(const char *name) {
        return !name[0] || strlen(name) >= DEVICE_NAME_BYTES;
}

int methods_read(struct control_request *ret, const char **ret_wrong, const struct method *method,
        const struct message *parameters) {
        const char *wrong = find_unknown(method, parameters), *device;
        struct control_request request = { .method = method->method, .mode = MODE_COUNT };
        for (unsigned i = 0; i < PARAMETER_COUNT && !wrong; i++) {
                if (!((method->required | method->optional) & BIT(i)))
                        continue;
                enum message_field field = read_parameter(&request, (enum parameter)i, parameters);
                if (field == FIELD_MISTYPED || (field == FIELD_ABSENT && (method->required & BIT(i))))
                        wrong = parameter_names[i];
        }
        if (wrong) {
                *ret_wrong = wrong;
                return METHODS_E_PARAMETER;
        }
        if (message_get_string(parameters, "device", &device) == FIELD_PRESENT && no_device_has(device)) {
                *ret_wrong = device;
                return METHODS_E_DEVICE;
        }
        *ret = request;
        return METHODS_OK;
}
