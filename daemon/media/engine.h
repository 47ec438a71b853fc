/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine: asynchronous I/O on a target (and on an undo journal). A seam: the real one is libaio, the tests' one is
 * simulated. An engine judges nothing: short and failed completions are handed up as they come.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum engine_op { ENGINE_READ, ENGINE_WRITE, ENGINE_FLUSH };

/* Owned by the engine from engine_submit() until engine_reap() returns it. The buffer must stay where it is. */
struct engine_io {
        enum engine_op op;
        uint32_t length_bytes; /* in whole logical blocks; 0 for a flush */
        uint64_t offset_bytes;
        void *buffer;
        void *owner;           /* the submitter's own, untouched */
        int64_t result;        /* bytes transferred, or negative errno */
        uint64_t submitted_us; /* monotonic, set by the engine */
        uint64_t completed_us;
};

/* What the device says of itself now. */
struct engine_look {
        uint64_t size_bytes;
        uint64_t diskseq; /* 0: the kernel does not tell */
        bool read_only;
        bool gone;              /* no longer there, and nothing else under its name */
        bool replaced;          /* another device has its name */
        uint64_t cached_bytes;  /* of a file, that the page cache keeps: it would answer for the disk */
        bool counts_known;      /* what it grows by beyond ours is somebody else's */
        bool counts_complete;   /* and no write goes past it: where it doesn't grow, nobody else wrote */
        uint64_t written_bytes; /* by anybody, as the kernel counts them when they complete; for ever growing */
        uint64_t around_bytes;  /* of a partition: written to its whole disk, and by way of no partition */
        uint64_t around_of;     /* which partitions those are; 0: the device is none, or it is not known */
};

/* What went through the whole disk since the kernel knows it, by whomever. */
struct engine_traffic {
        uint64_t read_bytes;
        uint64_t written_bytes; /* and discarded */
        uint64_t changes;       /* writes, discards and flushes */
        uint64_t in_flight;     /* requests that are not answered yet */
};

struct engine;

struct engine_ops {
        int (*submit)(struct engine *engine, struct engine_io *const *ios, size_t count);
        size_t (*reap)(struct engine *engine, struct engine_io **done, size_t max);
        int (*look)(struct engine *engine, struct engine_look *ret);
        bool (*traffic)(struct engine *engine, struct engine_traffic *ret); /* NULL: never known */
        struct engine *(*free)(struct engine *engine);
};

/* The head of each implementation. */
struct engine {
        const struct engine_ops *ops;
};

/*
 * Hands over up to count requests in order, and returns how many were taken (less than count when its depth is
 * reached; 0 is no error). Negative errno: the first one was refused by the kernel and still belongs to the caller.
 * May block in the kernel when the device's own queue is full.
 */
static inline int engine_submit(struct engine *engine, struct engine_io *const *ios, size_t count) {
        return engine->ops->submit(engine, ios, count);
}

/* Up to max completed requests, without waiting. */
static inline size_t engine_reap(struct engine *engine, struct engine_io **done, size_t max) {
        return engine->ops->reap(engine, done, max);
}

/* Asks the device again what it is. Negative errno where even that fails (then it is as good as gone). */
static inline int engine_look(struct engine *engine, struct engine_look *ret) {
        return engine->ops->look(engine, ret);
}

/* What others are known to have written between two looks, where own_bytes were ours. 0 proves nothing by itself. */
static inline uint64_t engine_others_wrote(
        const struct engine_look *before, const struct engine_look *now, uint64_t own_bytes) {
        uint64_t others = 0;
        if (!before->counts_known || !now->counts_known)
                return 0;
        if (now->written_bytes - before->written_bytes > own_bytes)
                others += now->written_bytes - before->written_bytes - own_bytes;
        if (now->around_of != 0 && now->around_of == before->around_of && now->around_bytes > before->around_bytes)
                others += now->around_bytes - before->around_bytes;
        return others;
}

/* Whether nobody else can have written without being counted between two looks. */
static inline bool engine_counts_all(const struct engine_look *before, const struct engine_look *now) {
        return before->counts_known && now->counts_known && before->counts_complete && now->counts_complete &&
                before->around_of == now->around_of;
}

/* False: nobody counts. *ret is untouched. */
static inline bool engine_traffic(struct engine *engine, struct engine_traffic *ret) {
        return engine->ops->traffic && engine->ops->traffic(engine, ret);
}

/* Nothing may be in flight. Accepts NULL; returns NULL. */
static inline struct engine *engine_free(struct engine *engine) {
        return engine ? engine->ops->free(engine) : NULL;
}
