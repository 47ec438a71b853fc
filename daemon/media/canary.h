/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canary: a file that sweepd makes on a file system in use, to write and verify there what it can't on the disk itself.
 * What may be done with it is the interlock's decision, by what canary_probe() says.
 */
#pragma once

#include "model/reason.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct target_facts;

/*
 * Opens the file for direct I/O, or makes it where it is not there and may be written: without a name, until
 * canary_name() gives it one, so that of what is refused nothing stays. TARGET_OK; TARGET_E_MISSING or
 * TARGET_E_NOT_FILE with *reason filled in (rules "missing", "not_file", "no_space", "not_permitted"); negative errno.
 */
int canary_open(
        int *ret_fd, bool *ret_made, struct reason *reason, const char *path, bool writable, uint64_t create_bytes);

/* Gives a file that was made its name, durably. -EEXIST: there is something by now; another negative errno. */
int canary_name(int fd, const char *path);

/* Fills in the facts of an open file. made: by canary_open() just now. Negative errno. */
int canary_probe(struct target_facts *facts, int fd, bool made, uint64_t create_bytes);

/*
 * Bytes of the file that are in the page cache and stay there: pages that can be dropped are dropped first. What can't
 * be told counts as all of it.
 */
uint64_t canary_cached_bytes(int fd, uint64_t size_bytes);
