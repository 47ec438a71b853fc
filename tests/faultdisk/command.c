/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands that are not rules: power, removal, the write cache, release of what hangs. Each is one row of a table.
 * A command that is not understood changes nothing and says so, or a test would pass for want of its fault.
 */
#include "disk_private.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* argument: the rest of the line, "" where there is none. 0, or -EINVAL; the answer's text may be filled in. */
typedef int (*command_fn)(struct disk *disk, char *argument, char text[static RULES_TEXT_BYTES]);

static int number_from(const char *text, uint64_t *ret) {
        return text_parse_size(ret, text);
}

/* "errno=EIO", or nothing: then as `otherwise`. -1: not understood. */
static int errno_from(const char *argument, int otherwise) {
        if (!*argument)
                return otherwise;
        int error = strncmp(argument, "errno=", 6) == 0 ? rules_errno(argument + 6) : 0;
        return error ? error : -1;
}

static int run_drop(struct disk *disk, char *argument, char text[static RULES_TEXT_BYTES]) {
        uint64_t number;
        return number_from(argument, &number) == 0 && rules_drop(&disk->rules, (unsigned)number) ? 0 : -EINVAL;
}

static int run_clear(struct disk *disk, char *argument, char text[static RULES_TEXT_BYTES]) {
        disk->rules.count = 0;
        return 0;
}

static int run_hits(struct disk *disk, char *argument, char text[static RULES_TEXT_BYTES]) {
        uint64_t number;
        const struct rule *rule = number_from(argument, &number) == 0 ? rules_find(&disk->rules, (unsigned)number)
                                                                      : NULL;
        if (!rule)
                return -EINVAL;
        text_format(text, RULES_TEXT_BYTES, "%" PRIu64, rule->hits);
        return 0;
}

static int run_hanging(struct disk *disk, char *argument, char text[static RULES_TEXT_BYTES]) {
        text_format(text, RULES_TEXT_BYTES, "%u", disk->hanging);
        return 0;
}

static int run_release(struct disk *disk, char *argument, char text[static RULES_TEXT_BYTES]) {
        int error = errno_from(argument, 0);
        if (error < 0)
                return -EINVAL;
        disk_release(disk, error);
        return 0;
}

static int run_snapshot(struct disk *disk, char *argument, char text[static RULES_TEXT_BYTES]) {
        return cache_snapshot(disk->cache);
}

static int run_cache(struct disk *disk, char *argument, char text[static RULES_TEXT_BYTES]) {
        static const char *const names[] = { "off", "volatile", "lying" };
        for (unsigned i = 0; i < ELEMENTS(names); i++) {
                if (strcmp(names[i], argument) == 0) {
                        cache_set_mode(disk->cache, (enum cache_mode)i);
                        return 0;
                }
        }
        return -EINVAL;
}

static int run_powercut(struct disk *disk, char *argument, char text[static RULES_TEXT_BYTES]) {
        uint64_t seed = 0;
        enum cache_loss loss;
        if (strcmp(argument, "drop") == 0)
                loss = LOSS_DROP;
        else if (strcmp(argument, "keep") == 0)
                loss = LOSS_KEEP;
        else if (strncmp(argument, "random ", 7) == 0 && number_from(argument + 7, &seed) == 0)
                loss = LOSS_RANDOM;
        else
                return -EINVAL;
        cache_lose(disk->cache, loss, seed);
        disk->gone_error = EIO;
        disk_release(disk, EIO);
        return 0;
}

static int run_remove(struct disk *disk, char *argument, char text[static RULES_TEXT_BYTES]) {
        int error = errno_from(argument, ENODEV);
        if (error < 0)
                return -EINVAL;
        disk->gone_error = error;
        disk_release(disk, error);
        return 0;
}

static int run_return(struct disk *disk, char *argument, char text[static RULES_TEXT_BYTES]) {
        disk->gone_error = 0;
        return 0;
}

static int run_shrink(struct disk *disk, char *argument, char text[static RULES_TEXT_BYTES]) {
        uint64_t bytes;
        if (number_from(argument, &bytes) < 0 || bytes > disk->size_bytes || bytes % SECTOR_BYTES)
                return -EINVAL;
        disk->shown_bytes = bytes;
        return 0;
}

static int run_model(struct disk *disk, char *argument, char text[static RULES_TEXT_BYTES]) {
        static const struct {
                const char *name;
                struct model model;
        } models[] = {
                { "hdd", { .seek_us = 8000, .bytes_per_s = 200 * 1000 * 1000 } },
                { "ssd", { .seek_us = 60, .bytes_per_s = 500 * 1000 * 1000 } },
                { "none", { 0 } },
        };
        for (size_t i = 0; i < ELEMENTS(models); i++) {
                if (strcmp(models[i].name, argument) == 0) {
                        disk->model = models[i].model;
                        return 0;
                }
        }
        return -EINVAL;
}

static int run_log(struct disk *disk, char *argument, char text[static RULES_TEXT_BYTES]) {
        FILE *log = NULL;
        if (strcmp(argument, "off") != 0 && !(log = fopen(argument, "we"))) {
                text_format(text, RULES_TEXT_BYTES, "cannot write %s: %s", argument, strerror(errno));
                return -EINVAL;
        }
        if (log)
                setvbuf(log, NULL, _IOLBF, 0);
        if (disk->log)
                fclose(disk->log);
        disk->log = log;
        return 0;
}

/* A sound disk again: what hangs completes. */
static int run_reset(struct disk *disk, char *argument, char text[static RULES_TEXT_BYTES]) {
        disk->rules.count = 0;
        disk->gone_error = 0;
        disk->shown_bytes = disk->size_bytes;
        disk->model = (struct model){ 0 };
        disk_release(disk, 0);
        return 0;
}

static const struct {
        const char *name;
        command_fn run;
        bool takes_argument;
} commands[] = {
        { "drop", run_drop, true },
        { "clear", run_clear, false },
        { "hits", run_hits, true },
        { "hanging", run_hanging, false },
        { "release", run_release, true },
        { "snapshot", run_snapshot, false },
        { "cache", run_cache, true },
        { "powercut", run_powercut, true },
        { "poweron", run_return, false },
        { "remove", run_remove, true },
        { "return", run_return, false },
        { "shrink", run_shrink, true },
        { "model", run_model, true },
        { "log", run_log, true },
        { "reset", run_reset, false },
};

static int run_rule(struct disk *disk, char *line, char text[static RULES_TEXT_BYTES]) {
        unsigned number = 0;
        int r = rules_add(&disk->rules, line, &number, text);
        if (r == 0)
                text_format(text, RULES_TEXT_BYTES, "%u", number);
        return r;
}

static int run_line(struct disk *disk, char *line, char text[static RULES_TEXT_BYTES]) {
        char word[32] = "";
        size_t length = strcspn(line, " \t");
        if (length < sizeof word)
                memcpy(word, line, length);
        if (rules_is_action(word))
                return run_rule(disk, line, text);
        char *argument = line + length + strspn(line + length, " \t");
        for (size_t i = 0; i < ELEMENTS(commands); i++) {
                if (strcmp(commands[i].name, word) != 0)
                        continue;
                if (!*argument || commands[i].takes_argument)
                        return commands[i].run(disk, argument, text);
                text_format(text, RULES_TEXT_BYTES, "takes no argument");
                return -EINVAL;
        }
        text_format(text, RULES_TEXT_BYTES, "no such command");
        return -EINVAL;
}

void disk_command(struct disk *disk, char *line, char answer[static DISK_ANSWER_BYTES]) {
        char text[RULES_TEXT_BYTES] = "";
        char whole[RULES_TEXT_BYTES];
        text_copy(whole, sizeof whole, line);
        pthread_mutex_lock(&disk->lock);
        int r = run_line(disk, line, text);
        pthread_mutex_unlock(&disk->lock);
        if (r == 0)
                text_format(answer, DISK_ANSWER_BYTES, "ok %s", text);
        else
                text_format(answer, DISK_ANSWER_BYTES, "error %s: %s", whole, *text ? text : "not understood");
}
