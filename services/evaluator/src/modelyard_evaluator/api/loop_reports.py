"""`/v1/loop-reports`: reports of demos and backtests, published to be compared and shown."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import Depends, FastAPI, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from modelyard_contracts.references import REFERENCE_PATTERN
from modelyard_evaluator.domain.loop_reports import LoopReport, StoredReport, id_of, read_report
from modelyard_evaluator.domain.ports import LoopReports
from modelyard_runtime.access import Principal, Target
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import NotFound
from modelyard_runtime.http import allow, allowed_workspaces, target_of

KIND = "evaluation"
Publisher = Annotated[Principal, Depends(allow("start", KIND, body="model"))]


class NewLoopReport(BaseModel):
    """The content of a report.json, and the model that it is about."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(pattern=REFERENCE_PATTERN, max_length=192)
    """Reference of the model; its workspace decides who may read the report. The model need not exist."""
    report: dict[str, Any]
    """As `modelyard demo` or `modelyard backtest` wrote it."""


class LoopReportInfo(BaseModel):
    """A published report."""

    report_id: UUID
    model: str
    created_at: datetime
    created_by: str
    report: LoopReport

    @classmethod
    def of(cls, stored: StoredReport) -> Self:
        """The report as answers show it."""
        return cls(
            report_id=stored.id,
            model=stored.model,
            created_at=stored.created_at,
            created_by=stored.created_by,
            report=stored.report,
        )


class LoopReportList(BaseModel):
    """Reports, newest first; without their curves and policies."""

    items: list[LoopReportInfo]


def add_loop_reports(app: FastAPI, reports: LoopReports, clock: Clock) -> None:
    """Add the endpoints."""

    async def by_id(request: Request) -> Target:
        stored = await asyncio.to_thread(_get, reports, request.path_params["report_id"])
        return target_of(stored.model, KIND)

    @app.post("/v1/loop-reports", status_code=201, tags=["loop reports"], responses={200: {"model": LoopReportInfo}})
    def publish(body: NewLoopReport, response: Response, principal: Publisher) -> LoopReportInfo:
        """Store a report. The same report of the same model is stored once (200)."""
        report = read_report(body.report)
        new = StoredReport(id_of(body.model, report), body.model, report, clock(), principal.identity)
        stored, is_new = reports.add(new)
        response.status_code = 201 if is_new else 200
        return LoopReportInfo.of(stored)

    @app.get("/v1/loop-reports", tags=["loop reports"])
    def newest(
        principal: Annotated[Principal, Depends(allow("read", KIND, over="any-workspace"))],
        model: Annotated[str | None, Query(pattern=REFERENCE_PATTERN, max_length=192)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> LoopReportList:
        """List reports without their curves and policies, newest first."""
        found = reports.newest(model, allowed_workspaces(principal, "read", KIND), limit)
        return LoopReportList(items=[LoopReportInfo.of(_short(one)) for one in found])

    @app.get("/v1/loop-reports/{report_id}", tags=["loop reports"])
    def show(report_id: UUID, _: Annotated[Principal, Depends(allow("read", KIND, find=by_id))]) -> LoopReportInfo:
        """Return a report with its curves and policies."""
        return LoopReportInfo.of(_get(reports, report_id))


def _get(reports: LoopReports, report_id: str | UUID) -> StoredReport:
    try:
        found = reports.get(UUID(str(report_id)))
    except ValueError:
        found = None
    if found is None:
        raise NotFound(f"no report {str(report_id)[:80]}", field="report_id")
    return found


def _short(stored: StoredReport) -> StoredReport:
    ways = tuple(way.model_copy(update={"curve": (), "documents": None}) for way in stored.report.ways)
    report = stored.report.model_copy(update={"ways": ways, "marks": ()})
    return StoredReport(stored.id, stored.model, report, stored.created_at, stored.created_by)
