#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
The life of an alert, as a syslog daemon hears it: told once, again while nobody has acknowledged it, and once when it is
over; a burst in few messages that add up; and a device that nothing sweeps any more. /dev/log has a fixed path, so the
daemon runs in a mount namespace with a /dev of its own.
"""

import os
import re
import socket
import subprocess
import threading
import time
from bisect import bisect_left

from harness import KIB, MIB, UNIT, device_entry, eventually, expect_clean, main, need, program, test

IN_OWN_DEV = '''
mount -t tmpfs none /run && mkdir /run/dev && mount --rbind /dev /run/dev && mount -t tmpfs none /dev || exit 1
cp -a /run/dev/null /run/dev/zero /run/dev/random /run/dev/urandom /dev/ && mkdir /dev/shm || exit 1
for loop in /run/dev/loop*; do cp -a "$loop" /dev/ 2>/dev/null; done  # those of other tests may go meanwhile
mount --rbind /run/dev/shm /dev/shm && ln -s "$0" /dev/log && exec "$@"
'''


class Syslog:
    """What arrives at /dev/log: (priority, device, text)."""

    def __init__(self, case):
        self.path = os.path.join(case.directory('l'), 'log')
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.entries = []
        self.ending = False
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        case.keep(self)

    def _read(self):
        while not self.ending:
            text = self.socket.recv(65536).decode()
            found = re.match(r'<(\d+)>.*?sweepd\[\d+\]: (?:([a-z0-9._-]+): )?(.*)', text)
            if found:
                self.entries.append((int(found[1]) & 7, found[2], found[3]))

    def of(self, device, words):
        return [text for _, name, text in list(self.entries) if name == device and words in text]

    def expect_tests(self, daemon, count):
        """One more, of so many: each arrives once, and behind all that was told before."""
        daemon.call('TestAlert')
        eventually('the test arrives', lambda: len(self.of(None, 'this is a test of the alerts')) >= count)
        assert len(self.of(None, 'this is a test of the alerts')) == count, self.entries

    def start(self, case, devices, **settings):
        need('unshare')
        daemon = case.daemon_not_started(devices, **settings)
        return daemon.start(prefix=['unshare', '-m', '--propagation', 'slave', 'sh', '-c', IN_OWN_DEV, self.path])

    def close(self):
        self.ending = True
        self.socket.shutdown(socket.SHUT_RDWR)
        self.reader.join(10)
        self.socket.close()


@test
def a_finding_is_told_once_again_after_repeat_and_once_when_it_is_over(case):
    disk, log = case.faultdisk(8 * MIB), Syslog(case)
    disk.command(f'error read at={3 * MIB} length={UNIT}')
    daemon = log.start(case, [device_entry('d0', disk, 'read')], alerts={'repeat': '2s'})
    daemon.sweep('d0')
    eventually('it is told again', lambda: len(log.of('d0', 'It has been open since')) >= 2, 60)
    daemon.sweep('d0')
    told = log.of('d0', 'read_error at offset')
    assert sum('It has' not in text for text in told) == 1, told
    finding, = daemon.findings('d0')
    daemon.call('Acknowledge', ids=[finding['id']], comment='known')
    log.expect_tests(daemon, 1)  # what was told before has arrived
    again = len(log.of('d0', 'It has been open since'))
    disk.command('clear')
    expect_clean(daemon.sweep('d0'), 'readable')
    log.expect_tests(daemon, 2)
    assert len(log.of('d0', 'is over: a later pass')) == 1, log.entries
    assert len(log.of('d0', 'It has been open since')) == again, 'told again though acknowledged'


@test
def sweeps_that_find_only_what_was_acknowledged_are_no_warning(case):
    disk, log = case.faultdisk(8 * MIB), Syslog(case)
    disk.command(f'error read at={3 * MIB} length={UNIT}')
    daemon = log.start(case, [device_entry('d0', disk, 'read')])

    def loudness():
        daemon.sweep('d0')
        log.expect_tests(daemon, loudness.tests)
        loudness.tests += 1
        return [priority for priority, _, text in log.entries if 'finished: faulty' in text][-1]
    loudness.tests = 1
    assert loudness() == 4
    finding, = daemon.findings('d0')
    daemon.call('Acknowledge', ids=[finding['id']])
    assert loudness() == 6
    disk.command(f'error read at={5 * MIB} length={UNIT}')
    assert loudness() == 4, 'there is one more, which nobody has acknowledged'


@test
def a_repeat_is_not_forgotten_by_a_restart(case):
    disk, log = case.faultdisk(8 * MIB), Syslog(case)
    disk.command(f'error read at={3 * MIB} length={UNIT}')
    entry = device_entry('d0', disk, 'read')
    daemon = log.start(case, [entry], alerts={'repeat': '12h'})
    daemon.sweep('d0')
    daemon.stop()
    daemon.configure([entry], alerts={'repeat': '1s'})
    daemon.start(prefix=['unshare', '-m', '--propagation', 'slave', 'sh', '-c', IN_OWN_DEV, log.path])
    eventually('it is told again', lambda: log.of('d0', 'It has been open since'), 60)


class Program:
    """What `sweepctl follow --exec` runs; it notes what it was run for: (kind, device, text)."""

    def __init__(self, case, daemon):
        state = case.directory('p')
        self.noted = os.path.join(state, 'noted')
        program_path = os.path.join(state, 'program')
        with open(program_path, 'w') as file:
            file.write(f'#!/bin/sh\nprintf "%s\\t%s\\t%s\\n" "$SWEEPD_KIND" "$SWEEPD_DEVICE" "$SWEEPD_TEXT" >> {self.noted}\n')
        os.chmod(program_path, 0o755)
        self.process = subprocess.Popen(
            [program('SWEEPCTL', 'tools/sweepctl'), '--socket', daemon.control, 'follow', '--exec', program_path],
            stdin=subprocess.DEVNULL, env={**os.environ, 'STATE_DIRECTORY': state})
        case.keep(self)
        eventually('it listens', lambda: os.path.exists(os.path.join(state, 'position')))

    def runs(self):
        if not os.path.exists(self.noted):
            return [('none yet', None, None)]
        with open(self.noted) as file:
            return [line.rstrip('\n').split('\t') for line in file if line.endswith('\n')]

    def close(self):
        self.process.terminate()
        self.process.wait(30)


def sum_of_new(texts):
    """How many findings these texts tell for the first time, one by one and in sums."""
    sums = [re.search(r'(\d+) new', text) for text in texts if 'messages of findings within' in text]
    one_by_one = [text for text in texts if 'bit_flip at offset' in text and 'It has' not in text and 'is over' not in text]
    return sum(int(s[1]) for s in sums if s) + len(one_by_one)


def sum_of_over(texts):
    sums = [re.match(r'(\d+) more finding.* over within', text) for text in texts]
    return sum(int(s[1]) for s in sums if s) + sum('is over: a later pass' in text for text in texts)


def flip_a_bit(disk, places):
    with open(disk.backing, 'r+b') as file:
        for place in places:
            file.seek(place * UNIT + 2 * KIB)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))


@test
def ten_thousand_findings_are_a_few_messages_and_program_runs_whose_counts_are_exact(case):
    expected = {'d0': 4000, 'd1': 3500, 'd2': 2500}  # of one sweep at most 4,096 are kept apart
    disks, log = {name: case.loop(32 * MIB) for name in expected}, Syslog(case)
    daemon = log.start(case, [device_entry(name, disk) for name, disk in disks.items()])
    for swept in daemon.sweep_all(disks).values():
        expect_clean(swept)
    for name, disk in disks.items():
        flip_a_bit(disk, case.rng.sample(range(0, disk.units(), 2), expected[name]))
    runner = Program(case, daemon)
    daemon.sweep_all(disks)
    assert {name: len(daemon.findings(name)) for name in disks} == expected

    def heard(name):
        return [text for _, device, text in list(log.entries) if device == name]

    def run_for(name):
        return [text for _, device, text in runner.runs() if device == name]
    for name, count in expected.items():
        eventually(f'each of {name} is told', lambda name=name, count=count: sum_of_new(heard(name)) == count)
    for swept in daemon.sweep_all(disks).values():
        expect_clean(swept)
    for name, count in expected.items():
        eventually(f'the end of each of {name} is told', lambda name=name, count=count: sum_of_over(heard(name)) == count)
    log.expect_tests(daemon, 1)
    eventually('all programs were run', lambda: runner.runs()[-1][0] == 'test', 60)
    for name, count in expected.items():
        assert (sum_of_new(heard(name)), sum_of_new(run_for(name))) == (count, count), name
        assert len(heard(name)) < 80, f'{name}: {len(heard(name))} messages'
        assert len(run_for(name)) < 80, f'{name}: {len(run_for(name))} runs'
    print(f'# {len(log.entries)} messages, {len(runner.runs())} runs of the program')


def bytes_bad(finding):
    return int(finding['detail'].get('bytes_bad', finding['length']))


@test
def ten_thousand_faults_of_one_disk_are_kept_in_fewer_findings_that_account_for_each(case):
    count, most = 10_000, 4096
    disk, log = case.loop(96 * MIB), Syslog(case)
    entry = device_entry('d0', disk)
    daemon = log.start(case, [entry])
    expect_clean(daemon.sweep('d0'))
    damaged = sorted(case.rng.sample(range(0, disk.units(), 2), count))
    flip_a_bit(disk, damaged)
    daemon.configure([{**entry, 'rate_max': '60M'}])
    daemon.call('Reload')
    sweep_id = daemon.begin('d0')
    answers = []
    while not daemon.finished(sweep_id):
        shown = daemon.ctl('status')['devices'][0]
        answers += [(shown['state'], shown['findings_open'])]
        time.sleep(0.05)
    sweep = daemon.end(sweep_id)
    assert any(state == 'sweeping' and found for state, found in answers), answers
    found = daemon.ctl('errors', 'd0')['findings']
    assert sweep['verdict'] == 'faulty' and sweep['findings'] == len(found) <= most, (sweep, len(found))
    assert sum(bytes_bad(f) for f in found) == count * UNIT
    for f in found:
        inside = bisect_left(damaged, (f['offset'] + f['length']) // UNIT) - bisect_left(damaged, f['offset'] // UNIT)
        assert bytes_bad(f) == inside * UNIT, (f, inside)
        assert inside == 1 or 'too many faults to keep them apart' in f['detail']['coarse'], f

    def heard():
        return [text for _, device, text in list(log.entries) if device == 'd0']
    eventually('each is told', lambda: sum_of_new(heard()) == len(found))
    log.expect_tests(daemon, 1)
    assert sum_of_new(heard()) == len(found) and len(heard()) < 40, heard()
    print(f'# {len(found)} findings, {len(heard())} messages, {len(answers)} answers of status meanwhile')


@test
def a_device_that_nothing_sweeps_any_more_is_told_until_it_is_swept_again(case):
    disk, log = case.loop(4 * MIB), Syslog(case)
    daemon = log.start(case, [device_entry('d0', disk, 'read', every='2s'),
                              device_entry('gone', '/dev/sweepd-test-no-such-disk', 'read', every='1s'),
                              device_entry('rare', '/dev/sweepd-test-nor-this-one', 'read')], alerts={'repeat': '2s'})
    eventually('d0 was swept', lambda: daemon.device('d0')['oldest_checked_at'])
    daemon.call('PauseSweep', device='d0')
    eventually('the one that was never there is told', lambda: log.of('gone', 'never checked'), 60)
    assert log.of('gone', 'It is missing: there is no device at'), log.entries
    eventually('the paused one is told, and told again', lambda: len(log.of('d0', 'It is held')) >= 2, 60)
    assert daemon.device('d0')['needs_attention']
    daemon.call('ResumeSweep', device='d0')
    eventually('its end is told', lambda: log.of('d0', 'it is checked again'), 60)
    assert log.of('rare', 'three periods') == [], 'nobody asked for periods'


@test
def a_device_that_is_to_be_verified_is_told_though_it_is_read_all_the_time(case):
    disk, log = case.loop(4 * MIB), Syslog(case)
    far = time.strftime('%a', time.gmtime(time.time() + 3 * 86400))
    daemon = log.start(case, [device_entry('d0', disk, every='2s', windows=[f'{far} 12:00-12:01'])],
                       alerts={'repeat': '2s'})

    def read_until(what, holds):
        """What was read last is never as old as two of its periods, unless the machine stands still."""
        def read():
            expect_clean(daemon.sweep('d0', mode='read'), 'readable')
            return holds()
        eventually(what, read, 60)
    read_until('it is told', lambda: log.of('d0', 'never verified, and has waited for it since'))
    device = daemon.device('d0')
    assert device['oldest_checked_at'] and not device['oldest_verified_at'] and device['needs_attention'], device
    verified = daemon.sweep('d0')
    expect_clean(verified)
    eventually('its end is told', lambda: log.of('d0', 'it is verified again'), 60)
    read_until('it is told', lambda: log.of('d0', 'a part of it was not verified since'))
    assert daemon.device('d0')['oldest_verified_at'] <= verified['ended_at'], daemon.device('d0')


main()
