/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is put back, on what, and what stands against it: a target and a journal in memory, with the real recovery
 * between them. The linker leads here what opens, identifies and locks them.
 */
#include "memory_engine.h"
#include "sweep/mend.h"

#include "base/clock.h"
#include "base/text.h"
#include "media/engine_libaio.h"
#include "media/target.h"
#include "sweep/content.h"
#include "sweep/undo_note.h"
#include "sweep/undo_store.h"

#include <sys/eventfd.h>

enum { SEGMENT = 64 << 10, SIZE = 4 * SEGMENT, AT = SEGMENT, LOOKS_MAX = 1000 };

#define JOURNAL_ID UINT64_C(0x55)

static struct memory_crash crash;
static struct memory_engine target, journal;
static struct target_facts facts;
static struct device_config config;
static uint8_t originals[SIZE];
static struct undo_head head;
static struct mend_result result;
static struct reason reason;
static uint64_t now_us;
static unsigned looks, journal_looks, waits, notes, opened, closed;
static bool owed;
static int wake_fd;

/* What each step answers. */
static struct {
        int store, state, target, lock, target_engine, journal_engine, recovery;
        unsigned states;     /* that are told before state fails */
        unsigned locked_for; /* tries to lock */
        bool other_target, no_patience, ends_at_once;
        unsigned may_go_on; /* so often; 0: for ever */
        unsigned stuck;     /* nothing comes back until so many looks */
        bool wakes;
        int note, removal;
        unsigned shelved;
} answers;

static struct undo_note noted;
static unsigned notes_removed;

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker's names */
int __real_recovery_new(struct recovery **ret, const struct recovery_options *options);
int __wrap_undo_store_open(struct undo_store **ret, struct reason *why, const struct undo_store_options *options);
int __wrap_undo_store_state(const struct undo_store *s, struct undo_store_state *ret);
const struct undo_head *__wrap_undo_store_head(const struct undo_store *s);
bool __wrap_undo_store_is_of(const struct undo_store *s, const struct target_facts *of);
int __wrap_undo_store_engine(struct undo_store *s, struct engine **ret, unsigned depth, int fd);
struct undo_store *__wrap_undo_store_close(struct undo_store *s);
int __wrap_target_open(struct target **ret, struct reason *why, const struct target_options *options);
const struct target_facts *__wrap_target_facts(const struct target *t);
int __wrap_target_lock(struct target *t, struct reason *why);
struct target *__wrap_target_close(struct target *t);
int __wrap_engine_libaio_of_target(struct engine **ret, struct target *t, unsigned depth, int fd);
int __wrap_recovery_new(struct recovery **ret, const struct recovery_options *options);
uint64_t __wrap_clock_monotonic_us(void);
int __wrap_undo_note_read(struct undo_note *ret, const char *directory, const char *device);
int __wrap_undo_note_remove(const char *directory, const char *device);

int __wrap_undo_note_read(struct undo_note *ret, const char *directory, const char *device) {
        ck_assert_str_eq(directory, "/state/undo");
        ck_assert_str_eq(device, "d");
        if (answers.note == UNDO_NOTE_OK)
                *ret = noted;
        return answers.note;
}

int __wrap_undo_note_remove(const char *directory, const char *device) {
        ck_assert_str_eq(directory, "/state/undo");
        ck_assert_str_eq(device, "d");
        notes_removed++;
        return answers.removal;
}

int __wrap_undo_store_open(struct undo_store **ret, struct reason *why, const struct undo_store_options *options) {
        ck_assert(!options->make && !options->look_only);
        ck_assert_str_eq(options->journal, answers.note == UNDO_NOTE_OK ? noted.journal : "/state/undo");
        ck_assert_str_eq(options->device, "d");
        if (answers.store == UNDO_STORE_E_REFUSED)
                reason_set(why, "journal_damaged", "Look.", "It is damaged.");
        if (answers.store != UNDO_STORE_OK)
                return answers.store;
        opened++;
        *ret = (struct undo_store *)(void *)&journal;
        return UNDO_STORE_OK;
}

int __wrap_undo_store_state(const struct undo_store *s, struct undo_store_state *ret) {
        ck_assert_ptr_eq(s, &journal);
        if (answers.state < 0 && answers.states-- == 0)
                return answers.state;
        *ret = (struct undo_store_state){ .shelved = answers.shelved };
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++) {
                struct undo_marker best = { 0 }, m;
                for (unsigned copy = 0; copy < UNDO_MARKER_COPIES; copy++)
                        if (undo_marker_read(&m, journal.bytes + undo_marker_offset(SEGMENT, slot, copy), JOURNAL_ID) &&
                                m.sequence > best.sequence)
                                best = m;
                ret->armed += best.state == UNDO_ARMED;
                ret->pinned += best.state == UNDO_PINNED;
                ret->unknown += best.sequence == 0; /* none of the test's own */
        }
        return 0;
}

const struct undo_head *__wrap_undo_store_head(const struct undo_store *s) {
        ck_assert_ptr_eq(s, &journal);
        return &head;
}

bool __wrap_undo_store_is_of(const struct undo_store *s, const struct target_facts *of) {
        ck_assert_ptr_eq(s, &journal);
        ck_assert_ptr_eq(of, &facts);
        return !answers.other_target;
}

int __wrap_undo_store_engine(struct undo_store *s, struct engine **ret, unsigned depth, int fd) {
        ck_assert(depth > 0 && fd == wake_fd);
        if (answers.journal_engine == 0)
                *ret = &journal.engine;
        return answers.journal_engine;
}

struct undo_store *__wrap_undo_store_close(struct undo_store *s) {
        closed += s != NULL;
        return NULL;
}

int __wrap_target_open(struct target **ret, struct reason *why, const struct target_options *options) {
        ck_assert(options->writable);
        ck_assert_str_eq(options->path, "/dev/disk");
        if (answers.target > 0)
                reason_set(why, "missing", "Plug it in.", "It is not there.");
        if (answers.target != TARGET_OK)
                return answers.target;
        opened++;
        *ret = (struct target *)(void *)&target;
        return TARGET_OK;
}

const struct target_facts *__wrap_target_facts(const struct target *t) {
        ck_assert_ptr_eq(t, &target);
        return &facts;
}

int __wrap_target_lock(struct target *t, struct reason *why) {
        ck_assert_ptr_eq(t, &target);
        now_us += 3 * USEC_PER_SEC;
        if (answers.locked_for > 0) {
                answers.locked_for--;
                reason_set(why, "in_use", "End it.", "Somebody holds it.");
                return TARGET_E_BUSY;
        }
        return answers.lock;
}

struct target *__wrap_target_close(struct target *t) {
        closed += t != NULL;
        return NULL;
}

int __wrap_engine_libaio_of_target(struct engine **ret, struct target *t, unsigned depth, int fd) {
        ck_assert_ptr_eq(t, &target);
        ck_assert(depth > 0 && fd == wake_fd);
        if (answers.target_engine == 0)
                *ret = &target.engine;
        return answers.target_engine;
}

int __wrap_recovery_new(struct recovery **ret, const struct recovery_options *options) {
        ck_assert(!options->alone && !options->unflushed);
        return answers.recovery < 0 ? answers.recovery : __real_recovery_new(ret, options);
}

uint64_t __wrap_clock_monotonic_us(void) {
        return now_us;
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* The engines are the test's own. */
static struct engine *keep(struct engine *engine) {
        (void)engine;
        return NULL;
}

static void plant(unsigned slot, enum undo_state state) {
        struct undo_marker m = {
                .sequence = 5 + slot,
                .record = 9 + slot,
                .slot = slot,
                .state = state,
                .mode = MODE_REFRESH,
                .place = { AT + slot * SEGMENT, SEGMENT },
        };
        struct undo_table table;
        uint8_t *page = journal.bytes + undo_table_offset(SEGMENT, slot);
        ck_assert_int_eq(undo_table_init(&table, undo_units(SEGMENT)), 0);
        table.units = undo_units(SEGMENT);
        for (size_t i = 0; i < table.units; i++)
                table.crcs[i] = undo_crc(originals + m.place.offset_bytes + i * UNIT_BYTES, UNIT_BYTES);
        memcpy(journal.bytes + undo_data_offset(SEGMENT, slot), originals + m.place.offset_bytes, SEGMENT);
        undo_table_write(page, JOURNAL_ID, m.record, &table, 0);
        m.table_crc = undo_table_crc(0, page);
        undo_table_deinit(&table);
        for (unsigned copy = 0; copy < UNDO_MARKER_COPIES; copy++)
                undo_marker_write(journal.bytes + undo_marker_offset(SEGMENT, slot, copy), JOURNAL_ID, &m);
}

static void setup(void) {
        noted = (struct undo_note){ .journal = "/srv/before", .journal_id = JOURNAL_ID };
        notes_removed = 0;
        static struct engine_ops ops;
        uint64_t random = 1;
        memset(&answers, 0, sizeof answers);
        answers.note = UNDO_NOTE_E_NONE;
        ops = memory_ops;
        ops.free = keep;
        crash = (struct memory_crash){ 0 };
        memory_init(&target, SIZE, &crash, 1);
        memory_init(&journal, undo_journal_bytes(SEGMENT), &crash, 2);
        target.engine.ops = journal.engine.ops = &ops;
        for (size_t i = 0; i < SIZE; i++)
                originals[i] = (uint8_t)suite_random(&random);
        memcpy(target.bytes, originals, SIZE);
        head = (struct undo_head){ .journal_id = JOURNAL_ID, .segment_bytes = SEGMENT, .target_bytes = SIZE };
        text_copy(head.device, sizeof head.device, "d");
        facts = (struct target_facts){ .size_bytes = SIZE, .logical_block_bytes = 512 };
        config = (struct device_config){ .block_size_bytes = 16 << 10 };
        static char path[] = "/dev/disk";
        text_copy(config.name, sizeof config.name, "d");
        config.path = path;
        plant(0, UNDO_FREE);
        plant(1, UNDO_FREE);
        now_us = 1;
        looks = journal_looks = waits = notes = opened = closed = 0;
        owed = false;
        wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        ck_assert_int_ge(wake_fd, 0);
}

static void teardown(void) {
        close(wake_fd);
        memory_deinit(&target);
        memory_deinit(&journal);
}

static void take_note(void *userdata, const struct recovery_note *note) {
        (void)userdata;
        (void)note;
        notes++;
}

static bool may_go_on(void *userdata, const struct engine_io *oldest, bool on_journal) {
        (void)userdata;
        if (on_journal && !oldest) { /* it is about to be opened, or read */
                journal_looks++;
                return false;
        }
        looks++;
        ck_assert_uint_lt(looks, LOOKS_MAX);
        target.is_stuck = looks < answers.stuck;
        owed |= oldest != NULL;
        if (answers.wakes)
                ck_assert_int_eq(eventfd_write(wake_fd, 1), 0);
        return !answers.ends_at_once && (answers.may_go_on == 0 || looks <= answers.may_go_on);
}

static bool may_wait(void *userdata) {
        (void)userdata;
        waits++;
        return !answers.no_patience;
}

static int mend(bool by_hand) {
        struct mend_options options = {
                .config = &config,
                .state_dir = "/state",
                .by_hand = by_hand,
                .wake_fd = wake_fd,
                .note = take_note,
                .may_go_on = may_go_on,
                .may_wait = may_wait,
        };
        int r = mend_run(&result, &reason, &options);
        ck_assert_uint_eq(opened, closed);
        ck_assert(r == MEND_OK || reason.rule[0] || answers.may_go_on > 0 || answers.ends_at_once);
        return r;
}

/* Somebody's bytes are where originals were. */
static void overwrite(uint64_t at) {
        memset(target.bytes + at, 'x', UNIT_BYTES);
}

START_TEST(a_journal_is_where_the_configuration_says) {
        static char own[] = "/srv/undo";
        char path[PATH_MAX];
        mend_journal_path(path, &config, "/state");
        ck_assert_str_eq(path, "/state/undo");
        config.journal = own;
        mend_journal_path(path, &config, "/state");
        ck_assert_str_eq(path, "/srv/undo");
}
END_TEST

START_TEST(without_a_journal_or_anything_in_it_nothing_is_opened) {
        ck_assert_int_eq(mend(false), MEND_OK);
        ck_assert(!result.tried);
        ck_assert_uint_eq(opened, 1);
        ck_assert_uint_eq(journal_looks, 2);
        answers.store = UNDO_STORE_E_NONE;
        ck_assert_int_eq(mend(true), MEND_OK);
        ck_assert_uint_eq(looks, 0);
}
END_TEST

/* Not to see it does not mean that it is empty. */
START_TEST(a_journal_that_was_noted_and_is_not_there_stands_against_it) {
        answers.note = UNDO_NOTE_OK;
        answers.store = UNDO_STORE_E_NONE;
        ck_assert_int_eq(mend(false), MEND_E_REFUSED);
        ck_assert_str_eq(reason.rule, "journal_missing");
        ck_assert_ptr_nonnull(strstr(reason.found, "/srv/before"));
        answers.store = UNDO_STORE_OK;
        noted.journal_id++; /* another one is there */
        ck_assert_int_eq(mend(false), MEND_E_REFUSED);
        ck_assert_str_eq(reason.rule, "journal_missing");
        answers.note = UNDO_NOTE_E_DAMAGED;
        ck_assert_int_eq(mend(false), MEND_E_REFUSED);
        ck_assert_str_eq(reason.rule, "journal_damaged");
        answers.note = -EIO;
        ck_assert_int_eq(mend(false), -EIO);
        ck_assert_uint_eq(notes_removed, 0);
}
END_TEST

START_TEST(what_was_noted_is_worked_through_wherever_it_is_and_the_note_goes_with_the_last_of_it) {
        plant(0, UNDO_ARMED);
        answers.note = UNDO_NOTE_OK;
        answers.shelved = 1;
        ck_assert_int_eq(mend(false), MEND_OK);
        ck_assert(result.tried);
        ck_assert_uint_eq(notes_removed, 0);
        answers.shelved = 0;
        ck_assert_int_eq(mend(false), MEND_OK);
        ck_assert_uint_eq(notes_removed, 1);
        answers.removal = -EROFS;
        ck_assert_int_eq(mend(false), -EROFS);
        plant(1, UNDO_PINNED);
        ck_assert_int_eq(mend(false), MEND_E_REFUSED);
        ck_assert_uint_eq(notes_removed, 2);
}
END_TEST

START_TEST(what_is_armed_is_put_back) {
        plant(0, UNDO_ARMED);
        target.rules[0] = (struct memory_rule){ MEMORY_HEALS, ENGINE_READ, AT + 512, AT + 1024, 0, UINT32_MAX, EIO };
        memset(target.bytes + AT + 512, 0, 512);
        ck_assert_int_eq(mend(false), MEND_OK);
        ck_assert(result.tried);
        ck_assert_uint_eq(result.recovery.slots_freed, 1);
        ck_assert_uint_eq(result.left_armed + result.left_pinned, 0);
        ck_assert_uint_eq(notes, 1);
        ck_assert(memcmp(target.bytes, originals, SIZE) == 0);
}
END_TEST

START_TEST(a_slot_of_which_nobody_knows_stands_against_it_and_the_other_one_goes_back) {
        plant(1, UNDO_ARMED);
        for (unsigned copy = 0; copy < UNDO_MARKER_COPIES; copy++)
                memset(journal.bytes + undo_marker_offset(SEGMENT, 0, copy), 1, UNDO_PAGE_BYTES);
        target.rules[0] = (struct memory_rule){ MEMORY_HEALS, ENGINE_READ, AT + SEGMENT, AT + SEGMENT + 512, 0,
                UINT32_MAX, EIO };
        memset(target.bytes + AT + SEGMENT, 0, 512);
        ck_assert_int_eq(mend(false), MEND_E_REFUSED);
        ck_assert_str_eq(reason.rule, "journal_damaged");
        ck_assert_uint_eq(result.recovery.slots_freed, 1);
        ck_assert(memcmp(target.bytes, originals, SIZE) == 0);
}
END_TEST

START_TEST(what_is_somebody_elses_is_left_to_a_person) {
        plant(0, UNDO_ARMED);
        overwrite(AT);
        ck_assert_int_eq(mend(false), MEND_E_REFUSED);
        ck_assert_str_eq(reason.rule, "rescue");
        ck_assert_uint_eq(result.left_pinned, 1);
        opened = closed = 0;
        ck_assert_int_eq(mend(false), MEND_E_REFUSED); /* by itself it is not taken up again, */
        ck_assert(!result.tried);
        ck_assert_uint_eq(opened, 1);
        memcpy(target.bytes, originals, SIZE);
        ck_assert_int_eq(mend(true), MEND_OK); /* but by hand */
        ck_assert(result.tried);
}
END_TEST

START_TEST(what_can_not_be_opened_stands_against_it) {
        plant(0, UNDO_ARMED);
        answers.store = UNDO_STORE_E_REFUSED;
        ck_assert_int_eq(mend(false), MEND_E_REFUSED);
        ck_assert_str_eq(reason.rule, "journal_damaged");
        answers.store = -EIO;
        ck_assert_int_eq(mend(false), -EIO);
        ck_assert_str_eq(reason.rule, "recovery");
        answers.store = UNDO_STORE_OK;
        answers.target = TARGET_E_MISSING;
        ck_assert_int_eq(mend(false), MEND_E_REFUSED);
        ck_assert_str_eq(reason.rule, "missing");
        ck_assert_uint_eq(result.left_armed, 1);
        answers.target = -EMFILE;
        ck_assert_int_eq(mend(false), -EMFILE);
        answers.target = TARGET_OK;
        answers.other_target = true;
        ck_assert_int_eq(mend(false), MEND_E_REFUSED);
        ck_assert_str_eq(reason.rule, "recovery");
        ck_assert_uint_eq(target.reads + target.writes, 0);
}
END_TEST

START_TEST(blocks_larger_than_a_unit_are_left_to_a_person) {
        plant(0, UNDO_ARMED);
        facts.logical_block_bytes = 8192;
        ck_assert_int_eq(mend(false), MEND_E_REFUSED);
        ck_assert_str_eq(reason.rule, "logical_block");
}
END_TEST

START_TEST(a_lock_of_somebody_else_is_waited_for_a_while) {
        static const struct {
                unsigned tries;
                bool no_patience, ends;
                const char *rule;
        } cases[] = { { 2, false, false, NULL }, { 90, false, false, "recovery_busy" },
                { 1, true, false, "recovery_busy" }, { 1, false, true, NULL } };
        plant(0, UNDO_ARMED);
        answers.locked_for = cases[_i].tries;
        answers.no_patience = cases[_i].no_patience;
        answers.may_go_on = cases[_i].ends ? 2 : 0; /* the device is opened, locking is tried once */
        ck_assert_int_eq(mend(false), _i == 0 ? MEND_OK : MEND_E_REFUSED);
        ck_assert(result.tried == (_i == 0));
        ck_assert_uint_eq(waits, _i == 0 ? 2 : _i == 1 ? 3 : 1);
        if (cases[_i].rule)
                ck_assert_str_eq(reason.rule, cases[_i].rule);
        ck_assert_uint_eq(target.reads + target.writes, _i == 0 ? target.reads : 0);
}
END_TEST

START_TEST(an_unexpected_error_leaves_it_armed) {
        int *const steps[] = { &answers.lock, &answers.target_engine, &answers.journal_engine, &answers.recovery };
        plant(0, UNDO_ARMED);
        for (size_t i = 0; i < ELEMENTS(steps); i++) {
                *steps[i] = -ENOMEM;
                ck_assert_int_eq(mend(false), -ENOMEM);
                ck_assert_str_eq(reason.rule, "recovery");
                ck_assert(!result.tried);
                *steps[i] = 0;
        }
        answers.state = -EIO;
        for (unsigned i = 0; i < 2; i++) { /* before it, and after it */
                answers.states = i;
                ck_assert_int_eq(mend(false), -EIO);
                ck_assert(result.tried == (i == 1));
        }
}
END_TEST

START_TEST(who_is_told_to_end_leaves_it_armed) {
        plant(0, UNDO_ARMED);
        answers.ends_at_once = true;
        ck_assert_int_eq(mend(false), MEND_E_REFUSED);
        ck_assert_uint_eq(opened, 1);
        answers.ends_at_once = false;
        for (unsigned after = 1; after < 3; after++) {
                looks = 0;
                answers.may_go_on = after;
                ck_assert_int_eq(mend(false), MEND_E_REFUSED);
                ck_assert_uint_eq(result.left_armed, 1);
        }
        looks = 0;
        answers.may_go_on = 4;
        ck_assert_int_eq(mend(false), MEND_E_REFUSED);
        ck_assert(result.tried);
        ck_assert_str_eq(reason.rule, "recovery");
        ck_assert_uint_eq(result.left_armed, 1);
        looks = 0;
        answers.may_go_on = 0;
        ck_assert_int_eq(mend(false), MEND_OK);
}
END_TEST

/* With an event for each look at it, or none. */
START_TEST(what_a_disk_owes_is_waited_for) {
        plant(0, UNDO_ARMED);
        answers.stuck = 12;
        answers.wakes = _i;
        ck_assert_int_eq(mend(false), MEND_OK);
        ck_assert(owed);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("mend");
        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, a_journal_is_where_the_configuration_says);
        tcase_add_test(tests, without_a_journal_or_anything_in_it_nothing_is_opened);
        tcase_add_test(tests, a_journal_that_was_noted_and_is_not_there_stands_against_it);
        tcase_add_test(tests, what_was_noted_is_worked_through_wherever_it_is_and_the_note_goes_with_the_last_of_it);
        tcase_add_test(tests, what_is_armed_is_put_back);
        tcase_add_test(tests, a_slot_of_which_nobody_knows_stands_against_it_and_the_other_one_goes_back);
        tcase_add_test(tests, what_is_somebody_elses_is_left_to_a_person);
        tcase_add_test(tests, what_can_not_be_opened_stands_against_it);
        tcase_add_test(tests, blocks_larger_than_a_unit_are_left_to_a_person);
        tcase_add_loop_test(tests, a_lock_of_somebody_else_is_waited_for_a_while, 0, 4);
        tcase_add_test(tests, an_unexpected_error_leaves_it_armed);
        tcase_add_test(tests, who_is_told_to_end_leaves_it_armed);
        tcase_add_loop_test(tests, what_a_disk_owes_is_waited_for, 0, 2);
        return suite_run("mend", tests);
}
