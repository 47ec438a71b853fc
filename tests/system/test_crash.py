#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
A daemon that dies, and disks that lose their power, at any moment of a sweep that keeps the data: once recovered, every
byte is as it was. Several devices are swept at a time, each at a place of its own, so that one death counts for each.
LONG=1 asks for the long form.
"""

import collections
import os
import signal
import time

from harness import KIB, MIB, main, need, run, test
from keeping import begin_all, kept_faultdisks, kept_loops, long_form, mend_in_some_way, told

DEVICES = 12


def faulty_pairs(case, modes=('preserve', 'preserve', 'preserve', 'refresh')):
    pairs = [kept_faultdisks(case, f'd{i}', 4 * MIB, 512 * KIB, mode=modes[i % len(modes)], queue_depth=4)
             for i in range(DEVICES)]
    for kept in pairs:
        slow_down(case, kept)
    return pairs


def slow_down(case, kept):
    """Each step gets its share of the time: requests take some, and those of one kind on one disk more."""
    for disk in (kept.target, kept.journal):
        disk.command('clear')
        disk.command('delay all ms=1')
    case.rng.choice((kept.target, kept.target, kept.journal)).command(
        f'delay {case.rng.choice(("read", "write", "write", "write", "flush"))} ms=4')


def sweep_for_a_while(case, daemon, pairs):
    """Returns at a random moment of the sweeps."""
    if daemon.process is None:
        daemon.start()
    begin_all(daemon, [k.name for k in pairs])
    time.sleep(case.rng.uniform(0, 0.9))


def at_work(daemon):
    return {d['name'] for d in daemon.devices() if d['progress'] and d['progress']['bytes_done'] > 0}


def expect_all_kept(pairs, what):
    for kept in pairs:
        kept.expect_kept(what)


def finish(daemon, pairs, *expected):
    """No fault was found but expected ones, which are over, and a whole sweep is still clean."""
    if daemon.process is None:
        daemon.start()
    for kept in pairs:
        for disk in (kept.target, kept.journal):
            disk.command('clear')
    names = [k.name for k in pairs]
    for sweep_id in begin_all(daemon, names).values():  # some go on, and bear what they met before they were cut short
        sweep = daemon.end(sweep_id)
        assert sweep['end'] == 'finished', sweep
    for sweep_id in begin_all(daemon, names).values():
        sweep = daemon.end(sweep_id)
        assert (sweep['end'], sweep['verdict'], sweep['findings']) == ('finished', 'clean', 0), sweep
    expect_all_kept(pairs, 'after the last sweep')
    found = [f for f in daemon.findings(every=True) if f['fault'] not in expected or f['state'] != 'resolved']
    assert found == [], found


@test(timeout_s=long_form(1200, 8000))
def kill_9_at_any_moment_loses_nothing(case):
    pairs = faulty_pairs(case)
    names = [k.name for k in pairs]
    daemon = case.daemon_not_started([k.entry() for k in pairs])
    histogram, killed, wanted = collections.Counter(), 0, long_form(200, 2000)
    while killed < wanted:
        sweep_for_a_while(case, daemon, pairs)
        busy = at_work(daemon)
        daemon.kill9()
        for kept in pairs:
            if kept.name in busy:
                histogram[kept.moment()] += 1
        killed += len(busy)
        mend_in_some_way(case, daemon, names, histogram)
        expect_all_kept(pairs, f'after {killed} kills')
        slow_down(case, case.rng.choice(pairs))
    told(histogram)
    finish(daemon, pairs)


def cut_power(case, daemon, pairs, histogram):
    """Of all disks at once, at a moment of the host; or of the disks while the daemon goes on, and sees them fail."""
    host_too = case.rng.random() < 0.6
    if host_too:
        daemon.process.send_signal(signal.SIGSTOP)
    disks = [disk for kept in pairs for disk in (kept.target, kept.journal)]
    case.rng.shuffle(disks)
    for disk in disks:
        how = case.rng.choice(('drop', 'keep', 'random', 'random'))
        disk.command(f'powercut {how} {case.rng.randrange(1 << 30)}' if how == 'random' else f'powercut {how}')
    if not host_too:
        histogram['(cuts that the daemon lived to see)'] += 1
        time.sleep(case.rng.uniform(0, 0.2))
    daemon.kill9()
    for disk in disks:
        disk.command('poweron')


@test(timeout_s=long_form(1200, 8000))
def power_cuts_that_drop_and_reorder_writes_lose_nothing(case):
    """Target and journal have volatile caches: of what was not flushed, each sector is lost or kept by itself."""
    pairs = faulty_pairs(case)
    names = [k.name for k in pairs]
    for kept in pairs:
        for disk in (kept.target, kept.journal):
            disk.command('cache volatile')
    daemon = case.daemon_not_started([k.entry() for k in pairs])
    histogram, cut, wanted = collections.Counter(), 0, long_form(200, 2000)
    while cut < wanted:
        sweep_for_a_while(case, daemon, pairs)
        busy = at_work(daemon)
        cut_power(case, daemon, pairs, histogram)
        for kept in pairs:
            if kept.name in busy:
                histogram[kept.moment()] += 1
        cut += len(busy)
        mend_in_some_way(case, daemon, names, histogram)
        expect_all_kept(pairs, f'after {cut} cuts')
        slow_down(case, case.rng.choice(pairs))
    told(histogram)
    finish(daemon, pairs, 'read_error', 'write_error', 'flush_error')  # seen by a daemon that lived on


def make_files(case, disk):
    """An ext4 on the disk with files of all sizes; what is in it, by name."""
    mount, sums = case.directory('mount'), {}
    source = case.directory('files')
    for n in range(60):
        with open(os.path.join(source, f'file{n}'), 'wb') as file:
            file.write(case.rng.randbytes(case.rng.choice((0, 100, 5000, 70000, 900000))))
    run('mkfs.ext4', '-q', '-E', 'nodiscard', '-d', source, disk.path)
    return mount, hashes(source)


def hashes(directory, *setup):
    """SHA-256 by name; setup: a command that is run before, in a mount namespace of its own."""
    script = ' '.join(setup) or 'true'
    text = run('unshare', '--mount', 'sh', '-ec', f'{script}; cd {directory}; sha256sum file*').stdout
    return dict(reversed(line.split()) for line in text.splitlines())


@test(timeout_s=600)
def a_file_system_is_whole_after_20_kills(case):
    need('mkfs.ext4', 'e2fsck', 'unshare')
    kept = kept_loops(case, size=48 * MIB, segment=4 * MIB)
    mount, sums = make_files(case, kept.target)
    kept.original = kept.target.read(0, kept.target.size)
    daemon = case.daemon_not_started([kept.entry()])
    histogram = collections.Counter()
    for number in range(20):
        if daemon.process is None:
            daemon.start()
        begin_all(daemon, ['d0'])
        time.sleep(case.rng.uniform(0, 0.4))
        daemon.kill9()
        histogram[kept.moment()] += 1
        mend_in_some_way(case, daemon, ['d0'], histogram)
        kept.expect_kept(f'after kill {number}')
        run('e2fsck', '-fn', kept.target.path)
    told(histogram)
    # A sweep has its disk for itself; a daemon that has none running keeps nobody out.
    found = hashes(mount, 'mount', '-o', 'ro', kept.target.path, mount)
    assert found == sums, set(found.items()) ^ set(sums.items())


if __name__ == '__main__':
    main()
