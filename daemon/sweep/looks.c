/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a disk is at fault or somebody has begun to use it is what people want to know first, and nothing but the
 * bytes tells. A guess would send them wrong, so each rule has an error rate, and where none holds nothing is said.
 * What we write is noise, so whatever is not noise, and not a part of ours beside a filling, was written by somebody.
 */
#include "sweep/looks.h"

#include "base/cleanup.h"

#include <stddef.h>
#include <string.h>

enum {
        SAME_BYTES_MIN = 20,
        BITS_OFF_MAX = 256,
        LINE_BITS_OFF_MAX = 90,
        TEXT_BYTES_MIN = 32,
        TEXT_VALUES_MIN = 12,
        STRUCTURE_BYTES_MIN = 96,
        STRUCTURE_ONE_IN = 72,
        STRUCTURE_TIMES = 2,
        NOISE_BYTES_MIN = 256,
        NOISE_ONE_IN = 128
};

static bool is_off(uint32_t count, uint32_t of, uint32_t by) {
        uint32_t half = of / 2;
        return count > half + by || count + by < half;
}

/* Behind the stamp alone: its zeros are what others write, too. */
bool looks_akin(const uint8_t sector[static SECTOR_BYTES], const uint8_t right[static SECTOR_BYTES]) {
        uint32_t same = 0, bits = 0, lines[8] = { 0 };
        for (size_t i = STAMP_BYTES; i < SECTOR_BYTES; i += sizeof(uint64_t)) {
                uint64_t a, b;
                memcpy(&a, sector + i, sizeof a);
                memcpy(&b, right + i, sizeof b);
                uint64_t different = a ^ b, any = 0;
                for (unsigned line = 0; line < ELEMENTS(lines); line++) {
                        uint64_t ones = different >> line & UINT64_C(0x0101010101010101);
                        lines[line] += (uint32_t)__builtin_popcountll(ones);
                        any |= ones;
                }
                same += (uint32_t)(sizeof a) - (uint32_t)__builtin_popcountll(any);
        }
        bool akin = same >= SAME_BYTES_MIN;
        for (size_t line = 0; line < ELEMENTS(lines); line++) {
                bits += lines[line];
                akin |= is_off(lines[line], SECTOR_BYTES - STAMP_BYTES, LINE_BITS_OFF_MAX);
        }
        return akin || is_off(bits, (SECTOR_BYTES - STAMP_BYTES) * 8, BITS_OFF_MAX);
}

/* Signatures. */

static uint32_t le16(const uint8_t *p) {
        return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t le32(const uint8_t *p) {
        return le16(p) | le16(p + 2) << 16;
}

static uint32_t be32(const uint8_t *p) {
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The magic number has but 16 bits; the fields that go with it are as of the kernel's fs/ext4/ext4.h. */
static bool is_ext(const uint8_t *s) {
        return le16(s + 0x3a) <= 7 && le16(s + 0x3c) <= 3 && le32(s + 0x48) <= 4 && le32(s + 0x4c) <= 1 &&
                le32(s + 0x18) <= 6;
}

static bool is_xfs(const uint8_t *s) {
        uint32_t block = be32(s + 4);
        return block >= 512 && block <= 65536 && (block & (block - 1)) == 0;
}

static bool is_luks(const uint8_t *s) {
        return s[6] == 0 && (s[7] == 1 || s[7] == 2);
}

static bool is_md(const uint8_t *s) {
        return le32(s + 4) == 1;
}

/* Four entries at 446: each is active or not, and at least one has a type. */
static bool is_partition_table(const uint8_t *s) {
        bool any = false;
        for (const uint8_t *entry = s + 446; entry < s + 510; entry += 16) {
                if (entry[0] & 0x7f)
                        return false;
                any |= entry[4] != 0;
        }
        return any;
}

static bool is_squashfs(const uint8_t *s) {
        return le16(s + 28) == 4 && le16(s + 30) == 0;
}

static bool is_elf(const uint8_t *s) {
        return (s[4] == 1 || s[4] == 2) && (s[5] == 1 || s[5] == 2) && s[6] == 1;
}

/* As of RFC 1952: deflate, no reserved flag, a known effort and system. */
static bool is_gzip(const uint8_t *s) {
        return (s[3] & 0xe0) == 0 && (s[8] == 0 || s[8] == 2 || s[8] == 4) && (s[9] <= 13 || s[9] == 255);
}

static bool is_zip(const uint8_t *s) {
        return le16(s + 4) <= 63 && le16(s + 8) <= 99;
}

/* Where a signature may lie: in the sector that begins so many bytes behind the unit's start, or in any. */
enum { ANY_SECTOR = -1 };

static const struct signature_kind {
        const char *name;
        int sector_at;
        uint16_t magic_at;
        uint8_t magic_bytes;
        const char *magic;
        bool (*confirms)(const uint8_t *sector); /* NULL: the magic alone is enough */
} signature_kinds[] = {
        { "GPT header", ANY_SECTOR, 0, 8, "EFI PART", NULL },
        { "LVM label", ANY_SECTOR, 0, 8, "LABELONE", NULL },
        { "LUKS header", 0, 0, 6, "LUKS\xba\xbe", is_luks },
        { "ext2, ext3 or ext4 superblock", 1024, 0x38, 2, "\x53\xef", is_ext },
        { "XFS superblock", 0, 0, 4, "XFSB", is_xfs },
        { "btrfs superblock", 0, 64, 8, "_BHRfS_M", NULL },
        { "NTFS boot sector", 0, 3, 8, "NTFS    ", NULL },
        { "exFAT boot sector", 0, 3, 8, "EXFAT   ", NULL },
        { "FAT boot sector", 0, 82, 8, "FAT32   ", NULL },
        { "FAT boot sector", 0, 54, 8, "FAT16   ", NULL },
        { "FAT boot sector", 0, 54, 8, "FAT12   ", NULL },
        { "squashfs superblock", 0, 0, 4, "hsqs", is_squashfs },
        { "swap header", 3584, 502, 10, "SWAPSPACE2", NULL },
        { "md superblock", 0, 0, 4, "\xfc\x4e\x2b\xa9", is_md },
        { "partition table", 0, 510, 2, "\x55\xaa", is_partition_table },
        { "ELF file", 0, 0, 4,
                "\x7f"
                "ELF",
                is_elf },
        { "gzip file", 0, 0, 3, "\x1f\x8b\x08", is_gzip },
        { "xz file", 0, 0, 6,
                "\xfd"
                "7zXZ\0",
                NULL },
        { "ZIP file", 0, 0, 4, "PK\3\4", is_zip },
        { "SQLite file", 0, 0, 16, "SQLite format 3\0", NULL },
        { "PNG file", 0, 0, 8, "\x89PNG\r\n\x1a\n", NULL },
};

static const char *signature_name(const uint8_t *sector, uint64_t offset_bytes) {
        int sector_at = (int)(offset_bytes % UNIT_BYTES);
        for (size_t i = 0; i < ELEMENTS(signature_kinds); i++) {
                const struct signature_kind *k = &signature_kinds[i];
                if ((k->sector_at == ANY_SECTOR || k->sector_at == sector_at) &&
                        memcmp(sector + k->magic_at, k->magic, k->magic_bytes) == 0 &&
                        (!k->confirms || k->confirms(sector)))
                        return k->name;
        }
        return NULL;
}

/* Text. */

static bool is_text_character(uint8_t c) {
        return (c >= 0x20 && c < 0x7f) || (c >= '\a' && c <= '\r') || c == 0x1b;
}

/* How many bytes follow the first one of a character that is not ASCII; 0: it is none (RFC 3629). */
static size_t followers(uint8_t first) {
        if (first >= 0xc2 && first <= 0xdf)
                return 1;
        if (first >= 0xe0 && first <= 0xef)
                return 2;
        return first >= 0xf0 && first <= 0xf4 ? 3 : 0;
}

static bool is_follower(uint8_t c) {
        return (c & 0xc0) == 0x80;
}

static size_t length_without_zeros(const uint8_t *sector) {
        size_t length = SECTOR_BYTES;
        while (length > 0 && sector[length - 1] == 0)
                length--;
        return length;
}

/* A file's end is padded with zeros; a character may be cut by the sector's ends. */
static bool is_text(const uint8_t *sector) {
        size_t length = length_without_zeros(sector), at = 0;
        while (at < 3 && is_follower(sector[at]))
                at++;
        while (at < length) {
                uint8_t c = sector[at++];
                if (is_text_character(c))
                        continue;
                size_t more = followers(c);
                if (more == 0)
                        return false;
                for (; more > 0 && at < length; more--)
                        if (!is_follower(sector[at++]))
                                return false;
                if (more > 0 && length < SECTOR_BYTES)
                        return false;
        }
        return true;
}

/* Structure. */

enum { WORDS = SECTOR_BYTES / sizeof(uint64_t), SLOTS = 4 * WORDS };

/* The bytes of the sector's words, each word once: fillings and repeated parts say nothing of what they are made of.
 * Returns how many bytes. */
static uint32_t count_bytes(const uint8_t *sector, uint32_t counts[static 256]) {
        uint64_t words[WORDS];
        uint8_t slots[SLOTS] = { 0 }; /* a table of the words that were met, by their index + 1 */
        uint32_t n = 0;
        memcpy(words, sector, sizeof words);
        memset(counts, 0, 256 * sizeof counts[0]);
        for (size_t i = 0; i < WORDS; i++) {
                size_t slot = (size_t)(layout_mix(words[i]) % SLOTS);
                while (slots[slot] > 0 && words[slots[slot] - 1] != words[i])
                        slot = (slot + 1) % SLOTS;
                if (slots[slot] > 0)
                        continue;
                slots[slot] = (uint8_t)(i + 1);
                for (size_t k = 0; k < sizeof words[0]; k++)
                        counts[sector[i * sizeof words[0] + k]]++;
                n += sizeof words[0];
        }
        return n;
}

static size_t count_values(const uint32_t counts[static 256]) {
        size_t values = 0;
        for (size_t i = 0; i < 256; i++)
                values += counts[i] > 0;
        return values;
}

/* Pairs of bytes that are the same, of n * (n - 1) / 2. */
static uint32_t count_pairs(const uint32_t counts[static 256]) {
        uint32_t pairs = 0;
        for (size_t i = 0; i < 256; i++)
                pairs += counts[i] * (counts[i] - 1) / 2;
        return pairs;
}

/* The byte that is met most is taken out. Returns how often it was there. */
static uint32_t take_most(uint32_t counts[static 256]) {
        size_t most = 0;
        for (size_t i = 1; i < 256; i++)
                if (counts[i] > counts[most])
                        most = i;
        uint32_t count = counts[most];
        counts[most] = 0;
        return count;
}

/* The chance of two bytes to be the same if each bit knew nothing of the others, in parts of 2^32. */
static uint64_t chance_by_bits(const uint32_t counts[static 256], uint32_t n) {
        uint64_t chance = UINT64_C(1) << 32;
        for (unsigned line = 0; line < 8; line++) {
                uint64_t ones = 0;
                for (size_t i = 0; i < 256; i++)
                        ones += i >> line & 1 ? counts[i] : 0;
                uint64_t zeros = n - ones, squares = ones * ones + zeros * zeros;
                chance = chance * ((squares << 16) / ((uint64_t)n * n)) >> 16;
        }
        return chance;
}

/* A part of ours has a filling around it, whose first and last bytes share words with it, and in a stamp are zeros: so
 * two bytes are left out. What flips bits of a filling, or holds bit lines, does not make them know of each other. */
static bool is_structure(uint32_t counts[static 256], uint32_t n) {
        n -= take_most(counts);
        n -= take_most(counts);
        if (n < STRUCTURE_BYTES_MIN)
                return false;
        uint64_t same = count_pairs(counts), all = n * (n - 1) / 2;
        return same * STRUCTURE_ONE_IN >= all && same << 32 >= STRUCTURE_TIMES * chance_by_bits(counts, n) * all;
}

const char *looks_foreign(const uint8_t sector[static SECTOR_BYTES], uint64_t offset_bytes) {
        const char *name = signature_name(sector, offset_bytes);
        if (name)
                return name;
        uint32_t counts[256], n = count_bytes(sector, counts);
        if (n >= TEXT_BYTES_MIN && count_values(counts) >= TEXT_VALUES_MIN && is_text(sector))
                return "text";
        return is_structure(counts, n) ? "structured data" : NULL;
}

const char *looks_plain(const uint8_t sector[static SECTOR_BYTES]) {
        uint32_t counts[256], n = count_bytes(sector, counts);
        if (memcmp(sector, sector + 1, SECTOR_BYTES - 1) == 0)
                return "one byte throughout";
        return n >= NOISE_BYTES_MIN && count_pairs(counts) * NOISE_ONE_IN < n * (n - 1) / 2 ? "noise" : NULL;
}
