"""Evaluations in SQL; everything runs in the caller's transaction."""

from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import JSON, Column, Connection, Integer, MetaData, Table, Text, Uuid, insert, select, update

from modelyard_evaluator.domain.model import Evaluation, Stage
from modelyard_runtime.errors import ModelyardError
from modelyard_runtime.tables import UtcDateTime

EVALUATIONS: Final = Table(
    "evaluations",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("model", Text),
    Column("stage", Text),
    Column("created_at", UtcDateTime),
    Column("next_at", UtcDateTime),
    Column("writes", Integer),
    Column("document", JSON),
)
_EVALUATION: Final = TypeAdapter(Evaluation)


class StaleEvaluation(ModelyardError):
    """Somebody wrote the row after we read it; read it again."""

    retryable = True
    code = "stale_evaluation"


def add(db: Connection, new: Evaluation) -> Evaluation:
    """Write it down, or return the one that is there under its id."""
    known = get(db, new.id)
    if known is not None:
        return known
    db.execute(insert(EVALUATIONS).values(id=new.id, model=new.model, created_at=new.created_at, **_values(new)))
    return new


def save(db: Connection, before: Evaluation, after: Evaluation) -> Evaluation:
    """StaleEvaluation when it was written since `before` was read."""
    after = replace(after, writes=before.writes + 1)
    at = (EVALUATIONS.c.id == before.id, EVALUATIONS.c.writes == before.writes)
    if db.execute(update(EVALUATIONS).where(*at).values(**_values(after))).rowcount != 1:
        raise StaleEvaluation(f"evaluation {before.id} was written by somebody else")
    return after


def get(db: Connection, evaluation_id: UUID) -> Evaluation | None:
    found = db.execute(select(EVALUATIONS.c.document).where(EVALUATIONS.c.id == evaluation_id)).scalar_one_or_none()
    return None if found is None else _EVALUATION.validate_python(found)


def newest(db: Connection, model: str | None, limit: int) -> list[Evaluation]:
    query = select(EVALUATIONS.c.document).order_by(EVALUATIONS.c.created_at.desc()).limit(limit)
    if model is not None:
        query = query.where(EVALUATIONS.c.model == model)
    return [_EVALUATION.validate_python(document) for document in db.execute(query).scalars()]


def due(db: Connection, now: datetime) -> list[Evaluation]:
    """Open ones whose time has come, the longest waiting first."""
    query = select(EVALUATIONS.c.document).where(EVALUATIONS.c.stage != Stage.FINISHED, EVALUATIONS.c.next_at <= now)
    found = db.execute(query.order_by(EVALUATIONS.c.next_at)).scalars()
    return [_EVALUATION.validate_python(document) for document in found]


def open_ids(db: Connection) -> set[UUID]:
    """Of those that have not ended."""
    return set(db.execute(select(EVALUATIONS.c.id).where(EVALUATIONS.c.stage != Stage.FINISHED)).scalars())


def _values(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "stage": evaluation.stage,
        "next_at": evaluation.next_at or evaluation.created_at,
        "writes": evaluation.writes,
        "document": _EVALUATION.dump_python(evaluation, mode="json"),
    }
