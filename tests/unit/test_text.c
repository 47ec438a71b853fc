/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and spans decide what is overwritten and when: what isn't exactly one of them must be refused. */
#include "base/text.h"
#include "suite.h"

#include <errno.h>
#include <string.h>
#include <time.h>

START_TEST(a_copy_always_ends_within_its_room) {
        char buffer[8];
        memset(buffer, 'x', sizeof buffer);
        ck_assert(text_copy(buffer, 5, "four"));
        ck_assert_str_eq(buffer, "four");
        ck_assert(!text_copy(buffer, 4, "four"));
        ck_assert_str_eq(buffer, "fou");
        ck_assert(!text_copy(buffer, 1, "four"));
        ck_assert_str_eq(buffer, "");
        ck_assert_int_eq(buffer[5], 'x');
}
END_TEST

START_TEST(format_and_append_say_whether_it_fitted) {
        char buffer[8] = "";
        ck_assert(text_append(buffer, sizeof buffer, "%d-", 12));
        ck_assert(text_append(buffer, sizeof buffer, "%s", "3456"));
        ck_assert_str_eq(buffer, "12-3456");
        ck_assert(!text_append(buffer, sizeof buffer, "7"));
        ck_assert_str_eq(buffer, "12-3456");
        ck_assert(!text_format(buffer, sizeof buffer, "%s", "12345678"));
        ck_assert_str_eq(buffer, "1234567");
}
END_TEST

START_TEST(sizes_are_binary_multiples) {
        static const struct {
                const char *text;
                uint64_t bytes;
        } good[] = { { "0", 0 }, { "512", 512 }, { "256K", 256 << 10 }, { "1M", 1 << 20 }, { "2G", UINT64_C(2) << 30 },
                { "1T", UINT64_C(1) << 40 }, { "007", 7 }, { "9223372036854775807", INT64_MAX },
                { "8388607T", UINT64_C(8388607) << 40 } };
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
                uint64_t bytes = 0;
                ck_assert_int_eq(text_parse_size(&bytes, good[i].text), 0);
                ck_assert_uint_eq(bytes, good[i].bytes);
        }
}
END_TEST

START_TEST(what_is_not_a_size_is_refused_and_leaves_the_result_alone) {
        static const char *const bad[] = { "", " 1", "1 ", "-1", "+1", "K", "1k", "1KB", "1KiB", "0x10", "1.5G", "1P",
                "1 G", "1G1", "30d", "\xff" };
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                uint64_t bytes = 77;
                ck_assert_msg(text_parse_size(&bytes, bad[i]) == -EINVAL, "\"%s\"", bad[i]);
                ck_assert_uint_eq(bytes, 77);
        }
        static const char *const large[] = { "9223372036854775808", "18446744073709551616", "8388608T",
                "99999999999999999999999999", "18446744073709551615T" };
        for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
                uint64_t bytes = 77;
                ck_assert_msg(text_parse_size(&bytes, large[i]) == -ERANGE, "\"%s\"", large[i]);
                ck_assert_uint_eq(bytes, 77);
        }
}
END_TEST

START_TEST(spans_are_microseconds_and_need_their_unit) {
        uint64_t us = 0;
        static const uint64_t second = 1000000;
        ck_assert(text_parse_span(&us, "250ms") == 0 && us == second / 4);
        ck_assert(text_parse_span(&us, "30s") == 0 && us == 30 * second);
        ck_assert(text_parse_span(&us, "15m") == 0 && us == 900 * second);
        ck_assert(text_parse_span(&us, "12h") == 0 && us == 43200 * second);
        ck_assert(text_parse_span(&us, "30d") == 0 && us == 2592000 * second);
        ck_assert(text_parse_span(&us, "2w") == 0 && us == 1209600 * second);
        ck_assert_int_eq(text_parse_span(&us, "30"), -EINVAL);
        ck_assert_int_eq(text_parse_span(&us, "1M"), -EINVAL);
        ck_assert_int_eq(text_parse_span(&us, "never"), -EINVAL);
        ck_assert_int_eq(text_parse_span(&us, "1h30m"), -EINVAL);
        ck_assert_int_eq(text_parse_span(&us, "99999999999999w"), -ERANGE);
}
END_TEST

static void assert_size(uint64_t bytes, const char *expected) {
        char text[32];
        text_format_size(text, sizeof text, bytes);
        ck_assert_str_eq(text, expected);
}

START_TEST(sizes_read_well) {
        assert_size(0, "0 B");
        assert_size(1023, "1023 B");
        assert_size(1024, "1.0 KiB");
        assert_size(4096, "4.0 KiB");
        assert_size((1 << 20) - 1, "1.0 MiB");
        assert_size(1099366352964, "1.0 TiB");
        assert_size(UINT64_C(3) << 39, "1.5 TiB");
        assert_size(UINT64_C(200) << 30, "200 GiB");
        assert_size(UINT64_MAX, "16.0 EiB");
}
END_TEST

START_TEST(a_formatted_size_is_right_to_its_last_digit) {
        static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
        for (uint64_t seed = 0; seed < 20000; seed++) {
                uint64_t state = seed, bytes = suite_random(&state) >> (suite_random(&state) % 54);
                if (bytes < 1024)
                        continue;
                char text[32], unit[8];
                double value, factor = 1;
                text_format_size(text, sizeof text, bytes);
                ASSERT_SEEDED(seed, sscanf(text, "%lf %7s", &value, unit) == 2);
                for (size_t i = 0; i < 6; i++) {
                        factor *= 1024;
                        if (strcmp(units[i], unit) == 0)
                                break;
                }
                double error = value * factor / (double)bytes - 1;
                ASSERT_SEEDED(seed, value < 1024 && error < 0.051 && error > -0.051);
        }
}
END_TEST

static void assert_span(uint64_t seconds, const char *expected) {
        char text[32];
        text_format_span(text, sizeof text, seconds * 1000000 + 999999);
        ck_assert_str_eq(text, expected);
}

START_TEST(spans_read_well) {
        assert_span(0, "0 s");
        assert_span(59, "59 s");
        assert_span(60, "1 min");
        assert_span(3599, "59 min");
        assert_span(7800, "2 h 10 min");
        assert_span(86399, "23 h 59 min");
        assert_span(442800, "5 d 3 h");
}
END_TEST

START_TEST(spans_are_written_as_they_are_read) {
        static const char *const keys[] = { "1s", "90s", "5m", "3h", "36h", "30d", "0d" };
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
                uint64_t span_us;
                char text[32];
                ck_assert_int_eq(text_parse_span(&span_us, keys[i]), 0);
                text_format_span_key(text, sizeof text, span_us);
                ck_assert_str_eq(text, keys[i]);
        }
}
END_TEST

START_TEST(local_time_is_that_of_the_zone) {
        char text[32];
        ck_assert_int_eq(setenv("TZ", "UTC-2", 1), 0);
        tzset();
        text_format_local(text, sizeof text, UINT64_C(1795348800000000)); /* 2026-11-22, 12:00 UTC */
        ck_assert_str_eq(text, "Sun 2026-11-22 14:00");
        text_format_local(text, sizeof text, UINT64_MAX);
        ck_assert_uint_lt(strlen(text), sizeof text);
}
END_TEST

START_TEST(the_nearest_word_is_a_slip_away) {
        static const char *const words[] = { "block_size", "queue_depth", "segment", "every", "name", NULL };
        ck_assert_str_eq(text_nearest("block_sise", words), "block_size");
        ck_assert_str_eq(text_nearest("blocksize", words), "block_size");
        ck_assert_str_eq(text_nearest("nmae", words), "name");
        ck_assert_str_eq(text_nearest("evry", words), "every");
        ck_assert_str_eq(text_nearest("segment", words), "segment");
        ck_assert_ptr_null(text_nearest("write_limit", words));
        ck_assert_ptr_null(text_nearest("windows", words));
        static const char *const alike[] = { "segments", "segment", "segmen", NULL };
        ck_assert_str_eq(text_nearest("segment", alike), "segment");
        ck_assert_str_eq(text_nearest("segmentss", alike), "segments");
        static const char *const none[] = { NULL };
        ck_assert_ptr_null(text_nearest("anything", none));
}
END_TEST

/* A third of the longest word that text_nearest() looks at. */
enum { SLIPS_MAX = 21 };

START_TEST(any_word_of_any_length_has_an_answer) {
        static const char *const words[] = { "name", "path", "destroys_data", NULL };
        for (uint64_t seed = 0; seed < 5000; seed++) {
                uint64_t state = seed;
                char word[300];
                size_t length = suite_random(&state) % sizeof word;
                for (size_t i = 0; i < length; i++)
                        word[i] = (char)(1 + suite_random(&state) % 255);
                word[length ? length - 1 : 0] = '\0';
                const char *nearest = text_nearest(word, words);
                ASSERT_SEEDED(seed, nearest == NULL || strlen(word) <= strlen(nearest) + SLIPS_MAX);
        }
}
END_TEST

START_TEST(what_stands_before_a_suffix_is_taken_if_there_is_any) {
        char name[8] = "";
        ck_assert(text_before_suffix(name, sizeof name, "d0.undo", ".undo"));
        ck_assert_str_eq(name, "d0");
        ck_assert(!text_before_suffix(name, sizeof name, ".undo", ".undo"));
        ck_assert(!text_before_suffix(name, sizeof name, "undo", ".undo"));
        ck_assert(!text_before_suffix(name, sizeof name, "d0.undo.new", ".undo"));
        ck_assert(!text_before_suffix(name, sizeof name, "too-long.undo", ".undo"));
}
END_TEST

int main(void) {
        TCase *t = tcase_create("text");
        tcase_add_test(t, a_copy_always_ends_within_its_room);
        tcase_add_test(t, format_and_append_say_whether_it_fitted);
        tcase_add_test(t, sizes_are_binary_multiples);
        tcase_add_test(t, what_is_not_a_size_is_refused_and_leaves_the_result_alone);
        tcase_add_test(t, spans_are_microseconds_and_need_their_unit);
        tcase_add_test(t, sizes_read_well);
        tcase_add_test(t, a_formatted_size_is_right_to_its_last_digit);
        tcase_add_test(t, spans_read_well);
        tcase_add_test(t, spans_are_written_as_they_are_read);
        tcase_add_test(t, local_time_is_that_of_the_zone);
        tcase_add_test(t, the_nearest_word_is_a_slip_away);
        tcase_add_test(t, any_word_of_any_length_has_an_answer);
        tcase_add_test(t, what_stands_before_a_suffix_is_taken_if_there_is_any);
        return suite_run("text", t);
}
