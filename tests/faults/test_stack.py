"""Faults that the whole local stack meets: too much, the same twice, and a full disk."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest

from modelyard_contracts import (
    EvaluationFinished,
    EvaluationRequested,
    RolloutAction,
    RolloutRequested,
    RoutePublished,
    TrainingRunRequested,
    Verdict,
)
from modelyard_contracts.manifest import (
    digest_of,
)
from modelyard_devstack.testing import eventually, stays, wait_until

from .services import NAMES, Stack, registered

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(240)]

PATHS = {
    "registry": "/v1/models",
    "trainer": "/v1/runs",
    "evaluator": "/v1/evaluations",
    "deployer": "/v1/rollouts",
    "router": "/v1/feedback",
    "monitor": "/internal/consumers/resume",
}
"""Where each takes a body."""
FAR_TOO_MUCH_BYTES = 9 * 2**20
FULL_S = 4.0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("declared", [True, False], ids=["declared", "in parts"])
def test_a_body_over_the_limit_is_rejected_naming_the_limit(stack: Stack, name: str, declared: bool) -> None:
    body = b" " * FAR_TOO_MUCH_BYTES
    answer = stack.ask(name, "POST", PATHS[name], content=body if declared else iter([body[:1000], body]))
    if name == "monitor" and not declared:
        assert answer.status_code in (200, 413), "it takes no body, so it need not read one"
        return
    assert answer.status_code == 413, answer.text
    assert any(character.isdigit() for character in answer.json()["detail"]), answer.text


@pytest.mark.parametrize("name", [name for name in NAMES if name != "monitor"])
@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff\xfe", b""], ids=["cut off", "a list", "no text", "nothing"])
def test_an_invalid_body_is_a_client_error(stack: Stack, name: str, body: bytes) -> None:
    answer = stack.ask(name, "POST", PATHS[name], content=body)
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["detail"]


def event_fields(model: str, at: datetime | None = None) -> dict[str, Any]:
    now = at or datetime.now(UTC)
    return {"event_id": uuid4(), "occurred_at": now, "correlation_id": uuid4(), "model": model}


def items(stack: Stack, service: str, path: str, model: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.ask(service, "GET", path, params={"model": model}).json()["items"]
    return found


async def test_forged_control_events_move_nothing_and_are_reported(stack: Stack) -> None:
    """A verdict, requests and a route table without a signature; then an honest request."""
    version = registered(stack, "forged")
    verdict = EvaluationFinished(
        **event_fields("forged"),
        evaluation_id=uuid4(),
        challenger_version=1,
        challenger_digest=version.digest,
        verdict=Verdict.DEPLOY,
        reasons=("forged",),
    )
    rollout = RolloutRequested(**event_fields("forged"), action=RolloutAction.START, version=1, requested_by="nobody")
    run = TrainingRunRequested(**event_fields("forged"), requested_by="nobody", reason="forged")
    table = RoutePublished(**event_fields("forged"), route="forged", sequence=2**53, salt="s")
    await stack.forge(verdict, rollout, run, table)
    honest = TrainingRunRequested(**event_fields("forged"), requested_by="test", reason="honest", recipe="no recipe")
    await stack.send(honest)

    def refused(service: str) -> bool:
        return "not signed by" in stack.ask(service, "GET", "/health/ready").text

    await eventually(lambda: items(stack, "trainer", "/v1/runs", "forged"), 60)
    for service in ("registry", "deployer", "trainer", "router", "monitor"):
        await eventually(partial(refused, service), 60, what=service)
    assert [run["why"] for run in items(stack, "trainer", "/v1/runs", "forged")] == ["honest"]
    assert items(stack, "deployer", "/v1/rollouts", "forged") == []
    history = stack.ask("registry", "GET", "/v1/models/forged/history").json()["items"]
    assert not [entry for entry in history if entry.get("stage") == "approved"]


async def test_repeated_and_late_control_events_have_one_effect(stack: Stack) -> None:
    """Each event twice, and the older verdict after the newer one, through a broker to the real services."""
    version = registered(stack, "twice")
    verdict: dict[str, Any] = {
        "evaluation_id": uuid4(),
        "challenger_version": 1,
        "challenger_digest": version.digest,
        "reasons": ("by hand",),
    }
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    newer = EvaluationFinished(**event_fields("twice"), **verdict, verdict=Verdict.DEPLOY)
    older = EvaluationFinished(**event_fields("twice", hour_ago), **verdict, verdict=Verdict.INCONCLUSIVE)
    run = TrainingRunRequested(**event_fields("twice"), requested_by="test", reason="twice", recipe="no such recipe")
    asked = EvaluationRequested(**event_fields("twice"), challenger_version=1, requested_by="test")
    await stack.send(newer, newer, older, older, newer, run, run, asked, asked, run, asked)
    registered(stack, "asked")
    request = RolloutRequested(**event_fields("asked"), action=RolloutAction.START, version=1, requested_by="test")
    await stack.send(request, request, request)
    last = TrainingRunRequested(**event_fields("twice"), requested_by="test", reason="the last of its partition")
    await stack.send(last, EvaluationRequested(**event_fields("twice"), challenger_version=1, requested_by="last"))
    await eventually(lambda: len(items(stack, "trainer", "/v1/runs", "twice")) > 1, 60)
    await eventually(lambda: len(items(stack, "evaluator", "/v1/evaluations", "twice")) > 2, 60)
    await eventually(lambda: items(stack, "deployer", "/v1/rollouts", "twice"), 60)
    await eventually(lambda: items(stack, "deployer", "/v1/rollouts", "asked"), 60)

    runs = items(stack, "trainer", "/v1/runs", "twice")
    assert sorted(run["why"] for run in runs) == ["the last of its partition", "twice"]
    assert [run["state"] for run in runs if run["why"] == "twice"] == ["refused"]
    askers = [one["requested_by"] for one in items(stack, "evaluator", "/v1/evaluations", "twice")]
    assert sorted(askers) == ["last", "registry", "test"], "one for the registration, one for each request"
    assert len(items(stack, "deployer", "/v1/rollouts", "twice")) == 1, "by the approval"
    assert len(items(stack, "deployer", "/v1/rollouts", "asked")) == 1
    history = stack.ask("registry", "GET", "/v1/models/twice/history").json()["items"]
    approvals = [entry for entry in history if entry.get("stage") == "approved"]
    assert len(approvals) == 1, history


def labels(stack: Stack, name: str, refused: list[httpx.Response]) -> list[str]:
    """Ids of the labels that were accepted, until one is refused."""
    accepted = []
    for number in range(60):
        id_ = f"{name}-{number}-{'x' * 200}"
        answer = stack.ask("router", "POST", "/v1/feedback", json={"prediction_id": id_, "label": "1"})
        if answer.status_code != 202:
            refused.append(answer)
            break
        accepted.append(id_)
    return accepted


def test_on_a_full_disk_every_service_reports_it_keeps_running_and_loses_nothing(stack: Stack) -> None:
    """All data and logs of the stack are on one disk, which is completely full for some seconds."""
    registered(stack, "kept")
    wait_until(lambda: items(stack, "evaluator", "/v1/evaluations", "kept"), 60)
    blob = b"kept for long"
    requests: dict[str, Callable[[str], httpx.Response]] = {
        "registry": lambda name: stack.ask("registry", "POST", "/v1/models", json={"name": name}),
        "trainer": lambda name: stack.ask("trainer", "POST", "/v1/runs", json={"model": "kept", "reason": name}),
        "evaluator": lambda name: stack.ask(
            "evaluator", "POST", "/v1/evaluations", json={"model": "kept", "challenger_version": 1, "reason": name}
        ),
        "registry's files": lambda name: stack.ask("registry", "PUT", f"/v1/blobs/{digest_of(blob)}", content=blob),
    }
    pids = stack.pids
    stack.disk.fill()
    try:
        refusals: list[httpx.Response] = []
        accepted = labels(stack, "full", refusals)
        said = {who: request("full") for who, request in requests.items()} | {"router": refusals[0]}
        stays(lambda: {stack.ask(name, "GET", "/health/live").status_code for name in NAMES} == {200}, FULL_S)
    finally:
        stack.disk.free()
    for who, answer in said.items():
        detail = answer.json()["detail"]
        assert answer.status_code == 503, (who, answer.text)
        assert str(stack.folder) in detail and "ree" in detail and "pace" in detail, (who, detail)
    assert stack.pids == pids and not any(one["restarts"] for one in stack.state["services"].values())

    for who, request in requests.items():
        wait_until(lambda request=request: request("room").status_code < 300, 30, what=who)  # type: ignore[misc]
    accepted += labels(stack, "room", [])
    assert stack.ask("registry", "GET", "/v1/models/kept/versions/1").json()["stage"] == "registered"
    wait_until(lambda: stack.ask("router", "GET", "/v1/spool").json()["unsent"] == 0, 60)
    wait_until(lambda: stored_labels(stack) >= set(accepted), 60, what="every accepted label stored")


def stored_labels(stack: Stack) -> set[str]:
    clickhouse = stack.state["clickhouse"]
    auth = (clickhouse["reader"]["user"], clickhouse["reader"]["password"])
    sql = f"SELECT prediction_id FROM {clickhouse['database']}.labels"
    return set(httpx.post(clickhouse["url"], content=sql, auth=auth, timeout=30).text.split())
