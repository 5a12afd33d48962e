"""From the options of the command to runs: one stream, the log of a model, or several known streams."""

from dataclasses import dataclass, replace
from pathlib import Path

from modelyard_cli.backtest.command import run_backtest, show_backtest
from modelyard_cli.backtest.named import NAMED, USUAL, NewPolicies
from modelyard_cli.backtest.policies import Policies
from modelyard_cli.backtest.report import Report
from modelyard_cli.backtest.source import LogSource, from_log
from modelyard_cli.backtest.streams import STREAMS, KnownStream, known_stream
from modelyard_cli.backtest.suite import run_suite
from modelyard_cli.backtest.timing import Timing, first_rows, timing
from modelyard_cli.demo.data import Stream
from modelyard_cli.output import Form, rows, show


@dataclass(frozen=True)
class Given:
    """Options that hold for every source of rows. delay_s, delay_rows: of the labels; None without the option."""

    policies: list[NewPolicies]
    delay_s: float | None
    delay_rows: int | None
    folder: Path
    keep: bool
    output: Form

    def on(self, stream: Stream) -> None:
        """Run one stream."""
        when = self.timing_of(stream)
        show_backtest(stream, self._policies(when), when, self.folder, keep=self.keep, output=self.output)

    def on_log(self, source: LogSource) -> None:
        """Run the stored rows of a model; without policy files, on the policies that it has now."""
        stream, policies = from_log(source, self.folder, self.policies)
        replace(self, policies=policies).on(stream)

    def on_streams(self, names: list[str], rows: int | None, seed: int, cache: Path, *, suite: bool) -> None:
        """Run known streams: all of them, the named ones, or Elec2."""
        chosen = STREAMS if suite else [known_stream(name) for name in names or [STREAMS[0].name]]
        if len(chosen) == 1:
            [known] = chosen
            self._with_delay_of(known).on(known.stream(rows, seed, cache))
            return
        known_by_name = {known.name: known for known in chosen}

        def run(name: str, folder: Path) -> Report:
            known = known_by_name[name]
            stream = known.stream(rows, seed, cache)
            when = self._with_delay_of(known).timing_of(stream)
            return run_backtest(stream, self._policies(when), when, folder, keep=False)

        run_suite(list(known_by_name), self.folder, run, output=self.output)

    def _policies(self, when: Timing) -> list[Policies]:
        return [new(when.row_s) for new in self.policies or [NAMED[USUAL]]]

    def _with_delay_of(self, known: KnownStream) -> "Given":
        unset = self.delay_s is None and self.delay_rows is None
        return replace(self, delay_rows=known.delay_rows) if unset else self

    def timing_of(self, stream: Stream) -> Timing:
        """When the labels of a stream are known."""
        return timing(stream, first_rows(stream.rows), delay_s=self.delay_s, delay_rows=self.delay_rows)


def list_streams(output: Form) -> None:
    """Print the known streams."""
    columns = ("stream", "kind", "task", "rows", "label delay", "about")
    lines = [
        dict(zip(columns, (it.name, it.kind, str(it.task), it.rows, it.delay_rows, it.about), strict=True))
        for it in STREAMS
    ]
    show(output, lines, lambda: rows("known streams; the label delay is in rows", columns, lines))
