#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Damage that is done behind a device's back between two sweeps: each is found by the next one, at its exact place, as
what it is, and nothing else is.
"""

import time

from harness import (KIB, MIB, SECTOR, UNIT, VarlinkError, device_entry, eventually, expect_clean, expect_places, main,
                     test)
from refusals import start_refused

BLOCK_SIZES = ['4K', '8K', '16K', '32K', '64K', '128K', '256K', '512K', '1M']
RUNS = 20


def name_of(block_size):
    return 'b' + block_size.lower()


class Damager:
    """Damages a swept disk at random places that don't touch each other, and knows what must be found."""

    def __init__(self, disk, rng, old, before):
        self.disk = disk
        self.rng = rng
        self.old = old  # the whole device as the sweep before the last one left it, or None
        # A fault that touches an open finding of the sweep before makes that one larger.
        self.avoided = before.taken if before else set()
        self.taken = set()
        self.expected = []

    def place(self, units, first=None):
        """Takes a free stretch of units, with a sound unit on each side. The last unit may be a short one: left out."""
        while True:
            start = first if first is not None else self.rng.randrange(self.disk.units() - 1 - units)
            around = set(range(start - 1, start + units + 1))
            if not around & (self.taken | self.avoided) or (first is not None and not around & self.taken):
                self.taken |= set(range(start, start + units))
                return start
            assert first is None, 'the place is taken'

    def note(self, unit, count, fault):
        end = min((unit + count) * UNIT, self.disk.size)
        self.expected.append((unit * UNIT, end - unit * UNIT, fault))

    def flip(self, unit):
        """At an edge of the disk, too: the place may be given."""
        unit = self.place(1, unit)
        self.disk.flip_bits(unit * UNIT, self.rng.randint(1, 3), self.rng, self.disk.unit_length(unit))
        self.note(unit, 1, 'bit_flip')

    def zero(self):
        count = self.rng.randint(1, 12)
        unit = self.place(count)
        self.disk.zero(unit * UNIT, count * UNIT)
        self.note(unit, count, 'zeroed')

    def swap_units(self):
        one, other = self.place(1), self.place(1)
        self.disk.swap(one * UNIT, other * UNIT)
        self.note(one, 1, 'misdirected')
        self.note(other, 1, 'misdirected')

    def swap_sectors(self):
        one, other = self.place(1), self.place(1)
        sectors = [unit * UNIT + self.rng.randrange(UNIT // SECTOR) * SECTOR for unit in (one, other)]
        self.disk.swap(*sectors, SECTOR)
        self.note(one, 1, 'misdirected')
        self.note(other, 1, 'misdirected')

    def put_back_old(self):
        count = self.rng.randint(1, 3)
        unit = self.place(count)
        self.disk.write(unit * UNIT, self.old[unit * UNIT:(unit + count) * UNIT])
        self.note(unit, count, 'stale')

    def garbage(self):
        unit = self.place(1)
        self.disk.write(unit * UNIT, self.rng.randbytes(UNIT))
        self.note(unit, 1, 'garbage')

    def everywhere(self):
        self.flip(0)
        self.flip(self.disk.units() - 1)
        for damage in self.rng.sample([self.zero, self.swap_units, self.swap_sectors, self.garbage], 3):
            damage()
        self.flip(self.place_in_last_blocks())
        self.flip(None)
        if self.old:
            self.put_back_old()

    def place_in_last_blocks(self):
        """A unit among the last that are in flight at the end of a pass."""
        tail = min(self.disk.units() // 2, 256)
        while True:
            unit = self.disk.units() - 3 - self.rng.randrange(tail)
            if not {unit - 1, unit, unit + 1} & (self.taken | self.avoided):
                return unit


def damage_is_found_exactly(case, workers):
    disks = {name_of(size): case.loop(8 * MIB + SECTOR) for size in BLOCK_SIZES}
    daemon = case.daemon(
        [device_entry(name_of(size), disks[name_of(size)], block_size=size, segment='4M',
                      queue_depth=case.rng.choice([1, 2, 16])) for size in BLOCK_SIZES], workers=workers)
    old = dict.fromkeys(disks)
    damagers = dict.fromkeys(disks)
    for sweep in daemon.sweep_all(disks).values():
        expect_clean(sweep)
    for run in range(RUNS):
        for name, disk in disks.items():
            now = disk.read(0, disk.size)
            damagers[name] = Damager(disk, case.rng, old[name], damagers[name])
            damagers[name].everywhere()
            old[name] = now
        for name, sweep in daemon.sweep_all(disks).items():
            try:
                assert (sweep['end'], sweep['verdict']) == ('finished', 'faulty'), sweep
                found = [f for f in daemon.findings(name) if f['sweep_id'] == sweep['id']]
                expect_places(found, damagers[name].expected)
                assert sweep['findings'] == len(found), sweep
            except AssertionError as error:
                raise AssertionError(f'run {run}, {name}: {error}') from error


@test(timeout_s=240)
def damage_is_found_exactly_without_workers(case):
    damage_is_found_exactly(case, 0)


@test(timeout_s=240)
def damage_is_found_exactly_with_one_worker(case):
    damage_is_found_exactly(case, 1)


@test(timeout_s=240)
def damage_is_found_exactly_with_two_workers(case):
    damage_is_found_exactly(case, 2)


@test
def every_bit_of_a_unit_counts(case):
    """One bit in each region of a unit: stamp, sector heads, table, last byte."""
    disk = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_clean(daemon.sweep('d0'))
    offsets = [0, 7, 8, 63, 64, 511, 512, 519, 520, 3584, 3591, 4095]
    expected = []
    for i, within in enumerate(offsets):
        at = (i * 7 + 3) * UNIT + within
        disk.write(at, bytes([disk.read(at, 1)[0] ^ 1 << case.rng.randrange(8)]))
        expected.append((at // UNIT * UNIT, UNIT, 'bit_flip'))
    daemon.sweep('d0')
    expect_places(daemon.findings('d0'), expected)


@test
def a_finding_tells_what_was_expected_and_what_was_found(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_clean(daemon.sweep('d0'))
    at = 5 * UNIT + 1000
    before = disk.read(at, 1)[0]
    disk.write(at, bytes([before ^ 0x10]))
    sweep = daemon.sweep('d0')
    finding = daemon.findings('d0')[0]
    assert finding['sweep_id'] == sweep['id'] and sweep['findings'] == 1
    assert finding['state'] == 'open' and finding['count'] == 1 and finding['text'] and finding['detail'], finding
    answer = daemon.call('GetFinding', id=finding['id'])
    expected, found = bytes.fromhex(answer['expected']), bytes.fromhex(answer['found'])
    differences = [(a, b) for a, b in zip(expected, found) if a != b]
    assert differences == [(before, before ^ 0x10)], answer


@test
def a_repaired_fault_is_over_after_the_next_clean_sweep(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_clean(daemon.sweep('d0'))
    disk.flip_bits(17 * UNIT, 2, case.rng)
    daemon.sweep('d0')
    device = daemon.device('d0')
    assert device['verdict'] == 'faulty' and device['needs_attention'] and device['findings_open'] == 1, device
    assert daemon.findings('d0')[0]['persistence'] == 'repaired', daemon.findings('d0')
    third = daemon.sweep('d0')
    expect_clean(third)
    device = daemon.device('d0')
    assert device['verdict'] == 'clean' and device['findings_open'] == 0 and device['findings_resolved'] == 1, device
    over = daemon.findings('d0', every=True)
    assert [f['state'] for f in over] == ['resolved'], over


@test
def the_same_damage_again_raises_the_count(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_clean(daemon.sweep('d0'))
    for times in (1, 2, 3):
        disk.flip_bits(17 * UNIT, 2, case.rng)
        daemon.sweep('d0')
        findings = daemon.findings('d0')
        assert len(findings) == 1 and findings[0]['count'] == times, findings


@test
def findings_survive_a_restart(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_clean(daemon.sweep('d0'))
    disk.zero(3 * UNIT, 5 * UNIT)
    daemon.sweep('d0')
    before = daemon.findings('d0')
    expect_places(before, [(3 * UNIT, 5 * UNIT, 'zeroed')])
    daemon.stop()
    daemon.start()
    assert daemon.findings('d0') == before
    assert daemon.device('d0')['verdict'] == 'faulty'


@test
def retired_findings_are_over_and_what_is_still_wrong_is_found_anew(case):
    disks = [case.loop(4 * MIB), case.loop(4 * MIB)]
    daemon = case.daemon([device_entry(f'd{i}', disk) for i, disk in enumerate(disks)])
    for sweep in daemon.sweep_all(['d0', 'd1']).values():
        expect_clean(sweep)
    for disk in disks:
        disk.zero(3 * UNIT, 5 * UNIT)
        disk.flip_bits(17 * UNIT, 2, case.rng)
    daemon.sweep_all(['d0', 'd1'])
    assert len(daemon.findings('d0')) == 2 and daemon.device('d0')['needs_attention']
    daemon.ctl('retire', 'd0')
    device = daemon.device('d0')
    assert device['findings_open'] == 0 and device['findings_resolved'] == 2, device
    assert daemon.findings('d0') == [] and len(daemon.findings('d1')) == 2
    assert [f['state'] for f in daemon.findings('d0', every=True)] == ['retired'] * 2
    eventually('it is told', lambda: daemon.log_text().count('is over: it was retired by hand') == 2)
    daemon.ctl('retire', 'd0')  # there is nothing left, and that is fine
    daemon.stop()
    daemon.start()
    assert daemon.findings('d0') == [] and daemon.device('d0')['findings_resolved'] == 2
    disks[0].flip_bits(17 * UNIT, 2, case.rng)
    daemon.sweep('d0')
    again = daemon.findings('d0')
    expect_places(again, [(17 * UNIT, UNIT, 'bit_flip')])
    assert again[0]['count'] == 1 and again[0]['state'] == 'open', again


def two_faulty_devices(case):
    disks = [case.loop(4 * MIB), case.loop(4 * MIB)]
    entries = [device_entry(f'd{i}', disk) for i, disk in enumerate(disks)]
    daemon = case.daemon(entries)
    for sweep in daemon.sweep_all(['d0', 'd1']).values():
        expect_clean(sweep)
    for disk in disks:
        disk.zero(3 * UNIT, 5 * UNIT)
    daemon.sweep_all(['d0', 'd1'])
    assert len(daemon.findings()) == 2
    return daemon, disks, entries


def expect_retired(daemon, name):
    assert [f['state'] for f in daemon.findings(every=True) if f['device'] == name] == ['retired'], name


@test
def findings_of_a_device_that_leaves_the_configuration_are_retired(case):
    daemon, _, entries = two_faulty_devices(case)
    daemon.call('Reload')
    assert len(daemon.findings()) == 2, 'nothing has left'
    daemon.configure(entries[1:])
    daemon.call('Reload')
    expect_retired(daemon, 'd0')
    assert len(daemon.findings('d1')) == 1
    eventually('it is told', lambda: 'd0: zeroed at offset 12288, length 20480 is over: its device left the '
               'configuration' in daemon.log_text())
    try:
        daemon.call('Retire', device='d0')
        raise AssertionError('an unknown device was retired')
    except VarlinkError as error:
        assert error.name == 'io.sweepd.NoSuchDevice', error
    daemon.stop()
    daemon.start()
    expect_retired(daemon, 'd0')
    daemon.configure(entries)
    daemon.call('Reload')
    expect_retired(daemon, 'd0')


@test
def what_was_acknowledged_needs_nobody_until_it_grows(case):
    daemon, disks, _ = two_faulty_devices(case)
    ids = [f['id'] for f in daemon.findings()]
    for wrong in ([], [0], ['x'], [-1], [ids[0], None], ids * 257):
        try:
            daemon.call('Acknowledge', ids=wrong)
            raise AssertionError(f'{wrong} was accepted')
        except VarlinkError as error:
            assert error.name == 'org.varlink.service.InvalidParameter', error
    try:
        daemon.call('Acknowledge', ids=[*ids, 999])
        raise AssertionError('an unknown finding was acknowledged')
    except VarlinkError as error:
        assert error.name == 'io.sweepd.NoSuchId' and error.parameters['id'] == 999, error
    assert {f['state'] for f in daemon.findings()} == {'open'}, 'all or none'
    daemon.call('Acknowledge', ids=ids, comment='a new one is ordered')
    for _ in range(2):
        found = daemon.findings()
        assert [(f['state'], f['comment'], f['acknowledged_at'] > 0) for f in found] == \
            [('acknowledged', 'a new one is ordered', True)] * 2, found
        assert not any(d['needs_attention'] for d in daemon.devices()), daemon.devices()
        daemon.stop()
        daemon.start()
    disks[0].zero(2 * UNIT, 6 * UNIT)
    disks[1].zero(3 * UNIT, 5 * UNIT)
    daemon.sweep_all(['d0', 'd1'])
    assert [(f['state'], f['count']) for f in daemon.findings('d0')] == [('open', 2)], daemon.findings('d0')
    assert [(f['state'], f['count']) for f in daemon.findings('d1')] == [('acknowledged', 2)], daemon.findings('d1')
    assert [d['needs_attention'] for d in daemon.devices()] == [True, False], daemon.devices()


@test
def findings_of_a_device_that_left_while_the_daemon_was_down_are_retired_at_its_start(case):
    daemon, _, entries = two_faulty_devices(case)
    daemon.stop()
    daemon.start()
    assert len(daemon.findings()) == 2, 'a restart with the same configuration retires nothing'
    daemon.stop()
    daemon.configure(entries[:1])
    daemon.start()
    expect_retired(daemon, 'd1')
    assert len(daemon.findings('d0')) == 1


@test
def a_device_that_leaves_in_mid_sweep_takes_what_that_sweep_finds_with_it(case):
    disk, other = case.faultdisk(8 * MIB), case.loop(4 * MIB)
    entries = [device_entry('d0', disk, 'read', block_size='64K', queue_depth=1), device_entry('d1', other)]
    daemon = case.daemon(entries)
    disk.command('error read errno=EIO at=64K length=512')
    disk.command('delay read ms=20')
    daemon.begin('d0')
    eventually('a finding', lambda: daemon.findings('d0'))
    daemon.configure(entries[1:])
    daemon.call('Reload')
    eventually('no finding', lambda: not daemon.findings())
    expect_retired(daemon, 'd0')


@test
def a_missing_device_retires_nothing(case):
    daemon, disks, entries = two_faulty_devices(case)
    disks[0].close()
    daemon.call('Reload')
    daemon.stop()
    daemon.start()
    assert len(daemon.findings('d0')) == 1, daemon.findings()


@test
def another_disk_under_the_same_name_retires_what_the_old_one_had_when_it_is_swept(case):
    daemon, _, entries = two_faulty_devices(case)
    new = case.loop(4 * MIB)
    entries[0]['path'] = new.path
    daemon.configure(entries)
    daemon.call('Reload')
    start_refused(daemon, 'd0')
    assert len(daemon.findings('d0')) == 1, 'it may stand at the wrong path: only what may be swept replaces'
    entries[0]['destroys_data'] = new.backing
    daemon.configure(entries)
    daemon.call('Reload')
    expect_clean(daemon.sweep('d0'))
    expect_retired(daemon, 'd0')
    assert len(daemon.findings('d1')) == 1
    daemon.expect_told('is over: the disk was replaced')


def detail_of(daemon, offset):
    found = [f for f in daemon.findings('d0') if f['offset'] == offset]
    assert len(found) == 1, daemon.findings('d0')
    return found[0], found[0]['detail']


@test
def each_class_tells_its_facts_and_shows_the_bytes(case):
    disk = case.loop(8 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    first = daemon.sweep('d0')
    old = disk.read(0, disk.size)
    expect_clean(daemon.sweep('d0'))
    disk.write(10 * UNIT + 700, bytes([disk.read(10 * UNIT + 700, 1)[0] ^ 0x21]))
    disk.write(20 * UNIT, old[20 * UNIT:21 * UNIT])
    disk.write(30 * UNIT, disk.read(40 * UNIT, UNIT))
    disk.write(50 * UNIT, old[50 * UNIT:50 * UNIT + 3 * SECTOR])
    disk.zero(60 * UNIT, UNIT)
    disk.write(70 * UNIT, (b'Dear diary, this is all that I have. ' * 200)[:UNIT])
    disk.write(80 * UNIT, case.rng.randbytes(UNIT))
    disk.write(90 * UNIT, bytes(b ^ 0x5a for b in disk.read(90 * UNIT, UNIT)))
    daemon.sweep('d0')
    finding, detail = detail_of(daemon, 10 * UNIT)
    assert (finding['fault'], detail['bits'], detail['bits_at']) == ('bit_flip', '2', '700:0,700:5'), finding
    finding, detail = detail_of(daemon, 20 * UNIT)
    begun = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(first['started_at'] // 1000000))
    assert finding['fault'] == 'stale' and detail['generation_found'] == '1', finding
    assert detail['generation_begun'] == begun, (finding, first)
    finding, detail = detail_of(daemon, 30 * UNIT)
    assert finding['fault'] == 'misdirected' and detail['belongs_at'] == str(40 * UNIT), finding
    finding, detail = detail_of(daemon, 50 * UNIT)
    assert finding['fault'] == 'torn' and detail['torn_at_sector'] == '3', finding
    assert detail_of(daemon, 60 * UNIT)[0]['fault'] == 'zeroed'
    for unit, fault, looks in ((70, 'foreign', 'text'), (80, 'garbage', 'noise'),
                               (90, 'garbage', 'a damaged form of what was written')):
        finding, detail = detail_of(daemon, unit * UNIT)
        assert (finding['fault'], detail['looks']) == (fault, looks) and looks in finding['text'], finding
    for finding in daemon.findings('d0'):
        shown = daemon.ctl('finding', str(finding['id']), as_json=False)
        answer = daemon.ctl('finding', str(finding['id']))
        expected, found = bytes.fromhex(answer['expected']), bytes.fromhex(answer['found'])
        at = int(finding['detail']['sample_at'])
        assert finding['offset'] <= at < finding['offset'] + finding['length'] and expected != found, answer
        assert answer['finding'] == finding, answer
        for row in range(0, len(found), 8):
            assert f'{at + row} ' in shown and found[row:row + 8].hex(' ') in shown, shown
            assert expected[row:row + 8].hex(' ') in shown, shown
        assert max(map(len, shown.splitlines())) <= 80, shown
    errors = daemon.ctl('errors', as_json=False)
    assert max(map(len, errors.splitlines())) <= 80, errors
    shown = daemon.ctl('finding', str(detail_of(daemon, 70 * UNIT)[0]['id']), as_json=False)
    assert 'Dear dia' in shown, shown


@test
def damage_done_while_the_daemon_is_down_is_found(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_clean(daemon.sweep('d0'))
    daemon.stop()
    disk.swap(2 * UNIT, 100 * UNIT)
    daemon.start()
    daemon.sweep('d0')
    findings = daemon.findings('d0')
    expect_places(findings, [(2 * UNIT, UNIT, 'misdirected'), (100 * UNIT, UNIT, 'misdirected')])
    # Each names the place that its bytes were meant for.
    details = [' '.join(f['detail'].values()) + f['text'] for f in findings]
    assert str(100 * UNIT) in details[0] and str(2 * UNIT) in details[1], details


@test
def a_stretch_over_blocks_and_segments_is_one_finding(case):
    disk = case.loop(16 * MIB)
    daemon = case.daemon([device_entry('d0', disk, block_size='16K', segment='1M', queue_depth=8)])
    expect_clean(daemon.sweep('d0'))
    disk.zero(4 * MIB - 64 * KIB, 128 * KIB)
    daemon.sweep('d0')
    expect_places(daemon.findings('d0'), [(4 * MIB - 64 * KIB, 128 * KIB, 'zeroed')])


@test
def neighbours_of_different_kinds_stay_apart(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_clean(daemon.sweep('d0'))
    disk.zero(10 * UNIT, 2 * UNIT)
    disk.flip_bits(12 * UNIT, 1, case.rng)
    disk.swap(13 * UNIT, 50 * UNIT)
    daemon.sweep('d0')
    expect_places(daemon.findings('d0'), [
        (10 * UNIT, 2 * UNIT, 'zeroed'), (12 * UNIT, UNIT, 'bit_flip'), (13 * UNIT, UNIT, 'misdirected'),
        (50 * UNIT, UNIT, 'misdirected')])


def bad_units(findings):
    """How many units are bad, by class."""
    units = {}
    for f in findings:
        units[f['fault']] = units.get(f['fault'], 0) + int(f['detail'].get('bytes_bad', f['length'])) // UNIT
    return units


@test
def a_disk_that_is_bad_everywhere_gives_few_findings_and_exact_counts(case):
    """Of three classes in turn, so that no two neighbours are alike. More than are told apart; none is counted twice."""
    disk = case.loop(128 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_clean(daemon.sweep('d0'))
    expected = {'zeroed': 0, 'bit_flip': 0, 'garbage': 0}
    noise = case.rng.randbytes(UNIT - SECTOR)
    data = bytearray(disk.read(0, disk.size))
    for unit in range(disk.units()):
        at = unit * UNIT
        fault = list(expected)[unit % 3]
        expected[fault] += 1
        if fault == 'zeroed':
            data[at:at + UNIT] = bytes(UNIT)
        elif fault == 'bit_flip':
            data[at + case.rng.randrange(UNIT)] ^= 1
        else:
            data[at + SECTOR:at + UNIT] = noise
    disk.write(0, data)
    sweep = daemon.sweep('d0')
    assert (sweep['end'], sweep['verdict']) == ('finished', 'faulty'), sweep
    findings = daemon.findings('d0')
    assert 0 < len(findings) < 5000, len(findings)
    assert bad_units(findings) == expected, bad_units(findings)
    # More to tell than can be delivered, and then the end.
    daemon.ctl('retire', 'd0')
    daemon.stop()
    daemon.start()
    expect_clean(daemon.sweep('d0'))


@test
def stamps_of_another_target_are_foreign(case):
    """A copy of a few units of another disk that we swept."""
    disks = [case.loop(4 * MIB), case.loop(4 * MIB)]
    daemon = case.daemon([device_entry(f'd{i}', disk) for i, disk in enumerate(disks)])
    for sweep in daemon.sweep_all(['d0', 'd1']).values():
        expect_clean(sweep)
    disks[0].write(20 * UNIT, disks[1].read(20 * UNIT, 3 * UNIT))
    daemon.sweep('d0')
    expect_places(daemon.findings('d0'), [(20 * UNIT, 3 * UNIT, 'foreign')])


if __name__ == '__main__':
    main()
