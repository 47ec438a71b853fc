/* SPDX-License-Identifier: Apache-2.0 */
/* message_ids: which entry of the message catalog (systemd/sweepd.catalog) explains an event. Once given, they stay. */
#pragma once

#include "model/event.h"

#include <systemd/sd-id128.h>

sd_id128_t message_id(enum event_kind kind);
