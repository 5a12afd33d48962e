"""The demo: one stream through the whole closed loop."""

import asyncio
import json
import os
import threading
import time
import uuid
from pathlib import Path
from typing import Any, Final

import typer
from rich.text import Text

from modelyard_cli.backtest.beside import Beside
from modelyard_cli.backtest.timing import Known, after_rows
from modelyard_cli.context import Platform
from modelyard_cli.demo import first as first_version
from modelyard_cli.demo.data import TRAIN_SHARE, Stream, load
from modelyard_cli.demo.loops import ALWAYS, Event, closed, loops, read_events
from modelyard_cli.demo.measure import counts, frozen_outputs
from modelyard_cli.demo.page import page
from modelyard_cli.demo.report import Report, as_tables, faults, make_report
from modelyard_cli.demo.roll_back import show_roll_back
from modelyard_cli.demo.stage import fresh_platform, say
from modelyard_cli.demo.traffic import LABEL_DELAY_ROWS, Traffic
from modelyard_cli.output import Form, complain, complaints, console, show
from modelyard_cli.stack.layout import StackError
from modelyard_cli.verbs.lists import short
from modelyard_contracts.tables.inference import Choices

STREAM_S: Final = 240.0
"""How long the stream lasts if the rate allows: loops close within a part of it, and one can watch."""
SLOWEST_PER_S, FASTEST_PER_S = 10.0, 250.0
NEWS_EVERY_S: Final = 1.5
LAST_LOOP_S: Final = 150.0
"""How long to wait, after the last row, for a loop that is under way and the first to close: longer than a canary that
gets no traffic any more is held (`max_hold_s` of the demo's policy)."""
SHOWN_TYPES: Final = frozenset(
    {"DriftDetected", "TrainingRunChanged", "EvaluationFinished", "ResourceChanged", "RolloutChanged"}
)


def run_demo(
    data: Path | None, choices: Choices, data_dir: Path, rate: float | None, *, keep: bool, output: Form
) -> None:
    """Report progress as it happens; exit code 1 when a count does not add up or no loop closed."""
    began = time.monotonic()
    stream = load(data, data_dir.parent / "cache", choices)
    say(began, f"data: {stream.name}, {stream.rows:,} rows, {len(stream.numeric) + len(stream.categorical)} features")
    with fresh_platform(data_dir, keep, began) as platform:
        report = Demo(platform, stream, rate or steady_rate(stream), began).run()
    report["wall_seconds"] = round(time.monotonic() - began, 1)
    _write(report, data_dir)
    show(output, report, lambda: as_tables(report))
    if output is Form.TABLE:
        console.print(Text(f"page: {data_dir / 'report.html'}   data: {data_dir / 'report.json'}"), soft_wrap=True)
        console.print(Text(f"timelines: {_how_to_ask(data_dir, keep=keep)}"), soft_wrap=True)
    wrong = faults(report)
    for fault in wrong:
        complain(f"wrong: {fault}")
    raise typer.Exit(1 if wrong else 0)


def _how_to_ask(data_dir: Path, *, keep: bool) -> str:
    """Where `modelyard timeline` finds what it is asked for: the stack of a demo has a folder of its own."""
    if os.environ.get("REGISTRY_URL"):
        return "modelyard timeline ID"
    stack = data_dir / "stack"
    start = "" if keep else f"modelyard up --any-ports --data-dir {stack}, then "
    return f"{start}modelyard timeline ID --data-dir {stack}"


def steady_rate(stream: Stream) -> float:
    """Requests per second that spread the rows after the first tenth over STREAM_S, within bounds."""
    return min(max(stream.rows * (1 - TRAIN_SHARE) / STREAM_S, SLOWEST_PER_S), FASTEST_PER_S)


class Demo:
    """One run against one platform."""

    def __init__(self, platform: Platform, stream: Stream, rate_per_s: float, began: float) -> None:
        self._platform = platform
        self._stream = stream
        self._rate_per_s = rate_per_s
        self._began = began
        self._seen: set[str] = set()
        self._looked_until = ALWAYS
        self._first = int(stream.rows * TRAIN_SHARE)
        self._prefix = f"demo-{uuid.uuid4().hex[:8]}"

    def run(self) -> Report:
        """Everything, in order; the report lacks only the wall time."""
        self._train()
        with Beside(self._stream, self._first, self._known()) as beside:
            answers = self._stream_rows().answers
            self._say("all rows answered; counting")
            stored = counts(self._platform, self._stream.name, self._prefix, answers.sent, answers.labels_sent)
            found = loops(self._events())
            frozen = frozen_outputs(self._platform, self._stream, self._first)
            retrained = beside.scheduled(frozen, len(found), first_version.RETRAIN.window_rows)
            compared = {"frozen": frozen, "scheduled": retrained, "online": beside.online()}
        report = make_report(self._stream, self._first, answers, compared, stored, found, self._versions())
        return {**report, **show_roll_back(self._platform, self._stream, self._say)}

    def _known(self) -> Known:
        return after_rows(self._stream.rows, self._first, LABEL_DELAY_ROWS)

    def _train(self) -> None:
        first_version.create_model(self._platform, self._stream, self._rate_per_s)
        digest = first_version.upload_first_tenth(self._platform, self._stream)
        self._say(f"first tenth ({self._first:,} rows) is dataset {digest[:19]}")
        with complaints.status("training version 1") as status:
            first_version.train_first(self._platform, self._stream, digest, status.update)
        self._say("version 1 serves all traffic")

    def _stream_rows(self) -> Traffic:
        """Send everything from a thread of its own, and tell meanwhile what the platform does."""
        traffic = Traffic(self._platform.urls["router"], self._platform.token, self._stream, self._prefix)
        failure: list[BaseException] = []
        stop = threading.Event()

        def send() -> None:
            try:
                asyncio.run(traffic.send(self._first, self._rate_per_s, stop.is_set))
            except BaseException as error:
                failure.append(error)

        rows = self._stream.rows - self._first
        self._say(f"sending {rows:,} rows, {self._rate_per_s:.0f} per second: {rows / self._rate_per_s / 60:.1f} min")
        sender = threading.Thread(target=send, name="traffic")
        sender.start()
        try:
            with complaints.status("sending") as status:
                while sender.is_alive():
                    sender.join(NEWS_EVERY_S)
                    self._tell_news()
                    status.update(f"{traffic.answers.sent:,} of {rows:,} rows answered")
        finally:
            stop.set()
            sender.join()
        if failure:
            raise StackError(f"the stream broke off: {_innermost(failure[0])}") from failure[0]
        self._await_last_loop()
        return traffic

    def _await_last_loop(self) -> None:
        """A run that began before the last row may still end; without traffic a canary will not, so not for long."""
        deadline = time.monotonic() + LAST_LOOP_S
        while time.monotonic() < deadline:
            found = loops(self._events())
            if any(closed(loop) for loop in found) or not found:
                return
            self._tell_news()
            time.sleep(1.0)

    def _events(self) -> list[Event]:
        return read_events(self._platform, self._stream.name)

    def _tell_news(self) -> None:
        """What was stored since the last look; the last moment is read again, since more may have been stored in it."""
        for event in read_events(self._platform, self._stream.name, self._looked_until):
            key = str(event["event_id"])
            if key not in self._seen and event["type"] in SHOWN_TYPES and _worth_telling(event):
                self._say(f"{event['type']}: {short(event)}")
            self._seen.add(key)
            self._looked_until = max(self._looked_until, event["recorded_at"])

    def _versions(self) -> list[dict[str, Any]]:
        found = self._platform.registry.versions(self._stream.name)
        return [
            {"version": it.version, "stage": str(it.stage), "digest": it.digest}
            for it in sorted(found, key=lambda it: it.version)
        ]

    def _say(self, text: str) -> None:
        say(self._began, text)


def _worth_telling(event: Event) -> bool:
    """Steps, not every percent, and no alarm that came to nothing; the page has all of them."""
    payload = event["payload"]
    if event["type"] == "DriftDetected":
        return bool(payload["severity"] != "info" and payload["kind"] != "feature")
    if event["type"] == "TrainingRunChanged":
        return payload["state"] in ("requested", "succeeded", "failed")
    return event["type"] != "ResourceChanged" or payload["change"] in ("version_registered", "alias_moved")


def _innermost(error: BaseException) -> BaseException:
    return _innermost(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _write(report: Report, data_dir: Path) -> None:
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / "report.json").write_text(json.dumps(report, indent=2, default=str))
    (data_dir / "report.html").write_text(page(report))
