#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sweeps that stay out of the way: of whoever else uses the disk, and within the rate that they were given."""

import os
import threading
import time

from harness import KIB, MIB, SECTOR, DirectFile, Skip, device_entry, eventually, expect_clean, main, need, of_threads, run, test
from keeping import journal_bytes

BLOCK = 64 * KIB
SIZE = 16 * MIB


class Stranger:
    """Reads a little of the disk's first unit, again and again, until it is told to stop."""

    def __init__(self, disk):
        self.disk = disk
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._read_on)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def _read_on(self):
        with DirectFile(self.disk.path, writable=False) as file:
            while not self.over.wait(0.01):
                file.read(0, 4 * KIB)


def slow_disk(case):
    """A sweep of it takes some seconds; the stranger's place is as fast as ever."""
    disk = case.faultdisk(SIZE)
    disk.command(f'delay read at={BLOCK} ms=50')
    return disk


def entry(disk, mode='read', yields=True, **keys):
    keys['yield'] = yields
    return device_entry('d0', disk, mode, block_size='64K', queue_depth=4, **keys)


def state(daemon):
    return daemon.device('d0')['state']


def states_to_the_end(daemon, sweep_id):
    seen = set()

    def look():
        seen.add(state(daemon))
        return daemon.finished(sweep_id)

    eventually('the sweep ended', look, 60)
    return seen


def reaches(daemon, wanted, timeout_s=30):
    eventually(f'd0 is {wanted}', lambda: state(daemon) == wanted, timeout_s)


def requests_of_ours(log):
    """When those of a whole block came and were answered, by the disk's own log."""
    with open(log, encoding='utf-8') as file:
        fields = [line.split() for line in file]
    return [(int(f[4]), int(f[5])) for f in fields if f[0] == 'read' and int(f[2]) == BLOCK and int(f[1]) >= BLOCK]


def expect_one_at_a_time(log):
    requests = sorted(requests_of_ours(log))
    for (_, ended), (came, _) in zip(requests, requests[1:]):
        assert ended <= came, f'two requests at a time: one ended at {ended}, the next came at {came}'


@test
def others_make_a_sweep_yield_and_it_comes_back(case):
    disk = slow_disk(case)
    daemon = case.daemon([entry(disk)])
    log = os.path.join(case.scratch, 'log')
    with Stranger(disk):
        sweep_id = daemon.begin('d0')
        reaches(daemon, 'yielding')
        device = daemon.device('d0')
        assert device['reason']['rule'] == 'yielding' and 'others' in device['reason']['found'], device
        assert device['progress']['rate_target'] > 0 and not device['needs_attention'], device
        assert device['progress']['rate_rule'] == 'others', device
        done = daemon.ctl('status', 'd0', check=False, as_json=False)
        assert done.returncode == 0 and 'yielding' in done.stdout and 'others' in done.stdout, done
        disk.command(f'log {log}')
        before = daemon.device('d0')['progress']['bytes_done']
        eventually('it goes on a little', lambda: daemon.device('d0')['progress']['bytes_done'] > before, 60)
        assert state(daemon) == 'yielding'
        disk.command('log off')
        expect_one_at_a_time(log)
    reaches(daemon, 'sweeping')
    disk.command('clear')
    expect_clean(daemon.end(sweep_id), 'readable')


@test
def sweeps_that_write_yield_as_well(case):
    for mode in ('pattern', 'refresh'):
        disk = slow_disk(case)
        keys = {}
        if mode == 'refresh':
            keys = {'segment': '1M', 'settle': '1s', 'destroys_data': None,
                    'journal': case.loop(journal_bytes(MIB) + MIB).path}
            disk.write(0, case.rng.randbytes(SIZE))
        daemon = case.daemon([entry(disk, mode, **keys)])
        sweep_id = daemon.begin('d0')
        daemon.sweeping('d0', 1, 40)
        with Stranger(disk):
            reaches(daemon, 'yielding')
        reaches(daemon, 'sweeping')
        disk.command('clear')
        expect_clean(daemon.end(sweep_id, 120))
        daemon.stop(within_s=30)


@test
def told_not_to_yield_it_does_not(case):
    disk = slow_disk(case)
    daemon = case.daemon([entry(disk, yields=False)])
    with Stranger(disk):
        sweep_id = daemon.begin('d0')
        seen = states_to_the_end(daemon, sweep_id)
    assert 'sweeping' in seen and 'yielding' not in seen, seen
    expect_clean(daemon.end(sweep_id), 'readable')


@test
def a_disk_that_nobody_else_uses_is_swept_without_yielding(case):
    disk = slow_disk(case)
    daemon = case.daemon([entry(disk)])
    sweep_id = daemon.begin('d0')
    seen = states_to_the_end(daemon, sweep_id)
    assert 'sweeping' in seen and 'yielding' not in seen, seen
    expect_clean(daemon.end(sweep_id), 'readable')


@test
def a_disk_that_others_have_open_is_begun_carefully(case):
    need('mkfs.ext4')
    disk = slow_disk(case)
    disk.command('clear')
    run('mkfs.ext4', '-q', '-E', 'lazy_itable_init=0,lazy_journal_init=0', disk.path)
    place = case.directory('m')
    run('mount', '-o', 'ro,noload', disk.path, place)
    case.undo(run, 'umount', place)
    disk.command(f'delay read at={BLOCK} ms=50')
    daemon = case.daemon([entry(disk)])
    sweep_id = daemon.begin('d0')
    reaches(daemon, 'yielding')
    reaches(daemon, 'sweeping')
    disk.command('clear')
    expect_clean(daemon.end(sweep_id), 'readable')


@test
def a_sweep_keeps_to_its_rate_all_the_time(case):
    rate, size, depth = 4 * MIB, 12 * MIB, 2
    for mode in ('read', 'pattern'):
        disk = case.loop(size)
        daemon = case.daemon([device_entry('d0', disk, mode, block_size='64K', queue_depth=depth, rate_max='4M')])
        sweep_id = daemon.begin('d0')
        daemon.sweeping('d0')
        looks = []
        while not daemon.finished(sweep_id):
            asked = time.monotonic()
            progress = daemon.device('d0')['progress']
            if progress:
                looks.append((asked, progress['bytes_done'], time.monotonic()))
                assert progress['rate_target'] == rate, progress
        # What was asked for before may be answered, and verified, all at once: the rate is that of asking.
        for (asked, before, _), (_, after, answered) in [*zip(looks, looks[5:]), *zip(looks, looks[50:])]:
            most = rate * (answered - asked + 0.05) + BLOCK * (1 + 2 * depth)
            assert after - before <= most, f'{after - before} bytes in {answered - asked:.3f} s'
        sweep = daemon.end(sweep_id)
        expect_clean(sweep, 'readable' if mode == 'read' else 'verified')
        moved = sweep['bytes_read'] + sweep['bytes_written']
        assert moved <= rate * (sweep['running_us'] / 1e6 + 0.05) + BLOCK, sweep
        daemon.stop()


@test
def a_disk_is_swept_once_at_a_time_and_who_waits_says_for_whom(case):
    need('addpart', 'delpart')
    disk = slow_disk(case)
    disk.command('delay read ms=200')
    for number in (1, 2):
        begin, size = (1, 6)[number - 1] * MIB // SECTOR, 4 * MIB // SECTOR
        if run('addpart', disk.path, str(number), str(begin), str(size), check=False).returncode != 0:
            raise Skip('the kernel has no partitions')
        case.undo(run, 'delpart', disk.path, str(number))
        eventually('the partition appears', lambda n=number: os.path.exists(f'{disk.path}p{n}'), 5)
    entries = [device_entry(f'p{n}', f'{disk.path}p{n}', 'read', block_size='64K', queue_depth=4) for n in (1, 2)]
    daemon = case.daemon([*entries, device_entry('whole', disk, 'read', destroys_data=None)])
    first = daemon.begin('p1')
    daemon.sweeping('p1')
    others = {name: daemon.begin(name) for name in ('p2', 'whole')}
    for name in others:
        device = daemon.device(name)
        assert device['state'] == 'queued' and device['reason']['rule'] == 'admission', device
        assert device['reason']['found'] == 'the sweep of p1 is using the same disk', device
    disk.command('clear')
    expect_clean(daemon.end(first), 'readable')
    for name, sweep_id in others.items():
        expect_clean(daemon.end(sweep_id), 'readable')


def expect_rule(daemon, rule, text):
    eventually(f'd0 goes by {rule}', lambda: daemon.device('d0')['progress']['rate_rule'] == rule, 15)
    shown = ' '.join(daemon.ctl('status', 'd0', as_json=False).split())
    assert text in shown, f'{rule}: {text!r} is not in: {shown}'


@test
def a_sweep_says_what_sets_its_rate(case):
    disk, other = case.loop(64 * MIB), case.loop(64 * MIB)

    def configured(limits=None, waits='never', **keys):
        keys = {'rate_min': '64K', **keys}
        limits = {'limits': limits} if limits else {}
        entries = [device_entry('d0', disk, 'read', every='120s', block_size='64K', **keys),
                   device_entry('d1', other, 'read', every=waits)]
        return {'devices': entries, **limits}

    daemon = case.daemon(**configured())
    daemon.sweeping('d0')
    expect_rule(daemon, 'deadline', 'which is enough to end in time')
    for settings, rule, text in [
            (configured(rate_min='768K'), 'rate_min', 'held to 768 KiB/s, its rate_min: to end in time it needs less'),
            (configured(rate_max='256K'), 'rate_max', 'held to 256 KiB/s, its rate_max'),
            (configured({'rate': '256K'}), 'limits_rate', 'held to 256 KiB/s, its share of limits.rate'),
            (configured({'concurrent_sweeps': 1}, waits='60s'), 'concurrent_sweeps',
             'so that those that wait for limits.concurrent_sweeps end in time, too')]:
        daemon.configure(settings.pop('devices'), **({'verify': {'workers': 1}} | settings))
        daemon.call('Reload')
        expect_rule(daemon, rule, text)


@test
def a_sweep_that_nothing_holds_back_says_so(case):
    disk = slow_disk(case)
    daemon = case.daemon([entry(disk, yields=False)])
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0')
    assert daemon.device('d0')['progress']['rate_target'] is None
    expect_rule(daemon, 'device', '/s: as fast as the device goes')
    disk.command('clear')
    expect_clean(daemon.end(sweep_id), 'readable')


def class_of_thread(pid, name):
    tasks = [task for task, text in of_threads(pid, 'comm') if text.strip() == name]
    return run('ionice', '-p', *tasks).stdout.strip() if tasks else None


@test
def a_sweep_that_yields_is_in_the_idle_class(case):
    need('ionice')
    for yields in (True, False):
        disk = slow_disk(case)
        daemon = case.daemon([entry(disk, yields=yields)])
        sweep_id = daemon.begin('d0')
        daemon.sweeping('d0')
        found = class_of_thread(daemon.pid, 'sweep-d0')
        assert found and found.startswith('idle') == yields, found
        disk.command('clear')
        expect_clean(daemon.end(sweep_id), 'readable')
        daemon.stop()


if __name__ == '__main__':
    main()
