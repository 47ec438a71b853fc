#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Canary files on real file systems: made, written, verified; damage to their blocks on the disk below is found at its place
in the file; and no file that is somebody else's, or that would not show the disk, is written to.
"""

import array
import ctypes
import fcntl
import mmap
import os
import re
import struct
import time

from harness import (KIB, MIB, UNIT, VarlinkError, device_entry, eventually, expect_clean, expect_places, main, need, run,
                     sha256, test)
from refusals import expect_refused

SIZE = 8 * MIB
FS_IOC_FIEMAP = 0xC020660B
CLOSED = time.strftime('%H:%M', time.localtime(time.time() + 12 * 3600)) + '-' + time.strftime(
    '%H:%M', time.localtime(time.time() + 13 * 3600))  # a window that is
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2
# Smaller ones mkfs.xfs does not make; they take only the memory that is written to.
DISK_SIZE = 320 * MIB


class FileSystem:
    def __init__(self, case, kind, options=None):
        need(f'mkfs.{kind}')
        self.kind = kind
        self.disk = case.loop(DISK_SIZE, sparse=True)
        quiet = ['-E', 'nodiscard'] if kind == 'ext4' else []
        run(f'mkfs.{kind}', '-q', *quiet, self.disk.path)
        self.point = case.directory('mnt')
        run('mount', '-t', kind, *(['-o', options] if options else []), self.disk.path, self.point)
        case.undo(run, 'umount', self.point)
        self.path = os.path.join(self.point, 'canary')

    def place(self, offset):
        """Where on the disk a byte of the file is."""
        if self.kind == 'btrfs':  # an extent tells an address of its own, not one of the disk
            return self.place_by_content(offset)
        with open(self.path, 'rb') as file:
            request = array.array('B', struct.pack('=QQIIII', offset, UNIT, 1, 0, 1, 0) + bytes(56))
            fcntl.ioctl(file, FS_IOC_FIEMAP, request)
            assert struct.unpack_from('=I', request, 20)[0] == 1, 'no extent there'
            logical, physical = struct.unpack_from('=QQ', request, 32)
        return physical + offset - logical

    def place_by_content(self, offset):
        """No two units of a canary are alike."""
        with open(self.path, 'rb') as file, open(self.disk.backing, 'rb') as image:
            unit = os.pread(file.fileno(), UNIT, offset)
            with mmap.mmap(image.fileno(), 0, prot=mmap.PROT_READ) as disk:
                at = disk.find(unit)
                assert at >= 0 and disk.find(unit, at + 1) < 0, 'it is there not once'
        return at

    def flip(self, offset, count, rng):
        self.disk.flip_bits(self.place(offset), count, rng)


def canary(path, size=SIZE, **keys):
    return device_entry('canary', path, **{'create_size': str(size), 'destroys_data': path, 'block_size': '64K', **keys})


def on_each(case, check):
    for kind in 'ext4', 'xfs', 'btrfs':
        check(case, FileSystem(case, kind))


@test
def a_canary_is_made_written_and_verified(case):
    def check(case, fs):
        daemon = case.daemon([canary(fs.path)])
        first = daemon.sweep('canary')
        expect_clean(first)
        assert first['bytes_written'] == SIZE, first
        st = os.stat(fs.path)
        assert (st.st_size, st.st_nlink, st.st_mode & 0o777) == (SIZE, 1, 0o600), st
        assert st.st_blocks * 512 >= SIZE, st
        identity = daemon.device('canary')['identity']
        assert (identity['kind'], identity['backing_file']) == ('file', fs.path), identity
        second = daemon.sweep('canary')
        expect_clean(second)
        assert second['bytes_verified'] == 2 * SIZE, second
    on_each(case, check)


@test
def damage_to_the_blocks_of_the_file_is_found_at_its_place_in_it(case):
    def check(case, fs):
        daemon = case.daemon([canary(fs.path)])
        expect_clean(daemon.sweep('canary'))
        places = sorted(case.rng.sample(range(SIZE // UNIT // 2), 3))
        for unit in places:
            fs.flip(unit * 2 * UNIT, 3, case.rng)
        sweep = daemon.sweep('canary')
        assert sweep['verdict'] == 'faulty', sweep
        expect_places(daemon.findings('canary'), [(unit * 2 * UNIT, UNIT, 'bit_flip') for unit in places])
        expect_clean(daemon.sweep('canary'))
    on_each(case, check)


@test
def what_is_known_of_a_canary_is_not_said_of_another_one(case):
    fs = FileSystem(case, 'ext4')
    daemon = case.daemon([canary(fs.path)])
    expect_clean(daemon.sweep('canary'))
    other = fs.path + '-2'
    for path, verdict, coverage in (other, 'unknown', 0), (fs.path, 'clean', 1):
        daemon.configure([canary(path, every='30d', windows=[CLOSED])])
        for again in daemon.call, lambda _: (daemon.stop(), daemon.start()):
            again('Reload')
            device = daemon.settled('canary')
            assert (device['verdict'], device['coverage'], device['path']) == (verdict, coverage, path), device
            assert device['state'] == ('queued' if verdict == 'unknown' else 'idle'), device


@test
def a_canary_that_was_written_can_be_read_and_one_that_was_not_can_not(case):
    fs = FileSystem(case, 'ext4')
    daemon = case.daemon([canary(fs.path, mode='read', destroys_data=None)])
    expect_refused(daemon, 'canary', 'missing', state='missing')
    found = daemon.device('canary')['reason']['found']
    assert re.fullmatch(rf'There is no file {re.escape(fs.path)}, or no such directory. It was missed first on .* \d\d:\d\d\.',
                        found), found
    assert not os.path.exists(fs.path)
    with open(fs.path, 'wb') as file:
        os.posix_fallocate(file.fileno(), 0, SIZE)
    expect_refused(daemon, 'canary', 'file_unwritten', backing=fs.path)
    os.unlink(fs.path)
    daemon.configure([canary(fs.path)])
    daemon.call('Reload')
    expect_clean(daemon.sweep('canary'))
    daemon.configure([canary(fs.path, mode='read', destroys_data=None)])
    daemon.call('Reload')
    expect_clean(daemon.sweep('canary'), 'readable')


@test
def a_canary_that_was_removed_is_made_anew_and_nobody_is_accused(case):
    fs = FileSystem(case, 'xfs')
    daemon = case.daemon([canary(fs.path)])
    expect_clean(daemon.sweep('canary'))
    os.unlink(fs.path)
    expect_clean(daemon.sweep('canary'))
    expect_clean(daemon.sweep('canary'))
    assert daemon.findings('canary', every=True) == []


@test
def a_canary_goes_on_after_its_daemon_was_killed(case):
    fs = FileSystem(case, 'ext4')
    daemon = case.daemon([canary(fs.path, size=64 * MIB, block_size='4K', queue_depth=1, segment='1M')])
    sweep_id = daemon.begin('canary')
    daemon.sweeping('canary', MIB)
    daemon.kill9()
    assert os.path.getsize(fs.path) == 64 * MIB
    daemon.start()
    expect_clean(daemon.end(sweep_id))


@test
def nothing_is_made_where_a_canary_would_not_show_the_disk(case):
    directory = case.directory('memory')  # on tmpfs
    fs = FileSystem(case, 'ext4', 'data=journal')
    for path, rule in (os.path.join(directory, 'canary'), 'file_system'), (fs.path, 'file_not_direct'):
        daemon = case.daemon([canary(path)])
        expect_refused(daemon, 'canary', rule)
        assert os.listdir(os.path.dirname(path)) in ([], ['lost+found']), os.listdir(os.path.dirname(path))
        daemon.stop()


@test
def no_room_for_a_canary_is_a_refusal_that_leaves_nothing(case):
    fs = FileSystem(case, 'ext4')
    daemon = case.daemon([canary(fs.path, size=2 * DISK_SIZE)])
    expect_refused(daemon, 'canary', 'no_space')
    assert not os.path.exists(fs.path)


@test
def a_file_in_the_page_cache_is_not_written_to(case):
    fs = FileSystem(case, 'ext4')
    daemon = case.daemon([canary(fs.path)])
    expect_clean(daemon.sweep('canary'))
    with open(fs.path, 'rb') as file:
        assert len(file.read()) == SIZE  # a backup: its pages can be dropped
    expect_clean(daemon.sweep('canary'))
    with open(fs.path, 'r+b') as file, mmap.mmap(file.fileno(), UNIT) as pages:
        view = (ctypes.c_char * UNIT).from_buffer(pages)
        assert ctypes.CDLL(None).mlock(ctypes.byref(view), UNIT) == 0
        expect_refused(daemon, 'canary', 'page_cached', backing=fs.path)
        del view
    expect_clean(daemon.sweep('canary'))


@test
def a_file_that_is_cached_in_mid_sweep_ends_it(case):
    fs = FileSystem(case, 'ext4')
    daemon = case.daemon([canary(fs.path, size=128 * MIB, block_size='4K', queue_depth=1, segment='1M')])
    sweep_id = daemon.begin('canary')
    daemon.sweeping('canary', MIB)
    with open(fs.path, 'r+b') as file, mmap.mmap(file.fileno(), UNIT) as pages:
        view = (ctypes.c_char * UNIT).from_buffer(pages)
        assert ctypes.CDLL(None).mlock(ctypes.byref(view), UNIT) == 0
        sweep = daemon.end(sweep_id)
        del view
    assert (sweep['end'], sweep['reason']['rule']) == ('failed', 'page_cached'), sweep
    assert sweep['verdict'] == 'incomplete', sweep


def make(path, data):
    with open(path, 'wb') as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@test
def a_file_that_sweepd_did_not_make_is_left_alone(case):
    fs = FileSystem(case, 'ext4')
    for data in case.rng.randbytes(SIZE), bytes(SIZE), b'somebody wrote this down. ' * (SIZE // 26) + bytes(SIZE % 26):
        make(fs.path, data)
        daemon = case.daemon([canary(fs.path)])
        expect_refused(daemon, 'canary', 'not_ours', backing=fs.path)
        expect_refused(daemon, 'canary', 'not_ours', backing=fs.path, overwrite=fs.path)
        daemon.stop()


@test
def a_canary_that_was_put_to_use_is_left_alone(case):
    fs = FileSystem(case, 'ext4')
    daemon = case.daemon([canary(fs.path)])
    expect_clean(daemon.sweep('canary'))
    with open(fs.path, 'r+b') as file:
        file.write(case.rng.randbytes(MIB))
        os.fsync(file.fileno())
    expect_refused(daemon, 'canary', 'foreign_data', backing=fs.path)
    with open(fs.path, 'r+b') as file:
        file.truncate(0)
        file.write(case.rng.randbytes(SIZE))
        os.fsync(file.fileno())
    expect_refused(daemon, 'canary', 'foreign_data', backing=fs.path)


def sweeps(daemon):
    try:
        return daemon.sweep('canary')['verdict'] == 'clean'
    except VarlinkError:
        return False


@test
def links_holes_copies_and_other_sizes_are_refused(case):
    need('cp')
    fs = FileSystem(case, 'xfs')
    daemon = case.daemon([canary(fs.path)])
    expect_clean(daemon.sweep('canary'))
    other = os.path.join(fs.point, 'other')

    os.link(fs.path, other)
    expect_refused(daemon, 'canary', 'file_links', backing=fs.path)
    os.unlink(other)

    run('cp', '--reflink=always', fs.path, other)
    expect_refused(daemon, 'canary', 'file_sparse', backing=fs.path)
    os.unlink(other)
    eventually('the blocks are its own again', lambda: sweeps(daemon), 60, 0.2)  # XFS frees in its own time

    os.rename(fs.path, other)
    os.symlink(other, fs.path)
    expect_refused(daemon, 'canary', 'not_file', backing=other)
    os.unlink(fs.path)
    os.mkdir(fs.path)
    expect_refused(daemon, 'canary', 'not_file', backing=other)
    os.rmdir(fs.path)
    os.rename(other, fs.path)

    os.truncate(fs.path, SIZE + UNIT)
    expect_refused(daemon, 'canary', 'file_size', backing=fs.path)
    os.truncate(fs.path, SIZE)
    expect_clean(daemon.sweep('canary'))

    with open(fs.path, 'r+b') as file:
        mode, at, length = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, ctypes.c_long(MIB), ctypes.c_long(64 * KIB)
        assert ctypes.CDLL(None).fallocate(file.fileno(), mode, at, length) == 0
    expect_refused(daemon, 'canary', 'file_sparse', backing=fs.path)


@test
def on_btrfs_a_file_that_moves_when_it_is_written_is_refused(case):
    need('btrfs')
    fs = FileSystem(case, 'btrfs')
    daemon = case.daemon([canary(fs.path)])
    expect_clean(daemon.sweep('canary'))
    snapshot = os.path.join(fs.point, 'snapshot')
    run('btrfs', 'subvolume', 'snapshot', fs.point, snapshot)
    expect_refused(daemon, 'canary', 'file_sparse', backing=fs.path)
    run('btrfs', 'subvolume', 'delete', '--commit-after', snapshot)
    run('btrfs', 'subvolume', 'sync', fs.point)
    expect_clean(daemon.sweep('canary'))
    with open(fs.path, 'rb') as file:
        content = file.read()
    os.unlink(fs.path)
    with open(fs.path, 'wb') as file:
        file.write(content)
        os.fsync(file.fileno())
    expect_refused(daemon, 'canary', 'file_system', backing=fs.path)


@test
def a_loop_device_over_a_canary_keeps_it_from_being_written_to(case):
    fs = FileSystem(case, 'ext4')
    daemon = case.daemon([canary(fs.path)])
    expect_clean(daemon.sweep('canary'))
    loop = run('losetup', '-f', '--show', fs.path).stdout.strip()
    try:
        expect_refused(daemon, 'canary', 'twin', backing=fs.path)
    finally:
        run('losetup', '-d', loop)


@test
def a_lock_of_another_process_on_the_file_is_respected(case):
    fs = FileSystem(case, 'ext4')
    daemon = case.daemon([canary(fs.path)])
    expect_clean(daemon.sweep('canary'))
    with open(fs.path, 'r+b') as file:
        # Of this open file, not of the process: others that it closes don't give it back.
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack('hhqqi', fcntl.F_WRLCK, 0, 0, 0, 0))
        expect_refused(daemon, 'canary', 'in_use', backing=fs.path)
    expect_clean(daemon.sweep('canary'))


@test
def a_canary_keeps_no_mode_that_is_for_devices(case):
    fs = FileSystem(case, 'ext4')
    daemon = case.daemon([canary(fs.path)])
    expect_clean(daemon.sweep('canary'))
    before = sha256(fs.path)
    for mode in 'preserve', 'refresh':
        expect_refused(daemon, 'canary', 'file_mode', mode=mode)
    assert sha256(fs.path) == before


main()
