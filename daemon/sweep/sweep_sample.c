/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The look before the first write of a sweep. A disk that bears our stamps may have been put to use since: with a
 * signature (then every unit under it must be ours to the byte) or without one (then its ends and a spread of units
 * tell). And the ledger may be lost or older than the disk: stamps of ours tell that too. All of it by reading only.
 */
#include "sweep/sweep_private.h"

#include <assert.h>
#include <inttypes.h>

static uint64_t end_bytes(const struct sweep *s) {
        return MIN(SAMPLE_END_BYTES, s->o.extent.length_bytes);
}

/* The second end, behind the first where they would overlap. */
static struct extent far_end(const struct sweep *s) {
        uint64_t near = end_bytes(s), length = s->o.extent.length_bytes;
        uint64_t from = s->o.extent.offset_bytes + (length > 2 * near ? length - near : near);
        from -= from % UNIT_BYTES;
        return (struct extent){ from, extent_end(s->o.extent) - from };
}

static size_t blocks_of(const struct sweep *s, uint64_t bytes) {
        return (size_t)((bytes + s->o.block_bytes - 1) / s->o.block_bytes);
}

static struct extent block_of(const struct sweep *s, struct extent e, size_t index) {
        uint64_t from = e.offset_bytes + index * (uint64_t)s->o.block_bytes;
        return (struct extent){ from, MIN(s->o.block_bytes, extent_end(e) - from) };
}

/* The index-th unit of the spread: one at random in each of as many equal stretches between the two ends. */
static struct extent spread_unit(const struct sweep *s, size_t index) {
        uint64_t from = (s->o.extent.offset_bytes + end_bytes(s)) / UNIT_BYTES,
                 units = far_end(s).offset_bytes / UNIT_BYTES - from;
        uint64_t begin = from + units * index / SAMPLE_SPREAD_UNITS,
                 end = from + units * (index + 1) / SAMPLE_SPREAD_UNITS;
        uint64_t unit = begin + layout_mix(s->o.random[2] + index) % MAX(end - begin, 1);
        return (struct extent){ unit * UNIT_BYTES, UNIT_BYTES };
}

/* What is to be read next: near end, far end, spread, and last the suspects. False: no more. */
bool sweep_sample_place(struct sweep *s, struct extent *ret) {
        size_t i = s->sample.next;
        struct extent near = { s->o.extent.offset_bytes, end_bytes(s) }, far = far_end(s);
        if (s->o.fresh)
                return false;
        size_t near_blocks = blocks_of(s, near.length_bytes), far_blocks = blocks_of(s, far.length_bytes);
        size_t spread = s->o.extent.length_bytes > UINT64_C(4) * SAMPLE_END_BYTES ? SAMPLE_SPREAD_UNITS : 0;
        struct extent between = { extent_end(near), far.offset_bytes - extent_end(near) };
        size_t middle = spread ? 0 : blocks_of(s, between.length_bytes); /* small: simply all of it */
        if (i < near_blocks) {
                *ret = block_of(s, near, i);
                return true;
        }
        i -= near_blocks;
        if (i < middle) {
                *ret = block_of(s, between, i);
                return true;
        }
        i -= middle;
        if (i < far_blocks) {
                *ret = block_of(s, far, i);
                return true;
        }
        i -= far_blocks;
        if (i < spread) {
                *ret = spread_unit(s, i);
                return true;
        }
        i -= spread;
        for (size_t k = 0; k < s->o.suspect_count; k++) {
                size_t blocks = blocks_of(s, s->o.suspects[k].place.length_bytes);
                if (i < blocks) {
                        *ret = block_of(s, s->o.suspects[k].place, i);
                        return true;
                }
                i -= blocks;
        }
        return false;
}

/* A stamp that is whole, of this place and of this target. Notes a target id where none is known, and newer
 * generations. */
static bool stamp_is_ours(struct sweep *s, const struct stamp *stamp) {
        struct sampling *p = &s->sample;
        uint64_t known = s->o.target->target_id;
        if (known == 0) {
                if (p->adopt_id == 0)
                        p->adopt_id = stamp->target_id;
                known = p->adopt_id;
        }
        if (stamp->target_id != known)
                return false;
        p->newest_generation = MAX(p->newest_generation, stamp->generation);
        p->newer |= stamp->generation > s->o.target->last_generation;
        return true;
}

/* Nothing but fixed patterns that a sweep wrote which did not come to its stamps. */
static bool is_all_patterns(const struct diagnosis_ground *g, const uint8_t *bytes, uint64_t length_bytes) {
        for (uint64_t at = 0; at < length_bytes; at += SECTOR_BYTES) {
                uint8_t byte = bytes[at];
                if (!(g->patterns[byte / 64] & BIT(byte % 64)) || !content_is_fixed(bytes + at, SECTOR_BYTES, byte))
                        return false;
        }
        return true;
}

/* Whether the ledger knows of any stamps in the extent. */
static bool has_ranges(const struct sweep *s) {
        for (size_t i = 0; i < s->o.target->range_count; i++)
                if (extent_overlaps(s->o.target->ranges[i].extent, s->o.extent))
                        return true;
        return false;
}

/* The last sweep that was to write this place. NULL: none is known. */
static const struct past_generation *last_over(const struct sweep *s, uint64_t offset_bytes) {
        const struct target_record *t = s->o.target;
        for (size_t i = 0; i < t->past_count; i++)
                if (extent_contains(sweep_past_extent(s, &t->past[i]), (struct extent){ offset_bytes, 1 }))
                        return &t->past[i];
        return NULL;
}

/*
 * A part of a stamped target that no sweep has come to. While fixed patterns are written there are no ranges to tell;
 * and where the stamps are those of other extents of the target, this one may never have been swept.
 */
static bool is_unreached(const struct sweep *s, struct extent unit) {
        const struct past_generation *last = last_over(s, unit.offset_bytes);
        if (has_ranges(s))
                return true;
        if (!last)
                return s->o.target->range_count > 0 || s->o.target->past_count > 0;
        return last->patterns.count > 0 &&
                unit.offset_bytes - sweep_past_extent(s, last).offset_bytes >= last->bytes_written;
}

enum unit_answer { UNIT_OURS, UNIT_DAMAGED, UNIT_UNKNOWN, UNIT_FOREIGN };

/* e: what is expected of it, NULL: nothing; bad: it is not that. */
static enum unit_answer judge_unit(
        struct sweep *s, const struct expectation *e, bool bad, const uint8_t *bytes, struct extent unit) {
        if (e && !bad)
                return UNIT_OURS;
        struct diagnosis_ground ground;
        struct stamp stamp;
        sweep_ground(s, &ground, unit.offset_bytes);
        if (diagnose_is_self_consistent(&stamp, &ground, bytes, unit.offset_bytes, unit.length_bytes) &&
                stamp_is_ours(s, &stamp))
                return UNIT_OURS;
        if (e)
                return sweep_unit_is_bad(s, e, bytes, unit, PERSISTENCE_UNKNOWN) ? UNIT_DAMAGED : UNIT_FOREIGN;
        if (content_is_zero(bytes, unit.length_bytes) || is_all_patterns(&ground, bytes, unit.length_bytes))
                return UNIT_DAMAGED;
        return is_unreached(s, unit) ? UNIT_UNKNOWN : UNIT_FOREIGN;
}

static void count_foreign(struct sampling *p, struct extent unit) {
        if (p->foreign_count < ELEMENTS(p->foreign))
                p->foreign[p->foreign_count++] = unit.offset_bytes;
}

static int by_offset(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
        return x < y ? -1 : x > y;
}

/* Completions come in any order, so rows are found when all is there. True: too much to be damage. */
static bool is_too_foreign(struct sampling *p, size_t *ret_places) {
        qsort(p->foreign, p->foreign_count, sizeof p->foreign[0], by_offset);
        size_t places = 0, row = 0, longest = 0;
        for (size_t i = 0; i < p->foreign_count; i++) {
                uint64_t after = i > 0 ? p->foreign[i] - p->foreign[i - 1] : UINT64_MAX;
                if (after == 0) /* a suspect is read twice */
                        continue;
                places += after != UNIT_BYTES;
                row = after == UNIT_BYTES ? row + 1 : 1;
                longest = MAX(longest, row);
        }
        *ret_places = places;
        return longest * UNIT_BYTES >= FOREIGN_ROW_BYTES || places >= FOREIGN_PLACES;
}

static void note_unit(struct sweep *s, struct extent unit, enum unit_answer answer) {
        if (answer == UNIT_FOREIGN)
                count_foreign(&s->sample, unit);
        for (size_t i = 0; i < s->o.suspect_count && answer != UNIT_OURS; i++)
                if (extent_overlaps(s->o.suspects[i].place, unit))
                        s->sample.not_ours = &s->o.suspects[i];
}

/* A stretch of which the same is expected: verified as a whole, as each time costs a way to another CPU and back. */
static void judge_stretch(struct sweep *s, const struct span *span, const uint8_t *bytes, struct extent stretch) {
        struct expectation e;
        bool expected = span->count > 0 && sweep_span_expect(s, &e, span);
        struct verify_job job = {
                .expectation = &e,
                .bytes = bytes,
                .offset_bytes = stretch.offset_bytes,
                .length_bytes = (uint32_t)stretch.length_bytes,
        };
        bool right = expected && sweep_verify(s, &job);
        size_t unit_count = 0;
        for (uint64_t at = 0; at < stretch.length_bytes; unit_count++) {
                struct extent unit = { stretch.offset_bytes + at, 0 };
                unit.length_bytes = MIN(UNIT_BYTES - unit.offset_bytes % UNIT_BYTES, stretch.length_bytes - at);
                bool bad = !right && expected && job.bad_units[unit_count / 64] & BIT(unit_count % 64);
                note_unit(s, unit, judge_unit(s, expected ? &e : NULL, bad, bytes + at, unit));
                at += unit.length_bytes;
        }
        if (expected)
                sweep_expectation_release(&e);
}

void sweep_sample_judge(struct sweep *s, const uint8_t *bytes, struct extent place) {
        for (uint64_t at = 0; at < place.length_bytes;) {
                struct span span = *sweep_span(s, place.offset_bytes + at);
                uint64_t end = (extent_end(span.place) + UNIT_BYTES - 1) / UNIT_BYTES * UNIT_BYTES;
                struct extent stretch = { place.offset_bytes + at, 0 };
                stretch.length_bytes = MIN(end, extent_end(place)) - stretch.offset_bytes;
                judge_stretch(s, &span, bytes + at, stretch);
                at += stretch.length_bytes;
        }
}

void sweep_sample_unreadable(struct sweep *s, struct extent place) {
        for (size_t i = 0; i < s->o.suspect_count; i++)
                if (extent_overlaps(s->o.suspects[i].place, place))
                        s->sample.not_ours = &s->o.suspects[i];
}

static void refuse(struct sweep *s, const char *rule, const char *remedy, const char *found) {
        s->refused = true;
        s->too_foreign = true; /* what is withheld is not the disk's fault */
        sweep_fail(s, END_FAILED, rule, remedy, "%s", found);
}

static void refuse_signature(struct sweep *s) {
        char found[REASON_TEXT_BYTES];
        text_format(found, sizeof found, "it bears a signature of type %s at offset %" PRIu64, s->sample.not_ours->type,
                s->sample.not_ours->place.offset_bytes);
        refuse(s, "signature",
                "If nothing on it is needed any more, erase the signature (wipefs -a DEVICE) and start again.", found);
}

static void refuse_not_ours(struct sweep *s) {
        refuse(s, "not_ours", "Choose another path, or remove the file if nobody needs it: sweepd makes its own.",
                "it is a file that sweepd did not make, or knows nothing of: it bears no stamp");
}

static void refuse_foreign(struct sweep *s, size_t places) {
        char found[REASON_TEXT_BYTES];
        text_format(found, sizeof found,
                "it was swept before, but holds data that sweepd did not write: %zu stretches of the sample, first at offset %" PRIu64,
                places, s->sample.foreign[0]);
        refuse(s, "foreign_data",
                "If this data may be destroyed: sweepctl start NAME --overwrite IDENTITY (the value of destroys_data).",
                found);
}

/* What was compared with a ledger that is behind the disk, or may be, is no fault of the disk's. */
void sweep_sample_forget(struct sweep *s) {
        for (size_t i = fault_table_count(s->faults); i > 0; i--)
                if (fault_table_at(s->faults, i - 1)->fault > FAULT_FLUSH_ERROR)
                        fault_table_remove(s->faults, i - 1);
}

/* No pass will compare it once more, so what is not ours stays somebody's data. */
static void forget_foreign(struct sweep *s) {
        for (size_t i = fault_table_count(s->faults); i > 0; i--)
                if (fault_table_at(s->faults, i - 1)->withheld)
                        fault_table_remove(s->faults, i - 1);
}

/*
 * The ledger's ranges do not hold any more: they are forgotten, and the generation goes on from what the disk says. By
 * order only those of the extent: what other devices have on this target is as it was.
 */
static void adopt(struct sweep *s) {
        struct target_record *t = s->o.target;
        forget_foreign(s);
        if (t->target_id == 0)
                t->target_id = s->sample.adopt_id;
        t->last_generation = MAX(t->last_generation, s->sample.newest_generation);
        t->range_count = 0;
        s->span = (struct span){ 0 };
        bool by_order = !s->sample.newer && !s->sample.adopt_id;
        struct news_mark mark = {
                .target_id = t->target_id,
                .generation = t->last_generation,
                .clears = by_order ? s->o.extent : (struct extent){ 0, INT64_MAX },
        };
        sweep_post(s, NEWS_ADOPTED, true, &mark);
        s->outbox[s->outbox_count - 1].by_order = by_order;
        sweep_begin(s, STEP_ADOPT);
}

/* A part of it was judged already. */
static bool has_begun(const struct sweep *s) {
        return s->rest.resumed && (s->rest.from.pass > 0 || s->rest.from.at_bytes > s->rest.from.extent.offset_bytes);
}

/* Somebody else swept it since: what was known of the part that is done does not hold any more. */
static void refuse_to_go_on(struct sweep *s) {
        sweep_fail(s, END_KILLED, "ledger_behind", "Start a new sweep, where none is due by itself.",
                "the target bears stamps that are newer than this sweep, which was to be gone on with");
}

void sweep_sample_conclude(struct sweep *s) {
        struct sampling *p = &s->sample;
        const struct target_record *t = s->o.target;
        size_t places;
        bool stamped = t->target_id != 0 || p->adopt_id != 0;
        bool foreign = is_too_foreign(p, &places);
        p->concluded = true;
        if (p->newer)
                sweep_sample_forget(s);
        if (p->not_ours)
                refuse_signature(s);
        else if (!stamped && s->o.only_ours)
                refuse_not_ours(s);
        else if (stamped && foreign && !s->o.overwrite)
                refuse_foreign(s, places);
        else if ((p->newer || p->adopt_id) && has_begun(s))
                refuse_to_go_on(s);
        else if (p->newer || p->adopt_id || ((s->o.overwrite || s->o.fresh) && t->range_count > 0 && !has_begun(s)))
                adopt(s);
        else
                sweep_begin(s,
                        t->range_count > 0 && !(s->rest.resumed && s->rest.from.round == ROUND_SWEEP) ? STEP_CHECK
                                                                                                      : STEP_STAMP);
}
