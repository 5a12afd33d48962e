"""Loopback ports for servers that must restart on the same port."""

import errno
import secrets
import socket
from typing import Final

PORTS: Final = range(15_000, 32_000)
"""Below the range of clients and of port 0 (from 32,768 on Linux): a client that connects to the port of a dead server
could get that port, connect to itself, and keep the server from restarting."""
TRIES: Final = 1_000
_given: set[int] = set()


def port_is_free(port: int) -> bool:
    """Whether a server can listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that was free a moment ago, never the same twice in one process; OSError when none is found.

    Prefer port 0 if the server reports its port and need not restart on it.
    """
    for _ in range(TRIES):
        port = secrets.choice(PORTS)
        if port not in _given and port_is_free(port):
            _given.add(port)
            return port
    raise OSError(errno.EADDRINUSE, f"no free port from {PORTS.start} to {PORTS.stop - 1}")
