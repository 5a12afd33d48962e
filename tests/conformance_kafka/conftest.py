"""The broker: what `modelyard_runtime.providers.kafka` chooses from the environment, one for all tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from modelyard_runtime.providers.kafka import RunningKafka, start_kafka

from .kit import Kit, running

_USED: list[str] = []


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKafka]:
    """Configured but broken is an error here too, never another provider."""
    with start_kafka(tmp_path_factory.mktemp("kafka")) as running_kafka:
        _USED.append(f"{running_kafka.provider} at {running_kafka.bootstrap}")
        yield running_kafka


@pytest.fixture
async def kit(kafka: RunningKafka) -> AsyncIterator[Kit]:
    async with running(Kit(kafka.bootstrap, kafka.provider)) as clients:
        yield clients


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for used in _USED:
        terminalreporter.write_line(f"Kafka conformance ran on: {used}")
