/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_store: the ledger's database: the only user of SQLite. Blocks on the state disk; the ledger's thread owns it.
 */
#pragma once

#include "report/ledger.h"

struct ledger_store;

/* Opens nothing yet. -ENOMEM. */
int ledger_store_new(struct ledger_store **ret, const char *directory);

/* Closes it. Accepts NULL; returns NULL. */
struct ledger_store *ledger_store_free(struct ledger_store *store);

bool ledger_store_is_open(const struct ledger_store *store);

/* It could not be opened, being of a later version; nothing of it was touched. */
bool ledger_store_is_newer(const struct ledger_store *store);

/*
 * Opens what is there; puts aside what is damaged or not ours; creates what is missing. Negative errno: it can't be
 * used now, the text says why. now_us: wall time, for names and for numbers that were never given before.
 */
int ledger_store_open(struct ledger_store *store, uint64_t now_us);

/*
 * Runs the requests in order, in one transaction, and fills in what comes back, but for status and text. Negative
 * errno: nothing of any of them was stored; what came back is to be dropped. After some failures it is closed.
 */
int ledger_store_run(struct ledger_store *store, struct ledger_request *const *requests, size_t count);

/* Of the last failure, for people. */
const char *ledger_store_text(const struct ledger_store *store);

/* Whether the ledger was usable when it was last used, and what there is to say about it: "" where all is well. */
enum ledger_state ledger_store_state(const struct ledger_store *store);
const char *ledger_store_state_text(const struct ledger_store *store);
