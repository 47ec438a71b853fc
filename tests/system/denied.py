# SPDX-License-Identifier: Apache-2.0
"""A program to which the kernel refuses one system call: errors for which nothing else can be broken."""

import ctypes
import os
import struct

# linux/bpf_common.h, linux/seccomp.h, linux/prctl.h
LOAD_WORD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ERRNO, ALLOW = 0x00050000, 0x7fff0000
SET_NO_NEW_PRIVS, SET_SECCOMP, MODE_FILTER = 38, 22, 2

NUMBERS = {
    'x86_64': {'memfd_create': 319, 'recvfrom': 45, 'pidfd_open': 434},
    'aarch64': {'memfd_create': 279, 'recvfrom': 207, 'pidfd_open': 434},
}


class Filter(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('code', ctypes.c_void_p)]


def denial(call, error):
    """For preexec_fn: from there on the call fails with this errno. None where its number is not known."""
    number = NUMBERS.get(os.uname().machine, {}).get(call)
    if number is None:
        return None
    code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in (
        (LOAD_WORD, 0, 0, 0),  # the number of the call
        (JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, ERRNO | error), (RETURN, 0, 0, ALLOW))))
    program = Filter(len(code) // 8, ctypes.addressof(code))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    kept = code, program  # by the closure: the kernel is given addresses

    def deny():
        for arguments in (SET_NO_NEW_PRIVS, 1, 0, 0, 0), (SET_SECCOMP, MODE_FILTER, ctypes.addressof(kept[1]), 0, 0):
            if prctl(*arguments) != 0:
                raise OSError(ctypes.get_errno(), 'prctl')

    return deny
