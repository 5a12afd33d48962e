"""Hostile requests to every endpoint."""

import pytest

from modelyard_devstack.testing.hostile import operations_of, served, walk_hostile

from .conftest import MODEL, World
from .test_api import app_of, given_evaluation


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_hostile_requests_get_an_answer_that_blames_the_caller(world: World) -> None:
    samples = {"evaluation_id": str(given_evaluation(world, MODEL))}
    app = app_of(world)
    async with served(app) as port:
        assert await walk_hostile(port, operations_of(app), key="admin@*", samples=samples) > 100
