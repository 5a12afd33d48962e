"""Votes of ensembles: the lead's own output is compared with its reference, each member with the label, once."""

from datetime import timedelta
from typing import Any

import httpx
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_contracts import PredictionLogged, SliceSource, SliceSummarised
from modelyard_contracts.signature import Task
from modelyard_monitor.domain.votes import Cursor, grouped, judged
from modelyard_monitor.ingest.own_outputs import own_output
from modelyard_monitor.testing.samples import label, make_manifest, prediction, records

from .test_api import client
from .world import World

LEAD, OTHER = "lead-digest", "other-digest"


def vote(version: int, weight: float, score: float, path: str = "ensemble:0", model: str = "m") -> dict[str, Any]:
    class_ = "1" if score > 0.5 else "0"
    digest = LEAD if version == 1 else OTHER
    return {
        "path": path,
        "model": model,
        "version": version,
        "digest": digest,
        "weight": weight,
        "class": class_,
        "score": score,
    }


def voted(index: int, *votes: dict[str, Any], **fields: Any) -> PredictionLogged:
    return prediction(index, **{"votes": votes, **fields})


async def page(caller: httpx.AsyncClient, after: str = "", **parameters: Any) -> dict[str, Any]:
    answer = await caller.get("/v1/models/m/votes", params={"after": after, **parameters})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_the_quality_of_a_member_is_that_of_its_own_votes_beside_the_answers(world: World) -> None:
    rows = [voted(i, vote(1, 0.6, 0.9), vote(2, 0.4, 0.2)) for i in range(3)]
    await world.predictions.store(records([*rows, voted(3_700, vote(1, 0.6, 0.9))]))
    await world.labels.store(records([label(0, "1"), label(1, "1"), label(2, "0"), label(3_700, "1")]))
    since = (rows[0].occurred_at - timedelta(hours=1)).isoformat()
    async with client(world) as caller:
        answer = await caller.get("/v1/models/m/members/over-time", params={"since": since})
    first, other, later = answer.json()["items"]
    assert (first["version"], first["labelled"], first["wrong"], first["answers_wrong"]) == (1, 3, 1, 1)
    assert (other["version"], other["labelled"], other["wrong"], other["answers_wrong"]) == (2, 3, 2, 1)
    assert (later["version"], later["labelled"], later["wrong"], later["mean_absolute_error"]) == (1, 1, 0, None)
    assert first["at"] < later["at"]


async def test_members_are_compared_with_each_label_and_each_label_is_in_one_page(world: World) -> None:
    await world.predictions.store(
        records([voted(i, vote(1, 0.6, 0.9), vote(2, 0.4, 0.2)) for i in range(4)] + [voted(4, vote(1, 1.0, 0.9))])
    )
    async with client(world) as caller:
        start = (await page(caller))["cursor"]
        await world.labels.store(records([label(0, "1"), label(1, "0"), label(2, "1"), label(4, "0")]))
        found = await page(caller, start)
        assert (found["labels"], found["more"]) == (4, False)
        pair, alone = found["groups"]
        assert pair == {
            "members": [
                {"version": 1, "digest": LEAD, "loss": 1.0},
                {"version": 2, "digest": OTHER, "loss": 2.0},
            ],
            "rows": 3,
            "loss": 1.0,
            "expected": pytest.approx(0.4 + 0.6 + 0.4),
            "drawn": False,
            "inverse": 3.0,
        }
        assert (alone["rows"], alone["members"], alone["drawn"]) == (
            1,
            [{"version": 1, "digest": LEAD, "loss": 1.0}],
            False,
        )
        assert (await page(caller, found["cursor"]))["labels"] == 0
        await world.labels.store(records([label(3, "0"), label(0, "0")], first=4))
        after = await page(caller, found["cursor"])
        assert after["labels"] == 1, "a correction does not count again"


async def test_pages_have_a_limit_and_lose_nothing(world: World) -> None:
    await world.predictions.store(records([voted(i, vote(1, 0.6, 0.9), vote(2, 0.4, 0.2)) for i in range(10)]))
    async with client(world) as caller:
        cursor = (await page(caller))["cursor"]
        await world.labels.store(records([label(i, "1") for i in range(10)]))
        sizes = []
        while True:
            found = await page(caller, cursor, limit=4)
            sizes.append(found["labels"])
            cursor = found["cursor"]
            if not found["more"]:
                break
    assert sizes == [4, 4, 2]


async def test_a_label_that_came_before_its_prediction_counts_when_it_is_joined(world: World) -> None:
    world.clock.advance(11)
    async with client(world) as caller:
        start = (await page(caller))["cursor"]
        await world.labels.store(records([label(0, "0")]))
        waiting = await page(caller, start)
        assert waiting["labels"] == 0
        await world.predictions.store(records([voted(0, vote(1, 0.6, 0.9), vote(2, 0.4, 0.2))]))
        assert await world.late.join(0) == 1
        found = await page(caller, waiting["cursor"])
        assert [member["loss"] for member in found["groups"][0]["members"]] == [1.0, 0.0]
        assert (await page(caller, found["cursor"]))["labels"] == 0


async def test_a_batch_of_labels_that_is_stored_twice_counts_once(world: World) -> None:
    await world.predictions.store(records([voted(0, vote(1, 0.6, 0.9), vote(2, 0.4, 0.2))]))
    async with client(world) as caller:
        start = (await page(caller))["cursor"]
        batch = records([label(0, "1")])
        await world.labels.store(batch)
        await world.labels.store(batch)
        found = await page(caller, start)
    assert (found["labels"], found["groups"][0]["rows"]) == (1, 1)


async def test_votes_of_other_models_and_labels_that_do_not_match_are_left_out(world: World) -> None:
    foreign = vote(7, 0.4, 0.2, model="another")
    await world.predictions.store(records([voted(0, vote(1, 0.6, 0.9), foreign), voted(1, vote(1, 0.6, 0.9))]))
    async with client(world) as caller:
        start = (await page(caller))["cursor"]
        await world.labels.store(records([label(0, "1"), label(1, "no such class")]))
        found = await page(caller, start)
    assert [[member["version"] for member in group["members"]] for group in found["groups"]] == [[1]]
    assert found["labels"] == 1


async def test_a_drawn_member_counts_by_the_inverse_of_its_weight(world: World) -> None:
    rows = [voted(0, vote(2, 0.25, 0.9, "split:v2")), voted(1, vote(2, 0.01, 0.9, "split:v2"))]
    await world.predictions.store(records(rows))
    async with client(world) as caller:
        start = (await page(caller))["cursor"]
        await world.labels.store(records([label(0, "0"), label(1, "0")]))
        [group] = (await page(caller, start))["groups"]
    assert (group["drawn"], group["rows"], group["loss"]) == (True, 2, 2.0)
    assert group["members"][0]["loss"] == group["inverse"] == pytest.approx(4 + 20)


async def test_members_of_a_regression_lose_in_proportion_to_the_largest_error(world: World) -> None:
    world.manifests.known[("m", 1)] = make_manifest(task=Task.REGRESSION)
    value = {"class": None, "scores": ()}
    votes = [{**vote(1, 0.5, 12.0), "class": None}, {**vote(2, 0.5, 8.0), "class": None}]
    await world.predictions.store(records([voted(0, *votes, score=10.0, **value)]))
    async with client(world) as caller:
        start = (await page(caller))["cursor"]
        await world.labels.store(records([label(0, None, value=9.0)]))
        [group] = (await page(caller, start))["groups"]
    assert [member["loss"] for member in group["members"]] == pytest.approx([1.0, 1 / 3])
    assert group["loss"] == pytest.approx(1 / 3)
    [row] = world.clickhouse.rows("SELECT votes FROM {db}.labels")
    assert [one["absolute_error"] for one in row["votes"]] == [3.0, 1.0]


@pytest.mark.parametrize(
    "after", ["x", "====", "WyJtIl0", Cursor("other").text(), Cursor("m", {0: -1}).text(), "é", "A" * 9_000]
)
async def test_what_is_not_a_cursor_of_the_model_is_refused_with_the_remedy(world: World, after: str) -> None:
    async with client(world) as caller:
        answer = await caller.get("/v1/models/m/votes", params={"after": after})
    assert answer.status_code == 422
    assert "after" in answer.text


@given(st.dictionaries(st.integers(0, 9), st.integers(0, 2**60)), st.dictionaries(st.integers(0, 9), st.integers(0, 9)))
def test_a_cursor_survives_its_text(offsets: dict[int, int], rounds: dict[int, int]) -> None:
    cursor = Cursor("a:model", offsets, rounds)
    assert Cursor.parse(cursor.text(), "a:model") == cursor


async def test_scores_and_classes_are_counted_as_the_lead_gave_them(world: World) -> None:
    combined = {"class": "0", "score": 0.11, "scores": (0.89, 0.11)}
    rows = [voted(i, vote(1, 0.3, 0.91), vote(2, 0.7, 0.05), **combined) for i in range(3)] + [prediction(3)]
    await world.predictions.store(records(rows))
    [piece] = [m for m in world.sent.messages if isinstance(m, SliceSummarised)]
    assert piece.score is not None
    assert piece.score.total == pytest.approx(3 * 0.91 + 0.7)
    assert piece.classes is not None
    assert sum(piece.classes.counts) == piece.classes.counts[-1] == 4, "class 1 four times"
    assert piece.class_counts == {"0": 3, "1": 1}, "what callers got"


async def test_performance_is_that_of_the_combined_answer(world: World) -> None:
    combined = {"class": "0", "score": 0.11, "scores": (0.89, 0.11)}
    await world.predictions.store(records([voted(0, vote(1, 0.3, 0.91), vote(2, 0.7, 0.05), **combined)]))
    await world.labels.store(records([label(0, "0")]))
    [piece] = [m for m in world.sent.messages if isinstance(m, SliceSummarised) and m.source is SliceSource.LABELS]
    assert piece.outcomes == (0,)


async def test_calls_of_members_are_counted_with_their_failures(world: World) -> None:
    def call(version: int, status: str, latency_ms: float = 4.0) -> dict[str, Any]:
        return {
            "path": "ensemble:0",
            "model": "m",
            "version": version,
            "digest": "d",
            "status": status,
            "latency_ms": latency_ms,
        }

    rows = [
        voted(0, vote(1, 0.6, 0.9), attempts=(call(1, "ok"), call(2, "timeout", 900.0))),
        voted(1, vote(1, 0.6, 0.9), attempts=(call(1, "ok"), call(2, "ok", 6.0))),
        voted(2, vote(1, 0.6, 0.9), attempts=(call(1, "ok"), call(2, "upstream_error"))),
        prediction(3, variant="shadow", shadow_of="p2", attempts=(call(2, "upstream_error"),)),
    ]
    await world.predictions.store(records(rows))
    async with client(world) as caller:
        found = (await caller.get("/v1/models/m/members")).json()["members"]
    assert [(one["version"], one["asked"], one["failed"]) for one in found] == [(1, 3, 0), (2, 3, 2)]
    assert [one["latency_ms_p95"] for one in found] == pytest.approx([4.0, 6.0])


async def test_analysts_see_each_member_beside_the_answers(world: World) -> None:
    combined = {"class": "0", "score": 0.11, "scores": (0.89, 0.11)}
    await world.predictions.store(
        records([voted(i, vote(1, 0.3, 0.91), vote(2, 0.7, 0.05), **combined) for i in range(4)])
    )
    await world.labels.store(records([label(0, "1"), label(1, "0"), label(2, "0"), label(3, "0")]))
    rows = world.clickhouse.rows(
        "SELECT version, sum(votes) AS n, sum(right) AS right, any(accuracy_of_answers) AS answers "
        "FROM {db}.v_member_quality_hourly GROUP BY version ORDER BY version"
    )
    assert [(row["version"], row["n"], row["right"], row["answers"]) for row in rows] == [
        (1, 4, 1, 0.75),
        (2, 4, 3, 0.75),
    ]


@given(st.lists(st.lists(st.floats(0, 1), max_size=3), min_size=1, max_size=20), st.integers(0, 5))
def test_own_outputs_are_the_first_vote_or_the_answer(scores: list[list[float]], skipped: int) -> None:
    votes = [[{"score": score, "class": str(score)} for score in row] for row in scores]
    type_ = pa.list_(pa.struct([("score", pa.float64()), ("class", pa.string())]))
    table = pa.table({"score": pa.array([-1.0] * len(scores)), "votes": pa.array(votes, type_)}).slice(skipped)
    expected = [row[0] if row else -1.0 for row in scores][skipped:]
    assert own_output(table, "score").to_pylist() == expected


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=1, max_size=30))
def test_losses_lie_between_0_and_1_and_add_up(errors: list[tuple[float, float]]) -> None:
    rows = [
        {
            "wrong": None,
            "absolute_error": (one + two) / 2,
            "votes": [
                {"version": v, "digest": "d", "weight": 0.5, "drawn": 0, "wrong": None, "absolute_error": error}
                for v, error in ((1, one), (2, two))
            ],
        }
        for one, two in errors
    ]
    labels = judged(rows)
    assert all(0 <= loss <= 1 for row in labels for loss in (row.loss, *(vote.loss for vote in row.votes)))
    [group] = grouped(labels)
    assert group.rows == len(errors)
    assert group.expected == pytest.approx(sum(member.loss for member in group.members) / 2)
