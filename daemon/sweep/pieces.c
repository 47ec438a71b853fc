/* SPDX-License-Identifier: Apache-2.0 */
/* Halving finds a lone bad block with few more reads than its depth; a stack that is too short would lose a piece, and
 * with it bytes that nobody ever looked at again. */
#include "sweep/pieces.h"

#include "base/cleanup.h"
#include "sweep/layout.h"

#include <assert.h>

void pieces_push(struct pieces *p, uint64_t from, uint64_t to) {
        assert(p->depth < PIECES_MAX);
        if (to > from)
                p->stack[p->depth++] = (struct extent){ from, to - from };
}

bool pieces_pop(struct pieces *p, struct extent *ret) {
        if (p->depth == 0)
                return false;
        *ret = p->stack[--p->depth];
        return true;
}

void pieces_push_halves(struct pieces *p, struct extent piece, uint32_t logical_block_bytes) {
        assert(piece.length_bytes > logical_block_bytes);
        uint64_t grain = piece.length_bytes > UNIT_BYTES ? MAX(UNIT_BYTES, logical_block_bytes) : logical_block_bytes;
        uint64_t middle = piece.offset_bytes + piece.length_bytes / 2;
        middle -= middle % grain;
        if (middle <= piece.offset_bytes)
                middle = piece.offset_bytes + grain;
        pieces_push(p, middle, extent_end(piece));
        pieces_push(p, piece.offset_bytes, middle);
}
