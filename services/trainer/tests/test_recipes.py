"""The recipes themselves, and each once through Ray, in a process of its own, as the service starts it."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from modelyard_contracts.manifest import ModelManifest
from modelyard_flavours import Encoding, load_model
from modelyard_trainer.domain.recipes import TabularParameters
from modelyard_trainer.jobs.processes import Workers
from modelyard_trainer.jobs.rundir import RunDir, file_digest
from modelyard_trainer.recipes.candidates import Tried, attempt, newest
from modelyard_trainer.recipes.metrics import figures
from modelyard_trainer.recipes.tabular import choose
from modelyard_trainer.worker.dataset import rows_of, schema_of

from .helpers.data import training_table


def tried(name: str, accuracy: float, row_ms: float) -> Tried:
    return Tried(name, np.zeros((1, 2)), {"accuracy": accuracy}, 0.1, row_ms)


def test_the_better_candidate_wins_unless_it_costs_too_much_time_per_row() -> None:
    parameters = TabularParameters(latency_penalty_per_ms=0.002)
    slow, fast = tried("slow", 0.900, 5.0), tried("fast", 0.895, 0.1)
    assert choose([slow, fast], parameters).name == "fast"  # 0.900 - 0.0100 = 0.8900 < 0.895 - 0.0002 = 0.8948
    assert choose([slow, fast], parameters.model_copy(update={"latency_penalty_per_ms": 0.0})).name == "slow"
    even = [tried("a", 0.9, 1.0), tried("b", 0.9, 0.5)]
    assert choose(even, parameters.model_copy(update={"latency_penalty_per_ms": 0.0})).name == "b"


def test_figures_are_those_worked_out_by_hand() -> None:
    labels = np.array([0, 0, 0, 1])
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    found = figures(labels, scores)
    assert found["accuracy"] == pytest.approx(3 / 4)
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["log_loss"] == pytest.approx(np.log([0.9, 0.8, 0.4, 0.7]).mean())


@pytest.mark.parametrize("name", ["logistic", "boosting", "boosting-recent", "extra-trees"])
def test_each_candidate_beats_the_majority_and_answers_a_row_quickly(name: str) -> None:
    table = training_table(800)
    schema = schema_of(table, None)
    rows = rows_of(table, schema)
    encoding = Encoding.learn(rows.numeric, rows.categorical, schema.classes)
    found = attempt(name, TabularParameters(), rows.part(0, 600), rows.part(600, 800), encoding)
    majority = max(np.bincount(rows.labels[600:])) / 200
    assert found.figures["accuracy"] > majority
    assert found.scores.shape == (200, 2) and found.row_ms < 20


def test_a_recent_candidate_looks_at_the_newer_half_unless_a_class_is_missing_there() -> None:
    rows = rows_of(training_table(400), schema_of(training_table(400), None))
    assert len(newest("boosting-recent", rows)) == 200 and len(newest("boosting", rows)) == 400
    rows.labels[200:] = 0
    assert len(newest("boosting-recent", rows)) == 400


def prepared(folder: Path, recipe: str, **parameters: str) -> RunDir:
    folder.mkdir()
    table = training_table(1_200)
    pq.write_table(table, folder / "data.parquet")
    run_dir = RunDir(folder)
    run_dir.prepare(
        {
            "run_id": "r-1",
            "model": "shifts",
            "recipe": recipe,
            "recipes": {},
            "parameters": parameters,
            "holdout_rows": 200,
            "window_rows": 400,
            "as_of": "2026-03-01T00:00:00+00:00",
            "given_dataset": file_digest(run_dir.data),
            "feature_schema": None,
            "clickhouse": {},
            "ray_cpus": 2,
        }
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
    return ModelManifest.model_validate(run_dir.result["manifest"])


def accuracy(run_dir: RunDir, manifest: ModelManifest) -> float:
    """Of the loaded model on the rows that were kept."""
    kept = rows_of(pq.ParquetFile(run_dir.data).read(), manifest.feature_schema).part(1_000, 1_200)
    scores = load_model(manifest, run_dir.model).predict(kept.numeric, kept.categorical)
    return float((scores.argmax(axis=1) == kept.labels).mean())


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
    assert accuracy(run_dir, manifest) > 0.8
    assert manifest.reference is not None and manifest.reference.error_rate == pytest.approx(
        1 - lineage.metrics["validation_accuracy"], abs=1e-6
    )
    assert not ray_processes(tmp_path)
    assert not (run_dir.path / "ray-dir.txt").exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killing_a_worker_takes_its_ray_along(tmp_path: Path, loopback: None) -> None:
    workers = Workers(tmp_path, {})
    run_id = uuid4()
    run_dir = prepared(tmp_path / str(run_id), "tabular-classifier", max_iterations="2000")
    workers.start(run_id)
    deadline = time.monotonic() + 200
    while not any("trying" in line["note"] for line in run_dir.progress):
        assert time.monotonic() < deadline and workers.alive(run_id), run_dir.log_tail
        time.sleep(0.1)
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
