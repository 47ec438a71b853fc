# SPDX-License-Identifier: Apache-2.0
"""What tests of refresh and preserve share: disks full of data with their undo journals, and what a journal holds."""

import collections
import contextlib
import os
import signal
import struct
import subprocess
import time

from harness import (KIB, MIB, UNIT, Client, VarlinkError, device_entry, die_with_parent, eventually, kill_and_wait,
                     of_threads, program)

FREE, ARMED, PINNED = range(3)

Slot = collections.namedtuple('Slot', 'state sequence record offset length')


def long_form(normal, long):
    """A number of rounds: LONG=1 asks for the long form."""
    return long if os.environ.get('LONG') else normal


def crc64_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0xc96c5795d7870f42 if n & 1 else 0)
        table.append(n)
    return table


_crc64 = crc64_table()


def is_whole(page):
    """A page of a journal whose checksum holds: of one that is torn nothing counts."""
    crc = (1 << 64) - 1
    for byte in page[:4088]:
        crc = crc >> 8 ^ _crc64[(crc ^ byte) & 255]
    return crc ^ (1 << 64) - 1 == int.from_bytes(page[4088:], 'little')


def journal_bytes(segment):
    """As undo_layout.h has it."""
    pages = -(-segment // UNIT)
    return (2 + 2 * (2 + -(-pages // 480) + pages) + 512) * UNIT


def slots_of(read):
    """The slots of a journal as they count. read: a function of (offset, length)."""
    head = read(0, UNIT)
    if head[:7] != b'SWEEPUH':
        head = read(UNIT, UNIT)
    if head[:7] != b'SWEEPUH':
        return []
    segment = struct.unpack_from('<Q', head, 24)[0]
    pages = -(-segment // UNIT)
    table = -(-pages // 480)
    found = []
    for slot in range(2):
        first = (2 + slot * (2 + table + pages)) * UNIT
        best = Slot(FREE, 0, 0, 0, 0)
        for place in (first, first + (1 + table + pages) * UNIT):
            page = read(place, UNIT)
            if page[:7] != b'SWEEPUM' or page[8:16] != head[8:16] or not is_whole(page):
                continue
            sequence, record, _, state, _, offset, length = struct.unpack_from('<QQIIIxxxxQQ', page, 16)
            if sequence > best.sequence:
                best = Slot(state, sequence, record, offset, length)
        found.append(best)
    return found


class Kept:
    """A disk full of data, and the journal of its sweeps: a disk, or a directory."""

    def __init__(self, name, target, journal, rng, segment=MIB, mode='preserve', **keys):
        self.name, self.target, self.journal, self.mode = name, target, journal, mode
        self.original = rng.randbytes(target.size)
        target.write(0, self.original)
        path = journal if isinstance(journal, str) else journal.path
        self.keys = {'segment': f'{segment // KIB}K', 'block_size': '64K', 'settle': '1s', 'journal': path, **keys}

    def entry(self):
        return device_entry(self.name, self.target, self.mode, **self.keys)

    def read_journal(self, offset, length):
        if not isinstance(self.journal, str):
            return self.journal.read(offset, length)
        try:
            with open(os.path.join(self.journal, self.name + '.undo'), 'rb') as file:
                file.seek(offset)
                return file.read(length)
        except FileNotFoundError:
            return b''

    def slots(self):
        return slots_of(self.read_journal)

    def states(self):
        return [s.state for s in self.slots()]

    def changed_units(self, offset=0, length=None):
        """Units that are not as they were in the beginning."""
        length = self.target.size - offset if length is None else length
        now = self.target.read(offset, length)
        then = self.original[offset:offset + length]
        if now == then:
            return []
        return [at // UNIT for at in range(offset, offset + length, UNIT)
                if now[at - offset:at - offset + UNIT] != then[at - offset:at - offset + UNIT]]

    def moment(self):
        """What a sweep that was cut short was doing, by what it has left."""
        armed = [s for s in self.slots() if s.state != FREE]
        for slot in armed:
            changed = self.changed_units(slot.offset, slot.length)
            first, last = slot.offset // UNIT, (slot.offset + slot.length - 1) // UNIT
            if len(changed) == last - first + 1:
                return 'all of a segment was overwritten'
            if changed and changed[-1] == last and changed[0] != first:
                return 'originals were being put back'
            if changed:
                return 'a segment was being overwritten'
        return f'slots armed: {len(armed)}, nothing overwritten'

    def expect_kept(self, what, but=()):
        """Every byte is the original one, and no slot is armed. but: units that somebody else wrote."""
        changed = [u for u in self.changed_units() if u not in but]
        assert not changed, (f'{what}: {self.name}: {len(changed)} units are not as they were, the first at '
                             f'{changed[0] * UNIT}: {self.target.read(changed[0] * UNIT, 64)}, slots {self.slots()}')
        assert set(self.states()) <= {FREE}, f'{what}: {self.name}: slots {self.slots()}'

    def forget(self, daemon):
        """Gives up what the journal holds, as a person does who has settled it."""
        for reply in daemon.call_more('ListRescues', device=self.name):
            daemon.call('ForgetRescue', id=reply['rescue']['id'], serial=self.target.backing)
        assert set(self.states()) <= {FREE}, self.slots()
        eventually(f'{self.name} is looked at again', lambda: daemon.device(self.name)['state'] == 'idle')

    def expect_blank_journal(self):
        """Nothing of what was saved is left in the journal."""
        units = {self.original[at:at + UNIT] for at in range(0, len(self.original), UNIT)} - {bytes(UNIT)}
        size = journal_bytes(self.segment())
        held = self.read_journal(0, size)
        left = sum(held[at:at + UNIT] in units for at in range(0, len(held), UNIT))
        assert held and not left, f'{self.name}: {left} units of data are left in the journal'

    def segment(self):
        return int(self.keys['segment'][:-1]) * KIB


def kept_loops(case, name='d0', size=8 * MIB, segment=MIB, **keys):
    """Target and journal on loop devices."""
    target = case.loop(size)
    return Kept(name, target, case.loop(journal_bytes(segment) + MIB), case.rng, segment, **keys)


def kept_faultdisks(case, name='d0', size=4 * MIB, segment=512 * KIB, **keys):
    """Target and journal on fault disks."""
    target = case.faultdisk(size)
    return Kept(name, target, case.faultdisk(journal_bytes(segment) + MIB), case.rng, segment, **keys)


def stand_still(daemon, *disks):
    """From here on until SIGCONT the daemon asks for nothing, and nothing is under way on the disks."""
    daemon.process.send_signal(signal.SIGSTOP)

    def states():
        return {text.rpartition(')')[2].split()[0] for _, text in of_threads(daemon.pid, 'stat')}

    def in_flight(disk):
        with open(f'/sys/class/block/{os.path.basename(disk.path)}/inflight', encoding='ascii') as file:
            return any(int(count) for count in file.read().split())

    eventually('the daemon stands still', lambda: states() == {'T'}, 20, 0.001)
    eventually('nothing is under way', lambda: not any(in_flight(d) for d in disks), 20, 0.001)


@contextlib.contextmanager
def overwritten(daemon, kept):
    """Waits until a segment bears the pattern, and none of it has gone back yet: the originals are in the journal alone.
    The daemon stands still meanwhile. Gives the units that bear the pattern."""
    disks = [disk for disk in (kept.target, kept.journal) if not isinstance(disk, str)]

    def caught():
        if not kept.changed_units():
            return None
        stand_still(daemon, *disks)
        changed = kept.changed_units()
        begins = {s.offset // UNIT for s in kept.slots() if s.state == ARMED}
        if changed and changed[0] in begins:
            return changed
        daemon.process.send_signal(signal.SIGCONT)
        return None

    units = eventually('data is overwritten', caught, 30, 0.001)
    try:
        yield units
    finally:
        if daemon.process:
            daemon.process.send_signal(signal.SIGCONT)


def begin_all(daemon, names):
    """Has sweeps of all the devices run, asked for at once: each is answered only when its device has settled. Their
    numbers; a sweep that was cut short goes on by itself, and is one of them."""
    clients = {name: Client(daemon.control) for name in names}
    for name, client in clients.items():
        client.send('io.sweepd.StartSweep', {'device': name})
    ids = {}
    for name, client in clients.items():
        reply = client.receive()
        client.socket.close()
        if reply.get('error') == 'io.sweepd.Busy':
            ids[name] = eventually(f'{name} is swept', lambda n=name: number_of_sweep(daemon, n), 60)
        else:
            assert 'error' not in reply, f'{name}: {reply}'
            ids[name] = reply['parameters']['sweep_id']
    return ids


def number_of_sweep(daemon, name):
    """Of the one that runs, or else of a new one."""
    progress = daemon.device(name)['progress']
    if progress:
        return progress['sweep_id']
    try:
        return daemon.begin(name)
    except VarlinkError as error:
        assert error.name == 'io.sweepd.Busy', error
        return None


def recover_once(daemon):
    """sweepd --recover, begun."""
    with open(daemon.log, 'ab') as log:
        return subprocess.Popen([program('SWEEPD', 'daemon/sweepd'), '--config', daemon.config, '--recover'],
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)


def recover(daemon, timeout_s=60):
    """sweepd --recover; its exit status."""
    process = recover_once(daemon)
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        kill_and_wait(process)
        raise AssertionError(f'sweepd --recover did not end within {timeout_s} s') from None


def recovered(daemon, names, timeout_s=60):
    """Waits until the daemon has looked into all undo journals."""
    def all_done():
        return all(d['state'] not in ('recovering', 'queued') and d['progress'] is None
                   for d in daemon.devices() if d['name'] in names)
    eventually('the journals are worked through', all_done, timeout_s)


def mend_in_some_way(case, daemon, names, histogram):
    """By the option or by the daemon, which may be killed at it, again and again. May leave a daemon running."""
    while case.rng.random() < 0.4:
        process = recover_once(daemon) if case.rng.random() < 0.5 else daemon.spawn()
        daemon.process = None
        time.sleep(case.rng.uniform(0.01, 0.4))
        histogram['(killed in the recovery or before it)'] += process.poll() is None
        kill_and_wait(process)
    if case.rng.random() < 0.5:
        status = recover(daemon)
        assert status == 0, f'sweepd --recover: exit status {status}'
    else:
        daemon.start()
        recovered(daemon, names)


def told(histogram):
    for what, count in sorted(histogram.items(), key=lambda item: -item[1]):
        print(f'# {count:6} {what}', flush=True)
