"""Inputs of every type and outputs of every task, from the request through the model server to answer and log."""

import json
from typing import Any

import pytest

from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task

from .conftest import World
from .plans import leaf, planned
from .replica import Behaviour

ALL = Signature(
    columns=(
        Column(name="amount"),
        Column(name="count", type=ColumnType.INTEGER),
        Column(name="active", type=ColumnType.BOOLEAN),
        Column(name="plan", type=ColumnType.CATEGORY),
        Column(name="note", type=ColumnType.TEXT, max_length=20_000),
        Column(name="since", type=ColumnType.TIMESTAMP, nullable=False),
    ),
    output=Output(task=Task.REGRESSION, name="spend", unit="EUR"),
)
GIVEN = {"amount": 1.5, "count": 3, "active": True, "plan": "pro", "note": "hi", "since": "2026-01-01T00:00:00Z"}
SINCE = 1_767_225_600.0


@pytest.fixture(params=["asgi", "socket"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def answer(*outputs: tuple[str, list[Any]]) -> Any:
    def make(request: dict[str, Any], digest: str) -> bytes:
        named = [{"name": name, "datatype": "X", "shape": [len(data)], "data": data} for name, data in outputs]
        return json.dumps({"model_name": "m", "outputs": named, "parameters": {"digest": digest}}).encode()

    return make


async def serve(world: World, signature: Signature, *outputs: tuple[str, list[Any]]) -> Any:
    replica = await world.replica(Behaviour(answer=answer(*outputs)))
    world.publish(planned(leaf(replica.url, signature=signature), signatures=(signature,)))
    return replica


async def test_a_regression_takes_all_types_and_answers_a_value(world: World) -> None:
    replica = await serve(world, ALL, ("value", [12.5]))
    reply = await world.predict(GIVEN)
    assert reply.status == 200, reply
    assert (reply.body["value"], "class" in reply.body, "score" in reply.body) == (12.5, False, False)
    num, cat = replica.behaviour.requests[0]["inputs"]
    assert (num["data"], cat["data"]) == ([1.5, 3, 1, SINCE], ["pro", "hi"])
    [logged] = world.logged()
    assert (logged.num_features, logged.cat_features) == ((1.5, 3.0, 1.0, SINCE), ("pro", "hi"))
    assert (logged.class_, logged.score, logged.scores, logged.text_length) == (None, 12.5, (), 2)


async def test_values_are_taken_in_every_form_that_the_type_allows(world: World) -> None:
    await serve(world, ALL, ("value", [1.0]))
    rows: list[Any] = [
        {**GIVEN, "count": 3.0, "since": SINCE},
        {**GIVEN, "since": "2026-01-01T01:00:00+01:00"},
        {**GIVEN, "amount": None, "count": None, "active": None, "plan": None, "note": None},
        list(GIVEN.values()),
    ]
    assert [(await world.predict(row)).status for row in rows] == [200] * 4
    assert [row.num_features[-1] for row in world.logged()] == [SINCE] * 4


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"count": 1.5}, "count", "not a whole number"),
        ({"active": 1}, "active", "send true or false"),
        ({"active": "yes"}, "active", "send true or false"),
        ({"since": "yesterday"}, "since", "RFC 3339"),
        ({"since": "2026-01-01"}, "since", "RFC 3339"),
        ({"since": None}, "since", "null is not allowed"),
        ({"note": "x" * 20_001}, "note", "20001 characters; send at most 20000"),
        ({"plan": True}, "plan", "not a string"),
    ],
)
async def test_a_value_of_another_type_is_refused_by_the_column(
    world: World, change: dict[str, Any], field: str, says: str
) -> None:
    await serve(world, ALL, ("value", [1.0]))
    reply = await world.predict({**GIVEN, **change})
    assert (reply.status, reply.body["field"]) == (422, field), reply.body
    assert says in reply.body["detail"]


async def test_a_long_text_reaches_the_model_whole_and_the_log_cut(world: World) -> None:
    replica = await serve(world, ALL, ("value", [1.0]))
    await world.predict({**GIVEN, "note": "é" * 15_000})
    assert len(replica.behaviour.requests[0]["inputs"][1]["data"][1]) == 15_000
    [logged] = world.logged()
    note = logged.cat_features[1]
    assert (note is not None and len(note), logged.text_length) == (10_000, 15_000)


async def test_a_multiclass_answer_has_the_largest_probability_as_score(world: World) -> None:
    output = Output(task=Task.MULTICLASS, classes=("a", "b", "c"))
    await serve(
        world, Signature(columns=(Column(name="x"),), output=output), ("class", ["b"]), ("scores", [0.2, 0.5, 0.3])
    )
    reply = await world.predict({"x": 1})
    assert (reply.body["class"], reply.body["score"]) == ("b", 0.5)
    assert reply.body["scores"] == {"a": 0.2, "b": 0.5, "c": 0.3}
    assert world.logged()[0].scores == (0.2, 0.5, 0.3)


ODD = [
    *("plan⏎name", "line\nbreak", 'quo"te', "back\\slash", "tab\there", "größe", "💶"),
    *("num", "cat", "f0", " ", "x" * 256),
]


@pytest.mark.parametrize("name", ODD)
async def test_any_column_name_that_a_person_can_type_works(world: World, name: str) -> None:
    output = Output(task=Task.BINARY, classes=("down", "up"))
    columns = (Column(name=name), Column(name="other", type=ColumnType.CATEGORY))
    signature = Signature(columns=columns, output=output)
    await serve(world, signature, ("class", ["up"]), ("scores", [0.25, 0.75]))
    for features in ({name: 2, "other": "a"}, [2, "a"]):
        assert (await world.predict(features)).status == 200
    inputs = [
        {"name": name, "shape": [1], "datatype": "FP64", "data": [2.0]},
        {"name": "other", "shape": [1], "datatype": "BYTES", "data": ["a"]},
    ]
    assert (await world.call("POST", "/v2/models/elec/infer", {"inputs": inputs})).status == 200
    assert [(row.num_features, row.cat_features) for row in world.logged()] == [((2.0,), ("a",))] * 3
    refused = await world.predict({name: "2", "other": "a"})
    assert (refused.status, refused.body["field"]) == (422, name), refused
    absent = await world.predict({"other": "a"})
    assert (absent.status, absent.body["field"]) == (422, name)
    metadata = (await world.call("GET", "/v2/models/elec")).body
    assert metadata["inputs"][0]["name"] == name


async def test_labels_are_taken_for_classes_and_for_values(world: World) -> None:
    await serve(world, ALL, ("value", [1.0]))
    items = [{"prediction_id": "a", "label": "up"}, {"prediction_id": "b", "value": 12.5}]
    assert (await world.call("POST", "/v1/feedback", {"items": items})).status == 202
    assert [(label.label, label.value) for label in world.labels()] == [("up", None), (None, 12.5)]


VECTOR = Signature(
    input="text",
    columns=(Column(name="text", type=ColumnType.TEXT),),
    output=Output(task=Task.EMBEDDING, dimension=3),
)


async def test_an_embedding_is_answered_as_a_vector_and_logged_without_one(world: World) -> None:
    await serve(world, VECTOR, ("embedding", [0.5, -1.0, 2.0]))
    reply = await world.predict({"text": "hello"})
    assert (reply.status, reply.body["embedding"]) == (200, [0.5, -1.0, 2.0])
    assert "value" not in reply.body
    [logged] = world.logged()
    assert (logged.class_, logged.score, logged.scores, logged.text_length) == (None, None, (), 5)


@pytest.mark.parametrize("vector", [[0.5, 1.0], [0.5, 1.0, 2.0, 3.0], [0.5, None, 1.0], ["0.5", "1", "2"]])
async def test_a_vector_of_another_size_or_kind_is_a_failure_of_the_version(world: World, vector: list[Any]) -> None:
    await serve(world, VECTOR, ("embedding", vector))
    reply = await world.predict({"text": "hello"})
    assert reply.status == 502, reply
    [logged] = world.logged()
    assert logged.status == "upstream_error"
