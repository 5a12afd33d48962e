"""The service as a process, on a broker: events in, events out, killed and started again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from modelyard import RegistryClient
from modelyard_contracts import RunState, TrainingRunChanged, TrainingRunRequested, VersionStage
from modelyard_contracts.codec import Codec
from modelyard_devstack.testing import DevServer, Process, free_port, wait_until
from modelyard_registry.testing import ADMIN_KEY, InProcessRegistry
from modelyard_runtime.clock import system_clock
from modelyard_runtime.kafka import Producer, ensure_topics
from modelyard_trainer.jobs.rundir import RunDir
from modelyard_trainer.jobs.warm_ray import connection

from .helpers.data import write_training_file
from .helpers.world import POLICY, PYTHONPATH, RECIPES

MAX_IDLE_RSS_BYTES = 130 * 2**20


class Trainer:
    """The process, its registry and its HTTP."""

    def __init__(self, folder: Path, bootstrap: str) -> None:
        keys = folder / "keys"
        keys.mkdir()
        (keys / "trainer.key").write_text(f"my_trainer_{'k' * 43}")
        self._registry = InProcessRegistry(folder / "registry", system_clock, service_keys_dir=keys).__enter__()
        self._registry.registry.prepare()  # reads the service keys
        url, key = self._registry.serve(), self._registry.admin_key
        self.registry = RegistryClient(url, key)
        self.dataset = self.registry.put_blob(write_training_file(folder / "given.parquet"))
        self.data = folder / "data"
        self.env = {
            "MODELYARD_SERVICE_KEY_FILE": str(keys / "trainer.key"),
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "REGISTRY_URL": url,
            "TRAINER_PORT": "0",
            "TRAINER_DATA_DIR": str(self.data),
            "TRAINER_RECIPES": json.dumps(RECIPES),
            "PYTHONPATH": PYTHONPATH,
        }
        self.process = Process([sys.executable, "-m", "modelyard_trainer"], self.env)

    def start(self) -> None:
        self.process.start()
        self.http = httpx.Client(base_url=str(self.process.address), headers={"authorization": f"Bearer {ADMIN_KEY}"})

    def given_model(self, name: str) -> str:
        self.registry.create_model(name)
        self.registry.set_policy(name, POLICY)
        return name

    def run(self, run_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/v1/runs/{run_id}").json())

    def run_dir(self, run_id: str) -> RunDir:
        return RunDir(self.data / "runs" / run_id)

    def kill(self) -> None:
        """Kill the service alone: its worker has a session of its own and survives."""
        self.process.kill()

    def close(self) -> None:
        if self.process.running:
            self.process.stop()
        for holder in (RunDir(path).holder for path in (self.data / "runs").glob("*")):
            if holder:
                os.killpg(holder, signal.SIGKILL)
        self.registry.close()
        self._registry.__exit__(None, None, None)


@pytest.fixture
def trainer(tmp_path: Path, devkafka: DevServer) -> Iterator[Trainer]:
    trainer = Trainer(tmp_path, devkafka.bootstrap)
    trainer.start()
    yield trainer
    trainer.close()


async def events_of(bootstrap: str, run_id: str, timeout_s: float = 60.0) -> list[TrainingRunChanged]:
    """All events of a run, up to its final one."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed")
    await consumer.start()
    try:
        partitions = [TopicPartition(TrainingRunChanged.TOPIC, number) for number in range(4)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        found: list[TrainingRunChanged] = []
        deadline = time.monotonic() + timeout_s
        while not (found and found[-1].state.final):
            assert time.monotonic() < deadline, [one.state for one in found]
            for records in (await consumer.getmany(timeout_ms=500)).values():
                events = [Codec().decode(record.value, TrainingRunChanged) for record in records]
                found += [event for event in events if str(event.run_id) == run_id]
        return found
    finally:
        await consumer.stop()


def begin(trainer: Trainer, model: str, **parameters: str) -> str:
    trainer.given_model(model)
    body = {"model": model, "dataset_digest": trainer.dataset, "parameters": parameters, "reason": "a test"}
    answer = trainer.http.post("/v1/runs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["run_id"])


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(300)
async def test_an_event_becomes_a_version_and_the_topic_has_every_revision(
    trainer: Trainer, devkafka: DevServer, unique: str
) -> None:
    rss = psutil.Process(trainer.process.pid).memory_info().rss
    assert rss < MAX_IDLE_RSS_BYTES, f"{rss / 2**20:.0f} MiB when idle"
    model = trainer.given_model(f"shifts-{unique}".lower())
    event = TrainingRunRequested(
        event_id=uuid4(),
        occurred_at=datetime.now(UTC),
        correlation_id=uuid4(),
        model=model,
        requested_by="a test",
        reason="because",
        dataset_digest=trainer.dataset,
    )
    await ensure_topics(devkafka.bootstrap)
    producer = Producer(devkafka.bootstrap, "test")
    await producer.start()
    for _ in range(2):  # delivered twice
        await producer.send(event, key=model)
    await producer.stop()

    runs = wait_until(lambda: trainer.http.get("/v1/runs", params={"model": model}).json()["items"], 60)
    events = await events_of(devkafka.bootstrap, runs[0]["run_id"], 120)

    assert [one.revision for one in events] == list(range(1, len(events) + 1))
    assert (events[-1].state, events[-1].version) == (RunState.SUCCEEDED, 1)
    assert {one.correlation_id for one in events} == {event.correlation_id}
    assert {one.cause_id for one in events} == {event.event_id}
    assert len(trainer.http.get("/v1/runs", params={"model": model}).json()["items"]) == 1
    assert len(trainer.registry.versions(model)) == 1


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(400)
async def test_killed_at_every_stage_the_run_ends_in_exactly_one_version(
    trainer: Trainer, devkafka: DevServer, unique: str
) -> None:
    model = f"shifts-{unique}".lower()
    run_id = begin(trainer, model, seconds="4")
    trainer.kill()  # before or just after the worker starts
    trainer.start()
    wait_until(lambda: trainer.run(run_id)["state"] == "training", 120)
    trainer.kill()  # the worker survives
    assert trainer.run_dir(run_id).holder
    trainer.start()
    holder = trainer.run_dir(run_id).holder
    if holder:
        os.kill(holder, signal.SIGKILL)  # the worker alone
    wait_until(lambda: trainer.run(run_id)["attempt"] >= 2 or trainer.run(run_id)["state"] == "succeeded", 120)
    trainer.kill()
    wait_until(lambda: trainer.run_dir(run_id).result is not None, 120)  # the worker ends without a supervisor
    trainer.start()

    events = await events_of(devkafka.bootstrap, run_id, 120)
    distinct = {one.event_id: one for one in events}.values()
    assert [one.revision for one in distinct] == list(range(1, len(distinct) + 1))
    assert trainer.run(run_id)["state"] == "succeeded"
    assert [one.stage for one in trainer.registry.versions(model)] == [VersionStage.REGISTERED]


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(300)
def test_an_orderly_stop_leaves_no_worker_and_the_next_start_resumes_the_run(trainer: Trainer, unique: str) -> None:
    model = f"shifts-{unique}".lower()
    run_id = begin(trainer, model, seconds="2")
    wait_until(lambda: trainer.run(run_id)["state"] == "training", 120)
    assert trainer.process.stop() == 0
    assert trainer.run_dir(run_id).holder is None
    trainer.start()
    wait_until(lambda: trainer.run(run_id)["state"] == "succeeded", 120)
    assert len(trainer.registry.versions(model)) == 1


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(300)
def test_a_stop_leaves_no_process_and_no_folder_of_the_warm_ray(trainer: Trainer, unique: str) -> None:
    body = {
        "model": trainer.given_model(f"shifts-{unique}".lower()),
        "dataset_digest": trainer.dataset,
        "recipe": "on-ray",
        "reason": "test",
    }
    run_id = trainer.http.post("/v1/runs", json=body).json()["run_id"]
    wait_until(lambda: trainer.run(run_id)["state"] == "succeeded", 180)
    host = trainer.data / "ray"
    temporary = Path((host / "ray-dir.txt").read_text())
    members = [psutil.Process(connection(host)["pid"])]  # type: ignore[index]
    members += members[0].children(recursive=True)
    assert len(members) >= 3 and temporary.is_dir()

    assert trainer.process.stop() == 0

    assert not [process for process in members if process.is_running()]
    assert not temporary.exists() and connection(host) is None


def started(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TRAINER_", "MODELYARD_"))}
    command = [sys.executable, "-m", "modelyard_trainer"]
    return subprocess.run(command, env={**clean, **env}, capture_output=True, text=True, timeout=60)


def test_bad_settings_end_the_start_with_a_line_each(tmp_path: Path, loopback: None) -> None:
    (tmp_path / "key").write_text(ADMIN_KEY)
    good = {"MODELYARD_SERVICE_KEY_FILE": str(tmp_path / "key"), "TRAINER_DATA_DIR": str(tmp_path)}
    without = started({})
    assert without.returncode == 2 and "MODELYARD_SERVICE_KEY_FILE" in without.stderr
    recipe = started({**good, "TRAINER_RECIPES": '{"mine": "nowhere:RECIPE"}', "TRAINER_PORT": str(free_port())})
    assert recipe.returncode == 2 and "TRAINER_RECIPES: mine: cannot find nowhere:RECIPE" in recipe.stderr
    assert "Traceback" not in without.stderr + recipe.stderr


@pytest.mark.process
def test_naming_the_service_imports_nothing_heavy() -> None:
    program = (
        "import sys, modelyard_trainer.app, modelyard_trainer.__main__;"
        "heavy = {'ray', 'sklearn', 'pandas', 'numpy', 'pyarrow', 'torch', 'skops', 'scipy'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
