/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An alert that goes nowhere is a fault that nobody hears of, and a journal that is stuck must not hold up a sweep. So
 * one thread does nothing but deliver, and for each event it looks anew who is there to take it: the journal, else
 * syslog, else whoever reads stderr. Texts hold words that came from disks: what a terminal could take for a command
 * is made harmless.
 */
#include "report/alerts.h"

#include "base/cleanup.h"
#include "base/queue.h"
#include "base/text.h"
#include "report/message_ids.h"
#include "report/reporter.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#define SYSLOG_SOCKET "/dev/log"

enum { BATCH_MAX = 16, FIELDS_MAX = 20, FIELD_BYTES = 24 + DEVICE_NAME_BYTES + EVENT_TEXT_BYTES };

struct alerts {
        struct sockaddr_un journal;
        bool lines_on_stderr;
        struct queue *events;
        struct queue *done;
        pthread_t thread;
        atomic_bool ending; /* written by alerts_free(), read by the thread: nobody takes events back any more */
};

/* The fields of one journal entry. */
struct entry {
        size_t count;
        struct iovec parts[FIELDS_MAX];
        char fields[FIELDS_MAX][FIELD_BYTES];
};

static void add_field(struct entry *entry, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add_field(struct entry *entry, const char *format, ...) {
        assert(entry->count < FIELDS_MAX);
        char *field = entry->fields[entry->count];
        va_list arguments;
        va_start(arguments, format);
        int n = vsnprintf(field, FIELD_BYTES, format, arguments);
        va_end(arguments);
        assert(n >= 0);
        entry->parts[entry->count++] = (struct iovec){ field, strlen(field) };
}

static void add_known(struct entry *entry, const char *name, const char *value) {
        if (*value)
                add_field(entry, "%s=%s", name, value);
}

static void add_number(struct entry *entry, const char *name, uint64_t number) {
        if (number != 0)
                add_field(entry, "%s=%" PRIu64, name, number);
}

/* "device: text", in one line. */
static void compose(char *line, size_t line_bytes, const struct event *event) {
        text_format(line, line_bytes, "%s%s%s", event->device, *event->device ? ": " : "", event->text);
        for (char *p = line; *p; p++)
                if ((unsigned char)*p < 0x20 || *p == 0x7f)
                        *p = '?';
}

/* For the texts of the catalog, which would show the name of a field that is not there. */
static void add_where(struct entry *entry, const struct event *event) {
        if (!*event->serial && !*event->slot)
                add_field(entry, "SWEEPD_WHERE=%s", "serial and slot unknown");
        else
                add_field(entry, "SWEEPD_WHERE=%s%s%s%s", *event->serial ? "serial " : "slot ",
                        *event->serial ? event->serial : event->slot, *event->serial && *event->slot ? ", slot " : "",
                        *event->serial ? event->slot : "");
}

static void compose_entry(struct entry *entry, const struct event *event, const char *line) {
        entry->count = 0;
        add_field(entry, "MESSAGE=%s", line);
        add_field(entry, "MESSAGE_ID=" SD_ID128_FORMAT_STR, SD_ID128_FORMAT_VAL(message_id(event->kind)));
        add_field(entry, "PRIORITY=%d", event->priority);
        add_field(entry, "SYSLOG_IDENTIFIER=sweepd");
        add_known(entry, "SWEEPD_DEVICE", event->device);
        add_known(entry, "SWEEPD_SERIAL", event->serial);
        add_known(entry, "SWEEPD_SLOT", event->slot);
        if (*event->device)
                add_where(entry, event);
        const struct finding *finding = event->has_finding ? &event->finding : NULL;
        add_number(entry, "SWEEPD_COUNT", event->count);
        add_number(entry, "SWEEPD_SWEEP_ID", event->sweep_id || !finding ? event->sweep_id : finding->sweep_id);
        if (!finding)
                return;
        add_number(entry, "SWEEPD_FINDING_ID", finding->id);
        add_field(entry, "SWEEPD_FAULT=%s", fault_name(finding->fault));
        add_field(entry, "SWEEPD_PERSISTENCE=%s", persistence_name(finding->persistence));
        add_field(entry, "SWEEPD_OFFSET=%" PRIu64, finding->place.offset_bytes);
        add_field(entry, "SWEEPD_LENGTH=%" PRIu64, finding->place.length_bytes);
}

static bool listens(const struct sockaddr_un *address) {
        CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        return fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
}

/* sd_journal_sendv() reports success where there is no journal, so that is asked first. */
static bool tell_journal(const struct alerts *alerts, const struct event *event, const char *line) {
        if (!listens(&alerts->journal))
                return false;
        struct entry entry;
        compose_entry(&entry, event, line);
        return sd_journal_sendv(entry.parts, (int)entry.count) >= 0;
}

static bool tell_syslog(const struct event *event, const char *line) {
        static const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = SYSLOG_SOCKET };
        if (!listens(&address))
                return false;
        syslog(event->priority, "%s", line);
        return true;
}

static const char *priority_word(int priority) {
        static const char *const words[] = { "emergency", "alert", "critical", "error", "warning", "notice", "info",
                "debug" };
        assert(priority >= 0);
        return words[LOG_PRI(priority)];
}

static void tell_stderr(const struct event *event, const char *line) {
        time_t seconds = (time_t)(event->at_us / 1000000);
        struct tm local;
        char when[32] = "?";
        if (localtime_r(&seconds, &local))
                strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local);
        dprintf(STDERR_FILENO, "%s %s: %s\n", when, priority_word(event->priority), line);
}

static void deliver(const struct alerts *alerts, const struct event *event) {
        char line[DEVICE_NAME_BYTES + 2 + EVENT_TEXT_BYTES];
        compose(line, sizeof line, event);
        bool told = tell_journal(alerts, event, line) || tell_syslog(event, line);
        if (alerts->lines_on_stderr || !told)
                tell_stderr(event, line);
}

static void *alerts_thread(void *userdata) {
        struct alerts *alerts = userdata;
        void *batch[BATCH_MAX];
        size_t count;
        pthread_setname_np(pthread_self(), "alerts");
        while ((count = queue_pop(alerts->events, batch, ELEMENTS(batch))) > 0)
                for (size_t i = 0; i < count; i++) {
                        deliver(alerts, batch[i]);
                        if (!reporter_hand_back(alerts->done, batch[i], &alerts->ending))
                                free(batch[i]);
                }
        return NULL;
}

static struct alerts *release(struct alerts *alerts) {
        if (!alerts)
                return NULL;
        queue_free(alerts->events);
        free(alerts);
        return NULL;
}

DEFINE_FREEP(struct alerts, release, releasep)

int alerts_new(struct alerts **ret, const struct alerts_options *options) {
        assert(options->done);
        CLEANUP(releasep)
        struct alerts *alerts = calloc(1, sizeof *alerts);
        if (!alerts)
                return -ENOMEM;
        alerts->journal.sun_family = AF_UNIX;
        bool fits = text_copy(alerts->journal.sun_path, sizeof alerts->journal.sun_path, options->journal_socket);
        assert(fits);
        (void)fits;
        alerts->lines_on_stderr = options->lines_on_stderr;
        alerts->done = options->done;
        int r = queue_new(&alerts->events, options->capacity, -1);
        if (r < 0)
                return r;
        openlog("sweepd", LOG_PID, LOG_DAEMON);
        r = reporter_start(&alerts->thread, alerts_thread, alerts);
        if (r < 0)
                return r;
        *ret = STEAL(alerts);
        return 0;
}

bool alerts_send(struct alerts *alerts, struct event *event) {
        assert(event);
        return queue_push_one(alerts->events, event);
}

int alerts_free(struct alerts *alerts, uint64_t timeout_us) {
        if (!alerts)
                return 0;
        atomic_store(&alerts->ending, true);
        queue_close(alerts->events);
        int r = reporter_join(alerts->thread, timeout_us);
        if (r < 0)
                return r; /* the thread still uses all of it */
        release(alerts);
        return 0;
}
