/* SPDX-License-Identifier: Apache-2.0 */
/* The life of findings, against a second book that is written for clearness alone. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "report/finding_book.h"
#include "suite.h"

#include <string.h>

/* Check tells its runner of every assertion; there are millions of these. */
#define HOLDS(seed, condition)                                                              \
        do {                                                                                \
                if (!(condition))                                                           \
                        ck_abort_msg("seed %" PRIu64 ": %s", (uint64_t)(seed), #condition); \
        } while (0)

enum { SEEDS = 500, STEPS = 120, KNOWN_MAX = 512, RUNS_MAX = 512 };

DEFINE_FREEP(struct finding_book, finding_book_free, finding_book_freep)

static struct finding fault_at(const char *device, uint64_t sweep_id, uint64_t offset, uint64_t length) {
        struct finding f = { .target_row = 1, .sweep_id = sweep_id, .place = { offset, length }, .last_seen_us = 1000 };
        f.fault = FAULT_BIT_FLIP;
        text_copy(f.device, sizeof f.device, device);
        return f;
}

static void count_over(void *userdata, const struct finding *finding) {
        HOLDS(0, finding->state == FINDING_RESOLVED || finding->state == FINDING_RETIRED);
        HOLDS(0, strstr(finding->detail.lines, "over_at="));
        ++*(size_t *)userdata;
}

/* The second book. */

struct known {
        struct finding f;
        uint64_t born_sweep, seen_sweep;
        bool gone;
};

struct model {
        uint64_t next_id;
        size_t count;
        struct known known[KNOWN_MAX];
        size_t run_count;
        struct {
                uint64_t sweep_id, serial, id;
        } runs[RUNS_MAX];
};

static bool same_kind(const struct finding *a, const struct finding *b) {
        return strcmp(a->device, b->device) == 0 && a->target_row == b->target_row && a->fault == b->fault;
}

static bool meets(struct extent a, struct extent b) {
        return a.offset_bytes <= extent_end(b) && b.offset_bytes <= extent_end(a);
}

static struct known *model_by_run(struct model *m, const struct finding *seen, uint64_t serial) {
        for (size_t i = m->run_count; i-- > 0;)
                if (m->runs[i].sweep_id == seen->sweep_id && m->runs[i].serial == serial) {
                        for (size_t k = 0; k < m->count; k++)
                                if (m->known[k].f.id == m->runs[i].id)
                                        return !m->known[k].gone && same_kind(&m->known[k].f, seen) ? &m->known[k]
                                                                                                    : NULL;
                }
        return NULL;
}

static struct known *model_by_place(struct model *m, const struct finding *seen) {
        for (size_t k = 0; k < m->count; k++)
                if (!m->known[k].gone && same_kind(&m->known[k].f, seen) &&
                        (m->known[k].born_sweep == seen->sweep_id ? extent_overlaps(m->known[k].f.place, seen->place)
                                                                  : meets(m->known[k].f.place, seen->place)))
                        return &m->known[k];
        return NULL;
}

static void model_add_run(struct model *m, uint64_t sweep_id, uint64_t serial, uint64_t id) {
        HOLDS(sweep_id, m->run_count < RUNS_MAX);
        m->runs[m->run_count].sweep_id = sweep_id;
        m->runs[m->run_count].serial = serial;
        m->runs[m->run_count++].id = id;
}

static struct known *model_report(struct model *m, const struct finding *seen, uint64_t serial, bool *is_new) {
        struct known *k = model_by_run(m, seen, serial);
        for (size_t i = 0; i < m->count; i++)
                if (same_kind(&m->known[i].f, seen) && extent_overlaps(m->known[i].f.place, seen->place))
                        m->known[i].seen_sweep = seen->sweep_id;
        if (!k) {
                k = model_by_place(m, seen);
                if (k)
                        k->f.count++;
                else {
                        HOLDS(seen->sweep_id, m->count < KNOWN_MAX);
                        k = &m->known[m->count++];
                        *k = (struct known){ .f = *seen, .born_sweep = seen->sweep_id };
                        k->f.id = m->next_id++;
                        k->f.count = 1;
                        k->f.place.length_bytes = 0; /* grows to what was seen below */
                }
                model_add_run(m, seen->sweep_id, serial, k->f.id);
        }
        struct extent hull = k->f.place.length_bytes ? extent_hull(k->f.place, seen->place) : seen->place;
        *is_new = hull.length_bytes > k->f.place.length_bytes;
        k->f.place = hull;
        k->f.sweep_id = k->seen_sweep = seen->sweep_id;
        k->f.persistence = seen->persistence;
        return k;
}

static bool model_reached(const struct extent *reached, size_t count, struct extent place) {
        for (uint64_t at = place.offset_bytes; at < extent_end(place); at++) {
                bool in = false;
                for (size_t i = 0; i < count; i++)
                        in = in || (reached[i].offset_bytes <= at && at < extent_end(reached[i]));
                if (!in)
                        return false;
        }
        return true;
}

static size_t model_resolve(struct model *m, const char *device, uint64_t target_row, uint64_t sweep_id,
        const struct extent *reached, size_t count) {
        size_t over = 0;
        for (size_t k = 0; k < m->count; k++) {
                struct known *known = &m->known[k];
                if (known->gone || strcmp(known->f.device, device) != 0 || known->f.target_row != target_row ||
                        known->seen_sweep == sweep_id || !model_reached(reached, count, known->f.place))
                        continue;
                known->gone = true;
                over++;
        }
        return over;
}

static void check_same(uint64_t seed, const struct finding_book *book, const struct model *m) {
        uint64_t id = 0;
        for (size_t k = 0; k < m->count; k++) {
                const struct known *known = &m->known[k];
                if (known->gone) {
                        HOLDS(seed, !finding_book_get(book, known->f.id));
                        continue;
                }
                const struct finding *f = finding_book_after(book, NULL, id);
                HOLDS(seed, f && f->id == known->f.id);
                HOLDS(seed, f == finding_book_get(book, f->id));
                HOLDS(seed, f->place.offset_bytes == known->f.place.offset_bytes);
                HOLDS(seed, f->place.length_bytes == known->f.place.length_bytes);
                HOLDS(seed, f->count == known->f.count);
                HOLDS(seed, f->sweep_id == known->f.sweep_id);
                HOLDS(seed, f->persistence == known->f.persistence);
                id = f->id;
        }
        HOLDS(seed, !finding_book_after(book, NULL, id));
        HOLDS(seed, finding_book_next_id(book) == m->next_id);
}

static void play_report(uint64_t seed, uint64_t *state, uint64_t sweep_id, struct finding_book *book, struct model *m,
        const char *dev) {
        struct finding seen = fault_at(dev, sweep_id, suite_random(state) % 60, 1 + suite_random(state) % 8);
        seen.target_row = 1 + suite_random(state) % 2;
        seen.fault = suite_random(state) % 2 ? FAULT_STALE : FAULT_BIT_FLIP;
        seen.persistence = (enum persistence)(suite_random(state) % PERSISTENCE_COUNT);
        uint64_t serial = suite_random(state) % 12;
        bool is_new, expected_new;
        struct known *expected = model_report(m, &seen, serial, &expected_new);
        const struct finding *f = finding_book_report(book, &seen, serial, &is_new);
        HOLDS(seed, f && f->id == expected->f.id);
        HOLDS(seed, is_new == expected_new);
}

static void play_resolve(uint64_t seed, uint64_t *state, uint64_t sweep_id, struct finding_book *book, struct model *m,
        const char *dev) {
        struct extent reached[5];
        size_t count = suite_random(state) % (ELEMENTS(reached) + 1), told = 0;
        for (size_t i = 0; i < count; i++)
                reached[i] = (struct extent){ suite_random(state) % 60, suite_random(state) % 40 };
        uint64_t row = 1 + suite_random(state) % 2;
        size_t expected = model_resolve(m, dev, row, sweep_id, reached, count);
        size_t over = finding_book_resolve(book, dev, row, sweep_id, reached, count, 5, count_over, &told);
        HOLDS(seed, over == expected);
        HOLDS(seed, over == told);
}

START_TEST(the_book_does_what_the_clear_one_does) {
        static const char *const names[] = { "sda", "sdb" };
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                uint64_t state = seed, sweep_ids[] = { 1, 2 }, next_sweep = 3;
                struct model m = { .next_id = 10 };
                CLEANUP(finding_book_freep)
                struct finding_book *book = NULL;
                ck_assert_int_eq(finding_book_new(&book, m.next_id), 0);
                for (int i = 0; i < STEPS; i++) {
                        size_t d = suite_random(&state) % ELEMENTS(names);
                        if (suite_random(&state) % 12 == 0) {
                                play_resolve(seed, &state, sweep_ids[d], book, &m, names[d]);
                                sweep_ids[d] = next_sweep++;
                        } else
                                play_report(seed, &state, sweep_ids[d], book, &m, names[d]);
                        check_same(seed, book, &m);
                }
        }
}
END_TEST

START_TEST(a_run_that_grows_stays_one_finding) {
        CLEANUP(finding_book_freep)
        struct finding_book *book = NULL;
        ck_assert_int_eq(finding_book_new(&book, 1), 0);
        bool is_new;
        for (uint64_t i = 1; i <= 5; i++) {
                struct finding seen = fault_at("sda", 9, 4096, 4096 * i);
                const struct finding *f = finding_book_report(book, &seen, 3, &is_new);
                ck_assert_uint_eq(f->id, 1);
                ck_assert_uint_eq(f->count, 1);
                ck_assert_uint_eq(f->place.length_bytes, 4096 * i);
                ck_assert(is_new);
        }
        struct finding seen = fault_at("sda", 9, 4096, 4096);
        finding_book_report(book, &seen, 3, &is_new);
        ck_assert(!is_new);
}
END_TEST

START_TEST(another_run_of_the_same_sweep_is_another_finding) {
        CLEANUP(finding_book_freep)
        struct finding_book *book = NULL;
        ck_assert_int_eq(finding_book_new(&book, 1), 0);
        bool is_new;
        struct finding a = fault_at("sda", 1, 0, 4096), b = fault_at("sda", 1, 4096, 4096);
        ck_assert_uint_eq(finding_book_report(book, &a, 1, &is_new)->id, 1);
        ck_assert_uint_eq(finding_book_report(book, &b, 2, &is_new)->id, 2);
}
END_TEST

START_TEST(what_was_acknowledged_is_open_again_when_it_grows) {
        CLEANUP(finding_book_freep)
        struct finding_book *book = NULL;
        bool is_new;
        ck_assert_int_eq(finding_book_new(&book, 1), 0);
        struct finding seen = fault_at("sda", 1, 0, 4096);
        ck_assert_uint_eq(finding_book_report(book, &seen, 1, &is_new)->id, 1);
        ck_assert_ptr_null(finding_book_acknowledge(book, 2, "", 7));
        ck_assert_ptr_null(finding_book_acknowledge(book, 0, "", 7));
        const struct finding *f = finding_book_acknowledge(book, 1, "ordered a new one", 7);
        ck_assert_int_eq(f->state, FINDING_ACKNOWLEDGED);
        ck_assert_uint_eq(f->acknowledged_us, 7);
        ck_assert_str_eq(f->comment, "ordered a new one");
        ck_assert_uint_eq(finding_book_counts(book, "sda").open, 0);
        ck_assert_uint_eq(finding_book_counts(book, "sda").acknowledged, 1);

        seen = fault_at("sda", 2, 0, 4096);
        ck_assert_int_eq(finding_book_report(book, &seen, 1, &is_new)->state, FINDING_ACKNOWLEDGED);
        ck_assert(!is_new);
        seen = fault_at("sda", 3, 0, 8192);
        ck_assert_int_eq(finding_book_report(book, &seen, 1, &is_new)->state, FINDING_OPEN);
        ck_assert(is_new);
        ck_assert_uint_eq(finding_book_counts(book, "sda").open_faults, 1);
}
END_TEST

START_TEST(what_was_acknowledged_stays_so_when_it_is_seen_again) {
        CLEANUP(finding_book_freep)
        struct finding_book *book = NULL;
        ck_assert_int_eq(finding_book_new(&book, 1), 0);
        struct finding old = fault_at("sda", 1, 0, 4096);
        old.id = 41;
        old.count = 7;
        old.state = FINDING_ACKNOWLEDGED;
        old.first_seen_us = 5;
        text_copy(old.comment, sizeof old.comment, "ordered a new one");
        ck_assert_int_eq(finding_book_load(book, &old), 0);
        ck_assert_uint_eq(finding_book_next_id(book), 42);
        bool is_new;
        struct finding seen = fault_at("sda", 2, 0, 4096);
        const struct finding *f = finding_book_report(book, &seen, 1, &is_new);
        ck_assert_uint_eq(f->id, 41);
        ck_assert_uint_eq(f->count, 8);
        ck_assert_int_eq(f->state, FINDING_ACKNOWLEDGED);
        ck_assert_str_eq(f->comment, old.comment);
        ck_assert_uint_eq(f->first_seen_us, 5);
        ck_assert(!is_new);
}
END_TEST

START_TEST(other_devices_targets_and_faults_are_other_findings) {
        CLEANUP(finding_book_freep)
        struct finding_book *book = NULL;
        ck_assert_int_eq(finding_book_new(&book, 1), 0);
        bool is_new;
        struct finding seen[] = { fault_at("sda", 1, 0, 4096), fault_at("sdb", 2, 0, 4096), fault_at("sda", 3, 0, 4096),
                fault_at("sda", 4, 0, 4096) };
        seen[2].target_row = 2;
        seen[3].fault = FAULT_SLOW;
        for (size_t i = 0; i < ELEMENTS(seen); i++)
                ck_assert_uint_eq(finding_book_report(book, &seen[i], 1, &is_new)->id, i + 1);
        struct finding_counts counts = finding_book_counts(book, "sda");
        ck_assert_uint_eq(counts.open, 3);
        ck_assert_uint_eq(counts.open_faults, 2);
        ck_assert_uint_eq(finding_book_counts(book, "sdc").open, 0);
        ck_assert_uint_eq(finding_book_after(book, "sdb", 0)->id, 2);
        ck_assert_ptr_null(finding_book_after(book, "sdb", 2));
}
END_TEST

START_TEST(a_replaced_disk_takes_its_findings_with_it) {
        CLEANUP(finding_book_freep)
        struct finding_book *book = NULL;
        ck_assert_int_eq(finding_book_new(&book, 1), 0);
        bool is_new;
        struct finding a = fault_at("sda", 1, 0, 4096), b = fault_at("sda", 2, 0, 4096),
                       c = fault_at("sdb", 3, 0, 4096);
        b.target_row = 2;
        finding_book_report(book, &a, 1, &is_new);
        finding_book_report(book, &b, 1, &is_new);
        finding_book_report(book, &c, 1, &is_new);
        size_t told = 0;
        ck_assert_uint_eq(finding_book_retire(book, "sda", 2, 5, count_over, &told), 1);
        ck_assert_ptr_null(finding_book_get(book, 1));
        ck_assert_ptr_nonnull(finding_book_get(book, 2));
        ck_assert_uint_eq(finding_book_retire(book, "sda", 0, 5, count_over, &told), 1);
        ck_assert_ptr_nonnull(finding_book_get(book, 3));
        ck_assert_uint_eq(told, 2);
}
END_TEST

START_TEST(a_sweep_that_did_not_reach_a_place_resolves_nothing_there) {
        CLEANUP(finding_book_freep)
        struct finding_book *book = NULL;
        ck_assert_int_eq(finding_book_new(&book, 1), 0);
        bool is_new;
        struct finding seen = fault_at("sda", 1, 4096, 8192);
        finding_book_report(book, &seen, 1, &is_new);
        size_t told = 0;
        struct extent short_of[] = { { 0, 8192 } }, in_two[] = { { 8192, 8192 }, { 0, 8192 } };
        ck_assert_uint_eq(finding_book_resolve(book, "sda", 1, 2, NULL, 0, 5, count_over, &told), 0);
        ck_assert_uint_eq(finding_book_resolve(book, "sda", 1, 2, short_of, 1, 5, count_over, &told), 0);
        ck_assert_uint_eq(finding_book_resolve(book, "sda", 1, 1, in_two, 2, 5, count_over, &told), 0);
        ck_assert_uint_eq(finding_book_resolve(book, "sda", 1, 2, in_two, 2, 5, count_over, &told), 1);
}
END_TEST

START_TEST(a_sweep_that_can_not_tell_spares_one_fault_and_no_other) {
        CLEANUP(finding_book_freep)
        struct finding_book *book = NULL;
        ck_assert_int_eq(finding_book_new(&book, 1), 0);
        size_t told = 0;
        bool is_new;
        static const struct extent all = { 0, UINT64_MAX / 2 };
        static const enum fault faults[] = { FAULT_SLOW, FAULT_STALE };
        for (size_t i = 0; i < ELEMENTS(faults); i++) {
                struct finding seen = fault_at("sda", 1, 10, 1);
                seen.target_row = 1;
                seen.fault = faults[i];
                ck_assert_ptr_nonnull(finding_book_report(book, &seen, i, &is_new));
        }
        finding_book_spare(book, "sda", FAULT_SLOW, 2);
        finding_book_spare(book, "sdb", FAULT_SLOW, 2);
        ck_assert_uint_eq(finding_book_resolve(book, "sda", 1, 2, &all, 1, 5, count_over, &told), 1);
        ck_assert_int_eq(finding_book_after(book, "sda", 0)->fault, FAULT_SLOW);
        ck_assert_uint_eq(finding_book_resolve(book, "sda", 1, 3, &all, 1, 5, count_over, &told), 1);
}
END_TEST

START_TEST(a_hundred_thousand_findings_and_a_burst_stay_fast) {
        CLEANUP(finding_book_freep)
        struct finding_book *book = NULL;
        ck_assert_int_eq(finding_book_new(&book, 1), 0);
        for (uint64_t i = 0; i < 100000; i++) {
                struct finding old = fault_at(i % 2 ? "sda" : "sdb", 1, 16384 * i, 4096);
                old.id = i + 1;
                old.state = FINDING_OPEN;
                HOLDS(0, finding_book_load(book, &old) == 0);
        }
        uint64_t from_us = clock_thread_cpu_us(), state = 1;
        bool is_new;
        for (uint64_t i = 0; i < 10000; i++) {
                struct finding seen = fault_at("sda", 2, suite_random(&state) % 100000 * 16384, 4096);
                HOLDS(0, finding_book_report(book, &seen, i, &is_new));
        }
        uint64_t took_us = clock_thread_cpu_us() - from_us;
        ck_assert_msg(took_us < 5 * USEC_PER_SEC, "10,000 reports took %" PRIu64 " us", took_us);
        size_t told = 0;
        struct extent all = { 0, INT64_MAX };
        finding_book_resolve(book, "sda", 1, 3, &all, 1, 5, count_over, &told);
        ck_assert_uint_ge(told, 50000);
        ck_assert_uint_eq(finding_book_counts(book, "sda").open, 0);
        ck_assert_uint_eq(finding_book_counts(book, "sdb").open, 50000);
}
END_TEST

/* When and of what people are told again. */

static void note_told(void *userdata, const struct finding *finding) {
        *(uint64_t *)userdata = finding->id;
}

START_TEST(an_open_finding_is_told_again_after_each_repeat) {
        CLEANUP(finding_book_freep)
        struct finding_book *book = NULL;
        struct finding seen = fault_at("d0", 1, 0, 4096);
        uint64_t told = 0;
        bool is_new;
        ck_assert_int_eq(finding_book_new(&book, 1), 0);
        ck_assert_ptr_nonnull(finding_book_report(book, &seen, 1, &is_new));
        ck_assert_uint_eq(finding_book_remind(book, 500, 1499, note_told, &told), 0);
        ck_assert_uint_eq(finding_book_remind(book, 500, 1500, note_told, &told), 1);
        ck_assert_uint_eq(told, 1);
        ck_assert_uint_eq(finding_book_remind(book, 500, 1999, note_told, &told), 0);
        ck_assert_uint_eq(finding_book_remind(book, 500, 2100, note_told, &told), 1);
        seen.sweep_id = 2;
        seen.last_seen_us = 2300; /* seen, but not told */
        ck_assert_ptr_nonnull(finding_book_report(book, &seen, 1, &is_new));
        ck_assert(!is_new);
        ck_assert_uint_eq(finding_book_remind(book, 500, 2600, note_told, &told), 1);
}
END_TEST

START_TEST(an_acknowledged_finding_is_silent_until_it_grows) {
        CLEANUP(finding_book_freep)
        struct finding_book *book = NULL;
        struct finding seen = fault_at("d0", 1, 0, 4096);
        uint64_t told = 0;
        bool is_new;
        ck_assert_int_eq(finding_book_new(&book, 1), 0);
        ck_assert_ptr_nonnull(finding_book_report(book, &seen, 1, &is_new));
        ck_assert_ptr_nonnull(finding_book_acknowledge(book, 1, "known", 1100));
        ck_assert_uint_eq(finding_book_remind(book, 500, 1000000, note_told, &told), 0);
        seen = fault_at("d0", 2, 0, 8192);
        seen.last_seen_us = 1000000;
        ck_assert_ptr_nonnull(finding_book_report(book, &seen, 1, &is_new));
        ck_assert(is_new);
        ck_assert_uint_eq(finding_book_remind(book, 500, 1000499, note_told, &told), 0);
        ck_assert_uint_eq(finding_book_remind(book, 500, 1000500, note_told, &told), 1);
}
END_TEST

START_TEST(what_was_told_before_a_restart_is_told_again_in_its_time) {
        CLEANUP(finding_book_freep)
        struct finding_book *book = NULL;
        struct finding seen = fault_at("d0", 1, 0, 4096);
        uint64_t told = 0;
        seen.id = 7;
        seen.told_us = 3000;
        ck_assert_int_eq(finding_book_new(&book, 1), 0);
        ck_assert_int_eq(finding_book_load(book, &seen), 0);
        seen.id = 8;
        seen.place.offset_bytes = 1 << 20;
        seen.told_us = UINT64_C(1) << 60; /* by a clock that was wrong */
        ck_assert_int_eq(finding_book_load(book, &seen), 0);
        ck_assert_uint_eq(finding_book_remind(book, 500, 3499, note_told, &told), 0);
        ck_assert_uint_eq(finding_book_remind(book, 500, 3500, note_told, &told), 1);
        ck_assert_uint_eq(told, 7);
        ck_assert_uint_eq(finding_book_remind(book, 500, 3999, note_told, &told), 1);
        ck_assert_uint_eq(told, 8);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("finding_book");
        tcase_add_test(tests, the_book_does_what_the_clear_one_does);
        tcase_add_test(tests, a_run_that_grows_stays_one_finding);
        tcase_add_test(tests, another_run_of_the_same_sweep_is_another_finding);
        tcase_add_test(tests, what_was_acknowledged_is_open_again_when_it_grows);
        tcase_add_test(tests, what_was_acknowledged_stays_so_when_it_is_seen_again);
        tcase_add_test(tests, other_devices_targets_and_faults_are_other_findings);
        tcase_add_test(tests, a_replaced_disk_takes_its_findings_with_it);
        tcase_add_test(tests, a_sweep_that_did_not_reach_a_place_resolves_nothing_there);
        tcase_add_test(tests, a_sweep_that_can_not_tell_spares_one_fault_and_no_other);
        tcase_add_test(tests, a_hundred_thousand_findings_and_a_burst_stay_fast);
        tcase_add_test(tests, an_open_finding_is_told_again_after_each_repeat);
        tcase_add_test(tests, an_acknowledged_finding_is_silent_until_it_grows);
        tcase_add_test(tests, what_was_told_before_a_restart_is_told_again_in_its_time);
        return suite_run("finding_book", tests);
}
