#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What recovery leaves in an undo journal: a person can list it, take it out, have it tried again, and give it up."""

import base64
import os
import shutil
import signal
import socket
import subprocess
import time

from harness import (KIB, MIB, UNIT, Client, VarlinkError, device_entry, eventually, expect_clean, main, program, run,
                     test)
from keeping import stand_still

SEGMENT = 4 * MIB


def saved(case, target, name='d0', journal=None):
    """A daemon that was killed while it had written pattern over originals, which are returned with it."""
    originals = case.rng.randbytes(target.size)
    target.write(0, originals)
    journal = journal or case.loop(32 * MIB).path
    entry = device_entry(name, target, 'preserve', segment='4M', settle='1s', journal=journal)
    daemon = case.daemon([entry])
    target.command('delay read ms=20')

    def caught():
        if not daemon.device(name)['progress']:  # it has not begun, or was too fast
            daemon.begin(name)
        if target.read(0, UNIT) == originals[:UNIT]:
            return False
        stand_still(daemon, target)
        if target.read(0, UNIT) != originals[:UNIT]:
            return True
        daemon.process.send_signal(signal.SIGCONT)
        return False
    eventually('originals are overwritten', caught, 40, 0.005)
    daemon.kill9()
    target.command('clear')
    return daemon, originals, entry


def foreign_units(case, target, originals, count=3):
    """Writes to units that bear pattern now, as somebody would who does not care for claims: their offsets and bytes."""
    units = [u for u in range(SEGMENT // UNIT) if target.read(u * UNIT, UNIT) != originals[u * UNIT:(u + 1) * UNIT]]
    assert len(units) > count, units
    chosen = {u * UNIT: case.rng.randbytes(UNIT) for u in case.rng.sample(units, count)}
    for offset, data in chosen.items():
        done = subprocess.run(['dd', f'of={target.path}', f'bs={UNIT}', f'seek={offset // UNIT}', 'oflag=direct',
                               'conv=notrunc', 'status=none'], input=data, check=False, capture_output=True)
        assert done.returncode == 0, done.stderr
    return chosen


def refused_by_rescue(daemon, name='d0'):
    def shows():
        device = daemon.device(name)
        reason = device['reason'] or {}
        return device if device['state'] == 'refused' and reason.get('rule') == 'rescue' else None
    device = eventually(f'{name} is refused by rule rescue', shows, 30)
    assert 'sweepctl rescue list' in device['reason']['remedy'], device
    time.sleep(0.1)
    assert shows(), 'it is tried again and again'
    return device


def rescues(daemon, **parameters):
    """Originals, and copies of somebody else's bytes."""
    listed = [reply['rescue'] for reply in daemon.call_more('ListRescues', **parameters)]
    assert len({r['id'] for r in listed}) == len(listed), listed
    assert all(0 < r['id'] < 1 << 52 for r in listed), listed
    for r in listed:
        assert ('a copy' in r['text']) == (r['kind'] == 'copy'), r
    return ([r for r in listed if r['kind'] == 'originals'], [r for r in listed if r['kind'] == 'copy'])


def exported(daemon, number):
    pieces = {}
    for reply in daemon.call_more('ExportRescue', id=number):
        assert reply['text'] is None, reply['text']
        data = base64.b64decode(reply['data_base64'], validate=True)
        assert 0 < len(data) <= 256 * KIB, len(data)
        pieces.update({reply['offset'] + i: data[i:i + UNIT] for i in range(0, len(data), UNIT)})
    return pieces


def fails(name, call, *arguments, **parameters):
    try:
        answer = call(*arguments, **parameters)
    except VarlinkError as error:
        assert error.name.endswith('.' + name), error
        return error.parameters
    raise AssertionError(f'{name} was expected, but there came {answer}')


def same_but(target, originals, places):
    now = bytearray(target.read(0, target.size))
    for offset in places:
        now[offset:offset + UNIT] = originals[offset:offset + UNIT]
    return bytes(now) == originals


@test
def what_somebody_else_wrote_pins_the_originals_until_they_are_forgotten(case):
    target = case.faultdisk(16 * MIB)
    daemon, originals, _ = saved(case, target)
    foreign = foreign_units(case, target, originals)
    daemon.start()
    refused_by_rescue(daemon)
    (slot,), copies = rescues(daemon)
    assert slot['device'] == 'd0' and slot['units_lost'] == 0 and slot['length'] == SEGMENT, slot
    assert slot['journal'].startswith('/dev/loop') and slot['armed_at'] > 0, slot
    assert {c['offset']: c['length'] for c in copies} == {offset: UNIT for offset in foreign}, copies
    assert same_but(target, originals, foreign)

    # The originals of just those places, and what stands there now.
    assert exported(daemon, slot['id']) == {o: originals[o:o + UNIT] for o in foreign}
    assert {o: data for c in copies for o, data in exported(daemon, c['id']).items()} == foreign

    # Numbers are the same after a restart; a retry changes nothing.
    daemon.stop()
    daemon.start()
    refused_by_rescue(daemon)
    assert rescues(daemon, device='d0') == ([slot], copies)
    daemon.call('RetryRescue', id=slot['id'])
    refused_by_rescue(daemon)
    assert rescues(daemon)[0] == [slot]
    assert fails('Refused', daemon.call, 'RetryRescue', id=copies[0]['id'])['reason']['rule'] == 'rescue_copy'

    # Only by the name of the disk; then it is swept again at once, and the copies stay.
    reason = fails('Refused', daemon.call, 'ForgetRescue', id=slot['id'], serial='ZA1234')['reason']
    assert reason['rule'] == 'rescue_serial' and target.mount in reason['found'], reason
    assert rescues(daemon)[0] == [slot]
    backing = os.path.join(target.mount, 'disk')
    daemon.call('ForgetRescue', id=slot['id'], serial=backing)
    fails('NoSuchId', daemon.call, 'ForgetRescue', id=slot['id'], serial=backing)
    assert rescues(daemon)[0] == []
    eventually('d0 is idle', lambda: daemon.device('d0')['state'] == 'idle', 10)
    before = target.read(0, target.size)
    sweep = daemon.sweep('d0')
    assert sweep['end'] == 'finished' and sweep['bytes_verified'] > 0, sweep
    assert target.read(0, target.size) == before
    assert rescues(daemon) == ([], copies)
    for copy in copies:
        daemon.call('ForgetRescue', id=copy['id'], serial=backing)
    assert rescues(daemon) == ([], [])


@test
def what_could_not_be_put_back_is_whole_after_a_retry(case):
    target = case.faultdisk(16 * MIB)
    daemon, originals, _ = saved(case, target)
    bad = next(u for u in range(SEGMENT // UNIT)
               if target.read(u * UNIT, UNIT) != originals[u * UNIT:(u + 1) * UNIT]) * UNIT
    target.command(f'error write at={bad} length={UNIT}')
    daemon.start()
    refused_by_rescue(daemon)
    (slot,), copies = rescues(daemon)
    assert slot['units_lost'] == 1 and not copies, (slot, copies)
    assert exported(daemon, slot['id']) == {bad: originals[bad:bad + UNIT]}
    assert any(f['offset'] == bad for f in daemon.findings('d0')), daemon.findings('d0')
    target.command('clear')
    daemon.call('RetryRescue', id=slot['id'])
    eventually('nothing is kept', lambda: rescues(daemon) == ([], []), 30)
    assert target.read(0, target.size) == originals
    eventually('d0 is idle', lambda: daemon.device('d0')['state'] == 'idle', 10)
    expect_clean(daemon.sweep('d0'))


@test
def without_the_disk_all_that_was_saved_is_exported(case):
    """In pieces of 256 KiB, which must not be asked for as one; also where the device has left the configuration."""
    target = case.faultdisk(16 * MIB)
    state = case.directory('undo')
    daemon, originals, entry = saved(case, target)
    missing = {**entry, 'path': os.path.join(state, 'nothing')}
    daemon.configure([missing])
    daemon.start()
    slots, _ = rescues(daemon)
    assert slots and all('cut short' in slot['text'] for slot in slots), slots
    for slot in slots:
        places = range(slot['offset'], slot['offset'] + slot['length'], UNIT)
        assert exported(daemon, slot['id']) == {o: originals[o:o + UNIT] for o in places}
        fails('ExpectedMore', daemon.call, 'ExportRescue', id=slot['id'])
    # One that leaves in the middle, and many that come at once, are no harm.
    with Client(daemon.control) as client:
        client.send('io.sweepd.ExportRescue', {'id': slots[0]['id']}, more=True)
        client.receive()
    clients = [Client(daemon.control) for _ in range(6)]
    for client in clients:
        client.send('io.sweepd.ListRescues', {}, more=True)
        client.socket.shutdown(socket.SHUT_WR)
        client.socket.close()
    eventually('there is room again', lambda: not isinstance(try_list(daemon), VarlinkError), 10)
    daemon.configure([entry])
    daemon.hup()
    # Listed until they are back: not less, because that is being done just now.
    eventually('the originals are back', lambda: rescues(daemon) == ([], []), 30)
    assert target.read(0, target.size) == originals


def try_list(daemon):
    try:
        return rescues(daemon)
    except VarlinkError as error:
        return error


@test
def journals_that_no_device_owns_are_listed_too(case):
    """It is made on a real disk, as the file system of a journal must not be memory."""
    directory = f'/var/tmp/{os.path.basename(case.scratch)}'
    os.mkdir(directory)
    case.undo(run, 'rm', '-rf', directory)
    undo = os.path.join(directory, 'undo')
    target = case.faultdisk(16 * MIB)
    daemon, originals, entry = saved(case, target, 'gone', undo)
    foreign = foreign_units(case, target, originals, 1)
    shutil.rmtree(os.path.join(daemon.state, 'undo'))  # and nobody knows any more where it was
    shutil.copytree(undo, os.path.join(daemon.state, 'undo'))
    daemon.configure([device_entry('d0', case.loop(MIB))])
    daemon.start()
    slots, _ = rescues(daemon)
    slot = next(s for s in slots if s['offset'] == 0)
    assert slot['device'] == 'gone' and slot['journal'] == os.path.join(daemon.state, 'undo/gone.undo'), slot
    assert rescues(daemon, device='d0') == ([], [])
    reason = fails('Refused', daemon.call, 'RetryRescue', id=slot['id'])['reason']
    assert reason['rule'] == 'rescue_unconfigured' and 'gone.undo' in reason['found'], reason
    offset, = foreign
    assert exported(daemon, slot['id'])[offset] == originals[offset:offset + UNIT]


@test
def a_journal_whose_device_left_the_configuration_is_told_once_and_shown(case):
    target = case.faultdisk(16 * MIB)
    directory = f'/var/tmp/{os.path.basename(case.scratch)}'
    os.mkdir(directory)
    case.undo(run, 'rm', '-rf', directory)
    daemon, originals, entry = saved(case, target, 'gone', os.path.join(directory, 'undo'))
    journal = os.path.join(directory, 'undo', 'gone.undo')
    other = device_entry('d0', case.loop(MIB))
    daemon.configure([other])
    daemon.start()
    eventually('it is shown', lambda: unowned(daemon) == [journal])
    line, = [line for line in daemon.log_text().splitlines() if 'is not configured' in line]
    assert 'alert' in line and journal in line and '"gone"' in line, line
    daemon.hup()
    eventually('the reload is over', lambda: daemon.log_text().count('configuration read') == 1)
    daemon.stop()
    daemon.start()
    eventually('it is shown after a restart', lambda: unowned(daemon) == [journal])
    daemon.expect_told('is not configured', times=2)
    shown = daemon.ctl('status', check=False, as_json=False)
    assert shown.returncode == 2 and journal in shown.stdout and 'sweepctl reload' in shown.stdout, shown
    assert daemon.ctl('status', 'd0', check=False, as_json=False).returncode == 0
    assert {r['device'] for r in daemon.ctl('rescue', 'list')['rescues']} == {'gone'}
    # What is given up is not shown any more.
    for slot in rescues(daemon)[0]:
        daemon.call('ForgetRescue', id=slot['id'], serial=os.path.join(target.mount, 'disk'))
    eventually('it is shown no more', lambda: unowned(daemon) == [])
    assert daemon.ctl('status', check=False, as_json=False).returncode == 0


def unowned(daemon):
    return daemon.call('GetDaemon')['daemon']['unowned_journals']


@test
def a_journal_that_can_not_be_read_is_told_after_the_others(case):
    target = case.faultdisk(16 * MIB)
    daemon, originals, entry = saved(case, target)
    foreign_units(case, target, originals, 1)
    undo = case.directory('undo')
    with open(os.path.join(undo, 'd1.undo'), 'wb') as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(b'\xff' * 65536)
    daemon.configure([device_entry('d1', case.loop(MIB), journal=undo), entry])
    daemon.start()
    refused_by_rescue(daemon)
    with Client(daemon.control) as client:
        client.send('io.sweepd.ListRescues', {}, more=True)
        replies = [client.receive()]
        while replies[-1].get('continues'):
            replies.append(client.receive())
    assert replies[-1]['error'] == 'io.sweepd.Refused', replies
    assert replies[-1]['parameters']['device'] == 'd1', replies
    assert replies[-1]['parameters']['reason']['rule'] == 'journal_damaged', replies
    listed = [reply['parameters']['rescue'] for reply in replies[:-1]]
    assert {r['device'] for r in listed} == {'d0'} and len(listed) == 2, listed
    # What can be read can be worked with.
    slot = next(r for r in listed if r['text'].startswith('originals'))
    assert len(exported(daemon, slot['id'])) == 1
    assert fails('Refused', daemon.call, 'ExportRescue', id=5)['reason']['rule'] == 'journal_damaged'


@test
def while_a_device_is_swept_its_journal_is_left_alone(case):
    target = case.faultdisk(16 * MIB)
    daemon, originals, _ = saved(case, target)
    foreign_units(case, target, originals, 1)
    daemon.start()
    refused_by_rescue(daemon)
    (slot,), (copy,) = rescues(daemon)
    backing = os.path.join(target.mount, 'disk')
    daemon.call('ForgetRescue', id=slot['id'], serial=backing)
    eventually('d0 is idle', lambda: daemon.device('d0')['state'] == 'idle', 10)
    target.command('delay read ms=50')
    sweep = daemon.begin('d0')
    eventually('it writes', lambda: (daemon.device('d0')['progress'] or {}).get('bytes_written', 0), 30)
    assert rescues(daemon) == ([], [copy]), 'what is armed now is the sweep\'s own'
    for method, parameters in (('ExportRescue', {}), ('ForgetRescue', {'serial': backing})):
        assert fails('Busy', daemon.call, method, id=copy['id'], **parameters)['device'] == 'd0'
    target.command('clear')
    assert daemon.end(sweep)['end'] == 'finished'
    assert exported(daemon, copy['id'])


@test
def sweepctl_lists_exports_and_forgets(case):
    target = case.faultdisk(16 * MIB)
    daemon, originals, _ = saved(case, target)
    foreign = foreign_units(case, target, originals)
    daemon.start()
    refused_by_rescue(daemon)
    shown = daemon.ctl('status', check=False, as_json=False)
    assert shown.returncode == 2 and 'sweepctl rescue list' in ' '.join(shown.stdout.split()), shown
    (slot,), copies = rescues(daemon)
    listed = daemon.ctl('rescue', 'list')['rescues']
    assert sorted(listed, key=lambda r: r['id']) == sorted([slot, *copies], key=lambda r: r['id']), listed
    text = daemon.ctl('rescue', 'list', 'd0', as_json=False)
    assert str(slot['id']) in text and 'originals' in text and slot['journal'] in text, text

    file = os.path.join(case.directory('out'), 'pieces')
    done = daemon.ctl('rescue', 'export', str(slot['id']), '--output', file, check=False, as_json=False)
    assert done.returncode == 0, done
    assert os.stat(file).st_mode & 0o777 == 0o600
    with open(file, 'rb') as pieces:
        for offset in sorted(foreign):
            assert f'offset {offset},' in done.stderr or len(done.stderr.splitlines()) < len(foreign), done.stderr
            pieces.seek(offset)
            assert pieces.read(UNIT) == originals[offset:offset + UNIT]
    assert os.stat(file).st_size == max(foreign) + UNIT
    again = daemon.ctl('rescue', 'export', str(slot['id']), '--output', file, check=False, as_json=False)
    assert again.returncode == 1 and 'File exists' in again.stderr, again
    raw = subprocess.run([program('SWEEPCTL', 'tools/sweepctl'), '--socket', daemon.control, 'rescue', 'export',
                          str(slot['id'])], capture_output=True, check=True).stdout
    assert raw == b''.join(originals[o:o + UNIT] for o in sorted(foreign))

    daemon.ctl('rescue', 'retry', str(slot['id']), as_json=False)
    refused_by_rescue(daemon)
    wrong = daemon.ctl('rescue', 'forget', str(slot['id']), '--serial', 'x', check=False, as_json=False)
    assert wrong.returncode == 1 and 'rule rescue_serial' in wrong.stderr, wrong
    backing = os.path.join(target.mount, 'disk')
    daemon.ctl('rescue', 'forget', str(slot['id']), '--serial', backing)
    assert len(daemon.ctl('rescue', 'list')['rescues']) == len(copies)


@test
def only_root_gets_what_was_on_a_disk(case):
    daemon = case.daemon([device_entry('d0', case.loop(MIB))])
    os.chmod(case.scratch, 0o711)
    os.chmod(daemon.directory, 0o711)
    os.chmod(daemon.control, 0o666)
    os.seteuid(65534)
    try:
        assert rescues(daemon) == ([], [])
        for method, parameters in (('ExportRescue', {}), ('RetryRescue', {}), ('ForgetRescue', {'serial': 'x'})):
            fails('PermissionDenied', daemon.call, method, id=1, **parameters)
    finally:
        os.seteuid(0)
    for method, parameters in (('ExportRescue', {}), ('RetryRescue', {}), ('ForgetRescue', {'serial': 'x'})):
        for number in (0, 1, 1 << 62):
            assert fails('NoSuchId', daemon.call, method, id=number, **parameters) == {'id': number}
    fails('NoSuchDevice', daemon.call, 'ListRescues', device='d9')


if __name__ == '__main__':
    main()
