/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sweep verifies by itself while it keeps up, on whatever CPU the kernel gives it: so all that it may be given are
 * tried. One after the other that would keep the start of a large host waiting, and all at once would take its memory.
 */
#include "base/cleanup.h"
#include "base/cpus.h"
#include "base/text.h"
#include "sweep/self_test.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

enum { AT_A_TIME = 64 };

struct tester {
        pthread_t thread;
        int cpu;
        int result;
        char missed[SELF_TEST_TEXT_BYTES];
};

static void *tester_run(void *userdata) {
        struct tester *t = userdata;
        pthread_setname_np(pthread_self(), "self-test");
        int r = cpus_pin_this_thread(t->cpu);
        if (r == 0)
                r = self_test_run(t->missed);
        t->result = r == -EINVAL ? SELF_TEST_OK : r;
        return NULL;
}

/* The first that is not OK speaks for all of them. */
static int run_some(struct tester *testers, size_t count, char *text) {
        size_t started = 0;
        int result = SELF_TEST_OK;
        for (; started < count && result == SELF_TEST_OK; started += result == SELF_TEST_OK)
                result = -pthread_create(&testers[started].thread, NULL, tester_run, &testers[started]);
        for (size_t i = 0; i < started; i++) {
                pthread_join(testers[i].thread, NULL);
                if (result != SELF_TEST_OK || testers[i].result == SELF_TEST_OK)
                        continue;
                result = testers[i].result;
                text_copy(text, SELF_TEST_TEXT_BYTES, testers[i].missed);
        }
        return result;
}

int self_test_run_on(const cpu_set_t *cpus, char text[static SELF_TEST_TEXT_BYTES]) {
        CLEANUP_FREE struct tester *testers = calloc(AT_A_TIME, sizeof *testers);
        if (!testers)
                return -ENOMEM;
        size_t all = (size_t)CPU_COUNT(cpus);
        int result = SELF_TEST_OK;
        for (size_t done = 0; done < all && result == SELF_TEST_OK;) {
                size_t count = MIN(all - done, (size_t)AT_A_TIME);
                for (size_t i = 0; i < count; i++)
                        testers[i] = (struct tester){ .cpu = cpus_nth(cpus, done + i) };
                result = run_some(testers, count, text);
                done += count;
        }
        return result;
}
