/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mean hides the one read in a million that took ten seconds, and keeping every latency of a disk takes as much room
 * as the disk's own table of contents. A histogram of fixed size keeps both ends. What could go wrong: a bucket that
 * the next one overlaps, a percentile that flatters, and bytes from a damaged ledger that become numbers. So bounds
 * are computed from the same shift as the index, percentiles round up, and what is unpacked must agree with itself.
 */
#include "model/latency.h"

#include "base/cleanup.h"
#include "model/packed.h"

#include <assert.h>

enum { PACKED_VERSION = 1, STEP_BITS = 4 };

static const char *const operation_names[LATENCY_OPERATIONS] = {
        [LATENCY_READ] = "read",
        [LATENCY_WRITE] = "write",
        [LATENCY_FLUSH] = "flush",
};

const char *latency_operation_name(enum latency_operation operation) {
        assert(operation < LATENCY_OPERATIONS);
        return operation_names[operation];
}

static size_t bucket_of(uint64_t latency_us) {
        if (latency_us < LATENCY_STEPS)
                return latency_us;
        unsigned power = 63U - (unsigned)__builtin_clzll(latency_us) - STEP_BITS;
        size_t bucket = LATENCY_STEPS * (size_t)power + (latency_us >> power);
        return MIN(bucket, (size_t)LATENCY_BUCKETS - 1);
}

/* The largest value that counts in a bucket. */
static uint64_t bucket_end(size_t bucket) {
        if (bucket < LATENCY_STEPS)
                return bucket;
        unsigned power = (unsigned)(bucket / LATENCY_STEPS) - 1;
        uint64_t step = LATENCY_STEPS + bucket % LATENCY_STEPS;
        return ((step + 1) << power) - 1;
}

void latency_add(struct latency_histogram *h, uint64_t latency_us) {
        h->count++;
        h->max_us = MAX(h->max_us, latency_us);
        h->buckets[bucket_of(latency_us)]++;
}

void latency_merge(struct latency_histogram *into, const struct latency_histogram *from) {
        into->count += from->count;
        into->max_us = MAX(into->max_us, from->max_us);
        for (size_t i = 0; i < LATENCY_BUCKETS; i++)
                into->buckets[i] += from->buckets[i];
}

uint64_t latency_percentile(const struct latency_histogram *h, unsigned thousandths) {
        assert(thousandths <= 1000);
        /* Rounded up, and without overflow: the part that 1,000 divides, and the rest. */
        uint64_t rank = h->count / 1000 * thousandths + (h->count % 1000 * thousandths + 999) / 1000, below = 0;
        for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
                below += h->buckets[i];
                if (below > 0 && below >= rank)
                        return i == LATENCY_BUCKETS - 1 ? h->max_us : MIN(bucket_end(i), h->max_us);
        }
        return h->max_us;
}

struct latency_summary latency_summarize(const struct latency_histogram *h) {
        return (struct latency_summary){
                .count = h->count,
                .p50_us = latency_percentile(h, 500),
                .p90_us = latency_percentile(h, 900),
                .p99_us = latency_percentile(h, 990),
                .p999_us = latency_percentile(h, 999),
                .max_us = h->max_us,
        };
}

/* Of each operation the maximum, how many buckets follow, and of each its distance from the one before and its count.
 */
size_t latency_pack(uint8_t bytes[static LATENCY_PACKED_MAX], const struct latency_histogram *all) {
        struct packer p = { .bytes = bytes, .room = LATENCY_PACKED_MAX };
        packer_add(&p, PACKED_VERSION);
        for (size_t k = 0; k < LATENCY_OPERATIONS; k++) {
                const struct latency_histogram *h = &all[k];
                size_t used = 0, last = 0;
                for (size_t i = 0; i < LATENCY_BUCKETS; i++)
                        used += h->buckets[i] > 0;
                packer_add(&p, h->max_us);
                packer_add(&p, used);
                for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
                        if (h->buckets[i] == 0)
                                continue;
                        packer_add(&p, i - last);
                        packer_add(&p, h->buckets[i]);
                        last = i;
                }
        }
        return packer_seal(&p);
}

static bool unpack_one(struct latency_histogram *h, struct unpacker *u) {
        *h = (struct latency_histogram){ .max_us = unpacker_take(u) };
        uint64_t used = unpacker_take(u), bucket = 0;
        for (uint64_t i = 0; i < used && !u->broken; i++) {
                uint64_t step = unpacker_take(u), count = unpacker_take(u);
                if (step >= LATENCY_BUCKETS - bucket || (step == 0 && i > 0) || count == 0)
                        return false;
                bucket += step;
                h->buckets[bucket] = count;
                if (__builtin_add_overflow(h->count, count, &h->count))
                        return false;
        }
        return !u->broken && (h->count > 0 ? bucket_of(h->max_us) == bucket : h->max_us == 0);
}

bool latency_unpack(struct latency_histogram *all, const void *bytes, size_t length) {
        struct latency_histogram found[LATENCY_OPERATIONS];
        struct unpacker u;
        if (!unpacker_begin(&u, bytes, length) || unpacker_take(&u) != PACKED_VERSION)
                return false;
        for (size_t k = 0; k < LATENCY_OPERATIONS; k++)
                if (!unpack_one(&found[k], &u))
                        return false;
        if (!unpacker_end(&u))
                return false;
        for (size_t k = 0; k < LATENCY_OPERATIONS; k++)
                all[k] = found[k];
        return true;
}
