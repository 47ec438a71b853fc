#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Burn-in: fixed patterns over the whole device, one after the other, before the stamps. What is written is what was asked
for; damage in any pass is found at its place, under its name; and whatever cuts the sweep short, it goes on in the pass
where it was, and never takes its own patterns for somebody's data.
"""

from harness import MIB, UNIT, VarlinkError, device_entry, eventually, expect_clean, main, sha256, test

FOUR = ['0xaa', '0x55', '0xff', '0x00']


def entry(disk, **keys):
    return device_entry('d0', disk, **{'block_size': '64K', 'segment': '2M', 'patterns': FOUR, **keys})


def bytes_at(disk, offset, length=UNIT):
    return set(disk.read(offset, length))


@test
def every_pass_is_written_and_compared_and_counted(case):
    disk = case.loop(8 * MIB)
    daemon = case.daemon([entry(disk)])
    sweep = daemon.sweep('d0')
    expect_clean(sweep)
    assert sweep['patterns'] == FOUR, sweep
    assert sweep['bytes_written'] == sweep['bytes_read'] == sweep['bytes_verified'] == 5 * disk.size, sweep
    assert sweep['bytes_total'] == 10 * disk.size, sweep
    assert disk.read(0, 6) == b'SWEEPD', 'the stamps come last'
    # The stamps are what the next one finds, retention first; without patterns where that is asked for.
    sweep = daemon.sweep('d0', patterns=[])
    expect_clean(sweep)
    assert sweep['patterns'] == [] and sweep['bytes_verified'] == 2 * disk.size, sweep
    sweep = daemon.sweep('d0', patterns=['0x3C'])
    expect_clean(sweep)
    assert sweep['patterns'] == ['0x3c'] and sweep['bytes_verified'] == 3 * disk.size, sweep
    assert daemon.device('d0')['bytes_written_total'] == 8 * disk.size


def cut_short_in(case, daemon, disk, number, order):
    """Begins a burn-in, and kills the daemon, or orders, in the pass of that number."""
    disk.command('delay all ms=60')  # a pass takes some seconds
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0', bytes_done=(2 * number - 2) * disk.size + 3 * MIB, timeout_s=20)
    order()
    disk.command('clear')
    return sweep_id


@test
def it_goes_on_in_the_pass_in_which_it_was_killed(case):
    disk = case.faultdisk(6 * MIB)
    daemon = case.daemon([entry(disk)])

    def kill():
        daemon.kill9()
        assert bytes_at(disk, 0) == {0x55}, 'it was in its second pass'
        daemon.start()

    sweep_id = cut_short_in(case, daemon, disk, 2, kill)
    sweep = daemon.end(sweep_id)
    expect_clean(sweep)
    assert sweep['bytes_written'] == sweep['bytes_verified'] == 5 * disk.size, sweep
    assert daemon.findings(every=True) == []
    # Its last pass may have been resumed or not: what lies there is known to the byte.
    expect_clean(daemon.sweep('d0', patterns=[]))


@test
def what_a_cancelled_burn_in_left_is_nobodys_data(case):
    disk = case.faultdisk(6 * MIB)
    daemon = case.daemon([entry(disk)])
    sweep_id = cut_short_in(case, daemon, disk, 3, lambda: daemon.call('CancelSweep', device='d0'))
    sweep = daemon.end(sweep_id)
    assert (sweep['verdict'], sweep['end']) == ('incomplete', 'cancelled'), sweep
    expect_clean(daemon.sweep('d0'))
    # But what somebody wrote over the patterns is somebody's.
    cut_short_in(case, daemon, disk, 2, daemon.kill9)
    for at in range(0, 512 * 1024, UNIT):
        disk.write(at, b'what somebody needs '.ljust(64, b'.') * 64)
    daemon.start()
    refused = eventually('it is refused', lambda: (d := daemon.device('d0'))['state'] == 'refused' and d)
    assert refused['reason']['rule'] == 'foreign_data', refused
    assert disk.read(0, 20) == b'what somebody needs '


def expect_report(daemon, disk, sweep):
    """All that a ticket needs, on 80 columns, and the same as one document."""
    document = daemon.ctl('report', 'd0')
    assert document['sweep'] == sweep and document['device']['size'] == disk.size, document
    assert document['daemon']['version'] and document['at'] > sweep['ended_at'], document
    assert sum(r['length'] for r in document['regions']) == disk.size and len(document['regions']) == 16, document
    assert document['findings'] == daemon.findings('d0'), document
    text = daemon.ctl('report', 'd0', as_json=False)
    assert all(len(line) <= 80 and line == line.rstrip() for line in text.splitlines()), text
    flat = ' '.join(text.split())
    for words in ('faulty: faults were met', 'passes: 3: 0xaa, 0x55, stamps of generation 2', 'in pass 1 of 3, pattern 0xaa',
                  f'({sweep["bytes_written"]})', f'({sweep["bytes_verified"]})', 'REGION AT', 'LATENCY OF', 'flush',
                  'holds what the pass with pattern 0xaa wrote', f'sweep: {sweep["id"]}, mode pattern', disk.path):
        assert words in flat, (words, text)


@test
def damage_in_a_fixed_pass_is_found_at_its_place(case):
    disk = case.faultdisk(6 * MIB)
    daemon = case.daemon([entry(disk)])
    expect_clean(daemon.sweep('d0', patterns=[]))
    # Each write, and the one that tries again, goes wrong in the first pass.
    disk.command('flip write at=1M length=4K bits=3 times=2')
    disk.command('lose write at=2M length=4K times=2')
    delay = disk.command('delay all ms=60')
    sweep_id = daemon.begin('d0', patterns=['0xaa', '0x55'])
    # And in the second one: of what is done by then one part is the retention pass, two are the first pass.
    daemon.sweeping('d0', bytes_done=3 * disk.size + 64 * 1024)
    disk.command('lose write at=5M length=4K times=2')
    disk.command(f'drop {delay}')
    sweep = daemon.end(sweep_id)
    assert (sweep['end'], sweep['verdict'], sweep['findings']) == ('finished', 'faulty', 3), sweep
    expect_report(daemon, disk, sweep)
    found = {f['offset']: f for f in daemon.findings('d0')}
    assert sorted(found) == [MIB, 2 * MIB, 5 * MIB], found
    flipped, lost, late = (found[at * MIB] for at in (1, 2, 5))
    assert all(f['length'] == UNIT and f['persistence'] == 'persistent' for f in found.values()), found
    assert flipped['fault'] == 'bit_flip' and flipped['detail']['bits'] == '3', flipped
    assert flipped['detail']['pass'] == '1 of 3, pattern 0xaa', flipped
    assert lost['fault'] == 'stale' and 'generation 1' in lost['text'], lost
    assert late['fault'] == 'stale' and late['detail']['pattern_found'] == '0xaa', late
    assert late['detail']['pass'] == '2 of 3, pattern 0x55', late
    # What is right again is over when a later sweep has come by.
    expect_clean(daemon.sweep('d0', patterns=[]))
    assert daemon.findings('d0') == []


@test
def patterns_are_of_mode_pattern_and_the_interlock_decides(case):
    disk = case.loop(8 * MIB)
    daemon = case.daemon([device_entry('d0', disk, mode='read')])
    before = sha256(disk.backing)
    try:
        daemon.begin('d0', patterns=FOUR)
        raise AssertionError('mode read took patterns')
    except VarlinkError as e:
        assert e.name == 'org.varlink.service.InvalidParameter', e
    try:
        daemon.begin('d0', mode='pattern', patterns=FOUR)
        raise AssertionError('it was started without destroys_data')
    except VarlinkError as e:
        assert e.name == 'io.sweepd.Refused' and e.parameters['reason']['rule'] == 'destroys_data_missing', e
    for words in ('0xaa,0x5', '0xaa,', '0xaa,0xaa', 'aa', '0x100'):
        done = daemon.ctl('start', 'd0', '--patterns', words, check=False, as_json=False)
        assert done.returncode == 1 and '--patterns' in done.stderr, done
    assert sha256(disk.backing) == before


if __name__ == '__main__':
    main()
