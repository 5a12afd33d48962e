"""The streams by name, in the order of the list."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np

from modelyard_cli.backtest.streams import generated, real
from modelyard_cli.demo.data import MIN_ROWS, Stream
from modelyard_cli.stack.layout import StackError
from modelyard_contracts.signature import Task

Make = Callable[[int, int, Path], Stream]
"""(rows, seed, cache folder) -> a stream, which may be longer. A real stream ignores the seed."""


@dataclass(frozen=True)
class KnownStream:
    """A stream of the catalogue. rows: of the whole stream; of a generated one, unless another number is wanted."""

    name: str
    kind: Literal["real", "generated", "control"]
    about: str
    task: Task
    rows: int
    make: Make
    delay_rows: int = 100
    """Delay of the labels, unless another one is given."""

    def stream(self, rows: int | None, seed: int, cache: Path) -> Stream:
        """The stream, or its first `rows` rows. Equal arguments give equal streams. StackError if rows do not fit."""
        wanted = rows or self.rows
        if wanted < MIN_ROWS or (self.kind == "real" and wanted > self.rows):
            most = f" to {self.rows:,}" if self.kind == "real" else ""
            raise StackError(f"--rows {wanted}: {self.name} needs at least {MIN_ROWS:,}{most} rows")
        return replace(_first(self.make(wanted, seed, cache), wanted), name=self.name)


def known_stream(name: str) -> KnownStream:
    """A stream by its name; StackError lists the names."""
    found = next((one for one in STREAMS if one.name == name), None)
    if found is None:
        raise StackError(f"--stream {name}: unknown; use one of {', '.join(one.name for one in STREAMS)}")
    return found


def _first(stream: Stream, rows: int) -> Stream:
    labels = stream.labels[:rows]
    return replace(
        stream,
        numbers=stream.numbers[:rows],
        words=stream.words[:rows],
        labels=labels,
        classes=tuple(name for name in stream.classes if np.any(labels == name)),
        times=None if stream.times is None else stream.times[:rows],
    )


GENERATED_ROWS: Final = 10_000
STREAMS: Final = (
    KnownStream("elec2", "real", "direction of an electricity price, half-hours", Task.BINARY, 45_312, real.elec2, 240),
    KnownStream("weather", "real", "rain on a day at one station, 50 years", Task.BINARY, 18_159, real.weather, 30),
    KnownStream(
        "employment", "real", "employment in Massachusetts, census 2015 to 2018", Task.BINARY, 27_767, real.employment
    ),
    KnownStream("sea", "generated", "3 abrupt changes of a threshold", Task.BINARY, GENERATED_ROWS, generated.sea),
    KnownStream("agrawal", "generated", "2 abrupt changes of a rule", Task.BINARY, GENERATED_ROWS, generated.agrawal),
    KnownStream(
        "hyperplane", "generated", "a plane that turns all the time", Task.BINARY, GENERATED_ROWS, generated.hyperplane
    ),
    KnownStream("rbf", "generated", "4 classes whose centres move", Task.MULTICLASS, GENERATED_ROWS, generated.rbf),
    KnownStream(
        "friedman", "generated", "3 abrupt changes of a function", Task.REGRESSION, GENERATED_ROWS, generated.friedman
    ),
    KnownStream("sea-control", "control", "as sea, without change", Task.BINARY, GENERATED_ROWS, generated.sea_control),
    KnownStream(
        "friedman-control",
        "control",
        "as friedman, without change",
        Task.REGRESSION,
        GENERATED_ROWS,
        generated.friedman_control,
    ),
)
