/* SPDX-License-Identifier: Apache-2.0 */
/* event: something that happened and that people are told: in the journal or syslog, and in the ledger. */
#pragma once

#include "model/device_config.h"
#include "model/finding.h"
#include "model/sweep_record.h"

#include <stdbool.h>
#include <stdint.h>

/* Each kind has a MESSAGE_ID of its own (systemd/sweepd.catalog) and a priority as of syslog(3). */
enum event_kind {
        EVENT_FINDING,      /* a fault was found, or grew */
        EVENT_FINDING_OVER, /* resolved or retired */
        EVENT_SWEEP_STARTED,
        EVENT_SWEEP_ENDED,
        EVENT_SWEEP_RESTS, /* it is interrupted, and will go on */
        EVENT_REFUSED,     /* the interlock said no */
        EVENT_REFUSAL_OVER,
        EVENT_DEADLINE,      /* can't be met, or was missed */
        EVENT_DEADLINE_OVER, /* deadlines are met again */
        EVENT_DEVICE_MISSING,
        EVENT_DEVICE_BACK,
        EVENT_LEDGER,         /* lost, replaced, unavailable, good again */
        EVENT_TARGET_ADOPTED, /* stamps newer than the ledger */
        EVENT_RECOVERY,       /* what an undo journal held was put back, or could not be */
        EVENT_TEST,           /* somebody wants to see whether alerts arrive */
        EVENT_DAEMON,         /* started, stopped, configuration read or refused */
        EVENT_SUM,            /* of many that were not told one by one */
        EVENT_UNCHECKED,      /* a part of the device was not judged for too long, for whatever reason */
        EVENT_UNCHECKED_OVER,
        EVENT_COUNT
};

/* Why a finding is told. */
enum event_turn { EVENT_FIRST, EVENT_GREW, EVENT_AGAIN, EVENT_TURN_COUNT };

const char *event_kind_name(enum event_kind kind);
bool event_kind_from_name(enum event_kind *ret, const char *name);

enum { EVENT_TEXT_BYTES = 768, EVENT_IDENTITY_BYTES = 128 };

struct event {
        uint64_t id; /* given by main, only grows */
        enum event_kind kind;
        int priority; /* LOG_* of syslog(3) */
        uint64_t at_us;
        char device[DEVICE_NAME_BYTES]; /* "": of the daemon itself */
        char text[EVENT_TEXT_BYTES];    /* a whole sentence for people, without the device's name */
        uint64_t sweep_id;              /* 0: none */
        uint64_t count;                 /* EVENT_SUM: of how many; else 0 */
        enum event_turn turn;           /* of findings */
        bool has_finding;
        struct finding finding;
        bool has_sweep; /* EVENT_SWEEP_ENDED */
        struct sweep_record sweep;
        char serial[EVENT_IDENTITY_BYTES];
        char slot[EVENT_IDENTITY_BYTES];
};

/* Of how many messages a sum is, by its text, which begins with that. 0: it is no sum, or does not say. */
uint64_t event_sum_count(const struct event *event);
