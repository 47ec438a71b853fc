/* SPDX-License-Identifier: Apache-2.0 */
/* A mask that is read or applied wrongly shows nowhere but in the load of other CPUs. */
#include "base/cpus.h"
#include "suite.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

static void assert_parses_as(const char *text, const char *formatted) {
        cpu_set_t set;
        char back[CPUS_TEXT_BYTES];
        ck_assert_msg(cpus_parse(&set, text) == 0, "\"%s\"", text);
        cpus_format(back, sizeof back, &set);
        ck_assert_str_eq(back, formatted);
}

START_TEST(lists_are_read_and_written_in_their_shortest_form) {
        assert_parses_as("0", "0");
        assert_parses_as("0-3,8", "0-3,8");
        assert_parses_as("8,0,1,2,3,3", "0-3,8");
        assert_parses_as("5-5", "5");
        assert_parses_as("0,2,4", "0,2,4");
        assert_parses_as("1023", "1023");
        assert_parses_as("0-1023", "0-1023");
}
END_TEST

START_TEST(what_is_not_a_list_is_refused_and_leaves_the_result_alone) {
        static const char *const bad[] = { "", " ", "0-", "-1", "0,", ",0", "0,,1", "3-1", "a", "0-3x", "0 1", "+1",
                "0x1", "all" };
        cpu_set_t before, set;
        CPU_ZERO(&before);
        CPU_SET(7, &before);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                set = before;
                ck_assert_msg(cpus_parse(&set, bad[i]) == -EINVAL, "\"%s\"", bad[i]);
                ck_assert(CPU_EQUAL(&set, &before));
        }
        static const char *const large[] = { "1024", "0-1024", "99999999999999999999", "0-99999999999999999999" };
        for (size_t i = 0; i < sizeof large / sizeof *large; i++)
                ck_assert_msg(cpus_parse(&set, large[i]) == -ERANGE, "\"%s\"", large[i]);
}
END_TEST

START_TEST(any_set_survives_being_written_and_read) {
        for (uint64_t seed = 0; seed < 2000; seed++) {
                uint64_t state = seed;
                cpu_set_t set, back;
                CPU_ZERO(&set);
                size_t count = 1 + suite_random(&state) % 20;
                for (size_t i = 0; i < count; i++)
                        CPU_SET(suite_random(&state) % 128, &set);
                char text[CPUS_TEXT_BYTES];
                cpus_format(text, sizeof text, &set);
                ASSERT_SEEDED(seed, cpus_parse(&back, text) == 0 && CPU_EQUAL(&set, &back));
        }
}
END_TEST

START_TEST(a_list_that_does_not_fit_says_so) {
        cpu_set_t set;
        CPU_ZERO(&set);
        for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu += 2)
                CPU_SET(cpu, &set);
        for (size_t room = 5; room < CPUS_TEXT_BYTES; room++) {
                char text[CPUS_TEXT_BYTES];
                memset(text, 'x', sizeof text);
                cpus_format(text, room, &set);
                size_t length = strnlen(text, room);
                ck_assert_uint_lt(length, room);
                ck_assert_str_eq(text + length - 3, "...");
        }
}
END_TEST

START_TEST(the_nth_cpu_counts_modulo_the_set) {
        cpu_set_t set;
        ck_assert_int_eq(cpus_parse(&set, "1,4-5,900"), 0);
        static const int order[] = { 1, 4, 5, 900 };
        for (size_t n = 0; n < 40; n++)
                ck_assert_int_eq(cpus_nth(&set, n), order[n % 4]);
}
END_TEST

static void *pin_and_read_back(void *result) {
        cpu_set_t set;
        int *cpu = result;
        int wanted = *cpu;
        *cpu = cpus_pin_this_thread(wanted);
        if (*cpu == 0 && cpus_of_this_thread(&set) == 0 && CPU_COUNT(&set) == 1)
                *cpu = cpus_nth(&set, 0);
        return NULL;
}

START_TEST(pinning_moves_the_calling_thread_and_no_other) {
        cpu_set_t mine, after;
        ck_assert_int_eq(cpus_of_this_thread(&mine), 0);
        for (size_t n = 0; n < (size_t)CPU_COUNT(&mine); n++) {
                int cpu = cpus_nth(&mine, n);
                pthread_t thread;
                ck_assert_int_eq(pthread_create(&thread, NULL, pin_and_read_back, &cpu), 0);
                pthread_join(thread, NULL);
                ck_assert_int_eq(cpu, cpus_nth(&mine, n));
        }
        ck_assert_int_eq(cpus_of_this_thread(&after), 0);
        ck_assert(CPU_EQUAL(&mine, &after));
}
END_TEST

START_TEST(a_cpu_that_is_not_there_can_not_be_pinned_to) {
        cpu_set_t mine, after;
        ck_assert_int_eq(cpus_of_this_thread(&mine), 0);
        ck_assert(!CPU_ISSET(CPU_SETSIZE - 1, &mine));
        ck_assert_int_eq(cpus_pin_this_thread(CPU_SETSIZE - 1), -EINVAL);
        ck_assert_int_eq(cpus_of_this_thread(&after), 0);
        ck_assert(CPU_EQUAL(&mine, &after));
}
END_TEST

int main(void) {
        TCase *t = tcase_create("cpus");
        tcase_add_test(t, lists_are_read_and_written_in_their_shortest_form);
        tcase_add_test(t, what_is_not_a_list_is_refused_and_leaves_the_result_alone);
        tcase_add_test(t, any_set_survives_being_written_and_read);
        tcase_add_test(t, a_list_that_does_not_fit_says_so);
        tcase_add_test(t, the_nth_cpu_counts_modulo_the_set);
        tcase_add_test(t, pinning_moves_the_calling_thread_and_no_other);
        tcase_add_test(t, a_cpu_that_is_not_there_can_not_be_pinned_to);
        return suite_run("cpus", t);
}
