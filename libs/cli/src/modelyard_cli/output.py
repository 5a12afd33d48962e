"""Output of commands: a table for people, JSON for programs; errors on stderr with exit code 1 or 2."""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any, Final, ParamSpec, TypeVar

import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from modelyard import ApiError
from modelyard_cli.stack.layout import StackError
from modelyard_contracts.tables.table import UnfitFile

P = ParamSpec("P")
R = TypeVar("R")

PIPE_COLUMNS: Final = 100
"""Width of a table in a file or a pipe. Programs read JSON."""
PROGRESS_EVERY_S: Final = 10.0
"""How often an unchanged state is reported where stderr is no terminal."""


def stdout_columns() -> int | None:
    """The width of stdout: None for the terminal's, or COLUMNS."""
    return None if sys.stdout.isatty() or os.environ.get("COLUMNS") else PIPE_COLUMNS


def printable(text: str) -> str:
    """Text with control characters made visible: a reason must not move the cursor or change colours."""
    return "".join(sign if sign in "\n\t" or sign.isprintable() else _visible(sign) for sign in text)


def _visible(sign: str) -> str:
    return f"\\x{ord(sign):02x}" if ord(sign) < 256 else f"\\u{ord(sign):04x}"


class PlainConsole(Console):
    """A console that prints no control character of a text, whichever way the text reached it."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text == "\n" or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


console = PlainConsole(width=stdout_columns())
complaints = PlainConsole(stderr=True)


class Form(StrEnum):
    """How to print."""

    TABLE = "table"
    JSON = "json"


FormOption = Annotated[Form, typer.Option("--output", "-o", help="How to print.")]


class Progress:
    """Progress of a command: a spinner on a terminal, else a line per change of state."""

    def __init__(self, status: Any) -> None:
        self._status = status
        self._state, self._reported_at = "", 0.0

    def __call__(self, text: str) -> None:
        """Report a state such as `run: training 40%`."""
        if self._status is not None:
            self._status.update(Text(printable(text)))
            return
        state, now = re.sub(r" \d+%", "", text), time.monotonic()
        if state != self._state or now - self._reported_at >= PROGRESS_EVERY_S:
            self._state, self._reported_at = state, now
            complaints.print(Text(printable(text)), soft_wrap=True)


@contextmanager
def progress(text: str) -> Iterator[Progress]:
    """Report progress on stderr for the length of the block."""
    if complaints.is_terminal:
        with complaints.status(text) as status:
            yield Progress(status)
    else:
        report = Progress(None)
        report(text)
        yield report


def show(form: Form, value: Any, people: Callable[[], RenderableType]) -> None:
    """Print `value` as JSON, or its rendering for people."""
    if form is Form.JSON:
        sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
    else:
        console.print(people(), highlight=False)


def complain(text: str) -> None:
    """Print one line on stderr, literally: no text of ours or of a service is markup."""
    complaints.print(Text(printable(text), style="red"), soft_wrap=True)


NARROWEST_LAST: Final = 24
"""A last column narrower than this is not readable as text."""
GAP: Final = 2


@dataclass(frozen=True)
class Listing:
    """Named fields of items: a table if it fits, else a block of lines per item. No value is cut off."""

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
            max(cell_len(part) for part in (head, *cells))
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
                block.add_row(Text(heading(column), style="bold"), Text(value))
            yield Text()
            yield block


def rows(title: str, columns: Sequence[str], items: Iterable[Mapping[str, Any]]) -> Listing:
    """The named fields of the items, for people; the last column may be wrapped."""
    lines = tuple(tuple(field(column, item.get(column)) for column in columns) for item in items)
    return Listing(title, tuple(columns), lines)


def heading(column: str) -> str:
    """Title of a column; moments are in UTC."""
    name = f"{column.removesuffix('_at')}_(UTC)" if column.endswith("_at") else column
    return name.replace("_", " ")


def field(column: str, value: Any) -> str:
    """A value under its name: moments to the second, digests shortened."""
    if isinstance(value, str) and column.endswith("_at"):
        return printable(value[:19].replace("T", " "))
    if isinstance(value, str) and column.endswith("digest"):
        return printable(value[:19])
    if isinstance(value, float) and column == "progress":
        return f"{value:.0%}"
    return cell(value)


def cell(value: Any) -> str:
    """A value, formatted for people."""
    if value is None or value == {}:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{cell(name)} {cell(it)}" for name, it in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value)) or "-"
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value))


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn our own errors into one line and an exit code; others stay tracebacks."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except StackError as error:
            complain(str(error))
            raise typer.Exit(error.exit_code) from error
        except UnfitFile as error:
            complain(str(error))
            raise typer.Exit(StackError.exit_code) from error
        except ApiError as error:
            complain(str(error))
            raise typer.Exit(1) from error

    return run
