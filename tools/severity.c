/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Of sixty disks one is dying, and whoever looks has a minute. What comes first decides what is seen; a device of which
 * this program understands too little must not sink to the good ones.
 */
#include "severity.h"

#include "base/cleanup.h"
#include "field.h"
#include "must.h"

/* Among those that need attention: data that is bad, then disks that do not answer, then what is not even looked at. */
enum {
        RANK_FAULTY,
        RANK_STALLED,
        RANK_MISSING,
        RANK_REFUSED,
        RANK_ATTENTION,
        RANK_BUSY,
        RANK_UNSURE,
        RANK_GOOD,
        RANKS
};

static unsigned rank(const json_t *device) {
        static const char *const states[] = {
                [RANK_STALLED] = "stalled", [RANK_MISSING] = "missing", [RANK_REFUSED] = "refused"
        };
        bool faulty = field_is(device, "verdict", "faulty");
        if (field_true(device, "needs_attention")) {
                if (faulty)
                        return RANK_FAULTY;
                for (unsigned i = RANK_STALLED; i <= RANK_REFUSED; i++)
                        if (field_is(device, "state", states[i]))
                                return i;
                return RANK_ATTENTION;
        }
        if (!field_is(device, "state", "idle"))
                return RANK_BUSY;
        bool good = field_is(device, "verdict", "clean") && field_count(device, "findings_open") == 0;
        return good ? RANK_GOOD : RANK_UNSURE;
}

enum severity_class severity_class_of(const json_t *device) {
        unsigned r = rank(device);
        if (r <= RANK_ATTENTION)
                return SEVERITY_ATTENTION;
        return r == RANK_GOOD ? SEVERITY_GOOD : SEVERITY_BUSY;
}

enum paint severity_paint(const json_t *device) {
        if (field_true(device, "needs_attention"))
                return PAINT_ALARM;
        if (field_is(device, "state", "sweeping"))
                return PAINT_GOOD;
        return field_is(device, "state", "idle") ? PAINT_PLAIN : PAINT_WARNING;
}

json_t *severity_sorted(const json_t *devices) {
        json_t *sorted = must(json_array());
        for (unsigned wanted = 0; wanted < RANKS; wanted++)
                for (size_t i = 0; i < json_array_size(devices); i++)
                        if (rank(json_array_get(devices, i)) == wanted)
                                must_succeed(json_array_append(sorted, json_array_get(devices, i)));
        return sorted;
}
