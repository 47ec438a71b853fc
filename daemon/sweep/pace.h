/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pace: when a sweep may send its next request: not faster than the rate that main set, and out of the way while others
 * use the disk. It knows numbers and times only; who samples the disk tells it what was seen. Times are monotonic.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PACE_SAMPLE_US      UINT64_C(1000000) /* how often the disk is looked at */
#define PACE_WARY_SAMPLE_US UINT64_C(250000)  /* while others are, or were lately, seen there */
#define PACE_WARY_US        UINT64_C(60000000)
#define PACE_QUIET_US       UINT64_C(1000000)         /* without others, and the sweep goes on at its rate */
#define PACE_BURST_US       UINT64_C(50000)           /* of its rate may be caught up with after a wait, and no more */
#define PACE_GRACE_US       (UINT64_C(600) * 1000000) /* how long others have the disk before rate_min is insisted on */
#define PACE_LEAD_US        (UINT64_C(86400) * 1000000) /* of rate_min that a sweep can be ahead by */

enum {
        PACE_SIP_SHARE = 200, /* a sip, and then as long as this many of it without one */
        PACE_SIP_WAIT_S = 10, /* but no longer than this */
};

enum pace_state {
        PACE_FREE,   /* nobody else uses the disk */
        PACE_YIELDS, /* others do: a sip now and then */
        PACE_FLOOR,  /* they have for so long that rate_min is due */
};

struct pace_options {
        bool yield;
        bool in_use;       /* others have the target open: they are taken to use it until a second was quiet */
        uint64_t rate_min; /* bytes a second, on average, however much others use the disk; 0: sips are enough */
};

/* Requests at a rate: the next may be sent at next_ns, which runs ahead with each that is. */
struct pace_gate {
        uint64_t rate; /* bytes a second; 0: always open */
        uint64_t next_ns;
};

struct pace {
        bool yield;
        bool yielding;
        struct pace_gate level; /* the rate that was set */
        struct pace_gate floor; /* rate_min: is due when this is open */
        uint64_t sampled_us;    /* 0: never */
        uint64_t foreign_us;    /* when others were seen last */
        uint64_t wary_until_us, sip_us;
};

void pace_init(struct pace *p, const struct pace_options *options, uint64_t now_us);

/* Bytes a second; 0: no limit. What was sent too much at the old rate is waited for at the new one. */
void pace_set_rate(struct pace *p, uint64_t rate, uint64_t now_us);

/* How many requests may be out at a time; 0: as many as the sweep likes. */
unsigned pace_depth(const struct pace *p);

/* When the next request may be sent; not later than now_us: now. */
uint64_t pace_next_us(const struct pace *p, uint64_t now_us);

/* It is sent; took back: it was not, after all. */
void pace_sent(struct pace *p, uint32_t bytes, uint64_t now_us);
void pace_took_back(struct pace *p, uint32_t bytes);

/* It was answered after that long. */
void pace_answered(struct pace *p, uint64_t now_us, uint64_t took_us);

/* The disk is to be looked at: let what is out come back, then tell whether others used it since the last look. */
bool pace_wants_sample(const struct pace *p, uint64_t now_us);
void pace_sample(struct pace *p, bool foreign, uint64_t now_us);

/* Nobody can tell: others are not noticed. */
void pace_sample_unknown(struct pace *p, uint64_t now_us);

/* What it keeps to now, bytes a second; 0: no limit. */
uint64_t pace_rate(const struct pace *p);

enum pace_state pace_state(const struct pace *p, uint64_t now_us);
