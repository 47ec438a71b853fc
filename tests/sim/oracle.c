/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules, in terms of tags. Where the bytes alone can't tell two causes apart (a torn unit whose older generation
 * nobody knows any more is no different from noise), either name is admitted; where they can, only the right one is.
 */
#include "oracle.h"

#include "base/cleanup.h"
#include "failure.h"
#include "media/medium.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { ROW_UNITS = (256 << 10) / UNIT_BYTES, PLACES = 256, FLIPPED_BITS_MAX = 256, LADDER_READS_MAX = 256 };

#define DATA_FAULTS                                                                                              \
        (BIT(FAULT_BIT_FLIP) | BIT(FAULT_STALE) | BIT(FAULT_MISDIRECTED) | BIT(FAULT_TORN) | BIT(FAULT_ZEROED) | \
                BIT(FAULT_FOREIGN) | BIT(FAULT_GARBAGE))

void oracle_init(struct oracle *o, const struct disk *disk, const struct history *history, const struct books *books) {
        *o = (struct oracle){ .disk = disk, .history = history, .books = books };
        o->before = calloc(disk->sectors, sizeof(struct known));
        MUST(o->before, "out of memory");
        for (size_t i = 0; i < LAYER_COUNT; i++) {
                o->notes[i] = calloc(disk->sectors, sizeof(struct note));
                MUST(o->notes[i], "out of memory");
        }
}

void oracle_deinit(struct oracle *o) {
        free(o->before);
        for (size_t i = 0; i < LAYER_COUNT; i++)
                free(o->notes[i]);
}

void oracle_begin_sweep(
        struct oracle *o, enum sweep_mode mode, bool overwrite, struct extent suspect, uint64_t budget_us) {
        const struct ledger *l = &o->books->ledger;
        o->mode = mode;
        o->overwrite = overwrite;
        o->suspect = suspect;
        o->extent = o->books->extent;
        o->target_id = l->target_id;
        o->last_generation = l->last_generation;
        o->range_count = l->ranges.count;
        o->past_count = l->past_count;
        memcpy(o->past, l->past, sizeof o->past);
        memcpy(o->past_extents, l->past_extents, sizeof o->past_extents);
        o->knows_stamps = false;
        for (size_t i = 0; i < l->ranges.count; i++)
                o->knows_stamps |= extent_overlaps(l->ranges.items[i].extent, o->extent);
        o->has_event = o->look_failed = o->writes = o->rewriting = o->reread = false;
        o->fatal_error = 0;
        o->ours = 0;
        o->flush_failure_count = 0;
        o->budget_us = budget_us;
        memset(o->ladder, 0, sizeof o->ladder);
        o->narrowing = (struct effort){ 0 };
        memcpy(o->before, l->known, o->disk->sectors * sizeof o->before[0]);
        for (size_t i = 0; i < LAYER_COUNT; i++)
                memset(o->notes[i], 0, o->disk->sectors * sizeof o->notes[i][0]);
}

void oracle_begin_pass(struct oracle *o) {
        for (size_t i = LAYER_WRITE; i <= LAYER_READ; i++) {
                memset(o->notes[i], 0, o->disk->sectors * sizeof o->notes[i][0]);
                o->ladder[i] = (struct effort){ 0 };
        }
        o->rewriting = false;
        o->flush_failure_count = 0;
}

void oracle_check_place(const struct oracle *o, enum layer layer, struct extent place) {
        bool looks = layer == LAYER_SAMPLE && extent_contains(o->suspect, place);
        MUST(looks || extent_contains(o->extent, place), "%" PRIu64 ", length %" PRIu64 " is outside of the extent",
                place.offset_bytes, place.length_bytes);
}

enum layer oracle_layer(const struct oracle *o, bool is_write) {
        if (is_write)
                return LAYER_WRITE;
        if (o->mode == MODE_READ || o->books->stamped)
                return LAYER_READ;
        return o->books->started ? LAYER_CHECK : LAYER_SAMPLE;
}

static bool same_tag(struct tag a, struct tag b) {
        return a.kind == b.kind && a.generation == b.generation && a.bits == b.bits && a.sector == b.sector;
}

/* Whether a request for this sector is one of the ladder: it was done before. */
static bool is_again(const struct oracle *o, enum layer layer, uint64_t sector) {
        return layer != LAYER_SAMPLE && o->notes[layer][sector].outcome == OUTCOME_GOOD;
}

static void delivered_again(struct oracle *o, enum layer layer, uint64_t sector, struct tag tag) {
        struct note *n = &o->notes[layer][sector];
        o->reread = true;
        if (layer == LAYER_WRITE) {
                MUST(o->notes[LAYER_READ][sector].delivered, "sector %" PRIu64 " was written twice", sector);
                o->rewriting = true;
                return;
        }
        MUST(n->delivered <= AGAIN_MAX, "sector %" PRIu64 " was read %u times", sector, n->delivered + 1);
        n->again_missed |= n->delivered == 1 && n->again_failed;
        n->again[n->delivered++ - 1] = tag;
}

void oracle_delivered(struct oracle *o, enum layer layer, uint64_t sector, struct tag tag, bool partly) {
        struct note *n = &o->notes[layer][sector];
        if (is_again(o, layer, sector)) {
                delivered_again(o, layer, sector, tag);
                return;
        }
        n->varied |= n->delivered && (!same_tag(n->tag, tag) || tag.kind == TAG_PHANTOM || tag.kind == TAG_FLIPPED);
        n->tag = tag;
        n->delivered = 1;
        n->partly |= partly;
        n->outcome = OUTCOME_GOOD;
        o->rewriting &= layer != LAYER_WRITE;
}

void oracle_failed(struct oracle *o, enum layer layer, struct extent place, int error) {
        enum medium_answer meaning = medium_judge(error);
        o->ours += meaning == MEDIUM_AGAIN;
        if (meaning == MEDIUM_AGAIN)
                return;
        bool single = place.length_bytes == o->disk->logical_sectors * (uint64_t)SECTOR_BYTES;
        bool fatal = meaning != MEDIUM_BAD && meaning != MEDIUM_TRANSPORT;
        if (fatal) {
                o->fatal_error = error;
                single = false; /* no news of the medium */
        }
        for (uint64_t i = place.offset_bytes / SECTOR_BYTES; i < extent_end(place) / SECTOR_BYTES; i++) {
                struct note *n = &o->notes[layer][i];
                if (is_again(o, layer, i)) {
                        o->notes[LAYER_READ][i].again_failed |= layer == LAYER_WRITE;
                        n->again_failed = true;
                        continue;
                }
                if (fatal && layer == LAYER_SAMPLE && n->outcome == OUTCOME_GOOD)
                        continue; /* read a second time */
                n->failed = true;
                n->outcome = single ? OUTCOME_BAD : OUTCOME_COARSE;
                o->rewriting &= layer != LAYER_WRITE;
        }
}

/* A flush of what was written once more: all that was tried is as it was. */
static void flush_again_failed(struct oracle *o) {
        for (uint64_t i = 0; i < o->disk->sectors; i++)
                o->notes[LAYER_READ][i].again_failed |= o->notes[LAYER_READ][i].delivered > 1;
}

/* A flush that was tried once more; NULL: none is waiting for that. */
static struct flush_failure *flush_to_try(struct oracle *o) {
        struct flush_failure *last = o->flush_failure_count > 0 ? &o->flush_failures[o->flush_failure_count - 1] : NULL;
        return last && !last->tried && !o->rewriting ? last : NULL;
}

void oracle_flushed(struct oracle *o) {
        struct flush_failure *again = flush_to_try(o);
        if (again)
                again->tried = true;
}

void oracle_flush_failed(struct oracle *o, int error) {
        enum medium_answer meaning = medium_judge(error);
        struct flush_failure *again = flush_to_try(o);
        o->ours += meaning == MEDIUM_AGAIN;
        if (meaning == MEDIUM_AGAIN)
                return;
        if (meaning != MEDIUM_BAD && meaning != MEDIUM_TRANSPORT)
                o->fatal_error = error;
        else if (o->rewriting)
                flush_again_failed(o);
        else if (again)
                again->tried = again->failed_again = true;
        else if (o->flush_failure_count < FLUSH_FAILURES_MAX)
                o->flush_failures[o->flush_failure_count++] = (struct flush_failure){ .segment = o->books->segment };
}

void oracle_spent(struct oracle *o, enum layer layer, struct extent place, uint64_t us) {
        uint64_t first = place.offset_bytes / SECTOR_BYTES;
        if (place.length_bytes == 0) {
                o->ladder[LAYER_READ].spent_us += o->rewriting ? us : 0;
        } else if (is_again(o, layer, first)) {
                o->ladder[layer == LAYER_CHECK ? LAYER_CHECK : LAYER_READ].spent_us += us;
                o->ladder[layer].reads += o->notes[layer][first].delivered == 1;
        } else if (o->notes[layer][first].failed) {
                o->narrowing.spent_us += us;
        }
}

/* What must be at a sector, as a layer sees it. */
static struct known expected_at(const struct oracle *o, enum layer layer, uint64_t sector) {
        if (layer == LAYER_READ)
                return (struct known){
                        .settled = o->mode != MODE_READ, .count = 1, .generations = { (uint8_t)o->books->generation }
                };
        return o->before[sector];
}

/* Not of this target, or of the time before its ledger was lost and nothing of it was found. */
static bool is_another_target(const struct oracle *o, uint8_t generation) {
        uint64_t target = o->books->stamped ? o->history->of[o->books->generation].stamp.target_id : o->target_id;
        return o->history->of[generation].stamp.target_id != target;
}

static bool has(const struct known *k, uint8_t generation) {
        return memchr(k->generations, generation, k->count);
}

static bool is_head(uint64_t sector) {
        return sector % UNIT_SECTORS == 0;
}

/* Not judged: what a failed write did not reach. */
static bool is_hole(const struct oracle *o, enum layer layer, uint64_t sector) {
        return layer == LAYER_READ && o->mode != MODE_READ && o->notes[LAYER_WRITE][sector].outcome != OUTCOME_GOOD;
}

struct unit {
        uint64_t first, count; /* sectors */
};

static struct unit unit_at(const struct oracle *o, uint64_t index) {
        uint64_t first = index * UNIT_SECTORS;
        return (struct unit){ first, MIN((uint64_t)UNIT_SECTORS, o->disk->sectors - first) };
}

static uint64_t unit_count(const struct oracle *o) {
        return (o->disk->sectors + UNIT_SECTORS - 1) / UNIT_SECTORS;
}

/* Whether bytes tell, beside the sector's own, which generation made a sector that is no head. 1: yes; 0: no; -1:
 * perhaps. */
static int generation_is_known(
        const struct oracle *o, enum layer layer, struct tag head, uint64_t sector, uint8_t generation) {
        struct known expected = expected_at(o, layer, sector);
        if (has(&expected, generation) || memchr(o->past, generation, o->past_count))
                return 1;
        if (o->before[sector].settled && has(&o->before[sector], generation))
                return o->books->adopted ? -1 : 1;
        if (head.generation != generation || !is_head(head.sector) || is_another_target(o, generation))
                return 0;
        return head.kind == TAG_WRITTEN ? 1 : head.kind == TAG_FLIPPED ? -1 : 0;
}

/* Why a sector is bad, as a mask of faults; 0: it is right. STALE stands for stale or torn. */
static uint32_t sector_faults(
        const struct oracle *o, enum layer layer, struct tag head, struct tag tag, uint64_t sector) {
        struct known expected = expected_at(o, layer, sector);
        bool another = is_another_target(o, tag.generation), in_place = tag.sector == sector && !another;
        bool right = in_place && has(&expected, tag.generation);
        switch (tag.kind) {
        case TAG_ZERO:
                return BIT(FAULT_ZEROED);
        case TAG_FOREIGN:
                return BIT(FAULT_FOREIGN);
        case TAG_PHANTOM:
                return DATA_FAULTS;
        case TAG_FLIPPED:
                if (another && is_head(tag.sector))
                        return BIT(FAULT_GARBAGE) | BIT(FAULT_FOREIGN);
                if (!right && has(&expected, tag.generation) && tag.sector % TABLE_SECTORS == sector % TABLE_SECTORS)
                        return BIT(FAULT_GARBAGE) | BIT(FAULT_BIT_FLIP); /* but for the mark, the same bytes */
                if (!right || tag.bits > FLIPPED_BITS_MAX)
                        return BIT(FAULT_GARBAGE);
                return BIT(FAULT_BIT_FLIP) | (expected.count > 1 ? BIT(FAULT_GARBAGE) : 0);
        case TAG_WRITTEN:
                break;
        default:
                return BIT(FAULT_GARBAGE);
        }
        if (right)
                return 0;
        if (another)
                return is_head(tag.sector) ? BIT(FAULT_FOREIGN) : BIT(FAULT_GARBAGE);
        uint32_t fault = in_place ? BIT(FAULT_STALE) : BIT(FAULT_MISDIRECTED);
        int known = is_head(tag.sector) ? 1 : generation_is_known(o, layer, head, sector, tag.generation);
        return known > 0 ? fault : known == 0 ? BIT(FAULT_GARBAGE) : fault | BIT(FAULT_GARBAGE);
}

/* What a layer makes of a unit. */
struct opinion {
        bool bad;
        bool in_pieces; /* a part of it was not judged, so parts were judged by themselves */
        bool partly;
        bool phantom;
        bool certain; /* a sector of it is neither right nor of any generation of ours, or misplaced */
        uint32_t faults;
        uint32_t good, bad_sectors; /* masks */
        uint32_t bits;
        uint32_t belongs; /* sector */
        uint64_t generation;
};

static bool is_self_consistent(const struct oracle *o, enum layer layer, struct unit u) {
        const struct note *n = &o->notes[layer][u.first];
        for (uint64_t i = 0; i < u.count; i++)
                if (!n[i].delivered || n[i].tag.kind != TAG_WRITTEN || n[i].tag.sector != u.first + i ||
                        n[i].tag.generation != n[0].tag.generation)
                        return false;
        uint8_t generation = n[0].tag.generation;
        return o->target_id == 0 || o->history->of[generation].stamp.target_id == o->target_id;
}

static void add_sector(struct opinion *p, const struct oracle *o, enum layer layer, struct unit u, uint64_t i) {
        const struct note *n = &o->notes[layer][u.first + i];
        uint32_t faults = sector_faults(o, layer, o->notes[layer][u.first].tag, n->tag, u.first + i);
        if (faults == 0) {
                p->good |= (uint32_t)BIT(i);
                return;
        }
        if (p->bad_sectors == 0)
                p->generation = o->history->of[n->tag.generation].stamp.generation;
        if ((faults & BIT(FAULT_MISDIRECTED)) && p->belongs == UINT32_MAX)
                p->belongs = n->tag.sector;
        p->bad_sectors |= (uint32_t)BIT(i);
        p->faults |= faults;
        p->bits += n->tag.bits;
        p->phantom |= n->tag.kind == TAG_PHANTOM;
        p->certain |= n->tag.kind != TAG_WRITTEN || n->tag.sector != u.first + i ||
                is_another_target(o, n->tag.generation);
}

static bool has_gap(const struct oracle *o, struct unit u) {
        for (uint64_t i = u.first; i < u.first + u.count; i++)
                if (o->notes[LAYER_SAMPLE][i].failed || !o->notes[LAYER_SAMPLE][i].delivered)
                        return true;
        return false;
}

static struct opinion opinion_of(const struct oracle *o, enum layer layer, uint64_t index) {
        struct opinion p = { .belongs = UINT32_MAX };
        struct unit u = unit_at(o, index);
        /* Ours, of whatever generation; but a piece of a unit does not know that, and is judged by itself. */
        if (layer == LAYER_SAMPLE && is_self_consistent(o, layer, u) && !has_gap(o, u))
                return p;
        for (uint64_t i = 0; i < u.count; i++) {
                const struct note *n = &o->notes[layer][u.first + i];
                struct known expected = expected_at(o, layer, u.first + i);
                p.in_pieces |= !n->delivered || n->failed || is_hole(o, layer, u.first + i);
                p.partly |= n->partly;
                if (n->delivered && expected.settled && !is_hole(o, layer, u.first + i))
                        add_sector(&p, o, layer, u, i);
        }
        p.bad = p.bad_sectors != 0;
        if (p.in_pieces && p.faults & (BIT(FAULT_STALE) | BIT(FAULT_MISDIRECTED)))
                p.faults |= BIT(FAULT_TORN) | BIT(FAULT_GARBAGE); /* a piece does not know the head of its unit */
        else if (p.faults & BIT(FAULT_STALE) && p.good)
                p.faults = (p.faults & ~BIT(FAULT_STALE)) | BIT(FAULT_TORN);
        return p;
}

enum guess { NO, MAYBE, YES };

/* A unit that the sample read twice (a suspect, or a short last one), and not alike. */
static bool varied(const struct oracle *o, struct unit u) {
        for (uint64_t i = u.first; i < u.first + u.count; i++)
                if (o->notes[LAYER_SAMPLE][i].varied)
                        return true;
        return false;
}

/* Whether the ledger is behind the disk, or lost: no fault of the disk's. */
static enum guess ledger_is_behind(const struct oracle *o) {
        enum guess answer = NO;
        for (uint64_t unit = 0; unit < unit_count(o); unit++) {
                struct unit u = unit_at(o, unit);
                const struct note *n = &o->notes[LAYER_SAMPLE][u.first];
                bool expected = o->before[u.first].settled && has(&o->before[u.first], n->tag.generation);
                if (varied(o, u) || (!expected && has_gap(o, u) && n->tag.kind == TAG_WRITTEN))
                        answer = MAYBE; /* a piece of it, or another reading, may have been consistent */
                if (!is_self_consistent(o, LAYER_SAMPLE, u) || expected)
                        continue;
                if (o->target_id == 0 || o->history->of[n->tag.generation].stamp.generation > o->last_generation)
                        return varied(o, u) ? MAYBE : YES;
        }
        return answer;
}

/* How a sweep ended, as far as it decides what must be told. */
struct ending {
        const struct sweep_record *record;
        bool finished;
        bool failed;
};

static const struct finding *run(const struct oracle *o, size_t i) {
        return &o->books->runs[i].fault;
}

static uint64_t first_of(const struct finding *f) {
        return f->place.offset_bytes / SECTOR_BYTES;
}

static uint64_t end_of(const struct finding *f) {
        return extent_end(f->place) / SECTOR_BYTES;
}

static const char *fact(const struct finding *f, const char *name) {
        static char value[128];
        char key[64];
        const char *cursor = f->detail.lines;
        while (detail_next(&cursor, key, sizeof key, value, sizeof value))
                if (strcmp(key, name) == 0)
                        return value;
        return NULL;
}

static uint64_t number(const struct finding *f, const char *name) {
        const char *text = fact(f, name);
        MUST(text, "%s at %" PRIu64 " has no %s", fault_name(f->fault), f->place.offset_bytes, name);
        return strtoull(text, NULL, 10);
}

static struct tag reading(const struct note *n, size_t k) {
        return k == 0 ? n->tag : n->again[k - 1];
}

/* What was wrong in a unit when it was read once more, as a mask of faults. */
static uint32_t faults_again(const struct oracle *o, enum layer layer, struct unit u) {
        uint32_t faults = 0;
        for (uint64_t i = u.first; i < u.first + u.count; i++) {
                const struct note *n = &o->notes[layer][i];
                for (size_t k = 1; k < n->delivered && layer != LAYER_SAMPLE; k++)
                        faults |= sector_faults(o, layer, reading(&o->notes[layer][u.first], k), reading(n, k), i);
        }
        if (faults & (BIT(FAULT_STALE) | BIT(FAULT_MISDIRECTED)))
                faults |= BIT(FAULT_TORN) | BIT(FAULT_GARBAGE);
        return faults;
}

/* Whether the k-th reading of a unit was right; k = SIZE_MAX: the last one. */
static bool reading_is_right(const struct oracle *o, enum layer layer, struct unit u, size_t k) {
        for (uint64_t i = u.first; i < u.first + u.count; i++) {
                const struct note *n = &o->notes[layer][i];
                struct known expected = expected_at(o, layer, i);
                if (n->outcome != OUTCOME_GOOD || is_hole(o, layer, i) || !expected.settled ||
                        (k != SIZE_MAX && k >= n->delivered))
                        return false;
                size_t which = k == SIZE_MAX ? n->delivered - 1U : k;
                if (sector_faults(o, layer, n->tag, reading(n, which), i) != 0)
                        return false;
        }
        return true;
}

static bool was_right_once(const struct oracle *o, struct unit u) {
        bool right = reading_is_right(o, LAYER_SAMPLE, u, 0);
        for (size_t k = 0; k <= AGAIN_MAX; k++)
                right |= reading_is_right(o, LAYER_CHECK, u, k) || reading_is_right(o, LAYER_READ, u, k);
        return right;
}

static bool any_again_failed(const struct oracle *o) {
        for (uint64_t i = 0; i < o->disk->sectors; i++)
                if (o->notes[LAYER_READ][i].again_failed)
                        return true;
        return false;
}

static bool flush_failed_over(const struct oracle *o, struct unit u) {
        struct extent place = { u.first * SECTOR_BYTES, u.count * SECTOR_BYTES };
        for (size_t k = 0; k < o->flush_failure_count; k++)
                if (extent_overlaps(o->flush_failures[k].segment, place))
                        return true;
        return false;
}

static bool has_been_long(const struct oracle *o) {
        return o->narrowing.spent_us > o->budget_us || o->ladder[LAYER_CHECK].spent_us > o->budget_us ||
                o->ladder[LAYER_READ].spent_us > o->budget_us || o->ladder[LAYER_CHECK].reads >= LADDER_READS_MAX ||
                o->ladder[LAYER_READ].reads >= LADDER_READS_MAX;
}

/* Behind a row of blocks that are bad all over, not each is tried. */
static bool may_be_spared(const struct oracle *o, struct unit u) {
        enum { ROW_BLOCKS = 16 };
        uint64_t units = o->block_bytes / UNIT_BYTES, last = u.first / UNIT_SECTORS / units * units;
        uint64_t begin = o->extent.offset_bytes / UNIT_BYTES; /* the first block may be a part of one */
        if (last < begin / units * units + ROW_BLOCKS * units || o->notes[LAYER_READ][u.first].delivered > 1)
                return false;
        for (uint64_t i = MAX(last - ROW_BLOCKS * units, begin); i < last; i++)
                if (!opinion_of(o, LAYER_READ, i).bad)
                        return false;
        return true;
}

/*
 * Whether it may be unknown what becomes of a unit's wrong bytes: it was one of very many, or there was no room or time
 * left to try, the sweep ended before that, what was right was so without a flush, or the bytes went wrong only in the
 * very last reading: that after it was written again.
 */
static bool may_be_unknown(const struct oracle *o, struct unit u, const struct ending *end) {
        const struct note *n = &o->notes[LAYER_READ][u.first];
        size_t last = n->again_missed ? AGAIN_MAX - 1 : AGAIN_MAX;
        bool at_last = reading_is_right(o, LAYER_READ, u, 0) && n->delivered > last &&
                !reading_is_right(o, LAYER_READ, u, last);
        return !end->finished || has_been_long(o) || at_last || may_be_spared(o, u) ||
                (flush_failed_over(o, u) &&
                        (reading_is_right(o, LAYER_READ, u, SIZE_MAX) || reading_is_right(o, LAYER_READ, u, 0)));
}

/* Whether what is said to have become of a finding is what became of this unit or part of one. */
static bool persistence_is_right(
        const struct oracle *o, enum persistence persistence, struct unit u, const struct ending *end) {
        switch (persistence) {
        case PERSISTENCE_TRANSIENT:
                return was_right_once(o, u) || varied(o, u);
        case PERSISTENCE_REPAIRED:
                /* A reading that is wrong after one that was right is another fault. */
                return reading_is_right(o, LAYER_READ, u, SIZE_MAX) || reading_is_right(o, LAYER_READ, u, 0);
        case PERSISTENCE_PERSISTENT:
                /* By its whole unit: that is what the pass that read back judged. Where trying again failed anywhere in
                 * a block, all of it counts as persistent. */
                return !reading_is_right(o, LAYER_READ, unit_at(o, u.first / UNIT_SECTORS), SIZE_MAX) ||
                        any_again_failed(o);
        default:
                return may_be_unknown(o, u, end);
        }
}

static bool was_bad_at_first(const struct oracle *o, uint64_t unit) {
        /* The sample reads a block twice where it doubts it; the first reading may have been the bad one. */
        return opinion_of(o, LAYER_SAMPLE, unit).bad || opinion_of(o, LAYER_CHECK, unit).bad ||
                varied(o, unit_at(o, unit));
}

/* Whether a unit may have been tried in several parts: beside what can't be read, or was never written. */
static bool was_in_parts(const struct oracle *o, struct unit u) {
        for (uint64_t i = u.first; i < u.first + u.count; i++)
                if (o->notes[LAYER_CHECK][i].failed || o->notes[LAYER_READ][i].failed || is_hole(o, LAYER_READ, i))
                        return true;
        return false;
}

/* How much of a finding, from a sector on, shares one fate: a unit, but of parts nobody knows where they ended. */
static struct unit tried_together(const struct oracle *o, const struct finding *f, uint64_t at) {
        struct unit whole = unit_at(o, at / UNIT_SECTORS);
        uint64_t end = was_in_parts(o, whole) ? at + 1 : MIN(whole.first + whole.count, end_of(f));
        return (struct unit){ at, end - at };
}

/*
 * Of all units of a finding. Those that were not tried share the fate of the others; and what was bad before it was
 * written lasts, as a whole, where any of it lasts.
 */
static void check_persistence(const struct oracle *o, const struct finding *f, const struct ending *end) {
        bool any = false;
        for (uint64_t at = first_of(f); at < end_of(f);) {
                struct unit u = tried_together(o, f, at);
                bool right = persistence_is_right(o, f->persistence, u, end);
                bool lasts = (f->persistence == PERSISTENCE_PERSISTENT || f->persistence == PERSISTENCE_UNKNOWN) &&
                        was_bad_at_first(o, at / UNIT_SECTORS);
                MUST(right || lasts || may_be_unknown(o, u, end), "%s at %" PRIu64 " is not %s: sector %" PRIu64,
                        fault_name(f->fault), f->place.offset_bytes, persistence_name(f->persistence), at);
                any |= right;
                at += u.count;
        }
        MUST(any || has_been_long(o), "%s at %" PRIu64 " is nowhere %s", fault_name(f->fault), f->place.offset_bytes,
                persistence_name(f->persistence));
}

/* The numbers of a finding that is of one unit. */
static bool numbers_are_right(const struct finding *f, const struct opinion *p) {
        uint32_t kinds = p->faults;
        if (p->in_pieces || p->phantom || (kinds & (kinds - 1)))
                return true;
        switch (f->fault) {
        case FAULT_BIT_FLIP:
                return number(f, "bits") == p->bits;
        case FAULT_MISDIRECTED:
                return number(f, "belongs_at") == p->belongs * (uint64_t)SECTOR_BYTES;
        case FAULT_STALE:
        case FAULT_TORN:
                return number(f, "generation_found") == p->generation;
        default:
                return true;
        }
}

static const enum layer reading_layers[] = { LAYER_SAMPLE, LAYER_CHECK, LAYER_READ };

/* Whether a layer's opinion of a unit admits a finding that covers the unit's sectors from..to. */
static bool admits(
        const struct oracle *o, enum layer layer, uint64_t unit, const struct finding *f, uint64_t from, uint64_t to) {
        struct opinion p = opinion_of(o, layer, unit);
        struct unit u = unit_at(o, unit);
        if (layer == LAYER_SAMPLE && varied(o, u))
                return true;
        /* Right, perhaps after its block had failed; and wrong when it was read once more beside a bad neighbour. */
        if (!p.bad && faults_again(o, layer, u) & BIT(f->fault))
                return true;
        if (!p.bad || !(p.faults & BIT(f->fault)))
                return false;
        if (layer == LAYER_SAMPLE && !p.certain && ledger_is_behind(o) == YES)
                return false;
        if (!p.in_pieces && (from != 0 || to != u.count))
                return false;
        for (uint64_t i = from; i < to; i++)
                if (!o->notes[layer][u.first + i].delivered || is_hole(o, layer, u.first + i))
                        return false;
        /* The numbers of a finding are those of what was seen first, perhaps of a piece. */
        return f->place.length_bytes > UNIT_BYTES || has_gap(o, u) || numbers_are_right(f, &p);
}

static void check_data_run(const struct oracle *o, const struct finding *f) {
        for (uint64_t unit = first_of(f) / UNIT_SECTORS; unit * UNIT_SECTORS < end_of(f); unit++) {
                struct unit u = unit_at(o, unit);
                uint64_t from = MAX(first_of(f), u.first) - u.first, to = MIN(end_of(f), u.first + u.count) - u.first;
                bool admitted = false;
                for (size_t i = 0; i < ELEMENTS(reading_layers); i++)
                        admitted |= admits(o, reading_layers[i], unit, f, from, to);
                MUST(admitted, "%s at %" PRIu64 ", length %" PRIu64 " (%s): unit %" PRIu64 " has no such fault",
                        fault_name(f->fault), f->place.offset_bytes, f->place.length_bytes, f->text, unit);
        }
}

static bool io_failed(const struct oracle *o, enum layer layer, uint64_t sector, bool transient) {
        const struct note *n = &o->notes[layer][sector];
        /* The sample reads a suspect twice. */
        return n->outcome == OUTCOME_BAD || n->outcome == OUTCOME_COARSE ||
                ((transient || layer == LAYER_SAMPLE) && n->failed);
}

static bool failed_for_good(const struct oracle *o, enum layer layer, uint64_t sector) {
        return io_failed(o, layer, sector, false);
}

static bool came_through(const struct oracle *o, enum layer layer, uint64_t sector) {
        const struct note *n = &o->notes[layer][sector];
        return n->failed && n->outcome == OUTCOME_GOOD;
}

/* Failed before anything was written. */
static bool failed_at_first(const struct oracle *o, uint64_t sector) {
        return failed_for_good(o, LAYER_SAMPLE, sector) || failed_for_good(o, LAYER_CHECK, sector);
}

/* Whether the unit around a sector could be written, and read back right. */
static bool was_written_well(const struct oracle *o, uint64_t sector) {
        return reading_is_right(o, LAYER_READ, unit_at(o, sector / UNIT_SECTORS), SIZE_MAX);
}

static bool read_persistence_is_right(const struct oracle *o, const struct finding *f, uint64_t i) {
        bool first = failed_at_first(o, i);
        switch (f->persistence) {
        case PERSISTENCE_TRANSIENT:
                return came_through(o, LAYER_SAMPLE, i) || came_through(o, LAYER_CHECK, i) ||
                        came_through(o, LAYER_READ, i) ||
                        (o->notes[LAYER_SAMPLE][i].failed && o->notes[LAYER_CHECK][i].outcome == OUTCOME_GOOD);
        case PERSISTENCE_REPAIRED:
                return first && o->notes[LAYER_READ][i].outcome == OUTCOME_GOOD;
        default:
                return o->notes[LAYER_READ][i].outcome == OUTCOME_BAD || (first && !was_written_well(o, i));
        }
}

/* Whether what is said of a failed request is what became of it when the disk was asked again. */
static bool io_persistence_is_right(
        const struct oracle *o, const struct finding *f, uint64_t i, const struct ending *end) {
        struct unit u = { i, 1 };
        if (f->persistence != PERSISTENCE_TRANSIENT && lateness_has_failed(o->lateness, i))
                return true; /* read once more, alone, for being late: what became of it later is not followed */
        if (f->persistence == PERSISTENCE_UNKNOWN)
                return !end->finished || has_been_long(o) || (failed_at_first(o, i) && flush_failed_over(o, u));
        if (f->fault == FAULT_READ_ERROR)
                return read_persistence_is_right(o, f, i);
        if (f->persistence == PERSISTENCE_TRANSIENT)
                return came_through(o, LAYER_WRITE, i);
        return f->persistence == PERSISTENCE_PERSISTENT && o->notes[LAYER_WRITE][i].outcome == OUTCOME_BAD;
}

static void check_io_run(const struct oracle *o, const struct finding *f, const struct ending *end) {
        bool transient = f->persistence == PERSISTENCE_TRANSIENT, any = false;
        for (uint64_t i = first_of(f); i < end_of(f); i++) {
                bool admitted = false;
                for (size_t l = 0; l < ELEMENTS(reading_layers) && f->fault == FAULT_READ_ERROR; l++)
                        admitted |= io_failed(o, reading_layers[l], i, transient) ||
                                lateness_has_failed(o->lateness, i);
                if (f->fault == FAULT_WRITE_ERROR)
                        admitted = io_failed(o, LAYER_WRITE, i, transient);
                MUST(admitted, "%s at %" PRIu64 ", length %" PRIu64 ": sector %" PRIu64 " did not fail",
                        fault_name(f->fault), f->place.offset_bytes, f->place.length_bytes, i);
                any |= io_persistence_is_right(o, f, i, end);
        }
        MUST(any, "%s at %" PRIu64 ", length %" PRIu64 " is nowhere %s", fault_name(f->fault), f->place.offset_bytes,
                f->place.length_bytes, persistence_name(f->persistence));
}

/* Neighbouring segments whose flushes had the same fate are one finding. */
static void check_flush_run(const struct oracle *o, const struct finding *f, const struct ending *end) {
        for (uint64_t at = f->place.offset_bytes; at < extent_end(f->place);) {
                const struct flush_failure *of = NULL;
                for (size_t k = 0; k < o->flush_failure_count; k++)
                        if (o->flush_failures[k].segment.offset_bytes == at)
                                of = &o->flush_failures[k];
                MUST(of, "no flush failed at %" PRIu64, at);
                enum persistence right = !of->tried ? PERSISTENCE_UNKNOWN
                        : of->failed_again          ? PERSISTENCE_PERSISTENT
                                                    : PERSISTENCE_TRANSIENT;
                MUST(f->persistence == right || !end->finished, "a flush error at %" PRIu64 " is not %s", at,
                        persistence_name(f->persistence));
                at = extent_end(of->segment);
        }
}

static void check_runs(const struct oracle *o, const struct ending *end) {
        for (size_t i = 0; i < o->books->run_count; i++) {
                const struct finding *f = run(o, i);
                MUST(f->place.offset_bytes % SECTOR_BYTES == 0 && f->place.length_bytes % SECTOR_BYTES == 0 &&
                                end_of(f) <= o->disk->sectors,
                        "%s at %" PRIu64 " is at no possible place", fault_name(f->fault), f->place.offset_bytes);
                if (BIT(f->fault) & DATA_FAULTS) {
                        check_data_run(o, f);
                        check_persistence(o, f, end);
                } else if (f->fault == FAULT_FLUSH_ERROR) {
                        check_flush_run(o, f, end);
                } else if (f->fault == FAULT_SLOW) {
                        lateness_check_run(o->lateness, f, o->block_bytes);
                } else {
                        check_io_run(o, f, end);
                }
        }
}

/* How many findings of these classes cover a sector. */
static size_t told(const struct oracle *o, uint64_t sector, uint64_t faults) {
        size_t count = 0;
        for (size_t i = 0; i < o->books->run_count; i++)
                count += (BIT(run(o, i)->fault) & faults) && first_of(run(o, i)) <= sector &&
                        sector < end_of(run(o, i));
        return count;
}

/* Not ours at all: that may be somebody's data, which is no fault where there is much of it. */
static bool is_strange(const struct opinion *p) {
        return p->good == 0 && (p->faults & (BIT(FAULT_GARBAGE) | BIT(FAULT_FOREIGN)));
}

static bool is_strange_to(const struct oracle *o, enum layer layer, uint64_t unit) {
        struct opinion p = opinion_of(o, layer, unit);
        return p.bad && is_strange(&p);
}

/* Whether the retention pass may have met so much of it that it is taken for somebody's data: what the sample saw
 * before and behind it belongs to it. */
static bool much_is_strange(const struct oracle *o) {
        size_t row = 0, longest = 0, count = 0;
        for (uint64_t unit = 0; unit < unit_count(o); unit++) {
                bool strange = is_strange_to(o, LAYER_CHECK, unit) || is_strange_to(o, LAYER_SAMPLE, unit);
                count += strange;
                row = strange ? row + 1 : 0;
                longest = MAX(longest, row);
        }
        return longest >= ROW_UNITS || count >= PLACES;
}

static bool must_be_told(const struct oracle *o, enum layer layer, uint64_t unit, const struct ending *end) {
        struct opinion p = opinion_of(o, layer, unit);
        if (!p.bad)
                return false;
        if (p.partly && !end->finished)
                return false;
        if (layer == LAYER_SAMPLE)
                return o->books->started && p.good && p.certain && !p.in_pieces && !o->books->adopted &&
                        !varied(o, unit_at(o, unit));
        if (layer == LAYER_CHECK && end->failed && is_strange(&p))
                return false;
        /* What was in flight when the sweep was stopped may tell, too: it is no fault then either. */
        return layer != LAYER_CHECK || end->finished || !is_strange(&p) || !much_is_strange(o);
}

/* Of the block of a sector: then nothing of what was read again is judged. */
static bool block_failed_again(const struct oracle *o, enum layer layer, uint64_t sector) {
        uint64_t count = o->block_bytes / SECTOR_BYTES, first = sector / count * count;
        for (uint64_t i = first; i < MIN(first + count, o->disk->sectors); i++)
                if (o->notes[layer][i].again_failed)
                        return true;
        return false;
}

/* A unit that was right at first, and wrong when a neighbour was read again. */
static void check_again_told(const struct oracle *o, uint64_t unit) {
        struct unit u = unit_at(o, unit);
        for (enum layer layer = LAYER_CHECK; layer <= LAYER_READ; layer++) {
                bool whole = layer != LAYER_WRITE && !block_failed_again(o, layer, u.first);
                for (uint64_t i = u.first; i < u.first + u.count; i++)
                        whole &= o->notes[layer][i].delivered > 1;
                if (whole && faults_again(o, layer, u) != 0)
                        MUST(told(o, u.first, DATA_FAULTS) > 0, "unit %" PRIu64 " was bad when it was read again",
                                unit);
        }
}

static void check_data_told(const struct oracle *o, uint64_t unit, const struct ending *end) {
        struct unit u = unit_at(o, unit);
        bool first = must_be_told(o, LAYER_SAMPLE, unit, end) || must_be_told(o, LAYER_CHECK, unit, end);
        bool second = must_be_told(o, LAYER_READ, unit, end);
        if (!first && !second)
                return;
        size_t most = 0;
        for (uint64_t i = 0; i < u.count; i++) {
                size_t count = told(o, u.first + i, DATA_FAULTS);
                most = MAX(most, count);
        }
        MUST(most >= (size_t)first + second, "unit %" PRIu64 " is bad%s, and told %zu times", unit,
                first && second ? ", twice"
                        : first ? " at first"
                                : "",
                most);
        for (size_t i = 0; i < ELEMENTS(reading_layers); i++) {
                enum layer layer = reading_layers[i];
                struct opinion p = opinion_of(o, layer, unit);
                if (!must_be_told(o, layer, unit, end))
                        continue;
                for (uint64_t k = 0; k < u.count; k++)
                        if (p.bad_sectors & BIT(k))
                                MUST(told(o, u.first + k, p.faults) > 0, "sector %" PRIu64 " is told as something else",
                                        u.first + k);
        }
}

static bool failure_must_be_told(const struct oracle *o, enum layer layer, uint64_t sector, const struct ending *end) {
        enum outcome outcome = o->notes[layer][sector].outcome;
        if (end->failed || o->has_event)
                return false;
        return outcome == OUTCOME_BAD || (outcome == OUTCOME_COARSE && end->finished);
}

static void check_io_told(const struct oracle *o, uint64_t sector, const struct ending *end) {
        bool first = failure_must_be_told(o, LAYER_SAMPLE, sector, end) ||
                failure_must_be_told(o, LAYER_CHECK, sector, end);
        bool second = failure_must_be_told(o, LAYER_READ, sector, end);
        if (first || second)
                MUST(told(o, sector, BIT(FAULT_READ_ERROR)) >= (size_t)first + second,
                        "sector %" PRIu64 " could not be read, which is not told", sector);
        if (failure_must_be_told(o, LAYER_WRITE, sector, end))
                MUST(told(o, sector, BIT(FAULT_WRITE_ERROR)) > 0,
                        "sector %" PRIu64 " could not be written, which is not told", sector);
}

/*
 * What failed and then came through is told where nothing of the pass failed for good: else it may have been a part of
 * that.
 */
static void check_transient_told(const struct oracle *o, enum layer layer, uint64_t faults) {
        for (uint64_t i = 0; i < o->disk->sectors; i++)
                if (io_failed(o, layer, i, false))
                        return;
        for (uint64_t i = 0; i < o->disk->sectors; i++)
                if (o->notes[layer][i].failed)
                        MUST(told(o, i, faults) > 0, "sector %" PRIu64 " failed for a moment, which is not told", i);
}

/* What was late twice, and what was late and then failed. */
static void check_lateness_told(const struct oracle *o, const struct ending *end) {
        for (uint64_t i = 0; i < o->disk->sectors; i++) {
                if (o->lateness->due[i])
                        MUST(told(o, i, BIT(FAULT_SLOW)) > 0, "sector %" PRIu64 " is slow, which is not told", i);
                if (lateness_has_failed(o->lateness, i) && !end->failed && !o->has_event)
                        MUST(told(o, i, BIT(FAULT_READ_ERROR)) > 0,
                                "sector %" PRIu64 " failed when it was timed, which is not told", i);
        }
}

/* Whether any request for the block of a sector failed: then it was read in pieces. */
static bool block_failed(const struct oracle *o, uint64_t sector) {
        uint64_t count = o->block_bytes / SECTOR_BYTES, first = sector / count * count;
        for (uint64_t i = first; i < MIN(first + count, o->disk->sectors); i++)
                if (o->notes[LAYER_READ][i].failed)
                        return true;
        return false;
}

/* With the disk to itself, a sweep leaves nothing untried; many places take more time than it may have. */
static void check_tried(const struct oracle *o, const struct sweep *sweep, const struct ending *end) {
        enum { FEW = 10 };
        CLEANUP_FREE struct survey *survey = sweep_survey(sweep);
        MUST(survey, "out of memory");
        MUST(survey->late_untried <= survey->late_reads, "more places untried than late");
        if (!end->finished || o->lateness->was_disturbed || o->ours > 0 || survey->late_reads > FEW || !o->has_patience)
                return;
        MUST(survey->late_untried == 0, "%" PRIu64 " late places were not tried", survey->late_untried);
        for (uint64_t i = 0; i < o->disk->sectors && o->mode == MODE_READ; i++)
                if (o->lateness->late[i] && !block_failed(o, i) && !lateness_has_failed(o->lateness, i))
                        MUST(lateness_block_was_tried(o->lateness, i, o->block_bytes),
                                "sector %" PRIu64 " was late, and not tried", i);
}

static void check_all_told(const struct oracle *o, const struct ending *end) {
        for (uint64_t i = 0; i < unit_count(o); i++) {
                check_data_told(o, i, end);
                if (end->finished)
                        check_again_told(o, i);
        }
        for (uint64_t i = 0; i < o->disk->sectors; i++)
                check_io_told(o, i, end);
        check_lateness_told(o, end);
        if (end->finished) {
                check_transient_told(o, LAYER_WRITE, BIT(FAULT_WRITE_ERROR));
                check_transient_told(o, LAYER_READ, BIT(FAULT_READ_ERROR));
        }
        for (size_t k = 0; k < o->flush_failure_count && !end->failed && !o->has_event; k++)
                MUST(told(o, o->flush_failures[k].segment.offset_bytes / SECTOR_BYTES, BIT(FAULT_FLUSH_ERROR)) > 0,
                        "a flush that failed is not told");
}

/* Whether the last pass saw every sector, and all of them right. */
static bool all_is_right(const struct oracle *o) {
        for (uint64_t i = o->extent.offset_bytes / SECTOR_BYTES; i < extent_end(o->extent) / SECTOR_BYTES; i++)
                if (o->notes[LAYER_READ][i].outcome != OUTCOME_GOOD || is_hole(o, LAYER_READ, i))
                        return false;
        for (uint64_t i = 0; i < unit_count(o); i++)
                if (o->mode != MODE_READ && opinion_of(o, LAYER_READ, i).bad)
                        return false;
        return o->flush_failure_count == 0;
}

static bool nothing_happened(const struct oracle *o) {
        for (size_t l = 0; l < LAYER_COUNT; l++)
                for (uint64_t i = 0; i < o->disk->sectors; i++)
                        if (o->notes[l][i].failed || o->notes[l][i].varied)
                                return false;
        for (uint64_t i = 0; i < unit_count(o) && o->mode != MODE_READ; i++)
                for (size_t l = 0; l < ELEMENTS(reading_layers); l++)
                        if (opinion_of(o, reading_layers[l], i).bad)
                                return false;
        return o->flush_failure_count == 0 && !lateness_any_failed(o->lateness);
}

static void check_verdict(const struct oracle *o, const struct ending *end) {
        const struct sweep_record *r = end->record;
        MUST(r->findings == o->books->run_count, "%" PRIu64 " findings, but %zu were told", r->findings,
                o->books->run_count);
        size_t faults = 0;
        for (size_t i = 0; i < o->books->run_count; i++)
                faults += run(o, i)->fault != FAULT_SLOW;
        MUST((r->verdict == VERDICT_FAULTY) == (faults > 0), "the verdict is %s", verdict_name(r->verdict));
        if (r->verdict == VERDICT_CLEAN) {
                MUST(end->finished && all_is_right(o), "clean is a lie");
                MUST(r->assurance == (o->mode == MODE_READ ? ASSURANCE_READABLE : ASSURANCE_VERIFIED), "assurance");
        } else {
                MUST(r->assurance == ASSURANCE_NONE, "an assurance without a clean verdict");
        }
        MUST(!o->reread || !nothing_happened(o), "what was right was read again");
        if (end->finished && nothing_happened(o))
                MUST(r->verdict == VERDICT_CLEAN, "nothing happened, but the verdict is %s", verdict_name(r->verdict));
}

/* Of a layer: delivered, or failed for good. */
static uint64_t bytes_of(const struct oracle *o, enum layer layer, bool delivered) {
        uint64_t sectors = 0;
        for (uint64_t i = 0; i < o->disk->sectors; i++) {
                enum outcome outcome = o->notes[layer][i].outcome;
                sectors += delivered ? outcome == OUTCOME_GOOD : outcome == OUTCOME_BAD || outcome == OUTCOME_COARSE;
        }
        return sectors * SECTOR_BYTES;
}

static void check_bytes(const struct oracle *o, const struct ending *end) {
        const struct sweep_bytes *b = &end->record->bytes;
        uint64_t read = bytes_of(o, LAYER_CHECK, true) + bytes_of(o, LAYER_READ, true);
        uint64_t written = bytes_of(o, LAYER_WRITE, true);
        uint64_t lost = bytes_of(o, LAYER_CHECK, false) + bytes_of(o, LAYER_READ, false) +
                bytes_of(o, LAYER_WRITE, false);
        MUST(b->verified <= b->read && b->read <= read && b->written <= written, "more bytes than there were");
        if (!end->finished)
                return;
        MUST(b->read == read, "%" PRIu64 " bytes read, not %" PRIu64, read, b->read);
        MUST(b->written == written, "%" PRIu64 " bytes written, not %" PRIu64, written, b->written);
        MUST(read + written + lost == b->total,
                "total %" PRIu64 ", but %" PRIu64 " read, %" PRIu64 " written, %" PRIu64 " lost", b->total, read,
                written, lost);
}

/* What is not ours lies where nothing is expected. Nobody's data: no sweep has come there yet, for all that is known.
 */
static bool is_unreached(const struct oracle *o, struct unit u) {
        struct extent sector = { u.first * SECTOR_BYTES, SECTOR_BYTES };
        if (o->knows_stamps)
                return true;
        for (size_t i = 0; i < o->past_count; i++)
                if (extent_contains(o->past_extents[i].length_bytes > 0 ? o->past_extents[i] : o->extent, sector))
                        return false;
        return o->range_count > 0 || o->past_count > 0;
}

/* What the sample makes of a unit: whether it counts as somebody else's data. */
static enum guess is_foreign(const struct oracle *o, uint64_t unit) {
        struct unit u = unit_at(o, unit);
        const struct note *n = &o->notes[LAYER_SAMPLE][u.first];
        struct opinion p = opinion_of(o, LAYER_SAMPLE, unit);
        bool zero = true, expected = o->before[u.first].settled, delivered = true;
        for (uint64_t i = 0; i < u.count; i++) {
                bool akin = n[i].tag.kind == TAG_FLIPPED && n[i].tag.bits > FLIPPED_BITS_MAX;
                if (n[i].varied || n[i].failed || n[i].tag.kind == TAG_PHANTOM || akin)
                        return MAYBE;
                delivered &= n[i].delivered;
                zero &= n[i].tag.kind == TAG_ZERO;
        }
        if (!delivered)
                return extent_overlaps(o->extent, (struct extent){ u.first * SECTOR_BYTES, 1 }) ? MAYBE : NO;
        if (is_self_consistent(o, LAYER_SAMPLE, u) || (expected && !p.bad) || zero)
                return NO;
        if (!expected)
                return is_unreached(o, u) ? NO : YES;
        if (p.good || !is_strange(&p))
                return NO;
        return p.faults & ~(BIT(FAULT_GARBAGE) | BIT(FAULT_FOREIGN)) ? MAYBE : YES;
}

/* The ledger knows no target id, and the disk bears stamps of several: which one is adopted is up to chance. */
static bool ids_differ(const struct oracle *o) {
        uint64_t id = 0;
        for (uint64_t unit = 0; unit < unit_count(o) && o->target_id == 0; unit++) {
                struct unit u = unit_at(o, unit);
                if (!is_self_consistent(o, LAYER_SAMPLE, u))
                        continue;
                uint8_t generation = o->notes[LAYER_SAMPLE][u.first].tag.generation;
                uint64_t found = o->history->of[generation].stamp.target_id;
                if (id != 0 && found != id)
                        return true;
                id = found;
        }
        return false;
}

/* Whether there is so much of somebody else's data that nothing may be written. */
static enum guess is_too_foreign(const struct oracle *o) {
        if (ids_differ(o))
                return MAYBE;
        size_t row[2] = { 0 }, longest[2] = { 0 }, places[2] = { 0 };
        for (uint64_t unit = 0; unit < unit_count(o); unit++) {
                enum guess g = is_foreign(o, unit);
                for (size_t k = 0; k < 2; k++) { /* for certain; at most */
                        bool counts = g == YES || (k == 1 && g == MAYBE);
                        places[k] += counts && row[k] == 0;
                        row[k] = counts ? row[k] + 1 : 0;
                        longest[k] = MAX(longest[k], row[k]);
                }
        }
        if (longest[0] >= ROW_UNITS || places[0] >= PLACES)
                return YES;
        return longest[1] >= ROW_UNITS || places[1] >= PLACES / UNIT_SECTORS ? MAYBE : NO;
}

static enum guess suspect_is_not_ours(const struct oracle *o) {
        if (o->suspect.length_bytes == 0)
                return NO;
        enum guess answer = ids_differ(o) ? MAYBE : NO; /* whole stamps, but perhaps of the one that is not adopted */
        for (uint64_t i = o->suspect.offset_bytes / UNIT_BYTES; i * UNIT_BYTES < extent_end(o->suspect); i++) {
                struct unit u = unit_at(o, i);
                struct opinion p = opinion_of(o, LAYER_SAMPLE, i);
                for (uint64_t k = 0; k < u.count; k++) {
                        const struct note *n = &o->notes[LAYER_SAMPLE][u.first + k];
                        if (n->outcome == OUTCOME_BAD || n->outcome == OUTCOME_COARSE || !n->delivered)
                                return YES;
                        if (n->varied || n->failed)
                                answer = MAYBE;
                }
                if (!is_self_consistent(o, LAYER_SAMPLE, u) && (!o->before[u.first].settled || p.bad))
                        return YES;
        }
        return answer;
}

/* A generation is newer than all that the sample saw, whatever the ledger knows. */
static void check_generation(const struct oracle *o) {
        const struct stamp *new = &o->history->of[o->books->generation].stamp;
        for (uint64_t unit = 0; unit < unit_count(o) && o->books->stamped; unit++) {
                struct unit u = unit_at(o, unit);
                const struct stamp *old = &o->history->of[o->notes[LAYER_SAMPLE][u.first].tag.generation].stamp;
                if (is_self_consistent(o, LAYER_SAMPLE, u) && old->target_id == new->target_id)
                        MUST(new->generation > old->generation, "generation %" PRIu64 " is on the disk already",
                                new->generation);
        }
}

/* The look before the first write, when it came to its end. */
static void check_sample(const struct oracle *o, const struct sweep *sweep, const struct ending *end) {
        enum guess foreign = is_too_foreign(o), suspect = suspect_is_not_ours(o), adopt = ledger_is_behind(o);
        bool stamped = o->target_id != 0 || adopt == YES;
        if (o->overwrite && o->range_count > 0)
                adopt = YES;
        if (sweep_was_refused(sweep)) {
                const char *rule = end->record->reason.rule;
                MUST(!o->books->started && !o->writes, "refused after it had started");
                if (strcmp(rule, "signature") == 0)
                        MUST(suspect != NO, "refused for a signature that is ours");
                else
                        MUST(strcmp(rule, "foreign_data") == 0 && foreign != NO && !o->overwrite, "refused: %s", rule);
                return;
        }
        if (!o->books->started)
                return;
        MUST(suspect != YES, "a signature that is not ours was forgiven");
        MUST(foreign != YES || !stamped || o->overwrite, "somebody's data was not noticed");
        check_generation(o);
        MUST(adopt == MAYBE || o->books->adopted == (adopt == YES), "adopted: %d", o->books->adopted);
}

static void check_end(const struct oracle *o, const struct ending *end) {
        if (o->look_failed)
                MUST(end->failed, "the device changed, and the sweep went on");
        if (o->fatal_error)
                MUST(end->record->end != END_FINISHED, "errno %d did not end the sweep", o->fatal_error);
        if (end->failed && !o->has_event && !o->fatal_error && !o->books->failed) {
                const char *rule = end->record->reason.rule;
                bool patience = o->ours >= 1000 && strcmp(rule, "resources") == 0;
                MUST(patience || strcmp(rule, "foreign_data") == 0 || strcmp(rule, "signature") == 0, "failed: %s: %s",
                        rule, end->record->reason.found);
        }
}

void oracle_judge(struct oracle *o, const struct sweep *sweep) {
        struct ending end = { .record = sweep_record(sweep) };
        end.finished = end.record->end == END_FINISHED;
        end.failed = end.record->end == END_FAILED;
        if (o->mode != MODE_READ)
                check_sample(o, sweep, &end);
        check_end(o, &end);
        check_runs(o, &end);
        if (!sweep_is_suspended(sweep)) /* else it is met again */
                check_all_told(o, &end);
        check_tried(o, sweep, &end);
        check_verdict(o, &end);
        check_bytes(o, &end);
}
