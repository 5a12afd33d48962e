"""Landlock and seccomp through system calls: after `restrict`, this process reaches only the given folders.

Both belong to the kernel and need no privileges. They hold for the calling thread and for every thread and process it
creates later, for ever: call `restrict` before any other thread exists.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on all architectures
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_VERSION_FLAG: Final = 1
_PATH_BENEATH: Final = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
READ: Final = _READ_FILE | _READ_DIR
# Every right but: run a program, create devices, sockets and pipes.
WRITE: Final = READ | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 12 | 1 << 13 | 1 << 14
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Number of file rights by version of Landlock; 16 since version 5."""
_NETWORK_RIGHTS: Final = 0b11
"""Listen on and connect to TCP ports, since version 4."""
_SCOPES: Final = 0b11
"""Abstract Unix sockets and signals, since version 6."""


class NotRestricted(RuntimeError):
    """The kernel offers a wall but refused to build it. Not retryable."""


def restrict(*, writable: Iterable[Path], readable: Iterable[Path]) -> list[str]:
    """Restrict the process for ever; return the names of the walls now standing, empty where the system has none.

    Raises NotRestricted if the kernel has a wall and refuses to raise it.
    """
    if not sys.platform.startswith("linux"):
        return []
    walls = []
    if version := landlock_version():
        _restrict_files(version, writable=writable, readable=readable)
        walls.append(f"landlock {version}")
    if _refuse_calls():
        walls.append("seccomp")
    return walls


def landlock_version() -> int:
    """Return Landlock's version, 0 where the kernel has none."""
    return max(int(_libc().syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)), 0)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, step: str) -> int:
    if result < 0:
        raise NotRestricted(f"{step}: {os.strerror(ctypes.get_errno())}")
    return result


def _restrict_files(version: int, *, writable: Iterable[Path], readable: Iterable[Path]) -> None:
    handled = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    network = _NETWORK_RIGHTS if version >= 4 else 0
    scopes = _SCOPES if version >= 6 else 0
    attributes = struct.pack("QQQ", handled, network, scopes)[: 8 if version < 4 else 16 if version < 6 else 24]
    libc = _libc()
    rules = _checked(libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0), "Landlock")
    try:
        for folders, rights in ((writable, WRITE), (readable, READ)):
            for folder in folders:
                _allow(libc, rules, folder, rights & handled & (~0 if folder.is_dir() else ~_READ_DIR))
        _no_new_privileges(libc)
        _checked(libc.syscall(_RESTRICT_SELF, rules, 0), "Landlock")
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, folder: Path, rights: int) -> None:
    beneath = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    try:
        _checked(libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", rights, beneath), 0), str(folder))
    finally:
        os.close(beneath)


def _no_new_privileges(libc: ctypes.CDLL) -> None:
    _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")


_SAME_NUMBERS: Final = (425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 442)
"""io_uring, the newer mount calls and pidfd_getfd."""
_REFUSED_CALLS: Final = {
    "x86_64": (
        0xC000003E,
        (41, 42, 59, 101, 155, 161, 165, 166, 248, 249, 250, 272, 298, 303, 304, 308, 310, 311, 321, 322, 323),
    ),
    "aarch64": (
        0xC00000B7,
        (198, 203, 221, 117, 41, 51, 40, 39, 217, 218, 219, 97, 241, 264, 265, 268, 270, 271, 280, 281, 282),
    ),
}
"""By processor: its audit number and socket, connect, execve, ptrace, pivot_root, chroot, mount, umount2, add_key,
request_key, keyctl, unshare, perf_event_open, name_to_handle_at, open_by_handle_at, setns, process_vm_readv,
process_vm_writev, bpf, execveat, userfaultfd."""
_X32: Final = 0x40000000
_REFUSE: Final = 0x00050000 | 1  # EPERM
_ALLOW: Final = 0x7FFF0000


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def _refuse_calls() -> bool:
    """Return False on processors whose system calls are not listed here, and on kernels without seccomp."""
    known = _REFUSED_CALLS.get(platform.machine())
    if known is None:
        return False
    architecture, calls = known
    code = _program(architecture, calls + _SAME_NUMBERS)
    libc = _libc()
    _no_new_privileges(libc)
    buffer = ctypes.create_string_buffer(code, len(code))
    wanted = _Filter(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    return int(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(wanted), 0, 0)) == 0


def _program(architecture: int, calls: tuple[int, ...]) -> bytes:
    """A classic BPF program: refuse other architectures and the listed calls, allow the rest."""
    load, equal, at_least, result = 0x20, 0x15, 0x35, 0x06
    count = len(calls)
    lines = [
        (load, 0, 0, 4),
        (equal, 0, count + 3, architecture),
        (load, 0, 0, 0),
        (at_least, count + 1, 0, _X32),
        *((equal, count - at, 0, number) for at, number in enumerate(calls)),
        (result, 0, 0, _ALLOW),
        (result, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)
