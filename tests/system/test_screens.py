#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What sweepctl draws: the map of a device, and the screen of watch, in a real terminal (tmux)."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time

from ctl_harness import SWEEPCTL, Skip, ask, expect, expect_document, expect_width, main, on_terminal, test
from fake_daemon import DAY, NOW, PROGRESS, REASON, Error, FakeDaemon, Raw, device, each, finding

# map

LETTERS = {'X': {'findings': 2, 'latency_max_us': 5 << 20}, '?': {'checked_at': None, 'verified_at': None},
           'S': {'latency_max_us': 1_000_000}, 's': {'latency_max_us': 200_000}, '#': {},
           '+': {'verified_at': NOW - 8 * DAY}, '-': {'verified_at': NOW - 32 * DAY},
           '.': {'verified_at': NOW - 93 * DAY}}


def surface(picture, size=16 << 40):
    """What GetMap answers for 1,024 regions that begin with this picture."""
    length = size // 1024
    regions = [{'offset': i * length, 'length': length, 'checked_at': NOW, 'verified_at': NOW - DAY,
                'latency_max_us': 700, 'findings': 0, **LETTERS[letter]}
               for i, letter in enumerate(picture.ljust(1024, '#'))]
    return [{'regions': regions[:512]}, {'regions': regions[512:]}]


@test
def map_shows_the_worst_of_each_region():
    picture = 'X?Ss#+-.'
    with FakeDaemon(GetMap=surface(picture), ListDevices={'device': device('a')}) as fake:
        done = expect(ask(fake, 'map', 'a'), 0, 'X a fault that is not over, in 1', '? not reached yet, in 1',
                      '+ verified at most 31 days ago, in 1', '# verified at most 7 days ago, in 1017',
                      'slowest: 5.2 s, in the region at 0', 'faults: in 1 region: sweepctl errors a',
                      'device: a, 1024 regions of 16.0 GiB')
        expect_width(done.stdout)
        rows = re.findall(r'^ +(\S+ \S+)  ([X?Ss#+.-]+)$', done.stdout, re.M)
        assert ''.join(cells for _, cells in rows) == picture.ljust(1024, '#'), done.stdout
        assert [place for place, _ in rows][:3] == ['0 B', '1.0 TiB', '2.0 TiB'], rows
        assert fake.called('GetMap') == [{'device': 'a', 'regions': 1024}]
        everything = surface(picture)[0]['regions'] + surface(picture)[1]['regions']
        expect_document(ask(fake, 'map', 'a', '--json'), 0, {'regions': everything})


@test
def map_of_a_device_that_is_only_read_shows_when_it_was_read():
    with FakeDaemon(GetMap=surface('..'), ListDevices={'device': device('a', mode='read')}) as fake:
        done = expect(ask(fake, 'map', 'a'), 0, '# read at most 7 days ago, in 1024')
        assert 'verified' not in done.stdout, done.stdout


@test
def map_uses_the_width_and_the_colours_of_a_terminal():
    with FakeDaemon(GetMap=surface('X'), ListDevices={'device': device('a')}) as fake:
        for columns, cells in (80, 64), (200, 128), (20, 32):
            shown = on_terminal(fake, columns, 'map', 'a', NO_COLOR='1')
            assert '\x1b' not in shown, shown
            assert f'  X{"#" * (cells - 1)}\n' in shown, shown
        assert '\x1b[1;31mX\x1b[0m' in on_terminal(fake, 80, 'map', 'a', NO_COLOR='')
        assert '\x1b' not in on_terminal(fake, 80, 'map', 'a', NO_COLOR='', TERM='dumb')


@test
def map_of_what_has_no_surface_says_so():
    with FakeDaemon(GetMap=[{'regions': []}], ListDevices={'device': device('a')}) as fake:
        expect(ask(fake, 'map', 'a'), 1, error=['sweepd has not seen a yet'])
    with FakeDaemon(GetMap=[{'regions': [{'offset': i, 'length': 1} for i in range(2000)]}]) as fake:
        expect(ask(fake, 'map', 'a'), 1, error=['more regions than were asked for'])
    tiny = [{'offset': min(i, 3), 'length': int(i < 3), 'checked_at': None, 'verified_at': None, 'latency_max_us': None,
             'findings': 0} for i in range(1024)]
    with FakeDaemon(GetMap=[{'regions': tiny}], ListDevices={'device': device('a')}) as fake:
        expect(ask(fake, 'map', 'a'), 0, '0 B ??? ', '? not reached yet, in 3')


# watch


class Screen:
    """A terminal with `sweepctl watch` in it."""

    def __init__(self, fake, columns, *arguments, lines=24):
        if not shutil.which('tmux'):
            raise Skip('there is no tmux')
        self.directory = tempfile.TemporaryDirectory(prefix='sweepctl-tmux-')
        self.tmux('-f', '/dev/null', 'new-session', '-d', '-x', str(columns), '-y', str(lines),
                  f'NO_COLOR=1 TZ=UTC {SWEEPCTL} --socket {fake.path} watch {" ".join(arguments)}; echo "status $?"; '
                  'sleep 60')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tmux('kill-server')
        self.directory.cleanup()

    def tmux(self, *arguments):
        return subprocess.run(['tmux', '-S', os.path.join(self.directory.name, 'socket'), *arguments], check=True,
                              capture_output=True, text=True, timeout=60,
                              env={**os.environ, 'TERM': 'xterm', 'LC_ALL': 'C.UTF-8'}).stdout

    def lines(self):
        return [line.rstrip() for line in self.tmux('capture-pane', '-p').rstrip('\n').split('\n')]

    def until(self, *texts):
        """The screen, once it shows all of these."""
        deadline = time.monotonic() + 60
        while True:
            lines = self.lines()
            if all(text in '\n'.join(lines) for text in texts):
                return lines
            assert time.monotonic() < deadline, f'{texts} were expected:\n' + '\n'.join(lines)
            time.sleep(0.1)


def at_work(name, **changes):
    return device(name, state='sweeping', progress=PROGRESS, **changes)


@test
def watch_draws_a_bar_for_each_sweep_at_80_and_200_columns():
    devices = [device('idle-1'), at_work('a'), device('b', state='refused', reason=REASON, needs_attention=True,
                                                      verdict='unknown')]
    for columns, cells in (80, 16), (200, 40):
        with FakeDaemon(ListDevices=each('device', devices), ListFindings=[{}]) as fake, Screen(fake, columns) as screen:
            lines = screen.until('3 devices, 1 needs attention', 'idle-1')
            assert max(map(len, lines)) <= columns, lines
            names = [line.split()[0] for line in lines[2:] if line]
            assert names == ['b', 'a', 'idle-1'], lines
            bar = '#' * (cells * 99 // 100) + '-' * (cells - cells * 99 // 100)
            assert f'a       sweeping    [{bar}]  99 % verify, 180 MiB/s, 5' in lines[3], lines
            assert lines[3].endswith(' min left'), lines
            assert 'refused     unknown; /dev/sdb1 is mounted at' in lines[2], lines


@test
def watch_of_nothing_and_of_more_than_fits_says_how_many():
    with FakeDaemon(ListDevices=[{}], ListFindings=[{}]) as fake, Screen(fake, 80) as screen:
        lines = screen.until('0 devices, 0 need attention')
        assert not any(lines[1:]), lines
    devices = [device(f'disk-{i:02}') for i in range(60)]
    devices[57] = at_work('disk-57')
    devices[59] = device('disk-59', state='missing', needs_attention=True)
    with FakeDaemon(ListDevices=each('device', devices), ListFindings=[{}]) as fake, Screen(fake, 80) as screen:
        lines = screen.until('60 devices, 1 needs attention', 'more: sweepctl status')
        assert len(lines) <= 24, lines
        assert [line.split()[0] for line in lines[2:5]] == ['disk-59', 'disk-57', 'disk-00'], lines
        shown = sum(line.startswith('disk-') for line in lines)
        assert f'... and {60 - shown} more' in lines[2 + shown], lines
        screen.tmux('resize-window', '-x', '100', '-y', '70')
        lines = screen.until('disk-56')
        assert sum(line.startswith('disk-') for line in lines) == 60, lines


@test
def watch_shows_findings_as_they_come_and_outlives_the_daemon():
    """Here one that closes each connection while it is down."""
    state = {'down': False, 'findings': [finding(3)]}

    def devices(_parameters, _before):
        return Raw(b'') if state['down'] else each('device', [at_work('a')])

    def findings(parameters, _before):
        return each('finding', [f for f in state['findings'] if f['id'] > parameters.get('after', 0)])

    with FakeDaemon(ListDevices=devices, ListFindings=findings) as fake, Screen(fake, 120) as screen:
        lines = screen.until('1 device, 0 need attention')
        assert 'finding 3' not in '\n'.join(lines), lines
        state['findings'].append(finding(4, device='a', first_seen_at=NOW))
        screen.until('finding 4  a  bit_flip at 1.5 GiB')
        state['down'] = True
        screen.until('[sweepd does not answer; this is as it was]', 'finding 4', '99 %')
        state['down'] = False
        while 'this is as it was' in '\n'.join(screen.lines()):
            time.sleep(0.1)
        screen.until('finding 4')
        screen.tmux('send-keys', 'C-c')
        lines = screen.until('status 0')
        assert 'finding 4' not in '\n'.join(lines), f'the screen was not given back: {lines}'


def lines_of_watch(fake, *arguments, until):
    """What watch writes where it is no terminal, until a line is there."""
    child = subprocess.Popen([SWEEPCTL, '--socket', fake.path, 'watch', *arguments], stdout=subprocess.PIPE, text=True,
                             env={**os.environ, 'TZ': 'UTC'}, stderr=subprocess.PIPE)
    lines = []
    for line in child.stdout:
        lines.append(line.rstrip('\n'))
        if until in line:
            break
    child.kill()
    child.stdout.close()
    told = child.stderr.read()
    child.stderr.close()
    child.wait()
    return lines, told


@test
def watch_writes_lines_of_what_changed_where_there_is_no_terminal():
    def devices(_parameters, before):
        if before == 3:
            return Raw(b'')
        percent = (100, 110, 555, 0, 555)[before] if before < 5 else 1000
        return each('device', [device('a', state='sweeping', progress={**PROGRESS, 'bytes_done': percent}) if
                               percent < 1000 else device('a')])

    with FakeDaemon(ListDevices=devices, ListFindings=[{}]) as fake:
        lines, told = lines_of_watch(fake, until='idle')
        assert [re.sub(r'^\S+ \S+ \S+  |, \d+ min left', '', line) for line in lines] == [
            'a  sweeping, verify, 11 %, 180 MiB/s', 'a  sweeping, verify, 55 %, 180 MiB/s',
            'a  idle, clean (verified)'], lines
        assert told.split('\n')[:2] == ['sweepctl: sweepd does not answer', 'sweepctl: sweepd answers again'], told
    with FakeDaemon(ListDevices=devices, ListFindings=[{}]) as fake:
        lines, _ = lines_of_watch(fake, '--json', until='"idle"')
        assert [json.loads(line)['device']['state'] for line in lines] == ['sweeping', 'sweeping', 'idle'], lines


@test
def watch_of_what_is_not_there_ends_at_once():
    with FakeDaemon(ListDevices=Error('NoSuchDevice', device='x', nearest='a')) as fake:
        expect(ask(fake, 'watch', 'x'), 1, error=['did you mean "a"?'])
    expect(ask(fake, 'watch'), 1, error=['sweepd is not running'])


if __name__ == '__main__':
    main()
