/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exit status that monitoring looks at must not look better than things are: the daemon decides what needs
 * attention, and a ledger that is not good always does.
 */
#include "commands.h"

#include "daemon_facts.h"
#include "field.h"
#include "must.h"
#include "overview.h"
#include "show_device.h"

enum { SWEEPS_ASKED = 10 };

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
                overview_show(daemon, devices, arguments->all);
        else if (!show_page(ctl, arguments->device, daemon, json_array_get(devices, 0)))
                return STATUS_FAILED;
        return status;
}
