/* SPDX-License-Identifier: Apache-2.0 */
/* How often a sweep tells where it can be gone on with: by its own clock, on a disk in memory. */
#include "base/clock.h"
#include "memory_engine.h"
#include "sweep/sweep_private.h"

enum { BLOCK = 64 << 10, SIZE = 512 * BLOCK, SEEDS = 20, LEAST = 24 * BLOCK, MOST = 96 * BLOCK };

struct listener {
        struct news_port port;
        unsigned checkpoints;
        uint64_t at_bytes;
        struct extent ahead;     /* announced last */
        uint64_t longest_bytes;  /* of those announced, */
        uint64_t shortest_bytes; /* but for the last one of the extent */
        uint64_t sequence;       /* to be answered; 0: nothing */
};

static bool listen(struct news_port *port, const struct news *news) {
        struct listener *l = (struct listener *)(void *)((char *)port - offsetof(struct listener, port));
        if (news->kind == NEWS_CHECKPOINT) {
                l->checkpoints++;
                l->at_bytes = news->checkpoint.at_bytes;
        }
        if (news->sequence > 0)
                l->sequence = news->sequence;
        if (news->kind == NEWS_MARK && news->mark.ahead.length_bytes > 0) {
                l->ahead = news->mark.ahead;
                l->longest_bytes = MAX(l->longest_bytes, l->ahead.length_bytes);
                if (extent_end(l->ahead) < SIZE)
                        l->shortest_bytes = MIN(l->shortest_bytes, l->ahead.length_bytes);
        }
        free(news->survey);
        return true;
}

static struct sweep *sweep_that_reads(struct memory_engine *disk, struct listener *l, struct sweep_gauge *gauge) {
        struct sweep *s;
        struct sweep_options o = {
                .id = 1,
                .device = "d0",
                .mode = MODE_READ,
                .block_bytes = BLOCK,
                .segment_bytes = UINT64_C(1) << 30,
                .depth = 4,
                .size_bytes = SIZE,
                .logical_block_bytes = SECTOR_BYTES,
                .diskseq = disk->look.diskseq,
                .engine = &disk->engine,
                .news = &l->port,
                .gauge = gauge,
        };
        ck_assert_int_eq(sweep_new(&s, &o), 0);
        return s;
}

/* At a low rate: a segment would take hours. */
START_TEST(a_sweep_that_only_reads_loses_at_most_a_minute_of_a_long_segment) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                uint64_t random = seed, now_us = USEC_PER_DAY, told_us = now_us;
                struct memory_crash none = { 0 };
                struct memory_engine disk;
                struct listener l = { .port.post = listen };
                struct sweep_gauge gauge = { 0 };
                memory_init(&disk, SIZE, &none, seed);
                struct sweep *s = sweep_that_reads(&disk, &l, &gauge);
                sweep_set_rate(s, (uint64_t)BLOCK * (1 + suite_random(&random) % 4));
                for (unsigned told = 0; sweep_pump(s, SWEEP_RUN, now_us, now_us) != SWEEP_ENDED;) {
                        told_us = l.checkpoints > told ? now_us : told_us;
                        told = l.checkpoints;
                        ASSERT_SEEDED(seed, now_us - told_us <= 60 * USEC_PER_SEC);
                        now_us += suite_random(&random) % USEC_PER_SEC;
                }
                ASSERT_SEEDED(seed, l.checkpoints > 0 && l.at_bytes > SIZE / 2);
                sweep_free(s);
                memory_deinit(&disk);
        }
}
END_TEST

static struct sweep *sweep_that_writes(struct memory_engine *disk, struct listener *l, struct sweep_gauge *gauge) {
        struct sweep *s;
        struct target_record *target = calloc(1, sizeof *target);
        ck_assert_ptr_nonnull(target);
        target->target_id = 5;
        struct sweep_options o = {
                .id = 1,
                .device = "d0",
                .mode = MODE_PATTERN,
                .overwrite = true,
                .started_us = 1000,
                .block_bytes = BLOCK,
                .segment_bytes = MOST,
                .segment_least_bytes = LEAST,
                .depth = 4,
                .size_bytes = SIZE,
                .logical_block_bytes = SECTOR_BYTES,
                .physical_block_bytes = UNIT_BYTES,
                .diskseq = disk->look.diskseq,
                .random = { 11, 12, 13 },
                .target = target,
                .engine = &disk->engine,
                .news = &l->port,
                .gauge = gauge,
        };
        ck_assert_int_eq(sweep_new(&s, &o), 0);
        return s;
}

/* The longest time between two checkpoints, but for what comes before the first write. */
static uint64_t write_at(uint64_t rate, struct listener *l, uint64_t seed) {
        uint64_t random = seed, now_us = USEC_PER_DAY, told_us = 0, longest_us = 0;
        struct memory_crash none = { 0 };
        struct memory_engine disk;
        struct sweep_gauge gauge = { 0 };
        *l = (struct listener){ .port.post = listen, .shortest_bytes = UINT64_MAX };
        memory_init(&disk, SIZE, &none, seed);
        struct sweep *s = sweep_that_writes(&disk, l, &gauge);
        sweep_set_rate(s, rate);
        for (unsigned told = 0; sweep_pump(s, SWEEP_RUN, now_us, now_us) != SWEEP_ENDED;) {
                if (told_us == 0 || l->checkpoints > told) {
                        longest_us = told > 0 ? MAX(longest_us, now_us - told_us) : 0;
                        told_us = now_us;
                }
                told = l->checkpoints;
                if (l->sequence > 0) {
                        struct answer answer = { .kind = ANSWER_DURABLE, .sequence = l->sequence };
                        sweep_answer(s, &answer);
                        l->sequence = 0;
                }
                now_us += suite_random(&random) % (USEC_PER_SEC / 4);
        }
        const struct sweep_record *record = sweep_record(s);
        ASSERT_SEEDED(seed, record->end == END_FINISHED && record->verdict == VERDICT_CLEAN);
        ASSERT_SEEDED(seed, l->checkpoints > 0);
        sweep_free(s);
        memory_deinit(&disk);
        return longest_us;
}

START_TEST(a_segment_is_cut_so_that_a_minute_is_lost_at_most_but_never_into_what_a_cache_holds) {
        struct listener l;
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                uint64_t random = seed, rate = BLOCK * (1 + suite_random(&random) % 12);
                uint64_t longest_us = write_at(rate, &l, seed);
                uint64_t least_us = 2 * (uint64_t)LEAST * USEC_PER_SEC / rate; /* no less is possible */
                ASSERT_SEEDED(seed, l.shortest_bytes >= LEAST && l.longest_bytes <= MOST);
                ASSERT_SEEDED(seed, l.longest_bytes % BLOCK == 0 && l.shortest_bytes % BLOCK == 0);
                ASSERT_SEEDED(seed, longest_us <= MAX(60 * USEC_PER_SEC, least_us + 5 * USEC_PER_SEC));
        }
        write_at(BLOCK, &l, 1);
        ck_assert_uint_eq(l.longest_bytes, LEAST);
        write_at(8 * BLOCK, &l, 1); /* 240 blocks in 30 s, half of them written */
        ck_assert(l.longest_bytes > LEAST && l.longest_bytes <= MOST);
        write_at(0, &l, 1);
        ck_assert_uint_eq(l.shortest_bytes, LEAST); /* the first: nothing is known of the rate */
        ck_assert_uint_eq(l.longest_bytes, MOST);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("checkpoint");
        tcase_add_test(tests, a_sweep_that_only_reads_loses_at_most_a_minute_of_a_long_segment);
        tcase_add_test(tests, a_segment_is_cut_so_that_a_minute_is_lost_at_most_but_never_into_what_a_cache_holds);
        return suite_run("checkpoint", tests);
}
