"""The recipes themselves, and in a worker process as the service starts it."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelyard_contracts.manifest import HOLDOUT_FACT, LEARNED, ManifestFile, ModelManifest, has_learned_everything
from modelyard_contracts.signature import Signature, Task
from modelyard_devstack.testing import wait_until
from modelyard_flavours import load_model
from modelyard_trainer.domain.data import DataSpec
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.domain.recipes import (
    RECIPES,
    RegressorParameters,
    TabularParameters,
    TextParameters,
    check_fits,
)
from modelyard_trainer.domain.split import Fold, Split, split_rows
from modelyard_trainer.jobs.processes import Workers
from modelyard_trainer.jobs.rundir import RunDir, file_digest
from modelyard_trainer.recipes.estimators import fit_tabular, newest
from modelyard_trainer.recipes.selection import (
    Candidate,
    Tried,
    attempt,
    baseline,
    choose,
    fit_and_save,
    usable_folds,
    value_of,
)
from modelyard_trainer.recipes.text_model import fit_text
from modelyard_trainer.worker.balance import check_held_out, with_metric
from modelyard_trainer.worker.dataset import Dataset, rows_of
from modelyard_trainer.worker.metrics import figures
from modelyard_trainer.worker.signature import signature_of
from modelyard_trainer.worker.work import Rows

from .helpers.data import all_types_table, moments, text_table, training_table
from .helpers.requests import request

REFERENCE = {"accuracy": 0.5, "mae": 2.0}


def tried(name: str, accuracy: float, row_ms: float) -> Tried:
    return Tried(name, {"accuracy": accuracy}, 0.1, row_ms)


def test_the_better_candidate_wins_unless_it_takes_too_much_time_per_row() -> None:
    parameters = TabularParameters(metric="accuracy", latency_penalty_per_ms=0.002)
    free = parameters.model_copy(update={"latency_penalty_per_ms": 0.0})
    slow, fast = tried("slow", 0.900, 5.0), tried("fast", 0.895, 0.1)
    assert choose([slow, fast], parameters, REFERENCE).name == "fast"  # 0.900 - 0.0100 < 0.895 - 0.0002
    assert choose([slow, fast], free, REFERENCE).name == "slow"
    even = [tried("a", 0.9, 1.0), tried("b", 0.9, 0.5)]
    assert choose(even, free, REFERENCE).name == "b"
    assert choose([Tried("broken", error="no"), fast], free, REFERENCE).name == "fast"


def test_errors_of_values_are_compared_relative_to_the_baseline() -> None:
    parameters = RegressorParameters(latency_penalty_per_ms=0.0)
    close, far = Tried("close", {"mae": 0.5}), Tried("far", {"mae": 1.5})
    assert choose([close, far], parameters, REFERENCE).name == "close"
    assert value_of("mae", close.figures, REFERENCE) == pytest.approx(0.75)  # 1 - 0.5 / 2


def test_class_metrics_agree_with_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss

    rng = np.random.default_rng(2)
    labels, scores = rng.integers(0, 3, 60), rng.dirichlet([1, 1, 1, 1], 60)
    found = figures(labels, scores)
    predicted = scores.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a predicted class that does not occur
        assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert found["log_loss"] == pytest.approx(log_loss(labels, scores, labels=[0, 1, 2, 3]))


def test_value_metrics_agree_with_scikit_learn() -> None:
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    rng = np.random.default_rng(2)
    targets, values = rng.normal(size=50), rng.normal(size=(50, 1))
    found = figures(targets, values)
    assert found["mae"] == pytest.approx(mean_absolute_error(targets, values))
    assert found["rmse"] == pytest.approx(mean_squared_error(targets, values) ** 0.5)
    assert found["r2"] == pytest.approx(r2_score(targets, values))


def rows_with(table: Any, spec: DataSpec) -> tuple[Rows, Signature]:
    signature = signature_of(table, spec, "occurred_at", None)
    return rows_of(Dataset(table, signature, spec.target, "occurred_at")), signature


FOLDS = [Fold(600, 700, 0.5), Fold(700, 800, 0.5)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["logistic", "boosting", "boosting-recent", "extra-trees"])
def test_each_classifier_beats_the_majority_and_answers_a_row_quickly(name: str) -> None:
    rows, signature = rows_with(training_table(800), DataSpec())
    found = attempt(fit_tabular, Candidate(name), TabularParameters(), rows, FOLDS, signature)
    assert not found.error and found.row_ms < 20
    assert found.figures["accuracy"] > baseline(rows, FOLDS, signature)["accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["logistic", "boosting", "boosting-recent", "extra-trees"])
def test_a_column_without_any_value_keeps_no_candidate_from_being_fitted(name: str) -> None:
    rows, signature = rows_with(training_table(800), DataSpec())
    rows.numeric[:, 0] = np.nan
    found = attempt(fit_tabular, Candidate(name), TabularParameters(), rows, FOLDS, signature)
    assert not found.error


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear", "boosting", "boosting-recent", "extra-trees"])
def test_each_regressor_beats_the_median_on_columns_of_every_type(name: str) -> None:
    rows, signature = rows_with(all_types_table(800), DataSpec(target="value"))
    found = attempt(fit_tabular, Candidate(name), RegressorParameters(), rows, FOLDS, signature)
    assert not found.error, found.error
    assert found.figures["mae"] < 0.6 * baseline(rows, FOLDS, signature)["mae"]


@pytest.mark.parametrize("name", ["weak", "medium"])
def test_each_text_classifier_learns_three_classes(name: str) -> None:
    rows, signature = rows_with(text_table(800), DataSpec())
    found = attempt(fit_text, Candidate(name), TextParameters(), rows, FOLDS, signature)
    assert not found.error, found.error
    assert found.figures["macro_f1"] > 0.95


def test_a_text_classifier_saves_what_it_predicts(tmp_path: Path) -> None:
    rows, signature = rows_with(text_table(), DataSpec())
    flavour, files, outputs = fit_and_save(
        fit_text, Candidate("medium"), TextParameters(), rows, rows.part(200, 300), signature
    )
    assert flavour == "text-linear" and [entry.path for entry in files.write(tmp_path)] == [
        "model.safetensors",
        "vocabulary.json",
    ]
    assert (outputs.argmax(axis=1) == rows.targets[200:]).mean() > 0.95


def test_a_winner_that_learns_the_held_out_rows_is_judged_before_it_does() -> None:
    rows, signature = rows_with(training_table(400), DataSpec())
    used, holdout = rows.part(0, 300), rows.part(300, 400)

    learned: list[int] = []

    def fit(name: str, parameters: Any, rows: Rows, signature: Signature) -> Any:
        learned.append(len(rows))
        return fit_tabular(name, parameters, rows, signature)

    def outputs(all_rows: Rows | None) -> Any:
        return fit_and_save(fit, Candidate("logistic"), TabularParameters(), used, holdout, signature, all_rows)[2]

    assert np.array_equal(outputs(None), outputs(rows)), "outputs of a model that did not learn from these rows"
    assert learned == [300, 300, 400]


def test_a_candidate_that_fails_is_reported_and_the_others_go_on() -> None:
    rows, signature = rows_with(training_table(800), DataSpec())
    found = attempt(fit_text, Candidate("medium"), TextParameters(min_documents=900), rows, FOLDS, signature)
    assert found.error.startswith("BadRequest: dataset: no word occurs in 900 texts")


@pytest.mark.parametrize("huge", [1e39, 1.7e308, np.inf])
@pytest.mark.parametrize("name", ["logistic", "boosting", "boosting-recent", "extra-trees"])
def test_an_extreme_value_does_not_end_a_training(name: str, huge: float) -> None:
    rows, signature = rows_with(training_table(800), DataSpec())
    rows.numeric[3, 0], rows.numeric[650, 1] = huge, -huge
    found = attempt(fit_tabular, Candidate(name), TabularParameters(max_iterations=5), rows, FOLDS, signature)
    assert not found.error and found.figures["accuracy"] > 0.6


def test_a_recent_candidate_uses_the_newer_half_unless_a_class_is_missing_there() -> None:
    rows, _ = rows_with(training_table(400), DataSpec())
    assert len(newest("boosting-recent", rows, Task.BINARY)) == 200
    assert len(newest("boosting", rows, Task.BINARY)) == 400
    rows.targets[200:] = 0
    assert len(newest("boosting-recent", rows, Task.BINARY)) == 400


def test_newer_folds_count_more_and_every_fold_follows_its_training_rows() -> None:
    folds = split_rows(1_400, 200).folds  # 1,200 used rows
    assert [(fold.start, fold.stop) for fold in folds] == [(600, 800), (800, 1_000), (1_000, 1_200)]
    assert [fold.weight for fold in folds] == pytest.approx([1 / 6, 2 / 6, 3 / 6])


def test_folds_with_one_class_are_left_out() -> None:
    rows, signature = rows_with(training_table(400), DataSpec())
    folds = (Fold(100, 200, 0.25), Fold(200, 400, 0.75))
    rows.targets[:150] = 0
    assert usable_folds(rows, folds, signature) == (Fold(200, 400, 1.0),)
    rows.targets[:] = 0
    assert usable_folds(rows, folds, signature) == ()


def test_a_candidate_that_only_wins_on_a_one_sided_newest_fold_is_not_chosen() -> None:
    """The newest sixth is almost one class, and the half before it teaches the wrong rule for the rest."""
    rng = np.random.default_rng(9)
    count = 1_200
    x = rng.normal(size=count)
    labels = x > 0
    labels[1_000:] = rng.random(200) < 0.98
    table = pa.table({"x": x, "label": np.where(labels, "yes", "no"), "occurred_at": moments(count)})
    rows, signature = rows_with(table, DataSpec())
    folds = Split(train=0, used=count, rows=count).folds
    found = [
        attempt(fit_tabular, Candidate(name), TabularParameters(max_iterations=10), rows, folds, signature)
        for name in ("boosting", "boosting-recent")
    ]
    constant = Tried("always-yes", baseline_of_class(rows, folds), row_ms=0.0)
    best = choose([*found, constant], TabularParameters(metric="accuracy"), baseline(rows, folds, signature))
    assert best.name != "always-yes"


def baseline_of_class(rows: Rows, folds: tuple[Fold, ...]) -> dict[str, float]:
    yes = [float((rows.targets[fold.start : fold.stop] == 1).mean()) * fold.weight for fold in folds]
    return {"accuracy": sum(yes)}


@pytest.mark.parametrize(
    ("recipe", "table", "message"),
    [
        (
            "tabular-regressor",
            training_table(),
            "trains regression from columns, not binary from columns; use tabular-c",
        ),
        ("tabular-classifier", text_table(), "not multiclass from text; use text-classifier"),
        ("torch-mlp", all_types_table(), "not regression from columns; use tabular-regressor"),
    ],
)
def test_a_recipe_that_does_not_fit_the_data_is_refused_with_the_right_one(
    recipe: str, table: Any, message: str
) -> None:
    target = "value" if "value" in table.column_names else "label"
    _, signature = rows_with(table, DataSpec(target=target))
    with pytest.raises(BadRequest, match=message):
        check_fits(RECIPES[recipe], signature)


def prepared(folder: Path, recipe: str, table: Any = None, *, learn_holdout: bool = False, **parameters: str) -> RunDir:
    folder.mkdir()
    table = training_table(1_200) if table is None else table
    pq.write_table(table, folder / "data.parquet")
    run_dir = RunDir(folder)
    target = "value" if "value" in table.column_names else "label"
    run_dir.prepare(
        request(
            recipe=recipe,
            parameters=parameters,
            holdout_rows=200,
            learn_holdout=learn_holdout,
            given_dataset=file_digest(run_dir.data),
            data=DataSpec(target=target).model_dump(mode="json"),
        )
    )
    return run_dir


def train(run_dir: RunDir, timeout_s: float, **env: str) -> ModelManifest:
    command = [sys.executable, "-m", "modelyard_trainer.worker", str(run_dir.path)]
    with run_dir.log.open("ab") as log:
        subprocess.run(
            command, check=False, timeout=timeout_s, stdout=log, stderr=log, cwd=run_dir.path, env={**os.environ, **env}
        )
    assert run_dir.failure is None, run_dir.failure
    assert run_dir.result is not None, run_dir.log_tail
    return ManifestFile.read(run_dir.manifest).manifest


def held_out(run_dir: RunDir, manifest: ModelManifest) -> tuple[Any, Any]:
    """Targets of the held-out rows, and the loaded model's outputs on them."""
    table = pq.ParquetFile(run_dir.data).read()
    rows = rows_of(Dataset(table, manifest.signature, manifest.signature.target, "occurred_at"))
    kept = rows.part(len(rows) - 200, len(rows))
    return kept.targets, load_model(manifest, run_dir.model).predict(kept.numeric, kept.categorical)


def accuracy(run_dir: RunDir, manifest: ModelManifest) -> float:
    targets, outputs = held_out(run_dir, manifest)
    return float((outputs.argmax(axis=1) == targets).mean())


def ray_processes(folder: Path) -> list[Any]:
    lines = [(process, " ".join(process.info["cmdline"] or [])) for process in psutil.process_iter(["cmdline"])]
    return [process for process, line in lines if str(folder) in line and "ray" in line]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_tabular_classifier_trains_candidates_on_ray_and_leaves_nothing_running(tmp_path: Path, loopback: None) -> None:
    run_dir = prepared(tmp_path / "run", "tabular-classifier")
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as temporary:  # short, for Ray's sockets
        manifest = train(run_dir, 280, TMPDIR=temporary)
        assert not list(Path(temporary).glob("*ray*"))

    lineage = manifest.training
    tried = {name for name in lineage.metrics if name.startswith("candidate_")}
    assert len(tried) == 4 and lineage.parameters["winner"] in {name.removeprefix("candidate_") for name in tried}
    assert lineage.parameters["candidates"] == "logistic,boosting,boosting-recent,extra-trees"
    assert lineage.metrics["beats_baseline"] == 1.0
    assert accuracy(run_dir, manifest) == pytest.approx(lineage.metrics["accuracy"], abs=1e-6)
    assert lineage.metrics["accuracy"] > 0.8
    assert manifest.reference is not None and manifest.reference.error_rate == pytest.approx(
        1 - lineage.metrics["accuracy"], abs=1e-6
    )
    assert not ray_processes(tmp_path)
    assert not (run_dir.path / "ray-dir.txt").exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_version_that_learned_every_row_states_it_and_its_reference_is_from_before(
    tmp_path: Path, loopback: None
) -> None:
    found = []
    for learn in (False, True):
        run_dir = prepared(tmp_path / f"run-{learn}", "tabular-classifier", learn_holdout=learn, candidates="logistic")
        with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as temporary:
            found.append((run_dir, train(run_dir, 280, TMPDIR=temporary)))
    (first_dir, first), (second_dir, second) = found
    assert (HOLDOUT_FACT in first.training.parameters, second.training.parameters[HOLDOUT_FACT]) == (False, LEARNED)
    assert (has_learned_everything(first), has_learned_everything(second)) == (False, True)
    times = pq.ParquetFile(second_dir.data).read()["occurred_at"].to_pylist()
    assert first.training.train_until is not None and second.training.train_until == max(times)
    assert first.training.train_until < max(times)
    assert first.reference == second.reference
    assert first.training.metrics["accuracy"] == second.training.metrics["accuracy"]
    assert accuracy(first_dir, first) == pytest.approx(first.training.metrics["accuracy"], abs=1e-6)
    assert not np.array_equal(held_out(first_dir, first)[1], held_out(second_dir, second)[1])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("task", ["regression", "text"])
def test_the_built_in_recipe_of_the_task_is_used_if_none_is_named(tmp_path: Path, loopback: None, task: str) -> None:
    table = all_types_table(1_200) if task == "regression" else text_table(1_200)
    run_dir = prepared(tmp_path / "run", "auto", table)
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as temporary:
        manifest = train(run_dir, 280, TMPDIR=temporary)
    targets, outputs = held_out(run_dir, manifest)
    reference, metrics = manifest.reference, manifest.training.metrics
    assert reference is not None and reference.score is not None and sum(reference.score.counts) == 200
    if task == "text":
        assert (manifest.training.recipe, manifest.flavour) == ("text-classifier", "text-linear")
        assert metrics["macro_f1"] > 0.9 and reference.classes is not None
        assert reference.features[0].edges  # lengths of the texts
    else:
        assert (manifest.training.recipe, manifest.flavour) == ("tabular-regressor", "sklearn")
        mae = float(np.abs(outputs[:, 0] - targets).mean())
        assert metrics["mae"] == pytest.approx(mae, abs=1e-5) == reference.mean_absolute_error
        assert metrics["r2"] > 0.8 and reference.classes is None


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killing_a_worker_takes_its_ray_along(tmp_path: Path, loopback: None) -> None:
    workers = Workers(tmp_path, {})
    run_id = uuid4()
    run_dir = prepared(tmp_path / str(run_id), "tabular-classifier", max_iterations="2000")
    workers.start(run_id)
    wait_until(lambda: any("trying" in line["note"] for line in run_dir.progress), 200)
    pointer = Path((run_dir.path / "ray-dir.txt").read_text())
    started = [process for process in psutil.process_iter() if marked(process, run_dir)]
    assert pointer.is_dir() and len(started) >= 3

    workers.kill(run_id)

    _, alive = psutil.wait_procs(started, timeout=30)
    assert not alive and not pointer.exists()


def marked(process: psutil.Process, run_dir: RunDir) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get("MODELYARD_RUN_DIR") == str(run_dir.path.resolve())
    except (psutil.Error, OSError):
        return False


def needs_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        if os.environ.get("REQUIRE_TORCH") == "1":
            pytest.fail("REQUIRE_TORCH=1, but torch is not installed; pip install 'modelyard-trainer[torch]'")
        pytest.skip("torch is not installed; pip install 'modelyard-trainer[torch]'")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_torch_mlp_trains_with_two_workers_and_serves_without_torch(tmp_path: Path, loopback: None) -> None:
    needs_torch()
    run_dir = prepared(tmp_path / "run", "torch-mlp", epochs="6", hidden="16", learning_rate="0.01")
    manifest = train(run_dir, 580)

    assert manifest.flavour == "torch-mlp"
    assert accuracy(run_dir, manifest) > 0.7
    assert len(list(run_dir.path.glob("work/training/checkpoint*"))) >= 1
    assert "torch" not in manifest.environment
    program = (
        "import sys; from pathlib import Path; from modelyard_contracts.manifest import ModelManifest as M;"
        "from modelyard_flavours import load_model;"
        f"load_model(M.model_validate_json({manifest.model_dump_json()!r}), Path({str(run_dir.model)!r}));"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_the_metric_follows_the_class_balance_unless_it_is_named() -> None:
    rows, signature = rows_with(training_table(400), DataSpec())
    assert with_metric(TabularParameters(), rows, signature).metric == "accuracy"
    rows.targets[:] = 0
    rows.targets[:20] = 1
    assert with_metric(TabularParameters(), rows, signature).metric == "macro_f1"
    assert with_metric(TabularParameters(metric="log_loss"), rows, signature).metric == "log_loss"
    assert with_metric(RegressorParameters(), rows, signature).metric == "mae"


def test_held_out_rows_of_one_class_are_refused_with_the_remedy() -> None:
    rows, signature = rows_with(training_table(400), DataSpec())
    data, split = Dataset(training_table(400), signature, "label", "occurred_at"), split_rows(400, 50)
    check_held_out(rows, split, data)
    rows.targets[split.used :] = 1
    with pytest.raises(BadRequest, match=r"the newest 50 rows all have 'UP' as 'label', so they cannot .*shuffle them"):
        check_held_out(rows, split, data)
