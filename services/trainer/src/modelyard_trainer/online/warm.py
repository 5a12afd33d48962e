"""Rows that a new learner starts with: the training rows of the version whose signature it has."""

from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

from modelyard_contracts.signature import Signature
from modelyard_trainer.domain.data import TARGET, DataSpec
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.jobs.rundir import RunDir
from modelyard_trainer.online.labels import LabelledRow
from modelyard_trainer.worker.dataset import Dataset, rows_of
from modelyard_trainer.worker.live import Names
from modelyard_trainer.worker.table import read_table

MAX_ROWS: Final = 20_000
"""Newest training rows; a forest learns some 2,000 of them per second."""


def training_rows(
    run_dir: RunDir, request: dict[str, Any], signature: Signature, now: datetime
) -> tuple[list[LabelledRow], datetime | None]:
    """The newest training rows in order, and the moment up to which labelled predictions are among them.

    Empty if there is no dataset, or it does not fit the signature. A file that was uploaded holds no predictions.
    """
    if not run_dir.older.exists():
        return [], None
    spec = DataSpec(target=request.get("older_target") or TARGET, time=request.get("older_time"))
    try:
        table, time = read_table(run_dir.older, spec, now.timestamp())
        rows = rows_of(Dataset(table.slice(max(0, len(table) - MAX_ROWS)), signature, spec.target, time))
    except (BadRequest, KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return [], None
    times = [min(at.replace(tzinfo=UTC), now) for at in rows.times.astype("datetime64[us]").tolist()]
    found = [
        LabelledRow(tuple(numbers), tuple(texts), target, at)
        for numbers, texts, target, at in zip(
            rows.numeric.tolist(), rows.categorical.tolist(), rows.targets.tolist(), times, strict=True
        )
    ]
    holds_predictions = Names.beside(signature).id in table.column_names
    return found, times[-1] if holds_predictions and times else None
