/* SPDX-License-Identifier: Apache-2.0 */
/* The words for a sweep's outcome. They are stored and sent, so a table is only ever added to. */
#include "model/sweep_record.h"

#include "model/names.h"

#include <assert.h>

static const char *const verdict_names[VERDICT_COUNT] = {
        [VERDICT_UNKNOWN] = "unknown",
        [VERDICT_CLEAN] = "clean",
        [VERDICT_FAULTY] = "faulty",
        [VERDICT_INCOMPLETE] = "incomplete",
};

static const char *const assurance_names[ASSURANCE_COUNT] = {
        [ASSURANCE_READABLE] = "readable",
        [ASSURANCE_VERIFIED] = "verified",
};

static const char *const end_names[END_COUNT] = {
        [END_FINISHED] = "finished",
        [END_CANCELLED] = "cancelled",
        [END_FAILED] = "failed",
        [END_KILLED] = "killed",
};

static const char *const phase_names[PHASE_COUNT] = {
        [PHASE_CHECK] = "check",
        [PHASE_SAVE] = "save",
        [PHASE_WRITE] = "write",
        [PHASE_VERIFY] = "verify",
        [PHASE_RESTORE] = "restore",
        [PHASE_READ] = "read",
};

const char *verdict_name(enum verdict verdict) {
        assert(verdict < VERDICT_COUNT);
        return verdict_names[verdict];
}

const char *assurance_name(enum assurance assurance) {
        assert(assurance < ASSURANCE_COUNT);
        return assurance_names[assurance];
}

const char *sweep_end_name(enum sweep_end end) {
        assert(end < END_COUNT);
        return end_names[end];
}

const char *sweep_phase_name(enum sweep_phase phase) {
        assert(phase < PHASE_COUNT);
        return phase_names[phase];
}

bool verdict_from_name(enum verdict *ret, const char *name) {
        int i = names_index(verdict_names, VERDICT_COUNT, name);
        if (i >= 0)
                *ret = (enum verdict)i;
        return i >= 0;
}

bool assurance_from_name(enum assurance *ret, const char *name) {
        int i = names_index(assurance_names, ASSURANCE_COUNT, name);
        if (i >= 0)
                *ret = (enum assurance)i;
        return i >= 0;
}

bool sweep_end_from_name(enum sweep_end *ret, const char *name) {
        int i = names_index(end_names, END_COUNT, name);
        if (i >= 0)
                *ret = (enum sweep_end)i;
        return i >= 0;
}
