"""Request an evaluation."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from modelyard_contracts import derived_id
from modelyard_evaluator.domain.evaluation import Evaluation
from modelyard_evaluator.domain.ports import UnitOfWork


@dataclass(frozen=True)
class Request:
    """A request to compare a version. cause: makes repeats of one request recognizable."""

    model: str
    challenger_version: int
    correlation_id: UUID
    requested_by: str
    cause: str
    cause_id: UUID | None = None
    champion_version: int | None = None
    reason: str = ""


def request_evaluation(tx: UnitOfWork, request: Request, at: datetime) -> Evaluation:
    """Store the request; the same cause for the same versions returns the same evaluation."""
    versions = (request.challenger_version, request.champion_version)
    new = Evaluation(
        id=derived_id("evaluation", request.model, *versions, request.cause),
        model=request.model,
        challenger_version=request.challenger_version,
        cause_id=request.cause_id,
        correlation_id=request.correlation_id,
        requested_by=request.requested_by,
        created_at=at,
        changed_at=at,
        reason=request.reason,
        asked_champion=request.champion_version,
    )
    return tx.evaluations.add(new)
