from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard_devkafka import DevKafka
from modelyard_devkafka.testing import RawClient


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[DevKafka]:
    with DevKafka(tmp_path / "data", housekeeping_seconds=3600) as broker:
        yield broker


@pytest.fixture
def client(kafka: DevKafka) -> Iterator[RawClient]:
    with RawClient(kafka.bootstrap) as raw:
        yield raw
