# SPDX-License-Identifier: Apache-2.0
"""What tests of sweepctl share: it is run against a FakeDaemon, with pipes or with a terminal."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import traceback

SWEEPCTL = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else None
CASES = []


class Skip(Exception):
    """What this machine cannot do."""


def test(function):
    CASES.append(function)
    return function


def run(*arguments, timeout=60, **options):
    environment = {**os.environ, 'TZ': 'UTC', **options.pop('env', {})}
    return subprocess.run([SWEEPCTL, *arguments], capture_output=True, text=True, timeout=timeout, env=environment,
                          check=False, **options)


def ask(fake, *arguments, **options):
    return run('--socket', fake.path, *arguments, **options)


def expect(done, status, *stdout, error=()):
    """The exit status, and texts in either stream; stderr is empty unless texts are given."""
    shown = f'exit {done.returncode}\nstdout:\n{done.stdout}\nstderr:\n{done.stderr}'
    assert done.returncode == status, f'expected exit {status}: {shown}'
    for text in stdout:
        assert text in flat(done.stdout), f'expected {text!r} in stdout: {shown}'
    for text in error:
        assert text in flat(done.stderr), f'expected {text!r} in stderr: {shown}'
    assert error or not done.stderr, f'nothing was expected in stderr: {shown}'
    return done


def flat(text):
    """Texts break over lines; their words stay in order."""
    return ' '.join(text.split())


def expect_width(text, width=80):
    for line in text.splitlines():
        assert len(line) <= width, f'{len(line)} columns: {line!r}'
        assert line == line.rstrip(), f'ends in spaces: {line!r}'


def all_shown(master):
    """What is written to a terminal until nobody has it open any more; closes our end of it."""
    shown = b''
    try:
        while data := os.read(master, 65536):
            shown += data
    except OSError:
        pass
    os.close(master)
    return shown


def on_terminal(fake, columns, *arguments, lines=24, status=0, without=(), **environment):
    """What goes to a terminal that is that wide; there is no pager unless the environment names one."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', lines, columns, 0, 0))
    environment = {**os.environ, 'TZ': 'UTC', 'TERM': 'xterm', 'SWEEPCTL_PAGER': '', **environment}
    environment = {name: value for name, value in environment.items() if name not in without}
    child = subprocess.Popen([SWEEPCTL, '--socket', fake.path, *arguments], stdout=slave, env=environment)
    os.close(slave)
    shown = all_shown(master)
    assert child.wait(60) == status, shown
    return shown.decode().replace('\r\n', '\n')


def expect_document(done, status, document):
    assert done.returncode == status, done
    told = json.loads(done.stdout)
    assert told == document, f'{told}\n is not\n{document}'
    assert not done.stderr, done.stderr


def main():
    """Speaks TAP. Further arguments: the names of the cases to run."""
    if not SWEEPCTL:
        print(f'Usage: {sys.argv[0]} SWEEPCTL [CASE...]', file=sys.stderr)
        sys.exit(1)
    cases = [case for case in CASES if not sys.argv[2:] or case.__name__ in sys.argv[2:]]
    failed = 0
    print(f'1..{len(cases)}', flush=True)
    for number, case in enumerate(cases, 1):
        try:
            case()
            print(f'ok {number} - {case.__name__}', flush=True)
        except Skip as why:
            print(f'ok {number} - {case.__name__} # SKIP {why}', flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print(f'not ok {number} - {case.__name__}: FAIL', flush=True)
            print(''.join(f'# {line}\n' for line in traceback.format_exc().splitlines()), end='', flush=True)
    sys.exit(1 if failed else 0)
