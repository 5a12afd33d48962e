"""A batch of one partition of logged predictions: decode, count, insert raw and counts, say what was in it."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa

from modelyard_contracts import Message, OffsetRange, PredictionLogged, SliceSummarised
from modelyard_contracts.codec import Codec
from modelyard_contracts.manifest import FeatureReference, ModelManifest, ReferenceProfile
from modelyard_monitor.clickhouse import ClickHouse
from modelyard_monitor.ingest.counts import (
    SCORE,
    Column,
    Group,
    bin_rows,
    columns_of,
    groups_of,
    summary,
    table_bins,
)
from modelyard_monitor.ingest.decode import BadRecord, decode_columns
from modelyard_runtime.kafka import Received
from modelyard_runtime.log import get_logger

log = get_logger(__name__)

TOKEN_VERSION: Final = "v1"  # noqa: S105  of names of batches
TABLE_COLUMNS: Final = (
    *("event_id", "prediction_id", "occurred_at", "received_at", "workspace", "model", "model_version", "model_digest"),
    *("route", "route_sequence", "variant", "rule", "path", "entity_key_hash", "feature_schema_id", "num_features"),
    *("cat_features", "features_by_name", "class", "score", "scores", "text_length", "latency_ms", "overhead_ms"),
    *("cost_usd", "status", "attempts", "shadow_of", "sampled", "_topic", "_partition", "_offset"),
)


class Manifests(Protocol):
    """Where reference profiles come from."""

    def manifest(self, model: str, version: int, digest: str) -> ModelManifest | None:
        """None when there is no such version; Retryable when nobody can say."""


class DeadLetterBox(Protocol):
    """What is used of modelyard_runtime.kafka.DeadLetters."""

    async def add(self, received: Received, reason: str) -> None: ...

    def good(self, topic: str, partition: int, records: int = 1) -> None: ...


class Sender(Protocol):
    """What is used of modelyard_runtime.kafka.Producer."""

    async def send(self, message: Message, key: str | None = None) -> None: ...


@dataclass(frozen=True)
class Counted:
    """A decoded batch, ready to be stored."""

    table: pa.Table
    bins: pa.Table
    slices: tuple[SliceSummarised, ...]
    bad: tuple[BadRecord, ...]


class PredictionIngest:
    """Stores batches of PredictionLogged. Handed the same again, it changes nothing but sends the same slices."""

    topic: Final = PredictionLogged.TOPIC

    def __init__(
        self, clickhouse: ClickHouse, manifests: Manifests, codec: Codec, sender: Sender, dead_letters: DeadLetterBox
    ) -> None:
        self._clickhouse = clickhouse
        self._manifests = manifests
        self._codec = codec
        self._sender = sender
        self._dead_letters = dead_letters
        self._profiles_written: set[tuple[str, int, str]] = set()

    async def store(self, records: Sequence[Received]) -> int:
        """Store the records of one partition; returns the rows. Retryable: nothing is known to be done, repeat all."""
        counted = await asyncio.to_thread(self.count, records)
        await bury(counted.bad, self._dead_letters)
        await asyncio.to_thread(self._insert, counted, token_of(records))
        await send_all(counted.slices, self._sender)
        self._dead_letters.good(self.topic, records[0].partition, counted.table.num_rows)
        return int(counted.table.num_rows)

    def count(self, records: Sequence[Received]) -> Counted:
        """Decode and count; blocks on the registry for versions that were not seen before."""
        decoded = decode_columns(records, self.topic, self._codec)
        covers = covers_of(records)
        bins: list[pa.Table] = []
        slices: list[SliceSummarised] = []
        for group in groups_of(decoded.table):
            manifest = self._manifests.manifest(group.model, group.version, group.digest)
            columns = columns_of(group, manifest) if manifest else []
            if manifest:
                self._write_profile(group, manifest)
            bins.append(_bins_table(group, columns))
            slices.append(summary(group, columns, covers))
        rows = pa.concat_tables(bins) if bins else _BINS.empty_table()
        return Counted(decoded.table.select(TABLE_COLUMNS), rows, tuple(slices), tuple(decoded.bad))

    def _insert(self, counted: Counted, token: str) -> None:
        self._clickhouse.insert("predictions", counted.table, token)
        self._clickhouse.insert("feature_bins", counted.bins, token)

    def _write_profile(self, group: Group, manifest: ModelManifest) -> None:
        """The reference profile as rows, so that PSI is plain SQL; the same rows replace themselves."""
        written = (group.model, group.version, group.digest)
        if written in self._profiles_written or manifest.reference is None:
            return
        rows = profile_rows(group.model, group.version, manifest.reference)
        self._clickhouse.insert("reference_bins", rows, f"{TOKEN_VERSION}:{group.model}:{group.version}:{group.digest}")
        self._profiles_written.add(written)


def token_of(records: Sequence[Received]) -> str:
    """Names a batch by where it is from; the store adds the table."""
    first, last = records[0], records[-1]
    return f"{TOKEN_VERSION}:{first.topic}:{first.partition}:{first.offset}:{last.offset}"


def covers_of(records: Sequence[Received]) -> OffsetRange:
    first, last = records[0], records[-1]
    return OffsetRange(topic=first.topic, partition=first.partition, first_offset=first.offset, last_offset=last.offset)


async def send_all(slices: Iterable[SliceSummarised], sender: Sender) -> None:
    """Send a batch's slices, which are of different versions or variants, and wait for all of them."""
    await asyncio.gather(*(sender.send(message) for message in slices))


async def bury(bad: Sequence[BadRecord], dead_letters: DeadLetterBox) -> None:
    """Dead-letter what could not be read; a replay buries it again, readers know it by topic, partition and offset."""
    for one in bad:
        log.warning("dead letter", record=repr(one.record), reason=one.reason)
        await dead_letters.add(one.record, one.reason)


_BINS: Final = pa.schema(
    [
        ("model", pa.string()),
        ("model_version", pa.uint32()),
        ("variant", pa.string()),
        ("feature", pa.string()),
        ("minute", pa.uint32()),
        ("bin", pa.int16()),
        ("n", pa.uint64()),
    ]
)


def _bins_table(group: Group, columns: Sequence[Column]) -> pa.Table:
    rows = bin_rows(group, columns)
    size = len(rows["n"])
    fixed = {"model": [group.model] * size, "model_version": [group.version] * size, "variant": [group.variant] * size}
    return pa.table({**fixed, **rows}, schema=_BINS)


def profile_rows(model: str, version: int, reference: ReferenceProfile) -> pa.Table:
    """Rows of table reference_bins."""
    named = [(one.name, one) for one in reference.features]
    if reference.score is not None:
        named.append((SCORE, reference.score))
    rows = [row for name, one in named for row in _profile_rows(name, one)]
    schema = pa.schema(
        [
            *(("feature", pa.string()), ("bin", pa.int16()), ("n", pa.uint64())),
            *(("lower", pa.float64()), ("category", pa.string())),
        ]
    )
    table = pa.Table.from_pylist(rows, schema=schema)
    table = table.append_column("model", pa.array([model] * len(rows), pa.string()))
    return table.append_column("model_version", pa.array([version] * len(rows), pa.uint32()))


def _profile_rows(name: str, one: FeatureReference) -> list[dict[str, Any]]:
    bins = table_bins(np.arange(len(one.counts)))
    return [
        {
            "feature": name,
            "bin": int(bin_),
            "n": count,
            "lower": one.edges[bin_ - 1] if one.edges and bin_ > 0 else None,
            "category": one.categories[bin_] if one.categories and bin_ >= 0 else None,
        }
        for bin_, count in zip(bins, one.counts, strict=True)
    ]
