/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_facts: what status says of the daemon itself. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

bool daemon_ledger_is_good(const json_t *daemon);

/* Whether the daemon itself, not a device, needs somebody. one: only what concerns a device that was named. */
bool daemon_needs_attention(const json_t *daemon, bool one);

/* brief: what is as it should be is left out. */
void daemon_show_facts(const json_t *daemon, bool brief, FILE *to, size_t width);
void daemon_show_workers(const json_t *daemon, FILE *to, size_t width);

/* What was found and what to do; nothing where all is well. */
void daemon_show_attention(const json_t *daemon, bool one, FILE *to, size_t width);
