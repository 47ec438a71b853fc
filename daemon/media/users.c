/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk is in use also when only a partition of it is, and a partition when its whole disk is. Everything that shares
 * bytes with the target is asked for its users, so that a refusal can name the one that is in the way. The kernel's
 * exclusive claim is what protects; this is what explains it, and finds users that hold no claim.
 */
#include "media/users.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "media/mounts.h"
#include "media/sysfs.h"
#include "media/target.h"

#include <string.h>
#include <sys/stat.h>

enum { OVERLAP_MAX = 258 }; /* itself, its whole disk, and as many partitions as Linux knows on one */

struct overlap {
        size_t count;
        struct {
                dev_t device;
                char name[SYSFS_NAME_BYTES];
        } members[OVERLAP_MAX];
};

static void overlap_add(struct overlap *o, dev_t device) {
        if (o->count == OVERLAP_MAX)
                return;
        o->members[o->count].device = device;
        sysfs_name(o->members[o->count].name, device);
        o->count++;
}

/* The place of a device in the overlap, or -1. 0 is the target itself. */
static int overlap_find(const struct overlap *o, dev_t device) {
        for (size_t i = 0; i < o->count; i++)
                if (o->members[i].device == device)
                        return (int)i;
        return -1;
}

/* Adds a name to a list that is separated by spaces; what does not fit is left out as a whole. */
static void add_name(char *list, size_t list_bytes, const char *name) {
        if (strlen(list) + strlen(name) + 2 <= list_bytes)
                text_append(list, list_bytes, "%s%s", list[0] ? " " : "", name);
}

/* One line for people; of whom, where it is not the target itself. */
static void add_user(struct target_facts *facts, const struct overlap *o, size_t member, const char *what) {
        char *users = facts->identity.users;
        size_t used = strlen(users), room = sizeof facts->identity.users - used;
        const char *of = member == 0 ? "" : o->members[member].name;
        if (used + strlen(what) + strlen(of) + 8 > sizeof facts->identity.users)
                return;
        text_format(users + used, room, "%s%s%s%s%s", used ? "\n" : "", what, *of ? " (" : "", of, *of ? ")" : "");
        /* A line break in a mount point would look like another user. */
        for (char *p = users + used + (used ? 1 : 0); *p; p++)
                if ((unsigned char)*p < 0x20 || *p == 0x7f)
                        *p = '?';
}

static void gather_overlap(struct target_facts *facts, struct overlap *o, int dir, dev_t device) {
        overlap_add(o, device);
        CLEANUP_CLOSE int whole = sysfs_open_whole(dir);
        dev_t whole_device;
        if (whole >= 0 && sysfs_device(whole, &whole_device) && whole_device != device) {
                overlap_add(o, whole_device);
                return;
        }
        CLEANUP_CLOSEDIR DIR *list = sysfs_list(dir, ".");
        const char *name;
        while (list && (name = sysfs_next(list)) != NULL) {
                CLEANUP_CLOSE int below = sysfs_open_entry(dirfd(list), name);
                dev_t partition;
                if (below < 0 || !sysfs_exists(below, "partition") || !sysfs_device(below, &partition))
                        continue;
                overlap_add(o, partition);
                add_name(facts->partitions, sizeof facts->partitions, name);
        }
}

static void gather_holders(struct target_facts *facts, const struct overlap *o) {
        for (size_t i = 0; i < o->count; i++) {
                CLEANUP_CLOSE int dir = sysfs_open(o->members[i].device);
                CLEANUP_CLOSEDIR DIR *list = dir >= 0 ? sysfs_list(dir, "holders") : NULL;
                const char *name;
                while (list && (name = sysfs_next(list)) != NULL) {
                        add_name(facts->holders, sizeof facts->holders, name);
                        add_user(facts, o, i, name);
                }
        }
}

/* A partition of a stacked device stacks on the same as its whole. */
static void gather_slaves(struct target_facts *facts, int dir) {
        CLEANUP_CLOSE int whole = sysfs_open_whole(dir);
        if (whole < 0 || sysfs_multipath(whole))
                return;
        CLEANUP_CLOSEDIR DIR *list = sysfs_list(whole, "slaves");
        const char *name;
        while (list && (name = sysfs_next(list)) != NULL)
                add_name(facts->slaves, sizeof facts->slaves, name);
}

/* The member that a file system lies on, or -1. Anonymous ones are known by their source, or a fellow device of it. */
static int mounted_member(const struct overlap *o, const struct mount_entry *mount) {
        int member = overlap_find(o, mount->device);
        dev_t source;
        if (member >= 0 || !mounts_source_device(mount, &source))
                return member;
        member = overlap_find(o, source);
        if (member >= 0 || strcmp(mount->type, "btrfs") != 0)
                return member;
        char name[SYSFS_NAME_BYTES];
        sysfs_name(name, source);
        for (size_t i = 0; i < o->count; i++)
                if (mounts_share_btrfs(name, o->members[i].name))
                        return (int)i;
        return -1;
}

static void gather_mounts(struct target_facts *facts, const struct overlap *o) {
        CLEANUP(mounts_close)
        struct mounts mounts = { 0 };
        if (mounts_open(&mounts) < 0)
                return;
        while (mounts_next(&mounts)) {
                int member = mounted_member(o, &mounts.entry);
                if (member < 0)
                        continue;
                if (!facts->mounted[0])
                        text_copy(facts->mounted, sizeof facts->mounted, mounts.entry.point);
                char what[sizeof facts->identity.users];
                text_format(what, sizeof what, "mounted at %s", mounts.entry.point);
                add_user(facts, o, (size_t)member, what);
        }
}

/* Format: proc(5), /proc/swaps: a heading, then lines that begin with a path, escaped as in mountinfo. */
static void gather_swaps(struct target_facts *facts, const struct overlap *o) {
        FILE *file = fopen("/proc/swaps", "re");
        if (!file)
                return;
        CLEANUP_FREE char *line = NULL;
        size_t line_bytes = 0;
        while (getline(&line, &line_bytes, file) >= 0) {
                line[strcspn(line, " \t\n")] = '\0';
                mounts_unescape(line);
                struct stat st;
                if (line[0] != '/' || stat(line, &st) < 0 || !S_ISBLK(st.st_mode))
                        continue;
                int member = overlap_find(o, st.st_rdev);
                if (member < 0)
                        continue;
                facts->swap = true;
                add_user(facts, o, (size_t)member, "swap");
        }
        fclose(file);
}

void users_gather(struct target_facts *facts, dev_t device) {
        CLEANUP_CLOSE int dir = sysfs_open(device);
        struct overlap o = { 0 };
        if (dir >= 0) {
                gather_overlap(facts, &o, dir, device);
                gather_slaves(facts, dir);
        } else {
                overlap_add(&o, device);
        }
        gather_mounts(facts, &o);
        gather_swaps(facts, &o);
        gather_holders(facts, &o);
}
