/* SPDX-License-Identifier: Apache-2.0 */
/* settings: configuration text to checked, immutable records (design 11). The only user of libconfig. */
#pragma once

#include "model/device_config.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

struct settings {
        char state_dir[PATH_MAX];
        char control_socket[PATH_MAX];
        unsigned workers;           /* 0: verify inline */
        cpu_set_t cpus;             /* never empty */
        char cpus_text[256];        /* as given, or the daemon's own affinity: for messages */
        unsigned concurrent_sweeps; /* 0: no limit */
        unsigned per_controller;    /* likewise */
        uint64_t rate_bytes;        /* a second, of all sweeps together; 0: no limit */
        uint64_t history_us;        /* how long the ledger keeps what is over */
        uint64_t repeat_us;         /* after which people are told again of what is open */
        size_t device_count;
        struct device_config **devices; /* that are named one by one */
        size_t match_count;
        struct device_config **matches; /* entries that stand for many */
};

struct settings_error {
        char file[PATH_MAX];
        int line;       /* 0: of the file as a whole */
        char text[512]; /* what is wrong, and what to do: without file and line */
};

enum { SETTINGS_PLACE_BYTES = PATH_MAX + 12 };

/* Where it is, for people: FILE:LINE, or FILE. */
void settings_error_place(char to[static SETTINGS_PLACE_BYTES], const struct settings_error *error);

/* What the defaults depend on. */
struct settings_surroundings {
        const char *state_directory; /* $STATE_DIRECTORY, or NULL */
        cpu_set_t cpus;              /* that the daemon may run on */
};

enum { SETTINGS_OK, SETTINGS_E_INVALID };

/* SETTINGS_E_INVALID: *error says what, where and what to do. Negative errno: -ENOMEM. */
int settings_load(struct settings **ret, struct settings_error *error, const char *file,
        const struct settings_surroundings *surroundings);

/* The device of this name, or NULL. */
struct device_config *settings_device(const struct settings *s, const char *name);

/* Accepts NULL; returns NULL. */
struct settings *settings_free(struct settings *s);
