"""From a file to a preview of how a model is trained on it."""

from pathlib import Path
from typing import Final

from modelyard_contracts.tables.inference import Choices, TrainingPlan, labelled
from modelyard_contracts.tables.preview import Preview, preview_of
from modelyard_contracts.tables.table import Table, UnfitFile, read_table

MIN_ROWS: Final = 500


def table_of(path: Path, choices: Choices, *, shuffle: bool = False, max_cells: int | None = None) -> Table:
    """The rows of a file, in a random order if `shuffle`; UnfitFile if they cannot be used."""
    table = read_table(path, choices.dialect, max_cells=max_cells)
    _check_rows(table)
    if shuffle and choices.time not in (None, "none"):
        raise UnfitFile("--shuffle: the rows have the order of --time; leave one of the two out")
    return table.shuffled() if shuffle else table


def previewed(table: Table, plan: TrainingPlan) -> Preview:
    """The preview of a table by a plan; UnfitFile if too few of its rows have a target."""
    known = labelled(table, plan)
    _check_rows(known)
    return preview_of(known, plan, len(table.rows) - len(known.rows))


def _check_rows(table: Table) -> None:
    if len(table.rows) < MIN_ROWS:
        raise UnfitFile(
            f"{table.path}: {len(table.rows)} rows with a target; at least {MIN_ROWS} are needed, give more rows"
        )
