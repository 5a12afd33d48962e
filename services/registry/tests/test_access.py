"""Who may do what: every endpoint, every role, three workspaces."""

from pathlib import Path

import pytest
from fastapi import FastAPI

from modelyard_devstack.testing.access import endpoints, walk_access
from modelyard_registry.testing import InProcessRegistry
from modelyard_runtime.access import Authenticator

from .conftest import World


@pytest.mark.slow
@pytest.mark.timeout(400)  # some four thousand requests
async def test_every_endpoint_holds_the_grants(tmp_path: Path) -> None:
    opened: list[InProcessRegistry] = []

    def build(authenticator: Authenticator) -> FastAPI:
        opened.append(InProcessRegistry(tmp_path, authenticator=authenticator))
        app: FastAPI = opened[0].registry.service.app
        return app

    samples = {"version": "1", "digest": "sha256:" + "0" * 64, "schema_id": "1", "subject": "s"}
    stream = frozenset({"/v1/changes"})  # its answer does not end; test_changes.py covers it
    assert await walk_access(build, samples=samples, skip=stream) > 3_000
    opened[0].registry.database.close()


def test_every_endpoint_needs_a_key(on_sqlite: World) -> None:
    found = list(endpoints(on_sqlite.registry.service.app))
    assert len(found) > 60
    for endpoint in found:
        path = endpoint.path.replace("{version}", "1").replace(":path", "")
        for headers in ({}, {"authorization": "Bearer my_0_wrong"}, {"authorization": "Basic bWU6d3Jvbmc="}):
            answer = on_sqlite.http.request(endpoint.method, path, headers=headers)
            assert answer.status_code == 401, (endpoint.method, path, headers)
            assert answer.headers["www-authenticate"] == "Bearer"
