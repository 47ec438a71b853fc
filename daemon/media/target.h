/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target: the only module that opens a device. It opens, claims, and gathers the facts about it; what follows from the
 * facts is decided by the interlock. Every function may block for as long as the device does: sweep threads only.
 */
#pragma once

#include "model/identity.h"
#include "model/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct target;

enum {
        TARGET_OK,
        TARGET_E_MISSING,       /* no such path, or nothing behind it (ENOENT, ENXIO, ENODEV, ENOMEDIUM) */
        TARGET_E_BUSY,          /* the exclusive claim was refused, or a lock: somebody holds it */
        TARGET_E_NOT_PERMITTED, /* EACCES, EPERM */
        TARGET_E_READ_ONLY,     /* EROFS: opened for writing */
        TARGET_E_NOT_BLOCK,     /* something else than a block device */
        TARGET_E_NOT_FILE       /* a canary file that is none, or can't be had */
};

/* One signature (file system, partition table, RAID or volume manager member) found by libblkid. */
struct signature {
        char type[32];         /* libblkid's TYPE or PTTYPE: "ext4", "gpt", "linux_raid_member" */
        bool member;           /* of md, LVM, bcache, ZFS or another stack: libblkid's USAGE is "raid" */
        uint64_t offset_bytes; /* of its magic string */
        uint64_t length_bytes;
};

enum { TARGET_SIGNATURES_MAX = 32 };

/* What is known of an open target. Strings that name others are "" when there are none. */
struct target_facts {
        struct identity identity;
        char path[PATH_MAX]; /* as configured */
        dev_t device;
        dev_t disk;    /* the whole disk that it lies on; itself for a whole disk */
        dev_t counted; /* whose statistics tell who uses the hardware: the disk, or the one below it */
        uint64_t size_bytes;
        uint32_t logical_block_bytes;
        uint32_t physical_block_bytes;
        uint64_t diskseq;      /* of the whole disk; 0: the kernel does not tell */
        unsigned nr_requests;  /* 0: unknown */
        uint32_t max_io_bytes; /* max_sectors_kb; 0: unknown */
        uint64_t timeout_us;   /* that the kernel gives each command; 0: unknown */
        bool read_only;
        bool real; /* a disk (or a partition of one) that has hardware behind it: its serial is asked for */
        bool zoned;
        bool thin; /* thin-provisioned: blocks may be missing when they are written */
        bool iostats;
        bool discards; /* it forgets blocks that are said to be unused */
        bool write_cache;
        bool write_cache_known;
        bool swap;
        bool holds_state; /* the state directory lies on the same disk */
        bool is_file;     /* a canary: then `device` is that of its file system, and only what follows is known of it */
        struct {
                uint64_t inode;
                bool made; /* just now: it has no name yet, see target_keep() */
                uint64_t wanted_bytes;
                char system[32];                   /* type of its file system */
                bool in_place;                     /* which writes to the blocks that a file has, and not to others */
                bool direct;                       /* and past the page cache */
                bool allocated;                    /* it has all its blocks, and for itself */
                bool any_unwritten, all_unwritten; /* what was never written reads as zeros, without asking the disk */
                unsigned links;
                uint64_t cached_bytes; /* that stay in the page cache */
        } file;
        bool is_loop, loop_direct_io, loop_sparse; /* sparse: the backing file has holes, or can't be examined */
        bool boot_known;                           /* the next three were asked for */
        bool recovers_at_boot;                     /* sweepd-recover.service is enabled */
        bool journal_at_boot; /* the undo journal is where that finds it: on the root file system, or a raw device */
        char boot_use[256]; /* what fstab or crypttab say of it, or of a part of it: "line 3 of /etc/fstab names it" */
        char mounted[PATH_MAX]; /* one mount point of it, or of a partition on it */
        char holders[256];      /* who stacks on it, or on a partition of it: "md0 dm-3" */
        char slaves[256];       /* what it stacks on, but for multipath */
        char twin[256];         /* another present device with the same identity, or another loop over the same file */
        char partitions[256];   /* of a whole disk that was opened: "sda1 sda2" (their users are in mounted, holders,
                                   swap) */
};

struct target_options {
        const char *path;
        uint64_t create_bytes; /* 0: a block device; else a canary file of this size, made where it is not there */
        bool writable;         /* O_RDWR and the exclusive claim; else read-only and none */
        const char *state_dir; /* for holds_state; loop devices are not looked through */
        const char *journal;   /* NULL, or where originals would be kept: for what is known of the next boot */
};

/*
 * TARGET_OK, or one of TARGET_E_*, with *reason filled in (rules "missing", "in_use", "not_permitted", "read_only",
 * "not_block_device", "not_file", "no_space"): for TARGET_E_BUSY it names who holds the device where that can be told.
 * Negative errno: unexpected (EIO on open is one: a device that does not even open).
 */
int target_open(struct target **ret, struct reason *reason, const struct target_options *options);

/*
 * Keeps those out whom the claim does not stop: a write lock on the target, flock(2) on its whole disk. Only for one
 * that was opened for writing, once; waits up to 3 s. TARGET_OK; TARGET_E_BUSY, with *reason filled in (rule
 * "in_use"); negative errno.
 */
int target_lock(struct target *t, struct reason *reason);

/* Gives a file that was made its name; does nothing to others. Negative errno. */
int target_keep(struct target *t);

const struct target_facts *target_facts(const struct target *t);

/* O_DIRECT; for the engine, and for who compares what is there without writing. */
int target_fd(const struct target *t);

/*
 * Finds every signature on the whole target through a second, buffered, read-only descriptor. Returns how many were
 * found (0: none for certain), -E2BIG for more than max, another negative errno where the answer is not certain.
 */
int target_signatures(const struct target *t, struct signature *signatures, size_t max);

/*
 * Size, diskseq, read-only flag and the counts of bytes written (write_counts_read) as they are now, and whether the
 * path still leads to this very device.
 */
struct engine_look;
int target_look(const struct target *t, struct engine_look *ret);

/* By the statistics of the whole disk, or of the one below it (topology_counted). False: the kernel keeps none for it.
 */
struct engine_traffic;
bool target_traffic(const struct target *t, struct engine_traffic *ret);

/* Gives the claim back. Accepts NULL; returns NULL. */
struct target *target_close(struct target *t);
