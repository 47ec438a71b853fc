/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exit status that monitoring looks at must not look better than things are: the daemon decides what needs
 * attention, and a ledger that is not good always does.
 */
#include "commands.h"

#include "base/cleanup.h"
#include "daemon_facts.h"
#include "field.h"
#include "must.h"
#include "overview.h"
#include "remedy.h"
#include "severity.h"
#include "show_device.h"

/* FINDINGS_ASKED: of a disk that has more, the worst of so many is bad enough. */
enum { SWEEPS_ASKED = 10, FINDINGS_ASKED = 1000 };

/* one: a device was named. */
static int attention(const json_t *daemon, const json_t *devices, bool one) {
        if (daemon_needs_attention(daemon, one))
                return STATUS_ATTENTION;
        for (size_t i = 0; i < json_array_size(devices); i++)
                if (field_true(json_array_get(devices, i), "needs_attention"))
                        return STATUS_ATTENTION;
        return STATUS_FINE;
}

/* What the ledger knows of a device is worth showing, but no reason to fail: the rest is still true without it. */
static bool show_page(struct ctl *ctl, const char *name, const json_t *daemon, const json_t *device) {
        CLEANUP_JSON json_t *sweeps = NULL, *findings = NULL;
        json_t *parameters = ctl_for_device(name);
        must_succeed(json_object_set_new(parameters, "limit", json_integer(SWEEPS_ASKED)));
        if (!ctl_list_if(ctl, "ListSweeps", parameters, "sweep", &sweeps) ||
                !ctl_list_if(ctl, "ListFindings", ctl_for_device(name), "finding", &findings))
                return false;
        show_device(daemon, device, sweeps, findings);
        return true;
}

/* Of a device that has findings open, the worst one; what the daemon can't tell is not shown. False: stderr says why.
 */
static bool ask_worst(struct ctl *ctl, const char *name, json_t *worst) {
        CLEANUP_JSON json_t *findings = NULL;
        if (!ctl_list_some(ctl, "ListFindings", ctl_for_device(name), "finding", FINDINGS_ASKED, &findings))
                return false;
        const json_t *finding = remedy_worst(findings);
        if (finding)
                must_succeed(json_object_set_new(worst, name, must(json_deep_copy(finding))));
        return true;
}

/* Only of those that are told in full. */
static bool show_all(struct ctl *ctl, const json_t *daemon, const json_t *devices, bool all) {
        CLEANUP_JSON json_t *sorted = severity_sorted(devices), *worst = must(json_object());
        size_t count = MIN(json_array_size(sorted), overview_told_max(all));
        for (size_t i = 0; i < count; i++) {
                const json_t *device = json_array_get(sorted, i);
                const char *name = field_text(device, "name");
                bool asked = severity_class_of(device) == SEVERITY_ATTENTION &&
                        field_count(device, "findings_open") > 0;
                if (asked && name && !ask_worst(ctl, name, worst))
                        return false;
        }
        overview_show(daemon, devices, worst, all);
        return true;
}

int command_status(struct ctl *ctl, const struct arguments *arguments) {
        CLEANUP_JSON json_t *answer = NULL, *devices = NULL;
        if (!ctl_ask(ctl, "GetDaemon", must(json_object()), &answer))
                return STATUS_FAILED;
        json_t *daemon = ctl_object(ctl, answer, "daemon");
        if (!daemon || !ctl_list(ctl, "ListDevices", ctl_for_device(arguments->device), "device", &devices))
                return STATUS_FAILED;
        int status = attention(daemon, devices, arguments->device);
        if (arguments->device && json_array_size(devices) != 1)
                return ctl_complain("sweepd gave no answer about %s: sweepctl status", arguments->device);
        if (ctl->json)
                ctl_print_document(json_pack("{s:O, s:O}", "daemon", daemon, "devices", devices));
        else if (!arguments->device)
                return show_all(ctl, daemon, devices, arguments->all) ? status : STATUS_FAILED;
        else if (!show_page(ctl, arguments->device, daemon, json_array_get(devices, 0)))
                return STATUS_FAILED;
        return status;
}
