/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery on a target and a journal in memory. What must hold is told by what was planted: the originals, and what was
 * written over them.
 */
#include "memory_engine.h"
#include "sweep/content.h"
#include "sweep/recovery.h"

enum { SEGMENT = 64 << 10, SEGMENT_UNITS = SEGMENT / UNIT_BYTES, BLOCK = 16 << 10, SIZE = 4 * SEGMENT, NOTES = 256 };

#define JOURNAL_ID UINT64_C(0x1122334455667788)

struct world {
        struct memory_crash crash;
        struct memory_engine target, journal;
        uint64_t segment_bytes, size;
        uint32_t block_bytes;
        uint8_t *originals;
        struct table_cache *tables;
        uint64_t random;
        uint64_t sequence;
        uint32_t logical_block_bytes;
        bool alone, unflushed, by_hand;
        struct extent foreign;
        struct undo_marker markers[UNDO_SLOTS]; /* as they were planted */
        struct recovery *recovery;
        struct recovery_result result;
        struct recovery_note notes[NOTES];
        size_t note_count;
};

static void world_init(struct world *w, uint64_t seed, uint64_t segment_bytes, uint32_t block_bytes) {
        *w = (struct world){ .segment_bytes = segment_bytes,
                .size = 4 * segment_bytes,
                .block_bytes = block_bytes,
                .random = seed,
                .logical_block_bytes = 512 };
        memory_init(&w->target, w->size, &w->crash, seed + 1);
        memory_init(&w->journal, undo_journal_bytes(segment_bytes), &w->crash, seed + 2);
        w->originals = calloc(1, w->size);
        ck_assert_ptr_nonnull(w->originals);
        for (size_t i = 0; i < w->size; i += 8) {
                uint64_t bytes = suite_random(&w->random);
                memcpy(w->originals + i, &bytes, sizeof bytes);
        }
        memcpy(w->target.bytes, w->originals, w->size);
        ck_assert_int_eq(table_cache_new(&w->tables, 2), 0);
}

static void world_deinit(struct world *w) {
        memory_deinit(&w->target);
        memory_deinit(&w->journal);
        table_cache_free(w->tables);
        free(w->originals);
}

static struct undo_marker *plant_marker(struct world *w, unsigned slot) {
        struct undo_marker *m = &w->markers[slot];
        m->sequence = ++w->sequence;
        for (unsigned copy = 0; copy < UNDO_MARKER_COPIES; copy++)
                undo_marker_write(w->journal.bytes + undo_marker_offset(w->segment_bytes, slot, copy), JOURNAL_ID, m);
        return m;
}

/* Saves the originals of a place. absent: a bit for each unit that is left out. */
static struct undo_marker *arm(
        struct world *w, unsigned slot, struct extent place, enum sweep_mode mode, uint64_t absent) {
        struct undo_table table;
        size_t units = undo_units(place.length_bytes);
        ck_assert_int_eq(undo_table_init(&table, units), 0);
        table.units = units;
        table.absent[0] = absent;
        uint8_t *data = w->journal.bytes + undo_data_offset(w->segment_bytes, slot);
        for (size_t i = 0; i < units; i++) {
                uint64_t at = i * UNIT_BYTES, length = MIN(place.length_bytes - at, UNIT_BYTES);
                if (i < 64 && absent >> i & 1)
                        continue;
                memcpy(data + at, w->originals + place.offset_bytes + at, length);
                table.crcs[i] = undo_crc(data + at, length);
        }
        w->markers[slot] = (struct undo_marker){
                .record = 100 + slot,
                .slot = slot,
                .state = UNDO_ARMED,
                .mode = mode,
                .place = place,
                .target_id = 11,
                .generation = 5,
                .nonce = 77 + slot,
                .started_us = 1700000000000000,
                .armed_us = 1700000001000000,
        };
        for (size_t page = 0; page < undo_table_pages(place.length_bytes); page++) {
                uint8_t *bytes = w->journal.bytes + undo_table_offset(w->segment_bytes, slot) + page * UNDO_PAGE_BYTES;
                undo_table_write(bytes, JOURNAL_ID, w->markers[slot].record, &table, page);
                w->markers[slot].table_crc = undo_table_crc(w->markers[slot].table_crc, bytes);
        }
        undo_table_deinit(&table);
        return plant_marker(w, slot);
}

/* Writes the pattern of the slot's sweep. */
static void paint(struct world *w, unsigned slot, uint64_t from, uint64_t to) {
        const struct undo_marker *m = &w->markers[slot];
        struct table *table = table_cache_get(w->tables, m->nonce);
        struct content c = { .table = table,
                .stamp = { .mode = m->mode,
                        .target_id = m->target_id,
                        .generation = m->generation,
                        .nonce = m->nonce,
                        .started_us = m->started_us } };
        content_fill(&c, w->target.bytes + from, from, to - from);
        table_unref(table);
}

/* As somebody else would. */
static void scribble(struct world *w, uint64_t from, uint64_t to) {
        for (uint64_t at = from; at < to; at++)
                w->target.bytes[at] = (uint8_t)suite_random(&w->random);
}

static void take_note(void *userdata, const struct recovery_note *note) {
        struct world *w = userdata;
        ck_assert_uint_lt(w->note_count, NOTES);
        w->notes[w->note_count++] = *note;
}

static void begin(struct world *w) {
        memcpy(w->target.durable, w->target.bytes, w->target.size);
        memcpy(w->journal.durable, w->journal.bytes, w->journal.size);
        w->note_count = 0;
        w->crash.writes = 0;
        struct recovery_options options = {
                .target = &w->target.engine,
                .journal = &w->journal.engine,
                .depth = 3,
                .block_bytes = w->block_bytes,
                .logical_block_bytes = w->logical_block_bytes,
                .target_bytes = w->size,
                .head = { .journal_id = JOURNAL_ID, .segment_bytes = w->segment_bytes, .target_bytes = w->size },
                .alone = w->alone,
                .unflushed = w->unflushed,
                .foreign = w->foreign,
                .by_hand = w->by_hand,
                .wall_us = 1700000009000000,
                .note = take_note,
                .userdata = w,
        };
        ck_assert_int_eq(recovery_new(&w->recovery, &options), 0);
}

static void end(struct world *w) {
        w->result = *recovery_result(w->recovery);
        w->recovery = recovery_free(w->recovery);
}

/* From begin() to the end, or to the crash. */
static const struct recovery_result *run(struct world *w) {
        begin(w);
        for (unsigned i = 0;; i++) {
                ck_assert_uint_lt(i, 1000000);
                bool crashed = w->crash.at > 0 && w->crash.writes >= w->crash.at;
                if (recovery_pump(w->recovery, crashed) == RECOVERY_ENDED)
                        break;
        }
        end(w);
        return &w->result;
}

/* What the marker on the disk says. */
static struct undo_marker marker_of(const struct world *w, unsigned slot) {
        struct undo_marker best = { 0 }, m;
        for (unsigned copy = 0; copy < UNDO_MARKER_COPIES; copy++)
                if (undo_marker_read(
                            &m, w->journal.bytes + undo_marker_offset(w->segment_bytes, slot, copy), JOURNAL_ID) &&
                        m.sequence >= best.sequence)
                        best = m;
        return best;
}

static bool is_original(const struct world *w, uint64_t from, uint64_t to) {
        return memcmp(w->target.bytes + from, w->originals + from, to - from) == 0;
}

static const struct recovery_note *note_of(const struct world *w, enum recovery_kind kind) {
        for (size_t i = 0; i < w->note_count; i++)
                if (w->notes[i].kind == kind)
                        return &w->notes[i];
        return NULL;
}

static size_t notes_of(const struct world *w, enum recovery_kind kind) {
        size_t count = 0;
        for (size_t i = 0; i < w->note_count; i++)
                count += w->notes[i].kind == kind;
        return count;
}

static size_t shelved_count(const struct world *w) {
        struct undo_shelved s;
        size_t count = 0;
        for (unsigned i = 0; i < UNDO_SHELF_UNITS; i++)
                count += undo_shelved_read(&s, w->journal.bytes + undo_shelf_offset(w->segment_bytes, i), JOURNAL_ID);
        return count;
}

/* The world of each test: slot 0 holds the originals of the target's second segment. */
static struct world *w;
enum { AT = SEGMENT };
static const struct extent place = { AT, SEGMENT };

static void setup(void) {
        w = calloc(1, sizeof *w);
        ck_assert_ptr_nonnull(w);
        world_init(w, 1, SEGMENT, BLOCK);
}

static void teardown(void) {
        world_deinit(w);
        free(w);
}

static void ends_freed(void) {
        ck_assert_uint_eq(w->result.slots_armed, 1);
        ck_assert_uint_eq(w->result.slots_freed, 1);
        ck_assert_uint_eq(w->result.slots_pinned, 0);
        ck_assert_int_eq(w->result.journal_error, 0);
        ck_assert(!w->result.gone);
        ck_assert(is_original(w, 0, SIZE));
        ck_assert_int_eq(marker_of(w, 0).state, UNDO_FREE);
        ck_assert_uint_gt(marker_of(w, 0).sequence, w->markers[0].sequence);
}

START_TEST(an_empty_journal_is_left_as_it_is) {
        const struct recovery_result *result = run(w);
        ck_assert_uint_eq(result->slots_armed, 0);
        ck_assert_uint_eq(w->journal.writes + w->target.writes + w->target.reads + w->target.flushes, 0);
}
END_TEST

START_TEST(an_untouched_segment_is_flushed_and_freed_without_a_write) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        run(w);
        ends_freed();
        ck_assert_uint_eq(w->target.writes, 0);
        ck_assert_uint_eq(w->target.flushes, 1);
        ck_assert_uint_eq(w->note_count, 0);
}
END_TEST

START_TEST(the_pattern_of_that_nonce_is_restored) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        run(w);
        ends_freed();
        ck_assert_uint_eq(w->result.units_restored, SEGMENT_UNITS);
        ck_assert_uint_eq(w->note_count, 1);
        ck_assert_int_eq(w->notes[0].kind, RECOVERY_RESTORED);
        ck_assert_uint_eq(w->notes[0].place.offset_bytes, AT);
        ck_assert_uint_eq(w->notes[0].place.length_bytes, SEGMENT);
}
END_TEST

/* With the other nonces it is somebody else's. */
START_TEST(the_pattern_of_another_nonce_is_foreign) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        w->markers[0].nonce++;
        paint(w, 0, AT, AT + UNIT_BYTES);
        run(w);
        ck_assert_uint_eq(w->result.units_foreign, 1);
        ck_assert_uint_eq(w->target.writes, 0);
        ck_assert_int_eq(marker_of(w, 0).state, UNDO_PINNED);
}
END_TEST

START_TEST(torn_units_are_restored_by_sectors) {
        static const uint32_t logical[] = { 512, 4096 };
        w->logical_block_bytes = logical[_i];
        arm(w, 0, place, MODE_PRESERVE, 0);
        for (uint64_t at = AT; at < AT + SEGMENT; at += SECTOR_BYTES)
                if (suite_random(&w->random) & 1)
                        paint(w, 0, at, at + SECTOR_BYTES);
        run(w);
        ends_freed();
}
END_TEST

/* What is left out is neither read nor written, whatever it holds. */
START_TEST(absent_units_are_not_touched) {
        uint64_t unit = AT + 3 * UNIT_BYTES;
        arm(w, 0, place, MODE_PRESERVE, BIT(3));
        paint(w, 0, AT, AT + SEGMENT);
        w->target.rules[0] = (struct memory_rule){ MEMORY_FORBIDDEN, ENGINE_READ, unit, unit + UNIT_BYTES, 0, 1, 0 };
        w->target.rules[1] = (struct memory_rule){ MEMORY_FORBIDDEN, ENGINE_WRITE, unit, unit + UNIT_BYTES, 0, 1, 0 };
        run(w);
        ck_assert_uint_eq(w->result.slots_freed, 1);
        ck_assert_uint_eq(w->result.units_restored, SEGMENT_UNITS - 1);
        ck_assert(is_original(w, AT, unit) && is_original(w, unit + UNIT_BYTES, SIZE));
}
END_TEST

START_TEST(a_last_unit_that_is_short_is_restored) {
        arm(w, 0, (struct extent){ AT, 5 * UNIT_BYTES + 3 * SECTOR_BYTES }, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + 5 * UNIT_BYTES + 3 * SECTOR_BYTES);
        run(w);
        ends_freed();
        ck_assert_uint_eq(w->result.units_restored, 6);
        ck_assert_uint_eq(w->notes[0].place.length_bytes, 5 * UNIT_BYTES + 3 * SECTOR_BYTES);
}
END_TEST

/* The sectors of a unit are the pattern, somebody else's in two runs, and the original. */
static void plant_mixed_unit(void) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT + 2 * UNIT_BYTES, AT + 4 * UNIT_BYTES);
        scribble(w, AT + 2 * UNIT_BYTES + 512, AT + 2 * UNIT_BYTES + 1024);
        scribble(w, AT + 2 * UNIT_BYTES + 3584, AT + 2 * UNIT_BYTES + 4096);
}

START_TEST(foreign_bytes_stay_and_their_neighbours_are_restored) {
        uint64_t unit = AT + 2 * UNIT_BYTES;
        plant_mixed_unit();
        uint8_t theirs[2][SECTOR_BYTES];
        memcpy(theirs[0], w->target.bytes + unit + 512, SECTOR_BYTES);
        memcpy(theirs[1], w->target.bytes + unit + 3584, SECTOR_BYTES);
        run(w);
        ck_assert(memcmp(theirs[0], w->target.bytes + unit + 512, SECTOR_BYTES) == 0);
        ck_assert(memcmp(theirs[1], w->target.bytes + unit + 3584, SECTOR_BYTES) == 0);
        ck_assert(is_original(w, 0, unit + 512));
        ck_assert(is_original(w, unit + 1024, unit + 3584));
        ck_assert(is_original(w, unit + 4096, SIZE));
        ck_assert_uint_eq(w->result.slots_pinned, 1);
        ck_assert_int_eq(marker_of(w, 0).state, UNDO_PINNED);
        ck_assert_uint_eq(marker_of(w, 0).units_lost, 0);
        const struct recovery_note *note = note_of(w, RECOVERY_FOREIGN);
        ck_assert_ptr_nonnull(note);
        ck_assert(note->shelved && note->place.offset_bytes == unit && note->place.length_bytes == UNIT_BYTES);
}
END_TEST

START_TEST(foreign_bytes_are_on_the_shelf_once) {
        plant_mixed_unit();
        uint8_t theirs[SECTOR_BYTES];
        memcpy(theirs, w->target.bytes + AT + 2 * UNIT_BYTES + 512, SECTOR_BYTES);
        run(w);
        w->by_hand = true;
        run(w);
        ck_assert(note_of(w, RECOVERY_FOREIGN)->shelved);
        ck_assert_uint_eq(shelved_count(w), 2);
        struct undo_shelved s;
        const uint8_t *entry = w->journal.bytes + undo_shelf_offset(w->segment_bytes, 0);
        ck_assert(undo_shelved_read(&s, entry, JOURNAL_ID));
        ck_assert_uint_eq(s.record, w->markers[0].record);
        ck_assert_uint_eq(s.place.offset_bytes, AT + 2 * UNIT_BYTES + 512);
        ck_assert_uint_eq(s.place.length_bytes, SECTOR_BYTES);
        ck_assert(memcmp(entry + UNDO_PAGE_BYTES, theirs, SECTOR_BYTES) == 0);
        ck_assert(s.crc == undo_crc(theirs, SECTOR_BYTES));
}
END_TEST

static void fill_shelf(unsigned count) {
        struct undo_shelved other = { .record = 1, .place = { 0, 512 } };
        for (unsigned i = 0; i < count; i++)
                undo_shelved_write(w->journal.bytes + undo_shelf_offset(w->segment_bytes, i), JOURNAL_ID, &other);
}

START_TEST(a_full_shelf_is_told_and_nothing_on_it_is_overwritten) {
        plant_mixed_unit();
        fill_shelf(UNDO_SHELF_UNITS - (unsigned)_i);
        run(w);
        ck_assert(!note_of(w, RECOVERY_FOREIGN)->shelved);
        ck_assert_uint_eq(shelved_count(w), UNDO_SHELF_UNITS);
        ck_assert_int_eq(w->result.journal_error, 0);
        w->by_hand = true; /* and what found room is found again */
        run(w);
        ck_assert_uint_eq(shelved_count(w), UNDO_SHELF_UNITS);
}
END_TEST

START_TEST(a_place_on_the_shelf_that_can_not_be_read_is_left_alone) {
        uint64_t first = undo_shelf_offset(w->segment_bytes, 0);
        plant_mixed_unit();
        w->journal.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_READ, first, first + UNDO_PAGE_BYTES, 0,
                UINT32_MAX, EIO };
        w->journal.rules[1] = (struct memory_rule){ MEMORY_FORBIDDEN, ENGINE_WRITE, first, first + 2 * UNDO_PAGE_BYTES,
                0, 1, 0 };
        run(w);
        ck_assert(note_of(w, RECOVERY_FOREIGN)->shelved);
        ck_assert_uint_eq(shelved_count(w), 2);
}
END_TEST

/* Bytes, their flush, descriptions, their flush. */
START_TEST(a_shelf_that_can_not_be_written_is_told) {
        uint64_t from = undo_shelf_offset(w->segment_bytes, 0),
                 to = undo_shelf_offset(w->segment_bytes, UNDO_SHELF_UNITS);
        static const enum engine_op ops[] = { ENGINE_WRITE, ENGINE_WRITE, ENGINE_FLUSH, ENGINE_FLUSH };
        static const unsigned after[] = { 0, 2, 0, 1 };
        plant_mixed_unit();
        w->journal.rules[0] = (struct memory_rule){ MEMORY_FAILS, ops[_i], from, to, after[_i], 3, EIO };
        if (ops[_i] == ENGINE_FLUSH)
                w->journal.rules[0].times = 1;
        run(w);
        ck_assert(!note_of(w, RECOVERY_FOREIGN)->shelved);
        ck_assert_int_eq(w->result.journal_error, EIO);
        ck_assert_int_eq(marker_of(w, 0).state, UNDO_PINNED);
        ck_assert(is_original(w, AT + 3 * UNIT_BYTES, AT + SEGMENT));
}
END_TEST

START_TEST(foreign_bytes_that_can_not_be_read_again_are_told) {
        plant_mixed_unit();
        uint64_t at = AT + 2 * UNIT_BYTES + 512;
        w->target.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_READ, at, at + 512, 2, 1, EIO };
        run(w);
        ck_assert(!note_of(w, RECOVERY_FOREIGN)->shelved);
        ck_assert_uint_eq(shelved_count(w), 1);
}
END_TEST

/* Strange at the first look, unreadable from the second one on. */
START_TEST(foreign_bytes_that_turn_unreadable_are_not_written_to) {
        uint64_t at = AT + 2 * UNIT_BYTES + 512;
        uint8_t theirs[SECTOR_BYTES];
        arm(w, 0, place, MODE_PRESERVE, 0);
        scribble(w, at, at + 512);
        memcpy(theirs, w->target.bytes + at, sizeof theirs);
        w->target.rules[0] = (struct memory_rule){ MEMORY_HEALS, ENGINE_READ, at, at + 512, 1, UINT32_MAX, EIO };
        run(w);
        ck_assert(memcmp(theirs, w->target.bytes + at, sizeof theirs) == 0);
        ck_assert(!note_of(w, RECOVERY_FOREIGN)->shelved);
        ck_assert_int_eq(marker_of(w, 0).state, UNDO_PINNED);
}
END_TEST

/* One that changes while it is being copied to a shelf that was full, but for what it was before. */
static int scribble_more(struct memory_engine *m, const struct engine_io *io) {
        m->bytes[AT + 2 * UNIT_BYTES + 512] ^= 1;
        return 0;
}

START_TEST(foreign_bytes_that_change_find_no_room_on_a_full_shelf) {
        uint64_t at = AT + 2 * UNIT_BYTES + 512;
        plant_mixed_unit();
        fill_shelf(UNDO_SHELF_UNITS - 2);
        run(w);
        w->by_hand = true;
        w->target.hook = scribble_more;
        w->target.rules[0] = (struct memory_rule){ MEMORY_CALLS, ENGINE_READ, at, at + 512, 2, 1, 0 };
        run(w);
        ck_assert(!note_of(w, RECOVERY_FOREIGN)->shelved);
}
END_TEST

START_TEST(foreign_bytes_that_have_grown_are_shelved_anew) {
        plant_mixed_unit();
        run(w);
        scribble(w, AT + 2 * UNIT_BYTES + 1024, AT + 2 * UNIT_BYTES + 1536);
        w->by_hand = true;
        run(w);
        ck_assert_uint_eq(shelved_count(w), 3);
}
END_TEST

START_TEST(alone_what_is_neither_is_damage_and_restored) {
        plant_mixed_unit();
        w->alone = true;
        run(w);
        ends_freed();
        ck_assert_uint_eq(shelved_count(w), 0);
}
END_TEST

/* Somebody else, whom the caller could not know of when it counted. */
static int write_and_be_counted(struct memory_engine *m, const struct engine_io *io) {
        scribble(w, io->offset_bytes, io->offset_bytes + 512);
        m->look.written_bytes += 512;
        return 0;
}

START_TEST(who_begins_to_write_after_the_caller_counted_is_not_damage) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        w->alone = true;
        w->target.hook = write_and_be_counted;
        w->target.rules[0] = (struct memory_rule){ MEMORY_CALLS, ENGINE_READ, AT + BLOCK, AT + BLOCK + 512, 0, 1, 0 };
        run(w);
        ck_assert_uint_eq(w->result.units_foreign, 1);
        ck_assert_int_eq(marker_of(w, 0).state, UNDO_PINNED);
        ck_assert(!is_original(w, AT + BLOCK, AT + BLOCK + 512));
        ck_assert(is_original(w, AT + BLOCK + 512, AT + SEGMENT));
}
END_TEST

/* Without a count, neither at the beginning nor later, and with one that misses some, nobody is known to be alone: what
 * is strange is somebody's. */
static int stop_counting(struct memory_engine *m, const struct engine_io *io) {
        (void)io;
        m->look.counts_known = false;
        return 0;
}

START_TEST(without_a_count_nobody_is_taken_to_be_alone) {
        uint64_t at = AT + 2 * UNIT_BYTES;
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        w->alone = true;
        w->target.hook = stop_counting;
        if (_i == 0) {
                scribble(w, at, at + 512);
                w->target.look.counts_known = false;
        } else if (_i == 1) {
                scribble(w, at, at + 512);
                w->target.look_error = -EIO;
        } else if (_i == 2) {
                scribble(w, at, at + 512);
                w->target.look.counts_complete = false;
        } else {
                w->target.rules[0] = (struct memory_rule){ MEMORY_CALLS, ENGINE_READ, AT, AT + 512, 0, 1, 0 };
        }
        begin(w);
        w->target.look_error = 0;
        while (recovery_pump(w->recovery, false) != RECOVERY_ENDED)
                ;
        end(w);
        ck_assert_uint_eq(w->result.units_foreign, _i < 3);
        ck_assert(is_original(w, at, at + 512) == (_i == 3));
        ck_assert(is_original(w, at + 512, AT + SEGMENT));
}
END_TEST

START_TEST(each_kind_of_news_has_words_of_its_own) {
        static const struct {
                struct recovery_note note;
                enum fault fault;
                const char *words;
        } cases[] = {
                { { .kind = RECOVERY_FOREIGN, .shelved = true }, FAULT_FOREIGN, "a copy is in the undo journal" },
                { { .kind = RECOVERY_FOREIGN }, FAULT_FOREIGN, "it was left as it is" },
                { { .kind = RECOVERY_UNREADABLE, .error = EIO }, FAULT_UNRESTORED, "can't be read" },
                { { .kind = RECOVERY_TABLE_BAD }, FAULT_UNRESTORED, "the bytes are wrong" },
                { { .kind = RECOVERY_LOST, .error = EIO }, FAULT_UNRESTORED, "writing it failed, EIO" },
                { { .kind = RECOVERY_LOST, .journal = true }, FAULT_UNRESTORED, "from the undo journal failed" },
                { { .kind = RECOVERY_UNFLUSHED, .error = EIO }, FAULT_FLUSH_ERROR, "flushing failed: EIO" },
                { { .kind = RECOVERY_UNFLUSHED }, FAULT_FLUSH_ERROR, "flushing failed before a crash" },
        };
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct finding f = { 0 };
                recovery_describe(&f, &cases[i].note);
                ck_assert_int_eq(f.fault, cases[i].fault);
                ck_assert_msg(strstr(f.text, cases[i].words), "%s", f.text);
                bool copy = strstr(f.text, "a copy");
                ck_assert(copy == cases[i].note.shelved);
        }
}
END_TEST

/* Who has seen it has told it. */
START_TEST(where_a_flush_was_lost_before_originals_are_written_again) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        w->unflushed = true;
        run(w);
        ends_freed();
        ck_assert_uint_eq(w->result.bytes_written, SEGMENT);
        ck_assert_uint_eq(notes_of(w, RECOVERY_UNFLUSHED), 0);
}
END_TEST

/* By a process that was killed then. */
START_TEST(a_failed_flush_that_the_marker_knows_of_is_told_and_all_is_written_again) {
        arm(w, 0, place, MODE_PRESERVE, 0)->units_lost = 1;
        plant_marker(w, 0);
        run(w);
        ends_freed();
        ck_assert_uint_eq(w->result.bytes_written, SEGMENT);
        ck_assert_uint_eq(w->result.units_lost, 0);
        ck_assert_uint_eq(notes_of(w, RECOVERY_UNFLUSHED), 1);
        const struct recovery_note *note = note_of(w, RECOVERY_UNFLUSHED);
        ck_assert_uint_eq(note->place.offset_bytes, AT);
        ck_assert_uint_eq(note->place.length_bytes, SEGMENT);
        ck_assert_int_eq(note->error, 0);
        ck_assert_uint_eq(marker_of(w, 0).units_lost, 0);
}
END_TEST

/* A flush is for the whole disk: what an earlier run wrote to the place of the other slot may be lost with it. */
START_TEST(a_failed_flush_is_in_all_markers_before_anything_is_written_again) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        arm(w, 1, (struct extent){ AT + SEGMENT, SEGMENT }, MODE_PRESERVE, 0);
        w->target.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_FLUSH, 0, 0, 0, 1, EIO };
        begin(w);
        while (w->target.writes == 0)
                ck_assert_int_ne(recovery_pump(w->recovery, false), RECOVERY_ENDED);
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++) {
                ck_assert_int_eq(marker_of(w, slot).state, UNDO_ARMED);
                ck_assert_uint_eq(marker_of(w, slot).units_lost, SEGMENT_UNITS);
        }
        while (recovery_pump(w->recovery, false) != RECOVERY_ENDED)
                ;
        end(w);
        ck_assert_uint_eq(w->result.slots_freed, 2);
        ck_assert_uint_eq(w->result.bytes_written, 2 * SEGMENT);
        ck_assert_uint_eq(notes_of(w, RECOVERY_UNFLUSHED), 2);
        ck_assert_int_eq(note_of(w, RECOVERY_UNFLUSHED)->error, EIO);
}
END_TEST

/* The journal does not take it: the originals go back all the same, as long as this process lives. */
START_TEST(a_failed_flush_that_can_not_be_noted_is_the_journals_error) {
        uint64_t marker = undo_marker_offset(w->segment_bytes, 0, 1);
        arm(w, 0, place, MODE_PRESERVE, 0);
        w->unflushed = true;
        w->journal.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_WRITE, marker, marker + UNDO_PAGE_BYTES, 0, 3,
                EIO };
        run(w);
        ck_assert_int_eq(w->result.journal_error, EIO);
        ck_assert_uint_eq(w->result.bytes_written, SEGMENT);
        ck_assert(is_original(w, 0, SIZE));
}
END_TEST

START_TEST(refresh_knows_no_pattern) {
        arm(w, 0, place, MODE_REFRESH, 0);
        paint(w, 0, AT, AT + UNIT_BYTES);
        run(w);
        ck_assert_uint_eq(w->result.units_foreign, 1);
        ck_assert_uint_eq(w->target.writes, 0);
}
END_TEST

START_TEST(what_looks_foreign_once_only_is_not) {
        arm(w, 0, place, MODE_REFRESH, 0);
        w->target.rules[0] = (struct memory_rule){ MEMORY_NOTHING, ENGINE_READ, AT, AT + SEGMENT, 0, 1, 0 };
        run(w);
        ends_freed();
        ck_assert_uint_eq(w->note_count, 0);
}
END_TEST

START_TEST(what_the_journal_fails_to_say_once_only_is_not_lost) {
        uint64_t data = undo_data_offset(w->segment_bytes, 0);
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        w->journal.rules[0] = (struct memory_rule){ MEMORY_NOTHING, ENGINE_READ, data, data + SEGMENT, 0, 1, 0 };
        w->journal.rules[1] = (struct memory_rule){ MEMORY_FAILS, ENGINE_READ, data, data + SEGMENT, 4, 2, EIO };
        run(w);
        ends_freed();
        ck_assert_ptr_null(note_of(w, RECOVERY_LOST));
}
END_TEST

static void plant_unreadable(uint64_t from, uint64_t to) {
        w->target.rules[7] = (struct memory_rule){ MEMORY_HEALS, ENGINE_READ, from, to, 0, UINT32_MAX, EIO };
}

START_TEST(unreadable_blocks_are_written_and_their_neighbours_are_not) {
        uint64_t bad = AT + 5 * UNIT_BYTES + 1024;
        arm(w, 0, place, MODE_REFRESH, 0);
        plant_unreadable(bad, bad + 1024);
        run(w);
        ends_freed();
        ck_assert_uint_eq(w->result.bytes_written, 1024);
        ck_assert_uint_eq(w->note_count, 1);
        ck_assert_int_eq(w->notes[0].kind, RECOVERY_RESTORED);
        ck_assert_int_eq(w->notes[0].error, EIO);
        ck_assert(!w->notes[0].journal);
}
END_TEST

START_TEST(unreadable_blocks_are_left_where_the_segment_holds_foreign_bytes) {
        uint64_t bad = AT + 9 * UNIT_BYTES;
        plant_mixed_unit();
        plant_unreadable(bad, bad + 512);
        w->target.rules[0] = (struct memory_rule){ MEMORY_FORBIDDEN, ENGINE_WRITE, bad, bad + 512, 0, 1, 0 };
        run(w);
        ck_assert_uint_eq(notes_of(w, RECOVERY_UNREADABLE), 1);
        ck_assert_uint_eq(note_of(w, RECOVERY_UNREADABLE)->place.offset_bytes, bad);
        ck_assert_int_eq(note_of(w, RECOVERY_UNREADABLE)->error, EIO);
        ck_assert_uint_eq(marker_of(w, 0).units_lost, 1);
        ck_assert_uint_eq(w->result.units_lost, 0);
}
END_TEST

/* Whoever saw the foreign bytes tells, as they may be those that can't be read now. */
START_TEST(unreadable_blocks_are_left_where_the_caller_met_foreign_bytes) {
        uint64_t bad = AT + 9 * UNIT_BYTES;
        arm(w, 0, place, MODE_PRESERVE, 0);
        plant_unreadable(bad, bad + 512);
        w->foreign = (struct extent){ _i ? AT : AT + SEGMENT, UNIT_BYTES };
        run(w);
        ck_assert_uint_eq(notes_of(w, RECOVERY_UNREADABLE), _i ? 1 : 0);
        ck_assert_uint_eq(w->target.writes, _i ? 0 : 1);
        ck_assert_int_eq(marker_of(w, 0).state, _i ? UNDO_PINNED : UNDO_FREE);
}
END_TEST

/* Once as part of a block, once of a unit, and once by itself: then somebody has written to it. */
START_TEST(what_can_be_read_again_right_before_the_write_is_looked_at) {
        static const char *const whose[] = { "theirs", "ours", "the original" };
        uint64_t bad = AT + 5 * UNIT_BYTES + 1024;
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + 2 * UNIT_BYTES);
        if (_i == 0)
                scribble(w, bad, bad + 512);
        if (_i == 1)
                paint(w, 0, bad, bad + 512);
        w->target.rules[7] = (struct memory_rule){ MEMORY_FAILS, ENGINE_READ, bad, bad + 512, 0, 3, EIO };
        if (_i == 0)
                w->target.rules[0] = (struct memory_rule){ MEMORY_FORBIDDEN, ENGINE_WRITE, bad, bad + 512, 0, 1, 0 };
        run(w);
        ck_assert_uint_eq(w->target.rules[7].times, 0);
        ck_assert_msg(is_original(w, bad, bad + 512) == (_i > 0), "%s", whose[_i]);
        ck_assert_uint_eq(w->result.units_foreign, _i == 0);
        ck_assert_int_eq(marker_of(w, 0).state, _i == 0 ? UNDO_PINNED : UNDO_FREE);
        ck_assert_uint_eq(notes_of(w, RECOVERY_UNREADABLE) + notes_of(w, RECOVERY_LOST), 0);
        ck_assert(is_original(w, AT, AT + 2 * UNIT_BYTES));
}
END_TEST

START_TEST(a_unit_that_is_restored_in_part_is_not_told_as_restored) {
        uint64_t bad = AT + 9 * UNIT_BYTES;
        plant_mixed_unit();
        paint(w, 0, bad, bad + 1024);
        plant_unreadable(bad, bad + 512);
        run(w);
        ck_assert(is_original(w, bad + 512, bad + 1024));
        ck_assert_uint_eq(notes_of(w, RECOVERY_UNREADABLE), 1);
        ck_assert_uint_eq(w->result.units_restored, 1);
}
END_TEST

START_TEST(an_unreadable_unit_that_is_lost_is_told_once) {
        uint64_t bad = AT + 4 * UNIT_BYTES;
        plant_mixed_unit();
        w->journal.bytes[undo_data_offset(w->segment_bytes, 0) + 4 * UNIT_BYTES] ^= 1;
        plant_unreadable(bad, bad + 512);
        run(w);
        ck_assert_uint_eq(notes_of(w, RECOVERY_UNREADABLE), 0);
        ck_assert_uint_eq(notes_of(w, RECOVERY_LOST), 1);
        ck_assert_uint_eq(marker_of(w, 0).units_lost, 1);
}
END_TEST

START_TEST(neighbours_of_which_one_is_on_the_shelf_are_told_apart) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        scribble(w, AT, AT + 3 * UNIT_BYTES);
        fill_shelf(UNDO_SHELF_UNITS - 1);
        run(w);
        ck_assert_uint_eq(notes_of(w, RECOVERY_FOREIGN), 2);
        ck_assert(w->notes[0].shelved && !w->notes[1].shelved);
        ck_assert_uint_eq(w->notes[1].place.length_bytes, 2 * UNIT_BYTES);
}
END_TEST

START_TEST(a_block_that_can_not_be_written_is_lost_alone) {
        uint64_t bad = AT + 7 * UNIT_BYTES + 512;
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        int error = _i ? ETIMEDOUT : EIO;
        w->target.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_WRITE, bad, bad + 512, 0, UINT32_MAX, error };
        run(w);
        ck_assert(is_original(w, 0, bad) && is_original(w, bad + 512, SIZE));
        ck_assert_uint_eq(w->result.units_lost, 1);
        ck_assert_uint_eq(marker_of(w, 0).units_lost, 1);
        ck_assert_int_eq(marker_of(w, 0).state, UNDO_PINNED);
        const struct recovery_note *note = note_of(w, RECOVERY_LOST);
        ck_assert(note->error == error && !note->journal && note->place.offset_bytes == AT + 7 * UNIT_BYTES);
}
END_TEST

START_TEST(a_write_that_fails_now_and_then_loses_nothing) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        w->target.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_WRITE, AT, AT + 512, 0, 4, ENODATA };
        w->target.rules[1] = (struct memory_rule){ MEMORY_FAILS, ENGINE_WRITE, 0, SIZE, 9, 5, EAGAIN };
        w->target.rules[2] = (struct memory_rule){ MEMORY_REFUSED, ENGINE_WRITE, 0, SIZE, 5, 5, ENOMEM };
        run(w);
        ends_freed();
        ck_assert_uint_eq(w->result.units_lost, 0);
}
END_TEST

START_TEST(what_reads_back_wrong_is_written_again) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        w->target.rules[0] = (struct memory_rule){ MEMORY_SWALLOWED, ENGINE_WRITE, AT, AT + SEGMENT, 0, 3, 0 };
        run(w);
        ends_freed();
        ck_assert_uint_eq(w->target.flushes, 2);
        ck_assert_uint_eq(w->result.units_restored, SEGMENT_UNITS);
}
END_TEST

START_TEST(what_reads_back_wrong_for_good_is_lost) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        w->target.rules[0] = (struct memory_rule){ MEMORY_SWALLOWED, ENGINE_WRITE, AT, AT + 512, 0, UINT32_MAX, 0 };
        w->target.rules[1] = (struct memory_rule){ MEMORY_NOTHING, ENGINE_READ, AT, AT + 512, 2, 1, 0 };
        run(w);
        ck_assert_uint_eq(w->result.slots_pinned, 1);
        ck_assert(is_original(w, AT + BLOCK, SIZE));
        const struct recovery_note *note = note_of(w, RECOVERY_LOST);
        ck_assert(note->error == 0 && !note->journal);
        ck_assert_uint_eq(w->result.units_lost, 1);
}
END_TEST

START_TEST(what_can_not_be_read_back_is_lost) {
        uint64_t at = AT + UNIT_BYTES;
        arm(w, 0, place, MODE_PRESERVE, 0);
        w->alone = true;
        paint(w, 0, AT, AT + SEGMENT);
        w->target.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_READ, at, at + 512, 1, UINT32_MAX, EILSEQ };
        run(w);
        ck_assert_uint_eq(w->result.units_lost, 1);
        ck_assert_int_eq(note_of(w, RECOVERY_LOST)->error, EILSEQ);
        ck_assert(is_original(w, 0, SIZE));
}
END_TEST

START_TEST(after_a_failed_flush_everything_is_written_again) {
        arm(w, 0, place, MODE_PRESERVE, BIT(1));
        paint(w, 0, AT, AT + 512);
        w->target.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_FLUSH, 0, 0, 0, 2, EIO };
        run(w);
        ends_freed();
        ck_assert_uint_eq(w->target.flushes, 3);
        ck_assert_uint_eq(w->result.bytes_written, 512 + 2 * (SEGMENT - UNIT_BYTES));
        ck_assert_uint_eq(w->result.units_restored, 1);
}
END_TEST

/* A read that transfers nothing has the segment classified anew, and what was lost reads well from the cache. */
START_TEST(a_failed_flush_is_not_forgotten_where_the_segment_is_classified_anew) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + 512);
        w->target.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_FLUSH, 0, 0, 0, 1, EIO };
        w->target.rules[1] = (struct memory_rule){ MEMORY_NOTHING, ENGINE_READ, AT + 6 * UNIT_BYTES,
                AT + 7 * UNIT_BYTES, 1, 1, 0 };
        run(w);
        ends_freed();
        ck_assert_uint_ge(w->result.bytes_written, 512 + SEGMENT);
}
END_TEST

START_TEST(a_flush_that_fails_for_good_loses_all_of_the_segment) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + 512);
        w->target.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_FLUSH, 0, 0, 0, 4, EIO };
        run(w);
        ck_assert_uint_eq(w->target.flushes, 4);
        ck_assert_uint_eq(w->result.units_lost, SEGMENT_UNITS);
        ck_assert_int_eq(note_of(w, RECOVERY_LOST)->error, EIO);
        ck_assert_int_eq(marker_of(w, 0).state, UNDO_PINNED);
}
END_TEST

START_TEST(a_failed_flush_does_not_bring_back_what_is_foreign_or_unreadable) {
        uint64_t bad = AT + 9 * UNIT_BYTES;
        plant_mixed_unit();
        plant_unreadable(bad, bad + 512);
        w->target.rules[0] = (struct memory_rule){ MEMORY_FORBIDDEN, ENGINE_WRITE, bad, bad + 512, 0, 1, 0 };
        w->target.rules[1] = (struct memory_rule){ MEMORY_FORBIDDEN, ENGINE_WRITE, AT + 2 * UNIT_BYTES + 512,
                AT + 2 * UNIT_BYTES + 1024, 0, 1, 0 };
        w->target.rules[2] = (struct memory_rule){ MEMORY_FAILS, ENGINE_FLUSH, 0, 0, 0, 1, EIO };
        run(w);
        ck_assert_int_eq(marker_of(w, 0).state, UNDO_PINNED);
        ck_assert_uint_eq(w->target.flushes, 2);
}
END_TEST

/* The saved bytes of unit 4 are wrong. Its neighbours' are right. */
static void spoil_saved(void) {
        w->journal.bytes[undo_data_offset(w->segment_bytes, 0) + 4 * UNIT_BYTES + 9] ^= 8;
}

START_TEST(pattern_whose_original_is_damaged_is_lost_alone) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        spoil_saved();
        run(w);
        ck_assert(is_original(w, 0, AT + 4 * UNIT_BYTES) && is_original(w, AT + 5 * UNIT_BYTES, SIZE));
        const struct recovery_note *note = note_of(w, RECOVERY_LOST);
        ck_assert(note->journal && note->error == 0 && note->place.offset_bytes == AT + 4 * UNIT_BYTES);
        ck_assert_uint_eq(w->result.units_lost, 1);
}
END_TEST

START_TEST(pattern_whose_original_can_not_be_read_is_lost_alone) {
        uint64_t at = undo_data_offset(w->segment_bytes, 0) + 4 * UNIT_BYTES;
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        w->journal.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_READ, at, at + UNIT_BYTES, 0, UINT32_MAX,
                ENODATA };
        run(w);
        ck_assert(is_original(w, 0, AT + 4 * UNIT_BYTES) && is_original(w, AT + 5 * UNIT_BYTES, SIZE));
        ck_assert(note_of(w, RECOVERY_LOST)->journal && note_of(w, RECOVERY_LOST)->error == ENODATA);
}
END_TEST

START_TEST(neighbours_lost_by_the_journal_and_by_the_target_are_told_apart) {
        uint64_t at = undo_data_offset(w->segment_bytes, 0) + 4 * UNIT_BYTES, bad = AT + 5 * UNIT_BYTES;
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        w->journal.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_READ, at, at + 1, 0, UINT32_MAX, EIO };
        w->target.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_WRITE, bad, bad + 1, 0, UINT32_MAX, EIO };
        run(w);
        ck_assert_uint_eq(notes_of(w, RECOVERY_LOST), 2);
        ck_assert_uint_eq(w->result.units_lost, 2);
}
END_TEST

START_TEST(an_original_that_spoils_before_it_is_written_back_is_lost) {
        uint64_t at = undo_data_offset(w->segment_bytes, 0) + 4 * UNIT_BYTES;
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        w->journal.rules[0] = (struct memory_rule){ _i ? MEMORY_FAILS : MEMORY_NOTHING, ENGINE_READ, at,
                at + UNIT_BYTES, 1, UINT32_MAX, EIO };
        run(w);
        ck_assert(is_original(w, 0, AT + 4 * UNIT_BYTES) && is_original(w, AT + 2 * BLOCK, SIZE));
        ck_assert(note_of(w, RECOVERY_LOST)->journal);
        ck_assert_int_eq(note_of(w, RECOVERY_LOST)->error, _i ? EIO : 0);
}
END_TEST

START_TEST(a_short_last_unit_whose_original_can_not_be_read_is_lost) {
        uint64_t end = AT + 5 * UNIT_BYTES + 512, at = undo_data_offset(w->segment_bytes, 0) + 5 * UNIT_BYTES;
        arm(w, 0, (struct extent){ AT, end - AT }, MODE_PRESERVE, 0);
        paint(w, 0, AT, end);
        w->journal.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_READ, at, at + 1, 0, UINT32_MAX, EIO };
        run(w);
        ck_assert(is_original(w, 0, end - 512) && is_original(w, end, SIZE));
        ck_assert_uint_eq(w->result.units_lost, 1);
        ck_assert_uint_eq(note_of(w, RECOVERY_LOST)->place.length_bytes, 512);
}
END_TEST

/* The journal answers when the original is to be looked at and to be written, and not when it is to be compared. */
static unsigned journal_reads;

static int fail_to_compare(struct memory_engine *m, const struct engine_io *io) {
        journal_reads++;
        return journal_reads > 2 && (journal_reads - 2) % 4 != 0 ? EIO : 0;
}

START_TEST(what_can_not_be_compared_with_its_original_is_lost) {
        uint64_t at = undo_data_offset(w->segment_bytes, 0);
        arm(w, 0, (struct extent){ AT, UNIT_BYTES }, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + UNIT_BYTES);
        journal_reads = 0;
        w->journal.hook = fail_to_compare;
        w->journal.rules[0] = (struct memory_rule){ MEMORY_CALLS, ENGINE_READ, at, at + 1, 0, UINT32_MAX, 0 };
        run(w);
        ck_assert_uint_eq(w->result.units_lost, 1);
        ck_assert(note_of(w, RECOVERY_LOST)->journal && note_of(w, RECOVERY_LOST)->error == EIO);
        ck_assert_uint_eq(w->target.writes, 1 + 3 * UNIT_SECTORS); /* block by block, once it has gone wrong */
}
END_TEST

START_TEST(strange_bytes_without_an_original_are_foreign_or_alone_lost) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        scribble(w, AT + 4 * UNIT_BYTES, AT + 5 * UNIT_BYTES);
        spoil_saved();
        w->alone = _i > 0;
        w->target.look.counts_complete = _i < 2; /* else nobody is known to be alone */
        run(w);
        ck_assert_uint_eq(w->result.units_foreign, _i != 1);
        ck_assert_uint_eq(w->result.units_lost, _i == 1);
        ck_assert_uint_eq(w->target.writes, 0);
}
END_TEST

START_TEST(an_unreadable_unit_without_an_original_is_lost) {
        arm(w, 0, place, MODE_REFRESH, 0);
        plant_unreadable(AT + 4 * UNIT_BYTES, AT + 4 * UNIT_BYTES + 512);
        spoil_saved();
        run(w);
        ck_assert_uint_eq(w->result.units_lost, 1);
        ck_assert_uint_eq(w->target.writes, 0);
}
END_TEST

/* A page of the table holds more units than a segment here: each case spoils all of it. */
static void spoil_table(int how) {
        uint64_t at = undo_table_offset(w->segment_bytes, 0);
        if (how == 0)
                w->journal.bytes[at + 200] ^= 1;
        if (how == 1)
                w->journal.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_READ, at, at + 4096, 0, UINT32_MAX,
                        EIO };
        if (how == 2) {
                w->markers[0].table_crc++;
                plant_marker(w, 0);
        }
}

START_TEST(without_a_table_what_agrees_is_right_and_nothing_is_written) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        spoil_table(_i);
        run(w);
        ends_freed();
        const struct recovery_note *note = note_of(w, RECOVERY_TABLE_BAD);
        ck_assert_uint_eq(w->note_count, 1);
        ck_assert(note->journal && note->error == (_i == 1 ? EIO : 0) && note->place.length_bytes == SEGMENT);
}
END_TEST

START_TEST(without_a_table_pattern_is_lost_and_the_rest_is_left) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + UNIT_BYTES);
        scribble(w, AT + 2 * UNIT_BYTES, AT + 3 * UNIT_BYTES);
        spoil_table(_i);
        run(w);
        ck_assert_uint_eq(w->target.writes, 0);
        ck_assert_uint_eq(w->result.units_lost, 1);
        ck_assert_uint_eq(w->result.units_foreign, 0);
        ck_assert_int_eq(marker_of(w, 0).state, UNDO_PINNED);
        ck_assert(note_of(w, RECOVERY_LOST)->journal);
}
END_TEST

START_TEST(without_a_table_what_is_neither_pins_the_slot) {
        arm(w, 0, place, MODE_REFRESH, 0);
        w->alone = _i;
        scribble(w, AT + 2 * UNIT_BYTES, AT + 3 * UNIT_BYTES);
        spoil_table(0);
        run(w);
        ck_assert_int_eq(marker_of(w, 0).state, UNDO_PINNED);
        ck_assert_uint_eq(w->result.units_lost + w->result.units_foreign, 0);
        ck_assert_uint_eq(w->target.writes, 0);
}
END_TEST

START_TEST(without_a_table_a_failed_flush_pins_the_slot) {
        arm(w, 0, place, MODE_REFRESH, 0);
        spoil_table(0);
        w->target.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_FLUSH, 0, 0, 0, 1, EIO };
        run(w);
        ck_assert_int_eq(marker_of(w, 0).state, UNDO_PINNED);
        ck_assert_uint_eq(w->target.writes, 0);
}
END_TEST

START_TEST(a_table_that_is_bad_once_only_is_good) {
        uint64_t at = undo_table_offset(w->segment_bytes, 0);
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        w->journal.rules[0] = (struct memory_rule){ _i ? MEMORY_FAILS : MEMORY_NOTHING, ENGINE_READ, at, at + 4096, 0,
                _i ? 3 : 1, EIO };
        run(w);
        ends_freed();
        ck_assert_ptr_null(note_of(w, RECOVERY_TABLE_BAD));
}
END_TEST

/* Two pages of a table, read one by one. */
enum { BIG = 600 * UNIT_BYTES, PAGE_UNITS_BYTES = UNDO_TABLE_UNITS * UNIT_BYTES };

static void plant_big(void) {
        world_deinit(w);
        world_init(w, 1, BIG, UNIT_BYTES);
        arm(w, 0, (struct extent){ BIG, BIG }, MODE_PRESERVE, 0);
        paint(w, 0, BIG, 2 * BIG);
}

START_TEST(one_bad_page_of_a_table_costs_its_own_units_only) {
        plant_big();
        w->journal.bytes[undo_table_offset(BIG, 0) + 4096 * _i + 200] ^= 1;
        run(w);
        uint64_t cut = BIG + PAGE_UNITS_BYTES, from = _i ? BIG : cut, to = _i ? cut : 2 * BIG;
        ck_assert(is_original(w, from, to));
        ck_assert_uint_eq(w->result.units_lost, _i ? 600 - UNDO_TABLE_UNITS : UNDO_TABLE_UNITS);
        ck_assert_uint_eq(w->result.units_restored, (to - from) / UNIT_BYTES);
        const struct recovery_note *note = note_of(w, RECOVERY_TABLE_BAD);
        ck_assert_uint_eq(note->place.offset_bytes, _i ? cut : BIG);
        ck_assert_uint_eq(extent_end(note->place), _i ? 2 * BIG : cut);
}
END_TEST

START_TEST(a_table_of_two_pages_is_whole) {
        plant_big();
        run(w);
        ck_assert(is_original(w, 0, 4 * BIG));
        ck_assert_uint_eq(w->result.slots_freed, 1);
}
END_TEST

/* Which markers are believed. */

START_TEST(a_slot_that_was_freed_is_left_alone) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        w->markers[0].state = UNDO_FREE;
        plant_marker(w, 0);
        paint(w, 0, AT, AT + SEGMENT);
        run(w);
        ck_assert_uint_eq(w->result.slots_armed + w->target.writes + w->target.reads, 0);
        ck_assert_uint_eq(w->result.sequence, 2);
        ck_assert_uint_eq(w->result.record, 100);
}
END_TEST

START_TEST(of_two_copies_the_later_one_counts) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        struct undo_marker other = w->markers[0];
        other.state = UNDO_FREE;
        other.sequence = w->sequence + (_i % 2 ? 1 : -1);
        undo_marker_write(
                w->journal.bytes + undo_marker_offset(w->segment_bytes, 0, (unsigned)_i / 2), JOURNAL_ID, &other);
        run(w);
        ck_assert_uint_eq(w->result.slots_armed, _i % 2 == 0);
        ck_assert(is_original(w, AT, AT + SEGMENT) == (_i % 2 == 0));
}
END_TEST

/* Torn, unreadable, of another slot, of another journal. */
START_TEST(one_good_copy_is_enough) {
        unsigned copy = (unsigned)_i % 2;
        uint64_t at = undo_marker_offset(w->segment_bytes, 0, copy);
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        struct undo_marker other = w->markers[0];
        other.slot = 1;
        other.sequence += 7;
        if (_i / 2 == 0)
                memset(w->journal.bytes + at + 512, 0, 512);
        else if (_i / 2 == 1)
                w->journal.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_READ, at, at + 1, 0, 99, EIO };
        else
                undo_marker_write(w->journal.bytes + at, JOURNAL_ID + (_i / 2 == 3), &other);
        run(w);
        ends_freed();
}
END_TEST

START_TEST(a_slot_of_which_nothing_can_be_read_is_an_error_of_the_journal) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        arm(w, 1, (struct extent){ 0, SEGMENT }, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        paint(w, 1, 0, SEGMENT);
        for (unsigned copy = 0; copy < 2; copy++) {
                uint64_t at = undo_marker_offset(w->segment_bytes, 0, copy);
                w->journal.rules[copy] = (struct memory_rule){ MEMORY_FAILS, ENGINE_READ, at, at + 1, 0, 99, EIO };
        }
        run(w);
        ck_assert_int_eq(w->result.journal_error, EIO);
        ck_assert_uint_eq(w->result.slots_freed, 1);
        ck_assert(is_original(w, 0, SEGMENT));
}
END_TEST

START_TEST(a_marker_of_a_place_that_can_not_be_is_left_for_a_person) {
        static const struct extent odd[] = { { AT, 0 }, { AT, SEGMENT + 512 }, { AT + 512, UNIT_BYTES },
                { AT, UNIT_BYTES + 256 }, { SIZE - UNIT_BYTES, 2 * UNIT_BYTES }, { SIZE + UNIT_BYTES, UNIT_BYTES },
                { UINT64_MAX - UNIT_BYTES + 1, SEGMENT } };
        arm(w, 0, place, MODE_PRESERVE, 0);
        if (_i < (int)ELEMENTS(odd))
                w->markers[0].place = odd[_i];
        else
                w->markers[0].mode = _i == (int)ELEMENTS(odd) ? MODE_READ : MODE_PATTERN;
        plant_marker(w, 0);
        paint(w, 0, AT, AT + SEGMENT);
        run(w);
        ck_assert_uint_eq(w->result.slots_armed, 1);
        ck_assert_uint_eq(w->result.slots_pinned, 1);
        ck_assert_uint_eq(w->target.writes + w->target.reads + w->journal.writes, 0);
        ck_assert_int_eq(w->notes[0].kind, RECOVERY_TABLE_BAD);
}
END_TEST

START_TEST(two_slots_of_one_place_are_left_for_a_person) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        arm(w, 1, (struct extent){ AT + SEGMENT - UNIT_BYTES, SEGMENT }, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        run(w);
        ck_assert_uint_eq(w->result.slots_armed, 2);
        ck_assert_uint_eq(w->result.slots_pinned, 2);
        ck_assert_uint_eq(w->target.writes + w->journal.writes, 0);
        ck_assert_uint_eq(notes_of(w, RECOVERY_TABLE_BAD), 2);
}
END_TEST

static uint64_t first_written;

static int take_first_write(struct memory_engine *m, const struct engine_io *io) {
        first_written = io->offset_bytes;
        return 0;
}

START_TEST(the_older_record_comes_first) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        arm(w, 1, (struct extent){ 0, SEGMENT }, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        paint(w, 1, 0, SEGMENT);
        if (_i) { /* slot 0 is the younger one, and its table is of another record now */
                w->markers[0].record = 200;
                plant_marker(w, 0);
        }
        w->target.hook = take_first_write;
        w->target.rules[0] = (struct memory_rule){ MEMORY_CALLS, ENGINE_WRITE, 0, SIZE, 0, 1, 0 };
        run(w);
        ck_assert_uint_eq(first_written / SEGMENT, _i ? 0 : 1);
        ck_assert_uint_eq(w->result.slots_freed, _i ? 1 : 2);
        ck_assert_uint_eq(w->result.slots_armed, 2);
}
END_TEST

START_TEST(a_pinned_slot_is_taken_up_by_hand_only) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        w->markers[0].state = UNDO_PINNED;
        plant_marker(w, 0);
        paint(w, 0, AT, AT + SEGMENT);
        run(w);
        ck_assert_uint_eq(w->result.slots_armed, 1);
        ck_assert_uint_eq(w->result.slots_pinned, 1);
        ck_assert_uint_eq(w->target.writes, 0);
        w->by_hand = true;
        run(w);
        ends_freed();
}
END_TEST

/* The device, and the journal. */

static void assert_left_armed(void) {
        ck_assert(w->result.gone);
        ck_assert_uint_eq(w->result.slots_armed, 1);
        ck_assert_uint_eq(w->result.slots_freed + w->result.slots_pinned, 0);
        ck_assert_int_eq(marker_of(w, 0).state, UNDO_ARMED);
}

START_TEST(a_target_that_is_not_what_it_was_is_not_written) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        struct engine_look *look = &w->target.look;
        look->gone = _i == 0;
        look->read_only = _i == 1;
        look->size_bytes -= _i == 2 ? 512 : 0;
        w->target.look_error = _i == 3 ? -EIO : 0;
        run(w);
        assert_left_armed();
        ck_assert_uint_eq(w->target.writes, 0);
}
END_TEST

static int replace_device(struct memory_engine *m, const struct engine_io *io) {
        m->look.diskseq = 8;
        return 0;
}

START_TEST(a_target_that_is_replaced_before_the_end_keeps_its_slot_armed) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        w->target.hook = replace_device;
        w->target.rules[0] = (struct memory_rule){ MEMORY_CALLS, ENGINE_WRITE, 0, SIZE, 0, 1, 0 };
        run(w);
        assert_left_armed();
        w->target.look.diskseq = 0; /* a kernel that does not tell is no reason to stop */
        run(w);
        ends_freed();
}
END_TEST

START_TEST(errors_that_are_not_of_a_place_end_it) {
        static const int errors[] = { ENODEV, EBADE, ENOSPC, EPERM, ENOMEM };
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        w->target.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_WRITE, 0, SIZE, 1, UINT32_MAX, errors[_i] };
        run(w);
        assert_left_armed();
        w->target.rules[0].fault = MEMORY_NONE;
        run(w);
        ends_freed();
}
END_TEST

START_TEST(an_error_of_a_device_that_is_gone_is_not_of_a_place) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        w->target.look.gone = true;
        w->target.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_READ, 0, SIZE, 0, 1, EIO };
        run(w);
        assert_left_armed();
        ck_assert_uint_eq(w->target.writes, 0);
        ck_assert_uint_le(w->target.reads, 3); /* what was out already */
}
END_TEST

START_TEST(a_journal_that_is_gone_loses_nothing) {
        uint64_t data = undo_data_offset(w->segment_bytes, 0);
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        w->journal.rules[0] = (struct memory_rule){ MEMORY_FAILS, ENGINE_READ, data, data + 1, 0, 1, ENXIO };
        run(w);
        ck_assert_int_eq(w->result.journal_error, ENXIO);
        ck_assert_uint_eq(w->note_count, 0);
        ck_assert_int_eq(marker_of(w, 0).state, UNDO_ARMED);
        run(w);
        ends_freed();
}
END_TEST

/* First copy, second copy, a flush. */
START_TEST(a_marker_that_can_not_be_made_durable_frees_nothing) {
        uint64_t at = undo_marker_offset(w->segment_bytes, 0, _i == 1);
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        w->journal.rules[0] = (struct memory_rule){ MEMORY_FAILS, _i == 2 ? ENGINE_FLUSH : ENGINE_WRITE, at, at + 1, 0,
                3, EIO };
        run(w);
        ck_assert_int_eq(w->result.journal_error, EIO);
        ck_assert_uint_eq(w->result.slots_freed, 0);
        ck_assert(is_original(w, 0, SIZE));
}
END_TEST

START_TEST(short_transfers_are_finished) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        w->target.rules[0] = (struct memory_rule){ MEMORY_SHORT, ENGINE_READ, 0, SIZE, 0, 3, 1536 };
        w->target.rules[1] = (struct memory_rule){ MEMORY_SHORT, ENGINE_WRITE, 0, SIZE, 0, 3, 2048 };
        w->target.rules[2] = (struct memory_rule){ MEMORY_SHORT, ENGINE_WRITE, 0, SIZE, 0, 1, 0 };
        w->target.rules[3] = (struct memory_rule){ MEMORY_SHORT, ENGINE_READ, 0, SIZE, 3, 1, 100 };
        w->journal.rules[0] = (struct memory_rule){ MEMORY_SHORT, ENGINE_READ, 0, SIZE, 4, 1, 512 };
        w->journal.rules[1] = (struct memory_rule){ MEMORY_SHORT, ENGINE_READ, 0, SIZE, 6, 1, 4096 };
        run(w);
        ends_freed();
}
END_TEST

START_TEST(a_transfer_that_claims_too_much_is_an_error) {
        arm(w, 0, place, MODE_REFRESH, 0);
        w->journal.rules[0] = (struct memory_rule){ MEMORY_SHORT, ENGINE_WRITE, 0, SIZE, 0, UINT32_MAX, 8192 };
        run(w);
        ck_assert_int_eq(w->result.journal_error, EIO);
}
END_TEST

START_TEST(an_engine_with_room_for_one_is_enough) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        w->target.depth = w->journal.depth = 1;
        run(w);
        ends_freed();
}
END_TEST

START_TEST(an_engine_without_room_is_asked_again) {
        w->journal.depth = 0;
        begin(w);
        ck_assert_int_eq(recovery_pump(w->recovery, false), RECOVERY_BUSY);
        ck_assert_int_eq(recovery_pump(w->recovery, true), RECOVERY_ENDED);
        end(w);
}
END_TEST

START_TEST(what_is_out_is_waited_for_and_told) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        w->target.is_stuck = true;
        begin(w);
        ck_assert_ptr_null(recovery_oldest(w->recovery));
        while (recovery_pump(w->recovery, false) != RECOVERY_WAITING)
                ;
        const struct engine_io *oldest = recovery_oldest(w->recovery);
        ck_assert_ptr_nonnull(oldest);
        ck_assert_uint_eq(oldest->submitted_us, 1);
        ck_assert_uint_eq(oldest->offset_bytes, AT);
        ck_assert_int_eq(recovery_pump(w->recovery, true), RECOVERY_WAITING);
        w->target.is_stuck = false;
        while (recovery_pump(w->recovery, true) != RECOVERY_ENDED)
                ;
        ck_assert_ptr_null(recovery_oldest(w->recovery));
        end(w);
        ck_assert_int_eq(marker_of(w, 0).state, UNDO_ARMED);
        run(w);
        ends_freed();
}
END_TEST

/* Lanes are taken up again in any order. */
START_TEST(the_oldest_request_is_told_whichever_lane_it_is_on) {
        for (uint64_t seed = 1; seed < 20; seed++) {
                world_deinit(w);
                world_init(w, seed, SEGMENT, BLOCK);
                arm(w, 0, place, MODE_PRESERVE, 0);
                begin(w);
                while (recovery_pump(w->recovery, false) != RECOVERY_ENDED) {
                        uint64_t first = UINT64_MAX;
                        for (size_t i = 0; i < w->target.out_count; i++)
                                first = MIN(first, w->target.out[i]->submitted_us);
                        if (w->target.out_count > 0)
                                ASSERT_SEEDED(seed, recovery_oldest(w->recovery)->submitted_us == first);
                }
                end(w);
        }
}
END_TEST

/*
 * Between the look at the segment and the write somebody else writes: to one more unit each time. Until then our own
 * writes do not arrive, so that each unit is looked at again.
 */
static unsigned changes, changes_planned;

static int write_in_between(struct memory_engine *m, const struct engine_io *io) {
        uint64_t at = AT + 2 * BLOCK + ++changes * UNIT_BYTES;
        scribble(w, at, at + 512);
        if (changes == changes_planned)
                m->rules[1].times = 0;
        return 0;
}

/* Reads of the third block's beginning: the look, one ahead of the write, and both again each time it starts anew. */
static void plant_changes(unsigned times) {
        changes = 0;
        changes_planned = times;
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        w->target.hook = write_in_between;
        w->target.rules[0] = (struct memory_rule){ MEMORY_CALLS, ENGINE_READ, AT + 2 * BLOCK, AT + 2 * BLOCK + 512, 1,
                times, 0 };
        w->target.rules[1] = (struct memory_rule){ MEMORY_SWALLOWED, ENGINE_WRITE, AT + 2 * BLOCK, AT + SEGMENT, 0,
                UINT32_MAX, 0 };
}

START_TEST(what_somebody_writes_after_the_look_is_kept) {
        plant_changes((unsigned)_i);
        run(w);
        ck_assert_uint_eq(changes, (unsigned)_i);
        ck_assert_uint_eq(w->result.units_foreign, changes);
        ck_assert_int_eq(marker_of(w, 0).state, UNDO_PINNED);
        for (uint64_t unit = AT; unit < AT + SEGMENT; unit += UNIT_BYTES) {
                uint64_t nth = (unit - AT - 2 * BLOCK) / UNIT_BYTES;
                bool theirs = unit > AT + 2 * BLOCK && nth <= changes;
                ck_assert(is_original(w, unit, unit + 512) == !theirs);
                ck_assert(is_original(w, unit + 512, unit + UNIT_BYTES));
        }
        /* It starts anew three times; what comes after that is kept, without a copy. */
        ck_assert(note_of(w, RECOVERY_FOREIGN)->shelved);
        ck_assert_uint_eq(notes_of(w, RECOVERY_FOREIGN), _i == 7 ? 2 : 1);
}
END_TEST

START_TEST(unreadable_blocks_are_left_when_foreign_bytes_come_late) {
        uint64_t bad = AT + 3 * BLOCK + 3 * UNIT_BYTES;
        plant_changes(1);
        plant_unreadable(bad, bad + 512);
        run(w);
        ck_assert_uint_eq(w->result.units_foreign, 1);
        ck_assert_uint_eq(notes_of(w, RECOVERY_UNREADABLE), 1);
        ck_assert_uint_eq(note_of(w, RECOVERY_UNREADABLE)->place.offset_bytes, bad);
        ck_assert_int_eq(marker_of(w, 0).state, UNDO_PINNED);
}
END_TEST

/* Met right before the write, and unreadable when the segment is looked at anew. */
START_TEST(foreign_bytes_that_come_late_and_turn_unreadable_are_not_written_to) {
        uint64_t at = AT + 2 * BLOCK + UNIT_BYTES;
        plant_changes(1);
        w->target.rules[7] = (struct memory_rule){ MEMORY_HEALS, ENGINE_READ, at, at + 512, 1, UINT32_MAX, EIO };
        run(w);
        ck_assert_uint_eq(w->result.units_foreign, 1);
        ck_assert(!is_original(w, at, at + 512));
        ck_assert_int_eq(marker_of(w, 0).state, UNDO_PINNED);
}
END_TEST

START_TEST(a_block_that_turns_unreadable_before_its_write_is_written) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        paint(w, 0, AT, AT + SEGMENT);
        plant_unreadable(AT + 512, AT + 1024);
        w->target.rules[7].after = 1;
        run(w);
        ends_freed();
}
END_TEST

/* Anything anywhere, and crashes at any write. */

struct plan {
        uint8_t expected[SIZE]; /* after recovery */
        bool pins;
};

/* Sectors of the segment are the original, the pattern, or somebody else's. */
static void plant_anything(struct plan *plan, bool with_foreign) {
        arm(w, 0, place, MODE_PRESERVE, 0);
        arm(w, 1, (struct extent){ 3 * SEGMENT, SEGMENT / 2 + 1024 }, MODE_PRESERVE, 0);
        memcpy(plan->expected, w->originals, SIZE);
        plan->pins = false;
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++) {
                struct extent e = w->markers[slot].place;
                for (uint64_t at = e.offset_bytes; at < extent_end(e); at += SECTOR_BYTES) {
                        uint64_t chance = suite_random(&w->random) % 64;
                        if (chance < 20)
                                paint(w, slot, at, at + SECTOR_BYTES);
                        if (chance != 63 || !with_foreign)
                                continue;
                        scribble(w, at, at + SECTOR_BYTES);
                        memcpy(plan->expected + at, w->target.bytes + at, SECTOR_BYTES);
                        plan->pins = true;
                }
        }
}

static void assert_as_planned(int seed, const struct plan *plan) {
        ASSERT_SEEDED(seed, memcmp(w->target.bytes, plan->expected, SIZE) == 0);
        ASSERT_SEEDED(seed, (w->result.slots_pinned > 0) == plan->pins || w->result.slots_armed == 0);
        ASSERT_SEEDED(seed, marker_of(w, 0).state != UNDO_ARMED && marker_of(w, 1).state != UNDO_ARMED);
}

/* Of the bytes on the shelf each description's are there, and none is there twice. */
static void assert_shelf_is_whole(int seed) {
        struct undo_shelved s[UNDO_SHELF_UNITS];
        size_t n = 0;
        for (unsigned i = 0; i < UNDO_SHELF_UNITS; i++) {
                const uint8_t *entry = w->journal.bytes + undo_shelf_offset(w->segment_bytes, i);
                if (!undo_shelved_read(&s[n], entry, JOURNAL_ID))
                        continue;
                ASSERT_SEEDED(seed, s[n].crc == undo_crc(entry + UNDO_PAGE_BYTES, s[n].place.length_bytes));
                for (size_t k = 0; k < n; k++)
                        ASSERT_SEEDED(seed, s[k].place.offset_bytes != s[n].place.offset_bytes);
                n++;
        }
}

static void crash_and_recover(int seed) {
        static struct plan plan;
        plant_anything(&plan, seed % 2);
        for (unsigned crashes = 0; crashes < 6; crashes++) {
                w->crash.at = 1 + suite_random(&w->random) % 40;
                run(w);
                if (w->crash.writes < w->crash.at)
                        continue;
                memory_lose_power(&w->target, &w->random);
                memory_lose_power(&w->journal, &w->random);
        }
        w->crash.at = 0;
        run(w);
        assert_as_planned(seed, &plan);
        assert_shelf_is_whole(seed);
        w->by_hand = true; /* and once more over what was left */
        run(w);
        assert_as_planned(seed, &plan);
        assert_shelf_is_whole(seed);
}

START_TEST(crashes_at_any_write_lose_nothing) {
        for (int seed = 100 * _i; seed < 100 * (_i + 1); seed++) {
                world_deinit(w);
                world_init(w, (uint64_t)seed, SEGMENT, BLOCK);
                crash_and_recover(seed);
        }
}
END_TEST

/* Memory that can't be had: the n-th piece of it. */
static int allocations_left = -1;

void *__real_calloc(size_t count, size_t size);            /* NOLINT(bugprone-reserved-identifier): the linker's name */
void *__real_aligned_alloc(size_t alignment, size_t size); /* NOLINT(bugprone-reserved-identifier) */
void *__wrap_calloc(size_t count, size_t size);            /* NOLINT(bugprone-reserved-identifier) */
void *__wrap_aligned_alloc(size_t alignment, size_t size); /* NOLINT(bugprone-reserved-identifier) */

static bool is_out_of_memory(void) {
        return allocations_left == 0 || (allocations_left > 0 && allocations_left-- == 0);
}

void *__wrap_calloc(size_t count, size_t size) { /* NOLINT(bugprone-reserved-identifier) */
        return is_out_of_memory() ? NULL : __real_calloc(count, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) { /* NOLINT(bugprone-reserved-identifier) */
        return is_out_of_memory() ? NULL : __real_aligned_alloc(alignment, size);
}

START_TEST(without_memory_there_is_no_recovery) {
        struct recovery_options options = {
                .target = &w->target.engine,
                .journal = &w->journal.engine,
                .depth = 3,
                .block_bytes = BLOCK,
                .logical_block_bytes = 512,
                .target_bytes = SIZE,
                .head = { .segment_bytes = SEGMENT },
        };
        struct recovery *r = NULL;
        int n = 0, e;
        do {
                allocations_left = n++;
                e = recovery_new(&r, &options);
                allocations_left = -1;
                ck_assert(e == 0 || (e == -ENOMEM && !r));
        } while (e < 0);
        ck_assert_int_eq(n, 9);
        recovery_free(r);
        ck_assert_ptr_null(recovery_free(NULL));
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("recovery");
        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, an_empty_journal_is_left_as_it_is);
        tcase_add_test(tests, an_untouched_segment_is_flushed_and_freed_without_a_write);
        tcase_add_test(tests, the_pattern_of_that_nonce_is_restored);
        tcase_add_test(tests, the_pattern_of_another_nonce_is_foreign);
        tcase_add_loop_test(tests, torn_units_are_restored_by_sectors, 0, 2);
        tcase_add_test(tests, absent_units_are_not_touched);
        tcase_add_test(tests, a_last_unit_that_is_short_is_restored);
        tcase_add_test(tests, foreign_bytes_stay_and_their_neighbours_are_restored);
        tcase_add_test(tests, foreign_bytes_are_on_the_shelf_once);
        tcase_add_loop_test(tests, a_full_shelf_is_told_and_nothing_on_it_is_overwritten, 0, 2);
        tcase_add_test(tests, a_place_on_the_shelf_that_can_not_be_read_is_left_alone);
        tcase_add_loop_test(tests, a_shelf_that_can_not_be_written_is_told, 0, 4);
        tcase_add_test(tests, foreign_bytes_that_can_not_be_read_again_are_told);
        tcase_add_test(tests, foreign_bytes_that_turn_unreadable_are_not_written_to);
        tcase_add_test(tests, foreign_bytes_that_come_late_and_turn_unreadable_are_not_written_to);
        tcase_add_test(tests, foreign_bytes_that_change_find_no_room_on_a_full_shelf);
        tcase_add_test(tests, alone_what_is_neither_is_damage_and_restored);
        tcase_add_loop_test(tests, without_a_count_nobody_is_taken_to_be_alone, 0, 4);
        tcase_add_test(tests, each_kind_of_news_has_words_of_its_own);
        tcase_add_test(tests, who_begins_to_write_after_the_caller_counted_is_not_damage);
        tcase_add_test(tests, where_a_flush_was_lost_before_originals_are_written_again);
        tcase_add_test(tests, a_failed_flush_that_the_marker_knows_of_is_told_and_all_is_written_again);
        tcase_add_test(tests, a_failed_flush_is_in_all_markers_before_anything_is_written_again);
        tcase_add_test(tests, a_failed_flush_that_can_not_be_noted_is_the_journals_error);
        tcase_add_test(tests, refresh_knows_no_pattern);
        tcase_add_test(tests, what_looks_foreign_once_only_is_not);
        tcase_add_test(tests, what_the_journal_fails_to_say_once_only_is_not_lost);
        tcase_add_test(tests, unreadable_blocks_are_written_and_their_neighbours_are_not);
        tcase_add_test(tests, unreadable_blocks_are_left_where_the_segment_holds_foreign_bytes);
        tcase_add_loop_test(tests, unreadable_blocks_are_left_where_the_caller_met_foreign_bytes, 0, 2);
        tcase_add_loop_test(tests, what_can_be_read_again_right_before_the_write_is_looked_at, 0, 3);
        tcase_add_loop_test(tests, a_block_that_can_not_be_written_is_lost_alone, 0, 2);
        tcase_add_test(tests, a_write_that_fails_now_and_then_loses_nothing);
        tcase_add_test(tests, what_reads_back_wrong_is_written_again);
        tcase_add_test(tests, what_reads_back_wrong_for_good_is_lost);
        tcase_add_test(tests, what_can_not_be_read_back_is_lost);
        tcase_add_test(tests, after_a_failed_flush_everything_is_written_again);
        tcase_add_test(tests, a_failed_flush_is_not_forgotten_where_the_segment_is_classified_anew);
        tcase_add_test(tests, a_flush_that_fails_for_good_loses_all_of_the_segment);
        tcase_add_test(tests, a_failed_flush_does_not_bring_back_what_is_foreign_or_unreadable);
        tcase_add_test(tests, pattern_whose_original_is_damaged_is_lost_alone);
        tcase_add_test(tests, pattern_whose_original_can_not_be_read_is_lost_alone);
        tcase_add_loop_test(tests, an_original_that_spoils_before_it_is_written_back_is_lost, 0, 2);
        tcase_add_loop_test(tests, strange_bytes_without_an_original_are_foreign_or_alone_lost, 0, 3);
        tcase_add_test(tests, an_unreadable_unit_without_an_original_is_lost);
        tcase_add_loop_test(tests, without_a_table_what_agrees_is_right_and_nothing_is_written, 0, 3);
        tcase_add_loop_test(tests, without_a_table_pattern_is_lost_and_the_rest_is_left, 0, 3);
        tcase_add_loop_test(tests, without_a_table_what_is_neither_pins_the_slot, 0, 2);
        tcase_add_test(tests, without_a_table_a_failed_flush_pins_the_slot);
        tcase_add_loop_test(tests, a_table_that_is_bad_once_only_is_good, 0, 2);
        tcase_add_test(tests, a_slot_that_was_freed_is_left_alone);
        tcase_add_loop_test(tests, of_two_copies_the_later_one_counts, 0, 4);
        tcase_add_loop_test(tests, one_good_copy_is_enough, 0, 8);
        tcase_add_test(tests, a_slot_of_which_nothing_can_be_read_is_an_error_of_the_journal);
        tcase_add_loop_test(tests, a_marker_of_a_place_that_can_not_be_is_left_for_a_person, 0, 9);
        tcase_add_test(tests, two_slots_of_one_place_are_left_for_a_person);
        tcase_add_loop_test(tests, the_older_record_comes_first, 0, 2);
        tcase_add_test(tests, a_pinned_slot_is_taken_up_by_hand_only);
        tcase_add_loop_test(tests, a_target_that_is_not_what_it_was_is_not_written, 0, 4);
        tcase_add_test(tests, a_target_that_is_replaced_before_the_end_keeps_its_slot_armed);
        tcase_add_loop_test(tests, errors_that_are_not_of_a_place_end_it, 0, 5);
        tcase_add_test(tests, an_error_of_a_device_that_is_gone_is_not_of_a_place);
        tcase_add_test(tests, a_journal_that_is_gone_loses_nothing);
        tcase_add_loop_test(tests, a_marker_that_can_not_be_made_durable_frees_nothing, 0, 3);
        tcase_add_test(tests, short_transfers_are_finished);
        tcase_add_test(tests, a_transfer_that_claims_too_much_is_an_error);
        tcase_add_test(tests, an_engine_with_room_for_one_is_enough);
        tcase_add_test(tests, an_engine_without_room_is_asked_again);
        tcase_add_test(tests, what_is_out_is_waited_for_and_told);
        tcase_add_loop_test(tests, what_somebody_writes_after_the_look_is_kept, 1, 8);
        tcase_add_test(tests, unreadable_blocks_are_left_when_foreign_bytes_come_late);
        tcase_add_test(tests, a_block_that_turns_unreadable_before_its_write_is_written);
        tcase_add_loop_test(tests, crashes_at_any_write_lose_nothing, 0, 5);
        tcase_add_test(tests, without_memory_there_is_no_recovery);
        tcase_add_test(tests, foreign_bytes_that_have_grown_are_shelved_anew);
        tcase_add_test(tests, a_short_last_unit_whose_original_can_not_be_read_is_lost);
        tcase_add_test(tests, what_can_not_be_compared_with_its_original_is_lost);
        tcase_add_loop_test(tests, one_bad_page_of_a_table_costs_its_own_units_only, 0, 2);
        tcase_add_test(tests, a_table_of_two_pages_is_whole);
        tcase_add_test(tests, the_oldest_request_is_told_whichever_lane_it_is_on);
        tcase_add_test(tests, a_unit_that_is_restored_in_part_is_not_told_as_restored);
        tcase_add_test(tests, an_unreadable_unit_that_is_lost_is_told_once);
        tcase_add_test(tests, neighbours_of_which_one_is_on_the_shelf_are_told_apart);
        tcase_add_test(tests, neighbours_lost_by_the_journal_and_by_the_target_are_told_apart);
        return suite_run("recovery", tests);
}
