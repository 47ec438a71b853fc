#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Places that are read late: told where the disk alone is slow, and nowhere else; and what sweeps measure."""

import threading
import time

from harness import KIB, MIB, DirectFile, device_entry, eventually, main, test

BLOCK = 64 * KIB
DELAY_MS = 600


def slow_entry(disk, mode='read', **keys):
    return device_entry('d0', disk, mode, block_size='64K', queue_depth=4, slow_after='250ms', **keys)


def expect_slow(daemon, offset):
    found = daemon.findings('d0')
    assert [(f['fault'], f['offset'], f['length']) for f in found] == [('slow', offset, BLOCK)], found
    detail = found[0]['detail']
    assert found[0]['persistence'] == 'persistent' and detail['foreign_io'] == 'none', found
    assert detail['slow_after_us'] == '250000', detail
    assert min(int(detail['latency_us']), int(detail['again_us'])) >= DELAY_MS * 1000, detail
    return found[0]


def expect_verdict(sweep, assurance='readable', findings=0):
    got = sweep['end'], sweep['verdict'], sweep['assurance'], sweep['findings']
    assert got == ('finished', 'clean', assurance, findings), sweep


def latency_of(sweep, operation='read'):
    return next((l for l in sweep['latency'] or [] if l['operation'] == operation), None)


@test
def a_slow_place_is_a_warning_and_leaves_the_verdict_alone(case):
    disk = case.faultdisk(8 * MIB)
    for mode in ('read', 'pattern'):
        daemon = case.daemon([slow_entry(disk, mode)])
        place = 5 * MIB + 3 * BLOCK
        disk.command(f'delay read at={place + 8 * KIB} length=512 ms={DELAY_MS}')
        assurance = 'readable' if mode == 'read' else 'verified'
        sweep = daemon.sweep('d0')
        expect_verdict(sweep, assurance, 1)
        finding = expect_slow(daemon, place)
        assert latency_of(sweep)['max_us'] >= DELAY_MS * 1000, sweep['latency']
        device = daemon.device('d0')
        assert device['verdict'] == 'clean' and not device['needs_attention'], device
        for command in (['wait', 'd0'], ['status'], ['errors']):
            done = daemon.ctl(*command, check=False, as_json=False)
            assert done.returncode == 0, (command, done)
        daemon.expect_told('slow at offset', times=1)

        expect_verdict(daemon.sweep('d0'), assurance, 1 if mode == 'read' else 2)  # each pass is told by itself
        assert expect_slow(daemon, place)['id'] == finding['id'], 'the same place is the same finding'
        disk.command('clear')
        expect_verdict(daemon.sweep('d0'), assurance)
        assert daemon.findings('d0') == [], 'it was read in time'
        daemon.stop()


@test
def a_place_that_was_slow_once_is_not_told(case):
    disk = case.faultdisk(8 * MIB)
    daemon = case.daemon([slow_entry(disk)])
    disk.command(f'delay read at={3 * MIB} length=512 ms={DELAY_MS} times=1')
    sweep = daemon.sweep('d0')
    expect_verdict(sweep)
    assert daemon.findings('d0', every=True) == []
    read = latency_of(sweep)
    assert read['count'] == 8 * MIB // BLOCK and read['max_us'] >= DELAY_MS * 1000 > read['p50_us'], read
    assert 'could not be read once more' not in daemon.log_text(), 'it was, and in time'


@test
def a_disk_that_others_use_is_not_accused(case):
    disk = case.faultdisk(8 * MIB)
    daemon = case.daemon([slow_entry(disk)])
    disk.command(f'delay read at={3 * MIB} length=512 ms={DELAY_MS}')
    expect_verdict(daemon.sweep('d0'), findings=1)
    expect_slow(daemon, 3 * MIB)
    over = threading.Event()

    def read_on():
        with DirectFile(disk.path, writable=False) as file:
            while not over.is_set():
                file.read(0, 4 * KIB)
                time.sleep(0.01)

    stranger = threading.Thread(target=read_on)
    stranger.start()
    try:
        # The place of before stays: this sweep can't tell. Another one is not told.
        disk.command(f'delay read at={6 * MIB} length=512 ms={DELAY_MS}')
        expect_verdict(daemon.sweep('d0'))
    finally:
        over.set()
        stranger.join()
    assert expect_slow(daemon, 3 * MIB)['count'] == 1
    daemon.expect_told('reads later than slow_after could not be read once more alone')


def whole_map(daemon, regions):
    replies = daemon.call_more('GetMap', device='d0', regions=regions)
    return [region for reply in replies for region in reply['regions']]


@test
def the_map_tells_what_was_checked_when_and_how_long_it_took(case):
    disk = case.faultdisk(8 * MIB)
    daemon = case.daemon([slow_entry(disk, 'pattern')])
    disk.command(f'delay read at={3 * MIB} length=512 ms={DELAY_MS}')
    eventually('its size is known', lambda: len(whole_map(daemon, 8)) == 8)
    assert not any(region['checked_at'] or region['verified_at'] for region in whole_map(daemon, 8))
    began = time.time() * 1e6
    sweep = daemon.sweep('d0')
    for count in (1, 8, 1000, 3000):
        regions = whole_map(daemon, count)
        assert len(regions) == count and regions[0]['offset'] == 0, len(regions)
        for one, next_one in zip(regions, regions[1:]):
            assert one['offset'] + one['length'] == next_one['offset'], (one, next_one)
        assert regions[-1]['offset'] + regions[-1]['length'] == 8 * MIB
        for region in regions:
            assert began <= region['verified_at'] <= sweep['ended_at'] and region['checked_at'] >= began, region
            touches = region['offset'] < 3 * MIB + BLOCK and region['offset'] + region['length'] > 3 * MIB
            assert region['findings'] == touches, region
            assert (region['latency_max_us'] >= DELAY_MS * 1000) >= touches, region
    device = daemon.device('d0')
    assert device['coverage'] == 1.0, device
    assert began <= device['oldest_verified_at'] <= sweep['ended_at'], device
    for operation in ('read', 'write', 'flush'):
        assert latency_of(sweep, operation)['count'] > 0, sweep['latency']

    before = whole_map(daemon, 16)
    daemon.stop()
    daemon.start()
    assert whole_map(daemon, 16) == before, 'the ledger keeps it'


@test
def a_cancelled_sweep_updates_what_it_reached(case):
    disk = case.faultdisk(8 * MIB)
    daemon = case.daemon([slow_entry(disk)])
    disk.command('delay read ms=50')
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0', 2 * MIB)
    daemon.call('CancelSweep', device='d0')
    assert daemon.end(sweep_id)['end'] == 'cancelled'
    regions = whole_map(daemon, 8)
    checked = [region['checked_at'] is not None for region in regions]
    assert checked[0] and checked == sorted(checked, reverse=True) and not checked[-1], regions
    assert all(region['verified_at'] is None for region in regions), 'reading verifies nothing'
    device = daemon.device('d0')
    assert 0 < device['coverage'] < 1 and device['oldest_checked_at'] is None, device


if __name__ == '__main__':
    main()
