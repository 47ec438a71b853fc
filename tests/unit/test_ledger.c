/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger through its queues: what was acknowledged is there afterwards, whatever happened in between: a kill, a
 * damaged file, a full disk. Each test has a directory of its own.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/queue.h"
#include "base/text.h"
#include "report/ledger.h"
#include "report/ledger_file.h"
#include "suite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum { CAPACITY = 256, KILLS = 50, DAMAGES = 60 };

#define KEY      "wwn:0x5000c500a1b2c3d4"
#define FOREVER  (60 * USEC_PER_SEC)
#define PAST_TRY (1100 * USEC_PER_MSEC) /* opening is tried once a second */

static char directory[64];
static struct queue *answers;
static struct ledger *ledger;

static void sleep_us(uint64_t us) {
        struct timespec t = { (time_t)(us / USEC_PER_SEC), (long)(us % USEC_PER_SEC * 1000) };
        nanosleep(&t, NULL);
}

static void in_directory(char *path, size_t path_bytes, const char *name) {
        text_format(path, path_bytes, "%s/%s", directory, name);
}

static void remove_directory(void) {
        DIR *d = opendir(directory);
        for (struct dirent *e; d && (e = readdir(d));)
                unlinkat(dirfd(d), e->d_name, 0);
        if (d)
                closedir(d);
        rmdir(directory);
}

static void setup(void) {
        text_format(directory, sizeof directory, "/tmp/sweepd-ledger-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(directory));
        ck_assert_int_eq(queue_new(&answers, CAPACITY + 1, -1), 0);
        ledger = NULL;
}

static void close_ledger(void) {
        ck_assert_int_eq(ledger_free(ledger, FOREVER), 0);
        ledger = NULL;
}

static void teardown(void) {
        close_ledger();
        void *item;
        while (queue_try_pop(answers, &item, 1) > 0)
                ledger_request_free(item);
        queue_free(answers);
        remove_directory();
}

static struct ledger_request *receive(void) {
        void *item = NULL;
        ck_assert_uint_eq(queue_pop(answers, &item, 1), 1);
        return item;
}

static struct ledger_request *open_ledger(void) {
        ck_assert_int_eq(ledger_new(&ledger, directory, CAPACITY, answers), 0);
        struct ledger_request *load = receive();
        ck_assert_int_eq(load->op, LEDGER_LOAD);
        return load;
}

static void open_quietly(void) {
        struct ledger_request *load = open_ledger();
        ck_assert_msg(load->status == 0, "%s", load->text);
        ledger_request_free(load);
}

static struct ledger_request *make(enum ledger_op op) {
        struct ledger_request *request;
        ck_assert_int_eq(ledger_request_new(&request, op), 0);
        request->at_us = 1000;
        return request;
}

static struct ledger_request *call(struct ledger_request *request) {
        ck_assert(ledger_send(ledger, request));
        struct ledger_request *answer = receive();
        ck_assert_ptr_eq(answer, request);
        return answer;
}

/* The status alone. */
static int call_status(struct ledger_request *request) {
        int status = call(request)->status;
        ledger_request_free(request);
        return status;
}

static struct ledger_request *identify(const char *key) {
        struct ledger_request *request = make(LEDGER_IDENTIFY);
        text_copy(request->key, sizeof request->key, key);
        request->size_bytes = 1 << 30;
        request->extent = (struct extent){ 0, 1 << 30 };
        call(request);
        ck_assert_msg(request->status == 0, "%s", request->text);
        return request;
}

static uint64_t row_of(const char *key) {
        struct ledger_request *request = identify(key);
        uint64_t row = request->target->row;
        ledger_request_free(request);
        return row;
}

static struct ledger_request *sweep_request(enum ledger_op op, uint64_t id, const char *device) {
        struct ledger_request *request = make(op);
        request->sweep = (struct sweep_record){
                .id = id, .target_row = 1, .mode = MODE_PATTERN, .started_us = 100 * id
        };
        text_copy(request->sweep.device, sizeof request->sweep.device, device);
        if (op == LEDGER_SWEEP_ENDED) {
                request->sweep.ended_us = 100 * id + 50;
                request->sweep.end = END_FINISHED;
                request->sweep.verdict = VERDICT_CLEAN;
                request->sweep.assurance = ASSURANCE_VERIFIED;
        }
        return request;
}

static struct ledger_request *finding_request(uint64_t id, const char *device) {
        struct ledger_request *request = make(LEDGER_FINDING);
        struct finding *f = &request->finding;
        f->id = id;
        f->sweep_id = 1;
        f->target_row = UINT64_MAX - id;
        f->place = (struct extent){ 4096 * id, 4096 };
        f->fault = (enum fault)(id % FAULT_COUNT);
        f->persistence = (enum persistence)(id % PERSISTENCE_COUNT);
        f->count = 3 * id;
        f->sample.length_bytes = FINDING_SAMPLE_BYTES;
        memset(f->sample.expected, 0xa5, sizeof f->sample.expected);
        memset(f->sample.found, (int)(id % 251), sizeof f->sample.found);
        f->told_us = 5000 + id;
        text_copy(f->device, sizeof f->device, device);
        text_format(f->text, sizeof f->text, "unit %" PRIu64, id);
        detail_set(&f->detail, "bits", "%" PRIu64, id);
        return request;
}

static struct ledger_request *mark_request(
        uint64_t row, uint64_t generation, struct extent settled, struct extent ahead) {
        struct ledger_request *request = make(LEDGER_MARK);
        request->target_row = row;
        request->mark = (struct ledger_mark){ 77, generation, UINT64_MAX - generation, 5000, settled, ahead };
        return request;
}

static void stamp(uint64_t row, uint64_t generation) {
        struct ledger_request *request = make(LEDGER_STAMP);
        request->target_row = row;
        request->mark = (struct ledger_mark){ .target_id = 77, .generation = generation };
        ck_assert_int_eq(call_status(request), 0);
}

static size_t count_files(const char *prefix) {
        size_t n = 0;
        DIR *d = opendir(directory);
        ck_assert_ptr_nonnull(d);
        for (struct dirent *e; (e = readdir(d));)
                n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
        closedir(d);
        return n;
}

static size_t read_file(const char *name, uint8_t *to, size_t to_bytes) {
        char path[PATH_MAX];
        in_directory(path, sizeof path, name);
        CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : pread(fd, to, to_bytes, 0);
        return n > 0 ? (size_t)n : 0;
}

static void overwrite(uint64_t offset, const void *bytes, size_t count) {
        char path[PATH_MAX];
        in_directory(path, sizeof path, "ledger.db");
        CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
        ck_assert_int_eq(pwrite(fd, bytes, count, (off_t)offset), (ssize_t)count);
}

/* What is kept. */

START_TEST(a_new_ledger_starts_from_one_and_is_its_owners_alone) {
        struct ledger_request *load = open_ledger();
        ck_assert_int_eq(load->status, 0);
        ck_assert_int_eq(load->load.state, LEDGER_GOOD);
        ck_assert_uint_eq(load->load.next_sweep_id, 1);
        ck_assert_uint_eq(load->load.next_finding_id, 1);
        ck_assert_uint_eq(load->load.next_event_id, 1);
        ledger_request_free(load);
        char path[PATH_MAX];
        in_directory(path, sizeof path, "ledger.db");
        struct stat status;
        ck_assert_int_eq(stat(path, &status), 0);
        ck_assert_uint_eq(status.st_mode & 0777, 0600);
}
END_TEST

START_TEST(a_finding_comes_back_as_it_was) {
        open_quietly();
        ck_assert_int_eq(call_status(finding_request(7, "sda")), 0);
        close_ledger();
        struct ledger_request *load = open_ledger(), *sent = finding_request(7, "sda");
        ck_assert_uint_eq(load->load.finding_count, 1);
        const struct finding *a = &sent->finding, *b = &load->load.findings[0];
        ck_assert_mem_eq(a, b, sizeof *a);
        ck_assert_uint_eq(load->load.next_finding_id, 8);
        ledger_request_free(sent);
        ledger_request_free(load);
}
END_TEST

START_TEST(a_finding_is_replaced_by_its_id_and_leaves_the_load_when_it_is_over) {
        open_quietly();
        ck_assert_int_eq(call_status(finding_request(1, "sda")), 0);
        ck_assert_int_eq(call_status(finding_request(2, "sda")), 0);
        struct ledger_request *request = finding_request(1, "sda");
        request->finding.state = FINDING_RESOLVED;
        ck_assert_int_eq(call_status(request), 0);
        close_ledger();
        struct ledger_request *load = open_ledger();
        ck_assert_uint_eq(load->load.finding_count, 1);
        ck_assert_uint_eq(load->load.findings[0].id, 2);
        ck_assert_uint_eq(load->load.device_count, 1);
        ck_assert_uint_eq(load->load.devices[0].findings_resolved, 1);
        ledger_request_free(load);
        request = make(LEDGER_GET_FINDING);
        request->page_after = 1;
        call(request);
        ck_assert_uint_eq(request->page_count, 1);
        ck_assert_int_eq(request->findings[0].state, FINDING_RESOLVED);
        ledger_request_free(request);
        request = make(LEDGER_GET_FINDING);
        request->page_after = 99;
        call(request);
        ck_assert_int_eq(request->status, 0);
        ck_assert_uint_eq(request->page_count, 0);
        ledger_request_free(request);
}
END_TEST

START_TEST(pages_of_findings_go_upwards_and_know_device_and_state) {
        open_quietly();
        for (uint64_t id = 1; id <= 20; id++) {
                struct ledger_request *request = finding_request(id, id % 2 ? "sda" : "sdb");
                request->finding.state = id <= 10 ? FINDING_RETIRED : FINDING_ACKNOWLEDGED;
                ck_assert_int_eq(call_status(request), 0);
        }
        struct ledger_request *request = make(LEDGER_LIST_FINDINGS);
        request->page_after = 3;
        request->page_max = 4;
        request->page_all = true;
        text_copy(request->page_device, sizeof request->page_device, "sda");
        call(request);
        ck_assert_uint_eq(request->page_count, 4);
        for (size_t i = 0; i < 4; i++)
                ck_assert_uint_eq(request->findings[i].id, 5 + 2 * i);
        ledger_request_free(request);
        request = make(LEDGER_LIST_FINDINGS);
        request->page_max = LEDGER_PAGE;
        call(request);
        ck_assert_uint_eq(request->page_count, 10);
        ck_assert_uint_eq(request->findings[0].id, 11);
        ledger_request_free(request);
}
END_TEST

START_TEST(pages_of_sweeps_hold_the_newest_in_their_order) {
        open_quietly();
        for (uint64_t id = 1; id <= 9; id++)
                ck_assert_int_eq(call_status(sweep_request(LEDGER_SWEEP_ENDED, id, id % 3 ? "sda" : "sdb")), 0);
        struct ledger_request *request = make(LEDGER_LIST_SWEEPS);
        request->page_max = 2;
        request->page_newest = true;
        call(request);
        ck_assert_uint_eq(request->page_count, 2);
        ck_assert_uint_eq(request->sweeps[0].id, 8);
        ck_assert_uint_eq(request->sweeps[1].id, 9);
        ledger_request_free(request);
        request = make(LEDGER_LIST_SWEEPS);
        request->page_max = 2;
        request->page_after = 2;
        text_copy(request->page_device, sizeof request->page_device, "sdb");
        call(request);
        ck_assert_uint_eq(request->page_count, 2);
        ck_assert_uint_eq(request->sweeps[0].id, 3);
        ck_assert_uint_eq(request->sweeps[1].id, 6);
        ledger_request_free(request);
        request = make(LEDGER_LIST_SWEEPS);
        ck_assert_int_eq(call_status(request), -EINVAL); /* a page of none */
        request = make(LEDGER_GET_SWEEP);
        request->page_after = 4;
        call(request);
        ck_assert_uint_eq(request->page_count, 1);
        ck_assert_int_eq(request->sweeps[0].mode, MODE_PATTERN);
        ck_assert_int_eq(request->sweeps[0].assurance, ASSURANCE_VERIFIED);
        ledger_request_free(request);
}
END_TEST

START_TEST(a_target_keeps_its_id_generation_and_ranges) {
        open_quietly();
        uint64_t row = row_of(KEY);
        ck_assert_uint_ne(row, row_of("other"));
        stamp(row, 3);
        ck_assert_int_eq(
                call_status(mark_request(row, 3, (struct extent){ 0, 4096 }, (struct extent){ 4096, 4096 })), 0);
        ck_assert_int_eq(
                call_status(mark_request(row, 3, (struct extent){ 4096, 4096 }, (struct extent){ 8192, 4096 })), 0);
        close_ledger();
        open_quietly();
        struct ledger_request *request = identify(KEY);
        const struct target_record *t = request->target;
        ck_assert_uint_eq(t->row, row);
        ck_assert_uint_eq(t->target_id, 77);
        ck_assert_uint_eq(t->last_generation, 3);
        ck_assert_uint_eq(t->range_count, 2);
        ck_assert_uint_eq(t->ranges[0].extent.length_bytes, 8192);
        ck_assert_uint_eq(t->ranges[0].nonce, UINT64_MAX - 3);
        ck_assert_uint_eq(t->ranges[0].started_us, 5000);
        ck_assert(t->ranges[0].settled);
        ck_assert(!t->ranges[1].settled);
        ledger_request_free(request);
        request = make(LEDGER_FORGET);
        request->target_row = row;
        request->mark.clears = (struct extent){ 4096, INT64_MAX - 4096 };
        ck_assert_int_eq(call_status(request), 0);
        request = identify(KEY);
        ck_assert_uint_eq(request->target->range_count, 1); /* what lies elsewhere stays */
        ck_assert_uint_eq(request->target->ranges[0].extent.length_bytes, 4096);
        ledger_request_free(request);
        request = make(LEDGER_FORGET);
        request->target_row = row;
        request->mark.clears = (struct extent){ 0, INT64_MAX };
        ck_assert_int_eq(call_status(request), 0);
        request = identify(KEY);
        ck_assert_uint_eq(request->target->range_count, 0);
        ck_assert_uint_eq(request->target->last_generation, 3);
        ledger_request_free(request);
}
END_TEST

START_TEST(a_target_knows_the_generations_of_its_last_sweeps) {
        open_quietly();
        uint64_t row = row_of(KEY), other = row_of("other");
        for (uint64_t id = 1; id <= 8; id++) {
                struct ledger_request *request = sweep_request(LEDGER_SWEEP_ENDED, id, "sda");
                request->sweep.target_row = id == 7 ? other : row;
                request->sweep.generation = id == 6 ? 0 : id; /* the sixth wrote nothing */
                request->sweep.nonce = UINT64_MAX - id;
                request->sweep.started_us = 1000 * id;
                ck_assert_int_eq(call_status(request), 0);
        }
        struct ledger_request *request = identify(KEY);
        static const uint64_t ids[] = { 8, 5, 4, 3 };
        ck_assert_uint_eq(request->target->past_count, TARGET_PAST_MAX);
        for (size_t i = 0; i < TARGET_PAST_MAX; i++) {
                ck_assert_uint_eq(request->target->past[i].generation, ids[i]);
                ck_assert_uint_eq(request->target->past[i].nonce, UINT64_MAX - ids[i]);
                ck_assert_uint_eq(request->target->past[i].started_us, 1000 * ids[i]);
        }
        ledger_request_free(request);
}
END_TEST

START_TEST(a_mark_that_can_not_be_true_is_refused_and_changes_nothing) {
        open_quietly();
        uint64_t row = row_of(KEY);
        stamp(row, 5);
        struct extent e = { 0, 4096 }, none = { 0, 0 };
        ck_assert_int_eq(call_status(mark_request(row, 4, e, none)), -EINVAL);
        ck_assert_int_eq(call_status(mark_request(row + 9, 5, e, none)), -ENOENT);
        ck_assert_int_eq(call_status(mark_request(row, 5, (struct extent){ INT64_MAX, 1 }, none)), -EINVAL);
        struct ledger_request *request = mark_request(row, 5, e, none);
        request->mark.target_id = 78;
        ck_assert_int_eq(call_status(request), -EINVAL);
        request = mark_request(row, 5, e, none);
        request->sweep.id = 12; /* not known */
        call(request);
        ck_assert_int_eq(request->status, -ENOENT);
        ck_assert_ptr_nonnull(strstr(request->text, "no such sweep"));
        ck_assert_int_eq(request->load.state, LEDGER_GOOD);
        ledger_request_free(request);
        request = identify(KEY);
        ck_assert_uint_eq(request->target->range_count, 0);
        ck_assert_uint_eq(request->target->last_generation, 5);
        ledger_request_free(request);
}
END_TEST

START_TEST(what_a_sweep_wrote_is_counted_once) {
        open_quietly();
        uint64_t row = row_of(KEY);
        stamp(row, 1);
        ck_assert_int_eq(call_status(sweep_request(LEDGER_SWEEP_STARTED, 1, "sda")), 0);
        for (uint64_t i = 1; i <= 3; i++) {
                struct ledger_request *request = mark_request(
                        row, 1, (struct extent){ 0, 4096 * i }, (struct extent){ 0 });
                request->sweep.id = 1;
                request->sweep.bytes.written = 4096 * i;
                ck_assert_int_eq(call_status(request), 0);
        }
        for (int i = 0; i < 2; i++) { /* an answer that got lost is asked for again */
                struct ledger_request *request = sweep_request(LEDGER_SWEEP_ENDED, 1, "sda");
                request->sweep.target_row = row;
                request->sweep.bytes.written = 16384;
                ck_assert_int_eq(call_status(request), 0);
        }
        struct ledger_request *request = identify(KEY);
        ck_assert_uint_eq(request->target->bytes_written, 16384);
        ledger_request_free(request);
}
END_TEST

static struct sweep_record stored_sweep(uint64_t id) {
        struct ledger_request *request = make(LEDGER_GET_SWEEP);
        request->page_after = id;
        call(request);
        ck_assert_msg(request->status == 0, "%s", request->text);
        ck_assert_uint_eq(request->page_count, 1);
        struct sweep_record record = request->sweeps[0];
        ledger_request_free(request);
        return record;
}

START_TEST(a_sweep_without_an_end_was_killed_when_it_was_last_heard_of) {
        open_quietly();
        uint64_t row = row_of(KEY);
        stamp(row, 4);
        ck_assert_int_eq(call_status(sweep_request(LEDGER_SWEEP_STARTED, 1, "sda")), 0);
        ck_assert_int_eq(call_status(sweep_request(LEDGER_SWEEP_STARTED, 2, "sdb")), 0);
        struct ledger_request *request = mark_request(row, 4, (struct extent){ 0, 4096 }, (struct extent){ 0 });
        request->sweep.id = 1;
        request->sweep.bytes.written = 4096;
        request->at_us = 5100;
        ck_assert_int_eq(call_status(request), 0);
        request = make(LEDGER_MARK); /* of a sweep that only reads */
        request->sweep.id = 2;
        request->at_us = 777;
        ck_assert_int_eq(call_status(request), 0);
        ck_assert_int_eq(call_status(sweep_request(LEDGER_SWEEP_STARTED, 3, "sdc")), 0);
        request = finding_request(3, "sdc"); /* a bit_flip: faulty goes before incomplete */
        request->finding.sweep_id = 3;
        ck_assert_int_eq(call_status(request), 0);
        close_ledger();

        struct ledger_request *load = open_ledger();
        ck_assert_uint_eq(load->load.device_count, 3);
        static const uint64_t ends[] = { 5100, 777, 300 };
        for (size_t i = 0; i < 3; i++) {
                const struct sweep_record *last = &load->load.devices[i].last;
                ck_assert_uint_eq(last->ended_us, ends[i]);
                ck_assert_int_eq(last->end, END_KILLED);
                ck_assert_int_eq(last->verdict, i == 2 ? VERDICT_FAULTY : VERDICT_INCOMPLETE);
                ck_assert_str_eq(last->reason.rule, "killed");
        }
        ck_assert_uint_eq(load->load.devices[0].last.generation, 4);
        ck_assert_uint_eq(load->load.devices[0].last.bytes.written, 4096);
        ck_assert_uint_eq(load->load.devices[0].bytes_written, 4096);
        ck_assert_uint_eq(load->load.next_sweep_id, 4);
        ledger_request_free(load);

        /* One that runs now is left alone when the load is asked again. */
        ck_assert_int_eq(call_status(sweep_request(LEDGER_SWEEP_STARTED, 4, "sda")), 0);
        load = call(make(LEDGER_LOAD));
        ck_assert_uint_eq(load->load.devices[0].last.id, 1);
        ck_assert_int_eq(load->load.devices[0].last.end, END_KILLED);
        ck_assert_ptr_null(load->load.devices[0].resume);
        ck_assert_int_eq(stored_sweep(4).end, END_NONE);
        ledger_request_free(load);
}
END_TEST

static void end_sweep(uint64_t id, enum sweep_mode mode, enum sweep_end end, uint64_t row, struct extent extent) {
        struct ledger_request *request = sweep_request(LEDGER_SWEEP_ENDED, id, "sda");
        request->sweep.mode = mode;
        request->sweep.end = end;
        request->sweep.target_row = row;
        request->sweep.extent = extent;
        ck_assert_int_eq(call_status(request), 0);
}

START_TEST(a_sweep_counts_for_the_modes_that_it_serves) {
        static const struct extent whole = { 0, 1 << 30 };
        open_quietly();
        uint64_t row = row_of(KEY);
        end_sweep(1, MODE_PATTERN, END_FINISHED, row, whole);
        end_sweep(2, MODE_PRESERVE, END_CANCELLED, row, whole);
        end_sweep(3, MODE_REFRESH, END_FAILED, row, whole);
        end_sweep(4, MODE_READ, END_FINISHED, row, whole);
        close_ledger();
        static const struct {
                uint64_t started_us, finished_us;
                enum sweep_end end;
                unsigned failures;
        } expected[] = {
                [MODE_READ] = { 400, 400, END_FINISHED, 0 },
                [MODE_REFRESH] = { 300, 100, END_FAILED, 1 },
                [MODE_PRESERVE] = { 200, 0, END_CANCELLED, 0 },
                [MODE_PATTERN] = { 100, 100, END_FINISHED, 0 },
        };
        struct ledger_request *load = open_ledger();
        ck_assert_uint_eq(load->load.devices[0].last.id, 4);
        for (enum sweep_mode mode = 0; mode < MODE_COUNT; mode++) {
                const struct ledger_past *past = &load->load.devices[0].past[mode];
                ck_assert_msg(past->started_us == expected[mode].started_us, "%s", sweep_mode_name(mode));
                ck_assert_msg(past->ended_us == past->started_us + 50, "%s", sweep_mode_name(mode));
                ck_assert_msg(past->finished_us == expected[mode].finished_us, "%s", sweep_mode_name(mode));
                ck_assert_msg(past->end == expected[mode].end, "%s", sweep_mode_name(mode));
                ck_assert_msg(past->failures_in_a_row == expected[mode].failures, "%s", sweep_mode_name(mode));
                for (enum sweep_mode swept = 0; swept < MODE_COUNT; swept++)
                        ck_assert(!sweep_mode_serves(mode, swept) || past->started_us >= (uint64_t)(4 - swept) * 100);
        }
        ledger_request_free(load);
}
END_TEST

START_TEST(sweeps_of_another_disk_or_extent_are_no_past) {
        static const struct extent whole = { 0, 1 << 30 }, part = { 0, 4096 };
        open_quietly();
        uint64_t row = row_of(KEY);
        end_sweep(1, MODE_PATTERN, END_FINISHED, row_of("wwn:other"), whole);
        end_sweep(2, MODE_PATTERN, END_FINISHED, row, part);
        end_sweep(3, MODE_READ, END_FINISHED, row, whole);
        close_ledger();
        struct ledger_request *load = open_ledger();
        ck_assert_uint_eq(load->load.devices[0].past[MODE_READ].started_us, 300);
        ck_assert_uint_eq(load->load.devices[0].past[MODE_PATTERN].started_us, 0);
        ck_assert_uint_eq(load->load.devices[0].past[MODE_PATTERN].finished_us, 0);
        ledger_request_free(load);
}
END_TEST

START_TEST(what_the_last_sweep_was_of_is_known_after_a_restart) {
        open_quietly();
        struct ledger_request *request = sweep_request(LEDGER_SWEEP_ENDED, 1, "sda");
        request->sweep.target_row = row_of(KEY);
        request->sweep.extent = (struct extent){ 4096, 8192 };
        request->sweep.size_bytes = 1 << 30;
        ck_assert_int_eq(call_status(request), 0);
        request = sweep_request(LEDGER_SWEEP_ENDED, 2, "sdb");
        request->sweep.target_row = 0;
        ck_assert_int_eq(call_status(request), 0);
        close_ledger();
        struct ledger_request *load = open_ledger();
        const struct ledger_device *known = &load->load.devices[0], *unknown = &load->load.devices[1];
        ck_assert_str_eq(known->last_key, KEY);
        ck_assert_uint_eq(known->last.size_bytes, 1 << 30);
        ck_assert_uint_eq(known->last.extent.offset_bytes, 4096);
        ck_assert_uint_eq(known->last.extent.length_bytes, 8192);
        ck_assert_ptr_null(unknown->last_key);
        ledger_request_free(load);
}
END_TEST

static struct survey *a_survey(uint64_t latency_us, uint64_t checked_us) {
        struct survey *survey = calloc(1, sizeof *survey);
        ck_assert_ptr_nonnull(survey);
        latency_add(&survey->latency[LATENCY_READ], latency_us);
        survey->regions.size_bytes = survey->regions.extent.length_bytes = 1 << 30;
        survey->regions.regions[3] = (struct region){ checked_us, checked_us + 1, latency_us };
        return survey;
}

static const struct checkpoint a_checkpoint = {
        .round = ROUND_SWEEP,
        .size_bytes = 1 << 30,
        .extent = { 4096, 1 << 29 },
        .at_bytes = 1 << 20,
        .covered_bytes = (1 << 20) - 512,
        .lost_bytes = 512,
        .bytes = { .total = 5, .read = 1000, .written = 900, .verified = 800, .skipped = 700 },
        .stamps_seen = 6,
        .region_checked_bytes = 70,
        .region_verified_bytes = 60,
        .late_reads = 9,
        .late_untried = 8,
};

static struct ledger_request *place_request(enum ledger_op op, uint64_t row, uint64_t id, const char *device) {
        struct ledger_request *request = sweep_request(op, id, device);
        request->target_row = request->sweep.target_row = row;
        request->sweep.running_us = 77;
        request->sweep.bytes.written = 950;
        request->place = (struct ledger_place){ .at = a_checkpoint, .by_hand = true, .overwrite = strdup("WWN 7") };
        return request;
}

START_TEST(a_sweep_with_a_place_goes_on_from_there) {
        for (enum ledger_op op = LEDGER_CHECKPOINT; op <= LEDGER_SWEEP_RESTS; op++) {
                open_quietly();
                uint64_t row = row_of(KEY), id = 10 + op;
                ck_assert_int_eq(call_status(sweep_request(LEDGER_SWEEP_STARTED, id - 1, "sda")), 0);
                ck_assert_int_eq(call_status(sweep_request(LEDGER_SWEEP_STARTED, id, "sda")), 0);
                struct ledger_request *request = place_request(op, row, id, "sda");
                request->survey = a_survey(30, 600);
                ck_assert_int_eq(call_status(request), 0);
                ck_assert_uint_eq(stored_sweep(id).bytes.written, op == LEDGER_SWEEP_RESTS ? 900 : 950);
                close_ledger();
                struct ledger_request *load = open_ledger();
                const struct sweep_resume *resume = load->load.devices[0].resume;
                ck_assert_ptr_nonnull(resume);
                ck_assert_uint_eq(resume->record.id, id);
                ck_assert_int_eq(resume->record.end, END_NONE);
                ck_assert_uint_eq(resume->record.started_us, 100 * id);
                ck_assert_uint_eq(resume->record.running_us, 77);
                ck_assert_uint_eq(resume->record.bytes.written, 900);
                const struct checkpoint *from = &resume->from;
                ck_assert_int_eq(from->round, a_checkpoint.round);
                ck_assert_mem_eq(&from->size_bytes, &a_checkpoint.size_bytes,
                        sizeof a_checkpoint - offsetof(struct checkpoint, size_bytes)); /* no gaps behind it */
                ck_assert(resume->by_hand);
                ck_assert_str_eq(resume->overwrite, "WWN 7");
                ck_assert_uint_gt(resume->latency[LATENCY_READ].count, 0);
                /* One device goes on with one sweep: the one before it is over. */
                ck_assert_uint_eq(load->load.devices[0].last.id, id - 1);
                ck_assert_int_eq(load->load.devices[0].last.end, END_KILLED);
                ledger_request_free(load);
                ck_assert_int_eq(call_status(sweep_request(LEDGER_SWEEP_ENDED, id, "sda")), 0);
                close_ledger();
        }
        open_quietly();
}
END_TEST

START_TEST(a_place_that_comes_after_the_end_changes_nothing) {
        open_quietly();
        uint64_t row = row_of(KEY);
        ck_assert_int_eq(call_status(sweep_request(LEDGER_SWEEP_ENDED, 1, "sda")), 0);
        ck_assert_int_eq(call_status(place_request(LEDGER_SWEEP_RESTS, row, 1, "sda")), 0);
        close_ledger();
        struct ledger_request *load = open_ledger();
        ck_assert_ptr_null(load->load.devices[0].resume);
        ck_assert_int_eq(load->load.devices[0].last.end, END_FINISHED);
        ledger_request_free(load);
}
END_TEST

START_TEST(a_sweep_with_fixed_patterns_clears_what_was_known_of_its_extent_and_goes_on_in_its_pass) {
        static const struct pattern_list list = { 3, { 0xaa, 0x55, 0x00 } };
        static const struct extent extent = { 4096, 20480 };
        open_quietly();
        uint64_t row = row_of(KEY);
        stamp(row, 4);
        ck_assert_int_eq(call_status(mark_request(row, 4, (struct extent){ 0, 8192 }, (struct extent){ 0 })), 0);
        struct ledger_request *request = place_request(LEDGER_SWEEP_STARTED, row, 1, "sda");
        request->sweep.patterns = list;
        request->sweep.extent = extent;
        ck_assert_int_eq(call_status(request), 0);
        /* Not known: then nothing is cleared either. */
        request = place_request(LEDGER_STAMP, row, 2, "sda");
        request->mark = (struct ledger_mark){ .target_id = 77, .generation = 5, .clears = extent };
        ck_assert_int_eq(call_status(request), -ENOENT);
        request = identify(KEY);
        ck_assert_uint_eq(request->target->range_count, 1);
        ck_assert_uint_eq(request->target->ranges[0].extent.length_bytes, 8192);
        ledger_request_free(request);

        request = place_request(LEDGER_STAMP, row, 1, "sda");
        request->mark = (struct ledger_mark){ .target_id = 77, .generation = 5, .nonce = 9, .clears = extent };
        request->place.at.round = ROUND_SWEEP;
        request->place.at.pass = 2;
        request->sweep.bytes.written = 4096;
        ck_assert_int_eq(call_status(request), 0);
        close_ledger();
        struct ledger_request *load = open_ledger();
        const struct sweep_resume *resume = load->load.devices[0].resume;
        ck_assert_ptr_nonnull(resume);
        ck_assert_uint_eq(resume->from.pass, 2);
        ck_assert(pattern_list_is(&resume->record.patterns, &list));
        ck_assert_uint_eq(resume->record.extent.offset_bytes, 4096);
        ck_assert_uint_eq(resume->record.extent.length_bytes, 20480);
        ledger_request_free(load);
        request = identify(KEY);
        ck_assert_uint_eq(request->target->range_count, 1); /* of another device with the same target */
        ck_assert_uint_eq(request->target->ranges[0].extent.length_bytes, 4096);
        ck_assert_uint_eq(request->target->past[0].extent.offset_bytes, 4096);
        ck_assert_uint_eq(request->target->past[0].extent.length_bytes, 20480);
        ck_assert_uint_eq(request->target->last_generation, 5);
        ck_assert_uint_eq(request->target->past[0].generation, 5);
        ck_assert_uint_eq(request->target->past[0].bytes_written, 4096);
        ck_assert(pattern_list_is(&request->target->past[0].patterns, &list));
        ledger_request_free(request);
}
END_TEST

static struct ledger_request *intent_request(const char *device, bool held, uint64_t wish) {
        struct ledger_request *request = make(LEDGER_DEVICE);
        struct ledger_intent *intent = &request->intent;
        text_copy(intent->device, sizeof intent->device, device);
        intent->held = held;
        intent->wish_sweep_id = wish;
        intent->wish_mode = MODE_PRESERVE;
        intent->wish_patterns = (struct pattern_list){ 2, { 0xaa, 0x55 } };
        intent->wish_overwrite = wish ? strdup("WWN 7") : NULL;
        return request;
}

START_TEST(what_is_wanted_of_a_device_outlives_the_daemon) {
        open_quietly();
        ck_assert_int_eq(call_status(intent_request("sda", true, 41)), 0);
        ck_assert_int_eq(call_status(intent_request("sdb", true, 0)), 0);
        ck_assert_int_eq(call_status(intent_request("sdc", true, 0)), 0);
        ck_assert_int_eq(call_status(intent_request("sdc", false, 0)), 0);
        struct ledger_request *waits = intent_request("sdd", false, 0);
        waits->intent.unchecked_us = 77;
        ck_assert_int_eq(call_status(waits), 0);
        close_ledger();
        struct ledger_request *load = open_ledger();
        ck_assert_uint_eq(load->load.device_count, 3);
        ck_assert_uint_eq(load->load.devices[2].intent.unchecked_us, 77);
        ck_assert(!load->load.devices[2].intent.held);
        const struct ledger_intent *a = &load->load.devices[0].intent, *b = &load->load.devices[1].intent;
        ck_assert(a->held && b->held);
        ck_assert_uint_eq(a->wish_sweep_id, 41);
        ck_assert_int_eq(a->wish_mode, MODE_PRESERVE);
        ck_assert_str_eq(a->wish_overwrite, "WWN 7");
        ck_assert(pattern_list_is(&a->wish_patterns, &(struct pattern_list){ 2, { 0xaa, 0x55 } }));
        ck_assert_uint_eq(b->wish_sweep_id, 0);
        ck_assert_uint_eq(b->unchecked_us, 0);
        ck_assert_uint_eq(load->load.next_sweep_id, 42); /* its number was given out */
        ledger_request_free(load);
}
END_TEST

START_TEST(the_past_of_a_device_is_what_the_plan_wants) {
        open_quietly();
        static const enum sweep_end ends[] = { END_FINISHED, END_FINISHED, END_FAILED, END_CANCELLED, END_FAILED,
                END_FAILED };
        for (size_t i = 0; i < ELEMENTS(ends); i++) {
                struct ledger_request *request = sweep_request(LEDGER_SWEEP_ENDED, i + 1, "sda");
                request->sweep.end = ends[i];
                request->sweep.assurance = i == 0 ? ASSURANCE_VERIFIED : i == 1 ? ASSURANCE_READABLE : ASSURANCE_NONE;
                request->sweep.bytes.written = 10;
                ck_assert_int_eq(call_status(request), 0);
        }
        close_ledger();
        struct ledger_request *load = open_ledger();
        ck_assert_uint_eq(load->load.device_count, 1);
        const struct ledger_device *d = &load->load.devices[0];
        ck_assert_str_eq(d->device, "sda");
        ck_assert_uint_eq(d->last.id, 6);
        ck_assert_uint_eq(d->last_verified_us, 100);
        ck_assert_uint_eq(d->last_checked_us, 200);
        ck_assert_uint_eq(d->past[MODE_PATTERN].failures_in_a_row, 2);
        ck_assert_uint_eq(d->past[MODE_PATTERN].started_us, 600);
        ck_assert_int_eq(d->past[MODE_PATTERN].end, END_FAILED);
        ck_assert_uint_eq(d->past[MODE_PATTERN].finished_us, 200);
        ck_assert_uint_eq(d->bytes_written, 60);
        ledger_request_free(load);
}
END_TEST

START_TEST(the_newest_sweeps_that_wrote_are_known_whatever_came_after) {
        open_quietly();
        for (uint64_t id = 1; id <= 60; id++) {
                struct ledger_request *request = sweep_request(LEDGER_SWEEP_ENDED, id, "sda");
                request->sweep.bytes.written = id <= 20 ? 1000 + id : 0;
                ck_assert_int_eq(call_status(request), 0);
        }
        close_ledger();
        struct ledger_request *load = open_ledger();
        const struct ledger_device *d = &load->load.devices[0];
        ck_assert_uint_eq(d->last.id, 60);
        ck_assert_uint_eq(d->write_count, LEDGER_WRITES);
        for (unsigned i = 0; i < LEDGER_WRITES; i++) {
                ck_assert_uint_eq(d->writes[i].bytes, 1000 + 20 - LEDGER_WRITES + 1 + i);
                ck_assert_uint_eq(d->writes[i].started_us, (20 - LEDGER_WRITES + 1 + i) * 100);
        }
        ledger_request_free(load);
}
END_TEST

START_TEST(answers_keep_the_order_of_requests_and_one_refusal_harms_no_other) {
        open_quietly();
        for (uint64_t id = 0; id < 200; id++) {
                struct ledger_request *request = finding_request(id, "sda"); /* 0 is refused */
                if (id % 50 == 7) {
                        ledger_request_free(request);
                        request = make(LEDGER_FORGET); /* of no target: refused */
                }
                request->number = id;
                ck_assert(ledger_send(ledger, request));
        }
        for (uint64_t id = 0; id < 200; id++) {
                struct ledger_request *answer = receive();
                ck_assert_uint_eq(answer->number, id);
                ck_assert_int_eq(answer->status, id == 0 ? -EINVAL : id % 50 == 7 ? -ENOENT : 0);
                ledger_request_free(answer);
        }
        struct ledger_request *load = call(make(LEDGER_LOAD));
        ck_assert_uint_eq(load->load.finding_count, 195);
        ledger_request_free(load);
}
END_TEST

START_TEST(what_was_sent_before_the_end_is_stored) {
        open_quietly();
        for (uint64_t id = 1; id <= 100; id++)
                ck_assert(ledger_send(ledger, finding_request(id, "sda")));
        close_ledger();
        struct ledger_request *answer;
        for (uint64_t id = 1; id <= 100; id++) {
                answer = receive();
                ck_assert_int_eq(answer->status, 0);
                ledger_request_free(answer);
        }
        answer = open_ledger();
        ck_assert_uint_eq(answer->load.finding_count, 100);
        ledger_request_free(answer);
}
END_TEST

START_TEST(events_get_numbers_that_only_grow) {
        open_quietly();
        struct ledger_request *request = make(LEDGER_EVENT);
        request->event = (struct event){ .id = 41, .kind = EVENT_DAEMON, .priority = 6, .at_us = 5 };
        text_copy(request->event.text, sizeof request->event.text, "started");
        ck_assert_int_eq(call_status(request), 0);
        close_ledger();
        struct ledger_request *load = open_ledger();
        ck_assert_uint_eq(load->load.next_event_id, 42);
        ledger_request_free(load);
}
END_TEST

/* Kills. */

struct progress_note {
        uint64_t findings; /* the highest id acknowledged */
        uint64_t marked_bytes;
};

static struct ledger_request *mixed_request(uint64_t row, uint64_t id, int which) {
        if (which == 0)
                return finding_request(id, "sda");
        if (which == 1)
                return sweep_request(LEDGER_SWEEP_STARTED, id, "sda");
        struct ledger_request *request = mark_request(
                row, 1, (struct extent){ 0, 4096 * id }, (struct extent){ 4096 * id, 8192 });
        request->sweep.id = id;
        return request;
}

/* Stores findings, sweeps and marks in groups of three, and tells of each group when it was acknowledged. */
static void child_writes(int fd) {
        struct ledger_request *load = open_ledger();
        uint64_t first = load->load.next_finding_id, row = row_of(KEY);
        stamp(row, 1);
        for (uint64_t id = first;; id++) {
                for (int which = 0; which < 3; which++)
                        if (!ledger_send(ledger, mixed_request(row, id, which)))
                                _exit(1);
                for (int which = 0; which < 3; which++) {
                        struct ledger_request *answer = receive();
                        if (answer->status < 0)
                                _exit(2);
                        ledger_request_free(answer);
                }
                struct progress_note note = { id, 4096 * id };
                if (write(fd, &note, sizeof note) != sizeof note)
                        _exit(3);
        }
}

static struct progress_note run_and_kill(uint64_t seed, uint64_t after_us, struct progress_note note) {
        int fds[2];
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0)
                child_writes(fds[1]);
        close(fds[1]);
        sleep_us(after_us);
        kill(pid, SIGKILL);
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(WIFSIGNALED(status), "seed %" PRIu64 ": exit status %d", seed, WEXITSTATUS(status));
        struct progress_note next;
        while (read(fds[0], &next, sizeof next) == sizeof next)
                note = next;
        close(fds[0]);
        return note;
}

START_TEST(what_was_acknowledged_survives_a_kill_at_any_moment) {
        struct progress_note note = { 0 };
        for (uint64_t seed = 1; seed <= KILLS; seed++) {
                uint64_t state = seed;
                note = run_and_kill(seed, suite_random(&state) % (60 * USEC_PER_MSEC), note);
                struct ledger_request *load = open_ledger();
                ASSERT_SEEDED(seed, load->status == 0);
                ASSERT_SEEDED(seed, load->load.state == LEDGER_GOOD);
                ASSERT_SEEDED(seed, load->load.finding_count >= note.findings);
                ASSERT_SEEDED(seed, load->load.next_sweep_id > note.findings);
                ledger_request_free(load);
                struct ledger_request *target = identify(KEY);
                const struct stamped_range *settled = target->target->ranges;
                ASSERT_SEEDED(seed, note.findings == 0 || target->target->range_count == 2);
                ASSERT_SEEDED(seed, note.findings == 0 || settled->extent.length_bytes >= note.marked_bytes);
                ledger_request_free(target);
                close_ledger();
        }
        ck_assert_uint_gt(note.findings, 0);
}
END_TEST

/* Damage. */

static void fill(uint64_t findings) {
        for (uint64_t id = 1; id <= findings; id++) {
                struct ledger_request *request = finding_request(id, "sda");
                detail_set(&request->finding.detail, "filler", "%0600d", 7);
                while (!ledger_send(ledger, request))
                        ledger_request_free(receive());
        }
        close_ledger();
        void *item;
        while (queue_try_pop(answers, &item, 1) > 0)
                ledger_request_free(item);
}

static bool all_answers(uint64_t seed) {
        struct ledger_request *load = open_ledger();
        bool replaced = load->load.state == LEDGER_REPLACED;
        ASSERT_SEEDED(seed, load->status == 0);
        ASSERT_SEEDED(seed, replaced == (strstr(load->load.text, "ledger.db.damaged-") != NULL));
        ASSERT_SEEDED(seed, !replaced || load->load.next_finding_id > 1000000); /* no number is given twice */
        uint64_t id = load->load.next_finding_id;
        ledger_request_free(load);
        ASSERT_SEEDED(seed, call_status(finding_request(id, "sda")) == 0);
        close_ledger();
        return replaced;
}

START_TEST(a_damaged_ledger_is_kept_aside_and_never_stops_the_daemon) {
        static uint8_t before[1 << 20], after[1 << 20];
        size_t replaced = 0;
        for (uint64_t seed = 1; seed <= DAMAGES; seed++) {
                uint64_t state = seed;
                open_quietly();
                fill(60);
                size_t size = read_file("ledger.db", before, sizeof before);
                uint8_t noise[2048];
                for (size_t i = 0; i < sizeof noise; i++)
                        noise[i] = (uint8_t)suite_random(&state);
                size_t length = 1 + suite_random(&state) % sizeof noise, at = suite_random(&state) % (size - length);
                overwrite(seed % 5 == 0 ? 0 : at, noise, length);
                read_file("ledger.db", before, sizeof before);
                if (all_answers(seed)) {
                        replaced++;
                        DIR *d = opendir(directory);
                        for (struct dirent *e; (e = readdir(d));)
                                if (strstr(e->d_name, ".damaged-") && !strchr(strstr(e->d_name, ".damaged-") + 9, '-'))
                                        ASSERT_SEEDED(seed,
                                                read_file(e->d_name, after, sizeof after) == size &&
                                                        memcmp(before, after, size) == 0);
                        closedir(d);
                }
                remove_directory();
                ck_assert_int_eq(mkdir(directory, 0700), 0);
        }
        ck_assert_uint_ge(replaced, DAMAGES / 5);
}
END_TEST

START_TEST(ledgers_damaged_in_one_second_get_names_of_their_own) {
        for (size_t i = 1; i <= 4; i++) {
                open_quietly();
                close_ledger();
                overwrite(0, "garbage", 7);
                ck_assert(all_answers(i));
                ck_assert_uint_eq(count_files("ledger.db.damaged-"), i);
        }
}
END_TEST

START_TEST(somebody_elses_database_is_put_aside) {
        open_quietly();
        close_ledger();
        overwrite(68, "\x12\x34\x56\x78", 4); /* application_id */
        struct ledger_request *load = open_ledger();
        ck_assert_int_eq(load->load.state, LEDGER_REPLACED);
        ck_assert_ptr_nonnull(strstr(load->load.text, "was not made by sweepd"));
        ledger_request_free(load);
        ck_assert_uint_eq(count_files("ledger.db.damaged-"), 1);
}
END_TEST

START_TEST(a_stray_log_is_not_replayed_into_a_new_ledger) {
        open_quietly();
        close_ledger();
        char from[PATH_MAX], to[PATH_MAX];
        in_directory(from, sizeof from, "ledger.db");
        in_directory(to, sizeof to, "ledger.db-wal");
        ck_assert_int_eq(rename(from, to), 0);
        struct ledger_request *load = open_ledger();
        ck_assert_int_eq(load->load.state, LEDGER_REPLACED);
        ledger_request_free(load);
        ck_assert_uint_eq(count_files("ledger.db.damaged-"), 1);
}
END_TEST

START_TEST(a_ledger_of_a_later_version_is_refused_and_not_touched) {
        static uint8_t before[1 << 20], after[1 << 20];
        open_quietly();
        ck_assert_int_eq(call_status(finding_request(1, "sda")), 0);
        close_ledger();
        overwrite(60, (const char[]){ 0, 0, 0, LEDGER_FILE_SCHEMA + 1 }, 4); /* user_version */
        size_t size = read_file("ledger.db", before, sizeof before);
        struct ledger_request *load = open_ledger();
        ck_assert_int_eq(load->status, -ENOTSUP);
        ck_assert_int_eq(load->load.state, LEDGER_UNAVAILABLE);
        ck_assert(load->load.newer);
        ck_assert_ptr_nonnull(strstr(load->load.text, "later version"));
        ck_assert_uint_gt(load->load.next_finding_id, 1000000);
        ledger_request_free(load);
        ck_assert_int_eq(call_status(finding_request(2, "sda")), -ENOTSUP);
        close_ledger();
        ck_assert_uint_eq(read_file("ledger.db", after, sizeof after), size);
        ck_assert_mem_eq(before, after, size);
        ck_assert_uint_eq(count_files("ledger"), 1);
}
END_TEST

/* What sweeps measured. */

START_TEST(what_a_sweep_measured_is_kept_from_its_first_mark_on) {
        open_quietly();
        uint64_t row = row_of(KEY);
        ck_assert_int_eq(call_status(sweep_request(LEDGER_SWEEP_STARTED, 1, "sda")), 0);
        ck_assert_uint_eq(stored_sweep(1).latency[LATENCY_READ].count, 0);
        struct ledger_request *request = identify(KEY);
        ck_assert_ptr_null(request->regions);
        ledger_request_free(request);

        request = make(LEDGER_MARK);
        request->target_row = row;
        request->sweep.id = 1;
        request->survey = a_survey(20, 500);
        ck_assert_int_eq(call_status(request), 0);
        ck_assert_uint_eq(stored_sweep(1).latency[LATENCY_READ].max_us, 20);
        ck_assert_int_eq(call_status(sweep_request(LEDGER_SWEEP_ENDED, 1, "sda")), 0);
        ck_assert_uint_eq(stored_sweep(1).latency[LATENCY_READ].max_us, 20);

        request = sweep_request(LEDGER_SWEEP_ENDED, 2, "sda");
        request->sweep.target_row = row;
        request->survey = a_survey(30, 600);
        request->survey->regions.regions[3].verified_us = 0;
        ck_assert_int_eq(call_status(request), 0);
        ck_assert_uint_eq(stored_sweep(2).latency[LATENCY_READ].p50_us, 30);
        ck_assert_uint_eq(stored_sweep(2).latency[LATENCY_WRITE].count, 0);
        close_ledger();

        struct ledger_request *load = open_ledger();
        const struct region_table *regions = load->load.devices[0].regions;
        ck_assert_ptr_nonnull(regions);
        ck_assert_uint_eq(regions->regions[3].checked_us, 600);
        ck_assert_uint_eq(regions->regions[3].verified_us, 501);
        ck_assert_uint_eq(regions->regions[3].latency_max_us, 30);
        ck_assert_uint_eq(regions->regions[4].checked_us, 0);
        ledger_request_free(load);
        request = identify(KEY);
        ck_assert_ptr_nonnull(request->regions);
        ck_assert_uint_eq(request->regions->regions[3].checked_us, 600);
        ledger_request_free(request);
}
END_TEST

static void run_sql(const char *sql) {
        char path[PATH_MAX];
        sqlite3 *db;
        in_directory(path, sizeof path, "ledger.db");
        ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
        ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
        ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

START_TEST(a_measurement_that_makes_no_sense_is_unknown_and_costs_nothing_else) {
        open_quietly();
        uint64_t row = row_of(KEY);
        struct ledger_request *request = sweep_request(LEDGER_SWEEP_ENDED, 1, "sda");
        request->sweep.target_row = row;
        request->survey = a_survey(30, 600);
        ck_assert_int_eq(call_status(request), 0);
        close_ledger();
        run_sql("UPDATE sweeps SET latency = x'0102030405060708'; UPDATE maps SET regions = 'text'");
        struct ledger_request *load = open_ledger();
        ck_assert_int_eq(load->load.state, LEDGER_GOOD);
        ck_assert_ptr_null(load->load.devices[0].regions);
        ledger_request_free(load);
        ck_assert_uint_eq(stored_sweep(1).latency[LATENCY_READ].count, 0);
        ck_assert_int_eq(stored_sweep(1).verdict, VERDICT_CLEAN);
        request = make(LEDGER_MARK);
        request->target_row = row;
        request->sweep.id = 1;
        request->survey = a_survey(40, 700);
        ck_assert_int_eq(call_status(request), 0);
        request = identify(KEY);
        ck_assert_uint_eq(request->regions->regions[3].checked_us, 700);
        ledger_request_free(request);
}
END_TEST

START_TEST(a_ledger_of_schema_2_is_taken_along_and_what_ran_was_killed) {
        open_quietly();
        uint64_t row = row_of(KEY);
        struct ledger_request *request = sweep_request(LEDGER_SWEEP_ENDED, 1, "sda");
        request->sweep.target_row = row;
        request->survey = a_survey(30, 600);
        ck_assert_int_eq(call_status(request), 0);
        ck_assert_int_eq(call_status(sweep_request(LEDGER_SWEEP_STARTED, 2, "sda")), 0);
        close_ledger();
        run_sql("DROP TABLE places; DROP TABLE intents; DROP TABLE pruned; DROP INDEX sweeps_by_target; ALTER TABLE sweeps DROP COLUMN patterns; ALTER TABLE sweeps DROP COLUMN extent_offset_bytes; ALTER TABLE sweeps DROP COLUMN extent_length_bytes; ALTER TABLE sweeps DROP COLUMN size_bytes; ALTER TABLE ledger DROP COLUMN aged_us; UPDATE targets SET regions = coalesce((SELECT regions FROM maps WHERE target_row = row), x''); DROP TABLE maps; ALTER TABLE findings DROP COLUMN told_us; PRAGMA user_version = 2");
        struct ledger_request *load = open_ledger();
        ck_assert_msg(load->status == 0, "%s", load->text);
        ck_assert_ptr_nonnull(load->load.devices[0].regions);
        ck_assert_ptr_null(load->load.devices[0].resume);
        ck_assert_int_eq(load->load.devices[0].last.end, END_KILLED);
        ledger_request_free(load);
        ck_assert_uint_gt(stored_sweep(1).latency[LATENCY_READ].count, 0);
        ck_assert_int_eq(call_status(intent_request("sda", true, 0)), 0);
        ck_assert_uint_eq(count_files("ledger"), 3);
}
END_TEST

START_TEST(a_ledger_of_schema_1_is_taken_along_with_all_that_it_knows) {
        open_quietly();
        uint64_t row = row_of(KEY);
        stamp(row, 4);
        ck_assert_int_eq(call_status(mark_request(row, 4, (struct extent){ 0, 4096 }, (struct extent){ 0 })), 0);
        ck_assert_int_eq(call_status(sweep_request(LEDGER_SWEEP_ENDED, 1, "sda")), 0);
        close_ledger();
        run_sql("DROP TABLE places; DROP TABLE intents; DROP TABLE pruned; DROP INDEX sweeps_by_target; ALTER TABLE sweeps DROP COLUMN patterns; ALTER TABLE sweeps DROP COLUMN extent_offset_bytes; ALTER TABLE sweeps DROP COLUMN extent_length_bytes; ALTER TABLE sweeps DROP COLUMN size_bytes; ALTER TABLE ledger DROP COLUMN aged_us; UPDATE targets SET regions = coalesce((SELECT regions FROM maps WHERE target_row = row), x''); DROP TABLE maps; ALTER TABLE findings DROP COLUMN told_us;"
                "ALTER TABLE sweeps DROP COLUMN latency; ALTER TABLE targets DROP COLUMN regions;"
                "PRAGMA user_version = 1");
        struct ledger_request *load = open_ledger();
        ck_assert_msg(load->status == 0, "%s", load->text);
        ck_assert_int_eq(load->load.state, LEDGER_GOOD);
        ck_assert_uint_eq(load->load.device_count, 1);
        ck_assert_ptr_null(load->load.devices[0].regions);
        ledger_request_free(load);
        ck_assert_uint_eq(stored_sweep(1).latency[LATENCY_READ].count, 0);
        struct ledger_request *request = identify(KEY);
        ck_assert_uint_eq(request->target->range_count, 1);
        ck_assert_uint_eq(request->target->last_generation, 4);
        ledger_request_free(request);
        request = sweep_request(LEDGER_SWEEP_ENDED, 2, "sda");
        request->sweep.target_row = row;
        request->survey = a_survey(30, 600);
        ck_assert_int_eq(call_status(request), 0);
        close_ledger();
        uint8_t schema[4];
        char path[PATH_MAX];
        in_directory(path, sizeof path, "ledger.db");
        CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
        ck_assert_int_eq(pread(fd, schema, sizeof schema, 60), sizeof schema);
        ck_assert_uint_eq(schema[3], LEDGER_FILE_SCHEMA);
        ck_assert_uint_eq(count_files("ledger"), 1);
}
END_TEST

/* A device that had a part of a target alone took a part of a region for all of it. */
START_TEST(maps_of_schema_8_are_taken_along_where_they_were_of_the_whole_target) {
        static const char *const keys[] = { "wwn:whole", "wwn:part" };
        static const char *const names[] = { "sda", "sdb" };
        open_quietly();
        for (size_t i = 0; i < 2; i++) {
                struct ledger_request *request = sweep_request(LEDGER_SWEEP_ENDED, i + 1, names[i]);
                request->sweep.target_row = row_of(keys[i]);
                request->sweep.extent = (struct extent){ 0, i == 0 ? 1 << 30 : 4096 };
                request->survey = a_survey(30, 600);
                ck_assert_int_eq(call_status(request), 0);
        }
        close_ledger();
        run_sql("ALTER TABLE ledger DROP COLUMN aged_us; UPDATE targets SET regions = (SELECT regions FROM maps WHERE target_row = row); DROP TABLE maps; PRAGMA user_version = 8");
        struct ledger_request *load = open_ledger();
        ck_assert_msg(load->status == 0, "%s", load->text);
        ck_assert_ptr_nonnull(load->load.devices[0].regions);
        ck_assert_uint_eq(load->load.devices[0].regions->regions[3].checked_us, 600);
        ck_assert_ptr_null(load->load.devices[1].regions);
        ledger_request_free(load);
}
END_TEST

static void sweep_extent(uint64_t row, uint64_t id, struct extent extent, uint64_t checked_us) {
        struct ledger_request *request = sweep_request(LEDGER_SWEEP_ENDED, id, "sda");
        request->sweep.target_row = row;
        request->sweep.extent = extent;
        request->survey = a_survey(30, checked_us);
        request->survey->regions.extent = extent;
        for (size_t i = 0; i < REGIONS_MAX; i++)
                request->survey->regions.regions[i].checked_us = checked_us;
        ck_assert_int_eq(call_status(request), 0);
}

/* How much of it was checked then. */
static double checked_share(struct extent extent, uint64_t since_us) {
        struct ledger_request *request = make(LEDGER_IDENTIFY);
        text_copy(request->key, sizeof request->key, KEY);
        request->size_bytes = 1 << 30;
        request->extent = extent;
        call(request);
        ck_assert_msg(request->status == 0, "%s", request->text);
        double share = request->regions ? region_table_share(request->regions, extent, false, since_us) : 0;
        ledger_request_free(request);
        return share;
}

START_TEST(extents_of_one_target_have_maps_of_their_own) {
        static const struct extent one = { 0, 4096 }, other = { 4096, 8192 }, whole = { 0, 1 << 30 },
                                   half = { 0, 1 << 29 }, beyond = { 1 << 20, 4096 };
        open_quietly();
        uint64_t row = row_of(KEY);
        sweep_extent(row, 1, one, 100);
        sweep_extent(row, 2, other, 200);
        ck_assert_double_eq_tol(checked_share(one, 100), 1, 1e-9);
        ck_assert_double_eq_tol(checked_share(one, 101), 0, 1e-9);
        ck_assert_double_eq_tol(checked_share(other, 200), 1, 1e-9);
        ck_assert_double_eq_tol(checked_share(beyond, 1), 0, 1e-9);
        ck_assert_double_eq_tol(checked_share(whole, 1), 0, 1e-9); /* not a whole region of it */
        sweep_extent(row, 3, half, 300);
        ck_assert_double_eq_tol(checked_share(whole, 300), 0.5, 1e-9);
        ck_assert_double_eq_tol(checked_share(other, 300), 1, 1e-9);
        sweep_extent(row, 4, whole, 400);
        ck_assert_double_eq_tol(checked_share(half, 400), 1, 1e-9);
        close_ledger();
        struct ledger_request *load = open_ledger();
        ck_assert_uint_eq(load->load.devices[0].regions->extent.length_bytes, 1 << 30);
        ledger_request_free(load);
}
END_TEST

/* What is pruned. */

static void prune(uint64_t before_us) {
        struct ledger_prune at = { .before_us = before_us };
        for (int i = 0; at.stage != LEDGER_PRUNE_OVER; i++) {
                ck_assert_int_lt(i, 1000);
                struct ledger_request *request = make(LEDGER_PRUNE);
                request->prune = at;
                call(request);
                ck_assert_msg(request->status == 0, "%s", request->text);
                at = request->prune;
                ledger_request_free(request);
        }
}

static uint64_t ask_number(const char *sql) {
        char path[PATH_MAX];
        sqlite3 *db;
        sqlite3_stmt *statement;
        in_directory(path, sizeof path, "ledger.db");
        ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
        ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
        ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
        uint64_t number = (uint64_t)sqlite3_column_int64(statement, 0);
        ck_assert_int_eq(sqlite3_finalize(statement), SQLITE_OK);
        ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
        return number;
}

static void put_event_at(uint64_t id, uint64_t at_us) {
        struct ledger_request *request = make(LEDGER_EVENT);
        request->event = (struct event){ .id = id, .kind = EVENT_DAEMON, .at_us = at_us };
        ck_assert_int_eq(call_status(request), 0);
}

static void put_finding_at(uint64_t id, enum finding_state state, uint64_t seen_us) {
        struct ledger_request *request = finding_request(id, "sda");
        request->finding.sweep_id = 1000 + id;
        request->finding.state = state;
        request->finding.last_seen_us = seen_us;
        ck_assert_int_eq(call_status(request), 0);
}

/* Ended 50 us after 100 times its id. */
static void put_sweep_of(uint64_t id, const char *device, uint64_t generation, enum sweep_end end) {
        struct ledger_request *request = sweep_request(LEDGER_SWEEP_ENDED, id, device);
        request->sweep.generation = generation;
        request->sweep.end = end;
        request->sweep.bytes.written = 1 << 20;
        if (end != END_FINISHED)
                request->sweep.assurance = ASSURANCE_NONE;
        ck_assert_int_eq(call_status(request), 0);
}

START_TEST(events_and_findings_that_are_over_go_when_they_are_old) {
        open_quietly();
        for (uint64_t id = 1; id <= 450; id++)
                put_event_at(id, id <= 350 ? 1000 : 9000);
        put_event_at(451, 1000); /* the last: the next number is counted from it */
        put_finding_at(1, FINDING_RESOLVED, 1000);
        put_finding_at(2, FINDING_RETIRED, 1000);
        put_finding_at(3, FINDING_OPEN, 1000);
        put_finding_at(4, FINDING_ACKNOWLEDGED, 1000);
        put_finding_at(5, FINDING_RESOLVED, 9000);
        put_finding_at(6, FINDING_RESOLVED, 1000); /* the last */
        prune(5000);
        ck_assert_uint_eq(ask_number("SELECT count(*) FROM events"), 101);
        ck_assert_uint_eq(ask_number("SELECT min(at_us) FROM events WHERE id < 451"), 9000);
        ck_assert_uint_eq(ask_number("SELECT count(*) FROM findings"), 4);
        ck_assert_uint_eq(ask_number("SELECT min(id) FROM findings"), 3);
        prune(5000);
        close_ledger();
        struct ledger_request *load = open_ledger();
        ck_assert_uint_eq(load->load.finding_count, 2);
        ck_assert_uint_eq(load->load.next_finding_id, 7);
        ck_assert_uint_eq(load->load.next_event_id, 452);
        ck_assert_uint_eq(load->load.devices[0].findings_resolved, 4);
        ledger_request_free(load);
}
END_TEST

START_TEST(an_old_sweep_stays_as_long_as_something_is_told_or_decided_by_it) {
        open_quietly();
        uint64_t row = row_of(KEY);
        ck_assert_uint_eq(row, 1);
        stamp(row, 7);
        ck_assert_int_eq(call_status(mark_request(row, 7, (struct extent){ 0, 4096 }, (struct extent){ 0 })), 0);
        for (uint64_t id = 1; id <= 200; id++)
                put_sweep_of(id, "sda", id <= 8 ? id : 0, END_FINISHED);
        for (uint64_t id = 201; id <= 210; id++)
                put_sweep_of(id, "sda", 0, END_FAILED);
        struct ledger_request *finding = finding_request(1, "sda");
        finding->finding.sweep_id = 3; /* and it is open */
        ck_assert_int_eq(call_status(finding), 0);
        ck_assert_int_eq(call_status(sweep_request(LEDGER_SWEEP_STARTED, 211, "sda")), 0);
        put_sweep_of(212, "sdb", 0, END_FINISHED);
        prune(1000000);
        /* The one with an open finding; four generations; the last that finished, the last, that which runs; the other
         * device's. */
        ck_assert_uint_eq(ask_number("SELECT count(*) FROM sweeps"), 9);
        ck_assert_uint_eq(ask_number("SELECT count(*) FROM sweeps WHERE id IN (3, 5, 6, 7, 8, 200, 210, 211, 212)"), 9);
        ck_assert_uint_eq(ask_number("SELECT count(*) FROM ranges"), 1);
        struct ledger_request *request = identify(KEY);
        ck_assert_uint_eq(request->target->past_count, TARGET_PAST_MAX);
        ck_assert_uint_eq(request->target->past[TARGET_PAST_MAX - 1].generation, 5);
        ledger_request_free(request);
        close_ledger();
        struct ledger_request *load = open_ledger();
        const struct ledger_device *sda = &load->load.devices[0];
        ck_assert_uint_eq(sda->last_verified_us, 200 * 100);
        ck_assert_uint_eq(sda->bytes_written, UINT64_C(210) << 20);
        ck_assert_uint_eq(load->load.next_sweep_id, 213);
        ledger_request_free(load);
}
END_TEST

START_TEST(the_last_sweep_of_each_mode_stays) {
        static const struct extent whole = { 0, 1 << 30 };
        open_quietly();
        uint64_t row = row_of(KEY);
        end_sweep(1, MODE_PATTERN, END_FINISHED, row, whole);
        end_sweep(2, MODE_PATTERN, END_FINISHED, row, whole);
        end_sweep(3, MODE_PATTERN, END_FAILED, row, whole);
        for (uint64_t id = 4; id <= 20; id++)
                end_sweep(id, MODE_READ, END_FINISHED, row, whole);
        prune(1000000);
        ck_assert_uint_eq(ask_number("SELECT count(*) FROM sweeps WHERE id IN (2, 3, 20)"), 3);
        ck_assert_uint_eq(ask_number("SELECT count(*) FROM sweeps"), 3);
}
END_TEST

static uint64_t aged(void) {
        close_ledger();
        struct ledger_request *load = open_ledger();
        uint64_t aged_us = load->load.aged_us;
        ledger_request_free(load);
        return aged_us;
}

START_TEST(history_ages_by_order_only) {
        uint64_t before_us = clock_wall_us();
        open_quietly();
        uint64_t first_us = aged();
        ck_assert_uint_ge(first_us, before_us);
        ck_assert_uint_le(first_us, clock_wall_us());
        put_event_at(1, first_us * 2); /* by a clock that jumped */
        ck_assert_uint_eq(aged(), first_us);
        struct ledger_request *request = make(LEDGER_PRUNE);
        request->prune.aged_us = first_us + 5;
        ck_assert_int_eq(call_status(request), 0);
        ck_assert_uint_eq(aged(), first_us + 5);
        /* Of a ledger of before the newest event tells. */
        close_ledger();
        run_sql("UPDATE ledger SET aged_us = 0");
        open_quietly();
        ck_assert_uint_eq(aged(), first_us * 2);
}
END_TEST

START_TEST(what_is_young_stays_whatever_its_number) {
        open_quietly();
        put_event_at(1, 9000); /* the clock was set back since */
        put_event_at(2, 1000);
        put_event_at(3, 9000);
        put_sweep_of(1, "sda", 0, END_FINISHED);
        prune(101);
        ck_assert_uint_eq(ask_number("SELECT count(*) FROM events"), 3);
        prune(5000);
        ck_assert_uint_eq(ask_number("SELECT count(*) FROM events WHERE id <> 2"), 2);
        ck_assert_uint_eq(ask_number("SELECT count(*) FROM events"), 2);
}
END_TEST

START_TEST(a_ledger_gives_back_what_was_pruned_and_grows_no_more) {
        open_quietly();
        uint64_t largest = 0, id = 0;
        for (uint64_t year = 1; year <= 3; year++) {
                for (int i = 0; i < 4000; i++) {
                        struct ledger_request *request = finding_request(++id, "sda");
                        request->finding.state = FINDING_RESOLVED;
                        request->finding.last_seen_us = year * 1000;
                        memset(request->finding.comment, 'x', sizeof request->finding.comment - 1);
                        ck_assert(ledger_send(ledger, request));
                        if (i % 50 == 49)
                                for (int n = 0; n < 50; n++)
                                        ledger_request_free(receive());
                }
                largest = MAX(largest, ask_number("SELECT page_count FROM pragma_page_count"));
                prune(year * 1000 + 1);
                uint64_t pages = ask_number("SELECT page_count FROM pragma_page_count");
                ck_assert_uint_gt(largest, 500);
                ck_assert_uint_lt(pages, 300);
        }
        ck_assert_uint_lt(largest, 800);
}
END_TEST

START_TEST(more_events_than_may_be_kept_are_pruned_however_new_they_are) {
        open_quietly();
        close_ledger();
        run_sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50150)"
                " INSERT INTO events SELECT i, 'test', 5, 9000, '', '', 0, 0, '', '' FROM n");
        open_quietly();
        prune(5000);
        ck_assert_uint_eq(ask_number("SELECT count(*) FROM events"), LEDGER_EVENTS_MAX);
        ck_assert_uint_eq(ask_number("SELECT min(id) FROM events"), 151);
}
END_TEST

START_TEST(a_ledger_of_schema_3_is_pruned_like_a_new_one) {
        open_quietly();
        put_event_at(1, 1000);
        put_event_at(2, 1000);
        close_ledger();
        run_sql("DROP TABLE pruned; DROP INDEX sweeps_by_target; ALTER TABLE sweeps DROP COLUMN patterns; ALTER TABLE sweeps DROP COLUMN extent_offset_bytes; ALTER TABLE sweeps DROP COLUMN extent_length_bytes; ALTER TABLE sweeps DROP COLUMN size_bytes; ALTER TABLE ledger DROP COLUMN aged_us; UPDATE targets SET regions = coalesce((SELECT regions FROM maps WHERE target_row = row), x''); DROP TABLE maps; ALTER TABLE findings DROP COLUMN told_us;"
                "ALTER TABLE places DROP COLUMN pass; ALTER TABLE intents DROP COLUMN wish_patterns; ALTER TABLE intents DROP COLUMN unchecked_us; PRAGMA user_version = 3;"
                "PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM; PRAGMA journal_mode = WAL");
        ck_assert_uint_eq(ask_number("SELECT auto_vacuum FROM pragma_auto_vacuum"), 0);
        open_quietly();
        ck_assert_uint_eq(ask_number("SELECT auto_vacuum FROM pragma_auto_vacuum"), 2);
        prune(5000);
        ck_assert_uint_eq(ask_number("SELECT count(*) FROM events"), 1);
}
END_TEST

/* Trouble while it runs. */

START_TEST(a_missing_directory_is_tried_again) {
        rmdir(directory);
        uint64_t from_us = clock_monotonic_us();
        struct ledger_request *load = open_ledger();
        ck_assert_int_eq(load->status, -ENOENT);
        ck_assert_int_eq(load->load.state, LEDGER_UNAVAILABLE);
        ck_assert_ptr_nonnull(strstr(load->load.text, directory));
        ledger_request_free(load);
        struct ledger_request *request = call(finding_request(1, "sda"));
        ck_assert_int_eq(request->status, -ENOENT);
        ck_assert_ptr_nonnull(strstr(request->text, "create the directory"));
        ledger_request_free(request);
        ck_assert_int_eq(mkdir(directory, 0700), 0);
        int too_early = call_status(finding_request(1, "sda"));
        ck_assert(too_early == -ENOENT || clock_monotonic_us() - from_us > USEC_PER_SEC / 2);
        sleep_us(PAST_TRY);
        request = call(finding_request(1, "sda"));
        ck_assert_int_eq(request->status, 0);
        ck_assert_int_eq(request->load.state, LEDGER_GOOD);
        ledger_request_free(request);
}
END_TEST

START_TEST(damage_met_later_fails_its_request_and_then_begins_anew) {
        open_quietly();
        fill(6000); /* more than SQLite keeps in memory */
        open_quietly();
        static uint8_t noise[1 << 20];
        memset(noise, 0xee, sizeof noise);
        overwrite(65536, noise, sizeof noise);
        struct ledger_request *request;
        int status = 0;
        for (uint64_t after = 0; after < 6000 && status == 0; after += LEDGER_PAGE) {
                request = make(LEDGER_LIST_FINDINGS);
                request->page_after = after;
                request->page_max = LEDGER_PAGE;
                request->page_all = true;
                call(request);
                status = request->status;
                ck_assert(status == 0 || strstr(request->text, "damaged"));
                ck_assert_int_eq(request->load.state, status < 0 ? LEDGER_UNAVAILABLE : LEDGER_GOOD);
                ledger_request_free(request);
        }
        ck_assert_int_eq(status, -EUCLEAN);
        sleep_us(PAST_TRY);
        request = call(finding_request(9000, "sda"));
        ck_assert_int_eq(request->status, 0);
        ck_assert_int_eq(request->load.state, LEDGER_REPLACED);
        ledger_request_free(request);
        ck_assert_int_eq(call_status(mark_request(1, 1, (struct extent){ 0, 1 }, (struct extent){ 0 })), -ENOENT);
        ck_assert_uint_gt(row_of(KEY), 1000000);
}
END_TEST

START_TEST(a_ledger_that_was_deleted_under_the_daemon_is_missed) {
        open_quietly();
        uint64_t row = row_of(KEY);
        char path[PATH_MAX];
        in_directory(path, sizeof path, "ledger.db");
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(call_status(finding_request(1, "sda")), -ESTALE);
        sleep_us(PAST_TRY);
        struct ledger_request *request = call(finding_request(1, "sda"));
        ck_assert_int_eq(request->status, 0);
        ck_assert_int_eq(request->load.state, LEDGER_REPLACED);
        ledger_request_free(request);
        ck_assert_uint_ne(row_of("another disk"), row); /* or main would take it for the one that it remembers */
}
END_TEST

START_TEST(a_full_disk_is_told_and_gotten_over) {
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                mount("tmpfs", directory, "tmpfs", 0, "size=1m") < 0) {
                printf("a_full_disk_is_told_and_gotten_over: skipped: a tmpfs can't be mounted here: %m\n");
                return;
        }
        open_quietly();
        char path[PATH_MAX];
        in_directory(path, sizeof path, "filler");
        CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        static uint8_t bytes[4096];
        while (write(fd, bytes, sizeof bytes) > 0)
                continue;
        uint64_t stored = 0;
        int status = 0;
        while (status == 0 && stored < 1000) {
                struct ledger_request *request = call(finding_request(stored + 1, "sda"));
                status = request->status;
                ck_assert(status == 0 || strstr(request->text, "free some space"));
                ck_assert_int_eq(request->load.state, status < 0 ? LEDGER_UNAVAILABLE : LEDGER_GOOD);
                ledger_request_free(request);
                stored += status == 0;
        }
        ck_assert_int_eq(status, -ENOSPC);
        ck_assert_int_eq(ftruncate(fd, 0), 0);
        sleep_us(PAST_TRY);
        ck_assert_int_eq(call_status(finding_request(stored + 1, "sda")), 0);
        close_ledger();
        struct ledger_request *load = open_ledger();
        ck_assert_uint_eq(load->load.finding_count, stored + 1);
        ledger_request_free(load);
        close_ledger();
        umount2(directory, MNT_DETACH);
}
END_TEST

/* Another process that holds the lock under which SQLite writes: https://www.sqlite.org/walformat.html#locks */
static pid_t hold_write_lock(void) {
        int fds[2];
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                char path[PATH_MAX];
                in_directory(path, sizeof path, "ledger.db-shm");
                int fd = open(path, O_RDWR | O_CLOEXEC);
                struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 120, .l_len = 1 };
                if (fd < 0 || fcntl(fd, F_SETLK, &lock) < 0 || write(fds[1], "x", 1) != 1)
                        _exit(1);
                for (;;)
                        pause();
        }
        char byte;
        close(fds[1]);
        ck_assert_int_eq(read(fds[0], &byte, 1), 1);
        close(fds[0]);
        return pid;
}

START_TEST(a_thread_that_is_stuck_is_left_behind_in_time) {
        open_quietly();
        pid_t pid = hold_write_lock();
        ck_assert(ledger_send(ledger, finding_request(1, "sda")));
        uint64_t from_us = clock_monotonic_us();
        ck_assert_int_eq(ledger_free(ledger, 200 * USEC_PER_MSEC), -ETIMEDOUT);
        ck_assert_uint_lt(clock_monotonic_us() - from_us, 2 * USEC_PER_SEC);
        struct ledger_request *answer = receive();
        ck_assert_int_eq(answer->status, -EBUSY);
        ck_assert_ptr_nonnull(strstr(answer->text, "locked"));
        ledger_request_free(answer);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        ck_assert_int_eq(ledger_free(ledger, FOREVER), 0);
        ledger = NULL;
}
END_TEST

START_TEST(a_full_queue_takes_nothing_and_slow_receivers_lose_nothing) {
        open_quietly();
        uint64_t sent = 0, received = 0;
        while (sent < 20 * CAPACITY) { /* nobody receives until both queues are full */
                struct ledger_request *request = make(LEDGER_GET_SWEEP);
                request->number = sent;
                if (ledger_send(ledger, request)) {
                        sent++;
                        continue;
                }
                ledger_request_free(request);
                if (queue_length(answers) < CAPACITY + 1)
                        continue;
                break;
        }
        ck_assert_uint_gt(sent, CAPACITY);
        for (; received < sent; received++) {
                struct ledger_request *answer = receive();
                ck_assert_uint_eq(answer->number, received);
                ledger_request_free(answer);
        }
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("ledger");
        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, a_new_ledger_starts_from_one_and_is_its_owners_alone);
        tcase_add_test(tests, a_finding_comes_back_as_it_was);
        tcase_add_test(tests, a_finding_is_replaced_by_its_id_and_leaves_the_load_when_it_is_over);
        tcase_add_test(tests, pages_of_findings_go_upwards_and_know_device_and_state);
        tcase_add_test(tests, pages_of_sweeps_hold_the_newest_in_their_order);
        tcase_add_test(tests, a_target_keeps_its_id_generation_and_ranges);
        tcase_add_test(tests, a_target_knows_the_generations_of_its_last_sweeps);
        tcase_add_test(tests, a_mark_that_can_not_be_true_is_refused_and_changes_nothing);
        tcase_add_test(tests, what_a_sweep_wrote_is_counted_once);
        tcase_add_test(tests, a_sweep_without_an_end_was_killed_when_it_was_last_heard_of);
        tcase_add_test(tests, a_sweep_counts_for_the_modes_that_it_serves);
        tcase_add_test(tests, sweeps_of_another_disk_or_extent_are_no_past);
        tcase_add_test(tests, what_the_last_sweep_was_of_is_known_after_a_restart);
        tcase_add_test(tests, a_sweep_with_a_place_goes_on_from_there);
        tcase_add_test(tests, a_place_that_comes_after_the_end_changes_nothing);
        tcase_add_test(tests, a_sweep_with_fixed_patterns_clears_what_was_known_of_its_extent_and_goes_on_in_its_pass);
        tcase_add_test(tests, what_is_wanted_of_a_device_outlives_the_daemon);
        tcase_add_test(tests, the_past_of_a_device_is_what_the_plan_wants);
        tcase_add_test(tests, the_newest_sweeps_that_wrote_are_known_whatever_came_after);
        tcase_add_test(tests, answers_keep_the_order_of_requests_and_one_refusal_harms_no_other);
        tcase_add_test(tests, what_was_sent_before_the_end_is_stored);
        tcase_add_test(tests, events_get_numbers_that_only_grow);
        tcase_add_test(tests, what_was_acknowledged_survives_a_kill_at_any_moment);
        tcase_add_test(tests, a_damaged_ledger_is_kept_aside_and_never_stops_the_daemon);
        tcase_add_test(tests, ledgers_damaged_in_one_second_get_names_of_their_own);
        tcase_add_test(tests, somebody_elses_database_is_put_aside);
        tcase_add_test(tests, a_stray_log_is_not_replayed_into_a_new_ledger);
        tcase_add_test(tests, a_ledger_of_a_later_version_is_refused_and_not_touched);
        tcase_add_test(tests, what_a_sweep_measured_is_kept_from_its_first_mark_on);
        tcase_add_test(tests, a_measurement_that_makes_no_sense_is_unknown_and_costs_nothing_else);
        tcase_add_test(tests, maps_of_schema_8_are_taken_along_where_they_were_of_the_whole_target);
        tcase_add_test(tests, extents_of_one_target_have_maps_of_their_own);
        tcase_add_test(tests, a_ledger_of_schema_2_is_taken_along_and_what_ran_was_killed);
        tcase_add_test(tests, a_ledger_of_schema_1_is_taken_along_with_all_that_it_knows);
        tcase_add_test(tests, events_and_findings_that_are_over_go_when_they_are_old);
        tcase_add_test(tests, an_old_sweep_stays_as_long_as_something_is_told_or_decided_by_it);
        tcase_add_test(tests, the_last_sweep_of_each_mode_stays);
        tcase_add_test(tests, history_ages_by_order_only);
        tcase_add_test(tests, what_is_young_stays_whatever_its_number);
        tcase_add_test(tests, a_ledger_gives_back_what_was_pruned_and_grows_no_more);
        tcase_add_test(tests, more_events_than_may_be_kept_are_pruned_however_new_they_are);
        tcase_add_test(tests, a_ledger_of_schema_3_is_pruned_like_a_new_one);
        tcase_add_test(tests, a_missing_directory_is_tried_again);
        tcase_add_test(tests, damage_met_later_fails_its_request_and_then_begins_anew);
        tcase_add_test(tests, a_ledger_that_was_deleted_under_the_daemon_is_missed);
        tcase_add_test(tests, a_full_disk_is_told_and_gotten_over);
        tcase_add_test(tests, a_thread_that_is_stuck_is_left_behind_in_time);
        tcase_add_test(tests, a_full_queue_takes_nothing_and_slow_receivers_lose_nothing);
        return suite_run("ledger", tests);
}
