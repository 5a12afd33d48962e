"""Labelled predictions of ClickHouse as of one moment, written as a dataset with its digest and its SQL.

While there are fewer than the window asks for, rows that the serving version learned from are put before them.
"""

import os
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import pyarrow as pa

from modelyard_contracts.manifest import FeatureSchema
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.domain.split import MIN_ROWS
from modelyard_trainer.jobs.rundir import RunDir, file_digest
from modelyard_trainer.worker.dataset import older_rows, table_of_predictions, write_table

SQL: Final = """
SELECT prediction_id, num_features, cat_features, label, predicted_at
FROM v_labelled
WHERE model = {model:String} AND feature_schema_id = {feature_schema_id:String}
  AND labelled_at <= {as_of:DateTime64(6, 'UTC')} AND label IS NOT NULL AND label != ''
ORDER BY predicted_at DESC, prediction_id DESC
LIMIT {rows:UInt32}
""".strip()
TIMEOUT_S: Final = 120
PATIENCE_S: Final = 600.0
"""How long a ClickHouse that is away is asked again; a worker that gives up has used one of its attempts."""
PAUSE_S: Final = 2.0

Ask = Callable[[str, dict[str, Any]], Any]
"""SQL and its parameters to an Arrow table; ClickHouseAway when there was no answer."""


class ClickHouseAway(Exception):
    """It did not answer, or not to the end; the same question may be answered later."""


def patient(ask: Ask, tell: Callable[[str], None], pause: Callable[[float], None] = time.sleep) -> Ask:
    """`ask`, again and again while ClickHouse is away. A restart of it takes seconds, as three dying workers do."""

    def asking(sql: str, parameters: dict[str, Any]) -> Any:
        paused_s = 0.0
        while True:
            try:
                return ask(sql, parameters)
            except ClickHouseAway as error:
                if paused_s >= PATIENCE_S:
                    raise
                tell(f"waiting for ClickHouse: {error}"[:300])
                pause(PAUSE_S)
                paused_s += PAUSE_S

    return asking


def take_snapshot(run_dir: RunDir, request: dict[str, Any], ask: Ask) -> None:
    """Write data.parquet and snapshot.json, once: a worker that is started again finds them.

    BadRequest when the model has no version to say which features there are, or when there are too few rows.
    """
    if run_dir.data.exists():
        return
    if request["feature_schema"] is None:
        raise BadRequest(
            f"model {request['model']} has no version yet, so its stored predictions have no contract; "
            "give dataset_digest for the first version",
            field="dataset_digest",
        )
    schema = FeatureSchema.model_validate(request["feature_schema"])
    parameters = {
        "model": request["model"],
        "feature_schema_id": schema.id,
        "as_of": datetime.fromisoformat(request["as_of"]).strftime("%Y-%m-%d %H:%M:%S.%f"),
        "rows": int(request["window_rows"]),
    }
    table = table_of_predictions(ask(SQL, parameters), schema)
    if len(table) < MIN_ROWS:
        raise BadRequest(
            f"snapshot: {len(table)} labelled rows of {schema.id} by {request['as_of']}; at least {MIN_ROWS} are needed"
        )
    older = _older(run_dir, request, table)
    _write(run_dir, table, older, {"sql": SQL, "parameters": parameters})


def _older(run_dir: RunDir, request: dict[str, Any], live: Any) -> Any | None:
    missing = int(request["window_rows"]) - len(live)
    if missing <= 0 or not run_dir.older.exists():
        return None
    return older_rows(run_dir.older, live, missing)


def _write(run_dir: RunDir, live: Any, older: Any | None, asked: dict[str, Any]) -> None:
    table = live.sort_by("occurred_at")
    source = {**asked, "rows": len(live)}
    if older is not None:
        table = pa.concat_tables([older, table])
        source["older"] = {"dataset": file_digest(run_dir.older), "rows": len(older)}
    part = run_dir.path / "snapshot.parquet"
    write_table(table, part)
    run_dir.write_snapshot(
        {
            "digest": file_digest(part),
            "rows": len(table),
            "live_rows": len(live),
            "columns": {field.name: str(field.type) for field in table.schema},
            "source": source,
        }
    )
    part.replace(run_dir.data)  # last: whoever sees data.parquet may rely on snapshot.json


def clickhouse(settings: dict[str, Any]) -> Ask:
    """Ask the server named in the request; the password comes by the environment, never by a file."""

    def ask(sql: str, parameters: dict[str, Any]) -> Any:
        from clickhouse_connect.driver.exceptions import OperationalError

        try:
            return _ask_once(settings, sql, parameters)
        except (OperationalError, OSError) as error:
            raise ClickHouseAway(f"{settings['url']}: {error}") from error

    return ask


def _ask_once(settings: dict[str, Any], sql: str, parameters: dict[str, Any]) -> Any:
    import clickhouse_connect

    url = urlsplit(settings["url"])
    client = clickhouse_connect.get_client(
        interface=url.scheme,
        host=url.hostname or "127.0.0.1",
        port=url.port or (8443 if url.scheme == "https" else 8123),
        username=settings["user"],
        password=os.environ.get("CLICKHOUSE_PASSWORD", ""),
        database=settings["database"],
        send_receive_timeout=TIMEOUT_S,
    )
    try:
        return client.query_arrow(sql, parameters=parameters, use_strings=True)
    finally:
        client.close()
