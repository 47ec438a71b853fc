/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Follows the events for as long as it is let, over restarts of the daemon. What could go wrong: an alert that reaches
 * nobody, because the daemon or this program was down when it came, or the program that is run for it failed; and one
 * that arrives twice. So the number of the last event that was dealt with is kept on disk, after its program has ended;
 * the daemon goes on from there. Between that end and the disk nobody may end us but by force: signals wait. A program
 * that fails is run once more, unless the one before failed, too: a mail server that is gone must not hold up all.
 */
#include "commands.h"
#include "explain.h"
#include "field.h"
#include "must.h"
#include "printable.h"
#include "program.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

enum {
        AGAIN_S = 5,           /* before a program is run once more */
        RECONNECT_S = 1,       /* between two tries to reach the daemon */
        LEDGER_S = 10,         /* the same while its ledger can't be read */
        FOLLOW_TIMEOUT_S = 60, /* of a program, where nothing else is said */
        PATH_BYTES = 4096
};

struct follow {
        struct ctl *ctl;
        const char *program; /* NULL: events are printed */
        unsigned limit_s;
        const char *directory;     /* of that file */
        char position[PATH_BYTES]; /* the file that keeps the number; "": none does */
        uint64_t after;            /* the last event that was dealt with */
        bool has_after;
        bool failed; /* the program that was run last */
        bool away;   /* the daemon is, and that was said */
};

/* --- the number on disk --- */

static bool write_whole(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0)
                return false;
        bool written = write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fsync(fd) == 0;
        return (close(fd) == 0) & written;
}

/* A new name in it is durable. */
static bool flush_directory(const char *path) {
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return false;
        bool flushed = fsync(fd) == 0;
        close_fd(fd);
        return flushed;
}

/* The number is in the old file or in the new one, whatever happens. */
static bool keep_position(const struct follow *f) {
        char fresh[PATH_BYTES + 8], text[32];
        if (!f->position[0])
                return true;
        text_format(fresh, sizeof fresh, "%s.new", f->position);
        text_format(text, sizeof text, "%" PRIu64 "\n", f->after);
        if (write_whole(fresh, text) && rename(fresh, f->position) == 0 && flush_directory(f->directory))
                return true;
        ctl_complain(
                "%s: %s. Without it events would be told again after the next start", f->position, strerror(errno));
        return false;
}

/* A first start. The place is kept before anything has happened: what happens while this is restarted is not missed. */
static bool begin_now(struct follow *f) {
        CLEANUP_JSON json_t *reply = NULL;
        if (!ctl_ask(f->ctl, "GetDaemon", must(json_object()), &reply))
                return false;
        const json_t *daemon = ctl_object(f->ctl, reply, "daemon");
        if (!daemon)
                return false;
        f->after = field_count(daemon, "last_event");
        f->has_after = true;
        return keep_position(f);
}

static bool read_position(struct follow *f) {
        char text[32] = "";
        FILE *file = fopen(f->position, "re");
        if (!file && errno == ENOENT)
                return begin_now(f);
        if (!file || (!fgets(text, sizeof text, file) && ferror(file))) {
                ctl_complain("%s: %s", f->position, strerror(errno));
                if (file)
                        fclose(file);
                return false;
        }
        fclose(file);
        char *end;
        errno = 0;
        unsigned long long number = strtoull(text, &end, 10);
        if (*text < '0' || *text > '9' || *end != '\n' || errno) {
                ctl_complain(
                        "%s is no number of an event. Remove it to begin with what happens from now on", f->position);
                return false;
        }
        f->after = number;
        f->has_after = true;
        return true;
}

static bool find_position(struct follow *f) {
        const char *directory = getenv("STATE_DIRECTORY");
        if (!directory || !*directory)
                return true;
        if (!text_format(f->position, sizeof f->position, "%s/position", directory)) {
                ctl_complain("STATE_DIRECTORY is too long");
                return false;
        }
        f->directory = directory;
        return read_position(f);
}

/* Of a service with Type=notify (sd_notify(3)): it counts as started once nothing is missed any more. */
static void tell_ready(void) {
        static const char ready[] = "READY=1";
        struct sockaddr_un to = { .sun_family = AF_UNIX };
        const char *path = getenv("NOTIFY_SOCKET");
        size_t length = path ? strlen(path) : 0;
        if (length == 0 || length >= sizeof to.sun_path)
                return;
        memcpy(to.sun_path, path, length);
        if (to.sun_path[0] == '@') /* an abstract one */
                to.sun_path[0] = '\0';
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        socklen_t to_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
        if (fd < 0 || sendto(fd, ready, strlen(ready), MSG_NOSIGNAL, (struct sockaddr *)&to, to_bytes) < 0)
                ctl_complain("the service manager can't be told that this runs: %s", strerror(errno));
        if (fd >= 0)
                close(fd);
        unsetenv("NOTIFY_SOCKET"); /* it is not for the programs */
}

/* --- one event --- */

/* An environment; those of ours are freed. */
struct variables {
        char **list;
        size_t count, ours;
};

static void append(struct variables *v, char *variable) {
        v->list = must(reallocarray(v->list, v->count + 2, sizeof *v->list));
        v->list[v->count++] = variable;
        v->list[v->count] = NULL;
}

static void set(struct variables *v, const char *name, const char *value) {
        char *variable;
        if (!value)
                return;
        must_succeed(asprintf(&variable, "%s=%s", name, value) < 0 ? -1 : 0);
        append(v, variable);
        v->ours++;
}

static void set_number(struct variables *v, const char *name, const json_t *record, const char *field) {
        char text[32];
        uint64_t number;
        if (!field_number(record, field, &number))
                return;
        text_format(text, sizeof text, "%" PRIu64, number);
        set(v, name, text);
}

static void set_all(struct variables *v, const json_t *event) {
        const json_t *finding = field_object(event, "finding"), *sweep = field_object(event, "sweep");
        char when[TIME_TEXT_BYTES], verdict[VERDICT_TEXT_BYTES];
        for (char **at = environ; *at; at++)
                if (strncmp(*at, "SWEEPD_", strlen("SWEEPD_")) != 0)
                        append(v, *at);
        field_time(when, event, "at", "");
        set_number(v, "SWEEPD_EVENT", event, "event");
        set(v, "SWEEPD_KIND", field_text(event, "kind"));
        set_number(v, "SWEEPD_PRIORITY", event, "priority");
        set(v, "SWEEPD_AT", when);
        set(v, "SWEEPD_TEXT", field_text(event, "text"));
        set(v, "SWEEPD_DEVICE", field_text(event, "device"));
        set(v, "SWEEPD_SERIAL", field_text(event, "serial"));
        set(v, "SWEEPD_SLOT", field_text(event, "slot"));
        set_number(v, "SWEEPD_COUNT", event, "count");
        if (finding) {
                set_number(v, "SWEEPD_FINDING_ID", finding, "id");
                set_number(v, "SWEEPD_SWEEP_ID", finding, "sweep_id");
                set_number(v, "SWEEPD_OFFSET", finding, "offset");
                set_number(v, "SWEEPD_LENGTH", finding, "length");
                set(v, "SWEEPD_FAULT", field_text(finding, "fault"));
                set(v, "SWEEPD_PERSISTENCE", field_text(finding, "persistence"));
        }
        if (sweep) {
                field_verdict(verdict, sweep);
                set_number(v, "SWEEPD_SWEEP_ID", sweep, "id");
                set(v, "SWEEPD_VERDICT", verdict);
        }
}

static void run_program(struct follow *f, const json_t *event) {
        struct variables v = { 0 };
        set_all(&v, event);
        bool done = program_run(f->program, v.list, f->limit_s);
        if (!done && !f->failed) {
                sleep(AGAIN_S);
                done = program_run(f->program, v.list, f->limit_s);
        }
        if (!done)
                ctl_raise("event %" PRIu64 " was not delivered: %s", f->after,
                        field_text_or(event, "text", "(it has no text)"));
        f->failed = !done;
        for (size_t i = v.count - v.ours; i < v.count; i++)
                free(v.list[i]);
        free(v.list);
}

static void print_event(const json_t *event) {
        char at[TIME_TEXT_BYTES];
        const char *device = field_text(event, "device");
        field_time(at, event, "at", "?");
        printf("%s  %s  %s%s%s\n", at, field_text_or(event, "kind", "?"), device ? device : "", device ? ": " : "",
                field_text_or(event, "text", ""));
}

/* False: it makes no sense to go on. */
static bool handle(struct follow *f, json_t *raw) {
        uint64_t number;
        if (!field_number(raw, "event", &number)) {
                explain_broken_connection(f->ctl->socket_path, CLIENT_E_GARBAGE);
                return false;
        }
        f->after = number;
        f->has_after = true;
        if (f->program) {
                CLEANUP_JSON json_t *event = printable_json(raw);
                if (field_count(event, "priority") <= LOG_NOTICE)
                        run_program(f, event);
                return keep_position(f);
        }
        if (f->ctl->json) {
                (void)json_dumpf(raw, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
                putchar('\n');
        } else {
                CLEANUP_JSON json_t *event = printable_json(raw);
                print_event(event);
        }
        return fflush(stdout) == 0;
}

/* --- the connection --- */

static bool call(struct follow *f) {
        CLEANUP_JSON json_t *parameters = must(json_object());
        if (f->has_after)
                must_succeed(json_object_set_new(parameters, "after_event", json_integer((json_int_t)f->after)));
        return client_send(f->ctl->client, "io.sweepd.Monitor", parameters, true) == CLIENT_OK;
}

enum next { NEXT_EVENT, NEXT_TRY, NEXT_TRY_LATER, NEXT_NOTHING };

/* Signals come between two events. */
static enum next receive(struct follow *f) {
        CLEANUP(reply_deinit)
        struct reply reply = { 0 };
        sigset_t held, before;
        int r = client_receive(f->ctl->client, &reply);
        if (r == CLIENT_E_TIMEOUT) /* nothing happens */
                return NEXT_EVENT;
        if (r == CLIENT_E_CLOSED)
                return NEXT_TRY;
        if (r != CLIENT_OK) {
                explain_broken_connection(f->ctl->socket_path, r);
                return NEXT_NOTHING;
        }
        if (reply.error && strcmp(reply.error, "io.sweepd.LedgerUnavailable") == 0)
                return NEXT_TRY_LATER;
        if (reply.error) {
                explain_error("Monitor", reply.error, reply.parameters);
                return NEXT_NOTHING;
        }
        f->away = false;
        sigemptyset(&held);
        sigaddset(&held, SIGTERM);
        sigaddset(&held, SIGINT);
        sigaddset(&held, SIGHUP);
        sigprocmask(SIG_BLOCK, &held, &before);
        bool handled = handle(f, reply.parameters);
        sigprocmask(SIG_SETMASK, &before, NULL);
        return handled ? NEXT_EVENT : NEXT_NOTHING;
}

static void connect_again(struct follow *f, unsigned wait_s, const char *why) {
        if (!f->away)
                ctl_complain("%s; going on when that is over", why);
        f->away = true;
        do {
                sleep(wait_s);
                f->ctl->client = client_free(f->ctl->client);
        } while (client_open(&f->ctl->client, f->ctl->socket_path) < 0 || !call(f));
}

int command_follow(struct ctl *ctl, const struct arguments *arguments) {
        struct follow f = { .ctl = ctl, .program = arguments->exec };
        if (arguments->timeout_s > 0 && !f.program)
                return ctl_complain(
                        "--timeout is for the program of --exec, which is not given: sweepctl follow --help");
        /* Each event would be given up, one after the other, and the place among them with it. */
        if (f.program && access(f.program, X_OK) < 0)
                return ctl_complain(
                        "%s cannot be run: %s; --exec wants the path of a program", f.program, strerror(errno));
        f.limit_s = arguments->timeout_s > 0 ? arguments->timeout_s : FOLLOW_TIMEOUT_S;
        if (f.program && !find_position(&f))
                return STATUS_FAILED;
        if (f.program && !f.position[0])
                ctl_complain("STATE_DIRECTORY is not set: what happens while this does not run will be missed");
        tell_ready();
        enum next next = call(&f) ? NEXT_EVENT : NEXT_TRY;
        while (next != NEXT_NOTHING) {
                if (next == NEXT_TRY)
                        connect_again(&f, RECONNECT_S, "sweepd went away");
                else if (next == NEXT_TRY_LATER)
                        connect_again(&f, LEDGER_S, "sweepd can't read its ledger");
                next = receive(&f);
        }
        return STATUS_FAILED;
}
