"""Rules for rows that are well-formed Avro but cannot be stored or found again."""

from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelyard_contracts.numbers import MAX_COUNT, MAX_VERSION

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""A moment outside has a wrong unit or comes from a broken clock; ClickHouse would open a partition for it."""
MAX_NAME_CHARS: Final = 256
NAMES: Final = ("model", "workspace", "model_digest", "variant", "route", "feature_schema_id")
"""Texts by which records are grouped and versions looked up."""
COUNTS: Final = (
    "text_length",
    "input_characters",
    "output_characters",
    "input_tokens",
    "output_tokens",
)
"""Columns that ClickHouse stores as unsigned integers."""
AMOUNTS: Final = ("latency_ms", "overhead_ms", "cost_usd", "time_to_first_token_ms")
"""Columns that are added up: one NaN would be the sum of all rows."""

Rule = tuple[Any, str]
"""(mask of the rows to refuse, reason)"""


def refuse(table: pa.Table) -> tuple[pa.Table, dict[int, str]]:
    """Return the accepted rows, and {offset: reason} of the refused ones."""
    refused: dict[int, str] = {}
    bad = np.zeros(table.num_rows, dtype=bool)
    for mask, reason in _rules(table):
        hits = pc.fill_null(mask, False).to_numpy(zero_copy_only=False).astype(bool) & ~bad
        refused |= dict.fromkeys(table["_offset"].to_numpy()[hits].tolist(), reason)
        bad |= hits
    return (table.filter(pa.array(~bad)) if bad.any() else table), refused


def is_sane(timestamp_ms: Any) -> Any:
    """Return whether a Kafka timestamp, or each of an array, lies between 2000 and 2100."""
    return (timestamp_ms >= EARLIEST.timestamp() * 1000) & (timestamp_ms < LATEST.timestamp() * 1000)


def _rules(table: pa.Table) -> list[Rule]:
    moments = [pa.scalar(moment, pa.timestamp("us", "UTC")) for moment in (EARLIEST, LATEST)]
    name = "generation_id" if "generation_id" in table.schema.names else "prediction_id"
    rules = [
        (_outside(table, "occurred_at", *moments), "field occurred_at: not between the years 2000 and 2100"),
        (pc.equal(table[name], ""), f"field {name}: empty, so that nothing could refer to it"),
        (_too_long(table, name), f"field {name}: longer than 256 characters"),
    ]
    if "model_version" in table.schema.names:
        rules += _answer_rules(table)
    elif "model" in table.schema.names:  # a label may name one
        rules.append((_too_long(table, "model"), "field model: longer than 256 characters"))
    rules += [
        (_outside(table, count, 0, MAX_COUNT + 1), f"field {count}: not between 0 and {MAX_COUNT}")
        for count in COUNTS
        if count in table.schema.names
    ]
    rules += [
        (_not_finite(table, name), f"field {name}: no finite number") for name in AMOUNTS if name in table.schema.names
    ]
    if "prompt_version" in table.schema.names:
        rules.append(
            (
                _outside(table, "prompt_version", 0, MAX_VERSION + 1),
                f"field prompt_version: not between 0 and {MAX_VERSION}",
            )
        )
    return rules


def _answer_rules(table: pa.Table) -> list[Rule]:
    return [
        (pc.equal(table["model"], ""), "field model: empty"),
        *((_too_long(table, column), f"field {column}: longer than 256 characters") for column in NAMES),
        (_outside(table, "model_version", 0, MAX_VERSION + 1), f"field model_version: not between 0 and {MAX_VERSION}"),
        (_outside(table, "route_sequence", 0, MAX_COUNT + 1), f"field route_sequence: not between 0 and {MAX_COUNT}"),
    ]


def _not_finite(table: pa.Table, name: str) -> Any:
    return pc.invert(pc.is_finite(table[name]))


def _too_long(table: pa.Table, name: str) -> Any:
    return pc.greater(pc.utf8_length(table[name]), MAX_NAME_CHARS)


def _outside(table: pa.Table, name: str, low: Any, high: Any) -> Any:
    return pc.or_(pc.less(table[name], low), pc.greater_equal(table[name], high))
