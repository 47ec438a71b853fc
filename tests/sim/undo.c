/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sweep that overwrites data and puts it back must lose nothing, whenever the power goes. Three proofs: all crashes
 * of small cases, one by one (--explore); large cases with every kind of fault at every step (--faults); and the same
 * crashes of protocols that are known to lose, which must be found out (--naive). Whatever fails tells how to see it
 * again.
 */
#include "base/cleanup.h"
#include "failure.h"
#include "undo_faults.h"
#include "undo_protocols.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS_MAX = 64, NESTED_DEPTH = 2, MATRIX_SEEDS = 10000 };

enum action { ACTION_EXPLORE, ACTION_FAULTS, ACTION_NAIVE };

struct arguments {
        enum action action;
        uint64_t states; /* to be reached at least; 0: all shapes once */
        uint64_t first, seeds;
        struct path path;
        unsigned jobs;
        unsigned nested_one_in; /* 0: as many as can be done in a minute */
        bool used;              /* the disk is used between crash and recovery */
};

static uint64_t seed;
static bool verbose;
static const char *action_name = ""; /* with a space behind it */

void failure_begin(uint64_t number, const char *option) {
        seed = number;
        action_name = option;
}

void failure(const char *format, ...) {
        char path[64];
        va_list arguments;
        va_start(arguments, format);
        explore_path_text(path, sizeof path);
        fprintf(stderr, "seed %" PRIu64 "%s%s: ", seed, path[0] ? ", state " : "", path);
        vfprintf(stderr, format, arguments);
        fprintf(stderr, "\nreplay: undo %s--verbose --seed %" PRIu64 "%s%s\n", action_name, seed,
                path[0] ? " --state " : "", path);
        va_end(arguments);
        fflush(NULL);
        _exit(EXIT_FAILURE);
}

void story(const char *format, ...) {
        if (!verbose)
                return;
        va_list arguments;
        va_start(arguments, format);
        vprintf(format, arguments);
        va_end(arguments);
        putchar('\n');
        fflush(stdout);
}

/* A failed assertion of what is tried: its own text has been printed. */
static void on_abort(int number) {
        failure("signal %d", number);
}

/* What the jobs have counted, shared between them. */
struct job {
        struct counts counts;
        struct fault_counts faults;
};

static struct undo_case c;

static void explore_one(const struct arguments *a, struct counts *counts, uint64_t number) {
        struct exploration e = {
                .c = &c,
                .protocol = a->used ? &undo_used_between : &undo_protocol,
                .depth = NESTED_DEPTH,
                .only = a->path.length > 0 ? &a->path : NULL,
                .counts = counts,
        };
        failure_begin(number, a->used ? "--explore --used " : "--explore ");
        pages_reset();
        undo_case_small(&c, number);
        bool large = c.segment_bytes > 2 * (uint64_t)c.block_bytes;
        e.nested_one_in = a->nested_one_in ? a->nested_one_in : large ? 4096 : 1;
        (void)explore(&e);
}

static void explore_some(const struct arguments *a, struct job *job, unsigned index) {
        uint64_t shapes = undo_case_shapes(), states = a->states / a->jobs;
        for (uint64_t i = a->first;; i++) {
                bool all_shapes = i >= a->first + shapes;
                if (a->seeds ? i >= a->first + a->seeds : all_shapes && job->counts.states >= states)
                        break;
                if (i % a->jobs == index)
                        explore_one(a, &job->counts, i);
        }
}

static void faults_some(const struct arguments *a, struct job *job, unsigned index) {
        for (uint64_t i = a->first; i < a->first + a->seeds; i++)
                if (i % a->jobs == index) {
                        failure_begin(i, "--faults ");
                        pages_reset();
                        undo_faults_run(i, &job->faults);
                }
}

static void work(const struct arguments *a, struct job *job, unsigned index) {
        if (a->action == ACTION_EXPLORE)
                explore_some(a, job, index);
        else
                faults_some(a, job, index);
}

/* Each job is a process of its own. */
static bool run_jobs(const struct arguments *a, struct job *jobs) {
        pid_t pids[JOBS_MAX];
        bool good = true;
        fflush(NULL);
        for (unsigned i = 0; i < a->jobs; i++) {
                pids[i] = fork();
                MUST(pids[i] >= 0, "fork");
                if (pids[i] > 0)
                        continue;
                work(a, &jobs[i], i);
                exit(EXIT_SUCCESS); /* what watches over a program looks at its end */
        }
        for (unsigned i = 0; i < a->jobs; i++) {
                int status;
                while (waitpid(pids[i], &status, 0) < 0)
                        MUST(errno == EINTR, "waitpid");
                good &= WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
        }
        return good;
}

static void print_explored(const struct arguments *a, const struct job *jobs) {
        struct counts t = { 0 };
        for (unsigned i = 0; i < a->jobs; i++) {
                const struct counts *one = &jobs[i].counts;
                t.cases += one->cases;
                t.moments += one->moments;
                t.crashes += one->crashes;
                t.states += one->states;
                t.nested += one->nested;
                t.recoveries += one->recoveries;
                t.losses += one->losses;
        }
        printf("cases %" PRIu64 ", moments %" PRIu64 ", crashes %" PRIu64 ", different states %" PRIu64 " (%" PRIu64
               " of them left by a cut in a recovery), recoveries %" PRIu64 ", losses %" PRIu64 "\n",
                t.cases, t.moments, t.crashes, t.states, t.nested, t.recoveries, t.losses);
        MUST(a->states == 0 || a->path.length > 0 || t.states >= a->states, "too few states: there must be %" PRIu64,
                a->states);
}

static void print_faults(const struct arguments *a, const struct job *jobs) {
        struct fault_counts t = { 0 };
        for (unsigned i = 0; i < a->jobs; i++)
                undo_faults_add(&t, &jobs[i].faults);
        undo_faults_print(&t);
        if (a->seeds >= MATRIX_SEEDS)
                undo_faults_check(&t);
}

/* Each must lose where it is known to, and the well ordered one must not where nobody else writes. */
static void try_naive(void) {
        static const struct protocol *const losers[] = { &naive_in_memory, &naive_unordered, &naive_blind };
        struct counts counts = { 0 };
        struct exploration e = { .c = &c, .depth = 1, .nested_one_in = 1, .stop_at_loss = true, .counts = &counts };
        failure_begin(0, "--naive ");
        pages_reset();
        undo_case_small(&c, 0);
        for (size_t i = 0; i < ELEMENTS(losers); i++) {
                char path[64];
                explore_forget();
                counts = (struct counts){ 0 };
                e.protocol = losers[i];
                MUST(explore(&e), "%s: no loss was found", losers[i]->name);
                explore_path_text(path, sizeof path);
                printf("%s: a loss after %" PRIu64 " states (state %s)\n", losers[i]->name, counts.states, path);
        }
        explore_forget();
        counts = (struct counts){ 0 };
        e.protocol = &naive_ordered;
        MUST(!explore(&e), "%s: a loss that there can't be", e.protocol->name);
        printf("%s: no loss in %" PRIu64 " states\n", e.protocol->name, counts.states);
}

static _Noreturn void usage(int status) {
        fputs("Usage: undo --explore [--used] [--states COUNT] [--seeds COUNT] [--nested ONE_IN]\n"
              "       undo --faults [--seeds COUNT]\n"
              "       undo --naive\n"
              "Options: --first SEED, --jobs COUNT, --seed SEED [--state STATE], --verbose\n",
                status == 0 ? stdout : stderr);
        exit(status);
}

static void read_arguments(struct arguments *a, int argc, char **argv) {
        static const struct option options[] = {
                { "explore", no_argument, NULL, 'e' },
                { "faults", no_argument, NULL, 'r' },
                { "naive", no_argument, NULL, 'p' },
                { "used", no_argument, NULL, 'u' },
                { "states", required_argument, NULL, 'n' },
                { "seeds", required_argument, NULL, 'c' },
                { "nested", required_argument, NULL, 'd' },
                { "first", required_argument, NULL, 'f' },
                { "seed", required_argument, NULL, 's' },
                { "state", required_argument, NULL, 'k' },
                { "jobs", required_argument, NULL, 'j' },
                { "verbose", no_argument, NULL, 'v' },
                { "help", no_argument, NULL, 'h' },
                { 0 },
        };
        for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
                switch (option) {
                case 'e':
                        a->action = ACTION_EXPLORE;
                        break;
                case 'r':
                        a->action = ACTION_FAULTS;
                        break;
                case 'p':
                        a->action = ACTION_NAIVE;
                        break;
                case 'u':
                        a->used = true;
                        break;
                case 'n':
                        a->states = strtoull(optarg, NULL, 10);
                        break;
                case 'c':
                        a->seeds = strtoull(optarg, NULL, 10);
                        break;
                case 'd':
                        a->nested_one_in = (unsigned)strtoul(optarg, NULL, 10);
                        break;
                case 's':
                        a->seeds = a->jobs = 1;
                        a->first = strtoull(optarg, NULL, 10);
                        break;
                case 'f':
                        a->first = strtoull(optarg, NULL, 10);
                        break;
                case 'k':
                        if (!explore_path_read(&a->path, optarg))
                                usage(EXIT_FAILURE);
                        break;
                case 'j':
                        a->jobs = (unsigned)strtoul(optarg, NULL, 10);
                        break;
                case 'v':
                        verbose = true;
                        break;
                default:
                        usage(option == 'h' ? EXIT_SUCCESS : EXIT_FAILURE);
                }
        if (a->jobs < 1 || a->jobs > JOBS_MAX)
                usage(EXIT_FAILURE);
}

int main(int argc, char **argv) {
        struct arguments a = { .jobs = (unsigned)MAX(1, sysconf(_SC_NPROCESSORS_ONLN)) };
        a.jobs = MIN(a.jobs, (unsigned)JOBS_MAX);
        read_arguments(&a, argc, argv);
        struct sigaction action = { .sa_handler = on_abort };
        sigaction(SIGABRT, &action, NULL);
        sigaction(SIGSEGV, &action, NULL);
        if (a.action == ACTION_NAIVE) {
                try_naive();
                return EXIT_SUCCESS;
        }
        struct job *jobs = mmap(NULL, a.jobs * sizeof *jobs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        MUST(jobs != MAP_FAILED, "out of memory");
        if (!run_jobs(&a, jobs))
                return EXIT_FAILURE;
        if (a.action == ACTION_EXPLORE)
                print_explored(&a, jobs);
        else
                print_faults(&a, jobs);
        return EXIT_SUCCESS;
}
