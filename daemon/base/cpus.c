/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Affinity goes wrong silently: a mask is applied to the wrong thread, or the kernel trims it to what a cpuset allows.
 * So a thread pins itself only, and whoever shows a mask reads it back.
 */
#include "base/cpus.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_number(const char **text, long *ret) {
        if (**text < '0' || **text > '9')
                return -EINVAL;
        char *end;
        errno = 0;
        long n = strtol(*text, &end, 10);
        if (errno || n >= CPU_SETSIZE)
                return -ERANGE;
        *text = end;
        *ret = n;
        return 0;
}

int cpus_parse(cpu_set_t *ret, const char *text) {
        cpu_set_t set;
        CPU_ZERO(&set);
        for (;;) {
                long from;
                int r = parse_number(&text, &from);
                if (r < 0)
                        return r;
                long to = from;
                if (*text == '-') {
                        text++;
                        r = parse_number(&text, &to);
                        if (r < 0)
                                return r;
                }
                if (to < from)
                        return -EINVAL;
                for (long cpu = from; cpu <= to; cpu++)
                        CPU_SET((size_t)cpu, &set);
                if (*text == '\0')
                        break;
                if (*text++ != ',')
                        return -EINVAL;
        }
        *ret = set;
        return 0;
}

void cpus_format(char *text, size_t text_bytes, const cpu_set_t *set) {
        assert(text_bytes > 4);
        size_t used = 0;
        text[0] = '\0';
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
                if (!CPU_ISSET((size_t)cpu, set))
                        continue;
                int last = cpu;
                while (last + 1 < CPU_SETSIZE && CPU_ISSET((size_t)last + 1, set))
                        last++;
                char run[32];
                int n = last == cpu ? snprintf(run, sizeof run, "%s%d", used ? "," : "", cpu)
                                    : snprintf(run, sizeof run, "%s%d-%d", used ? "," : "", cpu, last);
                if (used + (size_t)n + 4 > text_bytes) {
                        memcpy(text + used, "...", 4);
                        return;
                }
                memcpy(text + used, run, (size_t)n + 1);
                used += (size_t)n;
                cpu = last;
        }
}

int cpus_nth(const cpu_set_t *set, size_t n) {
        size_t count = (size_t)CPU_COUNT(set);
        assert(count > 0);
        n %= count;
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
                if (CPU_ISSET((size_t)cpu, set) && n-- == 0)
                        return cpu;
        abort();
}

int cpus_of_this_thread(cpu_set_t *ret) {
        int r = pthread_getaffinity_np(pthread_self(), sizeof *ret, ret);
        return r ? -r : 0;
}

int cpus_allow_this_thread(const cpu_set_t *set) {
        int r = pthread_setaffinity_np(pthread_self(), sizeof *set, set);
        return r ? -r : 0;
}

int cpus_pin_this_thread(int cpu) {
        assert(cpu >= 0 && cpu < CPU_SETSIZE);
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)cpu, &set);
        return cpus_allow_this_thread(&set);
}
