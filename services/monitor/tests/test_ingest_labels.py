"""Labels meet their predictions: at once, after a wait, or late; each exactly once."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from modelyard_contracts import SliceSource, SliceSummarised
from modelyard_monitor.ingest.batches import token_of
from modelyard_monitor.ingest.labels import PredictionsOnTheirWay
from modelyard_monitor.ingest.late_labels import ROUND_SQL
from modelyard_monitor.store.connection import ClickHouseAway
from modelyard_monitor.testing.samples import START, label, prediction, records
from modelyard_runtime.errors import BrokerAway, Retryable

from .world import World


def outcomes(world: World) -> list[tuple[int, ...]]:
    return [
        m.outcomes for m in world.sent.messages if isinstance(m, SliceSummarised) and m.source is SliceSource.LABELS
    ]


async def test_labels_are_joined_with_what_was_predicted(world: World) -> None:
    await world.predictions.store(records([prediction(i) for i in range(4)]))
    await world.labels.store(records([label(0, "1"), label(1, "0"), label(2, None, value=3.5), label(3, "1")]))

    rows = world.clickhouse.rows("SELECT matched, wrong, model, model_version FROM {db}.labels ORDER BY _offset")
    assert [row["wrong"] for row in rows] == [0, 1, None, 0]
    assert {(row["matched"], row["model"], row["model_version"]) for row in rows} == {(1, "m", 1)}
    assert outcomes(world) == [(0, 1, 0)]


async def test_a_young_label_waits_for_its_prediction(world: World) -> None:
    batch = records([label(0)])
    with pytest.raises(PredictionsOnTheirWay, match="1 of 1"):
        await world.labels.store(batch)
    await world.predictions.store(records([prediction(0)]))
    await world.labels.store(batch)

    assert outcomes(world) == [(0,)]


async def test_a_label_from_a_clock_that_is_far_ahead_does_not_delay_its_partition(world: World) -> None:
    ahead = records([label(0)], at=START + timedelta(days=300))
    await world.labels.store([*ahead, *records([label(1)], first=1, at=START - timedelta(days=1))])
    assert world.count("labels") == 2


async def test_labels_of_very_long_ids_are_looked_up_in_pieces_that_a_url_can_hold(world: World) -> None:
    world.clock.advance(11)
    ids = [("\N{GRINNING FACE}" * 250 + str(i)) for i in range(100)]
    asked, table = [], world.clickhouse.table

    def noted(sql: str, parameters: Any = None) -> Any:
        asked.append(len(quote(str(parameters.get("ids", "")))))
        return table(sql, parameters)

    world.clickhouse.table = noted  # type: ignore[method-assign]
    await world.predictions.store(records([prediction(i, prediction_id=id_) for i, id_ in enumerate(ids)]))
    await world.labels.store(records([label(i, prediction_id=id_) for i, id_ in enumerate(ids)]))
    assert world.count("v_matched") == 100
    assert max(asked) < 100_000


async def test_an_old_label_without_prediction_is_stored_and_joined_when_it_comes(world: World) -> None:
    world.clock.advance(11)
    await world.labels.store(records([label(0, "0"), label(1)]))
    assert outcomes(world) == []
    assert await world.late.join(0) == 0

    await world.predictions.store(records([prediction(0)]))
    assert await world.late.join(0) == 1
    assert await world.late.join(0) == 0

    assert outcomes(world) == [(1,)]
    assert world.count("v_matched") == 1
    assert world.count("labels") == 2
    assert world.is_exact("labels")


async def test_the_last_late_round_is_sent_again_after_a_start_with_the_same_id(world: World) -> None:
    world.clock.advance(11)
    await world.labels.store(records([label(0)]))
    await world.predictions.store(records([prediction(0)]))
    await world.late.join(0)
    world.late.forget({0})
    await world.late.join(0)

    sent = [m for m in world.sent.messages if isinstance(m, SliceSummarised) and m.source is SliceSource.LABELS]
    assert len(sent) == 2
    assert sent[0] == sent[1]
    assert sent[0].covers.last_offset == 1


@pytest.mark.parametrize("fails", ["insert", "read back", "send"])
async def test_a_late_round_that_failed_half_way_is_sent_before_the_next_one(
    world: World, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are stored, but their slices were not sent."""
    world.clock.advance(11)
    await world.labels.store(records([label(0, "0"), label(1)]))
    assert await world.late.join(0) == 0
    await world.predictions.store(records([prediction(0)]))
    with monkeypatch.context() as patch:
        _fail_once(patch, world, fails)
        with pytest.raises(Retryable):
            await world.late.join(0)
    assert outcomes(world) == []

    await world.predictions.store(records([prediction(1)], first=1))
    assert await world.late.join(0) == 1
    assert outcomes(world) == [(1,), (0,)]


def _fail_once(patch: pytest.MonkeyPatch, world: World, what: str) -> None:
    store = world.clickhouse
    insert, table = store.insert, store.table

    def lost_answer(*asked: Any) -> None:
        insert(*asked)
        raise ClickHouseAway("the answer was lost")

    def unread(sql: str, parameters: Any = None) -> Any:
        if sql == ROUND_SQL:
            raise ClickHouseAway("away")
        return table(sql, parameters)

    async def unsent(*_: Any) -> None:
        raise BrokerAway("away")

    if what == "insert":
        patch.setattr(store, "insert", lost_answer)
    elif what == "read back":
        patch.setattr(store, "table", unread)
    else:
        patch.setattr(world.sent, "send", unsent)


async def test_a_replayed_batch_sends_what_was_stored_first_not_what_it_would_find_now(world: World) -> None:
    """The first attempt stored the label unmatched and died; by the second the prediction is there."""
    world.clock.advance(11)
    batch = records([label(0)])
    rows, _ = world.labels.join(batch)
    world.clickhouse.insert("labels", rows, token_of(batch))
    await world.predictions.store(records([prediction(0)]))

    await world.labels.store(batch)
    assert world.count("labels") == 1
    assert outcomes(world) == []
    assert await world.late.join(0) == 1
    assert outcomes(world) == [(0,)]


async def test_a_repeated_label_does_not_count_twice(world: World) -> None:
    await world.predictions.store(records([prediction(0)]))
    await world.labels.store(records([label(0, "0"), label(0, "0")]))
    await world.labels.store(records([label(0, "0")], first=2))

    assert outcomes(world) == [(1,)]
    rows = world.clickhouse.rows("SELECT repeat FROM {db}.labels ORDER BY _offset")
    assert [row["repeat"] for row in rows] == [0, 1, 1]


async def test_a_correction_wins_in_v_labelled(world: World) -> None:
    await world.predictions.store(records([prediction(0), prediction(1)]))
    late = START + timedelta(hours=1)
    await world.labels.store(records([label(0, "0"), label(1, "1"), label(0, "1", occurred_at=late)]))

    rows = world.clickhouse.rows("SELECT prediction_id, label, class FROM {db}.v_labelled ORDER BY prediction_id")
    assert [(row["prediction_id"], row["label"]) for row in rows] == [("p0", "1"), ("p1", "1")]


async def test_a_repeated_prediction_is_one_row_in_the_views(world: World) -> None:
    await world.predictions.store(records([prediction(0), prediction(0)]))
    await world.labels.store(records([label(0)]))

    assert world.count("predictions") == 2
    assert world.count("v_predictions") == 1
    assert world.count("v_labelled") == 1


async def test_a_workspace_cannot_label_the_predictions_of_another(world: World) -> None:
    world.clock.advance(11)
    await world.predictions.store(records([prediction(0)]))
    await world.labels.store(records([label(0, workspace="other")]))

    [row] = world.clickhouse.rows("SELECT matched FROM {db}.labels")
    assert row["matched"] == 0
    assert world.count("v_labelled") == 0


async def test_the_same_labels_again_change_nothing(world: World) -> None:
    await world.predictions.store(records([prediction(i) for i in range(5)]))
    batch = records([label(i) for i in range(5)])
    await world.labels.store(batch)
    await world.labels.store(batch)

    assert world.count("labels") == 5
    first, second = [m for m in world.sent.messages if isinstance(m, SliceSummarised) and m.source == "labels"]
    assert first == second


async def test_a_label_of_nothing_but_garbage_is_a_dead_letter(world: World) -> None:
    await world.predictions.store(records([prediction(0)]))
    await world.labels.store(records([label(0), b"\x00\x00\x00\x00\x02zz"]))

    assert [offset for offset, _ in world.letters.letters] == [1]
    assert world.count("labels") == 1


async def test_late_rounds_are_due_after_a_start_and_while_labels_are_unmatched(world: World) -> None:
    assert await world.late.due({0, 1}) == [0, 1]
    for partition in (0, 1):
        await world.late.join(partition)
    assert await world.late.due({0, 1}) == []

    world.clock.advance(300)
    await world.labels.store(records([label(0)], partition=1))
    assert await world.late.due({0, 1}) == [1]
    assert await world.late.due({0}) == []
    world.late.forget({0})
    assert await world.late.due({0}) == [0]


async def test_a_retry_under_the_same_id_supersedes_the_failed_request(world: World) -> None:
    world.clock.advance(11)
    failed = prediction(0, status="unavailable", **{"class": None, "score": None})
    await world.predictions.store(records([failed]))
    await world.labels.store(records([label(0, "0")]))
    assert outcomes(world) == []

    await world.predictions.store(records([prediction(0, occurred_at=START + timedelta(seconds=2))], first=1))
    assert await world.late.join(0) == 1
    assert outcomes(world) == [(1,)]
    [seen] = world.clickhouse.rows("SELECT status, class FROM {db}.v_predictions")
    assert (seen["status"], seen["class"]) == ("ok", "1")
    [counted] = world.clickhouse.rows("SELECT sum(n) AS n FROM {db}.feature_bins WHERE feature = 'a'")
    assert counted["n"] == 1


async def test_values_of_a_regression_are_compared_and_both_errors_are_in_the_views(world: World) -> None:
    values = [prediction(i, score=10.0 + i, **{"class": None}) for i in range(3)]
    await world.predictions.store(records(values))
    await world.labels.store(records([label(0, None, value=9.0), label(1, None, value=13.0), label(2, "1")]))

    rows = world.clickhouse.rows("SELECT absolute_error, wrong FROM {db}.v_labelled ORDER BY prediction_id")
    assert [(row["absolute_error"], row["wrong"]) for row in rows] == [(1.0, None), (2.0, None), (11.0, None)]
    [slice_] = [m for m in world.sent.messages if isinstance(m, SliceSummarised) and m.source is SliceSource.LABELS]
    assert (slice_.absolute_errors, slice_.outcomes) == ((1.0, 2.0, 11.0), ())
    [hour] = world.clickhouse.rows("SELECT * FROM {db}.v_quality_hourly")
    assert (hour["labelled_values"], hour["mean_absolute_error"], hour["accuracy"]) == (3, 14 / 3, None)
