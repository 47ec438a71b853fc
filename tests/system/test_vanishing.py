#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Disks that are taken away, exchanged, made smaller or write-protected in the middle of a sweep: it is noticed, it is
named, the sweep is incomplete, and nothing is written to what took the disk's place.
"""

import fcntl
import os
import signal

from harness import (KIB, MIB, LoopDevice, device_entry, eventually, expect_clean, main, run, sha256, test)
from keeping import stand_still

LOOP_CHANGE_FD = 0x4C06
LOOP_SET_CAPACITY = 0x4C07

SIZE = 16 * MIB
# Small segments: at the end of each the device is looked at, and there are many writes still to come.
SLOW = {'block_size': '64K', 'queue_depth': 4, 'segment': '1M'}


def faulty_free(daemon, sweep, rule):
    """The sweep ended for this reason, and blames no medium."""
    assert (sweep['end'], sweep['verdict']) == ('failed', 'incomplete'), sweep
    assert sweep['reason']['rule'] == rule, sweep['reason']
    assert sweep['reason']['found'] and sweep['reason']['remedy'], sweep
    assert daemon.findings('d0', every=True) == [], daemon.findings('d0', every=True)
    device = daemon.device('d0')
    assert device['verdict'] != 'clean' and device['assurance'] is None, device
    assert rule in str(device['reason']) or device['state'] == 'idle', device


def begin_in_the_middle(daemon, disk, bytes_done=2 * MIB, wait='delay all ms=20'):
    """A sweep that is under way and will be for a while."""
    disk.command(wait)
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0', bytes_done)
    return sweep_id


def capacity_changes(loop):
    """The loop device asks its file for its size."""
    with open(loop.path, 'rb') as file:
        fcntl.ioctl(file, LOOP_SET_CAPACITY)


class Alias:
    """A name for a device that can be led elsewhere, as udev does with /dev/disk/by-id."""

    def __init__(self, case, device):
        self.path = os.path.join(case.directory('by-id'), 'disk')
        self.backing = device.backing
        os.symlink(device.path, self.path)

    def lead_to(self, device):
        os.symlink(device.path, self.path + '.new')
        os.rename(self.path + '.new', self.path)


def remove_at(daemon, disk, request):
    """In the midst of a read or a write. A loop device makes EIO of what a flush fails with, and that is a fault."""
    disk.command(f'hang {request} at=5M length=512')
    sweep_id = daemon.begin('d0')
    eventually('it is in the middle', lambda: int(disk.command('hanging')) > 0)
    disk.command('remove errno=ENODEV')
    disk.command('release errno=ENODEV')
    return sweep_id


@test
def a_disk_that_is_removed_is_missing(case):
    disk = case.faultdisk(SIZE)
    daemon = case.daemon([device_entry('d0', disk, **SLOW)])
    sweep_id = remove_at(daemon, disk, 'write')
    faulty_free(daemon, daemon.end(sweep_id), 'missing')
    disk.command('reset')
    expect_clean(daemon.sweep('d0'))


@test
def a_disk_that_is_removed_while_it_is_read_is_missing(case):
    disk = case.faultdisk(SIZE)
    daemon = case.daemon([device_entry('d0', disk, 'read', **SLOW)])
    sweep_id = remove_at(daemon, disk, 'read')
    faulty_free(daemon, daemon.end(sweep_id), 'missing')
    disk.command('reset')
    expect_clean(daemon.sweep('d0'), 'readable')


@test
def a_disk_that_lost_its_medium_is_missing(case):
    """Size 0, as a card reader without its card."""
    disk = case.faultdisk(SIZE)
    daemon = case.daemon([device_entry('d0', disk, **SLOW)])
    sweep_id = begin_in_the_middle(daemon, disk)
    stand_still(daemon, disk)  # between the two, what is past the end is an error like any other
    disk.command('shrink 0')
    capacity_changes(disk)
    daemon.process.send_signal(signal.SIGCONT)
    faulty_free(daemon, daemon.end(sweep_id), 'missing')
    disk.command('reset')
    capacity_changes(disk)
    expect_clean(daemon.sweep('d0'))


def exchanged_name(case, mode):
    """Another disk of the same size gets the name: nothing of it may change."""
    disk, other = case.faultdisk(SIZE), case.loop(SIZE)
    other.write(0, case.rng.randbytes(SIZE))
    before = sha256(other.backing)
    alias = Alias(case, disk)
    entry = device_entry('d0', alias.path, mode, destroys_data=disk.backing if mode == 'pattern' else None, **SLOW)
    daemon = case.daemon([entry])
    sweep_id = begin_in_the_middle(daemon, disk, MIB)
    alias.lead_to(other)
    faulty_free(daemon, daemon.end(sweep_id), 'replaced')
    assert sha256(other.backing) == before
    return daemon, disk, other, alias, before


@test
def a_disk_whose_name_leads_to_another_one_is_not_written_to_any_more(case):
    daemon, disk, other, alias, before = exchanged_name(case, 'pattern')
    written = disk.read(0, SIZE)
    # And the next sweep refuses the other one: destroys_data names the disk that was meant.
    try:
        daemon.sweep('d0')
        raise AssertionError('another disk was swept')
    except Exception as error:
        assert 'destroys_data' in str(error), error
    assert sha256(other.backing) == before
    assert disk.read(0, SIZE) == written
    alias.lead_to(disk)
    disk.command('reset')
    expect_clean(daemon.sweep('d0'))
    assert sha256(other.backing) == before


@test
def a_disk_whose_name_leads_to_another_one_is_not_called_readable(case):
    exchanged_name(case, 'read')


@test
def a_disk_that_was_exchanged_under_its_own_number_is_replaced(case):
    """As a hot swap that keeps the name: only the kernel's sequence number tells. A loop device does it read-only."""
    disk = case.faultdisk(SIZE)
    other = os.path.join(case.directory('other'), 'image')
    with open(other, 'wb') as file:
        file.write(case.rng.randbytes(SIZE))
    before = sha256(other)
    readonly = case.keep(LoopDevice(disk.backing, readonly=True))
    daemon = case.daemon([device_entry('d0', readonly, 'read', **SLOW)])
    sweep_id = begin_in_the_middle(daemon, disk, MIB, 'delay read ms=20')
    with open(readonly.path, 'rb') as device, open(other, 'rb') as file:
        fcntl.ioctl(device, LOOP_CHANGE_FD, file.fileno())
    readonly.backing = other
    faulty_free(daemon, daemon.end(sweep_id), 'replaced')
    assert sha256(other) == before


@test
def a_disk_that_shrinks_is_resized(case):
    disk = case.faultdisk(SIZE)
    daemon = case.daemon([device_entry('d0', disk, **SLOW)])
    sweep_id = begin_in_the_middle(daemon, disk)
    stand_still(daemon, disk)
    disk.command(f'shrink {8 * MIB}')
    capacity_changes(disk)
    daemon.process.send_signal(signal.SIGCONT)
    sweep = daemon.end(sweep_id)
    faulty_free(daemon, sweep, 'resized')
    assert str(SIZE) in sweep['reason']['found'] and str(8 * MIB) in sweep['reason']['found'], sweep['reason']


@test
def a_file_that_is_cut_under_its_loop_device_is_noticed(case):
    """On a file system without a fault of its own: what is past the end fails at once."""
    disk, size = case.loop(256 * MIB), 256 * MIB
    daemon = case.daemon([device_entry('d0', disk, block_size='4K', queue_depth=1, segment='1M')])
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0', MIB)
    stand_still(daemon, disk)
    os.truncate(disk.backing, 2 * MIB)
    capacity_changes(disk)
    daemon.process.send_signal(signal.SIGCONT)
    faulty_free(daemon, daemon.end(sweep_id), 'resized')
    assert os.stat(disk.backing).st_size == 2 * MIB < size


@test
def a_disk_that_grows_is_resized(case):
    """What is new has not been swept: the next sweep does it."""
    disk = case.loop(64 * MIB)
    daemon = case.daemon([device_entry('d0', disk, block_size='4K', queue_depth=1, segment='1M')])
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0', MIB)
    with open(disk.backing, 'r+b') as file:
        os.posix_fallocate(file.fileno(), 0, 65 * MIB)
    capacity_changes(disk)
    faulty_free(daemon, daemon.end(sweep_id), 'resized')
    expect_clean(daemon.sweep('d0'))


def protect(case, disk):
    """Lifted at the end of the test, however it ends: a loop device would keep it for its next user."""
    path = disk.path
    case.undo(run, 'blockdev', '--setrw', path)
    run('blockdev', '--setro', path)


@test
def a_disk_that_turns_read_only_is_named_so(case):
    disk = case.faultdisk(SIZE)
    daemon = case.daemon([device_entry('d0', disk, **SLOW)])
    sweep_id = begin_in_the_middle(daemon, disk)
    protect(case, disk)
    faulty_free(daemon, daemon.end(sweep_id), 'read_only')
    run('blockdev', '--setrw', disk.path)
    disk.command('reset')
    expect_clean(daemon.sweep('d0'))


def held_in_its_last_segment(daemon, disk):
    """All is written, and none of it comes back until it is woken. The number of the sweep."""
    disk.command('hang flush')  # behind the last write; what is read before the first one is not held
    sweep_id = daemon.begin('d0')
    eventually('it flushes', lambda: int(disk.command('hanging')) > 0)
    disk.command('clear')
    disk.command('hang read')
    disk.command('release')
    eventually('it verifies', lambda: (daemon.device('d0')['progress'] or {}).get('phase') == 'verify' and
               int(disk.command('hanging')) > 0)
    return sweep_id


def wake(disk):
    disk.command('clear')
    disk.command('release')


@test
def a_disk_that_turns_read_only_after_the_last_write_is_named_so(case):
    """No write fails any more: the look at the end notices it."""
    disk = case.faultdisk(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk, block_size='64K', queue_depth=4)])
    sweep_id = held_in_its_last_segment(daemon, disk)
    protect(case, disk)
    wake(disk)
    faulty_free(daemon, daemon.end(sweep_id), 'read_only')


@test
def a_disk_that_turns_read_only_can_still_be_read(case):
    disk = case.faultdisk(SIZE)
    daemon = case.daemon([device_entry('d0', disk, 'read', **SLOW)])
    sweep_id = begin_in_the_middle(daemon, disk, MIB)
    protect(case, disk)
    expect_clean(daemon.end(sweep_id), 'readable')


@test
def a_disk_that_was_exchanged_in_the_last_segment_is_not_called_clean(case):
    """One segment, all of it written: only the look at its end is left."""
    disk, other = case.faultdisk(4 * MIB), case.loop(4 * MIB)
    before = sha256(other.backing)
    alias = Alias(case, disk)
    daemon = case.daemon([device_entry('d0', alias.path, destroys_data=disk.backing, block_size='64K', queue_depth=4)])
    sweep_id = held_in_its_last_segment(daemon, disk)
    alias.lead_to(other)
    wake(disk)
    faulty_free(daemon, daemon.end(sweep_id), 'replaced')
    assert sha256(other.backing) == before


if __name__ == '__main__':
    main()
