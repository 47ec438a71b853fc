#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Disks that answer with errors, lose writes, or don't answer: what is reported, where, and that sweeps go on."""

import os
import time

from harness import (KIB, MIB, SECTOR, UNIT, device_entry, eventually, expect_clean, expect_places, main, places, test)


def expect_persistence(daemon, *expected):
    found = [f['persistence'] for f in daemon.findings('d0')]
    assert found == list(expected) or set(found) == set(expected) and len(expected) == 1, daemon.findings('d0')


def sector_runs(case, disk, count, longest=5, margin=0):
    """Random runs of sectors that don't touch each other, as (offset, length)."""
    runs = []
    while len(runs) < count:
        length = case.rng.randint(1, longest) * SECTOR
        offset = margin + case.rng.randrange((disk.size - 2 * margin - length) // SECTOR) * SECTOR
        if all(offset + length + UNIT < o or o + n + UNIT < offset for o, n in runs):
            runs.append((offset, length))
    return sorted(runs)


@test
def unreadable_sectors_are_found_to_the_sector(case):
    disk = case.faultdisk(16 * MIB)
    runs = sector_runs(case, disk, 6)
    for offset, length in runs:
        disk.command(f'error read errno=EIO at={offset} length={length}')
    daemon = case.daemon([device_entry('d0', disk, 'read')])
    sweep = daemon.sweep('d0')
    assert (sweep['end'], sweep['verdict']) == ('finished', 'faulty'), sweep
    assert sweep['findings'] == len(runs), sweep
    unreadable = sum(length for _, length in runs)
    assert sweep['bytes_read'] == sweep['bytes_total'] - unreadable == disk.size - unreadable, sweep
    expect_places(daemon.findings('d0'), [(o, n, 'read_error') for o, n in runs])
    expect_persistence(daemon, 'persistent')


@test
def the_first_and_the_last_sector_can_be_bad(case):
    disk = case.faultdisk(4 * MIB + 3 * SECTOR)
    expected = [(0, SECTOR, 'read_error'), (disk.size - SECTOR, SECTOR, 'read_error')]
    for offset, length, _ in expected:
        disk.command(f'error read errno=ENODATA at={offset} length={length}')
    daemon = case.daemon([device_entry('d0', disk, 'read')])
    daemon.sweep('d0')
    expect_places(daemon.findings('d0'), expected)


@test
def looking_for_signatures_does_not_use_up_an_error_that_comes_once(case):
    disk = case.faultdisk(16 * MIB)
    # The kernel would read all of the disk for a look at its start.
    disk.set_queue('read_ahead_kb', 16384)
    daemon = case.daemon([device_entry('d0', disk, 'pattern', queue_depth=1)])
    expect_clean(daemon.sweep('d0'))
    disk.command(f'error read errno=EIO at={6 * MIB} length={6 * MIB} times=1')
    daemon.sweep('d0')
    expect_places(daemon.findings('d0'), [(6 * MIB, 512 * KIB, 'read_error')])
    expect_persistence(daemon, 'transient')


@test
def errors_are_narrowed_to_logical_blocks_of_4096(case):
    disk = case.faultdisk(8 * MIB, sector_size=4096)
    disk.command(f'error read errno=EIO at={MIB + 1024} length=512')
    daemon = case.daemon([device_entry('d0', disk, 'read')])
    daemon.sweep('d0')
    expect_places(daemon.findings('d0'), [(MIB, 4096, 'read_error')])


@test
def every_block_size_narrows_to_the_same_sectors(case):
    sizes = ['4K', '64K', '512K', '1M']
    disks = [case.faultdisk(4 * MIB) for _ in sizes]
    runs = sector_runs(case, disks[0], 4)
    for disk in disks:
        for offset, length in runs:
            disk.command(f'error read errno=EIO at={offset} length={length}')
    daemon = case.daemon([device_entry(f'd{i}', disks[i], 'read', block_size=size) for i, size in enumerate(sizes)])
    daemon.sweep_all([f'd{i}' for i in range(len(sizes))])
    for i in range(len(sizes)):
        expect_places(daemon.findings(f'd{i}'), [(o, n, 'read_error') for o, n in runs])


@test
def a_long_unreadable_stretch_is_one_finding(case):
    disk = case.faultdisk(16 * MIB)
    disk.command(f'error read errno=EIO at={5 * MIB} length={2 * MIB}')
    daemon = case.daemon([device_entry('d0', disk, 'read', block_size='128K')])
    sweep = daemon.sweep('d0', timeout_s=110)
    assert sweep['end'] == 'finished', sweep
    expect_places(daemon.findings('d0'), [(5 * MIB, 2 * MIB, 'read_error')])


@test
def a_read_error_that_does_not_come_back_is_still_told(case):
    disk = case.faultdisk(8 * MIB)
    disk.command(f'error read errno=EIO at={3 * MIB} length=512 times=1')
    daemon = case.daemon([device_entry('d0', disk, 'read')])
    daemon.sweep('d0')
    findings = daemon.findings('d0')
    assert [f['fault'] for f in findings] == ['read_error'], findings
    expect_persistence(daemon, 'transient')
    assert findings[0]['offset'] <= 3 * MIB < findings[0]['offset'] + findings[0]['length'], findings


@test
def an_unreadable_sector_is_reported_once_and_counted(case):
    disk = case.faultdisk(4 * MIB)
    disk.command(f'error read errno=EIO at={MIB} length=1K')
    daemon = case.daemon([device_entry('d0', disk, 'read')])
    for times in (1, 2):
        daemon.sweep('d0')
        findings = daemon.findings('d0')
        expect_places(findings, [(MIB, 1024, 'read_error')])
        assert findings[0]['count'] == times, findings
    disk.command('clear')
    expect_clean(daemon.sweep('d0'), 'readable')
    assert [f['state'] for f in daemon.findings('d0', every=True)] == ['resolved']


@test
def unreadable_sectors_are_found_by_a_pattern_sweep(case):
    """As by mode read. The reads fail, writing does not help: there is no drive that would reallocate."""
    disk = case.faultdisk(24 * MIB)
    # Where a signature could be, an error refuses: at 1, 2 and 4 MiB (LUKS2), and up to 1.5 MiB before the end.
    runs = sector_runs(case, disk, 4, margin=5 * MIB)
    for offset, length in runs:
        disk.command(f'error read errno=EIO at={offset} length={length}')
    daemon = case.daemon([device_entry('d0', disk)])
    for _ in range(2):
        sweep = daemon.sweep('d0')
        assert (sweep['end'], sweep['verdict']) == ('finished', 'faulty'), sweep
        expect_places(daemon.findings('d0'), [(o, n, 'read_error') for o, n in runs])
        expect_persistence(daemon, 'persistent')


@test
def a_write_error_is_found_to_the_sector_and_the_sweep_goes_on(case):
    disk = case.faultdisk(8 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_clean(daemon.sweep('d0'))
    at = 3 * MIB + 5 * SECTOR
    disk.command(f'error write errno=EIO at={at} length=1K')
    sweep = daemon.sweep('d0')
    assert (sweep['end'], sweep['verdict']) == ('finished', 'faulty'), sweep
    findings = daemon.findings('d0')
    assert (at, 2 * SECTOR, 'write_error') in places(findings), places(findings)
    # What could not be written keeps what it had; no other unit is called bad.
    for f in findings:
        assert f['offset'] // UNIT == at // UNIT and f['length'] <= UNIT, findings
    disk.command('clear')
    assert daemon.sweep('d0')['end'] == 'finished'
    expect_clean(daemon.sweep('d0'))


@test
def a_flush_error_is_a_finding(case):
    disk = case.faultdisk(8 * MIB)
    disk.command('error flush errno=EIO times=1')
    daemon = case.daemon([device_entry('d0', disk)])
    sweep = daemon.sweep('d0')
    assert (sweep['end'], sweep['verdict']) == ('finished', 'faulty'), sweep
    assert {f['fault'] for f in daemon.findings('d0')} == {'flush_error'}, daemon.findings('d0')


@test
def a_lost_write_is_stale(case):
    disk = case.faultdisk(8 * MIB)
    daemon = case.daemon([device_entry('d0', disk, block_size='64K')])
    expect_clean(daemon.sweep('d0'))
    disk.command(f'lose write at={2 * MIB} length=16K times=1')
    daemon.sweep('d0')
    expect_places(daemon.findings('d0'), [(2 * MIB, 16 * KIB, 'stale')])
    expect_persistence(daemon, 'repaired')
    expect_clean(daemon.sweep('d0'))


@test
def a_misdirected_write_is_found_at_both_places(case):
    disk = case.faultdisk(8 * MIB)
    daemon = case.daemon([device_entry('d0', disk, block_size='64K', queue_depth=4)])
    expect_clean(daemon.sweep('d0'))
    disk.command(f'misdirect write at={4 * MIB} length=4K to={MIB} times=1')
    daemon.sweep('d0')
    expect_places(daemon.findings('d0'), [(MIB, UNIT, 'misdirected'), (4 * MIB, UNIT, 'stale')])


@test
def a_torn_write_is_torn(case):
    disk = case.faultdisk(8 * MIB)
    daemon = case.daemon([device_entry('d0', disk, block_size='4K')])
    expect_clean(daemon.sweep('d0'))
    disk.command(f'tear write at={4 * MIB} length=4K sectors=3 times=1')
    daemon.sweep('d0')
    expect_places(daemon.findings('d0'), [(4 * MIB, UNIT, 'torn')])


@test
def a_bit_that_flips_in_one_read_is_found(case):
    """In the pass that reads back: the first read of the place is the look before the sweep."""
    disk = case.faultdisk(8 * MIB)
    daemon = case.daemon([device_entry('d0', disk, block_size='64K')])
    disk.command('hang write at=4M length=512 times=1')
    sweep_id = daemon.begin('d0')
    eventually('it writes', lambda: int(disk.command('hanging')) > 0, 20)
    disk.command(f'flip read at={2 * MIB} length=4K bits=1 times=1')
    disk.command('release')
    daemon.end(sweep_id)
    expect_places(daemon.findings('d0'), [(2 * MIB, UNIT, 'bit_flip')])
    expect_persistence(daemon, 'transient')


@test
def a_bit_that_is_stuck_is_found(case):
    disk = case.faultdisk(8 * MIB)
    disk.command(f'flip read at={2 * MIB} length=4K bit=777')
    daemon = case.daemon([device_entry('d0', disk)])
    for _ in range(2):
        daemon.sweep('d0')
        expect_places(daemon.findings('d0'), [(2 * MIB, UNIT, 'bit_flip')])
        expect_persistence(daemon, 'persistent')


@test
def a_disk_that_loses_every_write_is_not_written_again_everywhere(case):
    """What is tried again has a limit; the findings stay one."""
    disk = case.faultdisk(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk, block_size='4K')])
    expect_clean(daemon.sweep('d0'))
    log = os.path.join(case.directory('log'), 'requests')
    disk.command('lose write at=1M length=3M')
    disk.command(f'log {log}')
    sweep = daemon.sweep('d0')
    disk.command('log off')
    assert (sweep['end'], sweep['verdict']) == ('finished', 'faulty'), sweep
    expect_places(daemon.findings('d0'), [(MIB, 3 * MIB, 'stale')])
    expect_persistence(daemon, 'persistent')
    with open(log, encoding='utf-8') as file:
        written = sum(int(line.split()[2]) for line in file if line.startswith('write'))
    assert disk.size < written <= disk.size + 256 * 4 * KIB, written


@test
def writes_that_a_power_cut_took_are_not_called_clean(case):
    """The disk said that they were flushed, and lied."""
    disk = case.faultdisk(8 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_clean(daemon.sweep('d0'))
    disk.command('cache lying')
    expect_clean(daemon.sweep('d0'))
    disk.command(f'powercut random {case.rng.randrange(1000)}')
    disk.command('poweron')
    sweep = daemon.sweep('d0')
    assert sweep['verdict'] == 'faulty', sweep
    # Where the head of a unit is new, nothing tells any more whose the old rest is.
    assert {f['fault'] for f in daemon.findings('d0')} <= {'stale', 'torn', 'garbage'}, places(daemon.findings('d0'))


@test
def a_disk_that_goes_away_ends_its_sweep_and_comes_back(case):
    disk = case.faultdisk(16 * MIB)
    other = case.loop(16 * MIB)
    daemon = case.daemon([device_entry('d0', disk, block_size='64K', queue_depth=4), device_entry('d1', other)])
    expect_clean(daemon.sweep('d0'))
    disk.command('delay all ms=20')
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0', 2 * MIB)
    disk.command('remove errno=ENODEV')
    sweep = daemon.end(sweep_id)
    assert sweep['end'] == 'failed' and sweep['verdict'] in ('incomplete', 'faulty'), sweep
    expect_clean(daemon.sweep('d1'))
    disk.command('return')
    disk.command('clear')
    expect_clean(daemon.sweep('d0'))


@test
def a_hung_disk_costs_its_own_sweep_alone(case):
    disk = case.faultdisk(8 * MIB)
    other = case.loop(16 * MIB)
    daemon = case.daemon([device_entry('d0', disk, block_size='64K', queue_depth=4), device_entry('d1', other)])
    disk.command('delay all ms=20')
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0')
    disk.command('hang read,write')
    eventually('a request hangs', lambda: int(disk.command('hanging')) > 0, 20)
    began = time.monotonic()
    daemon.call('GetDaemon')
    daemon.devices()
    assert time.monotonic() - began < 1, 'status waited for a hung disk'
    expect_clean(daemon.sweep('d1'))
    assert daemon.finished(sweep_id) is None
    disk.command('clear')
    disk.command('release')
    sweep = daemon.end(sweep_id)
    assert sweep['end'] == 'finished', sweep


@test(timeout_s=60)
def a_hung_request_that_fails_is_an_error_like_any_other(case):
    disk = case.faultdisk(8 * MIB)
    daemon = case.daemon([device_entry('d0', disk, 'read', block_size='64K')])
    disk.command(f'hang read at={2 * MIB} length=512 times=1')
    sweep_id = daemon.begin('d0')
    eventually('a request hangs', lambda: int(disk.command('hanging')) > 0, 20)
    disk.command('release errno=EIO')
    sweep = daemon.end(sweep_id)
    assert sweep['end'] == 'finished', sweep
    assert [f['fault'] for f in daemon.findings('d0')] == ['read_error'], daemon.findings('d0')


if __name__ == '__main__':
    main()
