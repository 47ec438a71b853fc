/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message that was overlooked once must not be the last one, and the worst is none at all: a device that is refused,
 * missing, paused or forgotten has no findings. So what is open and not acknowledged is told again, and a device of
 * which a part was not judged for three periods is told of, whatever the reason. What could go wrong: a disk that is to
 * be verified, and is read by somebody each day, would seem to be looked after, so each is asked for what its mode
 * does; a clock that is not set yet makes everything old, so nothing is said of age before the clock has stood for a
 * while; and a device that was never swept has no past to be measured by, so since when it has waited is in the ledger.
 */
#include "manager_private.h"

#include <inttypes.h>
#include <syslog.h>

#define LOOK_MAX_US (60 * USEC_PER_SEC)
#define LOOK_MIN_US USEC_PER_SEC
#define STEADY_US   USEC_PER_HOUR

/* --- findings --- */

static void tell_again(void *userdata, const struct finding *finding) {
        struct manager *m = userdata;
        routes_store_finding(m, finding);
        routes_tell_finding(m, manager_device(m, finding->device), finding, EVENT_AGAIN);
}

/* --- devices that nobody looks at --- */

static bool clock_is_steady(const struct manager *m, const struct device *d, uint64_t wall_us) {
        return wall_us >= m->planner.awake_us && wall_us - m->planner.awake_us >= MIN(STEADY_US, d->config->every_us);
}

/* Only while there is a part that never was judged; what was judged once has its own age. */
static void note_unchecked(struct manager *m, struct device *d, uint64_t wall_us) {
        bool waits = d->config->every_us != EVERY_NEVER && device_oldest_judged_us(d) == 0;
        bool known = schedule_believes(d->unchecked_us, d->config->every_us, wall_us);
        uint64_t since_us = !waits ? 0 : known ? MIN(d->unchecked_us, wall_us) : wall_us;
        if (since_us == d->unchecked_us)
                return;
        d->unchecked_us = since_us;
        rests_store_intent(m, d);
}

static const char *judged(const struct device *d) {
        return d->config->mode == MODE_READ ? "checked" : "verified";
}

static void tell_silence(struct manager *m, struct device *d, uint64_t since_us, uint64_t wall_us) {
        struct device_record record;
        struct finding_counts counts = finding_book_counts(m->book, d->config->name);
        char since[64], every[32];
        device_fill_record(d, &record, &counts, wall_us);
        text_format_local(since, sizeof since, since_us);
        text_format_span_key(every, sizeof every, d->config->every_us);
        bool why = record.reason.rule[0], ever = device_oldest_judged_us(d) > 0;
        routes_tell(m, EVENT_UNCHECKED, LOG_ERR, d, NULL,
                "a part of it was %s %s%s since %s, longer than three periods (every = \"%s\"). It is %s%s%s. %s",
                ever ? "not" : "never", judged(d), ever ? "" : ", and has waited for it", since, every,
                device_state_name(record.state), why ? ": " : "", record.reason.found,
                why ? record.reason.remedy : "See: sweepctl history");
}

static void judge(struct manager *m, struct device *d, uint64_t wall_us) {
        uint64_t since_us;
        if (d->unremembered || !clock_is_steady(m, d, wall_us))
                return;
        note_unchecked(m, d, wall_us);
        bool silent = device_is_silent(d, m->book, wall_us, &since_us), told = d->silence_told_us > 0;
        d->silence_told_us = MIN(d->silence_told_us, wall_us);
        if (silent && (!told || wall_us - d->silence_told_us >= m->settings->repeat_us)) {
                d->silence_told_us = wall_us;
                tell_silence(m, d, since_us, wall_us);
        } else if (!silent && told) {
                d->silence_told_us = 0;
                routes_tell(m, EVENT_UNCHECKED_OVER, LOG_NOTICE, d, NULL, "it is %s again", judged(d));
        }
}

/* --- by the clock --- */

static uint64_t pause_us(const struct manager *m) {
        return MAX(MIN(m->settings->repeat_us / 2, LOOK_MAX_US), LOOK_MIN_US);
}

void reminders_look(struct manager *m, uint64_t monotonic_us, uint64_t wall_us) {
        if (!m->ready || monotonic_us - m->reminded_us < pause_us(m))
                return;
        m->reminded_us = monotonic_us;
        finding_book_remind(m->book, m->settings->repeat_us, wall_us, tell_again, m);
        for (size_t i = 0; i < m->device_count; i++)
                judge(m, m->devices[i], wall_us);
}

uint64_t reminders_wait_us(const struct manager *m, uint64_t wait_us) {
        return MIN(wait_us, pause_us(m));
}
