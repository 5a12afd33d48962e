"""modelyard diff: what differs between two versions."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer
from rich.console import Group

from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, cell, reports_errors, rows, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR
from modelyard_cli.verbs.options import ModelArgument, VersionArgument
from modelyard_contracts.comparison import ValueChange, VersionDiff

Other = Annotated[str, typer.Argument(help="Number of the other version, or MODEL@VERSION.")]
COLUMNS = ("what", "name", "change", "before", "after")


@reports_errors
def diff(
    model: ModelArgument,
    version: VersionArgument,
    other: Other,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Compare two versions: files, tensors, columns, metrics, data, packages, options and card."""
    found = Platform.find(data_dir).registry.diff(model, version, other)
    show(output, found.model_dump(mode="json"), lambda: _table(found))


def _table(found: VersionDiff) -> Group:
    before, after = (f"{side.model} {side.version}" for side in (found.before, found.after))
    listing = rows(f"from {before} to {after}", COLUMNS, list(_lines(found)))
    return Group(listing, *found.card)


def _lines(found: VersionDiff) -> Iterator[dict[str, Any]]:
    for file in found.files:
        sizes = (None if size is None else f"{size:,} bytes" for size in (file.bytes_before, file.bytes_after))
        yield _line("file", file.path, file.change, *sizes)
    if found.tensors is not None:
        yield _line("tensors", "identical bytes", "", "", f"{found.tensors.identical_share:.0%}")
        for group in found.tensors.differing:
            counts = {"added": group.added, "removed": group.removed, "changed": group.changed}
            yield _line("tensors", group.prefix, cell({word: n for word, n in counts.items() if n}), "", "")
    for column in found.columns:
        yield _line("column", column.name, column.change, column.before, column.after)
    for word, classes in (("added", found.classes_added), ("removed", found.classes_removed)):
        yield from (_line("class", name, word, None, None) for name in classes)
    groups = {"output": found.output, "metric": found.metrics, "data": found.data, "package": found.environment}
    for what, changes in {**groups, "option": found.options, "parameter": found.parameters}.items():
        yield from _values(what, changes)


def _values(what: str, changes: Iterable[ValueChange]) -> Iterator[dict[str, Any]]:
    for one in changes:
        change = "added" if one.before is None else "removed" if one.after is None else "changed"
        yield _line(what, one.name, change, one.before, one.after)


def _line(*cells: Any) -> dict[str, Any]:
    return dict(zip(COLUMNS, cells, strict=True))
