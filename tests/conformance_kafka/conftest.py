"""One broker for all tests, chosen by `modelyard_devstack.providers.kafka` from the environment."""

from collections.abc import AsyncIterator

import pytest

from modelyard_devstack.providers.kafka import RunningKafka

from .kit import Kit, running

_USED: list[str] = []


@pytest.fixture(scope="session")
def kafka(devkafka: RunningKafka) -> RunningKafka:
    """A configured broker that does not work is an error, never replaced by another provider."""
    _USED.append(f"{devkafka.provider} at {devkafka.bootstrap}")
    return devkafka


@pytest.fixture
async def kit(kafka: RunningKafka) -> AsyncIterator[Kit]:
    async with running(Kit(kafka.bootstrap, kafka.provider)) as clients:
        yield clients


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for used in _USED:
        terminalreporter.write_line(f"Kafka conformance ran on: {used}")
