"""A model server as its callers see it."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelyard_contracts.keyring import KeyRing, KeyRingFile
from modelyard_contracts.signature import Signature
from modelyard_serving.app import ModelApp
from modelyard_serving.requests import Head, Limits
from modelyard_serving.tokens import Tokens

from .conftest import THREE, TOKEN, VALUE, VECTOR, Caller, World, cat, num, world_of

INFER = "/v2/models/elec/infer"


async def test_an_answer_names_class_scores_version_and_digest(world: World) -> None:
    status, body = await world.call(
        "POST", INFER, {"id": "r1", "inputs": [num([0.75, 1.0], [0.25, 1.0]), cat("red", None)]}
    )
    assert status == 200
    assert (body["model_name"], body["model_version"], body["id"]) == ("elec", "3", "r1")
    assert body["parameters"]["digest"] == world.model.digest
    classes, scores = body["outputs"]
    assert classes == {"name": "class", "shape": [2], "datatype": "BYTES", "data": ["up", "down"]}
    assert scores == {"name": "scores", "shape": [2, 2], "datatype": "FP64", "data": [0.25, 0.75, 0.75, 0.25]}


async def test_the_head_of_an_answer_names_the_version_as_well(world: World) -> None:
    async with world.call.exchange("POST", INFER, {"inputs": [num([0.75, 1.0]), cat("red")]}) as exchange:
        await exchange.chunk()
    assert exchange.headers["x-modelyard-model"] == "elec"
    assert exchange.headers["x-modelyard-version"] == "3"
    assert exchange.headers["x-modelyard-digest"] == world.model.digest


async def test_a_vector_of_another_size_is_an_error_of_the_version(tmp_path: Path) -> None:
    world = world_of(tmp_path, VECTOR)
    world.predictor.width = 2
    status, body = await world.call("POST", INFER, {"inputs": [num([0.6, 1.0]), cat("red")]})
    assert (status, body["error"]) == (500, "the model returned 2 values per vector, not 3")
    world.app.close()


@pytest.mark.parametrize(
    ("signature", "outputs"),
    [
        (THREE, {"class": ["high", "low"], "scores": [0.2, 0.2, 0.6, 0.5, 0.5, 0.0]}),
        (VALUE, {"value": [6.0, 0.0]}),
        (VECTOR, {"embedding": [0.6, 1.2, 1.8, 0.0, 0.0, 0.0]}),
    ],
    ids=["multiclass", "regression", "embedding"],
)
async def test_every_task_has_its_outputs(tmp_path: Path, signature: Signature, outputs: dict[str, Any]) -> None:
    world = world_of(tmp_path, signature)
    status, body = await world.call("POST", INFER, {"inputs": [num([0.6, 1.0], [0.0, 1.0]), cat("red", None)]})
    assert status == 200
    found = {output["name"]: output["data"] for output in body["outputs"]}
    assert found.keys() == outputs.keys()
    for name, data in outputs.items():
        assert found[name] == (data if name == "class" else pytest.approx(data))
    _, metadata = await world.call("GET", "/v2/models/elec")
    assert [output["name"] for output in metadata["outputs"]] == list(outputs)
    world.app.close()


async def test_one_tensor_per_column_gives_the_same_answer(world: World) -> None:
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
        ([num([0.1, 1.0]), cat("a", "b")], "cat"),
        ([{**num([0.1, 1.0]), "data": [0.1]}, cat("a")], "num"),
        ([num([0.1, None]), cat("a")], "demand"),
        ([{"name": "weight", "shape": [1], "datatype": "FP64", "data": [1]}], "weight"),
    ],
)
async def test_an_input_that_breaks_the_signature_is_named(world: World, inputs: list[Any], field: str) -> None:
    status, body = await world.call("POST", INFER, {"inputs": inputs})
    assert (status, body["field"]) == (400, field), body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"inputs":[{"name":"num"}]}',
        b"\xff\xfe",
        b"[" * 3_000,
        rb'{"inputs":[{"name":"\ud800","shape":[1],"datatype":"BYTES","data":["\ud800"]}]}',
    ],
)
async def test_a_body_that_is_no_request_is_refused(world: World, body: bytes) -> None:
    status, problem = await world.call("POST", INFER, body)
    assert (status, problem["code"]) == (400, "bad_request")


async def test_too_many_bytes_or_rows_are_refused(world: World) -> None:
    assert (await world.call("POST", INFER, b" " * 5_000))[0] == 413
    tensor = {"name": "num", "shape": [101, 2], "datatype": "FP64", "data": []}
    assert (await world.call("POST", INFER, {"inputs": [tensor]}))[0] == 413


@pytest.mark.parametrize("parts", [[], [b'{"inputs"']])
async def test_a_body_that_never_ends_is_refused(world: World, parts: list[bytes]) -> None:
    world.app.limits = msgspec.structs.replace(world.app.limits, read_timeout_ms=50)
    status, problem = await world.call("POST", INFER, headers={"content-length": "100"}, parts=parts)
    assert (status, problem["code"]) == (408, "request_timeout")
    assert "within 50 ms" in problem["error"]


async def test_a_compressed_body_is_refused_by_name(world: World) -> None:
    status, problem = await world.call("POST", INFER, b"\x1f\x8b", headers={"content-encoding": "gzip"})
    assert (status, "gzip" in problem["error"]) == (415, True)


async def test_every_path_but_health_needs_the_token(world: World) -> None:
    for method, path in (("GET", "/v2"), ("GET", "/v2/models/elec"), ("POST", INFER), ("GET", "/metrics")):
        for token in (None, "wrong", TOKEN[:-1]):
            assert (await world.call(method, path, token=token))[0] == 401
    assert (await world.call("GET", "/v2/health/live", token=None))[0] == 200


async def test_every_secret_of_the_key_ring_is_accepted(tmp_path: Path) -> None:
    ring = KeyRing.fresh(2)
    (tmp_path / "serving.ring").write_text(ring.text())
    call = Caller(ModelApp(Tokens("", KeyRingFile(tmp_path / "serving.ring"))))
    statuses = [(await call("GET", "/v2", token=secret.value))[0] for secret in ring]
    assert statuses == [200, 200]
    assert (await call("GET", "/v2", token="wrong"))[0] == 401


async def test_a_repeated_authorization_header_is_refused(world: World) -> None:
    headers = [("authorization", f"Bearer {TOKEN}")]
    assert (await world.call("GET", "/v2", headers=headers))[0] == 400


async def test_the_metadata_lists_the_columns_and_the_digest(world: World) -> None:
    _, body = await world.call("GET", "/v2/models/elec/versions/3")
    assert [(tensor["name"], tensor["datatype"]) for tensor in body["inputs"]] == [
        ("price", "FP64"),
        ("colour", "BYTES"),
        ("demand", "FP64"),
    ]
    assert body["parameters"]["digest"] == world.model.digest
    assert body["parameters"]["classes"] == ["down", "up"]
    assert (await world.call("GET", "/v2/models/other"))[0] == 404
    assert (await world.call("GET", "/v2/models/elec/versions/4"))[0] == 404


async def test_wrong_methods_and_actions_are_named(world: World) -> None:
    assert (await world.call("GET", INFER))[0] == 405
    assert (await world.call("POST", "/v2/models/elec"))[0] == 405
    status, problem = await world.call("POST", "/v2/models/elec/generate", {"text_input": "hello"})
    assert (status, "use infer" in problem["error"]) == (404, True)


async def test_it_is_ready_only_between_loading_and_draining(world: World) -> None:
    empty = Caller(ModelApp(Tokens(TOKEN)))
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


async def test_numbers_no_model_computes_with_are_the_requests_fault(world: World) -> None:
    status, body = await world.call("POST", INFER, {"inputs": [num([1e306, 1.0]), cat("a")]})
    assert (status, body["code"], body["field"]) == (400, "out_of_range", "price")


async def test_a_score_that_is_not_finite_is_an_error_of_the_model(world: World) -> None:
    status, body = await world.call("POST", INFER, {"inputs": [num([-777.0, 1.0]), cat("a")]})
    assert (status, body["code"]) == (500, "model_failed")


@pytest.mark.parametrize(("stated", "seconds"), [(b"600000", 600.0), (b"1e12", 3_600.0), (None, 30.0)])
def test_a_caller_that_waits_long_is_worked_for_as_long(stated: bytes | None, seconds: float) -> None:
    headers = [] if stated is None else [(b"x-modelyard-timeout-ms", stated)]
    assert Head({"path": "/", "method": "POST", "headers": headers}).timeout_s(Limits()) == seconds


@pytest.mark.parametrize("value", ["soon", "-5", "0", "nan"])
async def test_a_senseless_deadline_is_refused(world: World, value: str) -> None:
    answer = await world.call("POST", INFER, {"inputs": []}, headers={"x-modelyard-timeout-ms": value})
    assert answer[0] == 400
