/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roster: which disks the entries with `match` take, under which names, and which of them are missing. A pure function
 * of those entries, of the disks that are there, and of the roster before; so a disk that comes back elsewhere is the
 * same member, and one that does not come back stays on it.
 */
#pragma once

#include "model/device_config.h"
#include "model/disk_record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ROSTER_MAX = 4096 };

/* Texts are heap. */
struct roster_member {
        char name[DEVICE_NAME_BYTES];
        char *key;                      /* identity_key() */
        char *path;                     /* where it is, or was when last seen */
        char *pattern;                  /* that took it: while an entry has it, the member stays when it is missing */
        size_t entry;                   /* index of that entry */
        const struct disk_record *disk; /* NULL: missing. Borrowed from the list that the roster was made of */
};

struct roster {
        size_t count;
        struct roster_member *members;
        /* Disks that match but can't be taken, as their name is that of another device: the first, and how many. */
        size_t left_out;
        char left_out_name[DEVICE_NAME_BYTES], left_out_disk[DISK_NAME_BYTES];
};

struct roster_world {
        struct device_config *const *entries;
        size_t entry_count;
        const struct disk_list *disks;
        const struct roster *before; /* or NULL */
        /* Of the devices that have entries of their own: names, and the numbers of those that are there. */
        const char *const *names;
        size_t name_count;
        const uint64_t *devices;
        size_t device_count;
};

/*
 * Each disk is taken once, by identity, whatever its names are and how many match; the first entry counts. One that has
 * an entry of its own is not taken, nor one of whose names `exclude` has any. A loop device is taken only by a pattern
 * that begins with /dev/loop. -ENOMEM.
 */
int roster_new(struct roster **ret, const struct roster_world *world);

/*
 * The name of a disk: model and serial; its WWN where it shares the serial with others, or has none; the file's name
 * for a loop device; and the kernel's name where nothing tells it from others (false is returned then).
 */
bool roster_name(char name[static DEVICE_NAME_BYTES], const struct disk_record *disk);

/* NULL: none of that name. */
struct roster_member *roster_find(const struct roster *roster, const char *name);

/* A member that is told to go: until it is seen again. */
void roster_remove(struct roster *roster, const char *name);

/* As lines of text, and back: what is remembered of a roster over a restart. Heap. -ENOMEM. */
int roster_write(char **ret, const struct roster *roster);

/* Lines that are not understood are left out. -ENOMEM. */
int roster_read(struct roster **ret, const char *text);

/* Accepts NULL; returns NULL. */
struct roster *roster_free(struct roster *roster);
