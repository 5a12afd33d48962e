"""What the monitor answers, as the deployer reads it: bad answers are no evidence."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from modelyard_deployer.clients.monitor import HttpMonitor
from modelyard_deployer.domain.harm import Calls
from modelyard_deployer.domain.hedge import Batch
from modelyard_deployer.domain.votes import LabelPage

GROUP: dict[str, Any] = {
    "members": [{"version": 1, "digest": "a", "loss": 4.0}, {"version": 2, "digest": "b", "loss": 1.0}],
    "rows": 10,
    "loss": 2.0,
    "expected": 3.0,
    "drawn": False,
    "inverse": 10.0,
}


class Answers:
    """A monitor that gives each answer once, by path; the last one stays."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[str] = []

    def next(self, path: str) -> tuple[int, Any]:
        self.asked.append(path)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def monitor(answers: Answers) -> Iterator[HttpMonitor]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, document = answers.next(self.path)
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    client = HttpMonitor(f"http://127.0.0.1:{server.server_port}", "key")
    yield client
    client.close()
    server.shutdown()
    server.server_close()


def page(*groups: dict[str, Any], cursor: str = "c2") -> dict[str, Any]:
    return {"model": "churn", "cursor": cursor, "labels": 10, "groups": list(groups), "more": True}


def test_a_page_of_labels(monitor: HttpMonitor, answers: Answers) -> None:
    answers.answers = [(200, page(GROUP))]
    batch = Batch(10, {1: 4.0, 2: 1.0}, vote_loss=2.0, mean_loss=3.0)
    assert monitor.votes("churn", "c1") == LabelPage("c2", (batch,), more=True)
    assert answers.asked == ["/v1/models/churn/votes?limit=10000&after=c1"]


def test_a_position_that_the_monitor_does_not_know_starts_again_from_now(
    monitor: HttpMonitor, answers: Answers
) -> None:
    answers.answers = [(422, {"code": "invalid", "field": "after"}), (200, page(cursor="now"))]
    assert monitor.votes("churn", "old") == LabelPage("now", (), more=True)
    assert answers.asked[-1] == "/v1/models/churn/votes?limit=10000"


@pytest.mark.parametrize(
    "answer",
    [
        (503, {}),
        (404, {}),
        (200, b"not json"),
        (200, {"cursor": "c"}),
        (200, page({**GROUP, "rows": 0})),
        (200, page({**GROUP, "loss": -1.0})),
        (200, page({**GROUP, "members": [{"version": 1, "loss": 11.0}]})),
        (200, page({**GROUP, "members": [{"version": 1, "loss": float("nan")}]})),
        (200, page({**GROUP, "expected": float("inf")})),
    ],
)
def test_an_answer_that_labels_cannot_give_moves_no_weight(
    monitor: HttpMonitor, answers: Answers, answer: tuple[int, Any]
) -> None:
    answers.answers = [answer]
    assert monitor.votes("churn", "c1") is None


def test_losses_of_draws_are_divided_by_their_probability(monitor: HttpMonitor, answers: Answers) -> None:
    drawn = {**GROUP, "members": [{"version": 1, "loss": 150.0}], "drawn": True, "inverse": 200.0, "expected": 8.0}
    answers.answers = [(200, page(drawn))]
    found = monitor.votes("churn", "c1")
    assert found is not None
    assert found.batches == (Batch(10, {1: 150.0}, vote_loss=2.0, mean_loss=8.0, drawn=True),)


def test_calls_of_members(monitor: HttpMonitor, answers: Answers) -> None:
    members = [{"version": 1, "asked": 90, "failed": 3, "latency_ms_p95": 8.5}]
    answers.answers = [
        (200, {"model": "churn", "members": [*members, {**members[0], "version": 2, "latency_ms_p95": None}]})
    ]
    since = datetime(2026, 1, 1, tzinfo=UTC)
    assert monitor.members("churn", since) == [Calls(1, 90, 3, 8.5), Calls(2, 90, 3, 0.0)]
    answers.answers = [(500, {})]
    assert monitor.members("churn", since) is None
