/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three protocols that others use for the same job, each as simple as it can be. They are here so that the simulator
 * is seen to find what they lose: one that finds nothing in them would prove nothing about ours.
 */
#include "undo_protocols.h"

#include "base/cleanup.h"
#include "failure.h"
#include "sweep/undo_layout.h"

#include <stdalign.h>
#include <string.h>

enum { PATTERN = 0x55, HEADER_PAGE = 0, DATA_PAGE = 1 };

/* The header of the journal: what is saved behind it. */
struct header {
        uint64_t magic;
        uint64_t offset_bytes, length_bytes;
        uint64_t crc; /* of the header before it */
};

#define HEADER_MAGIC UINT64_C(0x4a4f55524e414c31)

static void request(struct world *w, unsigned disk, enum engine_op op, uint64_t offset_bytes, void *bytes) {
        struct engine *engine = &w->disks[disk].engine;
        struct engine_io io = {
                .op = op,
                .offset_bytes = offset_bytes,
                .length_bytes = op == ENGINE_FLUSH ? 0 : UNIT_BYTES,
                .buffer = bytes,
        }, *one = &io, *done;
        MUST(engine_submit(engine, &one, 1) == 1, "the disk takes nothing");
        MUST(engine_reap(engine, &done, 1) == 1, "the disk does nothing");
        if (bytes && io.result < 0)
                memset(bytes, 0, UNIT_BYTES); /* they go on as if nothing had been there */
}

static uint64_t segment_end(const struct undo_case *c, uint64_t segment) {
        return MIN(segment + c->segment_bytes, c->target.count * UNIT_BYTES);
}

static void write_pattern(const struct undo_case *c, struct world *w, uint64_t segment) {
        alignas(UNIT_BYTES) uint8_t bytes[UNIT_BYTES];
        memset(bytes, PATTERN, sizeof bytes);
        for (uint64_t at = segment; at < segment_end(c, segment); at += UNIT_BYTES)
                request(w, DISK_TARGET, ENGINE_WRITE, at, bytes);
        request(w, DISK_TARGET, ENGINE_FLUSH, 0, NULL);
        for (uint64_t at = segment; at < segment_end(c, segment); at += UNIT_BYTES)
                request(w, DISK_TARGET, ENGINE_READ, at, bytes);
}

static void run_in_memory(const struct undo_case *c, struct world *w) {
        alignas(UNIT_BYTES) static uint8_t memory[64 * UNIT_BYTES];
        for (uint64_t segment = 0; segment < c->size_bytes; segment += c->segment_bytes) {
                for (uint64_t at = segment; at < segment_end(c, segment); at += UNIT_BYTES)
                        request(w, DISK_TARGET, ENGINE_READ, at, memory + at - segment);
                write_pattern(c, w, segment);
                for (uint64_t at = segment; at < segment_end(c, segment); at += UNIT_BYTES)
                        request(w, DISK_TARGET, ENGINE_WRITE, at, memory + at - segment);
                request(w, DISK_TARGET, ENGINE_FLUSH, 0, NULL);
        }
}

static void write_header(const struct undo_case *c, struct world *w, uint64_t segment, bool armed) {
        alignas(UNIT_BYTES) uint8_t page[UNIT_BYTES] = { 0 };
        struct header h = {
                .magic = armed ? HEADER_MAGIC : 0,
                .offset_bytes = segment,
                .length_bytes = segment_end(c, segment) - segment,
        };
        h.crc = undo_crc((const uint8_t *)&h, offsetof(struct header, crc));
        memcpy(page, &h, sizeof h);
        request(w, DISK_JOURNAL, ENGINE_WRITE, HEADER_PAGE * UNIT_BYTES, page);
}

static void run_journal(const struct undo_case *c, struct world *w, bool ordered) {
        alignas(UNIT_BYTES) uint8_t bytes[UNIT_BYTES];
        for (uint64_t segment = 0; segment < c->size_bytes; segment += c->segment_bytes) {
                for (uint64_t at = segment; at < segment_end(c, segment); at += UNIT_BYTES) {
                        request(w, DISK_TARGET, ENGINE_READ, at, bytes);
                        request(w, DISK_JOURNAL, ENGINE_WRITE, at - segment + DATA_PAGE * UNIT_BYTES, bytes);
                }
                if (ordered)
                        request(w, DISK_JOURNAL, ENGINE_FLUSH, 0, NULL);
                write_header(c, w, segment, true);
                if (ordered)
                        request(w, DISK_JOURNAL, ENGINE_FLUSH, 0, NULL);
                write_pattern(c, w, segment);
                for (uint64_t at = segment; at < segment_end(c, segment); at += UNIT_BYTES) {
                        request(w, DISK_JOURNAL, ENGINE_READ, at - segment + DATA_PAGE * UNIT_BYTES, bytes);
                        request(w, DISK_TARGET, ENGINE_WRITE, at, bytes);
                }
                request(w, DISK_TARGET, ENGINE_FLUSH, 0, NULL);
                write_header(c, w, segment, false);
                request(w, DISK_JOURNAL, ENGINE_FLUSH, 0, NULL);
        }
}

static void run_unordered(const struct undo_case *c, struct world *w) {
        run_journal(c, w, false);
}

static void run_ordered(const struct undo_case *c, struct world *w) {
        run_journal(c, w, true);
}

static void replay(const struct undo_case *c, struct world *w) {
        alignas(UNIT_BYTES) uint8_t page[UNIT_BYTES];
        struct header h;
        request(w, DISK_JOURNAL, ENGINE_READ, HEADER_PAGE * UNIT_BYTES, page);
        memcpy(&h, page, sizeof h);
        if (h.magic != HEADER_MAGIC || h.crc != undo_crc(page, offsetof(struct header, crc)))
                return;
        for (uint64_t at = 0; at < h.length_bytes; at += UNIT_BYTES) {
                request(w, DISK_JOURNAL, ENGINE_READ, at + DATA_PAGE * UNIT_BYTES, page);
                request(w, DISK_TARGET, ENGINE_WRITE, h.offset_bytes + at, page);
        }
        request(w, DISK_TARGET, ENGINE_FLUSH, 0, NULL);
        write_header(c, w, h.offset_bytes, false);
        request(w, DISK_JOURNAL, ENGINE_FLUSH, 0, NULL);
}

static const char *judge(const struct undo_case *c, const struct world *w, const struct image *cut) {
        (void)cut;
        for (size_t i = 0; i < c->target.count; i++)
                if (w->disks[DISK_TARGET].durable.pages[i] != c->target.pages[i])
                        return "an original is not on the target";
        return NULL;
}

/* The disk is mounted, and a file is written. */
static uint32_t used_page(void) {
        uint8_t bytes[PAGE_BYTES];
        memset(bytes, 0xf0, sizeof bytes);
        return page_of(bytes, 0);
}

static void use(const struct undo_case *c, struct image *target) {
        (void)c;
        image_set(target, 0, used_page());
}

static const char *judge_used(const struct undo_case *c, const struct world *w, const struct image *cut) {
        (void)c;
        (void)cut;
        return w->disks[DISK_TARGET].durable.pages[0] == used_page() ? NULL : "what somebody else wrote is lost";
}

const struct protocol naive_in_memory = { .name = "originals in memory", .run = run_in_memory, .judge = judge };

const struct protocol naive_unordered = {
        .name = "header without a flush before it", .run = run_unordered, .recover = replay, .judge = judge
};

const struct protocol naive_blind = {
        .name = "blind replay", .run = run_ordered, .meanwhile = use, .recover = replay, .judge = judge_used
};

const struct protocol naive_ordered = {
        .name = "well ordered, used by nobody", .run = run_ordered, .recover = replay, .judge = judge
};
