/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes back from a file may be anything: a length that lies, a number without an end, bits that fell over. So
 * nothing is read past the end, a number has one spelling only, and the checksum is looked at before anything else.
 */
#include "model/packed.h"

#include "base/cleanup.h"

#include <assert.h>

enum { VALUE_BITS = 7, MORE = 1 << VALUE_BITS };

static uint32_t checksum(const uint8_t *bytes, size_t length) {
        uint32_t sum = UINT32_C(2166136261);
        for (size_t i = 0; i < length; i++)
                sum = (sum ^ bytes[i]) * UINT32_C(16777619);
        return sum;
}

void packer_add(struct packer *p, uint64_t value) {
        do {
                assert(p->length + PACKED_SEAL < p->room);
                uint8_t low = (uint8_t)(value & (MORE - 1));
                value >>= VALUE_BITS;
                p->bytes[p->length++] = (uint8_t)(low | (value ? MORE : 0));
        } while (value);
}

size_t packer_seal(struct packer *p) {
        uint32_t sum = checksum(p->bytes, p->length);
        assert(p->length + PACKED_SEAL <= p->room);
        for (unsigned i = 0; i < PACKED_SEAL; i++)
                p->bytes[p->length++] = (uint8_t)(sum >> (8 * i));
        return p->length;
}

bool unpacker_begin(struct unpacker *u, const void *bytes, size_t length) {
        if (length < PACKED_SEAL)
                return false;
        *u = (struct unpacker){ .bytes = bytes, .length = length - PACKED_SEAL };
        uint32_t sum = 0;
        for (unsigned i = 0; i < PACKED_SEAL; i++)
                sum |= (uint32_t)u->bytes[u->length + i] << (8 * i);
        return sum == checksum(u->bytes, u->length);
}

uint64_t unpacker_take(struct unpacker *u) {
        uint64_t value = 0;
        for (unsigned shift = 0; shift < PACKED_NUMBER_MAX * VALUE_BITS; shift += VALUE_BITS) {
                if (u->broken || u->at == u->length)
                        break;
                uint8_t byte = u->bytes[u->at++];
                uint64_t bits = byte & (MORE - 1);
                if (bits << shift >> shift != bits || (shift > 0 && byte == 0))
                        break;
                value |= bits << shift;
                if (!(byte & MORE))
                        return value;
        }
        u->broken = true;
        return 0;
}

bool unpacker_end(const struct unpacker *u) {
        return !u->broken && u->at == u->length;
}
