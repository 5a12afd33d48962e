"""Free ports for servers that take theirs as an option."""

import socket

import pytest

from modelyard_devstack import ports
from modelyard_devstack.ports import PORTS, free_port, port_is_free


def test_ports_are_free_and_never_the_same_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "PORTS", PORTS[:200])
    given = [free_port() for _ in range(20)]
    assert len(set(given)) == 20 and set(given) <= set(PORTS[:200])
    with socket.socket() as server:
        server.bind(("127.0.0.1", given[0]))
        server.listen()
        assert not port_is_free(given[0])
    assert port_is_free(given[0])


def test_a_port_that_is_taken_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        taken = server.getsockname()[1]
        monkeypatch.setattr(ports, "PORTS", range(taken, taken + 1))
        with pytest.raises(OSError, match=f"no free port from {taken} to {taken}"):
            free_port()
