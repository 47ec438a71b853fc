#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sweeps of sound devices: what they write, what they say, and that they leave nothing out, at any size."""

import os

from harness import (KIB, MIB, SECTOR, UNIT, Skip, VarlinkError, device_entry, eventually, expect_clean, main, need, run,
                     sha256, test)
from keeping import journal_bytes

BLOCK_SIZES = ['4K', '8K', '16K', '32K', '64K', '128K', '256K', '512K', '1M']


@test
def a_pattern_sweep_is_clean_and_verified(case):
    disk = case.loop(16 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    sweep = daemon.sweep('d0')
    expect_clean(sweep)
    assert sweep['generation'] == 1, sweep
    assert sweep['bytes_written'] == disk.size and sweep['bytes_verified'] == disk.size, sweep
    device = daemon.device('d0')
    assert (device['state'], device['verdict'], device['assurance']) == ('idle', 'clean', 'verified'), device
    assert device['size'] == disk.size and device['bytes_written_total'] == disk.size, device
    assert not device['needs_attention'] and device['coverage'] == 1.0, device


@test
def the_second_sweep_verifies_what_the_first_one_left(case):
    disk = case.loop(16 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_clean(daemon.sweep('d0'))
    second = daemon.sweep('d0')
    expect_clean(second)
    assert second['generation'] == 2, second
    assert second['bytes_written'] == disk.size and second['bytes_verified'] == 2 * disk.size, second


@test
def no_two_sectors_are_alike_and_generations_differ(case):
    disk = case.loop(8 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    sectors = []
    for _ in range(2):
        expect_clean(daemon.sweep('d0'))
        data = disk.read(0, disk.size)
        sectors += [data[i:i + SECTOR] for i in range(0, len(data), SECTOR)]
    assert len(set(sectors)) == len(sectors), f'{len(sectors) - len(set(sectors))} sectors are alike'


@test
def a_partition_is_swept_and_the_rest_of_its_disk_left_alone(case):
    need('sfdisk', 'addpart', 'delpart')
    disk, begin, size, uuid = case.loop(32 * MIB), MIB, 20 * MIB, '0a1b2c3d-1111-4222-8333-444455556666'
    disk.write(0, case.rng.randbytes(disk.size))
    run('sh', '-c', f'echo "label: gpt\nstart=2048,size={size // SECTOR},uuid={uuid}" | sfdisk -q --no-reread {disk.path}')
    if run('addpart', disk.path, '1', str(begin // SECTOR), str(size // SECTOR), check=False).returncode != 0:
        raise Skip('the kernel has no partitions')
    case.undo(run, 'delpart', disk.path, '1')
    partition = disk.path + 'p1'
    eventually('the partition appears', lambda: os.path.exists(partition), 5)
    outside = disk.read(0, begin), disk.read(begin + size, disk.size - begin - size)
    daemon = case.daemon([device_entry('p1', partition, destroys_data=uuid)])
    for generation in (1, 2):
        sweep = daemon.sweep('p1')
        expect_clean(sweep)
        assert (sweep['generation'], sweep['bytes_written']) == (generation, size), sweep
    assert daemon.device('p1')['identity']['partuuid'] == uuid, daemon.device('p1')
    assert outside == (disk.read(0, begin), disk.read(begin + size, disk.size - begin - size))


def outside_of(disk, extents):
    """What lies outside of these (offset, length), as one string of bytes."""
    data = bytearray(disk.read(0, disk.size))
    for offset, length in extents:
        data[offset:offset + length] = bytes(length)
    return bytes(data)


@test
def two_extents_of_one_disk_are_swept_and_the_rest_left_alone(case):
    disk = case.loop(64 * MIB)
    disk.write(0, case.rng.randbytes(disk.size))
    first = MIB + 3 * UNIT, 20 * MIB + 5 * UNIT
    second = first[0] + first[1], 12 * MIB
    before = outside_of(disk, (first, second))
    daemon = case.daemon([
        device_entry('one', disk, offset=str(first[0]), length=str(first[1]), segment='4M'),
        device_entry('two', disk, offset=str(second[0]), length=str(second[1]), block_size='64K')])
    for sweeps in (1, 2):
        for name, (offset, length) in (('one', first), ('two', second)):
            sweep = daemon.sweep(name)
            expect_clean(sweep)
            assert sweep['bytes_written'] == length and sweep['bytes_verified'] == sweeps * length, sweep
            device = daemon.device(name)
            assert (device['extent_offset'], device['extent_length']) == (offset, length), device
            assert device['coverage'] == 1.0, device
    assert outside_of(disk, (first, second)) == before, 'something outside of the extents was written'
    place = first[0] + 7 * UNIT
    disk.flip_bits(place, 5, case.rng)
    sweep = daemon.sweep('one')
    found = daemon.findings()
    assert sweep['verdict'] == 'faulty' and [(f['device'], f['offset']) for f in found] == [('one', place)], found
    expect_clean(daemon.sweep('two'))
    # Fixed patterns on one: what is known of the other stays known, and is verified before it is written to.
    expect_clean(daemon.sweep('one', patterns=['0xaa']))
    sweep = daemon.sweep('two')
    expect_clean(sweep)
    assert sweep['bytes_verified'] == 2 * second[1], sweep


@test
def an_extent_is_refreshed_and_read_and_nothing_else(case):
    disk = case.loop(24 * MIB)
    journal = case.loop(journal_bytes(2 * MIB))
    original = case.rng.randbytes(disk.size)
    disk.write(0, original)
    extent = 5 * MIB + UNIT, 9 * MIB
    keys = {'offset': str(extent[0]), 'length': str(extent[1])}
    for mode, factor in (('preserve', 2), ('refresh', 1), ('read', 0)):
        daemon = case.daemon([device_entry('d0', disk, mode, segment='2M', settle='1s', journal=journal.path, **keys)])
        sweep = daemon.sweep('d0')
        expect_clean(sweep, 'verified' if factor else 'readable')
        assert sweep['bytes_written'] == factor * extent[1], sweep
        assert disk.read(0, disk.size) == original
        daemon.stop()


@test
def an_extent_that_the_device_does_not_have_is_refused(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk, 'read', offset='2M', length='4M')])
    try:
        daemon.begin('d0')
        raise AssertionError('it was not refused')
    except VarlinkError as error:
        assert error.parameters['reason']['rule'] == 'extent', error


@test
def a_read_sweep_is_readable_and_changes_nothing(case):
    disk = case.loop(16 * MIB + 1536)
    disk.write(0, case.rng.randbytes(disk.size))
    before = sha256(disk.backing)
    daemon = case.daemon([device_entry('d0', disk, 'read')])
    sweep = daemon.sweep('d0')
    expect_clean(sweep, 'readable')
    assert sweep['bytes_read'] == disk.size and sweep['bytes_written'] == 0 and sweep['generation'] == 0, sweep
    assert sha256(disk.backing) == before
    assert daemon.device('d0')['assurance'] == 'readable'


@test
def a_read_sweep_works_on_a_read_only_device(case):
    disk = case.loop(4 * MIB, readonly=True)
    daemon = case.daemon([device_entry('d0', disk, 'read')])
    expect_clean(daemon.sweep('d0'), 'readable')


@test
def a_read_sweep_counts_stamps_and_does_not_judge_them(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_clean(daemon.sweep('d0'))
    disk.swap(0, 10 * UNIT)
    sweep = daemon.sweep('d0', mode='read')
    expect_clean(sweep, 'readable')
    assert sweep['stamps_seen'] == disk.units(), sweep
    assert daemon.findings() == []


def sweep_all_block_sizes_twice(case, workers):
    disks = {size: case.loop(8 * MIB + 3 * SECTOR) for size in BLOCK_SIZES}
    daemon = case.daemon(
        [device_entry(size.lower(), disk, block_size=size, queue_depth=case.rng.choice([1, 3, 16, 64]))
         for size, disk in disks.items()], workers=workers)
    for _ in range(2):
        for sweep in daemon.sweep_all([size.lower() for size in BLOCK_SIZES]).values():
            expect_clean(sweep)
            assert sweep['bytes_verified'] == sweep['generation'] * (8 * MIB + 3 * SECTOR), sweep
    assert daemon.findings() == []


@test
def every_block_size_is_clean_without_workers(case):
    sweep_all_block_sizes_twice(case, 0)


@test
def every_block_size_is_clean_with_one_worker(case):
    sweep_all_block_sizes_twice(case, 1)


@test
def every_block_size_is_clean_with_two_workers(case):
    sweep_all_block_sizes_twice(case, 2)


@test
def odd_sizes_are_swept_to_the_last_sector(case):
    """Ends within a unit, within a block, within a segment; one unit and one sector more."""
    sizes = [UNIT, UNIT + SECTOR, 64 * KIB - SECTOR, 64 * KIB, 64 * KIB + SECTOR, MIB + 7 * SECTOR, 2 * MIB - SECTOR,
             5 * MIB + UNIT, 5 * MIB + UNIT + SECTOR]
    sizes += [case.rng.randrange(UNIT // SECTOR, 6 * MIB // SECTOR) * SECTOR for _ in range(4)]
    disks = [case.loop(size) for size in sizes]
    daemon = case.daemon(
        [device_entry(f'd{i}', disk, block_size='64K', segment='1M', queue_depth=4) for i, disk in enumerate(disks)])
    for _ in range(2):
        for name, sweep in daemon.sweep_all([f'd{i}' for i in range(len(disks))]).items():
            expect_clean(sweep)
            assert sweep['bytes_written'] == disks[int(name[1:])].size, sweep
    # The stretch that is written ends where the device does: its last sector holds something.
    for disk in disks:
        assert any(disk.read(disk.size - SECTOR, SECTOR)), disk.size


@test
def logical_blocks_of_4096_bytes_are_swept(case):
    disks = [case.loop(size, sector_size=4096) for size in (UNIT, 3 * MIB + UNIT, 16 * MIB)]
    daemon = case.daemon([device_entry(f'd{i}', disk, block_size='4K' if i == 1 else '512K')
                          for i, disk in enumerate(disks)])
    for _ in range(2):
        for sweep in daemon.sweep_all(['d0', 'd1', 'd2']).values():
            expect_clean(sweep)


@test
def depths_and_segments_at_their_limits_are_clean(case):
    shapes = [('1M', 256, '1G'), ('4K', 256, '4K'), ('4K', 1, '1M'), ('4M', 1, '4M'), ('512K', 16, '512K')]
    disks = [case.loop(8 * MIB + SECTOR) for _ in shapes]
    daemon = case.daemon([
        device_entry(f'd{i}', disks[i], block_size=block, queue_depth=depth, segment=segment)
        for i, (block, depth, segment) in enumerate(shapes)])
    for _ in range(2):
        for sweep in daemon.sweep_all([f'd{i}' for i in range(len(shapes))]).values():
            expect_clean(sweep)


@test
def a_cancelled_sweep_is_incomplete(case):
    disk = case.faultdisk(32 * MIB)
    disk.command('delay all ms=5')
    daemon = case.daemon([device_entry('d0', disk, block_size='64K', queue_depth=2)])
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0')
    daemon.call('CancelSweep', device='d0')
    disk.command('clear')
    sweep = daemon.end(sweep_id)
    assert (sweep['end'], sweep['verdict'], sweep['assurance']) == ('cancelled', 'incomplete', None), sweep
    # What it wrote is known: the next one finds nothing wrong with a device half of which bears stamps.
    expect_clean(daemon.sweep('d0'))
    assert daemon.findings(every=True) == []


@test
def a_device_has_one_sweep_at_a_time(case):
    disk = case.faultdisk(32 * MIB)
    disk.command('delay all ms=5')
    daemon = case.daemon([device_entry('d0', disk, block_size='64K', queue_depth=2)])
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0')
    try:
        daemon.begin('d0')
        raise AssertionError('a second sweep was started')
    except VarlinkError as error:
        assert error.name == 'io.sweepd.Busy', error
    progress = daemon.device('d0')['progress']
    assert progress['sweep_id'] == sweep_id and progress['generation'] == 1, progress
    disk.command('clear')
    expect_clean(daemon.end(sweep_id))
    try:
        daemon.call('CancelSweep', device='d0')
        raise AssertionError('a sweep that is over was cancelled')
    except VarlinkError as error:
        assert error.name == 'io.sweepd.NotRunning', error


@test
def history_has_the_newest_sweep_last(case):
    disks = [case.loop(MIB), case.loop(MIB)]
    daemon = case.daemon([device_entry(f'd{i}', disk) for i, disk in enumerate(disks)])
    ids = [daemon.sweep(name)['id'] for name in ('d0', 'd1', 'd0', 'd0')]
    assert [s['id'] for s in daemon.sweeps()] == ids and ids == sorted(ids), ids
    assert [s['id'] for s in daemon.sweeps('d0')] == [ids[0], ids[2], ids[3]]
    newest = daemon.call_more('ListSweeps', device='d0', limit=2)
    assert [r['sweep']['id'] for r in newest] == ids[2:], newest
    assert daemon.device('d1')['bytes_written_total'] == MIB
    daemon.stop()
    daemon.start()
    assert [s['id'] for s in daemon.sweeps()] == ids
    assert daemon.sweep('d1')['id'] > ids[-1]


@test
def progress_ends_where_the_work_does(case):
    disk = case.faultdisk(16 * MIB)
    disk.command('delay all ms=10')
    daemon = case.daemon([device_entry('d0', disk, block_size='64K', queue_depth=4)])
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0')
    seen = []

    def over():
        progress = daemon.device('d0')['progress']
        if progress:
            seen.append(progress)
        return daemon.finished(sweep_id)
    eventually('the sweep ended', over, 60)
    done = [p['bytes_done'] for p in seen]
    assert done == sorted(done), 'bytes_done went back'
    for p in seen:
        assert p['bytes_verified'] <= p['bytes_read'] and p['bytes_done'] <= p['bytes_total'], p


if __name__ == '__main__':
    main()
