"""What a command prints: a table for people, JSON for programs; errors on stderr with exit code 1 or 2."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any, Final, ParamSpec, TypeVar

import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from modelyard import ApiError
from modelyard_cli.stack.layout import StackError

P = ParamSpec("P")
R = TypeVar("R")

PIPE_COLUMNS: Final = 10_000
"""What goes to a program or a file has lines of any length: one per item."""


def stdout_columns() -> int | None:
    """The width of stdout: None, as the terminal or COLUMNS says, or as wide as it needs to be."""
    return None if sys.stdout.isatty() or os.environ.get("COLUMNS") else PIPE_COLUMNS


console = Console(width=stdout_columns())
complaints = Console(stderr=True)


class Form(StrEnum):
    """How to print."""

    TABLE = "table"
    JSON = "json"


FormOption = Annotated[Form, typer.Option("--output", "-o", help="How to print.")]


def show(form: Form, value: Any, people: Callable[[], RenderableType]) -> None:
    """Print `value` as JSON, or what is made of it for people."""
    if form is Form.JSON:
        sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
    else:
        console.print(people(), highlight=False)


def complain(text: str) -> None:
    """One line on stderr. Brackets are what they are: no text of ours or of a service is markup."""
    complaints.print(Text(text, style="red"), soft_wrap=True)


NARROWEST_LAST: Final = 24
"""A last column of fewer signs than this is no longer read as text."""
GAP: Final = 2


@dataclass(frozen=True)
class Listing:
    """Named fields of items: a table where it fits, else a block of lines per item. Nothing is ever cut off."""

    title: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        if not self.lines:
            yield Text(f"{self.title}: none")
            return
        yield Text(self.title, style="bold")
        if self._narrowest() <= options.max_width:
            yield self._table()
        else:
            yield from self._blocks()

    def _narrowest(self) -> int:
        """The width of all columns unbroken, but for the last, which may be broken over lines."""
        widths = [
            max(cell_len(part) for part in (*head.split("\n"), *cells))
            for head, cells in zip(map(heading, self.columns), zip(*self.lines, strict=True), strict=True)
        ]
        return sum(widths[:-1]) + min(widths[-1], NARROWEST_LAST) + GAP * (len(widths) - 1)

    def _table(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
        for column in self.columns:
            table.add_column(Text(heading(column)), no_wrap=column != self.columns[-1], overflow="fold")
        for line in self.lines:
            table.add_row(*map(Text, line))
        return table

    def _blocks(self) -> Iterable[RenderableType]:
        for line in self.lines:
            block = Table.grid(padding=(0, GAP))
            block.add_column(no_wrap=True)
            block.add_column(overflow="fold")
            for column, value in zip(self.columns, line, strict=True):
                block.add_row(Text(heading(column).replace("\n", " "), style="bold"), Text(value))
            yield Text()
            yield block


def rows(title: str, columns: Sequence[str], items: Iterable[Mapping[str, Any]]) -> Listing:
    """The named fields of the items, for people; the last one is the telling one."""
    lines = tuple(tuple(field(column, item.get(column)) for column in columns) for item in items)
    return Listing(title, tuple(columns), lines)


def heading(column: str) -> str:
    """`created_at` is a moment, and all of ours are UTC; words stand on lines of their own."""
    name = f"{column.removesuffix('_at')}_(UTC)" if column.endswith("_at") else column
    return name.replace("_", "\n" if not column.endswith("_at") else " ")


def field(column: str, value: Any) -> str:
    """A value as a person reads it under its name: moments to the second, digests to what tells them apart."""
    if isinstance(value, str) and column.endswith("_at"):
        return value[:19].replace("T", " ")
    if isinstance(value, str) and column.endswith("digest"):
        return value[:19]
    if isinstance(value, float) and column == "progress":
        return f"{value:.0%}"
    return cell(value)


def cell(value: Any) -> str:
    """A value as a person reads it."""
    if value is None or value == {}:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {cell(it)}" for name, it in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def told(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors we raise on purpose into one line and an exit code; all others stay tracebacks."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except StackError as error:
            complain(str(error))
            raise typer.Exit(2) from error
        except ApiError as error:
            complain(str(error))
            raise typer.Exit(1) from error

    return run
