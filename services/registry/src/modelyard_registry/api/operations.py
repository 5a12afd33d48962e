"""`/v1/audit/resends`: services record what operators do with them."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field

from modelyard_registry.api.callers import actor_of
from modelyard_registry.api.fields import Body, Line, Reason
from modelyard_registry.domain.ports import Deps
from modelyard_registry.usecases.history import origin_of
from modelyard_registry.usecases.operations import record_resend
from modelyard_runtime.access import Principal
from modelyard_runtime.http import allow


class ResendBody(Body):
    """through: position of the newest letter to handle. actor: the person, as only services may name."""

    topic: Annotated[str, Field(max_length=249, pattern=r"^[A-Za-z0-9._-]+$")]
    through: Annotated[int, Field(ge=0, lt=2**63)]
    reason: Reason
    actor: Line


def routes(deps: Deps) -> APIRouter:
    """Records of services."""
    router = APIRouter(prefix="/v1/audit", tags=["overview"])
    recorder = Depends(allow("record", "service", over="all-workspaces"))

    @router.post("/resends", status_code=201)
    def record(body: ResendBody, principal: Principal = recorder) -> dict[str, str]:
        """Record that a person has dead letters of the calling service handled again, and why."""
        origin = origin_of(deps, actor_of(principal, body.actor), body.reason)
        record_resend(deps, principal.identity, body.topic, body.through, origin)
        return {"recorded": body.topic}

    return router
