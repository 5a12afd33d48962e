"""Hostile requests to every path of a model server."""

from pathlib import Path
from typing import Any, Final

import pytest

from modelyard_contracts.signature import Signature, Task
from modelyard_devstack.testing.hostile import Operation, served, walk_hostile
from modelyard_serving.app import ModelApp
from modelyard_serving.loading import load
from modelyard_serving.requests import Limits
from modelyard_serving.tokens import Tokens

from .conftest import BINARY, TEXT, TOKEN, FakeGenerator, FakePredictor, write_model

MODEL: Final = "/v2/models/{model}"
SHARED: Final = [
    Operation("GET", "/v2/health/ready"),
    *(
        Operation(method, path)
        for method in ("GET", "POST")
        for path in ("/v2", "/metrics", MODEL, f"{MODEL}/versions/{{version}}", f"{MODEL}/ready")
    ),
]
TENSORS: Final = [
    {"name": "price", "shape": [1], "datatype": "FP64", "data": [0.75]},
    {"name": "colour", "shape": [1], "datatype": "BYTES", "data": ["red"]},
    {"name": "demand", "shape": [1], "datatype": "FP64", "data": [3]},
]
INFER: Final = {"id": "a", "inputs": TENSORS, "parameters": {"a": 1}, "outputs": [{"name": "scores"}]}
TEXT_INPUT: Final = {"text_input": "a b", "id": "a", "parameters": {"max_tokens": 5}}
INFERENCE: Final = [f"{MODEL}/infer", f"{MODEL}/versions/{{version}}/infer"]
GENERATION: Final = [f"{MODEL}/{action}" for action in ("generate", "generate_stream")]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("signature", "paths", "body"), [(BINARY, INFERENCE, INFER), (TEXT, GENERATION, TEXT_INPUT)], ids=["rows", "text"]
)
async def test_hostile_requests_get_an_answer_that_blames_the_caller(
    tmp_path: Path, loopback: None, signature: Signature, paths: list[str], body: dict[str, Any]
) -> None:
    write_model(tmp_path, signature)
    fake: Any = FakeGenerator() if signature.task is Task.TEXT else FakePredictor(signature)
    app = ModelApp(Tokens(TOKEN), Limits())
    app.install(load(tmp_path, "3", lambda manifest, folder: fake))
    operations = [*SHARED, *(Operation("POST", path) for path in paths)]
    bodies = {f"POST {path}": body for path in paths}
    samples = {"model": "elec", "version": "3"}
    async with served(app) as port:
        assert (
            await walk_hostile(port, operations, key=TOKEN, samples=samples, bodies=bodies, alive="/v2/health/ready")
            > 500
        )
    app.close()
