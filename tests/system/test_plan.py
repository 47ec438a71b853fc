#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
The plan, kept by the real daemon: windows, rates, deadlines and what is told of them. Windows have minutes, so zones are
made for the purpose: by TZ, a daemon's clock on the wall shows what a test needs.
"""

import os
import time

from harness import MIB, Skip, device_entry, eventually, expect_clean, main, program, run, test


def zone(seconds_ahead):
    """A TZ in which clocks show UTC and so many seconds."""
    sign = '-' if seconds_ahead >= 0 else '+'
    hours, rest = divmod(abs(seconds_ahead), 3600)
    return {'TZ': f'TST{sign}{hours:02}:{rest // 60:02}:{rest % 60:02}'}


def zone_where_it_is(hour, minute, second=0):
    """A TZ in which it is now that time of day."""
    now = int(time.time()) % 86400
    ahead = (hour * 3600 + minute * 60 + second - now) % 86400
    return zone(ahead if ahead <= 43200 else ahead - 86400)


def due(name, disk, **keys):
    return device_entry(name, disk, 'read', every='30d', **keys)


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
    time.sleep(2)
    assert daemon.sweeps() == [] and daemon.device('d0')['state'] == 'queued'
    expect_clean(daemon.sweep('d0'), 'readable')  # by hand, windows count for nothing


@test
def a_window_that_opens_starts_what_is_due(case):
    disk = case.loop(4 * MIB)
    daemon = case.daemon([due('d0', disk, windows=['03:00-04:00'])], env=zone_where_it_is(2, 59, 54))
    opens_at = daemon.device('d0')['next_start_at']
    already = daemon.sweeps()
    if already:
        raise Skip('this machine took so long that the window is open')
    eventually('it was swept', lambda: daemon.sweeps() and daemon.sweeps()[0]['ended_at'], 60)
    assert daemon.sweeps()[0]['started_at'] >= opens_at, (daemon.sweeps(), opens_at)
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
    eventually('the window is closed', lambda: daemon.device('d0')['state'] == 'waiting', 60)
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
    assert daemon.log_text().count("can't be met") == 1, daemon.log_text()
    daemon.configure([device_entry('d0', disk, 'read', **{**keys, 'every': '30d'})])
    daemon.call('Reload')
    daemon.call('CancelSweep', device='d0')
    eventually('it is over', lambda: daemon.device('d0')['reason'] is None, 20)
    eventually('that is told', lambda: 'deadline can be met again' in daemon.log_text(), 20)


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
              '{ name = "gone"; path = "/dev/nothing-here"; } );\n')
    done = simulate(case, config, '--check-config', '--simulate=90d', '--now=2026-03-01T12:00', env={'TZ': 'Europe/Berlin'})
    assert done.returncode == 0, done
    fine, slow = done.stdout[done.stdout.index('\nfine'):], done.stdout[done.stdout.index('\nslow'):]
    assert 'Mon 2026-03-02 22:00' in fine and 'met' in fine and 'MISSED' not in fine, done.stdout
    assert "can't be met: rate_max is too low" in slow and 'rate_max = "' in slow, done.stdout
    assert 'gone: left out' in done.stdout, done.stdout
    assert simulate(case, config, '--simulate=90d', '--now=2026-03-01').stdout != '', 'it checks by itself'
    for wrong in (['--simulate=soon'], ['--simulate=1s'], ['--now=2026-03-01'], ['--simulate=1d', '--now=noon']):
        done = simulate(case, config, '--check-config', *wrong)
        assert done.returncode == 1 and 'write it like' in done.stderr + 'write it like' * ('belongs to' in done.stderr), done


if __name__ == '__main__':
    main()
