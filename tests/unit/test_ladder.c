/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of wrong bytes: the real sweep on a disk in memory, which answers at once and fails by rules, and a
 * verifier that lies. What must hold is told by what was planted, never by the sweep.
 */
#include "base/cleanup.h"
#include "base/cpus.h"
#include "suite.h"
#include "sweep/sweep_private.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>

enum { BLOCK = 64 << 10, BLOCKS = 64, SIZE = BLOCKS * BLOCK, DEPTH = 16, RULES_MAX = 4, FAULTS_MAX = 600 };

enum rule_kind {
        RULE_NONE,
        FLIP_READ,
        LOSE_WRITE,
        FAIL_READ,
        FAIL_WRITE,
        FAIL_FLUSH,
        ALL_STUCK,
        ALL_ONCE,
        SHORT_READ,
        NO_TRANSFER,
        ALL_FOREIGN
};

/* Hits requests that touch the sector at `at`, but for the first `after` and no more than `times` of them. */
struct rule {
        enum rule_kind kind;
        uint64_t at;
        unsigned after, times;
        unsigned met, hits;
};

struct world {
        struct engine engine;
        struct news_port news;
        struct verifier verifier;
        uint8_t *bytes;
        uint64_t size;
        struct extent extent;            /* that is swept; length 0: all of it */
        struct target_record *target;    /* heap: what the ledger knows, once; NULL: what the last sweep left */
        bool one_block;                  /* that is all, and so each reading goes to the same memory */
        bool (*is_stuck)(uint64_t unit); /* which units ALL_STUCK and ALL_ONCE hit; NULL: all */
        uint64_t zeros_from;             /* from this unit on they read as zeros instead; 0: none */
        uint8_t seen[SIZE / UNIT_BYTES]; /* a unit was read back */
        struct rule rules[RULES_MAX];
        struct engine_io *done[4 * DEPTH + 64];
        size_t done_count;
        uint64_t held; /* reading this sector back takes */
        unsigned held_reaps;
        bool durable; /* the ledger has the mark of a segment */
        unsigned reads, writes, flushes;
        enum sweep_order cut; /* what a sweep that is cut short is told; SWEEP_RUN, which is no cut: cancel */
        uint64_t watched;     /* the requests to this sector, */
        char watched_as[64];  /* as r and w, with f for each flush */

        bool lies;     /* the verifier takes one good block for bad */
        uint64_t lie;  /* the block that this is, where it is not 0 */
        bool is_blind; /* the verifier gives everything back undone */
        unsigned dismissed;
        struct verify_job *jobs[4 * DEPTH];
        size_t job_count;

        uint64_t sequence;
        struct finding faults[FAULTS_MAX];
        uint64_t serials[FAULTS_MAX];
        size_t fault_count;
        unsigned posts;
};

static struct world *world_of_engine(struct engine *e) {
        return (struct world *)(void *)((char *)e - offsetof(struct world, engine));
}

static bool touches(const struct engine_io *io, uint64_t at) {
        return at >= io->offset_bytes && at < io->offset_bytes + io->length_bytes;
}

static bool hit(struct rule *rule, const struct engine_io *io, enum engine_op op) {
        if (io->op != op ||
                (rule->kind != ALL_STUCK && rule->kind != ALL_ONCE && rule->kind != ALL_FOREIGN && op != ENGINE_FLUSH &&
                        !touches(io, rule->at)))
                return false;
        if (rule->met++ < rule->after || rule->hits >= rule->times)
                return false;
        rule->hits++;
        return true;
}

static void watch(struct world *w, const struct engine_io *io) {
        static const char letters[] = { [ENGINE_READ] = 'r', [ENGINE_WRITE] = 'w', [ENGINE_FLUSH] = 'f' };
        size_t at = strlen(w->watched_as);
        if (at + 1 < sizeof w->watched_as && (io->op == ENGINE_FLUSH || touches(io, w->watched)))
                w->watched_as[at] = letters[io->op];
}

static void spoil(struct world *w, enum rule_kind kind, uint64_t offset, uint8_t *bytes) {
        uint64_t unit = offset / UNIT_BYTES;
        if (kind == ALL_ONCE && (!w->durable || w->seen[unit]++ > 0))
                return;
        if (w->is_stuck && !w->is_stuck(unit))
                return;
        if (w->zeros_from > 0 && unit >= w->zeros_from)
                memset(bytes, 0, UNIT_BYTES);
        else
                bytes[100] ^= 4;
}

static void read_from(struct world *w, struct engine_io *io) {
        bool transfers = true;
        w->reads++;
        for (size_t i = 0; i < RULES_MAX; i++)
                transfers &= w->rules[i].kind != NO_TRANSFER || !hit(&w->rules[i], io, ENGINE_READ);
        if (transfers)
                memcpy(io->buffer, w->bytes + io->offset_bytes, io->length_bytes);
        for (size_t i = 0; i < RULES_MAX; i++) {
                struct rule *rule = &w->rules[i];
                if (rule->kind == SHORT_READ && rule->at > io->offset_bytes && hit(rule, io, ENGINE_READ))
                        io->result = (int64_t)(rule->at - io->offset_bytes);
                if (rule->kind == FAIL_READ && hit(rule, io, ENGINE_READ))
                        io->result = -EIO;
                if (rule->kind == FLIP_READ && hit(rule, io, ENGINE_READ))
                        ((uint8_t *)io->buffer)[rule->at - io->offset_bytes + 100] ^= 4;
                if (rule->kind == ALL_FOREIGN && hit(rule, io, ENGINE_READ))
                        memset(io->buffer, 0x11, io->length_bytes);
                if ((rule->kind == ALL_STUCK || rule->kind == ALL_ONCE) && hit(rule, io, ENGINE_READ))
                        for (uint64_t at = 0; at < io->length_bytes; at += UNIT_BYTES)
                                spoil(w, rule->kind, io->offset_bytes + at, (uint8_t *)io->buffer + at);
        }
}

static void write_to(struct world *w, struct engine_io *io) {
        w->writes++;
        ck_assert(w->durable); /* INV-1 */
        for (size_t i = 0; i < RULES_MAX; i++) {
                struct rule *rule = &w->rules[i];
                if (rule->kind == FAIL_WRITE && hit(rule, io, ENGINE_WRITE)) {
                        io->result = -EIO;
                        return;
                }
                if (rule->kind == LOSE_WRITE && hit(rule, io, ENGINE_WRITE)) {
                        uint8_t kept[SECTOR_BYTES];
                        memcpy(kept, w->bytes + rule->at, sizeof kept);
                        memcpy(w->bytes + io->offset_bytes, io->buffer, io->length_bytes);
                        memcpy(w->bytes + rule->at, kept, sizeof kept);
                        return;
                }
        }
        memcpy(w->bytes + io->offset_bytes, io->buffer, io->length_bytes);
}

static void flush(struct world *w, struct engine_io *io) {
        w->flushes++;
        for (size_t i = 0; i < RULES_MAX; i++)
                if (w->rules[i].kind == FAIL_FLUSH && hit(&w->rules[i], io, ENGINE_FLUSH))
                        io->result = -EIO;
}

static int disk_submit(struct engine *engine, struct engine_io *const *ios, size_t count) {
        struct world *w = world_of_engine(engine);
        for (size_t i = 0; i < count; i++) {
                struct engine_io *io = ios[i];
                io->result = io->length_bytes;
                watch(w, io);
                if (io->op == ENGINE_READ)
                        read_from(w, io);
                else if (io->op == ENGINE_WRITE)
                        write_to(w, io);
                else
                        flush(w, io);
                w->done[w->done_count++] = io;
        }
        return (int)count;
}

static size_t disk_reap(struct engine *engine, struct engine_io **done, size_t max) {
        struct world *w = world_of_engine(engine);
        size_t n = 0, kept = 0;
        for (size_t i = 0; i < w->done_count; i++) {
                struct engine_io *io = w->done[i];
                bool held = w->held_reaps > 0 && w->durable && io->op == ENGINE_READ && touches(io, w->held);
                if (held || n == max)
                        w->done[kept++] = io;
                else
                        done[n++] = io;
                w->held_reaps -= held;
        }
        w->done_count = kept;
        return n;
}

static int disk_look(struct engine *engine, struct engine_look *ret) {
        *ret = (struct engine_look){ .size_bytes = world_of_engine(engine)->size, .diskseq = 1 };
        return 0;
}

static const struct engine_ops disk_ops = { .submit = disk_submit, .reap = disk_reap, .look = disk_look };

static struct world *world_of_verifier(struct verifier *v) {
        return (struct world *)(void *)((char *)v - offsetof(struct world, verifier));
}

static size_t liar_hand_over(struct verifier *v, struct verify_job *const *jobs, size_t count) {
        struct world *w = world_of_verifier(v);
        if (w->dismissed)
                return 0;
        for (size_t i = 0; i < count; i++) {
                jobs[i]->done = false;
                jobs[i]->worker = 7;
                if (!w->is_blind)
                        verify_job_run(jobs[i]);
                if (w->lie > 0 && jobs[i]->offset_bytes == w->lie && w->durable) {
                        w->lie = 0;
                        jobs[i]->cpu = sched_getcpu();
                        jobs[i]->bad_count++;
                        jobs[i]->bad_units[0] |= BIT(0);
                }
                if (w->lies) {
                        w->lies = false;
                        jobs[i]->cpu = sched_getcpu();
                        jobs[i]->bad_count++;
                        jobs[i]->bad_units[0] |= BIT(3);
                }
                w->jobs[w->job_count++] = jobs[i];
        }
        return count;
}

static size_t liar_take_back(struct verifier *v, struct verify_job **jobs, size_t max) {
        struct world *w = world_of_verifier(v);
        size_t n = MIN(max, w->job_count);
        memcpy(jobs, w->jobs, n * sizeof(struct verify_job *));
        w->job_count -= n;
        memmove(w->jobs, w->jobs + n, w->job_count * sizeof(struct verify_job *));
        return n;
}

static void liar_dismiss(struct verifier *v, unsigned worker) {
        world_of_verifier(v)->dismissed = worker;
}

static const struct verifier_ops liar_ops = {
        .hand_over = liar_hand_over,
        .take_back = liar_take_back,
        .dismiss = liar_dismiss,
};

static bool port_post(struct news_port *port, const struct news *news) {
        struct world *w = (struct world *)(void *)((char *)port - offsetof(struct world, news));
        w->sequence = MAX(w->sequence, news->sequence);
        free(news->survey);
        if (news->kind != NEWS_FAULT)
                return true;
        size_t i = 0;
        while (i < w->fault_count && w->serials[i] != news->fault_serial)
                i++;
        ck_assert_uint_lt(i, FAULTS_MAX);
        w->fault_count = MAX(w->fault_count, i + 1);
        w->serials[i] = news->fault_serial;
        w->faults[i] = news->fault;
        w->posts++;
        return true;
}

static struct world *world_new(uint64_t size) {
        struct world *w = calloc(1, sizeof *w);
        ck_assert_ptr_nonnull(w);
        w->bytes = calloc(1, size);
        ck_assert_ptr_nonnull(w->bytes);
        w->size = size;
        w->engine.ops = &disk_ops;
        w->verifier.ops = &liar_ops;
        w->news.post = port_post;
        w->watched = UINT64_MAX;
        return w;
}

static struct world *world_free(struct world *w) {
        free(w->bytes);
        free(w);
        return NULL;
}

static void plant(struct world *w, size_t i, struct rule rule) {
        w->rules[i] = rule;
}

/* What the ledger would know after the sweep, so that the next one checks what it left. */
static struct target_record *remember(const struct sweep_record *last, uint64_t size) {
        struct target_record *t = calloc(1, sizeof *t + sizeof t->ranges[0]);
        ck_assert_ptr_nonnull(t);
        t->row = 1;
        if (!last)
                return t;
        t->target_id = 11;
        t->last_generation = last->generation;
        t->range_count = 1;
        t->ranges[0] = (struct stamped_range){ { 0, size }, last->generation, last->nonce, last->started_us, true };
        return t;
}

/* Runs a sweep to its end. cancel_after: pumps, then it is cancelled, or cut short as it was said; 0: never. */
static struct sweep_record sweep_once(
        struct world *w, enum sweep_mode mode, const struct sweep_record *last, unsigned cancel_after) {
        static uint64_t nonce = 1000;
        nonce++;
        struct sweep_gauge gauge = { 0 };
        struct sweep *s;
        struct target_record *target = NULL;
        if (mode != MODE_READ)
                target = w->target ? STEAL(w->target) : remember(last, w->size);
        struct sweep_options o = {
                .id = 1,
                .device = "d0",
                .mode = mode,
                .started_us = 1700000000000000 + nonce,
                .block_bytes = w->one_block || w->size >= SIZE ? BLOCK : UNIT_BYTES,
                .segment_bytes = w->one_block ? BLOCK : w->size / 4,
                .depth = w->one_block ? 1 : DEPTH,
                .size_bytes = w->size,
                .logical_block_bytes = SECTOR_BYTES,
                .diskseq = 1,
                .narrow_budget_us = 60 * USEC_PER_SEC,
                .random = { nonce, 11, 5 },
                .extent = w->extent,
                .target = target,
                .engine = &w->engine,
                .verifier = &w->verifier,
                .news = &w->news,
                .gauge = &gauge,
        };
        w->fault_count = w->posts = 0;
        w->reads = w->writes = w->flushes = 0;
        w->durable = false;
        w->sequence = 0;
        ck_assert_int_eq(sweep_new(&s, &o), 0);
        unsigned pumps = 0;
        enum sweep_order cut = w->cut == SWEEP_RUN ? SWEEP_CANCEL : w->cut;
        for (uint64_t now = 1;
                sweep_pump(s, cancel_after && pumps > cancel_after ? cut : SWEEP_RUN, now, now) != SWEEP_ENDED;
                now += 1000) {
                ck_assert_uint_lt(pumps++, 1000000);
                if (w->sequence > 0) {
                        struct answer answer = { .kind = ANSWER_DURABLE, .sequence = w->sequence };
                        sweep_answer(s, &answer);
                        w->durable = true;
                }
        }
        struct sweep_record record = *sweep_record(s);
        sweep_free(s);
        return record;
}

static void expect_one(const struct world *w, enum fault fault, uint64_t at, uint64_t length, enum persistence p) {
        ck_assert_uint_gt(w->fault_count, 0);
        for (size_t i = 0; i < w->fault_count; i++) {
                ck_assert_str_eq(fault_name(w->faults[i].fault), fault_name(fault));
                ck_assert_uint_eq(w->faults[i].place.offset_bytes, at);
                ck_assert_uint_eq(w->faults[i].place.length_bytes, length);
                ck_assert_str_eq(persistence_name(w->faults[i].persistence), persistence_name(p));
        }
}

static void expect_clean(const struct world *w, const struct sweep_record *r) {
        ck_assert_uint_eq(w->fault_count, 0);
        ck_assert_int_eq(r->verdict, VERDICT_CLEAN);
}

/* Any place, in any segment, first and last units as well. */
static uint64_t place_at(int i) {
        static const uint64_t units[] = { 0, 15, 16, 300, SIZE / UNIT_BYTES / 4 - 1, SIZE / UNIT_BYTES / 4,
                SIZE / UNIT_BYTES - 1 };
        return units[(size_t)i] * UNIT_BYTES;
}

enum { PLACES = 7 };

START_TEST(a_bit_that_flips_in_one_reading_is_transient) {
        struct world *w = world_new(SIZE);
        uint64_t at = place_at(_i);
        struct sweep_record last = sweep_once(w, MODE_PATTERN, NULL, 0);
        expect_clean(w, &last);
        for (unsigned reading = 0; reading < 3; reading++) { /* in the sample, in the retention pass, when read back */
                plant(w, 0, (struct rule){ FLIP_READ, at, reading, 1, 0, 0 });
                last = sweep_once(w, MODE_PATTERN, &last, 0);
                ck_assert_int_eq(last.verdict, VERDICT_FAULTY);
                ck_assert_uint_eq(w->fault_count, 1);
                expect_one(w, FAULT_BIT_FLIP, at, UNIT_BYTES, PERSISTENCE_TRANSIENT);
                ck_assert_uint_eq(w->writes, BLOCKS); /* nothing was written twice */
        }
        world_free(w);
}
END_TEST

START_TEST(a_lost_write_is_repaired_by_writing_again) {
        struct world *w = world_new(SIZE);
        uint64_t at = place_at(_i);
        struct sweep_record last = sweep_once(w, MODE_PATTERN, NULL, 0);
        plant(w, 0, (struct rule){ LOSE_WRITE, at + SECTOR_BYTES, 0, 1, 0, 0 });
        last = sweep_once(w, MODE_PATTERN, &last, 0);
        ck_assert_int_eq(last.verdict, VERDICT_FAULTY);
        expect_one(w, FAULT_TORN, at, UNIT_BYTES, PERSISTENCE_REPAIRED);
        ck_assert_uint_eq(last.bytes.total, last.bytes.read + last.bytes.written + last.bytes.skipped);
        last = sweep_once(w, MODE_PATTERN, &last, 0);
        expect_clean(w, &last);
        world_free(w);
}
END_TEST

START_TEST(a_bit_that_is_stuck_is_persistent) {
        struct world *w = world_new(SIZE);
        uint64_t at = place_at(_i);
        plant(w, 0, (struct rule){ FLIP_READ, at, 0, UINT32_MAX, 0, 0 });
        struct sweep_record last = sweep_once(w, MODE_PATTERN, NULL, 0);
        for (int i = 0; i < 2; i++) {
                ck_assert_int_eq(last.verdict, VERDICT_FAULTY);
                expect_one(w, FAULT_BIT_FLIP, at, UNIT_BYTES, PERSISTENCE_PERSISTENT);
                last = sweep_once(w, MODE_PATTERN, &last, 0);
        }
        world_free(w);
}
END_TEST

START_TEST(damage_between_sweeps_is_repaired_by_the_sweep_that_finds_it) {
        struct world *w = world_new(SIZE);
        uint64_t at = place_at(_i);
        struct sweep_record last = sweep_once(w, MODE_PATTERN, NULL, 0);
        memset(w->bytes + at, 0, UNIT_BYTES);
        last = sweep_once(w, MODE_PATTERN, &last, 0);
        ck_assert_int_eq(last.verdict, VERDICT_FAULTY);
        expect_one(w, FAULT_ZEROED, at, UNIT_BYTES, PERSISTENCE_REPAIRED);
        ck_assert_uint_eq(w->writes, BLOCKS);
        last = sweep_once(w, MODE_PATTERN, &last, 0);
        expect_clean(w, &last);
        world_free(w);
}
END_TEST

START_TEST(between_writing_again_and_reading_back_there_is_a_flush) {
        struct world *w = world_new(SIZE);
        w->watched = 20 * UNIT_BYTES;
        plant(w, 0, (struct rule){ FLIP_READ, w->watched, 0, UINT32_MAX, 0, 0 });
        sweep_once(w, MODE_PATTERN, NULL, 0);
        ck_assert_msg(strncmp(w->watched_as, "rwfrrwfr", 8) == 0, "%s", w->watched_as);
        world_free(w);
}
END_TEST

START_TEST(a_sector_that_writing_makes_readable_is_repaired) {
        struct world *w = world_new(SIZE);
        uint64_t at = place_at(_i);
        struct sweep_record last = sweep_once(w, MODE_PATTERN, NULL, 0);
        /* Each reading of the sample and of the retention pass tries the sector as often, until it is alone. */
        plant(w, 0, (struct rule){ FAIL_READ, at, 0, UINT32_MAX, 0, 0 });
        last = sweep_once(w, MODE_PATTERN, &last, 0);
        expect_one(w, FAULT_READ_ERROR, at, SECTOR_BYTES, PERSISTENCE_PERSISTENT);
        unsigned a_pass = w->rules[0].hits / 3;
        plant(w, 0, (struct rule){ FAIL_READ, at, 0, 2 * a_pass, 0, 0 });
        last = sweep_once(w, MODE_PATTERN, &last, 0);
        expect_one(w, FAULT_READ_ERROR, at, SECTOR_BYTES, PERSISTENCE_REPAIRED);
        plant(w, 0, (struct rule){ FAIL_READ, at, 0, a_pass, 0, 0 });
        last = sweep_once(w, MODE_PATTERN, &last, 0);
        expect_one(w, FAULT_READ_ERROR, at, SECTOR_BYTES, PERSISTENCE_TRANSIENT);
        world_free(w);
}
END_TEST

START_TEST(in_mode_read_a_sector_that_fails_again_is_persistent) {
        struct world *w = world_new(SIZE);
        uint64_t at = place_at(_i);
        plant(w, 0, (struct rule){ FAIL_READ, at, 0, UINT32_MAX, 0, 0 });
        sweep_once(w, MODE_READ, NULL, 0);
        ck_assert_uint_eq(w->fault_count, 1);
        expect_one(w, FAULT_READ_ERROR, at, SECTOR_BYTES, PERSISTENCE_PERSISTENT);
        plant(w, 0, (struct rule){ FAIL_READ, at, 0, 1, 0, 0 });
        sweep_once(w, MODE_READ, NULL, 0);
        ck_assert_uint_eq(w->fault_count, 1);
        expect_one(w, FAULT_READ_ERROR, at / BLOCK * BLOCK, BLOCK, PERSISTENCE_TRANSIENT);
        world_free(w);
}
END_TEST

/* The kernel may have made one request of the two blocks, which failed as a whole. */
START_TEST(a_block_that_fails_once_beside_a_bad_one_is_no_fault) {
        for (int distance = -2; distance <= 2; distance++) {
                if (distance == 0)
                        continue;
                struct world *w = world_new(SIZE);
                uint64_t bad = UINT64_C(20) * BLOCK, once = (uint64_t)(20 + distance) * BLOCK;
                plant(w, 0, (struct rule){ FAIL_READ, bad, 0, UINT32_MAX, 0, 0 });
                plant(w, 1, (struct rule){ FAIL_READ, once, 0, 1, 0, 0 });
                sweep_once(w, MODE_READ, NULL, 0);
                bool near = distance == 1 || distance == -1;
                ck_assert_uint_eq(w->fault_count, near ? 1 : 2);
                if (near)
                        expect_one(w, FAULT_READ_ERROR, bad, SECTOR_BYTES, PERSISTENCE_PERSISTENT);
                world_free(w);
        }
}
END_TEST

START_TEST(a_sector_that_can_not_be_written_is_persistent) {
        struct world *w = world_new(SIZE);
        plant(w, 0, (struct rule){ FAIL_WRITE, place_at(_i), 0, UINT32_MAX, 0, 0 });
        sweep_once(w, MODE_PATTERN, NULL, 0);
        expect_one(w, FAULT_WRITE_ERROR, place_at(_i), SECTOR_BYTES, PERSISTENCE_PERSISTENT);
        world_free(w);
}
END_TEST

static const struct finding *finding_of(const struct world *w, enum fault fault) {
        const struct finding *found = NULL;
        for (size_t i = 0; i < w->fault_count; i++)
                if (w->faults[i].fault == fault) {
                        ck_assert_ptr_null(found);
                        found = &w->faults[i];
                }
        ck_assert_ptr_nonnull(found);
        return found;
}

/* In one block: a sector that can't be read or written, and wrong bytes in another unit or in the same one. */
START_TEST(wrong_bytes_beside_a_bad_sector_are_tried_again_by_themselves) {
        static const enum rule_kind beside[] = { FAIL_READ, FAIL_WRITE };
        static const uint64_t distances[] = { UNIT_BYTES, 3 * UNIT_BYTES, SECTOR_BYTES };
        for (size_t i = 0; i < ELEMENTS(beside); i++)
                for (size_t k = 0; k < ELEMENTS(distances); k++)
                        for (int lasts = 0; lasts < 2; lasts++) {
                                struct world *w = world_new(SIZE);
                                uint64_t bad = place_at(_i) / BLOCK * BLOCK + UNIT_BYTES, at = bad + distances[k];
                                plant(w, 0, (struct rule){ beside[i], bad, 0, UINT32_MAX, 0, 0 });
                                plant(w, 1, (struct rule){ FLIP_READ, at, 0, UINT32_MAX, 0, 0 });
                                if (!lasts && beside[i] == FAIL_READ)
                                        plant(w, 1, (struct rule){ LOSE_WRITE, at, 0, 1, 0, 0 });
                                sweep_once(w, MODE_PATTERN, NULL, 0);
                                const struct finding *f = finding_of(
                                        w, w->rules[1].kind == LOSE_WRITE ? FAULT_ZEROED : FAULT_BIT_FLIP);
                                enum persistence p = w->rules[1].kind == LOSE_WRITE ? PERSISTENCE_REPAIRED
                                                                                    : PERSISTENCE_PERSISTENT;
                                ck_assert_str_eq(persistence_name(f->persistence), persistence_name(p));
                                uint64_t length = distances[k] >= UNIT_BYTES ? UNIT_BYTES
                                        : beside[i] == FAIL_READ             ? SECTOR_BYTES
                                                                             : UNIT_BYTES - SECTOR_BYTES;
                                ck_assert_uint_eq(f->place.offset_bytes, at);
                                ck_assert_uint_eq(f->place.length_bytes, length);
                                world_free(w);
                        }
}
END_TEST

/* Whether wrong bytes are told of this unit. */
static bool is_told(const struct world *w, uint64_t unit) {
        for (size_t i = 0; i < w->fault_count; i++)
                if (w->faults[i].fault > FAULT_FLUSH_ERROR &&
                        extent_overlaps(w->faults[i].place, (struct extent){ unit * UNIT_BYTES, UNIT_BYTES }))
                        return true;
        return false;
}

/* The disk says that it has read, and did nothing, into memory that holds what would be right. */
START_TEST(a_reading_that_transfers_nothing_never_verifies_what_was_read_before) {
        enum { UNIT = 4, AT = UNIT * UNIT_BYTES, WITHIN = AT + 3 * SECTOR_BYTES };
        static const struct rule cases[][3] = {
                { { NO_TRANSFER, AT, 1, 1, 0, 0 } }, /* the retention pass, where the sample had been */
                { { SHORT_READ, WITHIN, 1, 1, 0, 0 }, { NO_TRANSFER, WITHIN, 2, 1, 0, 0 } }, /* the rest of a reading */
                { { FAIL_READ, BLOCK - 1, 1, 1, 0, 0 }, { NO_TRANSFER, AT, 2, 1, 0, 0 } },   /* when it is narrowed */
                { { FLIP_READ, AT - 2 * UNIT_BYTES, 2, UINT32_MAX, 0, 0 },
                        { FLIP_READ, AT + 2 * UNIT_BYTES, 2, UINT32_MAX, 0, 0 },
                        { NO_TRANSFER, AT, 4, 1, 0, 0 } }, /* between two units that were written again */
        };
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct world *w = world_new(BLOCK);
                w->one_block = true;
                struct sweep_record last = sweep_once(w, MODE_PATTERN, NULL, 0);
                expect_clean(w, &last);
                memcpy(w->rules, cases[i], sizeof cases[i]);
                last = sweep_once(w, MODE_PATTERN, &last, 0);
                ck_assert_msg(is_told(w, UNIT), "case %zu", i);
                ck_assert_int_eq(last.verdict, VERDICT_FAULTY);
                world_free(w);
        }
}
END_TEST

START_TEST(what_was_written_without_a_flush_is_not_known_to_be_repaired) {
        struct world *w = world_new(SIZE);
        uint64_t at = place_at(_i);
        struct sweep_record last = sweep_once(w, MODE_PATTERN, NULL, 0);
        memset(w->bytes + at, 0, UNIT_BYTES);
        plant(w, 0, (struct rule){ FAIL_FLUSH, 0, (unsigned)(at / (SIZE / 4)), 1, 0, 0 });
        sweep_once(w, MODE_PATTERN, &last, 0);
        ck_assert_uint_eq(w->fault_count, 2);
        ck_assert_str_eq(persistence_name(finding_of(w, FAULT_ZEROED)->persistence), "unknown");
        world_free(w);
}
END_TEST

/* It came there after the sample, or where the sample did not look. */
START_TEST(data_of_somebody_else_in_the_retention_pass_ends_the_sweep_and_is_no_fault) {
        struct world *w = world_new(SIZE);
        struct sweep_record last = sweep_once(w, MODE_PATTERN, NULL, 0);
        plant(w, 0, (struct rule){ ALL_FOREIGN, 0, BLOCKS, UINT32_MAX, 0, 0 });
        last = sweep_once(w, MODE_PATTERN, &last, 0);
        ck_assert_uint_eq(w->fault_count, 0);
        ck_assert_uint_eq(w->writes, 0);
        ck_assert_int_eq(last.end, END_FAILED);
        ck_assert_str_eq(last.reason.rule, "foreign_data");
        world_free(w);
}
END_TEST

/* A target of which the first quarter is another device's, and swept; the half behind it is ours. */
static struct target_record *two_extents(bool swept, uint64_t bytes_written) {
        struct target_record *t = calloc(1, sizeof *t + sizeof t->ranges[0]);
        ck_assert_ptr_nonnull(t);
        *t = (struct target_record){ .row = 1, .target_id = 11, .last_generation = 9, .past_count = swept ? 2 : 1 };
        t->past[0] = (struct past_generation){ 9, 90, 900, { 0, SIZE / 4 }, { 1, { 0x11 } }, SIZE };
        t->past[1] = (struct past_generation){ 8, 80, 800, { SIZE / 4, SIZE / 2 }, { 1, { 0xaa } }, bytes_written };
        t->range_count = 1;
        t->ranges[0] = (struct stamped_range){ { 0, SIZE / 4 }, 9, 90, 900, true };
        return t;
}

START_TEST(what_another_extent_of_the_disk_holds_says_nothing_of_this_one) {
        struct world *w = world_new(SIZE);
        w->extent = (struct extent){ SIZE / 4, SIZE / 2 };
        memset(w->bytes, 0x11, SIZE); /* as the other one's pattern was */
        w->target = two_extents(true, SIZE / 2);
        struct sweep_record last = sweep_once(w, MODE_PATTERN, NULL, 0);
        ck_assert_str_eq(last.reason.rule, "foreign_data");
        ck_assert_uint_eq(w->writes, 0);
        /* Not reached by any sweep: then it is what destroys_data is for. */
        w->target = two_extents(true, 0);
        last = sweep_once(w, MODE_PATTERN, NULL, 0);
        expect_clean(w, &last);
        memset(w->bytes, 0x11, SIZE);
        w->target = two_extents(false, 0);
        last = sweep_once(w, MODE_PATTERN, NULL, 0);
        expect_clean(w, &last);
        for (uint64_t i = 0; i < SIZE / 4; i++)
                if (w->bytes[i] != 0x11 || w->bytes[SIZE / 4 * 3 + i] != 0x11)
                        ck_abort_msg("something outside of the extent was written");
        world_free(w);
}
END_TEST

static bool is_told_of(const struct world *w, const struct finding *f) {
        bool any = false;
        for (size_t i = 0; i < w->fault_count; i++)
                any |= w->faults[i].fault == f->fault && extent_overlaps(w->faults[i].place, f->place);
        return any;
}

/* Also what may turn out to be somebody's data: nobody else tells of it where the sweep is cancelled while it rests. */
START_TEST(a_pause_and_an_end_tell_what_a_cancel_at_that_moment_tells) {
        static const enum sweep_order cuts[] = { SWEEP_PAUSE, SWEEP_STOP };
        struct world *w = world_new(SIZE / 16);
        struct sweep_record last = sweep_once(w, MODE_PATTERN, NULL, 0);
        uint64_t state = 7, in_check = 0;
        for (uint64_t unit = 2; unit < 50; unit += 20)
                for (size_t i = 0; i < UNIT_BYTES; i++)
                        w->bytes[unit * UNIT_BYTES + i] = (uint8_t)suite_random(&state);
        uint8_t *bytes = malloc(w->size);
        ck_assert_ptr_nonnull(bytes);
        memcpy(bytes, w->bytes, w->size);
        bool over = false;
        for (unsigned after = 1; !over; after++) {
                struct finding expected[8];
                w->cut = SWEEP_RUN;
                over = sweep_once(w, MODE_PATTERN, &last, after).end == END_FINISHED;
                size_t count = w->fault_count;
                ck_assert_uint_le(count, ELEMENTS(expected));
                memcpy(expected, w->faults, count * sizeof expected[0]);
                memcpy(w->bytes, bytes, w->size);
                for (size_t i = 0; i < ELEMENTS(cuts) && !over; i++) {
                        w->cut = cuts[i];
                        (void)sweep_once(w, MODE_PATTERN, &last, after);
                        memcpy(w->bytes, bytes, w->size);
                        for (size_t k = 0; k < count; k++)
                                ck_assert_msg(is_told_of(w, &expected[k]), "order %d after %u pumps: %s at %" PRIu64,
                                        cuts[i], after, fault_name(expected[k].fault), expected[k].place.offset_bytes);
                        in_check += count > 0 && w->writes == 0;
                }
        }
        ck_assert_uint_gt(in_check, 0);
        free(bytes);
        world_free(w);
}
END_TEST

/* The sample compares with what the ledger knows, and learns later that this is of yesterday. */
START_TEST(with_a_ledger_that_is_behind_the_disk_nothing_is_told_as_damage) {
        struct world *w = world_new(SIZE);
        uint8_t *sector = w->bytes + place_at(_i), kept[SECTOR_BYTES];
        struct sweep_record first = sweep_once(w, MODE_PATTERN, NULL, 0);
        memcpy(kept, sector, sizeof kept);
        sweep_once(w, MODE_PATTERN, &first, 0);
        memcpy(sector, kept, sizeof kept); /* the unit is of both generations */
        struct sweep_record r = sweep_once(w, MODE_PATTERN, &first, 0);
        expect_clean(w, &r);
        ck_assert_uint_eq(r.generation, first.generation + 2);
        world_free(w);
}
END_TEST

START_TEST(a_flush_that_works_when_it_is_tried_again_is_transient_and_else_persistent) {
        for (unsigned segment = 0; segment < 4; segment++)
                for (unsigned times = 1; times <= 2; times++) {
                        struct world *w = world_new(SIZE);
                        plant(w, 0, (struct rule){ FAIL_FLUSH, 0, segment, times, 0, 0 });
                        struct sweep_record r = sweep_once(w, MODE_PATTERN, NULL, 0);
                        ck_assert_int_eq(r.verdict, VERDICT_FAULTY);
                        ck_assert_uint_eq(w->fault_count, 1);
                        ck_assert_uint_eq(w->flushes, 5);
                        expect_one(w, FAULT_FLUSH_ERROR, segment * SIZE / 4, SIZE / 4,
                                times == 1 ? PERSISTENCE_TRANSIENT : PERSISTENCE_PERSISTENT);
                        world_free(w);
                }
}
END_TEST

static bool has_two_cpus(void) {
        cpu_set_t set;
        return cpus_of_this_thread(&set) == 0 && CPU_COUNT(&set) > 1;
}

START_TEST(a_disk_that_is_bad_everywhere_is_not_tried_again_everywhere) {
        enum { MANY = 1000 };
        struct world *w = world_new(MANY * UNIT_BYTES);
        plant(w, 0, (struct rule){ ALL_STUCK, 0, 0, UINT32_MAX, 0, 0 });
        struct sweep_record r = sweep_once(w, MODE_PATTERN, NULL, 0);
        ck_assert_int_eq(r.verdict, VERDICT_FAULTY);
        ck_assert_uint_gt(w->writes, MANY + 2 * STREAK_MIN);
        ck_assert_uint_lt(w->writes, MANY + MANY / 16);
        ck_assert_uint_eq(w->flushes - 4, w->writes - MANY);
        expect_one(w, FAULT_BIT_FLIP, 0, MANY * UNIT_BYTES, PERSISTENCE_PERSISTENT);
        ck_assert_uint_eq(w->fault_count, 1);
        world_free(w);
}
END_TEST

/* What comes late is waited for, or its neighbours would be a new stretch. */
START_TEST(a_disk_that_is_bad_everywhere_may_answer_in_any_order) {
        enum { MANY = 1000 };
        unsigned writes = 0;
        for (uint64_t late = 0; late < MANY; late += 60) {
                struct world *w = world_new(MANY * UNIT_BYTES);
                plant(w, 0, (struct rule){ ALL_STUCK, 0, 0, UINT32_MAX, 0, 0 });
                w->held = late * UNIT_BYTES;
                w->held_reaps = late > 0 ? 200 : 0;
                sweep_once(w, MODE_PATTERN, NULL, 0);
                ck_assert_uint_eq(w->held_reaps, 0);
                expect_one(w, FAULT_BIT_FLIP, 0, MANY * UNIT_BYTES, PERSISTENCE_PERSISTENT);
                ck_assert(late == 0 || w->writes == writes);
                writes = w->writes;
                world_free(w);
        }
}
END_TEST

static bool is_even(uint64_t unit) {
        return unit % 2 == 0;
}

/* None of them speaks for another, so all are tried, as far as there is room. */
START_TEST(the_ladder_has_an_end) {
        enum { MANY = 1000 };
        struct world *w = world_new(MANY * UNIT_BYTES);
        plant(w, 0, (struct rule){ ALL_STUCK, 0, 0, UINT32_MAX, 0, 0 });
        w->is_stuck = is_even;
        sweep_once(w, MODE_PATTERN, NULL, 0);
        ck_assert_uint_eq(w->writes, MANY + LADDER_BLOCKS_MAX);
        ck_assert_uint_eq(w->flushes, 4 + LADDER_BLOCKS_MAX);
        ck_assert_uint_eq(w->fault_count, MANY / 2);
        size_t counts[PERSISTENCE_COUNT] = { 0 };
        for (size_t i = 0; i < w->fault_count; i++)
                counts[w->faults[i].persistence]++;
        ck_assert_uint_eq(counts[PERSISTENCE_PERSISTENT], LADDER_BLOCKS_MAX);
        ck_assert_uint_eq(counts[PERSISTENCE_UNKNOWN], MANY / 2 - LADDER_BLOCKS_MAX);
        world_free(w);
}
END_TEST

/* Long stretches and short ones, with one or two sound units between two. */
static bool is_of_stretch(uint64_t unit) {
        static const uint64_t sound[] = { 90, 91, 150, 152, 154, 160, 300, 420, 421, 440, 600, 620, 640, 990 };
        for (size_t i = 0; i < ELEMENTS(sound); i++)
                if (unit == sound[i])
                        return false;
        return true;
}

START_TEST(of_each_stretch_something_is_tried_again) {
        enum { MANY = 1000, STRETCHES = 13 };
        struct world *w = world_new(MANY * UNIT_BYTES);
        plant(w, 0, (struct rule){ ALL_STUCK, 0, 0, UINT32_MAX, 0, 0 });
        w->is_stuck = is_of_stretch;
        sweep_once(w, MODE_PATTERN, NULL, 0);
        ck_assert_uint_eq(w->fault_count, STRETCHES);
        for (size_t i = 0; i < w->fault_count; i++)
                ck_assert_str_eq(persistence_name(w->faults[i].persistence), "persistent");
        world_free(w);
}
END_TEST

/* A unit that came out right says nothing of those that were not tried. */
START_TEST(a_disk_that_reads_wrong_once_everywhere_is_tried_again_everywhere) {
        enum { MANY = 200 };
        struct world *w = world_new(MANY * UNIT_BYTES);
        plant(w, 0, (struct rule){ ALL_ONCE, 0, 0, UINT32_MAX, 0, 0 });
        sweep_once(w, MODE_PATTERN, NULL, 0);
        expect_one(w, FAULT_BIT_FLIP, 0, MANY * UNIT_BYTES, PERSISTENCE_TRANSIENT);
        world_free(w);
}
END_TEST

static bool says_that_neighbours_were_verified(const struct finding *f) {
        return strstr(f->detail.lines, "verified_again=no: other blocks of this stretch were\n");
}

/* Far within a stretch that is bad, one fault gives way to another. It is tried, whether its like was or not. */
START_TEST(the_next_fault_of_a_stretch_is_tried_again) {
        enum { MANY = 64 };
        unsigned said = 0, borders = 0;
        for (uint64_t border = 30; border < 60; border++, borders++) {
                struct world *w = world_new(MANY * UNIT_BYTES);
                plant(w, 0, (struct rule){ ALL_STUCK, 0, 0, UINT32_MAX, 0, 0 });
                w->zeros_from = border;
                sweep_once(w, MODE_PATTERN, NULL, 0);
                ck_assert_uint_eq(w->fault_count, 2);
                for (size_t i = 0; i < 2; i++) {
                        const struct finding *f = &w->faults[i];
                        bool zeros = f->place.offset_bytes > 0;
                        ck_assert_str_eq(fault_name(f->fault), zeros ? "zeroed" : "bit_flip");
                        ck_assert_uint_eq(f->place.offset_bytes, zeros ? border * UNIT_BYTES : 0);
                        ck_assert_uint_eq(f->place.length_bytes, (zeros ? MANY - border : border) * UNIT_BYTES);
                        ck_assert_str_eq(persistence_name(f->persistence), "persistent");
                        ck_assert(zeros || !says_that_neighbours_were_verified(f));
                        said += zeros && says_that_neighbours_were_verified(f);
                }
                world_free(w);
        }
        ck_assert_uint_lt(said, borders);
        ck_assert(said > 0 || !has_two_cpus());
}
END_TEST

/* Its neighbours are known long before, and are told when it has come: what was told as two findings stays two. */
START_TEST(a_unit_that_comes_late_joins_both_its_neighbours) {
        struct world *w = world_new(1000 * UNIT_BYTES);
        w->held = 101 * UNIT_BYTES;
        w->held_reaps = 2000;
        for (size_t i = 0; i < 3; i++)
                plant(w, i, (struct rule){ FLIP_READ, (100 + i) * UNIT_BYTES, 0, UINT32_MAX, 0, 0 });
        sweep_once(w, MODE_PATTERN, NULL, 0);
        ck_assert_uint_eq(w->held_reaps, 0);
        ck_assert_uint_eq(w->fault_count, 1);
        expect_one(w, FAULT_BIT_FLIP, 100 * UNIT_BYTES, 3 * UNIT_BYTES, PERSISTENCE_PERSISTENT);
        world_free(w);
}
END_TEST

START_TEST(a_sweep_that_is_cancelled_on_the_ladder_ends) {
        for (unsigned pumps = 1; pumps < 200; pumps++) {
                struct world *w = world_new(SIZE);
                for (size_t i = 0; i < RULES_MAX; i++)
                        plant(w, i, (struct rule){ FLIP_READ, i * BLOCK, 0, UINT32_MAX, 0, 0 });
                struct sweep_record r = sweep_once(w, MODE_PATTERN, NULL, pumps);
                ck_assert_int_ne(r.verdict, VERDICT_CLEAN);
                ck_assert_uint_eq(w->done_count, 0);
                world_free(w);
        }
}
END_TEST

START_TEST(a_cpu_that_lies_is_a_fault_of_the_host_and_loses_its_worker) {
        if (!has_two_cpus())
                return;
        struct world *w = world_new(SIZE);
        struct sweep_record r = sweep_once(w, MODE_PATTERN, NULL, 0);
        w->lies = true;
        r = sweep_once(w, MODE_PATTERN, &r, 0);
        ck_assert_uint_eq(w->fault_count, 1);
        const struct finding *f = &w->faults[0];
        ck_assert_str_eq(fault_name(f->fault), "host");
        ck_assert_uint_eq(f->place.offset_bytes % BLOCK, 3 * UNIT_BYTES);
        ck_assert_uint_eq(f->place.length_bytes, UNIT_BYTES);
        ck_assert_ptr_nonnull(strstr(f->detail.lines, "worker=6, taken out of service\n"));
        ck_assert_ptr_nonnull(strstr(f->detail.lines, "cpu="));
        ck_assert_uint_eq(w->dismissed, 7);
        ck_assert_int_eq(r.end, END_FINISHED);
        ck_assert_int_eq(r.verdict, VERDICT_FAULTY);
        ck_assert_uint_eq(r.bytes.verified, 2 * SIZE);
        world_free(w);
}
END_TEST

static uint64_t sound_unit;

static bool is_not_sound(uint64_t unit) {
        return unit != sound_unit;
}

/* Where of the blocks a sample is verified by others. Not every block is handed over to somebody who may lie. */
START_TEST(a_cpu_that_lies_of_the_only_sound_unit_is_told) {
        enum { MANY = 1000 };
        size_t lies = 0;
        for (sound_unit = 750; sound_unit < 770 && has_two_cpus(); sound_unit++) {
                struct world *w = world_new(MANY * UNIT_BYTES);
                plant(w, 0, (struct rule){ ALL_STUCK, 0, 0, UINT32_MAX, 0, 0 });
                w->is_stuck = is_not_sound;
                w->lie = sound_unit * UNIT_BYTES;
                sweep_once(w, MODE_PATTERN, NULL, 0);
                bool lied = w->lie == 0;
                lies += lied;
                ck_assert_uint_eq(w->fault_count, lied ? 3 : 2);
                for (size_t i = 0; i < w->fault_count; i++) {
                        bool there = w->faults[i].place.offset_bytes == sound_unit * UNIT_BYTES;
                        ck_assert_str_eq(fault_name(w->faults[i].fault), there ? "host" : "bit_flip");
                }
                ck_assert_uint_eq(w->dismissed, lied ? 7 : 0);
                world_free(w);
        }
        ck_assert(lies > 0 || !has_two_cpus());
}
END_TEST

START_TEST(on_a_single_cpu_a_finding_says_that_nobody_else_could_look) {
        cpu_set_t set;
        ck_assert_int_eq(cpus_of_this_thread(&set), 0);
        ck_assert_int_eq(cpus_pin_this_thread(cpus_nth(&set, 0)), 0);
        struct world *w = world_new(SIZE);
        plant(w, 0, (struct rule){ FLIP_READ, UNIT_BYTES, 0, UINT32_MAX, 0, 0 });
        sweep_once(w, MODE_PATTERN, NULL, 0);
        expect_one(w, FAULT_BIT_FLIP, UNIT_BYTES, UNIT_BYTES, PERSISTENCE_PERSISTENT);
        ck_assert_ptr_nonnull(strstr(w->faults[0].detail.lines, "verified_again=no"));
        ck_assert_int_eq(cpus_allow_this_thread(&set), 0);
        world_free(w);
}
END_TEST

START_TEST(blocks_that_come_back_undone_are_verified_all_the_same) {
        struct world *w = world_new(SIZE);
        w->is_blind = true;
        plant(w, 0, (struct rule){ FLIP_READ, 300 * UNIT_BYTES, 0, UINT32_MAX, 0, 0 });
        struct sweep_record r = sweep_once(w, MODE_PATTERN, NULL, 0);
        ck_assert_uint_eq(r.bytes.verified, SIZE);
        expect_one(w, FAULT_BIT_FLIP, 300 * UNIT_BYTES, UNIT_BYTES, PERSISTENCE_PERSISTENT);
        world_free(w);
}
END_TEST

/* With real threads: of two workers one, then the other. What was handed over comes back, done or not. */
START_TEST(a_worker_out_of_service_does_nothing_any_more) {
        enum { JOBS = 24 };
        static uint8_t bytes[BLOCK];
        cpu_set_t cpus;
        struct verify_pool *pool;
        struct verifier *v;
        struct table_cache *tables;
        ck_assert_int_eq(table_cache_new(&tables, 1), 0);
        struct content c = { .table = table_cache_get(tables, 3) };
        struct expectation e = { .count = 1, .candidates = { c } };
        content_fill(&c, bytes, 0, BLOCK);
        ck_assert_int_eq(cpus_of_this_thread(&cpus), 0);
        ck_assert_int_eq(verify_pool_new(&pool, 2, &cpus), 0);
        ck_assert_int_eq(verify_pool_verifier(&v, pool, JOBS, -1), 0);
        for (unsigned dismissed = 0; dismissed <= 2; dismissed++) {
                struct worker_record before[2], after[2];
                struct verify_job jobs[JOBS], *list[JOBS], *back[JOBS];
                for (unsigned i = 0; i < 2; i++)
                        verify_pool_record(pool, i, &before[i]);
                for (size_t i = 0; i < JOBS; i++) {
                        jobs[i] = (struct verify_job){ .expectation = &e, .bytes = bytes, .length_bytes = BLOCK };
                        list[i] = &jobs[i];
                }
                size_t taken = 0, returned = 0, tries = 0;
                while (taken < JOBS && tries++ < 500) {
                        taken += verifier_hand_over(v, list + taken, JOBS - taken);
                        returned += verifier_take_back(v, back, JOBS);
                        poll(NULL, 0, 1);
                        if (dismissed == 2)
                                break;
                }
                for (tries = 0; returned < taken && tries < 5000; tries++) {
                        returned += verifier_take_back(v, back, JOBS);
                        poll(NULL, 0, 1);
                }
                ck_assert_uint_eq(returned, taken);
                ck_assert_uint_eq(taken, dismissed == 2 ? 0 : JOBS);
                for (unsigned i = 0; i < 2; i++) {
                        verify_pool_record(pool, i, &after[i]);
                        ck_assert_int_eq(after[i].in_service, i >= dismissed);
                        if (i < dismissed)
                                ck_assert_uint_eq(after[i].blocks_verified, before[i].blocks_verified);
                }
                if (dismissed < 2)
                        verifier_dismiss(v, dismissed + 1);
        }
        verifier_free(v);
        verify_pool_free(pool);
        table_unref((struct table *)c.table);
        table_cache_free(tables);
}
END_TEST

int main(void) {
        TCase *t = tcase_create("ladder");
        tcase_add_loop_test(t, a_bit_that_flips_in_one_reading_is_transient, 0, PLACES);
        tcase_add_loop_test(t, a_lost_write_is_repaired_by_writing_again, 0, PLACES);
        tcase_add_loop_test(t, a_bit_that_is_stuck_is_persistent, 0, PLACES);
        tcase_add_loop_test(t, damage_between_sweeps_is_repaired_by_the_sweep_that_finds_it, 0, PLACES);
        tcase_add_test(t, between_writing_again_and_reading_back_there_is_a_flush);
        tcase_add_loop_test(t, a_sector_that_writing_makes_readable_is_repaired, 0, PLACES);
        tcase_add_loop_test(t, in_mode_read_a_sector_that_fails_again_is_persistent, 0, PLACES);
        tcase_add_test(t, a_block_that_fails_once_beside_a_bad_one_is_no_fault);
        tcase_add_loop_test(t, a_sector_that_can_not_be_written_is_persistent, 0, PLACES);
        tcase_add_loop_test(t, wrong_bytes_beside_a_bad_sector_are_tried_again_by_themselves, 0, PLACES);
        tcase_add_test(t, a_reading_that_transfers_nothing_never_verifies_what_was_read_before);
        tcase_add_loop_test(t, with_a_ledger_that_is_behind_the_disk_nothing_is_told_as_damage, 0, PLACES);
        tcase_add_loop_test(t, what_was_written_without_a_flush_is_not_known_to_be_repaired, 0, PLACES);
        tcase_add_test(t, data_of_somebody_else_in_the_retention_pass_ends_the_sweep_and_is_no_fault);
        tcase_add_test(t, a_pause_and_an_end_tell_what_a_cancel_at_that_moment_tells);
        tcase_add_test(t, what_another_extent_of_the_disk_holds_says_nothing_of_this_one);
        tcase_add_test(t, a_flush_that_works_when_it_is_tried_again_is_transient_and_else_persistent);
        tcase_add_test(t, a_disk_that_is_bad_everywhere_is_not_tried_again_everywhere);
        tcase_add_test(t, a_disk_that_is_bad_everywhere_may_answer_in_any_order);
        tcase_add_test(t, the_ladder_has_an_end);
        tcase_add_test(t, of_each_stretch_something_is_tried_again);
        tcase_add_test(t, a_disk_that_reads_wrong_once_everywhere_is_tried_again_everywhere);
        tcase_add_test(t, the_next_fault_of_a_stretch_is_tried_again);
        tcase_add_test(t, a_unit_that_comes_late_joins_both_its_neighbours);
        tcase_add_test(t, a_sweep_that_is_cancelled_on_the_ladder_ends);
        tcase_add_test(t, a_cpu_that_lies_is_a_fault_of_the_host_and_loses_its_worker);
        tcase_add_test(t, a_cpu_that_lies_of_the_only_sound_unit_is_told);
        tcase_add_test(t, on_a_single_cpu_a_finding_says_that_nobody_else_could_look);
        tcase_add_test(t, blocks_that_come_back_undone_are_verified_all_the_same);
        tcase_add_test(t, a_worker_out_of_service_does_nothing_any_more);
        return suite_run("ladder", t);
}
