/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alerts as journal, syslog and terminal get them. The sockets have fixed paths, so each test has a /run and a /dev of
 * its own, in a mount namespace that ends with it.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/queue.h"
#include "base/text.h"
#include "report/alerts.h"
#include "report/message_ids.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>

enum { CAPACITY = 32, SKIPPED = 77 };

#define FOREVER (60 * USEC_PER_SEC)

static struct queue *done;
static struct alerts *alerts;
static int journal_fd, syslog_fd;

static int own_directories(void) {
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0 || mount("tmpfs", "/dev", "tmpfs", 0, NULL) < 0)
                return -errno;
        mkdir("/run/systemd", 0755);
        return mkdir("/run/systemd/journal", 0755) < 0 ? -errno : 0;
}

static int listen_at(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        text_copy(address.sun_path, sizeof address.sun_path, path);
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
        return fd;
}

static void setup(void) {
        ck_assert_int_eq(own_directories(), 0);
        ck_assert_int_eq(queue_new(&done, CAPACITY, -1), 0);
        alerts = NULL;
        journal_fd = syslog_fd = -1;
}

static void teardown(void) {
        ck_assert_int_eq(alerts_free(alerts, FOREVER), 0);
        void *item;
        while (queue_try_pop(done, &item, 1) > 0)
                free(item);
        queue_free(done);
        close_fd(journal_fd);
        close_fd(syslog_fd);
}

static void start(size_t capacity, bool lines_on_stderr) {
        struct alerts_options options = {
                .journal_socket = ALERTS_JOURNAL_SOCKET,
                .lines_on_stderr = lines_on_stderr,
                .capacity = capacity,
                .done = done,
        };
        ck_assert_int_eq(alerts_new(&alerts, &options), 0);
}

static struct event *make(enum event_kind kind, const char *device, const char *text) {
        struct event *event = calloc(1, sizeof *event);
        ck_assert_ptr_nonnull(event);
        event->kind = kind;
        event->priority = LOG_WARNING;
        event->at_us = 1700000000 * USEC_PER_SEC;
        text_copy(event->device, sizeof event->device, device);
        text_copy(event->text, sizeof event->text, text);
        return event;
}

static struct event *make_finding(void) {
        struct event *event = make(EVENT_FINDING, "spare-7", "4096 bytes at 1.0 GiB read as zeros");
        event->has_finding = true;
        event->finding.id = 12;
        event->finding.sweep_id = 5;
        event->finding.fault = FAULT_ZEROED;
        event->finding.persistence = PERSISTENCE_PERSISTENT;
        event->finding.place = (struct extent){ 1 << 30, 4096 };
        text_copy(event->serial, sizeof event->serial, "ZA1234");
        text_copy(event->slot, sizeof event->slot, "enclosure 1 bay 7");
        return event;
}

/* Sends it, waits until it is back, and returns what the socket got as text. */
static void deliver(struct event *event, int fd, char *got, size_t got_bytes) {
        void *back = NULL;
        ck_assert(alerts_send(alerts, event));
        ck_assert_uint_eq(queue_pop(done, &back, 1), 1);
        ck_assert_ptr_eq(back, event);
        free(back);
        ssize_t n = fd < 0 ? 0 : recv(fd, got, got_bytes - 1, MSG_DONTWAIT);
        got[n > 0 ? n : 0] = '\0';
}

static bool has_line(const char *got, const char *line) {
        char with_end[1024];
        text_format(with_end, sizeof with_end, "%s\n", line);
        const char *at = strstr(got, with_end);
        return at && (at == got || at[-1] == '\n');
}

START_TEST(the_journal_gets_every_known_field_of_a_finding) {
        static const char *const lines[] = { "MESSAGE=spare-7: 4096 bytes at 1.0 GiB read as zeros",
                "MESSAGE_ID=1be58b0d71df486e82acee12e6c77263", "PRIORITY=4", "SYSLOG_IDENTIFIER=sweepd",
                "SWEEPD_DEVICE=spare-7", "SWEEPD_FAULT=zeroed", "SWEEPD_OFFSET=1073741824", "SWEEPD_LENGTH=4096",
                "SWEEPD_PERSISTENCE=persistent", "SWEEPD_SWEEP_ID=5", "SWEEPD_FINDING_ID=12", "SWEEPD_SERIAL=ZA1234",
                "SWEEPD_SLOT=enclosure 1 bay 7", "SWEEPD_WHERE=serial ZA1234, slot enclosure 1 bay 7" };
        char got[4096];
        journal_fd = listen_at(ALERTS_JOURNAL_SOCKET);
        start(CAPACITY, false);
        deliver(make_finding(), journal_fd, got, sizeof got);
        for (size_t i = 0; i < ELEMENTS(lines); i++)
                ck_assert_msg(has_line(got, lines[i]), "no \"%s\" in:\n%s", lines[i], got);
}
END_TEST

START_TEST(what_is_not_known_has_no_field) {
        char got[4096];
        journal_fd = listen_at(ALERTS_JOURNAL_SOCKET);
        start(CAPACITY, false);
        deliver(make(EVENT_DAEMON, "", "started"), journal_fd, got, sizeof got);
        ck_assert(has_line(got, "MESSAGE=started"));
        ck_assert_ptr_null(strstr(got, "SWEEPD_"));
}
END_TEST

START_TEST(the_catalog_has_words_for_a_disk_of_which_nothing_is_known) {
        char got[4096];
        journal_fd = listen_at(ALERTS_JOURNAL_SOCKET);
        start(CAPACITY, false);
        deliver(make(EVENT_DEVICE_MISSING, "spare-7", "gone"), journal_fd, got, sizeof got);
        ck_assert(has_line(got, "SWEEPD_WHERE=serial and slot unknown"));
}
END_TEST

START_TEST(a_text_of_full_length_arrives_whole) {
        char got[4096], device[DEVICE_NAME_BYTES], text[EVENT_TEXT_BYTES];
        memset(device, 'd', sizeof device);
        memset(text, 't', sizeof text);
        device[sizeof device - 1] = text[sizeof text - 1] = '\0';
        journal_fd = listen_at(ALERTS_JOURNAL_SOCKET);
        start(CAPACITY, false);
        deliver(make(EVENT_REFUSED, device, text), journal_fd, got, sizeof got);
        char expected[1024];
        text_format(expected, sizeof expected, "MESSAGE=%s: %s", device, text);
        ck_assert(has_line(got, expected));
}
END_TEST

START_TEST(without_a_journal_syslog_gets_the_line) {
        char got[4096];
        syslog_fd = listen_at("/dev/log");
        start(CAPACITY, false);
        deliver(make(EVENT_DEVICE_MISSING, "sda", "100%s gone"), syslog_fd, got, sizeof got);
        ck_assert_ptr_nonnull(strstr(got, "<28>")); /* daemon.warning */
        ck_assert_ptr_nonnull(strstr(got, "sweepd["));
        ck_assert_ptr_nonnull(strstr(got, "sda: 100%s gone"));
}
END_TEST

START_TEST(a_journal_that_nobody_reads_any_more_is_no_journal) {
        char got[4096];
        close(listen_at(ALERTS_JOURNAL_SOCKET)); /* the file stays */
        syslog_fd = listen_at("/dev/log");
        start(CAPACITY, false);
        deliver(make(EVENT_DEVICE_BACK, "sda", "is back"), syslog_fd, got, sizeof got);
        ck_assert_ptr_nonnull(strstr(got, "sda: is back"));
}
END_TEST

/* Delivers with stderr in a pipe. */
static void deliver_to_pipe(struct event *event, bool lines_on_stderr, char *got, size_t got_bytes) {
        int fds[2];
        char from_socket[4096];
        CLEANUP_CLOSE int kept = dup(STDERR_FILENO);
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        dup2(fds[1], STDERR_FILENO);
        start(CAPACITY, lines_on_stderr);
        deliver(event, -1, from_socket, sizeof from_socket);
        dup2(kept, STDERR_FILENO);
        close(fds[1]);
        ssize_t n = read(fds[0], got, got_bytes - 1);
        got[n > 0 ? n : 0] = '\0';
        close(fds[0]);
}

START_TEST(a_terminal_gets_time_priority_and_text) {
        char got[1024];
        setenv("TZ", "UTC", 1);
        journal_fd = listen_at(ALERTS_JOURNAL_SOCKET);
        deliver_to_pipe(make(EVENT_REFUSED, "sda", "is mounted"), true, got, sizeof got);
        ck_assert_str_eq(got, "2023-11-14 22:13:20 warning: sda: is mounted\n");
}
END_TEST

START_TEST(a_daemon_with_a_journal_is_silent_on_stderr) {
        char got[1024];
        journal_fd = listen_at(ALERTS_JOURNAL_SOCKET);
        deliver_to_pipe(make(EVENT_REFUSED, "sda", "is mounted"), false, got, sizeof got);
        ck_assert_str_eq(got, "");
}
END_TEST

START_TEST(where_nobody_listens_stderr_gets_the_line) {
        char got[1024];
        deliver_to_pipe(make(EVENT_REFUSED, "sda", "is mounted"), false, got, sizeof got);
        ck_assert_ptr_nonnull(strstr(got, "warning: sda: is mounted\n"));
}
END_TEST

START_TEST(a_disk_can_not_command_a_terminal) {
        char got[1024];
        deliver_to_pipe(make(EVENT_REFUSED, "sda", "model \033[2J\nroot: all is well\177"), true, got, sizeof got);
        ck_assert_ptr_nonnull(strstr(got, "sda: model ?[2J?root: all is well?\n"));
}
END_TEST

START_TEST(a_stuck_journal_holds_up_nobody_but_its_thread) {
        journal_fd = listen_at(ALERTS_JOURNAL_SOCKET); /* never read */
        start(CAPACITY, false);
        uint64_t from_us = clock_monotonic_us(), moved_us = from_us;
        bool stuck = false; /* full, and nothing has moved for a while: not merely slower than we are */
        while (!stuck && clock_monotonic_us() - from_us < 30 * USEC_PER_SEC) {
                struct event *event = make_finding();
                bool full = !alerts_send(alerts, event);
                void *item;
                if (full)
                        free(event);
                if (queue_try_pop(done, &item, 1) > 0) {
                        free(item);
                        moved_us = clock_monotonic_us();
                }
                stuck = full && clock_monotonic_us() - moved_us > USEC_PER_SEC / 2;
        }
        ck_assert(stuck);
        ck_assert_int_eq(alerts_free(alerts, 100 * USEC_PER_MSEC), -ETIMEDOUT);
        char got[4096];
        while (recv(journal_fd, got, sizeof got, MSG_DONTWAIT) > 0 || alerts_free(alerts, USEC_PER_MSEC) < 0)
                continue; /* once it is read, the rest is delivered */
        alerts = NULL;
}
END_TEST

START_TEST(what_was_sent_before_the_end_is_delivered) {
        journal_fd = listen_at(ALERTS_JOURNAL_SOCKET);
        start(CAPACITY, false);
        for (int i = 0; i < 5; i++)
                ck_assert(alerts_send(alerts, make_finding()));
        ck_assert_int_eq(alerts_free(alerts, FOREVER), 0);
        alerts = NULL;
        char got[4096];
        for (int i = 0; i < 5; i++)
                ck_assert_int_gt(recv(journal_fd, got, sizeof got, MSG_DONTWAIT), 0);
        ck_assert_uint_eq(queue_length(done), 5);
}
END_TEST

/* The entry that begins at this line, without those behind it. */
static void expect_entry(const char *catalog, const char *line, enum event_kind kind) {
        static const char *const parts[] = { "\nSubject: ", "\nCause: ", "\nMeaning:", "\nRemedy: " };
        char entry[8192];
        const char *at = strstr(catalog, line);
        ck_assert_msg(at, "no \"%s\" for %s", line, event_kind_name(kind));
        text_copy(entry, sizeof entry, at);
        char *next = strstr(entry, "\n-- ");
        if (next)
                *next = '\0';
        for (size_t i = 0; i < ELEMENTS(parts); i++)
                ck_assert_msg(strstr(entry, parts[i]), "no \"%s\" for %s", parts[i] + 1, event_kind_name(kind));
}

START_TEST(every_kind_has_an_id_of_its_own_and_cause_meaning_and_remedy_in_the_catalog) {
        CLEANUP_CLOSE int fd = open(SWEEPD_CATALOG, O_RDONLY | O_CLOEXEC);
        static char catalog[65536];
        ck_assert_int_ge(fd, 0);
        ck_assert_int_gt(read(fd, catalog, sizeof catalog - 1), 0);
        for (enum event_kind kind = 0; kind < EVENT_COUNT; kind++) {
                char line[64];
                text_format(line, sizeof line, "-- " SD_ID128_FORMAT_STR, SD_ID128_FORMAT_VAL(message_id(kind)));
                ck_assert_msg(has_line(catalog, line), "no \"%s\" for %s", line, event_kind_name(kind));
                expect_entry(catalog, line, kind);
                for (enum event_kind other = 0; other < kind; other++)
                        ck_assert(!sd_id128_equal(message_id(kind), message_id(other)));
        }
}
END_TEST

/* Whether this process may have directories of its own, tried in a child. */
static bool can_run(void) {
        pid_t pid = fork();
        if (pid == 0)
                _exit(own_directories() == 0 ? 0 : 1);
        int status;
        return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(void) {
        if (!can_run()) {
                printf("skipped: needs a mount namespace of its own, and so root\n");
                return SKIPPED;
        }
        TCase *tests = tcase_create("alerts");
        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, the_journal_gets_every_known_field_of_a_finding);
        tcase_add_test(tests, what_is_not_known_has_no_field);
        tcase_add_test(tests, the_catalog_has_words_for_a_disk_of_which_nothing_is_known);
        tcase_add_test(tests, a_text_of_full_length_arrives_whole);
        tcase_add_test(tests, without_a_journal_syslog_gets_the_line);
        tcase_add_test(tests, a_journal_that_nobody_reads_any_more_is_no_journal);
        tcase_add_test(tests, a_terminal_gets_time_priority_and_text);
        tcase_add_test(tests, a_daemon_with_a_journal_is_silent_on_stderr);
        tcase_add_test(tests, where_nobody_listens_stderr_gets_the_line);
        tcase_add_test(tests, a_disk_can_not_command_a_terminal);
        tcase_add_test(tests, a_stuck_journal_holds_up_nobody_but_its_thread);
        tcase_add_test(tests, what_was_sent_before_the_end_is_delivered);
        tcase_add_test(tests, every_kind_has_an_id_of_its_own_and_cause_meaning_and_remedy_in_the_catalog);
        return suite_run("alerts", tests);
}
