#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sweepctl -H through the real ssh and a real sshd, which listens on 127.0.0.1 alone and lets in this test's key alone."""

import base64
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from ctl_harness import all_shown, expect, main, run, Skip, SWEEPCTL, test
from fake_daemon import Error, FakeDaemon, device, each

SSHD = shutil.which('sshd') or shutil.which('sshd', path='/usr/sbin:/usr/local/sbin')
RUN_DIRECTORY = '/run/sshd'  # where sshd, as root, locks itself up; its unit makes it


def generate_key(path):
    subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', path], check=True)
    return Path(f'{path}.pub').read_text(encoding='ascii')


def free_port():
    with socket.socket() as one:
        one.bind(('127.0.0.1', 0))
        return one.getsockname()[1]


def root_is_locked():
    """Such an account may log in by key with PAM only."""
    return any(line.startswith('root:!') for line in Path('/etc/shadow').read_text(encoding='utf-8').splitlines())


class Host:
    """
    `far` leads to this machine, with a sweepctl in its PATH; `stranger` as well, with a key that it does not know; behind
    `dead` nothing listens.
    """

    def __init__(self):
        if os.geteuid() != 0:
            raise Skip('sshd needs root to let root in')
        for name, found in (('sshd', SSHD), ('ssh', shutil.which('ssh')), ('ssh-keygen', shutil.which('ssh-keygen'))):
            if not found:
                raise Skip(f'{name} is not installed')
        self.directory = tempfile.TemporaryDirectory(prefix='sweepctl-ssh-')
        here = self.here = self.directory.name
        self.process = None
        self.made_run_directory = not os.path.isdir(RUN_DIRECTORY)
        os.makedirs(RUN_DIRECTORY, mode=0o755, exist_ok=True)
        os.mkdir(f'{here}/far')
        os.mkdir(f'{here}/bin')
        self.install()
        self._configure(free_port(), free_port())
        self._start()

    def _configure(self, port, dead_port):
        here = self.here
        host_key = generate_key(f'{here}/host')
        Path(here, 'allowed').write_text(generate_key(f'{here}/mine'), encoding='ascii')
        generate_key(f'{here}/unknown')
        self.port = port
        Path(here, 'sshd_config').write_text(f'''
ListenAddress 127.0.0.1
Port {port}
HostKey {here}/host
PidFile none
AuthorizedKeysFile {here}/allowed
AuthenticationMethods publickey
PermitRootLogin prohibit-password
StrictModes no
UsePAM {'yes' if root_is_locked() else 'no'}
PrintMotd no
SetEnv PATH={here}/far:/usr/bin:/bin
''', encoding='ascii')
        Path(here, 'known').write_text(f'known {host_key}', encoding='ascii')
        Path(here, 'ssh_config').write_text(f'''
Host dead
  Port {dead_port}
Host stranger
  IdentityFile {here}/unknown
Host far
  IdentityFile {here}/mine
Host *
  HostName 127.0.0.1
  Port {port}
  User root
  BatchMode yes
  IdentitiesOnly yes
  IdentityAgent none
  HostKeyAlias known
  UserKnownHostsFile {here}/known
  GlobalKnownHostsFile none
''', encoding='ascii')
        Path(here, 'bin/ssh').write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {here}/ssh_config "$@"\n', encoding='ascii')
        os.chmod(f'{here}/bin/ssh', 0o755)
        self.environment = {**os.environ, 'PATH': f'{here}/bin:{os.environ["PATH"]}', 'TZ': 'UTC', 'SWEEPCTL_PAGER': ''}

    def _start(self):
        with open(f'{self.here}/log', 'wb') as log:
            self.process = subprocess.Popen([SSHD, '-D', '-e', '-f', f'{self.here}/sshd_config'], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(('127.0.0.1', self.port), timeout=30).close()
                return
            except ConnectionRefusedError as refused:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise AssertionError(f'sshd does not listen: {self.log()}') from refused
                time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.terminate()
            self.process.wait(30)
        if self.made_run_directory:
            os.rmdir(RUN_DIRECTORY)
        self.directory.cleanup()

    def install(self):
        os.symlink(SWEEPCTL, f'{self.here}/far/sweepctl')

    def uninstall(self):
        os.unlink(f'{self.here}/far/sweepctl')

    def log(self):
        return Path(self.here, 'log').read_text(encoding='utf-8', errors='replace')

    def run(self, *arguments, **options):
        return run(*arguments, env=self.environment, **options)

    def on_terminal(self, *arguments, status=0):
        """What is shown on a terminal, by sweepctl there, by ssh and by sweepctl here."""
        master, slave = pty.openpty()
        child = subprocess.Popen([SWEEPCTL, *arguments], stdin=slave, stdout=slave, stderr=slave,
                                 env={**self.environment, 'TERM': 'xterm'})
        os.close(slave)
        shown = all_shown(master).decode().replace('\r\n', '\n')
        assert child.wait(60) == status, (shown, self.log())
        return shown


@test
def another_host_answers_through_ssh():
    devices = [device('a', needs_attention=True)]
    with FakeDaemon(ListDevices=each('device', devices)) as fake, Host() as host:
        here = run('--socket', fake.path, 'status')
        there = host.run('-H', 'far', '--socket', fake.path, 'status')
        assert (there.returncode, there.stdout, there.stderr) == (2, here.stdout, ''), (there, host.log())
        document = json.loads(host.run('status', '--json', '--socket', fake.path, '-H', 'root@far').stdout)
        assert document['devices'] == devices, document


@test
def on_a_terminal_it_looks_as_it_does_here():
    with FakeDaemon(ListDevices=each('device', [device('bad', needs_attention=True)])) as fake, Host() as host:
        here = host.on_terminal('--socket', fake.path, 'status', status=2)
        there = host.on_terminal('--socket', fake.path, 'status', '-H', 'far', status=2)
        assert '\x1b[1;31mbad' in here and there == here, (here, there)


@test
def who_interrupts_it_is_told_so():
    asked = threading.Event()
    with FakeDaemon(Monitor=lambda *_: asked.set() or time.sleep(5) or {}) as fake, Host() as host:
        master, slave = pty.openpty()
        child = subprocess.Popen([SWEEPCTL, '-H', 'far', '--socket', fake.path, 'follow'], stdin=slave, stdout=slave,
                                 stderr=slave, env=host.environment, start_new_session=True)
        os.close(slave)
        assert asked.wait(60), host.log()
        os.write(master, b'\x03')
        shown = all_shown(master).decode()
        assert child.wait(60) == 1 and 'or was interrupted' in shown, shown
        asked.clear()
        with subprocess.Popen([SWEEPCTL, '-H', 'far', '--socket', fake.path, 'follow'], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=host.environment,
                              start_new_session=True) as child:
            assert asked.wait(60), host.log()
            os.killpg(child.pid, signal.SIGINT)  # as Ctrl-C does
            shown = child.stdout.read()
            assert child.wait(60) == 1 and b'or was interrupted' in shown, shown


@test
def words_and_bytes_arrive_as_they_are():
    comment = "it's $(false) `x` \"a  b\" \\ * ~ ; ä\n#"
    data = bytes(range(256)) * 16
    replies = [{'offset': 4096, 'data_base64': base64.b64encode(data).decode(), 'text': None}]
    with FakeDaemon(Acknowledge={}, ExportRescue=replies) as fake, Host() as host:
        expect(host.run('ack', '7', '-H', 'far', '--comment', comment, '--socket', fake.path), 0, '1 finding')
        assert fake.called('Acknowledge')[0]['comment'] == comment, fake.calls
        done = subprocess.run([SWEEPCTL, '-H', 'far', '--socket', fake.path, 'rescue', 'export', '7'], env=host.environment,
                              capture_output=True, timeout=60, check=False)
        assert done.returncode == 0 and data in done.stdout, (done.stderr, len(done.stdout))


@test
def who_cannot_be_asked_is_named_with_what_to_do():
    with FakeDaemon(Reload=Error('org.varlink.service.PermissionDenied')) as fake, Host() as host:
        for far, why in ('dead', 'Connection refused'), ('stranger', 'Permission denied'):
            expect(host.run('status', '-H', far, '--socket', fake.path), 1,
                   error=[why, f'ssh could not ask {far}, and says why above', f'try: ssh {far} sweepctl --version'])
        assert 'Connection refused' in host.on_terminal('status', '-H', 'dead', status=1)
        expect(host.run('reload', '-H', 'far', '--socket', fake.path), 1, error=['sudo sweepctl reload', 'is for there, too: ssh far'])
        fake.stop()
        expect(host.run('status', '-H', 'far', '--socket', fake.path), 1, error=['sweepd is not running', 'systemctl start sweepd'])
        host.uninstall()
        expect(host.run('status', '-H', 'far', '--socket', fake.path), 1,
               error=['there is no sweepctl on far', 'install sweepd there'])


if __name__ == '__main__':
    main()
