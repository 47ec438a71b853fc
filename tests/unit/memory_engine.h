/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory_engine: an engine over bytes in memory, with a write cache that a crash loses in part, faults by rules, and
 * completions in an order drawn from a seed.
 */
#pragma once

#include "base/cleanup.h"
#include "media/engine.h"
#include "suite.h"

#include <errno.h>
#include <string.h>

enum { MEMORY_RULES = 8, MEMORY_OUT = 64, MEMORY_SECTOR = 512 };

enum memory_fault {
        MEMORY_NONE,
        MEMORY_FAILS,     /* with the rule's error, all of the request */
        MEMORY_HEALS,     /* reads fail until the sector is written */
        MEMORY_SHORT,     /* the first sectors or pages only */
        MEMORY_NOTHING,   /* a read that says it has read, and hasn't */
        MEMORY_SWALLOWED, /* a write that says it has written, and hasn't */
        MEMORY_FORBIDDEN, /* the test fails */
        MEMORY_REFUSED,   /* by submit */
        MEMORY_CALLS      /* `hook`, before the request, which fails with what that returns */
};

/* Hits requests of its op that touch its bytes, but for the first `after`, `times` times. */
struct memory_rule {
        enum memory_fault fault;
        enum engine_op op;
        uint64_t from, to;
        unsigned after, times;
        int error;
};

struct memory_crash {    /* shared by target and journal: one machine */
        uint64_t writes; /* that were made */
        uint64_t at;     /* after so many nothing arrives any more; 0: never */
};

struct memory_engine {
        struct engine engine;
        size_t size;
        uint8_t *bytes;   /* as read back */
        uint8_t *durable; /* as after a crash that loses the whole cache */
        struct memory_rule rules[MEMORY_RULES];
        struct memory_crash *crash;
        struct engine_look look;
        int look_error;
        unsigned depth;
        uint64_t seed;
        bool is_stuck; /* nothing comes back */
        int (*hook)(struct memory_engine *m, const struct engine_io *io);
        unsigned reads, writes, flushes;
        uint64_t clock;
        struct engine_io *out[MEMORY_OUT];
        size_t out_count;
};

static inline struct memory_engine *memory_of(struct engine *e) {
        return (struct memory_engine *)(void *)((char *)e - offsetof(struct memory_engine, engine));
}

static inline bool memory_touches(const struct engine_io *io, const struct memory_rule *rule) {
        return io->op == ENGINE_FLUSH ||
                (io->offset_bytes < rule->to && io->offset_bytes + io->length_bytes > rule->from);
}

static inline struct memory_rule *memory_hit(struct memory_engine *m, const struct engine_io *io, bool refused) {
        for (size_t i = 0; i < MEMORY_RULES; i++) {
                struct memory_rule *rule = &m->rules[i];
                if (rule->fault == MEMORY_NONE || rule->op != io->op || !memory_touches(io, rule) ||
                        (rule->fault == MEMORY_REFUSED) != refused)
                        continue;
                if (rule->after > 0) {
                        rule->after--;
                        continue;
                }
                if (rule->times == 0)
                        continue;
                rule->times--;
                return rule;
        }
        return NULL;
}

static inline void memory_write(struct memory_engine *m, const struct engine_io *io, size_t length) {
        if (m->crash->at > 0 && m->crash->writes >= m->crash->at)
                return;
        m->crash->writes++;
        memcpy(m->bytes + io->offset_bytes, io->buffer, length);
        for (size_t i = 0; i < MEMORY_RULES; i++)
                if (m->rules[i].fault == MEMORY_HEALS && memory_touches(io, &m->rules[i]))
                        m->rules[i].times = 0;
}

static inline void memory_do(struct memory_engine *m, struct engine_io *io) {
        struct memory_rule *rule = memory_hit(m, io, false);
        enum memory_fault fault = rule ? rule->fault : MEMORY_NONE;
        size_t length = io->length_bytes;
        ck_assert(io->offset_bytes + length <= m->size);
        ck_assert((io->offset_bytes | length) % MEMORY_SECTOR == 0);
        ck_assert_msg(fault != MEMORY_FORBIDDEN, "a forbidden request at %" PRIu64, io->offset_bytes);
        m->reads += io->op == ENGINE_READ;
        m->writes += io->op == ENGINE_WRITE;
        m->look.written_bytes += io->op == ENGINE_WRITE ? io->length_bytes : 0;
        m->flushes += io->op == ENGINE_FLUSH;
        int error = fault == MEMORY_FAILS || fault == MEMORY_HEALS ? rule->error : 0;
        if (fault == MEMORY_CALLS)
                error = m->hook(m, io);
        io->result = error ? -error : (int64_t)length;
        if (error)
                return;
        if (fault == MEMORY_SHORT)
                io->result = rule->error; /* so many bytes */
        length = (size_t)io->result;
        if (fault == MEMORY_NOTHING || fault == MEMORY_SWALLOWED)
                return;
        if (io->op == ENGINE_READ)
                memcpy(io->buffer, m->bytes + io->offset_bytes, length);
        else if (io->op == ENGINE_WRITE)
                memory_write(m, io, length);
        else if (m->crash->at == 0 || m->crash->writes < m->crash->at)
                memcpy(m->durable, m->bytes, m->size);
}

static int memory_submit(struct engine *engine, struct engine_io *const *ios, size_t count) {
        struct memory_engine *m = memory_of(engine);
        size_t taken = 0;
        for (; taken < count && m->out_count < m->depth; taken++) {
                struct engine_io *io = ios[taken];
                struct memory_rule *refused = memory_hit(m, io, true);
                if (refused)
                        return taken > 0 ? (int)taken : -refused->error;
                io->submitted_us = ++m->clock;
                memory_do(m, io);
                m->out[m->out_count++] = io;
        }
        return (int)taken;
}

static size_t memory_reap(struct engine *engine, struct engine_io **done, size_t max) {
        struct memory_engine *m = memory_of(engine);
        if (m->out_count == 0 || m->is_stuck)
                return 0;
        size_t n = MIN(max, 1 + suite_random(&m->seed) % m->out_count);
        for (size_t i = 0; i < n; i++) {
                size_t pick = suite_random(&m->seed) % m->out_count;
                done[i] = m->out[pick];
                m->out[pick] = m->out[--m->out_count];
        }
        return n;
}

static int memory_look(struct engine *engine, struct engine_look *ret) {
        struct memory_engine *m = memory_of(engine);
        if (m->look_error)
                return m->look_error;
        *ret = m->look;
        return 0;
}

static const struct engine_ops memory_ops = { .submit = memory_submit, .reap = memory_reap, .look = memory_look };

static inline void memory_init(struct memory_engine *m, size_t size, struct memory_crash *crash, uint64_t seed) {
        *m = (struct memory_engine){
                .engine = { .ops = &memory_ops },
                .size = size,
                .bytes = calloc(1, size),
                .durable = calloc(1, size),
                .crash = crash,
                .look = { .size_bytes = size, .diskseq = 7, .counts_known = true, .counts_complete = true },
                .depth = MEMORY_OUT,
                .seed = seed,
        };
        ck_assert(m->bytes && m->durable);
}

static inline void memory_deinit(struct memory_engine *m) {
        free(m->bytes);
        free(m->durable);
}

/* Of each sector that was not flushed, the cache or the medium has the last word, by chance. */
static inline void memory_lose_power(struct memory_engine *m, uint64_t *random) {
        for (size_t at = 0; at < m->size; at += MEMORY_SECTOR)
                if (suite_random(random) & 1)
                        memcpy(m->bytes + at, m->durable + at, MEMORY_SECTOR);
        memcpy(m->durable, m->bytes, m->size);
}
