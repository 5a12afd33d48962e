"""Landlock: after `restrict_files`, this thread and those it starts later reach only the given files and folders."""

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from modelyard_confine.kernel import checked, libc, no_new_privileges

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on all architectures
_VERSION_FLAG: Final = 1
_PATH_BENEATH: Final = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
READ: Final = _READ_FILE | _READ_DIR
# Every right but: run a program, create devices, sockets and pipes.
WRITE: Final = READ | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 12 | 1 << 13 | 1 << 14
_OF_FILES: Final = _READ_FILE | 1 << 1 | 1 << 14
"""Rights that a rule for a single file may grant."""
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Number of file rights by version of Landlock; 16 since version 5."""
_NETWORK_RIGHTS: Final = 0b11
"""Listen on and connect to TCP ports, since version 4."""
_SCOPES: Final = 0b11
"""Abstract Unix sockets and signals, since version 6."""


def landlock_version() -> int:
    """Return Landlock's version, 0 where the kernel has none."""
    return max(int(libc().syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)), 0)


def restrict_files(version: int, *, writable: Iterable[Path], readable: Iterable[Path], network: bool = False) -> None:
    """Allow these files, and folders with all below them; paths must exist. network: keep TCP and Unix sockets."""
    handled = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    rules = _ruleset(version, handled, network)
    try:
        for paths, rights in ((writable, WRITE), (readable, READ)):
            for path in paths:
                _allow(rules, path, rights & handled & (~0 if path.is_dir() else _OF_FILES))
        no_new_privileges()
        checked(libc().syscall(_RESTRICT_SELF, rules, 0), "Landlock")
    finally:
        os.close(rules)


def _ruleset(version: int, handled: int, network: bool) -> int:
    ports = _NETWORK_RIGHTS if version >= 4 and not network else 0
    scopes = _SCOPES if version >= 6 else 0
    attributes = struct.pack("QQQ", handled, ports, scopes)[: 8 if version < 4 else 16 if version < 6 else 24]
    return checked(libc().syscall(_CREATE_RULESET, attributes, len(attributes), 0), "Landlock")


def _allow(rules: int, path: Path, rights: int) -> None:
    beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, beneath))
        checked(libc().syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0), str(path))
    finally:
        os.close(beneath)
