"""System calls that have no function in Python."""

import ctypes
import os
from typing import Final

_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION: Final = 0x20080522


class NotRestricted(RuntimeError):
    """The kernel offers a restriction but refused to apply it. Not retryable."""


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def checked(result: int, step: str) -> int:
    """Return the result; NotRestricted names the step if it is negative."""
    if result < 0:
        raise NotRestricted(f"{step}: {os.strerror(ctypes.get_errno())}")
    return result


def no_new_privileges() -> None:
    """Setuid programs give no privileges any more; Landlock and seccomp need it."""
    checked(libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")


def drop_capabilities() -> None:
    """Give up the privileges of `root` in this thread, such as reading every file and raising limits."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    none = (ctypes.c_uint32 * 6)()
    checked(libc().capset(header, none), "capabilities")
