/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From one moment at which something changes to the next: a start, an end, a window that opens or closes. What could go
 * wrong is a moment at which nothing changes, over and over; so time always moves on, and by so much at most that
 * rates are looked at again.
 */
#include "plan/forecast.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "plan/admission.h"
#include "plan/calendar.h"

#include <assert.h>
#include <errno.h>

#define STEP_MAX_US USEC_PER_DAY

struct forecast {
        struct forecast_device *devices;
        size_t count;
        const struct forecast_options *o;
        uint64_t now_us;
        struct pacing_job *jobs;
        struct admission_candidate *candidates;
        size_t *index;
        struct admission_sweep *sweeps;
};

static void tell(const struct forecast *f, const struct forecast_device *d, struct forecast_event event) {
        if (f->o->tell)
                f->o->tell(f->o->userdata, d, &event);
}

static struct agenda ask(const struct forecast *f, const struct forecast_device *d) {
        struct agenda_question question = {
                .config = d->config,
                .history = &d->history,
                .extent_bytes = d->extent_bytes,
                .left_bytes = d->sweeping
                        ? d->left_bytes
                        : agenda_work_bytes(d->config->mode, d->config->patterns.count, d->extent_bytes),
                .awake_us = f->o->from_us,
                .seed = f->o->seed,
                .started_us = d->sweeping ? d->started_us : 0,
                .waiting_us = f->o->from_us,
        };
        return agenda_at(&question, f->now_us);
}

/* As fast as is asked of it, but where nobody said what it can do no faster than what is taken for granted. */
static uint64_t speed_of(const struct forecast_device *d) {
        uint64_t most = d->config->rate_max_bytes ? d->config->rate_max_bytes : AGENDA_SPEED;
        return d->rate ? MIN(d->rate, most) : most;
}

static uint64_t work_bytes(const struct forecast_device *d) {
        return agenda_work_bytes(d->config->mode, d->config->patterns.count, d->extent_bytes);
}

/* --- what happens --- */

static void end_stretch(const struct forecast *f, struct forecast_device *d) {
        if (d->running && f->now_us > d->stretch_us)
                tell(f, d,
                        (struct forecast_event){ .kind = FORECAST_STRETCH,
                                .from_us = d->stretch_us,
                                .to_us = f->now_us,
                                .bytes = d->stretch_bytes });
        d->running = false;
        d->stretch_bytes = 0;
}

static void go_on(const struct forecast *f, struct forecast_device *d) {
        d->running = true;
        d->stretch_us = f->now_us;
        d->stretch_bytes = 0;
}

static void begin(const struct forecast *f, struct forecast_device *d) {
        d->sweeping = true;
        d->held_told = false;
        d->started_us = f->now_us;
        if (d->sweeps == 0)
                d->first_us = f->now_us;
        d->left_bytes = work_bytes(d);
        d->deadline_us = d->missing_us = ask(f, d).deadline_us;
        go_on(f, d);
}

/* Each period that passes without a sweep counts. One that is begun too late has a period of its own; the one that it
 * came too late for was missed all the same. */
static void count_missed(const struct forecast *f, struct forecast_device *d) {
        if (d->missing_us == 0 || f->now_us <= d->missing_us)
                return;
        uint64_t every_us = d->config->every_us, first_us = d->missing_us;
        uint64_t more = (f->now_us - first_us - 1) / every_us;
        d->missed += more + 1;
        d->missing_us = first_us + (more + 1) * every_us;
        if (!d->sweeping)
                tell(f, d,
                        (struct forecast_event){ .kind = FORECAST_MISSED,
                                .from_us = first_us,
                                .deadline_us = first_us + more * every_us });
}

static void end(const struct forecast *f, struct forecast_device *d) {
        bool in_time = f->now_us <= d->deadline_us;
        count_missed(f, d);
        end_stretch(f, d);
        d->sweeping = false;
        d->missing_us = 0;
        d->sweeps++;
        uint64_t written = agenda_written_bytes(d->config->mode, d->config->patterns.count, d->extent_bytes);
        d->written_bytes += written;
        d->history.last_started_us = d->history.last_finished_us = d->started_us;
        d->history.finished_planned_us = d->deadline_us == SCHEDULE_NEVER ? 0 : d->deadline_us - d->config->every_us;
        d->history.last_ended_us = f->now_us;
        d->history.last_end = END_FINISHED;
        d->history.failures_in_a_row = 0;
        agenda_note_write(&d->history, d->config, d->extent_bytes, d->started_us, written);
        tell(f, d,
                (struct forecast_event){ .kind = FORECAST_ENDED,
                        .from_us = d->started_us,
                        .to_us = f->now_us,
                        .deadline_us = d->deadline_us,
                        .in_time = in_time });
}

static void look_at_deadlines(const struct forecast *f) {
        for (size_t i = 0; i < f->count; i++) {
                struct forecast_device *d = &f->devices[i];
                if (d->missing_us == 0)
                        d->missing_us = ask(f, d).deadline_us;
                count_missed(f, d);
        }
}

static void look_at_windows(const struct forecast *f) {
        for (size_t i = 0; i < f->count; i++) {
                struct forecast_device *d = &f->devices[i];
                if (d->running && !calendar_is_open(d->config->calendar, f->now_us))
                        end_stretch(f, d);
        }
}

static void note_held(const struct forecast *f, struct forecast_device *d, const struct agenda *a) {
        if (a->hold != AGENDA_WRITES || d->held_told || a->planned_us > f->now_us)
                return;
        d->held_told = true;
        tell(f, d, (struct forecast_event){ .kind = FORECAST_HELD, .from_us = f->now_us, .to_us = a->start_us });
}

/* Those that may begin, or go on, now, and those that run. */
static size_t collect(const struct forecast *f, size_t *sweep_count) {
        size_t n = 0;
        *sweep_count = 0;
        for (size_t i = 0; i < f->count; i++) {
                struct forecast_device *d = &f->devices[i];
                if (d->running) {
                        f->sweeps[(*sweep_count)++] = (struct admission_sweep){ .name = d->config->name,
                                .place = &d->place };
                        continue;
                }
                struct agenda a = ask(f, d);
                note_held(f, d, &a);
                bool may = d->sweeping ? calendar_is_open(d->config->calendar, f->now_us) : a.start_us <= f->now_us;
                if (!may)
                        continue;
                f->index[n] = i;
                f->candidates[n++] = (struct admission_candidate){ .name = d->config->name,
                        .next_start_us = d->sweeping ? d->started_us : a.planned_us,
                        .deadline_us = a.deadline_us,
                        .place = &d->place };
        }
        return n;
}

static void admit(const struct forecast *f) {
        struct admission_host host = { .sweeps = f->sweeps,
                .concurrent_sweeps = f->o->limits.concurrent_sweeps,
                .per_controller = f->o->limits.per_controller };
        for (;;) {
                size_t n = collect(f, &host.sweep_count);
                int chosen = admission_choose(f->candidates, n, &host, f->now_us);
                if (chosen < 0)
                        return;
                struct forecast_device *d = &f->devices[f->index[chosen]];
                if (d->sweeping)
                        go_on(f, d);
                else
                        begin(f, d);
        }
}

/* --- rates --- */

static void note_short(const struct forecast *f, struct forecast_device *d, const struct pacing_job *job) {
        struct agenda a;
        if (job->short_of == PACING_IN_TIME || d->short_of != PACING_IN_TIME)
                return;
        a = ask(f, d);
        d->short_of = job->short_of;
        d->lost = job->lost_us > 0;
        d->lost_by = a.lost_by;
        pacing_advise(&d->advice, job, work_bytes(d), d->config->every_us, f->now_us);
        tell(f, d,
                (struct forecast_event){ .kind = FORECAST_SHORT,
                        .from_us = f->now_us,
                        .to_us = a.start_us,
                        .bytes = job->left_bytes,
                        .deadline_us = d->lost ? job->lost_us : job->deadline_us });
}

static int set_rates(const struct forecast *f) {
        for (size_t i = 0; i < f->count; i++) {
                struct forecast_device *d = &f->devices[i];
                struct agenda a = ask(f, d);
                f->jobs[i] = (struct pacing_job){ .running = d->running,
                        .controller = d->controller,
                        .from_us = d->sweeping ? 0 : MAX(a.start_us, f->now_us),
                        .deadline_us = a.deadline_us,
                        .lost_us = !d->sweeping && a.lost ? a.deadline_us : 0,
                        .spare_us = d->config->every_us / 100 * PACING_SPARE_PERCENT,
                        .left_bytes = d->sweeping                ? d->left_bytes
                                : a.planned_us != SCHEDULE_NEVER ? work_bytes(d)
                                                                 : 0,
                        .lump_bytes = agenda_lump_bytes(d->config, d->config->mode, d->extent_bytes),
                        .lump_wait_us = agenda_lump_wait_us(d->config, d->config->mode),
                        .calendar = d->config->calendar,
                        .rate_min = d->config->rate_min_bytes,
                        .rate_max = d->config->rate_max_bytes,
                        .speed = d->config->rate_max_bytes ? 0 : AGENDA_SPEED };
                if (!d->sweeping && f->jobs[i].left_bytes > 0 && a.deadline_us <= f->jobs[i].from_us)
                        f->jobs[i].deadline_us = f->jobs[i].from_us + d->config->every_us;
        }
        int r = pacing_plan(f->jobs, f->count, &f->o->limits, f->now_us);
        for (size_t i = 0; r == 0 && i < f->count; i++) {
                f->devices[i].rate = f->jobs[i].rate;
                note_short(f, &f->devices[i], &f->jobs[i]);
        }
        return r;
}

/* --- time --- */

static uint64_t next_change(const struct forecast *f) {
        uint64_t next_us = MIN(f->now_us + STEP_MAX_US, f->o->until_us);
        for (size_t i = 0; i < f->count; i++) {
                const struct forecast_device *d = &f->devices[i];
                if (d->running) {
                        double us = (double)d->left_bytes * (double)USEC_PER_SEC / (double)speed_of(d);
                        if (us < (double)STEP_MAX_US)
                                next_us = MIN(next_us, f->now_us + (uint64_t)us + 1);
                        next_us = MIN(next_us, calendar_next_close(d->config->calendar, f->now_us));
                        continue;
                }
                uint64_t start_us = d->sweeping ? calendar_next_open(d->config->calendar, f->now_us)
                                                : ask(f, d).start_us;
                if (start_us > f->now_us)
                        next_us = MIN(next_us, start_us);
        }
        return MAX(next_us, f->now_us + 1);
}

static void pass(struct forecast *f, uint64_t until_us) {
        uint64_t span_us = until_us - f->now_us;
        f->now_us = until_us;
        for (size_t i = 0; i < f->count; i++) {
                struct forecast_device *d = &f->devices[i];
                if (!d->running)
                        continue;
                double done = (double)speed_of(d) * ((double)span_us / (double)USEC_PER_SEC);
                uint64_t bytes = done < (double)d->left_bytes ? (uint64_t)done : d->left_bytes;
                d->left_bytes -= bytes;
                d->stretch_bytes += bytes;
                d->open_us += span_us;
                if (d->left_bytes == 0)
                        end(f, d);
        }
}

int forecast_run(struct forecast_device *devices, size_t count, const struct forecast_options *options) {
        CLEANUP_FREE struct pacing_job *jobs = calloc(count + 1, sizeof *jobs);
        CLEANUP_FREE struct admission_candidate *candidates = calloc(count + 1, sizeof *candidates);
        CLEANUP_FREE size_t *index = calloc(count + 1, sizeof *index);
        CLEANUP_FREE struct admission_sweep *sweeps = calloc(count + 1, sizeof *sweeps);
        if (!jobs || !candidates || !index || !sweeps)
                return -ENOMEM;
        struct forecast f = { .devices = devices,
                .count = count,
                .o = options,
                .now_us = options->from_us,
                .jobs = jobs,
                .candidates = candidates,
                .index = index,
                .sweeps = sweeps };
        while (f.now_us < options->until_us) {
                look_at_deadlines(&f);
                look_at_windows(&f);
                admit(&f);
                int r = set_rates(&f);
                if (r < 0)
                        return r;
                pass(&f, next_change(&f));
        }
        look_at_deadlines(&f);
        for (size_t i = 0; i < count; i++)
                end_stretch(&f, &devices[i]);
        return 0;
}
