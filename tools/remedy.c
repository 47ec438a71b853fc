/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whoever is woken by a finding wants to know what to do now, not where it is explained. One line for each fault, as
 * README has it in full; what it depends on, whether the fault lasts, is in the finding.
 */
#include "remedy.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "field.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The worst first: data that is wrong and does not say so, then what does not come at all, then what comes late. */
static const struct {
        const char *fault, *lasting;
        const char *transient, *repaired; /* NULL: the same */
} remedies[] = {
        { "unrestored", "do not mount it; take the data from a copy", NULL, NULL },
        { "misdirected", "replace the disk or its controller: it has overwritten something else, too", NULL, NULL },
        { "stale", "replace the disk, or update its firmware; until then: hdparm -W0", NULL, NULL },
        { "garbage", "replace the disk, or update its firmware; flash: it is worn out", NULL, NULL },
        { "zeroed", "replace the disk, or update its firmware; flash: worn out, or a wrong discard", NULL, NULL },
        { "torn", "after a power cut nothing; else replace the disk, or update its firmware", NULL, NULL },
        { "foreign", "find out who uses the device, and end that", NULL, NULL },
        { "bit_flip", "replace the disk", "check cable, controller and memory: it came on the way",
                "it was stored so, and written anew it holds: watch for more; a second one: replace the disk" },
        { "host", "test this computer (memtest86+); trust nothing that it computes", NULL, NULL },
        { "write_error", "replace the disk; if several have it, the cable or controller first", NULL, NULL },
        { "flush_error", "replace the disk; if several have it, the cable or controller first", NULL, NULL },
        { "read_error", "restore what lies there from a copy; replace the disk",
                "watch for more: a second one is a reason to replace the disk",
                "watch for more: a second one is a reason to replace the disk" },
        { "hung", "dmesg; then cable, backplane, power; then the disk", NULL, NULL },
        { "slow", "many, or ever more (sweepctl map): plan to replace the disk", NULL, NULL },
};

/* What is not known here may be worse than all that is. */
static size_t rank(const json_t *finding) {
        for (size_t i = 0; i < ELEMENTS(remedies); i++)
                if (field_is(finding, "fault", remedies[i].fault))
                        return i + 1;
        return 0;
}

static bool is_passing(const json_t *finding) {
        return field_is(finding, "persistence", "transient") || field_is(finding, "persistence", "repaired");
}

static bool is_worse(const json_t *finding, const json_t *other) {
        if (is_passing(finding) != is_passing(other))
                return is_passing(other);
        return rank(finding) < rank(other);
}

const json_t *remedy_worst(const json_t *findings) {
        const json_t *worst = NULL;
        for (size_t i = 0; i < json_array_size(findings); i++) {
                const json_t *finding = json_array_get(findings, i);
                if (field_is(finding, "state", "open") && (!worst || is_worse(finding, worst)))
                        worst = finding;
        }
        return worst;
}

void remedy_text(char to[static REMEDY_TEXT_BYTES], const json_t *finding) {
        size_t i = rank(finding);
        to[0] = '\0';
        if (i == 0)
                return;
        const char *other = field_is(finding, "persistence", "transient") ? remedies[i - 1].transient
                : field_is(finding, "persistence", "repaired")            ? remedies[i - 1].repaired
                                                                          : NULL;
        text_copy(to, REMEDY_TEXT_BYTES, other ? other : remedies[i - 1].lasting);
}
