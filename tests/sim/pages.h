/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pages: contents of 4096 bytes, each kept once and known by a number. A disk is then a row of numbers: it is copied,
 * compared and told from a million others at the cost of its length in pages.
 */
#pragma once

#include "sweep/layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGE_BYTES = 4096, PAGE_SECTORS = PAGE_BYTES / SECTOR_BYTES };

/* All sectors of a page. */
#define PAGE_WHOLE UINT8_C(0xff)

struct page {
        uint64_t sum; /* of the bytes and the bad sectors: the same in every run */
        uint8_t bad;  /* a bit for each sector that can't be read; its bytes are zero here */
        uint8_t bytes[PAGE_BYTES];
};

/* Page 0 is all zeros. */
uint32_t page_of(const uint8_t bytes[static PAGE_BYTES], uint8_t bad);
const struct page *page_at(uint32_t id);

/* `under` with the sectors `from_over` of `over`, and the sectors `bad` unreadable. */
uint32_t page_merge(uint32_t under, uint32_t over, uint8_t from_over, uint8_t bad);

/* Forgets all pages: numbers from before mean nothing any more. */
void pages_reset(void);

enum { IMAGE_PAGES_MAX = 1400 };

/* The content of a disk. */
struct image {
        size_t count;
        uint64_t sum; /* two images of one disk are the same if their sums are */
        uint32_t pages[IMAGE_PAGES_MAX];
};

void image_init(struct image *image, size_t count);
void image_set(struct image *image, size_t page, uint32_t id);
void image_copy(struct image *to, const struct image *from);
