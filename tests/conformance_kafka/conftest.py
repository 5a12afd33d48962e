"""The broker: what `modelyard_runtime.providers.kafka` chooses from the environment, one for all tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from modelyard_devkafka.testing import RawClient
from modelyard_devkafka.wire.group_apis import FIND_COORDINATOR
from modelyard_runtime.providers.kafka import RunningKafka, start_kafka
from modelyard_runtime.testing.processes import wait_until

from .kit import Kit, running

_USED: list[str] = []


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKafka]:
    """Configured but broken is an error here too, never another provider."""
    with start_kafka(tmp_path_factory.mktemp("kafka")) as running_kafka:
        _USED.append(f"{running_kafka.provider} at {running_kafka.bootstrap}")
        wait_until(lambda: _coordinates(running_kafka.bootstrap), 60, what="the group coordinator of a new broker")
        yield running_kafka


def _coordinates(bootstrap: str) -> bool:
    """A new Kafka makes its internal topics when they are first asked for, and says so until they are there."""
    with RawClient(bootstrap) as raw:
        return bool(raw.ask(FIND_COORDINATOR, 1, key="any", key_type=0)["error_code"] == 0)


@pytest.fixture
async def kit(kafka: RunningKafka) -> AsyncIterator[Kit]:
    async with running(Kit(kafka.bootstrap, kafka.provider)) as clients:
        yield clients


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for used in _USED:
        terminalreporter.write_line(f"Kafka conformance ran on: {used}")
