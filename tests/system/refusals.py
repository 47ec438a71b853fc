# SPDX-License-Identifier: Apache-2.0
"""What tests of refusals share: a refused sweep says why, and leaves every byte as it was."""

from harness import VarlinkError, eventually, sha256


def start_refused(daemon, name, **parameters):
    """Starts a sweep that must be refused; returns the reason."""
    try:
        sweep = daemon.sweep(name, **parameters)
    except VarlinkError as error:
        assert error.name == 'io.sweepd.Refused', error
        assert error.parameters['device'] == name, error
        return error.parameters['reason']
    assert sweep['end'] == 'failed' and sweep['verdict'] != 'clean' and sweep['reason'], f'not refused: {sweep}'
    assert sweep['bytes_written'] == 0, sweep
    return sweep['reason']


def expect_refused(daemon, name, *rules, backing=None, state='refused', **parameters):
    """One of the rules is named, with words for people; the device shows it; the backing file is not changed."""
    before = sha256(backing) if backing else None
    reason = start_refused(daemon, name, **parameters)
    assert reason['rule'] in rules, f'refused by {reason}, not by {rules}'
    assert reason['found'] and reason['remedy'], reason
    if backing:
        assert sha256(backing) == before, 'a refused sweep has changed the data'
    if not parameters:
        device = eventually(f'{name} is {state}', lambda: shows(daemon, name, state), 5)
        assert device['reason']['rule'] in rules and device['needs_attention'], device
    return reason


def shows(daemon, name, state):
    device = daemon.device(name)
    return device if device['state'] == state else None
