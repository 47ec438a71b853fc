/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any undo journal at all, whose pages all have right checksums: as one that was made to do harm, or that a program
 * with a fault has written. Recovery comes to its end, and where it changes the target, an armed marker spoke of that
 * place, and what is there now is what was saved, by the checksum in a table.
 *
 * An input is a number of patches to a journal that is in order: which page, where on it, and a few bytes, or one of
 * the numbers at which a check may be missing.
 */
#include "../unit/suite.h"

#include <assert.h>
#include <endian.h>

/* Check's own want a test that runs. */
#undef ck_assert
#undef ck_assert_msg
#define ck_assert(condition)          assert(condition)
#define ck_assert_msg(condition, ...) assert(condition)

#include "../unit/memory_engine.h"
#include "sweep/content.h"
#include "sweep/recovery.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

enum {
        SEGMENT = 32 << 10,
        TARGET = 4 * SEGMENT,
        TARGET_BIT = 0x80,
        NUMBER_BIT = 0x80,
        FIELDS = 16, /* of 8 bytes each */
        PATCH_HEAD = 3,
        PATCH_BYTES = 16,
        PUMPS_MAX = 100000
};
static const uint64_t journal_id = UINT64_C(0x1122334455667788);

struct world {
        struct memory_crash crash;
        struct memory_engine target, journal;
};

static void arm(struct world *w, struct table_cache *tables, unsigned slot) {
        struct extent place = { slot * UINT64_C(2) * SEGMENT, SEGMENT };
        struct undo_marker m = { .sequence = 10 + slot,
                .record = 100 + slot,
                .slot = slot,
                .state = UNDO_ARMED,
                .mode = slot ? MODE_PRESERVE : MODE_REFRESH,
                .place = place,
                .target_id = 11,
                .generation = 5,
                .nonce = 77 + slot,
                .started_us = 1700000000000000 };
        uint8_t *saved = w->journal.bytes + undo_data_offset(SEGMENT, slot);
        uint8_t *page = w->journal.bytes + undo_table_offset(SEGMENT, slot);
        struct undo_table table;
        int r = undo_table_init(&table, undo_units(SEGMENT));
        assert(r == 0);
        table.units = undo_units(SEGMENT);
        for (size_t unit = 0; unit < table.units; unit++) {
                memset(saved + unit * UNIT_BYTES, (int)(1 + slot * 16 + unit), UNIT_BYTES);
                table.crcs[unit] = undo_crc(saved + unit * UNIT_BYTES, UNIT_BYTES);
        }
        undo_table_write(page, journal_id, m.record, &table, 0);
        m.table_crc = undo_table_crc(0, page);
        undo_table_deinit(&table);
        for (unsigned copy = 0; copy < UNDO_MARKER_COPIES; copy++)
                undo_marker_write(w->journal.bytes + undo_marker_offset(SEGMENT, slot, copy), journal_id, &m);
        /* Half of it is the originals, and half is the pattern. */
        memcpy(w->target.bytes + place.offset_bytes, saved, SEGMENT);
        struct table *pattern = table_cache_get(tables, m.nonce);
        struct content c = { .table = pattern,
                .stamp = { .mode = m.mode,
                        .target_id = m.target_id,
                        .generation = m.generation,
                        .nonce = m.nonce,
                        .started_us = m.started_us } };
        content_fill(&c, w->target.bytes + place.offset_bytes, place.offset_bytes, SEGMENT / 2);
        table_unref(pattern);
}

static void world_init(struct world *w) {
        struct table_cache *tables;
        memory_init(&w->target, TARGET, &w->crash, 1);
        memory_init(&w->journal, undo_journal_bytes(SEGMENT), &w->crash, 2);
        int r = table_cache_new(&tables, 2);
        assert(r == 0);
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++)
                arm(w, tables, slot);
        table_cache_free(tables);
}

static void world_copy(struct world *to, const struct world *from) {
        memcpy(to->target.bytes, from->target.bytes, from->target.size);
        memcpy(to->journal.bytes, from->journal.bytes, from->journal.size);
}

/* Pages of originals have no checksum of their own, and the target's have none at all. */
static bool is_signed(size_t page) {
        size_t at = page * UNDO_PAGE_BYTES;
        for (unsigned slot = 0; slot < UNDO_SLOTS; slot++)
                if (at >= undo_data_offset(SEGMENT, slot) && at < undo_data_offset(SEGMENT, slot) + SEGMENT)
                        return false;
        return at < undo_shelf_offset(SEGMENT, 0) || (at - undo_shelf_offset(SEGMENT, 0)) / UNDO_PAGE_BYTES % 2 == 0;
}

static void patch(struct memory_engine *m, size_t page, size_t at, const void *bytes, size_t count) {
        uint8_t *to = m->bytes + page % (m->size / UNDO_PAGE_BYTES) * UNDO_PAGE_BYTES;
        memcpy(to + at, bytes, count); /* all that a page tells is at its beginning */
        if (m->size == TARGET || !is_signed(page))
                return;
        uint64_t crc = htole64(undo_crc(to, UNDO_PAGE_BYTES - 8));
        memcpy(to + UNDO_PAGE_BYTES - 8, &crc, sizeof crc);
}

static void patch_all(struct world *w, const uint8_t *data, size_t length) {
        static const uint64_t numbers[] = { 0, 1, 2, 3, MEMORY_SECTOR, UNIT_BYTES, SEGMENT, 2 * SEGMENT, 3 * SEGMENT,
                TARGET - UNIT_BYTES, TARGET, TARGET + UNIT_BYTES, INT64_MAX, (uint64_t)INT64_MAX + 1,
                UINT64_MAX - UNIT_BYTES + 1, UINT64_MAX };
        while (length > PATCH_HEAD) {
                struct memory_engine *m = data[0] & TARGET_BIT ? &w->target : &w->journal;
                size_t page = data[0] & ~TARGET_BIT, count = 0;
                if (data[2] & NUMBER_BIT) {
                        uint64_t number = htole64(numbers[data[2] % ELEMENTS(numbers)]);
                        patch(m, page, data[1] % FIELDS * sizeof number, &number, sizeof number);
                } else {
                        count = MIN((size_t)data[2] % (PATCH_BYTES + 1), length - PATCH_HEAD);
                        patch(m, page, data[1], data + PATCH_HEAD, count);
                }
                data += PATCH_HEAD + count;
                length -= PATCH_HEAD + count;
        }
}

/* Whether a marker that is whole speaks of the sector, and what it holds now was saved, by the slot's table. */
static bool is_restored(const struct world *w, const struct world *before, uint64_t at) {
        const uint8_t *journal = before->journal.bytes;
        for (unsigned i = 0; i < UNDO_SLOTS * UNDO_MARKER_COPIES; i++) {
                unsigned slot = i / UNDO_MARKER_COPIES;
                const uint8_t *marker = journal + undo_marker_offset(SEGMENT, slot, i % UNDO_MARKER_COPIES);
                struct undo_marker m;
                if (!undo_marker_read(&m, marker, journal_id) || m.state == UNDO_FREE || at < m.place.offset_bytes ||
                        at - m.place.offset_bytes >= MIN(m.place.length_bytes, SEGMENT))
                        continue;
                uint64_t within = at - m.place.offset_bytes;
                size_t unit = within / UNIT_BYTES;
                const uint8_t *saved = journal + undo_data_offset(SEGMENT, slot);
                struct undo_table table;
                int r = undo_table_init(&table, undo_units(SEGMENT));
                assert(r == 0);
                table.units = undo_units(MIN(m.place.length_bytes, SEGMENT));
                bool whole = undo_table_read(
                        &table, journal + undo_table_offset(SEGMENT, slot), journal_id, m.record, 0);
                size_t bytes = MIN(m.place.length_bytes - unit * UNIT_BYTES, UNIT_BYTES);
                bool right = whole && !undo_table_is_absent(&table, unit) &&
                        undo_crc(saved + unit * UNIT_BYTES, bytes) == table.crcs[unit] &&
                        memcmp(w->target.bytes + at, saved + within, MEMORY_SECTOR) == 0;
                undo_table_deinit(&table);
                if (right)
                        return true;
        }
        return false;
}

static void take_note(void *userdata, const struct recovery_note *note) {
        (void)userdata;
        assert(note->kind < RECOVERY_KIND_COUNT);
}

static void recover(struct world *w) {
        struct recovery_options options = {
                .target = &w->target.engine,
                .journal = &w->journal.engine,
                .depth = 3,
                .block_bytes = 16 << 10,
                .logical_block_bytes = MEMORY_SECTOR,
                .target_bytes = TARGET,
                .head = { .journal_id = journal_id, .segment_bytes = SEGMENT, .target_bytes = TARGET },
                .wall_us = 1700000009000000,
                .note = take_note,
        };
        struct recovery *recovery;
        int r = recovery_new(&recovery, &options);
        assert(r == 0);
        for (unsigned i = 0; recovery_pump(recovery, false) != RECOVERY_ENDED; i++)
                assert(i < PUMPS_MAX);
        recovery_free(recovery);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
        static struct world in_order, before, w; /* made once: patterns and memory take longer than all else */
        if (!w.target.bytes) {
                world_init(&in_order);
                world_init(&before);
                world_init(&w);
        }
        world_copy(&before, &in_order);
        patch_all(&before, data, length);
        world_copy(&w, &before);
        recover(&w);
        for (size_t at = 0; at < TARGET; at += MEMORY_SECTOR)
                assert(memcmp(before.target.bytes + at, w.target.bytes + at, MEMORY_SECTOR) == 0 ||
                        is_restored(&w, &before, at));
        return 0;
}
