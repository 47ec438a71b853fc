#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
What was seen of a disk is said of that disk, and of the part of it that was swept: not of another one that has its path
now, nor of what the configuration has made of the device since. And a disk that was away for a while, or has another
name, keeps what is known of it.
"""

import os
import re
import time

from harness import (MIB, device_entry, eventually, expect_clean, main, test, zone_where_it_is)

DAY = 86400e6
MONTHLY = {'every': '30d', 'windows': ['03:00-03:01']}


class Link:
    """A name in /dev that can be led elsewhere, as udev does it."""

    def __init__(self, case, device):
        self.path = f'/dev/sweepd-test-{os.getpid()}-{case.seed}'
        self.lead_to(device)
        case.undo(self.lead_to, None)

    def lead_to(self, device):
        if os.path.islink(self.path):
            os.unlink(self.path)
        if device:
            os.symlink(device.path, self.path)


def noon_daemon(case, *entries):
    """None of its devices begins a sweep by itself."""
    return case.daemon(entries, env=zone_where_it_is(12, 0))


def expect_known(daemon, file, verdict='clean', assurance='readable'):
    device = eventually('it is known who is there', lambda: shows(daemon, file))
    assert (device['state'], device['verdict'], device['assurance']) == ('idle', verdict, assurance), device
    assert device['coverage'] == 1 and device['oldest_checked_at'], device
    assert device['next_due_at'] - device['last_sweep_ended_at'] > 29 * DAY, device


def shows(daemon, file):
    device = daemon.settled('d0')
    return device if device['identity'] and device['identity']['backing_file'] == file.backing else None


def expect_never_swept(daemon, file):
    device = eventually('it is known who is there', lambda: shows(daemon, file))
    assert device['verdict'] == 'unknown' and device['assurance'] is None, device
    assert device['coverage'] == 0 and device['oldest_checked_at'] is None, device
    assert device['state'] == 'queued' and device['reason']['rule'] == 'window', device
    assert device['size'] == file.size and not device['next_due_at'], device


@test
def another_disk_at_the_path_was_never_swept_and_the_first_one_was(case):
    first, other = case.loop(4 * MIB), case.loop(8 * MIB)
    link = Link(case, first)
    daemon = noon_daemon(case, device_entry('d0', link.path, 'read', **MONTHLY))
    expect_clean(daemon.sweep('d0'), 'readable')
    link.lead_to(other)
    expect_never_swept(daemon, other)
    daemon.stop()
    daemon.start()
    expect_never_swept(daemon, other)
    link.lead_to(first)
    expect_known(daemon, first)
    daemon.stop()
    daemon.start()
    expect_known(daemon, first)
    assert len(daemon.sweeps()) == 1


@test
def another_disk_of_the_same_size_was_never_swept(case):
    first, other = case.loop(4 * MIB), case.loop(4 * MIB)
    link = Link(case, first)
    daemon = noon_daemon(case, device_entry('d0', link.path, 'read', **MONTHLY))
    expect_clean(daemon.sweep('d0'), 'readable')
    link.lead_to(other)
    daemon.call('Reload')
    expect_never_swept(daemon, other)
    expect_clean(daemon.sweep('d0'), 'readable')
    expect_known(daemon, other)
    link.lead_to(first)
    daemon.call('Reload')
    expect_never_swept(daemon, first)


@test
def a_disk_that_was_away_keeps_what_is_known_of_it(case):
    disk = case.loop(4 * MIB)
    link = Link(case, disk)
    daemon = noon_daemon(case, device_entry('d0', link.path, 'read', **MONTHLY))
    expect_clean(daemon.sweep('d0'), 'readable')
    before = daemon.device('d0')
    link.lead_to(None)
    eventually('it is missed', lambda: daemon.device('d0')['state'] == 'missing')
    link.lead_to(disk)
    daemon.call('Reload')
    eventually('it is back', lambda: daemon.device('d0')['state'] == 'idle')
    expect_known(daemon, disk)
    assert daemon.device('d0')['next_due_at'] == before['next_due_at']


def expect_missed(daemon, link, from_s, words):
    """status says why, and since when: not before from_s, and not later than now."""
    reason = eventually('it is missed', lambda: shows_missing(daemon))
    told = re.fullmatch(rf'there is no device at {re.escape(link.path)}{words} (.*)', reason['found'])
    assert reason['rule'] == 'missing' and told, reason
    minutes = range(int(from_s // 60), int(time.time() // 60) + 1)
    assert told[1] in [time.strftime('%a %Y-%m-%d %H:%M', time.localtime(m * 60)) for m in minutes], reason
    shown = ' '.join(daemon.ctl('status', 'd0', check=False, as_json=False).stdout.split())
    assert reason['found'] in shown, shown


def shows_missing(daemon):
    device = daemon.device('d0')
    return device['reason'] if device['state'] == 'missing' else None


@test
def a_device_that_is_missing_says_since_when_as_far_as_that_is_known(case):
    disk = case.loop(4 * MIB)
    link = Link(case, disk)
    daemon = case.daemon([device_entry('d0', link.path, 'read', every='30d')])

    def here(to):
        link.lead_to(to)
        daemon.call('Reload')
        eventually('that was seen', lambda: (daemon.device('d0')['state'] != 'missing') == bool(to))

    before = time.time()
    here(None)
    expect_missed(daemon, link, before, ' since')
    assert daemon.device('d0')['next_start_at'] is None, daemon.device('d0')
    daemon.stop()
    before = time.time()
    daemon.start()
    expect_missed(daemon, link, before, ', nor was there one when sweepd began to look for it, on')
    here(disk)
    here(None)
    expect_missed(daemon, link, before, ' since')
    first = link.path
    link.path += '-b'
    daemon.configure([device_entry('d0', link.path, 'read', every='30d')])
    daemon.call('Reload')
    expect_missed(daemon, link, before, ', nor was there one when sweepd began to look for it, on')
    assert not os.path.lexists(first)


@test
def a_disk_with_another_name_keeps_what_is_known_of_it(case):
    disk = case.loop(4 * MIB)
    link = Link(case, disk)
    daemon = noon_daemon(case, device_entry('d0', link.path, 'read', **MONTHLY))
    expect_clean(daemon.sweep('d0'), 'readable')
    daemon.configure([device_entry('d0', disk, 'read', **MONTHLY)])
    daemon.call('Reload')
    expect_known(daemon, disk)


@test
def a_path_that_was_changed_leads_to_a_disk_that_was_never_swept(case):
    first, other = case.loop(4 * MIB), case.loop(8 * MIB)
    daemon = noon_daemon(case, device_entry('d0', first, 'read', **MONTHLY))
    expect_clean(daemon.sweep('d0'), 'readable')
    daemon.configure([device_entry('d0', other, 'read', **MONTHLY)])
    daemon.call('Reload')
    expect_never_swept(daemon, other)
    daemon.stop()
    daemon.start()
    expect_never_swept(daemon, other)


@test
def another_extent_was_never_swept(case):
    disk = case.loop(64 * MIB)
    daemon = noon_daemon(case, device_entry('d0', disk, 'read', offset='0', length='4M', **MONTHLY))
    expect_clean(daemon.sweep('d0'), 'readable')
    expect_known(daemon, disk)
    daemon.configure([device_entry('d0', disk, 'read', **MONTHLY)])
    daemon.call('Reload')
    for _ in range(2):
        device = eventually('it is known who is there', lambda: shows(daemon, disk))
        assert device['verdict'] == 'unknown' and device['assurance'] is None, device
        assert device['extent_length'] == 64 * MIB and device['oldest_checked_at'] is None, device
        assert 0.05 < device['coverage'] < 0.07, device  # that part of it was
        assert device['state'] == 'queued' and not device['next_due_at'], device
        daemon.stop()
        daemon.start()
    expect_clean(daemon.sweep('d0'), 'readable')
    expect_known(daemon, disk)


def times(daemon, name, count):
    regions = daemon.call('GetMap', device=name, regions=count)['regions']
    assert len(regions) == count
    return regions


@test
def the_map_is_of_the_extent_and_there_before_it_was_swept(case):
    disk = case.loop(64 * MIB)
    daemon = noon_daemon(case, device_entry('d0', disk, 'read', offset='8M', length='4M', **MONTHLY))
    eventually('it is known who is there', lambda: shows(daemon, disk))
    for _ in range(2):
        regions = times(daemon, 'd0', 8)
        assert [(r['offset'], r['length']) for r in regions] == [(8 * MIB + i * MIB // 2, MIB // 2) for i in range(8)]
        assert not any(r['checked_at'] or r['verified_at'] for r in regions), regions
        daemon.configure([device_entry('d0', disk, 'read', offset='8M', length='4M', **MONTHLY)])
        daemon.call('Reload')
    expect_clean(daemon.sweep('d0'), 'readable')
    assert all(r['checked_at'] for r in times(daemon, 'd0', 1000))
    # As a part of more, it is still what was read; nothing else is.
    daemon.configure([device_entry('d0', disk, 'read', **MONTHLY)])
    daemon.call('Reload')
    for _ in range(2):
        read = [i for i, r in enumerate(times(daemon, 'd0', 64)) if r['checked_at']]
        assert read == [8, 9, 10, 11], read
        daemon.stop()
        daemon.start()


@test
def extents_of_one_disk_do_not_count_for_each_other(case):
    """Not even where both are smaller than a thousandth of it."""
    disk = case.loop(1024 * MIB, sparse=True)
    entries = [device_entry('d0', disk, 'read', offset='0', length='4K', **MONTHLY),
               device_entry('d1', disk, 'read', offset='4K', length='64K', **MONTHLY)]
    daemon = noon_daemon(case, *entries)
    expect_clean(daemon.sweep('d0'), 'readable')
    for _ in range(2):
        swept, other = daemon.device('d0'), daemon.device('d1')
        assert swept['coverage'] == 1 and swept['oldest_checked_at'], swept
        assert other['coverage'] == 0 and other['oldest_checked_at'] is None, other
        assert not any(r['checked_at'] for r in times(daemon, 'd1', 4)), times(daemon, 'd1', 4)
        daemon.stop()
        daemon.start()
    expect_clean(daemon.sweep('d1'), 'readable')
    for _ in range(2):
        for name in 'd0', 'd1':
            assert daemon.device(name)['coverage'] == 1 and daemon.device(name)['verdict'] == 'clean'
        daemon.stop()
        daemon.start()
    daemon.configure([device_entry('d0', disk, 'read', **MONTHLY)])
    daemon.call('Reload')
    eventually('it is known who is there', lambda: shows(daemon, disk))
    assert not any(r['checked_at'] for r in times(daemon, 'd0', 1024))  # 4 KiB are no region of 1 MiB


@test
def findings_of_a_disk_that_was_replaced_are_over(case):
    first, other = case.faultdisk(4 * MIB), case.loop(4 * MIB)
    link = Link(case, first)
    first.command('error read errno=EIO at=64K length=512')
    daemon = noon_daemon(case, device_entry('d0', link.path, 'read', **MONTHLY))
    daemon.sweep('d0')
    assert len(daemon.findings('d0')) == 1
    link.lead_to(None)
    eventually('it is missed', lambda: daemon.device('d0')['state'] == 'missing')
    assert len(daemon.findings('d0')) == 1
    link.lead_to(first)
    daemon.call('Reload')
    eventually('it is back', lambda: daemon.device('d0')['state'] == 'idle')
    expect_known(daemon, first, 'faulty', None)
    assert len(daemon.findings('d0')) == 1
    link.lead_to(other)
    daemon.call('Reload')
    expect_never_swept(daemon, other)
    assert daemon.findings('d0') == [], daemon.findings('d0')
    daemon.expect_told('is over: the disk was replaced')


@test
def a_disk_that_is_not_meant_replaces_none(case):
    """As its entry names another one."""
    first, other = case.faultdisk(4 * MIB), case.loop(4 * MIB)
    link = Link(case, first)
    daemon = noon_daemon(case, device_entry('d0', link.path, destroys_data=first.backing, **MONTHLY))
    first.command('error write errno=EIO at=2M length=512')
    daemon.sweep('d0')
    found = len(daemon.findings('d0'))
    assert found > 0
    link.lead_to(other)
    device = eventually('it is known who is there', lambda: shows(daemon, other))
    assert len(daemon.findings('d0')) == found, device
    link.lead_to(first)
    eventually('it is known who is there', lambda: shows(daemon, first))
    assert len(daemon.findings('d0')) == found


@test
def what_is_shown_of_a_sweep_that_runs_is_its_own_disk(case):
    first, other = case.loop(16 * MIB), case.loop(8 * MIB)
    slow = {'rate_max': '1M', 'rate_min': '1M', 'block_size': '64K'}
    daemon = noon_daemon(case, device_entry('d0', first, 'read', length='12M', **slow, **MONTHLY))
    daemon.begin('d0')
    daemon.sweeping('d0')
    daemon.configure([device_entry('d0', other, 'read', **slow, **MONTHLY)])
    daemon.call('Reload')
    time.sleep(0.2)
    device = daemon.settled('d0')
    assert device['path'] == first.path and device['identity']['backing_file'] == first.backing, device
    assert device['size'] == 16 * MIB and device['extent_length'] == 12 * MIB, device
    daemon.call('CancelSweep', device='d0')
    eventually('it has ended', lambda: daemon.device('d0')['progress'] is None)
    expect_never_swept(daemon, other)
    assert daemon.device('d0')['path'] == other.path


if __name__ == '__main__':
    main()
