"""`python -m modelyard_contracts.tables`: read a file in a process of its own, so that its memory ends with it.

Standard input: a `Task` as JSON. Standard output: an `Answer` as JSON. A file that cannot be used is an answer.
"""

import os
import resource
import sys
from pathlib import Path
from typing import Final

from modelyard_contracts.tables.comparison import check
from modelyard_contracts.tables.inference import Ambiguous, infer
from modelyard_contracts.tables.preview import Preview
from modelyard_contracts.tables.reading import previewed, table_of
from modelyard_contracts.tables.table import Table, UnfitFile
from modelyard_contracts.tables.work import Answer, Column, Problem, Task
from modelyard_contracts.usable import is_missing

EXAMPLES: Final = 3
FIRST_ROWS: Final = 5


def answer(task: Task) -> Answer:
    """Read the file and, if `task.write` names one, write its rows as Parquet."""
    table: Table | None = None
    try:
        choices = task.choices.parsed()
        table = table_of(Path(task.file), choices, shuffle=task.choices.shuffle, max_cells=task.max_cells)
        plan = infer(table, choices)
        preview = previewed(table, plan)
        return _checked(task, table, preview)
    except Ambiguous as question:
        return _problem(table, Problem(str(question), question.option, question.candidates))
    except UnfitFile as error:
        return _problem(table, Problem(str(error)))
    except MemoryError:
        return _problem(None, Problem(f"{task.file} needs more memory than one file may take here; leave rows out"))


def _checked(task: Task, table: Table, preview: Preview) -> Answer:
    """Compare with the signature that is kept, then write; a difference is a problem beside the preview."""
    try:
        notes = check(preview.plan, task.known) if task.known is not None else ()
    except UnfitFile as error:
        return _of(table, preview, (), {}).model_copy(update={"problem": Problem(str(error))})
    return _of(table, preview, notes, _write(preview, task.write) if task.write is not None else {})


def _write(preview: Preview, path: str) -> dict[str, str]:
    """Write the rows; returns column name to Arrow type."""
    import pyarrow.parquet as pq

    from modelyard_contracts.tables.arrow import arrow_table

    rows = arrow_table(preview.table, preview.plan)
    pq.write_table(rows, path)
    return {field.name: str(field.type) for field in rows.schema}


def _of(table: Table, preview: Preview, notes: tuple[str, ...], written: dict[str, str]) -> Answer:
    columns = tuple(_column(preview, name) for name in preview.plan.types)
    return Answer(
        header=tuple(table.header),
        preview={**preview.document(), "notes": [*preview.notes, *notes]},
        columns=columns,
        first_rows=tuple(tuple(row) for row in preview.table.rows[:FIRST_ROWS]),
        written=written,
    )


def _column(preview: Preview, name: str) -> Column:
    type_ = preview.plan.types[name]
    counts = preview.table.counts(name)
    values = [cell for cell, _ in counts.most_common() if cell and not (type_.numeric and is_missing(cell))]
    return Column(name, str(type_), preview.missing.get(name, 0), len(values), tuple(values[:EXAMPLES]))


def _problem(table: Table | None, problem: Problem) -> Answer:
    return Answer(header=tuple(table.header) if table else (), problem=problem)


def main() -> None:
    task = Task.model_validate_json(sys.stdin.buffer.read())
    if task.memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (task.memory_bytes, task.memory_bytes))
    os.chdir(task.folder)  # so that messages name the file as it was uploaded
    sys.stdout.write(answer(task).model_dump_json())


if __name__ == "__main__":
    main()
