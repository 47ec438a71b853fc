/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that is bad everywhere must neither flood people with millions of findings nor make the daemon grow or crawl,
 * and a single bad unit must never vanish among others. So runs are merged while they touch, the table has a fixed
 * size, overflow costs exactness of place only, never of count, and no fault is compared with every run.
 *
 * Runs stay in their slots. Two lists order them: one by place, for readers; one by class, pass and place, for finding
 * what a fault belongs to. In the second each entry knows how far its group reaches up to there, so that a search
 * towards the start ends where nothing can touch any more.
 */
#include "sweep/fault_table.h"

#include "base/cleanup.h"
#include "model/resume.h"
#include "sweep/layout.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* One further run of each class always finds room, or a full table could have no run to add a new class to. */
enum { CAPACITY = FAULT_TABLE_RUNS_MAX + FAULT_COUNT };

/* Places of sampled faults, as a hash set that is at most half full. 0: free. */
enum { SIGHTINGS = 1 << 16 };

/* A group is what has class and pass in common. */
struct entry {
        enum fault fault;
        uint32_t pass;
        uint64_t from_bytes;
        uint64_t reach_bytes; /* the farthest end of the group's runs up to this one */
        uint16_t farthest;    /* the slot of the one that ends there */
        uint16_t slot;
};

struct fault_table {
        size_t count;
        uint32_t next_serial;
        uint16_t free_slots[CAPACITY]; /* the first CAPACITY - count of them */
        uint16_t order[CAPACITY];      /* slots by place */
        struct entry index[CAPACITY];
        size_t sighting_count;
        uint32_t sighting_pass;
        uint64_t sightings[SIGHTINGS];
        struct fault_run runs[CAPACITY];
};

int fault_table_new(struct fault_table **ret) {
        struct fault_table *t = calloc(1, sizeof *t);
        if (!t)
                return -ENOMEM;
        t->next_serial = 1;
        for (size_t i = 0; i < CAPACITY; i++)
                t->free_slots[i] = (uint16_t)(CAPACITY - 1 - i);
        *ret = t;
        return 0;
}

struct fault_table *fault_table_free(struct fault_table *t) {
        free(t);
        return NULL;
}

/* The order of runs at their places: those that begin together as they came. */
static bool is_before(const struct fault_run *a, uint64_t from_bytes, uint32_t serial) {
        return a->place.offset_bytes != from_bytes ? a->place.offset_bytes < from_bytes : a->serial < serial;
}

/* How many runs come before a run with this place and serial. */
static size_t order_position(const struct fault_table *t, uint64_t from_bytes, uint32_t serial) {
        size_t low = 0, high = t->count;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (is_before(&t->runs[t->order[middle]], from_bytes, serial))
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static bool is_of_group(const struct entry *e, enum fault fault, uint32_t pass) {
        return e->fault == fault && e->pass == pass;
}

/* Behind all entries of the group that begin before this place or with it. */
static size_t index_behind(const struct fault_table *t, enum fault fault, uint32_t pass, uint64_t from_bytes) {
        size_t low = 0, high = t->count;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                const struct entry *e = &t->index[middle];
                bool later = e->fault != fault ? e->fault > fault
                        : e->pass != pass      ? e->pass > pass
                                               : e->from_bytes > from_bytes;
                if (later)
                        high = middle;
                else
                        low = middle + 1;
        }
        return low;
}

static size_t index_of(const struct fault_table *t, uint16_t slot) {
        const struct fault_run *run = &t->runs[slot];
        size_t i = index_behind(t, run->fault, run->pass, run->place.offset_bytes);
        while (i > 0 && t->index[i - 1].slot != slot)
                i--;
        assert(i > 0);
        return i - 1;
}

/* Computes how far the group reaches, from an entry on that is new, gone or changed, up to one that stays as it was. */
static void index_mend(struct fault_table *t, size_t at) {
        for (size_t i = at; i < t->count; i++) {
                struct entry *e = &t->index[i];
                uint64_t reach_bytes = extent_end(t->runs[e->slot].place);
                uint16_t farthest = e->slot;
                if (i > 0 && is_of_group(&t->index[i - 1], e->fault, e->pass) &&
                        t->index[i - 1].reach_bytes >= reach_bytes) {
                        reach_bytes = t->index[i - 1].reach_bytes;
                        farthest = t->index[i - 1].farthest;
                }
                if (i > at && e->reach_bytes == reach_bytes && e->farthest == farthest)
                        return;
                e->reach_bytes = reach_bytes;
                e->farthest = farthest;
        }
}

/* Into both lists; t->count does not count it yet. */
static void list(struct fault_table *t, uint16_t slot) {
        const struct fault_run *run = &t->runs[slot];
        size_t at = order_position(t, run->place.offset_bytes, run->serial);
        memmove(&t->order[at + 1], &t->order[at], (t->count - at) * sizeof t->order[0]);
        t->order[at] = slot;
        at = index_behind(t, run->fault, run->pass, run->place.offset_bytes);
        memmove(&t->index[at + 1], &t->index[at], (t->count - at) * sizeof t->index[0]);
        t->index[at] = (struct entry){
                .fault = run->fault, .pass = run->pass, .from_bytes = run->place.offset_bytes, .slot = slot
        };
        t->count++;
        index_mend(t, at);
}

static void unlist(struct fault_table *t, uint16_t slot) {
        const struct fault_run *run = &t->runs[slot];
        size_t at = order_position(t, run->place.offset_bytes, run->serial), in_index = index_of(t, slot);
        assert(t->order[at] == slot);
        t->count--;
        memmove(&t->order[at], &t->order[at + 1], (t->count - at) * sizeof t->order[0]);
        memmove(&t->index[in_index], &t->index[in_index + 1], (t->count - in_index) * sizeof t->index[0]);
        index_mend(t, in_index);
}

static void remove_run(struct fault_table *t, uint16_t slot) {
        unlist(t, slot);
        t->free_slots[CAPACITY - t->count - 1] = slot;
}

static struct fault_run *insert(struct fault_table *t, const struct fault_run *fault) {
        assert(t->count < CAPACITY);
        uint16_t slot = t->free_slots[CAPACITY - t->count - 1];
        struct fault_run *run = &t->runs[slot];
        *run = *fault;
        run->serial = t->next_serial++;
        run->bad_bytes = fault->place.length_bytes;
        run->coarse = false;
        run->restored = false;
        run->reported_bytes = 0;
        list(t, slot);
        return run;
}

bool fault_table_restore(struct fault_table *t, const struct fault_run *run) {
        if (t->count >= RESUME_FINDINGS_MAX)
                return false;
        struct fault_run *restored = insert(t, run);
        restored->restored = true;
        restored->reported_bytes = restored->bad_bytes;
        restored->reported_as = restored->persistence;
        return true;
}

/* The run's place becomes larger. */
static void stretch(struct fault_table *t, uint16_t slot, struct extent place) {
        struct fault_run *run = &t->runs[slot];
        if (place.offset_bytes == run->place.offset_bytes) {
                run->place = place;
                index_mend(t, index_of(t, slot));
                return;
        }
        unlist(t, slot);
        run->place = place;
        list(t, slot);
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

/* Of two of a group. */
static bool same_kind(const struct fault_run *a, const struct fault_run *b) {
        return a->cause == b->cause && a->withheld == b->withheld && a->doubtful == b->doubtful && a->lone == b->lone &&
                may_be_one(a->persistence, b->persistence);
}

static bool touches(const struct fault_run *run, const struct fault_run *fault) {
        return fault->place.offset_bytes <= extent_end(run->place) &&
                run->place.offset_bytes <= extent_end(fault->place);
}

/* A run that has grown is bad all over, also where the parts overlap, unless the table was full before. */
static void add_bad_bytes(struct fault_run *run, uint64_t bytes) {
        run->bad_bytes = run->coarse ? run->bad_bytes + bytes : run->place.length_bytes;
}

/* The run grows by a fault that touches it. */
static void grow(struct fault_table *t, uint16_t slot, const struct fault_run *fault) {
        struct fault_run *run = &t->runs[slot];
        if (fault->place.offset_bytes < run->place.offset_bytes) {
                memcpy(run->text, fault->text, sizeof run->text);
                run->detail = fault->detail;
                run->sample = fault->sample;
        }
        stretch(t, slot, extent_hull(run->place, fault->place));
        add_bad_bytes(run, fault->place.length_bytes);
        run->persistence = joint_persistence(run->persistence, fault->persistence);
        run->sampled &= fault->sampled;
}

static void swallow(struct fault_table *t, uint16_t slot, uint16_t gone) {
        struct fault_run *run = &t->runs[slot];
        const struct fault_run *other = &t->runs[gone];
        run->coarse |= other->coarse;
        stretch(t, slot, extent_hull(run->place, other->place));
        add_bad_bytes(run, other->bad_bytes);
        run->persistence = joint_persistence(run->persistence, other->persistence);
        run->sampled &= other->sampled;
        remove_run(t, gone);
}

/* The first of the group from this entry on that a run reaches and that may be one with it; else CAPACITY. */
static size_t first_follower(const struct fault_table *t, size_t at, uint16_t slot, bool reported) {
        const struct fault_run *run = &t->runs[slot];
        for (size_t i = at; i < t->count && is_of_group(&t->index[i], run->fault, run->pass); i++) {
                if (t->index[i].from_bytes > extent_end(run->place))
                        break;
                const struct fault_run *next = &t->runs[t->index[i].slot];
                if (t->index[i].slot != slot && same_kind(run, next) && (reported || next->reported_bytes == 0))
                        return i;
        }
        return CAPACITY;
}

/* The run has grown by a fault: it swallows those of its kind that it now touches and that nobody has heard of. */
static void join_followers(struct fault_table *t, uint16_t slot, struct extent fault) {
        const struct fault_run *run = &t->runs[slot];
        for (;;) {
                /* What begins before the fault was within reach already. */
                size_t from = index_behind(t, run->fault, run->pass, fault.offset_bytes);
                size_t follower = first_follower(t, from, slot, false);
                if (follower == CAPACITY)
                        return;
                swallow(t, slot, t->index[follower].slot);
        }
}

/* A run of the fault's kind that begins before it or with it and touches it; NULL: none. */
static struct fault_run *reaching(struct fault_table *t, size_t behind, const struct fault_run *fault) {
        for (size_t i = behind; i > 0; i--) {
                const struct entry *e = &t->index[i - 1];
                if (!is_of_group(e, fault->fault, fault->pass) || e->reach_bytes < fault->place.offset_bytes)
                        break;
                struct fault_run *run = &t->runs[e->slot];
                if (same_kind(run, fault) && touches(run, fault))
                        return run;
        }
        return NULL;
}

/* A run of the fault's kind that begins behind its start and touches it; NULL: none. */
static struct fault_run *reached(struct fault_table *t, size_t behind, const struct fault_run *fault) {
        for (size_t i = behind; i < t->count && is_of_group(&t->index[i], fault->fault, fault->pass); i++) {
                struct fault_run *run = &t->runs[t->index[i].slot];
                if (t->index[i].from_bytes > extent_end(fault->place))
                        break;
                if (same_kind(run, fault))
                        return run;
        }
        return NULL;
}

static uint64_t gap(struct extent a, struct extent b) {
        if (extent_end(a) < b.offset_bytes)
                return b.offset_bytes - extent_end(a);
        return extent_end(b) < a.offset_bytes ? a.offset_bytes - extent_end(b) : 0;
}

static struct fault_run *nearer(struct fault_run *a, struct fault_run *b, struct extent place) {
        return a && gap(a->place, place) <= gap(b->place, place) ? a : b;
}

/* The nearest run of the class, whatever its pass and cause; NULL: there is none yet. */
static struct fault_run *nearest(struct fault_table *t, const struct fault_run *fault) {
        struct fault_run *best = NULL;
        size_t group = fault->fault > 0 ? index_behind(t, fault->fault - 1, UINT32_MAX, UINT64_MAX) : 0;
        while (group < t->count && t->index[group].fault == fault->fault) {
                uint32_t pass = t->index[group].pass;
                size_t behind = index_behind(t, fault->fault, pass, fault->place.offset_bytes);
                if (behind > group)
                        best = nearer(best, &t->runs[t->index[behind - 1].farthest], fault->place);
                if (behind < t->count && is_of_group(&t->index[behind], fault->fault, pass))
                        best = nearer(best, &t->runs[t->index[behind].slot], fault->place);
                group = index_behind(t, fault->fault, pass, UINT64_MAX);
        }
        return best;
}

static uint16_t slot_of(const struct fault_table *t, const struct fault_run *run) {
        return (uint16_t)(run - t->runs);
}

/* Full: the nearest run takes the fault in. */
static void add_to_nearest(struct fault_table *t, struct fault_run *run, const struct fault_run *fault) {
        run->coarse |= gap(run->place, fault->place) > 0;
        stretch(t, slot_of(t, run), extent_hull(run->place, fault->place));
        run->bad_bytes += fault->place.length_bytes;
        run->sampled &= fault->sampled;
}

/* What the look before the sweep saw, the pass behind it meets again: known by its place and class. 0 is no key. */
static uint64_t sighting_key(const struct fault_run *fault) {
        uint64_t key = layout_mix(fault->place.offset_bytes + layout_mix(fault->place.length_bytes));
        return layout_mix(key + (uint64_t)fault->fault) | 1;
}

/* Where the key is, or where it would go. */
static size_t sighting_position(const struct fault_table *t, uint64_t key) {
        size_t at = key % SIGHTINGS;
        while (t->sightings[at] != 0 && t->sightings[at] != key)
                at = (at + 1) % SIGHTINGS;
        return at;
}

/* True: seen before. What is beyond the room is not remembered, and may be counted once more in a full table. */
static bool was_sighted(struct fault_table *t, const struct fault_run *fault) {
        if (t->sighting_count > 0 ? fault->pass != t->sighting_pass : !fault->sampled)
                return false;
        uint64_t key = sighting_key(fault);
        size_t at = sighting_position(t, key);
        if (t->sightings[at] == key)
                return true;
        if (fault->sampled && t->sighting_count < SIGHTINGS / 2) {
                t->sightings[at] = key;
                t->sighting_count++;
                t->sighting_pass = fault->pass;
        }
        return false;
}

/* A run of the fault's class that holds its place among others, for want of room; NULL: none. */
static struct fault_run *coarse_holder(struct fault_table *t, size_t behind, const struct fault_run *fault) {
        for (size_t i = behind; i > 0; i--) {
                const struct entry *e = &t->index[i - 1];
                if (!is_of_group(e, fault->fault, fault->pass) || e->reach_bytes < extent_end(fault->place))
                        break;
                struct fault_run *run = &t->runs[e->slot];
                if (run->coarse && extent_contains(run->place, fault->place))
                        return run;
        }
        return NULL;
}

/* The run that has counted the fault already; NULL: none. */
static struct fault_run *counted_in(
        struct fault_table *t, size_t behind, struct fault_run *touched, const struct fault_run *fault) {
        bool sampled_twice = fault->sampled && was_sighted(t, fault); /* which remembers it, too */
        if (touched && !touched->coarse && extent_contains(touched->place, fault->place))
                return touched;
        struct fault_run *holder = coarse_holder(t, behind, fault);
        return holder && (fault->sampled ? sampled_twice : was_sighted(t, fault)) ? holder : NULL;
}

bool fault_table_wants_words(struct fault_table *t, const struct fault_run *fault) {
        size_t behind = index_behind(t, fault->fault, fault->pass, fault->place.offset_bytes);
        if (reaching(t, behind, fault))
                return false;
        return t->count < FAULT_TABLE_RUNS_MAX || reached(t, behind, fault) || !nearest(t, fault);
}

void fault_table_add(struct fault_table *t, const struct fault_run *fault) {
        assert(fault->place.length_bytes > 0);
        size_t behind = index_behind(t, fault->fault, fault->pass, fault->place.offset_bytes);
        struct fault_run *touched = reaching(t, behind, fault);
        struct fault_run *counted = counted_in(t, behind, touched, fault);
        if (counted) {
                counted->sampled &= fault->sampled;
                return;
        }
        if (!touched)
                touched = reached(t, behind, fault);
        if (touched) {
                grow(t, slot_of(t, touched), fault);
                join_followers(t, slot_of(t, touched), fault->place);
                return;
        }
        struct fault_run *taker = t->count < FAULT_TABLE_RUNS_MAX ? NULL : nearest(t, fault);
        if (taker)
                add_to_nearest(t, taker, fault);
        else
                insert(t, fault);
}

/* One that was reported keeps its serial; it then begins where the first one did. */
static void join_two(struct fault_table *t, uint16_t first, uint16_t second) {
        struct fault_run *run = &t->runs[first], *next = &t->runs[second];
        if (next->reported_bytes == 0) {
                swallow(t, first, second);
                return;
        }
        memcpy(next->text, run->text, sizeof next->text);
        next->detail = run->detail;
        next->sample = run->sample;
        swallow(t, second, first);
}

void fault_table_join(struct fault_table *t) {
        for (size_t i = 0; i < t->count;) {
                uint16_t slot = t->index[i].slot;
                size_t follower = first_follower(t, i + 1, slot, t->runs[slot].reported_bytes == 0);
                if (follower == CAPACITY)
                        i++;
                else
                        join_two(t, slot, t->index[follower].slot);
        }
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
        remove_run(t, t->order[index]);
}
