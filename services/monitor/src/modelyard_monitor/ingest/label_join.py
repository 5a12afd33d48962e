"""Join labels with stored predictions, and summarise the joined rows."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from modelyard_contracts import OffsetRange, SliceSource, SliceSummarised
from modelyard_monitor.ingest.slices import slice_id
from modelyard_monitor.store.clickhouse import ClickHouse

IDS_PER_QUERY: Final = 2_000
IDS_CHARS_PER_QUERY: Final = 96_000
"""A tenth of ClickHouse's limit for a URL (http_max_uri_size); as many UUIDs as IDS_PER_QUERY."""
QUOTES_CHARS: Final = len("%27%27%2C")
RECENT: Final = timedelta(hours=2)
"""Most labels arrive soon: predictions from this long before the label on are searched first."""

PREDICTION_SQL: Final = """
SELECT workspace, prediction_id, model, model_version, model_digest, route, variant, class, score,
    occurred_at AS predicted_at
FROM {db}.predictions
WHERE prediction_id IN {ids:Array(String)} AND occurred_at >= {since:DateTime64(6)}
    AND shadow_of IS NULL AND status = 'ok'
ORDER BY occurred_at, _partition, _offset LIMIT 1 BY workspace, prediction_id"""
"""A failed request has no answer to compare; its label waits for the retry under the same id."""

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
        ("absolute_error", pa.float64()),
        ("predicted_at", pa.timestamp("us", "UTC")),
    ]
)

Key = tuple[str, str]
"""(workspace, prediction_id): the labels of a workspace meet only its own predictions."""


class PredictionLookup:
    """Finds stored predictions by id; caches nothing."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def find(self, keys: Sequence[Key], since: datetime) -> dict[Key, dict[str, Any]]:
        """Return the answered predictions. Searches from `since` on first, then all time for the rest."""
        found: dict[Key, dict[str, Any]] = {}
        for moment in (since, datetime.fromtimestamp(0, since.tzinfo)):
            missing = sorted({id_ for workspace, id_ in keys if (workspace, id_) not in found})
            for ids in id_chunks(missing):
                rows = self._clickhouse.table(PREDICTION_SQL, {"ids": ids, "since": _text(moment)}).to_pylist()
                found.update({(row["workspace"], row["prediction_id"]): row for row in rows})
        return found


def keys_of(rows: pa.Table) -> list[Key]:
    """Return the key of the prediction of each row."""
    return list(zip(rows["workspace"].to_pylist(), rows["prediction_id"].to_pylist(), strict=True))


def joined(labels: pa.Table, found: dict[Key, dict[str, Any]], earlier: set[Key]) -> pa.Table:
    """Return the labels with their predictions. `earlier`: predictions that already have a label; is added to."""
    rows = []
    truths = zip(labels["label"].to_pylist(), labels["value"].to_pylist(), strict=True)
    for key, truth in zip(keys_of(labels), truths, strict=True):
        rows.append(_match(*truth, found.get(key), repeat=key in earlier))
        earlier.add(key)
    matches = pa.Table.from_pylist(rows, schema=MATCH_FIELDS)
    for name in matches.column_names:
        labels = labels.append_column(matches.schema.field(name), matches[name])
    return labels


def _match(
    label: str | None, value: float | None, prediction: dict[str, Any] | None, *, repeat: bool
) -> dict[str, Any]:
    if prediction is None:
        empty = {"model": "", "model_version": 0, "model_digest": "", "route": "", "variant": ""}
        return {"matched": 0, "repeat": int(repeat), **empty}
    comparable = label is not None and prediction["class"] is not None
    numeric = value is not None and prediction["class"] is None and prediction["score"] is not None
    error = abs(value - prediction["score"]) if numeric else math.nan
    return {
        **{name: prediction[name] for name in MATCH_FIELDS.names if name in prediction},
        "matched": 1,
        "repeat": int(repeat),
        "wrong": int(label != prediction["class"]) if comparable else None,
        "absolute_error": error if math.isfinite(error) else None,
    }


def label_slices(stored: pa.Table, covers: OffsetRange) -> list[SliceSummarised]:
    """Summarise the first label of each matched prediction, one slice per version and variant, in order of arrival."""
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
        absolute_errors=tuple(row["absolute_error"] for row in rows if row["absolute_error"] is not None),
        label_lag_s_total=sum(max(0.0, lag) for lag in lags),
    )


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
