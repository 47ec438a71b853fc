/* SPDX-License-Identifier: Apache-2.0 */
/* How often a sweep that only reads tells where it can be gone on with: by its own clock, on a disk in memory. */
#include "base/clock.h"
#include "memory_engine.h"
#include "sweep/sweep_private.h"

enum { BLOCK = 64 << 10, SIZE = 512 * BLOCK, SEEDS = 20 };

struct listener {
        struct news_port port;
        unsigned checkpoints;
        uint64_t at_bytes;
};

static bool listen(struct news_port *port, const struct news *news) {
        struct listener *l = (struct listener *)(void *)((char *)port - offsetof(struct listener, port));
        if (news->kind == NEWS_CHECKPOINT) {
                l->checkpoints++;
                l->at_bytes = news->checkpoint.at_bytes;
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

int main(void) {
        TCase *tests = tcase_create("checkpoint");
        tcase_add_test(tests, a_sweep_that_only_reads_loses_at_most_a_minute_of_a_long_segment);
        return suite_run("checkpoint", tests);
}
