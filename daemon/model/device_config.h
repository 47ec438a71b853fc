/* SPDX-License-Identifier: Apache-2.0 */
/* device_config: one entry of `devices`, checked and immutable. A running sweep keeps the one that it began with. */
#pragma once

#include <stdint.h>

enum sweep_mode { MODE_READ, MODE_REFRESH, MODE_PRESERVE, MODE_PATTERN, MODE_COUNT };

const char *sweep_mode_name(enum sweep_mode mode);

/* 0, or -EINVAL where there is no such mode. */
int sweep_mode_from_name(enum sweep_mode *ret, const char *name);

enum { DEVICE_NAME_BYTES = 65 };

#define EVERY_NEVER UINT64_MAX

struct device_config {
        unsigned references; /* counted by main alone */
        char name[DEVICE_NAME_BYTES];
        char *path;
        char *serial;        /* NULL: not given */
        char *destroys_data; /* NULL: not given */
        enum sweep_mode mode;
        uint32_t block_size_bytes;
        uint32_t queue_depth;
        uint64_t segment_bytes;
        uint64_t narrow_budget_us; /* what a sweep may spend on telling bad blocks apart, and as much on trying again */
        uint64_t io_timeout_us;    /* without an answer for this long, the device hangs */
        uint64_t every_us;         /* EVERY_NEVER: only by hand */
        int line;                  /* where it stands in the configuration file, for messages */
};

/* Copies path, serial and destroys_data; the rest gets the defaults of design 11. One reference. -ENOMEM. */
int device_config_new(struct device_config **ret, const char *name, const char *path);

struct device_config *device_config_ref(struct device_config *config);

/* Accepts NULL; returns NULL. */
struct device_config *device_config_unref(struct device_config *config);

static inline int sweep_mode_writes(enum sweep_mode mode) {
        return mode != MODE_READ;
}
