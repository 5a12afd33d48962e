"""A local stack of real processes, shared by all tests of a folder, and a stream whose concept inverts."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modelyard_cli.context import Platform
from modelyard_cli.demo.data import Stream
from modelyard_cli.stack.commands import start_stack, stop_stack


@pytest.fixture(scope="session")
def stack_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("stack")
    start_stack(folder, any_ports=True)
    yield folder
    stop_stack(folder)


@pytest.fixture
def platform(stack_dir: Path) -> Platform:
    return Platform.find(stack_dir)


def turning_stream(name: str, rows: int, turn_at: int, seed: int = 7) -> Stream:
    """Two numbers and a category determine the label; from row `turn_at` on, the label is inverted."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(rows, 3))
    words = random.choice(np.array(["red", "green", "blue"], dtype=object), size=(rows, 1))
    lean = numbers[:, 0] + 0.7 * numbers[:, 1] + np.where(words[:, 0] == "red", 0.8, 0.0)
    sign = np.where(np.arange(rows) < turn_at, 1.0, -1.0)
    up = sign * lean + random.normal(scale=0.5, size=rows) > 0.2
    return Stream(
        name=name,
        target="label",
        numeric=("a", "b", "noise"),
        categorical=("colour",),
        numbers=numbers,
        words=words,
        labels=np.where(up, "up", "down").astype(object),
        classes=("down", "up"),
    )
