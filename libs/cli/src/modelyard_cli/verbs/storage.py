"""modelyard blobs: upkeep of the registry's files."""

from typing import Annotated

import typer

from modelyard import BlobCollection
from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, complain, progress, reports_errors, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR

app = typer.Typer(help="Collect and verify the files of versions.", no_args_is_help=True)


@app.command()
@reports_errors
def collect(
    apply: Annotated[bool, typer.Option("--apply", help="Do it. Without it, only report.")] = False,
    least_age_hours: Annotated[float, typer.Option(min=1, help="Leave younger files alone.")] = 24.0,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Put aside files that no version needs, and delete those that were put aside that long ago."""
    found = Platform.find(data_dir).registry.collect_blobs(apply=apply, least_age_hours=least_age_hours)
    show(output, found.model_dump(mode="json"), lambda: _collected(found))


def _collected(found: BlobCollection) -> str:
    did = ("put aside", "deleted") if found.applied else ("to be put aside", "to be deleted")
    lines = [
        f"{did[0]}: {found.unused.count} files, {found.unused.size_bytes:,} bytes",
        f"{did[1]}: {found.deleted.count} files, {found.deleted.size_bytes:,} bytes",
    ]
    if found.restored.count:
        lines.append(f"needed again: {found.restored.count} files")
    if not found.applied and (found.unused.count or found.deleted.count):
        lines.append("nothing was changed; repeat with --apply")
    return "\n".join(lines)


@app.command()
@reports_errors
def verify(data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """Read every file of every version. Exit code 4 if one is missing or damaged."""
    registry = Platform.find(data_dir).registry
    checked, after = 0, ""
    unusable: list[str] = []
    with progress("verifying files") as report:
        while True:
            page = registry.verify_blobs(after)
            checked += page.checked
            unusable += page.unusable
            report(f"verified {checked} files, {len(unusable)} unusable")
            if page.next_after is None:
                break
            after = page.next_after
    show(output, {"checked": checked, "unusable": unusable}, lambda: f"{checked} files verified")
    if unusable:
        complain(f"{len(unusable)} files are missing or damaged; restore them from a backup: {', '.join(unusable[:5])}")
        raise typer.Exit(4)
