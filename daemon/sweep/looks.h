/* SPDX-License-Identifier: Apache-2.0 */
/*
 * looks: what a sector that none of our generations wrote most likely is, told from its bytes: somebody else's data, a
 * damaged form of ours, or neither. Deterministic, a few microseconds a sector, and asked of bad ones alone.
 *
 * Akin to what must be there, where bytes that know nothing of each other (their bits agree like coins) never are. Of
 * the 448 bytes behind a stamp, or where one would be:
 *   - at least 20 bytes are the same: 1 in 10^14 by chance;
 *   - or the bits that differ are not half of the 3,584, but more than 256 off: 3 in 10^16;
 *   - or those of one of the 8 bit lines are not half of 448, but more than 90 off: 3 in 10^15 for all lines.
 * So flips, stuck or inverted lines, lost parts and two writes that ran into one are akin.
 *
 * Foreign, where one of these holds:
 *   - a signature at its place, of at least 37 bits in all (gzip, the shortest): 5 in 10^12 of noise;
 *   - text: valid UTF-8 without control characters but the usual ones, then nothing but zeros; of its words of 8 bytes,
 *     each counted once, at least 32 bytes, of 12 values: far below 1 in 10^15 of noise;
 *   - structure: of its words, each counted once, and without the two bytes that are met most, at least 96 bytes, two
 *     of which are the same with a chance of 1 in 72 at least. Of noise it is 1 in 256 (some 480 of the 123,000
 *     pairs that are left of 512 bytes, and 1,700 are asked for: more than 50 standard deviations).
 *     And that chance is at least twice what the shares of ones of the 8 bit lines make of it: else it is a filling
 *     with flipped bits, at most 1.3 times.
 * So noise is taken for foreign in fewer than 1 of 10^11 sectors. What shuffles, inverts, shifts or repeats our bytes
 * leaves them as even as they were, and what fills a part of them adds few words: neither is foreign. Encrypted and
 * compressed data are noise: nobody can tell. tests/unit/test_looks.c tries all of this.
 */
#pragma once

#include "sweep/layout.h"

#include <stdbool.h>
#include <stdint.h>

/* Whether a sector is a damaged form of what must be there. */
bool looks_akin(const uint8_t sector[static SECTOR_BYTES], const uint8_t right[static SECTOR_BYTES]);

/* What of somebody else's it is ("text", "LUKS header"), for people; NULL: nothing of the kind. offset_bytes: of the
 * sector on the target. */
const char *looks_foreign(const uint8_t sector[static SECTOR_BYTES], uint64_t offset_bytes);

/* What it is where it is nobody's ("noise"); NULL: there is no word for it. */
const char *looks_plain(const uint8_t sector[static SECTOR_BYTES]);
