#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the daemon needs does not depend on the size of what it sweeps, nor on how far it has got."""

from harness import (GIB, MIB, TIB, device_entry, expect_clean, main, test)

# Half a bit for each MiB of the larger device would be more than this; what the machine and sanitizers add is less.
SLACK = 3 * MIB


def memory(daemon):
    """The most that it ever had in memory."""
    with open(f'/proc/{daemon.pid}/status', encoding='ascii') as file:
        fields = dict(line.split(':', 1) for line in file)
    return int(fields['VmHWM'].split()[0]) * 1024


@test
def memory_does_not_grow_with_the_device_nor_with_the_way_through_it(case):
    small, large = case.loop(GIB, sparse=True), case.loop(64 * TIB, sparse=True)
    # A daemon each, as the memory of a sweep before would hide what the next one takes.
    other = case.daemon([device_entry('small', small, 'read')])
    expect_clean(other.sweep('small'), 'readable')
    daemon = case.daemon([device_entry('large', large, 'read')])
    sweep_id = daemon.begin('large')
    for progress in GIB, 4 * GIB:
        daemon.sweeping('large', progress, 90)
        assert daemon.device('large')['size'] == 64 * TIB
        got, expected = memory(daemon), memory(other)
        assert got - expected < SLACK, f'after {progress} bytes: {got}, and {expected} for the small device'
    daemon.call('CancelSweep', device='large')
    assert daemon.end(sweep_id)['verdict'] == 'incomplete'


main()
