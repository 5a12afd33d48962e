"""A test that did not ask for a server must not touch one: connections fail, and the test with them."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any


class NetworkTouched(AssertionError):
    """The test has neither the `server` mark nor the `loopback` fixture."""


@contextlib.contextmanager
def network_blocked() -> Iterator[list[str]]:
    """Within the block only sockets of this very process can be reached; yields the attempts that were refused.

    What this process itself binds may be connected to: a stub server in the test is no outside server.
    """
    refused: list[str] = []
    own_ports: set[int] = set()
    real = {name: getattr(socket.socket, name) for name in ("bind", "connect", "connect_ex")}

    def bind(sock: socket.socket, address: Any) -> None:
        real["bind"](sock, address)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            own_ports.add(sock.getsockname()[1])

    def guard(name: str) -> Any:
        def connect(sock: socket.socket, address: Any) -> Any:
            local = sock.family not in (socket.AF_INET, socket.AF_INET6)
            if not local and not (address[0] in ("127.0.0.1", "::1", "localhost") and address[1] in own_ports):
                refused.append(f"{address[0]}:{address[1]}")
                raise NetworkTouched(
                    f"this test connects to {address[0]}:{address[1]}; mark it `server` (needs a real server) "
                    "or ask for the `loopback` fixture (starts its own subprocess)"
                )
            return real[name](sock, address)

        return connect

    socket.socket.bind = bind  # type: ignore[method-assign,assignment]
    socket.socket.connect = guard("connect")  # type: ignore[method-assign]
    socket.socket.connect_ex = guard("connect_ex")  # type: ignore[method-assign]
    try:
        yield refused
    finally:
        for name, method in real.items():
            setattr(socket.socket, name, method)
