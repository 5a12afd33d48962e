"""Join labels with stored predictions."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from modelyard_monitor.domain.labels import Label, Match, Prediction, judged_votes, match
from modelyard_monitor.domain.ports import Manifests
from modelyard_monitor.domain.watching import Version
from modelyard_monitor.store.clickhouse import ClickHouse

IDS_PER_QUERY: Final = 2_000
IDS_CHARS_PER_QUERY: Final = 96_000
"""A tenth of ClickHouse's limit for a URL (http_max_uri_size); as many UUIDs as IDS_PER_QUERY."""
QUOTES_CHARS: Final = len("%27%27%2C")
RECENT: Final = timedelta(hours=2)
"""Most labels arrive soon: predictions from this long before the label on are searched first."""

PREDICTION_SQL: Final = """
SELECT workspace, prediction_id, model, model_version, model_digest, route, variant, class, score,
    votes, occurred_at AS predicted_at
FROM {db}.predictions
WHERE prediction_id IN {ids:Array(String)} AND occurred_at >= {since:DateTime64(6)}
    AND shadow_of IS NULL AND status = 'ok'
ORDER BY occurred_at, _partition, _offset LIMIT 1 BY workspace, prediction_id, model"""
"""A failed request has no answer to compare; its label waits for the retry under the same id."""

COUNTED_SQL: Final = """
SELECT DISTINCT workspace, model, prediction_id FROM {db}.v_matched
WHERE prediction_id IN {ids:Array(String)} AND repeat = 0 AND rejected = ''
    AND NOT (pass = 0 AND _topic = {topic:String} AND _partition = {partition:UInt32} AND _offset >= {first:UInt64})"""
"""Predictions whose first label is counted already, by another batch."""

JUDGED_VOTE: Final = pa.struct(
    [
        ("version", pa.uint32()),
        ("digest", pa.string()),
        ("weight", pa.float64()),
        ("drawn", pa.uint8()),
        ("wrong", pa.uint8()),
        ("absolute_error", pa.float64()),
    ]
)
MATCH_FIELDS: Final = pa.schema(
    [
        ("matched", pa.uint8()),
        ("repeat", pa.uint8()),
        ("rejected", pa.string()),
        ("model", pa.string()),
        ("model_version", pa.uint32()),
        ("model_digest", pa.string()),
        ("route", pa.string()),
        ("variant", pa.string()),
        ("class", pa.string()),
        ("score", pa.float64()),
        ("wrong", pa.uint8()),
        ("absolute_error", pa.float64()),
        ("predicted_at", pa.timestamp("us", "UTC")),
        ("votes", pa.list_(JUDGED_VOTE)),
    ]
)
_UNMATCHED: Final = {
    "matched": 0,
    "repeat": 0,
    "rejected": "",
    "model": "",
    "model_version": 0,
    "model_digest": "",
    "route": "",
    "variant": "",
    "votes": [],
}

Key = tuple[str, str]
"""(workspace, prediction_id): the labels of a workspace meet only its own predictions."""
Counted = tuple[str, str, str]
"""(workspace, model, prediction_id)"""


class LabelMatcher:
    """Finds the predictions of labels; caches nothing but manifests. Blocks, and raises Retryable."""

    def __init__(self, clickhouse: ClickHouse, manifests: Manifests) -> None:
        self._clickhouse = clickhouse
        self._manifests = manifests

    def match(self, table: pa.Table) -> list[Match | None]:
        """Return the match of each label. Recent predictions are searched first, then all for what is still open."""
        labels = labels_of(table)
        found: list[Match | None] = [None] * len(labels)
        since = pc.min(table["occurred_at"]).as_py() - RECENT
        for moment in (since, datetime.fromtimestamp(0, since.tzinfo)):
            places = [place for place, one in enumerate(found) if one is None or one.rejected]
            candidates = self._find(sorted({labels[place].prediction_id for place in places}), moment)
            for place in places:
                found[place] = match(labels[place], candidates.get(labels[place].key, ()), self._classes)
        return found

    def counted(self, table: pa.Table, partition: int, first_offset: int) -> set[Counted]:
        """Return the predictions of these labels whose first label is counted; later offsets do not count."""
        where = {"topic": table["_topic"][0].as_py(), "partition": partition, "first": first_offset}
        found: set[Counted] = set()
        for ids in id_chunks(table["prediction_id"].unique().to_pylist()):
            rows = self._clickhouse.table(COUNTED_SQL, {**where, "ids": ids}).to_pylist()
            found.update((row["workspace"], row["model"], row["prediction_id"]) for row in rows)
        return found

    def _find(self, ids: list[str], since: datetime) -> dict[Key, list[Prediction]]:
        found: dict[Key, list[Prediction]] = {}
        for some in id_chunks(ids):
            for row in self._clickhouse.table(PREDICTION_SQL, {"ids": some, "since": _text(since)}).to_pylist():
                found.setdefault((row["workspace"], row["prediction_id"]), []).append(row)
        return found

    def _classes(self, prediction: Prediction) -> Sequence[str]:
        version: Version = (prediction["model"], prediction["model_version"], prediction["model_digest"])
        found = self._manifests.find(version).manifest
        return found.signature.classes if found else ()


def labels_of(table: pa.Table) -> list[Label]:
    """Return the rows of a table of labels."""
    names = ("workspace", "prediction_id", "named_model", "label", "value")
    return [Label(*row) for row in zip(*(table[name].to_pylist() for name in names), strict=True)]


def joined(labels: pa.Table, matches: Sequence[Match | None], counted: set[Counted]) -> pa.Table:
    """Return the labels with their predictions. counted: predictions with a counted label; is added to."""
    rows = []
    for one in matches:
        accepted = one is not None and one.rejected is None
        rows.append(_UNMATCHED if one is None else _row(one, repeat=accepted and one.key in counted))
        if one is not None and accepted:
            counted.add(one.key)
    found = pa.Table.from_pylist(rows, schema=MATCH_FIELDS)
    for name in found.column_names:
        labels = labels.append_column(found.schema.field(name), found[name])
    return labels


def _row(one: Match, *, repeat: bool) -> dict[str, Any]:
    return {
        **{name: one.prediction[name] for name in MATCH_FIELDS.names if name in one.prediction},
        "matched": 1,
        "repeat": int(repeat),
        "rejected": one.rejected or "",
        "wrong": None if one.wrong is None else int(one.wrong),
        "absolute_error": one.absolute_error,
        "votes": judged_votes(one),
    }


def id_chunks(ids: list[str]) -> Iterator[list[str]]:
    """Split ids into pieces that fit into one query; they travel in its URL, quoted."""
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
