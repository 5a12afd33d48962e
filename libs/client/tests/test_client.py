"""What the client promises whatever server answers; its calls to a real registry are in services/registry/tests."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelyard import (
    ApiError,
    ApiUnavailable,
    ChangeEvent,
    DeployerClient,
    DigestMismatch,
    EvaluatorClient,
    MonitorClient,
    RegistryClient,
    RouterClient,
    TrainerClient,
    feedback_item,
)
from modelyard.blobs import BlobCache, write_verified
from modelyard_contracts.manifest import digest_of

Answer = Callable[[httpx.Request], httpx.Response]


class Server:
    """Answers each request with the next answer and remembers it."""

    def __init__(self, *answers: Any, status: int = 200) -> None:
        self.answers, self.status = list(answers), status
        self.seen: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        return httpx.Response(self.status, json=self.answers.pop(0) if self.answers else {})

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self)

    @property
    def body(self) -> Any:
        return json.loads(self.seen[-1].content)

    @property
    def path(self) -> str:
        return self.seen[-1].url.raw_path.decode()


def test_every_call_carries_the_key() -> None:
    server = Server({"items": [], "next_after": None})
    RegistryClient("http://x", "secret", transport=server.transport).models()
    assert server.seen[0].headers["authorization"] == "Bearer secret"


def test_every_call_carries_the_context_of_its_own_moment() -> None:
    server, numbers = Server(), iter(("first", "second"))
    registry = RegistryClient(
        "http://x", "s", transport=server.transport, context=lambda: {"traceparent": next(numbers)}
    )
    for _ in range(2):
        registry.get("/v1/models")
    assert [request.headers["traceparent"] for request in server.seen] == ["first", "second"]


def test_a_problem_becomes_an_error_with_its_code_and_field() -> None:
    problem = {"title": "Conflict", "status": 409, "detail": "generation 3", "code": "stale_generation", "field": "f"}
    client = RegistryClient("http://x", "k", transport=Server(problem, status=409).transport)
    with pytest.raises(ApiError) as refused:
        client.alias("elec", "champion")
    error = refused.value
    assert (error.status, error.code, error.detail, error.field) == (409, "stale_generation", "generation 3", "f")
    assert not error.retryable


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_retryable(status: int) -> None:
    client = TrainerClient("http://x", "k", transport=Server(status=status).transport)
    with pytest.raises(ApiUnavailable) as refused:
        client.runs()
    assert refused.value.retryable and type(refused.value).retryable


def test_no_answer_is_retryable_and_names_the_address() -> None:
    def refusing(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    client = RouterClient("http://router:1", "k", transport=httpx.MockTransport(refusing))
    with pytest.raises(ApiUnavailable, match="http://router:1") as refused:
        client.routes()
    assert (refused.value.status, refused.value.code) == (0, "unreachable")
    assert not client.ready()


def test_an_answer_that_is_no_json_is_still_an_error_to_read() -> None:
    answer = httpx.MockTransport(lambda _: httpx.Response(404, text="<html>nginx</html>"))
    with pytest.raises(ApiError, match="nginx"):
        RegistryClient("http://x", "k", transport=answer).model("elec")


def test_pages_are_followed_to_the_end() -> None:
    def page(after: int | None) -> dict[str, Any]:
        entry = {
            "change": "x",
            "actor": "a",
            "event_id": "e",
            "correlation_id": "c",
            "occurred_at": "2026-01-01T00:00Z",
        }
        return {"items": [{**entry, "occurred_at": "2026-01-01T00:00Z", "position": after or 3}], "next_after": after}

    server = Server(page(1), page(2), page(None))
    history = RegistryClient("http://x", "k", transport=server.transport).history("elec", after=0)
    assert len(history) == 3
    assert [request.url.params["after"] for request in server.seen] == ["0", "1", "2"]


def test_names_cannot_leave_their_place_in_a_path() -> None:
    server = Server(status=404)
    with pytest.raises(ApiError):
        RegistryClient("http://x", "k", transport=server.transport).model("../api-keys?x=")
    assert server.path == "/v1/models/..%2Fapi-keys%3Fx%3D"


def test_wrong_bytes_are_never_kept(tmp_path: Path) -> None:
    client = RegistryClient("http://x", "k", transport=httpx.MockTransport(lambda _: httpx.Response(200, content=b"x")))
    target = tmp_path / "file"
    target.write_bytes(b"before")
    with pytest.raises(DigestMismatch):
        client.get_blob(digest_of(b"y"), target)
    with pytest.raises(DigestMismatch):
        client.get_blob(digest_of(b"y"))
    assert target.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_damaged_cache_entry_is_no_hit(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path)
    digest = digest_of(b"good")
    assert cache.find(digest) is None
    path = write_verified([b"go", b"od"], cache.path_of(digest), digest)
    assert cache.find(digest) == path
    path.write_bytes(b"bad!")
    assert cache.find(digest) is None and not path.exists()


def test_a_manifest_that_is_not_the_version_s_is_refused() -> None:
    answer = httpx.MockTransport(
        lambda _: httpx.Response(200, content=b"{}", headers={"x-modelyard-digest": digest_of(b"other")})
    )
    with pytest.raises(DigestMismatch, match="manifest of elec version 1"):
        RegistryClient("http://x", "k", transport=answer).manifest("elec", 1)


ANSWER = {
    **dict.fromkeys(("run_id", "evaluation_id", "rollout_id", "correlation_id"), "0"),
    "model": "m",
    "state": "failed",
    "challenger_version": 2,
    "action": "start",
    "accepted": 1,
}
"""Fields of every answer."""


@pytest.mark.parametrize(
    ("call", "method", "path", "body"),
    [
        (
            lambda t: TrainerClient("http://x", "k", transport=t).start_run("m", reason="r", dataset_digest="d"),
            "POST",
            "/v1/runs",
            {"model": "m", "reason": "r", "dataset_digest": "d"},
        ),
        (lambda t: TrainerClient("http://x", "k", transport=t).cancel_run("id"), "POST", "/v1/runs/id/cancel", {}),
        (
            lambda t: EvaluatorClient("http://x", "k", transport=t).evaluate("m", 2, reason="r"),
            "POST",
            "/v1/evaluations",
            {"model": "m", "challenger_version": 2, "reason": "r"},
        ),
        (
            lambda t: DeployerClient("http://x", "k", transport=t).roll_back("m", reason="r", wait_s=3.0),
            "POST",
            "/v1/rollouts",
            {"model": "m", "action": "roll_back", "reason": "r", "wait_s": 3.0},
        ),
        (
            lambda t: DeployerClient("http://x", "k", transport=t).start_rollout("m", 2, reason="r", strategy="full"),
            "POST",
            "/v1/rollouts",
            {"model": "m", "version": 2, "action": "start", "strategy": "full", "reason": "r"},
        ),
        (
            lambda t: DeployerClient("http://x", "k", transport=t).abort_rollout("m", version=2, reason="r"),
            "POST",
            "/v1/rollouts",
            {"model": "m", "version": 2, "action": "abort", "reason": "r"},
        ),
        (
            lambda t: RouterClient("http://x", "k", transport=t).feedback("p", label="up", source="s"),
            "POST",
            "/v1/feedback",
            {"prediction_id": "p", "label": "up", "source": "s"},
        ),
    ],
)
def test_each_service_is_asked_as_its_api_says(
    call: Callable[[httpx.BaseTransport], Any], method: str, path: str, body: Any
) -> None:
    server = Server(ANSWER)
    call(server.transport)
    assert (server.seen[0].method, server.path, server.body) == (method, path, body)


def test_a_prediction_names_the_exact_version() -> None:
    answer = {
        "prediction_id": "p", "model": "elec", "version": 3, "digest": "sha256:0", "class": "up", "score": 0.9,
        "scores": {"up": 0.9, "down": 0.1}, "route": "elec", "variant": "stable", "later": "field",
    }  # fmt: skip
    server = Server(answer)
    prediction = RouterClient("http://x", "k", transport=server.transport).predict("elec", {"price": 0.1, "day": None})
    assert (prediction.class_, prediction.version, prediction.digest) == ("up", 3, "sha256:0")
    assert server.body == {"features": {"price": 0.1, "day": None}}


def test_a_routed_prediction_has_the_rule_the_attempts_and_the_cost_of_its_headers() -> None:
    answer = {"prediction_id": "p", "model": "m", "version": 3, "digest": "d", "route": "r", "variant": "stable"}
    names = {"rule": "gold", "attempts": "2", "cost-usd": "0.004", "overhead-ms": "0.42"}
    seen: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=answer, headers={f"x-modelyard-{name}": text for name, text in names.items()})

    router = RouterClient("http://x", "k", transport=httpx.MockTransport(respond))
    found = router.predict_routed("r", {"a": 1}, entity_key="42", headers={"x-tier": "gold"})
    assert (found.rule, found.attempts, found.cost_usd, found.overhead_ms) == ("gold", 2, 0.004, 0.42)
    assert found.prediction.version == 3
    assert (seen[0].headers["x-tier"], seen[0].headers["authorization"]) == ("gold", "Bearer k")


def test_an_alert_is_read_with_its_whole_event() -> None:
    at = "2026-01-01T00:00:00Z"
    alert = {
        "event_id": "e", "type": "drift", "model": "m", "version": 1, "variant": "stable", "occurred_at": at,
        "correlation_id": "c", "kind": "score", "subject": "score", "severity": "info", "observed": 1, "threshold": 0,
    }  # fmt: skip
    event = {"event_id": "e", "occurred_at": at, "correlation_id": "c", "payload": {"p_value": 0.01}, "alert": alert}
    server = Server(event, {"items": [], "next_after": None})
    monitor = MonitorClient("http://x", "k", transport=server.transport)
    found = monitor.event("e")
    assert found.alert is not None
    assert (found.payload, found.alert.kind) == ({"p_value": 0.01}, "score")
    monitor.alerts("m", kind="score", severity="info")
    assert [request.url.raw_path.decode() for request in server.seen] == [
        "/v1/events/e",
        "/v1/alerts?model=m&kind=score&severity=info",
    ]


def test_lists_are_as_long_as_they_are_asked_for() -> None:
    server = Server({"items": []}, {"items": []}, {"items": []})
    TrainerClient("http://x", "k", transport=server.transport).runs("m", limit=500)
    DeployerClient("http://x", "k", transport=server.transport).rollouts(limit=7)
    EvaluatorClient("http://x", "k", transport=server.transport).evaluations("m")
    asked = [dict(request.url.params) for request in server.seen]
    assert asked == [{"model": "m", "limit": "500"}, {"limit": "7"}, {"model": "m", "limit": "100"}]


def test_answers_are_typed_and_keep_fields_of_a_newer_release() -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    event = {"event_id": "e", "occurred_at": "2026-01-01T00:00:00Z", "correlation_id": "c", "payload": {"a": 1}}
    versions = [{"version": 1, "variant": "stable", "new": "x"}]
    server = Server({"versions": versions}, {"events": [event]}, {"items": [event]})
    monitor = MonitorClient("http://x", "k", transport=server.transport)
    [health] = monitor.health("m", since=since)
    assert (health.version, health.model_dump()["new"]) == (1, "x")
    assert server.seen[0].url.params["since"] == "2026-01-01T00:00:00+00:00"
    assert monitor.timeline("c") == monitor.drift("m")


def test_open_alarms_are_typed() -> None:
    alarm = {"version": 2, "subject": "error_rate", "state": "open", "change_point": None}
    alarm |= {"since": "2026-01-01T00:00:00Z", "last_event_at": "2026-01-02T00:00:00Z"}
    server = Server({"items": [alarm]}, {"items": []})
    monitor = MonitorClient("http://x", "k", transport=server.transport)
    [found] = monitor.alarms("m", version=2)
    assert (found.state, found.since) == ("open", datetime(2026, 1, 1, tzinfo=UTC))
    assert monitor.alarms("m", closed=True) == ()
    asked = [dict(request.url.params) for request in server.seen]
    assert asked == [{"version": "2", "state": "open"}, {"state": "all"}]


def test_a_report_of_an_evaluation_is_typed_and_a_run_has_its_log() -> None:
    comparison = dict.fromkeys(("champion", "challenger", "difference", "low", "high", "p_value"), 0.5)
    report = {
        "verdict": "deploy",
        "reasons": ["better"],
        "comparison": {**comparison, "metric": "accuracy", "rows": 10, "later": "field"},
        "by_class": {"up": {"rows": 5, "champion_right": 3, "challenger_right": 4}},
        "metrics": {"champion": {"accuracy": 0.5}},
        "others": [],
    }
    evaluation = {"evaluation_id": "e", "model": "m", "challenger_version": 2, "report": report}
    server = Server(evaluation, {**ANSWER, "log": ["started"], "started_at": "2026-01-01T00:00:00Z"})
    found = EvaluatorClient("http://x", "k", transport=server.transport).evaluation("e")
    assert found.report is not None and found.report.comparison is not None
    assert (found.reasons, found.report.comparison.rows) == (("better",), 10)
    assert found.report.by_class["up"].challenger_right == 4
    run = TrainerClient("http://x", "k", transport=server.transport).run("r")
    assert (run.log, run.started_at) == (("started",), datetime(2026, 1, 1, tzinfo=UTC))


def test_reads_for_pages_are_asked_as_the_apis_say() -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    traffic = {"model": "m", "predictions": 4, "errors": 0, "labelled": 4, "wrong": 1, "last_at": since.isoformat()}
    over_time = {"model": "m", "bucket_s": 120, "items": []}
    prediction = {
        "prediction_id": "p/1", "occurred_at": since.isoformat(), "model": "m", "version": 1, "digest": "d",
        "route": "m", "variant": "stable", "class": "up", "status": "ok", "scores": {"up": 0.9},
    }  # fmt: skip
    page = {"items": [], "next_after": "x"}
    server = Server({"items": [traffic]}, over_time, page, {"items": [prediction]}, over_time, {"items": []})
    monitor = MonitorClient("http://x", "k", transport=server.transport)
    assert [one.wrong_share for one in monitor.traffic(since=since)] == [0.25]
    assert monitor.traffic_over_time("a:m", since=since, bucket_s=60).bucket_s == 120
    assert monitor.alerts(limit=5).next_after == "x"
    assert [(one.class_, one.scores) for one in monitor.prediction("p/1")] == [("up", {"up": 0.9})]
    assert monitor.psi_over_time("m", feature="").items == ()
    assert monitor.histogram("m", window_s=60) == ()
    when = "since=2026-01-01T00%3A00%3A00%2B00%3A00"
    assert [request.url.raw_path.decode() for request in server.seen] == [
        f"/v1/traffic?{when}",
        f"/v1/models/a%3Am/traffic?{when}&bucket_s=60",
        "/v1/alerts?limit=5",
        "/v1/predictions/p%2F1",
        "/v1/models/m/psi/over-time?feature=",
        "/v1/models/m/bins?window_s=60",
    ]


def test_changes_are_followed_and_resumed_after_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelyard.changes.RETRY_MIN_S", 0.0)
    streams = [
        'id: 1\n\n: ping\n\nevent: rollout\ndata: {"state": "shifting"}\nid: 2\n\n',
        'event: reset\ndata: {}\nid: 7\n\nevent: rollout\ndata: {"state":\ndata: "promoted"}\nid: 8\n\n',
    ]
    seen: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, text=streams.pop(0)) if streams else httpx.Response(503)

    client = DeployerClient("http://x", "k", transport=httpx.MockTransport(serve))
    events = list(takewhile_available(client.changes("m", retries=0)))
    assert [(event.type, event.id, event.data.get("state")) for event in events] == [
        ("rollout", "2", "shifting"),
        ("reset", "7", None),
        ("rollout", "8", "promoted"),
    ]
    assert [request.headers.get("last-event-id") for request in seen] == [None, "2", "8"]
    assert seen[0].url.params["model"] == "m"


def takewhile_available(events: Iterator[ChangeEvent]) -> Iterator[ChangeEvent]:
    """The events until the service is not available any more."""
    with suppress(ApiUnavailable):
        yield from events


def test_a_refused_feed_is_an_error_at_once() -> None:
    refuse = httpx.MockTransport(lambda _: httpx.Response(403, json={"title": "Forbidden", "code": "forbidden"}))
    with pytest.raises(ApiError, match="Forbidden"):
        next(TrainerClient("http://x", "k", transport=refuse).changes())


@pytest.mark.parametrize("given", [{}, {"label": "up", "value": 1.0}])
def test_feedback_is_a_label_or_a_value(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one of them"):
        feedback_item("p", **given)


def test_the_routes_of_a_router_are_read_from_its_view() -> None:
    server = Server({"router_id": "r", "routes": [{"route": "elec", "sequence": 4}], "refused": []})
    [route] = RouterClient("http://x", "k", transport=server.transport).routes()
    assert (route.route, route.sequence) == ("elec", 4)
