"""GET /v1/changes: models, datasets, prompts and connections as they change."""

from fastapi import FastAPI

from modelyard_registry.api.resources import show_resource
from modelyard_registry.api.responses import ResourceOut
from modelyard_registry.domain.kinds import KINDS
from modelyard_registry.domain.names import CONNECTION, MODEL, key_of
from modelyard_registry.domain.ports import Deps
from modelyard_runtime.changes import ChangeSource
from modelyard_runtime.errors import NotFound
from modelyard_runtime.http.changes import Render, add_change_feed


def install(app: FastAPI, deps: Deps, source: ChangeSource) -> None:
    """Add the feed. The data of an event is the resource as its own endpoint returns it."""
    kinds = (*KINDS, CONNECTION)
    add_change_feed(app, source, MODEL, {kind: _render(deps, kind) for kind in kinds}, {kind: kind for kind in kinds})


def _render(deps: Deps, kind: str) -> Render:
    def render(reference: str) -> ResourceOut | None:
        try:
            return show_resource(deps, key_of(kind, reference))
        except NotFound:
            return None

    return render
