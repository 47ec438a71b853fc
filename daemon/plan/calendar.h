/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calendar: when a device may be swept: the windows of a week, less the blackouts, in local time. Pure functions of a
 * calendar and a time; what local time is comes from localtime_r(), so from TZ or the system's zone.
 *
 * A window is a set of minutes of the local week. So on the day on which clocks go forward, the part of a window that
 * lies in the hour that is left out does not exist; on the day on which they go back, the hour that comes twice is in
 * the window twice.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CALENDAR_WEEK_MINUTES = 7 * 24 * 60, CALENDAR_WORDS = (CALENDAR_WEEK_MINUTES + 63) / 64 };

/* Flat: may be copied and freed as it is. Wherever one is read, NULL is always open. Minute 0: Monday, 00:00. */
struct calendar {
        bool has_windows;         /* false: always, but for the blackouts */
        unsigned closed_minutes;  /* of a week; 0: always open */
        unsigned longest_minutes; /* the most that are open in a row, where it is not always open */
        uint64_t windows[CALENDAR_WORDS], blackouts[CALENDAR_WORDS];
};

#define CALENDAR_NEVER UINT64_MAX

enum calendar_part { CALENDAR_WINDOWS, CALENDAR_BLACKOUTS };

enum { CALENDAR_PROBLEM_BYTES = 192 };

/* Takes out all windows, or all blackouts. */
void calendar_clear(struct calendar *c, enum calendar_part part);

/*
 * Adds "Mon..Fri 22:00-06:00", "Sat,Sun" or "22:00-06:00": days, hours or both. The days are those on which it begins;
 * an end that is not after the beginning lies on the day after. -EINVAL: problem says what is wrong and what to write;
 * the calendar is as it was.
 */
int calendar_add(
        struct calendar *c, enum calendar_part part, const char *text, char problem[static CALENDAR_PROBLEM_BYTES]);

/* Of the same windows and blackouts. NULL, which is always open, equals itself alone. */
bool calendar_equals(const struct calendar *a, const struct calendar *b);

/* Minutes of a week that are open, changes of the clock aside. 0: never. */
unsigned calendar_week_minutes(const struct calendar *c);

/* The most of them in a row. All of a week: always open. */
unsigned calendar_longest_minutes(const struct calendar *c);

/* Times are microseconds since 1970-01-01 UTC. */
bool calendar_is_open(const struct calendar *c, uint64_t at_us);

/* The first moment, not before this one, at which it is open. CALENDAR_NEVER: never open. */
uint64_t calendar_next_open(const struct calendar *c, uint64_t at_us);

/* The first moment, not before this one, at which it is closed. CALENDAR_NEVER: always open. */
uint64_t calendar_next_close(const struct calendar *c, uint64_t at_us);

/*
 * How much of [from, to) is open. 0 where `to` is not after `from`. Exact for three years; from then on whole weeks are
 * taken to be open for as long as they are without a change of the clock.
 */
uint64_t calendar_open_us(const struct calendar *c, uint64_t from_us, uint64_t to_us);

/* The moment at which it was open for so long since `from`, likewise. CALENDAR_NEVER: not within 400 years. */
uint64_t calendar_after_open(const struct calendar *c, uint64_t from_us, uint64_t open_us);
