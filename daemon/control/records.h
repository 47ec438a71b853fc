/* SPDX-License-Identifier: Apache-2.0 */
/* records: the model's records as the types of io.sweepd.varlink, field by field. */
#pragma once

#include "control/message.h"
#include "model/device_record.h"
#include "model/event.h"
#include "model/finding.h"
#include "model/reason.h"
#include "model/region_table.h"
#include "model/rescue_record.h"
#include "model/sweep_record.h"

/* Each gives a message that the caller passes on or deinits. */
struct message records_daemon(const struct daemon_record *daemon);
struct message records_device(const struct device_record *device);
struct message records_finding(const struct finding *finding);
struct message records_sweep(const struct sweep_record *sweep);
struct message records_event(const struct event *event);
struct message records_region(const struct region_record *region);
struct message records_rescue(const struct rescue_record *rescue);
struct message records_reason(const struct reason *reason);

enum { RECORDS_HEX_BYTES = 2 * FINDING_SAMPLE_BYTES + 1 };

/* At most FINDING_SAMPLE_BYTES bytes as hexadecimal text. */
void records_hex(char text[static RECORDS_HEX_BYTES], const uint8_t *bytes, size_t length_bytes);
