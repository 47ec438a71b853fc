/* SPDX-License-Identifier: Apache-2.0 */
/* device_record: how a device and the daemon itself look at one moment: what status shows. As in io.sweepd.varlink. */
#pragma once

#include "model/device_config.h"
#include "model/identity.h"
#include "model/pace_rule.h"
#include "model/reason.h"
#include "model/sweep_record.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum device_state {
        DEVICE_IDLE,
        DEVICE_HELD,
        DEVICE_QUEUED,
        DEVICE_SWEEPING,
        DEVICE_YIELDING,
        DEVICE_PAUSED,
        DEVICE_WAITING,
        DEVICE_STALLED,
        DEVICE_MISSING,
        DEVICE_REFUSED,
        DEVICE_RECOVERING,
        DEVICE_STATE_COUNT
};

const char *device_state_name(enum device_state state);

/* Times are 0 where the interface has null. */
struct device_record {
        char name[DEVICE_NAME_BYTES];
        const char *path;
        enum sweep_mode mode;
        const struct identity *identity; /* NULL: unknown */
        uint64_t size_bytes;             /* 0: unknown */
        uint64_t extent_offset_bytes;
        uint64_t extent_length_bytes; /* 0: unknown */
        enum device_state state;
        struct reason reason; /* rule "": none */
        enum verdict verdict;
        enum assurance assurance;
        bool needs_attention;
        bool overdue;
        bool has_progress;
        struct progress progress;
        uint64_t rate_bytes;        /* a second, over the last seconds */
        uint64_t rate_target_bytes; /* that it keeps to at the moment; 0: as fast as it can */
        enum pace_rule rate_rule;   /* what sets that */
        uint64_t eta_us;            /* wall time; 0: unknown */
        uint64_t last_sweep_ended_us, next_due_us, next_start_us;
        uint64_t every_us;         /* 0: by hand only */
        uint64_t window_opens_us;  /* 0: it is open, or there are none */
        uint64_t window_closes_us; /* of that one or of the next; 0: there are none */
        uint64_t oldest_checked_us, oldest_verified_us;
        double coverage;                 /* 0 to 1: the share that was verified (mode read: checked) within `every` */
        int write_cache, cache_defeated; /* 1, 0; -1: unknown */
        uint64_t bytes_written;
        uint64_t findings_open, findings_acknowledged, findings_resolved;
};

struct worker_record {
        unsigned index;
        char cpus[256]; /* the mask as the kernel has it */
        bool in_service;
        uint64_t blocks_verified, bytes_verified, busy_us;
};

struct daemon_record {
        const char *version;
        int pid;
        uint64_t started_us;
        uint64_t self_test_us;
        const char *ledger;      /* "good", "unavailable", "replaced" */
        const char *ledger_text; /* NULL: nothing to say */
        size_t worker_count;
        const struct worker_record *workers;
        uint64_t devices, devices_needing_attention;
        size_t unowned_count; /* undo journals that hold something, of devices that are not configured */
        const char *const *unowned;
        uint64_t last_event; /* the number of the newest; 0: there was none */
};
