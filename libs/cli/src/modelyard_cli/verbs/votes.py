"""modelyard votes: which versions of an adaptive model answer, with which weights, and how the vote does."""

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from modelyard import Regret, Votes
from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, reports_errors, rows, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR
from modelyard_cli.verbs.options import ModelArgument


@reports_errors
def votes(model: ModelArgument, data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """Show the versions that vote, their weights, and the vote against the best of them."""
    found = Platform.find(data_dir).deployer.votes(model)
    show(output, found.model_dump(mode="json"), lambda: _table(found))


def _table(found: Votes) -> RenderableType:
    members = [_member(one.model_dump(mode="json")) for one in found.members]
    columns = ("version", "weight", "labels", "loss", "vote_loss", "joined_at")
    title = f"vote of {found.model} after {found.labels} labels"
    return Group(rows(title, columns, members), *(Text(line) for line in _lines(found)))


def _member(member: dict[str, Any]) -> dict[str, Any]:
    """Mean losses of the member, and of the vote on the rows on which the member voted: the share of wrong classes."""
    name = f"{member['version']}{' (lead)' if member['lead'] else ''}"
    losses = {key: _rounded(member[key]) for key in ("loss", "vote_loss")}
    return {**member, **losses, "version": name, "joined_at": member["since"]}


def _rounded(loss: float | None) -> str:
    return "" if loss is None else f"{loss:.3f}"


def _lines(found: Votes) -> list[str]:
    lines = [] if found.members else [f"one version answers alone; the strategy is {found.strategy}"]
    lines += [f"problem: {found.problem}"] if found.problem else []
    lines += [against(found.against_best)] if found.against_best else []
    return lines + [f"version {one['version']} left at {one['at'][:19]}: {one['reason']}" for one in found.departed]


def against(regret: Regret) -> str:
    """One line about the vote and its best member."""
    rows_of_loss = abs(regret.lost_rows)
    did = "worse" if regret.lost_rows > 0 else "better"
    line = f"so far {rows_of_loss:.1f} rows {did} than version {regret.version} on {regret.labels} labels"
    if regret.bound_rows is None:
        return line
    return f"{line}; a draw by the weights: {regret.mean_lost_rows:+.1f} rows, at most {regret.bound_rows:.1f}"
