/* SPDX-License-Identifier: Apache-2.0 */
/* varlink: reads one message as a Varlink call, answers what concerns the service itself, and hands on the rest. */
#pragma once

#include "control/call.h"
#include "control/control.h"

/*
 * Begins the call. It is answered here, or handed to options->handlers.on_request. What is no call at all gets an
 * error, and its connection ends: who sends that can't be answered rightly any more.
 */
void varlink_serve(
        struct call *call, const struct control_options *options, bool is_root, const char *text, size_t length_bytes);
