#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What sweepctl says and how it exits, for each command and each answer."""

import base64
import errno
import itertools
import json
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from ctl_harness import all_shown, ask, expect, expect_document, expect_width, flat, main, on_terminal, run, Skip, SWEEPCTL, test
from denied import denial
from fake_daemon import DAEMON, DAY, HOUR, IDENTITY, NOW, PROGRESS, REASON, Error, FakeDaemon, Raw, device, each, finding, sweep

# Command line


@test
def help_names_every_command():
    done = expect(run('--help'), 0, 'Usage: sweepctl COMMAND')
    for command in 'status errors finding start pause resume cancel wait watch history map report retire ack alert-test reload'.split() + [
            'rescue list', 'rescue export', 'rescue retry', 'rescue forget']:
        assert re.search(rf'^  {command} ', done.stdout, re.M), command
        more = expect(run(*command.split(), '--help'), 0, f'Usage: sweepctl {command}')
        expect_width(more.stdout)
        assert run('--help', *command.split()).stdout == more.stdout
    expect_width(done.stdout)


@test
def help_names_the_unit_that_runs_programs():
    unit = Path(__file__).resolve().parents[2] / 'systemd/sweepd-alert.service.in'
    expect(run('follow', '--help'), 0, f'{unit.stem} does this with the program /etc/sweepd/alert.')
    assert 'follow --exec @sysconfdir@/sweepd/alert\n' in unit.read_text(), unit


@test
def version_is_one_line():
    done = expect(run('--version'), 0)
    assert re.fullmatch(r'sweepctl \d+\.\d+\.\d+\n', done.stdout), done.stdout


@test
def no_command_is_an_error_with_help():
    expect(run(), 1, error=['Usage: sweepctl', 'A command is missing'])


@test
def a_slip_gets_the_nearest_command_or_option():
    for given, nearest in [('stats', 'status'), ('error', 'errors'), ('histroy', 'history'), ('retrie', 'retire'),
                           ('relaod', 'reload'), ('stat', 'status'), ('hist', 'history'), ('sta', 'start'), ('err', 'errors')]:
        expect(run(given), 1, error=[f'there is no command "{given}"; did you mean {nearest}?'])
    with FakeDaemon() as fake:
        expect(ask(fake, 'follow', '--timeout', '5'), 1, error=['--timeout is for the program of --exec, which is not given'])
        assert not fake.calls
    expect(run('frobnicate'), 1, error=['there is no command "frobnicate"; all of them: sweepctl --help'])
    expect(run('status', '--jsn'), 1, error=['there is no option "--jsn"; did you mean --json?'])
    for given, nearest in ('-h', '--help'), ('-v', '--version'), ('-j', '--json'), ('--vers', '--version'):
        expect(run(given), 1, error=[f'there is no option "{given}"; did you mean {nearest}?'])
    for given in '-x', '-o':
        expect(run(given, 'status'), 1, error=[f'there is no option "{given}"; all of them: sweepctl --help'])
    expect(run('--' + 'x' * 500, 'status'), 1, error=['there is no option'])
    expect(run('start', 'a', '--mode', 'patern'), 1, error=['there is no mode "patern"; did you mean pattern?'])
    expect(run('start', 'a', '--patterns', '0xaa,55'), 1, error=['--patterns: "55" is not a pattern: write a byte as 0x'])
    expect(run('start', 'a', '--patterns', '0xaa,0xAA'), 1, error=['--patterns: "0xAA" stands twice in a row'])


@test
def options_belong_to_their_commands():
    expect(run('history', '--all'), 1, error=['history has no option --all: sweepctl history --help'])
    expect(run('wait', 'a', '--mode', 'read'), 1, error=['wait has no option --mode'])
    expect(run('status', '--json=yes'), 1, error=['--json takes no value'])
    expect(run('status', '--socket'), 1, error=['--socket needs a path behind it'])


@test
def operands_are_checked():
    for command in 'start', 'pause', 'resume', 'cancel', 'wait', 'map', 'report', 'retire', 'ack', 'finding':
        expect(run(command), 1, error=[f'{command} needs to know which: sweepctl {command} '])
    for word in '0', '-1', 'x', '1x', '', '99999999999999999999', '+1', ' 1':
        expect(run('finding', '--', word), 1, error=['is no number of a finding'])
    for command in 'export', 'retry', 'forget':
        expect(run('rescue', command), 1, error=[f'rescue {command} needs to know which: sweepctl rescue {command} ID'])
        expect(run('rescue', command, 'x'), 1, error=['"x" is no number of a rescue', 'sweepctl rescue list shows'])
    expect(run('rescue'), 1, error=['rescue wants to know what to do'])
    expect(run('rescue', 'lst'), 1, error=['there is no command "rescue lst"; did you mean rescue list?'])
    expect(run('rescue', 'list', 'a', 'b'), 1, error=['"b" is one word too many'])
    expect(run('reload', 'now'), 1, error=['reload takes nothing behind it, but there is "now"'])
    expect(run('status', 'a', 'b'), 1, error=['"b" is one word too many'])
    expect(run('status', ''), 1, error=['the name of the device is empty'])
    expect(run('status', b'\xff'.decode(errors='surrogateescape'), '--socket', '/none'), 1, error=['not running'])
    with FakeDaemon() as fake:
        expect(ask(fake, 'start', b'a\xff'.decode(errors='surrogateescape')), 1, error=['is not UTF-8'])


@test
def options_may_stand_anywhere():
    with FakeDaemon(ListDevices=each('device', [device('a')])) as fake:
        for arguments in (['--json', 'status', f'--socket={fake.path}'], [f'--socket={fake.path}', 'status', '--json'],
                          ['status', '--json', '--socket', fake.path]):
            assert json.loads(run(*arguments).stdout)['devices'][0]['name'] == 'a'


@test
def an_answer_that_cannot_be_written_is_not_given():
    with FakeDaemon(ListDevices=each('device', [device('a')])) as fake, open('/dev/full', 'w') as full:
        done = subprocess.run([SWEEPCTL, '--socket', fake.path, 'status'], stdout=full, stderr=subprocess.PIPE,
                              text=True, timeout=60, check=False)
        assert done.returncode == 1 and 'cannot write the answer' in done.stderr, done


@test
def a_pager_that_its_user_ends_is_no_failure():
    with FakeDaemon(ListDevices=each('device', [device('a')])) as fake:
        master, slave = pty.openpty()
        environment = {**os.environ, 'SWEEPCTL_PAGER': 'kill -HUP $$'}
        child = subprocess.Popen([SWEEPCTL, '--socket', fake.path, 'status'], stdout=slave, stderr=subprocess.PIPE,
                                 text=True, env=environment)
        os.close(slave)
        told = child.stderr.read()
        child.stderr.close()
        os.close(master)
        assert child.wait(60) == 0 and not told, told


def denied(call, error):
    deny = denial(call, error)
    if not deny:
        raise Skip(f'the number of {call} on this machine is not known')
    return deny


@test
def an_answer_that_cannot_be_collected_is_a_failure():
    with FakeDaemon(ListDevices=each('device', [device('a')])) as fake:
        master, slave = pty.openpty()
        child = subprocess.Popen([SWEEPCTL, '--socket', fake.path, 'status'], stdout=slave, stderr=subprocess.PIPE,
                                 text=True, preexec_fn=denied('memfd_create', errno.EPERM))
        os.close(slave)
        told = child.communicate(timeout=60)[1]
        assert child.returncode == 1 and told == 'sweepctl: cannot collect the answer: Operation not permitted\n', told
        assert not all_shown(master)


@test
def an_answer_for_a_terminal_that_went_away_is_a_failure():
    master, slave = pty.openpty()

    def after_it_is_closed(*_):
        os.close(master)
        return each('device', [device('a')])

    with FakeDaemon(ListDevices=after_it_is_closed) as fake:
        child = subprocess.Popen([SWEEPCTL, '--socket', fake.path, 'status'], stdout=slave, stderr=subprocess.PIPE,
                                 text=True, env={**os.environ, 'SWEEPCTL_PAGER': ''})
        os.close(slave)
        told = child.communicate(timeout=60)[1]
    assert child.returncode == 1 and told == 'sweepctl: cannot show the answer: Input/output error\n', told


# Connection


@test
def without_a_daemon_it_says_how_to_start_it():
    with tempfile.TemporaryDirectory() as directory:
        path = f'{directory}/control'
        expect(run('status', '--socket', path), 1,
               error=[f'sweepd is not running ({path}: No such file or directory): systemctl start sweepd'])
        with FakeDaemon() as fake:
            fake.stop()
            expect(ask(fake, 'status', '--json'), 1, error=['Connection refused): systemctl start sweepd'])
    expect(run('status', '--socket', '/' + 'x' * 200), 1, error=['too long for a socket'])
    expect(run('status', '--socket', '/dev/null/control'), 1, error=['cannot connect to /dev/null/control: Not a directory'])


@test
def without_permission_it_says_which_group():
    if os.geteuid() != 0:
        raise Skip('only root can ask as somebody else')
    with FakeDaemon() as fake:
        os.chmod(fake.path, 0o600)
        os.chmod(fake.directory.name, 0o755)
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            copy = f'{directory}/sweepctl'
            subprocess.run(['cp', SWEEPCTL, copy], check=True)
            done = subprocess.run([copy, '--socket', fake.path, 'status'], capture_output=True, text=True,
                                  timeout=60, user=65534, check=False)
        expect(done, 1, error=['you need to be root or in the group sweepd', f'sudo sweepctl --socket {fake.path} status;',
                               'sudo usermod -aG sweepd USER'])


@test
def garbage_is_never_believed():
    def endless(data, times):
        for _ in range(times):
            yield data

    item = json.dumps({'parameters': {'device': device('a')}, 'continues': True}).encode()
    for raw, text in [
            (b'', 'went away'), (b'{"parameters":{}}', 'went away'), (b'\0', 'does not speak Varlink'),
            (b'HTTP/1.1 400 Bad Request\r\n\r\n\0', 'does not speak Varlink'), (b'[]\0', 'does not speak Varlink'),
            (b'{"parameters":[]}\0', 'does not speak Varlink'), (b'{"error":7}\0', 'does not speak Varlink'),
            (b'{"parameters":{"daemon":7}}\0', 'does not speak Varlink'), (b'{}\0', 'does not speak Varlink'),
            (b'{"parameters":{"daemon":{"pid":1e999}}}\0', 'does not speak Varlink'),
            (b'{"parameters":{},"continues":"yes"}\0', 'does not speak Varlink'),
            (b'{"parameters":{"daemon":{"version":"\xff\xfe"}}}\0', 'does not speak Varlink'),
            (b'{"parameters":' + b'{"a":' * 100000 + b'\0', 'does not speak Varlink'),
            (endless(b'x' * (1 << 20), 65), 'a reply of over 4 MiB'),
            (endless(b'{"parameters":{"daemon":"' + b'x' * (1 << 20), 65), 'a reply of over 4 MiB')]:
        with FakeDaemon(GetDaemon=Raw(raw)) as fake:
            expect(ask(fake, 'status'), 1, error=[text])
        if isinstance(raw, bytes):
            with FakeDaemon(ListDevices=Raw(raw), GetFinding=Raw(raw), StartSweep=Raw(raw), ListSweeps=Raw(raw)) as fake:
                for command in ['finding', '1'], ['start', 'a'], ['wait', 'a']:
                    assert ask(fake, *command).returncode == 1, (command, raw)
    with FakeDaemon(ListDevices=Raw(item + b'\0' + item)) as fake:
        expect(ask(fake, 'status'), 1, error=['went away'])
    with FakeDaemon(ListDevices=[{'device': 5}, {}]) as fake:
        expect(ask(fake, 'status'), 1, error=['does not speak Varlink'])


@test
def an_answer_that_breaks_off_is_not_given():
    begun = b''.join(json.dumps({'parameters': {field: record}, 'continues': True}).encode() + b'\0'
                     for field, record in [('device', device('a')), ('finding', finding(1)), ('sweep', sweep(1))])
    answers = {method: Raw(begun + b'{"parameters":{"') for method in ('ListDevices', 'ListFindings', 'ListSweeps')}
    with FakeDaemon(**answers) as fake:
        for command in ['status'], ['errors'], ['history'], ['status', '--json'], ['errors', '--json']:
            done = expect(ask(fake, *command), 1, error=[
                f'sweepd went away before its answer was complete ({fake.path}): systemctl status sweepd'])
            assert not done.stdout, done


@test
def a_peer_that_hangs_up_unread_is_one_that_went_away():
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f'{directory}/control')
        listener.listen()

        def hang_up():
            peer = listener.accept()[0]
            peer.recv(1, socket.MSG_PEEK)  # what is left unread makes it ECONNRESET rather than an end
            peer.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        expect(run('status', '--socket', f'{directory}/control'), 1, error=['went away before its answer was complete'])
        thread.join()


@test
def a_connection_that_cannot_be_read_is_broken():
    with FakeDaemon(ListDevices=each('device', [device('a')])) as fake:
        expect(ask(fake, 'status', preexec_fn=denied('recvfrom', errno.EIO)), 1,
               error=[f'the connection to {fake.path} broke: Input/output error'])


@test
def more_records_than_can_be_held_are_refused():
    def flood(times):
        one = b'{"parameters":{"finding":{}},"continues":true}\0'
        whole, rest = divmod(times, 1000)
        return itertools.chain([one * 1000] * whole, [one * rest, b'{"parameters":{}}\0'])

    with FakeDaemon(ListFindings=lambda *_: Raw(flood(1_000_001))) as fake:
        done = expect(ask(fake, 'errors', '--json'), 1,
                      error=['there are over 1000000: name a DEVICE, sweepctl status shows the names'])
        assert not done.stdout
        expect(ask(fake, 'errors', 'a', '--json'), 1, error=[
            'there are over 1000000 of a, more than can be shown; how many: sweepctl status'])
    with FakeDaemon(ListFindings=lambda *_: Raw(flood(1_000_000))) as fake:
        assert json.loads(expect(ask(fake, 'errors', '--json'), 0).stdout)['findings'] == [{}] * 1_000_000


@test
def many_records_come_through_whole():
    findings = [finding(i + 1, text='x' * 200) for i in range(20000)]
    with FakeDaemon(ListFindings=each('finding', findings)) as fake:
        done = ask(fake, 'errors', '--json')
        expect_document(done, 2, {'findings': findings})


# status


@test
def status_of_healthy_devices_is_fine():
    devices = [device('spare-7'), device('patrol', mode='read', assurance='readable'),
               device('new', verdict='unknown', assurance=None, last_sweep_ended_at=None, next_start_at=None)]
    with FakeDaemon(ListDevices=each('device', devices)) as fake:
        done = expect(ask(fake, 'status'), 0, '0.1.0, process 4711, up for 3 d 3 h', 'ledger: good',
                      'self-test: passed at 20', '0 on CPU 0, 1 on CPU 1', 'spare-7 pattern idle clean (verified)',
                      'patrol read idle clean (readable)', 'new pattern idle unknown never 0',
                      'Nothing needs attention.')
        expect_width(done.stdout)
        assert not re.search(r'clean(?! \()', done.stdout), done.stdout
        expect_document(ask(fake, 'status', '--json'), 0, {'daemon': DAEMON, 'devices': devices})
        assert ('ListDevices', {}, True) in fake.calls


@test
def status_of_what_needs_attention_is_2_with_the_remedy():
    devices = [device('spare-7', state='refused', reason=REASON, needs_attention=True),
               device('bad', verdict='faulty', needs_attention=True, findings_open=3),
               device('late', overdue=True, needs_attention=True, next_due_at=0),
               device('slow', findings_open=1)]
    with FakeDaemon(ListDevices=each('device', devices)) as fake:
        done = expect(ask(fake, 'status'), 2, 'spare-7 needs attention: refused (rule mounted)', REASON['found'],
                      REASON['remedy'], '3 open findings: sweepctl errors bad',
                      'overdue: the next sweep was due at 1970-01-01 00:00:00 UTC')
        expect_width(done.stdout)
        assert 'slow needs attention' not in done.stdout and 'Nothing needs' not in done.stdout
        expect_document(ask(fake, 'status', '--json'), 2, {'daemon': DAEMON, 'devices': devices})
    nobody = {name: None for name in IDENTITY}
    file = device('file', path='/srv/canary', state='refused', reason=REASON, needs_attention=True,
                  identity={**nobody, 'kind': 'file', 'backing_file': '/srv/canary', 'users': []})
    with FakeDaemon(ListDevices=each('device', [file])) as fake:
        done = expect(ask(fake, 'status'), 2, 'which: /srv/canary')
        assert done.stdout.count('/srv/canary') == 1, done.stdout


@test
def status_names_the_worst_open_finding_of_those_that_need_attention():
    told = [finding(3, fault='read_error'), finding(4, fault='slow'), finding(5, fault='stale', state='acknowledged'),
            finding(6, fault='stale', persistence='transient'), finding(7, fault='bit_flip', count=1),
            finding(8, fault='bit_flip', first_seen_at=0)]
    devices = [device('good'), device('slow', findings_open=1), device('late', overdue=True, needs_attention=True),
               device('bad', verdict='faulty', needs_attention=True, findings_open=5)]
    with FakeDaemon(ListDevices=each('device', devices), ListFindings=each('finding', told)) as fake:
        for options in [], ['--all']:
            done = expect(ask(fake, 'status', *options), 2,
                          f'5 open findings: sweepctl errors bad worst: bit_flip, persistent, since {day(2)}, seen 1 time: '
                          'finding 7 what to do: replace the disk which: ')
            expect_width(done.stdout)
        assert fake.called('ListFindings') == [{'device': 'bad'}] * 2, 'more was asked for than is shown'
        expect_document(ask(fake, 'status', '--json'), 2, {'daemon': DAEMON, 'devices': devices})
        assert len(fake.called('ListFindings')) == 2, fake.calls
    for answer in Error('LedgerUnavailable', text='x'), [{}], each('finding', [finding(1, state='acknowledged')]):
        with FakeDaemon(ListDevices=each('device', devices), ListFindings=answer) as fake:
            done = expect(ask(fake, 'status'), 2, '5 open findings: sweepctl errors bad which: ')
    with FakeDaemon(ListDevices=each('device', devices), ListFindings=Raw(b'')) as fake:
        expect(ask(fake, 'status'), 1, error=['sweepd went away before its answer was complete'])


@test
def status_does_not_wait_for_all_findings_of_a_disk_that_has_many():
    def endless():
        one = json.dumps({'parameters': {'finding': finding(1)}, 'continues': True}).encode() + b'\0'
        while True:
            yield one

    sick = [device(f'disk-{i:02}', verdict='faulty', needs_attention=True, findings_open=9) for i in range(60)]
    with FakeDaemon(ListDevices=each('device', sick), ListFindings=lambda *_: Raw(endless())) as fake:
        expect(ask(fake, 'status'), 2, 'disk-00 needs attention: 9 open findings: sweepctl errors disk-00 worst: bit_flip')
        assert len(fake.called('ListFindings')) < 20, 'who is only counted is asked about'
        told = expect(ask(fake, 'status', '--all'), 2).stdout
        assert told.count('worst:') == 60, told


@test
def each_fault_has_a_line_of_what_to_do():
    interface = (Path(__file__).resolve().parents[2] / 'daemon/control/io.sweepd.varlink').read_text(encoding='utf-8')
    faults = re.search(r'fault: \(([^)]*)\)', interface)[1].split(', ')
    for fault in faults:
        with FakeDaemon(GetFinding={'finding': finding(7, fault=fault), 'expected': None, 'found': None}) as fake:
            expect_width(expect(ask(fake, 'finding', '7'), 0, f'fault: {fault}', 'what to do: ').stdout)
    for persistence, text in [('transient', 'it came on the way'), ('persistent', 'what to do: replace the disk'),
                              ('repaired', 'it was stored so, and written anew it holds')]:
        with FakeDaemon(GetFinding={'finding': finding(7, persistence=persistence)}) as fake:
            expect(ask(fake, 'finding', '7'), 0, text)
    with FakeDaemon(GetFinding={'finding': finding(7, fault='newer')}) as fake:
        assert 'what to do' not in expect(ask(fake, 'finding', '7'), 0, 'fault: newer').stdout


@test
def a_fault_that_somebody_knows_of_is_neither_urgent_nor_sound():
    known = device('known', verdict='faulty', assurance=None, findings_acknowledged=1)
    with FakeDaemon(ListDevices=each('device', [device('good'), known])) as fake:
        expect(ask(fake, 'status'), 0, '2: 0 need attention, 1 at work or doubtful, 1 idle and sound')


@test
def slow_alone_is_fine():
    with FakeDaemon(ListDevices=each('device', [device('a', findings_open=2)]),
                    ListFindings=each('finding', [finding(1, fault='slow')])) as fake:
        expect(ask(fake, 'status'), 0)
        expect(ask(fake, 'errors'), 0, 'slow')


@test
def a_ledger_that_is_not_good_needs_attention():
    for ledger in 'unavailable', 'replaced', 'newer-word':
        told = {**DAEMON, 'ledger': ledger, 'ledger_text': 'disk I/O error'}
        with FakeDaemon(GetDaemon={'daemon': told}, ListDevices=each('device', [device('a')])) as fake:
            expect(ask(fake, 'status'), 2, f'{ledger}: disk I/O error', 'The ledger needs attention', 'journalctl -u')
            expect(ask(fake, 'status', 'a'), 2, 'The ledger needs attention')
            expect_document(ask(fake, 'status', '--json'), 2, {'daemon': told, 'devices': [device('a')]})


@test
def journals_of_devices_that_are_not_configured_need_attention():
    told = {**DAEMON, 'unowned_journals': ['/var/lib/sweepd/undo/gone.undo', '/var/lib/sweepd/undo/old.undo']}
    with FakeDaemon(GetDaemon={'daemon': told}, ListDevices=each('device', [device('a')])) as fake:
        done = expect(ask(fake, 'status'), 2, '/var/lib/sweepd/undo/gone.undo', '/var/lib/sweepd/undo/old.undo',
                      'sweepctl rescue list')
        assert 'Nothing needs attention' not in done.stdout, done.stdout
        expect_width(done.stdout)
        expect(ask(fake, 'status', 'a'), 0)


@test
def status_without_devices_says_how_to_get_one():
    with FakeDaemon(ListDevices=[{}]) as fake:
        expect(ask(fake, 'status'), 0, 'There are no devices. Add some to /etc/sweepd/sweepd.conf '
               '(sudo sweepd --list-disks prints entries) and run: sweepctl reload')
        expect_document(ask(fake, 'status', '--json'), 0, {'daemon': DAEMON, 'devices': []})


@test
def status_of_one_device_shows_all_that_is_known():
    one = device('spare-7', state='sweeping', progress=PROGRESS, extent_offset=1 << 30, extent_length=1 << 40,
                 findings_open=1, findings_acknowledged=2, findings_resolved=3, needs_attention=True)
    read = {'operation': 'read', 'count': 9, 'p50_us': 100, 'p90_us': 200, 'p99_us': 1234, 'p999_us': 5000,
            'max_us': 2600000}
    sweeps = [sweep(1, latency=[read]), sweep(2, mode='read', verdict='incomplete', end='cancelled')]
    with FakeDaemon(ListDevices=each('device', [one]), ListSweeps=each('sweep', sweeps),
                    ListFindings=each('finding', [finding(7)])) as fake:
        done = expect(ask(fake, 'status', 'spare-7'), 2, 'serial: ZA1234', 'WWN: 0x5000c500a1b2c3d4',
                      'in use: mounted at /srv md0 size: 16.0 TiB (17592186044416)', 'from offset 1.0 GiB (1073741824)',
                      'sweep: 12, phase verify, 99 % (999 B of 1000 B)',
                      'pace: 180 MiB/s: as fast as the device goes', 'state: sweeping, needs attention',
                      'verdict: clean (verified): every byte was compared', 'coverage: 99 %', 'write cache: on, defeated',
                      '1 open, 2 acknowledged, 3 resolved: sweepctl errors spare-7', '7, bit_flip at 1.5 GiB (1610612736)',
                      'last sweeps: 1, pattern,', '2, read,', 'incomplete, cancelled',
                      'latency: read 50 % within 100 us, 90 % within 200 us, 99 % within 1.2 ms, 99.9 % within 5.0 ms, '
                      'all within 2.6 s', 'workers: 0 on CPU 0, 1 on CPU 1')
        assert len(done.stdout.splitlines()) < 50, done.stdout
        expect_width(done.stdout)
        assert fake.called('ListDevices') == [{'device': 'spare-7'}]
        expect_document(ask(fake, 'status', 'spare-7', '--json'), 2, {'daemon': DAEMON, 'devices': [one]})


@test
def status_of_a_device_of_which_nothing_is_known():
    one = {key: None for key in device('a')} | {'name': 'a'}
    with FakeDaemon(ListDevices=each('device', [one])) as fake:
        done = expect(ask(fake, 'status', 'a'), 0, 'identity: unknown', 'size: unknown', 'verdict: unknown')
        assert 'clean' not in done.stdout
    with FakeDaemon(GetDaemon={'daemon': {}}, ListDevices=each('device', [{}])) as fake:
        done = expect(ask(fake, 'status'), 2)
        assert 'clean' not in done.stdout
    with FakeDaemon(ListDevices=each('device', [device('a', assurance=None)])) as fake:
        expect(ask(fake, 'status'), 0, 'clean (assurance unknown)')


@test
def status_of_one_device_says_what_its_verdict_and_its_pace_are_worth():
    moving = {**PROGRESS, 'rate_target': 200 << 20}
    for changes, texts in [
            ({'assurance': 'readable'}, ['clean (readable): every byte came back without an error; none was compared']),
            ({'verdict': 'faulty'}, ['faulty: a fault is open']), ({'verdict': 'incomplete'}, ['did not reach all of it']),
            ({'verdict': 'unknown'}, ['unknown: no sweep of what is there now has ended']),
            ({}, ['schedule: every 30d']), ({'every_us': None}, ['schedule: by hand only', 'coverage: 99 % at any time']),
            ({'window_opens_at': NOW + HOUR, 'window_closes_at': NOW + 2 * HOUR}, ['next window: 20', ' to 20']),
            ({'window_closes_at': NOW + HOUR}, ['window: open until 20']),
            ({'state': 'missing', 'next_start_at': None, 'reason': REASON}, ['next start: when it is due, and there again']),
            ({'state': 'sweeping', 'next_start_at': None, 'progress': {**PROGRESS, 'eta_at': None}},
             ['(999 B of 1000 B), ends at an unknown time', 'next start: it is being swept']),
            ({'state': 'paused', 'next_start_at': None, 'progress': {**PROGRESS, 'eta_at': None}, 'reason': REASON},
             ['(999 B of 1000 B) pace:', 'next start: not planned']),
            *(({'state': 'sweeping', 'progress': {**moving, 'rate_rule': rule}}, [f'180 MiB/s: held to 200 MiB/s, {text}'])
              for rule, text in [
                  (None, 'which is enough to end in time, or the most that is allowed'),
                  ('deadline', 'which is enough to end in time'), ('rate_max', 'its rate_max'),
                  ('rate_min', 'its rate_min: to end in time it needs less'),
                  ('window', 'which gets a segment through in its longest window'),
                  ('per_controller', 'so that those that wait for limits.per_controller end in time, too'),
                  ('concurrent_sweeps', 'so that those that wait for limits.concurrent_sweeps end in time, too'),
                  ('limits_rate', 'its share of limits.rate'), ('of a later version', 'which is enough to end in time, or')]),
            ({'state': 'yielding', 'progress': moving}, ['180 MiB/s: it makes way for others, at most 200 MiB/s']),
            ({'state': 'yielding', 'progress': PROGRESS}, ['180 MiB/s: it makes way for others']),
            ({'state': 'paused', 'progress': PROGRESS, 'reason': REASON}, ['180 MiB/s: it is paused', REASON['found']])]:
        with FakeDaemon(ListDevices=each('device', [device('a', **changes)]), ListSweeps=[{}], ListFindings=[{}]) as fake:
            never = 'none' if changes.get('reason') else 'none: sweepctl start a'
            done = expect(ask(fake, 'status', 'a'), 0, *texts, f'last sweeps: {never}')
            assert ('sweepctl start a' in done.stdout) == (never != 'none'), done.stdout


@test
def status_of_one_device_that_was_never_swept_is_due_unless_it_never_is():
    for every, due in (7 * DAY, 'now'), (None, 'never'):
        new = device('a', verdict='unknown', last_sweep_ended_at=None, next_due_at=None, every_us=every)
        with FakeDaemon(ListDevices=each('device', [new]), ListSweeps=[{}], ListFindings=[{}]) as fake:
            expect(ask(fake, 'status', 'a'), 0, f'next due: {due} next start: ')


@test
def status_of_one_device_says_why_its_last_sweep_failed():
    failed = sweep(7, verdict='incomplete', end='failed', assurance=None, reason={**REASON, 'found': 'the cable fell out'})
    with FakeDaemon(ListDevices=each('device', [device('a', needs_attention=True)]), ListSweeps=each('sweep', [failed]),
                    ListFindings=[{}]) as fake:
        done = expect(ask(fake, 'status', 'a'), 2, 'incomplete, failed, 0 findings: the cable fell out')
        expect_width(done.stdout)


@test
def status_of_one_device_needs_no_ledger():
    gone = Error('LedgerUnavailable', text='disk I/O error')
    with FakeDaemon(ListDevices=each('device', [device('a')]), ListSweeps=gone, ListFindings=gone) as fake:
        expect(ask(fake, 'status', 'a'), 0, "last sweeps: unknown: the ledger can't be read", 'verdict: clean (verified)')
    with FakeDaemon(ListDevices=each('device', [device('a')]), ListSweeps=Raw(b'')) as fake:
        expect(ask(fake, 'status', 'a'), 1, error=['went away'])


# Pager and colour


@test
def a_pager_is_used_on_a_terminal_only():
    with FakeDaemon(ListDevices=each('device', [device('a')])) as fake:
        pager = {'SWEEPCTL_PAGER': 'sed "s/^/paged: /"', 'PAGER': 'sed "s/^/wrong: /"'}
        assert 'paged: DEVICE' in on_terminal(fake, 80, 'status', **pager)
        assert 'paged: Usage: sweepctl status' in on_terminal(fake, 80, 'status', '--help', **pager)
        assert 'paged:' not in on_terminal(fake, 80, 'status', '--no-pager', **pager)
        assert 'paged:' not in on_terminal(fake, 80, '--version', **pager)
        assert 'paged:' not in ask(fake, 'status', env=pager).stdout
        for none in '', 'cat':
            shown = on_terminal(fake, 80, 'status', SWEEPCTL_PAGER=none, PAGER=pager['PAGER'])
            assert '\nDEVICE' in shown and 'wrong:' not in shown, shown


@test
def without_a_choice_of_its_own_the_pager_is_that_of_others_or_less():
    with FakeDaemon(ListDevices=each('device', [device('a')])) as fake, tempfile.TemporaryDirectory() as directory:
        fake_less = os.path.join(directory, 'less')
        with open(fake_less, 'w', encoding='ascii') as out:
            out.write('#!/bin/sh\necho "less $* secure=$LESSSECURE"\ncat\n')
        os.chmod(fake_less, 0o755)
        path = f'{directory}:{os.environ["PATH"]}'
        assert 'paged: DEVICE' in on_terminal(fake, 80, 'status', without=['SWEEPCTL_PAGER'], PAGER='sed "s/^/paged: /"')
        shown = on_terminal(fake, 80, 'status', without=['SWEEPCTL_PAGER', 'PAGER'], PATH=path)
        assert f'less -FRSX secure={"1" if os.geteuid() == 0 else ""}\n' in shown and '\nDEVICE' in shown, shown
        for dumb in 'dumb', '':
            shown = on_terminal(fake, 80, 'status', without=['SWEEPCTL_PAGER', 'PAGER'], PATH=path, TERM=dumb)
            assert 'less' not in shown and '\nDEVICE' in shown, shown


@test
def a_pager_that_does_not_work_costs_no_answer():
    with FakeDaemon(ListDevices=each('device', [device('a', needs_attention=True)])) as fake:
        for pager in {'SWEEPCTL_PAGER': '/none/such'}, {'SWEEPCTL_PAGER': 'false'}, {'PATH': '/none'}:
            without = [] if 'SWEEPCTL_PAGER' in pager else ['SWEEPCTL_PAGER', 'PAGER']
            shown = on_terminal(fake, 80, 'status', status=2, without=without, **pager)
            assert ('\nDEVICE' in shown) == (pager != {'SWEEPCTL_PAGER': 'false'}), (pager, shown)
        # It is about what was answered: a complaint is not paged, and the status is that of the command.
        shown = on_terminal(fake, 80, 'errors', status=1, SWEEPCTL_PAGER='echo paged')
        assert 'paged' not in shown, shown


@test
def colour_goes_to_terminals_of_people_who_want_it():
    devices = [device('bad', needs_attention=True), device('busy', state='sweeping', progress=PROGRESS), device('good')]
    with FakeDaemon(ListDevices=each('device', devices)) as fake:
        shown = on_terminal(fake, 80, 'status', status=2, NO_COLOR='')
        for colour, name in ('1;31', 'bad'), ('32', 'busy'):
            assert re.search(rf'\x1b\[{colour}m{name} .*\x1b\[0m\n', shown), shown
        assert '\ngood ' in shown, shown
        assert '\x1b' not in on_terminal(fake, 80, 'status', status=2, NO_COLOR='1')
        for dumb in 'dumb', '':
            assert '\x1b' not in on_terminal(fake, 80, 'status', status=2, NO_COLOR='', TERM=dumb)
        assert '\x1b' not in ask(fake, 'status', env={'TERM': 'xterm', 'NO_COLOR': ''}).stdout


@test
def progress_is_never_rounded_up():
    progress = {**PROGRESS, 'bytes_total': 1 << 62, 'bytes_done': (1 << 62) - 1}
    one = device('a', state='sweeping', progress=progress)
    with FakeDaemon(ListDevices=each('device', [one])) as fake:
        expect(ask(fake, 'status'), 0, 'sweeping 99 %')


@test
def names_from_devices_cannot_paint_the_terminal():
    evil = 'a\x1b[2J\x07\x7f\u009b\u202egnp\nb\tä'
    identity = {'kind': evil, 'model': evil, 'serial': evil, 'users': [evil, 7]}
    one = device(evil, path=evil, mode=evil, state=evil, verdict=evil, identity=identity, needs_attention=True,
                 reason={'rule': evil, 'found': evil, 'remedy': evil})
    told = {**DAEMON, 'version': evil, 'ledger': evil, 'ledger_text': evil, 'workers': [{'index': 0, 'cpus': evil}]}
    found = finding(1, device=evil, fault=evil, text=evil, detail={evil: evil}, comment=evil, persistence=evil)
    swept = sweep(1, device=evil, mode=evil, verdict=evil, end=evil, reason={'rule': evil, 'found': evil})
    with FakeDaemon(GetDaemon={'daemon': told}, ListDevices=each('device', [one]), ListSweeps=each('sweep', [swept]),
                    ListFindings=each('finding', [found]), GetFinding={'finding': found, 'expected': evil, 'found': evil},
                    StartSweep=Error('Refused', device=evil, reason={'rule': evil, 'found': evil, 'remedy': evil}),
                    CancelSweep=Error(evil + '.x', what=evil), Reload=Error('InvalidConfig', file=evil, text=evil)
                    ) as fake:
        for arguments in (['status'], ['status', 'a'], ['errors'], ['finding', '1'], ['history'], ['start', 'a'],
                          ['cancel', 'a'], ['reload'], ['wait', 'a'], ['status', '--json'], ['wait', 'a', '--json']):
            done = ask(fake, *arguments)
            text = done.stdout + done.stderr
            assert not re.search('[\x00-\x09\x0b-\x1f\x7f\u0080-\u009f\u202e]', text.replace('\x7f', '')
                                 if '--json' in arguments else text), (arguments, text)
            assert text, arguments
        assert 'a?[2J????gnp?b?ä' in ask(fake, 'status').stdout


@test
def tables_fit_80_columns_and_keep_long_names_whole():
    long = 'rack-12.shelf-4.bay-07.' + 'z' * 41
    devices = [device(long, state='recovering', verdict='incomplete', progress=PROGRESS, mode='preserve',
                      findings_open=123456), device('b')]
    findings = [finding(123456, device=long, offset=(16 << 40) - 4096, length=1 << 40, fault='misdirected',
                        text='word ' * 40)]
    sweeps = [sweep(123456, device=long, verdict='incomplete', end='cancelled', running_us=900 * DAY + HOUR,
                    findings=4096, mode='preserve', reason=REASON)]
    with FakeDaemon(ListDevices=each('device', devices), ListFindings=each('finding', findings),
                    ListSweeps=each('sweep', sweeps)) as fake:
        for command in 'status', 'errors', 'history':
            done = ask(fake, command)
            expect_width(done.stdout)
            assert long in done.stdout, done.stdout
        assert '(17592186040320)' in ask(fake, 'errors').stdout


# errors, finding


def day(ago):
    return time.strftime('%b %d %H:%M', time.gmtime((NOW - ago * DAY) // 1_000_000))


@test
def errors_are_2_while_one_is_unacknowledged():
    findings = [finding(1), finding(2, state='acknowledged', device='b', fault='read_error', acknowledged_at=NOW - HOUR,
                                    comment='new disk is ordered')]
    with FakeDaemon(GetFinding={'finding': findings[1]}) as fake:
        since = time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime((NOW - HOUR) // 1_000_000))
        expect(ask(fake, 'finding', '2'), 0, f'state: acknowledged, known since {since}', 'comment: new disk is ordered')
    with FakeDaemon(ListFindings=each('finding', findings)) as fake:
        done = expect(ask(fake, 'errors'), 2, 'Comment: new disk is ordered', 'ID DEVICE OFFSET LENGTH FAULT PERSISTENCE',
                      '1 spare-7 1.5 GiB (1610612736) 4.0 KiB bit_flip persistent', 'seen 2 times',
                      '3 bits differ in 1 unit', 'acknowledged, first seen', f'{day(2)}, last seen {day(1)}, seen 2')
        expect_width(done.stdout)
        expect_document(ask(fake, 'errors', '--json'), 2, {'findings': findings})
        ask(fake, 'errors', 'b', '--all')
        assert fake.calls[-1] == ('ListFindings', {'device': 'b', 'all': True}, True), fake.calls[-1]
    for state in 'acknowledged', 'resolved', 'retired':
        with FakeDaemon(ListFindings=each('finding', [finding(1, state=state)])) as fake:
            expect(ask(fake, 'errors', '--all'), 0, state)


@test
def the_example_of_open_offsets_gives_those_and_no_others():
    if not shutil.which('jq'):
        raise Skip('there is no jq')
    manual = Path(__file__).resolve().parents[2] / 'tools/sweepctl.1'
    example = re.search(r'^sweepctl (errors spare-7 --json) \|\n *(jq .*)$', manual.read_text(encoding='utf-8'), re.M)
    findings = [finding(1, offset=512), finding(2, offset=1024, state='acknowledged'), finding(3, offset=4096)]
    with FakeDaemon(ListFindings=each('finding', findings)) as fake:
        told = ask(fake, *example[1].split()).stdout
        done = subprocess.run(['sh', '-c', example[2]], input=told, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout == '512\n4096\n', done


@test
def no_errors_is_said():
    with FakeDaemon(ListFindings=[{}]) as fake:
        expect(ask(fake, 'errors'), 0, 'No open findings.')
        expect(ask(fake, 'errors', 'a'), 0, 'No open findings of a.')
        expect(ask(fake, 'errors', '--all'), 0, 'No findings.')
        expect_document(ask(fake, 'errors', '--json'), 0, {'findings': []})


@test
def a_finding_in_full_has_the_bytes_side_by_side():
    answer = {'finding': finding(7), 'expected': '00112233445566778899', 'found': '00112233445566778898'}
    with FakeDaemon(GetFinding=answer) as fake:
        done = expect(ask(fake, 'finding', '7'), 0, 'finding: 7', 'offset: 1.5 GiB (1610612736)', 'bits: 3',
                      'first: 0x60000011', '0 00 11 22 33 44 55 66 77 00 11 22 33 44 55 66 77 .."3DUfw', '8 88 99 88 98 .. <')
        expect_width(done.stdout)
        assert done.stdout.count('<') == 1
        assert fake.called('GetFinding') == [{'id': 7}]
        expect_document(ask(fake, 'finding', '7', '--json'), 0, answer)
    with FakeDaemon(GetFinding={'finding': finding(7)}) as fake:
        expect_document(ask(fake, 'finding', '7', '--json'), 0,
                        {'finding': finding(7), 'expected': None, 'found': None})
        assert 'expected' not in expect(ask(fake, 'finding', '7'), 0).stdout
    for expected, found in [('0', '00'), ('zz', '00'), ('00', '0011'), (7, None)]:
        with FakeDaemon(GetFinding={'finding': finding(7), 'expected': expected, 'found': found}) as fake:
            expect(ask(fake, 'finding', '7'), 0)


@test
def a_finding_in_full_has_its_times_as_clocks_here_show_them():
    detail = {'generation_begun': '2026-02-01T12:00:00Z', 'over_at': '2026-07-01T12:00:00Z', 'other': '2026-07-01T12:00:00Z!'}
    answer = {'finding': finding(7, detail=detail, first_seen_at=0), 'expected': None, 'found': None}
    with FakeDaemon(GetFinding=answer) as fake:
        zone = {'TZ': 'CET-1CEST,M3.5.0,M10.5.0/3'}
        done = expect(ask(fake, 'finding', '7', env=zone), 0, 'generation_begun: 2026-02-01 13:00:00 CET',
                      'over_at: 2026-07-01 14:00:00 CEST', 'other: 2026-07-01T12:00:00Z!', 'first seen: 1970-01-01 01:00:00 CET')
        expect_width(done.stdout)
        expect_document(ask(fake, 'finding', '7', '--json', env=zone), 0, answer)


# Errors of the daemon


@test
def every_error_is_a_sentence_with_the_next_step():
    reason = {**REASON, 'rule': 'foreign_data'}
    for error, texts in [
            (Error('NoSuchDevice', device='spare8', nearest='spare-8'),
             ['no device is named "spare8"', 'did you mean "spare-8"?', 'sweepctl status']),
            (Error('NoSuchDevice', device='x', nearest=None), ['no device is named "x"', 'sweepctl status']),
            (Error('Refused', device='a', reason=reason), ['refuses to sweep a (rule foreign_data)', REASON['found'],
                                                           REASON['remedy']]),
            (Error('Busy', device='a', state='sweeping'), ['a is busy (sweeping)', 'sweepctl wait a',
                                                           'sweepctl cancel a']),
            (Error('NotRunning', device='a'), ['no sweep of a is running, queued or paused', 'sweepctl status a']),
            (Error('InvalidConfig', file='/etc/sweepd/sweepd.conf', line=12, text='unknown key "mod"'),
             ['sweepctl: /etc/sweepd/sweepd.conf:12: unknown key "mod"', 'sweepctl reload']),
            (Error('InvalidConfig', file='/etc/sweepd/sweepd.conf', line=0, text="can't be read"),
             ["sweepctl: /etc/sweepd/sweepd.conf: can't be read", 'sweepctl reload']),
            (Error('LedgerUnavailable', text='no space left'), ['ledger (no space left)', 'journalctl -u sweepd']),
            (Error('NoSuchId', id=5), [' 5; ', 'sweepctl ']),
            (Error('TooMany', limit=32), ['no more than 32 of these']),
            (Error('org.varlink.service.PermissionDenied'), ['only root may do this: sudo sweepctl --socket /']),
            (Error('org.varlink.service.InvalidParameter', parameter='mode'), ['the parameter "mode"']),
            (Error('org.varlink.service.InvalidParameter', parameter='patterns'),
             ['--patterns is for sweeps in mode pattern; the mode of each device: sweepctl status']),
            (Error('org.varlink.service.MethodNotImplemented', method='StartSweep'), ['cannot do that (StartSweep)']),
            (Error('org.varlink.service.MethodNotFound', method='StartSweep'), ['cannot do that (StartSweep)']),
            (Error('io.sweepd.NewerError', what='this'), ['io.sweepd.NewerError {"what":"this"}'])]:
        with FakeDaemon(StartSweep=error, CancelSweep=error, Retire=error, Reload=error, GetFinding=error,
                        ListDevices=error, ListFindings=error, ListSweeps=error) as fake:
            for command in (['start', 'a'], ['cancel', 'a'], ['retire', 'a'], ['reload'], ['finding', '1'],
                            ['status', 'a'], ['errors'], ['history'], ['wait', 'a']):
                for options in [], ['--json']:
                    done = expect(ask(fake, *command, *options), 1, error=texts)
                    assert not done.stdout, done.stdout


@test
def a_number_that_is_not_there_says_what_has_numbers():
    unknown = Error('NoSuchId', id=5)
    with FakeDaemon(GetFinding=unknown, Acknowledge=unknown, ExportRescue=unknown, RetryRescue=unknown,
                    ForgetRescue=unknown, Reload=unknown) as fake:
        for command, text in [(['finding', '5'], 'there is no finding 5; all that there are: sweepctl errors --all'),
                              (['ack', '5'], 'finding 5 is over, or does not exist: sweepctl errors --all'),
                              (['rescue', 'retry', '5'], 'there is no rescue 5; all that there are: sweepctl rescue list'),
                              (['rescue', 'forget', '5', '--serial', 'x'], 'there is no rescue 5; all that there are'),
                              (['reload'], 'knows nothing of the number 5')]:
            expect(ask(fake, *command), 1, error=[text])


@test
def what_only_root_may_do_is_said_as_it_has_to_be_typed():
    denied = Error('org.varlink.service.PermissionDenied')
    with FakeDaemon(Acknowledge=denied, StartSweep=denied) as fake:
        expect(ask(fake, 'ack', '7', '--comment', "it's $HOME"), 1,
               error=[f"sudo sweepctl --socket {fake.path} ack 7 --comment 'it'\\''s $HOME'"])
        expect(ask(fake, 'start', 'a', '--overwrite', ''), 1, error=["start a --overwrite ''"])


@test
def pause_and_resume_say_what_was_accepted():
    with FakeDaemon(PauseSweep={}, ResumeSweep={}) as fake:
        expect(ask(fake, 'pause', 'a'), 0, 'a is paused: a sweep of it rests where it is', 'sweepctl resume a')
        expect(ask(fake, 'resume', 'a'), 0, 'a is not paused any more.', 'sweepctl status a')
        expect_document(ask(fake, 'pause', 'a', '--json'), 0, {})
        assert fake.called('PauseSweep') == [{'device': 'a'}] * 2 and fake.called('ResumeSweep') == [{'device': 'a'}]


@test
def each_command_fails_when_the_daemon_says_no():
    busy = Error('Busy', device='a', state='recovering')
    methods = ('PauseSweep ResumeSweep CancelSweep Retire Acknowledge TestAlert Reload StartSweep ListFindings ListSweeps '
               'ListDevices GetFinding GetMap ListRescues ExportRescue RetryRescue ForgetRescue').split()
    with FakeDaemon(**{method: busy for method in methods}) as fake:
        for command in ('pause a', 'resume a', 'cancel a', 'retire a', 'ack 7', 'alert-test', 'reload', 'start a', 'errors',
                        'history', 'status', 'status a', 'finding 7', 'map a', 'wait a', 'watch', 'rescue list',
                        'rescue export 7', 'rescue retry 7', 'rescue forget 7 --serial x'):
            for options in [], ['--json']:
                if options and command == 'rescue export 7':
                    continue
                done = expect(ask(fake, *command.split(), *options), 1, error=['a is busy (recovering)', 'sweepctl wait a',
                                                                              'sweepctl cancel a'])
                assert not done.stdout, (command, done.stdout)
    with FakeDaemon(ListDevices=[{}]) as fake:
        expect(ask(fake, 'status', 'a'), 1, error=['sweepd gave no answer about a: sweepctl status'])
    with FakeDaemon(GetMap=[{'regions': []}], ListDevices=busy) as fake:
        expect(ask(fake, 'map', 'a'), 1, error=['a is busy (recovering)'])
    with FakeDaemon(ListSweeps=each('sweep', [sweep(12, ended_at=None)]), GetSweep=busy,
                    ListDevices=lambda _, before: {'device': running(12) if before == 0 else device('a')}) as fake:
        expect(ask(fake, 'wait', 'a'), 1, error=['a is busy (recovering)'])


@test
def many_workers_are_counted():
    workers = [{'index': i, 'cpus': str(i), 'in_service': i != 3} for i in range(40)]
    with FakeDaemon(GetDaemon={'daemon': {**DAEMON, 'workers': workers}}, ListDevices=each('device', [device('a')])) as fake:
        expect(ask(fake, 'status'), 0, '15 on CPU 15, and 24 more', '3 on CPU 3 (NOT IN SERVICE)')


@test
def a_paused_device_is_to_be_let_go_on_first():
    for state in 'paused', 'held':
        with FakeDaemon(StartSweep=Error('Busy', device='a', state=state)) as fake:
            expect(ask(fake, 'start', 'a'), 1, error=['a is paused: let it go on first (sweepctl resume a)'])


# rescue


RESCUE = {'id': 1234567890123, 'device': 'spare-7', 'journal': '/var/lib/sweepd/undo/spare-7.undo',
          'kind': 'originals', 'offset': 1 << 30, 'length': 512 << 20, 'armed_at': 1_700_000_000_000_000, 'units_lost': 2,
          'text': 'originals; units of 4096 bytes that could not be put back: 2'}


def piece(offset, data, text=None):
    return {'offset': offset, 'data_base64': base64.b64encode(data).decode(), 'text': text}


@test
def rescues_are_listed_with_what_they_are():
    copy = {**RESCUE, 'id': 7, 'kind': 'copy'}
    with FakeDaemon(ListRescues=each('rescue', [RESCUE, copy])) as fake:
        done = expect(ask(fake, 'rescue', 'list'), 0, '1234567890123', 'spare-7', '1.0 GiB', RESCUE['text'],
                      RESCUE['journal'], 'sweepctl rescue export ID --output FILE')
        expect_width(done.stdout)
        kinds = [line.split()[2] for line in done.stdout.splitlines() if ' spare-7 ' in line]
        assert kinds == ['originals', 'copy'], done.stdout
        expect_document(ask(fake, 'rescue', 'list', 'spare-7', '--json'), 0, {'rescues': [RESCUE, copy]})
        assert fake.called('ListRescues') == [{}, {'device': 'spare-7'}]
    copies = [{**copy, 'id': i, 'offset': i * 4096, 'text': 'a copy'} for i in range(1, 41)]
    with FakeDaemon(ListRescues=each('rescue', [RESCUE, *copies, {**copy, 'device': 'b', 'journal': '/j/b.undo'}])) as fake:
        told = expect(ask(fake, 'rescue', 'list'), 0, '40 spare-7 copy', f'a copy; in {RESCUE["journal"]} 7 b copy',
                      'sweepctl rescue forget ID').stdout
        assert told.count(RESCUE['text']) == 2 and told.count('a copy;') == 1, 'what many have in common stands once'
    with FakeDaemon(ListRescues=each('rescue', [])) as fake:
        expect(ask(fake, 'rescue', 'list'), 0, 'No undo journal holds anything.')
        expect(ask(fake, 'rescue', 'list', 'a'), 0, 'No undo journal of a holds anything.')


@test
def pieces_are_written_at_their_offsets():
    pieces = [piece(4096, b'ab' * 2048), piece(1 << 30, b'xyz'), piece((1 << 30) + 3, b'q')]
    with FakeDaemon(ExportRescue=pieces) as fake, tempfile.TemporaryDirectory() as directory:
        file = os.path.join(directory, 'out')
        expect(ask(fake, 'rescue', 'export', '7', '--output', file), 0,
               error=['offset 4096, 4096 bytes', f'offset {1 << 30}, 3 bytes', f'offset {(1 << 30) + 3}, 1 bytes'])
        assert fake.called('ExportRescue') == [{'id': 7}]
        status = os.stat(file)
        assert status.st_size == (1 << 30) + 4 and status.st_blocks * 512 < 1 << 20 and status.st_mode & 0o777 == 0o600
        with open(file, 'rb') as out:
            out.seek(4096)
            assert out.read(4097) == b'ab' * 2048 + bytes(1)
            out.seek(1 << 30)
            assert out.read() == b'xyzq'
        # Never over something.
        expect(ask(fake, 'rescue', 'export', '7', '--output', file), 1, error=['cannot make the file', 'File exists'])
        raw = subprocess.run([SWEEPCTL, '--socket', fake.path, 'rescue', 'export', '7'], capture_output=True, check=True)
        assert raw.stdout == b'ab' * 2048 + b'xyzq', raw
        told = [{'offset': 4096, 'length': 4096, 'text': None}, {'offset': 1 << 30, 'length': 3, 'text': None},
                {'offset': (1 << 30) + 3, 'length': 1, 'text': None}]
        expect_document(ask(fake, 'rescue', 'export', '7', '--json', '--output', file + '2'), 0, {'pieces': told})
        expect(ask(fake, 'rescue', 'export', '7', '--json'), 1, error=['say into which file'])


@test
def what_is_missing_from_an_export_fails_it():
    bad = [piece(0, b'a' * 512, 'their checksum is wrong'), piece(8192, b'', 'can not be read'), piece(12288, b'end')]
    with FakeDaemon(ExportRescue=bad) as fake, tempfile.TemporaryDirectory() as directory:
        file = os.path.join(directory, 'out')
        expect(ask(fake, 'rescue', 'export', '7', '--output', file), 1,
               error=['offset 0, 512 bytes: their checksum is wrong', 'offset 8192, 0 bytes: can not be read',
                      'of 3 pieces 2 are not what was saved'])
        assert os.stat(file).st_size == 12291, 'the rest was not written'
    with FakeDaemon(ExportRescue={}) as fake, tempfile.TemporaryDirectory() as directory:
        expect(ask(fake, 'rescue', 'export', '7', '--output', os.path.join(directory, 'out')), 0,
               error=['All of it is in its place'])
    for wrong in 'A', 'AAA', 'A===', '====', 'A=AA', '????':
        with FakeDaemon(ExportRescue={**piece(0, b''), 'data_base64': wrong}) as fake, \
                tempfile.TemporaryDirectory() as directory:
            file = os.path.join(directory, 'out')
            expect(ask(fake, 'rescue', 'export', '7', '--output', file), 1, error=['is no base64'])
            assert not os.path.exists(file)
    with FakeDaemon(ExportRescue=Error('NoSuchId', id=7)) as fake, tempfile.TemporaryDirectory() as directory:
        file = os.path.join(directory, 'out')
        expect(ask(fake, 'rescue', 'export', '7', '--output', file), 1, error=['there is no rescue 7; all that there are: sweepctl rescue list'])
        assert not os.path.exists(file)
    if os.path.exists('/dev/full'):
        with FakeDaemon(ExportRescue=piece(0, b'abc')) as fake, open('/dev/full', 'wb') as full:
            done = subprocess.run([SWEEPCTL, '--socket', fake.path, 'rescue', 'export', '7'], stdout=full,
                                  stderr=subprocess.PIPE, text=True, check=False)
            assert done.returncode == 1 and 'No space left' in done.stderr, done


@test
def raw_bytes_do_not_go_to_a_terminal():
    with FakeDaemon(ExportRescue=piece(0, b'abc')) as fake:
        ours, theirs = pty.openpty()
        done = subprocess.run([SWEEPCTL, '--socket', fake.path, 'rescue', 'export', '7'], stdout=theirs,
                              stderr=subprocess.PIPE, text=True, check=False)
        os.close(ours)
        os.close(theirs)
        assert done.returncode == 1 and '--output FILE' in done.stderr and not fake.called('ExportRescue'), done


@test
def retry_says_where_its_result_shows():
    with FakeDaemon(RetryRescue={}) as fake:
        expect(ask(fake, 'rescue', 'retry', '7'), 0, 'sweepctl rescue list')
        expect_document(ask(fake, 'rescue', 'retry', '7', '--json'), 0, {})
        assert fake.called('RetryRescue') == [{'id': 7}, {'id': 7}]
    reason = {**REASON, 'rule': 'rescue_copy'}
    with FakeDaemon(RetryRescue=Error('Refused', device='a', reason=reason)) as fake:
        expect(ask(fake, 'rescue', 'retry', '7'), 1, error=['did not do that', 'undo journal of a (rule rescue_copy)',
                                                            REASON['found'], REASON['remedy']])


@test
def forget_wants_the_serial():
    with FakeDaemon(ForgetRescue={}, ListRescues=each('rescue', [RESCUE])) as fake:
        expect(ask(fake, 'rescue', 'forget', '7', stdin=subprocess.DEVNULL), 1, error=['needs --serial'])
        assert not fake.called('ForgetRescue')
        expect(ask(fake, 'rescue', 'forget', '7', '--serial', 'ZA 1'), 0, 'It is forgotten')
        expect_document(ask(fake, 'rescue', 'forget', '7', '--serial=ZA 1', '--json'), 0, {})
        assert fake.called('ForgetRescue') == [{'id': 7, 'serial': 'ZA 1'}] * 2


@test
def forget_asks_for_the_serial_on_a_terminal():
    number = RESCUE['id']
    for given, known, status, told in [('ZA1234\n', number, 0, 'type the serial'), ('\n', number, 1, 'nothing is forgotten'),
                                       ('ZA1234\n', 7, 1, 'no undo journal holds anything under the number 7')]:
        with FakeDaemon(ForgetRescue={}, ListRescues=each('rescue', [RESCUE])) as fake:
            ours, theirs = pty.openpty()
            os.write(ours, given.encode())
            done = ask(fake, 'rescue', 'forget', str(known), stdin=theirs)
            os.close(ours)
            os.close(theirs)
            assert done.returncode == status and told in flat(done.stderr), done
            asked = fake.called('ForgetRescue')
            assert asked == ([] if status else [{'id': number, 'serial': 'ZA1234'}]), asked
            assert known != number or RESCUE['text'] in flat(done.stderr), done


# start, cancel, retire, reload, history


@test
def start_names_the_sweep():
    with FakeDaemon(StartSweep={'sweep_id': 12}) as fake:
        expect(ask(fake, 'start', 'a'), 0, 'Sweep 12 of a', 'sweepctl wait a')
        expect_document(ask(fake, 'start', 'a', '--mode', 'read', '--overwrite', 'ZA 1', '--json'), 0, {'sweep_id': 12})
        assert fake.called('StartSweep') == [{'device': 'a'}, {'device': 'a', 'mode': 'read', 'overwrite': 'ZA 1'}]
        expect(ask(fake, 'start', 'a', '--patterns', '0xAA,0x55'), 0)
        expect(ask(fake, 'start', 'a', '--patterns', 'none'), 0)
        assert [c.get('patterns') for c in fake.called('StartSweep')][:4] == [None, None, ['0xaa', '0x55'], []], fake.calls
        for mode in 'refresh', 'preserve', 'pattern':
            expect(ask(fake, 'start', 'a', '--mode', mode), 0)
            assert fake.called('StartSweep')[-1] == {'device': 'a', 'mode': mode}
    with FakeDaemon(StartSweep={}) as fake:
        expect(ask(fake, 'start', 'a'), 1, error=['named no sweep'])


@test
def ack_takes_many_ids_and_a_comment():
    with FakeDaemon(Acknowledge={}, TestAlert={}) as fake:
        expect(ask(fake, 'ack', '7'), 0, '1 finding acknowledged.')
        expect(ask(fake, 'ack', '7', '8', '9', '--comment', 'new disk is ordered'), 0, '3 findings acknowledged.')
        expect_document(ask(fake, 'ack', '1', '--json'), 0, {})
        assert fake.called('Acknowledge') == [{'ids': [7]}, {'ids': [7, 8, 9], 'comment': 'new disk is ordered'},
                                              {'ids': [1]}]
        del fake.calls[:]
        expect(ask(fake, 'ack', *map(str, range(1, 513))), 0, '512 findings acknowledged.')
        expect(ask(fake, 'ack', *map(str, range(1, 1501)), '--comment', 'x' * 255), 0, '1500 findings acknowledged.')
        asked = [call['ids'] for call in fake.called('Acknowledge')]
        assert [len(ids) for ids in asked] == [512, 512, 512, 476], fake.calls
        assert sum(asked[1:], []) == list(range(1, 1501)), asked
        assert json.loads(ask(fake, 'ack', *map(str, range(1, 1501)), '--json').stdout) == {}
        del fake.calls[:]
        for comment in 'x' * 256, 'ä' * 128:
            expect(ask(fake, 'ack', '7', '--comment', comment), 1,
                   error=['--comment: the text has 256 bytes; a finding keeps at most 255'])
        expect(ask(fake, 'ack', *map(str, range(1, 1501)), 'x'), 1, error=['"x" is no number of a finding'])
        expect(ask(fake, 'status', *['a'] * 600), 1, error=['"a" is one word too many'])
        assert not fake.calls
        expect(ask(fake, 'ack', '7', 'x'), 1, error=['"x" is no number of a finding'])
        expect(ask(fake, 'alert-test'), 0, 'sweepd was told to send an alert.')
        assert fake.called('TestAlert') == [{}]
    with FakeDaemon(Acknowledge=lambda _, before: Error('NoSuchId', id=600) if before else {}) as fake:
        done = expect(ask(fake, 'ack', *map(str, range(1, 601))), 1, error=[
            'finding 600 is over, or does not exist', 'of 600 findings the first 512 are acknowledged, the others are not'])
        assert not done.stdout, done
    with FakeDaemon(Acknowledge=Error('NoSuchId', id=9)) as fake:
        expect(ask(fake, 'ack', '9'), 1, error=['finding 9 is over, or does not exist: sweepctl errors --all'])


@test
def cancel_retire_and_reload_say_what_was_accepted():
    with FakeDaemon(CancelSweep={}, Retire={}, Reload={}) as fake:
        expect(ask(fake, 'cancel', 'a'), 0, 'The sweep of a is being ended.')
        expect(ask(fake, 'retire', 'a'), 0, 'The findings of a are retired: sweepctl errors a --all')
        expect_document(ask(fake, 'retire', 'a', '--json'), 0, {})
        assert fake.called('Retire') == [{'device': 'a'}] * 2
        expect(ask(fake, 'reload'), 0, 'The configuration was read again.')
        expect_document(ask(fake, 'cancel', 'a', '--json'), 0, {})
        expect_document(ask(fake, 'reload', '--json'), 0, {})
        assert fake.called('CancelSweep') == [{'device': 'a'}] * 2 and fake.called('Reload') == [{}] * 2


@test
def history_never_calls_a_cut_sweep_whole():
    sweeps = [sweep(1), sweep(2, mode='read', assurance='readable', bytes_read=3 << 30),
              sweep(3, verdict='incomplete', end='cancelled', assurance=None),
              sweep(4, verdict='faulty', assurance=None, findings=2),
              sweep(5, ended_at=None, end=None, verdict='unknown', assurance=None),
              sweep(6, end='killed'), sweep(7, verdict='incomplete', end='failed', reason=REASON)]
    with FakeDaemon(ListSweeps=each('sweep', sweeps)) as fake:
        done = expect(ask(fake, 'history'), 0, 'clean (verified)', 'clean (readable)', 'incomplete, cancelled',
                      'faulty', 'not over', 'clean (verified), killed', 'incomplete, failed', REASON['found'])
        expect_width(done.stdout)
        assert 'running' not in done.stdout, 'it may be paused'
        expect_document(ask(fake, 'history', 'a', '--json'), 0, {'sweeps': sweeps})
        assert fake.calls[-1] == ('ListSweeps', {'device': 'a'}, True)
    with FakeDaemon(ListSweeps=[{}]) as fake:
        expect(ask(fake, 'history'), 0, 'No sweep has begun yet. When one will, or why not: sweepctl status')
        expect(ask(fake, 'history', 'a'), 0, 'No sweep of a has begun yet. When one will, or why not: sweepctl status a')
        expect_document(ask(fake, 'history', '--json'), 0, {'sweeps': []})


@test
def history_tells_how_long_reads_took_where_there_is_room():
    read = {'operation': 'read', 'count': 9, 'p50_us': 1, 'p90_us': 2, 'p99_us': 1234, 'p999_us': 5, 'max_us': 2600000}
    sweeps = [sweep(1, latency=[{**read, 'operation': 'write', 'p99_us': 77}, read]), sweep(2)]
    with FakeDaemon(ListSweeps=each('sweep', sweeps)) as fake:
        for columns in 160, 80:
            shown = on_terminal(fake, columns, 'history')
            assert ('1.2 ms, 2.6 s' in shown) == ('READ P99, MAX' in shown) == (columns == 160), shown
            assert '77' not in shown, shown


# A daemon that takes a call and never answers is given up on after half a minute, one that stays away in a wait after
# one and a half; the other tests run meanwhile.

class Silence:
    def __init__(self):
        self.fake = FakeDaemon(GetDaemon=lambda *_: time.sleep(600))
        self.asking = subprocess.Popen([SWEEPCTL, '--socket', self.fake.path, 'status'], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)


class Abandoned:
    def __init__(self):
        seen = threading.Event()

        def list_devices(_, before):
            if before == 2:
                seen.set()
            return {'device': running(12)}

        self.fake = FakeDaemon(ListDevices=list_devices, ListSweeps=[{}])
        self.asking = subprocess.Popen([SWEEPCTL, '--socket', self.fake.path, 'wait', 'a'], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
        assert seen.wait(60)
        self.fake.stop()




def a_daemon_that_says_nothing_is_given_up_on():
    silence = SILENCE or Silence()
    told, complaint = silence.asking.communicate(timeout=120)
    assert silence.asking.returncode == 1 and not told, told
    assert f'sweepd did not answer within 30 s ({silence.fake.path}): journalctl -u sweepd' in complaint, complaint
    silence.fake.stop()
    silence.fake.directory.cleanup()


# wait


def running(number):
    return device('a', state='sweeping', progress={**PROGRESS, 'sweep_id': number})


# They begin before any test does.
SILENCE, ABANDONED = (Silence(), Abandoned()) if SWEEPCTL and not sys.argv[2:] else (None, None)

ENDS = [(sweep(12), 0), (sweep(12, verdict='faulty', findings=1), 2),
        (sweep(12, verdict='faulty', findings=1, end='cancelled'), 2), (sweep(12, findings=1), 0),
        (sweep(12, verdict='incomplete', end='cancelled', assurance=None), 3),
        (sweep(12, verdict='incomplete', end='failed', assurance=None, reason=REASON), 3),
        (sweep(12, end='killed'), 3), (sweep(12, verdict='unknown'), 3)]


@test
def wait_answers_by_the_last_sweep_where_none_runs():
    for last, status in ENDS:
        with FakeDaemon(ListDevices={'device': device('a')}, ListSweeps=each('sweep', [last])) as fake:
            began = time.monotonic()
            expect(ask(fake, 'wait', 'a'), status, 'No sweep of a is queued or running. The last one: Sweep 12 of a: ')
            assert time.monotonic() - began < 5
            expect_document(ask(fake, 'wait', 'a', '--json'), status, {'sweeps': [last]})
            assert fake.called('ListSweeps')[0] == {'device': 'a', 'limit': 1}
    with FakeDaemon(ListDevices={'device': device('a')}, ListSweeps=[{}]) as fake:
        expect(ask(fake, 'wait', 'a'), 1, error=['none has ended: sweepctl start a'])
    refused = device('a', state='refused', reason=REASON)
    with FakeDaemon(ListDevices={'device': refused}, ListSweeps=[{}]) as fake:
        expect(ask(fake, 'wait', 'a'), 1,
               error=[f'none has ended; it is refused: {REASON["found"]}: sweepctl status a'])


def following(states, recorded):
    """A daemon whose device goes through states, one a look; recorded: looks -> the sweeps that are listed."""
    looks = [0]

    def list_devices(_, before):
        looks[0] = before
        return {'device': states[min(before, len(states) - 1)]}

    def list_sweeps(parameters, _):
        return each('sweep', recorded(looks[0])[-parameters.get('limit', 1000):])

    def get_sweep(parameters, _):
        known = [s for s in recorded(looks[0]) if s['id'] == parameters['id']]
        return {'sweep': known[0]} if known else Error('NoSuchId', id=parameters['id'])

    return FakeDaemon(ListDevices=list_devices, ListSweeps=list_sweeps, GetSweep=get_sweep)


@test
def wait_follows_the_running_sweep_to_its_end():
    for last, status in ENDS:
        states = [running(12)] * 3 + [device('a')]
        with following(states, lambda looks, last=last: [sweep(11), last] if looks >= 3 else [sweep(11)]) as fake:
            began = time.monotonic()
            done = expect(ask(fake, 'wait', 'a'), status, 'Sweep 12 of a: ')
            assert 'No sweep' not in done.stdout
            assert time.monotonic() - began < 3, 'a short sweep should be noticed soon'


@test
def wait_never_answers_by_an_older_sweep_while_one_is_queued():
    queued = device('a', state='queued', reason={**REASON, 'found': 'another sweep is running'})
    waits = 'still waiting: a is queued: another sweep is running; more: sweepctl status a'
    # The queued one runs between two looks: only the list of sweeps shows it.
    with following([queued] * 3 + [device('a')],
                   lambda looks: [sweep(11)] + ([sweep(12, verdict='faulty')] if looks >= 3 else [])) as fake:
        done = expect(ask(fake, 'wait', 'a'), 2, 'Sweep 12 of a: faulty', error=[waits])
        assert done.stderr.count('queued') == 1, done
    # The queued one is recorded as not ended from the start.
    with following([queued] * 3 + [running(12)] * 2 + [device('a')],
                   lambda looks: [sweep(11), sweep(12) if looks >= 5 else sweep(12, ended_at=None, end=None)]) as fake:
        expect(ask(fake, 'wait', 'a'), 0, 'Sweep 12 of a: clean (verified)', error=[waits])


@test
def wait_says_once_for_each_state_what_it_waits_for():
    rests = [device('a', state=state, reason=REASON) for state in ('paused', 'waiting', 'paused', 'waiting')]
    with following([running(12), *rests, running(12), device('a')],
                   lambda looks: [sweep(12) if looks >= 6 else sweep(12, ended_at=None, end=None)]) as fake:
        done = expect(ask(fake, 'wait', 'a', '--json'), 0, error=[
            f'still waiting: a is {state}: {REASON["found"]}; more: sweepctl status a' for state in ('paused', 'waiting')])
        assert len(done.stderr.splitlines()) == 2, done
        assert json.loads(done.stdout)['sweeps'][0]['id'] == 12, done


@test
def wait_follows_one_sweep_and_not_the_next():
    with following([running(12)] * 2 + [running(13)] * 1000,
                   lambda looks: [sweep(12, verdict='faulty') if looks >= 2 else sweep(12, ended_at=None),
                                  *([sweep(13, ended_at=None)] if looks >= 2 else [])]) as fake:
        expect(ask(fake, 'wait', 'a'), 2, 'Sweep 12 of a: faulty')


@test
def wait_gives_the_ledger_time_to_record_the_end():
    with following([running(12)] + [device('a')] * 1000,
                   lambda looks: [sweep(12) if looks >= 6 else sweep(12, ended_at=None, end=None)]) as fake:
        expect(ask(fake, 'wait', 'a'), 0, 'Sweep 12 of a: clean (verified)')


@test
def wait_says_when_the_queued_sweep_never_ran():
    refused = device('a', state='refused', reason=REASON)
    with following([device('a', state='queued')] * 2 + [refused] * 1000, lambda looks: [sweep(11)]) as fake:
        expect(ask(fake, 'wait', 'a'), 3, error=['did not run to an end; it is refused: ' + REASON['found']])


@test
def wait_goes_on_with_the_next_daemon_and_the_same_sweep():
    """An upgrade: the socket is gone, then somebody answers who hangs up, then one who has the sweep queued."""
    down = threading.Event()

    def list_devices(_, before):
        if before == 2:
            down.set()
        return Raw(b'') if 2 <= before < 4 else {'device': running(12) if before < 6 else running(13)}

    with FakeDaemon(ListDevices=list_devices, ListSweeps=each('sweep', [sweep(11)]), GetSweep={'sweep': sweep(12)}) as fake:
        asking = subprocess.Popen([SWEEPCTL, '--socket', fake.path, 'wait', 'a'], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        assert down.wait(60)
        fake.stop()
        os.unlink(fake.path)
        time.sleep(1.5)
        fake.start()
        told, complaint = asking.communicate(timeout=60)
        assert asking.returncode == 0 and 'Sweep 12 of a: clean (verified)' in told, (told, complaint)
        assert complaint == ('sweepctl: sweepd went away; the wait goes on when it is back\n'
                             'sweepctl: sweepd is back\n'), complaint
        assert fake.called('GetSweep') == [{'id': 12}], fake.calls
    # What it does not understand, or is told no for good, ends it at once.
    for answer, text in [(Raw(b'garbage\0'), 'does not speak Varlink'),
                         (Error('NoSuchDevice', device='a', nearest=None), 'no device is named "a"')]:
        with FakeDaemon(ListSweeps=each('sweep', [sweep(11)]),
                        ListDevices=lambda _, before, answer=answer: {'device': running(12)} if before < 2 else answer) as fake:
            expect(ask(fake, 'wait', 'a'), 1, error=[text])


def wait_gives_up_on_a_daemon_that_stays_away():
    abandoned = ABANDONED or Abandoned()
    told, complaint = abandoned.asking.communicate(timeout=180)
    assert abandoned.asking.returncode == 1 and not told, told
    assert ('sweepd has been away for over 90 s, and the sweep of a was not over: systemctl status sweepd; when it runs '
            'again: sweepctl wait a') in complaint, complaint
    abandoned.fake.directory.cleanup()


@test
def wait_shows_progress_on_a_terminal_only():
    states = [running(12)] * 3 + [device('a')]
    with following(states, lambda looks: [sweep(12)] if looks >= 3 else [sweep(11)]) as fake:
        master, slave = pty.openpty()
        done = subprocess.run([SWEEPCTL, '--socket', fake.path, 'wait', 'a'], stdout=subprocess.PIPE, stderr=slave,
                              text=True, timeout=60, check=False)
        os.close(slave)
        shown = all_shown(master)
        assert done.returncode == 0 and 'clean (verified)' in done.stdout, done
        assert re.search(rb'a: sweeping, verify, 99 %, 180 MiB/s, \d+ min left', shown), shown
        assert shown.endswith(b'\r'), shown


# Follow


EVENT = {'event': 18, 'at': HOUR, 'kind': 'finding', 'priority': 2, 'device': 'a', 'serial': None, 'slot': None,
         'finding': None, 'sweep': None, 'text': 'a bit flipped'}
CANNOT = Error('org.varlink.service.MethodNotImplemented', method='Monitor')


@test
def follow_shows_each_event_and_goes_on_after_the_last_one():
    told = json.dumps({'parameters': EVENT, 'continues': True}).encode() + b'\0'
    with FakeDaemon(Monitor=lambda parameters, before: CANNOT if before else Raw(told)) as fake:
        done = expect(ask(fake, 'follow'), 1, '1970-01-01 01:00:00 UTC finding a: a bit flipped',
                      error=['sweepd went away; going on when that is over', 'cannot do that (Monitor)'])
        assert done.stdout.count('a bit flipped') == 1, done
        assert fake.called('Monitor') == [{}, {'after_event': 18}], fake.calls
    with FakeDaemon(Monitor=lambda parameters, before: CANNOT if before else Raw(told)) as fake:
        assert json.loads(ask(fake, 'follow', '--json').stdout) == EVENT


@test
def follow_says_why_it_does_not_begin():
    expect(run('follow', '--socket', '/none/such'), 1, error=['sweepd is not running', 'systemctl start sweepd'])
    for seconds in '0', '-1', 'x', '1s', '', '99999999999':
        expect(run('follow', '--exec', 'true', f'--timeout={seconds}'), 1, error=['is no number of seconds from 1 to'])
    with FakeDaemon(Monitor=CANNOT) as fake, tempfile.TemporaryDirectory() as state:
        os.makedirs(f'{state}/directory/position')
        Path(f'{state}/plain').touch(0o644)
        for program, why in ('true', 'No such file or directory'), (f'{state}/plain', 'Permission denied'):
            expect(ask(fake, 'follow', '--exec', program, env={'STATE_DIRECTORY': state}), 1,
                   error=[f'{program} cannot be run: {why}; --exec wants the path of a program'])
        assert not fake.calls and not os.path.exists(f'{state}/position')
        follow = ['follow', '--exec', '/bin/true']
        expect(ask(fake, *follow, env={'STATE_DIRECTORY': ''}), 1,
               error=['STATE_DIRECTORY is not set: what happens while this does not run will be missed'])
        for directory, why in [('/' + 'x' * 4096, 'STATE_DIRECTORY is too long'),
                               (f'{state}/none', 'No such file or directory. Without it events would be told again'),
                               (f'{state}/directory', 'position: Is a directory'),
                               ('/dev/null', '/dev/null/position: Not a directory')]:
            done = expect(ask(fake, *follow, env={'STATE_DIRECTORY': directory}), 1, error=[why])
            assert 'is no number' not in done.stderr, done
    with FakeDaemon(Monitor=Raw(b'HTTP/1.1 400\r\n\0')) as fake:
        expect(ask(fake, 'follow'), 1, error=['does not speak Varlink'])
    with FakeDaemon(Monitor={}) as fake:
        expect(ask(fake, 'follow'), 1, error=['does not speak Varlink'])


# Report


LATENCY = [{'operation': 'read', 'count': 33554432, 'p50_us': 700, 'p90_us': 2100, 'p99_us': 9000, 'p999_us': 80000,
            'max_us': 1200000}]


def reported(*findings, newest=None, **device_changes):
    regions = [{'offset': n << 40, 'length': 1 << 40, 'checked_at': DAY, 'verified_at': DAY if n else None,
                'latency_max_us': 8300 * n or None, 'findings': 0} for n in range(16)]
    return FakeDaemon(ListDevices={'device': device('spare-7', **device_changes)}, GetMap={'regions': regions},
                      ListSweeps=each('sweep', [newest] if newest else []), ListFindings=each('finding', findings))


@test
def report_says_which_disk_what_was_done_and_what_it_is_worth():
    newest = sweep(12, patterns=['0xaa', '0x55', '0xff', '0x00'], bytes_written=80 << 40, latency=LATENCY)
    with reported(newest=newest) as fake:
        done = expect(ask(fake, 'report', 'spare-7'), 0, 'ST16000NM001G', 'ZA1234', '0x5000c500a1b2c3d4', 'SN03',
                      'clean (verified): every byte was compared with what must be there',
                      '5: 0xaa, 0x55, 0xff, 0x00, stamps of generation 3', '80.0 TiB (87960930222080)',
                      'read 33554432 700 us 2.1 ms 9.0 ms 80.0 ms 1.2 s', 'not all of it', 'findings: none',
                      'report: of sweepd 0.1.0, ')
        expect_width(done.stdout)
        assert fake.called('ListSweeps') == [{'device': 'spare-7', 'limit': 1}], fake.calls
        document = json.loads(expect(ask(fake, 'report', 'spare-7', '--json'), 0).stdout)
        assert sorted(document) == ['at', 'daemon', 'device', 'findings', 'regions', 'sweep'], document
        assert document['sweep'] == newest and len(document['regions']) == 16, document


@test
def report_leaves_out_what_was_over_before_and_nothing_else():
    old, late = finding(3, state='resolved', sweep_id=4, text='long gone'), finding(9, state='resolved', sweep_id=12)
    with reported(finding(2, sweep_id=4), old, late, newest=sweep(12, verdict='faulty', assurance=None)) as fake:
        done = expect(ask(fake, 'report', 'spare-7'), 0, 'faulty: faults were met, see the findings', '3 bits differ')
        expect_width(done.stdout)
        assert 'long gone' not in done.stdout, done.stdout
        document = json.loads(expect(ask(fake, 'report', 'spare-7', '--json'), 0).stdout)
        assert [f['id'] for f in document['findings']] == [2, 9], document


@test
def report_never_calls_part_of_a_sweep_the_whole():
    running = sweep(12, ended_at=None, end=None, verdict='unknown', assurance=None)
    with reported(newest=running) as fake:
        expect(ask(fake, 'report', 'spare-7'), 0, 'verdict: not over: not everything was looked at yet', 'ended: not yet')
    cut = sweep(12, end='cancelled', verdict='incomplete', assurance=None)
    with reported(newest=cut, identity=None) as fake:
        expect(ask(fake, 'report', 'spare-7'), 0, 'incomplete, cancelled: no fault was met, but not everything was looked at',
               'identity: unknown')
    with reported() as fake:
        expect(ask(fake, 'report', 'spare-7'), 1, error=['no sweep of spare-7 has begun yet: sweepctl start spare-7'])
    with reported(state='refused', reason=REASON) as fake:
        expect(ask(fake, 'report', 'spare-7'), 1,
               error=[f'has begun yet; it is refused: {REASON["found"]}: sweepctl status spare-7'])


@test
def how_long_a_sweep_took_fits_the_speed_beside_it():
    for took_us, text, speed in [(0, '0 s', ''), (437_200, '437.2 ms', '4.6 TiB/s'), (999_990, '1.0 s', '2.0 TiB/s'),
                                 (2_640_000, '2.6 s', '776 GiB/s'), (38_500_000, '38 s', ''),
                                 (118_000_000, '1 min 58 s', ''), (3 * HOUR + HOUR // 30, '3 h 2 min', '')]:
        took = sweep(12, running_us=took_us)
        with reported(newest=took) as fake:
            expect(ask(fake, 'report', 'spare-7'), 0, f'at work for: {text}', speed)
            expect(ask(fake, 'history'), 0, f' {text} clean (verified)')
            expect(ask(fake, 'status', 'spare-7'), 0, f'in {text}: clean (verified)')
            expect(ask(fake, 'wait', 'spare-7'), 0, f'clean (verified), in {text}, 0 findings')


test(a_daemon_that_says_nothing_is_given_up_on)  # the last of all
test(wait_gives_up_on_a_daemon_that_stays_away)

if __name__ == '__main__':
    main()
