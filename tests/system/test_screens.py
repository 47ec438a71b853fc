#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What sweepctl draws: the map of a device, and the screen of watch, in a real terminal (tmux)."""

import json
import os
import pty
import re
import shutil
import subprocess
import tempfile
import threading
import time

from ctl_harness import SWEEPCTL, Skip, all_shown, ask, expect, expect_document, expect_width, main, on_terminal, test
from fake_daemon import DAY, HOUR, NOW, PROGRESS, REASON, Error, FakeDaemon, Raw, device, each, finding, sweep

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
        for columns, cells in (80, 64), (200, 128), (44, 32), (43, 16), (20, 8):
            shown = on_terminal(fake, columns, 'map', 'a', NO_COLOR='1')
            assert '\x1b' not in shown, shown
            assert f'  X{"#" * (cells - 1)}\n' in shown, shown
        assert '\x1b[1;31mX\x1b[0m' in on_terminal(fake, 80, 'map', 'a', NO_COLOR='')
        for dumb in 'dumb', '':
            assert '\x1b' not in on_terminal(fake, 80, 'map', 'a', NO_COLOR='', TERM=dumb)


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


# status and watch


class Screen:
    """A terminal with sweepctl in it."""

    def __init__(self, fake, columns, *arguments, lines=24, command='watch'):
        if not shutil.which('tmux'):
            raise Skip('there is no tmux')
        self.directory = tempfile.TemporaryDirectory(prefix='sweepctl-tmux-')
        self.tmux('-f', '/dev/null', 'new-session', '-d', '-x', str(columns), '-y', str(lines),
                  f'NO_COLOR=1 TZ=UTC {SWEEPCTL} --socket {fake.path} {command} {" ".join(arguments)}; echo "status $?"; '
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


STATES = 'idle held queued sweeping yielding paused waiting stalled missing refused recovering'.split()


def in_state(name, state):
    if state in ('sweeping', 'yielding'):
        return {**at_work(name), 'state': state}
    needed = state in ('stalled', 'missing', 'refused')
    return device(name, state=state, needs_attention=needed, reason=None if state == 'idle' else {**REASON, 'rule': state})


def of_sixty(*others):
    """Sixty disks, of which some are otherwise."""
    named = {other['name']: other for other in others}
    return [named.get(f'disk-{i:02}', device(f'disk-{i:02}', mode='read', assurance='readable')) for i in range(60)]


@test
def status_of_none_and_of_one_device_is_a_small_screen():
    for columns in 80, 200:
        with FakeDaemon(ListDevices=[{}]) as fake, Screen(fake, columns, command='status') as screen:
            lines = screen.until('status 0')
            assert 'There are no devices.' in '\n'.join(lines) and max(map(len, lines)) <= columns, lines
            assert 'run: sweepctl reload' in ' '.join(lines), lines
        for state in STATES:
            one = in_state('a', state)
            with FakeDaemon(ListDevices=each('device', [one])) as fake:
                shown = on_terminal(fake, columns, 'status', status=2 if one['needs_attention'] else 0, NO_COLOR='1')
                expect_width(shown, columns)
                assert re.search(rf'^a +pattern +{state} ', shown, re.M), shown
                assert ('Nothing needs attention.' in shown) != ('a needs attention:' in shown), shown
                assert ('umount /srv/data' in shown) == one['needs_attention'], shown


def expect_all_counted(text, names, all_named):
    """Each device is named, or among those of which it says how many there are more."""
    named = set(re.findall(r'disk-\d\d', text))
    left_out = sum(map(int, re.findall(r' and (\d+)\s+more$', text, re.M)))
    assert named <= names and len(named) + left_out == len(names), text
    assert (left_out == 0) or not all_named, text


@test
def status_of_sixty_devices_fits_one_screen_the_worst_first():
    devices = of_sixty(in_state('disk-07', 'missing'), at_work('disk-03'), at_work('disk-50'),
                       device('disk-33', verdict='faulty', needs_attention=True, findings_open=3))
    names = {one['name'] for one in devices}
    with FakeDaemon(ListDevices=each('device', devices), ListFindings=each('finding', [finding(7)])) as fake:
        for columns, height in (80, 24), (80, 50), (200, 50), (200, 24):
            with Screen(fake, columns, lines=height, command='status') as screen:
                lines = screen.until('status 2')
                text = '\n'.join(lines)
                assert lines[0].startswith('sweepd: '), lines
                assert max(map(len, lines)) <= columns, lines
                rows = re.findall(r'^(disk-\d\d) +(?:read|pattern) ', text, re.M)
                assert rows == ['disk-33', 'disk-07', 'disk-03', 'disk-50'], lines
                assert '60: 2 need attention, 2 at work or doubtful, 56 idle and sound' in text, lines
                assert '56 idle, clean (readable), all swept since' in text, lines
                expect_all_counted(text, names, all_named=(columns, height) != (80, 24))
                for told in ('3 open findings: sweepctl errors disk-33', 'serial ZA1234', 'bit_flip, persistent, since ',
                             'what to do:     replace the disk'):
                    assert told in text, (told, lines)
                assert ('umount /srv/data' in text) != ('\n1 more needs attention: sweepctl status' in text), lines
                assert height < 50 or 'umount /srv/data' in text, lines
        # Where there is no terminal, and where all have their own trouble.
        assert len(ask(fake, 'status').stdout.splitlines()) <= 60
        unfolded = ask(fake, 'status', '--all').stdout
        assert len(re.findall(r'^disk-\d\d +(?:read|pattern) ', unfolded, re.M)) == 60, unfolded
    for sick in ('faulty', 'unknown'):
        devices = [device(f'disk-{i:02}', verdict=sick, needs_attention=sick == 'faulty', findings_open=3 * (sick == 'faulty')) for i in range(60)]
        with FakeDaemon(ListDevices=each('device', devices), ListFindings=each('finding', [finding(7)])) as fake:
            for lines in 24, 50, 60:
                shown = on_terminal(fake, 80, 'status', lines=lines, status=2 if sick == 'faulty' else 0, NO_COLOR='1')
                # The worst one in full, and the names of all others, or how many there are.
                assert len(shown.splitlines()) < lines, shown
                expect_all_counted(shown, {one['name'] for one in devices}, all_named=lines > 24)
                assert len(re.findall(r'^disk-\d\d +pattern ', shown, re.M)) >= 4, shown
                assert ('59 more need attention: sweepctl status DEVICE' in shown) == (sick == 'faulty'), shown


@test
def status_folds_a_device_that_is_alone_in_its_state_into_one_line():
    lone = [in_state(f'disk-0{i}', state) for i, state in enumerate(STATES[:7])]
    with FakeDaemon(ListDevices=each('device', of_sixty(*lone))) as fake:
        shown = on_terminal(fake, 80, 'status', lines=24, NO_COLOR='1')
        expect_width(shown)
        assert re.search(r'^1 idle, clean \(verified\), swept .*: disk-00$', shown, re.M), shown
        assert re.search(r'^disk-06 +pattern +waiting ', shown, re.M), shown
        assert re.search(r'^5\d idle, clean \(readable\), all swept since .*:\n  disk-', shown, re.M), shown


@test
def status_on_a_low_screen_gives_its_lines_to_those_that_need_attention():
    """Those at work are folded after the good ones, and neither takes lines or names from those that somebody is needed for."""
    sick = [in_state(f'disk-{i:02}', 'missing') for i in (9, 19)]
    overdue = device('disk-29', needs_attention=True, overdue=True, mode='read', assurance='readable')
    busy = [at_work(f'disk-{i:02}') for i in range(30, 60)]
    devices = of_sixty(*sick, overdue, *busy)
    with FakeDaemon(ListDevices=each('device', devices)) as fake:
        for columns, lines in (80, 24), (80, 30), (80, 50), (120, 24):
            shown = on_terminal(fake, columns, 'status', lines=lines, status=2, NO_COLOR='1')
            assert len(shown.splitlines()) < lines, shown
            expect_width(shown, columns)
            expect_all_counted(shown, {one['name'] for one in devices}, all_named=False)
            rows = re.findall(r'^(disk-\d\d) +(?:read|pattern) ', shown, re.M)
            assert rows[:3] == ['disk-09', 'disk-19', 'disk-29'], shown
            assert 'disk-09 needs attention:' in shown, shown
            assert re.search(r'^(30|2\d) sweeping, clean \(verified\), ', shown, re.M), shown
            assert re.search(r'^27 idle, clean \(readable\), all swept since ', shown, re.M), shown
    # What needs attention is not hidden among others that are like it.
    overdue = [device(f'disk-{i:02}', needs_attention=True, overdue=True, mode='read', assurance='readable') for i in range(40)]
    with FakeDaemon(ListDevices=each('device', of_sixty(*overdue))) as fake:
        shown = on_terminal(fake, 80, 'status', lines=24, status=2, NO_COLOR='1')
        assert len(shown.splitlines()) < 24, shown
        assert re.search(r'^3\d idle, clean \(readable\), needs attention, ', shown, re.M), shown
        assert re.search(r'^20 idle, clean \(readable\), all swept since ', shown, re.M), shown


@test
def status_never_leaves_out_what_does_not_fit_without_counting_it():
    devices = [device(f'{"rack-12.shelf-4.bay-" * 2}{i:03}') for i in range(200)]
    with FakeDaemon(ListDevices=each('device', devices)) as fake:
        shown = on_terminal(fake, 80, 'status', NO_COLOR='1')
        expect_width(shown)
        named = len(set(re.findall(r'bay-\d{3}', shown)))
        assert f'and {200 - named} more' in shown and named > 5, shown
        assert '200 idle, clean (verified)' in shown, shown


@test
def watch_draws_a_bar_for_each_sweep_at_80_and_200_columns():
    devices = [device('idle-1', overdue=True), at_work('a'),
               device('b', state='refused', reason=REASON, needs_attention=True, verdict='unknown')]
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
            assert lines[4] == 'idle-1  idle        clean (verified), overdue', lines


@test
def watch_gives_up_the_phase_and_the_bar_before_the_rate_and_the_time_left():
    """Names as `match` gives them: model and serial."""
    far = {**PROGRESS, 'eta_at': NOW + 5 * HOUR + HOUR // 2, 'bytes_done': 500}
    for columns, name_columns, bar in (102, 25, 20), (101, 25, 20), (80, 22, 9), (80, 25, 6), (80, 29, 0), (80, 34, 0), (72, 25, 0):
        names = 'ST16000NM001G-2KK103-ZL2ABCDEFGH-x'[:name_columns], 'b'
        devices = [device(name, state='sweeping', progress=far) for name in names]
        with FakeDaemon(ListDevices=each('device', devices), ListFindings=[{}]) as fake, Screen(fake, columns) as screen:
            lines = screen.until('2 devices', ' left')[2:4]
            picture = '[' + '#' * (bar // 2) + '-' * (bar - bar // 2) + ']  50 %' if bar else ' 50 %'
            for name, line in zip(names, lines):
                assert line.startswith(name), lines
                assert re.fullmatch(r'.*180 MiB/s, 5 h \d\d min left', line), lines
                assert f'  sweeping    {picture} ' in line, (columns, name_columns, lines)
                assert ('verify' in line) == (columns == 102), lines


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
        screen.until('sweepd does not answer; this is as it was', 'finding 4', '99 %')
        state['down'] = False
        while 'this is as it was' in '\n'.join(screen.lines()):
            time.sleep(0.1)
        screen.until('finding 4')
        screen.tmux('send-keys', 'C-c')
        lines = screen.until('status 0')
        assert 'finding 4' not in '\n'.join(lines), f'the screen was not given back: {lines}'


@test
def watch_goes_on_with_the_next_daemon_on_the_same_socket():
    devices = {'name': 'before'}
    with FakeDaemon(ListDevices=lambda *_: each('device', [at_work(devices['name'])]), ListFindings=[{}]) as fake:
        for columns in 80, 200:
            with Screen(fake, columns) as screen:
                screen.until(devices['name'])
                fake.stop()
                os.unlink(fake.path)
                screen.until('sweepd is not running; this is as it was', devices['name'])
                devices['name'] = f'after-{columns}'
                fake.start()
                lines = screen.until(devices['name'])
                assert 'this is as it was' not in '\n'.join(lines), lines


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
        percent = (100, 110, 555, 0, 555)[before] if before < 5 else 555 if before < 14 else 1000
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
def watch_tells_phases_seldom_and_what_matters_at_once_where_there_is_no_terminal():
    """Small segments change their phase with each look."""
    def devices(_parameters, before):
        changes = {12: {'findings_open': 1}, 13: {'findings_open': 1, 'verdict': 'faulty'},
                   14: {'state': 'paused', 'findings_open': 1, 'verdict': 'faulty'}}
        return each('device', [{**at_work('a'), 'progress': {**PROGRESS, 'phase': ('save', 'write', 'verify')[before % 3]},
                                **changes.get(before, {})}])

    with FakeDaemon(ListDevices=devices, ListFindings=[{}]) as fake:
        lines, _ = lines_of_watch(fake, until='paused')
        told = [re.sub(r'^\S+ \S+ \S+  |, \d+ min left', '', line) for line in lines]
        assert [line.split(', ')[4:] for line in told] == [[], [], ['1 finding'], ['1 finding'], ['1 finding']], told
        assert [line.split(', ')[0] for line in told] == ['a  sweeping'] * 4 + ['a  paused'], told


@test
def watch_sends_no_escape_sequences_to_a_terminal_that_takes_none():
    def devices(_parameters, before):
        if before >= 2:
            done.set()
        return each('device', [at_work('a')])

    for terminal in '', 'dumb':
        done = threading.Event()
        with FakeDaemon(ListDevices=devices, ListFindings=[{}]) as fake:
            master, slave = pty.openpty()
            child = subprocess.Popen([SWEEPCTL, '--socket', fake.path, 'watch'], stdout=slave,
                                     env={**os.environ, 'TERM': terminal, 'NO_COLOR': ''})
            os.close(slave)
            assert done.wait(60)
            child.terminate()
            shown = all_shown(master)
            child.wait(60)
            assert b'a  sweeping, ' in shown and b'\x1b' not in shown, shown


@test
def narrow_terminals_get_lines_that_are_cut_and_not_wrapped():
    one = device('a', state='refused', reason={**REASON, 'found': 'in use', 'remedy': 'free it'}, needs_attention=True)
    answer = {'finding': finding(7, detail={}), 'expected': '00112233445566778899', 'found': '00112233445566778898'}
    for columns in 24, 36:
        with FakeDaemon(ListDevices=lambda asked, _: {'device': one} if asked else each('device', [one, device('b')]),
                        ListFindings=each('finding', [finding(7)]), ListSweeps=each('sweep', [sweep(1)]),
                        GetFinding=answer, GetMap=surface('X?Ss#+-.')) as fake:
            for command, status in (['status'], 2), (['status', 'a'], 2), (['errors'], 2), (['finding', '7'], 0), (['map', 'a'], 0), (['history'], 0):
                shown = on_terminal(fake, columns, *command, status=status, lines=200, NO_COLOR='1')
                assert max(map(len, shown.splitlines()), default=0) <= columns, shown
            with Screen(fake, columns) as screen:
                lines = screen.until('a  refused')
                assert [line.split()[0] for line in lines[2:]] == ['a', 'b'], lines


@test
def watch_of_what_is_not_there_ends_at_once():
    with FakeDaemon(ListDevices=Error('NoSuchDevice', device='x', nearest='a')) as fake:
        expect(ask(fake, 'watch', 'x'), 1, error=['did you mean "a"?'])
    expect(ask(fake, 'watch'), 1, error=['sweepd is not running'])


if __name__ == '__main__':
    main()
