/* SPDX-License-Identifier: Apache-2.0 */
/* schedule: when a device is due. Pure functions: no I/O, no clock. */
#pragma once

#include "model/device_config.h"
#include "model/sweep_record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHEDULE_NEVER UINT64_MAX

/*
 * What the plan needs to know of a device's past, in wall time. All zero: it was never swept. Times that lie more than
 * `every` in the future were taken from a clock that was wrong: what they tell is taken for unknown, so that such a
 * clock can't put a device off for years.
 */
struct schedule_history {
        uint64_t last_started_us;
        uint64_t last_ended_us;
        enum sweep_end last_end;
        unsigned failures_in_a_row;     /* sweeps that ended as failed since one finished or was cancelled */
        uint64_t wrote_us, wrote_bytes; /* agenda_note_write(): when the sweep was started that holds back the next one
                                           for longest, and what it wrote */
        uint64_t last_finished_us;      /* when the newest sweep that finished was started; 0: none did */
        uint64_t finished_planned_us;   /* for when that one was planned; 0: unknown */
};

/* Whether a moment of the past may be one: not 0, not before any clock was set, and not too far ahead. */
bool schedule_believes(uint64_t at_us, uint64_t every_us, uint64_t now_us);

/*
 * When the period began of the newest sweep that finished: when it was planned, or started where that was earlier, or a
 * whole period later. So who waits for others, or for a window, in each period falls behind, and is found out. 0:
 * unknown.
 */
uint64_t schedule_period_start(const struct schedule_history *history, uint64_t every_us, uint64_t now_us);

/*
 * When the next sweep should start; SCHEDULE_NEVER for every = "never". Never swept, or killed: at once (0). Finished:
 * `every` after its period began. Cancelled: `every` after its end. Failed: 1 h after its end, doubling to
 * 24 h with each failure in a row, but not later than `every` after its end.
 */
uint64_t schedule_next_start(const struct schedule_history *history, uint64_t every_us, uint64_t now_us);

/*
 * The deadline: past it the device is overdue. `every` after the period began of the last sweep that finished, or after
 * the end of a cancelled one, whichever is later; 0: none ever did; SCHEDULE_NEVER for every = "never".
 */
uint64_t schedule_next_due(const struct schedule_history *history, uint64_t every_us, uint64_t now_us);

/*
 * Whether what was checked then has waited for too long, whatever the reason: three periods. A sweep begins in the one
 * after the last sweep, and may take another. False for every = "never", and for 0 and times to come.
 */
bool schedule_is_silent(uint64_t checked_us, uint64_t every_us, uint64_t now_us);
