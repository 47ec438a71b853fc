#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A swept disk that somebody else began to use: not one byte of theirs is written over."""

from harness import KIB, MIB, UNIT, device_entry, expect_clean, main, need, run, sha256, test
from refusals import expect_refused, start_refused


@test
def a_file_system_on_a_swept_disk_is_refused(case):
    need('mkfs.ext4')
    disk = case.loop(64 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_clean(daemon.sweep('d0'))
    # Without discards the disk still bears our stamps nearly everywhere.
    run('mkfs.ext4', '-q', '-E', 'nodiscard,lazy_itable_init=1', disk.path)
    expect_refused(daemon, 'd0', 'signature', backing=disk.backing)
    daemon.kill9()
    daemon.start()
    expect_refused(daemon, 'd0', 'signature', backing=disk.backing)
    # Typing the identity once more is for data without a name, not for a file system.
    assert start_refused(daemon, 'd0', overwrite=disk.backing)['rule'] == 'signature'
    run('e2fsck', '-fn', disk.path)


@test
def a_file_system_is_refused_when_the_ledger_is_lost_too(case):
    need('mkfs.ext4')
    disk = case.loop(64 * MIB)
    first = case.daemon([device_entry('d0', disk)])
    expect_clean(first.sweep('d0'))
    first.stop()
    run('mkfs.ext4', '-q', '-E', 'nodiscard', disk.path)
    second = case.daemon([device_entry('d0', disk)])
    expect_refused(second, 'd0', 'signature', backing=disk.backing)


@test
def data_without_a_signature_is_refused_until_overwrite(case):
    disk = case.loop(64 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_clean(daemon.sweep('d0'))
    disk.write(0, case.rng.randbytes(disk.size))
    reason = expect_refused(daemon, 'd0', 'foreign_data', backing=disk.backing)
    assert 'overwrite' in reason['remedy'], reason
    expect_refused(daemon, 'd0', 'foreign_data', backing=disk.backing)
    # A restart does not forget it, and a wrong identity does not pass.
    daemon.stop()
    daemon.start()
    before = sha256(disk.backing)
    start_refused(daemon, 'd0', overwrite=disk.backing + 'x')
    assert sha256(disk.backing) == before
    sweep = daemon.sweep('d0', overwrite=disk.backing)
    assert sweep['end'] == 'finished' and sweep['bytes_written'] == disk.size, sweep
    expect_clean(daemon.sweep('d0'))


@test
def data_in_the_middle_stops_the_writing(case):
    """A copy of 8 MiB that the samples at both ends don't see, somewhere in a larger disk."""
    disk = case.loop(128 * MIB)
    daemon = case.daemon([device_entry('d0', disk, segment='8M')])
    expect_clean(daemon.sweep('d0'))
    at = case.rng.randrange(30 * MIB // UNIT, 80 * MIB // UNIT) * UNIT
    data = case.rng.randbytes(8 * MIB)
    disk.write(at, data)
    reason = start_refused_or_stopped(daemon)
    assert reason['rule'] == 'foreign_data', reason
    assert disk.read(at, len(data)) == data, 'data of somebody else was written over'
    expect_refused(daemon, 'd0', 'foreign_data', backing=disk.backing)


def start_refused_or_stopped(daemon):
    sweep = daemon.sweep('d0')
    assert sweep['end'] == 'failed' and sweep['reason'], sweep
    return sweep['reason']


@test
def zeros_in_front_are_damage_and_data_is_not(case):
    """A few bad units are faults, and the sweep goes on; 512 KiB of somebody's text are not."""
    disk = case.loop(32 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_clean(daemon.sweep('d0'))
    disk.zero(4 * MIB, 16 * KIB)
    assert daemon.sweep('d0')['verdict'] == 'faulty'
    expect_clean(daemon.sweep('d0'))
    text = (b'Dear diary, today I have put my only copy here. ' * 12000)[:512 * KIB]
    disk.write(4 * MIB, text)
    start_refused(daemon, 'd0')
    assert disk.read(4 * MIB, len(text)) == text


@test
def a_disk_never_swept_is_written_whatever_it_holds(case):
    """Nothing is known of it, and no signature is on it: destroys_data has named it."""
    disk = case.loop(8 * MIB)
    disk.write(0, case.rng.randbytes(disk.size))
    daemon = case.daemon([device_entry('d0', disk)])
    expect_clean(daemon.sweep('d0'))


if __name__ == '__main__':
    main()
