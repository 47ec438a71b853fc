/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sweep that keeps to the rate that it needs ends at its deadline exactly, and late if anything goes wrong: so it is
 * told to be done a little earlier. What else could go wrong is arithmetic: bytes times microseconds does not fit into
 * 64 bits, an open time of zero divides badly, and a rate that is asked for the last seconds of a period is absurd.
 */
#include "plan/pacing.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "plan/calendar.h"
#include "plan/schedule.h"

#include <assert.h>
#include <errno.h>

enum {
        MARGIN_PERCENT = 95, /* of the open time is planned with, where nothing is spared */
        BY_HAND_PERCENT = 25 /* of limits.rate, at least, where sweeps were started by hand */
};

#define MINUTE_US (60 * USEC_PER_SEC)

/* Beyond what any disk does: a limit would only cost. */
#define RATE_ABSURD (UINT64_C(64) << 30)

/* bytes / time, rounded up. */
static uint64_t rate_for(uint64_t bytes, uint64_t open_us) {
        if (bytes == 0)
                return 0;
        if (open_us == 0)
                return PACING_ALL;
        double rate = (double)bytes * (double)USEC_PER_SEC / (double)open_us;
        return rate >= (double)RATE_ABSURD ? PACING_ALL : (uint64_t)rate + 1;
}

static uint64_t time_for(uint64_t bytes, uint64_t rate) {
        assert(rate > 0);
        double us = (double)bytes * (double)USEC_PER_SEC / (double)rate;
        return us < (double)INT64_MAX ? (uint64_t)us + 1 : INT64_MAX;
}

static uint64_t with_margin(uint64_t open_us) {
        return open_us / 100 * MARGIN_PERCENT + open_us % 100 * MARGIN_PERCENT / 100;
}

/* Whether it takes part in what is planned. */
static bool is_planned(const struct pacing_job *j) {
        return !j->by_hand && j->deadline_us != SCHEDULE_NEVER && j->left_bytes > 0;
}

/* Fixed before the deadline: a share of what is left of the time would end only with the time itself. */
static uint64_t time_to_aim(const struct pacing_job *j, uint64_t now_us) {
        uint64_t aim_us = j->deadline_us > j->spare_us ? j->deadline_us - j->spare_us : 0;
        uint64_t open_us = j->spare_us > 0 ? calendar_open_us(j->calendar, MAX(j->from_us, now_us), aim_us) : 0;
        return open_us > 0 ? open_us : with_margin(j->open_us);
}

/* It is done anew where a window closes before it is through, so no sweep that is slower ever gets any further. */
static uint64_t rate_for_lump(const struct pacing_job *j) {
        uint64_t bytes = MIN(j->lump_bytes, j->left_bytes);
        unsigned minutes = calendar_longest_minutes(j->calendar);
        if (bytes == 0 || minutes == CALENDAR_WEEK_MINUTES)
                return 0;
        uint64_t longest_us = minutes * MINUTE_US;
        return rate_for(bytes, longest_us > j->lump_wait_us ? with_margin(longest_us - j->lump_wait_us) : 0);
}

static void judge_alone(struct pacing_job *j, const struct pacing_limits *limits, uint64_t now_us) {
        uint64_t caps[] = { j->rate_max, j->speed, limits->rate };
        j->possible = PACING_ALL;
        for (size_t i = 0; i < ELEMENTS(caps); i++)
                if (caps[i] > 0)
                        j->possible = MIN(j->possible, caps[i]);
        j->open_us = is_planned(j) ? calendar_open_us(j->calendar, MAX(j->from_us, now_us), j->deadline_us) : 0;
        j->until_us = j->from_us > now_us && is_planned(j) ? calendar_open_us(j->calendar, now_us, j->deadline_us)
                                                           : j->open_us;
        j->aim_us = is_planned(j) ? time_to_aim(j, now_us) : 0;
        j->need = is_planned(j) ? rate_for(j->left_bytes, j->aim_us) : 0;
        j->host_need = is_planned(j) ? rate_for(j->left_bytes, j->open_us) : 0;
        j->lump_need = is_planned(j) ? rate_for_lump(j) : 0;
        j->short_of = PACING_IN_TIME;
        if (!is_planned(j))
                return;
        if (j->open_us == 0 || j->lost_us > 0)
                j->short_of = PACING_NO_TIME;
        else if (j->lump_need == PACING_ALL || j->lump_need > j->possible)
                j->short_of = PACING_WINDOW;
        else if (rate_for(j->left_bytes, j->open_us) > j->possible)
                j->short_of = j->possible == j->rate_max ? PACING_RATE_MAX
                        : j->possible == j->speed        ? PACING_SPEED
                                                         : PACING_HOST;
}

/* By deadline, so that a prefix is all that is due by one; else as they came, so that each look sees the same. */
static int by_deadline(const void *a, const void *b) {
        const struct pacing_job *const *p = a, *const *q = b;
        int order = ((*p)->deadline_us > (*q)->deadline_us) - ((*p)->deadline_us < (*q)->deadline_us);
        return order ? order : (*p > *q) - (*p < *q);
}

/* The jobs of a group, sorted. */
struct group {
        struct pacing_job **jobs;
        size_t count;
        enum pace_rule rule; /* of who is hurried for the others */
};

static uint64_t plus(uint64_t a, uint64_t b) {
        uint64_t sum;
        return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/*
 * R, over all that is due. Windows may differ: the time until a deadline is that of the one that has most of it. A
 * group in which all may run at a time needs what its members need, so what begins later takes no part, nor does what
 * no hurry can help: one that is late goes as fast as it can by itself.
 */
static uint64_t needed_rate(const struct group *g, unsigned at_a_time) {
        uint64_t needed = 0, bytes = 0, aim_us = 0, deadline_us = 0;
        bool crowded = at_a_time > 0 && g->count > at_a_time;
        for (size_t i = 0; i < g->count; i++) {
                const struct pacing_job *j = g->jobs[i];
                if (j->open_us == 0 || (!j->running && !crowded))
                        continue;
                bytes = plus(bytes, j->left_bytes);
                aim_us = MAX(aim_us, j->aim_us);
                deadline_us = j->deadline_us;
                if (i + 1 < g->count && g->jobs[i + 1]->deadline_us == deadline_us)
                        continue;
                needed = MAX(needed, rate_for(bytes, aim_us));
        }
        return needed;
}

static void hurry(struct pacing_job *j, uint64_t rate, enum pace_rule rule) {
        if (rate <= j->rate)
                return;
        j->rate = rate;
        j->rule = rule;
}

/* R among those that run, by what they have to do anyway. */
static void share_out(const struct group *g, uint64_t needed) {
        double sum = 0;
        for (size_t i = 0; i < g->count; i++)
                if (g->jobs[i]->running)
                        sum += (double)g->jobs[i]->rate;
        for (size_t i = 0; i < g->count && sum > 0; i++) {
                struct pacing_job *j = g->jobs[i];
                if (!j->running || j->rate == PACING_ALL)
                        continue;
                double share = (double)needed * ((double)j->rate / sum);
                bool all = needed == PACING_ALL || share >= (double)RATE_ABSURD;
                hurry(j, all ? PACING_ALL : (uint64_t)share, g->rule);
        }
}

/* What the first of a group have until the last of their deadlines: all of it, where windows differ. Asked of one after
 * the other; *alike: so far. */
static uint64_t time_of_first(const struct group *g, size_t last, bool *alike, uint64_t now_us) {
        const struct pacing_job *j = g->jobs[last];
        *alike = last == 0 || (*alike && calendar_equals(g->jobs[last - 1]->calendar, j->calendar));
        if (*alike)
                return j->until_us;
        return j->deadline_us > now_us ? j->deadline_us - now_us : 0;
}

/* limits.rate is not enough for all that is due by some deadline: who has that one is told. */
static void judge_host(const struct group *g, uint64_t limit, uint64_t now_us) {
        uint64_t bytes = 0;
        bool alike = true;
        for (size_t i = 0; i < g->count; i++) {
                struct pacing_job *j = g->jobs[i];
                bytes = plus(bytes, j->left_bytes);
                j->host_need = MAX(j->host_need, rate_for(bytes, time_of_first(g, i, &alike, now_us)));
                if (j->short_of == PACING_IN_TIME && j->host_need > limit)
                        j->short_of = PACING_HOST;
        }
}

/* One of as many as may run at a time. What runs keeps it to its end, and is followed by who waits. */
struct place {
        struct pacing_job *runs; /* NULL: it is free */
        uint64_t load;           /* of all that has it until now: bytes, or time */
        uint64_t rate;           /* that lets all of them end in time */
};

static uint64_t bytes_of(const struct pacing_job *j) {
        return j->left_bytes;
}

/* One whose speed is not known counts as if it took no time. */
static uint64_t least_time_of(const struct pacing_job *j) {
        return j->possible == PACING_ALL ? 0 : time_for(j->left_bytes, j->possible);
}

/* All that run have places, even if fewer may begin now. Returns how many places there are. */
static size_t seat(struct place *places, const struct group *g, unsigned at_a_time,
        uint64_t (*load_of)(const struct pacing_job *)) {
        size_t n = 0;
        for (size_t i = 0; i < g->count; i++)
                if (g->jobs[i]->running)
                        places[n++] = (struct place){ .runs = g->jobs[i], .load = load_of(g->jobs[i]) };
        while (n < at_a_time)
                places[n++] = (struct place){ 0 };
        return n;
}

static struct place *least_loaded(struct place *places, size_t count) {
        struct place *best = &places[0];
        for (size_t i = 1; i < count; i++)
                if (places[i].load < best->load)
                        best = &places[i];
        return best;
}

/* What runs is not interrupted for what is due earlier, so it has to be done in time for that. */
static void make_room(const struct group *g, struct place *places, unsigned at_a_time, uint64_t now_us) {
        size_t count = seat(places, g, at_a_time, bytes_of);
        bool alike = true;
        for (size_t i = 0; i < g->count; i++) {
                const struct pacing_job *j = g->jobs[i];
                uint64_t open_us = time_of_first(g, i, &alike, now_us);
                if (j->running || j->open_us == 0)
                        continue;
                struct place *p = least_loaded(places, count);
                p->load = plus(p->load, j->left_bytes);
                p->rate = MAX(p->rate, rate_for(p->load, with_margin(open_us)));
        }
        for (size_t i = 0; i < count; i++)
                if (places[i].runs)
                        hurry(places[i].runs, places[i].rate, g->rule);
}

/* Who has to wait too long for what runs, and for what is due earlier, is told now and not when its own time is too
 * short. */
static void judge_crowd(const struct group *g, struct place *places, unsigned at_a_time, uint64_t now_us) {
        size_t count = seat(places, g, at_a_time, least_time_of);
        bool alike = true;
        for (size_t i = 0; i < g->count; i++) {
                struct pacing_job *j = g->jobs[i];
                uint64_t open_us = time_of_first(g, i, &alike, now_us);
                if (j->running)
                        continue;
                struct place *p = least_loaded(places, count);
                p->load = plus(p->load, least_time_of(j));
                if (j->short_of != PACING_IN_TIME || p->load <= open_us)
                        continue;
                j->short_of = PACING_CROWD;
                j->crowd_us = p->load;
                j->crowd_open_us = open_us;
        }
}

/* places: room for as many as the group has. limit: the rule that lets no more run at a time. */
static void plan_group(
        struct group *g, struct place *places, unsigned at_a_time, enum pace_rule limit, uint64_t now_us) {
        bool crowded = at_a_time > 0 && g->count > at_a_time;
        g->rule = crowded ? limit : PACE_RULE_DEADLINE;
        if (crowded) {
                make_room(g, places, at_a_time, now_us);
                judge_crowd(g, places, at_a_time, now_us);
        }
        share_out(g, needed_rate(g, at_a_time));
}

static void collect(struct group *g, struct pacing_job *jobs, size_t count, uint64_t controller) {
        g->count = 0;
        for (size_t i = 0; i < count; i++)
                if (is_planned(&jobs[i]) && (controller == 0 || jobs[i].controller == controller))
                        g->jobs[g->count++] = &jobs[i];
        qsort(g->jobs, g->count, sizeof(struct pacing_job *), by_deadline);
}

/* Each controller once: with the first of its jobs. */
static bool is_first_of(const struct pacing_job *jobs, size_t index) {
        for (size_t i = 0; i < index; i++)
                if (jobs[i].controller == jobs[index].controller)
                        return false;
        return jobs[index].controller != 0;
}

static void bound(struct pacing_job *j) {
        if (j->by_hand || j->deadline_us == SCHEDULE_NEVER)
                hurry(j, PACING_ALL, PACE_RULE_DEVICE);
        hurry(j, j->rate_min, PACE_RULE_RATE_MIN);
        hurry(j, j->lump_need, PACE_RULE_WINDOW);
        if (j->rate_max == 0 || j->rate < j->rate_max)
                return;
        j->rate = j->rate_max;
        j->rule = PACE_RULE_RATE_MAX;
}

/* All together keep to the limit; who was started by hand leaves most of it to those that have a deadline. */
static void keep_limit(struct pacing_job *jobs, size_t count, uint64_t limit) {
        double planned = 0, by_hand = 0;
        for (size_t i = 0; i < count; i++)
                if (jobs[i].running)
                        *(jobs[i].by_hand ? &by_hand : &planned) += (double)MIN(jobs[i].rate, limit);
        double room = (double)limit, most = by_hand > 0 ? room * (100 - BY_HAND_PERCENT) / 100 : room;
        double for_planned = MIN(planned, planned + by_hand > room ? MAX(most, room - by_hand) : room);
        for (size_t i = 0; i < count; i++) {
                struct pacing_job *j = &jobs[i];
                double all = j->by_hand ? by_hand : planned, share = j->by_hand ? room - for_planned : for_planned;
                uint64_t rate = MAX((uint64_t)((double)MIN(j->rate, limit) * (all > share ? share / all : 1)), 1);
                if (!j->running)
                        continue;
                j->rule = rate < j->rate ? PACE_RULE_LIMITS_RATE : j->rule;
                j->rate = rate;
        }
}

static void lift_absurd(struct pacing_job *j) {
        if (j->rate > 0 && j->rate < RATE_ABSURD)
                return;
        j->rate = 0;
        j->rule = PACE_RULE_DEVICE;
}

int pacing_plan(struct pacing_job *jobs, size_t count, const struct pacing_limits *limits, uint64_t now_us) {
        CLEANUP_FREE struct pacing_job **sorted = calloc(count + 1, sizeof(struct pacing_job *));
        CLEANUP_FREE struct place *places = calloc(count + 1, sizeof(struct place));
        if (!sorted || !places)
                return -ENOMEM;
        struct group g = { .jobs = sorted };
        for (size_t i = 0; i < count; i++) {
                judge_alone(&jobs[i], limits, now_us);
                jobs[i].rate = jobs[i].need;
                jobs[i].rule = PACE_RULE_DEADLINE;
        }
        for (size_t i = 0; i < count; i++) {
                if (!is_first_of(jobs, i))
                        continue;
                collect(&g, jobs, count, jobs[i].controller);
                plan_group(&g, places, limits->per_controller, PACE_RULE_PER_CONTROLLER, now_us);
        }
        collect(&g, jobs, count, 0);
        plan_group(&g, places, limits->concurrent_sweeps, PACE_RULE_CONCURRENT_SWEEPS, now_us);
        if (limits->rate > 0)
                judge_host(&g, limits->rate, now_us);
        for (size_t i = 0; i < count; i++)
                bound(&jobs[i]);
        if (limits->rate > 0)
                keep_limit(jobs, count, limits->rate);
        for (size_t i = 0; i < count; i++)
                lift_absurd(&jobs[i]);
        return 0;
}

/* To whole minutes, hours or days, as a person would write it. */
static uint64_t round_up(uint64_t span_us) {
        uint64_t step_us = span_us > 2 * USEC_PER_DAY ? USEC_PER_DAY
                : span_us > 2 * USEC_PER_HOUR         ? USEC_PER_HOUR
                                                      : MINUTE_US;
        return (span_us + step_us - 1) / step_us * step_us;
}

/* The end of so many bytes that are begun now. */
static uint64_t end_of(const struct pacing_job *j, uint64_t bytes, uint64_t rate, uint64_t from_us) {
        return calendar_after_open(j->calendar, from_us, time_for(bytes, rate));
}

static void advise_window(struct pacing_advice *ret, const struct pacing_job *j) {
        uint64_t bytes = MIN(j->lump_bytes, j->left_bytes);
        uint64_t possible = j->possible == PACING_ALL ? MAX(j->rate_min, 1) : j->possible;
        uint64_t us = j->lump_wait_us + time_for(bytes, possible) / MARGIN_PERCENT * 100;
        if (us <= CALENDAR_WEEK_MINUTES * MINUTE_US)
                ret->window_minutes = (unsigned)((us + MINUTE_US - 1) / MINUTE_US);
        if (j->lump_need != PACING_ALL && j->possible == j->rate_max)
                ret->rate = (j->lump_need + (1 << 20) - 1) >> 20 << 20;
}

static void advise_crowd(struct pacing_advice *ret, const struct pacing_job *j, uint64_t every_us) {
        double factor = (double)j->crowd_us / (double)MAX(j->crowd_open_us, 1);
        double minutes = (double)calendar_week_minutes(j->calendar) * factor;
        if (minutes + 60 <= CALENDAR_WEEK_MINUTES)
                ret->open_minutes_a_week = ((unsigned)minutes + 60) / 60 * 60;
        if (factor < 1000)
                ret->every_us = round_up((uint64_t)((double)every_us * factor) / MARGIN_PERCENT * 100);
}

void pacing_advise(struct pacing_advice *ret, const struct pacing_job *job, uint64_t work_bytes, uint64_t every_us,
        uint64_t now_us) {
        assert(job->short_of != PACING_IN_TIME);
        *ret = (struct pacing_advice){ 0 };
        if (job->short_of == PACING_WINDOW) {
                advise_window(ret, job);
                return;
        }
        if (job->short_of == PACING_CROWD) {
                advise_crowd(ret, job, every_us);
                return;
        }
        uint64_t from_us = MAX(job->from_us, now_us);
        uint64_t possible = job->possible == PACING_ALL ? MAX(job->rate_min, 1) : job->possible;
        uint64_t needed = job->short_of == PACING_HOST ? job->host_need : rate_for(job->left_bytes, job->open_us);
        bool by_rate = job->short_of == PACING_RATE_MAX || job->short_of == PACING_HOST;
        if (by_rate && needed != PACING_ALL)
                ret->rate = (needed + (1 << 20) - 1) >> 20 << 20;
        /* As much more of the week, or of time, as there is more to do than can be done. */
        double factor = needed == PACING_ALL ? 0 : (double)needed / (double)possible;
        double minutes = (double)calendar_week_minutes(job->calendar) * factor;
        if (factor > 1 && minutes + 60 <= CALENDAR_WEEK_MINUTES)
                ret->open_minutes_a_week = ((unsigned)minutes + 60) / 60 * 60;
        if (job->short_of == PACING_HOST && factor > 1 && factor < 1000) {
                ret->every_us = round_up((uint64_t)((double)every_us * factor) / MARGIN_PERCENT * 100);
                return;
        }
        uint64_t deadline_us = job->lost_us > 0 ? job->lost_us : job->deadline_us;
        uint64_t begin_us = deadline_us > every_us ? deadline_us - every_us : 0;
        uint64_t end_us = end_of(job, job->left_bytes, possible, from_us);
        uint64_t anew_us = end_of(job, work_bytes, possible, from_us);
        if (end_us == CALENDAR_NEVER || anew_us == CALENDAR_NEVER)
                return;
        ret->every_us = round_up(MAX(end_us - begin_us, anew_us - from_us) / MARGIN_PERCENT * 100);
}
