#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
A disk of the state directory that is full, or does not answer: write sweeps stop, read sweeps go on, what they find is
told meanwhile, and when the disk is back the ledger has all of it.
"""

import contextlib
import os
import sqlite3
import time

from harness import (
    MIB, UNIT, VarlinkError, device_entry, eventually, expect_clean, kill_and_wait, main, need, run, test,
    told_findings)

BACK_S = 30  # until a ledger is tried again, and used


def mounted(case, disk):
    """The directory of a file system on the disk, from before the daemon starts until after it has ended."""
    need('mkfs.ext4')
    run('mkfs.ext4', '-q', '-E', 'nodiscard', disk.path)
    path = case.directory('m')
    run('mount', disk.path, path)
    case.undo(run, 'umount', path)
    return path


def fill(path):
    """Up to the last byte."""
    with open(os.path.join(path, 'filler'), 'ab', buffering=0) as file:
        for size in MIB, UNIT, 1:
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                pass


def ledger(daemon):
    return daemon.call('GetDaemon')['daemon']['ledger']


def refuse_to_wait(daemon, method, **parameters):
    """The error with which it is answered at once."""
    began = time.monotonic()
    try:
        daemon.call_more(method, **parameters)
    except VarlinkError as error:
        assert time.monotonic() - began < 2, f'{method} was answered late'
        return error.name
    raise AssertionError(f'{method} was answered')


def stored(state):
    """What is in the ledger of a daemon that has ended: findings, the numbers of events, sweeps."""
    with contextlib.closing(sqlite3.connect(os.path.join(state, 'ledger.db'))) as db:
        return ({row[0]: row[1:] for row in db.execute('SELECT id, fault, state, count FROM findings')},
                [row[0] for row in db.execute('SELECT id FROM events ORDER BY id')],
                {row[0]: row[1] for row in db.execute('SELECT id, ended_as FROM sweeps')})


def expect_nothing_lost(daemon, state, sweeps):
    """What the daemon has in memory is in the ledger. Events have numbers without a gap."""
    told = {f['id']: (f['fault'], f['state'], f['count']) for f in daemon.findings()}
    daemon.stop()
    findings, events, ended = stored(state)
    assert findings == told, (findings, told)
    assert events == list(range(1, events[-1] + 1)), f'events are missing: {events}'
    for sweep, end in sweeps.items():
        assert ended.get(sweep) == end, f'sweep {sweep}: {ended}'


@test
def a_full_state_disk_stops_what_writes_and_loses_nothing(case):
    state = mounted(case, case.loop(24 * MIB))
    bad, spare = case.faultdisk(16 * MIB), case.loop(8 * MIB)
    for place in range(0, 16 * MIB, 256 * 1024):
        bad.command(f'error read at={place} length={UNIT}')
    daemon = case.daemon([
        device_entry('r0', bad, 'read', block_size='64K'), device_entry('p0', spare, block_size='64K')],
        state_dir=state)
    expect_clean(daemon.sweep('p0'))
    generation = daemon.sweeps('p0')[-1]['generation']
    fill(state)
    read = daemon.begin('r0')
    eventually('the ledger is full', lambda: ledger(daemon) == 'unavailable', 20)
    eventually('all is found', lambda: len(daemon.findings('r0')) == 64, 30)
    text = daemon.call('GetDaemon')['daemon']['ledger_text']
    assert 'No space left' in text and 'free some space' in text, text
    log = daemon.log_text()
    assert "the ledger can't be used" in log, log[-2000:]
    eventually('each fault is told', lambda: told_findings(daemon, 'r0') == 64, 40)
    assert daemon.ctl('status', check=False).returncode == 2, 'status says nothing'
    before = spare.read(0, 8 * MIB)
    try:
        write = daemon.end(daemon.begin('p0'))
        assert (write['end'], write['reason']['rule']) == ('failed', 'ledger_unavailable'), write
    except VarlinkError as error:
        assert error.name in ('io.sweepd.Refused', 'io.sweepd.LedgerUnavailable'), error
    assert spare.read(0, 8 * MIB) == before, 'something was written that the ledger does not know of'
    os.unlink(os.path.join(state, 'filler'))
    eventually('the ledger is back', lambda: ledger(daemon) == 'good', BACK_S)
    assert 'the ledger can be used again' in daemon.log_text()
    assert daemon.end(read)['findings'] == 64
    daemon.findings(every=True)
    expect_clean(daemon.sweep('p0'))
    assert daemon.sweeps('p0')[-1]['generation'] == generation + 1
    expect_nothing_lost(daemon, state, {read: 'finished'})


@test
def a_state_disk_that_hangs_holds_up_what_writes_alone(case):
    disk = case.faultdisk(24 * MIB)
    state = mounted(case, disk)
    bad, spare, late = case.faultdisk(16 * MIB), case.faultdisk(16 * MIB), case.loop(8 * MIB)
    for place in range(0, 16 * MIB, 256 * 1024):
        bad.command(f'error read at={place} length={UNIT}')
    delay = bad.command('delay read ms=200')
    spare.command('delay write ms=20')
    slow = {'block_size': '64K', 'queue_depth': 1}
    daemon = case.daemon([
        device_entry('r0', bad, 'read', **slow), device_entry('p0', spare, segment='1M', **slow),
        device_entry('r1', late, 'read')], state_dir=state)
    read, write = daemon.begin('r0'), daemon.begin('p0')
    daemon.sweeping('p0', 2 * MIB)
    disk.command('hang write,flush')
    eventually('the ledger hangs', lambda: ledger(daemon) == 'unavailable', 40)
    text = daemon.call('GetDaemon')['daemon']['ledger_text']
    assert 'does not answer' in text and state in text, text
    stopped = daemon.device('p0')['progress']['bytes_written']
    assert refuse_to_wait(daemon, 'ListSweeps') == 'io.sweepd.LedgerUnavailable'
    assert len(daemon.findings('r0')) < 64, 'it was too fast'
    bad.command(f'drop {delay}')
    eventually('all is found', lambda: len(daemon.findings('r0')) == 64, 30)
    eventually('each fault is told', lambda: told_findings(daemon, 'r0') == 64, 40)
    daemon.begin('r1')
    eventually('a sweep that only reads begins and ends', lambda: 'r1: sweep' in daemon.log_text() and
               daemon.device('r1')['last_sweep_ended_at'], 20)
    assert daemon.device('r1')['verdict'] == 'clean', daemon.device('r1')
    assert daemon.device('p0')['progress']['bytes_written'] == stopped, 'it wrote beyond the mark'
    disk.command('clear')
    disk.command('release')
    eventually('the ledger is back', lambda: ledger(daemon) == 'good', BACK_S)
    spare.command('clear')
    assert daemon.end(read)['findings'] == 64
    expect_clean(daemon.end(write))
    expect_nothing_lost(daemon, state, {read: 'finished', write: 'finished'})


@test
def a_ledger_of_a_later_version_keeps_the_daemon_from_starting(case):
    daemon = case.daemon([device_entry('d0', case.loop(8 * MIB))])
    expect_clean(daemon.sweep('d0'))
    daemon.stop()
    path = os.path.join(daemon.state, 'ledger.db')
    with contextlib.closing(sqlite3.connect(path)) as db:
        version = db.execute('PRAGMA user_version').fetchone()[0]
        db.execute(f'PRAGMA user_version = {version + 1}')

    def files():
        found = {}
        for name in sorted(os.listdir(daemon.state)):
            if os.path.isfile(os.path.join(daemon.state, name)) and name != 'lock':
                with open(os.path.join(daemon.state, name), 'rb') as file:
                    found[name] = file.read()
        return found
    before = files()
    process = daemon.spawn()
    try:
        assert process.wait(20) == 1, f'it ended with {process.returncode}'
    except BaseException:
        kill_and_wait(process)
        raise
    finally:
        daemon.process = None
    assert 'later version of sweepd' in daemon.log_tail(3), daemon.log_tail(5)
    assert files() == before, 'it was touched'


if __name__ == '__main__':
    main()
