"""Files and rows of the worker: what is refused, what the manifest says, what a snapshot holds."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from modelyard_contracts.manifest import Feature, FeatureKind, FeatureSchema, ModelManifest
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.domain.recipes import Recipe
from modelyard_trainer.jobs.rundir import RunDir, file_digest
from modelyard_trainer.worker import snapshot
from modelyard_trainer.worker.dataset import read_table, rows_of, schema_of
from modelyard_trainer.worker.main import run
from modelyard_trainer.worker.snapshot import SQL, ClickHouseAway, clickhouse

from .helpers.data import START, training_table, write_training_file
from .helpers.fake_recipe import RECIPE

SCHEMA = FeatureSchema(
    features=(Feature(name="x"), Feature(name="y"), Feature(name="kind", kind=FeatureKind.CATEGORICAL)),
    classes=("UP", "DOWN"),
)


def request(**changes: Any) -> dict[str, Any]:
    fields = {
        "run_id": "r-1",
        "model": "shifts",
        "recipe": "fake",
        "recipes": {},
        "parameters": {},
        "holdout_rows": 50,
        "window_rows": 400,
        "as_of": "2026-03-01T00:00:00+00:00",
        "given_dataset": None,
        "feature_schema": None,
        "clickhouse": {},
        "ray_cpus": 2,
    }
    return {**fields, **changes}


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "run")


def given(run_dir: RunDir, table: pa.Table, **changes: Any) -> None:
    run_dir.path.mkdir(parents=True)
    pq.write_table(table, run_dir.data)
    run_dir.prepare(request(given_dataset=file_digest(run_dir.data), **changes))


def manifest(run_dir: RunDir) -> ModelManifest:
    result = run_dir.result
    assert result is not None, run_dir.failure
    return ModelManifest.model_validate(result["manifest"])


def test_the_manifest_says_which_rows_were_seen(run_dir: RunDir) -> None:
    given(run_dir, training_table(400))
    run(run_dir, RECIPE)

    made = manifest(run_dir)
    # 400 rows, 50 kept: the last one used is number 349, a minute apart
    assert made.training.train_from == START
    assert made.training.train_until == START + timedelta(minutes=349)
    assert made.training.dataset_digest == file_digest(run_dir.data)
    assert made.reference is not None and made.reference.rows == 350
    assert [feature.name for feature in made.reference.features] == ["x", "y", "kind"]
    assert made.reference.score is not None and sum(made.reference.score.counts) == 70  # the validation rows
    assert made.feature_schema.classes == ("DOWN", "UP")


def test_rows_that_are_kept_cannot_change_the_model_or_its_reference(run_dir: RunDir, tmp_path: Path) -> None:
    table = training_table(400)
    given(run_dir, table)
    run(run_dir, RECIPE)
    other = RunDir(tmp_path / "other")
    x = table["x"].to_pylist()[:350] + [1e6] * 50
    given(other, table.set_column(0, "x", pa.array(x, pa.float64())))
    run(other, RECIPE)
    one, two = manifest(run_dir), manifest(other)
    assert one.reference == two.reference and one.files == two.files


def test_a_run_with_a_result_is_not_done_again(run_dir: RunDir) -> None:
    given(run_dir, training_table())
    run(run_dir, RECIPE)
    before = run_dir.result
    run(run_dir, Recipe("fake", RECIPE.parameters, "nowhere:nothing"))
    assert run_dir.result == before


def test_another_file_than_was_asked_for_is_refused(run_dir: RunDir) -> None:
    given(run_dir, training_table())
    write_training_file(run_dir.data, rows=300)
    with pytest.raises(BadRequest, match="the file is sha256:"):
        run(run_dir, RECIPE)


def test_of_a_wide_file_only_what_the_contract_names_counts() -> None:
    rows = training_table()
    wide = rows.append_column("more", pa.array([0.0] * rows.num_rows))
    for number in range(1_000):
        wide = wide.append_column(f"more_{number}", wide["more"])
    known = schema_of(rows, None)
    assert schema_of(wide, known).features == known.features
    with pytest.raises(BadRequest, match="1004 feature columns; give 1 to 1000"):
        schema_of(wide, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns(["label"]), "has no column label; it has x, y, kind, occurred_at"),
        (
            lambda table: table.set_column(4, "occurred_at", pa.array(range(400))),
            "occurred_at is int64; give a timestamp",
        ),
        (lambda table: table.set_column(3, "label", pa.array(["UP"] * 400)), "1 classes in label"),
        (lambda table: table.select(["label", "occurred_at"]), "has 0 feature columns; give 1 to 1000"),
        (lambda table: table.append_column("l", pa.array([[1]] * 400)), "column l is list<"),
        (lambda table: table.set_column(3, "label", pa.array([None] * 400, pa.string())), "may not hold nulls"),
        (lambda table: table.slice(0, 60), "60 labelled rows; at least 100"),
    ],
)
def test_an_unfit_file_is_refused_with_what_is_wrong(run_dir: RunDir, change: Any, message: str) -> None:
    given(run_dir, change(training_table()))
    with pytest.raises(BadRequest, match=message):
        run(run_dir, RECIPE)


def test_what_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"a,b\n1,2\n")
    with pytest.raises(BadRequest, match="is no parquet file"):
        read_table(tmp_path / "x.parquet")


def test_rows_are_put_in_the_order_of_time(run_dir: RunDir) -> None:
    table = training_table().take(pa.array(np.random.default_rng(0).permutation(400)))
    given(run_dir, table)
    ordered = read_table(run_dir.data)
    assert ordered["occurred_at"].to_pylist() == sorted(table["occurred_at"].to_pylist())


def test_a_version_keeps_the_contract_of_the_one_that_serves() -> None:
    table = training_table().append_column("extra", pa.array(np.zeros(400)))
    schema = schema_of(table, SCHEMA)
    assert schema == SCHEMA and schema.id == SCHEMA.id
    assert [feature.name for feature in schema_of(table, None).features] == ["x", "y", "kind", "extra"]


def test_a_new_class_comes_behind_the_known_ones() -> None:
    table = training_table().set_column(3, "label", pa.array(["UP", "SAME"] * 200))
    assert schema_of(table, SCHEMA).classes == ("UP", "DOWN", "SAME")


def test_columns_become_matrices_with_their_holes() -> None:
    rows = rows_of(training_table(), SCHEMA)
    assert rows.numeric.shape == (400, 2) and rows.categorical.shape == (400, 1)
    assert np.isnan(rows.numeric[:, 0]).any() and None in set(rows.categorical[:, 0])
    assert set(rows.labels) == {0, 1}


def stored(rows: int) -> pa.Table:
    """As v_labelled answers: positional features, the newest first."""
    table = training_table(rows)
    return pa.table(
        {
            "prediction_id": [f"p{row}" for row in range(rows)],
            "num_features": [list(pair) for pair in zip(table["x"].to_pylist(), table["y"].to_pylist(), strict=True)],
            "cat_features": [[value] for value in table["kind"].to_pylist()],
            "label": table["label"],
            "predicted_at": table["occurred_at"],
        }
    ).take(pa.array(range(rows - 1, -1, -1)))


def test_a_snapshot_is_a_dataset_with_its_sql_and_digest(run_dir: RunDir) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def ask(sql: str, parameters: dict[str, Any]) -> pa.Table:
        asked.append((sql, parameters))
        return stored(400)

    run_dir.prepare(request(feature_schema=SCHEMA.model_dump(mode="json")))
    run(run_dir, RECIPE, ask)

    described = run_dir.snapshot
    assert (
        described is not None
        and described["digest"] == file_digest(run_dir.data) == manifest(run_dir).training.dataset_digest
    )
    assert described["source"]["sql"] == SQL
    assert described["source"]["parameters"] == {
        "model": "shifts",
        "feature_schema_id": SCHEMA.id,
        "as_of": "2026-03-01 00:00:00.000000",
        "rows": 400,
    }
    expected = rows_of(training_table(), SCHEMA)
    rows = rows_of(read_table(run_dir.data), SCHEMA)
    np.testing.assert_array_equal(rows.numeric, expected.numeric)
    assert rows.categorical.tolist() == expected.categorical.tolist() and (rows.labels == expected.labels).all()
    assert manifest(run_dir).feature_schema == SCHEMA

    run(RunDir(run_dir.path), RECIPE, ask)
    (run_dir.path / "result.json").unlink()
    run(run_dir, RECIPE, ask)
    assert len(asked) == 1  # a worker that is started again reads what the first one wrote


def test_a_short_snapshot_is_filled_with_the_newest_rows_that_the_serving_version_learned_from(run_dir: RunDir) -> None:
    table = training_table(400)
    run_dir.prepare(request(feature_schema=SCHEMA.model_dump(mode="json"), window_rows=300))
    pq.write_table(
        table.slice(0, 320).drop_columns(["kind"]).append_column("kind", table["kind"].slice(0, 320)), run_dir.older
    )
    live = stored(400).slice(0, 150)  # the newest: numbers 250 to 399, so 70 of them are in both

    run(run_dir, RECIPE, lambda sql, parameters: live)

    described = run_dir.snapshot
    assert described is not None and (described["rows"], described["live_rows"]) == (300, 150)
    assert described["source"]["rows"] == 150
    assert described["source"]["older"] == {"dataset": file_digest(run_dir.older), "rows": 150}
    assert described["digest"] == file_digest(run_dir.data) == manifest(run_dir).training.dataset_digest
    filled = read_table(run_dir.data)
    assert filled["occurred_at"].to_pylist() == table["occurred_at"].to_pylist()[100:]
    assert filled["prediction_id"].to_pylist() == [None] * 150 + [f"p{number}" for number in range(250, 400)]
    assert filled["x"].to_pylist() == table["x"].to_pylist()[100:]
    # a fifth of the 150 live rows is kept, not 50 rows
    assert manifest(run_dir).training.train_until == START + timedelta(minutes=399 - 30)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.drop_columns(["x"]),
        lambda table: table.set_column(0, "x", pa.array(["a"] * 400)),
        lambda table: table.set_column(4, "occurred_at", pc.add(table["occurred_at"], pa.scalar(timedelta(days=9)))),
    ],
    ids=["another feature contract", "another type", "no older rows"],
)
def test_an_older_dataset_that_does_not_fit_is_left_out(run_dir: RunDir, change: Any) -> None:
    run_dir.prepare(request(feature_schema=SCHEMA.model_dump(mode="json")))
    pq.write_table(change(training_table(400)), run_dir.older)
    run(run_dir, RECIPE, lambda sql, parameters: stored(150))
    described = run_dir.snapshot
    assert (
        described is not None
        and described["rows"] == described["live_rows"] == 150
        and "older" not in described["source"]
    )


def test_a_full_window_needs_no_older_rows(run_dir: RunDir) -> None:
    run_dir.prepare(request(feature_schema=SCHEMA.model_dump(mode="json"), window_rows=150))
    run_dir.older.write_text("is not even read")
    run(run_dir, RECIPE, lambda sql, parameters: stored(400).slice(0, 150))
    described = run_dir.snapshot
    assert described is not None and described["rows"] == 150


def test_a_snapshot_of_too_few_rows_says_how_many_there_are(run_dir: RunDir) -> None:
    run_dir.prepare(request(feature_schema=SCHEMA.model_dump(mode="json")))
    with pytest.raises(BadRequest, match=r"99 labelled rows of fs-.* at least 100"):
        run(run_dir, RECIPE, lambda sql, parameters: stored(99))
    with pytest.raises(BadRequest, match="0 labelled rows"):
        run(run_dir, RECIPE, lambda sql, parameters: stored(1).slice(0, 0))


def test_a_clickhouse_that_is_away_for_a_while_costs_the_run_none_of_its_attempts(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch, loopback: None
) -> None:
    monkeypatch.setattr(snapshot, "PAUSE_S", 0.0)
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "secret")
    unreachable = clickhouse({"url": "http://127.0.0.1:1", "user": "reader", "database": "ml"})
    tries = 0

    def ask(sql: str, parameters: dict[str, Any]) -> pa.Table:
        nonlocal tries
        tries += 1
        return unreachable(sql, parameters) if tries < 4 else stored(400)

    run_dir.prepare(request(feature_schema=SCHEMA.model_dump(mode="json")))
    run(run_dir, RECIPE, ask)
    assert tries == 4 and run_dir.result is not None
    waits = [line["note"] for line in run_dir.progress if "waiting for ClickHouse" in line["note"]]
    assert len(waits) == 3 and "http://127.0.0.1:1" in waits[0] and "secret" not in waits[0]


def test_a_clickhouse_that_stays_away_ends_the_attempt(run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "PATIENCE_S", 2 * snapshot.PAUSE_S)
    pauses: list[float] = []

    def ask(sql: str, parameters: dict[str, Any]) -> pa.Table:
        raise ClickHouseAway("http://nowhere: no answer")

    with pytest.raises(ClickHouseAway, match="nowhere"):
        snapshot.patient(ask, lambda _: None, pauses.append)(SQL, {})
    assert pauses == [snapshot.PAUSE_S] * 2


def test_stored_features_that_break_the_contract_are_refused(run_dir: RunDir) -> None:
    run_dir.prepare(request(feature_schema=SCHEMA.model_dump(mode="json")))
    broken = stored(200).set_column(1, "num_features", pa.array([[1.0]] * 200))
    with pytest.raises(BadRequest, match=r"num_features of stored predictions has \[1\] values, not 2"):
        run(run_dir, RECIPE, lambda sql, parameters: broken)
