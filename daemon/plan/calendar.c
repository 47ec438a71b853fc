/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local time is no number line: hours are left out and come twice, and not all zones change on the same day, by an
 * hour, or at two in the morning. Whoever adds days to a time of day gets that wrong twice a year. So only the other
 * direction is used, from a moment to the local time that clocks on the wall show then, which is never in doubt; and a
 * stretch of one state ends where the wall clock says so, or where the zone's offset changes, whatever comes first.
 */
#include "plan/calendar.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { DAY_MINUTES = 24 * 60, WEEK_SECONDS = CALENDAR_WEEK_MINUTES * 60 };

/* A window may be left out by a change of the clock, but not in each of several weeks. */
#define SEARCH_LIMIT_US (40 * USEC_PER_DAY)
#define WEEK_US         (7 * USEC_PER_DAY)
#define FAR_US          (UINT64_C(400) * 366 * USEC_PER_DAY)

/* Whoever looks further ahead gets whole weeks as they are drawn: what a change of the clock takes from a window in
 * spring it gives back in autumn, and the daemon asks of each device, again and again. */
#define EXACT_US (UINT64_C(3) * 366 * USEC_PER_DAY)

/* The last moment that every calendar on earth has: 9999-12-30. Later ones are taken for it. */
#define LATEST_S INT64_C(253402214400)

/* --- text --- */

struct cursor {
        const char *at;
        char *problem;
};

__attribute__((format(printf, 2, 3))) static int complain(struct cursor *c, const char *format, ...) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(c->problem, CALENDAR_PROBLEM_BYTES, format, arguments);
        va_end(arguments);
        return -EINVAL;
}

/* What stands here up to the next separator, for messages. */
static int word_length(const char *at) {
        size_t n = strcspn(at, " ,.-");
        return (int)MIN(n ? n : 1, 24);
}

static int parse_day(struct cursor *c, unsigned *ret) {
        static const char *const names[] = { "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
                "Sunday" };
        size_t n = strcspn(c->at, " ,.-");
        for (unsigned day = 0; day < ELEMENTS(names); day++)
                if ((n == 3 || n == strlen(names[day])) && strncasecmp(c->at, names[day], n) == 0) {
                        c->at += n;
                        *ret = day;
                        return 0;
                }
        if (!*c->at)
                return complain(c, "a day is missing at the end: write Mon, Tue, Wed, Thu, Fri, Sat or Sun");
        return complain(c, "\"%.*s\" is no day: write Mon, Tue, Wed, Thu, Fri, Sat or Sun", word_length(c->at), c->at);
}

/* Mon..Fri,Sun; a range may go over the end of the week. */
static int parse_days(struct cursor *c, unsigned *ret) {
        unsigned days = 0;
        for (;;) {
                unsigned first, last;
                int r = parse_day(c, &first);
                if (r < 0)
                        return r;
                last = first;
                if (strncmp(c->at, "..", 2) == 0) {
                        c->at += 2;
                        r = parse_day(c, &last);
                        if (r < 0)
                                return r;
                }
                for (unsigned day = first;; day = (day + 1) % 7) {
                        days |= 1U << day;
                        if (day == last)
                                break;
                }
                if (*c->at != ',')
                        break;
                c->at++;
        }
        *ret = days;
        return 0;
}

static bool take_digits(const char **at, unsigned *ret) {
        const char *p = *at;
        if (!isdigit((unsigned char)p[0]) || !isdigit((unsigned char)p[1]))
                return false;
        *ret = (unsigned)(p[0] - '0') * 10 + (unsigned)(p[1] - '0');
        *at += 2;
        return true;
}

static int parse_time(struct cursor *c, unsigned *ret_minutes) {
        unsigned hours, minutes;
        const char *p = c->at;
        bool valid = take_digits(&p, &hours) && *p++ == ':' && take_digits(&p, &minutes) && minutes < 60 &&
                hours * 60 + minutes <= DAY_MINUTES;
        if (!valid && !*c->at)
                return complain(c, "a time of day is missing at the end: write it like 22:00-06:00");
        if (!valid)
                return complain(c, "\"%.*s\" is no time of day: write 00:00 to 24:00", word_length(c->at), c->at);
        c->at = p;
        *ret_minutes = hours * 60 + minutes;
        return 0;
}

static int parse_hours(struct cursor *c, unsigned *ret_from, unsigned *ret_to) {
        int r = parse_time(c, ret_from);
        if (r < 0)
                return r;
        if (*c->at != '-')
                return complain(c, "after %02u:%02u comes - and the end: write it like 22:00-06:00", *ret_from / 60,
                        *ret_from % 60);
        c->at++;
        r = parse_time(c, ret_to);
        if (r < 0)
                return r;
        if (*ret_from == DAY_MINUTES)
                return complain(c, "24:00 is an end: let it begin at 00:00 of the day after");
        if (*ret_from == *ret_to)
                return complain(c, "it ends where it begins: for whole days leave the hours out, or write 00:00-24:00");
        return 0;
}

static int parse(struct cursor *c, unsigned *days, unsigned *from, unsigned *to) {
        *days = 0x7f;
        *from = 0;
        *to = DAY_MINUTES;
        bool has_days = !isdigit((unsigned char)*c->at), has_hours = !has_days;
        int r = has_days ? parse_days(c, days) : 0;
        if (r < 0)
                return r;
        if (has_days && *c->at == ' ') {
                c->at += strspn(c->at, " ");
                has_hours = true;
        }
        if (has_hours)
                r = parse_hours(c, from, to);
        if (r == 0 && *c->at)
                return complain(c, "\"%.24s\" is too much at the end: write it like \"Mon..Fri 22:00-06:00\"", c->at);
        return r;
}

static uint64_t open_minutes(const struct calendar *c, unsigned word) {
        return (c->has_windows ? c->windows[word] : UINT64_MAX) & ~c->blackouts[word];
}

static bool minute_is_open(const struct calendar *c, unsigned minute) {
        return open_minutes(c, minute / 64) & BIT(minute % 64);
}

/* How many minutes from this one on are as it is; at most up to the end of the week. */
static unsigned alike_minutes(const struct calendar *c, unsigned minute, bool open) {
        unsigned word = minute / 64, at = minute;
        uint64_t other = (open ? ~open_minutes(c, word) : open_minutes(c, word)) & (UINT64_MAX << minute % 64);
        while (other == 0 && ++word < CALENDAR_WORDS) {
                at = word * 64;
                other = open ? ~open_minutes(c, word) : open_minutes(c, word);
        }
        at = other ? at / 64 * 64 + (unsigned)__builtin_ctzll(other) : CALENDAR_WEEK_MINUTES;
        return MIN(at, (unsigned)CALENDAR_WEEK_MINUTES) - minute;
}

/* Asked for each device again and again, so it is found once. Each row of open minutes is met in the second week, as it
 * may go over the end of the first. */
static void measure_week(struct calendar *c) {
        unsigned open_minutes = 0, row = 0, at = 0;
        c->longest_minutes = 0;
        while (at < 2 * CALENDAR_WEEK_MINUTES) {
                bool open = minute_is_open(c, at % CALENDAR_WEEK_MINUTES);
                unsigned minutes = alike_minutes(c, at % CALENDAR_WEEK_MINUTES, open);
                row = open ? row + minutes : 0;
                open_minutes += open && at < CALENDAR_WEEK_MINUTES ? minutes : 0;
                c->longest_minutes = MAX(c->longest_minutes, row);
                at += minutes;
        }
        c->closed_minutes = CALENDAR_WEEK_MINUTES - open_minutes;
}

static void set_minutes(uint64_t *words, unsigned first, unsigned count) {
        for (unsigned i = 0; i < count; i++) {
                unsigned minute = (first + i) % CALENDAR_WEEK_MINUTES;
                words[minute / 64] |= BIT(minute % 64);
        }
}

void calendar_clear(struct calendar *c, enum calendar_part part) {
        if (part == CALENDAR_WINDOWS)
                c->has_windows = false;
        memset(part == CALENDAR_WINDOWS ? c->windows : c->blackouts, 0, sizeof c->windows);
        measure_week(c);
}

int calendar_add(
        struct calendar *c, enum calendar_part part, const char *text, char problem[static CALENDAR_PROBLEM_BYTES]) {
        struct cursor cursor = { text, problem };
        unsigned days, from, to;
        int r = parse(&cursor, &days, &from, &to);
        if (r < 0)
                return r;
        unsigned length = to > from ? to - from : to + DAY_MINUTES - from;
        for (unsigned day = 0; day < 7; day++)
                if (days & (1U << day))
                        set_minutes(
                                part == CALENDAR_WINDOWS ? c->windows : c->blackouts, day * DAY_MINUTES + from, length);
        if (part == CALENDAR_WINDOWS)
                c->has_windows = true;
        measure_week(c);
        return 0;
}

bool calendar_equals(const struct calendar *a, const struct calendar *b) {
        if (a == b || !a || !b)
                return a == b;
        return a->has_windows == b->has_windows && memcmp(a->windows, b->windows, sizeof a->windows) == 0 &&
                memcmp(a->blackouts, b->blackouts, sizeof a->blackouts) == 0;
}

unsigned calendar_week_minutes(const struct calendar *c) {
        return CALENDAR_WEEK_MINUTES - (c ? c->closed_minutes : 0);
}

static bool is_always_open(const struct calendar *c) {
        return !c || c->closed_minutes == 0;
}

unsigned calendar_longest_minutes(const struct calendar *c) {
        return is_always_open(c) ? CALENDAR_WEEK_MINUTES : c->longest_minutes;
}

/* --- time --- */

/* The wall clock at a moment. */
struct reading {
        unsigned minute;  /* of the week */
        unsigned seconds; /* of that minute */
        long offset;      /* east of UTC, in seconds */
};

static struct reading read_wall(int64_t at_s) {
        time_t at = (time_t)MIN(at_s, LATEST_S);
        struct tm tm = { 0 };
        struct tm *valid = localtime_r(&at, &tm);
        assert(valid);
        unsigned day = (unsigned)(tm.tm_wday + 6) % 7;
        return (struct reading){ day * DAY_MINUTES + (unsigned)tm.tm_hour * 60 + (unsigned)tm.tm_min,
                (unsigned)MIN(tm.tm_sec, 59), tm.tm_gmtoff };
}

/* The first second after `from` at which the offset is not that of `from`; it is known to be another one at `to`. */
static int64_t change_between(int64_t from_s, int64_t to_s, long offset) {
        while (to_s - from_s > 1) {
                int64_t middle = from_s + (to_s - from_s) / 2;
                if (read_wall(middle).offset == offset)
                        from_s = middle;
                else
                        to_s = middle;
        }
        return to_s;
}

/* Where the state that holds at a moment may end: where the wall clock leaves it, the offset changes, or a day has
 * passed, in which a zone changes its offset once at most. */
static int64_t run_end(const struct calendar *c, int64_t at_s, bool *ret_open) {
        struct reading now = read_wall(at_s);
        *ret_open = minute_is_open(c, now.minute);
        unsigned minutes = MIN(alike_minutes(c, now.minute, *ret_open), (unsigned)DAY_MINUTES);
        int64_t end_s = at_s - now.seconds + minutes * INT64_C(60);
        return read_wall(end_s).offset == now.offset ? end_s : change_between(at_s, end_s, now.offset);
}

static uint64_t next_of_state(const struct calendar *c, bool open, uint64_t at_us) {
        int64_t at_s = (int64_t)(at_us / USEC_PER_SEC), limit_s = at_s + (int64_t)(SEARCH_LIMIT_US / USEC_PER_SEC);
        bool is_open, first = true;
        while (at_s < limit_s) {
                int64_t end_s = run_end(c, at_s, &is_open);
                if (is_open == open)
                        return first ? at_us : (uint64_t)at_s * USEC_PER_SEC;
                at_s = end_s;
                first = false;
        }
        return CALENDAR_NEVER;
}

bool calendar_is_open(const struct calendar *c, uint64_t at_us) {
        return !c || minute_is_open(c, read_wall((int64_t)(at_us / USEC_PER_SEC)).minute);
}

uint64_t calendar_next_open(const struct calendar *c, uint64_t at_us) {
        if (is_always_open(c) || at_us / USEC_PER_SEC >= LATEST_S)
                return is_always_open(c) ? at_us : CALENDAR_NEVER;
        return next_of_state(c, true, at_us);
}

uint64_t calendar_next_close(const struct calendar *c, uint64_t at_us) {
        if (is_always_open(c) || at_us / USEC_PER_SEC >= LATEST_S)
                return CALENDAR_NEVER;
        return next_of_state(c, false, at_us);
}

/*
 * Weeks without a change of the offset are as every week is. Four of them are told by their ends, as of no zone two
 * changes are known that cancel each other in less than a month (some suspend summer time for a month of fasting).
 */
static uint64_t alike_weeks(int64_t at_s, uint64_t most) {
        static const uint64_t spans[] = { 4, 1 };
        long offset = read_wall(at_s).offset;
        for (size_t i = 0; i < ELEMENTS(spans); i++)
                if (most >= spans[i] && read_wall(at_s + (int64_t)spans[i] * WEEK_SECONDS).offset == offset)
                        return spans[i];
        return 0;
}

/*
 * Walks the open time from `from`, until `to` is reached or `wanted` of it has passed, where it is not UINT64_MAX.
 * *ret_end: where it stopped.
 */
static uint64_t walk(
        const struct calendar *c, uint64_t from_us, uint64_t to_us, uint64_t wanted_us, uint64_t *ret_end) {
        uint64_t passed_us = 0, at_us = from_us, week_open_us = UINT64_C(60) * calendar_week_minutes(c) * USEC_PER_SEC;
        while (at_us < to_us && passed_us < wanted_us) {
                int64_t at_s = (int64_t)(at_us / USEC_PER_SEC);
                uint64_t weeks = (to_us - at_us) / WEEK_US;
                if (week_open_us > 0) /* it ends in open time, and not with a week */
                        weeks = MIN(weeks, (wanted_us - passed_us - 1) / week_open_us);
                if (weeks > 0 && at_us - from_us < EXACT_US)
                        weeks = alike_weeks(at_s, weeks);
                if (weeks > 0) {
                        passed_us += weeks * week_open_us;
                        at_us += weeks * WEEK_US;
                        continue;
                }
                bool open;
                uint64_t end_us = MIN((uint64_t)run_end(c, at_s, &open) * USEC_PER_SEC, to_us);
                if (open)
                        end_us = MIN(end_us, wanted_us == UINT64_MAX ? end_us : at_us + (wanted_us - passed_us));
                assert(end_us > at_us);
                passed_us += open ? end_us - at_us : 0;
                at_us = end_us;
        }
        *ret_end = at_us;
        return passed_us;
}

uint64_t calendar_open_us(const struct calendar *c, uint64_t from_us, uint64_t to_us) {
        uint64_t end_us;
        if (to_us <= from_us)
                return 0;
        if (is_always_open(c))
                return to_us - from_us;
        /* What lies past all calendars counts as closed. */
        uint64_t latest_us = (uint64_t)LATEST_S * USEC_PER_SEC;
        return walk(c, from_us, MIN(to_us, latest_us), UINT64_MAX, &end_us);
}

uint64_t calendar_after_open(const struct calendar *c, uint64_t from_us, uint64_t open_us) {
        uint64_t end_us;
        if (open_us == 0)
                return from_us;
        if (open_us > FAR_US || calendar_week_minutes(c) == 0)
                return CALENDAR_NEVER;
        if (is_always_open(c))
                return from_us + open_us;
        uint64_t limit_us = MIN(from_us + FAR_US, (uint64_t)LATEST_S * USEC_PER_SEC);
        return walk(c, from_us, limit_us, open_us, &end_us) == open_us ? end_us : CALENDAR_NEVER;
}
