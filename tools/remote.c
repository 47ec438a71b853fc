/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket is local, and stays so: whoever may log in on the other host is asked for there what he may do.
 * What was typed here is one string there, taken apart by a shell that nobody knows, so each word is quoted. An ssh
 * that fails must not pass for an answer.
 */
#include "remote.h"

#include "base/cleanup.h"
#include "child.h"
#include "ctl.h"
#include "must.h"
#include "shell.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What ssh and a shell exit with on their own account (ssh(1); POSIX.1-2024, XCU 2.8.2). */
enum { STATUS_SSH_FAILED = 255, STATUS_NOT_FOUND = 127 };

/* These are about the person, not about a host. */
static void put_environment(FILE *to) {
        static const char *const names[] = { "NO_COLOR", "SWEEPCTL_PAGER" };
        fputs("env", to);
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                const char *value = getenv(names[i]);
                if (!value)
                        continue;
                fprintf(to, " %s=", names[i]);
                CLEANUP_FREE char *quoted = NULL;
                size_t bytes;
                FILE *word = must(open_memstream(&quoted, &bytes));
                shell_put(word, value);
                must_succeed(fclose(word));
                fputs(quoted + 1, to);
        }
}

/* All that was typed but for the host. */
static char *far_command(const struct options *o, char **argv) {
        char *command;
        size_t bytes;
        FILE *to = must(open_memstream(&command, &bytes));
        put_environment(to);
        fputs(" sweepctl", to);
        for (char **at = argv + 1; *at; at++)
                if (at != o->host_at)
                        shell_put(to, *at);
                else if (!strchr(*at, '='))
                        at++;
        must_succeed(fclose(to));
        return command;
}

/* Whoever presses Ctrl-C ends ssh, or what runs there; ssh's status is then the same as where it could not ask, but it
 * gives no reason. */
static int explain(const char *host, int status) {
        if (!WIFEXITED(status))
                return ctl_complain("ssh to %s was ended by signal %d", host, WTERMSIG(status));
        switch (WEXITSTATUS(status)) {
        case STATUS_FAILED:
                return ctl_complain("that was said on %s: what there is to type is for there, too: ssh %s", host, host);
        case STATUS_FINE:
        case STATUS_ATTENTION:
        case STATUS_INCOMPLETE:
                return WEXITSTATUS(status);
        case STATUS_SSH_FAILED:
                return ctl_complain(
                        "ssh could not ask %s, and says why above, or was interrupted; try: ssh %s sweepctl "
                        "--version",
                        host, host);
        case STATUS_NOT_FOUND:
                return ctl_complain(
                        "there is no sweepctl on %s, or not where ssh looks for it: install sweepd there", host);
        default:
                return ctl_complain("ssh to %s ended with status %d", host, WEXITSTATUS(status));
        }
}

int remote_run(const struct options *o, char **argv) {
        const char *host = o->host;
        if (!*host || host[0] == '-')
                return ctl_complain("\"%s\" is no host: -H HOST, or -H USER@HOST", host);
        if (o->arguments.output)
                return ctl_complain(
                        "with -H, --output would make the file on %s; take it from standard output: sweepctl -H %s "
                        "rescue export ID > FILE",
                        host, host);
        bool terminal = isatty(STDOUT_FILENO);
        if (terminal && o->command->binary)
                return ctl_complain("this is not for a terminal: send standard output to a file");
        CLEANUP_FREE char *command = far_command(o, argv);
        /* Its errors, but not that a connection was closed, which it says of each that had a terminal. */
        char *ssh[] = { (char *)"ssh", (char *)(terminal ? "-tt" : "-T"), (char *)"-oLogLevel=ERROR", (char *)"--",
                (char *)host, command, NULL };
        int status, r = child_run(&status, ssh, STDIN_FILENO);
        if (r < 0)
                return ctl_complain("cannot run ssh: %s; -H needs it (package openssh-client)", strerror(-r));
        return explain(host, status);
}
