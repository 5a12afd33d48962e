"""A batch of one partition of labels: wait for predictions that are on their way, join, insert, say what was stored.

What is stored decides: when the first attempt at a batch was inserted and forgotten in a crash, the rows of the second
are dropped under the same token, and the slices are made from the rows that are in the table.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from modelyard_contracts import FeedbackReceived, OffsetRange, SliceSource, SliceSummarised
from modelyard_contracts.codec import Codec
from modelyard_monitor.clickhouse import ClickHouse
from modelyard_monitor.ingest.counts import slice_id
from modelyard_monitor.ingest.decode import BadRecord, decode_columns
from modelyard_monitor.ingest.predictions import DeadLetterBox, Sender, bury, covers_of, send_all, token_of
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import Retryable
from modelyard_runtime.kafka import Received

IDS_PER_QUERY: Final = 2_000
IDS_CHARS_PER_QUERY: Final = 96_000
"""A tenth of what ClickHouse takes as a URL (http_max_uri_size); as many UUIDs as above."""
QUOTES_CHARS: Final = len("%27%27%2C")
RECENT: Final = timedelta(hours=2)
"""Most labels follow soon: predictions of this time before the label are looked through first."""

PREDICTION_SQL: Final = """
SELECT workspace, prediction_id, model, model_version, model_digest, route, variant, class, score,
    occurred_at AS predicted_at
FROM {db}.predictions
WHERE prediction_id IN {ids:Array(String)} AND occurred_at >= {since:DateTime64(6)} AND shadow_of IS NULL
ORDER BY occurred_at, _partition, _offset LIMIT 1 BY workspace, prediction_id"""

EARLIER_SQL: Final = """
SELECT DISTINCT workspace, prediction_id FROM {db}.labels
WHERE prediction_id IN {ids:Array(String)}
    AND NOT (_topic = {topic:String} AND _partition = {partition:UInt32} AND _offset >= {first:UInt64})"""

STORED_SQL: Final = """
SELECT * FROM {db}.labels
WHERE _topic = {topic:String} AND _partition = {partition:UInt32} 
    AND _offset >= {first:UInt64} AND _offset <= {last:UInt64}
ORDER BY _offset"""

MATCH_FIELDS: Final = pa.schema(
    [
        ("matched", pa.uint8()),
        ("repeat", pa.uint8()),
        ("model", pa.string()),
        ("model_version", pa.uint32()),
        ("model_digest", pa.string()),
        ("route", pa.string()),
        ("variant", pa.string()),
        ("class", pa.string()),
        ("score", pa.float64()),
        ("wrong", pa.uint8()),
        ("predicted_at", pa.timestamp("us", "UTC")),
    ]
)

Key = tuple[str, str]
"""(workspace, prediction_id): a workspace's labels meet only its own predictions."""


class PredictionsOnTheirWay(Retryable):
    """Young labels whose prediction is not stored yet; the partition waits."""

    code = "predictions_on_their_way"


class LabelIngest:
    """Stores batches of FeedbackReceived. Handed the same again, it changes nothing but sends the same slices."""

    topic: Final = FeedbackReceived.TOPIC

    def __init__(
        self,
        clickhouse: ClickHouse,
        codec: Codec,
        sender: Sender,
        dead_letters: DeadLetterBox,
        clock: Clock,
        grace_s: float,
    ) -> None:
        self._clickhouse = clickhouse
        self._codec = codec
        self._sender = sender
        self._dead_letters = dead_letters
        self._clock = clock
        self._grace = timedelta(seconds=grace_s)
        self._predictions = PredictionLookup(clickhouse)

    async def store(self, records: Sequence[Received]) -> int:
        """Store the records of one partition; returns the rows. Retryable: repeat with the same records."""
        rows, bad = await asyncio.to_thread(self.join, records)
        await bury(bad, self._dead_letters)
        covers = covers_of(records)
        stored = await asyncio.to_thread(self._insert, rows, token_of(records), covers)
        await send_all(label_slices(stored, covers), self._sender)
        self._dead_letters.good(self.topic, records[0].partition, rows.num_rows)
        return int(rows.num_rows)

    def join(self, records: Sequence[Received]) -> tuple[pa.Table, list[BadRecord]]:
        """The rows to store. PredictionsOnTheirWay while a young label's prediction is missing."""
        decoded = decode_columns(records, self.topic, self._codec)
        labels = decoded.table.select(
            [
                *("event_id", "prediction_id", "label", "value", "source", "occurred_at", "received_at", "workspace"),
                *("_topic", "_partition", "_offset"),
            ]
        )
        if not labels.num_rows:
            return joined(labels, {}, set()), decoded.bad
        since = pc.min(labels["occurred_at"]).as_py() - RECENT
        found = self._predictions.find(keys_of(labels), since)
        self._wait_for_missing(labels, found)
        return joined(labels, found, self._earlier(labels, records)), decoded.bad

    def _wait_for_missing(self, labels: pa.Table, found: dict[Key, Any]) -> None:
        now = self._clock()
        keys = zip(keys_of(labels), labels["received_at"].to_pylist(), strict=True)
        # Both ways: a label from a clock that is far ahead would be young for as long.
        waiting = sum(abs(now - at) < self._grace and key not in found for key, at in keys)
        if waiting:
            raise PredictionsOnTheirWay(f"{waiting} of {labels.num_rows} labels wait for their prediction")

    def _earlier(self, labels: pa.Table, records: Sequence[Received]) -> set[Key]:
        where = {"topic": self.topic, "partition": records[0].partition, "first": records[0].offset}
        earlier: set[Key] = set()
        for ids in _chunks(labels["prediction_id"].unique().to_pylist()):
            rows = self._clickhouse.table(EARLIER_SQL, {**where, "ids": ids})
            earlier |= set(keys_of(rows))
        return earlier

    def _insert(self, rows: pa.Table, token: str, covers: OffsetRange) -> pa.Table:
        self._clickhouse.insert("labels", rows, token)
        return self.stored(covers)

    def stored(self, covers: OffsetRange) -> pa.Table:
        """Rows of table labels of these offsets, in their order."""
        return self._clickhouse.table(
            STORED_SQL,
            {
                "topic": covers.topic,
                "partition": covers.partition,
                "first": covers.first_offset,
                "last": covers.last_offset,
            },
        )


class PredictionLookup:
    """Finds stored predictions by id; remembers nothing."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def find(self, keys: Sequence[Key], since: datetime) -> dict[Key, dict[str, Any]]:
        """What is stored of these predictions: the time from `since` on first, all of it for what is left."""
        found: dict[Key, dict[str, Any]] = {}
        for moment in (since, datetime.fromtimestamp(0, since.tzinfo)):
            missing = sorted({id_ for workspace, id_ in keys if (workspace, id_) not in found})
            for ids in _chunks(missing):
                rows = self._clickhouse.table(PREDICTION_SQL, {"ids": ids, "since": _text(moment)}).to_pylist()
                found.update({(row["workspace"], row["prediction_id"]): row for row in rows})
        return found


def keys_of(rows: pa.Table) -> list[Key]:
    return list(zip(rows["workspace"].to_pylist(), rows["prediction_id"].to_pylist(), strict=True))


def joined(labels: pa.Table, found: dict[Key, dict[str, Any]], earlier: set[Key]) -> pa.Table:
    """The labels with what was predicted. `earlier` holds predictions that have a label already, and is added to."""
    rows = []
    for key, label in zip(keys_of(labels), labels["label"].to_pylist(), strict=True):
        rows.append(_match(label, found.get(key), repeat=key in earlier))
        earlier.add(key)
    return _beside(labels, pa.Table.from_pylist(rows, schema=MATCH_FIELDS))


def _match(label: str | None, prediction: dict[str, Any] | None, *, repeat: bool) -> dict[str, Any]:
    if prediction is None:
        empty = {"model": "", "model_version": 0, "model_digest": "", "route": "", "variant": ""}
        return {"matched": 0, "repeat": int(repeat), **empty}
    comparable = label is not None and prediction["class"] is not None
    return {
        **{name: prediction[name] for name in MATCH_FIELDS.names if name in prediction},
        "matched": 1,
        "repeat": int(repeat),
        "wrong": int(label != prediction["class"]) if comparable else None,
    }


def _beside(left: pa.Table, right: pa.Table) -> pa.Table:
    for name in right.column_names:
        left = left.append_column(right.schema.field(name), right[name])
    return left


def label_slices(stored: pa.Table, covers: OffsetRange) -> list[SliceSummarised]:
    """One slice per version and variant: the first label of each matched prediction, in the order of arrival."""
    rows = stored.filter(pc.and_(pc.equal(stored["matched"], 1), pc.equal(stored["repeat"], 0)))
    groups: dict[tuple[str, int, str, str], list[dict[str, Any]]] = {}
    for row in rows.to_pylist():
        key = (row["model"], row["model_version"], row["model_digest"], row["variant"])
        groups.setdefault(key, []).append(row)
    return [_slice(*key, members, covers) for key, members in groups.items()]


def _slice(
    model: str, version: int, digest: str, variant: str, rows: list[dict[str, Any]], covers: OffsetRange
) -> SliceSummarised:
    lags = [(row["occurred_at"] - row["predicted_at"]).total_seconds() for row in rows]
    return SliceSummarised(
        event_id=slice_id(model, version, digest, variant, SliceSource.LABELS, covers),
        occurred_at=max(row["received_at"] for row in rows),
        model=model,
        model_version=version,
        model_digest=digest,
        variant=variant,
        source=SliceSource.LABELS,
        covers=covers,
        window_start=min(row["predicted_at"] for row in rows),
        window_end=max(row["predicted_at"] for row in rows),
        rows=len(rows),
        outcomes=tuple(row["wrong"] for row in rows if row["wrong"] is not None),
        label_lag_s_total=sum(max(0.0, lag) for lag in lags),
    )


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    """In pieces that one query may name: they travel in its URL, quoted."""
    chunk: list[str] = []
    size = 0
    for id_ in ids:
        taken = len(quote(id_)) + QUOTES_CHARS
        if chunk and (len(chunk) == IDS_PER_QUERY or size + taken > IDS_CHARS_PER_QUERY):
            yield chunk
            chunk, size = [], 0
        chunk.append(id_)
        size += taken
    if chunk:
        yield chunk


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
