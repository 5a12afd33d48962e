"""Labelled rows of a model in the order of their labels, each once: a cursor holds how far they were read.

Labels that met their prediction when they arrived are read by offset, the others by the round that joined them later.
Repeats and corrections of a label are not read: a learner cannot unlearn the first one. Labels that the monitor
rejected are not read either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from modelyard_contracts.signature import Signature
from modelyard_contracts.usable import row_problem
from modelyard_contracts.usable.values import parse_number
from modelyard_trainer.worker.clickhouse import Query

BATCH_ROWS: Final = 500
"""Rows read at once per partition."""
PARTITIONS_SQL: Final = """
SELECT _partition AS partition, toInt64(max(_offset)) AS offset FROM labels
WHERE _offset >= {lowest:Int64} GROUP BY _partition"""
START_SQL: Final = """
SELECT _partition AS partition, toInt64(min(_offset)) AS offset FROM (
    SELECT _partition, _offset FROM labels
    WHERE model = {model:String} AND matched = 1 AND repeat = 0 AND rejected = ''
    ORDER BY received_at DESC, _offset DESC LIMIT {rows:UInt32}
) GROUP BY _partition"""


@dataclass(frozen=True)
class Cursor:
    """How far labels were read, per partition."""

    offsets: Mapping[int, int] = field(default_factory=dict)
    """Last offset in `labels`."""
    late: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Last round and offset in `label_matches`."""


@dataclass(frozen=True)
class LabelledRow:
    """A usable row. target: a class number, or a value. NaN and None in the features are missing."""

    numbers: tuple[float, ...]
    texts: tuple[str | None, ...]
    target: int | float
    predicted_at: datetime


@dataclass(frozen=True)
class Batch:
    """Rows in order, and the cursor after them. read: number of labels, usable or not."""

    rows: Sequence[LabelledRow]
    cursor: Cursor
    read: int
    newest: datetime | None = None
    """Arrival of the newest label."""

    @property
    def left_out(self) -> int:
        return self.read - len(self.rows)


class Labels:
    """The labels of one model and one signature."""

    def __init__(self, query: Query, model: str, signature: Signature, signature_id: str) -> None:
        self._query, self._model = query, model
        self._signature, self._signature_id = signature, signature_id
        self._numbers = {name: number for number, name in enumerate(signature.classes)}

    def start(self, rows: int) -> Cursor:
        """The cursor before the newest `rows` labels that are stored already."""
        ends = self._ends(0)
        found = self._query(START_SQL, {"model": self._model, "rows": rows}).to_pylist()
        return Cursor({**ends, **{one["partition"]: one["offset"] - 1 for one in found}})

    def after(self, cursor: Cursor) -> Batch:
        """The next labels of each partition; none if there are none yet."""
        late = self._late(cursor.late)
        direct, offsets = self._direct(cursor.offsets)
        places = {one["partition"]: (one["place"], one["offset"]) for one in _in_place(late)}
        found = sorted([*direct, *late], key=lambda one: (one["received_at"], one["partition"], one["offset"]))
        rows = [row for row in map(self._usable, found) if row is not None]
        newest = max((one["received_at"] for one in found), default=None)
        return Batch(rows, Cursor(offsets, {**cursor.late, **places}), len(found), newest)

    def _ends(self, lowest: int) -> dict[int, int]:
        found = self._query(PARTITIONS_SQL, {"lowest": lowest}).to_pylist()
        return {one["partition"]: one["offset"] for one in found}

    def _direct(self, seen: Mapping[int, int]) -> tuple[list[dict[str, Any]], dict[int, int]]:
        """Labels after the offsets `seen`, and the offsets after them: also past the labels of other models."""
        ends = self._ends(min(seen.values(), default=0))
        starts = {partition: (0, seen.get(partition, -1)) for partition in ends}
        found = self._read("labels", "0", starts, min((offset for _, offset in starts.values()), default=0))
        offsets = {**seen}
        for partition, end in ends.items():
            own = [one["offset"] for one in found if one["partition"] == partition]
            offsets[partition] = max(own) if len(own) == BATCH_ROWS else max([end, *own])
        return found, offsets

    def _late(self, seen: Mapping[int, tuple[int, int]]) -> list[dict[str, Any]]:
        return self._read("label_matches", "pass", seen, -1)

    def _read(self, table: str, place: str, seen: Mapping[int, tuple[int, int]], lowest: int) -> list[dict[str, Any]]:
        cursor = [(partition, *position) for partition, position in sorted(seen.items())]
        parameters = {"model": self._model, "rows": BATCH_ROWS, "cursor": cursor, "lowest": lowest}
        return list(self._query(_sql(table, place), parameters).to_pylist())

    def _usable(self, found: Mapping[str, Any]) -> LabelledRow | None:
        """None for a row of another signature, and for one that modelyard_contracts.usable leaves out."""
        numbers, texts = found["numbers"] or [], found["texts"] or []
        label, value = found["label"], found["value"]
        if found["signature_id"] != self._signature_id:
            return None
        if row_problem(self._signature, numbers, texts, label, value) is not None:
            return None
        if self._signature.task.classifies:
            target: int | float = self._numbers[label]
        else:
            target = float(value if value is not None else parse_number(label or "") or 0.0)
        complete = tuple(float("nan") if number is None else float(number) for number in numbers)
        return LabelledRow(complete, tuple(texts), target, found["predicted_at"])


def _in_place(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda one: (one["partition"], one["place"], one["offset"]))


def _sql(table: str, place: str) -> str:
    """Query of the next labels with their features, at most `rows` of each partition, in order of their arrival.

    place: the first part of a position, a round of late joins; the second one is the offset. The condition on `lowest`
    lets ClickHouse skip what was read.
    """
    return f"""
WITH slice AS (
    SELECT workspace, prediction_id, label, value, received_at, _partition, _offset, toUInt64({place}) AS place
    FROM {table}
    WHERE model = {{model:String}} AND matched = 1 AND repeat = 0 AND rejected = ''
      AND toInt64(_offset) > {{lowest:Int64}}
      AND NOT arrayExists(
        one -> one.1 = _partition AND (place, toInt64(_offset)) <= (one.2, one.3),
        {{cursor:Array(Tuple(UInt32, UInt64, Int64))}}
      )
    ORDER BY _partition, place, _offset LIMIT {{rows:UInt32}} BY _partition
)
SELECT s._partition AS partition, s.place AS place, toInt64(s._offset) AS offset, s.received_at AS received_at,
    s.label AS label, s.value AS value, p.feature_schema_id AS signature_id,
    p.num_features AS numbers, p.cat_features AS texts, p.occurred_at AS predicted_at
FROM slice AS s LEFT ANY JOIN (
    SELECT workspace, prediction_id, feature_schema_id, num_features, cat_features, occurred_at FROM predictions
    WHERE model = {{model:String}} AND status = 'ok' AND variant != 'shadow'
      AND prediction_id IN (SELECT prediction_id FROM slice)
) AS p ON s.workspace = p.workspace AND s.prediction_id = p.prediction_id
ORDER BY received_at, partition, place, offset"""  # noqa: S608  constants of this module
