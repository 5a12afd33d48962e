"""Hostile requests to every endpoint, on the fast path and on the ordinary one."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from modelyard_devstack.testing.access import role_keys
from modelyard_devstack.testing.hostile import operations_of, walk_hostile

from .conftest import KEY, ROW, World
from .plans import TEXT, leaf, planned
from .text_server import TextBehaviour, TextServer

TENSORS: Final = [
    {"name": "price", "shape": [1], "datatype": "FP64", "data": [0.75]},
    {"name": "colour", "shape": [1], "datatype": "BYTES", "data": ["red"]},
    {"name": "demand", "shape": [1], "datatype": "FP64", "data": [3]},
]
INFER: Final = {"id": "a", "inputs": TENSORS, "parameters": {"entity_key": "e", "prediction_ids": ["a"]}}
LABEL: Final = {"prediction_id": "p", "label": "up", "occurred_at": "2026-01-31T12:00:00Z", "source": "test"}
BODIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "POST /v1/predict/{route}": {"features": ROW, "entity_key": "e", "prediction_id": "p"},
    "POST /v2/models/{model}/infer": INFER,
    "POST /v2/models/{model}/versions/{version}/infer": INFER,
    "POST /v1/feedback": {"items": [LABEL]},
    "POST /v1/generate/{route}": {"text": "a", "stream": False, "parameters": {"max_tokens": 5}, "session_id": "s"},
}


@pytest.fixture
def transport() -> str:
    return "socket"


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_hostile_requests_get_an_answer_that_blames_the_caller(world: World) -> None:
    await world.serve()
    assert world.server is not None
    operations = operations_of(world.app.control_api(role_keys()))
    samples = {"route": "elec", "model": "elec", "version": "1"}
    assert await walk_hostile(world.server.port, operations, key=KEY, samples=samples, bodies=BODIES) > 1_000
    assert (await world.predict()).status == 200
    assert world.server.fast_requests > 40


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_hostile_requests_for_text_get_an_answer_that_blames_the_caller(world: World) -> None:
    assert world.server is not None
    async with TextServer(TextBehaviour()) as server:
        world.publish(planned(leaf(server.url, signature=TEXT), signatures=(TEXT,)))
        generate = [one for one in operations_of(world.app.control_api(role_keys())) if "generate" in one.path]
        assert await walk_hostile(world.server.port, generate, key=KEY, samples={"route": "elec"}, bodies=BODIES) > 100
