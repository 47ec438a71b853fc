/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that protects a disk hangs on calling it by the name that its owner reads on the label and in lsblk. That
 * name comes from udev's rules where udev runs, and the order of preference among its properties is that of lsblk; in
 * an initramfs or a container the same facts stand in sysfs. A wrong name can refuse a sweep, or let one through: so
 * nothing is made up, and what is not known stays empty.
 */
#include "media/identity_probe.h"

#include "base/text.h"
#include "media/signatures.h"
#include "media/sysfs.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/major.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <systemd/sd-device.h>

static void unref_devicep(sd_device **device) {
        sd_device_unref(*device); /* accepts NULL */
}

/* The first of the properties that udev has; "" where it has none or does not run. */
static void udev_text(char *text, size_t text_bytes, dev_t device, const char *const *properties) {
        CLEANUP(unref_devicep)
        sd_device *d = NULL;
        text[0] = '\0';
        if (sd_device_new_from_devnum(&d, 'b', device) < 0)
                return;
        for (; *properties; properties++) {
                const char *value;
                if (sd_device_get_property_value(d, *properties, &value) >= 0 && value[0]) {
                        text_copy(text, text_bytes, value);
                        return;
                }
        }
}

/* The first of the attributes that is there. */
static void sysfs_first(char *text, size_t text_bytes, int dir, const char *const *attributes) {
        text[0] = '\0';
        for (; *attributes && !text[0]; attributes++)
                sysfs_text(dir, *attributes, text, text_bytes);
}

/* The unit serial number page of SCSI (SPC-4, 7.8.15): a head of 4 bytes with the length in its last two, then ASCII.
 */
static void page_serial(char *serial, size_t serial_bytes, int hardware) {
        enum { HEAD_BYTES = 4, PAGE_BYTES = 256 };
        uint8_t page[PAGE_BYTES];
        size_t n = sysfs_bytes(hardware, "device/vpd_pg80", page, sizeof page);
        if (n <= HEAD_BYTES)
                return;
        size_t end = MIN(n, (size_t)HEAD_BYTES + ((size_t)page[2] << 8 | page[3])), from = HEAD_BYTES;
        while (from < end && (page[from] == ' ' || page[from] == '\0'))
                from++;
        while (end > from && (page[end - 1] == ' ' || page[end - 1] == '\0'))
                end--;
        size_t length = MIN(end - from, serial_bytes - 1);
        for (size_t i = 0; i < length; i++)
                serial[i] = page[from + i] > 0x20 && page[from + i] < 0x7f ? (char)page[from + i] : '?';
        serial[length] = '\0';
}

static void probe_serial(char serial[static IDENTITY_TEXT_BYTES], dev_t device, int hardware) {
        static const char *const properties[] = { "SCSI_IDENT_SERIAL", "ID_SCSI_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL",
                NULL };
        static const char *const attributes[] = { "device/serial", "serial", NULL };
        udev_text(serial, IDENTITY_TEXT_BYTES, device, properties);
        if (!serial[0])
                sysfs_first(serial, IDENTITY_TEXT_BYTES, hardware, attributes);
        if (!serial[0])
                page_serial(serial, IDENTITY_TEXT_BYTES, hardware);
}

/* udev writes "0x5000..." where the kernel writes "naa.5000..."; "t10." is a model and serial, no world wide name. */
static void probe_wwn(char wwn[static IDENTITY_TEXT_BYTES], dev_t device, int hardware) {
        static const char *const properties[] = { "ID_WWN_WITH_EXTENSION", "ID_WWN", NULL };
        static const char *const attributes[] = { "wwid", "device/wwid", NULL };
        udev_text(wwn, IDENTITY_TEXT_BYTES, device, properties);
        if (wwn[0])
                return;
        char id[IDENTITY_TEXT_BYTES];
        sysfs_first(id, sizeof id, hardware, attributes);
        if (strncmp(id, "naa.", strlen("naa.")) == 0)
                text_format(wwn, IDENTITY_TEXT_BYTES, "0x%s", id + strlen("naa."));
        else if (strncmp(id, "t10.", strlen("t10.")) != 0)
                text_copy(wwn, IDENTITY_TEXT_BYTES, id);
}

/* Enclosure services link each bay to the disk in it. */
static void probe_slot(char slot[static IDENTITY_TEXT_BYTES], const char *disk) {
        CLEANUP_CLOSEDIR DIR *enclosures = sysfs_list(AT_FDCWD, "/sys/class/enclosure");
        const char *enclosure, *bay;
        while (enclosures && (enclosure = sysfs_next(enclosures)) != NULL) {
                CLEANUP_CLOSEDIR DIR *bays = sysfs_list(dirfd(enclosures), enclosure);
                while (bays && (bay = sysfs_next(bays)) != NULL) {
                        char entry[PATH_MAX];
                        text_format(entry, sizeof entry, "%s/device/block/%s", bay, disk);
                        if (sysfs_exists(dirfd(bays), entry)) {
                                text_format(slot, IDENTITY_TEXT_BYTES, "enclosure %s, %s", enclosure, bay);
                                return;
                        }
                }
        }
}

/* What the hardware behind a disk is called. hardware: the directory of the disk itself or of its first path. */
static void probe_hardware(struct identity *identity, int hardware) {
        static const char *const models[] = { "device/model", "device/name", NULL };
        static const char *const firmwares[] = { "device/firmware_rev", "device/rev", "device/fwrev", NULL };
        dev_t device;
        if (!sysfs_exists(hardware, "device") || !sysfs_device(hardware, &device))
                return;
        probe_serial(identity->serial, device, hardware);
        probe_wwn(identity->wwn, device, hardware);
        sysfs_first(identity->model, sizeof identity->model, hardware, models);
        sysfs_first(identity->firmware, sizeof identity->firmware, hardware, firmwares);
        char name[SYSFS_NAME_BYTES];
        sysfs_name(name, device);
        probe_slot(identity->slot, name);
}

static void probe_partition(struct identity *identity, dev_t device, int dir, int whole) {
        static const char *const properties[] = { "ID_PART_ENTRY_UUID", NULL };
        uint64_t start, size;
        dev_t disk;
        if (sysfs_number(dir, "start", &start) && start <= UINT64_MAX / 512)
                identity->partition_offset_bytes = start * 512;
        udev_text(identity->partuuid, sizeof identity->partuuid, device, properties);
        if (!identity->partuuid[0] && sysfs_number(dir, "start", &start) && sysfs_number(dir, "size", &size) &&
                sysfs_device(whole, &disk))
                signatures_partuuid(identity->partuuid, sizeof identity->partuuid, disk, start, size);
}

static enum target_kind probe_kind(dev_t device, int dir) {
        if (sysfs_exists(dir, "partition"))
                return TARGET_KIND_PARTITION;
        if (major(device) == LOOP_MAJOR)
                return TARGET_KIND_LOOP;
        if (sysfs_exists(dir, "dm"))
                return TARGET_KIND_MAPPER;
        return sysfs_exists(dir, "md") ? TARGET_KIND_MD : TARGET_KIND_DISK;
}

void identity_probe(struct identity *identity, dev_t device, int dir, int whole) {
        *identity = (struct identity){ .kind = probe_kind(device, dir) };
        if (identity->kind == TARGET_KIND_PARTITION)
                probe_partition(identity, device, dir, whole);
        sysfs_path(whole, "loop/backing_file", identity->backing_file, sizeof identity->backing_file);
        CLEANUP_CLOSE int hardware = sysfs_open_hardware(whole);
        if (hardware >= 0)
                probe_hardware(identity, hardware);
}

/* Namespaces and units of one controller share its serial; where both have a WWN, that alone decides. */
static bool same_disk(const struct identity *a, const struct identity *b) {
        if (a->wwn[0] && b->wwn[0])
                return strcmp(a->wwn, b->wwn) == 0;
        return a->serial[0] && strcmp(a->serial, b->serial) == 0 && strcmp(a->model, b->model) == 0;
}

void identity_twin(char *twin, size_t twin_bytes, const struct identity *identity, const struct disk_set *below) {
        twin[0] = '\0';
        if (!identity->wwn[0] && !identity->serial[0])
                return;
        CLEANUP_CLOSEDIR DIR *list = sysfs_list(AT_FDCWD, "/sys/block");
        const char *name;
        while (list && (name = sysfs_next(list)) != NULL) {
                CLEANUP_CLOSE int other = sysfs_open_entry(dirfd(list), name);
                dev_t device;
                uint64_t hidden = 0;
                if (other < 0 || !sysfs_device(other, &device) || disk_set_has(below, device))
                        continue;
                sysfs_number(other, "hidden", &hidden); /* a path below a disk that is listed itself (NVMe) */
                struct identity theirs = { 0 };
                probe_hardware(&theirs, other);
                if (!hidden && same_disk(identity, &theirs)) {
                        text_copy(twin, twin_bytes, name);
                        return;
                }
        }
}
