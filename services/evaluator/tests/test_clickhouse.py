"""Counting and pinning labelled rows, on a ClickHouse with the monitor's view."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import clickhouse_connect
import pyarrow.parquet as pq
import pytest

from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task
from modelyard_contracts.usable.rows import SIGNATURE_COLUMN
from modelyard_devstack.testing import free_port
from modelyard_evaluator.clients.labels import ClickHouseLabels
from modelyard_evaluator.domain.errors import Unreachable
from modelyard_evaluator.domain.ports import RowCount
from modelyard_evaluator.scoring.processes import ScorerProcesses
from modelyard_zygote import Zygote

from .conftest import DAY

pytestmark = pytest.mark.server
CLASSES = Output(task=Task.BINARY, classes=("no", "yes"))
AGE, COLOUR = Column(name="age"), Column(name="colour", type=ColumnType.CATEGORY)
OLD, NEW, VALUE = "sig-old", "sig-new", "sig-value"
SIGNATURES = {
    OLD: Signature(columns=(AGE,), output=CLASSES),
    NEW: Signature(columns=(COLOUR, AGE), output=CLASSES),
}
REGRESSION = {VALUE: Signature(columns=(AGE,), output=Output(task=Task.REGRESSION))}
VIEW = f"""
CREATE TABLE v_labelled (
    prediction_id String, model String, {SIGNATURE_COLUMN} LowCardinality(Nullable(String)),
    num_features Array(Nullable(Float64)), cat_features Array(Nullable(String)), label Nullable(String),
    value Nullable(Float64), predicted_at DateTime64(6, 'UTC'), labelled_at DateTime64(6, 'UTC')
) ENGINE = MergeTree ORDER BY prediction_id
"""


@pytest.fixture
def clickhouse(devclickhouse: Any, unique: str) -> dict[str, str]:
    """Rows of two signatures, one minute apart, each labelled ten minutes after its prediction."""
    database = f"evaluator_{unique}"
    user, password = devclickhouse.writer.user, devclickhouse.writer.password
    given = {"dsn": devclickhouse.url, "username": user, "password": password}
    admin = clickhouse_connect.get_client(**given, interface="http", database=devclickhouse.database)
    admin.command(f"CREATE DATABASE {database}")
    client = clickhouse_connect.get_client(**given, interface="http", database=database)
    client.command(VIEW)
    hour = DAY + timedelta(hours=1)
    rows: list[list[Any]] = []
    for i in range(40):
        at = DAY + timedelta(minutes=i)
        signature_id, texts = (OLD, []) if i < 20 else (NEW, ["red" if i % 2 else None])
        number = None if i == 30 else float(i)
        labelled_at = at + timedelta(minutes=10)
        rows.append([f"p{i:02}", "churn", signature_id, [number], texts, "yes", None, at, labelled_at])
    rows.append(["other", "another", NEW, [1.0], ["red"], "yes", None, DAY, DAY])
    rows.append(["unlabelled", "churn", NEW, [1.0], ["red"], None, None, hour, DAY])
    rows.append(["unknown-signature", "churn", "sig-unknown", [1.0, 2.0], [], "yes", None, hour, DAY])
    rows.append(["too-few-features", "churn", NEW, [], ["red"], "yes", None, hour, DAY])
    rows.append(["unknown-class", "churn", NEW, [1.0], ["red"], "YES", None, hour, DAY])
    for i, (label, value) in enumerate([("2.5", None), (None, 3.5), ("nan", None), ("many", None), (None, None)]):
        rows.append([f"v{i}", "prices", VALUE, [1.0], [], label, value, hour + timedelta(minutes=i), hour])
    client.insert("v_labelled", rows, column_names="*")
    return {
        "CLICKHOUSE_URL": devclickhouse.url,
        "CLICKHOUSE_USER": user,
        "CLICKHOUSE_PASSWORD": password,
        "CLICKHOUSE_DATABASE": database,
    }


def labels(clickhouse: dict[str, str]) -> ClickHouseLabels:
    return ClickHouseLabels(
        clickhouse["CLICKHOUSE_URL"],
        clickhouse["CLICKHOUSE_USER"],
        clickhouse["CLICKHOUSE_PASSWORD"],
        clickhouse["CLICKHOUSE_DATABASE"],
    )


def job(**changes: Any) -> dict[str, Any]:
    return {
        "source": "labels",
        "model": "churn",
        "since": (DAY + timedelta(minutes=9)).isoformat(),
        "as_of": (DAY + timedelta(minutes=40)).isoformat(),
        "limit": 1_000,
        "signatures": {name: signature.model_dump(mode="json") for name, signature in SIGNATURES.items()},
        **changes,
    }


def test_labelled_rows_of_the_model_and_its_signatures_are_counted(clickhouse: dict[str, str]) -> None:
    count = labels(clickhouse).count
    assert count("churn", DAY + timedelta(minutes=9), SIGNATURES) == RowCount(30, unusable=2)
    assert count("churn", DAY + timedelta(minutes=9), {OLD: SIGNATURES[OLD]}) == RowCount(10)
    assert count("unknown", DAY, SIGNATURES) == RowCount(0)
    assert count("prices", DAY, REGRESSION) == RowCount(2, unusable=2)


def test_values_of_a_regression_are_pinned_as_numbers(
    clickhouse: dict[str, str], tmp_path: Path, zygote: Zygote
) -> None:
    documents = {VALUE: REGRESSION[VALUE].model_dump(mode="json")}
    as_of = (DAY + timedelta(days=1)).isoformat()
    pinned = ScorerProcesses(zygote, clickhouse).pin(tmp_path, job(model="prices", signatures=documents, as_of=as_of))
    assert (pinned["rows"], pinned["unusable"]) == (2, 2)
    assert pq.ParquetFile(tmp_path / "rows.parquet").read()["label"].to_pylist() == [2.5, 3.5]


def test_rows_of_both_signatures_are_pinned_by_name(clickhouse: dict[str, str], tmp_path: Path, zygote: Zygote) -> None:
    pinned = ScorerProcesses(zygote, clickhouse).pin(tmp_path, job())
    table = pq.ParquetFile(tmp_path / "rows.parquet").read()
    rows = table.to_pylist()
    assert (pinned["rows"], pinned["unusable"]) == (21, 2)  # predicted after minute 9, labelled by minute 40: 10 to 30
    assert [row["prediction_id"] for row in rows] == [f"p{i}" for i in range(10, 31)]
    assert rows[0]["age"] == 10.0 and rows[0]["colour"] is None
    assert rows[11]["age"] == 21.0 and rows[11]["colour"] == "red"
    assert rows[-1]["age"] is None
    assert pinned["columns"]["occurred_at"] == "timestamp[us, tz=UTC]"


def test_the_newest_rows_win_and_a_repeat_gives_the_same_bytes(
    clickhouse: dict[str, str], tmp_path: Path, zygote: Zygote
) -> None:
    scorer = ScorerProcesses(zygote, clickhouse)
    scorer.pin(tmp_path, job(limit=5))
    first = (tmp_path / "rows.parquet").read_bytes()
    assert pq.ParquetFile(tmp_path / "rows.parquet").read()["prediction_id"].to_pylist() == [
        f"p{i}" for i in range(26, 31)
    ]
    scorer.pin(tmp_path, job(limit=5))
    assert (tmp_path / "rows.parquet").read_bytes() == first


def test_a_later_look_pins_the_oldest_rows_and_names_their_times(
    clickhouse: dict[str, str], tmp_path: Path, zygote: Zygote
) -> None:
    pinned = ScorerProcesses(zygote, clickhouse).pin(tmp_path, job(limit=5, newest=False))
    ids = pq.ParquetFile(tmp_path / "rows.parquet").read()["prediction_id"].to_pylist()
    assert ids == [f"p{i}" for i in range(10, 15)]
    assert pinned["first_at"] == (DAY + timedelta(minutes=10)).isoformat()
    assert pinned["last_at"] == (DAY + timedelta(minutes=14)).isoformat()


def test_an_unreachable_clickhouse_is_reported_as_such(tmp_path: Path, zygote: Zygote) -> None:
    unreachable = {
        "CLICKHOUSE_URL": f"http://127.0.0.1:{free_port()}",
        "CLICKHOUSE_USER": "default",
        "CLICKHOUSE_PASSWORD": "",
        "CLICKHOUSE_DATABASE": "ml",
    }
    with pytest.raises(Unreachable, match="ClickHouse"):
        labels(unreachable).count("churn", DAY, SIGNATURES)
    with pytest.raises(Unreachable, match="ClickHouse"):
        ScorerProcesses(zygote, unreachable).pin(tmp_path, job())
