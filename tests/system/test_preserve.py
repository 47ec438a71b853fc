#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sweeps that keep the data: every byte is as it was, whatever comes in between, and the verdict is worth something."""

import contextlib
import hashlib
import os
import shutil
import tempfile
import time

from harness import (KIB, MIB, SECTOR, UNIT, DirectFile, LoopDevice, Skip, device_entry, eventually, expect_places,
                     main, need, run, sha256, test)
from keeping import (ARMED, FREE, PINNED, Kept, begin_all, journal_bytes, kept_faultdisks, kept_loops, long_form,
                     overwritten, recovered, told)
from refusals import expect_refused, start_refused

PASSES = {'preserve': 6, 'refresh': 4}


def journal_directory(case):
    """On a disk: what is in memory holds no journal."""
    path = tempfile.mkdtemp(prefix='sweepd-test-', dir='/var/tmp')
    case.undo(shutil.rmtree, path, True)
    return path


def expect_kept_clean(kept, sweep):
    assert (sweep['end'], sweep['verdict'], sweep['assurance'], sweep['findings']) == \
        ('finished', 'clean', 'verified', 0), f'not clean: {sweep}'
    total = PASSES[sweep['mode']] * kept.target.size
    assert sweep['bytes_total'] == total, sweep
    assert sweep['bytes_read'] + sweep['bytes_written'] + sweep['bytes_skipped'] == total, sweep
    kept.expect_kept('after a clean sweep')


def sweep_all(daemon, kept):
    return {name: daemon.end(sweep_id) for name, sweep_id in begin_all(daemon, [k.name for k in kept]).items()}


@test
def every_byte_is_as_it_was_after_a_clean_sweep(case):
    """Sizes that are no multiple of anything, block sizes, segments and both modes."""
    shapes = [(2 * MIB, '4K', 256 * KIB), (8 * MIB, '64K', MIB), (16 * MIB, '1M', 4 * MIB),
              (5 * MIB + 3 * SECTOR, '64K', MIB), (4 * MIB + UNIT, '512K', 512 * KIB), (64 * KIB, '16K', MIB)]
    kept = [kept_loops(case, f'd{i}', size, segment, block_size=block, mode=mode)
            for i, (size, block, segment, mode) in enumerate((*s, m) for s in shapes for m in ('preserve', 'refresh'))]
    daemon = case.daemon([k.entry() for k in kept])
    sweeps = sweep_all(daemon, kept)
    for k in kept:
        expect_kept_clean(k, sweeps[k.name])
        k.expect_blank_journal()
        assert daemon.device(k.name)['verdict'] == 'clean', daemon.device(k.name)


@test
def a_journal_can_be_a_file_in_a_directory(case):
    directory = journal_directory(case)
    kept = [Kept(name, case.loop(4 * MIB), directory, case.rng, mode=mode)
            for name, mode in (('d0', 'preserve'), ('d1', 'refresh'))]
    daemon = case.daemon([k.entry() for k in kept])
    sweeps = sweep_all(daemon, kept)
    for k in kept:
        expect_kept_clean(k, sweeps[k.name])
        path = os.path.join(directory, f'{k.name}.undo')
        assert os.stat(path).st_mode & 0o777 == 0o600, oct(os.stat(path).st_mode)
        k.expect_blank_journal()
    assert sorted(os.listdir(directory)) == ['d0.undo', 'd1.undo'], os.listdir(directory)


@test
def logical_blocks_of_4096_are_kept(case):
    target = case.loop(4 * MIB, sector_size=4096)
    kept = Kept('d0', target, case.loop(journal_bytes(MIB), sector_size=4096), case.rng)
    daemon = case.daemon([kept.entry()])
    expect_kept_clean(kept, daemon.sweep('d0'))


@test
def a_journal_of_exactly_the_size_is_large_enough(case):
    kept = Kept('d0', case.loop(4 * MIB), case.loop(journal_bytes(MIB)), case.rng)
    daemon = case.daemon([kept.entry()])
    expect_kept_clean(kept, daemon.sweep('d0'))


@test
def another_segment_makes_another_journal(case):
    kept = kept_loops(case, segment=MIB)
    daemon = case.daemon([kept.entry()])
    expect_kept_clean(kept, daemon.sweep('d0'))
    kept.keys['segment'] = '512K'
    daemon.configure([kept.entry()])
    daemon.stop()
    daemon.start()
    expect_kept_clean(kept, daemon.sweep('d0'))


def slow_faultdisks(case, *arguments, **keys):
    kept = kept_faultdisks(case, *arguments, **keys)
    for disk in (kept.target, kept.journal):
        disk.command('delay all ms=3')
    return kept


def hurry(kept):
    for disk in (kept.target, kept.journal):
        disk.command('clear')


@test
def status_tells_the_phases(case):
    for mode, expected in (('preserve', {'save', 'check', 'write', 'verify', 'restore'}),
                           ('refresh', {'save', 'check', 'restore'})):
        kept = slow_faultdisks(case, mode=mode, queue_depth=2)
        daemon = case.daemon([kept.entry()])
        sweep_id = daemon.begin('d0')
        seen = set()
        while not daemon.finished(sweep_id):
            progress = daemon.device('d0')['progress']
            if progress and progress['bytes_done'] > 0:
                assert progress['bytes_done'] <= progress['bytes_total'], progress
                seen.add(progress['phase'])
            time.sleep(0.005)
        assert seen == expected, f'{mode}: {seen}'
        expect_kept_clean(kept, daemon.end(sweep_id))
        daemon.stop()


def until_overwritten(kept, rng):
    """Returns in the midst of a segment whose originals are in the journal only."""
    eventually('data is overwritten', lambda: len(kept.changed_units()) > rng.randint(0, 100), 30, 0.001)


@test
def an_order_to_end_leaves_nothing_of_ours(case):
    kept = slow_faultdisks(case, queue_depth=2)
    daemon = case.daemon([kept.entry()])
    for order in ('cancel', 'stop', 'reload', 'pause', 'cancel', 'stop'):
        sweep_id = daemon.begin('d0')
        until_overwritten(kept, case.rng)
        if order == 'cancel':
            daemon.call('CancelSweep', device='d0')
            sweep = daemon.end(sweep_id)
            assert sweep['end'] == 'cancelled', sweep
        elif order == 'stop':
            daemon.stop(within_s=30)
            kept.expect_kept('after SIGTERM')
            daemon.start()
            # It goes on by itself, and is ended.
            eventually('it goes on', lambda: (daemon.device('d0')['progress'] or {}).get('sweep_id') == sweep_id)
            daemon.call('CancelSweep', device='d0')
            sweep = daemon.end(sweep_id)
            assert sweep['end'] == 'cancelled', sweep
        elif order == 'reload': # its device is not configured any more
            daemon.configure([])
            daemon.hup()
            eventually('d0 is gone', lambda: daemon.devices() == [], 30)
            daemon.configure([kept.entry()])
            daemon.hup()
            eventually('d0 is back', lambda: daemon.devices() != [], 30)
            eventually('all is put back', lambda: not kept.changed_units() and set(kept.states()) == {FREE}, 30)
        else:
            daemon.call('PauseSweep', device='d0')
            eventually('it is paused', lambda: daemon.device('d0')['state'] == 'paused')
            kept.expect_kept('paused')
            daemon.call('CancelSweep', device='d0')
            daemon.end(sweep_id)
        kept.expect_kept(order)
        assert daemon.findings(every=True) == [], daemon.findings(every=True)
    assert 'not swept' not in daemon.log_text(), 'it stood in its own way'
    hurry(kept)
    expect_kept_clean(kept, daemon.sweep('d0'))


@test
def a_reload_that_does_not_touch_the_device_lets_its_sweep_go_on(case):
    kept = slow_faultdisks(case)
    other = case.loop(4 * MIB)
    daemon = case.daemon([kept.entry()])
    sweep_id = daemon.begin('d0')
    until_overwritten(kept, case.rng)
    daemon.configure([kept.entry(), device_entry('d1', other)])
    daemon.hup()
    eventually('d1 is there', lambda: len(daemon.devices()) == 2)
    hurry(kept)
    expect_kept_clean(kept, daemon.end(sweep_id))


# What is refused.


@test
def a_journal_in_memory_is_refused(case):
    kept = Kept('d0', case.loop(4 * MIB), case.directory('memory'), case.rng)
    daemon = case.daemon([kept.entry()])
    reason = expect_refused(daemon, 'd0', 'journal_file_system', backing=kept.target.backing)
    assert 'tmpfs' in reason['found'], reason
    assert os.listdir(kept.journal) == []


@test
def a_journal_on_the_same_disk_is_refused(case):
    """A loop device whose file lies in the directory's file system shares its disk."""
    directory = journal_directory(case)
    path = os.path.join(directory, 'image')
    with open(path, 'wb') as file:
        file.write(case.rng.randbytes(4 * MIB))
    target = case.keep(LoopDevice(path))
    kept = Kept('d0', target, directory, case.rng)
    daemon = case.daemon([kept.entry()])
    expect_refused(daemon, 'd0', 'journal_shared_disk', backing=path)
    second = os.path.join(directory, 'second')
    journal = case.keep(LoopDevice(second, journal_bytes(MIB)))
    kept.keys['journal'] = journal.path
    daemon.configure([kept.entry()])
    daemon.stop()
    daemon.start()
    expect_refused(daemon, 'd0', 'journal_shared_disk', backing=path)
    assert sha256(second) == hashlib.sha256(bytes(journal.size)).hexdigest()


@test
def a_journal_device_that_holds_something_is_refused(case):
    kept = kept_loops(case)
    where = case.rng.randrange(MIB)
    kept.journal.write(where, b'x')
    daemon = case.daemon([kept.entry()])
    before = sha256(kept.journal.backing)
    expect_refused(daemon, 'd0', 'journal_foreign', backing=kept.target.backing)
    assert sha256(kept.journal.backing) == before, 'the journal device was written to'
    kept.journal.zero(where, 1)
    expect_kept_clean(kept, daemon.sweep('d0'))


@test
def a_journal_that_is_too_small_is_refused(case):
    kept = Kept('d0', case.loop(4 * MIB), case.loop(journal_bytes(MIB) - UNIT), case.rng)
    daemon = case.daemon([kept.entry()])
    before = sha256(kept.journal.backing)
    reason = expect_refused(daemon, 'd0', 'journal_space', backing=kept.target.backing)
    assert str(journal_bytes(MIB)) in reason['found'], reason
    assert sha256(kept.journal.backing) == before


@test
def a_full_file_system_of_the_journal_is_refused(case):
    need('mkfs.ext4', 'unshare')
    kept = kept_loops(case)
    small = case.loop(8 * MIB)
    run('mkfs.ext4', '-q', small.path)
    mount = case.directory('mount')
    kept.keys.update(journal=mount, segment='4M')
    daemon = case.daemon_not_started([kept.entry()])
    daemon.start(prefix=('unshare', '--mount', 'sh', '-c', f'mount {small.path} {mount} && exec "$@"', 'sh'))
    expect_refused(daemon, 'd0', 'journal_space', backing=kept.target.backing)
    assert set(os.listdir(f'/proc/{daemon.pid}/root{mount}')) == {'lost+found'}
    daemon.stop()


@test
def a_journal_in_use_is_refused(case):
    kept = kept_loops(case)
    daemon = case.daemon([kept.entry()])
    recovered(daemon, ['d0'])
    claim = os.open(kept.journal.path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    try:
        expect_refused(daemon, 'd0', 'journal_in_use', backing=kept.target.backing)
    finally:
        os.close(claim)
    expect_kept_clean(kept, daemon.sweep('d0'))


def cut_short(case, kept):
    """A daemon that was killed while data was overwritten; what was armed is still so."""
    daemon = case.daemon([kept.entry()])
    daemon.begin(kept.name)
    with overwritten(daemon, kept):
        daemon.kill9()
    assert ARMED in kept.states(), kept.states()
    return daemon


@test
def an_armed_journal_of_another_device_is_refused_and_kept(case):
    """Its only copy of somebody's data must not be overwritten for a device of today."""
    kept = slow_faultdisks(case)
    cut_short(case, kept)
    other = Kept('d0', case.loop(4 * MIB), kept.journal, case.rng, segment=512 * KIB)
    held = sha256(kept.journal.image)
    daemon = case.daemon([other.entry()])
    reason = expect_refused(daemon, 'd0', 'recovery', 'journal_foreign', backing=other.target.backing)
    assert kept.target.backing in reason['found'], reason
    assert sha256(kept.journal.image) == held, 'the journal was written to'
    daemon.stop()
    hurry(kept)
    mender = case.daemon([kept.entry()])
    recovered(mender, ['d0'])
    kept.expect_kept('after it was configured again')


@test
def a_symbolic_link_in_place_of_a_journal_is_refused(case):
    directory = journal_directory(case)
    victim = os.path.join(directory, 'victim')
    with open(victim, 'wb') as file:
        file.write(b'precious')
    os.symlink(victim, os.path.join(directory, 'd0.undo'))
    kept = Kept('d0', case.loop(4 * MIB), directory, case.rng)
    daemon = case.daemon([kept.entry()])
    expect_refused(daemon, 'd0', 'journal_damaged', backing=kept.target.backing)
    with open(victim, 'rb') as file:
        assert file.read() == b'precious'


# Data that is elsewhere.


@test(timeout_s=180)
def stamps_whose_journal_is_not_here_are_unrestored(case):
    """A copy of the disk, taken in the middle: nobody may write over what marks somebody's data as being elsewhere."""
    kept = slow_faultdisks(case, queue_depth=2)
    daemon = case.daemon([kept.entry()])
    sweep_id = daemon.begin('d0')
    with overwritten(daemon, kept) as lost:
        image = kept.target.read(0, kept.target.size)
    hurry(kept)
    expect_kept_clean(kept, daemon.end(sweep_id))
    runs = runs_of(lost)
    for mode in ('read', 'refresh', 'preserve'):
        copy = kept_loops(case, size=len(image), mode=mode)
        copy.original = image
        copy.target.write(0, image)
        reader = case.daemon([copy.entry() if mode != 'read' else device_entry('d0', copy.target, 'read')])
        sweep = reader.sweep('d0')
        assert (sweep['end'], sweep['verdict']) == ('finished', 'faulty'), sweep
        found = reader.findings('d0')
        expect_places(found, [(at * UNIT, count * UNIT, 'unrestored') for at, count in runs])
        for f in found:
            assert {'nonce', 'generation', 'target_id', 'sweep_started_us'} <= set(f['detail']), f
        copy.expect_kept(f'mode {mode}')
        assert sweep['stamps_seen'] == (len(lost) if mode == 'read' else 0), sweep
        reader.stop()


def runs_of(units):
    runs = []
    for unit in units:
        if runs and sum(runs[-1]) == unit:
            runs[-1][1] += 1
        else:
            runs.append([unit, 1])
    return runs


# Somebody else writes.


def write_as_dd(case, path, unit, buffered):
    source = os.path.join(case.directory('dd'), 'block')
    data = case.rng.randbytes(UNIT)
    with open(source, 'wb') as file:
        file.write(data)
    how = ['conv=notrunc,fsync'] if buffered else ['conv=notrunc', 'oflag=direct']
    run('dd', f'if={source}', f'of={path}', f'bs={UNIT}', f'seek={unit}', 'count=1', *how)
    return data


@test(timeout_s=long_form(120, 1200))
def bytes_of_somebody_else_stay_or_are_reported(case):
    """A plain open is kept out by nobody. Only between our last look at a block and our write to it can his bytes be
    lost, and then the sweep tells that somebody wrote."""
    histogram = {}
    pairs = [slow_faultdisks(case, f'd{i}', queue_depth=2) for i in range(5)]
    daemon = case.daemon([k.entry() for k in pairs])
    for _ in range(long_form(15, 100) // len(pairs)):
        ids = begin_all(daemon, [k.name for k in pairs])
        wrote = {}
        for k in pairs:
            time.sleep(case.rng.uniform(0, 0.3))
            unit = unit_for_dd(case, k)
            wrote[k.name] = unit, write_as_dd(case, k.target.path, unit, case.rng.random() < 0.3)
        for k in pairs:
            judge_foreign(daemon, k, daemon.end(ids[k.name]), *wrote[k.name], histogram)
    told(histogram)


def unit_for_dd(case, kept):
    """Anywhere, or where the sweep is at work."""
    armed = [s for s in kept.slots() if s.state != FREE]
    if armed and case.rng.random() < 0.8:
        slot = case.rng.choice(armed)
        return case.rng.randrange(slot.offset // UNIT, (slot.offset + slot.length) // UNIT)
    return case.rng.randrange(kept.target.size // UNIT)


def judge_foreign(daemon, kept, sweep, unit, data, histogram):
    place = unit * UNIT
    there = kept.target.read(place, UNIT)
    changed = kept.changed_units()
    assert set(changed) <= {unit}, f'{kept.name}: units {changed} changed; {unit} was written: {sweep}'
    is_told = sweep['end'] == 'failed' and sweep['reason']['rule'] == 'foreign_write'
    if there == data:
        what = 'stayed, and the sweep stopped' if is_told else 'stayed, and the sweep went by'
    else:
        assert there == kept.original[place:place + UNIT], f'{kept.name}: neither bytes at {place}: {there[:64]}'
        assert is_told, f'{kept.name}: the bytes at {place} are lost, and nothing was said: {sweep}'
        what = 'lost in the window, and told'
    histogram[what] = histogram.get(what, 0) + 1
    found = [f for f in daemon.findings(kept.name) if f['fault'] == 'foreign']
    if is_told:
        assert found and found[0]['state'] == 'open', daemon.findings(kept.name)
        daemon.call('Retire', device=kept.name)
    else:
        assert sweep['end'] == 'finished' and not found, (sweep, found)
    after_foreign(daemon, kept)
    kept.original = kept.original[:place] + there + kept.original[place + UNIT:]


def after_foreign(daemon, kept):
    """A slot that met somebody's bytes is a person's; the others are free."""
    device = eventually('it is at rest', lambda: at_rest(daemon, kept.name), 30)
    if PINNED not in kept.states():
        assert set(kept.states()) <= {FREE}, kept.slots()
        assert device['state'] == 'idle', device
        return
    assert start_refused(daemon, kept.name)['rule'] == 'rescue'
    kept.forget(daemon)


def at_rest(daemon, name):
    device = daemon.device(name)
    return device if device['state'] in ('idle', 'refused') else None


@test
def a_file_system_that_journals_data_by_its_own_default_takes_no_undo_journal(case):
    """Nothing in its mount options says so."""
    need('mkfs.ext4', 'tune2fs')
    kept = kept_loops(case)
    disk, where = case.loop(64 * MIB), case.directory('mnt')
    run('mkfs.ext4', '-q', disk.path)
    run('tune2fs', '-o', 'journal_data', disk.path)
    run('mount', disk.path, where)
    case.undo(run, 'umount', where)
    kept.keys['journal'] = where
    daemon = case.daemon([kept.entry()])
    expect_refused(daemon, 'd0', 'journal_no_direct_io')
    assert not kept.changed_units()


def write_past_the_count(path, base, kept, wrote, unit, data):
    """Through another device than the one that is swept: its count stays as it is."""
    with DirectFile(path) as file:
        file.write(base + unit * UNIT, data)
    wrote[unit] = data
    assert kept.target.read(unit * UNIT, UNIT) == data


def a_text(number):
    return (f'Line {number} of somebody who does not know of the sweep. '.encode() * UNIT)[:UNIT]


def expect_theirs_stay(daemon, kept, sweep, wrote):
    """Where they were read, their bytes are there and on the shelf, and all else is as it was."""
    assert (sweep['end'], sweep['reason'] and sweep['reason']['rule']) == ('failed', 'foreign_write'), sweep
    changed = kept.changed_units()
    assert changed == sorted(wrote), (changed, sorted(wrote))
    for unit, data in wrote.items():
        assert kept.target.read(unit * UNIT, UNIT) == data, f'unit {unit} is not what somebody wrote'
    found = [f for f in daemon.findings(kept.name) if f['fault'] == 'foreign']
    told = {at // UNIT for f in found for at in range(f['offset'], f['offset'] + f['length'], UNIT)}
    assert told == set(wrote), found
    eventually('it is at rest', lambda: at_rest(daemon, kept.name), 30)
    assert start_refused(daemon, kept.name)['rule'] == 'rescue' and PINNED in kept.states(), kept.slots()
    copies = [r['rescue'] for r in daemon.call_more('ListRescues', device=kept.name) if r['rescue']['kind'] == 'copy']
    assert {r['offset'] // UNIT for r in copies} == set(wrote), copies


@contextlib.contextmanager
def second_loop(disk, direct_io=True):
    """Another loop device over the same file, made in mid-sweep. One with direct I/O flushes the file as it is made."""
    path = run('losetup', '--find', '--show', f'--direct-io={"on" if direct_io else "off"}', disk.backing).stdout.strip()
    try:
        yield path
    finally:
        run('losetup', '--detach', path)


@test(timeout_s=180)
def what_a_second_loop_device_writes_in_mid_sweep_stays_where_it_is_read(case):
    """Text, bytes that look like nothing, zeros, and a few bytes in the midst of the pattern: the first device's count
    knows of none."""
    for kind in ('text', 'noise', 'zeros', 'few'):
        kept = slow_faultdisks(case, queue_depth=2)
        daemon = case.daemon([kept.entry()])
        sweep_id, wrote = daemon.begin('d0'), {}
        with overwritten(daemon, kept) as units, second_loop(kept.target) as path:
            for number, unit in enumerate(case.rng.sample(units, 3)):
                pattern = kept.target.read(unit * UNIT, UNIT)
                data = {'text': a_text(number), 'noise': case.rng.randbytes(UNIT), 'zeros': bytes(UNIT),
                        'few': case.rng.randbytes(3).join((pattern[:700], pattern[703:]))}[kind]
                write_past_the_count(path, 0, kept, wrote, unit, data)
        hurry(kept)
        sweep = daemon.end(sweep_id)
        for unit in wrote if kind == 'few' else ():  # the rest of their unit goes back
            original = kept.original[unit * UNIT:(unit + 1) * UNIT]
            wrote[unit] = original[:SECTOR] + wrote[unit][SECTOR:2 * SECTOR] + original[2 * SECTOR:]
        expect_theirs_stay(daemon, kept, sweep, wrote)
        daemon.stop()


@test(timeout_s=180)
def what_is_written_behind_originals_that_went_back_stays(case):
    """In mode refresh, which reads before its writes and behind them alone: while these are being flushed."""
    kept = kept_faultdisks(case, size=512 * KIB, mode='refresh', queue_depth=2)  # one segment
    kept.target.command('delay flush ms=6000')
    daemon = case.daemon([kept.entry()])
    before, wrote = written_bytes(kept.target), {}
    sweep_id = daemon.begin('d0')
    with second_loop(kept.target, direct_io=False) as path:
        eventually('the segment is written', lambda: written_bytes(kept.target) - before == kept.segment(), 30, 0.001)
        for unit in case.rng.sample(range(kept.segment() // UNIT), 3):
            write_past_the_count(path, 0, kept, wrote, unit, case.rng.randbytes(UNIT))
    hurry(kept)
    expect_theirs_stay(daemon, kept, daemon.end(sweep_id), wrote)


def written_bytes(disk):
    with open(f'/sys/block/{os.path.basename(disk.path)}/stat', encoding='ascii') as file:
        return int(file.read().split()[6]) * SECTOR


@test(timeout_s=180)
def what_goes_to_the_whole_disk_beside_a_swept_partition_stays_where_it_is_read(case):
    need('sfdisk', 'addpart', 'delpart')
    begin, size = MIB, 4 * MIB
    for kind in ('text', 'noise'):
        disk = case.faultdisk(8 * MIB)
        run('sh', '-c', f'echo "label: gpt\nstart={begin // SECTOR},size={size // SECTOR}" | '
            f'sfdisk -q --no-reread {disk.path}')
        add = run('addpart', disk.path, '1', str(begin // SECTOR), str(size // SECTOR), check=False)
        if add.returncode != 0:
            raise Skip('the kernel has no partitions')
        case.undo(run, 'delpart', disk.path, '1')
        part = Part(disk, begin, size)
        eventually('the partition appears', lambda p=part: os.path.exists(p.path), 5)
        kept = Kept('d0', part, case.faultdisk(journal_bytes(512 * KIB) + MIB), case.rng, 512 * KIB, queue_depth=2)
        for one in (disk, kept.journal):
            one.command('delay all ms=3')
        daemon = case.daemon([kept.entry()])
        sweep_id, wrote = daemon.begin('d0'), {}
        with overwritten(daemon, kept) as units:
            for number, unit in enumerate(case.rng.sample(units, 3)):
                data = a_text(number) if kind == 'text' else case.rng.randbytes(UNIT)
                write_past_the_count(disk.path, begin, kept, wrote, unit, data)
        for one in (disk, kept.journal):
            one.command('clear')
        expect_theirs_stay(daemon, kept, daemon.end(sweep_id), wrote)
        daemon.stop()


class Part:
    """A partition of a disk, as a target."""

    def __init__(self, disk, begin, size):
        self.disk, self.begin, self.size, self.path, self.backing = disk, begin, size, disk.path + 'p1', disk.backing

    def read(self, offset, length):
        return self.disk.read(self.begin + offset, length)

    def write(self, offset, data):
        self.disk.write(self.begin + offset, data)


if __name__ == '__main__':
    main()
