"""Who may do what: every endpoint, every role, three workspaces."""

from pathlib import Path

import pytest
from fastapi import FastAPI

from modelyard_devstack.testing.access import HERE, endpoints, walk_access
from modelyard_registry.domain.ports import Deps
from modelyard_registry.domain.tracking import Lifecycle, Run, RunStatus
from modelyard_registry.testing import InProcessRegistry
from modelyard_registry.usecases.experiments import create_experiment
from modelyard_registry.usecases.history import origin_of
from modelyard_registry.usecases.resources import create_workspace
from modelyard_runtime.access import Authenticator

from .conftest import World

RUN = "0" * 32


@pytest.mark.slow
@pytest.mark.timeout(400)  # some four thousand requests
async def test_every_endpoint_holds_the_grants(tmp_path: Path) -> None:
    opened: list[InProcessRegistry] = []

    def build(authenticator: Authenticator) -> FastAPI:
        opened.append(InProcessRegistry(tmp_path, authenticator=authenticator))
        _add_run(opened[0].registry.deps)
        app: FastAPI = opened[0].registry.service.app
        return app

    samples = {"version": "1", "digest": "sha256:" + "0" * 64, "schema_id": "1", "subject": "s"}
    samples |= {"experiment_id": "1", "run_id": RUN, "rest": "traces", "path": f"runs/{RUN}/artifacts/a"}
    stream = frozenset({"/v1/changes"})  # its answer does not end; test_changes.py covers it
    assert await walk_access(build, samples=samples, skip=stream) > 3_000
    opened[0].registry.database.close()


def _add_run(deps: Deps) -> None:
    """A run in the first experiment, in the workspace of the walk."""
    create_workspace(deps, HERE, "", "", origin_of(deps, "test"))
    made = create_experiment(deps, HERE, "spam", {}, "test")
    assert made.id == 1
    with deps.storage.transaction() as unit:
        unit.runs.add(Run(RUN, 1, "first", "ann", RunStatus.RUNNING, Lifecycle.ACTIVE, 0, None, "ann"))


def test_every_endpoint_needs_a_key(on_sqlite: World) -> None:
    found = list(endpoints(on_sqlite.registry.service.app))
    assert len(found) > 60
    for endpoint in found:
        path = endpoint.path.replace("{version}", "1").replace(":path", "")
        for headers in ({}, {"authorization": "Bearer my_0_wrong"}, {"authorization": "Basic bWU6d3Jvbmc="}):
            answer = on_sqlite.http.request(endpoint.method, path, headers=headers)
            assert answer.status_code == 401, (endpoint.method, path, headers)
            assert answer.headers["www-authenticate"] == "Bearer"
