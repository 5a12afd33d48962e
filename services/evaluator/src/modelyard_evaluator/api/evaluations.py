"""HTTP: request evaluations, read their reports, follow their progress."""

import asyncio
from collections.abc import Callable
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, Query, Request
from pydantic import StringConstraints

from modelyard_contracts.references import REFERENCE_PATTERN, VERSION_PATTERN, read_version
from modelyard_evaluator.api.models import (
    DisagreementList,
    EvaluationInfo,
    EvaluationList,
    EvaluationRequest,
    RightSide,
)
from modelyard_evaluator.domain.errors import NotMeasurable, Unreachable
from modelyard_evaluator.domain.evaluation import Evaluation
from modelyard_evaluator.domain.ports import Deps
from modelyard_evaluator.usecases.queries import newest_readable
from modelyard_evaluator.usecases.request import Request as NewEvaluation
from modelyard_evaluator.usecases.request import request_evaluation
from modelyard_runtime.access import Principal, Target
from modelyard_runtime.changes import ChangeSource
from modelyard_runtime.errors import NotFound, Unavailable
from modelyard_runtime.http import allow, target_of, visible
from modelyard_runtime.http.changes import add_change_feed

KIND = "evaluation"


def add_routes(app: FastAPI, deps: Deps, changes: ChangeSource, notify: Callable[[], None]) -> None:
    """Add the endpoints. notify: wakes the worker."""

    async def by_id(request: Request) -> Target:
        evaluation = await asyncio.to_thread(_get, deps, request.path_params["evaluation_id"])
        return target_of(evaluation.model, KIND)

    @app.post("/v1/evaluations", status_code=202, tags=["evaluations"])
    async def start_evaluation(
        body: EvaluationRequest, principal: Annotated[Principal, Depends(allow("start", KIND, body="model"))]
    ) -> EvaluationInfo:
        """Request a comparison; the report follows at `GET /v1/evaluations/{evaluation_id}`."""
        evaluation = await asyncio.to_thread(_request, deps, body, principal.identity)
        notify()
        return EvaluationInfo.of(evaluation)

    @app.get("/v1/evaluations", tags=["evaluations"])
    def list_evaluations(
        principal: Annotated[Principal, Depends(allow("read", KIND, over="any-workspace"))],
        model: Annotated[str | None, Query(pattern=REFERENCE_PATTERN, max_length=192)] = None,
        version: Annotated[
            list[Annotated[str, StringConstraints(pattern=VERSION_PATTERN)]] | None,
            Query(max_length=100, description="Only of these challengers, each `MODEL@VERSION`."),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    ) -> EvaluationList:
        """List evaluations, newest first."""
        versions = [read_version(one) for one in version or ()]
        found = newest_readable(deps, model, limit, visible(principal, "read", KIND), versions=versions)
        return EvaluationList(items=[EvaluationInfo.of(evaluation) for evaluation in found])

    @app.get("/v1/evaluations/{evaluation_id}", tags=["evaluations"])
    def get_evaluation(
        evaluation_id: UUID, _: Annotated[Principal, Depends(allow("read", KIND, find=by_id))]
    ) -> EvaluationInfo:
        """Return an evaluation, with its report once it is finished."""
        return EvaluationInfo.of(_get(deps, evaluation_id))

    @app.get("/v1/evaluations/{evaluation_id}/rows", tags=["evaluations"])
    def get_rows(
        evaluation_id: UUID,
        _: Annotated[Principal, Depends(allow("read", KIND, find=by_id))],
        only: Annotated[RightSide | None, Query(description="Which version is right alone; both by default.")] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 100,
    ) -> DisagreementList:
        """Return rows on which only one version is right: at most 20 per side, none for a regression."""
        return DisagreementList.of(_get(deps, evaluation_id), only, limit)

    add_change_feed(app, changes, KIND, {KIND: lambda subject: _rendered(deps, subject)})


def _get(deps: Deps, evaluation_id: str | UUID) -> Evaluation:
    try:
        wanted = UUID(str(evaluation_id))
    except ValueError:
        wanted = None
    with deps.storage.read() as evaluations:
        evaluation = evaluations.get(wanted) if wanted else None
    if evaluation is None:
        raise NotFound(f"no evaluation {str(evaluation_id)[:80]}", field="evaluation_id")
    return evaluation


def _rendered(deps: Deps, subject: str) -> EvaluationInfo | None:
    with deps.storage.read() as evaluations:
        evaluation = evaluations.get(UUID(subject))
    return None if evaluation is None else EvaluationInfo.of(evaluation)


def _request(deps: Deps, body: EvaluationRequest, requested_by: str) -> Evaluation:
    """Refuse versions that do not exist in the answer to the request, not in a later report."""
    for field in ("challenger_version", "champion_version"):
        version = getattr(body, field)
        if version is not None:
            _must_exist(deps, body.model, version, field)
    new = NewEvaluation(
        model=body.model,
        challenger_version=body.challenger_version,
        correlation_id=body.correlation_id or uuid4(),
        requested_by=requested_by,
        cause=body.idempotency_key or str(uuid4()),
        champion_version=body.champion_version,
        reason=body.reason,
    )
    with deps.storage.transaction() as tx:
        return request_evaluation(tx, new, deps.clock())


def _must_exist(deps: Deps, model: str, version: int, field: str) -> None:
    try:
        deps.registry.version(model, version)
    except NotMeasurable as error:
        raise NotFound(f"{field}: {error}", field=field) from error
    except Unreachable as error:
        raise Unavailable(f"the registry does not answer: {error}") from error
