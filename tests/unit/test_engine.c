/* SPDX-License-Identifier: Apache-2.0 */
/* The real engine on a loop device: what is written is read back, nothing is lost at full depth, errors come as they
 * are. */
#include "base/cleanup.h"
#include "loop_disk.h"
#include "media/engine_libaio.h"
#include "media/target.h"
#include "suite.h"

#include <linux/fs.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>

enum { DISK_BYTES = 8 << 20, BLOCK_BYTES = 64 << 10, DEPTH = 8, BLOCKS = DISK_BYTES / BLOCK_BYTES };

struct rig {
        struct loop_disk disk;
        struct target *target;
        struct engine *engine;
        int wake_fd;
};

static void rig_open(struct rig *rig, bool writable) {
        loop_disk_new(&rig->disk, DISK_BYTES);
        struct reason reason;
        struct target_options options = { .path = rig->disk.path, .writable = writable };
        ck_assert_int_eq(target_open(&rig->target, &reason, &options), TARGET_OK);
        rig->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        ck_assert_int_ge(rig->wake_fd, 0);
        ck_assert_int_eq(engine_libaio_of_target(&rig->engine, rig->target, DEPTH, rig->wake_fd), 0);
}

static void rig_close(struct rig *rig) {
        ck_assert_ptr_null(engine_free(rig->engine));
        ck_assert_ptr_null(target_close(rig->target));
        close(rig->wake_fd);
        close(rig->disk.fd);
}

/* Waits by the eventfd alone, so that a wake-up that does not come is seen. */
static size_t rig_reap(struct rig *rig, struct engine_io **done, size_t max) {
        struct pollfd wait = { .fd = rig->wake_fd, .events = POLLIN };
        for (;;) {
                size_t n = engine_reap(rig->engine, done, max);
                if (n > 0)
                        return n;
                uint64_t count;
                ck_assert_msg(poll(&wait, 1, 10000) == 1, "no completion within 10 s");
                ck_assert_int_eq(read(rig->wake_fd, &count, sizeof count), sizeof count);
        }
}

/* Runs all requests to their end, as many at once as the engine takes. */
static void rig_run(struct rig *rig, struct engine_io *const *ios, size_t count) {
        for (size_t submitted = 0, completed = 0; completed < count;) {
                int n = engine_submit(rig->engine, ios + submitted, count - submitted);
                ck_assert_int_ge(n, 0);
                submitted += (size_t)n;
                ck_assert_uint_le(submitted - completed, DEPTH);
                struct engine_io *done[DEPTH];
                completed += rig_reap(rig, done, DEPTH);
        }
}

static void *aligned(size_t bytes) {
        void *p = aligned_alloc(4096, bytes);
        ck_assert_ptr_nonnull(p);
        return p;
}

static void run_all(struct rig *rig, enum engine_op op, char *bytes, uint64_t seed) {
        static struct engine_io ios[BLOCKS];
        struct engine_io *order[BLOCKS];
        for (size_t i = 0; i < BLOCKS; i++) {
                ios[i] = (struct engine_io){ .op = op,
                        .length_bytes = BLOCK_BYTES,
                        .offset_bytes = i * BLOCK_BYTES,
                        .buffer = bytes + i * BLOCK_BYTES,
                        .owner = &ios[i] };
                order[i] = &ios[i];
        }
        for (size_t i = BLOCKS - 1; i > 0; i--) {
                size_t j = suite_random(&seed) % (i + 1);
                struct engine_io *swapped = order[i];
                order[i] = order[j];
                order[j] = swapped;
        }
        rig_run(rig, order, BLOCKS);
        for (size_t i = 0; i < BLOCKS; i++) {
                ck_assert_int_eq(ios[i].result, BLOCK_BYTES);
                ck_assert_ptr_eq(ios[i].owner, &ios[i]);
                ck_assert(ios[i].submitted_us > 0 && ios[i].completed_us >= ios[i].submitted_us);
        }
}

START_TEST(what_is_written_in_any_order_is_read_back) {
        struct rig rig;
        rig_open(&rig, true);
        CLEANUP_FREE char *out = aligned(DISK_BYTES), *in = aligned(DISK_BYTES);
        for (uint64_t seed = 1; seed <= 5; seed++) {
                uint64_t state = seed;
                for (size_t i = 0; i < DISK_BYTES; i += sizeof(uint64_t)) {
                        uint64_t word = suite_random(&state);
                        memcpy(out + i, &word, sizeof word);
                }
                memset(in, 0, DISK_BYTES);
                run_all(&rig, ENGINE_WRITE, out, seed);
                struct engine_io flush = { .op = ENGINE_FLUSH, .result = -1 }, *flushes[] = { &flush };
                rig_run(&rig, flushes, 1);
                ck_assert_int_eq(flush.result, 0);
                run_all(&rig, ENGINE_READ, in, seed + 100);
                ASSERT_SEEDED(seed, memcmp(in, out, DISK_BYTES) == 0);
        }
        rig_close(&rig);
}
END_TEST

START_TEST(more_than_the_depth_is_not_taken) {
        struct rig rig;
        rig_open(&rig, false);
        CLEANUP_FREE char *bytes = aligned((DEPTH + 1) * 4096);
        struct engine_io ios[DEPTH + 1], *order[DEPTH + 1], *done[DEPTH + 1];
        for (size_t i = 0; i <= DEPTH; i++) {
                ios[i] = (struct engine_io){ .op = ENGINE_READ, .length_bytes = 4096, .buffer = bytes + i * 4096 };
                order[i] = &ios[i];
        }
        ck_assert_int_eq(engine_submit(rig.engine, order, DEPTH + 1), DEPTH);
        ck_assert_int_eq(engine_submit(rig.engine, order + DEPTH, 1), 0);
        for (size_t n = 0; n < DEPTH;)
                n += rig_reap(&rig, done, DEPTH + 1);
        ck_assert_int_eq(engine_submit(rig.engine, order + DEPTH, 1), 1);
        ck_assert_uint_eq(rig_reap(&rig, done, DEPTH + 1), 1);
        ck_assert_ptr_eq(done[0], order[DEPTH]);
        ck_assert_uint_eq(engine_reap(rig.engine, done, DEPTH + 1), 0);
        rig_close(&rig);
}
END_TEST

START_TEST(a_read_past_the_end_is_short_and_a_misaligned_one_an_error) {
        struct rig rig;
        rig_open(&rig, false);
        CLEANUP_FREE char *bytes = aligned(8192);
        struct engine_io past = {
                .op = ENGINE_READ, .length_bytes = 8192, .offset_bytes = DISK_BYTES - 4096, .buffer = bytes
        };
        struct engine_io crooked = { .op = ENGINE_READ, .length_bytes = 100, .buffer = bytes };
        struct engine_io *ios[] = { &past, &crooked };
        rig_run(&rig, ios, 1);
        ck_assert_int_eq(past.result, 4096);
        rig_run(&rig, ios + 1, 1);
        ck_assert_int_eq(crooked.result, -EINVAL);
        rig_close(&rig);
}
END_TEST

START_TEST(what_the_kernel_refuses_at_once_still_belongs_to_the_caller) {
        struct rig rig;
        rig_open(&rig, false); /* for reading only */
        CLEANUP_FREE char *bytes = aligned(4096);
        struct engine_io write = { .op = ENGINE_WRITE, .length_bytes = 4096, .buffer = bytes }, *ios[] = { &write };
        for (size_t i = 0; i < 3 * DEPTH; i++)
                ck_assert_int_eq(engine_submit(rig.engine, ios, 1), -EBADF);
        /* A read before it is taken, and the refused ones have used up none of the depth. */
        struct engine_io reads[DEPTH], *order[DEPTH + 1], *together[DEPTH];
        for (size_t i = 0; i < DEPTH; i++) {
                reads[i] = (struct engine_io){ .op = ENGINE_READ, .length_bytes = 4096, .buffer = bytes };
                order[i] = &reads[i];
        }
        struct engine_io *both[] = { order[0], &write };
        ck_assert_int_eq(engine_submit(rig.engine, both, 2), 1);
        ck_assert_int_eq(engine_submit(rig.engine, order + 1, DEPTH - 1), DEPTH - 1);
        for (size_t n = 0; n < DEPTH;)
                n += rig_reap(&rig, together, DEPTH);
        for (size_t i = 0; i < DEPTH; i++)
                ck_assert_int_eq(reads[i].result, 4096);
        rig_close(&rig);
}
END_TEST

START_TEST(a_look_tells_size_and_name) {
        struct rig rig;
        rig_open(&rig, true);
        struct engine_look look;
        ck_assert_int_eq(engine_look(rig.engine, &look), 0);
        ck_assert_uint_eq(look.size_bytes, DISK_BYTES);
        ck_assert_uint_eq(look.diskseq, target_facts(rig.target)->diskseq);
        ck_assert(!look.gone && !look.read_only);
        rig_close(&rig);
}
END_TEST

static uint64_t written(const struct rig *rig) {
        struct engine_look look;
        ck_assert_int_eq(engine_look(rig->engine, &look), 0);
        ck_assert(look.counts_known);
        return look.written_bytes;
}

static void set_queue(const struct rig *rig, const char *attribute, const char *value) {
        char path[128];
        text_format(path, sizeof path, "/sys/block/%s/queue/%s", rig->disk.path + strlen("/dev/"), attribute);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        ck_assert_int_eq(write(fd, value, strlen(value)), (ssize_t)strlen(value));
        close(fd);
}

/* A batch of neighbours, which the kernel merges, that are small or larger than it takes in one, which it splits. */
static uint64_t write_some(struct rig *rig, char *bytes, uint64_t *state) {
        enum { LENGTH_MAX = DISK_BYTES / DEPTH };
        struct engine_io ios[DEPTH], *order[DEPTH], *done[DEPTH];
        uint64_t before = written(rig), at = 0, completed = 0;
        uint64_t most = suite_random(state) % 2 ? 4 : LENGTH_MAX / 4096;
        for (size_t i = 0; i < DEPTH; i++) {
                uint32_t length = (uint32_t)(4096 * (1 + suite_random(state) % most));
                ios[i] = (struct engine_io){
                        .op = ENGINE_WRITE, .length_bytes = length, .offset_bytes = at, .buffer = bytes + at
                };
                order[i] = &ios[i];
                at += length;
        }
        ck_assert_int_eq(engine_submit(rig->engine, order, DEPTH), DEPTH);
        for (size_t left = DEPTH; left > 0;) {
                size_t n = rig_reap(rig, done, DEPTH);
                left -= n;
                for (size_t i = 0; i < n; i++)
                        completed += (uint64_t)done[i]->result;
                uint64_t counted = written(rig) - before;
                ck_assert_uint_ge(counted, completed);
                ck_assert_uint_le(counted, at);
        }
        ck_assert_uint_eq(completed, at);
        return at;
}

START_TEST(what_has_completed_is_counted_to_the_byte) {
        struct rig rig;
        rig_open(&rig, true);
        set_queue(&rig, "max_sectors_kb", "64");
        CLEANUP_FREE char *bytes = aligned(DISK_BYTES);
        memset(bytes, 'x', DISK_BYTES);
        for (uint64_t seed = 1; seed <= 100; seed++) {
                uint64_t state = seed, before = written(&rig), ours = write_some(&rig, bytes, &state);
                ASSERT_SEEDED(seed, written(&rig) - before == ours);
        }
        uint64_t before = written(&rig);
        struct engine_io flush = { .op = ENGINE_FLUSH }, *flushes[] = { &flush };
        rig_run(&rig, flushes, 1);
        struct engine_io read_back = { .op = ENGINE_READ, .length_bytes = BLOCK_BYTES, .buffer = bytes };
        struct engine_io *reads[] = { &read_back };
        rig_run(&rig, reads, 1);
        ck_assert_uint_eq(written(&rig), before);
        rig_close(&rig);
}
END_TEST

START_TEST(writes_and_discards_of_others_are_counted) {
        struct rig rig;
        rig_open(&rig, true);
        uint64_t before = written(&rig);
        char sector[512] = { 1 };
        ck_assert_int_eq(pwrite(rig.disk.fd, sector, sizeof sector, 4096), sizeof sector);
        ck_assert_int_eq(fsync(rig.disk.fd), 0);
        ck_assert_uint_eq(written(&rig) - before, 4096); /* through the page cache: the whole page */
        before = written(&rig);
        uint64_t range[2] = { 1 << 20, 2 << 20 };
        ck_assert_int_eq(ioctl(rig.disk.fd, BLKDISCARD, range), 0);
        ck_assert_uint_eq(written(&rig) - before, range[1]);
        before = written(&rig);
        ck_assert_int_eq(ioctl(rig.disk.fd, BLKZEROOUT, range), 0);
        ck_assert_uint_ge(written(&rig) - before, range[1]); /* twice, where it was tried without data at first */
        rig_close(&rig);
}
END_TEST

START_TEST(counts_that_are_turned_off_are_unknown) {
        struct rig rig;
        rig_open(&rig, true);
        set_queue(&rig, "iostats", "0");
        struct engine_look look;
        ck_assert_int_eq(engine_look(rig.engine, &look), 0);
        ck_assert(!look.counts_known);
        set_queue(&rig, "iostats", "1");
        ck_assert_int_eq(engine_look(rig.engine, &look), 0);
        ck_assert(look.counts_known);
        rig_close(&rig);
}
END_TEST

int main(void) {
        const char *missing = loop_disk_set_up();
        if (missing) {
                printf("skipped: %s\n", missing);
                return LOOP_DISK_SKIP;
        }
        TCase *tests = tcase_create("engine");
        tcase_add_test(tests, what_is_written_in_any_order_is_read_back);
        tcase_add_test(tests, more_than_the_depth_is_not_taken);
        tcase_add_test(tests, a_read_past_the_end_is_short_and_a_misaligned_one_an_error);
        tcase_add_test(tests, what_the_kernel_refuses_at_once_still_belongs_to_the_caller);
        tcase_add_test(tests, a_look_tells_size_and_name);
        tcase_add_test(tests, what_has_completed_is_counted_to_the_byte);
        tcase_add_test(tests, writes_and_discards_of_others_are_counted);
        tcase_add_test(tests, counts_that_are_turned_off_are_unknown);
        int r = suite_run("engine", tests);
        loop_disk_tear_down();
        return r;
}
