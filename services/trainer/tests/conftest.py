"""A trainer for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .helpers.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "trainer")
    yield world
    world.close()
