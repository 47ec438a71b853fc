#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sweepctl and other programs: completion in bash, zsh and fish, and ssh to another host."""

import json
import os
import pty
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from ctl_harness import SWEEPCTL, Skip, all_shown, ask, expect, main, run, test
from fake_daemon import Error, FakeDaemon, Raw, device, each, finding

COMPLETIONS = Path(__file__).resolve().parents[2] / 'tools/completions'
DEVICES = [device('spare-7'), device('spare-8', mode='read', assurance='readable'), device('data-1', verdict='faulty')]


def serving(**answers):
    return FakeDaemon(**{'ListDevices': each('device', DEVICES), 'ListFindings': each('finding', [finding(7), finding(12)]),
                         'ListRescues': each('rescue', [{'id': 1234, 'device': 'spare-7'}]), **answers})


def candidates(fake, *words):
    """What sweepctl offers for the last word; the socket is named in front of them, as a user would."""
    done = run('--complete', '--socket', fake.path, *words)
    assert done.returncode == 0, done
    return [line.split('\t')[0] for line in done.stdout.splitlines()]


def need(program):
    if not shutil.which(program):
        raise Skip(f'there is no {program}')


# What sweepctl knows


@test
def commands_are_completed_with_what_they_do():
    with serving() as fake:
        assert candidates(fake, 'sta') == ['status', 'start']
        assert candidates(fake, 'res') == ['resume', 'rescue']
        assert candidates(fake, 'rescue', '') == ['list', 'export', 'retry', 'forget']
        assert candidates(fake, 'rescue', 're') == ['retry']
        assert candidates(fake, 'nothing', '') == candidates(fake, 'x') == []
        assert 'pause\tlet the sweep rest' in run('--complete', 'pau').stdout
        helped = set(re.findall(r'^  (\S+) ', run('--help').stdout.split('Options:')[0], re.M))
        assert set(candidates(fake, '')) == helped


@test
def each_command_has_its_options():
    for words, wanted, unwanted in [(['status', '--'], ['--all', '--json', '--no-pager'], ['--mode']),
                                    (['start', 'a', '--'], ['--mode', '--overwrite'], ['--all']),
                                    (['rescue', 'export', '-'], ['--output', '-H'], ['--serial']),
                                    (['-'], ['--help', '-H'], ['--mode'])]:
        with serving() as fake:
            found = candidates(fake, *words)
            assert not set(wanted) - set(found) and not set(unwanted) & set(found), (words, found)
            assert candidates(fake, 'status', '--', '-') == []


@test
def options_that_take_a_value_get_one():
    with serving() as fake:
        modes = ['read', 'refresh', 'preserve', 'pattern']
        assert candidates(fake, 'start', '--mode', '') == candidates(fake, 'start', '--mode', '=') == modes
        assert candidates(fake, 'start', '--mode', '=', 'p') == candidates(fake, 'start', '--mode', 'p') == modes[2:]
        assert candidates(fake, 'start', '--mode=p') == ['--mode=preserve', '--mode=pattern']
        assert candidates(fake, 'start', '--mode', 'read', 'spare') == ['spare-7', 'spare-8']
        assert candidates(fake, 'start', '--mode=read', 'spare') == ['spare-7', 'spare-8']
        assert candidates(fake, 'rescue', 'export', '1', '--output', '') == candidates(fake, '--socket', '') == [':file']
        assert candidates(fake, '-H', '') == [':host']
        assert candidates(fake, 'ack', '7', '--comment', '') == []


@test
def names_and_numbers_come_from_the_daemon():
    with serving() as fake:
        for command in 'status', 'start', 'wait', 'history', 'map', 'watch', 'errors':
            assert candidates(fake, command, '') == ['spare-7', 'spare-8', 'data-1'], command
        assert candidates(fake, 'status', 'd') == ['data-1']
        assert candidates(fake, 'status', 'data-1', '') == candidates(fake, 'reload', '') == []
        assert candidates(fake, 'finding', '') == candidates(fake, 'ack', '') == candidates(fake, 'ack', '7', '') == [
            '7', '12']
        assert candidates(fake, 'rescue', 'retry', '') == ['1234']
        told = run('--complete', f'--socket={fake.path}', 'status', 'd').stdout
        assert told == 'data-1\tidle faulty\n', told
        told = run('--complete', f'--socket={fake.path}', 'status', 'spare-').stdout
        assert told == 'spare-7\tidle clean (verified)\nspare-8\tidle clean (readable)\n', told
        # It would take a login for each key.
        before = len(fake.calls)
        assert candidates(fake, '-H', 'far', 'status', '') == [] and len(fake.calls) == before


@test
def without_an_answer_there_are_no_names():
    for answer in Error('LedgerUnavailable', text='x'), Raw(b'garbage\0'), Raw(b''):
        with serving(ListDevices=answer) as fake:
            assert candidates(fake, 'status', '') == []
    assert run('--complete', '--socket', '/none/such', 'status', '').stdout == ''
    silent = lambda _parameters, _before: time.sleep(20)  # pylint: disable=unnecessary-lambda-assignment
    with serving(ListDevices=silent) as fake:
        began = time.monotonic()
        assert run('--complete', '--socket', fake.path, 'status', '').stdout == ''
        assert time.monotonic() - began < 19, 'somebody waits with a finger on the key'


@test
def the_manual_names_every_kind_of_event_and_no_other():
    """Programs for alerts branch on them."""
    source = (COMPLETIONS.parents[1] / 'daemon/model/event.c').read_text(encoding='utf-8')
    manual = (COMPLETIONS.parent / 'sweepctl.1').read_text(encoding='utf-8')
    listed = manual.split('The kinds of events, in\n')[1].split('\n.El\n')[0]
    known = re.findall(r'\[EVENT_\w+\] = "(\w+)"', source)
    assert re.findall(r'^\.It Sy (\w+)$', listed, re.M) == known and len(known) > 15, (listed, known)


# Shells


def bash(words, directory=None):
    """COMPREPLY after the completion function has run, as bash runs it."""
    script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); complete -p sweepctl >/dev/null && '
              '_sweepctl && printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(['bash', '--norc', '-c', script, 'bash', COMPLETIONS / 'sweepctl.bash', *words],
                          capture_output=True, text=True, timeout=60, check=False, cwd=directory)
    assert not done.stderr, done
    return [line for line in done.stdout.splitlines() if line]


@test
def bash_takes_what_sweepctl_offers():
    need('bash')
    with serving() as fake, tempfile.TemporaryDirectory() as directory:
        Path(directory, 'a file').touch()
        at = [SWEEPCTL, '--socket', fake.path]
        assert bash([*at, 'sta']) == ['status', 'start']
        assert bash([*at, 'status', 'spare']) == ['spare-7', 'spare-8']
        assert bash([*at, 'start', '--mode', '=']) == ['read', 'refresh', 'preserve', 'pattern']
        assert bash([*at, 'start', '--mode', '=', 'pa']) == ['pattern']
        assert bash([*at, 'rescue', 'export', '--output', 'a'], directory) == ['a file']
        assert isinstance(bash([*at, '-H', '']), list)
    subprocess.run(['bash', '-n', COMPLETIONS / 'sweepctl.bash'], check=True)


@test
def bash_completes_at_the_prompt():
    """In a real one, with a real Tab, found by the name of the command."""
    need('bash')
    with serving() as fake, tempfile.TemporaryDirectory() as directory:
        os.symlink(SWEEPCTL, f'{directory}/sweepctl')
        master, slave = pty.openpty()
        shell = subprocess.Popen(['bash', '--norc', '--noprofile', '-i'], stdin=slave, stdout=slave, stderr=slave,
                                 start_new_session=True,
                                 env={**os.environ, 'PATH': f'{directory}:{os.environ["PATH"]}', 'TERM': 'dumb', 'PS1': '> ',
                                      'INPUTRC': '/dev/null', 'HISTFILE': ''})
        os.close(slave)
        os.write(master, f'source {COMPLETIONS}/sweepctl.bash\nsweepctl --socket {fake.path} status dat\t\nexit\n'.encode())
        shown = all_shown(master)
        shell.wait(60)
        assert b'status data-1' in shown, shown
        assert {'device': 'data-1'} in fake.called('ListDevices'), fake.calls


@test
def zsh_takes_what_sweepctl_offers():
    need('zsh')
    subprocess.run(['zsh', '-n', COMPLETIONS / '_sweepctl'], check=True)
    # The function is run as the completion system does, but for what it hands the words to.
    script = ('_describe() { print -l -- "${(@P)2}" }; _files() { print files }; _hosts() { print hosts }; '
              'file=$1; shift; words=("$@"); CURRENT=$#words; source $file')
    with serving() as fake:
        def zsh(*words):
            done = subprocess.run(['zsh', '-f', '-c', script, 'zsh', COMPLETIONS / '_sweepctl', SWEEPCTL, '--socket',
                                   fake.path, *words], capture_output=True, text=True, timeout=60, check=False)
            assert not done.stderr, done
            return [line for line in done.stdout.splitlines() if line]
        assert zsh('pau') == ['pause:let the sweep rest, and begin no other']
        assert zsh('status', '') == ['spare-7:idle clean (verified)', 'spare-8:idle clean (readable)', 'data-1:idle faulty']
        assert zsh('start', '--mode=pa') == ['--mode=pattern:']
        assert zsh('rescue', 'export', '--output', '') == ['files']
        assert zsh('-H', '') == ['hosts']


@test
def fish_takes_what_sweepctl_offers():
    need('fish')
    with serving() as fake, tempfile.TemporaryDirectory() as directory:
        os.symlink(SWEEPCTL, f'{directory}/sweepctl')

        def fish(typed):
            done = subprocess.run(['fish', '--no-config', '-c', f'source {COMPLETIONS}/sweepctl.fish; complete -C "{typed}"'],
                                  capture_output=True, text=True, timeout=60, check=False, cwd=directory,
                                  env={**os.environ, 'HOME': directory, 'PATH': f'{directory}:{os.environ["PATH"]}'})
            assert not done.stderr, done
            return done.stdout.splitlines()
        assert fish('sweepctl pau') == ['pause\tlet the sweep rest, and begin no other']
        assert fish(f'sweepctl --socket {fake.path} status ') == [
            'data-1\tidle faulty', 'spare-7\tidle clean (verified)', 'spare-8\tidle clean (readable)']
        assert fish('sweepctl start --mode pa') == ['pattern']
        assert fish('sweepctl rescue export --output swee') == ['sweepctl']
    subprocess.run(['fish', '-n', COMPLETIONS / 'sweepctl.fish'], check=True)


# ssh

FAKE_SSH = """#!/bin/sh
# As ssh does: the last word is given to a shell on the far side.
printf '%s\\n' "$@" >"$SSH_TOLD"
while [ $# -gt 1 ]; do shift; done
PATH=$SSH_FAR_PATH exec sh -c "$1"
"""


class Far:
    """A host `far` that ssh leads to, with a sweepctl in its PATH."""

    def __init__(self, ssh=FAKE_SSH, sweepctl=True):
        self.directory = tempfile.TemporaryDirectory(prefix='sweepctl-far-')
        here = self.directory.name
        os.mkdir(f'{here}/bin')
        os.mkdir(f'{here}/far')
        if ssh:
            Path(here, 'bin/ssh').write_text(ssh, encoding='ascii')
            os.chmod(f'{here}/bin/ssh', 0o755)
        if sweepctl:
            os.symlink(SWEEPCTL, f'{here}/far/sweepctl')
        self.environment = {'PATH': f'{here}/bin:/usr/bin:/bin', 'SSH_TOLD': f'{here}/told',
                            'SSH_FAR_PATH': f'{here}/far:/usr/bin:/bin', 'NO_COLOR': '', 'SWEEPCTL_PAGER': ''}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.directory.cleanup()

    def told(self):
        return Path(self.directory.name, 'told').read_text(encoding='ascii').splitlines()

    def run(self, *arguments, **options):
        return run(*arguments, env=self.environment, **options)


@test
def another_host_answers_as_this_one_would():
    devices = [device('a', needs_attention=True)]
    with FakeDaemon(ListDevices=each('device', devices)) as fake, Far() as far:
        here = ask(fake, 'status')
        for words in (['-H', 'far', 'status', '--socket', fake.path], ['status', '--socket', fake.path, '-H', 'far'],
                      ['status', '-H=far', f'--socket={fake.path}']):
            there = far.run(*words)
            assert (there.returncode, there.stdout, there.stderr) == (2, here.stdout, ''), there
            assert far.told()[:4] == ['-T', '-oLogLevel=ERROR', '--', 'far'], far.told()
        done = far.run('-H', 'root@far', 'status', '--json', '--socket', fake.path)
        assert json.loads(done.stdout)['devices'] == devices and far.told()[3] == 'root@far', done


@test
def what_was_typed_arrives_as_it_was_typed():
    comments = ["it's", '$(touch /tmp/never)', '`x`', 'a  b', '"', '\\', '*', '~', '-H', '!!', 'ä', 'a\nb', ';', '', '#']
    with FakeDaemon(Acknowledge={}) as fake, Far() as far:
        for comment in comments:
            expect(far.run('ack', '7', '-H', 'far', '--comment', comment, '--socket', fake.path), 0, '1 finding')
        assert [call['comment'] for call in fake.called('Acknowledge')] == comments
        far.environment |= {'NO_COLOR': "it's", 'SWEEPCTL_PAGER': 'less -X'}
        expect(far.run('ack', '7', '-H', 'far', '--socket', fake.path), 0)
        assert far.told()[-1].startswith("env NO_COLOR='it'\\''s' SWEEPCTL_PAGER='less -X' sweepctl ack 7"), far.told()


@test
def what_goes_wrong_on_the_way_is_told():
    with Far(ssh='#!/bin/sh\necho "ssh: connect to host far port 22: No route" >&2\nexit 255\n') as far:
        expect(far.run('status', '-H', 'far'), 1, error=['No route', 'ssh could not ask far, and says why above', 'try: ssh far sweepctl --version'])
    with Far(sweepctl=False) as far:
        expect(far.run('status', '-H', 'far'), 1, error=['there is no sweepctl on far', 'install sweepd there'])
    with Far(ssh='#!/bin/sh\nkill -9 $$\n') as far:
        expect(far.run('status', '-H', 'far'), 1, error=['ssh to far was ended by signal 9'])
    with Far(ssh='#!/bin/sh\nexit 77\n') as far:
        expect(far.run('status', '-H', 'far'), 1, error=['ssh to far ended with status 77'])
    with Far(ssh=None) as far:
        far.environment['PATH'] = f'{far.directory.name}/bin'
        expect(far.run('status', '-H', 'far'), 1, error=['cannot run ssh: No such file or directory', 'openssh-client'])
    with FakeDaemon() as fake, Far() as far:
        fake.stop()
        expect(far.run('status', '-H', 'far', '--socket', fake.path), 1, error=['sweepd is not running'])


@test
def what_makes_no_sense_is_said_before_anybody_logs_in():
    with Far() as far:
        for words, text in [(['stats', '-H', 'far'], 'did you mean status?'), (['status', '-H'], '-H needs a host behind it'),
                            (['status', '-H', ''], '"" is no host'), (['status', '-H', '-oProxyCommand=x'], 'is no host'),
                            (['status', '-H', 'far', '-H', 'far'], '-H is there twice'),
                            (['rescue', 'export', '7', '-H', 'far', '--output', 'x'], 'would make the file on far')]:
            expect(far.run(*words), 1, error=[text])
        expect(far.run('--version', '-H', 'far'), 0, 'sweepctl ')
        expect(far.run('status', '--help', '-H', 'far'), 0, 'Usage: sweepctl status')
        master, slave = pty.openpty()
        done = subprocess.run([SWEEPCTL, 'rescue', 'export', '7', '-H', 'far'], stdout=slave, stderr=subprocess.PIPE,
                              text=True, timeout=60, env={**os.environ, **far.environment}, check=False)
        os.close(master)
        os.close(slave)
        assert done.returncode == 1 and 'this is not for a terminal' in done.stderr, done
        assert not os.path.exists(f'{far.directory.name}/told')


if __name__ == '__main__':
    main()
