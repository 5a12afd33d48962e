"""HTTP: request evaluations and read their reports."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field

from modelyard_evaluator.domain.errors import NotMeasurable, Unreachable
from modelyard_evaluator.domain.evaluation import Evaluation
from modelyard_evaluator.domain.ports import Deps
from modelyard_evaluator.usecases.request import Request, request_evaluation
from modelyard_runtime.auth import Principal
from modelyard_runtime.errors import NotFound, Unavailable
from modelyard_runtime.http import require


class EvaluationBody(BaseModel):
    """Body of POST /v1/evaluations."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, max_length=128)
    challenger_version: int = Field(ge=1)
    champion_version: int | None = Field(None, ge=1)
    """None: the version under the alias `champion`."""
    reason: str = Field(max_length=2_000)
    correlation_id: UUID | None = None
    idempotency_key: str | None = Field(None, max_length=200)
    """Requests with the same key and versions return the same evaluation."""


def add_routes(app: FastAPI, deps: Deps, notify: Callable[[], None]) -> None:
    """Add the endpoints. notify: wakes the worker."""

    @app.post("/v1/evaluations", status_code=202)
    async def request(
        body: EvaluationBody, principal: Annotated[Principal, Depends(require("write"))]
    ) -> dict[str, Any]:
        evaluation = await asyncio.to_thread(_request, deps, body, principal.name)
        notify()
        return as_json(evaluation)

    @app.get("/v1/evaluations")
    def list_evaluations(
        model: Annotated[str | None, Query()] = None, limit: Annotated[int, Query(ge=1, le=1_000)] = 100
    ) -> dict[str, Any]:
        """Newest first."""
        with deps.storage.read() as evaluations:
            return {"items": [as_json(evaluation) for evaluation in evaluations.newest(model, limit)]}

    @app.get("/v1/evaluations/{evaluation_id}")
    def get_evaluation(evaluation_id: UUID) -> dict[str, Any]:
        with deps.storage.read() as evaluations:
            evaluation = evaluations.get(evaluation_id)
        if evaluation is None:
            raise NotFound(f"no evaluation {evaluation_id}")
        return as_json(evaluation)


def _request(deps: Deps, body: EvaluationBody, requested_by: str) -> Evaluation:
    """Refuse versions that do not exist in the answer to the request, not in a later report."""
    for field in ("challenger_version", "champion_version"):
        version = getattr(body, field)
        if version is not None:
            _must_exist(deps, body.model, version, field)
    request = Request(
        model=body.model,
        challenger_version=body.challenger_version,
        correlation_id=body.correlation_id or uuid4(),
        requested_by=requested_by,
        cause=body.idempotency_key or str(uuid4()),
        champion_version=body.champion_version,
        reason=body.reason,
    )
    with deps.storage.transaction() as tx:
        return request_evaluation(tx, request, deps.clock())


def _must_exist(deps: Deps, model: str, version: int, field: str) -> None:
    try:
        deps.registry.version(model, version)
    except NotMeasurable as error:
        raise NotFound(f"{field}: {error}", field=field) from error
    except Unreachable as error:
        raise Unavailable(f"the registry does not answer: {error}") from error


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as answers show it."""
    return {
        "evaluation_id": str(evaluation.id),
        "model": evaluation.model,
        "stage": evaluation.stage,
        "verdict": evaluation.verdict,
        "challenger_version": evaluation.challenger_version,
        "challenger_digest": evaluation.challenger.digest if evaluation.challenger else None,
        "champion": asdict(evaluation.champion) if evaluation.champion else None,
        "note": evaluation.note,
        "attempts": evaluation.attempts,
        "reason": evaluation.reason,
        "requested_by": evaluation.requested_by,
        "rows_after": evaluation.since.isoformat() if evaluation.since else None,
        "labels_as_of": evaluation.as_of.isoformat() if evaluation.as_of else None,
        "dataset_digest": evaluation.dataset_digest,
        "report": evaluation.report,
        "correlation_id": str(evaluation.correlation_id),
        "created_at": evaluation.created_at.isoformat(),
        "changed_at": evaluation.changed_at.isoformat(),
    }
