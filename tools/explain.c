/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An error that only names itself sends people to a search engine. Each one that the interface knows becomes what
 * happened, why, and what to type next; one that it does not know is shown as it came, never swallowed.
 */
#include "explain.h"

#include "base/cleanup.h"
#include "client.h"
#include "ctl.h"
#include "field.h"
#include "must.h"
#include "page.h"
#include "printable.h"
#include "shell.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char **typed;

void explain_remember(char **argv) {
        typed = argv;
}

/* The same command, as root. The caller frees it. */
static char *typed_with_sudo(void) {
        char *text;
        size_t bytes;
        FILE *to = must(open_memstream(&text, &bytes));
        fputs("sudo sweepctl", to);
        for (char **at = typed ? typed + 1 : NULL; at && *at; at++)
                shell_put(to, *at);
        must_succeed(fclose(to));
        return text;
}

static void may_not_connect(const char *socket_path) {
        CLEANUP_FREE char *again = typed_with_sudo();
        ctl_complain("you may not connect to %s: you need to be root or in the group sweepd: %s; or for good: sudo "
                     "usermod -aG sweepd USER, then log in again",
                socket_path, again);
}

void explain_no_connection(const char *socket_path, int r) {
        switch (r) {
        case -ENOENT:
        case -ECONNREFUSED:
                ctl_complain("sweepd is not running (%s: %s): %ssystemctl start sweepd", socket_path, strerror(-r),
                        geteuid() == 0 ? "" : "sudo ");
                break;
        case -EACCES:
        case -EPERM:
                may_not_connect(socket_path);
                break;
        case -ENAMETOOLONG:
                ctl_complain("%s is too long for a socket's path (at most 107 bytes)", socket_path);
                break;
        default:
                ctl_complain("cannot connect to %s: %s", socket_path, strerror(-r));
        }
}

void explain_broken_connection(const char *socket_path, int r) {
        switch (r) {
        case CLIENT_E_CLOSED:
                ctl_complain(
                        "sweepd went away before its answer was complete (%s): systemctl status sweepd", socket_path);
                break;
        case CLIENT_E_GARBAGE:
                ctl_complain("what answers on %s does not speak Varlink, or is no sweepd: check --socket", socket_path);
                break;
        case CLIENT_E_TOO_LONG:
                ctl_complain("what answers on %s sent a reply of over %d MiB; no sweepd does: check --socket",
                        socket_path, CLIENT_MESSAGE_MAX >> 20);
                break;
        case CLIENT_E_TIMEOUT:
                ctl_complain(
                        "sweepd did not answer within %d s (%s): journalctl -u sweepd", CLIENT_TIMEOUT_S, socket_path);
                break;
        default:
                ctl_complain("the connection to %s broke: %s", socket_path, strerror(-r));
        }
}

static void no_such_device(const char *method, const json_t *p) {
        const char *nearest = field_text(p, "nearest");
        const char *device = field_text_or(p, "device", "?");
        if (nearest)
                ctl_complain("no device is named \"%s\" in the configuration; did you mean \"%s\"? All of them: "
                             "sweepctl status",
                        device, nearest);
        else
                ctl_complain(
                        "no device is named \"%s\" in the configuration; all that there are: sweepctl status", device);
}

/* What the numbers of a method are those of, and which command shows them. */
static const struct {
        const char *method, *what, *shown_by;
} numbered[] = {
        { "GetFinding", "finding", "sweepctl errors --all" },
        { "GetSweep", "sweep", "sweepctl history" },
        { "ExportRescue", "rescue", "sweepctl rescue list" },
        { "RetryRescue", "rescue", "sweepctl rescue list" },
        { "ForgetRescue", "rescue", "sweepctl rescue list" },
};

static void no_such_id(const char *method, const json_t *p) {
        if (strcmp(method, "Acknowledge") == 0) { /* sweepd has no word of its own for one that is over */
                ctl_complain(
                        "finding %" PRIu64 " is over, or does not exist: sweepctl errors --all", field_count(p, "id"));
                return;
        }
        for (size_t i = 0; i < ELEMENTS(numbered); i++)
                if (strcmp(method, numbered[i].method) == 0) {
                        ctl_complain("there is no %s %" PRIu64 "; all that there are: %s", numbered[i].what,
                                field_count(p, "id"), numbered[i].shown_by);
                        return;
                }
        ctl_complain("sweepd knows nothing of the number %" PRIu64 "; what has numbers: sweepctl errors --all, "
                     "sweepctl history, sweepctl rescue list",
                field_count(p, "id"));
}

static void refused(const char *method, const json_t *p) {
        const json_t *reason = field_object(p, "reason");
        const char *rule = field_text_or(reason, "rule", "unknown");
        ctl_complain(strncmp(rule, "rescue_", strlen("rescue_")) == 0
                        ? "sweepd did not do that with the undo journal of %s (rule %s)"
                        : "sweepd refuses to sweep %s (rule %s)",
                field_text_or(p, "device", "?"), rule);
        page_fact(stderr, page_width(), "  found", "%s", field_text_or(reason, "found", "-"));
        page_fact(stderr, page_width(), "  what to do", "%s", field_text_or(reason, "remedy", "-"));
}

static void busy(const char *method, const json_t *p) {
        const char *device = field_text_or(p, "device", "?");
        if (field_is(p, "state", "paused") || field_is(p, "state", "held")) {
                ctl_complain("%s is paused: let it go on first (sweepctl resume %s)", device, device);
                return;
        }
        ctl_complain("%s is busy (%s): wait for it (sweepctl wait %s), or end it (sweepctl cancel %s)", device,
                field_text_or(p, "state", "state unknown"), device, device);
}

static void not_running(const char *method, const json_t *p) {
        const char *device = field_text_or(p, "device", "?");
        ctl_complain("no sweep of %s is running, queued or paused; its state: sweepctl status %s", device, device);
}

static void invalid_config(const char *method, const json_t *p) {
        const char *file = field_text_or(p, "file", "configuration"),
                   *text = field_text_or(p, "text", "it is not valid");
        if (field_count(p, "line") > 0)
                ctl_complain("%s:%" PRIu64 ": %s", file, field_count(p, "line"), text);
        else
                ctl_complain("%s: %s", file, text);
        fputs("sweepd goes on with the configuration that it has. Correct the file (sweepd.conf(5)) and run: "
              "sweepctl reload\n",
                stderr);
}

static void ledger_unavailable(const char *method, const json_t *p) {
        ctl_complain("sweepd cannot use its ledger (%s): check the disk that holds its state directory; more in: "
                     "journalctl -u sweepd",
                field_text_or(p, "text", "no reason given"));
}

static void too_many(const char *method, const json_t *p) {
        ctl_complain("sweepd serves no more than %" PRIu64 " of these at a time: end other clients, or try again "
                     "in a moment",
                field_count(p, "limit"));
}

static void permission_denied(const char *method, const json_t *p) {
        CLEANUP_FREE char *again = typed_with_sudo();
        ctl_complain("only root may do this: %s", again);
}

static void invalid_parameter(const char *method, const json_t *p) {
        const char *parameter = field_text_or(p, "parameter", "?");
        if (strcmp(parameter, "patterns") == 0) /* their form was checked here: it is the mode that has none */
                ctl_complain("--patterns is for sweeps in mode pattern; the mode of each device: sweepctl status");
        else
                ctl_complain("sweepd does not accept the parameter \"%s\"; what is possible: sweepctl --help, "
                             "sweepctl(1)",
                        parameter);
}

static void not_there(const char *method, const json_t *p) {
        ctl_complain("this sweepd cannot do that (%s): it may be older than this sweepctl (" SWEEPD_VERSION
                     "): sweepctl status shows its version",
                field_text_or(p, "method", field_text_or(p, "interface", "no such method")));
}

static const struct {
        const char *error;
        void (*explain)(const char *method, const json_t *parameters);
} explanations[] = {
        { "io.sweepd.NoSuchDevice", no_such_device },
        { "io.sweepd.NoSuchId", no_such_id },
        { "io.sweepd.Refused", refused },
        { "io.sweepd.Busy", busy },
        { "io.sweepd.NotRunning", not_running },
        { "io.sweepd.InvalidConfig", invalid_config },
        { "io.sweepd.LedgerUnavailable", ledger_unavailable },
        { "io.sweepd.TooMany", too_many },
        { "org.varlink.service.PermissionDenied", permission_denied },
        { "org.varlink.service.InvalidParameter", invalid_parameter },
        { "org.varlink.service.MethodNotFound", not_there },
        { "org.varlink.service.MethodNotImplemented", not_there },
        { "org.varlink.service.InterfaceNotFound", not_there },
};

void explain_error(const char *method, const char *error, const json_t *parameters) {
        CLEANUP_JSON json_t *safe = printable_json(parameters);
        for (size_t i = 0; i < ELEMENTS(explanations); i++)
                if (strcmp(error, explanations[i].error) == 0) {
                        explanations[i].explain(method, safe);
                        return;
                }
        CLEANUP_FREE char *name = printable_text(error);
        CLEANUP_FREE char *text = json_dumps(safe, JSON_COMPACT | JSON_ENSURE_ASCII);
        ctl_complain("sweepd answered with the error %s %s", name, text ? text : "");
}
