/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol of refresh and preserve, as the daemon runs it, and what must be true after it. */
#include "undo_protocols.h"

#include "base/cleanup.h"
#include "failure.h"
#include "undo_oracle.h"

#include <string.h>

static struct swept swept;
static const struct undo_case *current;

static void watch(struct world *w, struct crash_disk *disk, struct flight *flight) {
        const char *broken = oracle_rule_broken(current, w, disk, flight);
        if (!broken && current->order == SWEEP_RUN)
                broken = oracle_keeper_rule_broken(current, w, disk, flight);
        MUST(!broken, "disk %u, offset %llu: %s", disk->number, (unsigned long long)flight->io->offset_bytes, broken);
}

static void run(const struct undo_case *c, struct world *w) {
        current = c;
        w->submitted = watch;
        undo_sweep(c, w, NULL, &swept);
        undo_tell(&swept);
}

static void recover(const struct undo_case *c, struct world *w) {
        undo_recover(c, w, false, false, w->owner);
}

static const char *judge_disks(const struct undo_case *c, const struct world *w) {
        struct armed_slot slots[UNDO_SLOTS];
        const struct crash_disk *target = &w->disks[DISK_TARGET], *journal = &w->disks[DISK_JOURNAL];
        for (size_t i = 0; i < c->target.count; i++)
                if (target->durable.pages[i] != c->target.pages[i])
                        return "an original is not on the target";
        if (target->write_count > 0)
                return "something was written to the target and never flushed";
        oracle_slots(c, &journal->durable, slots);
        if (slots[0].armed || slots[1].armed)
                return "a slot is still armed";
        return NULL;
}

static const char *judge(const struct undo_case *c, const struct world *w, const struct image *cut) {
        const struct recovered *r = w->owner;
        uint64_t differ = 0;
        const char *what = judge_disks(c, w);
        if (what)
                return what;
        for (size_t i = 0; i < c->target.count; i++)
                differ += cut->pages[i] != c->target.pages[i];
        if (r->result.units_restored != differ)
                return "units were restored that were originals, or are not counted";
        if (r->result.units_foreign || r->result.units_lost || r->result.slots_pinned)
                return "units of our own are called foreign or lost";
        if (r->result.journal_error || r->result.gone)
                return "an error is told that there was not";
        return NULL;
}

static const char *judge_run(const struct undo_case *c, const struct world *w) {
        enum sweep_end end = swept.record.end;
        const char *what = judge_disks(c, w);
        if (what)
                return what;
        if (swept.left_armed > 0)
                return "the sweep says that slots are armed";
        if (c->order == SWEEP_RUN && end != END_FINISHED)
                return "the sweep did not finish";
        for (size_t i = 0; i < swept.fault_count; i++)
                if (swept.faults[i].fault.fault != FAULT_READ_ERROR && swept.faults[i].fault.fault != FAULT_UNRESTORED)
                        return "a fault is told that there was not";
        return NULL;
}

const struct protocol undo_protocol = {
        .name = "undo", .killed = true, .run = run, .recover = recover, .judge = judge, .judge_run = judge_run
};

/* The place that somebody else writes to, and what. */
static size_t used_unit(const struct undo_case *c) {
        return layout_mix(c->seed) % c->target.count;
}

static uint32_t used_page(const struct undo_case *c) {
        uint8_t bytes[PAGE_BYTES] = { 0 };
        size_t unit = used_unit(c);
        memset(bytes, 0xf0, MIN(UNIT_BYTES, c->size_bytes - unit * UNIT_BYTES));
        return page_of(bytes, 0);
}

static void use(const struct undo_case *c, struct image *target) {
        image_set(target, used_unit(c), used_page(c));
}

static bool is_on_shelf(const struct undo_case *c, const struct image *journal, size_t unit) {
        uint64_t bytes = MIN(UNIT_BYTES, c->size_bytes - unit * UNIT_BYTES), found = 0;
        for (unsigned i = 0; i < UNDO_SHELF_UNITS; i++) {
                uint64_t page = undo_shelf_offset(c->segment_bytes, i) / PAGE_BYTES;
                struct undo_shelved shelved;
                const uint8_t *saved = page_at(journal->pages[page + 1])->bytes;
                if (journal->pages[page] == 0 ||
                        !undo_shelved_read(&shelved, page_at(journal->pages[page])->bytes, c->head.journal_id) ||
                        shelved.place.offset_bytes / UNIT_BYTES != unit)
                        continue;
                if (undo_crc(saved, shelved.place.length_bytes) == shelved.crc && saved[0] == 0xf0)
                        found += shelved.place.length_bytes;
        }
        return found == bytes;
}

static const char *judge_used(const struct undo_case *c, const struct world *w, const struct image *cut) {
        const struct image *target = &w->disks[DISK_TARGET].durable, *journal = &w->disks[DISK_JOURNAL].durable;
        const struct recovered *r = w->owner;
        size_t used = used_unit(c);
        struct armed_slot slots[UNDO_SLOTS];
        bool kept = false; /* a slot tells of what somebody else wrote */
        oracle_slots(c, journal, slots);
        for (unsigned i = 0; i < UNDO_SLOTS; i++)
                kept |= slots[i].armed && used * UNIT_BYTES >= slots[i].marker.place.offset_bytes &&
                        used * UNIT_BYTES < extent_end(slots[i].marker.place);
        if (target->pages[used] != used_page(c))
                return "what somebody else wrote is lost";
        if (kept && !is_on_shelf(c, journal, used))
                return "there is no copy of what somebody else wrote";
        for (size_t i = 0; kept && i < c->target.count; i++)
                if (page_at(cut->pages[i])->bad &&
                        i / undo_units(c->segment_bytes) == used / undo_units(c->segment_bytes) &&
                        target->pages[i] != cut->pages[i])
                        return "unreadable bytes were written to beside somebody else's";
        for (size_t i = 0; i < c->target.count; i++)
                if (i != used && target->pages[i] != c->target.pages[i] &&
                        !(page_at(target->pages[i])->bad && oracle_is_saved(c, journal, i, c->target.pages[i])))
                        return "an original is neither on the target nor in an armed slot";
        if (r->result.units_foreign > 0 && !oracle_is_saved(c, journal, used, c->target.pages[used]))
                return "the original of what somebody else wrote over is lost";
        return r->result.units_foreign > 1 || r->result.units_lost ? "units of our own are called foreign or lost"
                                                                   : NULL;
}

const struct protocol undo_used_between = {
        .name = "undo, used between",
        .run = run,
        .meanwhile = use,
        .recover = recover,
        .judge = judge_used,
};
