"""A run of the worker: refused files, the manifest, snapshots of live rows."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from modelyard_contracts.manifest import ManifestFile, ModelManifest
from modelyard_contracts.signature import Signature, Task, new_schema_id
from modelyard_trainer.domain.data import DataSpec
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.domain.recipes import Recipe
from modelyard_trainer.jobs.rundir import RunDir, file_digest
from modelyard_trainer.worker import clickhouse as clickhouse_module
from modelyard_trainer.worker.clickhouse import ClickHouseUnavailable, Query, clickhouse, retrying
from modelyard_trainer.worker.dataset import Dataset, rows_of
from modelyard_trainer.worker.main import run
from modelyard_trainer.worker.snapshot import Statements
from modelyard_trainer.worker.table import read_table
from modelyard_trainer.worker.work import Rows

from .helpers.data import START, training_signature, training_table, write_training_file
from .helpers.fake_recipe import RECIPE
from .helpers.requests import request

SIGNATURE = training_signature(("UP", "DOWN"))


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "run")


def given(run_dir: RunDir, table: pa.Table, signature: Signature | None = None, **changes: Any) -> None:
    run_dir.path.mkdir(parents=True)
    pq.write_table(table, run_dir.data)
    run_dir.prepare(request(signature, given_dataset=file_digest(run_dir.data), **changes))


def manifest(run_dir: RunDir) -> ModelManifest:
    assert run_dir.result is not None, run_dir.failure
    return ManifestFile.read(run_dir.manifest).manifest


def rows_in(run_dir: RunDir, signature: Signature = SIGNATURE) -> Rows:
    table, time = read_table(run_dir.data, DataSpec())
    return rows_of(Dataset(table, signature, "label", time))


def test_the_manifest_names_the_rows_that_were_used(run_dir: RunDir) -> None:
    given(run_dir, training_table(400))
    run(run_dir, RECIPE)

    made = manifest(run_dir)
    # 400 rows, 50 held out: the last one used is number 349, a minute apart
    assert made.training.train_from == START
    assert made.training.train_until == START + timedelta(minutes=349)
    assert made.training.dataset_digest == file_digest(run_dir.data)
    assert made.reference is not None and made.reference.rows == 350
    assert [feature.name for feature in made.reference.features] == ["x", "y", "kind"]
    assert made.signature.classes == ("DOWN", "UP") and made.task is Task.BINARY


def test_the_reference_of_outputs_is_made_of_the_held_out_rows(run_dir: RunDir) -> None:
    table = training_table(400)
    given(run_dir, table)
    run(run_dir, RECIPE)

    reference, metrics = manifest(run_dir).reference, manifest(run_dir).training.metrics
    assert reference is not None and reference.score is not None and reference.classes is not None
    assert sum(reference.score.counts) == 50
    # the fake recipe always predicts the last class
    assert (reference.classes.categories, reference.classes.counts) == (("UP", "DOWN"), (0, 0, 0, 50, 0))
    wrong = sum(label != "UP" for label in table["label"].to_pylist()[350:]) / 50
    assert reference.error_rate == pytest.approx(wrong) and metrics["accuracy"] == pytest.approx(1 - wrong)


def test_the_manifest_is_written_once_and_its_digest_is_that_of_the_bytes(run_dir: RunDir) -> None:
    given(run_dir, training_table())
    run(run_dir, RECIPE)
    result = run_dir.result
    assert result is not None and ManifestFile.read(run_dir.manifest).digest == result["manifest_digest"]
    assert json.loads(run_dir.manifest)["schema_version"] == ModelManifest.SCHEMA_VERSION


def test_held_out_inputs_do_not_change_the_model_or_the_reference_of_inputs(run_dir: RunDir, tmp_path: Path) -> None:
    table = training_table(400)
    given(run_dir, table)
    run(run_dir, RECIPE)
    other = RunDir(tmp_path / "other")
    x = table["x"].to_pylist()[:350] + [1e6] * 50
    given(other, table.set_column(0, "x", pa.array(x, pa.float64())))
    run(other, RECIPE)
    one, two = manifest(run_dir), manifest(other)
    assert one.reference is not None and two.reference is not None
    assert one.reference.features == two.reference.features and one.files == two.files


def test_a_run_with_a_result_is_not_repeated(run_dir: RunDir) -> None:
    given(run_dir, training_table())
    run(run_dir, RECIPE)
    before = run_dir.result
    run(run_dir, Recipe("fake", RECIPE.parameters, "nowhere:nothing"))
    assert run_dir.result == before


def test_another_file_than_the_requested_one_is_refused(run_dir: RunDir) -> None:
    given(run_dir, training_table())
    write_training_file(run_dir.data, rows=300)
    with pytest.raises(BadRequest, match="the file is sha256:"):
        run(run_dir, RECIPE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns(["label"]), "has no column label; it has x, y, kind, occurred_at"),
        (
            lambda table: table.set_column(4, "occurred_at", pa.array(range(400))),
            "occurred_at is int64; it must be a timestamp",
        ),
        (lambda table: table.set_column(3, "label", pa.array(["UP"] * 400)), "1 classes in label"),
        (lambda table: table.select(["label", "occurred_at"]), "has 0 feature columns; give 1 to 1000"),
        (lambda table: table.append_column("l", pa.array([[1]] * 400)), "column l is list<"),
        (
            lambda table: table.set_column(3, "label", pa.array([None] * 400, pa.string())),
            "label has 400 missing values",
        ),
        (lambda table: table.slice(0, 60), "60 labelled rows; at least 100"),
    ],
)
def test_an_unfit_file_is_refused_with_the_reason(run_dir: RunDir, change: Any, message: str) -> None:
    given(run_dir, change(training_table()))
    with pytest.raises(BadRequest, match=message):
        run(run_dir, RECIPE)


def test_a_retraining_keeps_the_signature_and_its_id(run_dir: RunDir) -> None:
    given(run_dir, training_table().append_column("extra", pa.array(np.zeros(400))), SIGNATURE, signature_id="fs-old")
    run(run_dir, RECIPE)
    made, result = manifest(run_dir), run_dir.result
    assert (made.signature, made.feature_schema_id) == (SIGNATURE, "fs-old")
    assert result is not None and "columns not in the signature were not used: extra" in result["summary"]


def test_every_difference_from_the_signature_is_named(run_dir: RunDir) -> None:
    table = training_table().drop_columns(["x"])
    table = table.set_column(1, "kind", pa.array(range(400))).set_column(2, "label", pa.array(["UP", "SAME"] * 200))
    given(run_dir, table, SIGNATURE)
    with pytest.raises(BadRequest) as error:
        run(run_dir, RECIPE)
    for part in (
        "column x is missing",
        "column kind is int64, the signature has category",
        "label has the classes SAME, the signature has UP, DOWN",
        "new_contract",
    ):
        assert part in str(error.value)


def test_a_new_signature_is_made_on_request(run_dir: RunDir) -> None:
    table = training_table().append_column("extra", pa.array(np.zeros(400)))
    given(run_dir, table, SIGNATURE, data=DataSpec(new_contract=True).model_dump(mode="json"))
    run(run_dir, RECIPE)
    assert [column.name for column in manifest(run_dir).signature.columns] == ["x", "y", "kind", "extra"]
    assert manifest(run_dir).feature_schema_id == new_schema_id(manifest(run_dir).signature)


def test_features_may_have_the_names_of_our_own_columns(run_dir: RunDir) -> None:
    table = training_table().rename_columns(["label", "occurred_at", "prediction", "goal", "at"])
    given(run_dir, table, data=DataSpec(target="goal", time="at").model_dump(mode="json"))
    run(run_dir, RECIPE)
    made = manifest(run_dir).signature
    assert [column.name for column in made.columns] == ["label", "occurred_at", "prediction"] and made.target == "goal"


def stored(rows: int) -> pa.Table:
    """An answer of v_labelled: positional features, newest first."""
    table = training_table(rows)
    return pa.table(
        {
            "prediction_id": [f"p{row}" for row in range(rows)],
            "num_features": [list(pair) for pair in zip(table["x"].to_pylist(), table["y"].to_pylist(), strict=True)],
            "cat_features": [[value] for value in table["kind"].to_pylist()],
            "truth": table["label"],
            "predicted_at": table["occurred_at"],
        }
    ).take(pa.array(range(rows - 1, -1, -1)))


def answering(rows: pa.Table, *, features: int = 0, label: int = 0) -> Query:
    """A ClickHouse with these usable rows, and numbers of unusable ones."""
    left_out = pa.table({"unusable_features": [features], "unusable_label": [label]})
    return lambda sql, parameters: left_out if sql.startswith("SELECT countIf") else rows


def test_a_snapshot_is_a_dataset_with_its_sql_and_digest(run_dir: RunDir) -> None:
    queries: list[tuple[str, dict[str, Any]]] = []

    def query(sql: str, parameters: dict[str, Any]) -> pa.Table:
        queries.append((sql, parameters))
        return answering(stored(400))(sql, parameters)

    run_dir.prepare(request(SIGNATURE))
    run(run_dir, RECIPE, query)

    described = run_dir.snapshot
    assert described is not None
    assert described["digest"] == file_digest(run_dir.data) == manifest(run_dir).training.dataset_digest
    wanted = Statements.of(SIGNATURE, new_schema_id(SIGNATURE))
    assert described["source"]["sql"] == wanted.rows
    asked = {"model": "shifts", "as_of": "2026-03-01 00:00:00.000000", "rows": 400}
    assert described["source"]["parameters"] == {**asked, **wanted.parameters}
    table = training_table()
    expected = rows_of(Dataset(table, SIGNATURE, "label", "occurred_at"))
    rows = rows_in(run_dir)
    np.testing.assert_array_equal(rows.numeric, expected.numeric)
    assert rows.categorical.tolist() == expected.categorical.tolist()
    assert (rows.targets == expected.targets).all()
    assert manifest(run_dir).signature == SIGNATURE

    (run_dir.path / "result.json").unlink()
    run(run_dir, RECIPE, query)
    assert len(queries) == 2  # rows and numbers of unusable rows; a restarted worker reads the first one's snapshot


def test_a_short_snapshot_is_filled_with_the_newest_training_rows_of_the_serving_version(run_dir: RunDir) -> None:
    table = training_table(400)
    run_dir.prepare(request(SIGNATURE, window_rows=300))
    pq.write_table(
        table.slice(0, 320).drop_columns(["kind"]).append_column("kind", table["kind"].slice(0, 320)), run_dir.older
    )
    live = stored(400).slice(0, 150)  # the newest: numbers 250 to 399, so 70 of them are in both

    run(run_dir, RECIPE, answering(live))

    described = run_dir.snapshot
    assert described is not None and (described["rows"], described["live_rows"]) == (300, 150)
    assert described["source"]["rows"] == 150
    assert described["source"]["older"] == {"dataset": file_digest(run_dir.older), "rows": 150}
    assert described["digest"] == file_digest(run_dir.data) == manifest(run_dir).training.dataset_digest
    filled, _ = read_table(run_dir.data, DataSpec())
    assert filled["occurred_at"].to_pylist() == table["occurred_at"].to_pylist()[100:]
    assert filled["prediction_id"].to_pylist() == [None] * 150 + [f"p{number}" for number in range(250, 400)]
    assert filled["x"].to_pylist() == table["x"].to_pylist()[100:]
    # a fifth of the 150 live rows is held out, not 50 rows
    assert manifest(run_dir).training.train_until == START + timedelta(minutes=399 - 30)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.drop_columns(["x"]),
        lambda table: table.set_column(0, "x", pa.array(["a"] * 400)),
        lambda table: table.set_column(4, "occurred_at", pc.add(table["occurred_at"], pa.scalar(timedelta(days=9)))),
        lambda table: table.drop_columns(["label"]),
    ],
    ids=["another signature", "another type", "no older rows", "no target"],
)
def test_an_older_dataset_that_does_not_fit_is_left_out(run_dir: RunDir, change: Any) -> None:
    run_dir.prepare(request(SIGNATURE))
    pq.write_table(change(training_table(400)), run_dir.older)
    run(run_dir, RECIPE, answering(stored(150)))
    described = run_dir.snapshot
    assert described is not None and described["rows"] == described["live_rows"] == 150
    assert "older" not in described["source"]


def test_a_full_window_needs_no_older_rows(run_dir: RunDir) -> None:
    run_dir.prepare(request(SIGNATURE, window_rows=150))
    run_dir.older.write_text("is not read")
    run(run_dir, RECIPE, answering(stored(400).slice(0, 150)))
    described = run_dir.snapshot
    assert described is not None and described["rows"] == 150


def test_a_snapshot_of_too_few_rows_names_their_number(run_dir: RunDir) -> None:
    run_dir.prepare(request(SIGNATURE))
    with pytest.raises(BadRequest, match=r"99 usable labelled rows of fs-.* at least 100"):
        run(run_dir, RECIPE, answering(stored(99)))
    with pytest.raises(BadRequest, match="0 usable labelled rows"):
        run(run_dir, RECIPE, answering(stored(1).slice(0, 0)))


def test_unusable_rows_are_counted_and_reported(run_dir: RunDir) -> None:
    run_dir.prepare(request(SIGNATURE))

    run(run_dir, RECIPE, answering(stored(200), features=2, label=1))

    described = run_dir.snapshot
    assert described is not None and described["rows"] == 200
    assert described["source"]["left_out"] == {"features": 2, "label": 1}
    [note] = [line["note"] for line in run_dir.progress if "left out" in line["note"]]
    assert "2 rows without the signature's number of features and 1 rows with a label that is none of" in note


def test_a_temporarily_unavailable_clickhouse_costs_no_attempt(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch, loopback: None
) -> None:
    monkeypatch.setattr(clickhouse_module, "PAUSE_S", 0.0)
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "secret")
    unreachable = clickhouse({"url": "http://127.0.0.1:1", "user": "reader", "database": "ml"})
    tries = 0

    def query(sql: str, parameters: dict[str, Any]) -> pa.Table:
        nonlocal tries
        tries += 1
        return unreachable(sql, parameters) if tries < 4 else answering(stored(400))(sql, parameters)

    run_dir.prepare(request(SIGNATURE))
    run(run_dir, RECIPE, query)
    assert tries == 5 and run_dir.result is not None
    waits = [line["note"] for line in run_dir.progress if "waiting for ClickHouse" in line["note"]]
    assert len(waits) == 3 and "http://127.0.0.1:1" in waits[0] and "secret" not in waits[0]


def test_a_clickhouse_that_stays_unavailable_ends_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse_module, "PATIENCE_S", 2 * clickhouse_module.PAUSE_S)
    pauses: list[float] = []

    def query(sql: str, parameters: dict[str, Any]) -> pa.Table:
        raise ClickHouseUnavailable("http://nowhere: no answer")

    with pytest.raises(ClickHouseUnavailable, match="nowhere"):
        retrying(query, lambda _: None, pauses.append)("SELECT 1", {})
    assert pauses == [clickhouse_module.PAUSE_S] * 2
