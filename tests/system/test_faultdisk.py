#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The disk that fails as it is told, seen through a loop device: what the other tests rely on."""

import errno
import os
import threading
import time

from harness import DirectFile, FaultDisk, KIB, MIB, SECTOR, eventually, main, test


def filled(case, size=4 * MIB, **options):
    """A disk full of chance, and what it holds."""
    disk = case.faultdisk(size, **options)
    data = case.rng.randbytes(size)
    disk.write(0, data)
    return disk, data


@test
def a_sound_disk_gives_back_what_it_got(case):
    disk, data = filled(case)
    with DirectFile(disk.path) as file:
        assert file.read(0, MIB) == data[:MIB]
        for _ in range(50):
            length = case.rng.randint(1, 512) * SECTOR
            offset = case.rng.randrange((disk.size - length) // SECTOR) * SECTOR
            new = case.rng.randbytes(length)
            assert file.write(offset, new) == length
            data = data[:offset] + new + data[offset + length:]
            assert file.read(offset, length) == new
        file.flush()
    assert disk.read(0, disk.size) == data


@test
def it_does_not_look_sparse(case):
    disk = case.faultdisk(4 * MIB)
    status = os.stat(disk.backing)
    assert status.st_blocks * 512 >= status.st_size == disk.size, status
    fd = os.open(disk.backing, os.O_RDONLY)
    try:
        assert os.lseek(fd, 0, os.SEEK_HOLE) == disk.size
        assert os.lseek(fd, 4096, os.SEEK_DATA) == 4096
    finally:
        os.close(fd)
    with open(f'/sys/block/{disk.path[5:]}/loop/dio', encoding='utf-8') as file:
        assert file.read().strip() == '1'


@test
def errors_arrive_as_what_they_are(case):
    disk, data = filled(case)
    # A loop device knows fewer errors than a disk: the others arrive as EIO.
    arrive = {'EIO': errno.EIO, 'ENOSPC': errno.ENOSPC, 'ETIMEDOUT': errno.ETIMEDOUT, 'ENOLINK': errno.ENOLINK,
              'ENODATA': errno.ENODATA, 'EILSEQ': errno.EILSEQ, 'EREMOTEIO': errno.EREMOTEIO}
    with DirectFile(disk.path) as file:
        for name, number in arrive.items():
            disk.command(f'error read,write errno={name} at=1M length=4K')
            got = (file.error(file.read, MIB, 4096), file.error(file.write, MIB, bytes(4096)))
            assert set(got) <= {number, errno.EIO}, f'{name} arrives as {[errno.errorcode.get(e) for e in got]}'
            assert name != 'EIO' or got == (errno.EIO, errno.EIO), got
            disk.command('clear')
        assert file.read(MIB, 4096) == data[MIB:MIB + 4096], 'a write that failed has arrived'


@test
def an_error_hits_its_sectors_and_its_times_only(case):
    disk, _ = filled(case)
    number = disk.command(f'error read at={MIB + SECTOR} length=512 times=2')
    with DirectFile(disk.path) as file:
        assert file.error(file.read, MIB, SECTOR) == 0
        assert file.error(file.read, MIB + 2 * SECTOR, SECTOR) == 0
        assert file.error(file.write, MIB + SECTOR, bytes(SECTOR)) == 0
        assert file.error(file.read, MIB + SECTOR, SECTOR) == errno.EIO
        assert file.error(file.read, MIB, 64 * KIB) == errno.EIO
        assert file.error(file.read, MIB, 64 * KIB) == 0
    assert disk.command(f'hits {number}') == '2'


@test
def a_flush_can_fail(case):
    disk, _ = filled(case)
    with DirectFile(disk.path) as file:
        file.flush()
        disk.command('error flush times=1')
        file.write(0, bytes(SECTOR))
        assert file.error(file.flush) == errno.EIO
        file.write(0, bytes(SECTOR))
        assert file.error(file.flush) == 0


def difference(one, other):
    return sum((a ^ b).bit_count() for a, b in zip(one, other))


@test
def bits_flip_on_reads_and_on_writes(case):
    disk, data = filled(case)
    with DirectFile(disk.path) as file:
        disk.command('flip read at=8K length=4K bits=3 times=1')
        got = file.read(0, 64 * KIB)
        assert difference(got[8192:12288], data[8192:12288]) == 3
        assert difference(got, data) == 3
        assert file.read(0, 64 * KIB) == data[:64 * KIB], 'it was to happen once'
        disk.command('flip read at=1M length=4K bit=9')
        got = file.read(MIB - 4096, 8192)
        assert got[4097] ^ data[MIB + 1] == 2 and difference(got, data[MIB - 4096:MIB + 4096]) == 1
        disk.command('clear')
        disk.command('flip write at=2M length=512 bits=1')
        file.write(2 * MIB, bytes(4096))
        got = file.read(2 * MIB, 4096)
        assert difference(got, bytes(4096)) == 1 and got[512:] == bytes(4096 - 512)


@test
def the_same_seed_flips_the_same_bits(case):
    got = []
    for seed in ('7', '7', '8'):
        disk = case.faultdisk(MIB, options=['--seed', seed])
        disk.command('flip read bits=5 length=4K')
        with DirectFile(disk.path) as file:
            got.append(file.read(0, 4 * KIB))  # one request: the kernel may cut a larger one, in any order
    assert got[0] == got[1] != got[2] and difference(got[0], bytes(4 * KIB)) == 5


@test
def writes_get_lost_misdirected_and_torn(case):
    disk, data = filled(case)
    data = bytearray(data)
    new = case.rng.randbytes(16 * KIB)
    disk.command('lose write at=68K length=4K')
    disk.command('misdirect write at=1M length=4K to=3M')
    disk.command('tear write at=2M length=8K sectors=3')
    with DirectFile(disk.path) as file:
        for offset in (64 * KIB, MIB, 2 * MIB):
            assert file.write(offset, new) == len(new)
    data[64 * KIB:80 * KIB] = new[:4 * KIB] + data[68 * KIB:72 * KIB] + new[8 * KIB:]
    data[MIB + 4 * KIB:MIB + 16 * KIB] = new[4 * KIB:]
    data[3 * MIB:3 * MIB + 4 * KIB] = new[:4 * KIB]
    data[2 * MIB:2 * MIB + 3 * SECTOR] = new[:3 * SECTOR]
    data[2 * MIB + 8 * KIB:2 * MIB + 16 * KIB] = new[8 * KIB:]
    assert disk.read(0, disk.size) == bytes(data)


@test
def reads_return_zeros_or_the_snapshot(case):
    disk, data = filled(case)
    disk.command('snapshot')
    new = case.rng.randbytes(64 * KIB)
    disk.command('zero read at=4K length=4K')
    disk.command('stale read at=16K length=8K')
    with DirectFile(disk.path) as file:
        file.write(0, new)
        want = new[:4096] + bytes(4096) + new[8192:16384] + data[16384:24576] + new[24576:]
        assert file.read(0, 64 * KIB) == want
        disk.command('clear')
        assert file.read(0, 64 * KIB) == new


@test
def delays_and_models_take_their_time(case):
    disk, _ = filled(case)
    with DirectFile(disk.path) as file:
        def seconds(count, step):
            began = time.monotonic()
            for i in range(count):
                file.read(i * step, 4096)
            return time.monotonic() - began
        disk.command('delay read ms=30 at=0 length=4K')
        assert 0.03 <= seconds(1, 0) < 1
        disk.command('clear')
        disk.command('model hdd')
        # Each place is a seek from the one before.
        assert 0.15 <= seconds(20, 64 * KIB) < 2
        disk.command('model none')
        eventually('nothing takes time any more', lambda: seconds(20, 64 * KIB) < 0.15, 10)


@test
def a_request_hangs_until_it_is_released(case):
    disk, data = filled(case)
    disk.command('hang read at=1M length=512')
    results = []
    with DirectFile(disk.path) as file:
        for release, want in (('release', 0), ('release errno=EIO', errno.EIO)):
            thread = threading.Thread(target=lambda: results.append(file.error(file.read, MIB, 4096)))
            thread.start()
            eventually('it hangs', lambda: disk.command('hanging') == '1', 5)
            # The others pass.
            assert file.read(0, 4096) == data[:4096]
            time.sleep(0.1)
            assert thread.is_alive()
            disk.command(release)
            thread.join(5)
            assert results[-1] == want, results
    assert disk.command('hanging') == '0'


@test
def many_requests_hang_and_others_still_pass(case):
    disk, data = filled(case)
    disk.command('hang read at=1M length=1M')
    with DirectFile(disk.path) as file:
        threads = [threading.Thread(target=file.read, args=(MIB + i * 16 * KIB, 4096)) for i in range(60)]
        for thread in threads:
            thread.start()
        eventually('all hang', lambda: disk.command('hanging') == '60', 10)
        assert file.read(0, 4096) == data[:4096]
        disk.command('release')
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()


@test
def a_power_cut_takes_what_was_not_flushed(case):
    disk, data = filled(case)
    new = case.rng.randbytes(256 * KIB)
    for loss in ('drop', 'keep', 'random 42'):
        disk.write(0, data)
        disk.command('cache volatile')
        with DirectFile(disk.path) as file:
            file.write(0, new)
            file.flush()
            file.write(MIB, new)
            assert file.read(MIB, len(new)) == new
            disk.command(f'powercut {loss}')
            assert file.error(file.read, 0, 4096) == errno.EIO
            assert file.error(file.write, 0, bytes(4096)) == errno.EIO
            disk.command('poweron')
            assert file.read(0, len(new)) == new, 'what was flushed is lost'
            got = file.read(MIB, len(new))
        disk.command('cache off')
        old = data[MIB:MIB + len(new)]
        kept = [got[i:i + SECTOR] == new[i:i + SECTOR] for i in range(0, len(new), SECTOR)]
        dropped = [got[i:i + SECTOR] == old[i:i + SECTOR] for i in range(0, len(new), SECTOR)]
        assert all(a != b for a, b in zip(kept, dropped)), 'a sector is neither old nor new'
        share = sum(kept) / len(kept)
        assert {'drop': share == 0, 'keep': share == 1}.get(loss, 0.3 < share < 0.7), share


@test
def a_lying_cache_loses_what_was_flushed(case):
    disk, data = filled(case)
    disk.command('cache lying')
    with DirectFile(disk.path) as file:
        file.write(0, bytes(4096))
        file.flush()
        disk.command('powercut drop')
        disk.command('poweron')
        assert file.read(0, 4096) == data[:4096]


@test
def a_disk_can_be_removed_and_come_back(case):
    disk, data = filled(case)
    with DirectFile(disk.path) as file:
        disk.command('remove errno=EIO')
        assert file.error(file.read, 0, 4096) == errno.EIO
        assert file.error(file.write, 0, bytes(4096)) == errno.EIO
        disk.command('return')
        assert file.read(0, 4096) == data[:4096]


@test
def a_disk_can_shrink(case):
    disk, data = filled(case)
    disk.command('shrink 1M')
    assert os.stat(disk.backing).st_size == MIB
    with DirectFile(disk.path) as file:
        assert file.read(MIB - 4096, 4096) == data[MIB - 4096:MIB]
        # What lies beyond is no more what it was, whatever the loop device makes of it.
        try:
            assert file.read(MIB, 4096) != data[MIB:MIB + 4096]
        except OSError as error:
            assert error.errno == errno.EIO, error


@test
def every_request_is_logged(case):
    disk, _ = filled(case)
    log = os.path.join(case.scratch, 'log')
    disk.command(f'log {log}')
    disk.command('error read at=64K length=4K')
    with DirectFile(disk.path) as file:
        file.write(8192, bytes(4096))
        file.error(file.read, 64 * KIB, 4096)
        file.flush()
    disk.command('log off')
    with open(log, encoding='utf-8') as text:
        lines = [line.split() for line in text]
    assert ['write', '8192', '4096', '0'] in [line[:4] for line in lines], lines
    assert ['read', '65536', '4096', str(errno.EIO)] in [line[:4] for line in lines], lines
    assert ['flush', '0', '0', '0'] in [line[:4] for line in lines], lines
    assert all(int(line[4]) <= int(line[5]) for line in lines)


@test
def what_is_not_understood_is_an_error(case):
    disk = case.faultdisk(MIB)
    for line in ('', 'explode', 'error', 'error sing', 'lose read', 'error read errno=EWHAT', 'error read at=x',
                 'error read colour=red', 'error read at', 'cache maybe', 'powercut', 'powercut random', 'shrink 2M',
                 'shrink 1000', 'model tape', 'drop 77', 'hits 77', 'clear now', 'release EIO', 'log /no/such/dir/log',
                 'flip read bits=0', 'x' * 900):
        verdict, text = disk.command(line, check=False)
        assert verdict == 'error' and text, line
    with DirectFile(disk.path) as file:
        assert file.read(0, 4096) == bytes(4096)


@test
def a_script_sets_faults_from_the_start(case):
    disk = case.keep(FaultDisk(case.directory('f'), MIB, script='# bad from birth\n\nerror read at=4K length=512\n'))
    with DirectFile(disk.path) as file:
        assert file.error(file.read, 4096, 512) == errno.EIO
    try:
        FaultDisk(case.directory('f'), MIB, script='clear\nnonsense\n').close()
        raise AssertionError('a bad script was taken')
    except AssertionError as error:
        assert ':2:' in str(error), error


@test
def sectors_of_4096_bytes_are_possible(case):
    disk, data = filled(case, sector_size=4096)
    disk.command('error read at=8K length=512')
    with DirectFile(disk.path) as file:
        assert file.error(file.read, 4096, 512) == errno.EINVAL
        assert file.error(file.read, 8192, 4096) == errno.EIO
        assert file.read(4096, 4096) == data[4096:8192]


@test
def sigterm_unmounts_even_when_requests_hang(case):
    disk = case.faultdisk(MIB)
    disk.command('hang read')
    results = []
    with DirectFile(disk.path) as file:
        thread = threading.Thread(target=lambda: results.append(file.error(file.read, 0, 4096)))
        thread.start()
        eventually('it hangs', lambda: int(disk.command('hanging')) >= 1, 5)
        process = disk.process
        process.terminate()
        process.wait(10)
        assert process.returncode == 0, process.returncode
        thread.join(5)
        assert results and results[0] == errno.EIO, results
    assert not os.path.ismount(disk.mount)
    assert not os.path.exists(disk.socket)


if __name__ == '__main__':
    if not os.path.exists('/dev/fuse'):
        print('1..0 # SKIP no /dev/fuse')
    else:
        main()
