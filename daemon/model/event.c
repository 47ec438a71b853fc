/* SPDX-License-Identifier: Apache-2.0 */
/* The words for what happens; programs that follow the events switch on them. */
#include "model/event.h"

#include "model/names.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static const char *const kind_names[EVENT_COUNT] = {
        [EVENT_FINDING] = "finding",
        [EVENT_FINDING_OVER] = "finding_over",
        [EVENT_SWEEP_STARTED] = "sweep_started",
        [EVENT_SWEEP_ENDED] = "sweep_ended",
        [EVENT_SWEEP_RESTS] = "sweep_rests",
        [EVENT_REFUSED] = "refused",
        [EVENT_REFUSAL_OVER] = "refusal_over",
        [EVENT_DEADLINE] = "deadline",
        [EVENT_DEADLINE_OVER] = "deadline_over",
        [EVENT_DEVICE_MISSING] = "device_missing",
        [EVENT_DEVICE_BACK] = "device_back",
        [EVENT_LEDGER] = "ledger",
        [EVENT_TARGET_ADOPTED] = "target_adopted",
        [EVENT_RECOVERY] = "recovery",
        [EVENT_TEST] = "test",
        [EVENT_DAEMON] = "daemon",
        [EVENT_SUM] = "sum",
        [EVENT_UNCHECKED] = "unchecked",
        [EVENT_UNCHECKED_OVER] = "unchecked_over",
};

const char *event_kind_name(enum event_kind kind) {
        assert(kind < EVENT_COUNT);
        return kind_names[kind];
}

bool event_kind_from_name(enum event_kind *ret, const char *name) {
        int i = names_index(kind_names, EVENT_COUNT, name);
        if (i >= 0)
                *ret = (enum event_kind)i;
        return i >= 0;
}

uint64_t event_sum_count(const struct event *event) {
        if (event->kind != EVENT_SUM || event->text[0] < '1' || event->text[0] > '9')
                return 0;
        errno = 0;
        unsigned long long count = strtoull(event->text, NULL, 10);
        return errno == 0 && count <= INT64_MAX ? count : 0;
}
