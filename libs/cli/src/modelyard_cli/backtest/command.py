"""modelyard backtest: policies on past data, on the real platform, beside what a team would do without it."""

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.text import Text

from modelyard_cli.backtest.beside import Beside
from modelyard_cli.backtest.compare import Done, compare
from modelyard_cli.backtest.isolation import isolated
from modelyard_cli.backtest.journal import Journal, sole_run
from modelyard_cli.backtest.lockstep import BLOCK_ROWS, MONITOR, Lockstep, Replay, data_s, later_s
from modelyard_cli.backtest.policies import Policies, trained_before
from modelyard_cli.backtest.report import Report, as_table, page
from modelyard_cli.backtest.results import platform_facts
from modelyard_cli.backtest.timing import Timing, first_rows
from modelyard_cli.context import Platform
from modelyard_cli.demo import first as first_version
from modelyard_cli.demo.data import Stream
from modelyard_cli.output import Form, complaints, console, show
from modelyard_cli.stack.commands import start_stack, stop_stack

REPORT: Final = "report.json"
REPLAY: Final = "replay"


def show_backtest(
    stream: Stream, policies: Sequence[Policies], timing: Timing, folder: Path, *, keep: bool, output: Form
) -> None:
    """Run policies on a stream and print the report."""
    report = run_backtest(stream, policies, timing, folder, keep=keep)
    show(output, report, lambda: as_table(report))
    if output is Form.TABLE:
        console.print(Text(f"page: {folder / 'report.html'}   data: {folder / 'report.json'}"), soft_wrap=True)
        switch_on = f"modelyard policies apply MODEL {policies[0].name} --report {folder}"
        console.print(Text(f"switch one on: {switch_on} --dry-run"), soft_wrap=True)


def run_backtest(
    stream: Stream, policies: Sequence[Policies], timing: Timing, folder: Path, *, keep: bool = False
) -> Report:
    """Run all policies one after another and write report.json and report.html; return the report.

    A run that was stopped goes on, and one that is finished is not run again. StackError while another one runs there.
    """
    for note in stream.notes:
        complaints.print(f"note: {note}", soft_wrap=True)
    with sole_run(folder):
        return _report(stream, policies, timing, folder, keep=keep)


def _report(stream: Stream, policies: Sequence[Policies], timing: Timing, folder: Path, *, keep: bool) -> Report:
    first = first_rows(stream.rows)
    journal = Journal(folder, facts_of(stream, policies, timing))
    if journal.finished and (folder / REPORT).exists():
        done: Report = json.loads((folder / REPORT).read_text())
        return done
    if journal.resumed:
        complaints.print("going on with the run that was stopped")
    with (
        _platform(folder / "stack", fresh=not journal.resumed, keep=keep) as platform,
        Beside(stream, first, timing.known) as beside,
    ):
        runs = [
            _Run(
                platform,
                stream,
                policy,
                timing,
                first,
                journal,
                Replay(folder / REPLAY, later_s(stream, place)),
                trained_before(policies, place),
            ).result()
            for place, policy in enumerate(policies)
        ]
        report = compare(platform, stream, timing, first, runs, beside)
    (folder / "report.html").write_text(page(report))
    (folder / REPORT).write_text(json.dumps(report, indent=2))
    journal.close()
    return report


def facts_of(stream: Stream, policies: Sequence[Policies], timing: Timing) -> dict[str, Any]:
    """What must be the same for a run to go on: rows, arrival of labels, policies."""
    content = hashlib.sha256(stream.numbers.tobytes())
    content.update(json.dumps([stream.words.tolist(), [str(label) for label in stream.labels]]).encode())
    return {
        "data": content.hexdigest(),
        "rows": stream.rows,
        "known": hashlib.sha256(timing.known.tobytes()).hexdigest(),
        "block_rows": BLOCK_ROWS,
        "policies": [[one.name, *(part.model_dump(mode="json") for part in one.documents())] for one in policies],
    }


@contextlib.contextmanager
def _platform(stack: Path, *, fresh: bool, keep: bool) -> Iterator[Platform]:
    """A local stack of the backtest's own; what a killed run left is stopped first."""
    stop_stack(stack)
    if fresh:
        shutil.rmtree(stack, ignore_errors=True)
        (stack.parent / REPLAY).unlink(missing_ok=True)
    try:
        replayed = {"MODELYARD_REPLAY_FILE": str((stack.parent / REPLAY).resolve())}
        start_stack(stack, any_ports=True, environ={**isolated(os.environ), **MONITOR, **replayed})
        yield Platform.find(stack, environ={})
    finally:
        if keep:
            complaints.print(f"left running: modelyard status --data-dir {stack}", soft_wrap=True)
        else:
            stop_stack(stack)


@dataclass(frozen=True)
class _Run:
    """One policy."""

    platform: Platform
    stream: Stream
    policies: Policies
    timing: Timing
    first: int
    journal: Journal
    replay: Replay
    trained: str | None = None
    """Earlier policy whose version 1 is taken, as this one would train the same; None trains it."""

    @property
    def own(self) -> Stream:
        """The stream under the name of this policy's model."""
        return replace(self.stream, name=f"{self.stream.name}-{self.policies.name}")

    def result(self) -> Done:
        """Train version 1, send the rows, and read what happened."""
        own, began = self.own, time.monotonic()
        name = self.policies.name
        if self.journal.result(own.name) is None:
            with complaints.status(f"{name}: training version 1") as status:
                self._prepare(own, lambda text: status.update(f"{name}: {text}"))
                lockstep = Lockstep(self.platform, own, self.first, self.timing.known, self.journal, self.replay)
                lockstep.run(lambda text: status.update(f"{name}: {text}{_left(text, began)}"))
            facts = {**platform_facts(self.platform, own.name), "version_1_shared_with": self.trained}
            self.journal.finish(own.name, facts)
        progress = self.journal.progress(own.name, self.first)
        outputs = np.array([progress.outputs[row] for row in range(self.first, own.rows)], dtype=object)
        return Done(self.policies, own, outputs, self.journal.result(own.name) or {})

    def _prepare(self, own: Stream, tell: Any) -> None:
        """Create model, policies and version 1, unless they exist from an earlier part of this run."""
        registry = self.platform.registry
        registry.create_model(own.name, description=f"backtest of policy {self.policies.name}")
        if registry.alias(own.name, "champion") is not None:
            return
        self.replay.at(data_s(own, self.first))
        for policy in self.policies.in_backtest().documents():
            registry.set_policy(own.name, policy)
        if self.trained is not None:
            first_version.share_first(self.platform, f"{self.stream.name}-{self.trained}", own, tell)
            return
        digest = first_version.upload_first(self.platform, own, self.first)
        first_version.train_first(self.platform, own, digest, tell)


def _left(text: str, began: float) -> str:
    """How much longer, at the pace so far; empty before it is known."""
    done, _, total = text.removesuffix(" rows").replace(",", "").partition(" of ")
    if not total or not int(done):
        return ""
    seconds = (time.monotonic() - began) / int(done) * (int(total) - int(done))
    return f", about {seconds / 60:.0f} min left"
