/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agenda: what the plan says of one device at a moment: when its next sweep is planned, when that may begin, what holds
 * it back until then, and by when it has to be done. A pure function of configuration, history and now.
 */
#pragma once

#include "model/device_config.h"
#include "plan/schedule.h"

#include <stddef.h>
#include <stdint.h>

/* Why a sweep that is due does not begin. */
enum agenda_hold {
        AGENDA_FREE,
        AGENDA_SPREAD, /* the host was off, or its clock wrong, when it was to begin: not all at once */
        AGENDA_WRITES, /* write_limit */
        AGENDA_WINDOW
};

/* What a disk is taken to give where rate_max does not say it: bytes a second. */
#define AGENDA_SPEED (UINT64_C(200) << 20)

struct agenda_question {
        const struct device_config *config;
        const struct schedule_history *history;
        uint64_t extent_bytes; /* 0: unknown */
        uint64_t left_bytes; /* to be read and written until the sweep is over that is planned, or rests; 0: unknown */
        uint64_t awake_us;   /* since when the daemon runs, on a clock that was not stepped; wall time */
        bool after_boot;     /* it has waited since before the host was started, and nobody has asked for it since */
        uint64_t seed;       /* of this host */
        uint64_t started_us; /* of the sweep that runs, wall time; 0: none */
        uint64_t waiting_us; /* since when a device that was never swept waits for that, wall time; 0: unknown */
};

struct agenda {
        uint64_t planned_us;   /* schedule_next_start() */
        uint64_t start_us;     /* when it may begin: not before planned_us; 0: at once; SCHEDULE_NEVER */
        enum agenda_hold hold; /* what start_us waits for last, beyond planned_us */
        uint64_t deadline_us;  /* by when the sweep that is planned, or runs, has to be done. 0: not known before it has
                                  begun; SCHEDULE_NEVER */
        bool missed;           /* that is over: the device is overdue */
        bool lost;             /* it may not begin before that, which is yet to come */
        enum agenda_hold
                lost_by; /* what puts it off for so long; AGENDA_FREE: a sweep that failed is tried again later */
};

struct agenda agenda_at(const struct agenda_question *q, uint64_t now_us);

/* The same of a sweep that was begun then, and rests: start_us is when it may go on. */
struct agenda agenda_of_rest(const struct agenda_question *q, uint64_t now_us);

/* For when a sweep was planned that was started then and has not ended for its history yet. 0: for no time. */
uint64_t agenda_planned_for(const struct agenda_question *q, uint64_t now_us);

/* The least write_limit with which a sweep may begin in each period. */
double agenda_least_write_limit(const struct device_config *config);

/* How long after the start of a sweep that wrote so much the next one may begin. 0: at once. */
uint64_t agenda_write_pause(double write_limit, uint64_t written_bytes, uint64_t extent_bytes);

/* Of a sweep that has ended, in the order of their ends. What wrote nothing, or little, does not end the pause after
 * what wrote much. */
void agenda_note_write(struct schedule_history *history, const struct device_config *config, uint64_t extent_bytes,
        uint64_t started_us, uint64_t written_bytes);

/* Bytes that a sweep of this mode writes to an extent, with so many fixed patterns, and all that it reads and writes.
 * The pass that verifies what the sweep before left is counted, too. */
uint64_t agenda_written_bytes(enum sweep_mode mode, size_t patterns, uint64_t extent_bytes);
uint64_t agenda_work_bytes(enum sweep_mode mode, size_t patterns, uint64_t extent_bytes);

/*
 * What a sweep must read and write in one window, or begin anew in the next one: a segment, from the first write to the
 * last byte read back. 0: nothing. And how long after it has begun, or goes on, it comes to that.
 */
uint64_t agenda_lump_bytes(const struct device_config *config, enum sweep_mode mode, uint64_t extent_bytes);
uint64_t agenda_lump_wait_us(const struct device_config *config, enum sweep_mode mode);
