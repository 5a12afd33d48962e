"""Arguments and options that several verbs share."""

from typing import Annotated

import typer

ModelArgument = Annotated[str, typer.Argument(help="Model: NAME or WORKSPACE:NAME.")]
OptionalModel = Annotated[str | None, typer.Argument(help="Model: NAME or WORKSPACE:NAME; without it, all models.")]
VersionArgument = Annotated[int, typer.Argument(min=1, help="Number of the version.")]
Limit = Annotated[int, typer.Option(min=1, max=1_000, help="At most this many, newest first.")]
Reason = Annotated[str, typer.Option(help="Reason; it is kept in the history.")]
Follow = Annotated[bool, typer.Option(help="Wait for the outcome; the exit code reports it.")]

TargetColumn = Annotated[str | None, typer.Option("--target", help="Target column; inferred from its name without it.")]
TimeColumn = Annotated[
    str | None, typer.Option("--time", help="Time column, or `none` if the rows are in order of time.")
]
TaskName = Annotated[
    str | None, typer.Option("--task", help="binary, multiclass or regression; inferred from the target without it.")
]
ColumnTypes = Annotated[
    list[str] | None,
    typer.Option(
        "--column", help="NAME=TYPE: number, integer, boolean, category, text, timestamp; or NAME=none to leave it out."
    ),
]
Separator = Annotated[str, typer.Option(help="Between two cells of a line: one character, or `tab`.")]
Decimal = Annotated[str, typer.Option(help="Decimal sign: `.` or `,`.")]
Encoding = Annotated[str, typer.Option(help="Encoding of the file, such as latin-1.")]

DEFAULT_REASON = "requested on the command line"
