/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows are checked against an oracle that knows no calendar at all: it asks the wall clock of each minute of some
 * weeks, and the rules as they were drawn, and counts. The weeks lie around both changes of the clock in zones that
 * differ in when and by how much they change, and around a leap day.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "plan/calendar.h"
#include "suite.h"

#include <string.h>
#include <time.h>

enum { WEEKS = 5, STRETCH_MINUTES = WEEKS * CALENDAR_WEEK_MINUTES, RULES_MAX = 4, SEEDS = 3000 };

#define MINUTE_US (60 * USEC_PER_SEC)

static const char *const zones[] = { "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC",
        "Africa/Casablanca" };

/* Each stretch begins on one of these days, 00:00 UTC. */
static const int64_t stretch_days[] = {
        20522, /* 2026-03-10 */
        20729, /* 2026-10-03 */
        21219, /* 2028-02-05, a leap year */
        20511, /* 2026-02-27 */
};

/* A rule as it was drawn, not as it was parsed. */
struct rule {
        unsigned days, from, to; /* minutes of the day; to <= from: of the day after */
};

struct rules {
        size_t window_count, blackout_count;
        struct rule windows[RULES_MAX], blackouts[RULES_MAX];
};

/* The wall clock, minute by minute: day of the week from Monday on, minute of that day. */
struct wall {
        int64_t begin_s;
        uint8_t day[STRETCH_MINUTES];
        uint16_t minute[STRETCH_MINUTES];
};

static void set_zone(const char *zone) {
        ck_assert_int_eq(setenv("TZ", zone, 1), 0);
        tzset();
}

static void read_wall(struct wall *w, int64_t begin_s) {
        w->begin_s = begin_s;
        for (size_t i = 0; i < STRETCH_MINUTES; i++) {
                time_t at = (time_t)(begin_s + (int64_t)i * 60);
                struct tm tm;
                ck_assert_ptr_nonnull(localtime_r(&at, &tm));
                ck_assert_int_eq(tm.tm_sec, 0);
                w->day[i] = (uint8_t)(tm.tm_wday == 0 ? 6 : tm.tm_wday - 1);
                w->minute[i] = (uint16_t)(tm.tm_hour * 60 + tm.tm_min);
        }
}

static bool rule_holds(const struct rule *r, unsigned day, unsigned minute) {
        bool today = r->days >> day & 1, yesterday = r->days >> (day + 6) % 7 & 1;
        if (r->to > r->from)
                return today && minute >= r->from && minute < r->to;
        return (today && minute >= r->from) || (yesterday && minute < r->to);
}

static bool any_holds(const struct rule *rules, size_t count, unsigned day, unsigned minute) {
        for (size_t i = 0; i < count; i++)
                if (rule_holds(&rules[i], day, minute))
                        return true;
        return false;
}

static bool oracle_is_open(const struct rules *r, unsigned day, unsigned minute) {
        bool in = r->window_count == 0 || any_holds(r->windows, r->window_count, day, minute);
        return in && !any_holds(r->blackouts, r->blackout_count, day, minute);
}

/* What the rules say of each reading of a clock on the wall, and so of each minute. */
static void ask_oracle(bool *open, const struct rules *r, const struct wall *w) {
        static bool week[7][24 * 60];
        for (unsigned day = 0; day < 7; day++)
                for (unsigned minute = 0; minute < 24 * 60; minute++)
                        week[day][minute] = oracle_is_open(r, day, minute);
        for (size_t i = 0; i < STRETCH_MINUTES; i++)
                open[i] = week[w->day[i]][w->minute[i]];
}

static void rule_text(char *to, size_t to_bytes, const struct rule *r, uint64_t *seed) {
        static const char *const names[] = { "Mon", "tuesday", "Wed", "THU", "Fri", "Saturday", "sun" };
        int n = 0;
        for (unsigned day = 0; r->days != 0x7f && day < 7; day++)
                if (r->days >> day & 1)
                        n += snprintf(to + n, to_bytes - (size_t)n, "%s%s", n > 0 ? "," : "", names[day]);
        if (r->from == 0 && r->to == 1440 && n > 0 && suite_random(seed) % 2)
                return;
        snprintf(to + n, to_bytes - (size_t)n, "%s%02u:%02u-%02u:%02u", n > 0 ? " " : "", r->from / 60, r->from % 60,
                r->to / 60, r->to % 60);
}

static struct rule draw_rule(uint64_t *seed) {
        struct rule r;
        r.days = suite_random(seed) % 4 == 0 ? 0x7f : 1 + (unsigned)(suite_random(seed) % 0x7f);
        r.from = (unsigned)(suite_random(seed) % 1440);
        r.to = (unsigned)(suite_random(seed) % 1440);
        switch (suite_random(seed) % 6) {
        case 0: /* whole days */
                r.from = 0;
                r.to = 1440;
                break;
        case 1: /* where clocks change */
                r.from = 60 + (unsigned)(suite_random(seed) % 120);
                r.to = 60 + (unsigned)(suite_random(seed) % 180);
                break;
        case 2: /* short */
                r.to = r.from + 1 + (unsigned)(suite_random(seed) % 3);
                break;
        default:
                break;
        }
        if (r.to > 1440)
                r.to -= 1440;
        if (r.to == r.from)
                r.to = r.from > 0 ? r.from - 1 : 1440;
        return r;
}

static void add(struct calendar *c, enum calendar_part part, const struct rule *r, uint64_t *seed) {
        char text[128] = "", problem[CALENDAR_PROBLEM_BYTES] = "";
        rule_text(text, sizeof text, r, seed);
        ck_assert_msg(calendar_add(c, part, text, problem) == 0, "\"%s\": %s", text, problem);
}

static void draw(struct rules *r, struct calendar *c, uint64_t *seed) {
        *r = (struct rules){ .window_count = suite_random(seed) % (RULES_MAX + 1),
                .blackout_count = suite_random(seed) % RULES_MAX };
        *c = (struct calendar){ 0 };
        for (size_t i = 0; i < r->window_count; i++) {
                r->windows[i] = draw_rule(seed);
                add(c, CALENDAR_WINDOWS, &r->windows[i], seed);
        }
        for (size_t i = 0; i < r->blackout_count; i++) {
                r->blackouts[i] = draw_rule(seed);
                add(c, CALENDAR_BLACKOUTS, &r->blackouts[i], seed);
        }
}

static uint64_t at_minute(const struct wall *w, size_t i) {
        return ((uint64_t)w->begin_s + i * 60) * USEC_PER_SEC;
}

/* The oracle's minute of that state, from i on; STRETCH_MINUTES: none that it can see. */
static size_t oracle_next(const bool *open, size_t i, bool state) {
        while (i < STRETCH_MINUTES && open[i] != state)
                i++;
        return i;
}

static void check_next(
        const struct calendar *c, const struct wall *w, const bool *open, size_t i, uint64_t offset_us, uint64_t seed) {
        uint64_t at_us = at_minute(w, i) + offset_us;
        ASSERT_SEEDED(seed, calendar_is_open(c, at_us) == open[i]);
        size_t opens = oracle_next(open, i, true), closes = oracle_next(open, i, false);
        uint64_t open_us = calendar_next_open(c, at_us), close_us = calendar_next_close(c, at_us);
        if (opens < STRETCH_MINUTES)
                ASSERT_SEEDED(seed, open_us == (opens == i ? at_us : at_minute(w, opens)));
        else
                ASSERT_SEEDED(seed, open_us >= at_minute(w, STRETCH_MINUTES));
        if (closes < STRETCH_MINUTES)
                ASSERT_SEEDED(seed, close_us == (closes == i ? at_us : at_minute(w, closes)));
        else
                ASSERT_SEEDED(seed, close_us >= at_minute(w, STRETCH_MINUTES));
}

/* open_before[i]: open minutes before minute i. */
static void check_sum(const struct calendar *c, const struct wall *w, const bool *open, const uint32_t *open_before,
        uint64_t *seed, uint64_t name) {
        size_t i = suite_random(seed) % STRETCH_MINUTES, j = suite_random(seed) % STRETCH_MINUTES;
        uint64_t i_us = suite_random(seed) % MINUTE_US, j_us = suite_random(seed) % MINUTE_US;
        if (j < i)
                ASSERT_SEEDED(name, calendar_open_us(c, at_minute(w, i), at_minute(w, j)) == 0);
        if (j <= i)
                return;
        uint64_t from_us = at_minute(w, i) + i_us, to_us = at_minute(w, j) + j_us;
        uint64_t expected_us = (open_before[j] - open_before[i]) * MINUTE_US + open[j] * j_us - open[i] * i_us;
        ASSERT_SEEDED(name, calendar_open_us(c, from_us, to_us) == expected_us);
        if (expected_us == 0)
                return;
        uint64_t wanted_us = 1 + suite_random(seed) % expected_us, end_us = calendar_after_open(c, from_us, wanted_us);
        ASSERT_SEEDED(name, end_us > from_us && end_us <= to_us);
        ASSERT_SEEDED(name, calendar_open_us(c, from_us, end_us) == wanted_us);
        ASSERT_SEEDED(name, calendar_open_us(c, from_us, end_us - 1) == wanted_us - 1);
}

static void check_calendars(const struct wall *w, uint64_t first_seed, size_t count) {
        static bool open[STRETCH_MINUTES];
        static uint32_t open_before[STRETCH_MINUTES + 1];
        for (uint64_t name = first_seed; name < first_seed + count; name++) {
                uint64_t seed = name;
                struct rules rules;
                struct calendar c;
                draw(&rules, &c, &seed);
                ask_oracle(open, &rules, w);
                for (size_t i = 0; i < STRETCH_MINUTES; i++)
                        open_before[i + 1] = open_before[i] + open[i];
                for (unsigned k = 0; k < 40; k++) {
                        size_t i = suite_random(&seed) % STRETCH_MINUTES;
                        check_next(&c, w, open, i, suite_random(&seed) % 2 ? 0 : suite_random(&seed) % MINUTE_US, name);
                        check_sum(&c, w, open, open_before, &seed, name);
                }
        }
}

START_TEST(random_calendars_agree_with_a_count_of_minutes) {
        static struct wall w;
        size_t rounds = ELEMENTS(zones) * ELEMENTS(stretch_days), each = SEEDS / rounds;
        set_zone(zones[_i / (int)ELEMENTS(stretch_days)]);
        read_wall(&w, stretch_days[_i % (int)ELEMENTS(stretch_days)] * 86400);
        check_calendars(&w, 1 + (uint64_t)_i * each, each);
}
END_TEST

static struct calendar windows(const char *first, const char *second) {
        struct calendar c = { 0 };
        char problem[CALENDAR_PROBLEM_BYTES] = "";
        const char *const texts[] = { first, second };
        for (size_t i = 0; i < ELEMENTS(texts); i++)
                if (texts[i])
                        ck_assert_msg(calendar_add(&c, CALENDAR_WINDOWS, texts[i], problem) == 0, "%s", problem);
        return c;
}

static uint64_t utc(int year, int month, int day, int hour, int minute) {
        struct tm tm = {
                .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute
        };
        return (uint64_t)timegm(&tm) * USEC_PER_SEC;
}

START_TEST(a_night_in_which_clocks_go_forward_is_an_hour_shorter) {
        struct calendar c = windows("22:00-06:00", NULL);
        set_zone("Europe/Berlin"); /* 2026-03-29, 02:00 to 03:00 */
        ck_assert_uint_eq(calendar_next_close(&c, utc(2026, 3, 28, 21, 0)), utc(2026, 3, 29, 4, 0));
        ck_assert_uint_eq(calendar_open_us(&c, utc(2026, 3, 28, 12, 0), utc(2026, 3, 29, 12, 0)), 7 * USEC_PER_HOUR);
        ck_assert_uint_eq(calendar_open_us(&c, utc(2026, 3, 27, 12, 0), utc(2026, 3, 28, 12, 0)), 8 * USEC_PER_HOUR);
}
END_TEST

START_TEST(a_night_in_which_clocks_go_back_is_an_hour_longer) {
        struct calendar c = windows("22:00-06:00", NULL);
        set_zone("America/New_York"); /* 2026-11-01, 02:00 to 01:00 */
        ck_assert_uint_eq(calendar_next_close(&c, utc(2026, 11, 1, 2, 0)), utc(2026, 11, 1, 11, 0));
        ck_assert_uint_eq(calendar_open_us(&c, utc(2026, 10, 31, 18, 0), utc(2026, 11, 1, 18, 0)), 9 * USEC_PER_HOUR);
}
END_TEST

START_TEST(a_window_in_the_hour_that_is_left_out_opens_a_week_later) {
        struct calendar c = windows("Sun 02:15-02:45", NULL);
        set_zone("Europe/Berlin");
        ck_assert_uint_eq(calendar_next_open(&c, utc(2026, 3, 28, 12, 0)), utc(2026, 4, 5, 0, 15));
}
END_TEST

START_TEST(a_window_in_the_hour_that_comes_twice_opens_twice) {
        struct calendar c = windows("Sun 02:15-02:45", NULL);
        set_zone("Europe/Berlin"); /* 2026-10-25, 03:00 to 02:00 */
        ck_assert_uint_eq(calendar_next_open(&c, utc(2026, 10, 24, 12, 0)), utc(2026, 10, 25, 0, 15));
        ck_assert_uint_eq(calendar_next_close(&c, utc(2026, 10, 25, 0, 15)), utc(2026, 10, 25, 0, 45));
        ck_assert_uint_eq(calendar_next_open(&c, utc(2026, 10, 25, 0, 45)), utc(2026, 10, 25, 1, 15));
}
END_TEST

START_TEST(half_an_hour_is_a_change_of_the_clock_too) {
        struct calendar c = windows("Sun 01:00-03:00", NULL);
        set_zone("Australia/Lord_Howe"); /* 2026-04-05, 02:00 to 01:30; 2026-10-04, 02:00 to 02:30 */
        ck_assert_uint_eq(calendar_open_us(&c, utc(2026, 4, 4, 0, 0), utc(2026, 4, 5, 12, 0)), 150 * 60 * USEC_PER_SEC);
        ck_assert_uint_eq(
                calendar_open_us(&c, utc(2026, 10, 3, 0, 0), utc(2026, 10, 4, 12, 0)), 90 * 60 * USEC_PER_SEC);
}
END_TEST

START_TEST(a_leap_day_is_a_day_of_the_week_as_any_other) {
        struct calendar c = windows("Tue 10:00-11:00", "Wed 10:00-11:00");
        set_zone("UTC"); /* 2028-02-29 is a Tuesday */
        ck_assert_uint_eq(calendar_next_open(&c, utc(2028, 2, 28, 12, 0)), utc(2028, 2, 29, 10, 0));
        ck_assert_uint_eq(calendar_next_open(&c, utc(2028, 2, 29, 12, 0)), utc(2028, 3, 1, 10, 0));
}
END_TEST

START_TEST(a_year_has_the_open_time_that_its_days_have) {
        struct calendar c = windows("Mon..Fri 22:00-06:00", "Sat,Sun");
        set_zone("Europe/Berlin");
        uint64_t sum_us = 0, from_us = utc(2027, 12, 31, 23, 0);
        for (unsigned day = 0; day < 366; day++)
                sum_us += calendar_open_us(&c, from_us + day * USEC_PER_DAY, from_us + (day + 1) * USEC_PER_DAY);
        ck_assert_uint_eq(calendar_open_us(&c, from_us, from_us + 366 * USEC_PER_DAY), sum_us);
        ck_assert_uint_eq(calendar_after_open(&c, from_us, sum_us), from_us + 366 * USEC_PER_DAY);
}
END_TEST

START_TEST(years_have_the_open_time_of_their_weeks_in_zones_that_change_twice_within_weeks_too) {
        static const char *const texts[][2] = { { "22:00-06:00", NULL }, { "Sun 02:15-02:45", "Sat 00:00-05:00" } };
        for (size_t i = 0; i < ELEMENTS(zones) * ELEMENTS(texts); i++) {
                struct calendar c = windows(texts[i % 2][0], texts[i % 2][1]);
                set_zone(zones[i / 2]);
                for (unsigned weeks = 1; weeks <= 156; weeks += 31) {
                        uint64_t sum_us = 0, from_us = utc(2026, 1, 7, 13, 0), span_us = weeks * 7 * USEC_PER_DAY;
                        for (uint64_t at_us = from_us; at_us < from_us + span_us; at_us += USEC_PER_DAY)
                                sum_us += calendar_open_us(&c, at_us, at_us + USEC_PER_DAY);
                        ck_assert_uint_eq(calendar_open_us(&c, from_us, from_us + span_us), sum_us);
                        uint64_t end_us = calendar_after_open(&c, from_us, sum_us);
                        ck_assert_uint_eq(calendar_open_us(&c, from_us, end_us), sum_us);
                        ck_assert_uint_le(end_us, from_us + span_us);
                }
        }
}
END_TEST

START_TEST(a_span_of_a_century_is_measured_as_fast_as_one_of_years) {
        struct calendar c = windows("Mon..Fri 22:00-06:00", "Sat,Sun");
        uint64_t from_us = utc(2026, 11, 22, 12, 0), century_us = 36500 * USEC_PER_DAY;
        set_zone("Europe/Berlin");
        clock_t began = clock();
        for (unsigned i = 0; i < 1000; i++) {
                uint64_t open_us = calendar_open_us(&c, from_us + i, from_us + i + century_us);
                double share = (double)open_us / (double)century_us;
                double week = (double)calendar_week_minutes(&c) / CALENDAR_WEEK_MINUTES;
                ck_assert(share > week * 0.9999 && share < week * 1.0001);
        }
        clock_t century_took = clock() - began;
        began = clock();
        for (unsigned i = 0; i < 1000; i++)
                ck_assert_uint_gt(calendar_open_us(&c, from_us + i, from_us + i + 3 * 365 * USEC_PER_DAY), 0);
        ck_assert_int_lt(century_took, 4 * (clock() - began));
}
END_TEST

START_TEST(open_time_that_has_passed_ends_with_the_window) {
        struct calendar c = windows("Mon 10:00-11:00", NULL);
        set_zone("UTC"); /* 2026-11-23 is a Monday */
        ck_assert_uint_eq(
                calendar_after_open(&c, utc(2026, 11, 23, 10, 0), 2 * USEC_PER_HOUR), utc(2026, 11, 30, 11, 0));
}
END_TEST

START_TEST(the_longest_window_may_go_over_the_end_of_the_week_and_is_cut_by_blackouts) {
        struct calendar c = windows("Mon..Fri 01:00-01:30", "Sun 22:00-03:00");
        char problem[CALENDAR_PROBLEM_BYTES];
        ck_assert_uint_eq(calendar_longest_minutes(&c), 5 * 60);
        ck_assert_int_eq(calendar_add(&c, CALENDAR_BLACKOUTS, "Mon 00:00-00:10", problem), 0);
        ck_assert_uint_eq(calendar_longest_minutes(&c), 3 * 60 - 10);
        ck_assert_int_eq(calendar_add(&c, CALENDAR_BLACKOUTS, "Mon..Sun", problem), 0);
        ck_assert_uint_eq(calendar_longest_minutes(&c), 0);
        calendar_clear(&c, CALENDAR_BLACKOUTS);
        ck_assert_uint_eq(calendar_longest_minutes(&c), 5 * 60);
        ck_assert_int_eq(calendar_add(&c, CALENDAR_WINDOWS, "Sun..Mon", problem), 0);
        ck_assert_uint_eq(calendar_longest_minutes(&c), 2 * 24 * 60);
        calendar_clear(&c, CALENDAR_WINDOWS);
        ck_assert_uint_eq(calendar_longest_minutes(&c), CALENDAR_WEEK_MINUTES);
}
END_TEST

START_TEST(the_longest_window_is_not_counted_each_time) {
        struct calendar c = windows("Mon..Fri 01:00-01:30", "Sun 22:00-03:00");
        uint64_t sum = 0;
        clock_t began = clock();
        for (unsigned i = 0; i < 1000000; i++)
                sum += calendar_longest_minutes(&c);
        ck_assert_uint_eq(sum, 1000000 * 5 * 60);
        ck_assert_int_lt(clock() - began, CLOCKS_PER_SEC);
}
END_TEST

START_TEST(no_calendar_and_an_empty_one_are_always_open) {
        struct calendar empty = { 0 };
        const struct calendar *const always[] = { NULL, &empty };
        for (size_t i = 0; i < ELEMENTS(always); i++) {
                uint64_t now_us = utc(2026, 11, 22, 12, 0) + 17;
                ck_assert(calendar_is_open(always[i], now_us));
                ck_assert_uint_eq(calendar_next_open(always[i], now_us), now_us);
                ck_assert(calendar_next_close(always[i], now_us) == CALENDAR_NEVER);
                ck_assert_uint_eq(calendar_open_us(always[i], now_us, now_us + 5), 5);
                ck_assert_uint_eq(calendar_after_open(always[i], now_us, 5), now_us + 5);
                ck_assert_uint_eq(calendar_week_minutes(always[i]), CALENDAR_WEEK_MINUTES);
                ck_assert_uint_eq(calendar_longest_minutes(always[i]), CALENDAR_WEEK_MINUTES);
        }
}
END_TEST

START_TEST(calendars_are_equal_in_windows_and_blackouts) {
        struct calendar a = windows("Sat,Sun", NULL), b = windows("Sun,Sat", NULL);
        char problem[CALENDAR_PROBLEM_BYTES];
        ck_assert(calendar_equals(&a, &b) && calendar_equals(NULL, NULL));
        ck_assert(!calendar_equals(&a, NULL) && !calendar_equals(NULL, &a));
        ck_assert_int_eq(calendar_add(&b, CALENDAR_BLACKOUTS, "Sat 10:00-10:01", problem), 0);
        ck_assert(!calendar_equals(&a, &b));
        b = windows("Sat,Sun", "Mon 10:00-10:01");
        ck_assert(!calendar_equals(&a, &b));
}
END_TEST

START_TEST(what_blackouts_leave_nothing_of_never_opens) {
        struct calendar c = windows("Sat,Sun", NULL);
        char problem[CALENDAR_PROBLEM_BYTES];
        ck_assert_int_eq(calendar_add(&c, CALENDAR_BLACKOUTS, "Fri..Mon", problem), 0);
        ck_assert_uint_eq(calendar_week_minutes(&c), 0);
        ck_assert(calendar_next_open(&c, utc(2026, 11, 22, 12, 0)) == CALENDAR_NEVER);
        ck_assert(calendar_after_open(&c, utc(2026, 11, 22, 12, 0), 1) == CALENDAR_NEVER);
        ck_assert_uint_eq(calendar_open_us(&c, 0, utc(2026, 11, 22, 12, 0)), 0);
        calendar_clear(&c, CALENDAR_BLACKOUTS);
        ck_assert_uint_eq(calendar_week_minutes(&c), 2 * 24 * 60);
}
END_TEST

START_TEST(clocks_that_are_far_off_are_answered_too) {
        struct calendar c = windows("22:00-06:00", NULL);
        for (size_t i = 0; i < ELEMENTS(zones); i++) {
                set_zone(zones[i]);
                ck_assert_uint_le(calendar_next_open(&c, 0), USEC_PER_DAY);
                ck_assert_uint_le(calendar_next_close(&c, 1), USEC_PER_DAY);
                ck_assert_uint_lt(calendar_next_open(&c, utc(9998, 1, 1, 0, 0)), utc(9998, 1, 3, 0, 0));
                ck_assert(calendar_next_open(&c, UINT64_MAX - 5) == CALENDAR_NEVER);
                ck_assert(calendar_next_close(&c, UINT64_MAX - 5) == CALENDAR_NEVER);
                calendar_is_open(&c, UINT64_MAX - 5);
                ck_assert_uint_gt(calendar_open_us(&c, 0, UINT64_MAX - 5), USEC_PER_DAY * 365 * 8000 / 3);
        }
}
END_TEST

START_TEST(what_is_no_window_is_told_word_by_word) {
        static const struct {
                const char *text, *words;
        } bad[] = {
                { "Mon..Fry 22:00-06:00", "\"Fry\" is no day" },
                { "Mo 22:00-06:00", "\"Mo\" is no day" },
                { "Mon.Fri", "\".Fri\" is too much" },
                { "Mon,", "a day is missing" },
                { "Mon..", "a day is missing" },
                { "Mon 22:00", "after 22:00 comes -" },
                { "22:00-", "a time of day is missing" },
                { "22:00-6:00", "\"6:00\" is no time of day" },
                { "25:00-26:00", "\"25:00\" is no time of day" },
                { "22:60-23:00", "\"22:60\" is no time of day" },
                { "24:01-23:00", "\"24:01\" is no time of day" },
                { "24:00-06:00", "24:00 is an end" },
                { "06:00-06:00", "ends where it begins" },
                { "22:00-06:00 Mon", "\" Mon\" is too much" },
                { "22:00-06:00,", "\",\" is too much" },
                { "Mon ", "a time of day is missing" },
                { "daily", "\"daily\" is no day" },
                { " ", "\" \" is no day" },
        };
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                static const uint64_t none[CALENDAR_WORDS];
                struct calendar c = { 0 };
                char problem[CALENDAR_PROBLEM_BYTES] = "";
                ck_assert_int_lt(calendar_add(&c, CALENDAR_WINDOWS, bad[i].text, problem), 0);
                ck_assert_msg(strstr(problem, bad[i].words) != NULL, "\"%s\": \"%s\" does not say %s", bad[i].text,
                        problem, bad[i].words);
                ck_assert(!c.has_windows && c.closed_minutes == 0);
                ck_assert_int_eq(memcmp(c.windows, none, sizeof none), 0);
        }
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("calendar");
        tcase_add_loop_test(tests, random_calendars_agree_with_a_count_of_minutes, 0,
                (int)(ELEMENTS(zones) * ELEMENTS(stretch_days)));
        tcase_add_test(tests, a_night_in_which_clocks_go_forward_is_an_hour_shorter);
        tcase_add_test(tests, a_night_in_which_clocks_go_back_is_an_hour_longer);
        tcase_add_test(tests, a_window_in_the_hour_that_is_left_out_opens_a_week_later);
        tcase_add_test(tests, a_window_in_the_hour_that_comes_twice_opens_twice);
        tcase_add_test(tests, half_an_hour_is_a_change_of_the_clock_too);
        tcase_add_test(tests, a_leap_day_is_a_day_of_the_week_as_any_other);
        tcase_add_test(tests, a_year_has_the_open_time_that_its_days_have);
        tcase_add_test(tests, years_have_the_open_time_of_their_weeks_in_zones_that_change_twice_within_weeks_too);
        tcase_add_test(tests, a_span_of_a_century_is_measured_as_fast_as_one_of_years);
        tcase_add_test(tests, open_time_that_has_passed_ends_with_the_window);
        tcase_add_test(tests, the_longest_window_may_go_over_the_end_of_the_week_and_is_cut_by_blackouts);
        tcase_add_test(tests, the_longest_window_is_not_counted_each_time);
        tcase_add_test(tests, no_calendar_and_an_empty_one_are_always_open);
        tcase_add_test(tests, calendars_are_equal_in_windows_and_blackouts);
        tcase_add_test(tests, what_blackouts_leave_nothing_of_never_opens);
        tcase_add_test(tests, clocks_that_are_far_off_are_answered_too);
        tcase_add_test(tests, what_is_no_window_is_told_word_by_word);
        return suite_run("calendar", tests);
}
