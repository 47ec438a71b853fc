#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
The plan, kept by the real daemon: windows, rates, deadlines and what is told of them. Windows have minutes, so zones are
made for the purpose: by TZ, a daemon's clock on the wall shows what a test needs.
"""

import os
import time

from harness import (MIB, Skip, device_entry, eventually, expect_clean, main, program, run, test, zone,
                     zone_where_it_is)


def due(name, disk, **keys):
    return device_entry(name, disk, **{'mode': 'read', 'every': '30d', **keys})


def queued(daemon, name='d0'):
    return eventually('it is due', lambda: (lambda d: d if d['state'] == 'queued' else None)(daemon.device(name)), 30)


@test
def a_sweep_that_is_due_waits_for_its_window_and_says_so(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([due('d0', disk, windows=['03:00-04:00'])], env=zone_where_it_is(12, 0))
    device = queued(daemon)
    assert device['reason']['rule'] == 'window', device
    assert '03:00' in device['reason']['found'], device
    ahead_s = device['next_start_at'] / 1e6 - time.time()
    assert 14 * 3600 < ahead_s < 15.1 * 3600, (ahead_s, device)
    hour_us = 3600 * 10**6
    assert device['every_us'] == 30 * 24 * hour_us, device
    assert device['window_opens_at'] == device['next_start_at'] == device['window_closes_at'] - hour_us, device
    time.sleep(2)
    assert daemon.sweeps() == [] and daemon.device('d0')['state'] == 'queued'
    expect_clean(daemon.sweep('d0'), 'readable')  # by hand, windows count for nothing


@test
def a_window_that_opens_starts_what_is_due(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([due('d0', disk, windows=['03:00-04:00'])], env=zone_where_it_is(2, 59, 54))

    def planned():  # for the opening; but first of all, and at once, its undo journal is looked for
        device = daemon.device('d0')
        return device['next_start_at'] if device['next_start_at'] == device['window_opens_at'] else None
    opens_at = eventually('it is planned for the opening', lambda: planned() or daemon.sweeps())
    already = daemon.sweeps()
    if already:
        raise Skip('this machine took so long that the window is open')
    eventually('it was swept', lambda: daemon.sweeps() and daemon.sweeps()[0]['ended_at'], 60)
    assert daemon.sweeps()[0]['started_at'] >= opens_at, (daemon.sweeps(), opens_at)
    device = daemon.device('d0')
    assert (device['window_opens_at'], device['window_closes_at']) == (None, opens_at + 3600 * 10**6), device
    expect_clean(daemon.sweeps()[0], 'readable')


@test
def a_blackout_is_a_hole_in_a_window(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([due('d0', disk, windows=['00:00-24:00'], blackouts=['11:00-13:00'])],
                         env=zone_where_it_is(12, 0))
    device = queued(daemon)
    assert device['reason']['rule'] == 'window' and '13:00' in device['reason']['found'], device


@test
def a_sweep_goes_at_the_rate_that_it_needs(case):
    disk = case.loop(64 * MIB)
    daemon = case.daemon([device_entry('d0', disk, 'read', every='20s', rate_min='1M')])
    eventually('its rate fits what is left to do',
               lambda: 2 * MIB < ((daemon.device('d0')['progress'] or {}).get('rate_target') or 0) < 40 * MIB, 15)
    sweep = eventually('it has ended', lambda: daemon.sweeps()[0] if daemon.sweeps()[0]['ended_at'] else None, 60)
    expect_clean(sweep, 'readable')
    took_s = (sweep['ended_at'] - sweep['started_at']) / 1e6
    assert took_s > 5, f'at once, in {took_s} s'
    assert not daemon.device('d0')['overdue'], daemon.device('d0')


@test
def a_reload_changes_the_rates_of_a_sweep_but_not_its_deadline(case):
    disk = case.loop(64 * MIB)
    keys = {'block_size': '64K', 'rate_min': '64K'}

    def target():
        device = daemon.device('d0')
        assert device['state'] == 'sweeping', device
        return device['progress']['rate_target']
    daemon = case.daemon([device_entry('d0', disk, 'read', every='120s', **keys)])
    daemon.sweeping('d0')
    eventually('its rate fits what is left to do', lambda: target() and target() < 3 * MIB, 15)
    daemon.configure([device_entry('d0', disk, 'read', every='never', **keys)])
    daemon.call('Reload')
    time.sleep(2)
    assert target() and target() < 3 * MIB, daemon.device('d0')
    daemon.configure([device_entry('d0', disk, 'read', every='never', block_size='64K', rate_min='128K', rate_max='128K')])
    daemon.call('Reload')
    eventually('its rate is the new one', lambda: target() == MIB // 8, 5)


@test
def a_sweep_goes_on_from_window_to_window_and_never_between(case):
    disk = case.loop(64 * MIB)
    keys = {'block_size': '64K', 'rate_min': '1M', 'rate_max': '1M'}
    closes_at = time.time() + 15
    daemon = case.daemon([due('d0', disk, windows=['03:00-04:00'], **keys)], env=zone_where_it_is(3, 59, 45))

    def begun():
        if daemon.device('d0')['state'] == 'queued' and time.time() > closes_at:
            raise Skip('this machine took so long that the window is closed')
        progress = daemon.device('d0')['progress']
        return progress if progress and progress['bytes_done'] > 0 else None

    first = eventually('it sweeps', begun, 60)
    ends = []

    def closed():
        device = daemon.device('d0')
        ends.append((device['progress']['eta_at'] or 0) / 1e6)
        return device['state'] == 'waiting'
    eventually('the window is closed', closed, 60)
    known = [end for end in ends if end]
    # 64 s of work, and the window closes before.
    assert not known or known[-1] - time.time() > 22 * 3600, (known, time.time())
    waits = daemon.device('d0')
    assert waits['reason']['rule'] == 'window' and waits['progress']['sweep_id'] == first['sweep_id'], waits
    time.sleep(3)
    later = daemon.device('d0')
    assert later['state'] == 'waiting' and later['progress']['bytes_done'] == waits['progress']['bytes_done'], later
    ahead_s = later['next_start_at'] / 1e6 - time.time()
    assert 22 * 3600 < ahead_s < 23 * 3600, (ahead_s, later)
    daemon.stop()
    daemon.env = zone_where_it_is(3, 10)
    daemon.configure([due('d0', disk, windows=['03:00-04:00'], block_size='64K', rate_min='32M')])
    daemon.start()
    sweep = daemon.end(first['sweep_id'])
    expect_clean(sweep, 'readable')
    assert sweep['bytes_read'] >= disk.size, sweep


SCHEDULING_S = 0.6  # what a machine that others use may take until the daemon runs; more than it was ever seen to take


def begun_after(log, moment):
    """How long after that moment requests arrived, of those that have an answer by now."""
    ahead = time.time() - time.monotonic()  # the log goes by the other clock
    with open(log, encoding='ascii') as file:
        return [late for late in (int(line.split()[4]) / 1e6 + ahead - moment for line in file) if late > 0]


@test
def no_request_begins_later_than_a_block_after_the_end_of_a_window_also_of_those_that_are_queued(case):
    block_s = 0.1  # at this rate; and the disk takes half of that. All but one or two of 16 wait for their time
    for mode in ('read', 'pattern'):
        disk, log = case.faultdisk(64 * MIB), os.path.join(case.scratch, f'log-{mode}')
        closes_at = int(time.time()) + 10
        daemon = case.daemon([due('d0', disk, mode=mode, destroys_data=disk.backing if mode == 'pattern' else None,
                                  windows=['03:00-04:00'], block_size='64K', segment='4M', queue_depth=16, rate_min='640K',
                                  rate_max='640K')], env=zone_where_it_is(3, 59, 50))
        daemon.sweeping('d0', MIB // 2)
        disk.command('delay read,write ms=50')
        disk.command(f'log {log}')
        time.sleep(max(0, closes_at - 0.2 - time.time()))
        if daemon.device('d0')['state'] != 'sweeping' or time.time() > closes_at:
            raise Skip('this machine took so long that the window is closed')
        eventually('it waits', lambda: daemon.device('d0')['state'] == 'waiting')
        time.sleep(2)
        disk.command('log off')
        late = begun_after(log, closes_at)
        assert begun_after(log, closes_at - 1), 'nothing was sent before'
        assert all(after < block_s + SCHEDULING_S for after in late), (mode, late)
        print(f'# {mode}: {len(late)} requests began after the end{f", {max(late):.3f} s at most" if late else ""}')
        daemon.stop()


@test(timeout_s=180)
def each_of_two_periods_ends_within_two_per_cent_of_its_deadline_at_the_rate_that_this_takes(case):
    every_s = 40
    disks = {'read': case.loop(24 * MIB), 'pattern': case.loop(16 * MIB)}
    daemon = case.daemon([device_entry(mode, disk, mode, every=f'{every_s}s', rate_min='64K', block_size='64K', segment='4M')
                          for mode, disk in disks.items()])

    def ended(mode):
        return sorted((sweep for sweep in daemon.sweeps(mode) if sweep['ended_at']), key=lambda sweep: sweep['id'])
    eventually('two periods are over', lambda: all(len(ended(mode)) >= 2 for mode in disks), 3 * every_s)
    for mode in disks:
        first = ended(mode)[0]['started_at']
        for period, sweep in enumerate(ended(mode)[:2]):
            expect_clean(sweep, 'readable' if mode == 'read' else 'verified')
            began, over = ((sweep[key] - first) / 1e6 / every_s - period for key in ('started_at', 'ended_at'))
            assert began >= 0 and over <= 1.02, (mode, period, began, over)
            assert over - began > 0.5, f'{mode}, period {period}: at the rate that it needs it takes longer: {began} to {over}'
            print(f'# {mode}, period {period}: from {began:.2%} to {over:.2%}')


@test
def rate_max_holds_for_a_sweep_by_hand_too(case):
    disk = case.loop(24 * MIB)
    daemon = case.daemon([device_entry('d0', disk, 'read', rate_max='8M', block_size='64K')])
    sweep = daemon.sweep('d0')
    took_s = (sweep['ended_at'] - sweep['started_at']) / 1e6
    assert took_s > 2, f'24 MiB at 8 MiB a second took {took_s} s'


@test
def all_sweeps_together_keep_to_the_limit_of_the_host(case):
    disks = [case.loop(16 * MIB) for _ in range(3)]
    daemon = case.daemon([device_entry(f'd{i}', disk, 'read', block_size='64K') for i, disk in enumerate(disks)],
                         limits={'rate': '12M'})
    began = time.monotonic()
    for sweep in daemon.sweep_all(['d0', 'd1', 'd2']).values():
        expect_clean(sweep, 'readable')
    took_s = time.monotonic() - began
    assert took_s > 2.5, f'48 MiB at 12 MiB a second took {took_s} s'


@test
def a_deadline_that_can_not_be_met_is_told_before_it_is_over(case):
    disk = case.loop(64 * MIB)
    keys = {'every': '60s', 'rate_min': '256K', 'rate_max': '512K', 'block_size': '64K'}
    daemon = case.daemon([device_entry('d0', disk, 'read', **keys)])
    daemon.sweeping('d0')
    device = eventually('it is told', lambda: (lambda d: d if d['reason'] else None)(daemon.device('d0')), 20)
    assert device['reason']['rule'] == 'deadline' and not device['overdue'], device
    assert 'rate_max' in device['reason']['remedy'] and 'every' in device['reason']['remedy'], device
    daemon.expect_told("can't be met", times=1)
    daemon.call('PauseSweep', device='d0')
    eventually('it is paused', lambda: daemon.device('d0')['state'] == 'paused', 20)
    reason = daemon.device('d0')['reason']
    assert reason['rule'] == 'paused' and "can't be met" in reason['found'], reason
    time.sleep(5)  # rates, and deadlines, are looked at every 3 s
    assert 'can be met again' not in daemon.log_text(), daemon.log_text()
    daemon.call('ResumeSweep', device='d0')
    daemon.sweeping('d0')
    daemon.configure([device_entry('d0', disk, 'read', **{**keys, 'every': '30d'})])
    daemon.call('Reload')
    daemon.call('CancelSweep', device='d0')
    eventually('it is over', lambda: daemon.device('d0')['reason'] is None, 20)
    eventually('that is told', lambda: 'deadline can be met again' in daemon.log_text(), 20)


@test
def who_waits_too_long_for_others_is_told_before_his_time_is_over(case):
    disks = [case.loop(50 * MIB) for _ in range(3)]
    one = {'limits': {'concurrent_sweeps': 1}}
    daemon = case.daemon([device_entry(f'd{i}', disk, 'read', every='never') for i, disk in enumerate(disks)], **one)
    for sweep in daemon.sweep_all(['d0', 'd1', 'd2']).values():
        expect_clean(sweep, 'readable')
    assert "can't be met" not in daemon.log_text(), daemon.log_text()
    daemon.configure([device_entry(f'd{i}', disk, 'read', every='60s', rate_min='1M', rate_max='1M')
                      for i, disk in enumerate(disks)], **one)
    daemon.call('Reload')
    eventually('it is told', lambda: "can't be met: with those that go before it" in daemon.log_text(), 65)
    assert not any(device['overdue'] for device in daemon.devices()), daemon.devices()
    assert 'limits.concurrent_sweeps' in daemon.log_text(), daemon.log_text()


@test
def who_runs_makes_room_for_who_was_never_opened(case):
    disks = {'runs': case.loop(256 * MIB), 'waits': case.loop(64 * MIB)}

    def entries(**every):
        return [device_entry(name, disks[name], 'read', every=e, rate_min='64K') for name, e in every.items()]
    daemon = case.daemon(entries(runs='10h'), limits={'concurrent_sweeps': 1})  # 7 KiB a second would do
    daemon.sweeping('runs')
    daemon.configure(entries(runs='10h', waits='60s'), limits={'concurrent_sweeps': 1})
    daemon.call('Reload')
    queued(daemon, 'waits')
    eventually('it goes faster', lambda: daemon.device('runs')['progress']['rate'] > MIB, 30)


@test
def who_was_never_swept_is_overdue_when_a_period_is_over(case):
    hog, waits = case.loop(64 * MIB), case.loop(4 * MIB)
    daemon = case.daemon([device_entry('hog', hog, 'read', every='never', rate_min='512K', rate_max='512K'),
                          device_entry('waits', waits, 'read', every='never')],
                         limits={'concurrent_sweeps': 1}, alerts={'repeat': '2s'})
    daemon.begin('hog')
    daemon.sweeping('hog')
    daemon.configure([device_entry('hog', hog, 'read', every='never', rate_min='512K', rate_max='512K'),
                      device_entry('waits', waits, 'read', every='8s')],
                     limits={'concurrent_sweeps': 1}, alerts={'repeat': '2s'})
    daemon.call('Reload')
    device = queued(daemon, 'waits')
    assert not device['overdue'] and device['next_due_at'] is None, device
    device = eventually('it is overdue', lambda: (lambda d: d if d['overdue'] else None)(daemon.device('waits')), 40)
    assert device['state'] == 'queued' and device['needs_attention'], device
    reason = eventually('status tells of both', lambda: (lambda r: r if 'was missed' in r['found'] else None)(
        daemon.device('waits')['reason']), 10)
    assert reason['rule'] == 'admission' and 'sweeps running: 1' in reason['found'], reason
    daemon.call('CancelSweep', device='hog')
    eventually('it was swept', lambda: [s for s in daemon.sweeps() if s['device'] == 'waits' and s['ended_at']], 20)
    eventually('it is over', lambda: not daemon.device('waits')['overdue'], 5)


@test
def write_limit_holds_the_next_sweep_back(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk, every='1s', write_limit=12)])
    eventually('it was swept', lambda: daemon.sweeps() and daemon.sweeps()[0]['ended_at'], 30)
    device = queued(daemon)
    assert device['reason']['rule'] == 'write_limit', device
    days = (device['next_start_at'] - daemon.sweeps()[0]['started_at']) / 86400e6
    assert 30 < days < 31, days
    time.sleep(1)
    assert len(daemon.sweeps()) == 1, daemon.sweeps()
    next_start_at = device['next_start_at']
    expect_clean(daemon.sweep('d0', mode='read'), 'readable')  # wrote nothing
    assert daemon.device('d0')['next_start_at'] == next_start_at, daemon.device('d0')
    daemon.stop()
    daemon.start()
    assert daemon.device('d0')['next_start_at'] == next_start_at, daemon.device('d0')


@test
def a_deadline_before_write_limit_lets_it_begin_is_told_at_once(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk, every='1d', write_limit=12)])
    eventually('it was swept', lambda: daemon.sweeps() and daemon.sweeps()[0]['ended_at'], 30)
    device = eventually('it is told', lambda: (lambda d: d if d['reason'] else None)(daemon.device('d0')), 20)
    assert device['reason']['rule'] == 'deadline' and not device['overdue'], device
    assert 'write_limit holds it back until' in device['reason']['found'], device
    assert 'write_limit of at least 365.0' in device['reason']['remedy'], device
    daemon.expect_told("can't be met: write_limit holds it back", times=1)


def simulate(case, config, *arguments, env=None):
    path = os.path.join(case.scratch, 'plan.conf')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(config)
    return run(program('SWEEPD', 'daemon/sweepd'), '--config', path, *arguments, check=False,
               env={**os.environ, **(env or {})})


@test
def a_plan_is_simulated_without_touching_anything(case):
    image = os.path.join(case.scratch, 'image')
    with open(image, 'wb') as file:
        file.truncate(1 << 40)
    config = ('devices = (\n'
              f'{{ name = "slow"; path = "{image}"; every = "14d"; windows = [ "Sat,Sun" ]; rate_max = "1M"; rate_min = "1M";'
              ' length = "512G"; },\n'
              f'{{ name = "fine"; path = "{image}"; offset = "1023G"; every = "7d"; windows = [ "Mon..Fri 22:00-06:00" ];'
              ' },\n'
              '{ name = "gone"; path = "/dev/nothing-here"; },\n'
              '{ name = "canary"; path = "/none/such"; create_size = "1G"; mode = "pattern"; destroys_data = "/none/such"; },\n'
              '{ match = [ "/dev/none-such-*" ]; } );\n')
    done = simulate(case, config, '--check-config', '--simulate=90d', '--now=2026-03-01T12:00', env={'TZ': 'Europe/Berlin'})
    assert done.returncode == 0, done
    fine, slow = done.stdout[done.stdout.index('\nfine'):], done.stdout[done.stdout.index('\nslow'):]
    assert 'Mon 2026-03-02 22:00' in fine and 'met' in fine and 'MISSED' not in fine, done.stdout
    assert "can't be met: rate_max is too low" in slow and 'rate_max = "' in slow, done.stdout
    assert 'gone: left out' in done.stdout, done.stdout
    assert 'canary: mode pattern, 1.0 GiB' in done.stdout, 'a file that is yet to be made has a size'
    assert 'fine, 4 devices, and those that 1 entry with match takes\n' in done.stdout, done.stdout
    limited = ('devices = ( { name = "c"; path = "/none/c"; create_size = "1G"; mode = "pattern"; destroys_data = "/none/c";'
               ' every = "1d"; write_limit = 12; } );\n')
    done = simulate(case, limited, '--simulate=90d', '--now=2026-03-02')
    assert "can't be met: write_limit holds it back until" in done.stdout, done.stdout
    assert 'full writes a year: 12.0' in done.stdout, done.stdout
    crowd = ('limits = { concurrent_sweeps = 1; }; defaults = { every = "2d"; rate_max = "2M"; rate_min = "1M"; };\n'
             'devices = (\n' +
             ',\n'.join(f'{{ name = "c{i}"; path = "{image}"; offset = "{200 * i}G"; length = "200G"; }}' for i in range(5)) +
             ' );\n')
    done = simulate(case, crowd, '--simulate=90d', '--now=2026-03-01')
    assert 'too few may run at a time' in done.stdout and ': MISSED' in done.stdout, done.stdout
    assert simulate(case, config, '--simulate=90d', '--now=2026-03-01').stdout != '', 'it checks by itself'
    for wrong in (['--simulate=soon'], ['--simulate=1s'], ['--now=2026-03-01'], ['--simulate=1d', '--now=noon'],
                  ['--simulate=1d', '--now=2026-02-30']):
        done = simulate(case, config, '--check-config', *wrong)
        assert done.returncode == 1 and 'write it like' in done.stderr + 'write it like' * ('belongs to' in done.stderr), done


@test
def what_was_only_read_is_as_due_as_it_was(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([device_entry('d0', disk, every='30d', windows=['03:00-03:01'])], env=zone_where_it_is(12, 0))

    def expect(state, verdict, assurance, due):
        for _ in range(2):
            device = daemon.settled('d0')
            got = device['state'], device['verdict'], device['assurance'], bool(device['next_due_at'])
            assert got == (state, verdict, assurance, due), device
            daemon.stop()
            daemon.start()
        return device['next_due_at']

    expect_clean(daemon.sweep('d0', mode='read'), 'readable')
    expect('queued', 'clean', 'readable', False)
    expect_clean(daemon.sweep('d0'))
    due = expect('idle', 'clean', 'verified', True)
    expect_clean(daemon.sweep('d0', mode='read'), 'readable')
    assert expect('idle', 'clean', 'readable', True) == due
    # Nor does what is cancelled of it skip the period.
    daemon.configure([device_entry('d0', disk, every='30d', windows=['03:00-03:01'], rate_max='1M', block_size='64K')])
    daemon.call('Reload')
    sweep_id = daemon.begin('d0', mode='read')
    daemon.sweeping('d0')
    daemon.call('CancelSweep', device='d0')
    assert daemon.end(sweep_id)['end'] == 'cancelled'
    assert expect('idle', 'incomplete', None, True) == due


if __name__ == '__main__':
    main()
