/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that was off for a week has all of its disks due when it comes up, and so have a thousand others after a power
 * cut; a clock that was set forward looks the same. What was missed is therefore spread over some minutes, by host and
 * name, so that it is the same each time. So is what the host was switched off under: sweeps that were cut short, and
 * first ones that had not begun, may be as many as there are disks. Where only the daemon was started anew they go on
 * at once. The other danger is a start that is put off for ever, or past a deadline that could be met: everything here
 * that delays has a limit, and what is short of time does not wait for its turn.
 */
#include "plan/agenda.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "plan/calendar.h"

#include <assert.h>

#define SPREAD_MAX_US (UINT64_C(900) * USEC_PER_SEC)
#define YEAR_US       (365 * USEC_PER_DAY)
#define SAMPLE_US     (10 * USEC_PER_SEC) /* opening, and the look before the first write, about twice */

enum { SPREAD_SHARE = 50 }; /* of `every`: a period is not made much longer by it */

static uint64_t later(uint64_t at_us, uint64_t span_us) {
        uint64_t sum;
        return __builtin_add_overflow(at_us, span_us, &sum) ? SCHEDULE_NEVER : sum;
}

/* FNV-1a over the name, begun with the host's number (Fowler, Noll and Vo), and stirred, as its high bits are weak. */
static uint64_t number_of(uint64_t seed, const char *name) {
        uint64_t h = seed ^ UINT64_C(0xcbf29ce484222325);
        for (; *name; name++)
                h = (h ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
        h ^= h >> 32;
        h *= UINT64_C(0x9e3779b97f4a7c15);
        return h >> 16;
}

static uint64_t spread(const struct agenda_question *q) {
        uint64_t most_us = MIN(q->config->every_us / SPREAD_SHARE, SPREAD_MAX_US);
        return number_of(q->seed, q->config->name) % (most_us + 1);
}

/* It was planned for a time at which nobody could begin it. A device that was never swept, and a sweep that died with
 * its daemon, are planned for at once: of these there are few, but for those that the host was started under. */
static bool was_missed(const struct agenda_question *q, uint64_t planned_us) {
        const struct schedule_history *h = q->history;
        bool waited_for = h->last_end == END_FINISHED || h->last_end == END_CANCELLED || h->last_end == END_FAILED;
        return (waited_for || q->after_boot) && planned_us < q->awake_us;
}

/* Whether what is to be done until then still can be when it begins at this moment, as far as anybody can tell. */
static bool leaves_time(const struct agenda_question *q, uint64_t begin_us, uint64_t deadline_us) {
        uint64_t speed = q->config->rate_max_bytes ? q->config->rate_max_bytes : AGENDA_SPEED;
        double needed_us = (double)q->left_bytes / (double)speed * (double)USEC_PER_SEC;
        return (double)calendar_open_us(q->config->calendar, begin_us, deadline_us) > needed_us;
}

uint64_t agenda_write_pause(double write_limit, uint64_t written_bytes, uint64_t extent_bytes) {
        if (write_limit <= 0 || extent_bytes == 0)
                return 0;
        double pause_us = (double)YEAR_US * ((double)written_bytes / (double)extent_bytes) / write_limit;
        return pause_us < (double)(100 * YEAR_US) ? (uint64_t)pause_us : 100 * YEAR_US;
}

double agenda_least_write_limit(const struct device_config *config) {
        assert(config->every_us > 0);
        return (double)agenda_written_bytes(config->mode, config->patterns.count, 1) * (double)YEAR_US /
                (double)config->every_us;
}

uint64_t agenda_written_bytes(enum sweep_mode mode, size_t patterns, uint64_t extent_bytes) {
        static const uint8_t times[MODE_COUNT] = { [MODE_REFRESH] = 1, [MODE_PRESERVE] = 2, [MODE_PATTERN] = 1 };
        assert(mode < MODE_COUNT);
        return (times[mode] + (mode == MODE_PATTERN ? patterns : 0)) * extent_bytes;
}

uint64_t agenda_work_bytes(enum sweep_mode mode, size_t patterns, uint64_t extent_bytes) {
        static const uint8_t times[MODE_COUNT] = {
                [MODE_READ] = 1, [MODE_REFRESH] = 4, [MODE_PRESERVE] = 6, [MODE_PATTERN] = 3
        };
        assert(mode < MODE_COUNT);
        return (times[mode] + (mode == MODE_PATTERN ? 2 * patterns : 0)) * extent_bytes;
}

uint64_t agenda_lump_bytes(const struct device_config *config, enum sweep_mode mode, uint64_t extent_bytes) {
        uint64_t segment_bytes = device_config_segment_least_bytes(config, mode, extent_bytes);
        if (extent_bytes > 0)
                segment_bytes = MIN(segment_bytes, extent_bytes);
        if (mode == MODE_PATTERN)
                return 2 * segment_bytes;
        return sweep_mode_writes(mode) ? agenda_work_bytes(mode, 0, segment_bytes) : 0;
}

uint64_t agenda_lump_wait_us(const struct device_config *config, enum sweep_mode mode) {
        return mode == MODE_PATTERN ? SAMPLE_US : sweep_mode_keeps(mode) ? config->settle_us : 0;
}

/* Without a limit, as by one of a full write a year: there may be one after the next reload. Where the sweeps
 * before have a date that can't be, they may have been right before this one. */
void agenda_note_write(struct schedule_history *history, const struct device_config *config, uint64_t extent_bytes,
        uint64_t started_us, uint64_t written_bytes) {
        double limit = config->write_limit > 0 ? config->write_limit : 1;
        uint64_t whole = extent_bytes > 0 ? extent_bytes : MAX(written_bytes, history->wrote_bytes);
        if (written_bytes == 0)
                return;
        if (!schedule_believes(history->wrote_us, 0, started_us))
                history->wrote_us = started_us;
        if (later(started_us, agenda_write_pause(limit, written_bytes, whole)) <
                later(history->wrote_us, agenda_write_pause(limit, history->wrote_bytes, whole)))
                return;
        history->wrote_us = started_us;
        history->wrote_bytes = written_bytes;
}

/* When what was written lets the next sweep begin. A time that can't be may be any, also a short while ago. */
static uint64_t writes_allow(const struct agenda_question *q, uint64_t now_us) {
        const struct schedule_history *h = q->history;
        uint64_t pause_us = agenda_write_pause(q->config->write_limit, h->wrote_bytes, q->extent_bytes);
        if (!sweep_mode_writes(q->config->mode) || pause_us == 0)
                return 0;
        return later(schedule_believes(h->wrote_us, q->config->every_us, now_us) ? h->wrote_us : q->awake_us, pause_us);
}

/* Of what puts it off past its deadline the first counts: without that the others might do no harm. */
static void note_lost(struct agenda *a) {
        if (a->lost || a->missed || a->deadline_us == 0 || a->start_us < a->deadline_us)
                return;
        a->lost = true;
        a->lost_by = a->hold;
}

static void delay(struct agenda *a, uint64_t until_us, enum agenda_hold why) {
        if (until_us <= a->start_us)
                return;
        a->start_us = until_us;
        a->hold = why;
        note_lost(a);
}

/* Its turn, but for who would be late by waiting for it. What is late already is not. */
static void wait_for_turn(struct agenda *a, const struct agenda_question *q, uint64_t now_us) {
        uint64_t turn_us = later(q->awake_us, spread(q));
        bool has_deadline = a->deadline_us > 0 && a->deadline_us >= now_us && a->deadline_us != SCHEDULE_NEVER;
        if (!has_deadline || leaves_time(q, turn_us, a->deadline_us))
                delay(a, turn_us, AGENDA_SPREAD);
}

static void wait_for_window(struct agenda *a, const struct agenda_question *q, uint64_t now_us) {
        uint64_t from_us = MAX(a->start_us, now_us), open_us = calendar_next_open(q->config->calendar, from_us);
        if (open_us > from_us)
                delay(a, open_us, AGENDA_WINDOW);
}

/* When a sweep should have begun, or should begin, at the latest. 0: unknown. The first one should at once; if it has
 * begun, it does not matter that it was seen to wait later than that. */
static uint64_t find_due(const struct agenda_question *q, uint64_t now_us) {
        uint64_t every_us = q->config->every_us, due_us = schedule_next_due(q->history, every_us, now_us);
        if (due_us > 0 || !schedule_believes(q->waiting_us, every_us, now_us))
                return due_us;
        return q->started_us > 0 ? MIN(q->waiting_us, q->started_us) : q->waiting_us;
}

/* A whole period after the one in which it was planned: the extent is then swept once in each. One that begins when
 * its period is over has a period of its own. */
static void find_deadline(struct agenda *a, const struct agenda_question *q, uint64_t now_us) {
        uint64_t every_us = q->config->every_us, due_us = find_due(q, now_us);
        if (due_us == SCHEDULE_NEVER) {
                a->deadline_us = SCHEDULE_NEVER;
                return;
        }
        uint64_t deadline_us = due_us ? later(due_us, every_us) : 0;
        a->missed = deadline_us > 0 && now_us > deadline_us;
        if (q->started_us > 0 && deadline_us <= q->started_us)
                deadline_us = later(q->started_us, every_us);
        a->deadline_us = deadline_us;
}

/* One that began too late has a period of its own, and so was planned for when it began. */
uint64_t agenda_planned_for(const struct agenda_question *q, uint64_t now_us) {
        uint64_t every_us = q->config->every_us;
        struct agenda a = { 0 };
        assert(q->started_us > 0);
        find_deadline(&a, q, now_us);
        return a.deadline_us == SCHEDULE_NEVER || a.deadline_us < every_us ? 0 : a.deadline_us - every_us;
}

struct agenda agenda_at(const struct agenda_question *q, uint64_t now_us) {
        struct agenda a = { .planned_us = schedule_next_start(q->history, q->config->every_us, now_us) };
        a.start_us = a.planned_us;
        find_deadline(&a, q, now_us);
        if (a.planned_us == SCHEDULE_NEVER)
                return a;
        note_lost(&a);
        if (was_missed(q, a.planned_us))
                wait_for_turn(&a, q, now_us);
        delay(&a, writes_allow(q, now_us), AGENDA_WRITES);
        wait_for_window(&a, q, now_us);
        return a;
}

struct agenda agenda_of_rest(const struct agenda_question *q, uint64_t now_us) {
        struct agenda a = { .planned_us = schedule_next_start(q->history, q->config->every_us, now_us) };
        find_deadline(&a, q, now_us);
        if (q->after_boot)
                wait_for_turn(&a, q, now_us);
        wait_for_window(&a, q, now_us);
        a.lost = false; /* it has begun: whether it will be in time is a matter of what is left */
        return a;
}
