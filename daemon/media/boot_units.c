/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Not all that boot mounts is in fstab: there are mount units, which people write and generators make, and partitions
 * that are mounted for their type alone. What could go wrong: one of them is overlooked, and mounts a file system whose
 * other half is in an undo journal. So the files of units are read as they lie there, enabled or not, and drop-ins like
 * units; what is in a partition's type counts on every disk, though systemd looks at that of the root alone. (Those for
 * the root and /usr are left out: they are in use before anything of ours runs.)
 */
#include "media/boot_units.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "media/signatures.h"
#include "media/sysfs.h"
#include "media/target.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NO_AUTO (UINT64_C(1) << 63) /* flag of a partition: not to be mounted by its type */

enum { UNIT_NAME_BYTES = 256 };

struct search {
        const struct device_names *names;
        void (*take)(void *userdata, const char *unit, const char *file);
        void *userdata;
};

static bool begins_with(const char *text, const char *begin) {
        return strncmp(text, begin, strlen(begin)) == 0;
}

static bool ends_with(const char *text, const char *end) {
        size_t n = strlen(text), m = strlen(end);
        return n >= m && strcmp(text + n - m, end) == 0;
}

static bool is_of_interest(const char *unit) {
        return ends_with(unit, ".mount") || ends_with(unit, ".swap") ||
                (begins_with(unit, "systemd-cryptsetup@") && ends_with(unit, ".service"));
}

/* The value of a line "KEY=value". NULL: it is another line. */
static char *value_of(char *line, const char *key) {
        line += strspn(line, " \t");
        if (!begins_with(line, key))
                return NULL;
        line += strlen(key);
        line += strspn(line, " \t");
        if (*line != '=')
                return NULL;
        line += 1 + strspn(line + 1, " \t");
        for (size_t n = strlen(line); n > 0 && strchr(" \t\r\n", line[n - 1]); n--)
                line[n - 1] = '\0';
        return line;
}

/* A word of a command may be the device. */
static bool command_is_ours(const struct search *s, char *command) {
        char *rest = command, *word;
        while ((word = strsep(&rest, " \t'\"")) != NULL)
                if ((word[0] == '/' || strchr(word, '=')) && device_names_have(s->names, word))
                        return true;
        return false;
}

static bool line_is_ours(const struct search *s, char *line) {
        char *what = value_of(line, "What");
        if (what)
                return device_names_have(s->names, what);
        char *command = value_of(line, "ExecStart");
        return command && command_is_ours(s, command);
}

static void take_checks(const struct search *s, char *line, const char *path) {
        static const char *const keys[] = { "Requires", "Wants" };
        for (size_t i = 0; i < ELEMENTS(keys); i++) {
                char *rest = value_of(line, keys[i]), *unit;
                while (rest && (unit = strsep(&rest, " \t")) != NULL)
                        if (begins_with(unit, "systemd-fsck@"))
                                s->take(s->userdata, unit, path);
        }
}

/* Twice: which checks it asks for stands before what it mounts. */
static void read_unit(const struct search *s, const char *unit, const char *path) {
        FILE *file = fopen(path, "re");
        if (!file)
                return;
        CLEANUP_FREE char *line = NULL;
        size_t line_bytes = 0;
        bool ours = false;
        while (!ours && getline(&line, &line_bytes, file) >= 0)
                ours = line_is_ours(s, line);
        if (ours) {
                s->take(s->userdata, unit, path);
                rewind(file);
                while (getline(&line, &line_bytes, file) >= 0)
                        take_checks(s, line, path);
        }
        fclose(file);
}

static void read_drop_ins(const struct search *s, const char *directory, const char *entry) {
        char path[PATH_MAX], unit[UNIT_NAME_BYTES];
        text_format(path, sizeof path, "%s/%s", directory, entry);
        text_format(unit, sizeof unit, "%.*s", (int)(strlen(entry) - strlen(".d")), entry);
        CLEANUP_CLOSEDIR DIR *list = is_of_interest(unit) ? sysfs_list(AT_FDCWD, path) : NULL;
        const char *name;
        while (list && (name = sysfs_next(list)) != NULL) {
                char file[PATH_MAX];
                if (ends_with(name, ".conf") && text_format(file, sizeof file, "%s/%s", path, name))
                        read_unit(s, unit, file);
        }
}

static void search_directory(const struct search *s, const char *directory) {
        CLEANUP_CLOSEDIR DIR *list = sysfs_list(AT_FDCWD, directory);
        const char *name;
        while (list && (name = sysfs_next(list)) != NULL) {
                char path[PATH_MAX];
                if (ends_with(name, ".d"))
                        read_drop_ins(s, directory, name);
                else if (is_of_interest(name) && text_format(path, sizeof path, "%s/%s", directory, name))
                        read_unit(s, name, path);
        }
}

void boot_units_each(const struct device_names *names, void (*take)(void *userdata, const char *unit, const char *file),
        void *userdata) {
        static const char *const directories[] = { "/etc/systemd/system.control", "/etc/systemd/system",
                "/run/systemd/system", "/run/systemd/generator.early", "/run/systemd/generator",
                "/run/systemd/generator.late", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system" };
        struct search s = { names, take, userdata };
        for (size_t i = 0; i < ELEMENTS(directories); i++)
                search_directory(&s, directories[i]);
}

static void take_first(void *userdata, const char *unit, const char *file) {
        struct target_facts *facts = userdata;
        if (!facts->boot_use[0])
                text_format(facts->boot_use, sizeof facts->boot_use, "%s names it", file);
}

/* By the Discoverable Partitions Specification. */
static const char *automatic_use(const char *type) {
        static const struct {
                const char *type, *use;
        } uses[] = {
                { "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "an EFI system partition" },
                { "bc13c2ff-59e6-4262-a352-b275fd6f7172", "an extended boot loader partition" },
                { "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "swap" },
                { "933ac7e1-2eb4-4f13-b844-0e14e2aef915", "/home" },
                { "3b8f8425-20e0-4f3b-907f-1a25a76f98e8", "/srv" },
                { "4d21b016-b534-45c2-a9fb-5c16e091fd2d", "/var" },
                { "7ec6f557-3bc5-4aca-b293-16ef5df639d1", "/var/tmp" },
        };
        for (size_t i = 0; i < ELEMENTS(uses); i++)
                if (strcasecmp(uses[i].type, type) == 0)
                        return uses[i].use;
        return NULL;
}

static void look_at_type(struct target_facts *facts, dev_t partition) {
        char type[PARTITION_TYPE_BYTES];
        uint64_t flags;
        if (signatures_partition_type(partition, type, &flags) != 1 || flags & NO_AUTO)
                return;
        const char *use = automatic_use(type);
        if (use)
                text_format(facts->boot_use, sizeof facts->boot_use,
                        "by its GPT type systemd may take a partition of it for %s", use);
}

void boot_units_probe(struct target_facts *facts, const struct device_names *names) {
        static const char generator[] = "/usr/lib/systemd/system-generators/systemd-gpt-auto-generator";
        boot_units_each(names, take_first, facts);
        for (size_t i = 0; !facts->boot_use[0] && i < names->count && access(generator, F_OK) == 0; i++)
                look_at_type(facts, names->devices[i]);
}
