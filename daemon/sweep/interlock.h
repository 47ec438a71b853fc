/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interlock: whether a target may be swept in a mode, by the facts alone (design 9). It does no I/O and never falls
 * back to another mode: the first rule that is broken is the answer.
 *
 * Rules: serial_mismatch alignment extent (every mode); matched read_only in_use holders slaves swap member zoned thin
 * loop_not_direct loop_sparse iostats too_small serial_missing twin state_disk no_identity destroys_data_missing
 * destroys_data_mismatch signature (modes that write); logical_block fstab shared (refresh and preserve); file_mode
 * file_system file_not_direct file_size file_links file_sparse file_unwritten page_cached (files). They are an
 * interface: programs switch on them.
 */
#pragma once

#include "model/device_config.h"
#include "model/reason.h"

#include <stdbool.h>

struct signature;
struct target_facts;

/*
 * overwrite: the identity that was typed once more to write over foreign data, or NULL. False: *reason is filled in.
 * The signatures are asked separately, as finding them needs I/O.
 */
bool interlock_permits(struct reason *reason, const struct target_facts *facts, const struct device_config *config,
        const char *overwrite);

enum interlock_signatures {
        SIGNATURES_NONE,    /* nothing was found that is in the way, for certain */
        SIGNATURES_COMPARE, /* permitted only if each unit that covers one is, to the byte, what our last sweep wrote */
        SIGNATURES_FORBIDDEN /* a member of a stack, or no certain answer: never permitted */
};

/*
 * found: what target_signatures() returned: how many, or negative errno. But for SIGNATURES_NONE *reason is filled in:
 * for SIGNATURES_COMPARE with what to answer where the comparison fails.
 */
enum interlock_signatures interlock_signatures_permit(struct reason *reason, const struct target_facts *facts,
        enum sweep_mode mode, const struct signature *signatures, int found);
