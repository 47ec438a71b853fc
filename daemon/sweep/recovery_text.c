/* SPDX-License-Identifier: Apache-2.0 */
/* What a recovery found, in words for people: somebody reads them at the worst of times, and must not guess. */
#include "base/text.h"
#include "media/medium.h"
#include "sweep/recovery.h"

#include <assert.h>
#include <inttypes.h>

void recovery_describe(struct finding *f, const struct recovery_note *note) {
        const char *error = note->error ? medium_errno_name(note->error) : "the bytes are wrong";
        f->place = note->place;
        f->persistence = note->kind == RECOVERY_UNFLUSHED ? PERSISTENCE_REPAIRED : PERSISTENCE_PERSISTENT;
        f->fault = note->kind == RECOVERY_FOREIGN  ? FAULT_FOREIGN
                : note->kind == RECOVERY_UNFLUSHED ? FAULT_FLUSH_ERROR
                                                   : FAULT_UNRESTORED;
        switch (note->kind) {
        case RECOVERY_FOREIGN:
                text_format(f->text, sizeof f->text,
                        "somebody else wrote here during the sweep; it was left as it is%s",
                        note->shelved ? ", and a copy is in the undo journal" : "");
                break;
        case RECOVERY_UNREADABLE:
                text_copy(f->text, sizeof f->text,
                        "can't be read, and was left so, as somebody else wrote nearby; the original is in the undo journal");
                break;
        case RECOVERY_TABLE_BAD:
                text_format(f->text, sizeof f->text,
                        "the undo journal does not tell what was here (%s); what it holds is kept", error);
                break;
        case RECOVERY_LOST:
                text_format(f->text, sizeof f->text, "the original could not be put back: %s failed, %s",
                        note->journal ? "reading it from the undo journal" : "writing it", error);
                break;
        case RECOVERY_UNFLUSHED:
                text_format(f->text, sizeof f->text, "flushing failed%s%s; what had been written was written again",
                        note->error ? ": " : " before a crash", note->error ? error : "");
                break;
        case RECOVERY_RESTORED:
        case RECOVERY_KIND_COUNT:
                assert(false);
        }
        detail_set(&f->detail, "record", "%" PRIu64, note->record);
        if (note->error)
                detail_set(&f->detail, "errno", "%s", medium_errno_name(note->error));
}
