"""`/components`: every component with sample data, in the colours of the viewer."""

import math
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, Response

from modelyard_console.clients.platform import Away, Part
from modelyard_console.domain.charts import Chart, Line, Mark, histogram
from modelyard_console.domain.plan_picture import draw
from modelyard_console.domain.plan_tree import PlanNode
from modelyard_console.pages.view import Console, View

HOSTILE: Final = '<script>alert("x")</script> "quoted" & größe \N{RIGHT-TO-LEFT OVERRIDE}abc ' + "long" * 30
"""Text that a page must show as it is: markup, quotes, direction marks, one long word."""

PLAN: Final = PlanNode(
    "rules",
    "Rules",
    ("the first that holds",),
    nodes=(
        PlanNode("version", "churn v1", ("1 replica",), "churn", 1, "gold: plan = gold and age ≥ 18", "rules:gold"),
        PlanNode("model", HOSTILE, (HOSTILE,), branch="otherwise", path="rules:otherwise"),
    ),
)


def add_components(app: FastAPI, console: Console) -> None:
    @app.get("/components", response_class=HTMLResponse)
    def components(view: Annotated[View, Depends(console.view("read", "model"))]) -> Response:
        """Show every component."""
        return view.page("components_page.html", hostile=HOSTILE, **_samples(view))


def _samples(view: View) -> dict[str, Any]:
    now = view.console.clock()
    moments = [now - timedelta(minutes=60 - minute) for minute in range(60)]
    wave = [0.8 + 0.05 * math.sin(minute / 6) for minute in range(60)]
    chart = Chart(
        "Accuracy of two versions",
        moments,
        [
            Line("v4", wave, [value - 0.03 for value in wave], [value + 0.03 for value in wave]),
            Line("v5", [None if minute < 30 else 0.84 for minute in range(60)], dashed=True),
        ],
        [Mark(moments[20], "alarm"), Mark(moments[40], "v5 live")],
        limit=0.75,
    )
    events = [
        {"at": moments[0], "title": "Drift of amount", "text": "PSI 0.31", "link": "", "state": "bad", "gap_s": None},
        {"at": moments[9], "title": "Run started", "text": "", "link": "/training", "state": "", "gap_s": 540.0},
        {"at": moments[30], "title": "v5 promoted", "text": HOSTILE, "link": "", "state": "good", "gap_s": 1260.0},
    ]
    return {
        "chart": chart,
        "bars": histogram([("under 20", 40, 10), ("20 to 30", 50, 60), (HOSTILE, 5, 30), ("missing", 0, 0)]),
        "events": events,
        "plan": draw(PLAN, {"rules:gold"}),
        "away": Part(away=Away("monitor", "no answer from its address")),
        "refused": Part(away=Away("registry", "no role of anna in workspace risk allows read on model", refused=True)),
    }
