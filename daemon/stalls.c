/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks that don't answer. A thread that is stuck in the kernel can't judge itself, so main does, once a second, by
 * what each sweep publishes of its oldest request. What could go wrong: a disk that is slow for a moment taken for one
 * that hangs, an episode told over and over, and a daemon that starts beside one whose I/O is still out and gives the
 * same disk more. So the time allowed is never less than twice the kernel's own, an episode is one finding, and a
 * daemon that ends with a stuck disk leaves a note for the next one. Nor is a disk blamed for what its undo journal
 * does, which lies on another one: its sweep waits for it, as nothing else would bring the originals back sooner.
 */
#include "manager_private.h"

#include "sweep/mend.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define ANSWER_LIMIT_US (3 * USEC_PER_SEC) /* within which who asked for a sweep hears of it */

enum { STALL_SERIAL_MARK = 63 }; /* runs of faults count up from below */

static const char *const request_words[] = {
        [REQUEST_NONE] = "a request",
        [REQUEST_OPEN] = "opening it",
        [REQUEST_PROBE] = "the search for signatures",
        [REQUEST_READ] = "a read",
        [REQUEST_WRITE] = "a write",
        [REQUEST_FLUSH] = "a flush",
        [REQUEST_CLOSE] = "closing it",
};

static const char *const request_names[] = { "", "open", "probe", "read", "write", "flush", "close" };

static uint64_t allowed_us(const struct device *d) {
        return MAX(d->running_config->io_timeout_us, 2 * d->kernel_timeout_us);
}

static void report(struct manager *m, struct device *d) {
        struct device_stall *stall = &d->stall;
        bool is_new;
        uint64_t next_id = finding_book_next_id(m->book);
        stall->finding.last_seen_us = clock_wall_us();
        const struct finding *f = finding_book_report(
                m->book, &stall->finding, UINT64_C(1) << STALL_SERIAL_MARK, &is_new);
        if (!f)
                return;
        routes_store_finding(m, f);
        if (is_new && !stall->told) /* what is open already is told again in its time */
                routes_tell_finding(m, d, f, f->id >= next_id ? EVENT_FIRST : EVENT_GREW);
        stall->told = true;
}

static void begin_for_journal(struct manager *m, struct device *d, const struct sweep_debt *debt) {
        char journal[PATH_MAX], limit[32];
        struct reason *reason = &d->stall.reason;
        d->stall = (struct device_stall){ .since_us = debt->since_us, .request = debt->request };
        mend_journal_path(journal, d->running_config, m->settings->state_dir);
        text_format_span(limit, sizeof limit, allowed_us(d));
        reason_set(reason, "journal_hung",
                "See dmesg and the cabling of the disk that holds the journal. The device goes on by itself when that answers.",
                "a request to its undo journal in %s was not answered within %s, and the device waits for it", journal,
                limit);
        routes_tell(m, EVENT_RECOVERY, LOG_ERR, d, NULL, "%s. %s", reason->found, reason->remedy);
}

static void begin(struct manager *m, struct device *d, const struct sweep_debt *debt) {
        if (debt->request == REQUEST_JOURNAL) {
                begin_for_journal(m, d, debt);
                return;
        }
        d->stall = (struct device_stall){ .since_us = debt->since_us, .request = debt->request };
        struct finding *f = &d->stall.finding;
        text_copy(f->device, sizeof f->device, d->config->name);
        f->target_row = d->target_row;
        f->sweep_id = d->sweep_id;
        f->fault = FAULT_HUNG;
        f->place = debt->place;
        if (f->place.length_bytes == 0)
                f->place = d->identified ? device_config_extent(d->config, d->size_bytes) : (struct extent){ 0 };
        char limit[32];
        text_format_span(limit, sizeof limit, allowed_us(d));
        text_format(f->text, sizeof f->text, "%s was not answered within %s", request_words[debt->request], limit);
        detail_set(&f->detail, "request", "%s", request_names[debt->request]);
        d->hung = true;
        report(m, d);
        if (d->order != SWEEP_RUN) /* it is ending already, as soon as it can */
                return;
        d->order = SWEEP_GIVE_UP;
        sweep_thread_order(d->thread, SWEEP_GIVE_UP);
}

static void end_for_journal(struct manager *m, struct device *d, uint64_t took_us) {
        routes_tell(m, EVENT_RECOVERY, LOG_NOTICE, d, NULL, "its undo journal answers again: a request took %.1f s",
                (double)took_us / 1e6);
        d->stall = (struct device_stall){ 0 };
}

static void end(struct manager *m, struct device *d, uint64_t paid_us) {
        struct device_stall *stall = &d->stall;
        uint64_t took_us = paid_us > stall->since_us ? paid_us - stall->since_us : 0;
        struct finding *f = &stall->finding;
        if (stall->request == REQUEST_JOURNAL) {
                end_for_journal(m, d, took_us);
                return;
        }
        text_format(f->text, sizeof f->text, "%s was answered only after %.1f s", request_words[stall->request],
                (double)took_us / 1e6);
        detail_set(&f->detail, "latency_us", "%" PRIu64, took_us);
        report(m, d);
        routes_tell(m, EVENT_DEVICE_BACK, LOG_NOTICE, d, NULL, "it answers again: %s took %.1f s",
                request_words[stall->request], (double)took_us / 1e6);
        *stall = (struct device_stall){ 0 };
}

static void judge(struct manager *m, struct device *d, uint64_t now_us) {
        struct sweep_debt debt;
        if (!d->thread || !sweep_gauge_debt(sweep_thread_gauge(d->thread), &debt))
                return;
        bool late = debt.request != REQUEST_NONE && now_us >= debt.since_us + allowed_us(d);
        bool again = late && d->late_since_us == debt.since_us;
        bool other = (d->stall.request == REQUEST_JOURNAL) != (debt.request == REQUEST_JOURNAL);
        d->late_since_us = late ? debt.since_us : 0;
        if (again && d->stall.since_us == 0) /* at the first look after a pause of the machine, everything is late */
                begin(m, d, &debt);
        else if ((!late || other) && d->stall.since_us > 0)
                end(m, d, MIN(debt.paid_us, now_us));
}

void stalls_sweep_ended(struct manager *m, struct device *d) {
        struct sweep_debt debt;
        if (d->stall.since_us > 0 && sweep_gauge_debt(sweep_thread_gauge(d->thread), &debt))
                end(m, d, debt.paid_us);
        d->stall = (struct device_stall){ 0 };
}

/* Who asked for a sweep is not made to wait for a disk: refused later, it is told by the history. */
static void answer_early(struct device *d, uint64_t now_us) {
        if (d->wish.call && d->thread && now_us >= d->wish.begun_us + ANSWER_LIMIT_US)
                call_reply_sweep_id(STEAL(d->wish.call), d->wish.sweep_id);
}

void stalls_note_timeout(struct manager *m, struct device *d, uint64_t kernel_timeout_us) {
        d->kernel_timeout_us = kernel_timeout_us;
        uint64_t allowed = allowed_us(d);
        if (allowed == d->running_config->io_timeout_us || allowed == d->told_timeout_us)
                return;
        d->told_timeout_us = allowed;
        routes_tell(m, EVENT_DAEMON, LOG_NOTICE, d, NULL,
                "io_timeout counts as %" PRIu64 " s: twice the %" PRIu64
                " s that the kernel gives the device for a command",
                allowed / USEC_PER_SEC, kernel_timeout_us / USEC_PER_SEC);
}

/*
 * Whether the process lives, or is dead but for a thread that waits for its I/O. /proc is memory, and this file of it
 * needs no lock of the process. Fields as of proc_pid_stat(5), counted behind the name, which may hold anything.
 */
static bool process_lingers(int pid, uint64_t started_ticks) {
        char path[64], text[1024];
        text_format(path, sizeof path, "/proc/%d/stat", pid);
        CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
        if (n <= 0)
                return false;
        text[n] = '\0';
        const char *rest = strrchr(text, ')');
        char state;
        unsigned long long threads, started;
        if (!rest ||
                sscanf(rest + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %*s %llu",
                        &state, &threads, &started) != 3)
                return false;
        return started == started_ticks && !((state == 'Z' || state == 'X') && threads <= 1);
}

static uint64_t own_start_ticks(void) {
        char text[1024];
        unsigned long long started = 0;
        CLEANUP_CLOSE int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
        text[MAX(n, 0)] = '\0';
        const char *rest = strrchr(text, ')');
        if (!rest ||
                sscanf(rest + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
                        &started) != 1)
                return 0;
        return started;
}

static void look_at_predecessor(struct manager *m, struct device *d) {
        if (d->held_by_pid == 0 || process_lingers(d->held_by_pid, d->held_by_start))
                return;
        d->held_by_pid = 0;
        routes_tell(m, EVENT_DEVICE_BACK, LOG_NOTICE, d, NULL,
                "the I/O of the daemon before this one has come back; it is swept again");
}

void stalls_look(struct manager *m, uint64_t now_us) {
        for (size_t i = 0; i < m->device_count; i++) {
                judge(m, m->devices[i], now_us);
                answer_early(m->devices[i], now_us);
                look_at_predecessor(m, m->devices[i]);
        }
        for (size_t i = 0; i < m->leaving_count; i++) {
                judge(m, m->leaving[i], now_us);
                answer_early(m->leaving[i], now_us);
        }
}

void stalls_take_note(struct manager *m, const char *note) {
        for (const char *line = note; *line; line += strcspn(line, "\n"), line += *line == '\n') {
                int pid;
                unsigned long long started;
                char name[DEVICE_NAME_BYTES];
                if (sscanf(line, "%d %llu %64s", &pid, &started, name) != 3 || pid <= 0)
                        continue;
                struct device *d = manager_device(m, name);
                if (!d || !process_lingers(pid, started))
                        continue;
                d->held_by_pid = pid;
                d->held_by_start = started;
        }
}

void manager_note(const struct manager *m, char *note, size_t note_bytes) {
        uint64_t own = own_start_ticks();
        note[0] = '\0';
        for (size_t i = 0; i < m->device_count; i++) {
                const struct device *d = m->devices[i];
                if (d->held_by_pid > 0)
                        text_append(note, note_bytes, "%d %" PRIu64 " %s\n", d->held_by_pid, d->held_by_start,
                                d->config->name);
                else if (d->thread)
                        text_append(note, note_bytes, "%d %" PRIu64 " %s\n", (int)getpid(), own, d->config->name);
        }
}
