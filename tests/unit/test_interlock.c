/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each rule is tried by breaking one fact of a target that is otherwise in order: the answer must be that very rule,
 * and in mode read, which needs none of them, there must be no refusal.
 */
#include "sweep/interlock.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "media/target.h"
#include "suite.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

struct scene {
        struct target_facts facts;
        struct device_config config;
        const char *overwrite;
        struct reason reason;
};

static char disk_wwn[] = "0x5000c500a1b2c3d4", disk_serial[] = "ZA1234", loop_file[] = "/srv/disk.img",
            partition_uuid[] = "2e3f9a40-01", other_text[] = "something else";

/* A real disk in order. */
static struct scene *scene_disk(struct scene *s) {
        *s = (struct scene){ .facts = { .identity = { .kind = TARGET_KIND_DISK },
                                     .path = "/dev/sdx",
                                     .device = makedev(8, 16),
                                     .disk = makedev(8, 16),
                                     .size_bytes = UINT64_C(1) << 40,
                                     .logical_block_bytes = 512,
                                     .physical_block_bytes = 4096,
                                     .real = true,
                                     .iostats = true },
                .config = { .name = "x",
                        .path = s->facts.path,
                        .mode = MODE_PATTERN,
                        .serial = disk_serial,
                        .destroys_data = disk_wwn,
                        .block_size_bytes = 512 << 10 } };
        text_copy(s->facts.identity.wwn, sizeof s->facts.identity.wwn, disk_wwn);
        text_copy(s->facts.identity.serial, sizeof s->facts.identity.serial, disk_serial);
        return s;
}

/* The same disk's second partition. */
static struct scene *scene_partition(struct scene *s) {
        scene_disk(s);
        s->facts.identity.kind = TARGET_KIND_PARTITION;
        s->facts.identity.partition_offset_bytes = 1 << 20;
        text_copy(s->facts.identity.partuuid, sizeof s->facts.identity.partuuid, partition_uuid);
        s->facts.device = makedev(8, 18);
        s->facts.size_bytes = 1 << 30;
        s->config.destroys_data = partition_uuid;
        return s;
}

static struct scene *scene_loop(struct scene *s) {
        scene_disk(s);
        s->facts.identity = (struct identity){ .kind = TARGET_KIND_LOOP };
        text_copy(s->facts.identity.backing_file, sizeof s->facts.identity.backing_file, loop_file);
        s->facts.real = false;
        s->facts.is_loop = true;
        s->facts.loop_direct_io = true;
        s->config.serial = NULL;
        s->config.destroys_data = loop_file;
        return s;
}

static bool permits(struct scene *s) {
        return interlock_permits(&s->reason, &s->facts, &s->config, s->overwrite);
}

static void break_matched(struct scene *s) {
        s->config.key = (char *)"wwn:0x5000c500a1b2c3d4";
}
static void break_read_only(struct scene *s) {
        s->facts.read_only = true;
}
static void break_mounted(struct scene *s) {
        text_copy(s->facts.mounted, sizeof s->facts.mounted, "/srv");
}
static void break_holders(struct scene *s) {
        text_copy(s->facts.holders, sizeof s->facts.holders, "md0 dm-3");
}
static void break_slaves(struct scene *s) {
        text_copy(s->facts.slaves, sizeof s->facts.slaves, "sda sdb");
}
static void break_swap(struct scene *s) {
        s->facts.swap = true;
}
static void break_zoned(struct scene *s) {
        s->facts.zoned = true;
}
static void break_thin(struct scene *s) {
        s->facts.thin = true;
}
static void break_direct(struct scene *s) {
        s->facts.loop_direct_io = false;
}
static void break_sparse(struct scene *s) {
        s->facts.loop_sparse = true;
}
static void break_start(struct scene *s) {
        s->facts.identity.partition_offset_bytes = 63 * 512;
        s->facts.size_bytes -= 63 * 512; /* its end stays where it was */
}
static void break_end(struct scene *s) {
        s->facts.size_bytes -= 512;
}
static void break_iostats(struct scene *s) {
        s->facts.iostats = false;
}
static void break_serial_given(struct scene *s) {
        s->config.serial = NULL;
}
static void break_twin(struct scene *s) {
        text_copy(s->facts.twin, sizeof s->facts.twin, "sdy");
}
static void break_state(struct scene *s) {
        s->facts.holds_state = true;
}
static void break_destroys_given(struct scene *s) {
        s->config.destroys_data = NULL;
}
static void break_destroys(struct scene *s) {
        s->config.destroys_data = other_text;
}
/* Of a disk with a WWN, that is the most specific name; of a partition, not the disk's. */
static void break_destroys_serial(struct scene *s) {
        s->config.destroys_data = disk_serial;
}
static void break_destroys_wwn(struct scene *s) {
        s->config.destroys_data = disk_wwn;
}
static void break_destroys_path(struct scene *s) {
        s->config.destroys_data = s->facts.path;
}
static void break_overwrite(struct scene *s) {
        s->overwrite = other_text;
}
static void break_partuuid(struct scene *s) {
        s->facts.identity.partuuid[0] = '\0';
}
static void break_backing(struct scene *s) {
        s->facts.identity.backing_file[0] = '\0';
}
static void break_size(struct scene *s) {
        s->facts.size_bytes = 3584;
}

/* A real disk in order that keeps its data, and is mounted at boot. */
static struct scene *scene_kept(struct scene *s) {
        scene_disk(s);
        s->config.mode = MODE_PRESERVE;
        s->config.destroys_data = NULL;
        s->facts.boot_known = s->facts.recovers_at_boot = s->facts.journal_at_boot = true;
        text_copy(s->facts.boot_use, sizeof s->facts.boot_use, "line 3 of /etc/fstab names it");
        return s;
}

static void break_physical(struct scene *s) {
        s->facts.physical_block_bytes = 2 * s->config.block_size_bytes;
        s->facts.size_bytes = UINT64_C(1) << 40;
}
static void break_logical(struct scene *s) {
        s->facts.logical_block_bytes = s->facts.physical_block_bytes = 8192;
        s->facts.size_bytes = UINT64_C(1) << 40;
}
static void break_extent_end(struct scene *s) {
        s->config.length_bytes = s->facts.size_bytes;
        s->config.offset_bytes = 1 << 20;
}
static void break_extent_start(struct scene *s) {
        s->config.offset_bytes = s->facts.size_bytes;
}
static void break_extent_align(struct scene *s) {
        s->facts.physical_block_bytes = 8192;
        s->config.offset_bytes = 4096;
}
static void break_boot_known(struct scene *s) {
        s->facts.boot_known = false;
}
static void break_recovery(struct scene *s) {
        s->facts.recovers_at_boot = false;
}
static void break_journal(struct scene *s) {
        s->facts.journal_at_boot = false;
}

/* A canary in order, on a disk whose serial nobody asks for. */
static struct scene *scene_file(struct scene *s) {
        scene_loop(s);
        s->facts.identity.kind = TARGET_KIND_FILE;
        s->facts.is_loop = s->facts.loop_direct_io = s->facts.iostats = false;
        s->facts.is_file = s->facts.file.in_place = s->facts.file.direct = s->facts.file.allocated = true;
        s->facts.file.links = 1;
        s->facts.file.wanted_bytes = s->facts.size_bytes;
        return s;
}

static struct scene *scene_file_read(struct scene *s) {
        scene_file(s);
        s->config.mode = MODE_READ;
        s->config.destroys_data = NULL;
        return s;
}

static void break_file_mode(struct scene *s) {
        s->config.mode = MODE_REFRESH;
}
static void break_file_system(struct scene *s) {
        s->facts.file.in_place = false;
}
static void break_file_direct(struct scene *s) {
        s->facts.file.direct = false;
}
static void break_file_size(struct scene *s) {
        s->facts.file.wanted_bytes += 4096;
}
static void break_file_links(struct scene *s) {
        s->facts.file.links = 2;
}
static void break_file_name(struct scene *s) {
        s->facts.file.made = true; /* and it has a name already */
}
static void break_file_blocks(struct scene *s) {
        s->facts.file.allocated = false;
}
static void break_file_written(struct scene *s) {
        s->facts.file.any_unwritten = true;
}
static void break_file_cached(struct scene *s) {
        s->facts.file.cached_bytes = 4096;
}

static const struct {
        struct scene *(*scene)(struct scene *);
        void (*break_one)(struct scene *);
        const char *rule;
} broken[] = {
        { scene_disk, break_matched, "matched" },
        { scene_file, break_file_mode, "file_mode" },
        { scene_file, break_file_system, "file_system" },
        { scene_file_read, break_file_system, "file_system" },
        { scene_file, break_file_direct, "file_not_direct" },
        { scene_file_read, break_file_direct, "file_not_direct" },
        { scene_file, break_file_size, "file_size" },
        { scene_file, break_file_links, "file_links" },
        { scene_file, break_file_name, "file_links" },
        { scene_file, break_file_blocks, "file_sparse" },
        { scene_file_read, break_file_blocks, "file_sparse" },
        { scene_file_read, break_file_written, "file_unwritten" },
        { scene_file, break_file_cached, "page_cached" },
        { scene_file, break_read_only, "read_only" },
        { scene_file, break_twin, "twin" },
        { scene_file, break_thin, "thin" },
        { scene_file, break_backing, "no_identity" },
        { scene_file, break_destroys, "destroys_data_mismatch" },
        { scene_file, break_destroys_given, "destroys_data_missing" },
        { scene_disk, break_read_only, "read_only" },
        { scene_disk, break_mounted, "in_use" },
        { scene_disk, break_holders, "holders" },
        { scene_disk, break_slaves, "slaves" },
        { scene_disk, break_swap, "swap" },
        { scene_disk, break_zoned, "zoned" },
        { scene_disk, break_thin, "thin" },
        { scene_loop, break_direct, "loop_not_direct" },
        { scene_loop, break_sparse, "loop_sparse" },
        { scene_partition, break_start, "alignment" },
        { scene_partition, break_end, "alignment" },
        { scene_disk, break_extent_align, "alignment" },
        { scene_disk, break_iostats, "iostats" },
        { scene_disk, break_serial_given, "serial_missing" },
        { scene_disk, break_twin, "twin" },
        { scene_loop, break_twin, "twin" },
        { scene_disk, break_state, "state_disk" },
        { scene_disk, break_destroys_given, "destroys_data_missing" },
        { scene_disk, break_destroys, "destroys_data_mismatch" },
        { scene_disk, break_destroys_serial, "destroys_data_mismatch" },
        { scene_partition, break_destroys_wwn, "destroys_data_mismatch" },
        { scene_loop, break_destroys_path, "destroys_data_mismatch" },
        { scene_disk, break_overwrite, "destroys_data_mismatch" },
        { scene_partition, break_partuuid, "no_identity" },
        { scene_loop, break_backing, "no_identity" },
        { scene_disk, break_size, "too_small" },
        { scene_kept, break_mounted, "in_use" },
        { scene_kept, break_holders, "holders" },
        { scene_kept, break_swap, "swap" },
        { scene_kept, break_zoned, "zoned" },
        { scene_kept, break_thin, "thin" },
        { scene_kept, break_iostats, "iostats" },
        { scene_kept, break_serial_given, "serial_missing" },
        { scene_kept, break_twin, "twin" },
        { scene_kept, break_state, "state_disk" },
        { scene_kept, break_physical, "alignment" },
        { scene_kept, break_logical, "logical_block" },
        { scene_kept, break_boot_known, "fstab" },
        { scene_kept, break_recovery, "fstab" },
        { scene_kept, break_journal, "fstab" },
};

START_TEST(a_target_in_order_is_permitted) {
        struct scene s;
        ck_assert_msg(permits(scene_disk(&s)), "disk: %s", s.reason.found);
        ck_assert_msg(permits(scene_partition(&s)), "partition: %s", s.reason.found);
        ck_assert_msg(permits(scene_loop(&s)), "loop: %s", s.reason.found);
        ck_assert_msg(permits(scene_kept(&s)), "kept: %s", s.reason.found);
        ck_assert_str_eq(s.reason.rule, "");
}
END_TEST

START_TEST(one_broken_fact_is_refused_by_its_rule) {
        struct scene s;
        broken[_i].break_one(broken[_i].scene(&s));
        ck_assert_msg(!permits(&s), "%s did not refuse", broken[_i].rule);
        ck_assert_str_eq(s.reason.rule, broken[_i].rule);
        ck_assert_msg(strlen(s.reason.found) > 10 && strlen(s.reason.remedy) > 10, "%s says too little", s.reason.rule);
        ck_assert_ptr_nonnull(strchr(s.reason.found, '.'));
}
END_TEST

START_TEST(mode_read_asks_none_of_that) {
        struct scene s;
        broken[_i].break_one(broken[_i].scene(&s));
        if (s.facts.is_file) /* has rules of its own, most of them for reading, too */
                return;
        s.config.mode = MODE_READ;
        ck_assert_msg(permits(&s), "%s: %s", s.reason.rule, s.reason.found);
}
END_TEST

START_TEST(an_extent_that_is_not_there_is_refused_in_every_mode) {
        static void (*const breaks[])(struct scene *) = { break_extent_end, break_extent_start };
        for (enum sweep_mode mode = MODE_READ; mode < MODE_COUNT; mode++)
                for (size_t i = 0; i < ELEMENTS(breaks); i++) {
                        struct scene s;
                        breaks[i](scene_disk(&s));
                        s.config.mode = mode;
                        ck_assert(!permits(&s));
                        ck_assert_str_eq(s.reason.rule, "extent");
                }
}
END_TEST

START_TEST(a_file_in_order_may_be_overwritten_and_read_and_asks_for_no_serial) {
        struct scene s;
        ck_assert_msg(permits(scene_file(&s)), "%s: %s", s.reason.rule, s.reason.found);
        s.facts.real = true;
        break_file_written(&s);
        ck_assert_msg(permits(&s), "%s: %s", s.reason.rule, s.reason.found);
        s.facts.file.made = true;
        s.facts.file.links = 0;
        ck_assert_msg(permits(&s), "%s: %s", s.reason.rule, s.reason.found);
        ck_assert_msg(permits(scene_file_read(&s)), "%s: %s", s.reason.rule, s.reason.found);
        break_file_cached(&s);
        ck_assert_msg(permits(&s), "%s: %s", s.reason.rule, s.reason.found);
}
END_TEST

START_TEST(a_wrong_serial_is_refused_in_every_mode) {
        struct scene s;
        for (enum sweep_mode mode = MODE_READ; mode < MODE_COUNT; mode++) {
                scene_disk(&s)->config.serial = other_text;
                s.config.mode = mode;
                ck_assert(!permits(&s));
                ck_assert_str_eq(s.reason.rule, "serial_mismatch");
        }
}
END_TEST

START_TEST(an_empty_serial_matches_nothing) {
        struct scene s;
        scene_loop(&s)->config.serial = (char[]){ "" };
        ck_assert(!permits(&s));
        ck_assert_str_eq(s.reason.rule, "serial_mismatch");
}
END_TEST

START_TEST(the_wwn_is_as_good_as_the_serial) {
        struct scene s;
        scene_disk(&s)->config.serial = disk_wwn;
        ck_assert(permits(&s));
}
END_TEST

START_TEST(a_block_smaller_than_a_logical_block_is_refused_in_every_mode) {
        struct scene s;
        for (enum sweep_mode mode = MODE_READ; mode < MODE_COUNT; mode++) {
                scene_disk(&s)->config.mode = mode;
                s.config.block_size_bytes = 4096;
                s.facts.logical_block_bytes = s.facts.physical_block_bytes = 16384;
                ck_assert(!permits(&s));
                ck_assert_str_eq(s.reason.rule, "alignment");
        }
}
END_TEST

START_TEST(logical_blocks_of_any_size_may_be_read_and_filled_with_the_pattern) {
        static const enum sweep_mode modes[] = { MODE_READ, MODE_PATTERN };
        for (size_t i = 0; i < ELEMENTS(modes); i++) {
                struct scene s;
                scene_disk(&s)->config.mode = modes[i];
                break_logical(&s);
                ck_assert_msg(permits(&s), "%s", s.reason.found);
        }
}
END_TEST

START_TEST(a_disk_may_end_within_a_physical_block) {
        struct scene s;
        scene_disk(&s)->facts.size_bytes -= 512;
        ck_assert(permits(&s));
}
END_TEST

START_TEST(without_a_wwn_the_serial_is_the_most_specific_name) {
        struct scene s;
        scene_disk(&s)->facts.identity.wwn[0] = '\0';
        s.config.destroys_data = disk_serial;
        ck_assert(permits(&s));
}
END_TEST

START_TEST(a_refusal_tells_the_very_words_to_type) {
        struct scene s;
        break_destroys_given(scene_partition(&s));
        ck_assert(!permits(&s));
        ck_assert_ptr_nonnull(strstr(s.reason.found, partition_uuid));
        break_destroys(scene_disk(&s));
        ck_assert(!permits(&s));
        ck_assert_ptr_nonnull(strstr(s.reason.found, disk_wwn));
        break_serial_given(scene_disk(&s));
        ck_assert(!permits(&s));
        ck_assert_ptr_nonnull(strstr(s.reason.found, disk_serial));
}
END_TEST

START_TEST(what_boot_does_not_use_needs_no_recovery_then) {
        struct scene s;
        scene_kept(&s)->facts.boot_use[0] = '\0';
        s.facts.recovers_at_boot = s.facts.journal_at_boot = false;
        ck_assert_msg(permits(&s), "%s", s.reason.found);
        s.config.mode = MODE_REFRESH;
        ck_assert(permits(&s));
}
END_TEST

START_TEST(mode_pattern_does_not_ask_about_boot) {
        struct scene s;
        ck_assert(!scene_disk(&s)->facts.boot_known && permits(&s));
        s.facts.physical_block_bytes = 2 * s.config.block_size_bytes;
        ck_assert(permits(&s));
}
END_TEST

START_TEST(data_is_no_obstacle_to_modes_that_keep_it) {
        struct scene s;
        struct signature list[] = { { .type = "ext4", .offset_bytes = 1080, .length_bytes = 2 },
                { .type = "gfs2", .offset_bytes = 65536, .length_bytes = 4 },
                { .type = "linux_raid_member", .member = true, .offset_bytes = 4096, .length_bytes = 4 } };
        static const enum sweep_mode modes[] = { MODE_REFRESH, MODE_PRESERVE };
        for (size_t i = 0; i < ELEMENTS(modes); i++) {
                scene_kept(&s);
                ck_assert_int_eq(interlock_signatures_permit(&s.reason, &s.facts, modes[i], list, 1), SIGNATURES_NONE);
                ck_assert_int_eq(
                        interlock_signatures_permit(&s.reason, &s.facts, modes[i], list, 2), SIGNATURES_FORBIDDEN);
                ck_assert_str_eq(s.reason.rule, "shared");
                ck_assert_int_eq(
                        interlock_signatures_permit(&s.reason, &s.facts, modes[i], list + 2, 1), SIGNATURES_FORBIDDEN);
                ck_assert_str_eq(s.reason.rule, "member");
                ck_assert_int_eq(
                        interlock_signatures_permit(&s.reason, &s.facts, modes[i], list, -EIO), SIGNATURES_FORBIDDEN);
                ck_assert_str_eq(s.reason.rule, "signature");
        }
}
END_TEST

START_TEST(facts_that_nobody_gathered_refuse_to_write) {
        struct scene s = { .config = { .mode = MODE_PATTERN, .block_size_bytes = 4096 } };
        ck_assert(!permits(&s));
}
END_TEST

START_TEST(only_no_signature_is_no_signature) {
        struct scene s;
        struct signature list[] = { { .type = "ext4", .offset_bytes = 1080, .length_bytes = 2 },
                { .type = "linux_raid_member", .member = true, .offset_bytes = 4096, .length_bytes = 4 } };
        scene_disk(&s);
        ck_assert_int_eq(interlock_signatures_permit(&s.reason, &s.facts, MODE_PATTERN, list, 0), SIGNATURES_NONE);
        ck_assert_str_eq(s.reason.rule, "");
        ck_assert_int_eq(interlock_signatures_permit(&s.reason, &s.facts, MODE_PATTERN, list, 1), SIGNATURES_COMPARE);
        ck_assert_str_eq(s.reason.rule, "signature");
        ck_assert_ptr_nonnull(strstr(s.reason.found, "ext4 at byte 1080"));
        ck_assert_int_eq(interlock_signatures_permit(&s.reason, &s.facts, MODE_PATTERN, list, 2), SIGNATURES_FORBIDDEN);
        ck_assert_str_eq(s.reason.rule, "member");
        ck_assert_int_eq(
                interlock_signatures_permit(&s.reason, &s.facts, MODE_PATTERN, list, -EIO), SIGNATURES_FORBIDDEN);
        ck_assert_str_eq(s.reason.rule, "signature");
        ck_assert_int_eq(
                interlock_signatures_permit(&s.reason, &s.facts, MODE_PATTERN, list, -E2BIG), SIGNATURES_FORBIDDEN);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("interlock");
        tcase_add_test(tests, a_target_in_order_is_permitted);
        tcase_add_loop_test(tests, one_broken_fact_is_refused_by_its_rule, 0, (int)ELEMENTS(broken));
        tcase_add_loop_test(tests, mode_read_asks_none_of_that, 0, (int)ELEMENTS(broken));
        tcase_add_test(tests, an_extent_that_is_not_there_is_refused_in_every_mode);
        tcase_add_test(tests, a_file_in_order_may_be_overwritten_and_read_and_asks_for_no_serial);
        tcase_add_test(tests, a_wrong_serial_is_refused_in_every_mode);
        tcase_add_test(tests, an_empty_serial_matches_nothing);
        tcase_add_test(tests, the_wwn_is_as_good_as_the_serial);
        tcase_add_test(tests, a_block_smaller_than_a_logical_block_is_refused_in_every_mode);
        tcase_add_test(tests, logical_blocks_of_any_size_may_be_read_and_filled_with_the_pattern);
        tcase_add_test(tests, a_disk_may_end_within_a_physical_block);
        tcase_add_test(tests, without_a_wwn_the_serial_is_the_most_specific_name);
        tcase_add_test(tests, a_refusal_tells_the_very_words_to_type);
        tcase_add_test(tests, what_boot_does_not_use_needs_no_recovery_then);
        tcase_add_test(tests, mode_pattern_does_not_ask_about_boot);
        tcase_add_test(tests, data_is_no_obstacle_to_modes_that_keep_it);
        tcase_add_test(tests, facts_that_nobody_gathered_refuse_to_write);
        tcase_add_test(tests, only_no_signature_is_no_signature);
        return suite_run("interlock", tests);
}
