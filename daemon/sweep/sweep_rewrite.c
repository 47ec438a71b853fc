/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two steps of a sweep that keeps the data: the keeper's, and where that left something armed, recovery's. A sweep
 * that is told to end in the middle must not leave its bytes on the disk: so an order or a failure only makes the
 * keeper let go, and the sweep ends when recovery has put everything back. Only where the device itself is gone, or
 * hangs, does the journal stay armed.
 */
#include "sweep/sweep_private.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static void note(void *userdata, const struct recovery_note *note) {
        struct sweep *s = userdata;
        struct fault_run fault = {
                .place = note->place,
                .cause = note->error,
        };
        if (note->kind == RECOVERY_RESTORED)
                return;
        struct finding f = { 0 };
        recovery_describe(&f, note);
        fault.fault = f.fault;
        fault.persistence = f.persistence;
        fault.detail = f.detail;
        text_copy(fault.text, sizeof fault.text, f.text);
        sweep_add_fault(s, &fault);
}

/* Told that somebody else wrote, but not where: none of it is left in the segment, or it never was in it. */
static void settle_foreign(struct sweep *s) {
        struct extent place;
        if (!keeper_met_foreign(s->keeper, &place) || keeper_suspects(s->keeper))
                return;
        for (size_t i = 0; i < fault_table_count(s->faults); i++)
                if (fault_table_at(s->faults, i)->fault == FAULT_FOREIGN)
                        return;
        struct fault_run fault = { .fault = FAULT_FOREIGN, .place = place, .persistence = PERSISTENCE_UNKNOWN };
        text_copy(fault.text, sizeof fault.text,
                "somebody else wrote to the device while this segment was swept; nothing of it is found in the segment");
        sweep_add_fault(s, &fault);
}

static bool is_told_foreign(const struct sweep *s, struct extent place) {
        for (size_t i = 0; i < fault_table_count(s->faults); i++) {
                const struct fault_run *run = fault_table_at(s->faults, i);
                if (run->fault == FAULT_FOREIGN && !run->withheld && extent_contains(run->place, place))
                        return true;
        }
        return false;
}

/* Recovery has told what is somebody's. What was not that alone was damage, too, and is told now. */
static void settle_suspected(struct sweep *s) {
        for (size_t i = fault_table_count(s->faults); i > 0; i--) {
                const struct fault_run *run = fault_table_at(s->faults, i - 1);
                if (run->withheld && is_told_foreign(s, run->place))
                        fault_table_remove(s->faults, i - 1);
        }
        sweep_settle_withheld(s, false);
}

void sweep_wind_down(
        struct sweep *s, enum sweep_end end, const char *rule, const char *remedy, const char *format, ...) {
        if (sweep_is_ending(s) || s->record.end != END_NONE)
                return;
        char found[REASON_TEXT_BYTES];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(found, sizeof found, format, arguments);
        va_end(arguments);
        if (rule)
                reason_set(&s->record.reason, rule, remedy, "%s", found);
        if (s->step != STEP_REWRITE) {
                sweep_finish(s, end);
                return;
        }
        s->record.end = end;
        keeper_stop(s->keeper);
}

bool sweep_step_rewrite(struct sweep *s) {
        bool any = keeper_pump(s->keeper);
        if (sweep_is_ending(s) || !keeper_is_over(s->keeper))
                return any;
        s->left_armed = keeper_left_armed(s->keeper);
        if (keeper_has_written(s->keeper))
                sweep_enter(s, STEP_UNDO);
        else
                sweep_finish(s, s->record.end != END_NONE || s->rest.suspended ? s->record.end : END_FINISHED);
        return true;
}

void sweep_begin_undo(struct sweep *s) {
        struct extent foreign = { 0 };
        bool alone = keeper_was_alone(s->keeper); /* which may be how it learns of somebody else */
        /* What is somebody's is recovery's to tell, and also whether it is. */
        bool met = keeper_met_foreign(s->keeper, &foreign);
        if (!keeper_suspects(s->keeper))
                sweep_settle_withheld(s, met);
        struct recovery_options options = {
                .target = s->o.engine,
                .journal = s->o.journal,
                .depth = MIN(s->o.depth, s->o.journal_depth),
                .block_bytes = s->o.block_bytes,
                .logical_block_bytes = s->o.logical_block_bytes,
                .target_bytes = s->o.size_bytes,
                .head = s->o.undo,
                .alone = alone,
                .foreign = foreign,
                .unflushed = keeper_lost_a_flush(s->keeper),
                .wall_us = s->wall_us,
                .note = note,
                .userdata = s,
        };
        int r = recovery_new(&s->recovery, &options);
        if (r < 0) /* the journal stays armed, and is recovered before anything else touches the target */
                sweep_fail(s, END_FAILED, "resources", "Free memory; the data is put back at the next start.",
                        "originals could not be put back now for want of memory");
}

bool sweep_step_undo(struct sweep *s) {
        enum recovery_pumped pumped = recovery_pump(s->recovery, false);
        if (pumped != RECOVERY_ENDED)
                return pumped == RECOVERY_BUSY;
        const struct recovery_result *result = recovery_result(s->recovery);
        s->record.bytes.read += result->bytes_read;
        s->record.bytes.written += result->bytes_written;
        unsigned armed = result->slots_armed;
        if (result->journal_error) /* one that can't be read tells of none, and they are armed all the same */
                armed = MAX(armed, keeper_left_armed(s->keeper));
        s->left_armed = armed - result->slots_freed;
        if (keeper_suspects(s->keeper))
                settle_suspected(s);
        if (result->gone && sweep_device_is_there(s))
                sweep_fail(s, END_FAILED, "missing",
                        "See dmesg and the cabling. The data is put back once it is there.",
                        "the device went away before the originals were put back");
        else if (!sweep_is_ending(s))
                sweep_finish(s, s->record.end);
        return true;
}

/* True: nothing of the two steps is out any more. */
bool sweep_rewrite_is_idle(struct sweep *s) {
        if (!s->keeper)
                return true;
        if (s->recovery && recovery_pump(s->recovery, true) != RECOVERY_ENDED)
                return false;
        if (!s->recovery)
                (void)keeper_pump(s->keeper); /* the sweep is ending: it takes back only */
        if (!keeper_is_over(s->keeper))
                return false;
        if (!s->recovery)
                s->left_armed = keeper_left_armed(s->keeper);
        settle_foreign(s);
        return true;
}

unsigned sweep_left_armed(const struct sweep *s) {
        return s->left_armed;
}
