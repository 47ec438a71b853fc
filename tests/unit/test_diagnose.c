/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wrong name for a fault sends people after a wrong cause. So each kind of damage is made at random places and must
 * be named for what it is, with the exact numbers: which sectors, how many bits, which generation, which place.
 */
#include "base/cleanup.h"
#include "generation.h"
#include "sweep/diagnose.h"

#include <string.h>

enum { SEEDS = 300, TARGET_BYTES = 8 << 20, UNITS = TARGET_BYTES / UNIT_BYTES };

struct scene {
        uint64_t seed, state;
        struct generations g;
        struct diagnosis_ground ground;
        struct expectation expected; /* generation 3 is meant */
        uint64_t offset;
        uint64_t length;
        uint8_t unit[UNIT_BYTES];
        struct diagnosis d;
};

static uint64_t draw(struct scene *s, uint64_t below) {
        return suite_random(&s->state) % below;
}

/* Before: generation 2. Generation 1 and 4 are in no list. */
static void scene_init(struct scene *s, uint64_t seed) {
        struct generations g = s->g;
        if (seed == 1) /* tables are costly to compute: the same for all seeds */
                generations_init(&g, seed);
        memset(s, 0, sizeof *s);
        s->g = g;
        s->seed = s->state = seed;
        s->ground = (struct diagnosis_ground){
                .tables = s->g.tables,
                .target_id = GENERATION_TARGET,
                .target_bytes = TARGET_BYTES,
                .older_count = 1,
                .older = { s->g.of[1].stamp },
        };
        s->expected = expecting(&s->g.of[2]);
        s->offset = draw(s, UNITS) * UNIT_BYTES;
        s->length = UNIT_BYTES;
        content_fill(&s->g.of[2], s->unit, s->offset, s->length);
}

static void scene_deinit(struct scene *s) {
        if (s->seed == SEEDS)
                generations_deinit(&s->g);
}

static void diagnose(struct scene *s) {
        diagnose_unit(&s->d, &s->ground, &s->expected, s->unit, s->offset, s->length);
}

static void put_sector(struct scene *s, const struct content *c, size_t to, uint64_t from_offset) {
        content_sector(c, s->unit + to * SECTOR_BYTES, from_offset);
}

static uint64_t another_unit(struct scene *s) {
        uint64_t other = draw(s, UNITS - 1) * UNIT_BYTES;
        return other < s->offset ? other : other + UNIT_BYTES;
}

static const char *fact(struct scene *s, const char *name) {
        static char value[128];
        char text[FINDING_TEXT_BYTES], key[64];
        struct detail detail = { 0 };
        diagnose_describe(&s->d, text, &detail);
        HOLDS(s->seed, text[0]);
        const char *cursor = detail.lines;
        while (detail_next(&cursor, key, sizeof key, value, sizeof value))
                if (strcmp(key, name) == 0)
                        return value;
        return "";
}

static uint64_t number(struct scene *s, const char *name) {
        return strtoull(fact(s, name), NULL, 10);
}

#define FOR_SEEDS(scene) \
        for (uint64_t seed_ = 1; seed_ <= SEEDS && (scene_init(&(scene), seed_), true); seed_++, scene_deinit(&(scene)))

START_TEST(zeros_are_zeroed) {
        struct scene s;
        FOR_SEEDS(s) {
                size_t from = draw(&s, UNIT_SECTORS), count = 1 + draw(&s, UNIT_SECTORS - from);
                memset(s.unit + from * SECTOR_BYTES, 0, count * SECTOR_BYTES);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_ZEROED && s.d.ours && !s.d.exact);
                HOLDS(s.seed, s.d.bad_sectors == (BIT(from + count) - BIT(from)));
        }
}
END_TEST

START_TEST(what_an_older_generation_wrote_is_stale_also_when_only_its_stamp_tells) {
        struct scene s;
        FOR_SEEDS(s) {
                const struct content *old = &s.g.of[draw(&s, 2)]; /* in the list of older ones, or not */
                content_fill(old, s.unit, s.offset, UNIT_BYTES);
                diagnose(&s);
                HOLDS(s.seed,
                        s.d.fault == FAULT_STALE && s.d.ours && s.d.exact && !s.d.strange && s.d.bad_sectors == 0xff);
                HOLDS(s.seed, s.d.generation == old->stamp.generation && s.d.started_us == old->stamp.started_us);
                HOLDS(s.seed, number(&s, "generation_found") == old->stamp.generation);
        }
}
END_TEST

START_TEST(new_up_to_a_sector_and_old_after_it_is_torn_there) {
        struct scene s;
        FOR_SEEDS(s) {
                size_t at = 1 + s.seed % (UNIT_SECTORS - 1);
                for (size_t i = at; i < UNIT_SECTORS; i++)
                        put_sector(&s, &s.g.of[1], i, s.offset + i * SECTOR_BYTES);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_TORN && s.d.ours && s.d.exact);
                HOLDS(s.seed, s.d.bad_sectors == 0x100 - BIT(at));
                HOLDS(s.seed, s.d.generation == 2 && number(&s, "torn_at_sector") == at);
                HOLDS(s.seed, strcmp(fact(&s, "generation_begun"), "2023-11-14T22:13:20Z") == 0);
        }
}
END_TEST

/* A fixed pattern is expected, the one before it is known, and so is generation 2. */
static void expect_pattern(struct scene *s, uint8_t byte, uint8_t before) {
        s->expected.candidates[0] = (struct content){ .table = table_cache_get_fixed(s->g.tables, byte) };
        s->expected.count = 1;
        ground_add_pattern(&s->ground, before);
        memset(s->unit, byte, UNIT_BYTES);
}

static void forget_pattern(struct scene *s) {
        table_unref((struct table *)s->expected.candidates[0].table);
}

START_TEST(beside_a_fixed_pattern_each_kind_of_damage_has_its_name) {
        static const uint8_t pairs[][2] = { { 0xaa, 0x55 }, { 0x55, 0xaa }, { 0xff, 0x55 }, { 0x01, 0x00 },
                { 0x00, 0xff } };
        struct scene s;
        FOR_SEEDS(s) {
                uint8_t byte = pairs[s.seed % 5][0], before = pairs[s.seed % 5][1];
                bool was_zero = before == 0;
                expect_pattern(&s, byte, before);
                size_t at = draw(&s, UNIT_SECTORS), bits = 1 + draw(&s, 200);
                for (size_t i = 0; i < bits; i++)
                        flip_bit(s.unit + at * SECTOR_BYTES, i * 13 % (SECTOR_BYTES * 8));
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_BIT_FLIP && s.d.bits_flipped == bits && s.d.bad_sectors == BIT(at));

                memset(s.unit, before, UNIT_BYTES);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == (was_zero ? FAULT_ZEROED : FAULT_STALE) && s.d.ours && s.d.has_pattern);
                HOLDS(s.seed, strtoul(fact(&s, "pattern_found"), NULL, 16) == before);
                HOLDS(s.seed, !*fact(&s, "generation_found"));

                at = 1 + s.seed % (UNIT_SECTORS - 1);
                memset(s.unit, byte, at * SECTOR_BYTES);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == (was_zero ? FAULT_ZEROED : FAULT_TORN) && s.d.pattern == before);
                HOLDS(s.seed, was_zero || number(&s, "torn_at_sector") == at);

                content_fill(&s.g.of[1], s.unit, s.offset, UNIT_BYTES);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_STALE && s.d.generation == 2 && !s.d.has_pattern);

                random_bytes(&s.state, s.unit, UNIT_BYTES);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_GARBAGE && !s.d.ours);
                forget_pattern(&s);
        }
}
END_TEST

START_TEST(a_pattern_that_was_never_there_is_no_older_write) {
        struct scene s;
        FOR_SEEDS(s) {
                expect_pattern(&s, 0xaa, 0x55);
                memset(s.unit, 0xff, UNIT_BYTES);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_GARBAGE && !s.d.has_pattern);
                memset(s.unit, 0, UNIT_BYTES);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_ZEROED && !s.d.has_pattern);
                forget_pattern(&s);
        }
}
END_TEST

START_TEST(somebodys_records_beside_zeros_or_ones_are_foreign) {
        struct scene s;
        FOR_SEEDS(s) {
                expect_pattern(&s, s.seed % 2 ? 0x00 : 0xff, 0xaa);
                uint8_t fill = s.seed % 2 ? 0x00 : 0xff; /* half of a record is filled up with just that */
                for (size_t i = 0; i < UNIT_BYTES; i++)
                        s.unit[i] = i % 16 < 8 ? (uint8_t)layout_mix(layout_mix(i + s.seed) % 20) : fill;
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_FOREIGN);
                forget_pattern(&s);
        }
}
END_TEST

START_TEST(old_up_to_a_sector_and_new_after_it_is_torn_too) {
        struct scene s;
        FOR_SEEDS(s) {
                size_t at = 1 + s.seed % (UNIT_SECTORS - 1);
                for (size_t i = 0; i < at; i++)
                        put_sector(&s, &s.g.of[1], i, s.offset + i * SECTOR_BYTES);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_TORN && s.d.ours && s.d.generation == 2);
                HOLDS(s.seed, number(&s, "torn_at_sector") == at);
                HOLDS(s.seed, s.d.bad_sectors == BIT(at) - 1);
        }
}
END_TEST

START_TEST(a_unit_of_another_place_is_misdirected_and_its_place_is_named) {
        struct scene s;
        FOR_SEEDS(s) {
                uint64_t from = another_unit(&s);
                const struct content *c = &s.g.of[draw(&s, GENERATIONS)];
                content_fill(c, s.unit, from, UNIT_BYTES);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_MISDIRECTED && s.d.ours && s.d.exact && s.d.bad_sectors == 0xff);
                HOLDS(s.seed, s.d.belongs_bytes == from && number(&s, "belongs_at") == from);
                HOLDS(s.seed, s.d.displacement_bytes == (int64_t)(from - s.offset));
                HOLDS(s.seed, s.d.generation == c->stamp.generation);
        }
}
END_TEST

START_TEST(two_sectors_that_changed_places_within_a_unit_are_misdirected) {
        struct scene s;
        FOR_SEEDS(s) {
                size_t a = draw(&s, UNIT_SECTORS - 1), b = a + 1 + draw(&s, UNIT_SECTORS - 1 - a);
                put_sector(&s, &s.g.of[2], a, s.offset + b * SECTOR_BYTES);
                put_sector(&s, &s.g.of[2], b, s.offset + a * SECTOR_BYTES);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_MISDIRECTED && s.d.ours);
                HOLDS(s.seed, s.d.bad_sectors == (BIT(a) | BIT(b)));
                HOLDS(s.seed, s.d.belongs_bytes == s.offset + b * SECTOR_BYTES);
                HOLDS(s.seed, s.d.displacement_bytes == (int64_t)((b - a) * SECTOR_BYTES));
        }
}
END_TEST

/* Any sector of another unit, the head among them, at any place of this one, the head's among them. */
START_TEST(a_sector_of_another_unit_is_misdirected_and_its_place_is_named) {
        struct scene s;
        FOR_SEEDS(s) {
                uint64_t from = another_unit(&s) + draw(&s, UNIT_SECTORS) * SECTOR_BYTES;
                size_t to = draw(&s, UNIT_SECTORS);
                put_sector(&s, &s.g.of[1 + draw(&s, 2)], to, from);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_MISDIRECTED && s.d.ours && s.d.bad_sectors == BIT(to));
                HOLDS(s.seed, s.d.belongs_bytes == from);
                HOLDS(s.seed, s.d.displacement_bytes == (int64_t)(from - (s.offset + to * SECTOR_BYTES)));
        }
}
END_TEST

START_TEST(a_unit_moved_by_a_sector_is_misdirected) {
        struct scene s;
        FOR_SEEDS(s) {
                if (s.offset == 0)
                        s.offset = UNIT_BYTES;
                content_fill(&s.g.of[2], s.unit, s.offset - SECTOR_BYTES, UNIT_BYTES);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_MISDIRECTED && s.d.ours && s.d.bad_sectors == 0xff);
                HOLDS(s.seed, s.d.displacement_bytes == -SECTOR_BYTES);
        }
}
END_TEST

/* Flips that many different bits of one sector; returns the first one, counted from the unit's start. */
static size_t flip_bits(struct scene *s, size_t sector, size_t count) {
        uint8_t flipped[SECTOR_BYTES] = { 0 };
        size_t first = SIZE_MAX;
        while (count > 0) {
                size_t bit = draw(s, SECTOR_BYTES * 8);
                if (flipped[bit / 8] & BIT(bit % 8))
                        continue;
                flip_bit(flipped, bit);
                flip_bit(s->unit + sector * SECTOR_BYTES, bit);
                first = MIN(first, sector * SECTOR_BYTES * 8 + bit);
                count--;
        }
        return first;
}

/* bits_at names the first 16 flipped bits, in order, and says where there are more. */
static void expect_bits(struct scene *s) {
        uint8_t right[UNIT_BYTES];
        char expected[256] = "";
        size_t named = 0;
        content_fill(&s->g.of[2], right, s->offset, s->length);
        for (size_t bit = 0; bit < s->length * 8; bit++) {
                if (!((right[bit / 8] ^ s->unit[bit / 8]) & BIT(bit % 8)))
                        continue;
                if (named == 16) {
                        strcat(expected, ",...");
                        break;
                }
                sprintf(expected + strlen(expected), "%s%zu:%zu", named++ ? "," : "", bit / 8, bit % 8);
        }
        HOLDS(s->seed, strcmp(fact(s, "bits_at"), expected) == 0);
}

START_TEST(up_to_256_flipped_bits_of_a_sector_are_counted_exactly) {
        struct scene s;
        FOR_SEEDS(s) {
                size_t sector = draw(&s, UNIT_SECTORS), count = 1 + s.seed % 256;
                size_t first = flip_bits(&s, sector, count);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_BIT_FLIP && s.d.ours && !s.d.exact && s.d.bad_sectors == BIT(sector));
                HOLDS(s.seed, s.d.bits_flipped == count && number(&s, "bits") == count);
                HOLDS(s.seed, s.d.bits[0] == first);
                expect_bits(&s);
        }
}
END_TEST

START_TEST(flipped_bits_in_several_sectors_add_up) {
        struct scene s;
        FOR_SEEDS(s) {
                size_t a = draw(&s, UNIT_SECTORS - 1), b = a + 1 + draw(&s, UNIT_SECTORS - 1 - a);
                size_t first = flip_bits(&s, a, 1 + draw(&s, 20));
                flip_bits(&s, b, 5);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_BIT_FLIP && s.d.bits[0] == first);
                HOLDS(s.seed, s.d.bits_flipped >= 6 && s.d.bits_flipped <= 25);
                HOLDS(s.seed, s.d.bad_sectors == (BIT(a) | BIT(b)));
        }
}
END_TEST

START_TEST(too_many_flipped_bits_are_garbage) {
        struct scene s;
        FOR_SEEDS(s) {
                flip_bits(&s, draw(&s, UNIT_SECTORS), 257 + draw(&s, 1000));
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_GARBAGE && s.d.ours);
                HOLDS(s.seed, strcmp(fact(&s, "looks"), "a damaged form of what was written") == 0);
        }
}
END_TEST

START_TEST(noise_is_garbage_and_not_ours_unless_a_sector_is) {
        struct scene s;
        FOR_SEEDS(s) {
                uint8_t keep[SECTOR_BYTES];
                size_t kept = draw(&s, UNIT_SECTORS);
                memcpy(keep, s.unit + kept * SECTOR_BYTES, sizeof keep);
                random_bytes(&s.state, s.unit, UNIT_BYTES);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_GARBAGE && !s.d.ours && s.d.bad_sectors == 0xff);
                HOLDS(s.seed, strcmp(fact(&s, "looks"), "noise") == 0);
                memcpy(s.unit + kept * SECTOR_BYTES, keep, sizeof keep);
                diagnose(&s);
                HOLDS(s.seed,
                        s.d.fault == FAULT_GARBAGE && s.d.ours && !s.d.exact && !s.d.strange &&
                                s.d.bad_sectors == 0xff - BIT(kept));
        }
}
END_TEST

/* Such a mark, or stamp, is right by chance at best: there is nothing that could have been misplaced. */
START_TEST(a_sector_for_a_place_beyond_the_end_is_garbage) {
        struct scene s;
        FOR_SEEDS(s) {
                size_t to = draw(&s, UNIT_SECTORS);
                uint64_t beyond = TARGET_BYTES + draw(&s, 1000) * SECTOR_BYTES;
                put_sector(&s, &s.g.of[2], to, beyond);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_GARBAGE && s.d.bad_sectors == BIT(to));
        }
}
END_TEST

/* What proves the most is told: sectors of other places, then what nobody wrote, old ones, flipped bits, zeros. */
START_TEST(of_several_faults_in_a_unit_the_most_telling_names_it) {
        static const enum fault names[] = { FAULT_MISDIRECTED, FAULT_GARBAGE, FAULT_TORN, FAULT_BIT_FLIP,
                FAULT_ZEROED };
        struct scene s;
        FOR_SEEDS(s) {
                size_t a = draw(&s, ELEMENTS(names)), b = draw(&s, ELEMENTS(names)), kinds[] = { a, b };
                size_t at = 1 + draw(&s, 3), to[] = { at, at + 1 + draw(&s, 3) };
                for (size_t i = 0; i < 2; i++) {
                        uint8_t *sector = s.unit + to[i] * SECTOR_BYTES;
                        if (names[kinds[i]] == FAULT_MISDIRECTED)
                                put_sector(&s, &s.g.of[2], to[i], another_unit(&s) + SECTOR_BYTES);
                        else if (names[kinds[i]] == FAULT_GARBAGE)
                                random_bytes(&s.state, sector, SECTOR_BYTES);
                        else if (names[kinds[i]] == FAULT_TORN)
                                put_sector(&s, &s.g.of[1], to[i], s.offset + to[i] * SECTOR_BYTES);
                        else if (names[kinds[i]] == FAULT_BIT_FLIP)
                                sector[100] ^= 1;
                        else
                                memset(sector, 0, SECTOR_BYTES);
                }
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == names[MIN(a, b)]);
                HOLDS(s.seed, s.d.bad_sectors == (BIT(to[0]) | BIT(to[1])) && s.d.ours);
        }
}
END_TEST

/* Another target of the same host, or one that a twin of this daemon wrote: somebody else's data. */
START_TEST(a_unit_of_another_target_is_foreign_and_not_ours) {
        struct scene s;
        FOR_SEEDS(s) {
                struct content stranger = s.g.of[3];
                stranger.stamp.target_id = ~GENERATION_TARGET;
                content_fill(&stranger, s.unit, s.seed % 2 ? s.offset : another_unit(&s), UNIT_BYTES);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_FOREIGN && !s.d.ours && s.d.bad_sectors == 0xff);
        }
}
END_TEST

START_TEST(a_lone_foreign_stamp_is_foreign) {
        struct scene s;
        FOR_SEEDS(s) {
                struct content stranger = s.g.of[3];
                stranger.stamp.target_id = ~GENERATION_TARGET;
                put_sector(&s, &stranger, 0, s.offset);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_FOREIGN && s.d.ours && s.d.bad_sectors == 1);
        }
}
END_TEST

static void put_text(struct scene *s, size_t sector) {
        for (size_t i = 0; i < SECTOR_BYTES; i++)
                s->unit[sector * SECTOR_BYTES + i] = (uint8_t)('a' + draw(s, 26));
}

/* The fault is named by the sector that tells most of it; that somebody's data is there, too, is known all the same. */
START_TEST(somebodys_data_beside_a_misplaced_sector_is_strange) {
        struct scene s;
        FOR_SEEDS(s) {
                content_fill(&s.g.of[draw(&s, GENERATIONS)], s.unit, another_unit(&s), UNIT_BYTES);
                put_text(&s, 1 + draw(&s, UNIT_SECTORS - 1)); /* not the stamp */
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_MISDIRECTED && s.d.strange && !s.d.exact);
        }
}
END_TEST

/* One sector of it is enough, whatever noise is beside it; what is ours beside it says that it is not all theirs. */
START_TEST(what_looks_like_somebodys_data_is_foreign_and_says_why) {
        struct scene s;
        FOR_SEEDS(s) {
                size_t sector = draw(&s, UNIT_SECTORS);
                put_text(&s, sector);
                diagnose(&s);
                HOLDS(s.seed,
                        s.d.fault == FAULT_FOREIGN && s.d.ours && s.d.strange && !s.d.exact &&
                                s.d.bad_sectors == BIT(sector));
                HOLDS(s.seed, strcmp(fact(&s, "looks"), "text") == 0);
                random_bytes(&s.state, s.unit, UNIT_BYTES);
                put_text(&s, sector);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_FOREIGN && !s.d.ours && s.d.bad_sectors == 0xff);
                HOLDS(s.seed, strcmp(fact(&s, "looks"), "text") == 0);
                memset(s.unit, 0, UNIT_BYTES);
                put_text(&s, sector);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_FOREIGN && !s.d.ours);
        }
}
END_TEST

START_TEST(flipped_bits_are_those_of_the_flipped_sector_also_where_two_generations_may_be) {
        struct scene s;
        FOR_SEEDS(s) {
                s.expected = (struct expectation){ .count = 2, .candidates = { s.g.of[2], s.g.of[1] } };
                put_sector(&s, &s.g.of[1], 3, s.offset + 3 * SECTOR_BYTES);
                size_t first = flip_bits(&s, 5, 4);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_BIT_FLIP && s.d.bits_flipped == 4 && s.d.bits[0] == first);
                memset(s.unit, 0, SECTOR_BYTES);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_BIT_FLIP && s.d.bits_flipped == 4 && s.d.bad_sectors == 0x21);
        }
}
END_TEST

START_TEST(one_bad_sector_is_told_among_mixed_candidates) {
        struct scene s;
        FOR_SEEDS(s) {
                s.expected = (struct expectation){ .count = 2, .candidates = { s.g.of[2], s.g.of[1] } };
                for (size_t i = 0; i < UNIT_SECTORS; i++)
                        put_sector(&s, &s.g.of[1 + draw(&s, 2)], i, s.offset + i * SECTOR_BYTES);
                size_t bad = draw(&s, UNIT_SECTORS);
                memset(s.unit + bad * SECTOR_BYTES, 0, SECTOR_BYTES);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_ZEROED && s.d.bad_sectors == BIT(bad));
        }
}
END_TEST

START_TEST(a_short_or_partial_unit_is_judged_by_what_there_is) {
        struct scene s;
        FOR_SEEDS(s) {
                size_t first = s.seed % 2 ? 0 : draw(&s, UNIT_SECTORS), count = 1 + draw(&s, UNIT_SECTORS - first);
                s.offset += first * SECTOR_BYTES;
                s.length = count * SECTOR_BYTES;
                content_fill(&s.g.of[1], s.unit, s.offset, s.length);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_STALE && s.d.generation == 2);
                HOLDS(s.seed, s.d.bad_sectors == BIT(first + count) - BIT(first));
                content_fill(&s.g.of[2], s.unit, s.offset, s.length);
                flip_bits(&s, count - 1, 3);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_BIT_FLIP && s.d.bits_flipped == 3);
                HOLDS(s.seed, s.d.bad_sectors == BIT(first + count - 1));
                random_bytes(&s.state, s.unit, s.length);
                diagnose(&s);
                HOLDS(s.seed, s.d.fault == FAULT_GARBAGE && !s.d.ours);
        }
}
END_TEST

START_TEST(the_sample_shows_the_first_difference) {
        struct scene s;
        FOR_SEEDS(s) {
                uint8_t right[UNIT_BYTES];
                memcpy(right, s.unit, UNIT_BYTES);
                size_t at = draw(&s, UNIT_BYTES);
                s.unit[at] ^= 0x10;
                diagnose(&s);
                uint64_t from = s.d.sample.offset_bytes - s.offset;
                HOLDS(s.seed, s.d.sample.length_bytes == FINDING_SAMPLE_BYTES);
                HOLDS(s.seed, number(&s, "sample_at") == s.d.sample.offset_bytes);
                HOLDS(s.seed, from <= at && at < from + FINDING_SAMPLE_BYTES);
                HOLDS(s.seed, memcmp(s.d.sample.expected, right + from, FINDING_SAMPLE_BYTES) == 0);
                HOLDS(s.seed, memcmp(s.d.sample.found, s.unit + from, FINDING_SAMPLE_BYTES) == 0);
        }
}
END_TEST

START_TEST(a_unit_is_self_consistent_only_as_a_whole_and_at_its_place) {
        struct scene s;
        FOR_SEEDS(s) {
                struct stamp stamp = { 0 };
                const struct content *c = &s.g.of[draw(&s, GENERATIONS)];
                content_fill(c, s.unit, s.offset, UNIT_BYTES);
                HOLDS(s.seed, diagnose_is_self_consistent(&stamp, &s.ground, s.unit, s.offset, UNIT_BYTES));
                HOLDS(s.seed, stamp.generation == c->stamp.generation && stamp.nonce == c->stamp.nonce);
                HOLDS(s.seed,
                        !diagnose_is_self_consistent(&stamp, &s.ground, s.unit, s.offset + UNIT_BYTES, UNIT_BYTES));
                flip_bits(&s, draw(&s, UNIT_SECTORS), 1);
                HOLDS(s.seed, !diagnose_is_self_consistent(&stamp, &s.ground, s.unit, s.offset, UNIT_BYTES));
        }
}
END_TEST

int main(void) {
        TCase *t = tcase_create("diagnose");
        tcase_add_test(t, zeros_are_zeroed);
        tcase_add_test(t, what_an_older_generation_wrote_is_stale_also_when_only_its_stamp_tells);
        tcase_add_test(t, new_up_to_a_sector_and_old_after_it_is_torn_there);
        tcase_add_test(t, old_up_to_a_sector_and_new_after_it_is_torn_too);
        tcase_add_test(t, a_unit_of_another_place_is_misdirected_and_its_place_is_named);
        tcase_add_test(t, two_sectors_that_changed_places_within_a_unit_are_misdirected);
        tcase_add_test(t, a_sector_of_another_unit_is_misdirected_and_its_place_is_named);
        tcase_add_test(t, a_unit_moved_by_a_sector_is_misdirected);
        tcase_add_test(t, up_to_256_flipped_bits_of_a_sector_are_counted_exactly);
        tcase_add_test(t, flipped_bits_in_several_sectors_add_up);
        tcase_add_test(t, too_many_flipped_bits_are_garbage);
        tcase_add_test(t, noise_is_garbage_and_not_ours_unless_a_sector_is);
        tcase_add_test(t, a_sector_for_a_place_beyond_the_end_is_garbage);
        tcase_add_test(t, of_several_faults_in_a_unit_the_most_telling_names_it);
        tcase_add_test(t, a_unit_of_another_target_is_foreign_and_not_ours);
        tcase_add_test(t, a_lone_foreign_stamp_is_foreign);
        tcase_add_test(t, somebodys_data_beside_a_misplaced_sector_is_strange);
        tcase_add_test(t, what_looks_like_somebodys_data_is_foreign_and_says_why);
        tcase_add_test(t, flipped_bits_are_those_of_the_flipped_sector_also_where_two_generations_may_be);
        tcase_add_test(t, one_bad_sector_is_told_among_mixed_candidates);
        tcase_add_test(t, a_short_or_partial_unit_is_judged_by_what_there_is);
        tcase_add_test(t, beside_a_fixed_pattern_each_kind_of_damage_has_its_name);
        tcase_add_test(t, a_pattern_that_was_never_there_is_no_older_write);
        tcase_add_test(t, somebodys_records_beside_zeros_or_ones_are_foreign);
        tcase_add_test(t, the_sample_shows_the_first_difference);
        tcase_add_test(t, a_unit_is_self_consistent_only_as_a_whole_and_at_its_place);
        return suite_run("diagnose", t);
}
