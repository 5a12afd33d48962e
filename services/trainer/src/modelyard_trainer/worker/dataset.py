"""The rows of a run: a parquet file to columns, and labelled predictions to a parquet file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from modelyard_contracts.manifest import MAX_FEATURES, Feature, FeatureKind, FeatureSchema
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.worker.work import Rows

LABEL: Final = "label"
TIME: Final = "occurred_at"
ID: Final = "prediction_id"
_OWN: Final = frozenset({LABEL, TIME, ID})
MAX_CLASSES: Final = 100


def read_table(path: Path) -> pa.Table:
    """A training file, in the order of time. BadRequest when a column of ours is missing or of the wrong type."""
    try:
        table = pq.ParquetFile(path).read()  # read_table would import pandas, for a second
    except (pa.ArrowInvalid, OSError) as error:
        raise BadRequest(f"dataset: is no parquet file ({error})", field="dataset") from error
    for name in (LABEL, TIME):
        if name not in table.column_names:
            raise BadRequest(f"dataset: has no column {name}; it has {', '.join(table.column_names)}", field="dataset")
    if not pa.types.is_timestamp(table.schema.field(TIME).type):
        raise BadRequest(f"dataset: {TIME} is {table.schema.field(TIME).type}; give a timestamp in UTC", field=TIME)
    if table[LABEL].null_count or table[TIME].null_count:
        raise BadRequest(f"dataset: {LABEL} and {TIME} may not hold nulls", field="dataset")
    order = pc.sort_indices(table, sort_keys=[(TIME, "ascending")])  # stable: equal times keep their order
    return table.take(order)


def schema_of(table: pa.Table, known: FeatureSchema | None) -> FeatureSchema:
    """The contract of the new version.

    The features of `known` where the file has them all, so that versions stay comparable; otherwise those of the file.
    Classes that are new come behind the known ones.
    """
    found = sorted({str(label) for label in pc.unique(table[LABEL]).to_pylist()})
    if not 2 <= len(found) <= MAX_CLASSES:
        raise BadRequest(
            f"dataset: {len(found)} classes in {LABEL}; a classifier needs 2 to {MAX_CLASSES}", field=LABEL
        )
    features = _features(table)
    if known is not None and {feature.name for feature in known.features} <= set(table.column_names):
        features = known.features
    if not 1 <= len(features) <= MAX_FEATURES:
        raise BadRequest(f"dataset: has {len(features)} feature columns; give 1 to {MAX_FEATURES}", field="dataset")
    before = known.classes if known is not None else ()
    classes = (*before, *(label for label in found if label not in before))
    return FeatureSchema(features=features, target=LABEL, classes=classes)


def _features(table: pa.Table) -> tuple[Feature, ...]:
    features = []
    for field in table.schema:
        if field.name in _OWN:
            continue
        if pa.types.is_floating(field.type) or pa.types.is_integer(field.type) or pa.types.is_boolean(field.type):
            kind = FeatureKind.NUMERIC
        elif pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            kind = FeatureKind.CATEGORICAL
        else:
            raise BadRequest(
                f"dataset: column {field.name} is {field.type}; give a number or a string", field=field.name
            )
        features.append(Feature(name=field.name, kind=kind))
    return tuple(features)


def rows_of(table: pa.Table, schema: FeatureSchema) -> Rows:
    """Columns to matrices, in the order of the schema."""
    numeric = [_numbers(table[name]) for name in schema.numeric]
    categorical = [np.array(table[name].to_pylist(), dtype=object) for name in schema.categorical]
    places = {label: place for place, label in enumerate(schema.classes)}
    return Rows(
        numeric=np.stack(numeric, axis=1) if numeric else np.zeros((len(table), 0)),
        categorical=np.stack(categorical, axis=1) if categorical else np.zeros((len(table), 0), dtype=object),
        labels=np.array([places[str(label)] for label in table[LABEL].to_pylist()], dtype=np.int64),
        times=table[TIME].cast(pa.timestamp("us")).to_numpy(),
    )


def _numbers(column: Any) -> Any:
    return np.asarray(pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def older_rows(path: Path, live: pa.Table, rows: int) -> pa.Table | None:
    """The newest `rows` rows of a training file that are older than all of `live`, in its columns; None if it has none.

    A file that lacks a column, or has one of another type, has none.
    """
    table = read_table(path)
    if ID not in table.column_names:
        table = table.append_column(ID, pa.nulls(len(table), pa.string()))
    if not set(live.column_names) <= set(table.column_names):
        return None
    try:
        table = table.select(live.column_names).cast(live.schema, safe=False)
    except pa.ArrowInvalid:
        return None
    table = table.filter(pc.less(table[TIME], pc.min(live[TIME])))
    return table.slice(max(len(table) - rows, 0)) if len(table) else None


def write_table(table: pa.Table, path: Path) -> None:
    """Complete or absent."""
    part = path.with_suffix(".part")
    pq.write_table(table, part, compression="zstd")
    part.replace(path)


def table_of_predictions(found: Any, schema: FeatureSchema) -> pa.Table:
    """Positional features of stored predictions as named columns.

    found: Arrow table with num_features and cat_features (lists in the order of the schema), label, predicted_at and
    prediction_id. BadRequest when a row has another number of features.
    """
    columns: dict[str, Any] = {}
    for name, kind in (("num_features", schema.numeric), ("cat_features", schema.categorical)):
        lengths = set(pc.unique(pc.list_value_length(found[name])).to_pylist())
        if len(found) and kind and lengths != {len(kind)}:
            raise BadRequest(f"snapshot: {name} of stored predictions has {sorted(lengths)} values, not {len(kind)}")
        columns |= _unpacked(found[name], kind)
    ordered = {feature.name: columns[feature.name] for feature in schema.features}
    times = found["predicted_at"].cast(pa.timestamp("us", tz="UTC"))
    return pa.table(
        {**ordered, LABEL: found["label"].cast(pa.string()), TIME: times, ID: found["prediction_id"].cast(pa.string())}
    )


def _unpacked(lists: Any, names: Sequence[str]) -> dict[str, Any]:
    return (
        {name: pc.list_element(lists, place) for place, name in enumerate(names)}
        if len(lists)
        else {name: [] for name in names}
    )
