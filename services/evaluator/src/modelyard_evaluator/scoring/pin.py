"""Choose the rows: the newest labelled predictions, or the held-out part of a training dataset."""

import os
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from modelyard_contracts.manifest import FeatureSchema
from modelyard_evaluator.scoring.errors import RowsUnusable, SourceUnreachable

LABEL, TIME, ID = "label", "occurred_at", "prediction_id"
SQL: Final = """
SELECT prediction_id, feature_schema_id, num_features, cat_features, label, predicted_at
FROM v_labelled
WHERE model = {model:String} AND predicted_at > {since:DateTime64(6, 'UTC')}
  AND labelled_at <= {as_of:DateTime64(6, 'UTC')} AND label IS NOT NULL AND label != ''
  AND feature_schema_id IN {schema_ids:Array(String)}
ORDER BY predicted_at DESC, prediction_id DESC
LIMIT {limit:UInt32}
""".strip()
ROW_GROUP_ROWS: Final = 10_000


def run(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Write FOLDER/rows.parquet: a column per feature, `label`, `occurred_at`, oldest row first."""
    if job["source"] == "dataset":
        return _from_dataset(folder, job)
    found = _query(job)
    schemas = {schema_id: FeatureSchema.model_validate(document) for schema_id, document in job["schemas"].items()}
    table = pa.concat_tables(
        [_by_name(found, schema_id, schema) for schema_id, schema in schemas.items()], promote_options="default"
    )
    keys = ["prediction_id", "feature_schema_id", "num_features", "cat_features"]
    return _write(folder, table, {"sql": SQL, "parameters": _parameters(job), "columns_read": keys}, None)


def _from_dataset(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Use the rows after `since`; the baseline is the most frequent label before it."""
    table = pq.ParquetFile(folder / "training.parquet").read()
    for column in (LABEL, TIME):
        if column not in table.column_names:
            raise RowsUnusable(f"the training dataset has no column {column}")
    labels = table[LABEL].cast(pa.string())
    table = table.filter(pc.and_(pc.is_valid(labels), pc.not_equal(labels, "")))
    boundary = pa.scalar(datetime.fromisoformat(job["since"]), pa.timestamp("us", "UTC"))
    times = table[TIME].cast(pa.timestamp("us", "UTC"))
    seen = Counter(table.filter(pc.less_equal(times, boundary))[LABEL].cast(pa.string()).to_pylist())
    if not seen:
        raise RowsUnusable(f"no labelled row of the training dataset is from before {job['since']}")
    held_out = table.filter(pc.greater(times, boundary)).sort_by(TIME)
    held_out = held_out.slice(max(0, held_out.num_rows - job["limit"]))
    source = {"dataset": job["dataset_digest"], "after": job["since"]}
    return _write(folder, held_out, source, seen.most_common(1)[0][0])


def _query(job: dict[str, Any]) -> pa.Table:
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        client = clickhouse_connect.get_client(
            dsn=os.environ["CLICKHOUSE_URL"],
            interface="http",
            username=os.environ["CLICKHOUSE_USER"],
            password=os.environ["CLICKHOUSE_PASSWORD"],
            database=os.environ["CLICKHOUSE_DATABASE"],
        )
        return client.query_arrow(SQL, parameters=_parameters(job), use_strings=True)
    except (ClickHouseError, OSError) as error:
        raise SourceUnreachable(f"ClickHouse: {error}") from error


def _parameters(job: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": job["model"],
        "since": _clickhouse_time(job["since"]),
        "as_of": _clickhouse_time(job["as_of"]),
        "schema_ids": sorted(job["schemas"]),
        "limit": job["limit"],
    }


def _clickhouse_time(moment: str) -> str:
    return datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M:%S.%f")


def _by_name(found: pa.Table, schema_id: str, schema: FeatureSchema) -> pa.Table:
    """The rows of one feature schema with a column per feature; rows with lists of another length are left out."""
    ids = found["feature_schema_id"].cast(pa.string())
    fits = pc.and_(
        pc.equal(ids, schema_id),
        pc.and_(
            pc.equal(pc.list_value_length(found["num_features"]), len(schema.numeric)),
            pc.equal(pc.list_value_length(found["cat_features"]), len(schema.categorical)),
        ),
    )
    rows = found.filter(fits)
    columns = {
        name: pc.list_element(rows["num_features"], i).cast(pa.float64()) for i, name in enumerate(schema.numeric)
    }
    columns |= {
        name: pc.list_element(rows["cat_features"], i).cast(pa.string()) for i, name in enumerate(schema.categorical)
    }
    times = rows["predicted_at"].cast(pa.timestamp("us", "UTC"))
    texts = {LABEL: rows["label"].cast(pa.string()), ID: rows["prediction_id"].cast(pa.string())}
    return pa.table({**columns, **texts, TIME: times})


def _write(folder: Path, table: pa.Table, source: dict[str, Any], baseline: str | None) -> dict[str, Any]:
    """Write rows deterministically, so that a repeat registers the same dataset."""
    keys = [(TIME, "ascending")] + ([(ID, "ascending")] if ID in table.column_names else [])
    table = table.sort_by(keys).replace_schema_metadata(None)
    pq.write_table(table, folder / "rows.parquet", compression="zstd", row_group_size=ROW_GROUP_ROWS)
    columns = {field.name: str(field.type) for field in table.schema}
    return {"rows": table.num_rows, "columns": columns, "source": source, "baseline_class": baseline}
