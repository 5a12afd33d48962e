"""Rows of a backtest from files and from the platform's log: order, gaps, labels, and what is left out."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelyard import ApiError
from modelyard_cli.backtest.isolation import isolated
from modelyard_cli.backtest.log import Period, read_log
from modelyard_cli.backtest.named import adaptive
from modelyard_cli.backtest.saved import save, saved
from modelyard_cli.backtest.source import LogSource, from_log
from modelyard_cli.context import Platform
from modelyard_cli.demo.data import MIN_ROWS, read_csv
from modelyard_cli.stack.layout import StackError
from modelyard_contracts.policies import GatePolicy, RetrainPolicy, RolloutPolicy
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task
from modelyard_contracts.tables.table import UnfitFile

HOUR_US = 3_600_000_000
START = datetime(2026, 1, 1, tzinfo=UTC)
PERIOD = Period(START, START + timedelta(days=365))


def table(path: Path, time_of: Callable[[int], str], rows: int = MIN_ROWS) -> Path:
    lines = [f"{time_of(at)},{at},{'yes' if at % 2 else 'no'}" for at in range(rows)]
    path.write_text("\n".join(["time,x,label", *lines]))
    return path


def hour(at: int) -> str:
    return f"{START + timedelta(hours=at):%Y-%m-%dT%H:%M:%SZ}"


def test_rows_out_of_order_are_sorted_and_the_reader_is_informed(tmp_path: Path) -> None:
    stream = read_csv(
        table(tmp_path / "x.csv", lambda at: hour(at + 1 if at % 10 == 0 else at - 1 if at % 10 == 1 else at))
    )
    assert stream.times is not None and np.diff(stream.times).min() >= 0
    assert stream.numbers[:3, 0].tolist() == [1, 0, 2]
    assert stream.notes == ("the rows are not in order of time (300 are earlier than the row before); sorted by time",)


def test_rows_of_equal_times_keep_their_order(tmp_path: Path) -> None:
    stream = read_csv(table(tmp_path / "x.csv", lambda at: hour(at // 100)))
    assert stream.numbers[:, 0].tolist() == list(range(MIN_ROWS))
    assert stream.notes == ("2,970 of 3,000 rows have the time of the row before; their order is kept",)


def test_a_gap_is_reported_with_its_place(tmp_path: Path) -> None:
    [note] = read_csv(table(tmp_path / "x.csv", lambda at: hour(at + 1_000 * (at >= 10)))).notes
    assert note == "no rows for 41.7 days after 2026-01-01T09:00:00Z; rows are 80.0 minutes apart on average"


@pytest.mark.parametrize(
    ("time_of", "complaint"),
    [
        (lambda at: "2999-01-01" if at == 7 else "2026-01-01", "line 9: 2999-01-01T00:00:00Z .* is in the future"),
        (lambda at: hour(at)[: 19 if at == 3 else 20], "line 5: '2026-01-01T03:00:00' .* has no time zone, but other"),
    ],
)
def test_times_that_cannot_be_compared_are_refused_with_the_line(
    tmp_path: Path, time_of: Callable[[int], str], complaint: str
) -> None:
    with pytest.raises(UnfitFile, match=complaint):
        read_csv(table(tmp_path / "x.csv", time_of))


def test_times_of_several_zones_are_compared_as_moments(tmp_path: Path) -> None:
    def local(at: int) -> str:
        return (START + timedelta(hours=at + 2 * (at % 2))).strftime(f"%Y-%m-%dT%H:%M:%S+0{2 * (at % 2)}:00")

    stream = read_csv(table(tmp_path / "x.csv", local))
    assert stream.numbers[:, 0].tolist() == list(range(MIN_ROWS))


def test_a_parquet_file_is_read_as_the_same_table_in_csv_would_be(tmp_path: Path) -> None:
    rows = range(MIN_ROWS)
    columns = {
        "time": [START + timedelta(hours=at) for at in rows],
        "x": [None if at % 7 == 0 else at / 2 for at in rows],
        "open": [at % 3 == 0 for at in rows],
        "label": [["no", "yes"][at % 2] for at in rows],
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    stream = read_csv(tmp_path / "t.parquet")
    assert (stream.name, stream.numeric, stream.categorical, stream.classes) == ("t", ("x",), ("open",), ("no", "yes"))
    assert np.isnan(stream.numbers[0, 0]) and stream.numbers[1, 0] == 0.5
    assert stream.times is not None and stream.times[1] - stream.times[0] == 3_600


def test_a_nested_parquet_column_is_refused_by_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [[1, 2]] * MIN_ROWS, "label": ["x"] * MIN_ROWS}), tmp_path / "t.parquet")
    with pytest.raises(UnfitFile, match="column 'a' is of the Parquet type list"):
        read_csv(tmp_path / "t.parquet")


class Log:
    """A platform whose log holds these rows; the queries get what ClickHouse would return."""

    def __init__(self, rows: int = MIN_ROWS, unlabelled: int = 0, unusable: int = 0, other: int = 0) -> None:
        self.counts = {"answered": rows + unlabelled + unusable + other, "other_signature": other}
        self.labelled = {"labelled": rows + unusable, "usable": rows}
        at = pa.array([1_767_225_600_000_000 + HOUR_US * row for row in range(rows)])
        self.rows = pa.table(
            {
                "num_features": pa.array([[float(row), None] for row in range(rows)]),
                "cat_features": pa.array([["ab"[row % 2]] for row in range(rows)]),
                "truth": pa.array([["up", "down"][row % 2] for row in range(rows)]),
                "at": at,
                "known_at": pa.array(
                    [int(value.as_py()) + 48 * HOUR_US * (row % 2 or -1) for row, value in enumerate(at)]
                ),
            }
        )
        columns = (Column(name="price"), Column(name="load"), Column(name="zone", type=ColumnType.CATEGORY))
        output = Output(task=Task.BINARY, name="move", classes=("down", "up"))
        manifest = SimpleNamespace(signature=Signature(columns=columns, output=output), feature_schema_id="fs-1")
        self.registry = SimpleNamespace(
            alias=lambda *_: SimpleNamespace(version=3),
            manifest_file=lambda *_: SimpleNamespace(manifest=manifest),
            policy=lambda _, kind: {"gate": GatePolicy(), "retrain": RetrainPolicy(), "rollout": RolloutPolicy()}[kind],
        )
        self.asked: list[Mapping[str, Any]] = []

    def query(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [self.counts if "AS answered" in sql else self.labelled]

    def arrow(self, sql: str, parameters: Mapping[str, Any]) -> pa.Table:
        self.asked.append(parameters)
        return self.rows


def test_stored_rows_become_a_stream_with_the_arrival_of_each_label() -> None:
    platform: Any = Log()
    stream = read_log(platform, "Churn EU", PERIOD)
    assert (stream.name, stream.target, stream.classes) == ("churn-eu", "move", ("down", "up"))
    assert (stream.numeric, stream.categorical) == (("price", "load"), ("zone",))
    assert stream.features(1) == {"price": 1.0, "load": None, "zone": "b"}
    assert stream.times is not None and stream.label_times is not None
    delays = (stream.label_times - stream.times)[:2].tolist()
    assert delays == [0, 48 * 3_600], "a label that is older than its row, by a wrong clock, is known at once"
    [asked] = platform.asked
    assert (asked["since"], asked["signature_ids"]) == ("2026-01-01 00:00:00.000000", ["fs-1"])


def test_rows_that_cannot_be_replayed_are_counted() -> None:
    platform: Any = Log(unlabelled=70, unusable=5, other=12)
    assert read_log(platform, "churn", PERIOD).notes == (
        "left out 70 rows without a label",
        "left out 12 rows of versions with other columns",
        "left out 5 rows whose features or label cannot be used",
    )


@pytest.mark.parametrize(
    ("platform", "complaint"),
    [
        (
            Log(100, unlabelled=9_000),
            "100 labelled rows .* at least 3,000 .* --from and --to .left out 9,000 rows without",
        ),
        (Log(0), "0 labelled rows"),
    ],
)
def test_a_log_with_too_few_labels_is_refused(platform: Any, complaint: str) -> None:
    with pytest.raises(StackError, match=complaint):
        read_log(platform, "churn", PERIOD)


def test_a_model_that_does_not_serve_or_exist_is_refused() -> None:
    platform: Any = Log()
    platform.registry.alias = lambda *_: None
    with pytest.raises(StackError, match="--model churn: no version serves"):
        read_log(platform, "churn", PERIOD)

    def missing(*_: Any) -> Any:
        raise ApiError(404, "not_found", "no model churn")

    platform.registry.alias = missing
    with pytest.raises(StackError, match=r"--model churn: .*no model churn"):
        read_log(platform, "churn", PERIOD)


def test_labels_of_one_class_are_refused() -> None:
    platform: Any = Log()
    platform.rows = platform.rows.set_column(2, "truth", pa.array(["up"] * MIN_ROWS))
    with pytest.raises(StackError, match="every label is 'up'"):
        read_log(platform, "churn", PERIOD)


def test_a_run_that_goes_on_has_the_rows_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Platform, "find", lambda *_: Log(unlabelled=1))
    log = LogSource("churn", "2026-01-01", None, tmp_path)
    began, [new] = from_log(log, tmp_path / "report", [])
    assert new(1.0).name == "current", "without a policy file, the policies of the model are replayed"
    monkeypatch.setattr(Platform, "find", lambda *_: Log(MIN_ROWS + 500))
    again, _ = from_log(log, tmp_path / "report", [])
    assert again.rows == MIN_ROWS and again.notes == began.notes
    assert again.numbers.tobytes() == began.numbers.tobytes() and (again.words == began.words).all()
    assert again.label_times is not None and began.label_times is not None
    assert again.label_times.tolist() == began.label_times.tolist()
    with pytest.raises(StackError, match="other rows; use another --report folder"):
        from_log(LogSource("other", None, None, tmp_path), tmp_path / "report", [adaptive])


def test_a_regression_without_categories_or_times_is_saved_whole(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("\n".join(["a,target", *(f"1,{number / 2}" for number in range(MIN_ROWS))]))
    stream = read_csv(path)
    save(stream, tmp_path, {"file": "r"})
    found = saved(tmp_path, {"file": "r"})
    assert found is not None and (found.times, found.words.shape) == (None, (MIN_ROWS, 0))
    assert found.labels.tolist() == stream.labels.tolist()
    assert saved(tmp_path / "none", {}) is None


@pytest.mark.parametrize(
    ("since", "until", "complaint"),
    [("soon", None, "--from soon: write a date"), ("2026-02-01", "2026-01-01", "is not before --to")],
)
def test_a_period_that_cannot_be_is_refused(since: str, until: str | None, complaint: str) -> None:
    with pytest.raises(StackError, match=complaint):
        LogSource("m", since, until, Path()).period(START)


def test_the_stack_of_a_backtest_inherits_no_address_of_a_platform_in_use() -> None:
    given = {
        "REGISTRY_URL": "https://registry",
        "REGISTRY_DATABASE_URL": "postgresql://live",
        "TRAINER_DATA_DIR": "/live",
        "KAFKA_BOOTSTRAP_SERVERS": "live:9092",
        "KAFKA_SASL_PASSWORD": "x",
        "CLICKHOUSE_URL": "https://live",
        "MODELYARD_ADMIN_KEY_FILE": "/live/key",
        "RAY_ADDRESS": "ray://live",
    }
    kept = {"PATH": "/bin", "MONITOR_ERRORS_IN_BURSTS": "true", "KAFKA_HOME": "/opt/kafka", "TRAINER_MAX_RUNNING": "2"}
    assert isolated({**given, **kept}) == kept
