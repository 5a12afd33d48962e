"""Addresses of all pages, with ids from the recorded data."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from modelyard_console.domain import links

from .replay import Recording

MODEL = "electricity"
CONNECTION = "texts"
BOUGHT = "answers"
"""A model whose version 1 uses the connection."""
PREDICTION = "pages/1"
"""Id of a prediction that record.py sends; with a slash, as ids of callers may have."""


def pages(recording: Recording) -> Iterator[str]:
    """Every page. Lists come first: pages of single objects take ids from their answers."""
    yield from LISTS
    for path, service, listed, field in DETAILS:
        if found := _first(recording, service, listed, field):
            yield path.format(id=found)
    yield from _experiments(recording)
    yield from _backtest(recording)


LISTS = (
    "/",
    "/models",
    "/models-register",
    "/models-import",
    "/models-sync",
    "/models-problems",
    f"/models/{MODEL}",
    f"/models/{MODEL}?window=24h",
    f"/models/{MODEL}/versions/1",
    f"/models/{MODEL}/versions/1/card",
    f"/models/{BOUGHT}/versions/1",
    f"/models/{MODEL}/compare",
    f"/models/{MODEL}/lineage",
    f"/models/{MODEL}/drift?window=24h",
    f"/models/{MODEL}/policies",
    f"/models/{MODEL}/policies?kind=retrain",
    f"/models/{MODEL}/policies?kind=rollout",
    f"/models/{MODEL}/history",
    "/training",
    "/training/new",
    "/experiments",
    "/evaluations",
    "/evaluations/new",
    "/approvals",
    "/rollouts",
    "/rollouts/new",
    "/routes",
    "/routes-new",
    "/routes-new?plan=split",
    "/routes-new?plan=json",
    f"/routes/{MODEL}",
    f"/routes/{MODEL}/edit",
    f"/routes/{MODEL}/try",
    "/alarms",
    "/timelines",
    links.prediction(PREDICTION),
    "/find?q=zzz",
    "/value",
    "/admin",
    "/admin/services",
    "/admin/workspaces",
    "/admin/connections",
    f"/admin/connections/{CONNECTION}",
    "/admin/keys",
    "/admin/dead-letters",
    "/admin/roles",
    "/admin/audit",
    "/components",
)
DETAILS: tuple[tuple[str, str, str, str], ...] = (
    ("/training/{id}", "trainer", "/v1/runs", "run_id"),
    ("/evaluations/{id}", "evaluator", "/v1/evaluations", "evaluation_id"),
    ("/rollouts/{id}", "deployer", "/v1/rollouts", "rollout_id"),
    ("/alarms/{id}", "monitor", "/v1/alerts", "event_id"),
    ("/value/reports/{id}", "evaluator", "/v1/loop-reports", "report_id"),
    ("/timelines/{id}", "deployer", "/v1/rollouts", "correlation_id"),
)
"""(path with {id}, service, start of the key of a recorded list, field of its items)."""


def _backtest(recording: Recording) -> Iterator[str]:
    """The newest backtest, and its first policy for a model."""
    reports = _items(recording, "evaluator", "/v1/loop-reports")
    found = next((one for one in reports if one["report"]["kind"] == "backtest"), None)
    if found is not None:
        yield links.report(found["report_id"])
        policy = found["report"]["ways"][0]["name"]
        yield links.switch(found["report_id"], policy)
        yield f"{links.switch(found['report_id'], policy)}&model={MODEL}"


def _experiments(recording: Recording) -> Iterator[str]:
    """The newest experiment, its first two runs side by side, and the first of them."""
    experiment = _first(recording, "registry", "/v1/experiments", "id")
    if experiment is None:
        return
    yield links.experiment(experiment)
    runs = [run["id"] for run in _items(recording, "registry", f"/v1/experiments/{experiment}/runs")][:2]
    if runs:
        yield links.experiment_run(experiment, runs[0])
        yield f"{links.experiment(experiment)}/compare?" + urlencode([("run", run) for run in runs])


def _first(recording: Recording, service: str, listed: str, field: str) -> Any:
    """Field of the first item of a recorded list."""
    return next((item[field] for item in _items(recording, service, listed)), None)


def _items(recording: Recording, service: str, listed: str) -> list[Any]:
    """Items of a recorded list; empty when there is none."""
    for key, answer in recording.answers.items():
        if key.partition("?")[0] == f"{service} GET {listed}" and answer["status"] == 200:
            document = json.loads(answer["text"])
            items = document.get("items") or document.get("events") or []
            if items:
                return list(items)
    return []
