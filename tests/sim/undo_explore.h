/* SPDX-License-Identifier: Apache-2.0 */
/*
 * undo_explore: runs a program that overwrites data, cuts the power at each moment at which that makes a difference,
 * goes through what the cut may leave, lets the program's recovery run on it, and cuts that, too.
 */
#pragma once

#include "undo_case.h"

/* What is tried: the sweep, or one of the protocols that are known to lose. */
struct protocol {
        const char *name;
        bool killed; /* it is also killed with the power on, and what caches hold stays there */
        void (*run)(const struct undo_case *c, struct world *w);
        /* What happens to the target between the first cut and the recovery. NULL: nothing. */
        void (*meanwhile)(const struct undo_case *c, struct image *target);
        /* NULL: there is none. */
        void (*recover)(const struct undo_case *c, struct world *w);
        /* Looks at both disks after a recovery that nothing disturbed. cut: the target as recovery found it. NULL, or
         * what is lost. */
        const char *(*judge)(const struct undo_case *c, const struct world *w, const struct image *cut);
        /* At the end of the run, if nothing cut it. */
        const char *(*judge_run)(const struct undo_case *c, const struct world *w);
};

enum { EXPLORE_DEPTH = 2, PATH_STEPS = EXPLORE_DEPTH + 1 };

/* The way to a state: at which moment of which run the power went, and which of all outcomes that had. */
struct cut {
        unsigned moment;
        uint32_t outcome;
};

struct path {
        unsigned length;
        struct cut cuts[PATH_STEPS];
};

struct counts {
        uint64_t states;  /* different ones, each of which recovery was run on */
        uint64_t crashes; /* outcomes that were gone through */
        uint64_t recoveries;
        uint64_t nested; /* states that a cut in a recovery left */
        uint64_t moments, cases, losses;
};

struct exploration {
        const struct undo_case *c;
        const struct protocol *protocol;
        unsigned depth;          /* of cuts in recoveries; 0: none */
        unsigned nested_one_in;  /* of the states that a cut in a recovery left: its recovery is cut, too */
        const struct path *only; /* NULL: all */
        bool stop_at_loss;       /* else the process ends there, by failure() */
        uint64_t enough;         /* states; 0: no limit */
        struct counts *counts;
};

/* True: something was lost. */
bool explore(const struct exploration *e);

/* How to see the state again that is being tried. */
void explore_path_text(char *text, size_t room);
bool explore_path_read(struct path *path, const char *text);

/* Forgets which states have been tried. */
void explore_forget(void);
