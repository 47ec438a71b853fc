#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `sweepd --list-disks` says of disks in every kind of use, and that it leaves them as they are."""

import os
import re

from harness import (eventually, expect_clean, main, need, program, run, sha256, test)

MODES = ('read', 'refresh', 'preserve', 'pattern')


def listed(case, *devices, check=True):
    config, state = os.path.join(case.directory('c'), 'sweepd.conf'), os.path.join(case.directory('s'), 'not', 'yet')
    with open(config, 'w', encoding='utf-8') as file:
        file.write(f'state_dir = "{state}";\n')
    done = run(program('SWEEPD', 'daemon/sweepd'), '--list-disks', '--config', config, *[d.path for d in devices],
               check=check)
    assert not os.path.exists(os.path.dirname(state))
    return done.stdout if check else done


def verdicts(text):
    """'possible', or the rule, by mode."""
    found = {}
    for line in text.splitlines():
        told = re.fullmatch(r'  ((?:\w+, )*\w+): (possible|not possible \((\w+)\): .+)', line)
        if told and told[1].split(', ')[0] in MODES:
            found.update({mode: told[3] or told[2] for mode in told[1].split(', ')})
    assert set(found) == set(MODES), text
    return found


@test
def an_empty_disk_may_be_swept_in_all_modes_and_its_entry_works_as_it_is_printed(case):
    disk = case.loop()
    before = sha256(disk.backing)
    text = listed(case, disk)
    assert verdicts(text) == dict.fromkeys(MODES, 'possible'), text
    assert '16.0 MiB' in text and disk.backing in text and 'used by: nobody' in text, text
    assert f'destroys_data = "{disk.backing}";' in text, text
    assert sha256(disk.backing) == before
    entry = re.search(r'entry: (\{.*\})', text)[1]
    daemon = case.daemon_not_started([])
    with open(daemon.config, 'w', encoding='utf-8') as file:
        file.write(f'state_dir = "{daemon.state}"; control_socket = "{daemon.control}"; devices = ( {entry} );')
    daemon.start()
    eventually('it is swept by itself', lambda: daemon.sweeps('loop-image') and daemon.finished(1))
    expect_clean(daemon.finished(1), 'readable')


@test
def a_mounted_disk_is_said_to_be_in_use_and_by_whom(case):
    need('mkfs.ext4')
    disk = case.loop()
    run('mkfs.ext4', '-q', '-E', 'nodiscard', disk.path)
    point = case.directory('mnt')
    text = listed(case, disk)
    assert verdicts(text) == {'read': 'possible', 'refresh': 'possible', 'preserve': 'possible',
                              'pattern': 'signature'}, text
    assert 'ext4' in text and 'destroys_data' not in text, text
    run('mount', disk.path, point)
    case.undo(run, 'umount', point)
    text = listed(case, disk)
    assert verdicts(text) == {'read': 'possible', 'refresh': 'in_use', 'preserve': 'in_use', 'pattern': 'in_use'}, text
    assert f'used by: mounted at {point}' in text, text


@test
def what_the_interlock_forbids_is_said_with_its_rule(case):
    sparse = case.loop(sparse=True)
    read_only = case.loop(readonly=True)
    small = case.loop(2048)
    for disk, rule in (sparse, 'loop_sparse'), (read_only, 'read_only'), (small, 'too_small'):
        text = listed(case, disk)
        assert verdicts(text) == {'read': 'possible', **dict.fromkeys(MODES[1:], rule)}, text


@test
def a_name_that_is_none_is_told(case):
    disk = case.loop()
    disk_path, disk.path = disk.path, '/dev/nonexistent'
    try:
        done = listed(case, disk, check=False)
    finally:
        disk.path = disk_path
    assert done.returncode == 1 and 'no whole disk called /dev/nonexistent' in done.stderr, done


main()
