/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Overwriting the wrong disk can't be undone. Each rule here names one way in which that has happened to people: the
 * disk was mounted, a member of an array, renamed after a reboot, reached by a second path. Each is a function of its
 * own that looks at the facts and nothing else, so that each can be tested with everything else in order, and no rule
 * rests on another one having passed.
 */
#include "sweep/interlock.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "media/target.h"
#include "sweep/layout.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct inquiry {
        struct reason *reason;
        const struct target_facts *facts;
        const struct device_config *config;
        const char *overwrite;
};

/* Answers with a reason; always false, so that a rule can end with it. */
#define REFUSE(inquiry, rule, remedy, ...) (reason_set((inquiry)->reason, rule, remedy, __VA_ARGS__), false)

static bool permits_matched(const struct inquiry *q) {
        if (!q->config->key)
                return true;
        return REFUSE(q, "matched",
                "Give it an entry of its own in the configuration (sweepd --list-disks prints one).",
                "%s was taken by a match, and such disks are only read.", q->facts->path);
}

static bool permits_read_only(const struct inquiry *q) {
        if (!q->facts->read_only)
                return true;
        return REFUSE(
                q, "read_only", "Lift the write protection, or choose mode read.", "%s is read-only.", q->facts->path);
}

static bool permits_in_use(const struct inquiry *q) {
        if (!q->facts->mounted[0])
                return true;
        return REFUSE(q, "in_use", "Unmount it, or choose mode read, which leaves everything as it is.",
                "%s, or a part of it, is mounted at %s.", q->facts->path, q->facts->mounted);
}

static bool permits_holders(const struct inquiry *q) {
        if (!q->facts->holders[0])
                return true;
        return REFUSE(q, "holders", "Take it out of what stacks on it, or choose mode read.",
                "%s carries other devices: %s.", q->facts->path, q->facts->holders);
}

static bool permits_slaves(const struct inquiry *q) {
        if (!q->facts->slaves[0])
                return true;
        return REFUSE(q, "slaves", "Sweep the disks below it one by one, or choose mode read.",
                "%s is no disk of its own but lies on others: %s.", q->facts->path, q->facts->slaves);
}

static bool permits_swap(const struct inquiry *q) {
        if (!q->facts->swap)
                return true;
        return REFUSE(q, "swap", "Turn it off with swapoff and remove its signature with wipefs, or choose mode read.",
                "%s, or a part of it, is in use as swap.", q->facts->path);
}

static bool permits_zoned(const struct inquiry *q) {
        if (!q->facts->zoned)
                return true;
        return REFUSE(
                q, "zoned", "Choose mode read.", "%s is zoned: it can't be written at any place.", q->facts->path);
}

static bool permits_thin(const struct inquiry *q) {
        if (!q->facts->thin)
                return true;
        return REFUSE(q, "thin", "Choose mode read, or give the unit all of its blocks on the storage system.",
                "%s is thin-provisioned: a sweep would use up the pool that others share.", q->facts->path);
}

static bool permits_loop_direct(const struct inquiry *q) {
        if (!q->facts->is_loop || q->facts->loop_direct_io)
                return true;
        return REFUSE(q, "loop_not_direct", "Set it up with losetup --direct-io=on.",
                "%s is a loop device without direct I/O: the page cache would answer for the disk.", q->facts->path);
}

static bool permits_loop_sparse(const struct inquiry *q) {
        if (!q->facts->is_loop || !q->facts->loop_sparse)
                return true;
        const char *file = q->facts->identity.backing_file;
        return REFUSE(q, "loop_sparse", "Allocate the whole file (fallocate), where the daemon can see it.",
                "The file behind %s, %s, has holes or can't be examined.", q->facts->path, *file ? file : "unknown");
}

static bool permits_block_size(const struct inquiry *q) {
        uint32_t logical = q->facts->logical_block_bytes, block = q->config->block_size_bytes;
        if (logical > 0 && block >= logical && block % logical == 0)
                return true;
        return REFUSE(q, "alignment", "Set block_size to a multiple of the device's logical block.",
                "block_size is %" PRIu32 " bytes, the logical block of %s is %" PRIu32 " bytes.", block, q->facts->path,
                logical);
}

/* A physical block that is shared with a neighbour is rewritten as a whole: a power cut would tear the neighbour's
 * data. */
static bool permits_extent(const struct inquiry *q) {
        const struct target_facts *f = q->facts;
        struct extent extent = device_config_extent(q->config, f->size_bytes);
        uint64_t start = f->identity.partition_offset_bytes + extent.offset_bytes, end = start + extent.length_bytes;
        uint64_t physical = MAX(f->physical_block_bytes, f->logical_block_bytes);
        bool to_device_end = f->device == f->disk && extent_end(extent) == f->size_bytes;
        if (physical > 0 && start % physical == 0 && (end % physical == 0 || to_device_end))
                return true;
        return REFUSE(q, "alignment",
                "Move the start and end of the partition, or offset and length, to physical blocks, or choose mode read.",
                "%s is to be swept in bytes %" PRIu64 " to %" PRIu64 " of its disk, whose physical blocks have %" PRIu64
                " bytes.",
                f->path, start, end, physical);
}

static bool permits_place(const struct inquiry *q) {
        uint64_t offset = q->config->offset_bytes, least = q->config->length_bytes ? q->config->length_bytes : 1;
        if (device_config_extent(q->config, q->facts->size_bytes).length_bytes > 0 || q->facts->size_bytes == 0)
                return true;
        return REFUSE(q, "extent", "Correct offset or length of this device in the configuration.",
                "%s has %" PRIu64 " bytes, and is to be swept from byte %" PRIu64 " to %" PRIu64 ".", q->facts->path,
                q->facts->size_bytes, offset, offset + least);
}

/* What can't be read again is left out by physical blocks, so each has to lie in one I/O. */
static bool permits_physical_block(const struct inquiry *q) {
        uint32_t physical = q->facts->physical_block_bytes, block = q->config->block_size_bytes;
        if (!sweep_mode_keeps(q->config->mode) || (physical > 0 && physical <= block))
                return true;
        return REFUSE(q, "alignment", "Set block_size to at least the device's physical block.",
                "block_size is %" PRIu32 " bytes, the physical block of %s is %" PRIu32 " bytes.", block,
                q->facts->path, physical);
}

/* Each unit is restored by itself, in whole logical blocks. */
static bool permits_logical_block(const struct inquiry *q) {
        uint32_t logical = q->facts->logical_block_bytes;
        if (!sweep_mode_keeps(q->config->mode) || logical <= UNIT_BYTES)
                return true;
        return REFUSE(q, "logical_block", "Choose mode read.",
                "The logical blocks of %s have %" PRIu32 " bytes; mode %s knows only blocks of up to %d.",
                q->facts->path, logical, sweep_mode_name(q->config->mode), UNIT_BYTES);
}

/* Boot would use it before the originals are back, as after a power cut. */
static bool permits_boot(const struct inquiry *q) {
        const struct target_facts *f = q->facts;
        if (!sweep_mode_keeps(q->config->mode))
                return true;
        if (!f->boot_known)
                return REFUSE(q, "fstab", "Choose mode read.", "It is not known whether %s is used at boot.", f->path);
        if (!f->boot_use[0] || (f->recovers_at_boot && f->journal_at_boot))
                return true;
        if (!f->recovers_at_boot)
                return REFUSE(q, "fstab",
                        "Enable the recovery at boot (systemctl enable sweepd-recover.service), or choose mode read.",
                        "%s is used at boot (%s), where after a power cut its data would not be put back in time.",
                        f->path, f->boot_use);
        return REFUSE(q, "fstab",
                "Put the journal on the root file system or on a disk or partition of its own, or choose mode read.",
                "%s is used at boot (%s), before its undo journal can be reached.", f->path, f->boot_use);
}

static bool permits_iostats(const struct inquiry *q) {
        if (q->facts->iostats)
                return true;
        return REFUSE(q, "iostats", "Write 1 to queue/iostats of the disk in /sys/block.",
                "The kernel does not count the I/O of %s, so that writes of others would go unseen.", q->facts->path);
}

static bool permits_size(const struct inquiry *q) {
        if (q->facts->size_bytes >= UNIT_BYTES)
                return true;
        return REFUSE(q, "too_small", "Choose a bigger device.", "%s has %" PRIu64 " bytes; the least is %d.",
                q->facts->path, q->facts->size_bytes, UNIT_BYTES);
}

static bool permits_serial_missing(const struct inquiry *q) {
        const struct identity *i = &q->facts->identity;
        if (!q->facts->real || q->config->serial)
                return true;
        const char *known = i->serial[0] ? i->serial : i->wwn;
        if (known[0])
                return REFUSE(q, "serial_missing", "If that is the disk you mean, add its serial to its entry.",
                        "Mode %s needs the disk's serial; %s has serial = \"%s\".", sweep_mode_name(q->config->mode),
                        q->facts->path, known);
        return REFUSE(q, "serial_missing", "Choose mode read: a disk that can't be told from others is not written to.",
                "Mode %s needs the disk's serial, but %s tells neither serial nor WWN.",
                sweep_mode_name(q->config->mode), q->facts->path);
}

static bool permits_serial(const struct inquiry *q) {
        const struct identity *i = &q->facts->identity;
        const char *wanted = q->config->serial;
        if (!wanted || (i->serial[0] && strcmp(wanted, i->serial) == 0) || (i->wwn[0] && strcmp(wanted, i->wwn) == 0))
                return true;
        return REFUSE(q, "serial_mismatch",
                "Check which disk that is (lsblk -o NAME,MODEL,SERIAL,WWN), then the entry.",
                "The configuration asks for serial \"%s\"; %s has serial \"%s\" and WWN \"%s\".", wanted,
                q->facts->path, i->serial, i->wwn);
}

static bool permits_twin(const struct inquiry *q) {
        if (!q->facts->twin[0])
                return true;
        if (q->facts->is_loop || q->facts->is_file)
                return REFUSE(q, "twin", "Detach the other loop device (losetup -d).",
                        "/dev/%s leads to the same file as %s.", q->facts->twin, q->facts->path);
        return REFUSE(q, "twin", "If it is a second path to one disk, sweep the multipath device; else unplug one.",
                "/dev/%s has the same identity as %s.", q->facts->twin, q->facts->path);
}

static bool permits_state_disk(const struct inquiry *q) {
        if (!q->facts->holds_state)
                return true;
        return REFUSE(q, "state_disk", "Put state_dir on another disk, or choose mode read.",
                "state_dir lies on the same disk as %s, or its disk can't be told.", q->facts->path);
}

static bool permits_no_identity(const struct inquiry *q) {
        if (identity_most_specific(&q->facts->identity)[0])
                return true;
        const char *remedy = q->facts->identity.kind == TARGET_KIND_PARTITION
                ? "Use a partition table that gives partitions UUIDs (GPT), or choose mode read."
                : "Choose mode read: a device that can't be told from others is not written to.";
        return REFUSE(q, "no_identity", remedy, "Nothing identifies %s (%s) for certain.", q->facts->path,
                target_kind_name(q->facts->identity.kind));
}

static bool permits_destroys_missing(const struct inquiry *q) {
        if (q->config->mode != MODE_PATTERN || q->config->destroys_data)
                return true;
        return REFUSE(q, "destroys_data_missing", "If all data on it may be destroyed, add that to its entry.",
                "Mode pattern overwrites everything on %s. It asks for destroys_data = \"%s\".", q->facts->path,
                identity_most_specific(&q->facts->identity));
}

static bool permits_destroys(const struct inquiry *q) {
        const char *is = identity_most_specific(&q->facts->identity);
        if (q->config->mode != MODE_PATTERN)
                return true;
        if (!q->config->destroys_data || strcmp(q->config->destroys_data, is) != 0)
                return REFUSE(q, "destroys_data_mismatch",
                        "Check which device that is. If all data on it may be destroyed, correct the entry.",
                        "The configuration says destroys_data = \"%s\", but %s is \"%s\".",
                        q->config->destroys_data ? q->config->destroys_data : "", q->facts->path, is);
        if (q->overwrite && strcmp(q->overwrite, is) != 0)
                return REFUSE(q, "destroys_data_mismatch", "Repeat the identity exactly as it is shown.",
                        "Overwriting was asked for \"%s\", but %s is \"%s\".", q->overwrite, q->facts->path, is);
        return true;
}

static bool permits_file_mode(const struct inquiry *q) {
        if (!sweep_mode_keeps(q->config->mode))
                return true;
        return REFUSE(q, "file_mode", "Choose mode pattern or read.", "%s is a file: mode %s is for devices.",
                q->facts->path, sweep_mode_name(q->config->mode));
}

static bool permits_file_system(const struct inquiry *q) {
        if (q->facts->file.in_place)
                return true;
        return REFUSE(q, "file_system",
                "Choose a directory on ext4 or XFS, or on btrfs without copy-on-write (chattr +C).",
                "%s lies on %s, which does not keep what is written in the place where it was.", q->facts->path,
                q->facts->file.system);
}

static bool permits_file_direct(const struct inquiry *q) {
        if (q->facts->file.direct)
                return true;
        return REFUSE(q, "file_not_direct",
                "Choose another file system, or mount this one without data=journal, encryption or verity.",
                "%s can't be read and written past the page cache.", q->facts->path);
}

static bool permits_file_size(const struct inquiry *q) {
        if (q->facts->size_bytes == q->facts->file.wanted_bytes)
                return true;
        return REFUSE(q, "file_size", "Remove the file, and it is made anew; or set create_size to what it has.",
                "%s has %" PRIu64 " bytes, create_size says %" PRIu64 ".", q->facts->path, q->facts->size_bytes,
                q->facts->file.wanted_bytes);
}

static bool permits_file_links(const struct inquiry *q) {
        if (q->facts->file.links == (q->facts->file.made ? 0 : 1))
                return true;
        return REFUSE(q, "file_links", "Remove the file, and it is made anew.",
                "%s has %u names: it may be somebody else's, too.", q->facts->path, q->facts->file.links);
}

static bool permits_file_sparse(const struct inquiry *q) {
        if (q->facts->file.allocated)
                return true;
        return REFUSE(q, "file_sparse", "Remove the file, and it is made anew.",
                "%s has holes, or shares blocks with a copy.", q->facts->path);
}

/* Such a read would ask nobody. */
static bool permits_file_unwritten(const struct inquiry *q) {
        if (sweep_mode_writes(q->config->mode) || !q->facts->file.any_unwritten)
                return true;
        return REFUSE(q, "file_unwritten", "Sweep it in mode pattern first.",
                "%s was never written to as a whole: reading it would not ask the disk.", q->facts->path);
}

static bool permits_page_cached(const struct inquiry *q) {
        if (!sweep_mode_writes(q->config->mode) || q->facts->file.cached_bytes == 0)
                return true;
        return REFUSE(q, "page_cached", "End what keeps it in memory (a program that has it mapped or locked).",
                "%" PRIu64 " bytes of %s stay in the page cache, which would answer for the disk.",
                q->facts->file.cached_bytes, q->facts->path);
}

typedef bool rule_function(const struct inquiry *q);

static bool all_permit(const struct inquiry *q, rule_function *const *rules, size_t count) {
        for (size_t i = 0; i < count; i++)
                if (!rules[i](q))
                        return false;
        return true;
}

bool interlock_permits(struct reason *reason, const struct target_facts *facts, const struct device_config *config,
        const char *overwrite) {
        /* An I/O that is not in whole logical blocks fails with EINVAL, which would look like a fault of the disk. */
        static rule_function *const always[] = { permits_serial, permits_block_size, permits_place };
        static rule_function *const writing[] = { permits_matched, permits_read_only, permits_in_use, permits_holders,
                permits_slaves, permits_swap, permits_zoned, permits_thin, permits_loop_direct, permits_loop_sparse,
                permits_size, permits_extent, permits_iostats, permits_serial_missing, permits_twin, permits_state_disk,
                permits_no_identity, permits_destroys_missing, permits_destroys, permits_physical_block,
                permits_logical_block, permits_boot };
        static rule_function *const of_file[] = { permits_file_mode, permits_file_system, permits_file_direct,
                permits_file_size, permits_file_links, permits_file_sparse, permits_file_unwritten,
                permits_page_cached };
        static rule_function *const writing_file[] = { permits_read_only, permits_thin, permits_size, permits_extent,
                permits_twin, permits_no_identity, permits_destroys_missing, permits_destroys };
        struct inquiry q = { reason, facts, config, overwrite };
        assert(config->mode < MODE_COUNT);
        if (facts->is_file)
                return all_permit(&q, of_file, ELEMENTS(of_file)) && permits_block_size(&q) && permits_place(&q) &&
                        (!sweep_mode_writes(config->mode) || all_permit(&q, writing_file, ELEMENTS(writing_file)));
        return all_permit(&q, always, ELEMENTS(always)) &&
                (!sweep_mode_writes(config->mode) || all_permit(&q, writing, ELEMENTS(writing)));
}

/* File systems that several hosts mount at a time: what another one writes is seen by no count of ours. */
static bool is_shared(const char *type) {
        static const char *const types[] = { "ocfs", "ocfs2", "gfs", "gfs2", "VMFS", "oracleasm" };
        for (size_t i = 0; i < ELEMENTS(types); i++)
                if (strcmp(type, types[i]) == 0)
                        return true;
        return false;
}

/* Whether there is one that no mode may write over. */
static bool is_forbidden(struct reason *reason, const struct target_facts *facts, enum sweep_mode mode,
        const struct signature *signature) {
        if (signature->member)
                reason_set(reason, "member",
                        sweep_mode_keeps(mode) ? "Choose mode read, or sweep what lies on top of it."
                                               : "Take it out of its array, volume group or pool and wipe it (wipefs).",
                        "%s is a member of a stack: %s at byte %" PRIu64 ".", facts->path, signature->type,
                        signature->offset_bytes);
        else if (sweep_mode_keeps(mode) && is_shared(signature->type))
                reason_set(reason, "shared", "Choose mode read.",
                        "Other hosts may have the file system on %s mounted: %s at byte %" PRIu64 ".", facts->path,
                        signature->type, signature->offset_bytes);
        else
                return false;
        return true;
}

enum interlock_signatures interlock_signatures_permit(struct reason *reason, const struct target_facts *facts,
        enum sweep_mode mode, const struct signature *signatures, int found) {
        if (found == 0)
                return SIGNATURES_NONE;
        if (found < 0) {
                reason_set(reason, "signature", "Look at it with wipefs and blkid, or choose mode read.",
                        "It can't be told for certain what is on %s (%s).", facts->path,
                        found == -E2BIG ? "too many signatures" : strerror(-found));
                return SIGNATURES_FORBIDDEN;
        }
        for (int i = 0; i < found; i++)
                if (is_forbidden(reason, facts, mode, &signatures[i]))
                        return SIGNATURES_FORBIDDEN;
        if (sweep_mode_keeps(mode)) /* data is what it is for */
                return SIGNATURES_NONE;
        char list[256] = "";
        for (int i = 0; i < found; i++)
                text_append(list, sizeof list, "%s%s at byte %" PRIu64, i ? ", " : "", signatures[i].type,
                        signatures[i].offset_bytes);
        reason_set(reason, "signature",
                "If nothing on it is needed, remove it with wipefs --all; else choose mode read.",
                "There is data on %s: %s.", facts->path, list);
        return SIGNATURES_COMPARE;
}
