"""Logs carry the story and no secret; trace context survives Kafka's headers."""

import json
import logging
from collections.abc import Iterator
from uuid import uuid4

import pytest

from modelyard_contracts import TrainingRunRequested
from modelyard_runtime.clock import system_clock
from modelyard_runtime.errors import StartupError
from modelyard_runtime.headers import from_wire, message_headers, to_wire
from modelyard_runtime.log import configure_logging, get_logger
from modelyard_runtime.tracing import configure_tracing, correlated, current_traceparent, outgoing_headers, span


@pytest.fixture
def _logging() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


@pytest.mark.usefixtures("_logging")
def test_a_line_is_json_with_service_and_story_and_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("toy")
    story = uuid4()
    with correlated(story), span("work"):
        get_logger("x").info("key made", api_key="abc", url="postgresql://me:hunter2@db/x", rows=3)
        logging.getLogger("y").warning("header was %s", "Bearer abcdefghijklm")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["service"], first["correlation_id"], first["rows"]) == ("toy", str(story), 3)
    assert (first["event"], first["level"], len(first["trace_id"])) == ("key made", "info", 32)
    assert (first["api_key"], first["url"]) == ("***", "postgresql://me:***@db/x")
    assert second["event"] == "header was Bearer ***"


@pytest.mark.usefixtures("_logging")
def test_an_exception_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("toy")
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        logging.getLogger("y").exception("failed")
    [line] = capsys.readouterr().err.splitlines()
    assert "ZeroDivisionError: " in json.loads(line)["exception"]


def test_a_message_takes_the_trace_along_and_the_reader_goes_on_in_it() -> None:
    message = TrainingRunRequested(
        event_id=uuid4(), occurred_at=system_clock(), correlation_id=uuid4(), model="m", requested_by="me", reason="r"
    )
    with span("write"):
        wire = to_wire(message_headers(message, source="toy"))
        written = current_traceparent()
    assert written is not None
    headers = from_wire(wire)
    assert headers["correlation_id"] == str(message.correlation_id)
    assert (headers["ce_id"], headers["ce_type"], headers["ce_source"]) == (str(message.event_id), message.TOPIC, "toy")
    with span("read", headers):
        read = current_traceparent()
        assert outgoing_headers() == {"traceparent": read}
    assert read is not None
    assert read.split("-")[1] == written.split("-")[1]
    assert read.split("-")[2] != written.split("-")[2]
    assert current_traceparent() is None


def test_a_broken_traceparent_begins_a_new_trace() -> None:
    with span("read", {"traceparent": "nonsense"}):
        assert current_traceparent() is not None


def test_an_exporter_that_is_configured_but_not_installed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert configure_tracing("toy") is False
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(StartupError, match="install opentelemetry-exporter-otlp"):
        configure_tracing("toy")
