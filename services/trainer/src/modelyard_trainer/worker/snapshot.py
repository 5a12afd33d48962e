"""Labelled predictions as of one moment, written as a dataset with its digest and its SQL.

While there are fewer than the window asks for, training rows of the serving version are put before them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

import pyarrow as pa

from modelyard_contracts.documents import read
from modelyard_contracts.signature import Signature
from modelyard_contracts.usable import labelled_rows
from modelyard_trainer.domain.data import DataSpec
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.domain.split import MIN_ROWS
from modelyard_trainer.jobs.rundir import RunDir, file_digest
from modelyard_trainer.worker.clickhouse import Query
from modelyard_trainer.worker.dataset import older_rows
from modelyard_trainer.worker.live import Names, table_of
from modelyard_trainer.worker.table import column_types, read_table, write_table

NOT_USABLE: Final = {
    "features": "rows without the signature's number of features",
    "label": "rows with a label that is none of the classes, or no number",
}


@dataclass(frozen=True)
class Statements:
    """SQL of a snapshot. rows: the newest usable rows. left_out: numbers of labelled rows that cannot be used."""

    rows: str
    left_out: str
    parameters: Mapping[str, Any]

    @classmethod
    def of(cls, signature: Signature, signature_id: str) -> Self:
        """Statements for the labelled rows of a signature; they also take model, as_of and rows."""
        conditions = labelled_rows({signature_id: signature})
        where = f"""
FROM v_labelled
WHERE model = {{model:String}} AND labelled_at <= {{as_of:DateTime64(6, 'UTC')}} AND {conditions.labelled}""".strip()
        rows = f"""
SELECT prediction_id, num_features, cat_features, {conditions.truth} AS truth, predicted_at
{where}
  AND {conditions.usable}
ORDER BY predicted_at DESC, prediction_id DESC
LIMIT {{rows:UInt32}}""".strip()
        left_out = f"""
SELECT countIf(NOT {conditions.features}) AS unusable_features,
  countIf({conditions.features} AND NOT ({conditions.usable})) AS unusable_label
{where}""".strip()
        return cls(rows, left_out, conditions.parameters)


def take_snapshot(run_dir: RunDir, request: dict[str, Any], query: Query, report: Callable[[str], None]) -> None:
    """Write data.parquet and snapshot.json, once: a restarted worker reuses them.

    BadRequest if the model has no version that names its columns, or if there are too few usable rows.
    """
    if run_dir.data.exists():
        return
    if request["signature"] is None:
        raise BadRequest(
            f"model {request['model']} has no version yet, so its stored predictions have no signature; "
            "give dataset_digest for the first version",
            field="dataset_digest",
        )
    signature = read(Signature, request["signature"])
    statements = Statements.of(signature, request["signature_id"])
    parameters = {
        "model": request["model"],
        "as_of": datetime.fromisoformat(request["as_of"]).strftime("%Y-%m-%d %H:%M:%S.%f"),
        "rows": snapshot_rows(request),
        **statements.parameters,
    }
    rows, left_out = query(statements.rows, parameters), _left_out(query(statements.left_out, parameters))
    if left_out:
        report(f"left out {_listed(left_out)}")
    if len(rows) < MIN_ROWS:
        raise BadRequest(
            f"snapshot: {len(rows)} usable labelled rows of {request['signature_id']} by {request['as_of']}; "
            f"at least {MIN_ROWS} are needed" + (f"; left out {_listed(left_out)}" if left_out else "")
        )
    names = Names.beside(signature)
    live = table_of(rows, signature).sort_by(names.time)
    source = {"sql": statements.rows, "parameters": parameters, "left_out": left_out}
    _write(run_dir, live, _older(run_dir, request, signature, live), source, names)


def snapshot_rows(request: dict[str, Any]) -> int:
    """Number of rows that the windows of a request reach back to."""
    rows = int(request["window_rows"])
    longer = set(request.get("windows") or ()) - {"recent"}
    return max(rows, int(request["history_rows"])) if longer else rows


def _left_out(counts: Any) -> dict[str, int]:
    """Numbers of rows by reason, without zeros."""
    found = {reason: int(counts[f"unusable_{reason}"][0].as_py()) for reason in NOT_USABLE}
    return {reason: count for reason, count in found.items() if count}


def _listed(left_out: dict[str, int]) -> str:
    return " and ".join(f"{count} {NOT_USABLE[reason]}" for reason, count in left_out.items())


def _older(run_dir: RunDir, request: dict[str, Any], signature: Signature, live: pa.Table) -> pa.Table | None:
    missing = snapshot_rows(request) - len(live)
    if missing <= 0 or not run_dir.older.exists():
        return None
    names = Names.beside(signature)
    spec = DataSpec(target=request.get("older_target") or signature.target, time=request["older_time"])
    as_of_s = datetime.fromisoformat(request["older_until"]).timestamp() if request["older_until"] else 0.0
    try:
        table, time = read_table(run_dir.older, spec, as_of_s)
    except BadRequest:
        return None  # not in the serving version's form any more
    return older_rows(table, live, names.time, {spec.target: names.target, time: names.time}, missing)


def _write(run_dir: RunDir, live: pa.Table, older: pa.Table | None, source: dict[str, Any], names: Names) -> None:
    source = {**source, "rows": len(live)}
    table = live
    if older is not None:
        table = pa.concat_tables([older, live])
        source["older"] = {"dataset": file_digest(run_dir.older), "rows": len(older)}
    part = run_dir.path / "snapshot.parquet"
    write_table(table, part)
    run_dir.write_snapshot(
        {
            "digest": file_digest(part),
            "rows": len(table),
            "live_rows": len(live),
            "columns": column_types(table),
            "source": source,
            "target": names.target,
            "time": names.time,
            "id": names.id,
        }
    )
    part.replace(run_dir.data)  # last: a run with data.parquet also has snapshot.json
