/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forecast: lives through some time by the same plan that the daemon follows, and tells what would happen. Pure: what
 * local time is, as in calendar.h.
 */
#pragma once

#include "model/device_config.h"
#include "model/disk_place.h"
#include "plan/agenda.h"
#include "plan/pacing.h"
#include "plan/schedule.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct forecast_device {
        const struct device_config *config;
        uint64_t extent_bytes;
        struct disk_place place;
        uint64_t controller; /* of pacing_job */
        struct schedule_history history;

        /* The sweep that is under way. */
        bool sweeping; /* begun, and not ended */
        bool running;  /* and no closed window holds it up */
        uint64_t started_us, deadline_us, left_bytes;
        uint64_t rate;                      /* 0: no limit */
        uint64_t stretch_us, stretch_bytes; /* since when, and how much, it has run without a break */
        bool held_told;
        uint64_t missing_us; /* the deadline that passes next, of those that no sweep has met; 0: not known */

        /* All in all. */
        uint64_t sweeps, missed, written_bytes, open_us;
        uint64_t first_us;          /* when the first one began */
        enum pacing_short short_of; /* of the first deadline that could not be met; PACING_IN_TIME: none */
        bool lost;                  /* of that: it may not begin before, for this reason */
        enum agenda_hold lost_by;
        struct pacing_advice advice;
};

enum forecast_kind {
        FORECAST_HELD,    /* write_limit holds it back until `to` */
        FORECAST_STRETCH, /* it ran from `from` to `to`, and did so many bytes */
        FORECAST_SHORT,   /* from now on its deadline can't be met: the device has why, and what would help. Where it is
                             lost it may begin at `to` */
        FORECAST_MISSED,  /* its deadline passed before a sweep began, and so did each of those between `from` and it */
        FORECAST_ENDED    /* a sweep, begun at `from`, ended at `to`; in time, or not */
};

struct forecast_event {
        enum forecast_kind kind;
        uint64_t from_us, to_us, bytes, deadline_us;
        bool in_time;
};

struct forecast_options {
        struct pacing_limits limits;
        uint64_t from_us, until_us;
        uint64_t seed;
        void (*tell)(void *userdata, const struct forecast_device *device, const struct forecast_event *event);
        void *userdata;
};

/* The devices are changed: they are then as they would be at the end. -ENOMEM. */
int forecast_run(struct forecast_device *devices, size_t count, const struct forecast_options *options);
