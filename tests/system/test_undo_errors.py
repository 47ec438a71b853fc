#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Disks and journals that fail while data is elsewhere: it comes back, or stays where it is and somebody is told."""

import os

from harness import SECTOR, UNIT, eventually, main, test
from keeping import ARMED, PINNED, kept_faultdisks, recover, recovered
from refusals import start_refused


def slow_pair(case, **keys):
    kept = kept_faultdisks(case, queue_depth=2, **keys)
    for disk in (kept.target, kept.journal):
        disk.command('delay all ms=2')
    return kept


def hurry(kept):
    for disk in (kept.target, kept.journal):
        disk.command('clear')


def overwritten(kept):
    """Waits until the pattern is on the target; a unit that bears it."""
    def some():
        return [u for u in kept.changed_units() if kept.target.read(u * UNIT, 4) != bytes(4)]
    return eventually('data is overwritten', lambda: some() or None, 30, 0.001)


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
        sweep = daemon.sweep('d0')
        assert sweep['verdict'] == 'faulty', sweep
        found = [(f['offset'], f['length'], f['fault']) for f in daemon.findings('d0')]
        assert (at, SECTOR, 'write_error') in found, found
        kept.expect_kept(f'mode {mode}')
        kept.target.command('clear')
        expect_swept_clean(daemon, kept)
        assert daemon.findings('d0') == [], daemon.findings('d0')
        daemon.stop()


@test
def originals_that_do_not_go_back_are_kept_for_a_person(case):
    kept = slow_pair(case)
    daemon = case.daemon([kept.entry()])
    sweep_id = daemon.begin('d0')
    unit = overwritten(kept)[0]
    kept.target.command(f'error write errno=EIO at={unit * UNIT} length={UNIT}')
    hurry_journal(kept)
    sweep = daemon.end(sweep_id)
    expect_end(sweep, 'restore_failed')
    eventually('the slot is pinned', lambda: PINNED in kept.states(), 30)
    assert kept.changed_units() == [unit], kept.changed_units()
    assert 'alert: d0: ' in daemon.log_text(), daemon.log_text()
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


def hurry_journal(kept):
    kept.journal.command('clear')


def refusal(daemon):
    device = daemon.device('d0')
    return device['reason'] if device['state'] == 'refused' else None


@test
def a_write_error_that_passes_leaves_no_trace_on_the_data(case):
    kept = slow_pair(case)
    daemon = case.daemon([kept.entry()])
    for _ in range(4):
        sweep_id = daemon.begin('d0')
        units = overwritten(kept)
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
        overwritten(kept)
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
    if midst:
        overwritten(kept)
    else:
        daemon.sweeping('d0')
    kept.journal.command(f'error {request} errno=EIO {times}')
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
    overwritten(kept)
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


@test
def what_a_journal_says_is_made_durable_before_it_is_believed(case):
    """Written by one that was killed, it may be in a cache: a power cut would take back what was built on it."""
    kept = slow_pair(case)
    daemon = case.daemon([kept.entry()])
    daemon.begin('d0')
    overwritten(kept)
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
    overwritten(kept)
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


if __name__ == '__main__':
    main()
