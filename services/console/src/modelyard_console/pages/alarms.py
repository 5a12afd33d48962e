"""`/alarms`: drifts and alerts of all models; one alarm with its evidence, and what was done about it."""

from typing import Annotated, Final

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from modelyard_console.domain import links
from modelyard_console.domain.alarms import KINDS, compared, measured, measures, recommended
from modelyard_console.domain.formats import instant
from modelyard_console.domain.timelines import timeline_of
from modelyard_console.pages.view import Console, View

PAGE: Final = 50
SEVERITIES: Final = ("info", "warning", "critical")


class Wanted(BaseModel):
    """Filters of the list."""

    model_config = ConfigDict(frozen=True)

    model: str = Field("", max_length=200)
    kind: str = Field("", max_length=64)
    severity: str = Field("", pattern=r"^(info|warning|critical)?$")
    after: str = Field("", max_length=200)

    @property
    def kept(self) -> dict[str, str]:
        """Filters that stay on the next page."""
        return {name: value for name, value in self.model_dump(exclude={"after"}).items() if value}


def add_alarms(app: FastAPI, console: Console) -> None:
    @app.get("/alarms", response_class=HTMLResponse)
    def alarms(
        view: Annotated[View, Depends(console.view("read", "alert"))], asked: Annotated[Wanted, Query()]
    ) -> Response:
        """List drifts and alerts, newest first."""
        page = view.io.monitor(
            lambda monitor: monitor.alerts(
                asked.model.strip() or None,
                kind=asked.kind or None,
                severity=asked.severity or None,
                after=asked.after or None,
                limit=PAGE,
            )
        )
        context = {"asked": asked, "page": page.part, "kinds": KINDS, "severities": SEVERITIES}
        return view.page("alarms.html", **context, measured=measured, recommended=recommended)

    @app.get("/alarms/{event_id}", response_class=HTMLResponse)
    def alarm(event_id: str, view: Annotated[View, Depends(console.view("read", "alert"))]) -> Response:
        """Show an alarm with evidence, SQL and what happened afterwards; redirect other events to their timeline."""
        io = view.io
        record = io.monitor(lambda monitor: monitor.event(event_id)).needed()
        found, payload = record.alert, record.payload
        if found is None:
            return RedirectResponse(links.timeline(record.correlation_id), 303)
        timeline = io.monitor(lambda monitor: monitor.timeline(found.correlation_id))
        manifest = io.registry(lambda registry: registry.manifest(found.model, found.version))
        events = timeline.part.or_else(())
        later = [one for one in events if one.event_id != found.event_id and _at(one) >= found.occurred_at.timestamp()]
        return view.page(
            "alarm.html",
            alarm=found,
            measures=measures(payload),
            measured=measured,
            recommended=recommended,
            unseen=record.unseen,
            bars=compared(payload, manifest.part.found),
            timeline=timeline.part,
            done=timeline_of(later).steps,
        )


def _at(event: object) -> float:
    at = instant(getattr(event, "occurred_at", None))
    return at.timestamp() if at else 0.0
