"""`/timelines`: what happened and why, newest first; `/timelines/{correlation_id}`: one, step by step."""

from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, Response

from modelyard_console.domain.timelines import timeline_of
from modelyard_console.pages.view import Console, View
from modelyard_console.pages.windows import CHOICES, start_of
from modelyard_runtime.errors import NotFound

ROWS: Final = 50
EVERYTHING: Final = "all"


def add_timelines(app: FastAPI, console: Console) -> None:
    reader = console.view("read", "drift")

    @app.get("/timelines", response_class=HTMLResponse)
    def newest(
        view: Annotated[View, Depends(reader)],
        model: Annotated[str, Query(max_length=256)] = "",
        show: Annotated[str, Query(pattern="^(started|all)$")] = "started",
        window: Annotated[str, Query(max_length=8)] = "7d",
        after: Annotated[str, Query(max_length=128)] = "",
    ) -> Response:
        """List timelines with how far each has come."""
        since, wanted = start_of(window, console.clock()), model.strip() or None
        found = view.io.monitor(
            lambda monitor: monitor.timelines(
                wanted, since=since, started=show == "started", limit=ROWS, after=after or None
            )
        )
        filters = {"model": model.strip(), "show": show, "window": window}
        return view.page("timelines.html", found=found.part, filters=filters, windows=CHOICES, after=after)

    @app.get("/timelines/{correlation_id}", response_class=HTMLResponse)
    def one(
        correlation_id: str,
        view: Annotated[View, Depends(reader)],
        events: Annotated[str, Query(max_length=8)] = "",
    ) -> Response:
        """Show one timeline from its first event to its last."""
        found = view.io.monitor(lambda monitor: monitor.timeline(correlation_id)).needed()
        if not found:
            raise NotFound(
                f"no event has the correlation id {correlation_id[:80]}; events are stored some seconds later"
            )
        timeline = timeline_of(found, everything=events == EVERYTHING)
        models = sorted({event.model for event in found if event.model})
        context: dict[str, Any] = {
            "id": correlation_id,
            "timeline": timeline,
            "steps": timeline.steps,
            "models": models,
        }
        return view.page("timeline.html", **context, everything=events == EVERYTHING, count=len(found))
