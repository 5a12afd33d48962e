"""Hostile requests to every endpoint."""

import pytest

from modelyard_devstack.testing.access import role_keys
from modelyard_devstack.testing.hostile import operations_of, served, walk_hostile

from .conftest import MODEL, World
from .test_api import build


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_hostile_requests_get_an_answer_that_blames_the_caller(world: World) -> None:
    world.given_canary()
    app = build(world, role_keys())
    samples = {"model": MODEL, "route": MODEL}
    async with served(app) as port:
        assert await walk_hostile(port, operations_of(app), key="admin@*", samples=samples) > 100
