#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
The installed daemon under a real systemd: activation, sandbox, journal, reload, stop, watchdog, and who may ask what.

Units that look right can still keep the daemon from its work, and only systemd shows that. So each test boots one as
PID 1 of its own namespaces, on an overlay of this machine's root. Nothing of it may reach the machine: it gets a /dev
of its own with nothing but the test's disk, a network and a cgroup of its own, no udev, and kernel settings that are
read-only. It ends with its PID 1, which is killed when its parent ends.
"""

import ctypes
import glob
import json
import os
import shutil
import signal
import subprocess
import time

from harness import MIB, Skip, UNIT, device_entry, eventually, main, need, program, run, setting, test

SYSTEMD = '/usr/lib/systemd/systemd'
FINDING = '1be58b0d71df486e82acee12e6c77263'
DAEMON = '281425f7df1540a386c35201f918c854'
CAP_SYS_RESOURCE = 1 << 24
WANTED = ('systemd-journald', 'systemd-sysusers', 'systemd-tmpfiles-setup.service')

# $1: a directory with upper, work and root; $2: the disk's node; $3, $4: its major and minor number; $5: the directory
# of the file behind it, which has to be at the same place inside: the daemon makes sure that it has no holes. It wants
# to know the disk of its state, too, which an overlay of layers that can't be seen does not tell: hence the tmpfs.
BOOT = r'''
set -e
cd "$1"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" root
cd root
mount -t proc -o nosuid,nodev,noexec proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro,nosuid,nodev,noexec proc/sys
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/shm dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mkdir -p ".$5" var/lib/sweepd
mount -t tmpfs -o mode=700 tmpfs var/lib/sweepd
mount --bind "$5" ".$5"
for node in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9' 'tty 5 0'; do
        set -- "$1" "$2" "$3" "$4" $node
        mknod -m 666 "dev/$5" c "$6" "$7"
done
mknod -m 660 ".$2" b "$3" "$4"
chgrp disk ".$2"
ln -s /proc/self/fd dev/fd
mkdir run/old
pivot_root . run/old
cd /
umount -l run/old
rmdir run/old
exec env -i container=sweepd-test PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
        /usr/lib/systemd/systemd --system --unit=sweepd-test.target --log-target=console --show-status=no
'''


def die_at_once_with_parent():
    """unshare ignores SIGTERM, and the machine dies with unshare."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Cgroup:
    """A cgroup of the unified hierarchy, which becomes the root of what the machine sees."""

    def __init__(self, name):
        with open('/proc/self/mountinfo', encoding='utf-8') as file:
            mounts = [line.split() for line in file]
        points = [m[4] for m in mounts if m[m.index('-') + 1] == 'cgroup2' and os.access(m[4], os.W_OK)]
        if not points:
            raise Skip('no cgroup2 file system is mounted')
        self.path = os.path.join(points[0], name)
        try:
            os.mkdir(self.path)
        except OSError as error:
            raise Skip(f'no cgroup can be made: {error}') from error

    def enter(self):
        with open(os.path.join(self.path, 'cgroup.procs'), 'w', encoding='ascii') as file:
            file.write('0')

    def _remove(self):
        try:
            for directory, _, _ in os.walk(self.path, topdown=False):
                os.rmdir(directory)
        except OSError:
            return False
        return True

    def close(self):
        eventually(f'{self.path} removed', self._remove, 10)


class Machine:
    """A systemd with sweepd installed, and one disk, d0."""

    def __init__(self, case, disk, dropin=''):
        self.disk = disk
        self.top = case.directory('machine')
        self.upper = os.path.join(self.top, 'upper')
        self.process = None
        for name in ('upper', 'work', 'root'):
            os.mkdir(os.path.join(self.top, name))
        os.chmod(self.upper, 0o755)
        self._install()
        self._mask()
        self._write('/etc/systemd/system/sweepd-test.target',
                    '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n')
        self._write('/etc/sysusers.d/sweepd-test.conf', 'u watcher -\nu stranger -\nm watcher sweepd\n')
        # Of a build with sanitizers: the one for leaks uses ptrace(), which the unit forbids.
        self._write('/etc/systemd/system/sweepd.service.d/test.conf',
                    '[Service]\nEnvironment=ASAN_OPTIONS=detect_leaks=0\n' + dropin)
        self.configure(device_entry('d0', disk))
        self.cgroup = case.keep(Cgroup(os.path.basename(case.scratch)))
        case.keep(self)
        self._boot()

    def _install(self):
        build = os.path.dirname(os.path.dirname(program('SWEEPD', 'daemon/sweepd')))
        run('meson', 'install', '-C', build, '--no-rebuild', '--quiet', '--destdir', self.upper)
        self.unit, = glob.glob(f'{self.upper}/**/systemd/system/sweepd.service', recursive=True)
        with open(self.unit, encoding='utf-8') as file:
            command = [line for line in file if line.startswith('ExecStart=')][0].split()
        self.config = command[command.index('--config') + 1]

    def _write(self, path, text):
        path = self.upper + path
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)

    def _mask(self):
        """Only what the test needs is started, whatever this machine has enabled."""
        wants = glob.glob('/usr/lib/systemd/system/*.wants/*') + glob.glob('/etc/systemd/system/*.wants/*')
        names = {os.path.basename(path) for path in wants} | {'systemd-udevd.service', 'systemd-logind.service'}
        for directory in ('system', 'system-generators'):
            os.makedirs(f'{self.upper}/etc/systemd/{directory}', exist_ok=True)
        for name in names:
            if not name.startswith(WANTED) and not name.endswith('.target'):
                os.symlink('/dev/null', f'{self.upper}/etc/systemd/system/{name}')
        for path in glob.glob('/usr/lib/systemd/system-generators/*'):
            os.symlink('/dev/null', f'{self.upper}/etc/systemd/system-generators/{os.path.basename(path)}')

    def configure(self, *devices):
        """Before the boot. While it runs, see write()."""
        self._write(self.config, f'devices = {setting(list(devices))};\n')

    def _boot(self):
        numbers = os.stat(self.disk.path).st_rdev
        self.console = os.path.join(self.top, 'console')
        with open(self.console, 'wb') as console:
            self.process = subprocess.Popen(
                ['unshare', '--pid', '--mount', '--net', '--ipc', '--uts', '--cgroup', '--propagation', 'private',
                 '--fork', '--kill-child', 'sh', '-c', BOOT, 'boot', self.top, self.disk.path,
                 str(os.major(numbers)), str(os.minor(numbers)), os.path.dirname(self.disk.backing)],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
                preexec_fn=lambda: (self.cgroup.enter(), die_at_once_with_parent()))
        eventually('systemd runs', self._booted, 30, 0.1)
        self.run('systemctl', 'start', 'sweepd.socket')

    def _booted(self):
        if self.process.poll() is not None:
            raise Skip(f'systemd does not run here: {self._said()}')
        with open(f'/proc/{self.process.pid}/task/{self.process.pid}/children', encoding='ascii') as file:
            self.init = file.read().strip()
        if not self.init or os.path.basename(os.path.realpath(f'/proc/{self.init}/exe')) != 'systemd':
            return False
        done = self.run('systemctl', 'is-active', 'sweepd-test.target', check=False)
        return done.stdout.strip() == 'active'

    def _said(self):
        with open(self.console, encoding='utf-8', errors='replace') as file:
            return file.read()[-300:].replace('\n', ' ')

    def run(self, *command, check=True, user=None):
        """Runs a command in the machine, as root or as somebody else."""
        become = ['setpriv', '--reuid', user, '--regid', user, '--init-groups'] if user else []
        return run('nsenter', '--target', self.init, '--mount', '--pid', '--net', '--ipc', '--uts', '--cgroup',
                   '--root', '--wd=/', 'env', '-i', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin',
                   'LANG=C.UTF-8', *become, *command, check=check, timeout=60)

    def write(self, path, text):
        self.run('sh', '-c', 'printf %s "$1" >"$2"', 'write', text, path)

    def show(self, key, unit='sweepd.service'):
        return self.run('systemctl', 'show', '--value', '-p', key, unit).stdout.strip()

    def main_pid(self):
        return self.show('MainPID')

    def status_of(self, pid):
        """/proc/PID/status, by field."""
        text = self.run('cat', f'/proc/{pid}/status').stdout
        return dict(line.split(':\t', 1) for line in text.splitlines() if ':\t' in line)

    def journal(self, *matches):
        self.run('journalctl', '--sync')
        done = self.run('journalctl', '-o', 'json', '--no-pager', *matches, check=False)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def ctl(self, *arguments, user=None):
        return self.run('sweepctl', *arguments, user=user, check=False)

    def sweep(self):
        """Runs one sweep to its end and returns what `sweepctl wait` ended with."""
        started = self.ctl('start', 'd0')
        assert started.returncode == 0, started.stderr + self.text()
        return self.ctl('wait', 'd0').returncode

    def text(self):
        """What a failure is explained by."""
        shown = self.run('systemctl', 'status', '--no-pager', '-l', 'sweepd.service', check=False).stdout
        return shown + self.run('journalctl', '--no-pager', '-n', '30', check=False).stdout

    def recovery_text(self):
        return self.run('systemctl', 'status', '--no-pager', '-l', 'sweepd-recover.service', check=False).stdout

    def close(self):
        process, self.process = self.process, None
        if process:
            # Its child, the machine's PID 1, gets SIGKILL with it, and all in the machine with that.
            process.kill()
            process.wait(10)


def boot(case, dropin=''):
    need('unshare', 'nsenter', 'setpriv', 'meson', 'systemctl', 'journalctl', 'systemd-sysusers')
    if not os.access(SYSTEMD, os.X_OK):
        raise Skip('systemd is not installed')
    return Machine(case, case.loop(4 * MIB), dropin)


@test
def its_socket_starts_it_without_any_right_but_the_disks(case):
    machine = boot(case)
    assert machine.show('ActiveState') == 'inactive'
    done = machine.ctl('status')
    assert done.returncode in (0, 2), done.stderr + machine.text()
    assert (machine.show('ActiveState'), machine.show('SubState')) == ('active', 'running'), machine.text()
    assert machine.show('Type') == 'notify'
    pid = machine.main_pid()
    status = machine.status_of(pid)
    names = {key: machine.run('getent', key, name).stdout.split(':')[2]
             for key, name in (('passwd', 'sweepd'), ('group', 'disk'))}
    assert set(status['Uid'].split()) == {names['passwd']}, status['Uid']
    assert set(status['Gid'].split()) == {names['group']}, status['Gid']
    for kind in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
        assert int(status[kind], 16) == 0, (kind, status[kind])
    assert (status['NoNewPrivs'], status['Seccomp']) == ('1', '2'), status
    mounts = [line.split() for line in machine.run('cat', f'/proc/{pid}/mountinfo').stdout.splitlines()]
    options = {m[4]: m[5].split(',') for m in mounts}
    assert 'ro' in options['/'], options['/']
    assert 'rw' in options['/var/lib/sweepd'], options
    assert '/tmp' in options and '/home' in options, 'PrivateTmp= or ProtectHome= is not in force'


@test
def it_can_open_block_devices_and_no_others(case):
    machine = boot(case)
    # The same means, used on a transient unit, tells whether this kernel has them.
    probe = machine.run('systemd-run', '--quiet', '--wait', '--pipe', '-p', 'DevicePolicy=strict',
                        '-p', 'DeviceAllow=/dev/null rw', 'head', '-c1', '/dev/zero', check=False)
    if probe.returncode == 0:
        raise Skip('this kernel does not let systemd restrict devices')
    assert machine.ctl('status').returncode in (0, 2), machine.text()
    cgroup = '/sys/fs/cgroup' + machine.show('ControlGroup')
    machine.run('mknod', '/dev/forbidden', 'c', '10', '237')

    def opens(path):
        done = machine.run('sh', '-c', 'echo $$ >"$1/cgroup.procs" && : <>"$2"', 'opens', cgroup, path, check=False)
        assert done.returncode == 0 or 'not permitted' in done.stderr, done.stderr
        return done.returncode == 0
    assert opens(machine.disk.path) and opens('/dev/null')
    assert not opens('/dev/forbidden')


@test
def its_memory_is_locked(case):
    machine = boot(case)
    if not int(machine.status_of(1)['CapEff'], 16) & CAP_SYS_RESOURCE:
        raise Skip('systemd has no CAP_SYS_RESOURCE here, so it can raise no limit')
    assert machine.ctl('status').returncode in (0, 2), machine.text()
    locked = machine.status_of(machine.main_pid())['VmLck'].split()[0]
    assert int(locked) > 0, machine.text()


@test
def a_sweep_is_clean_and_planted_damage_is_in_the_journal(case):
    machine = boot(case)
    assert machine.sweep() == 0, machine.ctl('history').stdout + machine.text()
    history = json.loads(machine.ctl('history', 'd0', '--json').stdout)['sweeps']
    assert [(s['verdict'], s['assurance']) for s in history] == [('clean', 'verified')], history
    assert machine.journal(f'MESSAGE_ID={FINDING}') == []
    machine.disk.flip_bits(7 * UNIT, 1, case.rng)
    assert machine.sweep() == 2, machine.ctl('history').stdout + machine.text()
    entries = eventually('the journal has it', lambda: machine.journal(f'MESSAGE_ID={FINDING}'), 10)
    assert len(entries) == 1, entries
    entry = entries[0]
    got = {key: entry.get(key) for key in ('SWEEPD_DEVICE', 'SWEEPD_FAULT', 'SWEEPD_OFFSET', 'SWEEPD_LENGTH',
                                           '_SYSTEMD_UNIT', 'SYSLOG_IDENTIFIER')}
    assert got == {'SWEEPD_DEVICE': 'd0', 'SWEEPD_FAULT': 'bit_flip', 'SWEEPD_OFFSET': str(7 * UNIT),
                   'SWEEPD_LENGTH': str(UNIT), '_SYSTEMD_UNIT': 'sweepd.service',
                   'SYSLOG_IDENTIFIER': 'sweepd'}, got
    shown = json.loads(machine.ctl('finding', entry['SWEEPD_FINDING_ID'], '--json').stdout)
    assert '"bit_flip"' in json.dumps(shown) and int(entry['SWEEPD_SWEEP_ID']) > 0, (shown, entry)
    machine.run('journalctl', '--update-catalog')
    text = machine.run('journalctl', '-x', '--no-pager', f'MESSAGE_ID={FINDING}').stdout
    assert 'Subject: Device d0 has a fault' in text, text
    assert f'"sweepctl finding {entry["SWEEPD_FINDING_ID"]}"' in text, text


@test
def a_canary_file_is_made_and_swept_in_its_sandbox(case):
    need('mkfs.ext4')
    machine = boot(case)
    below = '/var/lib/sweepd/disk'
    machine.run('mkfs.ext4', '-q', '-O', '^has_journal', machine.disk.path)
    machine.run('mkdir', below)
    machine.run('mount', machine.disk.path, below)
    machine.run('chown', '-R', 'sweepd:sweepd', '/var/lib/sweepd')
    path = f'{below}/canary'
    entry = {'name': 'd0', 'path': path, 'create_size': '1M', 'mode': 'pattern', 'destroys_data': path,
             'every': 'never'}
    machine.write(machine.config, f'devices = {setting([entry])};\n')
    assert [machine.sweep(), machine.sweep()] == [0, 0], machine.ctl('history').stdout + machine.text()


@test
def a_reload_of_a_bad_configuration_keeps_the_old_one_and_says_why(case):
    machine = boot(case)
    assert machine.ctl('status').returncode in (0, 2), machine.text()
    pid = machine.main_pid()
    machine.write(machine.config, 'devices = ();\ncolour = "red";\n')
    machine.run('systemctl', 'reload', 'sweepd')
    entries = eventually('the error is logged', lambda: [
        e for e in machine.journal(f'MESSAGE_ID={DAEMON}') if 'colour' in e['MESSAGE']], 10)
    assert machine.config in entries[0]['MESSAGE'] and int(entries[0]['PRIORITY']) <= 4, entries
    assert (machine.main_pid(), machine.show('ActiveState')) == (pid, 'active'), machine.text()
    devices = json.loads(machine.ctl('status', '--json').stdout)['devices']
    assert [d['name'] for d in devices] == ['d0'], devices


@test
def a_stop_is_quick_and_leaves_the_socket(case):
    machine = boot(case)
    assert machine.ctl('status').returncode in (0, 2), machine.text()
    began = time.monotonic()
    machine.run('systemctl', 'stop', 'sweepd.service')
    assert time.monotonic() - began < 5, 'it took too long'
    assert (machine.show('ActiveState'), machine.show('Result')) == ('inactive', 'success'), machine.text()
    assert machine.show('ActiveState', 'sweepd.socket') == 'active'
    assert machine.ctl('status').returncode in (0, 2), 'the socket does not start it again: ' + machine.text()
    assert machine.show('ActiveState') == 'active'


@test
def members_of_its_group_may_look_and_others_may_not(case):
    machine = boot(case)
    seen = machine.ctl('status', user='watcher')
    assert seen.returncode in (0, 2) and 'd0' in seen.stdout, seen.stderr + machine.text()
    refused = machine.ctl('start', 'd0', user='watcher')
    assert refused.returncode == 1 and 'root' in refused.stderr, refused
    assert json.loads(machine.ctl('history', '--json').stdout)['sweeps'] == []
    for arguments in (['status'], ['start', 'd0']):
        shut_out = machine.ctl(*arguments, user='stranger')
        assert shut_out.returncode == 1 and 'd0' not in shut_out.stdout, shut_out
        assert 'may not connect' in shut_out.stderr and 'group sweepd' in shut_out.stderr, shut_out


@test
def what_a_failed_recovery_leaves_is_not_mounted_and_all_else_is(case):
    """A journal that is damaged can't be asked, so the device may have originals in it."""
    machine = boot(case)
    mounts = {'mnt-kept.mount': (machine.disk.backing, 'ext4'), 'mnt-other.mount': ('tmpfs', 'tmpfs')}
    for unit, (what, kind) in mounts.items():
        where = '/' + unit.split('.', maxsplit=1)[0].replace('-', '/')
        machine.write(f'/etc/systemd/system/{unit}',
                      f'[Unit]\nDefaultDependencies=no\n[Mount]\nWhat={what}\nWhere={where}\nType={kind}\n')
    machine.run('systemctl', 'daemon-reload')
    machine.run('install', '-d', '-o', 'sweepd', '-g', 'sweepd', '/var/lib/sweepd', '/var/lib/sweepd/undo')
    machine.run('install', '-m', '600', '-o', 'sweepd', '/etc/passwd', '/var/lib/sweepd/undo/d0.undo')
    failed = machine.run('systemctl', 'start', 'sweepd-recover.service', check=False)
    assert failed.returncode != 0, machine.recovery_text()
    held = machine.run('ls', '/run/sweepd-recover').stdout.split()
    assert held == ['mnt-kept.mount'], (held, machine.recovery_text())
    kept = machine.run('systemctl', 'start', 'mnt-kept.mount', check=False)
    assert kept.returncode != 0 and machine.show('AssertResult', 'mnt-kept.mount') == 'no', kept
    machine.run('systemctl', 'start', 'mnt-other.mount')
    assert machine.show('ActiveState', 'mnt-other.mount') == 'active'
    # The daemon finds nothing any more, and lets go.
    machine.run('rm', '-r', '/var/lib/sweepd/undo')
    assert machine.ctl('status').returncode in (0, 2), machine.text()
    eventually('nothing is held', lambda: machine.run('ls', '/run/sweepd-recover').stdout == '', 20)
    machine.run('systemctl', 'start', 'mnt-kept.mount', check=False)
    assert machine.show('AssertResult', 'mnt-kept.mount') == 'yes'


@test
def a_recovery_with_nothing_to_do_holds_nothing(case):
    machine = boot(case)
    machine.run('install', '-d', '-o', 'sweepd', '-g', 'sweepd', '/var/lib/sweepd')
    machine.run('systemctl', 'start', 'sweepd-recover.service', check=False)
    assert machine.show('Result', 'sweepd-recover.service') == 'success', machine.recovery_text()
    assert machine.run('ls', '/run/sweepd-recover').stdout == ''


ALERT_PROGRAM = r'''#!/bin/sh
echo "$SWEEPD_KIND ${SWEEPD_FAULT:--} ${SWEEPD_DEVICE:--} ${SWEEPD_OFFSET:--} $SETTING $(id -un)" >>"$STATE_DIRECTORY/told"
echo "told of $SWEEPD_KIND"
exit %d
'''


def told(machine):
    done = machine.run('cat', '/var/lib/sweepd-alert/told', check=False)
    return [line for line in done.stdout.splitlines() if not line.startswith('sweep_')]


def alert_text(machine, *matches):
    return [entry['MESSAGE'] for entry in machine.journal('_SYSTEMD_UNIT=sweepd-alert.service', *matches)]


def set_alert_program(machine, status):
    path = os.path.join(os.path.dirname(machine.config), 'alert')
    machine.write(path, ALERT_PROGRAM % status)
    machine.run('chmod', '755', path)


@test
def an_alert_reaches_the_program_of_the_administrator_over_restarts_of_both(case):
    machine = boot(case)
    machine.run('systemctl', 'start', 'sweepd-alert.service')
    assert machine.show('ConditionResult', 'sweepd-alert.service') == 'no', 'it runs without a program'
    set_alert_program(machine, 0)
    machine.write(os.path.join(os.path.dirname(machine.config), 'alert.env'), 'SETTING=set\n')
    machine.run('systemctl', 'start', 'sweepd-alert.service')
    assert machine.sweep() == 0, machine.text()
    machine.disk.flip_bits(7 * UNIT, 1, case.rng)
    assert machine.sweep() == 2, machine.text()
    first = f'finding bit_flip d0 {7 * UNIT} set sweepd-alert'
    eventually('the program was told', lambda: told(machine) == [first], 30)
    assert 'told of finding' in alert_text(machine), machine.journal('_SYSTEMD_UNIT=sweepd-alert.service')

    machine.run('systemctl', 'stop', 'sweepd-alert.service')
    machine.disk.flip_bits(300 * UNIT, 1, case.rng)
    assert machine.sweep() == 2, machine.text()
    machine.run('systemctl', 'restart', 'sweepd.service')
    machine.run('systemctl', 'start', 'sweepd-alert.service')
    second = f'finding bit_flip d0 {300 * UNIT} set sweepd-alert'
    eventually('it was told what it had missed', lambda: second in told(machine), 30)
    machine.run('systemctl', 'restart', 'sweepd.service')
    set_alert_program(machine, 3)
    assert machine.ctl('alert-test').returncode == 0
    eventually('what a program fails at is reported', lambda: any('was not delivered' in text
               for text in alert_text(machine, 'PRIORITY=3')), 60)
    told_of = told(machine)
    assert (told_of.count(first), told_of.count(second)) == (1, 1), told_of
    assert machine.show('NRestarts', 'sweepd-alert.service') == '0', alert_text(machine)


@test
def a_test_right_behind_the_first_start_arrives(case):
    machine = boot(case)
    set_alert_program(machine, 0)
    assert machine.ctl('status').returncode in (0, 2), machine.text()
    machine.run('sh', '-c', 'systemctl start sweepd-alert && sweepctl alert-test')
    eventually('the program was told', lambda: [line for line in told(machine) if line.startswith('test ')], 30)


@test
def the_watchdog_brings_back_one_that_hangs(case):
    machine = boot(case, 'WatchdogSec=3\nRestartSec=0\n')
    assert machine.ctl('status').returncode in (0, 2), machine.text()
    pid = machine.main_pid()
    machine.run('kill', '-STOP', pid)
    eventually('it was started again', lambda: machine.show('NRestarts') == '1'
               and machine.show('ActiveState') == 'active', 40, 0.2)
    assert machine.main_pid() not in (pid, '0')
    assert machine.ctl('status').returncode in (0, 2), machine.text()
    assert machine.sweep() == 0, machine.text()


if __name__ == '__main__':
    main()
