# SPDX-License-Identifier: Apache-2.0
"""A Varlink server with canned answers, in place of sweepd, so that sweepctl meets every answer there can be."""

import copy
import json
import os
import socket
import tempfile
import threading
import time

NOW = int(time.time() * 1_000_000)
HOUR = 3_600_000_000
DAY = 24 * HOUR

DAEMON = {
    'version': '0.1.0', 'pid': 4711, 'started_at': NOW - 75 * HOUR, 'self_test_at': NOW - 75 * HOUR, 'ledger': 'good',
    'ledger_text': None, 'devices': 3, 'devices_needing_attention': 1, 'unowned_journals': [],
    'last_event': 17,
    'workers': [{'index': i, 'cpus': str(i), 'in_service': True, 'blocks_verified': 10, 'bytes_verified': 1 << 20,
                 'busy_us': 5} for i in range(2)],
}

IDENTITY = {
    'kind': 'disk', 'model': 'ST16000NM001G', 'serial': 'ZA1234', 'wwn': '0x5000c500a1b2c3d4', 'firmware': 'SN03',
    'partuuid': None, 'backing_file': None, 'slot': None, 'users': ['mounted at /srv', 'md0'],
}

PROGRESS = {
    'sweep_id': 12, 'phase': 'verify', 'generation': 3, 'started_at': NOW - HOUR, 'bytes_total': 1000, 'bytes_done': 999,
    'bytes_read': 500, 'bytes_written': 500, 'bytes_verified': 499, 'rate': 180 << 20, 'rate_target': None,
    'rate_rule': 'device', 'eta_at': NOW + HOUR,
}

REASON = {'rule': 'mounted', 'found': '/dev/sdb1 is mounted at /srv/data', 'remedy': 'umount /srv/data, then: sweepctl '
          'start spare-7'}


def device(name, **changes):
    record = {
        'name': name, 'path': f'/dev/disk/by-id/{name}', 'mode': 'pattern', 'identity': IDENTITY, 'size': 16 << 40,
        'extent_offset': 0, 'extent_length': 16 << 40, 'state': 'idle', 'reason': None, 'verdict': 'clean',
        'assurance': 'verified', 'needs_attention': False, 'overdue': False, 'progress': None,
        'last_sweep_ended_at': NOW - DAY, 'next_due_at': NOW + DAY, 'next_start_at': NOW + DAY,
        'every_us': 30 * DAY, 'window_opens_at': None, 'window_closes_at': None,
        'oldest_checked_at': NOW - DAY, 'oldest_verified_at': NOW - DAY, 'coverage': 0.999, 'write_cache': True,
        'cache_defeated': True, 'bytes_written_total': 32 << 40, 'findings_open': 0, 'findings_acknowledged': 0,
        'findings_resolved': 0,
    }
    record.update(changes)
    return record


def finding(number, **changes):
    record = {
        'id': number, 'device': 'spare-7', 'sweep_id': 12, 'offset': 1610612736, 'length': 4096, 'fault': 'bit_flip',
        'persistence': 'persistent', 'state': 'open', 'text': '3 bits differ in 1 unit',
        'detail': {'bits': '3', 'first': '0x60000011'}, 'count': 2, 'first_seen_at': NOW - 2 * DAY,
        'last_seen_at': NOW - DAY, 'acknowledged_at': None, 'comment': None,
    }
    record.update(changes)
    return record


def sweep(number, **changes):
    record = {
        'id': number, 'device': 'spare-7', 'mode': 'pattern', 'patterns': [], 'generation': 3, 'started_at': NOW - 2 * HOUR,
        'ended_at': NOW - HOUR, 'running_us': HOUR, 'verdict': 'clean', 'assurance': 'verified', 'end': 'finished',
        'reason': None, 'bytes_total': 2 << 40, 'bytes_read': 1 << 40, 'bytes_written': 1 << 40,
        'bytes_verified': 1 << 40, 'bytes_skipped': 0, 'findings': 0, 'stamps_seen': 0,
        'latency': None,
    }
    record.update(changes)
    return record


class Error:
    """An answer that is an error."""

    def __init__(self, name, **parameters):
        self.name = name if '.' in name else f'io.sweepd.{name}'
        self.parameters = parameters


class Raw:
    """An answer that is just these bytes (or the bytes of a generator); the connection is closed after it."""

    def __init__(self, data):
        self.chunks = [data] if isinstance(data, bytes) else data


class FakeDaemon:
    """
    Serves until it is closed. `answers`: for each method what to answer: the parameters of one reply, a list of those
    of several, Error, Raw, or a function of (parameters, how often the method was called before) giving one of these.
    """

    def __init__(self, **answers):
        self.answers = {'GetDaemon': {'daemon': DAEMON}, **answers}
        self.calls = []
        self.directory = tempfile.TemporaryDirectory(prefix='sweepctl-')
        self.path = os.path.join(self.directory.name, 'control')
        self.peers = []
        self.start()

    def start(self):
        """Again after stop(), when the socket's file was removed."""
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.directory.cleanup()

    def stop(self):
        """Answers no more, but leaves the socket's file. Only a descriptor that no thread uses may be closed."""
        for peer in self.peers:
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it went away by itself
        if self.thread.is_alive():
            self.listener.shutdown(socket.SHUT_RDWR)
            self.thread.join()
        self.listener.close()

    def called(self, method):
        return [parameters for name, parameters, _ in self.calls if name == method]

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        buffer = b''
        with peer:
            while True:
                try:
                    data = peer.recv(65536)
                    if not data:
                        return
                    buffer += data
                    while b'\0' in buffer:
                        message, buffer = buffer.split(b'\0', 1)
                        if not self._answer(peer, json.loads(message)):
                            return
                except OSError:
                    return

    def _answer(self, peer, message):
        method = message['method'].removeprefix('io.sweepd.')
        parameters, more = message.get('parameters', {}), message.get('more', False)
        before = len(self.called(method))
        self.calls.append((method, parameters, more))
        answer = self.answers.get(method, Error('org.varlink.service.MethodNotImplemented', method=method))
        if callable(answer):
            answer = answer(parameters, before)
        if isinstance(answer, Raw):
            for chunk in answer.chunks:
                peer.sendall(chunk)
            return False
        if isinstance(answer, Error):
            self._send(peer, {'error': answer.name, 'parameters': answer.parameters})
        elif isinstance(answer, list):
            for i, one in enumerate(answer):
                last = i == len(answer) - 1
                assert last or more, 'several replies were not asked for'
                self._send(peer, {'parameters': one, **({} if last else {'continues': True})})
        else:
            self._send(peer, {'parameters': answer})
        return True

    @staticmethod
    def _send(peer, reply):
        peer.sendall(json.dumps(reply).encode() + b'\0')


def each(field, records):
    """The replies of a List method; an empty list is one reply without the field."""
    return [{field: copy.deepcopy(record)} for record in records] or [{}]
