"""Summarise joined labels for the detect worker: the first label of each prediction, and the rejected ones."""

from collections import Counter
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from modelyard_contracts import OffsetRange, SliceSource, SliceSummarised
from modelyard_monitor.ingest.slices import slice_id

MAX_TEXTS: Final = 20
MAX_TEXT_CHARS: Final = 64

Row = dict[str, Any]
Served = tuple[str, int, str, str]
"""(model, version, digest, variant)"""


def label_slices(stored: pa.Table, covers: OffsetRange) -> list[SliceSummarised]:
    """Summarise the labels that count, one slice per version and variant, in order of arrival."""
    rows = stored.filter(pc.and_(pc.equal(stored["matched"], 1), pc.equal(stored["repeat"], 0)))
    groups: dict[Served, list[Row]] = {}
    for row in rows.to_pylist():
        key = (row["model"], row["model_version"], row["model_digest"], row["variant"])
        groups.setdefault(key, []).append(row)
    return [_slice(key, members, covers) for key, members in groups.items()]


def _slice(served: Served, rows: list[Row], covers: OffsetRange) -> SliceSummarised:
    model, version, digest, variant = served
    accepted = [row for row in rows if not row["rejected"]]
    rejected = [row for row in rows if row["rejected"]]
    lags = [(row["occurred_at"] - row["predicted_at"]).total_seconds() for row in accepted]
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
        rows=len(accepted),
        outcomes=tuple(row["wrong"] for row in accepted if row["wrong"] is not None),
        absolute_errors=tuple(row["absolute_error"] for row in accepted if row["absolute_error"] is not None),
        label_lag_s_total=sum(max(0.0, lag) for lag in lags),
        rejected_labels=dict(Counter(row["rejected"] for row in rejected)),
        rejected_texts=dict(Counter(map(_shown, rejected)).most_common(MAX_TEXTS)),
    )


def _shown(row: Row) -> str:
    text = str(row["value"]) if row["label"] is None else row["label"]
    return text if len(text) <= MAX_TEXT_CHARS else text[: MAX_TEXT_CHARS - 1] + "…"
