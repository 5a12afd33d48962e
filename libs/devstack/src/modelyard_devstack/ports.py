"""Loopback ports for servers that are told theirs, because they must come back on it after a death."""

import errno
import secrets
import socket
from typing import Final

PORTS: Final = range(15_000, 32_000)
"""Below those that the system gives to clients and for port 0 (from 32,768 on Linux): a client that knocks at the port
of a dead server could be given that very port, connect to itself, and keep the server from coming back."""
TRIES: Final = 1_000
_given: set[int] = set()


def port_is_free(port: int) -> bool:
    """Whether a server may listen on loopback here, now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that was free a moment ago, never the same twice in one process; OSError when none is found.

    Prefer port 0 where the server says what it got and need not come back on it.
    """
    for _ in range(TRIES):
        port = secrets.choice(PORTS)
        if port not in _given and port_is_free(port):
            _given.add(port)
            return port
    raise OSError(errno.EADDRINUSE, f"no free port from {PORTS.start} to {PORTS.stop - 1}")
