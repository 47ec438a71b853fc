#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Clocks that jump: NTP sets them, people do, and boards without a battery wake up in 1970. The daemon is the real one, but
for its clock on the wall, which is off by what a test says.
"""

import mmap
import os
import sqlite3
import struct
import time

from harness import (MIB, UNIT, device_entry, eventually, expect_clean, main, need, program, run, test,
                     zone_where_it_is)

HOUR, DAY = 3600, 86400
YEAR = 365 * DAY
SPREAD = 900  # what was missed begins within so many seconds


class Wall:
    """A daemon's clock on the wall."""

    def __init__(self, case):
        self.path = os.path.join(case.scratch, 'step')
        with open(self.path, 'wb') as file:
            file.write(bytes(8))
        with open(self.path, 'r+b') as file:
            self.step = mmap.mmap(file.fileno(), 8)
        self.by_s = 0

    def jump(self, to_s):
        """It is off by so much from now on."""
        self.by_s = to_s
        self.step[:] = struct.pack('=q', to_s * 10**6)

    def now(self):
        return time.time() + self.by_s

    def daemon(self, case, devices, env=None, **settings):
        daemon = case.daemon_not_started(devices, **settings)
        daemon.env = {'WALL_STEP': self.path, **(env or {})}
        daemon.program = program('SWEEPD_STEPPED', 'tests/system/sweepd_stepped')
        return daemon.start()


def begins_in(daemon, name, wall):
    """Seconds until the device's next sweep is to begin; None: it is not planned."""
    at = daemon.device(name)['next_start_at']
    return None if at is None else at / 1e6 - wall.now()


def slowly(name, disk, **keys):
    """Swept in about a minute, in small steps."""
    return device_entry(name, disk, 'read', rate_max='1M', block_size='64K', **keys)


def with_time(daemon, names, wall, count):
    """So many of those that are due now, and begin in some minutes: what was missed is spread by host and name, to any
    second of SPREAD."""
    def begin_late():
        begin = {name: begins_in(daemon, name, wall) for name in names}
        late = [name for name in names if begin[name] is not None and 60 < begin[name] < SPREAD + 1]
        return late[:count] if len(late) >= count else None
    return eventually(f'{count} are due', begin_late, 15)


@test
def who_is_missing_is_so_since_the_same_moment_when_the_clock_is_set(case):
    wall = Wall(case)
    wall.jump(-30 * YEAR)
    daemon = wall.daemon(case, [device_entry('d0', '/dev/sweepd-test-no-such-disk', 'read')])

    def year():
        reason = daemon.device('d0')['reason']
        return reason and int(reason['found'].split()[-2][:4])
    eventually('it is missed', lambda: year() == time.localtime(wall.now()).tm_year)
    wall.jump(0)
    eventually('the date is that of the clock', lambda: year() == time.localtime(wall.now()).tm_year)


@test
def a_file_that_is_removed_in_mid_sweep_is_made_and_swept_again_in_its_time(case):
    need('mkfs.ext4')
    disk, place, wall = case.loop(64 * MIB), case.directory('mnt'), Wall(case)
    run('mkfs.ext4', '-q', '-E', 'nodiscard', disk.path)
    run('mount', disk.path, place)
    case.undo(run, 'umount', place)
    path = os.path.join(place, 'canary')
    daemon = wall.daemon(case, [device_entry(
        'd0', path, create_size='16M', destroys_data=path, every='10m', segment='4M', block_size='64K', rate_min='4M',
        rate_max='4M')])
    daemon.sweeping('d0', 5 * MIB)
    os.unlink(path)
    failed = daemon.end(daemon.sweeps('d0')[0]['id'])
    assert failed['reason']['rule'] == 'missing', failed
    device = daemon.device('d0')
    assert (device['state'], device['needs_attention']) == ('idle', True), device
    assert 500 < begins_in(daemon, 'd0', wall) < 601, device
    wall.jump(2 * HOUR)
    eventually('it is swept again', lambda: len(daemon.sweeps('d0')) == 2, 40)
    expect_clean(daemon.end(daemon.sweeps('d0')[1]['id']))


@test
def jumps_start_no_storm_and_stall_nothing(case):
    wall = Wall(case)
    names = [f'd{i}' for i in range(12)]
    daemon = wall.daemon(case, [device_entry(name, case.loop(MIB), 'read', every='30d') for name in names] +
                         [slowly('busy', case.loop(40 * MIB))])
    for name in names:
        eventually(f'{name} was swept', lambda: daemon.sweeps(name) and daemon.sweeps(name)[0]['ended_at'], 30)
    daemon.begin('busy')

    def done():
        return daemon.device('busy')['progress']['bytes_done']

    for years, due in ((-30, True), (0, False), (10, True), (0, False), (-int(time.time() // YEAR), True), (0, False)):
        before = eventually('it sweeps', lambda: done() or None, 30)
        wall.jump(years * YEAR)
        if len(names) > 4:
            names = with_time(daemon, names, wall, 4)
        for name in names:
            if due:
                eventually(f'{name} is due {years} years away', lambda: begins_in(daemon, name, wall) < SPREAD + 1, 15)
            else:
                eventually(f'{name} is due in a month again', lambda: 29 * DAY < begins_in(daemon, name, wall) < 31 * DAY,
                           15)
        assert [len(daemon.sweeps(name)) for name in names] == [1] * 4, [daemon.sweeps(name) for name in names]
        eventually('the sweep goes on', lambda: done() > before, 15)
        for device in daemon.devices():
            assert 0 <= device['coverage'] <= 1 and device['state'] in ('idle', 'queued', 'sweeping'), device
    assert not any(daemon.device(name)['overdue'] for name in names), daemon.devices()
    daemon.call('CancelSweep', device='busy')


@test
def a_sweep_that_a_jump_meets_ends_clean_and_is_timed_by_the_other_clock(case):
    wall = Wall(case)
    daemon = wall.daemon(case, [device_entry('d0', case.loop(8 * MIB), 'read', every='30d', rate_max='2M',
                                             block_size='64K')])
    daemon.sweeping('d0')
    for jump in (5 * YEAR, -3 * DAY, 0):
        time.sleep(0.5)
        wall.jump(jump)
    sweep = eventually('it has ended', lambda: daemon.sweeps()[0] if daemon.sweeps()[0]['ended_at'] else None, 60)
    expect_clean(sweep, 'readable')
    assert 3 * 10**6 < sweep['running_us'] < HOUR * 10**6, sweep
    assert len(daemon.sweeps()) == 1 and 29 * DAY < begins_in(daemon, 'd0', wall) < 31 * DAY, daemon.device('d0')


@test
def a_first_sweep_that_begins_in_1970_has_its_period_from_when_it_really_began(case):
    """Boards without a battery: NTP sets the clock while the first sweep is under way, or rests."""
    wall = Wall(case)
    wall.jump(-int(time.time() // YEAR) * YEAR)
    daemon = wall.daemon(case, [device_entry(name, case.loop(16 * MIB), 'read', every='30d', rate_max='2M',
                                             block_size='64K') for name in ('d0', 'd1')])
    began = time.time()
    for name in ('d0', 'd1'):
        daemon.sweeping(name, MIB)
    daemon.call('PauseSweep', device='d1')
    eventually('it rests', lambda: daemon.device('d1')['state'] == 'paused')
    wall.jump(0)
    eventually('its start is dated anew', lambda: daemon.device('d0')['progress']['started_at'] / 1e6 > began - 60, 5)
    daemon.call('ResumeSweep', device='d1')
    for name in ('d0', 'd1'):
        sweep = eventually('it has ended', lambda: daemon.sweeps(name)[0] if daemon.sweeps(name)[0]['ended_at'] else None, 60)
        expect_clean(sweep, 'readable')
        assert began - 10 < sweep['started_at'] / 1e6 < time.time(), sweep
        device = daemon.device(name)
        assert device['state'] == 'idle' and not device['overdue'], device
        assert 29 * DAY < begins_in(daemon, name, wall) < 31 * DAY, device
    assert 'deadline' not in daemon.log_text(), daemon.log_text()
    daemon.stop()
    daemon.start()
    for name in ('d0', 'd1'):
        assert 29 * DAY < begins_in(daemon, name, wall) < 31 * DAY, name
    device = daemon.device('d0')
    assert device['coverage'] == 1 and device['oldest_checked_at'] / 1e6 >= began - 10, device


@test
def a_sweep_that_was_over_before_the_clock_was_set_is_made_again_and_nothing_was_missed(case):
    wall = Wall(case)
    wall.jump(-int(time.time() // YEAR) * YEAR)
    names = [f'd{i}' for i in range(6)]
    daemon = wall.daemon(case, [device_entry(name, case.loop(MIB), 'read', every='30d') for name in names])
    for name in names:
        eventually('it was swept', lambda: daemon.sweeps(name) and daemon.sweeps(name)[0]['ended_at'], 30)
        eventually('it is due in a month', lambda: 29 * DAY < begins_in(daemon, name, wall) < 31 * DAY, 15)
    wall.jump(0)
    name, = with_time(daemon, names, wall, 1)
    daemon.stop()
    daemon.start()
    device = daemon.device(name)
    assert begins_in(daemon, name, wall) < SPREAD + 1 and not device['overdue'], device
    time.sleep(3)
    assert 'deadline' not in daemon.log_text(), daemon.log_text()


@test
def a_sector_that_is_never_verified_is_told_by_its_finding_alone(case):
    wall, disk = Wall(case), case.faultdisk(16 * MIB)
    daemon = wall.daemon(case, [device_entry('d0', disk, every='40s'),
                                device_entry('gone', '/dev/sweepd-test-no-such-disk', 'read', every='40s')],
                         alerts={'repeat': '2s'})

    def periods():
        return sum(bool(sweep['ended_at']) for sweep in daemon.sweeps('d0'))
    for swept in range(1, 12):
        eventually(f'sweep {swept} of d0 has ended', lambda: periods() >= swept, 30)
        if 'gone: a part of it was never checked' in daemon.log_text():
            break
        if swept == 1:
            disk.command(f'error read at={7 * MIB} length={UNIT}')
        wall.jump(wall.by_s + 41)  # little enough to be no step of the clock
    eventually('the one that was never there is told', lambda: 'gone: a part of it was never checked' in daemon.log_text())
    device = daemon.device('d0')
    assert device['oldest_verified_at'] < device['oldest_checked_at'] - 120 * 10**6, device
    assert 'd0: a part of it was' not in daemon.log_text(), daemon.log_text()


@test
def after_a_boot_what_waited_is_spread_and_after_a_restart_it_goes_on_at_once(case):
    wall, closed = Wall(case), time.strftime('%a', time.gmtime(time.time() + 3 * DAY))
    rest, first = [f'rest{i}' for i in range(8)], [f'first{i}' for i in range(8)]
    disks = {name: case.loop(40 * MIB, sparse=True) for name in [*rest, *first, 'hand', 'new']}
    never = {'windows': [f'{closed} 12:00-12:01']}
    entries = [slowly(name, disks[name], every='30d') for name in rest] + [slowly('hand', disks['hand'], every='30d', **never)]
    daemon = wall.daemon(case, entries + [slowly(name, disks[name], every='30d', **never) for name in first])
    daemon.begin('hand')
    for name in [*rest, 'hand']:
        daemon.sweeping(name)
    daemon.stop()
    daemon.configure(entries + [slowly(name, disks[name], every='30d') for name in first])

    note = os.path.join(daemon.state, 'boot')
    with open(note, encoding='ascii') as file:
        boot = file.read()
    with open(note, 'w', encoding='ascii') as file:
        file.write('01234567-89ab-cdef-0123-456789abcdef\n')
    daemon.start()
    daemon.sweeping('hand')
    for names in (rest, first):
        late = [name for name in names if 60 < (begins_in(daemon, name, wall) or 0) < SPREAD + 1]
        assert len(late) >= len(names) // 2, [(name, begins_in(daemon, name, wall)) for name in names]
        for name in late:
            device = daemon.device(name)
            assert (device['state'], device['reason']['rule']) == ('queued', 'missed'), device
    with open(note, encoding='ascii') as file:
        assert file.read() == boot
    name = late[0]
    daemon.configure(entries + [slowly(name, disks[name], every='30d') for name in [*first, 'new']])
    daemon.hup()
    eventually('one that is new begins at once', lambda: 'new' in [d['name'] for d in daemon.devices()])
    daemon.sweeping('new')
    assert daemon.device(name)['state'] == 'queued', daemon.device(name)
    paused = next(name for name in rest if daemon.device(name)['state'] == 'queued')
    daemon.call('ResumeSweep', device=paused)
    daemon.sweeping(paused)

    daemon.stop()
    daemon.start()
    for name in [*rest, *first, 'hand', 'new']:
        daemon.sweeping(name)


@test
def windows_go_by_the_clock_on_the_wall(case):
    wall = Wall(case)
    daemon = wall.daemon(case, [slowly('d0', case.loop(40 * MIB), every='30d', windows=['03:00-04:00'])],
                         env=zone_where_it_is(3, 10))
    daemon.sweeping('d0')
    sweep_id = daemon.device('d0')['progress']['sweep_id']
    wall.jump(3 * HOUR)
    eventually('the window is closed', lambda: daemon.device('d0')['state'] == 'waiting', 20)
    wall.jump(DAY)
    eventually('it is open', lambda: daemon.device('d0')['state'] == 'sweeping', 30)
    wall.jump(0)
    assert daemon.device('d0')['progress']['sweep_id'] == sweep_id and len(daemon.sweeps()) == 1, daemon.sweeps()
    daemon.call('CancelSweep', device='d0')


@test(timeout_s=300)
def a_clock_that_is_years_ahead_makes_no_history_old(case):
    """Nor after a restart, when the newest events are by that clock, too."""
    wall = Wall(case)
    disk, busy = case.loop(MIB), case.loop(120 * MIB)
    daemon = wall.daemon(case, [device_entry('d0', disk, 'read')])
    for _ in range(2):
        expect_clean(daemon.sweep('d0'), 'readable')
    daemon.stop()
    now_us = int(time.time() * 1e6)

    def ask(question):
        with sqlite3.connect(f'{daemon.state}/ledger.db') as ledger:
            return ledger.execute(question).fetchone()[0]

    def of_before():
        return [ask(f'SELECT count(*) FROM {table} WHERE {at} < {now_us}')
                for table, at in (('events', 'at_us'), ('sweeps', 'started_us'))]

    before, aged_us = of_before(), ask('SELECT aged_us FROM ledger')
    assert before[0] > 2 and before[1] == 2 and aged_us < now_us, (before, aged_us)
    wall.jump(10 * YEAR)
    daemon.start()
    daemon.stop()
    daemon.start()
    # An hour in which it stands, but for steps that are too small to be one.
    daemon.configure([slowly('d1', busy), device_entry('d0', disk, 'read')])
    daemon.call('Reload')
    daemon.begin('d1')  # so that main looks each second
    while wall.by_s < 10 * YEAR + 1.1 * HOUR:
        time.sleep(1.1)
        wall.jump(wall.by_s + 55)
    eventually('history was pruned', lambda: ask('SELECT aged_us FROM ledger') > aged_us)
    assert ask('SELECT aged_us FROM ledger') == aged_us + 7 * DAY * 10**6
    assert of_before() == before, of_before()


if __name__ == '__main__':
    main()
