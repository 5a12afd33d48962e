"""HTTP: rollouts, routes and replicas."""

import asyncio
import time
from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from modelyard_contracts import RolloutAction, RolloutState, RolloutStrategy
from modelyard_deployer import store
from modelyard_deployer.domain.model import Replica, Rollout, Route
from modelyard_deployer.domain.ports import Refused, RegistryAway
from modelyard_deployer.usecases import Wish
from modelyard_deployer.world import Deps
from modelyard_runtime.auth import Principal
from modelyard_runtime.errors import Conflict, NotFound, Unavailable
from modelyard_runtime.http import require

MAX_WAIT_S = 60.0
POLL_S = 0.02
SERVABLE = frozenset({"approved", "live"})


class RolloutBody(BaseModel):
    """What POST /v1/rollouts takes."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, max_length=128)
    action: RolloutAction
    version: int | None = Field(None, ge=1)
    strategy: RolloutStrategy | None = None
    reason: str = Field("", max_length=2_000)
    correlation_id: UUID | None = None
    idempotency_key: UUID | None = None
    """Becomes the rollout's id: the same request sent twice is one rollout."""
    wait_s: float = Field(0.0, ge=0, le=MAX_WAIT_S)
    """Answer when it has ended, or after this time."""


def add_routes(app: FastAPI, deps: Deps) -> None:
    @app.post("/v1/rollouts")
    async def request(body: RolloutBody, who: Annotated[Principal, Depends(require("write"))]) -> JSONResponse:
        """202 while it is under way, 200 when it has ended within `wait_s`."""
        began = time.monotonic()
        wish = Wish(
            id=body.idempotency_key or uuid4(),
            model=body.model,
            action=body.action,
            correlation_id=body.correlation_id or uuid4(),
            requested_by=who.name,
            version=body.version,
            strategy=body.strategy,
            reason=body.reason,
        )
        if body.action is RolloutAction.START and body.version is not None:
            await asyncio.to_thread(_must_be_servable, deps, body.model, body.version)
        rollout = await asyncio.to_thread(deps.wish, wish)
        while not rollout.state.final and time.monotonic() - began < body.wait_s:
            await asyncio.sleep(POLL_S)
            rollout = await asyncio.to_thread(_read, deps, rollout.id)
        return JSONResponse(as_json(rollout), 200 if rollout.state.final else 202)

    @app.get("/v1/rollouts")
    def list_rollouts(
        model: Annotated[str | None, Query()] = None, limit: Annotated[int, Query(ge=1, le=1_000)] = 100
    ) -> dict[str, Any]:
        """The newest first."""
        with deps.database.read() as db:
            return {"items": [as_json(rollout) for rollout in store.rollouts(db, model, limit)]}

    @app.get("/v1/rollouts/{rollout_id}")
    def one_rollout(rollout_id: UUID) -> dict[str, Any]:
        return as_json(_read(deps, rollout_id))

    @app.get("/v1/routes")
    def list_routes() -> dict[str, Any]:
        with deps.database.read() as db:
            return {"items": [_route(db, route) for route in store.routes(db)]}

    @app.get("/v1/routes/{name}")
    def one_route(name: str) -> dict[str, Any]:
        with deps.database.read() as db:
            route = store.route(db, name)
            if route is None:
                raise NotFound(f"no route {name}")
            return _route(db, route)

    @app.get("/v1/replicas")
    def list_replicas(request: Request, model: Annotated[str | None, Query()] = None) -> dict[str, Any]:
        with deps.database.read() as db:
            return {"items": [_replica(replica) for replica in store.replicas(db, model)]}


def _must_be_servable(deps: Deps, model: str, version: int) -> None:
    """Tell the caller now what the reconciler would only find later."""
    try:
        stage = deps.registry.version(model, version).stage
    except Refused as error:
        raise NotFound(f"version: {error}", field="version") from error
    except RegistryAway as error:
        raise Unavailable(f"the registry does not answer: {error}") from error
    if stage not in SERVABLE:
        raise Conflict(f"version {version} of {model} is {stage}; approve it first", field="version")


def _read(deps: Deps, rollout_id: UUID) -> Rollout:
    with deps.database.read() as db:
        found = store.rollout(db, rollout_id)
    if found is None:
        raise NotFound(f"no rollout {rollout_id}")
    return found


def as_json(rollout: Rollout) -> dict[str, Any]:
    seconds = rollout.evidence.get("seconds") if rollout.state is RolloutState.ROLLED_BACK else None
    return {
        "rollout_id": str(rollout.id),
        "model": rollout.model,
        "route": rollout.route,
        "action": rollout.kind,
        "state": rollout.state,
        "strategy": rollout.strategy,
        "from_version": rollout.from_version,
        "to_version": rollout.to_version,
        "step": rollout.step,
        "steps_percent": list(rollout.plan),
        "weight_percent": rollout.weight_percent,
        "reason": rollout.reason,
        "abort_reason": rollout.abort_reason,
        "evidence": dict(rollout.evidence),
        "seconds": seconds,
        "revision": rollout.revision,
        "requested_by": rollout.requested_by,
        "correlation_id": str(rollout.correlation_id),
        "created_at": rollout.created_at.isoformat(),
        "changed_at": rollout.changed_at.isoformat(),
    }


def _route(db: Any, route: Route) -> dict[str, Any]:
    published = store.publication(db, route.name)
    return {
        "route": route.name,
        "model": route.model,
        "sequence": route.sequence,
        "champion_version": route.champion,
        "previous_version": route.previous,
        "warm_until": route.warm_until.isoformat() if route.warm_until else None,
        "published_at": published.occurred_at.isoformat() if published else None,
        "targets": [target.model_dump(mode="json") for target in route.targets],
        "routers": [{**asdict(ack), "seen_at": ack.seen_at.isoformat()} for ack in store.acks(db, route.name)],
    }


def _replica(replica: Replica) -> dict[str, Any]:
    state = "draining" if replica.drain_until else "ready" if replica.url else "starting" if replica.pid else "waiting"
    return {
        "id": str(replica.id),
        "model": replica.model,
        "version": replica.version,
        "state": state,
        "pid": replica.pid,
        "url": replica.url,
        "since": replica.since.isoformat() if replica.since else None,
        "failures": replica.failures,
        "last_failure": replica.last_failure,
    }
