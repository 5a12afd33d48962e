"""`/v1/rollouts`: start, abort, roll back, follow."""

import asyncio
import time
from typing import Annotated, Final
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from modelyard_contracts import RolloutAction, RolloutStrategy
from modelyard_contracts.references import REFERENCE_PATTERN, VERSION_PATTERN, read_version
from modelyard_deployer.api.views import RolloutList, RolloutView
from modelyard_deployer.domain.actions import StepAction
from modelyard_deployer.domain.ports import Deps
from modelyard_deployer.domain.rollouts import Rollout, RolloutRequest
from modelyard_deployer.usecases.queries import find_rollout, find_version, newest_readable
from modelyard_deployer.usecases.requests import act_on_step, request_rollout
from modelyard_runtime.access import Principal, Target
from modelyard_runtime.errors import NotFound
from modelyard_runtime.http import allow, authorize, target_of, visible

MAX_WAIT_S: Final = 60.0
POLL_S: Final = 0.02
MAX_VERSION: Final = 2**31 - 1
ACTIONS: Final = {
    RolloutAction.START: "start",
    RolloutAction.ABORT: "abort",
    RolloutAction.ROLL_BACK: "roll-back",
}
"""Access-control action for each requested action."""


def _storable(text: str) -> str:
    """Reject text that UTF-8 or PostgreSQL cannot store: lone surrogates and NUL."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("must not contain lone surrogates") from error
    if "\0" in text:
        raise ValueError("must not contain NUL")
    return text


class RolloutBody(BaseModel):
    """A request to start a rollout, to abort one, or to roll back."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(pattern=REFERENCE_PATTERN)
    action: RolloutAction
    version: int | None = Field(None, ge=1, le=MAX_VERSION)
    strategy: RolloutStrategy | None = None
    reason: Annotated[str, Field(max_length=2_000), AfterValidator(_storable)] = ""
    correlation_id: UUID | None = None
    idempotency_key: UUID | None = None
    """Becomes the rollout's id, so a repeated request is idempotent."""
    wait_s: float = Field(0.0, ge=0, le=MAX_WAIT_S)
    """Respond when the rollout has ended, or after this time."""

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


class StepBody(BaseModel):
    """What a person wants of an open step."""

    model_config = ConfigDict(extra="forbid")

    step: int = Field(ge=1, le=MAX_VERSION)
    """The step that the person saw: a repeated request never skips a step."""
    reason: Annotated[str, Field(min_length=1, max_length=2_000), AfterValidator(_storable)]


def shown(deps: Deps, rollout: Rollout) -> RolloutView:
    """The rollout as answers show it now."""
    return RolloutView.of(rollout, deps.clock(), deps.policy_time)


def add_rollouts(app: FastAPI, deps: Deps) -> None:
    @app.post(
        "/v1/rollouts",
        response_model=RolloutView,
        responses={202: {"model": RolloutView, "description": "The rollout is in progress."}},
        tags=["rollouts"],
    )
    async def request(
        body: RolloutBody,
        response: Response,
        caller: Annotated[Principal, Depends(allow("start", "rollout", body="model"))],
    ) -> RolloutView:
        """Start a rollout, abort it, or roll back. 202 while it is in progress, 200 if it ended within `wait_s`."""
        until = time.monotonic() + body.wait_s
        authorize(caller, ACTIONS[body.action], target_of(body.model, "rollout"))
        if body.action is RolloutAction.START and body.version is not None:
            await asyncio.to_thread(find_version, deps, body.model, body.version)
        rollout = await asyncio.to_thread(request_rollout, deps, body.as_request(caller.identity))
        rollout = await _ended(deps, rollout, until)
        response.status_code = 200 if rollout.state.final else 202
        return shown(deps, rollout)

    @app.get("/v1/rollouts", tags=["rollouts"])
    def list_rollouts(
        caller: Annotated[Principal, Depends(allow("read", "rollout", over="any-workspace"))],
        model: Annotated[str | None, Query(pattern=REFERENCE_PATTERN)] = None,
        version: Annotated[
            list[Annotated[str, StringConstraints(pattern=VERSION_PATTERN)]] | None,
            Query(max_length=100, description="Only rollouts to one of these, each `MODEL@VERSION`."),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
        open: Annotated[bool, Query(description="Only rollouts that have not ended.")] = False,
    ) -> RolloutList:
        """List rollouts, newest first."""
        readable, versions = visible(caller, "read", "rollout"), [read_version(one) for one in version or ()]
        found = newest_readable(deps, model, limit, readable, unfinished=open, versions=versions)
        return RolloutList(items=[shown(deps, rollout) for rollout in found])

    async def target(request: Request) -> Target:
        rollout = await asyncio.to_thread(find_rollout, deps, _id(request.path_params["rollout_id"]))
        return target_of(rollout.model, "rollout")

    @app.get(
        "/v1/rollouts/{rollout_id}", dependencies=[Depends(allow("read", "rollout", find=target))], tags=["rollouts"]
    )
    def one_rollout(rollout_id: UUID) -> RolloutView:
        """Return a rollout."""
        return shown(deps, find_rollout(deps, rollout_id))

    @app.post("/v1/rollouts/{rollout_id}/{action}", tags=["rollouts"])
    def act(
        rollout_id: UUID,
        action: StepAction,
        body: StepBody,
        caller: Annotated[Principal, Depends(allow("start", "rollout", find=target))],
    ) -> RolloutView:
        """Go to the next step now, hold the step, or resume it. 409 when the rollout is at another step."""
        acted = act_on_step(deps, rollout_id, action, body.step, caller.identity, body.reason)
        return shown(deps, acted)


async def _ended(deps: Deps, rollout: Rollout, until: float) -> Rollout:
    """Poll until the rollout has ended or `until` has passed; return its latest state."""
    while not rollout.state.final and time.monotonic() < until:
        await asyncio.sleep(POLL_S)
        rollout = await asyncio.to_thread(find_rollout, deps, rollout.id)
    return rollout


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound(f"no rollout {text[:80]}") from error
