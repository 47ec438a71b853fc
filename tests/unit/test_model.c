/* SPDX-License-Identifier: Apache-2.0 */
/* The records: names that are stored and sent, facts in a bounded text, keys that must differ, extents. */
#include "suite.h"

#include "base/cleanup.h"
#include "model/device_config.h"
#include "model/device_record.h"
#include "model/event.h"
#include "model/extent.h"
#include "model/finding.h"
#include "model/identity.h"
#include "model/pattern_list.h"
#include "model/reason.h"
#include "model/subject.h"
#include "model/sweep_record.h"

#include <string.h>

START_TEST(a_list_of_patterns_is_the_same_in_words) {
        struct pattern_list list = { 0 }, back;
        char text[PATTERN_LIST_TEXT_BYTES];
        for (unsigned byte = 0; byte < PATTERN_LIST_MAX; byte++) {
                char word[PATTERN_TEXT_BYTES];
                pattern_format(word, (uint8_t)(byte * 17));
                ck_assert_int_eq(pattern_list_add(&list, word), PATTERN_LIST_OK);
                pattern_list_format(text, &list);
                ck_assert(pattern_list_parse(&back, text));
                ck_assert(pattern_list_is(&back, &list));
        }
        ck_assert_int_eq(pattern_list_add(&list, "0x01"), PATTERN_LIST_E_FULL);
        ck_assert(pattern_list_parse(&back, "") && back.count == 0);
        static const char *const wrong[] = { ",", "0xaa,", ",0xaa", "0xaa,,0x55", "0xaa 0x55", "0xaa,0xaa", "0xa",
                "0xaaa", "aa", "0Xaa", "0x-1", "0x 1", " 0xaa", "none" };
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
                ck_assert_msg(!pattern_list_parse(&back, wrong[i]), "%s", wrong[i]);
}
END_TEST

START_TEST(every_name_that_is_read_back_means_the_same) {
        for (int i = 0; i < MODE_COUNT; i++) {
                enum sweep_mode mode = MODE_COUNT;
                ck_assert_int_eq(sweep_mode_from_name(&mode, sweep_mode_name((enum sweep_mode)i)), 0);
                ck_assert_int_eq(mode, i);
        }
        for (int i = 0; i < FAULT_COUNT; i++) {
                enum fault fault = FAULT_COUNT;
                ck_assert(fault_from_name(&fault, fault_name((enum fault)i)) && (int)fault == i);
        }
        for (int i = 0; i < PERSISTENCE_COUNT; i++) {
                enum persistence persistence = PERSISTENCE_COUNT;
                ck_assert(persistence_from_name(&persistence, persistence_name((enum persistence)i)));
                ck_assert_int_eq(persistence, i);
        }
        for (int i = 0; i < FINDING_STATE_COUNT; i++) {
                enum finding_state state = FINDING_STATE_COUNT;
                ck_assert(finding_state_from_name(&state, finding_state_name((enum finding_state)i)));
                ck_assert_int_eq(state, i);
        }
        for (int i = 0; i < VERDICT_COUNT; i++) {
                enum verdict verdict = VERDICT_COUNT;
                ck_assert(verdict_from_name(&verdict, verdict_name((enum verdict)i)) && (int)verdict == i);
        }
        for (int i = ASSURANCE_NONE + 1; i < ASSURANCE_COUNT; i++) {
                enum assurance assurance = ASSURANCE_COUNT;
                ck_assert(assurance_from_name(&assurance, assurance_name((enum assurance)i)));
                ck_assert_int_eq(assurance, i);
        }
        for (int i = END_NONE + 1; i < END_COUNT; i++) {
                enum sweep_end end = END_COUNT;
                ck_assert(sweep_end_from_name(&end, sweep_end_name((enum sweep_end)i)) && (int)end == i);
        }
}
END_TEST

START_TEST(every_value_has_a_name_and_no_two_the_same) {
        const char *names[5][32] = { { 0 } };
        for (int i = 0; i < DEVICE_STATE_COUNT; i++)
                names[0][i] = device_state_name((enum device_state)i);
        for (int i = 0; i < EVENT_COUNT; i++)
                names[1][i] = event_kind_name((enum event_kind)i);
        for (int i = 0; i < TARGET_KIND_COUNT; i++)
                names[2][i] = target_kind_name((enum target_kind)i);
        for (int i = 0; i < PHASE_COUNT; i++)
                names[3][i] = sweep_phase_name((enum sweep_phase)i);
        for (int i = 0; i < PACE_RULE_COUNT - 1; i++) /* the first has none */
                names[4][i] = pace_rule_name((enum pace_rule)(i + 1));
        static const int counts[] = { DEVICE_STATE_COUNT, EVENT_COUNT, TARGET_KIND_COUNT, PHASE_COUNT,
                PACE_RULE_COUNT - 1 };
        for (size_t t = 0; t < ELEMENTS(counts); t++)
                for (int i = 0; i < counts[t]; i++) {
                        ck_assert_ptr_nonnull(names[t][i]);
                        for (int j = 0; j < i; j++)
                                ck_assert_str_ne(names[t][i], names[t][j]);
                }
        ck_assert_ptr_null(assurance_name(ASSURANCE_NONE));
        ck_assert_ptr_null(sweep_end_name(END_NONE));
        ck_assert_ptr_null(pace_rule_name(PACE_RULE_UNKNOWN));
}
END_TEST

START_TEST(a_name_that_does_not_exist_changes_nothing) {
        static const char *const words[] = { "", "Read", "read ", "patterns", "clean (verified)" };
        for (size_t i = 0; i < ELEMENTS(words); i++) {
                enum sweep_mode mode = MODE_PATTERN;
                enum fault fault = FAULT_STALE;
                enum persistence persistence = PERSISTENCE_REPAIRED;
                enum finding_state state = FINDING_RETIRED;
                enum verdict verdict = VERDICT_FAULTY;
                enum assurance assurance = ASSURANCE_READABLE;
                enum sweep_end end = END_FAILED;
                ck_assert_int_lt(sweep_mode_from_name(&mode, words[i]), 0);
                ck_assert(!fault_from_name(&fault, words[i]) && fault == FAULT_STALE);
                ck_assert(!persistence_from_name(&persistence, words[i]) && persistence == PERSISTENCE_REPAIRED);
                ck_assert(!finding_state_from_name(&state, words[i]) && state == FINDING_RETIRED);
                ck_assert(!verdict_from_name(&verdict, words[i]) && verdict == VERDICT_FAULTY);
                ck_assert(!assurance_from_name(&assurance, words[i]) && assurance == ASSURANCE_READABLE);
                ck_assert(!sweep_end_from_name(&end, words[i]) && end == END_FAILED);
                ck_assert_int_eq(mode, MODE_PATTERN);
        }
}
END_TEST

/* The value of a fact, or NULL; from the walk that every reader does. */
static const char *fact(const struct detail *detail, const char *wanted) {
        static char value[FINDING_DETAIL_BYTES];
        char key[FINDING_DETAIL_BYTES];
        const char *cursor = detail->lines;
        while (detail_next(&cursor, key, sizeof key, value, sizeof value))
                if (strcmp(key, wanted) == 0)
                        return value;
        return NULL;
}

START_TEST(facts_come_back_in_order_and_the_last_one_counts) {
        struct detail detail = { 0 };
        ck_assert_ptr_null(fact(&detail, "bits"));
        detail_set(&detail, "bits", "%d", 2);
        detail_set(&detail, "bit", "%s", "a=b");
        detail_set(&detail, "empty", "%s", "");
        ck_assert_str_eq(detail.lines, "bits=2\nbit=a=b\nempty=\n");
        detail_set(&detail, "bits", "%d", 33);
        ck_assert_str_eq(detail.lines, "bit=a=b\nempty=\nbits=33\n");
        ck_assert_str_eq(fact(&detail, "bit"), "a=b");
        ck_assert_str_eq(fact(&detail, "empty"), "");
        ck_assert_ptr_null(fact(&detail, "it"));
}
END_TEST

START_TEST(a_value_can_not_forge_another_fact) {
        struct detail detail = { 0 };
        detail_set(&detail, "text", "%s", "one\nbits=9\r\t\x1b\x7f");
        ck_assert_str_eq(detail.lines, "text=one?bits=9????\n");
        ck_assert_ptr_null(fact(&detail, "bits"));
}
END_TEST

START_TEST(a_fact_is_kept_whole_or_not_at_all) {
        for (uint64_t seed = 1; seed <= 300; seed++) {
                uint64_t random = seed;
                struct detail detail = { 0 };
                char lengths[16] = { 0 };
                for (int i = 0; i < 60; i++) {
                        char key[2] = { (char)('a' + suite_random(&random) % 16), '\0' }, value[128];
                        size_t length = suite_random(&random) % 120;
                        memset(value, key[0], length);
                        value[length] = '\0';
                        size_t before = strlen(detail.lines);
                        const char *old = fact(&detail, key);
                        size_t freed = old ? strlen(old) + 3 : 0;
                        detail_set(&detail, key, "%s", value);
                        bool fits = before - freed + length + 3 < sizeof detail.lines;
                        const char *now = fact(&detail, key);
                        ASSERT_SEEDED(seed, fits ? now && strcmp(now, value) == 0 : !now);
                        lengths[key[0] - 'a'] = (char)(fits ? length + 1 : 0);
                }
                for (int i = 0; i < 16; i++) {
                        char key[2] = { (char)('a' + i), '\0' };
                        const char *now = fact(&detail, key);
                        ASSERT_SEEDED(seed, (now ? strlen(now) + 1 : 0) == (size_t)lengths[i]);
                }
        }
}
END_TEST

START_TEST(a_value_longer_than_all_room_is_left_out) {
        struct detail detail = { 0 };
        char value[2 * FINDING_DETAIL_BYTES];
        memset(value, 'v', sizeof value);
        value[sizeof value - 1] = '\0';
        detail_set(&detail, "a", "%s", "1");
        detail_set(&detail, "long", "%s", value);
        ck_assert_str_eq(detail.lines, "a=1\n");
}
END_TEST

START_TEST(a_reader_with_little_room_gets_the_beginning) {
        struct detail detail = { 0 };
        detail_set(&detail, "generation", "%s", "123456");
        detail_set(&detail, "b", "%s", "2");
        char key[4], value[4];
        const char *cursor = detail.lines;
        ck_assert(detail_next(&cursor, key, sizeof key, value, sizeof value));
        ck_assert_str_eq(key, "gen");
        ck_assert_str_eq(value, "123");
        ck_assert(detail_next(&cursor, key, sizeof key, value, sizeof value));
        ck_assert_str_eq(key, "b");
        ck_assert(!detail_next(&cursor, key, sizeof key, value, sizeof value));
}
END_TEST

START_TEST(lines_that_are_damaged_end_the_walk) {
        static const char *const damaged[] = { "nothing", "key=value without an end", "=", "\n\n" };
        for (size_t i = 0; i < ELEMENTS(damaged); i++) {
                char key[8], value[8];
                const char *cursor = damaged[i];
                ck_assert(!detail_next(&cursor, key, sizeof key, value, sizeof value));
        }
}
END_TEST

START_TEST(different_targets_have_different_keys) {
        static const struct {
                struct identity identity;
                const char *path;
        } targets[] = {
                { { .kind = TARGET_KIND_DISK, .wwn = "0x5000", .serial = "S", .model = "M" }, "/dev/sda" },
                { { .kind = TARGET_KIND_DISK, .wwn = "0x5001", .serial = "S", .model = "M" }, "/dev/sda" },
                { { .kind = TARGET_KIND_DISK, .serial = "0x5000", .model = "M" }, "/dev/sda" },
                { { .kind = TARGET_KIND_DISK, .serial = "S", .model = "M" }, "/dev/sda" },
                { { .kind = TARGET_KIND_DISK, .serial = "S", .model = "N" }, "/dev/sda" },
                { { .kind = TARGET_KIND_DISK, .serial = "B/C", .model = "A" }, "/dev/sda" },
                { { .kind = TARGET_KIND_DISK, .serial = "C", .model = "A/B" }, "/dev/sda" },
                { { .kind = TARGET_KIND_DISK }, "/dev/sda" },
                { { .kind = TARGET_KIND_DISK }, "/dev/sdb" },
                { { .kind = TARGET_KIND_PARTITION, .wwn = "0x5000", .partuuid = "p-1" }, "/dev/sda1" },
                { { .kind = TARGET_KIND_PARTITION, .wwn = "0x5000", .partuuid = "p-2" }, "/dev/sda1" },
                { { .kind = TARGET_KIND_PARTITION, .wwn = "0x5000", .partition_offset_bytes = 1048576 }, "/dev/sda1" },
                { { .kind = TARGET_KIND_PARTITION, .wwn = "0x5000", .partition_offset_bytes = 2097152 }, "/dev/sda1" },
                { { .kind = TARGET_KIND_PARTITION, .backing_file = "/x", .partition_offset_bytes = 512 }, "/dev/l0p1" },
                { { .kind = TARGET_KIND_LOOP, .backing_file = "/x@512" }, "/dev/loop0" },
                { { .kind = TARGET_KIND_LOOP, .backing_file = "/x" }, "/dev/loop0" },
                { { .kind = TARGET_KIND_LOOP }, "/x" },
        };
        static char keys[ELEMENTS(targets)][IDENTITY_KEY_BYTES];
        for (size_t i = 0; i < ELEMENTS(targets); i++) {
                identity_key(keys[i], &targets[i].identity, targets[i].path);
                ck_assert_uint_gt(strlen(keys[i]), 0);
                for (size_t j = 0; j < i; j++)
                        ck_assert_str_ne(keys[i], keys[j]);
        }
}
END_TEST

START_TEST(a_target_with_an_identity_keeps_its_key_under_another_path) {
        static const struct identity identities[] = {
                { .kind = TARGET_KIND_DISK, .wwn = "0x5000" },
                { .kind = TARGET_KIND_DISK, .serial = "S" },
                { .kind = TARGET_KIND_LOOP, .backing_file = "/image" },
                { .kind = TARGET_KIND_PARTITION, .partuuid = "p" },
                { .kind = TARGET_KIND_PARTITION, .wwn = "0x5000", .partition_offset_bytes = 512 },
        };
        static char one[IDENTITY_KEY_BYTES], other[IDENTITY_KEY_BYTES];
        for (size_t i = 0; i < ELEMENTS(identities); i++) {
                identity_key(one, &identities[i], "/dev/sda");
                identity_key(other, &identities[i], "/dev/disk/by-id/b");
                ck_assert_str_eq(one, other);
        }
}
END_TEST

START_TEST(the_longest_identity_fits_its_key) {
        static struct identity identity = { .kind = TARGET_KIND_PARTITION, .partition_offset_bytes = UINT64_MAX };
        memset(identity.backing_file, 'f', sizeof identity.backing_file - 1);
        static char key[IDENTITY_KEY_BYTES], other[IDENTITY_KEY_BYTES];
        identity_key(key, &identity, "/dev/sda1");
        identity.partition_offset_bytes--;
        identity_key(other, &identity, "/dev/sda1");
        ck_assert_str_ne(key, other);
        identity.partition_offset_bytes++;
        identity.backing_file[sizeof identity.backing_file - 2] = 'g';
        identity_key(other, &identity, "/dev/sda1");
        ck_assert_str_ne(key, other);
}
END_TEST

START_TEST(the_most_specific_name_depends_on_the_kind) {
        struct identity identity = { .wwn = "w", .serial = "s", .partuuid = "p", .backing_file = "/f" };
        static const struct {
                enum target_kind kind;
                const char *name;
        } expected[] = { { TARGET_KIND_DISK, "w" }, { TARGET_KIND_PARTITION, "p" }, { TARGET_KIND_LOOP, "/f" },
                { TARGET_KIND_FILE, "/f" }, { TARGET_KIND_MAPPER, "w" } };
        for (size_t i = 0; i < ELEMENTS(expected); i++) {
                identity.kind = expected[i].kind;
                ck_assert_str_eq(identity_most_specific(&identity), expected[i].name);
        }
        identity.kind = TARGET_KIND_DISK;
        identity.wwn[0] = '\0';
        ck_assert_str_eq(identity_most_specific(&identity), "s");
        identity.kind = TARGET_KIND_PARTITION;
        identity.partuuid[0] = '\0';
        ck_assert_str_eq(identity_most_specific(&identity), ""); /* the disk's name would allow too much */
}
END_TEST

START_TEST(a_segment_is_not_cut_into_what_a_cache_holds_nor_below_a_hundredth_nor_against_the_configuration) {
        struct device_config *config = NULL;
        ck_assert_int_eq(device_config_new(&config, "disk-1", "/dev/x"), 0);
        const uint64_t gib = 1 << 30;
        ck_assert_uint_eq(device_config_segment_least_bytes(config, MODE_PATTERN, 0), gib);
        ck_assert_uint_eq(device_config_segment_least_bytes(config, MODE_PATTERN, 1), gib / 2);
        ck_assert_uint_eq(device_config_segment_least_bytes(config, MODE_PATTERN, 50 * gib), gib / 2);
        ck_assert_uint_eq(device_config_segment_least_bytes(config, MODE_PATTERN, 75 * gib), gib / 4 * 3);
        ck_assert_uint_eq(device_config_segment_least_bytes(config, MODE_PATTERN, 75 * gib + 4096), gib / 4 * 3);
        ck_assert_uint_eq(device_config_segment_least_bytes(config, MODE_PATTERN, 100 * gib), gib);
        ck_assert_uint_eq(device_config_segment_least_bytes(config, MODE_PATTERN, 20000 * gib), gib);
        ck_assert_uint_eq(device_config_segment_least_bytes(config, MODE_REFRESH, 1), gib / 2);
        config->segment_bytes = 64 << 20;
        ck_assert_uint_eq(device_config_segment_least_bytes(config, MODE_PATTERN, 1), 64 << 20);
        config->segment_bytes = 4 * gib;
        ck_assert_uint_eq(device_config_segment_least_bytes(config, MODE_PATTERN, 1), 4 * gib);
        device_config_unref(config);
}
END_TEST

START_TEST(a_configuration_lives_as_long_as_its_last_reference) {
        struct device_config *config = NULL;
        ck_assert_int_eq(device_config_new(&config, "disk-1", "/dev/x"), 0);
        ck_assert_uint_eq(config->references, 1);
        ck_assert_str_eq(config->name, "disk-1");
        ck_assert_str_eq(config->path, "/dev/x");
        ck_assert_int_eq(config->mode, MODE_READ);
        ck_assert_uint_eq(config->block_size_bytes, 512 << 10);
        ck_assert_uint_eq(device_config_segment_bytes(config, MODE_PATTERN), UINT64_C(1) << 30);
        ck_assert_uint_eq(device_config_segment_bytes(config, MODE_REFRESH), UINT64_C(512) << 20);
        config->serial = strdup("s");
        config->destroys_data = strdup("d");
        config->journal = strdup("/j");
        for (int i = 0; i < 5; i++)
                ck_assert_ptr_eq(device_config_ref(config), config);
        for (int i = 0; i < 5; i++) {
                ck_assert_ptr_null(device_config_unref(config));
                ck_assert_str_eq(config->path, "/dev/x");
        }
        ck_assert_uint_eq(config->references, 1);
        ck_assert_ptr_null(device_config_unref(config)); /* a leak here is one for the address sanitizer */
        ck_assert_ptr_null(device_config_unref(NULL));
}
END_TEST

START_TEST(a_reason_that_is_too_long_is_cut_off) {
        struct reason reason;
        char lots[2 * REASON_TEXT_BYTES];
        memset(lots, 'r', sizeof lots);
        lots[sizeof lots - 1] = '\0';
        reason_set(&reason, lots, lots, "%s", lots);
        ck_assert_uint_eq(strlen(reason.rule), REASON_RULE_BYTES - 1);
        ck_assert_uint_eq(strlen(reason.found), REASON_TEXT_BYTES - 1);
        ck_assert_uint_eq(strlen(reason.remedy), REASON_TEXT_BYTES - 1);
}
END_TEST

/* The bytes of an extent within the first 64, one bit each: the oracle for the arithmetic. */
static uint64_t bytes_of(struct extent e) {
        uint64_t bits = 0;
        for (uint64_t i = e.offset_bytes; i < extent_end(e); i++)
                bits |= BIT(i);
        return bits;
}

START_TEST(extents_agree_with_sets_of_bytes) {
        for (uint64_t seed = 1; seed <= 20000; seed++) {
                uint64_t random = seed;
                struct extent e[2];
                for (int i = 0; i < 2; i++) {
                        e[i].offset_bytes = suite_random(&random) % 64;
                        e[i].length_bytes = 1 + suite_random(&random) % (64 - e[i].offset_bytes);
                }
                uint64_t a = bytes_of(e[0]), b = bytes_of(e[1]);
                ASSERT_SEEDED(seed, extent_overlaps(e[0], e[1]) == ((a & b) != 0));
                ASSERT_SEEDED(seed, extent_contains(e[0], e[1]) == ((a & b) == b));
                ASSERT_SEEDED(seed, bytes_of(extent_common(e[0], e[1])) == (a & b));
                struct extent hull = extent_hull(e[0], e[1]);
                ASSERT_SEEDED(seed, (bytes_of(hull) & (a | b)) == (a | b));
                ASSERT_SEEDED(seed, ((a | b) & BIT(hull.offset_bytes)) != 0);
                ASSERT_SEEDED(seed, ((a | b) & BIT(extent_end(hull) - 1)) != 0);
        }
}
END_TEST

START_TEST(extents_reach_to_the_largest_offset) {
        struct extent low = { 0, UINT64_C(1) << 62 }, high = { UINT64_MAX - 4096, 4096 };
        ck_assert(!extent_overlaps(low, high));
        ck_assert_uint_eq(extent_end(extent_hull(low, high)), UINT64_MAX);
        ck_assert_uint_eq(extent_common(low, high).length_bytes, 0);
        ck_assert(extent_contains((struct extent){ 0, UINT64_MAX }, high));
}
END_TEST

static void add_detail_tests(TCase *tests) {
        tcase_add_test(tests, a_list_of_patterns_is_the_same_in_words);
        tcase_add_test(tests, facts_come_back_in_order_and_the_last_one_counts);
        tcase_add_test(tests, a_value_can_not_forge_another_fact);
        tcase_add_test(tests, a_fact_is_kept_whole_or_not_at_all);
        tcase_add_test(tests, a_value_longer_than_all_room_is_left_out);
        tcase_add_test(tests, a_reader_with_little_room_gets_the_beginning);
        tcase_add_test(tests, lines_that_are_damaged_end_the_walk);
}

START_TEST(what_was_seen_is_said_of_what_it_was_seen_of) {
        static const struct extent whole = { 0, 100 }, part = { 10, 20 };
        const struct {
                struct subject swept, now;
                enum subject_change change;
                bool replaced;
        } cases[] = {
                { { "wwn:a", 100, whole }, { "wwn:a", 100, whole }, SUBJECT_SAME, false },
                { { "wwn:a", 100, whole }, { "wwn:b", 100, whole }, SUBJECT_OTHER_TARGET, true },
                { { "wwn:a", 100, whole }, { "serial:1:M/S", 100, whole }, SUBJECT_OTHER_TARGET, true },
                { { "file:/x", 100, whole }, { "file:/y", 100, whole }, SUBJECT_OTHER_TARGET, true },
                { { "partition:5:wwn:a", 100, whole }, { "partition:6:wwn:a", 100, whole }, SUBJECT_OTHER_TARGET,
                        true },
                { { "wwn:a", 100, whole }, { "wwn:a", 200, part }, SUBJECT_OTHER_EXTENT, false },
                { { "wwn:a", 100, part }, { "wwn:a", 200, part }, SUBJECT_OTHER_EXTENT, false },
                { { "wwn:a", 100, whole }, { "wwn:a", 100, part }, SUBJECT_OTHER_EXTENT, false },
                /* A path is no identity: another size is another one, and nothing is certain. */
                { { "path:/dev/a", 100, whole }, { "path:/dev/a", 100, whole }, SUBJECT_SAME, false },
                { { "path:/dev/a", 100, whole }, { "path:/dev/a", 100, part }, SUBJECT_OTHER_EXTENT, false },
                { { "path:/dev/a", 100, part }, { "path:/dev/a", 200, part }, SUBJECT_OTHER_TARGET, false },
                { { "path:/dev/a", 100, whole }, { "path:/dev/b", 100, whole }, SUBJECT_OTHER_TARGET, false },
                { { "path:/dev/a", 100, whole }, { "wwn:a", 100, whole }, SUBJECT_OTHER_TARGET, false },
                { { "partition:5:path:/dev/a", 100, whole }, { "wwn:a", 100, whole }, SUBJECT_OTHER_TARGET, false },
                /* What is not known, as of a ledger of before, or before a look, counts as the same. */
                { { NULL, 0, { 0, 0 } }, { "wwn:a", 100, whole }, SUBJECT_SAME, false },
                { { "wwn:a", 0, { 0, 0 } }, { "wwn:a", 100, whole }, SUBJECT_SAME, false },
                { { "wwn:a", 100, whole }, { NULL, 0, { 0, 0 } }, SUBJECT_SAME, false },
                { { "wwn:a", 100, whole }, { NULL, 100, part }, SUBJECT_OTHER_EXTENT, false },
        };
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                enum subject_change change = subject_compare(&cases[i].swept, &cases[i].now);
                ck_assert_msg(change == cases[i].change, "case %zu: %d", i, change);
                ck_assert_msg(subject_is_replaced(&cases[i].swept, &cases[i].now) == cases[i].replaced, "case %zu", i);
        }
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("model");
        tcase_add_test(tests, every_name_that_is_read_back_means_the_same);
        tcase_add_test(tests, every_value_has_a_name_and_no_two_the_same);
        tcase_add_test(tests, a_name_that_does_not_exist_changes_nothing);
        add_detail_tests(tests);
        tcase_add_test(tests, different_targets_have_different_keys);
        tcase_add_test(tests, a_target_with_an_identity_keeps_its_key_under_another_path);
        tcase_add_test(tests, the_longest_identity_fits_its_key);
        tcase_add_test(tests, the_most_specific_name_depends_on_the_kind);
        tcase_add_test(tests, what_was_seen_is_said_of_what_it_was_seen_of);
        tcase_add_test(tests,
                a_segment_is_not_cut_into_what_a_cache_holds_nor_below_a_hundredth_nor_against_the_configuration);
        tcase_add_test(tests, a_configuration_lives_as_long_as_its_last_reference);
        tcase_add_test(tests, a_reason_that_is_too_long_is_cut_off);
        tcase_add_test(tests, extents_agree_with_sets_of_bytes);
        tcase_add_test(tests, extents_reach_to_the_largest_offset);
        return suite_run("model", tests);
}
