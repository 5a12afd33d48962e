"""A backtest of stored rows: of a model, from the platform's own log."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelyard_cli.backtest.log import Period, read_log
from modelyard_cli.backtest.named import NewPolicies
from modelyard_cli.backtest.policies import Policies
from modelyard_cli.backtest.saved import save, saved
from modelyard_cli.context import Platform
from modelyard_cli.demo.data import Stream
from modelyard_cli.stack.layout import StackError
from modelyard_contracts.usable import parse_timestamp


@dataclass(frozen=True)
class LogSource:
    """Stored rows of a model; `since` and `until` as they were given, None without a bound."""

    model: str
    since: str | None
    until: str | None
    data_dir: Path

    def facts(self) -> dict[str, Any]:
        """What must be the same for a run to go on."""
        return {"model": self.model, "from": self.since, "to": self.until}

    def period(self, now: datetime) -> Period:
        """The bounds as moments; StackError names an option that is none, or a period that has no rows yet."""
        since = _moment("--from", self.since) or datetime(1970, 1, 2, tzinfo=UTC)
        until = _moment("--to", self.until) or now
        if since >= until:
            raise StackError(f"--from {since:%Y-%m-%dT%H:%M:%SZ} is not before --to {until:%Y-%m-%dT%H:%M:%SZ}")
        return Period(since, until)


def from_log(source: LogSource, folder: Path, policies: list[NewPolicies]) -> tuple[Stream, list[NewPolicies]]:
    """Rows of the log and the policies to run on them: the given ones, else those that the model has now.

    The rows are kept in the folder, so that a run that was stopped goes on with the same ones.
    """
    stream = saved(folder, source.facts())
    if stream is not None and policies:
        return stream, policies
    platform = Platform.find(source.data_dir)
    if not policies:
        current = Policies.current(platform.registry, source.model)
        policies = [lambda _: current]
    if stream is None:
        stream = read_log(platform, source.model, source.period(datetime.now(UTC)))
        save(stream, folder, source.facts())
    return stream, policies


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = parse_timestamp(text)
    if moment is None:
        raise StackError(f"{option} {text}: write a date or a time in UTC, such as 2026-01-31 or 2026-01-31T12:00:00Z")
    return moment
