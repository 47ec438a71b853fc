/* SPDX-License-Identifier: Apache-2.0 */
/* People search their journals by these ids for years: one that changed, or stood for two things, would mislead them.
 */
#include "report/message_ids.h"

#include <assert.h>

static const sd_id128_t ids[EVENT_COUNT] = {
        [EVENT_FINDING] = SD_ID128_MAKE(1b, e5, 8b, 0d, 71, df, 48, 6e, 82, ac, ee, 12, e6, c7, 72, 63),
        [EVENT_FINDING_OVER] = SD_ID128_MAKE(7a, 65, 00, 6b, df, 1d, 4e, 76, a0, 2c, be, d2, 36, 4d, ef, 4c),
        [EVENT_SWEEP_STARTED] = SD_ID128_MAKE(8b, 37, aa, f8, ab, 55, 40, a4, a1, 1a, 4f, 92, 7f, 01, 07, b9),
        [EVENT_SWEEP_ENDED] = SD_ID128_MAKE(52, 5b, c1, 63, 53, d1, 48, 5f, ab, 03, 5d, 7c, e0, 32, 8e, 7f),
        [EVENT_SWEEP_RESTS] = SD_ID128_MAKE(d3, f1, c2, 0a, 9b, 5e, 4c, 7f, 8a, 1d, 6e, 04, b2, 7c, 93, e5),
        [EVENT_REFUSED] = SD_ID128_MAKE(1a, 6d, 72, 30, 54, 52, 43, 3c, b4, 0b, ad, 7c, a7, ba, fb, 85),
        [EVENT_REFUSAL_OVER] = SD_ID128_MAKE(06, ca, c8, 55, f8, 40, 45, e5, 93, 14, 37, 8d, b2, ac, bd, 02),
        [EVENT_DEADLINE] = SD_ID128_MAKE(88, 37, 1a, 09, 84, ce, 41, 3d, a3, f7, af, b5, 74, 55, 2f, fe),
        [EVENT_DEADLINE_OVER] = SD_ID128_MAKE(9a, 6c, 22, 92, d1, 9a, 41, 7c, 8a, c5, 9d, ab, 18, 29, 33, 09),
        [EVENT_DEVICE_MISSING] = SD_ID128_MAKE(52, a8, b1, 81, 98, fb, 42, 54, a7, 7e, 2f, e9, 43, 42, 81, f4),
        [EVENT_DEVICE_BACK] = SD_ID128_MAKE(68, ec, f6, 1c, ee, ac, 4b, 03, 9f, 3a, 8a, 12, ab, db, b5, 9f),
        [EVENT_LEDGER] = SD_ID128_MAKE(a8, 33, 9e, 3d, 8a, eb, 41, 16, bd, 58, 1b, 5f, 41, 81, c4, ca),
        [EVENT_TARGET_ADOPTED] = SD_ID128_MAKE(19, bf, d1, 0a, d5, 18, 45, 16, ad, a3, 5c, c9, 72, 91, af, a6),
        [EVENT_RECOVERY] = SD_ID128_MAKE(f9, 91, 81, 3c, a0, 62, 4b, 9d, 89, 0f, a0, 63, cd, 04, 2b, 6f),
        [EVENT_TEST] = SD_ID128_MAKE(c8, 86, 1b, e8, ff, 65, 44, 46, 91, 32, 61, b6, d2, cd, be, 50),
        [EVENT_DAEMON] = SD_ID128_MAKE(28, 14, 25, f7, df, 15, 40, a3, 86, c3, 52, 01, f9, 18, c8, 54),
        [EVENT_SUM] = SD_ID128_MAKE(22, 20, b7, a7, c3, 55, 45, 25, 8f, 7e, fe, 57, 6b, 0f, ec, 1b),
        [EVENT_UNCHECKED] = SD_ID128_MAKE(f6, e0, 44, b6, 5d, 16, 40, 3e, b2, b6, bb, 2e, 96, 6d, 6b, 27),
        [EVENT_UNCHECKED_OVER] = SD_ID128_MAKE(e4, 6e, 28, a3, 11, 61, 43, 87, 9c, 3e, 70, 1c, 0f, b5, 4a, 54),
};

sd_id128_t message_id(enum event_kind kind) {
        assert(kind < EVENT_COUNT);
        return ids[kind];
}
