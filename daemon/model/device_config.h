/* SPDX-License-Identifier: Apache-2.0 */
/* device_config: one entry of `devices`, checked and immutable. A running sweep keeps the one that it began with. */
#pragma once

#include "model/extent.h"
#include "model/pattern_list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct calendar;

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
        char **match;   /* globs of an entry that stands for many disks, ended by NULL; else NULL. Such an entry has
                           neither name nor path, and is no device by itself */
        char **exclude; /* the same; NULL: none */
        struct device_config *entry; /* of a disk that a match took: that entry, referenced; else NULL */
        char *key;           /* of a disk that a match took: identity_key() of what must be at its path; else NULL */
        char *serial;        /* NULL: not given */
        char *destroys_data; /* NULL: not given */
        char *journal;       /* of refresh and preserve: a directory or a block device; NULL: state_dir/undo */
        uint64_t create_size_bytes; /* 0: a block device; else a file that is made with this size */
        enum sweep_mode mode;
        struct pattern_list patterns; /* of mode pattern: fixed passes before the stamped one */
        uint32_t block_size_bytes;
        uint32_t queue_depth;
        uint64_t segment_bytes;    /* 0: what the mode takes; ask device_config_segment_bytes() */
        uint64_t narrow_budget_us; /* what a sweep may spend on telling bad blocks apart, and as much on trying again */
        uint64_t io_timeout_us;    /* without an answer for this long, the device hangs */
        uint64_t slow_after_us;    /* a read that takes longer is slow */
        uint64_t every_us;         /* EVERY_NEVER: only by hand */
        bool yield;                /* to others who use the disk */
        uint64_t offset_bytes;     /* of the extent, with its length; ask device_config_extent() */
        uint64_t length_bytes;     /* 0: to the end of the device */
        struct calendar *calendar; /* when it may be swept: flat; NULL: always */
        uint64_t rate_min_bytes;   /* a second: a sweep by the plan is never asked to be slower */
        uint64_t rate_max_bytes;   /* a second: no sweep is ever faster; 0: no limit */
        double write_limit;        /* how often a year the extent may be written; 0: no limit */
        uint64_t settle_us;        /* refresh and preserve begin after this long without I/O of others */
        int line;                  /* where it stands in the configuration file, for messages */
};

/* Copies name and path; the rest gets the defaults. One reference. -ENOMEM. */
int device_config_new(struct device_config **ret, const char *name, const char *path);

/* One disk of an entry with `match`: all else is that entry's. One reference. -ENOMEM. */
int device_config_member(
        struct device_config **ret, struct device_config *entry, const char *name, const char *path, const char *key);

struct device_config *device_config_ref(struct device_config *config);

/* Accepts NULL; returns NULL. */
struct device_config *device_config_unref(struct device_config *config);

/* The largest write caches of drives: what is read back after less than that may come from one. */
#define DEVICE_CACHE_BYTES_MAX (UINT64_C(512) << 20)

/* The mode may be another one than the configured, where a sweep is started by hand. */
uint64_t device_config_segment_bytes(const struct device_config *config, enum sweep_mode mode);

/* To how much a sweep that is slow may cut it: to 1 % of the extent, but never into what a cache holds, and not where
 * the configuration says how large it is, as that knows of larger caches. extent_bytes 0: not known. */
uint64_t device_config_segment_least_bytes(
        const struct device_config *config, enum sweep_mode mode, uint64_t extent_bytes);

/* What is swept of a device of this size. Length 0: the device ends before it begins, or within it. */
struct extent device_config_extent(const struct device_config *config, uint64_t size_bytes);

static inline int sweep_mode_writes(enum sweep_mode mode) {
        return mode != MODE_READ;
}

/* Whether a sweep of that mode is what a device of the configured one is due for: what was only read was not written,
 * and what gave way to a pattern is not the data that is to be preserved. */
bool sweep_mode_serves(enum sweep_mode configured, enum sweep_mode swept);

/* Whether it puts back what it overwrites, by an undo journal. */
static inline int sweep_mode_keeps(enum sweep_mode mode) {
        return mode == MODE_REFRESH || mode == MODE_PRESERVE;
}
