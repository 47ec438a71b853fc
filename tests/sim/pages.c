/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A million crashes of a disk differ in a few torn pages. What could go wrong: taking two contents for one, which would
 * hide a loss. So pages are the same only if every byte is, whatever their sums say.
 */
#include "pages.h"

#include "failure.h"

#include <assert.h>
#include <isa-l/crc64.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_PAGES = 256, CHUNKS_MAX = 4096, BUCKETS = 1 << 20, MERGES = 1 << 16 };

static_assert(BUCKETS / 2 <= CHUNKS_MAX * CHUNK_PAGES, "there is a chunk for each page");

struct merge {
        uint32_t under, over, result;
        uint8_t from_over, bad;
        bool known;
};

static struct page *chunks[CHUNKS_MAX];
static uint32_t page_count;
static uint32_t *buckets; /* number of a page, and one; 0: empty */
static struct merge *merges;

const struct page *page_at(uint32_t id) {
        return &chunks[id / CHUNK_PAGES][id % CHUNK_PAGES];
}

static struct page *new_page(void) {
        MUST(page_count < BUCKETS / 2, "too many different pages");
        struct page **chunk = &chunks[page_count / CHUNK_PAGES];
        if (!*chunk)
                *chunk = malloc(CHUNK_PAGES * sizeof **chunk);
        MUST(*chunk, "out of memory");
        return &(*chunk)[page_count++ % CHUNK_PAGES];
}

uint32_t page_of(const uint8_t bytes[static PAGE_BYTES], uint8_t bad) {
        uint8_t readable[PAGE_BYTES];
        if (bad) {
                memcpy(readable, bytes, PAGE_BYTES);
                for (unsigned i = 0; i < PAGE_SECTORS; i++)
                        if (bad >> i & 1)
                                memset(readable + i * SECTOR_BYTES, 0, SECTOR_BYTES);
                bytes = readable;
        }
        uint64_t sum = layout_mix(crc64_ecma_refl(bad, bytes, PAGE_BYTES) + bad);
        size_t at = sum % BUCKETS;
        for (; buckets[at]; at = (at + 1) % BUCKETS) {
                const struct page *p = page_at(buckets[at] - 1);
                if (p->sum == sum && p->bad == bad && memcmp(p->bytes, bytes, PAGE_BYTES) == 0)
                        return buckets[at] - 1;
        }
        struct page *p = new_page();
        p->sum = sum;
        p->bad = bad;
        memcpy(p->bytes, bytes, PAGE_BYTES);
        buckets[at] = page_count;
        return page_count - 1;
}

uint32_t page_merge(uint32_t under, uint32_t over, uint8_t from_over, uint8_t bad) {
        if (from_over == PAGE_WHOLE && !bad)
                return over;
        uint64_t key = layout_mix(((uint64_t)under << 32 | over) + ((uint64_t)from_over << 8 | bad));
        struct merge *m = &merges[key % MERGES];
        if (m->known && m->under == under && m->over == over && m->from_over == from_over && m->bad == bad)
                return m->result;
        uint8_t bytes[PAGE_BYTES];
        memcpy(bytes, page_at(under)->bytes, PAGE_BYTES);
        for (unsigned i = 0; i < PAGE_SECTORS; i++)
                if (from_over >> i & 1)
                        memcpy(bytes + i * SECTOR_BYTES, page_at(over)->bytes + i * SECTOR_BYTES, SECTOR_BYTES);
        uint8_t still_bad = (uint8_t)(page_at(under)->bad & ~from_over) | bad;
        *m = (struct merge){ under, over, page_of(bytes, still_bad), from_over, bad, true };
        return m->result;
}

void pages_reset(void) {
        static const uint8_t zeros[PAGE_BYTES];
        if (!buckets) {
                buckets = malloc(BUCKETS * sizeof *buckets);
                merges = malloc(MERGES * sizeof *merges);
                MUST(buckets && merges, "out of memory");
        }
        memset(buckets, 0, BUCKETS * sizeof *buckets);
        memset(merges, 0, MERGES * sizeof *merges);
        page_count = 0;
        (void)page_of(zeros, 0);
}

static uint64_t weight(const struct image *image, size_t page) {
        return layout_mix(page_at(image->pages[page])->sum + (page + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

void image_init(struct image *image, size_t count) {
        MUST(count <= IMAGE_PAGES_MAX, "a disk of too many pages");
        image->count = count;
        image->sum = 0;
        memset(image->pages, 0, count * sizeof image->pages[0]);
        for (size_t i = 0; i < count; i++)
                image->sum += weight(image, i);
}

void image_set(struct image *image, size_t page, uint32_t id) {
        if (image->pages[page] == id)
                return;
        image->sum -= weight(image, page);
        image->pages[page] = id;
        image->sum += weight(image, page);
}

void image_copy(struct image *to, const struct image *from) {
        to->count = from->count;
        to->sum = from->sum;
        memcpy(to->pages, from->pages, from->count * sizeof from->pages[0]);
}
