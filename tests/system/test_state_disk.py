#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
A disk of the state directory that is full, or does not answer: write sweeps stop, read sweeps go on, what they find is
told meanwhile, and when the disk is back the ledger has all of it.
"""

import contextlib
import os
import sqlite3
import threading
import time

from harness import (
    MIB, UNIT, Client, VarlinkError, device_entry, eventually, expect_clean, kill_and_wait, main, need, run, test,
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
    daemon.expect_told("the ledger can't be used")
    eventually('each fault is told', lambda: told_findings(daemon, 'r0') == 64, 40)
    assert daemon.ctl('status', check=False).returncode == 2, 'status says nothing'
    before = spare.read(0, 8 * MIB)
    assert refuse_to_wait(daemon, 'StartSweep', device='p0') == 'io.sweepd.Refused'
    assert daemon.device('p0')['reason']['rule'] == 'ledger_unavailable', daemon.device('p0')
    assert spare.read(0, 8 * MIB) == before, 'something was written that the ledger does not know of'
    os.unlink(os.path.join(state, 'filler'))
    eventually('the ledger is back', lambda: ledger(daemon) == 'good', BACK_S)
    daemon.expect_told('the ledger can be used again')
    assert daemon.end(read)['findings'] == 64
    expect_clean(daemon.sweep('p0'))
    assert daemon.sweeps('p0')[-1]['generation'] == generation + 1
    expect_nothing_lost(daemon, state, {read: 'finished'})


class Asking(threading.Thread):
    """Asks the ledger as often as it can, while the daemon writes it; one transaction each time."""

    def __init__(self, state, sweep):
        super().__init__(daemon=True)
        self.sweep = sweep
        self.path = os.path.join(state, 'ledger.db')
        self.ending = threading.Event()
        self.seen = [(0, set())]

    def run(self):
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            while not self.ending.is_set():
                db.execute('BEGIN')
                ahead = db.execute('SELECT MAX(ahead_offset_bytes) FROM checkpoints WHERE sweep_id = ?',
                                   (self.sweep,)).fetchone()[0]
                found = {row[0] for row in db.execute('SELECT offset_bytes FROM findings')}
                db.execute('COMMIT')
                if self.seen[-1] != (ahead or 0, found):
                    self.seen.append((ahead or 0, found))

    def end(self):
        self.ending.set()
        self.join(10)
        return self.seen


def hangs(disk):
    return int(disk.command('hanging')) > 0


@test
def a_write_sweep_waits_at_its_mark_for_room_and_no_mark_is_durable_before_what_was_found(case):
    state = mounted(case, case.loop(24 * MIB))
    spare, other = case.faultdisk(8 * MIB), case.faultdisk(8 * MIB)
    keys = {'segment': '1M', 'block_size': '64K'}
    daemon = case.daemon([device_entry('p0', spare, **keys), device_entry('p1', other, **keys)], state_dir=state)
    spare.command('hang write at=0 length=512 times=1')
    other.command(f'hang write at={5 * MIB} length=512 times=1')
    write, paused = daemon.begin('p0'), daemon.begin('p1')
    asking = Asking(state, write)
    asking.start()
    case.undo(asking.end)
    for disk in spare, other:
        eventually('it is held', lambda d=disk: hangs(d), 20)
    bad = 4 * MIB - UNIT
    spare.command(f'hang read at={bad} length={UNIT} times=1')
    spare.command(f'hang write at={4 * MIB} length=512 times=1')
    spare.command('release')
    eventually('the mark behind the bad place is durable', lambda: asking.seen[-1][0] == 4 * MIB, 20)
    eventually('the bad place is held', lambda: hangs(spare), 20)
    spare.command(f'error read at={bad} length={UNIT}')
    fill(state)
    spare.command('release errno=EIO')
    eventually('the ledger is full', lambda: ledger(daemon) == 'unavailable', 20)
    eventually('what is written next is held', lambda: hangs(spare), 20)
    other.command('release')
    waits = eventually('it waits', lambda: daemon.device('p1')['reason'], 20)
    assert waits['rule'] == 'ledger_unavailable' and daemon.device('p1')['state'] == 'sweeping', waits
    with Client(daemon.control) as client:
        client.send('io.sweepd.PauseSweep', {'device': 'p1'})
        eventually('it is paused', lambda: daemon.device('p1')['state'] == 'paused', 20)
        os.unlink(os.path.join(state, 'filler'))
        spare.command('release')
        daemon.call('ResumeSweep', device='p1')
    swept = daemon.end(write)
    assert (swept['end'], swept['verdict']) == ('finished', 'faulty'), swept
    expect_clean(daemon.end(paused))
    assert [f['offset'] for f in daemon.findings()] == [bad], daemon.findings()
    early = [ahead for ahead, found in asking.end() if ahead > 4 * MIB and bad not in found]
    assert not early, f'marks were durable before what was found: {early}'
    expect_nothing_lost(daemon, state, {write: 'finished', paused: 'finished'})


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
def a_state_disk_that_hangs_from_the_start_on_keeps_nobody_from_asking_or_reading(case):
    disk = case.faultdisk(24 * MIB)
    state = mounted(case, disk)
    plain, spare, held, cold = (case.loop(8 * MIB) for _ in range(4))
    journal = os.path.join(state, 'journal')
    os.mkdir(journal)
    entries = [device_entry('r0', plain, 'read'), device_entry('p0', spare), device_entry('h0', held, 'read', every='30d'),
               device_entry('j0', cold, 'read', journal=journal, io_timeout='1s')]
    daemon = case.daemon(entries, state_dir=state)
    expect_clean(daemon.sweep('p0'))
    generation = daemon.sweeps('p0')[-1]['generation']
    eventually('the first sweep is over', lambda: daemon.device('h0')['verdict'] == 'clean', 20)
    daemon.call('PauseSweep', device='h0')
    daemon.kill9()
    run('umount', state)
    run('mount', disk.path, state)
    for name in os.listdir(state):  # names and sizes are in memory then, and nothing else
        os.stat(os.path.join(state, name))
    assert not os.path.exists(os.path.join(state, 'undo'))  # and that this is not there: nobody waits to be told
    disk.command('hang read')
    daemon.start(timeout_s=30, settled=False)
    eventually('it tells how the ledger is', lambda: ledger(daemon) == 'unavailable', 5)
    text = daemon.call('GetDaemon')['daemon']['ledger_text']
    assert 'does not answer' in text and state in text, text
    assert daemon.ctl('status', check=False).returncode == 2, 'status says nothing'
    assert refuse_to_wait(daemon, 'ListSweeps') == 'io.sweepd.LedgerUnavailable'
    read = daemon.begin('r0')
    eventually('a sweep that only reads ends', lambda: daemon.device('r0')['verdict'] == 'clean', 20)
    before = spare.read(0, 8 * MIB)
    assert refuse_to_wait(daemon, 'StartSweep', device='p0') == 'io.sweepd.Refused'
    assert daemon.device('p0')['reason']['rule'] == 'ledger_unavailable', daemon.device('p0')
    assert spare.read(0, 8 * MIB) == before, 'something was written that the ledger does not know of'
    eventually('its journal comes first', lambda: daemon.device('j0')['state'] == 'stalled', 20)
    reason = daemon.device('j0')['reason']
    assert reason['rule'] == 'journal_hung' and journal in reason['found'], reason
    assert daemon.findings() == [], 'a disk is blamed for another'
    disk.command('clear')
    disk.command('release')
    eventually('the ledger is back', lambda: ledger(daemon) == 'good', BACK_S)
    eventually('what was wanted of it counts', lambda: daemon.device('h0')['state'] in ('held', 'paused'), 20)
    expect_clean(daemon.end(read), 'readable')
    eventually('its journal was looked into', lambda: daemon.device('j0')['state'] == 'idle', 20)
    expect_clean(daemon.sweep('p0'))
    assert daemon.sweeps('p0')[-1]['generation'] == generation + 1
    daemon.stop()
    daemon.start()
    eventually('it is paused', lambda: (daemon.device('h0')['reason'] or {}).get('rule') == 'paused', 20)


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
