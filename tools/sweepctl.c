/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweepctl asks sweepd for status and errors, and tells it what to do. It is run by people and by scripts: people get
 * sentences and tables, scripts get documents and exit statuses, and an answer that could not be written in full
 * (a full disk, a closed pipe) must not count as given.
 */
#include "commands.h"
#include "complete.h"
#include "explain.h"
#include "options.h"
#include "page.h"
#include "pager.h"
#include "remote.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { USAGE_BYTES = 256 };

static const struct command commands[] = {
        { .name = "status",
                .usage = "[DEVICE] [--all]",
                .summary = "how all devices are, or one of them in full",
                .help = "Shows the daemon and all devices, the worst first, and for those that need attention what "
                        "was found and what to do. What does not fit the screen is folded into names, the good ones "
                        "first; --all: a line for each, and all in full. With DEVICE: all that is known of that one. "
                        "Exits with 2 if something needs attention.",
                .operand = OPERAND_DEVICE_OPTIONAL,
                .options = BIT(OPTION_ALL),
                .paged = true,
                .run = command_status },
        { .name = "errors",
                .usage = "[DEVICE] [--all]",
                .summary = "the faults that were found",
                .help = "Shows findings that are not over yet, the newest last. --all: also those that are over. "
                        "Exits with 2 if there are unacknowledged ones; findings that are only slow do not count.",
                .operand = OPERAND_DEVICE_OPTIONAL,
                .options = BIT(OPTION_ALL),
                .paged = true,
                .run = command_errors },
        { .name = "finding",
                .usage = "ID",
                .summary = "one finding in full",
                .help = "Shows all that is known of a finding, with the bytes that were expected and found, where "
                        "known. ID is the number that sweepctl errors shows.",
                .operand = OPERAND_ID,
                .paged = true,
                .run = command_finding },
        { .name = "start",
                .usage = "DEVICE [--mode MODE] [--patterns BYTES] [--overwrite IDENTITY]",
                .summary = "begin a sweep now",
                .help = "Starts a sweep of DEVICE, or queues it. --mode: another mode than the configured one: read, "
                        "refresh, preserve or pattern. --patterns: in mode pattern, the bytes that are written and "
                        "verified all over before the stamps, such as 0xaa,0x55,0xff,0x00; or none. --overwrite: "
                        "where the rule foreign_data refused, the identity of the device (what destroys_data says), "
                        "typed once more: what others wrote there is then lost. Only for root.",
                .operand = OPERAND_DEVICE,
                .options = BIT(OPTION_MODE) | BIT(OPTION_PATTERNS) | BIT(OPTION_OVERWRITE),
                .run = command_start },
        { .name = "pause",
                .usage = "DEVICE",
                .summary = "let the sweep rest, and begin no other",
                .help = "Interrupts the sweep of DEVICE and closes the device; what was overwritten to be put back is"
                        " put back first. No sweep begins until sweepctl resume DEVICE, not after a restart either. "
                        "Only for root.",
                .operand = OPERAND_DEVICE,
                .run = command_pause },
        { .name = "resume",
                .usage = "DEVICE",
                .summary = "go on after a pause",
                .help = "Lets DEVICE be swept again after sweepctl pause: a sweep that was interrupted goes on where "
                        "it was, under its number, when all that a start needs is true. Only for root.",
                .operand = OPERAND_DEVICE,
                .run = command_resume },
        { .name = "cancel",
                .usage = "DEVICE",
                .summary = "end the sweep that is queued, running or paused",
                .help = "Ends the sweep of DEVICE that is queued, running or interrupted. Its verdict will be "
                        "incomplete, or faulty. Only for root.",
                .operand = OPERAND_DEVICE,
                .run = command_cancel },
        { .name = "wait",
                .usage = "DEVICE",
                .summary = "wait for the end of a sweep, and answer by its result",
                .help = "Waits for the sweep of DEVICE that is queued or running; if there is none, answers by the "
                        "last one. It goes on over a restart of sweepd, which may be away for 90 seconds. Exits with 0 if "
                        "it was clean, 2 if it found faults, 3 if it is incomplete or was cancelled.",
                .operand = OPERAND_DEVICE,
                .run = command_wait },
        { .name = "watch",
                .usage = "[DEVICE]",
                .summary = "see how it goes, until Ctrl-C",
                .help = "Shows all devices, or one, once a second: how far each sweep is, how fast, what it waits "
                        "for, and new findings as they come. Devices that need attention come first. Where the output"
                        " is no terminal: a line for each change; with --json a document a line.",
                .operand = OPERAND_DEVICE_OPTIONAL,
                .run = command_watch },
        { .name = "follow",
                .usage = "[--exec PROGRAM [--timeout SECONDS]]",
                .summary = "what happens, as it happens",
                .help = "Prints a line for each event, from now on, over restarts of sweepd, until Ctrl-C; with "
                        "--json a document a line. --exec: runs PROGRAM (its path) for each event of priority notice "
                        "or worse instead, one at a time, with the event in its environment (sweepctl(1)); --timeout:"
                        " how many seconds it may take, up to 3600; 60 unless told. The number of the last event is "
                        "kept in $STATE_DIRECTORY/position, so that nothing is missed or told twice. "
                        "sweepd-alert.service does this with the program /etc/sweepd/alert.",
                .operand = OPERAND_NONE,
                .options = BIT(OPTION_EXEC) | BIT(OPTION_TIMEOUT),
                .run = command_follow },
        { .name = "history",
                .usage = "[DEVICE]",
                .summary = "the sweeps that have been run",
                .help = "Shows sweeps, of all devices or of one, the newest last.",
                .operand = OPERAND_DEVICE_OPTIONAL,
                .paged = true,
                .run = command_history },
        { .name = "map",
                .usage = "DEVICE",
                .summary = "the surface of a device as a picture",
                .help = "Shows the surface of DEVICE, each cell a region: where faults lie, what was slow, and when "
                        "it was last verified (mode read: read). The legend stands below. Colour on a terminal, "
                        "unless NO_COLOR is set.",
                .operand = OPERAND_DEVICE,
                .paged = true,
                .run = command_map },
        { .name = "report",
                .usage = "DEVICE",
                .summary = "the last sweep of a device, to be put into a ticket",
                .help = "Shows, on 80 columns, which disk DEVICE is, what its newest sweep wrote, read and verified, "
                        "how long that took, how requests were answered, the longest read of each sixteenth of the "
                        "surface, and every finding that is open or was made by that sweep.",
                .operand = OPERAND_DEVICE,
                .paged = true,
                .run = command_report },
        { .name = "retire",
                .usage = "DEVICE",
                .summary = "end all findings of a disk that was replaced",
                .help = "Ends all findings of DEVICE that are not over: for a disk that was replaced or taken out. "
                        "What is still wrong becomes a new finding in the next sweep. DEVICE need not be configured "
                        "any more. Only for root.",
                .operand = OPERAND_DEVICE,
                .run = command_retire },
        { .name = "ack",
                .usage = "ID... [--comment TEXT]",
                .summary = "somebody knows of these findings",
                .help = "Acknowledges findings: they need no attention any more and are not told again, unless they "
                        "grow. They are over only when a sweep has found them gone. ID is the number that sweepctl "
                        "errors shows. --comment: what is being done about it, for whoever looks next, in at most 255 bytes. Only "
                        "for root.",
                .operand = OPERAND_IDS,
                .options = BIT(OPTION_COMMENT),
                .run = command_ack },
        { .name = "alert-test",
                .usage = "",
                .summary = "see whether alerts arrive",
                .help = "Has sweepd tell an alert that is none, the way it tells all: look whether it arrives where "
                        "you read alerts, say in: journalctl -t sweepd -p alert. Only for root.",
                .operand = OPERAND_NONE,
                .run = command_alert_test },
        { .name = "rescue list",
                .usage = "[DEVICE]",
                .summary = "what undo journals still hold",
                .help = "Shows what the undo journals of sweeps that keep the data still hold, of all devices or of "
                        "one: originals that could not be put back, and copies of what somebody else wrote meanwhile.",
                .operand = OPERAND_DEVICE_OPTIONAL,
                .paged = true,
                .run = command_rescue_list },
        { .name = "rescue export",
                .usage = "ID [--output FILE]",
                .summary = "take it out of the journal",
                .help = "Copies out what is not in its place on the device as it was saved. --output: into a new "
                        "file, each piece at its offset on the device, with holes between them. Without it: one after"
                        " the other, to standard output, if that is no terminal. Standard error says which pieces "
                        "there are. Only for root.",
                .operand = OPERAND_RESCUE,
                .options = BIT(OPTION_OUTPUT),
                .binary = true,
                .run = command_rescue_export },
        { .name = "rescue retry",
                .usage = "ID",
                .summary = "try again to put it back",
                .help = "Has sweepd try once more to put originals back, with all others of the same device. Where "
                        "somebody else wrote meanwhile, nothing is touched. Only for root.",
                .operand = OPERAND_RESCUE,
                .run = command_rescue_retry },
        { .name = "rescue forget",
                .usage = "ID [--serial SERIAL]",
                .summary = "give it up",
                .help = "Gives up what the journal holds; it can't be had back. --serial: of the disk whose data it "
                        "is (or its WWN, PARTUUID, or backing file); on a terminal it is asked for. Only for root.",
                .operand = OPERAND_RESCUE,
                .options = BIT(OPTION_SERIAL),
                .run = command_rescue_forget },
        { .name = "reload",
                .usage = "",
                .summary = "read the configuration again",
                .help = "Has sweepd read its configuration again. Where it is not valid, sweepd keeps what it has, "
                        "and sweepctl says which line is wrong. Only for root.",
                .operand = OPERAND_NONE,
                .run = command_reload },
        { 0 },
};

static const char options_text[] = "Options:\n"
                                   "  --json         one JSON document instead of text (io.sweepd.varlink)\n"
                                   "  --no-pager     long answers are not shown by $SWEEPCTL_PAGER, $PAGER or less\n"
                                   "  --socket PATH  where sweepd listens (default " OPTIONS_SOCKET_DEFAULT ")\n"
                                   "  -H HOST        ask sweepctl on that host, through ssh; for changes root@HOST\n"
                                   "  --version      the version of sweepctl\n"
                                   "  --help         this text; behind a command: more about that command\n";

static void show_help(const struct command *command, FILE *to) {
        char usage[USAGE_BYTES];
        if (command) {
                text_format(usage, sizeof usage, "Usage: sweepctl %s%s%s [OPTION]...", command->name,
                        *command->usage ? " " : "", command->usage);
                page_text(to, page_width(), 0, strlen("Usage: "), usage);
                fputc('\n', to);
                page_text(to, page_width(), 0, 0, command->help);
                fprintf(to, "\n%s", options_text);
                return;
        }
        fputs("Usage: sweepctl COMMAND [OPTION]...\n\nAsks sweepd, which sweeps storage for faults.\n\nCommands:\n",
                to);
        static const char *const operands[] = { [OPERAND_NONE] = "",
                [OPERAND_DEVICE_OPTIONAL] = "[DEVICE]",
                [OPERAND_DEVICE] = "DEVICE",
                [OPERAND_ID] = "ID",
                [OPERAND_IDS] = "ID...",
                [OPERAND_RESCUE] = "ID" };
        for (const struct command *c = commands; c->name; c++)
                fprintf(to, "  %-13s %-9s %s\n", c->name, operands[c->operand], c->summary);
        fprintf(to,
                "\n%s\nExit status: 0 fine, 1 it did not work, 2 something needs attention,\n"
                "3 the sweep is incomplete. More: sweepctl(1)\n",
                options_text);
}

static int run(const struct options *o) {
        struct ctl ctl;
        if (!ctl_open(&ctl, o->socket_path, o->json))
                return STATUS_FAILED;
        int status = o->command->run(&ctl, &o->arguments);
        ctl_close(&ctl);
        return status;
}

/* What stdout did not take was not said. */
static int finish(struct pager *pager, int status) {
        if (fflush(stdout) == 0 && !ferror(stdout))
                return pager_end(pager) ? status : STATUS_FAILED;
        return ctl_complain("cannot write the answer: %s", strerror(errno));
}

int main(int argc, char **argv) {
        CLEANUP(options_deinit)
        struct options o = { 0 };
        struct pager pager;
        if (argc > 1 && strcmp(argv[1], "--complete") == 0) {
                complete(commands, argv + 2);
                return STATUS_FINE;
        }
        explain_remember(argv);
        if (!options_parse(&o, commands, argc, argv))
                return STATUS_FAILED;
        if (!o.command && !o.help && !o.version) {
                show_help(NULL, stderr);
                return ctl_complain("what to do? A command is missing");
        }
        if (o.host && !o.help && !o.version)
                return remote_run(&o, argv);
        bool long_one = o.help || (!o.version && o.command->paged);
        if (!pager_begin(&pager, long_one && !o.no_pager))
                return STATUS_FAILED;
        int status = STATUS_FINE;
        if (o.version)
                puts("sweepctl " SWEEPD_VERSION);
        else if (o.help)
                show_help(o.command, stdout);
        else
                status = run(&o);
        return finish(&pager, status);
}
