/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that is bad everywhere must neither flood people with millions of findings nor make the daemon grow, and a
 * single bad unit must never vanish among others. So runs are merged while they touch, the table has a fixed size, and
 * overflow costs exactness of place only, never of count.
 */
#include "sweep/fault_table.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* One further run of each class always finds room, or a full table could have no run to add a new class to. */
enum { CAPACITY = FAULT_TABLE_RUNS_MAX + FAULT_COUNT };

struct fault_table {
        size_t count;
        uint32_t next_serial;
        uint16_t order[CAPACITY]; /* indices into runs, by place */
        struct fault_run runs[CAPACITY];
};

int fault_table_new(struct fault_table **ret) {
        struct fault_table *t = calloc(1, sizeof *t);
        if (!t)
                return -ENOMEM;
        t->next_serial = 1;
        *ret = t;
        return 0;
}

struct fault_table *fault_table_free(struct fault_table *t) {
        free(t);
        return NULL;
}

/* Where in the order a place belongs: behind all that begin before it or with it. */
static size_t position(const struct fault_table *t, uint64_t offset_bytes) {
        size_t low = 0, high = t->count;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (t->runs[t->order[middle]].place.offset_bytes <= offset_bytes)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

/* Not every unit of a large fault is tried again: those that were speak for those that were not. */
static bool may_be_one(enum persistence a, enum persistence b) {
        return a == b || (a == PERSISTENCE_UNKNOWN && b != PERSISTENCE_TRANSIENT) ||
                (b == PERSISTENCE_UNKNOWN && a != PERSISTENCE_TRANSIENT);
}

/* What the whole is, where the parts may be one. */
static enum persistence joint_persistence(enum persistence a, enum persistence b) {
        return a == PERSISTENCE_UNKNOWN ? b : a;
}

static bool same_kind(const struct fault_run *a, const struct fault_run *b) {
        return a->pass == b->pass && a->fault == b->fault && a->cause == b->cause && a->withheld == b->withheld &&
                a->doubtful == b->doubtful && may_be_one(a->persistence, b->persistence);
}

static bool touches(const struct fault_run *run, const struct fault_run *fault) {
        return fault->place.offset_bytes <= extent_end(run->place) &&
                run->place.offset_bytes <= extent_end(fault->place);
}

static void remove_at(struct fault_table *t, size_t at);

/* A run that has grown is bad all over, also where the parts overlap, unless the table was full before. */
static void add_bad_bytes(struct fault_run *run, uint64_t bytes) {
        run->bad_bytes = run->coarse ? run->bad_bytes + bytes : run->place.length_bytes;
}

/* The run grows by a fault that touches it, and swallows the next one of its kind if it now touches that. */
static void grow(struct fault_table *t, size_t at, const struct fault_run *fault) {
        struct fault_run *run = &t->runs[t->order[at]];
        if (fault->place.offset_bytes < run->place.offset_bytes) {
                memcpy(run->text, fault->text, sizeof run->text);
                run->detail = fault->detail;
                run->sample = fault->sample;
        }
        run->place = extent_hull(run->place, fault->place);
        add_bad_bytes(run, fault->place.length_bytes);
        run->persistence = joint_persistence(run->persistence, fault->persistence);
        run->sampled &= fault->sampled;
}

static void join_followers(struct fault_table *t, size_t at) {
        for (size_t i = at + 1; i < t->count;) {
                struct fault_run *run = &t->runs[t->order[at]], *next = &t->runs[t->order[i]];
                if (next->place.offset_bytes > extent_end(run->place))
                        return;
                if (!same_kind(run, next) || next->reported_bytes > 0) {
                        i++;
                        continue;
                }
                run->place = extent_hull(run->place, next->place);
                run->coarse |= next->coarse;
                add_bad_bytes(run, next->bad_bytes);
                run->persistence = joint_persistence(run->persistence, next->persistence);
                run->sampled &= next->sampled;
                remove_at(t, i); /* may move run to another slot */
        }
}

/* The last slot's run moves into the hole, so that runs[0..count) stay in use. */
static void remove_at(struct fault_table *t, size_t at) {
        uint16_t hole = t->order[at], last = (uint16_t)(t->count - 1);
        memmove(&t->order[at], &t->order[at + 1], (t->count - at - 1) * sizeof t->order[0]);
        t->count--;
        if (hole == last)
                return;
        t->runs[hole] = t->runs[last];
        for (size_t i = 0; i < t->count; i++)
                if (t->order[i] == last)
                        t->order[i] = hole;
}

static void insert(struct fault_table *t, size_t at, const struct fault_run *fault) {
        assert(t->count < CAPACITY);
        uint16_t slot = (uint16_t)t->count;
        t->runs[slot] = *fault;
        t->runs[slot].serial = t->next_serial++;
        t->runs[slot].bad_bytes = fault->place.length_bytes;
        t->runs[slot].coarse = false;
        t->runs[slot].reported_bytes = 0;
        memmove(&t->order[at + 1], &t->order[at], (t->count - at) * sizeof t->order[0]);
        t->order[at] = slot;
        t->count++;
}

static uint64_t gap(struct extent a, struct extent b) {
        if (extent_end(a) < b.offset_bytes)
                return b.offset_bytes - extent_end(a);
        return extent_end(b) < a.offset_bytes ? a.offset_bytes - extent_end(b) : 0;
}

/* Full: the nearest run of this class takes the fault in, whatever its pass and cause. False: there is none yet. */
static bool add_to_nearest(struct fault_table *t, const struct fault_run *fault) {
        struct fault_run *best = NULL;
        for (size_t i = 0; i < t->count; i++) {
                struct fault_run *run = &t->runs[i];
                if (run->fault == fault->fault &&
                        (!best || gap(run->place, fault->place) < gap(best->place, fault->place)))
                        best = run;
        }
        if (!best)
                return false;
        best->coarse |= gap(best->place, fault->place) > 0;
        best->place = extent_hull(best->place, fault->place);
        best->bad_bytes += fault->place.length_bytes;
        best->sampled &= fault->sampled;
        return true;
}

/* Extents grow only when the table is full, so order by start may break then; it is mended by one sift. */
static void restore_order(struct fault_table *t) {
        for (size_t i = 1; i < t->count; i++) {
                uint16_t slot = t->order[i];
                size_t j = i;
                for (; j > 0 && t->runs[t->order[j - 1]].place.offset_bytes > t->runs[slot].place.offset_bytes; j--)
                        t->order[j] = t->order[j - 1];
                t->order[j] = slot;
        }
}

/*
 * The last run of the fault's kind that begins before it or with it, as an index behind it; 0: there is none. Runs of
 * one kind don't touch, so none before that one can reach the fault. Runs of other kinds may lie between, any number of
 * them: a pass may go over all the lone faults of the one before.
 */
static size_t behind_last_of_kind(const struct fault_table *t, size_t at, const struct fault_run *fault) {
        while (at > 0 && !same_kind(&t->runs[t->order[at - 1]], fault))
                at--;
        return at;
}

/* The next run of the fault's kind, where it touches the fault; else the number of runs. */
static size_t next_that_touches(const struct fault_table *t, size_t at, const struct fault_run *fault) {
        for (; at < t->count; at++) {
                const struct fault_run *run = &t->runs[t->order[at]];
                if (run->place.offset_bytes > extent_end(fault->place))
                        return t->count;
                if (same_kind(run, fault))
                        return at;
        }
        return at;
}

/* A run that grows towards the start goes to its new place in the order. */
static void move_forward(struct fault_table *t, size_t from, size_t to) {
        uint16_t slot = t->order[from];
        memmove(&t->order[to + 1], &t->order[to], (from - to) * sizeof t->order[0]);
        t->order[to] = slot;
}

void fault_table_add(struct fault_table *t, const struct fault_run *fault) {
        assert(fault->place.length_bytes > 0);
        size_t at = position(t, fault->place.offset_bytes);
        size_t behind = behind_last_of_kind(t, at, fault);
        struct fault_run *last = behind > 0 ? &t->runs[t->order[behind - 1]] : NULL;
        /* A pass may come to a place twice (the sample, a suspect): what it saw there is known already. */
        if (last && !last->coarse && extent_contains(last->place, fault->place)) {
                last->sampled &= fault->sampled;
                return;
        }
        if (last && touches(last, fault)) {
                grow(t, behind - 1, fault);
                join_followers(t, behind - 1);
                return;
        }
        size_t next = next_that_touches(t, at, fault);
        if (next < t->count) {
                grow(t, next, fault);
                move_forward(t, next, at);
                join_followers(t, at);
                return;
        }
        if (t->count < FAULT_TABLE_RUNS_MAX)
                insert(t, at, fault);
        else if (add_to_nearest(t, fault))
                restore_order(t);
        else
                insert(t, at, fault);
}

size_t fault_table_count(const struct fault_table *t) {
        return t->count;
}

struct fault_run *fault_table_at(struct fault_table *t, size_t index) {
        assert(index < t->count);
        return &t->runs[t->order[index]];
}

void fault_table_remove(struct fault_table *t, size_t index) {
        assert(index < t->count);
        remove_at(t, index);
}
