# SPDX-License-Identifier: Apache-2.0
"""What tests of matched disks need: loop devices with numbers of their own, so that a pattern fits no device of anybody else."""

import errno
import fcntl
import os
import random

from harness import MIB, LoopDevice, eventually, run

LOOP_CTL_ADD = 0x4C80
LOOP_CTL_REMOVE = 0x4C81
SIZE = 8 * MIB


class Slots:
    """Ten loop devices, without files at first, whose names one pattern fits: /dev/loop1234[0-9]."""

    def __init__(self, case):
        self.case = case
        self.control = os.open('/dev/loop-control', os.O_RDWR | os.O_CLOEXEC)
        self.base = None
        for _ in range(100):
            base = random.SystemRandom().randrange(20000, 100000) * 10
            if not os.path.exists(f'/sys/block/loop{base}'):
                try:
                    fcntl.ioctl(self.control, LOOP_CTL_ADD, base)
                    self.base = base
                    break
                except FileExistsError:
                    pass
        assert self.base is not None, 'no loop device can be added'
        for i in range(1, 10):
            fcntl.ioctl(self.control, LOOP_CTL_ADD, self.base + i)
        self.pattern = f'/dev/loop{self.base // 10}[0-9]'
        case.keep(self)

    def path(self, slot):
        return f'/dev/loop{self.base + slot}'

    def attach(self, slot, backing):
        return self.case.keep(Attached(self.path(slot), backing))

    def _remove(self, number):
        try:
            fcntl.ioctl(self.control, LOOP_CTL_REMOVE, number)
            return True
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False

    def close(self):
        for i in range(10):  # udev may be looking at one that has just been detached
            eventually(f'{self.path(i)} removed', lambda n=self.base + i: self._remove(n), 10)
        os.close(self.control)


class Attached(LoopDevice):
    def __init__(self, path, backing):
        # Not by the parent's way: the number is chosen.
        self.backing, self.size, self.path = backing, os.stat(backing).st_size, path
        run('losetup', '--direct-io=on', path, backing)
        self.holder = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        run('losetup', '-d', path)


def image(case, name, size=SIZE):
    path = os.path.join(case.directory('i'), name)
    with open(path, 'wb') as file:
        os.posix_fallocate(file.fileno(), 0, size)
    return path


def entry(slots, **keys):
    return {'match': [slots.pattern], 'every': 'never', **keys}


def is_stored(daemon, name, stored=True):
    """Waits until a restart would know (or not know) of the disk."""
    def holds():
        try:
            with open(os.path.join(daemon.state, 'matched'), encoding='utf-8') as file:
                return (name in file.read()) == stored
        except FileNotFoundError:
            return not stored
    eventually(f'{name} is stored: {stored}', holds)


def states(daemon):
    return {d['name']: (d['path'], d['state']) for d in daemon.devices()}


def becomes(daemon, expected):
    eventually(f'the devices are {expected}, not {states(daemon)}', lambda: states(daemon) == expected, 30)
