"""What a command prints: a table for people, JSON for programs; errors on stderr with exit code 1 or 2."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from modelyard import ApiError
from modelyard_cli.stack.layout import StackError

P = ParamSpec("P")
R = TypeVar("R")

console = Console()
complaints = Console(stderr=True)


class Form(StrEnum):
    """How to print."""

    TABLE = "table"
    JSON = "json"


FormOption = Annotated[Form, typer.Option("--output", "-o", help="How to print.")]


def show(form: Form, value: Any, table: Callable[[], Table]) -> None:
    """Print `value` as JSON, or the table made of it."""
    if form is Form.JSON:
        sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
    else:
        console.print(table())


def rows(title: str, columns: Sequence[str], items: Iterable[Mapping[str, Any]]) -> Table:
    """A table of the named fields of the items; only the last column, the telling one, is broken over lines."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), no_wrap=column != columns[-1], overflow="fold")
    for item in items:
        table.add_row(*(cell(item.get(column)) for column in columns))
    return table


def cell(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def told(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors we raise on purpose into one line and an exit code; all others stay tracebacks."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except StackError as error:
            complaints.print(f"[red]{error}[/red]", highlight=False, soft_wrap=True)
            raise typer.Exit(2) from error
        except ApiError as error:
            complaints.print(f"[red]{error}[/red]", highlight=False, soft_wrap=True)
            raise typer.Exit(1) from error

    return run
