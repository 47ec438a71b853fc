#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Disks that don't answer: they are told, nothing else waits for them, and they are noticed when they come back.

Where a disk can hang a daemon, and how that is made here: read, write and flush, by a fault disk; the search for
signatures, by reads that hang before the sweep has begun; opening, which waits for whoever changes the loop device, who
waits for a read that hangs; closing, where who closes last writes what others have left in the page cache.

Hangs are kept short: a sync() anywhere on the machine waits for a loop device whose disk hangs.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time

from harness import (MIB, UNIT, Client, Daemon, device_entry, die_with_parent, eventually, expect_clean, kill_and_wait,
                     main, program, test)
from keeping import ARMED, kept_faultdisks, overwritten, recover, recovered

PROMPT_S = 3  # what hangs here hangs until it is woken, which is after the question


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


def hang_and_wake(case, request, mode):
    disk, other = case.faultdisk(8 * MIB), case.loop(16 * MIB)
    daemon = case.daemon([hung_entry(disk, mode), device_entry('d1', other)])
    disk.command('delay all ms=20')
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
    daemon.expect_told('hung at offset', times=1)
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


READ_DIRECTLY = """
import mmap, os, sys
os.preadv(os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT), [mmap.mmap(-1, 4096)], 0)
"""

# What it was, once more: but for that the kernel waits until nothing is in flight, and who opens waits for the kernel.
CHANGE_LOOP = """
import fcntl, os, sys
LOOP_SET_STATUS64, LOOP_GET_STATUS64 = 0x4c04, 0x4c05
device, status = os.open(sys.argv[1], os.O_RDONLY), bytearray(232)
fcntl.ioctl(device, LOOP_GET_STATUS64, status)
print('now', flush=True)
fcntl.ioctl(device, LOOP_SET_STATUS64, bytes(status))
"""


def start_python(case, program, *arguments):
    process = subprocess.Popen([sys.executable, '-c', program, *arguments], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    case.undo(kill_and_wait, process)
    return process


def waits_in_the_kernel(process):
    with open(f'/proc/{process.pid}/stat', encoding='utf-8') as file:
        return file.read().rpartition(')')[2].split()[0] == 'D'


def hang_opening(case, disk):
    """From here on who opens the disk waits until it is woken."""
    disk.command('hang read')
    start_python(case, READ_DIRECTLY, disk.path)
    hanging(disk)
    change = start_python(case, CHANGE_LOOP, disk.path)
    assert change.stdout.readline() == 'now\n'
    eventually('the loop device is being changed', lambda: waits_in_the_kernel(change), 10)


def begin_without_waiting(case, daemon):
    """A caller waits some seconds for a disk that hangs. Returns what waits for the sweep's number."""
    client = Client(daemon.control)
    case.undo(client.socket.close)
    client.send('io.sweepd.StartSweep', {'device': 'd0'})
    return lambda: client.receive()['parameters']['sweep_id']


@test
def a_disk_that_hangs_while_it_is_opened_is_told_and_does_not_keep_the_daemon(case):
    disk, other = case.faultdisk(8 * MIB), case.loop(8 * MIB)
    daemon = case.daemon([hung_entry(disk), device_entry('d1', other)])
    hang_opening(case, disk)
    sweep_of = begin_without_waiting(case, daemon)
    began = time.monotonic()
    stalled(daemon)
    assert [f['detail']['request'] for f in daemon.findings('d0')] == ['open'], daemon.findings('d0')
    sweep_id = sweep_of()
    expect_clean(daemon.sweep('d1'))
    hung_s = time.monotonic() - began
    wake(disk)
    sweep = daemon.end(sweep_id)
    assert (sweep['end'], sweep['reason']['rule']) == ('failed', 'hung'), sweep
    assert (sweep['verdict'], sweep['findings']) == ('faulty', 1), sweep
    expect_hung(daemon, hung_s)
    assert daemon.device('d0')['state'] != 'stalled'
    expect_clean(daemon.sweep('d0'))
    assert daemon.findings('d0') == [], daemon.findings('d0')


def hang_closing(case, daemon, disk):
    """A sweep of the disk, of which nothing is left but to close it, which it never does. Its number."""
    delay = disk.command('delay read ms=50')
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0')
    disk.command('hang write')
    with open(disk.path, 'r+b') as file:
        file.write(case.rng.randbytes(UNIT))
    disk.let_go()
    disk.command(f'drop {delay}')
    hanging(disk)
    return sweep_id


@test
def a_disk_that_hangs_while_it_is_closed_is_told_in_its_sweep(case):
    disk, other = case.faultdisk(8 * MIB), case.loop(8 * MIB)
    daemon = case.daemon([hung_entry(disk, 'read'), device_entry('d1', other)])
    sweep_id = hang_closing(case, daemon, disk)
    began = time.monotonic()
    stalled(daemon)
    assert [f['detail']['request'] for f in daemon.findings('d0')] == ['close'], daemon.findings('d0')
    assert daemon.finished(sweep_id) is None
    expect_clean(daemon.sweep('d1'))
    hung_s = time.monotonic() - began
    wake(disk)
    sweep = daemon.end(sweep_id)
    assert (sweep['end'], sweep['verdict'], sweep['findings']) == ('finished', 'faulty', 1), sweep
    expect_hung(daemon, hung_s)
    assert daemon.device('d0')['state'] != 'stalled'


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


def waiting_for_journal(daemon, kept):
    stalled(daemon)
    device = prompt(lambda: daemon.device('d0'))
    assert device['reason']['rule'] == 'journal_hung' and device['needs_attention'], device
    assert kept.journal.path in device['reason']['found'] and device['reason']['remedy'], device
    assert daemon.findings('d0', every=True) == [], 'the device is blamed for its journal'


def expect_journal_told(daemon, kept):
    """Once or more often, as the daemon's looks fall: each with its end, and none is left."""
    asked = f'd0: a request to its undo journal in {kept.journal.path} was not answered within'
    daemon.expect_told(asked)
    eventually('its end is told', lambda: (daemon.log_text().count('its undo journal answers again') ==
                                           daemon.log_text().count(asked)), 20)
    assert daemon.findings('d0', every=True) == [], 'the device is blamed for its journal'


@test
def a_journal_that_hangs_is_told_as_such_and_its_sweep_waits_for_it(case):
    """Before the sweep has begun, and then whatever it is asked for."""
    kept, other = kept_faultdisks(case, queue_depth=2, io_timeout='1s'), case.loop(8 * MIB)
    daemon = case.daemon([kept.entry(), device_entry('d1', other)])
    recovered(daemon, ['d0'])
    kept.journal.command('hang read')
    sweep_of = begin_without_waiting(case, daemon)
    hanging(kept.journal)
    waiting_for_journal(daemon, kept)
    sweep_id = sweep_of()
    expect_clean(daemon.sweep('d1'))
    for request in ('write', 'flush', 'read'):
        kept.journal.command('clear')
        kept.journal.command(f'hang {request}')
        kept.journal.command('release')
        hanging(kept.journal)
        waiting_for_journal(daemon, kept)
    wake(kept.journal)
    expect_clean(daemon.end(sweep_id))
    kept.expect_kept('after a journal that hung')
    expect_journal_told(daemon, kept)


@test
def a_recovery_waits_for_a_journal_that_hangs_and_blames_no_device(case):
    kept = kept_faultdisks(case, queue_depth=2, io_timeout='1s')
    daemon = case.daemon([kept.entry()])
    kept.target.command('delay all ms=2')
    daemon.begin('d0')
    with overwritten(daemon, kept):
        daemon.kill9()
    kept.target.command('clear')
    kept.journal.command('hang read')
    daemon.start()
    hanging(kept.journal)
    waiting_for_journal(daemon, kept)
    wake(kept.journal)
    expect_journal_told(daemon, kept)
    recovered(daemon, ['d0'])
    kept.expect_kept('after a recovery that waited')


def lock_is_free(daemon):
    with open(os.path.join(daemon.state, 'lock'), 'r+b') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def ends_but_for_the_kernel(daemon, disk):
    """Whoever waits for the disk in the kernel can't be ended before it has answered; all else is over."""
    process, daemon.process = daemon.process, None
    process.send_signal(signal.SIGTERM)
    try:
        eventually('the lock is released', lambda: lock_is_free(daemon), 10)
    finally:
        wake(disk)
        assert process.wait(10) == 0


@test
def a_daemon_ends_while_a_disk_hangs_in_being_opened(case):
    """Its data is to be kept, but nothing of it is in a journal yet: that is not waited for."""
    disk = case.faultdisk(8 * MIB)
    daemon = case.daemon([device_entry('d0', disk, 'preserve')])
    recovered(daemon, ['d0'])
    hang_opening(case, disk)
    begin_without_waiting(case, daemon)
    eventually('it is being opened', lambda: daemon.device('d0')['progress'], 10)
    ends_but_for_the_kernel(daemon, disk)


@test
def an_end_waits_for_originals_only_so_long_and_leaves_them_to_the_next_start(case):
    """Two minutes, each second of which counts as twenty here. The disk is not taken to hang before that."""
    kept = kept_faultdisks(case, queue_depth=2)
    daemon = case.daemon_not_started([kept.entry()])
    daemon.program = program('SWEEPD_HASTY', 'tests/system/sweepd_hasty')
    daemon.start()
    kept.target.command('delay all ms=2')
    daemon.begin('d0')
    with overwritten(daemon, kept):
        kept.target.command('hang write')
    hanging(kept.target)
    process, daemon.process = daemon.process, None
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    try:
        eventually('the lock is released', lambda: lock_is_free(daemon), 60)
        assert time.monotonic() - began > 120 / 20 - 0.5, 'it did not wait'
        assert ARMED in kept.states(), kept.slots()
    finally:
        wake(kept.target)
        assert process.wait(10) == 0
    assert ARMED in kept.states() and kept.changed_units(), kept.slots()
    assert recover(daemon) == 0
    kept.expect_kept('after an end that could not wait')


@test
def a_daemon_ends_while_a_disk_hangs_in_being_closed(case):
    disk = case.faultdisk(8 * MIB)
    daemon = case.daemon([hung_entry(disk, 'read')])
    hang_closing(case, daemon, disk)
    process, daemon.process = daemon.process, None
    process.send_signal(signal.SIGTERM)
    try:
        eventually('the lock is released', lambda: lock_is_free(daemon), 10)
        with open(os.path.join(daemon.state, 'lock'), encoding='utf-8') as file:
            assert f'{process.pid} ' in file.read(), 'the next daemon is not told'
    finally:
        wake(disk)
        assert process.wait(10) == 0


@test
def a_daemon_ends_beside_a_hung_disk_and_its_successor_runs_at_once(case):
    disk, other = case.faultdisk(8 * MIB), case.loop(8 * MIB)
    entries = [hung_entry(disk), device_entry('d1', other)]
    first = case.daemon(entries)
    disk.command('delay write ms=20')
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
