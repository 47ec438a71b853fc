/* SPDX-License-Identifier: Apache-2.0 */
/* disk_private: the inside of a fault disk, for its requests (disk.c) and its commands (command.c) alone. */
#pragma once

#include "cache.h"
#include "disk.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* One head that seeks, then transfers. Requests wait for it in the order in which they came, but for those that are
 * near the head when their turn comes. */
struct model {
        uint64_t seek_us;
        uint64_t bytes_per_s; /* 0: no time at all */
        uint64_t position_bytes;
        uint64_t busy_until_us;
};

struct disk {
        pthread_mutex_t lock; /* of everything below */
        pthread_cond_t released;
        uint64_t size_bytes;
        uint64_t shown_bytes; /* less after shrink */
        uint64_t seed;
        struct cache *cache;
        struct rules rules;
        struct model model;
        int gone_error;    /* positive errno of every request while the disk is removed or has no power; else 0 */
        unsigned hanging;  /* requests that wait for release */
        uint64_t releases; /* so far */
        int release_error; /* of the last one; 0: complete */
        bool ended;
        FILE *log;
};

/* Monotonic. */
uint64_t disk_now_us(void);

/* Lets all go that hang: error 0 completes them, a positive errno fails them. The lock is held. */
void disk_release(struct disk *disk, int error);
