/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cut takes a copy of what is durable and goes on from there, while the run that was cut goes on, too, to its next
 * moment. What could go wrong: counting the same state twice, or leaving one out as seen that was not looked at as
 * deeply before. So states are known by all bytes of both disks, and by how many more cuts were tried on them.
 */
#include "undo_explore.h"

#include "base/cleanup.h"
#include "failure.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FULL_MAX = 6, SEEN_DEEP_BITS = 2 };

/* Beside those of a power cut. */
#define OUTCOME_KILLED UINT32_MAX

static struct {
        struct exploration e;
        struct world worlds[PATH_STEPS + 1];
        struct recovered recovered[PATH_STEPS + 1];
        struct image targets[PATH_STEPS], journals[PATH_STEPS];
        unsigned moments[PATH_STEPS];
        struct path path;
        const char *loss;
} x;

/* Keys of states, open addressing; the lowest bits: how many more cuts were tried on it, and one. */
static struct {
        uint64_t *slots;
        uint64_t size, used;
} seen;

void explore_forget(void) {
        free(STEAL(seen.slots));
        seen.size = seen.used = 0;
}

static uint64_t *seen_slot(uint64_t key) {
        uint64_t at = (key >> SEEN_DEEP_BITS) % seen.size;
        while (seen.slots[at] && (seen.slots[at] ^ key) >> SEEN_DEEP_BITS)
                at = (at + 1) % seen.size;
        return &seen.slots[at];
}

static void seen_grow(void) {
        uint64_t *old = seen.slots, old_size = seen.size;
        seen.size = old_size ? 2 * old_size : 1 << 16;
        seen.slots = calloc(seen.size, sizeof *seen.slots);
        MUST(seen.slots, "out of memory");
        for (uint64_t i = 0; i < old_size; i++)
                if (old[i])
                        *seen_slot(old[i]) = old[i];
        free(old);
}

/* False: nothing new. */
static bool is_new(uint64_t key, unsigned more, bool *ret_never) {
        if (2 * seen.used >= seen.size)
                seen_grow();
        uint64_t *slot = seen_slot(key), value = (key >> SEEN_DEEP_BITS << SEEN_DEEP_BITS) | (more + 1);
        *ret_never = *slot == 0;
        if (*slot && (*slot & (BIT(SEEN_DEEP_BITS) - 1)) > more)
                return false;
        seen.used += *ret_never;
        *slot = value;
        return true;
}

void explore_path_text(char *text, size_t room) {
        size_t used = 0;
        text[0] = '\0';
        for (unsigned i = 0; i < x.path.length && used < room; i++)
                used += (size_t)snprintf(text + used, room - used, "%s%u.%" PRIu32, i ? "/" : "", x.path.cuts[i].moment,
                        x.path.cuts[i].outcome);
}

bool explore_path_read(struct path *path, const char *text) {
        *path = (struct path){ 0 };
        for (int used = 0; path->length < PATH_STEPS; text += used + 1) {
                struct cut *cut = &path->cuts[path->length];
                if (sscanf(text, "%u.%" SCNu32 "%n", &cut->moment, &cut->outcome, &used) != 2)
                        return false;
                path->length++;
                if (text[used] != '/')
                        return text[used] == '\0';
        }
        return false;
}

static unsigned level_of(const struct world *w) {
        return (unsigned)(w - x.worlds);
}

static void cut_boundary(struct world *w);

static void lost(const char *what) {
        x.loss = what;
        x.e.counts->losses++;
        if (!x.e.stop_at_loss)
                failure("%s: %s", x.e.protocol->name, what);
}

static void tell(unsigned level, const uint8_t *fates) {
        static const char letters[] = "on<>x";
        char text[2 * WRITES_MAX];
        size_t used = 0;
        const struct world *w = &x.worlds[level];
        for (size_t i = 0; i < world_unflushed(w) && used + 1 < sizeof text; i++) {
                if (i == w->disks[DISK_TARGET].write_count)
                        text[used++] = '|';
                text[used++] = letters[fates[i]];
        }
        text[used] = '\0';
        story("cut %u at moment %u, writes of target|journal (o old, n new, < first part, > last part, x unreadable): %s",
                level, x.moments[level], text);
}

/* Recovery from what is left, and the judgement of it. */
static void recover(unsigned level, bool nested, bool killed) {
        struct world *w = &x.worlds[level + 1];
        memset(&w->boundary, 0, sizeof *w - offsetof(struct world, boundary));
        world_init(w, &x.targets[level], &x.journals[level], undo_case_sectors(x.e.c),
                x.e.c->logical_block_bytes / SECTOR_BYTES, x.e.c->depth);
        if (killed)
                world_take_over(w, &x.worlds[level]);
        w->any_order = x.e.c->any_order;
        w->strict = false;
        w->chance.state = x.targets[level].sum;
        w->owner = &x.recovered[level + 1];
        x.e.counts->recoveries++;
        if (nested) {
                x.moments[level + 1] = 0;
                w->boundary = cut_boundary;
        }
        if (x.e.protocol->recover)
                x.e.protocol->recover(x.e.c, w);
        if (x.loss)
                return;
        x.path.length = level + 1;
        const char *what = x.e.protocol->judge(x.e.c, w, &x.targets[level]);
        if (what)
                lost(what);
}

static void visit(unsigned level, uint32_t outcome, bool killed, uint64_t key) {
        unsigned more = x.e.depth - level;
        bool only = x.e.only && level < x.e.only->length;
        bool never, nested = more > 0 && (level == 0 || layout_mix(key) % x.e.nested_one_in == 0);
        x.e.counts->crashes++;
        if (only) {
                nested = x.e.only->length > level + 1;
        } else if (!is_new(key, nested ? more : 0, &never)) {
                return;
        } else {
                x.e.counts->states += never;
                x.e.counts->nested += never && level > 0;
        }
        x.path.length = level + 1;
        x.path.cuts[level] = (struct cut){ x.moments[level], outcome };
        recover(level, nested, killed);
}

static bool is_wanted(unsigned level, uint32_t outcome) {
        bool only = x.e.only && level < x.e.only->length;
        return !x.loss && (!only || x.e.only->cuts[level].outcome == outcome);
}

static uint64_t key_of(const struct image *target, const struct image *journal, uint64_t cache_sum) {
        return layout_mix(layout_mix(target->sum + x.e.c->shape) + layout_mix(journal->sum + cache_sum));
}

static void try_outcome(unsigned level, const uint8_t *fates, uint32_t outcome) {
        struct image *target = &x.targets[level], *journal = &x.journals[level];
        if (!is_wanted(level, outcome))
                return;
        world_cut(&x.worlds[level], fates, x.moments[level], target, journal);
        if (level == 0 && x.e.protocol->meanwhile)
                x.e.protocol->meanwhile(x.e.c, target);
        if (x.e.only)
                tell(level, fates);
        visit(level, outcome, false, key_of(target, journal, 0));
}

/* The process ends, and the caches stay as they are. */
static void try_kill(unsigned level) {
        struct world *w = &x.worlds[level], *next = &x.worlds[level + 1];
        if (!is_wanted(level, OUTCOME_KILLED) || !x.e.protocol->killed || world_unflushed(w) == 0)
                return;
        world_take_over(next, w);
        image_copy(&x.targets[level], &next->disks[DISK_TARGET].now);
        image_copy(&x.journals[level], &next->disks[DISK_JOURNAL].now);
        if (x.e.only)
                story("killed at moment %u", x.moments[level]);
        visit(level, OUTCOME_KILLED, true, key_of(&x.targets[level], &x.journals[level], world_cache_sum(next)));
}

static void try_all(unsigned level, size_t n) {
        uint8_t fates[FULL_MAX];
        uint32_t outcomes = 1;
        for (size_t i = 0; i < n; i++)
                outcomes *= FATE_COUNT;
        for (uint32_t outcome = 0; outcome < outcomes; outcome++) {
                uint32_t left = outcome;
                for (size_t i = 0; i < n; i++, left /= FATE_COUNT)
                        fates[i] = left % FATE_COUNT;
                try_outcome(level, fates, outcome);
        }
}

/* Every two writes meet every two fates, and all others either are there or not. */
static void try_pairs(unsigned level, size_t n) {
        uint8_t fates[DISKS * WRITES_MAX];
        uint32_t outcome = 0;
        for (int base = FATE_OLD; base <= FATE_NEW; base++)
                for (size_t i = 0; i < n; i++)
                        for (size_t k = i + 1; k < n; k++)
                                for (unsigned both = 0; both < FATE_COUNT * FATE_COUNT; both++) {
                                        memset(fates, base, n);
                                        fates[i] = (uint8_t)(both % FATE_COUNT);
                                        fates[k] = (uint8_t)(both / FATE_COUNT);
                                        try_outcome(level, fates, outcome++);
                                }
}

static bool is_enough(void) {
        return x.loss || (x.e.enough && x.e.counts->states >= x.e.enough);
}

static void cut_boundary(struct world *w) {
        unsigned level = level_of(w);
        unsigned moment = ++x.moments[level];
        bool elsewhere = x.e.only && (level >= x.e.only->length || x.e.only->cuts[level].moment != moment);
        if (elsewhere || is_enough())
                return;
        x.e.counts->moments++;
        size_t n = world_unflushed(w);
        if (n <= FULL_MAX)
                try_all(level, n);
        else
                try_pairs(level, n);
        try_kill(level);
        if (!x.loss)
                x.path.length = level;
}

bool explore(const struct exploration *e) {
        x.e = *e;
        x.path.length = 0;
        x.loss = NULL;
        x.moments[0] = 0;
        struct world *w = &x.worlds[0];
        undo_case_begin(e->c, w);
        w->strict = true;
        w->boundary = cut_boundary;
        w->owner = &x.recovered[0];
        e->counts->cases++;
        e->protocol->run(e->c, w);
        if (x.loss)
                return true;
        x.path.length = 0;
        const char *what = e->only || !e->protocol->judge_run ? NULL : e->protocol->judge_run(e->c, w);
        if (what)
                lost(what);
        return what != NULL;
}
