/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pacing: how fast each sweep has to go so that all of them end in time, and whether they can. Pure: of what is left to
 * do, of deadlines, windows, limits, and now.
 *
 * A group of sweeps (those of a controller, those of the host) needs the rate R = the largest, over all deadlines d, of
 * (bytes left of all that is due by d) / (open time until d). Run at R, the earliest deadline first, no deadline is
 * missed that could be met (Yao, Demers and Shenker, "A scheduling model for reduced CPU energy", 1995). A sweep that
 * runs gets what it needs by itself, or its share of R where that is more, as others wait for it to end. That theorem
 * is about jobs that can be interrupted; sweeps are not, so what runs is also through in time for what waits for its
 * place.
 */
#pragma once

#include "model/pace_rule.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct calendar;

/* Why a deadline can't be met. */
enum pacing_short {
        PACING_IN_TIME,
        PACING_NO_TIME,  /* it is never open until then, or may not begin before */
        PACING_WINDOW,   /* no window is long enough for a segment */
        PACING_RATE_MAX, /* rate_max is too low */
        PACING_SPEED,    /* the device gives no more, or others leave no more of it */
        PACING_HOST,     /* limits.rate is too low for all that is due by then */
        PACING_CROWD     /* of all that is due by then too few may run at a time */
};

struct pacing_job {
        bool running;
        bool by_hand;         /* runs, ignoring windows and deadlines */
        uint64_t controller;  /* 0: unknown, shares it with nobody */
        uint64_t from_us;     /* not before; 0: now */
        uint64_t deadline_us; /* SCHEDULE_NEVER: none */
        uint64_t lost_us;     /* 0, or the one that comes before it may begin, and which nothing helps: deadline_us is
                                 then that of the period which it gets */
        uint64_t spare_us;    /* by which it should be done before that */
        uint64_t left_bytes;  /* to be read and written */
        uint64_t lump_bytes;  /* of agenda.h */
        uint64_t lump_wait_us;
        const struct calendar *calendar; /* NULL: always */
        uint64_t rate_min, rate_max;     /* rate_max 0: none */
        uint64_t speed;                  /* what the device was seen to give at most; 0: unknown */

        /* What comes out. Rates are bytes a second; PACING_ALL: as fast as it goes. */
        uint64_t open_us;   /* until the deadline */
        uint64_t until_us;  /* the same, but from now on, whenever it may begin */
        uint64_t aim_us;    /* of that, what is planned with */
        uint64_t need;      /* of this job alone, to end in time */
        uint64_t lump_need; /* to get through the lump in the longest window; 0: there is none, or it is always open */
        uint64_t host_need; /* of all that is due by its deadline, or earlier */
        uint64_t crowd_us;  /* that all that is due by its deadline, or earlier, takes at least; of PACING_CROWD */
        uint64_t crowd_open_us; /* and has */
        uint64_t rate;          /* to go at, where it runs; 0: no limit */
        enum pace_rule rule;    /* what set that */
        uint64_t possible;      /* what it can have at most; PACING_ALL: not known */
        enum pacing_short short_of;
};

#define PACING_ALL UINT64_MAX

/* Of a period, as spare_us. */
enum { PACING_SPARE_PERCENT = 5 };

struct pacing_limits {
        uint64_t rate;              /* of all together; 0: none */
        unsigned concurrent_sweeps; /* 0: no limit */
        unsigned per_controller;    /* 0: no limit */
};

/* Fills in what comes out. Negative errno: -ENOMEM; the jobs are then as they were. */
int pacing_plan(struct pacing_job *jobs, size_t count, const struct pacing_limits *limits, uint64_t now_us);

/* What would let the job end in time. 0: that can't, alone. */
struct pacing_advice {
        uint64_t rate;                /* a second, in place of what holds it back; rounded up */
        unsigned open_minutes_a_week; /* of windows; more than they have now */
        unsigned window_minutes;      /* of one of them */
        uint64_t every_us;            /* rounded up to minutes, hours or days */
};

/* Of a job that is short. work_bytes: of a whole sweep; every_us: as it is. */
void pacing_advise(struct pacing_advice *ret, const struct pacing_job *job, uint64_t work_bytes, uint64_t every_us,
        uint64_t now_us);
