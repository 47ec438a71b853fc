/* SPDX-License-Identifier: Apache-2.0 */
/* fstab: whether a device is used at boot, before a daemon that keeps originals of it in a journal could put them back.
 */
#pragma once

struct target_facts;

/*
 * Fills in boot_known, boot_use, recovers_at_boot and journal_at_boot, by /etc/fstab, /etc/crypttab and the units of
 * systemd; identity and device are there already. journal: its directory, which need not exist yet, or block device.
 */
void fstab_probe(struct target_facts *facts, const char *journal);
