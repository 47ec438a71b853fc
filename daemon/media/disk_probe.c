/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Some disks may not be swept as others are: zoned ones can't be written at will, thin ones may run out of blocks that
 * others share, and without counted I/O foreign writes would go unseen. Where the kernel does not tell, the answer is
 * the one that does no harm.
 */
#include "media/disk_probe.h"

#include "base/cleanup.h"
#include "media/sysfs.h"
#include "media/target.h"

#include <limits.h>
#include <string.h>

/* libata sets lbpme for every SSD that knows TRIM, though none of them is thin, so its word counts for others only. */
static bool scsi_says_thin(int hardware) {
        char vendor[32];
        if (sysfs_text(hardware, "device/vendor", vendor, sizeof vendor) && strcmp(vendor, "ATA") == 0)
                return false;
        CLEANUP_CLOSEDIR DIR *list = sysfs_list(hardware, "device/scsi_disk");
        const char *address;
        while (list && (address = sysfs_next(list)) != NULL) {
                CLEANUP_CLOSE int dir = sysfs_open_entry(dirfd(list), address);
                uint64_t thin;
                if (dir >= 0 && sysfs_number(dir, "thin_provisioning", &thin) && thin != 0)
                        return true;
        }
        return false;
}

/* The page's provisioning type (SBC-4, logical block provisioning VPD page, byte 6) tells thin from
 * resource-provisioned. */
static bool is_thin(int hardware) {
        enum { PAGE_BYTES = 8, TYPE_BYTE = 6, TYPE_MASK = 7, TYPE_THIN = 2 };
        uint8_t page[PAGE_BYTES];
        if (sysfs_bytes(hardware, "device/vpd_pgb2", page, sizeof page) == sizeof page)
                return (page[TYPE_BYTE] & TYPE_MASK) == TYPE_THIN;
        return scsi_says_thin(hardware);
}

void disk_probe(struct target_facts *facts, int whole) {
        uint64_t n;
        char text[64];
        if (sysfs_number(whole, "queue/nr_requests", &n))
                facts->nr_requests = (unsigned)MIN(n, (uint64_t)UINT_MAX);
        if (sysfs_number(whole, "queue/max_sectors_kb", &n))
                facts->max_io_bytes = (uint32_t)(MIN(n, (uint64_t)UINT32_MAX / 1024) * 1024);
        facts->iostats = sysfs_number(whole, "queue/iostats", &n) && n != 0;
        facts->discards = sysfs_number(whole, "queue/discard_max_bytes", &n) && n != 0;
        facts->zoned = sysfs_text(whole, "queue/zoned", text, sizeof text) && strcmp(text, "none") != 0;
        facts->write_cache_known = sysfs_text(whole, "queue/write_cache", text, sizeof text);
        facts->write_cache = facts->write_cache_known && strcmp(text, "write back") == 0;
        CLEANUP_CLOSE int hardware = sysfs_open_hardware(whole);
        facts->real = hardware >= 0 && sysfs_exists(hardware, "device");
        if (hardware >= 0 && sysfs_number(hardware, "device/timeout", &n)) /* in seconds */
                facts->timeout_us = MIN(n, UINT64_C(86400)) * 1000000;
        facts->thin = hardware >= 0 && is_thin(hardware);
}
