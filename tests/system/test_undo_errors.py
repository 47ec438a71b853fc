#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Disks and journals that fail while data is elsewhere: it comes back, or stays where it is and somebody is told."""

import fcntl
import os
import time

from harness import KIB, MIB, SECTOR, UNIT, Skip, eventually, expect_clean, kill_and_wait, main, test
from keeping import (ARMED, PINNED, Kept, journal_bytes, kept_faultdisks, overwritten, recover, recover_once,
                     recovered)
from refusals import expect_refused, start_refused


def slow_pair(case, **keys):
    kept = kept_faultdisks(case, queue_depth=2, **keys)
    for disk in (kept.target, kept.journal):
        disk.command('delay all ms=2')
    return kept


def hurry(kept):
    for disk in (kept.target, kept.journal):
        disk.command('clear')


def expect_end(sweep, rule):
    assert (sweep['end'], sweep['reason'] and sweep['reason']['rule']) == ('failed', rule), sweep


def expect_swept_clean(daemon, kept):
    sweep = daemon.sweep(kept.name)
    assert (sweep['end'], sweep['verdict'], sweep['assurance']) == ('finished', 'clean', 'verified'), sweep
    kept.expect_kept('after a clean sweep')


@test
def a_sector_that_takes_no_writes_is_told_and_keeps_its_data(case):
    for mode in ('preserve', 'refresh'):
        kept = kept_faultdisks(case, mode=mode)
        at = case.rng.randrange(kept.target.size // SECTOR) * SECTOR
        kept.target.command(f'error write errno=EIO at={at} length={SECTOR}')
        daemon = case.daemon([kept.entry()])
        for _ in range(2):  # it stands in nobody's way, and is told once
            sweep = daemon.sweep('d0')
            assert (sweep['end'], sweep['verdict']) == ('finished', 'faulty'), sweep
            found = [(f['offset'], f['length'], f['fault'], f['persistence']) for f in daemon.findings('d0')]
            assert found == [(at, SECTOR, 'write_error', 'persistent')], found
            kept.expect_kept(f'mode {mode}')
        assert 'rescue' not in daemon.log_text() and 'undo journal' not in daemon.log_text(), daemon.log_text()
        kept.target.command('clear')
        expect_swept_clean(daemon, kept)
        assert daemon.findings('d0') == [], daemon.findings('d0')
        daemon.stop()


@test
def a_place_that_takes_no_writes_and_all_the_time_to_narrow_it_ends_no_sweep(case):
    """Told as coarsely as it is known. What of it took the pattern goes back."""
    kept = kept_faultdisks(case, size=2 * MIB, narrow_budget='1s')
    at = case.rng.randrange(kept.target.size // SECTOR) * SECTOR
    kept.target.command(f'delay write at={at} length={SECTOR} ms=400')
    kept.target.command(f'error write errno=EIO at={at} length={SECTOR}')
    daemon = case.daemon([kept.entry()])
    sweep = daemon.sweep('d0')
    assert (sweep['end'], sweep['verdict']) == ('finished', 'faulty'), sweep
    found = daemon.findings('d0')
    assert {(f['fault'], f['persistence'], f['detail'].get('narrowed')) for f in found} == {
        ('write_error', 'unknown', 'no')}, found
    assert all(f['length'] > SECTOR for f in found), found
    assert any(f['offset'] <= at < f['offset'] + f['length'] for f in found), found
    kept.expect_kept('after it')
    kept.target.command('clear')
    expect_swept_clean(daemon, kept)
    assert daemon.findings('d0') == [], daemon.findings('d0')


@test
def originals_that_do_not_go_back_are_kept_for_a_person(case):
    kept = slow_pair(case)
    daemon = case.daemon([kept.entry()])
    sweep_id = daemon.begin('d0')
    with overwritten(daemon, kept) as units:
        unit = units[0]
        kept.target.command(f'error write errno=EIO at={unit * UNIT} length={UNIT}')
        kept.journal.command('clear')
    sweep = daemon.end(sweep_id)
    expect_end(sweep, 'restore_failed')
    eventually('the slot is pinned', lambda: PINNED in kept.states(), 30)
    assert kept.changed_units() == [unit], kept.changed_units()
    daemon.expect_told('alert: d0: ')
    lost = [f for f in daemon.findings('d0') if f['offset'] <= unit * UNIT < f['offset'] + f['length']]
    assert lost, daemon.findings('d0')
    # It stays so: over a start by hand, a restart, and --recover, which says that something is left.
    assert start_refused(daemon, 'd0')['rule'] == 'rescue'
    daemon.stop()
    daemon.start()
    refused = eventually('d0 is refused', lambda: refusal(daemon), 20)
    assert refused['rule'] == 'rescue', refused
    assert start_refused(daemon, 'd0')['rule'] == 'rescue'
    daemon.stop()
    assert recover(daemon) == 1
    assert PINNED in kept.states() and kept.changed_units() == [unit]
    kept.target.command('clear')
    assert recover(daemon) == 1, 'what is pinned is a person\'s, also when the disk takes writes again'


def refusal(daemon):
    device = daemon.device('d0')
    return device['reason'] if device['state'] == 'refused' else None


@test
def a_write_error_that_passes_leaves_no_trace_on_the_data(case):
    kept = slow_pair(case)
    daemon = case.daemon([kept.entry()])
    for _ in range(4):
        sweep_id = daemon.begin('d0')
        with overwritten(daemon, kept) as units:
            kept.target.command(f'error write errno=EIO at={units[0] * UNIT} length={UNIT} times=2')
        daemon.end(sweep_id)
        recovered(daemon, ['d0'])
        kept.expect_kept('after write errors')
        daemon.call('Retire', device='d0')
    hurry(kept)
    expect_swept_clean(daemon, kept)


@test
def a_flush_that_fails_once_loses_nothing(case):
    """What a failed flush lost, no later one brings back: the originals are written again."""
    kept = slow_pair(case)
    kept.target.command('cache volatile')
    daemon = case.daemon([kept.entry()])
    for _ in range(3):
        sweep_id = daemon.begin('d0')
        with overwritten(daemon, kept):
            kept.target.command('error flush errno=EIO times=1')
        sweep = daemon.end(sweep_id)
        assert sweep['verdict'] == 'faulty', sweep
        assert 'flush_error' in [f['fault'] for f in daemon.findings('d0')], daemon.findings('d0')
        kept.expect_kept('after a flush that failed')
        daemon.call('Retire', device='d0')


@test(timeout_s=240)
def a_journal_that_fails_ends_the_sweep_and_loses_nothing(case):
    """At the beginning, and in the midst of a segment; for a moment, and until somebody mends it."""
    kept = slow_pair(case)
    daemon = case.daemon([kept.entry()])
    for request in ('write', 'read', 'flush', 'all'):
        for times in ('times=1', 'times=20', ''):
            for midst in (False, True):
                what = f'{request} {times} {midst}'
                expect_journal_failure(case, daemon, kept, request, times, midst, what)
    hurry(kept)
    expect_swept_clean(daemon, kept)
    assert [f for f in daemon.findings(every=True) if f['fault'] != 'slow'] == [], daemon.findings(every=True)


def expect_journal_failure(case, daemon, kept, request, times, midst, what):
    sweep_id = daemon.begin('d0')
    fault = f'error {request} errno=EIO {times}'
    if midst:
        with overwritten(daemon, kept):
            kept.journal.command(fault)
    else:
        daemon.sweeping('d0')
        kept.journal.command(fault)
    sweep = daemon.end(sweep_id)
    expect_end(sweep, 'journal_failed')
    if times and ARMED not in kept.states():
        kept.expect_kept(what)
    kept.journal.command('clear')
    kept.journal.command('delay all ms=2')
    if ARMED in kept.states():
        daemon.stop(within_s=130)
        daemon.start()
        recovered(daemon, ['d0'])
    kept.expect_kept(what)


@test
def a_journal_that_is_taken_away_keeps_the_device_from_being_swept(case):
    kept = slow_pair(case)
    daemon = case.daemon([kept.entry()])
    sweep_id = daemon.begin('d0')
    with overwritten(daemon, kept):
        kept.journal.command('remove')
    expect_end(daemon.end(sweep_id), 'journal_failed')
    reason = start_refused(daemon, 'd0')
    assert reason['found'] and reason['remedy'], reason
    kept.journal.command('return')
    daemon.stop(within_s=130)
    assert recover(daemon) == 0
    kept.expect_kept('after the journal is back')
    daemon.start()
    hurry(kept)
    expect_swept_clean(daemon, kept)


def killed_when_overwritten(case, daemon, kept):
    daemon.begin(kept.name)
    with overwritten(daemon, kept):
        daemon.kill9()
    assert kept.changed_units() and ARMED in kept.states()


def expect_put_back(daemon, kept, timeout_s=60):
    eventually('it is at rest', lambda: daemon.device(kept.name)['progress'] is None and
               ARMED not in kept.states(), timeout_s)
    kept.expect_kept('in the end')


@test
def a_journal_that_can_not_be_read_for_a_moment_is_not_taken_for_an_empty_one(case):
    """Neither by the recovery, nor by the sweep that is to go on behind it and would save over it."""
    kept = slow_pair(case)
    daemon = case.daemon([kept.entry()])
    killed_when_overwritten(case, daemon, kept)
    hurry(kept)
    changed = kept.changed_units()
    kept.journal.command('error read at=0 length=8K times=4')
    assert recover(daemon) != 0
    assert kept.changed_units() == changed and ARMED in kept.states()
    kept.journal.command('clear')
    kept.journal.command('error read at=0 length=8K times=2')
    daemon.start()
    eventually('it is seen', lambda: kept.changed_units() != changed, 60)
    expect_put_back(daemon, kept)


@test
def a_journal_that_is_not_there_is_waited_for_and_found_wherever_it_was(case):
    kept = slow_pair(case)
    there = os.path.join(case.directory('j'), 'journal')
    os.symlink(kept.journal.path, there)
    kept.keys['journal'] = there
    daemon = case.daemon([kept.entry()])
    killed_when_overwritten(case, daemon, kept)
    hurry(kept)
    changed = kept.changed_units()
    os.unlink(there)
    daemon.start()
    device = eventually('it is refused', lambda: (d := daemon.device('d0'))['state'] == 'refused' and d)
    assert device['reason']['rule'] == 'journal_missing' and there in device['reason']['found'], device
    daemon.stop()
    # The configuration names another one by now; what is armed is in the old one all the same.
    other = case.faultdisk(kept.journal.size)
    daemon.configure([dict(kept.entry(), journal=other.path)])
    os.symlink(kept.journal.path, there)
    assert kept.changed_units() == changed
    assert recover(daemon) == 0
    kept.expect_kept('after the recovery')
    daemon.start()
    expect_clean(daemon.end(eventually('it goes on', lambda: daemon.sweeps('d0'))[-1]['id']))


@test
def the_journal_of_an_entry_that_is_gone_is_told_of_wherever_it_is(case):
    kept = slow_pair(case)
    daemon = case.daemon([kept.entry()])
    killed_when_overwritten(case, daemon, kept)
    hurry(kept)
    daemon.configure([])
    assert recover(daemon) != 0
    daemon.start()
    eventually('it is told', lambda: daemon.call('GetDaemon')['daemon']['unowned_journals'] == [kept.journal.path])
    daemon.configure([kept.entry()])
    daemon.call('Reload')
    eventually('it is nobody\'s no more', lambda: not daemon.call('GetDaemon')['daemon']['unowned_journals'], 60)
    expect_put_back(daemon, kept)


@test
def what_a_journal_says_is_made_durable_before_it_is_believed(case):
    """Written by one that was killed, it may be in a cache: a power cut would take back what was built on it."""
    kept = slow_pair(case)
    daemon = case.daemon([kept.entry()])
    daemon.begin('d0')
    with overwritten(daemon, kept):
        daemon.kill9()
    log = os.path.join(case.directory('log'), 'requests')
    kept.journal.command(f'log {log}')
    assert recover(daemon) == 0
    kept.journal.command('log off')
    kept.expect_kept('after --recover')
    with open(log, encoding='utf-8') as file:
        kinds = [line.split()[0] for line in file]
    assert 'flush' in kinds[:2] and 'read' not in kinds[:kinds.index('flush')], kinds[:10]


@test
def a_target_that_is_taken_away_is_put_right_when_it_is_back(case):
    kept = slow_pair(case)
    daemon = case.daemon([kept.entry()])
    sweep_id = daemon.begin('d0')
    with overwritten(daemon, kept):
        kept.target.command('remove')
    sweep = daemon.end(sweep_id)
    assert sweep['end'] == 'failed' and sweep['verdict'] != 'clean', sweep
    assert ARMED in kept.states(), kept.slots()
    daemon.stop(within_s=130)
    kept.target.command('return')
    daemon.start()
    recovered(daemon, ['d0'])
    kept.expect_kept('after the target is back')
    hurry(kept)
    expect_swept_clean(daemon, kept)


def data_place(kept, slot):
    """Where a slot of the journal holds what was saved: offset and length."""
    pages = -(-kept.segment() // UNIT)
    table = -(-pages // 480)
    return (2 + slot * (2 + table + pages) + 1 + table) * UNIT, pages * UNIT


@test
def a_journal_that_does_not_give_back_one_unit_loses_nothing_else(case):
    """Its markers and tables are good; what can't be read stays in it, and goes back when it can."""
    kept = slow_pair(case)
    daemon = case.daemon([kept.entry()])
    sweep_id = daemon.begin('d0')
    with overwritten(daemon, kept):
        slot, armed = next((i, s) for i, s in enumerate(kept.slots())
                           if s.state == ARMED and kept.changed_units(s.offset, s.length))
        # Not the first ones, which may have been read already to go back.
        unit = armed.length // UNIT - 1 - case.rng.randrange(8)
        kept.journal.command(f'error read errno=EIO at={data_place(kept, slot)[0] + unit * UNIT} length={UNIT}')
    expect_end(daemon.end(sweep_id), 'journal_failed')
    eventually('it has come to an end', lambda: refusal(daemon), 60)
    lost = armed.offset // UNIT + unit
    assert kept.changed_units() in ([], [lost]), (lost, kept.changed_units())
    if kept.changed_units():
        told = [f for f in daemon.findings('d0') if f['offset'] <= lost * UNIT < f['offset'] + f['length']]
        assert [f['fault'] for f in told] == ['unrestored'] and told[0]['length'] == UNIT, told
        assert PINNED in kept.states(), kept.slots()
        kept.journal.command('clear')
        for reply in daemon.call_more('ListRescues'):
            daemon.call('RetryRescue', id=reply['rescue']['id'])
    else:
        kept.journal.command('clear')
        daemon.stop(within_s=30)
        daemon.start()
    recovered(daemon, ['d0'])
    kept.expect_kept('after the journal can be read again')


@test
def a_journal_that_can_not_be_written_in_its_data_alone_loses_nothing(case):
    kept = slow_pair(case)
    daemon = case.daemon([kept.entry()])
    for slot in range(2):
        sweep_id = daemon.begin('d0')
        with overwritten(daemon, kept):
            at, length = data_place(kept, slot)
            kept.journal.command(f'error write errno=EIO at={at} length={length}')
        expect_end(daemon.end(sweep_id), 'journal_failed')
        daemon.stop(within_s=130)
        assert recover(daemon) == 0
        kept.expect_kept('after the journal took no data')
        kept.journal.command('clear')
        kept.journal.command('delay all ms=2')
        daemon.start()


@test
def what_can_not_be_erased_from_the_journal_is_told(case):
    """One segment: the second slot is never used, but is erased like the first."""
    kept = kept_faultdisks(case, size=512 * KIB, segment=512 * KIB)
    daemon = case.daemon([kept.entry()])
    expect_swept_clean(daemon, kept)
    assert 'could not be erased' not in daemon.log_text()
    at, length = data_place(kept, 1)
    kept.journal.command(f'error write errno=EIO at={at} length={length}')
    expect_swept_clean(daemon, kept)
    daemon.expect_told('could not be erased')
    assert 'Input/output error' in daemon.log_text() and kept.journal.path in daemon.log_text(), daemon.log_text()


@test
def nothing_goes_back_while_somebody_else_holds_the_disk(case):
    """The lock that a sweep takes is asked for, too, and waited for."""
    kept = slow_pair(case)
    daemon = case.daemon([kept.entry()])
    daemon.begin('d0')
    with overwritten(daemon, kept):
        daemon.kill9()
    hurry(kept)
    changed = kept.changed_units()
    holder = os.open(kept.target.path, os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(holder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    process = recover_once(daemon)
    try:
        eventually('it has opened the disk', lambda: has_open(process.pid, kept.target.path), 20)
        time.sleep(0.5)
        assert process.poll() is None, 'it did not wait for the lock'
        assert kept.changed_units() == changed, 'it did not wait for the lock'
        os.close(holder)
        assert process.wait(60) == 0
    finally:
        kill_and_wait(process)
    kept.expect_kept('after the lock was given back')


def has_open(pid, path):
    number = os.stat(path).st_rdev
    try:
        return any(os.stat(f'/proc/{pid}/fd/{fd}').st_rdev == number for fd in os.listdir(f'/proc/{pid}/fd'))
    except FileNotFoundError:
        return False


@test
def a_daemon_that_finds_the_disk_locked_says_so_and_tries_again_soon(case):
    kept = slow_pair(case)
    daemon = case.daemon([kept.entry()])
    daemon.begin('d0')
    with overwritten(daemon, kept):
        daemon.kill9()
    hurry(kept)
    holder = os.open(kept.target.path, os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(holder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    daemon.start(settled=False)
    # An end does not wait for it.
    eventually('it has opened the disk', lambda: has_open(daemon.pid, kept.target.path), 20)
    daemon.stop(within_s=20)
    assert ARMED in kept.states(), kept.slots()
    daemon.start()
    reason = eventually('it says so', lambda: refusal(daemon), 90)
    assert reason['rule'] == 'recovery_busy' and 'lock' in reason['found'], reason
    soon = daemon.device('d0')['next_start_at'] / 1e6 - time.time()
    assert soon < 60, f'it is tried again in {soon} s'
    daemon.stop(within_s=20)
    os.close(holder)
    daemon.start()
    eventually('all is put back', lambda: not kept.changed_units() and ARMED not in kept.states(), 60)
    eventually('d0 is idle', lambda: daemon.device('d0')['state'] == 'idle', 20)


@test
def large_logical_blocks_are_refused_for_what_keeps_the_data(case):
    try:
        target = case.loop(4 * MIB, sector_size=16384)
    except AssertionError as error:
        raise Skip(f'no logical blocks of 16384 bytes here: {error}') from None
    kept = Kept('d0', target, case.loop(journal_bytes(MIB)), case.rng)
    daemon = case.daemon([kept.entry()])
    reason = expect_refused(daemon, 'd0', 'logical_block', backing=target.backing)
    assert '16384' in reason['found'], reason
    kept.expect_kept('after a refusal')


if __name__ == '__main__':
    main()
