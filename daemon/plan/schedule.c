/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wall clocks are wrong at times: a board without a battery wakes up in 1970, and a device that was swept in a mistaken
 * 2099 would not be due for decades. A past that can't be is no past. The other trap is a device that fails at once:
 * retried without a pause, it would keep the host busy and its log full.
 */
#include "plan/schedule.h"

#include "base/cleanup.h"
#include "base/clock.h"

/* "never" is a sum that no clock reaches. */
static uint64_t later(uint64_t at_us, uint64_t span_us) {
        uint64_t sum;
        return __builtin_add_overflow(at_us, span_us, &sum) ? SCHEDULE_NEVER : sum;
}

/* 2020: what a clock shows before that was not set. Where none ever is, such dates are as good as others. */
#define SET_US (UINT64_C(1577836800) * USEC_PER_SEC)

bool schedule_believes(uint64_t at_us, uint64_t every_us, uint64_t now_us) {
        return at_us > 0 && (at_us >= SET_US || now_us < SET_US) && at_us <= later(now_us, every_us);
}

static uint64_t retry_pause(unsigned failures_in_a_row) {
        enum { HOURS_MAX = 24, DOUBLINGS_MAX = 5 };
        unsigned doublings = failures_in_a_row > 0 ? MIN(failures_in_a_row - 1, (unsigned)DOUBLINGS_MAX) : 0;
        return MIN(1U << doublings, (unsigned)HOURS_MAX) * USEC_PER_HOUR;
}

uint64_t schedule_period_start(const struct schedule_history *history, uint64_t every_us, uint64_t now_us) {
        uint64_t started_us = history->last_finished_us, planned_us = history->finished_planned_us;
        if (!schedule_believes(started_us, every_us, now_us))
                return 0;
        bool late = planned_us > 0 && planned_us < started_us && started_us - planned_us < every_us;
        return late ? planned_us : started_us;
}

uint64_t schedule_next_start(const struct schedule_history *history, uint64_t every_us, uint64_t now_us) {
        if (every_us == EVERY_NEVER)
                return SCHEDULE_NEVER;
        uint64_t from_us = history->last_end == END_FINISHED ? schedule_period_start(history, every_us, now_us)
                                                             : history->last_ended_us;
        if (!schedule_believes(from_us, every_us, now_us))
                return 0;
        switch (history->last_end) {
        case END_FINISHED:
        case END_CANCELLED:
                return later(from_us, every_us);
        case END_FAILED:
                return later(from_us, MIN(retry_pause(history->failures_in_a_row), every_us));
        default:
                return 0;
        }
}

uint64_t schedule_next_due(const struct schedule_history *history, uint64_t every_us, uint64_t now_us) {
        if (every_us == EVERY_NEVER)
                return SCHEDULE_NEVER;
        uint64_t known[] = {
                schedule_period_start(history, every_us, now_us),
                history->last_end == END_CANCELLED ? history->last_ended_us : 0,
        };
        uint64_t from_us = 0;
        for (size_t i = 0; i < ELEMENTS(known); i++)
                if (schedule_believes(known[i], every_us, now_us))
                        from_us = MAX(from_us, known[i]);
        return from_us ? later(from_us, every_us) : 0;
}

bool schedule_is_silent(uint64_t checked_us, uint64_t every_us, uint64_t now_us) {
        enum { PERIODS = 3 };
        uint64_t limit_us;
        if (every_us == EVERY_NEVER || checked_us == 0 || checked_us > now_us ||
                __builtin_mul_overflow(every_us, (uint64_t)PERIODS, &limit_us))
                return false;
        return now_us - checked_us > limit_us;
}
