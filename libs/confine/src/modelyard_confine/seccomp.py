"""seccomp: a classic BPF program that refuses system calls in all threads of this process and in later ones."""

import ctypes
import platform
import struct
from typing import Final, NamedTuple

from modelyard_confine.kernel import libc, no_new_privileges

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_CLONE_THREAD: Final = 0x10000
_X32: Final = 0x40000000
_REFUSE: Final = 0x00050000 | 1  # EPERM
_ABSENT: Final = 0x00050000 | 38  # ENOSYS
_ALLOW: Final = 0x7FFF0000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_CLONE3: Final = 435


class _Numbers(NamedTuple):
    """System calls of a processor. audit: its own number, which the kernel reports with every call."""

    audit: int
    seccomp: int
    network: tuple[int, ...]
    """socket, connect."""
    program: tuple[int, ...]
    """execve, execveat."""
    system: tuple[int, ...]
    """ptrace, pivot_root, chroot, mount, umount2, add_key, request_key, keyctl, unshare, perf_event_open,
    name_to_handle_at, open_by_handle_at, setns, process_vm_readv, process_vm_writev, bpf, userfaultfd."""
    process: tuple[int, ...]
    """fork and vfork, where they exist, and setrlimit."""
    clone: int
    prlimit: int


_SYSTEM: Final = (425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 442)
"""The same on all processors: io_uring, the newer mount calls and pidfd_getfd."""
_PROCESSORS: Final = {
    "x86_64": _Numbers(
        audit=0xC000003E,
        seccomp=317,
        network=(41, 42),
        program=(59, 322),
        system=(101, 155, 161, 165, 166, 248, 249, 250, 272, 298, 303, 304, 308, 310, 311, 321, 323),
        process=(57, 58, 160),
        clone=56,
        prlimit=302,
    ),
    "aarch64": _Numbers(
        audit=0xC00000B7,
        seccomp=277,
        network=(198, 203),
        program=(221, 281),
        system=(117, 41, 51, 40, 39, 217, 218, 219, 97, 241, 264, 265, 268, 270, 271, 280, 282),
        process=(164,),
        clone=220,
        prlimit=261,
    ),
}


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def refuse_calls(*, network: bool = False, processes: bool = False) -> bool:
    """Install the filter; False on processors that are not listed here, and on kernels without seccomp.

    network: keep new sockets and connections. processes: keep forks and raised limits; running another program is
    refused in any case.
    """
    numbers = _PROCESSORS.get(platform.machine())
    if numbers is None:
        return False
    no_new_privileges()
    return _install(numbers, _program(numbers, network=network, processes=processes))


def _install(numbers: _Numbers, code: bytes) -> bool:
    buffer = ctypes.create_string_buffer(code, len(code))
    wanted = ctypes.byref(_Filter(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p)))
    if libc().syscall(numbers.seccomp, _SET_MODE_FILTER, _ALL_THREADS, wanted) == 0:
        return True
    return int(libc().prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, wanted, 0, 0)) == 0


def _program(numbers: _Numbers, *, network: bool, processes: bool) -> bytes:
    """Refuse other architectures and the listed calls, allow the rest."""
    refused = (*numbers.program, *numbers.system, *_SYSTEM)
    refused += () if network else numbers.network
    refused += () if processes else numbers.process
    lines = [
        (_LOAD, 0, 0, 4),
        *_refuse_unless(_EQUAL, numbers.audit),
        (_LOAD, 0, 0, 0),
        *_refuse_if(_AT_LEAST, _X32),
        *(line for number in refused for line in _refuse_if(_EQUAL, number)),
        *(() if processes else _only_threads(numbers)),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


Line = tuple[int, int, int, int]
"""Operation, lines to skip if it holds, lines to skip if not, operand."""


def _refuse_if(operation: int, operand: int) -> tuple[Line, ...]:
    return (operation, 0, 1, operand), (_RETURN, 0, 0, _REFUSE)


def _refuse_unless(operation: int, operand: int) -> tuple[Line, ...]:
    return (operation, 1, 0, operand), (_RETURN, 0, 0, _REFUSE)


def _only_threads(numbers: _Numbers) -> tuple[Line, ...]:
    """Allow `clone` for threads only and `prlimit64` for reading only.

    The flags of clone3 are in memory, which a filter cannot read: without it the C library uses `clone`.
    Arguments are 8 bytes each from offset 16 on, the low half first.
    """
    return (
        (_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _ABSENT),
        (_EQUAL, 0, 4, numbers.clone),
        (_LOAD, 0, 0, 16),
        (_ANY_BIT, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
        (_EQUAL, 0, 6, numbers.prlimit),
        (_LOAD, 0, 0, 32),
        *_refuse_unless(_EQUAL, 0),
        (_LOAD, 0, 0, 36),
        *_refuse_unless(_EQUAL, 0),
    )
