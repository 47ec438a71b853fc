/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applies the plan to what runs: how fast each sweep goes, and which deadlines can't be met. What could go wrong: a
 * clock that is set, or a host that slept for weeks, makes everything due at once, so the moment since which the clock
 * can be believed is kept; rates that are computed once drift away from what is left to do, so they are computed
 * again; and an alert that comes and goes with each look is soon ignored, so it ends only with some room to spare.
 */
#include "manager_private.h"

#include "media/sysfs.h"
#include "plan/calendar.h"

#include <inttypes.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-id128.h>

#define CLOCK_STEP_US     (60 * USEC_PER_SEC)            /* a difference that slewing does not make */
#define ASLEEP_US         (UINT64_C(600) * USEC_PER_SEC) /* without a look: the host was suspended */
#define RATE_AGAIN_MAX_US (60 * USEC_PER_SEC)
#define RATE_AGAIN_MIN_US USEC_PER_SEC
#define SPEED_SPAN_US     (20 * USEC_PER_SEC) /* over which a speed means something */

enum {
        SPEED_LOOKS = 3,           /* that tell the same before it is believed */
        SPEED_BEHIND_PERCENT = 80, /* of what it was told: then it could not go faster */
        LOOKS_UNTIL_DEADLINE = 20
};

/* --- the clock --- */

static uint64_t host_number(void) {
        sd_id128_t id;
        return sd_id128_get_machine(&id) < 0 ? 0 : id.qwords[0] ^ id.qwords[1];
}

static void set_terms(struct manager *m) {
        for (size_t i = 0; i < m->device_count; i++) {
                m->devices[i]->plan.seed = m->planner.seed;
                m->devices[i]->plan.awake_us = m->planner.awake_us;
        }
}

void planner_begin(struct manager *m) {
        m->planner = (struct planner){ .seed = host_number(), .awake_us = clock_wall_us() };
        set_terms(m);
}

/* Those that come later were configured since, but for disks of which the ledger knows that they waited. */
void planner_note_boot(const struct manager *m, struct device *d, const struct ledger_device *past) {
        bool waited = past && (past->resume || past->intent.unchecked_us > 0 || past->last.id > 0);
        d->plan.after_boot |= m->booted && (!m->ready || waited);
}

/* A time of day at which a refusal was to be looked at again says nothing any more: by a clock that was set back it may
 * be years ahead, with originals waiting in an undo journal. */
static void look_again_now(struct manager *m, uint64_t wall_us) {
        for (size_t i = 0; i < m->device_count; i++)
                m->devices[i]->look_again_us = MIN(m->devices[i]->look_again_us, wall_us);
        for (size_t i = 0; i < m->leaving_count; i++)
                m->leaving[i]->look_again_us = MIN(m->leaving[i]->look_again_us, wall_us);
}

/* Boards without a battery begin their first sweep years ago, and NTP comes later: a period that is reckoned from there
 * would be over, and missed, when the sweep ends. */
static void date_anew(struct manager *m, uint64_t monotonic_us, uint64_t wall_us) {
        for (size_t i = 0; i < m->device_count; i++) {
                struct device *d = m->devices[i];
                uint64_t ago_us = monotonic_us - d->began_us;
                if (d->began_us == 0 || d->began_us > monotonic_us || ago_us >= wall_us)
                        continue;
                if (device_is_sweeping(d))
                        d->started_us = wall_us - ago_us;
                if (d->resume)
                        d->resume->record.started_us = wall_us - ago_us;
        }
}

/* The clock for spans goes on in a suspended host; that for dates is set by people and by NTP. */
void planner_look_at_clock(struct manager *m, uint64_t monotonic_us, uint64_t wall_us) {
        struct planner *p = &m->planner;
        if (p->looked_us > 0) {
                uint64_t expected_us = p->looked_wall_us + (monotonic_us - p->looked_us);
                uint64_t step_us = wall_us > expected_us ? wall_us - expected_us : expected_us - wall_us;
                if (step_us > CLOCK_STEP_US || monotonic_us - p->looked_us > ASLEEP_US) {
                        p->awake_us = wall_us;
                        set_terms(m);
                        look_again_now(m, wall_us);
                        if (step_us > CLOCK_STEP_US)
                                date_anew(m, monotonic_us, wall_us);
                }
        }
        p->looked_us = monotonic_us;
        p->looked_wall_us = wall_us;
}

/* --- rates --- */

/* How fast it goes when it is told to go faster than it does. */
static void measure(struct device *d, const struct progress *progress, uint64_t monotonic_us) {
        struct device_plan *p = &d->plan;
        if (p->seen_us == 0 || progress->bytes_done < p->seen_bytes) {
                p->seen_us = monotonic_us;
                p->seen_bytes = progress->bytes_done;
                p->speed = 0;
                p->short_looks = 0;
                return;
        }
        uint64_t span_us = monotonic_us - p->seen_us, bytes = progress->bytes_done - p->seen_bytes;
        if (span_us < SPEED_SPAN_US)
                return;
        double speed = (double)bytes * (double)USEC_PER_SEC / (double)span_us;
        bool behind = p->rate == 0 || speed * 100 < (double)p->rate * SPEED_BEHIND_PERCENT;
        p->short_looks = behind ? p->short_looks + 1 : 0;
        p->speed = behind ? MAX((uint64_t)speed, 1) : 0;
        p->seen_us = monotonic_us;
        p->seen_bytes = progress->bytes_done;
}

/* Who was never opened waits with the others, and there is no plan without how much there is to do. Only in /dev, which
 * is memory: elsewhere a dead server could keep us waiting. */
static void know_size(struct device *d) {
        struct stat st;
        uint64_t sectors = 0;
        if (device_known_bytes(d) > 0 && d->path_bytes == 0)
                return;
        d->path_bytes = 0;
        if (d->thread || !device_is_watched(d) || stat(d->config->path, &st) < 0 || !S_ISBLK(st.st_mode))
                return;
        CLEANUP_CLOSE int dir = sysfs_open(st.st_rdev);
        if (dir >= 0 && sysfs_number(dir, "size", &sectors))
                d->path_bytes = sectors * SYSFS_SECTOR_BYTES;
}

static uint64_t whole_work(const struct device *d) {
        const struct device_config *config = device_planned_by(d);
        enum sweep_mode mode = device_is_sweeping(d) ? d->running_mode : config->mode;
        size_t patterns = device_is_sweeping(d) ? d->running_patterns.count : config->patterns.count;
        return agenda_work_bytes(mode, patterns, device_config_extent(config, device_known_bytes(d)).length_bytes);
}

static void fill_running(struct pacing_job *job, struct device *d, uint64_t monotonic_us) {
        struct progress progress;
        sweep_gauge_read(sweep_thread_gauge(d->thread), &progress);
        if (d->plan.seen_us == 0 || progress.bytes.total > 0)
                measure(d, &progress, monotonic_us);
        job->running = true;
        job->by_hand = d->started_by_hand;
        job->left_bytes = progress.bytes.total ? progress.bytes.total - progress.bytes_done : whole_work(d);
        job->speed = d->plan.short_looks >= SPEED_LOOKS ? d->plan.speed : 0;
}

/* What nobody may sweep is not planned with: status tells what is wrong with it. */
static bool takes_part(const struct device *d) {
        return device_is_sweeping(d) || (!d->absent && !d->held && !d->refusal.rule[0] && d->held_by_pid == 0);
}

/* How fast it may go, and when, a reload changes in mid-sweep, too. */
static struct pacing_job job_of(
        struct device *d, const struct agenda *agenda, uint64_t monotonic_us, uint64_t wall_us) {
        const struct device_config *config = device_planned_by(d);
        struct pacing_job job = {
                .controller = d->placed ? disk_place_controller_number(&d->place) : 0,
                .deadline_us = agenda->deadline_us,
                .spare_us = config->every_us / 100 * PACING_SPARE_PERCENT,
                .calendar = d->config->calendar,
                .rate_min = d->config->rate_min_bytes,
                .rate_max = d->config->rate_max_bytes,
        };
        enum sweep_mode mode = device_is_sweeping(d) ? d->running_mode : config->mode;
        job.lump_bytes = agenda_lump_bytes(
                config, mode, device_config_extent(config, device_known_bytes(d)).length_bytes);
        job.lump_wait_us = agenda_lump_wait_us(config, mode);
        if (device_is_sweeping(d)) {
                fill_running(&job, d, monotonic_us);
        } else if (takes_part(d) && agenda->planned_us != SCHEDULE_NEVER) {
                job.left_bytes = d->resume ? device_resting_bytes(d) : whole_work(d);
                job.from_us = d->resume && agenda->hold != AGENDA_SPREAD ? wall_us : MAX(agenda->start_us, wall_us);
                job.lost_us = !d->resume && agenda->lost ? agenda->deadline_us : 0;
                if (job.deadline_us <= job.from_us) /* not known yet, or it gets a period of its own */
                        job.deadline_us = job.from_us + config->every_us;
        }
        return job;
}

/* --- deadlines --- */

static void advise(char *to, size_t to_bytes, const struct device *d, const struct pacing_job *job, uint64_t wall_us) {
        struct pacing_advice advice;
        char span[32];
        pacing_advise(&advice, job, whole_work(d), device_planned_by(d)->every_us, wall_us);
        text_copy(to, to_bytes, "What would help:");
        const char *sep = "";
        if (advice.rate > 0) {
                text_append(to, to_bytes, " %s of at least \"%" PRIu64 "M\"",
                        job->short_of == PACING_HOST ? "limits.rate" : "rate_max", advice.rate >> 20);
                sep = ", or";
        }
        if (advice.window_minutes > 0) {
                text_append(
                        to, to_bytes, "%s a window of at least %u minutes in one piece", sep, advice.window_minutes);
                sep = ", or";
        }
        if (job->short_of == PACING_WINDOW) {
                text_append(to, to_bytes, "%s a smaller segment", sep);
                sep = ", or";
        }
        if (job->short_of == PACING_CROWD) {
                text_append(to, to_bytes, "%s more at a time (limits.concurrent_sweeps, limits.per_controller)", sep);
                sep = ", or";
        }
        if (advice.open_minutes_a_week > 0) {
                text_append(to, to_bytes, "%s windows of at least %u hours a week (they have %u)", sep,
                        advice.open_minutes_a_week / 60, calendar_week_minutes(job->calendar) / 60);
                sep = ", or";
        }
        if (advice.every_us > 0) {
                text_format_span_key(span, sizeof span, advice.every_us);
                text_append(to, to_bytes, "%s every of at least \"%s\"", sep, span);
                sep = ", or";
        }
        text_append(to, to_bytes, *sep ? "." : " longer windows, or a longer every.");
}

static void explain_window(struct device *d, const struct pacing_job *job, const char *remedy) {
        char lump[32], possible[32];
        text_format_size(lump, sizeof lump, MIN(job->lump_bytes, job->left_bytes));
        text_format_size(possible, sizeof possible, job->possible);
        reason_set(&d->plan.reason, "deadline", remedy,
                "no window is long enough for it to get any further: the longest has %u minutes, and %s are to be read and written in one, as a segment is written and verified in one go, at %s/s at most",
                calendar_longest_minutes(job->calendar), lump, job->possible == PACING_ALL ? "?" : possible);
}

static void explain_crowd(struct device *d, const struct pacing_job *job, const char *when, const char *remedy) {
        char busy[32], open[32];
        text_format_span(busy, sizeof busy, job->crowd_us);
        text_format_span(open, sizeof open, job->crowd_open_us);
        reason_set(&d->plan.reason, "deadline", remedy,
                "its deadline, %s, can't be met: with those that go before it, and no more at a time than limits allows, it takes %s of open time, but there are %s",
                when, busy, open);
}

/* What keeps it from being begun before its deadline. */
static void explain_lost(struct device *d, const struct pacing_job *job, const struct agenda *agenda, char *remedy) {
        static const char *const why[] = { [AGENDA_FREE] = "as its sweep failed, it is tried again on",
                [AGENDA_SPREAD] = "what was missed is made up for by one device after the other, and its turn is on",
                [AGENDA_WRITES] = "write_limit holds it back until",
                [AGENDA_WINDOW] = "its windows are closed until" };
        char deadline[64], start[64];
        text_format_local(deadline, sizeof deadline, job->lost_us);
        text_format_local(start, sizeof start, agenda->start_us);
        if (agenda->lost_by == AGENDA_FREE)
                text_copy(remedy, sizeof d->plan.reason.remedy, "See sweepctl history for why it failed.");
        else if (agenda->lost_by == AGENDA_WRITES)
                text_append(remedy, sizeof d->plan.reason.remedy, " Or a write_limit of at least %.1f.",
                        agenda_least_write_limit(d->config));
        else
                text_append(remedy, sizeof d->plan.reason.remedy, " At once: sweepctl start.");
        reason_set(&d->plan.reason, "deadline", remedy, "its deadline, %s, can't be met: %s %s", deadline,
                why[agenda->lost_by], start);
}

static void explain_short(
        struct device *d, const struct agenda *agenda, const struct pacing_job *job, uint64_t wall_us) {
        char when[64], open[32], left[32], need[32], possible[32], remedy[sizeof d->plan.reason.remedy];
        text_format_local(when, sizeof when, job->deadline_us);
        text_format_span(open, sizeof open, job->open_us);
        text_format_size(left, sizeof left, job->left_bytes);
        advise(remedy, sizeof remedy, d, job, wall_us);
        if (job->lost_us > 0) {
                explain_lost(d, job, agenda, remedy);
                return;
        }
        if (job->short_of == PACING_NO_TIME) {
                reason_set(&d->plan.reason, "deadline", remedy,
                        "its deadline, %s, can't be met: no window opens before", when);
                return;
        }
        if (job->short_of == PACING_WINDOW) {
                explain_window(d, job, remedy);
                return;
        }
        if (job->short_of == PACING_CROWD) {
                explain_crowd(d, job, when, remedy);
                return;
        }
        uint64_t rate = job->short_of == PACING_HOST
                ? job->host_need
                : (uint64_t)((double)job->left_bytes * (double)USEC_PER_SEC / (double)job->open_us);
        text_format_size(need, sizeof need, rate);
        text_format_size(possible, sizeof possible, job->possible);
        reason_set(&d->plan.reason, "deadline", remedy,
                "its deadline, %s, can't be met: %s are to be read and written in %s of open time, %s %s/s, but %s %s/s",
                when, left, open, job->short_of == PACING_HOST ? "with what else is due until then" : "which takes",
                need,
                job->short_of == PACING_RATE_MAX        ? "rate_max allows"
                        : job->short_of == PACING_SPEED ? "the device, beside what others do with it, gives"
                                                        : "limits.rate allows",
                possible);
}

static void explain_missed(struct device *d, const struct agenda *agenda) {
        char when[64];
        text_format_local(when, sizeof when, agenda->deadline_us);
        reason_set(&d->plan.reason, "deadline", "See sweepctl history for what kept it from being swept.",
                "its deadline, %s, was missed", when);
}

static void tell(struct manager *m, struct device *d, enum deadline_told now) {
        enum deadline_told before = d->plan.told;
        d->plan.told = now;
        if (now == DEADLINE_FINE)
                d->plan.reason = (struct reason){ 0 };
        if (now == before)
                return;
        if (now == DEADLINE_FINE)
                routes_tell(m, EVENT_DEADLINE_OVER, LOG_NOTICE, d, NULL,
                        before == DEADLINE_SHORT ? "its deadline can be met again" : "it keeps its deadlines again");
        else
                routes_tell(
                        m, EVENT_DEADLINE, LOG_WARNING, d, NULL, "%s. %s", d->plan.reason.found, d->plan.reason.remedy);
}

/* Once told, it is over only with a little room to spare. Of who is paused, refused or missing, or is swept by hand,
 * nothing better is known. */
static bool is_short(const struct device *d, const struct pacing_job *job) {
        if (job->short_of != PACING_IN_TIME)
                return true;
        if (d->plan.told != DEADLINE_SHORT || job->deadline_us == SCHEDULE_NEVER)
                return false;
        return job->by_hand || job->left_bytes == 0 || job->need > job->possible;
}

static void judge(
        struct manager *m, struct device *d, const struct agenda *agenda, struct pacing_job *job, uint64_t wall_us) {
        if (agenda->missed) {
                explain_missed(d, agenda);
                tell(m, d, DEADLINE_MISSED);
        } else if (job->short_of != PACING_IN_TIME) {
                explain_short(d, agenda, job, wall_us);
                tell(m, d, DEADLINE_SHORT);
        } else if (!is_short(d, job)) {
                tell(m, d, DEADLINE_FINE);
        }
}

/* The nearer a deadline, the more often. */
static uint64_t hold_for(const struct pacing_job *jobs, size_t count, uint64_t wall_us) {
        uint64_t hold_us = RATE_AGAIN_MAX_US;
        for (size_t i = 0; i < count; i++) {
                const struct pacing_job *j = &jobs[i];
                bool ahead = j->deadline_us != SCHEDULE_NEVER && j->deadline_us > wall_us;
                if (j->left_bytes > 0 && ahead)
                        hold_us = MIN(hold_us, (j->deadline_us - wall_us) / LOOKS_UNTIL_DEADLINE);
        }
        return MAX(hold_us, RATE_AGAIN_MIN_US);
}

/* What it has to do is not known before it has begun: soon it is. */
static bool is_beginning(const struct device *d) {
        struct progress progress;
        if (!device_is_sweeping(d))
                return false;
        sweep_gauge_read(sweep_thread_gauge(d->thread), &progress);
        return progress.bytes.total == 0;
}

void planner_set_rates(struct manager *m, uint64_t monotonic_us, uint64_t wall_us) {
        size_t count = m->device_count;
        CLEANUP_FREE struct pacing_job *jobs = calloc(count + 1, sizeof *jobs);
        CLEANUP_FREE struct agenda *agendas = calloc(count + 1, sizeof *agendas);
        struct pacing_limits limits = { .rate = m->settings->rate_bytes,
                .concurrent_sweeps = m->settings->concurrent_sweeps,
                .per_controller = m->settings->per_controller };
        bool beginning = false;
        if (!m->ready)
                return;
        set_terms(m);
        if (!jobs || !agendas)
                return; /* the next look tries again */
        for (size_t i = 0; i < count; i++) {
                agendas[i] = device_agenda(m->devices[i], wall_us);
                know_size(m->devices[i]);
                if (routes_waits_for_ledger(m, m->devices[i])) /* how fast its disk is, is not to be seen now */
                        m->devices[i]->plan.seen_us = 0;
                jobs[i] = job_of(m->devices[i], &agendas[i], monotonic_us, wall_us);
                beginning |= is_beginning(m->devices[i]);
        }
        if (pacing_plan(jobs, count, &limits, wall_us) < 0)
                return;
        for (size_t i = 0; i < count; i++) {
                struct device *d = m->devices[i];
                if (device_is_sweeping(d)) {
                        d->plan.rate = jobs[i].rate;
                        d->plan.rate_rule = jobs[i].rule;
                        sweep_thread_set_rate(d->thread, jobs[i].rate);
                } else {
                        d->plan.seen_us = 0;
                }
                judge(m, d, &agendas[i], &jobs[i], wall_us);
        }
        m->planner.rated_us = monotonic_us;
        m->planner.rate_again_us = beginning ? RATE_AGAIN_MIN_US : hold_for(jobs, count, wall_us);
}

void planner_look(struct manager *m, uint64_t monotonic_us, uint64_t wall_us) {
        planner_look_at_clock(m, monotonic_us, wall_us);
        if (monotonic_us - m->planner.rated_us >= m->planner.rate_again_us)
                planner_set_rates(m, monotonic_us, wall_us);
}
