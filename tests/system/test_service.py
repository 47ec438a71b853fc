#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon as a service: many devices, reload, its end, its threads, its schedule, and rude clients."""

import json
import os
import queue
import socket
import subprocess
import threading
import time

from harness import (Client, MIB, Skip, UNIT, VarlinkError, device_entry, eventually, expect_clean, main, need,
                     of_threads, program, test)


@test
def without_devices_it_is_idle_and_answers(case):
    daemon = case.daemon([])
    told = daemon.call('GetDaemon')['daemon']
    assert told['devices'] == 0 and told['ledger'] == 'good' and told['pid'] == daemon.pid, told
    assert daemon.devices() == [] and daemon.findings() == [] and daemon.sweeps() == []


@test
def two_hundred_devices_half_of_them_missing(case):
    disks = [case.loop(MIB) for _ in range(100)]
    entries = [device_entry(f'd{i}', disk) for i, disk in enumerate(disks)]
    entries += [device_entry(f'gone{i}', f'{case.scratch}/none{i}', 'read', every='30d') for i in range(100)]
    daemon = case.daemon(entries)
    began = time.monotonic()
    assert len(daemon.devices()) == 200
    assert time.monotonic() - began < 1, 'listing took too long'
    for sweep in daemon.sweep_all([f'd{i}' for i in range(100)]).values():
        expect_clean(sweep)
    # Those that are due were looked for, and are missing.
    eventually('the missing ones are seen', lambda: all(
        d['state'] == 'missing' for d in daemon.devices() if d['name'].startswith('gone')), 30)
    assert daemon.call('GetDaemon')['daemon']['devices_needing_attention'] == 100
    assert daemon.findings() == []
    daemon.stop()


@test
def an_unknown_device_is_named_with_the_nearest(case):
    daemon = case.daemon([device_entry('spare-7', case.loop(MIB))])
    try:
        daemon.begin('spare-8')
        raise AssertionError('an unknown device was swept')
    except VarlinkError as error:
        assert error.name == 'io.sweepd.NoSuchDevice', error
        assert error.parameters == {'device': 'spare-8', 'nearest': 'spare-7'}, error
    try:
        daemon.call('GetFinding', id=4711)
        raise AssertionError('an unknown finding was shown')
    except VarlinkError as error:
        assert error.name == 'io.sweepd.NoSuchId', error


@test
def reload_takes_devices_in_and_out(case):
    disks = [case.loop(MIB) for _ in range(3)]
    entries = [device_entry(f'd{i}', disk) for i, disk in enumerate(disks)]
    daemon = case.daemon(entries[:2])
    expect_clean(daemon.sweep('d0'))
    daemon.configure(entries[1:])
    daemon.call('Reload')
    assert sorted(d['name'] for d in daemon.devices()) == ['d1', 'd2']
    expect_clean(daemon.sweep('d2'))
    daemon.configure(entries)
    daemon.hup()
    eventually('SIGHUP reloads', lambda: len(daemon.devices()) == 3, 5)
    # A device that comes back has its past.
    assert daemon.sweep('d0')['generation'] == 2


def away_and_back(daemon, disk, entry):
    """The entry leaves in mid-sweep, and comes back while the disk keeps that sweep from ending."""
    daemon.sweeping('d0', 4 * MIB)
    time.sleep(1.5)  # its place is saved once a second
    old = daemon.device('d0')['progress']['sweep_id']
    disk.command('hang read,write')
    eventually('the disk is asked', lambda: disk.command('hanging') != '0')
    daemon.configure([])
    daemon.call('Reload')
    assert daemon.devices() == [] and daemon.finished(old) is None
    daemon.configure([entry])
    daemon.call('Reload')
    time.sleep(1)
    device = daemon.device('d0')
    assert daemon.finished(old) is None, 'the old sweep has not ended'
    disk.command('clear')
    disk.command('release')
    return old, device


@test
def an_entry_that_comes_back_while_its_sweep_is_ending_begins_anew_and_the_old_one_is_over(case):
    for mode in ('read', 'pattern'):
        disk = case.faultdisk(16 * MIB)
        disk.command('delay read,write ms=10')
        entry = device_entry('d0', disk, mode, every='30d', block_size='64K', queue_depth=2, segment='1M', rate_max='4M')
        daemon = case.daemon([entry])
        old, back = away_and_back(daemon, disk, entry)
        assert back['progress'] is None, f'what is still ending is shown as resting: {back}'
        assert (back['state'], 'still ending' in back['reason']['found']) == ('queued', True), back
        eventually('the old sweep has ended', lambda: daemon.finished(old))
        ended = daemon.finished(old)
        assert (ended['end'], ended['reason']['rule']) == ('killed', 'not_resumed'), ended
        new = eventually('the next one has ended', lambda: next(
            (sweep for sweep in daemon.sweeps('d0') if sweep['id'] != old and sweep['ended_at']), None), 60)
        expect_clean(new, 'readable' if mode == 'read' else 'verified')
        assert new['id'] > old and daemon.finished(old) == ended, (ended, daemon.finished(old))
        assert mode == 'read' or new['generation'] == ended['generation'] + 1, (ended, new)
        assert daemon.device('d0')['state'] == 'idle' and len(daemon.sweeps('d0')) == 2, daemon.sweeps('d0')
        daemon.stop()


@test
def a_bad_configuration_changes_nothing(case):
    entries = [device_entry('d0', case.loop(MIB))]
    daemon = case.daemon(entries)
    for bad, words in ((lambda: daemon.configure(entries, colour='"red"'), ['colour']),
                       (lambda: daemon.configure([{**entries[0], 'block_size': '5K'}]), ['block_size']),
                       (lambda: daemon.configure(entries + entries), ['d0'])):
        bad()
        try:
            daemon.call('Reload')
            raise AssertionError('a bad configuration was taken')
        except VarlinkError as error:
            assert error.name == 'io.sweepd.InvalidConfig', error
            assert error.parameters['file'] == daemon.config and error.parameters['line'] > 0, error
            for word in words:
                assert word in error.parameters['text'], error
        daemon.hup()
        time.sleep(0.1)
        assert [d['name'] for d in daemon.devices()] == ['d0']
    os.unlink(daemon.config)
    done = daemon.ctl('reload', check=False, as_json=False)
    assert done.returncode == 1 and f"sweepctl: {daemon.config}: can't be read: No such file" in done.stderr, done
    daemon.expect_told(f"error: {daemon.config}: can't be read: No such file", times=1)
    expect_clean(daemon.sweep('d0'))


@test
def a_reload_that_is_asked_for_during_another_one_is_answered_by_what_is_read_after_it(case):
    entries = [device_entry(f'd{i}', f'{case.scratch}/none{i}', 'read') for i in range(300)]
    daemon = case.daemon([])
    for i in range(100):
        daemon.configure(entries)
        daemon.hup()
        daemon.configure([{**entries[0], 'name': f'only{i}'}])
        daemon.call('Reload')
        assert [d['name'] for d in daemon.devices()] == [f'only{i}']


@test
def it_says_when_its_self_test_passed(case):
    began = time.time_ns() // 1000
    daemon = case.daemon([])
    told = daemon.call('GetDaemon')['daemon']
    assert began <= told['self_test_at'] <= time.time_ns() // 1000, told
    assert 'self-test: passed at ' in ' '.join(daemon.ctl('status', as_json=False).split())


@test
def with_a_comparison_that_is_broken_on_one_cpu_it_does_not_start(case):
    disk = case.loop(MIB)
    disk.write(0, b'somebody')
    allowed = sorted(os.sched_getaffinity(0))
    for workers in 0, len(allowed):
        daemon = case.daemon_not_started([device_entry('d0', disk)], verify={'workers': workers})
        for cpu in allowed:
            # Without workers, too: a sweep may run on any of them.
            done = subprocess.run([program('SWEEPD_BLIND', 'tests/system/sweepd_blind'), '--config', daemon.config],
                                  env={**os.environ, 'SWEEPD_BLIND_CPU': str(cpu)}, timeout=20,
                                  stderr=subprocess.PIPE, text=True, check=False)
            assert done.returncode == 1, done
            assert f"can't start: the self-test on CPU {cpu} failed: " in done.stderr, done.stderr
            assert 'a flipped bit' in done.stderr and 'memory tested' in done.stderr, done.stderr
            assert not os.path.exists(daemon.control)
    assert disk.read(0, 8) == b'somebody'


@test
def a_bad_configuration_does_not_start(case):
    daemon = case.daemon_not_started([device_entry('d0', case.loop(MIB), mode='wipe')])
    process = daemon.spawn()
    assert process.wait(5) != 0
    daemon.process = None
    assert 'mode' in daemon.log_text() and 'sweepd.conf:' in daemon.log_text(), daemon.log_text()


@test
def reload_during_a_sweep_leaves_it_alone(case):
    disk = case.faultdisk(8 * MIB)
    disk.command('delay all ms=3')
    entry = device_entry('d0', disk, block_size='64K', queue_depth=2)
    daemon = case.daemon([entry])
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0')
    daemon.configure([{**entry, 'block_size': '4K', 'queue_depth': 8}])
    daemon.call('Reload')
    disk.command('clear')
    expect_clean(daemon.end(sweep_id))
    expect_clean(daemon.sweep('d0'))


@test
def sigterm_ends_it_within_five_seconds_in_a_sweep(case):
    disks = [case.faultdisk(16 * MIB) for _ in range(2)]
    for disk in disks:
        disk.command('delay all ms=20')
    names = ['d0', 'd1']
    daemon = case.daemon([device_entry(n, d, block_size='64K', queue_depth=4) for n, d in zip(names, disks)])
    ids = {name: daemon.begin(name) for name in names}
    for name in names:
        daemon.sweeping(name)
    daemon.stop(within_s=5)
    for disk in disks:
        disk.command('clear')
    assert not os.path.exists(daemon.control), 'the control socket was left behind'
    daemon.start()
    for name, sweep_id in ids.items():
        expect_clean(daemon.end(sweep_id))
    assert daemon.findings(every=True) == []


def masks(pid):
    """The CPU lists of all threads."""
    return [line.split()[1] for _, text in of_threads(pid, 'status') for line in text.splitlines()
            if line.startswith('Cpus_allowed_list')]


@test
def workers_are_pinned_and_nobody_else_is(case):
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise Skip('needs two CPUs')
    disk = case.faultdisk(16 * MIB)
    disk.command('delay all ms=3')
    chosen = str(allowed[-1])
    daemon = case.daemon([device_entry('d0', disk, block_size='512K', queue_depth=4)],
                         verify={'workers': 2, 'cpus': chosen})
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0')
    got = masks(daemon.pid)
    with open('/proc/self/status', encoding='utf-8') as file:
        own = [line.split()[1] for line in file if line.startswith('Cpus_allowed_list')][0]
    assert got.count(chosen) == 2, f'two workers on CPU {chosen} alone: {got}'
    assert set(got) == {chosen, own}, got
    workers = daemon.call('GetDaemon')['daemon']['workers']
    assert [(w['index'], w['cpus'], w['in_service']) for w in workers] == [(0, chosen, True), (1, chosen, True)]
    disk.command('clear')
    expect_clean(daemon.end(sweep_id))


@test
def workers_take_the_cpus_in_turn(case):
    allowed = sorted(os.sched_getaffinity(0))
    daemon = case.daemon([], verify={'workers': 3, 'cpus': ','.join(map(str, allowed))})
    workers = daemon.call('GetDaemon')['daemon']['workers']
    assert [w['cpus'] for w in workers] == [str(allowed[i % len(allowed)]) for i in range(3)], workers


@test
def a_cpu_that_is_not_there_does_not_start(case):
    daemon = case.daemon_not_started([], verify={'workers': 1, 'cpus': '1000'})
    process = daemon.spawn()
    assert process.wait(5) != 0
    daemon.process = None
    assert '1000' in daemon.log_text(), daemon.log_text()


@test
def a_due_device_starts_by_itself_and_never_does_not(case):
    due, never, often = case.loop(MIB), case.loop(MIB), case.loop(MIB)
    daemon = case.daemon([device_entry('due', due, every='30d'), device_entry('never', never),
                          device_entry('often', often, every='1s')])
    eventually('the due one was swept', lambda: daemon.device('due')['verdict'] == 'clean')
    eventually('swept again and again', lambda: len(daemon.sweeps('often')) >= 3, 15)
    assert daemon.sweeps('never') == [] and len(daemon.sweeps('due')) == 1
    device = daemon.device('never')
    assert (device['state'], device['verdict'], device['next_start_at']) == ('idle', 'unknown', None), device
    device = daemon.device('due')
    thirty_days_us = 30 * 86400 * 10**6
    started = daemon.sweeps('due')[0]['started_at']
    assert device['next_due_at'] == started + thirty_days_us, device
    assert not device['overdue'], device


@test
def no_more_sweeps_at_once_than_allowed(case):
    disks = [case.faultdisk(4 * MIB) for _ in range(4)]
    for disk in disks:
        disk.command('delay write ms=50')  # a start does not write, and those of all four are over in one sweep
    names = [f'd{i}' for i in range(4)]
    daemon = case.daemon([device_entry(n, d, block_size='64K', queue_depth=2) for n, d in zip(names, disks)],
                         limits={'concurrent_sweeps': 2})
    ids = [daemon.begin(name) for name in names]
    most = 0

    def all_over():
        nonlocal most
        states = [d['state'] for d in daemon.devices()]
        most = max(most, states.count('sweeping'))
        assert states.count('sweeping') <= 2, states
        return all(daemon.finished(i) for i in ids)
    eventually('all were swept', all_over, 60)
    assert most == 2, most
    for sweep_id in ids:
        expect_clean(daemon.end(sweep_id))


@test
def a_queued_sweep_can_be_cancelled(case):
    disks = [case.faultdisk(4 * MIB) for _ in range(2)]
    for disk in disks:
        disk.command('delay write ms=100')
    daemon = case.daemon([device_entry(f'd{i}', d, block_size='64K', queue_depth=2) for i, d in enumerate(disks)],
                         limits={'concurrent_sweeps': 1})
    first = daemon.begin('d0')
    daemon.sweeping('d0')
    daemon.begin('d1')
    device = daemon.device('d1')
    assert device['state'] == 'queued' and device['reason']['rule'] == 'admission', device
    assert device['reason']['found'] == 'sweeps running: 1, as many as limits.concurrent_sweeps allows', device
    daemon.call('CancelSweep', device='d1')
    eventually('it is no longer queued', lambda: daemon.device('d1')['state'] == 'idle', 5)
    disks[0].command('clear')
    expect_clean(daemon.end(first))
    time.sleep(0.3)
    assert not any(disks[1].read(0, UNIT)), 'a cancelled sweep has written'


@test
def a_sweep_that_is_due_and_waits_for_its_place_can_be_cancelled_and_its_period_is_skipped(case):
    slow, others = case.faultdisk(4 * MIB), [case.loop(MIB) for _ in range(2)]
    slow.command('delay read ms=100')
    entries = [device_entry('slow', slow, 'read', block_size='64K', queue_depth=2)]
    daemon = case.daemon(entries, limits={'concurrent_sweeps': 1})
    first = daemon.begin('slow')
    daemon.sweeping('slow')
    daemon.configure(entries + [device_entry(f'd{i}', d, 'read', every='30d') for i, d in enumerate(others)])
    daemon.call('Reload')
    daemon.begin('d1')  # due, and wanted by somebody, too
    for name in ('d0', 'd1'):
        assert daemon.device(name)['state'] == 'queued', daemon.device(name)
        daemon.ctl('cancel', name, as_json=False)
        device = daemon.device(name)
        assert device['state'] == 'idle' and device['next_due_at'] > (time.time() + 29 * 86400) * 1e6, device
        sweep, = daemon.sweeps(name)
        assert sweep['end'] == 'cancelled' and sweep['bytes_read'] == 0, sweep
    slow.command('clear')
    expect_clean(daemon.end(first), 'readable')
    due = [daemon.device(f'd{i}')['next_due_at'] for i in range(2)]
    daemon.stop()
    daemon.start()
    again = [daemon.device(f'd{i}')['next_due_at'] for i in range(2)]
    assert all(abs(a - b) < 1e6 for a, b in zip(again, due)), f'{due}, then {again}'
    time.sleep(0.5)
    assert [len(daemon.sweeps(f'd{i}')) for i in range(2)] == [1, 1], 'the period was not skipped'


@test
def a_sweep_that_never_began_is_no_past_of_its_device(case):
    slow, disk = case.faultdisk(4 * MIB), case.loop(MIB)
    slow.command('delay read ms=100')
    daemon = case.daemon([device_entry('slow', slow, 'read', block_size='64K', queue_depth=2),
                          device_entry('d0', disk, 'read')], limits={'concurrent_sweeps': 1})
    expect_clean(daemon.sweep('d0'), 'readable')
    first = daemon.begin('slow')
    daemon.sweeping('slow')
    refused = daemon.begin('d0', mode='pattern')
    slow.command('clear')
    expect_clean(daemon.end(first), 'readable')
    assert daemon.end(refused)['reason']['rule'] == 'destroys_data_missing'
    for _ in range(2):
        device = eventually('it is at rest', lambda: (d := daemon.device('d0'))['state'] == 'idle' and d)
        assert (device['verdict'], device['assurance'], device['needs_attention']) == ('clean', 'readable', False), device
        daemon.stop()
        daemon.start()


@test
def an_entry_that_comes_back_goes_on_at_once_with_what_was_cut_short(case):
    disk, other = case.faultdisk(4 * MIB), case.loop(MIB)
    disk.command('delay read ms=50')
    entries = [device_entry('d0', disk, 'read', every='30d', block_size='64K', queue_depth=2),
               device_entry('d1', other, 'read')]
    daemon = case.daemon(entries)
    daemon.sweeping('d0')
    daemon.configure(entries[1:])
    daemon.call('Reload')
    eventually('it has left', lambda: len(daemon.devices()) == 1)
    disk.command('clear')
    eventually('its sweep is over', lambda: daemon.sweeps()[-1]['ended_at'])
    assert daemon.sweeps()[-1]['end'] == 'killed', daemon.sweeps()
    daemon.configure(entries)
    daemon.call('Reload')
    expect_clean(daemon.end(eventually('another begins', lambda: daemon.sweeps('d0')[1:])[0]['id']), 'readable')


@test
def rude_clients_do_no_harm(case):
    daemon = case.daemon([device_entry('d0', case.loop(MIB))])
    rude = [b'\0', b'{}\0', b'[]\0', b'null\0', b'{"method":1}\0', b'{"method":"io.sweepd.GetDaemon"', b'\xff\xfe\0',
            b'{"method":"io.sweepd.StartSweep","parameters":{"device":7}}\0', b'[' * 60000 + b'\0', b'a' * 200000,
            b'{"method":"io.sweepd.ListSweeps","parameters":{"limit":-1},"more":true}\0',
            b'{"method":"io.sweepd.GetFinding","parameters":{"id":1e400}}\0',
            b'{"method":"io.sweepd.GetSweep","parameters":{"id":18446744073709551616}}\0',
            b'{"method":"io.sweepd.ListDevices","parameters":[]}\0', b'GET / HTTP/1.1\r\n\r\n']
    rude += [case.rng.randbytes(case.rng.randrange(1, 3000)) for _ in range(50)]
    for message in rude:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(2)
            peer.connect(daemon.control)
            try:
                peer.sendall(message)
                if case.rng.random() < 0.5:
                    peer.shutdown(socket.SHUT_WR)
                    peer.recv(65536)
            except (OSError, TimeoutError):
                pass
        assert daemon.process.poll() is None, f'sweepd died of {message[:60]}'
    expect_clean(daemon.sweep('d0'))


@test
def who_follows_the_events_must_take_more_than_one_reply(case):
    daemon = case.daemon([])
    try:
        daemon.call('Monitor')
        raise AssertionError('one reply was enough')
    except VarlinkError as error:
        assert error.name == 'org.varlink.service.ExpectedMore', error


@test
def the_interface_describes_itself(case):
    daemon = case.daemon([])
    with Client(daemon.control) as client:
        info = client.call('org.varlink.service.GetInfo')
        assert 'io.sweepd' in info['interfaces'] and info['version'], info
        text = client.call('org.varlink.service.GetInterfaceDescription', {'interface': 'io.sweepd'})['description']
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, '../../daemon/control/io.sweepd.varlink'), encoding='utf-8') as file:
        assert text.strip() == file.read().strip()


WATCHDOG_S = 3  # it is fed after half of it, or a little more


class NotifySocket:
    """What systemd would hear. It always listens: a sender waits for a receiver that is behind."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.words = queue.Queue()
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def _listen(self):
        while message := self.socket.recv(4096):
            for word in message.decode().splitlines():
                self.words.put(word)

    def close(self):
        # An empty message ends the listener.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.sendto(b'', self.path)
        self.thread.join()
        self.socket.close()

    def forget(self):
        while not self.words.empty():
            self.words.get()

    def heard(self, word, within_s):
        """Waits until it hears the word, from now on or since what was last heard."""
        end = time.monotonic() + within_s
        while (left := end - time.monotonic()) > 0:
            try:
                if self.words.get(timeout=left) == word:
                    return True
            except queue.Empty:
                break
        return False


@test
def systemd_hears_ready_watchdog_and_stopping(case):
    notify = case.keep(NotifySocket(case.scratch + '/notify'))
    daemon = case.daemon_not_started(
        [device_entry('d0', case.loop(MIB))], env={'NOTIFY_SOCKET': notify.path, 'WATCHDOG_USEC': f'{WATCHDOG_S}000000'})
    daemon.spawn()
    assert notify.heard('READY=1', 10), 'no READY=1'
    # Ready means that it answers.
    assert daemon.call('GetDaemon')['daemon']['pid'] == daemon.pid
    for _ in range(3):
        assert notify.heard('WATCHDOG=1', WATCHDOG_S), 'the watchdog was not fed'
    daemon.stop()
    assert notify.heard('STOPPING=1', 1), 'no STOPPING=1'


@test
def the_watchdog_is_fed_while_a_disk_hangs(case):
    notify = case.keep(NotifySocket(case.scratch + '/notify'))
    disk = case.faultdisk(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk, block_size='64K', queue_depth=2)],
                         env={'NOTIFY_SOCKET': notify.path, 'WATCHDOG_USEC': f'{WATCHDOG_S}000000'})
    disk.command('delay all ms=20')
    sweep_id = daemon.begin('d0')
    daemon.sweeping('d0')
    disk.command('hang read,write')
    eventually('a request hangs', lambda: int(disk.command('hanging')) > 0, 20)
    notify.forget()
    for _ in range(4):
        assert notify.heard('WATCHDOG=1', WATCHDOG_S), 'the watchdog was not fed'
    disk.command('clear')
    disk.command('release')
    expect_clean(daemon.end(sweep_id))


@test
def a_second_daemon_on_the_same_state_is_refused(case):
    daemon = case.daemon([])
    second = case.daemon_not_started([])
    second.state = daemon.state
    second.configure([])
    process = second.spawn()
    assert process.wait(10) != 0
    second.process = None
    assert second.log_text().strip(), 'it did not say why'
    assert daemon.call('GetDaemon')['daemon']['pid'] == daemon.pid


@test
def a_socket_in_use_is_not_taken_over(case):
    daemon = case.daemon([])
    second = case.daemon_not_started([])
    second.control = daemon.control
    second.configure([])
    process = second.spawn()
    assert process.wait(10) != 0
    second.process = None
    assert second.log_text().strip(), 'it did not say why'
    assert daemon.call('GetDaemon')['daemon']['pid'] == daemon.pid


@test
def without_the_right_to_its_state_it_does_not_start(case):
    need('setpriv')
    daemon = case.daemon_not_started([])
    os.chmod(case.scratch, 0o755)
    os.chmod(daemon.directory, 0o755)
    os.chmod(daemon.state, 0o700)
    process = daemon.spawn(['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'])
    assert process.wait(10) != 0
    daemon.process = None
    assert daemon.log_text().strip(), 'it did not say why'


@test
def others_may_look_but_not_change(case):
    need('setpriv')
    daemon = case.daemon([device_entry('d0', case.loop(MIB))])
    for path in (case.scratch, daemon.directory):
        os.chmod(path, 0o755)
    os.chmod(daemon.control, 0o666)
    answers = []
    for method, parameters in (('GetDaemon', {}), ('StartSweep', {'device': 'd0'}), ('Reload', {}),
                               ('Retire', {'device': 'd0'})):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
                with Client(daemon.control) as client:
                    client.send(f'io.sweepd.{method}', parameters)
                    os.write(writer, json.dumps(client.receive().get('error')).encode())
                status = 0
            finally:
                os._exit(status)
        os.close(writer)
        with os.fdopen(reader, 'rb') as file:
            answers.append(json.loads(file.read() or b'"no answer"'))
        os.waitpid(child, 0)
    denied = 'org.varlink.service.PermissionDenied'
    assert answers == [None, denied, denied, denied], answers


@test
def sweepctl_tells_the_same_story(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk)])
    daemon.ctl('start', 'd0')
    assert daemon.ctl('wait', 'd0', check=False).returncode == 0
    assert 'clean (verified)' in daemon.ctl('status', check=False, as_json=False).stdout
    disk.flip_bits(7 * UNIT, 1, case.rng)
    daemon.ctl('start', 'd0')
    assert daemon.ctl('wait', 'd0', check=False).returncode == 2
    assert daemon.ctl('status', check=False).returncode == 2
    found = daemon.ctl('errors')['findings']
    assert [(f['offset'], f['length'], f['fault']) for f in found] == [(7 * UNIT, UNIT, 'bit_flip')], found
    assert len(daemon.ctl('history', 'd0')['sweeps']) == 2
    assert daemon.ctl('status')['devices'][0]['verdict'] == 'faulty'
    assert daemon.ctl('cancel', 'd0', check=False).returncode == 1
    assert daemon.ctl('start', 'nobody', check=False).returncode == 1


if __name__ == '__main__':
    main()
