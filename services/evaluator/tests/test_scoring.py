"""Scoring processes on real artifacts: fitted, saved by the flavours, scored under limits."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from modelyard_contracts.manifest import ROW_ORDER, ManifestFile, ModelManifest, TrainingLineage
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task, new_schema_id
from modelyard_evaluator.domain.errors import ChallengerBroken, NotMeasurable, Unreachable
from modelyard_evaluator.scoring import compare, processes
from modelyard_evaluator.scoring.columns import inputs_of
from modelyard_evaluator.scoring.disagreements import ROWS, disagreements
from modelyard_evaluator.scoring.errors import RowsUnusable
from modelyard_evaluator.scoring.processes import ScorerProcesses, scorer_zygote
from modelyard_flavours import Encoding, FittedSklearn, environment, save_model
from modelyard_zygote import Zygote

pytestmark = pytest.mark.process

pytestmark = pytest.mark.process
START = datetime(2026, 1, 1, tzinfo=UTC)
NO = {"class": "no"}
COLUMNS = (Column(name="age"), Column(name="colour", type=ColumnType.CATEGORY))
BINARY = Signature(columns=COLUMNS, output=Output(task=Task.BINARY, classes=("no", "yes")))
THREE = Signature(columns=COLUMNS, output=Output(task=Task.MULTICLASS, classes=("old", "middle", "young")))
VALUE = Signature(columns=COLUMNS, output=Output(task=Task.REGRESSION))


def a_table(rows: int, seed: int = 0) -> pa.Table:
    """`yes` where age is above 40, with one label in ten inverted."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(20, 60, rows)
    truth = np.where((age > 40) ^ (rng.random(rows) < 0.1), "yes", "no")
    return pa.table(
        {
            "age": age,
            "colour": rng.choice(["red", "blue"], rows),
            "label": truth,
            "occurred_at": pa.array([START + timedelta(minutes=i) for i in range(rows)], pa.timestamp("us", "UTC")),
        }
    )


def write_version(folder: Path, fitted: FittedSklearn, signature: Signature) -> ModelManifest:
    """Save a fitted model with its manifest in `folder`."""
    files = save_model("sklearn", fitted, folder)
    manifest = ModelManifest(
        model="ages",
        task=signature.task,
        flavour="sklearn",
        files=files,
        signature=signature,
        feature_schema_id=new_schema_id(signature),
        training=TrainingLineage(recipe="test"),
        environment=environment("sklearn"),
    )
    (folder / "manifest.json").write_bytes(ManifestFile.write(manifest).data)
    return manifest


def a_model(folder: Path, table: pa.Table, *, invert: bool = False, signature: Signature = BINARY) -> ModelManifest:
    """A linear model in `folder`; `invert` trains it on inverted labels."""
    from sklearn.linear_model import LogisticRegression, Ridge

    numeric, categorical = inputs_of(table, signature)
    encoding = Encoding.learn(numeric, categorical, signature.classes)
    matrix = encoding.matrix(numeric, categorical)
    labels = table["label"].to_pylist()
    if signature.task is Task.REGRESSION:
        return write_version(folder, FittedSklearn(Ridge(alpha=1e-3).fit(matrix, labels), encoding), signature)
    places = np.array([signature.classes.index(label) for label in labels])
    places = len(signature.classes) - 1 - places if invert else places
    estimator = LogisticRegression(max_iter=500).fit(matrix, places)
    return write_version(folder, FittedSklearn(estimator, encoding), signature)


def three_classes(table: pa.Table) -> pa.Table:
    """The table with the age group as its label."""
    groups = ["young" if age < 30 else "middle" if age < 45 else "old" for age in table["age"].to_pylist()]
    return table.set_column(table.column_names.index("label"), "label", pa.array(groups))


def income(table: pa.Table, seed: int, noise: float = 5.0) -> pa.Table:
    """The table with a value that grows with age as its label."""
    values = 100 * table["age"].to_numpy() + np.random.default_rng(seed).normal(0, noise, len(table))
    return table.set_column(table.column_names.index("label"), "label", pa.array(values))


def compared(scorer: ScorerProcesses, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Measure and compare, as an evaluation does."""
    old = "champion" if job["baseline"] is None else None
    costs = {f"{side}_cost": scorer.measure(folder, side) for side in (old, "challenger") if side}
    return {**scorer.compare(folder, {"old": old, "new": "challenger", **job}), **costs}


def compare_job(**changes: Any) -> dict[str, Any]:
    defaults = {"metric": "accuracy", "confidence": 0.95, "seed": 1, "baseline": None, "label_column": "label"}
    return {**defaults, **changes}


def pin_job(**changes: Any) -> dict[str, Any]:
    signature = changes.pop("signature", BINARY)
    return {
        "model": "ages",
        "source": "dataset",
        "dataset_digest": "sha256:0",
        "target": "label",
        "time_column": "occurred_at",
        "train_from": START.isoformat(),
        "as_of": START.isoformat(),
        "signatures": {"sig": signature.model_dump(mode="json")},
        **changes,
    }


@pytest.fixture
def scorer(zygote: Zygote) -> ScorerProcesses:
    return ScorerProcesses(zygote, {}, timeout_s=100.0)


@pytest.mark.slow
@pytest.mark.parametrize("idle_s", [300.0, 0.0], ids=["forked", "plain"])
def test_two_real_models_are_scored_and_compared(tmp_path: Path, zygote: Zygote, idle_s: float) -> None:
    scorer = ScorerProcesses(zygote if idle_s else scorer_zygote(idle_s), {}, timeout_s=100.0)
    pq.write_table(a_table(600, seed=1), tmp_path / "rows.parquet")
    a_model(tmp_path / "challenger", a_table(400))
    a_model(tmp_path / "champion", a_table(400), invert=True)

    found = compared(scorer, tmp_path, compare_job())

    assert found["rows"] == 600
    assert 0.85 < found["challenger"] < 0.95
    assert found["champion"] < 0.15
    assert found["low"] > 0.6
    for side in ("champion_cost", "challenger_cost"):
        assert 0 < found[side]["latency_ms_p95"] < 1_000
        assert 20 < found[side]["memory_mib"] < 1_000
    assert sum(part["rows"] for part in found["by_class"].values()) == 600
    assert {one["right"] for one in found["disagreements"]} == {"challenger", "champion"}
    assert len(found["disagreements"]) <= 2 * ROWS


@pytest.mark.slow
def test_a_first_version_is_compared_with_the_majority_class_on_held_out_rows(
    tmp_path: Path, scorer: ScorerProcesses
) -> None:
    table = a_table(1_000)
    place = table.column_names.index("label")
    unlabelled = table.set_column(place, "label", pa.array([None, "maybe"] * 500, pa.string()))
    later = pa.array([START + timedelta(minutes=600)] * 1_000, pa.timestamp("us", "UTC"))
    unlabelled = unlabelled.set_column(table.column_names.index("occurred_at"), "occurred_at", later)
    pq.write_table(pa.concat_tables([table, unlabelled]), tmp_path / "training.data")
    a_model(tmp_path / "challenger", table.slice(0, 600))
    until = START + timedelta(minutes=599)
    pinned = scorer.pin(tmp_path, pin_job(since=until.isoformat(), limit=300))
    found = compared(scorer, tmp_path, compare_job(baseline=pinned["baseline"]))

    assert (pinned["rows"], pinned["unusable"]) == (300, 500)  # a row without a label is not a labelled row
    held_out = pq.read_table(tmp_path / "rows.parquet")
    assert min(held_out["occurred_at"].to_pylist()) == START + timedelta(minutes=700)
    assert "champion_cost" not in found
    assert found["champion"] == pytest.approx(
        sum(label == pinned["baseline"]["class"] for label in held_out["label"].to_pylist()) / 300
    )
    assert found["low"] > 0


@pytest.mark.slow
def test_multiclass_models_are_compared_by_macro_f1(tmp_path: Path, scorer: ScorerProcesses) -> None:
    from sklearn.metrics import f1_score

    from modelyard_flavours import load_model

    table = three_classes(a_table(400, seed=1))
    pq.write_table(table, tmp_path / "rows.parquet")
    manifest = a_model(tmp_path / "challenger", three_classes(a_table(400)), signature=THREE)
    a_model(tmp_path / "champion", three_classes(a_table(400)), signature=THREE, invert=True)
    found = compared(scorer, tmp_path, compare_job(metric="macro_f1"))
    scores = load_model(manifest, tmp_path / "challenger").predict(*inputs_of(table, THREE))
    predicted = [THREE.classes[place] for place in scores.argmax(axis=1)]
    assert found["challenger"] == pytest.approx(f1_score(table["label"].to_pylist(), predicted, average="macro"))
    assert found["low"] > 0
    assert found["metrics"]["challenger"]["macro_f1"] == found["challenger"]
    assert set(found["by_class"]) == set(THREE.classes)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["mae", "rmse", "r2"])
def test_a_first_regression_is_compared_with_a_constant(tmp_path: Path, scorer: ScorerProcesses, metric: str) -> None:
    table = income(a_table(1_000), seed=1)
    pq.write_table(table, tmp_path / "training.data")
    a_model(tmp_path / "challenger", table.slice(0, 600), signature=VALUE)
    since = (START + timedelta(minutes=599)).isoformat()
    pinned = scorer.pin(tmp_path, pin_job(since=since, limit=300, signature=VALUE))
    labels = np.array(table["label"].to_pylist())
    assert pinned["baseline"] == pytest.approx({"mean": labels[:600].mean(), "median": np.median(labels[:600])})
    found = compared(scorer, tmp_path, compare_job(metric=metric, baseline=pinned["baseline"]))
    assert found["rows"] == 300
    assert (found["low"] > 0) is (metric == "r2")
    assert found["metrics"]["challenger"]["mae"] < 10
    assert found["metrics"]["champion"]["mae"] > 500


@pytest.mark.slow
def test_no_column_name_of_a_training_dataset_is_reserved(tmp_path: Path, scorer: ScorerProcesses) -> None:
    signature = Signature(columns=(Column(name="prediction_id"), Column(name="label_")), output=BINARY.output)
    table = a_table(400).rename_columns(["prediction_id", "label_", "label", "occurred_at"])
    table = table.set_column(1, "label_", pa.array(np.arange(400.0)))
    pq.write_table(table, tmp_path / "training.data")
    a_model(tmp_path / "challenger", table, signature=signature)
    job = pin_job(since=(START + timedelta(minutes=200)).isoformat(), limit=300, signature=signature)
    pinned = scorer.pin(tmp_path, job)
    assert pinned["columns"].keys() == {"prediction_id", "label_", "label__", "occurred_at__"}
    found = compared(scorer, tmp_path, compare_job(baseline=pinned["baseline"], label_column=pinned["label_column"]))
    assert found["challenger"] > 0.8


@pytest.mark.slow
def test_a_csv_file_in_row_order_is_pinned_like_parquet(tmp_path: Path, scorer: ScorerProcesses) -> None:
    table = a_table(100).rename_columns(["age", "colour", "member", "when"]).drop_columns(["when"])
    pyarrow.csv.write_csv(table, tmp_path / "training.data")
    job = pin_job(since=(START + timedelta(seconds=59)).isoformat(), limit=300, target="member", time_column=ROW_ORDER)
    pinned = scorer.pin(tmp_path, job)
    held_out = pq.read_table(tmp_path / "rows.parquet")
    assert pinned["rows"] == 40
    assert held_out["label"].to_pylist() == table["member"].to_pylist()[60:]
    assert held_out["age"].to_pylist() == pytest.approx(table["age"].to_pylist()[60:])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"age": ["a"], "label": ["yes"]}, "column age"),
        ({"age": [1.0], "other": ["yes"]}, "no column label"),
        (None, "neither a parquet nor a CSV file"),
    ],
)
def test_an_unusable_training_dataset_is_named(
    tmp_path: Path, scorer: ScorerProcesses, columns: dict[str, Any] | None, message: str
) -> None:
    file = tmp_path / "training.data"
    if columns is None:
        file.write_bytes(b'"a\n')
    else:
        pq.write_table(pa.table(columns), file)
    with pytest.raises(NotMeasurable, match=message):
        scorer.pin(tmp_path, pin_job(since=START.isoformat(), limit=300, time_column=ROW_ORDER))


def test_booleans_and_timestamps_of_a_dataset_become_numbers() -> None:
    columns = (Column(name="paid", type=ColumnType.BOOLEAN), Column(name="at", type=ColumnType.TIMESTAMP))
    at = pa.array([START, None], pa.timestamp("us", "UTC"))
    numeric, texts = inputs_of(
        pa.table({"paid": [True, None], "at": at}), Signature(columns=columns, output=BINARY.output)
    )
    assert numeric[0].tolist() == [1.0, START.timestamp()]
    assert np.isnan(numeric[1]).all()
    assert texts.shape == (2, 0)


@pytest.mark.slow
def test_log_loss_of_real_models(tmp_path: Path, scorer: ScorerProcesses) -> None:
    from sklearn.metrics import log_loss

    from modelyard_flavours import load_model

    table = a_table(400, seed=1)
    pq.write_table(table, tmp_path / "rows.parquet")
    manifest = a_model(tmp_path / "challenger", a_table(400))
    a_model(tmp_path / "champion", a_table(40, seed=9))
    found = compared(scorer, tmp_path, compare_job(metric="log_loss"))
    scores = load_model(manifest, tmp_path / "challenger").predict(
        table["age"].to_numpy().reshape(-1, 1), np.array(table["colour"].to_pylist(), dtype=object).reshape(-1, 1)
    )
    assert found["challenger"] == pytest.approx(log_loss(table["label"].to_pylist(), scores, labels=["no", "yes"]))


def test_the_same_rows_are_pinned_to_the_same_bytes(tmp_path: Path, scorer: ScorerProcesses) -> None:
    pq.write_table(a_table(1_000), tmp_path / "training.data")
    job = pin_job(since=START.isoformat(), limit=300)
    bytes_of = []
    for _ in range(2):
        scorer.pin(tmp_path, job)
        bytes_of.append((tmp_path / "rows.parquet").read_bytes())
    assert bytes_of[0] == bytes_of[1]


@pytest.mark.slow
def test_an_altered_challenger_is_reported_as_broken(tmp_path: Path, scorer: ScorerProcesses) -> None:
    pq.write_table(a_table(100), tmp_path / "rows.parquet")
    a_model(tmp_path / "challenger", a_table(400))
    (tmp_path / "challenger" / "model.skops").write_bytes(b"no zip at all")
    with pytest.raises(ChallengerBroken, match=r"model\.skops"):
        compared(scorer, tmp_path, compare_job(baseline=NO))


@pytest.mark.slow
def test_a_broken_champion_is_not_evidence_against_the_challenger(tmp_path: Path, scorer: ScorerProcesses) -> None:
    pq.write_table(a_table(100), tmp_path / "rows.parquet")
    a_model(tmp_path / "champion", a_table(400))
    (tmp_path / "champion" / "model.skops").unlink()
    with pytest.raises(NotMeasurable, match="champion"):
        compared(scorer, tmp_path, compare_job())


@pytest.mark.parametrize(
    ("limit", "message"), [({"memory_limit_mib": 8.0}, "MiB"), ({"timeout_s": 0.05}, r"more than 0\.05 s")]
)
def test_a_challenger_over_a_limit_is_killed_and_the_limit_named(
    tmp_path: Path, zygote: Zygote, monkeypatch: pytest.MonkeyPatch, limit: dict[str, Any], message: str
) -> None:
    """The wall-clock limit is raised, so that a busy machine does not trigger it first."""
    monkeypatch.setattr(processes, "WALL_SHARE", 500.0)
    pq.write_table(pa.concat_tables([a_table(1_000)] * 500), tmp_path / "rows.parquet")
    a_model(tmp_path / "challenger", a_table(400))
    with pytest.raises(ChallengerBroken, match=message):
        compared(ScorerProcesses(zygote, {}, **limit), tmp_path, compare_job(baseline=NO))


def test_a_comparison_over_its_limit_is_retried_and_not_evidence(
    tmp_path: Path, scorer: ScorerProcesses, zygote: Zygote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "WALL_SHARE", 5_000.0)
    pq.write_table(a_table(2_000), tmp_path / "rows.parquet")
    a_model(tmp_path / "challenger", a_table(400))
    scorer.measure(tmp_path, "challenger")
    limited = ScorerProcesses(zygote, {}, timeout_s=0.01)
    with pytest.raises(Unreachable, match="compare used more than"):
        limited.compare(tmp_path, {"old": None, "new": "challenger", **compare_job(metric="macro_f1", baseline=NO)})


def test_both_sides_start_from_the_same_memory(tmp_path: Path, scorer: ScorerProcesses) -> None:
    """The same version twice: any difference is noise."""
    pq.write_table(a_table(300), tmp_path / "rows.parquet")
    for side in ("challenger", "champion"):
        a_model(tmp_path / side, a_table(400))
    found = compared(scorer, tmp_path, compare_job())
    assert found["challenger_cost"]["memory_mib"] == pytest.approx(found["champion_cost"]["memory_mib"], abs=5.0)


def test_scoring_continues_after_its_parent_was_killed(tmp_path: Path, scorer: ScorerProcesses, zygote: Zygote) -> None:
    pq.write_table(a_table(300), tmp_path / "rows.parquet")
    a_model(tmp_path / "challenger", a_table(400))
    first = compared(scorer, tmp_path, compare_job(baseline=NO))
    assert zygote.pid is not None
    os.kill(zygote.pid, signal.SIGKILL)
    second = compared(scorer, tmp_path, compare_job(baseline=NO))
    assert second["challenger"] == first["challenger"]


def test_measuring_does_not_import_pandas_and_missing_numbers_stay_missing(tmp_path: Path) -> None:
    table = pa.table({"age": pa.array([1.0, None, 3.0]), "colour": pa.array(["red", None, "blue"])})
    pq.write_table(table, tmp_path / "rows.parquet")
    manifest = a_model(tmp_path / "challenger", a_table(400))
    numeric, categorical = inputs_of(table, manifest.signature)
    assert numeric[:, 0].tolist() == pytest.approx([1.0, np.nan, 3.0], nan_ok=True)
    assert categorical[:, 0].tolist() == ["red", None, "blue"]
    pq.write_table(a_table(100), tmp_path / "rows.parquet")
    run = "import sys; from modelyard_evaluator.scoring.measure import run; run(Path('.'), {'side': 'challenger'})"
    code = f"from pathlib import Path; {run}; sys.exit('pandas' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=100).returncode == 0


def test_scoring_processes_and_their_parent_receive_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_ADMIN_KEY_FILE", "/secret")
    seen: list[dict[str, str]] = []
    real_spawn: Any = Zygote.spawn
    real_popen: Any = subprocess.Popen

    def spawn(self: Zygote, *arguments: Any, env: dict[str, str], **options: Any) -> Any:
        seen.append(env)
        return real_spawn(self, *arguments, env=env, **options)

    def popen(*arguments: Any, env: dict[str, str], **options: Any) -> Any:
        seen.append(env)
        return real_popen(*arguments, env=env, **options)

    monkeypatch.setattr(Zygote, "spawn", spawn)
    monkeypatch.setattr(subprocess, "Popen", popen)
    pq.write_table(a_table(50), tmp_path / "rows.parquet")
    zygote = scorer_zygote(idle_s=60.0)
    with pytest.raises(Unreachable, match=r"manifest\.json"):
        compared(ScorerProcesses(zygote, {"CLICKHOUSE_PASSWORD": "x"}), tmp_path, compare_job(baseline=NO))
    zygote.close()
    assert len(seen) == 2
    for given in seen:
        assert given["OMP_NUM_THREADS"] == "1"
        assert "MODELYARD_ADMIN_KEY_FILE" not in given
        assert "CLICKHOUSE_PASSWORD" not in given


def test_held_out_rows_of_one_class_cannot_show_that_a_version_is_better(tmp_path: Path) -> None:
    pq.write_table(pa.table({"label": ["no"] * 40}), tmp_path / "rows.parquet")
    np.savez(tmp_path / "challenger.npz", scores=np.tile([0.9, 0.1], (40, 1)), classes=np.array(["no", "yes"]))
    job = {
        "metric": "accuracy",
        "old": None,
        "new": "challenger",
        "label_column": "label",
        "confidence": 0.95,
        "seed": 1,
    }
    with pytest.raises(RowsUnusable, match=r"have the class 'no'.* in the order of time, not of the target"):
        compare.run(tmp_path, {**job, "baseline": {"class": "yes"}})


def test_rows_on_which_one_side_is_right_are_the_newest_ones_with_both_answers(tmp_path: Path) -> None:
    labels = ["no", "yes", "yes", "no"] + ["yes"] * ROWS
    columns = {"age": [float("nan"), *map(float, range(len(labels) - 1))], "note": ["x" * 999] * len(labels)}
    table = pa.table({**columns, "label": labels})
    always = np.tile([0.0, 1.0], (len(labels), 1))
    classes = np.array(["no", "yes"])
    np.savez(tmp_path / "challenger.npz", scores=always, classes=classes)
    np.savez(tmp_path / "champion.npz", scores=always[:, ::-1], classes=classes)
    found = disagreements(table, tmp_path, {"label_column": "label", "old": "champion", "new": "challenger"})
    newest, *_, oldest = found
    assert [one["right"] for one in found] == ["challenger"] * ROWS + ["champion"] * 2
    assert (newest["label"], newest["champion"], newest["challenger"]) == ("yes", "no", "yes")
    assert newest["row"] == {"age": float(len(labels) - 2), "note": "x" * 200}
    assert (oldest["row"]["age"], oldest["label"]) == (None, "no")
