#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Events: who follows them gets each of them once, in their order, over restarts and however slowly they are read."""

import sqlite3
import sys

from harness import MIB, Client, device_entry, eventually, expect_clean, main, test


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


@test
def who_goes_away_leaves_nothing_behind(case):
    daemon = case.daemon([device_entry('d0', case.loop(MIB))])
    for _ in range(40):
        Follower(daemon, after_event=0).close()
    eventually('room for another', lambda: Follower(daemon, after_event=0).next(), 10)
    expect_clean(daemon.sweep('d0'))


if __name__ == '__main__':
    sys.exit(main())
