/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a keeper makes of the bytes that it reads. What could go wrong: saving what was not read, overwriting what was
 * not saved, and taking somebody else's new data for damage of ours. So each unit has its own checksum from the first
 * read on, a unit that could not be read is left out for good, every mismatch is read once more before it counts, and
 * what isn't a damaged form of our pattern is withheld until it is known whether somebody else wrote.
 */
#include "sweep/keeper_private.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

enum { MISREAD_BITS_MAX = 256 }; /* as many differ, and it is called a flip of bits */

struct extent keep_block_place(const struct keep_block *b) {
        return (struct extent){ b->slot->place.offset_bytes + b->at, b->length_bytes };
}

static size_t first_unit(const struct keep_block *b) {
        return (size_t)(b->at / UNIT_BYTES);
}

static uint32_t unit_length(const struct keep_block *b, size_t i) {
        return MIN(UNIT_BYTES, b->length_bytes - (uint32_t)i * UNIT_BYTES);
}

static struct extent unit_place(const struct keep_block *b, size_t i) {
        return (struct extent){ keep_block_place(b).offset_bytes + i * UNIT_BYTES, unit_length(b, i) };
}

static void leave_out(struct keep_slot *slot, size_t unit) {
        if (!undo_table_is_absent(&slot->table, unit))
                slot->present--;
        keep_set_bit(slot->table.absent, unit);
}

/* What could not be written when originals go back may be there all the same, as a place that takes no writes did not
 * take the pattern either: CHECK looks. Other errors of the last two passes leave nothing to hope for. */
static void note_bad_unit(struct keeper *k, struct keep_slot *slot, size_t unit) {
        keep_set_bit(slot->bad, unit);
        if (slot->step == KEEP_SAVE)
                leave_out(slot, unit);
        if (slot->step == KEEP_COMPARE && !undo_table_is_absent(&slot->table, unit))
                keep_set_bit(slot->unseen, unit);
        if (slot->step == KEEP_VERIFY)
                keep_set_bit(slot->unverified, unit);
        if (slot->step != KEEP_RESTORE)
                return;
        keep_set_bit(slot->unwritten, unit);
        slot->left_unwritten = true;
}

/* A logical block of the target that could be neither read nor written, again and again. */
void keep_bad_piece(struct keeper *k, struct keep_block *b, struct extent piece) {
        struct keep_slot *slot = b->slot;
        bool narrowed = piece.length_bytes <= k->s->o.logical_block_bytes;
        struct io_fault fault = {
                .op = b->io.op,
                .error = b->error,
                .place = { keep_block_place(b).offset_bytes + piece.offset_bytes, piece.length_bytes },
                .narrowed = narrowed,
                .persistence = slot->step == KEEP_SAVE && narrowed ? PERSISTENCE_PERSISTENT : PERSISTENCE_UNKNOWN,
        };
        sweep_add_io_fault(k->s, &fault);
        k->s->lost_bytes += piece.length_bytes;
        slot->counted.lost_bytes += piece.length_bytes;
        for (uint64_t at = piece.offset_bytes / UNIT_BYTES; at * UNIT_BYTES < extent_end(piece); at++)
                note_bad_unit(k, slot, first_unit(b) + at);
        if (slot->step == KEEP_CHECK)
                keep_leave_armed(k, slot);
}

/* Someone's data was here, and it is in a journal that we don't have: a preserve sweep was cut short elsewhere. */
static bool is_unrestored(struct keeper *k, const uint8_t *bytes, struct extent unit) {
        struct stamp stamp;
        if (!stamp_read(&stamp, bytes) || stamp.mode != MODE_PRESERVE || stamp.offset_bytes != unit.offset_bytes)
                return false;
        sweep_add_unrestored(k->s, &stamp, unit);
        return true;
}

/*
 * The units of one physical block: where one was not read, or bears what nobody may overwrite, none of them is ever
 * written. True: all of them are to be left out.
 */
static bool judge_group(struct keeper *k, struct keep_block *b, size_t from, size_t to) {
        struct keep_slot *slot = b->slot;
        bool out = false, zero = k->s->o.discards;
        for (size_t i = from; i < to; i++) {
                const uint8_t *bytes = b->bytes + i * UNIT_BYTES;
                size_t unit = first_unit(b) + i;
                if (keep_bit(slot->bad, unit)) {
                        out = true;
                        continue;
                }
                slot->table.crcs[unit] = undo_crc(bytes, unit_length(b, i));
                out |= is_unrestored(k, bytes, unit_place(b, i));
                zero = zero && content_is_zero(bytes, unit_length(b, i));
        }
        for (size_t i = from; !out && zero && i < to; i++)
                keep_set_bit(slot->zero, first_unit(b) + i);
        return out || zero;
}

static void saved(struct keeper *k, struct keep_block *b) {
        size_t units = undo_units(b->length_bytes), group = MAX(1, k->s->o.physical_block_bytes / UNIT_BYTES);
        for (size_t from = 0; from < units; from += group) {
                size_t to = MIN(from + group, units);
                if (!judge_group(k, b, from, to))
                        continue;
                for (size_t i = from; i < to; i++)
                        leave_out(b->slot, first_unit(b) + i);
        }
        b->second = true;
        keep_io_request(k, b, LANE_JOURNAL, ENGINE_WRITE, 0, b->length_bytes);
}

/* Whether the unit's bytes are known by their checksum, and must be those. */
static bool has_crc(const struct keep_slot *slot, size_t unit) {
        bool on_target = slot->step == KEEP_COMPARE;
        return !undo_table_is_absent(&slot->table, unit) || (on_target && keep_bit(slot->zero, unit));
}

static size_t check_crcs(struct keep_block *b, const uint8_t *bytes, uint64_t *bad) {
        const struct keep_slot *slot = b->slot;
        bool on_target = !b->on_journal;
        size_t count = 0;
        memset(bad, 0, VERIFY_WORDS * sizeof *bad);
        for (size_t i = 0; i < undo_units(b->length_bytes); i++) {
                size_t unit = first_unit(b) + i;
                if (!has_crc(slot, unit) || (on_target && keep_bit(slot->bad, unit)))
                        continue;
                if (undo_crc(bytes + i * UNIT_BYTES, unit_length(b, i)) == slot->table.crcs[unit])
                        continue;
                keep_set_bit(bad, i);
                count++;
        }
        return count;
}

/* The pattern, compared run by run around what was not written. */
static size_t check_pattern(struct keeper *k, struct keep_block *b, const uint8_t *bytes, uint64_t *bad) {
        struct expectation e = { .count = 1, .candidates = { k->s->content } };
        size_t units = undo_units(b->length_bytes), count = 0, to;
        memset(bad, 0, VERIFY_WORDS * sizeof *bad);
        for (size_t from = 0; from < units; from = to) {
                to = from;
                while (to < units && !undo_table_is_absent(&b->slot->table, first_unit(b) + to) &&
                        !keep_bit(b->slot->bad, first_unit(b) + to))
                        to++;
                if (to == from) {
                        to++;
                        continue;
                }
                uint64_t at = from * UNIT_BYTES;
                struct verify_job job = {
                        .expectation = &e,
                        .bytes = bytes + at,
                        .offset_bytes = keep_block_place(b).offset_bytes + at,
                        .length_bytes = (uint32_t)(MIN(to * UNIT_BYTES, b->length_bytes) - at),
                };
                if (sweep_verify(k->s, &job))
                        continue;
                for (size_t i = from; i < to; i++)
                        if (keep_bit(job.bad_units, i - from))
                                keep_set_bit(bad, i);
                count += job.bad_count;
        }
        return count;
}

static size_t check(struct keeper *k, struct keep_block *b, const uint8_t *bytes, uint64_t *bad) {
        return b->slot->step == KEEP_VERIFY ? check_pattern(k, b, bytes, bad) : check_crcs(b, bytes, bad);
}

static bool table_is_right(struct keeper *k, struct keep_block *b) {
        uint8_t page[UNDO_PAGE_BYTES];
        for (uint32_t at = 0; at < b->length_bytes; at += UNDO_PAGE_BYTES) {
                undo_table_write(page, k->s->o.undo.journal_id, b->slot->marker.record, &b->slot->table,
                        (b->at + at) / UNDO_PAGE_BYTES);
                if (memcmp(page, b->bytes + at, sizeof page) != 0)
                        return false;
        }
        return true;
}

static bool marker_is_right(struct keeper *k, struct keep_block *b) {
        uint8_t page[UNDO_PAGE_BYTES];
        undo_marker_write(page, k->s->o.undo.journal_id, &b->slot->marker);
        return memcmp(page, b->bytes, sizeof page) == 0;
}

/* What a step writes that it has not read. */
void keep_make_bytes(struct keeper *k, struct keep_block *b) {
        uint64_t journal_id = k->s->o.undo.journal_id;
        switch (b->slot->step) {
        case KEEP_WRITE:
                content_fill(&k->s->content, b->bytes, keep_block_place(b).offset_bytes, b->length_bytes);
                break;
        case KEEP_SEAL:
                for (uint32_t at = 0; at < b->length_bytes; at += UNDO_PAGE_BYTES)
                        undo_table_write(b->bytes + at, journal_id, b->slot->marker.record, &b->slot->table,
                                (b->at + at) / UNDO_PAGE_BYTES);
                break;
        default:
                undo_marker_write(b->bytes, journal_id, &b->slot->marker);
                break;
        }
}

/* What of the unit lies in the region that it begins in. */
static uint64_t region_rest(const struct keeper *k, struct extent unit) {
        return k->s->region_step - (unit.offset_bytes - k->s->o.extent.offset_bytes) % k->s->region_step;
}

/* The units of a block that were judged: those of the last pass make up what a verdict covers. */
static void count_covered(struct keeper *k, const struct keep_block *b) {
        struct keep_slot *slot = b->slot;
        struct uncounted *c = &slot->counted;
        uint64_t passes = k->s->o.mode == MODE_PRESERVE ? 6 : 4;
        for (size_t i = 0; i < undo_units(b->length_bytes); i++) {
                size_t unit = first_unit(b) + i;
                if (keep_bit(slot->bad, unit))
                        continue;
                bool zero = slot->step == KEEP_COMPARE && keep_bit(slot->zero, unit);
                bool judged = (slot->step == KEEP_VERIFY || slot->step == KEEP_CHECK) &&
                        !undo_table_is_absent(&slot->table, unit);
                uint64_t length = unit_length(b, i), verified = judged ? length : 0;
                uint64_t skipped = zero ? (passes - 2) * length : 0;
                k->s->record.bytes.verified += verified;
                k->s->record.bytes.skipped += skipped;
                c->bytes.verified += verified;
                c->bytes.skipped += skipped;
                if (!zero && !(judged && slot->step == KEEP_CHECK))
                        continue;
                k->s->covered_bytes += length;
                c->covered_bytes += length;
                if (sweep_region_at(k->s, unit_place(b, i).offset_bytes) ==
                        sweep_region_at(k->s, slot->place.offset_bytes))
                        c->region_bytes += MIN(length, region_rest(k, unit_place(b, i)));
                sweep_survey_checked(k->s, unit_place(b, i));
                sweep_survey_verified(k->s, unit_place(b, i));
        }
}

static void look_closer(struct keeper *k, struct keep_block *b) {
        struct keep_doubt *d = &k->doubt;
        b->next = NULL;
        if (d->last)
                d->last->next = b;
        else
                d->first = b;
        d->last = b;
}

static bool any_bit(const struct keep_block *b, const uint64_t *bits) {
        bool any = false;
        for (size_t i = 0; i < undo_units(b->length_bytes); i++)
                any |= keep_bit(bits, first_unit(b) + i);
        return any;
}

/* Only before the first original is written: after a failed flush it may be there, or what it was to replace. */
static bool has_unseen(const struct keep_block *b) {
        return b->slot->restore_tries == 0 && (any_bit(b, b->slot->unseen) || any_bit(b, b->slot->unverified));
}

/* Enough was looked at: originals that COMPARE has seen go where all who may write are counted. */
bool keep_may_be_unseen(const struct keep_block *b) {
        return !any_bit(b, b->slot->unseen) && keep_counts_all(b->slot);
}

/* Of a block whose bytes are right, or were called wrong, or of which nothing is unseen any more. */
void keep_judge_end(struct keeper *k, struct keep_block *b) {
        bool goes_back = b->slot->step == KEEP_RESTORE && !k->journal_failed && !k->foreign;
        if (!k->foreign)
                count_covered(k, b);
        if (goes_back && !b->looks && has_unseen(b)) {
                b->looks = true;
                b->on_journal = false;
                look_closer(k, b);
        } else if (goes_back) {
                b->second = true;
                b->run_at = b->run_bytes = 0;
                keep_next_run(k, b, ENGINE_WRITE);
        } else {
                keep_block_done(k, b);
        }
}

/* A block that a step has wholly read or written. */
void keep_judge(struct keeper *k, struct keep_block *b) {
        uint64_t bad[VERIFY_WORDS];
        if (b->slot->step == KEEP_WRITE || b->second)
                keep_block_done(k, b);
        else if (check(k, b, b->bytes, bad) == 0)
                keep_judge_end(k, b);
        else
                look_closer(k, b);
}

/* A request of the block has been done, as a whole. */
void keep_arrived(struct keeper *k, struct keep_block *b) {
        switch (b->slot->step) {
        case KEEP_SAVE:
                if (!b->second) {
                        saved(k, b);
                        return;
                }
                break;
        case KEEP_READ_TABLE:
                if (!table_is_right(k, b))
                        keep_journal_failed(k, "reading back the table from", 0);
                break;
        case KEEP_ARM_CHECK:
                if (!marker_is_right(k, b))
                        keep_journal_failed(k, "reading back the marker from", 0);
                break;
        case KEEP_READ_BACK:
                keep_judge(k, b);
                return;
        case KEEP_RESTORE:
                if (b->second)
                        keep_next_run(k, b, ENGINE_WRITE);
                else
                        keep_judge(k, b);
                return;
        case KEEP_COMPARE:
        case KEEP_WRITE:
        case KEEP_VERIFY:
        case KEEP_CHECK:
                keep_next_run(k, b, b->io.op);
                return;
        default:
                break;
        }
        keep_block_done(k, b);
}

/* Bytes that differ from the ones that were read before, or after, where nobody wrote: what they should be is known by
 * their checksum only. */
static void add_misread(struct keeper *k, struct extent unit, const uint8_t *wrong, const uint8_t *right,
        enum persistence persistence) {
        uint64_t bits = 0;
        struct fault_run fault = {
                .fault = FAULT_GARBAGE, .place = unit, .persistence = persistence, .withheld = k->suspected
        };
        for (uint64_t i = 0; right && i < unit.length_bytes; i++)
                bits += (uint64_t)__builtin_popcount(wrong[i] ^ right[i]);
        if (right && bits <= MISREAD_BITS_MAX) {
                fault.fault = FAULT_BIT_FLIP;
                detail_set(&fault.detail, "bits_flipped", "%" PRIu64, bits);
        }
        text_format(fault.text, sizeof fault.text, "the data read differs from the data that was %s",
                right ? "read again" : "put back");
        sweep_add_fault(k->s, &fault);
}

/* The pattern's write was lost: what was saved is there still. */
static void add_lost_write(struct keeper *k, struct extent unit, enum persistence persistence) {
        struct fault_run fault = { .fault = FAULT_STALE, .place = unit, .persistence = persistence };
        text_copy(fault.text, sizeof fault.text, "holds what was there before the pattern was written: that was lost");
        sweep_add_fault(k->s, &fault);
}

/* Met before anything was written here. */
static void add_foreign(struct keeper *k, struct extent unit) {
        struct fault_run fault = { .fault = FAULT_FOREIGN, .place = unit, .persistence = PERSISTENCE_PERSISTENT };
        text_copy(fault.text, sizeof fault.text, "somebody else wrote here after it was saved; it was not overwritten");
        sweep_add_fault(k->s, &fault);
}

static bool is_original(const struct keep_block *b, size_t i, const uint8_t *bytes) {
        return undo_crc(bytes, unit_length(b, i)) == b->slot->table.crcs[first_unit(b) + i];
}

/* Only what is the original or, to the byte, a pattern of ours is nobody's for certain. A sector that is nearly ours is
 * what comes of a few bytes that are written through a page cache which has read the rest of it. */
static void note_strange(struct keeper *k, struct keep_block *b, size_t i, const uint8_t *bytes) {
        struct expectation e = { .count = 1, .candidates = { k->s->content } };
        struct diagnosis d;
        struct fault_run fault = { 0 };
        if (is_original(b, i, bytes))
                return;
        sweep_diagnose(k->s, &d, &fault, &e, bytes, unit_place(b, i));
        if (d.exact)
                return;
        if (!b->slot->mismatched)
                b->slot->doubtful = unit_place(b, i);
        b->slot->mismatched = true;
        b->slot->strange |= d.strange;
}

/* failed: the second look has no bytes; else it has, and they are wrong, too, where it was wrong again. */
static void pattern_is_wrong(struct keeper *k, struct keep_block *b, size_t i, bool again, bool failed) {
        struct expectation e = { .count = 1, .candidates = { k->s->content } };
        const uint8_t *bytes = b->bytes + i * UNIT_BYTES;
        enum persistence persistence = again ? PERSISTENCE_UNKNOWN : PERSISTENCE_TRANSIENT;
        if (is_original(b, i, bytes))
                add_lost_write(k, unit_place(b, i), persistence);
        else
                (void)sweep_unit_is_bad(k->s, &e, bytes, unit_place(b, i), persistence);
        if (again)
                note_strange(k, b, i, bytes);
        if (again && !failed)
                note_strange(k, b, i, k->doubt.bytes);
}

/* The original's write was lost, and the pattern is there still. */
static bool is_pattern(struct keeper *k, struct keep_block *b, size_t i, const uint8_t *bytes) {
        bool all = k->s->o.mode == MODE_PRESERVE;
        for (uint32_t at = 0; all && at < unit_length(b, i); at += SECTOR_BYTES)
                all = content_has_sector(&k->s->content, bytes + at, unit_place(b, i).offset_bytes + at);
        return all;
}

/* In CHECK, for good. */
static void original_is_wrong(struct keeper *k, struct keep_block *b, size_t i) {
        struct extent unit = unit_place(b, i);
        const uint8_t *bytes = b->bytes + i * UNIT_BYTES;
        if (keep_others_wrote(k, b->slot) > 0) {
                keep_foreign(k, unit); /* behind the original, which did go back: recovery tells what it is */
                return;
        }
        if (!keep_bit(b->slot->unwritten, first_unit(b) + i)) { /* else that was told, and is the pattern in part */
                if (!keep_counts_all(b->slot) && !is_pattern(k, b, i, bytes))
                        keep_suspect(k, unit);
                add_misread(k, unit, bytes, NULL, PERSISTENCE_UNKNOWN);
        }
        keep_leave_armed(k, b->slot);
}

static void unit_is_wrong(struct keeper *k, struct keep_block *b, size_t i, bool again, bool failed) {
        struct extent unit = unit_place(b, i);
        const uint8_t *bytes = b->bytes + i * UNIT_BYTES;
        if (b->slot->step == KEEP_VERIFY) {
                pattern_is_wrong(k, b, i, again, failed);
        } else if (!again) {
                add_misread(k, unit, bytes, k->doubt.bytes, PERSISTENCE_TRANSIENT);
        } else if (b->slot->step == KEEP_COMPARE) {
                add_foreign(k, unit);
                keep_foreign(k, unit);
        } else if (b->slot->step == KEEP_CHECK) {
                original_is_wrong(k, b, i);
        }
}

/* Which of the block's units are to be read again. */
void keep_recheck(struct keeper *k) {
        struct keep_doubt *d = &k->doubt;
        struct keep_block *b = d->block;
        if (!b->looks) {
                (void)check(k, b, b->bytes, d->bad);
                return;
        }
        memset(d->bad, 0, sizeof d->bad);
        for (size_t i = 0; !k->foreign && i < undo_units(b->length_bytes); i++)
                if (keep_bit(b->slot->unseen, first_unit(b) + i) || keep_bit(b->slot->unverified, first_unit(b) + i))
                        keep_set_bit(d->bad, i);
}

/* From the whole unit, if that can't be read, to its logical blocks, one after the other. False: there is none left. */
static bool next_piece(struct keeper *k, bool failed) {
        struct keep_doubt *d = &k->doubt;
        uint32_t step = k->s->o.logical_block_bytes, unit_bytes = unit_length(d->block, d->unit);
        bool any = d->piece_bytes == 0 ? failed && step < unit_bytes : d->piece_at + step < unit_bytes;
        d->piece_at = any && d->piece_bytes > 0 ? d->piece_at + step : 0;
        d->piece_bytes = any ? step : 0;
        return any;
}

/* A sector is the original, as the block has it from the journal, or the pattern; else it is kept. True: any was. */
static bool keep_strange(struct keeper *k) {
        struct keep_doubt *d = &k->doubt;
        bool any = false, preserve = k->s->o.mode == MODE_PRESERVE;
        const uint8_t *saved = d->block->bytes + (size_t)d->unit * UNIT_BYTES;
        struct extent unit = unit_place(d->block, d->unit);
        uint32_t end = d->piece_bytes > 0 ? d->piece_at + d->piece_bytes : (uint32_t)unit.length_bytes;
        if (preserve)
                content_fill(&k->s->content, d->strange, unit.offset_bytes, (uint32_t)unit.length_bytes);
        for (uint32_t at = d->piece_at; at < end; at += SECTOR_BYTES) {
                const uint8_t *found = d->bytes + (at - d->piece_at);
                if (memcmp(found, saved + at, SECTOR_BYTES) == 0 ||
                        (preserve && content_has_sector(&k->s->content, found, unit.offset_bytes + at)))
                        continue;
                memcpy(d->strange + at, found, SECTOR_BYTES);
                any = true;
        }
        return any;
}

/* The original goes where nothing can be read, and not where something else is. */
static bool judge_look(struct keeper *k, bool failed) {
        struct keep_doubt *d = &k->doubt;
        bool differs = failed ? d->differed : keep_strange(k);
        d->waits = differs && d->differed;
        d->differed = differs && !d->differed;
        return !differs && !next_piece(k, failed);
}

/* What COMPARE could not read would have stopped it; what VERIFY could not is what that would have made of it. */
bool keep_judge_strange(struct keeper *k) {
        struct keep_doubt *d = &k->doubt;
        struct keep_block *b = d->block;
        struct extent unit = unit_place(b, d->unit);
        struct expectation e = { .count = 1, .candidates = { k->s->content } };
        d->waits = false;
        if (keep_bit(b->slot->unseen, first_unit(b) + d->unit)) {
                add_foreign(k, unit);
                keep_foreign(k, unit);
        } else {
                (void)sweep_unit_is_bad(k->s, &e, d->strange, unit, PERSISTENCE_UNKNOWN);
                note_strange(k, b, d->unit, d->strange);
                if (keep_is_damage(k, b->slot))
                        return !next_piece(k, false);
        }
        memset(d->bad, 0, sizeof d->bad); /* recovery looks at the others */
        return true;
}

/* The second look at a unit has ended; failed: it could not even be read, or not be asked for. */
bool keep_judge_again(struct keeper *k, bool failed) {
        struct keep_doubt *d = &k->doubt;
        struct keep_block *b = d->block;
        uint64_t bad[VERIFY_WORDS];
        if (b->looks)
                return judge_look(k, failed);
        struct keep_block unit = *b; /* as if it had been read alone */
        unit.at += (uint64_t)d->unit * UNIT_BYTES;
        unit.length_bytes = unit_length(b, d->unit);
        bool again = failed || check(k, &unit, d->bytes, bad) > 0;
        if (!b->on_journal)
                unit_is_wrong(k, b, d->unit, again, failed);
        else if (again)
                keep_journal_failed(k, "reading back from", 0);
        else
                memcpy(b->bytes + (size_t)d->unit * UNIT_BYTES, d->bytes, UNIT_BYTES);
        return true;
}

static bool is_unwritten(const struct keep_slot *slot, struct extent place) {
        bool any = false;
        for (size_t i = 0; slot->left_unwritten && i < slot->table.units; i++) {
                struct extent unit = { slot->place.offset_bytes + (uint64_t)i * UNIT_BYTES, UNIT_BYTES };
                any |= keep_bit(slot->unwritten, i) && extent_overlaps(unit, place);
        }
        return any;
}

/* Nothing was written there, so nothing that was read later tells of a repair. */
static bool is_left_out(const struct keep_slot *slot, struct extent place) {
        bool any = false;
        for (size_t i = 0; i < slot->table.units; i++) {
                struct extent unit = { slot->place.offset_bytes + (uint64_t)i * UNIT_BYTES, UNIT_BYTES };
                any |= undo_table_is_absent(&slot->table, i) && extent_overlaps(unit, place);
        }
        return any;
}

/* What the pass that put the originals back says of the faults that were met before it in this segment. Where it could
 * not write, either, the fault is lasting; but that is not said of what was not looked at block by block. */
void keep_settle(struct keeper *k, struct keep_slot *slot, enum persistence persistence) {
        bool narrowed = k->narrow.spent_us <= k->s->o.narrow_budget_us;
        for (size_t i = 0; i < fault_table_count(k->s->faults); i++) {
                struct fault_run *run = fault_table_at(k->s->faults, i);
                if (run->persistence != PERSISTENCE_UNKNOWN || run->fault == FAULT_UNRESTORED ||
                        !extent_overlaps(run->place, slot->place) || is_left_out(slot, run->place))
                        continue;
                if (!is_unwritten(slot, run->place))
                        run->persistence = persistence;
                else if (narrowed)
                        run->persistence = PERSISTENCE_PERSISTENT;
        }
        k->s->faults_dirty = true;
}
