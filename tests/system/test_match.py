#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Disks that no entry names: each is taken once, whatever it is called; it is followed as it comes, goes and comes back
elsewhere; and one that is gone is not forgotten.
"""

import os

from harness import LoopDevice, VarlinkError, device_entry, eventually, expect_clean, main, test
from matched import SIZE, Slots, becomes, entry, image, is_stored, states


@test
def a_disk_with_many_names_is_one_device(case):
    slots = Slots(case)
    disk = slots.attach(3, image(case, 'Eins.img'))
    daemon = case.daemon([entry(slots, match=[disk.path, slots.pattern]), entry(slots)])
    becomes(daemon, {'loop-eins.img': (disk.path, 'idle')})
    device = daemon.device('loop-eins.img')
    assert device['identity']['backing_file'] == disk.backing, device
    assert (device['mode'], device['size']) == ('read', SIZE), device
    expect_clean(daemon.sweep('loop-eins.img'), 'readable')


@test
def what_is_excluded_or_has_an_entry_of_its_own_is_not_taken(case):
    slots = Slots(case)
    taken, excluded, own = (slots.attach(i, image(case, f'disk{i}')) for i in range(3))
    daemon = case.daemon([entry(slots, exclude=['*/' + os.path.basename(excluded.path)]),
                          device_entry('mine', own.path, 'read')])
    becomes(daemon, {'mine': (own.path, 'idle'), 'loop-disk0': (taken.path, 'idle')})


@test
def no_pattern_takes_a_loop_device_unless_it_is_for_loop_devices(case):
    slots = Slots(case)
    slots.attach(0, image(case, 'disk'))
    daemon = case.daemon([entry(slots, match=[f'/dev/?oop{slots.base}'])])
    assert states(daemon) == {}, states(daemon)


@test
def a_disk_that_comes_is_taken_and_one_that_goes_is_missing_until_it_is_back(case):
    slots = Slots(case)
    first = image(case, 'first')
    daemon = case.daemon([entry(slots)])
    assert states(daemon) == {}
    disk = slots.attach(0, first)
    becomes(daemon, {'loop-first': (slots.path(0), 'idle')})
    disk.close()
    becomes(daemon, {'loop-first': (slots.path(0), 'missing')})
    assert daemon.device('loop-first')['needs_attention']
    try:
        daemon.begin('loop-first')
        raise AssertionError('a sweep of a missing disk began')
    except VarlinkError as error:
        assert error.parameters['reason']['rule'] == 'missing', error
    slots.attach(0, first)
    becomes(daemon, {'loop-first': (slots.path(0), 'idle')})
    expect_clean(daemon.sweep('loop-first'), 'readable')


@test
def a_disk_that_comes_back_under_another_name_is_the_same(case):
    slots = Slots(case)
    backing = image(case, 'disk')
    disk = slots.attach(0, backing)
    daemon = case.daemon([entry(slots)])
    before = daemon.sweep('loop-disk')
    disk.close()
    becomes(daemon, {'loop-disk': (slots.path(0), 'missing')})
    slots.attach(7, backing)
    becomes(daemon, {'loop-disk': (slots.path(7), 'idle')})
    assert daemon.device('loop-disk')['last_sweep_ended_at'] == before['ended_at']
    expect_clean(daemon.sweep('loop-disk'), 'readable')


@test
def another_disk_at_the_same_path_is_not_taken_for_the_old_one(case):
    slots = Slots(case)
    old, new = image(case, 'old'), image(case, 'new')
    disk = slots.attach(0, old)
    daemon = case.daemon([entry(slots)])
    daemon.sweep('loop-old')
    disk.close()
    slots.attach(0, new)
    # Also before the daemon has noticed: whoever sweeps looks at what was opened.
    try:
        daemon.begin('loop-old')
        raise AssertionError('the new disk was swept as the old one')
    except VarlinkError as error:
        assert error.parameters['reason']['rule'] == 'missing', error
    becomes(daemon, {'loop-old': (slots.path(0), 'missing'), 'loop-new': (slots.path(0), 'idle')})
    assert daemon.device('loop-new')['last_sweep_ended_at'] is None
    expect_clean(daemon.sweep('loop-new'), 'readable')


@test
def a_disk_that_is_gone_after_a_restart_is_missing_until_it_is_retired(case):
    slots = Slots(case)
    disk, other = slots.attach(0, image(case, 'gone')), slots.attach(1, image(case, 'here'))
    daemon = case.daemon([entry(slots)])
    expect_clean(daemon.sweep('loop-gone'), 'readable')
    is_stored(daemon, 'loop-gone')
    daemon.kill9()
    disk.close()
    daemon.start()
    here = {'loop-here': (other.path, 'idle')}
    becomes(daemon, {'loop-gone': (slots.path(0), 'missing'), **here})
    assert daemon.device('loop-gone')['last_sweep_ended_at'] is not None
    daemon.call('Retire', device='loop-gone')
    becomes(daemon, here)
    is_stored(daemon, 'loop-gone', False)
    daemon.stop()
    daemon.start()
    becomes(daemon, here)


@test
def findings_of_a_disk_that_comes_late_are_kept(case):
    slots = Slots(case)
    disk = case.faultdisk(SIZE)
    backing = os.path.join(disk.mount, 'disk')
    LoopDevice.close(disk)  # the only one over the file is that in its slot
    taken = slots.attach(0, backing)
    disk.command('error read at=1M length=4K')
    daemon = case.daemon([entry(slots)])
    name = daemon.devices()[0]['name']
    assert daemon.sweep(name)['findings'] == 1
    finding = daemon.findings(name)[0]['id']
    is_stored(daemon, name)
    daemon.stop()
    taken.close()
    daemon.start()
    assert [f['id'] for f in daemon.findings(name)] == [finding]
    slots.attach(4, backing)
    becomes(daemon, {name: (slots.path(4), 'idle')})
    disk.command('clear')
    expect_clean(daemon.sweep(name), 'readable')
    assert [f['state'] for f in daemon.findings(name, every=True)] == ['resolved']


@test
def a_disk_that_was_known_is_not_swept_before_its_time_when_it_comes(case):
    slots = Slots(case)
    backing = image(case, 'disk')
    disk = slots.attach(0, backing)
    daemon = case.daemon([entry(slots, every='30d')])
    eventually('it was swept', lambda: daemon.device('loop-disk')['last_sweep_ended_at'])
    is_stored(daemon, 'loop-disk')
    daemon.stop()
    os.unlink(os.path.join(daemon.state, 'matched'))
    disk.close()
    daemon.start()
    assert states(daemon) == {}
    slots.attach(0, backing)
    becomes(daemon, {'loop-disk': (slots.path(0), 'idle')})
    assert len(daemon.sweeps('loop-disk')) == 1, daemon.sweeps('loop-disk')


@test
def a_reload_takes_and_lets_go(case):
    slots = Slots(case)
    disk, other = slots.attach(0, image(case, 'a')), slots.attach(1, image(case, 'b'))
    daemon = case.daemon([])
    daemon.configure([entry(slots, block_size='64K')])
    daemon.call('Reload')
    both = {'loop-a': (disk.path, 'idle'), 'loop-b': (other.path, 'idle')}
    becomes(daemon, both)
    daemon.configure([device_entry('own', disk.path, 'read'), entry(slots)])
    daemon.call('Reload')
    becomes(daemon, {'own': (disk.path, 'idle'), 'loop-b': (other.path, 'idle')})
    daemon.configure([device_entry('own', disk.path, 'read')])
    daemon.call('Reload')
    becomes(daemon, {'own': (disk.path, 'idle')})


@test
def two_disks_of_one_name_are_not_mixed_up(case):
    slots = Slots(case)
    first, second = slots.attach(0, image(case, 'same')), slots.attach(1, image(case, 'same'))
    daemon = case.daemon([entry(slots)])
    becomes(daemon, {'loop-same': (first.path, 'idle')})
    daemon.expect_told(f'{second.path} is not swept: its name would be loop-same')


@test
def no_mode_that_writes_is_possible_on_a_matched_disk(case):
    slots = Slots(case)
    disk = slots.attach(0, image(case, 'disk'))
    disk.write(0, case.rng.randbytes(SIZE))
    before = disk.read(0, SIZE)
    daemon = case.daemon([entry(slots)])
    for mode in 'refresh', 'preserve', 'pattern':
        try:
            daemon.begin('loop-disk', mode=mode)
            raise AssertionError(f'{mode} began')
        except VarlinkError as error:
            assert error.parameters['reason']['rule'] == 'matched', error
        eventually('it is at rest', lambda: daemon.device('loop-disk')['state'] == 'idle')
    assert disk.read(0, SIZE) == before


main()
