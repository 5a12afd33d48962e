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
import pyarrow.parquet as pq
import pytest

from modelyard_contracts.manifest import Feature, FeatureKind, FeatureSchema, ModelManifest, TrainingLineage, signed
from modelyard_evaluator.domain.errors import ChallengerBroken, NotMeasurable, Unreachable
from modelyard_evaluator.scoring import measure, processes
from modelyard_evaluator.scoring.processes import ScorerProcesses, scorer_zygote
from modelyard_flavours import Encoding, FittedSklearn, environment, save_model
from modelyard_zygote import Zygote

pytestmark = pytest.mark.process

START = datetime(2026, 1, 1, tzinfo=UTC)
SCHEMA = FeatureSchema(
    features=(Feature(name="age"), Feature(name="colour", kind=FeatureKind.CATEGORICAL)), classes=("no", "yes")
)


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


def a_model(folder: Path, table: pa.Table, *, invert: bool = False) -> ModelManifest:
    """A logistic regression in `folder`; `invert` trains it on inverted labels."""
    from sklearn.linear_model import LogisticRegression

    numeric = table["age"].to_numpy().reshape(-1, 1)
    categorical = np.array(table["colour"].to_pylist(), dtype=object).reshape(-1, 1)
    encoding = Encoding.learn(numeric, categorical, SCHEMA.classes)
    labels = (np.array(table["label"].to_pylist()) == "yes").astype(int)
    estimator = LogisticRegression(max_iter=500).fit(encoding.matrix(numeric, categorical), labels ^ invert)
    files = save_model("sklearn", FittedSklearn(estimator, encoding), folder)
    manifest = ModelManifest(
        model="ages",
        flavour="sklearn",
        files=files,
        **signed(SCHEMA),
        training=TrainingLineage(recipe="test"),
        environment=environment("sklearn"),
    )
    (folder / "manifest.json").write_bytes(manifest.canonical())
    return manifest


def compared(scorer: ScorerProcesses, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Measure and compare, as an evaluation does."""
    sides = ("challenger",) if job["baseline_class"] is not None else ("champion", "challenger")
    costs = {f"{side}_cost": scorer.measure(folder, side) for side in sides}
    return {**scorer.compare(folder, {"old": "champion", "new": "challenger", **job}), **costs}


def compare_job(**changes: Any) -> dict[str, Any]:
    return {"metric": "accuracy", "confidence": 0.95, "seed": 1, "baseline_class": None, **changes}


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


@pytest.mark.slow
def test_a_first_version_is_compared_with_the_majority_class_on_held_out_rows(
    tmp_path: Path, scorer: ScorerProcesses
) -> None:
    table = a_table(1_000)
    place = table.column_names.index("label")
    unlabelled = table.set_column(place, "label", pa.array([None, ""] * 500, pa.string()))
    pq.write_table(pa.concat_tables([table, unlabelled]), tmp_path / "training.parquet")
    a_model(tmp_path / "challenger", table.slice(0, 600))
    until = START + timedelta(minutes=599)
    job = {"model": "ages", "since": until.isoformat(), "as_of": until.isoformat(), "limit": 300}

    pinned = scorer.pin(tmp_path, {**job, "source": "dataset", "dataset_digest": "sha256:0"})
    found = compared(scorer, tmp_path, compare_job(baseline_class=pinned["baseline_class"]))

    assert pinned["rows"] == 300
    held_out = pq.read_table(tmp_path / "rows.parquet")
    assert min(held_out["occurred_at"].to_pylist()) == START + timedelta(minutes=700)
    assert "champion_cost" not in found
    assert found["champion"] == pytest.approx(
        sum(label == pinned["baseline_class"] for label in held_out["label"].to_pylist()) / 300
    )
    assert found["low"] > 0


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
    pq.write_table(a_table(1_000), tmp_path / "training.parquet")
    job = {"model": "m", "since": START.isoformat(), "as_of": START.isoformat(), "limit": 300, "dataset_digest": "x"}
    bytes_of = []
    for _ in range(2):
        scorer.pin(tmp_path, {**job, "source": "dataset"})
        bytes_of.append((tmp_path / "rows.parquet").read_bytes())
    assert bytes_of[0] == bytes_of[1]


@pytest.mark.slow
def test_an_altered_challenger_is_reported_as_broken(tmp_path: Path, scorer: ScorerProcesses) -> None:
    pq.write_table(a_table(100), tmp_path / "rows.parquet")
    a_model(tmp_path / "challenger", a_table(400))
    (tmp_path / "challenger" / "model.skops").write_bytes(b"no zip at all")
    with pytest.raises(ChallengerBroken, match=r"model\.skops"):
        compared(scorer, tmp_path, compare_job(baseline_class="no"))


@pytest.mark.slow
def test_a_broken_champion_is_not_evidence_against_the_challenger(tmp_path: Path, scorer: ScorerProcesses) -> None:
    pq.write_table(a_table(100), tmp_path / "rows.parquet")
    a_model(tmp_path / "champion", a_table(400))
    (tmp_path / "champion" / "model.skops").unlink()
    with pytest.raises(NotMeasurable, match="champion"):
        compared(scorer, tmp_path, compare_job())


@pytest.mark.parametrize(
    ("limit", "message"), [({"memory_limit_mib": 8.0}, "MiB"), ({"timeout_s": 0.2}, "more than 0.2 s")]
)
def test_a_challenger_over_a_limit_is_killed_and_the_limit_named(
    tmp_path: Path, zygote: Zygote, monkeypatch: pytest.MonkeyPatch, limit: dict[str, Any], message: str
) -> None:
    """The wall-clock limit is raised, so that a busy machine does not trigger it first."""
    monkeypatch.setattr(processes, "WALL_SHARE", 500.0)
    pq.write_table(pa.concat_tables([a_table(1_000)] * 500), tmp_path / "rows.parquet")
    a_model(tmp_path / "challenger", a_table(400))
    with pytest.raises(ChallengerBroken, match=message):
        compared(ScorerProcesses(zygote, {}, **limit), tmp_path, compare_job(baseline_class="no"))


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
    first = compared(scorer, tmp_path, compare_job(baseline_class="no"))
    assert zygote.pid is not None
    os.kill(zygote.pid, signal.SIGKILL)
    second = compared(scorer, tmp_path, compare_job(baseline_class="no"))
    assert second["challenger"] == first["challenger"]


def test_measuring_does_not_import_pandas_and_missing_numbers_stay_missing(tmp_path: Path) -> None:
    table = pa.table({"age": pa.array([1.0, None, 3.0]), "colour": pa.array(["red", None, "blue"])})
    pq.write_table(table, tmp_path / "rows.parquet")
    manifest = a_model(tmp_path / "challenger", a_table(400))
    numeric, categorical = measure.columns(table, manifest)
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
        compared(ScorerProcesses(zygote, {"CLICKHOUSE_PASSWORD": "x"}), tmp_path, compare_job(baseline_class="no"))
    zygote.close()
    assert len(seen) == 2
    for given in seen:
        assert given["OMP_NUM_THREADS"] == "1"
        assert "MODELYARD_ADMIN_KEY_FILE" not in given
        assert "CLICKHOUSE_PASSWORD" not in given
