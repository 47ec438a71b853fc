/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each test writes configuration files into a directory of its own and loads them. What is refused must be refused with
 * the file, the line and words that help; so the words are compared too, in part.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "plan/calendar.h"
#include "plan/settings.h"
#include "plan/utf8.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define DEVICE_A "{ name = \"a\"; path = \"/dev/nonexistent-a\"; }"

DEFINE_FREEP(struct settings, settings_free, settings_freep)

/* libconfig 1.5 loses the string that it was reading when it meets a syntax error: a few bytes that aren't ours. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
        return "leak:libconfig.so";
}

static char directory[64];
static struct settings_surroundings surroundings;
static struct settings_error last_error;

static void set_up(void) {
        snprintf(directory, sizeof directory, "/tmp/sweepd-settings-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(directory));
        ck_assert_int_eq(cpus_parse(&surroundings.cpus, "0-5"), 0);
        surroundings.state_directory = NULL;
}

static void tear_down(void) {
        char command[128];
        snprintf(command, sizeof command, "rm -r %s", directory);
        ck_assert_int_eq(system(command), 0);
}

/* Overwritten by the next call. */
static const char *in_directory(const char *name) {
        static char path[256];
        snprintf(path, sizeof path, "%s/%s", directory, name);
        return path;
}

static void write_bytes(const char *name, const char *bytes, size_t length) {
        FILE *f = fopen(in_directory(name), "w");
        ck_assert_ptr_nonnull(f);
        ck_assert_uint_eq(fwrite(bytes, 1, length, f), length);
        ck_assert_int_eq(fclose(f), 0);
}

static void write_file(const char *name, const char *text) {
        write_bytes(name, text, strlen(text));
}

static int load_file(struct settings **ret, const char *name) {
        memset(&last_error, 0, sizeof last_error);
        int r = settings_load(ret, &last_error, in_directory(name), &surroundings);
        if (r == SETTINGS_E_INVALID)
                ck_assert(last_error.text[0] && utf8_all_printable(last_error.text));
        return r;
}

static struct settings *loaded(const char *text) {
        struct settings *s = NULL;
        write_file("sweepd.conf", text);
        int r = load_file(&s, "sweepd.conf");
        ck_assert_msg(
                r == SETTINGS_OK, "%d: %s:%d: %s\n%s", r, last_error.file, last_error.line, last_error.text, text);
        return s;
}

static void assert_invalid_file(const char *name, const char *blamed, int line, const char *words) {
        struct settings *s = (struct settings *)1;
        ck_assert_int_eq(load_file(&s, name), SETTINGS_E_INVALID);
        ck_assert_ptr_eq(s, (struct settings *)1);
        ck_assert_msg(strstr(last_error.text, words) != NULL, "\"%s\" does not say \"%s\"", last_error.text, words);
        ck_assert_str_eq(last_error.file, in_directory(blamed));
        ck_assert_msg(last_error.line == line, "line %d, not %d: %s", last_error.line, line, last_error.text);
}

static void assert_invalid(const char *text, int line, const char *words) {
        write_file("sweepd.conf", text);
        assert_invalid_file("sweepd.conf", "sweepd.conf", line, words);
}

/* keys: of one device that has a name and a path, in the second line. */
static void assert_invalid_device(const char *keys, const char *words) {
        char text[1024];
        snprintf(text, sizeof text, "devices = ( { name = \"a\"; path = \"/dev/nonexistent-a\";\n%s } );\n", keys);
        assert_invalid(text, 2, words);
}

START_TEST(what_is_open_is_told_again_after_a_span_that_can_be_set) {
        struct settings *s = loaded("alerts = { repeat = \"7d\"; };\n");
        ck_assert_uint_eq(s->repeat_us, 7 * USEC_PER_DAY);
        settings_free(s);
        s = loaded("");
        ck_assert_uint_eq(s->repeat_us, USEC_PER_DAY);
        settings_free(s);
        assert_invalid("alerts = { repeat = 24; };", 1, "repeat: expected a span as a string, such as \"24h\"");
        assert_invalid("alerts = { repeat = \"0s\"; };", 1, "out of range: give \"1s\" to \"36500d\"");
        assert_invalid("alerts = { repaet = \"1d\"; };", 1, "did you mean \"repeat\"?");
        assert_invalid("alerts = \"24h\";", 1, "alerts = { repeat = \"24h\"; }");
}
END_TEST

START_TEST(history_is_a_span_of_at_least_a_day) {
        CLEANUP(settings_freep)
        struct settings *s = loaded("history = \"10w\";\n");
        ck_assert_uint_eq(s->history_us, 70 * USEC_PER_DAY);
        assert_invalid("history = 730;", 1, "history: expected a span as a string");
        assert_invalid("history = \"long\";", 1, "not a span");
        assert_invalid("history = \"23h\";", 1, "out of range: give \"1d\" to \"36500d\"");
        assert_invalid("history = \"36501d\";", 1, "out of range");
        assert_invalid("histori = \"1d\";", 1, "did you mean \"history\"?");
}
END_TEST

START_TEST(an_empty_file_is_idle_with_the_documented_defaults) {
        static const char *const empty[] = { "", "\n", "# nothing\n", "devices = ( );\n", "/* a */ // b\n" };
        for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
                CLEANUP(settings_freep)
                struct settings *s = loaded(empty[i]);
                ck_assert_uint_eq(s->device_count, 0);
                ck_assert_str_eq(s->state_dir, "/var/lib/sweepd");
                ck_assert_str_eq(s->control_socket, "/run/sweepd/control");
                ck_assert_uint_eq(s->workers, 4);
                ck_assert_uint_eq(s->concurrent_sweeps, 0);
                ck_assert_uint_eq(s->per_controller, 8);
                ck_assert_uint_eq(s->history_us, 730 * USEC_PER_DAY);
                ck_assert_str_eq(s->cpus_text, "0-5");
                ck_assert(CPU_EQUAL(&s->cpus, &surroundings.cpus));
        }
}
END_TEST

START_TEST(the_state_directory_comes_from_the_service_manager_unless_given) {
        surroundings.state_directory = "/var/lib/first:/var/lib/second";
        CLEANUP(settings_freep)
        struct settings *s = loaded("");
        ck_assert_str_eq(s->state_dir, "/var/lib/first");
        CLEANUP(settings_freep)
        struct settings *t = loaded("state_dir = \"/srv/state\";");
        ck_assert_str_eq(t->state_dir, "/srv/state");
}
END_TEST

START_TEST(global_keys_are_taken) {
        CLEANUP(settings_freep)
        struct settings *s = loaded(
                "state_dir = \"/srv/s\"; control_socket = \"/run/x\";\n"
                "verify = { workers = 3; cpus = \"1,4-5\"; }; limits = { concurrent_sweeps = 7; per_controller = 3; };\n");
        ck_assert_str_eq(s->state_dir, "/srv/s");
        ck_assert_str_eq(s->control_socket, "/run/x");
        ck_assert_uint_eq(s->workers, 3);
        ck_assert_str_eq(s->cpus_text, "1,4-5");
        ck_assert_int_eq(CPU_COUNT(&s->cpus), 3);
        ck_assert_uint_eq(s->concurrent_sweeps, 7);
        ck_assert_uint_eq(s->per_controller, 3);
}
END_TEST

START_TEST(the_keys_of_the_plan_are_taken) {
        CLEANUP(settings_freep)
        struct settings *s = loaded(
                "limits = { rate = \"1G\"; };\n"
                "defaults = { windows = [ \"Mon..Fri 22:00-06:00\", \"Sat,Sun\" ]; rate_max = \"1M\"; write_limit = 12; };\n"
                "devices = ( " DEVICE_A ",\n"
                "  { name = \"b\"; path = \"/dev/nonexistent-b\"; windows = [ ]; blackouts = ( \"Sun\" ); rate_min = \"4K\";\n"
                "    rate_max = \"none\"; write_limit = 0.5; offset = \"1M\"; length = \"8K\"; } );");
        const struct device_config *a = s->devices[0], *b = s->devices[1];
        ck_assert_uint_eq(s->rate_bytes, 1 << 30);
        ck_assert_uint_eq(calendar_week_minutes(a->calendar), (5 * 8 + 24 + 24 - 6) * 60);
        ck_assert_uint_eq(calendar_week_minutes(b->calendar), 6 * 24 * 60);
        ck_assert_uint_eq(a->rate_min_bytes, 1 << 20);
        ck_assert_uint_eq(a->rate_max_bytes, 1 << 20);
        ck_assert_uint_eq(b->rate_min_bytes, 4096);
        ck_assert_uint_eq(b->rate_max_bytes, 0);
        ck_assert_double_eq(a->write_limit, 12);
        ck_assert_double_eq(b->write_limit, 0.5);
        struct extent extent = device_config_extent(b, 2 << 20);
        ck_assert(extent.offset_bytes == 1 << 20 && extent.length_bytes == 8192);
        ck_assert_uint_eq(device_config_extent(b, (1 << 20) + 4096).length_bytes, 0);
        ck_assert_uint_eq(device_config_extent(b, 4096).length_bytes, 0);
}
END_TEST

START_TEST(a_plan_that_makes_no_sense_is_told) {
        assert_invalid_device("windows = \"Sat\";", "windows: expected a list, such as");
        assert_invalid_device("windows = [ 1 ];", "windows: expected strings");
        assert_invalid_device("windows = [ \"Sat\", \"Smurf\" ];", "windows: \"Smurf\": \"Smurf\" is no day");
        assert_invalid("devices = ( { name = \"a\"; path = \"/dev/x\"; windows = (\n\"Sat\",\n\"22-06\"); } );", 3,
                "\"22\" is no time of day");
        assert_invalid_device(
                "windows = [ \"Sat\" ]; blackouts = [ \"Fri..Mon\" ];", "they leave nothing of the windows");
        assert_invalid("defaults = { blackouts = [ \"Sat\" ]; };\n"
                       "devices = ( { name = \"a\"; path = \"/dev/x\"; windows = [ \"Sat\" ]; } );",
                1, "they leave nothing of the windows");
        assert_invalid_device("rate_max = \"1K\";", "rate_max: \"1K\" is out of range: give at least \"4K\" a second");
        assert_invalid_device("rate_max = \"fast\";", "rate_max: \"fast\" is not a rate");
        assert_invalid_device("rate_min = \"none\";", "rate_min: \"none\" is not a rate");
        assert_invalid_device("rate_min = \"2M\"; rate_max = \"1M\";", "rate_min: 2097152 bytes a second is more than");
        assert_invalid("limits = { rate = 5; };", 1, "rate: expected a rate as a string");
        assert_invalid_device("write_limit = \"12\";", "write_limit: expected a number");
        assert_invalid_device("write_limit = 0;", "write_limit: 0 is out of range");
        assert_invalid_device("write_limit = -1.5;", "write_limit: -1.5 is out of range");
        assert_invalid_device("offset = \"4097\";", "offset: 4097 bytes must be a multiple of 4096");
        assert_invalid_device("length = \"0\";", "length: 0 bytes is nothing to sweep");
        assert_invalid_device("offset = \"7000000T\"; length = \"7000000T\";", "ends behind the end of any device");
}
END_TEST

START_TEST(two_extents_of_one_device_may_not_overlap) {
        static const char form[] = "devices = ( { name = \"a\"; path = \"/dev/nonexistent\"; length = \"1M\"; },\n"
                                   "{ name = \"b\"; path = \"/dev/nonexistent\"; offset = \"%s\"; } );";
        char text[512];
        snprintf(text, sizeof text, form, "1020K");
        assert_invalid(
                text, 2, "the extents overlap: change offset or length; it is the same device as \"a\" in line 1");
        snprintf(text, sizeof text, form, "1M");
        CLEANUP(settings_freep)
        struct settings *s = loaded(text);
        ck_assert_uint_eq(s->device_count, 2);
}
END_TEST

START_TEST(there_are_as_many_workers_as_cpus_and_at_most_four) {
        CLEANUP(settings_freep)
        struct settings *one = loaded("verify = { cpus = \"2\"; };");
        ck_assert_uint_eq(one->workers, 1);
        CLEANUP(settings_freep)
        struct settings *five = loaded("verify = { cpus = \"0-4\"; };");
        ck_assert_uint_eq(five->workers, 4);
        CLEANUP(settings_freep)
        struct settings *none = loaded("verify = { workers = 0; };");
        ck_assert_uint_eq(none->workers, 0);
}
END_TEST

START_TEST(a_device_has_the_documented_defaults) {
        CLEANUP(settings_freep)
        struct settings *s = loaded("devices = (\n" DEVICE_A "\n);");
        ck_assert_uint_eq(s->device_count, 1);
        const struct device_config *d = s->devices[0];
        ck_assert_str_eq(d->name, "a");
        ck_assert_str_eq(d->path, "/dev/nonexistent-a");
        ck_assert_int_eq(d->mode, MODE_READ);
        ck_assert_ptr_null(d->serial);
        ck_assert_ptr_null(d->destroys_data);
        ck_assert_uint_eq(d->block_size_bytes, 512 << 10);
        ck_assert_uint_eq(d->queue_depth, 16);
        ck_assert_uint_eq(device_config_segment_bytes(d, MODE_PATTERN), 1 << 30);
        ck_assert_uint_eq(device_config_segment_bytes(d, MODE_REFRESH), 512 << 20);
        ck_assert_uint_eq(device_config_segment_bytes(d, MODE_PRESERVE), 512 << 20);
        ck_assert_uint_eq(d->settle_us, 60 * USEC_PER_SEC);
        ck_assert_ptr_null(d->journal);
        ck_assert_uint_eq(d->narrow_budget_us, 60 * USEC_PER_SEC);
        ck_assert_uint_eq(d->every_us, 30 * USEC_PER_DAY);
        ck_assert_uint_eq(d->io_timeout_us, 60 * USEC_PER_SEC);
        ck_assert_uint_eq(d->slow_after_us, 2 * USEC_PER_SEC);
        ck_assert(d->yield);
        ck_assert_ptr_null(d->calendar);
        struct extent all = device_config_extent(d, UINT64_C(1) << 40);
        ck_assert(all.offset_bytes == 0 && all.length_bytes == UINT64_C(1) << 40);
        ck_assert_uint_eq(d->rate_min_bytes, 8 << 20);
        ck_assert_uint_eq(d->rate_max_bytes, 0);
        ck_assert_double_eq(d->write_limit, 0);
        ck_assert_uint_eq(s->rate_bytes, 0);
        ck_assert_int_eq(d->line, 2);
}
END_TEST

START_TEST(every_device_key_is_taken) {
        CLEANUP(settings_freep)
        struct settings *s = loaded(
                "devices = ( { name = \"spare-7\"; path = \"/dev/nonexistent\"; mode = \"pattern\"; serial = \"ZA1234\";\n"
                "  destroys_data = \"0x5000c500a1b2c3d4\"; block_size = \"4M\"; queue_depth = 256; segment = \"64M\";\n"
                "  narrow_budget = \"5m\"; every = \"never\"; io_timeout = \"90s\"; journal = \"/srv/undo\";\n"
                "  settle = \"2m\"; slow_after = \"150ms\"; yield = false; } );");
        const struct device_config *d = settings_device(s, "spare-7");
        ck_assert_ptr_nonnull(d);
        ck_assert_int_eq(d->mode, MODE_PATTERN);
        ck_assert_str_eq(d->serial, "ZA1234");
        ck_assert_str_eq(d->destroys_data, "0x5000c500a1b2c3d4");
        ck_assert_uint_eq(d->block_size_bytes, 4 << 20);
        ck_assert_uint_eq(d->queue_depth, 256);
        ck_assert_uint_eq(d->segment_bytes, 64 << 20);
        ck_assert_uint_eq(device_config_segment_bytes(d, MODE_REFRESH), 64 << 20);
        ck_assert_str_eq(d->journal, "/srv/undo");
        ck_assert_uint_eq(d->settle_us, 120 * USEC_PER_SEC);
        ck_assert_uint_eq(d->narrow_budget_us, 300 * USEC_PER_SEC);
        ck_assert_uint_eq(d->io_timeout_us, 90 * USEC_PER_SEC);
        ck_assert_uint_eq(d->slow_after_us, 150 * USEC_PER_MSEC);
        ck_assert(!d->yield);
        ck_assert(d->every_us == EVERY_NEVER);
        ck_assert_ptr_null(settings_device(s, "spare-8"));
}
END_TEST

START_TEST(an_entry_with_match_stands_beside_the_devices_and_takes_the_defaults) {
        CLEANUP(settings_freep)
        struct settings *s = loaded(
                "defaults = { every = \"7d\"; };\n"
                "devices = ( { match = [ \"/dev/sd*\", \"/dev/disk/by-id/wwn-*\" ];\n"
                "  exclude = [ \"*-part*\" ]; block_size = \"1M\"; windows = [ \"Sat,Sun\" ]; },\n" DEVICE_A ");");
        ck_assert_uint_eq(s->device_count, 1);
        ck_assert_uint_eq(s->match_count, 1);
        const struct device_config *e = s->matches[0];
        ck_assert_str_eq(e->match[0], "/dev/sd*");
        ck_assert_str_eq(e->match[1], "/dev/disk/by-id/wwn-*");
        ck_assert_ptr_null(e->match[2]);
        ck_assert_str_eq(e->exclude[0], "*-part*");
        ck_assert_int_eq(e->mode, MODE_READ);
        ck_assert_uint_eq(e->every_us, 7 * USEC_PER_DAY);
        ck_assert_int_eq(e->line, 2);
        struct device_config *member;
        ck_assert_int_eq(device_config_member(&member, s->matches[0], "m-s", "/dev/sdb", "wwn:0x5"), 0);
        ck_assert_str_eq(member->name, "m-s");
        ck_assert_str_eq(member->path, "/dev/sdb");
        ck_assert_str_eq(member->key, "wwn:0x5");
        ck_assert_uint_eq(member->block_size_bytes, 1 << 20);
        ck_assert_ptr_null(member->match);
        s = settings_free(s); /* a reload: the member stays */
        ck_assert_ptr_nonnull(member->calendar);
        ck_assert(calendar_week_minutes(member->calendar) == 2 * 24 * 60);
        device_config_unref(member);
}
END_TEST

START_TEST(a_canary_has_a_size_in_whole_units_and_a_mode_for_files) {
        CLEANUP(settings_freep)
        struct settings *s = loaded(
                "devices = ( { name = \"c\"; path = \"/srv/nonexistent/canary\"; create_size = \"1G\";\n"
                "mode = \"pattern\"; destroys_data = \"/srv/nonexistent/canary\"; } );");
        ck_assert_uint_eq(s->devices[0]->create_size_bytes, 1 << 30);
#define CANARY "devices = (\n { name = \"c\"; path = \"/srv/nonexistent/canary\";\n "
        assert_invalid(CANARY "create_size = \"1025K\"; } );", 3, "must be a multiple of 4096 bytes");
        assert_invalid(CANARY "create_size = \"4K\"; } );", 3, "at least \"1M\"");
        assert_invalid(CANARY "create_size = 4096; } );", 3, "create_size: expected a size as a string");
        assert_invalid(
                CANARY "create_size = \"1M\"; mode = \"preserve\"; } );", 3, "a file has mode \"pattern\" or \"read\"");
        assert_invalid("defaults = { create_size = \"1M\"; };", 1, "create_size: can't be a default");
        assert_invalid("devices = (\n { match = [ \"/dev/sd*\" ]; create_size = \"1M\"; } );", 2,
                "create_size: can't be given beside match");
#undef CANARY
}
END_TEST

START_TEST(a_match_is_for_mode_read_and_has_nothing_of_a_single_disk) {
        assert_invalid(
                "devices = (\n { match = [ \"/dev/sd*\" ]; name = \"x\"; } );", 2, "name: can't be given beside match");
        assert_invalid(
                "devices = (\n { match = [ \"/dev/sd*\" ]; path = \"/dev/x\"; } );", 2, "path: can't be given beside");
        assert_invalid("devices = (\n { match = [ \"/dev/sd*\" ]; serial = \"x\"; } );", 2, "serial: can't be given");
        assert_invalid("devices = (\n { match = [ \"/dev/sd*\" ];\n mode = \"preserve\"; } );", 3, "are only read");
        assert_invalid("defaults = { mode = \"pattern\"; };\ndevices = (\n { match = [ \"/dev/sd*\" ]; } );", 3,
                "of the defaults is \"pattern\"");
        assert_invalid(
                "devices = (\n { name = \"x\"; path = \"/dev/x\"; exclude = [ \"*\" ]; } );", 2, "belongs to match");
        assert_invalid("devices = (\n { match = [ \"sd*\" ]; } );", 2, "begin it with /dev/");
        assert_invalid(
                "devices = (\n { match = [ \"/dev/sd*\" ]; exclude = [ \"sda\" ]; } );", 2, "begin it with /dev/ or *");
        assert_invalid("devices = (\n { match = [ ]; } );", 2, "give 1 to");
        assert_invalid("devices = (\n { match = \"/dev/sd*\"; } );", 2, "expected an array of strings");
        assert_invalid("devices = (\n { match = [ 1 ]; } );", 2, "expected an array of strings");
        assert_invalid("defaults = { match = [ \"/dev/sd*\" ]; };", 1, "match: can't be a default");
}
END_TEST

START_TEST(defaults_hold_for_all_devices_wherever_they_stand) {
        CLEANUP(settings_freep)
        struct settings *s = loaded(
                "devices = ( " DEVICE_A ", { name = \"b\"; path = \"/dev/nonexistent-b\"; every = \"1d\"; } );\n"
                "defaults = { mode = \"pattern\"; every = \"7d\"; block_size = \"4K\"; queue_depth = 1; segment = \"8K\";\n"
                "  narrow_budget = \"1s\"; io_timeout = \"2m\"; slow_after = \"60s\"; journal = \"/srv/undo\";\n"
                "  settle = \"1s\"; yield = false; };\n");
        for (size_t i = 0; i < 2; i++) {
                ck_assert_int_eq(s->devices[i]->mode, MODE_PATTERN);
                ck_assert_uint_eq(s->devices[i]->block_size_bytes, 4096);
                ck_assert_uint_eq(s->devices[i]->queue_depth, 1);
                ck_assert_uint_eq(s->devices[i]->segment_bytes, 8192);
                ck_assert_str_eq(s->devices[i]->journal, "/srv/undo");
                ck_assert_uint_eq(s->devices[i]->settle_us, USEC_PER_SEC);
                ck_assert(!s->devices[i]->yield);
                ck_assert_uint_eq(s->devices[i]->narrow_budget_us, USEC_PER_SEC);
                ck_assert_uint_eq(s->devices[i]->io_timeout_us, 120 * USEC_PER_SEC);
                ck_assert_uint_eq(s->devices[i]->slow_after_us, 60 * USEC_PER_SEC);
        }
        ck_assert_uint_eq(s->devices[0]->every_us, 7 * USEC_PER_DAY);
        ck_assert_uint_eq(s->devices[1]->every_us, USEC_PER_DAY);
}
END_TEST

START_TEST(what_belongs_to_one_device_can_not_be_a_default) {
        assert_invalid("\ndefaults = { name = \"a\"; };", 2, "name: can't be a default");
        assert_invalid("\ndefaults = { path = \"/dev/x\"; };", 2, "path: can't be a default");
        assert_invalid("\ndefaults = {\n serial = \"a\"; };", 3, "serial: can't be a default");
        assert_invalid("\ndefaults = { destroys_data = \"a\"; };", 2, "destroys_data: can't be a default");
}
END_TEST

START_TEST(an_unknown_key_names_the_nearest_that_exists) {
        assert_invalid("\nstate_dri = \"/x\";", 2, "there is no key \"state_dri\": did you mean \"state_dir\"?");
        assert_invalid("verify = {\n worker = 2; };", 2, "did you mean \"workers\"?");
        assert_invalid("limits = {\n\n concurent_sweeps = 2; };", 3, "did you mean \"concurrent_sweeps\"?");
        assert_invalid("defaults = { evry = \"1d\"; };", 1, "did you mean \"every\"?");
        assert_invalid_device("block_sise = \"4K\";", "did you mean \"block_size\"?");
        assert_invalid_device("moonlight = true;", "the keys are name, path, match, exclude, mode, serial,");
        assert_invalid("devices = ( { nmae = \"a\"; path = \"/dev/x\"; } );", 1, "did you mean \"name\"?");
}
END_TEST

START_TEST(a_key_that_stands_twice_is_named_with_both_lines) {
        assert_invalid("state_dir = \"/a\";\n\nstate_dir = \"/b\";", 3,
                "the key \"state_dir\" stands here twice, first in line 1: take one of them out");
        assert_invalid("verify = { workers = 1; };\nlimits = { concurrent_sweeps = 1; };\nverify = { };", 3,
                "the key \"verify\" stands here twice, first in line 1");
        assert_invalid(
                "devices = ( { name = \"name = 3\"; path = \"/x\"; }, { name = \"b\"; path = \"/y\";\n path = \"/z\"; } );",
                2, "the key \"path\" stands here twice, first in line 1");
}
END_TEST

START_TEST(a_wrong_type_says_what_was_expected_and_what_was_found) {
        assert_invalid("state_dir = 3;", 1, "state_dir: expected a path as a string, found a number");
        assert_invalid("control_socket = [ \"/x\" ];", 1, "found an array");
        assert_invalid(
                "verify = 2;", 1, "verify: expected a group, such as verify = { workers = 2; };, found a number");
        assert_invalid("verify = { workers = \"2\"; };", 1, "workers: expected a number, found a string");
        assert_invalid("verify = { workers = 2.0; };", 1, "found a number with a fraction");
        assert_invalid("verify = { cpus = 1; };", 1, "such as \"0-3,8\", found a number");
        assert_invalid("limits = ( 1 );", 1, "limits: expected a group");
        assert_invalid("defaults = true;", 1,
                "defaults: expected a group, such as defaults = { every = \"30d\"; };, found true or false");
        assert_invalid("devices = { };", 1, "devices: expected a list of groups");
        assert_invalid("devices = ( 1 );", 1, "devices: expected a group");
        assert_invalid_device("every = 30;", "every: expected a span as a string, such as \"30d\"");
        assert_invalid_device("block_size = 4096;", "block_size: expected a size as a string, such as \"512K\"");
        assert_invalid_device("mode = true;",
                "mode: expected \"read\", \"refresh\", \"preserve\" or \"pattern\", found true or false");
        assert_invalid_device("journal = 1;", "journal: expected a path as a string, found a number");
        assert_invalid_device("settle = 60;", "settle: expected a span as a string, such as \"60s\"");
        assert_invalid_device("queue_depth = \"16\";", "queue_depth: expected a number, found a string");
}
END_TEST

START_TEST(fixed_patterns_are_bytes_of_mode_pattern) {
        struct settings *s = loaded(
                "defaults = { patterns = [ \"0xAA\", \"0x55\" ]; };\n"
                "devices = ( { name = \"a\"; path = \"/dev/a\"; mode = \"pattern\"; },\n"
                "  { name = \"b\"; path = \"/dev/b\"; mode = \"pattern\"; patterns = ( \"0x00\" ); },\n"
                "  { name = \"c\"; path = \"/dev/c\"; mode = \"pattern\"; patterns = []; },\n"
                "  { name = \"d\"; path = \"/dev/d\"; } );");
        ck_assert(pattern_list_is(&s->devices[0]->patterns, &(struct pattern_list){ 2, { 0xaa, 0x55 } }));
        ck_assert(pattern_list_is(&s->devices[1]->patterns, &(struct pattern_list){ 1, { 0x00 } }));
        ck_assert_uint_eq(s->devices[2]->patterns.count, 0);
        ck_assert_uint_eq(s->devices[3]->patterns.count, 0); /* mode read: the defaults are of others */
        settings_free(s);
        assert_invalid_device("patterns = [ \"0xaa\" ];", "patterns: belongs to mode \"pattern\" alone");
        assert_invalid_device("patterns = \"0xaa\";", "patterns: expected an array of strings");
        assert_invalid_device("patterns = [ 170 ];", "patterns: expected an array of strings");
        assert_invalid_device("patterns = [ \"0xaa\", \"0x5\" ];", "patterns: \"0x5\" is not a pattern");
        assert_invalid_device("patterns = [ \"170\" ];", "patterns: \"170\" is not a pattern");
        assert_invalid_device("patterns = [ \"0xaa\", \"0xAA\" ];", "patterns: \"0xAA\" stands twice in a row");
        assert_invalid_device(
                "patterns = [ \"0x01\", \"0x02\" , \"0x03\", \"0x04\", \"0x05\", \"0x06\", \"0x07\", \"0x08\","
                " \"0x09\", \"0x0a\", \"0x0b\", \"0x0c\", \"0x0d\", \"0x0e\", \"0x0f\", \"0x10\", \"0x11\" ];",
                "patterns: \"0x11\" is one too many: give at most 16");
        assert_invalid_device("pattern = [ \"0xaa\" ];", "did you mean \"patterns\"?");
}
END_TEST

START_TEST(a_value_out_of_range_names_the_range) {
        assert_invalid("verify = { workers = 257; };", 1, "workers: 257 is out of range: give 0 to 256");
        assert_invalid("verify = { workers = -1; };", 1, "-1 is out of range");
        assert_invalid("limits = { concurrent_sweeps = -1; };", 1, "out of range");
        assert_invalid("limits = { per_controller = -1; };", 1, "out of range");
        assert_invalid("verify = { workers = 4294967298; };", 1, "too large");
        assert_invalid("verify = { workers = 0x100000002; };", 1, "too large");
        assert_invalid("verify = { workers = 99999999999999999999L; };", 1, "too large");
        assert_invalid_device("queue_depth = 0;", "queue_depth: 0 is out of range: give 1 to 256");
        assert_invalid_device("queue_depth = 257;", "out of range");
        static const char *const block_sizes[] = { "2K", "8M", "12K", "0", "4097" };
        for (size_t i = 0; i < sizeof block_sizes / sizeof *block_sizes; i++) {
                char key[64];
                snprintf(key, sizeof key, "block_size = \"%s\";", block_sizes[i]);
                assert_invalid_device(key, "must be a power of 2 from \"4K\" to \"4M\"");
        }
        assert_invalid_device("block_size = \"512k\";", "\"512k\" is not a size");
        assert_invalid_device("segment = \"99999999T\";", "is larger than any device");
        assert_invalid_device("every = \"0s\";", "every: must be at least \"1s\"");
        assert_invalid_device("every = \"monthly\";", "is not a span");
        assert_invalid_device("every = \"99999999999999w\";", "longer than \"36500d\"");
        assert_invalid_device("every = \"36501d\";", "longer than \"36500d\"");
        assert_invalid_device("yield = 1;", "yield: expected true or false, found a number");
        assert_invalid_device("narrow_budget = 60;", "narrow_budget: expected a span as a string, such as \"60s\"");
        assert_invalid_device("narrow_budget = \"soon\";", "is not a span");
        assert_invalid_device("settle = \"soon\";", "settle: \"soon\" is not a span");
        assert_invalid_device("settle = \"0s\";", "settle: \"0s\" is out of range: give \"1s\" to \"1d\"");
        assert_invalid_device("settle = \"25h\";", "is out of range");
        assert_invalid_device("narrow_budget = \"0s\";", "is out of range: give \"1s\" to \"1d\"");
        assert_invalid_device("narrow_budget = \"25h\";", "is out of range: give \"1s\" to \"1d\"");
        assert_invalid_device("narrow_budget = \"99999999999999w\";", "is out of range: give \"1s\" to \"1d\"");
}
END_TEST

START_TEST(slow_after_is_shorter_than_io_timeout) {
        assert_invalid_device("slow_after = 2;", "slow_after: expected a span as a string, such as \"2s\"");
        assert_invalid_device("slow_after = \"soon\";", "slow_after: \"soon\" is not a span");
        assert_invalid_device("slow_after = \"0ms\";", "slow_after: \"0ms\" is out of range: give \"1ms\" to \"1d\"");
        assert_invalid_device("slow_after = \"2d\";", "is out of range");
        assert_invalid_device("slow_after = \"60s\";",
                "slow_after must be shorter than io_timeout: 60000 ms is not less than 60000 ms");
        assert_invalid("defaults = { slow_after = \"5s\"; };\n"
                       "devices = ( { name = \"a\"; path = \"/dev/nonexistent\";\n io_timeout = \"5s\"; } );",
                3, "slow_after must be shorter than io_timeout: 5000 ms is not less than 5000 ms");
        assert_invalid("defaults = {\n slow_after = \"61s\"; };\ndevices = ( " DEVICE_A " );", 2, "must be shorter");
}
END_TEST

START_TEST(slow_after_that_is_not_given_follows_a_short_io_timeout) {
        CLEANUP(settings_freep)
        struct settings *s = loaded(
                "devices = ( { name = \"a\"; path = \"/dev/nonexistent\"; io_timeout = \"1s\"; } );");
        ck_assert_uint_eq(s->devices[0]->slow_after_us, 500 * USEC_PER_MSEC);
}
END_TEST

START_TEST(a_segment_is_a_multiple_of_the_block_size) {
        assert_invalid_device("segment = \"256K\";", "segment: 262144 bytes must be a multiple of block_size");
        assert_invalid_device("io_timeout = \"0s\";", "io_timeout: \"0s\" is out of range: give \"1s\" to \"1d\"");
        assert_invalid_device("io_timeout = \"2d\";", "is out of range");
        assert_invalid_device("io_timeout = \"soon\";", "io_timeout: \"soon\" is not a span");
        assert_invalid_device("io_timeout = 60;", "io_timeout: expected a span as a string");
        assert_invalid_device("segment = \"0\";", "segment: 0 bytes must be");
        assert_invalid_device("block_size = \"1M\"; segment = \"1500K\";", "must be a multiple");
        assert_invalid("defaults = { segment = \"4K\"; };\ndevices = ( " DEVICE_A " );", 2, "must be a multiple");
        settings_free(
                loaded("devices = ( { name = \"a\"; path = \"/dev/x\"; block_size = \"4K\"; segment = \"4K\"; } );"));
}
END_TEST

START_TEST(a_cpu_that_is_not_ours_is_named) {
        assert_invalid("verify = { cpus = \"0-1,6-7\"; };", 1,
                "CPU 6 is not among those that sweepd may run on: choose from 0-5");
        assert_invalid("verify = { cpus = \"all\"; };", 1, "\"all\" is not a list of CPUs");
        assert_invalid("verify = { cpus = \"5000\"; };", 1, "names a CPU above 1023");
        assert_invalid("verify = { cpus = \"\"; };", 1, "the string is empty");
}
END_TEST

START_TEST(names_are_plain_and_required) {
        assert_invalid("devices = (\n { path = \"/dev/x\"; } );", 2, "this device has no name: add name = ");
        assert_invalid("devices = (\n { name = \"x\"; } );", 2, "this device has no path: add path = ");
        static const char *const bad[] = { "A", "a b", "a/b", "\xc3\xa4", "a\\n" };
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                char text[128];
                snprintf(text, sizeof text, "devices = ( {\n name = \"%s\"; path = \"/dev/x\"; } );", bad[i]);
                assert_invalid(text, 2, "name: ");
        }
        char text[256], name[66] = { 0 };
        memset(name, 'n', 65);
        snprintf(text, sizeof text, "devices = ( { name = \"%s\"; path = \"/dev/x\"; } );", name);
        assert_invalid(text, 1, "longer than 64");
        snprintf(text, sizeof text, "devices = ( { name = \"%s\"; path = \"/dev/x\"; } );", name + 1);
        settings_free(loaded(text));
}
END_TEST

START_TEST(two_devices_can_not_share_a_name) {
        assert_invalid("devices = ( " DEVICE_A
                       ",\n { name = \"b\"; path = \"/dev/x\"; },\n { name = \"a\"; path = \"/dev/y\"; } );",
                3, "name: \"a\" is taken: give each device its own name, and not that of \"a\" in line 1");
}
END_TEST

START_TEST(two_devices_can_not_be_the_same_one) {
        assert_invalid("devices = ( " DEVICE_A ",\n { name = \"b\"; path = \"/dev/nonexistent-a\"; } );", 2,
                "it is the same device as \"a\" in line 1");
        char link_path[256], text[1024];
        snprintf(link_path, sizeof link_path, "%s", in_directory("link"));
        write_file("canary", "x");
        ck_assert_int_eq(symlink(in_directory("canary"), link_path), 0);
        snprintf(text, sizeof text,
                "devices = ( { name = \"a\"; path = \"%s\"; },\n { name = \"b\"; path = \"%s/canary\"; } );", link_path,
                directory);
        assert_invalid(text, 2, "it is the same device as \"a\" in line 1");
}
END_TEST

START_TEST(two_nodes_of_one_block_device_are_the_same_device) {
        char a[256], b[256], text[1024];
        snprintf(a, sizeof a, "%s", in_directory("node-a"));
        snprintf(b, sizeof b, "%s", in_directory("node-b"));
        /* Never opened: only looked at. 240 to 254 are for local use (the kernel's devices.txt). */
        if (mknod(a, S_IFBLK | 0600, makedev(240, 7)) < 0 || mknod(b, S_IFBLK | 0600, makedev(240, 7)) < 0) {
                printf("skipped: making device nodes needs root\n");
                return;
        }
        snprintf(text, sizeof text,
                "devices = ( { name = \"a\"; path = \"%s\"; },\n { name = \"b\"; path = \"%s\"; } );", a, b);
        assert_invalid(text, 2, "it is the same device as \"a\" in line 1");
        ck_assert_int_eq(unlink(b), 0);
        ck_assert_int_eq(mknod(b, S_IFBLK | 0600, makedev(240, 8)), 0);
        settings_free(loaded(text));
}
END_TEST

START_TEST(paths_are_absolute_and_printable) {
        assert_invalid("state_dir = \"var\";", 1, "state_dir: \"var\" is not absolute: begin it with /");
        assert_invalid("devices = ( { name = \"a\";\n path = \"sda\"; } );", 2, "path: \"sda\" is not absolute");
        assert_invalid("devices = ( { name = \"a\";\n path = \"/dev/\\x07\"; } );", 2, "control character");
        assert_invalid("devices = ( { name = \"a\";\n path = \"/dev/\\xff\"; } );", 2, "not UTF-8");
        assert_invalid("devices = ( { name = \"a\";\n path = \"/dev/sda\\x00.bak\"; } );", 2, "can't hold \\x00");
        char text[256], path[109];
        memset(path, 's', sizeof path);
        path[0] = '/';
        path[sizeof path - 1] = '\0';
        snprintf(text, sizeof text, "control_socket = \"%s\";", path);
        assert_invalid(text, 1, "control_socket: the path is longer than 107 bytes");
        path[107] = '\0';
        snprintf(text, sizeof text, "control_socket = \"%s\";", path);
        settings_free(loaded(text));
}
END_TEST

START_TEST(an_unknown_mode_names_those_that_exist) {
        static const char *const names[] = { "read", "refresh", "preserve", "pattern" };
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                char text[128];
                snprintf(text, sizeof text, "devices = ( { name = \"a\"; path = \"/dev/x\"; mode = \"%s\"; } );",
                        names[i]);
                CLEANUP(settings_freep)
                struct settings *s = loaded(text);
                ck_assert_str_eq(sweep_mode_name(s->devices[0]->mode), names[i]);
        }
        assert_invalid_device("mode = \"patern\";", "did you mean \"pattern\"?");
        assert_invalid_device("mode = \"preserv\";", "did you mean \"preserve\"?");
        assert_invalid_device("mode = \"destroy\";", "use \"read\", \"refresh\", \"preserve\" or \"pattern\"");
}
END_TEST

START_TEST(a_journal_is_nobodys_device_and_a_block_device_is_one_journal) {
        assert_invalid_device("journal = \"undo\";", "journal: \"undo\" is not absolute");
        assert_invalid_device("journal = \"/dev/nonexistent-a\";", "journal: \"/dev/nonexistent-a\" is device \"a\"");
        assert_invalid("defaults = {\n journal = \"/dev/nonexistent-b\"; };\ndevices = ( " DEVICE_A
                       ",\n { name = \"b\"; path = \"/dev/nonexistent-b\"; } );",
                2, "is device \"b\": choose a directory, or a device of its own");
        settings_free(loaded("defaults = { journal = \"/dev/shm\"; };\ndevices = ( " DEVICE_A
                             ", { name = \"b\"; path = \"/dev/nonexistent-b\"; } );"));
}
END_TEST

/* Made here, of a number that no driver has: only looked at. */
START_TEST(a_block_device_is_one_journal_under_all_its_names) {
        char text[512], one[64], other[64];
        snprintf(one, sizeof one, "/dev/sweepd-test-%d-1", (int)getpid());
        snprintf(other, sizeof other, "/dev/sweepd-test-%d-2", (int)getpid());
        if (mknod(one, S_IFBLK | 0600, makedev(4000, 1)) < 0) {
                printf("left out: needs the right to make device nodes\n");
                return;
        }
        int made = mknod(other, S_IFBLK | 0600, makedev(4000, 1));
        snprintf(text, sizeof text,
                "devices = ( { name = \"a\"; path = \"/dev/nonexistent-a\"; journal = \"%s\"; },\n"
                "{ name = \"b\"; path = \"/dev/nonexistent-b\"; journal = \"%s\"; } );",
                one, other);
        struct settings *s = NULL;
        write_file("sweepd.conf", text);
        int twice = load_file(&s, "sweepd.conf");
        struct settings_error told = last_error;
        snprintf(text, sizeof text,
                "devices = ( { name = \"a\"; path = \"/dev/nonexistent-a\"; journal = \"%s\"; },\n"
                "{ name = \"b\"; path = \"%s\"; } );",
                one, other);
        write_file("sweepd.conf", text);
        int swept = load_file(&s, "sweepd.conf");
        unlink(one);
        unlink(other);
        ck_assert_int_eq(made, 0);
        ck_assert_int_eq(twice, SETTINGS_E_INVALID);
        ck_assert_int_eq(told.line, 2);
        ck_assert_ptr_nonnull(strstr(told.text, "is the journal of \"a\" already"));
        ck_assert_int_eq(swept, SETTINGS_E_INVALID);
        ck_assert_ptr_nonnull(strstr(last_error.text, "is device \"b\""));
}
END_TEST

START_TEST(destroys_data_belongs_to_mode_pattern_alone) {
        assert_invalid_device("destroys_data = \"x\";", "destroys_data: belongs to mode \"pattern\" alone");
        assert_invalid_device("mode = \"read\"; destroys_data = \"x\";", "this device's mode is \"read\"");
        assert_invalid_device("mode = \"pattern\"; destroys_data = \"\";", "the string is empty");
        assert_invalid_device("serial = \"\";", "the string is empty");
}
END_TEST

START_TEST(a_syntax_error_has_its_line_and_a_hint) {
        assert_invalid("state_dir = \"/a\";\n\nverify = {\n  workers 2;\n};", 4, "syntax error here or just before");
        assert_invalid("\nverify.workers = 2;", 2, "a key can't hold a dot: write verify = { workers = ...; };");
        assert_invalid("devices = (\n " DEVICE_A ",\n);", 3, "comma");
        assert_invalid("a = 1;\nb = \"unfinished;\nc = 2;\n", 2, "the string that begins here has no end");
        assert_invalid("a = 1;\n/* unfinished\ndevices = ( );\n", 2, "the comment that begins here has no end");
        assert_invalid("{", 1, "syntax error");
        assert_invalid("x = \"\xff\x1b[2J\"; \x1b", 1, "syntax error");
}
END_TEST

START_TEST(a_key_at_the_wrong_level_is_told_where_it_belongs) {
        assert_invalid(
                "\nevery = \"3d\";", 2, "there is no key \"every\" here: it belongs in defaults, or in a device");
        assert_invalid("windows = [ \"Sat\" ];", 1, "it belongs in defaults, or in a device");
        assert_invalid("path = \"/x\";", 1, "it belongs in a device");
        assert_invalid("limits = { yield = true; };", 1, "it belongs in defaults, or in a device");
        assert_invalid("defaults = { limits = { }; };", 1, "it belongs at the top, beside devices");
        assert_invalid_device("history = \"3d\";", "there is no key \"history\" here: it belongs at the top");
}
END_TEST

START_TEST(lines_are_counted_over_long_strings_comments_and_carriage_returns) {
        assert_invalid("/* 1\n 2\n 3 */ # 3\n// 4\nx = \"5\n6\";\nz = 1;", 5, "there is no key \"x\"");
        assert_invalid("/* 1\r\n 2 */\r\nstate_dir = 3;\r\n", 3, "state_dir: expected");
}
END_TEST

START_TEST(an_include_is_read_and_blamed_by_its_own_lines) {
        write_file("devices.conf", "devices = (\n" DEVICE_A " )");
        CLEANUP(settings_freep)
        struct settings *s = loaded("verify = { workers = 1; };\n@include \"devices.conf\"\nstate_dir = \"/s\";\n");
        ck_assert_uint_eq(s->device_count, 1);
        ck_assert_int_eq(s->devices[0]->line, 2);
        ck_assert_str_eq(s->state_dir, "/s");

        write_file("devices.conf", "devices = (\n\n" DEVICE_A " );\nevry = 1;");
        assert_invalid_file("sweepd.conf", "devices.conf", 4, "there is no key \"evry\"");
        write_file("devices.conf", "devices = ( );");
        assert_invalid("@include \"devices.conf\"\n\nevry = 1;\n", 3, "there is no key \"evry\"");
        write_file("devices.conf", "\ndevices = ( ;\n");
        assert_invalid_file("sweepd.conf", "devices.conf", 2, "syntax error");
        write_file("devices.conf", "\nverify = { };\n");
        write_file("sweepd.conf", "  @include \"devices.conf\"   # why\nverify = { };\n");
        assert_invalid_file("sweepd.conf", "sweepd.conf", 2, "\"verify\" stands here twice, first in line 2 of ");
}
END_TEST

START_TEST(an_include_is_found_from_the_file_that_names_it) {
        ck_assert_int_eq(mkdir(in_directory("conf.d"), 0700), 0);
        write_file("conf.d/a.conf", "@include \"b.conf\"");
        write_file("conf.d/b.conf", "state_dir = \"/from/b\";");
        CLEANUP(settings_freep)
        struct settings *s = loaded("@include \"conf.d/a.conf\"\n");
        ck_assert_str_eq(s->state_dir, "/from/b");
        char text[256];
        snprintf(text, sizeof text, "@include \"%s/conf.d/b.conf\"\n", directory);
        CLEANUP(settings_freep)
        struct settings *t = loaded(text);
        ck_assert_str_eq(t->state_dir, "/from/b");
}
END_TEST

START_TEST(an_include_that_can_not_be_read_is_an_error_and_never_the_end) {
        assert_invalid("\n@include \"none.conf\"\n", 2, "none.conf\" can't be read: No such file or directory");
        assert_invalid("\n@include \".\"\n", 2, "is a directory: name a file");
        ck_assert_int_eq(mkfifo(in_directory("fifo"), 0600), 0);
        assert_invalid("@include \"fifo\"\n", 1, "is not a regular file");
        assert_invalid("@include \"/dev/zero\"\n", 1, "is not a regular file");
        assert_invalid("\n\n@include \"sweepd.conf\"\n", 3, "includes itself in the end");
        assert_invalid("x = 1; @include \"none.conf\"\n", 1, "can only stand at the start of a line");
        assert_invalid("@include none.conf\n", 1, "expected @include \"FILE\"");
        assert_invalid("@include \"\"\n", 1, "expected @include \"FILE\"");
        write_file("empty.conf", "");
        assert_invalid("@include \"empty.conf\" @include \"/dev\"\n", 1, "can only stand at the start of a line");
        settings_free(loaded("/*\n@include \"none.conf\"\n*/ # @include \"none.conf\"\n"));
}
END_TEST

START_TEST(includes_that_multiply_are_cut_off) {
        for (int i = 0; i < 12; i++) {
                char name[16], text[64];
                snprintf(name, sizeof name, "f%d", i);
                snprintf(text, sizeof text, "@include \"f%d\"\n", i + 1);
                write_file(name, text);
        }
        write_file("f12", "");
        struct settings *s = NULL;
        ck_assert_int_eq(load_file(&s, "f0"), SETTINGS_E_INVALID);
        ck_assert_ptr_nonnull(strstr(last_error.text, "more than 8 deep"));
        char text[8192] = "";
        for (int i = 0; i < 300; i++)
                strcat(text, "@include \"f12\"\n");
        assert_invalid(text, 256, "more than 256 files");
}
END_TEST

START_TEST(a_file_that_is_no_configuration_is_told_as_such) {
        assert_invalid_file("none.conf", "none.conf", 0, "can't be read: No such file or directory: check its name");
        assert_invalid_file("", "", 0, "is a directory: name a file");
        write_bytes("binary", "a = 1;\0b", 8);
        assert_invalid_file("binary", "binary", 0, "is no text");
        char *large = malloc(2 << 20);
        ck_assert_ptr_nonnull(large);
        memset(large, ' ', 2 << 20);
        write_bytes("large", large, (1 << 20) + 1);
        assert_invalid_file("large", "large", 0, "larger than 1 MiB");
        write_bytes("large", large, 1 << 20);
        struct settings *s = NULL;
        ck_assert_int_eq(load_file(&s, "large"), SETTINGS_OK);
        settings_free(s);
        free(large);
        int fd = open(in_directory("sparse"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        ck_assert_int_eq(ftruncate(fd, 100 << 20), 0);
        close(fd);
        assert_invalid_file("sparse", "sparse", 0, "larger than 1 MiB");
}
END_TEST

START_TEST(a_file_that_may_not_be_read_says_for_whom) {
        write_file("secret", "");
        ck_assert_int_eq(chmod(in_directory("secret"), 0), 0);
        if (geteuid() == 0) {
                ck_assert_int_eq(chmod(directory, 0755), 0);
                ck_assert_int_eq(seteuid(65534), 0);
        }
        struct settings *s = NULL;
        int r = load_file(&s, "secret");
        if (getuid() == 0)
                ck_assert_int_eq(seteuid(0), 0);
        ck_assert_int_eq(r, SETTINGS_E_INVALID);
        ck_assert_ptr_nonnull(strstr(last_error.text, "readable for the user that sweepd runs as"));
}
END_TEST

START_TEST(thousands_of_devices_load_and_more_are_refused) {
        enum { MANY = 4096 };
        char *text = malloc(MANY * 64 + 256), *end = text;
        ck_assert_ptr_nonnull(text);
        end += sprintf(end, "devices = (\n");
        for (int i = 0; i < MANY; i++)
                end += sprintf(end, "{ name = \"d%d\"; path = \"/none/%d\"; }%s\n", i, i, i + 1 < MANY ? "," : "");
        strcpy(end, ");\n");
        CLEANUP(settings_freep)
        struct settings *s = loaded(text);
        ck_assert_uint_eq(s->device_count, MANY);
        strcpy(end, ", { name = \"one-more\"; path = \"/none\"; } );\n");
        assert_invalid(text, 1, "devices: more than 4096");
        free(text);
}
END_TEST

START_TEST(random_damage_to_a_configuration_never_crashes) {
        static const char good[] =
                "verify = { workers = 2; cpus = \"0-1\"; };\nlimits = { concurrent_sweeps = 4; };\n"
                "defaults = { every = \"30d\"; block_size = \"1M\"; };\n/* note */\n"
                "devices = (\n  { name = \"a\"; path = \"/dev/x\"; mode = \"pattern\"; destroys_data = \"W\"; },\n"
                "  { name = \"b\"; path = \"/dev/y\"; queue_depth = 0x10; segment = \"2M\"; }\n);\n";
        static const char spice[] = "{}()[]=:;,\"\\#/*@\n\t. 09azAZ-+_\xc3\xff\x01";
        unsigned valid = 0;
        for (uint64_t seed = 0; seed < 3000; seed++) {
                uint64_t state = seed;
                char text[sizeof good];
                memcpy(text, good, sizeof good);
                size_t changes = 1 + suite_random(&state) % 4;
                for (size_t i = 0; i < changes; i++)
                        text[suite_random(&state) % (sizeof good - 1)] =
                                spice[suite_random(&state) % (sizeof spice - 1)];
                write_bytes("sweepd.conf", text, sizeof good - 1);
                struct settings *s = NULL;
                int r = load_file(&s, "sweepd.conf");
                ASSERT_SEEDED(seed, r == SETTINGS_OK || (r == SETTINGS_E_INVALID && last_error.line > 0));
                valid += r == SETTINGS_OK;
                settings_free(s);
        }
        ck_assert_uint_gt(valid, 10);
        ck_assert_uint_lt(valid, 1500);
}
END_TEST

START_TEST(the_shipped_files_are_valid) {
        const char *source = getenv("SWEEPD_CONF_DIR");
        if (!source) {
                printf("skipped: SWEEPD_CONF_DIR is not set\n");
                return;
        }
        char pattern[PATH_MAX];
        glob_t files;
        snprintf(pattern, sizeof pattern, "%s/*.conf", source);
        ck_assert_int_eq(glob(pattern, 0, NULL, &files), 0);
        ck_assert_uint_ge(files.gl_pathc, 6);
        for (size_t i = 0; i < files.gl_pathc; i++) {
                const char *path = files.gl_pathv[i];
                struct settings *s = NULL;
                int r = settings_load(&s, &last_error, path, &surroundings);
                ck_assert_msg(r == SETTINGS_OK, "%s:%d: %s", last_error.file, last_error.line, last_error.text);
                bool idle = strcmp(strrchr(path, '/'), "/sweepd.conf") == 0;
                ck_assert_msg((s->device_count + s->match_count == 0) == idle, "%s", path);
                settings_free(s);
        }
        globfree(&files);
}
END_TEST

int main(void) {
        TCase *t = tcase_create("settings");
        tcase_add_checked_fixture(t, set_up, tear_down);
        tcase_add_test(t, an_empty_file_is_idle_with_the_documented_defaults);
        tcase_add_test(t, what_is_open_is_told_again_after_a_span_that_can_be_set);
        tcase_add_test(t, history_is_a_span_of_at_least_a_day);
        tcase_add_test(t, the_state_directory_comes_from_the_service_manager_unless_given);
        tcase_add_test(t, global_keys_are_taken);
        tcase_add_test(t, the_keys_of_the_plan_are_taken);
        tcase_add_test(t, a_plan_that_makes_no_sense_is_told);
        tcase_add_test(t, two_extents_of_one_device_may_not_overlap);
        tcase_add_test(t, there_are_as_many_workers_as_cpus_and_at_most_four);
        tcase_add_test(t, a_device_has_the_documented_defaults);
        tcase_add_test(t, every_device_key_is_taken);
        tcase_add_test(t, an_entry_with_match_stands_beside_the_devices_and_takes_the_defaults);
        tcase_add_test(t, a_canary_has_a_size_in_whole_units_and_a_mode_for_files);
        tcase_add_test(t, a_match_is_for_mode_read_and_has_nothing_of_a_single_disk);
        tcase_add_test(t, defaults_hold_for_all_devices_wherever_they_stand);
        tcase_add_test(t, what_belongs_to_one_device_can_not_be_a_default);
        tcase_add_test(t, an_unknown_key_names_the_nearest_that_exists);
        tcase_add_test(t, a_key_at_the_wrong_level_is_told_where_it_belongs);
        tcase_add_test(t, a_key_that_stands_twice_is_named_with_both_lines);
        tcase_add_test(t, a_wrong_type_says_what_was_expected_and_what_was_found);
        tcase_add_test(t, fixed_patterns_are_bytes_of_mode_pattern);
        tcase_add_test(t, a_value_out_of_range_names_the_range);
        tcase_add_test(t, slow_after_is_shorter_than_io_timeout);
        tcase_add_test(t, slow_after_that_is_not_given_follows_a_short_io_timeout);
        tcase_add_test(t, a_segment_is_a_multiple_of_the_block_size);
        tcase_add_test(t, a_cpu_that_is_not_ours_is_named);
        tcase_add_test(t, names_are_plain_and_required);
        tcase_add_test(t, two_devices_can_not_share_a_name);
        tcase_add_test(t, two_devices_can_not_be_the_same_one);
        tcase_add_test(t, two_nodes_of_one_block_device_are_the_same_device);
        tcase_add_test(t, paths_are_absolute_and_printable);
        tcase_add_test(t, an_unknown_mode_names_those_that_exist);
        tcase_add_test(t, a_journal_is_nobodys_device_and_a_block_device_is_one_journal);
        tcase_add_test(t, a_block_device_is_one_journal_under_all_its_names);
        tcase_add_test(t, destroys_data_belongs_to_mode_pattern_alone);
        tcase_add_test(t, a_syntax_error_has_its_line_and_a_hint);
        tcase_add_test(t, lines_are_counted_over_long_strings_comments_and_carriage_returns);
        tcase_add_test(t, an_include_is_read_and_blamed_by_its_own_lines);
        tcase_add_test(t, an_include_is_found_from_the_file_that_names_it);
        tcase_add_test(t, an_include_that_can_not_be_read_is_an_error_and_never_the_end);
        tcase_add_test(t, includes_that_multiply_are_cut_off);
        tcase_add_test(t, a_file_that_is_no_configuration_is_told_as_such);
        tcase_add_test(t, a_file_that_may_not_be_read_says_for_whom);
        tcase_add_test(t, thousands_of_devices_load_and_more_are_refused);
        tcase_add_test(t, random_damage_to_a_configuration_never_crashes);
        tcase_add_test(t, the_shipped_files_are_valid);
        return suite_run("settings", t);
}
