# SPDX-License-Identifier: Apache-2.0
"""
Runs the real daemon on real block devices, for the system tests.

A test is a function whose name states a fact, decorated with @test; it gets a Case, through which it makes scratch
files, loop devices, fault disks and daemons. main() runs the tests of a file one after the other and prints TAP. What
a test made is undone at its end, however it ends, and only that: loop devices, mounts and processes are remembered by
their exact names. Chance comes from case.rng alone, so that SEED=n repeats a failure; a failure prints its seed and
the end of each daemon's log.

Environment: SWEEPD, SWEEPCTL and FAULTDISK are the programs under test; SEED repeats a run; TEST_LOG=1 prints the
daemons' logs of tests that succeed, too. Arguments: words; only tests whose name contains one of them are run.

What was waited for in vain may be late on a machine that others use, too: such a test is run once more, with its seed,
and its line says so; STEADY=1 forbids that. What was seen to be wrong is never tried again.
"""

import atexit
import ctypes
import hashlib
import json
import mmap
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB
UNIT = 4096
SECTOR = 512

_here = os.path.dirname(os.path.abspath(__file__))
_top = os.path.dirname(os.path.dirname(_here))


def program(variable, path):
    return os.environ.get(variable) or os.path.join(_top, 'build', path)


class Skip(Exception):
    """The machine cannot show this fact; the text says why."""


class Late(AssertionError):
    """Something did not happen in time."""


class VarlinkError(Exception):
    def __init__(self, name, parameters):
        super().__init__(f'{name} {parameters}')
        self.name = name
        self.parameters = parameters


def run(*command, check=True, **options):
    """Runs a command to its end and returns it with its output as text."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)
    if check and done.returncode != 0:
        raise AssertionError(f'{" ".join(command)}: exit status {done.returncode}: {done.stderr.strip()}')
    return done


def need(*programs):
    for name in programs:
        if not shutil.which(name):
            raise Skip(f'{name} is not installed')


def eventually(what, holds, timeout_s=20, every_s=0.02):
    """Waits until holds() is true, and returns what it returned."""
    end = time.monotonic() + timeout_s
    while True:
        answer = holds()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Late(f'not within {timeout_s} s: {what}')
        time.sleep(every_s)


def of_threads(pid, name):
    """What a file in /proc says of each thread; one that ends just now is left out."""
    for task in os.listdir(f'/proc/{pid}/task'):
        try:
            with open(f'/proc/{pid}/task/{task}/{name}', encoding='utf-8') as file:
                yield task, file.read()
        except (FileNotFoundError, ProcessLookupError):
            pass


def sha256(path):
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def die_with_parent():
    """In a child: a test that is killed leaves no process behind. A fault disk unmounts on this signal."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def keep_mounts_to_ourselves():
    """A test that runs beside us and has a namespace of its own would have a copy of our mounts in it, and keep their
    disks in use when we have long unmounted them. They end with us, too, however we end."""
    new_namespace, recursive, slave = 0x20000, 0x4000, 0x80000
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(new_namespace) != 0 or libc.mount(None, b'/', None, ctypes.c_ulong(recursive | slave), None) != 0:
        raise OSError(ctypes.get_errno(), 'no mount namespace of its own')


def kill_and_wait(process):
    """Bounded: a process that waits for a disk in the kernel can't die before the disk has answered."""
    process.kill()
    process.wait(10)


def _backing_file(loop):
    try:
        with open(f'/sys/block/{os.path.basename(loop)}/loop/backing_file', encoding='utf-8') as file:
            return file.read().strip()
    except FileNotFoundError:
        return None


class LoopDevice:
    """
    A block device over a file. size: bytes. sparse: the file gets no blocks. Damage is written to the backing file:
    with direct I/O on a tmpfs, the file's pages are what the device holds, so nothing stale can be read.
    """

    def __init__(self, backing, size=None, sector_size=512, direct_io=True, sparse=False, readonly=False):
        self.backing = backing
        self.path = None
        self.holder = -1
        if size is not None:
            with open(backing, 'wb') as file:
                if sparse:
                    file.truncate(size)
                else:
                    os.posix_fallocate(file.fileno(), 0, size)
        self.size = os.stat(backing).st_size
        command = ['losetup', '-f', '--show', '-b', str(sector_size)]
        command += ['--direct-io=on'] if direct_io else []
        command += ['--read-only'] if readonly else []
        self.path = run(*command, backing).stdout.strip()
        # Detached while we hold it open, it goes away with our descriptor: also when the test is killed.
        self.holder = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        run('losetup', '-d', self.path)
        # What whoever had its number before has set is still set.
        self.set_queue('max_sectors_kb', self.queue('max_hw_sectors_kb'))
        self.set_queue('read_ahead_kb', 128)

    def queue(self, key):
        with open(f'/sys/block/{os.path.basename(self.path)}/queue/{key}', encoding='utf-8') as file:
            return int(file.read())

    def set_queue(self, key, value):
        with open(f'/sys/block/{os.path.basename(self.path)}/queue/{key}', 'w', encoding='utf-8') as file:
            file.write(str(value))

    def let_go(self):
        """From here on it goes away with the last one that has it open."""
        holder, self.holder = self.holder, -1
        if holder >= 0:
            os.close(holder)

    def close(self):
        if self.path is None:
            return
        path, self.path = self.path, None
        self.let_go()
        # Whoever still holds it is a leak of this test. (Its number may belong to somebody else by now.)
        eventually(f'{path} detached', lambda: _backing_file(path) != self.backing, 10)

    def read(self, offset, length):
        with open(self.backing, 'rb') as file:
            file.seek(offset)
            return file.read(length)

    def write(self, offset, data):
        with open(self.backing, 'r+b') as file:
            file.seek(offset)
            file.write(data)

    def flip_bits(self, offset, count, rng, length=UNIT):
        """Flips `count` different bits in [offset, offset + length)."""
        data = bytearray(self.read(offset, length))
        for bit in rng.sample(range(len(data) * 8), count):
            data[bit // 8] ^= 1 << bit % 8
        self.write(offset, bytes(data))

    def zero(self, offset, length):
        self.write(offset, bytes(length))

    def swap(self, one, other, length=UNIT):
        first, second = self.read(one, length), self.read(other, length)
        self.write(one, second)
        self.write(other, first)

    def units(self):
        """The number of units, the last of which may be a shorter one."""
        return (self.size + UNIT - 1) // UNIT

    def unit_length(self, unit):
        return min(UNIT, self.size - unit * UNIT)


class FaultDisk(LoopDevice):
    """A block device that misbehaves as it is told: see tests/faultdisk/faultdisk.c for its commands."""

    def __init__(self, directory, size, sector_size=512, options=(), script=None):
        self.path = None
        self.process = None
        self.mount = os.path.join(directory, 'mnt')
        self.socket = os.path.join(directory, 'faults')
        os.makedirs(self.mount)
        # The image is a plain file, so that damage can be written behind the disk's back here, too.
        self.image = os.path.join(directory, 'image')
        with open(self.image, 'wb') as file:
            os.posix_fallocate(file.fileno(), 0, size)
        command = [program('FAULTDISK', 'tests/faultdisk/faultdisk'), '--image', self.image, '--control', self.socket]
        if script is not None:
            with open(os.path.join(directory, 'script'), 'w', encoding='utf-8') as file:
                file.write(script)
            command += ['--script', file.name]
        self.log = os.path.join(directory, 'faultdisk.log')
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen(
                [*command, *options, self.mount], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=die_with_parent)
        try:
            eventually('fault disk mounted', self._ready, 10)
            super().__init__(os.path.join(self.mount, 'disk'), sector_size=sector_size)
        except BaseException:
            self.close()
            raise

    def _ready(self):
        if self.process.poll() is not None:
            status, self.process = self.process.returncode, None
            with open(self.log, encoding='utf-8', errors='replace') as log:
                raise AssertionError(f'faultdisk ended with {status}: {log.read()}')
        return os.path.ismount(self.mount) and os.path.exists(self.socket)

    def command(self, line, check=True):
        """Sends one command and returns the text of its answer."""
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(10)
            peer.connect(self.socket)
            peer.sendall(line.encode() + b'\n')
            peer.shutdown(socket.SHUT_WR)
            answer = b''
            while chunk := peer.recv(65536):
                answer += chunk
        verdict, _, text = answer.decode().strip().partition(' ')
        if check and verdict != 'ok':
            raise AssertionError(f'faultdisk: {line}: {verdict} {text}')
        return text if check else (verdict, text)

    def read(self, offset, length):
        with open(self.image, 'rb') as file:
            file.seek(offset)
            return file.read(length)

    def write(self, offset, data):
        with open(self.image, 'r+b') as file:
            file.seek(offset)
            file.write(data)

    def recover(self):
        """A request that hangs would keep the loop device, and the daemon that sent it, for ever."""
        if self.process and self.process.poll() is None and os.path.exists(self.socket):
            self.command('reset', check=False)

    def close(self):
        self.recover()
        try:
            super().close()
        finally:
            self._end_process()

    def _end_process(self):
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            kill_and_wait(process)
        if os.path.ismount(self.mount):
            run('umount', '-l', self.mount)
            raise AssertionError(f'faultdisk left {self.mount} mounted')
        with open(self.log, encoding='utf-8', errors='replace') as log:
            assert process.returncode == 0, f'faultdisk ended with {process.returncode}: {log.read()}'


class DirectFile:
    """Reads and writes a block device past the page cache, and tells the errno of what fails."""

    def __init__(self, path, writable=True):
        self.fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_DIRECT | os.O_CLOEXEC)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def read(self, offset, length):
        with mmap.mmap(-1, length) as buffer:
            count = os.preadv(self.fd, [buffer], offset)
            return buffer[:count]

    def write(self, offset, data):
        with mmap.mmap(-1, len(data)) as buffer:
            buffer[:] = data
            return os.pwritev(self.fd, [buffer], offset)

    def flush(self):
        os.fdatasync(self.fd)

    @staticmethod
    def error(operation, *arguments):
        """The errno that the operation fails with; 0 where it succeeds."""
        try:
            operation(*arguments)
        except OSError as failure:
            return failure.errno
        return 0


class Client:
    """A Varlink connection: JSON objects, each ended by a NUL."""

    def __init__(self, path, timeout_s=15):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout_s)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self.buffer = b''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, method, parameters=None, **flags):
        message = {'method': method, 'parameters': parameters or {}, **flags}
        self.socket.sendall(json.dumps(message).encode() + b'\0')

    def receive(self):
        while b'\0' not in self.buffer:
            chunk = self.socket.recv(1 << 18)
            if not chunk:
                raise ConnectionError('the daemon closed the connection')
            self.buffer += chunk
        text, _, self.buffer = self.buffer.partition(b'\0')
        return json.loads(text)

    def call(self, method, parameters=None):
        self.send(method, parameters)
        return self._parameters(self.receive())

    def call_more(self, method, parameters=None):
        """All replies of a call with `more`. A last reply without a field carries no item."""
        self.send(method, parameters, more=True)
        replies = []
        while True:
            reply = self.receive()
            replies.append(self._parameters(reply))
            if not reply.get('continues'):
                return [r for r in replies if r]

    @staticmethod
    def _parameters(reply):
        if 'error' in reply:
            raise VarlinkError(reply['error'], reply.get('parameters', {}))
        return reply.get('parameters', {})


def device_entry(name, device, mode='pattern', **keys):
    """A `devices` entry for a loop device, swept by hand, in mode pattern, and not yielding to the test's own looks at
    the device, unless told otherwise."""
    entry = {'name': name, 'path': device if isinstance(device, str) else device.path, 'mode': mode, 'every': 'never',
             'yield': False}
    if mode == 'pattern' and not isinstance(device, str):
        entry['destroys_data'] = device.backing
    entry.update(keys)
    return {key: value for key, value in entry.items() if value is not None}


def zone(seconds_ahead):
    """A TZ in which clocks show UTC and so many seconds."""
    sign = '-' if seconds_ahead >= 0 else '+'
    hours, rest = divmod(abs(seconds_ahead), 3600)
    return {'TZ': f'TST{sign}{hours:02}:{rest // 60:02}:{rest % 60:02}'}


def zone_where_it_is(hour, minute, second=0):
    """A TZ in which it is now that time of day."""
    now = int(time.time()) % 86400
    ahead = (hour * 3600 + minute * 60 + second - now) % 86400
    return zone(ahead if ahead <= 43200 else ahead - 86400)


def setting(value):
    if isinstance(value, str):
        return '"' + value.replace('\\', '\\\\').replace('"', '\\"') + '"'
    if isinstance(value, dict):
        return '{ ' + ' '.join(f'{k} = {setting(v)};' for k, v in value.items()) + ' }'
    if isinstance(value, (list, tuple)):
        return '( ' + ', '.join(setting(v) for v in value) + ' )'
    return str(value)


class Daemon:
    """
    One sweepd on a state directory and a control socket of its own. settings: global keys besides these. A daemon can be
    started again after stop() or kill9(), with the same state.
    """

    def __init__(self, directory, devices=(), env=None, start=True, **settings):
        self.directory = directory
        self.state = os.path.join(directory, 'state')
        self.control = os.path.join(directory, 'control')
        self.config = os.path.join(directory, 'sweepd.conf')
        self.log = os.path.join(directory, 'log')
        self.settings = settings
        self.env = env or {}
        self.program = program('SWEEPD', 'daemon/sweepd')
        self.process = None
        os.makedirs(self.state, exist_ok=True)
        self.configure(devices, **settings)
        if start:
            self.start()

    def configure(self, devices, **settings):
        """Writes the configuration; it counts from the next start or reload on."""
        keys = {'state_dir': self.state, 'control_socket': self.control, **(settings or self.settings)}
        keys['devices'] = list(devices)
        with open(self.config, 'w', encoding='utf-8') as file:
            file.write(''.join(f'{key} = {setting(value)};\n' for key, value in keys.items()))

    def spawn(self, prefix=()):
        """Starts the process without waiting for it. prefix: a command that runs it."""
        environment = {k: v for k, v in os.environ.items()
                       if k not in ('STATE_DIRECTORY', 'NOTIFY_SOCKET', 'LISTEN_FDS', 'LISTEN_PID', 'WATCHDOG_USEC')}
        environment.update(self.env)
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(
                [*prefix, self.program, '--config', self.config], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=environment, preexec_fn=die_with_parent)
        return self.process

    def start(self, timeout_s=15, prefix=(), settled=True):
        """settled: the undo journals were looked for, too, which is done first of all, and whatever they held is back."""
        self.spawn(prefix)
        eventually('the control socket answers', self._answers, timeout_s)
        if settled:
            for device in self.devices():
                self.settled(device['name'])
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f'sweepd ended with {self.process.returncode} at its start: {self.log_tail(5)}')
        try:
            with Client(self.control):
                return True
        except OSError:
            return False

    @property
    def pid(self):
        return self.process.pid

    def log_text(self):
        with open(self.log, encoding='utf-8', errors='replace') as file:
            return file.read()

    def expect_told(self, text, times=None):
        """The log comes a moment after what it tells. times: no more often than that."""
        eventually(f'the log says: {text}', lambda: self.log_text().count(text) >= (times or 1))
        assert times is None or self.log_text().count(text) == times, f'told more than {times} times: {text}'

    def log_tail(self, lines=40):
        return '\n'.join(self.log_text().splitlines()[-lines:])

    def hup(self):
        self.process.send_signal(signal.SIGHUP)

    def kill9(self):
        process, self.process = self.process, None
        kill_and_wait(process)

    def stop(self, within_s=5):
        """Asks the daemon to end; it has to within the time that it promises, and with exit status 0."""
        process, self.process = self.process, None
        began = time.monotonic()
        process.terminate()
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            kill_and_wait(process)
            raise AssertionError(f'sweepd did not end within {within_s} s of SIGTERM') from None
        assert process.returncode == 0, f'sweepd ended with {process.returncode} after SIGTERM'
        return time.monotonic() - began

    def close(self):
        if self.process is None:
            return
        if self.process.poll() is not None:
            status, self.process = self.process.returncode, None
            raise AssertionError(f'sweepd ended by itself with {status}')
        self.stop(within_s=10)

    # What it is asked, over the control socket.

    def call(self, method, **parameters):
        with Client(self.control) as client:
            return client.call(f'io.sweepd.{method}', parameters)

    def call_more(self, method, **parameters):
        with Client(self.control) as client:
            return client.call_more(f'io.sweepd.{method}', parameters)

    def device(self, name):
        return self.call('ListDevices', device=name)['device']

    def settled(self, name):
        """The device, once its undo journal was looked for."""
        return eventually(f'the journal of {name} was looked for',
                          lambda: (d := self.device(name))['state'] != 'recovering' and d)

    def devices(self):
        return [reply['device'] for reply in self.call_more('ListDevices')]

    def findings(self, name=None, every=False):
        """Open and acknowledged findings by place; every: also those that are over."""
        parameters = {'all': every, **({'device': name} if name else {})}
        found = [reply['finding'] for reply in self.call_more('ListFindings', **parameters)]
        return sorted(found, key=lambda f: (f['offset'], f['fault'], f['id']))

    def sweeps(self, name=None):
        parameters = {'device': name} if name else {}
        return [reply['sweep'] for reply in self.call_more('ListSweeps', **parameters)]

    def begin(self, name, **parameters):
        return self.call('StartSweep', device=name, **parameters)['sweep_id']

    def finished(self, sweep_id):
        """The record of a sweep that has ended, or None while it has not."""
        try:
            sweep = self.call('GetSweep', id=sweep_id)['sweep']
        except VarlinkError as error:
            if error.name == 'io.sweepd.NoSuchId':
                return None
            raise
        return sweep if sweep['ended_at'] else None

    def end(self, sweep_id, timeout_s=60):
        """Waits for the end of a sweep, and until its device is at rest again."""
        sweep = eventually(f'sweep {sweep_id} ended', lambda: self.finished(sweep_id), timeout_s)
        eventually(f'{sweep["device"]} at rest', lambda: self.device(sweep['device'])['progress'] is None, 10)
        return sweep

    def sweep(self, name, timeout_s=60, **parameters):
        """Runs one sweep from start to end."""
        return self.end(self.begin(name, **parameters), timeout_s)

    def sweep_all(self, names, timeout_s=120):
        """Runs one sweep on each of the devices, side by side. Returns their records by name."""
        ids = {name: self.begin(name) for name in names}
        return {name: self.end(sweep_id, timeout_s) for name, sweep_id in ids.items()}

    def sweeping(self, name, bytes_done=1, timeout_s=20):
        """Waits until a sweep of the device has got so far."""
        def far_enough():
            progress = self.device(name)['progress']
            return progress and progress['bytes_done'] >= bytes_done
        eventually(f'{name} sweeps', far_enough, timeout_s)

    def ctl(self, *arguments, check=True, as_json=True):
        """Runs sweepctl; returns its document, or the finished process where check is off."""
        command = [program('SWEEPCTL', 'tools/sweepctl'), '--socket', self.control, *(['--json'] if as_json else [])]
        done = run(*command, *arguments, check=False, timeout=60)
        if not check:
            return done
        assert done.returncode in (0, 2), f'sweepctl {arguments}: {done.returncode}: {done.stderr}'
        return json.loads(done.stdout) if as_json else done.stdout


def expect_clean(sweep, assurance='verified'):
    """A sweep that finished, found nothing and left nothing out."""
    got = (sweep['end'], sweep['verdict'], sweep['assurance'], sweep['findings'])
    assert got == ('finished', 'clean', assurance, 0), f'not clean: {sweep}'
    parts = sweep['bytes_read'] + sweep['bytes_written'] + sweep['bytes_skipped']
    assert parts == sweep['bytes_total'], f'bytes do not add up: {sweep}'


def told_findings(daemon, name):
    """Of how many findings of a device the log tells: one by one, and in sums."""
    lines = [line for line in daemon.log_text().splitlines() if f': {name}: ' in line]
    sums = [re.search(r'(\d+) more messages? of findings .*?: (\d+) new', line) for line in lines]
    single = [line for line in lines if ' at offset ' in line and not any(
        word in line for word in (' is over', '. It has grown', '. It has been open since'))]
    return sum(int(s.group(2)) for s in sums if s) + len(single)


def places(findings):
    """What findings say, in the form in which tests expect it."""
    return sorted((f['offset'], f['length'], f['fault']) for f in findings)


def expect_places(findings, expected):
    got, expected = places(findings), sorted(expected)
    missing = [p for p in expected if p not in got]
    surplus = [p for p in got if p not in expected]
    assert got == expected, f'findings: missing {missing}, not expected {surplus}, of {len(expected)}'


class Case:
    """What one test has: a seed, a scratch directory, and all that it made."""

    def __init__(self, seed):
        self.seed = seed
        self.rng = random.Random(seed)
        self.scratch = tempfile.mkdtemp(prefix='sweepd-test-', dir='/dev/shm')
        self._made = []
        self._daemons = []
        self._numbers = 0

    def keep(self, resource):
        """Remembers something that has to be closed at the end of the test, newest first."""
        self._made.append(resource)
        return resource

    def undo(self, function, *arguments):
        """Calls a function at the end of the test."""
        self.keep(type('Undo', (), {'close': staticmethod(lambda: function(*arguments))}))

    def directory(self, name):
        self._numbers += 1
        path = os.path.join(self.scratch, f'{name}{self._numbers}')
        os.mkdir(path)
        return path

    def loop(self, size=16 * MIB, **options):
        return self.keep(LoopDevice(os.path.join(self.directory('d'), 'image'), size, **options))

    def faultdisk(self, size=16 * MIB, **options):
        return self.keep(FaultDisk(self.directory('f'), size, **options))

    def daemon(self, devices=(), workers=2, verify=None, **options):
        verify = verify or {'workers': workers}
        daemon = Daemon(self.directory('s'), devices, start=False, verify=verify, **options)
        self._daemons.append(daemon)
        self.keep(daemon)
        return daemon.start()

    def daemon_not_started(self, devices=(), **options):
        daemon = Daemon(self.directory('s'), devices, start=False, **options)
        self._daemons.append(daemon)
        return self.keep(daemon)

    def logs(self):
        return [(d.directory, d.log_tail()) for d in self._daemons if os.path.exists(d.log)]

    def close(self):
        """Undoes everything, whatever fails on the way; raises the first failure."""
        first = None
        for resource in self._made:
            if isinstance(resource, FaultDisk):
                resource.recover()
        while self._made:
            try:
                self._made.pop().close()
            except Exception as failure:  # each of the others must still be closed
                first = first or failure
        if first:
            raise first

    def remove_scratch(self):
        shutil.rmtree(self.scratch, ignore_errors=True)


_tests = []
_current = []


def test(function=None, *, timeout_s=120):
    """Registers a test. timeout_s: how long it may take."""
    def register(f):
        _tests.append((f, timeout_s))
        return f
    return register(function) if function else register


@atexit.register
def _undo_what_is_left():
    for case in _current:
        case.close()
        case.remove_scratch()


def _on_alarm(*_):
    raise Late('the test took too long')


def _on_end_signal(*_):
    raise SystemExit(130)


def _diagnose(case, failure):
    text = ''.join(traceback.format_exception(failure)) + f'repeat with SEED={case.seed}\n'
    for directory, log in case.logs():
        text += f'the end of the log in {directory}:\n{log}\n'
    # Where meson shows it: of the output of a test that speaks TAP it shows the names alone.
    print('\n'.join('# ' + line for line in text.splitlines()), file=sys.stderr, flush=True)


def _run_one(function, timeout_s, seed):
    """Returns a TAP line without its number, and why it failed."""
    case = Case(seed)
    _current.append(case)
    name = function.__name__
    failure = None
    try:
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        function(case)
    except Skip as skip:
        return f'ok - {name} # SKIP {skip}', None
    except Exception as error:
        failure = error
        # Here, while the logs are still those of the failure.
        _diagnose(case, error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            case.close()
        except Exception as error:
            if failure is None or isinstance(failure, Late):
                _diagnose(case, error)
                failure = error
        if failure is None and os.environ.get('TEST_LOG'):
            print('\n'.join(f'# {line}' for _, log in case.logs() for line in log.splitlines()))
        case.remove_scratch()
        _current.remove(case)
    return f'not ok - {name}' if failure else f'ok - {name}', failure


def main():
    """Runs the tests of the calling file and ends the program."""
    if os.geteuid() != 0:
        print('1..0 # SKIP needs root, for loop devices')
        sys.exit(0)
    keep_mounts_to_ourselves()
    signal.signal(signal.SIGALRM, _on_alarm)
    signal.signal(signal.SIGTERM, _on_end_signal)
    words = sys.argv[1:]
    chosen = [t for t in _tests if not words or any(word in t[0].__name__ for word in words)]
    seed = int(os.environ.get('SEED') or random.SystemRandom().randrange(1 << 32))
    print(f'1..{len(chosen)}\n# SEED={seed}', flush=True)
    failed = 0
    for number, (function, timeout_s) in enumerate(chosen, 1):
        began = time.monotonic()
        line, failure = _run_one(function, timeout_s, seed)
        if isinstance(failure, Late) and not os.environ.get('STEADY'):
            line, failure = _run_one(function, timeout_s, seed)
            line += '' if failure else ', late once'
        failed += line.startswith('not ok')
        print(line.replace('ok -', f'ok {number} -', 1), flush=True)
        print(f'# {time.monotonic() - began:.1f} s', flush=True)
    sys.exit(1 if failed else 0)
