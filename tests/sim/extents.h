/* SPDX-License-Identifier: Apache-2.0 */
/* extents: parts of one disk, as several devices with the same path have them. */
#pragma once

#include "chance.h"
#include "model/extent.h"

#include <stddef.h>
#include <stdint.h>

enum { EXTENTS_MAX = 4 };

/* 1 to EXTENTS_MAX of them, by place: of any number of units, some with gaps between them. The last one may reach to
 * the end of the disk, and then be as odd as that is. list: has room for as many. Returns how many. */
size_t extents_cut(struct extent *list, struct chance *chance, uint64_t sectors);
