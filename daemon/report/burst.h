/* SPDX-License-Identifier: Apache-2.0 */
/*
 * burst: of many messages of one kind about one device the first few are told one by one, and the others as sums.
 * Main's alone; no I/O, no clock.
 */
#pragma once

#include "model/event.h"

#include <stdbool.h>
#include <stdint.h>

enum {
        BURST_TOLD_MAX = 16, /* one by one; then sums until it has been quiet for BURST_QUIET_S */
        BURST_QUIET_S = 600,
        BURST_SUM_FIRST_S = 10, /* until the first sum; each one after waits twice as long, */
        BURST_SUM_MAX_S = 3600  /* but not longer than this */
};

struct burst_book;

/* -ENOMEM. */
int burst_book_new(struct burst_book **ret);

/* What was not told yet is lost. Accepts NULL; returns NULL. */
struct burst_book *burst_book_free(struct burst_book *book);

/* True: the event is to be told. False: it was counted, and a sum will tell of it. */
bool burst_book_passes(struct burst_book *book, const struct event *event, uint64_t monotonic_us);

/*
 * The next sum that is to be told: of `device` at once; NULL: of any whose time has come. Its text, kind, priority (the
 * gravest), device, serial, slot and count; the rest is zero. False: none.
 */
bool burst_book_sum(struct burst_book *book, const char *device, uint64_t monotonic_us, struct event *ret);
