/* SPDX-License-Identifier: Apache-2.0 */
/*
 * latency: how long requests took, as a log-linear histogram: every power of two is cut into 16 equal steps (the scheme
 * of HdrHistogram, Gil Tene). Below 32 us it is exact; above, a percentile is never less than the truth and at most a
 * 16th more, up to 2^34 us (4.7 h). What took longer counts there; the count and the maximum are always exact.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum latency_operation { LATENCY_READ, LATENCY_WRITE, LATENCY_FLUSH, LATENCY_OPERATIONS };

const char *latency_operation_name(enum latency_operation operation);

enum { LATENCY_STEPS = 16, LATENCY_POWERS = 30, LATENCY_BUCKETS = LATENCY_STEPS * (LATENCY_POWERS + 1) };

/* All zero is empty. */
struct latency_histogram {
        uint64_t count;
        uint64_t max_us;
        uint64_t buckets[LATENCY_BUCKETS];
};

void latency_add(struct latency_histogram *h, uint64_t latency_us);
void latency_merge(struct latency_histogram *into, const struct latency_histogram *from);

/* What `thousandths` of 1,000 did not exceed. 0 where nothing was measured. */
uint64_t latency_percentile(const struct latency_histogram *h, unsigned thousandths);

/* What is told of a histogram. count 0: nothing was measured. */
struct latency_summary {
        uint64_t count, p50_us, p90_us, p99_us, p999_us, max_us;
};

struct latency_summary latency_summarize(const struct latency_histogram *h);

/* The histograms of all operations as bytes: only buckets that are not empty are in it. Returns the length. */
enum { LATENCY_PACKED_MAX = 16 + LATENCY_OPERATIONS * (LATENCY_BUCKETS + 2) * 12 };
size_t latency_pack(uint8_t bytes[static LATENCY_PACKED_MAX], const struct latency_histogram *all);

/* False: these bytes are no histograms; `all` (of every operation) is untouched. */
bool latency_unpack(struct latency_histogram *all, const void *bytes, size_t length);
