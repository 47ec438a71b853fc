/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line of configuration stands for all disks of a host, so nobody types their names, and nobody notices when one is
 * gone. Two mistakes would be bad here: to sweep one disk twice because it has many names, and to forget a disk because
 * it went away, which is the very fault that it is swept for. So identity counts, not names, and who is on the roster
 * stays there.
 */
#include "plan/roster.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

DEFINE_FREEP(struct roster, roster_free, roster_freep)

static void member_free(struct roster_member *member) {
        free(member->key);
        free(member->path);
        free(member->pattern);
}

struct roster *roster_free(struct roster *roster) {
        if (!roster)
                return NULL;
        for (size_t i = 0; i < roster->count; i++)
                member_free(&roster->members[i]);
        free(roster->members);
        free(roster);
        return NULL;
}

static int roster_new_empty(struct roster **ret, size_t max) {
        CLEANUP(roster_freep)
        struct roster *roster = calloc(1, sizeof *roster);
        if (!roster)
                return -ENOMEM;
        roster->members = calloc(max + 1, sizeof *roster->members);
        if (!roster->members)
                return -ENOMEM;
        *ret = STEAL(roster);
        return 0;
}

static int add(struct roster *roster, const struct roster_member *from) {
        struct roster_member member = *from;
        member.key = strdup(from->key);
        member.path = strdup(from->path);
        member.pattern = strdup(from->pattern);
        if (!member.key || !member.path || !member.pattern) {
                member_free(&member);
                return -ENOMEM;
        }
        roster->members[roster->count++] = member;
        return 0;
}

/* --- names --- */

/* Appends what a device's name may hold; all else becomes one hyphen. */
static void append_plain(char *name, size_t name_bytes, const char *text) {
        size_t n = strlen(name);
        for (; *text && n + 1 < name_bytes; text++) {
                char c = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;
                if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789._", c)) {
                        if (n == 0 || name[n - 1] == '-')
                                continue;
                        c = '-';
                }
                name[n++] = c;
        }
        while (n > 0 && name[n - 1] == '-')
                n--;
        name[n] = '\0';
}

static const char *base_name(const char *path) {
        const char *slash = strrchr(path, '/');
        return slash ? slash + 1 : path;
}

/* The serial comes last and is what tells disks apart: where both do not fit, the model is cut. */
static void name_by_serial(char name[static DEVICE_NAME_BYTES], const struct identity *identity) {
        char serial[DEVICE_NAME_BYTES] = "";
        append_plain(serial, sizeof serial, identity->serial);
        append_plain(name, DEVICE_NAME_BYTES - MIN(strlen(serial) + 1, (size_t)DEVICE_NAME_BYTES - 1), identity->model);
        text_append(name, DEVICE_NAME_BYTES, "%s%s", name[0] && serial[0] ? "-" : "", serial);
}

bool roster_name(char name[static DEVICE_NAME_BYTES], const struct disk_record *disk) {
        const struct identity *i = &disk->identity;
        name[0] = '\0';
        if (i->kind == TARGET_KIND_LOOP) {
                text_copy(name, DEVICE_NAME_BYTES, "loop-");
                append_plain(name, DEVICE_NAME_BYTES, base_name(i->backing_file));
        } else if (i->serial[0] && !disk->shares_serial) {
                name_by_serial(name, i);
        } else if (i->wwn[0]) {
                text_copy(name, DEVICE_NAME_BYTES, "wwn-");
                append_plain(name, DEVICE_NAME_BYTES, i->wwn);
        }
        if (name[0])
                return true;
        append_plain(name, DEVICE_NAME_BYTES, disk->name);
        return false;
}

/* --- who matches --- */

static bool any_fits(char *const *patterns, const char *name) {
        for (; patterns && *patterns; patterns++)
                if (fnmatch(*patterns, name, 0) == 0)
                        return true;
        return false;
}

static bool is_excluded(const struct device_config *entry, const struct disk_record *disk, const char *path) {
        bool excluded = any_fits(entry->exclude, path);
        for (size_t i = 0; i < disk->link_count; i++)
                excluded |= any_fits(entry->exclude, disk->links[i]);
        return excluded;
}

/* The pattern that takes the disk, or NULL. */
static const char *taking_pattern(const struct device_config *entry, const struct disk_record *disk, const char *path) {
        for (char *const *pattern = entry->match; *pattern; pattern++) {
                /* All loop devices of a host would be its images and snaps: who means one says so. */
                if (disk->identity.kind == TARGET_KIND_LOOP && strncmp(*pattern, "/dev/loop", strlen("/dev/loop")) != 0)
                        continue;
                bool fits = fnmatch(*pattern, path, 0) == 0;
                for (size_t i = 0; i < disk->link_count; i++)
                        fits |= fnmatch(*pattern, disk->links[i], 0) == 0;
                if (fits)
                        return *pattern;
        }
        return NULL;
}

static struct roster_member *find_key(const struct roster *roster, const char *key) {
        for (size_t i = 0; roster && i < roster->count; i++)
                if (strcmp(roster->members[i].key, key) == 0)
                        return &roster->members[i];
        return NULL;
}

struct roster_member *roster_find(const struct roster *roster, const char *name) {
        for (size_t i = 0; roster && i < roster->count; i++)
                if (strcmp(roster->members[i].name, name) == 0)
                        return &roster->members[i];
        return NULL;
}

void roster_remove(struct roster *roster, const char *name) {
        struct roster_member *member = roster_find(roster, name);
        if (!member)
                return;
        member_free(member);
        memmove(member, member + 1, (size_t)(&roster->members[--roster->count] - member) * sizeof *member);
}

static bool has_own_entry(const struct roster_world *w, uint64_t device) {
        for (size_t i = 0; i < w->device_count; i++)
                if (w->devices[i] == device)
                        return true;
        return false;
}

static bool name_is_taken(const struct roster_world *w, const struct roster *roster, const char *name) {
        for (size_t i = 0; i < w->name_count; i++)
                if (strcmp(w->names[i], name) == 0)
                        return true;
        return roster_find(roster, name);
}

static void key_of(char key[static IDENTITY_KEY_BYTES], const struct disk_record *disk) {
        char path[DISK_NAME_BYTES + 8];
        text_format(path, sizeof path, "/dev/%s", disk->name);
        identity_key(key, &disk->identity, path);
}

/* Also by a second path to it. */
static bool key_has_own_entry(const struct roster_world *w, const char *key) {
        char other[IDENTITY_KEY_BYTES];
        for (size_t i = 0; i < w->disks->count; i++) {
                if (!has_own_entry(w, w->disks->disks[i]->device))
                        continue;
                key_of(other, w->disks->disks[i]);
                if (strcmp(key, other) == 0)
                        return true;
        }
        return false;
}

static void leave_out(struct roster *roster, const struct roster_member *member) {
        if (roster->left_out++ > 0)
                return;
        text_copy(roster->left_out_name, sizeof roster->left_out_name, member->name);
        text_copy(roster->left_out_disk, sizeof roster->left_out_disk, member->disk->name);
}

static int consider(struct roster *roster, const struct roster_world *w, size_t entry, const struct disk_record *disk) {
        char path[DISK_NAME_BYTES + 8], key[IDENTITY_KEY_BYTES];
        text_format(path, sizeof path, "/dev/%s", disk->name);
        const char *pattern = taking_pattern(w->entries[entry], disk, path);
        if (!pattern || is_excluded(w->entries[entry], disk, path))
                return 0;
        key_of(key, disk);
        if (find_key(roster, key) || key_has_own_entry(w, key))
                return 0;
        struct roster_member member = {
                .key = key,
                .path = path,
                .pattern = (char *)pattern,
                .entry = entry,
                .disk = disk,
        };
        const struct roster_member *before = find_key(w->before, key);
        if (before) /* a drive's new firmware may call its model otherwise */
                text_copy(member.name, sizeof member.name, before->name);
        else
                roster_name(member.name, disk);
        if (roster->count < ROSTER_MAX && !name_is_taken(w, roster, member.name))
                return add(roster, &member);
        leave_out(roster, &member);
        return 0;
}

/* Of the disks that are gone: the entry that has its pattern keeps it. */
static int keep_missing(struct roster *roster, const struct roster_world *w, const struct roster_member *before) {
        if (find_key(roster, before->key) || key_has_own_entry(w, before->key) ||
                name_is_taken(w, roster, before->name) || roster->count == ROSTER_MAX)
                return 0;
        for (size_t entry = 0; entry < w->entry_count; entry++)
                for (char *const *pattern = w->entries[entry]->match; *pattern; pattern++) {
                        if (strcmp(*pattern, before->pattern) != 0 ||
                                any_fits(w->entries[entry]->exclude, before->path))
                                continue;
                        struct roster_member member = *before;
                        member.entry = entry;
                        member.disk = NULL;
                        return add(roster, &member);
                }
        return 0;
}

/* One that is there, and excluded by now, is not missing. */
static bool is_there(const struct roster_world *w, const char *key) {
        char other[IDENTITY_KEY_BYTES];
        for (size_t i = 0; i < w->disks->count; i++) {
                key_of(other, w->disks->disks[i]);
                if (strcmp(key, other) == 0)
                        return true;
        }
        return false;
}

int roster_new(struct roster **ret, const struct roster_world *w) {
        CLEANUP(roster_freep)
        struct roster *roster = NULL;
        int r = roster_new_empty(&roster, ROSTER_MAX);
        for (size_t entry = 0; r == 0 && entry < w->entry_count; entry++)
                for (size_t i = 0; r == 0 && i < w->disks->count; i++)
                        r = consider(roster, w, entry, w->disks->disks[i]);
        for (size_t i = 0; r == 0 && w->before && i < w->before->count; i++)
                if (!is_there(w, w->before->members[i].key))
                        r = keep_missing(roster, w, &w->before->members[i]);
        if (r == 0)
                *ret = STEAL(roster);
        return r;
}

/* --- as text --- */

/* Fields are parted by spaces; what could be taken for one, or for a line's end, is %XX. */
static size_t write_field(char *to, const char *text, char end) {
        static const char digits[] = "0123456789abcdef";
        size_t n = 0;
        for (; *text; text++) {
                uint8_t c = (uint8_t)*text;
                if (c > 0x20 && c != '%' && c != 0x7f) {
                        to[n++] = (char)c;
                        continue;
                }
                to[n++] = '%';
                to[n++] = digits[c >> 4];
                to[n++] = digits[c & 15];
        }
        to[n++] = end;
        return n;
}

int roster_write(char **ret, const struct roster *roster) {
        size_t bytes = 1, n = 0;
        for (size_t i = 0; i < roster->count; i++) {
                const struct roster_member *m = &roster->members[i];
                bytes += 3 * (strlen(m->name) + strlen(m->key) + strlen(m->path) + strlen(m->pattern)) + 4;
        }
        char *text = malloc(bytes);
        if (!text)
                return -ENOMEM;
        for (size_t i = 0; i < roster->count; i++) {
                const struct roster_member *m = &roster->members[i];
                n += write_field(text + n, m->name, ' ');
                n += write_field(text + n, m->key, ' ');
                n += write_field(text + n, m->path, ' ');
                n += write_field(text + n, m->pattern, '\n');
        }
        text[n] = '\0';
        *ret = text;
        return 0;
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place. False: it is none, or an empty one. */
static bool read_field(char *field) {
        char *to = field;
        for (const char *from = field; *from; from++) {
                if (*from != '%') {
                        *to++ = *from;
                        continue;
                }
                int high = hex_digit(from[1]), low = high < 0 ? -1 : hex_digit(from[2]);
                if (low < 0 || (high == 0 && low == 0))
                        return false;
                *to++ = (char)(high << 4 | low);
                from += 2;
        }
        *to = '\0';
        return field[0] != '\0';
}

static int read_line(struct roster *roster, char *line) {
        enum { NAME, KEY, PATH, PATTERN, FIELDS };
        char *fields[FIELDS];
        for (size_t i = 0; i < FIELDS; i++) {
                fields[i] = strsep(&line, " ");
                if (!fields[i] || !read_field(fields[i]))
                        return 0;
        }
        struct roster_member member = { .key = fields[KEY], .path = fields[PATH], .pattern = fields[PATTERN] };
        if (line || !text_copy(member.name, sizeof member.name, fields[NAME]) || find_key(roster, member.key) ||
                strspn(member.name, "abcdefghijklmnopqrstuvwxyz0123456789._-") != strlen(member.name) ||
                roster_find(roster, member.name) || roster->count == ROSTER_MAX)
                return 0;
        return add(roster, &member);
}

int roster_read(struct roster **ret, const char *text) {
        CLEANUP(roster_freep)
        struct roster *roster = NULL;
        CLEANUP_FREE char *copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        int r = roster_new_empty(&roster, ROSTER_MAX);
        char *rest = copy, *line;
        while (r == 0 && (line = strsep(&rest, "\n")) != NULL)
                r = read_line(roster, line);
        if (r == 0)
                *ret = STEAL(roster);
        return r;
}
