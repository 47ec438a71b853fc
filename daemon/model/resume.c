/* SPDX-License-Identifier: Apache-2.0 */
/* What a sweep goes on from. The names of the rounds are stored, so the table is only ever added to. */
#include "model/resume.h"

#include "base/cleanup.h"
#include "model/names.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const round_names[ROUND_COUNT] = { [ROUND_CHECK] = "check", [ROUND_SWEEP] = "sweep" };

const char *sweep_round_name(enum sweep_round round) {
        assert(round < ROUND_COUNT);
        return round_names[round];
}

bool sweep_round_from_name(enum sweep_round *ret, const char *name) {
        int i = names_index(round_names, ROUND_COUNT, name);
        if (i >= 0)
                *ret = (enum sweep_round)i;
        return i >= 0;
}

DEFINE_FREEP(struct sweep_resume, sweep_resume_free, sweep_resume_freep)

int sweep_resume_new(struct sweep_resume **ret) {
        struct sweep_resume *r = calloc(1, sizeof *r);
        if (!r)
                return -ENOMEM;
        *ret = r;
        return 0;
}

int sweep_resume_copy(struct sweep_resume **ret, const struct sweep_resume *from) {
        CLEANUP(sweep_resume_freep)
        struct sweep_resume *r = malloc(sizeof *r);
        if (!r)
                return -ENOMEM;
        *r = *from;
        r->findings = NULL;
        r->finding_count = 0;
        r->overwrite = from->overwrite ? strdup(from->overwrite) : NULL;
        if (from->overwrite && !r->overwrite)
                return -ENOMEM;
        *ret = STEAL(r);
        return 0;
}

struct sweep_resume *sweep_resume_free(struct sweep_resume *r) {
        if (!r)
                return NULL;
        free(r->findings);
        free(r->overwrite);
        free(r);
        return NULL;
}
