"""`/v1/rollouts`: start, abort, roll back, follow."""

import asyncio
import time
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from modelyard_contracts import RolloutAction, RolloutState, RolloutStrategy
from modelyard_deployer.domain.ports import Deps
from modelyard_deployer.domain.rollouts import Rollout, RolloutRequest
from modelyard_deployer.usecases.queries import find_rollout, require_servable
from modelyard_deployer.usecases.requests import request_rollout
from modelyard_runtime.auth import Principal
from modelyard_runtime.http import require

MAX_WAIT_S: Final = 60.0
POLL_S: Final = 0.02


class RolloutBody(BaseModel):
    """Request body of POST /v1/rollouts."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, max_length=128)
    action: RolloutAction
    version: int | None = Field(None, ge=1)
    strategy: RolloutStrategy | None = None
    reason: str = Field("", max_length=2_000)
    correlation_id: UUID | None = None
    idempotency_key: UUID | None = None
    """Becomes the rollout's id, so a repeated request starts nothing twice."""
    wait_s: float = Field(0.0, ge=0, le=MAX_WAIT_S)
    """Answer when the rollout has ended, or after this time."""

    def as_request(self, requested_by: str) -> RolloutRequest:
        return RolloutRequest(
            id=self.idempotency_key or uuid4(),
            model=self.model,
            action=self.action,
            correlation_id=self.correlation_id or uuid4(),
            requested_by=requested_by,
            version=self.version,
            strategy=self.strategy,
            reason=self.reason,
        )


def add_rollouts(app: FastAPI, deps: Deps) -> None:
    @app.post("/v1/rollouts")
    async def request(body: RolloutBody, caller: Annotated[Principal, Depends(require("write"))]) -> JSONResponse:
        """202 while the rollout is under way, 200 when it ended within `wait_s`."""
        until = time.monotonic() + body.wait_s
        if body.action is RolloutAction.START and body.version is not None:
            await asyncio.to_thread(require_servable, deps, body.model, body.version)
        rollout = await asyncio.to_thread(request_rollout, deps, body.as_request(caller.name))
        while not rollout.state.final and time.monotonic() < until:
            await asyncio.sleep(POLL_S)
            rollout = await asyncio.to_thread(find_rollout, deps, rollout.id)
        return JSONResponse(as_json(rollout), 200 if rollout.state.final else 202)

    @app.get("/v1/rollouts")
    def list_rollouts(
        model: Annotated[str | None, Query()] = None, limit: Annotated[int, Query(ge=1, le=1_000)] = 100
    ) -> dict[str, Any]:
        """Newest first."""
        with deps.store.read() as records:
            return {"items": [as_json(rollout) for rollout in records.rollouts.recent(model, limit)]}

    @app.get("/v1/rollouts/{rollout_id}")
    def one_rollout(rollout_id: UUID) -> dict[str, Any]:
        return as_json(find_rollout(deps, rollout_id))


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
