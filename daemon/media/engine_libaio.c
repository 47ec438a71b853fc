/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many requests in flight on one thread, with nothing allocated per request. What could go wrong is in the conventions:
 * libaio returns negative errno where others set errno, its `res` is unsigned though it carries errors, and it may take
 * fewer requests than it was given. The kernel copies a control block when it takes it, so the blocks are only the
 * envelopes of one call, and all that is kept of what is in flight is its number.
 */
#include "media/engine_libaio.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "media/target.h"

#include <assert.h>
#include <errno.h>
#include <libaio.h>

struct engine_libaio {
        struct engine engine; /* first, so that one can be cast to the other */
        struct engine_libaio_source source;
        io_context_t context;
        int wake_fd;
        unsigned depth;
        unsigned in_flight;
        struct iocb *blocks;     /* depth of them */
        struct iocb **batch;     /* their addresses, as io_submit() wants them */
        struct io_event *events; /* room for depth */
};

static struct engine *libaio_free(struct engine *base) {
        struct engine_libaio *e = (struct engine_libaio *)base;
        assert(e->in_flight == 0);
        if (e->context)
                io_destroy(e->context);
        free(e->blocks);
        free(e->batch);
        free(e->events);
        free(e);
        return NULL;
}

static void prepare(struct engine_libaio *e, struct iocb *block, struct engine_io *io) {
        int fd = e->source.fd;
        switch (io->op) {
        case ENGINE_READ:
                io_prep_pread(block, fd, io->buffer, io->length_bytes, (long long)io->offset_bytes);
                break;
        case ENGINE_WRITE:
                io_prep_pwrite(block, fd, io->buffer, io->length_bytes, (long long)io->offset_bytes);
                break;
        case ENGINE_FLUSH:
                io_prep_fdsync(block, fd);
                break;
        }
        io_set_eventfd(block, e->wake_fd);
        block->data = io;
}

static int libaio_submit(struct engine *base, struct engine_io *const *ios, size_t count) {
        struct engine_libaio *e = (struct engine_libaio *)base;
        assert(e->in_flight <= e->depth);
        unsigned n = (unsigned)MIN(count, (size_t)(e->depth - e->in_flight));
        if (n == 0)
                return 0;
        uint64_t now_us = clock_monotonic_us();
        for (unsigned i = 0; i < n; i++) {
                prepare(e, &e->blocks[i], ios[i]);
                ios[i]->submitted_us = now_us;
        }
        int r = io_submit(e->context, n, e->batch);
        if (r == -EAGAIN || r == -EINTR)
                return 0;
        if (r < 0)
                return r;
        assert((unsigned)r <= n);
        e->in_flight += (unsigned)r;
        return r;
}

static size_t libaio_reap(struct engine *base, struct engine_io **done, size_t max) {
        struct engine_libaio *e = (struct engine_libaio *)base;
        long room = (long)MIN(max, (size_t)e->in_flight);
        struct timespec at_once = { 0 };
        int n = room > 0 ? io_getevents(e->context, 0, room, e->events, &at_once) : 0;
        if (n <= 0)
                return 0; /* interrupted is nothing now; our own context and array can't be refused */
        uint64_t now_us = clock_monotonic_us();
        for (int i = 0; i < n; i++) {
                struct engine_io *io = e->events[i].data;
                io->result = (int64_t)(long)e->events[i].res;
                io->completed_us = now_us;
                done[i] = io;
        }
        assert((unsigned)n <= e->in_flight);
        e->in_flight -= (unsigned)n;
        return (size_t)n;
}

static int libaio_look(struct engine *base, struct engine_look *ret) {
        struct engine_libaio *e = (struct engine_libaio *)base;
        return e->source.look(e->source.userdata, ret);
}

static bool libaio_traffic(struct engine *base, struct engine_traffic *ret) {
        struct engine_libaio *e = (struct engine_libaio *)base;
        return e->source.traffic && e->source.traffic(e->source.userdata, ret);
}

static const struct engine_ops libaio_ops = {
        .submit = libaio_submit,
        .reap = libaio_reap,
        .look = libaio_look,
        .traffic = libaio_traffic,
        .free = libaio_free,
};

DEFINE_FREEP(struct engine, engine_free, engine_freep)

int engine_libaio_new(struct engine **ret, const struct engine_libaio_source *source, unsigned depth, int wake_fd) {
        assert(depth > 0);
        assert(wake_fd >= 0);
        struct engine_libaio *e = calloc(1, sizeof *e);
        if (!e)
                return -ENOMEM;
        e->engine.ops = &libaio_ops;
        CLEANUP(engine_freep)
        struct engine *engine = &e->engine;
        e->source = *source;
        e->wake_fd = wake_fd;
        e->depth = depth;
        e->blocks = calloc(depth, sizeof *e->blocks);
        e->batch = calloc(depth, sizeof *e->batch);
        e->events = calloc(depth, sizeof *e->events);
        if (!e->blocks || !e->batch || !e->events)
                return -ENOMEM;
        for (unsigned i = 0; i < depth; i++)
                e->batch[i] = &e->blocks[i];
        int r = io_setup((int)depth, &e->context);
        if (r < 0)
                return r;
        *ret = STEAL(engine);
        return 0;
}

static int look_at_target(void *userdata, struct engine_look *ret) {
        return target_look(userdata, ret);
}

static bool traffic_of_target(void *userdata, struct engine_traffic *ret) {
        return target_traffic(userdata, ret);
}

int engine_libaio_of_target(struct engine **ret, struct target *target, unsigned depth, int wake_fd) {
        struct engine_libaio_source source = {
                .fd = target_fd(target),
                .look = look_at_target,
                .traffic = traffic_of_target,
                .userdata = target,
        };
        return engine_libaio_new(ret, &source, depth, wake_fd);
}
