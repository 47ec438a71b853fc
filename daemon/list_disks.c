/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first question of who has just installed it: which disks are there, and what may be done with them? An answer of
 * its own making would sooner or later differ from what the daemon does, so the rules are asked that decide there, with
 * the very entry that is printed. Each disk is named before it is opened: where one hangs, it is seen which.
 */
#include "list_disks.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "media/disks.h"
#include "media/target.h"
#include "plan/roster.h"
#include "sweep/interlock.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

DEFINE_FREEP(struct disk_list, disk_list_free, disk_list_freep)
DEFINE_FREEP(struct target, target_close, target_closep)
DEFINE_FREEP(struct device_config, device_config_unref, device_config_unrefp)

/* Of links the one that is the disk's own name, and not that of a place or of a bridge. */
static const char *best_path(const struct disk_record *disk, const char *plain) {
        static const char *const kinds[] = { "/dev/disk/by-id/wwn-", "/dev/disk/by-id/nvme-eui.",
                "/dev/disk/by-id/nvme-", "/dev/disk/by-id/ata-", "/dev/disk/by-id/scsi-", "/dev/disk/by-id/" };
        for (size_t kind = 0; kind < ELEMENTS(kinds); kind++)
                for (size_t i = 0; i < disk->link_count; i++)
                        if (strncmp(disk->links[i], kinds[kind], strlen(kinds[kind])) == 0)
                                return disk->links[i];
        return plain;
}

/* The entry with which the disk would be swept in this mode, if that may be. */
static int make_entry(struct device_config **ret, const struct disk_record *disk, const struct target_facts *facts,
        enum sweep_mode mode, const char *path) {
        CLEANUP(device_config_unrefp)
        struct device_config *config = NULL;
        char name[DEVICE_NAME_BYTES];
        const struct identity *i = &facts->identity;
        (void)roster_name(name, disk);
        int r = device_config_new(&config, name, path);
        if (r < 0)
                return r;
        const char *serial = i->serial[0] ? i->serial : i->wwn, *most_specific = identity_most_specific(i);
        config->mode = mode;
        config->serial = serial[0] ? strdup(serial) : NULL;
        config->destroys_data = mode == MODE_PATTERN && most_specific[0] ? strdup(most_specific) : NULL;
        if ((serial[0] && !config->serial) || (mode == MODE_PATTERN && most_specific[0] && !config->destroys_data))
                return -ENOMEM;
        *ret = STEAL(config);
        return 0;
}

struct verdicts {
        bool possible[MODE_COUNT];
        struct reason reasons[MODE_COUNT];
};

static int judge(struct verdicts *v, const struct disk_record *disk, const struct target *t, const char *path) {
        struct signature signatures[TARGET_SIGNATURES_MAX];
        int found = target_signatures(t, signatures, TARGET_SIGNATURES_MAX);
        for (enum sweep_mode mode = 0; mode < MODE_COUNT; mode++) {
                CLEANUP(device_config_unrefp)
                struct device_config *config = NULL;
                int r = make_entry(&config, disk, target_facts(t), mode, path);
                if (r < 0)
                        return r;
                v->possible[mode] = interlock_permits(&v->reasons[mode], target_facts(t), config, NULL) &&
                        (!sweep_mode_writes(mode) ||
                                interlock_signatures_permit(&v->reasons[mode], target_facts(t), mode, signatures,
                                        found) == SIGNATURES_NONE);
        }
        return 0;
}

static bool same_verdict(const struct verdicts *v, enum sweep_mode a, enum sweep_mode b) {
        if (v->possible[a] || v->possible[b])
                return v->possible[a] == v->possible[b];
        return strcmp(v->reasons[a].rule, v->reasons[b].rule) == 0 &&
                strcmp(v->reasons[a].found, v->reasons[b].found) == 0;
}

/* Modes of which the same is true, on one line. */
static void print_modes(const struct verdicts *v) {
        bool told[MODE_COUNT] = { false };
        for (enum sweep_mode mode = 0; mode < MODE_COUNT; mode++) {
                if (told[mode])
                        continue;
                printf("  %s", sweep_mode_name(mode));
                for (enum sweep_mode other = mode + 1; other < MODE_COUNT; other++) {
                        told[other] |= same_verdict(v, mode, other);
                        if (same_verdict(v, mode, other))
                                printf(", %s", sweep_mode_name(other));
                }
                if (v->possible[mode])
                        printf(": possible\n");
                else
                        printf(": not possible (%s): %s %s\n", v->reasons[mode].rule, v->reasons[mode].found,
                                v->reasons[mode].remedy);
        }
}

/* A string of the configuration's language. */
static void print_setting(const char *key, const char *value) {
        printf(" %s = \"", key);
        for (; *value; value++)
                printf("%s%c", strchr("\"\\", *value) ? "\\" : "", *value);
        printf("\";");
}

static void print_entry(const struct device_config *config, const char *destroys_data) {
        assert(config && config->path);
        printf("  entry: {");
        print_setting("name", config->name);
        print_setting("path", config->path);
        if (config->serial)
                print_setting("serial", config->serial);
        print_setting("mode", sweep_mode_name(config->mode));
        printf(" }\n");
        if (!destroys_data)
                return;
        printf("  to have it overwritten, which destroys everything on it, give it mode = \"pattern\"; and");
        print_setting("destroys_data", destroys_data);
        printf("\n");
}

static void print_users(const struct target_facts *facts) {
        printf("  used by: ");
        for (const char *p = facts->identity.users; *p; p++)
                printf("%s%c", *p == '\n' ? "," : "", *p == '\n' ? ' ' : *p);
        printf("%s\n", facts->identity.users[0] ? "" : "nobody");
}

static void print_head(const struct disk_record *disk) {
        char size[32];
        const struct identity *i = &disk->identity;
        text_format_size(size, sizeof size, disk->size_bytes);
        printf("/dev/%s  %s  %s\n", disk->name, size, i->model[0] ? i->model : target_kind_name(i->kind));
        if (i->backing_file[0])
                printf("  file: %s\n", i->backing_file);
        else
                printf("  serial: %s  WWN: %s%s%s\n", i->serial[0] ? i->serial : "none", i->wwn[0] ? i->wwn : "none",
                        i->slot[0] ? "  slot: " : "", i->slot);
        fflush(stdout);
}

static int print_disk(const struct disk_record *disk, const char *state_dir) {
        char plain[DISK_NAME_BYTES + 8], journal[PATH_MAX + 8];
        CLEANUP(target_closep)
        struct target *t = NULL;
        struct reason reason;
        text_format(plain, sizeof plain, "/dev/%s", disk->name);
        text_format(journal, sizeof journal, "%s/undo", state_dir);
        print_head(disk);
        struct target_options options = { .path = plain, .state_dir = state_dir, .journal = journal };
        int r = target_open(&t, &reason, &options);
        if (r != TARGET_OK) {
                printf("  can't be opened: %s %s\n", r < 0 ? strerror(-r) : reason.found, r < 0 ? "" : reason.remedy);
                return 0;
        }
        struct verdicts verdicts = { 0 };
        CLEANUP(device_config_unrefp)
        struct device_config *entry = NULL;
        const struct target_facts *facts = target_facts(t);
        r = judge(&verdicts, disk, t, plain);
        if (r == 0)
                r = make_entry(&entry, disk, facts, MODE_READ, best_path(disk, plain));
        if (r < 0)
                return r;
        print_users(facts);
        print_modes(&verdicts);
        print_entry(entry, verdicts.possible[MODE_PATTERN] ? identity_most_specific(&facts->identity) : NULL);
        return 0;
}

/* What is not there yet will be made in the directory above. */
static void existing_parent(char *path) {
        while (access(path, F_OK) < 0 && strlen(path) > 1) {
                char *slash = strrchr(path, '/');
                slash[slash == path] = '\0';
        }
}

/* By any of its names. */
static bool is_called(const struct disk_record *disk, const char *path) {
        char plain[DISK_NAME_BYTES + 8];
        text_format(plain, sizeof plain, "/dev/%s", disk->name);
        bool called = strcmp(plain, path) == 0;
        for (size_t i = 0; i < disk->link_count; i++)
                called |= strcmp(disk->links[i], path) == 0;
        return called;
}

static int print_called(const struct disk_list *list, const char *path, const char *state_dir) {
        for (size_t i = 0; i < list->count; i++)
                if (is_called(list->disks[i], path))
                        return print_disk(list->disks[i], state_dir);
        fprintf(stderr, "There is no whole disk called %s. All that there are: sweepd --list-disks\n", path);
        return LIST_DISKS_E_NONE;
}

static int print_all(const struct disk_list *list, const char *state_dir) {
        for (size_t i = 0; i < list->count; i++) {
                int r = print_disk(list->disks[i], state_dir);
                if (r < 0)
                        return r;
                printf("\n");
        }
        if (list->count == 0)
                printf("There is no disk: what lies on others (LVM, md) or in memory does not count.\n");
        else
                printf("All disks at once, only read, also those that come later:\n"
                       "  entry: { match = [ \"/dev/*\" ]; }\n");
        return 0;
}

int list_disks(const char *state_dir, char *const *only) {
        CLEANUP(disk_list_freep)
        struct disk_list *list = NULL;
        char existing[PATH_MAX];
        int r = disks_list(&list);
        if (r < 0)
                return r;
        text_copy(existing, sizeof existing, state_dir);
        existing_parent(existing);
        if (!*only)
                return print_all(list, existing);
        for (; r == 0 && *only; only++)
                r = print_called(list, *only, existing);
        return r;
}
