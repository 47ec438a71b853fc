#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Events: who follows them gets each of them once, in their order, over restarts and however slowly they are read; and the
program that sweepctl runs for them gets each alert once, whatever programs do.
"""

import email
import errno
import http.server
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

from denied import denial
from harness import MIB, Client, Skip, device_entry, eventually, expect_clean, main, test


class Follower:
    def __init__(self, daemon, **parameters):
        self.client = Client(daemon.control)
        self.client.send('io.sweepd.Monitor', parameters, more=True)

    def next(self):
        reply = self.client.receive()
        assert reply.get('continues'), reply
        return reply['parameters']

    def until(self, kind):
        """All events up to the first of that kind."""
        events = [self.next()]
        while events[-1]['kind'] != kind:
            events.append(self.next())
        return events

    def close(self):
        self.client.socket.close()


def numbers(events):
    return [event['event'] for event in events]


def expect_each_once(events):
    assert numbers(events) == list(range(events[0]['event'], events[0]['event'] + len(events))), numbers(events)


@test
def what_happens_is_told_as_it_happens(case):
    daemon = case.daemon([device_entry('d0', case.loop(MIB))])
    follower = Follower(daemon)
    sweep = daemon.sweep('d0')
    events = follower.until('sweep_ended')
    expect_each_once(events)
    assert [e['kind'] for e in events] == ['sweep_started', 'sweep_ended'], events
    assert events[-1]['device'] == 'd0' and events[-1]['sweep']['id'] == sweep['id'], events[-1]
    assert events[-1]['sweep']['verdict'] == 'clean' and events[-1]['priority'] == 6, events[-1]


@test
def a_finding_comes_with_its_event(case):
    disk = case.loop(MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    expect_clean(daemon.sweep('d0'))
    disk.write(64 * 1024, bytes(4096))
    follower = Follower(daemon)
    daemon.sweep('d0')
    found = follower.until('finding')[-1]
    assert found['finding']['fault'] == 'zeroed' and found['finding']['offset'] == 64 * 1024, found
    assert found['serial'] is None or isinstance(found['serial'], str)


@test
def nothing_is_missed_over_a_restart(case):
    daemon = case.daemon([device_entry('d0', case.loop(MIB))])
    follower = Follower(daemon, after_event=0)
    daemon.sweep('d0')
    seen = follower.until('sweep_ended')
    follower.close()
    daemon.sweep('d0')
    daemon.stop()
    daemon.start()
    follower = Follower(daemon, after_event=seen[-1]['event'])
    daemon.call('TestAlert')
    events = seen + follower.until('test')
    expect_each_once(events)
    assert events[0]['event'] == 1, events[0]
    assert sum(e['kind'] == 'sweep_ended' and e['sweep']['verdict'] == 'clean' for e in events) == 2, events


@test
def what_a_killed_daemon_had_not_stored_was_not_told(case):
    daemon = case.daemon([device_entry('d0', case.loop(MIB))])
    follower = Follower(daemon, after_event=0)
    with Client(daemon.control) as client:
        for _ in range(200):
            client.send('io.sweepd.TestAlert')
        told = [follower.next() for _ in range(20)]
        daemon.kill9()
    try:
        while True:
            told.append(follower.next())
    except ConnectionError:
        pass
    daemon.start()
    daemon.call('Reload')
    again = Follower(daemon, after_event=0)
    for event in told:
        assert again.next() == event, 'it was told, and is another one now'


@test
def who_reads_late_gets_the_old_from_the_ledger_and_the_new_from_memory(case):
    daemon = case.daemon([device_entry('d0', case.loop(MIB))])
    late = Follower(daemon, after_event=0)
    for _ in range(50):
        daemon.sweep('d0')
    daemon.call('TestAlert')
    again = Follower(daemon, after_event=0)
    for follower in (late, again):
        events = follower.until('test')
        expect_each_once(events)
        assert len(events) > 64 and all(e['sweep'] for e in events if e['kind'] == 'sweep_ended'), len(events)


@test
def a_number_of_a_lost_ledger_gets_all_since_the_start(case):
    daemon = case.daemon([device_entry('d0', case.loop(MIB))])
    follower = Follower(daemon, after_event=10**15)
    daemon.call('TestAlert')
    assert follower.until('test')[0]['kind'] == 'daemon'


@test
def what_was_pruned_is_told_as_a_gap(case):
    daemon = case.daemon([device_entry('d0', case.loop(MIB))])
    for _ in range(3):
        daemon.sweep('d0')
    daemon.stop()
    with sqlite3.connect(f'{daemon.state}/ledger.db') as ledger:
        ledger.execute('DELETE FROM events WHERE id > 1 AND id < 5')
    daemon.start()
    daemon.call('TestAlert')
    events = Follower(daemon, after_event=0).until('test')
    assert numbers(events)[:3] == [1, 4, 5], numbers(events)
    assert events[1]['kind'] == 'daemon' and 'from 2 to 4' in events[1]['text'], events[1]


def follow_and_leave(daemon):
    try:
        Follower(daemon, after_event=0).close()
    except BlockingIOError:  # sweepd has not taken those before
        return False
    return True


@test
def who_goes_away_leaves_nothing_behind(case):
    daemon = case.daemon([device_entry('d0', case.loop(MIB))])
    for _ in range(40):
        eventually('a connection', lambda: follow_and_leave(daemon), 10)
    eventually('room for another', lambda: Follower(daemon, after_event=0).next(), 10)
    expect_clean(daemon.sweep('d0'))


class Runner:
    """`sweepctl follow --exec` with a program that notes its environment, and then behaves as a file says."""

    def __init__(self, case, daemon, timeout_s=60):
        self.state = case.directory('follow')
        self.noted = os.path.join(self.state, 'noted')
        self.program = os.path.join(self.state, 'program')
        self.stuck = os.path.join(self.state, 'stuck')
        self.log = os.path.join(self.state, 'log')
        self.command = [os.environ['SWEEPCTL'], '--socket', daemon.control, 'follow', '--exec', self.program,
                        '--timeout', str(timeout_s)]
        self.behave('')

    def behave(self, how):
        with open(self.program + '.new', 'w') as file:
            file.write(f"""#!/bin/sh
{{ env -0; printf '\\n\\0'; }} >> {self.noted}
{how}
""")
        os.chmod(self.program + '.new', 0o755)
        os.rename(self.program + '.new', self.program)

    def start(self, preexec_fn=None):
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=preexec_fn, env={**os.environ, 'STATE_DIRECTORY': self.state, 'SWEEPD_FORGED': 'x'})

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def runs(self):
        if not os.path.exists(self.noted):
            return []
        with open(self.noted) as file:
            whole = file.read().split('\n\0')[:-1]
        return [dict(one.split('=', 1) for one in run.split('\0') if one) for run in whole]

    def said(self):
        with open(self.log) as file:
            return file.read()

    def position(self):
        path = os.path.join(self.state, 'position')
        if not os.path.exists(path):
            return 0
        with open(path) as file:
            return int(file.read())


def newest_event(daemon):
    with sqlite3.connect(f'file:{daemon.state}/ledger.db?mode=ro', uri=True) as ledger:
        return ledger.execute('SELECT max(id) FROM events').fetchone()[0]


def alert(runner, daemon):
    """Tells an alert, and waits until it was dealt with."""
    tests = len(daemon_tests(daemon))
    daemon.call('TestAlert')
    eventually('the alert is stored', lambda: len(daemon_tests(daemon)) > tests, 30)
    eventually('follow has caught up', lambda: runner.position() >= daemon_tests(daemon)[-1], 30)


def daemon_tests(daemon):
    with sqlite3.connect(f'file:{daemon.state}/ledger.db?mode=ro', uri=True) as ledger:
        return [row[0] for row in ledger.execute("SELECT id FROM events WHERE kind = 'test' ORDER BY id")]


def is_over(file_of_pid):
    with open(file_of_pid) as file:
        pid = file.read().strip()
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[0] == 'Z'
    except FileNotFoundError:
        return True


@test
def a_program_is_run_once_for_each_alert_over_restarts(case):
    disk = case.loop(MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    runner = Runner(case, daemon)
    with open(os.path.join(runner.state, 'position'), 'w') as file:
        file.write('0\n')
    runner.start()
    try:
        expect_clean(daemon.sweep('d0'))
        alert(runner, daemon)
        runner.stop()
        disk.write(64 * 1024, bytes(4096))
        daemon.sweep('d0')  # while nobody follows
        runner.start()
        eventually('follow has caught up', lambda: runner.position() == newest_event(daemon), 30)
        daemon.stop()
        daemon.start()  # while somebody does
        alert(runner, daemon)
    finally:
        runner.stop()
    runs = runner.runs()
    assert [run['SWEEPD_KIND'] for run in runs] == ['test', 'finding', 'sweep_ended', 'test'], runs
    assert len({run['SWEEPD_EVENT'] for run in runs}) == len(runs)
    assert all('SWEEPD_FORGED' not in run and run['SWEEPD_TEXT'] and run['PATH'] for run in runs)
    finding = runs[1]
    assert (finding['SWEEPD_DEVICE'], finding['SWEEPD_FAULT'], finding['SWEEPD_OFFSET'], finding['SWEEPD_LENGTH']) == \
        ('d0', 'zeroed', '65536', '4096'), finding
    assert runs[2]['SWEEPD_VERDICT'] == 'faulty', runs[2]


def told_of_findings(runs):
    """How many findings these runs tell for the first time, and how many runs that were."""
    runs = [run for run in runs if run['SWEEPD_KIND'] in ('finding', 'sum')]
    return sum(int(run.get('SWEEPD_COUNT', 1)) for run in runs), len(runs)


@test
def a_program_is_told_of_how_many_messages_a_sum_is(case):
    found = 60
    disk = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    runner = Runner(case, daemon)
    with open(os.path.join(runner.state, 'position'), 'w') as file:
        file.write('0\n')
    runner.start()
    try:
        expect_clean(daemon.sweep('d0'))
        for place in range(0, 2 * found, 2):
            disk.write(place * 4096, bytes(4096))
        assert daemon.sweep('d0')['findings'] == found
        alert(runner, daemon)
        live = runner.runs()
        runner.stop()
        daemon.stop()
        daemon.start()
        os.unlink(runner.noted)
        with open(os.path.join(runner.state, 'position'), 'w') as file:
            file.write('0\n')  # all of them once more, from the ledger
        runner.start()
        alert(runner, daemon)
    finally:
        runner.stop()
    for runs in live, runner.runs():
        count, times = told_of_findings(runs)
        assert count == found and times < found // 2, runs
        sums = [run for run in runs if run['SWEEPD_KIND'] == 'sum']
        assert sums and all(run['SWEEPD_TEXT'].startswith(run['SWEEPD_COUNT'] + ' more message') for run in sums), sums
        assert not any('SWEEPD_COUNT' in run for run in runs if run['SWEEPD_KIND'] != 'sum'), runs


@test
def a_program_that_misbehaves_does_no_harm(case):
    daemon = case.daemon([device_entry('d0', case.loop(MIB))])
    runner = Runner(case, daemon, timeout_s=3)
    with open(os.path.join(runner.state, 'position'), 'w') as file:
        file.write(f"{daemon.call('GetDaemon')['daemon']['last_event']}\n")
    stuck = runner.stuck
    runner.start()
    try:
        for how, told in (
            ('exit 7', 'exit status 7'),  # is run once more; who fails after another that failed is not
            (f'echo $$ > {stuck}; trap "" TERM; sleep 1000 & wait', 'ended after 3 s'),
            (f'sleep 1000 & echo $! > {stuck}', 'ended after 3 s'),  # a child that holds its output
            ('kill -9 $$', 'ended by signal 9'),
            ('yes | head -c 1000000', 'said more than 65536 bytes'),
        ):
            runner.behave(how)
            alert(runner, daemon)
            assert told in runner.said(), (how, runner.said()[-2000:])
            if stuck in how:
                eventually('what was left behind is ended', lambda: is_over(stuck), 10)
        os.unlink(runner.program)
        alert(runner, daemon)
        assert 'cannot be run' in runner.said() and 'was not delivered' in runner.said()
        runner.behave('')
        before = len(runner.runs())
        alert(runner, daemon)
        assert len(runner.runs()) == before + 1
    finally:
        runner.stop()
    assert os.path.getsize(runner.log) < 200_000, os.path.getsize(runner.log)


@test
def a_program_is_done_though_what_left_its_group_holds_its_output(case):
    daemon = case.daemon([device_entry('d0', case.loop(MIB))])
    runner = Runner(case, daemon)
    with open(os.path.join(runner.state, 'position'), 'w') as file:
        file.write(f"{daemon.call('GetDaemon')['daemon']['last_event']}\n")
    runner.behave(f'echo delivered; setsid sleep 1000 & echo $! >> {runner.stuck}')
    runner.start()
    try:
        alert(runner, daemon)
        runner.behave('setsid true')
        alert(runner, daemon)
    finally:
        runner.stop()
        with open(runner.stuck) as file:
            for pid in file.read().split():
                os.kill(int(pid), signal.SIGKILL)
    assert len(runner.runs()) == 2, runner.said()
    assert runner.said().count('left a process behind that holds its output') == 1, runner.said()
    assert 'delivered\n' in runner.said() and 'was not delivered' not in runner.said(), runner.said()


@test
def the_first_start_tells_nothing_of_the_past(case):
    daemon = case.daemon([])
    daemon.call('TestAlert')
    eventually('the alert is stored', lambda: daemon_tests(daemon), 30)
    runner = Runner(case, daemon)
    runner.start()
    try:
        eventually('follow listens', lambda: any(k['SWEEPD_KIND'] == 'test' for k in runner.runs()) or
            daemon.call('TestAlert') is None and runner.position() > 0, 30)
    finally:
        runner.stop()
    told = [int(run['SWEEPD_EVENT']) for run in runner.runs()]
    assert told and daemon_tests(daemon)[0] not in told, told


@test
def what_was_pruned_before_the_first_start_is_no_alert(case):
    daemon = case.daemon([device_entry('d0', case.loop(MIB))])
    daemon.sweep('d0')
    daemon.stop()
    with sqlite3.connect(f'{daemon.state}/ledger.db') as ledger:
        ledger.execute('DELETE FROM events WHERE id < 2')
    daemon.start()
    runner = Runner(case, daemon)
    runner.start()
    try:
        eventually('it has a place', runner.position, 30)
        daemon.call('TestAlert')
        eventually('the test was told', runner.runs, 30)
    finally:
        runner.stop()
    assert [run['SWEEPD_KIND'] for run in runner.runs()] == ['test'], runner.runs()


@test
def a_first_start_that_is_stopped_at_once_has_its_place(case):
    daemon = case.daemon([device_entry('d0', case.loop(MIB))])
    daemon.sweep('d0')
    runner = Runner(case, daemon)
    runner.start()
    try:
        eventually('it has a place', runner.position, 10)
    finally:
        runner.stop()
    daemon.call('TestAlert')
    runner.start()
    try:
        eventually('the test was told', runner.runs, 30)
    finally:
        runner.stop()
    assert [run['SWEEPD_KIND'] for run in runner.runs()] == ['test'], runner.runs()


@test
def a_position_that_is_none_is_refused(case):
    daemon = case.daemon([])
    runner = Runner(case, daemon)
    with open(os.path.join(runner.state, 'position'), 'w') as file:
        file.write('nonsense\n')
    runner.start()
    assert runner.process.wait(30) == 1 and 'is no number of an event' in runner.said(), runner.said()


@test
def a_position_that_cannot_be_kept_is_said(case):
    daemon = case.daemon([])
    for state, why in ('/nonexistent', '/nonexistent/position: No such file or directory'), ('/' + 'x' * 9000, 'STATE_DIRECTORY is too long'):
        runner = Runner(case, daemon)
        runner.state = state
        runner.start()
        assert runner.process.wait(30) == 1 and why in runner.said(), runner.said()
    runner = Runner(case, daemon)
    os.mkdir(os.path.join(runner.state, 'position'))
    runner.start()
    assert runner.process.wait(30) == 1 and 'position: Is a directory' in runner.said(), runner.said()


@test
def a_program_that_cannot_be_watched_is_ended_and_said(case):
    deny = denial('pidfd_open', errno.EPERM)
    if not deny:
        raise Skip('the number of pidfd_open on this machine is not known')
    daemon = case.daemon([])
    runner = Runner(case, daemon)
    with open(os.path.join(runner.state, 'position'), 'w') as file:
        file.write(f"{daemon.call('GetDaemon')['daemon']['last_event']}\n")
    runner.behave('sleep 1000')
    runner.start(preexec_fn=deny)
    try:
        alert(runner, daemon)
        assert f'{runner.program} cannot be watched, and was ended: Operation not permitted' in runner.said(), runner.said()
        assert 'was not delivered' in runner.said(), runner.said()
    finally:
        runner.stop()
    runner.behave('')
    runner.start()
    try:
        alert(runner, daemon)
    finally:
        runner.stop()
    assert runner.runs()[-1]['SWEEPD_KIND'] == 'test', runner.runs()


ALERT_PROGRAMS = Path(__file__).resolve().parents[2] / 'conf/alert.d'
ALERT = {'SWEEPD_EVENT': '7', 'SWEEPD_KIND': 'finding', 'SWEEPD_PRIORITY': '2', 'SWEEPD_AT': '2026-01-02 03:04:05 UTC',
         'SWEEPD_TEXT': 'bit_flip of "x\\y" $(z)', 'SWEEPD_DEVICE': 'd0', 'SWEEPD_FINDING_ID': '3', 'SWEEPD_FAULT': 'bit_flip'}


def run_ready(name, **settings):
    return subprocess.run([ALERT_PROGRAMS / name], env={'PATH': os.environ['PATH'], **ALERT, **settings},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)


@test
def the_ready_program_for_mail_hands_a_letter_to_sendmail(case):
    letter = os.path.join(case.directory('m'), 'letter')
    sendmail = letter + '.sh'
    with open(sendmail, 'w') as file:
        file.write(f'#!/bin/sh\necho "$@" > {letter}.args\ncat > {letter}\n')
    os.chmod(sendmail, 0o755)
    done = run_ready('mail', SENDMAIL=sendmail, MAIL_TO='ops@example.org')
    assert done.returncode == 0, done
    with open(letter) as file:
        message = email.message_from_file(file)
    assert message['To'] == 'ops@example.org' and 'd0: bit_flip' in message['Subject'], message
    assert ALERT['SWEEPD_TEXT'] in message.get_payload() and 'sweepctl finding 3' in message.get_payload(), message
    done = run_ready('mail', SENDMAIL=sendmail, SWEEPD_KIND='sum', SWEEPD_COUNT='44', SWEEPD_FAULT='')
    assert done.returncode == 0, done
    with open(letter) as file:
        message = email.message_from_file(file)
    assert 'd0: 44 more messages in one' in message['Subject'] and 'messages:    44\n' in message.get_payload(), message
    missing = run_ready('mail', SENDMAIL='/nonexistent')
    assert missing.returncode != 0 and '/nonexistent' in missing.stderr, missing


@test
def the_ready_program_for_a_webhook_posts_json(case):
    posted = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers['Content-Length']))))
            self.send_response(500 if self.path == '/broken' else 204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(('127.0.0.1', 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f'http://127.0.0.1:{server.server_port}'
        done = run_ready('webhook', WEBHOOK_URL=url)
        broken = run_ready('webhook', WEBHOOK_URL=url + '/broken')
        summed = run_ready('webhook', WEBHOOK_URL=url, SWEEPD_COUNT='44')
        server.shutdown()
    assert done.returncode == 0, done
    assert ALERT['SWEEPD_TEXT'] in posted[0]['text'] and posted[0]['device'] == 'd0' and posted[0]['finding'] == '3', posted
    assert summed.returncode == 0 and [p['count'] for p in posted] == ['', '', '44'], (summed, posted)
    assert broken.returncode != 0 and '500' in broken.stderr, broken
    unset = run_ready('webhook')
    assert unset.returncode != 0 and 'WEBHOOK_URL' in unset.stderr, unset


if __name__ == '__main__':
    sys.exit(main())
