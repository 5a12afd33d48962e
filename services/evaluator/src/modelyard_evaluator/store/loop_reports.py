"""The table of published reports."""

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import JSON, Column, MetaData, Table, Text, Uuid, false, insert, or_, select

from modelyard_contracts.references import DEFAULT_WORKSPACE
from modelyard_evaluator.domain.loop_reports import LoopReport, StoredReport
from modelyard_runtime.database import Database
from modelyard_runtime.tables import UtcDateTime

LOOP_REPORTS: Final = Table(
    "loop_reports",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("model", Text),
    Column("created_at", UtcDateTime),
    Column("created_by", Text),
    Column("document", JSON),
)


class SqlLoopReports:
    """Implements domain.ports.LoopReports."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new: StoredReport) -> tuple[StoredReport, bool]:
        """Store a report, or return the one that is stored under its id; and whether it is new."""
        with self._database.transaction() as transaction:
            known = transaction.connection.execute(_one(new.id)).one_or_none()
            if known is not None:
                return _read(known), False
            document = new.report.model_dump(mode="json")
            row = {"id": new.id, "model": new.model, "created_at": new.created_at, "created_by": new.created_by}
            transaction.connection.execute(insert(LOOP_REPORTS).values(**row, document=document))
        return new, True

    def get(self, report_id: UUID) -> StoredReport | None:
        with self._database.read() as connection:
            found = connection.execute(_one(report_id)).one_or_none()
        return None if found is None else _read(found)

    def newest(self, model: str | None, workspaces: Collection[str] | None, limit: int) -> Sequence[StoredReport]:
        """At most `limit` reports, newest first. workspaces: None for all."""
        t = LOOP_REPORTS.c
        query = select(LOOP_REPORTS).order_by(t.created_at.desc(), t.id).limit(limit)
        if model is not None:
            query = query.where(t.model == model)
        if workspaces is not None:
            inside = [t.model.like(f"{name}:%") for name in sorted(workspaces)]
            own = [~t.model.contains(":")] if DEFAULT_WORKSPACE in workspaces else []
            query = query.where(or_(false(), *inside, *own))
        with self._database.read() as connection:
            return [_read(row) for row in connection.execute(query)]


def _one(report_id: UUID) -> Any:
    return select(LOOP_REPORTS).where(LOOP_REPORTS.c.id == report_id)


def _read(row: Any) -> StoredReport:
    return StoredReport(row.id, row.model, LoopReport.model_validate(row.document), row.created_at, row.created_by)
