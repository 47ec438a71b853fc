#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
A sweep goes on where it was: after kills, a stop of the daemon, a pause. Under its number, with a verdict, counts and a
map that cover the whole, and no region of the disk is left out.
"""

import os
import time

from harness import MIB, SECTOR, UNIT, VarlinkError, device_entry, eventually, expect_clean, expect_places, main, test

KILLS = 20


def slowed(case, size=32 * MIB, ms=20):
    disk = case.faultdisk(size)
    disk.command(f'delay all ms={ms}')
    return disk


def entry(disk, mode='pattern', **keys):
    return device_entry('d0', disk, mode=mode, **{'block_size': '64K', 'queue_depth': 4, 'segment': '2M', **keys})


def state(daemon):
    return daemon.device('d0')['state']


def rested(daemon, word):
    return eventually(f'the device is {word}', lambda: (d := daemon.device('d0'))['state'] == word and d)


def whole_map(daemon, since, verified):
    """Every region of the disk was looked at by the sweep, which began at `since`."""
    regions = daemon.call('GetMap', device='d0', regions=1024)['regions']
    assert regions
    for r in regions:
        at = r['verified_at' if verified else 'checked_at']
        assert at and at >= since, f'a region was left out: {r}'


def kill_again_and_again(case, daemon, sweep_id, kills):
    """Until it is over, or has been killed so often. Returns how often it was killed in mid-sweep."""
    killed = 0
    for _ in range(kills):
        before = daemon.device('d0')['progress']
        time.sleep(case.rng.uniform(0.05, 1.6))
        if daemon.finished(sweep_id):
            break
        daemon.kill9()
        daemon.start()
        killed += 1
        progress = daemon.device('d0')['progress']
        if progress and before:
            assert progress['sweep_id'] == sweep_id, progress
    return killed


@test(timeout_s=300)
def a_sweep_that_is_killed_again_and_again_ends_clean_under_its_number(case):
    disk = slowed(case, 96 * MIB)  # more than 8 s: five lives are too few for it
    daemon = case.daemon([entry(disk)])
    disk.command('clear')
    expect_clean(daemon.sweep('d0'))
    disk.command('delay all ms=4')
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0')
    killed = kill_again_and_again(case, daemon, sweep_id, KILLS)
    disk.command('clear')
    sweep = daemon.end(sweep_id)
    assert killed >= 5, killed
    expect_clean(sweep)
    assert sweep['bytes_verified'] == 2 * disk.size and sweep['bytes_written'] == disk.size, sweep
    whole_map(daemon, sweep['started_at'], True)
    assert daemon.findings(every=True) == []
    assert [s['id'] for s in daemon.sweeps('d0')] == [sweep_id - 1, sweep_id], daemon.sweeps('d0')
    # What the parts left is known to the byte.
    expect_clean(daemon.sweep('d0'))


@test(timeout_s=300)
def each_mode_goes_on_after_kills_and_counts_each_byte_once(case):
    for mode, verified in (('read', False), ('refresh', True), ('preserve', True)):
        disk = slowed(case, 16 * MIB, ms=3)
        name = f'd-{mode}'
        keys = {} if mode == 'read' else {'journal': case.loop(16 * MIB).path, 'settle': '1s'}
        disk.command('clear')
        disk.write(0, case.rng.randbytes(disk.size))
        before = disk.read(0, disk.size)
        daemon = case.daemon([device_entry(name, disk, mode=mode, block_size='64K', queue_depth=4, segment='2M', **keys)])
        disk.command('delay all ms=3')
        sweep_id = daemon.begin(name)
        daemon.sweeping(name)
        for _ in range(6):
            time.sleep(case.rng.uniform(0.1, 1.5))
            if daemon.finished(sweep_id):
                break
            daemon.kill9()
            daemon.start()
        disk.command('clear')
        sweep = daemon.end(sweep_id)
        expect_clean(sweep, 'verified' if verified else 'readable')
        assert sweep['bytes_read'] >= disk.size, sweep
        for r in daemon.call('GetMap', device=name, regions=1024)['regions']:
            at = r['verified_at' if verified else 'checked_at']
            assert at and at >= sweep['started_at'], f'{mode}: a region was left out: {r}'
        assert disk.read(0, disk.size) == before, mode
        assert daemon.findings(every=True) == []
        daemon.stop()


def sweep_of(daemon, sweep_id):
    return daemon.call('GetSweep', id=sweep_id)['sweep']


def time_since_start_us(daemon, sweep_id):
    return time.time() * 1e6 - sweep_of(daemon, sweep_id)['started_at']


def expect_at_work_for(daemon, sweep_id, least_us, size):
    """What is told of a sweep that is not over: the time in which it was at work, which each block takes some of."""
    sweep = sweep_of(daemon, sweep_id)
    assert sweep['running_us'] > max(least_us, sweep['bytes_read'] / size * 100_000), sweep
    assert sweep['running_us'] < time_since_start_us(daemon, sweep_id), sweep
    return sweep['running_us']


@test
def a_region_is_read_anew_only_where_it_was_not_done(case):
    """By the disk's own count: what lies before the place where it goes on is not swept once more."""
    disk = slowed(case, 32 * MIB, ms=40)
    daemon = case.daemon([entry(disk, mode='read')])
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0', 16 * MIB)
    daemon.call('PauseSweep', device='d0')
    done = rested(daemon, 'paused')['progress']['bytes_done']
    assert done >= 16 * MIB, done
    worked_us = expect_at_work_for(daemon, sweep_id, 0, disk.size)
    time.sleep(3)
    assert expect_at_work_for(daemon, sweep_id, 0, disk.size) == worked_us, 'it has rested'
    daemon.call('ResumeSweep', device='d0')
    daemon.sweeping('d0', done + MIB)
    expect_at_work_for(daemon, sweep_id, worked_us, disk.size)
    assert time_since_start_us(daemon, sweep_id) - sweep_of(daemon, sweep_id)['running_us'] > 2_500_000
    daemon.call('PauseSweep', device='d0')
    done = rested(daemon, 'paused')['progress']['bytes_done']
    disk.command('clear')
    before = int(open(f'/sys/block/{os.path.basename(disk.path)}/stat', encoding='ascii').read().split()[2]) * 512
    daemon.call('ResumeSweep', device='d0')
    sweep = daemon.end(sweep_id)
    after = int(open(f'/sys/block/{os.path.basename(disk.path)}/stat', encoding='ascii').read().split()[2]) * 512
    expect_clean(sweep, 'readable')
    assert sweep['bytes_read'] == disk.size, sweep
    # What is looked at when a device is opened comes on top.
    assert after - before < disk.size - done + 4 * MIB, (after - before, done)


@test
def a_paused_sweep_gives_the_device_back_and_goes_on(case):
    disk = slowed(case)
    daemon = case.daemon([entry(disk)])
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0', 8 * MIB)
    daemon.call('PauseSweep', device='d0')
    device = rested(daemon, 'paused')
    assert device['reason']['rule'] == 'paused' and device['progress']['sweep_id'] == sweep_id, device
    assert not device['needs_attention'], device
    daemon.expect_told('it was paused; go on with: sweepctl resume d0\n', times=1)
    fd = os.open(disk.path, os.O_RDWR | os.O_EXCL) # nobody has claimed it
    os.close(fd)
    assert daemon.finished(sweep_id) is None
    for _ in range(2): # it holds, over a restart too
        daemon.stop()
        daemon.start()
        time.sleep(0.5)
        assert rested(daemon, 'paused')['progress']['sweep_id'] == sweep_id
    try:
        daemon.begin('d0')
        raise AssertionError('a paused device was started')
    except VarlinkError as error:
        assert (error.name, error.parameters['state']) == ('io.sweepd.Busy', 'paused'), error
    disk.command('clear')
    daemon.call('ResumeSweep', device='d0')
    sweep = daemon.end(sweep_id)
    expect_clean(sweep)
    assert sweep['bytes_written'] == disk.size, sweep
    whole_map(daemon, sweep['started_at'], True)


@test
def what_was_done_before_a_pause_is_not_taken_for_speed(case):
    # While it settles its thread is there, and has done nothing.
    disk = case.loop(64 * MIB)
    daemon = case.daemon([entry(disk, mode='refresh', every='never', rate_max='16M', settle='2s',
                                journal=case.loop(16 * MIB).path)])
    daemon.begin('d0')
    daemon.sweeping('d0', 128 * MIB)
    daemon.call('PauseSweep', device='d0')
    rested(daemon, 'paused')
    daemon.call('ResumeSweep', device='d0')
    def rate():
        return (daemon.device('d0')['progress'] or {}).get('rate', 0)

    rates = [eventually('it is under way again', rate)]
    end = time.monotonic() + 3
    while time.monotonic() < end:
        rates.append(rate())
        time.sleep(0.05)
    assert max(rates) <= 40 * MIB, f'{max(rates) / MIB} MiB/s, of at most 16 and what a start may save up'


@test
def a_paused_sweep_can_be_cancelled_and_is_in_the_history(case):
    disk = slowed(case)
    daemon = case.daemon([entry(disk, every='30d')])
    sweep_id = eventually('it is due', lambda: (daemon.device('d0')['progress'] or {}).get('sweep_id'))
    daemon.sweeping('d0', 8 * MIB)
    daemon.call('PauseSweep', device='d0')
    rested(daemon, 'paused')
    daemon.call('CancelSweep', device='d0')
    sweep = daemon.finished(sweep_id) or daemon.end(sweep_id)
    assert (sweep['end'], sweep['verdict']) == ('cancelled', 'incomplete'), sweep
    device = rested(daemon, 'idle')
    # The period is skipped.
    assert abs(device['next_due_at'] - sweep['ended_at'] - 30 * 86400 * 10**6) < 10**7, device
    daemon.kill9()
    daemon.start()
    assert rested(daemon, 'idle')['next_due_at'] == device['next_due_at']


def narrowing(case, disk, ms):
    """A sweep that tells the bad sectors of a failed read from the good ones, for some seconds: its daemon, its number,
    and the sector."""
    at = case.rng.randrange(disk.size // SECTOR) * SECTOR
    disk.command(f'error read errno=EIO at={at} length={SECTOR}')
    daemon = case.daemon([entry(disk, 'read')])
    delay = disk.command(f'delay read at={at} length={SECTOR} ms={ms}')
    sweep_id = daemon.begin('d0')
    eventually('it has failed twice', lambda: int(disk.command(f'hits {delay}')) > 1)
    return daemon, sweep_id, at


@test
def what_failed_is_told_also_where_the_sweep_is_paused_and_never_goes_on(case):
    disk = case.faultdisk(2 * MIB)
    daemon, sweep_id, at = narrowing(case, disk, 250)
    daemon.call('PauseSweep', device='d0')
    rested(daemon, 'paused')
    daemon.call('CancelSweep', device='d0')
    sweep = daemon.end(sweep_id)
    assert (sweep['end'], sweep['verdict'], sweep['findings']) == ('cancelled', 'faulty', 1), sweep
    expect_places(daemon.findings('d0'), [(at, SECTOR, 'read_error')])


@test
def what_failed_is_told_also_where_the_daemon_ends_before_more_is_known(case):
    disk = case.faultdisk(2 * MIB)
    daemon, sweep_id, at = narrowing(case, disk, 700)
    daemon.stop()
    disk.command('clear')
    daemon.start()
    found = daemon.findings('d0', every=True)
    assert [f['fault'] for f in found] == ['read_error'] and found[0]['sweep_id'] == sweep_id, found
    assert found[0]['offset'] <= at < found[0]['offset'] + found[0]['length'], (at, found)
    assert daemon.end(sweep_id)['verdict'] == 'faulty'


@test
def an_idle_device_that_is_paused_is_held_until_it_is_resumed(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    daemon.call('PauseSweep', device='d0')
    daemon.configure([device_entry('d0', disk, every='30d')])
    for _ in range(2):
        assert rested(daemon, 'held')['next_start_at'] is None
        daemon.kill9()
        daemon.start()
    time.sleep(0.5)
    assert rested(daemon, 'held')['progress'] is None and daemon.sweeps() == []
    daemon.call('ResumeSweep', device='d0')
    expect_clean(eventually('it was swept', lambda: [s for s in daemon.sweeps() if s['ended_at']])[0])
    daemon.call('ResumeSweep', device='d0') # of one that is not paused: nothing


@test
def a_start_that_is_queued_survives_a_kill(case):
    disks = [slowed(case, 8 * MIB, ms=40), case.loop(4 * MIB)]
    daemon = case.daemon([device_entry(f'd{i}', d, block_size='64K', queue_depth=2) for i, d in enumerate(disks)],
                         limits={'concurrent_sweeps': 1})
    first = daemon.begin('d0')
    daemon.sweeping('d0')
    second = daemon.begin('d1', mode='read')
    daemon.sweeps()  # the ledger answers when it has stored what came before
    daemon.kill9()
    daemon.start()
    disks[0].command('clear')
    expect_clean(daemon.end(first))
    sweep = daemon.end(second)
    expect_clean(sweep, 'readable')
    assert sweep['mode'] == 'read' and sweep['id'] == second, sweep


@test
def faults_of_all_parts_are_told_once_and_stay(case):
    disk = slowed(case)
    daemon = case.daemon([entry(disk)])
    disk.command('clear')
    expect_clean(daemon.sweep('d0'))
    units = [100, 1500, 3000, 5000, 7000, 8100]
    for unit in units:
        disk.flip_bits(unit * UNIT, 2, case.rng)
    disk.command('delay all ms=4')
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0', 2 * MIB)
    kill_again_and_again(case, daemon, sweep_id, 10)
    disk.command('clear')
    sweep = daemon.end(sweep_id)
    assert (sweep['end'], sweep['verdict']) == ('finished', 'faulty'), sweep
    found = daemon.findings('d0')
    # Damage that a write was cut short over has another name when it is met again.
    flips = [f for f in found if f['fault'] != 'garbage']
    expect_places(flips, [(unit * UNIT, UNIT, 'bit_flip') for unit in units])
    assert {f['offset'] for f in found} == {unit * UNIT for unit in units}, found
    assert {f['persistence'] for f in found} == {'repaired'}, [f['persistence'] for f in found]
    assert {f['sweep_id'] for f in found} == {sweep_id}, found
    assert sweep['findings'] == len(found), sweep
    expect_clean(daemon.sweep('d0'))
    assert daemon.findings('d0') == []


@test
def another_disk_is_not_gone_on_with(case):
    disk, other = slowed(case, 16 * MIB), case.loop(16 * MIB)
    daemon = case.daemon([entry(disk, mode='read')])
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0', 4 * MIB)
    daemon.call('PauseSweep', device='d0')
    rested(daemon, 'paused')
    daemon.configure([entry(other, mode='read')])
    daemon.hup()
    eventually('it is configured', lambda: daemon.device('d0')['path'] == other.path)
    daemon.call('ResumeSweep', device='d0')
    sweep = daemon.end(sweep_id)
    assert (sweep['end'], sweep['verdict'], sweep['reason']['rule']) == ('killed', 'incomplete', 'not_resumed'), sweep
    expect_clean(daemon.sweep('d0'), 'readable')


@test
def another_mode_begins_anew(case):
    disk = slowed(case, 16 * MIB)
    daemon = case.daemon([entry(disk, mode='read', every='30d')])
    sweep_id = eventually('it is due', lambda: (daemon.device('d0')['progress'] or {}).get('sweep_id'))
    daemon.sweeping('d0', 4 * MIB)
    daemon.call('PauseSweep', device='d0')
    rested(daemon, 'paused')
    daemon.configure([entry(disk, every='30d', block_size='128K', segment='4M')])
    daemon.hup()
    eventually('the old one is over', lambda: daemon.finished(sweep_id))
    assert daemon.finished(sweep_id)['reason']['rule'] == 'not_resumed'
    disk.command('clear')
    daemon.call('ResumeSweep', device='d0')
    fresh = eventually('a new one is over', lambda: [s for s in daemon.sweeps() if s['id'] > sweep_id and s['ended_at']])
    expect_clean(fresh[0])


@test
def another_block_size_goes_on(case):
    disk = slowed(case, 16 * MIB)
    daemon = case.daemon([entry(disk)])
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0', 16 * MIB)
    daemon.call('PauseSweep', device='d0')
    rested(daemon, 'paused')
    disk.command('clear')
    daemon.configure([device_entry('d0', disk, block_size='128K', segment='3M')])
    daemon.hup()
    daemon.call('ResumeSweep', device='d0')
    expect_clean(daemon.end(sweep_id))


@test
def what_became_forbidden_while_it_was_paused_is_refused_and_goes_on_when_allowed(case):
    disk = slowed(case)
    daemon = case.daemon([entry(disk)])
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0', 8 * MIB)
    daemon.call('PauseSweep', device='d0')
    rested(daemon, 'paused')
    disk.command('clear')
    claim = os.open(disk.path, os.O_RDWR | os.O_EXCL)
    try:
        daemon.call('ResumeSweep', device='d0')
        device = rested(daemon, 'refused')
        assert device['progress']['sweep_id'] == sweep_id, device
    finally:
        os.close(claim)
    assert daemon.begin('d0') == sweep_id # now, and not in an hour
    expect_clean(daemon.end(sweep_id))


def window(begin_s, end_s):
    """From so many seconds from now on, in whole minutes of the local time."""
    def clock(at):
        return time.strftime('%H:%M', time.localtime(time.time() + at))
    return f'{clock(begin_s)}-{clock(end_s)}'


@test(timeout_s=300)
def a_window_that_closes_lets_the_sweep_wait_and_the_next_one_lets_it_go_on(case):
    disk = slowed(case, 32 * MIB, ms=3)
    closes_soon = window(-3600, 60 - time.time() % 60 + (60 if time.time() % 60 > 45 else 0))
    daemon = case.daemon([entry(disk, every='1d', windows=[closes_soon])])
    sweep_id = eventually('it is due', lambda: (daemon.device('d0')['progress'] or {}).get('sweep_id'))
    daemon.sweeping('d0', MIB)
    disk.command('delay all ms=400') # slower than the rest of the window is long
    device = eventually('it waits', lambda: (d := daemon.device('d0'))['state'] == 'waiting' and d, 150)
    assert device['reason']['rule'] == 'window' and device['progress']['sweep_id'] == sweep_id, device
    assert device['next_start_at'] > time.time() * 10**6, device
    os.close(os.open(disk.path, os.O_RDWR | os.O_EXCL)) # nobody has claimed it
    daemon.kill9()
    daemon.start()
    assert rested(daemon, 'waiting')['progress']['sweep_id'] == sweep_id
    disk.command('clear')
    daemon.configure([entry(disk, every='1d', windows=[window(-3600, 3600)])])
    daemon.hup()
    expect_clean(daemon.end(sweep_id))


@test
def a_sweep_that_waits_for_its_window_is_started_by_hand(case):
    disk = slowed(case, 16 * MIB)
    daemon = case.daemon([entry(disk, every='1d')])
    sweep_id = eventually('it is due', lambda: (daemon.device('d0')['progress'] or {}).get('sweep_id'))
    daemon.sweeping('d0', 2 * MIB)
    daemon.configure([entry(disk, every='1d', windows=[window(7200, 10800)])])
    daemon.hup()
    rested(daemon, 'waiting')
    disk.command('clear')
    assert daemon.begin('d0') == sweep_id
    expect_clean(daemon.end(sweep_id))


if __name__ == '__main__':
    main()
