"""`/live`: hints to one open page that something changed, as server-sent events."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Final

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import Response, StreamingResponse

from modelyard_console.live.hub import Hint, Hub, TooManyPages, Wanted
from modelyard_console.pages.view import Console, View
from modelyard_runtime.access import Principal
from modelyard_runtime.clock import Clock
from modelyard_runtime.http.access import visible

GATHER_S: Final = 1.0
"""Changes within this time are one refresh."""
TRAFFIC_S: Final = 15.0
"""How often pages read numbers again that change with every prediction; no event announces them."""
REGISTRATION: Final = "registration"
"""Type of a hint about a registration that this console runs."""
KINDS: Final = (
    {"model": "model", "dataset": "dataset", "prompt": "prompt"}
    | {name: name for name in ("run", "evaluation", "rollout", "drift", "alert")}
    | {REGISTRATION: "model"}
)
"""Type of a change to the kind that a person must be allowed to read."""


def add_live(app: FastAPI, console: Console) -> None:
    @app.get("/live", include_in_schema=False)
    async def live(
        request: Request,
        view: Annotated[View, Depends(console.view("read", "model"))],
        since: Annotated[str, Query(max_length=40)] = "",
    ) -> Response:
        """Follow what changed since the page was read. A page reads the changed parts again with its own session."""
        readiness = request.app.state.readiness
        stream = _events(console.hub, wanted_by(view.me), since, lambda: readiness.stopping, console.clock)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


def wanted_by(me: Principal) -> Wanted:
    """Hints about models that a person may read. Hints that name no model concern everybody."""
    readable = {type_: visible(me, "read", kind) for type_, kind in KINDS.items()}

    def wanted(hint: Hint) -> bool:
        return not hint.model or hint.type not in readable or readable[hint.type](hint.model)

    return wanted


async def _events(
    hub: Hub, wanted: Wanted, since: str, stopping: Callable[[], bool], clock: Clock
) -> AsyncIterator[str]:
    try:
        with hub.subscribed(wanted, since) as inbox:
            yield _event("hello", {"now": clock().timestamp()})
            while not stopping():
                hints = await inbox.read(TRAFFIC_S, GATHER_S) or [Hint("traffic")]
                yield _event("changes", [{"type": hint.type, "model": hint.model} for hint in hints])
    except TooManyPages:
        yield "retry: 60000\n\n"


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
