/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_holds: keeps boot from using a device whose originals are not back in their place: for each unit of systemd that
 * would mount, check, unlock or swap to it, an empty place in a directory gets the unit's name. Drop-ins of ours have
 * those units fail while it is there (AssertPathExists=!/run/sweepd-recover/%n). All others start as ever.
 */
#pragma once

#define BOOT_HOLDS_DIRECTORY "/run/sweepd-recover"

struct target_facts;

/* None of an earlier recovery. */
void boot_holds_clear(const char *directory);

/*
 * In the name of a configured device. facts: of its target; where that is not there, of size 0 and with its path alone.
 * Negative errno: not all could be.
 */
int boot_holds_set(const char *directory, const char *device, const struct target_facts *facts);

/* What is held in its name alone. */
void boot_holds_release(const char *directory, const char *device);
