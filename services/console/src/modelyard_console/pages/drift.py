"""`/models/{model}/drift`: which features moved, since when, and what they look like now."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, Response

from modelyard import AlertPage, Histogram, PerformanceAlarm, RolloutRun, StabilityOverTime
from modelyard_console.clients.platform import Part, Services
from modelyard_console.domain.alarms import measured
from modelyard_console.domain.charts import Chart
from modelyard_console.domain.drift import ADWIN, Subject, bars_of, marks_of, psi_chart, ranked, watched
from modelyard_console.pages.view import Console, View
from modelyard_console.pages.windows import SHORT, length_of

BUCKETS: Final = 60
"""Points of the chart."""
MIN_BUCKET_S: Final = 60
PICTURES: Final = 4
"""Histograms of the page, without a chosen subject."""
NO_ALARMS: Final = AlertPage(items=())


@dataclass(frozen=True)
class Asked:
    """What the address asks for.

    serving: version and variant, such as `3-stable`; the busiest one if empty. subject: `feature:NAME`, `score` or
    `classes`; the ones that moved most if empty.
    """

    model: str
    window: str
    serving: str
    subject: str

    @property
    def window_s(self) -> int:
        return int(length_of(self.window).total_seconds())


@dataclass(frozen=True)
class Parts:
    """Answers of the services for one page."""

    psi: Part[list[dict[str, Any]]]
    over_time: Part[StabilityOverTime]
    bins: Part[tuple[Histogram, ...]]
    alerts: Part[AlertPage]
    errors: Part[tuple[PerformanceAlarm, ...]]
    rollouts: Part[tuple[RolloutRun, ...]]


def add_drift(app: FastAPI, console: Console) -> None:
    @app.get("/models/{model}/drift", response_class=HTMLResponse)
    def drift(
        model: str,
        view: Annotated[View, Depends(console.view("read", "drift", over="resource"))],
        window: Annotated[str, Query(max_length=8)] = "1h",
        serving: Annotated[str, Query(max_length=80)] = "",
        subject: Annotated[str, Query(max_length=300)] = "",
    ) -> Response:
        """Rank the features by PSI; draw PSI over time and the histograms."""
        asked = Asked(model, window, serving, subject)
        info = view.io.registry(lambda registry: registry.model(model))
        parts = _read(view.io, asked, console.clock() - length_of(window))
        shown = _ranking(parts, asked, info.needed().aliases.get("champion"))
        context = {"model": info.needed(), "window": window, "windows": SHORT, "measured": measured}
        return view.page("drift.html", **context, **shown)


def _read(io: Services, asked: Asked, since: datetime) -> Parts:
    """Ask all services at once, then wait for all."""
    model, window_s = asked.model, asked.window_s
    bucket_s = max(window_s // BUCKETS, MIN_BUCKET_S)
    psi = io.monitor(lambda monitor: monitor.psi(model, window_s=window_s))
    over_time = io.monitor(lambda monitor: monitor.psi_over_time(model, since=since, bucket_s=bucket_s))
    bins = io.monitor(lambda monitor: monitor.histogram(model, window_s=window_s))
    alerts = io.monitor(lambda monitor: monitor.alerts(model, limit=100))
    errors = io.monitor(lambda monitor: monitor.alarms(model, closed=True))
    rollouts = io.deployer(lambda deployer: deployer.rollouts(model, limit=50))
    return Parts(psi.part, over_time.part, bins.part, alerts.part, errors.part, rollouts.part)


def _ranking(parts: Parts, asked: Asked, champion: int | None) -> dict[str, Any]:
    """Rank the subjects of the chosen version and variant, with their chart and histograms."""
    choices, chosen = watched(parts.psi.or_else([])), Subject.read(asked.subject)
    version, variant = _chosen(asked.serving, choices, champion)
    alarms = parts.alerts.or_else(NO_ALARMS).items
    ranking = ranked(parts.psi.or_else([]), version, variant, alarms)
    shown = [chosen] if chosen else [one.subject for one in ranking]
    bars = bars_of(parts.bins.or_else(()), version, variant)
    return {
        **{name: getattr(parts, name) for name in ("psi", "over_time", "bins", "alerts", "errors")},
        "choices": choices,
        "version": version,
        "variant": variant,
        "subject": chosen,
        "ranking": ranking,
        "chart": _chart(parts, asked, shown, version, variant),
        "bars": {one: bars[one] for one in shown[: 1 if chosen else PICTURES] if one in bars},
        "means": [one for one in alarms if one.detector == ADWIN],
    }


def _chart(parts: Parts, asked: Asked, shown: list[Subject], version: int | None, variant: str) -> Chart:
    nothing = StabilityOverTime(model=asked.model, bucket_s=MIN_BUCKET_S, items=())
    alarms = parts.alerts.or_else(NO_ALARMS).items
    marks = marks_of(parts.rollouts.or_else(()), alarms, Subject.read(asked.subject))
    return psi_chart(parts.over_time.or_else(nothing), shown, version, variant, marks)


def _chosen(serving: str, choices: list[tuple[int, str]], champion: int | None) -> tuple[int | None, str]:
    """Version and variant of an address if they have counted rows; else the champion, else the busiest ones."""
    number, _, variant = serving.partition("-")
    asked = (int(number), variant) if number.isdecimal() else None
    if asked in choices and asked is not None:
        return asked
    for choice in (*(one for one in choices if one[0] == champion), *choices):
        return choice
    return None, ""
