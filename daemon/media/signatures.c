/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last question before a disk is overwritten: is there anything on it that somebody might miss? Only "nothing, for
 * certain" is a yes. libblkid takes what it can't read for not there in places, so the ends of the device, where the
 * signatures are, are read once beforehand; and it can't read through O_DIRECT, so it gets a buffered descriptor of its
 * own, whose cached pages are dropped first: what counts is what the device holds. And the kernel must not read ahead
 * for it: an error that comes once would be met where nobody hears of it, and a bad sector cost seconds for nothing.
 */
#include "media/signatures.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "media/sysfs.h"
#include "media/target.h"

#include <assert.h>
#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static void free_probep(blkid_probe *probe) {
        blkid_free_probe(*probe); /* accepts NULL */
}

static const char *lookup(blkid_probe probe, const char *key, size_t *ret_length) {
        const char *value = NULL;
        size_t length = 0;
        if (blkid_probe_lookup_value(probe, key, &value, &length) < 0)
                return NULL;
        if (ret_length)
                *ret_length = length;
        return value;
}

/* libblkid calls some stacks a file system or "other", but their members are no less parts of something bigger. */
static bool is_member(const char *type, const char *usage) {
        static const char *const stacks[] = { "bcache", "zfs_member", "ceph_bluestore", "bcachefs" };
        for (size_t i = 0; i < ELEMENTS(stacks); i++)
                if (strcmp(type, stacks[i]) == 0)
                        return true;
        size_t length = strlen(type), suffix = strlen("_member");
        return (usage && strcmp(usage, "raid") == 0) ||
                (length > suffix && strcmp(type + length - suffix, "_member") == 0);
}

static void describe(struct signature *signature, blkid_probe probe, uint64_t size_bytes) {
        size_t length = 0;
        const char *type = lookup(probe, "TYPE", NULL), *usage = lookup(probe, "USAGE", NULL);
        const char *offset = lookup(probe, "SBMAGIC_OFFSET", NULL);
        if (type) {
                lookup(probe, "SBMAGIC", &length);
        } else {
                type = lookup(probe, "PTTYPE", NULL);
                offset = lookup(probe, "PTMAGIC_OFFSET", NULL);
                lookup(probe, "PTMAGIC", &length);
        }
        *signature = (struct signature){ .offset_bytes = offset ? strtoull(offset, NULL, 10) : 0,
                .length_bytes = length };
        /* Of one that does not say where it is, all that is known is that it is somewhere. */
        if (!offset || length == 0 || signature->offset_bytes >= size_bytes) {
                signature->offset_bytes = 0;
                signature->length_bytes = size_bytes;
        }
        text_copy(signature->type, sizeof signature->type, type ? type : "unknown");
        signature->member = is_member(signature->type, usage);
}

static int set_up(blkid_probe probe, int fd) {
        if (blkid_probe_set_device(probe, fd, 0, 0) < 0 || blkid_probe_enable_superblocks(probe, 1) < 0 ||
                blkid_probe_set_superblocks_flags(probe,
                        BLKID_SUBLKS_MAGIC | BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_BADCSUM) < 0 ||
                blkid_probe_enable_partitions(probe, 1) < 0 ||
                blkid_probe_set_partitions_flags(probe, BLKID_PARTS_FORCE_GPT | BLKID_PARTS_MAGIC) < 0)
                return -EIO;
        return 0;
}

/* Reads where signatures are; -EIO and its like where that fails. */
static int read_ends(int fd, uint64_t size_bytes) {
        enum { END_BYTES = 1 << 20 };
        CLEANUP_FREE char *bytes = malloc(END_BYTES);
        if (!bytes)
                return -ENOMEM;
        const uint64_t length = MIN(size_bytes, (uint64_t)END_BYTES), starts[] = { 0, size_bytes - length };
        for (size_t i = 0; i < ELEMENTS(starts); i++)
                for (uint64_t done = 0; done < length;) {
                        ssize_t n = pread(fd, bytes + done, length - done, (off_t)(starts[i] + done));
                        if (n < 0 && errno == EINTR)
                                continue;
                        if (n <= 0)
                                return n < 0 ? -errno : -EIO;
                        done += (uint64_t)n;
                }
        return 0;
}

int target_signatures(const struct target *t, struct signature *signatures, size_t max) {
        char path[64];
        text_format(path, sizeof path, "/proc/self/fd/%d", target_fd(t));
        CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        uint64_t size_bytes = target_facts(t)->size_bytes;
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
        int r = read_ends(fd, size_bytes);
        if (r < 0)
                return r;
        CLEANUP(free_probep)
        blkid_probe probe = blkid_new_probe();
        if (!probe)
                return -ENOMEM;
        r = set_up(probe, fd);
        if (r < 0)
                return r;
        size_t count = 0;
        for (;;) {
                errno = 0;
                r = blkid_do_probe(probe); /* 0: the next one; 1: no more; else an error, by errno or as -errno */
                if (r == 1)
                        return (int)count;
                if (r != 0)
                        return errno > 0 ? -errno : -EIO;
                if (count == max)
                        return -E2BIG;
                describe(&signatures[count++], probe, size_bytes);
        }
}

void signatures_partuuid(char *uuid, size_t uuid_bytes, dev_t disk, uint64_t start_sectors, uint64_t size_sectors) {
        uuid[0] = '\0';
        CLEANUP_CLOSE int fd = sysfs_open_node(disk);
        CLEANUP(free_probep)
        blkid_probe probe = fd >= 0 ? blkid_new_probe() : NULL;
        if (!probe || blkid_probe_set_device(probe, fd, 0, 0) < 0 || blkid_probe_enable_partitions(probe, 1) < 0)
                return;
        blkid_partlist list = blkid_probe_get_partitions(probe);
        for (int i = 0, n = list ? blkid_partlist_numof_partitions(list) : 0; i < n; i++) {
                blkid_partition partition = blkid_partlist_get_partition(list, i);
                const char *found = partition ? blkid_partition_get_uuid(partition) : NULL;
                if (found && (uint64_t)blkid_partition_get_start(partition) == start_sectors &&
                        (uint64_t)blkid_partition_get_size(partition) == size_sectors) {
                        text_copy(uuid, uuid_bytes, found);
                        return;
                }
        }
}

int signatures_partition_type(dev_t device, char type[static PARTITION_TYPE_BYTES], uint64_t *ret_flags) {
        CLEANUP_CLOSE int fd = sysfs_open_node(device);
        if (fd < 0)
                return fd;
        CLEANUP(free_probep)
        blkid_probe probe = blkid_new_probe();
        if (!probe)
                return -ENOMEM;
        if (blkid_probe_set_device(probe, fd, 0, 0) < 0 || blkid_probe_enable_superblocks(probe, 0) < 0 ||
                blkid_probe_enable_partitions(probe, 1) < 0 ||
                blkid_probe_set_partitions_flags(probe, BLKID_PARTS_ENTRY_DETAILS) < 0)
                return -EIO;
        errno = 0;
        int r = blkid_do_probe(probe);
        if (r != 0)
                return r == 1 ? 0 : errno > 0 ? -errno : -EIO;
        const char *scheme = lookup(probe, "PART_ENTRY_SCHEME", NULL), *flags = lookup(probe, "PART_ENTRY_FLAGS", NULL);
        const char *found = lookup(probe, "PART_ENTRY_TYPE", NULL);
        if (!scheme || strcmp(scheme, "gpt") != 0 || !found)
                return 0;
        text_copy(type, PARTITION_TYPE_BYTES, found);
        *ret_flags = flags ? strtoull(flags, NULL, 0) : 0;
        return 1;
}

static bool has_value(blkid_probe probe, const char *key, const char *value) {
        const char *found = lookup(probe, key, NULL);
        return found && (strstr(key, "UUID") ? strcasecmp(found, value) : strcmp(found, value)) == 0;
}

int signatures_named(dev_t device, const char *tag, const char *value) {
        static const struct {
                const char *tag, *key;
        } keys[] = { { "UUID", "UUID" }, { "LABEL", "LABEL" }, { "PARTUUID", "PART_ENTRY_UUID" },
                { "PARTLABEL", "PART_ENTRY_NAME" } };
        size_t i = 0;
        while (i < ELEMENTS(keys) && strcmp(keys[i].tag, tag) != 0)
                i++;
        assert(i < ELEMENTS(keys));
        CLEANUP_CLOSE int fd = sysfs_open_node(device);
        if (fd < 0)
                return fd;
        CLEANUP(free_probep)
        blkid_probe probe = blkid_new_probe();
        if (!probe)
                return -ENOMEM;
        bool of_partition = strncmp(tag, "PART", strlen("PART")) == 0;
        if (blkid_probe_set_device(probe, fd, 0, 0) < 0 || blkid_probe_enable_superblocks(probe, !of_partition) < 0 ||
                blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_UUID | BLKID_SUBLKS_LABEL) < 0 ||
                blkid_probe_enable_partitions(probe, of_partition) < 0 ||
                blkid_probe_set_partitions_flags(probe, BLKID_PARTS_ENTRY_DETAILS) < 0)
                return -EIO;
        for (;;) { /* as above: there may be several */
                errno = 0;
                int r = blkid_do_probe(probe);
                if (r == 1)
                        return 0;
                if (r != 0)
                        return errno > 0 ? -errno : -EIO;
                if (has_value(probe, keys[i].key, value))
                        return 1;
        }
}
