"""The SQL of every event gives the number in it, from the rows that were stored."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from modelyard_contracts import AlertRaised, DriftDetected, Message, SliceSource, SliceSummarised
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.signature import Task
from modelyard_monitor.detect.detector import Detector
from modelyard_monitor.detect.snapshot import Snapshots
from modelyard_monitor.domain.rules import Rules
from modelyard_monitor.testing.fakes import KEYS, Sent
from modelyard_monitor.testing.samples import digest_of_manifest, label, make_manifest, prediction, records

from .world import World

Found = DriftDetected | AlertRaised
Row = Callable[[np.random.Generator, int, bool], dict[str, Any]]


def binary(rng: np.random.Generator, index: int, moved: bool) -> dict[str, Any]:
    """A request of a classifier: before the move as in training, after it everything differs."""
    broken = {0: None, 1: math.inf}.get(index % 5, rng.normal(1.0))
    values: dict[str, Any] = {
        "num_features": (broken if moved else rng.normal(), rng.uniform()),
        "cat_features": (
            ("x", "y", "z", None)[rng.integers(4 if moved else 2)],
            "t" * rng.integers(1, 80 if moved else 40),
        ),
        "score": rng.uniform() ** (3 if moved else 1),
        "class": str(int(moved or rng.uniform() < 0.5)),
    }
    if moved and index % 4 == 0:
        status = "rejected" if index % 40 == 0 else "timeout"
        return {**values, "status": status, "class": None, "score": None}
    return {**values, "num_features": (9.0,), "cat_features": ()} if index % (7 if moved else 31) == 0 else values


def multiclass(rng: np.random.Generator, index: int, moved: bool) -> dict[str, Any]:
    return {
        **binary(rng, index + 1, False),
        "class": str(rng.choice(3, p=(0.8, 0.1, 0.1) if moved else (1 / 3, 1 / 3, 1 / 3))),
    }


def regression(rng: np.random.Generator, index: int, moved: bool) -> dict[str, Any]:
    value = rng.normal(11.0 if moved else 10.0)
    return {**binary(rng, index + 1, False), "class": None, "scores": (), "score": value}


def truth(rng: np.random.Generator, index: int, task: Task, row: dict[str, Any], moved: bool) -> Message:
    """The label of a request: wrong more often, or further away, after the move."""
    if task is Task.REGRESSION:
        return label(index, None, value=row["score"] + rng.normal(scale=3.0 if moved else 1.0))
    if moved and rng.uniform() < 0.1:
        return label(index, None, value=1.0) if index % 2 else label(index, "none of them")
    wrong = rng.uniform() < (0.5 if moved else 0.2)
    return label(index, "1" if (row["class"] != "1") == wrong else "0")


async def stream(world: World, manifest: ModelManifest, row: Row, seed: int) -> None:
    """Store 44 batches over three partitions; the stream moves half way, and some labels arrive before predictions."""
    rng, first, index = np.random.default_rng(seed), [0, 0, 0], 0
    digest = digest_of_manifest(manifest)
    for batch in range(44):
        size, partition, moved = int(rng.integers(60, 150)), int(rng.integers(3)), batch >= 22
        rows = [row(rng, index + i, moved) for i in range(size)]
        asked: list[Message] = [prediction(index + i, model_digest=digest, **fields) for i, fields in enumerate(rows)]
        truths = [truth(rng, index + i, manifest.task, fields, moved) for i, fields in enumerate(rows)]
        late = batch % 8 == 7
        stores = [(world.predictions.store, asked), (world.labels.store, truths)]
        for store, messages in reversed(stores) if late else stores:
            await store(records(messages, first=first[partition], partition=partition))
        if late:
            await world.late.join(partition)
        first[partition] += size
        index += size
    quiet = [prediction(index + i, model_digest=digest, **row(rng, index + i, True)) for i in range(5_500)]
    await world.predictions.store(records(quiet, first=10_000))


async def detected(world: World, rules: Rules) -> Sequence[Found]:
    sent = Sent()
    detector = Detector({}, Snapshots(lambda: KEYS), world.manifests, sent, rules, world.clickhouse.database)
    for offset, piece in enumerate(world.sent.messages):
        assert isinstance(piece, SliceSummarised)
        await detector.handle(piece, (0, offset))
    return [event for event in sent.messages if isinstance(event, DriftDetected | AlertRaised)]


def name(event: Found) -> str:
    return f"{event.detector if isinstance(event, DriftDetected) else event.alert} {event.subject}"


def number(event: Found) -> float:
    return event.statistic if isinstance(event, DriftDetected) else event.value


def rows_of(event: Found) -> int:
    return event.current_rows if isinstance(event, DriftDetected) else event.rows


OF_A_CLASSIFIER = {
    *("psi a", "psi c", "psi d", "psi score", "psi classes", "adwin a", "adwin d", "adwin score"),
    *("window error_rate", "error_rate_high requests", "labels_missing labels", "labels_do_not_match labels"),
    *("missing_values_high a", "non_finite_values_high a", "missing_values_high c", "unseen_values_high c"),
    "unusable_rows_high rows",
}
OF_A_REGRESSION = {"psi score", "adwin score", "window mean_absolute_error", "labels_missing labels"}
USUAL = Rules(rearm_rows=500, micro_batch_rows=30)
AGAINST_THE_PAST = replace(USUAL, error_window_labels=100_000)


def without_error(manifest: ModelManifest) -> ModelManifest:
    """The manifest without a reference for errors, so that they are compared with the past."""
    assert manifest.reference is not None
    unknown = {"error_rate": None, "mean_absolute_error": None}
    return manifest.model_copy(update={"reference": manifest.reference.model_copy(update=unknown)})


@pytest.mark.parametrize(
    ("manifest", "row", "rules", "expected"),
    [
        (make_manifest(), binary, USUAL, OF_A_CLASSIFIER),
        (without_error(make_manifest()), binary, AGAINST_THE_PAST, {"adwin error_rate"}),
        (make_manifest(task=Task.MULTICLASS), multiclass, USUAL, {"psi classes", "window error_rate"}),
        (make_manifest(task=Task.REGRESSION), regression, USUAL, OF_A_REGRESSION),
        (
            without_error(make_manifest(task=Task.REGRESSION)),
            regression,
            AGAINST_THE_PAST,
            {"adwin mean_absolute_error"},
        ),
    ],
    ids=["binary", "binary, past", "multiclass", "regression", "regression, past"],
)
async def test_the_sql_of_every_event_gives_the_number_in_it(
    world: World, manifest: ModelManifest, row: Row, rules: Rules, expected: set[str]
) -> None:
    world.manifests.known["m", 1] = manifest
    world.clock.advance(60)  # labels do not wait
    await stream(world, manifest, row, seed=1)
    events = await detected(world, rules)

    for event in events:
        assert event.sql, event.reason
        [found] = world.clickhouse.rows(event.sql)
        assert next(iter(found.values())) == pytest.approx(number(event), rel=1e-6), event.sql
        assert found.get("rows", found.get("labels", rows_of(event))) == rows_of(event), event.sql
    assert expected - set(map(name, events)) == set()
    assert len({event.event_id for event in events}) == len(events)
    assert {m.source for m in world.sent.messages if isinstance(m, SliceSummarised)} == set(SliceSource)
