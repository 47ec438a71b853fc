/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Admission against an oracle that sorts all candidates and takes the first that may start, over thousands of random
 * hosts; and whoever may not must be told why, in every one of them.
 */
#include "base/clock.h"
#include "plan/admission.h"
#include "plan/schedule.h"
#include "suite.h"

#include <string.h>

#define NOW (UINT64_C(1700000000) * USEC_PER_SEC)

enum { CANDIDATES_MAX = 12, RUNNING_MAX = 8, DISKS = 10, CONTROLLERS = 3 };

struct situation {
        struct admission_candidate candidates[CANDIDATES_MAX];
        struct admission_sweep sweeps[RUNNING_MAX + CANDIDATES_MAX];
        struct disk_place places[RUNNING_MAX + CANDIDATES_MAX];
        char names[RUNNING_MAX + CANDIDATES_MAX][8];
        size_t candidate_count;
        struct admission_host host;
};

static const struct disk_place *a_place(struct disk_place *p, uint64_t *state) {
        for (uint64_t n = suite_random(state) % 3; n > 0; n--)
                disk_place_add_disk(p, 1 + suite_random(state) % DISKS);
        for (uint64_t n = suite_random(state) % 3; n > 0; n--) {
                char name[8];
                snprintf(name, sizeof name, "host%u", (unsigned)(suite_random(state) % CONTROLLERS));
                disk_place_add_controller(p, name);
        }
        return p;
}

static void draw(struct situation *s, uint64_t *state) {
        *s = (struct situation){ .candidate_count = suite_random(state) % (CANDIDATES_MAX + 1) };
        for (size_t i = 0; i < s->candidate_count; i++) {
                /* Few distinct times, so that ties are common; names in an order that is not the array's. */
                snprintf(s->names[i], sizeof s->names[i], "d%02zu", (i * 5 + 3) % CANDIDATES_MAX);
                s->candidates[i] = (struct admission_candidate){
                        .name = s->names[i],
                        .next_start_us = NOW - 2 + suite_random(state) % 5,
                        .deadline_us = NOW - 1 + suite_random(state) % 3,
                        .by_hand = suite_random(state) % 4 == 0,
                        .place = a_place(&s->places[i], state),
                };
                if (suite_random(state) % 8 == 0)
                        s->candidates[i].next_start_us = SCHEDULE_NEVER;
        }
        size_t running = suite_random(state) % RUNNING_MAX;
        for (size_t i = 0; i < running; i++) {
                snprintf(s->names[CANDIDATES_MAX + i], sizeof s->names[0], "r%zu", i);
                s->sweeps[i] = (struct admission_sweep){
                        .name = s->names[CANDIDATES_MAX + i],
                        .place = a_place(&s->places[CANDIDATES_MAX + i], state),
                        .hangs = suite_random(state) % 6 == 0,
                };
        }
        s->host = (struct admission_host){
                .sweeps = s->sweeps,
                .sweep_count = running,
                .concurrent_sweeps = (unsigned)(suite_random(state) % 8),
                .per_controller = (unsigned)(suite_random(state) % 4),
        };
}

static int by_urgency(const void *a, const void *b) {
        const struct admission_candidate *x = *(const struct admission_candidate *const *)a;
        const struct admission_candidate *y = *(const struct admission_candidate *const *)b;
        if (x->by_hand != y->by_hand)
                return x->by_hand ? -1 : 1;
        if (x->deadline_us != y->deadline_us)
                return x->deadline_us < y->deadline_us ? -1 : 1;
        if (x->next_start_us != y->next_start_us)
                return x->next_start_us < y->next_start_us ? -1 : 1;
        return strcmp(x->name, y->name);
}

static bool fits(const struct situation *s, const struct disk_place *p) {
        unsigned alive = 0, on[CONTROLLERS] = { 0 };
        for (size_t i = 0; i < s->host.sweep_count; i++) {
                const struct admission_sweep *r = &s->sweeps[i];
                for (uint64_t disk = 1; disk <= DISKS; disk++)
                        if (disk_place_has_disk(p, disk) && disk_place_has_disk(r->place, disk))
                                return false;
                alive += !r->hangs;
                for (size_t c = 0; c < r->place->controller_count; c++)
                        on[r->place->controllers[c][4] - '0'] += !r->hangs;
        }
        for (size_t c = 0; c < p->controller_count; c++)
                if (s->host.per_controller > 0 && on[p->controllers[c][4] - '0'] >= s->host.per_controller)
                        return false;
        return s->host.concurrent_sweeps == 0 || alive < s->host.concurrent_sweeps;
}

static int oracle(const struct situation *s) {
        const struct admission_candidate *order[CANDIDATES_MAX];
        for (size_t i = 0; i < s->candidate_count; i++)
                order[i] = &s->candidates[i];
        qsort(order, s->candidate_count, sizeof order[0], by_urgency);
        for (size_t i = 0; i < s->candidate_count; i++)
                if ((order[i]->by_hand || order[i]->next_start_us <= NOW) && fits(s, order[i]->place))
                        return (int)(order[i] - s->candidates);
        return -1;
}

START_TEST(admission_agrees_with_the_oracle) {
        unsigned admitted = 0;
        for (uint64_t seed = 0; seed < 30000; seed++) {
                uint64_t state = seed;
                struct situation s;
                draw(&s, &state);
                int got = admission_choose(s.candidates, s.candidate_count, &s.host, NOW);
                if (got != oracle(&s))
                        ck_abort_msg("seed %" PRIu64 ": %d", seed, got);
                admitted += got >= 0;
        }
        ck_assert_uint_gt(admitted, 10000);
        ck_assert_uint_lt(admitted, 27000);
}
END_TEST

START_TEST(what_may_not_start_is_told_why_and_only_that) {
        for (uint64_t seed = 0; seed < 10000; seed++) {
                uint64_t state = seed;
                struct situation s;
                draw(&s, &state);
                for (size_t i = 0; i < s.candidate_count; i++) {
                        struct reason reason = { 0 };
                        bool told = admission_explain(&reason, s.candidates[i].place, &s.host);
                        if (told == fits(&s, s.candidates[i].place) || told != (reason.found[0] != '\0'))
                                ck_abort_msg("seed %" PRIu64 ": %s", seed, reason.found);
                }
        }
}
END_TEST

START_TEST(admitting_until_none_is_left_never_shares_a_disk_or_exceeds_a_limit) {
        for (uint64_t seed = 0; seed < 5000; seed++) {
                uint64_t state = seed;
                struct situation s;
                draw(&s, &state);
                size_t before = s.host.sweep_count;
                for (int i; (i = admission_choose(s.candidates, s.candidate_count, &s.host, NOW)) >= 0;) {
                        struct admission_candidate c = s.candidates[i];
                        if (!fits(&s, c.place))
                                ck_abort_msg("seed %" PRIu64 ": %s does not fit", seed, c.name);
                        s.sweeps[s.host.sweep_count++] = (struct admission_sweep){ .name = c.name, .place = c.place };
                        s.candidates[i] = s.candidates[--s.candidate_count];
                }
                ASSERT_SEEDED(seed, s.host.sweep_count <= before + CANDIDATES_MAX);
        }
}
END_TEST

START_TEST(the_reason_names_what_it_waits_for) {
        struct disk_place wanted = { 0 }, other = { 0 };
        disk_place_add_disk(&wanted, 7);
        disk_place_add_controller(&wanted, "host3");
        disk_place_add_controller(&other, "host3");
        struct admission_sweep sweeps[] = { { .name = "spare-7", .place = &other } };
        struct admission_host host = { .sweeps = sweeps, .sweep_count = 1, .concurrent_sweeps = 1 };
        struct reason reason;
        ck_assert(admission_explain(&reason, &wanted, &host));
        ck_assert_str_eq(reason.rule, "admission");
        ck_assert_str_eq(reason.found, "sweeps running: 1, as many as limits.concurrent_sweeps allows");
        host.per_controller = 1;
        ck_assert(admission_explain(&reason, &wanted, &host));
        ck_assert_str_eq(reason.found, "sweeps running on host3: 1, as many as limits.per_controller allows");
        disk_place_add_disk(&other, 7);
        ck_assert(admission_explain(&reason, &wanted, &host));
        ck_assert_str_eq(reason.found, "the sweep of spare-7 is using the same disk");
        host.sweep_count = 0;
        ck_assert(!admission_explain(&reason, &wanted, &host));
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("admission");
        tcase_add_test(tests, admission_agrees_with_the_oracle);
        tcase_add_test(tests, what_may_not_start_is_told_why_and_only_that);
        tcase_add_test(tests, admitting_until_none_is_left_never_shares_a_disk_or_exceeds_a_limit);
        tcase_add_test(tests, the_reason_names_what_it_waits_for);
        return suite_run("admission", tests);
}
