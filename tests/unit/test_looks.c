/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The claims of looks.h: noise and damaged forms of what we wrote are never somebody's data, and what somebody writes
 * mostly is. LOOKS_SECTORS is how much noise is tried, 100,000 sectors unless told.
 */
#include "base/cleanup.h"
#include "generation.h"
#include "sweep/looks.h"

#include <stdlib.h>
#include <string.h>

enum { SEEDS = 400, WORDS = SECTOR_BYTES / 8 };

struct scene {
        uint64_t seed, state;
        struct generations g;
        uint64_t offset;
        uint8_t right[SECTOR_BYTES], bytes[SECTOR_BYTES];
};

static uint64_t draw(struct scene *s, uint64_t below) {
        return suite_random(&s->state) % below;
}

static void scene_next(struct scene *s, uint64_t seed) {
        s->seed = s->state = seed;
        s->offset = draw(s, 1 << 20) * SECTOR_BYTES;
        content_sector(&s->g.of[2], s->right, s->offset);
        memcpy(s->bytes, s->right, SECTOR_BYTES);
}

#define FOR_SEEDS(scene)                                                                                        \
        for (uint64_t seed_ = (generations_init(&(scene).g, 1), 1);                                             \
                seed_ <= SEEDS ? (scene_next(&(scene), seed_), true) : (generations_deinit(&(scene).g), false); \
                seed_++)

START_TEST(noise_is_neither_akin_nor_foreign) {
        const char *more = getenv("LOOKS_SECTORS");
        uint64_t sectors = more ? strtoull(more, NULL, 10) : 100000;
        struct scene s;
        generations_init(&s.g, 1);
        scene_next(&s, 1);
        for (uint64_t i = 0; i < sectors; i++) {
                for (size_t at = 0; at < SECTOR_BYTES; at += sizeof(uint64_t)) {
                        uint64_t word = suite_random(&s.state);
                        memcpy(s.bytes + at, &word, sizeof word);
                }
                HOLDS(i, !looks_akin(s.bytes, s.right) && !looks_foreign(s.bytes, i * SECTOR_BYTES));
                HOLDS(i, strcmp(looks_plain(s.bytes), "noise") == 0);
        }
        generations_deinit(&s.g);
}
END_TEST

/* Ways in which disks, cables and memory damage what passes through them. Each changes s->bytes, which are right. */

static void flip_some(struct scene *s) {
        for (uint64_t n = 1 + draw(s, 1200); n > 0; n--)
                flip_bit(s->bytes, draw(s, SECTOR_BYTES * 8));
}

static void decay(struct scene *s) { /* towards 0, or towards 1 */
        bool up = draw(s, 2);
        for (size_t i = 0; i < SECTOR_BYTES; i++) {
                uint64_t bits = draw(s, 65536);
                uint8_t mask = (uint8_t)(bits & bits >> 8); /* a quarter of the bits */
                s->bytes[i] = up ? s->bytes[i] | mask : (uint8_t)(s->bytes[i] & ~mask);
        }
}

static void stick_lines(struct scene *s) {
        uint8_t stuck = (uint8_t)(1 + draw(s, 254)), value = (uint8_t)draw(s, 256);
        for (size_t i = 0; i < SECTOR_BYTES; i++)
                s->bytes[i] = (uint8_t)((s->bytes[i] & ~stuck) | (value & stuck));
}

static void invert_lines(struct scene *s) {
        uint8_t mask = (uint8_t)(1 + draw(s, 255));
        for (size_t i = 0; i < SECTOR_BYTES; i++)
                s->bytes[i] ^= mask;
}

static void join_with_another(struct scene *s) {
        uint8_t other[SECTOR_BYTES];
        uint64_t how = draw(s, 3);
        content_sector(&s->g.of[1], other, s->offset);
        for (size_t i = 0; i < SECTOR_BYTES; i++)
                s->bytes[i] = how == 0 ? s->bytes[i] & other[i]
                        : how == 1     ? s->bytes[i] | other[i]
                        : i % 2        ? other[i]
                                       : s->bytes[i];
}

static void lose_a_part(struct scene *s) {
        size_t from = draw(s, SECTOR_BYTES), length = draw(s, SECTOR_BYTES - 2 * STAMP_BYTES + 1);
        uint8_t with = (uint8_t)(draw(s, 2) ? 0 : draw(s, 256));
        for (size_t i = 0; i < length; i++)
                s->bytes[(from + i) % SECTOR_BYTES] = with;
}

/* The same bytes, but none is where it was. */

static void swap_bytes(struct scene *s) {
        size_t width = (size_t)2 << draw(s, 3);
        for (size_t i = 0; i < SECTOR_BYTES; i++)
                s->bytes[i] = s->right[i / width * width + width - 1 - i % width];
}

static void shuffle_words(struct scene *s) {
        size_t width = (size_t)1 << draw(s, 7);
        for (size_t i = SECTOR_BYTES / width - 1; i > 0; i--) {
                uint8_t keep[64];
                size_t j = draw(s, i + 1);
                memcpy(keep, s->bytes + i * width, width);
                memcpy(s->bytes + i * width, s->bytes + j * width, width);
                memcpy(s->bytes + j * width, keep, width);
        }
}

static void rotate(struct scene *s) {
        size_t by = 1 + draw(s, SECTOR_BYTES - 1);
        for (size_t i = 0; i < SECTOR_BYTES; i++)
                s->bytes[i] = s->right[(i + by) % SECTOR_BYTES];
}

static void shift_with_filling(struct scene *s) {
        size_t by = 1 + draw(s, SECTOR_BYTES - 1), kept = draw(s, SECTOR_BYTES - by + 1);
        memset(s->bytes, draw(s, 2) ? 0 : 0xff, SECTOR_BYTES);
        memcpy(s->bytes + by, s->right, kept);
}

static void shift_back_with_filling(struct scene *s) {
        size_t by = 1 + draw(s, SECTOR_BYTES - 1);
        memset(s->bytes, draw(s, 2) ? 0 : 0xff, SECTOR_BYTES);
        memcpy(s->bytes, s->right + by, draw(s, SECTOR_BYTES - by + 1));
}

static void shift_bits(struct scene *s) {
        unsigned by = 1 + (unsigned)draw(s, 7);
        for (size_t i = 0; i < SECTOR_BYTES; i++)
                s->bytes[i] = (uint8_t)(s->right[i] << by | s->right[(i + 1) % SECTOR_BYTES] >> (8 - by));
}

static void mix_with_a_mask(struct scene *s) {
        size_t width = (size_t)2 << draw(s, 5);
        uint8_t mask[64];
        random_bytes(&s->state, mask, width);
        for (size_t i = 0; i < SECTOR_BYTES; i++)
                s->bytes[i] ^= mask[i % width];
}

static void repeat_a_part(struct scene *s) {
        size_t width = (size_t)4 << draw(s, 7), from = draw(s, SECTOR_BYTES - width + 1);
        for (size_t i = 0; i < SECTOR_BYTES; i++)
                s->bytes[i] = s->right[from + i % width];
}

static void fill(struct scene *s) {
        size_t width = (size_t)1 << draw(s, 4);
        uint8_t with[8];
        random_bytes(&s->state, with, width);
        for (size_t i = 0; i < SECTOR_BYTES; i++)
                s->bytes[i] = with[i % width];
}

static void flip_a_filling(struct scene *s) {
        memset(s->bytes, (int)(draw(s, 2) ? 0 : draw(s, 256)), SECTOR_BYTES);
        for (uint64_t n = 1 + draw(s, 3000); n > 0; n--)
                flip_bit(s->bytes, draw(s, SECTOR_BYTES * 8));
}

START_TEST(what_damage_makes_of_our_bytes_is_not_foreign) {
        static void (*const damages[])(struct scene *) = { flip_some, decay, stick_lines, invert_lines,
                join_with_another, lose_a_part, swap_bytes, shuffle_words, rotate, shift_with_filling,
                shift_back_with_filling, shift_bits, mix_with_a_mask, repeat_a_part, fill, flip_a_filling };
        struct scene s;
        FOR_SEEDS(s) {
                for (size_t i = 0; i < ELEMENTS(damages); i++) {
                        memcpy(s.bytes, s.right, SECTOR_BYTES);
                        damages[i](&s);
                        const char *foreign = looks_akin(s.bytes, s.right) ? NULL : looks_foreign(s.bytes, s.offset);
                        if (foreign)
                                ck_abort_msg("seed %" PRIu64 ": damage %zu looks like %s", s.seed, i, foreign);
                }
        }
}
END_TEST

START_TEST(what_leaves_bytes_or_bit_lines_in_place_is_akin) {
        static void (*const damages[])(
                struct scene *) = { decay, stick_lines, invert_lines, join_with_another, lose_a_part };
        struct scene s;
        FOR_SEEDS(s) {
                for (size_t i = 0; i < ELEMENTS(damages); i++) {
                        memcpy(s.bytes, s.right, SECTOR_BYTES);
                        damages[i](&s);
                        if (!looks_akin(s.bytes, s.right))
                                ck_abort_msg("seed %" PRIu64 ": damage %zu is not akin", s.seed, i);
                }
        }
}
END_TEST

static void expect(const struct scene *s, uint64_t offset, const char *name) {
        const char *looks = looks_foreign(s->bytes, offset);
        if (!looks || strcmp(looks, name) != 0)
                ck_abort_msg("seed %" PRIu64 ": looks like %s, not %s", s->seed, looks ? looks : "nothing", name);
        HOLDS(s->seed, !looks_akin(s->bytes, s->right));
}

/* A magic amid noise; so many further bytes as it takes to be believed. */
static const struct {
        const char *name;
        size_t sector, at, length;
        const char *bytes;
        struct {
                size_t at, length;
                const char *bytes;
        } more[5];
} signatures[] = {
        { "GPT header", 1, 0, 8, "EFI PART", { { 0 } } },
        { "LVM label", 1, 0, 8, "LABELONE", { { 0 } } },
        { "LUKS header", 0, 0, 6, "LUKS\xba\xbe", { { 6, 2, "\0\2" } } },
        { "ext2, ext3 or ext4 superblock", 2, 0x38, 2, "\x53\xef",
                { { 0x3a, 2, "\1\0" }, { 0x3c, 2, "\1\0" }, { 0x48, 4, "\0\0\0\0" }, { 0x4c, 4, "\1\0\0\0" },
                        { 0x18, 4, "\2\0\0\0" } } },
        { "XFS superblock", 0, 0, 4, "XFSB", { { 4, 4, "\0\0\x10\0" } } },
        { "btrfs superblock", 0, 64, 8, "_BHRfS_M", { { 0 } } },
        { "NTFS boot sector", 0, 3, 8, "NTFS    ", { { 0 } } },
        { "exFAT boot sector", 0, 3, 8, "EXFAT   ", { { 0 } } },
        { "FAT boot sector", 0, 82, 8, "FAT32   ", { { 0 } } },
        { "squashfs superblock", 0, 0, 4, "hsqs", { { 28, 4, "\4\0\0\0" } } },
        { "swap header", 7, 502, 10, "SWAPSPACE2", { { 0 } } },
        { "md superblock", 0, 0, 4, "\xfc\x4e\x2b\xa9", { { 4, 4, "\1\0\0\0" } } },
        { "partition table", 0, 510, 2, "\x55\xaa",
                { { 446, 1, "\x80" }, { 462, 1, "\0" }, { 478, 1, "\0" }, { 494, 1, "\0" }, { 450, 1, "\x83" } } },
        { "ELF file", 0, 0, 4, "\177ELF", { { 4, 3, "\2\1\1" } } },
        { "gzip file", 0, 0, 3, "\x1f\x8b\x08", { { 3, 1, "\x08" }, { 8, 2, "\2\3" } } },
        { "xz file", 0, 0, 6, "\xfd\x37zXZ\0", { { 0 } } },
        { "ZIP file", 0, 0, 4, "PK\3\4", { { 4, 2, "\x14\0" }, { 8, 2, "\x08\0" } } },
        { "SQLite file", 0, 0, 16, "SQLite format 3\0", { { 0 } } },
        { "PNG file", 0, 0, 8, "\x89PNG\r\n\x1a\n", { { 0 } } },
};

START_TEST(signatures_are_known_at_their_places_alone) {
        struct scene s;
        FOR_SEEDS(s) {
                for (size_t i = 0; i < ELEMENTS(signatures); i++) {
                        uint64_t offset = (s.offset / UNIT_BYTES * UNIT_SECTORS + signatures[i].sector) * SECTOR_BYTES;
                        random_bytes(&s.state, s.bytes, SECTOR_BYTES);
                        memcpy(s.bytes + signatures[i].at, signatures[i].bytes, signatures[i].length);
                        for (size_t k = 0; k < ELEMENTS(signatures[i].more); k++)
                                if (signatures[i].more[k].length > 0)
                                        memcpy(s.bytes + signatures[i].more[k].at, signatures[i].more[k].bytes,
                                                signatures[i].more[k].length);
                        expect(&s, offset, signatures[i].name);
                        if (i > 1) /* the first two may lie in any sector */
                                HOLDS(s.seed, !looks_foreign(s.bytes, offset ^ 0x600));
                        s.bytes[signatures[i].at] ^= 1;
                        HOLDS(s.seed, !looks_foreign(s.bytes, offset));
                }
        }
}
END_TEST

/* 16 bits, or a few more, are no proof. */
START_TEST(a_short_magic_alone_is_not_believed) {
        static const size_t confirmed[] = { 2, 3, 4, 9, 11, 12, 13, 14, 16 };
        struct scene s;
        FOR_SEEDS(s) {
                for (size_t k = 0; k < ELEMENTS(confirmed); k++) {
                        size_t i = confirmed[k];
                        random_bytes(&s.state, s.bytes, SECTOR_BYTES);
                        memcpy(s.bytes + signatures[i].at, signatures[i].bytes, signatures[i].length);
                        HOLDS(s.seed, signatures[i].more[0].length > 0);
                        s.bytes[signatures[i].more[0].at] = 0x7b;
                        HOLDS(s.seed, !looks_foreign(s.bytes, signatures[i].sector * SECTOR_BYTES));
                }
        }
}
END_TEST

START_TEST(text_is_text_to_its_last_byte_and_zeros_may_follow) {
        static const char *const pieces[] = { "the ", "quick\n", "br\xc3\xb6wn\t", "f\xe2\x82\xac", "\xf0\x9f\x98\x80 ",
                "{ 42 }", "0x1f;\r\n" };
        struct scene s;
        FOR_SEEDS(s) {
                uint8_t text[SECTOR_BYTES + 32];
                size_t length = 0;
                while (length < SECTOR_BYTES + 16) {
                        const char *piece = pieces[draw(&s, ELEMENTS(pieces))];
                        memcpy(text + length, piece, strlen(piece));
                        length += strlen(piece);
                }
                memcpy(s.bytes, text + draw(&s, 16), SECTOR_BYTES); /* cut anywhere */
                expect(&s, s.offset, "text");
                size_t at = draw(&s, SECTOR_BYTES - 1);
                s.bytes[at] = (uint8_t)(s.seed % 3 ? draw(&s, 7) : 0xc0 + draw(&s, 2));
                const char *looks = looks_foreign(s.bytes, s.offset);
                HOLDS(s.seed, looks && strcmp(looks, "structured data") == 0);
                size_t kept = 8 * draw(&s, WORDS);
                memset(s.bytes, 0, SECTOR_BYTES);
                for (size_t i = 0; i < kept; i++)
                        s.bytes[i] = (uint8_t)('a' + draw(&s, 26));
                looks = looks_foreign(s.bytes, s.offset);
                HOLDS(s.seed, kept >= 24 ? looks && strcmp(looks, "text") == 0 : !looks);
        }
}
END_TEST

/* Records of small numbers and times, as file systems and databases have them. */
START_TEST(records_are_structured_data) {
        struct scene s;
        FOR_SEEDS(s) {
                uint64_t at_us = UINT64_C(1700000000) + draw(&s, 1 << 20);
                for (size_t i = 0; i < SECTOR_BYTES; i += 16) {
                        uint32_t record[4] = { (uint32_t)(s.seed + i), (uint32_t)draw(&s, 4096),
                                (uint32_t)(at_us + draw(&s, 5000)), 0x81a4 };
                        memcpy(s.bytes + i, record, sizeof record);
                }
                expect(&s, s.offset, "structured data");
        }
}
END_TEST

START_TEST(this_very_program_is_foreign_in_good_part) {
        FILE *file = fopen("/proc/self/exe", "r");
        ck_assert(file);
        struct scene s = { .seed = 1 };
        size_t all = 0, foreign = 0;
        for (uint64_t offset = 0; fread(s.bytes, SECTOR_BYTES, 1, file) == 1; offset += SECTOR_BYTES) {
                bool zeros = content_is_zero(s.bytes, SECTOR_BYTES);
                all += !zeros;
                foreign += !zeros && looks_foreign(s.bytes, offset);
                if (offset == 0)
                        ck_assert_str_eq(looks_foreign(s.bytes, offset), "ELF file");
        }
        fclose(file);
        ck_assert_msg(foreign * 10 > all * 3, "%zu of %zu sectors", foreign, all);
}
END_TEST

/* What others write has zeros where a stamp has some, and would be taken for a damaged unit. */
START_TEST(zeros_in_place_of_a_stamp_are_not_akin_to_it) {
        struct scene s;
        FOR_SEEDS(s) {
                content_sector(&s.g.of[2], s.right, 0);
                random_bytes(&s.state, s.bytes, SECTOR_BYTES);
                memset(s.bytes, 0, STAMP_BYTES);
                HOLDS(s.seed, !looks_akin(s.bytes, s.right));
        }
}
END_TEST

START_TEST(one_byte_throughout_is_named_and_nobodys) {
        uint8_t bytes[SECTOR_BYTES];
        for (unsigned value = 1; value < 256; value++) {
                memset(bytes, (int)value, sizeof bytes);
                ck_assert_str_eq(looks_plain(bytes), "one byte throughout");
                ck_assert(!looks_foreign(bytes, 0));
        }
}
END_TEST

int main(void) {
        TCase *t = tcase_create("looks");
        tcase_add_test(t, noise_is_neither_akin_nor_foreign);
        tcase_add_test(t, what_damage_makes_of_our_bytes_is_not_foreign);
        tcase_add_test(t, what_leaves_bytes_or_bit_lines_in_place_is_akin);
        tcase_add_test(t, zeros_in_place_of_a_stamp_are_not_akin_to_it);
        tcase_add_test(t, signatures_are_known_at_their_places_alone);
        tcase_add_test(t, a_short_magic_alone_is_not_believed);
        tcase_add_test(t, text_is_text_to_its_last_byte_and_zeros_may_follow);
        tcase_add_test(t, records_are_structured_data);
        tcase_add_test(t, this_very_program_is_foreign_in_good_part);
        tcase_add_test(t, one_byte_throughout_is_named_and_nobodys);
        return suite_run("looks", t);
}
