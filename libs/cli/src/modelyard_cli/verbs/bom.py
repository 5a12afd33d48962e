"""modelyard bom: the bill of materials of a version."""

import json
from pathlib import Path
from typing import Annotated

import typer

from modelyard_cli.context import Platform
from modelyard_cli.output import reports_errors
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError
from modelyard_cli.verbs.options import ModelArgument, VersionArgument


@reports_errors
def bom(
    model: ModelArgument,
    version: VersionArgument,
    to: Annotated[Path | None, typer.Option("--to", help="File to write; standard output without it.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Write the bill of materials of a version as CycloneDX 1.6: files, datasets, packages, licence and origin."""
    text = json.dumps(Platform.find(data_dir).registry.bom(model, version), indent=2)
    if to is None:
        typer.echo(text)
        return
    try:
        to.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise StackError(f"--to {to}: {error.strerror}; give a file that can be written") from error
    typer.echo(f"{to}: bill of materials of {model} version {version}", err=True)
