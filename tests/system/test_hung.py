#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Disks that don't answer: they are told, nothing else waits for them, and they are noticed when they come back.

Hangs are kept short: a sync() anywhere on the machine waits for a loop device whose disk hangs.
"""

import fcntl
import os
import signal
import time

from harness import MIB, Daemon, device_entry, eventually, expect_clean, main, test

PROMPT_S = 1


def hung_entry(disk, mode='pattern', **keys):
    return device_entry('d0', disk, mode, block_size='64K', queue_depth=4, io_timeout='1s', **keys)


def prompt(ask):
    """Asks, and fails where the answer has to be waited for."""
    began = time.monotonic()
    answer = ask()
    took = time.monotonic() - began
    assert took < PROMPT_S, f'answered only after {took:.1f} s'
    return answer


def stalled(daemon):
    return eventually('d0 stalled', lambda: prompt(lambda: daemon.device('d0'))['state'] == 'stalled', 8)


def hanging(disk):
    eventually('a request hangs', lambda: int(disk.command('hanging')) > 0, 10)


def wake(disk, how='release'):
    disk.command('clear')
    disk.command(how)


def expect_hung(daemon, took_at_least_s):
    """One finding `hung` that tells how long it took; returns it."""
    found = [f for f in daemon.findings('d0') if f['fault'] == 'hung']
    assert len(found) == 1, daemon.findings('d0')
    assert found[0]['state'] == 'open' and found[0]['count'] == 1, found
    took_s = int(found[0]['detail']['latency_us']) / 1e6
    assert took_at_least_s <= took_s < took_at_least_s + 8, found
    return found[0]


def hang_and_wake(case, request, mode, at=2 * MIB):
    disk, other = case.faultdisk(8 * MIB), case.loop(16 * MIB)
    daemon = case.daemon([hung_entry(disk, mode), device_entry('d1', other)])
    disk.command('delay all ms=2')
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0')
    disk.command(f'hang {request}')
    hanging(disk)
    began = time.monotonic()
    stalled(daemon)
    device = daemon.device('d0')
    assert device['reason']['rule'] == 'hung' and device['needs_attention'], device
    found = daemon.findings('d0')
    assert [f['fault'] for f in found] == ['hung'] and 'latency_us' not in found[0]['detail'], found
    assert found[0]['detail']['request'] == request, found
    assert 0 < found[0]['length'] <= disk.size, found
    prompt(lambda: daemon.call('GetDaemon'))
    expect_clean(daemon.sweep('d1'))
    assert daemon.finished(sweep_id) is None
    hung_s = time.monotonic() - began
    wake(disk)
    sweep = daemon.end(sweep_id)
    assert (sweep['end'], sweep['verdict'], sweep['reason']['rule']) == ('failed', 'faulty', 'hung'), sweep
    assert sweep['findings'] == 1, sweep
    expect_hung(daemon, hung_s)
    waited = daemon.ctl('wait', 'd0', check=False, as_json=False)
    assert waited.returncode == 2 and 'faulty, failed' in waited.stdout and '1 finding' in waited.stdout, waited
    assert daemon.device('d0')['state'] != 'stalled'
    assert daemon.log_text().count('hung at offset') == 1, 'told more than once'
    expect_clean(daemon.sweep('d0'), 'verified' if mode == 'pattern' else 'readable')
    assert daemon.findings('d0') == [], 'a whole pass without it ends it'


@test
def a_hung_read_costs_its_own_sweep_alone(case):
    hang_and_wake(case, 'read', 'read')


@test
def a_hung_write_costs_its_own_sweep_alone(case):
    hang_and_wake(case, 'write', 'pattern')


@test
def a_hung_flush_costs_its_own_sweep_alone(case):
    hang_and_wake(case, 'flush', 'pattern')


@test
def a_wait_that_is_shorter_than_io_timeout_is_no_fault(case):
    disk = case.faultdisk(8 * MIB)
    daemon = case.daemon([device_entry('d0', disk, 'read', block_size='64K', io_timeout='10s')])
    disk.command(f'hang read at={2 * MIB} length=512')
    sweep_id = daemon.begin('d0')
    hanging(disk)
    time.sleep(2)
    wake(disk)
    expect_clean(daemon.end(sweep_id), 'readable')
    assert daemon.findings('d0') == []


@test
def a_daemon_that_stood_still_blames_no_disk(case):
    """As after a pause of the virtual machine: what was in flight is old by then, and nobody's fault."""
    disk = case.faultdisk(8 * MIB)
    daemon = case.daemon([hung_entry(disk, 'read')])
    disk.command('delay read ms=20')
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0')
    for _ in range(3):
        daemon.process.send_signal(signal.SIGSTOP)
        time.sleep(2.2)
        daemon.process.send_signal(signal.SIGCONT)
        time.sleep(0.1)
    expect_clean(daemon.end(sweep_id), 'readable')
    assert daemon.findings('d0', every=True) == []


@test
def a_hung_read_that_fails_in_the_end_is_two_findings(case):
    disk = case.faultdisk(8 * MIB)
    daemon = case.daemon([hung_entry(disk, 'read')])
    disk.command(f'hang read at={2 * MIB} length=512 times=1')
    sweep_id = daemon.begin('d0')
    hanging(disk)
    stalled(daemon)
    wake(disk, 'release errno=EIO')
    sweep = daemon.end(sweep_id)
    assert (sweep['end'], sweep['verdict'], sweep['findings']) == ('failed', 'faulty', 2), sweep
    assert {f['fault'] for f in daemon.findings('d0')} == {'hung', 'read_error'}, daemon.findings('d0')


@test
def a_disk_that_hangs_in_the_search_for_signatures_does_not_keep_its_caller(case):
    disk = case.faultdisk(8 * MIB)
    daemon = case.daemon([hung_entry(disk)])
    disk.command('hang read')
    began = time.monotonic()
    sweep_id = daemon.begin('d0')
    assert time.monotonic() - began < 5, 'StartSweep waited for the disk'
    stalled(daemon)
    found = daemon.findings('d0')
    assert [f['detail']['request'] for f in found] == ['probe'], found
    wake(disk)
    sweep = daemon.end(sweep_id)
    assert (sweep['end'], sweep['reason']['rule']) == ('failed', 'hung'), sweep
    assert (sweep['verdict'], sweep['findings']) == ('faulty', 1), sweep
    expect_hung(daemon, 1)
    expect_clean(daemon.sweep('d0'))


@test
def a_sweep_that_is_cancelled_before_it_began_is_in_the_history(case):
    disk = case.faultdisk(8 * MIB)
    daemon = case.daemon([hung_entry(disk)])
    disk.command('hang read')
    sweep_id = daemon.begin('d0')
    daemon.call('CancelSweep', device='d0')
    wake(disk)
    assert daemon.end(sweep_id)['end'] in ('cancelled', 'failed')


@test
def a_hung_disk_does_not_count_among_the_sweeps_that_are_allowed(case):
    disk, other = case.faultdisk(8 * MIB), case.loop(8 * MIB)
    daemon = case.daemon([hung_entry(disk, 'read'), device_entry('d1', other)], limits={'concurrent_sweeps': 1})
    disk.command('hang read')
    sweep_id = daemon.begin('d0')
    stalled(daemon)
    expect_clean(daemon.sweep('d1'))
    wake(disk)
    daemon.end(sweep_id)


def lock_is_free(daemon):
    with open(os.path.join(daemon.state, 'lock'), 'r+b') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@test
def a_daemon_ends_beside_a_hung_disk_and_its_successor_runs_at_once(case):
    disk, other = case.faultdisk(8 * MIB), case.loop(8 * MIB)
    entries = [hung_entry(disk), device_entry('d1', other)]
    first = case.daemon(entries)
    disk.command('delay write ms=2')
    first.begin('d0')
    first.sweeping('d0', MIB)
    disk.command('hang write')
    hanging(disk)
    stalled(first)
    swept = first.sweep('d1')
    process, first.process = first.process, None
    try:
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        eventually('the lock is released', lambda: lock_is_free(first), 10)
        second = Daemon(first.directory, start=False)
        second.configure(entries, verify={'workers': 2})
        case.keep(second)
        second.start()
        assert time.monotonic() - began < 12
        device = prompt(lambda: second.device('d0'))
        assert device['state'] == 'stalled' and device['needs_attention'], device
        assert str(process.pid) in device['reason']['found'], device
        assert [f['fault'] for f in second.findings('d0')] == ['hung'], second.findings('d0')
        assert second.finished(swept['id']), 'what had ended is not in the ledger'
        expect_clean(second.sweep('d1'))
    finally:
        wake(disk)
        assert process.wait(10) == 0
    eventually('d0 at rest', lambda: second.device('d0')['state'] == 'idle', 10)
    assert second.sweep('d0')['end'] == 'finished'


if __name__ == '__main__':
    main()
