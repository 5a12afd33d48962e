"""/v2 for many rows, /v1/feedback, and the read-only views."""

from typing import Any

import pytest

from modelyard_router.clients.keys import Access
from modelyard_router.domain.errors import BrokenContract, NotAllowed
from modelyard_runtime.access import Principal

from .conftest import Make, World
from .replica import Behaviour, infer_answer

NUM = {"name": "num", "shape": [2, 2], "datatype": "FP64", "data": [0.75, 1, 0.25, None]}
CAT = {"name": "cat", "shape": [2, 1], "datatype": "BYTES", "data": ["red", None]}
INFER = "/v2/models/elec/infer"


def num(*values: Any) -> dict[str, Any]:
    return {**NUM, "data": list(values)}


async def test_both_bodies_pass_through_and_every_row_is_logged(world: World) -> None:
    replica = await world.serve()
    request = {"id": "batch-1", "inputs": [num(0.75, 1, 0.25, 2), CAT], "parameters": {"entity_key": "u"}}
    answer = await world.call("POST", INFER, request)
    assert answer.status == 200, answer
    assert replica.behaviour.requests == [request]
    assert answer.body["outputs"][0]["data"] == ["up", "down"]
    assert answer.headers["x-modelyard-request-id"] == "batch-1"
    assert answer.headers["x-modelyard-cost-usd"] == "0.002"
    one, two = world.logged()
    assert (one.prediction_id, one.class_, one.num_features, one.cat_features) == (
        "batch-1-0",
        "up",
        (0.75, 1.0),
        ("red",),
    )
    assert (two.prediction_id, two.score, two.cat_features) == ("batch-1-1", 0.25, (None,))
    assert one.entity_key_hash == two.entity_key_hash is not None


async def test_one_tensor_per_feature_and_the_callers_ids_are_taken(world: World) -> None:
    await world.serve()
    inputs = [
        {"name": "price", "shape": [2], "datatype": "FP64", "data": [0.9, 0.1]},
        {"name": "demand", "shape": [2, 1], "datatype": "INT64", "data": [[1], [2]]},
        {"name": "colour", "shape": [2], "datatype": "BYTES", "data": [None, "red"]},
    ]
    answer = await world.call("POST", INFER, {"inputs": inputs, "parameters": {"prediction_ids": ["a", "b"]}})
    assert answer.status == 200, answer
    assert [(r.prediction_id, r.num_features, r.cat_features) for r in world.logged()] == [
        ("a", (0.9, 1.0), (None,)),
        ("b", (0.1, 2.0), ("red",)),
    ]


BROKEN: list[tuple[Any, str]] = [
    ({"inputs": [NUM, CAT]}, "demand"),
    ({"inputs": [num(1, 2, 3), CAT]}, "num"),
    ({"inputs": [num(1, 2, 3, "4"), CAT]}, "num"),
    ({"inputs": [{**NUM, "datatype": "BYTES"}, CAT]}, "num"),
    ({"inputs": [num(1, 2, 3, 4)]}, "cat"),
    ({"inputs": [num(1, 2, 3, 4), {**CAT, "shape": [3, 1]}]}, "cat"),
    ({"inputs": [{"name": "price", "shape": [1], "datatype": "FP64", "data": [1]}]}, "colour"),
    ({"inputs": [{"name": "weight", "shape": [1], "datatype": "FP64", "data": [1]}]}, "weight"),
    ({"inputs": [num(1, 2, 3, 4), CAT], "parameters": {"prediction_ids": ["a"]}}, "prediction_ids"),
    ({"inputs": [num(1, 2, 3, 4), CAT], "parameters": {"prediction_ids": ["a", "a"]}}, "prediction_ids"),
]


@pytest.mark.parametrize(("request_", "field"), BROKEN)
async def test_a_tensor_that_breaks_the_contract_is_named_in_the_protocols_own_word_too(
    world: World, request_: Any, field: str
) -> None:
    await world.serve()
    answer = await world.call("POST", INFER, request_)
    assert (answer.status, answer.body["field"]) == (400, field), answer.body
    assert answer.body["error"] == answer.body["detail"]


async def test_an_answer_with_too_few_rows_is_an_upstream_error(world: World) -> None:
    one_row = infer_answer({"inputs": [{**NUM, "shape": [1, 2]}]}, Behaviour().digest)
    await world.serve(Behaviour(body=one_row.replace(b'"down"', b'"down","up","up"')))
    answer = await world.call("POST", INFER, {"inputs": [num(0.75, 1, 0.25, 2), CAT]})
    assert (answer.status, answer.body["code"]) == (502, "upstream_error")
    assert len(world.logged()) == 2


async def test_the_other_endpoints_of_the_protocol_answer(world: World) -> None:
    await world.serve()
    assert (await world.call("GET", "/v2")).body["name"] == "modelyard-router"
    model = (await world.call("GET", "/v2/models/elec")).body
    assert [tensor["name"] for tensor in model["inputs"]] == ["price", "colour", "demand"]
    assert (await world.call("GET", "/v2/models/elec/ready")).status == 200
    assert (await world.call("GET", "/v2/models/spam/ready")).status == 404
    assert (await world.call("POST", "/v2/models/spam/infer")).status == 404
    assert (await world.call("GET", INFER)).status == 405
    assert (await world.call("DELETE", "/v1/routes")).status == 405


async def test_routes_spool_and_metrics_can_be_read(world: World) -> None:
    await world.serve()
    await world.predict()
    await world.predict({"price": 1})
    routes = (await world.call("GET", "/v1/routes")).body
    assert [(r["route"], r["sequence"], r["targets"][0]["version"]) for r in routes["routes"]] == [("elec", 1, 1)]
    assert (await world.call("GET", "/v1/routes/elec")).body["model"] == "elec"
    spool = (await world.call("GET", "/v1/spool")).body
    assert (spool["next_position"], spool["unsent"], spool["broker_away"]) == (1, 1, True)
    metrics = (await world.call("GET", "/metrics")).body
    assert 'modelyard_router_predictions_total{route="elec",status="ok",variant="stable"}' in metrics
    assert 'modelyard_router_refused_total{code="contract"}' in metrics
    assert (await world.call("GET", "/metrics", key=None)).status == 401


async def test_labels_are_accepted_once_they_are_in_the_spool(world: World) -> None:
    body = {
        "items": [
            {
                "prediction_id": "p1",
                "label": "up",
                "occurred_at": "2026-01-02T03:04:05.678901Z",
                "source": "settlement",
            },
            {"prediction_id": "p2", "value": 3},
        ]
    }
    answer = await world.call("POST", "/v1/feedback", body)
    assert (answer.status, answer.body) == (202, {"accepted": 2})
    assert (await world.call("POST", "/v1/feedback", {"prediction_id": "p3", "label": "down"})).status == 202
    one, two, three = world.labels()
    assert (one.prediction_id, one.label, one.value, one.source) == ("p1", "up", None, "settlement")
    assert one.occurred_at.isoformat() == "2026-01-02T03:04:05.678901+00:00"
    assert (two.label, two.value, three.label) == (None, 3.0, "down")
    assert len({one.event_id, two.event_id, three.event_id}) == 3


async def test_a_label_may_name_its_model_and_then_belongs_to_its_workspace(world: World) -> None:
    items = [{"prediction_id": "p1", "label": "up", "model": model} for model in ("churn", "acme:churn")]
    answer = await world.call("POST", "/v1/feedback", {"items": [*items, {"prediction_id": "p1", "label": "up"}]})
    assert answer.status == 202, answer.body
    assert [(one.model, one.workspace) for one in world.labels()] == [
        ("churn", "default"),
        ("acme:churn", "acme"),
        (None, "default"),
    ]


PREDICT = frozenset({"caller"})


@pytest.mark.parametrize(
    ("roles", "model", "workspace"),
    [
        ({"*": PREDICT}, None, "default"),
        ({"default": PREDICT, "acme": PREDICT}, None, "default"),
        ({"acme": PREDICT}, None, "acme"),
        ({"acme": PREDICT, "beta": PREDICT}, "beta:churn", "beta"),
        ({"acme": PREDICT, "default": frozenset({"viewer"})}, None, "acme"),
    ],
)
def test_a_label_belongs_to_a_workspace_where_its_caller_may_send_labels(
    roles: dict[str, frozenset[str]], model: str | None, workspace: str
) -> None:
    assert Access(Principal("ana", roles=roles)).workspace_of_label(model) == workspace


@pytest.mark.parametrize(
    ("roles", "model", "error", "words"),
    [
        ({"acme": PREDICT}, "churn", NotAllowed, "in workspace default"),
        ({"acme": PREDICT}, "beta:churn", NotAllowed, "in workspace beta"),
        ({"acme": PREDICT, "beta": PREDICT}, None, BrokenContract, "such as acme:churn"),
        ({"acme": frozenset({"viewer"})}, None, NotAllowed, "feedback"),
    ],
)
def test_a_label_for_predictions_of_another_workspace_is_refused(
    roles: dict[str, frozenset[str]], model: str | None, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Access(Principal("ana", roles=roles)).workspace_of_label(model)


BAD_LABELS: list[tuple[Any, str]] = [
    ({"prediction_id": "p", "label": "up", "model": "Not A Name"}, "model"),
    ({"items": [{"prediction_id": "p", "label": "up", "model": ""}]}, "items[0].model"),
    ({"prediction_id": "p", "label": "up", "model": 3}, "model"),
    ({"label": "up"}, "prediction_id"),
    ({"prediction_id": "p"}, "label"),
    ({"prediction_id": "p", "label": "up", "value": 1}, "label"),
    ({"prediction_id": "p", "label": 1}, "label"),
    ({"prediction_id": "p", "value": "1"}, "value"),
    ({"prediction_id": "p", "label": "up", "occurred_at": "2026-01-02T03:04:05"}, "occurred_at"),
    ({"prediction_id": "p", "label": "up", "occurred_at": "1970-01-21T03:04:05Z"}, "occurred_at"),
    ({"prediction_id": "p", "label": "up", "occurred_at": "9999-12-31T23:59:59-23:59"}, "occurred_at"),
    ({"items": [{"prediction_id": "p", "label": "up", "occurred_at": "2100-01-01T00:00:00Z"}]}, "items[0].occurred_at"),
    ({"prediction_id": "p" * 257, "label": "up"}, "prediction_id"),
    ({"items": []}, "items"),
    ({"items": [{"prediction_id": "p", "label": "up"}, {"prediction_id": "q"}]}, "items[1]"),
    ({"prediction_id": "p", "label": "up", "lable": "down"}, "lable"),
]


@pytest.mark.parametrize(("body", "field"), BAD_LABELS)
async def test_bad_feedback_names_the_field_and_stores_nothing(world: World, body: Any, field: str) -> None:
    answer = await world.call("POST", "/v1/feedback", body)
    assert (answer.status, answer.body["field"]) == (422, field), answer.body
    assert world.labels() == []


async def test_a_full_spool_is_503_that_names_the_setting_before_anything_is_predicted(make_world: Make) -> None:
    world = await make_world(spool_max_bytes=5_000)
    replica = await world.serve()
    statuses = [(await world.predict()).status for _ in range(40)]
    assert statuses[0] == 200 and statuses[-1] == 503
    answered = statuses.count(200)
    answer = await world.predict()
    assert (answer.body["code"], answer.headers["retry-after"]) == ("spool_full", "5")
    assert "ROUTER_SPOOL_MAX_BYTES=5000" in answer.body["detail"]
    assert len(world.logged()) == answered
    assert (await world.call("POST", "/v1/feedback", {"prediction_id": "p", "label": "up" * 250})).status == 503
    assert len(replica.behaviour.requests) >= answered
