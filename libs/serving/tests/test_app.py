"""What a caller sees of a model server."""

import asyncio
from typing import Any

import msgspec
import pytest

from modelyard_serving.app import ModelApp

from .conftest import TOKEN, Caller, World, cat, num

INFER = "/v2/models/elec/infer"


async def test_an_answer_names_class_scores_version_and_digest(world: World) -> None:
    status, body = await world.call(
        "POST", INFER, {"id": "r1", "inputs": [num([0.75, 1.0], [0.25, 1.0]), cat("red", None)]}
    )
    assert status == 200
    assert (body["model_name"], body["model_version"], body["id"]) == ("elec", "3", "r1")
    assert body["parameters"]["digest"] == world.model.manifest.digest
    classes, scores = body["outputs"]
    assert classes == {"name": "class", "shape": [2], "datatype": "BYTES", "data": ["up", "down"]}
    assert scores == {"name": "scores", "shape": [2, 2], "datatype": "FP64", "data": [0.25, 0.75, 0.75, 0.25]}


async def test_one_tensor_per_feature_gives_the_same_answer(world: World) -> None:
    columns = [
        {"name": "demand", "shape": [2], "datatype": "FP64", "data": [1, 1]},
        {"name": "price", "shape": [2, 1], "datatype": "FP32", "data": [[0.75], [0.25]]},
        {"name": "colour", "shape": [2], "datatype": "BYTES", "data": ["red", None]},
    ]
    status, body = await world.call("POST", "/v2/models/elec/versions/3/infer", {"inputs": columns})
    assert (status, body["outputs"][0]["data"]) == (200, ["up", "down"])


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ([num([0.1, 1.0])], "cat"),
        ([num([0.1, 1.0]), cat("a", "b")], "shape"),
        ([{**num([0.1, 1.0]), "data": [0.1]}, cat("a")], "num"),
        ([{**num([0.1, 1.0]), "datatype": "BYTES"}, cat("a")], "num"),
        ([{**num([0.1, 1.0]), "data": ["0.1", 1.0]}, cat("a")], "num"),
        ([{**num([0.1, 1.0]), "shape": [1, 3]}, cat("a")], "num"),
        ([num([0.1, None]), cat("a")], "demand"),
        ([{"name": "weight", "shape": [1], "datatype": "FP64", "data": [1]}], "weight"),
        ([{"name": "price", "shape": [1], "datatype": "FP64", "data": [1]}], "colour"),
        ([num([0.1, 1.0]), num([0.1, 1.0])], "inputs"),
    ],
)
async def test_an_input_that_breaks_the_contract_is_named(world: World, inputs: list[Any], field: str) -> None:
    status, body = await world.call("POST", INFER, {"inputs": inputs})
    assert (status, body["field"]) == (400, field), body


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"inputs":1}', b'{"inputs":[{"name":"num"}]}', b"\xff\xfe"])
async def test_a_body_that_is_no_request_is_refused(world: World, body: bytes) -> None:
    status, said = await world.call("POST", INFER, body)
    assert (status, said["code"]) == (400, "bad_request")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
async def test_numbers_that_json_does_not_have_are_refused(world: World, number: str) -> None:
    body = '{"inputs":[{"name":"num","shape":[1,2],"datatype":"FP64","data":[NUMBER,1]}]}'.replace("NUMBER", number)
    assert (await world.call("POST", INFER, body.encode()))[0] == 400


async def test_too_many_bytes_or_rows_are_refused(world: World) -> None:
    assert (await world.call("POST", INFER, b" " * 5_000))[0] == 413
    tensor = {"name": "num", "shape": [101, 2], "datatype": "FP64", "data": []}
    assert (await world.call("POST", INFER, {"inputs": [tensor]}))[0] == 413


@pytest.mark.parametrize("parts", [[], [b'{"inputs"']])
async def test_a_body_that_does_not_end_is_not_waited_for(world: World, parts: list[bytes]) -> None:
    world.app.limits = msgspec.structs.replace(world.app.limits, read_timeout_ms=50)
    async with asyncio.timeout(20):
        status, problem = await world.call("POST", INFER, headers={"content-length": "100"}, parts=parts)
    assert (status, problem["code"]) == (400, "bad_request")
    assert "within 50 ms" in problem["error"]


async def test_every_path_but_health_needs_the_token(world: World) -> None:
    for method, path in (("GET", "/v2"), ("GET", "/v2/models/elec"), ("POST", INFER), ("GET", "/metrics")):
        for token in (None, "wrong", TOKEN[:-1]):
            assert (await world.call(method, path, token=token))[0] == 401
    assert (await world.call("GET", "/v2/health/live", token=None))[0] == 200


async def test_the_description_names_the_features_in_their_order(world: World) -> None:
    _, body = await world.call("GET", "/v2/models/elec/versions/3")
    assert [tensor["parameters"]["features"] for tensor in body["inputs"]] == [["price", "demand"], ["colour"]]
    assert (await world.call("GET", "/v2/models/other"))[0] == 404
    assert (await world.call("GET", "/v2/models/elec/versions/4"))[0] == 404


async def test_it_is_ready_only_between_loading_and_draining(world: World) -> None:
    empty = Caller(ModelApp(TOKEN))
    assert (await empty("GET", "/v2/health/ready"))[0] == 503
    assert (await empty("POST", INFER, {}))[0] == 503
    assert (await world.call("GET", "/v2/health/ready"))[0] == 200
    world.app.draining = True
    assert (await world.call("GET", "/v2/health/ready"))[0] == 503
    assert (await world.call("POST", INFER, {"inputs": [num([0.1, 1.0]), cat("a")]}))[0] == 200


async def test_concurrent_requests_are_predicted_together(world: World) -> None:
    def ask(price: float) -> Any:
        return world.call("POST", INFER, {"inputs": [num([price, 1.0]), cat("a")]})

    answers = await asyncio.gather(*(ask(i / 50) for i in range(50)))
    assert [body["outputs"][1]["data"][1] for _, body in answers] == [i / 50 for i in range(50)]
    assert sum(world.predictor.batches) == 50
    assert len(world.predictor.batches) < 50


async def test_a_row_that_breaks_the_model_fails_alone(world: World) -> None:
    prices = [0.1, 666.0, 0.2, 0.3]
    answers = await asyncio.gather(
        *(world.call("POST", INFER, {"inputs": [num([price, 1.0]), cat("a")]}) for price in prices)
    )
    assert [status for status, _ in answers] == [200, 500, 200, 200]


async def test_a_score_that_is_not_finite_is_an_error_not_an_answer(world: World) -> None:
    world.predictor.predict = lambda numeric, categorical: numeric * float("nan")  # type: ignore[method-assign]
    world.app._batcher._predict = world.predictor.predict
    status, body = await world.call("POST", INFER, {"inputs": [num([0.1, 1.0]), cat("a")]})
    assert (status, body["code"]) == (500, "model_failed")


@pytest.mark.parametrize("value", ["soon", "-5", "0", "nan"])
async def test_a_senseless_deadline_is_refused(world: World, value: str) -> None:
    answer = await world.call("POST", INFER, {"inputs": []}, headers={"x-modelyard-timeout-ms": value})
    assert answer[0] == 400
