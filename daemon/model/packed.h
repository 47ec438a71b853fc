/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packed: rows of numbers as few bytes, for the ledger. Seven bits a byte, the lowest first, the eighth set where more
 * follow; at the end a checksum (FNV-1a, Fowler, Noll and Vo, 32 bits), so that damage is noticed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PACKED_NUMBER_MAX = 10, PACKED_SEAL = 4 };

struct packer {
        uint8_t *bytes;
        size_t room; /* for all that will be packed, and the seal */
        size_t length;
};

void packer_add(struct packer *p, uint64_t value);

/* Adds the checksum. Returns the whole length. */
size_t packer_seal(struct packer *p);

struct unpacker {
        const uint8_t *bytes;
        size_t length; /* without the seal */
        size_t at;
        bool broken; /* ran over the end, or met a number that is none */
};

/* False: too short, or the checksum is another. */
bool unpacker_begin(struct unpacker *u, const void *bytes, size_t length);

/* 0 where it is broken. */
uint64_t unpacker_take(struct unpacker *u);

/* Whether all was taken, and none of it was broken. */
bool unpacker_end(const struct unpacker *u);
