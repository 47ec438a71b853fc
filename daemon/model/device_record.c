/* SPDX-License-Identifier: Apache-2.0 */
/* The words for a device's state, as programs outside know them. */
#include "model/device_record.h"

#include <assert.h>

static const char *const state_names[DEVICE_STATE_COUNT] = {
        [DEVICE_IDLE] = "idle",
        [DEVICE_HELD] = "held",
        [DEVICE_QUEUED] = "queued",
        [DEVICE_SWEEPING] = "sweeping",
        [DEVICE_YIELDING] = "yielding",
        [DEVICE_PAUSED] = "paused",
        [DEVICE_WAITING] = "waiting",
        [DEVICE_STALLED] = "stalled",
        [DEVICE_MISSING] = "missing",
        [DEVICE_REFUSED] = "refused",
        [DEVICE_RECOVERING] = "recovering",
};

const char *device_state_name(enum device_state state) {
        assert(state < DEVICE_STATE_COUNT);
        return state_names[state];
}
