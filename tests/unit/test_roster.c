/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks of all makes under all their names, as no test machine has them: what a pattern takes, how it is called, and
 * who stays when disks vanish, come back elsewhere or are exchanged. Random histories are checked against what must
 * hold of any roster.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "plan/roster.h"
#include "suite.h"

#include <string.h>

DEFINE_FREEP(struct roster, roster_free, roster_freep)

enum { DISKS_MAX = 16 };

struct host {
        struct disk_record disks[DISKS_MAX];
        struct disk_record *pointers[DISKS_MAX];
        struct disk_list list;
};

static struct disk_record *plug(
        struct host *h, const char *name, const char *model, const char *serial, const char *wwn) {
        struct disk_record *d = &h->disks[h->list.count];
        *d = (struct disk_record){ .device = 0x800 + h->list.count * 16, .size_bytes = 1 << 30 };
        text_copy(d->name, sizeof d->name, name);
        text_copy(d->identity.model, sizeof d->identity.model, model);
        text_copy(d->identity.serial, sizeof d->identity.serial, serial);
        text_copy(d->identity.wwn, sizeof d->identity.wwn, wwn);
        h->pointers[h->list.count++] = d;
        h->list.disks = h->pointers;
        return d;
}

static void link_to(struct disk_record *d, const char *link) {
        d->links[d->link_count++] = (char *)link;
}

static char *any_disk[] = { (char *)"/dev/*", NULL };

static struct roster *made(
        const struct host *h, struct device_config *const *entries, size_t entry_count, const struct roster *before) {
        struct roster *roster = NULL;
        struct roster_world world = {
                .entries = entries, .entry_count = entry_count, .disks = &h->list, .before = before
        };
        ck_assert_int_eq(roster_new(&roster, &world), 0);
        return roster;
}

static struct roster *made_by(const struct host *h, char **match, char **exclude, const struct roster *before) {
        struct device_config entry = { .match = match, .exclude = exclude };
        struct device_config *entries[] = { &entry };
        return made(h, entries, 1, before);
}

START_TEST(a_pattern_fits_any_of_a_disks_names_and_takes_it_once) {
        struct host h = { 0 };
        struct disk_record *d = plug(&h, "sda", "ST4000", "ZA1234", "0x5000c500a1b2c3d4");
        link_to(d, "/dev/disk/by-id/wwn-0x5000c500a1b2c3d4");
        link_to(d, "/dev/disk/by-id/ata-ST4000_ZA1234");
        char *match[] = { (char *)"/dev/disk/by-id/wwn-*", (char *)"/dev/sda", (char *)"/dev/disk/by-id/ata-*", NULL };
        CLEANUP(roster_freep)
        struct roster *r = made_by(&h, match, NULL, NULL);
        ck_assert_uint_eq(r->count, 1);
        ck_assert_str_eq(r->members[0].name, "st4000-za1234");
        ck_assert_str_eq(r->members[0].path, "/dev/sda");
        ck_assert_str_eq(r->members[0].key, "wwn:0x5000c500a1b2c3d4");
        ck_assert_str_eq(r->members[0].pattern, match[0]);
}
END_TEST

START_TEST(two_paths_to_one_disk_are_one_member) {
        struct host h = { 0 };
        plug(&h, "sda", "M", "S", "0x5");
        plug(&h, "sdb", "M", "S", "0x5");
        CLEANUP(roster_freep)
        struct roster *r = made_by(&h, any_disk, NULL, NULL);
        ck_assert_uint_eq(r->count, 1);
        ck_assert_uint_eq(r->left_out, 0);
}
END_TEST

START_TEST(a_disk_is_excluded_by_any_of_its_names) {
        struct host h = { 0 };
        link_to(plug(&h, "sda", "M", "S1", ""), "/dev/disk/by-id/usb-stick");
        plug(&h, "sdb", "M", "S2", "");
        char *exclude[] = { (char *)"*/usb-*", NULL };
        CLEANUP(roster_freep)
        struct roster *r = made_by(&h, any_disk, exclude, NULL);
        ck_assert_uint_eq(r->count, 1);
        ck_assert_str_eq(r->members[0].path, "/dev/sdb");
}
END_TEST

START_TEST(the_first_entry_that_takes_a_disk_counts) {
        struct host h = { 0 };
        plug(&h, "sda", "M", "S1", "");
        plug(&h, "nvme0n1", "M", "S2", "");
        char *nvme[] = { (char *)"/dev/nvme*", NULL };
        struct device_config one = { .match = nvme }, two = { .match = any_disk };
        struct device_config *entries[] = { &one, &two };
        CLEANUP(roster_freep)
        struct roster *r = made(&h, entries, 2, NULL);
        ck_assert_uint_eq(r->count, 2);
        ck_assert_uint_eq(roster_find(r, "m-s2")->entry, 0);
        ck_assert_uint_eq(roster_find(r, "m-s1")->entry, 1);
}
END_TEST

START_TEST(a_disk_with_an_entry_of_its_own_is_not_taken_even_by_a_second_path) {
        struct host h = { 0 };
        uint64_t own = plug(&h, "sda", "M", "S", "0x5")->device;
        plug(&h, "sdb", "M", "S", "0x5");
        struct device_config entry = { .match = any_disk };
        struct device_config *entries[] = { &entry };
        CLEANUP(roster_freep)
        struct roster *r = NULL;
        struct roster_world world = {
                .entries = entries, .entry_count = 1, .disks = &h.list, .devices = &own, .device_count = 1
        };
        ck_assert_int_eq(roster_new(&r, &world), 0);
        ck_assert_uint_eq(r->count, 0);
}
END_TEST

START_TEST(a_name_of_another_device_is_not_taken_and_that_is_said) {
        struct host h = { 0 };
        plug(&h, "sda", "M", "S", "");
        const char *names[] = { "m-s" };
        struct device_config entry = { .match = any_disk };
        struct device_config *entries[] = { &entry };
        CLEANUP(roster_freep)
        struct roster *r = NULL;
        struct roster_world world = {
                .entries = entries, .entry_count = 1, .disks = &h.list, .names = names, .name_count = 1
        };
        ck_assert_int_eq(roster_new(&r, &world), 0);
        ck_assert_uint_eq(r->count, 0);
        ck_assert_uint_eq(r->left_out, 1);
        ck_assert_str_eq(r->left_out_name, "m-s");
        ck_assert_str_eq(r->left_out_disk, "sda");
}
END_TEST

static void assert_name(const struct disk_record *d, bool tells, const char *expected) {
        char name[DEVICE_NAME_BYTES];
        ck_assert(roster_name(name, d) == tells);
        ck_assert_str_eq(name, expected);
}

START_TEST(names_come_from_identity_and_hold_only_what_names_may) {
        struct host h = { 0 };
        assert_name(
                plug(&h, "sda", "Samsung SSD 870 EVO", "S6PT NX0/1", "0x5"), true, "samsung-ssd-870-evo-s6pt-nx0-1");
        assert_name(plug(&h, "sdb", "", "ABC", ""), true, "abc");
        assert_name(plug(&h, "sdc", "M", "", "0x5000C500"), true, "wwn-0x5000c500");
        assert_name(plug(&h, "cciss/c0d0", "M", "", ""), false, "cciss-c0d0");
        assert_name(plug(&h, "sdd", "M", "\xc3\xa4\xc3\xa4", ""), true, "m");
        struct disk_record *d = plug(&h, "nvme0n2", "M", "S", "eui.0025");
        d->shares_serial = true;
        assert_name(d, true, "wwn-eui.0025");
        d = plug(&h, "loop7", "", "", "");
        d->identity.kind = TARGET_KIND_LOOP;
        text_copy(d->identity.backing_file, sizeof d->identity.backing_file, "/srv/Disk 1.img");
        assert_name(d, true, "loop-disk-1.img");
}
END_TEST

START_TEST(a_long_name_keeps_the_serial) {
        struct host h = { 0 };
        char model[IDENTITY_TEXT_BYTES], name[DEVICE_NAME_BYTES];
        memset(model, 'x', sizeof model - 1);
        model[sizeof model - 1] = '\0';
        ck_assert(roster_name(name, plug(&h, "sda", model, "SERIAL-1234567890", "")));
        ck_assert_uint_eq(strlen(name), DEVICE_NAME_BYTES - 1);
        ck_assert_str_eq(strchr(name, '-'), "-serial-1234567890");
        ck_assert(roster_name(name, plug(&h, "sdb", "M", model, "")));
        ck_assert_uint_lt(strlen(name), DEVICE_NAME_BYTES);
}
END_TEST

START_TEST(a_disk_that_vanishes_stays_missing_and_is_found_elsewhere) {
        struct host first = { 0 }, empty = { 0 }, last = { 0 };
        plug(&first, "sda", "M", "S", "0x5");
        plug(&last, "sdq", "M", "S", "0x5");
        CLEANUP(roster_freep)
        struct roster *a = made_by(&first, any_disk, NULL, NULL);
        CLEANUP(roster_freep)
        struct roster *b = made_by(&empty, any_disk, NULL, a);
        ck_assert_uint_eq(b->count, 1);
        ck_assert_ptr_null(b->members[0].disk);
        ck_assert_str_eq(b->members[0].path, "/dev/sda");
        CLEANUP(roster_freep)
        struct roster *c = made_by(&last, any_disk, NULL, b);
        ck_assert_uint_eq(c->count, 1);
        ck_assert_ptr_nonnull(c->members[0].disk);
        ck_assert_str_eq(c->members[0].path, "/dev/sdq");
        ck_assert_str_eq(c->members[0].name, "m-s");
}
END_TEST

START_TEST(a_known_disk_keeps_its_name_when_its_firmware_calls_the_model_otherwise) {
        struct host before = { 0 }, after = { 0 };
        plug(&before, "sda", "OLD", "S", "0x5");
        plug(&after, "sda", "NEW", "S", "0x5");
        CLEANUP(roster_freep)
        struct roster *a = made_by(&before, any_disk, NULL, NULL);
        CLEANUP(roster_freep)
        struct roster *b = made_by(&after, any_disk, NULL, a);
        ck_assert_uint_eq(b->count, 1);
        ck_assert_str_eq(b->members[0].name, "old-s");
}
END_TEST

START_TEST(a_disk_whose_identity_is_known_better_now_takes_its_own_place) {
        struct host before = { 0 }, after = { 0 };
        plug(&before, "sda", "M", "S", "");
        plug(&after, "sda", "M", "S", "0x5");
        CLEANUP(roster_freep)
        struct roster *a = made_by(&before, any_disk, NULL, NULL);
        CLEANUP(roster_freep)
        struct roster *b = made_by(&after, any_disk, NULL, a);
        ck_assert_uint_eq(b->count, 1);
        ck_assert_str_eq(b->members[0].key, "wwn:0x5");
        ck_assert_uint_eq(b->left_out, 0);
}
END_TEST

START_TEST(a_missing_disk_goes_with_the_pattern_that_took_it_and_with_an_order) {
        struct host h = { 0 }, empty = { 0 };
        plug(&h, "sda", "M", "S", "");
        char *other[] = { (char *)"/dev/nvme*", NULL }, *exclude[] = { (char *)"/dev/sda", NULL };
        CLEANUP(roster_freep)
        struct roster *a = made_by(&h, any_disk, NULL, NULL);
        CLEANUP(roster_freep)
        struct roster *b = made_by(&empty, other, NULL, a);
        ck_assert_uint_eq(b->count, 0);
        CLEANUP(roster_freep)
        struct roster *c = made_by(&empty, any_disk, exclude, a);
        ck_assert_uint_eq(c->count, 0);
        CLEANUP(roster_freep)
        struct roster *d = made_by(&h, any_disk, exclude, a);
        ck_assert_uint_eq(d->count, 0);
        roster_remove(a, "m-s");
        CLEANUP(roster_freep)
        struct roster *e = made_by(&empty, any_disk, NULL, a);
        ck_assert_uint_eq(e->count, 0);
}
END_TEST

START_TEST(a_loop_device_is_taken_only_by_a_pattern_for_loop_devices) {
        struct host h = { 0 };
        struct disk_record *d = plug(&h, "loop7", "", "", "");
        d->identity.kind = TARGET_KIND_LOOP;
        text_copy(d->identity.backing_file, sizeof d->identity.backing_file, "/srv/a");
        link_to(d, "/dev/disk/by-id/x");
        char *link[] = { (char *)"/dev/disk/by-id/*", NULL }, *loops[] = { (char *)"/dev/loop*", NULL };
        CLEANUP(roster_freep)
        struct roster *a = made_by(&h, any_disk, NULL, NULL);
        CLEANUP(roster_freep)
        struct roster *b = made_by(&h, link, NULL, NULL);
        CLEANUP(roster_freep)
        struct roster *c = made_by(&h, loops, NULL, NULL);
        ck_assert_uint_eq(a->count + b->count, 0);
        ck_assert_uint_eq(c->count, 1);
}
END_TEST

static void assert_same(const struct roster *a, const struct roster *b) {
        ck_assert_uint_eq(a->count, b->count);
        for (size_t i = 0; i < a->count; i++) {
                ck_assert_str_eq(a->members[i].name, b->members[i].name);
                ck_assert_str_eq(a->members[i].key, b->members[i].key);
                ck_assert_str_eq(a->members[i].path, b->members[i].path);
                ck_assert_str_eq(a->members[i].pattern, b->members[i].pattern);
        }
}

START_TEST(what_is_written_is_read_back) {
        struct host h = { 0 };
        plug(&h, "sda", "Model 1 %x\n", "S 1", "");
        plug(&h, "sdb", "M\x7f", "S2", "");
        CLEANUP(roster_freep)
        struct roster *a = made_by(&h, any_disk, NULL, NULL), *b = NULL;
        CLEANUP_FREE char *text = NULL;
        ck_assert_int_eq(roster_write(&text, a), 0);
        ck_assert_int_eq(roster_read(&b, text), 0);
        assert_same(a, b);
        ck_assert_uint_eq(b->count, 2);
}
END_TEST

START_TEST(lines_that_make_no_sense_are_left_out) {
        CLEANUP(roster_freep)
        struct roster *r = NULL;
        ck_assert_int_eq(roster_read(&r,
                                 "good key /dev/sda /dev/*\nBAD key2 /dev/sdb /dev/*\nfew key3 /dev/sdc\n\n"
                                 "more key4 /dev/sdd /dev/* x\ngood key5 /dev/sde /dev/*\nsame key /dev/sdf /dev/*\n"
                                 "hex ke%zz /dev/sdg /dev/*\nnul ke%00y /dev/sdh /dev/*\ncut key6 /dev/sdi /dev/%4"),
                0);
        ck_assert_uint_eq(r->count, 1);
        ck_assert_str_eq(r->members[0].path, "/dev/sda");
}
END_TEST

/* A host whose disks come, go and change places for a while. */
START_TEST(through_any_history_members_are_few_true_and_never_lost) {
        for (uint64_t seed = 1; seed <= 3000; seed++) {
                uint64_t state = seed;
                uint32_t seen = 0; /* the serials that were ever there */
                struct roster *roster = NULL;
                for (int step = 0; step < 8; step++) {
                        struct host h = { 0 };
                        uint32_t here = 0;
                        for (size_t slot = 0; slot < 6; slot++) {
                                unsigned serial = (unsigned)(suite_random(&state) % 8);
                                if (suite_random(&state) % 3 == 0 || here & BIT(serial))
                                        continue;
                                char name[] = { 's', 'd', (char)('a' + slot), '\0' };
                                char number[] = { 's', (char)('0' + serial), '\0' };
                                plug(&h, name, "M", number, "");
                                here |= (uint32_t)BIT(serial);
                        }
                        seen |= here;
                        struct roster *next = made_by(&h, any_disk, NULL, roster);
                        roster_free(roster);
                        roster = next;
                        ASSERT_SEEDED(seed, roster->count == (size_t)__builtin_popcount(seen));
                        for (size_t i = 0; i < roster->count; i++) {
                                const struct roster_member *m = &roster->members[i];
                                unsigned serial = (unsigned)(m->name[strlen(m->name) - 1] - '0');
                                ASSERT_SEEDED(seed, (m->disk != NULL) == ((here & BIT(serial)) != 0));
                                ASSERT_SEEDED(seed, !m->disk || strcmp(m->path + 5, m->disk->name) == 0);
                        }
                }
                roster_free(roster);
        }
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("roster");
        tcase_add_test(tests, a_pattern_fits_any_of_a_disks_names_and_takes_it_once);
        tcase_add_test(tests, two_paths_to_one_disk_are_one_member);
        tcase_add_test(tests, a_disk_is_excluded_by_any_of_its_names);
        tcase_add_test(tests, the_first_entry_that_takes_a_disk_counts);
        tcase_add_test(tests, a_disk_with_an_entry_of_its_own_is_not_taken_even_by_a_second_path);
        tcase_add_test(tests, a_name_of_another_device_is_not_taken_and_that_is_said);
        tcase_add_test(tests, names_come_from_identity_and_hold_only_what_names_may);
        tcase_add_test(tests, a_long_name_keeps_the_serial);
        tcase_add_test(tests, a_disk_that_vanishes_stays_missing_and_is_found_elsewhere);
        tcase_add_test(tests, a_known_disk_keeps_its_name_when_its_firmware_calls_the_model_otherwise);
        tcase_add_test(tests, a_disk_whose_identity_is_known_better_now_takes_its_own_place);
        tcase_add_test(tests, a_missing_disk_goes_with_the_pattern_that_took_it_and_with_an_order);
        tcase_add_test(tests, a_loop_device_is_taken_only_by_a_pattern_for_loop_devices);
        tcase_add_test(tests, what_is_written_is_read_back);
        tcase_add_test(tests, lines_that_make_no_sense_are_left_out);
        tcase_add_test(tests, through_any_history_members_are_few_true_and_never_lost);
        return suite_run("roster", tests);
}
