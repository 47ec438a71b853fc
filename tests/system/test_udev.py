#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Disks that come and go where udev runs: its events are heard, and nothing is asked for in between.

A udevd of the test's own gets the kernel's events in a network namespace, where what it tells reaches the test's daemon
alone. Its /dev and /run are its own as well: there are nodes of the test's disks, and no others.
"""

import os
import signal
import subprocess
import time

from harness import Skip, die_with_parent, eventually, expect_clean, main, need, test
from matched import Slots, becomes, entry, image, states

UDEVD = '/lib/systemd/systemd-udevd'
LOOKED_FOR_S = 3  # so often where there is no udev

# Its arguments: the minor numbers of the loop devices.
BEGIN = r'''
set -e
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/dev
mount -t tmpfs -o mode=755 tmpfs /run/dev
mknod -m 666 /run/dev/null c 1 3
mknod -m 666 /run/dev/urandom c 1 9
for minor; do
        mknod -m 660 "/run/dev/loop$minor" b 7 "$minor"
done
mkdir /run/dev/shm
mount --bind /dev/shm /run/dev/shm
mount --move /run/dev /dev
exec UDEVD
'''


class Udev:
    """Ends with its process, and so do its namespaces."""

    def __init__(self, case, slots):
        need('unshare', 'nsenter', 'udevadm')
        if not os.access(UDEVD, os.X_OK):
            raise Skip('udev is not installed')
        self.said = os.path.join(case.directory('udev'), 'log')
        with open(self.said, 'wb') as log:
            self.process = subprocess.Popen(
                ['unshare', '--net', '--mount', '--propagation', 'private', 'sh', '-c', BEGIN.replace('UDEVD', UDEVD),
                 'begin', *[str(slots.base + i) for i in range(10)]],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)
        case.keep(self)
        eventually('udevd answers', self._answers, 20)

    def inside(self, *command):
        return ['nsenter', '--target', str(self.process.pid), '--net', '--mount', '--', *command]

    def _answers(self):
        if self.process.poll() is not None:
            with open(self.said, encoding='utf-8', errors='replace') as file:
                raise Skip(f'udevd does not run here: {file.read()[-300:]}')
        return subprocess.run(self.inside('udevadm', 'control', '--ping'), capture_output=True, check=False).returncode == 0

    def close(self):
        self.process.kill()
        self.process.wait(10)


@test
def a_disk_that_comes_and_goes_is_followed_by_what_udev_tells(case):
    slots = Slots(case)
    udev = Udev(case, slots)
    daemon = case.daemon_not_started([entry(slots)])
    daemon.start(prefix=udev.inside())
    assert states(daemon) == {}, states(daemon)
    backing = image(case, 'one')
    disk = slots.attach(2, backing)
    becomes(daemon, {'loop-one': (disk.path, 'idle')})
    expect_clean(daemon.sweep('loop-one'), 'readable')
    disk.close()
    becomes(daemon, {'loop-one': (slots.path(2), 'missing')})
    slots.attach(7, backing)
    becomes(daemon, {'loop-one': (slots.path(7), 'idle')})
    udev.process.send_signal(signal.SIGSTOP)
    two = slots.attach(3, image(case, 'two'))
    time.sleep(LOOKED_FOR_S + 1)
    assert list(states(daemon)) == ['loop-one'], 'it was not udev that told of it'
    udev.process.send_signal(signal.SIGCONT)
    becomes(daemon, {'loop-one': (slots.path(7), 'idle'), 'loop-two': (two.path, 'idle')})
    assert len(daemon.sweeps('loop-one')) == 1, daemon.sweeps()


if __name__ == '__main__':
    main()
