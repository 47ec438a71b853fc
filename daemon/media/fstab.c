/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a power cut in mid-sweep the next boot mounts the file system, or runs fsck on it, while parts of it are still
 * in the journal: it would be damaged for good. So it has to be known whether boot uses the device: by fstab(5),
 * crypttab(5), the units of systemd, or without being named at all, for its partition's type. What can't be told counts
 * as named.
 */
#include "media/fstab.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "media/boot_units.h"
#include "media/device_names.h"
#include "media/mounts.h"
#include "media/sysfs.h"
#include "media/target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define RECOVER_UNIT "sweepd-recover.service"

enum { FIELDS_MAX = 4 };

/* The value of an option may be a device, too: logdev=, journal_path=, device=, header=. */
static bool option_is_ours(const struct device_names *names, char *options) {
        char *rest = options, *option;
        while ((option = strsep(&rest, ",")) != NULL) {
                const char *value = strchr(option, '=');
                if (value && value[1] && device_names_have(names, value + 1))
                        return true;
        }
        return false;
}

struct table {
        const char *path;
        size_t device; /* which field names the device */
        size_t key;    /* which one may end in ":DEVICE"; 0: none */
};

/* Fields are apart by white space; what is in them is escaped as in mountinfo. */
static bool line_is_ours(const struct table *table, const struct device_names *names, char *line) {
        char *fields[FIELDS_MAX] = { 0 }, *rest = line, *field;
        size_t count = 0;
        while (count < FIELDS_MAX && (field = strsep(&rest, " \t\r\n")) != NULL)
                if (*field)
                        fields[count++] = field;
        if (count <= table->device || fields[0][0] == '#')
                return false;
        for (size_t i = 0; i < count; i++)
                mounts_unescape(fields[i]);
        const char *key = table->key && count > table->key ? strrchr(fields[table->key], ':') : NULL;
        return device_names_have(names, fields[table->device]) || (key && device_names_have(names, key + 1)) ||
                (count == FIELDS_MAX && option_is_ours(names, fields[FIELDS_MAX - 1]));
}

static void unreadable(struct target_facts *facts, const struct table *table, int error) {
        text_format(facts->boot_use, sizeof facts->boot_use, "%s can't be read: %s", table->path, strerror(error));
}

/* Fills in boot_use where the table names the target, or can't be read. */
static void look_into(const struct table *table, const struct device_names *names, struct target_facts *facts) {
        FILE *file = fopen(table->path, "re");
        if (!file) {
                if (errno != ENOENT)
                        unreadable(facts, table, errno);
                return;
        }
        CLEANUP_FREE char *line = NULL;
        size_t line_bytes = 0;
        for (unsigned number = 1; !facts->boot_use[0] && getline(&line, &line_bytes, file) >= 0; number++)
                if (line_is_ours(table, names, line))
                        text_format(
                                facts->boot_use, sizeof facts->boot_use, "line %u of %s names it", number, table->path);
        if (ferror(file))
                unreadable(facts, table, errno);
        fclose(file);
}

/* --- the recovery --- */

/* As systemctl enable leaves it: a link in a .wants or .requires directory. Highest priority first. */
static const char *const unit_directories[] = { "/etc/systemd/system", "/run/systemd/system",
        "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system" };

static bool ends_with(const char *text, const char *end) {
        size_t n = strlen(text), m = strlen(end);
        return n >= m && strcmp(text + n - m, end) == 0;
}

static bool is_wanted_in(const char *directory) {
        CLEANUP_CLOSEDIR DIR *list = sysfs_list(AT_FDCWD, directory);
        const char *name;
        while (list && (name = sysfs_next(list)) != NULL) {
                char entry[PATH_MAX];
                if (!ends_with(name, ".wants") && !ends_with(name, ".requires"))
                        continue;
                text_format(entry, sizeof entry, "%s/" RECOVER_UNIT, name);
                if (faccessat(dirfd(list), entry, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                        return true;
        }
        return false;
}

/* The unit's file that counts is the first one; a mask is a link to /dev/null. */
static bool is_there_and_not_masked(void) {
        for (size_t i = 0; i < ELEMENTS(unit_directories); i++) {
                char path[PATH_MAX], to[PATH_MAX];
                text_format(path, sizeof path, "%s/" RECOVER_UNIT, unit_directories[i]);
                ssize_t n = readlink(path, to, sizeof to - 1);
                to[MAX(n, 0)] = '\0';
                if (strcmp(to, "/dev/null") == 0)
                        return false;
                if (access(path, F_OK) == 0)
                        return true;
        }
        return false;
}

static bool recovery_is_enabled(void) {
        bool wanted = false;
        for (size_t i = 0; i < ELEMENTS(unit_directories); i++)
                wanted = wanted || is_wanted_in(unit_directories[i]);
        return wanted && is_there_and_not_masked();
}

/* Before anything is unlocked, assembled or mounted there are disks, partitions, and the root file system. */
static bool device_is_raw(dev_t device) {
        static const char *const stacked[] = { "dm", "md", "loop/backing_file", "bcache" };
        CLEANUP_CLOSE int dir = sysfs_open(device);
        CLEANUP_CLOSE int whole = dir >= 0 ? sysfs_open_whole(dir) : -1;
        if (whole < 0)
                return false;
        for (size_t i = 0; i < ELEMENTS(stacked); i++)
                if (sysfs_exists(whole, stacked[i]))
                        return false;
        return true;
}

/* Looks at the nearest directory above where there is nothing yet. */
static bool journal_is_there_at_boot(const char *journal) {
        char path[PATH_MAX];
        struct stat st, root;
        dev_t unused;
        if (!text_copy(path, sizeof path, journal) || mounts_may_hang(path, &unused) || stat("/", &root) < 0)
                return false;
        while (stat(path, &st) < 0) {
                char *slash = strrchr(path, '/');
                if (errno != ENOENT || !slash)
                        return false;
                slash[slash == path ? 1 : 0] = '\0';
        }
        return S_ISBLK(st.st_mode) ? device_is_raw(st.st_rdev) : st.st_dev == root.st_dev;
}

void fstab_probe(struct target_facts *facts, const char *journal) {
        static const struct table tables[] = {
                { .path = "/etc/fstab", .device = 0 },
                { .path = "/etc/crypttab", .device = 1, .key = 2 },
        };
        struct device_names names;
        device_names_gather(&names, facts);
        for (size_t i = 0; i < ELEMENTS(tables) && !facts->boot_use[0]; i++)
                look_into(&tables[i], &names, facts);
        if (!facts->boot_use[0])
                boot_units_probe(facts, &names);
        facts->boot_known = true;
        facts->recovers_at_boot = recovery_is_enabled();
        facts->journal_at_boot = journal_is_there_at_boot(journal);
}
