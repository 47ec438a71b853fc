/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is made of the bytes. Taking foreign bytes for ours would destroy them, and taking ours for foreign would leave
 * the pattern on the disk; so a sector is ours only if it equals, to the byte, the original or what the sweep of that
 * nonce wrote at that place, and what looks otherwise is read once more before it is believed. An original is written
 * only if its checksum is that of the table. Between the look and the write somebody may have written, too: so a unit
 * is looked at again right before, and what has changed is classified anew.
 */
#include "sweep/recovery_private.h"

#include <assert.h>
#include <string.h>

static size_t first_unit(const struct recovery_lane *l) {
        return (size_t)(l->stretch.offset_bytes / UNIT_BYTES);
}

static size_t end_unit(const struct recovery_lane *l) {
        return undo_units(extent_end(l->stretch));
}

static const uint8_t *unit_bytes(const struct recovery_lane *l, const uint8_t *buffer, size_t unit) {
        return buffer + (unit - first_unit(l)) * UNIT_BYTES;
}

static bool is_saved(const struct recovery *r, const struct recovery_lane *l, size_t unit) {
        return undo_crc(unit_bytes(l, l->saved, unit), recovery_unit_bytes(r, unit)) == r->table.crcs[unit];
}

/* Before the write, but where nobody else can have changed it. What could not be read is tried, too: somebody's write
 * makes it readable. */
static uint8_t to_look_at(const struct recovery *r, const struct recovery_unit *u) {
        return r->o.alone ? 0 : u->restore;
}

/* Which sectors of the unit the lane's step is about. */
uint8_t recovery_wants(const struct recovery *r, const struct recovery_lane *l, size_t unit) {
        const struct recovery_unit *u = &r->units[unit];
        uint8_t all = recovery_unit_mask(r, unit);
        if (undo_table_is_absent(&r->table, unit))
                return 0;
        if (r->phase == RECOVERY_CLASSIFY)
                return (l->step == LANE_READ && !l->again) || u->flags & UNIT_DOUBT ? all : 0;
        if (l->step == LANE_SAVED)
                return u->restore ? all : 0;
        return l->step == LANE_READ && r->phase == RECOVERY_RESTORE ? to_look_at(r, u) : u->restore;
}

static uint8_t same_sectors(const uint8_t *found, const uint8_t *saved, uint8_t mask) {
        uint8_t same = 0;
        for (size_t i = 0; i < UNIT_SECTORS; i++)
                if (mask & BIT(i) && memcmp(found + i * SECTOR_BYTES, saved + i * SECTOR_BYTES, SECTOR_BYTES) == 0)
                        same |= (uint8_t)BIT(i);
        return same;
}

static uint8_t pattern_sectors(const struct recovery *r, size_t unit, const uint8_t *found, uint8_t mask) {
        uint64_t offset = r->slot->marker.place.offset_bytes + (uint64_t)unit * UNIT_BYTES;
        uint8_t pattern = 0;
        for (size_t i = 0; r->pattern && i < UNIT_SECTORS; i++)
                if (mask & BIT(i) &&
                        content_has_sector(&r->content, found + i * SECTOR_BYTES, offset + i * SECTOR_BYTES))
                        pattern |= (uint8_t)BIT(i);
        return pattern;
}

/* The mask, widened to the logical blocks that it touches. */
static uint8_t whole_blocks(const struct recovery *r, uint8_t mask) {
        unsigned sectors = r->o.logical_block_bytes / SECTOR_BYTES;
        uint8_t wide = 0;
        for (unsigned i = 0; i < UNIT_SECTORS; i += sectors) {
                uint8_t block = (uint8_t)((BIT(sectors) - 1) << i);
                if (mask & block)
                        wide |= block;
        }
        return wide;
}

/* The journal has not got the original. The error is what it said, or 0: other bytes than those of the table. */
static void lose_unsaved(struct recovery_unit *u) {
        u->restore = 0;
        if (!(u->flags & UNIT_JOURNAL))
                recovery_unit_error(u, 0, true);
        u->flags |= UNIT_LOST;
}

/* A unit in doubt, and what was found and saved of it. */
static void judge(struct recovery *r, const struct recovery_lane *l, struct recovery_unit *u, size_t unit) {
        const uint8_t *found = unit_bytes(l, l->found, unit), *saved = unit_bytes(l, l->saved, unit);
        uint8_t all = recovery_unit_mask(r, unit), readable = all & (uint8_t)~u->unreadable;
        uint8_t same = same_sectors(found, saved, readable), pattern = pattern_sectors(r, unit, found, readable);
        bool blind = u->flags & UNIT_BLIND;
        if (blind && same == all)
                return; /* two places agree */
        if (blind || !is_saved(r, l, unit)) {
                if (pattern || u->unreadable || (r->o.alone && !blind)) {
                        lose_unsaved(u);
                } else if (blind) {
                        u->flags |= UNIT_UNJUDGED;
                } else {
                        u->foreign = all;
                }
                return;
        }
        uint8_t strange = whole_blocks(r, readable & (uint8_t) ~(same | pattern));
        u->foreign = r->o.alone ? 0 : strange;
        u->restore = whole_blocks(r, readable & (uint8_t)~same) & (uint8_t)~u->foreign;
}

/* The step after the saved bytes of units in doubt are there: what looks wrong is read once more. */
static enum lane_step classify(struct recovery *r, struct recovery_lane *l) {
        bool any = false;
        for (size_t unit = first_unit(l); unit < end_unit(l); unit++) {
                struct recovery_unit *u = &r->units[unit], before = *u;
                if (!(u->flags & UNIT_DOUBT))
                        continue;
                judge(r, l, u, unit);
                u->foreign |= u->strange & u->unreadable;
                u->restore &= (uint8_t)~u->foreign;
                if (!l->again && (u->foreign || u->flags & (UNIT_LOST | UNIT_UNJUDGED))) {
                        *u = (struct recovery_unit){ .strange = u->foreign | u->strange,
                                .flags = before.flags & (UNIT_DOUBT | UNIT_BLIND) };
                        any = true;
                } else {
                        u->flags &= (uint8_t)~UNIT_DOUBT;
                }
        }
        l->again = true;
        return any ? LANE_READ : LANE_DONE;
}

/* What is not as the table says is in doubt. */
static void compare(struct recovery *r, struct recovery_lane *l) {
        for (size_t unit = first_unit(l); unit < end_unit(l); unit++) {
                struct recovery_unit *u = &r->units[unit];
                if (!recovery_wants(r, l, unit))
                        continue;
                u->flags &= (uint8_t)~UNIT_DOUBT;
                if (u->unreadable || u->flags & UNIT_BLIND ||
                        undo_crc(unit_bytes(l, l->found, unit), recovery_unit_bytes(r, unit)) != r->table.crcs[unit])
                        u->flags |= UNIT_DOUBT;
        }
}

/* Right before the write: is it still what it was, and is the original what was saved? */
static void look_again(struct recovery *r, const struct recovery_lane *l) {
        for (size_t unit = first_unit(l); unit < end_unit(l); unit++) {
                struct recovery_unit *u = &r->units[unit];
                if (!u->restore)
                        continue;
                const uint8_t *found = unit_bytes(l, l->found, unit), *saved = unit_bytes(l, l->saved, unit);
                if (!is_saved(r, l, unit)) {
                        lose_unsaved(u);
                        continue;
                }
                if (u->flags & UNIT_JOURNAL)
                        recovery_unit_error(u, 0, false); /* that is over */
                uint8_t looked = to_look_at(r, u) & (uint8_t)~u->unreadable;
                uint8_t ours = same_sectors(found, saved, looked) | pattern_sectors(r, unit, found, looked);
                uint8_t strange = whole_blocks(r, looked & (uint8_t)~ours);
                if (strange) {
                        u->foreign |= strange;
                        u->restore &= (uint8_t)~strange;
                        u->flags |= UNIT_UNSHELVED;
                        r->foreign_met = r->changed = true;
                }
                if (r->foreign_met)
                        u->restore &= (uint8_t)~u->unreadable;
        }
}

static void check(struct recovery *r, const struct recovery_lane *l) {
        for (size_t unit = first_unit(l); unit < end_unit(l); unit++) {
                struct recovery_unit *u = &r->units[unit];
                if (!u->restore)
                        continue;
                uint8_t same = same_sectors(unit_bytes(l, l->found, unit), unit_bytes(l, l->saved, unit), u->restore);
                u->restore = whole_blocks(r, u->restore & (uint8_t)~same);
        }
}

void recovery_step_done(struct recovery *r, struct recovery_lane *l) {
        assert(l->step != LANE_DONE);
        if (l->step == LANE_READ && r->phase == RECOVERY_CLASSIFY)
                compare(r, l);
        if (l->step == LANE_READ) {
                l->step = LANE_SAVED;
        } else if (l->step == LANE_WRITE) {
                l->step = LANE_DONE;
        } else if (r->phase == RECOVERY_CLASSIFY) {
                l->step = classify(r, l);
        } else if (r->phase == RECOVERY_RESTORE) {
                look_again(r, l);
                l->step = LANE_WRITE;
        } else {
                check(r, l);
                l->step = LANE_DONE;
        }
}

void recovery_piece_failed(struct recovery *r, const struct recovery_lane *l, struct extent piece, int error) {
        for (uint64_t at = piece.offset_bytes; at < extent_end(piece); at += SECTOR_BYTES) {
                if (at >= extent_end(l->stretch)) /* the rest of the journal's last page */
                        break;
                struct recovery_unit *u = &r->units[at / UNIT_BYTES];
                uint8_t bit = (uint8_t)BIT(at % UNIT_BYTES / SECTOR_BYTES);
                recovery_unit_error(u, error, l->on_journal);
                if (l->step == LANE_READ)
                        u->unreadable |= bit;
                if (l->step == LANE_WRITE) {
                        u->restore &= (uint8_t)~bit;
                        u->flags |= UNIT_LOST;
                }
        }
}

void recovery_piece_read(struct recovery *r, struct extent piece) {
        for (uint64_t at = piece.offset_bytes; at < extent_end(piece); at += SECTOR_BYTES)
                r->units[at / UNIT_BYTES].unreadable &= (uint8_t)~BIT(at % UNIT_BYTES / SECTOR_BYTES);
}

void recovery_decide(struct recovery *r) {
        for (size_t i = 0; i < recovery_units(r); i++)
                r->foreign_met |= r->units[i].foreign != 0;
        for (size_t i = 0; i < recovery_units(r); i++) {
                struct recovery_unit *u = &r->units[i];
                if (!r->foreign_met && !(u->flags & UNIT_LOST))
                        u->restore |= u->unreadable;
                if (u->restore)
                        u->flags |= UNIT_TOUCHED;
        }
}

/* What was read as the original may have come from the cache that could not be flushed. */
void recovery_doubt_all(struct recovery *r) {
        for (size_t i = 0; i < recovery_units(r); i++) {
                struct recovery_unit *u = &r->units[i];
                if (u->flags & UNIT_BLIND)
                        u->flags |= UNIT_UNJUDGED;
                if (undo_table_is_absent(&r->table, i) || u->flags & (UNIT_LOST | UNIT_BLIND))
                        continue;
                u->restore = recovery_unit_mask(r, i) & (uint8_t)~u->foreign; /* look_again() keeps to the rest */
        }
}

bool recovery_is_left(const struct recovery *r) {
        for (size_t i = 0; i < recovery_units(r); i++)
                if (r->units[i].restore)
                        return true;
        return false;
}

void recovery_lose_rest(struct recovery *r) {
        for (size_t i = 0; i < recovery_units(r); i++) {
                struct recovery_unit *u = &r->units[i];
                if (!u->restore)
                        continue;
                u->restore = 0;
                u->flags |= UNIT_LOST;
                if (r->flush_error)
                        recovery_unit_error(u, r->flush_error, false);
        }
}

static bool is_of_kind(const struct recovery *r, const struct recovery_unit *u, enum recovery_kind kind) {
        bool lost = u->flags & UNIT_LOST, left = r->foreign_met && u->unreadable;
        switch (kind) {
        case RECOVERY_RESTORED:
                return u->flags & UNIT_TOUCHED && !lost && !left && !u->foreign;
        case RECOVERY_FOREIGN:
                return u->foreign != 0;
        case RECOVERY_UNREADABLE:
                return left && !lost;
        case RECOVERY_LOST:
                return lost;
        case RECOVERY_UNFLUSHED:
                return r->lost_a_flush && !r->flush_error; /* else all is lost, and that is why */
        default:
                return u->flags & UNIT_BLIND;
        }
}

static struct recovery_note note_of(const struct recovery *r, size_t unit, enum recovery_kind kind) {
        const struct recovery_unit *u = &r->units[unit];
        const struct undo_marker *m = &r->slot->marker;
        struct recovery_note note = {
                .kind = kind,
                .slot = m->slot,
                .record = m->record,
                .place = { m->place.offset_bytes + (uint64_t)unit * UNIT_BYTES, recovery_unit_bytes(r, unit) },
        };
        if (kind == RECOVERY_TABLE_BAD) {
                note.error = r->table_error;
                note.journal = true;
        } else if (kind == RECOVERY_UNFLUSHED) {
                note.error = r->unflushed_error;
        } else if (kind == RECOVERY_FOREIGN) {
                note.shelved = !(u->flags & UNIT_UNSHELVED || r->shelf.failed);
        } else {
                note.error = u->error;
                note.journal = u->flags & UNIT_JOURNAL;
        }
        return note;
}

static bool note_continues(const struct recovery_note *a, const struct recovery_note *b) {
        return a->place.length_bytes > 0 && extent_end(a->place) == b->place.offset_bytes && a->error == b->error &&
                a->journal == b->journal && a->shelved == b->shelved;
}

/* Tells every stretch of units of one kind. Returns how many units there are. */
static uint32_t tell(const struct recovery *r, enum recovery_kind kind) {
        struct recovery_note last = { 0 };
        uint32_t count = 0;
        for (size_t i = 0; i < recovery_units(r); i++) {
                if (!is_of_kind(r, &r->units[i], kind))
                        continue;
                struct recovery_note note = note_of(r, i, kind);
                count++;
                if (note_continues(&last, &note)) {
                        last.place = extent_hull(last.place, note.place);
                        continue;
                }
                if (last.place.length_bytes > 0)
                        r->o.note(r->o.userdata, &last);
                last = note;
        }
        if (count > 0)
                r->o.note(r->o.userdata, &last);
        return count;
}

uint32_t recovery_conclude(struct recovery *r, bool *ret_pinned) {
        bool unjudged = false;
        for (size_t i = 0; i < recovery_units(r); i++)
                unjudged |= (r->units[i].flags & UNIT_UNJUDGED) != 0;
        tell(r, RECOVERY_TABLE_BAD);
        tell(r, RECOVERY_UNFLUSHED);
        uint32_t restored = tell(r, RECOVERY_RESTORED), foreign = tell(r, RECOVERY_FOREIGN);
        uint32_t left = tell(r, RECOVERY_UNREADABLE), lost = tell(r, RECOVERY_LOST);
        r->result.units_restored += restored;
        r->result.units_foreign += foreign;
        r->result.units_lost += lost;
        *ret_pinned = unjudged || foreign + left + lost > 0;
        return left + lost;
}
