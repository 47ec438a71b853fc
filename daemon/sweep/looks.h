/* SPDX-License-Identifier: Apache-2.0 */
/*
 * looks: what a sector that none of our generations wrote most likely is, told from its bytes: somebody else's data, a
 * damaged form of ours, or neither. Deterministic, a few microseconds a sector, and asked of bad ones alone.
 *
 * Akin to what must be there, where bytes that know nothing of each other (their bits agree like coins) never are:
 *   - at least 20 of the 512 bytes are the same: 1 in 10^13 by chance;
 *   - or of all bits the share that agrees is off by more than 256 of 4,096: 4 in 10^14;
 *   - or of one of the 8 bit lines it is off by more than 90 of 512: 3 in 10^13.
 * So flips, stuck or inverted lines, lost parts and two writes that ran into one are akin.
 *
 * Foreign, where one of these holds:
 *   - a signature at its place, of at least 37 bits in all (gzip, the shortest): 5 in 10^12 of noise;
 *   - text: valid UTF-8 without control characters but the usual ones, then nothing but zeros; of its words of 8 bytes,
 *     each counted once, at least 32 bytes: far below 1 in 10^15 of noise;
 *   - structure: of its words, each counted once, and without the two bytes that are met most, at least 96 bytes, two
 *     of which are the same with a chance of 1 in 72 at least. Of noise it is 1 in 256 (of the 130,816 pairs of 512
 *     bytes 511, and over 1,750 are asked for: more than 50 standard deviations).
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
