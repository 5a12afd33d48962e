"""A learner's process on a real ClickHouse: each label once, in order, and the same result after a kill."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import clickhouse_connect
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelyard_contracts.manifest import ManifestFile, learner_of
from modelyard_contracts.signature import new_schema_id
from modelyard_flavours import load_model
from modelyard_trainer.jobs.rundir import RunDir
from modelyard_trainer.online.follow import Follower
from modelyard_trainer.online.labels import Cursor, Labels
from modelyard_trainer.online.state import Identity, LearnerState, load_state, save_state
from modelyard_trainer.worker.clickhouse import Query, clickhouse

from .helpers.data import START, training_signature, training_table, write_training_file

SIGNATURE = training_signature()
SIGNATURE_ID = new_schema_id(SIGNATURE)
LABELS = """
CREATE TABLE {database}.{table} (
    workspace String, model String, prediction_id String, label Nullable(String), value Nullable(Float64),
    received_at DateTime64(6, 'UTC'), matched UInt8, repeat UInt8, rejected LowCardinality(String),
    _partition UInt32, _offset UInt64, pass UInt64
) ENGINE = MergeTree ORDER BY (_partition, _offset)"""
PREDICTIONS = """
CREATE TABLE {database}.predictions (
    workspace String, model String, prediction_id String, status String, variant String,
    occurred_at DateTime64(6, 'UTC'),
    feature_schema_id Nullable(String), num_features Array(Nullable(Float64)), cat_features Array(Nullable(String))
) ENGINE = MergeTree ORDER BY prediction_id"""


class Log:
    """The monitor's tables, filled by hand."""

    def __init__(self, client: Any, database: str, query: Query) -> None:
        self._client, self._database, self.query = client, database, query
        client.command(f"CREATE DATABASE {database}")
        client.command(PREDICTIONS.format(database=database))
        for table in ("labels", "label_matches"):
            client.command(LABELS.format(database=database, table=table))
        self._rng = np.random.default_rng(3)

    def given(self, first: int, count: int, *, late: int | None = None, **changed: Any) -> None:
        """Labelled predictions number `first` and on; two partitions. late: round in which they were joined."""
        predictions, labels = [], []
        for number in range(first, first + count):
            x, y = self._rng.normal(size=2).tolist()
            at = START + timedelta(seconds=number)
            row: dict[str, Any] = {
                "model": "shifts", "label": "UP" if x > 0 else "DOWN", "repeat": 0, "numbers": [x, y], "texts": ["a"],
                "signature": SIGNATURE_ID, "status": "ok", "variant": "stable", "matched": 1, "rejected": "", **changed,
            }  # fmt: skip
            name, signature = f"p{number}", row["signature"]
            predictions.append(
                ["w", row["model"], name, row["status"], row["variant"], at, signature, row["numbers"], row["texts"]]
            )
            place = [row["matched"], row["repeat"], row["rejected"], number % 2, number // 2, late or 0]
            labels.append(["w", row["model"], name, row["label"], None, at, *place])
        self._client.insert(f"{self._database}.predictions", predictions)
        self._client.insert(f"{self._database}.{'label_matches' if late else 'labels'}", labels)

    def labels(self) -> Labels:
        return Labels(self.query, "shifts", SIGNATURE, SIGNATURE_ID)


@pytest.fixture
def log(devclickhouse: Any, unique: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    database, reader, writer = f"trainer_{unique}", devclickhouse.reader, devclickhouse.writer
    host, port = devclickhouse.url.removeprefix("http://").split(":")
    client = clickhouse_connect.get_client(host=host, port=int(port), username=writer.user, password=writer.password)
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", reader.password)
    yield Log(client, database, clickhouse({"url": devclickhouse.url, "user": reader.user, "database": database}))
    client.command(f"DROP DATABASE {database}")


def run_dir_at(folder: Path, **changed: Any) -> RunDir:
    run_dir = RunDir(folder)
    signature = SIGNATURE.model_dump(mode="json")
    request = {"model": "shifts", "kind": "linear", "signature": signature, "signature_id": SIGNATURE_ID}
    run_dir.prepare({**request, "publish_every_rows": 300, "window_rows": 4_000, **changed})
    return run_dir


def drained(labels: Labels, cursor: Cursor) -> tuple[list[Any], Cursor, int]:
    found: list[Any] = []
    read = 0
    while batch := labels.after(cursor):
        cursor = batch.cursor
        if not batch.read:
            break
        found, read = [*found, *batch.rows], read + batch.read
    return found, cursor, read


@pytest.mark.server
def test_each_label_is_read_once_in_order_also_one_that_was_joined_late(log: Log) -> None:
    log.given(0, 1_300)
    rows, cursor, _ = drained(log.labels(), Cursor())
    assert len(rows) == 1_300
    assert [row.predicted_at for row in rows] == sorted(row.predicted_at for row in rows)

    log.given(10_000, 700, late=1)
    log.given(1_300, 20)
    rows, cursor, _ = drained(log.labels(), cursor)
    assert len(rows) == 720
    assert drained(log.labels(), cursor)[0] == []
    log.given(9_000, 5, late=2)  # a later round holds labels that arrived earlier
    assert len(drained(log.labels(), cursor)[0]) == 5


@pytest.mark.server
def test_rows_that_cannot_be_used_are_left_out_and_counted(log: Log) -> None:
    log.given(0, 4)
    log.given(10, 1, numbers=[1.0])
    log.given(12, 1, label="SIDEWAYS")
    log.given(14, 1, label=None)
    log.given(16, 1, signature="fs-other")
    log.given(18, 1, variant="shadow")
    log.given(20, 1, repeat=1)
    log.given(22, 1, matched=0)
    log.given(24, 1, model="another")
    log.given(26, 1, numbers=[None, 1.0], texts=["unseen"])
    rows, _, read = drained(log.labels(), Cursor())
    assert (len(rows), read) == (5, 10)
    assert np.isnan(rows[-1].numbers[0])


@pytest.mark.server
def test_labels_that_the_monitor_rejected_are_not_read_and_take_no_place_in_the_window(log: Log) -> None:
    log.given(0, 40)
    log.given(100, 600, label="SIDEWAYS", rejected="unknown_class")
    log.given(1_000, 10)
    log.given(2_000, 20, label="SIDEWAYS", rejected="unknown_class", late=1)
    rows, _, read = drained(log.labels(), Cursor())
    assert (len(rows), read) == (50, 50)
    rows, _, read = drained(log.labels(), log.labels().start(30))
    assert (len(rows), read) == (30, 30)


@pytest.mark.server
def test_a_new_learner_starts_at_the_newest_rows_of_the_window(log: Log) -> None:
    log.given(0, 100)
    log.given(200, 50, model="another")
    assert len(drained(log.labels(), log.labels().start(30))[0]) == 30
    assert Labels(log.query, "unlabelled", SIGNATURE, SIGNATURE_ID).start(30).offsets == {0: 124, 1: 124}


@pytest.mark.server
@pytest.mark.parametrize("kind", ["linear", "forest"])
def test_a_killed_learner_continues_to_the_same_snapshot(log: Log, tmp_path: Path, kind: str) -> None:
    log.given(0, 700)
    whole = Follower(run_dir_at(tmp_path / "whole", kind=kind), log.query)
    whole.step()
    killed = Follower(run_dir_at(tmp_path / "killed", kind=kind), log.query)
    killed.step()
    log.given(700, 500)
    killed.step()  # not saved: this process dies before it can
    saved = load_state(tmp_path / "whole" / "state.pickle", whole.state.identity)
    assert saved is not None
    save_state(saved, tmp_path / "killed" / "state.pickle")
    whole.step()
    again = Follower(run_dir_at(tmp_path / "killed", kind=kind), log.query)
    again.step()

    assert again.state.learned == whole.state.learned == 1_200
    [one, other] = [max((tmp_path / name / "out").iterdir()) / "manifest.json" for name in ("whole", "killed")]
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.server
def test_a_snapshot_is_a_version_that_names_its_learner_and_predicts(log: Log, tmp_path: Path) -> None:
    log.given(0, 700)
    follower = Follower(run_dir_at(tmp_path), log.query)
    follower.step()
    log.given(700, 600)
    follower.step()

    folders = sorted((tmp_path / "out").iterdir())
    assert [folder.name for folder in folders] == ["000000000700", "000000001300"]
    manifest = ManifestFile.read((folders[1] / "manifest.json").read_bytes()).manifest
    assert (learner_of(manifest), manifest.training.recipe, manifest.training.run_id) == ("linear", "incremental", None)
    assert manifest.training.parameters["learned_rows"] == "1300"
    assert manifest.training.train_until == START + timedelta(seconds=1_299)
    assert manifest.training.metrics["accuracy"] > 0.9 > manifest.training.metrics["holdout_baseline_accuracy"]
    assert manifest.reference is not None
    assert manifest.reference.score is not None
    scores = load_model(manifest, folders[1] / "model").predict(
        np.array([[2.0, 0.0], [-2.0, 0.0]]), np.array([["a"], [None]], dtype=object)
    )
    assert scores[0, 1] > 0.8 > 0.2 > scores[1, 1]


@pytest.mark.server
def test_a_new_learner_begins_with_the_training_rows_of_the_serving_version(log: Log, tmp_path: Path) -> None:
    run_dir = run_dir_at(tmp_path, older_time="occurred_at")
    write_training_file(run_dir.older, rows=400)
    log.given(0, 10)
    follower = Follower(run_dir, log.query)
    assert follower.state.learned == 400
    follower.step()
    assert follower.state.learned == 410
    assert not (tmp_path / "out").exists()
    log.given(10, 50)  # the gate has labels to judge it by
    follower.step()
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["000000000460"]


@pytest.mark.server
def test_predictions_that_the_training_rows_hold_are_not_learned_again(log: Log, tmp_path: Path) -> None:
    run_dir = run_dir_at(tmp_path, older_time="occurred_at")
    table = training_table(400).append_column("prediction_id", pa.nulls(400, pa.string()))
    pq.write_table(table, run_dir.older)  # its last row is 399 minutes after the start
    log.given(399 * 60 - 9, 20)
    follower = Follower(run_dir, log.query)
    follower.step()
    assert follower.state.learned == 410


def test_another_signature_or_a_damaged_file_starts_anew(tmp_path: Path) -> None:
    identity = Identity("shifts", "linear", SIGNATURE_ID)
    path = tmp_path / "state.pickle"
    assert load_state(path, identity) is None
    save_state(LearnerState(identity, SIGNATURE, Cursor({0: 7})), path)
    found = load_state(path, identity)
    assert found is not None
    assert found.cursor == Cursor({0: 7})
    assert load_state(path, replace(identity, signature_id="fs-other")) is None
    path.write_bytes(path.read_bytes()[:20])
    assert load_state(path, identity) is None


def test_a_full_disk_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity, path = Identity("shifts", "linear", SIGNATURE_ID), tmp_path / "state.pickle"
    save_state(LearnerState(identity, SIGNATURE, Cursor({0: 7})), path)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("modelyard_trainer.online.state.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_state(LearnerState(identity, SIGNATURE, Cursor({0: 9})), path)
    found = load_state(path, identity)
    assert found is not None
    assert found.cursor == Cursor({0: 7})
    assert [file.name for file in tmp_path.iterdir()] == ["state.pickle"]
