#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Devices that must not be written to: each rule refuses by its name, and nothing on the device changes."""

import fcntl
import os
import struct
import time

from harness import (LoopDevice, MIB, Skip, UNIT, device_entry, eventually, expect_clean, main, need, run,
                     sha256, test)
from refusals import expect_refused, shows, start_refused


def mounted(case, disk, kind='ext4'):
    need(f'mkfs.{kind}')
    run(f'mkfs.{kind}', '-q', '-E', 'nodiscard', disk.path)
    where = case.directory('mnt')
    run('mount', disk.path, where)
    case.undo(run, 'umount', where)
    return where


@test
def a_mounted_disk_is_refused(case):
    disk = case.loop(16 * MIB)
    where = mounted(case, disk)
    daemon = case.daemon([device_entry('d0', disk)])
    reason = expect_refused(daemon, 'd0', 'in_use')
    assert where in reason['found'], reason


@test
def a_mounted_disk_is_read(case):
    disk = case.loop(16 * MIB)
    mounted(case, disk)
    daemon = case.daemon([device_entry('d0', disk, 'read')])
    expect_clean(daemon.sweep('d0'), 'readable')


@test
def a_disk_somebody_claimed_is_refused(case):
    disk = case.loop(16 * MIB)
    claim = os.open(disk.path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    try:
        daemon = case.daemon([device_entry('d0', disk)])
        expect_refused(daemon, 'd0', 'in_use', backing=disk.backing)
    finally:
        os.close(claim)
    expect_clean(daemon.sweep('d0'))


@test
def our_own_claim_keeps_others_out(case):
    disk = case.faultdisk(16 * MIB)
    disk.command('delay all ms=5')
    daemon = case.daemon([device_entry('d0', disk, block_size='64K', queue_depth=2)])
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0')
    try:
        os.close(os.open(disk.path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC))
        raise AssertionError('the disk was not claimed')
    except OSError as error:
        assert error.errno == 16, error
    disk.command('clear')
    expect_clean(daemon.end(sweep_id))


@test
def a_lock_of_another_keeps_us_from_writing_only(case):
    disk, other = case.loop(4 * MIB), case.loop(4 * MIB)
    locks = [os.open(d.path, os.O_RDONLY | os.O_CLOEXEC) for d in (disk, other)]
    try:
        for lock in locks:
            fcntl.flock(lock, fcntl.LOCK_SH)
        daemon = case.daemon([device_entry('d0', disk), device_entry('d1', other, 'read')])
        expect_refused(daemon, 'd0', 'in_use', backing=disk.backing)
        expect_clean(daemon.sweep('d1'), 'readable')
    finally:
        for lock in locks:
            os.close(lock)
    expect_clean(daemon.sweep('d0'))


@test
def our_own_lock_keeps_others_out(case):
    disk = case.faultdisk(16 * MIB)
    disk.command('delay all ms=5')
    daemon = case.daemon([device_entry('d0', disk, block_size='64K', queue_depth=2)])
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0')
    other = os.open(disk.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        eventually('the disk is locked', lambda: not lock_is_free(other), 5)
        disk.command('clear')
        expect_clean(daemon.end(sweep_id))
        eventually('the disk is unlocked', lambda: lock_is_free(other), 5)
    finally:
        os.close(other)


def lock_is_free(node):
    try:
        fcntl.flock(node, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(node, fcntl.LOCK_UN)
        return True
    except BlockingIOError:
        return False


@test
def what_boot_mounts_is_not_preserved_without_a_recovery_at_boot(case):
    need('mkfs.ext4', 'unshare')
    disk = case.loop(16 * MIB)
    uuid = '6c5e1a52-8c1b-4f4e-9d0e-2f7d3b1c9a11'
    run('mkfs.ext4', '-q', '-E', 'nodiscard', '-U', uuid, disk.path)
    etc = case.directory('etc')
    with open(etc + '/fstab', 'w', encoding='utf-8') as file:
        file.write(f'# made up\nUUID={uuid} /srv ext4 noauto 0 2\n')
    daemon = case.daemon_not_started([device_entry('d0', disk, 'preserve', destroys_data=None)])
    daemon.start(prefix=('unshare', '--mount', 'sh', '-c', f'mount --bind {etc} /etc && exec "$@"', 'sh'))
    reason = expect_refused(daemon, 'd0', 'fstab', backing=disk.backing)
    assert 'line 2 of /etc/fstab' in reason['found'] and 'sweepd-recover.service' in reason['remedy'], reason
    with open(etc + '/fstab', 'w', encoding='utf-8') as file:
        file.write('# nothing\n')
    # The tests' state is in memory, where no journal can be.
    expect_refused(daemon, 'd0', 'journal_file_system', backing=disk.backing)


@test
def signatures_are_refused(case):
    makers = {'ext4': ['mkfs.ext4', '-q', '-E', 'nodiscard'], 'swap': ['mkswap'], 'gpt': ['sfdisk'], 'dos': ['sfdisk'],
              'xfs': ['mkfs.xfs', '-q', '-K'], 'vfat': ['mkfs.vfat'], 'btrfs': ['mkfs.btrfs', '-q', '-K']}
    disks = {}
    for kind, command in makers.items():
        try:
            need(command[0])
        except Skip:
            continue
        disk = case.loop(320 * MIB if kind in ('xfs', 'btrfs') else 16 * MIB)
        if command[0] == 'sfdisk':
            run('sh', '-c', f'echo "label: {kind}\n2048," | sfdisk -q --no-reread {disk.path}')
        else:
            run(*command, disk.path)
        disks[kind] = disk
    daemon = case.daemon([device_entry(kind, disk) for kind, disk in disks.items()])
    for kind, disk in disks.items():
        reason = expect_refused(daemon, kind, 'signature', backing=disk.backing)
        assert kind in reason['found'], reason


@test
def the_backup_table_at_the_end_of_a_disk_is_refused(case):
    need('sfdisk')
    disk = case.loop(16 * MIB)
    run('sh', '-c', f'echo "label: gpt" | sfdisk -q --no-reread {disk.path}')
    disk.zero(0, MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_refused(daemon, 'd0', 'signature', backing=disk.backing)


@test
def a_raid_member_is_refused(case):
    """The superblock of md's metadata 1.2, 4096 bytes from the start."""
    disk = case.loop(16 * MIB)
    block = bytearray(512)
    struct.pack_into('<II', block, 0, 0xa92b4efc, 1)
    block[16:32] = case.rng.randbytes(16)
    block[32:40] = b'spare:0\0'
    struct.pack_into('<II', block, 72, 1, 0)
    struct.pack_into('<Q', block, 80, 8192)
    struct.pack_into('<I', block, 92, 2)
    struct.pack_into('<QQQ', block, 128, 2048, 8192, 8)
    words = sum(struct.unpack('<64I', block[:256]))
    struct.pack_into('<I', block, 216, ((words & 0xffffffff) + (words >> 32)) & 0xffffffff)
    disk.write(4096, bytes(block))
    daemon = case.daemon([device_entry('d0', disk)])
    expect_refused(daemon, 'd0', 'member', backing=disk.backing)
    assert start_refused(daemon, 'd0', overwrite=disk.backing)['rule'] == 'member'


@test
def destroys_data_must_name_the_backing_file(case):
    disk = case.loop(4 * MIB)
    other = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('none', disk, destroys_data=None), device_entry('wrong', other,
                                                                                      destroys_data=disk.backing)])
    expect_refused(daemon, 'none', 'destroys_data_missing', backing=disk.backing)
    reason = expect_refused(daemon, 'wrong', 'destroys_data_mismatch', backing=other.backing)
    assert other.backing in reason['found'] + reason['remedy'], reason


@test
def a_read_device_is_not_destroyed_by_hand(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk, 'read')])
    before = sha256(disk.backing)
    assert start_refused(daemon, 'd0', mode='pattern')['rule'] == 'destroys_data_missing'
    assert sha256(disk.backing) == before


@test
def a_read_only_device_is_refused(case):
    disk = case.loop(4 * MIB, readonly=True)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_refused(daemon, 'd0', 'read_only', backing=disk.backing)


@test
def who_is_refused_stays_so_though_it_was_read_by_hand(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    with os.fdopen(os.open(disk.path, os.O_RDWR | os.O_EXCL), 'wb'):
        expect_refused(daemon, 'd0', 'in_use')
        expect_clean(daemon.sweep('d0', mode='read'), 'readable')
        device = eventually('it is looked at again', lambda: shows(daemon, 'd0', 'refused'))
        assert device['reason']['rule'] == 'in_use' and device['needs_attention'], device
        daemon.call('TestAlert')
        daemon.expect_told('this is a test of the alerts')
        assert 'not refused any more' not in daemon.log_text()
        daemon.expect_told('not swept (in_use)', times=1)
    daemon.call('Reload')
    eventually('it may be swept', lambda: shows(daemon, 'd0', 'idle'))
    daemon.expect_told('not refused any more', times=1)


@test
def a_device_that_is_not_there_is_missing(case):
    daemon = case.daemon([device_entry('gone', case.scratch + '/no-such-device', 'read')])
    reason = start_refused(daemon, 'gone')
    assert reason['rule'] == 'missing', reason
    device = eventually('the device is missing', lambda: shows(daemon, 'gone', 'missing'), 5)
    assert device['needs_attention'] and device['reason'], device


@test
def what_is_no_block_device_is_refused(case):
    plain, fifo = case.scratch + '/plain', case.scratch + '/fifo'
    with open(plain, 'wb') as file:
        file.write(bytes(MIB))
    os.mkfifo(fifo)
    daemon = case.daemon([device_entry('plain', plain, 'read'), device_entry('fifo', fifo, 'read'),
                          device_entry('null', '/dev/null', 'read')])
    for name in ('plain', 'fifo', 'null'):
        expect_refused(daemon, name, 'not_block_device')


@test
def a_second_loop_over_the_same_file_is_refused(case):
    disk = case.loop(4 * MIB)
    twin = case.keep(LoopDevice(disk.backing))
    daemon = case.daemon([device_entry('d0', disk)])
    expect_refused(daemon, 'd0', 'twin', backing=disk.backing)
    twin.close()
    expect_clean(daemon.sweep('d0'))


@test
def a_loop_without_direct_io_is_refused(case):
    disk = case.loop(4 * MIB, direct_io=False)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_refused(daemon, 'd0', 'loop_not_direct', backing=disk.backing)


@test
def a_sparse_backing_file_is_refused(case):
    disk = case.loop(4 * MIB, sparse=True)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_refused(daemon, 'd0', 'loop_sparse', backing=disk.backing)
    assert os.stat(disk.backing).st_blocks == 0


@test
def a_disk_too_small_for_a_unit_is_refused(case):
    disk = case.loop(UNIT - 512)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_refused(daemon, 'd0', 'too_small', backing=disk.backing)


@test
def the_disk_that_holds_the_state_is_refused(case):
    disk = case.loop(32 * MIB)
    where = mounted(case, disk)
    daemon = case.daemon_not_started([device_entry('d0', disk)])
    daemon.state = where + '/state'
    os.mkdir(daemon.state)
    daemon.configure([device_entry('d0', disk)])
    daemon.start()
    expect_refused(daemon, 'd0', 'in_use', 'state_disk')
    daemon.stop()


@test
def a_wrong_serial_is_refused_in_read_mode_too(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk, 'read', serial='ZA1234')])
    expect_refused(daemon, 'd0', 'serial_mismatch', backing=disk.backing)


@test
def a_mounted_partition_holds_its_disk(case):
    need('sfdisk', 'addpart', 'delpart', 'mkfs.ext4')
    disk = case.loop(32 * MIB)
    run('sh', '-c', f'echo "label: gpt\n2048," | sfdisk -q --no-reread {disk.path}')
    if run('addpart', disk.path, '1', '2048', '40960', check=False).returncode != 0:
        raise Skip('the kernel has no partitions')
    case.undo(run, 'delpart', disk.path, '1')
    partition = disk.path + 'p1'
    eventually('the partition appears', lambda: os.path.exists(partition), 5)
    run('mkfs.ext4', '-q', '-E', 'nodiscard', partition)
    where = case.directory('mnt')
    run('mount', partition, where)
    case.undo(run, 'umount', where)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_refused(daemon, 'd0', 'in_use')


@test
def a_disk_in_use_as_swap_is_refused(case):
    need('mkswap', 'swapon')
    disk = case.loop(16 * MIB)
    run('mkswap', disk.path)
    if run('swapon', disk.path, check=False).returncode != 0:
        raise Skip('swapon is not possible here')
    case.undo(run, 'swapoff', disk.path)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_refused(daemon, 'd0', 'in_use', 'swap')


@test
def a_refusal_ends_with_its_cause(case):
    disk = case.loop(16 * MIB)
    claim = os.open(disk.path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    try:
        daemon = case.daemon([device_entry('d0', disk)])
        expect_refused(daemon, 'd0', 'in_use')
    finally:
        os.close(claim)
    daemon.call('Reload')
    time.sleep(0.2)
    expect_clean(daemon.sweep('d0'))
    device = daemon.device('d0')
    assert device['state'] == 'idle' and device['reason'] is None and not device['needs_attention'], device
    daemon.expect_told('it is not refused any more', times=1)


@test
def who_asks_again_after_a_refusal_is_refused_again_and_never_told_that_it_is_busy(case):
    """The thread that has found out ends a moment later."""
    daemon = case.daemon([device_entry('d0', case.loop(MIB), destroys_data='something else')])
    for _ in range(100):
        assert start_refused(daemon, 'd0')['rule'] == 'destroys_data_mismatch'



@test
def what_somebody_asked_for_in_vain_is_no_news_of_the_device(case):
    reads, spare = case.loop(MIB), case.loop(MIB)
    daemon = case.daemon([device_entry('reads', reads, 'read'), device_entry('spare', spare)])
    daemon.sweep_all(['reads', 'spare'])
    def worth():
        return [(d['state'], d['verdict'], d['needs_attention'], d['next_due_at']) for d in daemon.devices()]
    before = worth()
    for name, parameters in (('reads', {'mode': 'pattern'}), ('spare', {'overwrite': 'foo'})):
        reason = start_refused(daemon, name, **parameters)
        assert reason['remedy'], reason
        eventually('the thread has ended', lambda: daemon.device(name)['state'] == 'idle', 5)
    assert worth() == before, f'{before}, then {worth()}'
    assert 'not swept' not in daemon.log_text()


@test
def what_is_refused_stays_so_over_a_reload_until_it_was_looked_at(case):
    disk = case.loop(MIB)
    wrong = device_entry('d0', disk, destroys_data='something else')
    daemon = case.daemon([wrong])
    rule = expect_refused(daemon, 'd0', 'destroys_data_mismatch')['rule']
    for _ in range(3):
        daemon.call('Reload')
        device = daemon.device('d0')
        assert device['state'] == 'refused' and device['reason']['rule'] == rule, device
    daemon.expect_told('not swept', times=1)
    before = sha256(disk.backing)
    daemon.configure([device_entry('d0', disk)])
    daemon.call('Reload')
    eventually('it is not refused any more', lambda: daemon.device('d0')['state'] == 'idle')
    daemon.expect_told('it is not refused any more', times=1)
    assert not daemon.sweeps('d0') and sha256(disk.backing) == before, 'a look has begun a sweep'
    expect_clean(daemon.sweep('d0'))

if __name__ == '__main__':
    main()
