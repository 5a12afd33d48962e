"""The SQL of a drift event gives its statistic again, from the rows that were stored."""

import numpy as np
import pytest

from modelyard_contracts import DriftDetected, DriftKind, SliceSource, SliceSummarised
from modelyard_monitor.detect.detector import Detector
from modelyard_monitor.detect.snapshot import Snapshots
from modelyard_monitor.domain.rules import Rules
from modelyard_monitor.testing.fakes import Sent
from modelyard_monitor.testing.samples import label, prediction, records
from modelyard_monitor.testing.world import World


async def test_the_sql_of_an_event_recomputes_its_statistic(world: World) -> None:
    rng = np.random.default_rng(0)
    for batch in range(12):
        rows = [
            prediction(
                batch * 100 + i,
                num_features=(None if i % 10 == 0 else rng.normal(1.0), rng.uniform()),
                cat_features=(("x", "y", "z", None)[rng.integers(4)],),
                score=rng.uniform() ** 3,
            )
            for i in range(100)
        ]
        breaches = {"num_features": (9.0,), "cat_features": (), "score": None}
        rows += [prediction(5_000 + batch * 5 + i, **breaches) for i in range(5)]
        await world.predictions.store(records(rows, first=batch * 105))
        truths = [label(batch * 100 + i, "0" if i % 2 else "1") for i in range(100)]
        await world.labels.store(records(truths, first=batch * 100))

    said = Sent()
    detector = Detector({}, Snapshots("key"), world.manifests, said, Rules(), world.clickhouse.database)
    for offset, message in enumerate(world.sent.messages):
        assert isinstance(message, SliceSummarised)
        await detector.handle(message, (0, offset))

    events = [event for event in said.messages if isinstance(event, DriftDetected)]
    checked = set()
    for event in events:
        if event.detector not in ("psi", "window"):
            continue
        [row] = world.clickhouse.rows(event.sql)
        if event.kind is DriftKind.PERFORMANCE:
            assert row["labels"] == event.current_rows
            assert row["error_rate"] == pytest.approx(0.5)
        else:
            assert row["psi"] == pytest.approx(event.statistic)
        checked.add(event.subject)
    assert checked == {"a", "c", "score", "error_rate"}
    assert {m.source for m in world.sent.messages if isinstance(m, SliceSummarised)} == set(SliceSource)
