/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A setting that is silently ignored is worse than none: a misspelt `destroys_data`, a size that lost its suffix, a
 * device that stands twice would be noticed when it is too late. So every key is looked up in a table, whatever is
 * not there is an error with the nearest that is, and nothing is used until all of it was found right.
 */
#include "plan/settings.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "base/text.h"
#include "plan/calendar.h"
#include "plan/lexer.h"
#include "plan/settings_error.h"
#include "plan/source.h"
#include "plan/utf8.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <libconfig.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

enum {
        BLOCK_SIZE_MIN = 4 << 10,
        BLOCK_SIZE_MAX = 4 << 20,
        QUEUE_DEPTH_MAX = 256,
        CREATE_SIZE_MIN = 1 << 20,
        FILE_UNIT_BYTES = 4096,
        WORKERS_MAX = 256,
        WORKERS_DEFAULT_MAX = 4,
        PER_CONTROLLER = 8,
        DEVICES_MAX = 4096,
        PATTERNS_MAX = 256,
        KEYS_MAX = 48, /* of one group, with the end of the table */
        EXTENT_ALIGN = 4096,
        RATE_MIN = 4096,
        WRITE_LIMIT_MAX = 1000000
};

/* Keeps sums of times far from 2^64, and tells "never" from a slip. */
#define EVERY_MAX_US (36500 * USEC_PER_DAY)
#define HISTORY_US   (730 * USEC_PER_DAY)
#define REPEAT_US    (24 * USEC_PER_HOUR)

/* What stands at a device's path now: by it, one device under two paths is told. */
struct node {
        bool present;
        dev_t device;
        ino_t inode; /* 0: a block device, then `device` is its own number */
};

struct loader {
        const struct source *source;
        const struct settings_surroundings *surroundings;
        struct settings_error *error;
        struct settings *settings;
        struct device_config *defaults; /* its name and path mean nothing */
        const config_setting_t *defaults_group, *device_list;
        bool workers_given, cpus_given;
        struct node *nodes;              /* of the devices, in their order */
        const config_setting_t **groups; /* where each of them stands */
};

struct key {
        const char *name;
        int (*take)(struct loader *l, const config_setting_t *s, void *into);
        bool of_one_device; /* not in `defaults` */
};

DEFINE_FREEP(struct settings, settings_free, settings_freep)
DEFINE_FREEP(struct source, source_free, source_freep)
DEFINE_FREEP(struct device_config, device_config_unref, device_config_unrefp)

/* An error in the line of this setting. */
#define FAIL(l, setting, ...)                                                                        \
        ({                                                                                           \
                const char *file_;                                                                   \
                int line_;                                                                           \
                source_place((l)->source, (int)config_setting_source_line(setting), &file_, &line_); \
                settings_error_set((l)->error, file_, line_, __VA_ARGS__);                           \
                SETTINGS_E_INVALID;                                                                  \
        })

static int line_of(const struct loader *l, const config_setting_t *s) {
        const char *file;
        int line;
        source_place(l->source, (int)config_setting_source_line(s), &file, &line);
        return line;
}

/* "line 3", and of which file where it is another one than that of `here`. */
static void describe_place(const struct loader *l, int line, int here, char *to, size_t to_bytes) {
        const char *file, *here_file;
        source_place(l->source, here, &here_file, &here);
        source_place(l->source, line, &file, &line);
        text_format(
                to, to_bytes, "line %d%s%.200s", line, file == here_file ? "" : " of ", file == here_file ? "" : file);
}

static const char *type_word(const config_setting_t *s) {
        switch (config_setting_type(s)) {
        case CONFIG_TYPE_GROUP:
                return "a group { ... }";
        case CONFIG_TYPE_ARRAY:
                return "an array [ ... ]";
        case CONFIG_TYPE_LIST:
                return "a list ( ... )";
        case CONFIG_TYPE_STRING:
                return "a string";
        case CONFIG_TYPE_BOOL:
                return "true or false";
        case CONFIG_TYPE_FLOAT:
                return "a number with a fraction";
        default:
                return "a number";
        }
}

static int wrong_type(struct loader *l, const config_setting_t *s, const char *expected) {
        return FAIL(l, s, "%s: expected %s, found %s", config_setting_name(s), expected, type_word(s));
}

static int take_string(struct loader *l, const config_setting_t *s, const char *expected, const char **ret) {
        if (config_setting_type(s) != CONFIG_TYPE_STRING)
                return wrong_type(l, s, expected);
        const char *text = config_setting_get_string(s);
        if (!text || !*text)
                return FAIL(l, s, "%s: the string is empty: expected %s", config_setting_name(s), expected);
        if (!utf8_all_printable(text))
                return FAIL(l, s, "%s: the string holds a control character or is not UTF-8", config_setting_name(s));
        *ret = text;
        return 0;
}

static int take_number(struct loader *l, const config_setting_t *s, long long min, long long max, unsigned *ret) {
        if (config_setting_type(s) != CONFIG_TYPE_INT && config_setting_type(s) != CONFIG_TYPE_INT64)
                return wrong_type(l, s, "a number");
        long long n = config_setting_get_int64(s);
        if (n < min || n > max)
                return FAIL(l, s, "%s: %lld is out of range: give %lld to %lld", config_setting_name(s), n, min, max);
        *ret = (unsigned)n;
        return 0;
}

static int take_size(struct loader *l, const config_setting_t *s, uint64_t *ret) {
        const char *text;
        int r = take_string(l, s, "a size as a string, such as \"512K\" or \"1G\"", &text);
        if (r != 0)
                return r;
        r = text_parse_size(ret, text);
        if (r == -ERANGE)
                return FAIL(l, s, "%s: \"%.100s\" is larger than any device", config_setting_name(s), text);
        if (r < 0)
                return FAIL(l, s,
                        "%s: \"%.100s\" is not a size: write bytes, or a number with K, M, G or T, such as \"512K\"",
                        config_setting_name(s), text);
        return 0;
}

/* room: of the buffer that the path must fit into with its end. */
static int take_absolute_path(struct loader *l, const config_setting_t *s, size_t room, const char **ret) {
        const char *text;
        int r = take_string(l, s, "a path as a string", &text);
        if (r != 0)
                return r;
        if (*text != '/')
                return FAIL(l, s, "%s: \"%.200s\" is not absolute: begin it with /", config_setting_name(s), text);
        if (strlen(text) >= room)
                return FAIL(l, s, "%s: the path is longer than %zu bytes: choose a shorter one", config_setting_name(s),
                        room - 1);
        *ret = text;
        return 0;
}

/* --- global keys --- */

static int take_state_dir(struct loader *l, const config_setting_t *s, void *into) {
        struct settings *settings = into;
        const char *path;
        int r = take_absolute_path(l, s, sizeof settings->state_dir, &path);
        if (r == 0)
                text_copy(settings->state_dir, sizeof settings->state_dir, path);
        return r;
}

static int take_control_socket(struct loader *l, const config_setting_t *s, void *into) {
        struct settings *settings = into;
        const char *path;
        int r = take_absolute_path(l, s, sizeof((struct sockaddr_un *)NULL)->sun_path, &path);
        if (r == 0)
                text_copy(settings->control_socket, sizeof settings->control_socket, path);
        return r;
}

static int take_workers(struct loader *l, const config_setting_t *s, void *into) {
        l->workers_given = true;
        return take_number(l, s, 0, WORKERS_MAX, &((struct settings *)into)->workers);
}

static int take_cpus(struct loader *l, const config_setting_t *s, void *into) {
        struct settings *settings = into;
        const char *text;
        int r = take_string(l, s, "a list of CPUs as a string, such as \"0-3,8\"", &text);
        if (r != 0)
                return r;
        cpu_set_t set;
        r = cpus_parse(&set, text);
        if (r == -ERANGE)
                return FAIL(l, s, "cpus: \"%.100s\" names a CPU above %d", text, CPU_SETSIZE - 1);
        if (r < 0)
                return FAIL(l, s, "cpus: \"%.100s\" is not a list of CPUs: write it like \"0-3,8\"", text);
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
                if (!CPU_ISSET((size_t)cpu, &set) || CPU_ISSET((size_t)cpu, &l->surroundings->cpus))
                        continue;
                char allowed[CPUS_TEXT_BYTES];
                cpus_format(allowed, sizeof allowed, &l->surroundings->cpus);
                return FAIL(
                        l, s, "cpus: CPU %d is not among those that sweepd may run on: choose from %s", cpu, allowed);
        }
        settings->cpus = set;
        l->cpus_given = true;
        if (!text_copy(settings->cpus_text, sizeof settings->cpus_text, text))
                cpus_format(settings->cpus_text, sizeof settings->cpus_text, &set);
        return 0;
}

static int take_concurrent_sweeps(struct loader *l, const config_setting_t *s, void *into) {
        return take_number(l, s, 0, INT_MAX, &((struct settings *)into)->concurrent_sweeps);
}

/* Bytes a second. none: what no limit is called, or NULL where there must be one. */
static int take_rate(struct loader *l, const config_setting_t *s, const char *none, uint64_t *ret) {
        const char *text;
        int r = take_string(l, s, "a rate as a string, such as \"200M\"", &text);
        if (r != 0)
                return r;
        if (none && strcmp(text, none) == 0) {
                *ret = 0;
                return 0;
        }
        uint64_t bytes;
        r = text_parse_size(&bytes, text);
        if (r == -EINVAL)
                return FAIL(l, s,
                        "%s: \"%.100s\" is not a rate: write bytes a second, or a number with K, M, G or T, such as \"200M\"",
                        config_setting_name(s), text);
        if (r < 0 || bytes < RATE_MIN)
                return FAIL(l, s, "%s: \"%.100s\" is out of range: give at least \"4K\" a second%s",
                        config_setting_name(s), text, none ? ", or \"none\"" : "");
        *ret = bytes;
        return 0;
}

static int take_limits_rate(struct loader *l, const config_setting_t *s, void *into) {
        return take_rate(l, s, "none", &((struct settings *)into)->rate_bytes);
}

static int take_per_controller(struct loader *l, const config_setting_t *s, void *into) {
        return take_number(l, s, 0, INT_MAX, &((struct settings *)into)->per_controller);
}

/* least, most, example: as somebody would write them. */
static int take_span(struct loader *l, const config_setting_t *s, const char *least, const char *most,
        const char *example, uint64_t *ret) {
        const char *text, *key = config_setting_name(s);
        char expected[64];
        text_format(expected, sizeof expected, "a span as a string, such as \"%s\"", example);
        int r = take_string(l, s, expected, &text);
        if (r != 0)
                return r;
        uint64_t span_us, least_us = 0, most_us = 0;
        r = text_parse_span(&least_us, least);
        assert(r == 0);
        r = text_parse_span(&most_us, most);
        assert(r == 0);
        r = text_parse_span(&span_us, text);
        if (r == -EINVAL)
                return FAIL(l, s,
                        "%s: \"%.100s\" is not a span: write a number with ms, s, m, h, d or w, such as \"%s\"", key,
                        text, example);
        if (r < 0 || span_us < least_us || span_us > most_us)
                return FAIL(l, s, "%s: \"%.100s\" is out of range: give \"%s\" to \"%s\"", key, text, least, most);
        *ret = span_us;
        return 0;
}

static int take_history(struct loader *l, const config_setting_t *s, void *into) {
        return take_span(l, s, "1d", "36500d", "730d", &((struct settings *)into)->history_us);
}

static int take_repeat(struct loader *l, const config_setting_t *s, void *into) {
        return take_span(l, s, "1s", "36500d", "24h", &((struct settings *)into)->repeat_us);
}

/* --- keys of a device --- */

static int take_name(struct loader *l, const config_setting_t *s, void *into) {
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
        struct device_config *device = into;
        const char *text;
        int r = take_string(l, s, "a string of 1 to 64 of a-z 0-9 . _ -", &text);
        if (r != 0)
                return r;
        size_t valid = strspn(text, allowed);
        if (text[valid])
                return FAIL(l, s, "name: \"%.100s\" may hold only a-z 0-9 . _ -, and not \"%.*s\"", text,
                        (int)utf8_printable(text + valid), text + valid);
        if (!text_copy(device->name, sizeof device->name, text))
                return FAIL(l, s, "name: \"%.100s\" is longer than 64 letters", text);
        return 0;
}

static int copy_to(char **to, const char *text) {
        char *copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        free(*to);
        *to = copy;
        return 0;
}

static int take_path(struct loader *l, const config_setting_t *s, void *into) {
        const char *text;
        int r = take_absolute_path(l, s, PATH_MAX, &text);
        return r != 0 ? r : copy_to(&((struct device_config *)into)->path, text);
}

/* A pattern that can't fit any name would be taken for one that fits nothing at the moment. */
static int check_pattern(struct loader *l, const config_setting_t *s, const char *text, bool begins_anywhere) {
        if (strncmp(text, "/dev/", strlen("/dev/")) == 0 || (begins_anywhere && text[0] == '*'))
                return 0;
        return FAIL(l, s, "%s: \"%.200s\" is compared with whole paths: begin it with /dev/%s", config_setting_name(s),
                text, begins_anywhere ? " or *" : "");
}

static int take_patterns(struct loader *l, const config_setting_t *s, bool begins_anywhere, char ***ret) {
        static const char expected[] = "an array of strings, such as [ \"/dev/disk/by-id/wwn-*\" ]";
        if (!config_setting_is_array(s) && !config_setting_is_list(s))
                return wrong_type(l, s, expected);
        unsigned count = (unsigned)config_setting_length(s);
        if (count == 0 || count > PATTERNS_MAX)
                return FAIL(l, s, "%s: give 1 to %d patterns", config_setting_name(s), PATTERNS_MAX);
        *ret = calloc(count + 1, sizeof **ret);
        if (!*ret)
                return -ENOMEM;
        for (unsigned i = 0; i < count; i++) {
                const char *text = config_setting_get_string_elem(s, (int)i);
                if (!text || !*text || !utf8_all_printable(text))
                        return FAIL(l, s, "%s: expected %s", config_setting_name(s), expected);
                int r = check_pattern(l, s, text, begins_anywhere);
                if (r == 0)
                        r = copy_to(&(*ret)[i], text);
                if (r != 0)
                        return r;
        }
        return 0;
}

static int take_fixed_patterns(struct loader *l, const config_setting_t *s, void *into) {
        static const char expected[] = "an array of strings, such as [ \"0xaa\", \"0x55\", \"0xff\", \"0x00\" ]";
        struct pattern_list list = { 0 };
        if (!config_setting_is_array(s) && !config_setting_is_list(s))
                return wrong_type(l, s, expected);
        for (unsigned i = 0; i < (unsigned)config_setting_length(s); i++) {
                const config_setting_t *element = config_setting_get_elem(s, i);
                const char *word = config_setting_get_string(element);
                if (!word)
                        return FAIL(l, element, "patterns: expected %s, found %s in it", expected, type_word(element));
                if (!utf8_all_printable(word))
                        return FAIL(l, element, "patterns: the string holds a control character or is not UTF-8");
                int problem = pattern_list_add(&list, word);
                if (problem != PATTERN_LIST_OK)
                        return FAIL(l, element, "patterns: \"%.100s\" %s", word, pattern_list_problem(problem));
        }
        ((struct device_config *)into)->patterns = list;
        return 0;
}

static int take_match(struct loader *l, const config_setting_t *s, void *into) {
        return take_patterns(l, s, false, &((struct device_config *)into)->match);
}

static int take_exclude(struct loader *l, const config_setting_t *s, void *into) {
        return take_patterns(l, s, true, &((struct device_config *)into)->exclude);
}

static int take_serial(struct loader *l, const config_setting_t *s, void *into) {
        const char *text;
        int r = take_string(l, s, "the serial or WWN as a string, as lsblk -o SERIAL,WWN shows it", &text);
        return r != 0 ? r : copy_to(&((struct device_config *)into)->serial, text);
}

static int take_create_size(struct loader *l, const config_setting_t *s, void *into) {
        struct device_config *device = into;
        uint64_t bytes;
        int r = take_size(l, s, &bytes);
        if (r == 0 && (bytes < CREATE_SIZE_MIN || bytes % FILE_UNIT_BYTES != 0))
                return FAIL(l, s, "create_size: \"%s\" must be a multiple of 4096 bytes, and at least \"1M\"",
                        config_setting_get_string(s));
        if (r == 0)
                device->create_size_bytes = bytes;
        return r;
}

static int take_destroys_data(struct loader *l, const config_setting_t *s, void *into) {
        const char *text;
        int r = take_string(l, s, "the identity of the device as a string", &text);
        return r != 0 ? r : copy_to(&((struct device_config *)into)->destroys_data, text);
}

static int take_mode(struct loader *l, const config_setting_t *s, void *into) {
        static const char expected[] = "\"read\", \"refresh\", \"preserve\" or \"pattern\"";
        struct device_config *device = into;
        const char *text;
        int r = take_string(l, s, expected, &text);
        if (r != 0)
                return r;
        enum sweep_mode mode;
        if (sweep_mode_from_name(&mode, text) == 0) {
                device->mode = mode;
                return 0;
        }
        const char *names[MODE_COUNT + 1] = { 0 };
        for (mode = 0; mode < MODE_COUNT; mode++)
                names[mode] = sweep_mode_name(mode);
        const char *nearest = text_nearest(text, names);
        if (nearest)
                return FAIL(l, s, "mode: \"%.100s\" is none: did you mean \"%s\"?", text, nearest);
        return FAIL(l, s, "mode: \"%.100s\" is none: use %s", text, expected);
}

static int take_journal(struct loader *l, const config_setting_t *s, void *into) {
        const char *text;
        int r = take_absolute_path(l, s, PATH_MAX, &text);
        return r != 0 ? r : copy_to(&((struct device_config *)into)->journal, text);
}

static int take_block_size(struct loader *l, const config_setting_t *s, void *into) {
        uint64_t bytes;
        int r = take_size(l, s, &bytes);
        if (r != 0)
                return r;
        if (bytes < BLOCK_SIZE_MIN || bytes > BLOCK_SIZE_MAX || (bytes & (bytes - 1)))
                return FAIL(l, s, "block_size: \"%s\" must be a power of 2 from \"4K\" to \"4M\"",
                        config_setting_get_string(s));
        ((struct device_config *)into)->block_size_bytes = (uint32_t)bytes;
        return 0;
}

static int take_queue_depth(struct loader *l, const config_setting_t *s, void *into) {
        return take_number(l, s, 1, QUEUE_DEPTH_MAX, &((struct device_config *)into)->queue_depth);
}

static int take_segment(struct loader *l, const config_setting_t *s, void *into) {
        struct device_config *device = into;
        int r = take_size(l, s, &device->segment_bytes);
        if (r == 0 && device->segment_bytes == 0) /* would stand for "not given" */
                return FAIL(l, s, "segment: 0 bytes must be at least one block: give a multiple of block_size");
        return r;
}

static int take_settle(struct loader *l, const config_setting_t *s, void *into) {
        return take_span(l, s, "1s", "1d", "60s", &((struct device_config *)into)->settle_us);
}

static int take_narrow_budget(struct loader *l, const config_setting_t *s, void *into) {
        return take_span(l, s, "1s", "1d", "60s", &((struct device_config *)into)->narrow_budget_us);
}

static int take_every(struct loader *l, const config_setting_t *s, void *into) {
        struct device_config *device = into;
        const char *text;
        int r = take_string(l, s, "a span as a string, such as \"30d\", or \"never\"", &text);
        if (r != 0)
                return r;
        if (strcmp(text, "never") == 0) {
                device->every_us = EVERY_NEVER;
                return 0;
        }
        uint64_t span_us;
        r = text_parse_span(&span_us, text);
        if (r == -ERANGE || (r == 0 && span_us > EVERY_MAX_US))
                return FAIL(l, s, "every: \"%.100s\" is longer than \"36500d\": write \"never\" to sweep only by hand",
                        text);
        if (r < 0)
                return FAIL(l, s,
                        "every: \"%.100s\" is not a span: write a number with s, m, h, d or w, such as \"30d\"", text);
        if (span_us < USEC_PER_SEC)
                return FAIL(l, s, "every: must be at least \"1s\": write \"never\" to sweep only by hand");
        device->every_us = span_us;
        return 0;
}

static int take_io_timeout(struct loader *l, const config_setting_t *s, void *into) {
        return take_span(l, s, "1s", "1d", "60s", &((struct device_config *)into)->io_timeout_us);
}

static int take_slow_after(struct loader *l, const config_setting_t *s, void *into) {
        return take_span(l, s, "1ms", "1d", "2s", &((struct device_config *)into)->slow_after_us);
}

static int take_yield(struct loader *l, const config_setting_t *s, void *into) {
        if (config_setting_type(s) != CONFIG_TYPE_BOOL)
                return wrong_type(l, s, "true or false");
        ((struct device_config *)into)->yield = config_setting_get_bool(s);
        return 0;
}

static int take_extent_bytes(struct loader *l, const config_setting_t *s, uint64_t *ret) {
        uint64_t bytes;
        int r = take_size(l, s, &bytes);
        if (r != 0)
                return r;
        if (bytes % EXTENT_ALIGN != 0)
                return FAIL(l, s, "%s: %" PRIu64 " bytes must be a multiple of %d", config_setting_name(s), bytes,
                        EXTENT_ALIGN);
        *ret = bytes;
        return 0;
}

static int take_offset(struct loader *l, const config_setting_t *s, void *into) {
        return take_extent_bytes(l, s, &((struct device_config *)into)->offset_bytes);
}

static int take_length(struct loader *l, const config_setting_t *s, void *into) {
        struct device_config *device = into;
        int r = take_extent_bytes(l, s, &device->length_bytes);
        if (r == 0 && device->length_bytes == 0) /* would stand for "not given" */
                return FAIL(l, s, "length: 0 bytes is nothing to sweep: leave the key out to sweep up to the end");
        return r;
}

static int take_calendar(struct loader *l, const config_setting_t *s, enum calendar_part part, void *into) {
        struct device_config *device = into;
        const char *key = config_setting_name(s);
        if (!config_setting_is_array(s) && !config_setting_is_list(s))
                return FAIL(l, s, "%s: expected a list, such as [ \"Mon..Fri 22:00-06:00\", \"Sat,Sun\" ], found %s",
                        key, type_word(s));
        if (!device->calendar)
                device->calendar = calloc(1, sizeof *device->calendar);
        if (!device->calendar)
                return -ENOMEM;
        calendar_clear(device->calendar, part);
        for (unsigned i = 0; i < (unsigned)config_setting_length(s); i++) {
                const config_setting_t *element = config_setting_get_elem(s, i);
                const char *text = config_setting_get_string(element);
                char problem[CALENDAR_PROBLEM_BYTES];
                if (!text)
                        return FAIL(l, element, "%s: expected strings, such as \"Mon..Fri 22:00-06:00\", found %s", key,
                                type_word(element));
                if (calendar_add(device->calendar, part, text, problem) < 0)
                        return FAIL(l, element, "%s: \"%.100s\": %s", key, text, problem);
        }
        return 0;
}

static int take_windows(struct loader *l, const config_setting_t *s, void *into) {
        return take_calendar(l, s, CALENDAR_WINDOWS, into);
}

static int take_blackouts(struct loader *l, const config_setting_t *s, void *into) {
        return take_calendar(l, s, CALENDAR_BLACKOUTS, into);
}

static int take_rate_min(struct loader *l, const config_setting_t *s, void *into) {
        return take_rate(l, s, NULL, &((struct device_config *)into)->rate_min_bytes);
}

static int take_rate_max(struct loader *l, const config_setting_t *s, void *into) {
        return take_rate(l, s, "none", &((struct device_config *)into)->rate_max_bytes);
}

static int take_write_limit(struct loader *l, const config_setting_t *s, void *into) {
        double limit;
        switch (config_setting_type(s)) {
        case CONFIG_TYPE_INT:
        case CONFIG_TYPE_INT64:
                limit = (double)config_setting_get_int64(s);
                break;
        case CONFIG_TYPE_FLOAT:
                limit = config_setting_get_float(s);
                break;
        default:
                return wrong_type(l, s, "a number: how often a year everything may be written");
        }
        if (!(limit > 0 && limit <= WRITE_LIMIT_MAX))
                return FAIL(l, s,
                        "write_limit: %g is out of range: give how often a year everything may be written, more than 0 and at most %d",
                        limit, WRITE_LIMIT_MAX);
        ((struct device_config *)into)->write_limit = limit;
        return 0;
}

/* --- groups --- */

static const struct key device_keys[] = {
        { "name", take_name, true },
        { "path", take_path, true },
        { "match", take_match, true },
        { "exclude", take_exclude, true },
        { "mode", take_mode, false },
        { "serial", take_serial, true },
        { "destroys_data", take_destroys_data, true },
        { "create_size", take_create_size, true },
        { "patterns", take_fixed_patterns, false },
        { "block_size", take_block_size, false },
        { "queue_depth", take_queue_depth, false },
        { "segment", take_segment, false },
        { "journal", take_journal, false },
        { "settle", take_settle, false },
        { "narrow_budget", take_narrow_budget, false },
        { "io_timeout", take_io_timeout, false },
        { "slow_after", take_slow_after, false },
        { "every", take_every, false },
        { "yield", take_yield, false },
        { "offset", take_offset, false },
        { "length", take_length, false },
        { "windows", take_windows, false },
        { "blackouts", take_blackouts, false },
        { "rate_min", take_rate_min, false },
        { "rate_max", take_rate_max, false },
        { "write_limit", take_write_limit, false },
        { 0 },
};

static const struct key verify_keys[] = {
        { "workers", take_workers, false },
        { "cpus", take_cpus, false },
        { 0 },
};

static const struct key limits_keys[] = {
        { "concurrent_sweeps", take_concurrent_sweeps, false },
        { "rate", take_limits_rate, false },
        { "per_controller", take_per_controller, false },
        { 0 },
};

static const struct key alerts_keys[] = {
        { "repeat", take_repeat, false },
        { 0 },
};

static const struct key *find_key(const struct key *keys, const char *name) {
        for (; keys->name; keys++)
                if (strcmp(keys->name, name) == 0)
                        return keys;
        return NULL;
}

/* Where there is such a key. NULL: nowhere. */
static const char *place_of(const char *name);

static int unknown_key(struct loader *l, const config_setting_t *s, const struct key *keys) {
        const char *names[KEYS_MAX], *name = config_setting_name(s);
        char all[400] = "";
        size_t count = 0;
        for (; keys[count].name; count++) {
                assert(count + 1 < KEYS_MAX);
                names[count] = keys[count].name;
                text_append(all, sizeof all, "%s%s", count ? ", " : "", keys[count].name);
        }
        names[count] = NULL;
        const char *place = place_of(name);
        if (place)
                return FAIL(l, s, "there is no key \"%.64s\" here: it belongs %s", name, place);
        const char *nearest = text_nearest(name, names);
        if (nearest)
                return FAIL(l, s, "there is no key \"%.64s\": did you mean \"%s\"?", name, nearest);
        return FAIL(l, s, "there is no key \"%.64s\" here: the keys are %s", name, all);
}

/* All names before any value: a misspelt key is then told as such, and not as one that is missing. */
static int check_names(struct loader *l, const config_setting_t *group, const struct key *keys) {
        for (unsigned i = 0; i < (unsigned)config_setting_length(group); i++) {
                const config_setting_t *s = config_setting_get_elem(group, i);
                if (!find_key(keys, config_setting_name(s)))
                        return unknown_key(l, s, keys);
        }
        return 0;
}

static int take_keys(struct loader *l, const config_setting_t *group, const struct key *keys, void *into) {
        int r = check_names(l, group, keys);
        for (unsigned i = 0; r == 0 && i < (unsigned)config_setting_length(group); i++) {
                const config_setting_t *s = config_setting_get_elem(group, i);
                r = find_key(keys, config_setting_name(s))->take(l, s, into);
        }
        return r;
}

static int take_verify(struct loader *l, const config_setting_t *s, void *into) {
        if (!config_setting_is_group(s))
                return wrong_type(l, s, "a group, such as verify = { workers = 2; };");
        return take_keys(l, s, verify_keys, into);
}

static int take_limits(struct loader *l, const config_setting_t *s, void *into) {
        if (!config_setting_is_group(s))
                return wrong_type(l, s, "a group, such as limits = { concurrent_sweeps = 4; };");
        return take_keys(l, s, limits_keys, into);
}

static int take_alerts(struct loader *l, const config_setting_t *s, void *into) {
        if (!config_setting_is_group(s))
                return wrong_type(l, s, "a group, such as alerts = { repeat = \"24h\"; };");
        return take_keys(l, s, alerts_keys, into);
}

/* These two wait until the whole file was seen: defaults also hold for devices that stand before them. */
static int note_defaults(struct loader *l, const config_setting_t *s, void *into) {
        if (!config_setting_is_group(s))
                return wrong_type(l, s, "a group, such as defaults = { every = \"30d\"; };");
        l->defaults_group = s;
        return 0;
}

static int note_devices(struct loader *l, const config_setting_t *s, void *into) {
        if (!config_setting_is_list(s))
                return wrong_type(l, s, "a list of groups, such as devices = ( { name = \"...\"; path = \"...\"; } );");
        if (config_setting_length(s) > DEVICES_MAX)
                return FAIL(l, s, "devices: more than %d: configure fewer", DEVICES_MAX);
        l->device_list = s;
        return 0;
}

static const struct key global_keys[] = {
        { "state_dir", take_state_dir, false },
        { "control_socket", take_control_socket, false },
        { "verify", take_verify, false },
        { "limits", take_limits, false },
        { "alerts", take_alerts, false },
        { "history", take_history, false },
        { "defaults", note_defaults, false },
        { "devices", note_devices, false },
        { 0 },
};

static const char *place_of(const char *name) {
        const struct key *key = find_key(device_keys, name);
        if (key)
                return key->of_one_device ? "in a device" : "in defaults, or in a device";
        return find_key(global_keys, name) ? "at the top, beside devices" : NULL;
}

static int take_defaults(struct loader *l) {
        int r = device_config_new(&l->defaults, "", "");
        if (r < 0 || !l->defaults_group)
                return r;
        for (const struct key *key = device_keys; key->name; key++) {
                const config_setting_t *s = config_setting_get_member(l->defaults_group, key->name);
                if (s && key->of_one_device)
                        return FAIL(l, s, "%s: can't be a default: give it in each device", key->name);
        }
        return take_keys(l, l->defaults_group, device_keys, l->defaults);
}

/* --- devices --- */

/* Not given, it follows an io_timeout that is shorter than usual; given, the two must fit. */
static int check_slow_after(struct loader *l, const config_setting_t *group, struct device_config *device) {
        const config_setting_t *at = config_setting_get_member(group, "slow_after");
        const config_setting_t *common = l->defaults_group ? config_setting_get_member(l->defaults_group, "slow_after")
                                                           : NULL;
        if (!at && !common)
                device->slow_after_us = MIN(device->slow_after_us, device->io_timeout_us / 2);
        if (device->slow_after_us < device->io_timeout_us)
                return 0;
        if (!at)
                at = config_setting_get_member(group, "io_timeout");
        if (!at)
                at = common;
        return FAIL(l, at ? at : group,
                "slow_after must be shorter than io_timeout: %" PRIu64 " ms is not less than %" PRIu64 " ms",
                device->slow_after_us / USEC_PER_MSEC, device->io_timeout_us / USEC_PER_MSEC);
}

/* The setting of this key, of the device or of all, or NULL. */
static const config_setting_t *find_setting(const struct loader *l, const config_setting_t *group, const char *key) {
        const config_setting_t *own = config_setting_get_member(group, key);
        return own || !l->defaults_group ? own : config_setting_get_member(l->defaults_group, key);
}

/* Not given, it follows a rate_max that is lower than usual; given, the two must fit. */
static int check_rates(struct loader *l, const config_setting_t *group, struct device_config *device) {
        if (device->rate_max_bytes == 0 || device->rate_min_bytes <= device->rate_max_bytes)
                return 0;
        const config_setting_t *at = find_setting(l, group, "rate_min");
        if (at)
                return FAIL(l, at, "rate_min: %" PRIu64 " bytes a second is more than rate_max, which is %" PRIu64,
                        device->rate_min_bytes, device->rate_max_bytes);
        device->rate_min_bytes = device->rate_max_bytes;
        return 0;
}

static int check_plan(struct loader *l, const config_setting_t *group, struct device_config *device) {
        const config_setting_t *at;
        if (device->calendar && calendar_week_minutes(device->calendar) == 0) {
                at = find_setting(l, group, "blackouts");
                return FAIL(l, at ? at : group, "blackouts: they leave nothing of the windows: take some out");
        }
        if (device->length_bytes > INT64_MAX - device->offset_bytes) {
                at = find_setting(l, group, "length");
                return FAIL(l, at ? at : group, "length: the extent ends behind the end of any device");
        }
        return check_rates(l, group, device);
}

static int check_file(struct loader *l, const config_setting_t *group, const struct device_config *device) {
        const config_setting_t *create_size = config_setting_get_member(group, "create_size");
        if (!create_size)
                return 0;
        if (sweep_mode_keeps(device->mode))
                return FAIL(l, create_size,
                        "create_size: a file has mode \"pattern\" or \"read\", and this device's mode is \"%s\"",
                        sweep_mode_name(device->mode));
        return 0;
}

static int check_device(struct loader *l, const config_setting_t *group, const struct device_config *device) {
        const config_setting_t *destroys_data = config_setting_get_member(group, "destroys_data");
        if (destroys_data && device->mode != MODE_PATTERN)
                return FAIL(l, destroys_data,
                        "destroys_data: belongs to mode \"pattern\" alone, and this device's mode is \"%s\": take one of them out",
                        sweep_mode_name(device->mode));
        const config_setting_t *patterns = config_setting_get_member(group, "patterns");
        if (patterns && device->mode != MODE_PATTERN)
                return FAIL(l, patterns,
                        "patterns: belongs to mode \"pattern\" alone, and this device's mode is \"%s\": take one of them out",
                        sweep_mode_name(device->mode));
        if (device->segment_bytes == 0)
                return 0; /* each mode's own is a multiple of every block size */
        if (device->segment_bytes >= device->block_size_bytes && device->segment_bytes % device->block_size_bytes == 0)
                return 0;
        const config_setting_t *at = config_setting_get_member(group, "segment");
        if (!at)
                at = config_setting_get_member(group, "block_size");
        return FAIL(l, at ? at : group,
                "segment: %" PRIu64 " bytes must be a multiple of block_size, which is %" PRIu32 " bytes",
                device->segment_bytes, device->block_size_bytes);
}

static struct node look_at(const char *path) {
        struct stat st;
        if (stat(path, &st) < 0)
                return (struct node){ 0 };
        if (S_ISBLK(st.st_mode))
                return (struct node){ .present = true, .device = st.st_rdev };
        return (struct node){ .present = true, .device = st.st_dev, .inode = st.st_ino };
}

static bool same_node(const struct node *a, const struct node *b) {
        return a->present && b->present && a->device == b->device && a->inode == b->inode;
}

static int same_as(struct loader *l, const config_setting_t *s, size_t other, const char *text, const char *what) {
        char place[256];
        const config_setting_t *its = config_setting_get_member(l->groups[other], config_setting_name(s));
        describe_place(
                l, (int)config_setting_source_line(its), (int)config_setting_source_line(s), place, sizeof place);
        return FAIL(l, s, "%s: \"%.200s\" is %s \"%s\" in %s", config_setting_name(s), text, what,
                l->settings->devices[other]->name, place);
}

/* As far as can be told without the device: no length reaches to the end. */
static bool extents_overlap(const struct device_config *a, const struct device_config *b) {
        return extent_overlaps(device_config_extent(a, INT64_MAX), device_config_extent(b, INT64_MAX));
}

/* Two devices on one path have to share it. */
static int same_device(
        struct loader *l, const config_setting_t *group, size_t other, const struct device_config *device) {
        const struct device_config *before = l->settings->devices[other];
        const config_setting_t *path = config_setting_get_member(group, "path");
        bool whole = device->offset_bytes == 0 && device->length_bytes == 0 && before->offset_bytes == 0 &&
                before->length_bytes == 0;
        if (whole)
                return same_as(
                        l, path, other, device->path, "configured twice: take one out; it is the same device as");
        return same_as(l, path, other, device->path,
                "configured twice, and the extents overlap: change offset or length; it is the same device as");
}

/* Against the devices before it. */
static int check_alone(struct loader *l, const config_setting_t *group, const struct device_config *device) {
        size_t n = l->settings->device_count;
        l->nodes[n] = look_at(device->path);
        for (size_t i = 0; i < n; i++) {
                const struct device_config *other = l->settings->devices[i];
                if (strcmp(device->name, other->name) == 0)
                        return same_as(l, config_setting_get_member(group, "name"), i, device->name,
                                "taken: give each device its own name, and not that of");
                bool same = strcmp(device->path, other->path) == 0 || same_node(&l->nodes[n], &l->nodes[i]);
                if (same && extents_overlap(device, other))
                        return same_device(l, group, i, device);
        }
        return 0;
}

/* Where it stands: in the device itself, or in the defaults. */
static const config_setting_t *journal_setting(const struct loader *l, size_t device) {
        const config_setting_t *own = config_setting_get_member(l->groups[device], "journal");
        return own ? own : config_setting_get_member(l->defaults_group, "journal");
}

/*
 * A block device that is a journal keeps what its target can't do without, so no sweep may overwrite it, and it holds
 * one target's. Only what lies in /dev is looked at: elsewhere a dead server could keep us waiting.
 */
static int check_journal(struct loader *l, size_t index, struct node *journals) {
        const char *journal = l->settings->devices[index]->journal;
        if (!journal)
                return 0;
        const config_setting_t *s = journal_setting(l, index);
        if (strncmp(journal, "/dev/", strlen("/dev/")) == 0)
                journals[index] = look_at(journal);
        if (journals[index].inode != 0)
                journals[index].present = false; /* a directory can be shared */
        for (size_t i = 0; i < l->settings->device_count; i++) {
                const struct device_config *other = l->settings->devices[i];
                if (strcmp(journal, other->path) == 0 || same_node(&journals[index], &l->nodes[i]))
                        return FAIL(l, s,
                                "journal: \"%.200s\" is device \"%s\": choose a directory, or a device of its own",
                                journal, other->name);
                if (i < index && same_node(&journals[index], &journals[i]))
                        return FAIL(l, s,
                                "journal: \"%.200s\" is a block device that is the journal of \"%s\" already: give each device its own, or a directory",
                                journal, other->name);
        }
        return 0;
}

static int check_journals(struct loader *l) {
        CLEANUP_FREE struct node *journals = calloc(l->settings->device_count, sizeof *journals);
        if (!journals)
                return -ENOMEM;
        int r = 0;
        for (size_t i = 0; r == 0 && i < l->settings->device_count; i++)
                r = check_journal(l, i, journals);
        return r;
}

static int require(struct loader *l, const config_setting_t *group, const char *key) {
        if (config_setting_get_member(group, key))
                return 0;
        return FAIL(l, group, "this device has no %s: add %s = \"...\";", key, key);
}

/* Either it names one device, or it stands for all disks that match. */
static int check_kind(struct loader *l, const config_setting_t *group) {
        static const char *const of_one[] = { "name", "path", "serial", "destroys_data", "create_size" };
        const config_setting_t *exclude = config_setting_get_member(group, "exclude");
        if (!config_setting_get_member(group, "match")) {
                if (exclude)
                        return FAIL(l, exclude, "exclude: belongs to match, which is not given: take it out");
                int r = require(l, group, "name");
                return r != 0 ? r : require(l, group, "path");
        }
        for (size_t i = 0; i < ELEMENTS(of_one); i++) {
                const config_setting_t *s = config_setting_get_member(group, of_one[i]);
                if (s)
                        return FAIL(l, s,
                                "%s: can't be given beside match, which stands for many disks: give that disk an entry of its own",
                                of_one[i]);
        }
        return 0;
}

static int check_match(struct loader *l, const config_setting_t *group, const struct device_config *entry) {
        const config_setting_t *mode = config_setting_get_member(group, "mode");
        if (entry->mode == MODE_READ)
                return 0;
        return FAIL(l, mode ? mode : config_setting_get_member(group, "match"),
                "disks that are taken by match are only read, but the mode %s \"%s\": give this entry mode = \"read\", and those that shall be written to entries of their own",
                mode ? "is" : "of the defaults is", sweep_mode_name(entry->mode));
}

/* The entry is taken over where it is in order. */
static int add_device(struct loader *l, const config_setting_t *group, struct device_config **device) {
        struct settings *s = l->settings;
        if ((*device)->match) {
                int r = check_match(l, group, *device);
                if (r == 0)
                        s->matches[s->match_count++] = STEAL(*device);
                return r;
        }
        int r = check_alone(l, group, *device);
        if (r == 0) {
                l->groups[s->device_count] = group;
                s->devices[s->device_count++] = STEAL(*device);
        }
        return r;
}

static void take_plan_defaults(struct device_config *device, const struct device_config *defaults) {
        device->every_us = defaults->every_us;
        device->offset_bytes = defaults->offset_bytes;
        device->length_bytes = defaults->length_bytes;
        device->rate_min_bytes = defaults->rate_min_bytes;
        device->rate_max_bytes = defaults->rate_max_bytes;
        device->write_limit = defaults->write_limit;
        device->patterns = defaults->patterns;
}

static int copy_calendar(struct calendar **to, const struct calendar *from) {
        *to = malloc(sizeof **to);
        if (!*to)
                return -ENOMEM;
        **to = *from;
        return 0;
}

static int take_device(struct loader *l, const config_setting_t *group) {
        if (!config_setting_is_group(group))
                return FAIL(l, group, "devices: expected a group such as { name = \"...\"; path = \"...\"; }, found %s",
                        type_word(group));
        CLEANUP(device_config_unrefp)
        struct device_config *device = NULL;
        int r = check_names(l, group, device_keys);
        if (r == 0)
                r = check_kind(l, group);
        if (r == 0)
                r = device_config_new(&device, "", "");
        if (r != 0)
                return r;
        device->mode = l->defaults->mode;
        device->block_size_bytes = l->defaults->block_size_bytes;
        device->queue_depth = l->defaults->queue_depth;
        device->segment_bytes = l->defaults->segment_bytes;
        device->narrow_budget_us = l->defaults->narrow_budget_us;
        device->io_timeout_us = l->defaults->io_timeout_us;
        device->settle_us = l->defaults->settle_us;
        device->slow_after_us = l->defaults->slow_after_us;
        device->yield = l->defaults->yield;
        const config_setting_t *name = config_setting_get_member(group, "name");
        device->line = line_of(l, name ? name : config_setting_get_member(group, "match"));
        take_plan_defaults(device, l->defaults);
        if (l->defaults->journal)
                r = copy_to(&device->journal, l->defaults->journal);
        if (r == 0 && l->defaults->calendar)
                r = copy_calendar(&device->calendar, l->defaults->calendar);
        if (r == 0)
                r = take_keys(l, group, device_keys, device);
        if (device->mode != MODE_PATTERN) /* then they are those of the defaults */
                device->patterns.count = 0;
        if (r == 0)
                r = check_device(l, group, device);
        if (r == 0)
                r = check_file(l, group, device);
        if (r == 0)
                r = check_slow_after(l, group, device);
        if (r == 0)
                r = check_plan(l, group, device);
        return r != 0 ? r : add_device(l, group, &device);
}

static int take_devices(struct loader *l) {
        size_t count = l->device_list ? (size_t)config_setting_length(l->device_list) : 0;
        if (count == 0)
                return 0;
        l->settings->devices = calloc(count, sizeof *l->settings->devices);
        l->settings->matches = calloc(count, sizeof *l->settings->matches);
        CLEANUP_FREE struct node *nodes = calloc(count, sizeof *nodes);
        CLEANUP_FREE const config_setting_t **groups = calloc(count, sizeof *groups);
        if (!l->settings->devices || !l->settings->matches || !nodes || !groups)
                return -ENOMEM;
        l->nodes = nodes;
        l->groups = groups;
        int r = 0;
        for (size_t i = 0; r == 0 && i < count; i++)
                r = take_device(l, config_setting_get_elem(l->device_list, (unsigned)i));
        if (r == 0)
                r = check_journals(l);
        l->nodes = NULL;
        l->groups = NULL;
        return r;
}

/* --- the whole --- */

static void set_defaults(struct settings *s, const struct settings_surroundings *surroundings) {
        const char *directory = surroundings->state_directory;
        if (!directory || !*directory)
                directory = "/var/lib/sweepd";
        text_copy(s->state_dir, sizeof s->state_dir, directory);
        s->state_dir[strcspn(s->state_dir, ":")] = '\0'; /* systemd may give several: systemd.exec(5) */
        text_copy(s->control_socket, sizeof s->control_socket, "/run/sweepd/control");
        s->per_controller = PER_CONTROLLER;
        s->history_us = HISTORY_US;
        s->repeat_us = REPEAT_US;
        s->cpus = surroundings->cpus;
        cpus_format(s->cpus_text, sizeof s->cpus_text, &s->cpus);
}

static int take_all(struct loader *l, const config_setting_t *root) {
        int r = take_keys(l, root, global_keys, l->settings);
        if (r != 0)
                return r;
        if (!l->workers_given)
                l->settings->workers = (unsigned)MIN(CPU_COUNT(&l->settings->cpus), WORKERS_DEFAULT_MAX);
        r = take_defaults(l);
        return r != 0 ? r : take_devices(l);
}

/* libconfig tells the line, and one of a few fixed phrases. */
static int explain_parse_error(struct loader *l, const config_t *config) {
        const char *file, *text = source_text(l->source), *phrase = config_error_text(config);
        int line, at = MAX(config_error_line(config), 1);
        source_place(l->source, at, &file, &line);
        struct lexer_duplicate twice;
        if (phrase && strcmp(phrase, "duplicate setting name") == 0 && lexer_find_duplicate(&twice, text)) {
                char first[256];
                describe_place(l, twice.first_line, twice.second_line, first, sizeof first);
                source_place(l->source, twice.second_line, &file, &line);
                return settings_error_set(l->error, file, line,
                        "the key \"%.*s\" stands here twice, first in %s: take one of them out",
                        MIN(twice.name_length, 64), twice.name, first);
        }
        struct lexer_dotted dotted;
        if (lexer_find_dotted(&dotted, text, at))
                return settings_error_set(l->error, file, line, "a key can't hold a dot: write %.*s = { %.*s = ...; };",
                        MIN(dotted.group_length, 64), dotted.group, MIN(dotted.key_length, 64), dotted.key);
        return settings_error_set(l->error, file, line,
                "%s here or just before: look for a missing quote, bracket, = or comma (there is none after the last of a list)",
                phrase ? phrase : "syntax error");
}

static int load(struct loader *l) {
        config_t config;
        config_init(&config);
        int r = config_read_string(&config, source_text(l->source)) ? take_all(l, config_root_setting(&config))
                                                                    : explain_parse_error(l, &config);
        config_destroy(&config);
        l->defaults = device_config_unref(l->defaults);
        return r;
}

int settings_load(struct settings **ret, struct settings_error *error, const char *file,
        const struct settings_surroundings *surroundings) {
        assert(CPU_COUNT(&surroundings->cpus) > 0);
        CLEANUP(source_freep)
        struct source *source = NULL;
        int r = source_load(&source, error, file);
        if (r != 0)
                return r;
        CLEANUP(settings_freep)
        struct settings *settings = calloc(1, sizeof *settings);
        if (!settings)
                return -ENOMEM;
        set_defaults(settings, surroundings);
        struct loader l = { .source = source, .surroundings = surroundings, .error = error, .settings = settings };
        r = load(&l);
        if (r == 0)
                *ret = STEAL(settings);
        return r;
}

struct device_config *settings_device(const struct settings *s, const char *name) {
        for (size_t i = 0; i < s->device_count; i++)
                if (strcmp(s->devices[i]->name, name) == 0)
                        return s->devices[i];
        return NULL;
}

struct settings *settings_free(struct settings *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->device_count; i++)
                device_config_unref(s->devices[i]);
        for (size_t i = 0; i < s->match_count; i++)
                device_config_unref(s->matches[i]);
        free(s->matches);
        free(s->devices);
        free(s);
        return NULL;
}
