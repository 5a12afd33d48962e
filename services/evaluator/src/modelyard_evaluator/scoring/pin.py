"""Choose the rows: the newest labelled predictions, or the held-out part of a training dataset.

Job: source `labels` or `dataset`, model, signatures {id: document}, since, as_of, limit, newest (whether the limit
leaves the newest labelled rows or the oldest); for a dataset also its digest, target, time_column and train_from.
Result: rows, unusable (labelled rows that were left out), columns, label_column, source, first_at and last_at
(prediction times of the oldest and the newest row), and baseline: the most frequent class, or mean and median, before
`since`.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from modelyard_contracts.documents import read
from modelyard_contracts.manifest import ROW_ORDER
from modelyard_contracts.signature import Column, Signature
from modelyard_contracts.usable import arrow, label_of
from modelyard_contracts.usable.rows import SIGNATURE_COLUMN, labelled_rows
from modelyard_evaluator.scoring.clickhouse import as_parameter, query
from modelyard_evaluator.scoring.errors import RowsUnusable
from modelyard_profiles.columns import Unfit, numbers, texts
from modelyard_profiles.tables import UnreadableTable, read_file, row_times

LABEL, TIME, ID = "label", "occurred_at", "prediction_id"
"""Columns of the pinned rows besides the features; `_` is appended where a feature has the name."""
ROW_GROUP_ROWS: Final = 10_000

Signatures = Mapping[str, Signature]


def run(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Write FOLDER/rows.parquet: a column per feature, label, time and id, oldest row first."""
    signatures = {name: read(Signature, document) for name, document in job["signatures"].items()}
    return (
        _from_dataset(folder, job, signatures) if job["source"] == "dataset" else _from_labels(folder, job, signatures)
    )


def _from_labels(folder: Path, job: dict[str, Any], signatures: Signatures) -> dict[str, Any]:
    conditions = labelled_rows(signatures)
    parameters = {
        "model": job["model"],
        "since": as_parameter(job["since"]),
        "as_of": as_parameter(job["as_of"]),
        "limit": job["limit"],
        **conditions.parameters,
    }
    order = "DESC" if job.get("newest", True) else "ASC"
    where = f"""
FROM v_labelled
WHERE model = {{model:String}} AND predicted_at > {{since:DateTime64(6, 'UTC')}}
  AND labelled_at <= {{as_of:DateTime64(6, 'UTC')}} AND {conditions.labelled}""".strip()
    sql = f"""
SELECT prediction_id, {SIGNATURE_COLUMN} AS signature_id, num_features, cat_features,
  {conditions.truth} AS truth, predicted_at
{where}
  AND {conditions.usable}
ORDER BY predicted_at {order}, prediction_id {order}
LIMIT {{limit:UInt32}}""".strip()
    unusable = query(f"SELECT countIf(NOT ({conditions.usable})) AS n {where}", parameters)["n"][0].as_py()
    found = query(sql, parameters)
    names = _own_names(signatures)
    parts = [_by_name(found, signature_id, signature, names) for signature_id, signature in signatures.items()]
    table = pa.concat_tables(parts, promote_options="default")
    return _write(folder, table, names, {"sql": sql, "parameters": parameters}, unusable, None)


def _from_dataset(folder: Path, job: dict[str, Any], signatures: Signatures) -> dict[str, Any]:
    """Use the rows after `since`; the baseline comes from those before it."""
    table = _read(folder / "training.data")
    features = {column.name for signature in signatures.values() for column in signature.columns}
    times = _times(table, job)
    labels, labelled, usable = _labels(table[_target(table, job["target"], features)], signatures)
    since = pa.scalar(datetime.fromisoformat(job["since"]), pa.timestamp("us", "UTC"))
    seen = pc.less_equal(times, since)
    names = _own_names(signatures)
    pinned = pa.table({**_features(table, signatures), names[0]: labels, names[1]: times})
    pinned = pinned.filter(pc.and_(usable, pc.invert(seen))).sort_by(names[1])
    pinned = pinned.slice(max(0, pinned.num_rows - job["limit"]))
    unusable = pc.sum(pc.and_(pc.and_(labelled, pc.invert(usable)), pc.invert(seen))).as_py() or 0
    baseline = _baseline(labels.filter(pc.and_(usable, seen)), job["since"])
    source = {"dataset": job["dataset_digest"], "after": job["since"]}
    return _write(folder, pinned, names, source, unusable, baseline)


def _read(file: Path) -> pa.Table:
    try:
        return read_file(file).combine_chunks()
    except UnreadableTable as error:
        raise RowsUnusable(f"the training dataset {error}") from error


def _times(table: pa.Table, job: dict[str, Any]) -> Any:
    """Times of the rows: of the time column, or one second apart from `train_from` on."""
    if job["time_column"] == ROW_ORDER:
        return row_times(table.num_rows, datetime.fromisoformat(job["train_from"]).timestamp())
    if job["time_column"] not in table.column_names:
        raise RowsUnusable(f"the training dataset has no column {job['time_column']}")
    return table[job["time_column"]].combine_chunks().cast(pa.timestamp("us", "UTC"))


def _target(table: pa.Table, name: str, features: set[str]) -> str:
    """The label's column: as the signature names it, or as a snapshot of labelled predictions does."""
    for candidate in (name, LABEL, f"_{LABEL}", f"__{LABEL}"):
        if candidate in table.column_names and candidate not in features:
            return candidate
    raise RowsUnusable(f"the training dataset has no column {name}; it has {', '.join(table.column_names)[:200]}")


def _labels(column: Any, signatures: Signatures) -> tuple[Any, Any, Any]:
    """Labels as the task needs them, which rows have one, and which of these are usable."""
    if not _classifies(signatures):
        values = pa.array(_numbers(column, Column(name=LABEL)))
        return values, pc.is_valid(column.combine_chunks()), pa.array(arrow.usable_numbers(arrow.numpy_of(values)))
    texts = pa.array([None if value is None else label_of(value) for value in column.to_pylist()], pa.string())
    labelled = pc.fill_null(pc.not_equal(texts, ""), fill_value=False)
    usable = [arrow.usable_labels(texts, None, signature) for signature in signatures.values()]
    return texts, labelled, reduce(pc.or_, usable)


def _features(table: pa.Table, signatures: Signatures) -> dict[str, Any]:
    """Features of all signatures that the table has, by name."""
    wanted = {column.name: column for signature in signatures.values() for column in signature.columns}
    return {
        name: pa.array(_numbers(table[name], column))
        if column.type.numeric
        else pa.array(texts(table[name]), pa.string())
        for name, column in wanted.items()
        if name in table.column_names
    }


def _numbers(column: Any, wanted: Column) -> Any:
    try:
        return numbers(column, wanted)
    except Unfit as error:
        raise RowsUnusable(f"the training dataset does not fit the signature: {error}") from error


def _baseline(labels: Any, since: str) -> dict[str, Any]:
    if len(labels) == 0:
        raise RowsUnusable(f"no usable row of the training dataset is from before {since}")
    if pa.types.is_floating(labels.type):
        return {"mean": pc.mean(labels).as_py(), "median": pc.quantile(labels, 0.5)[0].as_py()}
    return {"class": Counter(labels.to_pylist()).most_common(1)[0][0]}


def _by_name(found: pa.Table, signature_id: str, signature: Signature, names: tuple[str, str, str]) -> pa.Table:
    """The rows of one signature with a column per feature."""
    rows = found.filter(pc.equal(found["signature_id"].cast(pa.string()), signature_id))
    numbers, texts = rows["num_features"], rows["cat_features"]
    columns = {name: pc.list_element(numbers, i).cast(pa.float64()) for i, name in enumerate(signature.numeric)}
    columns |= {name: pc.list_element(texts, i).cast(pa.string()) for i, name in enumerate(signature.categorical)}
    label_type = pa.string() if signature.task.classifies else pa.float64()
    own = (
        rows["truth"].cast(label_type),
        rows["predicted_at"].cast(pa.timestamp("us", "UTC")),
        rows["prediction_id"].cast(pa.string()),
    )
    return pa.table({**columns, **dict(zip(names, own, strict=True))})


def _own_names(signatures: Signatures) -> tuple[str, str, str]:
    taken = {column.name for signature in signatures.values() for column in signature.columns}
    label, time, row_id = LABEL, TIME, ID
    while taken & {label, time, row_id}:
        label, time, row_id = f"{label}_", f"{time}_", f"{row_id}_"
    return label, time, row_id


def _classifies(signatures: Signatures) -> bool:
    return next(iter(signatures.values())).task.classifies


def _write(
    folder: Path,
    table: pa.Table,
    names: tuple[str, str, str],
    source: dict[str, Any],
    unusable: int,
    baseline: dict[str, Any] | None,
) -> dict[str, Any]:
    """Write rows deterministically, so that a repeat registers the same dataset."""
    label, time, row_id = names
    keys = [(time, "ascending")] + ([(row_id, "ascending")] if row_id in table.column_names else [])
    table = table.sort_by(keys).replace_schema_metadata(None)
    pq.write_table(table, folder / "rows.parquet", compression="zstd", row_group_size=ROW_GROUP_ROWS)
    return {
        "rows": table.num_rows,
        "unusable": unusable,
        "columns": {field.name: str(field.type) for field in table.schema},
        "label_column": label,
        "source": source,
        "first_at": _moment(pc.min(table[time])),
        "last_at": _moment(pc.max(table[time])),
        "baseline": baseline,
    }


def _moment(found: Any) -> str | None:
    return found.as_py().isoformat() if found.is_valid else None
