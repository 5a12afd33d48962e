"""Arguments and options that several verbs share."""

from typing import Annotated

import typer

ModelArgument = Annotated[str, typer.Argument(help="Model: NAME or WORKSPACE:NAME.")]
OptionalModel = Annotated[str | None, typer.Argument(help="Model: NAME or WORKSPACE:NAME; without it, all models.")]
VersionArgument = Annotated[int, typer.Argument(min=1, help="Number of the version.")]
Limit = Annotated[int, typer.Option(min=1, max=1_000, help="At most this many, newest first.")]
Reason = Annotated[str, typer.Option(help="Reason; it is kept in the history.")]
Follow = Annotated[bool, typer.Option(help="Wait for the outcome; the exit code reports it.")]

DEFAULT_REASON = "requested on the command line"
